/*
 * awake - the queues that a worker has to look at, since nobody would tell
 *
 * A queue in a guest's memory is awake from the moment that the worker has
 * taken a batch of it until the guest is asked to tell of the next frame
 * (ports/port.h: rx_sleep). While it is awake, epoll says nothing. So the one
 * rule, which all of this is for: *a queue that is awake is on the list of the
 * worker that it belongs to*, or that worker knows that there is one which
 * isn't (`missed`), and looks at all that it has before it sleeps.
 *
 *	 epoll: ready ──look──► frames ──► on the list, looked at each round
 *	   ▲                                   │ cold, or the worker is to sleep
 *	   └───────────── sleep: true ◄────────┤
 *	                                       └► sleep: false: it stays
 *
 * A queue is *cold* when AWAKE_COLD rounds in a row brought frames, but none
 * by it. Rounds that brought none at all don't count: the guest whose answer
 * everybody waits for shouldn't have to tell.
 *
 * Where the list is full a queue is put to sleep after each batch; one that
 * can't be, since it has frames, is `missed`.
 *
 * Queues are words (tags) here; what they stand for knows the caller, whose
 * functions look at them and put them to sleep. Threads: the worker's.
 */
#ifndef SWITCHD_AWAKE_H
#define SWITCHD_AWAKE_H

#include <stdbool.h>
#include <stdint.h>

/* Each costs every round a look, some ten nanoseconds. */
#define AWAKE_MAX 64

#define AWAKE_COLD 32

struct awake_queue {
	uint64_t tag;
	unsigned int empty; /* rounds that brought frames, but none by it */
	bool had;	    /* frames, in this round */
};

struct awake {
	unsigned int n;
	bool missed; /* one may be awake that isn't in queue[] */
	struct awake_queue queue[AWAKE_MAX];
};

struct awake_ops {
	/* Take one batch and forward it. Returns the number of frames, or -1
	 * where the queue isn't ours any more. */
	int (*look)(void *ctx, uint64_t tag);
	/* port_ops.rx_sleep; true also where it isn't ours any more. */
	bool (*sleep)(void *ctx, uint64_t tag);
};

/* The list of a worker that begins: it may have got queues that are awake. */
static inline void awake_init(struct awake *a)
{
	a->n = 0;
	a->missed = true;
}

/* Is there something to look at? Else the worker may sleep. */
static inline bool awake_any(const struct awake *a)
{
	return a->n || a->missed;
}

/* A queue is ready, or may be: one batch of it, unless it is on the list, for
 * then its turn comes. Returns the number of frames. */
unsigned int awake_take(struct awake *a, const struct awake_ops *ops, void *ctx,
			uint64_t tag);

/* One batch of each on the list. Returns the number of frames. */
unsigned int awake_look(struct awake *a, const struct awake_ops *ops,
			void *ctx);

/* A round is over that brought so many frames, of these queues and others: the
 * cold ones go to sleep. */
void awake_cool(struct awake *a, const struct awake_ops *ops, void *ctx,
		unsigned int frames);

/* All go to sleep. Returns whether none is awake. */
bool awake_sleep(struct awake *a, const struct awake_ops *ops, void *ctx);

#endif
