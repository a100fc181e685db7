#include "ports/slirp/nat.h"

#include "base/clock.h"
#include "base/log.h"
#include "ports/privilege.h"
#include "ports/slirp/frames.h"
#include "ports/slirp_fragments.h"

#include <errno.h>
#include <fcntl.h>
#include <libslirp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS 1000000

#define TIMERS_MAX 8 /* libslirp has one */
/* RFC 4861 section 10: MAX_INITIAL_RTR_ADVERT_INTERVAL, .._ADVERTISEMENTS */
#define INITIAL_MS    16000
#define INITIAL_COUNT 3
#define IDLE_MS	      60000 /* nothing is due */

struct timer {
	bool used;
	SlirpTimerId id;
	void *ctx;
	int64_t due_ms; /* 0: not set */
};

struct nat {
	Slirp *slirp;
	int fd;
	struct frames *frames;
	struct slirp_fragments *fragments;
	struct timer timer[TIMERS_MAX];
	struct pollfd *poll; /* [0] is fd */
	unsigned int polled, room;
	unsigned int advertised; /* by our clock */
	/* A socket that somebody may call at was readable; there is no
	 * descriptor for who calls. */
	bool called, full;
};

/* ---- Frames ---- */

static ssize_t on_packet(const void *frame, size_t len, void *ctx)
{
	struct nat *n = ctx;

	return frames_send(n->frames, frame, len) ? (ssize_t)len : -1;
}

/* A guest's. */
static void on_frame(const uint8_t *frame, uint32_t len, void *ctx)
{
	struct nat *n = ctx;
	size_t size = len;

	if (slirp_fragments_take(n->fragments, &frame, &size, clock_ns()))
		slirp_input(n->slirp, frame, (int)size);
}

/* ---- Time ---- */

static int64_t on_clock(void *ctx)
{
	(void)ctx;
	return (int64_t)clock_ns();
}

static void *on_timer_new(SlirpTimerId id, void *timer_ctx, void *ctx)
{
	struct nat *n = ctx;

	for (unsigned int i = 0; i < TIMERS_MAX; i++) {
		if (n->timer[i].used)
			continue;
		n->timer[i] = (struct timer){ true, id, timer_ctx, 0 };
		return &n->timer[i];
	}
	return NULL;
}

static void on_timer_free(void *timer, void *ctx)
{
	(void)ctx;
	if (timer)
		((struct timer *)timer)->used = false;
}

static int64_t now_ms(void)
{
	return (int64_t)(clock_ns() / NS_PER_MS);
}

/*
 * Guests that have been there before us have asked for a router in vain. So the
 * first advertisements come sooner than libslirp would have it: RFC 4861 6.2.4.
 */
static int64_t sooner(struct nat *n, int64_t due_ms)
{
	int64_t at = now_ms() + (n->advertised ? INITIAL_MS : 0);

	if (n->advertised == INITIAL_COUNT || due_ms <= at)
		return due_ms;
	n->advertised++;
	return at;
}

static void on_timer_mod(void *timer, int64_t due_ms, void *ctx)
{
	struct timer *t = timer;

	if (!t)
		return;
	if (t->id == SLIRP_TIMER_RA)
		due_ms = sooner(ctx, due_ms);
	t->due_ms = due_ms > 0 ? due_ms : 1;
}

static void run_timers(struct nat *n)
{
	int64_t now = now_ms();

	for (unsigned int i = 0; i < TIMERS_MAX; i++) {
		struct timer *t = &n->timer[i];

		if (!t->used || !t->due_ms || t->due_ms > now)
			continue;
		t->due_ms = 0;
		slirp_handle_timer(n->slirp, t->id, t->ctx);
	}
}

static void until_timers(const struct nat *n, uint32_t *ms)
{
	int64_t now = now_ms();

	for (unsigned int i = 0; i < TIMERS_MAX; i++) {
		const struct timer *t = &n->timer[i];

		if (!t->used || !t->due_ms)
			continue;
		if (t->due_ms <= now)
			*ms = 0;
		else if (t->due_ms - now < *ms)
			*ms = (uint32_t)(t->due_ms - now);
	}
}

/* ---- The outside ---- */

static const struct {
	int slirp;
	short poll;
} events[] = {
	{ SLIRP_POLL_IN, POLLIN },   { SLIRP_POLL_OUT, POLLOUT },
	{ SLIRP_POLL_PRI, POLLPRI }, { SLIRP_POLL_ERR, POLLERR },
	{ SLIRP_POLL_HUP, POLLHUP },
};

#define EVENTS (sizeof(events) / sizeof(events[0]))

static int add_poll(struct nat *n, int fd, short wanted)
{
	if (n->polled == n->room) {
		unsigned int room = n->room ? 2 * n->room : 64;
		struct pollfd *p = reallocarray(n->poll, room, sizeof(*p));

		if (!p)
			return -1;
		n->poll = p;
		n->room = room;
	}
	n->poll[n->polled] = (struct pollfd){ .fd = fd, .events = wanted };
	return (int)n->polled++;
}

/* What libslirp wants of a socket that it listens at (and of UDP's). */
#define CALLS (POLLIN | POLLERR | POLLHUP)

/*
 * Who calls while there is no descriptor for it can't be accepted, and makes
 * the socket readable all the time: such sockets are left alone meanwhile.
 * libslirp looks once in half a second at least while it has connections.
 */
static bool is_full(struct nat *n)
{
	int fd;

	if (!n->called && !n->full)
		return false;
	n->called = false;
	fd = fcntl(n->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return true;
	close(fd);
	return false;
}

static bool listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static int on_add_poll(int fd, int wanted, void *ctx)
{
	struct nat *n = ctx;
	short mask = 0;

	if (n->full && listens(fd))
		return add_poll(n, -1, 0);
	for (unsigned int i = 0; i < EVENTS; i++)
		if (wanted & events[i].slirp)
			mask |= events[i].poll;
	return add_poll(n, fd, mask);
}

static int on_events(int i, void *ctx)
{
	struct nat *n = ctx;
	int what = 0;

	if (i < 0 || (unsigned int)i >= n->polled)
		return 0;
	for (unsigned int k = 0; k < EVENTS; k++)
		if (n->poll[i].revents & events[k].poll)
			what |= events[k].slirp;
	if (what && n->poll[i].events == CALLS)
		n->called = true;
	return what;
}

/* A guest misbehaves: its affair. */
static void on_guest_error(const char *text, void *ctx)
{
	(void)ctx;
	log_debug("slirp", "%s", text);
}

/* The loop asks in each round what there is to poll for. */
static void on_poll_fd(int fd, void *ctx)
{
	(void)fd;
	(void)ctx;
}

static void on_notify(void *ctx)
{
	(void)ctx;
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_poll_fd,
	.unregister_poll_fd = on_poll_fd,
	.notify = on_notify,
	.timer_new_opaque = on_timer_new,
};

/* ---- Start and end ---- */

static int forward(struct nat *n, const struct slirp_forward *f,
		   struct error *err)
{
	int flags = f->udp ? SLIRP_HOSTFWD_UDP : 0;

	if (f->host.sa.sa_family == AF_INET6)
		flags |= SLIRP_HOSTFWD_V6ONLY;
	if (slirp_add_hostxfwd(n->slirp, &f->host.sa,
			       slirp_address_len(&f->host), &f->guest.sa,
			       slirp_address_len(&f->guest), flags) == 0)
		return 0;
	return error_set(err, errno ? errno : EINVAL,
			 errno == EADDRINUSE ? "in-use"
			 : errno == EACCES   ? "not-permitted"
					     : "bad-value",
			 "hostfwd",
			 "can't listen at %s port %u of the host: %s%s",
			 f->udp ? "UDP" : "TCP",
			 /* At the same place in both. */
			 ntohs(f->host.in.sin_port), strerror(errno),
			 privilege_hint(PRIVILEGE_LOW_PORT, errno));
}

struct nat *nat_new(const struct slirp_params *p,
		    const struct slirp_settings *s, int fd, struct error *err)
{
	const SlirpConfig config = {
		.version = 4,
		.restricted = p->restricted,
		.in_enabled = s->ipv4,
		.vnetwork = s->network,
		.vnetmask = s->mask,
		.vhost = s->gateway,
		.in6_enabled = s->ipv6,
		.vprefix_addr6 = s->prefix,
		.vprefix_len = s->prefix_len,
		.vhost6 = s->gateway6,
		.vhostname = *p->hostname ? p->hostname : NULL,
		.vdhcp_start = s->dhcp,
		.vnameserver = s->nameserver,
		.vnameserver6 = s->nameserver6,
		.if_mtu = s->mtu,
		.if_mru = s->mtu,
		.disable_host_loopback = !p->loopback,
	};
	struct nat *n = calloc(1, sizeof(*n));
	int r = n ? 0 : -ENOMEM;

	if (r == 0) {
		n->fd = fd;
		n->frames = frames_new(fd);
		n->fragments = slirp_fragments_new();
		if (n->frames && n->fragments)
			n->slirp = slirp_new(&config, &callbacks, n);
	}
	if (r < 0 || !n->slirp) {
		nat_free(n);
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	for (unsigned int i = 0; r == 0 && i < s->forwards; i++)
		r = forward(n, &s->forward[i], err);
	if (r == 0)
		return n;
	nat_free(n);
	return NULL;
}

int nat_run(struct nat *n)
{
	int r = 0;

	while (r >= 0) {
		uint32_t ms = IDLE_MS;

		n->polled = 0;
		n->full = is_full(n);
		if (add_poll(n, n->fd, POLLIN) < 0)
			return -ENOMEM;
		slirp_pollfds_fill(n->slirp, &ms, on_add_poll, n);
		until_timers(n, &ms);
		r = poll(n->poll, n->polled, r > 0 ? 0 : (int)ms);
		if (r < 0 && errno != EINTR)
			return -errno;
		slirp_pollfds_poll(n->slirp, r < 0, on_events, n);
		r = frames_receive(n->frames, on_frame, n);
		run_timers(n);
		frames_flush(n->frames);
	}
	return r == -EPIPE ? 0 : r;
}

void nat_free(struct nat *n)
{
	if (!n)
		return;
	if (n->slirp)
		slirp_cleanup(n->slirp);
	slirp_fragments_free(n->fragments);
	frames_free(n->frames);
	free(n->poll);
	free(n);
}
