/*
 * Queues in a guest's memory: no frame waits for a worker that sleeps, whatever
 * happens to the queue, and the guest is asked to tell exactly when it must.
 *
 * First by hand: a worker's rounds are stepped, so that everything can be
 * counted. Then with threads, and guests on threads of their own, under
 * ThreadSanitizer too.
 */
#include "tests/sim/memory.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define BURST 16 /* memory_attach's */

/* So many rounds at most until epoll is asked (worker_look.c). */
#define ROUNDS_MAX 32

static uint64_t count(const _Atomic uint64_t *n)
{
	return atomic_load(n);
}

static unsigned int round_by(struct sw *sw, unsigned int worker)
{
	return worker_round(sw->worker[worker]);
}

static bool rests(struct sw *sw, unsigned int worker)
{
	return worker_rest(sw->worker[worker]);
}

/* A worker has heard of its new queues, and all of them sleep. */
static void settle(struct sw *sw, unsigned int worker)
{
	source_round(sw);
	do
		assert_int_equal(round_by(sw, worker), 0);
	while (!rests(sw, worker));
}

/* One worker and one queue, asleep. */
static struct sw *one_queue(struct memory **m)
{
	struct sw *sw = source_switch(1, false);

	sink_attach(sw);
	settle(sw, 0);
	*m = memory_attach(sw, "m", "", 1);
	settle(sw, 0);
	assert_int_equal(count(&(*m)->queue[0].sleeps), 1);
	return sw;
}

/* All that was put came, in order, and was given back. */
static void finish(struct sw *sw, struct memory *const *m, unsigned int n)
{
	uint64_t put = 0;

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int q = 0; q < m[i]->port.queues; q++) {
			const struct memory_queue *mq = &m[i]->queue[q];

			put += count(&mq->put);
			assert_int_equal(count(&mq->batches),
					 count(&mq->dones));
		}
	assert_int_equal(atomic_load(&sink.wrong), 0);
	assert_int_equal(atomic_load(&sink.frames), put);
	switch_free(sw);
}

/* ---- By hand ---- */

static void busy_guest_is_never_asked_and_an_idle_one_once(void **state)
{
	struct memory *m;
	struct sw *sw = one_queue(&m);
	struct memory_queue *q = &m->queue[0];

	(void)state;
	memory_put(m, 0, 100 * BURST);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(round_by(sw, 0), BURST);
		memory_put(m, 0, BURST);
	}
	for (int i = 0; i < 100; i++)
		assert_int_equal(round_by(sw, 0), BURST);
	assert_int_equal(count(&q->kicks), 1);
	assert_int_equal(count(&q->sleeps), 1);
	assert_int_equal(round_by(sw, 0), 0);
	for (int i = 0; i < 100; i++) {
		uint64_t looks = count(&q->looks);

		assert_true(rests(sw, 0));
		assert_int_equal(round_by(sw, 0), 0);
		assert_int_equal(count(&q->looks), looks);
	}
	assert_int_equal(count(&q->sleeps), 2);
	assert_int_equal(count(&q->refused), 0);
	memory_put(m, 0, 1);
	assert_int_equal(count(&q->kicks), 2);
	assert_int_equal(round_by(sw, 0), 1);
	finish(sw, &m, 1);
}

static void frame_that_comes_before_sleep_keeps_the_worker_up(void **state)
{
	struct memory *m;
	struct sw *sw = one_queue(&m);

	(void)state;
	memory_put(m, 0, 1);
	assert_int_equal(round_by(sw, 0), 1);
	assert_int_equal(round_by(sw, 0), 0);
	memory_put(m, 0, 1); /* without a kick */
	assert_false(rests(sw, 0));
	assert_int_equal(count(&m->queue[0].refused), 1);
	assert_int_equal(round_by(sw, 0), 1);
	assert_true(rests(sw, 0));
	assert_int_equal(count(&m->queue[0].kicks), 1);
	finish(sw, &m, 1);
}

static void quiet_guest_sleeps_beside_a_busy_one_and_is_heard(void **state)
{
	struct memory *m[2];
	struct sw *sw = one_queue(&m[0]);
	unsigned int rounds = 0;

	(void)state;
	m[1] = memory_attach(sw, "busy", "", 1);
	settle(sw, 0);
	m[1]->queue[0].endless = true;
	memory_put(m[0], 0, 1);
	memory_put(m[1], 0, 1);
	round_by(sw, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(round_by(sw, 0), BURST);
	/* Once by attaching each, and once when cold. */
	assert_int_equal(count(&m[0]->queue[0].sleeps), 3);
	memory_put(m[0], 0, 1);
	assert_int_equal(count(&m[0]->queue[0].kicks), 2);
	while (round_by(sw, 0) == BURST)
		assert_true(++rounds <= ROUNDS_MAX);
	assert_int_equal(m[0]->queue[0].taken, 2);
	m[1]->queue[0].endless = false;
	while (round_by(sw, 0))
		;
	finish(sw, m, 2);
}

/* The queue goes while it is awake and has frames: nobody kicks any more. */
static void queue_that_moves_awake_is_looked_at_by_the_new_worker(void **state)
{
	struct sw *sw = source_switch(2, false);
	struct memory *m;

	(void)state;
	sink_attach(sw);
	m = memory_attach(sw, "m", "", 1);
	settle(sw, 0);
	settle(sw, 1);
	for (unsigned int i = 0; i < 10; i++) {
		struct switch_port *p = switch_port_find(sw, "m");
		unsigned int old = worker_index(p->worker[0]), new = !old;
		struct memory_queue *q = &m->queue[0];
		uint64_t kicks, looks;

		memory_put(m, 0, 3 * BURST);
		assert_int_equal(round_by(sw, old), BURST);
		kicks = count(&q->kicks);
		looks = count(&q->looks);
		assert_int_equal(switch_move(sw, p, 0, sw->worker[new]), 0);
		switch_commit(sw);
		/* Nobody's. */
		assert_int_equal(round_by(sw, old), 0);
		assert_int_equal(round_by(sw, new), 0);
		assert_true(rests(sw, old));
		assert_true(rests(sw, new));
		assert_int_equal(count(&q->looks), looks);
		source_round(sw);
		switch_commit(sw);
		assert_int_equal(round_by(sw, new), 0); /* the news */
		assert_false(rests(sw, new));
		assert_int_equal(round_by(sw, new), BURST);
		assert_int_equal(round_by(sw, new), BURST);
		assert_int_equal(round_by(sw, old), 0);
		assert_true(rests(sw, old));
		assert_true(rests(sw, new));
		assert_int_equal(count(&q->kicks), kicks);
	}
	finish(sw, &m, 1);
}

#define MANY 10 /* ports of eight queues: more than the list has room for */

static uint64_t batches_least(struct memory *const *m, uint64_t *most)
{
	uint64_t least = UINT64_MAX;

	*most = 0;
	for (unsigned int i = 0; i < MANY; i++)
		for (unsigned int q = 0; q < PORT_FDS_MAX; q++) {
			uint64_t n = count(&m[i]->queue[q].batches);

			least = n < least ? n : least;
			*most = n > *most ? n : *most;
		}
	return least;
}

static void many_put(struct memory *const *m, uint64_t frames)
{
	for (unsigned int i = 0; i < MANY; i++)
		for (unsigned int q = 0; q < PORT_FDS_MAX; q++)
			memory_put(m[i], q, frames);
}

static void queues_beyond_the_list_get_a_batch_a_round_as_well(void **state)
{
	struct sw *sw = source_switch(1, false);
	struct memory *m[MANY];
	uint64_t least, most;

	(void)state;
	sink_attach(sw);
	for (unsigned int i = 0; i < MANY; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%u", i);
		m[i] = memory_attach(sw, name, "", PORT_FDS_MAX);
	}
	settle(sw, 0);
	many_put(m, 100 * BURST);
	/* Epoll's events come by 64. */
	for (int i = 0; i < 3; i++)
		round_by(sw, 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(round_by(sw, 0), MANY * PORT_FDS_MAX * BURST);
	least = batches_least(m, &most);
	assert_true(least >= 50 && most - least <= 3);
	assert_false(rests(sw, 0));
	while (round_by(sw, 0) || !rests(sw, 0))
		;
	assert_int_equal(batches_least(m, &most), 100);
	assert_int_equal(most, 100);
	/* All are asleep: each kicks. */
	many_put(m, 1);
	for (unsigned int i = 0; i < MANY; i++)
		for (unsigned int q = 0; q < PORT_FDS_MAX; q++)
			assert_int_equal(count(&m[i]->queue[q].kicks), 2);
	while (round_by(sw, 0) || !rests(sw, 0))
		;
	finish(sw, m, MANY);
}

/* What is still in there is nobody's; and nobody looks there for ever. */
static void failed_port_is_looked_at_no_more(void **state)
{
	struct sw *sw = source_switch(1, false);
	uint64_t looks;
	struct memory *m;

	(void)state;
	sink_attach(sw);
	m = memory_attach(sw, "m", "", 2);
	settle(sw, 0);
	memory_put(m, 0, 2 * BURST);
	assert_int_equal(round_by(sw, 0), BURST);
	memory_put(m, 1, 1); /* asleep: it kicks */
	atomic_store(&m->port.failed, ENODEV);
	looks = count(&m->queue[0].looks) + count(&m->queue[1].looks);
	for (int i = 0; i < 2 * ROUNDS_MAX; i++)
		assert_int_equal(round_by(sw, 0), 0);
	assert_true(rests(sw, 0));
	assert_int_equal(count(&m->queue[0].looks) + count(&m->queue[1].looks),
			 looks);
	assert_int_equal(atomic_load(&sink.frames), BURST);
	switch_free(sw);
}

/* ---- Fairness ---- */

static unsigned int once_rx(struct port *p, unsigned int queue, struct frame *f,
			    unsigned int max, struct frame_arena *arena)
{
	uint64_t value;

	if (read(p->queue_fd[queue], &value, sizeof(value)) < 0)
		return 0;
	return source_rx(p, queue, f, max < 1 ? max : 1, arena);
}

static void busy_guests_keep_no_other_port_waiting(void **state)
{
	struct sw *sw = source_switch(1, false);
	struct port_ops ops = source_ops;
	struct memory *m[2];
	struct source *s;
	uint64_t one = 1;

	(void)state;
	ops.rx = once_rx;
	sink_attach(sw);
	settle(sw, 0);
	m[0] = memory_attach(sw, "m0", "", 1);
	m[1] = memory_attach(sw, "m1", "", 1);
	s = source_attach(sw, "s", "", 1, 0);
	s->port.ops = &ops;
	settle(sw, 0);
	for (int i = 0; i < 2; i++) {
		m[i]->queue[0].endless = true;
		m[i]->burst = FRAME_BATCH_MAX;
		memory_put(m[i], 0, 1);
	}
	for (uint64_t i = 0; i < 50; i++) {
		unsigned int rounds = 0;

		assert_int_equal(write(s->port.queue_fd[0], &one, sizeof(one)),
				 sizeof(one));
		while (s->made[0] == i) {
			round_by(sw, 0);
			assert_true(++rounds <= ROUNDS_MAX + 1);
		}
		/* It isn't hot any more then. */
		for (int k = 0; k < 3 * ROUNDS_MAX; k++)
			assert_int_equal(round_by(sw, 0), 2 * FRAME_BATCH_MAX);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(count(&m[i]->queue[0].sleeps), 1);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	switch_free(sw);
}

static void guest_beside_seven_ports_gets_its_share(unsigned int burst)
{
	struct sw *sw = source_switch(1, false);
	struct source *s[7];
	struct memory *m;

	sink_attach(sw);
	m = memory_attach(sw, "m", "", 1);
	settle(sw, 0);
	for (unsigned int i = 0; i < 7; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		s[i] = source_attach(sw, name, "", 1, 1);
		s[i]->burst = burst;
	}
	source_round(sw);
	memory_put(m, 0, 100 * BURST);
	round_by(sw, 0);
	for (int i = 1; i < 100; i++) {
		assert_int_equal(count(&m->queue[0].batches), i);
		/* Seven are too many to be hot: one batch of each. */
		assert_int_equal(round_by(sw, 0), BURST + 7 * burst);
	}
	assert_int_equal(atomic_load(&sink.wrong), 0);
	switch_free(sw);
}

static void guest_and_busy_ports_get_a_batch_a_round_each(void **state)
{
	(void)state;
	guest_beside_seven_ports_gets_its_share(FRAME_BATCH_MAX);
	guest_beside_seven_ports_gets_its_share(1);
}

/* ---- With threads ---- */

#define GUESTS	2
#define PORTS	5
#define STEPS	150
#define CROWDED 9 /* ports of eight queues of one worker */

struct guests {
	struct memory *m[PORTS];
	pthread_t thread[GUESTS];
	_Atomic bool stop;
};

struct guest {
	struct guests *all;
	unsigned int index;
};

static uint32_t random_of(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Wait until the sink has had all of the queue, but not for ever. */
static void heard(struct memory *m, unsigned int queue)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;
	uint32_t flow = source_flow(&m->port, queue);

	while (atomic_load(&sink.next[flow]) < count(&m->queue[queue].put)) {
		if (clock_ns() > deadline) {
			fprintf(stderr, "a wake-up was lost: flow %u\n", flow);
			abort();
		}
		sched_yield();
	}
}

/*
 * A guest has each GUESTSth port. It puts a few frames here and there, waits
 * for one queue's, and sometimes for a while, so that the switch falls asleep.
 */
static void *guest_run(void *arg)
{
	struct guest *me = arg;
	struct guests *all = me->all;
	uint32_t seed = 77 + me->index;

	while (!atomic_load(&all->stop)) {
		uint32_t r = random_of(&seed);
		unsigned int i = (r % PORTS / GUESTS) * GUESTS + me->index;
		struct memory *m = all->m[i < PORTS ? i : me->index];
		unsigned int queue = (r >> 4) % m->port.queues;
		uint64_t until;

		memory_put(m, queue, 1 + (r >> 8) % 40);
		if ((r >> 16) % 4)
			continue;
		heard(m, queue);
		for (until = clock_ns() + (r >> 18) % 8 * 10000;
		     clock_ns() < until;)
			;
	}
	return NULL;
}

static void all_heard(struct memory *const *m, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int q = 0; q < m[i]->port.queues; q++)
			heard(m[i], q);
}

/* Something happens to the queues. */
static void change(struct sw *sw, struct guests *all, uint32_t r, uint32_t step)
{
	struct memory *m = all->m[r % PORTS], *other;
	struct switch_port *p;
	json_t *params;
	struct error err;
	int got;

	if (step % 10 == 9) {
		switch_halt(sw);
		assert_int_equal(switch_go_on(sw), 0);
		return;
	}
	if (step % 10 == 4) { /* a bystander goes */
		assert_non_null(switch_port_find(sw, "other"));
		switch_detach(sw, switch_port_find(sw, "other"), "request");
		switch_commit(sw);
	}
	if (step % 10 == 5) {
		other = memory_attach(sw, "other", "", 2);
		/* Who had its index before has counted there. */
		atomic_store(&sink.next[source_flow(&other->port, 1)], 0);
		memory_put(other, 1, 100);
	}
	if (step % 10 == 6) { /* it goes, and stays after all */
		p = switch_port_find(sw, m->port.name);
		switch_detach(sw, p, "request");
		assert_true(switch_undetach(sw, p->port->index,
					    p->port->generation));
	}
	if (step % 10 == 7) {
		params = sim_params(portconf_params, "worker=1");
		got = switch_port_set(sw, switch_port_find(sw, m->port.name),
				      params, &err);
		json_decref(params);
		assert_int_equal(got, 0);
	}
	got = switch_move(sw, switch_port_find(sw, m->port.name),
			  (r >> 8) % m->port.queues,
			  sw->worker[(r >> 12) % sw->nworkers]);
	assert_true(got == 0 || got == -EBUSY);
}

static void no_wakeup_is_lost(unsigned int poll_us)
{
	struct sw *sw = source_switch(3, true);
	struct guests *all = calloc(1, sizeof(*all));
	static struct guest guest[GUESTS]; /* outlives a failed assert */
	uint32_t seed = 1;

	assert_non_null(all);
	sw->settings.poll_us = poll_us;
	switch_polling(sw);
	sink_attach(sw);
	for (unsigned int i = 0; i < PORTS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%u", i);
		all->m[i] = memory_attach(sw, name, "", 1 + i % 3);
	}
	memory_attach(sw, "other", "", 2);
	source_round(sw);
	for (unsigned int i = 0; i < GUESTS; i++) {
		guest[i] = (struct guest){ .all = all, .index = i };
		assert_int_equal(pthread_create(&all->thread[i], NULL,
						guest_run, &guest[i]),
				 0);
	}
	for (uint32_t step = 0; step < STEPS; step++) {
		change(sw, all, random_of(&seed), step);
		source_run(sw, 50);
	}
	/* Who waits for a queue that moves waits for us. */
	source_moved(sw);
	atomic_store(&all->stop, true);
	for (unsigned int i = 0; i < GUESTS; i++)
		pthread_join(all->thread[i], NULL);
	all_heard(all->m, PORTS);
	switch_halt(sw);
	assert_int_equal(atomic_load(&sink.wrong), 0);
	for (unsigned int i = 0; i < PORTS; i++)
		for (unsigned int q = 0; q < all->m[i]->port.queues; q++)
			assert_int_equal(count(&all->m[i]->queue[q].batches),
					 count(&all->m[i]->queue[q].dones));
	switch_free(sw);
	free(all);
}

static void no_wakeup_is_lost_whatever_happens_to_the_queues(void **state)
{
	(void)state;
	no_wakeup_is_lost(0);
	no_wakeup_is_lost(50);
}

/* More of them than the list has room for, and pauses in which all sleep. */
static void no_wakeup_is_lost_where_the_list_is_full(void **state)
{
	struct sw *sw = source_switch(1, true);
	struct memory *m[CROWDED];
	uint32_t seed = 5;

	(void)state;
	sink_attach(sw);
	for (unsigned int i = 0; i < CROWDED; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%u", i);
		m[i] = memory_attach(sw, name, "", PORT_FDS_MAX);
	}
	source_round(sw);
	for (int step = 0; step < STEPS; step++) {
		for (int i = 0; i < 200; i++) {
			uint32_t r = random_of(&seed);

			memory_put(m[r % CROWDED], (r >> 8) % PORT_FDS_MAX,
				   1 + (r >> 12) % 100);
		}
		all_heard(m, CROWDED);
	}
	switch_halt(sw);
	finish(sw, m, CROWDED);
}

/* The queue gets a frame, and then it and its worker fall asleep. In that
 * order: the worker says that it is awake before it asks for a kick. */
static void wakes_and_falls_asleep(const struct worker *w, struct memory *m)
{
	uint64_t deadline = clock_ns() + DEADLINE_NS;

	memory_put(m, 0, 1);
	heard(m, 0);
	while (!atomic_load(&m->queue[0].asked) ||
	       counter_get(&worker_stats(w)->awake_since_ns)) {
		assert_true(clock_ns() < deadline);
		sched_yield();
	}
}

static void idle_guest_costs_nothing_while_others_are_busy(unsigned int poll_us)
{
	struct sw *sw = source_switch(2, true);
	uint64_t looks, sleeps, wakeups;
	const struct worker_stats *st = worker_stats(sw->worker[0]);
	struct memory *idle, *busy;

	sw->settings.poll_us = poll_us;
	switch_polling(sw);
	sink_attach(sw);
	idle = memory_attach(sw, "idle", "worker=0", 1);
	busy = memory_attach(sw, "busy", "worker=1", 1);
	source_round(sw);
	/* By the second time it has heard of the port, too. */
	wakes_and_falls_asleep(sw->worker[0], idle);
	wakes_and_falls_asleep(sw->worker[0], idle);
	looks = count(&idle->queue[0].looks);
	sleeps = count(&idle->queue[0].sleeps);
	wakeups = counter_get(&st->wakeups);
	for (int i = 0; i < 1000; i++) {
		memory_put(busy, 0, 20);
		heard(busy, 0);
	}
	assert_int_equal(count(&idle->queue[0].looks), looks);
	assert_int_equal(count(&idle->queue[0].sleeps), sleeps);
	assert_int_equal(counter_get(&st->wakeups), wakeups);
	assert_int_equal(counter_get(&st->awake_since_ns), 0);
	wakes_and_falls_asleep(sw->worker[0], idle);
	assert_int_equal(counter_get(&st->wakeups), wakeups + 1);
	assert_int_equal(count(&idle->queue[0].sleeps), sleeps + 1);
	switch_halt(sw);
	finish(sw, (struct memory *[]){ idle, busy }, 2);
}

static void idle_guest_costs_no_look_and_no_wakeup(void **state)
{
	(void)state;
	idle_guest_costs_nothing_while_others_are_busy(0);
	idle_guest_costs_nothing_while_others_are_busy(50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			busy_guest_is_never_asked_and_an_idle_one_once),
		cmocka_unit_test(
			frame_that_comes_before_sleep_keeps_the_worker_up),
		cmocka_unit_test(
			quiet_guest_sleeps_beside_a_busy_one_and_is_heard),
		cmocka_unit_test(
			queue_that_moves_awake_is_looked_at_by_the_new_worker),
		cmocka_unit_test(
			queues_beyond_the_list_get_a_batch_a_round_as_well),
		cmocka_unit_test(failed_port_is_looked_at_no_more),
		cmocka_unit_test(busy_guests_keep_no_other_port_waiting),
		cmocka_unit_test(guest_and_busy_ports_get_a_batch_a_round_each),
		cmocka_unit_test(
			no_wakeup_is_lost_whatever_happens_to_the_queues),
		cmocka_unit_test(no_wakeup_is_lost_where_the_list_is_full),
		cmocka_unit_test(idle_guest_costs_no_look_and_no_wakeup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
