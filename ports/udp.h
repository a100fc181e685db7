/*
 * udp - ports whose frames are UDP datagrams between two addresses
 *
 * VirtualBox's UDP tunnel, QEMU's dgram and libvirt's udp speak so, and two of
 * these ports with each other. Nobody but the remote is heard: the socket is
 * connected, so the kernel drops what has another sender. Who can forge
 * senders' addresses can still put frames in, as nothing is encrypted.
 *
 * A frame of 1500 bytes and its header is longer than what fits into one packet
 * of an Ethernet: such datagrams are cut into fragments (no DF), here or on
 * their way. A lost fragment is a lost frame; where it matters, choose mtu=1400
 * or so here and in the guests.
 *
 * Grant: fd[0], the socket. Its frames are datagrams' (datagrams.h); several of
 * one length in a row leave as one with UDP_SEGMENT, where the device's MTU has
 * room for each, and are single datagrams to who receives them.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_UDP_H
#define PORTS_UDP_H

#include "ports/port.h"

/* With the header and a tag it fits a datagram of IPv4. */
#define UDP_MTU_MAX (65507 - ETHER_HEADER_LEN - ETHER_TAG_LEN)

/*
 * Are local and remote addresses that go together? Returns 0, or -EINVAL with
 * *err: bad-value, "local" or "remote" or "mtu". Any process.
 */
int udp_check(const struct port_request *rq, struct error *err)
	__attribute__((warn_unused_result));

#endif
