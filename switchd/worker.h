/*
 * worker - a thread that owns the receive side of some ports
 *
 * For each queue of a port that has frames it takes one batch, loads the
 * snapshot, and runs the pipeline. One batch a queue a round, so that no port
 * keeps the others waiting.
 *
 *     look ──frames──► look ...
 *      │  nothing
 *      ▼
 *     dry: look around for a while (polling.h) ──frames──► look
 *      │  nothing
 *      ▼
 *     asleep in epoll_wait, offline for the epoch ──frames──► look
 *
 * Where it looks: a few queues that had frames lately are *hot* and are read
 * at once, which is the quickest way to a frame; after some rounds, and where
 * many queues are busy, epoll tells which are ready. Queues in a guest's memory
 * that are *awake* are looked at each round, for epoll knows nothing of them,
 * and put to sleep before the worker is: awake.h.
 *
 * Whose a queue is says the snapshot (worker[]): a worker that has an event of
 * a queue, or knows it as hot, from before the queue moved finds another one's
 * number there, or nobody's. How queues move: switch_worker.c.
 *
 * A worker can also be stepped without its thread: worker_poll() is what the
 * thread calls for each ready queue, and what the simulator calls instead;
 * worker_round() and worker_rest() are a round and what comes before sleep.
 *
 * Threads: worker_poll, worker_round and worker_rest on the worker's own (or
 * the simulator's); the rest on the main thread.
 */
#ifndef SWITCHD_WORKER_H
#define SWITCHD_WORKER_H

#include "base/epoch.h"
#include "switchd/pipeline.h"

struct worker;

/* What all workers share; outlives them. */
struct worker_shared {
	struct epoch epoch;
	struct snapshot *_Atomic snapshot; /* never NULL once workers run */
	struct fdb *fdb;
	struct ledger *ledger; /* with a slot 1 + index for each */
	uint32_t ports_max;
	int failed_fd; /* eventfd: a port's device failed (port->failed) */
	struct fastpath *fastpath; /* the kernel's; NULL: none */
	_Atomic uint64_t poll_ns;  /* longest window, see polling.h; 0: none */
};

struct worker_stats {
	counter wakeups, batches, frames;
	counter awake_ns;	/* between sleeps, ... */
	counter awake_since_ns; /* ... and since when it is; 0: it sleeps */
	counter polling_ns;	/* thereof watching in vain, or for a while */
};

/* A worker without a thread yet. NULL and errno on failure. */
struct worker *worker_new(struct worker_shared *shared, unsigned int index);

/*
 * It is to have what the kernel fast path sends up, by this port (borrowed),
 * for shared->fastpath; one worker does. Before it has started. Returns 0 or
 * -errno.
 */
int worker_set_cpu_port(struct worker *w, struct port *cpu)
	__attribute__((warn_unused_result));

/* Receive that from now on: until then it is a predecessor's. */
void worker_start_cpu_port(struct worker *w);

/* Start its thread, also again after a stop. Returns 0 or -errno. */
int worker_start(struct worker *w) __attribute__((warn_unused_result));

/* Stop and join the thread, where there is one. */
void worker_stop(struct worker *w);

/* Stop and free. NULL is fine. */
void worker_free(struct worker *w);

/* What it was made with. */
unsigned int worker_index(const struct worker *w);

/*
 * Take a queue of a port in, without receiving from it yet. One without a
 * descriptor is only ever polled by worker_poll. Returns 0 or -errno (ENOSPC:
 * /proc/sys/fs/epoll/max_user_watches).
 */
int worker_add_port(struct worker *w, const struct port *p, unsigned int queue)
	__attribute__((warn_unused_result));

/* Receive from it: it is this worker's in the published snapshot now, and
 * nobody goes by an older one. Where it lies in memory the worker begins with a
 * look at it: it may be awake. */
void worker_start_port(struct worker *w, const struct port *p,
		       unsigned int queue);

/* Stop receiving from it. A batch under way may still finish. */
void worker_remove_port(struct worker *w, const struct port *p,
			unsigned int queue);

/*
 * Receive one batch from a queue and forward it. `now_s`: seconds, monotonic.
 * Returns the number of frames; 0 where the queue isn't this worker's, or not
 * in the snapshot.
 */
unsigned int worker_poll_queue(struct worker *w, uint32_t index,
			       uint32_t generation, unsigned int queue,
			       uint32_t now_s);

/* The same of queue 0. */
static inline unsigned int worker_poll(struct worker *w, uint32_t index,
				       uint32_t generation, uint32_t now_s)
{
	return worker_poll_queue(w, index, generation, 0, now_s);
}

/* The same with what has come up by the CPU port. */
unsigned int worker_poll_cpu(struct worker *w, uint32_t now_s);

/* Without its thread: one round over all that is hot, awake or ready. Returns
 * the number of frames. */
unsigned int worker_round(struct worker *w);

/* ... Put to sleep what is awake. Returns whether nothing is: then the thread
 * would wait for epoll. */
bool worker_rest(struct worker *w);

const struct worker_stats *worker_stats(const struct worker *w);

/* For how long its thread has been awake until now (clock_ns()), about. */
uint64_t worker_awake_ns(const struct worker *w, uint64_t now_ns);

#endif
