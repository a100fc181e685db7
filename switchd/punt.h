/*
 * punt - frames that the kernel fast path has sent up by the CPU port
 *
 * Each has a tag in front that says by which port it came (fastpath.h). This
 * takes the tag off; what is under it is the frame as it arrived.
 *
 * Threads: the worker that has the CPU port.
 */
#ifndef SWITCHD_PUNT_H
#define SWITCHD_PUNT_H

#include "ports/frame.h"
#include "switchd/fastpath.h"

/* The index of the port that a frame came by, and its tag is off; or
 * FASTPATH_NO_PORT: it is none of the programs' (the host's own stack may send
 * by the device). */
static inline uint32_t punt_take(struct frame *f)
{
	uint16_t head = f->vnet.hdr_len;
	uint32_t index;

	if (f->head_len < ETHER_HEADER_LEN + ETHER_TAG_LEN ||
	    load_be16(f->data + 12) != FASTPATH_TAG_PROTOCOL)
		return FASTPATH_NO_PORT;
	index = load_be16(f->data + 14);
	frame_vlan_pop(f);
	/* csum_start counts the tag that the kernel puts in as it hands the
	 * frame out; hdr_len doesn't. */
	f->vnet.hdr_len = head;
	return index;
}

#endif
