/*
 * fdb/table - what the writers of the table share; private to fdb/
 *
 * Everything here is called with the writer lock held, or by fdb_new while
 * nobody else knows the table. Counters and accounts are atomic because other
 * threads read them; only the holder of the lock writes.
 */
#ifndef FDB_TABLE_H
#define FDB_TABLE_H

#include "base/counters.h"
#include "fdb/fdb.h"

#include <pthread.h>
#include <stdatomic.h>

/* What one port holds. */
struct fdb_account {
	_Atomic uint32_t entries; /* dynamic */
	_Atomic uint32_t static_entries;
	counter refused;
	uint32_t limit; /* 0 = none */
	bool uplink;
};

struct fdb_writer {
	pthread_mutex_t lock;
	void *own; /* the table's memory where it isn't the caller's */

	uint32_t ports;
	uint32_t age_s;		 /* 0 = never */
	uint32_t share;		 /* the uplinks', in entries */
	uint32_t uplink_entries; /* dynamic, of all uplinks together */
	uint32_t age_cursor;	 /* bucket that the next sweep begins with */
	struct fdb_account *account;

	_Atomic uint32_t entries; /* dynamic */
	_Atomic uint32_t static_entries;
	struct fdb_totals *total; /* in the table's header */
	counter adopted;

	struct fdb_event *ring; /* NULL = events are off */
	uint32_t ring_head;	/* the oldest record */
	uint32_t ring_count;
	uint64_t ring_lost;
};

/* Plain reads of words that only the holder of the lock changes. */
static inline uint64_t fdb_slot_key(const struct fdb_slot *s)
{
	return atomic_load_explicit(&s->key, memory_order_relaxed);
}

static inline uint32_t fdb_slot_word(const struct fdb_slot *s)
{
	return atomic_load_explicit(&s->where, memory_order_relaxed);
}

static inline uint32_t fdb_slot_port(const struct fdb_slot *s)
{
	return fdb_slot_word(s) & FDB_PORT_MASK;
}

static inline bool fdb_slot_static(const struct fdb_slot *s)
{
	return fdb_slot_word(s) & FDB_STATIC_F;
}

/* Seconds since the tenant's last frame; negative where that is ahead. */
static inline int32_t fdb_slot_age(const struct fdb_slot *s, uint32_t now_s)
{
	return (int32_t)(now_s -
			 atomic_load_explicit(&s->seen, memory_order_relaxed));
}

/* Is this dynamic entry past its age? The slot is in use. */
static inline bool fdb_slot_expired(const struct fdb_writer *w,
				    const struct fdb_slot *s, uint32_t now_s)
{
	return w->age_s && !fdb_slot_static(s) &&
	       (int64_t)fdb_slot_age(s, now_s) >= (int64_t)w->age_s;
}

/* Book an entry with this `where` word: n = 1 when it comes, -1 when it goes */
void fdb_account(struct fdb_writer *w, uint32_t where, int n);

/* A new tenant for a slot that is not in use. where: port and flags. */
void fdb_slot_put(struct fdb_writer *w, struct fdb_slot *s, uint64_t key,
		  uint32_t where, uint32_t now_s);

/* The tenant gets another port or other flags. */
void fdb_slot_change(struct fdb_writer *w, struct fdb_slot *s, uint32_t where);

/* The slot's tenant goes. */
void fdb_slot_clear(struct fdb_writer *w, struct fdb_slot *s);

/* The slot's dynamic tenant goes for its age: counted, recorded. */
void fdb_slot_expire(struct fdb_writer *w, struct fdb_slot *s);

/* Record a change, if somebody wants to know. */
void fdb_event_record(struct fdb_writer *w, enum fdb_event_type type,
		      uint64_t key, uint32_t port, uint32_t old_port);

#endif
