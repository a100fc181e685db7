/*
 * dgram - ports whose frames are datagrams between two Unix sockets
 *
 * The other end is QEMU (-netdev dgram, local and remote of type unix), or
 * another of these ports. `local` is ours: it is bound when the port is
 * acquired, and whoever may write to its file may be the guest. `remote` is the
 * other end's, and comes and goes with it: QEMU removes and binds its path anew
 * when it starts.
 *
 *	dgram_acquire.c  both by their paths: unix_socket.h
 *	dgram.c          the port: datagrams.h, and who is there
 *
 * Our socket is connected to the one that has `remote` now, so nobody else is
 * heard meanwhile. That stays so when it is closed, and nothing tells: sending
 * does, or, where nothing was sent or received for some seconds, renew(), which
 * connects the same socket to whatever is there. The half that acquires does
 * that, in whichever process it is, as they share the socket. Where nobody is
 * there the port is "waiting" and tries again, 0.1 to 1 s later each time, and
 * when somebody sends something.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_DGRAM_H
#define PORTS_DGRAM_H

#include "ports/port.h"

enum dgram_grant_fd {
	DGRAM_GRANT_SOCKET,
	DGRAM_GRANT_RUN_FDS, /* of the half that runs, so many (run_fds) */
	DGRAM_GRANT_LOCAL = DGRAM_GRANT_RUN_FDS, /* its folder, O_PATH */
	DGRAM_GRANT_FILE,			 /* ours in there, O_PATH */
	DGRAM_GRANT_REMOTE,			 /* the other folder, O_PATH */
	DGRAM_GRANT_FDS,
};

/*
 * The half that acquires, as port.h has it. Reasons: those of unix_socket.h
 * with the path "local" or "remote", bad-value; of renew, where nobody is
 * there: nobody-there (-ENOENT, -ECONNREFUSED, -EAGAIN). The MTU is 1500 where
 * none is asked for.
 */
int dgram_acquire(const struct port_request *rq, struct port_grant *grant,
		  struct error *err);
int dgram_adjust(const struct port_request *rq, struct port_grant *grant,
		 struct error *err);
int dgram_renew(const struct port_request *rq, struct port_grant *grant,
		struct error *err);
void dgram_release(const struct port_request *rq, struct port_grant *grant);

#endif
