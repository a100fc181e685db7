/* What a port's parameters do to its traffic: isolated, uplink, enabled,
 * flood, mtu; and ports that can't take what they are sent. */
#include "tests/sim/sim.h"

/* ---- Isolation ---- */

static void isolated_setup(struct sim *s)
{
	sim_attach(s, "i", "isolated=yes");
	sim_attach(s, "j", "isolated=yes");
	sim_attach(s, "normal", "");
	sim_attach(s, "up", "uplink=yes");
}

static void floods_of_an_isolated_port_reach_uplinks_only(void **state)
{
	struct sim *s = *state;

	isolated_setup(s);
	sim_step(s, "i", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "up", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect_none(s);
	sim_step(s, "i", FRAME(.src = A, .dst = B));
	sim_expect(s, "up", FRAME(.src = A, .dst = B));
}

static void floods_of_a_normal_port_spare_isolated_ones(void **state)
{
	struct sim *s = *state;

	isolated_setup(s);
	sim_step(s, "normal", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "up", FRAME(.src = A, .dst = MAC_BROADCAST));
}

static void uplink_reaches_everybody(void **state)
{
	struct sim *s = *state;

	isolated_setup(s);
	sim_step(s, "up", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "i", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "j", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "normal", FRAME(.src = A, .dst = MAC_BROADCAST));
}

static void known_unicast_does_not_cross_isolation(void **state)
{
	struct sim *s = *state;

	isolated_setup(s);
	sim_seen(s, "i", A);
	sim_seen(s, "j", B);
	sim_seen(s, "normal", C);
	sim_seen(s, "up", D);
	sim_step(s, "i", FRAME(.src = A, .dst = B));
	sim_expect_drops(s, "i", "isolated", 1);
	sim_step(s, "i", FRAME(.src = A, .dst = C));
	sim_expect_drops(s, "i", "isolated", 1);
	sim_step(s, "normal", FRAME(.src = C, .dst = A));
	sim_expect_drops(s, "normal", "isolated", 1);
	sim_step(s, "i", FRAME(.src = A, .dst = D));
	sim_expect(s, "up", FRAME(.src = A, .dst = D));
	sim_step(s, "up", FRAME(.src = D, .dst = A));
	sim_expect(s, "i", FRAME(.src = D, .dst = A));
}

static void isolated_ports_without_uplink_have_no_destination(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "i", "isolated=yes");
	sim_attach(s, "j", "isolated=yes");
	sim_step(s, "i", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect_drops(s, "i", "no-destination", 1);
}

/* Four addresses on "up", then eight guests that want one each. Returns how
 * many of the four are still known. */
static unsigned int addresses_left(const char *words)
{
	struct sim *s = sim_new_fdb(1, 8);
	unsigned int left = 0;

	sim_attach(s, "silent", "");
	sim_attach(s, "up", words);
	for (uint64_t i = 0; i < 4; i++)
		sim_seen(s, "up", A + 0x100 * i);
	for (uint64_t i = 0; i < 8; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%u", (unsigned int)i);
		sim_attach(s, name, "");
		sim_seen(s, name, B + 0x100 * i);
	}
	for (uint64_t i = 0; i < 4; i++)
		left += !strcmp(sim_where(s, 1, A + 0x100 * i), "up");
	sim_free(s);
	return left;
}

static void uplink_has_a_share_of_the_fdb_that_guests_respect(void **state)
{
	(void)state;
	assert_int_equal(addresses_left("uplink=yes"), 4);
	assert_true(addresses_left("") < 4);
}

/* ---- enabled, flood ---- */

static void disabled_port_neither_sends_nor_receives(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_seen(s, "a", A);
	sim_set(s, "a", "enabled=no");
	sim_send(s, "a", FRAME(.src = A, .dst = B));
	sim_run(s);
	sim_expect_drops(s, "a", "disabled", 1);
	sim_step(s, "b", FRAME(.src = B, .dst = MAC_BROADCAST));
	sim_expect(s, "c", FRAME(.src = B, .dst = MAC_BROADCAST));
	/* It is forgotten, so that it can be found elsewhere. */
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "c", FRAME(.src = B, .dst = A));

	sim_set(s, "a", "enabled=yes");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
}

static void port_may_be_attached_disabled(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "enabled=no");
	sim_attach(s, "b", "");
	assert_false(sim_port(s, "a")->carrier);
	sim_step(s, "b", FRAME(.src = B, .dst = MAC_BROADCAST));
	sim_expect_drops(s, "b", "no-destination", 1);
}

static void static_address_on_a_disabled_port_is_dropped_not_flooded(void **st)
{
	struct sim *s = *st;
	struct error err = { 0 };

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	assert_int_equal(switch_static_add(s->sw, A, 1, "a",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	sim_set(s, "a", "enabled=no");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect_drops(s, "b", "disabled", 1);
}

static void port_with_flood_no_gets_known_unicast_only(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "flood=no");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "c", FRAME(.src = B, .dst = A));
	sim_step(s, "b", FRAME(.src = B, .dst = MAC_BROADCAST));
	sim_expect(s, "c", FRAME(.src = B, .dst = MAC_BROADCAST));
	sim_step(s, "a", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
}

/* ---- MTU ---- */

static void frame_longer_than_the_egress_mtu_is_dropped_there_only(void **st)
{
	struct sim *s = *st;
	const struct sim_frame fits =
		FRAME(.src = A, .dst = B, .payload = 1000);
	/* Four bytes more: a tag's worth, as a bridge has it. */
	const struct sim_frame slack =
		FRAME(.src = A, .dst = B, .payload = 1004);
	const struct sim_frame longer =
		FRAME(.src = A, .dst = B, .payload = 1005);

	sim_attach(s, "a", "");
	sim_attach(s, "small", "mtu=1000");
	sim_attach(s, "big", "mtu=9000");
	sim_step(s, "a", fits);
	sim_expect(s, "small", fits);
	sim_expect(s, "big", fits);
	sim_step(s, "a", slack);
	sim_expect(s, "small", slack);
	sim_expect(s, "big", slack);
	sim_step(s, "a", longer);
	sim_expect_drops(s, "small", "mtu", 1);
	sim_expect(s, "big", longer);
}

static void tag_does_not_count_for_the_mtu(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "vm", "mode=access vlan=10");
	sim_attach(s, "t", "mode=trunk mtu=1000");
	sim_step(s, "vm", FRAME(.src = A, .dst = B, .payload = 1000));
	sim_expect(s, "t",
		   FRAME(.src = A, .dst = B, .payload = 1000,
			 .tag = { CTAG(10) }));
	sim_step(s, "vm", FRAME(.src = A, .dst = B, .payload = 1001));
	sim_expect_drops(s, "t", "mtu", 1);
}

static void ingress_mtu_does_not_matter(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mtu=500");
	sim_attach(s, "b", "");
	sim_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1500));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .payload = 1500));
}

static void mtu_changes_while_the_port_is_attached(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_set(s, "b", "mtu=9000");
	sim_step(s, "a", FRAME(.src = A, .dst = B, .payload = 9000));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .payload = 9000));
	/* The device itself was changed, as netlink tells. */
	switch_port_link(s->sw, sim_port(s, "b"), "b0", true, true, 1000);
	sim_step(s, "a", FRAME(.src = A, .dst = B, .payload = 9000));
	sim_expect_drops(s, "b", "mtu", 1);
}

/* ---- Ports that refuse ---- */

static void refused_copies_count_at_the_egress_and_hurt_nobody_else(void **st)
{
	struct sim *s = *st;
	static const enum drop_reason why[] = { DROP_QUEUE_FULL, DROP_LINK_DOWN,
						DROP_IO_ERROR };
	struct port_counters c;

	sim_attach(s, "a", "");
	sim_attach(s, "full", "");
	sim_attach(s, "b", "");
	sim_run(s);
	for (unsigned int i = 0; i < 3; i++) {
		dummy_refuse(sim_dummy(s, "full"), why[i]);
		for (uint16_t k = 0; k < 70; k++)
			sim_send(s, "a", FRAME(.src = A, .dst = B, .id = k));
		sim_run(s);
		for (uint16_t k = 0; k < 70; k++)
			sim_expect(s, "b", FRAME(.src = A, .dst = B, .id = k));
		sim_expect_drops(s, "full", drop_name(why[i]), 70);
	}
	c = sim_counters(s,
			 "a"); /* forwarded all the same: it isn't to blame */
	assert_int_equal(counter_get(&c.rx_forwarded), 210);
	c = sim_counters(s, "full");
	assert_int_equal(counter_get(&c.tx_copies), 210);
	assert_int_equal(counter_get(&c.tx_bytes), 0);
	dummy_refuse(sim_dummy(s, "full"), DROP_REASON_COUNT);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "full", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
}

/* A port that can't take frames with an odd id. */
static unsigned int odd_tx(struct port *p, struct frame *const *f,
			   unsigned int n, enum drop_reason *why)
{
	for (unsigned int i = 0; i < n; i++) {
		if (f[i]->data[ETHER_HEADER_LEN + 1] & 1) {
			*why = DROP_IO_ERROR;
			return i;
		}
		if (port_ops_dummy.tx(p, &f[i], 1, why) != 1)
			return i;
	}
	return n;
}

static void frames_behind_a_refused_one_are_sent(void **state)
{
	struct sim *s = *state;
	struct port_ops odd = port_ops_dummy;

	odd.tx = odd_tx;
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_dummy(s, "b")->ops = &odd;
	for (uint16_t i = 0; i < 64; i++)
		sim_send(s, "a", FRAME(.src = A, .dst = B, .id = i * 3));
	sim_run(s);
	for (uint16_t i = 0; i < 64; i += 2)
		sim_expect(s, "b", FRAME(.src = A, .dst = B, .id = i * 3));
	sim_expect_drops(s, "b", "io-error", 32);
	sim_dummy(s, "b")->ops = &port_ops_dummy;
}

static void full_queue_drops_the_newest_and_keeps_the_oldest(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_run(s);
	/* In two parts: the receive queue is as long as the other one. */
	for (unsigned int i = 0; i < DUMMY_QUEUE_MAX - 10; i++)
		sim_send(s, "a", FRAME(.src = A, .dst = B, .id = (uint16_t)i));
	sim_send(s, "b", FRAME(.src = C, .dst = D));
	while (worker_poll(s->sw->worker[0], sim_dummy(s, "a")->index, 1,
			   s->now_s))
		;
	for (uint16_t i = 0; i < 20; i++)
		sim_send(s, "a", FRAME(.src = A, .dst = B, .id = i));
	while (worker_poll(s->sw->worker[0], sim_dummy(s, "a")->index, 1,
			   s->now_s))
		;
	for (unsigned int i = 0; i < DUMMY_QUEUE_MAX - 10; i++)
		sim_expect(s, "b",
			   FRAME(.src = A, .dst = B, .id = (uint16_t)i));
	for (uint16_t i = 0; i < 10; i++)
		sim_expect(s, "b", FRAME(.src = A, .dst = B, .id = i));
	sim_expect_drops(s, "b", "queue-full", 10);
	sim_run(s);
	sim_expect(s, "a", FRAME(.src = C, .dst = D));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(floods_of_an_isolated_port_reach_uplinks_only),
		SIM_TEST(floods_of_a_normal_port_spare_isolated_ones),
		SIM_TEST(uplink_reaches_everybody),
		SIM_TEST(known_unicast_does_not_cross_isolation),
		SIM_TEST(isolated_ports_without_uplink_have_no_destination),
		cmocka_unit_test(
			uplink_has_a_share_of_the_fdb_that_guests_respect),
		SIM_TEST(disabled_port_neither_sends_nor_receives),
		SIM_TEST(port_may_be_attached_disabled),
		SIM_TEST(
			static_address_on_a_disabled_port_is_dropped_not_flooded),
		SIM_TEST(port_with_flood_no_gets_known_unicast_only),
		SIM_TEST(
			frame_longer_than_the_egress_mtu_is_dropped_there_only),
		SIM_TEST(tag_does_not_count_for_the_mtu),
		SIM_TEST(ingress_mtu_does_not_matter),
		SIM_TEST(mtu_changes_while_the_port_is_attached),
		SIM_TEST(
			refused_copies_count_at_the_egress_and_hurt_nobody_else),
		SIM_TEST(frames_behind_a_refused_one_are_sent),
		SIM_TEST(full_queue_drops_the_newest_and_keeps_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
