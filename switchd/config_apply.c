/*
 * From the running switch to the wanted one, or back. See config.h; ports are
 * brought by config_ports.c.
 */
#include "switchd/config_internal.h"
#include "switchd/listener.h"

#include <errno.h>

int config_no_memory(struct config_apply *a)
{
	return error_set(a->err, ENOMEM, "no-memory", NULL, "no memory");
}

/* ---- What only the running switch can tell ---- */

/* A port that stays must find its profile when it is set or saved. */
static int check_profiles_used(struct config_apply *a)
{
	const json_t *profiles = json_object_get(a->config, "profiles");
	struct switch_port *p = NULL;

	while ((p = switch_port_next(a->sw, p))) {
		const char *profile = p->config.profile;
		char at[PORT_NAME_MAX + 16];

		if (!*profile || json_object_get(profiles, profile) ||
		    p->origin == SWITCH_ORIGIN_CONFIG ||
		    config_wanted_port(a, p) ||
		    *p->listener) /* it's the listener's affair */
			continue;
		snprintf(at, sizeof(at), "profiles.%s", profile);
		return error_set(a->err, EBUSY, "profile-in-use", at,
				 "port \"%s\", which stays, has profile \"%s\"",
				 p->config.request.name, profile);
	}
	return 0;
}

/* A listener by hand stays, and gives its ports what its profile says then. */
static int check_listeners_stay(struct config_apply *a)
{
	const json_t *profiles = json_object_get(a->config, "profiles");
	const struct listener *l = NULL;

	while ((l = listener_next(a->sw, l))) {
		const json_t *params = listener_params_of(l);
		const char *profile = rpc_get_string(params, "profile", "");
		char at[PORT_NAME_MAX + 16];

		if (listener_is_configured(l) || !*profile ||
		    listener_wanted(l, json_object_get(a->config, "listeners")))
			continue;
		snprintf(at, sizeof(at), "profiles.%s", profile);
		if (!json_object_get(profiles, profile))
			return error_set(a->err, EBUSY, "profile-in-use", at,
					 "listener \"%s\", which stays, has "
					 "profile \"%s\"",
					 listener_name(l), profile);
		if (listener_check(listener_name(l), params, profiles, a->err) <
		    0) {
			error_prefix(a->err, at);
			return -a->err->err;
		}
	}
	return 0;
}

/* Those by hand stay, and count. */
static int check_mirrors_fit(struct config_apply *a)
{
	const json_t *list = json_object_get(a->config, "mirrors");
	size_t n = json_array_size(list), i;
	json_t *names = json_object(), *m;

	json_array_foreach(list, i, m)
		json_object_set(names, rpc_get_string(m, "name", ""), m);
	for (i = 0; i < a->sw->nmirrors; i++)
		n += !a->sw->mirror[i]->configured &&
		     !json_object_get(names, a->sw->mirror[i]->name);
	json_decref(names);
	if (n <= SNAPSHOT_MIRRORS_MAX)
		return 0;
	return error_set(a->err, ENOSPC, "too-many-mirrors", "mirrors",
			 "with those that were added by hand it's %zu, and "
			 "there can be %d",
			 n, SNAPSHOT_MIRRORS_MAX);
}

/* ---- Forward ---- */

static int listeners_apply(struct config_apply *a)
{
	struct switch_port *p = NULL;
	int r = listeners_bring(a->sw, json_object_get(a->config, "listeners"),
				a->err);

	while (r == 0 && (p = switch_port_next(a->sw, p)))
		if (*p->listener)
			r = config_ports_given(a, p);
	return r;
}

/* Mirrors cost nothing to make anew. */
static int mirrors_bring(struct sw *sw, const json_t *config, struct error *err)
{
	const json_t *list = json_object_get(config, "mirrors");
	json_t *m;
	size_t i = sw->nmirrors;

	while (i--)
		if (sw->mirror[i]->configured &&
		    switch_mirror_remove(sw, sw->mirror[i]->name, err) < 0)
			return -ENOENT;
	json_array_foreach(list, i, m) {
		const char *name = rpc_get_string(m, "name", "");
		int r = 0;
		char at[32];

		/* One that came by hand is the configuration's from now on. */
		if (switch_mirror_find(sw, name))
			r = switch_mirror_remove(sw, name, err);
		if (r == 0)
			r = switch_mirror_add(sw, name, m, SWITCH_ORIGIN_CONFIG,
					      err);
		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "mirrors[%zu]", i);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

static int statics_bring(struct sw *sw, const json_t *config, struct error *err)
{
	const json_t *list = json_object_get(config, "fdb");
	json_t *e;
	size_t i;

	switch_statics_prune(sw, list);
	json_array_foreach(list, i, e) {
		uint64_t mac;
		char at[32];
		int r = switch_static_mac(e, &mac, err);

		if (r == 0)
			r = switch_static_add(
				sw, mac, (uint16_t)rpc_get_int(e, "vlan", 1),
				rpc_get_string(e, "port", ""),
				SWITCH_ORIGIN_CONFIG, err);
		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "fdb[%zu]", i);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

/* ---- Backward ---- */

/* Settings were the last step: they are as they were. */
static void apply_undo(struct config_apply *a)
{
	config_ports_undo(a);
	switch_profiles_set(a->sw, a->before.profiles);
	listeners_bring_back(a->sw, a->before.listeners);
	switch_mirrors_restore(a->sw, a->before.mirrors);
	switch_statics_restore(a->sw, a->before.statics);
}

/* ---- The whole ---- */

static int profiles_bring(struct config_apply *a)
{
	const json_t *profiles = json_object_get(a->config, "profiles");
	json_t *p = profiles ? json_deep_copy(profiles) : json_object();

	if (!p)
		return config_no_memory(a);
	switch_profiles_set(a->sw, p);
	json_decref(p);
	return 0;
}

static int apply_steps(struct config_apply *a)
{
	struct switch_settings s = SWITCH_SETTINGS_INIT;
	int r = config_settings(json_object_get(a->config, "switch"), &s,
				a->err);

	if (r == 0)
		r = profiles_bring(a);
	if (r == 0)
		r = config_ports_detach(a);
	if (r == 0)
		listeners_prune(a->sw, json_object_get(a->config, "listeners"));
	if (r == 0)
		r = config_ports_bring(a);
	if (r == 0)
		r = listeners_apply(a);
	if (r == 0)
		r = mirrors_bring(a->sw, a->config, a->err);
	if (r == 0)
		r = statics_bring(a->sw, a->config, a->err);
	if (r == 0) /* can't be refused, and may flush what was learned */
		switch_settings_set(a->sw, &s);
	return r;
}

static int apply_init(struct config_apply *a)
{
	json_t *p;
	size_t i;

	a->wanted = json_object();
	a->later = json_array();
	a->before.profiles = json_incref(a->sw->profiles);
	a->before.listeners = listeners_save(a->sw);
	a->before.mirrors = switch_mirrors_save(a->sw);
	a->before.statics = switch_statics_save(a->sw);
	if (!a->wanted || !a->later || !a->before.listeners ||
	    !a->before.mirrors || !a->before.statics)
		return config_no_memory(a);
	json_array_foreach(json_object_get(a->config, "ports"), i, p)
		if (json_object_set(a->wanted, rpc_get_string(p, "name", ""),
				    p) < 0)
			return config_no_memory(a);
	return 0;
}

static void apply_fini(struct config_apply *a)
{
	config_ports_fini(a);
	json_decref(a->wanted);
	json_decref(a->later);
	json_decref(a->before.profiles);
	json_decref(a->before.listeners);
	json_decref(a->before.mirrors);
	json_decref(a->before.statics);
}

int config_apply(struct sw *sw, const json_t *config,
		 struct config_changes *changes, struct error *err)
{
	struct config_apply a = { .sw = sw, .config = config, .err = err };
	int r = apply_init(&a);

	if (r == 0)
		r = check_profiles_used(&a);
	if (r == 0)
		r = check_listeners_stay(&a);
	if (r == 0)
		r = check_mirrors_fit(&a);
	if (r == 0) {
		r = apply_steps(&a);
		if (r < 0)
			apply_undo(&a);
		if (r == 0)
			config_ports_missing(&a);
		if (r == 0 && changes)
			*changes = a.changes;
	}
	apply_fini(&a);
	return r;
}
