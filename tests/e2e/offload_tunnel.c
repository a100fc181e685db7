/*
 * offload_tunnel - what a packet socket says of a tunnel's frames
 *
 *	offload_tunnel IN DEV tcp|udp
 *
 * IN is a TAP on one bridge with a tunnel device, DEV is where the tunnel's
 * outer frames arrive. A super-frame and a frame with a partial checksum are
 * written to IN and read, encapsulated, from a packet socket with vnet headers
 * on DEV, as a switch port of that kind reads them. The super-frame's label
 * hides the tunnel: offload_check() must see it. The other must be completed
 * right. Exit status: 0 it is so, 1 not.
 */
#include "ports/offload.h"
#include "tests/unit/superframe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEADLINE_MS 200
#define TRIES	    20 /* until the bridge's ports forward */

static uint8_t mem[FRAME_HEADROOM + FRAME_LEN_MAX];
static uint8_t want[FRAME_LEN_MAX];
static int fd_in, fd_out;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_in(const char *name)
{
	int len = (int)ETHER_VNET_LEN;
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	fd_in = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd_in < 0 || ioctl(fd_in, TUNSETIFF, &ifr) < 0 ||
	    ioctl(fd_in, TUNSETVNETHDRSZ, &len) < 0)
		die(name);
}

static void open_out(const char *name)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int on = 1;

	fd_out = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd_out < 0 ||
	    setsockopt(fd_out, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    bind(fd_out, (struct sockaddr *)&at, sizeof(at)) < 0)
		die(name);
}

/* Send the frame until it comes out encapsulated, as *f; the offset of the
 * inner Ethernet header, or 0. */
static uint32_t through_tunnel(const struct superframe *s, uint16_t gso_size,
			       struct frame *f)
{
	struct virtio_net_hdr_v1 v;
	struct iovec iov[2] = { { &v, sizeof(v) }, { want, 0 } };
	struct iovec got[2] = { { &f->vnet, sizeof(struct virtio_net_hdr) },
				{ mem + FRAME_HEADROOM, FRAME_LEN_MAX } };
	struct pollfd p = { .fd = fd_out, .events = POLLIN };
	uint8_t mac[6];

	mac_store(mac, SUPERFRAME_MAC);
	superframe_vnet(s, gso_size, &v);
	iov[1].iov_len = superframe_build(s, want, SUPERFRAME_PARTIAL);
	for (unsigned int i = 0; i < TRIES; i++) {
		if (writev(fd_in, iov, 2) < 0)
			die("write");
		while (poll(&p, 1, DEADLINE_MS) > 0) {
			const uint8_t *at;
			ssize_t n;

			frame_init(f, mem + FRAME_HEADROOM, 0);
			n = readv(fd_out, got, 2);
			if (n < (ssize_t)got[0].iov_len + 60)
				continue;
			f->len = (uint32_t)n - (uint32_t)got[0].iov_len;
			f->head_len = f->len;
			at = memmem(f->data + 14, f->len - 14, mac, 6);
			if (at)
				return (uint32_t)(at - f->data) - 6;
		}
	}
	fprintf(stderr, "nothing comes out of the tunnel\n");
	return 0;
}

static bool super_frame_is_recognised(struct superframe s)
{
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f;

	s.payload = 5000;
	if (!through_tunnel(&s, 1200, &f))
		return false;
	fprintf(stderr,
		"super-frame: %u bytes, gso_type %u, gso_size %u, "
		"csum_start %u\n",
		f.len, f.vnet.gso_type, f.vnet.gso_size, f.vnet.csum_start);
	if (f.len < s.payload || f.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		fprintf(stderr, "that is no super-frame\n");
		return false;
	}
	return !offload_check(&f, &why) && why == DROP_TUNNEL_GSO;
}

static bool partial_checksum_is_completed(struct superframe s)
{
	enum drop_reason why = DROP_REASON_COUNT;
	uint32_t at, len;
	struct frame f;

	s.payload = 777;
	at = through_tunnel(&s, 0, &f);
	if (!at)
		return false;
	fprintf(stderr, "partial checksum: %u bytes, flags %u, csum_start %u\n",
		f.len, f.vnet.flags, f.vnet.csum_start);
	if (!frame_has_offload(&f) || !offload_check(&f, &why))
		return false;
	offload_complete_csum(&f);
	len = superframe_build(&s, want, SUPERFRAME_COMPLETE);
	return f.len == at + len && memcmp(f.data + at, want, len) == 0;
}

int main(int argc, char **argv)
{
	struct superframe s = { .tcp_flags = 0x10, .id = 1, .sport = 40000 };

	if (argc != 4) {
		fprintf(stderr, "usage: offload_tunnel IN DEV tcp|udp\n");
		return 2;
	}
	s.udp = !strcmp(argv[3], "udp");
	open_in(argv[1]);
	open_out(argv[2]);
	for (s.ipv6 = false;; s.ipv6 = true) {
		if (!super_frame_is_recognised(s) ||
		    !partial_checksum_is_completed(s))
			return 1;
		if (s.ipv6)
			return 0;
	}
}
