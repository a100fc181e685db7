/*
 * fastpath_csum - what comes out of a switch is what went in
 *
 *	fastpath_csum [-b] WRITER READER PLAIN
 *
 * The three are TAPs that are ports of one switch. The program holds them as
 * guests do, PLAIN without offloads; with -b the writer's descriptor may sleep,
 * which makes the kernel take another way (tun builds small frames of others in
 * place, and only those meet native XDP). Each says hello to all; then it
 * prints "ready" and obeys lines:
 *
 *	probe	writes one frame to READER: prints "passed", or "waits" where
 *		nothing comes
 *	small, super
 *		sends small frames, or super-frames, to READER until the next
 *		line comes
 *	go	sends all groups of frames and prints a line for each group and
 *		reader: NAME, READER, how many frames, how many of them came
 *		otherwise than they should; and of all, by the name of
 *		"order", how many were overtaken by others; ends. Where the
 *		kernel has no USO there's no line for it
 *
 * The first ones that are wrong are shown on stderr.
 */
#include "tests/e2e/fastpath_csum.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH	      64
#define BATCH_BYTES   (256 << 10) /* sockets and queues hold more */
#define BATCH_COMING  400	  /* frames; a TAP's queue holds 1000 */
#define SHOWN_MAX     3		  /* of a group */
#define WRONG_MAX     8		  /* then the group ends */
#define QUIET_MS      60
#define PROBE_MS      300
#define HELLO_TRIES   50
#define HELLO_TYPE    0x88b6 /* IEEE 802: for experiments */
#define HELLO_LEN     60
#define HELLO_VLAN    10 /* of tagged superframes */
#define ABOUT_LEN     96
#define OK_VALUES_MAX 3
#define UDP_FIELD     6 /* offset of the checksum in its header */

struct probe {
	struct frame f;
	enum want want;
	uint32_t field; /* offset of the checksum; 0: there's none */
	uint16_t ok[OK_VALUES_MAX];
	char about[ABOUT_LEN];
	struct superframe s; /* WANT_GSO */
	uint16_t gso_size;
};

static struct reader {
	const char *dev;
	int fd;
	uint8_t mac5; /* last byte of its address */
	bool plain;
} readers[2];

static int writer;
static struct reader *to;
bool reader_is_plain;
static bool has_uso;

static struct probe batch[BATCH];
static uint8_t batch_mem[BATCH][FRAME_SLOT];
static unsigned int batch_n, batch_bytes, batch_coming;
static char about[ABOUT_LEN];
static unsigned int probes, wrong, overtaken;

/* ---- comparing ---------------------------------------------------------- */

static bool bytes_but_field(const struct frame *a, const struct frame *b,
			    uint32_t field)
{
	if (!field)
		return !memcmp(a->data, b->data, a->len);
	return !memcmp(a->data, b->data, field) &&
	       !memcmp(a->data + field + 2, b->data + field + 2,
		       a->len - field - 2);
}

static bool same_csum(const struct frame *a, const struct frame *b)
{
	return a->vnet.flags == b->vnet.flags &&
	       a->vnet.csum_start == b->vnet.csum_start &&
	       a->vnet.csum_offset == b->vnet.csum_offset &&
	       !memcmp(a->data, b->data, a->len);
}

static bool same_gso(const struct frame *a, const struct frame *b)
{
	return a->vnet.gso_type == b->vnet.gso_type &&
	       a->vnet.gso_size == b->vnet.gso_size && same_csum(a, b);
}

/* Of a frame that has no partial checksum any more. */
static bool value_is_right(const struct probe *p, const struct frame *got)
{
	uint16_t value, sent;

	if (!p->field)
		return true;
	value = load_be16(got->data + p->field);
	sent = load_be16(p->f.data + p->field);
	if (p->want != WANT_PARTIAL && value == sent)
		return true;
	if (p->want == WANT_AS_SENT)
		return false;
	for (unsigned int i = 0; i < OK_VALUES_MAX; i++)
		if (value == p->ok[i])
			return true;
	return false;
}

/* What is wrong with it, or NULL. */
static const char *complaint(const struct probe *p, const struct frame *got)
{
	uint8_t valid = VIRTIO_NET_HDR_F_DATA_VALID;

	if (got->len != p->f.len)
		return "another length";
	if (!bytes_but_field(&p->f, got, p->field))
		return "other bytes";
	if (p->want == WANT_GSO)
		return same_gso(&p->f, got)
			       ? NULL
			       : "not the super-frame that was sent";
	if (got->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return "a super-frame";
	if (got->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (to->plain || p->want != WANT_PARTIAL)
			return "a partial checksum";
		return same_csum(&p->f, got) ? NULL
					     : "another partial checksum";
	}
	if (p->want == WANT_AS_SENT && got->vnet.flags & valid &&
	    !(p->f.vnet.flags & valid))
		return "said to be valid";
	return value_is_right(p, got) ? NULL : "a wrong checksum";
}

static void show(const struct probe *p, const char *what,
		 const struct frame *got)
{
	if (++wrong > SHOWN_MAX)
		return;
	fprintf(stderr, "to %s: %s: %s\n", to->dev, p->about, what);
	if (p->want != WANT_AS_SENT && p->want != WANT_GSO)
		fprintf(stderr, "checksum at %u: %04x, or %04x, %04x\n",
			p->field, p->ok[0], p->ok[1], p->ok[2]);
	guest_dump("sent", &p->f);
	if (got && got->len)
		guest_dump("got", got);
}

/* ---- sending ------------------------------------------------------------ */

/* The next frame for this reader that is none of the host's. */
static bool next(struct reader *r, struct frame *f, int ms)
{
	while (guest_read(r->fd, f, ms))
		if (mac_load(f->data + 6) == SUPERFRAME_MAC &&
		    load_be16(f->data + 12) != HELLO_TYPE)
			return true;
	f->len = 0;
	return false;
}

static void drain(struct reader *r)
{
	struct frame f;

	while (next(r, &f, QUIET_MS))
		;
}

static bool segments_come(const struct probe *p, struct frame *got, int ms)
{
	static uint8_t want[FRAME_LEN_MAX];
	uint32_t n = superframe_segments(&p->s, p->gso_size);

	for (uint32_t i = 0; i < n; i++) {
		struct superframe part =
			superframe_segment(&p->s, p->gso_size, i);
		uint32_t len =
			superframe_build(&part, want, SUPERFRAME_SEGMENT);

		want[5] = to->mac5;
		if (!next(to, got, ms) || got->len != len ||
		    memcmp(got->data, want, len) != 0 || frame_has_offload(got))
			return false;
	}
	return true;
}

/* NULL where the right one comes, or what is wrong. */
static const char *one_comes(const struct probe *p, struct frame *got, int ms)
{
	if (p->want == WANT_GSO && to->plain)
		return segments_come(p, got, ms) ? NULL
						 : "not the right segments";
	return next(to, got, ms) ? complaint(p, got) : "nothing comes";
}

static void show_overtaken(unsigned int i, unsigned int by)
{
	if (++overtaken > SHOWN_MAX)
		return;
	fprintf(stderr, "to %s: frame %u (%s, %u bytes) overtakes ", to->dev,
		by, batch[by].about, batch[by].f.len);
	fprintf(stderr, "frame %u (%s, %u bytes)\n", i, batch[i].about,
		batch[i].f.len);
}

/* Only within a VLAN and a priority there is an order (IEEE 802.1Q-2022 6.5.3):
 * are they in one? */
static bool same_flow(const struct frame *a, const struct frame *b)
{
	bool tagged = load_be16(a->data + 12) == 0x8100;

	return tagged == (load_be16(b->data + 12) == 0x8100) &&
	       (!tagged || load_be16(a->data + 14) == load_be16(b->data + 14));
}

/* Another one of the batch than that whose turn it is: all are from one guest
 * to another one, but not all of one kind. */
static bool one_is_early(unsigned int turn, const struct frame *got,
			 uint64_t *came)
{
	for (unsigned int i = turn + 1; got->len && i < batch_n; i++) {
		if (*came >> i & 1 || complaint(&batch[i], got))
			continue;
		if (same_flow(&batch[turn].f, &batch[i].f))
			show_overtaken(turn, i);
		*came |= 1ull << i;
		return true;
	}
	return false;
}

/* Write all, then read all. */
static bool batch_passes(void)
{
	struct frame got = { .len = 0 };
	uint64_t came = 0; /* bits: out of turn */
	unsigned int i;

	for (i = 0; i < batch_n; i++)
		if (!guest_write(writer, &batch[i].f))
			return false;
	for (i = 0; i < batch_n; i++) {
		while (!(came >> i & 1)) {
			if (!one_comes(&batch[i], &got, GUEST_DEADLINE_MS))
				break;
			if (!one_is_early(i, &got, &came))
				return false;
		}
	}
	return true;
}

/* After one that is wrong nobody knows which is which: one by one then. */
static void batch_flush(void)
{
	unsigned int before = wrong;
	struct frame got = { .len = 0 };

	if (wrong < WRONG_MAX && !batch_passes()) {
		drain(to);
		for (unsigned int i = 0; i < batch_n && wrong < WRONG_MAX;
		     i++) {
			const char *what = "the kernel refuses it";

			got.len = 0;
			if (guest_write(writer, &batch[i].f))
				what = one_comes(&batch[i], &got, PROBE_MS);
			if (what) {
				show(&batch[i], what, &got);
				drain(to);
			}
		}
		if (wrong == before)
			show(&batch[0],
			     "from here on some don't come, when many do",
			     NULL);
	}
	batch_n = batch_bytes = batch_coming = 0;
}

/* A probe of this frame, by its vnet header without any offload. */
static struct probe *probe_add(const uint8_t *p, uint32_t len, enum want want)
{
	struct probe *b;

	if (batch_n == BATCH || batch_bytes > BATCH_BYTES ||
	    batch_coming > BATCH_COMING)
		batch_flush();
	b = &batch[batch_n];
	frame_init(&b->f, batch_mem[batch_n] + FRAME_HEADROOM, len);
	memcpy(b->f.data, p, len);
	b->f.data[5] = to->mac5;
	b->want = want;
	b->field = 0;
	memset(b->ok, 0, sizeof(b->ok));
	memcpy(b->about, about, sizeof(about));
	batch_n++;
	batch_bytes += len;
	batch_coming++;
	probes++;
	return b;
}

void probe_about(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(about, sizeof(about), fmt, ap);
	va_end(ap);
}

void probe_as_sent(const uint8_t *p, uint32_t len, uint8_t flags)
{
	probe_add(p, len, WANT_AS_SENT)->f.vnet.flags = flags;
}

/* What a completed field may be: 0 and 0xffff are one value but in UDP, and the
 * kernel's own sum goes to the end of the frame. */
static void probe_ok(struct probe *b, const struct span *s)
{
	const uint8_t *p = b->f.data;
	struct span whole = *s;

	whole.end = b->f.len;
	b->field = s->field;
	b->ok[0] = span_right(p, s);
	b->ok[1] = span_right(p, &whole);
	b->ok[2] = b->ok[0];
	if (b->ok[0] == 0xffff && s->field - s->start != UDP_FIELD)
		b->ok[2] = 0;
}

void probe_partial(const uint8_t *p, uint32_t len, const struct span *s)
{
	struct probe *b = probe_add(p, len, WANT_PARTIAL);

	probe_ok(b, s);
	b->f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	b->f.vnet.csum_start = (uint16_t)s->start;
	b->f.vnet.csum_offset = (uint16_t)(s->field - s->start);
}

void probe_either(const uint8_t *p, uint32_t len, const struct span *s)
{
	probe_ok(probe_add(p, len, WANT_EITHER), s);
}

void probe_variants(uint8_t *p, uint32_t len, const struct span *s, bool sacred)
{
	uint16_t partial = superframe_fold(s->pseudo);
	uint16_t right, bad;

	store_be16(p + s->field, partial);
	right = span_right(p, s);
	if (!sacred)
		probe_partial(p, len, s);
	if (sacred)
		probe_as_sent(p, len, 0);
	else
		probe_either(p, len, s);
	store_be16(p + s->field, right);
	if (right == partial)
		probe_either(p, len, s);
	else
		probe_as_sent(p, len, 0);
	bad = right ^ 0x0421;
	if (bad == 0 || bad == partial)
		bad = right ^ 0x0812;
	store_be16(p + s->field, bad);
	probe_as_sent(p, len, 0);
	store_be16(p + s->field, partial);
}

void probe_gso(const struct superframe *s, uint16_t gso_size)
{
	static uint8_t mem[FRAME_LEN_MAX];
	uint32_t len = superframe_build(s, mem, SUPERFRAME_PARTIAL);
	struct span span = span_of(s, mem);
	struct probe *b;

	if (s->payload <= gso_size) { /* of one segment: a plain frame */
		b = probe_add(mem, len, WANT_PARTIAL);
		probe_ok(b, &span);
	} else {
		b = probe_add(mem, len, WANT_GSO);
		batch_coming += superframe_segments(s, gso_size);
	}
	b->s = *s;
	b->gso_size = gso_size;
	superframe_vnet(s, gso_size, &b->f.vnet);
}

/* ---- the guests --------------------------------------------------------- */

static void hello_send(int fd, uint8_t mac5, uint64_t dst, bool tagged)
{
	static uint8_t mem[FRAME_HEADROOM + HELLO_LEN];
	struct frame f;

	memset(mem, 0, sizeof(mem));
	frame_init(&f, mem + FRAME_HEADROOM, HELLO_LEN);
	mac_store(f.data, dst);
	mac_store(f.data + 6, SUPERFRAME_MAC);
	f.data[11] = mac5;
	store_be16(f.data + 12, HELLO_TYPE);
	f.data[14] = tagged;
	if (tagged)
		frame_vlan_push(&f, 0x8100, HELLO_VLAN);
	guest_write(fd, &f);
}

/* Wait for a hello at this end. */
static bool hello_comes(int fd)
{
	struct frame f;

	while (guest_read(fd, &f, QUIET_MS))
		if (load_be16(f.data + 12) == HELLO_TYPE ||
		    load_be16(f.data + 16) == HELLO_TYPE)
			return true;
	return false;
}

/* The reader tells the writer its address, by broadcast, and the writer
 * answers; in both VLANs. Then nothing is under way. */
static bool meet(struct reader *r)
{
	for (unsigned int tagged = 0; tagged < 2; tagged++) {
		unsigned int tries = 0;

		do {
			if (++tries > HELLO_TRIES)
				return false;
			hello_send(r->fd, r->mac5, MAC_BROADCAST, tagged);
		} while (!hello_comes(writer));
		do {
			if (++tries > HELLO_TRIES)
				return false;
			hello_send(writer, SUPERFRAME_MAC & 0xff,
				   (SUPERFRAME_MAC & ~0xffull) | r->mac5,
				   tagged);
		} while (!hello_comes(r->fd));
	}
	return true;
}

static bool all_meet(void)
{
	struct frame f;

	for (unsigned int i = 0; i < 2; i++)
		if (!meet(&readers[i]))
			return false;
	for (unsigned int i = 0; i < 2; i++)
		while (guest_read(readers[i].fd, &f, QUIET_MS))
			;
	return true;
}

static bool line_waits(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* As much as one batch after the other can be. */
static void stream(uint32_t payload, uint16_t gso_size)
{
	struct superframe s = { .tcp_flags = 0x10,
				.payload = payload,
				.sport = 2 };
	static uint8_t mem[FRAME_SLOT];
	struct frame f, got;

	frame_init(&f, mem + FRAME_HEADROOM, 0);
	f.len = superframe_build(&s, f.data, SUPERFRAME_PARTIAL);
	f.data[5] = readers[0].mac5;
	superframe_vnet(&s, gso_size, &f.vnet);
	while (!line_waits()) {
		for (unsigned int i = 0; i < BATCH; i++)
			guest_write(writer, &f);
		for (unsigned int i = 0; i < BATCH; i++)
			next(&readers[0], &got, PROBE_MS);
	}
	drain(&readers[0]);
}

static void probe_once(void)
{
	struct superframe s = { .udp = true, .payload = 100, .sport = 1 };
	static uint8_t mem[FRAME_SLOT];
	struct frame f;

	frame_init(&f, mem + FRAME_HEADROOM, 0);
	f.len = superframe_build(&s, f.data, SUPERFRAME_PARTIAL);
	f.data[5] = readers[0].mac5;
	superframe_vnet(&s, 0, &f.vnet);
	guest_write(writer, &f);
	puts(next(&readers[0], &f, PROBE_MS) ? "passed" : "waits");
	fflush(stdout);
}

/* ---- main --------------------------------------------------------------- */

static const struct group {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "lengths", group_lengths },	  { "values", group_values },
	{ "padding", group_padding },	  { "headers", group_headers },
	{ "fragments", group_fragments }, { "disagreeing", group_disagreeing },
	{ "others", group_others },	  { "tunnels", group_tunnels },
	{ "tcp-gso", group_gso_tcp },	  { "udp-gso", group_gso_udp },
};

static bool go(void)
{
	unsigned int all_wrong = 0;

	if (!all_meet())
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		unsigned int all_probes = 0;

		to = &readers[i];
		reader_is_plain = to->plain;
		overtaken = 0;
		for (unsigned int k = 0; k < sizeof(groups) / sizeof(*groups);
		     k++) {
			if (groups[k].run == group_gso_udp && !has_uso)
				continue;
			probes = wrong = 0;
			groups[k].run();
			batch_flush();
			printf("%s %s %u %u\n", groups[k].name,
			       to->plain ? "plain" : "offloads", probes, wrong);
			fflush(stdout);
			all_probes += probes;
			all_wrong += wrong;
		}
		printf("order %s %u %u\n", to->plain ? "plain" : "offloads",
		       all_probes, overtaken);
		all_wrong += overtaken;
	}
	return all_wrong == 0;
}

static void reader_open(struct reader *r, const char *dev, uint8_t mac5,
			bool plain)
{
	r->dev = dev;
	r->mac5 = mac5;
	r->plain = plain;
	r->fd = guest_open(dev, 0, plain ? 0 : GUEST_OFFLOADS);
	if (!plain)
		has_uso = guest_offload(r->fd, GUEST_OFFLOADS | GUEST_USO);
}

int main(int argc, char **argv)
{
	char line[16];
	bool block;

	block = argc > 1 && !strcmp(argv[1], "-b");
	argv += block;
	if (argc - block != 4) {
		fprintf(stderr,
			"usage: fastpath_csum [-b] WRITER READER PLAIN\n");
		return 2;
	}
	writer = guest_open(argv[1], 0, GUEST_OFFLOADS);
	reader_open(&readers[0], argv[2], 2, false);
	reader_open(&readers[1], argv[3], 3, true);
	if (block)
		guest_block(writer);
	if (!all_meet()) {
		fprintf(stderr, "the guests don't hear each other\n");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	/* So that poll() sees each line. */
	setbuf(stdin, NULL);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "probe\n"))
			probe_once();
		else if (!strcmp(line, "small\n"))
			stream(18, 0);
		else if (!strcmp(line, "super\n"))
			stream(3000, 1400);
		else if (!strcmp(line, "go\n"))
			return !go();
	}
	return 2;
}
