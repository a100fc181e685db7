/* A line becomes a call, an answer becomes a line. */
#include "control/rpc_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/rpc_json.h"

/* Longest string taken for an id: it's kept as long as the call. */
#define ID_MAX 256

static void discover_handler(struct rpc_call *call, json_t *params, void *ctx);

static const struct rpc_method discover = {
	.name = "rpc.discover",
	.handler = discover_handler,
};

/* ---- Answers ---- */

static enum rpc_code error_code(int err)
{
	switch (err) {
	case EINVAL:
		return RPC_CODE_PARAMS;
	case ENOSYS:
		return RPC_CODE_METHOD;
	case ENOENT:
	case ENODEV:
		return RPC_CODE_NOT_FOUND;
	case EEXIST:
		return RPC_CODE_EXISTS;
	case EPERM:
	case EACCES:
		return RPC_CODE_REFUSED;
	case EBUSY:
	case EADDRINUSE:
		return RPC_CODE_BUSY;
	case ENOSPC:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
		return RPC_CODE_EXHAUSTED;
	default:
		return RPC_CODE_FAILED;
	}
}

/*
 * Paths and messages may hold what a client sent, cut at a byte: keep of it
 * what is valid UTF-8, so that the error can always be said.
 */
static json_t *text(const char *s)
{
	size_t len = strlen(s);
	json_t *value = json_stringn(s, len);

	while (!value && len)
		value = json_stringn(s, --len);
	return value;
}

json_t *rpc_error_reply(json_t *id, enum rpc_code code, const struct error *e)
{
	json_t *data = json_pack("{s:o}", "reason", text(e->reason));

	if (e->path[0])
		json_object_set_new(data, "path", text(e->path));
	return json_pack("{s:s, s:o, s:{s:i, s:o, s:o}}", "jsonrpc", "2.0",
			 "id", id ? id : json_null(), "error", "code",
			 (int)code, "message", text(e->message), "data", data);
}

/* Queue `reply` (stolen, NULL = no memory for it) with descriptor `fd`. */
static void answer(struct rpc_conn *conn, json_t *reply, int fd)
{
	char *line = NULL;
	size_t len;

	if (reply)
		line = rpc_json_line(reply, &len);
	if (line) {
		rpc_conn_queue(conn, line, len, fd);
	} else {
		/* The peer waits for an answer that can't be made. */
		conn->broken = true;
		rpc_conn_kick(conn);
		if (fd >= 0)
			close(fd);
	}
	free(line);
	json_decref(reply);
}

static void call_free(struct rpc_call *call)
{
	if (call->conn) {
		LIST_REMOVE(call, entry);
		call->conn->n_calls--;
		/* The connection may have waited for this one to end. */
		rpc_conn_kick(call->conn);
	}
	json_decref(call->id);
	free(call);
}

void rpc_reply_fd(struct rpc_call *call, json_t *result, int fd)
{
	if (!result) {
		if (fd >= 0)
			close(fd);
		rpc_fail(call, ENOMEM, "no-memory", NULL,
			 "no memory for the answer: what was asked for may "
			 "have been done");
		return;
	}
	if (call->conn && call->id) {
		answer(call->conn,
		       json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id",
				 call->id, "result", result),
		       fd);
	} else {
		json_decref(result);
		if (fd >= 0)
			close(fd);
	}
	call_free(call);
}

void rpc_reply(struct rpc_call *call, json_t *result)
{
	rpc_reply_fd(call, result, -1);
}

static void error_as(struct rpc_call *call, enum rpc_code code,
		     const struct error *e)
{
	if (call->conn && call->id)
		answer(call->conn,
		       rpc_error_reply(json_incref(call->id), code, e), -1);
	call_free(call);
}

void rpc_error(struct rpc_call *call, const struct error *e)
{
	error_as(call, error_code(e->err), e);
}

void rpc_fail(struct rpc_call *call, int err, const char *reason,
	      const char *path, const char *fmt, ...)
{
	char message[sizeof(((struct error *)NULL)->message)];
	struct error e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	error_set(&e, err, reason, path, "%s", message);
	rpc_error(call, &e);
}

/* ---- Facts about a call ---- */

const struct ucred *rpc_call_peer(const struct rpc_call *call)
{
	return &call->peer;
}

const gid_t *rpc_call_groups(const struct rpc_call *call, size_t *n)
{
	*n = 0;
	return call->conn ? rpc_conn_groups(call->conn, n) : NULL;
}

const char *rpc_call_method(const struct rpc_call *call)
{
	return call->method->name;
}

struct rpc_conn *rpc_call_conn(const struct rpc_call *call)
{
	return call->conn;
}

void rpc_call_on_cancel(struct rpc_call *call, void (*cancelled)(void *arg),
			void *arg)
{
	call->cancelled = cancelled;
	call->cancelled_arg = arg;
}

void rpc_call_orphan(struct rpc_call *call)
{
	LIST_REMOVE(call, entry);
	call->conn->n_calls--;
	call->conn = NULL;
	if (call->cancelled)
		call->cancelled(call->cancelled_arg);
}

/* ---- Requests ---- */

static void discover_handler(struct rpc_call *call, json_t *params, void *ctx)
{
	const struct rpc_server *server = call->conn->server;

	(void)params;
	(void)ctx;
	rpc_reply(call,
		  rpc_discover(server->table, server->title, server->version));
}

/* Refuse what never became a call. `id` is borrowed, NULL = null. */
static void refuse(struct rpc_conn *conn, const json_t *id, enum rpc_code code,
		   const struct error *e)
{
	answer(conn,
	       rpc_error_reply(id ? json_incref((json_t *)(uintptr_t)id) : NULL,
			       code, e),
	       -1);
}

static bool id_valid(const json_t *id)
{
	return json_is_null(id) || json_is_number(id) ||
	       (json_is_string(id) && json_string_length(id) <= ID_MAX);
}

/* The shape of a request object, JSON-RPC 2.0 section 4. */
static int request_check(json_t *request, struct error *e)
{
	const json_t *id = json_object_get(request, "id");
	const char *version =
		json_string_value(json_object_get(request, "jsonrpc"));
	const char *key;
	json_t *value;

	if (id && !id_valid(id))
		return error_set(e, EINVAL, "invalid-request", "id",
				 "an id is a number, null or a string of at "
				 "most %d bytes",
				 ID_MAX);
	if (!version || strcmp(version, "2.0"))
		return error_set(e, EINVAL, "invalid-request", "jsonrpc",
				 "jsonrpc must be \"2.0\"");
	if (!json_is_string(json_object_get(request, "method")))
		return error_set(e, EINVAL, "invalid-request", "method",
				 "method must be a string");
	json_object_foreach(request, key, value)
		if (strcmp(key, "jsonrpc") && strcmp(key, "id") &&
		    strcmp(key, "method") && strcmp(key, "params"))
			return error_set(e, EINVAL, "invalid-request", key,
					 "a request has only jsonrpc, id, "
					 "method and params");
	return 0;
}

static struct rpc_call *call_new(struct rpc_conn *conn,
				 const struct rpc_method *method, json_t *id)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->conn = conn;
	call->method = method;
	call->id = json_incref(id);
	call->peer = conn->peer;
	LIST_INSERT_HEAD(&conn->calls, call, entry);
	conn->n_calls++;
	return call;
}

/* Look the method up, ask the guard, check the params, run it. */
static void call_run(struct rpc_call *call, const char *name, json_t *params)
{
	const struct rpc_server *server = call->conn->server;
	struct error e = { 0 };

	call->method = rpc_method_find(server->table, name);
	if (!call->method && !strcmp(name, discover.name))
		call->method = &discover;
	if (!call->method || !call->method->handler) {
		error_set(&e, ENOSYS, "unknown-method", NULL,
			  "there is no method %.64s", name);
		error_as(call, RPC_CODE_METHOD, &e);
		return;
	}
	if (server->guard &&
	    server->guard(call, call->method, params, server->ctx, &e)) {
		rpc_error(call, &e);
		return;
	}
	if (rpc_method_check(call->method, params, &e)) {
		error_as(call, RPC_CODE_PARAMS, &e);
		return;
	}
	call->method->handler(call, params, server->ctx);
}

static void request_run(struct rpc_conn *conn, json_t *request)
{
	json_t *params = json_object_get(request, "params");
	struct rpc_call *call =
		call_new(conn, NULL, json_object_get(request, "id"));

	if (call) {
		params = params ? json_incref(params) : json_object();
		call_run(call,
			 json_string_value(json_object_get(request, "method")),
			 params);
		json_decref(params);
	} else {
		conn->broken = true;
		rpc_conn_kick(conn);
	}
}

void rpc_request(struct rpc_conn *conn, const char *line, size_t len)
{
	struct error e = { 0 };
	json_t *request =
		rpc_json_parse(line, len, conn->server->limits.max_depth, &e);

	if (!request) {
		refuse(conn, NULL, RPC_CODE_PARSE, &e);
	} else if (json_is_array(request)) {
		error_set(&e, EINVAL, "batch-refused", NULL,
			  "batches aren't taken: send one object a line");
		refuse(conn, NULL, RPC_CODE_REQUEST, &e);
	} else if (!json_is_object(request)) {
		error_set(&e, EINVAL, "invalid-request", NULL,
			  "a request is an object");
		refuse(conn, NULL, RPC_CODE_REQUEST, &e);
	} else if (request_check(request, &e)) {
		json_t *id = json_object_get(request, "id");

		refuse(conn, id && id_valid(id) ? id : NULL, RPC_CODE_REQUEST,
		       &e);
	} else {
		request_run(conn, request);
	}
	json_decref(request);
}
