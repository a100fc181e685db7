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
 * with a reason, not repaired. As in Linux the lengths in the IP headers of a
 * super-frame play no part: senders leave them 0 or wrong, segments get their
 * own.
 *
 * Threads: no state; any thread that owns the frame.
 */
#ifndef PORTS_OFFLOAD_H
#define PORTS_OFFLOAD_H

#include "ports/drop.h"
#include "ports/frame.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* VIRTIO 1.3 5.1.6; Linux 6.2 */
#endif

/*
 * Segments a super-frame may ask for. 64 KiB at 8 payload bytes each, the
 * least that Linux's TCP sends (its smallest MSS, 48, full of options): what
 * one frame can cost is bounded.
 */
#define OFFLOAD_SEGMENTS_MAX 8192

/*
 * Do vnet header and frame agree? To be called once for each received frame
 * for which frame_has_offload() is true, before anything else looks at it.
 * Afterwards
 *
 * - csum_start and csum_offset name a field in the head, behind the Ethernet
 *   header and its tags: completing it can't change what was decided on;
 * - a super-frame's type is that of its headers, they lie in the head, hdr_len
 *   is their length, gso_size isn't 0, NEEDS_CSUM is set (a TCP frame that
 *   came without is given the partial checksum, as Linux does);
 * - a "super-frame" that fits one segment is a plain frame; of UFO the
 *   gso_size is a multiple of 8, as fragments need it;
 * - a partial checksum of SCTP has been completed: it is a CRC32c, which a vnet
 *   header can't say (veth devices send such frames);
 * - leftovers (num_buffers, other flags) are 0.
 *
 * A VXLAN, Geneve, GRE or IPIP super-frame that a packet socket labels as
 * plain TCP or UDP is recognised here: DROP_TUNNEL_GSO. A tunnel's frame with
 * an inner partial checksum and no segmentation passes: it describes itself.
 *
 * Returns true, or false and *why = DROP_BAD_OFFLOAD or DROP_TUNNEL_GSO; *why
 * is left alone where it returns true.
 */
bool offload_check(struct frame *f, enum drop_reason *why)
	__attribute__((warn_unused_result));

/*
 * Compute the checksum that csum_start/csum_offset ask for and store it; a
 * result of 0 becomes 0xffff (RFC 768; for other protocols the two are the
 * same value). Clears NEEDS_CSUM. For frames that passed offload_check() and
 * aren't super-frames; does nothing where NEEDS_CSUM isn't set.
 */
void offload_complete_csum(struct frame *f);

/*
 * Cut a super-frame into segments of at most gso_size payload bytes, headers
 * rebuilt (lengths, IPv4 id and checksum, TCP sequence, flags, CWR on the
 * first only; UDP length), L4 checksums complete. VLAN tags (one or two) and
 * IPv6 extension headers are copied. A UFO frame (GSO_UDP) over IPv4 becomes
 * IP fragments; over IPv6, where fragments need an identification that only
 * the sender can choose, it is refused. The source frame stays as it was.
 *
 * out     receives up to `max` frames, data in the arena with FRAME_HEADROOM
 *         in front, vnet all zero; the frame's metadata (vid, origin, tag
 *         state, mirror) is copied
 * *off    payload bytes done so far: 0 for the first call; where out or the
 *         arena was too small for all, call again with the same *off (and the
 *         arena emptied) to go on. Tags may be pushed or popped in between.
 *
 * Returns the number of frames written; 0 when all is done, or where the
 * frame can't be segmented, and then *why is set (else it is left alone:
 * preset it to DROP_REASON_COUNT): DROP_GSO, or DROP_NO_MEMORY where the
 * arena has no room for one segment.
 */
unsigned int offload_segment(const struct frame *f, struct frame *out,
			     unsigned int max, struct frame_arena *arena,
			     uint32_t *off, enum drop_reason *why);

/*
 * Bytes behind the Ethernet header and one tag of the longest segment that
 * this frame makes: what the egress MTU is compared with. A second tag counts,
 * as for Linux's devices. The frame has passed offload_check().
 */
uint32_t offload_wire_mtu(const struct frame *f);

/* How many segments a super-frame makes; 1 for a plain frame. The frame has
 * passed offload_check(). */
uint32_t offload_segments(const struct frame *f);

#endif
