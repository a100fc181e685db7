#include "ports/vhost_ring.h"

#include "ports/vhost_chain.h"

#define DESC  ((uint32_t)sizeof(struct vring_packed_desc))
#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Offsets in the event structures (VIRTIO 1.2 2.8.14). */
#define EVENT_DESC  0
#define EVENT_FLAGS 2

static uint16_t pos_index(vhost_pos p)
{
	return p & (WRAP - 1);
}

static vhost_pos pos_add(const struct vhost_ring *r, vhost_pos p, uint32_t n)
{
	uint32_t index = pos_index(p) + n;

	if (index < r->size)
		return (vhost_pos)((p & WRAP) | index);
	return (vhost_pos)((~p & WRAP) | (index - r->size));
}

/* From one to the other, in descriptors; positions repeat after two laps. */
static uint32_t pos_between(const struct vhost_ring *r, vhost_pos from,
			    vhost_pos to)
{
	uint32_t a = pos_index(from) + (from & WRAP ? 0 : r->size);
	uint32_t b = pos_index(to) + (to & WRAP ? 0 : r->size);

	return b >= a ? b - a : b + 2u * r->size - a;
}

static uint8_t *desc_at(const struct vhost_ring *r, vhost_pos p)
{
	return r->desc + DESC * pos_index(p);
}

/* Has the guest made it available in this lap? */
static bool available(vhost_pos p, uint16_t flags)
{
	bool wrap = p & WRAP;

	return !(flags & AVAIL) != wrap && !(flags & USED) == wrap;
}

/*
 * Length, id and flags are one word: they come and go at once, and what else is
 * read of the descriptor is read after it. x86 reads in order by itself (Intel
 * SDM 3A 9.2.2); saying no more than that leaves the compiler its registers,
 * which is a third of what sending a small frame costs.
 */
static uint64_t load_word(const struct vhost_ring *r, vhost_pos p)
{
	const void *word = desc_at(r, p) + 8;

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	return vhost_load64(word);
#else
	return le64toh(atomic_load_explicit((const _Atomic uint64_t *)word,
					    memory_order_seq_cst));
#endif
}

static void store_word(const struct vhost_ring *r, vhost_pos p, uint64_t v,
		       memory_order order)
{
	void *word = desc_at(r, p) + 8;

	atomic_store_explicit((_Atomic uint64_t *)word, htole64(v), order);
}

static uint16_t word_flags(uint64_t word)
{
	return (uint16_t)(word >> 48);
}

/* The descriptor of this word, which is there as a whole. */
static inline void load_desc(const struct vhost_ring *r, vhost_pos p,
			     uint64_t word, struct vhost_desc *d)
{
	d->addr = vhost_load64(desc_at(r, p));
	d->len = (uint32_t)word;
	d->next = (uint16_t)(word >> 32);
	d->flags = word_flags(word);
}

static inline bool packed_head(struct vhost_ring *r, struct vhost_head *h)
{
	uint64_t word;

	if (r->held >= r->size)
		return false;
	word = load_word(r, r->avail);
	if (!available(r->avail, word_flags(word)))
		return false;
	load_desc(r, r->avail, word, &h->d);
	h->taken.id = h->d.next;
	h->taken.count = 1;
	return true;
}

/* The chain has to be walked to its end: there is its id. */
static bool packed_gather(struct vhost_ring *r, struct vhost_head *h,
			  struct vhost_chain *c)
{
	struct vhost_desc d = h->d;
	vhost_pos at = r->avail;

	if (d.flags & VRING_DESC_F_INDIRECT)
		return vhost_chain_indirect(r, c, &d, false);
	for (uint32_t n = 1; n <= VHOST_CHAIN_MAX; n++) {
		if (d.flags & VRING_DESC_F_INDIRECT)
			return vhost_break(r, "an indirect table within a "
					      "chain");
		if (c->len >= c->want)
			c->walked++;
		else if (!vhost_chain_add(r, c, &d))
			return false;
		h->taken.id = d.next;
		h->taken.count = (uint16_t)n;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		if (r->held + n >= r->size)
			return vhost_break(r, "a chain longer than the ring");
		at = pos_add(r, at, 1);
		load_desc(r, at, load_word(r, at), &d);
	}
	return vhost_break(r, "a chain of too many descriptors");
}

static inline void packed_step(struct vhost_ring *r,
			       const struct vhost_taken *t)
{
	r->avail = pos_add(r, r->avail, t->count);
	r->held = (uint16_t)(r->held + t->count);
}

/* A used descriptor, as the guest is to find it. */
static uint64_t used_word(vhost_pos p, const struct vhost_taken *t)
{
	uint64_t flags = p & WRAP ? AVAIL | USED : 0;

	if (t->len)
		flags |= VRING_DESC_F_WRITE;
	return t->len | (uint64_t)t->id << 32 | flags << 48;
}

/* A descriptor was written to. Not before that: the page may be copied, and the
 * log cleared, in between. */
static void note_desc(const struct vhost_ring *r, vhost_pos at)
{
	if (r->log_device)
		vhost_note(r, r->log_desc + DESC * pos_index(at), DESC);
}

/* The first comes last: with it the guest sees all of them. Can be done twice.
 * Returns where `used` is then. */
static vhost_pos write_used(struct vhost_ring *r, uint32_t n)
{
	const struct vhost_taken *t = r->place->taken;
	vhost_pos at = r->used;

	for (uint32_t i = 0; i < n; i++) {
		if (i) {
			store_word(r, at, used_word(at, &t[i]),
				   memory_order_relaxed);
			note_desc(r, at);
		}
		at = pos_add(r, at, t[i].count);
	}
	store_word(r, r->used, used_word(r->used, &t[0]), memory_order_seq_cst);
	note_desc(r, r->used);
	return at;
}

/* Now it is given back; the next process needs nothing of it. */
static void packed_given(struct vhost_ring *r)
{
	atomic_store_explicit(&r->place->avail, r->avail, memory_order_release);
	atomic_store_explicit(&r->place->used, r->used, memory_order_release);
	r->ntaken = r->held = 0;
}

static void packed_publish(struct vhost_ring *r)
{
	struct vhost_place *place = r->place;

	atomic_store_explicit(&place->ntaken, r->ntaken, memory_order_release);
	/* All that is held is given back, always. */
	atomic_store_explicit(&place->giving, r->avail, memory_order_release);
	r->used = write_used(r, r->ntaken);
	packed_given(r);
}

/* In an order as split_wants_call() has it. */
static bool packed_wants_call(struct vhost_ring *r)
{
	vhost_pos old = r->signalled, event;
	bool valid = r->signalled_valid;
	uint16_t flags;

	r->signalled = r->used;
	r->signalled_valid = true;
	flags = vhost_load16(r->driver + EVENT_FLAGS, memory_order_seq_cst);
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx || !valid)
		return true;
	event = vhost_load16(r->driver + EVENT_DESC, memory_order_relaxed);
	if (pos_index(event) >= r->size)
		return true;
	return pos_between(r, old, event) < pos_between(r, old, r->used);
}

static inline bool packed_expect(struct vhost_ring *r, unsigned int n)
{
	(void)r; /* they lie one behind the other: it sees that itself */
	(void)n;
	return true;
}

static const struct vhost_chain_ops packed_ops = {
	.head = packed_head,
	.gather = packed_gather,
	.step = packed_step,
	.publish = packed_publish,
	.wants_call = packed_wants_call,
	.expect = packed_expect,
};

static unsigned int packed_receive(struct vhost_ring *r, struct frame *f,
				   unsigned int max, struct frame_arena *arena)
{
	return vhost_receive_frames(r, f, max, arena, &packed_ops);
}

static void packed_done(struct vhost_ring *r)
{
	packed_publish(r);
	if (packed_wants_call(r))
		vhost_ring_call(r);
}

static unsigned int packed_send(struct vhost_ring *r, struct frame *const *f,
				unsigned int n, enum drop_reason *why)
{
	return vhost_send_frames(r, f, n, why, &packed_ops);
}

static void packed_kicks(struct vhost_ring *r, bool wanted)
{
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

	if (wanted && r->event_idx) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		vhost_store16(r->device + EVENT_DESC, r->avail,
			      memory_order_relaxed);
	} else if (wanted) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	vhost_store16(r->device + EVENT_FLAGS, flags, memory_order_seq_cst);
	if (r->log_device)
		vhost_note(r, r->log_addr,
			   sizeof(struct vring_packed_desc_event));
}

static bool packed_waiting(struct vhost_ring *r)
{
	return available(r->avail, word_flags(load_word(r, r->avail)));
}

/* Guest address of what lies here. */
static uint64_t guest_address(const struct vhost_ring *r, const uint8_t *host)
{
	for (uint32_t i = 0; i < r->mem->n; i++) {
		const struct vhost_region *g = &r->mem->region[i];

		if ((uintptr_t)host - (uintptr_t)g->host < g->size)
			return g->guest + (uint64_t)(host - g->host);
	}
	return UINT64_MAX; /* which no log has a bit for */
}

/* What another process was giving back: the first descriptor says whether the
 * guest has seen it. */
static void finish_giving(struct vhost_ring *r, vhost_pos giving)
{
	uint32_t n = atomic_load(&r->place->ntaken), count = 0;
	uint16_t flags = word_flags(load_word(r, r->used));

	for (uint32_t i = 0; i < n && n <= VHOST_TAKEN_MAX; i++)
		count += r->place->taken[i].count;
	if (n > VHOST_TAKEN_MAX || count > r->size ||
	    (n && count != pos_between(r, r->used, giving))) {
		vhost_break(r, "positions that can't be");
		return;
	}
	/* None: it has jumped, see give_back(). */
	if (!n || !(flags & USED) == !(r->used & WRAP))
		r->used = giving;
	else
		r->used = write_used(r, n);
	r->avail = r->used;
	packed_given(r);
}

/*
 * Chains that somebody has taken and not given back lie there as the guest has
 * made them: they are given back unseen. Where there are no such chains (a
 * front end that speaks of `avail` only, as DPDK's does) `used` was wrong.
 */
static void give_back(struct vhost_ring *r, vhost_pos avail)
{
	struct vhost_head h;

	while (r->avail != avail && pos_between(r, r->used, avail) <= r->size) {
		struct vhost_chain c;

		c.write = false;
		c.want = 0; /* just its end and its id */
		c.len = c.walked = c.n = 0;
		if (!packed_head(r, &h) || !packed_gather(r, &h, &c))
			break;
		h.taken.len = 0;
		vhost_take(r, &h.taken);
		packed_step(r, &h.taken);
		if (r->avail == avail || r->ntaken == VHOST_TAKEN_MAX)
			packed_publish(r);
	}
	if (r->used == avail)
		return;
	r->broken = NULL;
	r->used = r->avail = avail;
	atomic_store(&r->place->ntaken, 0);
	atomic_store(&r->place->giving, avail);
	packed_given(r);
}

static void packed_start(struct vhost_ring *r)
{
	struct vhost_place *place = r->place;
	vhost_pos avail = atomic_load(&place->avail);
	vhost_pos giving = atomic_load(&place->giving);

	r->used = atomic_load(&place->used);
	r->avail = r->used;
	r->log_desc = guest_address(r, r->desc);
	if (pos_index(r->used) >= r->size || pos_index(avail) >= r->size ||
	    pos_index(giving) >= r->size) {
		vhost_break(r, "positions that can't be");
		return;
	}
	if (giving != r->used)
		finish_giving(r, giving);
	else if (avail != r->used)
		give_back(r, avail);
	if (!r->broken && packed_wants_call(r))
		vhost_ring_call(r);
}

const struct vhost_ring_kind vhost_packed = {
	.start = packed_start,
	.kicks = packed_kicks,
	.receive = packed_receive,
	.done = packed_done,
	.waiting = packed_waiting,
	.send = packed_send,
};
