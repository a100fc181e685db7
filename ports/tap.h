/*
 * tap - TAP devices whose descriptor is ours
 *
 * The other end of the port is the device's network side: the host's stack, a
 * namespace, VirtualBox bridged to it. tap_acquire.c makes and sets up the
 * device, tap.c moves frames. A TAP whose descriptor is a guest's (QEMU
 * opened it) is a `netdev` port instead.
 *
 * The device may be moved into another network namespace or renamed while the
 * port is attached: descriptor and port stay. What depends on the device's
 * place (adjust, release) asks the descriptor where it is.
 *
 * A frame that the host sends while the device's queue is full never gets
 * here: the kernel counts it in the device's tx_dropped (not in rx_missed).
 *
 * With `queues` the device has several receive queues, a descriptor each
 * (grant->fd[0..queues)), and the kernel spreads flows over them by a hash. By
 * itself it would also have a flow follow the queue that its answers were
 * written to, at once, whatever waits in the old queue: a flow would be
 * reordered when another worker answers. So nothing is written to those. There
 * is one more descriptor, the last, whose queue is detached (TUNSETQUEUE): it
 * receives nothing, what is written to it moves no flow, and all workers send
 * by it; a write takes no lock.
 *
 * On release a device that was there before gets back MTU, hardware address,
 * address and IFF_UP as they were; owner, group and persistence, if asked
 * for, stay as set, for they are meant to outlive the port. A device that
 * acquire made goes with its descriptor, unless `persist` was asked for: then
 * it stays as it is.
 *
 * With `handover` the descriptor is for another program (qemu-bridge-helper's
 * way): it's returned as the kernel made it (IFF_TAP, IFF_NO_PI,
 * IFF_VNET_HDR), down, without offloads, for that program to set up. There is
 * nothing to open here; the caller passes it on, closes its own copy by
 * release(), and attaches the device as `netdev`.
 */
#ifndef PORTS_TAP_H
#define PORTS_TAP_H

#include "ports/port.h"

int tap_acquire(const struct port_request *rq, struct port_grant *grant,
		struct error *err);
int tap_adjust(const struct port_request *rq, struct port_grant *grant,
	       struct error *err);
void tap_release(const struct port_request *rq, struct port_grant *grant);

/* Take super-frames and partial checksums from a TAP: all that this kernel
 * knows. Returns what may be written to it (enum port_offload). */
uint32_t tap_set_offloads(int fd);

#endif
