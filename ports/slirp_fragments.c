#include "ports/slirp_fragments.h"

#include "ports/csum.h"
#include "ports/frame.h"
#include "ports/headers.h"

#include <net/ethernet.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>

/* Where in an IPv4 header (RFC 791 3.1). */
#define AT_LENGTH   2
#define AT_ID	    4
#define AT_OFFSET   6
#define AT_PROTOCOL 9
#define AT_CHECKSUM 10
#define AT_ADDRESS  12
#define ADDRESSES   8 /* bytes of both */

/* A datagram of which the beginning is there. */
struct datagram {
	uint32_t len; /* of the frame so far; 0: none */
	uint64_t since_ns;
	uint8_t frame[ETHER_HEADER_LEN + IP_MAXPACKET];
};

struct slirp_fragments {
	struct datagram d[SLIRP_FRAGMENTS_MAX];
};

/* Of a frame, as far as it says so itself. */
struct fragment {
	const uint8_t *ip;
	uint32_t header, payload; /* bytes */
	uint32_t offset;	  /* of the payload */
	bool last;
};

struct slirp_fragments *slirp_fragments_new(void)
{
	return calloc(1, sizeof(struct slirp_fragments));
}

void slirp_fragments_free(struct slirp_fragments *t)
{
	free(t);
}

/* What libslirp would take for a fragment. */
static bool is_fragment(const uint8_t *frame, size_t len)
{
	return len >= ETHER_HEADER_LEN + IPV4_HEADER_MIN &&
	       load_be16(frame + ETHER_HEADER_LEN - 2) == ETHERTYPE_IP &&
	       load_be16(frame + ETHER_HEADER_LEN + AT_OFFSET) & ~IP_DF;
}

/* Returns whether it is a sound one. */
static bool parse(const uint8_t *frame, size_t len, struct fragment *f)
{
	const uint8_t *ip = frame + ETHER_HEADER_LEN;
	uint32_t total = load_be16(ip + AT_LENGTH);
	uint16_t at = load_be16(ip + AT_OFFSET);

	f->ip = ip;
	f->header = (ip[0] & 0x0f) * 4u;
	if (ip[0] >> 4 != 4 || f->header < IPV4_HEADER_MIN ||
	    total <= f->header || total > len - ETHER_HEADER_LEN ||
	    at & IP_RF || csum_bytes(ip, f->header) != 0xffff)
		return false;
	f->payload = total - f->header;
	f->offset = (at & IP_OFFMASK) * 8u;
	f->last = !(at & IP_MF);
	return f->last || f->payload % 8 == 0;
}

static bool is_same(const struct datagram *d, const uint8_t *ip)
{
	const uint8_t *own = d->frame + ETHER_HEADER_LEN;

	return d->len && own[AT_PROTOCOL] == ip[AT_PROTOCOL] &&
	       !memcmp(own + AT_ID, ip + AT_ID, 2) &&
	       !memcmp(own + AT_ADDRESS, ip + AT_ADDRESS, ADDRESSES);
}

static struct datagram *find(struct slirp_fragments *t, const uint8_t *ip)
{
	for (unsigned int i = 0; i < SLIRP_FRAGMENTS_MAX; i++)
		if (is_same(&t->d[i], ip))
			return &t->d[i];
	return NULL;
}

static struct datagram *free_place(struct slirp_fragments *t)
{
	struct datagram *oldest = &t->d[0];

	for (unsigned int i = 0; i < SLIRP_FRAGMENTS_MAX; i++) {
		if (!t->d[i].len)
			return &t->d[i];
		if (t->d[i].since_ns < oldest->since_ns)
			oldest = &t->d[i];
	}
	return oldest;
}

static void begin(struct slirp_fragments *t, const uint8_t *frame,
		  const struct fragment *f, uint64_t now_ns)
{
	struct datagram *d = find(t, f->ip);

	if (!d)
		d = free_place(t);
	d->since_ns = now_ns;
	d->len = ETHER_HEADER_LEN + f->header + f->payload;
	memcpy(d->frame, frame, d->len);
}

static uint32_t header_of(const struct datagram *d)
{
	return (d->frame[ETHER_HEADER_LEN] & 0x0f) * 4u;
}

/* Returns whether it went on where the datagram has ended so far. */
static bool append(struct datagram *d, const struct fragment *f)
{
	uint32_t have = d->len - ETHER_HEADER_LEN - header_of(d);

	if (f->offset != have || d->len + f->payload > sizeof(d->frame))
		return false;
	memcpy(d->frame + d->len, f->ip + f->header, f->payload);
	d->len += f->payload;
	return true;
}

/* It is whole: say so in its header. */
static void finish(struct datagram *d)
{
	uint8_t *ip = d->frame + ETHER_HEADER_LEN;

	store_be16(ip + AT_LENGTH, (uint16_t)(d->len - ETHER_HEADER_LEN));
	store_be16(ip + AT_OFFSET, 0);
	store_be16(ip + AT_CHECKSUM, 0);
	store_be16(ip + AT_CHECKSUM, (uint16_t)~csum_bytes(ip, header_of(d)));
}

bool slirp_fragments_take(struct slirp_fragments *t, const uint8_t **frame,
			  size_t *len, uint64_t now_ns)
{
	struct datagram *d;
	struct fragment f;

	if (!is_fragment(*frame, *len))
		return true;
	if (!parse(*frame, *len, &f))
		return false;
	if (!f.offset) { /* and not the last one, or it were no fragment */
		begin(t, *frame, &f, now_ns);
		return false;
	}
	d = find(t, f.ip);
	if (!d)
		return false;
	if (now_ns - d->since_ns >= SLIRP_FRAGMENTS_NS || !append(d, &f)) {
		d->len = 0;
		return false;
	}
	if (!f.last)
		return false;
	finish(d);
	*frame = d->frame;
	*len = d->len;
	d->len = 0; /* its place is free with the next call */
	return true;
}
