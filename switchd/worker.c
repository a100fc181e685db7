#include "switchd/worker.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKER_EVENTS 64

/*
 * Room for a batch: 64 small frames lie densely in its beginning, and a batch
 * of super-frames ends after a few, while they are still in the cache.
 */
#define WORKER_ARENA (512u * 1024)

#define WORKER_STOP UINT64_MAX /* epoll data of the stop descriptor */

struct worker {
	struct worker_shared *shared;
	struct epoch_reader *reader;
	struct pipeline *pipeline;
	struct port_counters *counters; /* by port index: its slot */
	struct worker_stats stats;
	unsigned int index;
	int epoll_fd, stop_fd;
	bool running;
	pthread_t thread;
	struct frame_arena arena;
	struct frame frame[FRAME_BATCH_MAX];
};

const struct worker_stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

struct worker *worker_new(struct worker_shared *shared, unsigned int index)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = WORKER_STOP };
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->shared = shared;
	w->index = index;
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->reader = epoch_add_reader(&shared->epoch);
	w->counters = ledger_slot(shared->ledger, 1 + index);
	w->pipeline = pipeline_new(shared->fdb, shared->ports_max, w->counters);
	w->arena.size = WORKER_ARENA;
	w->arena.base = mmap(NULL, WORKER_ARENA, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->arena.base == MAP_FAILED)
		w->arena.base = NULL;
	if (w->stop_fd < 0 || w->epoll_fd < 0 || !w->reader || !w->pipeline ||
	    !w->arena.base ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->stop_fd, &ev) < 0) {
		int err = errno ? errno : ENOMEM;

		worker_free(w);
		errno = err;
		return NULL;
	}
	return w;
}

static uint64_t port_tag(const struct port *p)
{
	return (uint64_t)p->generation << 32 | p->index;
}

int worker_add_port(struct worker *w, const struct port *p)
{
	struct epoll_event ev = { .events = 0, .data.u64 = port_tag(p) };

	if (p->queue_fd[0] < 0)
		return 0;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, p->queue_fd[0], &ev) < 0
		       ? -errno
		       : 0;
}

void worker_start_port(struct worker *w, const struct port *p)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = port_tag(p) };

	/* It is in the set: that needs no memory. */
	if (p->queue_fd[0] >= 0 &&
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, p->queue_fd[0], &ev) < 0)
		log_err("worker", "port %s: epoll: %s", p->name,
			strerror(errno));
}

void worker_remove_port(struct worker *w, const struct port *p)
{
	/* It's gone already where the worker saw the device fail. */
	if (p->queue_fd[0] >= 0 &&
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, p->queue_fd[0], NULL) < 0 &&
	    errno != ENOENT)
		log_warning("worker", "port %s: epoll: %s", p->name,
			    strerror(errno));
}

/* The device is gone: look no more, and let the main thread know. */
static void port_failed(struct worker *w, const struct port *p)
{
	uint64_t one = 1;

	worker_remove_port(w, p);
	if (write(w->shared->failed_fd, &one, sizeof(one)) < 0)
		log_warning("worker", "eventfd: %s", strerror(errno));
}

/* What the port counts itself begins with it; the ledger's outlives it. */
static void note_missed(struct worker *w, const struct port *p)
{
	counter *c = &w->counters[p->index].rx_missed;
	uint64_t n = atomic_load_explicit(&p->rx_missed, memory_order_relaxed);

	if (__builtin_expect(n != counter_get(c), 0))
		atomic_store_explicit(c, n, memory_order_relaxed);
}

unsigned int worker_poll(struct worker *w, uint32_t index, uint32_t generation,
			 uint32_t now_s)
{
	const struct snapshot *s = atomic_load(&w->shared->snapshot);
	struct port *p;
	unsigned int n;

	if (index >= s->nports)
		return 0;
	p = s->port[index].port;
	if (!p || p->generation != generation || !p->ops->rx)
		return 0;
	w->arena.used = 0;
	n = p->ops->rx(p, 0, w->frame, FRAME_BATCH_MAX, &w->arena);
	note_missed(w, p);
	if (__builtin_expect(
		    atomic_load_explicit(&p->failed, memory_order_relaxed), 0))
		port_failed(w, p);
	if (!n)
		return 0;
	pipeline_run(w->pipeline, s, index, w->frame, n, now_s);
	counter_add(&w->stats.batches, 1);
	counter_add(&w->stats.frames, n);
	return n;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoch *epoch = &w->shared->epoch;
	struct epoll_event ev[WORKER_EVENTS];
	char name[16];

	/* In here: the name of another thread is a file in /proc. */
	snprintf(name, sizeof(name), "worker%u", w->index);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		int n = epoll_wait(w->epoll_fd, ev, WORKER_EVENTS, -1);
		uint32_t now_s = (uint32_t)(clock_coarse_ns() / CLOCK_NS_PER_S);

		counter_add(&w->stats.wakeups, 1);
		epoch_online(epoch, w->reader);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == WORKER_STOP)
				goto out;
			worker_poll(w, (uint32_t)ev[i].data.u64,
				    (uint32_t)(ev[i].data.u64 >> 32), now_s);
			epoch_quiescent(epoch, w->reader);
		}
		epoch_offline(w->reader);
	}
out:
	epoch_offline(w->reader);
	return NULL;
}

int worker_start(struct worker *w)
{
	sigset_t all, old;
	uint64_t stop;
	int r;

	/* What an earlier thread was stopped by. */
	if (read(w->stop_fd, &stop, sizeof(stop)) < 0 && errno != EAGAIN)
		return -errno;

	/* Signals are the main thread's. */
	sigfillset(&all);
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
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->arena.base)
		munmap(w->arena.base, WORKER_ARENA);
	pipeline_free(w->pipeline);
	free(w);
}
