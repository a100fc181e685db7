/*
 * rpc_rig - a JSON-RPC server and its clients in one thread, for the tests
 *
 * The test steps the event loop while it waits for a client's line, so that
 * it sees the server between any two turns. Everything has a deadline.
 */
#ifndef TESTS_UNIT_RPC_RIG_H
#define TESTS_UNIT_RPC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/rpc_internal.h"

/* Long enough for a loaded machine under a sanitizer; never waited for. */
#define RIG_DEADLINE (20 * CLOCK_NS_PER_S)

struct rig {
	struct event_base *base;
	struct rpc_server *server;
	struct rpc_call *deferred[8];
	unsigned int n_deferred;
	unsigned int cancelled;
	unsigned int handled; /* calls of rig.count */
};

struct rig_client {
	int fd;
	int passed; /* descriptor that came last, -1 = none */
	size_t lines, len, size;
	char *buf;
};

static inline void rig_step(struct rig *rig)
{
	event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

static void rig_count(struct rpc_call *call, json_t *params, void *ctx)
{
	struct rig *rig = ctx;

	(void)params;
	rpc_reply(call, json_integer(++rig->handled));
}

static void rig_echo(struct rpc_call *call, json_t *params, void *ctx)
{
	(void)ctx;
	rpc_reply(call, json_incref(params));
}

static void rig_fail(struct rpc_call *call, json_t *params, void *ctx)
{
	(void)params;
	(void)ctx;
	rpc_fail(call, EEXIST, "port-exists", "name", "port %s exists", "vm1");
}

/* Reply with `n` and the read end of a pipe that holds the byte `n`. */
static void rig_fd(struct rpc_call *call, json_t *params, void *ctx)
{
	char byte = (char)rpc_get_int(params, "n", 0);
	int ends[2];

	(void)ctx;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], &byte, 1), 1);
	close(ends[1]);
	rpc_reply_fd(call, json_incref(params), ends[0]);
}

static void rig_cancelled(void *arg)
{
	struct rig *rig = arg;

	rig->cancelled++;
}

static void rig_defer(struct rpc_call *call, json_t *params, void *ctx)
{
	struct rig *rig = ctx;

	(void)params;
	rpc_call_on_cancel(call, rig_cancelled, rig);
	rig->deferred[rig->n_deferred++] = call;
}

static void rig_big(struct rpc_call *call, json_t *params, void *ctx)
{
	size_t n = (size_t)rpc_get_int(params, "n", 0);
	char *s = malloc(n);

	(void)ctx;
	memset(s, 'x', n);
	rpc_reply(call, json_stringn(s, n));
	free(s);
}

static void rig_subscribe(struct rpc_call *call, json_t *params, void *ctx)
{
	int err = rpc_conn_subscribe(rpc_call_conn(call),
				     json_object_get(params, "topics"));

	(void)ctx;
	rpc_reply(call, json_integer(err));
}

static const char *const rig_words[] = { "red", "green", NULL };

static const struct rpc_param rig_echo_params[] = {
	{ .name = "n", .type = RPC_INT, .min = 1, .max = 100 },
	{ .name = "text", .type = RPC_STRING, .max_len = 8 },
	{ .name = "word", .type = RPC_ENUM, .values = rig_words },
	{ .name = "list", .type = RPC_STRINGS, .max = 2, .max_len = 4 },
	{ .name = "yes", .type = RPC_BOOL },
	{ .name = "object", .type = RPC_OBJECT },
	{ 0 },
};

static const struct rpc_param rig_n_params[] = {
	{ .name = "n", .type = RPC_INT, .required = true },
	{ 0 },
};

static const struct rpc_param rig_topic_params[] = {
	{ .name = "topics", .type = RPC_STRINGS },
	{ 0 },
};

static const struct rpc_method rig_table[] = {
	{ .name = "rig.count", .handler = rig_count },
	{ .name = "rig.echo", .params = rig_echo_params, .handler = rig_echo },
	{ .name = "rig.fail", .access = "few", .handler = rig_fail },
	{ .name = "rig.fd", .params = rig_n_params, .handler = rig_fd },
	{ .name = "rig.defer", .handler = rig_defer },
	{ .name = "rig.big", .params = rig_n_params, .handler = rig_big },
	{ .name = "rig.subscribe",
	  .params = rig_topic_params,
	  .handler = rig_subscribe },
	{ 0 },
};

static inline void rig_init(struct rig *rig, const struct rpc_limits *limits)
{
	memset(rig, 0, sizeof(*rig));
	rig->base = event_base_new();
	assert_non_null(rig->base);
	rig->server = rpc_server_new(rig->base, rig_table, rig, limits);
	assert_non_null(rig->server);
}

static inline void rig_fini(struct rig *rig)
{
	unsigned int i;

	rpc_server_free(rig->server);
	for (i = 0; i < rig->n_deferred; i++)
		if (rig->deferred[i])
			rpc_reply(rig->deferred[i], json_null());
	event_base_free(rig->base);
}

static inline void rig_client_init(struct rig_client *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->passed = -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* A client whose other end the server serves. */
static inline void rig_connect(struct rig *rig, struct rig_client *c)
{
	int ends[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(rpc_server_serve(rig->server, ends[1]), 0);
	rig_client_init(c, ends[0]);
}

static inline void rig_hangup(struct rig_client *c)
{
	if (c->passed >= 0)
		close(c->passed);
	close(c->fd);
	free(c->buf);
}

static inline void rig_write(struct rig *rig, struct rig_client *c,
			     const char *data, size_t len)
{
	uint64_t deadline = clock_ns() + RIG_DEADLINE;

	while (len) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

		assert_true(clock_ns() < deadline);
		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		else
			data += n, len -= (size_t)n;
		rig_step(rig);
	}
}

static inline void rig_say(struct rig *rig, struct rig_client *c,
			   const char *line)
{
	rig_write(rig, c, line, strlen(line));
	rig_write(rig, c, "\n", 1);
}

/* What is there into the buffer. Bytes, 0 at the end, -1 where none are. */
static inline ssize_t rig_read(struct rig_client *c)
{
	char control[CMSG_SPACE(sizeof(int))]
		__attribute__((aligned(__alignof__(struct cmsghdr))));
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (c->size - c->len < 65536) {
		c->size += 1 << 20;
		c->buf = realloc(c->buf, c->size);
	}
	iov.iov_base = c->buf + c->len;
	iov.iov_len = 65536;
	n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
	cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (cmsg) {
		assert_int_equal(c->passed, -1);
		memcpy(&c->passed, CMSG_DATA(cmsg), sizeof(int));
	}
	if (n > 0)
		c->len += (size_t)n;
	return n;
}

/* The next line as JSON; NULL where the server has hung up. */
static inline json_t *rig_hear(struct rig *rig, struct rig_client *c)
{
	uint64_t deadline = clock_ns() + RIG_DEADLINE;
	char *newline;
	json_t *line;

	while (!c->len || !(newline = memchr(c->buf, '\n', c->len))) {
		rig_step(rig);
		if (!rig_read(c)) {
			assert_int_equal(c->len, 0);
			return NULL;
		}
		assert_true(clock_ns() < deadline);
	}
	line = json_loadb(c->buf, (size_t)(newline - c->buf), 0, NULL);
	assert_non_null(line);
	c->len -= (size_t)(newline + 1 - c->buf);
	memmove(c->buf, newline + 1, c->len);
	return line;
}

/* The next line must be exactly this JSON. */
static inline void rig_expect(struct rig *rig, struct rig_client *c,
			      const char *expected)
{
	json_t *want = json_loads(expected, 0, NULL);
	json_t *line = rig_hear(rig, c);

	assert_non_null(want);
	assert_non_null(line);
	if (!json_equal(want, line)) {
		char *text = json_dumps(line, JSON_COMPACT);

		fail_msg("got %s, want %s", text, expected);
	}
	json_decref(want);
	json_decref(line);
}

/* The next line must be an error of that code, reason and path ("" = none). */
static inline void rig_expect_error(struct rig *rig, struct rig_client *c,
				    int code, const char *reason,
				    const char *path)
{
	json_t *line = rig_hear(rig, c);
	json_t *error = json_object_get(line, "error");
	json_t *data = json_object_get(error, "data");

	assert_non_null(error);
	assert_non_null(json_object_get(line, "id"));
	assert_string_equal(rpc_get_string(data, "reason", "none"), reason);
	assert_string_equal(rpc_get_string(data, "path", ""), path);
	assert_int_equal(rpc_get_int(error, "code", 0), code);
	assert_true(*rpc_get_string(error, "message", ""));
	json_decref(line);
}

#endif
