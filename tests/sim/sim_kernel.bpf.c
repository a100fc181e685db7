/*
 * The kernel fast path's programs as BPF_PROG_TEST_RUN can run them
 *
 * The text is switchd's own. Two things are different of a frame that a test
 * passes in:
 *
 *  - Its tag lies in the bytes, while that of a device's frame is in the skb's
 *    metadata when TC sees it. So it is put there first, and back afterwards,
 *    for a test sees bytes only.
 *  - XDP gets it on a queue of the loopback device, as if it were generic. It
 *    is to be native here, where checksums are completed.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#undef bpf_core_type_size
#define bpf_core_type_size(type) 0 /* no queue is one of the device's own */

#define switchd_tc(skb)               \
	sim_kernel_without_tags(skb); \
	static __always_inline int real_tc(skb)
#include "switchd/fastpath.bpf.c"
#undef switchd_tc

/* Returns less than 0 where that can't be. */
ALWAYS int tag_into_metadata(struct __sk_buff *skb)
{
	__u8 b[4];
	int r;

	if (skb->protocol != bpf_htons(ETH_P_8021Q) &&
	    skb->protocol != bpf_htons(ETH_P_8021AD))
		return 0;
	r = bpf_skb_load_bytes(skb, 12, b, sizeof(b));
	if (r == 0)
		r = bpf_skb_vlan_pop(skb);
	if (r == 0)
		r = bpf_skb_vlan_push(skb, bpf_htons(b[0] << 8 | b[1]),
				      b[2] << 8 | b[3]);
	return r;
}

SEC("tc")
int switchd_tc(struct __sk_buff *skb)
{
	int act;

	if (tag_into_metadata(skb))
		return -1;
	act = real_tc(skb);
	/* Another one there pushes it into the bytes. */
	if (act == TC_ACT_REDIRECT && skb->vlan_present &&
	    bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 0))
		return -1;
	return act;
}
