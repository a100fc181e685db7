/* What offload_check() lets pass, and hostile frames (ports/offload.h) */
#include "ports/offload.h"
#include "tests/unit/offload_fixture.h"
#include "tests/unit/superframe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

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

/* ---- checks ------------------------------------------------------------ */

static void super_frame_of_one_segment_is_a_plain_frame(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s)
	{
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f;

		s.payload = 100;
		f = frame_of(&s, 100);
		assert_true(offload_check(&f, &why));
		assert_int_equal(f.vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(offload_segments(&f), 1);
		offload_complete_csum(&f);
		superframe_build(&s, want_mem, SUPERFRAME_COMPLETE);
		assert_memory_equal(f.data, want_mem, f.len);
		f = frame_of(&s, 99);
		assert_true(offload_check(&f, &why));
		assert_int_equal(offload_segments(&f), 2);
	}
}

static void leftovers_in_the_vnet_header_are_cleared(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f = frame_of(&some, 0);

	(void)st;
	f.vnet.flags |= VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO;
	f.vnet.gso_size = 7;
	f.vnet.hdr_len = 9999;
	f.vnet.num_buffers = 3;
	assert_true(offload_check(&f, &why));
	assert_int_equal(f.vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(f.vnet.gso_size, 0);
	assert_int_equal(f.vnet.hdr_len, 0);
	assert_int_equal(f.vnet.num_buffers, 0);
	assert_int_equal(why, DROP_REASON_COUNT);
}

/* Fragment offsets have 13 bits: what they can't say isn't UFO. */
static void ufo_frame_is_no_longer_than_a_datagram(void **st)
{
	struct superframe s = some;

	(void)st;
	s.udp = true;
	for (s.tags = 0; s.tags <= 2; s.tags++) {
		for (uint32_t more = 0; more < 2; more++) {
			struct frame_arena a = arena_of(ARENA_SIZE);
			enum drop_reason why = DROP_REASON_COUNT;
			struct frame f, out[4];
			uint32_t off = 0;

			s.payload = 65535 - 20 - 8 + more;
			f = frame_of(&s, 1480);
			f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
			assert_int_equal(
				offload_segment(&f, out, 4, &a, &off, &why) > 0,
				!more);
			assert_int_equal(offload_check(&f, &why), !more);
		}
	}
}

/* One way each to contradict oneself, on a good TCPv4 super-frame. */
static void break_frame(struct frame *f, unsigned int how)
{
	struct virtio_net_hdr_v1 *v = &f->vnet;

	switch (how) {
	case 0:
		v->gso_size = 0;
		break;
	case 1:
		v->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		break;
	case 2:
		v->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		break;
	case 3:
		v->gso_type = 2;
		break;
	case 4:
		v->gso_type = VIRTIO_NET_HDR_GSO_ECN;
		break;
	case 5: /* csum_start before and behind TCP */
		v->csum_start -= 2;
		break;
	case 6:
		v->csum_start += 2;
		break;
	case 7:
		v->csum_offset = 6;
		break;
	case 8:
		v->csum_offset = 0xffff;
		break;
	case 9: /* TCP header of 16 bytes, or longer than the head */
		f->data[34 + 12] = 0x40;
		break;
	case 10:
		f->head_len = 14 + 20 + 20 + 11;
		break;
	case 11: /* IPv4 header of 16 bytes; version 6 */
		f->data[14] = 0x44;
		break;
	case 12:
		f->data[14] = 0x65;
		break;
	case 13: /* a fragment */
		f->data[20] = 0x20;
		break;
	case 14:
		f->data[21] = 1;
		break;
	case 15: /* not TCP; not IP; three tags */
		f->data[23] = 132;
		break;
	case 16:
		f->data[13] = 6;
		break;
	case 17:
		for (unsigned int i = 0; i < 3; i++)
			frame_vlan_push(f, 0x8100, 1);
		break;
	case 18: /* 0xffff is Linux's GSO_BY_FRAGS */
		v->gso_size = 0xffff;
		break;
	case 19: /* more than 64 KiB segments wouldn't be IP */
		f->len = FRAME_LEN_MAX;
		f->head_len = f->len;
		v->gso_size = 65500;
		break;
	case 20: /* too many segments */
		f->len = FRAME_LEN_MAX;
		f->head_len = f->len;
		v->gso_size = 7;
		break;
	case 21:
		f->head_len = 13;
		break;
	default:
		fail();
	}
}

static void contradiction_is_refused_by_check_and_by_segment(void **st)
{
	(void)st;
	for (unsigned int how = 0; how <= 21; how++) {
		struct frame_arena a = arena_of(ARENA_SIZE);
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f = frame_of(&some, 1448), out[4];
		uint32_t off = 0;

		break_frame(&f, how);
		assert_int_equal(offload_segment(&f, out, 4, &a, &off, &why),
				 0);
		assert_int_equal(why, DROP_GSO);
		assert_false(offload_check(&f, &why));
		assert_int_equal(why, DROP_BAD_OFFLOAD);
	}
}

static void checksum_field_can_not_be_what_the_switch_decides_on(void **st)
{
	struct superframe s = some;

	(void)st;
	for (s.tags = 0; s.tags <= 2; s.tags++) {
		for (uint32_t start = 0; start < 38 + 4 * s.tags; start++) {
			enum drop_reason why = DROP_REASON_COUNT;
			struct frame f = frame_of(&s, 0);

			f.vnet.csum_start = (uint16_t)start;
			f.vnet.csum_offset = 0;
			assert_int_equal(offload_check(&f, &why),
					 start >= 34 + 4 * s.tags);
		}
	}
}

static void checksum_field_lies_in_the_head_whatever_is_put_in_front(void **st)
{
	struct superframe s = some;
	unsigned int passed = 0;

	(void)st;
	s.payload = 65500;
	for (uint32_t start = 65000; start < 65536; start++) {
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f = frame_of(&s, 0);

		f.vnet.csum_start = (uint16_t)start;
		f.vnet.csum_offset = 2;
		if (!offload_check(&f, &why))
			continue;
		passed++;
		for (unsigned int i = 0; i < 8; i++)
			frame_vlan_push(&f, 0x8100, 1);
		assert_int_equal(f.vnet.csum_start, start + 32);
	}
	assert_in_range(passed, 300, 500);
	for (uint16_t cut = 0; cut < 20; cut++) {
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f = frame_of(&some, 0);

		f.head_len = superframe_l4(&some) + cut;
		assert_int_equal(offload_check(&f, &why), cut >= 18);
	}
}

/* An outer header of `len` bytes behind Ethernet, as tunnels put it there. */
static struct frame tunnel_frame(uint16_t gso_size, uint8_t proto, uint32_t len)
{
	struct frame f = frame_of(&some, gso_size);
	uint8_t *p = f.data - 20 - len, *ip = p + 14;

	memcpy(p, f.data, 14);
	memset(ip, 0, 20 + len);
	ip[0] = 0x45;
	ip[9] = proto;
	store_be16(ip + 22, 4789);
	f.data = p;
	f.len += 20 + len;
	f.head_len = f.len;
	f.vnet.csum_start = (uint16_t)(f.vnet.csum_start + 20 + len);
	return f;
}

static void tunnel_super_frame_labelled_as_tcp_is_recognised(void **st)
{
	/* VXLAN or Geneve (with an inner Ethernet), GRE, IPIP, 6in4's outer */
	static const struct {
		uint8_t proto;
		uint32_t len;
	} tunnels[] = { { 17, 16 + 14 }, { 47, 4 }, { 4, 0 }, { 41, 0 } };

	(void)st;
	for (unsigned int i = 0; i < 4; i++) {
		enum drop_reason why = DROP_REASON_COUNT;
		struct frame f =
			tunnel_frame(1448, tunnels[i].proto, tunnels[i].len);

		assert_false(offload_check(&f, &why));
		assert_int_equal(why, DROP_TUNNEL_GSO);
		f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		assert_false(offload_check(&f, &why));
		assert_int_equal(why, DROP_TUNNEL_GSO);
	}
}

static void tunnel_frame_with_inner_partial_checksum_is_completed(void **st)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f = tunnel_frame(0, 17, 30);

	(void)st;
	assert_true(offload_check(&f, &why));
	offload_complete_csum(&f);
	superframe_build(&some, want_mem, SUPERFRAME_COMPLETE);
	assert_memory_equal(f.data + 50 + 14, want_mem + 14, f.len - 64);
}

static void wire_mtu_is_the_longest_segments_behind_one_tag(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s)
	{
		enum drop_reason why = DROP_REASON_COUNT;
		uint32_t l2 = 14 + (s.tags ? 4 : 0);
		struct frame f = frame_of(&s, 1000);

		assert_true(offload_check(&f, &why));
		assert_int_equal(offload_wire_mtu(&f),
				 superframe_head(&s) + 1000 - l2);
		f = frame_of(&s, 0);
		assert_int_equal(offload_wire_mtu(&f), f.len - l2);
	}
}

/* ---- hostile ----------------------------------------------------------- */

/* Everything that can be done with a frame; its memory is exactly as long as
 * the head, so that AddressSanitizer sees a step beyond. */
static void try_all(const struct frame *f)
{
	struct frame_arena a = arena_of(ARENA_SIZE);
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame g = *f, out[16];
	uint8_t *mem = malloc(f->head_len + 1);
	uint32_t off = 0;

	assert_non_null(mem);
	g.data = mem + 1; /* an empty head is none, too */
	memcpy(g.data, f->data, f->head_len);
	if (offload_check(&g, &why)) {
		assert_int_equal(why, DROP_REASON_COUNT);
		(void)offload_wire_mtu(&g);
		if (g.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
			offload_complete_csum(&g);
		else
			(void)offload_segment(&g, out, 16, &a, &off, &why);
	} else {
		assert_true(why == DROP_BAD_OFFLOAD || why == DROP_TUNNEL_GSO);
	}
	free(mem);
}

/* A partial checksum; a super-frame; a super-frame without the checksum,
 * which is UFO where it's UDP. */
static struct frame frame_as(const struct superframe *s, unsigned int how)
{
	struct frame f = frame_of(s, how ? 40 : 0);

	if (how == 2) {
		f.vnet.flags = 0;
		if (s->udp)
			f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	}
	return f;
}

static void every_truncation_is_survived(void **st)
{
	struct superframe s;

	(void)st;
	FOR_ALL_KINDS(s) for (unsigned int how = 0; how < 3; how++)
	{
		struct frame f;
		uint32_t len;

		s.payload = 60;
		f = frame_as(&s, how);
		len = f.len;
		for (uint32_t n = 0; n <= len; n++) {
			struct iovec rest = { f.data + n, len - n };

			f.head_len = f.len = n;
			f.nsegs = 0;
			try_all(&f);
			f.len = len; /* or the rest is in a segment */
			f.nsegs = 1;
			f.segs = &rest;
			try_all(&f);
		}
	}
}

static void random_damage_is_survived(void **st)
{
	struct superframe s;

	(void)st;
	for (unsigned int round = 0; round < 200; round++) {
		FOR_ALL_KINDS(s)
		{
			struct frame f;
			uint8_t *v = (uint8_t *)&f.vnet;

			s.payload = 100 + random_below(100);
			f = frame_as(&s, random_below(3));
			f.vnet.gso_size = (uint16_t)random_below(100);
			for (uint32_t i = random_below(4); i; i--)
				f.data[random_below(superframe_head(&s))] ^=
					(uint8_t)(1u << random_below(8));
			for (uint32_t i = random_below(3); i; i--)
				v[random_below(ETHER_VNET_LEN)] ^=
					(uint8_t)(1u << random_below(8));
			f.head_len = f.len = f.len - random_below(50);
			try_all(&f);
		}
	}
}

#define TEST(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(super_frame_of_one_segment_is_a_plain_frame),
		TEST(leftovers_in_the_vnet_header_are_cleared),
		TEST(ufo_frame_is_no_longer_than_a_datagram),
		TEST(contradiction_is_refused_by_check_and_by_segment),
		TEST(checksum_field_can_not_be_what_the_switch_decides_on),
		TEST(checksum_field_lies_in_the_head_whatever_is_put_in_front),
		TEST(tunnel_super_frame_labelled_as_tcp_is_recognised),
		TEST(tunnel_frame_with_inner_partial_checksum_is_completed),
		TEST(wire_mtu_is_the_longest_segments_behind_one_tag),
		TEST(every_truncation_is_survived),
		TEST(random_damage_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
