#include "switchd/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/fastpath_map.h"
#include "switchd/punt.h"
#include "switchd/worker_internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Room for a batch: 64 small frames lie densely in its beginning, and a batch
 * of super-frames ends after a few, while they are still in the cache.
 */
#define WORKER_ARENA (512u * 1024)
/* Batches of a port: UDP_MAX_SEGMENTS (128) of each of a call's messages. */
#define FINISH_ROUNDS (2 * FRAME_BATCH_MAX)

/* A frame that is longer is a super-frame, on any device that isn't one of
 * jumbo frames. */
#define WORKER_SUPER 9216u

/* One that is shorter isn't a part of much data. A flood of pings, each of
 * which somebody waits for, comes to as many bytes. */
#define WORKER_LONG 1024u

const struct worker_stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

uint64_t worker_awake_ns(const struct worker *w, uint64_t now_ns)
{
	uint64_t since = counter_get(&w->stats.awake_since_ns);
	uint64_t before = counter_get(&w->stats.awake_ns);

	return since && since < now_ns ? before + now_ns - since : before;
}

/* An eventfd that the worker waits for from the beginning; or -1. */
static int worker_eventfd(const struct worker *w, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

struct worker *worker_new(struct worker_shared *shared, unsigned int index)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = shared;
	w->index = index;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->stop_fd = worker_eventfd(w, WORKER_STOP);
	w->news_fd = worker_eventfd(w, WORKER_NEWS);
	awake_init(&w->awake);
	w->reader = epoch_add_reader(&shared->epoch);
	w->counters = ledger_slot(shared->ledger, 1 + index);
	w->pipeline = pipeline_new(shared->fdb, shared->ports_max, w->counters);
	w->arena.size = WORKER_ARENA;
	w->arena.base = mmap(NULL, WORKER_ARENA, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->arena.base == MAP_FAILED)
		w->arena.base = NULL;
	if (w->stop_fd < 0 || w->news_fd < 0 || w->epoll_fd < 0 || !w->reader ||
	    !w->pipeline || !w->arena.base) {
		int err = errno ? errno : ENOMEM;

		worker_free(w);
		errno = err;
		return NULL;
	}
	return w;
}

int worker_set_cpu_port(struct worker *w, struct port *cpu)
{
	struct epoll_event ev = { .events = 0, .data.u64 = WORKER_CPU };

	w->cpu = cpu;
	if (cpu->queue_fd[0] < 0)
		return 0;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, cpu->queue_fd[0], &ev) < 0
		       ? -errno
		       : 0;
}

void worker_start_cpu_port(struct worker *w)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = WORKER_CPU };

	if (w->cpu && w->cpu->queue_fd[0] >= 0 &&
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, w->cpu->queue_fd[0], &ev) < 0)
		log_err("worker", "CPU port: epoll: %s", strerror(errno));
}

unsigned int worker_index(const struct worker *w)
{
	return w->index;
}

int worker_add_port(struct worker *w, const struct port *p, unsigned int queue)
{
	struct epoll_event ev = { .data.u64 = worker_queue_tag(p, queue) };
	int fd = p->queue_fd[queue];

	if (fd < 0)
		return 0;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void worker_start_port(struct worker *w, const struct port *p,
		       unsigned int queue)
{
	struct epoll_event ev = { .events = EPOLLIN,
				  .data.u64 = worker_queue_tag(p, queue) };
	int fd = p->queue_fd[queue];
	uint64_t one = 1;

	/* It is in the set: that needs no memory. */
	if (fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0)
		log_err("worker", "port %s: epoll: %s", p->name,
			strerror(errno));
	/* It may be awake, then nobody else would tell. */
	if (p->ops->rx_sleep && write(w->news_fd, &one, sizeof(one)) < 0)
		log_err("worker", "eventfd: %s", strerror(errno));
}

void worker_remove_port(struct worker *w, const struct port *p,
			unsigned int queue)
{
	int fd = p->queue_fd[queue];

	/* It's gone already where the worker saw the device fail. */
	if (fd >= 0 && epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL) < 0 &&
	    errno != ENOENT)
		log_warning("worker", "port %s: epoll: %s", p->name,
			    strerror(errno));
}

void worker_port_gone(struct worker *w, const struct port *p,
		      unsigned int queue)
{
	uint64_t one = 1;

	worker_remove_port(w, p, queue);
	if (write(w->shared->failed_fd, &one, sizeof(one)) < 0)
		log_warning("worker", "eventfd: %s", strerror(errno));
}

/* What the port counts itself begins with it; the ledger's outlives it, and is
 * in several slots where the port has had several workers. */
static void note(counter *c, _Atomic uint64_t *counted, _Atomic uint64_t *noted)
{
	uint64_t n = atomic_load_explicit(counted, memory_order_relaxed);
	uint64_t before = atomic_load_explicit(noted, memory_order_relaxed);

	if (__builtin_expect(n == before, 1))
		return;
	counter_add(c, n - before);
	atomic_store_explicit(noted, n, memory_order_relaxed);
}

static void note_losses(struct worker *w, struct port *p)
{
	struct port_counters *c = &w->counters[p->index];

	note(&c->rx_missed, &p->rx_missed, &p->rx_noted);
	note(&c->tx_lost, &p->tx_lost, &p->tx_noted);
}

struct port *worker_own_port(const struct worker *w, const struct snapshot *s,
			     uint32_t index, unsigned int queue)
{
	struct port *p = index < s->nports ? s->port[index].port : NULL;

	return p && p->ops->rx && queue < p->queues &&
			       s->port[index].worker[queue] == w->index
		       ? p
		       : NULL;
}

unsigned int worker_poll_port(struct worker *w, const struct snapshot *s,
			      struct port *p, unsigned int queue,
			      uint32_t now_s)
{
	unsigned int n;

	w->arena.used = 0;
	n = p->ops->rx(p, queue, w->frame, FRAME_BATCH_MAX, &w->arena);
	if (queue == 0)
		note_losses(w, p);
	if (worker_port_failed(p))
		worker_port_gone(w, p, queue);
	if (!n)
		return 0;
	/* One of a batch is enough: where there are some there are many. */
	w->bulk |= w->frame[0].len > WORKER_SUPER;
	if (w->frame[0].len >= WORKER_LONG)
		w->bytes += (uint64_t)w->frame[0].len * n;
	pipeline_run(w->pipeline, s, p->index, w->frame, n, now_s);
	if (p->ops->rx_done)
		p->ops->rx_done(p, queue);
	counter_add(&w->stats.batches, 1);
	counter_add(&w->stats.frames, n);
	return n;
}

unsigned int worker_poll_queue(struct worker *w, uint32_t index,
			       uint32_t generation, unsigned int queue,
			       uint32_t now_s)
{
	const struct snapshot *s = atomic_load(&w->shared->snapshot);
	struct port *p = worker_own_port(w, s, index, queue);

	return p && p->generation == generation
		       ? worker_poll_port(w, s, p, queue, now_s)
		       : 0;
}

/* Frames of one port, in a row. What is for a port that has gone is gone. */
static void forward_punted(struct worker *w, const struct snapshot *s,
			   uint32_t index, struct frame *f, unsigned int n,
			   uint32_t now_s)
{
	if (index < s->nports && s->port[index].port)
		pipeline_run(w->pipeline, s, index, f, n, now_s);
	if (index < w->shared->ports_max)
		fastpath_completed(w->shared->fastpath, index, n);
}

unsigned int worker_poll_cpu(struct worker *w, uint32_t now_s)
{
	const struct snapshot *s = atomic_load(&w->shared->snapshot);
	struct frame *f = w->frame;
	uint32_t index[FRAME_BATCH_MAX];
	unsigned int n, i, end;

	w->arena.used = 0;
	n = w->cpu->ops->rx(w->cpu, 0, f, FRAME_BATCH_MAX, &w->arena);
	if (worker_port_failed(w->cpu))
		worker_port_gone(w, w->cpu, 0);
	for (i = 0; i < n; i++)
		index[i] = punt_take(&f[i]);
	for (i = 0; i < n; i = end) {
		for (end = i + 1; end < n && index[end] == index[i]; end++)
			;
		forward_punted(w, s, index[i], f + i, end - i, now_s);
	}
	counter_add(&w->stats.batches, n != 0);
	counter_add(&w->stats.frames, n);
	return n;
}

/* ---- The thread ---- */

static void fall_asleep(struct worker *w, uint64_t now)
{
	w->nhot = 0;
	counter_add(&w->stats.awake_ns,
		    now - counter_get(&w->stats.awake_since_ns));
	counter_set(&w->stats.awake_since_ns, 0);
	worker_wait(w);
	counter_add(&w->stats.wakeups, 1);
}

/*
 * Nothing is left to do: look around until something comes or the window is
 * over; then sleep until something comes.
 */
static void run_dry(struct worker *w, uint64_t limit)
{
	uint64_t dry = clock_ns(), now = dry;
	uint64_t until;
	bool came = false;

	if (w->bulk)
		polling_bulk(&w->polling, dry);
	polling_came(&w->polling, w->bytes, dry);
	w->bulk = false;
	w->bytes = 0;
	until = dry + polling_window(&w->polling, limit, dry);

	while (!came && now < until) {
		uint64_t before = now;

		came = worker_look(w) || w->stopped;
		now = clock_ns();
		if (!came)
			polling_looked(&w->polling, now - before, now);
	}
	counter_add(&w->stats.polling_ns, now - dry);
	/* A queue that can't be put to sleep has frames: the gap is over. */
	if (!came && worker_all_asleep(w)) {
		fall_asleep(w, now);
		now = clock_ns();
		counter_set(&w->stats.awake_since_ns, now);
	}
	polling_gap(&w->polling, now - dry, limit);
}

/* What a port has taken from where the next process would find it. Bounded, as
 * somebody else says how much that is: this is what the kernel's own limits
 * make of it, and the rest is lost. */
static void finish(struct worker *w)
{
	const struct snapshot *s = atomic_load(&w->shared->snapshot);

	for (uint32_t i = 0; i < s->nports; i++) {
		struct port *p = worker_own_port(w, s, i, 0);

		if (!p || !p->ops->rx_waits)
			continue;
		for (int n = 0; n < FINISH_ROUNDS && p->ops->rx_waits(p, 0);
		     n++)
			(void)worker_poll_port(w, s, p, 0, w->now_s);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	/* In here: the name of another thread is a file in /proc. */
	snprintf(name, sizeof(name), "worker%u", w->index);
	pthread_setname_np(pthread_self(), name);
	counter_set(&w->stats.awake_since_ns, clock_ns());
	epoch_online(&w->shared->epoch, w->reader);
	while (!w->stopped) {
		uint64_t limit = atomic_load_explicit(&w->shared->poll_ns,
						      memory_order_relaxed);

		if (!(awake_any(&w->awake) ||
		      polling_expects(&w->polling, limit)) ||
		    !worker_look(w))
			run_dry(w, limit);
	}
	finish(w);
	epoch_offline(w->reader);
	counter_add(&w->stats.awake_ns,
		    clock_ns() - counter_get(&w->stats.awake_since_ns));
	counter_set(&w->stats.awake_since_ns, 0);
	return NULL;
}

unsigned int worker_round(struct worker *w)
{
	unsigned int frames;

	epoch_online(&w->shared->epoch, w->reader);
	frames = worker_look(w);
	epoch_offline(w->reader);
	return frames;
}

bool worker_rest(struct worker *w)
{
	bool rests;

	epoch_online(&w->shared->epoch, w->reader);
	rests = worker_all_asleep(w);
	epoch_offline(w->reader);
	return rests;
}

int worker_start(struct worker *w)
{
	sigset_t all, old;
	uint64_t stop;
	int r;

	/* What an earlier thread was stopped by. */
	if (read(w->stop_fd, &stop, sizeof(stop)) < 0 && errno != EAGAIN)
		return -errno;

	w->stopped = false;
	w->nhot = 0;
	/* Whatever was awake when it stopped still is. */
	awake_init(&w->awake);
	polling_init(&w->polling, w->shared->poll_ns);

	/* Signals are the main thread's, but not what a thread causes itself:
	 * guests' memory may fault (vhost_mem.h). */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	w->running = true;
	return 0;
}

void worker_stop(struct worker *w)
{
	uint64_t one = 1;

	if (!w->running)
		return;
	if (write(w->stop_fd, &one, sizeof(one)) < 0)
		log_err("worker", "can't stop: %s", strerror(errno));
	pthread_join(w->thread, NULL);
	w->running = false;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_stop(w);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	if (w->news_fd >= 0)
		close(w->news_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->arena.base)
		munmap(w->arena.base, WORKER_ARENA);
	pipeline_free(w->pipeline);
	free(w);
}
