/*
 * Changes to single entries: learning with its fairness, static entries. The
 * rules are in the essay of fdb/fdb.h.
 */
#include "fdb/fdb.h"

#include "fdb/table.h"

#include <errno.h>

static uint32_t held(const struct fdb_account *a)
{
	return atomic_load_explicit(&a->entries, memory_order_relaxed);
}

/* How much of the table a port answers for, seen from the other class. */
static int64_t weight(const struct fdb_writer *w, const struct fdb_account *a)
{
	if (!a->uplink)
		return held(a);
	return w->uplink_entries > w->share ? w->uplink_entries - w->share : 0;
}

/*
 * By how many entries does the holder outweigh the learner? Not above 0:
 * nothing of his may be taken. learner NULL: the administrator, who may take
 * from everybody.
 */
static int64_t outweighs(const struct fdb_writer *w,
			 const struct fdb_account *holder,
			 const struct fdb_account *learner)
{
	if (!learner)
		return weight(w, holder) + 1;
	if (holder->uplink && learner->uplink)
		return (int64_t)held(holder) - held(learner);
	return weight(w, holder) - weight(w, learner);
}

/* A free slot in the emptier of the two buckets, or NULL. */
static struct fdb_slot *find_free(const struct fdb *fdb, uint64_t hash)
{
	struct fdb_bucket *b[2] = {
		&fdb->bucket[fdb_bucket_first(hash, fdb->mask)],
		&fdb->bucket[fdb_bucket_second(hash, fdb->mask)],
	};
	struct fdb_slot *found[2] = { NULL, NULL };
	unsigned int n[2] = { 0, 0 };

	for (unsigned int j = 0; j < 2; j++) {
		for (unsigned int i = 0; i < FDB_SLOTS; i++) {
			if (fdb_slot_key(&b[j]->slot[i]))
				continue;
			if (!n[j]++)
				found[j] = &b[j]->slot[i];
		}
	}
	return n[1] > n[0] ? found[1] : found[0];
}

/*
 * The slot of two full buckets whose entry gives way to the learner, or NULL
 * where none has to.
 */
static struct fdb_slot *find_victim(const struct fdb *fdb, uint64_t hash,
				    const struct fdb_account *learner,
				    uint32_t now_s)
{
	const struct fdb_writer *w = fdb->w;
	struct fdb_slot *victim = NULL;
	int64_t most = 0;

	for (unsigned int i = 0; i < 2 * FDB_SLOTS; i++) {
		uint32_t b = i < FDB_SLOTS ? fdb_bucket_first(hash, fdb->mask)
					   : fdb_bucket_second(hash, fdb->mask);
		struct fdb_slot *s = &fdb->bucket[b].slot[i % FDB_SLOTS];
		int64_t by;

		if (fdb_slot_static(s))
			continue;
		if (learner && fdb_slot_expired(w, s, now_s))
			return s;
		by = outweighs(w, &w->account[fdb_slot_port(s)], learner);
		if (by < most || by <= 0)
			continue;
		if (by == most &&
		    fdb_slot_age(s, now_s) <= fdb_slot_age(victim, now_s))
			continue;
		victim = s;
		most = by;
	}
	return victim;
}

/*
 * A slot that is not in use for a new entry, after eviction where that must
 * be; NULL where there is no room.
 */
static struct fdb_slot *make_room(struct fdb *fdb, uint64_t hash,
				  const struct fdb_account *learner,
				  uint32_t now_s)
{
	struct fdb_writer *w = fdb->w;
	struct fdb_slot *s = find_free(fdb, hash);

	if (s)
		return s;
	s = find_victim(fdb, hash, learner, now_s);
	if (!s)
		return NULL;
	if (learner && fdb_slot_expired(w, s, now_s)) {
		fdb_slot_expire(w, s);
		return s;
	}
	counter_add(&w->total->evicted, 1);
	fdb_event_record(w, FDB_EVENT_EVICTED, fdb_slot_key(s) & FDB_KEY_MASK,
			 fdb_slot_port(s), FDB_NONE);
	fdb_slot_clear(w, s);
	return s;
}

static enum fdb_result refuse(struct fdb_writer *w, struct fdb_account *a)
{
	counter_add(&w->total->refused, 1);
	if (a)
		counter_add(&a->refused, 1);
	return FDB_REFUSED;
}

/* The address is there: its age is refreshed, or it moves. */
static enum fdb_result relearn(struct fdb_writer *w, struct fdb_slot *s,
			       uint64_t key, uint32_t port, uint32_t now_s)
{
	struct fdb_account *a = &w->account[port];
	uint32_t old = fdb_slot_port(s);

	if (fdb_slot_static(s))
		return old == port ? FDB_KNOWN : FDB_STATIC;
	if (old != port && a->limit && held(a) >= a->limit)
		return refuse(w, a);
	atomic_store_explicit(&s->seen, now_s, memory_order_relaxed);
	if (old == port)
		return FDB_KNOWN;
	fdb_slot_change(w, s, port);
	counter_add(&w->total->moved, 1);
	fdb_event_record(w, FDB_EVENT_MOVED, key, port, old);
	return FDB_MOVED;
}

static enum fdb_result learn(struct fdb *fdb, uint64_t key, uint64_t hash,
			     uint32_t port, uint32_t now_s)
{
	struct fdb_writer *w = fdb->w;
	struct fdb_account *a;
	struct fdb_slot *s;

	if (port >= w->ports)
		return refuse(w, NULL);
	a = &w->account[port];
	s = fdb_find(fdb, key, hash);
	if (s)
		return relearn(w, s, key, port, now_s);
	if (a->limit && held(a) >= a->limit)
		return refuse(w, a);
	s = make_room(fdb, hash, a, now_s);
	if (!s)
		return refuse(w, a);
	fdb_slot_put(w, s, key, port, now_s);
	counter_add(&w->total->learned, 1);
	fdb_event_record(w, FDB_EVENT_LEARNED, key, port, FDB_NONE);
	return FDB_LEARNED;
}

enum fdb_result fdb_learn_locked(struct fdb *fdb, uint64_t key, uint64_t hash,
				 uint32_t port, uint32_t now_s)
{
	enum fdb_result result;

	pthread_mutex_lock(&fdb->w->lock);
	result = learn(fdb, key, hash, port, now_s);
	pthread_mutex_unlock(&fdb->w->lock);
	return result;
}

int fdb_add_static(struct fdb *fdb, uint64_t key, uint32_t port)
{
	struct fdb_writer *w = fdb->w;
	uint64_t hash = fdb_hash(fdb, key);
	struct fdb_slot *s;
	int rc = 0;

	if (port >= w->ports)
		return -EINVAL;
	pthread_mutex_lock(&w->lock);
	s = fdb_find(fdb, key, hash);
	if (s) {
		fdb_slot_change(w, s, port | FDB_STATIC_F);
		goto out;
	}
	/* No time is given, and none needed: any common one tells the oldest
	 * from the others, as long as none is older than 2^31 seconds. */
	s = make_room(fdb, hash, NULL, 0);
	if (!s) {
		rc = -ENOSPC;
		goto out;
	}
	fdb_slot_put(w, s, key, port | FDB_STATIC_F, 0);
	counter_add(&w->total->added, 1);
out:
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int fdb_remove(struct fdb *fdb, uint64_t key)
{
	struct fdb_writer *w = fdb->w;
	struct fdb_slot *s;

	pthread_mutex_lock(&w->lock);
	s = fdb_find(fdb, key, fdb_hash(fdb, key));
	if (s) {
		fdb_slot_clear(w, s);
		counter_add(&w->total->removed, 1);
	}
	pthread_mutex_unlock(&w->lock);
	return s ? 0 : -ENOENT;
}
