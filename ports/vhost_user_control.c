#include "ports/vhost_user_internal.h"

#include "base/fds.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- What the session wants ---- */

static void nudge(struct vhost_queue *q)
{
	/* In this order: who sees that it was finds something to read. */
	(void)eventfd_write(q->nudge, 1);
	atomic_store(&q->nudged, true);
}

/* Have the queue's worker woken up by this kick (-1: by none). */
static bool watch_kick(struct vhost_queue *q, int kick)
{
	struct epoll_event e = { .events = EPOLLIN };

	if (q->kick >= 0 && q->kick != kick) {
		(void)epoll_ctl(q->epoll, EPOLL_CTL_DEL, q->kick, NULL);
		q->kick = -1;
	}
	if (kick < 0 || q->kick == kick)
		return true;
	if (epoll_ctl(q->epoll, EPOLL_CTL_ADD, kick, &e) < 0)
		return false;
	q->kick = kick;
	return true;
}

static void note_tx_ring(struct vhost_user *v, unsigned int ring, bool running)
{
	uint64_t rings = 0;
	unsigned int n = 0;

	for (unsigned int i = 0; i < v->session.rings; i += 2) {
		bool runs = i == ring ? running : v->session.line[i].running;

		if (runs)
			rings |= (uint64_t)(i / 2) << (4 + 4 * n++);
	}
	atomic_store(&v->tx_rings, rings | n);
}

static bool hook_ring(void *ctx, unsigned int i, bool running, const char **why)
{
	struct vhost_user *v = ctx;
	struct vhost_queue *q = &v->queue[i / 2];

	if (i % 2 == 0) {
		note_tx_ring(v, i, running);
		return true;
	}
	if (!watch_kick(q, running ? v->session.line[i].kick : -1)) {
		*why = "a kick that can't be waited for";
		return false;
	}
	if (running)
		nudge(q);
	return true;
}

static void hook_features(void *ctx, uint64_t features)
{
	struct vhost_user *v = ctx;

	atomic_store(&v->port.tx_offloads, vhost_ring_offloads(features));
}

static void hook_announce(void *ctx, const uint8_t mac[6])
{
	struct vhost_user *v = ctx;
	uint64_t word = 0;

	memcpy(&word, mac, 6);
	atomic_store(&v->rarp, word);
	nudge(&v->queue[0]);
}

/* The keeper may have it open as well: closing it takes it out of no set. */
static void hook_leave(void *ctx, int conn)
{
	struct vhost_user *v = ctx;

	(void)epoll_ctl(v->port.control_fd, EPOLL_CTL_DEL, conn, NULL);
	atomic_store(&v->rarp, 0);
}

struct vhost_session_hooks vhost_user_hooks(struct vhost_user *v)
{
	return (struct vhost_session_hooks){
		.ring = hook_ring,
		.features = hook_features,
		.announce = hook_announce,
		.leave = hook_leave,
		.ctx = v,
	};
}

/* ---- The socket ---- */

bool vhost_user_watch(struct vhost_user *v, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(v->port.control_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

static int socket_fd(const struct vhost_user *v)
{
	return v->grant.fd[VHOST_GRANT_SOCKET];
}

static void set_timer(struct vhost_user *v, unsigned int ms)
{
	struct itimerspec at = {
		.it_value.tv_sec = ms / 1000,
		.it_value.tv_nsec = ms % 1000 * 1000000L,
	};

	(void)timerfd_settime(v->timer, 0, &at, NULL);
}

/* In a while there may be somebody, or descriptors. */
static void redial_later(struct vhost_user *v)
{
	set_timer(v, v->redial_ms);
	v->redial_ms *= 2;
	if (v->redial_ms > VHOST_REDIAL_MAX_MS)
		v->redial_ms = VHOST_REDIAL_MAX_MS;
}

static void begin(struct vhost_user *v, int conn)
{
	v->redial_ms = VHOST_REDIAL_MIN_MS;
	if (!vhost_user_watch(v, conn)) {
		shutdown(conn, SHUT_RDWR);
		(void)fds_discard(&conn, 1);
		redial_later(v);
		return;
	}
	vhost_session_begin(&v->session, conn);
}

static bool listen_on(struct vhost_user *v, bool on)
{
	if (on == v->listening)
		return true;
	if (on && !vhost_user_watch(v, socket_fd(v)))
		return false;
	if (!on)
		(void)epoll_ctl(v->port.control_fd, EPOLL_CTL_DEL, socket_fd(v),
				NULL);
	v->listening = on;
	return true;
}

/* Has the other end closed it? What it has sent before isn't of use then. */
static bool hung_up(int conn)
{
	struct pollfd p = { .fd = conn, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 &&
	       p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void accept_one(struct vhost_user *v)
{
	int conn =
		accept4(socket_fd(v), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (conn < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* It would be readable for ever. */
		log_warning("port", "%s: can't take a front end: %s",
			    v->port.name, strerror(errno));
		(void)listen_on(v, false);
		redial_later(v);
		return;
	}
	if (v->session.conn >= 0 && hung_up(v->session.conn))
		vhost_session_end(&v->session, NULL);
	if (v->session.conn < 0) {
		begin(v, conn);
		return;
	}
	log_notice("port", "%s: a second front end is sent away", v->port.name);
	(void)fds_discard(&conn, 1);
}

static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

/* Begin with what the grant has, in a descriptor of our own. */
static bool begin_connected(struct vhost_user *v, int fd)
{
	int conn;

	if (!is_connected(fd) || hung_up(fd))
		return false;
	conn = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (conn >= 0)
		begin(v, conn);
	return v->session.conn >= 0;
}

/* role=client: connect again, or have the keeper do it. */
static bool dial(struct vhost_user *v)
{
	const struct port_keeper *keeper = port_keeper();
	struct error err;
	bool there;
	int fd;

	if (!keeper)
		return vhost_user_renew(&v->rq, &v->grant, &err) == 0 &&
		       begin_connected(v, socket_fd(v));
	if (keeper->renew(keeper->ctx, &v->rq, &v->grant, &fd) < 0)
		return false;
	there = begin_connected(v, fd);
	close(fd);
	return there;
}

/* Who has held us up did it once. Others who come meanwhile wait. */
static void shut_out(struct vhost_user *v)
{
	v->session.held_up = false;
	v->shut = true;
	(void)listen_on(v, false);
	log_warning("port", "%s: no front end is let in for %u s", v->port.name,
		    v->shut_ms / 1000);
	set_timer(v, v->shut_ms);
	v->shut_ms *= 2;
	if (v->shut_ms > VHOST_SHUT_MAX_MS)
		v->shut_ms = VHOST_SHUT_MAX_MS;
}

static void on_timer(struct vhost_user *v)
{
	uint64_t n;

	(void)!read(v->timer, &n, sizeof(n));
	if (v->shut && fds_stuck()) {
		/* They would be more and more. */
		set_timer(v, VHOST_SHUT_MIN_MS);
		return;
	}
	v->shut = false;
	if (v->rq.vhost_user.client ? v->session.conn < 0 && !dial(v)
				    : !listen_on(v, true))
		redial_later(v);
}

static void on_event(struct vhost_user *v)
{
	eventfd_t n;

	(void)eventfd_read(v->events, &n);
	vhost_session_check(&v->session);
}

static void control_one(struct vhost_user *v, int fd)
{
	bool was = v->session.conn >= 0;

	if (fd == v->events)
		on_event(v);
	else if (fd == v->timer)
		on_timer(v);
	else if (fd == v->session.conn)
		vhost_session_serve(&v->session);
	else if (fd == socket_fd(v) && v->listening)
		accept_one(v);
	if (v->session.held_up && v->session.conn < 0)
		shut_out(v);
	else if (was && v->session.conn < 0 && v->rq.vhost_user.client)
		redial_later(v);
}

bool vhost_user_control(struct port *p)
{
	struct vhost_user *v = vhost_user_of(p);
	struct port_state old, new;
	struct epoll_event e[4];
	int n;

	vhost_user_state(p, &old);
	n = epoll_wait(p->control_fd, e, sizeof(e) / sizeof(e[0]), 0);
	for (int i = 0; i < n; i++)
		control_one(v, e[i].data.fd);
	vhost_user_state(p, &new);
	return old.carrier != new.carrier || old.condition != new.condition ||
	       old.reason != new.reason;
}

/* There is no earlier process, or nothing of its is of use. */
void vhost_user_start(struct vhost_user *v)
{
	if (v->shut)
		return;
	if (!v->rq.vhost_user.client) {
		if (!listen_on(v, true))
			redial_later(v);
		return;
	}
	if (v->session.conn < 0 && !begin_connected(v, socket_fd(v)))
		redial_later(v);
}

void vhost_user_take_over(struct port *p)
{
	struct vhost_user *v = vhost_user_of(p);

	if (v->session.conn >= 0 && v->state->busy) {
		/* Nobody but us can go on with it, nor has: it would be over,
		 * which we'll see. Rings that ran on have been given up. */
		vhost_session_check(&v->session);
		return;
	}
	vhost_session_forget(&v->session);
	if (vhost_session_resume(&v->session) &&
	    !vhost_user_watch(v, v->session.conn))
		vhost_session_end(&v->session, "no memory to wait for it");
	vhost_user_start(v);
}
