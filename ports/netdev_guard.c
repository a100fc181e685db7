#include "ports/netdev_guard.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* "SW"; smaller than what the kernel picks for filters that don't say. */
#define GUARD_PRIO   0x5357u
#define GUARD_HANDLE 1u
/* u32's handles are hash table, bucket and node: the first node of its own
 * default table. */
#define GUARD_U32_HANDLE 0x80000800u

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

/* Turn it off; *old is what it was, -1 where there is no IPv6. */
static int ipv6_disable(const char *ifname, int8_t *old)
{
	char path[96], value;
	ssize_t got;
	int fd, r;

	*old = -1;
	r = ipv6_sysctl(ifname, path, sizeof(path));
	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	got = read(fd, &value, 1);
	close(fd);
	if (got != 1)
		return -EIO;
	r = value == '1' ? 0 : ipv6_write(path, '1');
	if (!r)
		*old = value == '1';
	return r;
}

/* ---- the filter --------------------------------------------------------- */

static struct nlmsghdr *tc_request(char *buf, uint16_t type, uint16_t flags,
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

static int clsact_change(struct netlink *nl, uint16_t type, uint16_t flags,
			 int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		tc_request(buf, type, NLM_F_ACK | flags, ifindex);
	struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	tcm->tcm_parent = TC_H_CLSACT;
	tcm->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(nlh, TCA_KIND, "clsact");
	return netlink_talk(nl, nlh, NULL, NULL);
}

static struct nlmsghdr *filter_request(char *buf, uint16_t type, uint16_t flags,
				       int ifindex, uint32_t handle,
				       const char *kind)
{
	struct nlmsghdr *nlh =
		tc_request(buf, type, NLM_F_ACK | flags, ifindex);
	struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	tcm->tcm_info = TC_H_MAKE(GUARD_PRIO << 16, htons(ETH_P_ALL));
	tcm->tcm_handle = handle;
	mnl_attr_put_strz(nlh, TCA_KIND, kind);
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
	snprintf(attr.prog_name, sizeof(attr.prog_name), "switchd_guard");
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : (int)fd;
}

static int filter_add_bpf(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh;
	struct nlattr *nest;
	int prog, r;

	prog = drop_program();
	if (prog < 0)
		return prog;
	nlh = filter_request(buf, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
			     ifindex, GUARD_HANDLE, "bpf");
	nest = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put_u32(nlh, TCA_BPF_FD, (uint32_t)prog);
	mnl_attr_put_strz(nlh, TCA_BPF_NAME, "switchd_guard");
	mnl_attr_put_u32(nlh, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(nlh, nest);
	r = netlink_talk(nl, nlh, NULL, NULL);
	/* The filter holds the program from here on. */
	close(prog);
	return r;
}

/* Without BPF: match anything, and the generic action "drop". */
static int filter_add_u32(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct tc_gact gact = { .action = TC_ACT_SHOT };
	struct {
		struct tc_u32_sel sel;
		struct tc_u32_key key;
	} match = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
	struct nlattr *options, *actions, *action, *parms;
	struct nlmsghdr *nlh;

	nlh = filter_request(buf, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
			     ifindex, GUARD_U32_HANDLE, "u32");
	options = mnl_attr_nest_start(nlh, TCA_OPTIONS);
	mnl_attr_put(nlh, TCA_U32_SEL, sizeof(match), &match);
	actions = mnl_attr_nest_start(nlh, TCA_U32_ACT);
	action = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, TCA_ACT_KIND, "gact");
	parms = mnl_attr_nest_start(nlh, TCA_ACT_OPTIONS);
	mnl_attr_put(nlh, TCA_GACT_PARMS, sizeof(gact), &gact);
	mnl_attr_nest_end(nlh, parms);
	mnl_attr_nest_end(nlh, action);
	mnl_attr_nest_end(nlh, actions);
	mnl_attr_nest_end(nlh, options);
	return netlink_talk(nl, nlh, NULL, NULL);
}

static int filter_del(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh;
	int r;

	nlh = filter_request(buf, RTM_DELTFILTER, 0, ifindex, GUARD_HANDLE,
			     "bpf");
	r = netlink_talk(nl, nlh, NULL, NULL);
	if (r != -ENOENT && r != -EINVAL)
		return r;
	nlh = filter_request(buf, RTM_DELTFILTER, 0, ifindex, GUARD_U32_HANDLE,
			     "u32");
	return netlink_talk(nl, nlh, NULL, NULL);
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
		struct nlmsghdr *nlh =
			tc_request(buf, RTM_GETTFILTER, NLM_F_DUMP, ifindex);
		struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

		tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, hooks[i]);
		if (netlink_talk(nl, nlh, count_filter, &count))
			return true; /* can't say: leave it */
	}
	return count > 0;
}

/* ---- both --------------------------------------------------------------- */

static int filter_install(struct netlink *nl, struct port_grant *grant)
{
	int r;

	r = clsact_change(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
			  grant->ifindex);
	if (!r)
		grant->undo.added_clsact = true;
	else if (r != -EEXIST)
		return r;
	r = filter_add_bpf(nl, grant->ifindex);
	if (r && r != -EEXIST)
		r = filter_add_u32(nl, grant->ifindex);
	if (r && r != -EEXIST)
		return r;
	grant->undo.added_filter = true;
	return 0;
}

static void unguarded(struct port_grant *grant, const char *what, int error)
{
	grant->unguarded = true;
	log_warning("port",
		    "%s: %s: %s; the host's stack may answer on this device",
		    grant->ifname, what, strerror(error));
}

int netdev_guard_install(struct netlink *nl, struct port_grant *grant,
			 bool keep_ipv6, struct error *err)
{
	int r;

	grant->undo.ipv6_disabled = -1;
	r = filter_install(nl, grant);
	if (r == -EPERM)
		return error_set(err, EPERM, "not-permitted", "ifname",
				 "CAP_NET_ADMIN is missing to keep the host's "
				 "stack off %s",
				 grant->ifname);
	if (r)
		unguarded(grant, "the kernel can't drop at TC ingress", -r);
	if (keep_ipv6)
		return 0;
	r = ipv6_disable(grant->ifname, &grant->undo.ipv6_disabled);
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
	if (!r && undo->added_clsact && !clsact_in_use(nl, grant->ifindex))
		r = clsact_change(nl, RTM_DELQDISC, 0, grant->ifindex);
	if (undo->ipv6_disabled == 0 &&
	    !ipv6_sysctl(grant->ifname, path, sizeof(path)))
		r |= ipv6_write(path, '0');
	if (r)
		log_debug("port", "%s: not all could be put back",
			  grant->ifname);
	undo->added_filter = undo->added_clsact = false;
	undo->ipv6_disabled = -1;
}
