/*
 * Where a worker looks for frames: at queues that are awake (awake.h) each
 * round, at hot ones for some rounds, and everywhere by epoll.
 */
#include "switchd/worker_internal.h"

#include "base/clock.h"

#include <sys/epoll.h>
#include <unistd.h>

#define WORKER_EVENTS 64

/* A hot queue that was empty so often in a row, while others weren't, isn't. */
#define WORKER_COLD 32

/*
 * All ports are asked for, by epoll, when so many rounds over the hot ones have
 * passed, or so many frames: nobody waits longer.
 */
#define WORKER_HOT_ROUNDS 8
#define WORKER_HOT_FRAMES FRAME_BATCH_MAX

/*
 * Queues in memory are looked at without a system call, beside which epoll's is
 * dear: where only they are, so many rounds may pass, or so much time. (Rounds
 * of 128 small frames take 16 us, and epoll 0.4.)
 */
#define WORKER_AWAKE_ROUNDS 32
#define WORKER_AWAKE_NS	    (20 * 1000ull)

static uint32_t seconds_now(void)
{
	return (uint32_t)(clock_coarse_ns() / CLOCK_NS_PER_S);
}

static uint32_t tag_index(uint64_t tag)
{
	return (uint32_t)tag & 0xffffff;
}

static uint32_t tag_generation(uint64_t tag)
{
	return (uint32_t)(tag >> 32);
}

static unsigned int tag_queue(uint64_t tag)
{
	return (uint32_t)tag >> 24 & 0x7f;
}

static unsigned int poll_tag(struct worker *w, uint64_t tag)
{
	unsigned int n = tag == WORKER_CPU
				 ? worker_poll_cpu(w, w->now_s)
				 : worker_poll_queue(w, tag_index(tag),
						     tag_generation(tag),
						     tag_queue(tag), w->now_s);

	epoch_quiescent(&w->shared->epoch, w->reader);
	return n;
}

/* ---- Queues in memory ---- */

/* The port, if the queue is ours; or NULL. */
static struct port *memory_port(const struct worker *w,
				const struct snapshot *s, uint64_t tag)
{
	struct port *p = worker_own_port(w, s, tag_index(tag), tag_queue(tag));

	return p && p->generation == tag_generation(tag) ? p : NULL;
}

static int memory_look(void *ctx, uint64_t tag)
{
	struct worker *w = ctx;
	const struct snapshot *s = atomic_load(&w->shared->snapshot);
	struct port *p = memory_port(w, s, tag);
	int n = -1;

	if (p && worker_port_failed(p)) /* by another queue, maybe */
		worker_port_gone(w, p, tag_queue(tag));
	else if (p)
		n = (int)worker_poll_port(w, s, p, tag_queue(tag), w->now_s);
	epoch_quiescent(&w->shared->epoch, w->reader);
	return n;
}

/* What isn't ours any more is the business of whoever gets it: that worker
 * begins with a look at it (take_own). */
static bool memory_sleep(void *ctx, uint64_t tag)
{
	struct worker *w = ctx;
	struct port *p = memory_port(w, atomic_load(&w->shared->snapshot), tag);

	return !p || worker_port_failed(p) ||
	       p->ops->rx_sleep(p, tag_queue(tag));
}

static const struct awake_ops memory_ops = { .look = memory_look,
					     .sleep = memory_sleep };

/* The tag of this queue if it is one in memory, and ours; or 0. The snapshot
 * is loaded each time, for a look lets go of it. */
static uint64_t own_memory(const struct worker *w, uint32_t index,
			   unsigned int queue)
{
	const struct snapshot *s = atomic_load(&w->shared->snapshot);
	struct port *p = worker_own_port(w, s, index, queue);

	return p && p->ops->rx_sleep ? worker_queue_tag(p, queue) : 0;
}

/*
 * There is, or may be, a queue of ours that is awake and not on the list: one
 * batch of each that isn't on it. What becomes ours meanwhile comes with news
 * of its own.
 */
static unsigned int take_own(struct worker *w)
{
	uint32_t nports = atomic_load(&w->shared->snapshot)->nports;
	unsigned int frames = 0;

	w->awake.missed = false;
	for (uint32_t i = 0; i < nports; i++)
		for (unsigned int q = 0; q < PORT_FDS_MAX; q++) {
			uint64_t tag = own_memory(w, i, q);

			if (tag)
				frames += awake_take(&w->awake, &memory_ops, w,
						     tag);
		}
	return frames;
}

/* ---- The other queues ---- */

/* It had frames. */
static void hot_add(struct worker *w, uint64_t tag)
{
	for (unsigned int i = 0; i < w->nhot; i++)
		if (w->hot[i].tag == tag)
			return;
	if (w->nhot == WORKER_HOT_MAX || w->crowded) {
		w->nhot = 0;
		w->crowded = WORKER_COLD;
		return;
	}
	w->hot[w->nhot++] = (struct worker_hot){ .tag = tag };
}

/* One batch of each hot queue. Returns the number of frames. */
static unsigned int look_hot(struct worker *w)
{
	unsigned int frames = 0, kept = 0;

	for (unsigned int i = 0; i < w->nhot; i++) {
		struct worker_hot h = w->hot[i];
		unsigned int n = poll_tag(w, h.tag);

		frames += n;
		h.empty = n ? 0 : h.empty + 1;
		if (h.empty < WORKER_COLD || !w->came)
			w->hot[kept++] = h;
	}
	w->nhot = kept;
	w->hot_frames += frames;
	w->came += frames;
	w->hot_rounds++;
	return frames;
}

/* Epoll says that it is ready. */
static unsigned int take_ready(struct worker *w, uint64_t tag)
{
	unsigned int n;
	uint64_t news;

	if (tag == WORKER_NEWS) {
		/* Before the snapshot is looked at. */
		if (read(w->news_fd, &news, sizeof(news)) == sizeof(news))
			w->awake.missed = true;
		return 0;
	}
	if (tag < WORKER_NEWS && tag & WORKER_MEMORY)
		return awake_take(&w->awake, &memory_ops, w, tag);
	n = poll_tag(w, tag);
	if (n)
		hot_add(w, tag);
	w->hot_frames += n;
	return n;
}

/*
 * One batch of each queue that is ready. sleep: wait until one is. Returns the
 * number of frames.
 */
static unsigned int look_all(struct worker *w, bool sleep)
{
	struct epoll_event ev[WORKER_EVENTS];
	unsigned int frames = 0;
	int n;

	if (sleep)
		epoch_offline(w->reader);
	n = epoll_wait(w->epoll_fd, ev, WORKER_EVENTS, sleep ? -1 : 0);
	if (sleep)
		epoch_online(&w->shared->epoch, w->reader);
	else
		epoch_quiescent(&w->shared->epoch, w->reader);
	w->now_s = seconds_now();
	if (w->awake.n)
		w->asked_ns = clock_ns();
	w->hot_rounds = 0;
	/* Where there is plenty, epoll costs little: ask it again. */
	w->hot_frames = w->came = 0;
	w->crowded -= w->crowded > 0;
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u64 == WORKER_STOP) {
			w->stopped = true;
			return frames;
		}
		frames += take_ready(w, ev[i].data.u64);
	}
	w->came = frames;
	return frames;
}

/* Has everybody else waited long enough? */
static bool epoll_is_due(const struct worker *w)
{
	if (w->crowded || w->hot_frames >= WORKER_HOT_FRAMES ||
	    (w->nhot && w->hot_rounds >= WORKER_HOT_ROUNDS))
		return true;
	if (!w->awake.n)
		return !w->nhot;
	return w->hot_rounds >= WORKER_AWAKE_ROUNDS ||
	       clock_ns() - w->asked_ns >= WORKER_AWAKE_NS;
}

unsigned int worker_look(struct worker *w)
{
	unsigned int memory, frames;

	w->now_s = seconds_now();
	memory = awake_look(&w->awake, &memory_ops, w);
	if (w->awake.missed)
		memory += take_own(w);
	frames = memory;
	frames += epoll_is_due(w) ? look_all(w, false) : look_hot(w);
	w->came += memory;
	awake_cool(&w->awake, &memory_ops, w, frames);
	return frames;
}

bool worker_all_asleep(struct worker *w)
{
	return awake_sleep(&w->awake, &memory_ops, w);
}

void worker_wait(struct worker *w)
{
	look_all(w, true);
}
