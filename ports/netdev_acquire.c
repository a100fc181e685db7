/* The privileged half of `netdev` ports. */
#include "ports/netdev.h"

#include "base/log.h"
#include "ports/netdev_guard.h"
#include "ports/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/utsname.h>

/* The kernel doubles it. A frame of 60 bytes counts for 704, so 23 800 of
 * them fit, or 230 super-frames. */
#define RECEIVE_BUFFER (8 << 20)
/* The default holds three super-frames while they wait in the device. */
#define SEND_BUFFER (4 << 20)

static int cannot(struct error *err, int error, const char *path,
		  const char *what, const char *ifname)
{
	const char *reason = "device-setup", *more = "";

	if (error == EPERM) {
		reason = "not-permitted";
		more = " (CAP_NET_ADMIN is missing)";
	} else if (error == ENODEV) { /* a guest that has just ended */
		reason = "no-such-device";
	}
	return error_set(err, error, reason, path, "can't %s %s: %s%s", what,
			 ifname, strerror(error), more);
}

/* ---- may we take it? ---------------------------------------------------- */

static void add_use(char *uses, size_t size, const char *use)
{
	size_t used = strlen(uses);

	snprintf(uses + used, size - used, "%s%s", used ? ", " : "", use);
}

/* What the host does with the device, as text; "" = nothing. */
static int host_uses(struct netlink *nl, const struct netlink_link *link,
		     char *uses, size_t size, bool *has_ipv6)
{
	char text[64], use[96];
	int r;

	*uses = '\0';
	r = netlink_addr_find(nl, link->ifindex, text, sizeof(text), has_ipv6);
	if (r < 0)
		return r;
	if (r) {
		snprintf(use, sizeof(use), "address %s", text);
		add_use(uses, size, use);
	}
	r = netlink_default_route(nl, link->ifindex);
	if (r < 0)
		return r;
	if (r)
		add_use(uses, size, "a default route");
	if (link->master) {
		struct netlink_link master;

		r = netlink_link_get(nl, link->master, NULL, &master);
		snprintf(use, sizeof(use), "master %s",
			 r ? "device" : master.ifname);
		add_use(uses, size, use);
	}
	return 0;
}

static int check_device(struct netlink *nl, const struct port_request *rq,
			struct netlink_link *link, bool *keep_ipv6,
			struct error *err)
{
	const char *ifname = rq->netdev.ifname;
	char uses[192];
	int r;

	r = netlink_link_get(nl, 0, ifname, link);
	if (r == -ENODEV || r == -ERANGE || r == -EINVAL)
		return error_set(err, ENODEV, "no-such-device", "ifname",
				 "there is no device '%s'", ifname);
	if (r)
		return cannot(err, -r, "ifname", "look up", ifname);
	if (!link->ethernet)
		return error_set(err, EINVAL, "not-ethernet", "ifname",
				 "%s isn't an Ethernet device", ifname);
	r = host_uses(nl, link, uses, sizeof(uses), keep_ipv6);
	if (r)
		return cannot(err, -r, "ifname", "look up the uses of", ifname);
	if (*uses && !rq->netdev.force)
		return error_set(err, EBUSY, "device-in-use-by-host", "ifname",
				 "%s has %s: the port would cut the host off. "
				 "Remove that (for the host, attach a port of "
				 "type tap), or say force=yes",
				 ifname, uses);
	return 0;
}

/* ---- sockets ------------------------------------------------------------ */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno
								    : 0;
}

/* Without privilege as much as the system allows anyone. */
static int set_buffer(int fd, int force, int plain, int size)
{
	int r = set_int(fd, SOL_SOCKET, force, size);

	return r == -EPERM ? set_int(fd, SOL_SOCKET, plain, size) : r;
}

static int bind_device(int fd, int ifindex, uint16_t protocol)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = ifindex,
	};

	return bind(fd, (struct sockaddr *)&sll, sizeof(sll)) ? -errno : 0;
}

/* All options before the socket listens: no frame comes without them. */
static int setup_rx(int fd, int ifindex, bool promisc)
{
	struct packet_mreq mreq = {
		.mr_ifindex = ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};
	int r;

	r = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!r)
		r = set_int(fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (!r)
		r = set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (!r)
		r = set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
	/* The membership ends with the socket. */
	if (!r && promisc &&
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq,
		       sizeof(mreq)))
		r = -errno;
	return r ? r : bind_device(fd, ifindex, ETH_P_ALL);
}

static int setup_tx(int fd, int ifindex, bool bypass)
{
	int r;

	r = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!r && bypass)
		r = set_int(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	if (!r)
		r = set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
	return r ? r : bind_device(fd, ifindex, 0);
}

static int open_sockets(const struct port_request *rq,
			const struct netlink_link *link,
			struct port_grant *grant, struct error *err)
{
	/* A TAP or veth delivers whatever its other end sends. */
	bool promisc = rq->netdev.promisc || (strcmp(link->kind, "tun") &&
					      strcmp(link->kind, "veth"));
	int r;

	for (int i = 0; i < NETDEV_FDS; i++) {
		int fd = socket(AF_PACKET,
				SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0) {
			r = errno;
			return error_set(
				err, r,
				r == EPERM ? "not-permitted" : "device-open",
				"ifname", "can't open a packet socket: %s%s",
				strerror(r),
				r == EPERM ? " (CAP_NET_RAW is "
					     "missing)"
					   : "");
		}
		grant->fd[i] = fd;
		grant->nfds++;
		r = i == NETDEV_RX
			    ? setup_rx(fd, link->ifindex, promisc)
			    : setup_tx(fd, link->ifindex, i == NETDEV_TX);
		if (r)
			return cannot(err, -r, "ifname", "listen on",
				      link->ifname);
	}
	return 0;
}

/*
 * A packet socket takes any offload on any device: the stack does what the
 * device can't. USO in the vnet header came with Linux 6.2 and nothing else
 * tells (it's refused frame by frame before).
 */
static uint32_t kernel_offloads(void)
{
	uint32_t offloads = PORT_TX_CSUM | PORT_TX_ALL_GSO;
	unsigned long major = 0, minor = 0;
	struct utsname name;
	char *dot;

	if (!uname(&name)) {
		major = strtoul(name.release, &dot, 10);
		minor = *dot == '.' ? strtoul(dot + 1, NULL, 10) : 0;
	}
	if (major < 6 || (major == 6 && minor < 2))
		offloads &= ~(uint32_t)PORT_TX_USO;
	return offloads;
}

/* ---- the device --------------------------------------------------------- */

static int set_mtu(struct netlink *nl, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
{
	int r;

	if (!rq->mtu || rq->mtu == grant->mtu)
		return 0;
	r = netlink_set_mtu(nl, grant->ifindex, rq->mtu);
	if (r == -EINVAL || r == -ERANGE)
		return error_set(err, -r, "bad-mtu", "mtu",
				 "%s doesn't take an MTU of %u", grant->ifname,
				 rq->mtu);
	if (r)
		return cannot(err, -r, "mtu", "set the MTU of", grant->ifname);
	if (!grant->undo.mtu)
		grant->undo.mtu = grant->mtu;
	grant->mtu = rq->mtu;
	return 0;
}

/*
 * Carrier where the driver lets us have it (a TAP does), IFF_UP where not (a
 * veth: its peer loses carrier that way).
 */
static int set_enabled(struct netlink *nl, bool enabled,
		       struct port_grant *grant)
{
	struct port_undo *undo = &grant->undo;
	int r;

	if (enabled) {
		if (undo->carrier_off) {
			r = netlink_set_carrier(nl, grant->ifindex, true);
			if (r)
				return r;
			undo->carrier_off = false;
		}
		undo->carrier_by_flags = false;
		return netlink_set_up(nl, grant->ifindex, true);
	}
	if (undo->carrier_off || undo->carrier_by_flags)
		return 0;
	r = netlink_set_carrier(nl, grant->ifindex, false);
	if (!r) {
		undo->carrier_off = true;
		return netlink_set_up(nl, grant->ifindex, true);
	}
	if (r != -EOPNOTSUPP)
		return r;
	undo->carrier_by_flags = true;
	return netlink_set_up(nl, grant->ifindex, false);
}

static int take_carrier(struct netlink *nl, struct port_grant *grant)
{
	struct netlink_link link;
	int r = netlink_link_get(nl, grant->ifindex, NULL, &link);

	if (!r)
		grant->carrier = link.carrier;
	return r;
}

static int set_device(struct netlink *nl, const struct port_request *rq,
		      struct port_grant *grant, struct error *err)
{
	int r;

	r = set_mtu(nl, rq, grant, err);
	if (r)
		return r;
	r = set_enabled(nl, rq->enabled, grant);
	if (!r)
		r = take_carrier(nl, grant);
	if (r)
		return cannot(err, -r, r == -ENODEV ? "ifname" : "enabled",
			      "bring up or down", grant->ifname);
	return 0;
}

static int open_netlink(struct netlink **nl, struct error *err)
{
	int error;

	*nl = netlink_open();
	if (*nl)
		return 0;
	error = errno;
	return error_set(err, error, "netlink", NULL,
			 "can't open a netlink socket: %s", strerror(error));
}

/* ---- acquire, adjust, release ------------------------------------------- */

int netdev_acquire(const struct port_request *rq, struct port_grant *grant,
		   struct error *err)
{
	struct netlink_link link;
	struct netlink *nl;
	bool keep_ipv6 = false;
	int r;

	memset(grant, 0, sizeof(*grant));
	r = open_netlink(&nl, err);
	if (r)
		return r;
	r = check_device(nl, rq, &link, &keep_ipv6, err);
	if (r)
		goto out;
	grant->ifindex = link.ifindex;
	memcpy(grant->ifname, link.ifname, sizeof(grant->ifname));
	grant->mtu = link.mtu;
	grant->mac = link.mac;
	grant->vnet_len = NETDEV_VNET_LEN;
	grant->tx_offloads = kernel_offloads();
	grant->undo.existed = true;
	grant->undo.was_up = link.up;
	grant->undo.ipv6_disabled = -1;
	r = open_sockets(rq, &link, grant, err);
	/* Quiet before it's up. */
	if (!r)
		r = netdev_guard_install(nl, grant, keep_ipv6, err);
	if (!r)
		r = set_device(nl, rq, grant, err);
	if (r)
		netdev_release(rq, grant);
out:
	netlink_close(nl);
	return r;
}

int netdev_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	struct netlink *nl;
	int r;

	r = open_netlink(&nl, err);
	if (r)
		return r;
	r = set_device(nl, rq, grant, err);
	netlink_close(nl);
	return r;
}

void netdev_release(const struct port_request *rq, struct port_grant *grant)
{
	const struct port_undo *undo = &grant->undo;
	struct netlink *nl = netlink_open();
	struct netlink_link link;
	int r = 0;

	(void)rq;
	/* By index: a new device of the old name is somebody else's. */
	if (!nl || netlink_link_get(nl, grant->ifindex, NULL, &link))
		goto out;
	memcpy(grant->ifname, link.ifname, sizeof(grant->ifname));
	if (undo->mtu)
		r |= netlink_set_mtu(nl, grant->ifindex, undo->mtu);
	/* Quiet to the end: the host's stack comes back last. */
	if (undo->carrier_off)
		r |= netlink_set_carrier(nl, grant->ifindex, true);
	if (link.up != undo->was_up)
		r |= netlink_set_up(nl, grant->ifindex, undo->was_up);
	netdev_guard_remove(nl, grant);
	if (r)
		log_debug("port", "%s: not all could be put back",
			  grant->ifname);
out:
	netlink_close(nl);
	port_grant_close(grant);
}
