/*
 * Preloaded into User-Mode Linux, so that it runs on processors with AMX.
 *
 * Debian 12's UML keeps a fixed 2696 bytes of extended processor state (x87
 * to PKRU). Since AMX the host's state is larger, and the host refuses to
 * set a part of it: PTRACE_SETREGSET fails and UML panics at its first
 * program. Here a set that is too short is completed with what the process
 * has at that moment. AMX itself stays unused: the guest's programs have
 * not asked for it.
 */
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Not on the stack: UML calls from its small kernel stacks. One thread. */
static unsigned char xstate[64 * 1024] __attribute__((aligned(64)));

static long set_xstate(long pid, const struct iovec *part)
{
	struct iovec all = { xstate, sizeof(xstate) };
	long error;

	error = syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all);
	if (error)
		return error;
	if (part->iov_len <= all.iov_len)
		memcpy(xstate, part->iov_base, part->iov_len);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	long pid, addr, data, value;
	long error;

	va_start(ap, request);
	pid = va_arg(ap, long);
	addr = va_arg(ap, long);
	data = va_arg(ap, long);
	va_end(ap);

	if (request == PTRACE_SETREGSET && addr == NT_X86_XSTATE)
		return set_xstate(pid, (const struct iovec *)data);
	/* The system call stores what a peek returns; libc's wrapper loads. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
	    request == PTRACE_PEEKUSER) {
		error = syscall(SYS_ptrace, request, pid, addr, &value);
		return error < 0 ? error : value;
	}
	return syscall(SYS_ptrace, request, pid, addr, data);
}
