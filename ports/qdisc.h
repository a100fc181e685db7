/*
 * qdisc - a TAP without a queueing discipline
 *
 * A TAP has a queue of its own, towards whoever reads it. The discipline in
 * front of that can only drop where nobody sees it, costs a lock, and lets
 * frames change places: what doesn't pass through it (XDP, packet sockets that
 * bypass it) overtakes what waits in there for another CPU.
 *
 * Threads: the connection's.
 */
#ifndef PORTS_QDISC_H
#define PORTS_QDISC_H

#include "ports/netlink.h"

/* Put "noqueue" in place of what a device has. Returns 0 or -errno. */
int qdisc_set_none(struct netlink *nl, int ifindex)
	__attribute__((warn_unused_result));

/*
 * The same, but only where the device has what the kernel gives to any:
 * somebody who has chosen one meant it. Returns 1: it is done; 0: it isn't; or
 * -errno.
 */
int qdisc_take_default(struct netlink *nl, int ifindex)
	__attribute__((warn_unused_result));

/* Take back what either did: the kernel's default comes back. Returns 0, also
 * where there is nothing to take back, or -errno. */
int qdisc_put_back(struct netlink *nl, int ifindex)
	__attribute__((warn_unused_result));

#endif
