/*
 * flood - what a copy of a broadcast costs whoever makes it
 *
 *	flood [-t SECONDS] [-d] PREFIX PORTS
 *
 * Opens TAPs PREFIX0, PREFIX1, .. as QEMU does, says "ready", and waits for a
 * line on its standard input, as holders does; the words in it are pids of the
 * switch. Then it writes broadcasts to PREFIX0 and reads what comes out of all
 * others. With -d the TAPs are the switch's, and it sends by a packet socket on
 * the device PREFIX0 and counts what the others receive.
 *
 * The cost of a copy is CPU time: of the writer, in whose context a switch in
 * the kernel makes its copies, and of the switch's processes, by copies that
 * came out. The clock would say the same of the one and would hide with the
 * other that two processors are at it. What is done:
 *
 *  - A round is ROUND frames, few enough for any queue on the way: nothing is
 *    lost, neither here nor there. What is lost all the same is said.
 *  - The queues are emptied between rounds, at no cost to what is measured, and
 *    nobody sleeps in poll() on a TAP: no contestant pays for waking readers.
 *
 * One thread.
 */
#include "tests/bench/tool.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUND	    100u   /* frames; a TAP's queue has room for 1000 */
#define FRAME_LEN   60u	   /* the shortest frame, without its FCS */
#define ETYPE	    0x88b5 /* IEEE 802 local experimental 1 */
#define PORTS_MAX   4096u
#define WARM_ROUNDS 2u
#define STEP_NS	    (200 * 1000L)
#define ROUND_MAX   (2 * TOOL_SEC) /* then the rest of a round is lost */

struct flood {
	const char *prefix;
	unsigned int ports;
	bool devices;  /* -d */
	int *tap;      /* else the descriptors */
	int sock;      /* -d: sends on the first device */
	FILE *stats;   /* -d */
	uint64_t base; /* -d: what they had received when the round began */
	uint8_t frame[TOOL_VNET_LEN + FRAME_LEN];
	const char *pid[TOOL_PIDS_MAX];
	unsigned int pids;
};

static void step(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
}

static void frame_make(uint8_t *frame)
{
	uint8_t *eth = frame + TOOL_VNET_LEN;

	memset(eth, 0xff, ETH_ALEN);
	memcpy(eth + ETH_ALEN, "\x52\x54\x00\xbe\x01\x01", ETH_ALEN);
	eth[12] = ETYPE >> 8;
	eth[13] = ETYPE & 0xff;
}

static void ports_open(struct flood *f)
{
	f->tap = calloc(f->ports, sizeof(*f->tap));
	if (!f->tap)
		err(1, "memory");
	tool_files(f->ports + 64);
	for (unsigned int i = 0; i < f->ports; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%.8s%u", f->prefix, i);
		f->tap[i] = tool_tap_open(name, TOOL_TAP_QEMU);
	}
}

static void device_open(struct flood *f)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET };
	char name[32];
	int one = 1;

	snprintf(name, sizeof(name), "%.8s0", f->prefix);
	ll.sll_ifindex = (int)if_nametoindex(name);
	f->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (!ll.sll_ifindex || f->sock < 0 ||
	    bind(f->sock, (struct sockaddr *)&ll, sizeof(ll)) < 0 ||
	    setsockopt(f->sock, SOL_PACKET, PACKET_QDISC_BYPASS, &one,
		       sizeof(one)) < 0)
		err(1, "%s", name);
	f->stats = tool_stats_open();
}

/* Frames of ours at a TAP, taken off it. */
static unsigned int tap_empty(const struct flood *f, int fd)
{
	uint8_t buf[2048];
	unsigned int ours = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		ours += n == (ssize_t)sizeof(f->frame) &&
			!memcmp(buf + TOOL_VNET_LEN, f->frame + TOOL_VNET_LEN,
				FRAME_LEN);
	return ours;
}

static void round_write(const struct flood *f)
{
	for (unsigned int i = 0; i < ROUND; i++) {
		ssize_t n;

		if (f->devices)
			n = send(f->sock, f->frame + TOOL_VNET_LEN, FRAME_LEN,
				 0);
		else
			n = write(f->tap[0], f->frame, sizeof(f->frame));
		if (n < 0 && errno != EAGAIN && errno != ENOBUFS)
			err(1, "%s0", f->prefix);
	}
}

/* The last port has its copies last: only then the others are looked at, lest
 * emptying them gets into the way of what fills them. */
static uint64_t round_read_taps(const struct flood *f)
{
	uint64_t end = tool_now() + ROUND_MAX, copies = 0;
	uint64_t expected = (uint64_t)ROUND * (f->ports - 1);

	while (copies < ROUND && tool_now() < end) {
		step();
		copies += tap_empty(f, f->tap[f->ports - 1]);
	}
	do {
		for (unsigned int i = 1; i < f->ports; i++)
			copies += tap_empty(f, f->tap[i]);
	} while (copies < expected && tool_now() < end);
	return copies;
}

static uint64_t round_read(struct flood *f)
{
	uint64_t end = tool_now() + ROUND_MAX, now;
	uint64_t expected = (uint64_t)ROUND * (f->ports - 1);

	if (!f->devices)
		return round_read_taps(f);
	do {
		step();
		now = tool_received(f->stats, NULL, f->prefix) - f->base;
	} while (now < expected && tool_now() < end);
	f->base += now;
	return now;
}

static uint64_t cpu_of_switch(const struct flood *f)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < f->pids; i++)
		sum += tool_process_cpu(f->pid[i]);
	return sum;
}

static void measure(struct flood *f, double seconds)
{
	uint64_t end, start, cpu = 0, copies = 0, expected = 0;
	unsigned int rounds = 0;

	if (f->devices)
		f->base = tool_received(f->stats, NULL, f->prefix);
	for (unsigned int i = 0; i < WARM_ROUNDS; i++) {
		round_write(f);
		round_read(f);
	}
	start = tool_now();
	end = start + (uint64_t)(seconds * (double)TOOL_SEC);
	do {
		uint64_t mine = tool_thread_cpu(), theirs = cpu_of_switch(f);

		round_write(f);
		cpu += tool_thread_cpu() - mine;
		copies += round_read(f);
		cpu += cpu_of_switch(f) - theirs;
		expected += (uint64_t)ROUND * (f->ports - 1);
		rounds++;
	} while (tool_now() < end);
	if (!copies)
		errx(1, "nothing comes through");
	printf("{\"ports\": %u, \"rounds\": %u, \"seconds\": %.3f, "
	       "\"copies\": %" PRIu64 ", \"expected\": %" PRIu64
	       ", \"copy_ns\": %.1f}\n",
	       f->ports, rounds,
	       (double)(tool_now() - start) / (double)TOOL_SEC, copies,
	       expected, (double)cpu / (double)copies);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct flood f;
	double seconds = 2;
	int c;

	while ((c = getopt(argc, argv, "t:d")) != -1) {
		if (c == 't')
			seconds = atof(optarg);
		else if (c == 'd')
			f.devices = true;
		else
			argc = 0;
	}
	if (argc - optind == 2) {
		f.prefix = argv[optind];
		f.ports = (unsigned int)strtoul(argv[optind + 1], NULL, 10);
	}
	if (f.ports < 2 || f.ports > PORTS_MAX)
		errx(2, "usage: flood [-t SECONDS] [-d] PREFIX PORTS");
	frame_make(f.frame);
	if (!f.devices)
		ports_open(&f);
	f.pids = tool_ready(f.pid);
	if (f.devices)
		device_open(&f);
	measure(&f, seconds);
	free(f.tap);
	return 0;
}
