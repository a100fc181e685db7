/*
 * fuzz_vhost_ring - a guest's ring, whose memory changes under the reader
 *
 * Input: four bytes for the ring's kind, size, features and memory, then a
 * script. A step is a byte and its operands: the guest writes descriptors, an
 * available index or any bytes; the switch receives, gives back, sleeps, sends,
 * dies and begins again. And the guest can have bytes written later: after so
 * many more loads of the switch, between two of one call (vhost_hook.h).
 *
 * Each piece of the guest's memory is an allocation of its own, so that a
 * sanitizer sees an access beside it.
 */
#include "ports/offload.h"
#include "ports/vhost_chain.h"
#include "tests/fuzz/vhost_hook.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define REGIONS	  6
#define BUFFERS	  3 /* the first that isn't of the ring's structures */
#define LATER_MAX 8
#define STEPS_MAX 256 /* a time limit, not one of the code */
#define LOG_BYTES 64
/* Of one call: two a descriptor and a copy of each, and what heads take. */
#define RECEIVE_LOADS_MAX (3 * (VHOST_WALK_MAX + VHOST_CHAIN_MAX) + 1024)
/* Each may be looked at twice, and once more by the chains' heads. */
#define SEND_LOADS_MAX (FRAME_BATCH_MAX * (6 * VHOST_SPREAD_MAX + 1024))
#define SUM_MAX	       256 /* bytes of a region; for speed */
#define ARENA	       (3 * FRAME_SLOT)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct later {
	uint32_t loads; /* still to come; 0: not in use */
	struct vhost_region *region;
	uint32_t off, len;
	uint8_t bytes[16];
};

static struct {
	const uint8_t *in;
	size_t left;
	uint64_t features;
	bool sends, holds; /* frames that weren't given back */
	struct vhost_ring ring;
	struct vhost_mem mem;
	struct vhost_place place;
	struct vhost_log log;
	struct later later[LATER_MAX];
	bool looking; /* the switch is at it: what is loaded counts */
	uint64_t loads;
	uint16_t made; /* packed: where the guest goes on; as a vhost_pos */
	uint8_t *arena;
	uint8_t *source; /* of the frames that are sent */
} z;

#define must(holds)                               \
	do {                                      \
		if (!(holds))                     \
			broken(__LINE__, #holds); \
	} while (0)

static void broken(int line, const char *what)
{
	fprintf(stderr, "line %d: %s\n", line, what);
	abort();
}

/* ---- the input ----------------------------------------------------------- */

static uint32_t take(unsigned int bytes)
{
	uint32_t v = 0;

	while (bytes-- && z.left) {
		v = v << 8 | *z.in++;
		z.left--;
	}
	return v;
}

/* A place in the guest's memory, and how much is behind it. */
static struct vhost_region *take_region(uint32_t *off)
{
	struct vhost_region *r = &z.mem.region[take(1) % z.mem.n];

	*off = take(2) % (uint32_t)r->size;
	return r;
}

static void take_bytes(uint8_t *to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (uint8_t)take(1);
}

static uint32_t fit(const struct vhost_region *r, uint32_t off, uint32_t len)
{
	return len < r->size - off ? len : (uint32_t)r->size - off;
}

/* ---- the guest ----------------------------------------------------------- */

void vhost_hook(void)
{
	if (!z.looking)
		return;
	z.loads++;
	for (unsigned int i = 0; i < LATER_MAX; i++) {
		struct later *l = &z.later[i];

		if (!l->loads || --l->loads)
			continue;
		for (uint32_t k = 0; k < l->len; k++)
			l->region->host[l->off + k] = l->bytes[k];
	}
}

static void guest_writes(void)
{
	uint32_t off, n = 1 + take(1) % 32;
	struct vhost_region *r = take_region(&off);

	take_bytes(r->host + off, fit(r, off, n));
}

static void guest_writes_later(void)
{
	struct later *l = &z.later[take(1) % LATER_MAX];

	l->loads = 1 + take(1);
	l->region = take_region(&l->off);
	l->len = fit(l->region, l->off, 1 + take(1) % sizeof(l->bytes));
	take_bytes(l->bytes, l->len);
}

/* A descriptor into any table, or into the ring's. */
static void store_desc(uint8_t *to, uint64_t addr, uint32_t len, uint16_t a,
		       uint16_t b)
{
	const uint64_t v[2] = { htole64(addr), htole64(len | (uint64_t)a << 32 |
						       (uint64_t)b << 48) };

	memcpy(to, v, sizeof(v));
}

static uint32_t take_len(void)
{
	uint32_t v = take(2);

	return v < 0xff00 ? v : v << 16 | v;
}

static void guest_describes(void)
{
	uint32_t off, at = take(1), len, flags, next;
	const struct vhost_region *to = take_region(&off);
	uint64_t addr = to->guest + off;
	struct vhost_region *table = &z.mem.region[0];

	len = take_len();
	flags = take(1) & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE |
			   VRING_DESC_F_INDIRECT);
	next = take(1);
	if (at & 0x80) /* a table for an indirect one */
		table = &z.mem.region[BUFFERS];
	if (table->size < 16)
		return;
	at = at % 0x80 % (uint32_t)(table->size / 16) * 16;
	if (!z.ring.packed) {
		store_desc(table->host + at, addr, len, (uint16_t)flags,
			   (uint16_t)next);
		return;
	}
	/* Made available in the guest's lap. */
	flags |= z.made & 0x8000 ? 1u << VRING_PACKED_DESC_F_AVAIL
				 : 1u << VRING_PACKED_DESC_F_USED;
	if (table == &z.mem.region[0])
		at = (z.made & 0x7fff) * 16u;
	store_desc(table->host + at, addr, len, (uint16_t)next,
		   (uint16_t)flags);
	if (table != &z.mem.region[0])
		return;
	if ((z.made & 0x7fff) + 1 == z.ring.size)
		z.made = ~z.made & 0x8000;
	else
		z.made++;
}

/* So many heads, one behind the other. */
static void guest_makes_available(void)
{
	uint32_t n = take(1) % 80, head = take(1);
	uint8_t *avail = z.ring.driver;
	uint16_t idx;

	if (z.ring.packed)
		return;
	idx = (uint16_t)(avail[2] | avail[3] << 8);
	while (n--) {
		uint8_t *item = avail + 4 + 2u * (idx++ & (z.ring.size - 1u));

		item[0] = (uint8_t)head;
		item[1] = 0;
		head = (head + 1) % z.ring.size;
	}
	avail[2] = (uint8_t)idx;
	avail[3] = (uint8_t)(idx >> 8);
}

/* ---- what must hold ------------------------------------------------------ */

static void check_positions(void)
{
	const struct vhost_ring *r = &z.ring;

	must(r->ntaken <= VHOST_TAKEN_MAX);
	if (!r->running || r->broken)
		return;
	must(r->held <= r->size);
	must(atomic_load(&z.place.used) == r->used);
	must(atomic_load(&z.place.avail) == r->avail);
	must(atomic_load(&z.place.giving) == r->used);
	if (r->packed)
		must((r->avail & 0x7fff) < r->size &&
		     (r->used & 0x7fff) < r->size);
	else
		must((uint16_t)(r->avail - r->used) <= r->size);
	if (!z.holds)
		must(r->avail == r->used && !r->held);
}

static void check_segment(const struct iovec *seg)
{
	const uint8_t *p = seg->iov_base;
	bool in = false;

	must(seg->iov_len > 0);
	for (uint32_t i = 0; i < z.mem.n; i++) {
		const struct vhost_region *r = &z.mem.region[i];

		in |= p >= r->host && p < r->host + r->size &&
		      seg->iov_len <= (size_t)(r->host + r->size - p);
	}
	must(in);
}

static void check_frame(const struct frame *f, const uint8_t *behind)
{
	uint64_t len = f->head_len;

	must(f->data >= behind + FRAME_HEADROOM);
	must(f->data + f->head_len <= z.arena + ARENA);
	must(f->nsegs <= FRAME_SEGS_MAX);
	for (unsigned int i = 0; i < f->nsegs; i++) {
		check_segment(&f->segs[i]);
		len += f->segs[i].iov_len;
	}
	/* One that the pipeline drops by its length has no more than a head. */
	if (f->len > FRAME_LEN_MAX)
		must(!f->nsegs && len <= FRAME_LEN_MAX);
	else
		must(len == f->len);
	must(f->head_len >= (f->len < VHOST_HEAD ? f->len : VHOST_HEAD));
	must(!(f->vnet.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM));
	must(!f->came_tagged && !f->tagged);
	/* It is ours to write to. */
	memset(f->data - FRAME_HEADROOM, 0x5a, FRAME_HEADROOM + f->head_len);
}

static uint64_t sum_of_memory(uint32_t first)
{
	uint64_t sum = 0;

	for (uint32_t i = first; i < z.mem.n; i++)
		for (uint64_t k = 0; k < z.mem.region[i].size && k < SUM_MAX;
		     k++)
			sum = sum * 31 + z.mem.region[i].host[k];
	return sum;
}

static bool guest_moves(void)
{
	for (unsigned int i = 0; i < LATER_MAX; i++)
		if (z.later[i].loads)
			return true;
	return false;
}

/* ---- the switch ---------------------------------------------------------- */

static void switch_gives_back(void)
{
	if (z.holds)
		vhost_ring_done(&z.ring);
	z.holds = false;
}

static void switch_receives(void)
{
	struct frame_arena arena = { z.arena, ARENA, 0 };
	unsigned int max = 1 + take(1) % FRAME_BATCH_MAX, n;
	const uint8_t *behind = z.arena;
	struct frame f[FRAME_BATCH_MAX];
	bool well = z.ring.running && !z.ring.broken;
	uint64_t loads;

	if (z.sends)
		return;
	switch_gives_back();
	loads = z.loads;
	n = vhost_ring_receive(&z.ring, f, max, &arena);
	must(z.loads - loads < RECEIVE_LOADS_MAX);
	must(n <= max && (well || !n));
	must(n == z.ring.ntaken || !well);
	must(arena.used <= arena.size);
	for (unsigned int i = 0; i < n; i++) {
		check_frame(&f[i], behind);
		behind = f[i].data + f[i].head_len;
	}
	z.holds = n > 0;
}

static void make_frame(struct frame *f, struct iovec *segs)
{
	uint32_t len = take(2), shape = take(1), n = shape & 3, each;
	static const uint8_t gso[] = {
		VIRTIO_NET_HDR_GSO_NONE,
		VIRTIO_NET_HDR_GSO_TCPV4,
		VIRTIO_NET_HDR_GSO_UDP_L4,
		VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN,
	};

	if (len < ETHER_HEADER_LEN)
		len = ETHER_HEADER_LEN;
	frame_init(f, z.source + FRAME_HEADROOM, len);
	f->vnet.flags = shape & 4 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
	f->vnet.gso_type = gso[shape >> 3 & 3];
	if (!n || len < 2 * VHOST_HEAD)
		return;
	f->head_len = VHOST_HEAD;
	each = (len - VHOST_HEAD) / n;
	for (uint32_t i = 0; i < n; i++)
		segs[i] = (struct iovec){
			z.source + FRAME_HEADROOM + VHOST_HEAD + i * each,
			i + 1 < n ? each : len - VHOST_HEAD - i * each
		};
	f->nsegs = (uint8_t)n;
	f->segs = segs;
}

static void switch_sends(void)
{
	unsigned int n = 1 + take(1) % FRAME_BATCH_MAX, sent;
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame *list[FRAME_BATCH_MAX], f[4];
	struct iovec segs[COUNT(f)][FRAME_SEGS_MAX];
	bool well = z.ring.running && !z.ring.broken;
	uint64_t loads = z.loads;

	if (!z.sends)
		return;
	for (unsigned int i = 0; i < COUNT(f) && i < n; i++)
		make_frame(&f[i], segs[i]);
	for (unsigned int i = 0; i < n; i++)
		list[i] = &f[i % COUNT(f)];
	sent = vhost_ring_send(&z.ring, list, n, &why);
	must(z.loads - loads < SEND_LOADS_MAX);
	must(sent <= n && (well || !sent));
	must((why == DROP_REASON_COUNT) == (sent == n));
	if (z.ring.broken && sent < n)
		must(why == DROP_LINK_DOWN || why == DROP_GSO);
}

static void switch_sleeps(void)
{
	switch_gives_back();
	if (!vhost_ring_sleep(&z.ring))
		must(z.ring.awake && !z.ring.broken);
}

static void switch_begins(void)
{
	bool good = vhost_ring_start(&z.ring) == 0;

	must(good == !z.ring.broken && good == z.ring.running);
	z.holds = false;
}

/* Stopped in order, or killed: with frames in hand, and perhaps by somebody who
 * then has changed what the next one gets. */
static void switch_begins_again(void)
{
	uint32_t how = take(1), off;

	if (how & 1)
		switch_gives_back();
	if (how & 2)
		vhost_ring_stop(&z.ring);
	if (how & 4) {
		off = take(2) % (uint32_t)sizeof(z.place);
		*((uint8_t *)&z.place + off) = (uint8_t)take(1);
	}
	if (how & 8)
		atomic_store(&z.place.giving, (uint16_t)take(2));
	z.ring.running = false;
	switch_begins();
}

/* A ring that doesn't run or is broken isn't touched. */
static void step(void (*f)(void), uint32_t readable)
{
	bool dead = !z.ring.running || z.ring.broken;
	bool still = !guest_moves();
	uint64_t loads = z.loads, sum = sum_of_memory(dead ? 0 : readable);

	z.looking = true;
	f();
	z.looking = false;
	if (dead)
		must(loads == z.loads);
	if (dead || still)
		must(sum == sum_of_memory(dead ? 0 : readable));
	check_positions();
}

static void one_step(void)
{
	switch (take(1) % 10) {
	case 0:
		guest_writes();
		break;
	case 1:
		guest_writes_later();
		break;
	case 2:
	case 3:
		guest_describes();
		break;
	case 4:
		guest_makes_available();
		break;
	case 5:
		/* Of all the guest's memory a reader changes the ring only. */
		step(switch_receives, BUFFERS);
		break;
	case 6:
		step(switch_gives_back, BUFFERS);
		break;
	case 7:
		step(switch_sleeps, BUFFERS);
		break;
	case 8:
		step(switch_sends, REGIONS);
		break;
	default:
		z.looking = true;
		switch_begins_again();
		z.looking = false;
		check_positions();
		break;
	}
}

/* ---- what there is ------------------------------------------------------- */

static void add_region(uint64_t guest, uint64_t size)
{
	struct vhost_region *r = &z.mem.region[z.mem.n++];
	void *host;

	r->guest = guest;
	r->size = size;
	r->user = guest;
	/* Exactly so much, and aligned as a ring has to be. */
	must(posix_memalign(&host, VHOST_REGION_ALIGN, size) == 0);
	memset(host, 0, size);
	r->host = host;
}

static uint64_t next_guest(bool apart)
{
	const struct vhost_region *r;

	if (!z.mem.n)
		return 0x1000;
	r = &z.mem.region[z.mem.n - 1];
	return apart ? (uint64_t)z.mem.n << 40 : r->guest + r->size;
}

static void make_memory(uint32_t shape)
{
	static const uint32_t sizes[] = { 16,	100,  256,   1000,
					  2048, 4096, 10000, FRAME_SLOT };
	uint32_t n = z.ring.size ? z.ring.size : 1;
	bool apart = shape & 0x80;

	add_region(next_guest(apart), 16ull * n);
	add_region(next_guest(apart), z.ring.packed ? 4 : 6 + 2ull * n);
	add_region(next_guest(apart), z.ring.packed ? 4 : 6 + 8ull * n);
	for (unsigned int i = 0; i < 1 + (shape >> 5 & 3) % 3; i++)
		add_region(next_guest(apart), sizes[(shape + 3 * i) & 7]);
	z.ring.desc = z.mem.region[0].host;
	z.ring.driver = z.mem.region[1].host;
	z.ring.device = z.mem.region[2].host;
}

static void make_ring(void)
{
	static const uint16_t sizes[] = { 1,   2, 4, 8, 16,  32, 64,  128,
					  256, 3, 5, 7, 100, 0,	 200, 512 };
	static const unsigned int features[] = {
		VIRTIO_RING_F_EVENT_IDX, VIRTIO_NET_F_MRG_RXBUF,
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
		VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6,
	};
	uint32_t kind = take(1), want = take(1), shape;

	z.ring = (struct vhost_ring){ .mem = &z.mem,
				      .log = &z.log,
				      .place = &z.place,
				      .kick = -1,
				      .call = -1 };
	z.sends = kind & 2;
	z.ring.packed = kind & 1; /* as it will be: make_memory() asks */
	z.ring.size = sizes[kind >> 4];
	z.ring.features = (uint64_t)(kind & 1) << VIRTIO_F_RING_PACKED;
	for (unsigned int i = 0; i < COUNT(features); i++)
		if (want & 1u << i)
			z.ring.features |= 1ull << features[i];
	shape = take(1);
	make_memory(shape);
	if (want & 0x40) {
		z.log.bits = calloc(1, LOG_BYTES);
		must(z.log.bits);
		z.log.bytes = LOG_BYTES;
		z.ring.log_device = want & 0x80;
		z.ring.log_addr = z.mem.region[2].guest;
	}
	memset(&z.place, 0, sizeof(z.place));
	if (kind & 1) { /* packed: both wrap counters begin as 1 */
		atomic_store(&z.place.avail, 0x8000);
		atomic_store(&z.place.used, 0x8000);
		atomic_store(&z.place.giving, 0x8000);
		z.made = 0x8000;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *arena = z.arena, *source = z.source;

	memset(&z, 0, sizeof(z));
	z.in = data;
	z.left = size;
	z.arena = arena ? arena : malloc(ARENA);
	z.source = source ? source : calloc(1, FRAME_SLOT);
	must(z.arena && z.source);
	make_ring();
	switch_begins();
	check_positions();
	/* Guests' positions are of the ring; one without isn't there. */
	for (unsigned int i = 0; z.ring.size && z.left && i < STEPS_MAX; i++)
		one_step();
	vhost_ring_stop(&z.ring);
	for (uint32_t i = 0; i < z.mem.n; i++)
		free(z.mem.region[i].host);
	free(z.log.bits);
	return 0;
}
