/* The third stage: which system calls the switch may make. */
#include "switchd/isolate_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* Of glibc's clone() for a thread; nothing that makes a process or namespace */
#define CLONE_CHECKED                                                    \
	(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_PTRACE |        \
	 CLONE_UNTRACED | CLONE_VFORK | CLONE_PARENT | CLONE_NEWNS |     \
	 CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_IO)
#define CLONE_A_THREAD (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

/* The order of clone's arguments: clone(2), "C library/kernel differences". */
#if defined(__s390__)
#define CLONE_FLAGS_ARG 1
#else
#define CLONE_FLAGS_ARG 0
#endif

/* O_TMPFILE needs write access. */
#define OPEN_CHECKED (O_ACCMODE | O_CREAT | O_TRUNC)

/*
 * Whatever their arguments. Not here although one might expect it: open (glibc
 * takes openat), connect, listen, kill, wait.
 */
static const int allowed[] = {
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(preadv2),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(lseek),
	SCMP_SYS(_llseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(ftruncate64),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(flock),
	SCMP_SYS(fstat),
	SCMP_SYS(fstat64),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs64),
	SCMP_SYS(statfs64),
	SCMP_SYS(getdents64),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(pipe2),
	SCMP_SYS(memfd_create),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	/* sockets that were handed over */
	SCMP_SYS(accept4),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(shutdown),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(msync),
	SCMP_SYS(membarrier),
	/* threads */
	SCMP_SYS(futex),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu),
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* signals */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	/* time */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* who and where am I; isolate_show() asks */
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getresuid),
	SCMP_SYS(getresgid),
	SCMP_SYS(getgroups),
	SCMP_SYS(capget),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrandom),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	/* glibc's lookups try these; the file system is empty anyway */
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getcwd),
};

/* No bug of ours calls these: whoever does has taken over the process. */
static const int deadly[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(io_uring_register),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(acct),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(modify_ldt),
#if !ISOLATION_SANITIZED
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
#endif
};

#if ISOLATION_SANITIZED
/*
 * SANITIZER BUILDS ONLY: LeakSanitizer clones a process that traces all
 * threads of this one and reads /proc; reports name the program's file;
 * UndefinedBehaviorSanitizer asks a pipe whether memory can be read.
 */
static const int sanitizers[] = {
	SCMP_SYS(ptrace),   SCMP_SYS(process_vm_readv),
	SCMP_SYS(clone),    SCMP_SYS(wait4),
	SCMP_SYS(kill),	    SCMP_SYS(tgkill),
	SCMP_SYS(prctl),    SCMP_SYS(prlimit64),
	SCMP_SYS(pipe),	    SCMP_SYS(open),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(getdents),
};
#endif

/* Allowed where all of its conditions hold; a call may have several rules. */
struct rule {
	int call;
	unsigned int n;
	struct scmp_arg_cmp arg[2];
};

#define IS(i, value)                     \
	{                                \
		i, SCMP_CMP_EQ, value, 0 \
	}
#define MASKED(i, mask, val)                     \
	{                                        \
		i, SCMP_CMP_MASKED_EQ, mask, val \
	}

static const struct rule rules[] = {
	{ SCMP_SYS(mmap), 1, { MASKED(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(mmap2), 1, { MASKED(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(mprotect), 1, { MASKED(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(clone),
	  1,
	  { MASKED(CLONE_FLAGS_ARG, CLONE_CHECKED, CLONE_A_THREAD) } },
	{ SCMP_SYS(openat), 1, { MASKED(2, OPEN_CHECKED, O_RDONLY) } },

	/* Ours are of these two kinds. */
	{ SCMP_SYS(socket), 1, { IS(0, AF_UNIX) } },
	{ SCMP_SYS(socket), 2, { IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE) } },
	{ SCMP_SYS(socketpair), 1, { IS(0, AF_UNIX) } },
	/*
	 * Addresses of netlink only, told by their length: a packet socket's is
	 * longer (packet(7): 20 bytes, shorter ones are refused), and a packet
	 * socket needs no privilege to change to another device.
	 */
	{ SCMP_SYS(bind), 1, { IS(2, sizeof(struct sockaddr_nl)) } },
	{ SCMP_SYS(sendto), 1, { IS(4, 0) } },
	{ SCMP_SYS(sendto), 1, { IS(5, sizeof(struct sockaddr_nl)) } },
	/* None that changes a filter, a device or memberships of such. */
	{ SCMP_SYS(setsockopt), 1, { IS(1, SOL_NETLINK) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_RCVBUF) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_SNDBUF) } },
	{ SCMP_SYS(setsockopt),
	  2,
	  { IS(1, SOL_SOCKET), IS(2, SO_RCVBUFFORCE) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_RCVTIMEO) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_SNDTIMEO) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_PASSCRED) } },
	{ SCMP_SYS(setsockopt), 2, { IS(1, SOL_SOCKET), IS(2, SO_LINGER) } },

	{ SCMP_SYS(ioctl), 1, { IS(1, SIOCGIFINDEX) } },
	{ SCMP_SYS(ioctl), 1, { IS(1, SIOCGIFNAME) } },
	{ SCMP_SYS(ioctl), 1, { IS(1, FIONREAD) } },
	{ SCMP_SYS(ioctl), 1, { IS(1, FIONBIO) } },

	{ SCMP_SYS(fcntl), 1, { IS(1, F_DUPFD) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_DUPFD_CLOEXEC) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_GETFD) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_SETFD) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_GETFL) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_SETFL) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_ADD_SEALS) } },
	{ SCMP_SYS(fcntl), 1, { IS(1, F_GET_SEALS) } },

	{ SCMP_SYS(prctl), 1, { IS(0, PR_SET_NAME) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_NAME) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_DUMPABLE) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_NO_NEW_PRIVS) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_SECCOMP) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_SECUREBITS) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_GET_PDEATHSIG) } },
	{ SCMP_SYS(prctl), 1, { IS(0, PR_CAPBSET_READ) } },
	{ SCMP_SYS(prctl),
	  2,
	  { IS(0, PR_CAP_AMBIENT), IS(1, PR_CAP_AMBIENT_IS_SET) } },

	/* Limits are asked for, not set; newer glibc's getrlimit(). */
	{ SCMP_SYS(prlimit64), 2, { IS(0, 0), IS(2, 0) } },
};

/* -EDOM: there is no such call on this architecture. */
static int rule_added(int r)
{
	return r == -EDOM ? 0 : r;
}

static int add_list(scmp_filter_ctx ctx, uint32_t action, const int *call,
		    size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = rule_added(seccomp_rule_add(ctx, action, call[i], 0));
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	uint64_t own = (uint64_t)getpid();
	int r = 0;

	for (size_t i = 0; i < COUNT(rules) && r == 0; i++)
		r = rule_added(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW,
						      rules[i].call, rules[i].n,
						      rules[i].arg));
	/* abort(), pthread_kill(): our own threads only */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0_64(SCMP_CMP_EQ, own, 0));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
				     SCMP_SYS(clone3), 0);
	return r;
}

static int set_attributes(scmp_filter_ctx ctx)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);

	/* Calls of other architectures: x32 on x86-64, for instance. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
				     SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	/* A binary tree: those not in the kernel's bitmap are found sooner. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/*
	 * Kernels before 5.16 turn speculation off for whoever uses seccomp, as
	 * if it ran others' code. That is dear and we don't. Best effort: 4.17
	 * knows it.
	 */
	if (r == 0)
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
	return r;
}

int isolate_syscalls(struct error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!ctx) {
		errno = ENOMEM;
		return isolation_fail("seccomp", err);
	}
	r = set_attributes(ctx);
	if (r == 0)
		r = add_list(ctx, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (r == 0)
		r = add_list(ctx, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
#if ISOLATION_SANITIZED
	if (r == 0)
		r = add_list(ctx, SCMP_ACT_ALLOW, sanitizers,
			     COUNT(sanitizers));
#endif
	if (r == 0)
		r = add_rules(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r == 0)
		return 0;
	errno = -r;
	return isolation_fail("seccomp", err);
}
