/*
 * From the running switch to the wanted one, or back. See config.h.
 *
 * Every step that was taken is put on an undo list; when a later one is
 * refused, the list is walked backwards.
 */
#include "base/log.h"
#include "switchd/config.h"

#include <errno.h>
#include <stdlib.h>

enum step_kind { STEP_ATTACHED, STEP_DETACHED, STEP_CHANGED, STEP_ADOPTED };

struct step {
	enum step_kind kind;
	char name[PORT_NAME_MAX];
	json_t *params; /* before */
	enum switch_origin origin;
	uid_t uid;
};

struct apply {
	struct sw *sw;
	const json_t *config;
	struct step *step;
	size_t nsteps, room;
	struct switch_settings settings; /* before */
	json_t *profiles;		 /* before */
	struct config_changes changes;
	struct error *err;
};

static int step_add(struct apply *a, enum step_kind kind,
		    const struct switch_port *p)
{
	struct step *s;

	if (a->nsteps == a->room) {
		size_t room = a->room ? a->room * 2 : 64;

		s = realloc(a->step, room * sizeof(*s));
		if (!s)
			return error_set(a->err, ENOMEM, "no-memory", NULL,
					 "no memory");
		a->step = s;
		a->room = room;
	}
	s = &a->step[a->nsteps++];
	s->kind = kind;
	s->params = json_incref(p->params);
	s->origin = p->origin;
	s->uid = p->uid;
	memcpy(s->name, p->config.request.name, sizeof(s->name));
	return 0;
}

static const json_t *wanted_port(const json_t *config, const char *name)
{
	const json_t *list = json_object_get(config, "ports");
	const json_t *p;
	size_t i;

	json_array_foreach(list, i, p)
		if (!strcmp(rpc_get_string(p, "name", ""), name))
			return p;
	return NULL;
}

/* What port_set has to be told so that `from` becomes `to`. */
static json_t *params_difference(const json_t *from, const json_t *to)
{
	json_t *d = json_deep_copy(to), *value;
	const char *key;

	json_object_del(d, "name");
	json_object_foreach((json_t *)from, key, value)
		if (!json_object_get(to, key))
			json_object_set_new(d, key, json_null());
	return d;
}

/* ---- Forward ---- */

/* Detach what isn't wanted any more, or wants another device. */
static int detach_unwanted(struct apply *a)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(a->sw, p))) {
		const json_t *w =
			wanted_port(a->config, p->config.request.name);
		struct port_config c;
		const char *why = "unconfigured";

		if (!w && p->origin != SWITCH_ORIGIN_CONFIG)
			continue;
		if (w) {
			if (portconf_parse(p->config.request.name, w,
					   a->sw->profiles, &c, a->err) < 0)
				return -EINVAL;
			if (portconf_same_device(&c, &p->config))
				continue;
			why = "reconfigured";
		}
		if (step_add(a, STEP_DETACHED, p) < 0)
			return -ENOMEM;
		switch_detach(a->sw, p, why);
		a->changes.detached++;
	}
	return 0;
}

static int port_change(struct apply *a, struct switch_port *p, const json_t *w)
{
	json_t *difference;
	struct port_config c;
	int r;

	if (portconf_parse(p->config.request.name, w, a->sw->profiles, &c,
			   a->err) < 0)
		return -EINVAL;
	if (portconf_same(&c, &p->config)) {
		if (p->origin != SWITCH_ORIGIN_CONFIG &&
		    step_add(a, STEP_ADOPTED, p) < 0)
			return -ENOMEM;
		p->origin = SWITCH_ORIGIN_CONFIG;
		a->changes.unchanged++;
		return 0;
	}
	if (step_add(a, STEP_CHANGED, p) < 0)
		return -ENOMEM;
	difference = params_difference(p->params, w);
	r = switch_port_set(a->sw, p, difference, a->err);
	json_decref(difference);
	if (r < 0)
		return r;
	p->origin = SWITCH_ORIGIN_CONFIG;
	a->changes.changed++;
	return 0;
}

static int port_bring(struct apply *a, json_t *w)
{
	const char *name = rpc_get_string(w, "name", "");
	struct switch_port *p = switch_port_find(a->sw, name);

	if (p)
		return port_change(a, p, w);
	p = switch_attach(a->sw, name, w, SWITCH_ORIGIN_CONFIG, 0, a->err);
	if (!p)
		return a->err->err ? -a->err->err : -EIO;
	a->changes.attached++;
	return step_add(a, STEP_ATTACHED, p);
}

static int ports_bring(struct apply *a)
{
	const json_t *list = json_object_get(a->config, "ports");
	json_t *w;
	size_t i;

	json_array_foreach(list, i, w) {
		int r = port_bring(a, w);
		char at[32];

		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "ports[%zu]", i);
		error_prefix(a->err, at);
		return r;
	}
	return 0;
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
			r = switch_mirror_add(sw, name, m, err);
		if (r == 0) {
			switch_mirror_find(sw, name)->configured = true;
			continue;
		}
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

	json_array_foreach(list, i, e) {
		uint64_t mac = 0;
		char at[32];
		int r = mac_parse(rpc_get_string(e, "mac", ""), &mac);

		if (r == 0)
			r = switch_static_add(
				sw, mac, (uint16_t)rpc_get_int(e, "vlan", 1),
				rpc_get_string(e, "port", ""), err);
		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "fdb[%zu]", i);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

/* ---- Backward ---- */

static void step_undo(struct apply *a, const struct step *s)
{
	struct switch_port *p = switch_port_find(a->sw, s->name);
	struct error err = { 0 };
	json_t *difference;
	int r = 0;

	switch (s->kind) {
	case STEP_ATTACHED:
		if (p)
			switch_detach(a->sw, p, "rolled-back");
		break;
	case STEP_DETACHED:
		if (!switch_attach(a->sw, s->name, s->params, s->origin, s->uid,
				   &err))
			r = -1;
		break;
	case STEP_CHANGED:
		difference = params_difference(p->params, s->params);
		r = switch_port_set(a->sw, p, difference, &err);
		json_decref(difference);
		p->origin = s->origin;
		break;
	case STEP_ADOPTED:
		p->origin = s->origin;
		break;
	}
	if (r < 0)
		log_err("config", "can't bring back port %s: %s", s->name,
			err.message);
}

/* Mirrors and static entries as they were before: a small configuration. */
static json_t *mirrors_and_statics(struct sw *sw)
{
	json_t *mirrors = json_array(), *by_hand = json_array();

	for (unsigned int i = 0; i < sw->nmirrors; i++) {
		json_t *m = json_deep_copy(sw->mirror[i]->params);

		json_object_set_new(m, "name",
				    json_string(sw->mirror[i]->name));
		json_array_append_new(mirrors, m);
		if (!sw->mirror[i]->configured)
			json_array_append_new(by_hand,
					      json_string(sw->mirror[i]->name));
	}
	/* A copy: the list itself changes while this one is walked. */
	return json_pack("{s:o,s:o,s:o}", "mirrors", mirrors, "by-hand",
			 by_hand, "fdb", json_deep_copy(sw->statics));
}

static void apply_undo(struct apply *a, const json_t *before)
{
	struct error err = { 0 };
	json_t *name;
	size_t i;

	switch_settings_set(a->sw, &a->settings);
	switch_profiles_set(a->sw, a->profiles);
	for (i = a->nsteps; i--;)
		step_undo(a, &a->step[i]);
	if (mirrors_bring(a->sw, before, &err) < 0 ||
	    statics_bring(a->sw, before, &err) < 0)
		log_err("config", "can't bring back %s: %s", err.path,
			err.message);
	json_array_foreach(json_object_get(before, "by-hand"), i, name) {
		struct switch_mirror *m =
			switch_mirror_find(a->sw, json_string_value(name));

		if (m)
			m->configured = false;
	}
}

/* Static entries of the last configuration that this one lacks. */
static void statics_drop(struct sw *sw, const json_t *before,
			 const json_t *config)
{
	const json_t *old = json_object_get(before, "fdb");
	const json_t *list = json_object_get(config, "fdb");
	json_t *e;
	size_t i;

	if (!list) /* not mentioned: those set by hand stay */
		return;
	json_array_foreach(old, i, e) {
		uint64_t mac = 0;

		if (mac_parse(rpc_get_string(e, "mac", ""), &mac) == 0)
			switch_static_remove(
				sw, mac, (uint16_t)rpc_get_int(e, "vlan", 1));
	}
}

/* ---- The whole ---- */

static int apply_steps(struct apply *a, const json_t *before)
{
	const json_t *profiles = json_object_get(a->config, "profiles");
	struct switch_settings s = { .age_s = FDB_AGE_DEFAULT, .tpid = 0x8100 };
	json_t *p = profiles ? json_deep_copy(profiles) : json_object();
	int r = config_settings(json_object_get(a->config, "switch"), &s,
				a->err);

	if (r < 0 || !p) {
		json_decref(p);
		return r < 0 ? r : -ENOMEM;
	}
	switch_settings_set(a->sw, &s);
	switch_profiles_set(a->sw, p);
	json_decref(p);
	r = detach_unwanted(a);
	if (r == 0)
		r = ports_bring(a);
	if (r == 0)
		r = mirrors_bring(a->sw, a->config, a->err);
	if (r == 0)
		statics_drop(a->sw, before, a->config);
	if (r == 0)
		r = statics_bring(a->sw, a->config, a->err);
	return r;
}

int config_apply(struct sw *sw, const json_t *config,
		 struct config_changes *changes, struct error *err)
{
	struct apply a = { .sw = sw, .config = config, .err = err };
	json_t *before = mirrors_and_statics(sw);
	int r;

	a.settings = sw->settings;
	a.profiles = json_incref(sw->profiles);
	r = apply_steps(&a, before);
	if (r < 0)
		apply_undo(&a, before);
	else if (changes)
		*changes = a.changes;
	for (size_t i = 0; i < a.nsteps; i++)
		json_decref(a.step[i].params);
	free(a.step);
	json_decref(a.profiles);
	json_decref(before);
	return r;
}
