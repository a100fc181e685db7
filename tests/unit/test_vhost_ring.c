#include "ports/offload.h"
#include "tests/unit/vhost_rig.h"

#define MRG   BIT(VIRTIO_NET_F_MRG_RXBUF)
#define EVENT BIT(VIRTIO_RING_F_EVENT_IDX)
#define TABLE BIT(VIRTIO_RING_F_INDIRECT_DESC)

static const struct virtio_net_hdr_v1 plain;

/* ---- from the guest ---- */

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

/* Pieces of these lengths in a row, the last one once more for the rest. */
static unsigned int chop(struct rig *g, struct vdriver_piece *p,
			 const uint32_t *cut, unsigned int cuts, uint32_t len)
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
			pieces = chop(g, p, cut[c / 2], 3,
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
	n = chop(g, p, cut, 1, ETHER_VNET_LEN + 65550);
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
		unsigned int n = chop(g, p, cut[i], 2, ETHER_VNET_LEN + 3000);

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
	n = chop(g, p, cut, 1, 1000);
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

/* ---- to the guest ---- */

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
		unsigned int n = chop(g, p, cut[c / 2], 3, 1600);
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
