/* The queues that a worker has to look at: awake.h, with made-up queues. */
#include "switchd/awake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define QUEUES (2 * AWAKE_MAX)

/* By tag. */
struct rig {
	struct awake awake;
	unsigned int frames[QUEUES]; /* batches of one frame that are there */
	bool gone[QUEUES];
	bool up[QUEUES]; /* awake */
	unsigned int looks[QUEUES], slept[QUEUES], refused[QUEUES];
};

static int rig_look(void *ctx, uint64_t tag)
{
	struct rig *r = ctx;

	if (r->gone[tag])
		return -1;
	r->looks[tag]++;
	r->up[tag] = true;
	return r->frames[tag] ? (int)(r->frames[tag]-- > 0) : 0;
}

static bool rig_sleep(void *ctx, uint64_t tag)
{
	struct rig *r = ctx;

	if (r->gone[tag])
		return true;
	r->up[tag] = r->frames[tag] > 0;
	r->slept[tag] += !r->up[tag];
	r->refused[tag] += r->up[tag];
	return !r->up[tag];
}

static const struct awake_ops ops = { .look = rig_look, .sleep = rig_sleep };

static void rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	awake_init(&r->awake);
	r->awake.missed = false;
}

/* What is awake is on the list, or `missed`. */
static void rule_holds(const struct rig *r)
{
	for (uint64_t tag = 0; tag < QUEUES && !r->awake.missed; tag++) {
		bool listed = false;

		for (unsigned int i = 0; i < r->awake.n; i++)
			listed |= r->awake.queue[i].tag == tag;
		assert_true(listed || r->gone[tag] || !r->up[tag]);
	}
}

static unsigned int rig_take(struct rig *r, uint64_t tag)
{
	unsigned int n = awake_take(&r->awake, &ops, r, tag);

	rule_holds(r);
	return n;
}

static unsigned int rig_round(struct rig *r)
{
	unsigned int n = awake_look(&r->awake, &ops, r);

	awake_cool(&r->awake, &ops, r, n);
	rule_holds(r);
	return n;
}

static void worker_begins_by_looking_for_what_is_awake(void **state)
{
	struct rig r = { 0 };

	(void)state;
	awake_init(&r.awake);
	assert_true(awake_any(&r.awake));
	assert_false(awake_sleep(&r.awake, &ops, &r));
}

static void queue_with_frames_is_looked_at_until_all_sleep(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[7] = 3;
	assert_int_equal(rig_take(&r, 7), 1);
	assert_true(awake_any(&r.awake));
	assert_int_equal(rig_round(&r), 1);
	assert_false(awake_sleep(&r.awake, &ops, &r));
	assert_int_equal(rig_round(&r), 1);
	assert_true(awake_sleep(&r.awake, &ops, &r));
	assert_false(awake_any(&r.awake));
	assert_int_equal(r.looks[7], 3);
	assert_int_equal(r.refused[7], 1);
	assert_int_equal(r.slept[7], 1);
}

static void look_in_vain_leaves_the_queue_asleep(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	assert_int_equal(rig_take(&r, 7), 0);
	assert_false(awake_any(&r.awake));
	assert_int_equal(r.slept[7], 1);
}

static void queue_on_the_list_has_one_batch_a_round(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[7] = 9;
	rig_take(&r, 7);
	assert_int_equal(rig_take(&r, 7), 0); /* its turn comes */
	assert_int_equal(r.looks[7], 1);
	assert_int_equal(r.awake.n, 1);
}

static void empty_queue_sleeps_after_so_many_rounds_of_others(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[1] = 1;
	r.frames[2] = 1 + AWAKE_COLD;
	rig_take(&r, 1);
	rig_take(&r, 2);
	for (int i = 0; i < AWAKE_COLD - 1; i++)
		assert_int_equal(rig_round(&r), 1);
	assert_int_equal(r.slept[1], 0);
	assert_int_equal(rig_round(&r), 1);
	assert_int_equal(r.slept[1], 1);
	assert_int_equal(r.slept[2] + r.refused[2], 0);
	assert_int_equal(r.awake.n, 1);
}

static void silence_of_all_cools_nobody(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[1] = r.frames[2] = 1;
	rig_take(&r, 1);
	rig_take(&r, 2);
	for (int i = 0; i < 100 * AWAKE_COLD; i++)
		assert_int_equal(rig_round(&r), 0);
	/* Ping and pong, with long silences: nobody has to tell. */
	for (int i = 0; i < 2 * AWAKE_COLD; i++) {
		r.frames[1 + i % 2] = 1;
		assert_int_equal(rig_round(&r), 1);
		assert_int_equal(rig_round(&r), 0);
	}
	assert_int_equal(r.slept[1] + r.slept[2], 0);
	assert_int_equal(r.awake.n, 2);
}

/* The guest puts a frame just when it is asked to tell. */
static void cold_queue_that_cant_sleep_begins_anew(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[1] = 1;
	r.frames[2] = 1000;
	rig_take(&r, 1);
	rig_take(&r, 2);
	for (int i = 0; i < AWAKE_COLD - 1; i++)
		rig_round(&r);
	assert_int_equal(awake_look(&r.awake, &ops, &r), 1);
	r.frames[1] = 1;
	awake_cool(&r.awake, &ops, &r, 1);
	rule_holds(&r);
	assert_int_equal(r.refused[1], 1);
	assert_int_equal(rig_round(&r), 2);
	assert_int_equal(r.awake.n, 2);
}

static void queue_of_another_worker_is_forgotten(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	r.frames[1] = r.frames[2] = 10;
	rig_take(&r, 1);
	rig_take(&r, 2);
	r.gone[1] = true;
	assert_int_equal(rig_round(&r), 1);
	assert_int_equal(r.awake.n, 1);
	r.gone[2] = true;
	assert_true(awake_sleep(&r.awake, &ops, &r));
	assert_int_equal(rig_take(&r, 1), 0);
	assert_false(awake_any(&r.awake));
	assert_int_equal(r.slept[1] + r.slept[2], 0);
}

static void full_list_puts_one_more_to_sleep_or_remembers_it(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	for (uint64_t tag = 0; tag < AWAKE_MAX; tag++) {
		r.frames[tag] = 2;
		assert_int_equal(rig_take(&r, tag), 1);
	}
	r.frames[AWAKE_MAX] = 1;
	assert_int_equal(rig_take(&r, AWAKE_MAX), 1);
	assert_int_equal(r.slept[AWAKE_MAX], 1);
	assert_false(r.awake.missed);
	r.frames[AWAKE_MAX] = 2;
	assert_int_equal(rig_take(&r, AWAKE_MAX), 1);
	assert_int_equal(r.refused[AWAKE_MAX], 1);
	assert_true(r.awake.missed);
	/* Even with all others asleep: */
	assert_int_equal(rig_round(&r), AWAKE_MAX);
	assert_false(awake_sleep(&r.awake, &ops, &r));
	assert_int_equal(r.awake.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker_begins_by_looking_for_what_is_awake),
		cmocka_unit_test(
			queue_with_frames_is_looked_at_until_all_sleep),
		cmocka_unit_test(look_in_vain_leaves_the_queue_asleep),
		cmocka_unit_test(queue_on_the_list_has_one_batch_a_round),
		cmocka_unit_test(
			empty_queue_sleeps_after_so_many_rounds_of_others),
		cmocka_unit_test(silence_of_all_cools_nobody),
		cmocka_unit_test(cold_queue_that_cant_sleep_begins_anew),
		cmocka_unit_test(queue_of_another_worker_is_forgotten),
		cmocka_unit_test(
			full_list_puts_one_more_to_sleep_or_remembers_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
