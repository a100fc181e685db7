/*
 * What of a switch outlives its process: said as it changes, by hooks.remember,
 * and read by the next process. See switch.h.
 *
 *	switch		settings, as switch.set takes them
 *	profiles	all of them
 *	listener/NAME	its parameters and its socket
 *	port/NAME	its parameters and its place
 *	missing/NAME	sw->missing's element
 *	mirror/NAME	as switch_mirrors_save has it
 *	static/KEY	sw->statics' element
 */
#include "switchd/switch.h"

#include "base/log.h"
#include "switchd/config.h"
#include "switchd/ledger.h"
#include "switchd/listener.h"

#include <errno.h>

#define KEY_MAX (PORT_NAME_MAX + 16)

void switch_remember(struct sw *sw, const char *kind, const char *name,
		     json_t *value)
{
	char key[KEY_MAX];

	snprintf(key, sizeof(key), "%s%s%s", kind, name ? "/" : "",
		 name ? name : "");
	if (sw->hooks.remember)
		sw->hooks.remember(sw->hooks.ctx, key, value);
	json_decref(value);
}

void switch_remember_port(struct sw *sw, const struct switch_port *p)
{
	json_t *o;

	if (!sw->hooks.remember)
		return;
	o = json_pack("{s:i,s:I,s:i,s:I,s:O,s:O*}", "index",
		      (int)p->port->index, "handle",
		      (json_int_t)p->grant.handle, "origin", (int)p->origin,
		      "uid", (json_int_t)p->uid, "params", p->params,
		      "profiles", p->profiles);
	if (o && *p->listener)
		json_object_update_new(
			o, json_pack("{s:s,s:s,s:o*}", "listener", p->listener,
				     "type", p->config.request.type, "peer",
				     switch_peer_json(&p->peer)));
	switch_remember(sw, "port", p->config.request.name, o);
}

/* Each element of an object under a kind. */
static void remember_each(struct sw *sw, const char *kind, json_t *all)
{
	const char *name;
	json_t *value;

	json_object_foreach(all, name, value)
		switch_remember(sw, kind, name, json_incref(value));
}

void switch_remember_all(struct sw *sw)
{
	struct switch_port *p = NULL;

	if (!sw->hooks.remember)
		return;
	switch_remember(sw, "switch", NULL,
			config_settings_show(&sw->settings));
	switch_remember(sw, "profiles", NULL, json_incref(sw->profiles));
	listeners_remember(sw);
	while ((p = switch_port_next(sw, p)))
		switch_remember_port(sw, p);
	remember_each(sw, "missing", sw->missing);
	remember_each(sw, "static", sw->statics);
	for (unsigned int i = 0; i < sw->nmirrors; i++)
		switch_remember_mirror(sw, sw->mirror[i]);
}

/* ---- The next process ---- */

/* The elements of a kind, by name. A new reference; NULL: no memory. */
static json_t *of_kind(const json_t *state, const char *kind)
{
	size_t len = strlen(kind);
	json_t *all = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)state, key, value) {
		if (strncmp(key, kind, len) || key[len] != '/')
			continue;
		if (json_object_set(all, key + len + 1, value) < 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static int restore_settings(struct sw *sw, const json_t *state,
			    struct error *err)
{
	struct switch_settings s = SWITCH_SETTINGS_INIT;
	json_t *profiles = json_object_get(state, "profiles");
	int r = config_settings(json_object_get(state, "switch"), &s, err);

	if (r < 0)
		return r;
	fdb_age_set(sw->shared.fdb, s.age_s);
	sw->settings = s;
	switch_polling(sw);
	if (profiles)
		switch_profiles_set(sw, profiles);
	return 0;
}

static void restore_mirrors(struct sw *sw, json_t *by_name)
{
	json_t *list = json_array(), *m;
	const char *name;

	json_object_foreach(by_name, name, m)
		json_array_append(list, m);
	switch_mirrors_restore(sw, list);
	json_decref(list);
}

static bool is_transient(const json_t *saved)
{
	return rpc_get_int(saved, "origin", 0) == SWITCH_ORIGIN_TRANSIENT;
}

static void say_failed(const char *name, const struct error *why,
		       unsigned int *failed, struct error *first)
{
	log_err("port", "%s can't be brought back: %s", name, why->message);
	if (!(*failed)++)
		*first = *why;
}

/* Their ports needn't be: those come by themselves. */
static unsigned int restore_listeners(struct sw *sw, json_t *listeners,
				      struct error *err)
{
	unsigned int failed = 0;
	const char *name;
	json_t *saved;

	json_object_foreach(listeners, name, saved) {
		struct error why = { 0 };

		if (listener_restore(sw, name, saved, &why) < 0)
			say_failed(name, &why, &failed, err);
	}
	return failed;
}

/*
 * First those whose place is known. Then what the monitor doesn't hold is
 * acquired, unless it goes with a guest: that one's script will say when there
 * is one again.
 */
static void restore_ports(struct sw *sw, json_t *ports, unsigned int *failed,
			  struct error *err)
{
	json_t *later = json_object(), *saved;
	const char *name;

	json_object_foreach(ports, name, saved) {
		struct error why = { 0 };

		if (switch_port_restore(sw, name, saved, &why))
			continue;
		if (why.err == ENOENT && !is_transient(saved))
			json_object_set(later, name, saved);
		else
			say_failed(name, &why, failed, err);
	}
	json_object_foreach(later, name, saved) {
		struct error why = { 0 };

		if (!switch_attach(
			    sw, name, json_object_get(saved, "params"),
			    (enum switch_origin)rpc_get_int(saved, "origin", 0),
			    (uid_t)rpc_get_int(saved, "uid", 0), &why))
			say_failed(name, &why, failed, err);
	}
	json_decref(later);
}

/* The parameters of remembered things as a configuration has them. */
static json_t *list_of(json_t *by_name)
{
	json_t *list = json_array(), *e;
	const char *name;

	json_object_foreach(by_name, name, e) {
		json_t *o = json_pack("{s:s}", "name", name);

		json_object_update(o, json_object_get(e, "params"));
		json_array_append_new(list, o);
	}
	return list;
}

/* What isn't of ports, as the configuration that it could come from: whoever
 * has written it, it has to be right. */
static int check_state(const json_t *state, json_t *mirrors, json_t *listeners,
		       json_t *statics, struct error *err)
{
	json_t *fdb = json_array(), *e, *config;
	const char *name;
	int r;

	json_object_foreach(statics, name, e) {
		json_t *o = json_copy(e);

		json_object_del(o, "configured");
		json_array_append_new(fdb, o);
	}
	config = json_pack("{s:O*,s:O*,s:O*,s:o,s:o,s:o}", "daemon",
			   json_object_get(state, "daemon"), "switch",
			   json_object_get(state, "switch"), "profiles",
			   json_object_get(state, "profiles"), "listeners",
			   list_of(listeners), "mirrors", list_of(mirrors),
			   "fdb", fdb);
	r = config ? config_check(config, err)
		   : error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	json_decref(config);
	return r;
}

int switch_restore(struct sw *sw, const json_t *state, unsigned int *failed,
		   struct error *err)
{
	json_t *ports = of_kind(state, "port");
	json_t *mirrors = of_kind(state, "mirror");
	json_t *statics = of_kind(state, "static");
	json_t *missing = of_kind(state, "missing");
	json_t *listeners = of_kind(state, "listener");
	int r = -ENOMEM;

	if (ports && mirrors && statics && missing && listeners)
		r = check_state(state, mirrors, listeners, statics, err);
	else
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	if (r == 0)
		r = restore_settings(sw, state, err);
	if (r == 0) {
		/* Their entries are in the FDB: not installed until it's ours
		 */
		json_object_update(sw->statics, statics);
		json_object_update(sw->missing, missing);
		restore_mirrors(sw, mirrors);
		*failed = restore_listeners(sw, listeners, err);
		restore_ports(sw, ports, failed, err);
	}
	json_decref(ports);
	json_decref(mirrors);
	json_decref(statics);
	json_decref(missing);
	json_decref(listeners);
	return r;
}

/* Addresses behind indexes that no port has any more. */
static void flush_orphans(struct sw *sw)
{
	struct fdb_port_stats f;

	for (uint32_t i = 0; i < sw->shared.ports_max; i++)
		if (!sw->port[i] &&
		    fdb_port_stats_get(sw->shared.fdb, i, &f) == 0 &&
		    (f.entries || f.static_entries))
			fdb_flush(sw->shared.fdb, (int)i, FDB_ANY, true);
}

void switch_take_over(struct sw *sw)
{
	struct switch_port *p = NULL;

	sw->borrowed = false;
	if (sw->fdb_outlives)
		fdb_adopt(sw->shared.fdb);
	flush_orphans(sw);
	while ((p = switch_port_next(sw, p)))
		switch_static_install(sw, p);
	switch_control_take_over(sw, false);
}
