/* What the kernel fast path forwards, and what it leaves to userspace. */
#include "tests/sim/fast.h"

#include "base/clock.h"
#include "switchd/switch_fast.h"

#define BROADCAST MAC_BROADCAST

static void seen(struct sim *s, const char *port, uint64_t mac)
{
	sim_seen(s, port, mac);
}

/* Two ports, plain unless said, with A behind a and B behind b. */
static struct sim *pair(void **state, const char *a, const char *b)
{
	struct sim *s = *state;

	sim_attach(s, "a", a);
	sim_attach(s, "b", b);
	seen(s, "a", A);
	seen(s, "b", B);
	return s;
}

/* Nobody floods: there is a port that isn't the kernel's. */
static void no_floods(struct sim *s)
{
	sim_port(s, "b")->config.fast_path = false;
	switch_dirty(s->sw);
}

static void back(struct sim *s)
{
	sim_port(s, "b")->config.fast_path = true;
	switch_dirty(s->sw);
}

/* ---- Unicast ---- */

static void two_known_addresses_talk_in_the_kernel(void **state)
{
	struct sim *s = pair(state, "", "");

	for (uint16_t i = 0; i < 4; i++) {
		fast_step(s, "a", FRAME(.src = A, .dst = B, .id = i));
		sim_expect(s, "b", FRAME(.src = A, .dst = B, .id = i));
		fast_step(s, "b", FRAME(.src = B, .dst = A, .id = i));
		sim_expect(s, "a", FRAME(.src = B, .dst = A, .id = i));
	}
}

static void unknown_source_is_punted_until_it_is_learned(void **state)
{
	struct sim *s = pair(state, "", "");

	fast_expect(s, "a", FRAME(.src = C, .dst = B), SIM_KERNEL_PUNT);
	seen(s, "a", C);
	fast_expect(s, "a", FRAME(.src = C, .dst = B), SIM_KERNEL_FORWARD);
}

static void source_that_moves_is_punted(void **state)
{
	struct sim *s = pair(state, "", "");

	fast_expect(s, "b", FRAME(.src = A, .dst = B), SIM_KERNEL_PUNT);
	seen(s, "b", A);
	fast_expect(s, "a", FRAME(.src = A, .dst = B), SIM_KERNEL_PUNT);
	sim_attach(s, "c", "");
	seen(s, "c", C);
	fast_step(s, "c", FRAME(.src = C, .dst = A));
	sim_expect(s, "b", FRAME(.src = C, .dst = A));
}

static void port_with_learn_no_is_forwarded_for_whoever_sends(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "learn=no");
	sim_attach(s, "b", "");
	seen(s, "b", B);
	fast_step(s, "a", FRAME(.src = D, .dst = B));
	sim_expect(s, "b", FRAME(.src = D, .dst = B));
	fast_step(s, "a", FRAME(.src = B, .dst = B));
	sim_expect(s, "b", FRAME(.src = B, .dst = B));
}

static void no_sender_and_a_group_as_sender_are_punted(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "learn=no");
	sim_attach(s, "b", "");
	seen(s, "b", B);
	fast_expect(s, "a", FRAME(.src = D, .dst = B), SIM_KERNEL_FORWARD);
	fast_expect(s, "a", FRAME(.src = 0, .dst = B), SIM_KERNEL_PUNT);
	fast_expect(s, "a", FRAME(.src = BROADCAST, .dst = B), SIM_KERNEL_PUNT);
	fast_expect(s, "a", FRAME(.src = 0, .dst = BROADCAST), SIM_KERNEL_PUNT);
}

static void link_local_groups_are_punted(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 16; i++)
		fast_expect(s, "a", FRAME(.src = A, .dst = 0x0180c2000000 + i),
			    SIM_KERNEL_PUNT);
	fast_expect(s, "a", FRAME(.src = A, .dst = 0x0180c2000010),
		    SIM_KERNEL_FORWARD);
}

static void hairpin_is_dropped_in_the_kernel(void **state)
{
	struct sim *s = pair(state, "", "");

	seen(s, "a", C);
	fast_step(s, "a", FRAME(.src = A, .dst = C));
	sim_expect_drops(s, "a", "hairpin", 1);
}

/* ---- Floods ---- */

static void floods_are_the_kernels_where_all_ports_are(void **state)
{
	struct sim *s = pair(state, "", "");

	sim_attach(s, "c", "flood=no");
	sim_attach(s, "d", "");
	fast_step(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "d", FRAME(.src = A, .dst = BROADCAST));
	fast_step(s, "a", FRAME(.src = A, .dst = D));
	sim_expect(s, "b", FRAME(.src = A, .dst = D));
	sim_expect(s, "d", FRAME(.src = A, .dst = D));
	no_floods(s);
	fast_expect(s, "a", FRAME(.src = A, .dst = D), SIM_KERNEL_PUNT);
	fast_expect(s, "a", FRAME(.src = A, .dst = BROADCAST), SIM_KERNEL_PUNT);
	back(s);
	fast_expect(s, "a", FRAME(.src = A, .dst = D), SIM_KERNEL_FORWARD);
}

static void flood_with_no_destination_is_for_userspace_to_explain(void **st)
{
	struct sim *s = *st;

	sim_attach(s, "a", "");
	sim_step(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect_drops(s, "a", "no-destination", 1);
	fast_expect(s, "a", FRAME(.src = A, .dst = BROADCAST), SIM_KERNEL_PUNT);
}

static void flood_leaves_with_and_without_a_tag_by_port(void **state)
{
	struct sim *s = *state;
	const struct sim_frame plain = FRAME(.src = A, .dst = D),
			       tagged = FRAME(.src = A, .dst = D,
					      .tag = { CTAG(10) });

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "t1", "mode=trunk trunk=10,20");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_attach(s, "t2", "mode=trunk trunk=10");
	sim_attach(s, "no", "mode=trunk trunk=20");
	seen(s, "a", A);
	fast_step(s, "a", plain);
	sim_expect(s, "b", plain);
	sim_expect(s, "t1", tagged);
	sim_expect(s, "t2", tagged);
	sim_send(s, "t1",
		 FRAME(.src = A, .dst = D, .tag = { CTAG(10) | SIM_PCP(5) }));
	sim_run(s); /* moves */
	sim_drain(s, "a");
	sim_drain(s, "b");
	sim_drain(s, "t2");
	fast_step(s, "t1",
		  FRAME(.src = A, .dst = D, .tag = { CTAG(10) | SIM_PCP(5) }));
	sim_expect(s, "a", plain);
	sim_expect(s, "b", plain);
	sim_expect(s, "t2",
		   FRAME(.src = A, .dst = D, .tag = { CTAG(10) | SIM_PCP(5) }));
}

static void flood_respects_isolation(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "isolated=yes");
	sim_attach(s, "b", "isolated=yes");
	sim_attach(s, "c", "");
	sim_attach(s, "up", "uplink=yes");
	seen(s, "a", A);
	fast_step(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "up", FRAME(.src = A, .dst = BROADCAST));
	seen(s, "up", B);
	fast_step(s, "up", FRAME(.src = B, .dst = BROADCAST));
	sim_expect(s, "a", FRAME(.src = B, .dst = BROADCAST));
	sim_expect(s, "b", FRAME(.src = B, .dst = BROADCAST));
	sim_expect(s, "c", FRAME(.src = B, .dst = BROADCAST));
}

/* ---- VLANs ---- */

static void access_and_trunk_exchange_frames_in_the_kernel(void **state)
{
	struct sim *s = *state;
	const struct sim_frame to = FRAME(.src = A, .dst = B),
			       to_tagged = FRAME(.src = A, .dst = B,
						 .tag = { CTAG(10) }),
			       from = FRAME(.src = B, .dst = A,
					    .tag = { CTAG(10) | SIM_PCP(7) });

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=trunk trunk=10,20");
	seen(s, "a", A);
	sim_step(s, "b", from);
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	fast_step(s, "a", to);
	sim_expect(s, "b", to_tagged);
	fast_step(s, "b", from);
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	fast_expect(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(20) }),
		    SIM_KERNEL_PUNT); /* not known there */
	fast_expect(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(30) }),
		    SIM_KERNEL_PUNT); /* not admitted */
}

static void plain_ports_keep_priority_tags(void **state)
{
	struct sim *s = pair(state, "", "");
	const struct sim_frame f =
		FRAME(.src = A, .dst = B, .tag = { CTAG(0) | SIM_PCP(3) });

	fast_step(s, "a", f);
	sim_expect(s, "b", f);
}

static void priority_tag_becomes_the_native_vlans(void **state)
{
	struct sim *s = *state;
	const struct sim_frame f =
		FRAME(.src = A, .dst = B, .tag = { CTAG(0) | SIM_PCP(3) });

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=trunk trunk=10");
	seen(s, "a", A);
	sim_step(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_drain(s, "a");
	fast_step(s, "a", f);
	sim_expect(s, "b",
		   FRAME(.src = A, .dst = B, .tag = { CTAG(10) | SIM_PCP(3) }));
	/* With, without or with that of the VLAN: more than two ways. */
	fast_expect(s, "a",
		    FRAME(.src = A, .dst = MAC_BROADCAST, .tag = { CTAG(0) }),
		    SIM_KERNEL_PUNT);
}

static void second_tags_are_punted(void **state)
{
	struct sim *s = pair(state, "", "");

	fast_expect(s, "a",
		    FRAME(.src = A, .dst = B, .tag = { CTAG(1), CTAG(5) }),
		    SIM_KERNEL_PUNT);
	fast_expect(s, "a",
		    FRAME(.src = A, .dst = B, .tag = { CTAG(1), STAG(5) }),
		    SIM_KERNEL_PUNT);
	fast_expect(s, "a", FRAME(.src = A, .dst = B, .tag = { STAG(5) }),
		    SIM_KERNEL_PUNT);
}

static void provider_bridge_forwards_by_its_own_tags(void **state)
{
	struct sim *s = *state;
	struct switch_settings o = s->sw->settings;

	o.tpid = 0x88a8;
	switch_settings_set(s->sw, &o);
	sim_run(s); /* which flushes */
	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=trunk trunk=10");
	seen(s, "a", A);
	sim_step(s, "b", FRAME(.src = B, .dst = A, .tag = { STAG(10) }));
	sim_drain(s, "a");
	fast_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .tag = { STAG(10) }));
	fast_step(s, "b", FRAME(.src = B, .dst = A, .tag = { STAG(10) }));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	fast_expect(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }),
		    SIM_KERNEL_PUNT);
}

static void port_that_leaves_the_vlan_gets_nothing_of_it(void **state)
{
	struct sim *s = pair(state, "mode=access vlan=10",
			     "mode=trunk trunk=10 vlan=10");
	struct error err = { 0 };

	assert_int_equal(switch_static_add(s->sw, D, 10, "b",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	fast_step(s, "a", FRAME(.src = A, .dst = D));
	sim_expect(s, "b", FRAME(.src = A, .dst = D));
	sim_set(s, "b", "trunk=20 vlan=20");
	sim_step(s, "a", FRAME(.src = A, .dst = C));
	sim_expect_drops(s, "a", "no-destination", 1);
	fast_step(s, "a", FRAME(.src = A, .dst = D));
	sim_expect_drops(s, "a", "vlan-egress", 1);
}

/* ---- Policy ---- */

static void isolated_ports_are_kept_apart_by_the_kernel(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "isolated=yes");
	sim_attach(s, "b", "isolated=yes");
	sim_attach(s, "up", "uplink=yes");
	seen(s, "up", C);
	seen(s, "a", A);
	seen(s, "b", B);
	fast_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect_drops(s, "a", "isolated", 1);
	fast_step(s, "a", FRAME(.src = A, .dst = C));
	sim_expect(s, "up", FRAME(.src = A, .dst = C));
	fast_step(s, "up", FRAME(.src = C, .dst = A));
	sim_expect(s, "a", FRAME(.src = C, .dst = A));
}

static void static_address_is_forwarded_to_and_not_believed_elsewhere(void **st)
{
	struct sim *s = pair(st, "", "");
	struct error err = { 0 };

	assert_int_equal(switch_static_add(s->sw, C, 1, "b",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	fast_step(s, "a", FRAME(.src = A, .dst = C));
	sim_expect(s, "b", FRAME(.src = A, .dst = C));
	fast_step(s, "b", FRAME(.src = C, .dst = A));
	sim_expect(s, "a", FRAME(.src = C, .dst = A));
	fast_expect(s, "a", FRAME(.src = C, .dst = B), SIM_KERNEL_PUNT);
}

static void mtu_of_the_egress_port_holds_in_the_kernel(void **state)
{
	struct sim *s = pair(state, "mtu=1600", "");

	/* Four bytes more are let through: a tag's. */
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1504));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .payload = 1504));
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1505));
	sim_expect_drops(s, "b", "mtu", 1);
	fast_step(s, "a", FRAME(.src = A, .dst = D, .payload = 1505));
	sim_expect_drops(s, "b", "mtu", 1);
	sim_set(s, "b", "mtu=1600");
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1505));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .payload = 1505));
	switch_port_link(s->sw, sim_port(s, "b"), "", true, true, 100);
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 105));
	sim_expect_drops(s, "b", "mtu", 1);
}

static void tag_counts_for_the_mtu_where_it_is_pushed(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=trunk trunk=10");
	seen(s, "a", A);
	sim_step(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_drain(s, "a");
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1500));
	sim_expect(s, "b",
		   FRAME(.src = A, .dst = B, .payload = 1500,
			 .tag = { CTAG(10) }));
	fast_step(s, "a", FRAME(.src = A, .dst = B, .payload = 1501));
	sim_expect_drops(s, "b", "mtu", 1);
}

/* ---- Which ports ---- */

static void neither_from_nor_to(struct sim *s)
{
	fast_expect(s, "a", FRAME(.src = A, .dst = B), SIM_KERNEL_PUNT);
	fast_expect(s, "b", FRAME(.src = B, .dst = A), SIM_KERNEL_PUNT);
}

static void both_ways(struct sim *s)
{
	fast_expect(s, "a", FRAME(.src = A, .dst = B), SIM_KERNEL_FORWARD);
	fast_expect(s, "b", FRAME(.src = B, .dst = A), SIM_KERNEL_FORWARD);
}

static void port_or_switch_without_fast_path_is_userspaces(void **state)
{
	struct sim *s = pair(state, "", "");
	struct switch_settings o = s->sw->settings;

	both_ways(s);
	no_floods(s);
	neither_from_nor_to(s);
	back(s);
	both_ways(s);
	o.fast_path = false;
	switch_settings_set(s->sw, &o);
	neither_from_nor_to(s);
}

static void disabled_and_unplugged_ports_are_userspaces(void **state)
{
	struct sim *s = pair(state, "", "");
	struct switch_port *b = sim_port(s, "b");

	switch_port_link(s->sw, b, "", true, false, 1500);
	neither_from_nor_to(s);
	assert_string_equal(switch_fast_why(s->sw, b), "link-down");
	switch_port_link(s->sw, b, "", true, true, 1500);
	both_ways(s);
	sim_set(s, "b", "enabled=no");
	switch_commit(s->sw);
	assert_string_equal(switch_fast_why(s->sw, b), "disabled");
	neither_from_nor_to(s);
}

static void mirrored_ports_and_targets_are_userspaces(void **state)
{
	struct sim *s = pair(state, "", "");
	struct error err = { 0 };

	sim_attach(s, "m", "");
	sim_mirror(s, "x", "from=b to=m");
	neither_from_nor_to(s);
	assert_int_equal(switch_mirror_remove(s->sw, "x", &err), 0);
	both_ways(s);
	sim_mirror(s, "x", "from=m to=b");
	neither_from_nor_to(s);
	assert_int_equal(switch_mirror_remove(s->sw, "x", &err), 0);
}

static void detached_port_is_neither_heard_nor_sent_to(void **state)
{
	struct sim *s = pair(state, "", "");
	uint32_t b = sim_dummy(s, "b")->index;
	uint8_t data[64] = { 0 };
	struct frame f;

	frame_init(&f, data, sizeof(data));
	sim_detach(s, "b");
	fast_expect(s, "a", FRAME(.src = A, .dst = B), SIM_KERNEL_PUNT);
	assert_int_equal(sim_kernel_run(s, b, &f, false)->act, SIM_KERNEL_GONE);
	sim_run(s);
	assert_string_equal(sim_where(s, 1, B), "");
}

/* ---- Age ---- */

static void kernel_keeps_the_addresses_young_that_it_sees(void **state)
{
	struct sim *s = pair(state, "", "");

	for (unsigned int i = 0; i < 4; i++) {
		fast_expect(s, "a", FRAME(.src = A, .dst = BROADCAST),
			    SIM_KERNEL_FORWARD);
		sim_advance(s, FDB_AGE_DEFAULT / 2);
	}
	assert_string_equal(sim_where(s, 1, A), "a");
	assert_string_equal(sim_where(s, 1, B), "");
}

static void flushed_address_is_unknown_to_the_kernel(void **state)
{
	struct sim *s = pair(state, "", "");

	fdb_flush(s->sw->shared.fdb, FDB_ANY, FDB_ANY, false);
	neither_from_nor_to(s);
}

/* ---- Consistency, order, budget ---- */

static void kernel_decides_nothing_while_it_is_being_told(void **state)
{
	struct sim *s = pair(state, "", "");
	struct fastpath_global *g = sim_kernel_global();

	both_ways(s);
	atomic_fetch_add(&g->seq, 1);
	neither_from_nor_to(s);
	fast_expect(s, "a", FRAME(.src = A, .dst = BROADCAST), SIM_KERNEL_PUNT);
	atomic_fetch_add(&g->seq, 1);
	both_ways(s);
	g->on = 0;
	neither_from_nor_to(s);
	g->on = 1;
}

static enum sim_kernel_act ask(struct sim *s, uint64_t src, uint64_t dst)
{
	return fast_ask(s, "a", FRAME(.src = src, .dst = dst), true)->act;
}

static void frame_waits_for_those_of_its_flow_that_are_on_their_way_up(
	void **st)
{
	struct sim *s = pair(st, "", "");
	uint32_t a = sim_dummy(s, "a")->index;

	seen(s, "b", D);
	assert_int_equal(ask(s, A, B), SIM_KERNEL_FORWARD);
	assert_int_equal(ask(s, C, B), SIM_KERNEL_PUNT); /* 1: C is unknown */
	assert_int_equal(ask(s, A, B), SIM_KERNEL_PUNT); /* 2 */
	assert_int_equal(ask(s, A, D), SIM_KERNEL_FORWARD);
	fastpath_completed(s->fastpath, a, 1);
	assert_int_equal(ask(s, A, B), SIM_KERNEL_PUNT); /* 3 */
	fastpath_completed(s->fastpath, a, 1);
	assert_int_equal(ask(s, A, B), SIM_KERNEL_PUNT); /* 4 */
	fastpath_completed(s->fastpath, a, 2);
	assert_int_equal(ask(s, A, B), SIM_KERNEL_FORWARD);
	fast_expect(s, "b", FRAME(.src = B, .dst = A), SIM_KERNEL_FORWARD);
}

static void flood_waits_as_well(void **state)
{
	struct sim *s = pair(state, "", "");
	uint32_t a = sim_dummy(s, "a")->index;

	assert_int_equal(ask(s, C, BROADCAST), SIM_KERNEL_PUNT);
	assert_int_equal(ask(s, A, BROADCAST), SIM_KERNEL_PUNT);
	fastpath_completed(s->fastpath, a, 2);
	assert_int_equal(ask(s, A, BROADCAST), SIM_KERNEL_FORWARD);
}

static void port_out_of_credits_loses_its_own_punts_only(void **state)
{
	struct sim *s = pair(state, "", "");
	uint32_t a = sim_dummy(s, "a")->index;
	const struct sim_kernel_result *r;

	for (unsigned int i = 0; i < FASTPATH_CREDITS; i++)
		assert_int_equal(ask(s, C, B), SIM_KERNEL_PUNT);
	r = fast_ask(s, "a", FRAME(.src = C, .dst = B), true);
	assert_int_equal(r->act, SIM_KERNEL_DROP);
	assert_int_equal(counter_get(&r->counted[a].rx_drop[DROP_PUNT_BUDGET]),
			 1);
	/* What is known isn't kept waiting any longer. */
	r = fast_ask(s, "a", FRAME(.src = A, .dst = B), true);
	assert_int_equal(r->act, SIM_KERNEL_FORWARD);
	assert_true(r->forced);
	fast_expect(s, "b", FRAME(.src = D, .dst = A), SIM_KERNEL_PUNT);
	fastpath_completed(s->fastpath, a, 1);
	assert_int_equal(ask(s, A, B), SIM_KERNEL_PUNT);
	fastpath_completed(s->fastpath, a, FASTPATH_CREDITS);
	r = fast_ask(s, "a", FRAME(.src = A, .dst = B), true);
	assert_int_equal(r->act, SIM_KERNEL_FORWARD);
	assert_false(r->forced);
}

static void abandoned_kernel_stops_and_its_ledgers_close(void **state)
{
	struct sim *s = *state;
	struct switch_settings o = s->sw->settings;
	uint32_t now = (uint32_t)(clock_ns() / CLOCK_NS_PER_S), a;
	const struct sim_kernel_result *r;

	s->now_s = now;
	pair(state, "", "");
	a = sim_dummy(s, "a")->index;
	s->now_s = now - 100;
	both_ways(s); /* by default it goes on */
	o.dead_after_s = 30;
	switch_settings_set(s->sw, &o);
	for (unsigned int i = 0; i < 2; i++) {
		r = fast_ask(s, "a", FRAME(.src = i ? C : A, .dst = B), true);
		assert_int_equal(r->act, SIM_KERNEL_DROP);
		assert_int_equal(
			counter_get(&r->counted[a].rx_drop[DROP_RESTART]), 1);
	}
	s->now_s = now;
	both_ways(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAST_TEST(two_known_addresses_talk_in_the_kernel),
		FAST_TEST(unknown_source_is_punted_until_it_is_learned),
		FAST_TEST(source_that_moves_is_punted),
		FAST_TEST(port_with_learn_no_is_forwarded_for_whoever_sends),
		FAST_TEST(no_sender_and_a_group_as_sender_are_punted),
		FAST_TEST(link_local_groups_are_punted),
		FAST_TEST(hairpin_is_dropped_in_the_kernel),
		FAST_TEST(floods_are_the_kernels_where_all_ports_are),
		FAST_TEST(
			flood_with_no_destination_is_for_userspace_to_explain),
		FAST_TEST(flood_leaves_with_and_without_a_tag_by_port),
		FAST_TEST(flood_respects_isolation),
		FAST_TEST(access_and_trunk_exchange_frames_in_the_kernel),
		FAST_TEST(plain_ports_keep_priority_tags),
		FAST_TEST(priority_tag_becomes_the_native_vlans),
		FAST_TEST(second_tags_are_punted),
		FAST_TEST(provider_bridge_forwards_by_its_own_tags),
		FAST_TEST(port_that_leaves_the_vlan_gets_nothing_of_it),
		FAST_TEST(isolated_ports_are_kept_apart_by_the_kernel),
		FAST_TEST(
			static_address_is_forwarded_to_and_not_believed_elsewhere),
		FAST_TEST(mtu_of_the_egress_port_holds_in_the_kernel),
		FAST_TEST(tag_counts_for_the_mtu_where_it_is_pushed),
		FAST_TEST(port_or_switch_without_fast_path_is_userspaces),
		FAST_TEST(disabled_and_unplugged_ports_are_userspaces),
		FAST_TEST(mirrored_ports_and_targets_are_userspaces),
		FAST_TEST(detached_port_is_neither_heard_nor_sent_to),
		FAST_TEST(kernel_keeps_the_addresses_young_that_it_sees),
		FAST_TEST(flushed_address_is_unknown_to_the_kernel),
		FAST_TEST(kernel_decides_nothing_while_it_is_being_told),
		FAST_TEST(
			frame_waits_for_those_of_its_flow_that_are_on_their_way_up),
		FAST_TEST(flood_waits_as_well),
		FAST_TEST(port_out_of_credits_loses_its_own_punts_only),
		FAST_TEST(abandoned_kernel_stops_and_its_ledgers_close),
	};

	if (fast_skipped("the kernel forwards as the pipeline does"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
