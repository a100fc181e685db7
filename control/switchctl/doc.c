#include "control/switchctl/doc.h"

#include <string.h>

const char *doc_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

const char *doc_verb(const json_t *method, const char *object)
{
	const char *name = doc_text(method, "name");
	size_t len = strlen(object);

	if (strncmp(name, object, len) || name[len] != '.')
		return NULL;
	return name + len + 1;
}

json_t *doc_object(const json_t *method)
{
	const char *name = doc_text(method, "name");
	const char *dot = strchr(name, '.');

	return dot ? json_stringn(name, (size_t)(dot - name)) : NULL;
}

json_t *doc_method(const json_t *doc, const char *object, const char *verb)
{
	json_t *method;
	size_t i;

	json_array_foreach(json_object_get(doc, "methods"), i, method) {
		const char *found = doc_verb(method, object);

		if (found && !strcmp(found, verb))
			return method;
	}
	return NULL;
}

bool doc_has_object(const json_t *doc, const char *object)
{
	json_t *method;
	size_t i;

	json_array_foreach(json_object_get(doc, "methods"), i, method)
		if (doc_verb(method, object))
			return true;
	return false;
}

static bool has(const json_t *array, const json_t *value)
{
	json_t *element;
	size_t i;

	json_array_foreach(array, i, element)
		if (json_equal(element, value))
			return true;
	return false;
}

json_t *doc_objects(const json_t *doc)
{
	json_t *objects = json_array(), *method;
	size_t i;

	json_array_foreach(json_object_get(doc, "methods"), i, method) {
		json_t *object = doc_object(method);

		if (object && !has(objects, object))
			json_array_append(objects, object);
		json_decref(object);
	}
	return objects;
}

json_t *doc_param(const json_t *method, const char *name)
{
	json_t *param;
	size_t i;

	json_array_foreach(json_object_get(method, "params"), i, param)
		if (!strcmp(doc_text(param, "name"), name))
			return param;
	return NULL;
}

const char *doc_type(const json_t *param)
{
	return doc_text(json_object_get(param, "schema"), "type");
}

const char *doc_positional(const json_t *method)
{
	return json_string_value(json_object_get(method, "x-positional"));
}
