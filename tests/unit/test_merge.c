/*
 * Segments become the super-frame that they were cut from, and a super-frame
 * one packet: compared with what superframe.h makes of the same description.
 */
#include "ports/merge.h"
#include "tests/unit/offload_fixture.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/tcp.h>

#define MSS	   1460
#define IP_LEN_MAX 65535

/* Room for one segment. */
static uint8_t segment_mem[FRAME_LEN_MAX];

static const struct superframe data = {
	.tcp_flags = TH_ACK | TH_PUSH,
	.id = 0xfffe,
	.sport = 7777,
	.seq = 0xfffffff0,
	.payload = 2 * MSS,
};

/* Where merges grow: in front is a headroom, as the switch has it. */
static uint8_t *place(void)
{
	return frame_mem + FRAME_HEADROOM;
}

static uint32_t build(const struct superframe *s, uint16_t mss, uint32_t n)
{
	struct superframe t = superframe_segment(s, mss, n);

	return superframe_build(&t, segment_mem, SUPERFRAME_SEGMENT);
}

static void begin(struct merge *m, const struct superframe *s, uint16_t mss)
{
	uint32_t len = build(s, mss, 0);

	memcpy(place(), segment_mem, len);
	merge_begin(m, place(), len);
}

static bool add(struct merge *m, const struct superframe *s, uint16_t mss,
		uint32_t n)
{
	return merge_add(m, segment_mem, build(s, mss, n));
}

/* The frame that was merged, as the switch takes it. */
static struct frame taken(const struct merge *m)
{
	struct frame f;
	enum drop_reason why;

	frame_init(&f, m->data, m->len);
	merge_end(m, &f.vnet);
	if (frame_has_offload(&f))
		assert_true(offload_check(&f, &why));
	return f;
}

static void is_super_frame(const struct merge *m, const struct superframe *s,
			   uint16_t mss)
{
	struct virtio_net_hdr_v1 v;
	struct frame f = taken(m);

	assert_int_equal(f.len,
			 superframe_build(s, want_mem, SUPERFRAME_PARTIAL));
	assert_memory_equal(f.data, want_mem, f.len);
	superframe_vnet(s, mss, &v);
	assert_memory_equal(&f.vnet, &v, sizeof(v));
}

static void segments_become_the_super_frame_they_were_cut_from(void **st)
{
	static const uint16_t sizes[] = { 8, 536, MSS, 8960 };
	static const uint32_t payloads[] = { 9, 1000, 2921, 33333, 65000 };
	struct superframe s = data;

	(void)st;
	for (unsigned int i = 0; i < 4 * 4 * 5; i++) {
		uint16_t mss = sizes[i / 4 % 4];
		struct merge m;
		uint32_t n;

		s.ipv6 = i & 1;
		s.tcp_options = i & 2 ? 12 : 0;
		s.payload = payloads[i / 16];
		if (s.payload <= mss)
			continue;
		n = superframe_segments(&s, mss);
		begin(&m, &s, mss);
		for (uint32_t k = 1; k < n; k++)
			assert_true(add(&m, &s, mss, k));
		is_super_frame(&m, &s, mss);
	}
}

static void lone_frame_of_any_kind_stays_as_it_is(void **st)
{
	static const struct virtio_net_hdr_v1 none;
	struct superframe s = data;

	(void)st;
	for (unsigned int i = 0; i < 8; i++) {
		struct frame f;
		struct merge m;

		s.ipv6 = i & 1;
		s.udp = i & 2;
		s.payload = i & 4 ? 100 : 0;
		begin(&m, &s, MSS);
		f = taken(&m);
		assert_int_equal(f.len, build(&s, MSS, 0));
		assert_memory_equal(f.data, segment_mem, f.len);
		assert_memory_equal(&f.vnet, &none, sizeof(none));
	}
}

static void only_data_is_added_to_data(void **st)
{
	struct superframe s = data, other;
	struct merge m;

	(void)st;
	begin(&m, &s, MSS);
	other = superframe_segment(&s, MSS, 1);
	other.udp = true;
	assert_false(add(&m, &other, MSS, 0));
	other.udp = false;
	other.tags = 1;
	assert_false(add(&m, &other, MSS, 0));
	other.tags = 0;
	other.ext = 1;
	assert_false(add(&m, &other, MSS, 0));
	other.ext = 0;
	other.payload = 0; /* an acknowledgement */
	assert_false(add(&m, &other, MSS, 0));
	for (uint32_t len = 0; len < superframe_head(&s) + 1; len++)
		assert_false(merge_add(&m, segment_mem, len));
	assert_true(add(&m, &s, MSS, 1));

	/* Nor to one that has none, or more than data. */
	s.payload = 0;
	begin(&m, &s, MSS);
	assert_false(add(&m, &s, MSS, 0));
	s = data;
	s.tcp_flags |= TH_FIN;
	begin(&m, &s, MSS);
	assert_false(add(&m, &s, MSS, 1));
}

static void nothing_follows_a_push_or_a_short_segment(void **st)
{
	struct superframe s = data, next;
	struct merge m;

	(void)st;
	s.payload = 3 * MSS;
	begin(&m, &s, MSS);
	next = superframe_segment(&s, MSS, 1);
	next.tcp_flags |= TH_PUSH;
	assert_true(add(&m, &next, MSS, 0));
	assert_false(add(&m, &s, MSS, 2));
	s.payload = 2 * MSS;
	is_super_frame(&m, &s, MSS);

	s.payload = 3 * MSS;
	begin(&m, &s, MSS);
	next = superframe_segment(&s, MSS, 1);
	next.payload = MSS - 1;
	assert_true(add(&m, &next, MSS, 0));
	next.seq += next.payload;
	assert_false(add(&m, &next, MSS, 0));

	/* A longer one than the first can't be cut off again. */
	begin(&m, &s, MSS);
	next = superframe_segment(&s, MSS, 1);
	next.payload = MSS + 1;
	assert_false(add(&m, &next, MSS + 1, 0));

	s.payload = MSS; /* with PSH */
	begin(&m, &s, MSS);
	s.seq += MSS;
	assert_false(add(&m, &s, MSS, 0));
}

/* Is this bit of a segment's headers its own? */
static bool is_own(const struct superframe *s, uint32_t byte, unsigned int bit)
{
	uint32_t l3 = superframe_l3(s), l4 = superframe_l4(s);

	if (!s->ipv6 && (byte == l3 + 4 || byte == l3 + 5 || /* id */
			 byte == l3 + 10 || byte == l3 + 11))
		return true;
	return byte == l4 + 16 || byte == l4 + 17 ||
	       (byte == l4 + 13 && 1u << bit == TH_PUSH);
}

static void who_differs_in_a_bit_of_its_headers_is_not_added(void **st)
{
	struct superframe s = data;

	(void)st;
	for (unsigned int i = 0; i < 4; i++) {
		s.ipv6 = i & 1;
		s.tcp_options = i & 2 ? 12 : 0;
		for (uint32_t k = 0; k < superframe_head(&s) * 8; k++) {
			struct merge m;
			uint32_t len;

			begin(&m, &s, MSS);
			len = build(&s, MSS, 1);
			segment_mem[k / 8] ^= (uint8_t)(1u << k % 8);
			assert_int_equal(merge_add(&m, segment_mem, len),
					 is_own(&s, k / 8, k % 8));
		}
	}
}

static void it_is_never_longer_than_an_ip_packet(void **st)
{
	struct superframe s = data;

	(void)st;
	for (unsigned int ipv6 = 0; ipv6 < 2; ipv6++) {
		uint32_t k = 1, headers;
		struct merge m;

		s.ipv6 = ipv6;
		s.payload = 70000;
		headers = superframe_head(&s) - ETHER_HEADER_LEN;
		begin(&m, &s, MSS);
		while (add(&m, &s, MSS, k))
			k++;
		assert_int_equal(k, (IP_LEN_MAX - headers) / MSS);
		s.payload = k * MSS;
		s.tcp_flags = TH_ACK;
		is_super_frame(&m, &s, MSS);
		s.tcp_flags = data.tcp_flags;
	}
}

static void padding_is_no_data(void **st)
{
	struct superframe s = data;
	struct merge m;
	uint32_t len;

	(void)st;
	begin(&m, &s, MSS);
	len = build(&s, MSS, 1);
	assert_false(merge_add(&m, segment_mem, len + 1));
	assert_false(merge_add(&m, segment_mem, len - 1));
	merge_begin(&m, place(), build(&s, MSS, 0) + 1);
	assert_false(add(&m, &s, MSS, 1));
}

static void is_whole(struct frame *f, const struct superframe *s)
{
	static const struct virtio_net_hdr_v1 none;
	enum drop_reason why;

	assert_true(offload_check(f, &why));
	assert_true(merge_whole(f));
	assert_memory_equal(&f->vnet, &none, sizeof(none));
	assert_int_equal(f->len,
			 superframe_build(s, want_mem, SUPERFRAME_COMPLETE));
	assert_memory_equal(f->data, want_mem, f->len);
}

static void super_frame_becomes_one_complete_packet(void **st)
{
	struct superframe s = data;

	(void)st;
	s.payload = 50001;
	for (unsigned int i = 0; i < 16; i++) {
		struct frame f;

		s.ipv6 = i & 1;
		s.tcp_options = i & 2 ? 12 : 0;
		s.ext = i & 4 ? SUPERFRAME_HOP : SUPERFRAME_PLAIN;
		s.tags = i & 8 ? 1 : 0;
		f = frame_of(&s, MSS);
		/* Senders leave what they like in there. */
		store_be16(f.data + superframe_l3(&s) + (s.ipv6 ? 4 : 2), 0);
		is_whole(&f, &s);
	}
}

static void partial_checksum_is_completed(void **st)
{
	struct superframe s = data;

	(void)st;
	for (unsigned int i = 0; i < 4; i++) {
		struct frame f;

		s.ipv6 = i & 1;
		s.udp = i & 2;
		f = frame_of(&s, 0);
		is_whole(&f, &s);
	}
}

static void what_no_ip_header_can_say_stays_in_pieces(void **st)
{
	struct superframe s = data;
	enum drop_reason why;

	(void)st;
	for (unsigned int i = 0; i < 4; i++) {
		struct frame f;

		s.ipv6 = i & 1;
		s.payload = IP_LEN_MAX + ETHER_HEADER_LEN -
			    superframe_head(&s) + (i & 2 ? 1 : 0);
		f = frame_of(&s, MSS);
		assert_true(offload_check(&f, &why));
		assert_int_equal(merge_whole(&f), !(i & 2));
	}
}

#define TEST(f) cmocka_unit_test(f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(segments_become_the_super_frame_they_were_cut_from),
		TEST(lone_frame_of_any_kind_stays_as_it_is),
		TEST(only_data_is_added_to_data),
		TEST(nothing_follows_a_push_or_a_short_segment),
		TEST(who_differs_in_a_bit_of_its_headers_is_not_added),
		TEST(it_is_never_longer_than_an_ip_packet),
		TEST(padding_is_no_data),
		TEST(super_frame_becomes_one_complete_packet),
		TEST(partial_checksum_is_completed),
		TEST(what_no_ip_header_can_say_stays_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
