/*
 * steady - frames through a switch, and what became of each of them
 *
 *	steady [-r RATE] [-a ADDRESSES] NETNS:DEVICE NETNS:DEVICE...
 *
 * Each device sends to the next one, the last to the first: numbered frames of
 * 60 bytes by packet sockets, RATE a second in all, until SIGTERM or SIGINT.
 * Then it waits for what is still under way and prints a JSON object: how many
 * frames were sent and received, lost, received twice, out of order, and by a
 * device that they weren't for ("stray": the switch flooded them); what the
 * devices dropped; and the longest time in ms that a device received nothing.
 *
 * Before the first frame each device says hello to all, so that the switch
 * knows the addresses; once all have heard all it prints "ready". With -a each
 * does so under that many more source addresses.
 *
 * The frames are paced. A sender that was kept from running doesn't make up for
 * more than CATCH_UP_NS of it, for a burst would fill the device's queue, which
 * is what a pause of the switch needs; the rate is lower then.
 *
 * Two threads: main sends, the other one receives, each with counters of its
 * own, which are read when the receiver has been joined.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENDS_MAX    16
#define FRAME_LEN   60	       /* the shortest frame, without its FCS */
#define ETYPE	    0x88b6     /* IEEE 802 local experimental 2 */
#define SEQ_MAX	    (1u << 24) /* frames a sender; bounds its bitmap */
#define SEC	    1000000000ull
#define STEP_NS	    1000000 /* the sender wakes up so often */
#define CATCH_UP_NS (5 * STEP_NS)
#define RCVBUF	    (64 << 20)
#define BATCH	    64
#define HELLO	    UINT32_MAX /* a sequence number that is none */
#define HELLO_MS    10000
#define QUIET_MS    300 /* nothing for so long: all has come */
#define DRAIN_MS    10000

struct payload {
	uint32_t from; /* index of the sender, network byte order */
	uint32_t seq;
};

struct end {
	const char *dev;
	uint8_t mac[ETH_ALEN];
	int sock;
	FILE *dev_stats; /* its namespace's /proc/net/dev */
	uint64_t dropped_before;
	uint8_t frame[FRAME_LEN];
	uint32_t sent; /* main's */
	/* The receiver's: of what the end before this one sends. */
	uint8_t *seen;
	uint32_t next;
	uint64_t received, duplicate, reordered, last_ns, gap_ns;
	_Atomic uint32_t heard; /* a bit for each end */
};

static struct end end[ENDS_MAX];
static unsigned int ends;
static uint64_t stray;
static uint64_t refused, hellos;
static _Atomic uint64_t last_any_ns;
static atomic_bool over;
static volatile sig_atomic_t asked;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

static void sleep_ns(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	nanosleep(&ts, NULL);
}

static void on_signal(int sig)
{
	(void)sig;
	asked = 1;
}

/* What the device had no room for, in its queue to the switch. */
static uint64_t end_dropped(struct end *e)
{
	char line[512], name[32];
	uint64_t dropped;

	rewind(e->dev_stats);
	while (fgets(line, sizeof(line), e->dev_stats))
		/* eight columns of reception, bytes, packets, errors, dropped
		 */
		if (sscanf(line,
			   " %31[^:]: %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			   "%*s %" SCNu64,
			   name, &dropped) == 2 &&
		    !strcmp(name, e->dev))
			return dropped;
	errx(1, "%s: gone", e->dev);
}

static void end_socket(struct end *e, int ifindex)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
				  .sll_ifindex = ifindex,
				  .sll_protocol = htons(ETYPE) };
	int size = RCVBUF;

	if (setsockopt(e->sock, SOL_SOCKET, SO_RCVBUFFORCE, &size,
		       sizeof(size)) < 0)
		err(1, "SO_RCVBUFFORCE");
	if (bind(e->sock, (struct sockaddr *)&ll, sizeof(ll)) < 0)
		err(1, "bind %s", e->dev);
}

/* NETNS:DEVICE; the socket and the file stay in the namespace they are of. */
static void end_open(struct end *e, char *spec)
{
	char *colon = strchr(spec, ':'), path[256];
	struct ifreq ifr = { 0 };
	int ns, ifindex;

	if (!colon || strlen(colon + 1) >= sizeof(ifr.ifr_name))
		errx(2, "%s: not NETNS:DEVICE", spec);
	*colon = '\0';
	e->dev = colon + 1;
	snprintf(path, sizeof(path), "/run/netns/%s", spec);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		err(1, "%s", path);
	close(ns);
	e->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (e->sock < 0)
		err(1, "packet socket");
	memcpy(ifr.ifr_name, e->dev, strlen(e->dev));
	if (ioctl(e->sock, SIOCGIFINDEX, &ifr) < 0)
		err(1, "%s", e->dev);
	ifindex = ifr.ifr_ifindex;
	if (ioctl(e->sock, SIOCGIFHWADDR, &ifr) < 0)
		err(1, "%s", e->dev);
	memcpy(e->mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	e->dev_stats = fopen("/proc/thread-self/net/dev", "re");
	e->seen = calloc(SEQ_MAX / 8, 1);
	if (!e->dev_stats || !e->seen)
		err(1, "%s", e->dev);
	setbuf(e->dev_stats, NULL);
	e->dropped_before = end_dropped(e);
	end_socket(e, ifindex);
}

/* ---- The receiver ---- */

static void take_numbered(struct end *e, uint32_t seq, uint64_t now)
{
	uint8_t bit = (uint8_t)(1u << (seq & 7));

	if (e->last_ns && now - e->last_ns > e->gap_ns)
		e->gap_ns = now - e->last_ns;
	e->last_ns = now;
	if (e->seen[seq / 8] & bit) {
		e->duplicate++;
		return;
	}
	e->seen[seq / 8] |= bit;
	e->received++;
	if (seq < e->next)
		e->reordered++;
	else
		e->next = seq + 1;
}

static void take(unsigned int i, const uint8_t *frame, size_t len, uint64_t now)
{
	struct payload p;
	uint32_t from, seq;

	if (len < ETH_HLEN + sizeof(p))
		return;
	memcpy(&p, frame + ETH_HLEN, sizeof(p));
	from = ntohl(p.from);
	seq = ntohl(p.seq);
	if (seq == HELLO && from < ends)
		atomic_fetch_or(&end[i].heard, 1u << from);
	else if ((from + 1) % ends == i && seq < SEQ_MAX)
		take_numbered(&end[i], seq, now);
	else
		stray++;
}

static void take_all(unsigned int i)
{
	static uint8_t buf[BATCH][FRAME_LEN];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	uint64_t now;
	int n;

	memset(msg, 0, sizeof(msg));
	for (int k = 0; k < BATCH; k++) {
		iov[k] = (struct iovec){ buf[k], FRAME_LEN };
		msg[k].msg_hdr.msg_iov = &iov[k];
		msg[k].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(end[i].sock, msg, BATCH, MSG_DONTWAIT, NULL);
	now = now_ns();
	for (int k = 0; k < n; k++)
		take(i, buf[k], msg[k].msg_len, now);
	if (n > 0)
		atomic_store(&last_any_ns, now);
}

static void *receive(void *arg)
{
	struct pollfd p[ENDS_MAX];

	(void)arg;
	for (unsigned int i = 0; i < ends; i++)
		p[i] = (struct pollfd){ .fd = end[i].sock, .events = POLLIN };
	while (!atomic_load(&over)) {
		if (poll(p, ends, 50) < 0 && errno != EINTR)
			err(1, "poll");
		for (unsigned int i = 0; i < ends; i++)
			if (p[i].revents)
				take_all(i);
	}
	return NULL;
}

/* ---- The sender ---- */

static void frame_number(struct end *e, uint32_t seq)
{
	struct payload p = { htonl((uint32_t)(e - end)), htonl(seq) };

	memcpy(e->frame + ETH_HLEN, &p, sizeof(p));
}

static void frame_make(struct end *e, const uint8_t *dst)
{
	memcpy(e->frame, dst, ETH_ALEN);
	memcpy(e->frame + ETH_ALEN, e->mac, ETH_ALEN);
	e->frame[12] = ETYPE >> 8;
	e->frame[13] = ETYPE & 0xff;
}

/* Whether the kernel took it. */
static bool frame_send(struct end *e)
{
	if (send(e->sock, e->frame, FRAME_LEN, 0) == FRAME_LEN)
		return true;
	if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
		err(1, "%s: send", e->dev);
	return false;
}

static void send_next(struct end *e)
{
	if (e->sent == SEQ_MAX)
		return;
	frame_number(e, e->sent);
	if (frame_send(e))
		e->sent++;
	else
		refused++;
}

/* `extra` addresses more behind each end, all different. */
static void say_hello(unsigned int extra)
{
	static const uint8_t all[ETH_ALEN] = { 255, 255, 255, 255, 255, 255 };

	for (unsigned int i = 0; i < ends; i++) {
		frame_make(&end[i], all);
		frame_number(&end[i], HELLO);
		for (unsigned int k = 0; k < extra; k++) {
			uint8_t *src = end[i].frame + ETH_ALEN;

			src[0] = 0x02;
			src[1] = 0xaa;
			src[2] = (uint8_t)i;
			src[3] = 0;
			src[4] = (uint8_t)(k >> 8);
			src[5] = (uint8_t)k;
			hellos += frame_send(&end[i]);
			if (k % 32 == 31)
				sleep_ns(STEP_NS);
		}
		memcpy(end[i].frame + ETH_ALEN, end[i].mac, ETH_ALEN);
		hellos += frame_send(&end[i]);
	}
}

static bool all_heard(void)
{
	for (unsigned int i = 0; i < ends; i++)
		if ((atomic_load(&end[i].heard) | 1u << i) != (1u << ends) - 1)
			return false;
	return true;
}

static void meet(unsigned int extra)
{
	uint64_t deadline = now_ns() + HELLO_MS * SEC / 1000;

	while (!all_heard()) {
		if (now_ns() > deadline)
			errx(1, "not all devices hear of each other");
		say_hello(extra);
		sleep_ns(100 * 1000 * 1000);
	}
	for (unsigned int i = 0; i < ends; i++)
		frame_make(&end[i], end[(i + 1) % ends].mac);
	printf("ready\n");
	fflush(stdout);
}

/* Returns how long it took, in ns. */
static uint64_t send_all(unsigned int rate)
{
	uint64_t start = now_ns(), due = start, step = SEC / rate, now;
	unsigned int turn = 0;

	while (!asked) {
		now = now_ns();
		if (now > due + CATCH_UP_NS)
			due = now - CATCH_UP_NS;
		for (; due <= now; due += step)
			send_next(&end[turn++ % ends]);
		sleep_ns(STEP_NS);
	}
	return now_ns() - start;
}

static void drain(void)
{
	uint64_t deadline = now_ns() + DRAIN_MS * SEC / 1000, quiet_since;

	do {
		sleep_ns(20 * 1000 * 1000);
		quiet_since = atomic_load(&last_any_ns);
	} while (now_ns() < quiet_since + QUIET_MS * SEC / 1000 &&
		 now_ns() < deadline);
}

static void report(uint64_t ns)
{
	uint64_t sent = 0, received = 0, duplicate = 0, reordered = 0;
	uint64_t dropped = 0, missed = 0, gap = 0;

	for (unsigned int i = 0; i < ends; i++) {
		struct tpacket_stats st = { 0 };
		socklen_t len = sizeof(st);

		sent += end[i].sent;
		received += end[i].received;
		duplicate += end[i].duplicate;
		reordered += end[i].reordered;
		dropped += end_dropped(&end[i]) - end[i].dropped_before;
		if (end[i].gap_ns > gap)
			gap = end[i].gap_ns;
		if (getsockopt(end[i].sock, SOL_PACKET, PACKET_STATISTICS, &st,
			       &len) < 0)
			err(1, "PACKET_STATISTICS");
		missed += st.tp_drops;
	}
	printf("{\"seconds\": %.2f, \"rate\": %.0f, \"hellos\": %" PRIu64
	       ", \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"duplicate\": %" PRIu64
	       ", \"reordered\": %" PRIu64 ", \"stray\": %" PRIu64
	       ", \"refused\": %" PRIu64 ", \"tx_dropped\": %" PRIu64
	       ", \"receiver_missed\": %" PRIu64 ", \"gap_ms\": %.1f}\n",
	       (double)ns / SEC, (double)sent * SEC / (double)ns, hellos, sent,
	       received, sent - received, duplicate, reordered, stray, refused,
	       dropped, missed, (double)gap / 1e6);
}

int main(int argc, char **argv)
{
	static const char usage[] = "usage: steady [-r RATE] [-a ADDRESSES] "
				    "NETNS:DEVICE NETNS:DEVICE...";
	struct sigaction sa = { .sa_handler = on_signal };
	unsigned int rate = 100000, extra = 0;
	pthread_t receiver;
	uint64_t ns;
	int c;

	while ((c = getopt(argc, argv, "r:a:")) != -1) {
		if (c == 'r')
			rate = (unsigned int)atoi(optarg);
		else if (c == 'a')
			extra = (unsigned int)atoi(optarg);
		else
			errx(2, "%s", usage);
	}
	if (argc - optind < 2 || argc - optind > ENDS_MAX || !rate ||
	    extra > 0xffff)
		errx(2, "%s", usage);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	for (; optind < argc; optind++)
		end_open(&end[ends++], argv[optind]);
	c = pthread_create(&receiver, NULL, receive, NULL);
	if (c)
		errx(1, "no thread: %s", strerror(c));
	meet(extra);
	ns = send_all(rate);
	drain();
	atomic_store(&over, true);
	pthread_join(receiver, NULL);
	report(ns);
	return 0;
}
