#include "ports/netlink.h"

#include "base/mac.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A dump's messages come in blocks of up to this size (NLMSG_GOODSIZE and
 * what a long list of attributes needs). */
#define ANSWER_SIZE 32768

struct netlink {
	struct mnl_socket *sock;
	unsigned int seq;
	_Alignas(struct nlmsghdr) char buf[ANSWER_SIZE];
};

struct netlink *netlink_open(void)
{
	struct netlink *nl = malloc(sizeof(*nl));

	if (!nl)
		return NULL;
	nl->seq = 0;
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock)
		goto fail;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int saved = errno;

		mnl_socket_close(nl->sock);
		errno = saved;
		goto fail;
	}
	return nl;
fail:
	free(nl);
	return NULL;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	mnl_socket_close(nl->sock);
	free(nl);
}

int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh,
		 int (*each)(const struct nlmsghdr *nlh, void *ctx), void *ctx)
{
	unsigned int port = mnl_socket_get_portid(nl->sock);
	int r;

	nlh->nlmsg_flags |= NLM_F_REQUEST;
	nlh->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t got =
			mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));

		if (got < 0)
			return -errno;
		/* Left over from a dump that ended early (-EINTR). */
		if (((struct nlmsghdr *)(void *)nl->buf)->nlmsg_seq !=
		    nl->seq) {
			r = MNL_CB_OK;
			continue;
		}
		r = mnl_cb_run(nl->buf, (size_t)got, nl->seq, port, each, ctx);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

struct nlmsghdr *netlink_tc_request(char *buf, uint16_t type, uint16_t flags,
				    int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	tcm->tcm_ifindex = ifindex;
	return nlh;
}

/* ---- devices ------------------------------------------------------------ */

static void parse_tun(const struct nlattr *data, struct netlink_link *link)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data) switch (mnl_attr_get_type(attr))
	{
	case IFLA_TUN_TYPE:
		link->is_tap = mnl_attr_get_u8(attr) == IFF_TAP;
		break;
	case IFLA_TUN_MULTI_QUEUE:
		link->multi_queue = mnl_attr_get_u8(attr);
		break;
	case IFLA_TUN_NUM_QUEUES: /* these two of such a TAP only */
	case IFLA_TUN_NUM_DISABLED_QUEUES:
		link->queues += mnl_attr_get_u32(attr);
		break;
	}
}

static void parse_linkinfo(const struct nlattr *info, struct netlink_link *link)
{
	const struct nlattr *attr, *data = NULL;

	mnl_attr_for_each_nested(attr, info) switch (mnl_attr_get_type(attr))
	{
	case IFLA_INFO_KIND:
		snprintf(link->kind, sizeof(link->kind), "%s",
			 mnl_attr_get_str(attr));
		break;
	case IFLA_INFO_DATA:
		data = attr;
		break;
	}
	if (data && !strcmp(link->kind, "tun"))
		parse_tun(data, link);
}

/* An older kernel's is shorter, and what is ours lies at its beginning. */
static void take_stats(const struct nlattr *attr, struct netlink_link *link)
{
	struct rtnl_link_stats64 stats = { 0 };
	size_t n = mnl_attr_get_payload_len(attr);

	memcpy(&stats, mnl_attr_get_payload(attr),
	       n < sizeof(stats) ? n : sizeof(stats));
	link->tx_dropped = stats.tx_dropped;
}

static void parse_attr(const struct nlattr *attr, struct netlink_link *link)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		snprintf(link->ifname, sizeof(link->ifname), "%s",
			 mnl_attr_get_str(attr));
		break;
	case IFLA_MTU:
		link->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_MASTER:
		link->master = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_CARRIER:
		link->carrier = mnl_attr_get_u8(attr);
		break;
	case IFLA_STATS64:
		take_stats(attr, link);
		break;
	case IFLA_ADDRESS:
		if (len == 6)
			link->mac = mac_load(mnl_attr_get_payload(attr));
		break;
	case IFLA_LINKINFO:
		parse_linkinfo(attr, link);
		break;
	}
}

int netlink_link_parse(const struct nlmsghdr *nlh, struct netlink_link *link)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return -EPROTO;
	if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*ifi)))
		return -EPROTO;
	/* A device that leaves a bridge is announced by RTM_DELLINK of this
	 * family: the device is still there. */
	if (ifi->ifi_family != AF_UNSPEC)
		return -EPROTO;
	memset(link, 0, sizeof(*link));
	link->ifindex = ifi->ifi_index;
	link->ethernet = ifi->ifi_type == ARPHRD_ETHER;
	link->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) parse_attr(attr, link);
	if (!link->ethernet)
		link->mac = 0;
	if (!link->up)
		link->carrier = false;
	return 0;
}

/* A request about one device (or all of them: ifindex 0). */
static struct nlmsghdr *link_request(char *buf, uint16_t type, uint16_t flags,
				     int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	return nlh;
}

static int take_link(const struct nlmsghdr *nlh, void *ctx)
{
	int r = netlink_link_parse(nlh, ctx);

	errno = -r;
	return r ? MNL_CB_ERROR : MNL_CB_OK;
}

int netlink_link_get(struct netlink *nl, int ifindex, const char *ifname,
		     struct netlink_link *link)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		link_request(buf, RTM_GETLINK, NLM_F_ACK, ifindex);
	int r;

	if (!ifindex && !ifname)
		return -ENODEV;
	if (!ifindex)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, ifname);
	memset(link, 0, sizeof(*link));
	r = netlink_talk(nl, nlh, take_link, link);
	if (!r && !link->ifindex)
		r = -EPROTO;
	return r;
}

struct link_each {
	void (*each)(const struct netlink_link *link, void *ctx);
	void *ctx;
};

static int each_link(const struct nlmsghdr *nlh, void *ctx)
{
	const struct link_each *le = ctx;
	struct netlink_link link;

	if (!netlink_link_parse(nlh, &link))
		le->each(&link, le->ctx);
	return MNL_CB_OK;
}

int netlink_link_each(struct netlink *nl,
		      void (*each)(const struct netlink_link *link, void *ctx),
		      void *ctx)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct link_each le = { .each = each, .ctx = ctx };
	int r;

	do {
		struct nlmsghdr *nlh =
			link_request(buf, RTM_GETLINK, NLM_F_DUMP, 0);

		r = netlink_talk(nl, nlh, each_link, &le);
	} while (r == -EINTR);
	return r;
}

int netlink_set_up(struct netlink *nl, int ifindex, bool up)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		link_request(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = up ? IFF_UP : 0;
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_set_carrier(struct netlink *nl, int ifindex, bool carrier)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		link_request(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);

	mnl_attr_put_u8(nlh, IFLA_CARRIER, carrier);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_set_mtu(struct netlink *nl, int ifindex, uint32_t mtu)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		link_request(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);

	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_set_mac(struct netlink *nl, int ifindex, uint64_t mac)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		link_request(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);
	uint8_t bytes[6];

	mac_store(bytes, mac);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(bytes), bytes);
	return netlink_talk(nl, nlh, NULL, NULL);
}

/* ---- addresses and routes ----------------------------------------------- */

static size_t addr_len(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

int netlink_addr_parse(const char *text, struct netlink_addr *addr)
{
	const char *slash = strchrnul(text, '/');
	char host[INET6_ADDRSTRLEN];
	unsigned long prefix, most;
	char *end;

	if ((size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	memset(addr, 0, sizeof(*addr));
	addr->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(addr->family, host, addr->bytes) != 1)
		return -EINVAL;
	most = prefix = 8 * addr_len(addr->family);
	if (*slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		prefix = strtoul(slash + 1, &end, 10);
		if (*end || prefix > most)
			return -EINVAL;
	}
	addr->prefix = (uint8_t)prefix;
	return 0;
}

static int addr_change(struct netlink *nl, uint16_t type, uint16_t flags,
		       int ifindex, const struct netlink_addr *addr)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	size_t len = addr_len(addr->family);
	struct ifaddrmsg *ifa;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_ACK | flags;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = addr->family;
	ifa->ifa_prefixlen = addr->prefix;
	ifa->ifa_index = (unsigned int)ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, len, addr->bytes);
	mnl_attr_put(nlh, IFA_ADDRESS, len, addr->bytes);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_addr_add(struct netlink *nl, int ifindex,
		     const struct netlink_addr *addr)
{
	return addr_change(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex,
			   addr);
}

int netlink_addr_del(struct netlink *nl, int ifindex,
		     const struct netlink_addr *addr)
{
	return addr_change(nl, RTM_DELADDR, 0, ifindex, addr);
}

struct addr_find {
	int ifindex;
	int found;
	bool has_ipv6;
	char *text;
	size_t size;
};

static bool addr_is_link_local(uint8_t family, const uint8_t *bytes)
{
	if (family == AF_INET) /* 169.254.0.0/16, RFC 3927 */
		return bytes[0] == 169 && bytes[1] == 254;
	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; /* RFC 4291 */
}

static int find_addr(const struct nlmsghdr *nlh, void *ctx)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const uint8_t *bytes = NULL;
	struct addr_find *af = ctx;
	const struct nlattr *attr;
	char host[INET6_ADDRSTRLEN];

	if ((int)ifa->ifa_index != af->ifindex ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (mnl_attr_get_payload_len(attr) < addr_len(ifa->ifa_family))
			continue;
		/* IFA_LOCAL is ours where both are there (a peer's device). */
		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !bytes))
			bytes = mnl_attr_get_payload(attr);
	}
	if (!bytes || addr_is_link_local(ifa->ifa_family, bytes))
		return MNL_CB_OK;
	if (ifa->ifa_family == AF_INET6)
		af->has_ipv6 = true;
	if (!af->found++ &&
	    inet_ntop(ifa->ifa_family, bytes, host, sizeof(host)))
		snprintf(af->text, af->size, "%s/%u", host, ifa->ifa_prefixlen);
	return MNL_CB_OK;
}

int netlink_addr_find(struct netlink *nl, int ifindex, char *text, size_t size,
		      bool *has_ipv6)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct addr_find af;
	int r;

	do {
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

		af = (struct addr_find){ .ifindex = ifindex,
					 .text = text,
					 .size = size };
		nlh->nlmsg_type = RTM_GETADDR;
		nlh->nlmsg_flags = NLM_F_DUMP;
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
		r = netlink_talk(nl, nlh, find_addr, &af);
	} while (r == -EINTR);
	*has_ipv6 = af.has_ipv6;
	return r < 0 ? r : af.found > 0;
}

struct route_find {
	int ifindex;
	bool found;
};

/* A route with several next hops has them inside RTA_MULTIPATH. */
static bool multipath_has(const struct nlattr *attr, int ifindex)
{
	const struct rtnexthop *nh = mnl_attr_get_payload(attr);
	size_t left = mnl_attr_get_payload_len(attr);

	while (left >= sizeof(*nh) && nh->rtnh_len >= sizeof(*nh) &&
	       nh->rtnh_len <= left) {
		size_t step = RTNH_ALIGN(nh->rtnh_len);

		if (nh->rtnh_ifindex == ifindex)
			return true;
		if (step >= left)
			break;
		left -= step;
		nh = (const void *)((const char *)nh + step);
	}
	return false;
}

static int find_route(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct route_find *rf = ctx;
	const struct nlattr *attr;

	if (rtm->rtm_dst_len || rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type == RTA_OIF &&
		    (int)mnl_attr_get_u32(attr) == rf->ifindex)
			rf->found = true;
		if (type == RTA_MULTIPATH && multipath_has(attr, rf->ifindex))
			rf->found = true;
	}
	return MNL_CB_OK;
}

int netlink_default_route(struct netlink *nl, int ifindex)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct route_find rf = { .ifindex = ifindex };

	for (unsigned int i = 0; i < 2; i++) {
		int r;

		do {
			struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
			struct rtmsg *rtm;

			nlh->nlmsg_type = RTM_GETROUTE;
			nlh->nlmsg_flags = NLM_F_DUMP;
			rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
			rtm->rtm_family = families[i];
			r = netlink_talk(nl, nlh, find_route, &rf);
		} while (r == -EINTR);
		/* A kernel without IPv6 refuses the second question. */
		if (r < 0 && !(families[i] == AF_INET6 && r == -EOPNOTSUPP))
			return r;
	}
	return rf.found;
}

/* ---- network namespaces ------------------------------------------------- */

/*
 * Open what the O_PATH descriptor `at` stands for if it's a network namespace.
 * Not before: to open a FIFO blocks, to open a device may do anything.
 */
static int open_if_netns(int at)
{
	char path[sizeof("/proc/self/fd/") + 10];
	struct statfs fs;
	int fd;

	if (fstatfs(at, &fs) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET)
		return fd;
	close(fd);
	return -EINVAL;
}

int netlink_netns_open(const char *name)
{
	char path[300];
	int at, fd, n;

	n = snprintf(path, sizeof(path), "%s%s",
		     strchr(name, '/') ? "" : "/run/netns/", name);
	if (n < 0 || n >= (int)sizeof(path))
		return -ENAMETOOLONG;
	at = open(path, O_PATH | O_CLOEXEC);
	if (at < 0)
		return -errno;
	fd = open_if_netns(at);
	close(at);
	return fd;
}

struct netns_call {
	int fd;
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static void *netns_thread(void *arg)
{
	struct netns_call *nc = arg;

	if (setns(nc->fd, CLONE_NEWNET) < 0)
		nc->result = -errno;
	else
		nc->result = nc->fn(nc->arg);
	return NULL;
}

int netlink_in_netns(int fd, int (*fn)(void *arg), void *arg)
{
	struct netns_call nc = { .fd = fd, .fn = fn, .arg = arg };
	pthread_t thread;
	int r;

	if (fd < 0)
		return fn(arg);
	r = pthread_create(&thread, NULL, netns_thread, &nc);
	if (r)
		return -r;
	pthread_join(thread, NULL);
	return nc.result;
}
