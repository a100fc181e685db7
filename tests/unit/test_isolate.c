/*
 * Every claim forks a child that isolates itself, and then tries. The child
 * ends with 0 where the claim holds, else with the number of the line that
 * found it doesn't (modulo 255, printed in full), or by a signal.
 */
#include "switchd/isolate.h"

#include "ports/pcap_filter.h"
#include "switchd/isolate_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UID 61234 /* nobody's */
#define GID 61235

/* In the child only. */
#define CHECK(expression)                              \
	do {                                           \
		if (!(expression))                     \
			failed(__LINE__, #expression); \
	} while (0)
#define CHECK_ERRNO(expression, error)           \
	do {                                     \
		errno = 0;                       \
		CHECK((long)(expression) == -1); \
		CHECK(errno == (error));         \
	} while (0)

static void failed(int line, const char *what)
{
	dprintf(STDERR_FILENO, "line %d: %s (errno: %s)\n", line, what,
		strerror(errno));
	_exit(line % 254 + 1);
}

static void isolate_me(void)
{
	struct error err = { 0 };

	if (isolate(UID, GID, &err) < 0)
		failed(__LINE__, err.message);
}

/* Returns the child's status as waitpid() has it. */
static int run(void (*child)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("isolation needs root\n");
		skip();
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(30);
		isolate_me();
		child();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define HOLDS(child) assert_int_equal(run(child), 0)

static void killed(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- what is in force ---------------------------------------------------- */

static bool shows(const char *user, const char *caps, bool confined)
{
	json_t *is = isolate_show();
	json_t *want =
		json_pack("{s:s,s:s,s:b,s:b,s:s}", "user", user, "capabilities",
			  caps, "no-new-privs", confined, "seccomp", confined,
			  "file-system", confined ? "empty" : "host");
	bool same = json_equal(is, want);

	if (!same)
		json_dumpfd(is, STDERR_FILENO, 0);
	json_decref(is);
	json_decref(want);
	return same;
}

static void child_shows(void)
{
	CHECK(shows("61234", "none", true));
}

static void isolated_process_shows_it(void **state)
{
	(void)state;
	HOLDS(child_shows);
}

/* The runner may be confined itself, as a container's processes are: then
 * only what differs in any case. */
static void unconfined_process_shows_that(void **state)
{
	json_t *is = isolate_show();
	char uid[16];

	(void)state;
	snprintf(uid, sizeof(uid), "%u", geteuid());
	assert_string_equal(json_string_value(json_object_get(is, "user")),
			    uid);
	assert_string_equal(
		json_string_value(json_object_get(is, "file-system")), "host");
	assert_int_equal(json_is_true(json_object_get(is, "no-new-privs")),
			 prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	if (geteuid() == 0)
		assert_string_not_equal(
			json_string_value(json_object_get(is, "capabilities")),
			"none");
	json_decref(is);
}

/* ---- users --------------------------------------------------------------- */

static void user_is_found_by_name(void **state)
{
	struct error err = { 0 };
	bool fallback = true;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(isolate_user("daemon", &uid, &gid, &fallback, &err),
			 0);
	assert_int_equal(uid, 1);
	assert_int_equal(gid, 1);
	assert_false(fallback);
}

static void unknown_user_is_refused(void **state)
{
	struct error err = { 0 };
	bool fallback;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(
		isolate_user("no-such-user-here", &uid, &gid, &fallback, &err),
		-ENOENT);
	assert_string_equal(err.reason, "no-such-user");
	assert_string_equal(err.path, "daemon.user");
}

static void root_is_refused(void **state)
{
	struct error err = { 0 };
	bool fallback;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(isolate_user("root", &uid, &gid, &fallback, &err),
			 -EINVAL);
	assert_string_equal(err.reason, "bad-value");
	assert_string_equal(err.path, "daemon.user");
	assert_int_equal(isolate(0, GID, &err), -EINVAL);
	assert_string_equal(err.reason, "no-isolation");
	assert_int_equal(isolate(UID, 0, &err), -EINVAL);
}

static void missing_default_user_falls_back_to_nobody(void **state)
{
	bool fallback, exists = getpwnam(ISOLATE_USER);
	struct error err = { 0 };
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(isolate_user("", &uid, &gid, &fallback, &err), 0);
	assert_int_equal(fallback, !exists);
	if (exists)
		return;
	assert_int_equal(uid, 65534);
	assert_int_equal(gid, 65534);
	assert_int_equal(isolate_user(NULL, &uid, &gid, &fallback, &err), 0);
	assert_int_equal(uid, 65534);
}

/* ---- file system --------------------------------------------------------- */

static void child_sees_nothing(void)
{
	static const char *const gone[] = {
		"/etc/passwd",
		"/usr",
		"/dev/null",
		"/sys",
		"/run",
		"/tmp",
		"..",
		"../../../../etc/passwd",
		"/../etc/passwd",
#if !ISOLATE_SANITIZED
		"/proc",
		"/proc/1/root",
#endif
	};
	struct stat root, up;

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		if (!strcmp(gone[i], ".."))
			continue;
		CHECK_ERRNO(open(gone[i], O_RDONLY), ENOENT);
	}
	CHECK(stat("/", &root) == 0 && stat("/../..", &up) == 0);
	CHECK(root.st_dev == up.st_dev && root.st_ino == up.st_ino);
	CHECK(stat("../..", &up) == 0);
	CHECK(root.st_dev == up.st_dev && root.st_ino == up.st_ino);
}

static void no_file_of_the_host_is_seen(void **state)
{
	(void)state;
	HOLDS(child_sees_nothing);
}

static void child_writes_nothing(void)
{
	CHECK_ERRNO(open("/x", O_WRONLY | O_CREAT, 0600), EPERM);
	CHECK_ERRNO(open("/etc/services", O_RDWR), EPERM);
	CHECK_ERRNO(open("/etc/nsswitch.conf", O_RDONLY | O_TRUNC), EPERM);
	CHECK_ERRNO(open("/", O_TMPFILE | O_RDWR, 0600), EPERM);
	CHECK_ERRNO(mkdir("/x", 0700), EPERM);
	CHECK_ERRNO(unlink("/etc/nsswitch.conf"), EPERM);
	CHECK_ERRNO(chdir("/etc"), EPERM);
}

static void nothing_is_written_or_removed(void **state)
{
	(void)state;
	HOLDS(child_writes_nothing);
}

static void open_directory_is_refused(void **state)
{
	struct error err = { 0 };
	int status, fd;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("isolation needs root\n");
		skip();
	}
	fd = open("/", O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	pid = fork();
	if (pid == 0) {
		CHECK(isolate(UID, GID, &err) == -EBADF);
		CHECK(!strcmp(err.reason, "no-isolation"));
		_exit(0);
	}
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The mounts above were the child's alone. */
static void host_keeps_its_file_system(void **state)
{
	struct stat before, after;

	(void)state;
	assert_int_equal(stat("/proc/self/status", &before), 0);
	assert_int_equal(stat("/", &before), 0);
	HOLDS(child_sees_nothing);
	assert_int_equal(stat("/", &after), 0);
	assert_true(before.st_dev == after.st_dev &&
		    before.st_ino == after.st_ino);
	assert_int_equal(access("/proc/self/status", R_OK), 0);
}

static bool service_known;

static void child_knows_services(void)
{
	const struct servent *s = getservbyname("domain", "tcp");
	struct bpf_program program;
	pcap_t *pc = pcap_open_dead(DLT_EN10MB, 65535);

	CHECK(!service_known || (s && ntohs((uint16_t)s->s_port) == 53));
	CHECK(pc);
	CHECK(pcap_compile(pc, &program, "tcp port 53", 1, 0) == 0);
	pcap_freecode(&program);
	if (service_known) {
		CHECK(pcap_compile(pc, &program, "tcp port domain", 1, 0) == 0);
		pcap_freecode(&program);
	}
	CHECK(pcap_compile(pc, &program, "host example.org", 1, 0) < 0);
	pcap_close(pc);
}

static void filters_know_services_but_no_hosts(void **state)
{
	(void)state;
	service_known = getservbyname("domain", "tcp");
	HOLDS(child_knows_services);
}

/* ---- ids and capabilities ------------------------------------------------ */

static void child_has_no_privilege(void)
{
	gid_t group;

	CHECK(getuid() == UID && geteuid() == UID);
	CHECK(getgid() == GID && getegid() == GID);
	CHECK(getgroups(1, &group) == 0);
	CHECK_ERRNO(setuid(0), EPERM);
	CHECK_ERRNO(setgid(0), EPERM);
	CHECK_ERRNO(setgroups(0, NULL), EPERM);
	for (unsigned long cap = 0; cap <= 40; cap++)
		CHECK(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == ISOLATE_SANITIZED);
}

static void no_privilege_is_left_or_comes_back(void **state)
{
	(void)state;
	HOLDS(child_has_no_privilege);
}

static void child_has_no_core(void)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_CORE, &limit) == 0);
	CHECK(limit.rlim_cur == 0 && limit.rlim_max == 0);
#if !ISOLATE_SANITIZED
	limit.rlim_cur = limit.rlim_max = 0;
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
#endif
}

static void no_core_is_left_and_limits_stay(void **state)
{
	(void)state;
	HOLDS(child_has_no_core);
}

static void parent_death_signal_stays(void **state)
{
	int status, death = 0;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("isolation needs root\n");
		skip();
	}
	pid = fork();
	if (pid == 0) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0);
		isolate_me();
		CHECK(prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) == 0);
		CHECK(death == SIGTERM);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- system calls that fail ---------------------------------------------- */

static void child_opens_no_sockets(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "\0x" };
	int fd;

	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, 0), EPERM);
	CHECK_ERRNO(socket(AF_INET6, SOCK_STREAM, 0), EPERM);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC), EPERM);
	CHECK_ERRNO(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&to, sizeof(to)), EPERM);
	CHECK_ERRNO(listen(fd, 1), EPERM);
}

static void no_socket_leads_out(void **state)
{
	(void)state;
	HOLDS(child_opens_no_sockets);
}

static void child_runs_no_code(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK_ERRNO(mprotect(p, page, PROT_READ | PROT_EXEC), EPERM);
	CHECK(mprotect(p, page, PROT_READ) == 0);
	CHECK_ERRNO(mmap(NULL, page, PROT_READ | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		    EPERM);
	CHECK_ERRNO(syscall(SYS_pkey_mprotect, p, page, PROT_EXEC, -1), EPERM);
}

static void no_memory_becomes_executable(void **state)
{
	(void)state;
	HOLDS(child_runs_no_code);
}

static void child_makes_no_process(void)
{
	char clone_args[64] = { 0 };

	CHECK_ERRNO(kill(getppid(), 0), EPERM);
	CHECK_ERRNO(syscall(SYS_clone3, clone_args, sizeof(clone_args)),
		    ENOSYS);
#if !ISOLATE_SANITIZED
	CHECK_ERRNO(kill(getpid(), 0), EPERM);
	CHECK_ERRNO(fork(), EPERM);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
		    EPERM);
	CHECK_ERRNO(syscall(SYS_tgkill, getppid(), getppid(), 0), EPERM);
#endif
}

static void no_process_is_made_or_signalled(void **state)
{
	(void)state;
	HOLDS(child_makes_no_process);
}

static void child_does_odd_things(void)
{
	CHECK_ERRNO(syscall(SYS_personality, 0x0400000), EPERM);
	CHECK_ERRNO(syscall(SYS_shmget, 0, 4096, 0600), EPERM);
	CHECK_ERRNO(syscall(SYS_inotify_init1, 0), EPERM);
	CHECK_ERRNO(syscall(SYS_sethostname, "x", 1), EPERM);
	CHECK_ERRNO(syscall(1000), EPERM);
}

static void unlisted_calls_fail_and_do_not_kill(void **state)
{
	(void)state;
	HOLDS(child_does_odd_things);
}

/* A packet socket on lo, made before: what a `netdev` port holds. */
static int packet_fd = -1;

static void child_keeps_its_device(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = 1 };
	struct packet_mreq mreq = { .mr_ifindex = 1,
				    .mr_type = PACKET_MR_PROMISC };
	char frame[60] = { 0 };
	struct ifreq ifr = { .ifr_name = "lo" };
	int one = 1;

	CHECK_ERRNO(bind(packet_fd, (struct sockaddr *)&to, sizeof(to)), EPERM);
	CHECK_ERRNO(sendto(packet_fd, frame, sizeof(frame), 0,
			   (struct sockaddr *)&to, sizeof(to)),
		    EPERM);
	/* As long as the filter likes it, too short for the kernel. */
	CHECK_ERRNO(bind(packet_fd, (struct sockaddr *)&to, 12), EINVAL);
	CHECK_ERRNO(sendto(packet_fd, frame, sizeof(frame), 0,
			   (struct sockaddr *)&to, 12),
		    EINVAL);
	CHECK_ERRNO(setsockopt(packet_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP,
			       &mreq, sizeof(mreq)),
		    EPERM);
	CHECK_ERRNO(setsockopt(packet_fd, SOL_SOCKET, SO_DETACH_FILTER, &one,
			       sizeof(one)),
		    EPERM);
	CHECK_ERRNO(ioctl(packet_fd, SIOCSIFFLAGS, &ifr), EPERM);
	CHECK_ERRNO(ioctl(packet_fd, SIOCGIFFLAGS, &ifr), EPERM);
	CHECK(send(packet_fd, frame, sizeof(frame), 0) == sizeof(frame));
}

static void packet_socket_stays_with_its_device(void **state)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = 1 };
	int status;

	(void)state;
	if (geteuid() == 0) {
		packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		assert_true(packet_fd >= 0);
		assert_int_equal(
			bind(packet_fd, (struct sockaddr *)&at, sizeof(at)), 0);
	}
	status = run(child_keeps_its_device);
	close(packet_fd);
	assert_int_equal(status, 0);
}

/* ---- system calls that kill ---------------------------------------------- */

static void child_execs(void)
{
	char *argv[] = { "x", NULL };

	execve("/bin/true", argv, argv);
}

static void child_mounts(void)
{
	mount("tmpfs", "/etc", "tmpfs", 0, NULL);
}

static void child_unshares(void)
{
	unshare(CLONE_NEWUSER);
}

static void child_traces(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void child_loads_bpf(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
}

static void child_rings(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void child_chroots(void)
{
	if (chroot("/etc") == 0)
		_exit(1);
}

static void attackers_calls_kill(void **state)
{
	(void)state;
	killed(child_execs);
	killed(child_mounts);
	killed(child_unshares);
	killed(child_chroots);
	killed(child_loads_bpf);
	killed(child_rings);
	if (!ISOLATE_SANITIZED)
		killed(child_traces);
}

/* ---- what works ---------------------------------------------------------- */

static void *thread_main(void *arg)
{
	pthread_setname_np(pthread_self(), "worker7");
	free(malloc(1000000));
	return arg;
}

static void child_uses_threads(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec now;
	pthread_t t[3];
	sigset_t all;
	void *out;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	for (uintptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, thread_main, (void *)i) == 0);
	for (uintptr_t i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], &out) == 0 && out == (void *)i);
	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&lock);
	CHECK(pthread_cond_timedwait(&cond, &lock, &now) == ETIMEDOUT);
	pthread_mutex_unlock(&lock);
	CHECK(sched_yield() == 0);
	CHECK(pthread_kill(pthread_self(), 0) == 0);
}

static void threads_work(void **state)
{
	(void)state;
	HOLDS(child_uses_threads);
}

static void child_shares_memory(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint32_t *a, *b, word;

	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(a != MAP_FAILED && b != MAP_FAILED);
	*a = 42;
	CHECK(*(volatile uint32_t *)b == 42);
	CHECK(pread(fd, &word, sizeof(word), 0) == sizeof(word) && word == 42);
	CHECK(pwrite(fd, &word, sizeof(word), 8) == sizeof(word) && b[2] == 42);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	CHECK_ERRNO(ftruncate(fd, 0), EPERM);
	(void)madvise(a, 4096, MADV_HUGEPAGE);
	CHECK(munmap(a, 4096) == 0 && munmap(b, 4096) == 0);
}

static void memory_is_shared(void **state)
{
	(void)state;
	HOLDS(child_shares_memory);
}

static void child_waits_for_events(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1 };
	struct epoll_event ev = { .events = EPOLLIN }, got[2];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t n = 3;

	CHECK(ep >= 0 && efd >= 0 && tfd >= 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, efd, &ev) == 0);
	CHECK(write(efd, &n, sizeof(n)) == sizeof(n));
	CHECK(epoll_wait(ep, got, 2, 10000) == 1);
	CHECK(read(efd, &n, sizeof(n)) == sizeof(n) && n == 3);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, tfd, &ev) == 0);
	CHECK(timerfd_settime(tfd, 0, &soon, NULL) == 0);
	CHECK(epoll_wait(ep, got, 2, 10000) == 1);
}

static void events_and_timers_work(void **state)
{
	(void)state;
	HOLDS(child_waits_for_events);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(arg);
}

static void child_runs_a_loop(void)
{
	struct event_base *base = event_base_new();
	struct timeval deadline = { .tv_sec = 10 };
	struct event *term;

	CHECK(base);
	term = evsignal_new(base, SIGTERM, on_signal, base);
	CHECK(term && event_add(term, NULL) == 0);
	CHECK(event_base_loopexit(base, &deadline) == 0);
	CHECK(raise(SIGTERM) == 0);
	CHECK(event_base_dispatch(base) == 0);
	CHECK(event_base_got_break(base));
	event_free(term);
	event_base_free(base);
}

static void libevents_loop_and_signals_work(void **state)
{
	(void)state;
	HOLDS(child_runs_a_loop);
}

/* The monitor's end and the switch's, with a descriptor on its way. */
static int calls[2];

static void child_receives(void)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd;

	CHECK(recvmsg(calls[1], &msg, MSG_CMSG_CLOEXEC) == 1);
	c = CMSG_FIRSTHDR(&msg);
	CHECK(c && c->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	CHECK(write(fd, "taken", 5) == 5);
	CHECK(send(calls[1], "ok", 2, MSG_NOSIGNAL) == 2);
}

static void descriptors_come_and_are_written_to(void **state)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { .buf = { 0 } };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fds[2], status;
	char text[8];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, calls),
		0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fds[1], sizeof(int));
	assert_int_equal(sendmsg(calls[0], &msg, 0), 1);
	status = run(child_receives);
	assert_int_equal(status, 0);
	assert_int_equal(read(fds[0], text, sizeof(text)), 5);
	assert_int_equal(recv(calls[0], text, sizeof(text), 0), 2);
	close(fds[0]);
	close(fds[1]);
	close(calls[0]);
	close(calls[1]);
}

static void child_asks_netlink(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} ask = { .h = { .nlmsg_len = sizeof(ask),
			 .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST },
		  .i = { .ifi_index = 1 } };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK };
	struct nlmsghdr answer[1024];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int size = 65536;
	char name[IF_NAMESIZE];

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) == 0);
	nl.nl_groups = 0;
	CHECK(sendto(fd, &ask, sizeof(ask), 0, (struct sockaddr *)&nl,
		     sizeof(nl)) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
	CHECK(answer[0].nlmsg_type == RTM_NEWLINK);
	ask.h.nlmsg_type = RTM_DELLINK;
	ask.h.nlmsg_flags |= NLM_F_ACK;
	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
	CHECK(answer[0].nlmsg_type == NLMSG_ERROR);
	CHECK(((struct nlmsgerr *)NLMSG_DATA(answer))->error == -EPERM);
	CHECK(if_nametoindex("lo") == 1 && if_indextoname(1, name));
}

static void links_can_be_asked_for_but_not_changed(void **state)
{
	(void)state;
	HOLDS(child_asks_netlink);
}

static void child_compiles(void)
{
	struct bpf_program program;
	struct error err;

	CHECK(pcap_filter_compile("arp or icmp", &program, &err) == 0);
	pcap_freecode(&program);
}

static void filters_compile_on_their_thread(void **state)
{
	(void)state;
	HOLDS(child_compiles);
}

static void child_reads_json(void)
{
	json_t *j = json_loads("{\"a\":[1,2.5,\"x\"]}", 0, NULL);
	char *text = json_dumps(j, JSON_COMPACT);

	CHECK(text && !strcmp(text, "{\"a\":[1,2.5,\"x\"]}"));
	free(text);
	json_decref(j);
}

static void json_works(void **state)
{
	(void)state;
	HOLDS(child_reads_json);
}

/* With everything that runs then: LeakSanitizer, where there is one. */
static void child_exits(void)
{
	exit(0);
}

static void process_exits_as_usual(void **state)
{
	(void)state;
	HOLDS(child_exits);
}

static void child_aborts(void)
{
	abort();
}

static void abort_is_seen_as_such(void **state)
{
	int status = run(child_aborts);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unconfined_process_shows_that),
		cmocka_unit_test(isolated_process_shows_it),
		cmocka_unit_test(user_is_found_by_name),
		cmocka_unit_test(unknown_user_is_refused),
		cmocka_unit_test(root_is_refused),
		cmocka_unit_test(missing_default_user_falls_back_to_nobody),
		cmocka_unit_test(no_file_of_the_host_is_seen),
		cmocka_unit_test(nothing_is_written_or_removed),
		cmocka_unit_test(open_directory_is_refused),
		cmocka_unit_test(host_keeps_its_file_system),
		cmocka_unit_test(filters_know_services_but_no_hosts),
		cmocka_unit_test(no_privilege_is_left_or_comes_back),
		cmocka_unit_test(no_core_is_left_and_limits_stay),
		cmocka_unit_test(parent_death_signal_stays),
		cmocka_unit_test(no_socket_leads_out),
		cmocka_unit_test(no_memory_becomes_executable),
		cmocka_unit_test(no_process_is_made_or_signalled),
		cmocka_unit_test(unlisted_calls_fail_and_do_not_kill),
		cmocka_unit_test(packet_socket_stays_with_its_device),
		cmocka_unit_test(attackers_calls_kill),
		cmocka_unit_test(threads_work),
		cmocka_unit_test(memory_is_shared),
		cmocka_unit_test(events_and_timers_work),
		cmocka_unit_test(libevents_loop_and_signals_work),
		cmocka_unit_test(descriptors_come_and_are_written_to),
		cmocka_unit_test(links_can_be_asked_for_but_not_changed),
		cmocka_unit_test(filters_compile_on_their_thread),
		cmocka_unit_test(json_works),
		cmocka_unit_test(process_exits_as_usual),
		cmocka_unit_test(abort_is_seen_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
