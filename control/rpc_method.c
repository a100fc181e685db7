#include "control/rpc_method.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Keys come from a client: a message shows no more of them than this. */
#define KEY_SHOWN 48

const struct rpc_param *rpc_param_find(const struct rpc_param *params,
				       const char *name)
{
	for (; params && params->name; params++)
		if (!strcmp(params->name, name))
			return params;
	return NULL;
}

const struct rpc_method *rpc_method_find(const struct rpc_method *table,
					 const char *name)
{
	for (; table && table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

static const char *type_name(enum rpc_type type)
{
	switch (type) {
	case RPC_STRING:
	case RPC_ENUM:
		return "a string";
	case RPC_INT:
		return "an integer";
	case RPC_BOOL:
		return "true or false";
	case RPC_STRINGS:
		return "an array of strings";
	case RPC_OBJECT:
		return "an object";
	}
	return "something else";
}

static bool type_fits(enum rpc_type type, const json_t *value)
{
	switch (type) {
	case RPC_STRING:
	case RPC_ENUM:
		return json_is_string(value);
	case RPC_INT:
		return json_is_integer(value);
	case RPC_BOOL:
		return json_is_boolean(value);
	case RPC_STRINGS:
		return json_is_array(value);
	case RPC_OBJECT:
		return json_is_object(value);
	}
	return false;
}

static int wrong_type(const struct rpc_param *param, const char *path,
		      struct error *e)
{
	return error_set(e, EINVAL, "wrong-type", path, "%s must be %s", path,
			 type_name(param->type));
}

static int string_check(const struct rpc_param *param, const char *path,
			const json_t *value, struct error *e)
{
	if (!param->max_len || json_string_length(value) <= param->max_len)
		return 0;
	return error_set(e, EINVAL, "too-long", path,
			 "%s is longer than %zu bytes", path, param->max_len);
}

static int int_check(const struct rpc_param *param, const json_t *value,
		     struct error *e)
{
	json_int_t n = json_integer_value(value);

	if (!param->min && !param->max)
		return 0;
	if (n >= param->min && n <= param->max)
		return 0;
	return error_set(e, EINVAL, "out-of-range", param->name,
			 "%s must be from %" PRId64 " to %" PRId64, param->name,
			 param->min, param->max);
}

static int enum_check(const struct rpc_param *param, const json_t *value,
		      struct error *e)
{
	const char *const *word;
	char words[160] = "";
	size_t len = 0;

	for (word = param->values; word && *word; word++)
		if (!strcmp(*word, json_string_value(value)))
			return 0;
	for (word = param->values; word && *word; word++) {
		int n = snprintf(words + len, sizeof(words) - len, "%s%s",
				 len ? ", " : "", *word);

		if (n < 0 || len + (size_t)n >= sizeof(words))
			break;
		len += (size_t)n;
	}
	return error_set(e, EINVAL, "bad-value", param->name,
			 "%s must be one of: %s", param->name, words);
}

static int strings_check(const struct rpc_param *param, const json_t *value,
			 struct error *e)
{
	const json_t *element;
	char path[96];
	size_t i;

	if (param->max && json_array_size(value) > (size_t)param->max)
		return error_set(e, EINVAL, "too-long", param->name,
				 "%s has more than %" PRId64 " elements",
				 param->name, param->max);
	json_array_foreach(value, i, element) {
		int err;

		snprintf(path, sizeof(path), "%s[%zu]", param->name, i);
		if (!json_is_string(element))
			return error_set(e, EINVAL, "wrong-type", path,
					 "%s must be a string", path);
		err = string_check(param, path, element, e);
		if (err)
			return err;
	}
	return 0;
}

static int value_check(const struct rpc_param *param, const json_t *value,
		       struct error *e)
{
	if (!type_fits(param->type, value))
		return wrong_type(param, param->name, e);
	switch (param->type) {
	case RPC_STRING:
		return string_check(param, param->name, value, e);
	case RPC_INT:
		return int_check(param, value, e);
	case RPC_ENUM:
		return enum_check(param, value, e);
	case RPC_STRINGS:
		return strings_check(param, value, e);
	case RPC_BOOL:
	case RPC_OBJECT:
		break;
	}
	return 0;
}

/* What may pass beyond the table. */
struct leave {
	bool open;  /* other keys */
	bool nulls; /* null for what isn't required */
};

static int params_check(const struct rpc_param *params, const json_t *object,
			struct leave leave, struct error *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return error_set(e, EINVAL, "wrong-type", NULL,
				 "an object was expected");
	/* The macro drops const; nothing is changed through it. */
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		const struct rpc_param *param = rpc_param_find(params, key);
		int err;

		if (!param && leave.open)
			continue;
		if (!param)
			return error_set(e, EINVAL, "unknown-parameter", key,
					 "there is no parameter %.*s",
					 KEY_SHOWN, key);
		if (leave.nulls && json_is_null(value) && !param->required)
			continue;
		err = value_check(param, value, e);
		if (err)
			return err;
	}
	return 0;
}

int rpc_params_check_some(const struct rpc_param *params, const json_t *object,
			  bool open, struct error *e)
{
	struct leave leave = { .open = open };

	return params_check(params, object, leave, e);
}

static int required_check(const struct rpc_param *params, const json_t *object,
			  struct error *e)
{
	for (; params && params->name; params++)
		if (params->required && !json_object_get(object, params->name))
			return error_set(e, EINVAL, "missing-parameter",
					 params->name, "%s is missing",
					 params->name);
	return 0;
}

int rpc_params_check(const struct rpc_param *params, const json_t *object,
		     struct error *e)
{
	int err = rpc_params_check_some(params, object, false, e);

	return err ? err : required_check(params, object, e);
}

int rpc_method_check(const struct rpc_method *method, const json_t *object,
		     struct error *e)
{
	struct leave leave = { method->open_params, method->nulls };
	int err = params_check(method->params, object, leave, e);

	return err ? err : required_check(method->params, object, e);
}

const char *rpc_get_string(const json_t *params, const char *key,
			   const char *otherwise)
{
	const char *s = json_string_value(json_object_get(params, key));

	return s ? s : otherwise;
}

int64_t rpc_get_int(const json_t *params, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(params, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool rpc_get_bool(const json_t *params, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(params, key);

	return json_is_boolean(value) ? json_boolean_value(value) : otherwise;
}
