/*
 * rpc_client - a small blocking JSON-RPC 2.0 client with deadlines
 *
 * For programs that ask and wait: the command line, hooks, helpers. One call
 * at a time; notifications that arrive meanwhile are kept (the newest 1024)
 * for rpc_client_next(). After a transport error, a timeout included, the
 * connection is dead and all further calls fail with -ENOTCONN: a reply that
 * comes late can then never be taken for another one's.
 *
 * Ownership: the caller owns the client and what it returns. Threads: one at
 * a time. SIGPIPE is never raised.
 */
#ifndef CONTROL_RPC_CLIENT_H
#define CONTROL_RPC_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

struct rpc_client;

/* Where the daemon of the system listens. */
#define RPC_SYSTEM_SOCKET "/run/switchd/switchd.sock"

/*
 * The folder of a user's own daemon, $XDG_RUNTIME_DIR/switchd. Returns 0,
 * -ENOENT where XDG_RUNTIME_DIR isn't set or the system's root asks, or
 * -ENAMETOOLONG.
 */
int rpc_user_folder(char *path, size_t size)
	__attribute__((warn_unused_result));

/*
 * The control socket's default path: $SWITCHD_SOCKET where set; for root (not
 * that of a user's own namespace, see ids_are_of_system_root()) it is
 * RPC_SYSTEM_SOCKET; for others it's in rpc_user_folder().
 * Returns 0, -ENOENT where XDG_RUNTIME_DIR isn't set, or -ENAMETOOLONG.
 */
int rpc_socket_path(char *path, size_t size)
	__attribute__((warn_unused_result));

/*
 * Connect to the socket at `path`; NULL is the default path. Returns NULL,
 * sets errno and fills *e (reasons no-socket-path, cannot-connect; e may be
 * NULL).
 */
struct rpc_client *rpc_client_connect(const char *path, struct error *e);

/*
 * The connection's descriptor, the client's, to wait for: it is readable when
 * something has come, or the other end is gone. Then, and after each call,
 * rpc_client_next() with a timeout of 0 until it has nothing more.
 */
int rpc_client_fd(const struct rpc_client *client);

/* Close it. NULL is fine. */
void rpc_client_free(struct rpc_client *client);

/*
 * Call `method` and wait for the answer.
 *
 * params      object, stolen, also on failure; NULL sends none
 * result      set to a new reference on success; may be NULL
 * fd	       set to the descriptor that came with the reply (close-on-exec),
 *	       -1 where none did; NULL closes what comes
 * timeout_ms  for the whole call, -1 waits for ever
 * e	       filled on failure, may be NULL
 *
 * Returns 0; -EREMOTEIO where the daemon refused: reason, path and message in
 * *e are the daemon's; else a transport error: -ETIMEDOUT (reason `timeout`),
 * -ECONNRESET (`connection-lost`), -EPROTO (`bad-reply`), -ENOTCONN.
 */
int rpc_client_call(struct rpc_client *client, const char *method,
		    json_t *params, json_t **result, int *fd, int timeout_ms,
		    struct error *e) __attribute__((warn_unused_result));

/*
 * The next notification, as an object with `method` and `params`; a new
 * reference. Waits up to timeout_ms (-1 for ever); a timeout (-ETIMEDOUT)
 * leaves the connection usable. Errors else as rpc_client_call().
 */
int rpc_client_next(struct rpc_client *client, json_t **notification,
		    int timeout_ms, struct error *e)
	__attribute__((warn_unused_result));

#endif
