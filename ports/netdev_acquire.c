/* The privileged half of `netdev` ports. */
#include "ports/netdev.h"

#include "base/log.h"
#include "ports/device.h"
#include "ports/netdev_guard.h"
#include "ports/netlink.h"
#include "ports/privilege.h"
#include "ports/qdisc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
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
		return device_cannot(err, -r, "ifname", "look up", ifname);
	if (!link->ethernet)
		return error_set(err, EINVAL, "not-ethernet", "ifname",
				 "%s isn't an Ethernet device", ifname);
	r = host_uses(nl, link, uses, sizeof(uses), keep_ipv6);
	if (r)
		return device_cannot(err, -r, "ifname", "look up the uses of",
				     ifname);
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

/*
 * The socket goes to a process without privilege, and bind() asks for none: it
 * could go on listening on any device of the host. So nothing but this device's
 * frames come through, and that can't be undone. (sendmsg() can name another
 * device, too, against which there is no such means.)
 */
static int lock_to_device(int fd, int ifindex)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ifindex, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]),
				      .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program)) < 0)
		return -errno;
	return set_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

/* All options before the socket listens (listen_if_slow): no frame comes
 * without them. */
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
	return r ? r : bind_device(fd, ifindex, 0);
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
				privilege_hint(PRIVILEGE_NET_RAW, r));
		}
		grant->fd[i] = fd;
		grant->nfds++;
		r = lock_to_device(fd, link->ifindex);
		if (!r)
			r = i == NETDEV_RX
				    ? setup_rx(fd, link->ifindex, promisc)
				    : setup_tx(fd, link->ifindex,
					       i == NETDEV_TX);
		if (r)
			return device_cannot(err, -r, "ifname", "listen on",
					     link->ifname);
	}
	return 0;
}

/* Unless another way takes what comes: then a listening socket would cost every
 * frame. */
static int listen_if_slow(const struct port_grant *grant, struct error *err)
{
	int r = grant->fast ? 0
			    : bind_device(grant->fd[NETDEV_RX], grant->ifindex,
					  ETH_P_ALL);

	return r ? device_cannot(err, -r, "ifname", "listen on", grant->ifname)
		 : 0;
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
			/* A TAP that no guest holds: it gets its carrier with
			 * its guest. (Privilege is what set_up finds out.) */
			if (r && r != -EPERM)
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

	r = device_set_mtu(nl, rq, grant, err);
	if (r)
		return r;
	r = set_enabled(nl, rq->enabled, grant);
	if (!r)
		r = take_carrier(nl, grant);
	if (r)
		return device_cannot(err, -r,
				     r == -ENODEV ? "ifname" : "enabled",
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

/* By index: a new device of the old name is somebody else's. */
static void restore(struct netlink *nl, struct port_grant *grant)
{
	const struct port_undo *undo = &grant->undo;
	int i = grant->ifindex, r;
	struct netlink_link link;

	r = netlink_link_get(nl, i, NULL, &link);
	device_put_back(grant, "the device", r);
	if (r)
		return;
	memcpy(grant->ifname, link.ifname, sizeof(grant->ifname));
	if (undo->mtu_set)
		device_put_back(grant, "its MTU",
				netlink_set_mtu(nl, i, undo->mtu));
	if (grant->queue_taken)
		device_put_back(grant, "its queueing discipline",
				qdisc_put_back(nl, i));
	grant->queue_taken = false;
	/* Quiet to the end: the host's stack comes back last. */
	if (undo->carrier_off) {
		r = netlink_set_carrier(nl, i, true);
		device_put_back(grant, "its carrier", r == -EPERM ? 0 : r);
	}
	if (link.up != undo->was_up)
		device_put_back(grant, "IFF_UP",
				netlink_set_up(nl, i, undo->was_up));
	netdev_guard_remove(nl, grant);
}

/* It works with one, too: see qdisc.h. */
static void take_queue(struct netlink *nl, struct port_grant *grant)
{
	int r = qdisc_take_default(nl, grant->ifindex);

	if (r < 0)
		log_info("port", "%s: keeps its queueing discipline: %s",
			 grant->ifname, strerror(-r));
	/* What a predecessor has left can't be told from what it found, but
	 * for that nobody chooses it. */
	grant->queue_taken = r == 1 || grant->undo.took_over;
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
	grant->undo.mtu = link.mtu;
	grant->undo.ipv6_disabled = -1;
	r = open_sockets(rq, &link, grant, err);
	/* Quiet before it's up. */
	if (!r)
		r = netdev_guard_install(nl, grant, keep_ipv6, rq->netdev.fast,
					 err);
	if (!r)
		r = listen_if_slow(grant, err);
	if (!r && link.is_tap)
		take_queue(nl, grant);
	/* A port that crashed may have taken the carrier. */
	if (grant->undo.took_over && link.is_tap && link.up && !link.carrier)
		grant->undo.carrier_off = true;
	if (!r)
		r = set_device(nl, rq, grant, err);
	if (r) {
		port_grant_close(grant);
		restore(nl, grant);
	}
out:
	netlink_close(nl);
	return r;
}

/* What set_device has changed before it failed. */
static void unset_device(struct netlink *nl, const struct netlink_link *link,
			 const struct port_grant *before,
			 struct port_grant *grant)
{
	int i = grant->ifindex, r = 0;

	if (grant->mtu != before->mtu)
		r = netlink_set_mtu(nl, i, before->mtu);
	device_put_back(grant, "its MTU", r);
	if (!r) {
		grant->mtu = before->mtu;
		grant->undo.mtu = before->undo.mtu;
		grant->undo.mtu_set = before->undo.mtu_set;
	}
	if (grant->undo.carrier_off != before->undo.carrier_off)
		device_put_back(
			grant, "its carrier",
			netlink_set_carrier(nl, i, !before->undo.carrier_off));
	grant->undo.carrier_off = before->undo.carrier_off;
	grant->undo.carrier_by_flags = before->undo.carrier_by_flags;
	device_put_back(grant, "IFF_UP", netlink_set_up(nl, i, link->up));
}

int netdev_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	struct port_grant before;
	struct netlink_link link;
	struct netlink *nl;
	int r;

	r = open_netlink(&nl, err);
	if (r)
		return r;
	r = netlink_link_get(nl, grant->ifindex, NULL, &link);
	if (r) {
		r = device_cannot(err, -r, "ifname", "look up", grant->ifname);
		goto out;
	}
	memcpy(grant->ifname, link.ifname, sizeof(grant->ifname));
	grant->mtu = link.mtu;
	before = *grant;
	r = set_device(nl, rq, grant, err);
	if (r)
		unset_device(nl, &link, &before, grant);
out:
	netlink_close(nl);
	return r;
}

void netdev_release(const struct port_request *rq, struct port_grant *grant)
{
	struct netlink *nl;

	(void)rq;
	/* First, for what follows needs descriptors, of which there may be
	 * none left. */
	port_grant_close(grant);
	nl = netlink_open();
	if (nl)
		restore(nl, grant);
	else
		device_put_back(grant, "the device", -errno);
	netlink_close(nl);
}
