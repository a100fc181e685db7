/*
 * The forwarding database under threads. Every address has two ports that are
 * its alone, so that whatever a racing reader gets tells whose it was. The
 * table has eight slots for 64 addresses: each lookup races with slots that
 * change tenants all the time. Run under ThreadSanitizer as well.
 */
#include "fdb/fdb.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#define ADDRS	64u
#define CHANGES 200000u /* by each writer */
#define WRITERS 2u
#define READERS 2u

static struct fdb *fdb;
static _Atomic uint32_t writers_left;
static _Atomic uint64_t hits, strangers;

static uint64_t addr(uint32_t n)
{
	return fdb_key((uint16_t)(n % 3), 0x020000000000ull + n);
}

static uint32_t owner(uint32_t port)
{
	return port / 2;
}

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* Learns, moves, evicts, refreshes, and sometimes removes or ages. */
static void *writer(void *arg)
{
	uint32_t x = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < CHANGES; i++) {
		uint32_t r = next_random(&x);
		uint32_t n = r % ADDRS, now_s = i / 64;

		(void)fdb_learn(fdb, addr(n), 2 * n + (r >> 8 & 1), now_s);
		switch (r >> 16 & 0x7f) {
		case 0:
			(void)!fdb_remove(fdb, addr(n));
			break;
		case 1:
			fdb_flush(fdb, (int)(2 * n), FDB_ANY, true);
			break;
		case 2:
			fdb_age(fdb, now_s, 1);
			break;
		case 3:
			(void)!fdb_add_static(fdb, addr(n), 2 * n);
			break;
		case 4:
			fdb_flush(fdb, FDB_ANY, FDB_ANY, true);
			break;
		}
	}
	atomic_fetch_sub(&writers_left, 1);
	return NULL;
}

static void *reader(void *arg)
{
	uint32_t x = (uint32_t)(uintptr_t)arg;
	uint64_t found = 0, wrong = 0;

	while (atomic_load(&writers_left)) {
		for (int i = 0; i < 1000; i++) {
			uint32_t n = next_random(&x) % ADDRS;
			uint32_t port = fdb_lookup(fdb, addr(n));

			found += port != FDB_NONE;
			wrong += port != FDB_NONE && owner(port) != n;
		}
	}
	atomic_fetch_add(&hits, found);
	atomic_fetch_add(&strangers, wrong);
	return NULL;
}

/* What the main thread does: lists, statistics, events. */
static void *watcher(void *arg)
{
	uint64_t found = 0, wrong = 0, lost;
	struct fdb_event event[16];
	struct fdb_entry e[3];
	struct fdb_stats s;

	(void)arg;
	while (atomic_load(&writers_left)) {
		uint64_t cursor = 0;
		unsigned int n;

		do {
			n = fdb_walk(fdb, &cursor, FDB_ANY, FDB_ANY, 0, e, 3);
			for (unsigned int i = 0; i < n; i++)
				wrong += owner(e[i].port) != (uint32_t)e[i].mac;
			found += n;
		} while (n == 3);
		n = fdb_events_drain(fdb, event, 16, &lost);
		for (unsigned int i = 0; i < n; i++)
			wrong += owner(event[i].port) !=
				 (uint32_t)fdb_key_mac(event[i].key);
		fdb_stats_get(fdb, &s);
		wrong += s.entries > s.capacity;
	}
	atomic_fetch_add(&hits, found);
	atomic_fetch_add(&strangers, wrong);
	return NULL;
}

static void start(pthread_t *t, void *(*run)(void *), uintptr_t arg)
{
	assert_int_equal(pthread_create(t, NULL, run, (void *)arg), 0);
}

static void racing_readers_never_get_another_guests_port(void **state)
{
	struct fdb_config c = FDB_CONFIG_INIT;
	pthread_t t[WRITERS + READERS + 1];
	struct fdb_stats s;
	struct fdb_entry e[8];
	uint64_t cursor = 0;
	uint32_t i;

	(void)state;
	c.entries = 8;
	c.ports = 2 * ADDRS;
	c.age_s = 10;
	fdb = fdb_new(&c, NULL);
	assert_non_null(fdb);
	assert_int_equal(fdb_events_enable(fdb, true), 0);
	atomic_store(&writers_left, WRITERS);
	for (i = 0; i < WRITERS; i++)
		start(&t[i], writer, i + 1);
	for (; i < WRITERS + READERS; i++)
		start(&t[i], reader, i + 1);
	start(&t[i], watcher, 0);
	for (i = 0; i < WRITERS + READERS + 1; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);

	assert_int_equal(strangers, 0);
	assert_true(hits > 10000);
	/* And no change was lost on the way: all books balance. */
	fdb_stats_get(fdb, &s);
	assert_true(s.evicted > 1000 && s.moved > 1000 && s.learned > 1000);
	assert_int_equal(s.entries + s.static_entries,
			 s.learned + s.added - s.aged - s.evicted - s.removed);
	assert_int_equal(fdb_walk(fdb, &cursor, FDB_ANY, FDB_ANY, 0, e, 8),
			 s.entries + s.static_entries);
	assert_int_equal(fdb_flush(fdb, FDB_ANY, FDB_ANY, true),
			 s.entries + s.static_entries);
	fdb_free(fdb);
}

/*
 * A reader that is preempted after its first look at a slot, step by step: no
 * race could be relied on to hit that.
 */
static void a_key_that_came_back_is_not_believed(void **state)
{
	struct fdb_config c = FDB_CONFIG_INIT;
	uint64_t key = addr(1), guest;
	uint32_t mine, other, n = 2;
	struct fdb_slot *s;

	(void)state;
	c.entries = 8;
	c.ports = 2 * ADDRS;
	fdb = fdb_new(&c, NULL);
	assert_non_null(fdb);
	assert_int_equal(fdb_learn(fdb, key, 2, 0), FDB_LEARNED);
	s = fdb_find(fdb, key, fdb_hash(fdb, key));
	assert_non_null(s);
	mine = s->where;
	/* A move meanwhile costs a reader nothing. */
	assert_int_equal(fdb_learn(fdb, key, 3, 0), FDB_MOVED);
	assert_int_equal(fdb_slot_judge(key, mine, s->key, s->where), s->where);
	assert_int_equal(s->where & FDB_PORT_MASK, 3);
	/* Another tenant, which the reader gets to see, */
	assert_int_equal(fdb_remove(fdb, key), 0);
	do /* with the same first bucket, so that the slot is the same */
		guest = addr(n++);
	while (fdb_bucket_first(fdb_hash(fdb, guest), fdb->mask) !=
	       fdb_bucket_first(fdb_hash(fdb, key), fdb->mask));
	assert_int_equal(fdb_learn(fdb, guest, 4, 0), FDB_LEARNED);
	assert_ptr_equal(fdb_find(fdb, guest, fdb_hash(fdb, guest)), s);
	other = s->where;
	assert_int_equal(fdb_slot_judge(key, mine, s->key, other), FDB_NONE);
	/* and the key is back before it looks again. */
	assert_int_equal(fdb_remove(fdb, guest), 0);
	assert_int_equal(fdb_learn(fdb, key, 3, 0), FDB_LEARNED);
	assert_ptr_equal(fdb_find(fdb, key, fdb_hash(fdb, key)), s);
	assert_int_equal(fdb_slot_judge(key, other, s->key, s->where),
			 FDB_NONE);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(racing_readers_never_get_another_guests_port),
		cmocka_unit_test(a_key_that_came_back_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
