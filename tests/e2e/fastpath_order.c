/*
 * fastpath_order - numbered frames between guests, none lost, twice, overtaken
 *
 *	fastpath_order [-b] [-w FRAMES] DEVICE... [-- SINK...]
 *
 * The devices, three at least, are TAPs that are ports of one switch; the
 * program holds them as guests do. SINKs are held and read, and what comes
 * there doesn't count (a mirror's target). With -b their descriptors may sleep,
 * which makes the kernel take another way. Flows:
 *
 *	- from each device to each other one, by its address
 *	- from each device to an address that never sends, so is never known
 *	- from each device to all
 *
 * A flow is one source, one destination, one sequence of numbers: small frames,
 * long ones and super-frames in turn. At most FRAMES (24) of a flow are under
 * way: they are sent and neither at their last reader nor given up, so no queue
 * can be full. What is lost keeps its place in the window.
 *
 * First each device hears a super-frame of each other one, by other addresses:
 * a TAP whose carrier has just come loses those until the kernel has set up its
 * queue. Prints "ready" when all flows flow, then sends until standard input
 * ends, waits for what is under way and prints a JSON object: frames sent,
 * received (those to all count at each reader), lost, twice, reordered, and
 * strays (at a device they weren't for: the switch didn't know the address).
 * Exit status: 0 if none was lost, twice or reordered.
 *
 * Two threads: main sends, the other one reads.
 */
#include "tests/e2e/guest.h"
#include "tests/unit/superframe.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DEVICES_MAX 8
#define FLOWS_MAX   (DEVICES_MAX * (DEVICES_MAX + 1))
#define WINDOW	    24
#define READ_BURST  64	 /* frames of one device before the next one's turn */
#define MEMORY	    8192 /* numbers of a flow remembered; a power of two */
#define READY_MS    10000
#define DRAIN_MS    1000 /* as long as nothing has come */
#define IDLE_NS	    20000
#define GSO_SIZE    1400

/* What a flow's frames are, in turn. */
static const struct size {
	uint32_t payload;
	uint16_t gso_size;
} sizes[] = {
	{ 18, 0 },   { 18, 0 },	  { 1400, 0 }, { 18, 0 },
	{ 700, 0 },  { 18, 0 },	  { 18, 0 },   { 6000, GSO_SIZE },
	{ 1400, 0 }, { 1400, 0 }, { 18, 0 },   { 2801, GSO_SIZE },
	{ 18, 0 },
};
#define SIZES (sizeof(sizes) / sizeof(*sizes))

#define HELLO	      UINT32_MAX /* a flow that is none */
#define HELLO_SIZE    7		 /* of sizes[]: a super-frame */
#define HELLO_EACH_MS 5

/* At the head of the payload. */
struct number {
	uint32_t flow, seq;
};

/* What one reader knows of a flow. */
struct sight {
	uint32_t next;	/* one more than the highest that came */
	uint32_t wrong; /* that first came out of turn; 0 where none did */
	uint64_t received, twice, reordered;
	uint8_t missing[MEMORY]; /* by number: it hasn't come yet */
};

struct flow {
	uint64_t dst, src;
	unsigned int from;
	uint32_t readers;	  /* bits: devices that it is for */
	_Atomic uint32_t sent;	  /* main's */
	_Atomic uint64_t arrived; /* the reader's: over all readers */
	struct sight sight[DEVICES_MAX];
};

static int device[DEVICES_MAX], sink[DEVICES_MAX];
static unsigned int devices, sinks, flows, window = WINDOW;
static struct flow flow[FLOWS_MAX];
static struct frame shape[SIZES];
static uint64_t strays, foreign;
static _Atomic uint32_t heard[DEVICES_MAX]; /* bits: of which devices */
static atomic_bool over;

/* ---- reading ------------------------------------------------------------ */

static void sight_take(struct sight *s, uint32_t seq)
{
	s->received++;
	if (seq != s->next && !s->wrong)
		s->wrong = seq;
	if (seq >= s->next) {
		for (uint32_t k = s->next; k < seq; k++)
			s->missing[k % MEMORY] = 1;
		s->missing[seq % MEMORY] = 0;
		s->next = seq + 1;
	} else if (s->next - seq < MEMORY && s->missing[seq % MEMORY]) {
		s->missing[seq % MEMORY] = 0;
		s->reordered++;
	} else {
		s->twice++;
	}
}

/* Where the payload begins, as superframe_build() puts it. */
static const uint8_t *payload_of(const struct frame *f)
{
	const struct superframe s = { .tcp_flags = 0 };
	uint32_t at = superframe_head(&s);

	return f->len >= at + sizeof(struct number) ? f->data + at : NULL;
}

static void take(unsigned int i, const struct frame *f)
{
	const uint8_t *p = payload_of(f);
	struct number n;
	struct flow *fl;

	if (!p || load_be16(f->data + 12) != 0x0800) {
		foreign++;
		return;
	}
	memcpy(&n, p, sizeof(n));
	if (n.flow == HELLO && n.seq < devices) {
		atomic_fetch_or(&heard[i], 1u << n.seq);
		return;
	}
	if (n.flow >= flows) {
		foreign++;
		return;
	}
	fl = &flow[n.flow];
	if (!(fl->readers >> i & 1)) {
		strays++;
		return;
	}
	sight_take(&fl->sight[i], n.seq);
	atomic_fetch_add(&fl->arrived, 1);
}

static void read_some(unsigned int i)
{
	struct frame f;

	for (unsigned int k = 0; k < READ_BURST; k++) {
		if (!guest_read(i < devices ? device[i] : sink[i - devices], &f,
				0))
			return;
		if (i < devices)
			take(i, &f);
	}
}

static void *reader(void *arg)
{
	struct pollfd p[2 * DEVICES_MAX];

	(void)arg;
	for (unsigned int i = 0; i < devices + sinks; i++)
		p[i] = (struct pollfd){
			.fd = i < devices ? device[i] : sink[i - devices],
			.events = POLLIN,
		};
	while (!atomic_load(&over)) {
		if (poll(p, devices + sinks, 20) <= 0)
			continue;
		for (unsigned int i = 0; i < devices + sinks; i++)
			if (p[i].revents)
				read_some(i);
	}
	return NULL;
}

/* ---- addresses ---------------------------------------------------------- */

enum address_of { ADDRESS_FLOWS, ADDRESS_SILENT, ADDRESS_HELLO };

static uint64_t address(unsigned int i, enum address_of what)
{
	return 0x0200005e0000ull | (uint64_t)what << 8 | (i + 1);
}

/* ---- sending ------------------------------------------------------------ */

static unsigned int readers_of(const struct flow *fl)
{
	return (unsigned int)__builtin_popcount(fl->readers);
}

static bool window_open(const struct flow *fl)
{
	uint64_t sent = atomic_load(&fl->sent);

	return sent * readers_of(fl) <
	       atomic_load(&fl->arrived) + (uint64_t)window * readers_of(fl);
}

static void send_frame(unsigned int from, struct frame *f, uint64_t dst,
		       uint64_t src, struct number n)
{
	mac_store(f->data, dst);
	mac_store(f->data + 6, src);
	memcpy((uint8_t *)(uintptr_t)payload_of(f), &n, sizeof(n));
	if (!guest_write(device[from], f)) {
		perror("write");
		exit(1);
	}
}

static void send_next(uint32_t i)
{
	struct flow *fl = &flow[i];
	uint32_t seq = atomic_load(&fl->sent);

	/* Before it can be read. */
	atomic_store(&fl->sent, seq + 1);
	send_frame(fl->from, &shape[seq % SIZES], fl->dst, fl->src,
		   (struct number){ i, seq });
}

/* One of each flow that may; false where none might. */
static bool send_round(void)
{
	bool any = false;

	for (uint32_t i = 0; i < flows; i++) {
		if (window_open(&flow[i])) {
			send_next(i);
			any = true;
		}
	}
	return any;
}

static void idle(void)
{
	struct timespec ts = { .tv_nsec = IDLE_NS };

	nanosleep(&ts, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint32_t others_of(unsigned int i)
{
	return ((1u << devices) - 1) & ~(1u << i);
}

static bool all_heard(void)
{
	for (unsigned int i = 0; i < devices; i++)
		if ((atomic_load(&heard[i]) & others_of(i)) != others_of(i))
			return false;
	return true;
}

static bool meet(void)
{
	struct timespec pause = { .tv_nsec = HELLO_EACH_MS * 1000000L };
	uint64_t since = now_ms();

	while (!all_heard()) {
		if (now_ms() > since + READY_MS)
			return false;
		for (unsigned int i = 0; i < devices; i++)
			send_frame(i, &shape[HELLO_SIZE], MAC_BROADCAST,
				   address(i, ADDRESS_HELLO),
				   (struct number){ HELLO, i });
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Has each flow sent more than its window? */
static bool all_flow(void)
{
	for (uint32_t i = 0; i < flows; i++)
		if (atomic_load(&flow[i].sent) <= window)
			return false;
	return true;
}

static bool input_ended(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void send_all(void)
{
	uint64_t since = now_ms();
	bool ready = false;

	do {
		for (unsigned int k = 0; k < 16; k++)
			if (!send_round())
				idle();
		if (!ready && all_flow()) {
			ready = true;
			puts("ready");
			fflush(stdout);
		} else if (!ready && now_ms() > since + READY_MS) {
			fprintf(stderr, "not all flows flow\n");
			return;
		}
	} while (!input_ended());
}

static uint64_t arrived_all(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < flows; i++)
		sum += atomic_load(&flow[i].arrived);
	return sum;
}

static uint64_t due_all(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < flows; i++)
		sum += (uint64_t)atomic_load(&flow[i].sent) *
		       readers_of(&flow[i]);
	return sum;
}

static void drain(void)
{
	uint64_t seen = arrived_all(), since = now_ms();

	while (seen < due_all() && now_ms() < since + DRAIN_MS) {
		uint64_t now = arrived_all();

		idle();
		if (now != seen)
			since = now_ms();
		seen = now;
	}
}

/* ---- the end ------------------------------------------------------------ */

struct sums {
	uint64_t sent, due, received, lost, twice, reordered;
};

static void flow_sums(const struct flow *fl, struct sums *sum)
{
	struct sums own = { .sent = atomic_load(&fl->sent) };
	uint32_t out_of_turn = 0;

	for (unsigned int i = 0; i < devices; i++) {
		const struct sight *s = &fl->sight[i];

		if (!(fl->readers >> i & 1))
			continue;
		own.due += own.sent;
		own.received += s->received;
		own.twice += s->twice;
		own.reordered += s->reordered;
		if (!out_of_turn)
			out_of_turn = s->wrong;
	}
	own.lost = own.due - (own.received - own.twice);
	if (own.lost || own.twice || own.reordered)
		fprintf(stderr,
			"%012" PRIx64 " to %012" PRIx64 ": %" PRIu64
			" sent, lost %" PRIu64 ", twice %" PRIu64
			", reordered %" PRIu64 ", out of turn first: %u\n",
			fl->src, fl->dst, own.sent, own.lost, own.twice,
			own.reordered, out_of_turn);
	sum->sent += own.sent;
	sum->due += own.due;
	sum->received += own.received;
	sum->lost += own.lost;
	sum->twice += own.twice;
	sum->reordered += own.reordered;
}

static bool report(void)
{
	struct sums sum = { 0 };

	for (uint32_t i = 0; i < flows; i++)
		flow_sums(&flow[i], &sum);
	printf("{\"flows\": %u, \"sent\": %" PRIu64 ", \"due\": %" PRIu64
	       ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"twice\": %" PRIu64 ", \"reordered\": %" PRIu64
	       ", \"strays\": %" PRIu64 ", \"foreign\": %" PRIu64 "}\n",
	       flows, sum.sent, sum.due, sum.received, sum.lost, sum.twice,
	       sum.reordered, strays, foreign);
	return !sum.lost && !sum.twice && !sum.reordered;
}

/* ---- main --------------------------------------------------------------- */

static void flow_add(unsigned int from, uint64_t dst, uint32_t readers)
{
	struct flow *fl = &flow[flows++];

	fl->from = from;
	fl->src = address(from, ADDRESS_FLOWS);
	fl->dst = dst;
	fl->readers = readers;
}

/* The silent addresses are behind the device after the sender's: each device
 * would get such a frame. */
static void flows_make(void)
{
	for (unsigned int i = 0; i < devices; i++) {
		unsigned int after = (i + 1) % devices;

		for (unsigned int k = 0; k < devices; k++)
			if (k != i)
				flow_add(i, address(k, ADDRESS_FLOWS), 1u << k);
		flow_add(i, address(after, ADDRESS_SILENT), 1u << after);
		flow_add(i, MAC_BROADCAST, others_of(i));
	}
}

static void shapes_make(void)
{
	static uint8_t mem[SIZES][FRAME_SLOT];

	for (unsigned int i = 0; i < SIZES; i++) {
		struct superframe s = { .tcp_flags = 0x10,
					.sport = 40000,
					.payload = sizes[i].payload };
		struct frame *f = &shape[i];

		frame_init(f, mem[i] + FRAME_HEADROOM, 0);
		f->len = superframe_build(&s, f->data, SUPERFRAME_PARTIAL);
		superframe_vnet(&s, sizes[i].gso_size, &f->vnet);
	}
}

static void end_add(const char *dev, bool block, bool is_sink)
{
	int fd = guest_open(dev, 0, GUEST_OFFLOADS);

	if (block)
		guest_block(fd);
	if (is_sink)
		sink[sinks++] = fd;
	else
		device[devices++] = fd;
}

static bool arguments(int argc, char **argv)
{
	bool to_sinks = false, block = false;
	int c;

	while ((c = getopt(argc, argv, "+bw:")) != -1) {
		if (c == 'b')
			block = true;
		else if (c == 'w')
			window = (unsigned int)strtoul(optarg, NULL, 10);
		else
			return false;
	}
	for (; optind < argc; optind++) {
		if (!strcmp(argv[optind], "--"))
			to_sinks = true;
		else if ((to_sinks ? sinks : devices) < DEVICES_MAX)
			end_add(argv[optind], block, to_sinks);
		else
			return false;
	}
	return devices > 2 && window > 0 && window < MEMORY / 2;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	bool ok;

	if (!arguments(argc, argv)) {
		fprintf(stderr, "usage: fastpath_order [-b] [-w FRAMES] "
				"DEVICE... [-- SINK...]\n");
		return 2;
	}
	flows_make();
	shapes_make();
	errno = pthread_create(&thread, NULL, reader, NULL);
	if (errno) {
		perror("thread");
		return 1;
	}
	ok = meet();
	if (ok)
		send_all();
	else
		fprintf(stderr, "the devices don't hear each other\n");
	drain();
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	return !(report() && ok);
}
