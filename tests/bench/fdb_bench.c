/*
 * fdb_bench - lookups and learns a second of the forwarding database
 *
 *	fdb_bench [ADDRESSES]...
 *
 * For each size (1000, 64000 and 1000000 unless told) one line of JSON with
 * nanoseconds an operation, addresses in random order, table two thirds full
 * at most: learning new ones, learning known ones in the same second
 * (`known`) and in the next (`refresh`), looking up one after the other
 * (`lookup`) and in batches of 64 prefetched first, as the pipeline does
 * (`lookup_batch`); then unknown ones (`miss`), moves, and the hash alone.
 */
#include "base/clock.h"
#include "fdb/fdb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH	  64u
#define PORTS	  64u
#define OPS_LEAST 4000000u /* a measurement lasts this many operations */

static uint64_t sink; /* keeps the compiler from dropping the work */

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void shuffle(uint64_t *key, uint32_t n, uint64_t *x)
{
	for (uint32_t i = n - 1; i; i--) {
		uint32_t j = (uint32_t)(next_random(x) % (i + 1));
		uint64_t t = key[i];

		key[i] = key[j];
		key[j] = t;
	}
}

static uint32_t port_of(uint64_t key)
{
	return (uint32_t)(key % PORTS);
}

static void run_learn(struct fdb *fdb, const uint64_t *key, uint32_t n,
		      uint32_t shift, uint32_t now_s)
{
	for (uint32_t i = 0; i < n; i++)
		sink += fdb_learn(fdb, key[i], port_of(key[i] + shift), now_s);
}

static void run_lookup(const struct fdb *fdb, const uint64_t *key, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sink += fdb_lookup(fdb, key[i]);
}

static void run_batch(const struct fdb *fdb, const uint64_t *key, uint32_t n)
{
	uint64_t hash[BATCH];

	for (uint32_t i = 0; i < n; i += BATCH) {
		uint32_t m = n - i < BATCH ? n - i : BATCH;

		for (uint32_t j = 0; j < m; j++)
			hash[j] = fdb_prefetch(fdb, key[i + j]);
		for (uint32_t j = 0; j < m; j++)
			sink += fdb_lookup_at(fdb, key[i + j], hash[j]);
	}
}

static void run_hash(const struct fdb *fdb, const uint64_t *key, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sink += fdb_hash(fdb, key[i]);
}

/* Nanoseconds an operation of `statement`, which does n of them. */
#define MEASURE(name, n, statement)                                   \
	do {                                                          \
		uint32_t rounds_ = 1 + OPS_LEAST / (n);               \
		uint64_t from_ = clock_ns();                          \
		for (uint32_t r = 0; r < rounds_; r++)                \
			statement;                                    \
		printf(", \"%s_ns\": %.1f", name,                     \
		       (double)(clock_ns() - from_) / rounds_ / (n)); \
	} while (0)

static int bench(uint32_t n)
{
	struct fdb_config c = FDB_CONFIG_INIT;
	uint64_t *key = calloc(n, sizeof(*key));
	uint64_t *other = calloc(n, sizeof(*other));
	uint64_t x = clock_ns() | 1, from, ns = 0;
	uint32_t rounds = 1 + OPS_LEAST / n / 4;
	struct fdb_stats s;
	struct fdb *fdb;

	c.entries = n + n / 2;
	c.ports = PORTS;
	c.secret[0] = next_random(&x);
	c.secret[1] = next_random(&x);
	fdb = fdb_new(&c, NULL);
	if (!fdb || !key || !other) {
		perror("fdb_bench");
		free(key);
		free(other);
		fdb_free(fdb);
		return 1;
	}
	for (uint32_t i = 0; i < n; i++) {
		key[i] = fdb_key(1, 0x525400000000ull + i);
		other[i] = fdb_key(2, 0x525400000000ull + i);
	}
	shuffle(key, n, &x);
	for (uint32_t r = 0; r < rounds; r++) {
		fdb_flush(fdb, FDB_ANY, FDB_ANY, true);
		from = clock_ns();
		run_learn(fdb, key, n, 0, 0);
		ns += clock_ns() - from;
	}
	shuffle(key, n, &x);
	fdb_stats_get(fdb, &s);
	printf("{\"addresses\": %" PRIu32 ", \"capacity\": %" PRIu32
	       ", \"entries\": %" PRIu32 ", \"learn_new_ns\": %.1f",
	       n, s.capacity, s.entries, (double)ns / rounds / n);
	MEASURE("known", n, run_learn(fdb, key, n, 0, 0));
	MEASURE("refresh", n, run_learn(fdb, key, n, 0, r + 1));
	MEASURE("lookup", n, run_lookup(fdb, key, n));
	MEASURE("lookup_batch", n, run_batch(fdb, key, n));
	MEASURE("miss", n, run_lookup(fdb, other, n));
	MEASURE("move", n, run_learn(fdb, key, n, r + 1, 0));
	MEASURE("hash", n, run_hash(fdb, key, n));
	printf("}\n");
	fdb_free(fdb);
	free(key);
	free(other);
	return 0;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1000, 64000, 1000000 };
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		long n = strtol(argv[i], NULL, 10);

		if (n < 1 || n > (long)(FDB_ENTRIES_MAX / 2)) {
			fprintf(stderr, "usage: fdb_bench [ADDRESSES]...\n");
			return 2;
		}
		rc |= bench((uint32_t)n);
	}
	for (unsigned int i = 0; argc == 1 && i < 3; i++)
		rc |= bench(sizes[i]);
	return rc | (sink == 42);
}
