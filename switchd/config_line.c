/*
 * In which line does "ports[2].vlan" stand? jansson doesn't keep positions of
 * values, so this walks the text, which has been parsed before and is valid
 * JSON. See config.h.
 */
#include "switchd/config.h"

#include <stdlib.h>

static const char *skip_space(const char *p)
{
	while (*p && strchr(" \t\r\n", *p))
		p++;
	return p;
}

/* Past a string that begins at p. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

/* Past the value that begins at p. */
static const char *skip_value(const char *p)
{
	unsigned int depth = 0;

	do {
		p = skip_space(p);
		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		else if (depth == 0) { /* a number or a word */
			while (*p && !strchr(",]} \t\r\n", *p))
				p++;
			return p;
		}
		if (*p)
			p++;
	} while (*p && depth);
	return p;
}

/* The value of member `key` (length n) of the object at p, or NULL. */
static const char *find_member(const char *p, const char *key, size_t n)
{
	if (*p != '{')
		return NULL;
	p = skip_space(p + 1);
	while (*p == '"') {
		const char *name = p + 1, *end = skip_string(p);
		const char *value = skip_space(skip_space(end) + 1);

		if ((size_t)(end - 1 - name) == n && !strncmp(name, key, n))
			return value;
		p = skip_space(skip_value(value));
		if (*p == ',')
			p = skip_space(p + 1);
	}
	return NULL;
}

static const char *find_element(const char *p, unsigned long index)
{
	if (*p != '[')
		return NULL;
	p = skip_space(p + 1);
	while (index-- && *p && *p != ']') {
		p = skip_space(skip_value(p));
		if (*p == ',')
			p = skip_space(p + 1);
	}
	return *p && *p != ']' ? p : NULL;
}

unsigned int config_line(const char *text, const char *path)
{
	const char *p = skip_space(text), *found = p;
	unsigned int line = 1;

	while (p && *path) {
		if (*path == '[') {
			char *end;

			p = find_element(p, strtoul(path + 1, &end, 10));
			path = *end == ']' ? end + 1 : end;
		} else {
			size_t n = strcspn(path, ".[");

			p = find_member(p, path, n);
			path += n;
		}
		if (*path == '.')
			path++;
		/* A parameter that is missing: its object says where. */
		if (p)
			found = p;
	}
	for (p = text; p < found; p++)
		line += *p == '\n';
	return line;
}
