#include "tests/sim/source.h"

#include "base/clock.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct sink sink;
struct port_ops source_ops, sink_ops;

uint32_t source_flow(const struct port *p, unsigned int queue)
{
	return p->index * PORT_FDS_MAX + queue;
}

void source_frame(struct frame *f, uint8_t *data, uint32_t flow,
		  uint64_t number)
{
	memset(data, 0, 60);
	mac_store(data, SINK_MAC);
	mac_store(data + 6, 0x020000000100ull + flow);
	store_be16(data + 12, 0x88b5);
	memcpy(data + 14, &flow, sizeof(flow));
	memcpy(data + 18, &number, sizeof(number));
	frame_init(f, data, 60);
}

unsigned int source_rx(struct port *p, unsigned int queue, struct frame *f,
		       unsigned int max, struct frame_arena *arena)
{
	struct source *s = (struct source *)p;
	uint32_t flow = source_flow(p, queue);
	unsigned int n;

	for (n = 0; n < max && n < s->burst; n++) {
		uint8_t *data = frame_arena_peek(arena);

		if (!data)
			break;
		source_frame(&f[n], data, flow, s->made[queue]++);
		frame_arena_take(arena, 60);
	}
	return n;
}

static unsigned int sink_tx(struct port *p, struct frame *const *f,
			    unsigned int n, enum drop_reason *why)
{
	(void)p;
	(void)why;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t number;
		uint32_t flow;

		memcpy(&flow, f[i]->data + 14, sizeof(flow));
		memcpy(&number, f[i]->data + 18, sizeof(number));
		if (flow >= FLOWS_MAX ||
		    atomic_exchange(&sink.next[flow], number + 1) != number)
			atomic_fetch_add(&sink.wrong, 1);
	}
	atomic_fetch_add(&sink.frames, n);
	return n;
}

static void source_close(struct port *p)
{
	for (unsigned int q = 0; q < p->queues; q++)
		if (p->queue_fd[q] >= 0)
			close(p->queue_fd[q]);
	free(p);
}

void source_attach_as(struct sw *sw, const char *name, const char *words,
		      struct port *port, const struct port_ops *ops,
		      unsigned int queues, unsigned int ready)
{
	json_t *params = sim_params(portconf_params, words);
	struct error err = { 0 };
	struct switch_port *p;
	struct port *old;

	json_object_set_new(params, "type", json_string("dummy"));
	p = switch_attach(sw, name, params, SWITCH_ORIGIN_CONTROL, 0, &err);
	json_decref(params);
	assert_non_null(p);
	old = p->port;
	port->ops = ops;
	memcpy(port->name, old->name, sizeof(old->name));
	port->index = old->index;
	port->generation = old->generation;
	port->tx_offloads = old->tx_offloads;
	atomic_init(&port->mtu, atomic_load(&old->mtu));
	port->queues = queues;
	for (unsigned int q = 0; q < queues; q++) {
		port->queue_fd[q] = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(port->queue_fd[q] >= 0);
	}
	p->port = port;
	old->ops->close(old);
	switch_place(sw, p);
	assert_int_equal(switch_receive_add(p), 0);
}

struct source *source_attach(struct sw *sw, const char *name, const char *words,
			     unsigned int queues, unsigned int ready)
{
	struct source *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->burst = 16;
	source_attach_as(sw, name, words, &s->port, &source_ops, queues, ready);
	return s;
}

void sink_attach(struct sw *sw)
{
	struct source *s = source_attach(sw, "sink", "", 1, 0);
	struct error err;

	memset(&sink, 0, sizeof(sink));
	s->port.ops = &sink_ops;
	assert_int_equal(switch_static_add(sw, SINK_MAC, 1, "sink",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
}

struct sw *source_switch(unsigned int workers, bool threads)
{
	const struct switch_options o = { .workers = workers,
					  .threads = threads,
					  .ports_max = 64 };
	struct error err = { 0 };
	struct sw *sw = switch_new(&o, &err);

	assert_non_null(sw);
	source_ops = port_ops_dummy;
	/* Those look into a struct dummy, which a source has not. */
	source_ops.take_over = NULL;
	source_ops.control = NULL;
	source_ops.state = NULL;
	source_ops.rx = source_rx;
	source_ops.close = source_close;
	sink_ops = source_ops;
	sink_ops.tx = sink_tx;
	return sw;
}

void source_round(struct sw *sw)
{
	switch_commit(sw);
	switch_reap(sw);
	sched_yield();
}

void source_run(struct sw *sw, uint64_t frames)
{
	uint64_t until = atomic_load(&sink.frames) + frames;
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	while (atomic_load(&sink.frames) < until) {
		assert_true(clock_ns() < deadline);
		source_round(sw);
	}
}

void source_moved(struct sw *sw)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;
	bool moving = true;

	while (moving) {
		struct switch_port *p = NULL;

		assert_true(clock_ns() < deadline);
		source_round(sw);
		moving = false;
		while ((p = switch_port_next(sw, p)))
			moving |= (p->moving | p->arriving) != 0;
	}
}

uint64_t source_received(struct sw *sw)
{
	struct switch_port *p = NULL;
	struct port_counters c;
	uint64_t n = 0;

	while ((p = switch_port_next(sw, p))) {
		switch_port_counters(sw, p, &c);
		n += counter_get(&c.rx_frames);
	}
	return n;
}
