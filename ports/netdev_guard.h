/*
 * netdev_guard - keep the host's stack off a guest's device
 *
 * A device that a `netdev` port sits on still belongs to the host's network
 * stack, which would answer ARP, ping or router solicitations there with
 * addresses of the host. Two things keep it quiet while the port is attached:
 * IPv6 is off on the device (so that it sends nothing by itself), and a
 * filter at TC ingress drops whatever comes in. Packet sockets see frames
 * before TC ingress, so the port loses nothing. (IPv4 says nothing unasked on
 * a device without an address.)
 *
 * With the kernel fast path the filter is its program instead: it forwards
 * what it can and lets the host's stack have as little of it.
 *
 * The filter sits in a clsact qdisc, ours or one that's there already, behind
 * filters of a smaller priority number. It has a name, or where no program may
 * be loaded (CAP_BPF) it is a classic one that begins with one: what a
 * predecessor that crashed has left is recognised by that, taken over (its
 * program is replaced by ours) and removed in the end, IPv6 included; others'
 * filters are left alone wherever they are.
 *
 * Threads: the main thread. Ownership: nothing is held but kernel state,
 * described by struct port_undo.
 */
#ifndef PORTS_NETDEV_GUARD_H
#define PORTS_NETDEV_GUARD_H

#include "ports/netlink.h"
#include "ports/port.h"

/*
 * Set it up; what has to be taken back is noted in grant->undo (also on
 * failure, for netdev_guard_remove). grant->unguarded says that this kernel
 * can't drop at ingress: the port works, the host may answer beside it.
 *
 * keep_ipv6  leave IPv6 alone: turning it off would lose addresses for good
 * fast       by the fast path's program; grant->fast says whether it is, for
 *            where it can't be had or doesn't go in there, the frames are just
 *            dropped
 *
 * Returns 0 or -errno with *err.
 */
int netdev_guard_install(struct netlink *nl, struct port_grant *grant,
			 bool keep_ipv6, bool fast, struct error *err)
	__attribute__((warn_unused_result));

/*
 * The fast path's program at TC ingress (borrowed), or -1: there is none, which
 * is how a process begins.
 */
void netdev_guard_program(int fd);

/*
 * Put the program that there is now in the place of the one that
 * netdev_guard_install() has put in. A device that is gone is fine. Returns 0
 * or -errno, and the one before is still there.
 */
int netdev_guard_replace(struct netlink *nl, const struct port_grant *grant)
	__attribute__((warn_unused_result));

/* Take back what install noted. The device may be gone. */
void netdev_guard_remove(struct netlink *nl, struct port_grant *grant);

#endif
