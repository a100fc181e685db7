#include "control/rpc_client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ids.h"
#include "control/rpc_json.h"

#define INPUT_MIN 4096

/* Longer than any reply that a server of ours makes: lists come in pages. */
#define LINE_MAX_BYTES (64u << 20)

/* Replies may nest deeper than requests: rpc.discover holds schemas. */
#define REPLY_DEPTH 64

/* Notifications kept while a call waits for its reply. */
#define NOTES_MAX 1024

/* A server that doesn't accept is as good as none. */
static const struct timeval connect_timeout = { .tv_sec = 5 };

/* Descriptors that one message can bring; we keep the first. */
#define FDS_MAX 8

struct rpc_client {
	int fd;
	bool dead;
	int passed; /* descriptor that came, -1 = none */
	int64_t id;
	char *in; /* in_len bytes; none up to in_scan is a newline */
	size_t in_len, in_scan, in_size;
	json_t *notes;
};

int rpc_user_folder(char *path, size_t size)
{
	const char *s = getenv("XDG_RUNTIME_DIR");
	int n;

	if (ids_are_of_system_root() || !s || !*s)
		return -ENOENT;
	n = snprintf(path, size, "%s/switchd", s);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int rpc_socket_path(char *path, size_t size)
{
	const char *s = getenv("SWITCHD_SOCKET");
	int n;

	if (s && *s) {
		n = snprintf(path, size, "%s", s);
	} else if (ids_are_of_system_root()) {
		n = snprintf(path, size, "%s", RPC_SYSTEM_SOCKET);
	} else {
		char folder[PATH_MAX];
		int r = rpc_user_folder(folder, sizeof(folder));

		if (r < 0)
			return r;
		n = snprintf(path, size, "%s/switchd.sock", folder);
	}
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* ---- Connection ---- */

/* What to do about it, for the usual two. */
static const char *connect_hint(int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		return " (is switchd running?)";
	case EACCES:
		return " (are you in the group of the socket? see id)";
	default:
		return "";
	}
}

static int client_socket(const char *path, struct error *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(sun.sun_path))
		return error_set(e, ENAMETOOLONG, "cannot-connect", NULL,
				 "%s is too long for a socket", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(e, errno, "cannot-connect", NULL, "socket: %s",
				 strerror(errno));
	/* For connect(); what follows never blocks in the socket. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &connect_timeout,
		   sizeof(connect_timeout));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		err = errno;
		close(fd);
		return error_set(e, err, "cannot-connect", NULL,
				 "cannot connect to %s: %s%s", path,
				 strerror(err), connect_hint(err));
	}
	return fd;
}

/*
 * Where to look for a daemon: at the default path; for a user who has none of
 * their own there, at the system's, whose group they may be in.
 */
static int client_socket_path(char *path, size_t size)
{
	int r = rpc_socket_path(path, size);

	if (r == -ENOENT ||
	    (r == 0 && access(path, F_OK) < 0 && !getenv("SWITCHD_SOCKET")))
		r = snprintf(path, size, "%s", RPC_SYSTEM_SOCKET) < (int)size
			    ? 0
			    : -ENAMETOOLONG;
	return r;
}

struct rpc_client *rpc_client_connect(const char *path, struct error *e)
{
	struct rpc_client *client;
	char def[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd, err;

	if (!path) {
		err = client_socket_path(def, sizeof(def));
		if (err) {
			error_set(e, -err, "no-socket-path", NULL,
				  err == -ENOENT
					  ? "XDG_RUNTIME_DIR isn't set: name "
					    "the socket"
					  : "the socket's path is too long");
			errno = -err;
			return NULL;
		}
		path = def;
	}
	fd = client_socket(path, e);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	client = calloc(1, sizeof(*client));
	if (!client || !(client->notes = json_array())) {
		free(client);
		close(fd);
		error_set(e, ENOMEM, "no-memory", NULL, "out of memory");
		errno = ENOMEM;
		return NULL;
	}
	client->fd = fd;
	client->passed = -1;
	return client;
}

int rpc_client_fd(const struct rpc_client *client)
{
	return client->fd;
}

void rpc_client_free(struct rpc_client *client)
{
	if (!client)
		return;
	if (client->passed >= 0)
		close(client->passed);
	close(client->fd);
	free(client->in);
	json_decref(client->notes);
	free(client);
}

/* After a transport error nothing that comes can be trusted any more. */
static int client_dead(struct rpc_client *client, int err, const char *reason,
		       struct error *e)
{
	client->dead = true;
	return error_set(e, err, reason, NULL, "%s",
			 err == ETIMEDOUT    ? "no reply in time"
			 : err == ECONNRESET ? "the connection was lost"
					     : strerror(err));
}

static int dead_call(struct error *e)
{
	return error_set(e, ENOTCONN, "connection-lost", NULL,
			 "the connection is no longer usable");
}

/* ---- Deadlines and bytes ---- */

/* The moment `timeout_ms` from now; UINT64_MAX is never. */
static uint64_t deadline_in(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return clock_ns() + (uint64_t)timeout_ms * 1000000;
}

/* Wait for `events`. 0, -ETIMEDOUT, or -errno. */
static int wait_for(const struct rpc_client *client, short events,
		    uint64_t deadline)
{
	struct pollfd pfd = { .fd = client->fd, .events = events };

	for (;;) {
		uint64_t now = clock_ns();
		int n, ms = -1;

		if (deadline != UINT64_MAX) {
			/* Up, or it would spin through the last millisecond. */
			uint64_t left = deadline > now ? deadline - now : 0;

			ms = (int)((left + 999999) / 1000000);
		}
		n = poll(&pfd, 1, ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && ms >= 0)
			return -ETIMEDOUT;
	}
}

static int send_all(struct rpc_client *client, const char *line, size_t len,
		    uint64_t deadline)
{
	while (len) {
		ssize_t n = send(client->fd, line, len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		int err;

		if (n >= 0) {
			line += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		err = wait_for(client, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

static void fds_take(struct rpc_client *client, struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t i, n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(int));
			if (client->passed < 0)
				client->passed = fd;
			else
				close(fd);
		}
	}
}

/* Read what is there, waiting for it. 0 or -errno. */
static int receive(struct rpc_client *client, uint64_t deadline)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n;
	int err;

	if (client->in_len == client->in_size) {
		size_t size = client->in_size ? client->in_size * 2 : INPUT_MIN;
		char *in;

		if (size > LINE_MAX_BYTES)
			return -EMSGSIZE;
		in = realloc(client->in, size);
		if (!in)
			return -ENOMEM;
		client->in = in;
		client->in_size = size;
	}
	err = wait_for(client, POLLIN, deadline);
	if (err)
		return err;
	iov.iov_base = client->in + client->in_len;
	iov.iov_len = client->in_size - client->in_len;
	n = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	fds_take(client, &msg);
	client->in_len += (size_t)n;
	return n ? 0 : -ECONNRESET;
}

/* The next message as a new reference. */
static int next_message(struct rpc_client *client, uint64_t deadline,
			json_t **message)
{
	char *newline = NULL;
	size_t line;
	int err;

	for (;;) {
		if (client->in_scan < client->in_len)
			newline = memchr(client->in + client->in_scan, '\n',
					 client->in_len - client->in_scan);
		if (newline)
			break;
		client->in_scan = client->in_len;
		err = receive(client, deadline);
		if (err)
			return err;
	}
	line = (size_t)(newline - client->in);
	*message = rpc_json_parse(client->in, line, REPLY_DEPTH, NULL);
	client->in_len -= line + 1;
	memmove(client->in, newline + 1, client->in_len);
	client->in_scan = 0;
	if (json_is_object(*message))
		return 0;
	json_decref(*message);
	return -EPROTO;
}

static int transport_error(struct rpc_client *client, int err, struct error *e)
{
	if (err == -ETIMEDOUT)
		return client_dead(client, ETIMEDOUT, "timeout", e);
	if (err == -ECONNRESET || err == -EPIPE)
		return client_dead(client, ECONNRESET, "connection-lost", e);
	return client_dead(client, -err, "bad-reply", e);
}

/* ---- Calls ---- */

static void note_keep(struct rpc_client *client, json_t *message)
{
	if (json_array_size(client->notes) >= NOTES_MAX)
		json_array_remove(client->notes, 0);
	json_array_append(client->notes, message);
}

/* The daemon's error object, as it said it. */
static int remote_error(const json_t *error, struct error *e)
{
	const json_t *data = json_object_get(error, "data");
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const char *path = json_string_value(json_object_get(data, "path"));
	const char *message =
		json_string_value(json_object_get(error, "message"));

	return error_set(e, EREMOTEIO, reason ? reason : "refused", path, "%s",
			 message ? message : "refused without a message");
}

/* Wait for the reply to client->id. A new reference in *reply. */
static int await(struct rpc_client *client, uint64_t deadline, json_t **reply)
{
	for (;;) {
		const json_t *id;
		json_t *message;
		int err = next_message(client, deadline, &message);

		if (err)
			return err;
		id = json_object_get(message, "id");
		if (json_is_integer(id) &&
		    json_integer_value(id) == client->id) {
			*reply = message;
			return 0;
		}
		/* Said to nobody in particular: it's about us all the same. */
		if (json_is_null(id) && json_object_get(message, "error")) {
			*reply = message;
			return 0;
		}
		if (!id && json_object_get(message, "method"))
			note_keep(client, message);
		json_decref(message);
	}
}

static int request_send(struct rpc_client *client, const char *method,
			json_t *params, uint64_t deadline)
{
	json_t *request = json_pack("{s:s, s:I, s:s, s:o*}", "jsonrpc", "2.0",
				    "id", (json_int_t)++client->id, "method",
				    method, "params", params);
	size_t len = 0;
	char *line = request ? rpc_json_line(request, &len) : NULL;
	int err = line ? send_all(client, line, len, deadline) : -ENOMEM;

	free(line);
	json_decref(request);
	/*
	 * A server that turns us away says why and hangs up, perhaps before we
	 * have asked: what it said is worth more than EPIPE.
	 */
	return err == -EPIPE ? 0 : err;
}

int rpc_client_call(struct rpc_client *client, const char *method,
		    json_t *params, json_t **result, int *fd, int timeout_ms,
		    struct error *e)
{
	uint64_t deadline = deadline_in(timeout_ms);
	json_t *reply = NULL;
	int err;

	if (fd)
		*fd = -1;
	if (client->dead) {
		json_decref(params);
		return dead_call(e);
	}
	err = request_send(client, method, params, deadline);
	if (!err)
		err = await(client, deadline, &reply);
	if (err) {
		err = transport_error(client, err, e);
	} else if (json_object_get(reply, "result")) {
		if (result)
			*result = json_incref(json_object_get(reply, "result"));
		if (fd) {
			*fd = client->passed;
			client->passed = -1;
		}
	} else {
		err = remote_error(json_object_get(reply, "error"), e);
	}
	if (client->passed >= 0)
		close(client->passed);
	client->passed = -1;
	json_decref(reply);
	return err;
}

int rpc_client_next(struct rpc_client *client, json_t **notification,
		    int timeout_ms, struct error *e)
{
	uint64_t deadline = deadline_in(timeout_ms);
	json_t *message;
	int err;

	if (json_array_size(client->notes)) {
		*notification = json_incref(json_array_get(client->notes, 0));
		json_array_remove(client->notes, 0);
		return 0;
	}
	if (client->dead)
		return dead_call(e);
	for (;;) {
		err = next_message(client, deadline, &message);
		if (err == -ETIMEDOUT)
			return error_set(e, ETIMEDOUT, "timeout", NULL,
					 "no notification in time");
		if (err)
			return transport_error(client, err, e);
		if (!json_object_get(message, "id") &&
		    json_object_get(message, "method")) {
			*notification = message;
			return 0;
		}
		json_decref(message);
	}
}
