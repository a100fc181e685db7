/* Frames for the guest, into buffers as drivers offer them. */
#include "ports/offload.h"
#include "tests/unit/vhost_rig.h"

#define MRG   BIT(VIRTIO_NET_F_MRG_RXBUF)
#define TABLE BIT(VIRTIO_RING_F_INDIRECT_DESC)

static void frames_go_into_buffers_with_their_header(void **state)
{
	static uint8_t data[3][2000];
	static const uint32_t len[] = { 60, 1514, 300 };
	struct rig *g = *state;
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f[3], *list[] = { &f[0], &f[1], &f[2] };
	uint64_t at[4];
	int id[4];

	rig_start(g, 64, BIT(VIRTIO_NET_F_GUEST_CSUM));
	for (int i = 0; i < 4; i++)
		id[i] = rig_offer(g, 2048, &at[i]);
	vdriver_publish(&g->d);
	for (unsigned int i = 0; i < 3; i++)
		rig_frame(&f[i], data[i], len[i], 40 + i);
	f[1].vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f[1].vnet.csum_start = 34;
	f[1].vnet.csum_offset = 6;
	f[2].vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	assert_int_equal(vhost_ring_send(&g->r, list, 3, &why), 3);
	assert_int_equal(why, DROP_REASON_COUNT);
	for (unsigned int i = 0; i < 3; i++) {
		struct virtio_net_hdr_v1 v;

		rig_reap(g, id[i], ETHER_VNET_LEN + len[i]);
		rig_got(g, at[i], len[i], 40 + i, 1);
		rig_read(g, at[i], &v, sizeof(v));
		assert_memory_equal(&v, &f[i].vnet, 10);
	}
	rig_reap_none(g);
	assert_int_equal(*rig_at(g, at[0] + ETHER_VNET_LEN + 60), 0);
	assert_int_equal(*rig_at(g, at[3]), 0);
	assert_int_equal(g->r.frames, 3);
}

static void segments_are_copied_behind_the_head(void **state)
{
	static uint8_t data[9014];
	struct rig *g = *state;
	enum drop_reason why;
	struct iovec segs[3];
	struct frame f, *list[] = { &f };
	uint64_t at;

	rig_start(g, 64, 0);
	rig_offer(g, 10000, &at);
	vdriver_publish(&g->d);
	rig_frame(&f, data, sizeof(data), 3);
	f.head_len = 200;
	f.segs = segs;
	f.nsegs = 3;
	segs[0] = (struct iovec){ data + 200, 1 };
	segs[1] = (struct iovec){ data + 201, 4000 };
	segs[2] = (struct iovec){ data + 4201, sizeof(data) - 4201 };
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
	rig_got(g, at, sizeof(data), 3, 1);
}

static void full_ring_drops_and_goes_on_with_new_buffers(void **state)
{
	static uint8_t data[60];
	struct rig *g = *state;
	struct frame f, *list[100];
	enum drop_reason why = DROP_REASON_COUNT;
	uint64_t at;

	rig_start(g, 64, 0);
	rig_frame(&f, data, 60, 1);
	for (int i = 0; i < 100; i++)
		list[i] = &f;
	assert_int_equal(vhost_ring_send(&g->r, list, 100, &why), 0);
	assert_int_equal(why, DROP_QUEUE_FULL);
	while (rig_offer(g, 128, &at) >= 0)
		;
	vdriver_publish(&g->d);
	why = DROP_REASON_COUNT;
	assert_int_equal(vhost_ring_send(&g->r, list, 100, &why), 64);
	assert_int_equal(why, DROP_QUEUE_FULL);
	for (int i = 0; i < 64; i++) {
		uint16_t id;
		uint32_t len;

		assert_true(vdriver_reap(&g->d, &id, &len));
	}
	rig_reap_none(g);
	rig_offer(g, 128, &at);
	vdriver_publish(&g->d);
	assert_int_equal(vhost_ring_send(&g->r, list, 2, &why), 1);
	rig_got(g, at, 60, 1, 1);
}

/* More than are given back at once. */
static void long_lists_go_in_one_call(void **state)
{
	static uint8_t data[60];
	struct rig *g = *state;
	struct frame f, *list[200];
	enum drop_reason why;
	uint64_t at;

	rig_start(g, 256, 0);
	rig_frame(&f, data, 60, 1);
	for (int i = 0; i < 200; i++) {
		list[i] = &f;
		rig_offer(g, 128, &at);
	}
	vdriver_publish(&g->d);
	assert_int_equal(vhost_ring_send(&g->r, list, 200, &why), 200);
	for (int i = 0; i < 200; i++) {
		uint16_t id;
		uint32_t len;

		assert_true(vdriver_reap(&g->d, &id, &len));
		assert_int_equal(len, 72);
	}
	assert_int_equal(rig_count(g->r.call), 1);
}

static void long_frames_merge_buffers(void **state)
{
	static uint8_t data[65550];
	struct rig *g = *state;
	struct frame f, *list[] = { &f, &f };
	enum drop_reason why;
	uint32_t left = ETHER_VNET_LEN + sizeof(data), done = 0, bufs = 0;
	uint64_t at[64];
	int id[64];

	rig_start(g, 128, MRG);
	for (int i = 0; i < 64; i++)
		id[i] = rig_offer(g, i % 3 ? 1526 : 2048, &at[i]);
	vdriver_publish(&g->d);
	rig_frame(&f, data, sizeof(data), 9);
	/* There is room for one of them. */
	assert_int_equal(vhost_ring_send(&g->r, list, 2, &why), 1);
	assert_int_equal(why, DROP_QUEUE_FULL);
	for (; left; bufs++) {
		uint32_t part = bufs % 3 ? 1526 : 2048;

		if (part > left)
			part = left;
		rig_reap(g, id[bufs], part);
		for (uint32_t i = 0; i < part; i++, done++)
			if (done >= ETHER_VNET_LEN)
				assert_int_equal(*rig_at(g, at[bufs] + i),
						 rig_byte(9, done - 12));
		left -= part;
	}
	rig_reap_none(g);
	assert_int_equal(bufs, 39);
	rig_got(g, at[0], 2000, 9, (uint16_t)bufs);
	/* What was left is used by the next. */
	rig_frame(&f, data, 60, 10);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
	rig_reap(g, id[bufs], 72);
	rig_got(g, at[bufs], 60, 10, 1);
}

static void without_merging_long_frames_are_dropped_alone(void **state)
{
	static uint8_t data[3][1514];
	struct rig *g = *state;
	struct frame f[3], *list[] = { &f[0], &f[1], &f[2] };
	enum drop_reason why = DROP_REASON_COUNT;
	uint64_t at[2];
	int id[2];

	rig_start(g, 64, 0);
	for (int i = 0; i < 2; i++)
		id[i] = rig_offer(g, 1000, &at[i]);
	vdriver_publish(&g->d);
	rig_frame(&f[0], data[0], 988, 1);
	rig_frame(&f[1], data[1], 989, 2);
	rig_frame(&f[2], data[2], 60, 3);
	assert_int_equal(vhost_ring_send(&g->r, list, 3, &why), 1);
	assert_int_equal(why, DROP_GUEST_BUFFER);
	assert_int_equal(vhost_ring_send(&g->r, list + 2, 1, &why), 1);
	rig_reap(g, id[0], 1000);
	rig_reap(g, id[1], 72);
	rig_got(g, at[0], 988, 1, 1);
	rig_got(g, at[1], 60, 3, 1);
	assert_null(g->r.broken);
}

/* Nor can they be merged out of more than are given back at once, or of more
 * than the ring has. */
static void frames_that_need_too_many_buffers_are_dropped(void **state)
{
	static uint8_t data[20000];
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	enum drop_reason why;
	uint64_t at;

	rig_start(g, 128, MRG);
	for (int i = 0; i < 128; i++)
		rig_offer(g, 200, &at);
	vdriver_publish(&g->d);
	rig_frame(&f, data, sizeof(data), 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 0);
	assert_int_equal(why, DROP_GUEST_BUFFER);
	rig_reap_none(g);

	memset(g->half[0], 0, RIG_BUFFERS);
	rig_start(g, 4, MRG);
	for (int i = 0; i < 4; i++)
		rig_offer(g, 200, &at);
	vdriver_publish(&g->d);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 0);
	assert_int_equal(why, DROP_GUEST_BUFFER);
	rig_frame(&f, data, 700, 2);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 0);
	assert_int_equal(why, DROP_QUEUE_FULL);
}

static void buffers_in_many_pieces_are_filled(void **state)
{
	static const uint32_t cut[][3] = { { 12, 1500, 1500 },
					   { 1, 10, 500 },
					   { 11, 7, 64 },
					   { 300, 3, 99 } };
	static uint8_t data[1514];
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	struct vdriver_piece p[64];
	enum drop_reason why;

	rig_start(g, 64, TABLE);
	rig_frame(&f, data, sizeof(data), 21);
	for (int c = 0; c < 8; c++) {
		struct vdriver_table t = { GUEST + RIG_TABLES,
					   g->half[0] + RIG_TABLES };
		unsigned int n = rig_chop(g, p, cut[c / 2], 3, 1600);
		uint32_t done = 0;
		int id;

		for (unsigned int i = 0; i < n; i++)
			p[i].write = true;
		id = vdriver_add(&g->d, p, n, c % 2 ? &t : NULL);
		vdriver_publish(&g->d);
		assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
		rig_reap(g, id, ETHER_VNET_LEN + sizeof(data));
		for (unsigned int i = 0; i < n; i++)
			for (uint32_t k = 0; k < p[i].len; k++, done++) {
				uint8_t byte = *rig_at(g, p[i].addr + k);

				if (done == 10)
					assert_int_equal(byte, 1);
				if (done >= 12 && done < 1526)
					assert_int_equal(
						byte, rig_byte(21, done - 12));
				if (done >= 1526)
					assert_int_equal(byte, 0);
			}
	}
}

static void buffers_over_two_regions_are_filled(void **state)
{
	static uint8_t data[288];
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	enum drop_reason why;

	rig_start(g, 64, 0);
	for (uint32_t off = 0; off <= 300; off += 20) {
		struct vdriver_piece p = { MIDDLE - off, 300, true };
		int id = vdriver_add(&g->d, &p, 1, NULL);

		rig_frame(&f, data, 288, off);
		vdriver_publish(&g->d);
		assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
		rig_reap(g, id, 300);
		rig_got(g, MIDDLE - off, 288, off, 1);
	}
}

static void offloads_that_the_guest_has_not_agreed_to_are_refused(void **state)
{
	static const struct {
		uint8_t flags, gso_type;
		uint64_t features; /* beside GUEST_CSUM */
	} row[] = {
		{ 1, VIRTIO_NET_HDR_GSO_NONE, 0 },
		{ 1, VIRTIO_NET_HDR_GSO_TCPV4, BIT(VIRTIO_NET_F_GUEST_TSO4) },
		{ 1, VIRTIO_NET_HDR_GSO_TCPV6, BIT(VIRTIO_NET_F_GUEST_TSO6) },
		{ 1, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
		  BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_ECN) },
		{ 1, VIRTIO_NET_HDR_GSO_UDP, BIT(VIRTIO_NET_F_GUEST_UFO) },
		{ 1, VIRTIO_NET_HDR_GSO_UDP_L4,
		  BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) },
	};
	const uint64_t csum = BIT(VIRTIO_NET_F_GUEST_CSUM);
	static uint8_t data[3000];
	struct rig *g = *state;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (int takes = 0; takes < 3; takes++) {
			/* All but what it needs, that, that without CSUM. */
			uint64_t features =
				takes == 0 ? ~row[i].features & 0x1c80 : 0;
			struct frame f, next, *list[] = { &f, &next };
			enum drop_reason why = DROP_REASON_COUNT;
			unsigned int fit = takes == 1 ? 2 : 0;
			uint64_t at[2];

			if (takes == 0 && row[i].features)
				features |= csum;
			if (takes == 1)
				features = row[i].features | csum;
			if (takes == 2)
				features = row[i].features;
			memset(g->half[0], 0, RIG_BUFFERS);
			g->bump = GUEST + RIG_BUFFERS;
			rig_start(g, 64, features);
			rig_offer(g, 4096, &at[0]);
			rig_offer(g, 4096, &at[1]);
			vdriver_publish(&g->d);
			rig_frame(&f, data, sizeof(data), 1);
			next = f;
			f.vnet.flags = row[i].flags;
			f.vnet.gso_type = row[i].gso_type;
			f.vnet.gso_size = 1448;
			assert_int_equal(vhost_ring_send(&g->r, list, 2, &why),
					 fit);
			assert_int_equal(why,
					 fit ? DROP_REASON_COUNT : DROP_GSO);
			if (!fit)
				assert_int_equal(vhost_ring_send(&g->r,
								 list + 1, 1,
								 &why),
						 1);
		}
}

/* TAPs say DATA_VALID of what the host has checked. */
static void flags_that_the_guest_has_not_agreed_to_are_zero(void **state)
{
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	enum drop_reason why;
	uint8_t data[60];
	uint64_t at;

	for (uint8_t csum = 0; csum < 2; csum++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		g->bump = GUEST + RIG_BUFFERS;
		rig_start(g, 64, csum ? BIT(VIRTIO_NET_F_GUEST_CSUM) : 0);
		rig_frame(&f, data, sizeof(data), csum);
		f.vnet.flags = UINT8_MAX & ~VIRTIO_NET_HDR_F_NEEDS_CSUM;
		rig_offer(g, 2048, &at);
		vdriver_publish(&g->d);
		assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
		rig_got(g, at, sizeof(data), csum, 1);
		assert_int_equal(*rig_at(g, at),
				 csum ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
	}
}

static void ring_that_is_stopped_takes_and_sends_nothing(void **state)
{
	static uint8_t data[60];
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	enum drop_reason why = DROP_REASON_COUNT;

	rig_start(g, 64, 0);
	rig_post(g, 60, 1);
	vdriver_publish(&g->d);
	vhost_ring_stop(&g->r);
	assert_int_equal(rig_receive(g, 1), 0);
	rig_frame(&f, data, 60, 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 0);
	assert_int_equal(why, DROP_LINK_DOWN);
	assert_true(vhost_ring_sleep(&g->r));
	assert_int_equal(vhost_ring_start(&g->r), 0);
	assert_int_equal(rig_receive(g, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(frames_go_into_buffers_with_their_header),
		RIG_TEST(segments_are_copied_behind_the_head),
		RIG_TEST(full_ring_drops_and_goes_on_with_new_buffers),
		RIG_TEST(long_lists_go_in_one_call),
		RIG_TEST(long_frames_merge_buffers),
		RIG_TEST(without_merging_long_frames_are_dropped_alone),
		RIG_TEST(frames_that_need_too_many_buffers_are_dropped),
		RIG_TEST(buffers_in_many_pieces_are_filled),
		RIG_TEST(buffers_over_two_regions_are_filled),
		RIG_TEST(offloads_that_the_guest_has_not_agreed_to_are_refused),
		RIG_TEST(flags_that_the_guest_has_not_agreed_to_are_zero),
		RIG_TEST(ring_that_is_stopped_takes_and_sends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
