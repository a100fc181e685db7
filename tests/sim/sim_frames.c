/* Which frames are sound, which are kept to the link, and that what is
 * forwarded is what came, in the order in which it came. */
#include "tests/sim/sim.h"

#include <stdlib.h>

#define RESERVED(n) (0x0180c2000000ull | (n))

static void two_ports(struct sim *s)
{
	sim_attach(s, "a", "mtu=65535");
	sim_attach(s, "b", "mtu=65535");
}

/* Send the first `len` bytes of a frame. */
static void send_cut(struct sim *s, const char *port, struct sim_frame f,
		     uint32_t len)
{
	uint8_t data[2048];

	assert_true(sim_build(&f, data) >= len);
	sim_send_bytes(s, port, data, len, NULL, f.head);
}

static void expect_cut(struct sim *s, const char *port, struct sim_frame f,
		       uint32_t len)
{
	uint8_t data[2048];

	sim_build(&f, data);
	sim_expect_bytes(s, port, data, len, NULL);
}

/* ---- Lengths ---- */

static void frame_without_a_whole_header_is_too_short(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	for (uint32_t len = 0; len < ETHER_HEADER_LEN; len++)
		send_cut(s, "a", FRAME(.src = A, .dst = B), len);
	sim_run(s);
	sim_expect_drops(s, "a", "too-short", ETHER_HEADER_LEN);
	assert_string_equal(sim_where(s, 1, A), "");
}

static void bare_header_is_a_frame(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	send_cut(s, "a", FRAME(.src = A, .dst = B), ETHER_HEADER_LEN);
	sim_run(s);
	expect_cut(s, "b", FRAME(.src = A, .dst = B), ETHER_HEADER_LEN);
}

static void header_split_over_segments_is_too_short(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	sim_step(s, "a", FRAME(.src = A, .dst = B, .head = 13));
	sim_expect_drops(s, "a", "too-short", 1);
	sim_step(s, "a",
		 FRAME(.src = A, .dst = B, .tag = { CTAG(5) }, .head = 17));
	sim_expect_drops(s, "a", "too-short", 1);
}

static void tag_that_is_cut_off_is_too_short(void **state)
{
	struct sim *s = *state;
	struct sim_frame f = FRAME(.src = A, .dst = B, .tag = { CTAG(5) });

	two_ports(s);
	for (uint32_t len = 14; len < 18; len++)
		send_cut(s, "a", f, len);
	sim_run(s);
	sim_expect_drops(s, "a", "too-short", 4);
	send_cut(s, "a", f, 18);
	sim_run(s);
	expect_cut(s, "b", f, 18);
}

static void longest_frame_passes_and_one_byte_more_is_too_long(void **state)
{
	struct sim *s = *state;
	uint8_t *data = calloc(1, FRAME_LEN_MAX + 1);

	assert_non_null(data);
	sim_attach(s, "a", "");
	sim_attach(s, "b", "mtu=65535");
	sim_build(&FRAME(.src = A, .dst = B), data);
	sim_send_bytes(s, "a", data, FRAME_LEN_MAX + 1, NULL, 0);
	sim_run(s);
	sim_expect_drops(s, "a", "too-long", 1);
	sim_send_bytes(s, "a", data, FRAME_LEN_MAX + 1, NULL, 64);
	sim_run(s);
	sim_expect_drops(s, "a", "too-long", 1);
	/* The longest that an MTU can allow, tag and all. */
	sim_send_bytes(s, "a", data, 65535 + 18, NULL, 0);
	sim_run(s);
	sim_expect_bytes(s, "b", data, 65535 + 18, NULL);
	sim_send_bytes(s, "a", data, FRAME_LEN_MAX, NULL, 0);
	sim_run(s);
	sim_expect_drops(s, "b", "mtu", 1);
	free(data);
}

static void length_field_larger_than_the_frame_is_too_short(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	sim_step(s, "a", FRAME(.src = A, .dst = B, .type = 47, .payload = 46));
	sim_expect_drops(s, "a", "too-short", 1);
	sim_step(s, "a",
		 FRAME(.src = A, .dst = B, .type = 1500, .payload = 1499));
	sim_expect_drops(s, "a", "too-short", 1);
	sim_step(s, "a",
		 FRAME(.src = A, .dst = B, .tag = { CTAG(5) }, .type = 47,
		       .payload = 46));
	sim_expect_drops(s, "a", "too-short", 1);
}

static void length_field_may_leave_room_for_padding(void **state)
{
	struct sim *s = *state;
	const struct sim_frame f[] = {
		FRAME(.src = A, .dst = B, .type = 46, .payload = 46),
		FRAME(.src = A, .dst = B, .type = 3, .payload = 46),
		FRAME(.src = A, .dst = B, .type = 1500, .payload = 1500),
		/* Above 1500 it's no length any more. */
		FRAME(.src = A, .dst = B, .type = 1501, .payload = 46),
		FRAME(.src = A, .dst = B, .tag = { CTAG(5) }, .type = 46,
		      .payload = 46),
	};

	two_ports(s);
	for (unsigned int i = 0; i < sizeof(f) / sizeof(f[0]); i++) {
		sim_step(s, "a", f[i]);
		sim_expect(s, "b", f[i]);
	}
}

/* ---- Reserved groups ---- */

static void reserved_groups_are_dropped_by_default(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	for (unsigned int n = 0; n < 16; n++)
		sim_send(s, "a", FRAME(.src = A, .dst = RESERVED(n)));
	sim_run(s);
	sim_expect_drops(s, "a", "reserved", 16);
	assert_string_equal(sim_where(s, 1, A), "");
}

static void groups_beside_the_reserved_ones_are_forwarded(void **state)
{
	struct sim *s = *state;
	const uint64_t near[] = { RESERVED(0x10), RESERVED(0xff),
				  0x0180c1ffffffull, 0x0180c2000100ull };

	two_ports(s);
	for (unsigned int i = 0; i < 4; i++) {
		sim_step(s, "a", FRAME(.src = A, .dst = near[i]));
		sim_expect(s, "b", FRAME(.src = A, .dst = near[i]));
	}
}

static void each_reserved_group_is_forwarded_by_its_own_bit(void **state)
{
	struct sim *s = *state;
	struct switch_settings set = s->sw->settings;

	two_ports(s);
	for (unsigned int bit = 0; bit < 16; bit++) {
		set.forward_reserved = (uint16_t)(1u << bit);
		switch_settings_set(s->sw, &set);
		for (unsigned int n = 0; n < 16; n++)
			sim_send(s, "a", FRAME(.src = A, .dst = RESERVED(n)));
		sim_run(s);
		sim_expect(s, "b", FRAME(.src = A, .dst = RESERVED(bit)));
		sim_expect_drops(s, "a", "reserved", 15);
	}
}

static void reserved_groups_are_told_apart_behind_a_tag_too(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	sim_step(s, "a",
		 FRAME(.src = A, .dst = RESERVED(0xe), .tag = { CTAG(5) }));
	sim_expect_drops(s, "a", "reserved", 1);
}

/* ---- Segments ---- */

static void payload_in_a_segment_comes_out_whole(void **state)
{
	struct sim *s = *state;
	static const uint32_t heads[] = { 14, 15, 18, 54, 1000, 1513 };

	two_ports(s);
	sim_attach(s, "c", "mode=access vlan=1");
	for (uint16_t i = 0; i < 6; i++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = B, .id = i, .payload = 1500,
			       .head = heads[i]));
	sim_run(s);
	for (uint16_t i = 0; i < 6; i++) {
		sim_expect(s, "b",
			   FRAME(.src = A, .dst = B, .id = i, .payload = 1500));
		sim_expect(s, "c",
			   FRAME(.src = A, .dst = B, .id = i, .payload = 1500));
	}
}

static void tag_goes_and_comes_in_front_of_a_segment(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "trunk", "mode=trunk");
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_step(s, "trunk",
		 FRAME(.src = A, .dst = B, .tag = { CTAG(10) }, .payload = 999,
		       .head = 18));
	sim_expect(s, "vm", FRAME(.src = A, .dst = B, .payload = 999));
	sim_step(s, "vm",
		 FRAME(.src = B, .dst = A, .payload = 999, .head = 14));
	sim_expect(
		s, "trunk",
		FRAME(.src = B, .dst = A, .tag = { CTAG(10) }, .payload = 999));
}

/* ---- Order ---- */

static void flows_keep_their_order_whatever_is_between_them(void **state)
{
	struct sim *s = *state;
	static const char *const name[] = { "b", "c", "d" };
	static const uint64_t mac[] = { B, C, D };
	uint16_t next[3] = { 0 };

	sim_attach(s, "a", "");
	for (unsigned int i = 0; i < 3; i++)
		sim_attach(s, name[i], "");
	for (unsigned int i = 0; i < 3; i++)
		sim_seen(s, name[i], mac[i]);
	for (uint16_t i = 0; i < 300; i++) {
		unsigned int to = (i * 7u + i / 5u) % 3;

		sim_send(s, "a",
			 FRAME(.src = A, .dst = mac[to], .id = next[to]++));
	}
	sim_run(s);
	for (unsigned int k = 0; k < 3; k++)
		for (uint16_t i = 0; i < next[k]; i++)
			sim_expect(s, name[k],
				   FRAME(.src = A, .dst = mac[k], .id = i));
	assert_int_equal(next[0] + next[1] + next[2], 300);
}

static void floods_and_unicasts_of_a_port_stay_in_order(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	sim_seen(s, "b", B);
	for (uint16_t i = 0; i < 64; i++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = i % 3 ? B : MAC_BROADCAST,
			       .id = i));
	sim_run(s);
	for (uint16_t i = 0; i < 64; i++)
		sim_expect(s, "b",
			   FRAME(.src = A, .dst = i % 3 ? B : MAC_BROADCAST,
				 .id = i));
}

static void frames_of_all_lengths_share_a_batch(void **state)
{
	struct sim *s = *state;

	two_ports(s);
	for (uint16_t i = 0; i < 40; i++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = B, .id = i,
			       .payload = 2 + i * 1601u));
	sim_run(s);
	for (uint16_t i = 0; i < 40; i++)
		sim_expect(s, "b",
			   FRAME(.src = A, .dst = B, .id = i,
				 .payload = 2 + i * 1601u));
}

static void bytes_and_frames_are_counted_as_they_pass(void **state)
{
	struct sim *s = *state;
	struct port_counters c;

	sim_attach(s, "trunk", "mode=trunk");
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_step(s, "trunk",
		 FRAME(.src = A, .dst = B, .tag = { CTAG(10) }, .payload = 82));
	sim_expect(s, "vm", FRAME(.src = A, .dst = B, .payload = 82));
	c = sim_counters(s, "trunk");
	assert_int_equal(counter_get(&c.rx_bytes), 100);
	assert_int_equal(counter_get(&c.rx_frames), 1);
	assert_int_equal(counter_get(&c.rx_segments), 1);
	c = sim_counters(s, "vm");
	assert_int_equal(counter_get(&c.tx_bytes), 96);
	assert_int_equal(counter_get(&c.tx_frames), 1);
	assert_int_equal(counter_get(&c.tx_segments), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(frame_without_a_whole_header_is_too_short),
		SIM_TEST(bare_header_is_a_frame),
		SIM_TEST(header_split_over_segments_is_too_short),
		SIM_TEST(tag_that_is_cut_off_is_too_short),
		SIM_TEST(longest_frame_passes_and_one_byte_more_is_too_long),
		SIM_TEST(length_field_larger_than_the_frame_is_too_short),
		SIM_TEST(length_field_may_leave_room_for_padding),
		SIM_TEST(reserved_groups_are_dropped_by_default),
		SIM_TEST(groups_beside_the_reserved_ones_are_forwarded),
		SIM_TEST(each_reserved_group_is_forwarded_by_its_own_bit),
		SIM_TEST(reserved_groups_are_told_apart_behind_a_tag_too),
		SIM_TEST(payload_in_a_segment_comes_out_whole),
		SIM_TEST(tag_goes_and_comes_in_front_of_a_segment),
		SIM_TEST(flows_keep_their_order_whatever_is_between_them),
		SIM_TEST(floods_and_unicasts_of_a_port_stay_in_order),
		SIM_TEST(frames_of_all_lengths_share_a_batch),
		SIM_TEST(bytes_and_frames_are_counted_as_they_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
