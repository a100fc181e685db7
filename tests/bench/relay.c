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
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Linux 6.2; not in the headers of Debian 12 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define FRAME_MAX 69632 /* 64 KiB and headers */

static volatile sig_atomic_t ending;

static void on_signal(int sig)
{
	(void)sig;
	ending = 1;
}

static int tap_open(const char *name, bool vnet)
{
	const unsigned int base =
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int hdr = sizeof(struct virtio_net_hdr_v1);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/net/tun");
	if (vnet)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (strlen(name) >= sizeof(ifr.ifr_name))
		errx(2, "%s: name too long", name);
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		err(1, "TUNSETIFF %s", name);
	if (!vnet)
		return fd;
	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0)
		err(1, "TUNSETVNETHDRSZ %s", name);
	if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) < 0 &&
	    ioctl(fd, TUNSETOFFLOAD, base) < 0)
		err(1, "TUNSETOFFLOAD %s", name);
	return fd;
}

/* Copy until there is nothing to read: frames that came. */
static unsigned int relay_copy(int from, int to, unsigned long *dropped)
{
	static char buf[FRAME_MAX];
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
	bool spin = false, vnet = true;
	int tap[2], ep, arg;

	for (arg = 1; arg < argc && argv[arg][0] == '-'; arg++) {
		if (!strcmp(argv[arg], "--spin"))
			spin = true;
		else if (!strcmp(argv[arg], "--no-vnet"))
			vnet = false;
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

		tap[i] = tap_open(argv[arg + i], vnet);
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
