#include "ports/merge.h"

#include "ports/csum.h"
#include "ports/headers.h"
#include "ports/offload.h"

#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define IPV4_LEN   2 /* offsets in the headers */
#define IPV4_CSUM  10
#define IPV4_SRC   12
#define IPV6_LEN   4
#define TCP_SEQ	   4
#define TCP_ACK	   8
#define TCP_FLAGS  13
#define TCP_WINDOW 14
#define TCP_URG	   18
#define IP_LEN_MAX 65535

static bool is_ipv6(const uint8_t *frame)
{
	return load_be16(frame + 12) == ETHERTYPE_IPV6;
}

/* Store the length of an IP packet; of IPv4 with its checksum. */
static void set_ip_len(uint8_t *ip, bool ipv6, uint32_t hlen, uint32_t len)
{
	if (ipv6) {
		store_be16(ip + IPV6_LEN, (uint16_t)(len - IPV6_HEADER_LEN));
		return;
	}
	store_be16(ip + IPV4_LEN, (uint16_t)len);
	store_be16(ip + IPV4_CSUM, 0);
	store_be16(ip + IPV4_CSUM, (uint16_t)~csum_fold(csum_bytes(ip, hlen)));
}

/* ---- Segments ---- */

/* A segment with data and nothing special: no tags, no options of IP, no flag
 * but PSH, and as long as it says. */
static bool is_plain(const uint8_t *frame, uint32_t len, struct headers *h)
{
	const uint8_t *ip = frame + ETHER_HEADER_LEN;
	uint32_t hlen, ip_len;

	headers_parse(frame, len, h);
	if (h->l3 != ETHER_HEADER_LEN || h->proto != IPPROTO_TCP || !h->end)
		return false;
	if (is_ipv6(frame)) {
		hlen = IPV6_HEADER_LEN;
		ip_len = IPV6_HEADER_LEN + load_be16(ip + IPV6_LEN);
	} else {
		hlen = IPV4_HEADER_MIN;
		ip_len = load_be16(ip + IPV4_LEN);
	}
	return h->l4 - h->l3 == hlen && ip_len == len - h->l3 && h->end < len &&
	       (frame[h->l4 + TCP_FLAGS] & (uint8_t)~TH_PUSH) == TH_ACK;
}

static bool is_last(const uint8_t *frame, uint32_t l4)
{
	return frame[l4 + TCP_FLAGS] & TH_PUSH;
}

void merge_begin(struct merge *m, uint8_t *data, uint32_t len)
{
	struct headers h;

	*m = (struct merge){ .data = data, .len = len };
	if (!is_plain(data, len, &h) || is_last(data, h.l4))
		return;
	m->l4 = h.l4;
	m->end = h.end;
	m->mss = len - h.end;
	m->next = load_be32(data + h.l4 + TCP_SEQ) + m->mss;
	m->open = true;
}

/* Are n bytes from `off` the same in both? */
static bool same(const struct merge *m, const uint8_t *frame, uint32_t off,
		 uint32_t n)
{
	return !memcmp(m->data + off, frame + off, n);
}

/* Everything that a segment's copy of the headers would have from the first
 * one's. The lengths of the headers are the same. */
static bool same_headers(const struct merge *m, const uint8_t *frame)
{
	uint32_t l3 = ETHER_HEADER_LEN, l4 = m->l4;

	/* Addresses and type; version, traffic class and flow label, or version
	 * and TOS. Flow labels are four bytes, and TOS ends at the second. */
	if (!same(m, frame, 0, l3))
		return false;
	if (is_ipv6(frame)) {
		/* next header, hop limit, addresses */
		if (!same(m, frame, l3, IPV6_LEN) ||
		    !same(m, frame, l3 + IPV6_LEN + 2, l4 - l3 - IPV6_LEN - 2))
			return false;
	} else {
		/* fragment bits, TTL, protocol; addresses */
		if (!same(m, frame, l3, IPV4_LEN) ||
		    !same(m, frame, l3 + 6, 4) ||
		    !same(m, frame, l3 + IPV4_SRC, 8))
			return false;
	}
	/* ports; acknowledgement and the header's length; window; options */
	return same(m, frame, l4, TCP_SEQ) &&
	       same(m, frame, l4 + TCP_ACK, TCP_FLAGS - TCP_ACK) &&
	       same(m, frame, l4 + TCP_WINDOW, 2) &&
	       same(m, frame, l4 + TCP_URG, m->end - l4 - TCP_URG);
}

bool merge_add(struct merge *m, const uint8_t *frame, uint32_t len)
{
	struct headers h;
	uint32_t n;

	if (!m->open || !is_plain(frame, len, &h))
		return false;
	n = len - h.end;
	if (h.l4 != m->l4 || h.end != m->end || n > m->mss ||
	    m->len + n - ETHER_HEADER_LEN > IP_LEN_MAX ||
	    load_be32(frame + h.l4 + TCP_SEQ) != m->next ||
	    !same_headers(m, frame))
		return false;
	memcpy(m->data + m->len, frame + h.end, n);
	m->len += n;
	m->next += n;
	m->added = true;
	if (is_last(frame, h.l4))
		m->data[m->l4 + TCP_FLAGS] |= TH_PUSH;
	m->open = n == m->mss && !is_last(frame, h.l4);
	return true;
}

void merge_end(const struct merge *m, struct virtio_net_hdr_v1 *v)
{
	bool ipv6;

	memset(v, 0, sizeof(*v));
	if (!m->added)
		return;
	ipv6 = is_ipv6(m->data);
	v->gso_type =
		ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	v->gso_size = (uint16_t)m->mss;
	v->hdr_len = (uint16_t)m->end;
	set_ip_len(m->data + ETHER_HEADER_LEN, ipv6, m->l4 - ETHER_HEADER_LEN,
		   m->len - ETHER_HEADER_LEN);
}

/* ---- Super-frames ---- */

bool merge_whole(struct frame *f)
{
	if (f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		struct headers h;

		headers_parse(f->data, f->head_len, &h);
		if (f->nsegs || !h.end || f->len - h.l3 > IP_LEN_MAX)
			return false;
		set_ip_len(f->data + h.l3, h.ethertype == ETHERTYPE_IPV6,
			   h.l4 - h.l3, f->len - h.l3);
	}
	offload_complete_csum(f);
	memset(&f->vnet, 0, sizeof(f->vnet));
	return true;
}
