#include "ports/cpu_acquire.h"

#include "ports/device.h"
#include "ports/netdev_guard.h"
#include "ports/qdisc.h"
#include "ports/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Names that begin with "sw" are left alone by network managers: see etc/. */
#define CPU_NAME "swcpu%d"
/* The most that a TAP takes: 65535 with the Ethernet header. */
#define CPU_MTU (PORT_MTU_MAX - ETHER_HEADER_LEN)

static int cannot(int error, const char *what, struct error *err)
{
	return error_set(err, error, "no-cpu-port", NULL,
			 "can't %s of the CPU port: %s", what, strerror(error));
}

/* Everything that a message of rtnetlink's can say at once. */
static int set_link(struct netlink *nl, int ifindex, uint32_t queue)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_ACK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	ifi->ifi_change = ifi->ifi_flags = IFF_NOARP;
	mnl_attr_put_u32(nlh, IFLA_MTU, CPU_MTU);
	mnl_attr_put_u32(nlh, IFLA_TXQLEN, queue);
	return netlink_talk(nl, nlh, NULL, NULL);
}

static int open_tap(char *ifname, struct error *err)
{
	struct ifreq ifr = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
		.ifr_name = CPU_NAME,
	};
	int size = (int)ETHER_VNET_LEN, sndbuf = INT_MAX;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return cannot(errno, "open the TAP", err);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ||
	    ioctl(fd, TUNSETSNDBUF, &sndbuf) < 0) {
		int r = cannot(errno, "make the TAP", err);

		close(fd);
		return r;
	}
	(void)tap_set_offloads(fd);
	memcpy(ifname, ifr.ifr_name, IFNAMSIZ);
	return fd;
}

static int set_up(struct netlink *nl, const char *ifname, uint32_t queue,
		  int *ifindex, struct error *err)
{
	struct netlink_link link;
	/* For the guard. What it notes needn't be put back: it goes with the
	 * device. */
	struct port_grant grant = { .undo = { .ipv6_disabled = -1 } };
	int r = netlink_link_get(nl, 0, ifname, &link);

	if (r < 0)
		return cannot(-r, "find the device", err);
	*ifindex = grant.ifindex = link.ifindex;
	memcpy(grant.ifname, link.ifname, sizeof(grant.ifname));
	r = set_link(nl, link.ifindex, queue);
	if (r < 0)
		return cannot(-r, "set MTU and queue", err);
	r = qdisc_set_none(nl, link.ifindex);
	if (r < 0)
		return cannot(-r, "set the queueing discipline", err);
	/* Quiet before it's up. */
	r = netdev_guard_install(nl, &grant, false, false, err);
	if (r < 0)
		return r;
	/* IPv6 that can't be turned off does no harm behind the filter. */
	if (!grant.undo.added_filter)
		return cannot(EOPNOTSUPP, "keep the host's stack off", err);
	r = netlink_set_up(nl, link.ifindex, true);
	return r < 0 ? cannot(-r, "bring up the device", err) : 0;
}

int cpu_acquire(uint32_t queue, int *ifindex, struct error *err)
{
	struct netlink *nl = netlink_open();
	char ifname[IFNAMSIZ];
	int fd, r;

	if (!nl)
		return cannot(errno, "open a netlink socket", err);
	fd = open_tap(ifname, err);
	r = fd < 0 ? fd : set_up(nl, ifname, queue, ifindex, err);
	netlink_close(nl);
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return r;
}
