/* The subject: fdb/, used as switchd/pipeline.c does. */
#include "fdb/fdb.h"
#include "tests/bench/tables.h"

#include <errno.h>

static void *make(uint32_t n)
{
	struct fdb_config c = FDB_CONFIG_INIT;

	c.entries = n + n / 2; /* two thirds full at most */
	c.ports = TABLES_PORTS;
	c.secret[0] = 0x0123456789abcdefull;
	c.secret[1] = 0xfedcba9876543210ull;
	return fdb_new(&c, NULL);
}

static void release(void *t)
{
	fdb_free(t);
}

static void clear(void *t)
{
	fdb_flush(t, FDB_ANY, FDB_ANY, true);
}

static void learn(void *t, const uint64_t *key, uint32_t n, uint32_t now_s)
{
	for (uint32_t i = 0; i < n; i++)
		fdb_learn(t, key[i], table_port(key[i]), now_s);
}

static uint64_t lookup(void *t, const uint64_t *key, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += fdb_lookup(t, key[i]);
	return sum;
}

static uint64_t batch(void *t, const uint64_t *key, uint32_t n)
{
	uint64_t hash[TABLES_BATCH], sum = 0;

	for (uint32_t i = 0; i < n; i += TABLES_BATCH) {
		uint32_t m = n - i < TABLES_BATCH ? n - i : TABLES_BATCH;

		fdb_prefetch_many(t, key + i, m, hash);
		for (uint32_t j = 0; j < m; j++)
			sum += fdb_lookup_at(t, key[i + j], hash[j]);
	}
	return sum;
}

const struct table table_fdb = {
	.name = "switchd",
	.make = make,
	.free = release,
	.clear = clear,
	.learn = learn,
	.lookup = lookup,
	.batch = batch,
};
