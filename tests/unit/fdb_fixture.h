/*
 * fdb_fixture - tables and addresses for the tests of the forwarding database
 *
 * Most tests use the smallest table: eight slots in two buckets, which are
 * the two candidates of every key, so that "the two buckets are full" is
 * exactly "the table is full", whatever the secret.
 */
#ifndef TESTS_UNIT_FDB_FIXTURE_H
#define TESTS_UNIT_FDB_FIXTURE_H

#include "fdb/fdb.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PORTS 16u
#define SMALL 8u
#define T0    1000u /* seconds: when the tests begin */

static inline struct fdb_config config_of(uint32_t entries)
{
	struct fdb_config c = FDB_CONFIG_INIT;

	c.entries = entries;
	c.ports = PORTS;
	c.secret[0] = 0x0123456789abcdefull;
	c.secret[1] = 0xfedcba9876543210ull;
	return c;
}

static inline struct fdb *table_of(uint32_t entries)
{
	struct fdb_config c = config_of(entries);
	struct fdb *fdb = fdb_new(&c, NULL);

	assert_non_null(fdb);
	return fdb;
}

/* The n-th address of a port: no two ports have one in common. */
static inline uint64_t addr(uint32_t port, uint32_t n)
{
	return fdb_key(1, 0x020000000000ull | (uint64_t)port << 32 | n);
}

static inline void learn_n(struct fdb *fdb, uint32_t port, uint32_t n,
			   uint32_t now_s)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(fdb_learn(fdb, addr(port, i), port, now_s + i),
				 FDB_LEARNED);
}

static inline uint32_t entries_of(const struct fdb *fdb, uint32_t port)
{
	struct fdb_port_stats s;

	assert_int_equal(fdb_port_stats_get(fdb, port, &s), 0);
	return s.entries;
}

static inline struct fdb_stats stats_of(const struct fdb *fdb)
{
	struct fdb_stats s;

	fdb_stats_get(fdb, &s);
	assert_int_equal(s.entries + s.static_entries,
			 s.adopted + s.learned + s.added - s.aged - s.evicted -
				 s.removed);
	return s;
}

/* How many of the port's first n addresses does a lookup send to it? */
static inline uint32_t present(const struct fdb *fdb, uint32_t port, uint32_t n)
{
	uint32_t hits = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = fdb_lookup(fdb, addr(port, i));

		assert_true(at == port || at == FDB_NONE);
		hits += at == port;
	}
	return hits;
}

static inline struct fdb *small(void **state)
{
	return *state;
}

static inline int setup(void **state)
{
	*state = table_of(SMALL);
	return 0;
}

static inline int teardown(void **state)
{
	fdb_free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
