/*
 * fdb - the forwarding database: which port is an address behind?
 *
 * Model
 * -----
 * The table maps a key, (VID, MAC), to a port index: it is what a bridge
 * learns from source addresses and asks for destination addresses (IEEE
 * 802.1Q-2022 8.7 and 8.8). It is a fixed array of buckets, one cache line
 * with four slots each, sized once: no chains, no resize, no allocation after
 * fdb_new. A keyed hash with a random secret gives each key two candidate
 * buckets; a new address goes to the emptier one, and an entry stays in its
 * slot for life. So a lookup touches two cache lines at most, whatever
 * anybody sends, and a walk by slot number finds each entry once. fdb/layout.h
 * describes the memory, which may be shared with a BPF program or outlive the
 * process.
 *
 * Entries are dynamic (learned; they move, age and may be evicted) or static
 * (configured; only fdb_remove, fdb_flush and fdb_add_static change them).
 *
 * Ageing
 * ------
 * The caller passes the time into every call that needs it: seconds of any
 * clock that doesn't go backwards, modulo 2^32. There is no clock, no I/O and
 * no log in here. Where a table is adopted from an earlier process, both must
 * use the same clock (CLOCK_MONOTONIC is). fdb_age() sweeps a number of
 * buckets each call. With a sweep of the whole table taking T seconds, an
 * entry is gone age_s + T after its last frame at the latest.
 *
 * When there is no room: fairness
 * -------------------------------
 * An address is without room when its two buckets are full. Filled to the
 * half, a table has no room for one address in 30 000; to three quarters, for
 * one in 150; to the end, for one in 13: it wants to be twice as big as what
 * it is expected to hold. What happens then is a security feature. A table
 * that evicts the oldest entry, whoever's it is, lets one guest that sends
 * from random addresses push out everybody else's; their frames are then
 * flooded, and that guest reads them. A table that refuses lets the same
 * guest keep newcomers out for ever. Here instead:
 *
 *  - An entry that is past its age is taken first, whoever held it.
 *  - Else, of the ports that have a dynamic entry in the two buckets, the one
 *    that holds most of the whole table gives its oldest entry there, but
 *    only where it holds more than the learner does.
 *  - Else the learner is the biggest holder around: the new address is
 *    refused (FDB_REFUSED) and counted. A flood thus ends up against itself:
 *    once a guest holds more than any other, it can take nothing from anyone,
 *    even where its two buckets hold only others' entries, while everybody
 *    else's new addresses replace the flood's.
 *  - Uplinks lead to many hosts, so they hold many addresses rightly. They
 *    have a share of the table: as long as they hold no more than that
 *    together, no guest evicts an uplink's entry. In the comparison between
 *    guests and uplinks, an uplink counts only by what all uplinks together
 *    hold beyond the share; between two uplinks their own numbers count. So
 *    a flood from outside takes from guests what the share grants; beyond
 *    that it takes only from a guest that holds more than the excess.
 *  - Static entries stay. They count for no port in the comparison.
 *  - A port may have a limit of its own besides.
 *
 * An attacker with several ports is bound by the same rule for each of them:
 * a guest loses an address only to a port that holds fewer than it does, or
 * to an uplink within its share.
 *
 * Taking over an address that another port holds is a move, not a matter of
 * room: a learning switch can't tell a guest that migrates from one that
 * lies. Who must not be impersonated gets a static entry.
 *
 * Threads
 * -------
 * fdb_prefetch, the lookups, the walk and the statistics take no lock and may
 * be called by any thread at any time; so may fdb_learn, which takes the
 * writer lock only for addresses that are new or moved. A lookup that races
 * with a change gives the port of before, that of after, or a miss, and never
 * a port that the key didn't have (see fdb/lookup.h). Everything else takes
 * the writer lock for at most FDB_STRIDE buckets at a time and may be called
 * by any thread; switchd's main thread does. fdb_new and fdb_free are called
 * while no other thread knows the table.
 *
 * Ownership: the caller owns memory that it passed to fdb_new, until after
 * fdb_free. Ports are indexes below config.ports; the caller reuses an index
 * only when no thread learns for the old port any more and fdb_flush(fdb,
 * port, -1, true) was called after that.
 */
#ifndef FDB_FDB_H
#define FDB_FDB_H

#include "fdb/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDB_ENTRIES_DEFAULT 65536u
#define FDB_ENTRIES_MAX	    (1u << 26)	  /* 1 GiB */
#define FDB_AGE_DEFAULT	    300u	  /* IEEE 802.1Q-2022 table 8-6 */
#define FDB_SHARE_DEFAULT   50u		  /* percent */
#define FDB_PORTS_MAX	    FDB_PORT_MASK /* what a slot can hold, less one */
#define FDB_ANY		    (-1)	  /* filter: any port, any VID */
#define FDB_STRIDE	    1024u /* buckets done in one hold of the lock */
#define FDB_EVENTS_MAX	    4096u /* change records kept for draining */

struct fdb_config {
	uint32_t entries;      /* 1 to FDB_ENTRIES_MAX; rounded up to 2^n */
	uint32_t age_s;	       /* seconds; 0 = dynamic entries never age */
	uint32_t ports;	       /* port indexes are below this; 1 to PORTS_MAX */
	uint32_t uplink_share; /* percent of the table, 0 to 100 */
	uint64_t secret[2];    /* random, from the caller */
	/* Leave the entries in `memory` alone until fdb_adopt(): somebody else
	 * still writes to them. Lookups work. */
	bool later;
};

/* Everything but the number of ports and the secret. */
#define FDB_CONFIG_INIT                                                   \
	{                                                                 \
		.entries = FDB_ENTRIES_DEFAULT, .age_s = FDB_AGE_DEFAULT, \
		.uplink_share = FDB_SHARE_DEFAULT,                        \
	}

enum fdb_result {
	FDB_KNOWN,   /* was there; its age is fresh now */
	FDB_LEARNED, /* is new in the table */
	FDB_MOVED,   /* was behind another port until now */
	FDB_REFUSED, /* no room for this port, see above; counted */
	FDB_STATIC,  /* a static entry says another port; nothing changed */
};

/* One address, for people and control clients. */
struct fdb_entry {
	uint64_t mac; /* as in base/mac.h */
	uint16_t vid;
	bool is_static;
	uint32_t port;
	uint32_t age_s; /* since the last frame from it; 0 for static ones */
};

enum fdb_event_type {
	FDB_EVENT_LEARNED,
	FDB_EVENT_MOVED,
	FDB_EVENT_AGED,
	FDB_EVENT_EVICTED, /* gave way to a port that holds less */
};

/* A change, recorded for whoever drains it. */
struct fdb_event {
	uint64_t key;
	uint32_t port;	   /* which it is or was behind */
	uint32_t old_port; /* moved: from here; else FDB_NONE */
	enum fdb_event_type type;
};

/*
 * Once the threads are quiet, entries + static_entries = adopted + learned +
 * added - aged - evicted - removed. All but the first two and `adopted` count
 * on where another process takes the table over.
 */
struct fdb_stats {
	uint32_t capacity; /* slots */
	uint32_t entries;  /* dynamic ones now */
	uint32_t static_entries;
	uint64_t adopted; /* found in memory beyond what the others explain,
			   * modulo 2^64 */
	uint64_t learned;
	uint64_t added; /* static entries that were no entries before */
	uint64_t moved;
	uint64_t aged;
	uint64_t evicted;
	uint64_t removed; /* by fdb_remove and fdb_flush */
	uint64_t refused;
};

struct fdb_port_stats {
	uint32_t entries; /* dynamic ones now */
	uint32_t static_entries;
	uint64_t refused;
};

struct fdb_writer; /* locks, accounts, counters: fdb.c's own */

/* Only what the fast path needs, read-only once fdb_new has returned. */
struct fdb {
	struct fdb_bucket *bucket;
	uint64_t secret[2];
	uint32_t mask; /* number of buckets - 1 */
	struct fdb_writer *w;
};

/* ---- Basics ---- */

/*
 * The key of an address. vid: 0 to 4095 (0 where VLANs are not used), mac: as
 * in base/mac.h, an individual address.
 */
static inline uint64_t fdb_key(uint16_t vid, uint64_t mac)
{
	return (uint64_t)(vid & FDB_VID_MASK) << FDB_VID_SHIFT |
	       (mac & FDB_MAC_MASK);
}

static inline uint16_t fdb_key_vid(uint64_t key)
{
	return (uint16_t)(key >> FDB_VID_SHIFT & FDB_VID_MASK);
}

static inline uint64_t fdb_key_mac(uint64_t key)
{
	return key & FDB_MAC_MASK;
}

/*
 * Bytes of memory that a table of this configuration occupies: a multiple of
 * 64. 0 where the configuration is out of range.
 */
size_t fdb_memory_size(const struct fdb_config *config);

/*
 * Make a table.
 *
 * config  copied
 * memory  NULL: the table allocates its own. Else fdb_memory_size(config)
 *         bytes of the caller's, aligned to 64, which are either all zero, or
 *         hold a table of the same size and layout, which nobody else writes
 *         any more. That one is adopted with its entries and its secret.
 *         What can't be right in it (ports out of range, an address in a
 *         bucket that isn't its own, one that is there twice) is dropped.
 *
 * Returns the table, for fdb_free; or NULL with errno EINVAL (configuration
 * out of range, memory misaligned, or holding something else, a table of
 * another size or of another version; nothing in it was changed) or ENOMEM.
 */
struct fdb *fdb_new(const struct fdb_config *config, void *memory)
	__attribute__((warn_unused_result));

/*
 * Take the entries over that are in the table's memory by now: after fdb_new()
 * with config.later, or where another process had it meanwhile. Drops what
 * can't be right, as fdb_new() does. Ports keep their class and limit.
 */
void fdb_adopt(struct fdb *fdb);

/*
 * Free the table, and its memory unless that is the caller's: there the
 * entries stay, ready to be adopted. NULL is fine.
 */
void fdb_free(struct fdb *fdb);

/* ---- Configuration ---- */

/*
 * Set a port's class and limit. Every port begins as a guest without limit,
 * also after adoption. Entries that the port has stay, also beyond the limit.
 *
 * port    below config.ports
 * uplink  true: shares the uplinks' part of the table
 * limit   dynamic entries it may hold, 0 = no limit of its own
 *
 * Returns 0, or -EINVAL.
 */
int fdb_port_set(struct fdb *fdb, uint32_t port, bool uplink, uint32_t limit)
	__attribute__((warn_unused_result));

/* Set the ageing time in seconds, 0 = never; it holds from the next sweep. */
void fdb_age_set(struct fdb *fdb, uint32_t age_s);

/* ---- Lookup and learning: inline in fdb/lookup.h, included below ----
 *
 *	uint64_t hash = fdb_prefetch(fdb, key);
 *	...                                  other frames of the batch
 *	port = fdb_lookup_at(fdb, key, hash);
 *	result = fdb_learn_at(fdb, key, hash, port, now_s);
 *
 * or fdb_lookup(fdb, key) and fdb_learn(fdb, key, port, now_s), which hash
 * themselves.
 */

/* The part of fdb_learn that takes the lock. Not for callers outside. */
enum fdb_result fdb_learn_locked(struct fdb *fdb, uint64_t key, uint64_t hash,
				 uint32_t port, uint32_t now_s);

/*
 * The entry of a key with all that is known. now_s: for the age. Returns
 * whether there is one; *out is written only then. No lock, any thread.
 */
bool fdb_get(const struct fdb *fdb, uint64_t key, uint32_t now_s,
	     struct fdb_entry *out);

/* ---- Static entries ---- */

/*
 * Tie an address to a port. A dynamic entry of the address becomes static, a
 * static one changes to this port. Where there is no room, the oldest dynamic
 * entry of the biggest holder in the two buckets gives way.
 *
 * Returns 0, -EINVAL (port out of range), or -ENOSPC (the two buckets hold
 * only static entries).
 */
int fdb_add_static(struct fdb *fdb, uint64_t key, uint32_t port)
	__attribute__((warn_unused_result));

/* Remove an entry, static or dynamic. Returns 0, or -ENOENT. */
int fdb_remove(struct fdb *fdb, uint64_t key)
	__attribute__((warn_unused_result));

/* ---- Ageing and flushing ---- */

/*
 * Remove dynamic entries that are past their age from the next `budget`
 * buckets (a bigger budget than there are buckets means all of them). Call it
 * each second with buckets / T for a sweep in T seconds: fdb_buckets tells.
 * Returns the number of entries removed.
 */
uint32_t fdb_age(struct fdb *fdb, uint32_t now_s, uint32_t budget);

/*
 * Remove the entries of a port and VID, each of them FDB_ANY for all; static
 * ones only where statics_too. What is learned meanwhile may stay. Returns
 * the number of entries removed.
 */
uint32_t fdb_flush(struct fdb *fdb, int port, int vid, bool statics_too);

/* ---- Looking inside ---- */

/*
 * The next page of entries, in the order of their slots.
 *
 * cursor     0 for the first page; advanced by the call; keeps its meaning
 *            whatever changes in between, and between processes
 * port, vid  only these; FDB_ANY for all
 * now_s      for the age
 * out, max   room for max entries, at least 1
 *
 * Returns the number of entries written; fewer than max means that the end
 * was reached. An entry that is there all the time is returned exactly once;
 * one that comes or goes meanwhile may be or not. No lock, any thread.
 */
unsigned int fdb_walk(const struct fdb *fdb, uint64_t *cursor, int port,
		      int vid, uint32_t now_s, struct fdb_entry *out,
		      unsigned int max);

/* The number of buckets. Any thread. */
static inline uint32_t fdb_buckets(const struct fdb *fdb)
{
	return fdb->mask + 1;
}

/* The table's numbers, each exact, together a moment apart. Any thread. */
void fdb_stats_get(const struct fdb *fdb, struct fdb_stats *out);

/* A port's numbers. Any thread. Returns 0, or -EINVAL. */
int fdb_port_stats_get(const struct fdb *fdb, uint32_t port,
		       struct fdb_port_stats *out)
	__attribute__((warn_unused_result));

/* ---- Events ---- */

/*
 * Begin or end to record changes; off at first. At most FDB_EVENTS_MAX wait
 * to be drained, further ones are lost and counted. Off discards what waits.
 * Returns 0, or -ENOMEM.
 */
int fdb_events_enable(struct fdb *fdb, bool on)
	__attribute__((warn_unused_result));

/*
 * Take up to max records, oldest first. *lost is set to the number of records
 * lost since the last call. Returns the number written to out.
 */
unsigned int fdb_events_drain(struct fdb *fdb, struct fdb_event *out,
			      unsigned int max, uint64_t *lost);

#include "fdb/lookup.h"

#endif
