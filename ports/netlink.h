/*
 * netlink - the few rtnetlink requests that ports need
 *
 * A connection asks one question at a time and waits for the kernel's answer
 * (rtnetlink answers within the system call, so nothing blocks for long). It
 * speaks about the network namespace in which it was opened: use
 * netlink_in_netns() to open one elsewhere. Asynchronous events are link.h.
 *
 * Ownership: the caller owns the connection. Threads: a connection belongs to
 * one thread at a time; no shared state.
 */
#ifndef PORTS_NETLINK_H
#define PORTS_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;
struct netlink; /* a connection */

/* One kind of message fits in this with room to spare. */
#define NETLINK_REQUEST_SIZE 1024

/* What the kernel says about a device. */
struct netlink_link {
	int ifindex;
	char ifname[IFNAMSIZ];
	char kind[16];	     /* "tun", "veth", ..; "" for hardware and lo */
	bool ethernet;	     /* ARPHRD_ETHER: not lo, not a TUN */
	bool up;	     /* IFF_UP */
	bool carrier;	     /* of the driver; false while down */
	uint32_t mtu;	     /* bytes behind the Ethernet header */
	int master;	     /* ifindex of bridge, bond or VRF; 0 = none */
	uint64_t mac;	     /* 0 where it has none or it isn't Ethernet */
	bool is_tap;	     /* kind "tun" in TAP mode */
	bool multi_queue;    /* a TAP made with IFF_MULTI_QUEUE ... */
	uint32_t queues;     /* ... and how many are held, by whomever */
	uint64_t tx_dropped; /* frames, by the device or its queue */
};

/* An address with prefix length, host's byte order of bytes as on the wire. */
struct netlink_addr {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix; /* bits */
	uint8_t bytes[16];
};

/* Returns a connection, or NULL with errno. */
struct netlink *netlink_open(void);
void netlink_close(struct netlink *nl);

/*
 * Send a request and read its answers to the end; an acknowledgement or a
 * dump is asked for as the flags in `nlh` say. `each` (may be NULL) gets each
 * answer and returns MNL_CB_OK, or MNL_CB_ERROR with errno set.
 *
 * Returns 0 or -errno, the kernel's own included. -EINTR: a dump changed
 * under way; ask again.
 */
int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh,
		 int (*each)(const struct nlmsghdr *nlh, void *ctx), void *ctx)
	__attribute__((warn_unused_result));

/* Begin a request about a device's traffic control in buf, of
 * NETLINK_REQUEST_SIZE bytes; its struct tcmsg is the payload. */
struct nlmsghdr *netlink_tc_request(char *buf, uint16_t type, uint16_t flags,
				    int ifindex);

/* ---- devices ------------------------------------------------------------ */

/*
 * Facts from an RTM_NEWLINK or RTM_DELLINK message. Returns 0, or -EPROTO
 * where the message isn't one about a device as such (a bridge announces its
 * ports with the same message types).
 */
int netlink_link_parse(const struct nlmsghdr *nlh, struct netlink_link *link)
	__attribute__((warn_unused_result));

/*
 * Facts about a device by index, or by name where ifindex is 0. Returns 0,
 * -ENODEV, or -errno.
 */
int netlink_link_get(struct netlink *nl, int ifindex, const char *ifname,
		     struct netlink_link *link)
	__attribute__((warn_unused_result));

/* Call each(link, ctx) for every device. Returns 0 or -errno. */
int netlink_link_each(struct netlink *nl,
		      void (*each)(const struct netlink_link *link, void *ctx),
		      void *ctx) __attribute__((warn_unused_result));

/* Set one property. Returns 0 or -errno; -EOPNOTSUPP: the driver can't. */
int netlink_set_up(struct netlink *nl, int ifindex, bool up)
	__attribute__((warn_unused_result));
int netlink_set_carrier(struct netlink *nl, int ifindex, bool carrier)
	__attribute__((warn_unused_result));
int netlink_set_mtu(struct netlink *nl, int ifindex, uint32_t mtu)
	__attribute__((warn_unused_result));
int netlink_set_mac(struct netlink *nl, int ifindex, uint64_t mac)
	__attribute__((warn_unused_result));

/* ---- addresses and routes ----------------------------------------------- */

/*
 * Read "10.0.0.1/24" or "fd00::1/64"; without a prefix length it's a host's
 * own (32, 128). Returns 0 or -EINVAL.
 */
int netlink_addr_parse(const char *text, struct netlink_addr *addr)
	__attribute__((warn_unused_result));

/* Returns 0, -EEXIST where the device has it already, or -errno. */
int netlink_addr_add(struct netlink *nl, int ifindex,
		     const struct netlink_addr *addr)
	__attribute__((warn_unused_result));
int netlink_addr_del(struct netlink *nl, int ifindex,
		     const struct netlink_addr *addr)
	__attribute__((warn_unused_result));

/*
 * The first address of the device that isn't link-local, as text
 * ("10.0.0.1/24"), and whether any of IPv6 is among all of them.
 * text is at least 64 bytes. Returns 1, 0 (there is none), or -errno.
 */
int netlink_addr_find(struct netlink *nl, int ifindex, char *text, size_t size,
		      bool *has_ipv6) __attribute__((warn_unused_result));

/* Does a default route leave through the device? 1, 0 or -errno. */
int netlink_default_route(struct netlink *nl, int ifindex)
	__attribute__((warn_unused_result));

/* ---- network namespaces ------------------------------------------------- */

/*
 * Open the namespace that `name` says: a name under /run/netns, or a path
 * where there is a '/' in it. Nothing else that the path may lead to is opened,
 * so it never blocks. Returns a descriptor or -errno; -EINVAL: there is
 * something, but no network namespace.
 */
int netlink_netns_open(const char *name) __attribute__((warn_unused_result));

/*
 * Run fn(arg) in the namespace `fd`, or right here where fd is negative. It
 * runs on a thread of its own, which ends there: the calling thread never
 * leaves its namespace and so can't fail to come back. Returns fn's value,
 * or -errno where the namespace can't be entered.
 */
int netlink_in_netns(int fd, int (*fn)(void *arg), void *arg)
	__attribute__((warn_unused_result));

#endif
