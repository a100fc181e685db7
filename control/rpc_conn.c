/* One connection: bytes in, bytes and descriptors out, and whose turn it is. */
#include "control/rpc_internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/rpc_json.h"

/* First size of an input buffer; it doubles up to the longest line. */
#define INPUT_MIN 4096

/* Descriptors that may wait to be sent: a client that doesn't read its
 * replies must not use up the process's.
 */
#define FDS_MAX 16

/* Pieces of the output handed to one sendmsg(). */
#define OUTPUT_VECS 16

static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);
static void on_turn(evutil_socket_t fd, short what, void *arg);
static void on_life(evutil_socket_t fd, short what, void *arg);

/*
 * The peer's supplementary groups. A connection without them is a connection:
 * where they can't be had its user is in none of them.
 */
static void groups_get(struct rpc_conn *conn, int fd)
{
	socklen_t size = 0;
	gid_t *all, *kept;
	size_t n;

	/* Asked with no room, the kernel says how much is needed. */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) ||
	    errno != ERANGE || size > NGROUPS_MAX * sizeof(gid_t))
		return;
	all = malloc(size);
	if (!all || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &size)) {
		free(all);
		return;
	}
	n = size / sizeof(gid_t);
	if (n > RPC_GROUPS_MAX) {
		log_notice("control", "user %u is in %zu groups: %d count",
			   (unsigned int)conn->peer.uid, n, RPC_GROUPS_MAX);
		n = RPC_GROUPS_MAX;
		kept = realloc(all, n * sizeof(gid_t));
		all = kept ? kept : all;
	}
	conn->groups = all;
	conn->n_groups = n;
}

struct rpc_conn *rpc_conn_new(struct rpc_server *server, int fd)
{
	struct rpc_conn *conn = calloc(1, sizeof(*conn));
	struct timeval life = { .tv_sec = server->limits.max_life };
	socklen_t len = sizeof(conn->peer);
	int err = ENOMEM;

	if (!conn)
		goto out;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &conn->peer, &len)) {
		err = errno;
		goto out;
	}
	groups_get(conn, fd);
	conn->out = evbuffer_new();
	if (!conn->out)
		goto out;
	conn->server = server;
	conn->fd = fd;
	TAILQ_INIT(&conn->fds);
	LIST_INIT(&conn->calls);
	event_assign(&conn->read_ev, server->base, fd, EV_READ | EV_PERSIST,
		     on_read, conn);
	event_assign(&conn->write_ev, server->base, fd, EV_WRITE | EV_PERSIST,
		     on_write, conn);
	evtimer_assign(&conn->turn_ev, server->base, on_turn, conn);
	evtimer_assign(&conn->life_ev, server->base, on_life, conn);
	if (event_add(&conn->read_ev, NULL))
		goto out;
	if (life.tv_sec && event_add(&conn->life_ev, &life)) {
		event_del(&conn->read_ev);
		goto out;
	}
	conn->reading = true;
	LIST_INSERT_HEAD(&server->conns, conn, entry);
	server->n_conns++;
	return conn;
out:
	if (conn && conn->out)
		evbuffer_free(conn->out);
	if (conn)
		free(conn->groups);
	free(conn);
	close(fd);
	errno = err;
	return NULL;
}

void rpc_conn_free(struct rpc_conn *conn)
{
	struct rpc_call *call;
	struct rpc_fd *passed;

	/* First of all invisible: a `cancelled` callback may send events. */
	LIST_REMOVE(conn, entry);
	conn->server->n_conns--;
	while ((call = LIST_FIRST(&conn->calls)))
		rpc_call_orphan(call);
	event_del(&conn->life_ev);
	event_del(&conn->read_ev);
	event_del(&conn->write_ev);
	event_del(&conn->turn_ev);
	while ((passed = TAILQ_FIRST(&conn->fds))) {
		TAILQ_REMOVE(&conn->fds, passed, entry);
		close(passed->fd);
		free(passed);
	}
	evbuffer_free(conn->out);
	free(conn->in);
	json_decref(conn->topics);
	free(conn->groups);
	close(conn->fd);
	free(conn);
}

const struct ucred *rpc_conn_peer(const struct rpc_conn *conn)
{
	return &conn->peer;
}

const gid_t *rpc_conn_groups(const struct rpc_conn *conn, size_t *n)
{
	*n = conn->n_groups;
	return conn->groups;
}

void rpc_conn_kick(struct rpc_conn *conn)
{
	/*
	 * A timer of 0 runs after the next look at all descriptors. An event
	 * made active by hand would run before it, and others would starve.
	 */
	static const struct timeval soon;

	if (!conn->turning && !evtimer_pending(&conn->turn_ev, NULL))
		event_add(&conn->turn_ev, &soon);
}

/* ---- Output ---- */

void rpc_conn_queue(struct rpc_conn *conn, const char *line, size_t len, int fd)
{
	struct rpc_fd *passed = NULL;
	uint64_t at = conn->out_sent + evbuffer_get_length(conn->out);

	rpc_conn_kick(conn);
	if (fd >= 0) {
		passed = malloc(sizeof(*passed));
		if (!passed) {
			close(fd);
			conn->broken = true;
			return;
		}
		passed->fd = fd;
		passed->at = at;
		TAILQ_INSERT_TAIL(&conn->fds, passed, entry);
		conn->n_fds++;
	}
	if (evbuffer_add(conn->out, line, len))
		conn->broken = true;
}

/*
 * Send up to `max` bytes from the front of the output, with `fd` (-1 = none).
 * Returns what was sent, or -errno.
 */
static ssize_t send_front(struct rpc_conn *conn, size_t max, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct evbuffer_iovec vecs[OUTPUT_VECS];
	struct iovec iov[OUTPUT_VECS];
	struct msghdr msg = { .msg_iov = iov };
	int i, n = evbuffer_peek(conn->out, (ssize_t)max, NULL, vecs,
				 OUTPUT_VECS);
	ssize_t sent;

	for (i = 0; i < n && i < OUTPUT_VECS && max; i++) {
		iov[i].iov_base = vecs[i].iov_base;
		iov[i].iov_len = vecs[i].iov_len < max ? vecs[i].iov_len : max;
		max -= iov[i].iov_len;
	}
	msg.msg_iovlen = (size_t)i;
	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

/*
 * Send what the socket takes. A descriptor goes with the first byte of its
 * reply: what is before it is sent on its own, so that the peer can't take
 * it for another reply's. Returns 0 or -errno of a dead connection.
 */
static int conn_flush(struct rpc_conn *conn)
{
	size_t left;

	while ((left = evbuffer_get_length(conn->out)) > 0) {
		struct rpc_fd *next = TAILQ_FIRST(&conn->fds);
		struct rpc_fd *with = NULL;
		ssize_t sent;

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): TAILQ_REMOVE */
		if (next && next->at == conn->out_sent) {
			with = next;
			next = TAILQ_NEXT(next, entry);
		}
		if (next)
			left = (size_t)(next->at - conn->out_sent);
		sent = send_front(conn, left, with ? with->fd : -1);
		if (sent == -EAGAIN)
			return 0;
		if (sent == -EINTR)
			continue;
		if (sent < 0)
			return (int)sent;
		evbuffer_drain(conn->out, (size_t)sent);
		conn->out_sent += (uint64_t)sent;
		if (with) {
			TAILQ_REMOVE(&conn->fds, with, entry);
			conn->n_fds--;
			close(with->fd);
			free(with);
		}
	}
	return 0;
}

/* ---- Events ---- */

int rpc_conn_subscribe(struct rpc_conn *conn, const json_t *topics)
{
	json_t *copy = NULL;
	size_t i;

	if (topics && !json_is_array(topics))
		return -EINVAL;
	for (i = 0; i < json_array_size(topics); i++)
		if (!json_is_string(json_array_get(topics, i)))
			return -EINVAL;
	if (json_array_size(topics)) {
		copy = json_deep_copy(topics);
		if (!copy)
			return -ENOMEM;
	}
	json_decref(conn->topics);
	conn->topics = copy;
	conn->subscribed = true;
	return 0;
}

void rpc_conn_unsubscribe(struct rpc_conn *conn)
{
	json_decref(conn->topics);
	conn->topics = NULL;
	conn->subscribed = false;
}

/* "port" and "port." are above "port.attached"; "portal" isn't below. */
static bool topic_covers(const json_t *above, const char *topic)
{
	const char *prefix = json_string_value(above);
	size_t len = json_string_length(above);

	if (strncmp(prefix, topic, len))
		return false;
	return !len || prefix[len - 1] == '.' || topic[len] == '.' ||
	       topic[len] == '\0';
}

bool rpc_conn_wants(const struct rpc_conn *conn, const char *topic)
{
	size_t i;

	if (!conn->subscribed || conn->closing)
		return false;
	if (!conn->topics)
		return true;
	for (i = 0; i < json_array_size(conn->topics); i++)
		if (topic_covers(json_array_get(conn->topics, i), topic))
			return true;
	return false;
}

void rpc_conn_notify(struct rpc_conn *conn, const char *method,
		     const char *line, size_t len)
{
	size_t queued = evbuffer_get_length(conn->out);

	if (line && !conn->lost &&
	    (!queued || queued + len <= conn->server->limits.max_events)) {
		rpc_conn_queue(conn, line, len, -1);
		return;
	}
	conn->lost++;
	snprintf(conn->lost_method, sizeof(conn->lost_method), "%s.lost",
		 method);
	rpc_conn_kick(conn);
}

/* The peer has read all there was: say how many events it didn't get. */
static void lost_tell(struct rpc_conn *conn)
{
	json_t *message = json_pack("{s:s, s:s, s:{s:I}}", "jsonrpc", "2.0",
				    "method", conn->lost_method, "params",
				    "count", (json_int_t)conn->lost);
	char *line;
	size_t len;

	line = message ? rpc_json_line(message, &len) : NULL;
	if (line) {
		rpc_conn_queue(conn, line, len, -1);
		conn->lost = 0;
	}
	free(line);
	json_decref(message);
}

/* ---- Input and turns ---- */

/* Is there a complete line? in_scan is then at its newline. */
static bool line_ready(struct rpc_conn *conn)
{
	char *newline;

	if (conn->in_scan == conn->in_len)
		return false;
	newline = memchr(conn->in + conn->in_scan, '\n',
			 conn->in_len - conn->in_scan);
	conn->in_scan = newline ? (size_t)(newline - conn->in) : conn->in_len;
	return newline != NULL;
}

/* May another request of this connection be started? */
static bool may_run(const struct rpc_conn *conn)
{
	const struct rpc_limits *limits = &conn->server->limits;

	return !conn->server->paused && !conn->closing && !conn->broken &&
	       conn->n_fds < FDS_MAX && conn->n_calls < limits->max_pending &&
	       evbuffer_get_length(conn->out) < limits->max_output;
}

static void line_too_long(struct rpc_conn *conn)
{
	size_t len, max = conn->server->limits.max_line;
	struct error e;
	json_t *reply;
	char *line;

	error_set(&e, EMSGSIZE, "line-too-long", NULL,
		  "a line may have %zu bytes", max);
	reply = rpc_error_reply(NULL, RPC_CODE_PARSE, &e);
	line = reply ? rpc_json_line(reply, &len) : NULL;
	if (line)
		rpc_conn_queue(conn, line, len, -1);
	free(line);
	json_decref(reply);
	conn->closing = true;
}

/* Keep memory only for what is there. */
static void input_trim(struct rpc_conn *conn)
{
	if (conn->in_start < conn->in_len && !conn->closing)
		return;
	free(conn->in);
	conn->in = NULL;
	conn->in_start = conn->in_scan = conn->in_len = conn->in_size = 0;
}

static void event_set(struct event *ev, bool *is, bool want)
{
	if (*is == want)
		return;
	if (want)
		event_add(ev, NULL);
	else
		event_del(ev);
	*is = want;
}

/*
 * The end of every callback: send, and either close the connection or arrange
 * for what it waits for. It may be freed afterwards.
 */
static void conn_settle(struct rpc_conn *conn)
{
	bool queued, waiting;
	int err;

	conn->turning = true;
	err = conn_flush(conn);
	if (!err && conn->lost && !evbuffer_get_length(conn->out)) {
		lost_tell(conn);
		err = conn_flush(conn);
	}
	if (err || conn->broken) {
		log_debug("control", "connection closed: %s",
			  err ? strerror(-err) : "out of memory");
		rpc_conn_free(conn);
		return;
	}
	input_trim(conn);
	queued = evbuffer_get_length(conn->out) > 0;
	waiting = line_ready(conn);
	if (!queued &&
	    (conn->closing || (conn->eof && !waiting && !conn->n_calls))) {
		rpc_conn_free(conn);
		return;
	}
	conn->turning = false;
	event_set(&conn->write_ev, &conn->writing, queued);
	event_set(&conn->read_ev, &conn->reading,
		  !conn->eof && !waiting && may_run(conn));
	if (waiting && may_run(conn))
		rpc_conn_kick(conn);
}

static void conn_turn(struct rpc_conn *conn)
{
	const struct rpc_limits *limits = &conn->server->limits;
	unsigned int i;

	conn->turning = true;
	for (i = 0; i < limits->max_burst; i++) {
		size_t start = conn->in_start;

		if (!may_run(conn) || !line_ready(conn))
			break;
		conn->in_start = conn->in_scan + 1;
		rpc_request(conn, conn->in + start, conn->in_scan - start);
		conn->in_scan = conn->in_start;
	}
	if (!conn->closing &&
	    conn->in_len - conn->in_start > limits->max_line &&
	    !line_ready(conn))
		line_too_long(conn);
	conn_settle(conn);
}

/* Room for some bytes more, at most for one line and its newline. */
static int input_reserve(struct rpc_conn *conn)
{
	size_t max = conn->server->limits.max_line + 1;
	size_t size = conn->in_size ? conn->in_size * 2 : INPUT_MIN;
	char *in;

	if (conn->in_start) {
		conn->in_len -= conn->in_start;
		conn->in_scan -= conn->in_start;
		memmove(conn->in, conn->in + conn->in_start, conn->in_len);
		conn->in_start = 0;
	}
	if (conn->in_len < conn->in_size)
		return 0;
	if (size > max)
		size = max;
	in = realloc(conn->in, size);
	if (!in)
		return -ENOMEM;
	conn->in = in;
	conn->in_size = size;
	return 0;
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_conn *conn = arg;
	ssize_t n;

	(void)what;
	if (input_reserve(conn)) {
		rpc_conn_free(conn);
		return;
	}
	/* Descriptors that a client sends are dropped by the kernel here. */
	n = recv(fd, conn->in + conn->in_len, conn->in_size - conn->in_len,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		rpc_conn_free(conn);
		return;
	}
	if (!n)
		conn->eof = true;
	conn->in_len += (size_t)n;
	conn_turn(conn);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_settle(arg);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	conn_turn(arg);
}

static void on_life(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	rpc_conn_free(arg);
}
