/* Descriptors that keep whoever writes to them waiting, and who doesn't wait.
 */
#include "ports/vhost_call.h"

#include "base/clock.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEADLINE_NS (20 * CLOCK_NS_PER_S)
#define FULL	    (UINT64_MAX - 1) /* eventfd(2) */

/* As an enemy leaves one: who writes to it waits. */
static int full_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(eventfd_write(fd, FULL), 0);
	return fd;
}

static uint64_t count(int fd)
{
	eventfd_t n = 0;

	assert_int_equal(eventfd_read(fd, &n), 0);
	return n;
}

static void call_is_counted_and_nothing_waits(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	assert_int_equal(vhost_call(fd), 0);
	assert_int_equal(vhost_call(fd), 0);
	assert_int_equal(count(fd), 2);
	assert_int_equal(eventfd_write(fd, FULL), 0);
	assert_int_equal(vhost_call(fd), -EAGAIN);
	assert_int_equal(count(fd), FULL);
	assert_int_equal(vhost_call(-1), -EBADF);
	close(fd);
}

static void who_waits_for_a_full_eventfd_is_woken(void **state)
{
	int fd = full_eventfd();

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vhost_call(fd), -EINTR);
	assert_int_equal(count(fd), FULL);
	close(fd);
}

static void who_waits_for_a_full_pipe_or_socket_is_woken(void **state)
{
	static const char stuff[4096];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		int fd[2];

		if (i)
			assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
		else
			assert_int_equal(socketpair(AF_UNIX,
						    SOCK_STREAM | SOCK_CLOEXEC |
							    SOCK_NONBLOCK,
						    0, fd),
					 0);
		while (write(fd[1], stuff, sizeof(stuff)) > 0)
			;
		while (write(fd[1], stuff, 1) > 0)
			;
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(fcntl(fd[1], F_SETFL, 0), 0);
		assert_int_equal(vhost_call(fd[1]), -EINTR);
		close(fd[0]);
		close(fd[1]);
	}
}

/* Signals are blocked in workers. */
static void *call_masked(void *arg)
{
	sigset_t all;
	int *fd = arg;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	*fd = vhost_call(*fd);
	return NULL;
}

/* More of them, one after the other, than there may be at a time. */
static void each_of_many_threads_is_woken(void **state)
{
	int fd = full_eventfd();
	pthread_t thread[8];
	int result[8];

	(void)state;
	for (unsigned int round = 0; round < 10; round++) {
		for (unsigned int i = 0; i < 8; i++) {
			result[i] = fd;
			assert_int_equal(pthread_create(&thread[i], NULL,
							call_masked,
							&result[i]),
					 0);
		}
		for (unsigned int i = 0; i < 8; i++) {
			pthread_join(thread[i], NULL);
			assert_int_equal(result[i], -EINTR);
		}
	}
	close(fd);
}

/* ---- One that lets go in time ---- */

struct enemy {
	int fd;
	_Atomic bool over;
};

static void *let_go(void *arg)
{
	struct enemy *e = arg;
	const struct timespec t = { .tv_nsec = 20 * 1000000L };
	eventfd_t n;

	while (!atomic_load(&e->over)) {
		/* It doesn't wait itself; and it isn't full again where the
		 * caller was quicker. */
		(void)fcntl(e->fd, F_SETFL, O_NONBLOCK);
		do
			(void)eventfd_read(e->fd, &n);
		while (eventfd_write(e->fd, FULL) < 0);
		(void)fcntl(e->fd, F_SETFL, 0);
		(void)nanosleep(&t, NULL);
	}
	return NULL;
}

static void who_lets_go_each_time_is_caught_in_the_end(void **state)
{
	struct enemy e = { .fd = eventfd(0, EFD_CLOEXEC) };
	uint64_t end = clock_ns() + DEADLINE_NS;
	pthread_t thread;
	int r;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, let_go, &e), 0);
	do {
		assert_true(clock_ns() < end);
		r = vhost_call(e.fd);
	} while (r == 0 || r == -EAGAIN);
	assert_int_equal(r, -EINTR);
	atomic_store(&e.over, true);
	pthread_join(thread, NULL);
	close(e.fd);
}

/* ---- Rest ---- */

static bool first_is(const char *file, const char *want)
{
	char path[64], got[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s", file);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%31s", got) != 1)
		got[0] = '\0';
	(void)fclose(f);
	return !strcmp(got, want);
}

/* Does the thread of that name sleep in that system call? */
static bool sleeps_in(const char *name, long call)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *d;
	char number[16], file[64];
	bool yes = false;

	assert_non_null(tasks);
	snprintf(number, sizeof(number), "%ld", call);
	while ((d = readdir(tasks))) {
		snprintf(file, sizeof(file), "%.10s/comm", d->d_name);
		if (!first_is(file, name))
			continue;
		snprintf(file, sizeof(file), "%.10s/syscall", d->d_name);
		yes = first_is(file, number);
	}
	(void)closedir(tasks);
	return yes;
}

static void guard_sleeps_while_nobody_calls_and_is_there_again(void **state)
{
	uint64_t end = clock_ns() + DEADLINE_NS;
	int fd = full_eventfd();

	(void)state;
	/* Between two looks it is in clock_nanosleep. */
	while (!sleeps_in("calls", SYS_futex))
		assert_true(clock_ns() < end);
	assert_int_equal(vhost_call(fd), -EINTR);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_is_counted_and_nothing_waits),
		cmocka_unit_test(who_waits_for_a_full_eventfd_is_woken),
		cmocka_unit_test(who_waits_for_a_full_pipe_or_socket_is_woken),
		cmocka_unit_test(each_of_many_threads_is_woken),
		cmocka_unit_test(who_lets_go_each_time_is_caught_in_the_end),
		cmocka_unit_test(
			guard_sleeps_while_nobody_calls_and_is_there_again),
	};

	for (int i = 0; i < 2; i++) /* the second time there's one already */
		if (vhost_call_guard() < 0)
			return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
