/* In which line does a parameter of the configuration stand? */
#include "switchd/config.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char text[] =				/* line */
	"\n"						/* 1 */
	"{\n"						/* 2 */
	"  \"switch\": { \"age\": 300,\n"		/* 3 */
	"    \"forward-reserved\": \"lldp\" },\n"	/* 4 */
	"  \"profiles\": { \"a.b\": { \"vlan\": 1 },\n" /* 5 */
	"    \"lab\": {\n"				/* 6 */
	"      \"vlan\": 10 } },\n"			/* 7 */
	"  \"ports\": [\n"				/* 8 */
	"    { \"name\": \"ports[1]\", \"description\": \"}]{[,:\\\"\\\\\",\n" /* 9 */
	"      \"vlan\": 10 },\n"				   /* 10 */
	"    { \"name\": \"p1\",\n"				   /* 11 */
	"      \"empty\": {}, \"none\": [], \"deep\": [[1, {}],\n" /* 12 */
	"        [2, [3,\n"					   /* 13 */
	"          4]]],\n"					   /* 14 */
	"      \"vlan\"\n"					   /* 15 */
	"        :\n"						   /* 16 */
	"        20 },\n"					   /* 17 */
	"    true, -1.5e3, null,\n"				   /* 18 */
	"    \"last\"\n"					   /* 19 */
	"  ]\n"							   /* 20 */
	"}\n";							   /* 21 */

static void at(const char *path, unsigned int line)
{
	unsigned int is = config_line(text, path);

	if (is != line)
		fail_msg("\"%s\" is in line %u, not %u", path, line, is);
}

static void value_is_found_where_it_begins(void **state)
{
	(void)state;
	at("", 2);
	at("switch", 3);
	at("switch.age", 3);
	at("switch.forward-reserved", 4);
	at("profiles.lab", 6);
	at("profiles.lab.vlan", 7);
	at("ports", 8);
	at("ports[0]", 9);
	at("ports[0].vlan", 10);
	at("ports[1]", 11);
	at("ports[1].vlan", 17);
	at("ports[1].deep[1][1][1]", 14);
	at("ports[4]", 18);
	at("ports[5]", 19);
}

static void strings_with_brackets_and_quotes_are_skipped_whole(void **state)
{
	(void)state;
	at("ports[0].description", 9);
	at("ports[1].name", 11);
}

static void what_is_missing_is_in_the_line_of_its_object(void **state)
{
	(void)state;
	at("mirrors", 2);
	at("switch.colour", 3);
	at("ports[1].mode", 11);
	at("ports[1].deep[7]", 12);
	at("ports[99]", 8);
	at("ports[99].vlan", 8);
	at("ports.vlan", 8); /* an array has no members */
	at("switch[0]", 3);
	at("switch.age.more", 3);
	at("ports[1].empty.x", 12);
	at("ports[1].none[0]", 12);
}

static void key_that_only_begins_alike_is_another_one(void **state)
{
	(void)state;
	assert_int_equal(config_line("{\"vlans\":1,\n\"vlan\":2}", "vlan"), 2);
	assert_int_equal(config_line("{\"vlan\":1,\n\"vlans\":2}", "vlans"), 2);
	assert_int_equal(config_line("{\"\":1,\n\"vlan\":2}", "vlan"), 2);
}

static void text_that_is_no_object_is_in_its_first_line(void **state)
{
	(void)state;
	assert_int_equal(config_line("", ""), 1);
	assert_int_equal(config_line("", "a"), 1);
	assert_int_equal(config_line("\n\n[1]", "a"), 3);
	assert_int_equal(config_line("[1,\n2]", "[1]"), 2);
}

/* The text is valid where this is called; if it ever isn't, no harm. */
static void text_that_is_cut_off_anywhere_does_no_harm(void **state)
{
	char cut[sizeof(text)];

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		memcpy(cut, text, n);
		cut[n] = '\0';
		assert_in_range(config_line(cut, "ports[1].deep[1][1][1]"), 1,
				21);
		assert_in_range(config_line(cut, "ports[5].x"), 1, 21);
	}
}

static void path_that_is_garbage_ends(void **state)
{
	static const char *const paths[] = {
		".",	   "..",	"[",	   "[]",   "]",	   "ports[",
		"ports[x", "ports[-1]", "ports]]", "[[[[", ".[.[", "ports[1].["
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_in_range(config_line(text, paths[i]), 1, 21);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(value_is_found_where_it_begins),
		cmocka_unit_test(
			strings_with_brackets_and_quotes_are_skipped_whole),
		cmocka_unit_test(what_is_missing_is_in_the_line_of_its_object),
		cmocka_unit_test(key_that_only_begins_alike_is_another_one),
		cmocka_unit_test(text_that_is_no_object_is_in_its_first_line),
		cmocka_unit_test(text_that_is_cut_off_anywhere_does_no_harm),
		cmocka_unit_test(path_that_is_garbage_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
