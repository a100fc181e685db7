#include "switchd/pipeline.h"

#include "ports/offload.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENT_ARENA_SLOTS 4 /* super-frames are cut a few segments a time */

#define RESERVED_BASE 0x0180c2000000ull /* IEEE 802.1Q-2022 table 8-1 */
#define RESERVED_MASK 0xfffffffffff0ull

#define LLC_LENGTH_MAX 1500 /* IEEE 802.3-2022 3.2.6: a length up to here */

#define ETHERTYPE_VLAN	 0x8100
#define ETHERTYPE_8021AD 0x88a8

/* A bridge lets a tagged frame be four bytes longer than the MTU says. */
#define MTU_SLACK (ETHER_HEADER_LEN + ETHER_TAG_LEN)

/* What leaves through one port in this batch: one word a copy. */
struct egress {
	uint32_t n;
	uint32_t copy[FRAME_BATCH_MAX];
};

#define COPY_FRAME(c)  ((c)&63) /* which frame of the batch */
#define COPY_TAG(c)    ((enum decide_tag)((c) >> 6 & 3))
#define COPY_DIR(c)    ((uint8_t)((c) >> 8 & 3))
#define COPY_MIRROR(c) ((uint16_t)((c) >> 16))

static inline uint32_t copy_make(unsigned int frame, enum decide_tag tag,
				 enum frame_dir dir, uint32_t mirror_port)
{
	return frame | (uint32_t)tag << 6 | (uint32_t)dir << 8 |
	       mirror_port << 16;
}

struct pipeline {
	struct fdb *fdb;
	uint32_t ports_max;
	struct port_counters *counters; /* by port index; the ledger's */
	struct egress *egress;		/* by port index */
	uint16_t *dirty;		/* ports whose list isn't empty */
	uint32_t ndirty;

	/* The batch under way. */
	const struct snapshot *s;
	const struct snapshot_port *in;
	uint32_t in_index;
	struct frame *frame;
	/*
	 * Runs: frames in a row from one address to another one, in one VLAN,
	 * as most come. What the FDB says of them is asked once, and their
	 * source is learned once. Frames that are dropped end no run.
	 */
	unsigned int nruns;
	uint8_t run[FRAME_BATCH_MAX]; /* by frame: the run that it is of */
	/* By run, source and destination by turns. */
	uint64_t key[2 * FRAME_BATCH_MAX], hash[2 * FRAME_BATCH_MAX];

	/* Where super-frames are cut for ports that can't take them. */
	struct frame segment[FRAME_BATCH_MAX];
	struct frame_arena segment_arena;
};

struct pipeline *pipeline_new(struct fdb *fdb, uint32_t ports_max,
			      struct port_counters *counters)
{
	struct pipeline *pl = calloc(1, sizeof(*pl));

	if (!pl)
		return NULL;
	pl->fdb = fdb;
	pl->ports_max = ports_max;
	pl->counters = counters;
	pl->egress = calloc(ports_max, sizeof(pl->egress[0]));
	pl->dirty = calloc(ports_max, sizeof(pl->dirty[0]));
	pl->segment_arena.size = SEGMENT_ARENA_SLOTS * FRAME_SLOT;
	pl->segment_arena.base = malloc(pl->segment_arena.size);
	if (!pl->egress || !pl->dirty || !pl->segment_arena.base) {
		pipeline_free(pl);
		return NULL;
	}
	return pl;
}

void pipeline_free(struct pipeline *pl)
{
	if (!pl)
		return;
	free(pl->egress);
	free(pl->dirty);
	free(pl->segment_arena.base);
	free(pl);
}

/* ---- Classify: is the frame sound, and in which VLAN is it? ---- */

static bool reserved_passes(const struct snapshot *s, uint64_t dst)
{
	return (dst & RESERVED_MASK) != RESERVED_BASE ||
	       (s->forward_reserved >> (dst & 15) & 1);
}

/* Does what the Ethernet header says agree with the length? Fills in the
 * addresses and the tag state. */
static enum drop_reason parse(const struct snapshot *s, struct frame *f)
{
	uint32_t header = ETHER_HEADER_LEN;
	uint16_t type;

	if (f->len > FRAME_LEN_MAX)
		return DROP_TOO_LONG;
	if (f->head_len < ETHER_HEADER_LEN)
		return DROP_TOO_SHORT;
	f->dst = mac_load(f->data);
	f->src = mac_load(f->data + 6);
	type = load_be16(f->data + 12);
	f->came_tagged = type == s->tpid;
	if (f->came_tagged) {
		header += ETHER_TAG_LEN;
		if (f->head_len < header)
			return DROP_TOO_SHORT;
		f->tci = load_be16(f->data + 14);
		type = load_be16(f->data + 16);
	}
	f->tagged = f->came_tagged;
	if (type <= LLC_LENGTH_MAX && type > f->len - header)
		return DROP_TOO_SHORT;
	return DROP_REASON_COUNT;
}

/*
 * A second tag of ours, of a VLAN that the port isn't in. Where the first is
 * taken off, on a trunk that has its VLAN as the native one, the second would
 * count: the guest would have hopped into another VLAN.
 */
static bool hides_tag(const struct pipeline *pl, const struct frame *f)
{
	if (!f->came_tagged || load_be16(f->data + 16) != pl->s->tpid)
		return false;
	return f->head_len < ETHER_HEADER_LEN + 2 * ETHER_TAG_LEN ||
	       !decide_in_vlan(&pl->in->decide,
			       load_be16(f->data + 18) & TCI_VID_MASK);
}

/* DROP_REASON_COUNT where the frame may go on. */
static enum drop_reason classify(struct pipeline *pl, struct frame *f)
{
	const struct snapshot *s = pl->s;
	enum drop_reason why = parse(s, f);

	if (why != DROP_REASON_COUNT)
		return why;
	if (frame_has_offload(f) && !offload_check(f, &why))
		return why;
	if (f->src == 0)
		return DROP_ZERO_SOURCE;
	if (!reserved_passes(s, f->dst))
		return DROP_RESERVED;
	f->vid = decide_vid(&pl->in->decide, f->came_tagged, f->tci);
	if (f->vid == DECIDE_VID_NONE || hides_tag(pl, f))
		return DROP_VLAN_INGRESS;
	f->origin = (uint16_t)pl->in_index;
	return DROP_REASON_COUNT;
}

/* ---- Egress: tags, MTU, offloads, transmission ---- */

static void tx_drop(struct port_counters *c, enum drop_reason why)
{
	counter_add(&c->tx_drop[why], 1);
}

/* What went out. */
struct tally {
	uint64_t frames, bytes, segments;
};

static uint64_t frame_segments(const struct frame *f)
{
	return f->vnet.gso_type ? offload_segments(f) : 1;
}

/*
 * Send all of list[0..n), counting into *t what went. What didn't go is
 * counted by reason in `drops` unless that is NULL. Returns the last reason,
 * DROP_REASON_COUNT where all went.
 */
static enum drop_reason tx_list(struct port *port, struct frame *const *list,
				unsigned int n, struct tally *t,
				struct port_counters *drops)
{
	enum drop_reason last = DROP_REASON_COUNT;

	while (n) {
		enum drop_reason why = DROP_IO_ERROR;
		unsigned int sent = port->ops->tx(port, list, n, &why);

		for (unsigned int i = 0; i < sent; i++) {
			t->bytes += list[i]->len;
			t->segments += frame_segments(list[i]);
		}
		t->frames += sent;
		if (sent == n)
			break;
		last = why;
		if (drops)
			tx_drop(drops, why);
		list += sent + 1;
		n -= sent + 1;
	}
	return last;
}

static void tx_count(struct port_counters *c, const struct tally *t)
{
	counter_add(&c->tx_frames, t->frames);
	counter_add(&c->tx_bytes, t->bytes);
	counter_add(&c->tx_segments, t->segments);
}

/* Send a run of frames that the port takes as they are. */
static void tx_run(struct pipeline *pl, uint32_t out, struct frame **list,
		   unsigned int n)
{
	struct port_counters *c = &pl->counters[out];
	struct tally t = { 0 };

	if (!n)
		return;
	tx_list(pl->s->port[out].port, list, n, &t, c);
	tx_count(c, &t);
}

/* Cut a super-frame for a port that can't take it. One frame in the ledger:
 * sent when all its segments went, else dropped. */
static void tx_segmented(struct pipeline *pl, uint32_t out, struct frame *f)
{
	struct port_counters *c = &pl->counters[out];
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame *list[FRAME_BATCH_MAX];
	struct tally t = { 0 };
	uint32_t off = 0;
	unsigned int n;

	for (;;) {
		enum drop_reason failed;

		pl->segment_arena.used = 0;
		n = offload_segment(f, pl->segment, FRAME_BATCH_MAX,
				    &pl->segment_arena, &off, &why);
		if (!n)
			break;
		for (unsigned int i = 0; i < n; i++)
			list[i] = &pl->segment[i];
		failed = tx_list(pl->s->port[out].port, list, n, &t, NULL);
		if (failed != DROP_REASON_COUNT)
			why = failed;
	}
	t.frames = why == DROP_REASON_COUNT;
	if (!t.frames) /* what did go of it still shows in the bytes */
		tx_drop(c, why);
	tx_count(c, &t);
}

/* Bring the tag in the bytes to what this copy wants. */
static void frame_retag(const struct snapshot *s, struct frame *f,
			enum decide_tag tag)
{
	uint16_t tci = f->tci;
	bool want = f->came_tagged;

	if (tag == DECIDE_TAG_NONE) {
		want = false;
	} else if (tag == DECIDE_TAG_VID) {
		want = true;
		tci = (f->came_tagged ? f->tci & TCI_PCP_MASK : 0) | f->vid;
	}
	if (want && f->tagged)
		store_be16(f->data + 14, tci);
	else if (want)
		frame_vlan_push(f, s->tpid, tci);
	else if (f->tagged)
		frame_vlan_pop(f);
}

/* Length of the frame, or of the longest segment that it will become. */
static uint32_t wire_len(const struct frame *f)
{
	uint16_t type = load_be16(f->data + 12);
	bool tag = type == ETHERTYPE_VLAN || type == ETHERTYPE_8021AD;

	if (f->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return f->len;
	return ETHER_HEADER_LEN + (tag ? ETHER_TAG_LEN : 0) +
	       offload_wire_mtu(f);
}

static bool fits_mtu(const struct port *port, const struct frame *f)
{
	return wire_len(f) <=
	       atomic_load_explicit(&port->mtu, memory_order_relaxed) +
		       MTU_SLACK;
}

static void egress_flush(struct pipeline *pl, uint32_t out)
{
	struct egress *e = &pl->egress[out];
	const struct snapshot_port *p = &pl->s->port[out];
	struct port_counters *c = &pl->counters[out];
	struct frame *run[FRAME_BATCH_MAX];
	uint64_t in_run = 0; /* frames in run[]: their tag is settled */
	uint32_t takes = atomic_load_explicit(&p->port->tx_offloads,
					      memory_order_relaxed);
	unsigned int n = 0;

	counter_add(&c->tx_copies, e->n);
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t copy = e->copy[i], lacks;
		struct frame *f = &pl->frame[COPY_FRAME(copy)];
		uint64_t bit = 1ull << COPY_FRAME(copy);

		if (in_run & bit) { /* the same frame, perhaps tagged else */
			tx_run(pl, out, run, n);
			n = 0;
			in_run = 0;
		}
		frame_retag(pl->s, f, COPY_TAG(copy));
		f->mirror_dir = COPY_DIR(copy);
		f->mirror_port = COPY_MIRROR(copy);
		if (!fits_mtu(p->port, f)) {
			tx_drop(c, DROP_MTU);
			continue;
		}
		lacks = frame_offloads(f) & ~takes;
		if (__builtin_expect(lacks & PORT_TX_ALL_GSO, 0)) {
			tx_run(pl, out, run, n);
			n = 0;
			in_run = 0;
			tx_segmented(pl, out, f);
			continue;
		}
		if (lacks & PORT_TX_CSUM)
			offload_complete_csum(f);
		run[n++] = f;
		in_run |= bit;
	}
	e->n = 0;
	tx_run(pl, out, run, n);
}

static void egress_add(struct pipeline *pl, uint32_t out, uint32_t copy)
{
	struct egress *e = &pl->egress[out];

	if (e->n == FRAME_BATCH_MAX)
		egress_flush(pl, out); /* a mirror target may get more */
	else if (e->n == 0)
		pl->dirty[pl->ndirty++] = (uint16_t)out;
	e->copy[e->n++] = copy;
}

/* ---- Mirrors ---- */

static void mirror_add(struct pipeline *pl, unsigned int i, uint64_t mirrors,
		       enum decide_tag tag, enum frame_dir dir, uint32_t port)
{
	const struct snapshot *s = pl->s;
	uint16_t vid = pl->frame[i].vid;

	for (; mirrors; mirrors &= mirrors - 1) {
		const struct snapshot_mirror *m =
			&s->mirror[__builtin_ctzll(mirrors)];

		if (m->has_vlans && !decide_vlan_test(m->vlans, vid))
			continue;
		if (m->to < s->nports && s->port[m->to].port)
			egress_add(pl, m->to, copy_make(i, tag, dir, port));
	}
}

/* ---- Decide: where does the frame go? ---- */

/* One copy of frame i to port `out`, and to the mirrors that watch it. */
static void forward(struct pipeline *pl, unsigned int i, uint32_t out,
		    enum decide_tag tag)
{
	const struct snapshot_port *to = &pl->s->port[out];

	egress_add(pl, out, copy_make(i, tag, FRAME_DIR_NONE, 0));
	if (__builtin_expect(to->mirror_out != 0, 0))
		mirror_add(pl, i, to->mirror_out, tag, FRAME_DIR_OUT, out);
}

static enum drop_reason flood(struct pipeline *pl, unsigned int i)
{
	const struct snapshot *s = pl->s;
	uint16_t vid = pl->frame[i].vid;
	const struct snapshot_flood *set = s->flood[vid];
	bool any = false;

	for (uint32_t k = 0; k < set->n; k++) {
		uint32_t out = set->port[k];
		const struct decide_port *to = &s->port[out].decide;

		if (out == pl->in_index || !decide_pass(&pl->in->decide, to))
			continue;
		forward(pl, i, out, decide_tag(&pl->in->decide, to, vid));
		any = true;
	}
	return any ? DROP_REASON_COUNT : DROP_NO_DESTINATION;
}

/* Where a run goes. */
struct route {
	uint32_t out;	      /* the port; FDB_NONE: it is flooded */
	enum drop_reason why; /* not there; DROP_REASON_COUNT: it does */
	enum decide_tag tag;
};

static struct route route_flood(void)
{
	return (struct route){ .out = FDB_NONE };
}

/* The route of a run that frame i is of. */
static struct route route_find(const struct pipeline *pl, unsigned int i)
{
	static const enum drop_reason why[DECIDE_VERDICTS] = DECIDE_DROPS;
	unsigned int at = 2u * pl->run[i] + 1;
	const struct frame *f = &pl->frame[i];
	const struct snapshot *s = pl->s;
	enum decide_verdict verdict;
	uint32_t out;

	if (mac_is_group(f->dst))
		return route_flood();
	out = fdb_lookup_at(pl->fdb, pl->key[at], pl->hash[at]);
	/* An entry may be a moment older or newer than the snapshot. */
	if (out >= s->nports || !s->port[out].port ||
	    (s->port[out].decide.flags & DECIDE_TARGET))
		return route_flood();
	verdict = decide_unicast(&pl->in->decide, &s->port[out].decide,
				 out == pl->in_index, f->vid);
	return (struct route){
		.out = out,
		.why = verdict == DECIDE_FORWARD ? DROP_REASON_COUNT
						 : why[verdict],
		.tag = decide_tag(&pl->in->decide, &s->port[out].decide,
				  f->vid),
	};
}

/* DROP_REASON_COUNT where it went. */
static enum drop_reason route_take(struct pipeline *pl, unsigned int i,
				   const struct route *r)
{
	if (r->out == FDB_NONE)
		return flood(pl, i);
	if (r->why == DROP_REASON_COUNT)
		forward(pl, i, r->out, r->tag);
	return r->why;
}

/* ---- The batch ---- */

static void rx_drop_all(struct port_counters *c, enum drop_reason why,
			unsigned int n)
{
	counter_add(&c->rx_drop[why], n);
}

/* Count what came in; returns false where the port takes no traffic now. */
static bool batch_begin(struct pipeline *pl, const struct frame *f,
			unsigned int n)
{
	struct port_counters *c = &pl->counters[pl->in_index];
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < n; i++)
		bytes += f[i].len;
	counter_add(&c->rx_frames, n);
	counter_add(&c->rx_bytes, bytes);
	if (pl->in->decide.flags & DECIDE_TARGET) {
		rx_drop_all(c, DROP_MIRROR_TARGET, n);
		return false;
	}
	if (!(pl->in->decide.flags & DECIDE_ENABLED)) {
		rx_drop_all(c, DROP_DISABLED, n);
		return false;
	}
	return true;
}

/* Frame i may go on: which run is it of? */
static void run_add(struct pipeline *pl, unsigned int i)
{
	const struct frame *f = &pl->frame[i];
	uint64_t src = fdb_key(f->vid, f->src), dst = fdb_key(f->vid, f->dst);
	unsigned int at = 2 * pl->nruns;

	if (!at || pl->key[at - 2] != src || pl->key[at - 1] != dst) {
		pl->key[at] = src;
		pl->key[at + 1] = dst;
		pl->nruns++;
	}
	pl->run[i] = (uint8_t)(pl->nruns - 1);
}

/* Classify all, find the runs, and fetch the FDB's buckets. Frames that are
 * dropped leave the batch: live[] holds the indexes of the others. */
static unsigned int batch_classify(struct pipeline *pl, unsigned int n,
				   uint8_t *live)
{
	struct port_counters *c = &pl->counters[pl->in_index];
	unsigned int nlive = 0;
	uint64_t segments = 0;

	pl->nruns = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct frame *f = &pl->frame[i];
		enum drop_reason why = classify(pl, f);

		if (__builtin_expect(why != DROP_REASON_COUNT, 0)) {
			counter_add(&c->rx_drop[why], 1);
			continue;
		}
		run_add(pl, i);
		segments += frame_segments(f);
		live[nlive++] = (uint8_t)i;
	}
	fdb_prefetch_many(pl->fdb, pl->key, 2 * pl->nruns, pl->hash);
	counter_add(&c->rx_segments, segments);
	return nlive;
}

/* A refused or static address is no reason to drop: the frames go their way,
 * and the FDB has counted it, once a run. */
static void batch_learn(struct pipeline *pl, uint32_t now_s)
{
	if (!(pl->in->decide.flags & DECIDE_LEARN))
		return;
	for (unsigned int at = 0; at < 2 * pl->nruns; at += 2)
		if (!mac_is_group(fdb_key_mac(pl->key[at])))
			fdb_learn_at(pl->fdb, pl->key[at], pl->hash[at],
				     pl->in_index, now_s);
}

void pipeline_run(struct pipeline *pl, const struct snapshot *s, uint32_t in,
		  struct frame *f, unsigned int n, uint32_t now_s)
{
	struct port_counters *c = &pl->counters[in];
	uint8_t live[FRAME_BATCH_MAX];
	unsigned int run = FRAME_BATCH_MAX; /* that `route` is of */
	struct route route = route_flood();
	uint64_t forwarded = 0;

	pl->s = s;
	pl->in = &s->port[in];
	pl->in_index = in;
	pl->frame = f;
	if (!batch_begin(pl, f, n))
		return;
	n = batch_classify(pl, n, live);
	batch_learn(pl, now_s);
	for (unsigned int k = 0; k < n; k++) {
		unsigned int i = live[k];
		enum drop_reason why;

		if (__builtin_expect(pl->in->mirror_in != 0, 0))
			mirror_add(pl, i, pl->in->mirror_in, DECIDE_TAG_KEEP,
				   FRAME_DIR_IN, in);
		if (pl->run[i] != run) {
			run = pl->run[i];
			route = route_find(pl, i);
		}
		why = route_take(pl, i, &route);
		if (why == DROP_REASON_COUNT)
			forwarded++;
		else
			counter_add(&c->rx_drop[why], 1);
	}
	counter_add(&c->rx_forwarded, forwarded);
	for (uint32_t k = 0; k < pl->ndirty; k++)
		egress_flush(pl, pl->dirty[k]);
	pl->ndirty = 0;
}
