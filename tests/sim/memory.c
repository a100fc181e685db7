#include "tests/sim/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct memory_queue *queue_of(struct port *p, unsigned int queue)
{
	return &((struct memory *)p)->queue[queue];
}

void memory_put(struct memory *m, unsigned int queue, uint64_t frames)
{
	struct memory_queue *q = &m->queue[queue];
	uint64_t one = 1;

	atomic_fetch_add(&q->put, frames);
	if (!atomic_exchange(&q->asked, false))
		return;
	atomic_fetch_add(&q->kicks, 1);
	if (write(m->port.queue_fd[queue], &one, sizeof(one)) != sizeof(one))
		abort();
}

static unsigned int memory_rx(struct port *p, unsigned int queue,
			      struct frame *f, unsigned int max,
			      struct frame_arena *arena)
{
	struct memory_queue *q = queue_of(p, queue);
	unsigned int burst = ((struct memory *)p)->burst, n;
	uint64_t kick, there;

	if (q->lent)
		abort();
	atomic_fetch_add(&q->looks, 1);
	if (!q->awake) {
		q->awake = true;
		atomic_store(&q->asked, false);
		if (read(p->queue_fd[queue], &kick, sizeof(kick)) < 0 &&
		    errno != EAGAIN)
			abort();
	}
	if (q->endless)
		atomic_fetch_add(&q->put, burst);
	there = atomic_load(&q->put) - q->taken;
	for (n = 0; n < max && n < burst && n < there; n++) {
		uint8_t *data = frame_arena_peek(arena);

		if (!data)
			break;
		source_frame(&f[n], data, source_flow(p, queue), q->taken++);
		frame_arena_take(arena, 60);
	}
	q->lent = n > 0;
	atomic_fetch_add(&q->batches, n > 0);
	return n;
}

static void memory_rx_done(struct port *p, unsigned int queue)
{
	struct memory_queue *q = queue_of(p, queue);

	if (!q->lent)
		abort();
	q->lent = false;
	atomic_fetch_add(&q->dones, 1);
}

static bool memory_rx_sleep(struct port *p, unsigned int queue)
{
	struct memory_queue *q = queue_of(p, queue);

	if (q->lent)
		abort();
	/* Asked first and looked then; the guest does it the other way round:
	 * one of the two sees the other. */
	atomic_store(&q->asked, true);
	if (q->endless || atomic_load(&q->put) != q->taken) {
		atomic_store(&q->asked, false);
		q->awake = true;
		atomic_fetch_add(&q->refused, 1);
		return false;
	}
	q->awake = false;
	atomic_fetch_add(&q->sleeps, 1);
	return true;
}

static struct port_ops memory_ops;

struct memory *memory_attach(struct sw *sw, const char *name, const char *words,
			     unsigned int queues)
{
	struct memory *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	if (!memory_ops.rx) { /* nobody reads it yet */
		memory_ops = source_ops;
		memory_ops.rx = memory_rx;
		memory_ops.rx_done = memory_rx_done;
		memory_ops.rx_sleep = memory_rx_sleep;
	}
	m->burst = 16;
	for (unsigned int q = 0; q < queues; q++)
		m->queue[q].asked = true;
	source_attach_as(sw, name, words, &m->port, &memory_ops, queues, 0);
	return m;
}
