/*
 * The programs of the kernel fast path: see fastpath.h.
 *
 * This one forwards nothing: it holds the place of those that do.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;

#include "switchd/fastpath.h"

#include <bpf/bpf_helpers.h>

const volatile __u32 cpu_ifindex = 0;
const volatile __u32 ports_max = 0;
const volatile __u32 cpus = 0;
const volatile __u32 credits = 0;

#define MAP(name, map_type, key_type, value_type, flags) \
	struct {                                         \
		__uint(type, map_type);                  \
		__uint(max_entries, 1);                  \
		__uint(map_flags, flags);                \
		__type(key, key_type);                   \
		__type(value, value_type);               \
	} name SEC(".maps")

struct element {
	uint8_t bytes[FASTPATH_FDB_ELEMENT];
};

MAP(fdb, BPF_MAP_TYPE_ARRAY, uint32_t, struct element, BPF_F_MMAPABLE);
MAP(global, BPF_MAP_TYPE_ARRAY, uint32_t, struct fastpath_global,
    BPF_F_MMAPABLE);
MAP(ports, BPF_MAP_TYPE_ARRAY, uint32_t, struct fastpath_port, BPF_F_MMAPABLE);
MAP(vlans, BPF_MAP_TYPE_ARRAY, uint32_t, struct fastpath_vlans, BPF_F_MMAPABLE);
MAP(counters, BPF_MAP_TYPE_ARRAY, uint32_t, struct fastpath_counters,
    BPF_F_MMAPABLE);
MAP(source, BPF_MAP_TYPE_HASH, uint32_t, struct fastpath_source, 0);
MAP(target, BPF_MAP_TYPE_ARRAY, uint32_t, uint32_t, 0);
MAP(devices, BPF_MAP_TYPE_DEVMAP, uint32_t, uint32_t, 0);

SEC("tc")
int switchd_tc(struct __sk_buff *skb)
{
	uint32_t zero = 0, ifindex = skb->ifindex, index;
	struct fastpath_source *from = bpf_map_lookup_elem(&source, &ifindex);
	struct fastpath_counters *count;
	struct fastpath_global *all = bpf_map_lookup_elem(&global, &zero);

	if (!from || !all || !all->on || !cpu_ifindex || !credits)
		return TC_ACT_SHOT;
	index = from->index;
	if (index >= ports_max || bpf_get_smp_processor_id() >= cpus ||
	    !bpf_map_lookup_elem(&ports, &index) ||
	    !bpf_map_lookup_elem(&vlans, &index) ||
	    !bpf_map_lookup_elem(&target, &index) ||
	    !bpf_map_lookup_elem(&fdb, &zero))
		return TC_ACT_SHOT;
	index += bpf_get_smp_processor_id() * ports_max;
	count = bpf_map_lookup_elem(&counters, &index);
	if (count)
		count->rx_frames++;
	return TC_ACT_SHOT;
}

SEC("xdp")
int switchd_xdp(struct xdp_md *ctx)
{
	uint32_t zero = 0;

	(void)ctx;
	if (bpf_map_lookup_elem(&devices, &zero))
		return XDP_PASS;
	return XDP_PASS;
}

char gpl[] SEC("license") = "GPL";
