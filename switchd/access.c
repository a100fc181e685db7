#include "switchd/access.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/daemon.h"
#include "switchd/roles.h"

#include <errno.h>

/* 32 users that do nothing but connect don't keep others out; root's own
 * programs always get in. */
const struct rpc_limits access_limits = {
	.max_per_uid = 32,
	.reserved = 64,
};

/* A call that an operator makes. */
struct attempt {
	struct daemon *d;
	struct roles_peer who;
	const char *method;
	const json_t *params; /* as sent: nothing is checked yet */
	struct error *err;
};

static struct roles_peer peer_of(const struct ucred *cred, const gid_t *groups,
				 size_t n)
{
	return (struct roles_peer){ .uid = cred->uid,
				    .gid = cred->gid,
				    .groups = groups,
				    .n_groups = n };
}

/* ---- Operators ---- */

/* A port's parameter: given, or else by its profile; NULL: neither. */
static const json_t *effective(const json_t *params, const json_t *profiles,
			       const char *key)
{
	const json_t *value = json_object_get(params, key);
	const char *profile = rpc_get_string(params, "profile", NULL);

	if (value || !profile)
		return value;
	return json_object_get(json_object_get(profiles, profile), key);
}

/* What of a port's parameters is for admins, as "KEY" or "KEY=VALUE"; NULL:
 * nothing. */
static const char *admin_only(const json_t *params, const json_t *profiles)
{
	const char *type =
		json_string_value(effective(params, profiles, "type"));

	if (type && !strcmp(type, "pcap"))
		return "type=pcap";
	/* Its path is a file's, made or connected to by root. */
	if (type && !strcmp(type, "vhost-user"))
		return "type=vhost-user";
	/* Datagrams to and from where root's may go. */
	if (type && !strcmp(type, "udp"))
		return "type=udp";
	if (type && !strcmp(type, "dgram"))
		return "type=dgram";
	/* The same, and where else root may connect to. */
	if (type && !strcmp(type, "stream"))
		return "type=stream";
	/* Behind it guests are the host to the network. */
	if (type && !strcmp(type, "slirp"))
		return "type=slirp";
	if (json_is_true(effective(params, profiles, "uplink")))
		return "uplink=yes";
	if (json_is_true(effective(params, profiles, "force")))
		return "force=yes";
	if (effective(params, profiles, "netns"))
		return "netns=";
	if (effective(params, profiles, "address"))
		return "address=";
	return NULL;
}

static int needs_admin(const struct attempt *a, const char *path,
		       const char *what)
{
	return error_set(a->err, EPERM, "not-permitted", path,
			 "user %u is an operator; %s needs admin: see roles in "
			 "switchd.conf(5)",
			 (unsigned int)a->who.uid, what);
}

/* A mirror follows the name: who takes it gets the copies. */
static bool mirror_target(const struct sw *sw, const char *name)
{
	for (unsigned int i = 0; i < sw->nmirrors; i++)
		if (!strcmp(sw->mirror[i]->to, name))
			return true;
	return false;
}

static const char *name_of(const struct attempt *a)
{
	return rpc_get_string(a->params, "name", "");
}

/* What a port was given whose device is gone; NULL: there is none. */
static const json_t *missing_port(const struct attempt *a)
{
	return json_object_get(json_object_get(a->d->sw->missing, name_of(a)),
			       "params");
}

/* Is the port that the call names, or its name, for admins? */
static int check_named(const struct attempt *a)
{
	struct switch_port *p = switch_port_find(a->d->sw, name_of(a));
	const json_t *missing = missing_port(a);
	const char *what = NULL;
	char text[48];

	if (mirror_target(a->d->sw, name_of(a)))
		return needs_admin(a, "name", "a port that a mirror copies to");
	if (p)
		what = admin_only(p->params, p->profiles);
	else if (missing)
		what = admin_only(missing, a->d->sw->profiles);
	if (!what)
		return 0;
	snprintf(text, sizeof(text), "a port with %s", what);
	return needs_admin(a, "name", text);
}

static int check_params(const struct attempt *a, const json_t *params,
			const json_t *profiles)
{
	const char *what = admin_only(params, profiles);
	char key[16];

	if (!what)
		return 0;
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(what, "="), what);
	return needs_admin(a, key, what);
}

static int operator_attach(const struct attempt *a)
{
	int r = check_named(a);

	return r < 0 ? r : check_params(a, a->params, a->d->sw->profiles);
}

/* The port as it would be afterwards. */
static int operator_set(const struct attempt *a)
{
	struct switch_port *p = switch_port_find(a->d->sw, name_of(a));
	json_t *after, *value;
	const char *key;
	int r = check_named(a);

	if (r < 0 || !p)
		return r;
	after = json_copy(p->params);
	if (!after)
		return error_set(a->err, ENOMEM, "no-memory", NULL,
				 "no memory");
	/* The macro drops const; nothing is changed through it. */
	json_object_foreach((json_t *)(uintptr_t)a->params, key, value) {
		if (json_is_null(value))
			json_object_del(after, key);
		else if (json_object_set(after, key, value) < 0)
			r = error_set(a->err, ENOMEM, "no-memory", NULL,
				      "no memory");
	}
	if (r == 0)
		r = check_params(a, after,
				 json_object_get(a->params, "profile")
					 ? a->d->sw->profiles
					 : p->profiles);
	json_decref(after);
	return r;
}

/* ---- Operators with profiles ---- */

static int restricted(const struct attempt *a, const char *path,
		      const char *what)
{
	return error_set(a->err, EPERM, "not-permitted", path,
			 "user %u is an operator with profiles: %s; see users "
			 "in switchd.conf(5)",
			 (unsigned int)a->who.uid, what);
}

/* Are there no other parameters than these? */
static int only_keys(const struct attempt *a, const char *const *keys,
		     const char *what)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)a->params, key, value) {
		unsigned int i = 0;

		while (keys[i] && strcmp(keys[i], key) != 0)
			i++;
		if (!keys[i])
			return restricted(a, key, what);
	}
	return 0;
}

/* A port of his own? One that isn't there is for the method to say. */
static int check_own(const struct attempt *a)
{
	struct switch_port *p = switch_port_find(a->d->sw, name_of(a));

	if (p ? p->uid != a->who.uid : missing_port(a) != NULL)
		return restricted(a, "name",
				  "he may change and detach only ports that he "
				  "attached");
	if (mirror_target(a->d->sw, name_of(a)))
		return needs_admin(a, "name", "a port that a mirror copies to");
	return 0;
}

/* Is a port of this type nothing but its device? Others take files and
 * sockets by their paths. */
static bool is_device(const char *type)
{
	return !strcmp(type, "tap") || !strcmp(type, "netdev") ||
	       !strcmp(type, "dummy");
}

/* His profile says everything but which device it is. */
static int restricted_attach(const struct attempt *a)
{
	static const char *const keys[] = { "name",	   "profile",
					    "type",	   "ifname",
					    "description", "transient",
					    NULL };
	const char *profile = rpc_get_string(a->params, "profile", "");
	const char *type = rpc_get_string(a->params, "type", NULL);
	const char *says;
	int r = only_keys(a, keys,
			  "beside profile he may give name, type, ifname, "
			  "description and transient");

	if (r < 0)
		return r;
	if (!roles_profile_allowed(a->d->roles, &a->who, profile))
		return restricted(a, "profile",
				  "he may attach only with one of his "
				  "profiles");
	says = rpc_get_string(json_object_get(a->d->sw->profiles, profile),
			      "type", NULL);
	if (type && says ? strcmp(type, says) != 0 : type && !is_device(type))
		return restricted(a, "type", "his profile doesn't say so");
	if (missing_port(a))
		return restricted(a, "name",
				  "that name is a port's whose device is gone");
	if (mirror_target(a->d->sw, name_of(a)))
		return needs_admin(a, "name", "a port that a mirror copies to");
	return 0;
}

static int restricted_set(const struct attempt *a)
{
	static const char *const keys[] = { "name", "description", "enabled",
					    NULL };
	struct switch_port *p = switch_port_find(a->d->sw, name_of(a));
	int r = check_own(a);

	if (r == 0)
		r = only_keys(a, keys, "he may change description and enabled");
	if (r < 0 || !p || !json_object_get(a->params, "enabled"))
		return r;
	if (json_object_get(json_object_get(p->profiles, p->config.profile),
			    "enabled"))
		return restricted(a, "enabled", "his profile says it");
	return 0;
}

/* What operators' methods may do beyond their role. NULL: anything. A method
 * that isn't here is nothing for those with profiles. */
static const struct {
	const char *method;
	int (*any)(const struct attempt *a);
	int (*restricted)(const struct attempt *a);
} operator_rules[] = {
	{ "port.attach", operator_attach, restricted_attach },
	{ "port.detach", check_named, check_own },
	{ "port.set", operator_set, restricted_set },
};

static int operator_check(const struct attempt *a)
{
	bool bound = roles_restricted(a->d->roles, &a->who);
	unsigned int n = sizeof(operator_rules) / sizeof(operator_rules[0]);

	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(operator_rules[i].method, a->method))
			return bound ? operator_rules[i].restricted(a)
				     : operator_rules[i].any(a);
	if (!bound)
		return 0;
	return restricted(a, NULL, "he may attach, change and detach ports");
}

/* ---- Everybody ---- */

static int refuse_role(const struct ucred *peer, enum role role,
		       const struct rpc_method *method, enum role needs,
		       struct error *err)
{
	static const char *const is[] = { "has no role", "is a viewer",
					  "is an operator", "is an admin" };

	return error_set(err, EPERM, "not-permitted", NULL,
			 "user %u %s; %s needs %s: see roles in "
			 "switchd.conf(5)",
			 (unsigned int)peer->uid, is[role], method->name,
			 roles_word(needs));
}

/* Shall this one be an event? */
static bool may_tell(struct access_refused *n)
{
	uint64_t second = clock_coarse_ns() / CLOCK_NS_PER_S;

	if (second != n->second) {
		n->second = second;
		n->told = 0;
	}
	if (n->told >= ACCESS_EVENTS_MAX) {
		n->untold++;
		return false;
	}
	n->told++;
	return true;
}

static void tell_refused(struct daemon *d, const struct ucred *peer,
			 enum role role, const struct rpc_method *method,
			 const struct error *err)
{
	json_t *params;

	d->refused.count++;
	log_notice("control", "%s of process %d: %s", method->name,
		   (int)peer->pid, err->message);
	if (!rpc_server_wanted(d->rpc, "access.refused") ||
	    !may_tell(&d->refused))
		return;
	params = json_pack("{s:s,s:I,s:i,s:s,s:s}", "method", method->name,
			   "uid", (json_int_t)peer->uid, "pid", (int)peer->pid,
			   "role", roles_word(role), "message", err->message);
	if (params && d->refused.untold)
		json_object_set_new(
			params, "untold",
			json_integer((json_int_t)d->refused.untold));
	d->refused.untold = 0;
	rpc_server_notify(d->rpc, "event", "access.refused", params);
}

int access_guard(struct rpc_call *call, const struct rpc_method *method,
		 const json_t *params, void *ctx, struct error *err)
{
	struct daemon *d = ctx;
	const struct ucred *peer = rpc_call_peer(call);
	size_t n;
	const gid_t *groups = rpc_call_groups(call, &n);
	struct attempt a = { .d = d,
			     .who = peer_of(peer, groups, n),
			     .method = method->name,
			     .params = params,
			     .err = err };
	enum role role = d->roles ? roles_of(d->roles, &a.who) : ROLE_NONE;
	enum role needs = strcmp(method->name, "rpc.discover")
				  ? roles_needed(method->access)
				  : ROLE_VIEWER; /* the library's own */
	int r = 0;

	if (role < needs)
		r = refuse_role(peer, role, method, needs, err);
	else if (role == ROLE_OPERATOR && needs == ROLE_OPERATOR)
		r = operator_check(&a);
	if (r < 0)
		tell_refused(d, peer, role, method, err);
	return r;
}

static bool has_role(const struct rpc_conn *conn, void *ctx)
{
	struct daemon *d = ctx;
	size_t n;
	const gid_t *groups = rpc_conn_groups(conn, &n);
	struct roles_peer who = peer_of(rpc_conn_peer(conn), groups, n);

	return roles_of(d->roles, &who) != ROLE_NONE;
}

void access_change(struct daemon *d, struct roles *roles)
{
	roles_free(d->roles);
	d->roles = roles;
	rpc_server_review(d->rpc, has_role, d);
}
