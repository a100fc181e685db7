/*
 * vhost_rig - a ring between a driver and vhost_ring, in plain memory
 *
 * A guest of 8 MiB at guest address GUEST, in two regions that follow each
 * other there and don't here:
 *
 *	GUEST   rings   tables   buffers │ buffers ...   GUEST + 8 MiB
 *	        '------ region 0 -------'│'- region 1 -'
 *	                               MIDDLE
 *
 * Every test gets a ring of each kind: `packed` is its initial state.
 */
#ifndef TESTS_UNIT_VHOST_RIG_H
#define TESTS_UNIT_VHOST_RIG_H

#include "ports/vhost_ring.h"
#include "tests/unit/vhost_driver.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define GUEST	    0x40000000ull
#define RIG_SIZE    (8u << 20)
#define RIG_HALF    (4u << 20)
#define MIDDLE	    (GUEST + RIG_HALF)
#define RIG_DRIVER  (1u << 19) /* offsets: the descriptors are at 0 */
#define RIG_DEVICE  (RIG_DRIVER + (1u << 17))
#define RIG_TABLES  (1u << 20)
#define RIG_BUFFERS (2u << 20)
#define RIG_ARENA   (72 * FRAME_SLOT)
#define BIT(n)	    (1ull << (n))

struct rig {
	uint8_t *half[2];
	struct vhost_mem mem;
	struct vhost_log log;
	struct vhost_place place;
	struct vhost_ring r;
	struct vdriver d;
	struct frame frame[FRAME_BATCH_MAX];
	struct frame_arena arena;
	bool packed;
	uint64_t bump; /* guest address of the next buffer */
};

static const bool rig_split = false, rig_packed = true;

static inline uint8_t *rig_at(struct rig *g, uint64_t guest)
{
	uint32_t hint = 0;
	uint64_t len = 1;
	uint8_t *p = vhost_mem_at(&g->mem, guest, &len, &hint);

	assert_non_null(p);
	return p;
}

static inline int rig_setup(void **state)
{
	bool packed = *(const bool *)*state;
	struct rig *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->packed = packed;
	g->bump = GUEST + RIG_BUFFERS;
	g->mem.n = 2;
	for (unsigned int i = 0; i < 2; i++) {
		g->half[i] = aligned_alloc(4096, RIG_HALF);
		assert_non_null(g->half[i]);
		memset(g->half[i], 0, RIG_HALF);
		g->mem.region[i].guest = GUEST + i * RIG_HALF;
		g->mem.region[i].size = RIG_HALF;
		g->mem.region[i].host = g->half[i];
	}
	g->arena.base = malloc(RIG_ARENA);
	g->arena.size = RIG_ARENA;
	assert_non_null(g->arena.base);
	g->r.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->r.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(g->r.kick >= 0 && g->r.call >= 0);
	*state = g;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *g = *state;

	close(g->r.kick);
	close(g->r.call);
	free(g->arena.base);
	free(g->half[0]);
	free(g->half[1]);
	free(g);
	return 0;
}

/* How often an eventfd was written to since it was last asked for. */
static inline uint64_t rig_count(int fd)
{
	eventfd_t n;

	return eventfd_read(fd, &n) < 0 ? 0 : n;
}

/* Everything but features, size and place, once more. */
static inline int rig_restart(struct rig *g)
{
	vhost_ring_stop(&g->r);
	return vhost_ring_start(&g->r);
}

/* A ring of `size`, begun; the call of the start is taken. */
static inline void rig_start(struct rig *g, uint16_t size, uint64_t features)
{
	features |= BIT(VIRTIO_F_VERSION_1);
	if (g->packed)
		features |= BIT(VIRTIO_F_RING_PACKED);
	g->r.mem = &g->mem;
	g->r.log = &g->log;
	g->r.place = &g->place;
	g->r.features = features;
	g->r.size = size;
	g->r.desc = g->half[0];
	g->r.driver = g->half[0] + RIG_DRIVER;
	g->r.device = g->half[0] + RIG_DEVICE;
	g->r.log_addr = GUEST + RIG_DEVICE;
	vdriver_init(&g->d, g->packed, features & BIT(VIRTIO_RING_F_EVENT_IDX),
		     size, g->r.desc, g->r.driver, g->r.device);
	memset(&g->place, 0, sizeof(g->place));
	if (g->packed)
		g->place.avail = g->place.used = g->place.giving = 0x8000;
	rig_count(g->r.call);
	assert_int_equal(vhost_ring_start(&g->r), 0);
	assert_int_equal(rig_count(g->r.call), 1);
}

/* Guest address of a new buffer; they lie apart by 64 bytes. */
static inline uint64_t rig_buffer(struct rig *g, uint32_t len)
{
	uint64_t at = g->bump;

	g->bump = (at + len + 127) & ~63ull;
	assert_true(g->bump <= GUEST + RIG_SIZE);
	return at;
}

/* What byte i of frame number n is; the first bytes are the number. */
static inline uint8_t rig_byte(uint32_t n, uint32_t i)
{
	return (uint8_t)(i < 4 ? n >> (8 * i) : n * 31 + i * 7 + (i >> 8));
}

/* To the guest's memory, or from it, over both regions. */
static inline void rig_write(struct rig *g, uint64_t guest, const void *from,
			     uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		*rig_at(g, guest + i) = ((const uint8_t *)from)[i];
}

static inline void rig_read(struct rig *g, uint64_t guest, void *to,
			    uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = *rig_at(g, guest + i);
}

/* Frame number n of `len` bytes, with this vnet header, into the pieces. */
static inline void rig_fill(struct rig *g, const struct vdriver_piece *p,
			    unsigned int pieces,
			    const struct virtio_net_hdr_v1 *v, uint32_t n)
{
	uint32_t done = 0;

	for (unsigned int i = 0; i < pieces; i++)
		for (uint32_t k = 0; k < p[i].len; k++, done++) {
			uint8_t byte =
				done < ETHER_VNET_LEN
					? ((const uint8_t *)v)[done]
					: rig_byte(n, done - ETHER_VNET_LEN);

			*rig_at(g, p[i].addr + k) = byte;
		}
}

/* Pieces of these lengths in a row, the last one once more for the rest. */
static inline unsigned int rig_chop(struct rig *g, struct vdriver_piece *p,
				    const uint32_t *cut, unsigned int cuts,
				    uint32_t len)
{
	unsigned int n = 0;

	while (len) {
		uint32_t part = cut[n < cuts ? n : cuts - 1];

		if (part > len)
			part = len;
		p[n++] = (struct vdriver_piece){ rig_buffer(g, part), part,
						 false };
		len -= part;
	}
	return n;
}

/* A frame of `len` bytes in one descriptor. Returns its id. */
static inline int rig_post(struct rig *g, uint32_t len, uint32_t n)
{
	static const struct virtio_net_hdr_v1 plain;
	struct vdriver_piece p = { rig_buffer(g, ETHER_VNET_LEN + len),
				   ETHER_VNET_LEN + len, false };

	rig_fill(g, &p, 1, &plain, n);
	return vdriver_add(&g->d, &p, 1, NULL);
}

static inline unsigned int rig_receive(struct rig *g, unsigned int max)
{
	g->arena.used = 0;
	return vhost_ring_receive(&g->r, g->frame, max, &g->arena);
}

/* Is it frame number n of `len` bytes? */
static inline void rig_expect(const struct frame *f, uint32_t len, uint32_t n)
{
	uint8_t *copy = malloc(len + 1);

	assert_non_null(copy);
	assert_int_equal(f->len, len);
	assert_true(frame_read(f, 0, copy, len));
	for (uint32_t i = 0; i < len; i++)
		if (copy[i] != rig_byte(n, i))
			fail_msg("frame %u: byte %u of %u", n, i, len);
	free(copy);
}

/* The next chain comes back: id and length. */
static inline void rig_reap(struct rig *g, int id, uint32_t len)
{
	uint16_t got = UINT16_MAX;
	uint32_t n = UINT32_MAX;

	assert_true(vdriver_reap(&g->d, &got, &n));
	assert_int_equal(got, id);
	assert_int_equal(n, len);
}

static inline void rig_reap_none(struct rig *g)
{
	uint16_t id;
	uint32_t len;

	assert_false(vdriver_reap(&g->d, &id, &len));
}

/* A frame to be sent, number n; `data` has its `len` bytes. */
static inline void rig_frame(struct frame *f, uint8_t *data, uint32_t len,
			     uint32_t n)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = rig_byte(n, i);
	frame_init(f, data, len);
}

/* The guest has frame number n of `len` bytes at `guest`, behind a header that
 * says it is in so many buffers. */
static inline void rig_got(struct rig *g, uint64_t guest, uint32_t len,
			   uint32_t n, uint16_t buffers)
{
	struct virtio_net_hdr_v1 v;

	rig_read(g, guest, &v, sizeof(v));
	assert_int_equal(v.num_buffers, buffers);
	for (uint32_t i = 0; i < len; i++)
		if (*rig_at(g, guest + sizeof(v) + i) != rig_byte(n, i))
			fail_msg("frame %u: byte %u of %u", n, i, len);
}

/* An empty buffer for the device to write to. Returns its id. */
static inline int rig_offer(struct rig *g, uint32_t len, uint64_t *guest)
{
	struct vdriver_piece p = { rig_buffer(g, len), len, true };

	*guest = p.addr;
	return vdriver_add(&g->d, &p, 1, NULL);
}

/* Broken, by these words, and nothing moves any more. */
static inline void rig_broken(struct rig *g, const char *why)
{
	enum drop_reason no = DROP_REASON_COUNT;
	struct frame f, *list[] = { &f };
	uint8_t data[64] = { 0 };

	assert_non_null(g->r.broken);
	assert_string_equal(g->r.broken, why);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	vhost_ring_done(&g->r);
	frame_init(&f, data, 60);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &no), 0);
	assert_int_equal(no, DROP_LINK_DOWN);
	assert_true(vhost_ring_sleep(&g->r));
	rig_reap_none(g);
	assert_int_equal(rig_count(g->r.call), 0);
}

#define RIG_TEST(f)                                                        \
	{ #f " (split)", f, rig_setup, rig_teardown, (void *)&rig_split }, \
	{                                                                  \
#f " (packed)", f, rig_setup, rig_teardown,                \
			(void *)&rig_packed                                \
	}

#endif
