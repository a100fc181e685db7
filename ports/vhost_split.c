#include "ports/vhost_ring.h"

#include "ports/vhost_chain.h"

/* Offsets in the available and the used ring (VIRTIO 1.2 2.7.6, 2.7.8). */
#define RING_FLAGS 0
#define RING_IDX   2
#define RING_ITEMS 4
#define AVAIL_ITEM 2 /* bytes */
#define USED_ITEM  8

/* Only called where it may stand still: while nothing is broken. */
static uint16_t guest_idx(const struct vhost_ring *r)
{
	return vhost_load16(r->driver + RING_IDX, memory_order_seq_cst);
}

static uint16_t guest_head(const struct vhost_ring *r, uint16_t pos)
{
	return vhost_load16(r->driver + RING_ITEMS +
				    AVAIL_ITEM * (pos & (r->size - 1u)),
			    memory_order_relaxed);
}

/* Of the used ring; it has an address of its own in the log. */
static void split_note(const struct vhost_ring *r, uint32_t off, uint32_t len)
{
	if (r->log_device)
		vhost_note(r, r->log_addr + off, len);
}

/* Is there something new? */
static bool split_look(struct vhost_ring *r)
{
	uint16_t idx = guest_idx(r);

	/* Nor does it go back. */
	if ((uint16_t)(idx - r->avail) > r->size - r->held)
		return vhost_break(r, "more is available than the ring has");
	r->avail_seen = idx;
	return idx != r->avail;
}

static inline bool split_head(struct vhost_ring *r, struct vhost_head *h)
{
	uint16_t id;

	if (r->avail == r->avail_seen && !split_look(r))
		return false;
	id = guest_head(r, r->avail);
	if (id >= r->size)
		return vhost_break(r, "a chain that begins outside of the "
				      "table");
	vhost_desc_load(&h->d, r->desc + sizeof(struct vring_desc) * id);
	h->taken.id = id;
	h->taken.count = 1;
	return true;
}

static bool split_gather(struct vhost_ring *r, struct vhost_head *h,
			 struct vhost_chain *c)
{
	struct vhost_desc d = h->d;

	for (uint32_t left = VHOST_CHAIN_MAX; left; left--) {
		if (d.flags & VRING_DESC_F_INDIRECT)
			return vhost_chain_indirect(r, c, &d, true);
		if (!vhost_chain_add(r, c, &d))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT) || c->len >= c->want)
			return true;
		if (d.next >= r->size)
			return vhost_break(r, "a descriptor outside of the "
					      "table");
		vhost_desc_load(&d,
				r->desc + sizeof(struct vring_desc) * d.next);
	}
	return vhost_break(r, "a chain of too many descriptors");
}

static inline void split_step(struct vhost_ring *r, const struct vhost_taken *t)
{
	r->avail++;
	r->held += t->count;
}

/*
 * A process that dies in here has written its chains or hasn't: that the index
 * says, in the guest's memory.
 */
static void split_publish(struct vhost_ring *r)
{
	const struct vhost_taken *t = r->place->taken;
	uint32_t mask = r->size - 1u, first = r->used & mask;
	uint32_t n = r->ntaken, tail = r->size - first;

	for (uint32_t i = 0; i < n; i++)
		vhost_store64(r->device + RING_ITEMS +
				      USED_ITEM * ((r->used + i) & mask),
			      t[i].id | (uint64_t)t[i].len << 32);
	r->used = (uint16_t)(r->used + n);
	atomic_store_explicit(&r->place->giving, r->used, memory_order_release);
	vhost_store16(r->device + RING_IDX, r->used, memory_order_seq_cst);
	split_note(r, RING_ITEMS + USED_ITEM * first,
		   USED_ITEM * (n < tail ? n : tail));
	if (n > tail)
		split_note(r, RING_ITEMS, USED_ITEM * (n - tail));
	split_note(r, RING_IDX, 2);
	atomic_store_explicit(&r->place->avail, r->avail, memory_order_release);
	atomic_store_explicit(&r->place->used, r->used, memory_order_release);
	r->ntaken = r->held = 0;
}

/* Its index, then this, here; what it wants, then the index, over there; all of
 * it sequentially consistent: one of the two sees the other. */
static bool split_wants_call(struct vhost_ring *r)
{
	vhost_pos old = r->signalled;
	uint16_t event;

	if (!r->event_idx)
		return !(vhost_load16(r->driver + RING_FLAGS,
				      memory_order_seq_cst) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	r->signalled = r->used;
	if (!r->signalled_valid) {
		r->signalled_valid = true;
		return true;
	}
	event = vhost_load16(r->driver + RING_ITEMS + AVAIL_ITEM * r->size,
			     memory_order_seq_cst);
	return vring_need_event(event, r->used, old);
}

/* Of the heads it believes nothing: they are looked at again. */
static inline bool split_expect(struct vhost_ring *r, unsigned int n)
{
	uint16_t ready = (uint16_t)(r->avail_seen - r->avail);

	if (ready < n) {
		(void)split_look(r);
		ready = (uint16_t)(r->avail_seen - r->avail);
	}
	if (ready < n)
		n = ready;
	for (unsigned int i = 0; i < n; i++) {
		uint16_t id = guest_head(r, (uint16_t)(r->avail + i));

		__builtin_prefetch(r->desc + sizeof(struct vring_desc) * id);
	}
	return !r->broken;
}

static const struct vhost_chain_ops split_ops = {
	.head = split_head,
	.gather = split_gather,
	.step = split_step,
	.publish = split_publish,
	.wants_call = split_wants_call,
	.expect = split_expect,
};

static unsigned int split_receive(struct vhost_ring *r, struct frame *f,
				  unsigned int max, struct frame_arena *arena)
{
	return vhost_receive_frames(r, f, max, arena, &split_ops);
}

static void split_done(struct vhost_ring *r)
{
	split_publish(r);
	if (split_wants_call(r))
		vhost_ring_call(r);
}

static unsigned int split_send(struct vhost_ring *r, struct frame *const *f,
			       unsigned int n, enum drop_reason *why)
{
	return vhost_send_frames(r, f, n, why, &split_ops);
}

static void split_kicks(struct vhost_ring *r, bool wanted)
{
	uint32_t event = RING_ITEMS + USED_ITEM * (uint32_t)r->size;

	if (!r->event_idx) {
		vhost_store16(r->device + RING_FLAGS,
			      wanted ? 0 : VRING_USED_F_NO_NOTIFY,
			      memory_order_seq_cst);
		split_note(r, RING_FLAGS, 2);
	} else if (wanted) {
		/* It can't be taken back: the guest kicks when it gets there,
		 * and then not again. */
		vhost_store16(r->device + event, r->avail,
			      memory_order_seq_cst);
		split_note(r, event, 2);
	}
}

static bool split_waiting(struct vhost_ring *r)
{
	return split_look(r);
}

/*
 * Where the guest's used index is something else than our position, somebody
 * has died or stopped with chains in hand; if they can be told, as those
 * between the two, they are given back unseen. Else (a front end that begins at
 * 0 whatever it had before, as DPDK's does) the used index is right.
 */
static void split_start(struct vhost_ring *r)
{
	uint16_t used =
		vhost_load16(r->device + RING_IDX, memory_order_relaxed);
	uint16_t avail = atomic_load(&r->place->avail);
	uint16_t ready = (uint16_t)(guest_idx(r) - used);

	r->used = r->avail = used;
	if (ready > r->size) {
		vhost_break(r, "more is available than the ring has");
		return;
	}
	if ((uint16_t)(avail - used) > ready)
		avail = used;
	while (r->used != avail) {
		struct vhost_taken t = { .count = 1 };

		t.id = guest_head(r, r->avail);
		if (t.id >= r->size) {
			vhost_break(r, "a chain that begins outside of the "
				       "table");
			return;
		}
		vhost_take(r, &t);
		split_step(r, &t);
		if (r->avail == avail || r->ntaken == VHOST_TAKEN_MAX)
			split_publish(r);
	}
	r->avail_seen = r->avail;
	atomic_store(&r->place->giving, r->used);
	atomic_store(&r->place->avail, r->avail);
	atomic_store(&r->place->used, r->used);
	/* Whoever was here before may have left a call undone. */
	if (split_wants_call(r))
		vhost_ring_call(r);
}

const struct vhost_ring_kind vhost_split = {
	.start = split_start,
	.kicks = split_kicks,
	.receive = split_receive,
	.done = split_done,
	.waiting = split_waiting,
	.send = split_send,
};
