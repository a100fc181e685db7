/*
 * Workers: which of them receives from a port, moves from one to another, and
 * fairness between the ports of one. Where the workers' own threads run, their
 * ports are *sources*: queues with an eventfd to wait for, that make numbered
 * frames for a *sink*, which looks at the numbers.
 */
#include "tests/sim/sim.h"

#include "base/clock.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SINK_MAC    0x02000000ff00ull
#define DEADLINE_NS (20ull * 1000 * 1000 * 1000)
#define FLOWS_MAX   64

/* ---- Placing, pinning ---- */

static unsigned int worker_of(struct sim *s, const char *name)
{
	return worker_index(sim_port(s, name)->worker[0]);
}

static void ports_spread_over_workers(void **state)
{
	struct sim *s = sim_new(3);
	unsigned int n[3] = { 0 };
	char name[8];

	(void)state;
	for (unsigned int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		sim_attach(s, name, "");
		n[worker_of(s, name)]++;
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(n[i], 3);
	sim_free(s);
}

static void pinned_port_goes_where_it_is_told(void **state)
{
	struct sim *s = sim_new(3);

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		static const char *const name[] = { "a", "b", "c", "d" };

		sim_attach(s, name[i], "worker=2");
		assert_int_equal(worker_of(s, name[i]), 2);
	}
	sim_free(s);
}

static void worker_that_isnt_there_is_refused(void **state)
{
	struct sim *s = sim_new(2);

	(void)state;
	sim_attach_fails(s, "a", "worker=2", "no-such-worker", "worker");
	sim_attach_fails(s, "a", "worker=8", "out-of-range", "worker");
	sim_attach(s, "a", "worker=1");
	sim_set_fails(s, "a", "worker=7", "no-such-worker", "worker");
	assert_int_equal(worker_of(s, "a"), 1);
	sim_free(s);
}

static unsigned int poll_by(struct sim *s, unsigned int worker,
			    const char *name)
{
	const struct port *p = sim_dummy(s, name);

	return worker_poll(s->sw->worker[worker], p->index, p->generation,
			   s->now_s);
}

/* An event that the old worker has got before the move, and not looked at. */
static void old_worker_receives_nothing_after_the_snapshot(void **state)
{
	struct sim *s = sim_new(2);

	(void)state;
	sim_attach(s, "a", "worker=0");
	sim_attach(s, "b", "worker=0");
	sim_run(s);
	sim_send(s, "a", FRAME(.src = A, .dst = B, .id = 1));
	sim_set(s, "a", "worker=1");
	assert_int_equal(poll_by(s, 1, "a"), 0); /* not yet */
	switch_commit(s->sw);
	assert_int_equal(poll_by(s, 0, "a"), 0);
	assert_int_equal(poll_by(s, 1, "a"), 0);
	assert_int_equal(dummy_pending(sim_dummy(s, "a")), 1);
	switch_reap(s->sw);
	switch_commit(s->sw);
	assert_int_equal(poll_by(s, 0, "a"), 0);
	assert_int_equal(poll_by(s, 1, "a"), 1);
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .id = 1));
	sim_free(s);
}

/* reader: as of a worker that is in the middle of a batch. */
static void new_worker_waits_for_the_old_ones_batch(void **state)
{
	struct sim *s = sim_new(2);
	struct epoch *e = &s->sw->shared.epoch;
	struct epoch_reader *old = &e->reader[0];
	struct switch_port *p;

	(void)state;
	p = sim_attach(s, "a", "worker=0");
	sim_run(s);
	epoch_online(e, old);
	sim_set(s, "a", "worker=1");
	switch_commit(s->sw);
	assert_true(switch_reap(s->sw));
	assert_int_equal(p->moving, 1);
	/* Another word meanwhile is followed when this move is over. */
	sim_set(s, "a", "worker=0");
	assert_int_equal(worker_of(s, "a"), 1);
	switch_commit(s->sw);
	assert_int_equal(p->moving, 1);
	assert_int_equal(poll_by(s, 1, "a"), 0);
	epoch_quiescent(e, old);
	switch_reap(s->sw);
	switch_commit(s->sw);
	assert_int_equal(worker_of(s, "a"), 0);
	assert_int_equal(p->moving, 1);
	epoch_offline(old);
	sim_run(s);
	sim_run(s);
	assert_int_equal(p->moving | p->arriving, 0);
	sim_free(s);
}

static void port_that_leaves_in_the_middle_of_a_move_is_gone(void **state)
{
	struct sim *s = sim_new(2);

	(void)state;
	sim_attach(s, "a", "worker=0");
	sim_run(s);
	sim_set(s, "a", "worker=1");
	sim_detach(s, "a");
	sim_run(s);
	sim_attach(s, "a", "worker=0");
	sim_attach(s, "b", "");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_free(s);
}

/* ---- Balancing, by a clock of its own ---- */

struct load {
	const char *port;
	unsigned int batches; /* a second */
};

/* A second passes in which ports bring so many full batches. */
static void second(struct sim *s, const struct load *l, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int b = 0; b < l[i].batches; b++) {
			for (unsigned int k = 0; k < FRAME_BATCH_MAX; k++)
				sim_send(s, l[i].port,
					 FRAME(.src = A + i, .dst = D));
			sim_run(s);
			sim_drain(s, "sink");
		}
	switch_balance(s->sw, s->sw->balanced_ns + CLOCK_NS_PER_S);
	sim_run(s);
}

static struct sim *busy_pair(const char *how)
{
	struct sim *s = sim_new(2);
	struct error err;

	sim_attach(s, "a", "worker=0");
	sim_attach(s, "b", "worker=0");
	sim_attach(s, "sink", "worker=1");
	assert_int_equal(switch_static_add(s->sw, D, 1, "sink",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	sim_run(s);
	sim_set(s, "a", how);
	sim_set(s, "b", how);
	sim_run(s);
	return s;
}

static void two_busy_ports_of_one_worker_part_and_stay(void **state)
{
	const struct load l[] = { { "a", 1000 }, { "b", 900 } };
	struct sim *s = busy_pair("worker=");
	unsigned int moved = 0, seconds = 0;

	(void)state;
	/* Not at once: it must go on for a while. */
	second(s, l, 2);
	assert_int_equal(worker_of(s, "a") + worker_of(s, "b"), 0);
	while (worker_of(s, "a") == worker_of(s, "b")) {
		second(s, l, 2);
		assert_true(++seconds < 10);
	}
	moved = worker_of(s, "a");
	for (int i = 0; i < 15; i++)
		second(s, l, 2);
	assert_int_equal(worker_of(s, "a"), moved);
	assert_int_equal(worker_of(s, "b"), !moved);
	sim_free(s);
}

static void pinned_ports_stay_together_however_busy(void **state)
{
	const struct load l[] = { { "a", 1000 }, { "b", 900 } };
	struct sim *s = busy_pair("worker=0");

	(void)state;
	for (int i = 0; i < 8; i++)
		second(s, l, 2);
	assert_int_equal(worker_of(s, "a") + worker_of(s, "b"), 0);
	sim_free(s);
}

static void quiet_ports_dont_move(void **state)
{
	const struct load l[] = { { "a", 100 }, { "b", 90 } };
	struct sim *s = busy_pair("worker=");

	(void)state;
	for (int i = 0; i < 8; i++)
		second(s, l, 2);
	assert_int_equal(worker_of(s, "a") + worker_of(s, "b"), 0);
	sim_free(s);
}

/* ---- Sources and a sink, for the workers' own threads ---- */

struct source {
	struct port port;
	/* By queue; plain: a queue has one worker at a time, and each sees what
	 * the one before has done. */
	uint64_t made[PORT_FDS_MAX];
	unsigned int burst; /* frames a batch */
	/* For fairness, on one worker. */
	struct source *arms; /* each ARM_EVERY batches it gets a frame */
	uint64_t batches;
	unsigned int armed;	/* frames that wait */
	uint64_t armed_at;	/* the flood's batches by then */
	struct source *flooder; /* who arms it */
	uint64_t waited_most, received;
};

#define ARM_EVERY 50

struct sink {
	_Atomic uint64_t next[FLOWS_MAX]; /* the number that comes next */
	_Atomic uint64_t wrong, frames;
} sink;

static void frame_make(struct frame *f, uint8_t *data, uint32_t flow,
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

static unsigned int source_rx(struct port *p, unsigned int queue,
			      struct frame *f, unsigned int max,
			      struct frame_arena *arena)
{
	struct source *s = (struct source *)p;
	uint32_t flow = p->index * 4 + queue;
	unsigned int n;

	for (n = 0; n < max && n < s->burst; n++) {
		uint8_t *data = frame_arena_peek(arena);

		if (!data)
			break;
		frame_make(&f[n], data, flow, s->made[queue]++);
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

static struct port_ops source_ops, sink_ops;

/* A port whose queues are always ready, or (ready 0) when somebody says so. */
static struct source *source_attach(struct sw *sw, const char *name,
				    const char *words, unsigned int queues,
				    unsigned int ready)
{
	json_t *params = sim_params(portconf_params, words);
	struct source *s = calloc(1, sizeof(*s));
	struct error err = { 0 };
	struct switch_port *p;
	struct port *old;

	assert_non_null(s);
	json_object_set_new(params, "type", json_string("dummy"));
	p = switch_attach(sw, name, params, SWITCH_ORIGIN_CONTROL, 0, &err);
	json_decref(params);
	assert_non_null(p);
	old = p->port;
	s->port.ops = &source_ops;
	memcpy(s->port.name, old->name, sizeof(old->name));
	s->port.index = old->index;
	s->port.generation = old->generation;
	s->port.tx_offloads = old->tx_offloads;
	atomic_init(&s->port.mtu, atomic_load(&old->mtu));
	s->port.queues = queues;
	s->burst = 16;
	for (unsigned int q = 0; q < queues; q++) {
		s->port.queue_fd[q] =
			eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(s->port.queue_fd[q] >= 0);
	}
	p->port = &s->port;
	old->ops->close(old);
	switch_place(sw, p);
	assert_int_equal(switch_receive_add(p), 0);
	return s;
}

static void sink_attach(struct sw *sw)
{
	struct source *s = source_attach(sw, "sink", "", 1, 0);
	struct error err;

	memset(&sink, 0, sizeof(sink));
	s->port.ops = &sink_ops;
	assert_int_equal(switch_static_add(sw, SINK_MAC, 1, "sink",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
}

static struct sw *threads_new(unsigned int workers)
{
	const struct switch_options o = { .workers = workers,
					  .threads = true,
					  .ports_max = 64 };
	struct error err = { 0 };
	struct sw *sw = switch_new(&o, &err);

	assert_non_null(sw);
	source_ops = port_ops_dummy;
	source_ops.rx = source_rx;
	source_ops.close = source_close;
	sink_ops = source_ops;
	sink_ops.tx = sink_tx;
	return sw;
}

static void round_of(struct sw *sw)
{
	switch_commit(sw);
	switch_reap(sw);
	sched_yield();
}

/* The sink gets more frames: so many, at least. */
static void let_run(struct sw *sw, uint64_t frames)
{
	uint64_t until = atomic_load(&sink.frames) + frames;
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	while (atomic_load(&sink.frames) < until) {
		assert_true(clock_ns() < deadline);
		round_of(sw);
	}
}

static void all_moved(struct sw *sw)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;
	bool moving = true;

	while (moving) {
		struct switch_port *p = NULL;

		assert_true(clock_ns() < deadline);
		round_of(sw);
		moving = false;
		while ((p = switch_port_next(sw, p)))
			moving |= (p->moving | p->arriving) != 0;
	}
}

static uint64_t received(struct sw *sw)
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

#define SOURCES 4
#define MOVES	300

/*
 * Each queue of each port moves again and again, under full load. The sink gets
 * every number of every queue, each just behind the one before.
 */
static void moves_lose_and_reorder_nothing(void **state)
{
	struct source *s[SOURCES];
	struct sw *sw = threads_new(3);
	uint64_t made = 0;
	uint32_t seed = 1;

	(void)state;
	sink_attach(sw);
	for (unsigned int i = 0; i < SOURCES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		s[i] = source_attach(sw, name, "", 1 + i % 3, 1);
	}
	round_of(sw);
	for (unsigned int step = 0; step < MOVES; step++) {
		struct switch_port *p;
		unsigned int i, q;
		int r;

		seed = seed * 1664525u + 1013904223u;
		i = (seed >> 8) % SOURCES;
		q = (seed >> 16) % s[i]->port.queues;
		p = switch_port_find(sw, s[i]->port.name);
		r = switch_move(sw, p, q, sw->worker[(seed >> 24) % 3]);
		assert_true(r == 0 || r == -EBUSY);
		if (step % 3)
			let_run(sw, 32);
		round_of(sw);
	}
	all_moved(sw);
	let_run(sw, 1000);
	switch_halt(sw);
	for (unsigned int i = 0; i < SOURCES; i++)
		for (unsigned int q = 0; q < s[i]->port.queues; q++)
			made += s[i]->made[q];
	assert_int_equal(atomic_load(&sink.wrong), 0);
	assert_int_equal(atomic_load(&sink.frames), made);
	assert_int_equal(received(sw), made);
	switch_free(sw);
}

static void port_ledger_closes(struct sw *sw, const char *name)
{
	struct port_counters c;
	uint64_t drops = 0;

	switch_port_counters(sw, switch_port_find(sw, name), &c);
	for (int r = 0; r < DROP_REASON_COUNT; r++)
		drops += counter_get(&c.tx_drop[r]);
	assert_true(counter_get(&c.tx_frames) > 0);
	assert_int_equal(counter_get(&c.tx_copies),
			 counter_get(&c.tx_frames) + drops);
}

/* What three workers receive goes to one file, as copies, at the same time. */
static void workers_write_to_one_file_at_once(void **state)
{
	char file[] = "/tmp/sim_workers.XXXXXX", words[64];
	struct sw *sw = threads_new(3);
	struct error err = { 0 };
	struct port_counters c;
	json_t *params;
	int fd = mkstemp(file);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(words, sizeof(words), "type=pcap file=%s", file);
	params = sim_params(portconf_params, words);
	assert_non_null(switch_attach(sw, "cap", params, SWITCH_ORIGIN_CONTROL,
				      0, &err));
	json_decref(params);
	sink_attach(sw);
	params = sim_params(config_mirror_params, "to=cap dir=in");
	assert_int_equal(switch_mirror_add(sw, "dbg", params,
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	json_decref(params);
	source_attach(sw, "s0", "worker=0", 1, 1);
	source_attach(sw, "s1", "worker=1", 1, 1);
	source_attach(sw, "s2", "worker=2", 1, 1);
	switch_commit(sw);
	let_run(sw, 20000);
	switch_halt(sw);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	port_ledger_closes(sw, "cap");
	switch_port_counters(sw, switch_port_find(sw, "cap"), &c);
	assert_int_equal(counter_get(&c.tx_copies), received(sw));
	switch_free(sw);
	unlink(file);
}

/* An idle main thread: nothing but the workers' own quiescent points frees. */
static void polling_workers_let_retired_memory_go_and_stop_at_once(void **st)
{
	struct sw *sw = threads_new(2);
	uint64_t deadline;

	(void)st;
	sw->settings.poll_us = SWITCH_POLL_US_MAX;
	switch_polling(sw);
	sink_attach(sw);
	source_attach(sw, "s0", "worker=0", 1, 1);
	source_attach(sw, "s1", "worker=1", 1, 1);
	switch_commit(sw);
	let_run(sw, 1000);
	for (int i = 0; i < 200; i++) {
		switch_dirty(sw);
		switch_commit(sw);
		deadline = clock_ns() + DEADLINE_NS;
		while (switch_reap(sw))
			assert_true(clock_ns() < deadline);
	}
	for (int i = 0; i < 20; i++) {
		switch_halt(sw);
		assert_int_equal(switch_go_on(sw), 0);
	}
	let_run(sw, 1000);
	switch_free(sw);
}

/* ---- Fairness ---- */

static unsigned int flood_rx(struct port *p, unsigned int queue,
			     struct frame *f, unsigned int max,
			     struct frame_arena *arena)
{
	struct source *s = (struct source *)p;
	uint64_t one = 1;

	if (s->arms && s->batches % ARM_EVERY == 0 && !s->arms->armed) {
		s->arms->armed = 1;
		s->arms->armed_at = s->batches;
		assert_int_equal(
			write(s->arms->port.queue_fd[0], &one, sizeof(one)),
			sizeof(one));
	}
	s->batches++;
	return source_rx(p, queue, f, max, arena);
}

/* The flood's batches between a frame's coming and its being received. */
static unsigned int paced_rx(struct port *p, unsigned int queue,
			     struct frame *f, unsigned int max,
			     struct frame_arena *arena)
{
	struct source *s = (struct source *)p;
	uint64_t value, waited = s->flooder->batches - s->armed_at;

	if (!s->armed || !max)
		return 0;
	assert_int_equal(read(p->queue_fd[0], &value, sizeof(value)),
			 sizeof(value));
	s->armed = 0;
	s->received++;
	if (waited > s->waited_most)
		s->waited_most = waited;
	frame_make(&f[0], frame_arena_peek(arena), p->index * 4 + queue,
		   s->made[queue]++);
	frame_arena_take(arena, 60);
	return 1;
}

/* Ports that always have a full batch, and one that has a frame now and then,
 * all of one worker. */
static void paced_port_waits_for_two_batches_of_each_flood(unsigned int floods,
							   unsigned int poll_us)
{
	struct port_ops flood_ops, paced_ops;
	struct sw *sw = threads_new(1);
	struct source *paced;

	sw->settings.poll_us = poll_us;
	switch_polling(sw);
	flood_ops = paced_ops = source_ops;
	flood_ops.rx = flood_rx;
	paced_ops.rx = paced_rx;
	sink_attach(sw);
	paced = source_attach(sw, "paced", "", 1, 0);
	paced->port.ops = &paced_ops;
	for (unsigned int i = 0; i < floods; i++) {
		char name[16];
		struct source *s;

		snprintf(name, sizeof(name), "flood%u", i);
		s = source_attach(sw, name, "", 1, 1);
		s->port.ops = &flood_ops;
		s->burst = FRAME_BATCH_MAX;
		if (i)
			continue;
		s->arms = paced;
		paced->flooder = s;
	}
	let_run(sw, 400ull * ARM_EVERY * FRAME_BATCH_MAX);
	switch_halt(sw);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	assert_int_equal(atomic_load(&sink.frames), received(sw));
	/* Each of its frames came, but for one that may be waiting. */
	assert_true(paced->received > 30);
	assert_int_equal(paced->received + paced->armed,
			 (paced->flooder->batches - 1) / ARM_EVERY + 1);
	assert_true(paced->waited_most <= 2);
	switch_free(sw);
}

static void flood_makes_a_paced_port_wait_for_two_batches_at_most(void **state)
{
	static const unsigned int floods[] = { 1, 2, 7 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		paced_port_waits_for_two_batches_of_each_flood(floods[i], 0);
		paced_port_waits_for_two_batches_of_each_flood(floods[i], 50);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_spread_over_workers),
		cmocka_unit_test(pinned_port_goes_where_it_is_told),
		cmocka_unit_test(worker_that_isnt_there_is_refused),
		cmocka_unit_test(
			old_worker_receives_nothing_after_the_snapshot),
		cmocka_unit_test(new_worker_waits_for_the_old_ones_batch),
		cmocka_unit_test(
			port_that_leaves_in_the_middle_of_a_move_is_gone),
		cmocka_unit_test(two_busy_ports_of_one_worker_part_and_stay),
		cmocka_unit_test(pinned_ports_stay_together_however_busy),
		cmocka_unit_test(quiet_ports_dont_move),
		cmocka_unit_test(moves_lose_and_reorder_nothing),
		cmocka_unit_test(workers_write_to_one_file_at_once),
		cmocka_unit_test(
			polling_workers_let_retired_memory_go_and_stop_at_once),
		cmocka_unit_test(
			flood_makes_a_paced_port_wait_for_two_batches_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
