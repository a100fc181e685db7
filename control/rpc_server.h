/*
 * rpc_server - JSON-RPC 2.0 over a Unix stream socket, one object a line
 *
 * Model: a server has a table of methods (rpc_method.h), listens on one
 * socket and reads requests from many connections in an event loop. Each
 * request is parsed, checked against the table and handed to its handler as a
 * struct rpc_call, which the handler answers exactly once, now or later, by
 * rpc_reply(), rpc_reply_fd() or rpc_error(). Requests of one connection are
 * started in order; deferred replies may overtake each other, the id tells.
 * A notification (a request without id) runs and its answer is dropped.
 *
 * Refused on the wire: batches, duplicate keys, lines longer than
 * limits.max_line, nesting deeper than limits.max_depth, NUL bytes, invalid
 * UTF-8, positional params. Every error object carries data.reason, a stable
 * word, and data.path where a parameter is to blame.
 *
 * Hostile clients: every connection costs at most its limits. A client that
 * doesn't read its replies isn't read from; one that pipelines a million
 * requests has max_burst of them handled a turn; one that sends half a line
 * just waits.
 *
 * Ownership: the server owns its connections; a call belongs to the handler
 * from the moment it's given until it has been answered, even where the
 * connection dies in between: the answer then goes nowhere. Threads: all of
 * it on the thread of the event loop. SIGPIPE is never raised.
 */
#ifndef CONTROL_RPC_SERVER_H
#define CONTROL_RPC_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/error.h"
#include "control/rpc_method.h"

struct event_base;
struct rpc_server;
struct rpc_conn;
struct rpc_call;

/* Bounds of a server. A member that is 0 takes its default. */
struct rpc_limits {
	size_t max_line;	  /* bytes in a request, 1 MiB */
	size_t max_output;	  /* unread reply bytes at which a connection's
				   * requests wait, 1 MiB
				   */
	size_t max_events;	  /* unread bytes at which a subscriber loses
				   * events, 256 KiB
				   */
	unsigned int max_conns;	  /* connections, 1024 */
	unsigned int max_burst;	  /* requests of a connection a turn, 64 */
	unsigned int max_pending; /* unanswered calls a connection, 64; beyond
				   * it its requests wait
				   */
	unsigned int max_depth;	  /* nesting of a request, 32 */
	unsigned int max_per_uid; /* connections of one user, max_conns */
	unsigned int max_life;	  /* seconds until a connection is closed,
				   * whatever it does; no bound
				   */
	unsigned int reserved;	  /* of max_conns for uid 0 and our own user,
				   * whom max_per_uid doesn't bind then; none
				   */
};

/* Supplementary groups that are known of a peer, see rpc_call_groups(). */
#define RPC_GROUPS_MAX 1024

/*
 * Asked before a method's parameters are checked: a peer that may not call it
 * isn't told what is wrong with them. Return 0 to let the call pass, or fill
 * `e` and return -errno to refuse it. rpc_call_peer() and rpc_call_groups()
 * tell who asks.
 *
 * params  as the peer sent them: any JSON value. What isn't as the table says
 *	   is refused right after the guard, so it may pass here.
 */
typedef int rpc_guard_fn(struct rpc_call *call, const struct rpc_method *method,
			 const json_t *params, void *ctx, struct error *e);

/* May a connection go on? See rpc_server_review(). */
typedef bool rpc_keep_fn(const struct rpc_conn *conn, void *ctx);

/* ---- Server ---- */

/*
 * A server without a socket yet. `table` must outlive it, `ctx` goes to every
 * handler, `limits` (copied) may be NULL. `rpc.discover` is answered by the
 * library and needn't be in the table. Returns NULL and sets errno.
 */
struct rpc_server *rpc_server_new(struct event_base *base,
				  const struct rpc_method *table, void *ctx,
				  const struct rpc_limits *limits);

/*
 * Stop listening, close all connections, remove the socket that
 * rpc_server_listen() made. Calls not answered yet stay valid; their answers
 * go nowhere. NULL is fine. Not from within a handler.
 */
void rpc_server_free(struct rpc_server *server);

/* Title and version in rpc.discover; both strings are borrowed. */
void rpc_server_set_info(struct rpc_server *server, const char *title,
			 const char *version);

/* Who may call what; NULL = everybody everything. */
void rpc_server_set_guard(struct rpc_server *server, rpc_guard_fn *guard);

/*
 * Hang up on the connections for which `keep` is false, once the answers that
 * are queued are out: who may do what has changed, and some of them may listen
 * for events that aren't for them any more. May be called in a handler.
 */
void rpc_server_review(struct rpc_server *server, rpc_keep_fn *keep, void *ctx);

/*
 * Listen on a socket at `path`. A lock on "PATH.lock" makes taking it
 * race-free: where another process serves the path, -EADDRINUSE with reason
 * `socket-in-use`; a socket that nobody serves is removed and taken over; any
 * other kind of file is left alone (-EEXIST). Both files go in
 * rpc_server_free(). The folder must exist.
 *
 * mode   permission bits of the socket, such as 0660
 * gid    its group, (gid_t)-1 leaves it
 */
int rpc_server_listen(struct rpc_server *server, const char *path, mode_t mode,
		      gid_t gid, struct error *e)
	__attribute__((warn_unused_result));

/*
 * Listen on a descriptor that is a listening socket already (systemd's
 * LISTEN_FDS). It belongs to the server from now on, on failure too; its path
 * isn't removed in the end. -ENOTSOCK or -EINVAL where it isn't one.
 */
int rpc_server_adopt(struct rpc_server *server, int fd, struct error *e)
	__attribute__((warn_unused_result));

/*
 * Serve one connected stream socket, as if it had been accepted. `fd` belongs
 * to the server, on failure too. Returns 0, -EMFILE with reason
 * `too-many-connections`, or another -errno.
 */
int rpc_server_serve(struct rpc_server *server, int fd)
	__attribute__((warn_unused_result));

/*
 * Leave everybody waiting, or go on: no connection is accepted, no request is
 * begun. Answers and notifications go out all the same.
 */
void rpc_server_pause(struct rpc_server *server, bool pause);

/* Has every answer been sent? */
bool rpc_server_sent(const struct rpc_server *server);

/* Connections that are open. */
unsigned int rpc_server_conns(const struct rpc_server *server);

/*
 * Send a notification to every connection that subscribed to `topic`:
 * {"jsonrpc":"2.0","method":METHOD,"params":{"topic":TOPIC, ...params}}.
 * Steals `params` (an object; NULL is an empty one). A connection with more
 * than limits.max_events unread bytes loses it, and all others until it has
 * read everything; then it gets "METHOD.lost" with {"count": N}, the exact
 * number, before anything newer. Never blocks; may be called in a handler.
 */
void rpc_server_notify(struct rpc_server *server, const char *method,
		       const char *topic, json_t *params);

/* Does anybody listen for `topic`? Saves building params for nobody. */
bool rpc_server_wanted(const struct rpc_server *server, const char *topic);

/* ---- Calls: exactly one of the three answers ends a call ---- */

/*
 * Answer with `result` (stolen). NULL is what json_pack() returns for want of
 * memory: the answer is error no-memory then. JSON null is json_null().
 */
void rpc_reply(struct rpc_call *call, json_t *result);

/*
 * Answer and pass descriptor `fd` along (SCM_RIGHTS on the reply's first
 * byte). `fd` belongs to the library and is closed once sent, or where the
 * connection is gone. -1 is rpc_reply().
 */
void rpc_reply_fd(struct rpc_call *call, json_t *result, int fd);

/*
 * Answer with an error: message, data.reason, data.path (left out where
 * empty). The JSON-RPC code comes from e->err: EINVAL -32602 (invalid
 * params), ENOSYS -32601, ENOENT and ENODEV -32001, EEXIST -32002, EPERM and
 * EACCES -32003, EBUSY and EADDRINUSE -32004, ENOSPC, ENOMEM, EMFILE, ENFILE
 * and ENOBUFS -32005, all else -32000. Programs should look at the reason.
 */
void rpc_error(struct rpc_call *call, const struct error *e);

/* rpc_error() with error_set()'s arguments. */
void rpc_fail(struct rpc_call *call, int err, const char *reason,
	      const char *path, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Who called: as the kernel saw the peer at connect (SO_PEERCRED). */
const struct ucred *rpc_call_peer(const struct rpc_call *call);

/*
 * The peer's supplementary groups at connect (SO_PEERGROUPS), *n of them; the
 * group of rpc_call_peer() needn't be one. Of more than RPC_GROUPS_MAX the
 * rest isn't known, and none are once the connection is gone: who asks what a
 * group permits gets too few of them, never too many. Borrowed.
 */
const gid_t *rpc_call_groups(const struct rpc_call *call, size_t *n);

/* The same two of a connection. */
const struct ucred *rpc_conn_peer(const struct rpc_conn *conn);
const gid_t *rpc_conn_groups(const struct rpc_conn *conn, size_t *n);

/* The method's name; valid as long as the call. */
const char *rpc_call_method(const struct rpc_call *call);

/* The call's connection, NULL where it is gone. Don't keep the pointer. */
struct rpc_conn *rpc_call_conn(const struct rpc_call *call);

/*
 * Have `cancelled(arg)` called when the connection dies before the answer.
 * The call must be answered all the same (it frees it); doing so within
 * `cancelled` is fine. NULL takes it back.
 */
void rpc_call_on_cancel(struct rpc_call *call, void (*cancelled)(void *arg),
			void *arg);

/* ---- Subscriptions ---- */

/*
 * From now on the connection gets notifications whose topic is one of
 * `topics` or below it: "port" and "port." match "port.attached", not
 * "portal". NULL or an empty array = all. Replaces what it had. `topics` is
 * an array of strings, borrowed. Returns 0, -EINVAL or -ENOMEM.
 */
int rpc_conn_subscribe(struct rpc_conn *conn, const json_t *topics)
	__attribute__((warn_unused_result));

/* No more notifications. */
void rpc_conn_unsubscribe(struct rpc_conn *conn);

#endif
