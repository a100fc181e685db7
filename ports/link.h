/*
 * link - what happens to the devices that ports sit on
 *
 * A monitor listens to rtnetlink for the devices that were put on its list,
 * by ifindex: the kernel gives an index to one device only, so a guest that
 * restarts quickly and makes a device of the same name is told apart from its
 * predecessor. It remembers the last state of each and calls back for
 * differences only; what the kernel repeats or what others' devices do costs
 * no call. Where the kernel had to drop notifications (ENOBUFS) it reads all
 * devices and reports what it missed, LINK_GONE included; where it can't, it
 * remembers that it has to (link_monitor_pending()).
 *
 * Order for a race-free attach: acquire the device, then link_monitor_watch()
 * its ifindex. -ENODEV from there, or LINK_GONE later, is the whole truth.
 *
 * LINK_GONE means gone from this network namespace. A device that is moved to
 * another one is gone for a `netdev` port. A `tap` port holds its descriptor
 * and goes on: take its word (p->failed), not the monitor's.
 *
 * Ownership: the caller owns the monitor. Threads: one (the main thread).
 */
#ifndef PORTS_LINK_H
#define PORTS_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

enum link_kind {
	LINK_CHANGED, /* one of the facts in the event differs from before */
	LINK_GONE,    /* only ifindex and the last ifname are meaningful */
};

struct link_event {
	enum link_kind kind;
	int ifindex;
	char ifname[IFNAMSIZ];
	bool up, carrier; /* IFF_UP; the driver's carrier, false while down */
	uint32_t mtu;	  /* bytes behind the Ethernet header */
	int master;	  /* ifindex of bridge, bond or VRF; 0 = none */
};

typedef void link_callback(void *ctx, const struct link_event *event);

struct link_monitor;

/*
 * A monitor of the calling thread's network namespace. `callback` runs from
 * link_monitor_dispatch() and may watch and unwatch.
 * Returns NULL with errno.
 */
struct link_monitor *link_monitor_new(link_callback *callback, void *ctx);
void link_monitor_free(struct link_monitor *m);

/* Readable when there is something to dispatch; for the event loop. */
int link_monitor_fd(const struct link_monitor *m);

/*
 * Report what has happened since the last call. Doesn't block.
 * Returns 0; or -errno where the socket fails, or where something was lost and
 * the kernel doesn't answer the question what: then it is pending.
 */
int link_monitor_dispatch(struct link_monitor *m)
	__attribute__((warn_unused_result));

/*
 * Is there something lost that link_monitor_dispatch() has still to ask for?
 * No event will come to say so: call it again, in a second, say.
 */
bool link_monitor_pending(const struct link_monitor *m);

/*
 * Report this device from now on; its state as of this call is stored to
 * *now (may be NULL) and isn't reported again.
 * Returns 0, -EEXIST (it's watched), -ENODEV (it's gone: detach), -ENOMEM, or
 * -errno.
 */
int link_monitor_watch(struct link_monitor *m, int ifindex,
		       struct link_event *now)
	__attribute__((warn_unused_result));

/* No more about it; nothing happens where it isn't watched (LINK_GONE takes
 * a device off the list by itself). */
void link_monitor_unwatch(struct link_monitor *m, int ifindex);

#endif
