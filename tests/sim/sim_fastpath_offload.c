/* Checksums and super-frames in the kernel: what XDP takes and completes, what
 * it leaves to TC. */
#include "tests/sim/fast.h"

#include "tests/unit/superframe.h"

#define TO 0x0200005f0002ull /* where all super-frames go */

static uint8_t buf[FRAME_LEN_MAX + 64];

static const struct superframe tcp4 = {
	.tcp_flags = 0x18,
	.id = 7,
	.sport = 40000,
	.seq = 1000,
	.payload = 1000,
};

/* TCP and UDP in IPv4 and IPv6. */
static struct superframe kind(unsigned int i, uint32_t payload)
{
	struct superframe f = tcp4;

	f.ipv6 = i & 1;
	f.udp = i & 2;
	f.payload = payload;
	return f;
}

/* Port a has the sender, port b the receiver. */
static struct sim *pair(void **state, const char *a, const char *b)
{
	struct sim *s = *state;

	sim_attach(s, "a", a);
	sim_attach(s, "b", b);
	sim_seen(s, "a", SUPERFRAME_MAC);
	sim_seen(s, "b", TO);
	return s;
}

/* Through both paths, and how many of these frames XDP would have done. */
static unsigned int xdp_does(struct sim *s, uint32_t len,
			     const struct virtio_net_hdr_v1 *v)
{
	unsigned int forwarded = sim_kernel_seen.forwarded,
		     xdp = sim_kernel_seen.xdp;

	sim_send_bytes(s, "a", buf, len, v, 0);
	sim_run(s);
	assert_int_equal(sim_kernel_seen.forwarded, forwarded + 1);
	sim_forgive(s);
	return sim_kernel_seen.xdp - xdp;
}

static unsigned int partial(struct sim *s, const struct superframe *f)
{
	uint32_t len = superframe_build(f, buf, SUPERFRAME_PARTIAL);
	struct virtio_net_hdr_v1 v;

	superframe_vnet(f, 0, &v);
	return xdp_does(s, len, &v);
}

static unsigned int complete(struct sim *s, const struct superframe *f)
{
	uint32_t len = superframe_build(f, buf, SUPERFRAME_COMPLETE);

	return xdp_does(s, len, NULL);
}

/* ---- Checksums ---- */

static void xdp_completes_partial_checksums_of_any_length(void **state)
{
	struct sim *s = pair(state, "", "mtu=9000");

	for (unsigned int i = 0; i < 4; i++)
		for (uint32_t n = 0; n < 3300; n += n < 600 ? 1 : 101) {
			struct superframe f = kind(i, n);

			assert_int_equal(partial(s, &f), 1);
		}
}

static void checksum_that_comes_to_zero_is_written_as_ones(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 4; i++) {
		struct superframe f = kind(i, 100 + i);

		superframe_zero_csum(&f);
		assert_int_equal(partial(s, &f), 1);
	}
}

static void xdp_takes_tcp_as_it_is_where_its_checksum_is_complete(void **st)
{
	struct sim *s = pair(st, "", "");

	for (uint32_t n = 0; n < 1460; n += 13) {
		struct superframe f = kind(n % 2, n);

		assert_int_equal(complete(s, &f), 1);
	}
}

static void wrong_checksum_stays_wrong(void **state)
{
	struct sim *s = pair(state, "", "");
	struct superframe f = tcp4;
	uint32_t len = superframe_build(&f, buf, SUPERFRAME_COMPLETE);

	buf[len - 1] ^= 1;
	sim_send_bytes(s, "a", buf, len, NULL, 0);
	sim_run(s);
	sim_expect_bytes(s, "b", buf, len, NULL);
}

/* There may be a partial one inside. */
static void udp_with_a_complete_checksum_is_left_to_tc(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 2; i < 4; i++) {
		struct superframe f = kind(i, 200);

		assert_int_equal(complete(s, &f), 0);
		superframe_build(&f, buf, SUPERFRAME_COMPLETE);
		store_be16(buf + superframe_l4(&f) + 6, 0); /* none */
		assert_int_equal(xdp_does(s, superframe_head(&f) + 200, NULL),
				 0);
	}
}

static void tunnels_are_left_to_tc(void **state)
{
	static const uint16_t port[] = { 4789, 8472, 6081 };
	struct sim *s = pair(state, "", "");
	struct virtio_net_hdr_v1 v;
	struct superframe f = kind(2, 201);

	superframe_vnet(&f, 0, &v);
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t len = superframe_build(&f, buf, SUPERFRAME_PARTIAL);

		store_be16(buf + superframe_l4(&f) + 2, port[i]);
		assert_int_equal(xdp_does(s, len, &v), 0);
	}
}

static void headers_that_are_not_plain_are_left_to_tc(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 4; i++)
		for (unsigned int e = 1; e < SUPERFRAME_EXT_COUNT; e++) {
			struct superframe f = kind(i, 60);

			f.ext = e;
			assert_int_equal(partial(s, &f), 0);
			assert_int_equal(complete(s, &f), 0);
		}
}

static void fragments_are_left_to_tc(void **state)
{
	static const uint16_t field[] = { 0x2000, 0x0001, 0x2010 };
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 3; i++) {
		uint32_t len =
			superframe_build(&tcp4, buf, SUPERFRAME_COMPLETE);

		store_be16(buf + ETHER_HEADER_LEN + 6, field[i]);
		assert_int_equal(xdp_does(s, len, NULL), 0);
	}
}

static void lengths_that_lie_are_left_to_tc(void **state)
{
	struct sim *s = pair(state, "", "");
	uint32_t len = superframe_build(&tcp4, buf, SUPERFRAME_COMPLETE);
	uint8_t *ip = buf + ETHER_HEADER_LEN;

	store_be16(ip + 2, (uint16_t)(len - ETHER_HEADER_LEN + 1));
	assert_int_equal(xdp_does(s, len, NULL), 0);
	store_be16(ip + 2, 19);
	assert_int_equal(xdp_does(s, len, NULL), 0);
	store_be16(ip + 2, 39); /* half a TCP header */
	assert_int_equal(xdp_does(s, len, NULL), 0);
	store_be16(ip + 2,
		   (uint16_t)(len - ETHER_HEADER_LEN - 1)); /* padding */
	assert_int_equal(xdp_does(s, len, NULL), 1);
	ip[20 + 12] = 0x40; /* a TCP header of 16 bytes */
	assert_int_equal(xdp_does(s, len, NULL), 0);
}

static void xdp_takes_arp_and_neighbour_discovery_and_nothing_else(void **st)
{
	static const struct {
		uint16_t type;
		uint8_t next, icmp;
		unsigned int xdp;
	} t[] = {
		{ 0x0806, 0, 0, 1 },	{ 0x88b5, 0, 0, 0 },
		{ 0x86dd, 58, 132, 0 }, { 0x86dd, 58, 133, 1 },
		{ 0x86dd, 58, 137, 1 }, { 0x86dd, 58, 138, 0 },
		{ 0x86dd, 58, 128, 0 }, { 0x86dd, 132, 133, 0 },
		{ 0x8847, 58, 133, 0 },
	};
	struct sim *s = pair(st, "", "");

	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct superframe f = kind(1, 0);

		superframe_build(&f, buf, SUPERFRAME_COMPLETE);
		store_be16(buf + 12, t[i].type);
		buf[14 + 6] = t[i].next;
		buf[14 + 40] = t[i].icmp;
		assert_int_equal(xdp_does(s, 14 + 60, NULL), t[i].xdp);
	}
}

/* ---- Tags ---- */

static void xdp_leaves_to_tc_what_changes_its_tag(void **state)
{
	struct sim *s = *state;
	struct superframe f = tcp4;

	f.tags = 1;
	sim_attach(s, "a", "mode=trunk");
	sim_attach(s, "b", "mode=trunk");
	superframe_build(&f, buf, SUPERFRAME_COMPLETE);
	sim_send_bytes(s, "a", buf, superframe_head(&f) + f.payload, NULL, 0);
	mac_store(buf, SUPERFRAME_MAC);
	mac_store(buf + 6, TO);
	sim_send_bytes(s, "b", buf, superframe_head(&f) + f.payload, NULL, 0);
	sim_run(s);
	sim_forgive(s);
	assert_int_equal(partial(s, &f), 1);
	assert_int_equal(complete(s, &f), 1);
	sim_set(s, "b", "mode=access vlan=10");
	sim_run(s);
	sim_seen(s, "b", TO);
	assert_int_equal(partial(s, &f), 0);
	assert_int_equal(complete(s, &f), 0);
}

/* ---- Super-frames ---- */

static void super_frames_go_by_tc_and_count_their_segments(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 4; i++)
		for (uint16_t size = 100; size < 1000; size += 99) {
			struct superframe f = kind(i, 3000);
			struct virtio_net_hdr_v1 v;

			superframe_vnet(&f, size, &v);
			assert_int_equal(
				xdp_does(s,
					 superframe_build(&f, buf,
							  SUPERFRAME_PARTIAL),
					 &v),
				0);
		}
	dummy_set_offloads(sim_dummy(s, "b"), 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct superframe f = kind(i, 3000);
		struct virtio_net_hdr_v1 v;

		superframe_vnet(&f, 700, &v);
		assert_int_equal(
			xdp_does(s,
				 superframe_build(&f, buf, SUPERFRAME_PARTIAL),
				 &v),
			0);
	}
}

static void mtu_holds_for_the_longest_segment(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 4; i++) {
		struct superframe f = kind(i, 3000);
		uint32_t head = superframe_head(&f) - ETHER_HEADER_LEN;

		/* Four bytes more are let through, as for a plain frame. */
		for (uint32_t size = 1500 - head; size < 1510 - head; size++) {
			uint32_t len =
				superframe_build(&f, buf, SUPERFRAME_PARTIAL);
			uint64_t before = sim_drops(s, "b", "mtu");
			struct virtio_net_hdr_v1 v;

			superframe_vnet(&f, (uint16_t)size, &v);
			xdp_does(s, len, &v);
			assert_int_equal(sim_drops(s, "b", "mtu") - before,
					 size + head > 1504);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAST_TEST(xdp_completes_partial_checksums_of_any_length),
		FAST_TEST(checksum_that_comes_to_zero_is_written_as_ones),
		FAST_TEST(
			xdp_takes_tcp_as_it_is_where_its_checksum_is_complete),
		FAST_TEST(wrong_checksum_stays_wrong),
		FAST_TEST(udp_with_a_complete_checksum_is_left_to_tc),
		FAST_TEST(tunnels_are_left_to_tc),
		FAST_TEST(headers_that_are_not_plain_are_left_to_tc),
		FAST_TEST(fragments_are_left_to_tc),
		FAST_TEST(lengths_that_lie_are_left_to_tc),
		FAST_TEST(
			xdp_takes_arp_and_neighbour_discovery_and_nothing_else),
		FAST_TEST(xdp_leaves_to_tc_what_changes_its_tag),
		FAST_TEST(super_frames_go_by_tc_and_count_their_segments),
		FAST_TEST(mtu_holds_for_the_longest_segment),
	};

	if (fast_skipped("the kernel completes checksums"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
