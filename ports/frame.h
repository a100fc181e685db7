/*
 * frame - one Ethernet frame on its way through the switch
 *
 * Model. A frame is a head and, optionally, payload segments:
 *
 *     buffer            data                      data + head_len
 *     | FRAME_HEADROOM  | Ethernet .. L4 headers .. |   segs[0] | segs[1] ..
 *                       '------------- len, all together --------------'
 *
 * The head is private memory that nobody else can write: what was checked
 * there stays true. It holds at least the Ethernet header and, for a frame
 * with offload work, all headers to the end of L4. Segments may lie in memory
 * that a guest can still change (vhost-user): copy or checksum them, never
 * decide on them. Most port types deliver everything in the head.
 *
 * Offload metadata travels as `vnet` (struct virtio_net_hdr_v1, VIRTIO 1.2
 * section 5.1.6, host byte order): a partial checksum and a super-frame stay
 * as they are until a port that can't take them is reached (offload.h).
 *
 * Tags. FRAME_HEADROOM in front of `data` lets a tag be pushed and popped in
 * place, moving the twelve address bytes; csum_start and hdr_len follow. So
 * one frame serves copies with and without a tag, one port after the other.
 *
 * Ownership. A frame and its buffer belong to the batch that a port's rx
 * filled, for as long as the batch lives. Whoever wants to keep it copies it.
 * Threads: one worker at a time.
 */
#ifndef PORTS_FRAME_H
#define PORTS_FRAME_H

#include "base/mac.h"

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define FRAME_HEADROOM	128   /* vnet_hdr, two tags, an outer VXLAN/IPv6 head */
#define FRAME_LEN_MAX	69632 /* as QEMU's NET_BUFSIZE: 64 KiB and headers */
#define FRAME_BATCH_MAX 64    /* frames a burst; bits of a uint64_t */
#define FRAME_SEGS_MAX	20    /* 64 KiB in 4 KiB pages, and some */

#define ETHER_HEADER_LEN 14
#define ETHER_TAG_LEN	 4
#define ETHER_VNET_LEN	 ((uint32_t)sizeof(struct virtio_net_hdr_v1))

#define TCI_VID_MASK 0x0fff /* IEEE 802.1Q-2022 9.6 */
#define TCI_PCP_MASK 0xf000 /* priority and drop eligibility */

/* Which copy of a mirrored frame this is; FRAME_DIR_NONE: no mirror copy. */
enum frame_dir { FRAME_DIR_NONE, FRAME_DIR_IN, FRAME_DIR_OUT };

struct frame {
	uint8_t *data;	   /* first byte of the Ethernet header */
	uint32_t len;	   /* bytes, head and segments */
	uint32_t head_len; /* bytes at data; == len where nsegs is 0 */
	struct virtio_net_hdr_v1 vnet;

	/* The tag as the frame came, and as it is in the bytes now. */
	uint16_t tci;	  /* meaningful where came_tagged */
	bool came_tagged; /* it arrived with a tag of our tag protocol */
	bool tagged;	  /* there is one in the bytes now */

	/* Filled in by the pipeline. */
	uint16_t vid;	 /* VLAN it was classified to; 0 = not yet */
	uint16_t origin; /* index of the ingress port */
	uint64_t dst, src;

	/* For ports that record (pcap): which port and way was mirrored. */
	uint16_t mirror_port; /* index of the mirrored port */
	uint8_t mirror_dir;   /* enum frame_dir */

	uint8_t nsegs;
	const struct iovec *segs; /* owned by the port that delivered it */
};

/* Memory that a burst's frames lie in, one behind the other (worker's). */
struct frame_arena {
	uint8_t *base;
	uint32_t size, used; /* bytes */
};

#define FRAME_SLOT (FRAME_HEADROOM + FRAME_LEN_MAX)

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16(p + 2, (uint16_t)v);
}

/*
 * Room for one more frame of any length: its data pointer, with
 * FRAME_HEADROOM in front and FRAME_LEN_MAX bytes behind it, or NULL where
 * the arena is used up (the burst then ends: small frames lie densely, so a
 * batch of super-frames is shorter than one of small frames and stays in the
 * cache).
 */
static inline uint8_t *frame_arena_peek(struct frame_arena *a)
{
	if (a->used + FRAME_SLOT > a->size)
		return NULL;
	return a->base + a->used + FRAME_HEADROOM;
}

/* Keep what peek returned: `len` bytes of it were filled. */
static inline void frame_arena_take(struct frame_arena *a, uint32_t len)
{
	a->used += (FRAME_HEADROOM + len + 63u) & ~63u;
}

/* A frame of `len` bytes that all lie at data, with no offload work. */
static inline void frame_init(struct frame *f, uint8_t *data, uint32_t len)
{
	memset(f, 0, sizeof(*f));
	f->data = data;
	f->len = len;
	f->head_len = len;
}

/* Has the frame a partial checksum or segmentation pending? */
static inline bool frame_has_offload(const struct frame *f)
{
	return (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	       f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/*
 * Put a tag behind the addresses (IEEE 802.1Q-2022 9.3), or take it out. The
 * caller has made sure that the head holds the addresses (and the tag).
 * `tpid` is 0x8100 or 0x88a8, host byte order.
 */
static inline void frame_vlan_push(struct frame *f, uint16_t tpid, uint16_t tci)
{
	memmove(f->data - ETHER_TAG_LEN, f->data, 12);
	f->data -= ETHER_TAG_LEN;
	store_be16(f->data + 12, tpid);
	store_be16(f->data + 14, tci);
	f->len += ETHER_TAG_LEN;
	f->head_len += ETHER_TAG_LEN;
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->vnet.csum_start += ETHER_TAG_LEN;
	if (f->vnet.hdr_len)
		f->vnet.hdr_len += ETHER_TAG_LEN;
	f->tagged = true;
}

static inline void frame_vlan_pop(struct frame *f)
{
	memmove(f->data + ETHER_TAG_LEN, f->data, 12);
	f->data += ETHER_TAG_LEN;
	f->len -= ETHER_TAG_LEN;
	f->head_len -= ETHER_TAG_LEN;
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f->vnet.csum_start -= ETHER_TAG_LEN;
	if (f->vnet.hdr_len)
		f->vnet.hdr_len -= ETHER_TAG_LEN;
	f->tagged = false;
}

/*
 * The frame as an iovec: head first, then the segments. `iov` has room for
 * 1 + FRAME_SEGS_MAX. Returns the number of elements used.
 */
static inline unsigned int frame_iov(const struct frame *f, struct iovec *iov)
{
	iov[0].iov_base = f->data;
	iov[0].iov_len = f->head_len;
	for (unsigned int i = 0; i < f->nsegs; i++)
		iov[1 + i] = f->segs[i];
	return 1u + f->nsegs;
}

/*
 * Copy `n` bytes from offset `off` of the frame to `to`. Returns false where
 * the frame is shorter than that.
 */
bool frame_read(const struct frame *f, uint32_t off, void *to, uint32_t n);

#endif
