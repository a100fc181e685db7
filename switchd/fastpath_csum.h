/*
 * fastpath_csum - frames that XDP may redirect, with their checksums complete
 *
 * A frame that XDP redirects loses what the guest's vnet header said of its
 * checksum. A partial one is recognised by its field, which then holds the
 * folded sum of the pseudo-header, and is completed here; a complete one that
 * happens to equal that is completed to the same value. (Where it is complete
 * and wrong, and equals that, it becomes right: the one case in 65 536 that
 * can't be told apart.)
 *
 * That goes for TCP. Inside of UDP there may be a tunnel's inner checksum that
 * is the partial one: so UDP is taken only where its own is partial, for a
 * frame has but one, and not to the ports of tunnels, where chance would cost
 * an inner checksum. Whatever isn't plain is left to TC, which keeps the
 * metadata.
 *
 * Included by fastpath.bpf.c only.
 */
#ifndef SWITCHD_FASTPATH_CSUM_H
#define SWITCHD_FASTPATH_CSUM_H

#define IPV4_PLAIN    0x45   /* version 4, no options */
#define IPV4_FRAGMENT 0x3fff /* MF and offset */
#define TCP_CHECK     16     /* offset of the field */
#define UDP_CHECK     6
#define ND_FIRST      133  /* RFC 4861: router solicitation */
#define ND_LAST	      137  /* ... to redirect */
#define SUM_MAX	      4096 /* bytes; a native frame lies in a page */

/* Of the kernel's structs only what is read here, found by its BTF. */
struct net_device {
	void *_rx;
	unsigned int num_rx_queues;
} __attribute__((preserve_access_index));

struct xdp_rxq_info {
	struct net_device *dev;
} __attribute__((preserve_access_index));

struct xdp_buff {
	struct xdp_rxq_info *rxq;
} __attribute__((preserve_access_index));

struct netdev_rx_queue {
	struct xdp_rxq_info xdp_rxq;
} __attribute__((preserve_access_index));

/*
 * Generic XDP has an skb, which keeps its partial checksum over a redirect: it
 * must not be completed here. A TAP comes that way where its writer may block.
 * The kernel tells a program nothing of this; but there the queue is one of
 * the device's own, and in native XDP it is the driver's. (ctx is a struct
 * xdp_buff when the program runs.)
 */
ALWAYS bool xdp_is_generic(struct xdp_md *ctx)
{
	struct xdp_rxq_info *rxq = BPF_CORE_READ((struct xdp_buff *)ctx, rxq);
	unsigned long queue = (unsigned long)rxq, first, size;
	__u32 ifindex = ctx->ingress_ifindex;
	struct fastpath_source *s = bpf_map_lookup_elem(&source, &ifindex);
	struct net_device *dev;

	/* The device's own queues are where they are as long as it lives: what
	 * was none of them once never is. */
	if (s && READ(s->native) == queue)
		return false;
	dev = BPF_CORE_READ(rxq, dev);
	first = (unsigned long)BPF_CORE_READ(dev, _rx);
	size = BPF_CORE_READ(dev, num_rx_queues) *
	       bpf_core_type_size(struct netdev_rx_queue);
	if (queue - first < size)
		return true;
	if (s)
		WRITE(s->native, queue);
	return false;
}

/* ---- Sums ---- */

ALWAYS __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* bpf_csum_diff() takes sizes that are known and up to 512: so by powers of
 * two, from the biggest one that is in `len` on. */
#define SUM_PART(n)                                                           \
	do {                                                                  \
		void *part_ = p + (len & (SUM_MAX - 1) & ~(2u * (n)-1));      \
		if (len & (n)) {                                              \
			if (part_ + (n) > end)                                \
				return false;                                 \
			*sum = (__u32)bpf_csum_diff(NULL, 0, part_, n, *sum); \
		}                                                             \
	} while (0)

/* Adds len bytes at p to *sum. Returns false where they aren't there. */
ALWAYS bool sum_bytes(void *p, void *end, __u32 len, __u32 *sum)
{
	__u32 tail = 0;
	__u8 *t;

	if (len >= SUM_MAX)
		return false;
	for (__u32 i = 0; i < SUM_MAX / 512; i++) {
		void *part = p + i * 512;

		if (len < (i + 1) * 512)
			break;
		if (part + 512 > end)
			return false;
		*sum = (__u32)bpf_csum_diff(NULL, 0, part, 512, *sum);
	}
	SUM_PART(256);
	SUM_PART(128);
	SUM_PART(64);
	SUM_PART(32);
	SUM_PART(16);
	SUM_PART(8);
	SUM_PART(4);
	if (!(len & 3))
		return true;
	t = p + (len & (SUM_MAX - 1) & ~3u);
	if ((void *)(t + 1) > end)
		return false;
	tail = t[0];
	if (len & 2) {
		if ((void *)(t + 2) > end)
			return false;
		tail |= (__u32)t[1] << 8;
		if (len & 1) {
			if ((void *)(t + 3) > end)
				return false;
			tail |= (__u32)t[2] << 16;
		}
	}
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	tail = __builtin_bswap32(tail);
#endif
	*sum = (__u32)bpf_csum_diff(NULL, 0, &tail, 4, *sum);
	return true;
}

/* ---- Layer 4 ---- */

/* A checksum's place, and the pseudo-header's sum. */
struct l4 {
	__u8 *start;
	__u32 len;
	__u8 protocol;
	__u16 pseudo; /* folded */
};

/* Complete what is partial. Returns whether XDP may redirect the frame. */
ALWAYS bool csum_complete(struct xdp_md *ctx, const struct l4 *l4, void *end,
			  __u16 *field)
{
	__u32 sum = 0;
	__u16 result;

	if (*field != l4->pseudo)
		return l4->protocol == IPPROTO_TCP;
	if (xdp_is_generic(ctx) || !sum_bytes(l4->start, end, l4->len, &sum))
		return false;
	result = ~sum_fold(sum);
	*field = result ? result : 0xffff;
	return true;
}

ALWAYS bool tunnel_port(__be16 port)
{
	return port == bpf_htons(4789) /* VXLAN, RFC 7348 */ ||
	       port == bpf_htons(8472) /* Linux's older one */ ||
	       port == bpf_htons(6081) /* Geneve, RFC 8926 */;
}

ALWAYS bool l4_ready(struct xdp_md *ctx, const struct l4 *l4, void *end)
{
	if (l4->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)l4->start;

		if ((void *)(tcp + 1) > end || tcp->doff < 5 ||
		    tcp->doff * 4u > l4->len)
			return false;
		return csum_complete(ctx, l4, end, (__u16 *)&tcp->check);
	}
	if (l4->protocol == IPPROTO_UDP) {
		struct udphdr *udp = (void *)l4->start;

		if ((void *)(udp + 1) > end || bpf_ntohs(udp->len) != l4->len ||
		    l4->len < sizeof(*udp) || tunnel_port(udp->dest))
			return false;
		return csum_complete(ctx, l4, end, (__u16 *)&udp->check);
	}
	return false;
}

ALWAYS bool ipv4_ready(struct xdp_md *ctx, void *l3, void *end)
{
	struct iphdr *ip = l3;
	struct l4 l4;
	__u32 total;

	if ((void *)(ip + 1) > end || *(__u8 *)l3 != IPV4_PLAIN ||
	    ip->frag_off & bpf_htons(IPV4_FRAGMENT))
		return false;
	total = bpf_ntohs(ip->tot_len);
	if (total < sizeof(*ip) || total > (__u32)(end - l3))
		return false;
	l4.start = (__u8 *)(ip + 1);
	l4.len = total - sizeof(*ip);
	l4.protocol = ip->protocol;
	l4.pseudo = sum_fold((__u64)ip->saddr + ip->daddr +
			     bpf_htons(ip->protocol) + bpf_htons(l4.len));
	return l4_ready(ctx, &l4, end);
}

ALWAYS bool ipv6_ready(struct xdp_md *ctx, void *l3, void *end)
{
	struct ipv6hdr *ip = l3;
	__u64 sum = 0;
	struct l4 l4;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return false;
	l4.start = (__u8 *)(ip + 1);
	l4.len = bpf_ntohs(ip->payload_len);
	if (l4.len > (__u32)(end - l3) - sizeof(*ip))
		return false;
	if (ip->nexthdr == IPPROTO_ICMPV6)
		return (void *)(l4.start + 1) <= end && *l4.start >= ND_FIRST &&
		       *l4.start <= ND_LAST;
	for (int i = 0; i < 4; i++)
		sum += (__u64)ip->saddr.in6_u.u6_addr32[i] +
		       ip->daddr.in6_u.u6_addr32[i];
	l4.protocol = ip->nexthdr;
	l4.pseudo = sum_fold(sum + bpf_htons(ip->nexthdr) + bpf_htons(l4.len));
	return l4_ready(ctx, &l4, end);
}

/* May XDP redirect this frame? Then its checksum is complete by now. type: of
 * what lies at l3. */
ALWAYS bool csum_ready(struct xdp_md *ctx, __be16 type, void *l3, void *end)
{
	if (type == bpf_htons(ETH_P_IP))
		return ipv4_ready(ctx, l3, end);
	if (type == bpf_htons(ETH_P_IPV6))
		return ipv6_ready(ctx, l3, end);
	return type == bpf_htons(ETH_P_ARP);
}

#endif
