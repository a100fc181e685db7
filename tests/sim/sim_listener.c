/* Guests of a listener are ports as others are: named, with its settings, until
 * they go; in a configuration and over the death of the switch. */
#include "tests/sim/guests.h"

static const char *word(const char *port, const char *key)
{
	return rpc_get_string(sim_port(guests.s, port)->params, key, "");
}

/* ---- Names ---- */

static void guest_is_the_port_of_the_lowest_number(void **state)
{
	int a, b, c;

	(void)state;
	guests_listen("l", "type=seqpacket");
	a = guests_come("l");
	b = guests_come("l");
	assert_true(guests_port("l.1"));
	assert_true(guests_port("l.2"));
	close(a);
	guests_frames();
	assert_false(guests_port("l.1"));
	assert_true(guests_port("l.2"));
	c = guests_come("l");
	assert_true(guests_port("l.1"));
	assert_false(guests_port("l.3"));
	close(b);
	close(c);
}

static void name_that_another_port_has_is_passed_over(void **state)
{
	struct sim *s = *state;
	int a;

	sim_attach(s, "l.1", "");
	guests_listen("l", "type=seqpacket");
	a = guests_come("l");
	assert_true(guests_port("l.2"));
	assert_int_equal(guests_ports("l"), 1);
	guests_remove("l");
	guests_run();
	assert_true(guests_port("l.1")); /* that one isn't its */
	assert_false(guests_port("l.2"));
	close(a);
}

static void listener_and_port_may_have_one_name(void **state)
{
	struct sim *s = *state;
	int a;

	sim_attach(s, "l", "");
	guests_listen("l", "type=seqpacket");
	a = guests_come("l");
	assert_true(guests_port("l"));
	assert_true(guests_port("l.1"));
	close(a);
}

/* ---- Settings ---- */

static void port_has_what_its_listener_says(void **state)
{
	struct sim *s = *state;
	const struct switch_port *p;
	int a;

	guests_listen("l", "type=seqpacket mode=access vlan=7 isolated=yes "
			   "mtu=9000 description=lab");
	a = guests_come("l");
	p = sim_port(s, "l.1");
	assert_string_equal(p->config.request.type, "seqpacket");
	assert_true(p->config.access && p->config.isolated);
	assert_int_equal(p->config.native, 7);
	assert_int_equal(p->grant.mtu, 9000);
	assert_string_equal(p->config.description, "lab");
	assert_int_equal(p->origin, SWITCH_ORIGIN_TRANSIENT);
	assert_int_equal(p->uid, SWITCH_NOBODY);
	assert_string_equal(p->listener, "l");
	assert_true(p->peer.known);
	assert_int_equal(p->peer.pid, getpid());
	assert_int_equal(p->peer.uid, getuid());
	assert_int_equal(p->peer.gid, getgid());
	close(a);
}

static void frames_go_between_guests_and_other_ports(void **state)
{
	struct sim *s = *state;
	int a, b, other;

	sim_attach(s, "d", "mode=access vlan=7");
	guests_listen("l", "type=seqpacket mode=access vlan=7");
	guests_listen("m", "type=seqpacket mode=access vlan=8");
	a = guests_come("l");
	b = guests_come("l");
	other = guests_come("m");
	guests_broadcast(a, A);
	assert_true(guests_got(b));
	assert_true(guests_waits(other));
	sim_expect(s, "d", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_send(s, "d", FRAME(.src = B, .dst = A));
	worker_poll(sim_port(s, "d")->worker[0], sim_dummy(s, "d")->index,
		    sim_dummy(s, "d")->generation, s->now_s);
	sim_build(&FRAME(.src = B, .dst = A), guests.frame);
	assert_true(guests_got(a));
	assert_true(guests_waits(b));
	close(a);
	close(b);
	close(other);
	guests_frames();
}

static void port_can_be_set_but_for_what_is_its_listeners(void **state)
{
	struct sim *s = *state;
	int a;

	guests_listen("l", "type=seqpacket mode=access vlan=7");
	a = guests_come("l");
	sim_set(s, "l.1", "vlan=9 enabled=no description=x");
	assert_int_equal(sim_port(s, "l.1")->config.native, 9);
	sim_set(s, "l.1", "mtu=4000 description=");
	assert_int_equal(sim_port(s, "l.1")->grant.mtu, 4000);
	assert_string_equal(word("l.1", "description"), "");
	sim_set_fails(s, "l.1", "type=dummy", "needs-reattach", "type");
	sim_set_fails(s, "l.1", "ifname=eth0", "not-for-type", "ifname");
	assert_true(sim_port(s, "l.1")->config.request.given);
	close(a);
}

static void port_goes_with_its_connection_for_that_reason(void **state)
{
	int a;

	(void)state;
	guests_listen("l", "type=seqpacket");
	a = guests_come("l");
	assert_string_equal(
		rpc_get_string(guests_told("port.attached"), "listener", ""),
		"l");
	close(a);
	guests_frames();
	assert_false(guests_port("l.1"));
	assert_string_equal(
		rpc_get_string(guests_told("port.detached"), "reason", ""),
		"connection-closed");
	assert_int_equal(json_object_size(guests.s->sw->missing), 0);
}

static void removed_listener_takes_its_ports_along(void **state)
{
	int a, b;

	(void)state;
	guests_listen("l", "type=seqpacket");
	guests_listen("m", "type=seqpacket");
	a = guests_come("l");
	b = guests_come("m");
	guests_remove("l");
	guests_run();
	assert_true(guests_hung_up(a));
	assert_true(guests_waits(b));
	assert_int_equal(access(guests_path("l"), F_OK), -1);
	assert_string_equal(
		rpc_get_string(guests_told("port.detached"), "reason", ""),
		"listener-removed");
	assert_string_equal(
		rpc_get_string(guests_told("listener.removed"), "name", ""),
		"l");
	close(a);
	close(b);
}

/* ---- A configuration ---- */

/* {"listeners": [{NAME and words}, ..], "profiles": ..}; NULL ends. */
static json_t *config_of(const char *const *names, const char *words,
			 const char *profile)
{
	json_t *list = json_array(), *config;

	for (; *names; names++)
		json_array_append_new(list, guests_params(*names, words));
	config = json_pack("{s:o}", "listeners", list);
	if (profile)
		json_object_set_new(
			config, "profiles",
			json_pack("{s:o}", "lab",
				  sim_params(portconf_params, profile)));
	return config;
}

static int apply(json_t *config, struct error *err)
{
	struct config_changes c;
	int r = config_check(config, err);

	if (r == 0)
		r = config_apply(guests.s->sw, config, &c, err);
	json_decref(config);
	guests_run();
	return r;
}

static void applied(json_t *config)
{
	struct error err = { 0 };

	if (apply(config, &err) < 0)
		fail_msg("%s at %s", err.message, err.path);
}

static void refused(json_t *config, const char *reason, const char *path)
{
	struct error err = { 0 };

	assert_true(apply(config, &err) < 0);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void configuration_makes_changes_and_removes_listeners(void **state)
{
	int a, b, hand;

	(void)state;
	guests_listen("hand", "type=seqpacket");
	applied(config_of(NAMES("l", "m"), "type=seqpacket", NULL));
	a = guests_come("l");
	b = guests_come("m");
	hand = guests_come("hand");
	applied(config_of(NAMES("l"), "type=seqpacket max=2", NULL));
	assert_int_equal(guests_count("l", "max"), 2);
	assert_null(listener_find(guests.s->sw, "m"));
	assert_true(guests_hung_up(b));
	assert_true(guests_waits(a));
	assert_true(guests_waits(hand));
	assert_int_equal(guests_ports("l"), 1);
	close(a);
	close(b);
	close(hand);
}

static void guests_that_are_there_get_what_the_configuration_says(void **state)
{
	struct sim *s = *state;
	unsigned int changed;
	int a, hand;

	applied(config_of(NAMES("l"), "type=seqpacket profile=lab",
			  "mode=access vlan=5"));
	guests_listen("hand", "type=seqpacket profile=lab");
	a = guests_come("l");
	hand = guests_come("hand");
	guests_events("");
	applied(config_of(NAMES("l"), "type=seqpacket profile=lab",
			  "mode=access vlan=5"));
	assert_int_equal(guests_events("port.changed"), 0);
	applied(config_of(NAMES("l"), "type=seqpacket profile=lab",
			  "mode=access vlan=6"));
	changed = guests_events("port.changed");
	assert_int_equal(changed, 1);
	assert_int_equal(sim_port(s, "l.1")->config.native, 6);
	/* It was attached with what the profile said then. */
	assert_int_equal(sim_port(s, "hand.1")->config.native, 5);
	applied(config_of(NAMES("l"), "type=seqpacket mode=access vlan=8",
			  "mode=access vlan=6"));
	assert_int_equal(sim_port(s, "l.1")->config.native, 8);
	assert_true(guests_waits(a));
	close(a);
	close(hand);
}

static void what_is_refused_is_undone_and_guests_stay(void **state)
{
	struct sim *s = *state;
	json_t *config;
	int a, b;

	applied(config_of(NAMES("l", "m"), "type=seqpacket mode=access vlan=5",
			  NULL));
	a = guests_come("l");
	b = guests_come("m");
	/* m isn't wanted, l changes, and then there's no such folder. */
	config = config_of(NAMES("l", "none/x"),
			   "type=seqpacket mode=access vlan=6 max=3", NULL);
	refused(config, "no-folder", "listeners[1].listen");
	assert_true(guests_waits(a));
	assert_true(guests_waits(b));
	assert_int_equal(sim_port(s, "l.1")->config.native, 5);
	assert_int_equal(guests_count("l", "max"), LISTENER_PORTS);
	assert_int_equal(guests_ports("m"), 1);
	close(guests_come("m"));
	guests_frames();
	close(a);
	close(b);
}

static void profile_that_a_listener_has_stays(void **state)
{
	(void)state;
	applied(config_of(NAMES("l"), "type=seqpacket profile=lab",
			  "mode=access vlan=5"));
	guests_listen("hand", "type=seqpacket profile=lab");
	refused(config_of(NAMES("l"), "type=seqpacket", NULL), "profile-in-use",
		"profiles.lab");
	/* It would be nothing that its ports could have. */
	refused(config_of(NAMES("l"), "type=seqpacket", "mode=access"),
		"missing-parameter", "profiles.lab.vlan");
	guests_remove("hand");
	applied(config_of(NAMES("l"), "type=seqpacket", NULL));
	assert_non_null(listener_find(guests.s->sw, "l"));
}

static void listener_whose_place_changes_is_another_one(void **state)
{
	int a, b;

	(void)state;
	applied(config_of(NAMES("l"), "type=seqpacket", NULL));
	a = guests_come("l");
	applied(config_of(NAMES("l"), "type=stream", NULL));
	assert_true(guests_hung_up(a));
	b = guests_connect("l", SOCK_STREAM);
	guests_run();
	assert_string_equal(sim_port(guests.s, "l.1")->config.request.type,
			    "stream");
	close(a);
	close(b);
}

static void port_of_the_configuration_takes_a_guests_name(void **state)
{
	json_t *config;
	int a;

	(void)state;
	guests_listen("l", "type=seqpacket");
	a = guests_come("l");
	config = json_pack("{s:[{s:s,s:s}]}", "ports", "name", "l.1", "type",
			   "dummy");
	applied(config);
	assert_true(guests_hung_up(a));
	assert_string_equal(sim_port(guests.s, "l.1")->config.request.type,
			    "dummy");
	close(a);
}

static void guest_that_is_lost_by_an_undone_change_is_no_other_port(
	void **state)
{
	json_t *config;
	int a;

	(void)state;
	/* What the profile says of a type isn't for listeners. */
	applied(config_of(NAMES("l"), "type=seqpacket profile=lab",
			  "type=dummy"));
	a = guests_come("l");
	config = config_of(NAMES("l", "none/x"), "type=seqpacket profile=lab",
			   "type=dummy");
	json_object_set_new(
		config, "ports",
		json_pack("[{s:s,s:s}]", "name", "l.1", "type", "dummy"));
	/* Its connection is over when the folder is found missing. */
	refused(config, "no-folder", "listeners[1].listen");
	assert_true(guests_hung_up(a));
	assert_null(switch_port_find(guests.s->sw, "l.1"));
	close(a);
}

static void listeners_are_saved_and_their_ports_are_not(void **state)
{
	json_t *config, *list;
	int a;

	(void)state;
	guests_listen("b", "type=seqpacket rate=7");
	guests_listen("a", "type=seqpacket mode=access vlan=3");
	a = guests_come("a");
	config = config_show(guests.s->sw, NULL);
	list = json_object_get(config, "listeners");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(rpc_get_string(json_array_get(list, 0), "name", ""),
			    "a");
	assert_int_equal(rpc_get_int(json_array_get(list, 1), "rate", 0), 7);
	assert_int_equal(json_array_size(json_object_get(config, "ports")), 0);
	applied(config); /* and it can be read */
	assert_true(guests_waits(a));
	close(a);
}

/* ---- Death ---- */

static json_t *journal;

static void hook_remember(void *ctx, const char *key, const json_t *value)
{
	(void)ctx;
	if (value)
		json_object_set(journal, key, (json_t *)(uintptr_t)value);
	else
		json_object_del(journal, key);
}

static void what_is_to_be_remembered_is_said_as_it_changes(void **state)
{
	struct sim *s = *state;
	json_t *port;
	int a;

	journal = json_object();
	s->sw->hooks.remember = hook_remember;
	guests_listen("l", "type=seqpacket mode=access vlan=3");
	a = guests_come("l");
	port = json_object_get(journal, "port/l.1");
	assert_string_equal(rpc_get_string(port, "listener", ""), "l");
	assert_string_equal(rpc_get_string(port, "type", ""), "seqpacket");
	assert_int_equal(rpc_get_int(json_object_get(port, "peer"), "pid", 0),
			 getpid());
	assert_null(json_object_get(json_object_get(port, "params"), "type"));
	assert_non_null(json_object_get(journal, "listener/l"));
	close(a);
	guests_frames();
	assert_null(json_object_get(journal, "port/l.1"));
	guests_remove("l");
	assert_int_equal(json_object_size(journal), 0);
	json_decref(journal);
}

/* A state as the journal has it, of a listener and a port of it. */
static json_t *state_of(const char *listener, const char *type, int64_t handle)
{
	json_t *params = guests_params("l", "type=seqpacket max=5");
	json_t *state;

	json_object_del(params, "name");
	state = json_pack("{s:{s:i,s:b,s:o},s:{s:i,s:I,s:i,s:I,s:s,s:s,s:{}}}",
			  "listener/l", "handle", 0, "configured", 1, "params",
			  params, "port/l.1", "index", 0, "handle",
			  (json_int_t)handle, "origin", SWITCH_ORIGIN_TRANSIENT,
			  "uid", (json_int_t)SWITCH_NOBODY, "listener",
			  listener, "type", type, "params");
	return state;
}

static void listener_is_brought_back_and_lost_guests_are_not(void **state)
{
	json_t *saved = state_of("l", "seqpacket", 0);
	struct error err = { 0 };
	unsigned int failed = 0;

	(void)state;
	assert_int_equal(switch_restore(guests.s->sw, saved, &failed, &err), 0);
	assert_int_equal(failed, 1); /* whose connection nobody holds */
	assert_string_equal(err.reason, "not-held");
	assert_false(guests_port("l.1"));
	assert_int_equal(guests_count("l", "max"), 5);
	close(guests_come("l"));
	assert_true(guests_port("l.1"));
	guests_frames();
	json_decref(saved);
}

static void forged_state_makes_no_port(void **state)
{
	static const char *const types[] = { "tap", "listen", "", "dummy" };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		json_t *saved = state_of("l", types[i], 7);
		struct error err = { 0 };
		unsigned int failed = 0;

		assert_int_equal(
			switch_restore(guests.s->sw, saved, &failed, &err), 0);
		assert_int_equal(failed, 1);
		assert_string_equal(err.reason, "bad-state");
		guests_remove("l");
		json_decref(saved);
	}
}

static void forged_listener_is_refused_with_the_state(void **state)
{
	json_t *saved = state_of("l", "seqpacket", 0);
	json_t *l = json_object_get(saved, "listener/l");
	struct error err = { 0 };
	unsigned int failed = 0;

	(void)state;
	json_object_set_new(json_object_get(l, "params"), "type",
			    json_string("tap"));
	assert_int_equal(switch_restore(guests.s->sw, saved, &failed, &err),
			 -EINVAL);
	assert_string_equal(err.reason, "bad-value");
	assert_null(listener_find(guests.s->sw, "l"));
	json_decref(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUESTS_TEST(guest_is_the_port_of_the_lowest_number),
		GUESTS_TEST(name_that_another_port_has_is_passed_over),
		GUESTS_TEST(listener_and_port_may_have_one_name),
		GUESTS_TEST(port_has_what_its_listener_says),
		GUESTS_TEST(frames_go_between_guests_and_other_ports),
		GUESTS_TEST(port_can_be_set_but_for_what_is_its_listeners),
		GUESTS_TEST(port_goes_with_its_connection_for_that_reason),
		GUESTS_TEST(removed_listener_takes_its_ports_along),
		GUESTS_TEST(configuration_makes_changes_and_removes_listeners),
		GUESTS_TEST(
			guests_that_are_there_get_what_the_configuration_says),
		GUESTS_TEST(what_is_refused_is_undone_and_guests_stay),
		GUESTS_TEST(profile_that_a_listener_has_stays),
		GUESTS_TEST(listener_whose_place_changes_is_another_one),
		GUESTS_TEST(port_of_the_configuration_takes_a_guests_name),
		GUESTS_TEST(
			guest_that_is_lost_by_an_undone_change_is_no_other_port),
		GUESTS_TEST(listeners_are_saved_and_their_ports_are_not),
		GUESTS_TEST(what_is_to_be_remembered_is_said_as_it_changes),
		GUESTS_TEST(listener_is_brought_back_and_lost_guests_are_not),
		GUESTS_TEST(forged_state_makes_no_port),
		GUESTS_TEST(forged_listener_is_refused_with_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
