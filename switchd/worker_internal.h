/*
 * worker_internal - what worker.c and worker_look.c share
 *
 * worker.c has the worker, its ports and its thread; worker_look.c knows where
 * to look for frames next. Threads: the worker's own, but for what worker.h
 * says of the main thread.
 */
#ifndef SWITCHD_WORKER_INTERNAL_H
#define SWITCHD_WORKER_INTERNAL_H

#include "switchd/awake.h"
#include "switchd/polling.h"
#include "switchd/worker.h"

#include <pthread.h>

#define WORKER_STOP UINT64_MAX	     /* epoll data of the stop descriptor */
#define WORKER_CPU  (UINT64_MAX - 1) /* ... of the CPU port */
#define WORKER_NEWS (UINT64_MAX - 2) /* ... of queues that it has got */

/* Of a queue's: it lies in memory, and has to be put to sleep (awake.h). */
#define WORKER_MEMORY (1ull << 31)

/*
 * Ports that are looked at directly while polling: so many queues at most. With
 * more of them busy, epoll knows better where to look.
 */
#define WORKER_HOT_MAX 4

struct worker_hot {
	uint64_t tag;
	unsigned int empty; /* looks in a row that found nothing */
};

struct worker {
	struct worker_shared *shared;
	struct epoch_reader *reader;
	struct pipeline *pipeline;
	struct port_counters *counters; /* by port index: its slot */
	struct worker_stats stats;
	unsigned int index;
	int epoll_fd, stop_fd, news_fd;
	bool running;
	struct port *cpu; /* NULL: another worker's, or there is none */
	pthread_t thread;
	/* The thread's own. */
	struct polling polling;
	struct worker_hot hot[WORKER_HOT_MAX];
	unsigned int nhot;
	unsigned int crowded; /* rounds until ports may be hot again */
	unsigned int hot_rounds, hot_frames; /* since epoll was asked */
	unsigned int came;  /* frames since then, of all queues */
	uint64_t asked_ns;  /* when that was, if a queue was awake */
	struct awake awake; /* queues in memory */
	uint32_t now_s;	    /* this round's time */
	bool bulk;	/* there was a super-frame since the worker ran dry */
	uint64_t bytes; /* of long frames, about, since then */
	bool stopped;
	struct frame_arena arena;
	struct frame frame[FRAME_BATCH_MAX];
};

/* Epoll's word for a queue: an event may be older than the port's end. */
static inline uint64_t worker_queue_tag(const struct port *p,
					unsigned int queue)
{
	return (uint64_t)p->generation << 32 | (uint64_t)queue << 24 |
	       p->index | (p->ops->rx_sleep ? WORKER_MEMORY : 0);
}

static inline bool worker_port_failed(const struct port *p)
{
	return __builtin_expect(
		atomic_load_explicit(&p->failed, memory_order_relaxed), 0);
}

/* The device is gone: look no more, and let the main thread know. */
void worker_port_gone(struct worker *w, const struct port *p,
		      unsigned int queue);

/* The port that has this index, if the queue is this worker's; or NULL. */
struct port *worker_own_port(const struct worker *w, const struct snapshot *s,
			     uint32_t index, unsigned int queue);

/* One batch of a queue of ours. Returns the number of frames. */
unsigned int worker_poll_port(struct worker *w, const struct snapshot *s,
			      struct port *p, unsigned int queue,
			      uint32_t now_s);

/* A round: one batch of each queue that is hot, awake or ready. Returns the
 * number of frames. */
unsigned int worker_look(struct worker *w);

/* Put to sleep what is awake. Returns whether nothing is: only then ... */
bool worker_all_asleep(struct worker *w);

/* ... wait until something is ready, and look at that. */
void worker_wait(struct worker *w);

#endif
