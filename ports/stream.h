/*
 * stream - frames over a connection: QEMU's `-netdev stream` and `socket`
 *
 * The connection is one of a Unix socket or of TCP. The port makes it
 * (`connect`), again and again where nobody is there or the other end closes
 * it; or it was accepted by a listener (port_request.given), and the port ends
 * with it. What goes over it: stream_link.h.
 *
 *     stream_acquire.c     connects; may need privilege
 *     stream_link.[ch]     frames in and out of the connection
 *     stream_state.[ch]    where it is, for the next process
 *     stream.c             the port: dials, begins and ends
 *
 * Grant, by enum stream_grant_fd: the connection, or a socket that isn't
 * connected (yet); the memory of stream_state.h; and the folder of a Unix
 * socket, which only the half that acquires needs. The keeper (port_keeper) has
 * the connection open as well, so that it outlives this process: who wants the
 * other end to see that it is over has to shutdown() it.
 *
 * The other end may be hostile: it can end its own connection, and no more. One
 * that doesn't read loses frames, which are counted as queue-full.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_STREAM_H
#define PORTS_STREAM_H

#include "ports/port.h"

enum stream_grant_fd {
	STREAM_GRANT_SOCKET,
	STREAM_GRANT_STATE,
	STREAM_GRANT_RUN_FDS, /* of the half that runs, so many (run_fds) */
	STREAM_GRANT_FOLDER = STREAM_GRANT_RUN_FDS, /* O_PATH; Unix only */
};

/*
 * Can one connect there: an absolute path, or the address of one host and a
 * port (ip_address.h)? Returns 0, or -EINVAL with *err: bad-value, "connect".
 * Any process.
 */
int stream_check(const struct port_request *rq, struct error *err)
	__attribute__((warn_unused_result));

/* Is it the path of a Unix socket, and nothing of TCP? */
static inline bool stream_is_path(const struct stream_params *p)
{
	return p->connect[0] == '/';
}

/*
 * The half that acquires, as port.h has it. Nobody there isn't an error of
 * acquire, and a TCP connection may be under way when it returns. Given
 * (rq->given): grant->fd[0] is the connection and nfds is 1 on entry, as
 * listen.h has it. Reasons: bad-value, no-descriptor, no-memory,
 * not-a-stream (given), and as unix_socket.h has them bad-path, no-folder,
 * not-permitted, not-a-socket; of renew also nobody-there. The MTU is 1500
 * where none is asked for.
 */
int stream_acquire(const struct port_request *rq, struct port_grant *grant,
		   struct error *err);
int stream_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err);
int stream_renew(const struct port_request *rq, struct port_grant *grant,
		 struct error *err);
void stream_release(const struct port_request *rq, struct port_grant *grant);

#endif
