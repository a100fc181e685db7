#include "switchd/portconf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum port_type {
	TYPE_TAP = 1 << 0,
	TYPE_NETDEV = 1 << 1,
	TYPE_PCAP = 1 << 2,
	TYPE_VHOST_USER = 1 << 3,
	TYPE_DUMMY = 1 << 4,
};

const char *const portconf_types[] = { "tap",	     "netdev", "pcap",
				       "vhost-user", "dummy",  NULL };
const char *const portconf_modes[] = { "access", "trunk", NULL };
const char *const portconf_formats[] = { "pcapng", "pcap", NULL };
const char *const portconf_roles[] = { "server", "client", NULL };

const struct rpc_param portconf_params[] = { PORTCONF_PARAMS, { 0 } };

/* Which types take a parameter that isn't common to all. */
static const struct {
	const char *name;
	unsigned int types; /* enum port_type */
} type_params[] = {
	{ "ifname", TYPE_TAP | TYPE_NETDEV },
	{ "owner", TYPE_TAP | TYPE_VHOST_USER },
	{ "group", TYPE_TAP | TYPE_VHOST_USER },
	{ "persist", TYPE_TAP },
	{ "netns", TYPE_TAP },
	{ "mac", TYPE_TAP },
	{ "address", TYPE_TAP },
	{ "queues", TYPE_TAP | TYPE_VHOST_USER },
	{ "promisc", TYPE_NETDEV },
	{ "force", TYPE_NETDEV },
	{ "fast-path", TYPE_NETDEV },
	{ "file", TYPE_PCAP },
	{ "filter", TYPE_PCAP },
	{ "snaplen", TYPE_PCAP },
	{ "rotate-size", TYPE_PCAP },
	{ "rotate-count", TYPE_PCAP },
	{ "format", TYPE_PCAP },
	{ "segment", TYPE_PCAP },
	{ "path", TYPE_VHOST_USER },
	{ "role", TYPE_VHOST_USER },
};

int portconf_check_name(const char *name, struct error *err)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz"
				   "0123456789._-/:";
	size_t len = strlen(name);

	if (len == 0 || len >= PORT_NAME_MAX || strspn(name, good) != len)
		return error_set(err, EINVAL, "bad-name", "name",
				 "a name has 1 to %d letters, digits or ._-/:",
				 PORT_NAME_MAX - 1);
	return 0;
}

/* ---- VLANs ---- */

int portconf_parse_vlans(const char *list, uint64_t *vlans, struct error *err)
{
	const char *p = list;

	memset(vlans, 0, SNAPSHOT_VLANS / 8);
	do {
		char *end;
		unsigned long from = strtoul(p, &end, 10), to = from;

		if (end == p || *p < '0' || *p > '9')
			goto bad;
		if (*end == '-') {
			p = end + 1;
			to = strtoul(p, &end, 10);
			if (end == p || *p < '0' || *p > '9')
				goto bad;
		}
		if (from < 1 || to > VLAN_ID_MAX || from > to)
			goto bad;
		for (; from <= to; from++)
			decide_vlan_set(vlans, (unsigned int)from);
		p = end;
	} while (*p++ == ',');
	if (p[-1] == '\0')
		return 0;
bad:
	return error_set(err, EINVAL, "bad-vlan-list", "trunk",
			 "\"%.60s\" is no list of VLANs: write numbers from 1 "
			 "to %d and ranges, such as 10,20-30",
			 list, VLAN_ID_MAX);
}

json_t *portconf_format_vlans(const uint64_t *vlans)
{
	char buf[4096 * 5], *p = buf;

	*p = '\0';
	for (unsigned int vid = 1; vid <= VLAN_ID_MAX; vid++) {
		unsigned int to = vid;

		if (!decide_vlan_test(vlans, vid))
			continue;
		while (to < VLAN_ID_MAX && decide_vlan_test(vlans, to + 1))
			to++;
		p += sprintf(p, p == buf ? "%u" : ",%u", vid);
		if (to > vid)
			p += sprintf(p, "-%u", to);
		vid = to;
	}
	return json_string(buf);
}

static int parse_vlan(const json_t *p, struct port_config *c, struct error *err)
{
	const char *mode = rpc_get_string(p, "mode", NULL);
	const char *trunk = rpc_get_string(p, "trunk", NULL);
	int64_t vlan = rpc_get_int(p, "vlan", 0);

	c->plain = !mode && !trunk && !vlan;
	c->access = mode && !strcmp(mode, "access");
	c->native = (uint16_t)(vlan ? vlan : 1);
	if (vlan && !mode && !trunk)
		return error_set(err, EINVAL, "mode-missing", "mode",
				 "vlan=%d needs a mode: mode=access for a port "
				 "in this VLAN only, or mode=trunk for a trunk "
				 "with this native VLAN",
				 (int)vlan);
	if (c->access) {
		if (!vlan)
			return error_set(err, EINVAL, "missing-parameter",
					 "vlan", "mode=access needs vlan=1..%d",
					 VLAN_ID_MAX);
		if (trunk)
			return error_set(err, EINVAL, "not-for-mode", "trunk",
					 "an access port has one VLAN; a list "
					 "is for mode=trunk");
		decide_vlan_set(c->vlans, c->native);
		return 0;
	}
	if (!trunk) {
		memset(c->vlans, 0xff, sizeof(c->vlans));
		return 0;
	}
	if (portconf_parse_vlans(trunk, c->vlans, err) < 0)
		return -EINVAL;
	if (vlan)
		decide_vlan_set(c->vlans, c->native);
	return 0;
}

/* ---- By type ---- */

static int check_ifname(const char *ifname, struct error *err)
{
	if (port_ifname_fit(ifname))
		return 0;
	return error_set(err, EINVAL, "bad-ifname", "ifname",
			 "a device's name is made of printable ASCII");
}

/* Names that acquire looks up: in here there may be no /etc. */
static int parse_owner(const json_t *p, char owner[64], char group[64],
		       struct error *err)
{
	const char *user = rpc_get_string(p, "owner", NULL);
	const char *of = rpc_get_string(p, "group", NULL);

	if (user && !*user)
		return error_set(err, ENOENT, "no-such-user", "owner",
				 "a user's name isn't empty");
	if (of && !*of)
		return error_set(err, ENOENT, "no-such-group", "group",
				 "a group's name isn't empty");
	snprintf(owner, 64, "%s", user ? user : "");
	snprintf(group, 64, "%s", of ? of : "");
	return 0;
}

static int parse_tap(const json_t *p, struct tap_params *t, struct error *err)
{
	const char *mac = rpc_get_string(p, "mac", NULL);

	snprintf(t->ifname, sizeof(t->ifname), "%s",
		 rpc_get_string(p, "ifname", ""));
	snprintf(t->netns, sizeof(t->netns), "%s",
		 rpc_get_string(p, "netns", ""));
	snprintf(t->address, sizeof(t->address), "%s",
		 rpc_get_string(p, "address", ""));
	t->persist = rpc_get_bool(p, "persist", false);
	t->queues = (uint32_t)rpc_get_int(p, "queues", 1);
	if (t->queues > TAP_QUEUES_MAX)
		return error_set(err, EINVAL, "out-of-range", "queues",
				 "a TAP has 1 to %d queues", TAP_QUEUES_MAX);
	if (t->queues == 1) /* and not a device of several that has one */
		t->queues = 0;
	if (parse_owner(p, t->owner, t->group, err) < 0)
		return -ENOENT;
	if (mac && (mac_parse(mac, &t->mac) < 0 || t->mac == 0 ||
		    mac_is_group(t->mac)))
		return error_set(err, EINVAL, "bad-mac", "mac",
				 "\"%s\" is no address for a device: write six "
				 "pairs of hex digits, the first one even",
				 mac);
	return check_ifname(t->ifname, err);
}

static int parse_netdev(const json_t *p, struct netdev_params *n,
			struct error *err)
{
	const char *ifname = rpc_get_string(p, "ifname", NULL);

	if (!ifname || !*ifname)
		return error_set(err, EINVAL, "missing-parameter", "ifname",
				 "type=netdev needs ifname=DEVICE");
	snprintf(n->ifname, sizeof(n->ifname), "%s", ifname);
	n->promisc = rpc_get_bool(p, "promisc", false);
	n->force = rpc_get_bool(p, "force", false);
	return check_ifname(n->ifname, err);
}

static int parse_pcap(const json_t *p, struct pcap_params *c, struct error *err)
{
	const char *file = rpc_get_string(p, "file", NULL);

	if (!file || file[0] != '/')
		return error_set(
			err, EINVAL, file ? "bad-value" : "missing-parameter",
			"file", "type=pcap needs file=/PATH, an absolute path");
	snprintf(c->file, sizeof(c->file), "%s", file);
	snprintf(c->filter, sizeof(c->filter), "%s",
		 rpc_get_string(p, "filter", ""));
	c->snaplen = (uint32_t)rpc_get_int(p, "snaplen", 0);
	c->rotate_bytes = (uint64_t)rpc_get_int(p, "rotate-size", 0);
	c->rotate_files = (uint32_t)rpc_get_int(p, "rotate-count", 0);
	c->classic = !strcmp(rpc_get_string(p, "format", "pcapng"), "pcap");
	c->segment = rpc_get_bool(p, "segment", false);
	if (c->rotate_files && !c->rotate_bytes)
		return error_set(err, EINVAL, "missing-parameter",
				 "rotate-size",
				 "rotate-count needs rotate-size");
	return 0;
}

static int parse_vhost_user(const json_t *p, struct vhost_user_params *v,
			    struct error *err)
{
	const char *path = rpc_get_string(p, "path", NULL);

	if (!path || path[0] != '/')
		return error_set(err, EINVAL,
				 path ? "bad-value" : "missing-parameter",
				 "path",
				 "type=vhost-user needs path=/PATH, the "
				 "absolute path of a socket");
	snprintf(v->path, sizeof(v->path), "%s", path);
	v->client = !strcmp(rpc_get_string(p, "role", "server"), "client");
	v->queues = (uint32_t)rpc_get_int(p, "queues", 1);
	if (parse_owner(p, v->owner, v->group, err) < 0)
		return -ENOENT;
	if (v->client && (*v->owner || *v->group))
		return error_set(err, EINVAL, "not-for-role",
				 *v->owner ? "owner" : "group",
				 "with role=client the socket is the front "
				 "end's: %s is for role=server",
				 *v->owner ? "owner" : "group");
	return 0;
}

static unsigned int type_bit(const char *type)
{
	for (unsigned int i = 0; portconf_types[i]; i++)
		if (!strcmp(portconf_types[i], type))
			return 1u << i;
	return 0;
}

/* Has it a parameter that belongs to other types only? */
static int check_type_params(const json_t *p, const char *type,
			     struct error *err)
{
	unsigned int n = sizeof(type_params) / sizeof(type_params[0]);

	for (unsigned int i = 0; i < n; i++)
		if (!(type_params[i].types & type_bit(type)) &&
		    json_object_get(p, type_params[i].name))
			return error_set(err, EINVAL, "not-for-type",
					 type_params[i].name,
					 "%s is not a parameter of type=%s",
					 type_params[i].name, type);
	return 0;
}

static int parse_by_type(const json_t *p, struct port_request *rq,
			 struct error *err)
{
	switch (type_bit(rq->type)) {
	case TYPE_TAP:
		return parse_tap(p, &rq->tap, err);
	case TYPE_NETDEV:
		return parse_netdev(p, &rq->netdev, err);
	case TYPE_PCAP:
		return parse_pcap(p, &rq->pcap, err);
	case TYPE_VHOST_USER:
		return parse_vhost_user(p, &rq->vhost_user, err);
	default:
		return 0;
	}
}

/* ---- All together ---- */

/* The profile's parameters with the given ones on top; a new reference. */
static json_t *merge_profile(const json_t *params, const json_t *profiles,
			     struct error *err)
{
	const char *name = rpc_get_string(params, "profile", NULL);
	json_t *merged, *profile = NULL;

	if (name) {
		profile = json_object_get(profiles, name);
		if (!profile) {
			error_set(err, ENOENT, "no-such-profile", "profile",
				  "there is no profile \"%s\"", name);
			return NULL;
		}
	}
	merged = profile ? json_copy(profile) : json_object();
	if (!merged || json_object_update(merged, (json_t *)params) < 0) {
		json_decref(merged);
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	return merged;
}

static int refuse_isolated_uplink(struct error *err)
{
	return error_set(err, EINVAL, "bad-value", "isolated",
			 "an uplink can't be isolated: isolated ports talk to "
			 "uplinks");
}

static int parse_merged(const json_t *p, struct port_config *c,
			struct error *err)
{
	const char *type = rpc_get_string(p, "type", NULL);

	if (!type)
		return error_set(err, EINVAL, "missing-parameter", "type",
				 "a port needs a type, such as type=tap");
	snprintf(c->request.type, sizeof(c->request.type), "%s", type);
	c->request.mtu = (uint32_t)rpc_get_int(p, "mtu", 0);
	c->request.enabled = rpc_get_bool(p, "enabled", true);
	c->uplink = rpc_get_bool(p, "uplink", false);
	c->isolated = rpc_get_bool(p, "isolated", false);
	c->learn = rpc_get_bool(p, "learn", true);
	c->flood = rpc_get_bool(p, "flood", true);
	c->fast_path = rpc_get_bool(p, "fast-path", true);
	c->pinned = json_object_get(p, "worker") != NULL;
	c->worker = (uint32_t)rpc_get_int(p, "worker", 0);
	snprintf(c->profile, sizeof(c->profile), "%s",
		 rpc_get_string(p, "profile", ""));
	snprintf(c->description, sizeof(c->description), "%s",
		 rpc_get_string(p, "description", ""));
	if (c->isolated && c->uplink)
		return refuse_isolated_uplink(err);
	if (check_type_params(p, type, err) < 0 || parse_vlan(p, c, err) < 0)
		return -EINVAL;
	return parse_by_type(p, &c->request, err);
}

int portconf_parse(const char *name, const json_t *params,
		   const json_t *profiles, struct port_config *out,
		   struct error *err)
{
	json_t *merged;
	int r;

	memset(out, 0, sizeof(*out));
	r = portconf_check_name(name, err);
	if (r < 0)
		return r;
	snprintf(out->request.name, sizeof(out->request.name), "%s", name);
	merged = merge_profile(params, profiles, err);
	if (!merged)
		return err ? -err->err : -EINVAL;
	r = parse_merged(merged, out, err);
	json_decref(merged);
	return r;
}

int portconf_check_profile(const char *name, const json_t *params,
			   struct error *err)
{
	static const char *const own[] = { "profile", "ifname", "mac",
					   "address" };
	const char *type = rpc_get_string(params, "type", NULL);
	struct port_config c = { 0 };
	int r = portconf_check_name(name, err);

	if (r < 0)
		return r;
	r = rpc_params_check_some(portconf_params, params, false, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (json_object_get(params, own[i]))
			return error_set(err, EINVAL, "not-for-profile", own[i],
					 "%s belongs to one port and can't be "
					 "in a profile",
					 own[i]);
	if (type && check_type_params(params, type, err) < 0)
		return -EINVAL;
	if (rpc_get_bool(params, "isolated", false) &&
	    rpc_get_bool(params, "uplink", false))
		return refuse_isolated_uplink(err);
	/* mode=access alone is fine in a profile: the port adds the VLAN. */
	if (!strcmp(rpc_get_string(params, "mode", ""), "access") &&
	    !json_object_get(params, "vlan") &&
	    !json_object_get(params, "trunk"))
		return 0;
	return parse_vlan(params, &c, err);
}

static bool same_tap(const struct tap_params *a, const struct tap_params *b)
{
	return !strcmp(a->ifname, b->ifname) && !strcmp(a->netns, b->netns) &&
	       !strcmp(a->address, b->address) && a->mac == b->mac &&
	       a->persist == b->persist && !strcmp(a->owner, b->owner) &&
	       !strcmp(a->group, b->group) && a->queues == b->queues;
}

static bool same_netdev(const struct netdev_params *a,
			const struct netdev_params *b)
{
	return !strcmp(a->ifname, b->ifname) && a->promisc == b->promisc &&
	       a->force == b->force;
}

static bool same_pcap(const struct pcap_params *a, const struct pcap_params *b)
{
	return !strcmp(a->file, b->file) && !strcmp(a->filter, b->filter) &&
	       a->snaplen == b->snaplen && a->rotate_bytes == b->rotate_bytes &&
	       a->rotate_files == b->rotate_files && a->classic == b->classic &&
	       a->segment == b->segment;
}

static bool same_vhost_user(const struct vhost_user_params *a,
			    const struct vhost_user_params *b)
{
	return !strcmp(a->path, b->path) && a->client == b->client &&
	       !strcmp(a->owner, b->owner) && !strcmp(a->group, b->group) &&
	       a->queues == b->queues;
}

bool portconf_same_device(const struct port_config *a,
			  const struct port_config *b)
{
	const struct port_request *x = &a->request, *y = &b->request;

	if (strcmp(x->type, y->type) != 0)
		return false;
	switch (type_bit(x->type)) {
	case TYPE_TAP:
		return same_tap(&x->tap, &y->tap);
	case TYPE_NETDEV:
		return same_netdev(&x->netdev, &y->netdev);
	case TYPE_PCAP:
		return same_pcap(&x->pcap, &y->pcap);
	case TYPE_VHOST_USER:
		return same_vhost_user(&x->vhost_user, &y->vhost_user);
	default:
		return true;
	}
}

const char *portconf_device_param(const json_t *params)
{
	unsigned int n = sizeof(type_params) / sizeof(type_params[0]);

	if (json_object_get(params, "type"))
		return "type";
	for (unsigned int i = 0; i < n; i++)
		if (json_object_get(params, type_params[i].name))
			return type_params[i].name;
	return NULL;
}

bool portconf_same(const struct port_config *a, const struct port_config *b)
{
	return portconf_same_device(a, b) && a->request.mtu == b->request.mtu &&
	       a->request.enabled == b->request.enabled &&
	       a->access == b->access && a->plain == b->plain &&
	       a->native == b->native && a->uplink == b->uplink &&
	       a->isolated == b->isolated && a->learn == b->learn &&
	       a->flood == b->flood && a->fast_path == b->fast_path &&
	       a->pinned == b->pinned && a->worker == b->worker &&
	       !memcmp(a->vlans, b->vlans, sizeof(a->vlans)) &&
	       !strcmp(a->profile, b->profile) &&
	       !strcmp(a->description, b->description);
}
