/* IPv4 datagrams out of fragments: in order, whole, and not many. */
#include "ports/slirp_fragments.h"

#include "ports/csum.h"
#include "ports/frame.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define ETH 14
#define IP  20
#define MF  0x2000
#define DF  0x4000
#define RF  0x8000

#define NOW 1000000

/* A frame: how many bytes of payload from `offset` on, which are numbered. */
struct given {
	uint32_t offset, n;
	uint16_t flags, id;
	uint32_t options; /* bytes */
	uint8_t from;	  /* last byte of the sender's address */
};

struct rig {
	struct slirp_fragments *t;
	uint8_t frame[ETH + 60 + 65536];
	size_t len;
	/* What came out; NULL: nothing. */
	const uint8_t *out;
	size_t out_len;
};

static int setup(void **state)
{
	static struct rig rig;

	memset(&rig, 0, sizeof(rig));
	rig.t = slirp_fragments_new();
	*state = &rig;
	return rig.t ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	slirp_fragments_free(r->t);
	return 0;
}

static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static void make(struct rig *r, struct given g)
{
	uint32_t header = IP + g.options;
	uint8_t *ip = r->frame + ETH;

	memset(r->frame, 0, ETH + header);
	store_be16(r->frame + 12, 0x0800);
	ip[0] = (uint8_t)(0x40 | header / 4);
	store_be16(ip + 2, (uint16_t)(header + g.n));
	store_be16(ip + 4, g.id);
	store_be16(ip + 6, (uint16_t)(g.flags | g.offset / 8));
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, "\x0a\0\2\x0f\x0a\0\2\2", 8);
	ip[15] = (uint8_t)(ip[15] + g.from);
	memset(ip + IP, 1, g.options); /* no operation */
	store_be16(ip + 10, (uint16_t)~csum_bytes(ip, header));
	for (uint32_t i = 0; i < g.n; i++)
		ip[header + i] = byte_at(g.offset + i);
	r->len = ETH + header + g.n;
}

/* Give it so; returns whether something came out. */
static bool gives(struct rig *r, uint64_t now)
{
	r->out = r->frame;
	r->out_len = r->len;
	if (slirp_fragments_take(r->t, &r->out, &r->out_len, now))
		return true;
	r->out = NULL;
	return false;
}

#define TAKE(r, ...) (make((r), (struct given){ __VA_ARGS__ }), gives((r), NOW))

static void is_whole(const struct rig *r, uint32_t header, uint32_t n)
{
	const uint8_t *ip = r->out + ETH;

	assert_int_equal(r->out_len, ETH + header + n);
	assert_int_equal(load_be16(ip + 2), header + n);
	assert_int_equal(load_be16(ip + 6), 0);
	assert_int_equal(csum_bytes(ip, header), 0xffff);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(ip[header + i], byte_at(i));
}

static void what_is_no_fragment_passes_as_it_is(void **state)
{
	struct rig *r = *state;

	assert_true(TAKE(r, .n = 100));
	assert_ptr_equal(r->out, r->frame);
	assert_true(TAKE(r, .n = 100, .flags = DF));
	assert_ptr_equal(r->out, r->frame);
	make(r, (struct given){ .n = 64, .flags = MF });
	store_be16(r->frame + 12, 0x86dd);
	assert_true(gives(r, NOW));
	make(r, (struct given){ .n = 64, .flags = MF });
	for (r->len = 0; r->len < ETH + IP; r->len++)
		assert_true(gives(r, NOW));
}

static void fragments_in_order_are_a_datagram(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 1480, .flags = MF));
	assert_false(TAKE(r, .offset = 1480, .n = 1480, .flags = MF));
	assert_true(TAKE(r, .offset = 2960, .n = 41));
	is_whole(r, IP, 3001);
	/* That's that: there is no beginning of it any more. */
	assert_false(TAKE(r, .offset = 2960, .n = 41));
}

static void longest_datagram_is_whole_and_none_is_longer(void **state)
{
	struct rig *r = *state;

	for (uint32_t at = 0; at + 1480 <= 65515; at += 1480)
		assert_false(TAKE(r, .offset = at, .n = 1480, .flags = MF));
	assert_true(TAKE(r, .offset = 65120, .n = 395));
	is_whole(r, IP, 65515);
	for (uint32_t at = 0; at + 1480 <= 65515; at += 1480)
		assert_false(TAKE(r, .offset = at, .n = 1480, .flags = MF));
	assert_false(TAKE(r, .offset = 65120, .n = 396));
}

static void options_of_the_first_fragment_stay(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 64, .flags = MF, .options = 8));
	assert_true(TAKE(r, .offset = 64, .n = 8, .options = 4));
	is_whole(r, IP + 8, 72);
}

static void last_fragment_alone_is_nothing(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .offset = 1480, .n = 520));
	assert_false(TAKE(r, .n = 1480, .flags = MF));
}

static void gap_overlap_and_repetition_are_the_end_of_a_datagram(void **state)
{
	static const struct given bad[] = {
		{ .offset = 72, .n = 8 },
		{ .offset = 56, .n = 8 },
		{ .offset = 56, .n = 64 },
		{ .offset = 8, .n = 8, .flags = MF },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(TAKE(r, .n = 64, .flags = MF));
		make(r, bad[i]);
		assert_false(gives(r, NOW));
		assert_false(TAKE(r, .offset = 64, .n = 8));
	}
	/* The beginning once more begins anew. */
	assert_false(TAKE(r, .n = 64, .flags = MF));
	assert_false(TAKE(r, .n = 80, .flags = MF));
	assert_true(TAKE(r, .offset = 80, .n = 8));
	is_whole(r, IP, 88);
}

static void unsound_fragments_are_dropped(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 63, .flags = MF)); /* no multiple of eight */
	assert_false(TAKE(r, .offset = 56, .n = 8));
	assert_false(TAKE(r, .n = 64, .flags = MF));
	assert_false(TAKE(r, .offset = 64, .n = 0)); /* of nothing */
	assert_false(TAKE(r, .offset = 64, .n = 8, .flags = RF));
	assert_false(TAKE(r, .n = 64, .flags = RF));
	make(r, (struct given){ .offset = 64, .n = 8 });
	r->frame[ETH + 10] ^= 1; /* checksum */
	assert_false(gives(r, NOW));
	make(r, (struct given){ .offset = 64, .n = 8 });
	r->len--; /* shorter than it says */
	assert_false(gives(r, NOW));
	make(r, (struct given){ .offset = 64, .n = 8 });
	r->frame[ETH] = 0x44; /* a header of 16 bytes */
	assert_false(gives(r, NOW));
	/* None of which has touched the one that was there. */
	assert_true(TAKE(r, .offset = 64, .n = 8));
	is_whole(r, IP, 72);
}

static void padding_of_a_short_frame_is_no_payload(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 64, .flags = MF));
	make(r, (struct given){ .offset = 64, .n = 1 });
	r->len = 60;
	assert_true(gives(r, NOW));
	is_whole(r, IP, 65);
}

static void datagrams_at_a_time_are_told_apart(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 8, .flags = MF, .id = 1));
	assert_false(TAKE(r, .n = 16, .flags = MF, .id = 2));
	assert_false(TAKE(r, .n = 24, .flags = MF, .id = 1, .from = 1));
	assert_true(TAKE(r, .offset = 16, .n = 8, .id = 2));
	is_whole(r, IP, 24);
	assert_true(TAKE(r, .offset = 24, .n = 8, .id = 1, .from = 1));
	is_whole(r, IP, 32);
	assert_true(TAKE(r, .offset = 8, .n = 8, .id = 1));
	is_whole(r, IP, 16);
}

static void oldest_gives_way_when_there_are_too_many(void **state)
{
	struct rig *r = *state;

	for (uint16_t i = 0; i <= SLIRP_FRAGMENTS_MAX; i++) {
		make(r, (struct given){ .n = 8, .flags = MF, .id = i });
		assert_false(gives(r, NOW - 1000 + i));
	}
	assert_false(TAKE(r, .offset = 8, .n = 8, .id = 0));
	for (uint16_t i = 1; i <= SLIRP_FRAGMENTS_MAX; i++)
		assert_true(TAKE(r, .offset = 8, .n = 8, .id = i));
}

static void rest_that_comes_too_late_is_dropped(void **state)
{
	struct rig *r = *state;

	assert_false(TAKE(r, .n = 8, .flags = MF));
	make(r, (struct given){ .offset = 8, .n = 8 });
	assert_false(gives(r, NOW + SLIRP_FRAGMENTS_NS));
	assert_false(TAKE(r, .n = 8, .flags = MF));
	make(r, (struct given){ .offset = 8, .n = 8 });
	assert_true(gives(r, NOW + SLIRP_FRAGMENTS_NS - 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_fragment_passes_as_it_is),
		TEST(fragments_in_order_are_a_datagram),
		TEST(longest_datagram_is_whole_and_none_is_longer),
		TEST(options_of_the_first_fragment_stay),
		TEST(last_fragment_alone_is_nothing),
		TEST(gap_overlap_and_repetition_are_the_end_of_a_datagram),
		TEST(unsound_fragments_are_dropped),
		TEST(padding_of_a_short_frame_is_no_payload),
		TEST(datagrams_at_a_time_are_told_apart),
		TEST(oldest_gives_way_when_there_are_too_many),
		TEST(rest_that_comes_too_late_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
