#include "base/fds.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes and threads that wait for the end of a close, at once. */
#define CLOSERS_MAX 4
/* Most end right away, if the machine has time. */
#define CLOSER_MS 1000
/* So long a thread is waited for, so that what is closed is closed. */
#define THREAD_MS 20
/* Handed over and not closed yet: more than a batch of messages can have. */
#define QUEUE_MAX 32768

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

/* What lies in a socket is closed with it, and may be anything. */
static bool socket_is_empty(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	socklen_t len = sizeof(int);
	int type = 0, listens = 0;
	ssize_t got = -1;
	char byte;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    listens)
		return poll(&p, 1, 0) == 0;
	(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	/* The first may just say that the other end was closed. */
	for (unsigned int i = 0; i < 2 && got < 0; i++)
		got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN;
	/* A message may have no bytes, and descriptors. */
	return got == 0 && type == SOCK_STREAM;
}

/* One that closes. */
struct closer {
	bool busy, thread, ended; /* ended: of a thread */
	int fd, pidfd;		  /* fd -1: only those of the queue */
	uint64_t since_ns;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some_ended = PTHREAD_COND_INITIALIZER;
static struct closer closers[CLOSERS_MAX];
static int queue[QUEUE_MAX];
static unsigned int queued;

static bool process_has_ended(int pidfd, int timeout_ms)
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
static int process_new(int fd)
{
#if defined(__SANITIZE_THREAD__) /* its memory takes seconds to copy */
	(void)fd;
	return -ENOSYS;
#else
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
#endif
}

/* A socket that lingers no more is closed at once. */
static void close_soon(int fd)
{
	const struct linger none = { 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}

/* The lock is held, but for the closes. */
static void close_queue(void)
{
	while (queued) {
		int fd = queue[--queued];

		pthread_mutex_unlock(&lock);
		close_soon(fd);
		pthread_mutex_lock(&lock);
	}
}

static void *thread_main(void *arg)
{
	struct closer *c = arg;

	if (c->fd >= 0)
		close(c->fd);
	pthread_mutex_lock(&lock);
	close_queue();
	c->ended = true;
	pthread_cond_broadcast(&some_ended);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int thread_new(struct closer *c)
{
	sigset_t all, old;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, NULL, thread_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		(void)pthread_detach(thread);
	return -r;
}

/* Wait so long; the lock is held. */
static bool thread_has_ended(struct closer *c, int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	struct timespec at = {
		.tv_sec = (time_t)(end / CLOCK_NS_PER_S),
		.tv_nsec = (long)(end % CLOCK_NS_PER_S),
	};

	while (!c->ended && pthread_cond_clockwait(&some_ended, &lock,
						   CLOCK_MONOTONIC, &at) == 0)
		;
	return c->ended;
}

static void closer_look(struct closer *c, int timeout_ms)
{
	if (c->busy && (c->thread ? thread_has_ended(c, timeout_ms)
				  : process_has_ended(c->pidfd, timeout_ms)))
		c->busy = false;
}

/* Those that have ended are done; of the others the youngest is waited for, if
 * it hasn't had its time. Returns one that is free, or NULL. */
static struct closer *closer_free(void)
{
	uint64_t now = clock_ns(), had;
	struct closer *young = &closers[0], *idle = NULL;

	for (unsigned int i = 0; i < CLOSERS_MAX; i++) {
		closer_look(&closers[i], 0);
		if (!closers[i].busy)
			idle = &closers[i];
		if (closers[i].since_ns > young->since_ns)
			young = &closers[i];
	}
	if (idle)
		return idle;
	had = (now - young->since_ns) / 1000000;
	if (had >= CLOSER_MS)
		return NULL;
	closer_look(young, CLOSER_MS - (int)had);
	return young->busy ? NULL : young;
}

static int close_elsewhere(int fd)
{
	struct closer *c = closer_free();

	if (!c)
		return -EBUSY;
	*c = (struct closer){ .fd = fd, .since_ns = clock_ns() };
	c->pidfd = process_new(fd);
	c->thread = c->pidfd < 0;
	if (c->thread && thread_new(c) < 0)
		return -EBUSY;
	c->busy = true;
	closer_look(c, c->thread ? THREAD_MS : CLOSER_MS);
	return 0;
}

bool fds_close_plain(int fd)
{
	bool plain = fds_plain(fd);
	int domain;

	if (is_socket(fd, &domain))
		plain = domain != AF_UNIX || socket_is_empty(fd);
	if (plain)
		close_soon(fd);
	return plain;
}

int fds_discard(const int *fd, unsigned int n)
{
	int r = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (fds_close_plain(fd[i]))
			continue;
		pthread_mutex_lock(&lock);
		if (close_elsewhere(fd[i]) < 0)
			r = -EBUSY;
		pthread_mutex_unlock(&lock);
	}
	return r;
}

/* One more thread for the queue, if there may be one. */
static void queue_thread(void)
{
	struct closer *c = NULL;

	for (unsigned int i = 0; i < CLOSERS_MAX; i++) {
		closer_look(&closers[i], 0);
		if (!closers[i].busy)
			c = &closers[i];
	}
	if (!c)
		return;
	*c = (struct closer){ .fd = -1, .pidfd = -1, .thread = true };
	c->since_ns = clock_ns();
	c->busy = thread_new(c) == 0;
}

int fds_hand_over(const int *fd, unsigned int n)
{
	unsigned int took;

	pthread_mutex_lock(&lock);
	took = n < QUEUE_MAX - queued ? n : QUEUE_MAX - queued;
	memcpy(queue + queued, fd, took * sizeof(*fd));
	queued += took;
	queue_thread();
	pthread_mutex_unlock(&lock);
	for (unsigned int i = took; i < n; i++)
		(void)fds_close_plain(fd[i]);
	return took < n ? -EBUSY : 0;
}

bool fds_stuck(void)
{
	bool stuck = false;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < CLOSERS_MAX; i++) {
		closer_look(&closers[i], 0);
		stuck |= closers[i].busy;
	}
	pthread_mutex_unlock(&lock);
	return stuck;
}
