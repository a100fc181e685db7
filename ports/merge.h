/*
 * merge - segments of a TCP stream become a super-frame, and that one packet
 *
 * For an end of ours that knows nothing of super-frames (libslirp): what it
 * sends, segment by segment, is put together before it goes to the switch, and
 * what it gets is one long IP packet. Where that must be cut, offload.h does.
 *
 *	segments ──merge_begin, merge_add .. merge_end──► super-frame
 *	super-frame ──merge_whole──► a packet of up to 64 KiB
 *
 * What is merged can be cut to the same segments again, but for their IPv4
 * identifications: as Linux's GRO, only what follows directly in the stream is
 * added, whose headers are the same, and nothing behind a PSH or a segment that
 * is shorter than the first. Lengths in the headers are compared with those of
 * the frames, checksums aren't looked at: the caller has made them.
 *
 * Threads: no state but the caller's.
 */
#ifndef PORTS_MERGE_H
#define PORTS_MERGE_H

#include "ports/frame.h"

/* One that grows, at `data`. */
struct merge {
	uint8_t *data;
	uint32_t len;
	uint32_t l4, end; /* as headers.h has them */
	uint32_t mss;	  /* bytes of payload a segment */
	uint32_t next;	  /* sequence number behind it */
	bool open;	  /* something can be added */
	bool added;	  /* something was */
};

/*
 * Begin with a frame of any kind, `len` bytes at `data`; behind it is room for
 * the rest of FRAME_LEN_MAX. Both stay the caller's.
 */
void merge_begin(struct merge *m, uint8_t *data, uint32_t len);

/* Returns whether the frame was added: then its payload was copied. */
bool merge_add(struct merge *m, const uint8_t *frame, uint32_t len);

/*
 * The frame is complete, m->len bytes of it. *v is its vnet header: all zero
 * where nothing was added. Its partial checksum is made by offload_check().
 */
void merge_end(const struct merge *m, struct virtio_net_hdr_v1 *v);

/*
 * Make a super-frame of TCP, or a frame with a partial checksum, one complete
 * frame: lengths and checksums are right, vnet is all zero. It has passed
 * offload_check(), and has no segments (nsegs is 0). Returns false where it
 * can't be, as its length has no room in an IP header.
 */
bool merge_whole(struct frame *f) __attribute__((warn_unused_result));

#endif
