/*
 * Which worker receives from which port: placing, moving, balancing. See
 * switch.h and balance.h.
 *
 * A move of a queue must not reorder what comes by it: the old worker has to
 * be done with its last batch before the new one takes its first.
 *
 *	             switch_move    commit      grace over     commit
 *	old worker   out of epoll ... last batch ends │
 *	snapshot     ................ nobody's ....... ....... the new one's
 *	new worker   in epoll, silent .......................► receives
 *
 * In between the queue is nobody's: a worker may have an event of it that is
 * older than the move, or still know it as hot or awake, and asks the snapshot.
 * A queue in memory that was awake still is, and tells nobody. So the one who
 * gets it begins with a look at it (worker_start_port, awake.h).
 */
#include "switchd/switch.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/balance.h"

#include <errno.h>
#include <stdlib.h>

/* How much a new second counts in a queue's load: one part in so many. */
#define LOAD_WEIGHT 4

/* So many ticks in a row must the same move be a good one. */
#define ADVICE_TICKS 3

/* A queue that has moved stays for so long. */
#define REST_NS (10 * CLOCK_NS_PER_S)

_Static_assert(SWITCH_WORKERS_MAX <= BALANCE_WORKERS_MAX, "room in balance.c");
_Static_assert(SWITCH_WORKERS_MAX == PORTCONF_WORKER_MAX + 1, "the last one");

/* A move that waits for its grace period. */
struct switch_move {
	struct switch_move *next;
	struct epoch_retired retired;
	struct sw *sw;
	uint32_t index, generation; /* of the port, which may be gone by then */
	unsigned int queue;
};

/* ---- Placing ---- */

static void workers_weigh(const struct sw *sw, const struct switch_port *me,
			  unsigned int queue, struct balance_worker *w)
{
	for (uint32_t i = 0; i < sw->index_end; i++) {
		const struct switch_port *p = sw->port[i];

		if (!p || p->leaving || p == me)
			continue;
		for (unsigned int q = 0; q < p->port->queues; q++) {
			unsigned int at = worker_index(p->worker[q]);

			w[at].queues++;
			w[at].load += p->load[q].rate;
		}
	}
	for (unsigned int q = 0; q < queue; q++) {
		unsigned int at = worker_index(me->worker[q]);

		w[at].queues++;
		w[at].same++;
	}
}

bool switch_worker_exists(const struct sw *sw, const struct port_config *c)
{
	return !c->pinned || c->worker < sw->nworkers;
}

int switch_worker_check(const struct sw *sw, const struct port_config *c,
			struct error *err)
{
	if (switch_worker_exists(sw, c))
		return 0;
	return error_set(err, EINVAL, "no-such-worker", "worker",
			 "there is no worker %u: workers are 0 to %u (the "
			 "configuration's daemon.workers)",
			 c->worker, sw->nworkers - 1);
}

/* Where a queue is to be; a pinned port's queues follow one another. */
static struct worker *worker_of_pin(const struct sw *sw,
				    const struct port_config *c,
				    unsigned int queue)
{
	return c->pinned ? sw->worker[(c->worker + queue) % sw->nworkers]
			 : NULL;
}

void switch_place(struct sw *sw, struct switch_port *p)
{
	for (unsigned int q = 0; q < p->port->queues; q++) {
		struct balance_worker w[SWITCH_WORKERS_MAX] = { { 0 } };

		p->worker[q] = worker_of_pin(sw, &p->config, q);
		if (p->worker[q])
			continue;
		workers_weigh(sw, p, q, w);
		p->worker[q] = sw->worker[balance_place(w, sw->nworkers)];
	}
}

int switch_receive_add(struct switch_port *p)
{
	int r = 0;

	for (unsigned int q = 0; q < p->port->queues; q++) {
		r = worker_add_port(p->worker[q], p->port, q);
		if (r == 0)
			continue;
		while (q--)
			worker_remove_port(p->worker[q], p->port, q);
		return r;
	}
	return r;
}

void switch_receive_start(struct switch_port *p)
{
	for (unsigned int q = 0; q < p->port->queues; q++)
		if (!(p->moving >> q & 1))
			worker_start_port(p->worker[q], p->port, q);
	p->arriving = 0;
	p->receiving = true;
}

void switch_receive_arrived(struct switch_port *p)
{
	for (unsigned int q = 0; p->arriving; q++) {
		if (p->arriving >> q & 1)
			worker_start_port(p->worker[q], p->port, q);
		p->arriving &= ~(1u << q);
	}
}

uint8_t switch_receiver(const struct switch_port *p, unsigned int queue)
{
	return p->moving >> queue & 1 ? SNAPSHOT_NOBODY
				      : (uint8_t)worker_index(p->worker[queue]);
}

void switch_receive_stop(struct switch_port *p)
{
	for (unsigned int q = 0; q < p->port->queues; q++)
		worker_remove_port(p->worker[q], p->port, q);
	p->receiving = false;
}

/* ---- Moving ---- */

static void move_done(void *arg)
{
	struct switch_move *m = arg;
	struct sw *sw = m->sw;
	struct switch_port *p = sw->port[m->index];

	if (p && p->port->generation == m->generation) {
		p->moving &= ~(1u << m->queue);
		p->arriving |= 1u << m->queue;
		switch_dirty(sw);
	}
	free(m);
}

/* A snapshot was published, in which moving queues are nobody's. */
void switch_moves_retire(struct sw *sw)
{
	while (sw->moves) {
		struct switch_move *m = sw->moves;

		sw->moves = m->next;
		epoch_retire(&sw->shared.epoch, &m->retired, move_done, m);
	}
}

int switch_move(struct sw *sw, struct switch_port *p, unsigned int queue,
		struct worker *to)
{
	struct switch_move *m;
	int r;

	if (p->worker[queue] == to)
		return 0;
	if ((p->moving | p->arriving) >> queue & 1)
		return -EBUSY;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	r = worker_add_port(to, p->port, queue);
	if (r < 0) {
		free(m);
		return r;
	}
	worker_remove_port(p->worker[queue], p->port, queue);
	log_debug("worker", "port %s, queue %u: from worker %u to %u",
		  p->config.request.name, queue, worker_index(p->worker[queue]),
		  worker_index(to));
	p->worker[queue] = to;
	p->moving |= 1u << queue;
	p->load[queue].moved_ns = clock_ns();
	*m = (struct switch_move){ .next = sw->moves,
				   .sw = sw,
				   .index = p->port->index,
				   .generation = p->port->generation,
				   .queue = queue };
	sw->moves = m;
	switch_dirty(sw);
	return 0;
}

void switch_pin(struct sw *sw, struct switch_port *p)
{
	for (unsigned int q = 0; q < p->port->queues; q++) {
		struct worker *to = worker_of_pin(sw, &p->config, q);
		int r = to ? switch_move(sw, p, q, to) : 0;

		if (r < 0 && r != -EBUSY) /* which comes back here */
			log_warning("worker",
				    "port %s stays with worker %u: %s",
				    p->config.request.name,
				    worker_index(p->worker[q]), strerror(-r));
	}
}

/* ---- Balancing ---- */

/* Frames that the worker has received from the port, ever. */
static uint64_t received(const struct sw *sw, const struct switch_port *p,
			 unsigned int worker)
{
	return counter_get(
		&ledger_slot(sw->shared.ledger, 1 + worker)[p->port->index]
			 .rx_frames);
}

/* What a port's queues brought in the last `ns`. Queues of one worker share
 * what it counts. */
static void port_measure(const struct sw *sw, struct switch_port *p,
			 uint64_t ns)
{
	uint64_t brought[SWITCH_WORKERS_MAX] = { 0 };
	uint32_t queues[SWITCH_WORKERS_MAX] = { 0 };

	for (unsigned int i = 0; i < sw->nworkers; i++) {
		uint64_t n = received(sw, p, i);

		brought[i] = n - p->received[i];
		p->received[i] = n;
	}
	for (unsigned int q = 0; q < p->port->queues; q++)
		queues[worker_index(p->worker[q])]++;
	for (unsigned int q = 0; q < p->port->queues; q++) {
		unsigned int at = worker_index(p->worker[q]);
		uint64_t now = brought[at] * CLOCK_NS_PER_S / ns / queues[at];

		p->load[q].rate = (p->load[q].rate * (LOAD_WEIGHT - 1) + now) /
				  LOAD_WEIGHT;
	}
}

static unsigned int percent(uint64_t part, uint64_t whole)
{
	uint64_t n = part * 100 / whole;

	return n > 100 ? 100 : (unsigned int)n;
}

static void worker_measure(const struct worker *w, struct switch_worker_load *l,
			   uint64_t ns)
{
	uint64_t frames = counter_get(&worker_stats(w)->frames);
	uint64_t polling = counter_get(&worker_stats(w)->polling_ns);
	uint64_t awake = worker_awake_ns(w, clock_ns());
	uint64_t now = (frames - l->frames) * CLOCK_NS_PER_S / ns;

	l->rate = (l->rate * (LOAD_WEIGHT - 1) + now) / LOAD_WEIGHT;
	/* What was read a moment too early belongs to the next time. */
	l->awake = awake > l->awake_ns ? percent(awake - l->awake_ns, ns) : 0;
	l->polling = percent(polling - l->polling_ns, ns);
	l->frames = frames;
	l->awake_ns = awake;
	l->polling_ns = polling;
}

/* Fill q[], a queue of the switch each. Returns how many. */
static uint32_t queues_list(struct sw *sw, struct balance_queue *q,
			    uint64_t now_ns)
{
	struct switch_port *p = NULL;
	uint32_t n = 0;

	while ((p = switch_port_next(sw, p)))
		for (unsigned int i = 0; i < p->port->queues; i++)
			q[n++] = (struct balance_queue){
				.load = p->load[i].rate,
				.worker = worker_index(p->worker[i]),
				.movable =
					!p->config.pinned && p->receiving &&
					!((p->moving | p->arriving) >> i & 1) &&
					now_ns - p->load[i].moved_ns >= REST_NS,
			};
	return n;
}

static void queue_move(struct sw *sw, uint32_t at, unsigned int to)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p))) {
		if (at >= p->port->queues) {
			at -= p->port->queues;
			continue;
		}
		if (switch_move(sw, p, at, sw->worker[to]) == 0)
			log_info("worker",
				 "port %s is received by worker %u now",
				 p->config.request.name, to);
		return;
	}
}

static void rebalance(struct sw *sw, uint64_t now_ns)
{
	struct switch_port *p = NULL;
	struct balance_queue *q;
	uint32_t queues = 0;
	unsigned int to;
	int64_t move;

	while ((p = switch_port_next(sw, p)))
		queues += p->port->queues;
	q = calloc(queues ? queues : 1, sizeof(*q));
	if (!q) /* then not now */
		return;
	queues = queues_list(sw, q, now_ns);
	move = balance_move(q, queues, sw->nworkers, &to);
	sw->advised = move < 0 ? 0 : sw->advised + 1;
	if (sw->advised >= ADVICE_TICKS) {
		queue_move(sw, (uint32_t)move, to);
		sw->advised = 0;
	}
	free(q);
}

void switch_balance(struct sw *sw, uint64_t now_ns)
{
	uint64_t ns = now_ns - sw->balanced_ns, busy = 0;
	struct switch_port *p = NULL;

	if (!ns)
		return;
	sw->balanced_ns = now_ns;
	for (unsigned int i = 0; i < sw->nworkers; i++) {
		worker_measure(sw->worker[i], &sw->load[i], ns);
		busy |= sw->load[i].rate;
	}
	if (sw->nworkers < 2 || !busy)
		return;
	while ((p = switch_port_next(sw, p)))
		port_measure(sw, p, ns);
	rebalance(sw, now_ns);
}
