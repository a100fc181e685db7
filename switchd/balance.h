/*
 * balance - which worker should receive from what
 *
 * The unit is a *queue*: a port has one or several. Its load is the frames a
 * second that it brought lately. A worker's load is the sum of its queues'.
 *
 * A new queue goes to the worker that has least to do. Later, queues move so
 * rarely that nobody needs to know: only from the busiest worker to the idlest,
 * only where that makes the busiest one's load clearly smaller, and only what
 * may move (not pinned, and at rest since its last move). One queue that brings
 * everything stays where it is: with another worker nothing would be better.
 *
 * Plain data and pure functions. Threads: any.
 */
#ifndef SWITCHD_BALANCE_H
#define SWITCHD_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

/* Workers whose load is below it, in frames a second, are as good as idle: one
 * that sleeps costs less than two that are kept awake. */
#define BALANCE_IDLE 20000u

/* A move must take away so much of the busiest worker's load. */
#define BALANCE_GAIN_PERCENT 15u

/* What a new queue chooses from: one element a worker. */
struct balance_worker {
	uint64_t load;	 /* frames a second */
	uint32_t queues; /* that it has */
	uint32_t same;	 /* thereof of the new queue's own port */
};

/* The worker for a new queue, of n >= 1: of those with the fewest queues of the
 * same port the one with the least load, if loads differ, or else queues. */
unsigned int balance_place(const struct balance_worker *w, unsigned int n);

struct balance_queue {
	uint64_t load; /* frames a second */
	uint32_t worker;
	bool movable;
};

/*
 * The one queue of q[0..n) that should move, and *to, the worker that should
 * have it; -1 where all is well. workers: 1 to BALANCE_WORKERS_MAX; each
 * q[i].worker is below.
 */
#define BALANCE_WORKERS_MAX 16
int64_t balance_move(const struct balance_queue *q, uint32_t n,
		     unsigned int workers, unsigned int *to);

#endif
