/*
 * memory - ports whose queues lie in memory, as a guest's do
 *
 * A test is the guest: memory_put() puts frames into a queue, numbered as a
 * source's are (source.h), and *kicks* (makes the queue's descriptor readable)
 * only if it was asked to, by rx_sleep. So a worker that forgets a queue which
 * is awake never hears of it again: that is what these are for. A second kind
 * of mistake ends the test at once: rx, or rx_sleep, before rx_done.
 *
 * Threads: memory_put of a queue on one thread at a time, any; the rest as
 * port.h has it. What a worker alone uses is plain: ThreadSanitizer sees it
 * where a queue passes from one to the next too early.
 */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include "tests/sim/source.h"

struct memory_queue {
	_Atomic uint64_t put;	/* frames, ever */
	_Atomic bool asked;	/* for a kick with the next one */
	_Atomic uint64_t kicks; /* that the guest sent */
	/* The worker's. */
	uint64_t taken;
	bool awake, lent;
	_Atomic uint64_t looks;	  /* rx */
	_Atomic uint64_t dones;	  /* rx_done */
	_Atomic uint64_t batches; /* rx that returned frames */
	_Atomic uint64_t sleeps;  /* rx_sleep that returned true, ... */
	_Atomic uint64_t refused; /* ... that returned false */
	/* Frames without end: put counts along. */
	bool endless;
};

struct memory {
	struct port port;
	unsigned int burst; /* frames a batch, at most */
	struct memory_queue queue[PORT_FDS_MAX];
};

/* Attach one, with everything at rest: asleep, no frames. Its close frees it.
 */
struct memory *memory_attach(struct sw *sw, const char *name, const char *words,
			     unsigned int queues);

/* The guest puts so many frames, and kicks if it has to. */
void memory_put(struct memory *m, unsigned int queue, uint64_t frames);

#endif
