#include "ports/dgram.h"

#include "ports/datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Between two attempts to find somebody. */
#define REDIAL_MIN_MS 100
#define REDIAL_MAX_MS 1000

/* Where nothing goes either way, so often somebody looks who is there. On the
 * clock's multiples, so that many ports wake the process up once. */
#define CHECK_S 2

struct dgram {
	struct datagrams d; /* with the port first */
	struct port_request rq;
	struct port_grant grant;
	int events; /* eventfd: a worker has seen something */
	int timer;
	unsigned int redial_ms;
	/* Nobody is there. Written by the main thread. */
	_Atomic bool waiting;
	_Atomic bool told;  /* events is written to, and once is enough */
	_Atomic bool alive; /* frames went one way or the other */
};

static struct dgram *to_dgram(struct port *p)
{
	return (struct dgram *)p; /* d is its first member, and port d's */
}

/* ---- Frames: workers ---- */

static void tell(struct dgram *g)
{
	if (!atomic_load_explicit(&g->told, memory_order_relaxed) &&
	    !atomic_exchange(&g->told, true))
		(void)eventfd_write(g->events, 1);
}

static void note_alive(struct dgram *g)
{
	if (!atomic_load_explicit(&g->alive, memory_order_relaxed))
		atomic_store_explicit(&g->alive, true, memory_order_relaxed);
}

static bool is_waiting(struct dgram *g)
{
	return atomic_load_explicit(&g->waiting, memory_order_relaxed);
}

static unsigned int dgram_rx(struct port *p, unsigned int queue,
			     struct frame *f, unsigned int max,
			     struct frame_arena *arena)
{
	struct dgram *g = to_dgram(p);
	unsigned int n = datagrams_rx(p, queue, f, max, arena);

	if (!n)
		return 0;
	note_alive(g);
	/* Who sends may be who we wait for. */
	if (__builtin_expect(is_waiting(g), 0))
		tell(g);
	return n;
}

static unsigned int dgram_tx(struct port *p, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	struct dgram *g = to_dgram(p);
	unsigned int sent = datagrams_tx(p, f, n, why);

	if (sent)
		note_alive(g);
	if (sent < n && *why == DROP_LINK_DOWN && !is_waiting(g))
		tell(g);
	return sent;
}

/* ---- Who is there: main thread ---- */

static void set_timer(struct dgram *g, bool somebody)
{
	struct itimerspec at = { .it_value.tv_sec = g->redial_ms / 1000,
				 .it_value.tv_nsec =
					 g->redial_ms % 1000 * 1000000L };
	struct timespec now;

	if (!somebody) {
		(void)timerfd_settime(g->timer, 0, &at, NULL);
		g->redial_ms *= 2;
		if (g->redial_ms > REDIAL_MAX_MS)
			g->redial_ms = REDIAL_MAX_MS;
		return;
	}
	g->redial_ms = REDIAL_MIN_MS;
	clock_gettime(CLOCK_MONOTONIC, &now);
	at.it_value.tv_sec = (now.tv_sec / CHECK_S + 1) * CHECK_S;
	at.it_value.tv_nsec = 0;
	(void)timerfd_settime(g->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Connect to who is there, or have the keeper do it. */
static bool dial(struct dgram *g)
{
	const struct port_keeper *keeper = port_keeper();
	struct error err;
	int fd;

	if (!keeper)
		return dgram_renew(&g->rq, &g->grant, &err) == 0;
	if (keeper->renew(keeper->ctx, &g->rq, &g->grant, &fd) < 0)
		return false;
	close(fd); /* the same socket once more */
	return true;
}

/* Somebody is there, or not: what is to be done next. */
static void settle(struct dgram *g, bool somebody)
{
	atomic_store(&g->waiting, !somebody);
	if (somebody)
		atomic_store(&g->told, false);
	set_timer(g, somebody);
}

static void on_event(struct dgram *g)
{
	eventfd_t n;

	(void)eventfd_read(g->events, &n);
	settle(g, dial(g));
}

static void on_timer(struct dgram *g)
{
	bool alive = atomic_exchange(&g->alive, false);
	uint64_t n;

	(void)!read(g->timer, &n, sizeof(n));
	settle(g, (alive && !is_waiting(g)) || dial(g));
	/* Once again, until the next attempt. */
	atomic_store(&g->told, false);
}

static void dgram_state(struct port *p, struct port_state *state)
{
	state->carrier = !is_waiting(to_dgram(p));
	state->condition = state->carrier ? "running" : "waiting";
	state->reason = NULL;
}

static bool dgram_control(struct port *p)
{
	struct dgram *g = to_dgram(p);
	bool was = is_waiting(g);
	struct epoll_event e[2];
	int n = epoll_wait(p->control_fd, e, 2, 0);

	for (int i = 0; i < n; i++) {
		if (e[i].data.fd == g->events)
			on_event(g);
		else
			on_timer(g);
	}
	return was != is_waiting(g);
}

/* ---- Open and close ---- */

/* It has been connected at least once: whether there still is somebody is seen
 * soon enough. */
static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

static void start(struct dgram *g)
{
	settle(g, is_connected(g->d.fd));
}

static void dgram_take_over(struct port *p)
{
	start(to_dgram(p));
}

static bool control_add(struct dgram *g, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return fd >= 0 &&
	       epoll_ctl(g->d.port.control_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool open_descriptors(struct dgram *g)
{
	int r = datagrams_keep(&g->d);

	if (r < 0) {
		errno = -r;
		return false;
	}
	g->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	g->d.port.control_fd = epoll_create1(EPOLL_CLOEXEC);
	return g->d.port.control_fd >= 0 && control_add(g, g->events) &&
	       control_add(g, g->timer);
}

static void dgram_close(struct port *p)
{
	struct dgram *g = to_dgram(p);

	if (g->events >= 0)
		close(g->events);
	if (g->timer >= 0)
		close(g->timer);
	datagrams_fini(&g->d);
	free(g);
}

static struct port *dgram_open(const struct port_request *rq,
			       const struct port_grant *grant,
			       struct error *err)
{
	struct dgram *g = calloc(1, sizeof(*g));

	if (!g) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	if (datagrams_init(&g->d, &port_ops_dgram, rq, grant, err) < 0) {
		free(g);
		return NULL;
	}
	g->rq = *rq;
	g->grant = *grant;
	g->redial_ms = REDIAL_MIN_MS;
	g->events = g->timer = -1;
	if (!open_descriptors(g)) {
		error_set(err, errno, "no-descriptor", NULL,
			  "no descriptors for port %s: %s", rq->name,
			  strerror(errno));
		dgram_close(&g->d.port);
		return NULL;
	}
	if (!grant->resumed)
		start(g);
	return &g->d.port;
}

const struct port_ops port_ops_dgram = {
	.type = "dgram",
	.run_fds = DGRAM_GRANT_RUN_FDS,
	.acquire = dgram_acquire,
	.adjust = dgram_adjust,
	.renew = dgram_renew,
	.release = dgram_release,
	.open = dgram_open,
	.take_over = dgram_take_over,
	.control = dgram_control,
	.state = dgram_state,
	.close = dgram_close,
	.rx = dgram_rx,
	.rx_done = datagrams_rx_done,
	.tx = dgram_tx,
};
