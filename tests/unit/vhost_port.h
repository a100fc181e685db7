/*
 * vhost_port - a vhost-user port and a front end for it, in one thread
 *
 * The port is open and listens at rig->path; frames are taken and sent by hand.
 * rig_pump() does the main thread's part.
 */
#ifndef TESTS_UNIT_VHOST_PORT_H
#define TESTS_UNIT_VHOST_PORT_H

#include "base/clock.h"
#include "ports/vhost_session.h"
#include "tests/unit/vhost_front.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/fds.h"

#define BIT(n)	    (1ull << (n))
#define RIG_ARENA   (66 * FRAME_SLOT)
#define RIG_TIMEOUT 10000 /* ms */

struct rig {
	char dir[32];
	unsigned int fds; /* before there was anything */
	struct port_request rq;
	struct port_grant grant;
	struct error err;
	struct port *port;
	struct front *front;
	unsigned int changes; /* how often control() said so */
	struct frame frame[FRAME_BATCH_MAX];
	struct frame_arena arena;
};

static inline bool rig_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

/* As vhost_mem_guard() has left it; cmocka sets its own for each test. */
static struct sigaction rig_guard;

static inline void rig_guarded(void)
{
	assert_int_equal(sigaction(SIGBUS, &rig_guard, NULL), 0);
}

/* All that the main thread has to do now. */
static inline void rig_pump(void *ctx)
{
	struct rig *r = ctx;
	unsigned int n = 0;

	while (r->port && rig_readable(r->port->control_fd, 0)) {
		r->changes += r->port->ops->control(r->port);
		assert_true(n++ < 10000); /* it would never be done */
	}
}

static inline struct port_state rig_state(struct rig *r)
{
	struct port_state s;

	r->port->ops->state(r->port, &s);
	return s;
}

/* Until the port is so, with a deadline. */
static inline void rig_until(struct rig *r, const char *condition)
{
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;

	while (strcmp(rig_state(r).condition, condition)) {
		assert_true(clock_ns() < end);
		if (rig_readable(r->port->control_fd, 100))
			rig_pump(r);
	}
}

static inline struct vhost_user_info rig_info(struct rig *r)
{
	struct vhost_user_info info;

	vhost_user_info(r->port, &info);
	return info;
}

static inline void rig_open(struct rig *r)
{
	r->port = port_ops_vhost_user.open(&r->rq, &r->grant, &r->err);
	assert_non_null(r->port);
}

/* As a process that ends does: nobody is told. */
static inline void rig_close(struct rig *r)
{
	if (r->port)
		r->port->ops->close(r->port);
	r->port = NULL;
}

/* With so many pairs of queues, and listening. */
static inline void rig_acquire(struct rig *r, uint32_t queues)
{
	r->rq.vhost_user.queues = queues;
	assert_int_equal(vhost_user_acquire(&r->rq, &r->grant, &r->err), 0);
	rig_open(r);
}

/* Folders of tests that a front end has ended (vhost_front.h). */
static char rig_dirs[2][32];

static inline void rig_remove(const char *dir)
{
	char path[64];

	snprintf(path, sizeof(path), "%.31s/vm1.sock", dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

static inline void rig_remove_all(void)
{
	for (unsigned int i = 0; i < 2; i++)
		if (*rig_dirs[i])
			rig_remove(rig_dirs[i]);
}

static inline void rig_make_dir(struct rig *r)
{
	static bool registered;
	unsigned int i = *rig_dirs[0] != '\0';

	strcpy(r->dir, "/tmp/vhost-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	strcpy(rig_dirs[i], r->dir);
	if (!registered)
		assert_int_equal(atexit(rig_remove_all), 0);
	registered = true;
}

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	signal(SIGPIPE, SIG_IGN);
	/* What it opens for good isn't a leak. */
	assert_int_equal(vhost_mem_guard(), 0);
	if (!rig_guard.sa_sigaction)
		assert_int_equal(sigaction(SIGBUS, NULL, &rig_guard), 0);
	r->fds = fds_count();
	rig_make_dir(r);
	strcpy(r->rq.type, "vhost-user");
	strcpy(r->rq.name, "vm1");
	r->rq.enabled = true;
	snprintf(r->rq.vhost_user.path, sizeof(r->rq.vhost_user.path),
		 "%s/vm1.sock", r->dir);
	r->arena.base = malloc(RIG_ARENA);
	r->arena.size = RIG_ARENA;
	assert_non_null(r->arena.base);
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;
	unsigned int left;

	if (r->front)
		front_free(r->front);
	rig_close(r);
	vhost_user_release(&r->rq, &r->grant);
	rig_remove(r->dir);
	*rig_dirs[!strcmp(rig_dirs[1], r->dir)] = '\0';
	left = fds_count();
	if (left != r->fds)
		print_error("%u descriptors instead of %u\n", left, r->fds);
	left -= r->fds;
	free(r->arena.base);
	free(r);
	return left ? -1 : 0;
}

/* A front end that is connected. */
static inline struct front *rig_front(struct rig *r)
{
	if (r->front)
		front_free(r->front);
	r->front = front_new(rig_pump, r);
	front_connect(r->front, r->rq.vhost_user.path);
	return r->front;
}

/* A guest with one pair of queues of 256, all buffers offered. */
static inline struct front *rig_guest(struct rig *r, uint64_t features)
{
	struct front *f = rig_front(r);

	front_start(f, features, 1, 1, 256);
	front_offer(f, 0, 200);
	return f;
}

static inline unsigned int rig_rx(struct rig *r, unsigned int queue)
{
	r->arena.used = 0;
	return r->port->ops->rx(r->port, queue, r->frame, FRAME_BATCH_MAX,
				&r->arena);
}

static inline void rig_done(struct rig *r, unsigned int queue)
{
	r->port->ops->rx_done(r->port, queue);
}

/* The bytes of frame n: addresses, then numbers. */
static inline void rig_bytes(uint8_t *data, uint32_t len, uint32_t n)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i < 4 ? n >> (8 * i)
					  : n * 31 + i * 7 + (i >> 8));
	data[0] &= 0xfe; /* no group address, whatever n is */
}

/* The guest sends frames first to first + n - 1, of `len` bytes. */
static inline void rig_guest_sends(struct rig *r, uint32_t ring, uint32_t first,
				   uint32_t n, uint32_t len)
{
	uint8_t *data = malloc(len + 1);

	assert_non_null(data);
	for (uint32_t i = 0; i < n; i++) {
		rig_bytes(data, len, first + i);
		front_post(r->front, ring, data, len, NULL);
	}
	free(data);
}

/* This is frame n, of `len` bytes. */
static inline void rig_is(const struct frame *f, uint32_t n, uint32_t len)
{
	uint8_t *want = malloc(2 * (size_t)len + 2), *got = want + len + 1;

	assert_non_null(want);
	rig_bytes(want, len, n);
	assert_int_equal(f->len, len);
	assert_true(frame_read(f, 0, got, len));
	assert_memory_equal(got, want, len);
	free(want);
}

/* Take one batch of a queue: exactly frames first to first + n - 1. */
static inline void rig_expect(struct rig *r, unsigned int queue, uint32_t first,
			      uint32_t n, uint32_t len)
{
	assert_int_equal(rig_rx(r, queue), n);
	for (uint32_t i = 0; i < n; i++)
		rig_is(&r->frame[i], first + i, len);
	if (n)
		rig_done(r, queue);
}

/* Send frame n of `len` bytes to the guest. Returns 1, or 0 with *why. */
static inline unsigned int rig_send(struct rig *r, uint32_t n, uint32_t len,
				    enum drop_reason *why)
{
	uint8_t *data = malloc(FRAME_HEADROOM + (size_t)len);
	struct frame f, *list[] = { &f };
	unsigned int sent;

	assert_non_null(data);
	*why = DROP_REASON_COUNT;
	rig_bytes(data + FRAME_HEADROOM, len, n);
	frame_init(&f, data + FRAME_HEADROOM, len);
	sent = r->port->ops->tx(r->port, list, 1, why);
	free(data);
	return sent;
}

static inline void rig_sends(struct rig *r, uint32_t n, uint32_t len)
{
	enum drop_reason why;

	assert_int_equal(rig_send(r, n, len, &why), 1);
}

static inline void rig_drops(struct rig *r, enum drop_reason want)
{
	enum drop_reason why;

	assert_int_equal(rig_send(r, 1, 60, &why), 0);
	assert_int_equal(why, want);
}

/* The guest has got frame n, and nothing else waits. */
static inline void rig_guest_got(struct rig *r, uint32_t ring, uint32_t n,
				 uint32_t len)
{
	static struct front_frame got;
	uint8_t *want = malloc(len + 1);

	assert_non_null(want);
	assert_true(front_take(r->front, ring, &got));
	rig_bytes(want, len, n);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, want, len);
	free(want);
	assert_false(front_take(r->front, ring, &got));
}

/* Frames go both ways; n tells them apart. */
static inline void rig_works(struct rig *r, uint32_t n)
{
	rig_guest_sends(r, 1, n, 1, 60);
	rig_expect(r, 0, n, 1, 60);
	rig_sends(r, n + 1, 60);
	rig_guest_got(r, 0, n + 1, 60);
}

/* Somebody else listens where the port connects to. */
static inline int rig_listen(const struct rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/vm1.sock", r->dir);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

/* The port has connected; its front end is one that works. */
static inline void rig_accepted(struct rig *r, int listener)
{
	if (r->front)
		front_free(r->front);
	r->front = front_new(rig_pump, r);
	front_accept(r->front, listener);
	front_start(r->front, front_features, 1, 1, 256);
	front_offer(r->front, 0, 10);
	rig_works(r, 1);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

#endif
