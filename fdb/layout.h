/*
 * fdb/layout - the forwarding database as it lies in memory
 *
 * One description for everybody who maps the table: the daemon, the daemon
 * that takes over after a crash, and the BPF program. So there is nothing
 * here but fixed-width integers, constants and arithmetic. A BPF program
 * brings uint32_t and uint64_t itself (vmlinux.h has them).
 *
 *	offset 0      struct fdb_header      (FDB_HEADER_SIZE bytes)
 *	offset 4096   struct fdb_bucket [buckets]
 *
 * A bucket is one cache line of four slots. A slot holds one address:
 *
 *	key    bit 63      valid: the slot is in use; all of key is 0 if not
 *	       bits 59..48 VID
 *	       bits 47..0  MAC, first byte on the wire on top
 *	where  bits 31..24 generation: counts the slot's tenants, modulo 256
 *	       bits 23..20 flags
 *	       bits 19..0  port index
 *	seen               when the address was last a source, in seconds
 *
 * `where` and `seen` are two words because they have different writers:
 * `key` and `where` change under the writer lock only, `seen` is refreshed
 * by any worker without it. A refresh that comes late, when the slot already
 * has another tenant, can thus make that one look younger, but never send
 * its frames to another port.
 *
 * Reading a slot without a lock: see fdb/lookup.h.
 */
#ifndef FDB_LAYOUT_H
#define FDB_LAYOUT_H

#ifdef __bpf__
#define FDB_ATOMIC(type) type
#else
#include <stdint.h>
#define FDB_ATOMIC(type) _Atomic type
#endif

#define FDB_MAGIC	0x3162646663747773ull /* "swtcfdb1" in memory */
#define FDB_VERSION	2u
#define FDB_HEADER_SIZE 4096u /* a page, so that buckets begin on one */
#define FDB_SLOTS	4u    /* in a bucket: 4 * 16 = one cache line */

#define FDB_KEY_VALID (1ull << 63)
#define FDB_KEY_MASK  ((1ull << 60) - 1)
#define FDB_VID_SHIFT 48
#define FDB_VID_MASK  0xfffu
#define FDB_MAC_MASK  ((1ull << 48) - 1)

#define FDB_PORT_MASK 0x000fffffu
#define FDB_STATIC_F  0x00100000u /* configured: never moves, never ages */
#define FDB_FLAGS     0x00f00000u
#define FDB_GEN_MASK  0xff000000u
#define FDB_GEN_ONE   0x01000000u

#define FDB_NONE 0xffffffffu /* no port: the address is unknown */

struct fdb_slot {
	FDB_ATOMIC(uint64_t) key;
	FDB_ATOMIC(uint32_t) where;
	FDB_ATOMIC(uint32_t) seen;
};

struct fdb_bucket {
	struct fdb_slot slot[FDB_SLOTS];
} __attribute__((aligned(64)));

/* What happened to entries since the table is there; see struct fdb_stats. By
 * the holder of the writer lock. */
struct fdb_totals {
	FDB_ATOMIC(uint64_t) learned, added, moved;
	FDB_ATOMIC(uint64_t) aged, evicted, removed, refused;
};

/* Written once, but for the totals; the magic last, so that half a header is
 * never believed. */
struct fdb_header {
	FDB_ATOMIC(uint64_t) magic; /* FDB_MAGIC; 0 = not yet initialised */
	uint32_t version;
	uint32_t buckets; /* a power of two, at least 2 */
	uint64_t size;	  /* of the whole memory, in bytes */
	uint64_t secret[2];
	struct fdb_totals total;
};

#define FDB_ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

#define FDB_SIPROUND(v0, v1, v2, v3)     \
	do {                             \
		(v0) += (v1);            \
		(v1) = FDB_ROTL(v1, 13); \
		(v1) ^= (v0);            \
		(v0) = FDB_ROTL(v0, 32); \
		(v2) += (v3);            \
		(v3) = FDB_ROTL(v3, 16); \
		(v3) ^= (v2);            \
		(v0) += (v3);            \
		(v3) = FDB_ROTL(v3, 21); \
		(v3) ^= (v0);            \
		(v2) += (v1);            \
		(v1) = FDB_ROTL(v1, 17); \
		(v1) ^= (v2);            \
		(v2) = FDB_ROTL(v2, 32); \
	} while (0)

/*
 * The keyed hash of a key (without the valid bit): SipHash-1-3 of one 64-bit
 * block. SipHash's closing block, which encodes the length, is left out as
 * every message has the same length. Additions, rotations and exclusive ors
 * only, so that BPF can do it. Who doesn't know the secret can't choose
 * addresses that share buckets, which cheaper hashes (a multiplication, CRC,
 * Toeplitz) allow. `type` is that of all operands: uint64_t or a vector of it.
 */
#define FDB_SIPHASH(hash, secret0, secret1, key, type)        \
	do {                                                  \
		type v0_ = (secret0) ^ 0x736f6d6570736575ull; \
		type v1_ = (secret1) ^ 0x646f72616e646f6dull; \
		type v2_ = (secret0) ^ 0x6c7967656e657261ull; \
		type v3_ = (secret1) ^ 0x7465646279746573ull; \
                                                              \
		v3_ ^= (key);                                 \
		FDB_SIPROUND(v0_, v1_, v2_, v3_);             \
		v0_ ^= (key);                                 \
		v2_ ^= 0xff;                                  \
		FDB_SIPROUND(v0_, v1_, v2_, v3_);             \
		FDB_SIPROUND(v0_, v1_, v2_, v3_);             \
		FDB_SIPROUND(v0_, v1_, v2_, v3_);             \
		(hash) = v0_ ^ v1_ ^ v2_ ^ v3_;               \
	} while (0)

static inline uint64_t fdb_hash_key(const uint64_t secret[2], uint64_t key)
{
	uint64_t hash;

	FDB_SIPHASH(hash, secret[0], secret[1], key, uint64_t);
	return hash;
}

/* The two candidate buckets of a hash; never the same one (mask >= 1). */
static inline uint32_t fdb_bucket_first(uint64_t hash, uint32_t mask)
{
	return (uint32_t)hash & mask;
}

static inline uint32_t fdb_bucket_second(uint64_t hash, uint32_t mask)
{
	uint32_t first = (uint32_t)hash & mask;
	uint32_t second = (uint32_t)(hash >> 32) & mask;

	return second == first ? first ^ 1 : second;
}

/*
 * What to make of a slot that was read for a key: the `where` word, the key
 * word, `where` again. Returns the later `where`, or FDB_NONE where they don't
 * belong together; that is no possible word, as ports are below FDB_PORTS_MAX.
 */
static inline uint32_t fdb_slot_judge(uint64_t key, uint32_t before,
				      uint64_t word, uint32_t after)
{
	if (word != (key | FDB_KEY_VALID) || (before ^ after) & FDB_GEN_MASK)
		return FDB_NONE;
	return after;
}

#endif
