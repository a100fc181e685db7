/*
 * fuzz_frame - the whole pipeline, fed by guests that mean harm
 *
 * Input: records of one batch. A record is a byte that chooses the port, a
 * byte that says how much of the frame is a payload segment, the frame's
 * length (16 bits, big endian), struct virtio_net_hdr_v1, the frame. Bit 7 of
 * the port's byte ends the batch: the switch runs.
 *
 * Ports of every VLAN kind are there, with and without offloads, a mirror
 * watches all. What comes out must hold together: both ledgers of each port
 * close, each frame is received once, and a port never gets what it said it
 * can't take or what is longer than its MTU.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

#define RECORD_HEAD (4 + ETHER_VNET_LEN)
#define FRAMES_MAX  64 /* a time limit, not one of the code */
#define MTU	    1500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	const char *name, *words;
	uint32_t offloads;
} kind[] = {
	{ "plain", "", UINT32_MAX },
	{ "plain-cut", "", 0 },
	{ "access", "mode=access vlan=10", UINT32_MAX },
	{ "access-cut", "mode=access vlan=10", 0 },
	{ "trunk", "mode=trunk vlan=10", UINT32_MAX },
	{ "trunk-cut", "mode=trunk", PORT_TX_CSUM },
	{ "list", "trunk=1,10,20-30", PORT_TX_TSO4 | PORT_TX_CSUM },
	{ "isolated", "isolated=yes", 0 },
	{ "up", "uplink=yes", UINT32_MAX },
	{ "mirror", "mode=access vlan=99", 0 },
};

#define KINDS (sizeof(kind) / sizeof(kind[0]))

static struct switch_port *port[KINDS];

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static struct sim *new_switch(void)
{
	struct sim *s = sim_new(1);

	for (unsigned int i = 0; i < KINDS; i++) {
		port[i] = sim_attach(s, kind[i].name, kind[i].words);
		dummy_set_offloads(port[i]->port, kind[i].offloads);
	}
	sim_mirror(s, "all", "to=mirror");
	switch_commit(s->sw);
	return s;
}

/* What left through a port is something that the port can take. Tags can't be
 * checked: a second one may come to light where a native VLAN's was taken. */
static void check_out(const struct switch_port *p, const struct dummy_frame *g)
{
	struct frame f;

	must(g->len >= ETHER_HEADER_LEN, "a frame has a header");
	frame_init(&f, g->data, g->len);
	f.vnet = g->vnet;
	must(!(frame_offloads(&f) & ~p->port->tx_offloads),
	     "no offload that the port doesn't take");
	must(!(f.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
		     f.vnet.csum_start + f.vnet.csum_offset + 2u <= f.len,
	     "a checksum to complete lies in the frame");
	if (f.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		must(f.len <= MTU + ETHER_HEADER_LEN + ETHER_TAG_LEN,
		     "no frame is longer than the MTU");
	else
		must(f.vnet.gso_size && f.vnet.hdr_len < f.len &&
			     f.vnet.hdr_len + f.vnet.gso_size <=
				     MTU + ETHER_HEADER_LEN + ETHER_TAG_LEN,
		     "no segment is longer than the MTU");
	must(g->mirror_dir != FRAME_DIR_NONE || mac_load(g->data + 6) != 0,
	     "no source of zeros");
}

static void check_ledgers(struct sim *s, const uint64_t *sent)
{
	for (unsigned int i = 0; i < KINDS; i++) {
		uint64_t rx = 0, tx = 0;
		struct port_counters c;

		switch_port_counters(s->sw, port[i], &c);
		for (int r = 0; r < DROP_REASON_COUNT; r++) {
			rx += counter_get(&c.rx_drop[r]);
			tx += counter_get(&c.tx_drop[r]);
		}
		must(counter_get(&c.rx_frames) == sent[i],
		     "each frame is received once");
		must(sent[i] == counter_get(&c.rx_forwarded) + rx,
		     "the ingress ledger closes");
		must(counter_get(&c.tx_copies) ==
			     counter_get(&c.tx_frames) + tx,
		     "the egress ledger closes");
	}
}

static void run(struct sim *s)
{
	for (unsigned int i = 0; i < KINDS; i++)
		while (dummy_pending(port[i]->port))
			worker_poll(port[i]->worker[0], port[i]->port->index,
				    port[i]->port->generation, s->now_s);
	for (unsigned int i = 0; i < KINDS; i++) {
		struct dummy_frame got;

		while (dummy_take(port[i]->port, &got)) {
			check_out(port[i], &got);
			free(got.data);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sim *s;
	static uint64_t sent[KINDS];
	unsigned int frames = 0;

	/* One switch for all inputs: what it has learned makes no difference
	 * to the invariants, and an input finds the FDB flushed. */
	if (!s)
		s = new_switch();
	fdb_flush(s->sw->shared.fdb, FDB_ANY, FDB_ANY, false);
	while (size >= RECORD_HEAD && frames++ < FRAMES_MAX) {
		unsigned int to = (data[0] & 0x7f) % KINDS;
		uint32_t len = load_be16(data + 2), head;
		struct virtio_net_hdr_v1 v;

		if (len > size - RECORD_HEAD)
			len = (uint32_t)(size - RECORD_HEAD);
		head = len - len * data[1] / 256;
		memcpy(&v, data + 4, sizeof(v));
		must(dummy_inject(port[to]->port, data + RECORD_HEAD, len, &v,
				  head) == 0,
		     "there is room");
		sent[to]++;
		if (data[0] & 0x80)
			run(s);
		data += RECORD_HEAD + len;
		size -= RECORD_HEAD + len;
	}
	run(s);
	check_ledgers(s, sent);
	return 0;
}
