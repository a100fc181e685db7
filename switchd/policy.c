#include "switchd/policy.h"

#include "control/rpc_client.h"
#include "ports/dgram.h"
#include "ports/ip_address.h"
#include "ports/listen.h"
#include "ports/netlink.h"
#include "ports/stream.h"
#include "ports/vde.h"
#include "ports/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATTERNS_MAX 256 /* in a list */

#define PATTERNS(n, text)                                            \
	{                                                            \
		.name = n, .type = RPC_STRINGS, .max = PATTERNS_MAX, \
		.max_len = PORT_PATH_MAX - 1, .summary = text        \
	}

const struct rpc_param policy_params[] = {
	PATTERNS("tap", "names of TAP devices"),
	PATTERNS("netdev", "network devices that may be taken"),
	PATTERNS("force", "those of them that the host may be using"),
	PATTERNS("netns", "network namespaces"),
	PATTERNS("addresses", "networks of a TAP's own address"),
	PATTERNS("files", "captures and saved configurations"),
	PATTERNS("sockets", "paths of sockets of ports and listeners"),
	PATTERNS("udp", "our ends of UDP ports"),
	PATTERNS("connect", "addresses that stream ports connect to"),
	PATTERNS("listen", "TCP addresses of listeners"),
	{ .name = "slirp", .type = RPC_BOOL, .summary = "ports of NAT" },
	{ 0 },
};

/* By enum policy_list; a NULL ends each. */
static const char *const defaults[POLICY_LISTS][12] = {
	[POLICY_TAP] = { "*" },
	[POLICY_NETDEV] = { "*" },
	[POLICY_NETNS] = { "*" },
	/* RFC 1918, 6598, 5737, 4193, 4291, 3849. Not 169.254/16: clouds tell a
	 * host its secrets from an address in there. */
	[POLICY_ADDRESSES] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
			       "100.64.0.0/10", "192.0.2.0/24",
			       "198.51.100.0/24", "203.0.113.0/24", "fc00::/7",
			       "fe80::/10", "2001:db8::/32" },
	[POLICY_FILES] = { "/var/tmp/*", "/tmp/*", "/var/log/switchd/*",
			   "/dev/null" },
	/* Who connects there is root, to whoever listens: see policy.h. */
	[POLICY_SOCKETS] = { "/run/switchd/*", "/run/vhost-user/*",
			     "/tmp/vhost*", "/var/tmp/vhost*" },
	[POLICY_UDP] = { "*" },
	[POLICY_CONNECT] = { "127.*:*", "[::1]:*" },
	[POLICY_LISTEN] = { "127.*:*", "[::1]:*" },
};

static json_t *default_list(enum policy_list i)
{
	json_t *list = json_array();
	char folder[PATH_MAX];

	for (unsigned int n = 0; list && defaults[i][n]; n++)
		json_array_append_new(list, json_string(defaults[i][n]));
	if (i == POLICY_SOCKETS && rpc_user_folder(folder, sizeof(folder)) == 0)
		json_array_append_new(list, json_sprintf("%s/*", folder));
	return list;
}

int policy_check_config(const json_t *allow, struct error *err)
{
	const char *name = policy_params[POLICY_ADDRESSES].name;
	json_t *network;
	size_t i;

	json_array_foreach(json_object_get(allow, name), i, network) {
		const char *text = json_string_value(network);
		struct netlink_addr addr;
		char at[32];

		if (netlink_addr_parse(text, &addr) == 0)
			continue;
		snprintf(at, sizeof(at), "%s[%zu]", name, i);
		return error_set(err, EINVAL, "bad-value", at,
				 "\"%.60s\" is no network such as 10.0.0.0/8",
				 text);
	}
	return 0;
}

int policy_init(struct policy *p, const json_t *allow)
{
	*p = (struct policy){ .slirp = rpc_get_bool(allow, "slirp", true) };
	for (int i = 0; i < POLICY_LISTS; i++) {
		json_t *given = json_object_get(allow, policy_params[i].name);

		p->list[i] = given ? json_deep_copy(given)
				   : default_list((enum policy_list)i);
		if (!p->list[i]) {
			policy_fini(p);
			return -ENOMEM;
		}
	}
	return 0;
}

void policy_fini(struct policy *p)
{
	for (int i = 0; i < POLICY_LISTS; i++)
		json_decref(p->list[i]);
	*p = (struct policy){ .slirp = false };
}

static int refuse(struct error *err, enum policy_list i, const char *param,
		  const char *value)
{
	return error_set(err, EPERM, "not-allowed", param,
			 "%s \"%.80s\" isn't among daemon.allow.%s of the "
			 "configuration file: see switchd.conf(5)",
			 param, value, policy_params[i].name);
}

static bool matches(const struct policy *p, enum policy_list i,
		    const char *value)
{
	int flags = i == POLICY_FILES || i == POLICY_SOCKETS ? 0 : FNM_PATHNAME;
	json_t *pattern;
	size_t n;

	json_array_foreach(p->list[i], n, pattern)
		if (!fnmatch(json_string_value(pattern), value, flags))
			return true;
	return false;
}

/* Does the network have all of the other one in it? */
static bool network_holds(const struct netlink_addr *network,
			  const struct netlink_addr *a)
{
	unsigned int bytes = network->prefix / 8, bits = network->prefix % 8;

	if (network->family != a->family || network->prefix > a->prefix ||
	    memcmp(network->bytes, a->bytes, bytes) != 0)
		return false;
	return !bits ||
	       !((network->bytes[bytes] ^ a->bytes[bytes]) >> (8 - bits));
}

/*
 * By the prefix, too: 10.0.0.1/1 would draw half of the internet to the
 * device.
 */
static bool address_allowed(const struct policy *p, const char *text)
{
	struct netlink_addr address, network;
	json_t *allowed;
	size_t i;

	if (netlink_addr_parse(text, &address))
		return true; /* acquire will say what is wrong with it */
	json_array_foreach(p->list[POLICY_ADDRESSES], i, allowed)
		if (!netlink_addr_parse(json_string_value(allowed), &network) &&
		    network_holds(&network, &address))
			return true;
	return false;
}

/* No way up again behind what a pattern has matched. */
static bool goes_up(const char *file)
{
	for (const char *p = file; (p = strstr(p, "/.")); p++)
		if (p[2] == '/' || p[2] == '\0' ||
		    (p[2] == '.' && (p[3] == '/' || p[3] == '\0')))
			return true;
	return false;
}

static bool netns_allowed(const struct policy *p, const char *netns)
{
	/* A name is one in a folder. */
	return strcmp(netns, ".") != 0 && strcmp(netns, "..") != 0 &&
	       !goes_up(netns) && matches(p, POLICY_NETNS, netns);
}

static int check_tap(const struct policy *p, const struct tap_params *t,
		     struct error *err)
{
	/* Without a name it's called tap0 or so. */
	const char *ifname = *t->ifname ? t->ifname : "tap%d";

	if (!matches(p, POLICY_TAP, ifname))
		return refuse(err, POLICY_TAP, "ifname", ifname);
	/* It isn't held, so nothing bounds how many would be left behind. */
	if (t->handover && t->persist)
		return error_set(err, EPERM, "not-allowed", "persist",
				 "a device that is handed over isn't made "
				 "persistent");
	if (*t->netns && !netns_allowed(p, t->netns))
		return refuse(err, POLICY_NETNS, "netns", t->netns);
	/* Within a namespace it's the guest's own affair. */
	if (*t->address && !*t->netns && !address_allowed(p, t->address))
		return refuse(err, POLICY_ADDRESSES, "address", t->address);
	return 0;
}

static int check_netdev(const struct policy *p, const struct netdev_params *n,
			struct error *err)
{
	if (!matches(p, POLICY_NETDEV, n->ifname))
		return refuse(err, POLICY_NETDEV, "ifname", n->ifname);
	if (n->force && !matches(p, POLICY_FORCE, n->ifname))
		return refuse(err, POLICY_FORCE, "ifname", n->ifname);
	return 0;
}

/* Is this port written out at the end of the pattern? */
static bool names_port(const char *pattern, uint16_t port)
{
	const char *colon = strrchr(pattern, ':');
	char number[8];

	snprintf(number, sizeof(number), "%u", port);
	return colon && !strcmp(colon + 1, number);
}

/* Brackets are those of an IPv6 address, and no set of characters. */
static bool inet_matches(const char *pattern, const char *local)
{
	char escaped[2 * PORT_PATH_MAX], *to = escaped;

	for (; *pattern && to < escaped + sizeof(escaped) - 2; pattern++) {
		if (*pattern == '[' || *pattern == ']')
			*to++ = '\\';
		*to++ = *pattern;
	}
	*to = '\0';
	return !fnmatch(escaped, local, 0);
}

/* An address with a port that something listens on; text: of parameter `param`.
 */
static int check_inet(const struct policy *p, enum policy_list list,
		      const char *param, const char *text, struct error *err)
{
	char local[IP_ADDRESS_STRLEN];
	struct ip_address address;
	uint16_t port;
	json_t *pattern;
	size_t n;

	if (ip_address_parse(text, &address) < 0)
		return 0; /* acquire will say what is wrong with it */
	ip_address_format(&address, local);
	port = ip_address_port(&address);
	json_array_foreach(p->list[list], n, pattern) {
		const char *glob = json_string_value(pattern);

		if ((port >= IPPORT_RESERVED || names_port(glob, port)) &&
		    inet_matches(glob, local))
			return 0;
	}
	return refuse(err, list, param, local);
}

/* What lies in the file system: which list it is in, and by which parameter. */
struct place {
	enum policy_list list;
	const char *param;
};

static const struct place file_place = { POLICY_FILES, "file" };
static const struct place socket_place = { POLICY_SOCKETS, "path" };
static const struct place local_place = { POLICY_SOCKETS, "local" };
static const struct place remote_place = { POLICY_SOCKETS, "remote" };
static const struct place listen_place = { POLICY_SOCKETS, "listen" };
static const struct place stream_place = { POLICY_SOCKETS, "connect" };

static int check_place(const struct policy *p, const struct place *at,
		       const char *path, struct error *err)
{
	if (*path == '/' && !goes_up(path) && matches(p, at->list, path))
		return 0;
	return refuse(err, at->list, at->param, path);
}

int policy_check_file(const struct policy *p, const char *file,
		      struct error *err)
{
	return check_place(p, &file_place, file, err);
}

int policy_real_folder(int dirfd, char *buf, size_t size)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, buf, size);
	if (n < 0 || (size_t)n >= size)
		return n < 0 ? -errno : -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

/* May there be something called as this is in that folder? */
static int check_folder(const struct policy *p, const struct place *at,
			int dirfd, const char *path, struct error *err)
{
	char folder[PATH_MAX], real[PATH_MAX + PORT_PATH_MAX + 8];
	const char *name = strrchr(path, '/');

	if (!name || policy_real_folder(dirfd, folder, sizeof(folder)) < 0)
		return refuse(err, at->list, at->param, path);
	snprintf(real, sizeof(real), "%s%s", strcmp(folder, "/") ? folder : "",
		 name);
	return matches(p, at->list, real)
		       ? 0
		       : refuse(err, at->list, at->param, real);
}

/*
 * Before anything is opened or made there, for that alone can do harm. Who
 * exchanges the folder behind our back is found by policy_check_grant().
 */
static int check_path(const struct policy *p, const struct place *at,
		      const char *path, struct error *err)
{
	char folder[PORT_PATH_MAX + 8];
	int dirfd, r = check_place(p, at, path, err);

	if (r < 0)
		return r;
	snprintf(folder, sizeof(folder), "%.*s",
		 (int)(strrchr(path, '/') + 1 - path), path);
	dirfd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0) /* acquire will say what is wrong with it */
		return 0;
	r = check_folder(p, at, dirfd, path, err);
	close(dirfd);
	return r;
}

static int check_dgram(const struct policy *p, const struct dgram_params *d,
		       struct error *err)
{
	int r = check_path(p, &local_place, d->local, err);

	return r < 0 ? r : check_path(p, &remote_place, d->remote, err);
}

/* A listener's socket; "FOLDER/ctl" in `buf` where it is a VDE folder's. */
static const char *listen_path(const struct listen_params *l,
			       char buf[PORT_PATH_MAX + 8])
{
	if (l->kind != LISTEN_VDE)
		return l->address;
	snprintf(buf, PORT_PATH_MAX + 8, "%s/" LISTEN_CTL, l->address);
	return buf;
}

static int check_listen(const struct policy *p, const struct listen_params *l,
			struct error *err)
{
	char path[PORT_PATH_MAX + 8];
	int r;

	if (*l->address != '/')
		return check_inet(p, POLICY_LISTEN, "listen", l->address, err);
	/* A VDE folder may be made, within another one. */
	r = check_path(p, &listen_place, l->address, err);
	return r < 0 ? r
		     : check_path(p, &listen_place, listen_path(l, path), err);
}

/* What a VDE client's port makes there, by another name. */
static const char *vde_path(const struct vde_params *v,
			    char buf[PORT_PATH_MAX + 8])
{
	snprintf(buf, PORT_PATH_MAX + 8, "%s/" LISTEN_CTL, v->folder);
	return buf;
}

static int check_vde(const struct policy *p, const struct vde_params *v,
		     struct error *err)
{
	char path[PORT_PATH_MAX + 8];

	return check_path(p, &listen_place, vde_path(v, path), err);
}

static int check_stream(const struct policy *p, const struct port_request *rq,
			struct error *err)
{
	const char *to = rq->stream.connect;

	return stream_is_path(&rq->stream)
		       ? check_path(p, &stream_place, to, err)
		       : check_inet(p, POLICY_CONNECT, "connect", to, err);
}

static int check_slirp(const struct policy *p, struct error *err)
{
	if (p->slirp)
		return 0;
	return error_set(err, EPERM, "not-allowed", "type",
			 "daemon.allow.slirp of the configuration file is "
			 "false: see switchd.conf(5)");
}

int policy_check(const struct policy *p, const struct port_request *rq,
		 struct error *err)
{
	if (!strcmp(rq->type, "slirp"))
		return check_slirp(p, err);
	if (!strcmp(rq->type, "tap"))
		return check_tap(p, &rq->tap, err);
	if (!strcmp(rq->type, "netdev"))
		return check_netdev(p, &rq->netdev, err);
	if (!strcmp(rq->type, "vhost-user"))
		return check_path(p, &socket_place, rq->vhost_user.path, err);
	if (!strcmp(rq->type, "udp"))
		return check_inet(p, POLICY_UDP, "local", rq->udp.local, err);
	if (!strcmp(rq->type, "dgram"))
		return check_dgram(p, &rq->dgram, err);
	if (!strcmp(rq->type, "listen"))
		return check_listen(p, &rq->listen, err);
	if (!strcmp(rq->type, "vde"))
		return check_vde(p, &rq->vde, err);
	/* They open nothing: the connection is there. */
	if (rq->given)
		return 0;
	if (!strcmp(rq->type, "stream"))
		return check_stream(p, rq, err);
	return check_path(p, &file_place, rq->pcap.file, err);
}

/* fd: which of the grant's is the folder. */
static int check_granted(const struct policy *p, const struct place *at,
			 const struct port_grant *grant, unsigned int fd,
			 const char *path, struct error *err)
{
	if (grant->nfds <= fd)
		return refuse(err, at->list, at->param, path);
	return check_folder(p, at, grant->fd[fd], path, err);
}

static int check_granted_dgram(const struct policy *p,
			       const struct dgram_params *d,
			       const struct port_grant *grant,
			       struct error *err)
{
	int r = check_granted(p, &local_place, grant, DGRAM_GRANT_LOCAL,
			      d->local, err);

	return r < 0 ? r
		     : check_granted(p, &remote_place, grant,
				     DGRAM_GRANT_REMOTE, d->remote, err);
}

static int check_granted_listen(const struct policy *p,
				const struct listen_params *l,
				const struct port_grant *grant,
				struct error *err)
{
	char path[PORT_PATH_MAX + 8];

	return check_granted(p, &listen_place, grant, LISTEN_GRANT_FOLDER,
			     listen_path(l, path), err);
}

static int check_granted_vde(const struct policy *p, const struct vde_params *v,
			     const struct port_grant *grant, struct error *err)
{
	char path[PORT_PATH_MAX + 8];

	return check_granted(p, &listen_place, grant, VDE_GRANT_FOLDER,
			     vde_path(v, path), err);
}

int policy_check_grant(const struct policy *p, const struct port_request *rq,
		       const struct port_grant *grant, struct error *err)
{
	if (!strcmp(rq->type, "vhost-user"))
		return check_granted(p, &socket_place, grant,
				     VHOST_GRANT_FOLDER, rq->vhost_user.path,
				     err);
	if (!strcmp(rq->type, "dgram"))
		return check_granted_dgram(p, &rq->dgram, grant, err);
	if (!strcmp(rq->type, "listen") && *rq->listen.address == '/')
		return check_granted_listen(p, &rq->listen, grant, err);
	if (!strcmp(rq->type, "vde"))
		return check_granted_vde(p, &rq->vde, grant, err);
	if (!strcmp(rq->type, "stream") && !rq->given &&
	    stream_is_path(&rq->stream))
		return check_granted(p, &stream_place, grant,
				     STREAM_GRANT_FOLDER, rq->stream.connect,
				     err);
	if (!strcmp(rq->type, "pcap"))
		return check_granted(p, &file_place, grant, 1, rq->pcap.file,
				     err);
	return 0;
}

int policy_check_renew(const struct policy *p, const struct port_request *rq,
		       struct error *err)
{
	/* A capture goes on in its folder. */
	return strcmp(rq->type, "pcap") ? policy_check(p, rq, err) : 0;
}
