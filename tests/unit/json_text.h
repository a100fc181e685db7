/*
 * json_text - JSON as tests write it: with ' in place of "
 */
#ifndef TESTS_UNIT_JSON_TEXT_H
#define TESTS_UNIT_JSON_TEXT_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A new reference; text that isn't JSON fails the test. */
static inline json_t *json(const char *text)
{
	char *copy = strdup(text);
	json_error_t bad;
	json_t *value;

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	value = json_loads(copy, JSON_REJECT_DUPLICATES, &bad);
	if (!value)
		print_error("%s at \"%s\"\n", bad.text, copy + bad.position);
	assert_non_null(value);
	free(copy);
	return value;
}

#endif
