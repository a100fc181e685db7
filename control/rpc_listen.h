/*
 * rpc_listen - a path in the file system that one server listens on
 *
 * For rpc_server_listen(), and for a program that takes the path with
 * privilege and gives the socket to a server without (rpc_server_adopt()).
 *
 * A lock on "PATH.lock" makes taking a path race-free: where another process
 * serves it, -EADDRINUSE with reason `socket-in-use`; a socket that nobody
 * serves is removed and taken over; any other kind of file is left alone.
 *
 * Ownership: the caller owns the listener. Threads: one.
 */
#ifndef CONTROL_RPC_LISTEN_H
#define CONTROL_RPC_LISTEN_H

#include "base/error.h"

#include <sys/types.h>

struct rpc_listener {
	int fd;	     /* -1 = none */
	int lock_fd; /* -1 = not ours to remove */
	char *path;  /* NULL = not ours to remove */
	dev_t dev;   /* of the socket file, to remove only our own */
	ino_t ino;
};

/* See rpc_server_listen(). Fills *l; on failure it's as after a close. */
int rpc_listener_open(struct rpc_listener *l, const char *path, mode_t mode,
		      gid_t gid, struct error *e)
	__attribute__((warn_unused_result));

/* Close, and remove what is ours. */
void rpc_listener_close(struct rpc_listener *l);

#endif
