/*
 * The kernel fast path: what is known goes from device to device, the rest to
 * userspace. switchd/fastpath.h has the model.
 *
 * switchd_tc sits at TC ingress of every `netdev` port that has the fast path,
 * where the tag is in the skb's metadata, and sees every frame: what it doesn't
 * redirect it drops, for the host's stack is kept off these devices.
 *
 * switchd_xdp may sit in front of it on a TAP. It takes the small and plain
 * frames before there is an skb, and leaves all others to TC.
 */
#include <linux/bpf.h>

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fdb/layout.h"
#include "switchd/decide.h"
#include "switchd/fastpath.h"

#include "switchd/fastpath_bpf.h"
#include "switchd/fastpath_csum.h"

#define ENOMEM	  12
#define TAG_LEN	  4u
#define TYPE_MIN  0x600u /* IEEE 802.3-2022 3.2.6: below, it's a length */
#define MTU_SLACK (ETH_HLEN + TAG_LEN) /* as in the pipeline */
#define VID_MASK  0x0fff
#define PCP_MASK  0xf000

char LICENSE[] SEC("license") = "GPL";

_Static_assert(FASTPATH_DROPS == DECIDE_VERDICTS, "a counter a verdict");

ALWAYS __u64 mac_load(const __u8 *p)
{
	return (__u64)p[0] << 40 | (__u64)p[1] << 32 | (__u64)p[2] << 24 |
	       (__u64)p[3] << 16 | (__u64)p[4] << 8 | p[5];
}

/* The port of a device, and its record. */
ALWAYS struct fastpath_port *port_of(__u32 ifindex, __u32 *index)
{
	struct fastpath_source *s = bpf_map_lookup_elem(&source, &ifindex);

	if (!s)
		return NULL;
	*index = s->index;
	return bpf_map_lookup_elem(&ports, index);
}

ALWAYS __u16 tpid(void)
{
	__u32 zero = 0;
	struct fastpath_global *g = bpf_map_lookup_elem(&global, &zero);

	return g ? READ(g->tpid) : 0;
}

/* ---- TC ----------------------------------------------------------------- */

/* Up to userspace, with the number that "Order" in fastpath.h needs. */
ALWAYS int punt(struct __sk_buff *skb, const struct packet *p,
		const struct decision *d, __u32 segments)
{
	struct fastpath_port *in = d->in;
	struct fastpath_counters *c;
	__u32 number;

	if (READ(in->punted) - READ(in->completed) >= credits) {
		c = counters_of(d->in_index);
		if (c) {
			count_rx(c, p->len, segments);
			COUNT(c->rx_budget, 1);
		}
		return TC_ACT_SHOT;
	}
	number = __sync_fetch_and_add(&in->punted, 1) + 1;
	WRITE(in->pending[p->slot & (FASTPATH_PENDING - 1)], number);
	/* The tag in the metadata, if there is one, goes into the bytes. */
	if (bpf_skb_vlan_push(skb, bpf_htons(FASTPATH_TAG_PROTOCOL),
			      d->in_index))
		return TC_ACT_SHOT;
	return bpf_redirect(cpu_ifindex, 0);
}

/* Bytes of a super-frame's headers, Ethernet to layer 4, without a tag; 0
 * where that isn't TCP or UDP in plain IP. */
ALWAYS __u32 super_head(struct __sk_buff *skb)
{
	__u32 l4 = ETH_HLEN;
	__u8 b = 0, protocol = 0;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &b, 1))
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		l4 += (b & 15) * 4;
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1))
			return 0;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		l4 += sizeof(struct ipv6hdr);
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1))
			return 0;
	} else {
		return 0;
	}
	if (protocol == IPPROTO_UDP)
		return l4 + sizeof(struct udphdr);
	if (protocol != IPPROTO_TCP || bpf_skb_load_bytes(skb, l4 + 12, &b, 1))
		return 0;
	return l4 + (b >> 4) * 4;
}

/* How long a super-frame's segments are, and how many; else the frame's own
 * length and 1. Without a tag. */
ALWAYS __u32 segment_len(struct __sk_buff *skb, __u32 *segments)
{
	__u32 size = skb->gso_size, head;

	*segments = 1;
	if (!size)
		return skb->len;
	head = super_head(skb);
	if (!head || skb->len <= head)
		return 0;
	*segments = (skb->len - head + size - 1) / size;
	return head + size;
}

/* Does the frame leave with a tag, and is it another one than it has now? */
ALWAYS bool tag_leaves(const struct packet *p, const struct decision *d,
		       bool *changes)
{
	*changes = false;
	if (d->tag == DECIDE_TAG_KEEP)
		return p->tagged;
	if (d->tag == DECIDE_TAG_NONE) {
		*changes = p->tagged;
		return false;
	}
	*changes = !p->tagged || (p->tci & VID_MASK) != d->vid;
	return true;
}

/* Returns 0, or less where memory is short. */
ALWAYS int retag(struct __sk_buff *skb, const struct packet *p,
		 const struct decision *d, bool tag)
{
	__u16 pcp = p->tagged ? p->tci & PCP_MASK : 0;
	int r = p->tagged ? bpf_skb_vlan_pop(skb) : 0;

	if (r || !tag)
		return r;
	return bpf_skb_vlan_push(skb, bpf_htons(p->tpid), pcp | d->vid);
}

/* segment: bytes of the frame or of its segments, without a tag. */
ALWAYS int tc_forward(struct __sk_buff *skb, const struct packet *p,
		      const struct decision *d, __u32 segment, __u32 segments)
{
	struct fastpath_counters *in = counters_of(d->in_index);
	struct fastpath_counters *out = counters_of(d->out_index);
	__u32 *ifindex = bpf_map_lookup_elem(&target, &d->out_index);
	bool changes, tag = tag_leaves(p, d, &changes);
	__u32 tag_len = tag ? TAG_LEN : 0, len = skb->len + tag_len;

	if (!in || !out || !ifindex)
		return TC_ACT_SHOT;
	count_rx(in, p->len, segments);
	COUNT(in->rx_forwarded, 1);
	if (skb->gso_size)
		COUNT(in->super, 1);
	if (d->forced)
		COUNT(in->forced, 1);
	if (segment + tag_len > READ(d->out->mtu) + MTU_SLACK) {
		COUNT(out->tx_copies, 1);
		COUNT(out->tx_drop_mtu, 1);
		return TC_ACT_SHOT;
	}
	if (changes && retag(skb, p, d, tag)) {
		COUNT(out->tx_copies, 1);
		COUNT(out->tx_drop_memory, 1);
		return TC_ACT_SHOT;
	}
	count_tx(out, len, segments);
	return bpf_redirect(READ(*ifindex), 0);
}

/* ---- Flooding ---- */

/* One flood under way: all copies are planned before the first one is sent, for
 * the configuration may change meanwhile. */
struct flood {
	struct __sk_buff *skb;
	const struct packet *p;
	struct decision *d;
	struct decide_port in;
	__u32 segment, segments;
	__u32 plan;	  /* where this CPU's begins */
	bool asis, other; /* there are copies with its tag, or with another */
	bool changed;	  /* the tag has been, for the others */
};

/* Is there a copy for port d->out_index, and how does it leave? */
ALWAYS bool flood_takes(struct flood *f, struct fastpath_copy *c)
{
	struct decision *d = f->d;
	struct decide_port out;
	bool changes, tag;
	__u32 *ifindex;

	d->out = bpf_map_lookup_elem(&ports, &d->out_index);
	if (!d->out || d->out_index == d->in_index ||
	    READ(d->out->state) != FASTPATH_ON)
		return false;
	decide_port_of(d->out, d->out_index, &out);
	if (!(out.flags & DECIDE_FLOOD) || !decide_in_vlan(&out, d->vid) ||
	    !decide_pass(&f->in, &out))
		return false;
	d->tag = decide_tag(&f->in, &out, d->vid);
	tag = tag_leaves(f->p, d, &changes);
	ifindex = bpf_map_lookup_elem(&target, &d->out_index);
	c->index = d->out_index;
	c->ifindex = ifindex ? READ(*ifindex) : 0;
	c->tag_len = tag ? TAG_LEN : 0;
	c->changes = changes;
	c->fits = f->segment + c->tag_len <= READ(d->out->mtu) + MTU_SLACK;
	return true;
}

static long flood_plan(__u32 i, void *ctx)
{
	struct flood *f = ctx;
	__u32 n = f->d->flood.first + i, at = f->plan + i;
	__u64 *index = bpf_map_lookup_elem(&members, &n);
	struct fastpath_copy *c = bpf_map_lookup_elem(&plan, &at);

	if (!index || !c)
		return 1; /* can't be: there is room for every set */
	f->d->out_index = READ(*index);
	c->takes = flood_takes(f, c);
	f->asis |= c->takes && !c->changes;
	f->other |= c->takes && c->changes;
	return 0;
}

/* What became of a copy: 0, or as bpf_clone_redirect() says it, or this. */
#define COPY_TOO_LONG 1000

/* By itself, so that the verifier looks at it once. */
__noinline int flood_count(__u32 index, __u32 len, __u32 segments, int what)
{
	struct fastpath_counters *c = counters_of(index);

	if (!c)
		return 0;
	if (!what) {
		count_tx(c, len, segments);
		return 0;
	}
	COUNT(c->tx_copies, 1);
	if (what == COPY_TOO_LONG)
		COUNT(c->tx_drop_mtu, 1);
	else if (what == -ENOMEM)
		COUNT(c->tx_drop_memory, 1);
	else
		COUNT(c->tx_drop_full, 1);
	return 0;
}

static long flood_send(__u32 i, void *ctx)
{
	struct flood *f = ctx;
	__u32 at = f->plan + i;
	struct fastpath_copy *c = bpf_map_lookup_elem(&plan, &at);
	int r = COPY_TOO_LONG;

	if (!c || !c->takes || c->changes != f->changed)
		return 0;
	if (c->fits)
		r = bpf_clone_redirect(f->skb, c->ifindex, 0);
	flood_count(c->index, f->skb->len + c->tag_len, f->segments, r);
	return 0;
}

/* First to the ports that take the frame as it came, then to the others: these
 * take it all the same way, with a tag or without. (A priority tag could leave
 * in three ways: userspace does that, and says why where nobody takes it.) */
ALWAYS int tc_flood(struct __sk_buff *skb, const struct packet *p,
		    struct decision *d, __u32 segment, __u32 segments)
{
	struct flood f = { .skb = skb,
			   .p = p,
			   .d = d,
			   .segment = segment,
			   .segments = segments,
			   .plan = bpf_get_smp_processor_id() *
				   FASTPATH_FLOOD_MAX };
	struct fastpath_counters *in = counters_of(d->in_index);

	if (!in || d->flood.n > FASTPATH_FLOOD_MAX ||
	    (p->tagged && !(p->tci & VID_MASK)))
		return punt(skb, p, d, segments);
	decide_port_of(d->in, d->in_index, &f.in);
	bpf_loop(d->flood.n, flood_plan, &f, 0);
	barrier_reads(d->in);
	if ((!f.asis && !f.other) || READ(d->g->seq) != d->seq)
		return punt(skb, p, d, segments);
	if (f.asis)
		bpf_loop(d->flood.n, flood_send, &f, 0);
	f.changed = true;
	if (f.other && !retag(skb, p, d, !p->tagged))
		bpf_loop(d->flood.n, flood_send, &f, 0);
	count_rx(in, p->len, segments);
	COUNT(in->rx_forwarded, 1);
	if (d->forced)
		COUNT(in->forced, 1);
	return TC_ACT_SHOT;
}

ALWAYS int tc_drop(const struct decision *d, __u32 len, __u32 segments)
{
	struct fastpath_counters *c = counters_of(d->in_index);

	if (c) {
		count_rx(c, len, segments);
		COUNT(c->rx_drop[d->verdict & 7], 1);
	}
	return TC_ACT_SHOT;
}

/* The Ethernet header and the tag, where this is a frame for the kernel. */
ALWAYS bool tc_parse(struct __sk_buff *skb, struct packet *p)
{
	__u8 *data = (void *)(long)skb->data;
	__u16 type;

	if ((void *)(data + ETH_HLEN) > (void *)(long)skb->data_end)
		return false;
	p->tpid = tpid();
	p->dst = mac_load(data);
	p->src = mac_load(data + 6);
	p->slot = pending_slot(p->dst);
	type = data[12] << 8 | data[13];
	if (type < TYPE_MIN || type == ETH_P_8021Q || type == ETH_P_8021AD)
		return false;
	if (!p->tagged)
		return true;
	p->tci = skb->vlan_tci;
	return bpf_ntohs(skb->vlan_proto) == p->tpid;
}

SEC("tc")
int switchd_tc(struct __sk_buff *skb)
{
	struct packet p = { .tagged = skb->vlan_present };
	struct decision d = {};
	enum action act = ACT_PUNT;
	__u32 segment, segments;

	d.in = port_of(skb->ifindex, &d.in_index);
	if (!d.in || READ(d.in->state) == FASTPATH_AWAY)
		return TC_ACT_SHOT;
	p.len = skb->len + (p.tagged ? TAG_LEN : 0);
	segment = segment_len(skb, &segments);
	/* In this order: what is punted must be known by its destination. */
	if (tc_parse(skb, &p) && segment)
		act = decide(&p, &d);
	if (act == ACT_FORWARD)
		return tc_forward(skb, &p, &d, segment, segments);
	if (act == ACT_FLOOD)
		return tc_flood(skb, &p, &d, segment, segments);
	if (act == ACT_PUNT)
		return punt(skb, &p, &d, segments);
	return tc_drop(&d, p.len, segments);
}

/* ---- XDP ---------------------------------------------------------------- */

/* The Ethernet header and the tag; *type and the result are of what follows.
 * NULL where TC has to look. */
ALWAYS void *xdp_parse(struct xdp_md *ctx, struct packet *p, __be16 *type)
{
	__u8 *data = (void *)(long)ctx->data,
	     *end = (void *)(long)ctx->data_end;
	__u16 inner;

	if (data + ETH_HLEN + TAG_LEN > end)
		return NULL;
	p->len = end - data;
	p->tpid = tpid();
	p->dst = mac_load(data);
	p->src = mac_load(data + 6);
	p->slot = pending_slot(p->dst);
	inner = data[12] << 8 | data[13];
	p->tagged = inner == p->tpid;
	if (p->tagged) {
		p->tci = data[14] << 8 | data[15];
		inner = data[16] << 8 | data[17];
	}
	if (inner == ETH_P_8021Q || inner == ETH_P_8021AD)
		return NULL;
	*type = bpf_htons(inner);
	return data + ETH_HLEN + (p->tagged ? TAG_LEN : 0);
}

SEC("xdp")
int switchd_xdp(struct xdp_md *ctx)
{
	struct fastpath_counters *in, *out;
	struct decision d = {};
	struct packet p = {};
	__be16 type = 0;
	bool changes;
	void *l3;

	d.in = port_of(ctx->ingress_ifindex, &d.in_index);
	l3 = d.in ? xdp_parse(ctx, &p, &type) : NULL;
	if (!l3 || decide(&p, &d) != ACT_FORWARD)
		return XDP_PASS;
	tag_leaves(&p, &d, &changes);
	if (changes || p.len > READ(d.out->mtu) + MTU_SLACK ||
	    !bpf_map_lookup_elem(&devices, &d.out_index))
		return XDP_PASS;
	in = counters_of(d.in_index);
	out = counters_of(d.out_index);
	/* The last thing, for TC would take it for partial still. */
	if (!in || !out ||
	    !csum_ready(ctx, type, l3, (void *)(long)ctx->data_end))
		return XDP_PASS;
	count_rx(in, p.len, 1);
	COUNT(in->rx_forwarded, 1);
	COUNT(in->xdp, 1);
	if (d.forced)
		COUNT(in->forced, 1);
	count_tx(out, p.len, 1);
	return bpf_redirect_map(&devices, d.out_index, XDP_PASS);
}
