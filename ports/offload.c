#include "ports/offload.h"

#include "ports/csum.h"
#include "ports/headers.h"

#include <endian.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define IPV4_LEN	 2 /* offsets in the headers */
#define IPV4_ID		 4
#define IPV4_FRAG	 6
#define IPV4_CSUM	 10
#define IPV4_SRC	 12
#define IPV4_MF		 0x2000
#define IPV6_LEN	 4
#define IPV6_SRC	 8
#define TCP_SEQ		 4
#define TCP_FLAGS	 13
#define TCP_CSUM	 16
#define TCP_CWR		 0x80
#define UDP_LEN		 4
#define UDP_CSUM	 6
#define SCTP_CSUM	 8
#define SCTP_HEADER_LEN	 12
#define IP_LEN_MAX	 65535
#define UFO_UNIT	 8 /* fragments are counted in units of 8, RFC 791 */
#define GSO_SIZE_REFUSED 0xffff /* Linux's GSO_BY_FRAGS; it refuses it too */

/* The end of headers and checksum fields, so that csum_start and hdr_len, 16
 * bits, don't wrap when tags or a tunnel's headers are put in front. */
#define HEADERS_END_MAX (UINT16_MAX - FRAME_HEADROOM)

static bool needs_csum(const struct frame *f)
{
	return f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static void clear_csum(struct frame *f)
{
	f->vnet.flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.csum_start = 0;
	f->vnet.csum_offset = 0;
}

static uint8_t gso_kind(const struct frame *f)
{
	return f->vnet.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
}

/*
 * What gso_size counts begins here: behind all headers; for UFO at the UDP
 * header, which is payload of the first IP fragment.
 */
static uint32_t payload_start(const struct frame *f, const struct headers *h)
{
	return gso_kind(f) == VIRTIO_NET_HDR_GSO_UDP ? h->l4 : h->end;
}

/* ---- check ------------------------------------------------------------- */

/*
 * The field to be stored must be ours to write (in the head) and not one that
 * the switch decides on (Ethernet, tags). Nor does any sender checksum from
 * within an IP header.
 */
static bool csum_lies_right(const struct frame *f, const struct headers *h)
{
	uint32_t start = f->vnet.csum_start;
	uint32_t end = start + f->vnet.csum_offset + 2;

	return h->l3 && start >= h->l3 + IPV4_HEADER_MIN &&
	       end <= f->head_len && end <= HEADERS_END_MAX;
}

/* Does an IP header of this protocol have another frame behind it? */
static bool carries_tunnel(const struct headers *h)
{
	switch (h->proto) {
	case IPPROTO_UDP: /* VXLAN, Geneve, GUE, FOU */
	case IPPROTO_GRE:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return h->l4 != 0;
	default:
		return false;
	}
}

/* Is the frame's L3 and L4 what its gso_type says? */
static bool gso_type_agrees(const struct frame *f, const struct headers *h)
{
	bool ipv6 = h->ethertype == ETHERTYPE_IPV6;

	switch (f->vnet.gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		return h->proto == IPPROTO_TCP && !ipv6;
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		return h->proto == IPPROTO_TCP && ipv6;
	case VIRTIO_NET_HDR_GSO_UDP:
		return h->proto == IPPROTO_UDP;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return h->proto == IPPROTO_UDP && needs_csum(f);
	default:
		return false;
	}
}

/* All that must hold of a super-frame, as it came or as it was checked. */
static bool gso_agrees(const struct frame *f, const struct headers *h)
{
	const struct virtio_net_hdr_v1 *v = &f->vnet;
	uint32_t start, field;

	if (!h->end || h->end > HEADERS_END_MAX || !gso_type_agrees(f, h))
		return false;
	if (v->gso_size == 0 || v->gso_size == GSO_SIZE_REFUSED)
		return false;
	field = h->proto == IPPROTO_TCP ? TCP_CSUM : UDP_CSUM;
	if (needs_csum(f) &&
	    (v->csum_start != h->l4 || v->csum_offset != field))
		return false;
	/* The fragments of a datagram can't be more than it (RFC 791 3.1). */
	if (v->gso_type == VIRTIO_NET_HDR_GSO_UDP &&
	    f->len - h->l3 > IP_LEN_MAX)
		return false;
	start = payload_start(f, h);
	if (f->len <= start + v->gso_size)
		return true; /* one segment */
	return start - h->l3 + v->gso_size <= IP_LEN_MAX &&
	       (f->len - start - 1) / v->gso_size < OFFLOAD_SEGMENTS_MAX;
}

/* Sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) for `len` bytes. */
static uint16_t pseudo_csum(const struct frame *f, const struct headers *h,
			    uint32_t len)
{
	const uint8_t *ip = f->data + h->l3;
	uint32_t sum = h->proto + (len & 0xffff) + (len >> 16);

	if (h->ethertype == ETHERTYPE_IPV6)
		sum += csum_bytes(ip + IPV6_SRC, 32);
	else
		sum += csum_bytes(ip + IPV4_SRC, 8);
	return csum_fold(sum);
}

/* Give a super-frame that came without it its partial checksum. */
static void make_partial(struct frame *f, const struct headers *h)
{
	uint32_t field = h->proto == IPPROTO_TCP ? TCP_CSUM : UDP_CSUM;

	store_be16(f->data + h->l4 + field, pseudo_csum(f, h, f->len - h->l4));
	f->vnet.flags |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.csum_start = (uint16_t)h->l4;
	f->vnet.csum_offset = (uint16_t)field;
}

static bool is_sctp_csum(const struct frame *f, const struct headers *h)
{
	return needs_csum(f) && h->l4 && h->proto == IPPROTO_SCTP &&
	       f->vnet.csum_start == h->l4 &&
	       f->vnet.csum_offset == SCTP_CSUM &&
	       h->l4 + SCTP_HEADER_LEN <= f->head_len;
}

/*
 * SCTP's field is 4 bytes of CRC32c, which devices like veth leave to others
 * too, but a vnet header can't say so: it would be completed wrong. The field
 * counts as 0.
 */
static void complete_sctp(struct frame *f)
{
	uint32_t start = f->vnet.csum_start, crc = 0xffffffff;
	uint8_t *field = f->data + start + SCTP_CSUM;

	memset(field, 0, 4);
	crc = csum_crc32c(crc, f->data + start, f->head_len - start);
	for (unsigned int i = 0; i < f->nsegs; i++)
		crc = csum_crc32c(crc, f->segs[i].iov_base,
				  (uint32_t)f->segs[i].iov_len);
	crc = htole32(~crc);
	memcpy(field, &crc, sizeof(crc));
	clear_csum(f);
}

bool offload_check(struct frame *f, enum drop_reason *why)
{
	struct virtio_net_hdr_v1 *v = &f->vnet;
	struct headers h;

	v->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->num_buffers = 0;
	v->hdr_len = 0;
	headers_parse(f->data, f->head_len, &h);
	if (needs_csum(f) && !csum_lies_right(f, &h))
		goto bad;
	if (v->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		v->gso_size = 0;
		if (is_sctp_csum(f, &h))
			complete_sctp(f);
		return true;
	}
	if (needs_csum(f) && carries_tunnel(&h) && v->csum_start > h.l4) {
		*why = DROP_TUNNEL_GSO;
		return false;
	}
	if (gso_kind(f) == VIRTIO_NET_HDR_GSO_UDP)
		v->gso_size &= (uint16_t) ~(UFO_UNIT - 1);
	if (!gso_agrees(f, &h))
		goto bad;
	if (f->len <= payload_start(f, &h) + v->gso_size) {
		v->gso_type = VIRTIO_NET_HDR_GSO_NONE;
		v->gso_size = 0;
		return true;
	}
	if (!needs_csum(f))
		make_partial(f, &h);
	v->hdr_len = (uint16_t)h.end;
	return true;
bad:
	*why = DROP_BAD_OFFLOAD;
	return false;
}

/* ---- checksum ---------------------------------------------------------- */

/* Sum of the frame from offset `off` to its end. */
static uint32_t frame_csum(const struct frame *f, uint32_t off)
{
	struct iovec iov[1 + FRAME_SEGS_MAX];
	unsigned int count = frame_iov(f, iov);
	uint32_t sum = 0, done = 0;

	for (unsigned int i = 0; i < count; i++) {
		uint32_t part = (uint32_t)iov[i].iov_len;

		if (off >= part) {
			off -= part;
			continue;
		}
		part -= off;
		sum += csum_at(
			done,
			csum_bytes((uint8_t *)iov[i].iov_base + off, part));
		done += part;
		off = 0;
	}
	return sum;
}

/* A finished checksum; 0 and 0xffff are one value, and UDP can't send 0. */
static uint16_t csum_finish(uint32_t sum)
{
	uint16_t csum = (uint16_t)~csum_fold(sum);

	return csum ? csum : 0xffff;
}

void offload_complete_csum(struct frame *f)
{
	uint32_t start = f->vnet.csum_start;
	uint32_t field = start + f->vnet.csum_offset;

	if (!needs_csum(f) || field + 2 > f->head_len)
		return;
	store_be16(f->data + field, csum_finish(frame_csum(f, start)));
	clear_csum(f);
}

/* ---- segmentation ------------------------------------------------------ */

/* How a super-frame is cut; payload offsets count from `head`. */
struct cut {
	const struct frame *f;
	struct headers h;
	uint32_t head;	  /* bytes of headers copied to each segment */
	uint32_t payload; /* bytes behind them, all together */
	uint32_t mss;	  /* of these a segment */
	uint32_t pseudo;  /* sum of the pseudo-header without the length */
	bool ufo;
};

/* Sum of the words of the pseudo-header but for the length, out of the partial
 * checksum: an IPv6 routing header's final destination is in there too. */
static uint32_t cut_pseudo(const struct cut *c)
{
	const uint8_t *l4 = c->f->data + c->h.l4;
	uint32_t len = c->f->len - c->h.l4;

	if (c->h.proto == IPPROTO_TCP) {
		len = (len & 0xffff) + (len >> 16);
		return load_be16(l4 + TCP_CSUM) + (csum_fold(len) ^ 0xffffu);
	}
	return load_be16(l4 + UDP_CSUM) + (load_be16(l4 + UDP_LEN) ^ 0xffffu);
}

static bool cut_plan(struct cut *c, const struct frame *f)
{
	c->f = f;
	headers_parse(f->data, f->head_len, &c->h);
	if (!needs_csum(f) || !gso_agrees(f, &c->h))
		return false;
	c->ufo = gso_kind(f) == VIRTIO_NET_HDR_GSO_UDP;
	c->head = payload_start(f, &c->h);
	c->payload = f->len - c->head;
	c->mss = f->vnet.gso_size;
	c->pseudo = cut_pseudo(c);
	return !c->ufo ||
	       (c->mss % UFO_UNIT == 0 && c->h.ethertype == ETHERTYPE_IP);
}

/* Copy n payload bytes from offset `off` to `to`; returns their sum. */
static uint32_t copy_payload(const struct cut *c, uint32_t off, uint8_t *to,
			     uint32_t n)
{
	struct iovec iov[1 + FRAME_SEGS_MAX];
	unsigned int count = frame_iov(c->f, iov);
	uint32_t sum = 0, done = 0;

	off += c->head;
	if (off < c->f->head_len && n <= c->f->head_len - off)
		return csum_copy(to, c->f->data + off, n);
	for (unsigned int i = 0; i < count && done < n; i++) {
		const uint8_t *from = iov[i].iov_base;
		uint32_t part = (uint32_t)iov[i].iov_len;

		if (off >= part) {
			off -= part;
			continue;
		}
		part -= off;
		if (part > n - done)
			part = n - done;
		sum += csum_at(done, csum_copy(to + done, from + off, part));
		done += part;
		off = 0;
	}
	return sum;
}

static void finish_ipv4(const struct cut *c, uint8_t *ip, uint32_t len,
			uint32_t off, bool last)
{
	uint32_t hlen = c->h.l4 - c->h.l3;

	store_be16(ip + IPV4_LEN, (uint16_t)len);
	if (c->ufo)
		store_be16(ip + IPV4_FRAG,
			   (uint16_t)(off / UFO_UNIT | (last ? 0 : IPV4_MF)));
	else
		store_be16(ip + IPV4_ID,
			   (uint16_t)(load_be16(ip + IPV4_ID) + off / c->mss));
	store_be16(ip + IPV4_CSUM, 0);
	store_be16(ip + IPV4_CSUM, (uint16_t)~csum_fold(csum_bytes(ip, hlen)));
}

/* `sum` is that of the segment's payload. */
static void finish_tcp(const struct cut *c, uint8_t *tcp, uint32_t n,
		       uint32_t sum, uint32_t off, bool last)
{
	uint32_t hlen = c->h.end - c->h.l4;

	store_be32(tcp + TCP_SEQ, load_be32(tcp + TCP_SEQ) + off);
	if (off)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TH_FIN | TH_PUSH);
	store_be16(tcp + TCP_CSUM, 0);
	sum += csum_bytes(tcp, hlen) + c->pseudo + hlen + n;
	/* Linux leaves a 0 here. */
	store_be16(tcp + TCP_CSUM, (uint16_t)~csum_fold(sum));
}

static void finish_udp(const struct cut *c, uint8_t *udp, uint32_t n,
		       uint32_t sum)
{
	uint32_t len = UDP_HEADER_LEN + n;

	store_be16(udp + UDP_LEN, (uint16_t)len);
	store_be16(udp + UDP_CSUM, 0);
	sum += csum_bytes(udp, UDP_HEADER_LEN) + c->pseudo + len;
	store_be16(udp + UDP_CSUM, csum_finish(sum));
}

/* Build the segment of n payload bytes from `off` at `to`. */
static void build_segment(const struct cut *c, uint8_t *to, uint32_t off,
			  uint32_t n)
{
	uint8_t *ip = to + c->h.l3, *l4 = to + c->h.l4;
	uint32_t len = c->head - c->h.l3 + n, sum;
	bool last = off + n == c->payload;

	memcpy(to, c->f->data, c->head);
	sum = copy_payload(c, off, to + c->head, n);
	if (c->h.ethertype == ETHERTYPE_IP)
		finish_ipv4(c, ip, len, off, last);
	else
		store_be16(ip + IPV6_LEN, (uint16_t)(len - IPV6_HEADER_LEN));

	if (c->h.proto == IPPROTO_TCP)
		finish_tcp(c, l4, n, sum, off, last);
	else if (!c->ufo)
		finish_udp(c, l4, n, sum);
	else if (off == 0) /* one checksum for all fragments */
		store_be16(l4 + UDP_CSUM,
			   csum_finish(frame_csum(c->f, c->h.l4)));
}

/* Room for a frame of len bytes, or NULL. */
static uint8_t *arena_room(const struct frame_arena *a, uint32_t len)
{
	uint32_t need = (FRAME_HEADROOM + len + 63u) & ~63u;

	if (a->used > a->size || need > a->size - a->used)
		return NULL;
	return a->base + a->used + FRAME_HEADROOM;
}

unsigned int offload_segment(const struct frame *f, struct frame *out,
			     unsigned int max, struct frame_arena *arena,
			     uint32_t *off, enum drop_reason *why)
{
	unsigned int made = 0;
	struct cut c;

	if (!cut_plan(&c, f)) {
		*why = DROP_GSO;
		return 0;
	}
	while (made < max && *off < c.payload) {
		uint32_t n = c.payload - *off;
		uint8_t *to;

		if (n > c.mss)
			n = c.mss;
		to = arena_room(arena, c.head + n);
		if (!to) {
			if (!made)
				*why = DROP_NO_MEMORY;
			break;
		}
		build_segment(&c, to, *off, n);
		frame_arena_take(arena, c.head + n);
		out[made] = *f;
		out[made].data = to;
		out[made].len = c.head + n;
		out[made].head_len = c.head + n;
		out[made].nsegs = 0;
		out[made].segs = NULL;
		memset(&out[made].vnet, 0, sizeof(out[made].vnet));
		*off += n;
		made++;
	}
	return made;
}

/* ---- facts ------------------------------------------------------------- */

/* Offset behind the headers that gso_size doesn't count. */
static uint32_t gso_head(const struct frame *f)
{
	if (gso_kind(f) == VIRTIO_NET_HDR_GSO_UDP)
		return f->vnet.hdr_len - UDP_HEADER_LEN;
	return f->vnet.hdr_len;
}

uint32_t offload_wire_mtu(const struct frame *f)
{
	uint32_t l2 = ETHER_HEADER_LEN, len = f->len;
	uint16_t type;

	if (f->head_len < l2)
		return 0;
	type = load_be16(f->data + 12);
	if (type == ETHERTYPE_VLAN || type == ETH_P_8021AD)
		l2 += ETHER_TAG_LEN;
	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		len = gso_head(f) + f->vnet.gso_size;
	return len > l2 ? len - l2 : 0;
}

uint32_t offload_segments(const struct frame *f)
{
	uint32_t head = gso_head(f);

	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE || !f->vnet.gso_size ||
	    f->len <= head)
		return 1;
	return (f->len - head + f->vnet.gso_size - 1) / f->vnet.gso_size;
}
