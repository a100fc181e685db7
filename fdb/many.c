/*
 * The hashes of many keys at a time: four side by side, by the compiler's
 * vectors. It is the same arithmetic as fdb_hash_key(), in fdb/layout.h.
 */
#include "fdb/fdb.h"

#include <string.h>

#define LANES 4u

typedef uint64_t lanes __attribute__((vector_size(LANES * sizeof(uint64_t))));

/* hash[i] of key[i], for LANES of them. */
static inline __attribute__((always_inline)) void hash_lanes(
	const uint64_t secret[2], const uint64_t *key, uint64_t *hash)
{
	lanes k, h, all = { 0 };

	memcpy(&k, key, sizeof(k));
	FDB_SIPHASH(h, all + secret[0], all + secret[1], k, lanes);
	memcpy(hash, &h, sizeof(h));
}

/* The loads of one round are on their way while the next one computes: all of
 * them at once are more than a processor keeps count of. */
static inline __attribute__((always_inline)) void prefetch_many(
	const struct fdb *fdb, const uint64_t *key, unsigned int n,
	uint64_t *hash)
{
	uint64_t rest[LANES] = { 0 };
	unsigned int i, j;

	for (i = 0; i + LANES <= n; i += LANES) {
		hash_lanes(fdb->secret, key + i, hash + i);
		for (j = 0; j < LANES; j++)
			fdb_prefetch_at(fdb, hash[i + j]);
	}
	if (i == n)
		return;
	memcpy(rest, key + i, (n - i) * sizeof(*key));
	hash_lanes(fdb->secret, rest, rest);
	for (j = 0; i + j < n; j++) {
		hash[i + j] = rest[j];
		fdb_prefetch_at(fdb, rest[j]);
	}
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void prefetch_avx2(const struct fdb *fdb,
							  const uint64_t *key,
							  unsigned int n,
							  uint64_t *hash)
{
	prefetch_many(fdb, key, n, hash);
}

/* The same width; but it has rotations. */
__attribute__((target("avx512vl"))) static void prefetch_avx512(
	const struct fdb *fdb, const uint64_t *key, unsigned int n,
	uint64_t *hash)
{
	prefetch_many(fdb, key, n, hash);
}
#endif

void fdb_prefetch_many(const struct fdb *fdb, const uint64_t *key,
		       unsigned int n, uint64_t *hash)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512vl")) {
		prefetch_avx512(fdb, key, n, hash);
		return;
	}
	if (__builtin_cpu_supports("avx2")) {
		prefetch_avx2(fdb, key, n, hash);
		return;
	}
#endif
	prefetch_many(fdb, key, n, hash);
}
