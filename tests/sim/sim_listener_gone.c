/* What a guest leaves behind when it goes: nothing, for the next one with its
 * index or its name. */
#include "tests/sim/guests.h"

/* Somebody in the middle of a batch, who may still see a port that leaves. */
static struct epoch_reader *busy(void)
{
	return &guests.s->sw->shared.epoch.reader[0];
}

static void mirror(const char *words)
{
	sim_mirror(guests.s, "dbg", words);
	switch_commit(guests.s->sw);
}

/* d sends that, for which there is nobody. sim_run() is for switches of dummies
 * only. */
static void speak(struct sim *s, uint64_t dst)
{
	sim_send(s, "d", FRAME(.src = B, .dst = dst));
	switch_commit(s->sw);
	worker_poll(sim_port(s, "d")->worker[0], sim_dummy(s, "d")->index,
		    sim_dummy(s, "d")->generation, s->now_s);
	sim_expect_drops(s, "d", "no-destination", 1);
}

static void next_owner_of_a_guests_index_inherits_nothing(void **state)
{
	struct sim *s = *state;
	uint32_t index, generation;
	struct port_counters c;
	int a, b;

	sim_attach(s, "d", "mode=access vlan=7");
	sim_attach(s, "m", "mode=access vlan=99");
	guests_listen("l", "type=seqpacket mode=access vlan=7");
	guests_listen("n", "type=seqpacket mode=access vlan=8");
	a = guests_come("l");
	mirror("from=l.1 to=m");
	index = sim_port(s, "l.1")->port->index;
	generation = sim_port(s, "l.1")->port->generation;
	guests_broadcast(a, A);
	assert_string_equal(sim_where(s, 7, A), "l.1");
	assert_int_equal(sim_drain(s, "d"), 1);
	assert_int_equal(sim_drain(s, "m"), 1);

	close(a);
	guests_frames();
	assert_null(s->sw->port[index]);
	assert_string_equal(sim_where(s, 7, A), "");

	b = guests_come("n");
	assert_int_equal(sim_port(s, "n.1")->port->index, index);
	assert_int_not_equal(sim_port(s, "n.1")->port->generation, generation);
	c = sim_counters(s, "n.1");
	assert_int_equal(counter_get(&c.rx_frames), 0);
	/* It isn't in the VLAN, nor is it mirrored, nor sent what is for A. */
	speak(s, A);
	assert_true(guests_waits(b));
	guests_broadcast(b, C);
	assert_string_equal(sim_where(s, 8, C), "n.1");
	assert_int_equal(sim_drain(s, "d") + sim_drain(s, "m"), 0);
	sim_expect_drops(s, "n.1", "no-destination", 1);
	close(b);
}

static void next_guest_of_a_name_is_mirrored_by_it(void **state)
{
	struct sim *s = *state;
	int a;

	sim_attach(s, "m", "mode=access vlan=99");
	guests_listen("l", "type=seqpacket mode=access vlan=7");
	for (unsigned int i = 0; i < 3; i++) {
		a = guests_come("l");
		if (i == 0)
			mirror("from=l.1 to=m");
		guests_broadcast(a, A);
		assert_int_equal(sim_drain(s, "m"), 1);
		close(a);
		guests_frames();
		assert_false(guests_port("l.1"));
	}
}

static void mirror_to_a_guest_waits_for_the_next_of_that_name(void **state)
{
	struct sim *s = *state;
	int a;

	sim_attach(s, "d", "mode=access vlan=8");
	guests_listen("l", "type=seqpacket mode=access vlan=7");
	for (unsigned int i = 0; i < 2; i++) {
		a = guests_come("l");
		if (i == 0)
			mirror("from=d to=l.1");
		speak(s, MAC_BROADCAST);
		assert_false(guests_waits(a)); /* it has the copy */
		close(a);
		guests_frames();
		speak(s, MAC_BROADCAST); /* and nobody has one now */
	}
}

static void index_of_a_guest_is_free_when_no_worker_can_hold_it(void **state)
{
	struct sim *s = *state;
	struct epoch *e = &s->sw->shared.epoch;
	uint32_t index;
	int a, b, c;

	guests_listen("l", "type=seqpacket mode=access vlan=7");
	a = guests_come("l");
	index = sim_port(s, "l.1")->port->index;
	guests_broadcast(a, A);
	epoch_online(e, busy());
	switch_detach(s->sw, sim_port(s, "l.1"), "request");
	switch_commit(s->sw);
	assert_true(switch_reap(s->sw));
	assert_non_null(s->sw->port[index]); /* it leaves, and waits for that */
	assert_true(guests_waits(a));
	/* Its name is free at once. */
	b = guests_connect("l", SOCK_SEQPACKET);
	(void)listeners_run(s->sw, guests.now);
	assert_true(guests_port("l.1"));
	assert_int_not_equal(sim_port(s, "l.1")->port->index, index);

	epoch_offline(busy());
	switch_commit(s->sw);
	while (switch_reap(s->sw))
		;
	assert_null(s->sw->port[index]);
	assert_string_equal(sim_where(s, 7, A), "");
	assert_true(guests_hung_up(a));
	c = guests_come("l");
	assert_int_equal(sim_port(s, "l.2")->port->index, index);
	close(a);
	close(b);
	close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUESTS_TEST(next_owner_of_a_guests_index_inherits_nothing),
		GUESTS_TEST(next_guest_of_a_name_is_mirrored_by_it),
		GUESTS_TEST(mirror_to_a_guest_waits_for_the_next_of_that_name),
		GUESTS_TEST(
			index_of_a_guest_is_free_when_no_worker_can_hold_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
