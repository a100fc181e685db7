#include "tests/sim/sim_kernel.h"

#include "ports/offload.h"

#include <stdlib.h>

#define SHOWN_MAX 20000 /* frames of a sim: a load test is none of ours */

struct sim_kernel_seen sim_kernel_seen;

/* A frame of the batch, as it comes. */
static struct one {
	uint8_t memory[FRAME_HEADROOM + SIM_COPY_MAX];
	struct frame f;
	bool sound;
} one[FRAME_BATCH_MAX];

struct comparison {
	struct sim *s;
	const char *file;
	int line;
	uint32_t in;
	unsigned int n;				 /* of one[] */
	struct port_counters *before, *expected; /* by port index */
	unsigned int *sent; /* likewise; frames that are compared */
	bool complete;	    /* all of the copies were */
	/* At one[i]. */
	unsigned int i;
	const struct sim_kernel_result *r;
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
	const struct frame *f = &one[c->i].f;

	if (!c->r)
		return;
	print_bytes("frame", f->data, f->len);
	print_error("kernel: from port %u", c->in);
	if (c->r->act == SIM_KERNEL_DROP)
		print_error(", dropped");
	for (unsigned int i = 0; i < c->r->copies; i++)
		print_error(" to %u", c->r->copy[i].port);
	print_error("%s\n", c->r->xdp ? ", also by XDP" : "");
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

/* Does the port take nothing, for reasons of its own? */
static bool refuses(const struct comparison *c, uint32_t index)
{
	const struct port_counters *before = &c->before[index];
	struct port_counters now;

	switch_port_counters(c->s->sw, c->s->sw->port[index], &now);
	for (int i = DROP_QUEUE_FULL; i <= DROP_IO_ERROR; i++)
		if (counter_get(&now.tx_drop[i]) !=
		    counter_get(&before->tx_drop[i]))
			return true;
	return false;
}

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
static void same_by_xdp(const struct comparison *c, const struct frame *f)
{
	uint8_t memory[FRAME_HEADROOM + SIM_COPY_MAX];
	struct frame complete = *f;

	complete.data = memory + FRAME_HEADROOM;
	memcpy(complete.data, f->data, f->len);
	offload_complete_csum(&complete);
	if (!memcmp(complete.data, c->r->xdp_data, f->len))
		return;
	print_bytes("by XDP", c->r->xdp_data, f->len);
	print_bytes("expected", complete.data, f->len);
	DISAGREE(c, "XDP sends something else");
}

/* What the pipeline has sent to the port is this copy, as far as the port's
 * offloads go. */
static void same_copy(struct comparison *c, uint32_t index, struct frame f)
{
	const struct port *to = c->s->sw->port[index]->port;
	const struct dummy_frame *next = dummy_peek_sent(to, c->sent[index]);
	const struct frame *from = &one[c->i].f;
	uint32_t longer = f.len - from->len, lacks;

	if (refuses(c, index))
		return;
	f.vnet = from->vnet;
	if (f.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		f.vnet.csum_start += longer;
	if (f.vnet.hdr_len)
		f.vnet.hdr_len += longer;
	if (c->r->xdp)
		same_by_xdp(c, &f);
	lacks = frame_offloads(&f) & ~to->tx_offloads;
	if (lacks & PORT_TX_ALL_GSO) {
		same_segments(c, to, &c->sent[index], &f);
		return;
	}
	/* Another copy's port may have needed it complete before. */
	if (next && !(next->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		offload_complete_csum(&f);
	same_frame(c, to, &c->sent[index], &f);
}

static void same_copies(struct comparison *c)
{
	uint64_t sent = 0;

	for (uint32_t i = 0; i < c->s->sw->index_end; i++)
		sent += counter_get(&c->r->counted[i].tx_frames);
	for (unsigned int i = 0; i < c->r->copies; i++)
		same_copy(c, c->r->copy[i].port, c->r->copy[i].f);
	c->complete = c->complete && sent == c->r->copies;
	if (sent < c->r->copies)
		DISAGREE(c, "the kernel hasn't counted what it sent");
}

static void nothing_more(const struct comparison *c)
{
	for (uint32_t i = 0; c->complete && i < c->s->sw->index_end; i++) {
		const struct switch_port *p = c->s->sw->port[i];

		if (p && p->grant.fast && !refuses(c, i) &&
		    dummy_sent(p->port) != c->sent[i])
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

/* What the port counts itself, or otherwise: it cuts super-frames, so that it
 * sends more bytes, or takes nothing. */
static bool differs(const struct comparison *c, uint32_t index,
		    const counter *of)
{
	const struct port *p = c->s->sw->port[index]->port;
	const struct port_counters *e = &c->expected[index];

	if (of == &e->rx_missed || of == &e->tx_lost)
		return true;
	if (of == &e->tx_bytes &&
	    (p->tx_offloads & PORT_TX_ALL_GSO) != PORT_TX_ALL_GSO)
		return true;
	return of > &e->tx_copies && (of < e->rx_drop || of >= e->tx_drop) &&
	       refuses(c, index);
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
		    !differs(c, index, &expected[i]))
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

/* Returns whether the kernel does it. */
static bool compare_one(struct comparison *c)
{
	enum sim_kernel_act act = c->r->act;

	if (act != SIM_KERNEL_FORWARD && act != SIM_KERNEL_DROP)
		return false;
	for (uint32_t i = 0; i < c->s->sw->index_end; i++)
		port_counters_add(&c->expected[i], &c->r->counted[i]);
	same_copies(c);
	sim_kernel_seen.forwarded += act == SIM_KERNEL_FORWARD;
	sim_kernel_seen.flooded += c->r->copies > 1;
	sim_kernel_seen.dropped += act == SIM_KERNEL_DROP;
	sim_kernel_seen.xdp += c->r->xdp;
	return true;
}

/* One by one, up to the first that only the pipeline can do. */
static void compare(struct comparison *c)
{
	bool all = c->n > 0;

	c->complete = true;
	for (c->i = 0; c->i < c->n; c->i++) {
		if (!one[c->i].sound) {
			all = false;
			continue;
		}
		c->r = sim_kernel_run(c->s, c->in, &one[c->i].f, false);
		all = all && compare_one(c);
	}
	c->r = NULL;
	if (!all)
		return;
	for (uint32_t i = 0; i < c->s->sw->index_end; i++)
		if (c->s->sw->port[i])
			same_counters(c, i);
	nothing_more(c);
}

void sim_kernel_poll(struct sim *s, struct switch_port *p, const char *file,
		     int line)
{
	struct comparison c = {
		.s = s, .file = file, .line = line, .in = p->port->index
	};
	unsigned int n;

	if (p->grant.fast && s->shown < SHOWN_MAX)
		look_all(&c, p);
	s->shown += c.n;
	if (c.n)
		remember(&c);
	n = worker_poll(p->worker[0], c.in, p->port->generation, s->now_s);
	if (n < c.n) /* super-frames: the next batch */
		c.n = n;
	if (c.n)
		compare(&c);
	free(c.before);
	free(c.expected);
	free(c.sent);
}
