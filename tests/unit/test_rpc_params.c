/* The table's checks, and the description made of it. */
#include "control/rpc_method.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const modes[] = { "access", "trunk", NULL };

static const struct rpc_param params[] = {
	{ .name = "name",
	  .type = RPC_STRING,
	  .required = true,
	  .max_len = 4,
	  .summary = "its name",
	  .completion = "port.list:ports.name" },
	{ .name = "vlan", .type = RPC_INT, .min = -1, .max = 4094 },
	{ .name = "any", .type = RPC_INT },
	{ .name = "mode", .type = RPC_ENUM, .values = modes },
	{ .name = "up", .type = RPC_BOOL },
	{ .name = "list", .type = RPC_STRINGS, .max = 2, .max_len = 3 },
	{ .name = "object", .type = RPC_OBJECT },
	{ 0 },
};

static int check(const char *text, struct error *e)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	int err;

	assert_non_null(value);
	memset(e, 0, sizeof(*e));
	err = rpc_params_check(params, value, e);
	json_decref(value);
	return err;
}

static void good_values_pass(void **state)
{
	static const char *const texts[] = {
		"{\"name\":\"\"}",
		"{\"name\":\"vm12\",\"vlan\":-1,\"any\":9223372036854775807,"
		"\"mode\":\"trunk\",\"up\":false,\"list\":[\"abc\",\"\"],"
		"\"object\":{\"x\":[1]}}",
		"{\"name\":\"a\",\"vlan\":4094,\"any\":-9223372036854775808,"
		"\"list\":[]}",
	};
	struct error e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (check(texts[i], &e))
			fail_msg("%s: %s", texts[i], e.message);
}

static void bad_values_are_refused_with_reason_and_path(void **state)
{
	static const struct {
		const char *text, *reason, *path;
	} cases[] = {
		{ "{}", "missing-parameter", "name" },
		{ "[]", "wrong-type", "" },
		{ "null", "wrong-type", "" },
		{ "{\"name\":\"a\",\"named\":1}", "unknown-parameter",
		  "named" },
		{ "{\"name\":\"a\",\"\":1}", "unknown-parameter", "" },
		{ "{\"name\":1}", "wrong-type", "name" },
		{ "{\"name\":null}", "wrong-type", "name" },
		{ "{\"name\":\"abcde\"}", "too-long", "name" },
		{ "{\"name\":\"a\",\"vlan\":4095}", "out-of-range", "vlan" },
		{ "{\"name\":\"a\",\"vlan\":-2}", "out-of-range", "vlan" },
		{ "{\"name\":\"a\",\"vlan\":1.0}", "wrong-type", "vlan" },
		{ "{\"name\":\"a\",\"vlan\":\"1\"}", "wrong-type", "vlan" },
		{ "{\"name\":\"a\",\"vlan\":true}", "wrong-type", "vlan" },
		{ "{\"name\":\"a\",\"up\":1}", "wrong-type", "up" },
		{ "{\"name\":\"a\",\"up\":\"yes\"}", "wrong-type", "up" },
		{ "{\"name\":\"a\",\"mode\":\"Trunk\"}", "bad-value", "mode" },
		{ "{\"name\":\"a\",\"mode\":\"\"}", "bad-value", "mode" },
		{ "{\"name\":\"a\",\"list\":\"x\"}", "wrong-type", "list" },
		{ "{\"name\":\"a\",\"list\":[\"x\",2]}", "wrong-type",
		  "list[1]" },
		{ "{\"name\":\"a\",\"list\":[\"abcd\"]}", "too-long",
		  "list[0]" },
		{ "{\"name\":\"a\",\"list\":[\"\",\"\",\"\"]}", "too-long",
		  "list" },
		{ "{\"name\":\"a\",\"object\":[]}", "wrong-type", "object" },
	};
	struct error e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (check(cases[i].text, &e) != -EINVAL || e.err != EINVAL ||
		    strcmp(e.reason, cases[i].reason) ||
		    strcmp(e.path, cases[i].path) || !*e.message)
			fail_msg("%s: got %s at '%s'", cases[i].text, e.reason,
				 e.path);
	}
}

static void bad_enum_word_is_answered_with_the_good_ones(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(check("{\"name\":\"a\",\"mode\":\"x\"}", &e), -EINVAL);
	assert_string_equal(e.message, "mode must be one of: access, trunk");
}

static void some_of_the_params_needn_t_have_all(void **state)
{
	json_t *empty = json_object(), *more = json_pack("{s:i}", "x", 1);

	(void)state;
	assert_int_equal(rpc_params_check_some(params, empty, false, NULL), 0);
	assert_int_equal(rpc_params_check_some(params, more, false, NULL),
			 -EINVAL);
	assert_int_equal(rpc_params_check_some(params, more, true, NULL), 0);
	assert_int_equal(rpc_params_check(NULL, empty, NULL), 0);
	assert_int_equal(rpc_params_check(NULL, more, NULL), -EINVAL);
	json_decref(empty);
	json_decref(more);
}

static void null_takes_back_what_is_not_required_where_the_method_says(void **s)
{
	struct rpc_method method = { .name = "x.set", .params = params };
	json_t *null = json_pack("{s:s,s:n}", "name", "a", "vlan");
	json_t *nameless = json_pack("{s:n}", "name");
	struct error e = { 0 };

	(void)s;
	assert_int_equal(rpc_method_check(&method, null, &e), -EINVAL);
	assert_string_equal(e.reason, "wrong-type");
	method.nulls = true;
	assert_int_equal(rpc_method_check(&method, null, &e), 0);
	assert_int_equal(rpc_method_check(&method, nameless, &e), -EINVAL);
	assert_string_equal(e.path, "name");
	json_decref(null);
	json_decref(nameless);
}

static void getters_fall_back(void **state)
{
	json_t *o = json_pack("{s:s, s:i, s:b}", "s", "x", "i", 3, "b", 0);

	(void)state;
	assert_string_equal(rpc_get_string(o, "s", "y"), "x");
	assert_string_equal(rpc_get_string(o, "i", "y"), "y");
	assert_null(rpc_get_string(o, "none", NULL));
	assert_int_equal(rpc_get_int(o, "i", 9), 3);
	assert_int_equal(rpc_get_int(o, "s", 9), 9);
	assert_false(rpc_get_bool(o, "b", true));
	assert_true(rpc_get_bool(o, "none", true));
	json_decref(o);
}

/* Word for word: the CLI and foreign generators read it. */
static void discover_describes_every_type(void **state)
{
	static const struct rpc_method table[] = {
		{ .name = "port.attach",
		  .summary = "attach",
		  .positional = "name",
		  .params = params,
		  .result = "the port" },
		{ 0 },
	};
	json_t *doc = rpc_discover(table, "t", "1");
	json_t *want = json_loads(
		"{\"name\":\"port.attach\",\"summary\":\"attach\","
		"\"paramStructure\":\"by-name\",\"x-positional\":\"name\","
		"\"result\":{\"name\":\"result\",\"summary\":\"the port\","
		"\"schema\":{}},\"params\":["
		"{\"name\":\"name\",\"summary\":\"its name\",\"required\":true,"
		"\"schema\":{\"type\":\"string\",\"maxLength\":4},"
		"\"x-completion\":\"port.list:ports.name\"},"
		"{\"name\":\"vlan\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"integer\",\"minimum\":-1,"
		"\"maximum\":4094}},"
		"{\"name\":\"any\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"integer\"}},"
		"{\"name\":\"mode\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"string\","
		"\"enum\":[\"access\",\"trunk\"]}},"
		"{\"name\":\"up\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"boolean\"}},"
		"{\"name\":\"list\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"array\",\"maxItems\":2,"
		"\"items\":{\"type\":\"string\",\"maxLength\":3}}},"
		"{\"name\":\"object\",\"summary\":\"\",\"required\":false,"
		"\"schema\":{\"type\":\"object\"}}]}",
		0, NULL);

	(void)state;
	assert_non_null(want);
	assert_true(json_equal(
		json_array_get(json_object_get(doc, "methods"), 0), want));
	json_decref(want);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_values_pass),
		cmocka_unit_test(bad_values_are_refused_with_reason_and_path),
		cmocka_unit_test(bad_enum_word_is_answered_with_the_good_ones),
		cmocka_unit_test(some_of_the_params_needn_t_have_all),
		cmocka_unit_test(
			null_takes_back_what_is_not_required_where_the_method_says),
		cmocka_unit_test(getters_fall_back),
		cmocka_unit_test(discover_describes_every_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
