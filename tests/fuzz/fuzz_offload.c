/*
 * fuzz_offload - a vnet header and a frame, both a guest's
 *
 * Input: struct virtio_net_hdr_v1, one byte that says how much of the rest is
 * a payload segment, the frame. What offload_check() lets pass is tagged,
 * completed or segmented, and what comes out must hold together.
 */
#include "ports/offload.h"

#include "ports/csum.h"
#include "ports/headers.h"

#include <net/ethernet.h>
#include <stdlib.h>

#define OUT_MAX	   8
#define CALLS_MAX  64 /* a time limit, not one of the code */
#define ARENA_SIZE (OUT_MAX * (FRAME_HEADROOM + 2048))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t arena_mem[ARENA_SIZE + FRAME_SLOT];

/* Segments are whole, have no work left, are never longer than the egress
 * check was told, and their IPv4 header checksum is right. */
static void check_segment(const struct frame *f, const struct frame *o)
{
	struct headers h;

	headers_parse(o->data, o->len, &h);
	if (frame_has_offload(o) || o->nsegs || o->head_len != o->len || !h.l4)
		abort();
	if (offload_wire_mtu(o) > offload_wire_mtu(f))
		abort();
	/* RFC 791 3.1: no fragment reaches beyond the longest datagram. */
	if (h.ethertype == ETHERTYPE_IP &&
	    (load_be16(o->data + h.l3 + 6) & 0x1fff) * 8 + o->len - h.l3 >
		    65535)
		abort();
	if (h.ethertype == ETHERTYPE_IP &&
	    csum_bytes(o->data + h.l3, h.l4 - h.l3) != 0xffff)
		abort();
}

static void segment(const struct frame *f)
{
	struct frame_arena a = { arena_mem, sizeof(arena_mem), 0 };
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame out[OUT_MAX];
	uint32_t off = 0, made, seen = 0;
	unsigned int calls = 0;

	do {
		a.used = 0;
		made = offload_segment(f, out, OUT_MAX, &a, &off, &why);
		for (uint32_t i = 0; i < made; i++)
			check_segment(f, &out[i]);
		seen += made;
	} while (made && ++calls < CALLS_MAX);
	if (why == DROP_GSO) /* passed the check: only UFO over IPv6 is left */
		return;
	if (why != DROP_REASON_COUNT || seen > offload_segments(f))
		abort();
	if (calls < CALLS_MAX && seen != offload_segments(f))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum drop_reason why = DROP_REASON_COUNT;
	uint32_t len, head;
	struct iovec seg;
	struct frame f;
	uint8_t *mem;

	if (size < ETHER_VNET_LEN + 1 ||
	    size - ETHER_VNET_LEN - 1 > FRAME_LEN_MAX)
		return 0;
	len = (uint32_t)(size - ETHER_VNET_LEN - 1);
	head = len - (uint32_t)((uint64_t)len * data[ETHER_VNET_LEN] / 256);
	mem = malloc(FRAME_HEADROOM + head);
	if (!mem)
		return 0;
	frame_init(&f, mem + FRAME_HEADROOM, head);
	memcpy(&f.vnet, data, ETHER_VNET_LEN);
	memcpy(f.data, data + ETHER_VNET_LEN + 1, head);
	f.len = len;
	if (len > head) {
		seg.iov_base =
			(uint8_t *)(uintptr_t)data + ETHER_VNET_LEN + 1 + head;
		seg.iov_len = len - head;
		f.segs = &seg;
		f.nsegs = 1;
	}
	if (!frame_has_offload(&f) || !offload_check(&f, &why)) {
		free(mem);
		return 0;
	}
	if (size & 1)
		frame_vlan_push(&f, 0x8100, 10);
	if (f.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		offload_complete_csum(&f);
	else
		segment(&f);
	free(mem);
	return 0;
}
