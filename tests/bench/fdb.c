/*
 * fdb - lookups and learns a second of the forwarding database and its peers
 *
 *	fdb [-n OPERATIONS] TABLE [ADDRESSES]...
 *	fdb list
 *
 * For each size (1000, 64000 and 1000000 unless told) one line of JSON with
 * nanoseconds an operation, the addresses in random order and looked up in
 * another one: learning new ones (`new`), learning known ones again (`known`),
 * looking up one after the other (`lookup`) and, where a table can make
 * something of knowing them before, 64 at a time as the pipeline does
 * (`batch`); then unknown ones (`miss`).
 *
 * One table a run, so that none finds the caches as another has left them. See
 * tables.h for how each is used; `list` prints those that are built in.
 */
#include "fdb/fdb.h"
#include "base/clock.h"
#include "tests/bench/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLICES 9u /* of a measurement; fewer where it is short */

static const struct table *const tables[] = {
	&table_fdb,
#ifdef HAVE_UTHASH
	&table_uthash,
#endif
#ifdef HAVE_GLIB
	&table_glib,
#endif
#ifdef HAVE_LIBURCU
	&table_liburcu,
#endif
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

static uint64_t operations = 4000000; /* a measurement has at least so many */
static volatile uint64_t sink;	      /* keeps the work from being dropped */

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

/*
 * The i-th address: below QEMU's prefix, each only once, as if drawn at random,
 * which is how libvirt and others choose them. (Counted up they would be a
 * present to a table that hashes by looking at the low bits.)
 */
static uint64_t address(uint32_t i)
{
	uint32_t mask = 0xffffff;

	i = i * 0x9e3779b1u & mask;
	i ^= i >> 13;
	i = i * 0x85ebca6bu & mask;
	i ^= i >> 11;
	return 0x525400000000ull + i;
}

/* CPU time of this thread, in nanoseconds. */
static uint64_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* In how many slices n operations at a time are measured. */
static uint64_t slices(uint32_t n)
{
	uint64_t most = 1 + operations / n;

	return most < SLICES ? most : SLICES;
}

/*
 * Nanoseconds an operation of `statement`, which does n of them: those of the
 * quickest of some runs, which others on the host have disturbed least.
 */
#define MEASURE(name, n, statement)                               \
	do {                                                      \
		uint64_t rounds_ = 1 + operations / SLICES / (n); \
		uint64_t least_ = UINT64_MAX, from_;              \
		for (uint64_t i_ = slices(n); i_; i_--) {         \
			from_ = cpu_now();                        \
			for (uint64_t r = 0; r < rounds_; r++)    \
				statement;                        \
			from_ = cpu_now() - from_;                \
			least_ = from_ < least_ ? from_ : least_; \
		}                                                 \
		printf(", \"%s_ns\": %.2f", name,                 \
		       (double)least_ / (double)rounds_ / (n));   \
	} while (0)

/* The same of learning new addresses; each time all are forgotten before. */
static double measure_new(const struct table *t, void *table,
			  const uint64_t *key, uint32_t n)
{
	uint64_t rounds = 1 + operations / SLICES / n / 4, least = UINT64_MAX;

	for (uint64_t i = slices(n); i; i--) {
		uint64_t ns = 0, from;

		for (uint64_t r = 0; r < rounds; r++) {
			t->clear(table);
			from = cpu_now();
			t->learn(table, key, n, 0);
			ns += cpu_now() - from;
		}
		least = ns < least ? ns : least;
	}
	return (double)least / (double)rounds / n;
}

static void measure(const struct table *t, void *table, uint64_t *key,
		    uint64_t *other, uint32_t n, uint64_t *x)
{
	printf("{\"table\": \"%s\", \"addresses\": %" PRIu32
	       ", \"new_ns\": %.2f",
	       t->name, n, measure_new(t, table, key, n));
	shuffle(key, n, x);
	MEASURE("known", n, t->learn(table, key, n, (uint32_t)r));
	MEASURE("lookup", n, sink += t->lookup(table, key, n));
	if (t->batch)
		MEASURE("batch", n, sink += t->batch(table, key, n));
	MEASURE("miss", n, sink += t->lookup(table, other, n));
	printf("}\n");
	fflush(stdout);
}

static int bench(const struct table *t, uint32_t n)
{
	uint64_t *key = calloc(n, sizeof(*key));
	uint64_t *other = calloc(n, sizeof(*other));
	void *table = t->make(n);
	uint64_t x = clock_ns() | 1;
	int rc = 1;

	if (!table || !key || !other) {
		perror("fdb");
		goto out;
	}
	for (uint32_t i = 0; i < n; i++) {
		key[i] = fdb_key(1, address(i));
		other[i] = fdb_key(2, address(i));
	}
	shuffle(key, n, &x);
	measure(t, table, key, other, n, &x);
	rc = 0;
out:
	if (table)
		t->free(table);
	free(key);
	free(other);
	return rc;
}

static const struct table *table_named(const char *name)
{
	for (unsigned int i = 0; i < TABLES; i++)
		if (!strcmp(tables[i]->name, name))
			return tables[i];
	return NULL;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1000, 64000, 1000000 };
	const struct table *t = NULL;
	int rc = 0, c;

	while ((c = getopt(argc, argv, "n:")) == 'n')
		operations = strtoull(optarg, NULL, 10);
	if (c == -1 && optind < argc && !strcmp(argv[optind], "list")) {
		for (unsigned int i = 0; i < TABLES; i++)
			puts(tables[i]->name);
		return 0;
	}
	if (c == -1 && optind < argc)
		t = table_named(argv[optind++]);
	if (!t) {
		fprintf(stderr, "usage: fdb [-n OPERATIONS] TABLE "
				"[ADDRESSES]... | list\n");
		return 2;
	}
	for (int i = optind; i < argc; i++) {
		unsigned long n = strtoul(argv[i], NULL, 10);

		if (n < 2 || n > FDB_ENTRIES_MAX / 2) {
			fprintf(stderr, "fdb: %s: not 2 to %u\n", argv[i],
				(unsigned int)(FDB_ENTRIES_MAX / 2));
			return 2;
		}
		rc |= bench(t, (uint32_t)n);
	}
	for (unsigned int i = 0; argc == optind && i < 3; i++)
		rc |= bench(t, sizes[i]);
	return rc;
}
