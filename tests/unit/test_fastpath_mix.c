#include "switchd/fastpath_mix.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One second more of a port's traffic. */
struct traffic {
	struct fastpath_mix m;
	uint64_t small, super, xdp;
	uint32_t now_s;
};

static bool second(struct traffic *t, uint64_t small, uint64_t super,
		   uint64_t xdp)
{
	t->small += small;
	t->super += super;
	t->xdp += xdp;
	t->m.on = fastpath_mix(&t->m, t->small, t->super, t->xdp, t->now_s++);
	return t->m.on;
}

static void many_small_frames_are_worth_it(void **state)
{
	struct traffic t = { .now_s = 5 };

	(void)state;
	assert_true(second(&t, 100000, 0, 0));
	assert_true(second(&t, 100000, 0, 99000));
	assert_true(second(&t, 100000, 99999, 99000));
}

static void mostly_super_frames_are_not(void **state)
{
	struct traffic t = { .now_s = 5 };

	(void)state;
	assert_false(second(&t, 5000, 5001, 0));
	assert_true(second(&t, 5000, 100, 0));
	assert_false(second(&t, 100, 5000, 100));
}

static void little_traffic_changes_nothing(void **state)
{
	struct traffic t = { .now_s = 5 };

	(void)state;
	assert_false(second(&t, 999, 0, 0));
	assert_true(second(&t, 1000, 0, 0));
	assert_true(second(&t, 0, 999, 0));
	assert_true(second(&t, 999, 0, 0)); /* though XDP did none of it */
	assert_false(second(&t, 0, 1000, 0));
	assert_false(second(&t, 500, 499, 0));
}

static void trial_in_vain_is_not_repeated_for_a_minute(void **state)
{
	struct traffic t = { .now_s = 5 };

	(void)state;
	assert_true(second(&t, 100000, 0, 0));
	assert_false(second(&t, 100000, 0, 0)); /* passed them all on */
	for (unsigned int i = 0; i < 9; i++)
		assert_false(second(&t, 100000, 0, 0));
	assert_true(second(&t, 100000, 0, 0));
	assert_true(second(&t, 100000, 0, 1));
}

static void minute_is_one_also_where_the_clock_wraps(void **state)
{
	struct traffic t = { .now_s = UINT32_MAX - 10,
			     .m.until = UINT32_MAX - 100 };

	(void)state;
	assert_true(second(&t, 100000, 0, 0));
	assert_false(second(&t, 100000, 0, 0));
	for (unsigned int i = 0; i < 9; i++)
		assert_false(second(&t, 100000, 0, 0));
	assert_true(second(&t, 100000, 0, 0));
}

static void ports_history_counts_from_where_it_was_last_asked(void **state)
{
	struct traffic t = { .now_s = 5 };

	(void)state;
	assert_false(second(&t, 1000, 1000000, 0));
	assert_true(second(&t, 1000, 0, 0));
	assert_false(second(&t, 0, 1000, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_small_frames_are_worth_it),
		cmocka_unit_test(mostly_super_frames_are_not),
		cmocka_unit_test(little_traffic_changes_nothing),
		cmocka_unit_test(trial_in_vain_is_not_repeated_for_a_minute),
		cmocka_unit_test(minute_is_one_also_where_the_clock_wraps),
		cmocka_unit_test(
			ports_history_counts_from_where_it_was_last_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
