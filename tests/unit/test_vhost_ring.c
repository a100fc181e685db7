/* Frames from the guest, out of rings as drivers make them. */
#include "ports/offload.h"
#include "tests/unit/vhost_rig.h"

#define TABLE BIT(VIRTIO_RING_F_INDIRECT_DESC)

static const struct virtio_net_hdr_v1 plain;

static void frames_come_once_in_order(void **state)
{
	struct rig *g = *state;
	int id[3];

	rig_start(g, 256, 0);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	for (int i = 0; i < 3; i++)
		id[i] = rig_post(g, 60u + (unsigned int)i, 7u + (unsigned)i);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 2), 2);
	rig_expect(&g->frame[0], 60, 7);
	rig_expect(&g->frame[1], 61, 8);
	rig_reap_none(g);
	vhost_ring_done(&g->r);
	rig_reap(g, id[0], 0);
	rig_reap(g, id[1], 0);
	rig_reap_none(g);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
	rig_expect(&g->frame[0], 62, 9);
	vhost_ring_done(&g->r);
	rig_reap(g, id[2], 0);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	assert_int_equal(g->r.frames, 3);
	assert_null(g->r.broken);
}

static void rings_of_any_size_go_round_and_round(void **state)
{
	static const uint16_t size[] = { 1, 2, 64, 100, 1024, 1000, 32768 };
	struct rig *g = *state;

	for (size_t s = 0; s < sizeof(size) / sizeof(size[0]); s++) {
		uint32_t n = 0, back = 0, total = size[s] * 2u + 70000u;
		uint64_t at;

		if (!g->packed && size[s] & (size[s] - 1))
			continue;
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, size[s], 0);
		/* A buffer a frame would need more memory than there is. */
		at = GUEST + RIG_BUFFERS;
		while (n < total) {
			unsigned int added = 0, got, batch = 1 + n % 64;

			while (added < batch) {
				struct vdriver_piece p = { at + 128 * added, 76,
							   false };

				rig_fill(g, &p, 1, &plain, n + added);
				if (vdriver_add(&g->d, &p, 1, NULL) < 0)
					break;
				added++;
			}
			assert_int_equal(added,
					 batch < size[s] ? batch : size[s]);
			vdriver_publish(&g->d);
			got = rig_receive(g, FRAME_BATCH_MAX);
			assert_int_equal(got, added);
			for (unsigned int i = 0; i < got; i++)
				rig_expect(&g->frame[i], 64, n + i);
			vhost_ring_done(&g->r);
			for (unsigned int i = 0; i < got; i++, back++) {
				uint16_t id;
				uint32_t len;

				assert_true(vdriver_reap(&g->d, &id, &len));
			}
			rig_reap_none(g);
			n += added;
		}
		assert_int_equal(back, n);
		assert_null(g->r.broken);
	}
}

/* A whole ring of frames at once, and one more batch after it. */
static void full_ring_is_taken_in_batches(void **state)
{
	struct rig *g = *state;
	uint32_t n = 0, got;

	rig_start(g, 256, 0);
	while (rig_post(g, 60, n) >= 0)
		n++;
	assert_int_equal(n, 256);
	vdriver_publish(&g->d);
	for (n = 0; (got = rig_receive(g, FRAME_BATCH_MAX)) > 0; n += got) {
		assert_int_equal(got, FRAME_BATCH_MAX);
		for (uint32_t i = 0; i < got; i++)
			rig_expect(&g->frame[i], 60, n + i);
		vhost_ring_done(&g->r);
	}
	assert_int_equal(n, 256);
}

static void frames_of_any_layout_are_whole(void **state)
{
	static const uint32_t len[] = { 14,   60,   255,   256,		 257,
					1514, 9014, 65550, FRAME_LEN_MAX };
	static const uint32_t cut[][3] = {
		{ 12, 65536, 65536 }, { 10, 2, 65536 }, { 1, 1, 300 },
		{ 13, 255, 1000 },    { 11, 1, 4096 },	{ 268, 1, 4000 },
		{ 5, 5000, 3000 },
	};
	struct vdriver_piece p[512];
	struct rig *g = *state;

	rig_start(g, 512, TABLE);
	for (size_t l = 0; l < sizeof(len) / sizeof(len[0]); l++)
		for (size_t c = 0; c < 2 * sizeof(cut) / sizeof(cut[0]); c++) {
			struct vdriver_table t = { GUEST + RIG_TABLES,
						   g->half[0] + RIG_TABLES };
			uint32_t n = (uint32_t)(l * 100 + c);
			unsigned int pieces;
			int id;

			g->bump = GUEST + RIG_BUFFERS;
			pieces = rig_chop(g, p, cut[c / 2], 3,
					  ETHER_VNET_LEN + len[l]);
			rig_fill(g, p, pieces, &plain, n);
			id = vdriver_add(&g->d, p, pieces, c % 2 ? &t : NULL);
			assert_true(id >= 0);
			vdriver_publish(&g->d);
			assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
			rig_expect(&g->frame[0], len[l], n);
			assert_true(
				g->frame[0].head_len >=
				(len[l] < VHOST_HEAD ? len[l] : VHOST_HEAD));
			vhost_ring_done(&g->r);
			rig_reap(g, id, 0);
		}
	assert_null(g->r.broken);
}

/* Their head is private; what the guest changes later changes payload only. */
static void heads_are_private(void **state)
{
	struct rig *g = *state;
	uint64_t at = g->bump;

	rig_start(g, 64, 0);
	rig_post(g, 1000, 1);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 1), 1);
	assert_int_equal(g->frame[0].head_len, VHOST_HEAD);
	assert_int_equal(g->frame[0].nsegs, 1);
	memset(rig_at(g, at), 0xee, ETHER_VNET_LEN + VHOST_HEAD);
	rig_expect(&g->frame[0], 1000, 1);
	assert_true(g->frame[0].data - g->arena.base >= FRAME_HEADROOM);
	vhost_ring_done(&g->r);
}

/* More pieces than a frame can have segments. */
static void frames_in_very_many_pieces_are_gathered(void **state)
{
	static const uint32_t cut[] = { 70 };
	struct vdriver_piece p[VHOST_CHAIN_MAX];
	struct rig *g = *state;
	unsigned int n;

	rig_start(g, 1024, 0);
	n = rig_chop(g, p, cut, 1, ETHER_VNET_LEN + 65550);
	assert_int_equal(n, 937);
	rig_fill(g, p, n, &plain, 3);
	assert_true(vdriver_add(&g->d, p, n, NULL) >= 0);
	rig_post(g, 60, 4);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 2);
	assert_int_equal(g->frame[0].nsegs, 0);
	rig_expect(&g->frame[0], 65550, 3);
	rig_expect(&g->frame[1], 60, 4);
	vhost_ring_done(&g->r);
}

static void buffers_and_tables_may_cross_regions(void **state)
{
	struct rig *g = *state;
	struct vdriver_piece p[3];

	rig_start(g, 64, TABLE);
	for (uint32_t off = 0; off <= 300; off += 20) {
		int id;

		p[0] = (struct vdriver_piece){ MIDDLE - off, 300, false };
		rig_fill(g, p, 1, &plain, off);
		id = vdriver_add(&g->d, p, 1, NULL);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
		rig_expect(&g->frame[0], 288, off);
		vhost_ring_done(&g->r);
		rig_reap(g, id, 0);
	}
	for (uint32_t off = 0; off <= 48; off += 4) {
		static uint8_t bytes[48];
		struct vdriver_table t = { MIDDLE - off, bytes };
		int id;

		g->bump = GUEST + RIG_BUFFERS;
		for (int i = 0; i < 3; i++)
			p[i] = (struct vdriver_piece){ rig_buffer(g, 100), 100,
						       false };
		rig_fill(g, p, 3, &plain, off);
		id = vdriver_add(&g->d, p, 3, &t);
		rig_write(g, MIDDLE - off, bytes, sizeof(bytes));
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
		rig_expect(&g->frame[0], 288, off);
		vhost_ring_done(&g->r);
		rig_reap(g, id, 0);
	}
}

static void offload_headers_come_as_they_are_flags_of_others_dont(void **state)
{
	struct virtio_net_hdr_v1 v = {
		.flags = 0xff,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
		.num_buffers = 9,
	};
	static const uint32_t cut[][2] = { { 5000, 5000 }, { 6, 5000 } };
	struct vdriver_piece p[4];
	struct rig *g = *state;

	rig_start(g, 64, 0);
	for (int i = 0; i < 2; i++) {
		const struct virtio_net_hdr_v1 *got = &g->frame[0].vnet;
		unsigned int n =
			rig_chop(g, p, cut[i], 2, ETHER_VNET_LEN + 3000);

		rig_fill(g, p, n, &v, 1);
		vdriver_add(&g->d, p, n, NULL);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
		assert_int_equal(got->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(got->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(got->hdr_len, 54);
		assert_int_equal(got->gso_size, 1448);
		assert_int_equal(got->csum_start, 34);
		assert_int_equal(got->csum_offset, 16);
		assert_int_equal(got->num_buffers, 0);
		vhost_ring_done(&g->r);
	}
	/* Nothing to be done: nothing is left of the header. */
	v.gso_type = 0;
	v.flags = VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO;
	p[0] = (struct vdriver_piece){ rig_buffer(g, 100), 100, false };
	rig_fill(g, p, 1, &v, 1);
	vdriver_add(&g->d, p, 1, NULL);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
	assert_memory_equal(&g->frame[0].vnet, &plain, sizeof(plain));
	vhost_ring_done(&g->r);
}

static void frames_wrong_in_themselves_are_for_the_pipeline(void **state)
{
	static const uint32_t len[] = { 0, 1, 11, 12, 13, 25 };
	struct rig *g = *state;
	struct vdriver_piece p[3];

	rig_start(g, 64, 0);
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		p[0] = (struct vdriver_piece){ rig_buffer(g, 32), len[i],
					       false };
		rig_fill(g, p, 1, &plain, 5);
		vdriver_add(&g->d, p, 1, NULL);
	}
	for (int i = 0; i < 3; i++)
		p[i] = (struct vdriver_piece){ GUEST + RIG_BUFFERS, 1u << 20,
					       false };
	vdriver_add(&g->d, p, 1, NULL);
	vdriver_add(&g->d, p, 3, NULL);
	rig_post(g, 60, 8);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 9);
	for (int i = 0; i < 4; i++)
		assert_int_equal(g->frame[i].len, 0);
	rig_expect(&g->frame[4], 1, 5);
	rig_expect(&g->frame[5], 13, 5);
	for (int i = 6; i < 8; i++) {
		assert_true(g->frame[i].len > FRAME_LEN_MAX);
		assert_true(g->frame[i].head_len <= VHOST_HEAD);
	}
	rig_expect(&g->frame[8], 60, 8);
	vhost_ring_done(&g->r);
	for (int i = 0; i < 9; i++) {
		uint16_t id;
		uint32_t back;

		assert_true(vdriver_reap(&g->d, &id, &back));
	}
	assert_null(g->r.broken);
}

static void small_arena_ends_the_batch_and_loses_nothing(void **state)
{
	struct rig *g = *state;
	unsigned int n = 0, got;

	rig_start(g, 256, 0);
	for (uint32_t i = 0; i < 20; i++)
		rig_post(g, 60, i);
	vdriver_publish(&g->d);
	g->arena.size = FRAME_SLOT + 1000;
	while ((got = rig_receive(g, FRAME_BATCH_MAX)) > 0) {
		assert_true(got < 20);
		for (unsigned int i = 0; i < got; i++)
			rig_expect(&g->frame[i], 60, n + i);
		n += got;
		vhost_ring_done(&g->r);
	}
	assert_int_equal(n, 20);
}

/* A guest that chops its frames has smaller batches. */
static void work_of_a_batch_is_bounded(void **state)
{
	static const uint32_t cut[] = { 1 };
	struct vdriver_piece p[VHOST_CHAIN_MAX];
	struct rig *g = *state;
	unsigned int n, got, all = 0;

	rig_start(g, 32768, 0);
	n = rig_chop(g, p, cut, 1, 1000);
	rig_fill(g, p, n, &plain, 6);
	for (int i = 0; i < 30; i++)
		assert_true(vdriver_add(&g->d, p, n, NULL) >= 0);
	vdriver_publish(&g->d);
	while ((got = rig_receive(g, FRAME_BATCH_MAX)) > 0) {
		assert_int_equal(got, 3);
		rig_expect(&g->frame[2], 988, 6);
		all += got;
		vhost_ring_done(&g->r);
	}
	assert_int_equal(all, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(frames_come_once_in_order),
		RIG_TEST(rings_of_any_size_go_round_and_round),
		RIG_TEST(full_ring_is_taken_in_batches),
		RIG_TEST(frames_of_any_layout_are_whole),
		RIG_TEST(heads_are_private),
		RIG_TEST(frames_in_very_many_pieces_are_gathered),
		RIG_TEST(buffers_and_tables_may_cross_regions),
		RIG_TEST(offload_headers_come_as_they_are_flags_of_others_dont),
		RIG_TEST(frames_wrong_in_themselves_are_for_the_pipeline),
		RIG_TEST(small_arena_ends_the_batch_and_loses_nothing),
		RIG_TEST(work_of_a_batch_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
