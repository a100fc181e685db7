#include "control/switchctl/params.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/switchctl/doc.h"

static json_t *bool_value(const char *text)
{
	static const char *const words[][2] = { { "yes", "no" },
						{ "true", "false" },
						{ "on", "off" } };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!strcmp(text, words[i][0]))
			return json_true();
		if (!strcmp(text, words[i][1]))
			return json_false();
	}
	return NULL;
}

static json_t *int_value(const char *text)
{
	long long n;
	char *end;

	/* strtoll() would skip blanks and take "". */
	if (!strchr("+-0123456789", *text) || !*text)
		return NULL;
	errno = 0;
	n = strtoll(text, &end, 10);
	return errno || *end ? NULL : json_integer(n);
}

static json_t *list_value(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t len = strcspn(text, ",");

		if (json_array_append_new(list, json_stringn(text, len))) {
			json_decref(list);
			return NULL;
		}
		text += len;
		text += *text == ',';
	}
	return list;
}

static json_t *object_value(const char *text)
{
	json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

static json_t *convert(const char *type, const char *text, const char **want)
{
	if (!strcmp(type, "boolean")) {
		*want = "yes or no";
		return bool_value(text);
	}
	if (!strcmp(type, "integer")) {
		*want = "a whole number";
		return int_value(text);
	}
	if (!strcmp(type, "array")) {
		*want = "a list with commas, in UTF-8";
		return list_value(text);
	}
	if (!strcmp(type, "object")) {
		*want = "a JSON object";
		return object_value(text);
	}
	*want = "text in UTF-8";
	return json_string(text);
}

static int param_set(json_t *params, const json_t *method, const char *key,
		     const char *text, struct error *e)
{
	const json_t *param = doc_param(method, key);
	const char *want;
	json_t *value;

	if (!param && !json_is_true(json_object_get(method, "x-open-params")))
		return error_set(e, EINVAL, "unknown-parameter", key,
				 "there is no parameter '%s'", key);
	if (json_object_get(params, key))
		return error_set(e, EINVAL, "given-twice", key,
				 "'%s' is given twice", key);
	if (!*text && json_is_true(json_object_get(method, "x-nulls"))) {
		want = "set or left empty";
		value = json_null(); /* KEY= takes the parameter back */
	} else {
		value = convert(doc_type(param), text, &want);
	}
	if (!value || json_object_set_new(params, key, value))
		return error_set(e, EINVAL, "wrong-type", key,
				 "'%s' must be %s, not '%s'", key, want, text);
	return 0;
}

static int word_set(json_t *params, const json_t *method, const char *word,
		    struct error *e)
{
	const char *equals = strchr(word, '=');
	const char *name = doc_positional(method);
	char *key;
	int err;

	if (!equals && !name)
		return error_set(e, EINVAL, "no-name", NULL,
				 "takes no name: what is '%s'?", word);
	if (!equals && json_object_get(params, name))
		return error_set(e, EINVAL, "given-twice", name,
				 "what is '%s'? A parameter is written as "
				 "KEY=VALUE",
				 word);
	if (!equals)
		return param_set(params, method, name, word, e);
	key = strndup(word, (size_t)(equals - word));
	if (!key)
		return error_set(e, ENOMEM, "no-memory", NULL, "out of memory");
	err = param_set(params, method, key, equals + 1, e);
	free(key);
	return err;
}

json_t *params_from_words(const json_t *method, int n, const char *const *words,
			  struct error *e)
{
	json_t *params = json_object();
	int i;

	for (i = 0; i < n; i++) {
		if (word_set(params, method, words[i], e)) {
			json_decref(params);
			return NULL;
		}
	}
	return params;
}
