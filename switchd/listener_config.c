/* The listeners of a configuration. See listener.h. */
#include "switchd/listener.h"

#include "base/log.h"
#include "switchd/listener_internal.h"

#include <errno.h>
#include <stdio.h>

json_t *listeners_config(const struct sw *sw)
{
	const struct listener *l = NULL;
	json_t *list = json_array();

	while ((l = listener_next(sw, l))) {
		json_t *o = json_pack("{s:s}", "name", l->name);

		json_object_update(o, l->params);
		json_array_append_new(list, o);
	}
	return list;
}

void listeners_adopt(struct sw *sw)
{
	struct listener *l = NULL;

	while ((l = listener_next(sw, l)))
		listener_configured_set(sw, l, true);
}

void listeners_remember(struct sw *sw)
{
	const struct listener *l = NULL;

	while ((l = listener_next(sw, l)))
		listener_remember(sw, l);
}

/* ---- There ---- */

/* The element of that name, or NULL. */
static const json_t *wanted(const json_t *list, const char *name)
{
	json_t *o;
	size_t i;

	json_array_foreach(list, i, o)
		if (!strcmp(rpc_get_string(o, "name", ""), name))
			return o;
	return NULL;
}

bool listener_wanted(const struct listener *l, const json_t *list)
{
	return wanted(list, l->name) != NULL;
}

bool listener_stays(const struct listener *l, const json_t *list)
{
	const json_t *w = wanted(list, l->name);

	return w ? listener_same_socket(l, w) : !l->configured;
}

/* By slots, since they go while we look. */
void listeners_prune(struct sw *sw, const json_t *list)
{
	for (unsigned int i = 0; i < LISTENERS_MAX; i++) {
		struct listener *l = sw->listeners->l[i];

		if (l && !listener_stays(l, list))
			listener_close(sw, l,
				       wanted(list, l->name) ? "reconfigured"
							     : "unconfigured");
	}
}

static int bring(struct sw *sw, const json_t *w, struct error *err)
{
	const char *name = rpc_get_string(w, "name", "");
	struct listener *l = listener_find(sw, name);
	int r;

	if (!l)
		return listener_add(sw, name, w, SWITCH_ORIGIN_CONFIG, err);
	r = listener_change(sw, l, w, err);
	if (r == 0)
		listener_configured_set(sw, l, true);
	return r;
}

int listeners_bring(struct sw *sw, const json_t *list, struct error *err)
{
	json_t *w;
	size_t i;

	json_array_foreach(list, i, w) {
		char at[32];
		int r = bring(sw, w, err);

		if (r == 0)
			continue;
		snprintf(at, sizeof(at), "listeners[%zu]", i);
		error_prefix(err, at);
		return r;
	}
	return 0;
}

/* ---- And back ---- */

json_t *listeners_save(const struct sw *sw)
{
	json_t *saved = json_array();
	const struct listener *l = NULL;

	while (saved && (l = listener_next(sw, l))) {
		json_t *o = json_pack("{s:s,s:b,s:O}", "name", l->name,
				      "configured", l->configured, "params",
				      l->params);

		if (json_array_append_new(saved, o) < 0) {
			json_decref(saved);
			saved = NULL;
		}
	}
	return saved;
}

static int bring_back(struct sw *sw, const json_t *saved, struct error *err)
{
	const char *name = rpc_get_string(saved, "name", "");
	const json_t *params = json_object_get(saved, "params");
	bool configured = rpc_get_bool(saved, "configured", false);
	struct listener *l = listener_find(sw, name);
	int r;

	if (l)
		r = listener_change(sw, l, params, err);
	else
		r = listener_add(sw, name, params, SWITCH_ORIGIN_CONTROL, err);
	if (r == 0)
		listener_configured_set(sw, listener_find(sw, name),
					configured);
	return r;
}

void listeners_bring_back(struct sw *sw, const json_t *saved)
{
	json_t *s;
	size_t i;

	for (i = 0; i < LISTENERS_MAX; i++) {
		struct listener *l = sw->listeners->l[i];
		const json_t *was = l ? wanted(saved, l->name) : NULL;

		if (l && (!was || !listener_same_socket(
					  l, json_object_get(was, "params"))))
			listener_close(sw, l, "rolled-back");
	}
	json_array_foreach(saved, i, s) {
		struct error err = { 0 };

		if (bring_back(sw, s, &err) < 0)
			log_err("config", "can't bring back listener %s: %s",
				rpc_get_string(s, "name", ""), err.message);
	}
}
