/* rpc_discover() of rpc_method.h: a table as an OpenRPC document. */
#include "control/rpc_method.h"

#include <string.h>

/*
 * The version of the specification that the document follows,
 * https://spec.open-rpc.org/
 */
#define OPENRPC_VERSION "1.2.6"

static const struct rpc_method discover_method = {
	.name = "rpc.discover",
	.summary = "describe all methods",
	.result = "this OpenRPC document",
};

static json_t *enum_words(const char *const *values)
{
	json_t *words = json_array();

	for (; values && *values; values++)
		json_array_append_new(words, json_string(*values));
	return words;
}

static void set_int(json_t *schema, const char *key, int64_t n)
{
	json_object_set_new(schema, key, json_integer(n));
}

static void set_max_len(json_t *schema, const struct rpc_param *param)
{
	if (param->max_len)
		set_int(schema, "maxLength", (int64_t)param->max_len);
}

static json_t *param_schema(const struct rpc_param *param)
{
	json_t *schema = NULL, *items;

	switch (param->type) {
	case RPC_STRING:
		schema = json_pack("{s:s}", "type", "string");
		set_max_len(schema, param);
		break;
	case RPC_ENUM:
		schema = json_pack("{s:s, s:o}", "type", "string", "enum",
				   enum_words(param->values));
		break;
	case RPC_INT:
		schema = json_pack("{s:s}", "type", "integer");
		if (param->min || param->max) {
			set_int(schema, "minimum", param->min);
			set_int(schema, "maximum", param->max);
		}
		break;
	case RPC_BOOL:
		schema = json_pack("{s:s}", "type", "boolean");
		break;
	case RPC_STRINGS:
		items = json_pack("{s:s}", "type", "string");
		set_max_len(items, param);
		schema = json_pack("{s:s, s:o}", "type", "array", "items",
				   items);
		if (param->max)
			set_int(schema, "maxItems", param->max);
		break;
	case RPC_OBJECT:
		schema = json_pack("{s:s}", "type", "object");
		break;
	}
	return schema;
}

static json_t *param_descriptor(const struct rpc_param *param)
{
	json_t *descriptor = json_pack(
		"{s:s, s:s, s:b, s:o}", "name", param->name, "summary",
		param->summary ? param->summary : "", "required",
		param->required, "schema", param_schema(param));

	if (param->completion)
		json_object_set_new(descriptor, "x-completion",
				    json_string(param->completion));
	return descriptor;
}

static json_t *method_object(const struct rpc_method *method)
{
	const struct rpc_param *param;
	json_t *object, *params = json_array();

	for (param = method->params; param && param->name; param++)
		json_array_append_new(params, param_descriptor(param));
	object = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:s, s:{}}}", "name",
			   method->name, "summary",
			   method->summary ? method->summary : "",
			   "paramStructure", "by-name", "params", params,
			   "result", "name", "result", "summary",
			   method->result ? method->result : "", "schema");
	if (method->positional)
		json_object_set_new(object, "x-positional",
				    json_string(method->positional));
	if (method->access)
		json_object_set_new(object, "x-access",
				    json_string(method->access));
	if (method->nulls)
		json_object_set_new(object, "x-nulls", json_true());
	if (method->open_params)
		json_object_set_new(object, "x-open-params", json_true());
	return object;
}

json_t *rpc_discover(const struct rpc_method *table, const char *title,
		     const char *version)
{
	json_t *methods = json_array();
	bool own = false;

	for (; table && table->name; table++) {
		own |= !strcmp(table->name, discover_method.name);
		json_array_append_new(methods, method_object(table));
	}
	if (!own)
		json_array_append_new(methods, method_object(&discover_method));
	return json_pack("{s:s, s:{s:s, s:s}, s:o}", "openrpc", OPENRPC_VERSION,
			 "info", "title", title, "version", version, "methods",
			 methods);
}
