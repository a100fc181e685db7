/*
 * tables - the forwarding database and what others would take in its place
 *
 * Each is a table from keys of 64 bits (fdb_key: VLAN and address) to ports,
 * used as its documentation says, by one thread. Of the peers each takes the
 * quickest hash that is usual with it, though nobody should use them for what
 * an enemy chooses: uthash its default, GLib g_int64_hash, liburcu a
 * multiplication and shifts. Their nodes lie in one array: no allocator is
 * measured. liburcu's readers are those of QSBR, which cost nothing.
 */
#ifndef TESTS_BENCH_TABLES_H
#define TESTS_BENCH_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#define TABLES_BATCH 64u /* keys at a time, as the pipeline does */
#define TABLES_PORTS 64u

struct table {
	const char *name;
	/* With room for n keys, and empty; NULL and errno. */
	void *(*make)(uint32_t n);
	void (*free)(void *t);
	/* Remove all keys, which is not measured. */
	void (*clear)(void *t);
	/* Enter keys, behind their ports; where they are known already, say
	 * that they were seen. now_s: a time in seconds. */
	void (*learn)(void *t, const uint64_t *key, uint32_t n, uint32_t now_s);
	/* Look keys up one by one; the sum of what was found. */
	uint64_t (*lookup)(void *t, const uint64_t *key, uint32_t n);
	/* The same with all keys of a batch known in advance; may be NULL. */
	uint64_t (*batch)(void *t, const uint64_t *key, uint32_t n);
};

static inline uint32_t table_port(uint64_t key)
{
	return (uint32_t)(key % TABLES_PORTS);
}

extern const struct table table_fdb;
/* Only where configure has found them. */
extern const struct table table_uthash, table_glib, table_liburcu;

#endif
