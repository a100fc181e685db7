#include "fdb/fdb.h"

#include "fdb/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* ---- The slots ---- */

static void add_u32(_Atomic uint32_t *n, int by)
{
	uint32_t was = atomic_load_explicit(n, memory_order_relaxed);

	atomic_store_explicit(n, was + (uint32_t)by, memory_order_relaxed);
}

static uint32_t get_u32(const _Atomic uint32_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

void fdb_account(struct fdb_writer *w, uint32_t where, int n)
{
	struct fdb_account *a = &w->account[where & FDB_PORT_MASK];

	if (where & FDB_STATIC_F) {
		add_u32(&w->static_entries, n);
		add_u32(&a->static_entries, n);
		return;
	}
	add_u32(&w->entries, n);
	add_u32(&a->entries, n);
	if (a->uplink)
		w->uplink_entries += (uint32_t)n;
}

/* The order of these stores is the readers' safety: see fdb/lookup.h. */
void fdb_slot_put(struct fdb_writer *w, struct fdb_slot *s, uint64_t key,
		  uint32_t where, uint32_t now_s)
{
	uint32_t gen = (fdb_slot_word(s) & FDB_GEN_MASK) + FDB_GEN_ONE;

	/* The key is 0 since fdb_slot_clear, or since ever. */
	atomic_store_explicit(&s->where, where | gen, memory_order_release);
	atomic_store_explicit(&s->seen, now_s, memory_order_relaxed);
	atomic_store_explicit(&s->key, key | FDB_KEY_VALID,
			      memory_order_release);
	fdb_account(w, where, 1);
}

void fdb_slot_change(struct fdb_writer *w, struct fdb_slot *s, uint32_t where)
{
	uint32_t was = fdb_slot_word(s);

	fdb_account(w, was, -1);
	atomic_store_explicit(&s->where, where | (was & FDB_GEN_MASK),
			      memory_order_release);
	fdb_account(w, where, 1);
}

void fdb_slot_clear(struct fdb_writer *w, struct fdb_slot *s)
{
	atomic_store_explicit(&s->key, 0, memory_order_relaxed);
	fdb_account(w, fdb_slot_word(s), -1);
}

void fdb_slot_expire(struct fdb_writer *w, struct fdb_slot *s)
{
	counter_add(&w->total->aged, 1);
	fdb_event_record(w, FDB_EVENT_AGED, fdb_slot_key(s) & FDB_KEY_MASK,
			 fdb_slot_port(s), FDB_NONE);
	fdb_slot_clear(w, s);
}

/* ---- Basics ---- */

/* The number of buckets of a configuration, 0 where it is out of range. */
static uint32_t config_buckets(const struct fdb_config *c)
{
	uint32_t n = 2; /* so that a key's two buckets are never the same */

	if (!c->entries || c->entries > FDB_ENTRIES_MAX || !c->ports ||
	    c->ports > FDB_PORTS_MAX || c->uplink_share > 100)
		return 0;
	while (n * FDB_SLOTS < c->entries)
		n *= 2;
	return n;
}

static size_t table_size(uint32_t buckets)
{
	return FDB_HEADER_SIZE + (size_t)buckets * sizeof(struct fdb_bucket);
}

size_t fdb_memory_size(const struct fdb_config *config)
{
	uint32_t buckets = config_buckets(config);

	return buckets ? table_size(buckets) : 0;
}

/* Zeroed, and on huge pages where there are some: it's random access. */
static void *table_alloc(size_t size)
{
	void *p;
	int err;

	err = posix_memalign(&p, size < HUGE_PAGE ? FDB_HEADER_SIZE : HUGE_PAGE,
			     size);
	if (err) {
		errno = err;
		return NULL;
	}
	if (size >= HUGE_PAGE) {
		/* A wish; the table works without. */
		(void)madvise(p, size, MADV_HUGEPAGE);
	}
	memset(p, 0, size);
	return p;
}

/* May this entry of an older table be believed? */
static bool adoptable(const struct fdb *fdb, uint32_t bucket,
		      const struct fdb_slot *s)
{
	uint64_t key = fdb_slot_key(s) & FDB_KEY_MASK;
	uint64_t hash = fdb_hash(fdb, key);

	if (fdb_slot_key(s) != (key | FDB_KEY_VALID) ||
	    fdb_slot_port(s) >= fdb->w->ports)
		return false;
	if (bucket != fdb_bucket_first(hash, fdb->mask) &&
	    bucket != fdb_bucket_second(hash, fdb->mask))
		return false;
	/* A second one of the same key would never be found nor removed. */
	return fdb_find(fdb, key, hash) == s;
}

/* How many entries there should be, by what happened. */
static uint64_t explained(const struct fdb_totals *t)
{
	return counter_get(&t->learned) + counter_get(&t->added) -
	       counter_get(&t->aged) - counter_get(&t->evicted) -
	       counter_get(&t->removed);
}

static void adopt(struct fdb *fdb)
{
	struct fdb_writer *w = fdb->w;

	for (uint32_t b = 0; b <= fdb->mask; b++) {
		for (uint32_t i = 0; i < FDB_SLOTS; i++) {
			struct fdb_slot *s = &fdb->bucket[b].slot[i];

			if (!fdb_slot_key(s))
				continue;
			if (!adoptable(fdb, b, s)) {
				atomic_store_explicit(&s->key, 0,
						      memory_order_relaxed);
				counter_add(&w->total->removed, 1);
				continue;
			}
			fdb_account(w, fdb_slot_word(s), 1);
		}
	}
	/* A process that dies in the middle of a change leaves one entry more
	 * or less than its totals say. */
	atomic_store(&w->adopted, (uint64_t)get_u32(&w->entries) +
					  get_u32(&w->static_entries) -
					  explained(w->total));
}

void fdb_adopt(struct fdb *fdb)
{
	struct fdb_writer *w = fdb->w;

	pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i < w->ports; i++) {
		atomic_store(&w->account[i].entries, 0);
		atomic_store(&w->account[i].static_entries, 0);
	}
	atomic_store(&w->entries, 0);
	atomic_store(&w->static_entries, 0);
	w->uplink_entries = 0;
	adopt(fdb);
	pthread_mutex_unlock(&w->lock);
}

/* Begin a table in zeroed memory, or take over the one that is there. */
static int table_open(struct fdb *fdb, void *memory,
		      const struct fdb_config *config)
{
	struct fdb_header *h = memory;
	uint32_t buckets = config_buckets(config);
	uint64_t magic = atomic_load_explicit(&h->magic, memory_order_acquire);

	if (magic && (magic != FDB_MAGIC || h->version != FDB_VERSION ||
		      h->buckets != buckets || h->size != table_size(buckets)))
		return -EINVAL;
	if (!magic) {
		h->version = FDB_VERSION;
		h->buckets = buckets;
		h->size = table_size(buckets);
		memcpy(h->secret, config->secret, sizeof(h->secret));
		atomic_store_explicit(&h->magic, FDB_MAGIC,
				      memory_order_release);
	}
	fdb->w->total = &h->total;
	fdb->bucket = (void *)((char *)memory + FDB_HEADER_SIZE);
	fdb->mask = buckets - 1;
	memcpy(fdb->secret, h->secret, sizeof(fdb->secret));
	if (magic && !config->later)
		adopt(fdb);
	return 0;
}

static struct fdb_writer *writer_new(const struct fdb_config *config)
{
	struct fdb_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->account = calloc(config->ports, sizeof(*w->account));
	if (!w->account || pthread_mutex_init(&w->lock, NULL)) {
		free(w->account);
		free(w);
		errno = ENOMEM;
		return NULL;
	}
	w->ports = config->ports;
	w->age_s = config->age_s;
	w->share = (uint32_t)((uint64_t)config_buckets(config) * FDB_SLOTS *
			      config->uplink_share / 100);
	return w;
}

struct fdb *fdb_new(const struct fdb_config *config, void *memory)
{
	size_t size = fdb_memory_size(config);
	struct fdb *fdb;
	int err = ENOMEM;

	if (!size || (uintptr_t)memory % sizeof(struct fdb_bucket)) {
		errno = EINVAL;
		return NULL;
	}
	fdb = calloc(1, sizeof(*fdb));
	if (!fdb)
		goto out;
	fdb->w = writer_new(config);
	if (!fdb->w)
		goto out;
	if (!memory) {
		memory = fdb->w->own = table_alloc(size);
		if (!memory)
			goto out;
	}
	err = -table_open(fdb, memory, config);
	if (!err)
		return fdb;
out:
	fdb_free(fdb);
	errno = err;
	return NULL;
}

void fdb_free(struct fdb *fdb)
{
	if (!fdb)
		return;
	if (fdb->w) {
		pthread_mutex_destroy(&fdb->w->lock);
		free(fdb->w->own);
		free(fdb->w->account);
		free(fdb->w->ring);
		free(fdb->w);
	}
	free(fdb);
}

/* ---- Configuration and statistics ---- */

int fdb_port_set(struct fdb *fdb, uint32_t port, bool uplink, uint32_t limit)
{
	struct fdb_writer *w = fdb->w;
	struct fdb_account *a;

	if (port >= w->ports)
		return -EINVAL;
	a = &w->account[port];
	pthread_mutex_lock(&w->lock);
	if (a->uplink)
		w->uplink_entries -= get_u32(&a->entries);
	if (uplink)
		w->uplink_entries += get_u32(&a->entries);
	a->uplink = uplink;
	a->limit = limit;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void fdb_age_set(struct fdb *fdb, uint32_t age_s)
{
	pthread_mutex_lock(&fdb->w->lock);
	fdb->w->age_s = age_s;
	pthread_mutex_unlock(&fdb->w->lock);
}

void fdb_stats_get(const struct fdb *fdb, struct fdb_stats *out)
{
	const struct fdb_writer *w = fdb->w;

	*out = (struct fdb_stats){
		.capacity = fdb_buckets(fdb) * FDB_SLOTS,
		.entries = get_u32(&w->entries),
		.static_entries = get_u32(&w->static_entries),
		.adopted = counter_get(&w->adopted),
		.learned = counter_get(&w->total->learned),
		.added = counter_get(&w->total->added),
		.moved = counter_get(&w->total->moved),
		.aged = counter_get(&w->total->aged),
		.evicted = counter_get(&w->total->evicted),
		.removed = counter_get(&w->total->removed),
		.refused = counter_get(&w->total->refused),
	};
}

int fdb_port_stats_get(const struct fdb *fdb, uint32_t port,
		       struct fdb_port_stats *out)
{
	const struct fdb_account *a;

	if (port >= fdb->w->ports)
		return -EINVAL;
	a = &fdb->w->account[port];
	*out = (struct fdb_port_stats){
		.entries = get_u32(&a->entries),
		.static_entries = get_u32(&a->static_entries),
		.refused = counter_get(&a->refused),
	};
	return 0;
}
