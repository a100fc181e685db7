#include "tests/sim/sim_kernel.h"

#include "ports/offload.h"

#include <stdlib.h>

struct sim_kernel_seen sim_kernel_seen;

/* A frame of the batch, as it comes and what the kernel makes of it. */
static struct one {
	uint8_t memory[FRAME_HEADROOM + 4096];
	struct frame f;
	bool sound;
	struct sim_kernel_result r;
} one[FRAME_BATCH_MAX];

struct comparison {
	struct sim *s;
	const char *file;
	int line;
	uint32_t in;
	unsigned int n;				 /* of one[] */
	struct port_counters *before, *expected; /* by port index */
	unsigned int *sent;			 /* likewise; frames before */
};

static void print_bytes(const char *who, const uint8_t *p, uint32_t len)
{
	print_error("%s (%u bytes):", who, len);
	for (uint32_t i = 0; i < len && i < 64; i++)
		print_error("%s%02x", i % 2 ? "" : " ", p[i]);
	print_error("%s\n", len > 64 ? " .." : "");
}

static void say(const struct comparison *c)
{
	for (unsigned int i = 0; i < c->n; i++) {
		const struct sim_kernel_result *r = &one[i].r;

		print_bytes("frame", one[i].f.data, one[i].f.len);
		if (r->act == SIM_KERNEL_FORWARD)
			print_error("kernel: from port %u to %u%s%s\n", c->in,
				    r->out, r->xdp ? ", also by XDP" : "",
				    counter_get(&r->to.tx_frames)
					    ? ""
					    : ", where it is dropped");
		else
			print_error("kernel: drops it at port %u\n", c->in);
	}
}

#define DISAGREE(c, ...)                                             \
	do {                                                         \
		say(c);                                              \
		print_error("%s:%d: kernel and pipeline disagree: ", \
			    (c)->file, (c)->line);                   \
		print_error(__VA_ARGS__);                            \
		print_error("\n");                                   \
		_fail((c)->file, (c)->line);                         \
	} while (0)

/* ---- Frames ---- */

static void same_frame(const struct comparison *c, const struct port *to,
		       unsigned int *at, const struct frame *f)
{
	const struct dummy_frame *g = dummy_peek_sent(to, (*at)++);

	if (!g)
		DISAGREE(c, "the pipeline sent no frame to %s", to->name);
	if (g->len == f->len && !memcmp(g->data, f->data, f->len) &&
	    !memcmp(&g->vnet, &f->vnet, sizeof(f->vnet)))
		return;
	print_bytes("by the kernel", f->data, f->len);
	print_bytes("by the pipeline", g->data, g->len);
	DISAGREE(c, "on what is sent to %s", to->name);
}

static void same_segments(const struct comparison *c, const struct port *to,
			  unsigned int *at, const struct frame *f)
{
	static uint8_t memory[4 * FRAME_SLOT];
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame segment[FRAME_BATCH_MAX];
	uint32_t off = 0;
	unsigned int n;

	do {
		struct frame_arena a = { memory, sizeof(memory), 0 };

		n = offload_segment(f, segment, FRAME_BATCH_MAX, &a, &off,
				    &why);
		for (unsigned int i = 0; i < n; i++)
			same_frame(c, to, at, &segment[i]);
	} while (n);
}

/* XDP's has its checksum in the bytes. */
static void same_by_xdp(const struct comparison *c, const struct one *o,
			const struct frame *f)
{
	struct frame complete = *f;
	uint8_t memory[FRAME_HEADROOM + 4096];

	complete.data = memory + FRAME_HEADROOM;
	memcpy(complete.data, f->data, f->len);
	offload_complete_csum(&complete);
	if (!memcmp(complete.data, o->r.xdp_data, f->len))
		return;
	print_bytes("by XDP", o->r.xdp_data, f->len);
	print_bytes("expected", complete.data, f->len);
	DISAGREE(c, "XDP sends something else");
}

/* What went to the port from *at on is this frame, as far as that port's
 * offloads go. */
static void same_copy(const struct comparison *c, const struct one *o,
		      unsigned int *at)
{
	const struct port *to = c->s->sw->port[o->r.out]->port;
	uint8_t memory[FRAME_HEADROOM + 4096];
	uint32_t longer = o->r.len - o->f.len, lacks;
	struct frame f;

	frame_init(&f, memory + FRAME_HEADROOM, o->r.len);
	memcpy(f.data, o->r.data, o->r.len);
	f.vnet = o->f.vnet;
	if (f.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f.vnet.csum_start += longer;
	if (f.vnet.hdr_len)
		f.vnet.hdr_len += longer;
	if (o->r.xdp)
		same_by_xdp(c, o, &f);
	lacks = frame_offloads(&f) & ~to->tx_offloads;
	if (lacks & PORT_TX_ALL_GSO) {
		same_segments(c, to, at, &f);
		return;
	}
	if (lacks & PORT_TX_CSUM)
		offload_complete_csum(&f);
	same_frame(c, to, at, &f);
}

static void same_frames(const struct comparison *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (counter_get(&one[i].r.to.tx_frames))
			same_copy(c, &one[i], &c->sent[one[i].r.out]);
	for (uint32_t i = 0; i < c->s->sw->index_end; i++) {
		const struct switch_port *p = c->s->sw->port[i];

		if (p && p->grant.fast && dummy_sent(p->port) != c->sent[i])
			DISAGREE(c, "only the pipeline sent something to %s",
				 p->port->name);
	}
}

/* ---- Counters ---- */

static const char *counter_name(size_t i)
{
#define NAME(member, name) name,
	static const char *const names[] = { PORT_COUNTER_LIST(NAME) };
#undef NAME
	const size_t n = sizeof(names) / sizeof(names[0]);

	return i < n ? names[i]
		     : drop_name(
			       (enum drop_reason)((i - n) % DROP_REASON_COUNT));
}

/* Does the port cut super-frames, so that it sends more bytes? */
static bool cuts(const struct switch_port *p, const counter *of,
		 const struct port_counters *expected)
{
	return of == &expected->tx_bytes &&
	       (p->port->tx_offloads & PORT_TX_ALL_GSO) != PORT_TX_ALL_GSO;
}

static void same_counters(const struct comparison *c, uint32_t index)
{
	const struct switch_port *p = c->s->sw->port[index];
	const counter *expected = (const counter *)&c->expected[index],
		      *before = (const counter *)&c->before[index];
	struct port_counters now;

	switch_port_counters(c->s->sw, p, &now);
	for (size_t i = 0; i < PORT_COUNTERS; i++) {
		uint64_t n = counter_get((const counter *)&now + i) -
			     counter_get(&before[i]);

		if (n != counter_get(&expected[i]) &&
		    !cuts(p, &expected[i], &c->expected[index]))
			DISAGREE(c,
				 "\"%s\" of %s counts %d by the kernel, %d by "
				 "the pipeline",
				 counter_name(i), p->port->name,
				 (int)counter_get(&expected[i]), (int)n);
	}
}

/* ---- The batch ---- */

/* The frame as the pipeline sees it. False: the kernel would not, or otherwise.
 */
static bool look(struct one *o, const struct dummy_frame *from)
{
	enum drop_reason why;

	if (from->len > sizeof(o->memory) - FRAME_HEADROOM)
		return false;
	frame_init(&o->f, o->memory + FRAME_HEADROOM, from->len);
	memcpy(o->f.data, from->data, from->len);
	o->f.vnet = from->vnet;
	return from->len >= ETHER_HEADER_LEN &&
	       (!frame_has_offload(&o->f) || offload_check(&o->f, &why)) &&
	       o->f.vnet.gso_type != VIRTIO_NET_HDR_GSO_UDP;
}

/* Copies, for the frames are gone when they have been received. */
static void look_all(struct comparison *c, const struct switch_port *p)
{
	const struct dummy_frame *from;

	for (c->n = 0; c->n < FRAME_BATCH_MAX; c->n++) {
		from = dummy_peek_pending(p->port, c->n);
		if (!from)
			break;
		one[c->n].sound = look(&one[c->n], from);
	}
}

/* Returns whether the kernel does all of the batch. */
static bool run_all(struct comparison *c)
{
	bool all = c->n > 0;

	for (unsigned int i = 0; i < c->n; i++) {
		struct one *o = &one[i];

		o->r.act = SIM_KERNEL_UNKNOWN;
		if (o->sound)
			sim_kernel_run(c->s, c->in, &o->f, false, &o->r);
		all = all && (o->r.act == SIM_KERNEL_FORWARD ||
			      o->r.act == SIM_KERNEL_DROP);
	}
	return all;
}

static void remember(struct comparison *c)
{
	struct sw *sw = c->s->sw;

	c->before = calloc(sw->index_end, sizeof(c->before[0]));
	c->expected = calloc(sw->index_end, sizeof(c->expected[0]));
	c->sent = calloc(sw->index_end, sizeof(c->sent[0]));
	assert_true(c->before && c->expected && c->sent);
	for (uint32_t i = 0; i < sw->index_end; i++) {
		if (!sw->port[i])
			continue;
		switch_port_counters(sw, sw->port[i], &c->before[i]);
		if (sw->port[i]->grant.fast)
			c->sent[i] = dummy_sent(sw->port[i]->port);
	}
}

static void compare(struct comparison *c)
{
	for (unsigned int i = 0; i < c->n; i++) {
		const struct sim_kernel_result *r = &one[i].r;

		port_counters_add(&c->expected[c->in], &r->in);
		if (r->act == SIM_KERNEL_FORWARD)
			port_counters_add(&c->expected[r->out], &r->to);
		sim_kernel_seen.forwarded += r->act == SIM_KERNEL_FORWARD;
		sim_kernel_seen.dropped += r->act == SIM_KERNEL_DROP;
		sim_kernel_seen.xdp += r->xdp;
	}
	for (uint32_t i = 0; i < c->s->sw->index_end; i++)
		if (c->s->sw->port[i])
			same_counters(c, i);
	same_frames(c);
}

void sim_kernel_poll(struct sim *s, struct switch_port *p, const char *file,
		     int line)
{
	struct comparison c = {
		.s = s, .file = file, .line = line, .in = p->port->index
	};
	unsigned int n;

	if (p->grant.fast)
		look_all(&c, p);
	remember(&c);
	n = worker_poll(p->worker, c.in, p->port->generation, s->now_s);
	if (n < c.n) /* super-frames: the next batch */
		c.n = n;
	if (run_all(&c))
		compare(&c);
	free(c.before);
	free(c.expected);
	free(c.sent);
}
