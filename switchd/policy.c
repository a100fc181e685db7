#include "switchd/policy.h"

#include "ports/netlink.h"
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
	PATTERNS("sockets", "paths of vhost-user sockets"),
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
};

static json_t *default_list(enum policy_list i)
{
	json_t *list = json_array();

	for (unsigned int n = 0; list && defaults[i][n]; n++)
		json_array_append_new(list, json_string(defaults[i][n]));
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

/* What lies in the file system: which list it is in, and by which parameter. */
struct place {
	enum policy_list list;
	const char *param;
};

static const struct place file_place = { POLICY_FILES, "file" };
static const struct place socket_place = { POLICY_SOCKETS, "path" };

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
	char folder[PATH_MAX], real[PATH_MAX + PORT_PATH_MAX];
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
	char folder[PORT_PATH_MAX];
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

int policy_check_grant(const struct policy *p, const struct port_request *rq,
		       const struct port_grant *grant, struct error *err)
{
	if (!strcmp(rq->type, "vhost-user"))
		return check_granted(p, &socket_place, grant,
				     VHOST_GRANT_FOLDER, rq->vhost_user.path,
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
