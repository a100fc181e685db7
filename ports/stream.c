#include "ports/stream.h"

#include "base/rights.h"
#include "ports/stream_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Between two attempts to connect. */
#define REDIAL_MIN_MS 100
#define REDIAL_MAX_MS 1000

/* Who hasn't answered by then gets another attempt. */
#define CONNECT_MS 5000

/* tcpi_state of a connection under way (TCP_SYN_SENT of the kernel). */
#define SYN_SENT 2

struct stream_port {
	struct port port;
	struct port_request rq;
	struct port_grant grant;
	struct stream_state *state;
	struct stream_link link;
	int queue;  /* epoll: the connection and again */
	int again;  /* eventfd */
	int events; /* eventfd: the connection has ended */
	int timer;
	int conn; /* of our own; -1: none */
	bool connecting, linked;
	_Atomic bool told;  /* events says that it has ended */
	const char *reason; /* of what is wrong with the other end, or NULL */
	unsigned int redial_ms;
};

static struct stream_port *to_stream(struct port *p)
{
	return (struct stream_port *)p; /* port is its first member */
}

/* ---- Frames: workers ---- */

static unsigned int stream_rx(struct port *p, unsigned int queue,
			      struct frame *f, unsigned int max,
			      struct frame_arena *arena)
{
	struct stream_port *s = to_stream(p);
	unsigned int n = stream_link_receive(&s->link, f, max, arena);

	(void)queue;
	if (__builtin_expect(s->link.ended && !s->told, 0)) {
		s->told = true;
		if (s->rq.given)
			atomic_store(&p->failed, s->link.error);
		(void)eventfd_write(s->events, 1);
	}
	return n;
}

static unsigned int stream_tx(struct port *p, struct frame *const *f,
			      unsigned int n, enum drop_reason *why)
{
	return stream_link_send(&to_stream(p)->link, f, n, why);
}

/* ---- The connection: main thread ---- */

static bool control_add(struct stream_port *s, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(s->port.control_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void set_timer(struct stream_port *s, unsigned int ms)
{
	struct itimerspec at = {
		.it_value.tv_sec = ms / 1000,
		.it_value.tv_nsec = ms % 1000 * 1000000L,
	};

	(void)timerfd_settime(s->timer, 0, &at, NULL);
}

static void redial_later(struct stream_port *s)
{
	if (s->rq.given)
		return;
	set_timer(s, s->redial_ms);
	s->redial_ms *= 2;
	if (s->redial_ms > REDIAL_MAX_MS)
		s->redial_ms = REDIAL_MAX_MS;
}

/* There is no connection to begin with: another attempt, or, of a given one,
 * the port's end. */
static void not_begun(struct stream_port *s)
{
	if (!s->rq.given) {
		redial_later(s);
		return;
	}
	atomic_store(&s->port.failed, ENOTCONN);
	(void)eventfd_write(s->events, 1);
}

/*
 * A TCP socket that dials a port of its own host may get that very number, and
 * reach itself.
 */
static bool is_self(int fd)
{
	struct sockaddr_storage self = { 0 }, peer;
	socklen_t ns = sizeof(self), np = sizeof(peer);

	return getsockname(fd, (struct sockaddr *)&self, &ns) == 0 &&
	       self.ss_family != AF_UNIX &&
	       getpeername(fd, (struct sockaddr *)&peer, &np) == 0 &&
	       ns == np && !memcmp(&self, &peer, ns);
}

static bool is_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
	       !is_self(fd) && poll(&p, 1, 0) == 0;
}

static bool is_under_way(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == SYN_SENT;
}

/* Let go of the connection, which others have as well. */
static void let_go(struct stream_port *s)
{
	if (s->conn < 0)
		return;
	stream_link_end(&s->link);
	if (s->connecting)
		(void)epoll_ctl(s->port.control_fd, EPOLL_CTL_DEL, s->conn,
				NULL);
	s->connecting = false;
	rights_close(s->conn);
	s->conn = -1;
}

/* It is over, for all who have it. */
static void hang_up(struct stream_port *s)
{
	stream_state_close(s->state);
	(void)shutdown(s->conn, SHUT_RDWR);
	let_go(s);
}

/* The state is open and the connection s->conn is there. */
static bool link_begin(struct stream_port *s)
{
	s->told = false;
	if (stream_link_begin(&s->link, s->conn) == 0) {
		s->reason = NULL;
		set_timer(s, 0);
		return true;
	}
	hang_up(s);
	return false;
}

static bool begin(struct stream_port *s)
{
	stream_state_open(s->state);
	return link_begin(s);
}

static bool wait_for_it(struct stream_port *s)
{
	s->connecting = control_add(s, s->conn, EPOLLOUT);
	if (s->connecting)
		set_timer(s, CONNECT_MS);
	else
		let_go(s);
	return s->connecting;
}

/* Begin with what the grant has. Returns whether there is a connection, or one
 * under way. */
static bool begin_with(struct stream_port *s, int fd)
{
	bool connected = s->rq.given || is_connected(fd);

	if (!connected && !is_under_way(fd))
		return false;
	s->conn = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->conn < 0)
		return false;
	return connected ? begin(s) : wait_for_it(s);
}

static int socket_fd(const struct stream_port *s)
{
	return s->grant.fd[STREAM_GRANT_SOCKET];
}

/* Connect again, or have the keeper do it. */
static bool dial(struct stream_port *s)
{
	const struct port_keeper *keeper = port_keeper();
	struct error err;
	bool there;
	int fd;

	if (!keeper)
		return stream_renew(&s->rq, &s->grant, &err) == 0 &&
		       begin_with(s, socket_fd(s));
	if (keeper->renew(keeper->ctx, &s->rq, &s->grant, &fd) < 0)
		return false;
	there = begin_with(s, fd);
	close(fd);
	return there;
}

/* It has been made, or has failed. */
static void on_connecting(struct stream_port *s)
{
	if (is_under_way(s->conn))
		return;
	(void)epoll_ctl(s->port.control_fd, EPOLL_CTL_DEL, s->conn, NULL);
	s->connecting = false;
	if (is_connected(s->conn)) {
		if (begin(s))
			return;
	} else {
		let_go(s);
	}
	redial_later(s);
}

static void on_timer(struct stream_port *s)
{
	uint64_t n;

	if (read(s->timer, &n, sizeof(n)) != sizeof(n))
		return;
	if (s->connecting)
		let_go(s);
	if (s->conn < 0 && !s->rq.given && !dial(s))
		redial_later(s);
}

/* Of the workers: the other end has gone. */
static void on_ended(struct stream_port *s)
{
	const char *why = s->link.ended;
	eventfd_t n;

	(void)eventfd_read(s->events, &n);
	if (s->conn < 0 || s->connecting || !why)
		return;
	if (why == stream_closed && s->link.received)
		s->redial_ms = REDIAL_MIN_MS;
	hang_up(s);
	/* That it has gone is no fault. */
	s->reason = why == stream_closed ? NULL : why;
	redial_later(s);
}

static void control_one(struct stream_port *s, int fd)
{
	if (fd == s->events)
		on_ended(s);
	else if (fd == s->timer)
		on_timer(s);
	else if (fd == s->conn && s->connecting)
		on_connecting(s);
}

static void stream_port_state(struct port *p, struct port_state *state)
{
	const struct stream_port *s = to_stream(p);

	state->carrier = s->conn >= 0 && !s->connecting;
	state->condition = state->carrier ? "running" : "waiting";
	state->reason = s->reason;
}

static bool stream_control(struct port *p)
{
	struct stream_port *s = to_stream(p);
	struct port_state old, new;
	struct epoll_event e[4];
	int n;

	stream_port_state(p, &old);
	n = epoll_wait(p->control_fd, e, sizeof(e) / sizeof(e[0]), 0);
	for (int i = 0; i < n; i++)
		control_one(s, e[i].data.fd);
	stream_port_state(p, &new);
	return old.carrier != new.carrier || old.reason != new.reason;
}

/* ---- Open and close ---- */

static int no_descriptor(struct stream_port *s, struct error *err)
{
	return error_set(err, errno, "no-descriptor", NULL,
			 "no descriptors for port %s: %s", s->port.name,
			 strerror(errno));
}

static int open_descriptors(struct stream_port *s, struct error *err)
{
	struct epoll_event e = { .events = EPOLLIN };

	s->queue = epoll_create1(EPOLL_CLOEXEC);
	s->again = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	s->port.control_fd = epoll_create1(EPOLL_CLOEXEC);
	s->port.queue_fd[0] = s->queue;
	if (s->queue < 0 || s->again < 0 || s->events < 0 || s->timer < 0 ||
	    s->port.control_fd < 0 ||
	    epoll_ctl(s->queue, EPOLL_CTL_ADD, s->again, &e) < 0 ||
	    !control_add(s, s->events, EPOLLIN) ||
	    !control_add(s, s->timer, EPOLLIN))
		return no_descriptor(s, err);
	return 0;
}

static int open_state(struct stream_port *s, struct error *err)
{
	int fd = s->grant.fd[STREAM_GRANT_STATE], r;
	void *state = MAP_FAILED;
	struct stat st;

	/* What lies behind its end can't be touched. */
	errno = EINVAL;
	if (fstat(fd, &st) == 0 && st.st_size >= STREAM_STATE_SIZE)
		state = mmap(NULL, STREAM_STATE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	if (state == MAP_FAILED)
		return error_set(err, errno, "bad-grant", NULL,
				 "the state of port %s can't be mapped: %s",
				 s->port.name, strerror(errno));
	s->state = state;
	r = stream_link_init(&s->link, s->state, s->queue, s->again);
	s->linked = r == 0;
	return r < 0 ? error_set(err, -r, "no-memory", NULL,
				 "no memory for port %s", s->port.name)
		     : 0;
}

static void stream_close(struct port *p)
{
	struct stream_port *s = to_stream(p);
	int fds[] = { s->queue, s->again, s->events, s->timer, p->control_fd };

	if (s->linked) {
		let_go(s);
		stream_link_fini(&s->link);
	}
	if (s->state)
		munmap(s->state, STREAM_STATE_SIZE);
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(s);
}

/* The earlier process was in the midst of this connection. */
static bool resume(struct stream_port *s, int fd)
{
	bool sane = stream_state_sane(s->state);

	if (sane && !atomic_load(&s->state->open))
		return false;
	s->conn = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->conn < 0)
		return false;
	if (sane && stream_state_recover(s->state))
		return link_begin(s);
	/* Nobody knows where its frames begin. */
	if (!sane)
		stream_state_init(s->state);
	hang_up(s);
	return false;
}

/* What the keeper has now, where an earlier process may have dialled again;
 * *fd is to be closed. Otherwise what came with the grant. */
static int current_fd(struct stream_port *s, int *fd)
{
	const struct port_keeper *keeper = port_keeper();

	*fd = -1;
	if (keeper && keeper->current &&
	    keeper->current(keeper->ctx, &s->rq, &s->grant, fd) == 0)
		return *fd;
	*fd = -1;
	return socket_fd(s);
}

static void stream_take_over(struct port *p)
{
	struct stream_port *s = to_stream(p);
	int own, fd = current_fd(s, &own);

	let_go(s);
	/* A given one that was hung up is begun all the same: that it is over
	 * ends the port. */
	if (!resume(s, fd) && !begin_with(s, fd))
		not_begun(s);
	if (own >= 0)
		close(own);
}

static struct port *stream_open(const struct port_request *rq,
				const struct port_grant *grant,
				struct error *err)
{
	struct stream_port *s;
	int r;

	if (grant->nfds < STREAM_GRANT_RUN_FDS) {
		error_set(err, EINVAL, "bad-grant", NULL,
			  "port %s has no socket and state", rq->name);
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	port_init(&s->port, &port_ops_stream, rq, grant);
	s->rq = *rq;
	s->grant = *grant;
	s->redial_ms = REDIAL_MIN_MS;
	s->conn = s->queue = s->again = s->events = s->timer = -1;
	r = open_descriptors(s, err);
	if (r == 0)
		r = open_state(s, err);
	if (r < 0) {
		stream_close(&s->port);
		return NULL;
	}
	if (!grant->resumed && !begin_with(s, socket_fd(s)))
		not_begun(s);
	return &s->port;
}

const struct port_ops port_ops_stream = {
	.type = "stream",
	.run_fds = STREAM_GRANT_RUN_FDS,
	.acquire = stream_acquire,
	.adjust = stream_adjust,
	.renew = stream_renew,
	.release = stream_release,
	.open = stream_open,
	.take_over = stream_take_over,
	.control = stream_control,
	.state = stream_port_state,
	.close = stream_close,
	.rx = stream_rx,
	.tx = stream_tx,
};
