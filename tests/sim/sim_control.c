/* Ports that speak with their other end: what changes is told once, and nobody
 * touches one that is still another process's. */
#include "tests/sim/sim.h"

#include <poll.h>

#define WELL   ((struct port_state){ true, "running", NULL })
#define ALONE  ((struct port_state){ false, "waiting", NULL })
#define BROKEN ((struct port_state){ false, "broken", "bad index" })

/* What the switch has told, the newest last. */
static json_t *events;

static void hook_event(void *ctx, const char *topic, json_t *params)
{
	(void)ctx;
	json_object_set_new(params, "topic", json_string(topic));
	json_array_append_new(events, params);
}

static int setup(void **state)
{
	struct sim *s;

	sim_setup(state);
	s = *state;
	s->sw->hooks.event = hook_event;
	events = json_array();
	return 0;
}

static int teardown(void **state)
{
	json_decref(events);
	return sim_teardown(state);
}

static bool readable(const struct port *p)
{
	struct pollfd fd = { .fd = p->control_fd, .events = POLLIN };

	return p->control_fd >= 0 && poll(&fd, 1, 0) == 1;
}

/* As a loop would: each port whose descriptor is readable. */
static unsigned int pump(struct sim *s)
{
	unsigned int calls = 0;

	for (uint32_t i = 0; i < s->sw->index_end; i++) {
		struct switch_port *p = s->sw->port[i];

		for (; p && readable(p->port); calls++)
			switch_control(s->sw, p);
	}
	return calls;
}

static void say(struct sim *s, const char *port, struct port_state what)
{
	assert_int_equal(dummy_say(sim_dummy(s, port), &what), 0);
}

static const char *text(const json_t *event, const char *key)
{
	return rpc_get_string(event, key, "");
}

/* There was exactly one event, this one. Forgets it. */
static void one_event(const char *port, struct port_state what)
{
	const json_t *e = json_array_get(events, 0);

	assert_int_equal(json_array_size(events), 1);
	assert_string_equal(text(e, "topic"), "port.link");
	assert_string_equal(text(e, "name"), port);
	assert_string_equal(text(e, "ifname"), "");
	assert_true(rpc_get_bool(e, "up", false));
	assert_int_equal(rpc_get_bool(e, "carrier", !what.carrier),
			 what.carrier);
	assert_int_equal(rpc_get_int(e, "mtu", 0), 1500);
	assert_string_equal(text(e, "condition"), what.condition);
	assert_string_equal(text(e, "reason"), what.reason ? what.reason : "");
	assert_int_equal(json_object_get(e, "reason") != NULL,
			 what.reason != NULL);
	json_array_clear(events);
}

static void no_event(void)
{
	assert_int_equal(json_array_size(events), 0);
}

static void change_is_told_once(void **state)
{
	static const struct port_state life[] = {
		{ false, "waiting", NULL }, { true, "running", NULL },
		{ false, "broken", "a" },   { false, "broken", "b" },
		{ false, "waiting", "b" },  { true, "running", "b" },
		{ false, "running", "b" },
	};
	struct sim *s = *state;

	sim_attach(s, "a", "");
	json_array_clear(events);
	for (unsigned int i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
		const struct switch_port *p = sim_port(s, "a");

		say(s, "a", life[i]);
		no_event(); /* not before it was asked */
		assert_int_equal(pump(s), 1);
		one_event("a", life[i]);
		assert_int_equal(p->carrier, life[i].carrier);
		assert_ptr_equal(p->condition, life[i].condition);
		assert_ptr_equal(p->reason, life[i].reason);
		say(s, "a", life[i]);
		assert_int_equal(pump(s), 1);
		no_event();
	}
}

static void port_that_broke_is_well_again_without_a_reason(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	json_array_clear(events);
	say(s, "a", BROKEN);
	pump(s);
	one_event("a", BROKEN);
	say(s, "a", WELL);
	pump(s);
	one_event("a", WELL);
	assert_null(sim_port(s, "a")->reason);
}

static void each_port_tells_of_itself(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_attach(s, "c", ""); /* speaks with nobody */
	json_array_clear(events);
	say(s, "a", ALONE);
	pump(s);
	one_event("a", ALONE);
	say(s, "b", WELL);
	assert_int_equal(pump(s), 1);
	one_event("b", WELL);
	assert_string_equal(sim_port(s, "a")->condition, "waiting");
	assert_null(sim_port(s, "c")->condition);
}

static void what_one_is_told_of_has_no_say_in_where_frames_go(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	say(s, "b", BROKEN);
	pump(s);
	sim_step(s, "a", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = MAC_BROADCAST));
}

static void leaving_port_is_dealt_with_but_not_told_of(void **state)
{
	struct sim *s = *state;
	struct switch_port *a = sim_attach(s, "a", "");

	say(s, "a", ALONE);
	pump(s);
	switch_commit(s->sw);
	switch_detach(s->sw, a, "request");
	json_array_clear(events);
	assert_int_equal(dummy_say(a->port, &WELL), 0);
	assert_int_equal(pump(s), 1);
	no_event();
	assert_false(readable(a->port));
	sim_run(s); /* now it is gone */
	assert_int_equal(json_array_size(events), 1);
	assert_string_equal(text(json_array_get(events, 0), "topic"),
			    "port.detached");
}

static void port_may_go_while_its_other_end_waits(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	say(s, "a", ALONE);
	sim_detach(s, "a");
	json_array_clear(events);
	sim_run(s);
	assert_int_equal(json_array_size(events), 1);
	assert_int_equal(pump(s), 0);
}

static void port_that_stays_tells_what_it_kept_to_itself(void **state)
{
	struct sim *s = *state;
	struct switch_port *a = sim_attach(s, "a", "");

	say(s, "a", ALONE);
	pump(s);
	json_array_clear(events);
	switch_detach(s->sw, a, "request");
	assert_int_equal(dummy_say(a->port, &WELL), 0);
	assert_int_equal(pump(s), 1);
	no_event();
	assert_true(
		switch_undetach(s->sw, a->port->index, a->port->generation));
	one_event("a", WELL);
}

static void port_whose_type_says_nothing_is_up_by_its_device(void **state)
{
	struct sim *s = *state;
	const struct switch_port *a = sim_attach(s, "a", "");

	assert_null(a->condition);
	assert_true(a->up && a->carrier);
	a = sim_attach(s, "b", "enabled=no");
	assert_false(a->up || a->carrier);
}

/* ---- Another process before this one ---- */

static void resumed_port_is_taken_over_once_and_not_when_it_is_restored(
	void **state)
{
	struct sim *s = *state;
	json_t *saved = json_pack("{s:{s:i,s:i,s:{s:s}},s:{s:i,s:i,s:{s:s}}}",
				  "port/old", "index", 3, "origin", 0, "params",
				  "type", "dummy", "port/new", "index", 4,
				  "origin", 0, "params", "type", "dummy");
	struct error err = { 0 };
	unsigned int failed = 0;

	assert_non_null(saved);
	assert_int_equal(switch_restore(s->sw, saved, &failed, &err), 0);
	assert_int_equal(failed, 0);
	json_decref(saved);
	/* As the monitor says it of what it holds. */
	sim_port(s, "old")->grant.resumed = true;
	assert_int_equal(dummy_taken_over(sim_dummy(s, "old")), 0);
	switch_take_over(s->sw);
	assert_int_equal(dummy_taken_over(sim_dummy(s, "old")), 1);
	assert_int_equal(dummy_taken_over(sim_dummy(s, "new")), 0);
	sim_run(s);
	sim_run(s);
	assert_int_equal(dummy_taken_over(sim_dummy(s, "old")), 1);
}

static void port_is_taken_over_again_where_another_one_may_have_had_it(
	void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "");
	say(s, "a", WELL);
	pump(s);
	json_array_clear(events);
	switch_halt(s->sw);
	assert_int_equal(dummy_taken_over(sim_dummy(s, "a")), 0);
	assert_int_equal(switch_go_on(s->sw), 0);
	assert_int_equal(dummy_taken_over(sim_dummy(s, "a")), 1);
	no_event();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(change_is_told_once),
		TEST(port_that_broke_is_well_again_without_a_reason),
		TEST(each_port_tells_of_itself),
		TEST(what_one_is_told_of_has_no_say_in_where_frames_go),
		TEST(leaving_port_is_dealt_with_but_not_told_of),
		TEST(port_may_go_while_its_other_end_waits),
		TEST(port_that_stays_tells_what_it_kept_to_itself),
		TEST(port_whose_type_says_nothing_is_up_by_its_device),
		TEST(resumed_port_is_taken_over_once_and_not_when_it_is_restored),
		TEST(port_is_taken_over_again_where_another_one_may_have_had_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
