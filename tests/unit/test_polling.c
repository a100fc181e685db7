/* How long a worker that has run dry stays awake: polling.h with made-up
 * times. */
#include "switchd/polling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#define LIMIT 50000ull /* ns */
#define US    1000ull
#define S     1000000000ull
#define NOW   (12345 * S)

static struct polling fresh(uint64_t limit)
{
	struct polling p;

	polling_init(&p, limit);
	return p;
}

static void gaps(struct polling *p, unsigned int n, uint64_t gap)
{
	while (n--)
		polling_gap(p, gap, LIMIT);
}

static void nothing_is_expected_at_first(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
}

static void no_limit_means_no_window_whatever_comes(void **state)
{
	struct polling p = fresh(0);

	(void)state;
	for (int i = 0; i < 100; i++) {
		polling_gap(&p, 10, 0);
		assert_int_equal(polling_window(&p, 0, NOW), 0);
	}
}

static void short_gaps_open_the_window_within_four(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 4, 5 * US);
	assert_true(polling_window(&p, LIMIT, NOW) > 5 * US);
}

static void an_hour_of_silence_counts_no_more_than_a_moment(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 100, 3600 * S);
	assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
	gaps(&p, 4, 5 * US);
	assert_true(polling_window(&p, LIMIT, NOW) > 0);
}

static void one_long_gap_closes_no_window_and_several_do(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 50, 2 * US);
	gaps(&p, 1, S);
	assert_true(polling_window(&p, LIMIT, NOW) > 0);
	gaps(&p, 4, S);
	assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
}

static void window_is_a_few_gaps_and_never_over_the_limit(void **state)
{
	static const uint64_t gap[] = { 1, 500, 2 * US, 10 * US, 49 * US };

	(void)state;
	for (unsigned int i = 0; i < sizeof(gap) / sizeof(gap[0]); i++) {
		struct polling p = fresh(LIMIT);
		uint64_t window;

		gaps(&p, 200, gap[i]);
		window = polling_window(&p, LIMIT, NOW);
		assert_true(window > gap[i]);
		assert_true(window <= LIMIT);
		assert_true(window <=
			    (gap[i] + 4) * POLLING_TIMES + POLLING_MIN_NS);
	}
}

/* A slow trickle, as of a switch with a ping a second: it must sleep. */
static void gaps_longer_than_the_limit_leave_it_asleep(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		gaps(&p, 1, LIMIT + 1);
		assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
	}
}

static void a_lower_limit_bounds_at_once_and_is_learned(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 100, 30 * US);
	assert_int_equal(polling_window(&p, LIMIT, NOW), LIMIT);
	assert_int_equal(polling_window(&p, 20 * US, NOW), 20 * US);
	for (int i = 0; i < 5; i++)
		polling_gap(&p, 30 * US, 20 * US);
	assert_int_equal(polling_window(&p, 20 * US, NOW), 0);
}

static void a_limit_that_there_was_not_is_used_soon(void **state)
{
	struct polling p = fresh(0);

	(void)state;
	for (int i = 0; i < 20; i++)
		polling_gap(&p, 40 * US, 0);
	for (int i = 0; i < 4; i++)
		polling_gap(&p, 40 * US, LIMIT);
	assert_int_equal(polling_window(&p, LIMIT, NOW), LIMIT);
}

/* Bursts with pauses: each ends with a window in vain. */
static void pauses_between_bursts_cost_a_short_window(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	for (int i = 0; i < 50; i++) {
		gaps(&p, 3, 1 * US);
		gaps(&p, 1, 300 * US);
		if (i < 10)
			continue;
		assert_true(polling_window(&p, LIMIT, NOW) > 0);
		assert_true(polling_window(&p, LIMIT, NOW) < 10 * US);
	}
}

static void who_loses_its_cpu_while_watching_rests_and_comes_back(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 20, 5 * US);
	polling_looked(&p, 30 * US, NOW); /* an interrupt */
	assert_true(polling_window(&p, LIMIT, NOW) > 0);
	polling_looked(&p, POLLING_STOLEN_NS, NOW);
	assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
	gaps(&p, 20, 5 * US);
	assert_int_equal(polling_window(&p, LIMIT, NOW + POLLING_REST_NS - 1),
			 0);
	assert_true(polling_window(&p, LIMIT, NOW + POLLING_REST_NS) > 0);
}

static void nobody_watches_while_super_frames_come(void **state)
{
	struct polling p = fresh(LIMIT);

	(void)state;
	gaps(&p, 20, 5 * US);
	polling_bulk(&p, NOW);
	assert_int_equal(polling_window(&p, LIMIT, NOW), 0);
	assert_int_equal(polling_window(&p, LIMIT, NOW + POLLING_BULK_NS - 1),
			 0);
	assert_true(polling_window(&p, LIMIT, NOW + POLLING_BULK_NS) > 0);
	/* A longer rest isn't cut short. */
	polling_looked(&p, POLLING_STOLEN_NS, NOW);
	polling_bulk(&p, NOW);
	assert_int_equal(polling_window(&p, LIMIT, NOW + POLLING_BULK_NS), 0);
}

/* A full frame each 20 us, half a Gbit/s and more: a bulk of one super-frame's
 * bytes. Half as many aren't. */
static void nobody_watches_while_many_full_frames_come(void **state)
{
	struct polling p = fresh(LIMIT);
	uint64_t now = NOW;

	(void)state;
	gaps(&p, 20, 5 * US);
	for (int i = 0; i < 200; i++, now += 40 * US)
		polling_came(&p, 1514, now);
	assert_false(polling_rests(&p, now));
	assert_true(polling_window(&p, LIMIT, now) > 0);
	for (int i = 0; i < 100; i++, now += 20 * US)
		polling_came(&p, 1514, now);
	assert_true(polling_rests(&p, now));
	assert_int_equal(polling_window(&p, LIMIT, now), 0);
	now += POLLING_BULK_NS;
	assert_false(polling_rests(&p, now));
	assert_true(polling_window(&p, LIMIT, now) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_expected_at_first),
		cmocka_unit_test(no_limit_means_no_window_whatever_comes),
		cmocka_unit_test(short_gaps_open_the_window_within_four),
		cmocka_unit_test(
			an_hour_of_silence_counts_no_more_than_a_moment),
		cmocka_unit_test(one_long_gap_closes_no_window_and_several_do),
		cmocka_unit_test(window_is_a_few_gaps_and_never_over_the_limit),
		cmocka_unit_test(gaps_longer_than_the_limit_leave_it_asleep),
		cmocka_unit_test(a_lower_limit_bounds_at_once_and_is_learned),
		cmocka_unit_test(a_limit_that_there_was_not_is_used_soon),
		cmocka_unit_test(pauses_between_bursts_cost_a_short_window),
		cmocka_unit_test(
			who_loses_its_cpu_while_watching_rests_and_comes_back),
		cmocka_unit_test(nobody_watches_while_super_frames_come),
		cmocka_unit_test(nobody_watches_while_many_full_frames_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
