/*
 * Descriptors that hold up who closes them, sent by somebody who has been taken
 * over: a file of FUSE, whose server is a friend and never answers.
 */
#include "base/fds.h"

#include "tests/unit/fds.h"
#include "tests/unit/fuse.h"
#include "tests/unit/monitor_calls.h"

#include "tests/unit/lingering.h"

#include <seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

#define CLOSERS 4 /* that many may wait, see fds.c */

/* ---- Kinds ---- */

static bool is(bool (*kind)(int fd), int fd)
{
	bool yes;

	assert_true(fd >= 0);
	yes = kind(fd);
	close(fd);
	return yes;
}

/* What a front end passes. */
static void sockets_events_and_memory_are_plain_and_held(void **state)
{
	static bool (*const kinds[])(int fd) = { fds_plain, grants_held_fit };
	int fd[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			0);
		assert_true(is(kinds[i], fd[0]));
		assert_true(is(kinds[i], fd[1]));
		assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
		assert_true(is(kinds[i], fd[0]));
		assert_true(is(kinds[i], fd[1]));
		assert_true(is(kinds[i], eventfd(0, EFD_CLOEXEC)));
		assert_true(is(kinds[i], memfd_new("held", 4096)));
	}
}

/* They may have whoever closes them wait for somebody, or might be such. */
static void files_and_other_sockets_are_neither(void **state)
{
	static bool (*const kinds[])(int fd) = { fds_plain, grants_held_fit };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		bool (*kind)(int fd) = kinds[i];

		assert_false(is(kind, socket(AF_INET, SOCK_STREAM, 0)));
		assert_false(is(kind, socket(AF_NETLINK, SOCK_RAW, 0)));
		assert_false(is(kind, open("/", O_RDONLY | O_DIRECTORY)));
		assert_false(is(kind, open("/tmp", O_PATH)));
		assert_false(is(kind, open("/dev/null", O_RDWR)));
		assert_false(is(kind, open("/proc/self/stat", O_RDONLY)));
		assert_false(kind(-1));
		assert_false(kind(1 << 20));
	}
}

/* The kernel's own, which no front end has to give. */
static void what_is_plain_isnt_always_held(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		bool (*kind)(int fd) = i ? grants_held_fit : fds_plain;

		assert_int_equal(is(kind, epoll_create1(0)), !i);
		assert_int_equal(is(kind, inotify_init1(0)), !i);
		assert_int_equal(is(kind, timerfd_create(CLOCK_MONOTONIC, 0)),
				 !i);
	}
}

/* ---- Files of FUSE ---- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Until those who waited are through, and have been noticed. */
static void settle(unsigned int fds)
{
	while (fds_count() != fds) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)fds_discard(&null, 1);
		if (is_open(null))
			close(null);
	}
}

static void file_whose_close_waits_holds_nobody_up(void **state)
{
	unsigned int before = fds_count();
	struct fuse f;
	int fd[CLOSERS + 1];

	(void)state;
	if (!fuse_begin(&f))
		skip();
	alarm(PROMPT_S);
	for (int i = 0; i < CLOSERS; i++) {
		fd[i] = fuse_open(&f);
		assert_false(fds_plain(fd[i]));
		assert_int_equal(fds_discard(&fd[i], 1), 0);
		assert_false(is_open(fd[i]));
	}
	/* There is an end to that; others are closed all the same. */
	fd[CLOSERS] = fuse_open(&f);
	fd[0] = memory("x");
	assert_int_equal(fds_discard(&fd[CLOSERS], 1), -EBUSY);
	assert_int_equal(fds_discard(fd, 1), 0);
	assert_true(is_open(fd[CLOSERS]));
	assert_false(is_open(fd[0]));
	fuse_end(&f);
	close(fd[CLOSERS]);
	settle(before);
	alarm(0);
}

/* The switch process may make no process. */
static void forbid_processes(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	assert_non_null(ctx);
	assert_int_equal(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
					  SCMP_SYS(clone3), 0),
			 0);
	assert_int_equal(seccomp_load(ctx), 0);
	seccomp_release(ctx);
}

/* In a process of its own. Ends with status 0, or by a failed assertion. */
static void discard_by_threads(const struct fuse *f)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd[CLOSERS + 1];

	forbid_processes();
	alarm(PROMPT_S);
	/* Quick ones aren't in the way of others. */
	for (int i = 0; i < 3 * CLOSERS; i++) {
		fd[0] = dup(null);
		assert_int_equal(fds_discard(fd, 1), 0);
	}
	while (fds_stuck())
		;
	for (int i = 0; i < CLOSERS; i++) {
		fd[i] = fuse_open(f);
		assert_int_equal(fds_discard(&fd[i], 1), 0);
		assert_false(is_open(fd[i]));
	}
	assert_true(fds_stuck());
	fd[CLOSERS] = fuse_open(f);
	assert_int_equal(fds_discard(&fd[CLOSERS], 1), -EBUSY);
	assert_true(is_open(fd[CLOSERS]));
	kill(f->server, SIGKILL);
	while (fds_stuck())
		;
	assert_int_equal(fds_discard(&null, 1), 0);
	_exit(0);
}

static void threads_wait_where_processes_may_not_be_made(void **state)
{
	struct fuse f;
	int status;
	pid_t child;

	(void)state;
	if (!fuse_begin(&f))
		skip();
	child = fork();
	if (child == 0)
		discard_by_threads(&f);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	fuse_end(&f);
	assert_int_equal(status, 0);
}

static void what_waits_in_a_socket_holds_nobody_up(void **state)
{
	unsigned int before = fds_count();
	struct proto_msg m = question(PROTO_KEEP);
	int tcp[2], pair[2];

	(void)state;
	alarm(PROMPT_S);
	lingering(tcp);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(proto_send(pair[0], &m, tcp, 1), 0);
	/* The one in the socket is the last one. */
	close(tcp[0]);
	assert_int_equal(fds_discard(&pair[1], 1), 0);
	assert_true(fds_stuck());
	close(pair[0]);
	close(tcp[1]);
	settle(before);
	alarm(0);
}

static void monitor_answers_whatever_came_with_a_call(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_KEEP);
	unsigned int before = fds_count();
	struct fuse f;
	int fd;

	if (!fuse_begin(&f))
		skip();
	fd = fuse_open(&f);
	assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
	assert_int_equal(monitor_call(&r->m, 0), 0);
	/* Too many of them, and it listens no longer. */
	for (int i = 1; i < CLOSERS; i++) {
		assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
		assert_int_equal(monitor_call(&r->m, 0), 0);
	}
	assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
	assert_int_equal(monitor_call(&r->m, 0), -EPROTO);
	fuse_end(&f);
	close(fd);
	settle(before + 1); /* the one that was left open */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_events_and_memory_are_plain_and_held),
		cmocka_unit_test(files_and_other_sockets_are_neither),
		cmocka_unit_test(what_is_plain_isnt_always_held),
		cmocka_unit_test(file_whose_close_waits_holds_nobody_up),
		cmocka_unit_test(threads_wait_where_processes_may_not_be_made),
		cmocka_unit_test(what_waits_in_a_socket_holds_nobody_up),
		RIG(monitor_answers_whatever_came_with_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
