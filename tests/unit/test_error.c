#include "base/error.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

static void set_fills_every_field_and_returns_minus_err(void **state)
{
	struct error e;

	(void)state;
	memset(&e, 'x', sizeof(e));
	assert_int_equal(error_set(&e, EEXIST, "port-exists", "name",
				   "port %s exists", "vm1"),
			 -EEXIST);
	assert_int_equal(e.err, EEXIST);
	assert_string_equal(e.reason, "port-exists");
	assert_string_equal(e.path, "name");
	assert_string_equal(e.message, "port vm1 exists");
}

static void set_without_error_only_returns(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ENOENT, "no-port", NULL, "none"),
			 -ENOENT);
}

static void set_without_path_leaves_it_empty(void **state)
{
	struct error e;

	(void)state;
	memset(&e, 'x', sizeof(e));
	assert_int_equal(error_set(&e, EPERM, "denied", NULL, "no"), -EPERM);
	assert_string_equal(e.path, "");
}

static void set_cuts_a_message_too_long(void **state)
{
	struct error e;
	char big[2 * sizeof(e.message)];

	(void)state;
	memset(big, 'm', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(error_set(&e, E2BIG, "big", big, "%s", big), -E2BIG);
	assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
	assert_int_equal(strlen(e.path), sizeof(e.path) - 1);
}

static void prefix_joins_with_a_dot(void **state)
{
	struct error e = { .path = "vlan" };

	(void)state;
	error_prefix(&e, "ports[3]");
	assert_string_equal(e.path, "ports[3].vlan");
}

static void prefix_joins_an_index_without_a_dot(void **state)
{
	struct error e = { .path = "[3].vlan" };

	(void)state;
	error_prefix(&e, "ports");
	assert_string_equal(e.path, "ports[3].vlan");
}

static void prefix_of_empty_path_is_the_path(void **state)
{
	struct error e = { .path = "" };

	(void)state;
	error_prefix(&e, "ports");
	assert_string_equal(e.path, "ports");
}

static void prefix_too_long_keeps_the_beginning(void **state)
{
	struct error e = { .path = "" };
	char big[sizeof(e.path)];

	(void)state;
	memset(big, 'p', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(e.path, big, sizeof(big));
	error_prefix(&e, "ports");
	assert_int_equal(strlen(e.path), sizeof(e.path) - 1);
	assert_memory_equal(e.path, "ports.ppp", 9);
}

static void prefix_without_error_does_nothing(void **state)
{
	(void)state;
	error_prefix(NULL, "ports");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_every_field_and_returns_minus_err),
		cmocka_unit_test(set_without_error_only_returns),
		cmocka_unit_test(set_without_path_leaves_it_empty),
		cmocka_unit_test(set_cuts_a_message_too_long),
		cmocka_unit_test(prefix_joins_with_a_dot),
		cmocka_unit_test(prefix_joins_an_index_without_a_dot),
		cmocka_unit_test(prefix_of_empty_path_is_the_path),
		cmocka_unit_test(prefix_too_long_keeps_the_beginning),
		cmocka_unit_test(prefix_without_error_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
