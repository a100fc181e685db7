/*
 * access - what each role may do on the control socket
 *
 * Each method's row in methods.c names the role that it needs (`access`); a
 * method without one is for admins. An operator may not all that his methods
 * can do, which depends on their parameters:
 *
 *   - What shows others' traffic, or changes the host or other namespaces, is
 *     for admins: type=pcap, uplink, force, netns, address. So are ports that
 *     have any of these (by a profile, too), and ports that a mirror copies
 *     to, whose name is as good as the traffic.
 *   - An operator whom the configuration's `users` restricts attaches ports
 *     with his profiles, and adds nothing to what they say but which device it
 *     is. He touches only ports that he has attached himself.
 *
 * This is all in the guard, which sees every call before it runs. A method
 * that is new and that nobody has thought about here is refused to those who
 * are restricted.
 *
 * Who is refused is told which role it takes; it is logged, counted, and an
 * event, access.refused. Threads: main.
 */
#ifndef SWITCHD_ACCESS_H
#define SWITCHD_ACCESS_H

#include "control/rpc_server.h"

struct daemon;

/* More refusals than this in a second aren't told, or a peer without any role
 * could push other events out of a subscriber's queue. */
#define ACCESS_EVENTS_MAX 100

/* Refused calls, of a daemon's life. */
struct access_refused {
	uint64_t count;
	uint64_t untold; /* somebody listened, and wasn't told yet */
	uint64_t second; /* that `told` belongs to */
	unsigned int told;
};

/* Bounds of a control socket that everybody may open. */
extern const struct rpc_limits access_limits;

/* The guard of the control socket; ctx: the daemon. Its reason word is
 * not-permitted. */
rpc_guard_fn access_guard;

/*
 * Put roles in force in place of the daemon's, which are freed. Peers that
 * have none any more are hung up on.
 */
struct roles;
void access_change(struct daemon *d, struct roles *roles);

#endif
