/* The privileged half of `tap` ports. */
#include "ports/tap.h"

#include "base/ids.h"
#include "base/log.h"
#include "ports/device.h"
#include "ports/netlink.h"
#include "ports/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Since Linux 6.2; Debian 12's headers don't have them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* What acquire, adjust and release do happens in the device's namespace. */
struct tap_job {
	const struct port_request *rq;
	struct port_grant *grant;
	struct error *err;
};

static const char *given_name(const struct port_request *rq)
{
	return *rq->tap.ifname ? rq->tap.ifname : "tap%d";
}

static int cannot(struct error *err, int error, const char *path,
		  const char *what, const struct port_request *rq)
{
	return device_cannot(err, error, path, what, given_name(rq));
}

/* ---- making the device -------------------------------------------------- */

static int set_iff_error(const struct port_request *rq, int error,
			 struct error *err)
{
	const char *name = given_name(rq);

	switch (error) {
	case EBUSY:
		return error_set(err, EBUSY, "device-busy", "ifname",
				 "%s is held by another program; for a TAP "
				 "that QEMU or another guest holds, the port "
				 "type is netdev",
				 name);
	case EPERM:
		return error_set(err, EPERM, "not-permitted", "ifname",
				 "can't make TAP %s%s, or have root make it: "
				 "ip tuntap add %s mode tap user %d; ip link "
				 "set %s up",
				 name, privilege_missing(PRIVILEGE_NET_ADMIN),
				 name, (int)getuid(), name);
	case EINVAL:
		return error_set(err, EINVAL, "bad-ifname", "ifname",
				 "the kernel doesn't take '%s' as a name of a "
				 "TAP device",
				 name);
	default:
		return error_set(err, error, "device-open", "ifname",
				 "can't open TAP %s: %s", name,
				 strerror(error));
	}
}

static bool many_queues(const struct port_request *rq)
{
	return rq->tap.queues > 1 && !rq->tap.handover;
}

/* The kernel lets anybody join a device of several queues. */
static int check_queues(const struct port_request *rq,
			const struct netlink_link *link, struct error *err)
{
	if (link->multi_queue && !many_queues(rq))
		return error_set(err, EINVAL, "multi-queue", "ifname",
				 "%s was made with multi_queue; delete it and "
				 "make it without (or let the port make it), "
				 "or give queues=",
				 link->ifname);
	if (!link->multi_queue && many_queues(rq))
		return error_set(err, EINVAL, "multi-queue", "queues",
				 "%s was made without multi_queue; delete it "
				 "and make it with (or let the port make it)",
				 link->ifname);
	if (link->queues)
		return set_iff_error(rq, EBUSY, err);
	return 0;
}

static int check_existing(const struct port_request *rq,
			  const struct netlink_link *link, struct error *err)
{
	const char *kind = *link->kind ? link->kind : "hardware";

	if (!link->is_tap)
		return error_set(err, EINVAL, "not-a-tap", "ifname",
				 "%s exists and isn't a TAP device (it's %s); "
				 "a port of type netdev can take it",
				 link->ifname, kind);
	return check_queues(rq, link, err);
}

/* A queue of the device of that name, the only one or one more. */
static int open_tun(const struct port_request *rq, const char *ifname,
		    struct error *err)
{
	struct ifreq ifr = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};
	int fd, error;

	if (many_queues(rq))
		ifr.ifr_flags |= IFF_MULTI_QUEUE;

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		error = errno;
		if (error == EACCES || error == EPERM)
			return error_set(err, EPERM, "not-permitted", NULL,
					 "user %d may not open /dev/net/tun: "
					 "chmod 666 it (as udev does; nobody "
					 "gets a device by that alone)",
					 (int)getuid());
		return error_set(err, error, "no-tun", NULL,
				 "can't open /dev/net/tun: %s (modprobe tun?)",
				 strerror(error));
	}
	memcpy(ifr.ifr_name, ifname, sizeof(ifr.ifr_name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		error = errno;
		close(fd);
		return set_iff_error(rq, error, err);
	}
	return fd;
}

/*
 * Descriptors of a device of several queues. The sending one comes first: the
 * number that its queue had stays with it, and must be one that there is.
 */
static int open_queues(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_DETACH_QUEUE };
	int tx = open_tun(rq, rq->tap.ifname, err), fd, r;

	if (tx < 0)
		return tx;
	if (ioctl(tx, TUNSETQUEUE, &ifr) < 0 ||
	    ioctl(tx, TUNGETIFF, &ifr) < 0) {
		r = errno;
		close(tx);
		return error_set(err, r, "device-open", "queues",
				 "can't detach a queue of %s: %s",
				 given_name(rq), strerror(r));
	}
	while (grant->nfds < rq->tap.queues) {
		fd = open_tun(rq, ifr.ifr_name, err);
		if (fd < 0) {
			close(tx);
			return fd; /* the caller closes the others */
		}
		grant->fd[grant->nfds++] = fd;
	}
	grant->fd[grant->nfds++] = tx;
	return 0;
}

static int open_device(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	int fd;

	if (many_queues(rq))
		return open_queues(rq, grant, err);
	fd = open_tun(rq, rq->tap.ifname, err);
	if (fd < 0)
		return fd;
	grant->fd[0] = fd;
	grant->nfds = 1;
	return 0;
}

/* ---- settings by the descriptor ----------------------------------------- */

uint32_t tap_set_offloads(int fd)
{
	unsigned int want =
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	if (!ioctl(fd, TUNSETOFFLOAD, want | TUN_F_USO4 | TUN_F_USO6))
		return PORT_TX_CSUM | PORT_TX_ALL_GSO;
	/* What we write is taken from any kernel, USO apart; what the kernel
	 * gives us is at its discretion: a plain frame is fine as well. */
	if (ioctl(fd, TUNSETOFFLOAD, want) < 0)
		log_warning("port", "TUNSETOFFLOAD: %s", strerror(errno));
	return PORT_TX_CSUM | (PORT_TX_ALL_GSO & ~PORT_TX_USO);
}

/* A persistent device may have somebody's. */
static int clear_offloads(const struct port_request *rq, int fd,
			  struct error *err)
{
	return ioctl(fd, TUNSETOFFLOAD, 0) < 0
		       ? cannot(err, errno, "offload", "turn off offloads of",
				rq)
		       : 0;
}

static int set_ownership(const struct port_request *rq, int fd,
			 struct error *err)
{
	const struct tap_params *tap = &rq->tap;
	uint32_t id;

	if (*tap->owner && ids_find(tap->owner, false, &id) < 0)
		return error_set(err, ENOENT, "no-such-user", "owner",
				 "there is no user \"%s\"", tap->owner);
	if (*tap->owner && ioctl(fd, TUNSETOWNER, (unsigned long)id) < 0)
		return cannot(err, errno, "owner", "set the owner of", rq);
	if (*tap->group && ids_find(tap->group, true, &id) < 0)
		return error_set(err, ENOENT, "no-such-group", "group",
				 "there is no group \"%s\"", tap->group);
	if (*tap->group && ioctl(fd, TUNSETGROUP, (unsigned long)id) < 0)
		return cannot(err, errno, "group", "set the group of", rq);
	if (tap->persist && ioctl(fd, TUNSETPERSIST, 1) < 0)
		return cannot(err, errno, "persist", "set persistence of", rq);
	return 0;
}

static int set_descriptor(const struct port_request *rq,
			  struct port_grant *grant, struct error *err)
{
	int fd = grant->fd[0], size = (int)ETHER_VNET_LEN, sndbuf = INT_MAX;
	int r = 0;

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return cannot(err, errno, NULL, "set the header size of", rq);
	/* A persistent device may have somebody's limit. */
	if (ioctl(fd, TUNSETSNDBUF, &sndbuf) < 0)
		return cannot(err, errno, NULL, "set the send buffer of", rq);
	grant->vnet_len = ETHER_VNET_LEN;
	if (rq->tap.plain)
		r = clear_offloads(rq, fd, err);
	else
		grant->tx_offloads = tap_set_offloads(fd);
	return r < 0 ? r : set_ownership(rq, fd, err);
}

static int set_carrier(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	int on = rq->enabled;

	/* A device that is down has no carrier to speak of: the kernel keeps
	 * what we say for the time when it's up. */
	if (ioctl(grant->fd[0], TUNSETCARRIER, &on) < 0)
		return cannot(err, errno, "enabled", "change the carrier of",
			      rq);
	grant->carrier = on;
	return 0;
}

/* ---- settings by netlink ------------------------------------------------ */

static int set_mac(struct netlink *nl, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
{
	int r;

	if (!rq->tap.mac || rq->tap.mac == grant->mac)
		return 0;
	r = netlink_set_mac(nl, grant->ifindex, rq->tap.mac);
	if (r == -EADDRNOTAVAIL)
		return error_set(err, EINVAL, "bad-mac", "mac",
				 "%s takes no group or zero address",
				 grant->ifname);
	if (r)
		return cannot(err, -r, "mac", "set the hardware address of",
			      rq);
	if (grant->undo.existed)
		grant->undo.mac = grant->mac;
	grant->mac = rq->tap.mac;
	return 0;
}

static int set_address(struct netlink *nl, const struct port_request *rq,
		       struct port_grant *grant, struct error *err)
{
	struct netlink_addr addr;
	int r;

	if (!*rq->tap.address)
		return 0;
	if (netlink_addr_parse(rq->tap.address, &addr))
		return error_set(err, EINVAL, "bad-address", "address",
				 "'%s' isn't an address like 10.0.0.1/24 or "
				 "fd00::1/64",
				 rq->tap.address);
	r = netlink_addr_add(nl, grant->ifindex, &addr);
	if (r == -EEXIST)
		return 0;
	if (r)
		return cannot(err, -r, "address", "set the address of", rq);
	grant->undo.added_address = true;
	return 0;
}

static int set_device(struct netlink *nl, const struct port_request *rq,
		      struct port_grant *grant, struct error *err)
{
	int r;

	r = set_mac(nl, rq, grant, err);
	if (!r)
		r = device_set_mtu(nl, rq, grant, err);
	if (!r)
		r = set_address(nl, rq, grant, err);
	if (r || rq->tap.handover)
		return r;
	r = set_carrier(rq, grant, err);
	if (r)
		return r;
	/* Asked only where needed: an owner without privilege may attach to a
	 * device that's up. */
	if (grant->undo.was_up)
		return 0;
	r = netlink_set_up(nl, grant->ifindex, true);
	return r ? cannot(err, -r, NULL, "bring up", rq) : 0;
}

static int take_facts(struct netlink *nl, struct port_grant *grant,
		      struct error *err)
{
	struct netlink_link link;
	struct ifreq ifr;
	int r;

	memset(&ifr, 0, sizeof(ifr));
	r = ioctl(grant->fd[0], TUNGETIFF, &ifr) < 0 ? -errno : 0;
	if (!r)
		r = netlink_link_get(nl, 0, ifr.ifr_name, &link);
	if (r)
		return error_set(err, -r, "device-gone", "ifname",
				 "the device disappeared: %s", strerror(-r));
	grant->ifindex = link.ifindex;
	memcpy(grant->ifname, link.ifname, sizeof(grant->ifname));
	grant->mtu = link.mtu;
	grant->mac = link.mac;
	grant->undo.mtu = link.mtu;
	grant->undo.was_up = link.up;
	return 0;
}

/* ---- acquire, adjust, release ------------------------------------------- */

static void restore(struct netlink *nl, const struct port_request *rq,
		    struct port_grant *grant)
{
	const struct port_undo *undo = &grant->undo;
	struct netlink_addr addr;
	int i = grant->ifindex, r;

	if (undo->added_address &&
	    !netlink_addr_parse(rq->tap.address, &addr)) {
		r = netlink_addr_del(nl, i, &addr);
		device_put_back(grant, "its addresses",
				r == -EADDRNOTAVAIL ? 0 : r);
	}
	if (undo->mtu_set)
		device_put_back(grant, "its MTU",
				netlink_set_mtu(nl, i, undo->mtu));
	if (undo->mac)
		device_put_back(grant, "its hardware address",
				netlink_set_mac(nl, i, undo->mac));
	if (!undo->was_up)
		device_put_back(grant, "IFF_UP", netlink_set_up(nl, i, false));
}

static int tap_create(void *arg)
{
	struct tap_job *job = arg;
	const struct port_request *rq = job->rq;
	struct port_grant *grant = job->grant;
	struct netlink *nl = netlink_open();
	struct netlink_link link;
	int r;

	if (!nl) {
		r = errno;
		return error_set(job->err, r, "netlink", NULL,
				 "can't open a netlink socket: %s",
				 strerror(r));
	}
	if (*rq->tap.ifname && !strchr(rq->tap.ifname, '%') &&
	    !netlink_link_get(nl, 0, rq->tap.ifname, &link)) {
		grant->undo.existed = true;
		r = check_existing(rq, &link, job->err);
		if (r)
			goto out;
	}
	r = open_device(rq, grant, job->err);
	if (r < 0)
		goto out;
	r = take_facts(nl, grant, job->err);
	if (!r)
		r = rq->tap.handover ? set_ownership(rq, grant->fd[0], job->err)
				     : set_descriptor(rq, grant, job->err);
	if (!r)
		r = set_device(nl, rq, grant, job->err);
	if (r && grant->undo.existed && grant->ifindex)
		restore(nl, rq, grant);
	if (r && !grant->undo.existed && rq->tap.persist)
		ioctl(grant->fd[0], TUNSETPERSIST, 0);
out:
	if (r)
		port_grant_close(grant);
	netlink_close(nl);
	return r;
}

int tap_acquire(const struct port_request *rq, struct port_grant *grant,
		struct error *err)
{
	struct error said = { .err = 0 };
	struct tap_job job = { .rq = rq, .grant = grant, .err = &said };
	int ns = -1, r;

	memset(grant, 0, sizeof(*grant));
	if (*rq->tap.netns) {
		ns = netlink_netns_open(rq->tap.netns);
		if (ns == -EINVAL)
			return error_set(err, EINVAL, "netns", "netns",
					 "%s is no network namespace",
					 rq->tap.netns);
		if (ns < 0)
			return error_set(err, -ns, "no-such-netns", "netns",
					 "can't open network namespace %s: %s",
					 rq->tap.netns, strerror(-ns));
	}
	r = netlink_in_netns(ns, tap_create, &job);
	if (ns >= 0)
		close(ns);
	if (r && !said.err)
		error_set(&said, -r, r == -EPERM ? "not-permitted" : "netns",
			  "netns", "can't enter network namespace %s: %s%s",
			  rq->tap.netns, strerror(-r),
			  privilege_hint(PRIVILEGE_NETNS, -r));
	if (r && err)
		*err = said;
	return r;
}

/*
 * The device may have been moved since: the kernel tells by the descriptor
 * where it is (Linux 5.8). *ns is a namespace, or -1 for the caller's own:
 * that needs no privilege to enter, nor is there one to ask without. Returns 0,
 * or -errno where there is no descriptor left to ask with: the device of that
 * name here may be another's.
 */
static int foreign_netns(int tap, int *ns)
{
	int fd = ioctl(tap, TUNGETDEVNETNS);
	struct stat there, here;

	*ns = -1;
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? -errno : 0;
	if (fstat(fd, &there) || stat("/proc/thread-self/ns/net", &here) ||
	    there.st_dev != here.st_dev || there.st_ino != here.st_ino)
		*ns = fd;
	else
		close(fd);
	return 0;
}

/* Run fn where the device is now. */
static int where_device_is(int (*fn)(void *arg), struct tap_job *job)
{
	int ns = -1, r;

	r = foreign_netns(job->grant->fd[0], &ns);
	if (r)
		return r;
	r = netlink_in_netns(ns, fn, job);
	if (ns >= 0)
		close(ns);
	return r;
}

/* What the device is called by now, and its facts. */
static int find_device(struct netlink *nl, struct port_grant *grant,
		       struct netlink_link *link)
{
	struct ifreq ifr;
	int r;

	memset(&ifr, 0, sizeof(ifr));
	if (ioctl(grant->fd[0], TUNGETIFF, &ifr) < 0)
		return -errno;
	r = netlink_link_get(nl, 0, ifr.ifr_name, link);
	if (r)
		return r;
	grant->ifindex = link->ifindex;
	memcpy(grant->ifname, link->ifname, sizeof(grant->ifname));
	return 0;
}

static int adjust_here(void *arg)
{
	struct tap_job *job = arg;
	struct port_grant *grant = job->grant, before;
	struct netlink *nl = netlink_open();
	struct netlink_link link = { .ifindex = 0 };
	int r;

	if (!nl)
		return -errno;
	r = find_device(nl, grant, &link);
	if (r)
		goto out;
	grant->mtu = link.mtu;
	before = *grant;
	r = device_set_mtu(nl, job->rq, grant, job->err);
	if (r)
		goto out;
	r = set_carrier(job->rq, grant, job->err);
	if (r && grant->mtu != before.mtu) {
		int back = netlink_set_mtu(nl, grant->ifindex, before.mtu);

		device_put_back(grant, "its MTU", back);
		if (!back)
			*grant = before;
	}
out:
	netlink_close(nl);
	return r;
}

int tap_adjust(const struct port_request *rq, struct port_grant *grant,
	       struct error *err)
{
	struct error said = { .err = 0 };
	struct tap_job job = { .rq = rq, .grant = grant, .err = &said };
	int r;

	/* Carrier alone can be had without privilege, by the descriptor. */
	if (!rq->mtu && !grant->undo.mtu_set)
		return set_carrier(rq, grant, err);
	r = where_device_is(adjust_here, &job);
	if (r && !said.err)
		cannot(&said, -r, "mtu", "set the MTU of", rq);
	if (r && err)
		*err = said;
	return r;
}

static int put_back(void *arg)
{
	struct tap_job *job = arg;
	struct netlink *nl = netlink_open();
	struct netlink_link link;
	int r;

	if (!nl)
		return -errno;
	r = find_device(nl, job->grant, &link);
	if (!r)
		restore(nl, job->rq, job->grant);
	netlink_close(nl);
	return r == -EBADFD ? 0 : r; /* it was deleted */
}

void tap_release(const struct port_request *rq, struct port_grant *grant)
{
	struct tap_job job = { .rq = rq, .grant = grant };
	int r = 0;

	if (grant->nfds && grant->undo.existed)
		r = where_device_is(put_back, &job);
	if (r)
		log_warning("port", "%s: can't be put back as it was: %s",
			    grant->ifname, strerror(-r));
	port_grant_close(grant);
}
