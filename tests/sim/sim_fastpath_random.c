/*
 * Random switches and random frames: the kernel's programs and the pipeline
 * decide alike. A seed makes the same run each time; SIM_SEEDS=FIRST,N in the
 * environment tries others.
 */
#include "tests/sim/fast.h"

#include "tests/unit/superframe.h"

#include <stdlib.h>

#define SEEDS 300
#define STEPS 60
#define PORTS 6

static uint64_t state;
static uint8_t buf[FRAME_LEN_MAX + 64];

/* xorshift64*; 0 to n - 1. */
static uint32_t rnd(uint32_t n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static bool one_in(uint32_t n)
{
	return rnd(n) == 0;
}

/* ---- The switch ---- */

static const char *port_name(unsigned int i)
{
	static const char *const name[PORTS] = { "a", "b", "c", "d", "e", "f" };

	return name[i];
}

static bool attached(struct sim *s, unsigned int i)
{
	return switch_port_find(s->sw, port_name(i)) != NULL;
}

/* Few VLANs, so that ports meet. */
static void random_words(char *words, size_t size)
{
	static const char *const vlans[] = {
		"",
		"mode=access vlan=1",
		"mode=access vlan=2",
		"mode=access vlan=3",
		"mode=trunk",
		"mode=trunk trunk=1-3",
		"mode=trunk trunk=2,3",
		"mode=trunk trunk=1,2 vlan=2",
		"mode=trunk trunk=1-4094 vlan=3",
	};

	snprintf(words, size, "%s%s%s%s%s%s",
		 vlans[rnd(sizeof(vlans) / sizeof(vlans[0]))],
		 one_in(4)   ? " isolated=yes"
		 : one_in(3) ? " uplink=yes"
			     : "",
		 one_in(8) ? " learn=no" : "", one_in(8) ? " flood=no" : "",
		 one_in(16) ? " enabled=no" : "", one_in(4) ? " mtu=576" : "");
}

static void random_attach(struct sim *s, unsigned int i)
{
	static const uint32_t offloads[] = {
		0,
		PORT_TX_CSUM,
		PORT_TX_CSUM | PORT_TX_TSO4,
		PORT_TX_CSUM | PORT_TX_ALL_GSO,
	};
	char words[256];

	random_words(words, sizeof(words));
	sim_attach(s, port_name(i), words);
	dummy_set_offloads(sim_dummy(s, port_name(i)), offloads[rnd(4)]);
	sim_port(s, port_name(i))->config.fast_path = !one_in(8);
}

static uint64_t random_mac(void)
{
	static const uint64_t special[] = {
		0,
		MAC_BROADCAST,
		0x01005e000001,
		0x333300000001,
		0x0180c2000000,
		0x0180c200000e,
		0x0180c2000010,
	};

	if (one_in(6))
		return special[rnd(sizeof(special) / sizeof(special[0]))];
	return A + rnd(2 * PORTS);
}

static void random_mirror(struct sim *s)
{
	unsigned int from = rnd(PORTS), to = rnd(PORTS);
	struct error err = { 0 };
	char words[64];

	if (switch_mirror_find(s->sw, "x")) {
		assert_int_equal(switch_mirror_remove(s->sw, "x", &err), 0);
	} else if (from != to && attached(s, from) && attached(s, to)) {
		snprintf(words, sizeof(words), "from=%s to=%s", port_name(from),
			 port_name(to));
		sim_mirror(s, "x", words);
	}
}

static void random_settings(struct sim *s)
{
	struct switch_settings o = s->sw->settings;

	o.tpid = one_in(3) ? 0x88a8 : 0x8100;
	o.forward_reserved = one_in(2) ? 0xffff : 0;
	o.fast_path = !one_in(8);
	switch_settings_set(s->sw, &o);
}

static void random_static(struct sim *s, unsigned int i)
{
	uint64_t mac = A + rnd(2 * PORTS);
	uint16_t vid = (uint16_t)(1 + rnd(3));
	struct error err = { 0 };

	/* It may be refused: the port isn't in the VLAN. */
	if (!switch_static_remove(s->sw, mac, vid) &&
	    switch_static_add(s->sw, mac, vid, port_name(i),
			      SWITCH_ORIGIN_CONTROL, &err) < 0)
		assert_true(err.err > 0);
}

static void change(struct sim *s)
{
	unsigned int i = rnd(PORTS);
	char words[256];

	if (one_in(8))
		random_settings(s);
	else if (one_in(8))
		random_mirror(s);
	else if (one_in(8))
		sim_advance(s, rnd(200));
	else if (one_in(8))
		fdb_flush(s->sw->shared.fdb, FDB_ANY, (int)(1 + rnd(3)), false);
	else if (!attached(s, i))
		random_attach(s, i);
	else if (one_in(4))
		sim_detach(s, port_name(i));
	else if (one_in(3))
		random_static(s, i);
	else if (one_in(4))
		switch_port_link(s->sw, sim_port(s, port_name(i)), "",
				 !one_in(4), !one_in(4), 576 + rnd(1000));
	else {
		random_words(words, sizeof(words));
		sim_set(s, port_name(i),
			"mode= vlan= trunk= isolated= uplink= learn= flood= "
			"enabled= mtu=");
		sim_set(s, port_name(i), words);
	}
}

/* ---- Frames ---- */

static uint32_t random_tag(void)
{
	uint32_t vid = one_in(8) ? rnd(4096) : rnd(5);

	return (one_in(6) ? STAG(vid) : CTAG(vid)) | SIM_PCP(rnd(8));
}

static void send_simple(struct sim *s, const char *port)
{
	static const uint16_t type[] = { 0,	 0x0806, 0x0800, 0x86dd,
					 0x8100, 0x88a8, 46,	 1400 };
	struct sim_frame f = { .dst = random_mac(), .src = random_mac() };

	for (unsigned int i = 0; i < 3 && one_in(2); i++)
		f.tag[i] = random_tag();
	f.type = type[rnd(8)];
	f.payload = one_in(4) ? 1 + rnd(3000) : 46;
	sim_send(s, port, f);
}

/* TCP and UDP, with a vnet header or without, or to be segmented. */
static void send_ip(struct sim *s, const char *port)
{
	struct superframe f = {
		.ipv6 = rnd(2),
		.udp = rnd(2),
		.tags = one_in(3),
		.ext = one_in(4) ? rnd(SUPERFRAME_EXT_COUNT) : 0,
		.tcp_options = one_in(2) ? 12 : 0,
		.tcp_flags = 0x10,
		.id = (uint16_t)rnd(65536),
		.sport = (uint16_t)rnd(65536),
		.payload = one_in(4) ? rnd(3000) : rnd(1200),
	};
	bool is_partial = one_in(2);
	uint16_t gso_size =
		is_partial && one_in(2) ? (uint16_t)(50 + rnd(1500)) : 0;
	struct virtio_net_hdr_v1 v;
	uint32_t len = superframe_build(
		&f, buf, is_partial ? SUPERFRAME_PARTIAL : SUPERFRAME_COMPLETE);

	superframe_vnet(&f, gso_size, &v);
	mac_store(buf, random_mac());
	mac_store(buf + 6, random_mac());
	if (f.tags)
		store_be32(buf + 12, random_tag());
	else if (!is_partial && one_in(4)) /* whatever that makes of it */
		buf[ETHER_HEADER_LEN + rnd(40)] ^= (uint8_t)(1 << rnd(8));
	sim_send_bytes(s, port, buf, len, is_partial ? &v : NULL, 0);
}

static void traffic(struct sim *s)
{
	for (unsigned int n = 1 + rnd(one_in(4) ? 5 : 1); n; n--) {
		unsigned int i = rnd(PORTS);

		if (!attached(s, i))
			continue;
		if (one_in(2))
			send_ip(s, port_name(i));
		else
			send_simple(s, port_name(i));
	}
	sim_run(s);
	sim_forgive(s);
}

/* Everybody says hello, so that there is something known. */
static void hello(struct sim *s)
{
	for (unsigned int i = 0; i < PORTS; i++)
		for (uint32_t k = 0; k < 8 && attached(s, i); k++)
			sim_send(s, port_name(i),
				 FRAME(.src = A + i + PORTS * (k & 1),
				       .dst = MAC_BROADCAST,
				       .tag = { k & 6 ? CTAG(k >> 1) : 0 }));
	sim_run(s);
	sim_forgive(s);
}

static void run_seed(unsigned int seed)
{
	struct sim *s = sim_new(1 + seed % 2);

	assert_non_null(s->fastpath);
	state = 0x9e3779b97f4a7c15ull * (seed + 1);
	if (one_in(2)) {
		struct switch_settings o = s->sw->settings;

		o.tpid = 0x8100;
		o.forward_reserved = 0x4001;
		switch_settings_set(s->sw, &o);
	}
	for (unsigned int i = 0; i < PORTS; i++)
		if (!one_in(6))
			random_attach(s, i);
	sim_run(s);
	hello(s);
	for (unsigned int i = 0; i < STEPS; i++) {
		if (one_in(12)) {
			change(s);
			sim_run(s);
			if (one_in(2))
				hello(s);
		}
		traffic(s);
	}
	sim_forgive(s);
	sim_free(s);
}

static void kernel_and_pipeline_decide_alike(void **unused)
{
	struct sim_kernel_seen *seen = &sim_kernel_seen;
	unsigned int first = 0, n = SEEDS;
	const char *e = getenv("SIM_SEEDS");

	(void)unused;
	if (e)
		assert_int_equal(sscanf(e, "%u,%u", &first, &n), 2);
	for (unsigned int i = first; i < first + n; i++) {
		if (e)
			print_message("seed %u\n", i);
		run_seed(i);
	}
	print_message("forwarded %u, of them flooded %u, by XDP %u; "
		      "dropped %u\n",
		      seen->forwarded, seen->flooded, seen->xdp, seen->dropped);
	/* Else there is nothing to compare. */
	if (!e) {
		assert_true(seen->forwarded > 10000);
		assert_true(seen->flooded > 5000);
		assert_true(seen->xdp > 200);
		assert_true(seen->dropped > 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_and_pipeline_decide_alike),
	};

	if (fast_skipped("kernel and pipeline decide alike"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
