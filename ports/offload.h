/*
 * offload - finish what a frame's vnet header leaves undone
 *
 * A frame may carry a partial checksum (only the pseudo-header's sum is in
 * the field) and may be a super-frame (one TCP or UDP payload larger than the
 * MTU). Ports that take vnet headers get it as it is; for the others these
 * functions complete the checksum or cut the frame into segments, as Linux's
 * skb_checksum_help() and skb_gso_segment() would, byte for byte.
 *
 * Nothing of a frame is trusted: every length is checked against the frame
 * before it is used, and a frame that contradicts its vnet header is refused
 * with a reason, not repaired.
 *
 * Threads: no state; any thread that owns the frame.
 */
#ifndef PORTS_OFFLOAD_H
#define PORTS_OFFLOAD_H

#include "ports/drop.h"
#include "ports/frame.h"

/*
 * Do vnet header and frame agree? To be called once for each received frame
 * for which frame_has_offload() is true, before anything else looks at it.
 * Clears harmless leftovers (hdr_len, num_buffers) or corrects hdr_len to the
 * parsed value. A VXLAN, Geneve, GRE or IPIP super-frame that a packet socket
 * labels as plain TCP is recognised here: DROP_TUNNEL_GSO.
 *
 * Returns true, or false and *why = DROP_BAD_OFFLOAD or DROP_TUNNEL_GSO.
 */
bool offload_check(struct frame *f, enum drop_reason *why)
	__attribute__((warn_unused_result));

/*
 * Compute the checksum that csum_start/csum_offset ask for and store it; a
 * UDP result of 0 becomes 0xffff (RFC 768). Clears NEEDS_CSUM. The field must
 * lie in the head (offload_check has seen to that).
 */
void offload_complete_csum(struct frame *f);

/*
 * Cut a super-frame into segments of at most gso_size payload bytes, headers
 * rebuilt (lengths, IPv4 id and checksum, TCP sequence, flags, CWR on the
 * first only; UDP length), L4 checksums complete. VLAN tags (one or two) and
 * IPv6 extension headers are copied. The source frame stays as it was.
 *
 * out     receives up to `max` frames, data in the arena, vnet all zero;
 *         the frame's metadata (vid, origin, tag state, mirror) is copied
 * *off    payload bytes done so far: 0 for the first call; where out or the
 *         arena was too small for all, call again with the same *off to go on
 *
 * Returns the number of frames written; 0 when all is done, or where the
 * frame can't be segmented, and then *why is set to DROP_GSO (else it is left
 * alone: preset it to DROP_REASON_COUNT).
 */
unsigned int offload_segment(const struct frame *f, struct frame *out,
			     unsigned int max, struct frame_arena *arena,
			     uint32_t *off, enum drop_reason *why);

/* Bytes behind the Ethernet header (and tags) of the longest segment that
 * this frame makes: what the egress MTU is compared with. */
uint32_t offload_wire_mtu(const struct frame *f);

/* How many segments a super-frame makes; 1 for a plain frame. */
uint32_t offload_segments(const struct frame *f);

#endif
