#include "control/rpc_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/rpc_internal.h"

#include "control/rpc_json.h"
#include <event2/buffer.h>

/* New connections taken before the others get their turn. */
#define ACCEPT_BURST 16

/* How long accept() rests when descriptors or memory are short. */
static const struct timeval accept_rest = { .tv_usec = 100 * 1000 };

static const struct rpc_limits default_limits = {
	.max_line = 1 << 20,
	.max_output = 1 << 20,
	.max_events = 256 << 10,
	.max_conns = 1024,
	.max_burst = 64,
	.max_pending = 64,
	.max_depth = 32,
};

#define LIMIT_DEFAULT(l, member)                             \
	do {                                                 \
		if (!(l)->member)                            \
			(l)->member = default_limits.member; \
	} while (0)

static void limits_complete(struct rpc_limits *l)
{
	LIMIT_DEFAULT(l, max_line);
	LIMIT_DEFAULT(l, max_output);
	LIMIT_DEFAULT(l, max_events);
	LIMIT_DEFAULT(l, max_conns);
	LIMIT_DEFAULT(l, max_burst);
	LIMIT_DEFAULT(l, max_pending);
	LIMIT_DEFAULT(l, max_depth);
	if (!l->max_per_uid)
		l->max_per_uid = l->max_conns;
}

/* Tell the peer why it is hung up on; if that doesn't fit, it isn't told. */
static void turn_away(int fd)
{
	struct error e;
	json_t *reply;
	char *line = NULL;
	size_t len;

	error_set(&e, EMFILE, "too-many-connections", NULL,
		  "there are too many connections already");
	reply = rpc_error_reply(NULL, RPC_CODE_EXHAUSTED, &e);
	if (reply)
		line = rpc_json_line(reply, &len);
	if (line && send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control", "turned a client away unheard");
	free(line);
	json_decref(reply);
	close(fd);
}

/* Are there as many connections as may be, in all or of this peer's user? */
static bool crowded(const struct rpc_server *server, int fd)
{
	const struct rpc_limits *limits = &server->limits;
	const struct rpc_conn *conn;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned int n = 0;

	if (server->n_conns >= limits->max_conns)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false; /* rpc_conn_new() will say why */
	if (limits->reserved && (peer.uid == 0 || peer.uid == geteuid()))
		return false;
	if (server->n_conns + limits->reserved >= limits->max_conns)
		return true;
	LIST_FOREACH(conn, &server->conns, entry)
		n += conn->peer.uid == peer.uid;
	return n >= limits->max_per_uid;
}

int rpc_server_serve(struct rpc_server *server, int fd)
{
	struct rpc_conn *conn;

	if (crowded(server, fd)) {
		log_warning("control", "turned a client away: %u connections",
			    server->n_conns);
		turn_away(fd);
		return -EMFILE;
	}
	conn = rpc_conn_new(server, fd);
	return conn ? 0 : -errno;
}

/* Errors of accept() that belong to one connection, not to us. */
static bool accept_transient(int err)
{
	return err == ECONNABORTED || err == EINTR || err == EPERM ||
	       err == EPROTO;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_server *server = arg;
	int i;

	(void)what;
	for (i = 0; i < ACCEPT_BURST; i++) {
		int err, peer = accept4(fd, NULL, NULL,
					SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer >= 0) {
			err = rpc_server_serve(server, peer);
			if (err)
				log_debug("control", "connection: %s",
					  strerror(-err));
			continue;
		}
		err = errno;
		if (err == EAGAIN)
			return;
		if (accept_transient(err))
			continue;
		/*
		 * EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the
		 * queue and the socket readable, so asking again at once would
		 * spin.
		 */
		log_warning("control", "accept: %s", strerror(err));
		event_del(&server->accept_ev);
		event_add(&server->backoff_ev, &accept_rest);
		return;
	}
}

static void on_backoff(evutil_socket_t fd, short what, void *arg)
{
	struct rpc_server *server = arg;

	(void)fd;
	(void)what;
	if (!server->paused)
		event_add(&server->accept_ev, NULL);
}

struct rpc_server *rpc_server_new(struct event_base *base,
				  const struct rpc_method *table, void *ctx,
				  const struct rpc_limits *limits)
{
	struct rpc_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	server->base = base;
	server->table = table;
	server->ctx = ctx;
	if (limits)
		server->limits = *limits;
	limits_complete(&server->limits);
	server->title = "JSON-RPC server";
	server->version = "0";
	server->listener.fd = -1;
	server->listener.lock_fd = -1;
	LIST_INIT(&server->conns);
	evtimer_assign(&server->backoff_ev, base, on_backoff, server);
	return server;
}

void rpc_server_free(struct rpc_server *server)
{
	struct rpc_conn *conn;

	if (!server)
		return;
	if (server->listener.fd >= 0)
		event_del(&server->accept_ev);
	event_del(&server->backoff_ev);
	while ((conn = LIST_FIRST(&server->conns)))
		rpc_conn_free(conn);
	rpc_listener_close(&server->listener);
	free(server);
}

void rpc_server_set_info(struct rpc_server *server, const char *title,
			 const char *version)
{
	server->title = title;
	server->version = version;
}

void rpc_server_set_guard(struct rpc_server *server, rpc_guard_fn *guard)
{
	server->guard = guard;
}

void rpc_server_review(struct rpc_server *server, rpc_keep_fn *keep, void *ctx)
{
	struct rpc_conn *conn;

	/* They close in their own turn: none of them vanishes in here. */
	LIST_FOREACH(conn, &server->conns, entry) {
		if (keep(conn, ctx))
			continue;
		conn->closing = true;
		rpc_conn_kick(conn);
	}
}

static int accept_start(struct rpc_server *server, struct error *e)
{
	event_assign(&server->accept_ev, server->base, server->listener.fd,
		     EV_READ | EV_PERSIST, on_accept, server);
	if (!event_add(&server->accept_ev, NULL))
		return 0;
	rpc_listener_close(&server->listener);
	return error_set(e, ENOMEM, "no-memory", NULL, "out of memory");
}

int rpc_server_listen(struct rpc_server *server, const char *path, mode_t mode,
		      gid_t gid, struct error *e)
{
	int err;

	if (server->listener.fd >= 0)
		return error_set(e, EBUSY, "cannot-listen", NULL,
				 "the server listens already");
	err = rpc_listener_open(&server->listener, path, mode, gid, e);
	return err ? err : accept_start(server, e);
}

static int sock_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value;

	if (getsockopt(fd, SOL_SOCKET, option, &value, &len))
		return -errno;
	return value;
}

int rpc_server_adopt(struct rpc_server *server, int fd, struct error *e)
{
	int listening = sock_option(fd, SO_ACCEPTCONN);
	int err = 0;

	if (server->listener.fd >= 0)
		err = EBUSY;
	else if (listening < 0)
		err = -listening;
	else if (!listening || sock_option(fd, SO_DOMAIN) != AF_UNIX ||
		 sock_option(fd, SO_TYPE) != SOCK_STREAM)
		err = EINVAL;
	else if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ||
		 fcntl(fd, F_SETFD, FD_CLOEXEC))
		err = errno;
	if (err) {
		close(fd);
		return error_set(e, err, "cannot-listen", NULL,
				 "descriptor %d isn't a listening Unix stream "
				 "socket that can be used: %s",
				 fd, strerror(err));
	}
	server->listener.fd = fd;
	return accept_start(server, e);
}

void rpc_server_pause(struct rpc_server *server, bool pause)
{
	struct rpc_conn *conn;

	if (server->paused == pause)
		return;
	server->paused = pause;
	if (server->listener.fd >= 0 && pause)
		event_del(&server->accept_ev);
	else if (server->listener.fd >= 0)
		event_add(&server->accept_ev, NULL);
	LIST_FOREACH(conn, &server->conns, entry) {
		rpc_conn_kick(conn);
	}
}

bool rpc_server_sent(const struct rpc_server *server)
{
	const struct rpc_conn *conn;

	LIST_FOREACH(conn, &server->conns, entry)
		if (evbuffer_get_length(conn->out))
			return false;
	return true;
}

unsigned int rpc_server_conns(const struct rpc_server *server)
{
	return server->n_conns;
}

bool rpc_server_wanted(const struct rpc_server *server, const char *topic)
{
	const struct rpc_conn *conn;

	LIST_FOREACH(conn, &server->conns, entry)
		if (rpc_conn_wants(conn, topic))
			return true;
	return false;
}

static json_t *notification(const char *method, const char *topic,
			    json_t *params)
{
	json_t *all = json_pack("{s:s}", "topic", topic);

	if (params)
		json_object_update_missing(all, params);
	json_decref(params);
	return json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method,
			 "params", all);
}

void rpc_server_notify(struct rpc_server *server, const char *method,
		       const char *topic, json_t *params)
{
	struct rpc_conn *conn;
	json_t *message;
	char *line = NULL;
	size_t len = 0;

	if (!rpc_server_wanted(server, topic)) {
		json_decref(params);
		return;
	}
	message = notification(method, topic, params);
	if (message)
		line = rpc_json_line(message, &len);
	/* Without memory for the line it counts as lost for everybody. */
	LIST_FOREACH(conn, &server->conns, entry)
		if (rpc_conn_wants(conn, topic))
			rpc_conn_notify(conn, method, line, len);
	free(line);
	json_decref(message);
}
