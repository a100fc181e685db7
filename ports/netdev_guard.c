#include "ports/netdev_guard.h"

#include "base/log.h"
#include "ports/device.h"
#include "ports/privilege.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What our filter is known by; that without a name: by what it is. */
#define GUARD_NAME "switchd_guard"
/* "SW" and what follows; smaller than what the kernel picks for filters that
 * don't say. The first that nobody has is ours. */
#define GUARD_PRIO   0x5357u
#define GUARD_PRIOS  32u
#define GUARD_HANDLE 1u

/* In place of a program's descriptor. */
#define CLASSIC_BPF -1

static int fast_program = -1; /* see netdev_guard_program() */

/* Drops whatever it sees, as drop_program() does, and takes no privilege but
 * over the device: a root of a user namespace has it. It has no name, so it
 * begins with one ("swGD"). */
static const struct sock_filter classic[] = {
	BPF_STMT(BPF_LD | BPF_IMM, 0x73774744u),
	BPF_STMT(BPF_RET | BPF_K, TC_ACT_SHOT),
};
#define CLASSIC_COUNT (sizeof(classic) / sizeof(classic[0]))

/* ---- IPv6 --------------------------------------------------------------- */

static int ipv6_sysctl(const char *ifname, char *path, size_t size)
{
	int n = snprintf(path, size, "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
			 ifname);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int ipv6_write(const char *path, char value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, &value, 1) != 1)
		r = -errno;
	close(fd);
	return r;
}

static int ipv6_read(const char *ifname, char *value)
{
	char path[96];
	ssize_t got;
	int fd, r;

	r = ipv6_sysctl(ifname, path, sizeof(path));
	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = read(fd, value, 1);
	close(fd);
	return got == 1 ? 0 : -EIO;
}

/*
 * Turn it off; *old is what it was, -1 where there is no IPv6. With took_over
 * it was a predecessor who turned it off: then what a new device has, for what
 * this one had nobody knows.
 */
static int ipv6_disable(const char *ifname, bool took_over, int8_t *old)
{
	char path[96], value = 0;
	int r;

	*old = -1;
	r = ipv6_read(ifname, &value);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = ipv6_sysctl(ifname, path, sizeof(path));
	if (!r && value != '1')
		r = ipv6_write(path, '1');
	else if (!r && took_over)
		r = ipv6_read("default", &value);
	if (!r)
		*old = value == '1';
	return r;
}

/* ---- the filter --------------------------------------------------------- */

static int clsact_change(struct netlink *nl, uint16_t type, uint16_t flags,
			 int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		netlink_tc_request(buf, type, NLM_F_ACK | flags, ifindex);
	struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	tcm->tcm_parent = TC_H_CLSACT;
	tcm->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(nlh, TCA_KIND, "clsact");
	return netlink_talk(nl, nlh, NULL, NULL);
}

/* The filters at ingress that matter to us. */
struct filters {
	uint32_t prios; /* bit n: somebody has GUARD_PRIO + n */
	bool ours;	/* ours is there, and the rest says where */
	uint32_t info, handle;
};

/* With its NUL or without. */
static bool attr_is_name(const struct nlattr *attr)
{
	const size_t len = strlen(GUARD_NAME);
	const char *name = attr ? mnl_attr_get_payload(attr) : NULL;
	size_t got = attr ? mnl_attr_get_payload_len(attr) : 0;

	return (got == len || (got == len + 1 && !name[len])) &&
	       !memcmp(name, GUARD_NAME, len);
}

static const struct nlattr *attr_find(const struct nlattr *in, uint16_t type)
{
	const struct nlattr *attr, *found = NULL;

	if (!in)
		return NULL;
	mnl_attr_for_each_nested(attr, in)
	{
		if (mnl_attr_get_type(attr) == type)
			found = attr;
	}
	return found;
}

static bool attr_is_classic(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == sizeof(classic) &&
	       !memcmp(mnl_attr_get_payload(attr), classic, sizeof(classic));
}

static bool filter_is_ours(const char *kind, const struct nlattr *options)
{
	return !strcmp(kind, "bpf") &&
	       (attr_is_name(attr_find(options, TCA_BPF_NAME)) ||
		attr_is_classic(attr_find(options, TCA_BPF_OPS)));
}

static int look_at_filter(const struct nlmsghdr *nlh, void *ctx)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	uint32_t prio = TC_H_MAJ(tcm->tcm_info) >> 16;
	const struct nlattr *attr, *options = NULL;
	struct filters *all = ctx;
	const char *kind = "";

	if (nlh->nlmsg_type != RTM_NEWTFILTER)
		return MNL_CB_OK;
	if (prio >= GUARD_PRIO && prio < GUARD_PRIO + GUARD_PRIOS)
		all->prios |= 1u << (prio - GUARD_PRIO);
	mnl_attr_for_each(attr, nlh, sizeof(*tcm))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			kind = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == TCA_OPTIONS)
			options = attr;
	}
	if (tcm->tcm_handle && filter_is_ours(kind, options)) {
		all->ours = true;
		all->info = tcm->tcm_info;
		all->handle = tcm->tcm_handle;
	}
	return MNL_CB_OK;
}

static int filters_find(struct netlink *nl, int ifindex, struct filters *all)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	int r;

	do {
		struct nlmsghdr *nlh = netlink_tc_request(buf, RTM_GETTFILTER,
							  NLM_F_DUMP, ifindex);
		struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

		memset(all, 0, sizeof(*all));
		tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
		r = netlink_talk(nl, nlh, look_at_filter, all);
	} while (r == -EINTR);
	return r;
}

static struct nlmsghdr *filter_request(char *buf, uint16_t type, uint16_t flags,
				       int ifindex, uint32_t info,
				       uint32_t handle)
{
	struct nlmsghdr *nlh =
		netlink_tc_request(buf, type, NLM_F_ACK | flags, ifindex);
	struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	tcm->tcm_info = info;
	tcm->tcm_handle = handle;
	mnl_attr_put_strz(nlh, TCA_KIND, "bpf");
	return nlh;
}

/* A program that drops whatever it sees. Returns a descriptor or -errno. */
static int drop_program(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K,
		  .dst_reg = BPF_REG_0,
		  .imm = TC_ACT_SHOT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = sizeof(insns) / sizeof(insns[0]);
	attr.license = (uint64_t)(uintptr_t) "GPL";
	snprintf(attr.prog_name, sizeof(attr.prog_name), GUARD_NAME);
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

/* prog: a descriptor, or CLASSIC_BPF. flags: NLM_F_EXCL to add it, 0 to replace
 * the one that is there; in between there is no moment without. The filter
 * holds the program from here on. */
static int filter_put_bpf(struct netlink *nl, int ifindex, uint32_t info,
			  uint32_t handle, uint16_t flags, int prog)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	nlh = filter_request(buf, RTM_NEWTFILTER, NLM_F_CREATE | flags, ifindex,
			     info, handle);
	nest = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	if (prog == CLASSIC_BPF) {
		mnl_attr_put_u16(nlh, TCA_BPF_OPS_LEN, CLASSIC_COUNT);
		mnl_attr_put(nlh, TCA_BPF_OPS, sizeof(classic), classic);
	} else {
		mnl_attr_put_u32(nlh, TCA_BPF_FD, (uint32_t)prog);
		mnl_attr_put_strz(nlh, TCA_BPF_NAME, GUARD_NAME);
	}
	mnl_attr_put_u32(nlh, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(nlh, nest);
	return netlink_talk(nl, nlh, NULL, NULL);
}

/* Ours only, wherever it is; it may have been removed by now. */
static int filter_del(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct filters all;
	int r;

	r = filters_find(nl, ifindex, &all);
	if (r || !all.ours)
		return r;
	return netlink_talk(nl,
			    filter_request(buf, RTM_DELTFILTER, 0, ifindex,
					   all.info, all.handle),
			    NULL, NULL);
}

static int count_filter(const struct nlmsghdr *nlh, void *ctx)
{
	unsigned int *count = ctx;

	if (nlh->nlmsg_type == RTM_NEWTFILTER)
		++*count;
	return MNL_CB_OK;
}

/* Has somebody put filters of his own into the clsact? */
static bool clsact_in_use(struct netlink *nl, int ifindex)
{
	static const uint32_t hooks[] = { TC_H_MIN_INGRESS, TC_H_MIN_EGRESS };
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	unsigned int count = 0;

	for (unsigned int i = 0; i < 2; i++) {
		struct nlmsghdr *nlh = netlink_tc_request(buf, RTM_GETTFILTER,
							  NLM_F_DUMP, ifindex);
		struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

		tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, hooks[i]);
		if (netlink_talk(nl, nlh, count_filter, &count))
			return true; /* can't say: leave it */
	}
	return count > 0;
}

/* ---- both --------------------------------------------------------------- */

/* A filter for ETH_P_ALL with a priority that nobody has. */
static int filter_add(struct netlink *nl, int ifindex, uint32_t prios, int prog)
{
	uint32_t info, n = 0;

	while (n < GUARD_PRIOS && prios & 1u << n)
		n++;
	if (n == GUARD_PRIOS)
		return -EEXIST;
	info = TC_H_MAKE((GUARD_PRIO + n) << 16, htons(ETH_P_ALL));
	return filter_put_bpf(nl, ifindex, info, GUARD_HANDLE, NLM_F_EXCL,
			      prog);
}

/* Add ours, or put it in the place of the one that is there. */
static int filter_put(struct netlink *nl, int ifindex,
		      const struct filters *all, int prog)
{
	return all->ours ? filter_put_bpf(nl, ifindex, all->info, all->handle,
					  0, prog)
			 : filter_add(nl, ifindex, all->prios, prog);
}

/* With the program that is asked for, or what else there is. */
static int filter_choose(struct netlink *nl, struct port_grant *grant,
			 const struct filters *all, bool fast)
{
	int prog, r;

	if (fast && fast_program >= 0) {
		r = filter_put(nl, grant->ifindex, all, fast_program);
		grant->fast = !r;
		if (!r)
			return 0;
		log_notice("port", "%s: no kernel fast path: %s", grant->ifname,
			   strerror(-r));
	}
	prog = drop_program();
	r = prog < 0 ? prog : filter_put(nl, grant->ifindex, all, prog);
	if (prog >= 0)
		close(prog);
	return r ? filter_put(nl, grant->ifindex, all, CLASSIC_BPF) : 0;
}

/*
 * Where our filter is there already, a predecessor has crashed: the clsact is
 * then taken for his as well, to be removed if nobody else uses it.
 */
static int filter_install(struct netlink *nl, struct port_grant *grant,
			  bool fast)
{
	struct port_undo *undo = &grant->undo;
	struct filters all;
	int r;

	grant->fast = false;
	r = clsact_change(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
			  grant->ifindex);
	if (r && r != -EEXIST)
		return r;
	undo->added_clsact = !r;
	r = filters_find(nl, grant->ifindex, &all);
	if (!r && all.ours)
		undo->took_over = undo->added_clsact = true;
	if (!r)
		r = filter_choose(nl, grant, &all, fast);
	undo->added_filter = !r;
	/* Alone it's of no use, and a successor wouldn't know whose it is. */
	if (r && undo->added_clsact &&
	    !clsact_change(nl, RTM_DELQDISC, 0, grant->ifindex))
		undo->added_clsact = false;
	return r;
}

static void unguarded(struct port_grant *grant, const char *what, int error)
{
	grant->unguarded = true;
	log_warning("port",
		    "%s: %s: %s; the host's stack may answer on this device",
		    grant->ifname, what, strerror(error));
}

int netdev_guard_install(struct netlink *nl, struct port_grant *grant,
			 bool keep_ipv6, bool fast, struct error *err)
{
	int r;

	grant->undo.ipv6_disabled = -1;
	r = filter_install(nl, grant, fast);
	if (r == -EPERM)
		return device_cannot(err, EPERM, "ifname",
				     "keep the host's stack off",
				     grant->ifname);
	if (r)
		unguarded(grant, "the kernel can't drop at TC ingress", -r);
	if (keep_ipv6)
		return 0;
	r = ipv6_disable(grant->ifname, grant->undo.took_over,
			 &grant->undo.ipv6_disabled);
	if (r) /* /proc/sys is read-only in many a container */
		unguarded(grant, "can't turn IPv6 off", -r);
	return 0;
}

void netdev_guard_remove(struct netlink *nl, struct port_grant *grant)
{
	struct port_undo *undo = &grant->undo;
	char path[96];
	int r = 0;

	if (undo->added_filter)
		r = filter_del(nl, grant->ifindex);
	device_put_back(grant, "TC ingress", r);
	if (!r && undo->added_clsact && !clsact_in_use(nl, grant->ifindex)) {
		r = clsact_change(nl, RTM_DELQDISC, 0, grant->ifindex);
		/* Removed meanwhile, or a qdisc of another kind that a
		 * predecessor has found there. */
		if (r != -ENOENT && r != -EINVAL)
			device_put_back(grant, "its qdisc", r);
	}
	if (undo->ipv6_disabled == 0 &&
	    !ipv6_sysctl(grant->ifname, path, sizeof(path))) {
		r = ipv6_write(path, '0');
		/* Renamed or gone just now. */
		device_put_back(grant, "IPv6", r == -ENOENT ? 0 : r);
	}
	undo->added_filter = undo->added_clsact = false;
	undo->ipv6_disabled = -1;
}

void netdev_guard_program(int fd)
{
	fast_program = fd;
}

int netdev_guard_replace(struct netlink *nl, const struct port_grant *grant)
{
	struct filters all;
	int r;

	if (fast_program < 0)
		return -ENOENT;
	/* Somebody may have removed it. */
	r = clsact_change(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
			  grant->ifindex);
	if (!r || r == -EEXIST)
		r = filters_find(nl, grant->ifindex, &all);
	if (!r)
		r = filter_put(nl, grant->ifindex, &all, fast_program);
	return r == -ENODEV ? 0 : r;
}
