/*
 * The half of `slirp` ports that starts and ends processes. It needs no
 * privilege; but where root has started switchd this is the monitor, whose
 * children they are then, and which has a user for them to become.
 */
#include "ports/slirp.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/rights.h"
#include "ports/slirp_config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM PKGLIBEXECDIR "/switchd-slirp"

#define START_MS   5000 /* until its word; it takes some 20 */
#define END_MS	   1000 /* until it is gone, once it is killed */
#define BUFFER_MAX (4 << 20)
#define ARGS_MAX   20

static uid_t run_uid = IDS_NOBODY;
static gid_t run_gid = IDS_NOBODY;

void slirp_run_as(uid_t uid, gid_t gid)
{
	run_uid = uid;
	run_gid = gid;
}

/* ---- Start ---- */

/* The command line, and what it is made of. */
struct arguments {
	char *argv[ARGS_MAX];
	unsigned int n;
	char program[sizeof("switchd-slirp")];
	char mtu[16], ids[32];
};

static void add(struct arguments *a, const char *option, char *value)
{
	a->argv[a->n++] = (char *)(uintptr_t)option;
	if (value)
		a->argv[a->n++] = value;
}

/* p's texts are borrowed. */
static void make_arguments(struct arguments *a, struct slirp_params *p,
			   uint32_t mtu)
{
	*a = (struct arguments){ .program = "switchd-slirp" };
	add(a, a->program, NULL);
	if (*p->ipv4)
		add(a, "-4", p->ipv4);
	if (*p->ipv6)
		add(a, "-6", p->ipv6);
	if (*p->hostfwd)
		add(a, "-f", p->hostfwd);
	if (*p->hostname)
		add(a, "-n", p->hostname);
	if (p->restricted)
		add(a, "-r", NULL);
	if (p->loopback)
		add(a, "-l", NULL);
	snprintf(a->mtu, sizeof(a->mtu), "%u", mtu);
	add(a, "-m", a->mtu);
	if (geteuid() == 0) {
		snprintf(a->ids, sizeof(a->ids), "%u:%u", run_uid, run_gid);
		add(a, "-u", a->ids);
	}
}

/* Nothing of ours but the socket and standard error; a session of its own. */
static int spawn(const char *program, char **argv, int fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		r = posix_spawn_file_actions_addopen(&files, STDIN_FILENO,
						     "/dev/null", O_RDWR, 0);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(
				&files, STDIN_FILENO, STDOUT_FILENO);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&files, fd,
							     SLIRP_CHILD_FD);
		if (r == 0)
			r = posix_spawn_file_actions_addclosefrom_np(
				&files, SLIRP_CHILD_FD + 1);
		if (r == 0)
			r = posix_spawnattr_setsigmask(&attr, &none);
		if (r == 0)
			r = posix_spawnattr_setflags(
				&attr,
				POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
		if (r == 0)
			r = posix_spawn(pid, program, &files, &attr, argv,
					environ);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* Both ends, with room for more than a burst. Returns 0 or -errno. */
static int make_pair(int pair[2])
{
	const int size = BUFFER_MAX;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, pair) < 0)
		return -errno;
	rights_refuse(pair[0]);
	for (int i = 0; i < 2; i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size,
			       sizeof(size)) < 0)
			(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size,
					 sizeof(size));
	return 0;
}

static int no_word(struct error *err)
{
	return error_set(err, ECHILD, "no-process", NULL,
			 "switchd-slirp has ended, or hangs, before it was "
			 "ready: see the log");
}

/* How it has started: see SLIRP_WORD_MAX. */
static int hear(int fd, struct error *err)
{
	char word[SLIRP_WORD_MAX], reason[32], path[96], text[256];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int error, n;
	ssize_t len;

	do
		n = poll(&p, 1, START_MS);
	while (n < 0 && errno == EINTR);
	len = n > 0 ? recv(fd, word, sizeof(word) - 1, MSG_DONTWAIT) : -1;
	if (len <= 0)
		return no_word(err);
	word[len] = '\0';
	if (!strcmp(word, "ok"))
		return 0;
	if (sscanf(word, "%d %31s %95s %255[^\n]", &error, reason, path,
		   text) != 4 ||
	    error <= 0)
		return no_word(err);
	return error_set(err, error, reason, strcmp(path, "-") ? path : NULL,
			 "%s", text);
}

/* It is gone when this returns, or never will be; a zombie it is not. */
static void end_process(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	siginfo_t info;

	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	while (poll(&p, 1, END_MS) < 0 && errno == EINTR)
		;
	/* Who has children of many kinds may have been first. */
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
}

static const char *program(void)
{
	const char *given = secure_getenv(SLIRP_PROGRAM_ENV);

	return given && *given == '/' ? given : PROGRAM;
}

static int not_started(int r, struct error *err)
{
	if (r == -ENOENT)
		return error_set(err, ENOENT, "not-built", "type",
				 "there is no %.120s: this switchd was built "
				 "without libslirp",
				 program());
	return error_set(err, -r, "no-process", NULL, "can't start %.120s: %s",
			 program(), strerror(-r));
}

/* fd[]: by enum slirp_grant_fd, the caller's. Returns 0 or -errno with *err. */
static int start(const struct port_request *rq, int fd[SLIRP_GRANT_FDS],
		 struct error *err)
{
	struct slirp_params p = rq->slirp;
	struct slirp_settings s;
	struct arguments a;
	int pair[2], pidfd = -1, r;
	pid_t pid = -1;

	r = slirp_settings_parse(&p, rq->mtu, &s, err);
	if (r < 0)
		return r;
	make_arguments(&a, &p, s.mtu);
	r = make_pair(pair);
	if (r < 0)
		return error_set(err, -r, "no-descriptor", NULL,
				 "can't make a socket pair: %s", strerror(-r));
	r = spawn(program(), a.argv, pair[1], &pid);
	close(pair[1]);
	if (r == 0) {
		/* It is our child, and this thread waits for all of them: the
		 * number is still its own. */
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0)
			r = -errno;
	}
	if (r < 0)
		r = not_started(r, err);
	else
		r = hear(pair[0], err);
	if (r == 0) {
		fd[SLIRP_GRANT_SOCKET] = pair[0];
		fd[SLIRP_GRANT_PID] = pidfd;
		return 0;
	}
	close(pair[0]); /* its end, without a pidfd, too */
	if (pidfd >= 0) {
		end_process(pidfd);
		close(pidfd);
	}
	return r;
}

/* ---- The half that acquires ---- */

int slirp_acquire(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	int r;

	memset(grant, 0, sizeof(*grant));
	r = start(rq, grant->fd, err);
	if (r < 0)
		return r;
	grant->nfds = SLIRP_GRANT_FDS;
	grant->mtu = rq->mtu ? rq->mtu : SLIRP_MTU_DEFAULT;
	grant->vnet_len = ETHER_VNET_LEN;
	/* No TSO6: libslirp takes no IPv6 packet longer than its MTU. */
	grant->tx_offloads = PORT_TX_CSUM | PORT_TX_TSO4 | PORT_TX_ECN;
	grant->carrier = rq->enabled;
	return 0;
}

int slirp_adjust(const struct port_request *rq, struct port_grant *grant,
		 struct error *err)
{
	/* The program has told its guests. */
	if ((rq->mtu ? rq->mtu : SLIRP_MTU_DEFAULT) != grant->mtu)
		return error_set(err, EBUSY, "needs-reattach", "mtu",
				 "the MTU is that of the process behind port "
				 "\"%s\": detach it and attach it anew",
				 rq->name);
	grant->carrier = rq->enabled;
	return 0;
}

int slirp_renew(const struct port_request *rq, struct port_grant *grant,
		struct error *err)
{
	int fd[SLIRP_GRANT_FDS] = { -1, -1 }, r;

	if (grant->nfds != SLIRP_GRANT_FDS)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s has no process", rq->name);
	/* First: what it listens on has to be free. */
	end_process(grant->fd[SLIRP_GRANT_PID]);
	r = start(rq, fd, err);
	for (unsigned int i = 0; r == 0 && i < SLIRP_GRANT_FDS; i++)
		if (dup3(fd[i], grant->fd[i], O_CLOEXEC) < 0)
			r = error_set(err, errno, "no-descriptor", NULL,
				      "can't replace a descriptor: %s",
				      strerror(errno));
	if (r == 0)
		log_notice("port", "%s: another switchd-slirp runs", rq->name);
	for (unsigned int i = 0; fd[0] >= 0 && i < SLIRP_GRANT_FDS; i++)
		close(fd[i]);
	return r;
}

void slirp_release(const struct port_request *rq, struct port_grant *grant)
{
	(void)rq;
	if (grant->nfds == SLIRP_GRANT_FDS)
		end_process(grant->fd[SLIRP_GRANT_PID]);
	port_grant_close(grant);
}
