#include "ports/pcapng.h"

#include <string.h>

/* What comes before options or data, trailing length included. */
#define SECTION_MIN    28
#define INTERFACE_MIN  20
#define PACKET_MIN     32
#define CLASSIC_HEADER 24
#define CLASSIC_PACKET 16

#define BLOCK_SECTION	0x0a0d0d0a
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET	6

#define SECTION_MAGIC	  0x1a2b3c4d
#define SECTION_VERSION	  1 /* major; host order, so minor 0 lies behind */
#define OPT_END		  0
#define OPT_SHB_USERAPPL  4
#define OPT_IF_NAME	  2
#define OPT_IF_TSRESOL	  9
#define OPT_EPB_FLAGS	  2
#define FLAGS_INBOUND	  1 /* epb_flags, bits 0 and 1 */
#define FLAGS_OUTBOUND	  2
#define TSRESOL_NS	  9 /* 10^-9 s */
#define CLASSIC_MAGIC_US  0xa1b2c3d4
#define CLASSIC_MAGIC_NS  0xa1b23c4d
#define CLASSIC_SNAPLEN	  262144 /* "no limit": what libpcap and tcpdump say */
#define LINKTYPE_ETHERNET 1

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

/* `n` bytes and zeros up to the next multiple of four. */
static uint8_t *put_padded(uint8_t *p, const void *from, uint32_t n)
{
	uint32_t pad = -n & 3;

	memcpy(p, from, n);
	memset(p + n, 0, pad);
	return p + n + pad;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *value,
			   uint16_t len)
{
	p = put16(p, code);
	p = put16(p, len);
	return put_padded(p, value, len);
}

/* Write the length into both ends of the block that begins at `to`. */
static uint32_t block_end(uint8_t *to, uint8_t *p)
{
	uint32_t len = (uint32_t)(p - to) + 4;

	put32(to + 4, len);
	put32(p, len);
	return len;
}

uint32_t pcapng_section(uint8_t *to)
{
	static const char app[] = "switchd";
	uint8_t *p = put32(to, BLOCK_SECTION);

	p = put32(p, 0);
	p = put32(p, SECTION_MAGIC);
	p = put16(p, SECTION_VERSION);
	p = put16(p, 0);
	/* Length of the section, 64 bits: not known. */
	p = put32(p, UINT32_MAX);
	p = put32(p, UINT32_MAX);
	p = put_option(p, OPT_SHB_USERAPPL, app, sizeof(app) - 1);
	p = put32(p, OPT_END);
	return block_end(to, p);
}

uint32_t pcapng_interface(uint8_t *to, const char *name, uint32_t snaplen)
{
	static const uint8_t tsresol = TSRESOL_NS;
	uint16_t len = (uint16_t)strnlen(name, PCAPNG_NAME_MAX);
	uint8_t *p = put32(to, BLOCK_INTERFACE);

	p = put32(p, 0);
	p = put16(p, LINKTYPE_ETHERNET);
	p = put16(p, 0);
	p = put32(p, snaplen);
	p = put_option(p, OPT_IF_NAME, name, len);
	p = put_option(p, OPT_IF_TSRESOL, &tsresol, sizeof(tsresol));
	p = put32(p, OPT_END);
	return block_end(to, p);
}

uint32_t pcapng_packet(uint8_t *to, const struct pcapng_packet *pkt)
{
	uint8_t *p = put32(to, BLOCK_PACKET);

	p = put32(p, 0);
	p = put32(p, pkt->interface);
	p = put32(p, (uint32_t)(pkt->ns >> 32));
	p = put32(p, (uint32_t)pkt->ns);
	p = put32(p, pkt->caplen);
	p = put32(p, pkt->len);
	p = put_padded(p, pkt->data, pkt->caplen);
	if (pkt->dir != FRAME_DIR_NONE) {
		uint32_t flags = pkt->dir == FRAME_DIR_IN ? FLAGS_INBOUND
							  : FLAGS_OUTBOUND;

		p = put_option(p, OPT_EPB_FLAGS, &flags, sizeof(flags));
		p = put32(p, OPT_END);
	}
	return block_end(to, p);
}

uint32_t pcapng_classic_header(uint8_t *to, uint32_t snaplen)
{
	uint8_t *p = put32(to, CLASSIC_MAGIC_NS);

	p = put16(p, 2); /* version 2.4 */
	p = put16(p, 4);
	p = put32(p, 0); /* reserved */
	p = put32(p, 0);
	p = put32(p, snaplen ? snaplen : CLASSIC_SNAPLEN);
	p = put32(p, LINKTYPE_ETHERNET);
	return (uint32_t)(p - to);
}

uint32_t pcapng_classic_packet(uint8_t *to, const struct pcapng_packet *pkt)
{
	uint8_t *p = put32(to, (uint32_t)(pkt->ns / 1000000000));

	p = put32(p, (uint32_t)(pkt->ns % 1000000000));
	p = put32(p, pkt->caplen);
	p = put32(p, pkt->len);
	memcpy(p, pkt->data, pkt->caplen);
	return (uint32_t)(p - to) + pkt->caplen;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Length of the block at p, and what it says; 0: it's none of ours. */
static uint32_t walk_block(struct pcapng_walk *w, const uint8_t *p, uint32_t n)
{
	uint32_t type, len;

	if (n < INTERFACE_MIN)
		return 0;
	type = get32(p);
	len = get32(p + 4);
	if (len < INTERFACE_MIN || len % 4 || len > n ||
	    get32(p + len - 4) != len || (!w->begun && type != BLOCK_SECTION))
		return 0;
	switch (type) {
	case BLOCK_SECTION:
		if (len < SECTION_MIN || get32(p + 8) != SECTION_MAGIC)
			return 0;
		w->begun = true;
		w->interfaces = 0;
		return len;
	case BLOCK_INTERFACE:
		w->interfaces++;
		return len;
	case BLOCK_PACKET:
		if (len < PACKET_MIN || get32(p + 8) >= w->interfaces ||
		    get32(p + 20) > len - PACKET_MIN)
			return 0;
		w->packets = true;
		return len;
	}
	return 0;
}

static uint32_t walk_classic(struct pcapng_walk *w, const uint8_t *p,
			     uint32_t n)
{
	uint32_t caplen, len;

	if (!w->begun) {
		if (n < CLASSIC_HEADER || get32(p) != CLASSIC_MAGIC_NS ||
		    get32(p + 20) != LINKTYPE_ETHERNET)
			return 0;
		w->begun = true;
		return CLASSIC_HEADER;
	}
	if (n < CLASSIC_PACKET)
		return 0;
	caplen = get32(p + 8);
	len = get32(p + 12);
	/* No frame is empty, so that zeros are no packets. */
	if (get32(p + 4) >= 1000000000 || !len || len > FRAME_LEN_MAX ||
	    caplen > len || caplen > n - CLASSIC_PACKET)
		return 0;
	w->packets = true;
	return CLASSIC_PACKET + caplen;
}

uint32_t pcapng_walk_on(struct pcapng_walk *w, const uint8_t *p, uint32_t n)
{
	uint32_t done = 0, len;

	do {
		len = w->classic ? walk_classic(w, p + done, n - done)
				 : walk_block(w, p + done, n - done);
		done += len;
	} while (len);
	return done;
}

bool pcapng_is_magic(const uint8_t magic[4])
{
	uint32_t m;

	memcpy(&m, magic, sizeof(m));
	switch (m) {
	case BLOCK_SECTION: /* reads the same in both orders */
	case CLASSIC_MAGIC_NS:
	case CLASSIC_MAGIC_US:
		return true;
	}
	m = __builtin_bswap32(m);
	return m == CLASSIC_MAGIC_NS || m == CLASSIC_MAGIC_US;
}
