#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes that wait for the end of a close, at once. */
#define CLOSERS_MAX 4
/* Most end right away, if the machine has time. */
#define CLOSER_MS 1000

static bool is_socket(int fd, int *domain)
{
	socklen_t len = sizeof(*domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domain, &len) == 0;
}

/* Nothing is asked that a file's server would have to answer. */
bool fds_plain(int fd)
{
	struct statx sx;
	int domain;

	if (is_socket(fd, &domain))
		return domain == AF_UNIX;
	/* Only files in memory have seals. */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &sx))
		return false;
	/* What is the kernel's own has no type, and a pipe is one wherever its
	 * name lies. */
	return !(sx.stx_mode & S_IFMT) || S_ISFIFO(sx.stx_mode);
}

/* By pidfd. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int closers[CLOSERS_MAX];
static unsigned int closers_n;

static bool has_ended(int pidfd, int timeout_ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	siginfo_t info;

	if (poll(&p, 1, timeout_ms) != 1)
		return false;
	/* The monitor's loop may have done so. */
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	close(pidfd);
	return true;
}

/*
 * A process that shares nothing with us but the table of descriptors: closing
 * takes the number out of it before anybody waits, and who waits is that one. A
 * thread would keep us from ending. Returns its pidfd or -errno.
 */
static int closer_new(int fd)
{
	int pidfd = -1;
	struct clone_args args = { .flags = CLONE_FILES | CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)&pidfd,
				   .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		syscall(SYS_close, fd);
		_exit(0);
	}
	return pid < 0 ? -errno : pidfd;
}

static int close_by_new(int fd)
{
	int pidfd;

	for (unsigned int i = 0; i < closers_n;)
		if (has_ended(closers[i], 0))
			closers[i] = closers[--closers_n];
		else
			i++;
	if (closers_n == CLOSERS_MAX)
		return -EBUSY;
	pidfd = closer_new(fd);
	if (pidfd < 0)
		close(fd);
	else if (!has_ended(pidfd, CLOSER_MS))
		closers[closers_n++] = pidfd;
	return 0;
}

static int close_elsewhere(int fd)
{
	int r;

	pthread_mutex_lock(&lock);
	r = close_by_new(fd);
	pthread_mutex_unlock(&lock);
	return r;
}

int fds_discard(const int *fd, unsigned int n)
{
	const struct linger none = { 0 };
	int domain, r = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (is_socket(fd[i], &domain))
			(void)setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &none,
					 sizeof(none));
		else if (!fds_plain(fd[i])) {
			if (close_elsewhere(fd[i]) < 0)
				r = -EBUSY;
			continue;
		}
		close(fd[i]);
	}
	return r;
}
