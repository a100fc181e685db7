/*
 * Static addresses: configured, so they outlive the port that they name.
 * The FDB holds those whose port is attached; sw->statics holds all, by
 * "VLAN/MAC". See switch.h.
 */
#include "switchd/switch.h"

#include "base/log.h"

#include <errno.h>

#define KEY_MAX (MAC_STRLEN + 8)

int switch_static_mac(const json_t *params, uint64_t *mac, struct error *err)
{
	const char *text = rpc_get_string(params, "mac", "");

	if (mac_parse(text, mac) == 0 && *mac && !mac_is_group(*mac))
		return 0;
	return error_set(err, EINVAL, "bad-mac", "mac",
			 "\"%.40s\" is no address of a guest: six pairs of hex "
			 "digits, the first one even",
			 text);
}

static const char *static_key(char key[KEY_MAX], uint64_t mac, uint16_t vid)
{
	char text[MAC_STRLEN];

	snprintf(key, KEY_MAX, "%u/%s", vid, mac_format(mac, text));
	return key;
}

/* What the FDB calls the entry. */
static uint64_t static_fdb_key(const json_t *e)
{
	uint64_t mac = 0;

	if (mac_parse(rpc_get_string(e, "mac", ""), &mac) < 0)
		return 0; /* never: we have written it */
	return fdb_key((uint16_t)rpc_get_int(e, "vlan", 1), mac);
}

static void static_uninstall(struct sw *sw, const json_t *e)
{
	if (fdb_remove(sw->shared.fdb, static_fdb_key(e)) < 0)
		return; /* its port is away: it isn't in the FDB */
}

static int check_port(const struct switch_port *p, const char *name,
		      uint16_t vid, struct error *err)
{
	if (!p)
		return error_set(err, ENOENT, "no-such-port", "port",
				 "there is no port \"%s\"", name);
	if (!(p->config.vlans[vid >> 6] >> (vid & 63) & 1))
		return error_set(err, EINVAL, "not-in-vlan", "vlan",
				 "port \"%s\" isn't in VLAN %u", name, vid);
	return 0;
}

int switch_static_add(struct sw *sw, uint64_t mac, uint16_t vid,
		      const char *port, enum switch_origin origin,
		      struct error *err)
{
	const struct switch_port *p = switch_port_find(sw, port);
	bool configured = origin == SWITCH_ORIGIN_CONFIG;
	char text[MAC_STRLEN], key[KEY_MAX];
	json_t *e;
	int r = configured ? 0 : check_port(p, port, vid, err);

	if (r < 0)
		return r;
	/* Before anything goes: `port` may be the old entry's own string. */
	e = json_pack("{s:s,s:i,s:s,s:b}", "mac", mac_format(mac, text), "vlan",
		      (int)vid, "port", port, "configured", configured);
	if (!e)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	static_key(key, mac, vid);
	r = p ? fdb_add_static(sw->shared.fdb, fdb_key(vid, mac),
			       p->port->index)
	      : 0;
	if (r < 0) {
		json_decref(e);
		return error_set(err, -r, "fdb-full", "mac",
				 "no room for %s: its place in the FDB is full "
				 "of static entries",
				 text);
	}
	if (!p) {
		log_notice("fdb", "%s waits for port %s", text, port);
		if (json_object_get(sw->statics, key))
			static_uninstall(sw, e);
	}
	if (json_object_set_new(sw->statics, key, e) < 0)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	switch_remember(sw, "static", key, json_incref(e));
	return 0;
}

bool switch_static_remove(struct sw *sw, uint64_t mac, uint16_t vid)
{
	char key[KEY_MAX];
	json_t *e = json_object_get(sw->statics, static_key(key, mac, vid));

	if (!e)
		return false;
	static_uninstall(sw, e);
	json_object_del(sw->statics, key);
	switch_remember(sw, "static", key, NULL);
	return true;
}

/* Returns false where its place is full of other static entries. */
static bool static_install(struct sw *sw, const json_t *e,
			   const struct switch_port *p)
{
	return fdb_add_static(sw->shared.fdb, static_fdb_key(e),
			      p->port->index) == 0;
}

void switch_static_install(struct sw *sw, const struct switch_port *p)
{
	const char *key, *name = p->config.request.name;
	json_t *e;

	json_object_foreach(sw->statics, key, e)
		if (!strcmp(rpc_get_string(e, "port", ""), name) &&
		    !static_install(sw, e, p))
			log_warning("fdb", "no room for %s of port %s", key,
				    name);
}

void switch_statics_prune(struct sw *sw, const json_t *wanted)
{
	json_t *keep = json_object(), *e;
	char key[KEY_MAX];
	const char *k;
	void *next;
	size_t i;

	json_array_foreach(wanted, i, e) {
		uint64_t mac = 0;

		if (switch_static_mac(e, &mac, NULL) < 0)
			continue;
		static_key(key, mac, (uint16_t)rpc_get_int(e, "vlan", 1));
		json_object_set_new(keep, key, json_true());
	}
	json_object_foreach_safe(sw->statics, next, k, e)
	{
		if (!rpc_get_bool(e, "configured", false) ||
		    json_object_get(keep, k))
			continue;
		static_uninstall(sw, e);
		switch_remember(sw, "static", k, NULL);
		json_object_del(sw->statics, k);
	}
	json_decref(keep);
}

json_t *switch_statics_show(struct sw *sw)
{
	json_t *list = json_array(), *e;
	const char *key;

	json_object_foreach(sw->statics, key, e) {
		json_t *o = json_copy(e);

		json_object_del(o, "configured");
		json_array_append_new(list, o);
	}
	return list;
}

void switch_statics_adopt(struct sw *sw)
{
	const char *key;
	json_t *e;

	json_object_foreach(sw->statics, key, e) {
		json_object_set_new(e, "configured", json_true());
		switch_remember(sw, "static", key, json_incref(e));
	}
}

json_t *switch_statics_save(struct sw *sw)
{
	return json_copy(sw->statics);
}

void switch_statics_restore(struct sw *sw, json_t *saved)
{
	json_t *now = sw->statics, *e;
	const char *key;

	sw->statics = json_incref(saved);
	json_object_foreach(now, key, e)
		if (json_object_get(saved, key) != e) {
			static_uninstall(sw, e);
			switch_remember(sw, "static", key, NULL);
		}
	json_object_foreach(saved, key, e) {
		const struct switch_port *p;

		if (json_object_get(now, key) == e)
			continue;
		switch_remember(sw, "static", key, json_incref(e));
		p = switch_port_find(sw, rpc_get_string(e, "port", ""));
		if (p && !static_install(sw, e, p))
			log_warning("fdb", "no room for %s", key);
	}
	json_decref(now);
}
