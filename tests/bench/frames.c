/*
 * frames - offer 60-byte frames to a switch and see what comes out
 *
 *	frames [-t SECONDS] [-r RATE] [-b BURST] [-C CPU] [-p PID]...
 *	       NETNS_A:DEVICE NETNS_B:DEVICE
 *
 * Sends from A to B's address by a packet socket on A's device, past the
 * queueing discipline, so that the device's own queue is all that stands
 * between this program and the switch. What B's device counts as received is
 * what the switch delivered: there is no receiver whose cost would fall on
 * the switch (a TAP delivers in the context of whoever writes to it). The
 * frames are of a local experimental type that no protocol takes.
 *
 * Without -r as fast as it goes; with -r that many frames a second in bursts
 * of -b. A frame goes back first, so that B's address is learned. With -p also
 * the CPU time of all threads of these processes. The answer is one JSON
 * object. One thread.
 */
#include "tests/bench/tool.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_LEN  60	  /* the shortest frame, without its FCS */
#define BURST_MAX  64	  /* frames a sendmmsg */
#define ETYPE	   0x88b5 /* IEEE 802 local experimental 1 */
#define LEARN_STEP (20 * 1000 * 1000L)
#define LEARN_MAX  250		       /* steps */
#define DRAIN_STEP (50 * 1000 * 1000L) /* quiet that long: all is through */
#define DRAIN_MAX  40		       /* steps */

struct end {
	const char *dev;
	uint8_t mac[ETH_ALEN];
	int ifindex;
	int sock;	 /* packet socket in the namespace, receives nothing */
	FILE *dev_stats; /* its /proc/net/dev */
};

struct offer {
	unsigned int rate;  /* frames a second; 0 = flat out */
	unsigned int burst; /* 1..BURST_MAX */
	double seconds;
	uint64_t sent, refused; /* refused: the device's queue was full */
	uint64_t ns;		/* how long it took in the end */
};

/* NETNS:DEVICE; the socket and the file stay in the namespace they are of. */
static void end_open(struct end *e, char *spec)
{
	char *colon = strchr(spec, ':');
	struct ifreq ifr = { 0 };

	if (!colon || strlen(colon + 1) >= sizeof(ifr.ifr_name))
		errx(2, "%s: not NETNS:DEVICE", spec);
	*colon = '\0';
	e->dev = colon + 1;
	tool_netns(spec);
	e->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (e->sock < 0)
		err(1, "packet socket");
	memcpy(ifr.ifr_name, e->dev, strlen(e->dev));
	if (ioctl(e->sock, SIOCGIFINDEX, &ifr) < 0)
		err(1, "%s", e->dev);
	e->ifindex = ifr.ifr_ifindex;
	if (ioctl(e->sock, SIOCGIFHWADDR, &ifr) < 0)
		err(1, "%s", e->dev);
	memcpy(e->mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	e->dev_stats = tool_stats_open();
}

static void sender_open(struct end *a)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_ifindex = a->ifindex,
	};
	int one = 1;

	if (bind(a->sock, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		err(1, "bind %s", a->dev);
	if (setsockopt(a->sock, SOL_PACKET, PACKET_QDISC_BYPASS, &one,
		       sizeof(one)) < 0)
		err(1, "PACKET_QDISC_BYPASS");
}

static void frame_make(uint8_t *frame, const struct end *from,
		       const struct end *to)
{
	memcpy(frame, to->mac, ETH_ALEN);
	memcpy(frame + ETH_ALEN, from->mac, ETH_ALEN);
	frame[12] = ETYPE >> 8;
	frame[13] = ETYPE & 0xff;
}

/* From B to A, until something arrives there. */
static void learn(const struct end *a, const struct end *b)
{
	struct timespec step = { .tv_nsec = LEARN_STEP };
	uint64_t before = tool_received(a->dev_stats, a->dev, NULL);
	uint8_t frame[FRAME_LEN] = { 0 };

	frame_make(frame, b, a);
	for (int i = 0; i < LEARN_MAX; i++) {
		if (send(b->sock, frame, sizeof(frame), 0) < 0 &&
		    errno != ENETDOWN && errno != ENOBUFS)
			err(1, "%s", b->dev);
		nanosleep(&step, NULL);
		if (tool_received(a->dev_stats, a->dev, NULL) != before)
			return;
	}
	errx(1, "nothing gets from %s to %s", b->dev, a->dev);
}

static void offer_run(struct offer *o, int sock, const uint8_t *frame)
{
	struct iovec iov = { (void *)(uintptr_t)frame, FRAME_LEN };
	struct mmsghdr msg[BURST_MAX] = { 0 };
	uint64_t start = tool_now(), now = start;
	uint64_t end = start + (uint64_t)(o->seconds * (double)TOOL_SEC);
	uint64_t step = o->rate ? o->burst * TOOL_SEC / o->rate : 0,
		 due = start;

	for (unsigned int i = 0; i < o->burst; i++) {
		msg[i].msg_hdr.msg_iov = &iov;
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	for (; now < end; now = tool_now()) {
		int n;

		/* By the clock: asleep, the sender would wake up too late. */
		if (step && now < due)
			continue;
		due += step;
		n = sendmmsg(sock, msg, o->burst, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			err(1, "sendmmsg");
		o->sent += n > 0 ? (uint64_t)n : 0;
		o->refused += n < (int)o->burst;
	}
	o->ns = tool_now() - start;
}

/* Wait until nothing more comes; how many came since `before`. */
static uint64_t drain(struct end *b, uint64_t before)
{
	struct timespec step = { .tv_nsec = DRAIN_STEP };
	uint64_t last, now = tool_received(b->dev_stats, b->dev, NULL);

	for (int i = 0; i < DRAIN_MAX; i++) {
		last = now;
		nanosleep(&step, NULL);
		now = tool_received(b->dev_stats, b->dev, NULL);
		if (now == last)
			break;
	}
	return now - before;
}

int main(int argc, char **argv)
{
	static const char usage[] =
		"usage: frames [-t SECONDS] [-r RATE] [-b BURST] [-C CPU] "
		"[-p PID]... NETNS_A:DEVICE NETNS_B:DEVICE";
	struct offer o = { .burst = BURST_MAX, .seconds = 2 };
	const char *pid[TOOL_PIDS_MAX];
	uint8_t frame[FRAME_LEN] = { 0 };
	uint64_t before, received, cpu = 0;
	struct end a, b;
	int c, npids = 0;

	while ((c = getopt(argc, argv, "t:r:b:C:p:")) != -1) {
		if (c == 't')
			o.seconds = atof(optarg);
		else if (c == 'r')
			o.rate = (unsigned int)atoi(optarg);
		else if (c == 'b')
			o.burst = (unsigned int)atoi(optarg);
		else if (c == 'C')
			tool_pin(atoi(optarg));
		else if (c == 'p' && npids < TOOL_PIDS_MAX)
			pid[npids++] = optarg;
		else
			errx(2, "%s", usage);
	}
	if (argc - optind != 2 || o.burst < 1 || o.burst > BURST_MAX)
		errx(2, "%s", usage);
	end_open(&a, argv[optind]);
	end_open(&b, argv[optind + 1]);
	sender_open(&a);
	sender_open(&b);
	learn(&a, &b);
	frame_make(frame, &a, &b);

	for (int i = 0; i < npids; i++)
		cpu -= tool_process_cpu(pid[i]);
	before = tool_received(b.dev_stats, b.dev, NULL);
	offer_run(&o, a.sock, frame);
	received = drain(&b, before);
	for (int i = 0; i < npids; i++)
		cpu += tool_process_cpu(pid[i]);

	printf("{\"seconds\": %.3f, \"sent\": %" PRIu64
	       ", \"refused\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"pps\": %.0f, \"cpu_ns\": %" PRIu64 "}\n",
	       (double)o.ns / TOOL_SEC, o.sent, o.refused, received,
	       (double)received * TOOL_SEC / (double)o.ns, cpu);
	return 0;
}
