/* Partial checksums and super-frames: whole to ports that take them, finished
 * for those that don't, each in the same flood. */
#include "tests/sim/sim.h"

#include "ports/offload.h"
#include "tests/unit/superframe.h"

#define TO 0x0200005f0002ull /* where all super-frames go */

static uint8_t buf[FRAME_LEN_MAX + 64];

static const struct superframe tcp4 = {
	.tcp_flags = 0x18,
	.id = 7,
	.sport = 40000,
	.seq = 1000,
	.payload = 20000,
};

/* Ports a, b, c..: b takes everything, c nothing. Plain unless said. */
static void ports(struct sim *s, const char *a, const char *b, const char *c)
{
	sim_attach(s, "a", a);
	sim_attach(s, "b", b);
	sim_attach(s, "c", c);
	dummy_set_offloads(sim_dummy(s, "c"), 0);
}

static void send_super(struct sim *s, const char *port, struct superframe f,
		       uint16_t gso_size, uint32_t head)
{
	struct virtio_net_hdr_v1 v;
	uint32_t len = superframe_build(&f, buf, SUPERFRAME_PARTIAL);

	superframe_vnet(&f, gso_size, &v);
	sim_send_bytes(s, port, buf, len, &v, head);
}

static void expect_whole(struct sim *s, const char *port, struct superframe f,
			 uint16_t gso_size)
{
	struct virtio_net_hdr_v1 v;
	uint32_t len = superframe_build(&f, buf, SUPERFRAME_PARTIAL);

	superframe_vnet(&f, gso_size, &v);
	sim_expect_bytes(s, port, buf, len, &v);
}

static void expect_segments(struct sim *s, const char *port,
			    struct superframe f, uint16_t gso_size)
{
	for (uint32_t i = 0; i < superframe_segments(&f, gso_size); i++) {
		struct superframe part = superframe_segment(&f, gso_size, i);
		uint32_t len = superframe_build(&part, buf, SUPERFRAME_SEGMENT);

		sim_expect_bytes(s, port, buf, len, NULL);
	}
}

static void expect_complete(struct sim *s, const char *port,
			    struct superframe f)
{
	uint32_t len = superframe_build(&f, buf, SUPERFRAME_COMPLETE);

	sim_expect_bytes(s, port, buf, len, NULL);
}

/* ---- Super-frames ---- */

static void super_frame_is_whole_or_segmented_by_port_in_one_flood(void **st)
{
	struct sim *s = *st;
	struct superframe kind[4];

	for (unsigned int i = 0; i < 4; i++) {
		kind[i] = tcp4;
		kind[i].ipv6 = i & 1;
		kind[i].udp = i & 2;
		kind[i].payload = 60000;
	}
	ports(s, "", "", "");
	sim_attach(s, "d", "");
	for (unsigned int i = 0; i < 4; i++) {
		send_super(s, "a", kind[i], 1400, 0);
		sim_run(s);
		expect_whole(s, "b", kind[i], 1400);
		expect_segments(s, "c", kind[i], 1400);
		expect_whole(s, "d", kind[i], 1400); /* behind the cutter */
		sim_expect_none(s);
	}
}

static void known_super_frame_goes_to_its_port_only(void **state)
{
	struct sim *s = *state;

	ports(s, "", "", "");
	sim_seen(s, "c", TO);
	send_super(s, "a", tcp4, 1448, 0);
	sim_run(s);
	expect_segments(s, "c", tcp4, 1448);
}

static void port_without_tso_gets_whole_checksums_with_its_segments(void **st)
{
	struct sim *s = *st;
	struct superframe six = tcp4;

	six.ipv6 = true;
	ports(s, "", "", "");
	dummy_set_offloads(sim_dummy(s, "c"), PORT_TX_CSUM | PORT_TX_TSO6);
	send_super(s, "a", tcp4, 1448, 0);
	send_super(s, "a", six, 1428, 0);
	sim_run(s);
	expect_whole(s, "b", tcp4, 1448);
	expect_whole(s, "b", six, 1428);
	expect_segments(s, "c", tcp4, 1448);
	expect_whole(s, "c", six, 1428);
}

static void ecn_super_frame_needs_a_port_that_takes_ecn(void **state)
{
	struct sim *s = *state;
	struct superframe f = tcp4;
	struct virtio_net_hdr_v1 v;
	uint32_t len;

	f.tcp_flags |= 0x80; /* CWR: on the first segment only */
	ports(s, "", "", "");
	dummy_set_offloads(sim_dummy(s, "c"), PORT_TX_CSUM | PORT_TX_TSO4);
	superframe_vnet(&f, 1448, &v);
	v.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	len = superframe_build(&f, buf, SUPERFRAME_PARTIAL);
	sim_send_bytes(s, "a", buf, len, &v, 0);
	sim_run(s);
	sim_expect_bytes(s, "b", buf, len, &v);
	expect_segments(s, "c", f, 1448);
}

static void super_frame_loses_its_tag_for_an_access_port(void **state)
{
	struct sim *s = *state;
	struct superframe tagged = tcp4, bare = tcp4;

	tagged.tags = 1; /* VLAN 10, priority 3 */
	ports(s, "mode=trunk", "mode=access vlan=10", "mode=access vlan=10");
	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "u", "mode=trunk");
	dummy_set_offloads(sim_dummy(s, "u"), 0);
	send_super(s, "a", tagged, 1448, 0);
	sim_run(s);
	expect_whole(s, "b", bare, 1448);
	expect_segments(s, "c", bare, 1448);
	expect_whole(s, "t", tagged, 1448);
	expect_segments(s, "u", tagged, 1448);
}

static void super_frame_gets_a_tag_for_a_trunk(void **state)
{
	struct sim *s = *state;
	struct superframe tagged = tcp4;
	struct virtio_net_hdr_v1 v;
	uint32_t len;

	tagged.tags = 1;
	ports(s, "mode=access vlan=10", "mode=trunk", "mode=trunk");
	send_super(s, "a", tcp4, 1448, 0);
	sim_run(s);
	superframe_vnet(&tagged, 1448, &v);
	len = superframe_build(&tagged, buf, SUPERFRAME_PARTIAL);
	store_be16(buf + 14, 10); /* no priority: it came without a tag */
	sim_expect_bytes(s, "b", buf, len, &v);
	for (uint32_t i = 0; i < superframe_segments(&tagged, 1448); i++) {
		struct superframe part = superframe_segment(&tagged, 1448, i);

		len = superframe_build(&part, buf, SUPERFRAME_SEGMENT);
		store_be16(buf + 14, 10);
		sim_expect_bytes(s, "c", buf, len, NULL);
	}
}

static void super_frame_whose_payload_is_a_segment_is_the_same(void **state)
{
	struct sim *s = *state;

	ports(s, "", "", "");
	send_super(s, "a", tcp4, 1448, superframe_head(&tcp4));
	sim_run(s);
	expect_whole(s, "b", tcp4, 1448);
	expect_segments(s, "c", tcp4, 1448);
}

static void plain_and_super_frames_of_a_flow_stay_in_order(void **state)
{
	struct sim *s = *state;

	ports(s, "", "", "");
	for (uint16_t i = 0; i < 6; i++) {
		sim_send(s, "a", FRAME(.src = A, .dst = TO, .id = i));
		send_super(s, "a", tcp4, (uint16_t)(1000 + i), 0);
	}
	sim_run(s);
	for (uint16_t i = 0; i < 6; i++) {
		sim_expect(s, "b", FRAME(.src = A, .dst = TO, .id = i));
		expect_whole(s, "b", tcp4, (uint16_t)(1000 + i));
		sim_expect(s, "c", FRAME(.src = A, .dst = TO, .id = i));
		expect_segments(s, "c", tcp4, (uint16_t)(1000 + i));
	}
}

/* ---- Checksums ---- */

static void partial_checksum_is_completed_for_the_port_that_needs_it(void **st)
{
	struct sim *s = *st;
	struct superframe f = tcp4;

	f.payload = 1000;
	for (unsigned int i = 0; i < 2; i++) {
		f.udp = i;
		if (i == 0)
			ports(s, "", "", "");
		send_super(s, "a", f, 0, 0);
		sim_run(s);
		expect_whole(s, "b", f, 0);
		expect_complete(s, "c", f);
	}
}

static void completed_checksum_stays_complete_for_later_ports(void **state)
{
	struct sim *s = *state;
	struct superframe f = tcp4, bare = tcp4;

	f.payload = bare.payload = 1000;
	f.tags = 1;
	ports(s, "mode=trunk", "mode=access vlan=10", "mode=trunk");
	sim_attach(s, "d", "mode=access vlan=10");
	sim_attach(s, "e", "mode=trunk");
	send_super(s, "a", f, 0, 0);
	sim_run(s);
	expect_whole(s, "b", bare, 0);
	expect_complete(s, "c", f);
	expect_complete(s, "d", bare);
	expect_complete(s, "e", f);
}

/* ---- Numbers ---- */

static void super_frame_counts_as_one_with_its_segments_beside_it(void **st)
{
	struct sim *s = *st;
	uint32_t head = superframe_head(&tcp4);
	struct port_counters c;

	ports(s, "", "", "");
	send_super(s, "a", tcp4, 1000, 0);
	sim_run(s);
	expect_whole(s, "b", tcp4, 1000);
	expect_segments(s, "c", tcp4, 1000);
	c = sim_counters(s, "a");
	assert_int_equal(counter_get(&c.rx_frames), 1);
	assert_int_equal(counter_get(&c.rx_segments), 20);
	assert_int_equal(counter_get(&c.rx_bytes), head + 20000);
	c = sim_counters(s, "b");
	assert_int_equal(counter_get(&c.tx_frames), 1);
	assert_int_equal(counter_get(&c.tx_segments), 20);
	assert_int_equal(counter_get(&c.tx_bytes), head + 20000);
	c = sim_counters(s, "c");
	assert_int_equal(counter_get(&c.tx_copies), 1);
	assert_int_equal(counter_get(&c.tx_frames), 1);
	assert_int_equal(counter_get(&c.tx_segments), 20);
	assert_int_equal(counter_get(&c.tx_bytes), 20 * (head + 1000));
}

static void super_frame_that_is_refused_half_way_is_one_drop(void **state)
{
	struct sim *s = *state;
	struct port_counters c;

	ports(s, "", "", "");
	sim_run(s);
	dummy_refuse(sim_dummy(s, "c"), DROP_QUEUE_FULL);
	send_super(s, "a", tcp4, 1448, 0);
	sim_run(s);
	expect_whole(s, "b", tcp4, 1448);
	sim_expect_drops(s, "c", "queue-full", 1);
	c = sim_counters(s, "c");
	assert_int_equal(counter_get(&c.tx_copies), 1);
	assert_int_equal(counter_get(&c.tx_segments), 0);
}

/* ---- MTU ---- */

static void mtu_of_a_super_frame_is_that_of_its_segments(void **state)
{
	struct sim *s = *state;
	const uint16_t fits =
		1500 + 4 - 40; /* as a plain frame: see sim_ports */

	ports(s, "", "", "");
	send_super(s, "a", tcp4, fits, 0);
	sim_run(s);
	expect_whole(s, "b", tcp4, fits);
	expect_segments(s, "c", tcp4, fits);
	send_super(s, "a", tcp4, fits + 1, 0);
	sim_run(s);
	sim_expect_drops(s, "b", "mtu", 1);
	sim_expect_drops(s, "c", "mtu", 1);
}

static void segments_may_be_no_longer_than_plain_frames_with_a_tag(void **st)
{
	struct sim *s = *st;
	struct superframe f = tcp4, plain = tcp4;

	f.tags = plain.tags = 1;
	sim_attach(s, "a", "mode=trunk");
	sim_attach(s, "b", "mode=trunk");
	plain.payload = 1461; /* one byte more than the MTU has room for */
	send_super(s, "a", plain, 0, 0);
	sim_run(s);
	sim_expect_drops(s, "b", "mtu", 1);
	send_super(s, "a", f, 1461, 0);
	sim_run(s);
	sim_expect_drops(s, "b", "mtu", 1);
	send_super(s, "a", f, 1460, 0);
	sim_run(s);
	expect_whole(s, "b", f, 1460);
}

/* ---- Headers that lie ---- */

static void vnet_header_that_contradicts_the_frame_is_dropped(void **state)
{
	struct sim *s = *state;
	struct virtio_net_hdr_v1 good, v;
	uint32_t len = superframe_build(&tcp4, buf, SUPERFRAME_PARTIAL);

	ports(s, "", "", "");
	superframe_vnet(&tcp4, 1448, &good);
	v = good;
	v.csum_start = 60000;
	sim_send_bytes(s, "a", buf, len, &v, 0);
	v = good;
	v.gso_size = 0;
	sim_send_bytes(s, "a", buf, len, &v, 0);
	v = good;
	v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	sim_send_bytes(s, "a", buf, len, &v, 0);
	v = good;
	v.gso_type = 77;
	sim_send_bytes(s, "a", buf, len, &v, 0);
	sim_send_bytes(s, "a", buf, 40, &good, 0); /* cut off in the headers */
	v = good;
	v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	v.csum_start = 6; /* would write over the addresses */
	v.csum_offset = 0;
	sim_send_bytes(s, "a", buf, len, &v, 0);
	sim_run(s);
	sim_expect_drops(s, "a", "bad-offload", 6);
	assert_string_equal(sim_where(s, 1, SUPERFRAME_MAC), "");
}

static void mirror_gets_the_super_frame_whole_or_segmented(void **state)
{
	struct sim *s = *state;

	ports(s, "", "", "");
	sim_mirror(s, "dbg", "from=a to=c dir=in");
	send_super(s, "a", tcp4, 1448, 0);
	sim_run(s);
	expect_whole(s, "b", tcp4, 1448);
	assert_int_equal(sim_drain(s, "c"), superframe_segments(&tcp4, 1448));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(
			super_frame_is_whole_or_segmented_by_port_in_one_flood),
		SIM_TEST(known_super_frame_goes_to_its_port_only),
		SIM_TEST(
			port_without_tso_gets_whole_checksums_with_its_segments),
		SIM_TEST(ecn_super_frame_needs_a_port_that_takes_ecn),
		SIM_TEST(super_frame_loses_its_tag_for_an_access_port),
		SIM_TEST(super_frame_gets_a_tag_for_a_trunk),
		SIM_TEST(super_frame_whose_payload_is_a_segment_is_the_same),
		SIM_TEST(plain_and_super_frames_of_a_flow_stay_in_order),
		SIM_TEST(
			partial_checksum_is_completed_for_the_port_that_needs_it),
		SIM_TEST(completed_checksum_stays_complete_for_later_ports),
		SIM_TEST(super_frame_counts_as_one_with_its_segments_beside_it),
		SIM_TEST(super_frame_that_is_refused_half_way_is_one_drop),
		SIM_TEST(mtu_of_a_super_frame_is_that_of_its_segments),
		SIM_TEST(
			segments_may_be_no_longer_than_plain_frames_with_a_tag),
		SIM_TEST(vnet_header_that_contradicts_the_frame_is_dropped),
		SIM_TEST(mirror_gets_the_super_frame_whole_or_segmented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
