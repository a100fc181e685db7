/*
 * epoch - when may memory that readers might still see be freed?
 *
 * Readers (workers) take a pointer once a batch and use it without a lock.
 * A writer (the main thread) publishes a new pointer and hands the old object
 * to epoch_retire(); its destructor runs from epoch_reap() once every reader
 * has passed a quiescent point after that. This is quiescent-state-based
 * reclamation in plain C11 atomics, so that ThreadSanitizer understands it.
 *
 * A reader is online (between epoch_online and epoch_offline, may hold
 * pointers) or offline (asleep in epoll_wait, holds none). An online reader
 * says epoch_quiescent() between batches. The writer never waits: epoch_reap
 * frees what is due and says whether something is left.
 *
 * Threads: a reader slot belongs to the thread that runs it; everything else
 * to the writer's.
 */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EPOCH_READERS_MAX 16
#define EPOCH_OFFLINE	  0 /* a reader's epoch while it holds nothing */

struct epoch_reader {
	_Alignas(64) _Atomic uint64_t seen;
};

/* An object on its way out; lies in the object, so retiring can't fail. */
struct epoch_retired {
	struct epoch_retired *next;
	uint64_t epoch; /* due once every reader has seen more than this */
	void (*destroy)(void *arg);
	void *arg;
};

struct epoch {
	_Atomic uint64_t now; /* starts at 1, grows with every retire */
	unsigned int readers;
	struct epoch_reader reader[EPOCH_READERS_MAX];
	struct epoch_retired *head, **tail; /* oldest first; writer's */
};

void epoch_init(struct epoch *e);

/* Runs every destructor that is left. No reader may be online. */
void epoch_fini(struct epoch *e);

/* A slot for a new reader, offline; NULL past EPOCH_READERS_MAX. Writer. */
struct epoch_reader *epoch_add_reader(struct epoch *e);

/* The reader begins to hold pointers: load them after this call. */
static inline void epoch_online(struct epoch *e, struct epoch_reader *r)
{
	uint64_t now = atomic_load_explicit(&e->now, memory_order_acquire);

	/* Sequentially consistent: the store must be visible before any load
	 * of a published pointer, or the writer could take us for offline. */
	atomic_store(&r->seen, now);
}

/* The reader holds nothing from before this call. Cheap: once a batch. */
static inline void epoch_quiescent(struct epoch *e, struct epoch_reader *r)
{
	uint64_t now = atomic_load_explicit(&e->now, memory_order_acquire);

	if (atomic_load_explicit(&r->seen, memory_order_relaxed) != now)
		atomic_store(&r->seen, now);
}

/* The reader holds nothing and may sleep as long as it likes. */
static inline void epoch_offline(struct epoch_reader *r)
{
	atomic_store_explicit(&r->seen, EPOCH_OFFLINE, memory_order_release);
}

/*
 * Call destroy(arg) once no reader can hold what was reachable before this
 * call; the caller has already unpublished it (with a sequentially consistent
 * store). `node` is storage of the caller's that lives until then, usually
 * inside the object.
 */
void epoch_retire(struct epoch *e, struct epoch_retired *node,
		  void (*destroy)(void *arg), void *arg);

/* Destroy what is due. Returns true where something is left to wait for. */
bool epoch_reap(struct epoch *e);

#endif
