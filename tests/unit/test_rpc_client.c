/*
 * The client against a peer that has said everything beforehand: the socket's
 * buffer holds the replies until the client asks, so one thread is enough.
 */
#include "control/rpc_client.h"

#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64], path[80];
static int listener, peer;
static struct rpc_client *client;

static int setup(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)state;
	strcpy(dir, "/tmp/test_rpc_client.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	strcpy(sun.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&sun, sizeof(sun)) ||
	    listen(listener, 5))
		return -1;
	client = rpc_client_connect(path, NULL);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return client && peer >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	rpc_client_free(client);
	close(peer);
	close(listener);
	unlink(path);
	return rmdir(dir);
}

static void peer_says(const char *text)
{
	assert_int_equal(write(peer, text, strlen(text)), strlen(text));
}

static void peer_passes(int fd, const char *text)
{
	assert_int_equal(fds_send(peer, text, strlen(text), &fd, 1),
			 strlen(text));
}

#define REPLY(id, result) \
	"{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"result\":" result "}\n"

static void request_is_one_line_with_params_and_id(void **state)
{
	json_t *result = NULL;
	char line[256];
	ssize_t n;

	(void)state;
	peer_says(REPLY(1, "{\"a\":1}"));
	assert_int_equal(rpc_client_call(client, "port.list",
					 json_pack("{s:i}", "limit", 5),
					 &result, NULL, 5000, NULL),
			 0);
	assert_int_equal(json_integer_value(json_object_get(result, "a")), 1);
	json_decref(result);
	n = read(peer, line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
				  "\"port.list\",\"params\":{\"limit\":5}}\n");
}

static void refusal_keeps_reason_path_and_message(void **state)
{
	struct error e;

	(void)state;
	peer_says("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32002,"
		  "\"message\":\"port vm1 exists\",\"data\":{\"reason\":"
		  "\"port-exists\",\"path\":\"name\"}}}\n" REPLY(2, "true"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, &e),
		-EREMOTEIO);
	assert_string_equal(e.reason, "port-exists");
	assert_string_equal(e.path, "name");
	assert_string_equal(e.message, "port vm1 exists");
	/* Refused is not broken. */
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, NULL), 0);
}

static void silence_is_a_timeout_and_ends_the_connection(void **state)
{
	struct error e;

	(void)state;
	assert_int_equal(rpc_client_call(client, "x", NULL, NULL, NULL, 20, &e),
			 -ETIMEDOUT);
	assert_string_equal(e.reason, "timeout");
	/* The late reply to the first call mustn't answer the second. */
	peer_says(REPLY(1, "1"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, &e),
		-ENOTCONN);
}

static void reply_to_another_id_is_passed_over(void **state)
{
	json_t *result;

	(void)state;
	peer_says(REPLY(99, "99") REPLY(1, "1"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, &result, NULL, 5000, NULL),
		0);
	assert_int_equal(json_integer_value(result), 1);
	json_decref(result);
}

static void hang_up_is_told_from_a_refusal(void **state)
{
	struct error e;

	(void)state;
	shutdown(peer, SHUT_RDWR);
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, &e),
		-ECONNRESET);
	assert_string_equal(e.reason, "connection-lost");
}

static void reason_said_before_a_hang_up_is_heard(void **state)
{
	struct error e;

	(void)state;
	peer_says("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32005,"
		  "\"message\":\"full\",\"data\":{\"reason\":"
		  "\"too-many-connections\"}}}\n");
	shutdown(peer, SHUT_RDWR);
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, &e),
		-EREMOTEIO);
	assert_string_equal(e.reason, "too-many-connections");
}

static void garbage_is_a_bad_reply(void **state)
{
	struct error e;

	(void)state;
	peer_says("SSH-2.0-OpenSSH_9.2\n");
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, &e),
		-EPROTO);
	assert_string_equal(e.reason, "bad-reply");
}

static void descriptor_comes_with_the_reply(void **state)
{
	int ends[2], fd = -1;
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	peer_passes(ends[0], REPLY(1, "{}"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, &fd, 5000, NULL), 0);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	/* Nobody wants this one: it is closed, so the pipe breaks. */
	peer_passes(ends[0], REPLY(2, "{}"));
	close(ends[0]);
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, NULL), 0);
	peer_says(REPLY(3, "{}"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, &fd, 5000, NULL), 0);
	assert_int_equal(fd, -1);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(write(ends[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	signal(SIGPIPE, SIG_DFL);
	close(ends[1]);
}

static void notifications_during_a_call_are_kept_in_order(void **state)
{
	json_t *note;
	int i;

	(void)state;
	peer_says(
		"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"n\":0}}"
		"\n" REPLY(1, "1") "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
				   "\"params\":{\"n\":1}}\n");
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, NULL), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(rpc_client_next(client, &note, 5000, NULL), 0);
		assert_int_equal(json_integer_value(json_object_get(
					 json_object_get(note, "params"), "n")),
				 i);
		json_decref(note);
	}
	assert_int_equal(rpc_client_next(client, &note, 10, NULL), -ETIMEDOUT);
	/* Nothing happened is no reason to hang up. */
	peer_says(REPLY(2, "1"));
	assert_int_equal(
		rpc_client_call(client, "x", NULL, NULL, NULL, 5000, NULL), 0);
}

static void long_reply_arrives_whole(void **state)
{
	enum { SIZE = 100000 };
	char *text = malloc(SIZE + 1);
	json_t *result;

	(void)state;
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	peer_says("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"");
	peer_says(text);
	peer_says("\"}\n");
	assert_int_equal(
		rpc_client_call(client, "x", NULL, &result, NULL, 5000, NULL),
		0);
	assert_string_equal(json_string_value(result), text);
	json_decref(result);
	free(text);
}

static void nobody_there_says_where(void **state)
{
	struct error e;

	(void)state;
	assert_null(rpc_client_connect("/nonexistent/sock", &e));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(e.reason, "cannot-connect");
	assert_non_null(strstr(e.message, "/nonexistent/sock"));
}

static void environment_names_the_default_socket(void **state)
{
	char def[108];

	(void)state;
	setenv("SWITCHD_SOCKET", "/a/b", 1);
	assert_int_equal(rpc_socket_path(def, sizeof(def)), 0);
	assert_string_equal(def, "/a/b");
	assert_int_equal(rpc_socket_path(def, 4), -ENAMETOOLONG);
	unsetenv("SWITCHD_SOCKET");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(rpc_socket_path(def, sizeof(def)), 0);
	assert_string_equal(def, geteuid() ? "/run/user/7/switchd/switchd.sock"
					   : "/run/switchd/switchd.sock");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(request_is_one_line_with_params_and_id),
		CASE(refusal_keeps_reason_path_and_message),
		CASE(silence_is_a_timeout_and_ends_the_connection),
		CASE(reply_to_another_id_is_passed_over),
		CASE(hang_up_is_told_from_a_refusal),
		CASE(reason_said_before_a_hang_up_is_heard),
		CASE(garbage_is_a_bad_reply),
		CASE(descriptor_comes_with_the_reply),
		CASE(notifications_during_a_call_are_kept_in_order),
		CASE(long_reply_arrives_whole),
		CASE(nobody_there_says_where),
		CASE(environment_names_the_default_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
