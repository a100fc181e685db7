/* The command line's pure parts: words to JSON, JSON to text, completion. */
#include "control/switchctl/params.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rpc_method.h"
#include "control/switchctl/complete.h"
#include "control/switchctl/doc.h"
#include "control/switchctl/help.h"
#include "control/switchctl/render.h"

static const char *const modes[] = { "access", "trunk", NULL };

static const struct rpc_param attach_params[] = {
	{ .name = "name",
	  .type = RPC_STRING,
	  .required = true,
	  .summary = "name of the port" },
	{ .name = "vlan",
	  .type = RPC_INT,
	  .min = 1,
	  .max = 4094,
	  .summary = "access VLAN" },
	{ .name = "mode",
	  .type = RPC_ENUM,
	  .values = modes,
	  .summary = "what happens to tags" },
	{ .name = "uplink", .type = RPC_BOOL, .summary = "leads out" },
	{ .name = "from",
	  .type = RPC_STRINGS,
	  .summary = "ports",
	  .completion = "port.list:ports.name" },
	{ .name = "extra", .type = RPC_OBJECT, .summary = "more" },
	{ 0 },
};

static const struct rpc_param show_params[] = {
	{ .name = "name",
	  .type = RPC_STRING,
	  .required = true,
	  .completion = "port.list:ports.name" },
	{ 0 },
};

static const struct rpc_method table[] = {
	{ .name = "port.attach",
	  .summary = "attach a port",
	  .positional = "name",
	  .params = attach_params,
	  .result = "the port" },
	{ .name = "port.list", .summary = "list ports" },
	{ .name = "port.show",
	  .summary = "show a port",
	  .positional = "name",
	  .params = show_params },
	{ .name = "fdb.list", .summary = "list addresses" },
	{ 0 },
};

static json_t *doc;

static int doc_make(void **state)
{
	(void)state;
	doc = rpc_discover(table, "test", "0");
	return doc ? 0 : -1;
}

static int doc_drop(void **state)
{
	(void)state;
	json_decref(doc);
	return 0;
}

/* ---- Words to JSON ---- */

#define WORDS_MAX 8

/* `line` split at blanks into words; returns how many. */
static int split(char *line, const char **words)
{
	char *save, *word = strtok_r(line, " ", &save);
	int n = 0;

	for (; word; word = strtok_r(NULL, " ", &save)) {
		assert_true(n < WORDS_MAX);
		words[n++] = word;
	}
	return n;
}

static json_t *attach_from(const char *text, struct error *e)
{
	const char *words[WORDS_MAX];
	char *line = strdup(text);
	json_t *params;
	int n = split(line, words);

	params = params_from_words(doc_method(doc, "port", "attach"), n, words,
				   e);
	free(line);
	return params;
}

static void words_become_json_by_their_type(void **state)
{
	static const char *const cases[][2] = {
		{ "", "{}" },
		{ "vm1", "{\"name\":\"vm1\"}" },
		{ "vlan=10 vm1", "{\"name\":\"vm1\",\"vlan\":10}" },
		{ "name=a=b", "{\"name\":\"a=b\"}" },
		{ "name= vlan=-5", "{\"name\":\"\",\"vlan\":-5}" },
		{ "name=10 mode=x", "{\"name\":\"10\",\"mode\":\"x\"}" },
		{ "uplink=yes", "{\"uplink\":true}" },
		{ "uplink=on", "{\"uplink\":true}" },
		{ "uplink=true", "{\"uplink\":true}" },
		{ "uplink=no", "{\"uplink\":false}" },
		{ "uplink=off", "{\"uplink\":false}" },
		{ "uplink=false", "{\"uplink\":false}" },
		{ "from=", "{\"from\":[]}" },
		{ "from=a", "{\"from\":[\"a\"]}" },
		{ "from=a,b,20-30", "{\"from\":[\"a\",\"b\",\"20-30\"]}" },
		{ "extra={\"a\":[1]}", "{\"extra\":{\"a\":[1]}}" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error e = { 0 };
		json_t *got = attach_from(cases[i][0], &e);
		json_t *want = json_loads(cases[i][1], 0, NULL);

		if (!json_equal(got, want))
			fail_msg("'%s': %s", cases[i][0], e.message);
		json_decref(got);
		json_decref(want);
	}
}

static void words_that_are_no_params_are_refused(void **state)
{
	static const char *const cases[][3] = {
		{ "vm1 vm2", "given-twice", "name" },
		{ "vm1 name=vm1", "given-twice", "name" },
		{ "vlan=1 vlan=1", "given-twice", "vlan" },
		{ "colour=x", "unknown-parameter", "colour" },
		{ "=x", "unknown-parameter", "" },
		{ "vlan=", "wrong-type", "vlan" },
		{ "vlan=ten", "wrong-type", "vlan" },
		{ "vlan=10x", "wrong-type", "vlan" },
		{ "vlan=99999999999999999999", "wrong-type", "vlan" },
		{ "uplink=maybe", "wrong-type", "uplink" },
		{ "uplink=", "wrong-type", "uplink" },
		{ "extra=[1]", "wrong-type", "extra" },
		{ "extra={", "wrong-type", "extra" },
		{ "name=\xff", "wrong-type", "name" },
		{ "from=a,\xff", "wrong-type", "from" },
	};
	struct error e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memset(&e, 0, sizeof(e));
		if (attach_from(cases[i][0], &e) ||
		    strcmp(e.reason, cases[i][1]) ||
		    strcmp(e.path, cases[i][2]))
			fail_msg("'%s': got %s at '%s'", cases[i][0], e.reason,
				 e.path);
	}
}

static void name_is_refused_where_the_method_takes_none(void **state)
{
	const char *word = "vm1";
	struct error e;

	(void)state;
	assert_null(params_from_words(doc_method(doc, "port", "list"), 1, &word,
				      &e));
	assert_string_equal(e.reason, "no-name");
}

/* ---- JSON to text ---- */

static void expect_render(const char *json, bool colour, const char *want)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(value);
	render_result(out, value, colour);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
	json_decref(value);
}

static void array_of_objects_is_an_aligned_table(void **state)
{
	(void)state;
	expect_render("{\"ports\":[{\"name\":\"vm1\",\"vlan\":10,\"up\":true},"
		      "{\"name\":\"long-one\",\"vlan\":4000,"
		      "\"trunk\":[\"1\",\"2-3\"],\"rx\":{\"n\":1}}],"
		      "\"next\":null}",
		      false,
		      "NAME      VLAN  UP   TRUNK\n"
		      "vm1         10  yes  -\n"
		      "long-one  4000  -    1,2-3\n");
}

static void empty_text_is_a_dash(void **state)
{
	(void)state;
	expect_render("[{\"a\":\"\",\"b\":1}]", false, "A  B\n-  1\n");
}

static void header_is_bold_in_colour_only(void **state)
{
	(void)state;
	expect_render("[{\"a\":1}]", true, "\033[1mA\033[0m\n1\n");
	expect_render("[{\"a\":1}]", false, "A\n1\n");
}

static void letters_beyond_ascii_keep_the_columns(void **state)
{
	(void)state;
	expect_render("[{\"a\":\"\xc3\xa4\xc3\xb6\",\"b\":\"x\"},"
		      "{\"a\":\"abc\",\"b\":\"y\"}]",
		      false, "A    B\n\xc3\xa4\xc3\xb6   x\nabc  y\n");
}

static void page_says_where_the_next_begins(void **state)
{
	(void)state;
	expect_render("{\"p\":[{\"a\":1}],\"next\":\"x\"}", false,
		      "A\n1\nnext: x\n");
}

static void object_is_lines_with_what_is_nested_indented_below(void **state)
{
	(void)state;
	expect_render("{\"rx\":{\"frames\":5,\"drops\":{\"runt\":1}},"
		      "\"name\":\"vm1\",\"up\":false,\"none\":null,"
		      "\"tags\":[],\"list\":[1,2],"
		      "\"peers\":[{\"mac\":\"02\"}]}",
		      false,
		      "name: vm1\nup: no\nnone: -\nlist: 1,2\n"
		      "rx:\n  frames: 5\n  drops:\n    runt: 1\n"
		      "peers:\n  MAC\n  02\n");
}

static void nothing_is_printed_for_nothing(void **state)
{
	static const char *const nothing[] = { "null", "{}", "[]",
					       "{\"ports\":[]}",
					       "{\"ports\":[],\"next\":null}" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(nothing) / sizeof(*nothing); i++)
		expect_render(nothing[i], false, "");
}

static void control_characters_never_reach_the_terminal(void **state)
{
	(void)state;
	expect_render(
		"{\"a\\u001b[2J\":\"\\u001b]0;x\\u0007\\u009b\\n\\u007f\"}",
		false, "a\\x1b[2J: \\x1b]0;x\\x07\\x9b\\x0a\\x7f\n");
	expect_render("[{\"a\":\"\\t\",\"b\":1}]", false,
		      "A     B\n\\x09  1\n");
}

static void event_is_one_line(void **state)
{
	json_t *note = json_pack("{s:s, s:{s:s, s:s, s:b, s:{s:i}}}", "method",
				 "event", "params", "topic", "port.link",
				 "port", "vm\n1", "up", 1, "more", "a", 1);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	render_event(out, note);
	fclose(out);
	assert_string_equal(text,
			    "port.link port=vm\\x0a1 up=yes more={\"a\":1}\n");
	free(text);
	json_decref(note);
}

/* ---- Help and completion ---- */

static char *help_text(const char *object, const char *verb)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int err = help_write(out, doc, object, verb);

	fclose(out);
	if (!err)
		return text;
	assert_string_equal(text, "");
	free(text);
	return NULL;
}

static void help_shows_each_parameter_as_it_is_typed(void **state)
{
	static const char *const parts[] = {
		"switchctl port attach NAME [key=value ...]\n",
		"name of the port (required)\n",
		"vlan=1..4094 ",
		"mode=access|trunk ",
		"uplink=yes|no ",
		"from=A,B,... ",
		"extra={JSON} ",
	};
	char *text = help_text("port", "attach");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("no '%s' in\n%s", parts[i], text);
	free(text);
	text = help_text("port", NULL);
	assert_non_null(strstr(text, "port list"));
	assert_null(strstr(text, "fdb"));
	free(text);
	text = help_text(NULL, NULL);
	assert_non_null(strstr(text, "fdb list"));
	free(text);
	assert_null(help_text("por", NULL));
	assert_null(help_text("port", "lis"));
}

static json_t *live(const char *method, void *arg)
{
	(void)arg;
	assert_string_equal(method, "port.list");
	return json_pack("{s:[{s:s},{s:s}]}", "ports", "name", "vm1", "name",
			 "up0");
}

/* `line` ends where the cursor is; a blank there begins a new word. */
static void expect_complete(const char *line, const char *want)
{
	const char *words[WORDS_MAX + 1];
	char *copy = strdup(line), *text = NULL;
	size_t size, len = strlen(line);
	FILE *out = open_memstream(&text, &size);
	int n = split(copy, words);

	if (!len || line[len - 1] == ' ')
		words[n++] = "";
	complete_write(out, doc, n, words, live, NULL);
	fclose(out);
	if (strcmp(text, want))
		fail_msg("'%s': got\n%swant\n%s", line, text, want);
	free(text);
	free(copy);
}

static void completion_offers_what_fits_here(void **state)
{
	(void)state;
	expect_complete("", "port\nfdb\nrpc\nhelp\ncompletion\n");
	expect_complete("po", "port\n");
	expect_complete("port ", "attach\nlist\nshow\n");
	expect_complete("port s", "show\n");
	expect_complete("port nothing ", "");
	expect_complete("port show ", "vm1\nup0\nname=\n");
	expect_complete("port show u", "up0\n");
	expect_complete("port show vm1 ", "");
	expect_complete("port show name=v", "name=vm1\n");
	expect_complete("port attach x vlan=1 ",
			"mode=\nuplink=\nfrom=\nextra=\n");
	expect_complete("port attach x mode=", "mode=access\nmode=trunk\n");
	expect_complete("port attach x mode=t", "mode=trunk\n");
	expect_complete("port attach x uplink=", "uplink=yes\nuplink=no\n");
	expect_complete("port attach x from=vm1,",
			"from=vm1,vm1\nfrom=vm1,up0\n");
	expect_complete("port attach x from=vm1,u", "from=vm1,up0\n");
	expect_complete("help f", "fdb\n");
	expect_complete("help port a", "attach\n");
	expect_complete("completion ", "bash\nzsh\n");
}

static void every_shell_has_its_script(void **state)
{
	(void)state;
	assert_non_null(strstr(complete_script("bash"), "__complete"));
	assert_non_null(strstr(complete_script("zsh"), "__complete"));
	assert_null(complete_script("tcsh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_json_by_their_type),
		cmocka_unit_test(words_that_are_no_params_are_refused),
		cmocka_unit_test(name_is_refused_where_the_method_takes_none),
		cmocka_unit_test(array_of_objects_is_an_aligned_table),
		cmocka_unit_test(empty_text_is_a_dash),
		cmocka_unit_test(header_is_bold_in_colour_only),
		cmocka_unit_test(letters_beyond_ascii_keep_the_columns),
		cmocka_unit_test(page_says_where_the_next_begins),
		cmocka_unit_test(
			object_is_lines_with_what_is_nested_indented_below),
		cmocka_unit_test(nothing_is_printed_for_nothing),
		cmocka_unit_test(control_characters_never_reach_the_terminal),
		cmocka_unit_test(event_is_one_line),
		cmocka_unit_test(help_shows_each_parameter_as_it_is_typed),
		cmocka_unit_test(completion_offers_what_fits_here),
		cmocka_unit_test(every_shell_has_its_script),
	};

	return cmocka_run_group_tests(tests, doc_make, doc_drop);
}
