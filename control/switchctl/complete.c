#include "control/switchctl/complete.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/switchctl/doc.h"
#include "control/switchctl/render.h"

/*
 * bash splits words at '=' (COMP_WORDBREAKS) and would complete what is behind
 * it alone: the line is split at blanks again, and what stands before the last
 * break is taken off the candidates.
 */
static const char script_bash[] =
	"# bash completion for switchctl(8)\n"
	"_switchctl()\n"
	"{\n"
	"	local line=${COMP_LINE:0:COMP_POINT} cur word words\n"
	"	read -ra words <<<\"$line\"\n"
	"	[[ $line == *[[:blank:]] ]] && words+=('')\n"
	"	cur=${words[-1]}\n"
	"	COMPREPLY=()\n"
	"	while IFS= read -r word; do\n"
	"		[[ $word == \"$cur\"* ]] || continue\n"
	"		if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then\n"
	"			word=${word#\"${cur%%=*}=\"}\n"
	"		fi\n"
	"		[[ $word == *= ]] && compopt -o nospace\n"
	"		COMPREPLY+=(\"$word\")\n"
	"	done < <(\"${words[0]}\" __complete \"${words[@]:1}\" "
	"2>/dev/null)\n"
	"}\n"
	"complete -F _switchctl switchctl\n";

static const char script_zsh[] =
	"#compdef switchctl\n"
	"_switchctl()\n"
	"{\n"
	"	local -a all\n"
	"	all=(\"${(@f)$(\"${words[1]}\" __complete "
	"\"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	"	compadd -S '' -- ${(M)all:#*=}\n"
	"	compadd -- ${all:#*=}\n"
	"}\n"
	"compdef _switchctl switchctl\n";

const char *complete_script(const char *shell)
{
	if (!strcmp(shell, "bash"))
		return script_bash;
	if (!strcmp(shell, "zsh"))
		return script_zsh;
	return NULL;
}

struct completion {
	FILE *out;
	const json_t *doc;
	const char *word; /* what there is of it */
	complete_call_fn *call;
	void *arg;
};

static void candidate(const struct completion *c, const char *before,
		      const char *text, const char *after)
{
	size_t len = strlen(before);

	if (strncmp(c->word, before, len)
		    ? strncmp(before, c->word, strlen(c->word))
		    : strncmp(text, c->word + len, strlen(c->word + len)))
		return;
	fprintf(c->out, "%s", before);
	render_text(c->out, text);
	fprintf(c->out, "%s\n", after);
}

/* "METHOD:ARRAY.FIELD": the fields of the objects in the array of a result. */
static void live_values(const struct completion *c, const char *where,
			const char *before)
{
	char *copy = strdup(where), *array, *field;
	json_t *result, *row;
	size_t i;

	if (!copy || !c->call)
		goto out;
	array = strchr(copy, ':');
	field = array ? strchr(array, '.') : NULL;
	if (!field)
		goto out;
	*array++ = '\0';
	*field++ = '\0';
	result = c->call(copy, c->arg);
	json_array_foreach(json_object_get(result, array), i, row) {
		const char *value =
			json_string_value(json_object_get(row, field));

		if (value)
			candidate(c, before, value, "");
	}
	json_decref(result);
out:
	free(copy);
}

/* Values of a parameter, each behind the text `before`. */
static void values(const struct completion *c, const json_t *param,
		   const char *before)
{
	const json_t *words =
		json_object_get(json_object_get(param, "schema"), "enum");
	const char *live =
		json_string_value(json_object_get(param, "x-completion"));
	json_t *word;
	size_t i;

	json_array_foreach(words, i, word)
		candidate(c, before, json_string_value(word), "");
	if (!strcmp(doc_type(param), "boolean")) {
		candidate(c, before, "yes", "");
		candidate(c, before, "no", "");
	}
	if (live)
		live_values(c, live, before);
}

/* Behind "key=", or behind the last comma of a list. */
static void after_equals(const struct completion *c, const json_t *method)
{
	const char *equals = strchr(c->word, '=');
	const char *comma = strrchr(c->word, ',');
	char *key = strndup(c->word, (size_t)(equals - c->word)), *before;
	const json_t *param = key ? doc_param(method, key) : NULL;

	if (!comma || comma < equals || strcmp(doc_type(param), "array"))
		comma = equals;
	before = strndup(c->word, (size_t)(comma + 1 - c->word));
	if (param && before)
		values(c, param, before);
	free(before);
	free(key);
}

/* Is the parameter among the words already? */
static bool given(const json_t *method, const char *name, int n,
		  const char *const *words)
{
	const char *positional = doc_positional(method);
	size_t len = strlen(name);
	int i;

	for (i = 0; i < n; i++) {
		if (!strncmp(words[i], name, len) && words[i][len] == '=')
			return true;
		if (!strchr(words[i], '=') && positional &&
		    !strcmp(positional, name))
			return true;
	}
	return false;
}

/* The words behind OBJECT VERB, without the last. */
static void parameters(const struct completion *c, const json_t *method, int n,
		       const char *const *words)
{
	const char *positional = doc_positional(method);
	json_t *param;
	size_t i;

	if (strchr(c->word, '=')) {
		after_equals(c, method);
		return;
	}
	if (positional && !given(method, positional, n, words))
		values(c, doc_param(method, positional), "");
	json_array_foreach(json_object_get(method, "params"), i, param) {
		const char *name =
			json_string_value(json_object_get(param, "name"));

		if (!given(method, name, n, words))
			candidate(c, "", name, "=");
	}
}

static void objects(const struct completion *c, bool own)
{
	json_t *all = doc_objects(c->doc), *object;
	size_t i;

	json_array_foreach(all, i, object)
		candidate(c, "", json_string_value(object), "");
	json_decref(all);
	if (own) {
		candidate(c, "", "help", "");
		candidate(c, "", "completion", "");
	}
}

static void verbs(const struct completion *c, const char *object)
{
	json_t *method;
	size_t i;

	json_array_foreach(json_object_get(c->doc, "methods"), i, method) {
		const char *verb = doc_verb(method, object);

		if (verb)
			candidate(c, "", verb, "");
	}
}

void complete_write(FILE *out, const json_t *doc, int n,
		    const char *const *words, complete_call_fn *call, void *arg)
{
	struct completion c = {
		.out = out, .doc = doc, .call = call, .arg = arg
	};
	const json_t *method;

	if (n < 1)
		return;
	c.word = words[n - 1];
	if (n == 1) {
		objects(&c, true);
	} else if (!strcmp(words[0], "completion")) {
		candidate(&c, "", "bash", "");
		candidate(&c, "", "zsh", "");
	} else if (!strcmp(words[0], "help")) {
		if (n == 2)
			objects(&c, false);
		else if (n == 3)
			verbs(&c, words[1]);
	} else if (n == 2) {
		verbs(&c, words[0]);
	} else {
		method = doc_method(doc, words[0], words[1]);
		if (method)
			parameters(&c, method, n - 3, words + 2);
	}
}
