#include "switchd/config.h"

#include "switchd/listener.h"
#include "switchd/policy.h"
#include "switchd/roles.h"

#include <errno.h>
#include <stdlib.h>

static const char *const tag_words[] = { "802.1Q", "802.1ad", NULL };
static const char *const dir_words[] = { "in", "out", "both", NULL };

const struct rpc_param config_switch_params[] = {
	PARAM_INT("age", 0, 1000000,
		  "seconds until a silent address is forgotten, 0 = never"),
	PARAM_ENUM("vlan-protocol", tag_words,
		   "which tags are ours; the others are payload"),
	PARAM_INT("poll-us", 0, SWITCH_POLL_US_MAX,
		  "microseconds that a worker stays awake for more frames"),
	PARAM_STRING("forward-reserved", 127,
		     "link-local groups to forward: none, all, or a list of "
		     "stp, lacp, eapol, lldp, or last digits 0 to f"),
	PARAM_BOOL("fast-path", "the kernel forwards what it can"),
	PARAM_INT("fast-path-dead-after", 0, 86400,
		  "seconds that it goes on without the switch, 0 = for ever"),
	{ 0 },
};

const struct rpc_param config_mirror_params[] = {
	PARAM_NAME("name", true, "mirror.list:mirrors.name",
		   "name of the mirror"),
	PARAM_NAME("to", true, "port.list:ports.name",
		   "port that gets the copies"),
	{ .name = "from",
	  .type = RPC_STRINGS,
	  .max = SWITCH_PORTS_DEFAULT,
	  .max_len = PORT_NAME_MAX - 1,
	  .completion = "port.list:ports.name",
	  .summary = "ports to watch; all where not given" },
	PARAM_STRING("vlan", 1024, "VLANs to watch, such as 10,20-30"),
	PARAM_ENUM("dir", dir_words, "what ports receive, send, or both"),
	{ 0 },
};

const struct rpc_param config_fdb_params[] = {
	{ .name = "mac",
	  .type = RPC_STRING,
	  .required = true,
	  .max_len = MAC_STRLEN - 1,
	  .completion = "fdb.list:entries.mac",
	  .summary = "address of the guest" },
	PARAM_NAME("port", true, "port.list:ports.name",
		   "port that it is behind"),
	PARAM_INT("vlan", 1, VLAN_ID_MAX, "its VLAN; 1 where not given"),
	{ 0 },
};

static const struct rpc_param daemon_params[] = {
	PARAM_STRING("user", 63, "whom the switch process runs as"),
	{ .name = "allow",
	  .type = RPC_OBJECT,
	  .summary = "what the monitor may open" },
	PARAM_STRING("socket", CONFIG_PATH_MAX - 1, "control socket"),
	PARAM_STRING("socket-group", 63, "group that may use it"),
	PARAM_STRING("helper-socket", CONFIG_PATH_MAX - 1,
		     "socket for switchd-helper"),
	PARAM_STRING("helper-acl", PORT_PATH_MAX - 1,
		     "which profiles switchd-helper may ask for"),
	PARAM_INT("helper-max", 0, 4096,
		  "ports that a user may hold through the helper"),
	PARAM_INT("workers", 1, SWITCH_WORKERS_MAX, "datapath threads"),
	PARAM_INT("ports-max", 2, 65535, "bound on the number of ports"),
	PARAM_INT("fdb-entries", 64, FDB_ENTRIES_MAX, "size of the FDB"),
	{ .name = "fast-path",
	  .type = RPC_BOOL,
	  .summary = "forward in the kernel what can be" },
	{ .name = "roles", .type = RPC_OBJECT }, /* see roles.h */
	{ .name = "users", .type = RPC_OBJECT },
	{ 0 },
};

static const struct rpc_param top_params[] = {
	{ .name = "daemon", .type = RPC_OBJECT },
	{ .name = "switch", .type = RPC_OBJECT },
	{ .name = "profiles", .type = RPC_OBJECT },
	{ 0 },
};

/* ---- Settings ---- */

/* IEEE 802.1Q-2022 table 8-1, and who uses them. */
static const struct {
	const char *word;
	uint16_t bits;
} reserved_words[] = {
	{ "none", 0 },
	{ "all", 0xffff & ~(1 << 1) }, /* PAUSE concerns one link only */
	{ "stp", 1 << 0 },
	{ "lacp", 1 << 2 },
	{ "eapol", 1 << 3 },
	{ "lldp", 1 << 0xe },
};

static int reserved_word(const char *word, uint16_t *bits)
{
	unsigned int n = sizeof(reserved_words) / sizeof(reserved_words[0]);
	char *end;
	unsigned long digit;

	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(reserved_words[i].word, word))
			continue;
		*bits |= reserved_words[i].bits;
		return 0;
	}
	digit = strtoul(word, &end, 16);
	if (strlen(word) != 1 || *end)
		return -EINVAL;
	*bits |= (uint16_t)(1u << digit);
	return 0;
}

static int parse_reserved(const char *list, uint16_t *bits, struct error *err)
{
	char copy[128], *save = NULL;

	*bits = 0;
	snprintf(copy, sizeof(copy), "%s", list);
	for (char *word = strtok_r(copy, ",", &save); word;
	     word = strtok_r(NULL, ",", &save))
		if (reserved_word(word, bits) < 0)
			return error_set(err, EINVAL, "bad-value",
					 "forward-reserved",
					 "\"%s\" is none of none, all, stp, "
					 "lacp, eapol, lldp, or a digit 0 to f",
					 word);
	return 0;
}

int config_settings(const json_t *params, struct switch_settings *s,
		    struct error *err)
{
	const char *tags = rpc_get_string(params, "vlan-protocol", NULL);
	const char *list = rpc_get_string(params, "forward-reserved", NULL);

	s->age_s = (uint32_t)rpc_get_int(params, "age", s->age_s);
	s->poll_us = (uint32_t)rpc_get_int(params, "poll-us", s->poll_us);
	if (tags)
		s->tpid = strcmp(tags, "802.1ad") ? 0x8100 : 0x88a8;
	s->fast_path = rpc_get_bool(params, "fast-path", s->fast_path);
	s->dead_after_s = (uint32_t)rpc_get_int(params, "fast-path-dead-after",
						s->dead_after_s);
	return list ? parse_reserved(list, &s->forward_reserved, err) : 0;
}

json_t *config_settings_show(const struct switch_settings *s)
{
	static const char digits[] = "0123456789abcdef";
	char list[33] = "", *p = list;

	for (unsigned int i = 0; i < 16; i++) {
		if (!(s->forward_reserved >> i & 1))
			continue;
		if (p > list)
			*p++ = ',';
		*p++ = digits[i];
		*p = '\0';
	}
	return json_pack("{s:i,s:s,s:i,s:s,s:b,s:i}", "age", (int)s->age_s,
			 "vlan-protocol",
			 s->tpid == 0x8100 ? "802.1Q" : "802.1ad", "poll-us",
			 (int)s->poll_us, "forward-reserved",
			 *list ? list : "none", "fast-path", s->fast_path,
			 "fast-path-dead-after", (int)s->dead_after_s);
}

void config_daemon(const json_t *config, struct config_daemon *out)
{
	const json_t *d = json_object_get(config, "daemon");

	memset(out, 0, sizeof(*out));
	snprintf(out->user, sizeof(out->user), "%s",
		 rpc_get_string(d, "user", ""));
	snprintf(out->socket, sizeof(out->socket), "%s",
		 rpc_get_string(d, "socket", ""));
	snprintf(out->socket_group, sizeof(out->socket_group), "%s",
		 rpc_get_string(d, "socket-group", ""));
	snprintf(out->helper_socket, sizeof(out->helper_socket), "%s",
		 rpc_get_string(d, "helper-socket", ""));
	snprintf(out->helper_acl, sizeof(out->helper_acl), "%s",
		 rpc_get_string(d, "helper-acl",
				SYSCONFDIR "/switchd/helper.conf"));
	out->helper_max = (uint32_t)rpc_get_int(d, "helper-max", 64);
	out->workers = (uint32_t)rpc_get_int(d, "workers", 0);
	out->ports_max = (uint32_t)rpc_get_int(d, "ports-max", 0);
	out->fdb_entries = (uint32_t)rpc_get_int(d, "fdb-entries", 0);
	out->fast_path = rpc_get_bool(d, "fast-path", true);
}

/* ---- Checking ---- */

static int check_top(const json_t *config, struct error *err)
{
	static const char *const lists[] = { "ports", "listeners", "mirrors",
					     "fdb" };
	json_t *rest = json_copy((json_t *)config);
	int r = 0;

	if (!json_is_object(config)) {
		json_decref(rest);
		return error_set(err, EINVAL, "wrong-type", NULL,
				 "a configuration is a JSON object");
	}
	for (unsigned int i = 0; r == 0 && i < 4; i++) {
		const json_t *list = json_object_get(config, lists[i]);

		if (list && !json_is_array(list))
			r = error_set(err, EINVAL, "wrong-type", lists[i],
				      "\"%s\" is an array", lists[i]);
		json_object_del(rest, lists[i]);
	}
	if (r == 0)
		r = rpc_params_check(top_params, rest, err);
	json_decref(rest);
	return r;
}

/* Check a member of the configuration that is one object of a table. */
static int check_object(const json_t *config, const char *key,
			const struct rpc_param *table, struct error *err)
{
	const json_t *o = json_object_get(config, key);
	int r = o ? rpc_params_check(table, o, err) : 0;

	if (r < 0)
		error_prefix(err, key);
	return r;
}

static int check_settings(const json_t *config, struct error *err)
{
	struct switch_settings s = SWITCH_SETTINGS_INIT;
	int r = check_object(config, "switch", config_switch_params, err);

	if (r < 0)
		return r;
	r = config_settings(json_object_get(config, "switch"), &s, err);
	if (r < 0)
		error_prefix(err, "switch");
	return r;
}

static int check_profiles(const json_t *config, struct error *err)
{
	json_t *profiles = json_object_get(config, "profiles"), *p;
	const char *name;

	json_object_foreach(profiles, name, p) {
		char at[PORT_NAME_MAX + 16];
		int r = json_is_object(p)
				? portconf_check_profile(name, p, err)
				: error_set(err, EINVAL, "wrong-type", NULL,
					    "a profile is an object");

		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "profiles.%.*s", PORT_NAME_MAX - 1,
			 name);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

/* What elements of lists are checked against. */
struct check {
	const json_t *profiles;
	json_t *ports; /* those that were checked, by name */
};

static int check_port(const struct check *c, json_t *port, struct error *err)
{
	struct port_config parsed;
	json_t *rest;
	const char *name = rpc_get_string(port, "name", NULL);
	int r;

	if (!json_is_object(port))
		return error_set(err, EINVAL, "wrong-type", NULL,
				 "a port is an object");
	if (!name)
		return error_set(err, EINVAL, "missing-parameter", "name",
				 "a port needs a name");
	rest = json_copy(port);
	json_object_del(rest, "name");
	r = rpc_params_check(portconf_params, rest, err);
	if (r == 0)
		r = portconf_parse(name, rest, c->profiles, &parsed, err);
	if (r == 0)
		json_object_set(c->ports, name, port);
	json_decref(rest);
	return r;
}

static int check_listener(const struct check *c, json_t *l, struct error *err)
{
	int r = rpc_params_check(listener_params, l, err);

	return r < 0 ? r
		     : listener_check(rpc_get_string(l, "name", ""), l,
				      c->profiles, err);
}

/* The ports may be others than the configuration's, or come later. */
static int check_mirror(const struct check *c, json_t *m, struct error *err)
{
	int r = rpc_params_check(config_mirror_params, m, err);

	(void)c;
	if (r < 0)
		return r;
	return switch_mirror_check(rpc_get_string(m, "name", ""), m, err);
}

/* Is the entry's port, where it is the configuration's, in the VLAN? */
static int check_in_vlan(const struct check *c, const json_t *entry,
			 struct error *err)
{
	const char *name = rpc_get_string(entry, "port", "");
	int64_t vid = rpc_get_int(entry, "vlan", 1);
	const json_t *port = json_object_get(c->ports, name);
	struct port_config p;
	int r = port ? portconf_parse(name, port, c->profiles, &p, err) : 0;

	if (r < 0 || !port || p.vlans[vid >> 6] >> (vid & 63) & 1)
		return r;
	return error_set(err, EINVAL, "not-in-vlan", "vlan",
			 "port \"%s\" isn't in VLAN %d", name, (int)vid);
}

static int check_fdb(const struct check *c, json_t *entry, struct error *err)
{
	int r = rpc_params_check(config_fdb_params, entry, err);
	uint64_t mac;

	if (r == 0)
		r = switch_static_mac(entry, &mac, err);
	return r < 0 ? r : check_in_vlan(c, entry, err);
}

/* Do two elements of a list have the same name? */
static int check_unique(const json_t *list, struct error *err)
{
	json_t *seen = json_object(), *o;
	int r = 0;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *name = rpc_get_string(o, "name", NULL);
		char at[32];

		if (!name)
			continue;
		if (json_object_get(seen, name)) {
			r = error_set(err, EINVAL, "duplicate-name", "name",
				      "\"%s\" is there twice", name);
			snprintf(at, sizeof(at), "[%zu]", i);
			error_prefix(err, at);
			break;
		}
		json_object_set_new(seen, name, json_true());
	}
	json_decref(seen);
	return r;
}

static int check_list(const struct check *c, const json_t *config,
		      const char *key,
		      int (*check)(const struct check *, json_t *,
				   struct error *),
		      struct error *err)
{
	const json_t *list = json_object_get(config, key);
	json_t *o;
	size_t i;
	int r = check_unique(list, err);

	if (r < 0)
		error_prefix(err, key);
	if (r < 0)
		return r;
	json_array_foreach(list, i, o) {
		char at[48];

		r = check(c, o, err);
		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "%s[%zu]", key, i);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

static int check_lists(const json_t *config, struct error *err)
{
	struct check c = { .profiles = json_object_get(config, "profiles"),
			   .ports = json_object() };
	int r;

	if (!c.ports)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	r = check_list(&c, config, "ports", check_port, err);
	if (r == 0)
		r = check_list(&c, config, "listeners", check_listener, err);
	if (r == 0 && json_array_size(json_object_get(config, "mirrors")) >
			      SNAPSHOT_MIRRORS_MAX)
		r = error_set(err, EINVAL, "too-many-mirrors", "mirrors",
			      "there can be %d mirrors", SNAPSHOT_MIRRORS_MAX);
	if (r == 0)
		r = check_list(&c, config, "mirrors", check_mirror, err);
	if (r == 0)
		r = check_list(&c, config, "fdb", check_fdb, err);
	json_decref(c.ports);
	return r;
}

/* What of "daemon" is more than a table. */
static int check_daemon(const json_t *config, struct error *err)
{
	const json_t *daemon = json_object_get(config, "daemon");
	const json_t *allow = json_object_get(daemon, "allow");
	int r = check_object(config, "daemon", daemon_params, err);

	if (r < 0 || !allow)
		return r;
	r = rpc_params_check(policy_params, allow, err);
	if (r == 0)
		r = policy_check_config(allow, err);
	if (r < 0)
		error_prefix(err, "daemon.allow");
	return r;
}

int config_check(const json_t *config, struct error *err)
{
	int r = check_top(config, err);

	if (r == 0)
		r = check_daemon(config, err);
	if (r == 0)
		r = roles_check(json_object_get(config, "daemon"), err);
	if (r == 0)
		r = check_settings(config, err);
	if (r == 0)
		r = check_profiles(config, err);
	return r < 0 ? r : check_lists(config, err);
}
