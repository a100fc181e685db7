/* What is done so that the switch has the ports that domains want. */
#include "control/libvirt/converge.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static struct wanted want;
static struct actual have;

static json_t *json(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	assert_non_null(o);
	return o;
}

static void wants(const char *name, const char *params)
{
	assert_int_equal(wanted_add(&want, name, params ? json(params) : NULL,
				    "a problem"),
			 0);
}

static void has(const char *name, const char *params)
{
	assert_int_equal(actual_add(&have, name, json(params)), 0);
}

/* The plan as text: "detach a; set b {..}; attach c {..}; ". */
static void check_plan(bool complete, const char *expected)
{
	static const char *const words[] = { "detach", "set", "attach" };
	struct plan plan = { 0 };
	char text[2048] = "";

	assert_int_equal(converge(&want, &have, complete, &plan), 0);
	for (size_t i = 0; i < plan.n; i++) {
		const struct action *a = &plan.action[i];
		char *params =
			a->params ? json_dumps(a->params,
					       JSON_COMPACT | JSON_SORT_KEYS)
				  : NULL;
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s %s%s%s; ",
			 words[a->kind], a->name, params ? " " : "",
			 params ? params : "");
		free(params);
	}
	assert_string_equal(text, expected);
	plan_clear(&plan);
}

static int clear(void **state)
{
	(void)state;
	wanted_clear(&want);
	actual_clear(&have);
	return 0;
}

#define TAP1 "{\"ifname\":\"t1\",\"type\":\"netdev\"}"
#define TAP2 "{\"ifname\":\"t2\",\"type\":\"netdev\"}"

static void nothing_wanted_and_nothing_there_is_nothing_to_do(void **state)
{
	(void)state;
	check_plan(true, "");
}

static void what_lacks_is_attached_and_what_is_in_step_is_left(void **state)
{
	(void)state;
	wants("a/net0", TAP1);
	wants("b/net0", TAP2);
	has("a/net0", TAP1);
	check_plan(true, "attach b/net0 " TAP2 "; ");
}

static void what_is_gone_is_detached_before_others_are_attached(void **state)
{
	(void)state;
	wants("b/net0", TAP2);
	has("a/net0", TAP1);
	check_plan(true, "detach a/net0; attach b/net0 " TAP2 "; ");
}

static void what_could_not_be_read_is_not_taken_for_gone(void **state)
{
	(void)state;
	wants("b/net0", TAP2);
	has("a/net0", TAP1);
	check_plan(false, "attach b/net0 " TAP2 "; ");
}

static void what_can_change_while_it_runs_is_set(void **state)
{
	(void)state;
	wants("a/net0", "{\"type\":\"netdev\",\"ifname\":\"t1\","
			"\"mode\":\"access\",\"vlan\":20}");
	has("a/net0", "{\"type\":\"netdev\",\"ifname\":\"t1\","
		      "\"mode\":\"access\",\"vlan\":10,\"isolated\":true}");
	check_plan(true, "set a/net0 {\"isolated\":null,\"vlan\":20}; ");
}

static void another_device_under_the_name_is_a_new_port(void **state)
{
	(void)state;
	wants("a/net0", TAP2);
	has("a/net0", TAP1);
	check_plan(true, "detach a/net0; attach a/net0 " TAP2 "; ");
}

static void another_owner_of_a_socket_is_a_new_port(void **state)
{
	static const char port[] = "{\"owner\":\"qemu\",\"path\":\"/s\","
				   "\"type\":\"vhost-user\"}";

	(void)state;
	wants("a/net0", port);
	has("a/net0", "{\"type\":\"vhost-user\",\"path\":\"/s\","
		      "\"owner\":\"root\"}");
	check_plan(true, "detach a/net0; attach a/net0 {\"owner\":\"qemu\","
			 "\"path\":\"/s\",\"type\":\"vhost-user\"}; ");
}

static void a_port_keeps_its_name_where_only_that_differs(void **state)
{
	(void)state;
	wants("a/net1", "{\"type\":\"netdev\",\"ifname\":\"t1\","
			"\"learn\":false}");
	has("a/net0", TAP1);
	check_plan(true, "set a/net0 {\"learn\":false}; ");
}

static void two_ports_that_swap_names_are_both_left(void **state)
{
	(void)state;
	wants("a/net0", TAP2);
	wants("a/net1", TAP1);
	has("a/net0", TAP1);
	has("a/net1", TAP2);
	check_plan(true, "");
}

static void a_port_with_a_problem_is_left_and_not_attached(void **state)
{
	(void)state;
	wants("a/net0", NULL);
	wants("b/net0", NULL);
	has("a/net0", TAP1);
	check_plan(true, "");
}

/* Doing what a plan says leaves nothing to do. */
static void a_plan_that_was_carried_out_is_followed_by_none(void **state)
{
	struct plan plan = { 0 };

	(void)state;
	wants("a/net0", TAP1);
	wants("b/net0", TAP2);
	wants("b/net0", "{\"type\":\"netdev\",\"ifname\":\"t3\"}");
	assert_int_equal(converge(&want, &have, true, &plan), 0);
	assert_int_equal(plan.n, 2);
	for (size_t i = 0; i < plan.n; i++)
		assert_int_equal(actual_add(&have, plan.action[i].name,
					    json_incref(plan.action[i].params)),
				 0);
	plan_clear(&plan);
	check_plan(true, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, clear)
	const struct CMUnitTest tests[] = {
		TEST(nothing_wanted_and_nothing_there_is_nothing_to_do),
		TEST(what_lacks_is_attached_and_what_is_in_step_is_left),
		TEST(what_is_gone_is_detached_before_others_are_attached),
		TEST(what_could_not_be_read_is_not_taken_for_gone),
		TEST(what_can_change_while_it_runs_is_set),
		TEST(another_device_under_the_name_is_a_new_port),
		TEST(another_owner_of_a_socket_is_a_new_port),
		TEST(a_port_keeps_its_name_where_only_that_differs),
		TEST(two_ports_that_swap_names_are_both_left),
		TEST(a_port_with_a_problem_is_left_and_not_attached),
		TEST(a_plan_that_was_carried_out_is_followed_by_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
