#include "tests/e2e/guest.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DUMP_MAX 1600 /* bytes of a frame that are worth a look */

int guest_open(const char *ifname, short more_flags, unsigned int offloads)
{
	struct ifreq ifr = {
		.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				     more_flags),
	};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int size = (int)ETHER_VNET_LEN;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) ||
	    ioctl(fd, TUNSETVNETHDRSZ, &size) || !guest_offload(fd, offloads)) {
		perror(ifname);
		exit(1);
	}
	return fd;
}

bool guest_offload(int fd, unsigned int offloads)
{
	return ioctl(fd, TUNSETOFFLOAD, offloads) == 0;
}

void guest_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
		perror("fcntl");
		exit(1);
	}
}

bool guest_write(int fd, const struct frame *f)
{
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)&f->vnet, ETHER_VNET_LEN },
		{ f->data, f->len },
	};

	return writev(fd, iov, 2) == (ssize_t)(ETHER_VNET_LEN + f->len);
}

bool guest_read_into(int fd, struct frame *f, uint8_t *buf, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct virtio_net_hdr_v1 vnet;
	struct iovec iov[2] = {
		{ &vnet, sizeof(vnet) },
		{ buf + FRAME_HEADROOM, FRAME_LEN_MAX },
	};
	ssize_t got;

	if (poll(&pfd, 1, ms) != 1)
		return false;
	got = readv(fd, iov, 2);
	if (got < (ssize_t)ETHER_VNET_LEN + ETHER_HEADER_LEN)
		return false;
	frame_init(f, buf + FRAME_HEADROOM, (uint32_t)got - ETHER_VNET_LEN);
	f->vnet = vnet;
	return true;
}

bool guest_read(int fd, struct frame *f, int ms)
{
	static uint8_t buf[FRAME_SLOT];

	return guest_read_into(fd, f, buf, ms);
}

bool guest_read_type(int fd, struct frame *f, uint16_t ethertype)
{
	while (guest_read(fd, f, GUEST_DEADLINE_MS))
		if (load_be16(f->data + 12) == ethertype)
			return true;
	return false;
}

void guest_dump(const char *what, const struct frame *f)
{
	const struct virtio_net_hdr_v1 *v = &f->vnet;

	fprintf(stderr,
		"%s: %u bytes; flags %x, gso_type %x, gso_size %u, hdr_len %u, "
		"csum_start %u, csum_offset %u",
		what, f->len, v->flags, v->gso_type, v->gso_size, v->hdr_len,
		v->csum_start, v->csum_offset);
	for (uint32_t i = 0; i < f->len && i < DUMP_MAX; i++) {
		if (i % 16 == 0)
			fprintf(stderr, "\n  %04x", i);
		fprintf(stderr, " %02x", f->data[i]);
	}
	fprintf(stderr, "%s\n", f->len > DUMP_MAX ? " ..." : "");
}
