/* The frames of fastpath_csum: TCP, UDP and what only looks like them. */
#include "tests/e2e/fastpath_csum.h"

#include <netinet/in.h>
#include <stdio.h>

#define PAYLOAD_MAX	 1500 /* the devices' MTU has room for it */
#define PLAIN_STEP	 13   /* lengths from one to the next */
#define HEAD_MAX	 128
#define FRAME_MAX	 (HEAD_MAX + PAYLOAD_MAX + 64)
#define IPV4_MF		 0x2000
#define USO_SEGMENTS_MAX 120 /* Linux takes 128 */

static uint8_t mem[FRAME_MAX];

/* ---- sums --------------------------------------------------------------- */

uint16_t span_right(const uint8_t *p, const struct span *s)
{
	uint32_t sum = s->pseudo;
	uint16_t csum;

	/* Without what is in the field. */
	sum += superframe_sum(p + s->start, s->end - s->start);
	sum += (uint16_t)~load_be16(p + s->field);
	csum = (uint16_t)~superframe_fold(sum);
	return csum ? csum : 0xffff;
}

uint32_t pseudo_sum(const uint8_t *p, uint32_t l3, uint8_t proto,
		    uint32_t l4len)
{
	uint32_t sum = proto + l4len;

	return sum + (p[l3] >> 4 == 6 ? superframe_sum(p + l3 + 8, 32)
				      : superframe_sum(p + l3 + 12, 8));
}

struct span span_of(const struct superframe *s, const uint8_t *p)
{
	struct span span = { .start = superframe_l4(s),
			     .end = superframe_head(s) + s->payload };

	span.field = span.start + (s->udp ? 6 : 16);
	span.pseudo = pseudo_sum(p, superframe_l3(s),
				 s->udp ? IPPROTO_UDP : IPPROTO_TCP,
				 span.end - span.start);
	return span;
}

void ipv4_fix(uint8_t *p, uint32_t l3)
{
	uint32_t n = 4u * (p[l3] & 15u);

	store_be16(p + l3 + 10, 0);
	store_be16(p + l3 + 10,
		   (uint16_t)~superframe_fold(superframe_sum(p + l3, n)));
}

/* ---- frames to begin with ----------------------------------------------- */

/* The n-th of TCP and UDP over IPv4 and IPv6, with and without a tag. */
#define BASES 8u

static struct superframe base(unsigned int n, uint32_t payload)
{
	return (struct superframe){ .udp = n & 1,
				    .ipv6 = n >> 1 & 1,
				    .tags = n >> 2 & 1,
				    .tcp_flags = 0x18,
				    .id = 77,
				    .sport = 40001,
				    .seq = 0x01020304,
				    .from = n,
				    .payload = payload };
}

static const char *base_name(const struct superframe *s)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s over IPv%c, %u tags, %u bytes",
		 s->udp ? "UDP" : "TCP", s->ipv6 ? '6' : '4', s->tags,
		 s->payload);
	return name;
}

/* Build it in mem; its length. */
static uint32_t build(const struct superframe *s, struct span *span)
{
	uint32_t len = superframe_build(s, mem, SUPERFRAME_PARTIAL);

	*span = span_of(s, mem);
	return len;
}

/* ---- lengths ------------------------------------------------------------ */

void group_lengths(void)
{
	uint32_t step = reader_is_plain ? PLAIN_STEP : 1;

	for (unsigned int n = 0; n < BASES; n++) {
		for (uint32_t k = 0; k <= PAYLOAD_MAX; k += step) {
			struct superframe s = base(n, k);
			struct span span;
			uint32_t len = build(&s, &span);

			probe_about("%s", base_name(&s));
			probe_variants(mem, len, &span, false);
		}
	}
}

/* ---- values of the field ------------------------------------------------ */

/* Choose the source port so that the complete checksum is `want`. */
static void choose_sport(uint8_t *p, const struct span *s, uint16_t want)
{
	uint32_t sum = load_be16(p + s->start);

	sum += span_right(p, s);
	sum += (uint16_t)~want;
	store_be16(p + s->start, superframe_fold(sum));
}

/* Make the destination's last word such that the pseudo-header's sum is this.
 */
static void choose_pseudo(uint8_t *p, const struct superframe *s,
			  struct span *span, uint16_t want)
{
	uint32_t l3 = superframe_l3(s);
	uint8_t *word = p + l3 + (s->ipv6 ? 38 : 18);
	uint32_t sum = load_be16(word);

	sum += (uint16_t)~superframe_fold(span->pseudo);
	sum += want;
	store_be16(word, superframe_fold(sum));
	span->pseudo = pseudo_sum(p, l3, s->udp ? IPPROTO_UDP : IPPROTO_TCP,
				  span->end - span->start);
	if (!s->ipv6)
		ipv4_fix(p, l3);
	store_be16(p + span->field, superframe_fold(span->pseudo));
}

static void values_of(const struct superframe *s)
{
	static const uint16_t pseudos[] = { 0xffff, 0x0001, 0xff00, 0x8000 };
	struct span span;
	uint32_t len = build(s, &span);
	uint16_t partial = superframe_fold(span.pseudo);

	probe_about("%s: complete it is 0 or 0xffff", base_name(s));
	choose_sport(mem, &span, 0xffff);
	probe_variants(mem, len, &span, false);
	store_be16(mem + span.field, 0xffff);
	probe_as_sent(mem, len, 0);
	store_be16(mem + span.field, 0); /* UDP: none */
	probe_as_sent(mem, len, 0);
	probe_about("%s: complete it is what it is partial", base_name(s));
	choose_sport(mem, &span, partial);
	probe_variants(mem, len, &span, false);
	probe_about("%s: complete it is 1", base_name(s));
	choose_sport(mem, &span, 1);
	probe_variants(mem, len, &span, false);
	for (unsigned int i = 0; i < sizeof(pseudos) / sizeof(*pseudos); i++) {
		len = build(s, &span);
		choose_pseudo(mem, s, &span, pseudos[i]);
		probe_about("%s: partial it is %x", base_name(s), pseudos[i]);
		probe_variants(mem, len, &span, false);
	}
	build(s, &span);
	store_be16(mem + span.field, span_right(mem, &span));
	probe_about("%s: the guest says it is valid", base_name(s));
	probe_as_sent(mem, len, VIRTIO_NET_HDR_F_DATA_VALID);
	store_be16(mem + span.field, 0);
	probe_about("%s: no checksum at all", base_name(s));
	probe_as_sent(mem, len, 0);
}

void group_values(void)
{
	for (unsigned int n = 0; n < BASES; n++) {
		for (uint32_t k = 0; k < 80; k++) {
			struct superframe s = base(n, k);

			values_of(&s);
		}
	}
}

/* ---- padding ------------------------------------------------------------ */

void group_padding(void)
{
	static const uint32_t payloads[] = { 0, 1, 2, 7, 18, 100, 1001 };
	static const uint8_t fills[] = { 0, 0xa5 };

	for (unsigned int i = 0; i < BASES * 7 * 2; i++) {
		struct superframe s = base(i % BASES, payloads[i / BASES % 7]);
		uint8_t fill = fills[i / BASES / 7];
		struct span span;
		uint32_t len = build(&s, &span);

		for (uint32_t pad = 1; pad <= 46; pad += pad < 9 ? 1 : 7) {
			memset(mem + len, fill, pad);
			probe_about("%s, %u of %02x behind", base_name(&s), pad,
				    fill);
			probe_variants(mem, len + pad, &span, false);
		}
	}
}

/* ---- headers ------------------------------------------------------------ */

static void headers_of(struct superframe s)
{
	struct span span;
	uint32_t len, l3;

	for (s.tags = 0; s.tags <= 2; s.tags++) {
		for (s.ext = 0; s.ext < SUPERFRAME_EXT_COUNT; s.ext++) {
			len = build(&s, &span);
			probe_about("%s, options %u", base_name(&s), s.ext);
			probe_variants(mem, len, &span, false);
		}
	}
	s.ext = 0;
	s.tags = 0;
	if (!s.udp) {
		s.tcp_options = 32;
		len = build(&s, &span);
		probe_about("%s, with TCP options", base_name(&s));
		probe_variants(mem, len, &span, false);
	}
	s.tcp_options = 0;
	if (s.ipv6)
		return;
	len = build(&s, &span);
	l3 = superframe_l3(&s);
	mem[l3 + 10] ^= 0x55;
	probe_about("%s, a wrong header checksum", base_name(&s));
	probe_variants(mem, len, &span, false);
	build(&s, &span);
	store_be16(mem + l3 + 6, 0); /* may be fragmented */
	mem[l3 + 8] = 0;	     /* no hops left */
	ipv4_fix(mem, l3);
	probe_about("%s, TTL 0", base_name(&s));
	probe_variants(mem, len, &span, false);
}

void group_headers(void)
{
	static const uint32_t payloads[] = { 0, 1, 64, 333, 1400 };

	for (unsigned int n = 0; n < 4; n++)
		for (unsigned int i = 0; i < 5; i++)
			headers_of(base(n, payloads[i]));
}

/* ---- fragments ---------------------------------------------------------- */

static void fragment_ipv4(const struct superframe *s, uint16_t bits)
{
	struct span span;
	uint32_t len = build(s, &span), l3 = superframe_l3(s);

	store_be16(mem + l3 + 6, bits);
	ipv4_fix(mem, l3);
	probe_about("%s, fragment %04x", base_name(s), bits);
	probe_variants(mem, len, &span, true);
}

/* A fragment header between IP and the rest (RFC 8200 4.5). */
static void fragment_ipv6(const struct superframe *s, uint16_t bits)
{
	struct span span;
	uint32_t len = build(s, &span), l3 = superframe_l3(s);
	uint8_t *fragment = mem + l3 + 40;

	memmove(fragment + 8, fragment, len - l3 - 40);
	memset(fragment, 0, 8);
	fragment[0] = mem[l3 + 6];
	store_be16(fragment + 2, bits);
	store_be32(fragment + 4, 0x12345678);
	mem[l3 + 6] = IPPROTO_FRAGMENT;
	store_be16(mem + l3 + 4, (uint16_t)(len + 8 - l3 - 40));
	span.start += 8;
	span.field += 8;
	span.end += 8;
	probe_about("%s, fragment %04x", base_name(s), bits);
	probe_variants(mem, len + 8, &span, true);
}

void group_fragments(void)
{
	static const uint16_t ipv4[] = { IPV4_MF, IPV4_MF | 1, 1, 185, 0x1fff };
	static const uint16_t ipv6[] = { 0, 1, 9, 8, 0xfff8 };
	static const uint32_t payloads[] = { 0, 16, 72, 1000, 1480 };

	for (unsigned int n = 0; n < BASES; n++) {
		for (unsigned int k = 0; k < 5; k++) {
			struct superframe s = base(n, payloads[k]);

			for (unsigned int i = 0; i < 5; i++) {
				if (s.ipv6)
					fragment_ipv6(&s, ipv6[i]);
				else
					fragment_ipv4(&s, ipv4[i]);
			}
		}
	}
}

/* ---- lengths that disagree ---------------------------------------------- */

/* With the sum over each length that one might believe. */
static void disagrees(const struct superframe *s, uint32_t len,
		      struct span span, const char *what, uint32_t value)
{
	uint32_t l3 = superframe_l3(s);
	uint8_t proto = s->udp ? IPPROTO_UDP : IPPROTO_TCP;
	const uint32_t lengths[] = { span.end - span.start,
				     (value - (span.start - l3)) & 0xffff,
				     value & 0xffff };

	probe_about("%s, but %s is %u", base_name(s), what, value);
	for (unsigned int i = 0; i < 3; i++) {
		span.pseudo = pseudo_sum(mem, l3, proto, lengths[i]);
		probe_variants(mem, len, &span, true);
	}
}

static void ip_length_disagrees(const struct superframe *s)
{
	struct span span;
	uint32_t len = build(s, &span), l3 = superframe_l3(s);
	uint32_t base_len = s->ipv6 ? 40 : 0;
	uint8_t *field = mem + l3 + (s->ipv6 ? 4 : 2);
	uint32_t right = len - l3 - base_len;
	uint32_t header = span.start - l3 - base_len;
	/* Longer than the frame, and too short for the headers. Behind an IPv6
	 * header 0 says "jumbo". */
	const uint32_t values[] = { right + 1,	right + 2,  right + 100,
				    65535,	header + 7, header + 1,
				    header - 1, 3,	    0 };

	for (unsigned int i = 0; i < 9; i++) {
		if (values[i] > 65535)
			continue;
		store_be16(field, (uint16_t)values[i]);
		if (!s->ipv6)
			ipv4_fix(mem, l3);
		disagrees(s, len, span, "the IP header's length", values[i]);
	}
}

static void udp_length_disagrees(const struct superframe *s)
{
	struct span span;
	uint32_t len = build(s, &span);
	uint32_t right = len - span.start;
	const uint32_t values[] = { right + 1, right + 2, right - 1, right - 2,
				    8,	       7,	  0,	     65535 };

	for (unsigned int i = 0; i < 8; i++) {
		if (values[i] == right)
			continue;
		store_be16(mem + span.start + 4, (uint16_t)values[i]);
		disagrees(s, len, span, "UDP's length", values[i]);
	}
}

static void tcp_offset_disagrees(const struct superframe *s)
{
	struct span span;
	uint32_t len = build(s, &span);

	for (uint32_t words = 0; words < 16; words++) {
		if (words >= 5 && 4 * words <= len - span.start)
			continue;
		mem[span.start + 12] = (uint8_t)(words << 4);
		disagrees(s, len, span, "TCP's data offset", words);
	}
}

static void version_disagrees(const struct superframe *s)
{
	struct span span;
	uint32_t len = build(s, &span), l3 = superframe_l3(s);
	uint8_t first = mem[l3];

	for (uint32_t v = 0; v < 16; v++) {
		if (v == first >> 4)
			continue;
		mem[l3] = (uint8_t)(v << 4 | (first & 15));
		probe_about("%s, but the version is %u", base_name(s), v);
		probe_variants(mem, len, &span, true);
	}
	for (uint32_t words = 0; words < 16 && !s->ipv6; words++) {
		if (words >= 5 && 4 * words <= len - l3)
			continue;
		mem[l3] = (uint8_t)(0x40 | words);
		probe_about("%s, but the header's length is %u", base_name(s),
			    words);
		probe_variants(mem, len, &span, true);
	}
}

void group_disagreeing(void)
{
	static const uint32_t payloads[] = { 2, 3, 30, 600 };

	for (unsigned int n = 0; n < BASES; n++) {
		for (unsigned int i = 0; i < 4; i++) {
			struct superframe s = base(n, payloads[i]);

			ip_length_disagrees(&s);
			if (s.udp)
				udp_length_disagrees(&s);
			else
				tcp_offset_disagrees(&s);
			version_disagrees(&s);
		}
	}
}

/* ---- others ------------------------------------------------------------- */

/* Neither TCP nor UDP, with the sum of their pseudo-headers where those would
 * have it. */
static void other_protocols(const struct superframe *s)
{
	static const uint8_t protocols[] = { 0,	  1,   2,   4,	 33,  41, 47,
					     50,  51,  58,  59,	 89,  94, 97,
					     112, 132, 136, 139, 253, 255 };
	struct span span;
	uint32_t len = build(s, &span), l3 = superframe_l3(s);

	for (unsigned int i = 0; i < sizeof(protocols); i++) {
		uint8_t proto = protocols[i];

		build(s, &span);
		mem[l3 + (s->ipv6 ? 6 : 9)] = proto;
		if (!s->ipv6)
			ipv4_fix(mem, l3);
		for (uint32_t at = 2; at <= 16; at += 2) {
			if (span.start + at + 2 > len)
				break;
			span.field = span.start + at;
			span.pseudo = pseudo_sum(mem, l3, proto,
						 span.end - span.start);
			probe_about("protocol %u for %s, field at %u", proto,
				    base_name(s), at);
			probe_variants(mem, len, &span, true);
		}
	}
}

/* Ethertypes and lengths: a known unicast frame, whatever is in it. */
static void other_types(uint32_t len)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x0806, 0x8035,
					  0x8847, 0x8863, 0x8864, 0x88cc,
					  0x88f7, 0x8906, 0x88e5, 0x9100,
					  0x893f, 0x894f, 0x0600, 0xffff };
	struct superframe s = base(3, PAYLOAD_MAX);
	struct span span;

	build(&s, &span);
	for (unsigned int i = 0; i < sizeof(types) / sizeof(*types); i++) {
		store_be16(mem + 12, types[i]);
		probe_about("type %04x, %u bytes", types[i], len);
		probe_as_sent(mem, len, 0);
	}
	/* A length: LLC, a bridge's or IPX's. */
	if (len - 14 <= 1500) {
		store_be16(mem + 12, (uint16_t)(len - 14));
		memset(mem + 14, 0x42, 3);
		probe_about("LLC, %u bytes", len);
		probe_as_sent(mem, len, 0);
	}
}

/* ARP between the two, request and reply, padded or not. */
static void other_arp(void)
{
	struct superframe s = base(0, 100);
	struct span span;

	build(&s, &span);
	store_be16(mem + 12, 0x0806);
	store_be16(mem + 14, 1);
	store_be16(mem + 16, 0x0800);
	mem[18] = 6;
	mem[19] = 4;
	for (uint8_t op = 1; op <= 2; op++) {
		store_be16(mem + 20, op);
		for (uint32_t len = 42; len <= 64; len++) {
			probe_about("ARP %u, %u bytes", op, len);
			probe_as_sent(mem, len, 0);
		}
	}
}

void group_others(void)
{
	static const uint32_t payloads[] = { 0, 3, 24, 500 };

	for (unsigned int n = 0; n < BASES; n++) {
		for (unsigned int i = 0; i < 4; i++) {
			struct superframe s = base(n, payloads[i]);

			other_protocols(&s);
		}
	}
	/* Types before 18 bytes would be half a tag. */
	for (uint32_t len = 18; len <= 1514; len += len < 80 ? 1 : 41)
		other_types(len);
	other_arp();
}

/* ---- super-frames ------------------------------------------------------- */

static void gso(bool udp)
{
	static const uint16_t sizes[] = { 100, 536, 1200, 1400, 1448 };
	static const uint32_t lengths[] = { 1,	   99,	  101,	 1000, 1449,
					    2896,  3000,  4100,	 9000, 16000,
					    32000, 48000, 60000, 65400 };

	for (unsigned int i = 0; i < 4 * 5 * 14; i++) {
		struct superframe s =
			base(2 * (i & 1) + udp, lengths[i / 20 % 14]);
		uint16_t size = sizes[i / 4 % 5];

		s.tags = i >> 1 & 1;
		if (udp && s.payload > size * USO_SEGMENTS_MAX)
			continue;
		probe_about("super-frame: %s, segments of %u", base_name(&s),
			    size);
		probe_gso(&s, size);
		/* Which of one segment with options the kernel loses, as no
		 * guest sends them. */
		if (udp || s.payload <= size)
			continue;
		s.tcp_flags = 0x19;
		s.tcp_options = 12;
		s.ext = reader_is_plain ? 0 : 1;
		probe_gso(&s, size);
	}
}

void group_gso_tcp(void)
{
	gso(false);
}

void group_gso_udp(void)
{
	gso(true);
}
