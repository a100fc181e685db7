#include "switchd/portconf.h"

#include "switchd/portconf_types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *const portconf_types[] = { "tap",	     "netdev", "pcap",
				       "vhost-user", "udp",    "dgram",
				       "stream",     "slirp",  "dummy",
				       NULL };
const char *const portconf_modes[] = { "access", "trunk", NULL };
const char *const portconf_formats[] = { "pcapng", "pcap", NULL };
const char *const portconf_roles[] = { "server", "client", NULL };

const struct rpc_param portconf_params[] = { PORTCONF_PARAMS, { 0 } };

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

/* given: the type of a listener's port, whose parameters are none of its type's
 * own; or NULL. */
static int parse_merged(const json_t *p, const char *given,
			struct port_config *c, struct error *err)
{
	const char *type = given ? given : rpc_get_string(p, "type", NULL);

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
	c->request.given = given != NULL;
	if (portconf_type_params(p, given ? NULL : type, err) < 0 ||
	    parse_vlan(p, c, err) < 0)
		return -EINVAL;
	return given ? 0 : portconf_type_parse(p, &c->request, err);
}

static int parse(const char *name, const char *given, const json_t *params,
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
	r = parse_merged(merged, given, out, err);
	json_decref(merged);
	return r;
}

int portconf_parse(const char *name, const json_t *params,
		   const json_t *profiles, struct port_config *out,
		   struct error *err)
{
	return parse(name, NULL, params, profiles, out, err);
}

int portconf_parse_given(const char *name, const char *type,
			 const json_t *params, const json_t *profiles,
			 struct port_config *out, struct error *err)
{
	return parse(name, type, params, profiles, out, err);
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
	if (type && portconf_type_params(params, type, err) < 0)
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

bool portconf_same_device(const struct port_config *a,
			  const struct port_config *b)
{
	return portconf_type_same(&a->request, &b->request);
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
