/*
 * superframe - TCP and UDP frames to segment, and what must come out
 *
 * A description makes the super-frame, and the description of its n-th
 * segment makes that segment. Nothing is taken from the code under test: no
 * parsing, checksums byte by byte.
 */
#ifndef TESTS_UNIT_SUPERFRAME_H
#define TESTS_UNIT_SUPERFRAME_H

#include "ports/frame.h"

#define SUPERFRAME_MAC 0x0200005f0001ull /* source address of all */

/* IPv6 extension headers; with IPv4 it is the words of IP options. */
enum superframe_ext {
	SUPERFRAME_PLAIN,
	SUPERFRAME_HOP,
	SUPERFRAME_ROUTING,
	SUPERFRAME_DST,
	SUPERFRAME_HOP_ROUTING_DST,
	SUPERFRAME_EXT_COUNT
};

struct superframe {
	bool ipv6, udp;
	unsigned int tags;	  /* 0..2 */
	unsigned int ext;	  /* enum superframe_ext */
	unsigned int tcp_options; /* bytes, a multiple of 4 */
	uint8_t tcp_flags;
	uint16_t id, sport;
	uint32_t seq;
	uint32_t from, payload; /* bytes of an endless pattern */
};

/* What to store in the L4 checksum field. */
enum superframe_csum {
	SUPERFRAME_PARTIAL, /* the pseudo-header's sum */
	SUPERFRAME_COMPLETE,
	SUPERFRAME_SEGMENT, /* complete, and a TCP segment's 0 stays 0 */
};

/* Offset of the IP header, the L4 header, the payload. */
uint32_t superframe_l3(const struct superframe *s);
uint32_t superframe_l4(const struct superframe *s);
uint32_t superframe_head(const struct superframe *s);

/* Write the frame to p (room for superframe_head() + payload); its length. */
uint32_t superframe_build(const struct superframe *s, uint8_t *p,
			  enum superframe_csum how);

/* The vnet header that goes with it; gso_size 0: only a partial checksum. */
void superframe_vnet(const struct superframe *s, uint16_t gso_size,
		     struct virtio_net_hdr_v1 *v);

/* How many segments, and the n-th of them. */
uint32_t superframe_segments(const struct superframe *s, uint16_t gso_size);
struct superframe superframe_segment(const struct superframe *s,
				     uint16_t gso_size, uint32_t n);

/* The sum of n bytes as 16-bit words (RFC 1071), and folded to one. */
uint32_t superframe_sum(const uint8_t *p, uint32_t n);
uint16_t superframe_fold(uint32_t sum);

/* Choose the source port so that the checksum of this frame is 0. */
void superframe_zero_csum(struct superframe *s);

#endif
