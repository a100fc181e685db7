/* Listening sockets: where they are made, what is left when they go. */
#include "ports/listen.h"

#include "ports/vde.h"
#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64];
static unsigned int fds;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_listen.XXXXXX");
	fds = fds_count();
	return mkdtemp(dir) ? 0 : -1;
}

/* Nothing is left, neither files nor descriptors. */
static int teardown(void **state)
{
	(void)state;
	return rmdir(dir) == 0 && fds_count() == fds ? 0 : -1;
}

static const char *path(const char *name)
{
	static char buf[108];

	snprintf(buf, sizeof(buf), "%s/%s", dir, name);
	return buf;
}

static struct port_request request(enum listen_kind kind, const char *address)
{
	struct port_request rq;

	memset(&rq, 0, sizeof(rq));
	strcpy(rq.type, "listen");
	strcpy(rq.name, "l");
	rq.enabled = true;
	rq.listen.kind = kind;
	snprintf(rq.listen.address, sizeof(rq.listen.address), "%s", address);
	return rq;
}

static void acquired(const struct port_request *rq, struct port_grant *grant)
{
	struct error err = { 0 };

	if (port_ops_listen.acquire(rq, grant, &err) < 0)
		fail_msg("%s", err.message);
}

static void refused(const struct port_request *rq, const char *reason,
		    const char *at)
{
	struct port_grant grant;
	struct error err = { 0 };

	assert_true(port_ops_listen.acquire(rq, &grant, &err) < 0);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, at);
	assert_int_equal(grant.nfds, 0);
}

static int dial(const char *name, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), r;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	r = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void path_is_listened_on_and_goes_with_its_grant(void **state)
{
	struct port_request rq = request(LISTEN_STREAM, path("s"));
	struct port_grant grant;
	struct stat st;

	(void)state;
	acquired(&rq, &grant);
	assert_int_equal(dial(path("s"), SOCK_STREAM), 0);
	assert_int_equal(stat(path("s"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	refused(&rq, "in-use", "listen");
	port_ops_listen.release(&rq, &grant);
	assert_int_equal(access(path("s"), F_OK), -1);
	rq = request(LISTEN_SEQPACKET, path("s"));
	acquired(&rq, &grant);
	assert_int_equal(dial(path("s"), SOCK_SEQPACKET), 0);
	assert_int_equal(dial(path("s"), SOCK_STREAM), -EPROTOTYPE);
	port_ops_listen.release(&rq, &grant);
}

static void folder_is_made_and_goes_if_nothing_of_others_is_in_it(void **state)
{
	struct port_request rq = request(LISTEN_VDE, path("v"));
	struct port_grant grant;
	struct stat st;

	(void)state;
	acquired(&rq, &grant);
	assert_int_equal(dial(path("v/ctl"), SOCK_STREAM), 0);
	assert_int_equal(stat(path("v"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	port_ops_listen.release(&rq, &grant);
	assert_int_equal(access(path("v"), F_OK), -1);

	acquired(&rq, &grant);
	assert_int_equal(mkdir(path("v/other"), 0700), 0);
	port_ops_listen.release(&rq, &grant);
	assert_int_equal(access(path("v/ctl"), F_OK), -1);
	assert_int_equal(rmdir(path("v/other")), 0);

	/* One that was there stays. */
	acquired(&rq, &grant);
	port_ops_listen.release(&rq, &grant);
	assert_int_equal(rmdir(path("v")), 0);
}

static void folder_that_was_made_goes_when_the_rest_fails(void **state)
{
	struct port_request rq = request(LISTEN_VDE, path("v"));

	(void)state;
	strcpy(rq.listen.owner, "nobody-of-that-name");
	refused(&rq, "no-such-user", "owner");
	assert_int_equal(access(path("v"), F_OK), -1);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(path(name), &st), 0);
	return st.st_mode & 07777;
}

static void folder_is_for_those_who_may_connect(void **state)
{
	/* The mode that is asked for, with a group; then socket and folder. */
	static const struct {
		uint32_t mode;
		bool group;
		mode_t ctl, folder;
	} all[] = {
		{ 0, false, 0600, 0700 },     { 0, true, 0660, 02770 },
		{ 0600, false, 0600, 0700 },  { 0600, true, 0600, 02700 },
		{ 0660, false, 0660, 0770 },  { 0660, true, 0660, 02770 },
		{ 0666, false, 0666, 01777 }, { 0666, true, 0666, 03777 },
		{ 0777, false, 0777, 01777 }, { 0644, false, 0644, 0700 },
		{ 0606, false, 0606, 01707 },
	};
	struct port_request rq = request(LISTEN_VDE, path("v"));
	struct port_grant grant;

	(void)state;
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		rq.socket_mode = all[i].mode;
		rq.listen.group[0] = '\0';
		if (all[i].group)
			snprintf(rq.listen.group, sizeof(rq.listen.group), "%d",
				 (int)getegid());
		acquired(&rq, &grant);
		assert_int_equal(mode_of("v/ctl"), all[i].ctl);
		assert_int_equal(mode_of("v"), all[i].folder);
		port_ops_listen.release(&rq, &grant);
	}
}

static void address_is_listened_on(void **state)
{
	struct port_request rq = request(LISTEN_STREAM, "127.0.0.1:48211");
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(48211),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct port_grant grant;
	int fd, one = 0;
	socklen_t len = sizeof(one);

	(void)state;
	rq.socket_mode = 0666;
	refused(&rq, "not-for-type", "socket-mode");
	rq.socket_mode = 0;
	acquired(&rq, &grant);
	refused(&rq, "in-use", "listen");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	/* Shut down by whoever has it, too, and listening again. */
	assert_int_equal(shutdown(grant.fd[0], SHUT_RDWR), 0);
	assert_int_equal(port_ops_listen.renew(&rq, &grant, NULL), 0);
	assert_int_equal(
		getsockopt(grant.fd[0], SOL_SOCKET, SO_ACCEPTCONN, &one, &len),
		0);
	assert_int_equal(one, 1);
	close(fd);
	port_ops_listen.release(&rq, &grant);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const struct {
		enum listen_kind kind;
		const char *address, *reason;
	} bad[] = {
		{ LISTEN_STREAM, "", "bad-value" },
		{ LISTEN_STREAM, "s", "bad-value" },
		{ LISTEN_STREAM, "127.0.0.1", "bad-value" },
		{ LISTEN_SEQPACKET, "127.0.0.1:4444", "bad-value" },
		{ LISTEN_VDE, "/", "bad-value" },
		{ LISTEN_UML, "/tmp/", "bad-path" },
		{ LISTEN_UML + 1, "/tmp/x", "bad-value" },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct port_request rq = request(bad[i].kind, bad[i].address);

		refused(&rq, bad[i].reason,
			bad[i].kind > LISTEN_UML ? "type" : "listen");
	}
}

/* The names of its ports' sockets are told to clients whole. */
static void folder_too_long_for_sockets_in_it_is_refused(void **state)
{
	char longest[VDE_FOLDER_MAX + 2] = "/tmp/";
	struct port_request rq;
	struct error err;

	(void)state;
	memset(longest + 5, 'x', VDE_FOLDER_MAX - 5);
	rq = request(LISTEN_VDE, longest);
	assert_int_equal(listen_check(&rq, &err), 0);
	strcat(longest, "x");
	rq = request(LISTEN_VDE, longest);
	refused(&rq, "bad-path", "listen");
	rq = request(LISTEN_UML, longest);
	assert_int_equal(listen_check(&rq, &err), 0);
}

static void only_a_connection_of_the_right_kind_fits(void **state)
{
	int pair[2], tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(listen_given_fit("stream", pair, 1));
	assert_true(listen_given_fit("vde", pair, 1));
	assert_true(listen_given_fit("uml", pair, 1));
	assert_false(listen_given_fit("seqpacket", pair, 1));
	assert_false(listen_given_fit("tap", pair, 1));
	assert_false(listen_given_fit("stream", pair, 2));
	assert_false(listen_given_fit("stream", pair, 0));
	assert_true(listen_given_fit("stream", &tcp, 1));
	assert_false(listen_given_fit("vde", &tcp, 1));
	assert_int_equal(listen(tcp, 1), 0);
	assert_false(listen_given_fit("stream", &tcp, 1));
	close(tcp);
	close(pair[0]);
	close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(path_is_listened_on_and_goes_with_its_grant),
		TEST(folder_is_made_and_goes_if_nothing_of_others_is_in_it),
		TEST(folder_that_was_made_goes_when_the_rest_fails),
		TEST(folder_is_for_those_who_may_connect),
		TEST(address_is_listened_on),
		TEST(what_makes_no_sense_is_refused),
		TEST(folder_too_long_for_sockets_in_it_is_refused),
		TEST(only_a_connection_of_the_right_kind_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
