/*
 * What goes through the whole table: ageing, flushing, walking.
 */
#include "fdb/fdb.h"

#include "fdb/table.h"

/* Age the tenants of one bucket; returns how many went. */
static uint32_t age_bucket(struct fdb_writer *w, struct fdb_bucket *b,
			   uint32_t now_s)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < FDB_SLOTS; i++) {
		struct fdb_slot *s = &b->slot[i];

		if (!fdb_slot_key(s))
			continue;
		if (fdb_slot_expired(w, s, now_s)) {
			fdb_slot_expire(w, s);
			n++;
		} else if (fdb_slot_age(s, now_s) < 0) {
			/* Adopted from a clock that was ahead: without this
			 * it would outlive everybody. */
			atomic_store_explicit(&s->seen, now_s,
					      memory_order_relaxed);
		}
	}
	return n;
}

uint32_t fdb_age(struct fdb *fdb, uint32_t now_s, uint32_t budget)
{
	struct fdb_writer *w = fdb->w;
	uint32_t n = 0;

	if (budget > fdb_buckets(fdb))
		budget = fdb_buckets(fdb);
	while (budget) {
		uint32_t stride = budget < FDB_STRIDE ? budget : FDB_STRIDE;

		pthread_mutex_lock(&w->lock);
		for (uint32_t i = 0; i < stride; i++) {
			n += age_bucket(w, &fdb->bucket[w->age_cursor], now_s);
			w->age_cursor = (w->age_cursor + 1) & fdb->mask;
		}
		pthread_mutex_unlock(&w->lock);
		budget -= stride;
	}
	return n;
}

static bool wanted(uint64_t key, uint32_t where, int port, int vid)
{
	return (port == FDB_ANY || (where & FDB_PORT_MASK) == (uint32_t)port) &&
	       (vid == FDB_ANY || fdb_key_vid(key) == vid);
}

static uint32_t flush_bucket(struct fdb_writer *w, struct fdb_bucket *b,
			     int port, int vid, bool statics_too)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < FDB_SLOTS; i++) {
		struct fdb_slot *s = &b->slot[i];
		uint64_t key = fdb_slot_key(s);

		if (!key || !wanted(key, fdb_slot_word(s), port, vid) ||
		    (fdb_slot_static(s) && !statics_too))
			continue;
		fdb_slot_clear(w, s);
		counter_add(&w->total->removed, 1);
		n++;
	}
	return n;
}

uint32_t fdb_flush(struct fdb *fdb, int port, int vid, bool statics_too)
{
	struct fdb_writer *w = fdb->w;
	uint32_t n = 0, b = 0;

	while (b <= fdb->mask) {
		pthread_mutex_lock(&w->lock);
		do
			n += flush_bucket(w, &fdb->bucket[b], port, vid,
					  statics_too);
		while (++b <= fdb->mask && b % FDB_STRIDE);
		pthread_mutex_unlock(&w->lock);
	}
	return n;
}

/* An entry as people see it, from words read together. */
static void describe(uint64_t key, uint32_t where, int32_t age,
		     struct fdb_entry *out)
{
	*out = (struct fdb_entry){
		.mac = fdb_key_mac(key),
		.vid = fdb_key_vid(key),
		.is_static = where & FDB_STATIC_F,
		.port = where & FDB_PORT_MASK,
		.age_s = where & FDB_STATIC_F || age < 0 ? 0 : (uint32_t)age,
	};
}

bool fdb_get(const struct fdb *fdb, uint64_t key, uint32_t now_s,
	     struct fdb_entry *out)
{
	const struct fdb_slot *s = fdb_find(fdb, key, fdb_hash(fdb, key));
	uint32_t where = s ? fdb_slot_where(s, key) : FDB_NONE;

	if (where == FDB_NONE)
		return false;
	describe(key, where, fdb_slot_age(s, now_s), out);
	return true;
}

unsigned int fdb_walk(const struct fdb *fdb, uint64_t *cursor, int port,
		      int vid, uint32_t now_s, struct fdb_entry *out,
		      unsigned int max)
{
	uint64_t end = (uint64_t)fdb_buckets(fdb) * FDB_SLOTS;
	unsigned int n = 0;

	for (; *cursor < end && n < max; ++*cursor) {
		const struct fdb_slot *s = &fdb->bucket[*cursor / FDB_SLOTS]
						    .slot[*cursor % FDB_SLOTS];
		uint64_t key = fdb_slot_key(s);
		uint32_t where;

		if (!key)
			continue;
		where = fdb_slot_where(s, key & FDB_KEY_MASK);
		if (where == FDB_NONE || !wanted(key, where, port, vid))
			continue;
		describe(key, where, fdb_slot_age(s, now_s), &out[n++]);
	}
	return n;
}
