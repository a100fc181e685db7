/* Mirrors: who gets copies of what. See switch.h. */
#include "switchd/switch.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

struct switch_mirror *switch_mirror_find(struct sw *sw, const char *name)
{
	for (unsigned int i = 0; i < sw->nmirrors; i++)
		if (!strcmp(sw->mirror[i]->name, name))
			return sw->mirror[i];
	return NULL;
}

static void mirror_free(struct switch_mirror *m)
{
	json_decref(m->params);
	json_decref(m->from);
	json_decref(m->watched);
	free(m);
}

int switch_mirror_check(const char *name, const json_t *params,
			struct error *err)
{
	const char *to = rpc_get_string(params, "to", "");
	const char *vlans = rpc_get_string(params, "vlan", NULL);
	uint64_t set[SNAPSHOT_VLANS / 64];
	json_t *from;
	size_t i;
	int r = portconf_check_name(name, err);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(params, "from"), i, from)
		if (!strcmp(json_string_value(from), to))
			return error_set(err, EINVAL, "bad-value", "from",
					 "port \"%s\" can't mirror itself", to);
	r = vlans ? portconf_parse_vlans(vlans, set, err) : 0;
	if (r < 0 && err)
		snprintf(err->path, sizeof(err->path), "vlan");
	return r;
}

/* What somebody says by hand is about ports that are there. */
static int check_ports(struct sw *sw, const json_t *params, struct error *err)
{
	const char *to = rpc_get_string(params, "to", "");
	json_t *name;
	size_t i;

	if (!switch_port_find(sw, to))
		return error_set(err, ENOENT, "no-such-port", "to",
				 "there is no port \"%s\"", to);
	json_array_foreach(json_object_get(params, "from"), i, name) {
		const char *s = json_string_value(name);

		if (!switch_port_find(sw, s))
			return error_set(err, ENOENT, "no-such-port", "from",
					 "there is no port \"%s\"", s);
	}
	return 0;
}

/* The names as a set: a snapshot asks for every port of the switch. */
static int mirror_watch(struct switch_mirror *m, const json_t *params)
{
	json_t *name;
	size_t i;

	m->from = json_incref(json_object_get(params, "from"));
	if (!m->from)
		return 0;
	m->watched = json_object();
	if (!m->watched)
		return -ENOMEM;
	json_array_foreach(m->from, i, name)
		if (json_object_set_new(m->watched, json_string_value(name),
					json_true()) < 0)
			return -ENOMEM;
	return 0;
}

/* A mirror of parameters that have been checked; NULL: no memory. */
static struct switch_mirror *mirror_new(const char *name, const json_t *params)
{
	const char *dir = rpc_get_string(params, "dir", "both");
	const char *vlans = rpc_get_string(params, "vlan", NULL);
	struct switch_mirror *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	snprintf(m->name, sizeof(m->name), "%s", name);
	snprintf(m->to, sizeof(m->to), "%s", rpc_get_string(params, "to", ""));
	m->in = strcmp(dir, "out") != 0;
	m->out = strcmp(dir, "in") != 0;
	m->has_vlans = vlans != NULL;
	m->params = json_deep_copy(params);
	if (!m->params || mirror_watch(m, m->params) < 0 ||
	    (vlans && portconf_parse_vlans(vlans, m->vlans, NULL) < 0)) {
		mirror_free(m);
		return NULL;
	}
	json_object_del(m->params, "name");
	return m;
}

static json_t *mirror_save(const struct switch_mirror *m)
{
	return json_pack("{s:s,s:b,s:O}", "name", m->name, "configured",
			 m->configured, "params", m->params);
}

void switch_remember_mirror(struct sw *sw, const struct switch_mirror *m)
{
	if (sw->hooks.remember)
		switch_remember(sw, "mirror", m->name, mirror_save(m));
}

int switch_mirror_add(struct sw *sw, const char *name, const json_t *params,
		      enum switch_origin origin, struct error *err)
{
	bool configured = origin == SWITCH_ORIGIN_CONFIG;
	struct switch_mirror *m;
	int r = switch_mirror_check(name, params, err);

	if (r < 0)
		return r;
	if (switch_mirror_find(sw, name))
		return error_set(err, EEXIST, "mirror-exists", "name",
				 "there is a mirror \"%s\" already", name);
	if (sw->nmirrors == SNAPSHOT_MIRRORS_MAX)
		return error_set(err, ENOSPC, "too-many-mirrors", NULL,
				 "all %d mirrors are in use",
				 SNAPSHOT_MIRRORS_MAX);
	r = configured ? 0 : check_ports(sw, params, err);
	if (r < 0)
		return r;
	m = mirror_new(name, params);
	if (!m)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	m->configured = configured;
	if (configured && !switch_port_find(sw, m->to))
		log_notice("mirror", "%s waits for port %s", name, m->to);
	sw->mirror[sw->nmirrors++] = m;
	switch_remember_mirror(sw, m);
	switch_dirty(sw);
	return 0;
}

int switch_mirror_remove(struct sw *sw, const char *name, struct error *err)
{
	struct switch_mirror *m = switch_mirror_find(sw, name);
	unsigned int i = 0;

	if (!m)
		return error_set(err, ENOENT, "no-such-mirror", "name",
				 "there is no mirror \"%s\"", name);
	while (sw->mirror[i] != m)
		i++;
	sw->mirror[i] = sw->mirror[--sw->nmirrors];
	switch_remember(sw, "mirror", m->name, NULL);
	mirror_free(m);
	switch_dirty(sw);
	return 0;
}

void switch_mirrors_adopt(struct sw *sw)
{
	for (unsigned int i = 0; i < sw->nmirrors; i++) {
		sw->mirror[i]->configured = true;
		switch_remember_mirror(sw, sw->mirror[i]);
	}
}

json_t *switch_mirrors_save(struct sw *sw)
{
	json_t *saved = json_array();

	for (unsigned int i = 0; saved && i < sw->nmirrors; i++) {
		json_t *o = mirror_save(sw->mirror[i]);

		if (json_array_append_new(saved, o) < 0) {
			json_decref(saved);
			saved = NULL;
		}
	}
	return saved;
}

void switch_mirrors_restore(struct sw *sw, const json_t *saved)
{
	json_t *o;
	size_t i;

	while (sw->nmirrors) {
		struct switch_mirror *m = sw->mirror[--sw->nmirrors];

		switch_remember(sw, "mirror", m->name, NULL);
		mirror_free(m);
	}
	json_array_foreach(saved, i, o) {
		const char *name = rpc_get_string(o, "name", "");
		struct switch_mirror *m =
			mirror_new(name, json_object_get(o, "params"));

		if (!m) {
			log_err("mirror", "no memory to bring back %s", name);
			continue;
		}
		m->configured = rpc_get_bool(o, "configured", false);
		sw->mirror[sw->nmirrors++] = m;
		switch_remember_mirror(sw, m);
	}
	switch_dirty(sw);
}

static bool mirror_watches(const struct switch_mirror *m, const char *port)
{
	return strcmp(port, m->to) != 0 &&
	       (!m->watched || json_object_get(m->watched, port));
}

/*
 * A mirror follows names, not ports: a port that is detached and comes back
 * under its name is watched again, and a target that is away gets nothing.
 */
void switch_mirrors_snapshot(struct sw *sw, struct snapshot *s)
{
	for (unsigned int i = 0; i < sw->nmirrors; i++) {
		const struct switch_mirror *m = sw->mirror[i];
		const struct switch_port *to = switch_port_find(sw, m->to);
		const struct switch_port *p = NULL;
		uint64_t bit = 1ull << i;

		s->mirror[i].has_vlans = m->has_vlans;
		memcpy(s->mirror[i].vlans, m->vlans, sizeof(m->vlans));
		if (!to)
			continue; /* no port has its bit */
		s->mirror[i].to = (uint16_t)to->port->index;
		s->port[to->port->index].decide.flags |= DECIDE_TARGET;
		while ((p = switch_port_next(sw, p))) {
			struct snapshot_port *sp = &s->port[p->port->index];

			if (!mirror_watches(m, p->config.request.name))
				continue;
			sp->mirror_in |= m->in ? bit : 0;
			sp->mirror_out |= m->out ? bit : 0;
		}
	}
}
