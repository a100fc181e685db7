/*
 * ports_kernel - tap, netdev and link against real devices of this kernel
 *
 * Needs root. Writes TAP lines; exit status 0 when every claim holds.
 */
#include "tests/e2e/ports_kernel.h"

#include "ports/netdev.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned int claims, failures;

void ok_if(bool holds, const char *fmt, ...)
{
	va_list ap;

	claims++;
	failures += !holds;
	fputs(holds ? "ok - " : "not ok - ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

bool sh(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	/* The commands are this test's own. NOLINTNEXTLINE(cert-env33-c) */
	return system(command) == 0;
}

struct netlink_link link_facts(const char *ifname)
{
	struct netlink *nl = netlink_open();
	struct netlink_link link;

	if (!nl || netlink_link_get(nl, 0, ifname, &link))
		memset(&link, 0, sizeof(link));
	netlink_close(nl);
	return link;
}

/* ---- ports -------------------------------------------------------------- */

static void end_init(struct end *e, const char *type)
{
	static uint8_t memory[8 * FRAME_SLOT];

	memset(e, 0, sizeof(*e));
	snprintf(e->rq.type, sizeof(e->rq.type), "%s", type);
	snprintf(e->rq.name, sizeof(e->rq.name), "%s", type);
	e->rq.enabled = true;
	e->ops = port_ops_find(type);
	e->arena.base = memory;
	e->arena.size = sizeof(memory);
}

void end_tap(struct end *e, const char *ifname)
{
	end_init(e, "tap");
	snprintf(e->rq.tap.ifname, sizeof(e->rq.tap.ifname), "%s", ifname);
}

void end_netdev(struct end *e, const char *ifname)
{
	end_init(e, "netdev");
	snprintf(e->rq.netdev.ifname, sizeof(e->rq.netdev.ifname), "%s",
		 ifname);
}

int end_acquire(struct end *e)
{
	return e->ops->acquire(&e->rq, &e->grant, &e->err);
}

bool end_attach(struct end *e)
{
	if (!end_acquire(e))
		e->port = e->ops->open(&e->rq, &e->grant, &e->err);
	if (!e->port)
		printf("# %s: %s\n", e->err.reason, e->err.message);
	return e->port != NULL;
}

void end_detach(struct end *e)
{
	if (e->port)
		e->ops->close(e->port);
	e->port = NULL;
	e->ops->release(&e->rq, &e->grant);
}

bool end_refused(struct end *e, int error, const char *reason, const char *says)
{
	int r = end_acquire(e);

	if (!r) {
		e->ops->release(&e->rq, &e->grant);
		printf("# it was acquired\n");
		return false;
	}
	printf("# %s: %s\n", e->err.reason, e->err.message);
	return r == -error && e->err.err == error && e->grant.nfds == 0 &&
	       !strcmp(e->err.reason, reason) && strstr(e->err.message, says);
}

unsigned int end_rx(struct end *e, int ms)
{
	struct pollfd pfd = { .fd = e->port->queue_fd[0], .events = POLLIN };

	poll(&pfd, 1, ms);
	e->arena.used = 0;
	return e->ops->rx(e->port, 0, e->f, FRAME_BATCH_MAX, &e->arena);
}

struct frame *end_rx_type(struct end *e, uint16_t ethertype)
{
	unsigned int n;

	/* Other frames are the host's own, and few. */
	while ((n = end_rx(e, DEADLINE_MS)) > 0)
		for (unsigned int i = 0; i < n; i++)
			if (load_be16(e->f[i].data + 12) == ethertype)
				return &e->f[i];
	return NULL;
}

enum drop_reason end_tx(struct end *e, struct frame *f)
{
	enum drop_reason why = DROP_REASON_COUNT;

	return e->ops->tx(e->port, &f, 1, &why) == 1 ? DROP_REASON_COUNT : why;
}

uintptr_t end_send_bursts(struct end *e, unsigned int bursts)
{
	uint8_t bytes[FRAME_BATCH_MAX][FRAME_HEADROOM + 60];
	struct frame frames[FRAME_BATCH_MAX], *list[FRAME_BATCH_MAX];
	enum drop_reason why;
	uintptr_t lost = 0;

	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++) {
		memset(bytes[i], 0xff, sizeof(bytes[i]));
		frame_init(&frames[i], bytes[i] + FRAME_HEADROOM, 60);
		store_be16(frames[i].data + 12, LAB_TYPE);
		list[i] = &frames[i];
	}
	for (unsigned int i = 0; i < bursts; i++)
		lost += FRAME_BATCH_MAX -
			e->ops->tx(e->port, list, FRAME_BATCH_MAX, &why);
	return lost;
}

/* ---- frames ------------------------------------------------------------- */

struct frame *lab_frame(uint32_t len, uint32_t number)
{
	static struct frame frames[FRAME_BATCH_MAX];
	static uint8_t bytes[FRAME_BATCH_MAX][FRAME_HEADROOM + 9216];
	static unsigned int next;
	unsigned int i = next++ % FRAME_BATCH_MAX;
	uint8_t *data = bytes[i] + FRAME_HEADROOM;

	frame_init(&frames[i], data, len);
	mac_store(data, MAC_BROADCAST);
	mac_store(data + 6, 0x020000005e01);
	store_be16(data + 12, LAB_TYPE);
	store_be32(data + 14, number);
	for (uint32_t k = 18; k < len; k++)
		data[k] = (uint8_t)(k + number);
	return &frames[i];
}

uint32_t lab_number(const struct frame *f)
{
	return load_be32(f->data + 14);
}

/* ---- main --------------------------------------------------------------- */

/* A /run/netns and /sys of our own, and one more namespace. */
static bool make_namespaces(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	(void)mkdir("/run/netns", 0755);
	if (mount("tmpfs", "/run/netns", "tmpfs", 0, NULL))
		return false;
	return sh("ip netns add " OTHER_NS);
}

int main(void)
{
	if (!make_namespaces()) {
		fprintf(stderr, "can't make namespaces: %s\n", strerror(errno));
		return 1;
	}
	test_tap();
	test_tap_traffic();
	test_tap_queues();
	test_netdev();
	test_netdev_guard();
	test_netdev_traffic();
	test_link();
	printf("1..%u\n", claims);
	return failures > 0;
}
