/* Configuration that changes under traffic: snapshots, indexes, port.set,
 * profiles, and many ports. */
#include "tests/sim/sim.h"

/* One batch from a port, without the commit that sim_run begins with. */
static unsigned int poll_once(struct sim *s, const char *name)
{
	const struct port *p = sim_dummy(s, name);

	return worker_poll(sim_port(s, name)->worker[0], p->index,
			   p->generation, s->now_s);
}

/* ---- Snapshots ---- */

static void change_applies_to_whole_batches_once_it_is_committed(void **state)
{
	struct sim *s = *state;
	uint16_t id = 0;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b10", "mode=access vlan=10");
	sim_attach(s, "b20", "mode=access vlan=20");
	sim_run(s);
	for (uint16_t i = 0; i < 3 * FRAME_BATCH_MAX; i++)
		sim_send(s, "a", FRAME(.src = A, .dst = B, .id = i));
	assert_int_equal(poll_once(s, "a"), FRAME_BATCH_MAX);
	sim_set(s, "a", "vlan=20");
	assert_int_equal(poll_once(s, "a"), FRAME_BATCH_MAX); /* not yet */
	for (; id < 2 * FRAME_BATCH_MAX; id++)
		sim_expect(s, "b10", FRAME(.src = A, .dst = B, .id = id));
	sim_expect_none(s);
	switch_commit(s->sw);
	assert_int_equal(poll_once(s, "a"), FRAME_BATCH_MAX);
	for (; id < 3 * FRAME_BATCH_MAX; id++)
		sim_expect(s, "b20", FRAME(.src = A, .dst = B, .id = id));
}

static void changes_of_many_ports_make_one_snapshot(void **state)
{
	struct sim *s = *state;
	struct snapshot *before, *after;

	sim_run(s);
	before = atomic_load(&s->sw->shared.snapshot);
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_set(s, "a", "isolated=yes");
	sim_detach(s, "b");
	sim_attach(s, "c", "");
	assert_ptr_equal(atomic_load(&s->sw->shared.snapshot), before);
	switch_commit(s->sw);
	after = atomic_load(&s->sw->shared.snapshot);
	assert_ptr_not_equal(after, before);
	switch_commit(s->sw); /* nothing more to do */
	assert_ptr_equal(atomic_load(&s->sw->shared.snapshot), after);
}

/* ---- Ports that go while a worker may see them ---- */

struct gone {
	unsigned int n;
	char name[PORT_NAME_MAX];
};

static void count_gone(void *ctx, struct switch_port *p)
{
	struct gone *g = ctx;

	g->n++;
	snprintf(g->name, sizeof(g->name), "%s", p->config.request.name);
}

static void port_is_closed_only_after_every_reader_was_quiescent(void **state)
{
	struct sim *s = sim_new(2);
	struct epoch *e = &s->sw->shared.epoch;
	struct epoch_reader *busy = &e->reader[1];
	struct gone gone = { 0 };
	uint32_t index;

	(void)state;
	s->sw->hooks.gone = count_gone;
	s->sw->hooks.ctx = &gone;
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_run(s);
	index = sim_dummy(s, "b")->index;

	epoch_online(e, busy); /* in the middle of a batch */
	sim_detach(s, "b");
	sim_run(s);
	assert_int_equal(gone.n, 0);
	assert_true(switch_reap(s->sw));
	sim_attach(s, "new", "");
	assert_int_not_equal(sim_dummy(s, "new")->index, index);

	epoch_quiescent(e, busy);
	sim_run(s);
	assert_int_equal(gone.n, 1);
	assert_string_equal(gone.name, "b");
	sim_attach(s, "newer", "");
	assert_int_equal(sim_dummy(s, "newer")->index, index);
	epoch_offline(busy);
	sim_free(s);
}

static void leaving_port_gets_nothing_and_its_name_is_free_at_once(void **st)
{
	struct sim *s = *st;
	struct epoch *e = &s->sw->shared.epoch;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_seen(s, "b", B);
	epoch_online(e, &e->reader[0]);
	sim_detach(s, "b");
	sim_attach(s, "b", "description=another");
	/* The address still is behind the one that leaves: flooded. */
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	epoch_offline(&e->reader[0]);
}

static void attach_does_not_wait_for_a_port_that_has_nothing_to_do_with_it(
	void **state)
{
	struct sim *s = *state;
	struct epoch *e = &s->sw->shared.epoch;
	const struct snapshot *before;

	sim_attach(s, "a", "");
	sim_run(s);
	epoch_online(e, &e->reader[0]);
	sim_detach(s, "a");
	before = atomic_load(&s->sw->shared.snapshot);
	sim_attach(s, "b", "");
	assert_ptr_equal(atomic_load(&s->sw->shared.snapshot), before);
	epoch_offline(&e->reader[0]);
}

static void attach_waits_for_a_leaving_port_where_all_indexes_are_taken(
	void **state)
{
	struct sim *s = *state;
	char name[16];

	for (unsigned int i = 0; i < SIM_PORTS_MAX; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		sim_attach(s, name, "");
	}
	sim_attach_fails(s, "one-more", "", "too-many-ports", "");
	sim_detach(s, "p7");
	sim_attach(s, "one-more", "");
	assert_int_equal(sim_dummy(s, "one-more")->index, 7);
}

/* ---- port.set ---- */

static void what_belongs_to_the_device_needs_a_new_attach(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_set_fails(s, "a", "type=tap", "needs-reattach", "type");
	sim_set_fails(s, "a", "type=", "missing-parameter", "type");
}

static void refused_change_leaves_the_port_as_it_was(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_set_fails(s, "a", "vlan=", "missing-parameter", "vlan");
	sim_set_fails(s, "a", "trunk=10-20", "not-for-mode", "trunk");
	sim_set_fails(s, "a", "mode=", "mode-missing", "mode");
	sim_set_fails(s, "a", "isolated=yes uplink=yes", "bad-value",
		      "isolated");
	sim_set_fails(s, "a", "profile=none", "no-such-profile", "profile");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
}

static void null_takes_a_parameter_back(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10 mtu=1000 isolated=yes");
	sim_attach(s, "b", "");
	sim_set(s, "a", "mode= vlan= isolated=");
	assert_true(sim_port(s, "a")->config.plain);
	assert_false(sim_port(s, "a")->config.isolated);
	sim_step(s, "a", FRAME(.src = A, .dst = B, .tag = { CTAG(0) }));
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .tag = { CTAG(0) }));
}

static void addresses_are_forgotten_when_their_port_leaves_their_vlan(void **st)
{
	struct sim *s = *st;
	struct error err = { 0 };

	sim_attach(s, "a", "trunk=10,20");
	sim_attach(s, "b", "trunk=10,20");
	sim_attach(s, "c", "trunk=10,20");
	sim_step(s, "a", FRAME(.src = A, .dst = B, .tag = { CTAG(10) }));
	sim_drain(s, "b");
	sim_drain(s, "c");
	assert_int_equal(switch_static_add(s->sw, D, 10, "a",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	sim_set(s, "a", "learn=yes");
	assert_string_equal(sim_where(s, 10, A), "a");
	sim_set(s, "a", "trunk=20");
	assert_string_equal(sim_where(s, 10, A), "");
	/* So that it's found where it is now. */
	sim_step(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_expect(s, "c", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	/* A static entry is the operator's word. */
	sim_step(s, "b", FRAME(.src = B, .dst = D, .tag = { CTAG(10) }));
	sim_expect_drops(s, "b", "vlan-egress", 1);
}

/* ---- Profiles ---- */

static void profiles(struct sim *s, const char *name, const char *words)
{
	json_t *p = json_object();

	json_object_set_new(p, name, sim_params(portconf_params, words));
	switch_profiles_set(s->sw, p);
	json_decref(p);
}

static void given_parameters_win_over_the_profile_and_it_over_defaults(
	void **st)
{
	struct sim *s = *st;
	const struct port_config *c;

	profiles(s, "lab",
		 "type=dummy mode=access vlan=10 isolated=yes mtu=2000");
	c = &sim_attach(s, "a", "profile=lab vlan=20")->config;
	assert_true(c->access);
	assert_int_equal(c->native, 20);
	assert_true(c->isolated);
	assert_int_equal(c->request.mtu, 2000);
	assert_true(c->learn); /* nobody said anything */
	assert_string_equal(c->profile, "lab");
	c = &sim_attach(s, "b", "profile=lab isolated=no")->config;
	assert_false(c->isolated);
	assert_int_equal(c->native, 10);
	sim_attach_fails(s, "c", "profile=other", "no-such-profile", "profile");
}

static void ports_keep_what_their_profile_was_until_it_is_given_anew(void **st)
{
	struct sim *s = *st;

	profiles(s, "lab", "type=dummy mode=access vlan=10");
	sim_attach(s, "a", "profile=lab");
	sim_attach(s, "b", "mode=access vlan=10");
	profiles(s, "lab", "type=dummy mode=access vlan=20");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_set(s, "a", "description=again");
	assert_int_equal(sim_port(s, "a")->config.native, 10);
	sim_set(s, "a", "profile=lab");
	assert_int_equal(sim_port(s, "a")->config.native, 20);
}

/* ---- Names, numbers ---- */

static void attach_refuses_what_is_there_and_what_is_no_name(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach_fails(s, "a", "", "port-exists", "name");
	sim_attach_fails(s, "", "", "bad-name", "name");
	sim_attach_fails(s, "a b", "", "bad-name", "name");
	sim_attach_fails(s, "a\n", "", "bad-name", "name");
	sim_attach_fails(s, "b", "vlan=10", "mode-missing", "mode");
	sim_attach_fails(s, "b", "ifname=eth0", "not-for-type", "ifname");
}

static void flood_to_a_thousand_ports_makes_exactly_that_many_copies(void **st)
{
	struct sim *s = *st;
	uint64_t copies = 0;
	char name[16];

	sim_attach(s, "a", "");
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		sim_attach(s, name, i % 2 ? "" : "mode=access vlan=1");
	}
	for (uint16_t i = 0; i < 3; i++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = MAC_BROADCAST, .id = i));
	sim_run(s);
	for (unsigned int i = 0; i < 1000; i++) {
		struct port_counters c;

		snprintf(name, sizeof(name), "p%u", i);
		for (uint16_t k = 0; k < 3; k++)
			sim_expect(
				s, name,
				FRAME(.src = A, .dst = MAC_BROADCAST, .id = k));
		c = sim_counters(s, name);
		copies += counter_get(&c.tx_copies);
	}
	assert_int_equal(copies, 3000);
}

static void workers_share_the_ports_and_count_for_themselves(void **state)
{
	struct sim *s = sim_new(2);
	struct port_counters c;

	(void)state;
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_attach(s, "d", "");
	assert_ptr_not_equal(sim_port(s, "a")->worker[0],
			     sim_port(s, "b")->worker);
	assert_ptr_not_equal(sim_port(s, "c")->worker,
			     sim_port(s, "d")->worker);
	sim_seen(s, "a", A);
	sim_seen(s, "b", B);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	c = sim_counters(s, "d"); /* sent by both workers */
	assert_int_equal(counter_get(&c.tx_frames), 2);
	sim_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(change_applies_to_whole_batches_once_it_is_committed),
		SIM_TEST(changes_of_many_ports_make_one_snapshot),
		cmocka_unit_test(
			port_is_closed_only_after_every_reader_was_quiescent),
		SIM_TEST(
			leaving_port_gets_nothing_and_its_name_is_free_at_once),
		SIM_TEST(
			attach_does_not_wait_for_a_port_that_has_nothing_to_do_with_it),
		SIM_TEST(
			attach_waits_for_a_leaving_port_where_all_indexes_are_taken),
		SIM_TEST(what_belongs_to_the_device_needs_a_new_attach),
		SIM_TEST(refused_change_leaves_the_port_as_it_was),
		SIM_TEST(null_takes_a_parameter_back),
		SIM_TEST(
			addresses_are_forgotten_when_their_port_leaves_their_vlan),
		SIM_TEST(
			given_parameters_win_over_the_profile_and_it_over_defaults),
		SIM_TEST(
			ports_keep_what_their_profile_was_until_it_is_given_anew),
		SIM_TEST(attach_refuses_what_is_there_and_what_is_no_name),
		SIM_TEST(
			flood_to_a_thousand_ports_makes_exactly_that_many_copies),
		SIM_TEST(workers_share_the_ports_and_count_for_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
