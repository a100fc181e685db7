/* The second stage: which system calls are left. */
#include "ports/slirp/confine.h"

#include "base/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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
#if ISOLATION_SANITIZED
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
	return r < 0 ? isolation_fail("seccomp", err) : 0;
}
