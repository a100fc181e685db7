/*
 * The ports of a configuration: brought, and brought back. See
 * config_internal.h.
 *
 * Every step that was taken is put on an undo list; when a later one is
 * refused, the list is walked backwards. A detach can be taken back as long as
 * no snapshot without the port was published, so whatever needs such a
 * snapshot, because it takes over a name or a device, comes last.
 */
#include "base/log.h"
#include "switchd/config_internal.h"
#include "switchd/listener.h"

#include <errno.h>
#include <stdlib.h>

enum step_kind { STEP_ATTACHED, STEP_DETACHED, STEP_CHANGED, STEP_ADOPTED };

struct config_step {
	enum step_kind kind;
	char name[PORT_NAME_MAX];
	uint32_t index, generation;
	json_t *params, *profiles; /* before; struct switch_port's */
	enum switch_origin origin;
	uid_t uid;
	bool given; /* a listener's, whose connection may be over for good */
};

static int step_add(struct config_apply *a, enum step_kind kind,
		    const struct switch_port *p)
{
	struct config_step *s;

	if (a->nsteps == a->room) {
		size_t room = a->room ? a->room * 2 : 64;

		s = realloc(a->step, room * sizeof(*s));
		if (!s)
			return config_no_memory(a);
		a->step = s;
		a->room = room;
	}
	s = &a->step[a->nsteps++];
	s->kind = kind;
	s->index = p->port->index;
	s->generation = p->port->generation;
	s->params = json_incref(p->params);
	s->profiles = json_incref(p->profiles);
	s->origin = p->origin;
	s->uid = p->uid;
	s->given = p->config.request.given;
	memcpy(s->name, p->config.request.name, sizeof(s->name));
	return 0;
}

const json_t *config_wanted_port(const struct config_apply *a,
				 const struct switch_port *p)
{
	return json_object_get(a->wanted, p->config.request.name);
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

/* A listener's port goes with it, or where its name is wanted. */
static bool given_stays(const struct config_apply *a,
			const struct switch_port *p)
{
	const struct listener *l = listener_find(a->sw, p->listener);

	return !config_wanted_port(a, p) &&
	       (!l ||
		listener_stays(l, json_object_get(a->config, "listeners")));
}

/* Detach what isn't wanted any more, or wants another device. */
int config_ports_detach(struct config_apply *a)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(a->sw, p))) {
		const json_t *w = config_wanted_port(a, p);
		struct port_config c;
		const char *why = "unconfigured";

		if (*p->listener ? given_stays(a, p)
				 : !w && p->origin != SWITCH_ORIGIN_CONFIG)
			continue;
		if (w && !*p->listener) {
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

/* Is it what the configuration says, word for word, and its profile, too? */
static bool port_is(struct sw *sw, const struct switch_port *p, const json_t *w,
		    const struct port_config *c)
{
	const char *profile = p->config.profile;
	json_t *params = json_copy((json_t *)w);
	bool same;

	json_object_del(params, "name");
	same = portconf_same(c, &p->config) && json_equal(params, p->params) &&
	       (!*profile ||
		json_equal(json_object_get(p->profiles, profile),
			   json_object_get(sw->profiles, profile)));
	json_decref(params);
	return same;
}

static int port_change(struct config_apply *a, struct switch_port *p,
		       const json_t *w)
{
	json_t *difference;
	struct port_config c;
	int r;

	if (portconf_parse(p->config.request.name, w, a->sw->profiles, &c,
			   a->err) < 0)
		return -EINVAL;
	if (port_is(a->sw, p, w, &c)) {
		if (p->origin != SWITCH_ORIGIN_CONFIG &&
		    step_add(a, STEP_ADOPTED, p) < 0)
			return -ENOMEM;
		switch_port_origin(a->sw, p, SWITCH_ORIGIN_CONFIG);
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
	switch_port_origin(a->sw, p, SWITCH_ORIGIN_CONFIG);
	a->changes.changed++;
	return 0;
}

static int port_attach(struct config_apply *a, const char *name, json_t *w)
{
	struct switch_port *p =
		switch_attach(a->sw, name, w, SWITCH_ORIGIN_CONFIG, 0, a->err);
	int r;

	if (!p)
		return a->err->err ? -a->err->err : -EIO;
	r = step_add(a, STEP_ATTACHED, p);
	if (r < 0) /* it isn't on the list: nobody else will */
		switch_detach(a->sw, p, "rolled-back");
	else
		a->changes.attached++;
	return r;
}

/* Has the port to wait for others to be gone? */
static bool must_wait(const struct config_apply *a, const char *name,
		      const json_t *w)
{
	struct port_config c;
	struct error ignored;

	return a->changes.detached &&
	       portconf_parse(name, w, a->sw->profiles, &c, &ignored) == 0 &&
	       switch_attach_settles(a->sw, &c.request);
}

static int port_bring(struct config_apply *a, size_t i, bool late)
{
	const json_t *list = json_object_get(a->config, "ports");
	json_t *w = json_array_get(list, i);
	const char *name = rpc_get_string(w, "name", "");
	struct switch_port *p = switch_port_find(a->sw, name);
	char at[32];
	int r;

	if (p)
		r = port_change(a, p, w);
	else if (late || !must_wait(a, name, w))
		r = port_attach(a, name, w);
	else
		return json_array_append_new(a->later,
					     json_integer((json_int_t)i)) < 0
			       ? config_no_memory(a)
			       : 0;
	if (r < 0) {
		snprintf(at, sizeof(at), "ports[%zu]", i);
		error_prefix(a->err, at);
	}
	return r;
}

int config_ports_bring(struct config_apply *a)
{
	size_t n = json_array_size(json_object_get(a->config, "ports")), i;
	json_t *index;
	int r = 0;

	for (i = 0; r == 0 && i < n; i++)
		r = port_bring(a, i, false);
	if (r < 0)
		return r;
	json_array_foreach(a->later, i, index) {
		r = port_bring(a, (size_t)json_integer_value(index), true);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a listener's port should have: its guest may have said what it is. A new
 * reference. */
static json_t *given_params(const struct switch_port *p, json_t *common)
{
	json_t *said = json_object_get(p->params, "description");
	json_t *params = json_copy(common);

	if (said && !json_object_get(common, "description"))
		json_object_set(params, "description", said);
	return params;
}

static int given_change(struct config_apply *a, struct switch_port *p,
			json_t *want)
{
	json_t *difference;
	struct port_config c;
	int r = portconf_parse_given(p->config.request.name,
				     p->config.request.type, want,
				     a->sw->profiles, &c, a->err);

	if (r < 0 || port_is(a->sw, p, want, &c))
		return r;
	if (step_add(a, STEP_CHANGED, p) < 0)
		return -ENOMEM;
	difference = params_difference(p->params, want);
	r = switch_port_set(a->sw, p, difference, a->err);
	json_decref(difference);
	a->changes.changed += r == 0;
	return r;
}

/* Ports of the configuration's listeners: as those say now. */
int config_ports_given(struct config_apply *a, struct switch_port *p)
{
	const struct listener *l = listener_find(a->sw, p->listener);
	json_t *want;
	int r;

	if (!l || !listener_is_configured(l))
		return 0;
	want = given_params(p, listener_common(l));
	r = want ? given_change(a, p, want) : config_no_memory(a);
	json_decref(want);
	if (r < 0)
		error_prefix(a->err, "listeners");
	return r;
}

/* ---- Backward ---- */

static int change_undo(struct config_apply *a, struct switch_port *p,
		       const struct config_step *s, struct error *err)
{
	json_t *difference = params_difference(p->params, s->params);
	int r = switch_port_set(a->sw, p, difference, err);

	json_decref(difference);
	switch_port_origin(a->sw, p, s->origin);
	return r;
}

static void step_undo(struct config_apply *a, const struct config_step *s)
{
	struct switch_port *p = switch_port_find(a->sw, s->name);
	struct error err = { .message = "its connection is over" };
	bool failed = false;

	/* It may have kept what a profile was even before. */
	switch_profiles_set(a->sw, s->profiles);
	switch (s->kind) {
	case STEP_ATTACHED:
		if (p)
			switch_detach(a->sw, p, "rolled-back");
		break;
	case STEP_DETACHED:
		failed = !switch_undetach(a->sw, s->index, s->generation) &&
			 !s->given &&
			 !switch_attach(a->sw, s->name, s->params, s->origin,
					s->uid, &err);
		break;
	case STEP_CHANGED:
		/* Its device may have gone while others settled. */
		failed = p && change_undo(a, p, s, &err) < 0;
		break;
	case STEP_ADOPTED:
		if (p)
			switch_port_origin(a->sw, p, s->origin);
		break;
	}
	if (failed)
		log_err("config", "can't bring back port %s: %s", s->name,
			err.message);
}

void config_ports_undo(struct config_apply *a)
{
	for (size_t i = a->nsteps; i--;)
		step_undo(a, &a->step[i]);
}

void config_ports_fini(struct config_apply *a)
{
	for (size_t i = 0; i < a->nsteps; i++) {
		json_decref(a->step[i].params);
		json_decref(a->step[i].profiles);
	}
	free(a->step);
}

/* ---- Those whose device is missing ---- */

/* Ports whose device has vanished and that nobody wants any more. */
static void forget_missing(struct config_apply *a)
{
	const char *name;
	json_t *m;
	void *next;

	json_object_foreach_safe(a->sw->missing, next, name, m)
	{
		if (json_is_true(json_object_get(m, "configured")) &&
		    !json_object_get(a->wanted, name))
			switch_missing_forget(a->sw, name);
	}
}

/* Those by hand aren't the configuration's, but their device may be back. */
static void bring_missing(struct config_apply *a)
{
	const char *name;
	json_t *m;
	void *next;

	json_object_foreach_safe(a->sw->missing, next, name, m)
	{
		struct error why = { 0 };
		json_t *params;

		if (json_is_true(json_object_get(m, "configured")))
			continue;
		/* What is attached goes from the list that it's in. */
		params = json_incref(json_object_get(m, "params"));
		if (switch_attach(a->sw, name, params, SWITCH_ORIGIN_CONTROL,
				  (uid_t)rpc_get_int(m, "uid", 0), &why))
			a->changes.attached++;
		else
			log_notice("port", "%s: %s", name, why.message);
		json_decref(params);
	}
}

void config_ports_missing(struct config_apply *a)
{
	forget_missing(a);
	bring_missing(a);
}
