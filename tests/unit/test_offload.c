/* Checksums, segmentation and the checks in front of them (ports/offload.h) */
#include "ports/offload.h"
#include "tests/unit/offload_fixture.h"
#include "tests/unit/superframe.h"

#include "ports/csum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* The same with all behind `head` bytes in segments of uneven length. */
static void scatter(struct frame *f, struct iovec *iov, uint32_t head)
{
	uint32_t off = head;

	f->nsegs = 0;
	f->segs = iov;
	f->head_len = head;
	while (off < f->len) {
		uint32_t n = 1 + random_below(f->len / 8 + 2);

		if (n > f->len - off || f->nsegs == FRAME_SEGS_MAX - 1)
			n = f->len - off;
		iov[f->nsegs].iov_base = f->data + off;
		iov[f->nsegs++].iov_len = n;
		off += n;
	}
}

static void assert_is(const struct frame *f, const struct superframe *s)
{
	uint32_t len = superframe_build(s, want_mem, SUPERFRAME_SEGMENT);

	assert_int_equal(f->len, len);
	assert_int_equal(f->head_len, len);
	assert_int_equal(f->nsegs, 0);
	assert_memory_equal(f->data, want_mem, len);
	assert_false(frame_has_offload(f));
}

/* Segment with `max` frames a call and an arena of that size; count them. */
static void assert_segments(const struct frame *f, const struct superframe *s,
			    uint16_t gso_size, unsigned int max, uint32_t room)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame out[16];
	unsigned int made, seen = 0;
	uint32_t off = 0;

	for (;;) {
		struct frame_arena a = arena_of(room);

		made = offload_segment(f, out, max, &a, &off, &why);
		if (!made)
			break;
		for (unsigned int i = 0; i < made; i++) {
			struct superframe t =
				superframe_segment(s, gso_size, seen++);

			assert_is(&out[i], &t);
			assert_int_equal(out[i].vid, f->vid);
			assert_int_equal(out[i].origin, f->origin);
		}
	}
	assert_int_equal(why, DROP_REASON_COUNT);
	assert_int_equal(seen, superframe_segments(s, gso_size));
	assert_int_equal(seen, offload_segments(f));
}

static const struct superframe some = { .tcp_flags = 0x99,
					.id = 0xfffe,
					.seq = 0xfffffff0,
					.sport = 40000,
					.tcp_options = 12,
					.payload = 3000 };

#define FOR_ALL_KINDS(s)                                                \
	for (unsigned int k = 0; k < 4 * 3 * SUPERFRAME_EXT_COUNT; k++) \
		if (s = some, s.ipv6 = k & 1, s.udp = k >> 1 & 1,       \
		    s.tags = k / 4 % 3, s.ext = k / 12, true)

/* ---- checksums --------------------------------------------------------- */

static void sum_equals_the_slow_sum_at_every_length_and_alignment(void **st)
{
	uint8_t from[300], to[300];

	(void)st;
	for (unsigned int i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(random_below(4) ? random_below(256) : 0xff);
	for (uint32_t at = 0; at < 9; at++) {
		uint32_t sum = 0;

		for (uint32_t n = 0; n + at < sizeof(from); n++) {
			if (n)
				sum += from[at + n - 1] << (n & 1 ? 8 : 0);
			assert_int_equal(csum_bytes(from + at, n),
					 csum_fold(sum));
			memset(to, 0, sizeof(to));
			assert_int_equal(csum_copy(to, from + at, n),
					 csum_fold(sum));
			assert_memory_equal(to, from + at, n);
			assert_int_equal(to[n], 0);
		}
	}
}

/* The example of RFC 3720 B.4: 32 bytes 0, 1, 2 .. have 0x46dd794e. */
static void crc32c_of_the_rfcs_example_is_the_rfcs(void **st)
{
	uint8_t p[32];

	(void)st;
	for (unsigned int i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)i;
	assert_int_equal(csum_crc32c(csum_crc32c(~0u, p, 5), p + 5, 27),
			 ~0x46dd794eu);
}

/* SCTP COOKIE ACK; the tag and ports of this one are made up. */
static void partial_checksum_of_sctp_is_completed_as_crc32c(void **st)
{
	static const uint8_t sctp[16] = { 0x0b, 0x59, 0x0b, 0x59, 0, 0,
					  0x0e, 0x50, 0,    0,	  0, 0,
					  11,	0,    0,    4 };
	enum drop_reason why = DROP_REASON_COUNT;
	uint8_t copy[16], rest[4];
	struct iovec seg = { rest, sizeof(rest) };
	struct frame f = frame_of(&some, 0);
	uint32_t crc;

	(void)st;
	f.data[14 + 9] = 132;
	memcpy(f.data + 34, sctp, sizeof(sctp));
	memcpy(rest, sctp + 12, sizeof(rest));
	f.vnet.csum_offset = 8;
	f.head_len = 34 + 12;
	f.len = 34 + 16;
	f.nsegs = 1;
	f.segs = &seg;
	memcpy(copy, sctp, sizeof(copy));
	crc = ~csum_crc32c(~0u, copy, sizeof(copy));
	assert_true(offload_check(&f, &why));
	assert_false(frame_has_offload(&f));
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(f.data[42 + i], crc >> 8 * i & 0xff);
}

static void partial_checksum_is_completed_over_head_and_segments(void **st)
{
	struct iovec iov[FRAME_SEGS_MAX];
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s) for (s.payload = 0; s.payload < 90; s.payload++)
	{
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f = frame_of(&s, 0);

		scatter(&f, iov, superframe_head(&s));
		assert_true(offload_check(&f, &why));
		offload_complete_csum(&f);
		assert_false(frame_has_offload(&f));
		superframe_build(&s, want_mem, SUPERFRAME_COMPLETE);
		assert_memory_equal(f.data, want_mem, f.len);
	}
}

static void checksum_of_zero_is_sent_as_ffff(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s)
	{
		enum drop_reason why;
		struct frame f;

		s.payload = 33;
		superframe_zero_csum(&s);
		f = frame_of(&s, 0);
		assert_true(offload_check(&f, &why));
		offload_complete_csum(&f);
		assert_int_equal(load_be16(f.data + superframe_l4(&s) +
					   (s.udp ? 6 : 16)),
				 0xffff);
	}
}

static void segments_checksum_of_zero_is_ffff_for_udp_only(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s)
	{
		struct superframe t;
		struct frame f;

		s.payload = 100;
		t = superframe_segment(&s, 60, 0);
		superframe_zero_csum(&t);
		s.sport = t.sport;
		superframe_build(&t, want_mem, SUPERFRAME_SEGMENT);
		t = superframe_segment(&s, 60, 0);
		assert_int_equal(load_be16(want_mem + superframe_l4(&s) +
					   (s.udp ? 6 : 16)),
				 s.udp ? 0xffff : 0);
		f = frame_of(&s, 60);
		f.vnet.hdr_len = (uint16_t)superframe_head(&s);
		assert_segments(&f, &s, 60, 16, ARENA_SIZE);
	}
}

/* ---- segmentation ------------------------------------------------------ */

static void hand_made_frame_gives_the_hand_made_segments(void **st)
{
	/* clang-format off */
	/* 192.0.2.1:80 > 192.0.2.2:81, id 7, seq 256, ACK PSH FIN CWR */
	static const uint8_t frame[] = {
		/* Ethernet, IPv4 */
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
		0x45, 0, 0, 46, 0, 7, 0x40, 0, 64, 6, 0, 0,
		192, 0, 2, 1, 192, 0, 2, 2,
		/* TCP; in the checksum field the pseudo-header's sum:
		 * c000 + 0201 + c000 + 0202 + 0006 + 001a = 18423 */
		0, 80, 0, 81, 0, 0, 1, 0, 0, 0, 0, 1,
		0x50, 0x99, 0x10, 0, 0x84, 0x24, 0, 0,
		'a', 'b', 'c', 'd', 'e', 'f'
	};
	static const uint8_t first[] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
		/* 4500+002c+0007+4000+4006+c000+0201+c000+0202 = 2493c */
		0x45, 0, 0, 44, 0, 7, 0x40, 0, 64, 6, 0xb6, 0xc1,
		192, 0, 2, 1, 192, 0, 2, 2,
		/* 18421 (pseudo) + 0050+0051+0100+0001+5090+1000 (header)
		 * + 6162+6364 = 2ab19 */
		0, 80, 0, 81, 0, 0, 1, 0, 0, 0, 0, 1,
		0x50, 0x90, 0x10, 0, 0x54, 0xe4, 0, 0,
		'a', 'b', 'c', 'd'
	};
	static const uint8_t second[] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
		0x45, 0, 0, 42, 0, 8, 0x40, 0, 64, 6, 0xb6, 0xc2,
		192, 0, 2, 1, 192, 0, 2, 2,
		0, 80, 0, 81, 0, 0, 1, 4, 0, 0, 0, 1,
		0x50, 0x19, 0x10, 0, 0xb4, 0xb9, 0, 0,
		'e', 'f'
	};
	/* clang-format on */
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame_arena a = arena_of(ARENA_SIZE);
	struct frame f, out[4];
	uint32_t off = 0;

	(void)st;
	frame_init(&f, frame_mem, sizeof(frame));
	memcpy(f.data, frame, sizeof(frame));
	f.vnet = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 4,
		.csum_start = 34,
		.csum_offset = 16,
	};
	assert_true(offload_check(&f, &why));
	assert_int_equal(offload_segment(&f, out, 4, &a, &off, &why), 2);
	assert_int_equal(out[0].len, sizeof(first));
	assert_memory_equal(out[0].data, first, sizeof(first));
	assert_int_equal(out[1].len, sizeof(second));
	assert_memory_equal(out[1].data, second, sizeof(second));
	assert_memory_equal(f.data, frame, sizeof(frame));
}

static void every_length_of_every_kind_gives_the_reference_segments(void **st)
{
	static const uint16_t sizes[] = { 1, 8, 33, 64 };
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s) for (unsigned int i = 0; i < 4; i++)
	{
		for (s.payload = sizes[i] + 1u; s.payload <= 3u * sizes[i];
		     s.payload++) {
			enum drop_reason why = DROP_REASON_COUNT;
			struct frame f = frame_of(&s, sizes[i]);

			f.vid = 10;
			f.origin = 3;
			assert_true(offload_check(&f, &why));
			assert_int_equal(f.vnet.hdr_len, superframe_head(&s));
			assert_segments(&f, &s, sizes[i], 16, ARENA_SIZE);
		}
	}
}

static void payload_in_pieces_gives_the_same_segments(void **st)
{
	struct iovec iov[FRAME_SEGS_MAX];
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s) for (unsigned int i = 0; i < 20; i++)
	{
		enum drop_reason why = DROP_REASON_COUNT;
		uint16_t size = (uint16_t)(1 + random_below(1460));
		struct frame f;

		s.payload = size + 1u + random_below(4 * size);
		f = frame_of(&s, size);
		scatter(&f, iov, superframe_head(&s) + random_below(50) % size);
		assert_true(offload_check(&f, &why));
		assert_segments(&f, &s, size, 16, ARENA_SIZE);
	}
}

static void small_arena_and_few_frames_go_on_where_they_stopped(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct superframe s = some;
	struct frame f;

	(void)st;
	s.payload = 64000;
	f = frame_of(&s, 1448);
	assert_true(offload_check(&f, &why));
	for (unsigned int max = 1; max <= 16; max++) {
		assert_segments(&f, &s, 1448, max, ARENA_SIZE);
		assert_segments(&f, &s, 1448, max, 1664);
		assert_segments(&f, &s, 1448, max, 5000);
	}
}

static void arena_without_room_for_one_segment_is_said(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f = frame_of(&some, 1448), out[4];
	struct frame_arena a = arena_of(1600);
	uint32_t off = 0;

	(void)st;
	assert_true(offload_check(&f, &why));
	assert_int_equal(offload_segment(&f, out, 4, &a, &off, &why), 0);
	assert_int_equal(why, DROP_NO_MEMORY);
	assert_int_equal(off, 0);
}

static void tags_pushed_and_popped_after_the_check_are_in_the_segments(
	void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct superframe s = some;
	struct frame f;

	(void)st;
	f = frame_of(&s, 1000);
	assert_true(offload_check(&f, &why));
	frame_vlan_push(&f, 0x8100, 0x600a);
	s.tags = 1;
	assert_segments(&f, &s, 1000, 16, ARENA_SIZE);
	frame_vlan_push(&f, 0x88a8, 0x2064);
	s.tags = 2;
	assert_segments(&f, &s, 1000, 16, ARENA_SIZE);
	frame_vlan_pop(&f);
	frame_vlan_pop(&f);
	s.tags = 0;
	assert_segments(&f, &s, 1000, 16, ARENA_SIZE);
}

static void ufo_frame_becomes_fragments_with_one_checksum(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame_arena a = arena_of(ARENA_SIZE);
	struct superframe s = some;
	uint32_t l4, off = 0, done = 0, made;
	struct frame f, out[8];

	(void)st;
	s.udp = true;
	l4 = superframe_l4(&s);
	f = frame_of(&s, 1484);
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	assert_true(offload_check(&f, &why));
	assert_int_equal(f.vnet.gso_size, 1480);
	assert_int_equal(offload_segments(&f), 3);
	assert_int_equal(offload_wire_mtu(&f), 1500);
	made = offload_segment(&f, out, 8, &a, &off, &why);
	assert_int_equal(made, 3);
	superframe_build(&s, want_mem, SUPERFRAME_COMPLETE);
	for (unsigned int i = 0; i < made; i++) {
		const uint8_t *ip = out[i].data + 14;
		uint32_t n = out[i].len - l4;

		assert_int_equal(n, i < 2 ? 1480 : 3008 - 2 * 1480);
		assert_int_equal(load_be16(ip + 2), 20 + n);
		assert_int_equal(load_be16(ip + 4), some.id);
		assert_int_equal(load_be16(ip + 6),
				 done / 8 | (i < 2 ? 0x2000 : 0));
		assert_int_equal(csum_bytes(ip, 20), 0xffff);
		assert_memory_equal(out[i].data + l4, want_mem + l4 + done, n);
		done += n;
	}
}

static void ufo_over_ipv6_is_refused(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame_arena a = arena_of(ARENA_SIZE);
	struct superframe s = some;
	struct frame f, out[8];
	uint32_t off = 0;

	(void)st;
	s.udp = true;
	s.ipv6 = true;
	f = frame_of(&s, 1448);
	f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	assert_true(offload_check(&f, &why));
	assert_int_equal(offload_segment(&f, out, 8, &a, &off, &why), 0);
	assert_int_equal(why, DROP_GSO);
}

static void tcp_super_frame_without_partial_checksum_is_given_one(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s)
	{
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f = frame_of(&s, 1448);

		superframe_build(&s, f.data, SUPERFRAME_COMPLETE);
		f.vnet.flags = 0;
		f.vnet.csum_start = 0;
		f.vnet.csum_offset = 0;
		if (s.udp) { /* as Linux: only with its partial checksum */
			assert_false(offload_check(&f, &why));
			assert_int_equal(why, DROP_BAD_OFFLOAD);
			continue;
		}
		assert_true(offload_check(&f, &why));
		superframe_build(&s, want_mem, SUPERFRAME_PARTIAL);
		assert_memory_equal(f.data, want_mem, f.len);
		assert_segments(&f, &s, 1448, 16, ARENA_SIZE);
	}
}

#define TEST(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sum_equals_the_slow_sum_at_every_length_and_alignment),
		TEST(crc32c_of_the_rfcs_example_is_the_rfcs),
		TEST(partial_checksum_of_sctp_is_completed_as_crc32c),
		TEST(partial_checksum_is_completed_over_head_and_segments),
		TEST(checksum_of_zero_is_sent_as_ffff),
		TEST(segments_checksum_of_zero_is_ffff_for_udp_only),
		TEST(hand_made_frame_gives_the_hand_made_segments),
		TEST(every_length_of_every_kind_gives_the_reference_segments),
		TEST(payload_in_pieces_gives_the_same_segments),
		TEST(small_arena_and_few_frames_go_on_where_they_stopped),
		TEST(arena_without_room_for_one_segment_is_said),
		TEST(tags_pushed_and_popped_after_the_check_are_in_the_segments),
		TEST(ufo_frame_becomes_fragments_with_one_checksum),
		TEST(ufo_over_ipv6_is_refused),
		TEST(tcp_super_frame_without_partial_checksum_is_given_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
