/*
 * older_kernel PROGRAM [ARGUMENT...] - as on Linux before 6.16
 *
 * The program runs where no socket knows SO_PASSRIGHTS, as a filter of system
 * calls has it. Needs CAP_SYS_ADMIN, so that nothing else changes for it.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int forget(scmp_filter_ctx ctx, int call)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOPROTOOPT), call, 2,
				SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
				SCMP_A2(SCMP_CMP_EQ, SO_PASSRIGHTS));
}

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = -ENOMEM;

	if (argc < 2)
		return 2;
	if (ctx)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (r == 0)
		r = forget(ctx, SCMP_SYS(setsockopt));
	if (r == 0)
		r = forget(ctx, SCMP_SYS(getsockopt));
	if (r == 0)
		r = seccomp_load(ctx);
	if (r < 0) {
		fprintf(stderr, "older_kernel: %s\n", strerror(-r));
		return 1;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
