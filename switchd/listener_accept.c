/*
 * Guests that connect: let in at a rate, heard, made ports. See listener.h.
 *
 *     backlog ─accept─► [place: says what it wants] ─► port
 *        │ rate            │ 2 s, 16 places           │ max
 *        waits             hung up on                 hung up on
 */
#include "switchd/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rights.h"
#include "switchd/listener_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH 16 /* guests of one listener in a run */
#define EVENTS_BATCH 64
/* Without descriptors it's no use to try at once again. */
#define STARVED_NS (100 * 1000 * 1000ull)

/* ---- What is waited for ---- */

static unsigned int slot_of(const struct sw *sw, const struct listener *l)
{
	unsigned int i = 0;

	while (i < LISTENERS_MAX && sw->listeners->l[i] != l)
		i++;
	return i;
}

static int poll_add(struct sw *sw, struct listener *l, int fd,
		    unsigned int place)
{
	struct epoll_event e = {
		.events = EPOLLIN,
		.data.u64 = listener_key(slot_of(sw, l), place),
	};

	return epoll_ctl(sw->listeners->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0
		       ? -errno
		       : 0;
}

/* The keeper has most of them open, too: closed, they would stay in the set. */
static void poll_del(struct sw *sw, int fd)
{
	(void)epoll_ctl(sw->listeners->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int listener_watch(struct sw *sw, struct listener *l, bool on)
{
	int fd = l->grant.fd[LISTEN_GRANT_SOCKET];

	if (on)
		return poll_add(sw, l, fd, LISTENER_SOCKET);
	poll_del(sw, fd);
	return 0;
}

/* Let nobody in until then. */
static void pause_until(struct sw *sw, struct listener *l, uint64_t then_ns)
{
	poll_del(sw, l->grant.fd[LISTEN_GRANT_SOCKET]);
	l->paused_ns = then_ns;
}

static void resume(struct sw *sw, struct listener *l, uint64_t now_ns)
{
	int r = listener_watch(sw, l, true);

	l->paused_ns = r < 0 ? now_ns + STARVED_NS : 0;
	if (r < 0)
		log_err("listener", "%s: can't wait for guests: %s", l->name,
			strerror(-r));
}

/* ---- Rate ---- */

/*
 * As many as `rate` at once, and then one each 1/rate s: due_ns is when the
 * next one's turn would be if all had come evenly. Returns when it may come in:
 * not later than now_ns, and then it counts as come.
 */
static uint64_t take_turn(struct listener *l, uint64_t now_ns)
{
	uint64_t step = CLOCK_NS_PER_S / l->rate;
	uint64_t slack = (l->rate - 1) * step;
	uint64_t due = l->due_ns > now_ns ? l->due_ns : now_ns;

	if (due - now_ns > slack)
		return due - slack;
	l->due_ns = due + step;
	return now_ns;
}

/* ---- A port ---- */

static void peer_of(int fd, struct switch_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*peer = (struct switch_peer){ .known = false };
	/* TCP has none, and says pid 0 and no user. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    cred.uid == SWITCH_NOBODY)
		return;
	*peer = (struct switch_peer){
		.known = true, .pid = cred.pid, .uid = cred.uid, .gid = cred.gid
	};
}

static void port_name(const struct listener *l, unsigned int number,
		      char name[PORT_NAME_MAX])
{
	snprintf(name, PORT_NAME_MAX, "%.57s.%u", l->name, number);
}

static bool is_free(struct sw *sw, const struct listener *l,
		    unsigned int number)
{
	char name[PORT_NAME_MAX];

	port_name(l, number, name);
	return !switch_port_find(sw, name) &&
	       !json_object_get(sw->missing, name);
}

/* The lowest one; 0: none. */
static unsigned int free_number(struct sw *sw, const struct listener *l)
{
	for (unsigned int n = 1; n <= LISTENER_PORTS_MAX; n++)
		if (is_free(sw, l, n))
			return n;
	return 0;
}

/* Parameters of the new port: a guest may say what it is. A new reference. */
static json_t *port_params(const struct listener *l,
			   const struct listen_wish *wish)
{
	json_t *params = json_copy(l->common);
	char text[sizeof(wish->description)];
	size_t i;

	for (i = 0; i < sizeof(text) - 1 && wish->description[i]; i++) {
		char c = wish->description[i];

		text[i] = c;
		if (c < ' ' || c > '~')
			text[i] = '?';
	}
	text[i] = '\0';
	if (*text)
		json_object_set_new(params, "description", json_string(text));
	return params;
}

/* What it waits for. It is too little to block. */
static bool answer(const struct listener *l, const struct switch_port *p,
		   int fd)
{
	uint8_t buf[LISTEN_ANSWER_MAX];
	size_t n = l->ops->answer(&p->config.request, &p->grant, buf);

	return send(fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

/* Returns NULL with *err. The connection isn't the caller's any more. */
static struct switch_port *attach(struct sw *sw, struct listener *l, int fd,
				  const struct switch_peer *peer,
				  struct listen_wish *wish, struct error *err)
{
	/* The port has its own, wherever. */
	int copy = l->ops->answer ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	json_t *params = port_params(l, wish);
	char name[PORT_NAME_MAX];
	struct switch_given g = { .name = name,
				  .listener = l->name,
				  .params = params,
				  .request = &wish->rq,
				  .fd = fd,
				  .peer = *peer };
	struct switch_port *p;

	port_name(l, wish->number, name);
	snprintf(wish->rq.type, sizeof(wish->rq.type), "%s", l->ops->name);
	p = switch_attach_given(sw, &g, err);
	json_decref(params);
	if (p && l->ops->answer && (copy < 0 || !answer(l, p, copy))) {
		switch_detach(sw, p, "connection-closed");
		error_set(err, EPIPE, "no-answer", NULL,
			  "it doesn't take its answer");
		p = NULL;
	}
	if (copy >= 0)
		rights_close(copy);
	return p;
}

static void hang_up(struct sw *sw, struct listener *l, int fd,
		    const struct switch_peer *peer, enum listener_refusal why,
		    const char *detail, uint64_t now_ns)
{
	rights_close(fd);
	listener_refused(sw, l, why, peer, detail, now_ns);
}

/* The guest has said all there is to say; its connection is no longer the
 * caller's. */
static void admit(struct sw *sw, struct listener *l, int fd,
		  const struct switch_peer *peer, struct listen_wish *wish,
		  uint64_t now_ns)
{
	struct error err = { 0 };

	if (listener_ports(sw, l) >= l->max)
		hang_up(sw, l, fd, peer, REFUSED_LIMIT, NULL, now_ns);
	else if (wish->number < 1 || wish->number > LISTENER_PORTS_MAX)
		hang_up(sw, l, fd, peer, REFUSED_NUMBER, "out of range",
			now_ns);
	else if (!is_free(sw, l, wish->number))
		hang_up(sw, l, fd, peer, REFUSED_NUMBER, NULL, now_ns);
	else if (attach(sw, l, fd, peer, wish, &err))
		l->accepted++;
	else
		listener_refused(sw, l, REFUSED_PORT, peer, err.message,
				 now_ns);
}

/* ---- What a guest wants ---- */

/* Its place is free for another one. Returns its connection. */
static int leave_place(struct sw *sw, struct listener_guest *g)
{
	int fd = g->fd;

	poll_del(sw, fd);
	g->fd = -1;
	return fd;
}

static void refuse(struct sw *sw, struct listener *l, struct listener_guest *g,
		   enum listener_refusal why, const char *detail,
		   uint64_t now_ns)
{
	hang_up(sw, l, leave_place(sw, g), &g->peer, why, detail, now_ns);
}

void listener_drop_guests(struct sw *sw, struct listener *l)
{
	for (unsigned int i = 0; i < LISTENER_PENDING_MAX; i++)
		if (l->guest[i].fd >= 0)
			rights_close(leave_place(sw, &l->guest[i]));
}

/* More has come. */
static void understand(struct sw *sw, struct listener *l,
		       struct listener_guest *g, uint64_t now_ns)
{
	struct listen_wish wish;
	struct error err = { 0 };
	struct listen_offer offer = { .listener = &l->rq,
				      .number = free_number(sw, l),
				      .data = g->data,
				      .len = g->len };
	int r;

	memset(&wish, 0, sizeof(wish));
	wish.number = offer.number;
	r = l->ops->parse(&offer, &wish, &err);
	if (r > 0)
		admit(sw, l, leave_place(sw, g), &g->peer, &wish, now_ns);
	else if (r < 0 || g->len == sizeof(g->data))
		refuse(sw, l, g, REFUSED_REQUEST,
		       r < 0 ? err.message : "too long", now_ns);
}

static void hear(struct sw *sw, struct listener *l, struct listener_guest *g,
		 uint64_t now_ns)
{
	ssize_t n = rights_recv(g->fd, g->data + g->len,
				sizeof(g->data) - g->len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		refuse(sw, l, g, REFUSED_GONE, NULL, now_ns);
		return;
	}
	g->len += (uint32_t)n;
	understand(sw, l, g, now_ns);
}

/* A free place; where there is none, that of who has been there longest. */
static struct listener_guest *place(struct sw *sw, struct listener *l,
				    uint64_t now_ns)
{
	struct listener_guest *oldest = &l->guest[0];

	for (unsigned int i = 0; i < LISTENER_PENDING_MAX; i++) {
		struct listener_guest *g = &l->guest[i];

		if (g->fd < 0)
			return g;
		if (g->since_ns < oldest->since_ns)
			oldest = g;
	}
	refuse(sw, l, oldest, REFUSED_CROWDED, NULL, now_ns);
	return oldest;
}

static void ask(struct sw *sw, struct listener *l, int fd,
		const struct switch_peer *peer, uint64_t now_ns)
{
	struct listener_guest *g = place(sw, l, now_ns);
	int r = poll_add(sw, l, fd, (unsigned int)(g - l->guest));

	if (r < 0) {
		hang_up(sw, l, fd, peer, REFUSED_PORT, strerror(-r), now_ns);
		return;
	}
	g->fd = fd;
	g->peer = *peer;
	g->since_ns = now_ns;
	g->len = 0;
	hear(sw, l, g, now_ns); /* most have said it already */
}

/* ---- Letting in ---- */

static void let_in(struct sw *sw, struct listener *l, int fd, uint64_t now_ns)
{
	struct switch_peer peer;
	struct listen_wish wish;

	peer_of(fd, &peer);
	if (listener_ports(sw, l) >= l->max) {
		hang_up(sw, l, fd, &peer, REFUSED_LIMIT, NULL, now_ns);
		return;
	}
	if (l->ops->parse) {
		ask(sw, l, fd, &peer, now_ns);
		return;
	}
	memset(&wish, 0, sizeof(wish));
	wish.number = free_number(sw, l);
	admit(sw, l, fd, &peer, &wish, now_ns);
}

/* Somebody has shut our socket down: another one. */
static void listen_anew(struct sw *sw, struct listener *l, uint64_t now_ns)
{
	const struct port_keeper *k = port_keeper();
	int *fd = &l->grant.fd[LISTEN_GRANT_SOCKET], now = -1, r;

	poll_del(sw, *fd);
	if (k)
		r = k->renew(k->ctx, &l->rq, &l->grant, &now);
	else
		r = port_ops_listen.renew(&l->rq, &l->grant, NULL);
	if (r == 0 && k) {
		r = dup3(now, *fd, O_CLOEXEC) < 0 ? -errno : 0;
		close(now);
	}
	if (r < 0)
		log_err("listener", "%s listens no more: %s", l->name,
			strerror(-r));
	if (r == 0)
		resume(sw, l, now_ns);
	else
		l->paused_ns = now_ns + CLOCK_NS_PER_S;
}

/* Returns whether there may be more. */
static bool accept_one(struct sw *sw, struct listener *l, uint64_t now_ns)
{
	int listening = l->grant.fd[LISTEN_GRANT_SOCKET], fd;
	uint64_t turn = l->due_ns, when = take_turn(l, now_ns);

	if (when > now_ns) {
		pause_until(sw, l, when);
		return false;
	}
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		let_in(sw, l, fd, now_ns);
		return true;
	}
	l->due_ns = turn; /* nobody came */
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
	    errno == ENOMEM)
		pause_until(sw, l, now_ns + STARVED_NS);
	else if (errno == EINVAL || errno == EBADF)
		listen_anew(sw, l, now_ns);
	/* Else nobody waits, or the one who did has gone: accept(2). */
	return errno != EAGAIN && !l->paused_ns;
}

static void accept_some(struct sw *sw, struct listener *l, uint64_t now_ns)
{
	for (int i = 0; i < ACCEPT_BATCH && !l->paused_ns; i++)
		if (!accept_one(sw, l, now_ns))
			break;
}

/* ---- The whole ---- */

static void ready(struct sw *sw, uint64_t key, uint32_t events, uint64_t now_ns)
{
	unsigned int place = (unsigned int)(key & UINT32_MAX);
	struct listener *l = sw->listeners->l[key >> 32];

	/* It may be of one that has gone in this round: then it's of nobody, or
	 * of another one, for which it does no harm. */
	if (!l)
		return;
	/* That accept says, too, but for Unix sockets that don't block. */
	if (place == LISTENER_SOCKET && events & (EPOLLHUP | EPOLLERR))
		listen_anew(sw, l, now_ns);
	else if (place == LISTENER_SOCKET)
		accept_some(sw, l, now_ns);
	else if (l->guest[place].fd >= 0)
		hear(sw, l, &l->guest[place], now_ns);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* What time brings. Returns when it will bring something again; 0: never. */
static uint64_t pass_time(struct sw *sw, struct listener *l, uint64_t now_ns)
{
	uint64_t next = 0;

	for (unsigned int i = 0; i < LISTENER_PENDING_MAX; i++) {
		struct listener_guest *g = &l->guest[i];
		uint64_t until = g->since_ns + LISTENER_REQUEST_NS;

		if (g->fd >= 0 && now_ns >= until)
			refuse(sw, l, g, REFUSED_TIMEOUT, NULL, now_ns);
		else if (g->fd >= 0)
			next = sooner(next, until);
	}
	if (l->paused_ns && now_ns >= l->paused_ns)
		resume(sw, l, now_ns);
	return sooner(next, l->paused_ns);
}

uint64_t listeners_run(struct sw *sw, uint64_t now_ns)
{
	struct epoll_event e[EVENTS_BATCH];
	uint64_t next = 0;
	int n = epoll_wait(sw->listeners->epoll_fd, e, EVENTS_BATCH, 0);

	for (int i = 0; i < n; i++)
		ready(sw, e[i].data.u64, e[i].events, now_ns);
	for (unsigned int i = 0; i < LISTENERS_MAX; i++)
		if (sw->listeners->l[i])
			next = sooner(next, pass_time(sw, sw->listeners->l[i],
						      now_ns));
	return next;
}
