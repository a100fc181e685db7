/* Mirrors: who gets copies of what. See switch.h. */
#include "switchd/switch.h"

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
	free(m);
}

static int check_ports(struct sw *sw, const char *to, const json_t *from,
		       struct error *err)
{
	json_t *name;
	size_t i;

	if (!switch_port_find(sw, to))
		return error_set(err, ENOENT, "no-such-port", "to",
				 "there is no port \"%s\"", to);
	json_array_foreach(from, i, name) {
		const char *s = json_string_value(name);

		if (!switch_port_find(sw, s))
			return error_set(err, ENOENT, "no-such-port", "from",
					 "there is no port \"%s\"", s);
		if (!strcmp(s, to))
			return error_set(err, EINVAL, "bad-value", "from",
					 "port \"%s\" can't mirror itself", s);
	}
	return 0;
}

static int mirror_fill(struct switch_mirror *m, const json_t *params,
		       struct error *err)
{
	const char *dir = rpc_get_string(params, "dir", "both");
	const char *vlans = rpc_get_string(params, "vlan", NULL);
	int r;

	m->in = strcmp(dir, "out") != 0;
	m->out = strcmp(dir, "in") != 0;
	m->from = json_incref(json_object_get(params, "from"));
	snprintf(m->to, sizeof(m->to), "%s", rpc_get_string(params, "to", ""));
	if (!vlans)
		return 0;
	m->has_vlans = true;
	r = portconf_parse_vlans(vlans, m->vlans, err);
	if (r < 0 && err)
		snprintf(err->path, sizeof(err->path), "vlan");
	return r;
}

int switch_mirror_add(struct sw *sw, const char *name, json_t *params,
		      struct error *err)
{
	struct switch_mirror *m;
	int r = portconf_check_name(name, err);

	if (r < 0)
		return r;
	if (switch_mirror_find(sw, name))
		return error_set(err, EEXIST, "mirror-exists", "name",
				 "there is a mirror \"%s\" already", name);
	if (sw->nmirrors == SNAPSHOT_MIRRORS_MAX)
		return error_set(err, ENOSPC, "too-many-mirrors", NULL,
				 "all %d mirrors are in use",
				 SNAPSHOT_MIRRORS_MAX);
	r = check_ports(sw, rpc_get_string(params, "to", ""),
			json_object_get(params, "from"), err);
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	snprintf(m->name, sizeof(m->name), "%s", name);
	r = mirror_fill(m, params, err);
	if (r < 0) {
		mirror_free(m);
		return r;
	}
	m->params = json_deep_copy(params);
	json_object_del(m->params, "name");
	sw->mirror[sw->nmirrors++] = m;
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
	mirror_free(m);
	switch_dirty(sw);
	return 0;
}

static bool mirror_watches(const struct switch_mirror *m, const char *port)
{
	json_t *name;
	size_t i;

	if (!strcmp(port, m->to))
		return false;
	if (!m->from)
		return true;
	json_array_foreach(m->from, i, name)
		if (!strcmp(json_string_value(name), port))
			return true;
	return false;
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
