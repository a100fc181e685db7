/*
 * slirp - ports to the outside by NAT, for which nobody needs privilege
 *
 * The other end is a process of our own, switchd-slirp (ports/slirp/): libslirp
 * behind a socket pair, a vnet header and a frame a record. It is router, DHCP
 * and name server to the guests and speaks with the outside by ordinary
 * sockets. What guests can break there is that process.
 *
 *	slirp_acquire.c    starts and ends it: where the monitor is, by the
 *	                   monitor, in whose network namespace it lives then
 *	slirp_config.[ch]  what the parameters mean
 *	slirp.c            the port
 *
 *	guests ── switch ──fd[0]── socket pair ──fd 3── switchd-slirp ── host
 *
 * Whoever acquires has our end of the pair open as well (fd[0]): so guests'
 * connections outlive the switch process. When all of those who have it are
 * gone, the program ends. When the program ends, the socket does, which is how
 * the port learns of it: it is `broken` then, and asks for another one by
 * renew(), later and later if that doesn't last.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_SLIRP_H
#define PORTS_SLIRP_H

#include "ports/port.h"

enum slirp_grant_fd {
	SLIRP_GRANT_SOCKET,
	SLIRP_GRANT_RUN_FDS,		       /* of the half that runs */
	SLIRP_GRANT_PID = SLIRP_GRANT_RUN_FDS, /* pidfd */
	SLIRP_GRANT_FDS,
};

/* The program's end of the pair, and how it says how it has started, as its
 * first record: "ok", or "ERRNO REASON PATH MESSAGE", where a PATH of "-" is
 * none. */
#define SLIRP_CHILD_FD 3
#define SLIRP_WORD_MAX 512

/* Names the program where it isn't the installed one. */
#define SLIRP_PROGRAM_ENV "SWITCHD_SLIRP"

/*
 * Whom the program is to run as; of a process that is root's, at its start. (As
 * nobody, 65534, where nobody has said.) Main thread.
 */
void slirp_run_as(uid_t uid, gid_t gid);

/*
 * The half that acquires, as port.h has it. Reasons: those of
 * slirp_settings_parse; not-built (there is no such program), no-process,
 * in-use and not-permitted (hostfwd), and what else the program says. It waits
 * some seconds at most for the program's word. The MTU can't be changed while
 * it is held: needs-reattach.
 */
int slirp_acquire(const struct port_request *rq, struct port_grant *grant,
		  struct error *err);
int slirp_adjust(const struct port_request *rq, struct port_grant *grant,
		 struct error *err);
int slirp_renew(const struct port_request *rq, struct port_grant *grant,
		struct error *err);
void slirp_release(const struct port_request *rq, struct port_grant *grant);

#endif
