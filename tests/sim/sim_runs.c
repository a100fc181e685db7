/* Frames in a row from one address to another are looked up once (pipeline.c):
 * what comes of them is the same as if each came alone, whatever lies between
 * them in their batch. */
#include "tests/sim/sim.h"

#define E 0x02000000000eull

/* All from one port; ids tell the frames of a run apart. */
static struct sim_frame frame(uint64_t src, uint64_t dst, uint16_t id)
{
	return FRAME(.src = src, .dst = dst, .id = id);
}

/* B and C are known, D and E aren't. */
static void three_ports(struct sim *s)
{
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_seen(s, "b", B);
	sim_seen(s, "c", C);
}

static struct fdb_stats stats_of(struct sim *s)
{
	struct fdb_stats stats;

	fdb_stats_get(s->sw->shared.fdb, &stats);
	return stats;
}

static void run_goes_where_its_first_frame_goes(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	for (uint16_t id = 1; id <= FRAME_BATCH_MAX; id++)
		sim_send(s, "a", frame(A, B, id));
	sim_run(s);
	for (uint16_t id = 1; id <= FRAME_BATCH_MAX; id++)
		sim_expect(s, "b", frame(A, B, id));
	assert_string_equal(sim_where(s, 1, A), "a");
}

static void interleaved_flows_go_each_their_way_in_order(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	for (uint16_t id = 1; id <= 20; id++)
		sim_send(s, "a", frame(A, id % 3 ? B : C, id));
	sim_run(s);
	for (uint16_t id = 1; id <= 20; id++)
		sim_expect(s, id % 3 ? "b" : "c", frame(A, id % 3 ? B : C, id));
}

static void batch_may_be_all_runs_of_one(void **state)
{
	struct sim *s = *state;
	uint64_t learned;

	three_ports(s);
	learned = stats_of(s).learned;
	for (uint16_t id = 0; id < FRAME_BATCH_MAX; id++)
		sim_send(s, "a", frame(E + 16u * id, B, id));
	sim_run(s);
	for (uint16_t id = 0; id < FRAME_BATCH_MAX; id++)
		sim_expect(s, "b", frame(E + 16u * id, B, id));
	assert_int_equal(stats_of(s).learned - learned, FRAME_BATCH_MAX);
}

static void run_with_another_source_is_learned_as_well(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(D, B, 2));
	sim_send(s, "a", frame(A, B, 3));
	sim_run(s);
	sim_expect(s, "b", frame(A, B, 1));
	sim_expect(s, "b", frame(D, B, 2));
	sim_expect(s, "b", frame(A, B, 3));
	assert_string_equal(sim_where(s, 1, A), "a");
	assert_string_equal(sim_where(s, 1, D), "a");
}

static void run_goes_on_behind_a_dropped_frame(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(0, B, 2));
	sim_send(s, "a", frame(A, B, 3));
	sim_send(s, "a", frame(A, 0x0180c2000000ull, 4));
	sim_send(s, "a", frame(A, B, 5));
	sim_run(s);
	sim_expect(s, "b", frame(A, B, 1));
	sim_expect(s, "b", frame(A, B, 3));
	sim_expect(s, "b", frame(A, B, 5));
	sim_expect_drops(s, "a", "zero-source", 1);
	sim_expect_drops(s, "a", "reserved", 1);
}

/* Of the batch's first frame there is nothing to go on from. */
static void batch_may_begin_and_end_with_dropped_frames(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", frame(0, B, 1));
	sim_send(s, "a", frame(A, B, 2));
	sim_send(s, "a", frame(0, B, 3));
	sim_run(s);
	sim_expect(s, "b", frame(A, B, 2));
	sim_expect_drops(s, "a", "zero-source", 2);
}

static void same_addresses_in_two_vlans_are_two_runs(void **state)
{
	struct sim *s = *state;
	const uint16_t vlan[] = { 10, 10, 20, 10, 20, 20 };

	sim_attach(s, "a", "mode=trunk");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_attach(s, "c", "mode=access vlan=20");
	sim_attach(s, "d", "mode=access vlan=10");
	sim_attach(s, "e", "mode=access vlan=20");
	sim_seen(s, "b", B);
	sim_seen(s, "c", B);
	for (uint16_t id = 0; id < 6; id++)
		sim_send(s, "a",
			 FRAME(.src = A, .dst = B, .id = id,
			       .tag = { CTAG(vlan[id]) }));
	sim_run(s);
	for (uint16_t id = 0; id < 6; id++)
		sim_expect(s, vlan[id] == 10 ? "b" : "c", frame(A, B, id));
	assert_string_equal(sim_where(s, 10, A), "a");
	assert_string_equal(sim_where(s, 20, A), "a");
}

/* What is one run by its VLAN needn't have come with the same tag. */
static void frames_of_a_run_keep_their_own_tags(void **state)
{
	struct sim *s = *state;
	const struct sim_frame tagged =
		FRAME(.src = A, .dst = B, .tag = { CTAG(10) | SIM_PCP(5) });

	sim_attach(s, "a", "mode=trunk vlan=10");
	sim_attach(s, "b", "mode=trunk");
	sim_send(s, "b", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_run(s);
	assert_int_equal(sim_drain(s, "a"), 1);
	sim_send(s, "a", tagged);
	sim_send(s, "a", FRAME(.src = A, .dst = B));
	sim_send(s, "a", tagged);
	sim_run(s);
	sim_expect(s, "b", tagged);
	sim_expect(s, "b", FRAME(.src = A, .dst = B, .tag = { CTAG(10) }));
	sim_expect(s, "b", tagged);
}

static void flood_in_the_middle_takes_no_other_along(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(A, MAC_BROADCAST, 2));
	sim_send(s, "a", frame(A, B, 3));
	sim_send(s, "a", frame(A, D, 4));
	sim_send(s, "a", frame(A, D, 5));
	sim_send(s, "a", frame(A, B, 6));
	sim_run(s);
	for (uint16_t id = 1; id <= 6; id++) {
		uint64_t dst = id == 2 ? MAC_BROADCAST : id / 2 == 2 ? D : B;

		sim_expect(s, "b", frame(A, dst, id));
		if (dst != B)
			sim_expect(s, "c", frame(A, dst, id));
	}
}

static void each_frame_of_a_run_is_mirrored(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_attach(s, "m", "");
	sim_mirror(s, "both", "to=m");
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(A, B, 2));
	sim_send(s, "a", frame(A, C, 3));
	sim_run(s);
	for (uint16_t id = 1; id <= 3; id++) {
		const char *to = id < 3 ? "b" : "c";
		struct sim_frame f = frame(A, id < 3 ? B : C, id);

		sim_expect(s, to, f);
		sim_expect_copy(s, "m", f, FRAME_DIR_IN, "a");
		sim_expect_copy(s, "m", f, FRAME_DIR_OUT, to);
	}
}

static void each_frame_of_a_run_that_goes_nowhere_is_counted(void **state)
{
	struct sim *s = *state;

	three_ports(s);
	sim_seen(s, "a", E);
	for (uint16_t id = 1; id <= 3; id++)
		sim_send(s, "a", frame(A, E, id));
	sim_send(s, "a", frame(A, B, 4));
	for (uint16_t id = 5; id <= 6; id++)
		sim_send(s, "a", frame(A, E, id));
	sim_run(s);
	sim_expect(s, "b", frame(A, B, 4));
	sim_expect_drops(s, "a", "hairpin", 5);
}

/* The batch's sources are learned before any of it is sent. */
static void address_that_moves_has_moved_for_the_whole_batch(void **state)
{
	struct sim *s = *state;
	uint64_t moved;

	three_ports(s);
	moved = stats_of(s).moved;
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(B, C, 2));
	sim_send(s, "a", frame(A, B, 3));
	sim_run(s);
	sim_expect(s, "c", frame(B, C, 2));
	sim_expect_drops(s, "a", "hairpin", 2);
	assert_string_equal(sim_where(s, 1, B), "a");
	assert_int_equal(stats_of(s).moved - moved, 1);
}

static void static_address_of_another_port_stays_there(void **state)
{
	struct sim *s = *state;

	struct error err = { 0 };

	three_ports(s);
	assert_int_equal(switch_static_add(s->sw, D, 1, "b",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	sim_send(s, "a", frame(D, C, 1));
	sim_send(s, "a", frame(D, C, 2));
	sim_send(s, "a", frame(A, D, 3));
	sim_run(s);
	sim_expect(s, "c", frame(D, C, 1));
	sim_expect(s, "c", frame(D, C, 2));
	sim_expect(s, "b", frame(A, D, 3));
	assert_string_equal(sim_where(s, 1, D), "b");
}

static void group_source_is_never_learned_in_a_run_either(void **state)
{
	struct sim *s = *state;
	const uint64_t group = 0x01005e000001ull;
	uint64_t learned;

	three_ports(s);
	learned = stats_of(s).learned;
	sim_send(s, "a", frame(group, B, 1));
	sim_send(s, "a", frame(group, B, 2));
	sim_send(s, "a", frame(A, B, 3));
	sim_run(s);
	for (uint16_t id = 1; id <= 3; id++)
		sim_expect(s, "b", frame(id < 3 ? group : A, B, id));
	assert_string_equal(sim_where(s, 1, group), "");
	assert_int_equal(stats_of(s).learned - learned, 1);
}

/* The counter is of addresses, which runs stand for, and not of frames. */
static void refused_address_is_counted_once_a_run(void **state)
{
	struct sim *s = *state;
	struct fdb_port_stats port;

	three_ports(s);
	assert_int_equal(fdb_port_set(s->sw->shared.fdb,
				      sim_port(s, "a")->port->index, false, 1),
			 0);
	sim_send(s, "a", frame(A, B, 1));
	sim_send(s, "a", frame(D, B, 2));
	sim_send(s, "a", frame(D, B, 3));
	sim_send(s, "a", frame(E, B, 4));
	sim_send(s, "a", frame(D, B, 5));
	sim_run(s);
	for (uint16_t id = 1; id <= 5; id++)
		sim_expect(s, "b", frame(id == 1 ? A : id == 4 ? E : D, B, id));
	assert_int_equal(fdb_port_stats_get(s->sw->shared.fdb,
					    sim_port(s, "a")->port->index,
					    &port),
			 0);
	assert_int_equal(port.refused, 3);
	assert_int_equal(port.entries, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(run_goes_where_its_first_frame_goes),
		SIM_TEST(interleaved_flows_go_each_their_way_in_order),
		SIM_TEST(batch_may_be_all_runs_of_one),
		SIM_TEST(run_with_another_source_is_learned_as_well),
		SIM_TEST(run_goes_on_behind_a_dropped_frame),
		SIM_TEST(batch_may_begin_and_end_with_dropped_frames),
		SIM_TEST(same_addresses_in_two_vlans_are_two_runs),
		SIM_TEST(frames_of_a_run_keep_their_own_tags),
		SIM_TEST(flood_in_the_middle_takes_no_other_along),
		SIM_TEST(each_frame_of_a_run_is_mirrored),
		SIM_TEST(each_frame_of_a_run_that_goes_nowhere_is_counted),
		SIM_TEST(address_that_moves_has_moved_for_the_whole_batch),
		SIM_TEST(static_address_of_another_port_stays_there),
		SIM_TEST(group_source_is_never_learned_in_a_run_either),
		SIM_TEST(refused_address_is_counted_once_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
