/*
 * offload_kernel - the kernel's software GSO and ours on the same frames
 *
 *	offload_kernel IN OUT KIND
 *
 * IN and OUT are TAP devices on one bridge. Super-frames are written to IN;
 * OUT is opened without offloads, so the kernel segments and checksums before
 * it delivers them there. What is read must be, byte for byte, what
 * offload_segment() and offload_complete_csum() make of them.
 *
 * KIND is a row of `kinds` below. Exit status: 0 all equal, 1 not, 77 the
 * kernel can't take such frames at all.
 */
#include "ports/offload.h"
#include "tests/unit/superframe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEADLINE_MS   2000
#define SEGMENTS_MAX  128 /* Linux's UDP_MAX_SEGMENTS */
#define EXIT_SKIP     77
#define PAYLOAD_MAX   60000
#define ETHERTYPE_LAB 0x88b5 /* IEEE 802: for experiments */

enum how { SEGMENTS, WITHOUT_CSUM, ONE_SEGMENT, UFO, PARTIAL, ZERO };

static const struct kind {
	const char *name;
	bool ipv6, udp;
	enum how how;
} kinds[] = {
	{ "tcp4", false, false, SEGMENTS },
	{ "tcp6", true, false, SEGMENTS },
	{ "uso4", false, true, SEGMENTS },
	{ "uso6", true, true, SEGMENTS },
	{ "tcp4-nocsum", false, false, WITHOUT_CSUM },
	{ "tcp6-nocsum", true, false, WITHOUT_CSUM },
	{ "tcp4-short", false, false, ONE_SEGMENT },
	{ "tcp6-short", true, false, ONE_SEGMENT },
	{ "uso4-short", false, true, ONE_SEGMENT },
	{ "ufo4", false, true, UFO },
	{ "tcp4-partial", false, false, PARTIAL },
	{ "tcp6-partial", true, false, PARTIAL },
	{ "udp4-partial", false, true, PARTIAL },
	{ "udp6-partial", true, true, PARTIAL },
	{ "tcp4-zero", false, false, ZERO },
	{ "tcp6-zero", true, false, ZERO },
	{ "udp4-zero", false, true, ZERO },
	{ "udp6-zero", true, true, ZERO },
};

static int fd_in, fd_out;
static uint8_t mem[FRAME_HEADROOM + FRAME_LEN_MAX];
static uint8_t got[FRAME_LEN_MAX];
static uint8_t arena_mem[SEGMENTS_MAX * (FRAME_HEADROOM + 4096) + FRAME_SLOT];
static unsigned int compared, segments_seen;

static int open_tap(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int len = (int)ETHER_VNET_LEN;
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, 0ul) < 0) {
		perror(name);
		exit(1);
	}
	return fd;
}

static int send_frame(const struct frame *f)
{
	struct virtio_net_hdr_v1 v = f->vnet;
	struct iovec iov[2] = { { &v, sizeof(v) }, { f->data, f->len } };

	return writev(fd_in, iov, 2) < 0 ? -errno : 0;
}

/* The next frame that is ours, without its vnet header: its length, or 0 at
 * the deadline and where the kernel left offload work in it. */
static uint32_t receive_frame(int ms)
{
	struct virtio_net_hdr_v1 v;
	struct iovec iov[2] = { { &v, sizeof(v) }, { got, sizeof(got) } };
	struct pollfd p = { .fd = fd_out, .events = POLLIN };

	while (poll(&p, 1, ms) > 0) {
		ssize_t n = readv(fd_out, iov, 2);

		if (n < (ssize_t)(sizeof(v) + ETHER_HEADER_LEN) ||
		    mac_load(got + 6) != SUPERFRAME_MAC)
			continue;
		if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || v.gso_type) {
			fprintf(stderr, "the kernel left offload work\n");
			return 0;
		}
		return (uint32_t)n - (uint32_t)sizeof(v);
	}
	return 0;
}

/* Frames pass once both ports forward. */
static bool bridge_forwards(void)
{
	struct frame f;

	frame_init(&f, mem + FRAME_HEADROOM, 60);
	memset(f.data, 0, 60);
	memset(f.data, 0xff, 6);
	mac_store(f.data + 6, SUPERFRAME_MAC);
	store_be16(f.data + 12, ETHERTYPE_LAB);
	for (int i = 0; i < 100; i++) {
		if (send_frame(&f) == 0 && receive_frame(50) == 60) {
			while (receive_frame(0))
				;
			return true;
		}
	}
	fprintf(stderr, "no frame passes the bridge\n");
	return false;
}

static void dump(const char *what, const uint8_t *p, uint32_t n)
{
	fprintf(stderr, "%s (%u):", what, n);
	for (uint32_t i = 0; i < n && i < 128; i++)
		fprintf(stderr, " %02x", p[i]);
	fputc('\n', stderr);
}

/* Is the next frame from the kernel this one? */
static bool same(const struct frame *want, unsigned int n)
{
	uint32_t len = receive_frame(DEADLINE_MS);

	segments_seen++;
	if (len == want->len && memcmp(got, want->data, len) == 0)
		return true;
	fprintf(stderr, "frame %u differs\n", n);
	dump("kernel", got, len);
	dump("ours", want->data, want->len);
	return false;
}

/* Send the frame through the kernel and through our code. 0 equal, 1 not,
 * EXIT_SKIP refused by the kernel. */
static int compare(struct frame *f)
{
	struct frame_arena arena = { arena_mem, sizeof(arena_mem), 0 };
	static struct frame out[SEGMENTS_MAX];
	enum drop_reason why = DROP_REASON_COUNT;
	unsigned int n = 1;
	uint32_t off = 0;
	int err = send_frame(f);

	if (err) {
		fprintf(stderr, "the kernel refuses the frame: %s\n",
			strerror(-err));
		return EXIT_SKIP;
	}
	if (!offload_check(f, &why)) {
		fprintf(stderr, "we refuse the frame: %s\n", drop_text(why));
		return 1;
	}
	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		offload_complete_csum(f);
		out[0] = *f;
	} else {
		n = offload_segment(f, out, SEGMENTS_MAX, &arena, &off, &why);
		if (n != offload_segments(f)) {
			fprintf(stderr, "%u of %u segments made\n", n,
				offload_segments(f));
			return 1;
		}
	}
	for (unsigned int i = 0; i < n; i++)
		if (!same(&out[i], i))
			return 1;
	if (receive_frame(0)) {
		fprintf(stderr, "one frame more from the kernel\n");
		return 1;
	}
	compared++;
	return 0;
}

static int compare_as(const struct kind *kind, struct superframe s,
		      uint16_t size)
{
	struct frame f;

	if (kind->how == ZERO) {
		struct superframe first =
			size ? superframe_segment(&s, size, 0) : s;

		superframe_zero_csum(&first);
		s.sport = first.sport;
	}
	frame_init(&f, mem + FRAME_HEADROOM, 0);
	f.len = superframe_build(&s, f.data,
				 kind->how == WITHOUT_CSUM
					 ? SUPERFRAME_COMPLETE
					 : SUPERFRAME_PARTIAL);
	f.head_len = f.len;
	superframe_vnet(&s, size, &f.vnet);
	if (kind->how == UFO)
		f.vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	if (kind->how == WITHOUT_CSUM) {
		f.vnet.flags = 0;
		f.vnet.csum_start = 0;
		f.vnet.csum_offset = 0;
	}
	if (size && !s.udp && (s.tcp_flags & 0x80))
		f.vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	return compare(&f);
}

/* All payload lengths worth a look for one segment size. */
static int compare_lengths(const struct kind *kind, struct superframe s,
			   uint16_t size)
{
	const uint32_t lengths[] = { size + 1u,	    2u * size,
				     2u * size + 1, 3u * size - 1,
				     9u * size + 7, 40u * size,
				     65u * size };

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		int ret;

		s.payload = lengths[i];
		if (s.payload <= size || s.payload > PAYLOAD_MAX)
			continue;
		ret = compare_as(kind, s, size);
		if (ret) {
			fprintf(stderr,
				"tags %u, ext %u, options %u, flags %02x, "
				"payload %u, gso_size %u\n",
				s.tags, s.ext, s.tcp_options, s.tcp_flags,
				s.payload, size);
			return ret;
		}
	}
	return 0;
}

static int compare_sizes(const struct kind *kind, struct superframe s)
{
	static const uint16_t sizes[] = { 8,	40,   101,  536,
					  1400, 1448, 1463, 8952 };
	int ret = 0;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint16_t size = sizes[i];

		switch (kind->how) {
		case PARTIAL:
			s.payload = size - 7u;
			ret = compare_as(kind, s, 0);
			break;
		case ONE_SEGMENT:
			s.payload = size;
			ret = compare_as(kind, s, size);
			break;
		case ZERO:
			s.payload = size;
			ret = compare_as(kind, s, 0);
			if (!ret)
				ret = compare_lengths(kind, s, size);
			break;
		case UFO:
			ret = compare_lengths(kind, s, size & 0xfff8);
			break;
		default:
			ret = compare_lengths(kind, s, size);
			break;
		}
		if (ret)
			return ret;
	}
	return 0;
}

static int compare_kind(const struct kind *kind)
{
	static const uint8_t flags[] = { 0x10, 0x19, 0x98, 0xd9 };
	struct superframe s = { .ipv6 = kind->ipv6,
				.udp = kind->udp,
				.id = 0xfff0,
				.seq = 0xffffff00,
				.sport = 40000 };

	for (s.tags = 0; s.tags <= 2; s.tags++) {
		for (s.ext = 0; s.ext < SUPERFRAME_EXT_COUNT; s.ext++) {
			for (unsigned int i = 0; i < 4; i++) {
				int ret;

				s.tcp_flags = flags[i];
				s.tcp_options =
					i & 1 && kind->how != ONE_SEGMENT ? 12
									  : 0;
				ret = compare_sizes(kind, s);
				if (ret)
					return ret;
				if (kind->udp)
					break;
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: offload_kernel IN OUT KIND\n");
		return 2;
	}
	fd_in = open_tap(argv[1]);
	fd_out = open_tap(argv[2]);
	if (!bridge_forwards())
		return 1;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		int ret;

		if (strcmp(kinds[i].name, argv[3]) != 0)
			continue;
		ret = compare_kind(&kinds[i]);
		fprintf(stderr, "%s: %u frames, %u segments compared\n",
			argv[3], compared, segments_seen);
		return ret;
	}
	fprintf(stderr, "no such kind: %s\n", argv[3]);
	return 2;
}
