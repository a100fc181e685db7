/* Guests that mean harm: each is told why, and then nothing moves any more. */
#include "tests/unit/vhost_rig.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>

#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT
#define OK    (GUEST + RIG_BUFFERS)

static void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, 2);
}

/* A descriptor by hand, in a ring or a table. */
static void put(struct rig *g, uint8_t *table, unsigned int at, uint64_t addr,
		uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *to = table + 16 * at;

	addr = htole64(addr);
	len = htole32(len);
	memcpy(to, &addr, 8);
	memcpy(to + 8, &len, 4);
	if (g->packed && table == g->r.desc)
		flags |= 1u << VRING_PACKED_DESC_F_AVAIL;
	put16(to + 12, g->packed ? (uint16_t)at : flags);
	put16(to + 14, g->packed ? flags : next);
}

static void put_ring(struct rig *g, unsigned int at, uint64_t addr,
		     uint32_t len, uint16_t flags, uint16_t next)
{
	put(g, g->r.desc, at, addr, len, flags, next);
}

static uint8_t *tables(struct rig *g)
{
	return g->half[0] + RIG_TABLES;
}

/* Split: these heads are available. A packed ring has said so by then. */
static void offer(struct rig *g, uint16_t n)
{
	if (g->packed)
		return;
	for (uint16_t i = 0; i < n; i++)
		put16(g->r.driver + 4 + 2 * i, i);
	put16(g->r.driver + 2, n);
}

static void breaks(struct rig *g, const char *why)
{
	offer(g, 1);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	rig_broken(g, why);
}

static void sending_breaks(struct rig *g, const char *why)
{
	static uint8_t data[1000];
	enum drop_reason no = DROP_REASON_COUNT;
	struct frame f, *list[] = { &f };

	offer(g, 1);
	rig_frame(&f, data, sizeof(data), 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &no), 0);
	assert_int_equal(no, DROP_LINK_DOWN);
	rig_broken(g, why);
}

static void descriptors_outside_of_memory_break(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} row[] = {
		{ 0, 100 },
		{ GUEST - 1, 100 },
		{ GUEST + RIG_SIZE, 100 },
		{ GUEST + RIG_SIZE - 99, 100 },
		{ GUEST + RIG_SIZE - 1, 2000 },
		{ UINT64_MAX, 100 },
		{ UINT64_MAX - 50, UINT32_MAX },
	};
	struct rig *g = *state;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (int chain = 0; chain < 2; chain++) {
			memset(g->half[0], 0, RIG_BUFFERS);
			rig_start(g, 64, 0);
			put_ring(g, 0, chain ? OK : row[i].addr,
				 chain ? 50 : row[i].len, chain ? NEXT : 0, 1);
			put_ring(g, 1, row[i].addr, row[i].len, 0, 0);
			breaks(g, "a descriptor outside of the guest's memory");
		}
}

static void buffers_outside_of_memory_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put_ring(g, 0, GUEST + RIG_SIZE - 500, 2000, WRITE, 0);
	sending_breaks(g, "a descriptor outside of the guest's memory");
}

static void frames_in_buffers_to_be_written_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 100, WRITE, 0);
	breaks(g, "a frame in a buffer that can't be read");
	rig_start(g, 64, 0);
	memset(g->half[0], 0, RIG_BUFFERS);
	put_ring(g, 0, OK, 100, NEXT, 1);
	put_ring(g, 1, OK, 100, WRITE, 0);
	breaks(g, "a frame in a buffer that can't be read");
}

static void buffers_to_be_read_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 2000, 0, 0);
	sending_breaks(g, "a buffer for a frame that can't be written to");
	memset(g->half[0], 0, RIG_BUFFERS);
	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 12, NEXT | WRITE, 1);
	put_ring(g, 1, OK, 2000, 0, 0);
	sending_breaks(g, "a buffer for a frame that can't be written to");
}

static void tables_of_impossible_length_break(void **state)
{
	static const uint32_t len[] = { 0, 1, 15, 17, 16 * 32769, UINT32_MAX };
	struct rig *g = *state;

	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, 0);
		put(g, tables(g), 0, OK, 100, 0, 0);
		put_ring(g, 0, GUEST + RIG_TABLES, len[i], TABLE, 0);
		breaks(g, "an indirect table of impossible length");
	}
}

static void tables_outside_of_memory_break(void **state)
{
	static const uint64_t addr[] = { 0, GUEST + RIG_SIZE - 8,
					 UINT64_MAX - 7 };
	struct rig *g = *state;

	for (size_t i = 0; i < 3; i++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, 0);
		put_ring(g, 0, addr[i], 64, TABLE, 0);
		breaks(g, "an indirect table outside of the guest's memory");
	}
}

static void nested_tables_break(void **state)
{
	struct rig *g = *state;

	/* In a packed ring's table that flag has no meaning. */
	if (g->packed)
		return;
	rig_start(g, 64, 0);
	put(g, tables(g), 0, OK, 100, NEXT, 1);
	put(g, tables(g), 1, GUEST + RIG_TABLES, 16, TABLE, 0);
	put_ring(g, 0, GUEST + RIG_TABLES, 32, TABLE, 0);
	breaks(g, "an indirect table in another");
}

static void tables_that_go_on_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put(g, tables(g), 0, OK, 100, 0, 0);
	put_ring(g, 0, GUEST + RIG_TABLES, 16, TABLE | NEXT, 1);
	put_ring(g, 1, OK, 100, 0, 0);
	breaks(g, "an indirect table that goes on");
}

static void table_that_is_to_be_read_breaks_sending(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put(g, tables(g), 0, OK, 2000, 0, 0);
	put_ring(g, 0, GUEST + RIG_TABLES, 16, TABLE, 0);
	sending_breaks(g, "a buffer for a frame that can't be written to");
}

static void descriptors_outside_of_their_table_break(void **state)
{
	struct rig *g = *state;

	if (g->packed) /* there they have no successor by number */
		return;
	rig_start(g, 64, 0);
	put(g, tables(g), 0, OK, 100, NEXT, 2);
	put_ring(g, 0, GUEST + RIG_TABLES, 32, TABLE, 0);
	breaks(g, "an indirect descriptor outside of its table");
	memset(g->half[0], 0, RIG_BUFFERS);
	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 100, NEXT, 64);
	breaks(g, "a descriptor outside of the table");
	memset(g->half[0], 0, RIG_BUFFERS);
	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 100, 0, 0);
	put16(g->r.driver + 4, 64);
	put16(g->r.driver + 2, 1);
	assert_int_equal(rig_receive(g, 1), 0);
	rig_broken(g, "a chain that begins outside of the table");
}

static void chains_without_an_end_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	for (unsigned int i = 0; i < 64; i++)
		put_ring(g, i, OK, 1, NEXT, (uint16_t)((i + 1) % 64));
	breaks(g, g->packed ? "a chain longer than the ring"
			    : "a chain of too many descriptors");
	memset(g->half[0], 0, RIG_BUFFERS);
	rig_start(g, 2048, 0);
	for (unsigned int i = 0; i < 2048; i++)
		put_ring(g, i, OK, 0, NEXT, (uint16_t)((i + 1) % 2048));
	breaks(g, "a chain of too many descriptors");
}

static void endless_tables_break(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	for (unsigned int i = 0; i < 1025; i++)
		put(g, tables(g), i, OK, 0, NEXT,
		    (uint16_t)(i == 1024 ? 0 : i + 1));
	put_ring(g, 0, GUEST + RIG_TABLES, 16 * 1025, TABLE, 0);
	breaks(g, "a chain of too many descriptors");
}

static void endless_chains_break_sending(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	for (unsigned int i = 0; i < 64; i++)
		put_ring(g, i, OK, 1, NEXT | WRITE, (uint16_t)((i + 1) % 64));
	if (!g->packed) /* bytes are there as long as it goes on */
		for (unsigned int i = 0; i < 64; i++)
			put_ring(g, i, OK, 0, NEXT | WRITE,
				 (uint16_t)((i + 1) % 64));
	sending_breaks(g, g->packed ? "a chain longer than the ring"
				    : "a chain of too many descriptors");
}

/* 64 chains of 64 descriptors that take nothing, each time. */
static void buffers_of_no_bytes_break_sending(void **state)
{
	static uint8_t data[60];
	enum drop_reason no = DROP_REASON_COUNT;
	struct frame f, *list[] = { &f };
	struct rig *g = *state;

	rig_start(g, 64, BIT(VIRTIO_NET_F_MRG_RXBUF));
	for (unsigned int i = 0; i < 64; i++) {
		put(g, tables(g), i, OK, 0, i < 63 ? NEXT | WRITE : WRITE,
		    (uint16_t)(i + 1));
		put_ring(g, i, GUEST + RIG_TABLES, 64 * 16, TABLE, 0);
	}
	offer(g, 64);
	rig_frame(&f, data, sizeof(data), 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &no), 0);
	assert_int_equal(no, DROP_LINK_DOWN);
	rig_broken(g, "a chain of too many descriptors");
}

static void index_that_runs_away_breaks(void **state)
{
	static const uint16_t idx[] = { 65, 128, 32768, 65535 };
	struct rig *g = *state;

	if (g->packed) /* there is none */
		return;
	for (size_t i = 0; i < 4; i++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, 0);
		put16(g->r.driver + 2, idx[i]);
		assert_int_equal(rig_receive(g, 1), 0);
		rig_broken(g, "more is available than the ring has");
		assert_int_equal(rig_restart(g), -EINVAL);
		assert_string_equal(g->r.broken,
				    "more is available than the ring has");
	}
}

/* As if there were 65535 more: all of it would be taken once again. */
static void index_that_goes_back_breaks(void **state)
{
	struct rig *g = *state;

	if (g->packed)
		return;
	rig_start(g, 64, 0);
	for (unsigned int i = 0; i < 3; i++)
		put_ring(g, i, OK, 100, 0, 0);
	offer(g, 3);
	assert_int_equal(rig_receive(g, 3), 3);
	put16(g->r.driver + 2, 2);
	assert_true(vhost_ring_sleep(&g->r));
	rig_broken(g, "more is available than the ring has");
}

/* Of a packed ring no more than all descriptors are taken, whatever their
 * flags say in the meantime. */
static void ring_isnt_taken_twice(void **state)
{
	struct rig *g = *state;
	unsigned int n;

	if (!g->packed)
		return;
	rig_start(g, 8, 0);
	for (unsigned int i = 0; i < 8; i++)
		put_ring(g, i, OK, 100, 0, 0);
	assert_int_equal(rig_receive(g, 8), 8);
	/* As if the next lap's were there before this one's came back. */
	for (unsigned int i = 0; i < 8; i++) {
		put_ring(g, i, OK, 100, 0, 0);
		put16(g->r.desc + 16 * i + 14, 1u << VRING_PACKED_DESC_F_USED);
	}
	n = rig_receive(g, 8);
	vhost_ring_done(&g->r);
	assert_int_equal(n, 0);
	assert_null(g->r.broken);
}

static void frames_before_the_bad_one_are_delivered(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 100, 0, 0);
	put_ring(g, 1, OK, 90, 0, 0);
	put_ring(g, 2, 0, 100, 0, 0);
	put_ring(g, 3, OK, 100, 0, 0);
	offer(g, 4);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 2);
	assert_int_equal(g->frame[0].len, 88);
	assert_int_equal(g->frame[1].len, 78);
	vhost_ring_done(&g->r);
	rig_broken(g, "a descriptor outside of the guest's memory");
}

static void frames_sent_before_the_bad_buffer_arrive(void **state)
{
	static uint8_t data[60];
	enum drop_reason why = DROP_REASON_COUNT;
	struct rig *g = *state;
	struct frame f, *list[] = { &f, &f, &f };

	rig_start(g, 64, 0);
	put_ring(g, 0, OK, 100, WRITE, 0);
	put_ring(g, 1, 0, 100, WRITE, 0);
	offer(g, 2);
	/* The driver's side wants to know of what it didn't put there. */
	g->d.count[0] = g->d.count[1] = 1;
	rig_frame(&f, data, 60, 4);
	assert_int_equal(vhost_ring_send(&g->r, list, 3, &why), 1);
	assert_int_equal(why, DROP_LINK_DOWN);
	rig_reap(g, 0, 72);
	rig_got(g, OK, 60, 4, 1);
	assert_int_equal(rig_count(g->r.call), 1);
	rig_broken(g, "a descriptor outside of the guest's memory");
}

static void rings_that_cant_be_dont_start(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	g->r.size = 0;
	assert_int_equal(rig_restart(g), -EINVAL);
	assert_string_equal(g->r.broken, "a queue size that can't be");
	g->r.size = 32769;
	assert_int_equal(rig_restart(g), -EINVAL);
	assert_string_equal(g->r.broken, "a queue size that can't be");
	g->r.size = 63;
	if (!g->packed) {
		assert_int_equal(rig_restart(g), -EINVAL);
		assert_string_equal(g->r.broken,
				    "a queue size that isn't a power of two");
	}
	g->r.size = 64;
	g->r.desc += 8;
	assert_int_equal(rig_restart(g), -EINVAL);
	assert_string_equal(g->r.broken, "a misaligned ring");
	g->r.desc -= 8;
	g->r.driver += 1;
	assert_int_equal(rig_restart(g), -EINVAL);
	g->r.driver -= 1;
	g->r.device += 2;
	assert_int_equal(rig_restart(g), -EINVAL);
	g->r.device -= 2;
	assert_int_equal(rig_restart(g), 0);
	assert_null(g->r.broken);
}

/* Random rings: whatever happens, it's in bounds (sanitizers look), ends, and
 * no more comes back than was there. */
static void random_rings_hurt_nobody(void **state)
{
	static uint8_t data[2000];
	struct rig *g = *state;
	uint64_t x = 88172645463325252ull;
	unsigned int broken = 0, frames = 0;

	rig_start(g, 64, 0);
	for (int round = 0; round < 3000; round++) {
		struct frame f, *list[] = { &f, &f, &f, &f };
		enum drop_reason why;

		memset(g->r.driver, 0, vdriver_driver_bytes(g->packed, 64));
		memset(g->r.device, 0, vdriver_device_bytes(g->packed, 64));
		rig_start(g, 64, round % 3 ? BIT(VIRTIO_NET_F_MRG_RXBUF) : 0);
		for (unsigned int i = 0; i < 128; i++) {
			uint16_t flags;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17; /* xorshift64 */
			flags = (x >> 8 & 7) ? (uint16_t)(x >> 16 & NEXT)
					     : (uint16_t)(x >> 16 & 7);
			if (round & 1 && (x >> 11 & 31))
				flags |= WRITE;
			put(g, i < 64 ? g->r.desc : tables(g), i % 64,
			    (x >> 20 & 15) ? OK + (x >> 24 & 0xffff)
					   : GUEST + RIG_TABLES,
			    (x >> 40 & 7) ? (uint32_t)(x >> 43 & 0x7ff)
					  : (uint32_t)(16 * (x >> 43 & 63)),
			    flags, (uint16_t)(x >> 54 & 63));
		}
		offer(g, (uint16_t)(x >> 32 & 63));
		rig_frame(&f, data, sizeof(data), 1);
		if (round & 1)
			frames += vhost_ring_send(&g->r, list, 4, &why);
		else
			frames += rig_receive(g, FRAME_BATCH_MAX);
		vhost_ring_done(&g->r);
		broken += g->r.broken != NULL;
	}
	/* Both happened. */
	assert_true(broken > 100);
	assert_true(frames > 1000);
}

/* ---- memory that changes meanwhile ---- */

static atomic_bool scribbling;

/* Descriptors, tables and both sides' indexes, at random. */
static void *scribble(void *arg)
{
	struct rig *g = arg;
	uint64_t x = 0x9e3779b97f4a7c15ull;

	while (atomic_load(&scribbling)) {
		uint8_t *at = (x & 3) ? g->r.desc : tables(g);

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put(g, at, x >> 3 & 63,
		    (x & 0x100) ? OK + (x >> 20 & 0xffff) : GUEST + RIG_TABLES,
		    (uint32_t)(x >> 36 & 0x7ff), (uint16_t)(x >> 9 & 7),
		    (uint16_t)(x >> 48 & 63));
		if (g->packed)
			continue;
		put16(g->r.driver + 4 + 2 * (x >> 50 & 63),
		      (uint16_t)(x >> 56 & 63));
		put16(g->r.driver + 2, (uint16_t)(x >> 30 & 63));
	}
	return NULL;
}

/* Whatever is read twice and differs, sanitizers see what comes of it. */
static void memory_that_changes_meanwhile_hurts_nobody(void **state)
{
	static uint8_t data[2000];
	struct rig *g = *state;
	unsigned int broken = 0, frames = 0;
	pthread_t thread;

	rig_start(g, 64, BIT(VIRTIO_NET_F_MRG_RXBUF));
	atomic_store(&scribbling, true);
	assert_int_equal(pthread_create(&thread, NULL, scribble, g), 0);
	/* Until both happened, too: the other thread may not have run yet. */
	for (unsigned int round = 0;
	     round < 20000 || ((!broken || !frames) && round < 1u << 30);
	     round++) {
		struct frame f, *list[] = { &f, &f, &f, &f };
		enum drop_reason why;
		unsigned int n;

		memset(&g->place, 0, sizeof(g->place));
		if (g->packed)
			g->place.avail = g->place.used = g->place.giving =
				0x8000;
		if (vhost_ring_start(&g->r) < 0) {
			broken++;
			continue;
		}
		n = rig_receive(g, FRAME_BATCH_MAX);
		for (unsigned int i = 0; i < n; i++)
			if (g->frame[i].len <= sizeof(data))
				assert_true(frame_read(&g->frame[i], 0, data,
						       g->frame[i].len));
		vhost_ring_done(&g->r);
		rig_frame(&f, data, 60 + round % 1900, 1);
		frames += n + vhost_ring_send(&g->r, list, 4, &why);
		broken += g->r.broken != NULL;
		vhost_ring_stop(&g->r);
	}
	atomic_store(&scribbling, false);
	pthread_join(thread, NULL);
	assert_true(broken > 0);
	assert_true(frames > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(descriptors_outside_of_memory_break),
		RIG_TEST(buffers_outside_of_memory_break),
		RIG_TEST(frames_in_buffers_to_be_written_break),
		RIG_TEST(buffers_to_be_read_break),
		RIG_TEST(tables_of_impossible_length_break),
		RIG_TEST(tables_outside_of_memory_break),
		RIG_TEST(nested_tables_break),
		RIG_TEST(tables_that_go_on_break),
		RIG_TEST(table_that_is_to_be_read_breaks_sending),
		RIG_TEST(descriptors_outside_of_their_table_break),
		RIG_TEST(chains_without_an_end_break),
		RIG_TEST(endless_tables_break),
		RIG_TEST(endless_chains_break_sending),
		RIG_TEST(buffers_of_no_bytes_break_sending),
		RIG_TEST(index_that_runs_away_breaks),
		RIG_TEST(index_that_goes_back_breaks),
		RIG_TEST(ring_isnt_taken_twice),
		RIG_TEST(frames_before_the_bad_one_are_delivered),
		RIG_TEST(frames_sent_before_the_bad_buffer_arrive),
		RIG_TEST(rings_that_cant_be_dont_start),
		RIG_TEST(random_rings_hurt_nobody),
		RIG_TEST(memory_that_changes_meanwhile_hurts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
