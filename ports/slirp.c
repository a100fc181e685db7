#include "ports/slirp.h"

#include "base/clock.h"
#include "base/log.h"
#include "ports/datagrams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* One that has run for so long is started again at once, others later and
 * later. */
#define LASTED_NS      (2 * CLOCK_NS_PER_S)
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 10000
#define RESTART_NOW_MS 1

struct slirp {
	struct datagrams frames; /* first: it begins with the port */
	struct port_request rq;
	struct port_grant grant;
	/* What the worker waits for: has the socket while there is a process.
	 * (A descriptor of an epoll set can't be exchanged unseen.) */
	int queue;
	int ended; /* eventfd: the worker has seen the end */
	int timer;
	_Atomic int end;   /* errno, in place of the port's `failed` */
	_Atomic bool over; /* there is no process */
	unsigned int restart_ms;
	uint64_t started_ns;
};

static struct slirp *to_slirp(struct port *p)
{
	return (struct slirp *)p; /* frames.port is its first member */
}

/* ---- Frames: workers ---- */

static unsigned int slirp_rx(struct port *p, unsigned int queue,
			     struct frame *f, unsigned int max,
			     struct frame_arena *arena)
{
	struct slirp *s = to_slirp(p);
	unsigned int n;

	if (atomic_load_explicit(&s->over, memory_order_relaxed))
		return 0;
	n = datagrams_rx(p, queue, f, max, arena);
	if (__builtin_expect(
		    !atomic_load_explicit(&s->end, memory_order_relaxed), 1))
		return n;
	/* It isn't the port's end but that of a process. */
	(void)epoll_ctl(s->queue, EPOLL_CTL_DEL, s->frames.fd, NULL);
	atomic_store(&s->end, 0);
	atomic_store(&s->over, true);
	(void)eventfd_write(s->ended, 1);
	return n;
}

/* ---- The process: main thread ---- */

static bool watch(int set, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* There is a socket again. */
static bool begin(struct slirp *s)
{
	(void)epoll_ctl(s->queue, EPOLL_CTL_DEL, s->frames.fd, NULL);
	atomic_store(&s->over, false);
	return watch(s->queue, s->frames.fd);
}

static void restart_later(struct slirp *s)
{
	const struct itimerspec t = {
		.it_value = { .tv_sec = s->restart_ms / 1000,
			      .tv_nsec = s->restart_ms % 1000 * 1000000L },
	};

	(void)timerfd_settime(s->timer, 0, &t, NULL);
	s->restart_ms = s->restart_ms < RESTART_MIN_MS ? RESTART_MIN_MS
						       : 2 * s->restart_ms;
	if (s->restart_ms > RESTART_MAX_MS)
		s->restart_ms = RESTART_MAX_MS;
}

/* Have another process behind the socket's number. Returns 0 or -errno. */
static int renew(struct slirp *s)
{
	const struct port_keeper *keeper = port_keeper();
	struct error err = { 0 };
	int fd, r;

	if (!keeper) {
		r = slirp_renew(&s->rq, &s->grant, &err);
		if (r < 0)
			log_warning("port", "%s: %s", s->rq.name, err.message);
		return r;
	}
	r = keeper->renew(keeper->ctx, &s->rq, &s->grant, &fd);
	if (r < 0)
		return r;
	r = dup3(fd, s->frames.fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void on_timer(struct slirp *s)
{
	uint64_t n;
	int r;

	(void)!read(s->timer, &n, sizeof(n));
	if (!atomic_load(&s->over))
		return;
	r = renew(s);
	if (r == 0 && !begin(s))
		r = -errno;
	if (r == 0) {
		s->started_ns = clock_ns();
		return;
	}
	log_warning("port", "%s: no other switchd-slirp: %s", s->rq.name,
		    strerror(-r));
	atomic_store(&s->over, true);
	restart_later(s);
}

static void on_ended(struct slirp *s)
{
	eventfd_t n;

	(void)eventfd_read(s->ended, &n);
	if (clock_ns() - s->started_ns >= LASTED_NS)
		s->restart_ms = RESTART_NOW_MS;
	restart_later(s);
}

static void slirp_state(struct port *p, struct port_state *state)
{
	const struct slirp *s = to_slirp(p);
	bool over = atomic_load(&s->over);

	state->carrier = !over;
	state->condition = over ? "broken" : "running";
	state->reason = over ? "its process, switchd-slirp, has ended; another "
			       "one is started"
			     : NULL;
}

static bool slirp_control(struct port *p)
{
	struct slirp *s = to_slirp(p);
	struct epoll_event e[2];
	int n = epoll_wait(p->control_fd, e, sizeof(e) / sizeof(e[0]), 0);

	for (int i = 0; i < n; i++) {
		if (e[i].data.fd == s->ended)
			on_ended(s);
		else
			on_timer(s);
	}
	return n > 0; /* whoever asks looks whether it's new */
}

/* An earlier process may have gone on renewing it. */
static void slirp_take_over(struct port *p)
{
	const struct port_keeper *keeper = port_keeper();
	struct slirp *s = to_slirp(p);
	int fd;

	(void)epoll_ctl(s->queue, EPOLL_CTL_DEL, s->frames.fd, NULL);
	if (keeper && keeper->current &&
	    keeper->current(keeper->ctx, &s->rq, &s->grant, &fd) == 0) {
		(void)dup3(fd, s->frames.fd, O_CLOEXEC);
		close(fd);
	}
	if (!begin(s))
		log_warning("port", "%s: can't wait for frames", s->rq.name);
}

/* ---- Open and close ---- */

static void slirp_close(struct port *p)
{
	struct slirp *s = to_slirp(p);
	const int fds[] = { s->queue, s->ended, s->timer };

	datagrams_fini(&s->frames);
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(s);
}

static int open_descriptors(struct slirp *s, struct error *err)
{
	struct port *p = &s->frames.port;

	s->queue = epoll_create1(EPOLL_CLOEXEC);
	s->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	p->control_fd = epoll_create1(EPOLL_CLOEXEC);
	p->queue_fd[0] = s->queue;
	if (s->queue >= 0 && s->ended >= 0 && s->timer >= 0 &&
	    p->control_fd >= 0 && watch(p->control_fd, s->ended) &&
	    watch(p->control_fd, s->timer) && begin(s))
		return 0;
	return error_set(err, errno, "no-descriptor", NULL,
			 "no descriptors for port %s: %s", p->name,
			 strerror(errno));
}

static struct port *slirp_open(const struct port_request *rq,
			       const struct port_grant *grant,
			       struct error *err)
{
	struct slirp *s = calloc(1, sizeof(*s));

	if (!s) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	s->queue = s->ended = s->timer = -1;
	s->rq = *rq;
	s->grant = *grant;
	s->restart_ms = RESTART_MIN_MS;
	s->started_ns = clock_ns();
	if (datagrams_init(&s->frames, &port_ops_slirp, rq, grant, err) < 0) {
		free(s);
		return NULL;
	}
	s->frames.failed = &s->end;
	if (open_descriptors(s, err) == 0)
		return &s->frames.port;
	slirp_close(&s->frames.port);
	return NULL;
}

const struct port_ops port_ops_slirp = {
	.type = "slirp",
	.run_fds = SLIRP_GRANT_RUN_FDS,
	.acquire = slirp_acquire,
	.adjust = slirp_adjust,
	.renew = slirp_renew,
	.release = slirp_release,
	.open = slirp_open,
	.take_over = slirp_take_over,
	.control = slirp_control,
	.state = slirp_state,
	.close = slirp_close,
	.rx = slirp_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};
