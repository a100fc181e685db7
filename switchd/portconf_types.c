#include "switchd/portconf_types.h"

#include "ports/slirp_config.h"
#include "ports/stream.h"
#include "ports/udp.h"
#include "switchd/portconf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* As bits; in the order of portconf_types. */
enum port_type {
	TYPE_TAP = 1 << 0,
	TYPE_NETDEV = 1 << 1,
	TYPE_PCAP = 1 << 2,
	TYPE_VHOST_USER = 1 << 3,
	TYPE_UDP = 1 << 4,
	TYPE_DGRAM = 1 << 5,
	TYPE_STREAM = 1 << 6,
	TYPE_SLIRP = 1 << 7,
	TYPE_DUMMY = 1 << 8,
};

/* Which types take a parameter that isn't common to all. */
static const struct {
	const char *name;
	unsigned int types; /* enum port_type */
} type_params[] = {
	{ "ifname", TYPE_TAP | TYPE_NETDEV },
	{ "owner", TYPE_TAP | TYPE_VHOST_USER | TYPE_DGRAM },
	{ "group", TYPE_TAP | TYPE_VHOST_USER | TYPE_DGRAM },
	{ "socket-mode", TYPE_VHOST_USER | TYPE_DGRAM },
	{ "persist", TYPE_TAP },
	{ "netns", TYPE_TAP },
	{ "mac", TYPE_TAP },
	{ "address", TYPE_TAP },
	{ "queues", TYPE_TAP | TYPE_VHOST_USER },
	{ "offload", TYPE_TAP },
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
	{ "local", TYPE_UDP | TYPE_DGRAM },
	{ "remote", TYPE_UDP | TYPE_DGRAM },
	{ "connect", TYPE_STREAM },
	{ "ipv4", TYPE_SLIRP },
	{ "ipv6", TYPE_SLIRP },
	{ "hostfwd", TYPE_SLIRP },
	{ "hostname", TYPE_SLIRP },
	{ "loopback", TYPE_SLIRP },
	{ "restricted", TYPE_SLIRP },
};

/* ---- Parameters into a request ---- */

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

int portconf_socket_mode(const json_t *p, uint32_t *mode, struct error *err)
{
	const char *text = rpc_get_string(p, "socket-mode", NULL);
	char *end = NULL;
	unsigned long value = text ? strtoul(text, &end, 8) : 0;

	*mode = (uint32_t)value;
	if (!text || (*text >= '0' && *text <= '7' && !*end && value > 0 &&
		      value <= 0777))
		return 0;
	return error_set(err, EINVAL, "bad-value", "socket-mode",
			 "\"%.10s\" isn't how chmod has permissions of a "
			 "socket: write 0660 or so",
			 text);
}

static int parse_tap(const json_t *p, struct port_request *rq,
		     struct error *err)
{
	struct tap_params *t = &rq->tap;
	const char *mac = rpc_get_string(p, "mac", NULL);

	snprintf(t->ifname, sizeof(t->ifname), "%s",
		 rpc_get_string(p, "ifname", ""));
	snprintf(t->netns, sizeof(t->netns), "%s",
		 rpc_get_string(p, "netns", ""));
	snprintf(t->address, sizeof(t->address), "%s",
		 rpc_get_string(p, "address", ""));
	t->persist = rpc_get_bool(p, "persist", false);
	t->plain = !rpc_get_bool(p, "offload", true);
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

static int parse_netdev(const json_t *p, struct port_request *rq,
			struct error *err)
{
	struct netdev_params *n = &rq->netdev;
	const char *ifname = rpc_get_string(p, "ifname", NULL);

	if (!ifname || !*ifname)
		return error_set(err, EINVAL, "missing-parameter", "ifname",
				 "type=netdev needs ifname=DEVICE");
	snprintf(n->ifname, sizeof(n->ifname), "%s", ifname);
	n->promisc = rpc_get_bool(p, "promisc", false);
	n->force = rpc_get_bool(p, "force", false);
	return check_ifname(n->ifname, err);
}

static int parse_pcap(const json_t *p, struct port_request *rq,
		      struct error *err)
{
	struct pcap_params *c = &rq->pcap;
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

/* Its socket is somebody else's. */
static int check_client(const json_t *p, struct error *err)
{
	static const char *const own[] = { "owner", "group", "socket-mode" };

	for (unsigned int i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (json_object_get(p, own[i]))
			return error_set(err, EINVAL, "not-for-role", own[i],
					 "with role=client the socket is the "
					 "front end's: %s is for role=server",
					 own[i]);
	return 0;
}

static int parse_vhost_user(const json_t *p, struct port_request *rq,
			    struct error *err)
{
	struct vhost_user_params *v = &rq->vhost_user;
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
	return v->client ? check_client(p, err)
			 : portconf_socket_mode(p, &rq->socket_mode, err);
}

/* Both of a type that is between two ends. */
static int need_ends(const char *type, const char *local, const char *remote,
		     const char *what, struct error *err)
{
	if (local && remote)
		return 0;
	return error_set(
		err, EINVAL, "missing-parameter", local ? "remote" : "local",
		"type=%s needs local=%s and remote=%s", type, what, what);
}

static int parse_udp(const json_t *p, struct port_request *rq,
		     struct error *err)
{
	const char *local = rpc_get_string(p, "local", NULL);
	const char *remote = rpc_get_string(p, "remote", NULL);
	int r = need_ends("udp", local, remote, "ADDRESS:PORT", err);

	if (r < 0)
		return r;
	/* What is cut isn't an address. */
	snprintf(rq->udp.local, sizeof(rq->udp.local), "%s", local);
	snprintf(rq->udp.remote, sizeof(rq->udp.remote), "%s", remote);
	return udp_check(rq, err);
}

static int parse_dgram(const json_t *p, struct port_request *rq,
		       struct error *err)
{
	struct dgram_params *d = &rq->dgram;
	const char *local = rpc_get_string(p, "local", NULL);
	const char *remote = rpc_get_string(p, "remote", NULL);
	int r = need_ends("dgram", local, remote, "/PATH", err);

	if (r < 0)
		return r;
	if (local[0] != '/' || remote[0] != '/' || !strcmp(local, remote))
		return error_set(err, EINVAL, "bad-value",
				 local[0] != '/' ? "local" : "remote",
				 "local and remote are the absolute paths of "
				 "two sockets");
	snprintf(d->local, sizeof(d->local), "%s", local);
	snprintf(d->remote, sizeof(d->remote), "%s", remote);
	r = portconf_socket_mode(p, &rq->socket_mode, err);
	return r < 0 ? r : parse_owner(p, d->owner, d->group, err);
}

static int parse_stream(const json_t *p, struct port_request *rq,
			struct error *err)
{
	const char *to = rpc_get_string(p, "connect", NULL);

	if (!to)
		return error_set(err, EINVAL, "missing-parameter", "connect",
				 "type=stream needs connect=/PATH or "
				 "connect=ADDRESS:PORT");
	snprintf(rq->stream.connect, sizeof(rq->stream.connect), "%s", to);
	return stream_check(rq, err);
}

static int parse_slirp(const json_t *p, struct port_request *rq,
		       struct error *err)
{
	struct slirp_params *n = &rq->slirp;
	struct slirp_settings settings;

	snprintf(n->ipv4, sizeof(n->ipv4), "%s", rpc_get_string(p, "ipv4", ""));
	snprintf(n->ipv6, sizeof(n->ipv6), "%s", rpc_get_string(p, "ipv6", ""));
	snprintf(n->hostfwd, sizeof(n->hostfwd), "%s",
		 rpc_get_string(p, "hostfwd", ""));
	snprintf(n->hostname, sizeof(n->hostname), "%s",
		 rpc_get_string(p, "hostname", ""));
	n->loopback = rpc_get_bool(p, "loopback", false);
	n->restricted = rpc_get_bool(p, "restricted", false);
	return slirp_settings_parse(n, rq->mtu, &settings, err);
}

/* ---- Is it the same device? ---- */

static bool same_tap(const struct port_request *x, const struct port_request *y)
{
	const struct tap_params *a = &x->tap, *b = &y->tap;

	return !strcmp(a->ifname, b->ifname) && !strcmp(a->netns, b->netns) &&
	       !strcmp(a->address, b->address) && a->mac == b->mac &&
	       a->persist == b->persist && !strcmp(a->owner, b->owner) &&
	       !strcmp(a->group, b->group) && a->queues == b->queues &&
	       a->plain == b->plain;
}

static bool same_netdev(const struct port_request *x,
			const struct port_request *y)
{
	const struct netdev_params *a = &x->netdev, *b = &y->netdev;

	return !strcmp(a->ifname, b->ifname) && a->promisc == b->promisc &&
	       a->force == b->force;
}

static bool same_pcap(const struct port_request *x,
		      const struct port_request *y)
{
	const struct pcap_params *a = &x->pcap, *b = &y->pcap;

	return !strcmp(a->file, b->file) && !strcmp(a->filter, b->filter) &&
	       a->snaplen == b->snaplen && a->rotate_bytes == b->rotate_bytes &&
	       a->rotate_files == b->rotate_files && a->classic == b->classic &&
	       a->segment == b->segment;
}

static bool same_vhost_user(const struct port_request *x,
			    const struct port_request *y)
{
	const struct vhost_user_params *a = &x->vhost_user, *b = &y->vhost_user;

	return !strcmp(a->path, b->path) && a->client == b->client &&
	       !strcmp(a->owner, b->owner) && !strcmp(a->group, b->group) &&
	       x->socket_mode == y->socket_mode && a->queues == b->queues;
}

static bool same_udp(const struct port_request *x, const struct port_request *y)
{
	return !strcmp(x->udp.local, y->udp.local) &&
	       !strcmp(x->udp.remote, y->udp.remote);
}

static bool same_dgram(const struct port_request *x,
		       const struct port_request *y)
{
	const struct dgram_params *a = &x->dgram, *b = &y->dgram;

	return !strcmp(a->local, b->local) && !strcmp(a->remote, b->remote) &&
	       !strcmp(a->owner, b->owner) && !strcmp(a->group, b->group) &&
	       x->socket_mode == y->socket_mode;
}

static bool same_stream(const struct port_request *x,
			const struct port_request *y)
{
	return !strcmp(x->stream.connect, y->stream.connect);
}

/* The MTU is one of the process. */
static bool same_slirp(const struct port_request *x,
		       const struct port_request *y)
{
	const struct slirp_params *a = &x->slirp, *b = &y->slirp;

	return !strcmp(a->ipv4, b->ipv4) && !strcmp(a->ipv6, b->ipv6) &&
	       !strcmp(a->hostfwd, b->hostfwd) &&
	       !strcmp(a->hostname, b->hostname) &&
	       a->loopback == b->loopback && a->restricted == b->restricted &&
	       x->mtu == y->mtu;
}

/* ---- All types ---- */

/* Those with parameters of their own. */
static const struct {
	const char *name;
	/* The type's own parameters into rq, which has the common ones. */
	int (*parse)(const json_t *p, struct port_request *rq,
		     struct error *err);
	bool (*same)(const struct port_request *x,
		     const struct port_request *y);
} by_type[] = {
	{ "tap", parse_tap, same_tap },
	{ "netdev", parse_netdev, same_netdev },
	{ "pcap", parse_pcap, same_pcap },
	{ "vhost-user", parse_vhost_user, same_vhost_user },
	{ "udp", parse_udp, same_udp },
	{ "dgram", parse_dgram, same_dgram },
	{ "stream", parse_stream, same_stream },
	{ "slirp", parse_slirp, same_slirp },
};

static unsigned int type_bit(const char *type)
{
	for (unsigned int i = 0; portconf_types[i]; i++)
		if (!strcmp(portconf_types[i], type))
			return 1u << i;
	return 0;
}

static int not_for_type(const char *name, const char *type, struct error *err)
{
	return type ? error_set(err, EINVAL, "not-for-type", name,
				"%s is not a parameter of type=%s", name, type)
		    : error_set(err, EINVAL, "not-for-type", name,
				"%s is not a parameter of listeners' ports",
				name);
}

/* Has it a parameter that belongs to other types only? */
int portconf_type_params(const json_t *p, const char *type, struct error *err)
{
	unsigned int n = sizeof(type_params) / sizeof(type_params[0]);
	unsigned int bit = type ? type_bit(type) : 0;

	for (unsigned int i = 0; i < n; i++)
		if (!(type_params[i].types & bit) &&
		    json_object_get(p, type_params[i].name))
			return not_for_type(type_params[i].name, type, err);
	return 0;
}

int portconf_type_parse(const json_t *p, struct port_request *rq,
			struct error *err)
{
	for (unsigned int i = 0; i < sizeof(by_type) / sizeof(by_type[0]); i++)
		if (!strcmp(by_type[i].name, rq->type))
			return by_type[i].parse(p, rq, err);
	return 0;
}

bool portconf_type_same(const struct port_request *x,
			const struct port_request *y)
{
	if (strcmp(x->type, y->type) != 0)
		return false;
	for (unsigned int i = 0; i < sizeof(by_type) / sizeof(by_type[0]); i++)
		if (!strcmp(by_type[i].name, x->type))
			return by_type[i].same(x, y);
	return true;
}

const char *portconf_device_param(const json_t *params)
{
	unsigned int n = sizeof(type_params) / sizeof(type_params[0]);

	if (json_object_get(params, "type"))
		return "type";
	for (unsigned int i = 0; i < n; i++)
		if (json_object_get(params, type_params[i].name))
			return type_params[i].name;
	return json_object_get(params, "mtu") ? "mtu" : NULL; /* slirp */
}
