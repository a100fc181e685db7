/*
 * switch_side - the control socket, as far as our ports go
 *
 * Which ports are ours says their description, which begins with a marker: the
 * switch remembers it over crashes and upgrades, and a person sees it in `port
 * list`. One connection carries calls and notifications; both come together in
 * rpc_client.h.
 *
 * Ownership: the caller owns the side. Threads: one.
 */
#ifndef CONTROL_LIBVIRT_SWITCH_SIDE_H
#define CONTROL_LIBVIRT_SWITCH_SIDE_H

#include "base/error.h"
#include "control/libvirt/converge.h"

struct switch_side;

/* `socket`: the control socket's path, NULL: the default one; lives on. Not
 * connected yet. Returns NULL with errno. */
struct switch_side *switch_side_new(const char *socket);

/* Disconnects, too. NULL is fine. */
void switch_side_free(struct switch_side *side);

/* Connect, and ask to be told of ports. Returns 0, or -errno with *e: of
 * rpc_client.h, or what the daemon says. */
int switch_side_connect(struct switch_side *side, struct error *e)
	__attribute__((warn_unused_result));

/* What to wait for until it is readable; -1: not connected. */
int switch_side_fd(const struct switch_side *side);

/*
 * Read what has come. True: ports have come, gone or changed, or the connection
 * is lost (then switch_side_fd() is -1).
 */
bool switch_side_news(struct switch_side *side);

/*
 * Append the ports whose description begins with `marker` and a space. Returns
 * 0, or -errno with *e; where it wasn't the daemon that refused, the connection
 * is closed.
 */
int switch_side_ports(struct switch_side *side, const char *marker,
		      struct actual *ports, struct error *e)
	__attribute__((warn_unused_result));

/* Do it. Errors as with switch_side_ports(). */
int switch_side_do(struct switch_side *side, const struct action *action,
		   struct error *e) __attribute__((warn_unused_result));

#endif
