/* The link monitor. */
#include "tests/e2e/ports_kernel.h"

#include "ports/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define EVENTS_MAX 64

struct seen {
	unsigned int count;
	struct link_event events[EVENTS_MAX];
	struct link_monitor *m;
	int unwatch; /* by the callback, when anything happens */
};

static void take(void *ctx, const struct link_event *event)
{
	struct seen *seen = ctx;

	printf("# %s %d %s up %d carrier %d mtu %u master %d\n",
	       event->kind == LINK_GONE ? "gone" : "changed", event->ifindex,
	       event->ifname, event->up, event->carrier, event->mtu,
	       event->master);
	if (seen->count < EVENTS_MAX)
		seen->events[seen->count++] = *event;
	if (seen->unwatch)
		link_monitor_unwatch(seen->m, seen->unwatch);
}

/* Dispatch what is there. Of all but carrier the kernel queues the event
 * before it answers the request that is the cause. */
static bool dispatch(struct seen *seen)
{
	seen->count = 0;
	return !link_monitor_dispatch(seen->m);
}

static const struct link_event *last(const struct seen *seen)
{
	static const struct link_event none = { .ifindex = 0 };

	return seen->count ? &seen->events[seen->count - 1] : &none;
}

/* Carrier the kernel reports later, up to a second. */
static bool carrier_reported(struct seen *seen, bool carrier)
{
	struct pollfd pfd = { .fd = link_monitor_fd(seen->m),
			      .events = POLLIN };

	seen->count = 0;
	do {
		if (link_monitor_dispatch(seen->m))
			return false;
		if (seen->count && last(seen)->carrier == carrier)
			return true;
	} while (poll(&pfd, 1, DEADLINE_MS) > 0);
	return false;
}

static void changes(struct seen *seen)
{
	struct link_event now;
	int a, master;

	sh("ip link add pka type veth peer name pkb; ip link set pkb up;"
	   "ip link add pkbr type bridge");
	a = link_facts("pka").ifindex;
	master = link_facts("pkbr").ifindex;
	ok_if(!link_monitor_watch(seen->m, a, &now) && now.ifindex == a &&
		      !now.up && now.mtu == 1500,
	      "watch tells the state");
	ok_if(link_monitor_watch(seen->m, a, NULL) == -EEXIST,
	      "a device is watched once");
	ok_if(link_monitor_watch(seen->m, 999999, NULL) == -ENODEV,
	      "one that isn't there can't be watched");
	ok_if(dispatch(seen) && !seen->count, "what was before isn't reported");
	sh("ip link set pka mtu 1400");
	ok_if(dispatch(seen) && seen->count == 1 && last(seen)->mtu == 1400,
	      "an MTU is reported once");
	sh("ip link set pka up");
	ok_if(carrier_reported(seen, true) && last(seen)->up,
	      "so are up and carrier");
	sh("ip link set pkb down");
	ok_if(carrier_reported(seen, false) && last(seen)->up,
	      "so is lost carrier");
	sh("ip link set pka master pkbr");
	ok_if(dispatch(seen) && last(seen)->master == master, "so is a master");
	sh("ip link set pka nomaster");
	ok_if(dispatch(seen) && last(seen)->kind == LINK_CHANGED &&
		      last(seen)->master == 0,
	      "leaving a bridge isn't gone");
	sh("ip link set pka alias something; ip link set pkb mtu 1300 up");
	ok_if(carrier_reported(seen, true) && seen->count == 1 &&
		      last(seen)->ifindex == a,
	      "what doesn't matter, and others' devices, aren't reported");
	sh("ip link set pka name pkc");
	ok_if(dispatch(seen) && !strcmp(last(seen)->ifname, "pkc"),
	      "a new name is reported");
	sh("ip link del pkc; ip tuntap add pkc mode tap");
	ok_if(dispatch(seen) && seen->count == 1 &&
		      last(seen)->kind == LINK_GONE && last(seen)->ifindex == a,
	      "gone is reported, whoever has the name now");
	ok_if(link_monitor_watch(seen->m, a, NULL) == -ENODEV &&
		      !link_monitor_watch(seen->m, link_facts("pkc").ifindex,
					  NULL),
	      "its successor can be watched, itself not");
	sh("ip link set pkc netns " OTHER_NS);
	ok_if(dispatch(seen) && seen->count == 1 &&
		      last(seen)->kind == LINK_GONE,
	      "moved to another namespace is gone");
	sh("ip -n " OTHER_NS " link del pkc; ip link del pkbr");
}

/* With a tiny receive buffer most notifications are lost. */
static void resync(struct seen *seen)
{
	int fd = link_monitor_fd(seen->m), small = 1, i[4];
	unsigned int gone = 0, changed = 0;
	uint32_t mtu = 0;

	for (int k = 0; k < 4; k++) {
		char name[16];

		snprintf(name, sizeof(name), "pk%d", k);
		sh("ip link add %s type bridge", name);
		i[k] = link_facts(name).ifindex;
		ok_if(!link_monitor_watch(seen->m, i[k], NULL), "%s is watched",
		      name);
	}
	dispatch(seen);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	sh("for i in $(seq 1300 1340); do echo link set pk3 mtu $i; done | "
	   "ip -batch -");
	sh("ip link set pk0 mtu 1333; ip link del pk1; ip link del pk2");
	/* pk2's entry goes by the first callback, whichever that is for. */
	seen->unwatch = i[2];
	ok_if(dispatch(seen), "after lost notifications dispatch goes on");
	for (unsigned int k = 0; k < seen->count; k++) {
		const struct link_event *event = &seen->events[k];

		if (event->kind == LINK_GONE)
			gone += event->ifindex == i[1] ? 1 : 100;
		else if (event->ifindex == i[0])
			changed += event->mtu == 1333 ? 1 : 100;
		else
			mtu = event->mtu;
	}
	ok_if(gone == 1, "a lost deletion is found, once");
	ok_if(changed == 1, "a lost change is found, once");
	ok_if(mtu == 1340,
	      "the last word on a device that changed often is the newest");
	ok_if(dispatch(seen) && !seen->count, "then there's nothing left");
	sh("ip link del pk0; ip link del pk3");
}

void test_link(void)
{
	struct seen seen = { .count = 0 };

	seen.m = link_monitor_new(take, &seen);
	ok_if(seen.m != NULL, "a link monitor is made");
	if (!seen.m)
		return;
	changes(&seen);
	resync(&seen);
	link_monitor_free(seen.m);
}
