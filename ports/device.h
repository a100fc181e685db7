/*
 * device - what `tap` and `netdev` ports do alike to a network device
 *
 * Ownership: nothing is held. Threads: acquire, adjust and release call these,
 * so the main thread, or netlink_in_netns()'s while that waits.
 */
#ifndef PORTS_DEVICE_H
#define PORTS_DEVICE_H

#include "ports/netlink.h"
#include "ports/port.h"

/*
 * Fill *err: "can't WHAT IFNAME: .." with the reason word that goes with the
 * errno `error`; `path` is the offending parameter or NULL. Returns -error.
 */
int device_cannot(struct error *err, int error, const char *path,
		  const char *what, const char *ifname);

/*
 * Bring the device to rq->mtu; where that is 0, back to the MTU it had before
 * us. grant->mtu is what it has now: by the caller before, by this after.
 * Returns 0 or -errno with *err; then nothing has changed.
 */
int device_set_mtu(struct netlink *nl, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Say that `what` of the device couldn't be put back, where r is -errno. That
 * the device is gone is no failure.
 */
void device_put_back(const struct port_grant *grant, const char *what, int r);

#endif
