#include "ports/slirp/confine.h"

#include "base/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#if SANITIZED
/* No search for leaks at the end: in here it fails at times, and its complaint
 * has no file to go to, which keeps the process busy for ever. */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

/* A directory that every system has; covered in our namespace only. */
#define MOUNT_POINT "/dev"

/* libslirp has two buffers of 128 KB for a connection: half a gigabyte. */
#define FDS_MAX 2048

/* Twice that, as libslirp 4.7 loses what it answers DHCP with while it has no
 * address left: a guest can have it lose megabytes a second. What is refused
 * memory ends, and the port starts another one. */
#define MEMORY_MAX (1ull << 30)

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int fail(const char *what, struct error *err)
{
	return error_set(err, errno, "no-isolation", NULL, "%s: %s", what,
			 strerror(errno));
}

/* ---- Files ---- */

/* The host's folder in the new root, which is the working directory. */
static int show(const char *folder, struct error *err)
{
	struct mount_attr a = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
			    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};
	const char *name = folder + 1;

	if (mkdir(name, 0755) < 0 && errno != EEXIST)
		return fail("mkdir", err);
	if (mount(folder, name, NULL, MS_BIND | MS_REC, NULL) < 0)
		return fail("bind mount", err);
	return mount_setattr(AT_FDCWD, name, AT_RECURSIVE, &a, sizeof(a)) < 0
		       ? fail("read-only mount", err)
		       : 0;
}

/* Where the old root is no mount point (a chroot) it can't be swapped: the new
 * one is moved over it. */
static int become_root(struct error *err)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return umount2(".", MNT_DETACH) < 0 ? fail("umount", err) : 0;
	if (errno != EINVAL)
		return fail("pivot_root", err);
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return fail("moving the root", err);
	return chroot(".") < 0 ? fail("chroot", err) : 0;
}

static int confine_files(struct error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int r;

	if (unshare(CLONE_NEWNS | CLONE_FS) < 0)
		return fail("unshare", err);
	/* EINVAL: a chroot's "/" is no mount. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 &&
	    errno != EINVAL)
		return fail("private mounts", err);
	if (mount("tmpfs", MOUNT_POINT, "tmpfs", flags,
		  "size=64k,nr_inodes=16,mode=0755") < 0 ||
	    chdir(MOUNT_POINT) < 0)
		return fail("tmpfs", err);
	r = show("/etc", err);
	if (r == 0)
		r = show("/run", err);
#if SANITIZED
	if (r == 0)
		r = show("/proc", err);
#endif
	if (r == 0)
		r = become_root(err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return fail("chdir", err);
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | flags, NULL) < 0
		       ? fail("read-only root", err)
		       : 0;
}

/* ---- Who it is ---- */

static int drop_bounding(struct error *err)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0;
	     cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return fail("bounding set", err);
	if (prctl(PR_SET_SECUREBITS,
		  SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
			  SECBIT_NO_SETUID_FIXUP_LOCKED |
			  SECBIT_KEEP_CAPS_LOCKED |
			  SECBIT_NO_CAP_AMBIENT_RAISE |
			  SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		  0, 0, 0) < 0)
		return fail("securebits", err);
	return 0;
}

/* uid 0: there is nobody else to be. */
static int confine_ids(uid_t uid, gid_t gid, struct error *err)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0))
		return fail("user", err);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &h, none) < 0)
		return fail("capabilities", err);
	if (uid && setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
		errno = EPERM;
		return fail("root comes back", err);
	}
	return 0;
}

/* As much as there may be, but not more than `most`. */
static int limit(int what, rlim_t most)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)what, &r) < 0)
		return -1;
	if (r.rlim_max > most)
		r.rlim_max = most;
	r.rlim_cur = r.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &r);
}

static int confine_limits(struct error *err)
{
	const struct rlimit none = { 0, 0 };

	/* A sanitizer's own memory is more than that. */
	if (limit(RLIMIT_NOFILE, FDS_MAX) < 0 ||
	    (!SANITIZED && limit(RLIMIT_DATA, MEMORY_MAX) < 0) ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return fail("limits", err);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail("no_new_privs", err);
	return prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0) < 0
		       ? fail("dumpable", err)
		       : 0;
}

int confine_begin(uid_t uid, gid_t gid, struct error *err)
{
	int r = 0;

	if (geteuid() == 0) {
		/* There may be nobody else to be. */
		if ((!uid || !gid) &&
		    (uid || ids_can_be_taken(IDS_NOBODY, IDS_NOBODY))) {
			errno = EINVAL;
			return fail("it can't stay root", err);
		}
		r = confine_files(err);
		if (r == 0)
			r = drop_bounding(err);
		if (r == 0)
			r = confine_ids(uid, gid, err);
	}
	return r < 0 ? r : confine_limits(err);
}

/* ---- System calls ---- */

static const int allowed[] = {
	/* the outside */
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(recv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmmsg_time64),
	SCMP_SYS(send),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(lseek),
	SCMP_SYS(_llseek),
	SCMP_SYS(close),
	SCMP_SYS(stat),
	SCMP_SYS(stat64),
	SCMP_SYS(fstat),
	SCMP_SYS(fstat64),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statx),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(ppoll_time64),
	SCMP_SYS(fcntl),
	SCMP_SYS(fcntl64),
	SCMP_SYS(ioctl),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* itself */
	SCMP_SYS(futex),
	SCMP_SYS(futex_time64),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrandom),
	SCMP_SYS(sysinfo),
#if SANITIZED
	/* SANITIZER BUILDS ONLY: their reports, their maps, their threads. */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(open),
	SCMP_SYS(access),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(prctl),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getdents64),
	SCMP_SYS(clone),
	SCMP_SYS(wait4),
	SCMP_SYS(ptrace),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(getppid),
	SCMP_SYS(getrusage),
	SCMP_SYS(process_vm_readv),
#endif
};

/* One condition each. */
static const struct {
	int call;
	struct scmp_arg_cmp arg;
} rules[] = {
	{ SCMP_SYS(socket), { 0, SCMP_CMP_EQ, AF_INET, 0 } },
	{ SCMP_SYS(socket), { 0, SCMP_CMP_EQ, AF_INET6, 0 } },
	/* O_TMPFILE needs write access. */
	{ SCMP_SYS(openat),
	  { 2, SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY } },
	{ SCMP_SYS(mmap), { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } },
	{ SCMP_SYS(mmap2), { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } },
	{ SCMP_SYS(mprotect), { 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 } },
};

/* -EDOM: there is no such call on this architecture. */
static int rule_added(int r)
{
	return r == -EDOM ? 0 : r;
}

static int fill(scmp_filter_ctx ctx)
{
	uint64_t own = (uint64_t)getpid();
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
				 SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	for (size_t i = 0; i < COUNT(allowed) && r == 0; i++)
		r = rule_added(
			seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0));
	for (size_t i = 0; i < COUNT(rules) && r == 0; i++)
		r = rule_added(seccomp_rule_add_array(
			ctx, SCMP_ACT_ALLOW, rules[i].call, 1, &rules[i].arg));
	/* abort() */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0_64(SCMP_CMP_EQ, own, 0));
	return r;
}

int confine_calls(struct error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? fill(ctx) : -ENOMEM;

	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	errno = -r;
	return r < 0 ? fail("seccomp", err) : 0;
}
