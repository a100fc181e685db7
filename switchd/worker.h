/*
 * worker - a thread that owns the receive side of some ports
 *
 * It sleeps in epoll_wait (offline for the epoch), and for each port that has
 * frames takes one batch, loads the snapshot, and runs the pipeline. One
 * batch a port a round, so that no port keeps the others waiting.
 *
 * A worker can also be stepped without its thread: worker_poll() is what the
 * thread calls for each ready port, and what the simulator calls instead.
 *
 * Threads: worker_poll on the worker's own (or the simulator's); the rest on
 * the main thread.
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
};

struct worker_stats {
	counter wakeups, batches, frames;
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

/*
 * Take a port in, without receiving from it yet. A port without a descriptor
 * is only ever polled by worker_poll. Returns 0 or -errno (ENOSPC:
 * /proc/sys/fs/epoll/max_user_watches).
 */
int worker_add_port(struct worker *w, const struct port *p)
	__attribute__((warn_unused_result));

/* Receive from it: it is in the published snapshot now. */
void worker_start_port(struct worker *w, const struct port *p);

/* Stop receiving from it. A batch under way may still finish. */
void worker_remove_port(struct worker *w, const struct port *p);

/*
 * Receive one batch from a port and forward it. `now_s`: seconds, monotonic.
 * Returns the number of frames; 0 where the port isn't in the snapshot.
 */
unsigned int worker_poll(struct worker *w, uint32_t index, uint32_t generation,
			 uint32_t now_s);

/* The same with what has come up by the CPU port. */
unsigned int worker_poll_cpu(struct worker *w, uint32_t now_s);

const struct worker_stats *worker_stats(const struct worker *w);

#endif
