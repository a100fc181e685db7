#include "base/epoch.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static char order[8]; /* who was destroyed, first to last */

static void note(void *arg)
{
	size_t n = strlen(order);

	assert_true(n < sizeof(order) - 1);
	order[n] = *(const char *)arg;
}

/* A name on its way out. */
static void retire(struct epoch *e, char *name)
{
	static struct epoch_retired node[8];
	static unsigned int used;

	epoch_retire(e, &node[used++ % 8], note, name);
}

static int fresh(void **state)
{
	static struct epoch e;

	memset(order, 0, sizeof(order));
	epoch_init(&e);
	*state = &e;
	return 0;
}

static int clean(void **state)
{
	epoch_fini(*state);
	return 0;
}

static void retired_without_readers_is_due_at_once(void **state)
{
	struct epoch *e = *state;

	retire(e, "a");
	assert_string_equal(order, "");
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
}

static void offline_reader_holds_nothing_back(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *r = epoch_add_reader(e);

	epoch_online(e, r);
	epoch_offline(r);
	retire(e, "a");
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
}

static void online_reader_holds_back_until_quiescent(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *r = epoch_add_reader(e);

	epoch_online(e, r);
	retire(e, "a");
	assert_true(epoch_reap(e));
	assert_string_equal(order, "");
	epoch_quiescent(e, r);
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
	epoch_offline(r);
}

static void online_reader_holds_back_until_offline(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *r = epoch_add_reader(e);

	epoch_online(e, r);
	retire(e, "a");
	assert_true(epoch_reap(e));
	epoch_offline(r);
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
}

static void reader_online_after_retire_holds_nothing_back(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *r = epoch_add_reader(e);

	retire(e, "a");
	epoch_online(e, r);
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
	epoch_offline(r);
}

static void slowest_of_two_readers_decides(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *quick = epoch_add_reader(e);
	struct epoch_reader *slow = epoch_add_reader(e);

	epoch_online(e, quick);
	epoch_online(e, slow);
	retire(e, "a");
	epoch_quiescent(e, quick);
	assert_true(epoch_reap(e));
	assert_string_equal(order, "");
	epoch_quiescent(e, slow);
	assert_false(epoch_reap(e));
	assert_string_equal(order, "a");
	epoch_offline(quick);
	epoch_offline(slow);
}

static void reap_destroys_what_is_due_and_keeps_the_rest(void **state)
{
	struct epoch *e = *state;
	struct epoch_reader *r = epoch_add_reader(e);

	retire(e, "a");
	epoch_online(e, r);
	retire(e, "b");
	retire(e, "c");
	assert_true(epoch_reap(e));
	assert_string_equal(order, "a");
	epoch_quiescent(e, r);
	assert_false(epoch_reap(e));
	assert_string_equal(order, "abc");
	epoch_offline(r);
}

static void queue_is_usable_after_it_ran_empty(void **state)
{
	struct epoch *e = *state;

	retire(e, "a");
	assert_false(epoch_reap(e));
	retire(e, "b");
	assert_false(epoch_reap(e));
	assert_string_equal(order, "ab");
}

static void fini_destroys_what_is_left_oldest_first(void **state)
{
	struct epoch *e = *state;

	retire(e, "a");
	retire(e, "b");
	epoch_fini(e);
	assert_string_equal(order, "ab");
}

static void seventeenth_reader_is_refused(void **state)
{
	struct epoch *e = *state;

	for (int i = 0; i < EPOCH_READERS_MAX; i++)
		assert_non_null(epoch_add_reader(e));
	assert_null(epoch_add_reader(e));
}

/* ---- with real threads --------------------------------------------------- */

#define RACE_READERS 3
#define RACE_SWAPS   2000
#define ALIVE	     0x5a5a5a5au
#define DEAD	     0xdeadbeefu

struct object {
	uint32_t mark;
	uint32_t copy; /* a half-seen object has another number here */
	struct epoch_retired retired;
};

static struct race {
	struct epoch e;
	struct object *_Atomic current;
	_Atomic unsigned int online; /* readers that have had a first look */
	_Atomic unsigned int bad;
	atomic_bool stop;
	unsigned int destroyed; /* the writer's */
} race;

static void object_destroy(void *arg)
{
	struct object *o = arg;

	o->mark = DEAD; /* seen by a reader that still holds it, and by TSan */
	free(o);
	race.destroyed++;
}

static struct object *object_new(uint32_t n)
{
	struct object *o = malloc(sizeof(*o));

	assert_non_null(o);
	o->mark = ALIVE ^ n;
	o->copy = n;
	return o;
}

static void *race_reader(void *arg)
{
	struct epoch_reader *r = arg;
	unsigned int turns = 0;

	epoch_online(&race.e, r);
	atomic_fetch_add(&race.online, 1);
	while (!atomic_load(&race.stop)) {
		struct object *o = atomic_load(&race.current);

		for (int i = 0; i < 8; i++)
			if ((o->mark ^ o->copy) != ALIVE)
				atomic_fetch_add(&race.bad, 1);
		if (++turns % 16 == 0) {
			epoch_offline(r);
			sched_yield();
			epoch_online(&race.e, r);
		} else {
			epoch_quiescent(&race.e, r);
		}
	}
	epoch_offline(r);
	return NULL;
}

static void race_swap(uint32_t n)
{
	struct object *old = atomic_exchange(&race.current, object_new(n));

	epoch_retire(&race.e, &old->retired, object_destroy, old);
	epoch_reap(&race.e);
}

static void racing_readers_never_see_a_freed_object(void **state)
{
	pthread_t thread[RACE_READERS];

	(void)state;
	memset(&race, 0, sizeof(race));
	epoch_init(&race.e);
	atomic_store(&race.current, object_new(0));
	for (int i = 0; i < RACE_READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, race_reader,
						epoch_add_reader(&race.e)),
				 0);
	while (atomic_load(&race.online) < RACE_READERS)
		sched_yield();
	for (uint32_t n = 1; n <= RACE_SWAPS; n++)
		race_swap(n);
	/* Readers that go on pass quiescent points: nothing is left over. */
	while (epoch_reap(&race.e))
		sched_yield();
	assert_int_equal(race.destroyed, RACE_SWAPS);
	atomic_store(&race.stop, true);
	for (int i = 0; i < RACE_READERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&race.bad), 0);
	epoch_fini(&race.e);
	free(atomic_load(&race.current));
}

#define EPOCH_TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EPOCH_TEST(retired_without_readers_is_due_at_once),
		EPOCH_TEST(offline_reader_holds_nothing_back),
		EPOCH_TEST(online_reader_holds_back_until_quiescent),
		EPOCH_TEST(online_reader_holds_back_until_offline),
		EPOCH_TEST(reader_online_after_retire_holds_nothing_back),
		EPOCH_TEST(slowest_of_two_readers_decides),
		EPOCH_TEST(reap_destroys_what_is_due_and_keeps_the_rest),
		EPOCH_TEST(queue_is_usable_after_it_ran_empty),
		EPOCH_TEST(fini_destroys_what_is_left_oldest_first),
		EPOCH_TEST(seventeenth_reader_is_refused),
		cmocka_unit_test(racing_readers_never_see_a_freed_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
