/*
 * The tunnels of fastpath_csum: a guest that runs VXLAN and the like. Its
 * kernel leaves the *inner* checksum partial (csum_start is far in) and
 * completes the outer one as it will be right in the end, or has none.
 */
#include "tests/e2e/fastpath_csum.h"

#include <netinet/in.h>

#define FRAME_MAX 2048
#define UDP_LEN	  8

/* What is between the outer IP header and the inner frame or packet. */
static const struct tunnel {
	const char *name;
	uint8_t proto; /* 0: of the inner packet, IPIP or SIT */
	bool ether;    /* the inner one has an Ethernet header */
	uint16_t port;
	bool known;  /* for tunnels (IANA; 8472 is Linux's) */
	uint8_t len; /* of what follows UDP */
	uint8_t head[16];
} tunnels[] = {
	{ "VXLAN",
	  IPPROTO_UDP,
	  true,
	  4789,
	  true,
	  8,
	  { 8, 0, 0, 0, 0, 0, 42, 0 } },
	{ "VXLAN by Linux's old port",
	  IPPROTO_UDP,
	  true,
	  8472,
	  true,
	  8,
	  { 8, 0, 0, 0, 0, 0, 42, 0 } },
	{ "VXLAN by port 2152",
	  IPPROTO_UDP,
	  true,
	  2152,
	  false,
	  8,
	  { 8, 0, 0, 0, 0, 0, 42, 0 } },
	{ "Geneve",
	  IPPROTO_UDP,
	  true,
	  6081,
	  true,
	  8,
	  { 0, 0, 0x65, 0x58, 0, 0, 42 } },
	{ "Geneve with an option",
	  IPPROTO_UDP,
	  true,
	  6081,
	  true,
	  16,
	  { 2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 1, 9, 9, 9, 9 } },
	{ "FOU", IPPROTO_UDP, false, 5555, false, 0, { 0 } },
	{ "GRETAP", IPPROTO_GRE, true, 0, false, 4, { 0, 0, 0x65, 0x58 } },
	{ "GRETAP with a key",
	  IPPROTO_GRE,
	  true,
	  0,
	  false,
	  8,
	  { 0x20, 0, 0x65, 0x58, 0, 0, 0, 42 } },
	{ "GRE", IPPROTO_GRE, false, 0, false, 4, { 0, 0, 0x08, 0x00 } },
	{ "IPIP", 0, false, 0, false, 0, { 0 } },
};

static uint8_t mem[FRAME_MAX], inner[FRAME_MAX];

/* A tunnel's frame in mem. */
struct wrapped {
	const struct tunnel *t;
	uint32_t len, l3;
	struct span outer; /* of UDP; start is that of what follows IP */
	struct span inner;
};

static uint8_t outer_proto(const struct tunnel *t, const struct superframe *in)
{
	if (t->proto)
		return t->proto;
	return in->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* The outer headers are those of another frame, cut off behind IP. */
static void wrap(struct wrapped *w, const struct tunnel *t,
		 const struct superframe *in, bool ipv6, unsigned int tags)
{
	struct superframe out = {
		.ipv6 = ipv6, .udp = true, .tags = tags, .id = 9
	};
	uint32_t n = superframe_build(in, inner, SUPERFRAME_PARTIAL);
	uint32_t skip = t->ether ? 0 : superframe_l3(in);
	uint32_t udp = t->proto == IPPROTO_UDP ? UDP_LEN : 0, at;

	w->t = t;
	w->inner = span_of(in, inner);
	out.payload = udp + t->len + n - skip - UDP_LEN;
	w->len = superframe_build(&out, mem, SUPERFRAME_PARTIAL);
	w->l3 = superframe_l3(&out);
	w->outer = span_of(&out, mem);
	at = w->outer.start + udp;
	if (udp)
		store_be16(mem + w->outer.start + 2, t->port);
	memcpy(mem + at, t->head, t->len);
	if (t->proto == IPPROTO_GRE && !t->ether)
		store_be16(mem + at + 2, in->ipv6 ? 0x86dd : 0x0800);
	at += t->len;
	memcpy(mem + at, inner + skip, n - skip);
	w->inner.start += at - skip;
	w->inner.field += at - skip;
	w->inner.end += at - skip;
	mem[w->l3 + (ipv6 ? 6 : 9)] = outer_proto(t, in);
	if (!ipv6)
		ipv4_fix(mem, w->l3);
}

/* What the outer field must be once the inner one is right. */
static uint16_t outer_right(const struct wrapped *w)
{
	uint16_t partial = load_be16(mem + w->inner.field), right;

	store_be16(mem + w->inner.field, span_right(mem, &w->inner));
	right = span_right(mem, &w->outer);
	store_be16(mem + w->inner.field, partial);
	return right;
}

/* Not UDP, or UDP without a checksum: the inner one is all there is. */
static void one_checksum(const struct wrapped *w)
{
	if (w->t->proto == IPPROTO_UDP)
		store_be16(mem + w->outer.field, 0);
	probe_partial(mem, w->len, &w->inner);
	store_be16(mem + w->inner.field, span_right(mem, &w->inner));
	probe_as_sent(mem, w->len, 0);
	mem[w->inner.field] ^= 0x10;
	probe_as_sent(mem, w->len, 0);
	/* Looks partial, and is as wrong as the guest wants it. */
	store_be16(mem + w->inner.field, superframe_fold(w->inner.pseudo));
	probe_as_sent(mem, w->len, 0);
}

/* Inner partial, outer as it will be right. By the ports of tunnels that may
 * look partial, too; by others nobody can tell it from what is. */
static void inner_partial(const struct wrapped *w)
{
	uint16_t partial = superframe_fold(w->outer.pseudo);
	uint32_t sum;

	store_be16(mem + w->outer.field, outer_right(w));
	probe_partial(mem, w->len, &w->inner);
	if (!w->t->known)
		return;
	sum = load_be16(mem + w->outer.start);
	sum += outer_right(w);
	sum += (uint16_t)~partial;
	store_be16(mem + w->outer.start, superframe_fold(sum));
	store_be16(mem + w->outer.field, outer_right(w));
	probe_partial(mem, w->len, &w->inner);
}

static void inner_complete(const struct wrapped *w)
{
	store_be16(mem + w->inner.field, span_right(mem, &w->inner));
	probe_variants(mem, w->len, &w->outer, false);
	mem[w->inner.field] ^= 0x10;
	probe_variants(mem, w->len, &w->outer, false);
}

static void tunnel_of(const struct tunnel *t, unsigned int n, uint32_t payload)
{
	struct superframe in = { .udp = n & 1,
				 .ipv6 = n >> 1 & 1,
				 .tcp_flags = 0x18,
				 .id = 3,
				 .sport = 50001,
				 .payload = payload };
	bool ipv6 = n >> 2 & 1;
	unsigned int tags = n >> 3 & 1;
	struct wrapped w;

	probe_about("%s over IPv%c, %u tags: %s over IPv%c, %u bytes", t->name,
		    ipv6 ? '6' : '4', tags, in.udp ? "UDP" : "TCP",
		    in.ipv6 ? '6' : '4', payload);
	wrap(&w, t, &in, ipv6, tags);
	one_checksum(&w);
	if (t->proto != IPPROTO_UDP)
		return;
	inner_partial(&w);
	inner_complete(&w);
}

void group_tunnels(void)
{
	static const uint32_t payloads[] = { 0, 1, 40, 333, 1300 };

	for (unsigned int i = 0; i < sizeof(tunnels) / sizeof(*tunnels); i++)
		for (unsigned int n = 0; n < 16; n++)
			for (unsigned int k = 0; k < 5; k++)
				tunnel_of(&tunnels[i], n, payloads[k]);
}
