#include "tests/unit/superframe.h"

#include "ports/offload.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

static const uint8_t destination[6] = { 2, 0, 0, 0x5f, 0, 2 };

/* A byte of the pattern: no two words alike for long. */
static uint8_t pattern(uint32_t i)
{
	uint32_t x = i * 2654435761u;

	return (uint8_t)(x >> 24 ^ i);
}

uint32_t superframe_sum(const uint8_t *p, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

uint16_t superframe_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t ext_len(const struct superframe *s)
{
	static const uint32_t ipv6[SUPERFRAME_EXT_COUNT] = { 0, 8, 8, 16, 32 };

	return s->ipv6 ? ipv6[s->ext] : 4 * s->ext;
}

uint32_t superframe_l3(const struct superframe *s)
{
	return ETHER_HEADER_LEN + s->tags * ETHER_TAG_LEN;
}

uint32_t superframe_l4(const struct superframe *s)
{
	return superframe_l3(s) + (s->ipv6 ? 40 : 20) + ext_len(s);
}

uint32_t superframe_head(const struct superframe *s)
{
	return superframe_l4(s) + (s->udp ? 8 : 20 + s->tcp_options);
}

static void build_ether(const struct superframe *s, uint8_t *p)
{
	uint8_t *type = p + 12;

	memcpy(p, destination, 6);
	mac_store(p + 6, SUPERFRAME_MAC);
	if (s->tags == 2) {
		store_be16(type, 0x88a8);
		store_be16(type + 2, 0x2064);
		type += 4;
	}
	if (s->tags) {
		store_be16(type, 0x8100);
		store_be16(type + 2, 0x600a);
		type += 4;
	}
	store_be16(type, s->ipv6 ? 0x86dd : 0x0800);
}

static void build_ipv4(const struct superframe *s, uint8_t *ip, uint32_t len)
{
	uint32_t hlen = 20 + ext_len(s);

	memset(ip, 1, hlen); /* options: NOP */
	ip[0] = (uint8_t)(0x40 | hlen / 4);
	ip[1] = 0x02; /* ECN-capable */
	store_be16(ip + 2, (uint16_t)len);
	store_be16(ip + 4, s->id);
	store_be16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = s->udp ? IPPROTO_UDP : IPPROTO_TCP;
	store_be16(ip + 10, 0);
	store_be32(ip + 12, 0xc0000201);
	store_be32(ip + 16, 0xc6336402);
	store_be16(ip + 10,
		   (uint16_t)~superframe_fold(superframe_sum(ip, hlen)));
}

/* One extension header of n bytes; returns what lies behind it. */
static uint8_t *build_ext(uint8_t *p, uint8_t **next, uint8_t type, uint32_t n)
{
	memset(p, 0, n);
	**next = type;
	*next = p;
	p[1] = (uint8_t)(n / 8 - 1);
	if (type == IPPROTO_ROUTING) {
		p[2] = 253; /* RFC 3692: for experiments; no segments left */
	} else {
		p[2] = 1; /* PadN */
		p[3] = (uint8_t)(n - 4);
	}
	return p + n;
}

static void build_ipv6(const struct superframe *s, uint8_t *ip, uint32_t len)
{
	uint8_t *next = ip + 6, *p = ip + 40;

	store_be32(ip, 0x60212345);
	store_be16(ip + 4, (uint16_t)(len - 40));
	ip[7] = 64;
	memset(ip + 8, 0, 32);
	store_be32(ip + 8, 0x20010db8);
	ip[23] = 1;
	store_be32(ip + 24, 0x20010db8);
	ip[39] = 0xf2;
	if (s->ext == SUPERFRAME_HOP || s->ext == SUPERFRAME_HOP_ROUTING_DST)
		p = build_ext(p, &next, IPPROTO_HOPOPTS, 8);
	if (s->ext == SUPERFRAME_ROUTING ||
	    s->ext == SUPERFRAME_HOP_ROUTING_DST)
		p = build_ext(p, &next, IPPROTO_ROUTING, 8);
	if (s->ext == SUPERFRAME_DST || s->ext == SUPERFRAME_HOP_ROUTING_DST)
		build_ext(p, &next, IPPROTO_DSTOPTS, 16);
	*next = s->udp ? IPPROTO_UDP : IPPROTO_TCP;
}

static void build_l4(const struct superframe *s, uint8_t *l4, uint32_t len)
{
	uint32_t head = s->udp ? 8 : 20 + s->tcp_options;

	memset(l4, 0, head);
	store_be16(l4, s->sport);
	store_be16(l4 + 2, 4791);
	if (s->udp) {
		store_be16(l4 + 4, (uint16_t)len);
	} else {
		store_be32(l4 + 4, s->seq);
		store_be32(l4 + 8, 0x01020304);
		l4[12] = (uint8_t)(head / 4 << 4);
		l4[13] = s->tcp_flags;
		store_be16(l4 + 14, 0x7210);
		memset(l4 + 20, 1, s->tcp_options); /* NOP */
	}
	for (uint32_t i = 0; i < s->payload; i++)
		l4[head + i] = pattern(s->from + i);
}

uint32_t superframe_build(const struct superframe *s, uint8_t *p,
			  enum superframe_csum how)
{
	uint32_t l3 = superframe_l3(s), l4 = superframe_l4(s);
	uint32_t len = superframe_head(s) + s->payload;
	uint8_t *field = p + l4 + (s->udp ? 6 : 16);
	uint16_t csum;
	uint32_t sum;

	build_ether(s, p);
	if (s->ipv6)
		build_ipv6(s, p + l3, len - l3);
	else
		build_ipv4(s, p + l3, len - l3);
	build_l4(s, p + l4, len - l4);

	sum = (s->udp ? IPPROTO_UDP : IPPROTO_TCP) + (len - l4);
	sum += s->ipv6 ? superframe_sum(p + l3 + 8, 32)
		       : superframe_sum(p + l3 + 12, 8);
	if (how == SUPERFRAME_PARTIAL) {
		store_be16(field, superframe_fold(sum));
		return len;
	}
	csum = (uint16_t)~superframe_fold(sum +
					  superframe_sum(p + l4, len - l4));
	if (csum == 0 && (s->udp || how != SUPERFRAME_SEGMENT))
		csum = 0xffff;
	store_be16(field, csum);
	return len;
}

void superframe_vnet(const struct superframe *s, uint16_t gso_size,
		     struct virtio_net_hdr_v1 *v)
{
	memset(v, 0, sizeof(*v));
	v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	v->csum_start = (uint16_t)superframe_l4(s);
	v->csum_offset = s->udp ? 6 : 16;
	if (!gso_size)
		return;
	v->gso_size = gso_size;
	v->hdr_len = (uint16_t)superframe_head(s);
	v->gso_type = s->udp	? VIRTIO_NET_HDR_GSO_UDP_L4
		      : s->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				: VIRTIO_NET_HDR_GSO_TCPV4;
}

uint32_t superframe_segments(const struct superframe *s, uint16_t gso_size)
{
	return (s->payload + gso_size - 1) / gso_size;
}

struct superframe superframe_segment(const struct superframe *s,
				     uint16_t gso_size, uint32_t n)
{
	struct superframe t = *s;
	uint32_t done = n * gso_size;

	t.id = (uint16_t)(s->id + n);
	t.seq += done;
	t.from += done;
	t.payload -= done;
	if (n)
		t.tcp_flags &= (uint8_t)~0x80; /* CWR */
	if (t.payload > gso_size) {
		t.payload = gso_size;
		t.tcp_flags &= (uint8_t) ~(TH_FIN | TH_PUSH);
	}
	return t;
}

void superframe_zero_csum(struct superframe *s)
{
	static uint8_t buf[FRAME_LEN_MAX];
	const uint8_t *field = buf + superframe_l4(s) + (s->udp ? 6 : 16);

	superframe_build(s, buf, SUPERFRAME_SEGMENT);
	s->sport = superframe_fold((uint32_t)s->sport + load_be16(field));
}
