/*
 * netdev - the network-device side of any Ethernet device
 *
 * The other end is whoever holds the device's far side: the program that has
 * opened a TAP (QEMU with or without vhost, UML, bochs), the peer of a veth,
 * the wire of a NIC. Frames come and go by packet sockets bound to the device
 * (packet(7)), super-frames and partial checksums included. netdev_acquire.c
 * sets up the device and the sockets, netdev.c moves frames.
 *
 * Three sockets: one listens; two only send (bound with protocol 0, so that
 * they receive nothing): plain frames bypass the queueing discipline, which
 * makes a full device queue visible as ENOBUFS; GSO frames go through it,
 * because the bypass loses those whole on a device that can't segment. What a
 * queueing discipline drops later shows in the device's own tx_dropped only.
 * As long as some wait in there the plain frames follow them, to stay behind.
 *
 * Threads: rx on one worker; tx on any, several at once (the kernel's sockets
 * lock; ours is on the stack or atomic).
 *
 * On release the device gets back IFF_UP, carrier, MTU, disable_ipv6 and its
 * qdisc as they were before.
 */
#ifndef PORTS_NETDEV_H
#define PORTS_NETDEV_H

#include "ports/port.h"

enum netdev_fd { NETDEV_RX, NETDEV_TX, NETDEV_TX_GSO, NETDEV_FDS };

/* Of struct virtio_net_hdr, which kernels before 6.6 can only do. */
#define NETDEV_VNET_LEN 10

int netdev_acquire(const struct port_request *rq, struct port_grant *grant,
		   struct error *err);
int netdev_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err);
void netdev_release(const struct port_request *rq, struct port_grant *grant);

#endif
