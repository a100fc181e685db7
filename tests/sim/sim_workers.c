/*
 * Workers: which of them receives from a port, moves from one to another, and
 * fairness between the ports of one.
 */
#include "tests/sim/source.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

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

/* ---- By the workers' own threads ---- */

#define SOURCES 4
#define MOVES	300

/*
 * Each queue of each port moves again and again, under full load. The sink gets
 * every number of every queue, each just behind the one before.
 */
static void moves_lose_and_reorder_nothing(void **state)
{
	struct source *s[SOURCES];
	struct sw *sw = source_switch(3, true);
	uint64_t made = 0;
	uint32_t seed = 1;

	(void)state;
	sink_attach(sw);
	for (unsigned int i = 0; i < SOURCES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		s[i] = source_attach(sw, name, "", 1 + i % 3, 1);
	}
	source_round(sw);
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
			source_run(sw, 32);
		source_round(sw);
	}
	source_moved(sw);
	source_run(sw, 1000);
	switch_halt(sw);
	for (unsigned int i = 0; i < SOURCES; i++)
		for (unsigned int q = 0; q < s[i]->port.queues; q++)
			made += s[i]->made[q];
	assert_int_equal(atomic_load(&sink.wrong), 0);
	assert_int_equal(atomic_load(&sink.frames), made);
	assert_int_equal(source_received(sw), made);
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
	struct sw *sw = source_switch(3, true);
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
	source_run(sw, 20000);
	switch_halt(sw);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	port_ledger_closes(sw, "cap");
	switch_port_counters(sw, switch_port_find(sw, "cap"), &c);
	assert_int_equal(counter_get(&c.tx_copies), source_received(sw));
	switch_free(sw);
	unlink(file);
}

/* An idle main thread: nothing but the workers' own quiescent points frees. */
static void polling_workers_let_retired_memory_go_and_stop_at_once(void **st)
{
	struct sw *sw = source_switch(2, true);
	uint64_t deadline;

	(void)st;
	sw->settings.poll_us = SWITCH_POLL_US_MAX;
	switch_polling(sw);
	sink_attach(sw);
	source_attach(sw, "s0", "worker=0", 1, 1);
	source_attach(sw, "s1", "worker=1", 1, 1);
	switch_commit(sw);
	source_run(sw, 1000);
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
	source_run(sw, 1000);
	switch_free(sw);
}

/* ---- Fairness ---- */

#define ARM_EVERY 50

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
	source_frame(&f[0], frame_arena_peek(arena), source_flow(p, queue),
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
	struct sw *sw = source_switch(1, true);
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
	source_run(sw, 400ull * ARM_EVERY * FRAME_BATCH_MAX);
	switch_halt(sw);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	assert_int_equal(atomic_load(&sink.frames), source_received(sw));
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
