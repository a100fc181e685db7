/* Where addresses are learned, how long they stay, and what follows for the
 * frames that are sent to them. */
#include "tests/sim/sim.h"

#define BROADCAST MAC_BROADCAST
#define MULTICAST 0x01005e000001ull
#define AGE	  FDB_AGE_DEFAULT

static void three_ports(struct sim *s)
{
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
}

/* ---- Where a frame goes ---- */

static void unknown_unicast_goes_to_every_other_port(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect(s, "c", FRAME(.src = A, .dst = B));
}

static void broadcast_and_multicast_go_to_every_other_port(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_send(s, "a", FRAME(.src = A, .dst = MULTICAST));
	sim_run(s);
	sim_expect(s, "b", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = MULTICAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = MULTICAST));
}

static void known_unicast_goes_to_its_port_only(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "b", B);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect_none(s);
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
}

static void address_is_known_to_later_frames_of_its_own_batch(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_send(s, "a", FRAME(.src = C, .dst = A));
	sim_run(s);
	sim_expect(s, "b", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = BROADCAST));
	sim_expect_drops(s, "a", "hairpin", 1);
}

static void frame_to_its_own_port_is_dropped_as_hairpin(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "a", A);
	sim_seen(s, "a", B);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect_drops(s, "a", "hairpin", 1);
	sim_step(s, "a", FRAME(.src = A, .dst = A));
	sim_expect_drops(s, "a", "hairpin", 1);
}

static void lonely_port_has_no_destination(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_step(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect_drops(s, "a", "no-destination", 1);
	assert_string_equal(sim_where(s, 1, A), "a");
}

/* ---- Learning ---- */

static void group_source_is_forwarded_and_never_learned(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", FRAME(.src = MULTICAST, .dst = B));
	sim_send(s, "a", FRAME(.src = BROADCAST, .dst = B));
	sim_run(s);
	sim_expect(s, "b", FRAME(.src = MULTICAST, .dst = B));
	sim_expect(s, "b", FRAME(.src = BROADCAST, .dst = B));
	sim_expect(s, "c", FRAME(.src = MULTICAST, .dst = B));
	sim_expect(s, "c", FRAME(.src = BROADCAST, .dst = B));
	assert_string_equal(sim_where(s, 1, MULTICAST), "");
	assert_string_equal(sim_where(s, 1, BROADCAST), "");
}

static void zero_source_is_dropped_and_never_learned(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_step(s, "a", FRAME(.src = 0, .dst = BROADCAST));
	sim_expect_drops(s, "a", "zero-source", 1);
	assert_string_equal(sim_where(s, 1, 0), "");
}

static void address_moves_to_the_port_it_was_seen_on_last(void **state)
{
	struct sim *s = *state;
	struct fdb_stats stats;

	three_ports(s);
	sim_seen(s, "a", A);
	sim_seen(s, "b", A);
	sim_step(s, "c", FRAME(.src = C, .dst = A));
	sim_expect(s, "b", FRAME(.src = C, .dst = A));
	fdb_stats_get(s->sw->shared.fdb, &stats);
	assert_int_equal(stats.moved, 1);
	assert_int_equal(stats.learned, 2);
	assert_int_equal(stats.entries, 2);
}

static void dropped_frame_teaches_nothing(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_step(s, "a", FRAME(.src = A, .dst = B, .tag = { CTAG(20) }));
	sim_expect_drops(s, "a", "vlan-ingress", 1);
	assert_string_equal(sim_where(s, 10, A), "");
	assert_string_equal(sim_where(s, 20, A), "");
}

static void port_with_learn_no_learns_nothing_but_is_reached(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_set(s, "a", "learn=no");
	sim_step(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = BROADCAST));
	assert_string_equal(sim_where(s, 1, A), "");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	sim_expect(s, "c", FRAME(.src = B, .dst = A));
}

static void port_with_learn_no_does_not_move_addresses_either(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_set(s, "a", "learn=no");
	sim_seen(s, "b", A);
	sim_step(s, "a", FRAME(.src = A, .dst = C));
	sim_expect(s, "b", FRAME(.src = A, .dst = C));
	sim_expect(s, "c", FRAME(.src = A, .dst = C));
	assert_string_equal(sim_where(s, 1, A), "b");
}

/* ---- Ageing ---- */

static void address_stays_up_to_its_age_and_goes_then(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "b", B);
	sim_advance(s, AGE - 1);
	assert_string_equal(sim_where(s, 1, B), "b");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));

	sim_advance(s, 1);
	assert_string_equal(sim_where(s, 1, B), "");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect(s, "c", FRAME(.src = A, .dst = B));
}

static void frames_from_an_address_keep_it_young(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	for (int i = 0; i < 5; i++) {
		sim_seen(s, "b", B);
		sim_advance(s, AGE - 1);
	}
	assert_string_equal(sim_where(s, 1, B), "b");
}

static void frames_to_an_address_do_not_keep_it_young(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "b", B);
	sim_advance(s, AGE / 2);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_advance(s, AGE - AGE / 2);
	assert_string_equal(sim_where(s, 1, B), "");
	assert_string_equal(sim_where(s, 1, A), "a");
}

static void age_is_a_setting(void **state)
{
	struct sim *s = *state;
	struct switch_settings set = s->sw->settings;

	three_ports(s);
	sim_seen(s, "a", A);
	set.age_s = 0;
	switch_settings_set(s->sw, &set);
	sim_advance(s, 1000000);
	assert_string_equal(sim_where(s, 1, A), "a");
	set.age_s = 10;
	switch_settings_set(s->sw, &set);
	sim_advance(s, 0);
	assert_string_equal(sim_where(s, 1, A), "");
	sim_seen(s, "a", A);
	sim_advance(s, 9);
	assert_string_equal(sim_where(s, 1, A), "a");
	sim_advance(s, 1);
	assert_string_equal(sim_where(s, 1, A), "");
}

/* ---- Static entries ---- */

static void add_static(struct sim *s, uint64_t mac, uint16_t vid,
		       const char *port)
{
	struct error err = { 0 };

	assert_int_equal(switch_static_add(s->sw, mac, vid, port,
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
}

static void static_address_neither_moves_nor_ages(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	add_static(s, A, 1, "a");
	sim_step(s, "b", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "a", FRAME(.src = A, .dst = BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = BROADCAST));
	sim_advance(s, 100 * AGE);
	sim_step(s, "c", FRAME(.src = C, .dst = A));
	sim_expect(s, "a", FRAME(.src = C, .dst = A));
}

static void static_address_survives_a_flush_of_dynamic_ones(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	add_static(s, A, 1, "a");
	sim_seen(s, "a", B);
	assert_int_equal(fdb_flush(s->sw->shared.fdb, FDB_ANY, FDB_ANY, false),
			 1);
	assert_string_equal(sim_where(s, 1, A), "a");
	assert_string_equal(sim_where(s, 1, B), "");
}

static void static_address_comes_back_with_its_port(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	add_static(s, A, 1, "a");
	sim_detach(s, "a");
	sim_run(s);
	assert_string_equal(sim_where(s, 1, A), "");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "c", FRAME(.src = B, .dst = A));
	sim_attach(s, "other", "");
	sim_attach(s, "a", "");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
}

static void removed_static_address_is_unknown_at_once(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	add_static(s, A, 1, "a");
	assert_true(switch_static_remove(s->sw, A, 1));
	assert_false(switch_static_remove(s->sw, A, 1));
	assert_string_equal(sim_where(s, 1, A), "");
}

static void static_address_needs_a_port_in_its_vlan(void **state)
{
	struct sim *s = *state;
	struct error err = { 0 };

	sim_attach(s, "a", "mode=access vlan=10");
	assert_true(switch_static_add(s->sw, A, 20, "a", SWITCH_ORIGIN_CONTROL,
				      &err) < 0);
	assert_string_equal(err.reason, "not-in-vlan");
	assert_true(switch_static_add(s->sw, A, 10, "nobody",
				      SWITCH_ORIGIN_CONTROL, &err) < 0);
	assert_string_equal(err.reason, "no-such-port");
}

/* ---- Flush ---- */

static void flush_by_port_leaves_the_other_ports(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "a", A);
	sim_seen(s, "a", D);
	sim_seen(s, "b", B);
	assert_int_equal(fdb_flush(s->sw->shared.fdb,
				   (int)sim_dummy(s, "a")->index, FDB_ANY,
				   false),
			 2);
	assert_string_equal(sim_where(s, 1, A), "");
	assert_string_equal(sim_where(s, 1, B), "b");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	sim_expect(s, "c", FRAME(.src = B, .dst = A));
}

static void flush_by_vlan_leaves_the_other_vlans(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=trunk");
	sim_attach(s, "b", "mode=trunk");
	sim_send(s, "a", FRAME(.src = A, .dst = B, .tag = { CTAG(10) }));
	sim_send(s, "a", FRAME(.src = A, .dst = B, .tag = { CTAG(20) }));
	sim_run(s);
	assert_int_equal(sim_drain(s, "b"), 2);
	assert_int_equal(fdb_flush(s->sw->shared.fdb, FDB_ANY, 10, false), 1);
	assert_string_equal(sim_where(s, 10, A), "");
	assert_string_equal(sim_where(s, 20, A), "a");
}

/* ---- Ports that go ---- */

static void addresses_of_a_detached_port_are_gone(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "b", B);
	sim_detach(s, "b");
	sim_run(s);
	assert_string_equal(sim_where(s, 1, B), "");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "c", FRAME(.src = A, .dst = B));
}

static void next_owner_of_an_index_inherits_nothing(void **state)
{
	struct sim *s = *state;
	struct port_counters c;
	uint32_t index, generation;

	three_ports(s);
	sim_seen(s, "b", B);
	index = sim_dummy(s, "b")->index;
	generation = sim_dummy(s, "b")->generation;
	sim_detach(s, "b");
	sim_run(s);

	sim_attach(s, "new", "mode=access vlan=1");
	assert_int_equal(sim_dummy(s, "new")->index, index);
	assert_int_not_equal(sim_dummy(s, "new")->generation, generation);
	c = sim_counters(s, "new");
	assert_int_equal(counter_get(&c.rx_frames), 0);
	assert_int_equal(counter_get(&c.tx_copies), 0);
	sim_step(s, "a", FRAME(.src = A, .dst = B)); /* B is unknown again */
	sim_expect(s, "c", FRAME(.src = A, .dst = B));
	sim_expect(s, "new", FRAME(.src = A, .dst = B));
}

static void poll_with_an_old_generation_receives_nothing(void **state)
{
	struct sim *s = *state;
	struct port *p;

	three_ports(s);
	sim_run(s);
	p = sim_dummy(s, "a");
	sim_send(s, "a", FRAME(.src = A, .dst = B));
	assert_int_equal(worker_poll(s->sw->worker[0], p->index,
				     p->generation - 1, s->now_s),
			 0);
	assert_int_equal(
		worker_poll(s->sw->worker[0], SIM_PORTS_MAX + 1, 1, s->now_s),
		0);
	assert_int_equal(dummy_pending(p), 1);
	sim_run(s);
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect(s, "c", FRAME(.src = A, .dst = B));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(unknown_unicast_goes_to_every_other_port),
		SIM_TEST(broadcast_and_multicast_go_to_every_other_port),
		SIM_TEST(known_unicast_goes_to_its_port_only),
		SIM_TEST(address_is_known_to_later_frames_of_its_own_batch),
		SIM_TEST(frame_to_its_own_port_is_dropped_as_hairpin),
		SIM_TEST(lonely_port_has_no_destination),
		SIM_TEST(group_source_is_forwarded_and_never_learned),
		SIM_TEST(zero_source_is_dropped_and_never_learned),
		SIM_TEST(address_moves_to_the_port_it_was_seen_on_last),
		SIM_TEST(dropped_frame_teaches_nothing),
		SIM_TEST(port_with_learn_no_learns_nothing_but_is_reached),
		SIM_TEST(port_with_learn_no_does_not_move_addresses_either),
		SIM_TEST(address_stays_up_to_its_age_and_goes_then),
		SIM_TEST(frames_from_an_address_keep_it_young),
		SIM_TEST(frames_to_an_address_do_not_keep_it_young),
		SIM_TEST(age_is_a_setting),
		SIM_TEST(static_address_neither_moves_nor_ages),
		SIM_TEST(static_address_survives_a_flush_of_dynamic_ones),
		SIM_TEST(static_address_comes_back_with_its_port),
		SIM_TEST(removed_static_address_is_unknown_at_once),
		SIM_TEST(static_address_needs_a_port_in_its_vlan),
		SIM_TEST(flush_by_port_leaves_the_other_ports),
		SIM_TEST(flush_by_vlan_leaves_the_other_vlans),
		SIM_TEST(addresses_of_a_detached_port_are_gone),
		SIM_TEST(next_owner_of_an_index_inherits_nothing),
		SIM_TEST(poll_with_an_old_generation_receives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
