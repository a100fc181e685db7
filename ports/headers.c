#include "ports/headers.h"

#include "ports/frame.h"

#include <netinet/if_ether.h>
#include <netinet/in.h>

#define IPV4_FRAG_MASK 0x3fff /* more fragments, and the offset */
#define IPV6_EXT_MAX   16     /* more than any sender uses; bounds the walk */
#define ETHER_TAGS_MAX 2

static void parse_l4(const uint8_t *p, uint32_t n, struct headers *h)
{
	uint32_t room = n - h->l4, len;

	if (h->fragment)
		return;
	if (h->proto == IPPROTO_UDP && room >= UDP_HEADER_LEN) {
		h->end = h->l4 + UDP_HEADER_LEN;
	} else if (h->proto == IPPROTO_TCP && room >= TCP_HEADER_MIN) {
		len = (uint32_t)(p[h->l4 + 12] >> 4) * 4;
		if (len >= TCP_HEADER_MIN && len <= room)
			h->end = h->l4 + len;
	}
}

static void parse_ipv4(const uint8_t *p, uint32_t n, struct headers *h)
{
	const uint8_t *ip = p + h->l3;
	uint32_t room = n - h->l3, len;

	if (room < IPV4_HEADER_MIN || ip[0] >> 4 != 4)
		return;
	len = (uint32_t)(ip[0] & 15) * 4;
	if (len < IPV4_HEADER_MIN || len > room)
		return;
	h->l4 = h->l3 + len;
	h->proto = ip[9];
	h->fragment = load_be16(ip + 6) & IPV4_FRAG_MASK;
	parse_l4(p, n, h);
}

static void parse_ipv6(const uint8_t *p, uint32_t n, struct headers *h)
{
	uint32_t off = h->l3 + IPV6_HEADER_LEN, len;
	uint8_t next;

	if (n < off || p[h->l3] >> 4 != 6)
		return;
	next = p[h->l3 + 6];
	for (unsigned int i = 0; i < IPV6_EXT_MAX; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS) {
			h->l4 = off;
			h->proto = next;
			h->fragment = next == IPPROTO_FRAGMENT;
			parse_l4(p, n, h);
			return;
		}
		if (n - off < 8)
			return;
		len = (p[off + 1] + 1u) * 8;
		if (n - off < len)
			return;
		next = p[off];
		off += len;
	}
}

void headers_parse(const uint8_t *p, uint32_t n, struct headers *h)
{
	uint32_t off = ETHER_HEADER_LEN;

	memset(h, 0, sizeof(*h));
	if (n < off)
		return;
	h->ethertype = load_be16(p + 12);
	for (unsigned int i = 0; i < ETHER_TAGS_MAX; i++) {
		if (h->ethertype != ETHERTYPE_VLAN &&
		    h->ethertype != ETH_P_8021AD)
			break;
		if (n - off < ETHER_TAG_LEN)
			return;
		h->ethertype = load_be16(p + off + 2);
		off += ETHER_TAG_LEN;
	}
	h->l3 = off;
	if (h->ethertype == ETHERTYPE_IP)
		parse_ipv4(p, n, h);
	else if (h->ethertype == ETHERTYPE_IPV6)
		parse_ipv6(p, n, h);
}
