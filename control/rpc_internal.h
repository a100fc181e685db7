/*
 * rpc_internal - what rpc_server.c, rpc_conn.c, rpc_call.c and rpc_listen.c
 * share; nobody else includes it
 *
 * rpc_listen.c takes a path, rpc_server.c accepts and keeps the connections,
 * rpc_conn.c moves bytes and decides when a connection may run, rpc_call.c
 * turns a line into a call and an answer into a line.
 *
 * A connection is closed only by its own event callbacks and by
 * rpc_server_free(): everything that handlers call just queues bytes and
 * kicks, so a handler never sees its connection vanish under it.
 */
#ifndef CONTROL_RPC_INTERNAL_H
#define CONTROL_RPC_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/rpc_listen.h"
#include "control/rpc_server.h"

struct evbuffer;

/* JSON-RPC 2.0 section 5.1, and ours below -32000. */
enum rpc_code {
	RPC_CODE_PARSE = -32700,
	RPC_CODE_REQUEST = -32600,
	RPC_CODE_METHOD = -32601,
	RPC_CODE_PARAMS = -32602,
	RPC_CODE_INTERNAL = -32603,
	RPC_CODE_FAILED = -32000,
	RPC_CODE_NOT_FOUND = -32001,
	RPC_CODE_EXISTS = -32002,
	RPC_CODE_REFUSED = -32003,
	RPC_CODE_BUSY = -32004,
	RPC_CODE_EXHAUSTED = -32005,
};

struct rpc_server {
	struct event_base *base;
	const struct rpc_method *table;
	void *ctx;
	rpc_guard_fn *guard;
	struct rpc_limits limits;
	const char *title, *version;
	struct rpc_listener listener;
	struct event accept_ev;
	struct event backoff_ev; /* accept again after EMFILE and its kin */
	LIST_HEAD(, rpc_conn) conns;
	unsigned int n_conns;
	bool paused;
};

/* A descriptor that waits for its reply's turn. */
struct rpc_fd {
	TAILQ_ENTRY(rpc_fd) entry;
	uint64_t at; /* position of its reply in the output stream */
	int fd;
};

struct rpc_conn {
	LIST_ENTRY(rpc_conn) entry;
	struct rpc_server *server;
	int fd;
	struct ucred peer;
	gid_t *groups; /* supplementary ones; NULL = none */
	size_t n_groups;
	struct event read_ev, write_ev, turn_ev;
	struct event life_ev;  /* limits.max_life is over */
	bool reading, writing; /* which events are added */
	bool turning;	       /* conn_settle() comes next: no kick needed */
	bool eof;	       /* nothing more comes from the peer */
	bool closing;	       /* close once the output is out */
	bool broken;	       /* out of memory while queueing: close now */

	char *in;	 /* in_len bytes, of which in_start are done */
	size_t in_start; /* and none up to in_scan is a newline */
	size_t in_scan, in_len, in_size;

	struct evbuffer *out;
	uint64_t out_sent; /* bytes ever sent: position of out's first byte */
	TAILQ_HEAD(, rpc_fd) fds;
	unsigned int n_fds;

	LIST_HEAD(, rpc_call) calls;
	unsigned int n_calls;

	bool subscribed;
	json_t *topics;	      /* array of strings; NULL = all */
	uint64_t lost;	      /* events since the output was full */
	char lost_method[48]; /* "METHOD.lost" */
};

struct rpc_call {
	LIST_ENTRY(rpc_call) entry;
	struct rpc_conn *conn; /* NULL = gone */
	const struct rpc_method *method;
	json_t *id; /* NULL = a notification */
	struct ucred peer;
	void (*cancelled)(void *arg);
	void *cancelled_arg;
};

/* ---- rpc_conn.c ---- */

/* Take over connected `fd` (non-blocking, on failure too). NULL and errno. */
struct rpc_conn *rpc_conn_new(struct rpc_server *server, int fd);

/* Close and free; its calls live on without it. */
void rpc_conn_free(struct rpc_conn *conn);

/*
 * Queue bytes, and a descriptor (-1 = none) that goes with the first of them;
 * it is closed on failure. Sent soon; never fails visibly: a connection that
 * can't queue is closed.
 */
void rpc_conn_queue(struct rpc_conn *conn, const char *line, size_t len,
		    int fd);

/* Look at the connection again soon: there is output, or room for calls. */
void rpc_conn_kick(struct rpc_conn *conn);

/* Queue a notification's line, or count it as lost. */
void rpc_conn_notify(struct rpc_conn *conn, const char *method,
		     const char *line, size_t len);

/* Did the connection subscribe to that topic? */
bool rpc_conn_wants(const struct rpc_conn *conn, const char *topic);

/* ---- rpc_call.c ---- */

/* Handle one line. */
void rpc_request(struct rpc_conn *conn, const char *line, size_t len);

/* Take the connection away from a call and tell who asked to be told. */
void rpc_call_orphan(struct rpc_call *call);

/* An error object for the wire; id stolen, NULL = null. NULL: no memory. */
json_t *rpc_error_reply(json_t *id, enum rpc_code code, const struct error *e);

#endif
