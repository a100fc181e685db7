/* profile.*, mirror.*, config.*: see methods.h. */
#include "switchd/methods.h"

#include <errno.h>
#include <unistd.h>

void method_profile_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	json_t *list = json_array(), *profile;
	const char *name;

	(void)params;
	json_object_foreach(d->sw->profiles, name, profile) {
		json_t *o = json_pack("{s:s}", "name", name);

		json_object_update(o, profile);
		json_array_append_new(list, o);
	}
	rpc_reply(call, json_pack("{s:o}", "profiles", list));
}

void method_profile_show(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	const char *name = rpc_get_string(params, "name", "");
	json_t *profile = json_object_get(d->sw->profiles, name);

	if (profile)
		rpc_reply(call, json_incref(profile));
	else
		rpc_fail(call, ENOENT, "no-such-profile", "name",
			 "there is no profile \"%s\"", name);
}

void method_mirror_add(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct error err = { 0 };

	if (switch_mirror_add(d->sw, rpc_get_string(params, "name", ""), params,
			      SWITCH_ORIGIN_CONTROL, &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, json_object());
}

void method_mirror_remove(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct error err = { 0 };

	if (switch_mirror_remove(d->sw, rpc_get_string(params, "name", ""),
				 &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, json_object());
}

/* "vm1,vm2", "all": one column for people. */
static json_t *names_joined(const json_t *from)
{
	char buf[1024];
	size_t i, n = 0;
	json_t *name;

	if (!from)
		return json_string("all");
	buf[0] = '\0';
	json_array_foreach(from, i, name) {
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s",
				      i ? "," : "", json_string_value(name));
		if (n >= sizeof(buf) - PORT_NAME_MAX)
			break;
	}
	return json_string(buf);
}

void method_mirror_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params;
	for (unsigned int i = 0; i < d->sw->nmirrors; i++) {
		const struct switch_mirror *m = d->sw->mirror[i];

		json_array_append_new(
			list,
			json_pack(
				"{s:s,s:s,s:o,s:s,s:s,s:s}", "name", m->name,
				"to", m->to, "from", names_joined(m->from),
				"vlan",
				rpc_get_string(m->params, "vlan", "all"), "dir",
				m->in && m->out ? "both"
				: m->in		? "in"
						: "out",
				"state",
				switch_port_find(d->sw, m->to) ? "active"
							       : "no-target"));
	}
	rpc_reply(call, json_pack("{s:o}", "mirrors", list));
}

void method_config_show(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;

	(void)params;
	rpc_reply(call, config_show(d->sw, d->daemon_json));
}

void method_config_apply(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	json_t *config = json_object_get(params, "config");
	struct config_changes c = { 0 };
	struct error err = { 0 };
	int r;

	if (config) {
		r = config_check(config, &err);
		if (r == 0)
			r = daemon_apply(d, config, &c, &err);
		if (r < 0)
			error_prefix(&err, "config");
	} else {
		r = daemon_reload(d, &c, &err);
	}
	if (r < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call,
			  json_pack("{s:i,s:i,s:i,s:i}", "attached",
				    (int)c.attached, "detached",
				    (int)c.detached, "changed", (int)c.changed,
				    "unchanged", (int)c.unchanged));
}

void method_config_save(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	const char *file = rpc_get_string(params, "file", d->options.config);
	uid_t uid = rpc_call_peer(call)->uid;
	struct error err = { 0 };

	if (!file) {
		rpc_fail(call, EINVAL, "missing-parameter", "file",
			 "switchd was started without a configuration file: "
			 "say file=/PATH");
		return;
	}
	/* The file is written with our rights: not wherever any admin of the
	 * switch says. */
	if (uid != 0 && uid != geteuid() &&
	    (!d->options.config || strcmp(file, d->options.config) != 0)) {
		rpc_fail(call, EPERM, "not-permitted", "file",
			 "only root may save to another file than the one that "
			 "was read");
		return;
	}
	if (config_save(d->sw, d->daemon_json, file,
			d->options.config && !strcmp(file, d->options.config),
			broker_config_write, d->broker, &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, json_pack("{s:s}", "file", file));
}
