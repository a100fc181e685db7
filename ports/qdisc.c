#include "ports/qdisc.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define NONE "noqueue"

/* Of the root. */
static struct nlmsghdr *request(char *buf, uint16_t type, uint16_t flags,
				int ifindex)
{
	struct nlmsghdr *nlh = netlink_tc_request(buf, type, flags, ifindex);
	struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);

	tcm->tcm_parent = TC_H_ROOT;
	return nlh;
}

int qdisc_set_none(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *nlh =
		request(buf, RTM_NEWQDISC,
			NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, ifindex);

	mnl_attr_put_strz(nlh, TCA_KIND, NONE);
	return netlink_talk(nl, nlh, NULL, NULL);
}

/* The root, as the kernel tells it. */
struct root {
	int ifindex;
	bool found, ours, is_default;
};

static int look(const struct nlmsghdr *nlh, void *ctx)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	struct root *root = ctx;

	if (nlh->nlmsg_type != RTM_NEWQDISC ||
	    tcm->tcm_ifindex != root->ifindex || tcm->tcm_parent != TC_H_ROOT)
		return MNL_CB_OK;
	root->found = true;
	/* One that somebody has made has a handle. */
	root->is_default = tcm->tcm_handle == 0;
	mnl_attr_for_each(attr, nlh, sizeof(*tcm))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			root->ours = !root->is_default &&
				     !strcmp(mnl_attr_get_str(attr), NONE);
	}
	return MNL_CB_OK;
}

static int root_get(struct netlink *nl, int ifindex, struct root *root)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	int r;

	do {
		*root = (struct root){ .ifindex = ifindex };
		r = netlink_talk(
			nl, request(buf, RTM_GETQDISC, NLM_F_DUMP, ifindex),
			look, root);
	} while (r == -EINTR);
	return r;
}

int qdisc_take_default(struct netlink *nl, int ifindex)
{
	struct root root;
	int r = root_get(nl, ifindex, &root);

	if (r || !root.found || !root.is_default)
		return r;
	r = qdisc_set_none(nl, ifindex);
	return r ? r : 1;
}

int qdisc_put_back(struct netlink *nl, int ifindex)
{
	_Alignas(4) char buf[NETLINK_REQUEST_SIZE];
	struct root root;
	int r = root_get(nl, ifindex, &root);

	if (r || !root.ours)
		return r;
	return netlink_talk(nl, request(buf, RTM_DELQDISC, NLM_F_ACK, ifindex),
			    NULL, NULL);
}
