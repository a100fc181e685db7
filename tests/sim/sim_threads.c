/*
 * Workers on threads of their own while ports come, go and change: nothing is
 * lost, nothing is seen by half. Made for ThreadSanitizer.
 *
 * Dummy ports have no descriptor and their queues belong to one thread, so
 * the ports here are of a type of their own: rx makes frames from a counter,
 * tx counts. Two threads do the workers' polling, the main thread does what
 * the control socket would.
 */
#include "base/clock.h"
#include "tests/sim/sim.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define THREADS 2
#define PORTS	8
#define CHANGES 600
#define BURST	16

#define DEADLINE_NS (60 * CLOCK_NS_PER_S)

/* A port whose frames are made on the spot. */
struct source {
	struct port port;
	uint32_t seq;	       /* rx: its worker's alone */
	_Atomic uint64_t made; /* frames that rx delivered */
	_Atomic uint64_t sent; /* frames that tx took, by any worker */
};

static uint64_t address(uint32_t i)
{
	return 0x020000000100ull + i % (2 * PORTS);
}

static unsigned int source_rx(struct port *p, unsigned int queue,
			      struct frame *f, unsigned int max,
			      struct frame_arena *arena)
{
	struct source *s = (struct source *)p;
	unsigned int n;

	(void)queue;
	for (n = 0; n < max && n < BURST; n++) {
		uint32_t i = s->seq++;
		struct sim_frame words = {
			.src = address(p->index + (i % 97 ? 0 : i)),
			.dst = i % 5 ? address(i * 7) : MAC_BROADCAST,
			.tag = { i % 3 ? CTAG(10 + i % 2) : 0 },
		};
		uint8_t *data = frame_arena_peek(arena);

		if (!data)
			break;
		frame_init(&f[n], data, sim_build(&words, data));
		frame_arena_take(arena, f[n].len);
	}
	atomic_fetch_add(&s->made, n);
	return n;
}

static unsigned int source_tx(struct port *p, struct frame *const *f,
			      unsigned int n, enum drop_reason *why)
{
	struct source *s = (struct source *)p;

	/* Every seventh burst is refused in its middle. */
	if (n > 1 && atomic_load(&s->sent) % 7 == 6) {
		*why = DROP_QUEUE_FULL;
		n /= 2;
	}
	for (unsigned int i = 0; i < n; i++)
		if (f[i]->len < ETHER_HEADER_LEN)
			abort();
	atomic_fetch_add(&s->sent, n);
	return n;
}

static void source_close(struct port *p)
{
	free(p);
}

/* The rest is the dummy's: it takes any name and opens nothing. */
static struct port_ops source_ops;

/* Put the source in the place of the dummy, before anybody has seen it. */
static void become_source(struct switch_port *p)
{
	struct source *s = calloc(1, sizeof(*s));
	struct port *old = p->port;

	assert_non_null(s);
	s->port.ops = &source_ops;
	memcpy(s->port.name, old->name, sizeof(old->name));
	s->port.index = old->index;
	s->port.generation = old->generation;
	s->port.tx_offloads = old->tx_offloads;
	atomic_init(&s->port.mtu, atomic_load(&old->mtu));
	s->port.queues = 1;
	s->port.queue_fd[0] = -1;
	p->port = &s->port;
	old->ops->close(old);
}

/* ---- Who polls what ---- */

/* The main thread's word to the pollers: (generation << 32 | index) + 1. */
struct rig {
	struct sim *s;
	_Atomic uint64_t poll[THREADS][SIM_PORTS_MAX];
	_Atomic uint32_t now_s;
	_Atomic bool stop;
	struct {
		uint64_t ports, made, rx, tx_frames, sent;
	} gone; /* totals of ports that went, main thread's */
};

struct poller {
	struct rig *rig;
	unsigned int index;
	pthread_t thread;
	uint64_t batches;
};

static void *poll_ports(void *arg)
{
	struct poller *me = arg;
	struct rig *rig = me->rig;
	struct worker_shared *shared = &rig->s->sw->shared;
	struct epoch_reader *r = &shared->epoch.reader[me->index];

	while (!atomic_load(&rig->stop)) {
		epoch_online(&shared->epoch, r);
		for (uint32_t i = 0; i < 4 * PORTS; i++) {
			uint64_t word = atomic_load(&rig->poll[me->index][i]);

			if (word && worker_poll(rig->s->sw->worker[me->index],
						(uint32_t)(word - 1),
						(uint32_t)((word - 1) >> 32),
						atomic_load(&rig->now_s)))
				me->batches++;
			epoch_quiescent(&shared->epoch, r);
		}
		epoch_offline(r);
	}
	return NULL;
}

static void announce(struct rig *rig, const struct switch_port *p, bool on)
{
	uint64_t word = (uint64_t)p->port->generation << 32 | p->port->index;

	assert_true(p->port->index < 4 * PORTS);
	atomic_store(&rig->poll[worker_index(p->worker[0])][p->port->index],
		     on ? word + 1 : 0);
}

/* ---- Ledgers ---- */

static void check_port(struct rig *rig, const struct switch_port *p)
{
	struct source *src = (struct source *)p->port;
	uint64_t rx_drops = 0, tx_drops = 0;
	struct port_counters c;

	switch_port_counters(rig->s->sw, p, &c);
	for (int r = 0; r < DROP_REASON_COUNT; r++) {
		rx_drops += counter_get(&c.rx_drop[r]);
		tx_drops += counter_get(&c.tx_drop[r]);
	}
	assert_int_equal(counter_get(&c.rx_frames),
			 counter_get(&c.rx_forwarded) + rx_drops);
	assert_int_equal(counter_get(&c.tx_copies),
			 counter_get(&c.tx_frames) + tx_drops);
	assert_int_equal(counter_get(&c.rx_frames), atomic_load(&src->made));
	assert_int_equal(counter_get(&c.tx_frames), atomic_load(&src->sent));
	rig->gone.rx += counter_get(&c.rx_frames);
	rig->gone.tx_frames += counter_get(&c.tx_frames);
	rig->gone.ports++;
}

/* Nobody sees the port any more: its numbers are final. */
static void port_gone(void *ctx, struct switch_port *p)
{
	check_port(ctx, p);
}

/* ---- The main thread's part ---- */

static void attach_one(struct rig *rig, unsigned int n)
{
	static const char *const words[] = { "", "mode=access vlan=10",
					     "trunk=10-20", "isolated=yes",
					     "uplink=yes" };
	struct switch_port *p;
	char name[16];

	snprintf(name, sizeof(name), "p%u", n);
	p = sim_attach(rig->s, name, words[n % 5]);
	become_source(p);
	switch_commit(rig->s->sw);
	announce(rig, p, true);
}

static void detach_one(struct rig *rig, unsigned int n)
{
	struct switch_port *p;
	char name[16];

	snprintf(name, sizeof(name), "p%u", n);
	p = sim_port(rig->s, name);
	announce(rig, p, false);
	switch_detach(rig->s->sw, p, "request");
}

static void change_one(struct rig *rig, unsigned int step)
{
	static const char *const words[] = { "mode=access vlan=11",
					     "learn=no",
					     "isolated=yes uplink=no",
					     "mode= vlan= trunk=",
					     "learn=yes",
					     "isolated=no",
					     "enabled=no",
					     "enabled=yes",
					     "mtu=900",
					     "mtu=1500" };
	struct error err = { 0 };
	json_t *params = sim_params(portconf_params, words[step % 10]);
	struct switch_port *p = switch_port_next(rig->s->sw, NULL);
	int r;

	for (unsigned int i = step % PORTS; i; i--)
		p = switch_port_next(rig->s->sw, p);
	/* Some don't go together with what the port has: refused, as well. */
	r = switch_port_set(rig->s->sw, p, params, &err);
	assert_true(r == 0 || err.reason[0]);
	json_decref(params);
}

static void mirror_toggle(struct rig *rig)
{
	struct error err = { 0 };

	if (!switch_mirror_find(rig->s->sw, "dbg"))
		sim_mirror(rig->s, "dbg", "to=p1");
	else
		assert_int_equal(switch_mirror_remove(rig->s->sw, "dbg", &err),
				 0);
}

static uint64_t batches(struct rig *rig)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < THREADS; i++)
		n += counter_get(&worker_stats(rig->s->sw->worker[i])->batches);
	return n;
}

/* Let the workers run before the next change, so that each meets traffic. */
static void let_run(struct rig *rig)
{
	uint64_t until = batches(rig) + 2, deadline = clock_ns() + DEADLINE_NS;

	while (batches(rig) < until) {
		assert_true(clock_ns() < deadline);
		sched_yield();
	}
	switch_reap(rig->s->sw);
}

static void churn(struct rig *rig)
{
	unsigned int first = 0, next = PORTS; /* those attached: first..next */

	for (unsigned int i = 0; i < PORTS; i++)
		attach_one(rig, i);
	for (unsigned int step = 0; step < CHANGES; step++) {
		let_run(rig);
		if (step % 4 == 0) {
			attach_one(rig, next++);
			/* p1, a mirror's target, stays. */
			detach_one(rig, first);
			first += first == 0 ? 2 : 1;
		} else if (step % 25 == 5) {
			mirror_toggle(rig);
		} else if (step % 10 == 7) {
			fdb_age(rig->s->sw->shared.fdb,
				atomic_fetch_add(&rig->now_s, 100), UINT32_MAX);
			fdb_flush(rig->s->sw->shared.fdb, FDB_ANY, 10, false);
		} else {
			change_one(rig, step);
		}
		switch_commit(rig->s->sw);
	}
}

static void ledgers_close_while_everything_changes_under_two_workers(void **st)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	static struct poller poller[THREADS]; /* outlives a failed assert */
	uint64_t stats = 0, polled = 0;

	(void)st;
	assert_non_null(rig);
	source_ops = port_ops_dummy;
	/* Those look into a struct dummy, which a source has not. */
	source_ops.take_over = NULL;
	source_ops.control = NULL;
	source_ops.state = NULL;
	source_ops.rx = source_rx;
	source_ops.tx = source_tx;
	source_ops.close = source_close;
	rig->s = sim_new(THREADS);
	rig->s->sw->hooks.gone = port_gone;
	rig->s->sw->hooks.ctx = rig;
	atomic_store(&rig->now_s, SIM_START_S);
	for (unsigned int i = 0; i < THREADS; i++) {
		poller[i].rig = rig;
		poller[i].index = i;
		assert_int_equal(pthread_create(&poller[i].thread, NULL,
						poll_ports, &poller[i]),
				 0);
	}
	churn(rig);
	atomic_store(&rig->stop, true);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(poller[i].thread, NULL);

	while (switch_port_next(rig->s->sw, NULL))
		switch_detach(rig->s->sw, switch_port_next(rig->s->sw, NULL),
			      "request");
	switch_commit(rig->s->sw);
	assert_false(switch_reap(rig->s->sw));
	assert_int_equal(rig->gone.ports, PORTS + (CHANGES + 3) / 4);
	for (unsigned int i = 0; i < THREADS; i++) {
		stats += counter_get(
			&worker_stats(rig->s->sw->worker[i])->frames);
		polled += poller[i].batches;
	}
	assert_int_equal(stats, rig->gone.rx);
	assert_int_equal(polled, batches(rig));
	assert_true(rig->gone.tx_frames > 0);
	sim_free(rig->s);
	free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			ledgers_close_while_everything_changes_under_two_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
