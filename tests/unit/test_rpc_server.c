/* What a server says to each line: JSON-RPC 2.0 and where we are stricter. */
#include "control/rpc_server.h"

#include "tests/unit/rpc_rig.h"

static int setup(void **state)
{
	static struct rig rig;

	rig_init(&rig, NULL);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(*state);
	return 0;
}

static void reply_has_the_id_it_was_asked_with(void **state)
{
	struct rig_client c;

	rig_connect(*state, &c);
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"rig.echo\","
		"\"params\":{\"n\":5,\"word\":\"red\"}}");
	rig_expect(*state, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":7,"
		   "\"result\":{\"n\":5,\"word\":\"red\"}}");
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":\"a b\",\"method\":\"rig.echo\"}");
	rig_expect(*state, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":\"a b\",\"result\":{}}");
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"rig.echo\"}\r");
	rig_expect(*state, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}");
	rig_hangup(&c);
}

static void notification_runs_without_a_reply(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	rig_say(rig, &c, "{\"jsonrpc\":\"2.0\",\"method\":\"rig.count\"}");
	rig_say(rig, &c, "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}");
	rig_say(rig, &c, "{\"jsonrpc\":\"2.0\",\"method\":\"rig.fail\"}");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\"}");
	rig_expect(rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":2}");
	rig_hangup(&c);
}

static void what_isnt_json_is_a_parse_error(void **state)
{
	static const char *const lines[] = {
		"",
		"hello",
		"{",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\"} x",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,"
		"\"method\":\"rig.count\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,"
		"\"method\":\"rig.count\"}",
	};
	struct rig *rig = *state;
	struct rig_client c;
	size_t i;

	rig_connect(rig, &c);
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		rig_say(rig, &c, lines[i]);
		rig_expect_error(rig, &c, -32700, "parse-error", "");
	}
	rig_write(rig, &c, "{\"jsonrpc\":\0 \"2.0\"}\n", 20);
	rig_expect_error(rig, &c, -32700, "parse-error", "");
	assert_int_equal(rig->handled, 0);
	rig_hangup(&c);
}

static void parse_error_says_where(void **state)
{
	struct rig_client c;
	json_t *line;

	rig_connect(*state, &c);
	rig_say(*state, &c, "{\"jsonrpc\": oops}");
	line = rig_hear(*state, &c);
	assert_non_null(strstr(
		rpc_get_string(json_object_get(line, "error"), "message", ""),
		"at byte 16"));
	json_decref(line);
	rig_hangup(&c);
}

static void nesting_beyond_32_is_too_deep(void **state)
{
	char line[4096] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			  "\"rig.echo\",\"params\":{\"object\":{\"a\":";
	size_t base = strlen(line);
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	/* Three levels so far: 29 more are allowed, 30 aren't. */
	memset(line + base, '[', 29);
	memset(line + base + 29, ']', 29);
	strcpy(line + base + 58, "}}}");
	rig_say(rig, &c, line);
	json_decref(rig_hear(rig, &c));
	memset(line + base, '[', 30);
	memset(line + base + 30, ']', 30);
	strcpy(line + base + 60, "}}}");
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32700, "too-deep", "");
	/* Brackets in a string are no nesting; one unclosed isn't JSON. */
	memset(line, '[', 4000);
	line[4000] = '\0';
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32700, "too-deep", "");
	line[0] = '"';
	memcpy(line + 1, "\\\"", 2);
	line[3999] = '"';
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32600, "invalid-request", "");
	rig_hangup(&c);
}

static void batch_is_refused_and_none_of_it_runs(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	rig_say(rig, &c,
		"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\"}]");
	rig_expect_error(rig, &c, -32600, "batch-refused", "");
	assert_int_equal(rig->handled, 0);
	rig_hangup(&c);
}

static void request_of_the_wrong_shape_is_invalid(void **state)
{
	static const char *const cases[][2] = {
		{ "17", "" },
		{ "{\"id\":1,\"method\":\"rig.count\"}", "jsonrpc" },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"rig.count\"}",
		  "jsonrpc" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":3}", "method" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}", "method" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"rig.count\"}",
		  "id" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"rig.count\"}",
		  "id" },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\","
		  "\"arguments\":{}}",
		  "arguments" },
	};
	struct rig *rig = *state;
	struct rig_client c;
	size_t i;

	rig_connect(rig, &c);
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rig_say(rig, &c, cases[i][0]);
		rig_expect_error(rig, &c, -32600, "invalid-request",
				 cases[i][1]);
	}
	assert_int_equal(rig->handled, 0);
	rig_hangup(&c);
}

static void unknown_method_is_refused(void **state)
{
	struct rig_client c;

	rig_connect(*state, &c);
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such\"}");
	rig_expect_error(*state, &c, -32601, "unknown-method", "");
	rig_hangup(&c);
}

static void params_are_checked_before_the_handler(void **state)
{
	static const char request[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
		"\"rig.%s\",\"params\":%s}";
	struct rig *rig = *state;
	struct rig_client c;
	char line[256];

	rig_connect(rig, &c);
	snprintf(line, sizeof(line), request, "count", "{\"x\":1}");
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32602, "unknown-parameter", "x");
	snprintf(line, sizeof(line), request, "echo", "{\"n\":101}");
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32602, "out-of-range", "n");
	snprintf(line, sizeof(line), request, "count", "[1]");
	rig_say(rig, &c, line);
	rig_expect_error(rig, &c, -32602, "wrong-type", "");
	assert_int_equal(rig->handled, 0);
	rig_hangup(&c);
}

static void handler_error_keeps_reason_path_and_message(void **state)
{
	struct rig_client c;

	rig_connect(*state, &c);
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.fail\"}");
	rig_expect(*state, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32002,"
		   "\"message\":\"port vm1 exists\",\"data\":"
		   "{\"reason\":\"port-exists\",\"path\":\"name\"}}}");
	rig_hangup(&c);
}

static int guard_no_count(struct rpc_call *call,
			  const struct rpc_method *method, const json_t *params,
			  void *ctx, struct error *e)
{
	(void)ctx;
	assert_non_null(params);
	assert_int_equal(rpc_call_peer(call)->pid, getpid());
	assert_int_equal(rpc_call_peer(call)->uid, geteuid());
	if (strcmp(method->name, "rig.count"))
		return 0;
	return error_set(e, EPERM, "not-allowed", NULL, "not for you");
}

static void guard_refuses_before_params_are_looked_at(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	rpc_server_set_guard(rig->server, guard_no_count);
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\","
		"\"params\":{\"x\":1}}");
	rig_expect_error(rig, &c, -32003, "not-allowed", "");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rig.echo\"}");
	rig_expect(rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	assert_int_equal(rig->handled, 0);
	rig_hangup(&c);
}

static void discover_lists_the_table_and_itself(void **state)
{
	struct rig_client c;
	json_t *line, *result, *methods, *method;
	size_t i, found = 0;

	rig_connect(*state, &c);
	rig_say(*state, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}");
	line = rig_hear(*state, &c);
	result = json_object_get(line, "result");
	assert_string_equal(rpc_get_string(result, "openrpc", ""), "1.2.6");
	methods = json_object_get(result, "methods");
	assert_int_equal(json_array_size(methods),
			 sizeof(rig_table) / sizeof(*rig_table));
	json_array_foreach(methods, i, method) {
		const char *name = rpc_get_string(method, "name", "");

		found += !strcmp(name, "rpc.discover");
		assert_string_equal(rpc_get_string(method, "x-access", ""),
				    strcmp(name, "rig.fail") ? "" : "few");
	}
	assert_int_equal(found, 1);
	json_decref(line);
	rig_hangup(&c);
}

static void deferred_reply_goes_to_its_own_call(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.defer\"}");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rig.defer\"}");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"rig.count\"}");
	rig_expect(rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":1}");
	assert_int_equal(rig->n_deferred, 2);
	rpc_reply(rig->deferred[1], json_string("two"));
	rpc_reply(rig->deferred[0], json_string("one"));
	rig->n_deferred = 0;
	rig_expect(rig, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":\"two\"}");
	rig_expect(rig, &c,
		   "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"one\"}");
	assert_int_equal(rig->cancelled, 0);
	rig_hangup(&c);
}

static void result_that_could_not_be_made_is_an_error(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;
	int fd = dup(0);

	rig_connect(rig, &c);
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.defer\"}");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rig.defer\"}");
	assert_int_equal(rig->n_deferred, 2);
	rpc_reply(rig->deferred[0], NULL);
	rpc_reply_fd(rig->deferred[1], NULL, fd);
	rig->n_deferred = 0;
	for (int id = 1; id <= 2; id++) {
		json_t *line = rig_hear(rig, &c), *error;

		assert_int_equal(rpc_get_int(line, "id", 0), id);
		assert_null(json_object_get(line, "result"));
		error = json_object_get(line, "error");
		assert_int_equal(rpc_get_int(error, "code", 0),
				 RPC_CODE_EXHAUSTED);
		assert_string_equal(
			rpc_get_string(json_object_get(error, "data"), "reason",
				       ""),
			"no-memory");
		json_decref(line);
	}
	assert_int_equal(c.passed, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	rig_hangup(&c);
}

static void call_of_a_dead_connection_is_cancelled_and_answered_in_vain(
	void **state)
{
	struct rig *rig = *state;
	struct rig_client c;
	uint64_t deadline = clock_ns() + RIG_DEADLINE;

	rig_connect(rig, &c);
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.defer\"}");
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rig.defer\"}");
	assert_int_equal(rig->n_deferred, 2);
	rig_hangup(&c);
	/* The first answer finds nobody; the connection goes with it. */
	rpc_reply(rig->deferred[0], json_null());
	rig->deferred[0] = NULL;
	while (rpc_server_conns(rig->server) && clock_ns() < deadline)
		rig_step(rig);
	assert_int_equal(rpc_server_conns(rig->server), 0);
	assert_int_equal(rig->cancelled, 1);
	assert_null(rpc_call_conn(rig->deferred[1]));
	rpc_reply_fd(rig->deferred[1], json_true(), dup(0));
	rig->n_deferred = 0;
}

static void half_closed_client_gets_all_its_replies_then_the_end(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;
	int i;

	rig_connect(rig, &c);
	for (i = 0; i < 200; i++)
		rig_say(rig, &c,
			"{\"jsonrpc\":\"2.0\",\"id\":1,"
			"\"method\":\"rig.count\"}");
	shutdown(c.fd, SHUT_WR);
	for (i = 0; i < 200; i++)
		json_decref(rig_hear(rig, &c));
	assert_null(rig_hear(rig, &c));
	assert_int_equal(rig->handled, 200);
	assert_int_equal(rpc_server_conns(rig->server), 0);
	rig_hangup(&c);
}

static void half_closed_client_gets_a_deferred_reply_too(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;

	rig_connect(rig, &c);
	rig_say(rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.defer\"}");
	shutdown(c.fd, SHUT_WR);
	rig_step(rig);
	rig_step(rig);
	assert_int_equal(rig->n_deferred, 1);
	rpc_reply(rig->deferred[0], json_true());
	rig->n_deferred = 0;
	rig_expect(rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
	assert_null(rig_hear(rig, &c));
	rig_hangup(&c);
}

/* Each descriptor holds the number that its reply says. */
static void descriptor_arrives_with_its_own_reply(void **state)
{
	struct rig *rig = *state;
	struct rig_client c;
	char all[40 * 128], byte;
	int n, passed, len = 0;

	rig_connect(rig, &c);
	/* All asked at once, so that replies queue up; others between them. */
	for (n = 1; n <= 40; n++) {
		len += snprintf(
			all + len, sizeof(all) - (size_t)len,
			"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\","
			"\"params\":{\"n\":%d}}\n",
			n, n % 3 ? "rig.fd" : "rig.big", n % 3 ? n : 9000);
	}
	rig_write(rig, &c, all, (size_t)len);
	for (n = 1; n <= 40; n++) {
		json_t *reply = rig_hear(rig, &c);

		assert_int_equal(rpc_get_int(reply, "id", 0), n);
		passed = c.passed;
		if (n % 3) {
			assert_true(passed >= 0);
			assert_int_equal(read(passed, &byte, 1), 1);
			assert_int_equal(byte, n);
			close(passed);
			c.passed = -1;
		}
		json_decref(reply);
	}
	assert_int_equal(c.passed, -1);
	rig_hangup(&c);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(reply_has_the_id_it_was_asked_with),
		CASE(notification_runs_without_a_reply),
		CASE(what_isnt_json_is_a_parse_error),
		CASE(parse_error_says_where),
		CASE(nesting_beyond_32_is_too_deep),
		CASE(batch_is_refused_and_none_of_it_runs),
		CASE(request_of_the_wrong_shape_is_invalid),
		CASE(unknown_method_is_refused),
		CASE(params_are_checked_before_the_handler),
		CASE(handler_error_keeps_reason_path_and_message),
		CASE(guard_refuses_before_params_are_looked_at),
		CASE(discover_lists_the_table_and_itself),
		CASE(deferred_reply_goes_to_its_own_call),
		CASE(result_that_could_not_be_made_is_an_error),
		CASE(call_of_a_dead_connection_is_cancelled_and_answered_in_vain),
		CASE(half_closed_client_gets_all_its_replies_then_the_end),
		CASE(half_closed_client_gets_a_deferred_reply_too),
		CASE(descriptor_arrives_with_its_own_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
