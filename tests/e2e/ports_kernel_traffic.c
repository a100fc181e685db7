/* Frames through a `netdev` port; the guest is a TAP's descriptor. */
#include "tests/e2e/ports_kernel.h"
#include "tests/unit/superframe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MSS	  1448
#define VNET_HEAD 10 /* bytes of struct virtio_net_hdr: no num_buffers */

/* A frame's bytes after `from` is what `want` has there. */
static bool same_bytes(const struct frame *f, const uint8_t *want, uint32_t len)
{
	return f->len == len && !memcmp(f->data, want, len);
}

static struct frame *superframe(const struct superframe *s, uint16_t gso_size)
{
	static uint8_t buf[FRAME_SLOT];
	static struct frame f;

	frame_init(
		&f, buf + FRAME_HEADROOM,
		superframe_build(s, buf + FRAME_HEADROOM, SUPERFRAME_PARTIAL));
	superframe_vnet(s, gso_size, &f.vnet);
	return &f;
}

/* ---- one guest that takes all offloads ---------------------------------- */

static void show_vnet(const char *what, const struct frame *f)
{
	printf("# %s: len %u flags %x gso %x size %u hdr %u start %u off %u\n",
	       what, f->len, f->vnet.flags, f->vnet.gso_type, f->vnet.gso_size,
	       f->vnet.hdr_len, f->vnet.csum_start, f->vnet.csum_offset);
}

/* All of the header that means anything: hdr_len is a hint. */
static bool same_vnet(const struct frame *a, const struct frame *b)
{
	return a->vnet.flags == b->vnet.flags &&
	       a->vnet.gso_type == b->vnet.gso_type &&
	       a->vnet.gso_size == b->vnet.gso_size &&
	       a->vnet.csum_start == b->vnet.csum_start &&
	       a->vnet.csum_offset == b->vnet.csum_offset;
}

/* The next frame from the superframe's source, of the host's noise none. */
static struct frame *port_next(struct end *e)
{
	unsigned int n;

	while ((n = end_rx(e, DEADLINE_MS)) > 0)
		for (unsigned int i = 0; i < n; i++)
			if (mac_load(e->f[i].data + 6) == SUPERFRAME_MAC)
				return &e->f[i];
	return NULL;
}

static bool guest_next(int guest, struct frame *f)
{
	while (guest_read(guest, f, DEADLINE_MS))
		if (mac_load(f->data + 6) == SUPERFRAME_MAC)
			return true;
	return false;
}

static void both_ways(struct end *e, int guest, const struct superframe *s,
		      uint16_t gso_size, const char *what)
{
	struct frame *f = superframe(s, gso_size), *got;
	struct frame back = { .len = 0 };
	uint8_t *copy = malloc(f->len);

	memcpy(copy, f->data, f->len);
	got = guest_write(guest, f) ? port_next(e) : NULL;
	ok_if(got && same_bytes(got, copy, f->len) && same_vnet(got, f),
	      "%s arrives from the guest as it was", what);
	if (got)
		show_vnet("port got", got);
	ok_if(end_tx(e, f) == DROP_REASON_COUNT && guest_next(guest, &back) &&
		      same_bytes(&back, copy, f->len) && same_vnet(&back, f),
	      "%s arrives at the guest as it was", what);
	show_vnet("guest got", &back);
	free(copy);
}

static const struct superframe tcp4 = { .payload = 60000, .tcp_flags = 0x10 };

static void offloads_kept(void)
{
	int guest = guest_open("pko", 0, GUEST_OFFLOADS);
	struct superframe s;
	struct end e;

	end_netdev(&e, "pko");
	if (!end_attach(&e))
		return;
	s = tcp4;
	both_ways(&e, guest, &s, MSS, "a TCP super-frame over IPv4");
	s.tags = 1;
	both_ways(&e, guest, &s, MSS, "a tagged TCP super-frame over IPv4");
	s.tags = 2;
	both_ways(&e, guest, &s, MSS, "a twice tagged TCP super-frame");
	s = tcp4;
	s.ipv6 = true;
	both_ways(&e, guest, &s, MSS, "a TCP super-frame over IPv6");
	s.tags = 1;
	both_ways(&e, guest, &s, MSS, "a tagged TCP super-frame over IPv6");
	s = (struct superframe){ .udp = true, .payload = 1000 };
	both_ways(&e, guest, &s, 0, "a partial UDP checksum");
	s.tags = 1;
	both_ways(&e, guest, &s, 0, "a partial UDP checksum behind a tag");
	if (e.port->tx_offloads & PORT_TX_USO) {
		guest_offload(guest, GUEST_OFFLOADS | GUEST_USO);
		s = (struct superframe){ .udp = true, .payload = 60000 };
		both_ways(&e, guest, &s, MSS, "a UDP super-frame");
		s.ipv6 = true;
		s.tags = 1;
		both_ways(&e, guest, &s, MSS, "a tagged one over IPv6");
	}
	end_detach(&e);
	close(guest);
}

/* ---- one that takes none ------------------------------------------------ */

static void segments_arrive(struct end *e, int guest,
			    const struct superframe *s, const char *what)
{
	struct frame *f = superframe(s, MSS), got;
	uint32_t n = superframe_segments(s, MSS), right = 0;
	static uint8_t want[FRAME_SLOT];

	if (end_tx(e, f) != DROP_REASON_COUNT)
		n = 0;
	for (uint32_t i = 0; i < n && guest_next(guest, &got); i++) {
		struct superframe part = superframe_segment(s, MSS, i);
		uint32_t len =
			superframe_build(&part, want, SUPERFRAME_SEGMENT);

		right +=
			same_bytes(&got, want, len) && !frame_has_offload(&got);
	}
	ok_if(n && right == n, "%s arrives as %u segments, checksums complete",
	      what, n);
}

static void offloads_undone(void)
{
	int guest = guest_open("pku", 0, 0);
	struct superframe s = tcp4;
	struct frame *f, got;
	uint8_t want[2048];
	uint32_t len;
	struct end e;

	end_netdev(&e, "pku");
	if (!end_attach(&e))
		return;
	segments_arrive(&e, guest, &s, "a TCP super-frame over IPv4");
	s.tags = 1;
	segments_arrive(&e, guest, &s, "a tagged TCP super-frame over IPv4");
	s.ipv6 = true;
	segments_arrive(&e, guest, &s, "a tagged TCP super-frame over IPv6");
	if (e.port->tx_offloads & PORT_TX_USO) {
		s = (struct superframe){ .udp = true, .payload = 60000 };
		segments_arrive(&e, guest, &s, "a UDP super-frame");
	}
	s = (struct superframe){ .udp = true, .payload = 999, .tags = 1 };
	f = superframe(&s, 0);
	len = superframe_build(&s, want, SUPERFRAME_COMPLETE);
	ok_if(end_tx(&e, f) == DROP_REASON_COUNT && guest_next(guest, &got) &&
		      same_bytes(&got, want, len) && !frame_has_offload(&got),
	      "a partial UDP checksum behind a tag arrives complete");
	end_detach(&e);
	close(guest);
}

/* ---- tags, order, losses ------------------------------------------------ */

static void tags_come_back(void)
{
	static const uint16_t tpids[] = { 0x8100, 0x88a8 };
	int guest = guest_open("pkt", 0, 0);
	struct end e;

	end_netdev(&e, "pkt");
	if (!end_attach(&e))
		return;
	for (unsigned int i = 0; i < 2; i++) {
		struct frame *f = lab_frame(100, 7), *got, back;
		uint8_t want[104];

		frame_vlan_push(f, tpids[i], 0xa123);
		memcpy(want, f->data, sizeof(want));
		got = guest_write(guest, f) ? end_rx_type(&e, tpids[i]) : NULL;
		ok_if(got && same_bytes(got, want, sizeof(want)),
		      "a tag of %04x that the kernel took out is put back",
		      tpids[i]);
		ok_if(end_tx(&e, f) == DROP_REASON_COUNT &&
			      guest_read_type(guest, &back, tpids[i]) &&
			      same_bytes(&back, want, sizeof(want)),
		      "a frame tagged %04x is sent as it is", tpids[i]);
	}
	end_detach(&e);
	close(guest);
}

static uint32_t mixed_len(uint32_t i)
{
	static const uint32_t lens[] = { 60, 1514, 42, 2062, 9000, 300, 60 };

	return lens[i % 7];
}

static void order_kept(void)
{
	int guest = guest_open("pkm", 0, 0);
	unsigned int right = 0, n;
	struct end e;

	sh("ip link set pkm mtu 9000");
	end_netdev(&e, "pkm");
	if (!end_attach(&e))
		return;
	while (end_rx(&e, 0))
		;
	for (uint32_t i = 0; i < 300; i++)
		guest_write(guest, lab_frame(mixed_len(i), i));
	while ((n = end_rx(&e, 0)) > 0)
		for (unsigned int i = 0; i < n; i++) {
			const struct frame *want =
				lab_frame(mixed_len(right), right);

			if (load_be16(e.f[i].data + 12) == LAB_TYPE)
				right += same_bytes(&e.f[i], want->data,
						    want->len);
		}
	ok_if(right == 300, "300 frames of many lengths come in order (%u)",
	      right);
	end_detach(&e);
	close(guest);
}

static void losses_counted(void)
{
	int guest = guest_open("pkl", 0, 0);
	unsigned int sent = 40000, got = 0, n, full = 0;
	struct frame back;
	struct end e;

	end_netdev(&e, "pkl");
	if (!end_attach(&e))
		return;
	while (end_rx(&e, 0))
		;
	for (uint32_t i = 0; i < sent; i++)
		guest_write(guest, lab_frame(60, i));
	while ((n = end_rx(&e, 0)) > 0)
		got += n;
	ok_if(got < sent && got + atomic_load(&e.port->rx_missed) == sent,
	      "what the socket couldn't hold is counted (%u + %u of %u)", got,
	      (unsigned int)atomic_load(&e.port->rx_missed), sent);
	for (uint32_t i = 0; i < 1100; i++)
		full += end_tx(&e, lab_frame(60, i)) == DROP_QUEUE_FULL;
	for (n = 0; guest_read(guest, &back, 0); n++)
		;
	ok_if(full > 0 && n + full == 1100,
	      "what the guest's queue couldn't take is queue-full (%u + %u)", n,
	      full);
	ok_if(end_tx(&e, lab_frame(1514 + 8, 0)) == DROP_MTU,
	      "longer than the device's MTU is dropped: mtu");
	end_detach(&e);
	close(guest);
}

/* Datagrams to fragment (UFO): a TAP takes them, a packet socket can't tell
 * them in its vnet header and loses them. */
#define UNTELLABLE 200

static void untellable_counted(void)
{
	const struct superframe s = { .udp = true, .payload = 3000 };
	int guest = guest_open("pkf", 0, 0);
	struct frame *f = superframe(&s, MSS), *got = NULL;
	unsigned int n = 0, most = 0;
	uint64_t missed, before = 0;
	struct end e;

	f->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	end_netdev(&e, "pkf");
	if (!end_attach(&e))
		return;
	while (end_rx(&e, 0))
		;
	before = atomic_load(&e.port->rx_missed);
	/* First between good frames, so that bursts break off in the middle;
	 * then without. */
	for (uint32_t i = 0; i < UNTELLABLE; i++) {
		guest_write(guest, f);
		if (i < 40 && i % 10 == 0)
			guest_write(guest, lab_frame(60, i));
	}
	guest_write(guest, lab_frame(60, UNTELLABLE));
	for (unsigned int i = 0; i < UNTELLABLE && !got; i++) {
		uint64_t was = atomic_load(&e.port->rx_missed);
		unsigned int k = end_rx(&e, 0);

		missed = atomic_load(&e.port->rx_missed) - was;
		if (k + missed > most)
			most = k + (unsigned int)missed;
		for (unsigned int j = 0; j < k; j++) {
			n += load_be16(e.f[j].data + 12) == LAB_TYPE;
			if (lab_number(&e.f[j]) == UNTELLABLE)
				got = &e.f[j];
		}
	}
	missed = atomic_load(&e.port->rx_missed) - before;
	ok_if(most <= FRAME_BATCH_MAX,
	      "a burst ends after %u frames, also lost ones (%u)",
	      FRAME_BATCH_MAX, most);
	ok_if(got && n == 4 + 1,
	      "what comes between frames that can't be told arrives (%u)", n);
	ok_if(missed == UNTELLABLE, "each of those is counted (%u of %u)",
	      (unsigned int)missed, UNTELLABLE);
	end_detach(&e);
	close(guest);
}

/* ---- several workers send ----------------------------------------------- */

static void *sender(void *arg)
{
	return (void *)end_send_bursts(arg, 7);
}

static void several_workers(void)
{
	int guest = guest_open("pks", 0, 0);
	unsigned int n = 0, bad = 0;
	struct frame got;
	pthread_t thread;
	void *lost[2];
	struct end e;

	end_netdev(&e, "pks");
	if (!end_attach(&e))
		return;
	while (guest_read(guest, &got, 0))
		;
	pthread_create(&thread, NULL, sender, &e);
	lost[0] = sender(&e);
	pthread_join(thread, &lost[1]);
	for (; guest_read(guest, &got, 0); n++)
		bad += got.len != 60 || load_be16(got.data + 12) != LAB_TYPE;
	ok_if(!lost[0] && !lost[1] && n == 2 * 7 * 64 && !bad,
	      "two threads send at once, all arrives (%u)", n);
	end_detach(&e);
	close(guest);
}

/* ---- veth --------------------------------------------------------------- */

static void veth_stream(void)
{
	struct end a, b;

	sh("ip link add pkva type veth peer name pkwa;"
	   "ip link add pkvb type veth peer name pkwb;"
	   "ip link set pkwb netns " OTHER_NS ";"
	   "ip link set pkwa up; ip addr add " STREAM_FROM "/24 dev pkwa;"
	   "ip -n " OTHER_NS " link set pkwb up;"
	   "ip -n " OTHER_NS " addr add " STREAM_TO "/24 dev pkwb");
	end_netdev(&a, "pkva");
	end_netdev(&b, "pkvb");
	if (end_attach(&a) && end_attach(&b))
		stream_across(&a, &b, "ports on veths");
	end_detach(&a);
	end_detach(&b);
	sh("ip link del pkva; ip link del pkvb");
}

void test_netdev_traffic(void)
{
	veth_stream();
	offloads_kept();
	offloads_undone();
	tags_come_back();
	order_kept();
	losses_counted();
	untellable_counted();
	several_workers();
}
