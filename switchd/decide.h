/*
 * decide - may this frame pass, in which VLAN, with or without a tag?
 *
 * The forwarding decision as pure functions on small plain data, so that the
 * pipeline and the BPF programs can be compiled from the same text. Nothing
 * here touches the frame, memory of ours or a library.
 *
 * The VLAN model is IEEE 802.1Q-2022's: a frame is classified to one VLAN on
 * ingress (clause 6.9), forwarded inside it, and tagged or untagged on egress
 * by the port it leaves through (clause 8.8.1).
 *
 * A *plain* port is one attached with no VLAN parameter at all. It carries
 * every VLAN with native VLAN 1, and between two plain ports a frame keeps
 * the tag it came with, priority tags and VID 1 included, as on a bridge that
 * knows nothing of VLANs.
 */
#ifndef SWITCHD_DECIDE_H
#define SWITCHD_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

enum decide_flag {
	DECIDE_ENABLED = 1 << 0,
	DECIDE_ACCESS = 1 << 1,	  /* one VLAN, untagged */
	DECIDE_PLAIN = 1 << 2,	  /* see above */
	DECIDE_UPLINK = 1 << 3,	  /* leads to other switches or networks */
	DECIDE_ISOLATED = 1 << 4, /* talks to uplinks only */
	DECIDE_LEARN = 1 << 5,
	DECIDE_FLOOD = 1 << 6,	/* gets unknown, multicast and broadcast */
	DECIDE_TARGET = 1 << 7, /* a mirror's: no traffic of its own */
};

struct decide_port {
	uint16_t flags;	       /* enum decide_flag */
	uint16_t native;       /* VID of untagged frames, 1..4094 */
	const uint64_t *vlans; /* bit per VID, 64 words; NULL: all */
};

/* How a copy leaves. */
enum decide_tag {
	DECIDE_TAG_KEEP, /* as it came */
	DECIDE_TAG_NONE, /* without */
	DECIDE_TAG_VID,	 /* with its VLAN's, priority kept */
};

/* Is a VID in a set of 4096 bits? (The mask is for BPF's verifier.) */
static inline bool decide_vlan_test(const uint64_t *vlans, unsigned int vid)
{
	return vlans[vid >> 6 & 63] >> (vid & 63) & 1;
}

static inline void decide_vlan_set(uint64_t *vlans, unsigned int vid)
{
	vlans[vid >> 6] |= 1ull << (vid & 63);
}

#define DECIDE_VID_NONE	    0
#define DECIDE_VID_MASK	    0x0fff
#define DECIDE_VID_RESERVED 0x0fff /* IEEE 802.1Q-2022 table 9-2 */

static inline bool decide_in_vlan(const struct decide_port *p, uint16_t vid)
{
	return !p->vlans || decide_vlan_test(p->vlans, vid);
}

/*
 * The VLAN of a frame that arrives on `in`: `tagged` with `tci`, or not.
 * Returns its VID, or DECIDE_VID_NONE where the port doesn't admit it.
 */
static inline uint16_t decide_vid(const struct decide_port *in, bool tagged,
				  uint16_t tci)
{
	uint16_t vid = tagged ? tci & DECIDE_VID_MASK : 0;

	if (vid == 0) /* untagged or priority-tagged */
		vid = in->native;
	else if ((in->flags & DECIDE_ACCESS) && vid != in->native)
		return DECIDE_VID_NONE;
	if (vid == DECIDE_VID_RESERVED || !decide_in_vlan(in, vid))
		return DECIDE_VID_NONE;
	return vid;
}

/* May frames pass from `in` to `out` at all (isolation)? */
static inline bool decide_pass(const struct decide_port *in,
			       const struct decide_port *out)
{
	return (!(in->flags & DECIDE_ISOLATED) ||
		(out->flags & DECIDE_UPLINK)) &&
	       (!(out->flags & DECIDE_ISOLATED) || (in->flags & DECIDE_UPLINK));
}

/* What becomes of a frame for an address that is behind one port. */
enum decide_verdict {
	DECIDE_FORWARD,
	DECIDE_HAIRPIN,	     /* it came from there */
	DECIDE_OUT_DISABLED, /* that port is disabled */
	DECIDE_OUT_VLAN,     /* ... isn't in the VLAN */
	DECIDE_APART,	     /* isolation */
	DECIDE_VERDICTS
};

/* Initialiser of an array [DECIDE_VERDICTS]: as what it counts (ports/drop.h).
 */
#define DECIDE_DROPS                                   \
	{                                              \
		[DECIDE_HAIRPIN] = DROP_HAIRPIN,       \
		[DECIDE_OUT_DISABLED] = DROP_DISABLED, \
		[DECIDE_OUT_VLAN] = DROP_VLAN_EGRESS,  \
		[DECIDE_APART] = DROP_ISOLATED,        \
	}

/* A frame of VLAN `vid` that came by `in`, for an address behind `out`; `same`:
 * the two are one port. */
static inline enum decide_verdict decide_unicast(const struct decide_port *in,
						 const struct decide_port *out,
						 bool same, uint16_t vid)
{
	if (same)
		return DECIDE_HAIRPIN;
	if (!(out->flags & DECIDE_ENABLED))
		return DECIDE_OUT_DISABLED;
	if (!decide_in_vlan(out, vid))
		return DECIDE_OUT_VLAN;
	return decide_pass(in, out) ? DECIDE_FORWARD : DECIDE_APART;
}

/* How a frame of VLAN `vid` that came by `in` leaves through `out`. */
static inline enum decide_tag decide_tag(const struct decide_port *in,
					 const struct decide_port *out,
					 uint16_t vid)
{
	if (in->flags & out->flags & DECIDE_PLAIN)
		return DECIDE_TAG_KEEP;
	if ((out->flags & DECIDE_ACCESS) || vid == out->native)
		return DECIDE_TAG_NONE;
	return DECIDE_TAG_VID;
}

#endif
