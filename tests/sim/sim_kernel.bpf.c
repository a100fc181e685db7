/*
 * The kernel fast path's programs as BPF_PROG_TEST_RUN can run them
 *
 * The text is switchd's own, with some of the world around it replaced:
 *
 *  - A frame's tag lies in the bytes in a test run, while that of a device's is
 *    in the skb's metadata when TC sees it. So it is put there first.
 *  - What is sent to a device isn't, but is recorded, with its tag.
 *  - XDP gets a frame on a queue of the loopback device, as if it were generic.
 *    It is to be native here, where checksums are completed.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "tests/sim/sim_copy.h"

#undef bpf_core_type_size
#define bpf_core_type_size(type) 0 /* no queue is one of the device's own */

__u32 sim_copies;
struct sim_copy sim_copy[SIM_COPIES_MAX];
__u32 sim_xdp_key;

static __attribute__((noinline)) int record(struct __sk_buff *skb,
					    __u32 ifindex)
{
	__u32 i = sim_copies++, len = skb->len;
	struct sim_copy *c;

	if (i >= SIM_COPIES_MAX)
		return 0;
	c = &sim_copy[i];
	c->ifindex = ifindex;
	c->len = len;
	c->tag = skb->vlan_present ? __builtin_bswap16(skb->vlan_proto) << 16 |
					     (skb->vlan_tci & 0xffff)
				   : 0;
	if (len - 1 >= SIM_COPY_MAX)
		return 0;
	return (int)bpf_skb_load_bytes(skb, 0, c->data, len);
}

static inline long copy_sent(struct __sk_buff *skb, __u32 ifindex)
{
	record(skb, ifindex);
	return 0;
}

static inline int sent(struct __sk_buff *skb, __u32 ifindex)
{
	record(skb, ifindex);
	return 7; /* TC_ACT_REDIRECT */
}

#define bpf_clone_redirect(skb, ifindex, flags) copy_sent(skb, ifindex)
#define bpf_redirect(ifindex, flags)		sent(skb, ifindex)
#define bpf_redirect_map(map, key, flags) \
	(sim_xdp_key = (key), bpf_redirect_map(map, key, flags))

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
	return tag_into_metadata(skb) ? -1 : real_tc(skb);
}
