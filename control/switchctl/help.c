#include "control/switchctl/help.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/switchctl/doc.h"

/* Width of the first column of all lists. */
#define NAME_WIDTH 24

void help_usage(FILE *out)
{
	fputs("usage: switchctl [-s SOCKET] [-j] OBJECT VERB [NAME] "
	      "[key=value ...]\n"
	      "       switchctl help [OBJECT [VERB]]\n"
	      "       switchctl completion bash|zsh\n"
	      "  -s SOCKET  control socket of the daemon\n"
	      "  -j         print results as JSON, one a line\n"
	      "  -h         this help\n"
	      "  -V         version\n",
	      out);
}

static void words_write(FILE *out, const json_t *words)
{
	json_t *word;
	size_t i;

	json_array_foreach(words, i, word)
		fprintf(out, "%s%s", i ? "|" : "", json_string_value(word));
}

/* What a value looks like on the command line. */
static void value_write(FILE *out, const json_t *param)
{
	const json_t *schema = json_object_get(param, "schema");
	const json_t *words = json_object_get(schema, "enum");
	const json_t *min = json_object_get(schema, "minimum");
	const json_t *max = json_object_get(schema, "maximum");
	const char *type = doc_type(param);

	if (words)
		words_write(out, words);
	else if (min && max)
		fprintf(out, "%" JSON_INTEGER_FORMAT "..%" JSON_INTEGER_FORMAT,
			json_integer_value(min), json_integer_value(max));
	else if (!strcmp(type, "boolean"))
		fputs("yes|no", out);
	else if (!strcmp(type, "integer"))
		fputs("N", out);
	else if (!strcmp(type, "array"))
		fputs("A,B,...", out);
	else if (!strcmp(type, "object"))
		fputs("{JSON}", out);
	else
		fputs("TEXT", out);
}

static void param_write(FILE *out, const json_t *param)
{
	char *text = NULL;
	size_t size;
	FILE *left = open_memstream(&text, &size);

	if (!left)
		abort();
	fprintf(left, "%s=", doc_text(param, "name"));
	value_write(left, param);
	if (fclose(left))
		abort();
	/* A long value stands on a line of its own. */
	if (strlen(text) >= NAME_WIDTH)
		fprintf(out, "  %s\n  %*s", text, NAME_WIDTH, "");
	else
		fprintf(out, "  %-*s", NAME_WIDTH, text);
	fprintf(out, "%s%s\n", doc_text(param, "summary"),
		json_is_true(json_object_get(param, "required")) ? " (required)"
								 : "");
	free(text);
}

static void method_write(FILE *out, const json_t *method)
{
	const json_t *params = json_object_get(method, "params");
	const char *name = doc_text(method, "name"), *dot = strchr(name, '.');
	const char *result =
		doc_text(json_object_get(method, "result"), "summary");
	json_t *param;
	size_t i;

	fprintf(out, "switchctl %.*s %s%s%s\n",
		dot ? (int)(dot - name) : (int)strlen(name), name,
		dot ? dot + 1 : "", doc_positional(method) ? " NAME" : "",
		json_array_size(params) ? " [key=value ...]" : "");
	fprintf(out, "  %s\n", doc_text(method, "summary"));
	if (doc_positional(method))
		fprintf(out, "  NAME is the parameter %s\n",
			doc_positional(method));
	if (*result)
		fprintf(out, "  returns %s\n", result);
	if (json_array_size(params))
		fputs("\nparameters:\n", out);
	json_array_foreach(params, i, param)
		param_write(out, param);
}

/* The methods of one object; returns how many there are. */
static int object_write(FILE *out, const json_t *doc, const char *object)
{
	json_t *method;
	size_t i;
	int n = 0;

	json_array_foreach(json_object_get(doc, "methods"), i, method) {
		const char *verb = doc_verb(method, object);
		int used;

		if (!verb)
			continue;
		used = fprintf(out, "  %s %s", object, verb);
		fprintf(out, "%*s%s\n",
			used < NAME_WIDTH ? NAME_WIDTH - used : 1, "",
			doc_text(method, "summary"));
		n++;
	}
	return n;
}

int help_write(FILE *out, const json_t *doc, const char *object,
	       const char *verb)
{
	json_t *objects, *name, *method;
	size_t i;

	if (verb) {
		method = doc_method(doc, object, verb);
		if (!method)
			return -ENOENT;
		method_write(out, method);
		return 0;
	}
	if (object)
		return object_write(out, doc, object) ? 0 : -ENOENT;
	help_usage(out);
	fputs("\nobjects and verbs (more: switchctl help OBJECT VERB):\n", out);
	objects = doc_objects(doc);
	json_array_foreach(objects, i, name)
		object_write(out, doc, json_string_value(name));
	json_decref(objects);
	return 0;
}
