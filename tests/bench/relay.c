/*
 * relay - the limit: frames between two TAPs by nothing but read and write
 *
 *	relay [--spin] [--no-vnet] TAP_A TAP_B
 *
 * What a switch in userspace can reach at best on this host: no lookup, no
 * learning, no VLANs, no counters that anyone reads. Both TAPs have a vnet_hdr
 * and every offload that the kernel takes, so that super-frames pass whole.
 * It sleeps in a level-triggered epoll as switchd does; --spin never sleeps;
 * --no-vnet carries plain frames. Prints "ready" when both TAPs are there,
 * ends on SIGTERM or SIGINT. Whoever starts it brings the devices up and
 * moves them where they belong. One thread.
 */
#include "tests/bench/tool.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static volatile sig_atomic_t ending;

static void on_signal(int sig)
{
	(void)sig;
	ending = 1;
}

/* Copy until there is nothing to read: frames that came. */
static unsigned int relay_copy(int from, int to, unsigned long *dropped)
{
	static char buf[TOOL_FRAME_MAX];
	unsigned int copied = 0;

	while (!ending) {
		ssize_t n = read(from, buf, sizeof(buf));

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				err(1, "read");
			break;
		}
		copied++;
		/* A device that is down or full: the frame is gone. */
		if (write(to, buf, (size_t)n) != n)
			++*dropped;
	}
	return copied;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned long frames = 0, dropped = 0;
	enum tool_tap how = TOOL_TAP_ALL;
	bool spin = false;
	int tap[2], ep, arg;

	for (arg = 1; arg < argc && argv[arg][0] == '-'; arg++) {
		if (!strcmp(argv[arg], "--spin"))
			spin = true;
		else if (!strcmp(argv[arg], "--no-vnet"))
			how = TOOL_TAP_PLAIN;
		else
			break;
	}
	if (argc - arg != 2)
		errx(2, "usage: relay [--spin] [--no-vnet] TAP_A TAP_B");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		err(1, "epoll_create1");
	for (int i = 0; i < 2; i++) {
		struct epoll_event ev = { EPOLLIN, { .u32 = (uint32_t)i } };

		tap[i] = tool_tap_open(argv[arg + i], how);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, tap[i], &ev) < 0)
			err(1, "epoll_ctl");
	}
	sigaction(SIGTERM, &sa, NULL); /* no SA_RESTART: it ends epoll_wait */
	sigaction(SIGINT, &sa, NULL);
	puts("ready");
	fflush(stdout);
	while (!ending) {
		struct epoll_event ev[2] = { { .data.u32 = 0 },
					     { .data.u32 = 1 } };
		int n = spin ? 2 : epoll_wait(ep, ev, 2, -1);

		for (int i = 0; i < n; i++)
			frames += relay_copy(tap[ev[i].data.u32],
					     tap[!ev[i].data.u32], &dropped);
	}
	fprintf(stderr, "relay: %lu frames, %lu dropped\n", frames, dropped);
	return 0;
}
