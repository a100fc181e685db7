/* What an isolated process can't do any more, and how it says so. */
#include "tests/unit/isolate_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netdb.h>
#include <pcap/pcap.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

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
		"../../../../etc/passwd",
		"/../etc/passwd",
#if !ISOLATION_SANITIZED
		"/proc",
		"/proc/1/root",
#endif
	};
	struct stat root, up;

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		CHECK_ERRNO(open(gone[i], O_RDONLY), ENOENT);
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

static void child_holds_a_directory(void)
{
	struct error err = { 0 };

	CHECK(open("/", O_PATH | O_CLOEXEC) >= 0);
	CHECK(isolate(UID, GID, &err) == -EBADF);
	CHECK(!strcmp(err.reason, "no-isolation"));
}

static void open_directory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_as_is(child_holds_a_directory), 0);
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
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == ISOLATION_SANITIZED);
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
#if !ISOLATION_SANITIZED
	limit.rlim_cur = limit.rlim_max = 0;
	CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
#endif
}

static void no_core_is_left_and_limits_stay(void **state)
{
	(void)state;
	HOLDS(child_has_no_core);
}

static void child_dies_with_parent(void)
{
	int death = 0;

	CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0);
	isolate_me();
	CHECK(prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) == 0);
	CHECK(death == SIGTERM);
}

static void parent_death_signal_stays(void **state)
{
	(void)state;
	assert_int_equal(run_as_is(child_dies_with_parent), 0);
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
#if !ISOLATION_SANITIZED
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
	need_root();
	packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(packet_fd >= 0);
	assert_int_equal(bind(packet_fd, (struct sockaddr *)&at, sizeof(at)),
			 0);
	status = run(child_keeps_its_device);
	close(packet_fd);
	assert_int_equal(status, 0);
}

/* ---- system calls that kill ---------------------------------------------- */

static void killed(void (*child)(void))
{
	int status = run(child);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

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
	if (!ISOLATION_SANITIZED)
		killed(child_traces);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
