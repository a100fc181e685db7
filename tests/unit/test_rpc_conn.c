/* What one connection may cost, and that it costs the others nothing. */
#include "control/rpc_server.h"

#include "tests/unit/rpc_rig.h"

#include <grp.h>

#define COUNT_LINE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\"}\n"

static struct rig rig;

static int setup(void **state)
{
	(void)state;
	rig_init(&rig, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_fini(&rig);
	return 0;
}

/* The connection that was made last. */
static struct rpc_conn *newest(void)
{
	return LIST_FIRST(&rig.server->conns);
}

static size_t output_of(const struct rpc_conn *conn)
{
	return evbuffer_get_length(conn->out);
}

/* So many bytes of one request after the other. */
static void fill(char *to, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = COUNT_LINE[i % strlen(COUNT_LINE)];
}

static void subscribe(struct rig_client *c, const char *topics)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.subscribe\","
		 "\"params\":{%s%s}}",
		 *topics ? "\"topics\":" : "", topics);
	rig_say(&rig, c, line);
	rig_expect(&rig, c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":0}");
}

static void expect_silence(struct rig_client *c)
{
	rig_step(&rig);
	assert_int_equal(c->len, 0);
	assert_int_equal(rig_read(c), -1);
}

static void longest_line_is_taken_and_one_byte_more_ends_it(void **state)
{
	size_t max = rig.server->limits.max_line;
	char *line = malloc(max + 1);
	struct rig_client c;

	(void)state;
	rig_connect(&rig, &c);
	memset(line, ' ', max);
	fill(line, strlen(COUNT_LINE) - 1);
	rig_write(&rig, &c, line, max);
	rig_write(&rig, &c, "\n", 1);
	rig_expect(&rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	assert_int_equal(newest()->in_size, 0);

	line[max] = ' ';
	rig_write(&rig, &c, line, max + 1);
	rig_expect_error(&rig, &c, -32700, "line-too-long", "");
	assert_null(rig_hear(&rig, &c));
	assert_int_equal(rig.handled, 1);
	assert_int_equal(rpc_server_conns(rig.server), 0);
	free(line);
	rig_hangup(&c);
}

static void line_that_drips_in_is_one_request(void **state)
{
	struct rig_client c;
	size_t i;

	(void)state;
	rig_connect(&rig, &c);
	for (i = 0; i < strlen(COUNT_LINE); i++) {
		assert_int_equal(rig.handled, 0);
		rig_write(&rig, &c, COUNT_LINE + i, 1);
	}
	rig_expect(&rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	rig_hangup(&c);
}

static void million_pipelined_requests_cost_bounded_memory(void **state)
{
	enum { PIECE = 512, REQUESTS = 1000000 };
	const size_t len = strlen(COUNT_LINE);
	const struct rpc_limits *limits = &rig.server->limits;
	char *piece = malloc(PIECE * len);
	size_t sent = 0, all = REQUESTS * len, lines = 0;
	struct rpc_conn *conn;
	struct rig_client c;

	(void)state;
	fill(piece, PIECE * len);
	rig_connect(&rig, &c);
	conn = newest();
	while (lines < REQUESTS) {
		unsigned int before = rig.handled;
		size_t at = sent % (PIECE * len), n = PIECE * len - at;
		ssize_t done;

		if (n > all - sent)
			n = all - sent;
		done = n ? send(c.fd, piece + at, n, MSG_NOSIGNAL) : 0;
		sent += done > 0 ? (size_t)done : 0;
		event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		assert_true(rig.handled - before <= 2 * limits->max_burst);
		assert_true(conn->in_size <= INT16_MAX);
		assert_true(output_of(conn) < limits->max_output + 128);
		while (rig_read(&c) > 0) {
			char *p = c.buf, *end = c.buf + c.len;

			while ((p = memchr(p, '\n', (size_t)(end - p))))
				p++, lines++;
			c.len = 0;
		}
	}
	assert_int_equal(rig.handled, REQUESTS);
	assert_int_equal(lines, REQUESTS);
	free(piece);
	rig_hangup(&c);
}

/* It asks and asks and never reads an answer. */
static void stalled_reader_is_no_longer_read_and_hurts_nobody(void **state)
{
	const struct rpc_limits *limits = &rig.server->limits;
	struct rig_client stalled, c;
	struct rpc_conn *conn;
	unsigned int handled = 0, i, answers = 0;
	size_t len = strlen(COUNT_LINE), sent = 0;

	(void)state;
	rig_connect(&rig, &stalled);
	conn = newest();
	/* Until neither side gets on. */
	for (i = 0; i < 100; i++) {
		ssize_t n;

		while ((n = send(stalled.fd, COUNT_LINE + sent % len,
				 len - sent % len, MSG_NOSIGNAL)) > 0)
			sent += (size_t)n, i = 0;
		rig_step(&rig);
	}
	assert_false(conn->reading);
	assert_true(output_of(conn) >= limits->max_output);
	assert_true(output_of(conn) < limits->max_output + 128);
	assert_true(conn->in_size <= INT16_MAX);

	handled = rig.handled;
	rig_connect(&rig, &c);
	rig_say(&rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.echo\"}");
	rig_expect(&rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	assert_int_equal(rig.handled, handled);
	rig_hangup(&c);

	/* It goes on where it was when it reads at last. */
	assert_true(sent / len > handled);
	while (answers < sent / len) {
		json_t *line = rig_hear(&rig, &stalled);

		assert_int_equal(rpc_get_int(line, "result", 0), ++answers);
		json_decref(line);
	}
	rig_hangup(&stalled);
}

static void stalled_reader_keeps_few_descriptors_waiting(void **state)
{
	struct rpc_conn *conn;
	struct rig_client c;
	int i;

	(void)state;
	rig_connect(&rig, &c);
	conn = newest();
	/* Fill the socket so that nothing more leaves. */
	rig_say(&rig, &c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.big\","
		"\"params\":{\"n\":1000000}}");
	for (i = 0; i < 100; i++)
		rig_say(&rig, &c,
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.fd\","
			"\"params\":{\"n\":1}}");
	assert_int_equal(conn->n_fds, 16);
	json_decref(rig_hear(&rig, &c));
	for (i = 0; i < 100; i++) {
		json_decref(rig_hear(&rig, &c));
		if (c.passed < 0)
			json_decref(rig_hear(&rig, &c)), i++;
		assert_true(c.passed >= 0);
		close(c.passed);
		c.passed = -1;
	}
	assert_int_equal(conn->n_fds, 0);
	rig_hangup(&c);
}

static void unanswered_calls_are_bounded(void **state)
{
	struct rpc_limits limits = { .max_pending = 3 };
	struct rig few;
	struct rig_client c;
	int i;

	(void)state;
	rig_init(&few, &limits);
	rig_connect(&few, &c);
	for (i = 0; i < 5; i++)
		rig_say(&few, &c,
			"{\"jsonrpc\":\"2.0\",\"method\":\"rig.defer\"}");
	assert_int_equal(few.n_deferred, 3);
	/* The answer to a notification is nothing to send, but makes room. */
	rpc_reply(few.deferred[1], json_null());
	few.deferred[1] = NULL;
	rig_step(&few);
	rig_step(&few);
	assert_int_equal(few.n_deferred, 4);
	rig_hangup(&c);
	rig_fini(&few);
}

static void one_connection_takes_turns_with_the_others(void **state)
{
	static char many[1000 * sizeof(COUNT_LINE)];
	const size_t len = strlen(COUNT_LINE);
	struct rig_client hog, c;
	unsigned int before;

	(void)state;
	rig_connect(&rig, &hog);
	rig_connect(&rig, &c);
	fill(many, 1000 * len);
	assert_int_equal(send(hog.fd, many, 1000 * len, 0), 1000 * len);
	event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	before = rig.handled;
	assert_true(before > 0 && before <= 64);
	assert_true(send(c.fd, COUNT_LINE, len, 0) > 0);
	event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_true(rig_read(&c) > 0);
	assert_true(rig.handled < 1000);
	rig_hangup(&hog);
	rig_hangup(&c);
}

static void event_goes_to_subscribers_of_its_topic_only(void **state)
{
	struct rig_client all, ports, dotted, attached, none;

	(void)state;
	rig_connect(&rig, &all);
	rig_connect(&rig, &ports);
	rig_connect(&rig, &dotted);
	rig_connect(&rig, &attached);
	rig_connect(&rig, &none);
	assert_false(rpc_server_wanted(rig.server, "port.attached"));
	subscribe(&all, "");
	subscribe(&ports, "[\"port\"]");
	subscribe(&dotted, "[\"port.\"]");
	subscribe(&attached, "[\"x\",\"port.attached\"]");
	assert_true(rpc_server_wanted(rig.server, "port.attached"));
	rpc_server_notify(rig.server, "event", "port.attached",
			  json_pack("{s:s}", "name", "vm1"));
	rpc_server_notify(rig.server, "event", "port.link", NULL);
	rpc_server_notify(rig.server, "event", "portal.open", NULL);
#define ATTACHED                                                \
	"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":" \
	"{\"topic\":\"port.attached\",\"name\":\"vm1\"}}"
#define LINK                                                    \
	"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":" \
	"{\"topic\":\"port.link\"}}"
#define PORTAL                                                  \
	"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":" \
	"{\"topic\":\"portal.open\"}}"
	rig_expect(&rig, &all, ATTACHED);
	rig_expect(&rig, &all, LINK);
	rig_expect(&rig, &all, PORTAL);
	rig_expect(&rig, &ports, ATTACHED);
	rig_expect(&rig, &ports, LINK);
	rig_expect(&rig, &dotted, ATTACHED);
	rig_expect(&rig, &dotted, LINK);
	rig_expect(&rig, &attached, ATTACHED);
	expect_silence(&all);
	expect_silence(&ports);
	expect_silence(&dotted);
	expect_silence(&attached);
	expect_silence(&none);
	rig_hangup(&all);
	rig_hangup(&ports);
	rig_hangup(&dotted);
	rig_hangup(&attached);
	rig_hangup(&none);
}

static void slow_subscriber_is_told_its_loss_exactly(void **state)
{
	enum { EVENTS = 20000 };
	const struct rpc_limits *limits = &rig.server->limits;
	struct rig_client c;
	struct rpc_conn *conn;
	json_int_t i, next = 0, lost = 0, told = 0;

	(void)state;
	rig_connect(&rig, &c);
	subscribe(&c, "");
	conn = newest();
	for (i = 0; i < EVENTS; i++) {
		rpc_server_notify(rig.server, "event", "x",
				  json_pack("{s:I}", "n", i));
		if (i % 64 == 0)
			rig_step(&rig);
		/* Room again, but not all read: what's new is lost still. */
		if (i == EVENTS - 100) {
			assert_true(conn->lost > 0);
			assert_true(rig_read(&c) > 0);
			rig_step(&rig);
			assert_true(output_of(conn) > 0);
		}
		assert_true(output_of(conn) <= limits->max_events);
	}
	while (next < EVENTS) {
		json_t *line = rig_hear(&rig, &c);
		json_t *params = json_object_get(line, "params");

		if (!strcmp(rpc_get_string(line, "method", ""), "event.lost")) {
			lost = rpc_get_int(params, "count", 0);
			next += lost;
			told++;
		} else {
			assert_int_equal(rpc_get_int(params, "n", -1), next);
			next++;
		}
		json_decref(line);
	}
	assert_int_equal(next, EVENTS);
	assert_int_equal(told, 1);
	assert_true(lost > 0);
	/* And from here on nothing is missing again. */
	rpc_server_notify(rig.server, "event", "x", NULL);
	rig_expect(&rig, &c,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
		   "\"params\":{\"topic\":\"x\"}}");
	rig_hangup(&c);
}

/* ---- Who is there ---- */

#define STRANGER 65534

/* A connection of that user's; what the server says to it. */
static int connect_as(uid_t uid, struct rig_client *c)
{
	int ends[2], r;

	assert_int_equal(seteuid(uid), 0);
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	rig_client_init(c, ends[0]);
	return rpc_server_serve(rig.server, ends[1]);
}

static void some_connections_are_kept_for_root(void **state)
{
	struct rpc_limits limits = { .max_conns = 4,
				     .reserved = 2,
				     .max_per_uid = 1 };
	struct rig_client c[6];

	(void)state;
	if (geteuid() != 0)
		skip();
	rig_fini(&rig);
	rig_init(&rig, &limits);
	assert_int_equal(connect_as(STRANGER, &c[0]), 0);
	assert_int_equal(connect_as(STRANGER, &c[1]), -EMFILE);
	assert_int_equal(connect_as(STRANGER - 1, &c[2]), 0);
	assert_int_equal(connect_as(STRANGER - 2, &c[3]), -EMFILE);
	assert_int_equal(connect_as(0, &c[4]), 0);
	assert_int_equal(connect_as(0, &c[5]), 0);
	assert_int_equal(rpc_server_conns(rig.server), 4);
	rig_expect_error(&rig, &c[3], -32005, "too-many-connections", "");
	for (int i = 0; i < 6; i++)
		rig_hangup(&c[i]);
}

/* Connects with the groups 1000, 1001 and so on; what is known of them. */
static const gid_t *groups_seen(size_t n, size_t *seen, struct rig_client *c)
{
	gid_t *groups = calloc(n + 1, sizeof(*groups)), old[1024];
	int n_old = getgroups(1024, old);

	assert_non_null(groups);
	assert_true(n_old >= 0);
	for (size_t i = 0; i < n; i++)
		groups[i] = (gid_t)(1000 + i);
	assert_int_equal(setgroups(n, groups), 0);
	rig_connect(&rig, c);
	assert_int_equal(setgroups((size_t)n_old, old), 0);
	free(groups);
	rig_say(&rig, c,
		"{\"jsonrpc\":\"2.0\",\"id\":1,"
		"\"method\":\"rig.echo\"}");
	rig_expect(&rig, c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	return rpc_conn_groups(newest(), seen);
}

static void peers_groups_are_known_up_to_a_bound(void **state)
{
	const size_t numbers[] = {
		0, 1, 3, RPC_GROUPS_MAX, RPC_GROUPS_MAX + 1, 65536
	};

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct rig_client c;
		size_t n, want = numbers[i];
		const gid_t *groups = groups_seen(want, &n, &c);

		if (want > RPC_GROUPS_MAX)
			want = RPC_GROUPS_MAX;
		assert_int_equal(n, want);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(groups[k], 1000 + k);
		rig_hangup(&c);
	}
}

static bool keep_one(const struct rpc_conn *conn, void *ctx)
{
	assert_int_equal(rpc_conn_peer(conn)->uid, geteuid());
	return conn == ctx;
}

static void review_hangs_up_once_what_was_said_is_out(void **state)
{
	struct rig_client keep, c;

	(void)state;
	rig_connect(&rig, &c);
	subscribe(&c, "");
	rig_connect(&rig, &keep);
	subscribe(&keep, "");
	rpc_server_notify(rig.server, "event", "before", NULL);
	rpc_server_review(rig.server, keep_one, newest());
	rpc_server_notify(rig.server, "event", "after", NULL);
	rig_expect(&rig, &c,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
		   "\"params\":{\"topic\":\"before\"}}");
	assert_null(rig_hear(&rig, &c));
	rig_hangup(&c);
	rig_expect(&rig, &keep,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
		   "\"params\":{\"topic\":\"before\"}}");
	rig_expect(&rig, &keep,
		   "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
		   "\"params\":{\"topic\":\"after\"}}");
	rig_hangup(&keep);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(longest_line_is_taken_and_one_byte_more_ends_it),
		CASE(line_that_drips_in_is_one_request),
		CASE(million_pipelined_requests_cost_bounded_memory),
		CASE(stalled_reader_is_no_longer_read_and_hurts_nobody),
		CASE(stalled_reader_keeps_few_descriptors_waiting),
		CASE(unanswered_calls_are_bounded),
		CASE(one_connection_takes_turns_with_the_others),
		CASE(event_goes_to_subscribers_of_its_topic_only),
		CASE(slow_subscriber_is_told_its_loss_exactly),
		CASE(some_connections_are_kept_for_root),
		CASE(peers_groups_are_known_up_to_a_bound),
		CASE(review_hangs_up_once_what_was_said_is_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
