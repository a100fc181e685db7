/*
 * fdb/lookup - what the pipeline does once a frame; included by fdb/fdb.h
 *
 * How a slot is read without a lock
 * ---------------------------------
 * A slot gets a new tenant in four stores, in this order: key = 0, where (new
 * port, generation + 1; release), seen, key (release). A move of a tenant is
 * one store to `where` with the generation unchanged. A reader that has
 * picked a slot (where it found its key, or any) loads where (acquire), key
 * (acquire), and where again, and believes it if the key is its own and both
 * looks at `where` show the same generation. Then:
 *
 *  - The first `where`, of generation g, was stored after "key = 0" of g, so
 *    the key was stored in g or later.
 *  - The key was stored after `where` of its generation, so the second
 *    `where` is of the key's generation or later.
 *  - The second is of generation g: so the key is the tenant of g, and both
 *    looks show ports of that tenant.
 *
 * Looking at the key alone, before and after, isn't enough: a reader that is
 * preempted between may find its key back in the slot after another tenant
 * whose port it has read. The generation has eight bits; to fool it, a reader
 * must sleep through exactly a multiple of 256 tenants of one slot, at the
 * right instruction, and wake up to find its own key.
 *
 * No fences, which ThreadSanitizer doesn't understand. On x86 all of this is
 * plain loads.
 */
#ifndef FDB_LOOKUP_H
#define FDB_LOOKUP_H

#include "fdb/fdb.h"

#include <stdatomic.h>

/* The hash of a key, to be kept for the calls that end in _at. */
static inline uint64_t fdb_hash(const struct fdb *fdb, uint64_t key)
{
	return fdb_hash_key(fdb->secret, key);
}

/* Start loading both candidate buckets of a hash. */
static inline void fdb_prefetch_at(const struct fdb *fdb, uint64_t hash)
{
	__builtin_prefetch(&fdb->bucket[fdb_bucket_first(hash, fdb->mask)]);
	__builtin_prefetch(&fdb->bucket[fdb_bucket_second(hash, fdb->mask)]);
}

/* Start loading both candidate buckets; returns the key's hash. */
static inline uint64_t fdb_prefetch(const struct fdb *fdb, uint64_t key)
{
	uint64_t hash = fdb_hash(fdb, key);

	fdb_prefetch_at(fdb, hash);
	return hash;
}

/*
 * The same for n keys, which takes half as long for each: hash[i] is that of
 * key[i]. Any thread.
 */
void fdb_prefetch_many(const struct fdb *fdb, const uint64_t *key,
		       unsigned int n, uint64_t *hash);

/* `slot` if it has this key word at the moment, else `other`. */
static inline struct fdb_slot *fdb_slot_if(struct fdb_slot *slot, uint64_t word,
					   struct fdb_slot *other)
{
	return atomic_load_explicit(&slot->key, memory_order_relaxed) == word
		       ? slot
		       : other;
}

/* The bucket's first slot that has this key word at the moment, or `other`. */
static inline struct fdb_slot *fdb_bucket_find(struct fdb_bucket *b,
					       uint64_t word,
					       struct fdb_slot *other)
{
	_Static_assert(FDB_SLOTS == 4, "written out");
	other = fdb_slot_if(&b->slot[3], word, other);
	other = fdb_slot_if(&b->slot[2], word, other);
	other = fdb_slot_if(&b->slot[1], word, other);
	return fdb_slot_if(&b->slot[0], word, other);
}

/*
 * The first slot that has this key at the moment, or any of those that might
 * have had it. All eight are compared: in which one it is can't be predicted,
 * and a wrong guess costs more than the comparisons, of which the compiler
 * makes conditional moves.
 */
static inline struct fdb_slot *fdb_candidate(const struct fdb *fdb,
					     uint64_t key, uint64_t hash)
{
	struct fdb_bucket *first =
		&fdb->bucket[fdb_bucket_first(hash, fdb->mask)];
	struct fdb_bucket *second =
		&fdb->bucket[fdb_bucket_second(hash, fdb->mask)];
	uint64_t word = key | FDB_KEY_VALID;
	struct fdb_slot *s;

	s = fdb_bucket_find(second, word, &first->slot[0]);
	s = fdb_bucket_find(first, word, s);
	/* Else the last choice becomes a branch, with the rest behind it. */
	__asm__("" : "+r"(s));
	return s;
}

/* The slot that has this key at the moment, or NULL: for the writer, to whom
 * nothing can happen in between. */
static inline struct fdb_slot *fdb_find(const struct fdb *fdb, uint64_t key,
					uint64_t hash)
{
	struct fdb_slot *s = fdb_candidate(fdb, key, hash);

	return atomic_load_explicit(&s->key, memory_order_relaxed) ==
			       (key | FDB_KEY_VALID)
		       ? s
		       : NULL;
}

/* The slot's `where` word if it is this key's, else FDB_NONE. */
static inline uint32_t fdb_slot_where(const struct fdb_slot *s, uint64_t key)
{
	uint32_t before, after;
	uint64_t word;

	before = atomic_load_explicit(&s->where, memory_order_acquire);
	word = atomic_load_explicit(&s->key, memory_order_acquire);
	after = atomic_load_explicit(&s->where, memory_order_relaxed);
	return fdb_slot_judge(key, before, word, after);
}

/*
 * The port that an address is behind, or FDB_NONE where it is unknown.
 * hash: fdb_prefetch(fdb, key). Any thread, no lock, no store.
 */
static inline uint32_t fdb_lookup_at(const struct fdb *fdb, uint64_t key,
				     uint64_t hash)
{
	uint32_t where = fdb_slot_where(fdb_candidate(fdb, key, hash), key);

	return where == FDB_NONE ? FDB_NONE : where & FDB_PORT_MASK;
}

static inline uint32_t fdb_lookup(const struct fdb *fdb, uint64_t key)
{
	return fdb_lookup_at(fdb, key, fdb_hash(fdb, key));
}

/*
 * A frame came in from an address.
 *
 * key    its VID and source: never a group address, nor an all-zero one
 * hash   fdb_prefetch(fdb, key)
 * port   where it came in, below config.ports
 * now_s  the time; a known address is written to once a second at most
 *
 * Any thread. The lock is taken only where the address is new or moved.
 */
static inline enum fdb_result fdb_learn_at(struct fdb *fdb, uint64_t key,
					   uint64_t hash, uint32_t port,
					   uint32_t now_s)
{
	struct fdb_slot *s = fdb_candidate(fdb, key, hash);
	uint32_t where = fdb_slot_where(s, key);

	if (where == FDB_NONE)
		return fdb_learn_locked(fdb, key, hash, port, now_s);
	if (where & FDB_STATIC_F)
		return (where & FDB_PORT_MASK) == port ? FDB_KNOWN : FDB_STATIC;
	if ((where & FDB_PORT_MASK) != port)
		return fdb_learn_locked(fdb, key, hash, port, now_s);
	/* Forward only: the clocks of two workers may be a tick apart. */
	if ((int32_t)(now_s -
		      atomic_load_explicit(&s->seen, memory_order_relaxed)) > 0)
		atomic_store_explicit(&s->seen, now_s, memory_order_relaxed);
	return FDB_KNOWN;
}

static inline enum fdb_result fdb_learn(struct fdb *fdb, uint64_t key,
					uint32_t port, uint32_t now_s)
{
	return fdb_learn_at(fdb, key, fdb_hash(fdb, key), port, now_s);
}

#endif
