#include "control/libvirt/wanted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS_MAX      23 /* bytes of a name that are the alias's */
#define UUID_DIGITS    8
#define DOMAIN_CUT_MAX (WANTED_NAME_MAX - 1 - 1 - ALIAS_MAX - 1 - UUID_DIGITS)

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz"
			    "0123456789._-";

static bool is_plain(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len > 0 && len <= max && strspn(text, plain) == len;
}

/* The same in the switch's alphabet, with what tells it from others. */
static void name_changed(char out[WANTED_NAME_MAX], const char *domain,
			 const char *uuid)
{
	size_t n = 0;

	for (; n < DOMAIN_CUT_MAX && domain[n]; n++)
		out[n] = domain[n];
	out[n] = '\0';
	for (char *p = out; *p; p++)
		if (!strchr(plain, *p))
			*p = '_';
	snprintf(out + n, WANTED_NAME_MAX - n, ":%.*s", UUID_DIGITS, uuid);
}

void wanted_name(char name[WANTED_NAME_MAX], const char *domain,
		 const char *uuid, const char *alias, const char *mac)
{
	const char *last = is_plain(alias, ALIAS_MAX) ? alias : mac;
	char first[WANTED_NAME_MAX];

	if (is_plain(domain, WANTED_NAME_MAX - 2 - ALIAS_MAX))
		snprintf(first, sizeof(first), "%s", domain);
	else
		name_changed(first, domain, uuid);
	snprintf(name, WANTED_NAME_MAX, "%.*s/%.*s",
		 WANTED_NAME_MAX - 2 - ALIAS_MAX, first, ALIAS_MAX, last);
}

static const char *text_of(const json_t *params, const char *key)
{
	const char *s = json_string_value(json_object_get(params, key));

	return s ? s : "";
}

bool wanted_same_device(const json_t *params, const json_t *others)
{
	static const char *const keys[] = { "type", "ifname", "path" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(text_of(params, keys[i]),
			   text_of(others, keys[i])) != 0)
			return false;
	return true;
}

const struct wanted_port *wanted_find(const struct wanted *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->port[i].name, name))
			return &w->port[i];
	return NULL;
}

static bool has_device(const struct wanted *w, const json_t *params)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->port[i].params &&
		    wanted_same_device(params, w->port[i].params))
			return true;
	return false;
}

int wanted_add(struct wanted *w, const char *name, json_t *params,
	       const char *problem)
{
	struct wanted_port *p;

	if (params && has_device(w, params)) {
		json_decref(params);
		return 0;
	}
	if (params && wanted_find(w, name)) {
		json_decref(params);
		params = NULL;
		problem = "another interface comes to the same name: give it "
			  "an alias of its own, such as <alias "
			  "name='ua-lan'/>";
	}
	p = realloc(w->port, (w->n + 1) * sizeof(*p));
	if (!p) {
		json_decref(params);
		return -ENOMEM;
	}
	w->port = p;
	p += w->n++;
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->params = params;
	if (!params)
		snprintf(p->problem, sizeof(p->problem), "%s", problem);
	return 0;
}

int wanted_add_all(struct wanted *w, const struct wanted *more, bool spare)
{
	for (size_t i = 0; i < more->n; i++) {
		const struct wanted_port *p = &more->port[i];
		int r;

		if (spare && wanted_find(w, p->name))
			continue;
		r = wanted_add(w, p->name, json_incref(p->params), p->problem);
		if (r < 0)
			return r;
	}
	return 0;
}

void wanted_clear(struct wanted *w)
{
	for (size_t i = 0; i < w->n; i++)
		json_decref(w->port[i].params);
	free(w->port);
	*w = (struct wanted){ 0 };
}
