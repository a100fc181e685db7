/*
 * source - ports for the workers' own threads
 *
 * *Sources* are ports whose queues have an eventfd to wait for, and make
 * numbered frames for a *sink*, another port, which looks at the numbers: each
 * of a queue's has to come, just behind the one before.
 *
 * Threads: rx on the queue's worker, tx on any; the rest is the main thread's.
 */
#ifndef TESTS_SIM_SOURCE_H
#define TESTS_SIM_SOURCE_H

#include "tests/sim/sim.h"

#define SINK_MAC    0x02000000ff00ull
#define DEADLINE_NS (20ull * 1000 * 1000 * 1000)
#define FLOWS_MAX   1024

struct source {
	struct port port;
	/* By queue; plain: a queue has one worker at a time, and each sees what
	 * the one before has done. */
	uint64_t made[PORT_FDS_MAX];
	unsigned int burst; /* frames a batch */
	/* For fairness, on one worker. */
	struct source *arms; /* now and then it gets a frame */
	uint64_t batches;
	unsigned int armed;	/* frames that wait */
	uint64_t armed_at;	/* the flood's batches by then */
	struct source *flooder; /* who arms it */
	uint64_t waited_most, received;
};

struct sink {
	_Atomic uint64_t next[FLOWS_MAX]; /* the number that comes next */
	_Atomic uint64_t wrong, frames;
};

extern struct sink sink;
extern struct port_ops source_ops, sink_ops;

/* A switch, with threads or stepped by hand, and sources' operations as they
 * are at first. */
struct sw *source_switch(unsigned int workers, bool threads);

/* What the sink knows a queue by. */
uint32_t source_flow(const struct port *p, unsigned int queue);

/* A frame of this flow with this number, in `data`. */
void source_frame(struct frame *f, uint8_t *data, uint32_t flow,
		  uint64_t number);

unsigned int source_rx(struct port *p, unsigned int queue, struct frame *f,
		       unsigned int max, struct frame_arena *arena);

/* A dummy of that name, but `port` (freed by its close) is what the workers
 * see. Its queues get an eventfd each; ready 1: it is readable. */
void source_attach_as(struct sw *sw, const char *name, const char *words,
		      struct port *port, const struct port_ops *ops,
		      unsigned int queues, unsigned int ready);

/* A source whose queues are always ready, or (ready 0) when somebody says so.
 */
struct source *source_attach(struct sw *sw, const char *name, const char *words,
			     unsigned int queues, unsigned int ready);

void sink_attach(struct sw *sw);

/* What the daemon does between two events. */
void source_round(struct sw *sw);

/* The sink gets more frames: so many, at least. */
void source_run(struct sw *sw, uint64_t frames);

/* Wait until no queue is on its way. */
void source_moved(struct sw *sw);

/* By all ports that there are. */
uint64_t source_received(struct sw *sw);

#endif
