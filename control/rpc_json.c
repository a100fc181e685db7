#include "control/rpc_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Is the nesting within bounds? Brackets in strings don't count. Text that
 * isn't JSON may be misjudged; the parser refuses it in any case, and its
 * recursion can't be deeper than what is counted here: it opens a level only
 * at a bracket outside a string that begins where ours begins.
 */
static bool depth_ok(const char *line, size_t len, unsigned int max_depth)
{
	bool string = false;
	unsigned int depth = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		char c = line[i];

		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > max_depth)
				return false;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return true;
}

json_t *rpc_json_parse(const char *line, size_t len, unsigned int max_depth,
		       struct error *e)
{
	json_error_t where;
	json_t *value;

	if (!depth_ok(line, len, max_depth)) {
		error_set(e, EINVAL, "too-deep", NULL,
			  "nested deeper than %u levels", max_depth);
		return NULL;
	}
	value = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
			   &where);
	if (!value)
		error_set(e, EINVAL, "parse-error", NULL, "%s, at byte %d",
			  where.text, where.position);
	return value;
}

char *rpc_json_line(const json_t *value, size_t *len)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	char *line;

	if (!text)
		return NULL;
	*len = strlen(text) + 1;
	line = realloc(text, *len + 1);
	if (!line) {
		free(text);
		return NULL;
	}
	line[*len - 1] = '\n';
	line[*len] = '\0';
	return line;
}
