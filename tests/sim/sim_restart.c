/* A switch goes on from what another one, which has died, has left behind. */
#include "tests/sim/sim.h"

/* a and b have sent broadcasts, which c has as well; a has sent one frame to
 * b and one to itself. */
static struct sim *worked(unsigned int workers)
{
	struct sim *s = sim_new(workers);

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", "");
	sim_seen(s, "a", A);
	sim_seen(s, "b", B);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_step(s, "a", FRAME(.src = A, .dst = A));
	sim_expect_drops(s, "a", "hairpin", 1);
	return s;
}

static void counts_on(struct sim *s, const char *port,
		      const struct port_counters *before, uint64_t rx,
		      uint64_t tx)
{
	struct port_counters c = sim_counters(s, port);

	assert_int_equal(counter_get(&c.rx_frames),
			 counter_get(&before->rx_frames) + rx);
	assert_int_equal(counter_get(&c.rx_bytes),
			 counter_get(&before->rx_bytes) + 60 * rx);
	assert_int_equal(counter_get(&c.tx_frames),
			 counter_get(&before->tx_frames) + tx);
	assert_int_equal(counter_get(&c.tx_segments),
			 counter_get(&before->tx_segments) + tx);
}

static void next_switch_counts_on_whatever_its_number_of_workers(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct sim *old = worked(1 + i % 2), *s = sim_new(1 + i / 2);
		struct port_counters a = sim_counters(old, "a");
		struct port_counters b = sim_counters(old, "b");

		sim_attach(s, "a", "");
		sim_attach(s, "b", "");
		sim_adopt(s, old);
		counts_on(s, "a", &a, 0, 0);
		counts_on(s, "b", &b, 0, 0);
		assert_int_equal(sim_drops(s, "a", "hairpin"), 1);
		sim_step(s, "a", FRAME(.src = A, .dst = B)); /* and floods */
		sim_expect(s, "b", FRAME(.src = A, .dst = B));
		counts_on(s, "a", &a, 1, 0);
		counts_on(s, "b", &b, 0, 1);
		sim_free(s);
		sim_free(old);
	}
}

static void port_that_does_not_come_back_counts_in_the_totals(void **state)
{
	struct sim *old = worked(1), *s = sim_new(1);
	struct port_counters c = sim_counters(old, "c"), gone;

	(void)state;
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_adopt(s, old);
	switch_gone_counters(s->sw, &gone);
	assert_memory_equal(&gone, &c, sizeof(c));
	assert_true(counter_get(&gone.tx_frames) > 0);
	sim_attach(s, "c", ""); /* a new one on the same index */
	assert_int_equal(sim_dummy(s, "c")->index, sim_dummy(old, "c")->index);
	c = sim_counters(s, "c");
	assert_int_equal(counter_get(&c.tx_frames), 0);
	sim_free(s);
	sim_free(old);
}

static void frames_under_way_at_the_death_are_dropped_for_restart(void **state)
{
	struct sim *old = worked(1), *s = sim_new(1);
	struct ledger *l = old->sw->shared.ledger;
	uint32_t a = sim_dummy(old, "a")->index;
	uint32_t b = sim_dummy(old, "b")->index;

	(void)state;
	/* Killed with a batch of 5 half done, 2 of the 3 copies not sent. */
	counter_add(&ledger_slot(l, 1)[a].rx_frames, 5);
	counter_add(&ledger_slot(l, 1)[a].rx_forwarded, 3);
	counter_add(&ledger_slot(l, 1)[b].tx_copies, 3);
	counter_add(&ledger_slot(l, 1)[b].tx_frames, 1);
	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_adopt(s, old);
	sim_expect_drops(s, "a", "restart", 2);
	sim_expect_drops(s, "b", "restart", 2);
	sim_run(s); /* the ledgers hold */
	sim_free(s);
	sim_free(old);
}

static void what_the_kernel_missed_is_counted_and_goes_with_the_port(void **st)
{
	struct sim *s = *st;
	struct port_counters c;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	atomic_store(&sim_dummy(s, "a")->rx_missed, 7);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	c = sim_counters(s, "a");
	assert_int_equal(counter_get(&c.rx_missed), 7);
	assert_int_equal(counter_get(&c.rx_frames), 1);
	atomic_store(&sim_dummy(s, "a")->rx_missed, 9); /* nothing came */
	assert_int_equal(worker_poll(sim_port(s, "a")->worker[0],
				     sim_dummy(s, "a")->index,
				     sim_dummy(s, "a")->generation, s->now_s),
			 0);
	c = sim_counters(s, "a");
	assert_int_equal(counter_get(&c.rx_missed), 9);
	sim_detach(s, "a");
	sim_run(s);
	switch_gone_counters(s->sw, &c);
	assert_int_equal(counter_get(&c.rx_missed), 9);
	assert_int_equal(counter_get(&c.rx_frames), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			next_switch_counts_on_whatever_its_number_of_workers),
		cmocka_unit_test(
			port_that_does_not_come_back_counts_in_the_totals),
		cmocka_unit_test(
			frames_under_way_at_the_death_are_dropped_for_restart),
		SIM_TEST(
			what_the_kernel_missed_is_counted_and_goes_with_the_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
