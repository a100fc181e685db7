/* TAPs of several queues: what is opened, how flows are spread, that a flow
 * stays with its queue, and that several threads send at once. */
#include "tests/e2e/ports_kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define QUEUES 3
#define FLOWS  64
#define HOST   "10.77.6.1"
#define GUEST  "10.77.6.2"

static void end_queues(struct end *e, const char *ifname, uint32_t queues)
{
	end_tap(e, ifname);
	e->rq.tap.queues = queues;
}

static void queues_opened(void)
{
	struct end e, other;

	end_queues(&e, "pkq", QUEUES);
	ok_if(end_attach(&e) && e.port->queues == QUEUES,
	      "a TAP of %d queues is opened", QUEUES);
	ok_if(sh("ip -d link show pkq | "
		 "grep -q 'multi_queue numqueues %d numdisabled 1 '",
		 QUEUES),
	      "it has as many, and one detached for sending");
	end_queues(&other, "pkq", QUEUES);
	ok_if(end_refused(&other, EBUSY, "device-busy", "netdev"),
	      "nobody else joins it");
	end_detach(&e);
	ok_if(!link_facts("pkq").ifindex, "it goes with its port");

	end_queues(&e, "pkq", TAP_QUEUES_MAX);
	ok_if(end_attach(&e) && e.port->queues == TAP_QUEUES_MAX,
	      "there may be %d", TAP_QUEUES_MAX);
	end_detach(&e);

	sh("ip tuntap add pkq mode tap");
	end_queues(&e, "pkq", 2);
	ok_if(end_refused(&e, EINVAL, "multi-queue", "without multi_queue"),
	      "a device made for one queue is refused");
	sh("ip link del pkq; ip tuntap add pkq mode tap multi_queue");
	ok_if(end_attach(&e) && e.port->queues == 2,
	      "one made for several is taken");
	end_detach(&e);
	ok_if(link_facts("pkq").ifindex, "and left behind");
	sh("ip link del pkq");
}

static uint16_t source_port(const struct frame *f)
{
	return load_be16(f->data + ETHER_HEADER_LEN + 20);
}

static bool is_ours(const struct frame *f)
{
	return f->len > ETHER_HEADER_LEN + 28 &&
	       load_be16(f->data + 12) == 0x0800 &&
	       f->data[ETHER_HEADER_LEN + 9] == IPPROTO_UDP;
}

/* Make an answer of it: the addresses and ports change places. */
static void answer(struct end *e, struct frame *f)
{
	uint8_t *ip = f->data + ETHER_HEADER_LEN, t[6];

	memcpy(t, f->data, 6);
	memcpy(f->data, f->data + 6, 6);
	memcpy(f->data + 6, t, 6);
	memcpy(t, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, t, 4);
	memcpy(t, ip + 20, 2);
	memcpy(ip + 20, ip + 22, 2);
	memcpy(ip + 22, t, 2);
	(void)end_tx(e, f);
}

/*
 * A datagram of each flow; at[] is the queue that it came by, -1 where it
 * didn't. Each is answered. Returns how many came.
 */
static unsigned int flows_go(struct end *e, const int *sock, int *at)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < FLOWS; i++) {
		at[i] = -1;
		if (send(sock[i], "x", 1, 0) < 0)
			perror("send");
	}
	for (unsigned int q = 0; q < e->port->queues; q++) {
		unsigned int got;

		e->arena.used = 0;
		got = e->ops->rx(e->port, q, e->f, FRAME_BATCH_MAX, &e->arena);
		for (unsigned int i = 0; i < got; i++) {
			unsigned int flow;

			if (!is_ours(&e->f[i]))
				continue;
			flow = (unsigned int)(source_port(&e->f[i]) - 20000);
			if (flow >= FLOWS)
				continue;
			at[flow] = (int)q;
			n++;
			answer(e, &e->f[i]);
		}
	}
	return n;
}

static void flows_open(int *sock)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	inet_pton(AF_INET, GUEST, &to.sin_addr);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET };

		from.sin_port = htons((uint16_t)(20000 + i));
		inet_pton(AF_INET, HOST, &from.sin_addr);
		sock[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (bind(sock[i], (struct sockaddr *)&from, sizeof(from)) ||
		    connect(sock[i], (struct sockaddr *)&to, sizeof(to)))
			perror("socket");
	}
}

static void flows_keep_their_queue(void)
{
	int sock[FLOWS], first[FLOWS], then[FLOWS];
	unsigned int used[QUEUES] = { 0 }, n, other = 0;
	struct end e;

	end_queues(&e, "pkq", QUEUES);
	strcpy(e.rq.tap.address, HOST "/24");
	if (!end_attach(&e))
		return;
	sh("ip neigh replace " GUEST " lladdr 02:00:00:00:07:02 dev pkq");
	flows_open(sock);
	n = flows_go(&e, sock, first);
	ok_if(n == FLOWS, "each of %d flows comes by a queue (%u)", FLOWS, n);
	for (unsigned int i = 0; i < FLOWS; i++)
		used[first[i] < 0 ? 0 : first[i]]++;
	ok_if(used[0] && used[1] && used[2],
	      "they are spread over the queues (%u, %u, %u)", used[0], used[1],
	      used[2]);
	for (unsigned int round = 0; round < 20; round++) {
		n += flows_go(&e, sock, then);
		for (unsigned int i = 0; i < FLOWS; i++)
			other += then[i] != first[i];
	}
	ok_if(n == 21 * FLOWS && !other,
	      "and stay with theirs, whoever answers (%u moved)", other);
	for (unsigned int i = 0; i < FLOWS; i++)
		close(sock[i]);
	end_detach(&e);
}

#define BURSTS 50

static void *sender(void *arg)
{
	return (void *)end_send_bursts(arg, BURSTS);
}

/* What the device's network side has received; of this namespace. */
static unsigned long rx_packets(const char *ifname)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	unsigned long n = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		char *name = line + strspn(line, " "), *at;
		size_t len = strlen(ifname);

		if (strncmp(name, ifname, len) != 0 || name[len] != ':')
			continue;
		(void)strtoul(name + len + 1, &at, 10); /* bytes */
		n = strtoul(at, NULL, 10);
	}
	if (f)
		fclose(f);
	return n;
}

static void several_send(uint32_t queues)
{
	pthread_t thread[2];
	unsigned long n;
	void *lost[3];
	struct end e;

	end_queues(&e, "pkq", queues);
	if (!end_attach(&e))
		return;
	n = rx_packets("pkq");
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, sender, &e);
	lost[2] = sender(&e);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], &lost[i]);
	n = rx_packets("pkq") - n;
	ok_if(!lost[0] && !lost[1] && !lost[2] && n == 3 * BURSTS * 64,
	      "three threads send by a TAP of %u queues, all arrives (%lu)",
	      queues ? queues : 1, n);
	end_detach(&e);
}

void test_tap_queues(void)
{
	queues_opened();
	flows_keep_their_queue();
	several_send(0);
	several_send(QUEUES);
}
