/*
 * fastpath_bpf - what both BPF programs do: maps, FDB, decision, counting
 *
 * Included by fastpath.bpf.c only. switchd/fastpath.h has the model. The
 * decision itself is decide.h's, as in the pipeline; what isn't a plain case
 * of it is left to userspace.
 *
 * On x86 loads aren't reordered with loads, so that the looks at a slot and at
 * global.seq need no more than the compiler's obedience (READ). Elsewhere
 * `weak` is set, and an atomic operation between them is a full barrier (BPF
 * has no other before Linux 6.15).
 */
#ifndef SWITCHD_FASTPATH_BPF_H
#define SWITCHD_FASTPATH_BPF_H

#define READ(x)	    (*(const volatile typeof(x) *)&(x))
#define WRITE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define ALWAYS	    static __always_inline

const volatile __u32 cpu_ifindex; /* of the CPU port */
const volatile __u32 ports_max;
const volatile __u32 credits = FASTPATH_CREDITS;
const volatile __u32 weak;

/* Sizes: whoever loads the programs sets those that are 1 here. */
#define MAP(name_, type_, key_, value_, flags_)     \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_##type_); \
		__uint(map_flags, flags_);          \
		__uint(max_entries, 1);             \
		__type(key, key_);                  \
		__type(value, value_);              \
	} name_ SEC(".maps")

MAP(fdb, ARRAY, __u32, struct fdb_bucket, BPF_F_MMAPABLE);
MAP(global, ARRAY, __u32, struct fastpath_global, BPF_F_MMAPABLE);
MAP(ports, ARRAY, __u32, struct fastpath_port, BPF_F_MMAPABLE);
MAP(vlans, ARRAY, __u32, struct fastpath_vlans, BPF_F_MMAPABLE);
MAP(counters, ARRAY, __u32, struct fastpath_counters, BPF_F_MMAPABLE);
MAP(floods, ARRAY, __u32, struct fastpath_flood, BPF_F_MMAPABLE);
MAP(members, ARRAY, __u32, __u64, BPF_F_MMAPABLE); /* port indexes */
MAP(hashes, ARRAY, __u32, struct fastpath_hash, 0);
MAP(plan, ARRAY, __u32, struct fastpath_copy, 0);
MAP(source, HASH, __u32, struct fastpath_source, 0);
MAP(target, ARRAY, __u32, __u32, 0);
MAP(devices, DEVMAP, __u32, __u32, 0);

/* What is known of a frame before the decision. */
struct packet {
	__u64 dst, src;
	__u32 len;  /* bytes as in the pipeline: with the tag */
	__u32 slot; /* of its destination in pending[] */
	__u16 tpid; /* by which it was parsed */
	__u16 tci;
	bool tagged;
};

/* ... and after it. */
struct decision {
	const struct fastpath_global *g;
	__u32 seq; /* of the configuration that it is by */
	struct fastpath_port *in, *out;
	__u32 in_index, out_index;
	enum decide_verdict verdict;
	enum decide_tag tag;
	__u16 vid;
	bool forced;
	struct fastpath_flood flood;
};

#define RESERVED      0x0180c2000000ull /* IEEE 802.1Q-2022 table 8-1 */
#define RESERVED_MASK 0xfffffffffff0ull

enum action { ACT_PUNT, ACT_FORWARD, ACT_FLOOD, ACT_DROP };

ALWAYS void barrier_reads(struct fastpath_port *p)
{
	if (weak)
		__sync_fetch_and_add(&p->punted, 0);
}

/* ---- The FDB ---- */

ALWAYS struct fdb_slot *slot_in_bucket(__u32 bucket, __u64 key)
{
	__u32 i = FDB_HEADER_SIZE / FASTPATH_FDB_ELEMENT + bucket;
	struct fdb_bucket *b = bpf_map_lookup_elem(&fdb, &i);

	if (!b)
		return NULL;
	for (int n = 0; n < (int)FDB_SLOTS; n++)
		if (READ(b->slot[n].key) == (key | FDB_KEY_VALID))
			return &b->slot[n];
	return NULL;
}

/* As fdb_find() and fdb_slot_where() of fdb/lookup.h. */
ALWAYS __u32 fdb_where(const struct fdb_header *h, struct fastpath_port *p,
		       __u64 key, __u64 hash, struct fdb_slot **found)
{
	__u32 mask = h->buckets - 1, before, after;
	struct fdb_slot *s;
	__u64 word;

	s = slot_in_bucket(fdb_bucket_first(hash, mask), key);
	if (!s)
		s = slot_in_bucket(fdb_bucket_second(hash, mask), key);
	if (!s)
		return FDB_NONE;
	before = READ(s->where);
	barrier_reads(p);
	word = READ(s->key);
	barrier_reads(p);
	after = READ(s->where);
	*found = s;
	return fdb_slot_judge(key, before, word, after);
}

/* By the address alone: also frames whose VLAN nobody looks at have one. Who
 * chooses addresses that share a slot delays himself. */
ALWAYS __u32 pending_slot(__u64 dst)
{
	return (dst * 0x9e3779b97f4a7c15ull) >> 59; /* 2^64 / golden ratio */
}

_Static_assert(FASTPATH_PENDING == 1 << (64 - 59), "five bits");

ALWAYS __u64 packet_key(__u16 vid, __u64 mac)
{
	return (__u64)(vid & FDB_VID_MASK) << FDB_VID_SHIFT | mac;
}

/* fdb_hash_key(), which costs as much as the rest of a lookup. Nobody else
 * writes this CPU's. */
ALWAYS __u64 key_hash(const struct fdb_header *h, __u64 key)
{
	__u32 i = bpf_get_smp_processor_id() * FASTPATH_HASHES +
		  (key * 0x9e3779b97f4a7c15ull >> 58);
	struct fastpath_hash *c = bpf_map_lookup_elem(&hashes, &i);
	const uint64_t secret[2] = { h->secret[0], h->secret[1] };

	if (!c)
		return fdb_hash_key(secret, key);
	if (c->key != key || c->secret[0] != secret[0] ||
	    c->secret[1] != secret[1]) {
		c->hash = fdb_hash_key(secret, key);
		c->key = key;
		c->secret[0] = secret[0];
		c->secret[1] = secret[1];
	}
	return c->hash;
}

_Static_assert(FASTPATH_HASHES == 1 << (64 - 58), "six bits");

/* Does the FDB know the source at this port? Then it stays young. */
ALWAYS bool source_known(const struct fdb_header *h,
			 const struct fastpath_global *g,
			 struct fastpath_port *in, __u32 in_index, __u64 key)
{
	struct fdb_slot *s = NULL;
	__u32 where, now;

	where = fdb_where(h, in, key, key_hash(h, key), &s);
	if (where == FDB_NONE || (where & FDB_PORT_MASK) != in_index || !s)
		return false;
	now = READ(g->now_s);
	if (!(where & FDB_STATIC_F) && (__s32)(now - READ(s->seen)) > 0)
		WRITE(s->seen, now);
	return true;
}

/* ---- The decision ---- */

ALWAYS void decide_port_of(const struct fastpath_port *p, __u32 index,
			   struct decide_port *d)
{
	struct fastpath_vlans *v = NULL;

	d->flags = READ(p->flags);
	d->native = READ(p->native);
	if (READ(p->vlans))
		v = bpf_map_lookup_elem(&vlans, &index);
	d->vlans = v ? v->word : NULL;
	if (READ(p->vlans) && !v) /* can't be; then it carries nothing */
		d->flags = 0;
}

/* May this flow overtake what it has punted? See "Order" in fastpath.h. */
ALWAYS bool flow_settled(const struct packet *p, struct decision *d)
{
	struct fastpath_port *in = d->in;
	__u32 done = READ(in->completed);

	if ((__s32)(READ(in->pending[p->slot & (FASTPATH_PENDING - 1)]) -
		    done) <= 0)
		return true;
	d->forced = READ(in->punted) - done >= credits;
	return d->forced;
}

/* To all of the VLAN, where all of them are the kernel's. */
ALWAYS enum action decide_flood(const struct packet *p, struct decision *d)
{
	__u32 vid = d->vid;
	struct fastpath_flood *f = bpf_map_lookup_elem(&floods, &vid);

	if (!f || !READ(f->n) || !flow_settled(p, d))
		return ACT_PUNT;
	d->flood.first = READ(f->first);
	d->flood.n = READ(f->n);
	return ACT_FLOOD;
}

ALWAYS enum action decide_known(const struct fastpath_global *g,
				const struct packet *p, struct decision *d)
{
	struct decide_port in, out;
	struct fdb_header *h;
	struct fdb_slot *s;
	__u32 zero = 0, where;
	__u64 key, hash;

	h = bpf_map_lookup_elem(&fdb, &zero);
	if (!h || READ(h->magic) != FDB_MAGIC)
		return ACT_PUNT;
	decide_port_of(d->in, d->in_index, &in);
	d->vid = decide_vid(&in, p->tagged, p->tci);
	if (d->vid == DECIDE_VID_NONE)
		return ACT_PUNT;
	key = packet_key(d->vid, p->dst);
	hash = key_hash(h, key);
	if ((in.flags & DECIDE_LEARN) &&
	    !source_known(h, g, d->in, d->in_index, packet_key(d->vid, p->src)))
		return ACT_PUNT;
	if (p->dst >> 40 & 1)
		return decide_flood(p, d);
	where = fdb_where(h, d->in, key, hash, &s);
	if (where == FDB_NONE)
		return decide_flood(p, d);
	d->out_index = where & FDB_PORT_MASK;
	d->out = bpf_map_lookup_elem(&ports, &d->out_index);
	if (!d->out || READ(d->out->state) != FASTPATH_ON ||
	    !flow_settled(p, d))
		return ACT_PUNT;
	decide_port_of(d->out, d->out_index, &out);
	d->verdict =
		decide_unicast(&in, &out, d->out_index == d->in_index, d->vid);
	d->tag = decide_tag(&in, &out, d->vid);
	return d->verdict == DECIDE_FORWARD ? ACT_FORWARD : ACT_DROP;
}

/* Who alone speaks for the daemon is dead, and has been for too long. */
ALWAYS bool abandoned(const struct fastpath_global *g)
{
	__u32 limit = READ(g->dead_after_s);

	return limit &&
	       (__u32)(bpf_ktime_get_ns() / 1000000000ull) - READ(g->now_s) >
		       limit;
}

/*
 * What becomes of a frame that came by d->in: by one configuration, or by
 * userspace. Link-local group addresses and what has no sender are among the
 * frames that aren't plain.
 */
ALWAYS enum action decide(const struct packet *p, struct decision *d)
{
	struct fastpath_global *g;
	enum action act;
	__u32 zero = 0, seq;

	g = bpf_map_lookup_elem(&global, &zero);
	if (!g || READ(d->in->state) == FASTPATH_AWAY || abandoned(g))
		return ACT_DROP;
	seq = READ(g->seq);
	d->g = g;
	d->seq = seq;
	barrier_reads(d->in);
	if (seq & 1 || !READ(g->on) || READ(g->tpid) != p->tpid ||
	    READ(d->in->state) != FASTPATH_ON ||
	    (p->dst & RESERVED_MASK) == RESERVED || p->src >> 40 & 1 || !p->src)
		return ACT_PUNT;
	act = decide_known(g, p, d);
	barrier_reads(d->in);
	return READ(g->seq) == seq ? act : ACT_PUNT;
}

/* ---- Counting ---- */

ALWAYS struct fastpath_counters *counters_of(__u32 index)
{
	__u32 i = bpf_get_smp_processor_id() * ports_max + index;

	return bpf_map_lookup_elem(&counters, &i);
}

/* One writer: nothing interrupts a program that could run another one here. */
#define COUNT(c, n) WRITE(c, READ(c) + (n))

ALWAYS void count_rx(struct fastpath_counters *c, __u32 len, __u32 segments)
{
	COUNT(c->rx_frames, 1);
	COUNT(c->rx_bytes, len);
	COUNT(c->rx_segments, segments);
}

ALWAYS void count_tx(struct fastpath_counters *c, __u32 len, __u32 segments)
{
	COUNT(c->tx_copies, 1);
	COUNT(c->tx_frames, 1);
	COUNT(c->tx_bytes, len);
	COUNT(c->tx_segments, segments);
}

#endif
