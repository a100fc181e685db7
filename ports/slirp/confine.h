/*
 * confine - what is left to a process that parses guests' TCP
 *
 * Two stages. The first one, as early as can be:
 *
 *	started by root   a file system of its own, with nothing in it but /etc
 *	                  and /run, read-only (the host's resolv.conf, which is
 *	                  read again and again, may be a link into /run); then
 *	                  another user, no groups, no capabilities. In a user
 *	                  namespace that has no other user it stays who it is
 *	always            no new privileges, no core dumps, not to be traced, a
 *	                  limit of descriptors and so of connections, and one of
 *	                  memory
 *
 * The second one, when all is set up: only the system calls that it takes
 * (seccomp). No files but for reading, no sockets but of IPv4 and IPv6: what
 * listens in /run can't be connected to. What isn't allowed fails with EPERM.
 */
#ifndef PORTS_SLIRP_CONFINE_H
#define PORTS_SLIRP_CONFINE_H

#include "base/error.h"

#include <sys/types.h>

/* uid, gid: whom to become, where the process is root's; 0: stay, which root
 * may where there is nobody else. Returns 0 or -errno with *err, reason
 * no-isolation. */
int confine_begin(uid_t uid, gid_t gid, struct error *err)
	__attribute__((warn_unused_result));

int confine_calls(struct error *err) __attribute__((warn_unused_result));

#endif
