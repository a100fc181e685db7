#include "control/libvirt/converge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What belongs to the device: port.set refuses it. */
static const char *const fixed[] = { "type",  "ifname", "path",
				     "owner", "role",	"queues" };

#define NFIXED (sizeof(fixed) / sizeof(fixed[0]))

int actual_add(struct actual *a, const char *name, json_t *params)
{
	struct actual_port *p = realloc(a->port, (a->n + 1) * sizeof(*p));

	if (!p) {
		json_decref(params);
		return -ENOMEM;
	}
	a->port = p;
	p += a->n++;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->params = params;
	return 0;
}

void actual_clear(struct actual *a)
{
	for (size_t i = 0; i < a->n; i++)
		json_decref(a->port[i].params);
	free(a->port);
	*a = (struct actual){ 0 };
}

static int plan_add(struct plan *plan, enum action_kind kind, const char *name,
		    json_t *params)
{
	struct action *act =
		realloc(plan->action, (plan->n + 1) * sizeof(*act));

	if (!act) {
		json_decref(params);
		return -ENOMEM;
	}
	plan->action = act;
	act += plan->n++;
	act->kind = kind;
	snprintf(act->name, sizeof(act->name), "%s", name);
	act->params = params;
	return 0;
}

void plan_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		json_decref(plan->action[i].params);
	free(plan->action);
	*plan = (struct plan){ 0 };
}

const char *action_method(const struct action *action)
{
	switch (action->kind) {
	case ACTION_DETACH:
		return "port.detach";
	case ACTION_SET:
		return "port.set";
	default:
		return "port.attach";
	}
}

static bool is_fixed(const char *key)
{
	for (size_t i = 0; i < NFIXED; i++)
		if (!strcmp(key, fixed[i]))
			return true;
	return false;
}

/* Are the parameters of the device the same, so that port.set is enough? */
static bool same_fixed(const json_t *x, const json_t *y)
{
	for (size_t i = 0; i < NFIXED; i++) {
		const json_t *a = json_object_get(x, fixed[i]);
		const json_t *b = json_object_get(y, fixed[i]);

		if (a != b && !json_equal(a, b))
			return false;
	}
	return true;
}

/* What port.set makes `want` of `have` by; an empty object: nothing. */
static json_t *changes(json_t *want, json_t *have)
{
	json_t *o = json_object(), *value;
	const char *key;

	json_object_foreach(want, key, value)
		if (!is_fixed(key) &&
		    !json_equal(value, json_object_get(have, key)))
			json_object_set(o, key, value);
	json_object_foreach(have, key, value)
		if (!is_fixed(key) && !json_object_get(want, key))
			json_object_set_new(o, key, json_null());
	return o;
}

/*
 * Which wanted port each actual one is: by the device first, whatever it is
 * called; else by the name. match[i] is an index or w->n: none.
 */
static void find_matches(const struct wanted *w, const struct actual *a,
			 size_t *match, bool *taken)
{
	for (size_t i = 0; i < a->n; i++) {
		match[i] = w->n;
		for (size_t j = 0; j < w->n && match[i] == w->n; j++)
			if (!taken[j] && w->port[j].params &&
			    wanted_same_device(w->port[j].params,
					       a->port[i].params))
				match[i] = j;
		if (match[i] < w->n)
			taken[match[i]] = true;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (match[i] < w->n)
			continue;
		for (size_t j = 0; j < w->n && match[i] == w->n; j++)
			if (!taken[j] &&
			    !strcmp(w->port[j].name, a->port[i].name))
				match[i] = j;
		if (match[i] < w->n)
			taken[match[i]] = true;
	}
}

/* What is in the way of others goes first. */
static int plan_detach(const struct wanted *w, const struct actual *a,
		       const size_t *match, bool *taken, bool complete,
		       struct plan *plan)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct wanted_port *want =
			match[i] < w->n ? &w->port[match[i]] : NULL;
		int r;

		if (want ? !want->params ||
				    same_fixed(want->params, a->port[i].params)
			 : !complete)
			continue;
		r = plan_add(plan, ACTION_DETACH, a->port[i].name, NULL);
		if (r < 0)
			return r;
		if (want)
			taken[match[i]] = false; /* attached anew */
	}
	return 0;
}

static int plan_set(const struct wanted *w, const struct actual *a,
		    const size_t *match, const bool *taken, struct plan *plan)
{
	for (size_t i = 0; i < a->n; i++) {
		json_t *o;
		int r = 0;

		if (match[i] == w->n || !taken[match[i]] ||
		    !w->port[match[i]].params)
			continue;
		o = changes(w->port[match[i]].params, a->port[i].params);
		if (json_object_size(o))
			r = plan_add(plan, ACTION_SET, a->port[i].name, o);
		else
			json_decref(o);
		if (r < 0)
			return r;
	}
	return 0;
}

int converge(const struct wanted *w, const struct actual *a, bool complete,
	     struct plan *plan)
{
	size_t *match = calloc(a->n + 1, sizeof(*match));
	bool *taken = calloc(w->n + 1, sizeof(*taken));
	int r = -ENOMEM;

	if (!match || !taken)
		goto out;
	find_matches(w, a, match, taken);
	r = plan_detach(w, a, match, taken, complete, plan);
	if (r == 0)
		r = plan_set(w, a, match, taken, plan);
	for (size_t j = 0; j < w->n && r == 0; j++)
		if (!taken[j] && w->port[j].params)
			r = plan_add(plan, ACTION_ATTACH, w->port[j].name,
				     json_incref(w->port[j].params));
out:
	free(match);
	free(taken);
	return r;
}
