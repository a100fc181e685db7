/* Who is who on the control socket, and how each mistake is told. */
#include "switchd/roles.h"
#include "tests/unit/json_text.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SOCKET_GID 990
#define ALICE	   1001
#define BOB	   1002
#define OPS	   2001
#define USERS	   2002

static unsigned int lookups;

/* A system with these names, and a user who can't be looked up. */
static int resolve(void *ctx, bool group, const char *name, uint32_t *id)
{
	static const struct {
		const char *name;
		bool group;
		uint32_t id;
	} known[] = {
		{ "alice", false, ALICE }, { "bob", false, BOB },
		{ "ops", true, OPS },	   { "users", true, USERS },
		{ "ops", false, 1003 },
	};

	assert_ptr_equal(ctx, &lookups);
	lookups++;
	if (!strcmp(name, "slow"))
		return -EIO;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].group == group && !strcmp(known[i].name, name)) {
			*id = known[i].id;
			return 0;
		}
	return -ENOENT;
}

static struct roles *load(const char *text)
{
	json_t *o = text ? json(text) : NULL;
	struct roles *roles = NULL;
	struct error err = { 0 };

	assert_int_equal(roles_check(o, NULL), 0);
	if (roles_load(o, SOCKET_GID, resolve, &lookups, &roles, &err) < 0)
		fail_msg("%s: %s at %s", text, err.message, err.path);
	json_decref(o);
	return roles;
}

static struct roles_peer peer(uid_t uid, gid_t gid)
{
	return (struct roles_peer){ .uid = uid, .gid = gid };
}

static void role_is(const struct roles *roles, uid_t uid, gid_t gid,
		    enum role want)
{
	struct roles_peer who = peer(uid, gid);

	assert_string_equal(roles_word(roles_of(roles, &who)),
			    roles_word(want));
}

static void without_roles_the_sockets_group_is_admin_and_no_other(void **state)
{
	const gid_t among[] = { 5, SOCKET_GID, 7 };
	struct roles_peer who = peer(ALICE, ALICE);
	struct roles *roles = load(NULL);
	struct error err;

	(void)state;
	role_is(roles, 0, 0, ROLE_ADMIN);
	role_is(roles, geteuid(), 5, ROLE_ADMIN);
	role_is(roles, ALICE, SOCKET_GID, ROLE_ADMIN);
	role_is(roles, ALICE, ALICE, ROLE_NONE);
	role_is(roles, SOCKET_GID, ALICE, ROLE_NONE);
	who.groups = among;
	who.n_groups = 3;
	assert_int_equal(roles_of(roles, &who), ROLE_ADMIN);
	who.n_groups = 1;
	assert_int_equal(roles_of(roles, &who), ROLE_NONE);
	roles_free(roles);

	/* A socket without a group: (gid_t)-1 isn't one that a peer is in. */
	assert_int_equal(
		roles_load(NULL, (gid_t)-1, resolve, &lookups, &roles, &err),
		0);
	role_is(roles, 0, 0, ROLE_ADMIN);
	role_is(roles, ALICE, (gid_t)-1, ROLE_NONE);
	roles_free(roles);
}

static void with_roles_the_sockets_group_counts_no_more(void **state)
{
	struct roles *roles = load("{'roles': {}}");

	(void)state;
	role_is(roles, ALICE, SOCKET_GID, ROLE_NONE);
	role_is(roles, 0, 0, ROLE_ADMIN);
	role_is(roles, geteuid(), 5, ROLE_ADMIN);
	roles_free(roles);
}

static void names_groups_and_numbers_name_peers(void **state)
{
	const gid_t among[] = { 5, 77 };
	struct roles_peer who = peer(4000, 4000);
	struct roles *roles = load("{'roles': {'admin': ['bob', '@77'],"
				   "'operator': ['@ops', '3000'],"
				   "'viewer': ['alice', '@0', '4294967294']}}");

	(void)state;
	role_is(roles, BOB, 1, ROLE_ADMIN);
	role_is(roles, 4000, OPS, ROLE_OPERATOR);
	role_is(roles, OPS, 4000, ROLE_NONE);
	role_is(roles, 3000, 1, ROLE_OPERATOR);
	role_is(roles, 4000, 3000, ROLE_NONE);
	role_is(roles, ALICE, 1, ROLE_VIEWER);
	role_is(roles, 4000, 0, ROLE_VIEWER);
	role_is(roles, 4294967294, 1, ROLE_VIEWER);
	role_is(roles, 4000, 4000, ROLE_NONE);
	who.groups = among;
	who.n_groups = 2;
	assert_int_equal(roles_of(roles, &who), ROLE_ADMIN);
	roles_free(roles);
}

static void highest_role_wins(void **state)
{
	struct roles *roles =
		load("{'roles': {'viewer': ['*'], 'operator': ['@users'],"
		     "'admin': ['alice']}}");

	(void)state;
	role_is(roles, ALICE, USERS, ROLE_ADMIN);
	role_is(roles, BOB, USERS, ROLE_OPERATOR);
	role_is(roles, BOB, 1, ROLE_VIEWER);
	roles_free(roles);
}

static void words_that_no_one_knows_need_an_admin(void **state)
{
	(void)state;
	assert_int_equal(roles_needed("viewer"), ROLE_VIEWER);
	assert_int_equal(roles_needed("operator"), ROLE_OPERATOR);
	assert_int_equal(roles_needed("admin"), ROLE_ADMIN);
	assert_int_equal(roles_needed("none"), ROLE_ADMIN);
	assert_int_equal(roles_needed(""), ROLE_ADMIN);
	assert_int_equal(roles_needed(NULL), ROLE_ADMIN);
}

static void users_have_the_profiles_of_all_their_entries(void **state)
{
	struct roles *roles = load("{'roles': {'operator': ['*']}, 'users': {"
				   "'alice': {'profiles': ['office']},"
				   "'1001': {'profiles': ['home']},"
				   "'@ops': {'profiles': ['lab']},"
				   "'bob': {'profiles': []}}}");
	struct roles_peer alice = peer(ALICE, OPS), bob = peer(BOB, 1);
	struct roles_peer other = peer(4000, 1);

	(void)state;
	assert_true(roles_restricted(roles, &alice));
	assert_true(roles_profile_allowed(roles, &alice, "office"));
	assert_true(roles_profile_allowed(roles, &alice, "home"));
	assert_true(roles_profile_allowed(roles, &alice, "lab"));
	assert_false(roles_profile_allowed(roles, &alice, "off"));
	assert_false(roles_profile_allowed(roles, &alice, ""));
	alice.gid = 1;
	assert_false(roles_profile_allowed(roles, &alice, "lab"));
	assert_true(roles_restricted(roles, &bob));
	assert_false(roles_profile_allowed(roles, &bob, "office"));
	assert_false(roles_restricted(roles, &other));
	roles_free(roles);
}

static void nothing_is_looked_up_once_it_is_loaded(void **state)
{
	struct roles *roles = load("{'roles': {'viewer': ['alice', '@ops',"
				   "'7', '@7', '*']}}");
	unsigned int n = lookups;

	(void)state;
	role_is(roles, 4000, OPS, ROLE_VIEWER);
	role_is(roles, ALICE, 1, ROLE_VIEWER);
	assert_int_equal(lookups, n);
	roles_free(roles);
	lookups = 0;
	roles_free(load("{'roles': {'viewer': ['7', '@7', '*']}}"));
	assert_int_equal(lookups, 0);
}

static void reload_has_another_configuration_and_the_same_socket(void **state)
{
	struct roles *old = load("{'roles': {'viewer': ['alice']}}"), *now;
	json_t *bad = json("{'roles': {'viewer': ['nobody-here']}}");
	struct error err;

	(void)state;
	now = old;
	assert_int_equal(roles_reload(old, bad, &now, &err), -ENOENT);
	assert_ptr_equal(now, old);
	assert_int_equal(roles_reload(old, NULL, &now, &err), 0);
	role_is(now, ALICE, SOCKET_GID, ROLE_ADMIN);
	role_is(now, ALICE, 1, ROLE_NONE);
	json_decref(bad);
	roles_free(now);
	roles_free(old);
}

static void bad_load(const char *text, const char *reason, const char *path)
{
	json_t *o = json(text);
	struct roles *roles = (struct roles *)&lookups;
	struct error err = { 0 };
	int r = roles_load(o, SOCKET_GID, resolve, &lookups, &roles, &err);

	json_decref(o);
	assert_true(r < 0);
	assert_int_equal(r, -err.err);
	assert_ptr_equal(roles, &lookups);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
	assert_true(*err.message);
}

/* What the file is refused for, names looked up or not. */
static void bad(const char *text, const char *reason, const char *path)
{
	json_t *o = json(text);
	struct error err = { 0 };

	bad_load(text, reason, path);
	assert_int_equal(roles_check(o, &err), -EINVAL);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
	json_decref(o);
}

static void names_that_are_none_are_told_with_their_place(void **state)
{
	(void)state;
	bad_load("{'roles': {'admin': ['alice', '@ops', 'carol']}}",
		 "no-such-user", "daemon.roles.admin[2]");
	bad_load("{'roles': {'viewer': ['@alice']}}", "no-such-group",
		 "daemon.roles.viewer[0]");
	bad_load("{'roles': {}, 'users': {'carol': {'profiles': []}}}",
		 "no-such-user", "daemon.users.carol");
	bad_load("{'roles': {}, 'users': {'@users2': {'profiles': []}}}",
		 "no-such-group", "daemon.users.@users2");
	bad_load("{'roles': {'admin': ['slow']}}", "no-such-user",
		 "daemon.roles.admin[0]");
}

static void mistakes_have_a_reason_and_a_place(void **state)
{
	(void)state;
	bad("{'roles': []}", "wrong-type", "daemon.roles");
	bad("{'roles': null}", "wrong-type", "daemon.roles");
	bad("{'roles': {'root': []}}", "unknown-parameter",
	    "daemon.roles.root");
	bad("{'roles': {'none': []}}", "unknown-parameter",
	    "daemon.roles.none");
	bad("{'roles': {'admin': 'alice'}}", "wrong-type",
	    "daemon.roles.admin");
	bad("{'roles': {'admin': ['alice', 5]}}", "wrong-type",
	    "daemon.roles.admin[1]");
	bad("{'users': {}}", "missing-parameter", "daemon.users");
	bad("{'roles': {}, 'users': []}", "wrong-type", "daemon.users");
	bad("{'roles': {}, 'users': {'alice': ['office']}}", "wrong-type",
	    "daemon.users.alice");
	bad("{'roles': {}, 'users': {'alice': {}}}", "missing-parameter",
	    "daemon.users.alice.profiles");
	bad("{'roles': {}, 'users': {'alice': {'profile': ['a']}}}",
	    "unknown-parameter", "daemon.users.alice.profile");
	bad("{'roles': {}, 'users': {'alice': {'profiles': 'a'}}}",
	    "wrong-type", "daemon.users.alice.profiles");
	bad("{'roles': {}, 'users': {'alice': {'profiles': ['a', {}]}}}",
	    "wrong-type", "daemon.users.alice.profiles[1]");
	bad("{'roles': {}, 'users': {'alice': {'profiles': ['a', 'b c']}}}",
	    "bad-name", "daemon.users.alice.profiles[1]");
	bad("{'roles': {}, 'users': {'a b': {'profiles': []}}}", "bad-name",
	    "daemon.users.a b");
}

static void names_that_no_system_can_have_are_refused(void **state)
{
	static const char *const names[] = {
		"",	     "@",	   "@@ops",	  "**",
		"@*",	     "a b",	   "a,b",	  "a:b",
		"\\u00e9ve", "a\\u0007",   "a/b",	  "-\\n",
		"ali@ce",    "4294967295", "99999999999", "@4294967295"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char text[128];

		snprintf(text, sizeof(text), "{'roles': {'operator': ['%s']}}",
			 names[i]);
		bad(text, "bad-name", "daemon.roles.operator[0]");
	}
	bad("{'roles': {'viewer': ['"
	    "x23456789012345678901234567890123456789012345678901234567890123'"
	    "]}}",
	    "bad-name", "daemon.roles.viewer[0]");
}

/* {"roles": {"viewer": [N times "7"]}, "users": {N users}} */
static json_t *many(size_t entries, size_t users, size_t profiles)
{
	json_t *list = json_array(), *all = json_object(), *p = json_array();
	char name[24];

	while (entries--)
		json_array_append_new(list, json_string("7"));
	while (profiles--)
		json_array_append_new(p, json_string("office"));
	while (users--) {
		snprintf(name, sizeof(name), "%zu", users);
		json_object_set_new(all, name,
				    json_pack("{s:O}", "profiles", p));
	}
	json_decref(p);
	return json_pack("{s:{s:o},s:o}", "roles", "viewer", list, "users",
			 all);
}

static void lists_are_bounded(void **state)
{
	static const struct {
		size_t entries, users, profiles;
		const char *path;
	} cases[] = {
		{ ROLES_ENTRIES_MAX, ROLES_USERS_MAX, ROLES_PROFILES_MAX,
		  NULL },
		{ ROLES_ENTRIES_MAX + 1, 1, 1, "daemon.roles.viewer" },
		{ 1, ROLES_USERS_MAX + 1, 1, "daemon.users" },
		{ 1, 1, ROLES_PROFILES_MAX + 1, "daemon.users.0.profiles" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *o = many(cases[i].entries, cases[i].users,
				 cases[i].profiles);
		struct error err = { 0 };
		int r = roles_check(o, &err);

		assert_int_equal(r, cases[i].path ? -EINVAL : 0);
		assert_string_equal(err.reason,
				    cases[i].path ? "too-long" : "");
		assert_string_equal(err.path,
				    cases[i].path ? cases[i].path : "");
		json_decref(o);
	}
}

static void long_names_do_not_overflow_a_path(void **state)
{
	char name[4096], text[8192];
	struct error err = { 0 };
	json_t *o;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(text, sizeof(text),
		 "{'roles': {}, 'users': {'%s': {'profiles': [1]}}}", name);
	o = json(text);
	assert_int_equal(roles_check(o, &err), -EINVAL);
	assert_string_equal(err.reason, "wrong-type");
	json_decref(o);
	snprintf(text, sizeof(text), "{'roles': {'%s': []}}", name);
	o = json(text);
	assert_int_equal(roles_check(o, &err), -EINVAL);
	assert_string_equal(err.reason, "unknown-parameter");
	json_decref(o);
}

static void adopting_takes_roles_and_leaves_the_rest(void **state)
{
	json_t *o = json("{'workers': 2, 'roles': {'admin': []},"
			 "'users': {}}");
	json_t *from = json("{'workers': 3, 'roles': {'viewer': ['*']}}");
	json_t *want = json("{'workers': 2, 'roles': {'viewer': ['*']}}");
	json_t *none = NULL, *empty = json_object();

	(void)state;
	assert_true(roles_configured(o));
	assert_int_equal(roles_adopt(&o, from), 0);
	assert_true(json_equal(o, want));
	assert_int_equal(roles_adopt(&o, NULL), 0);
	assert_false(roles_configured(o));
	assert_int_equal(roles_adopt(&none, NULL), 0);
	assert_true(json_equal(none, empty));
	assert_false(roles_configured(NULL));
	json_decref(none);
	json_decref(empty);
	json_decref(o);
	json_decref(from);
	json_decref(want);
}

static void system_knows_root_and_its_group(void **state)
{
	const struct group *g = getgrgid(0);
	uint32_t id = 7;

	(void)state;
	assert_int_equal(roles_resolve_system(NULL, false, "root", &id), 0);
	assert_int_equal(id, 0);
	assert_non_null(g);
	id = 7;
	assert_int_equal(roles_resolve_system(NULL, true, g->gr_name, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(roles_resolve_system(NULL, false, "no such one", &id),
			 -ENOENT);
	assert_int_equal(roles_resolve_system(NULL, true, "no such one", &id),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			without_roles_the_sockets_group_is_admin_and_no_other),
		cmocka_unit_test(with_roles_the_sockets_group_counts_no_more),
		cmocka_unit_test(names_groups_and_numbers_name_peers),
		cmocka_unit_test(highest_role_wins),
		cmocka_unit_test(words_that_no_one_knows_need_an_admin),
		cmocka_unit_test(users_have_the_profiles_of_all_their_entries),
		cmocka_unit_test(nothing_is_looked_up_once_it_is_loaded),
		cmocka_unit_test(
			reload_has_another_configuration_and_the_same_socket),
		cmocka_unit_test(names_that_are_none_are_told_with_their_place),
		cmocka_unit_test(mistakes_have_a_reason_and_a_place),
		cmocka_unit_test(names_that_no_system_can_have_are_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(long_names_do_not_overflow_a_path),
		cmocka_unit_test(adopting_takes_roles_and_leaves_the_rest),
		cmocka_unit_test(system_knows_root_and_its_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
