/* Which worker receives from what: balance.h with made-up loads. */
#include "switchd/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define K 1000ull

static void new_queue_goes_where_fewest_are_while_all_is_quiet(void **state)
{
	const struct balance_worker w[] = { { .queues = 3 },
					    { .queues = 2 },
					    { .queues = 2 } };

	(void)state;
	assert_int_equal(balance_place(w, 3), 1);
	assert_int_equal(balance_place(w, 1), 0);
}

static void new_queue_goes_where_least_load_is(void **state)
{
	const struct balance_worker w[] = { { .queues = 1, .load = 900 * K },
					    { .queues = 9, .load = 100 * K } };

	(void)state;
	assert_int_equal(balance_place(w, 2), 1);
}

static void small_loads_dont_count_against_queues(void **state)
{
	const struct balance_worker w[] = { { .queues = 9, .load = 5 },
					    { .queues = 1, .load = 900 } };

	(void)state;
	assert_int_equal(balance_place(w, 2), 1);
}

static void queues_of_one_port_go_to_different_workers(void **state)
{
	const struct balance_worker w[] = { { .queues = 1, .same = 1 },
					    { .queues = 9, .load = 900 * K } };

	(void)state;
	assert_int_equal(balance_place(w, 2), 1);
}

static int64_t move(const struct balance_queue *q, uint32_t n,
		    unsigned int workers, unsigned int *to)
{
	return balance_move(q, n, workers, to);
}

static void nothing_moves_where_little_is_going_on(void **state)
{
	const struct balance_queue q[] = { { 9 * K, 0, true },
					   { 9 * K, 0, true } };
	unsigned int to;

	(void)state;
	assert_int_equal(move(q, 2, 2, &to), -1);
}

static void two_busy_queues_part(void **state)
{
	const struct balance_queue q[] = { { 500 * K, 0, true },
					   { 400 * K, 0, true },
					   { 0, 1, true } };
	unsigned int to = 9;

	(void)state;
	assert_int_equal(move(q, 3, 2, &to), 0);
	assert_int_equal(to, 1);
}

static void the_one_that_evens_out_best_moves_to_the_idlest(void **state)
{
	const struct balance_queue q[] = {
		{ 100 * K, 0, true }, { 300 * K, 0, true },
		{ 500 * K, 0, true }, { 200 * K, 1, true },
		{ 50 * K, 2, true },
	};
	unsigned int to = 9;

	(void)state;
	/* 900, 200, 50: without the 500, 400 and 550; without the 300, 600. */
	assert_int_equal(move(q, 5, 3, &to), 2);
	assert_int_equal(to, 2);
}

static void who_brings_everything_stays(void **state)
{
	const struct balance_queue q[] = { { 900 * K, 0, true },
					   { 0, 0, true },
					   { 0, 1, true } };
	unsigned int to;

	(void)state;
	assert_int_equal(move(q, 3, 2, &to), -1);
}

static void small_gain_moves_nothing(void **state)
{
	/* 1000 against 800: at best 900 would be left, 10 % less. */
	const struct balance_queue q[] = { { 900 * K, 0, true },
					   { 100 * K, 0, true },
					   { 800 * K, 1, true } };
	unsigned int to;

	(void)state;
	assert_int_equal(move(q, 3, 2, &to), -1);
}

static void pinned_ones_stay_and_others_make_room(void **state)
{
	const struct balance_queue q[] = { { 500 * K, 0, false },
					   { 400 * K, 0, true } };
	const struct balance_queue pinned[] = { { 500 * K, 0, false },
						{ 400 * K, 0, false } };
	unsigned int to = 9;

	(void)state;
	assert_int_equal(move(q, 2, 2, &to), 1);
	assert_int_equal(to, 1);
	assert_int_equal(move(pinned, 2, 2, &to), -1);
}

/* Whatever the loads are: moving ends, and nothing goes back. */
static void moves_come_to_an_end(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct balance_queue q[12];
		unsigned int to, moves = 0;
		int64_t i;

		for (int k = 0; k < 12; k++) {
			seed = seed * 1664525u + 1013904223u;
			q[k] = (struct balance_queue){ (seed >> 12) % (800 * K),
						       (seed >> 8) % 4, true };
		}
		while ((i = move(q, 12, 4, &to)) >= 0) {
			assert_true(q[i].worker != to);
			q[i].worker = to;
			assert_true(++moves <= 24);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			new_queue_goes_where_fewest_are_while_all_is_quiet),
		cmocka_unit_test(new_queue_goes_where_least_load_is),
		cmocka_unit_test(small_loads_dont_count_against_queues),
		cmocka_unit_test(queues_of_one_port_go_to_different_workers),
		cmocka_unit_test(nothing_moves_where_little_is_going_on),
		cmocka_unit_test(two_busy_queues_part),
		cmocka_unit_test(
			the_one_that_evens_out_best_moves_to_the_idlest),
		cmocka_unit_test(who_brings_everything_stays),
		cmocka_unit_test(small_gain_moves_nothing),
		cmocka_unit_test(pinned_ones_stay_and_others_make_room),
		cmocka_unit_test(moves_come_to_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
