#include "ports/vhost_ring.h"

#include "ports/vhost_call.h"
#include "ports/vhost_chain.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- chains ---- */

bool vhost_chain_add(struct vhost_ring *r, struct vhost_chain *c,
		     const struct vhost_desc *d)
{
	uint64_t guest = d->addr, left = d->len;

	c->walked++;
	if (!(d->flags & VRING_DESC_F_WRITE) == c->write)
		return vhost_break(r, c->write ? "a buffer for a frame that "
						 "can't be written to"
					       : "a frame in a buffer that "
						 "can't be read");
	if (c->write && c->walked > VHOST_SPREAD_MAX)
		return vhost_break(r, "a chain of too many descriptors");
	if (c->len + left > c->want)
		left = c->len < c->want ? c->want - c->len : 0;
	c->len += d->len;
	while (left) {
		struct vhost_piece *p = &c->piece[c->n];
		uint64_t len = left;

		if (c->n == VHOST_CHAIN_MAX)
			return vhost_break(r, "a frame in too many pieces");
		p->host = vhost_mem_at(r->mem, guest, &len, &r->hint);
		if (!p->host)
			return vhost_break(r, "a descriptor outside of the "
					      "guest's memory");
		p->guest = guest;
		p->len = (uint32_t)len;
		c->n++;
		guest += len;
		left -= len;
	}
	return true;
}

/* One of a table's, wherever it lies: the table may cross regions. */
static bool table_desc(struct vhost_ring *r, uint64_t guest,
		       struct vhost_desc *d)
{
	uint8_t copy[sizeof(struct vring_desc)];
	uint32_t done = 0;

	while (done < sizeof(copy)) {
		uint64_t len = sizeof(copy) - done;
		uint8_t *p = vhost_mem_at(r->mem, guest + done, &len, &r->hint);

		if (!p)
			return vhost_break(r, "an indirect table outside of "
					      "the guest's memory");
		if (len == sizeof(copy)) {
			vhost_desc_load(d, p);
			return true;
		}
		memcpy(copy + done, p, len);
		done += (uint32_t)len;
	}
	vhost_desc_load(d, copy);
	return true;
}

bool vhost_chain_indirect(struct vhost_ring *r, struct vhost_chain *c,
			  const struct vhost_desc *table, bool linked)
{
	uint32_t n = table->len / sizeof(struct vring_desc), i = 0;
	struct vhost_desc d;

	if (!n || table->len % sizeof(struct vring_desc) || n > VHOST_SIZE_MAX)
		return vhost_break(r, "an indirect table of impossible length");
	if (table->flags & VRING_DESC_F_NEXT)
		return vhost_break(r, "an indirect table that goes on");
	for (uint32_t left = VHOST_CHAIN_MAX; left; left--) {
		if (!table_desc(r, table->addr + 16ull * i, &d))
			return false;
		if (!linked) /* flags come last there, and one counts */
			d.flags = d.next & VRING_DESC_F_WRITE;
		if (d.flags & VRING_DESC_F_INDIRECT)
			return vhost_break(r, "an indirect table in another");
		if (!vhost_chain_add(r, c, &d))
			return false;
		if (c->len >= c->want)
			return true;
		if (linked && !(d.flags & VRING_DESC_F_NEXT))
			return true;
		i = linked ? d.next : i + 1;
		if (i >= n && linked)
			return vhost_break(r, "an indirect descriptor outside "
					      "of its table");
		if (i >= n)
			return true;
	}
	return vhost_break(r, "a chain of too many descriptors");
}

/* ---- frames of any shape ---- */

/* A place in a chain. */
struct spot {
	const struct vhost_piece *p;
	uint32_t left, off; /* pieces, bytes of the first that are done */
};

static uint32_t spot_part(const struct spot *s, uint32_t n)
{
	uint32_t left = s->p->len - s->off;

	return left < n ? left : n;
}

static void spot_skip(struct spot *s, uint32_t part)
{
	s->off += part;
	if (s->off == s->p->len) {
		s->p++;
		s->left--;
		s->off = 0;
	}
}

/* n bytes, or all that there are. Returns how many. */
static uint32_t spot_read(struct spot *s, uint8_t *to, uint32_t n)
{
	uint32_t done = 0;

	while (done < n && s->left) {
		uint32_t part = spot_part(s, n - done);

		vhost_copy(to + done, s->p->host + s->off, part);
		spot_skip(s, part);
		done += part;
	}
	return done;
}

/* There is room for them. */
static void spot_write(struct vhost_ring *r, struct spot *s,
		       const uint8_t *from, uint32_t n)
{
	while (n) {
		uint32_t part = spot_part(s, n);

		vhost_copy(s->p->host + s->off, from, part);
		vhost_note(r, s->p->guest + s->off, part);
		spot_skip(s, part);
		from += part;
		n -= part;
	}
}

/* The rest of the chain as segments, `left` bytes of it. */
static void spot_segments(struct spot *s, struct frame *f, struct iovec *segs,
			  uint32_t left)
{
	f->segs = segs;
	while (left) {
		uint32_t part = spot_part(s, left);

		segs[f->nsegs++] = (struct iovec){ s->p->host + s->off, part };
		spot_skip(s, part);
		left -= part;
	}
}

/* The vnet header, which is in one piece mostly. False: there is less. */
static bool spot_vnet(struct spot *s, struct frame *f)
{
	uint8_t header[ETHER_VNET_LEN];

	if (s->left && s->p->len >= sizeof(header)) {
		vhost_vnet_load(f, s->p->host);
		spot_skip(s, sizeof(header));
		return true;
	}
	if (spot_read(s, header, sizeof(header)) < sizeof(header))
		return false;
	vhost_vnet_load(f, header);
	return true;
}

void vhost_chain_receive(const struct vhost_chain *c, struct frame *f,
			 struct iovec *segs, struct frame_arena *arena)
{
	struct spot s = { c->piece, c->n, 0 };
	uint8_t *data = frame_arena_peek(arena);

	frame_init(f, data, 0);
	if (spot_vnet(&s, f)) {
		uint64_t len = c->len - ETHER_VNET_LEN;

		f->len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
		f->head_len = spot_read(
			&s, data, f->len < VHOST_HEAD ? f->len : VHOST_HEAD);
		/* Of one that is too long nobody looks at more. */
		if (f->len <= FRAME_LEN_MAX && s.left <= FRAME_SEGS_MAX)
			spot_segments(&s, f, segs, f->len - f->head_len);
		else if (f->len <= FRAME_LEN_MAX)
			f->head_len += spot_read(&s, data + f->head_len,
						 f->len - f->head_len);
	}
	frame_arena_take(arena, f->head_len);
}

void vhost_chain_send(struct vhost_ring *r, const struct frame *f,
		      const struct vhost_chain *c, uint16_t buffers)
{
	struct spot s = { c->piece, c->n, 0 };

	if (s.p->len >= ETHER_VNET_LEN) {
		vhost_vnet_store(r, s.p->host, f, buffers);
		vhost_note(r, s.p->guest, ETHER_VNET_LEN);
		spot_skip(&s, ETHER_VNET_LEN);
	} else {
		uint8_t header[ETHER_VNET_LEN];

		vhost_vnet_store(r, header, f, buffers);
		spot_write(r, &s, header, sizeof(header));
	}
	spot_write(r, &s, f->data, f->head_len);
	for (unsigned int i = 0; i < f->nsegs; i++)
		spot_write(r, &s, f->segs[i].iov_base,
			   (uint32_t)f->segs[i].iov_len);
}

/* ---- the ring ---- */

static const struct vhost_ring_kind *kind(const struct vhost_ring *r)
{
	return r->packed ? &vhost_packed : &vhost_split;
}

static bool alive(const struct vhost_ring *r)
{
	return r->running && !r->broken;
}

/* Only whoever holds the ring's lock adds. */
static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(
		counter,
		atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

uint32_t vhost_ring_offloads(uint64_t features)
{
	static const struct {
		unsigned int bit;
		uint32_t offload;
	} row[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, PORT_TX_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, PORT_TX_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, PORT_TX_ECN },
		{ VIRTIO_NET_F_GUEST_UFO, PORT_TX_UFO },
	};
	uint32_t offloads = PORT_TX_CSUM;

	/* All others need it (5.1.3.1). */
	if (!(features & 1ull << VIRTIO_NET_F_GUEST_CSUM))
		return 0;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (features & 1ull << row[i].bit)
			offloads |= row[i].offload;
	/* A header doesn't say which of the two it is. */
	if (features & 1ull << VIRTIO_NET_F_GUEST_USO4 &&
	    features & 1ull << VIRTIO_NET_F_GUEST_USO6)
		offloads |= PORT_TX_USO;
	return offloads;
}

/* Returns whether it has been. Where it is readable anyway it isn't. */
static bool tell(struct vhost_ring *r, int fd)
{
	int rc = vhost_call(fd);

	if (rc == -EINTR) {
		r->held_up = true;
		vhost_break(r, VHOST_CALL_HELD_UP);
	}
	return rc == 0;
}

void vhost_ring_call(struct vhost_ring *r)
{
	if (r->call < 0)
		return;
	tell(r, r->call);
	add(&r->calls, 1);
}

/* The rings' structures are aligned (VIRTIO 1.2 2.7, 2.8). */
static bool misaligned(const struct vhost_ring *r)
{
	return (uintptr_t)r->desc % 16 || (uintptr_t)r->device % 4 ||
	       (uintptr_t)r->driver % (r->packed ? 4 : 2);
}

static void check(struct vhost_ring *r)
{
	if (!r->size || r->size > VHOST_SIZE_MAX)
		vhost_break(r, "a queue size that can't be");
	else if (!r->packed && r->size & (r->size - 1))
		vhost_break(r, "a queue size that isn't a power of two");
	else if (misaligned(r))
		vhost_break(r, "a misaligned ring");
}

int vhost_ring_start(struct vhost_ring *r)
{
	r->packed = r->features & 1ull << VIRTIO_F_RING_PACKED;
	r->event_idx = r->features & 1ull << VIRTIO_RING_F_EVENT_IDX;
	r->offloads = vhost_ring_offloads(r->features);
	r->hidden = UINT8_MAX;
	if (r->offloads & PORT_TX_CSUM)
		r->hidden = (uint8_t) ~(VIRTIO_NET_HDR_F_NEEDS_CSUM |
					VIRTIO_NET_HDR_F_DATA_VALID);
	r->running = false;
	r->broken = NULL;
	r->held_up = false;
	r->hint = 0;
	r->ntaken = r->held = 0;
	r->signalled_valid = false;
	check(r);
	if (!r->broken)
		kind(r)->start(r);
	if (r->broken)
		return -EINVAL;
	r->running = true;
	r->awake = false;
	kind(r)->kicks(r, true);
	r->kicked = 0;
	if (r->kick >= 0 && tell(r, r->kick))
		r->kicked = 1;
	if (r->broken) {
		r->running = false;
		return -EINVAL;
	}
	return 0;
}

void vhost_ring_stop(struct vhost_ring *r)
{
	r->running = false;
	r->ntaken = 0;
}

static void wake(struct vhost_ring *r)
{
	r->awake = true;
	kind(r)->kicks(r, false);
}

int vhost_kick_read(int fd, uint64_t *n)
{
	struct iovec iov = { n, sizeof(*n) };
	ssize_t got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (got < 0)
		return -errno;
	return got == sizeof(*n) ? 0 : -EINVAL;
}

/* Take the kick; readable once more with the next one. */
static void take_kick(struct vhost_ring *r)
{
	uint64_t n;

	if (r->kick < 0 || vhost_kick_read(r->kick, &n) < 0)
		return;
	add(&r->kicks, n - (n < r->kicked ? n : r->kicked));
	r->kicked = 0;
}

unsigned int vhost_ring_receive(struct vhost_ring *r, struct frame *f,
				unsigned int max, struct frame_arena *arena)
{
	unsigned int n;

	if (!alive(r))
		return 0;
	if (!r->awake) {
		wake(r);
		take_kick(r);
	}
	n = kind(r)->receive(r, f, max, arena);
	atomic_store_explicit(&r->place->avail, r->avail, memory_order_release);
	add(&r->frames, n);
	return n;
}

void vhost_ring_done(struct vhost_ring *r)
{
	if (alive(r) && r->ntaken)
		kind(r)->done(r);
}

/*
 * What was taken away reads as zeros, which may look like a ring in which
 * nothing happens: who finds nothing there asks.
 */
static bool lost(struct vhost_ring *r)
{
	if (__builtin_expect(!vhost_mem_lost(r->mem), 1))
		return false;
	vhost_break(r, "the front end has taken memory away");
	return true;
}

bool vhost_ring_sleep(struct vhost_ring *r)
{
	if (!alive(r))
		return true;
	kind(r)->kicks(r, true);
	/* The guest makes something available, then looks whether we want a
	 * kick; all of it sequentially consistent: one sees the other. */
	if (kind(r)->waiting(r)) {
		wake(r);
		return false;
	}
	r->awake = false;
	(void)lost(r);
	return true;
}

unsigned int vhost_ring_send(struct vhost_ring *r, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	unsigned int sent;

	if (!alive(r)) {
		*why = DROP_LINK_DOWN;
		return 0;
	}
	if (!r->awake) /* that there are buffers again isn't worth a kick */
		wake(r);
	sent = kind(r)->send(r, f, n, why);
	if (sent < n)
		(void)lost(r);
	add(&r->frames, sent);
	return sent;
}
