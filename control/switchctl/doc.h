/*
 * doc - reading the daemon's OpenRPC document
 *
 * The command line has no table of its own: which objects, verbs and
 * parameters there are is what rpc.discover says. Everything returned is
 * borrowed from the document. Threads: any.
 */
#ifndef CONTROL_SWITCHCTL_DOC_H
#define CONTROL_SWITCHCTL_DOC_H

#include <jansson.h>
#include <stdbool.h>

/* The text that `object` has under `key`; "" where it has none. */
const char *doc_text(const json_t *object, const char *key);

/* The description of OBJECT.VERB, or NULL. */
json_t *doc_method(const json_t *doc, const char *object, const char *verb);

/* The verb in "OBJECT.VERB" where the object is `object`; or NULL. */
const char *doc_verb(const json_t *method, const char *object);

/* The object of a method as a new JSON string; NULL for a name without '.'. */
json_t *doc_object(const json_t *method);

/* Is there a method of that object? */
bool doc_has_object(const json_t *doc, const char *object);

/* All objects in the order of the document, as a new array of strings. */
json_t *doc_objects(const json_t *doc);

/* The descriptor of a method's parameter, or NULL. */
json_t *doc_param(const json_t *method, const char *name);

/* The "type" of a parameter's schema; "" where it says none. */
const char *doc_type(const json_t *param);

/* The parameter that NAME fills, or NULL. */
const char *doc_positional(const json_t *method);

#endif
