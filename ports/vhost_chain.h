/*
 * vhost_chain - chains of descriptors, and the loops over them
 *
 * What split and packed rings share, to be compiled into both: they differ in
 * where the next chain's first descriptor is, in how a chain goes on and in how
 * it is given back (struct vhost_chain_ops, all of it inlined).
 *
 * Two passes over a batch. The first finds the chains and judges their
 * descriptors, and has the processor fetch the buffers; the second copies. So
 * the misses of many frames overlap. The common chain, one descriptor with
 * header and frame in one piece of memory, is *flat* and needs no list of
 * pieces. All others are copied in the first pass, by vhost_ring.c.
 *
 * Guest memory is read by the functions in here, once, into private variables.
 *
 * Threads: whoever holds the ring's lock.
 */
#ifndef PORTS_VHOST_CHAIN_H
#define PORTS_VHOST_CHAIN_H

#include "ports/vhost_ring.h"

#include <endian.h>

/* Descriptors that a receive looks at in chains that aren't flat: a guest that
 * chops its frames gets smaller batches, not more of our time. */
#define VHOST_WALK_MAX 2048

/* Descriptors that one frame is spread over, in all its chains: Linux has 19
 * (64 KiB in pages), or one in each of 44 chains. Descriptors of few bytes or
 * none would have a frame cost milliseconds. */
#define VHOST_SPREAD_MAX 256

struct vhost_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split: next; packed: id */
};

/* The beginning of a chain. */
struct vhost_head {
	struct vhost_desc d;
	struct vhost_taken taken; /* len isn't set; packed: by gather */
};

struct vhost_piece {
	uint8_t *host;
	uint64_t guest;
	uint32_t len;
};

/* Where a chain's bytes are, or several chains'. */
struct vhost_chain {
	bool write;	 /* they are to be written to */
	uint64_t want;	 /* bytes: no more is looked at */
	uint64_t len;	 /* of what was looked at; can be more */
	uint32_t walked; /* descriptors */
	uint32_t n;
	struct vhost_piece piece[VHOST_CHAIN_MAX];
};

struct vhost_chain_ops {
	/* The next chain's first descriptor: false: none, or broken. */
	bool (*head)(struct vhost_ring *r, struct vhost_head *h);
	/* Put the pieces of the chain behind those in c. False: broken. */
	bool (*gather)(struct vhost_ring *r, struct vhost_head *h,
		       struct vhost_chain *c);
	/* It is taken. */
	void (*step)(struct vhost_ring *r, const struct vhost_taken *t);
	/* Give back all that was taken. */
	void (*publish)(struct vhost_ring *r);
	/* Does the guest want to be called for it? */
	bool (*wants_call)(struct vhost_ring *r);
	/* Up to n chains will be looked at: have their descriptors fetched.
	 * False: broken. */
	bool (*expect)(struct vhost_ring *r, unsigned int n);
};

/* Always false. */
static inline bool vhost_break(struct vhost_ring *r, const char *why)
{
	if (!r->broken)
		r->broken = why;
	return false;
}

/* Call the guest. */
void vhost_ring_call(struct vhost_ring *r);

/* ---- the guest's memory ---- */

/* Tables in a guest's memory may lie anywhere. */
struct vhost_unaligned {
	uint64_t v;
} __attribute__((packed, may_alias));
struct vhost_unaligned32 {
	uint32_t v;
} __attribute__((packed, may_alias));
struct vhost_unaligned16 {
	uint16_t v;
} __attribute__((packed, may_alias));

static inline uint64_t vhost_load64(const void *p)
{
	return le64toh(((const volatile struct vhost_unaligned *)p)->v);
}

static inline uint32_t vhost_load32(const void *p)
{
	return le32toh(((const volatile struct vhost_unaligned32 *)p)->v);
}

static inline void vhost_store64(void *p, uint64_t v)
{
	((volatile struct vhost_unaligned *)p)->v = htole64(v);
}

/* Of these the addresses are aligned. */
static inline uint16_t vhost_load16(const void *p, memory_order order)
{
	return le16toh(
		atomic_load_explicit((const _Atomic uint16_t *)p, order));
}

static inline void vhost_store16(void *p, uint16_t v, memory_order order)
{
	atomic_store_explicit((_Atomic uint16_t *)p, htole16(v), order);
}

static inline void vhost_desc_load(struct vhost_desc *d, const uint8_t *p)
{
	uint64_t rest;

	d->addr = vhost_load64(p);
	rest = vhost_load64(p + 8);
	d->len = (uint32_t)rest;
	d->flags = (uint16_t)(rest >> 32);
	d->next = (uint16_t)(rest >> 48);
}

static inline void vhost_copy_16(uint8_t *to, const uint8_t *from,
				 unsigned int blocks, uint32_t n)
{
	for (unsigned int i = 0; i < blocks; i++)
		memcpy(to + 16 * i, from + 16 * i, 16);
	/* The end, from behind: overlaps with the others. */
	for (unsigned int i = 1; i <= blocks; i++)
		memcpy(to + n - 16 * i, from + n - 16 * i, 16);
}

/* memcpy that costs no call for the lengths of most small frames. */
static inline void vhost_copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n > 128 || n < 16)
		memcpy(to, from, n);
	else if (n <= 32)
		vhost_copy_16(to, from, 1, n);
	else if (n <= 64)
		vhost_copy_16(to, from, 2, n);
	else
		vhost_copy_16(to, from, 4, n);
}

/* ---- chains ---- */

/* Add a descriptor's memory. False: broken. */
bool vhost_chain_add(struct vhost_ring *r, struct vhost_chain *c,
		     const struct vhost_desc *d);

/*
 * Add an indirect table's; `linked`: its descriptors say which is next (split
 * rings), else they lie one behind the other. False: broken.
 */
bool vhost_chain_indirect(struct vhost_ring *r, struct vhost_chain *c,
			  const struct vhost_desc *table, bool linked);

/* Is the chain flat? Where is it then? */
static inline bool vhost_flat(struct vhost_ring *r, const struct vhost_head *h,
			      uint16_t flags, struct vhost_piece *at)
{
	uint64_t len = h->d.len;

	if ((h->d.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE |
			   VRING_DESC_F_INDIRECT)) != flags)
		return false;
	at->guest = h->d.addr;
	at->len = h->d.len;
	at->host = vhost_mem_at(r->mem, h->d.addr, &len, &r->hint);
	return at->host && len == at->len;
}

/* Member by member, as they have just been written: a load that is wider than
 * the stores before it waits for those to reach the cache, behind all others on
 * their way to the guest's memory. */
static inline void vhost_take(struct vhost_ring *r, const struct vhost_taken *t)
{
	struct vhost_taken *to = &r->place->taken[r->ntaken++];

	to->id = t->id;
	to->count = t->count;
	to->len = t->len;
}

/* ---- the guest's frames ---- */

static inline void vhost_vnet_load(struct frame *f, const uint8_t *from)
{
	struct virtio_net_hdr_v1 *v = &f->vnet;
	uint64_t a = vhost_load64(from);
	uint16_t b = (uint16_t)vhost_load32(from + 8);
	/* Other flags aren't the driver's (5.1.6.2.1). */
	uint8_t flags = (uint8_t)a & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	uint8_t gso_type = (uint8_t)(a >> 8);

	v->flags = flags;
	v->gso_type = gso_type;
	if (!(flags | gso_type)) /* GSO_NONE is 0 */
		return;		 /* the rest means nothing */
	v->hdr_len = (uint16_t)(a >> 16);
	v->gso_size = (uint16_t)(a >> 32);
	v->csum_start = (uint16_t)(a >> 48);
	v->csum_offset = b;
}

/* A flat chain's frame; data has been set. */
static inline void vhost_flat_receive(struct frame *f,
				      const struct vhost_piece *at,
				      struct iovec *seg)
{
	uint32_t len = at->len - ETHER_VNET_LEN;
	const uint8_t *from = at->host + ETHER_VNET_LEN;

	frame_init(f, f->data, len);
	vhost_vnet_load(f, at->host);
	if (len <= VHOST_HEAD) {
		vhost_copy(f->data, from, len);
		return;
	}
	memcpy(f->data, from, VHOST_HEAD);
	f->head_len = VHOST_HEAD;
	f->segs = seg;
	f->nsegs = 1;
	*seg = (struct iovec){ at->host + ETHER_VNET_LEN + VHOST_HEAD,
			       len - VHOST_HEAD };
}

/* A frame out of any other chain; it takes its room in the arena. */
void vhost_chain_receive(const struct vhost_chain *c, struct frame *f,
			 struct iovec *segs, struct frame_arena *arena);

/* False: broken. */
static bool vhost_gather_frame(struct vhost_ring *r, struct vhost_head *h,
			       struct frame *f, struct frame_arena *arena,
			       uint32_t *walked,
			       const struct vhost_chain_ops *ops)
{
	struct vhost_chain c;

	c.write = false;
	c.want = ETHER_VNET_LEN + FRAME_LEN_MAX + 1;
	c.len = 0;
	c.walked = c.n = 0;
	if (!ops->gather(r, h, &c))
		return false;
	*walked += c.walked;
	vhost_chain_receive(&c, f, r->segs[r->ntaken], arena);
	return true;
}

static inline __attribute__((always_inline)) unsigned int vhost_receive_frames(
	struct vhost_ring *r, struct frame *f, unsigned int max,
	struct frame_arena *arena, const struct vhost_chain_ops *ops)
{
	struct vhost_piece at[FRAME_BATCH_MAX];
	uint32_t walked = 0;
	unsigned int n;

	r->ntaken = 0;
	if (!ops->expect(r, max))
		return 0;
	for (n = 0; n < max && walked < VHOST_WALK_MAX; n++) {
		uint8_t *data = frame_arena_peek(arena);
		struct vhost_head h;

		if (!data || !ops->head(r, &h))
			break;
		if (vhost_flat(r, &h, 0, &at[n]) &&
		    at[n].len >= ETHER_VNET_LEN &&
		    at[n].len <= ETHER_VNET_LEN + FRAME_LEN_MAX) {
			uint32_t len = at[n].len - ETHER_VNET_LEN;

			__builtin_prefetch(at[n].host);
			__builtin_prefetch(at[n].host + 64);
			f[n].data = data;
			frame_arena_take(arena,
					 len < VHOST_HEAD ? len : VHOST_HEAD);
		} else {
			at[n].host = NULL;
			if (!vhost_gather_frame(r, &h, &f[n], arena, &walked,
						ops))
				break;
		}
		h.taken.len = 0;
		vhost_take(r, &h.taken);
		ops->step(r, &h.taken);
	}
	for (unsigned int i = 0; i < n; i++)
		if (at[i].host)
			vhost_flat_receive(&f[i], &at[i], r->segs[i]);
	return n;
}

/* ---- frames for the guest ---- */

/* Bytes of the guest were written. */
static inline void vhost_note(const struct vhost_ring *r, uint64_t guest,
			      uint64_t len)
{
	if (r->log && r->log->bits)
		vhost_log_written(r->log, guest, len);
}

/* A header of the guest's, at `to`. */
static inline void vhost_vnet_store(const struct vhost_ring *r, uint8_t *to,
				    const struct frame *f, uint16_t buffers)
{
	struct virtio_net_hdr_v1 v = f->vnet;

	v.hdr_len = htole16(v.hdr_len);
	v.gso_size = htole16(v.gso_size);
	v.csum_start = htole16(v.csum_start);
	v.csum_offset = htole16(v.csum_offset);
	memcpy(to, &v, 10);
	/* What a kernel knows of the sum is nothing to a guest that hasn't
	 * agreed on it (5.1.6.4.1). */
	if (__builtin_expect(f->vnet.flags & r->hidden, 0))
		to[0] = f->vnet.flags & (uint8_t)~r->hidden;
	buffers = htole16(buffers);
	memcpy(to + 10, &buffers, 2);
}

static inline void vhost_flat_send(struct vhost_ring *r, const struct frame *f,
				   const struct vhost_piece *at)
{
	uint8_t *to = at->host + ETHER_VNET_LEN;

	vhost_vnet_store(r, at->host, f, 1);
	vhost_copy(to, f->data, f->head_len);
	to += f->head_len;
	for (unsigned int i = 0; i < f->nsegs; i++) {
		memcpy(to, f->segs[i].iov_base, f->segs[i].iov_len);
		to += f->segs[i].iov_len;
	}
	vhost_note(r, at->guest, ETHER_VNET_LEN + f->len);
}

/* Header and frame into the pieces, which have room for it. */
void vhost_chain_send(struct vhost_ring *r, const struct frame *f,
		      const struct vhost_chain *c, uint16_t buffers);

/* How one frame found its place. */
enum vhost_fit {
	VHOST_FIT,	/* it is there */
	VHOST_FIT_NOT,	/* *why says why */
	VHOST_FIT_LATER /* when what is taken has been given back */
};

/* Take chains from *h on until the frame fits, and copy it there. Whatever it
 * has taken when it doesn't return VHOST_FIT the caller undoes. */
static enum vhost_fit vhost_spread(struct vhost_ring *r, struct vhost_head *h,
				   const struct frame *f, enum drop_reason *why,
				   const struct vhost_chain_ops *ops)
{
	bool merge = r->features & 1ull << VIRTIO_NET_F_MRG_RXBUF;
	uint64_t need = (uint64_t)ETHER_VNET_LEN + f->len, got = 0;
	uint16_t first = r->ntaken, held = r->held;
	struct vhost_chain c;

	*why = DROP_GUEST_BUFFER;
	c.write = true;
	c.walked = c.n = 0;
	for (;;) {
		c.want = need - got;
		c.len = 0;
		if (!ops->gather(r, h, &c)) {
			*why = DROP_LINK_DOWN;
			return VHOST_FIT_NOT;
		}
		h->taken.len = (uint32_t)(c.len < c.want ? c.len : c.want);
		got += h->taken.len;
		vhost_take(r, &h->taken);
		ops->step(r, &h->taken);
		if (got == need)
			break;
		if (!merge)
			return VHOST_FIT_NOT;
		if (r->ntaken == VHOST_TAKEN_MAX)
			return first ? VHOST_FIT_LATER : VHOST_FIT_NOT;
		if (!ops->head(r, h)) {
			if (r->broken)
				*why = DROP_LINK_DOWN;
			else if (held || r->held < r->size)
				*why = DROP_QUEUE_FULL;
			return VHOST_FIT_NOT;
		}
	}
	vhost_chain_send(r, f, &c, (uint16_t)(r->ntaken - first));
	return VHOST_FIT;
}

/* Send frames as far as one publication goes; *why is set where f[returned]
 * can't be sent at all. */
static inline __attribute__((always_inline)) unsigned int vhost_send_some(
	struct vhost_ring *r, struct frame *const *f, unsigned int n,
	enum drop_reason *why, const struct vhost_chain_ops *ops)
{
	struct vhost_piece at[VHOST_TAKEN_MAX];
	unsigned int i;

	r->ntaken = 0;
	if (!ops->expect(r, n)) {
		*why = DROP_LINK_DOWN;
		return 0;
	}
	for (i = 0; i < n && r->ntaken < VHOST_TAKEN_MAX; i++) {
		vhost_pos avail = r->avail;
		uint16_t held = r->held, ntaken = r->ntaken;
		struct vhost_head h;

		if (frame_offloads(f[i]) & ~r->offloads) {
			*why = DROP_GSO;
			break;
		}
		if (!ops->head(r, &h)) {
			*why = r->broken ? DROP_LINK_DOWN : DROP_QUEUE_FULL;
			break;
		}
		if (vhost_flat(r, &h, VRING_DESC_F_WRITE, &at[i]) &&
		    at[i].len >= ETHER_VNET_LEN + f[i]->len) {
			__builtin_prefetch(at[i].host, 1);
			__builtin_prefetch(at[i].host + 64, 1);
			h.taken.len = ETHER_VNET_LEN + f[i]->len;
			vhost_take(r, &h.taken);
			ops->step(r, &h.taken);
		} else {
			enum drop_reason no;
			enum vhost_fit fit;

			at[i].host = NULL;
			fit = vhost_spread(r, &h, f[i], &no, ops);
			if (fit == VHOST_FIT)
				continue;
			r->avail = avail;
			r->held = held;
			r->ntaken = ntaken;
			if (fit == VHOST_FIT_NOT)
				*why = no;
			break;
		}
	}
	for (unsigned int k = 0; k < i; k++)
		if (at[k].host)
			vhost_flat_send(r, f[k], &at[k]);
	return i;
}

static inline __attribute__((always_inline)) unsigned int vhost_send_frames(
	struct vhost_ring *r, struct frame *const *f, unsigned int n,
	enum drop_reason *why, const struct vhost_chain_ops *ops)
{
	enum drop_reason no = DROP_REASON_COUNT;
	unsigned int done = 0;
	bool call = false;

	while (done < n && no == DROP_REASON_COUNT) {
		done += vhost_send_some(r, f + done, n - done, &no, ops);
		if (!r->ntaken)
			continue;
		ops->publish(r);
		/* Each time: a guest that offers buffers meanwhile may have a
		 * small ring go round more than once. */
		call |= ops->wants_call(r);
	}
	if (call)
		vhost_ring_call(r);
	if (no != DROP_REASON_COUNT)
		*why = no;
	return done;
}

#endif
