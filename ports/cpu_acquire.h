/*
 * cpu_acquire - the CPU port: a TAP by which the kernel hands frames up
 *
 * The programs of the kernel fast path (switchd/fastpath.h) redirect what they
 * don't forward into this device, and whoever has its descriptor reads it. The
 * device is the daemon's own, called swcpu0 or so, and goes with its last
 * descriptor. Nothing of the host uses it: it has no address and no ARP, IPv6
 * is off, and what is written to the descriptor, which is a way into the host's
 * stack, is dropped there.
 *
 * Ownership: the descriptor is the caller's. Threads: the main thread.
 */
#ifndef PORTS_CPU_ACQUIRE_H
#define PORTS_CPU_ACQUIRE_H

#include "base/error.h"

#include <stdint.h>

/*
 * Make it, in the caller's network namespace: with the vnet header that `tap`
 * ports have (ETHER_VNET_LEN), all offloads that the kernel can do, the largest
 * MTU, no queueing discipline, and up.
 *
 * queue    frames that wait in it at most
 * ifindex  of the device
 *
 * Returns the descriptor, non-blocking and close-on-exec, or -errno with *err.
 */
int cpu_acquire(uint32_t queue, int *ifindex, struct error *err)
	__attribute__((warn_unused_result));

#endif
