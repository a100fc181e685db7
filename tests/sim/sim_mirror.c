/* Mirrors: which copies, with which tag, and that a target has no traffic of
 * its own. */
#include "tests/sim/sim.h"

#include <errno.h>

#define IN  FRAME_DIR_IN
#define OUT FRAME_DIR_OUT

static const struct sim_frame a_to_b = { .src = A, .dst = B };
static const struct sim_frame b_to_a = { .src = B, .dst = A };

/* a and b know each other, c looks on, m is where copies go. */
static void four_ports(struct sim *s)
{
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_seen(s, "a", A);
	sim_seen(s, "b", B);
	sim_attach(s, "m", "");
}

static void ingress_mirror_copies_what_the_port_receives(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m dir=in");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	sim_step(s, "b", b_to_a);
	sim_expect(s, "a", b_to_a);
}

static void egress_mirror_copies_what_the_port_sends(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m dir=out");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_step(s, "b", b_to_a);
	sim_expect(s, "a", b_to_a);
	sim_expect_copy(s, "m", b_to_a, OUT, "a");
}

static void mirror_of_both_ways_is_the_default(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m");
	sim_send(s, "a", a_to_b);
	sim_send(s, "b", b_to_a);
	sim_run(s);
	sim_expect(s, "b", a_to_b);
	sim_expect(s, "a", b_to_a);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	sim_expect_copy(s, "m", b_to_a, OUT, "a");
}

static void mirror_without_from_watches_every_port(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "to=m");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	sim_expect_copy(s, "m", a_to_b, OUT, "b");
}

static void flood_is_copied_once_for_each_port_that_sends_it(void **state)
{
	struct sim *s = *state;
	const struct sim_frame f = FRAME(.src = A, .dst = MAC_BROADCAST);

	four_ports(s);
	sim_mirror(s, "dbg", "to=m dir=out");
	sim_step(s, "a", f);
	sim_expect(s, "b", f);
	sim_expect(s, "c", f);
	sim_expect_copy(s, "m", f, OUT, "b");
	sim_expect_copy(s, "m", f, OUT, "c");
}

static void mirror_by_vlan_copies_that_vlan_only(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "v10", "mode=access vlan=10");
	sim_attach(s, "v20", "mode=access vlan=20");
	sim_attach(s, "m", "");
	sim_mirror(s, "dbg", "to=m vlan=10,30-40 dir=in");
	sim_step(s, "v10", a_to_b);
	sim_expect(s, "t", FRAME(.src = A, .dst = B, .tag = { CTAG(10) }));
	sim_expect_copy(s, "m", a_to_b, IN, "v10");
	sim_step(s, "v20", a_to_b);
	sim_expect(s, "t", FRAME(.src = A, .dst = B, .tag = { CTAG(20) }));
	/* Also where it goes nowhere. */
	sim_step(s, "t", FRAME(.src = C, .dst = D, .tag = { CTAG(35) }));
	sim_expect_drops(s, "t", "no-destination", 1);
	sim_expect_copy(s, "m", FRAME(.src = C, .dst = D, .tag = { CTAG(35) }),
			IN, "t");
}

static void copies_have_the_tag_as_received_and_as_sent(void **state)
{
	struct sim *s = *state;
	const struct sim_frame tagged =
		FRAME(.src = A, .dst = B, .tag = { CTAG(10) | SIM_PCP(5) });

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "v", "mode=access vlan=10");
	sim_attach(s, "u", "mode=trunk");
	/* Whatever the target's own VLANs are. */
	sim_attach(s, "m", "mode=access vlan=99");
	sim_mirror(s, "dbg", "to=m");
	sim_step(s, "t", tagged);
	sim_expect(s, "v", a_to_b);
	sim_expect(s, "u", tagged);
	sim_expect_copy(s, "m", tagged, IN, "t");
	sim_expect_copy(s, "m", a_to_b, OUT, "v");
	sim_expect_copy(s, "m", tagged, OUT, "u");
	sim_step(s, "v", b_to_a);
	sim_expect(s, "t", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_expect_copy(s, "m", b_to_a, IN, "v");
	sim_expect_copy(s, "m", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }),
			OUT, "t");
}

static void several_mirrors_copy_independently(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_attach(s, "n", "");
	sim_mirror(s, "one", "from=a to=m dir=in");
	sim_mirror(s, "two", "from=a,b to=n");
	sim_mirror(s, "three", "from=b to=m dir=out");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	sim_expect_copy(s, "m", a_to_b, OUT, "b");
	sim_expect_copy(s, "n", a_to_b, IN, "a");
	sim_expect_copy(s, "n", a_to_b, OUT, "b");
}

static void dropped_frame_is_copied_where_it_was_received(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m");
	sim_step(s, "a", FRAME(.src = A, .dst = A)); /* hairpin */
	sim_expect_drops(s, "a", "hairpin", 1);
	sim_expect_copy(s, "m", FRAME(.src = A, .dst = A), IN, "a");
}

/* ---- The target ---- */

static void target_gets_no_ordinary_traffic(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_seen(s, "m", D);
	sim_mirror(s, "dbg", "from=c to=m");
	sim_step(s, "a", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect_copy(s, "m", FRAME(.src = A, .dst = MAC_BROADCAST), OUT,
			"c");
	/* An address that it had before: unknown now. */
	sim_step(s, "a", FRAME(.src = A, .dst = D));
	sim_expect(s, "b", FRAME(.src = A, .dst = D));
	sim_expect(s, "c", FRAME(.src = A, .dst = D));
	sim_expect_copy(s, "m", FRAME(.src = A, .dst = D), OUT, "c");
}

static void frames_from_a_target_are_dropped(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m");
	sim_step(s, "m", FRAME(.src = D, .dst = A));
	sim_expect_drops(s, "m", "mirror-target", 1);
	assert_string_equal(sim_where(s, 1, D), "");
}

static void port_is_ordinary_again_once_its_mirror_is_removed(void **state)
{
	struct sim *s = *state;
	struct error err = { 0 };

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	assert_int_equal(switch_mirror_remove(s->sw, "dbg", &err), 0);
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_step(s, "m", FRAME(.src = D, .dst = A));
	sim_expect(s, "a", FRAME(.src = D, .dst = A));
	assert_int_equal(switch_mirror_remove(s->sw, "dbg", &err), -ENOENT);
	assert_string_equal(err.reason, "no-such-mirror");
}

static void target_of_another_mirror_is_not_watched_by_all(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_attach(s, "n", "");
	sim_mirror(s, "one", "from=a to=m dir=in");
	sim_mirror(s, "two", "to=n dir=out");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
	sim_expect_copy(s, "n", a_to_b, OUT, "b"); /* no copy of a copy */
}

static void mirror_waits_for_ports_to_come_back_under_their_names(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "from=a to=m");
	sim_detach(s, "m");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_attach(s, "other", ""); /* takes its index */
	sim_attach(s, "m", "");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");

	sim_detach(s, "a");
	sim_step(s, "b", b_to_a);
	sim_expect(s, "c", b_to_a);
	sim_expect(s, "other", b_to_a);
	sim_attach(s, "a", "");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_copy(s, "m", a_to_b, IN, "a");
}

static void target_may_get_more_copies_than_a_batch_has_frames(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_attach(s, "d", "");
	sim_mirror(s, "one", "to=m");
	sim_mirror(s, "two", "to=m dir=out");
	for (uint16_t i = 0; i < 64; i++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = MAC_BROADCAST, .id = i));
	sim_run(s);
	for (uint16_t i = 0; i < 64; i++) {
		const struct sim_frame f =
			FRAME(.src = A, .dst = MAC_BROADCAST, .id = i);
		static const char *const out[] = { "b", "c", "d" };

		sim_expect_copy(s, "m", f, IN, "a");
		for (unsigned int k = 0; k < 3; k++) {
			sim_expect(s, out[k], f);
			sim_expect_copy(s, "m", f, OUT, out[k]);
			sim_expect_copy(s, "m", f, OUT, out[k]);
		}
	}
}

static void copies_that_the_target_refuses_hurt_nobody(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	sim_mirror(s, "dbg", "to=m");
	sim_run(s);
	dummy_refuse(sim_dummy(s, "m"), DROP_QUEUE_FULL);
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	sim_expect_drops(s, "m", "queue-full", 2);
}

/* ---- What is refused ---- */

static void fails(struct sim *s, const char *name, const char *words,
		  const char *reason, const char *path)
{
	json_t *params = sim_params(config_mirror_params, words);
	struct error err = { 0 };

	assert_true(switch_mirror_add(s->sw, name, params,
				      SWITCH_ORIGIN_CONTROL, &err) < 0);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
	json_decref(params);
}

static void mirrors_that_make_no_sense_are_refused(void **state)
{
	struct sim *s = *state;

	four_ports(s);
	fails(s, "x", "from=a to=nobody", "no-such-port", "to");
	fails(s, "x", "from=a,nobody to=m", "no-such-port", "from");
	fails(s, "x", "from=a,m to=m", "bad-value", "from");
	fails(s, "x", "from=a to=m vlan=ten", "bad-vlan-list", "vlan");
	fails(s, "x x", "from=a to=m", "bad-name", "name");
	sim_mirror(s, "x", "from=a to=m");
	fails(s, "x", "from=b to=m", "mirror-exists", "name");
	for (unsigned int i = 1; i < SNAPSHOT_MIRRORS_MAX; i++) {
		char name[8];

		snprintf(name, sizeof(name), "x%u", i);
		sim_mirror(s, name, "from=a to=m dir=in");
	}
	fails(s, "y", "from=a to=m", "too-many-mirrors", "");
	sim_step(s, "a", a_to_b);
	sim_expect(s, "b", a_to_b);
	assert_int_equal(sim_drain(s, "m"), SNAPSHOT_MIRRORS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(ingress_mirror_copies_what_the_port_receives),
		SIM_TEST(egress_mirror_copies_what_the_port_sends),
		SIM_TEST(mirror_of_both_ways_is_the_default),
		SIM_TEST(mirror_without_from_watches_every_port),
		SIM_TEST(flood_is_copied_once_for_each_port_that_sends_it),
		SIM_TEST(mirror_by_vlan_copies_that_vlan_only),
		SIM_TEST(copies_have_the_tag_as_received_and_as_sent),
		SIM_TEST(several_mirrors_copy_independently),
		SIM_TEST(dropped_frame_is_copied_where_it_was_received),
		SIM_TEST(target_gets_no_ordinary_traffic),
		SIM_TEST(frames_from_a_target_are_dropped),
		SIM_TEST(port_is_ordinary_again_once_its_mirror_is_removed),
		SIM_TEST(target_of_another_mirror_is_not_watched_by_all),
		SIM_TEST(mirror_waits_for_ports_to_come_back_under_their_names),
		SIM_TEST(target_may_get_more_copies_than_a_batch_has_frames),
		SIM_TEST(copies_that_the_target_refuses_hurt_nobody),
		SIM_TEST(mirrors_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
