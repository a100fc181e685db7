/* The frames that holders exchange; what is read is checked to the last sum. */
#include "tests/bench/guest_frame.h"

#include "tests/bench/tool.h"

#include <arpa/inet.h>
#include <err.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#define ETH	  TOOL_VNET_LEN /* where the Ethernet header is */
#define IP	  (ETH + 14)
#define TCP	  (IP + 20)
#define TCP_SEQ	  (TCP + 4)
#define TCP_ACK	  (TCP + 8)
#define TCP_SUM	  (TCP + 16)
#define SUM_START (TCP - ETH)
#define SUM_FIELD (TCP_SUM - TCP)
#define SEGMENT	  1448u /* what fits into 1500 beside a time stamp */
#define SEGMENTS  45u	/* the most that fit into an IP packet */
#define STAMP_LEN 12u	/* TCP's time stamp and two no-operations */

const char *const guest_kind_name[] = { "small", "mtu", "gso" };

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Words are summed as they lie in memory; the folded sum is a field's. */
static uint16_t sum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

/* Four sums side by side, so that none waits for another. */
static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t sum[4] = { 0 };
	uint32_t w[4];

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		for (int i = 0; i < 4; i++)
			sum[i] += w[i];
	}
	memset(w, 0, sizeof(w));
	memcpy(w, p, len);
	for (int i = 0; i < 4; i++)
		sum[0] += w[i];
	return sum[0] + sum[1] + sum[2] + sum[3];
}

/* Of a packet whose TCP header and data have this many bytes. */
static uint64_t sum_pseudo(const uint8_t *bytes, size_t tcp_len)
{
	uint8_t rest[4] = { 0, 6 };

	put16(rest + 2, (uint32_t)tcp_len);
	return sum_bytes(bytes + IP + 12, 8) + sum_bytes(rest, sizeof(rest));
}

static void headers_put(struct guest_frame *f, uint8_t src, uint8_t dst,
			uint32_t tcp_header)
{
	uint8_t *b = f->bytes;
	uint16_t sum;

	memcpy(b + ETH, "\x52\x54\x00\xbe\x00", 5);
	b[ETH + 5] = dst;
	memcpy(b + ETH + 6, "\x52\x54\x00\xbe\x00", 5);
	b[ETH + 11] = src;
	put16(b + ETH + 12, 0x0800);
	b[IP] = 0x45;
	put16(b + IP + 2, f->len - IP);
	put16(b + IP + 6, 0x4000); /* not to be fragmented */
	b[IP + 8] = 64;
	b[IP + 9] = 6;
	put32(b + IP + 12, 0x0a630000u + src);
	put32(b + IP + 16, 0x0a630000u + dst);
	sum = (uint16_t)~sum_fold(sum_bytes(b + IP, 20));
	memcpy(b + IP + 10, &sum, 2);
	put16(b + TCP, 5001);
	put16(b + TCP + 2, 5001);
	b[TCP + 12] = (uint8_t)(tcp_header / 4 << 4);
	b[TCP + 13] = 0x10; /* ACK */
	put16(b + TCP + 14, 0xffff);
	if (tcp_header > 20)
		memcpy(b + TCP + 20, "\x01\x01\x08\x0a", 4);
	f->pseudo = sum_fold(sum_pseudo(b, f->len - TCP));
	memcpy(b + TCP_SUM, &f->pseudo, 2);
}

void guest_frame_make(struct guest_frame *f, enum guest_kind kind, uint8_t src,
		      uint8_t dst)
{
	static const uint32_t payload[] = { 6, 1460, SEGMENT * SEGMENTS };
	uint32_t tcp_header = kind == GUEST_GSO ? 20 + STAMP_LEN : 20;
	struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = SUM_START,
		.csum_offset = SUM_FIELD,
	};

	f->headers = TCP + tcp_header;
	f->len = f->headers + payload[kind];
	f->gso_size = kind == GUEST_GSO ? SEGMENT : 0;
	f->bytes = calloc(1, f->len);
	if (!f->bytes)
		err(1, "a frame");
	if (f->gso_size) {
		vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		vnet.gso_size = SEGMENT;
		vnet.hdr_len = (uint16_t)(f->headers - ETH);
	}
	memcpy(f->bytes, &vnet, sizeof(vnet));
	for (uint32_t i = f->headers; i < f->len; i++)
		f->bytes[i] = (uint8_t)(i * 7);
	headers_put(f, src, dst, tcp_header);
	guest_frame_number(f, 0);
}

void guest_frame_free(struct guest_frame *f)
{
	free(f->bytes);
	f->bytes = NULL;
}

void guest_frame_number(struct guest_frame *f, uint32_t number)
{
	put32(f->bytes + TCP_ACK, number);
	put32(f->bytes + f->len - 4, number);
}

/* The checksum is there and right. */
static int complete(const uint8_t *bytes, size_t len)
{
	return sum_fold(sum_pseudo(bytes, len - TCP) +
			sum_bytes(bytes + TCP, len - TCP)) == 0xffff;
}

/* Less than a super-frame, where one was expected. */
static enum guest_verdict check_segment(const struct guest_frame *f,
					const uint8_t *bytes, size_t len,
					uint32_t *number)
{
	struct virtio_net_hdr_v1 vnet;

	memcpy(&vnet, bytes, sizeof(vnet));
	if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || vnet.gso_type ||
	    len > f->headers + f->gso_size || !complete(bytes, len))
		return GUEST_WRONG;
	*number = get32(bytes + TCP_SEQ) ? UINT32_MAX : *number;
	return GUEST_CUT;
}

enum guest_verdict guest_frame_check(const struct guest_frame *f,
				     const uint8_t *bytes, size_t len,
				     uint32_t *number)
{
	struct virtio_net_hdr_v1 vnet;

	/* Addresses, type and addresses again: else it isn't ours at all. */
	if (len < f->headers || memcmp(bytes + ETH, f->bytes + ETH, 14) != 0 ||
	    memcmp(bytes + IP + 12, f->bytes + IP + 12, 12) != 0 ||
	    get16(bytes + IP + 2) != len - IP)
		return GUEST_STRANGE;
	*number = get32(bytes + TCP_ACK);
	if (f->gso_size && len < f->len)
		return check_segment(f, bytes, len, number);
	if (len != f->len || memcmp(bytes + IP, f->bytes + IP, 12) != 0 ||
	    get32(bytes + len - 4) != *number)
		return GUEST_WRONG;
	memcpy(&vnet, bytes, sizeof(vnet));
	if (vnet.gso_size != f->gso_size)
		return GUEST_WRONG;
	if (!(vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return complete(bytes, len) ? GUEST_COMPLETE : GUEST_WRONG;
	if (vnet.csum_start != SUM_START || vnet.csum_offset != SUM_FIELD ||
	    memcmp(bytes + TCP_SUM, &f->pseudo, 2) != 0)
		return GUEST_WRONG;
	return GUEST_PARTIAL;
}
