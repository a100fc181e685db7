/* Root of a user namespace that an ordinary user has made: which ids there are,
 * and what isolation leaves to it. */
#include "tests/unit/isolate_fixture.h"

#include "base/ids.h"
#include "control/rpc_client.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* As `unshare --map-root-user` has it, started by user UID. */
static void enter_own_namespace(void)
{
	CHECK(setgroups(0, NULL) == 0 && setresgid(GID, GID, GID) == 0 &&
	      setresuid(UID, UID, UID) == 0);
	/* Else /proc/self is root's. */
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	CHECK(unshare(CLONE_NEWUSER) == 0);
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", "0 61234 1");
	put("/proc/self/gid_map", "0 61235 1");
	CHECK(getuid() == 0 && getgid() == 0);
}

/* ---- which ids there are ------------------------------------------------- */

static void system_has_all_ids(void **state)
{
	(void)state;
	need_root();
	assert_true(ids_exist(false, 0));
	assert_true(ids_exist(true, IDS_NOBODY));
	assert_false(ids_exist(false, UINT32_MAX));
	assert_true(ids_can_be_taken(IDS_NOBODY, IDS_NOBODY));
	assert_true(ids_are_of_system_root());
}

static void child_has_one_id(void)
{
	char path[64];

	enter_own_namespace();
	CHECK(ids_exist(false, 0) && ids_exist(true, 0));
	CHECK(!ids_exist(false, 1) && !ids_exist(true, IDS_NOBODY));
	CHECK(!ids_can_be_taken(IDS_NOBODY, IDS_NOBODY));
	/* Groups can't be given up. */
	CHECK(!ids_can_be_taken(0, 0));
	CHECK(!ids_are_of_system_root());
	unsetenv("SWITCHD_SOCKET");
	setenv("XDG_RUNTIME_DIR", "/run/user/61234", 1);
	CHECK(rpc_socket_path(path, sizeof(path)) == 0);
	CHECK(!strcmp(path, "/run/user/61234/switchd/switchd.sock"));
	unsetenv("XDG_RUNTIME_DIR");
	CHECK(rpc_socket_path(path, sizeof(path)) == -ENOENT);
}

static void a_users_own_namespace_has_one(void **state)
{
	(void)state;
	assert_int_equal(run_as_is(child_has_one_id), 0);
}

static void child_finds_no_user(void)
{
	struct error err = { 0 };
	bool fallback = true;
	uid_t uid = 1;
	gid_t gid = 1;

	enter_own_namespace();
	CHECK(isolate_user(NULL, &uid, &gid, &fallback, &err) == 0);
	CHECK(uid == 0 && gid == 0 && !fallback);
	CHECK(isolate_user("daemon", &uid, &gid, &fallback, &err) == -ENOENT);
	CHECK(!strcmp(err.reason, "no-such-user"));
	CHECK(!strcmp(err.path, "daemon.user"));
	CHECK(isolate_user("root", &uid, &gid, &fallback, &err) == -EINVAL);
	CHECK(isolate(UID, GID, &err) < 0);
}

static void user_who_is_not_in_the_namespace_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_as_is(child_finds_no_user), 0);
}

/* ---- isolation ----------------------------------------------------------- */

static const char *shown(const json_t *is, const char *key)
{
	const char *text = json_string_value(json_object_get(is, key));

	return text ? text : "";
}

static void child_keeps_its_id(void)
{
	struct error err = { 0 };
	pid_t other, own = getpid();
	json_t *is;

	enter_own_namespace();
	other = fork();
	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (getppid() == own) /* or its end is missed already */
			pause();
		_exit(0);
	}
	if (isolate(0, 0, &err) < 0)
		failed(__LINE__, err.message);
	is = isolate_show();
	CHECK(!strcmp(shown(is, "user"), "0"));
	CHECK(!strcmp(shown(is, "capabilities"), "none"));
	CHECK(!strcmp(shown(is, "file-system"), "empty"));
	CHECK(json_is_true(json_object_get(is, "no-new-privs")));
	CHECK(json_is_true(json_object_get(is, "seccomp")));
	json_decref(is);
	CHECK_ERRNO(open("/etc/passwd", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("/x", O_WRONLY | O_CREAT, 0600), EPERM);
	CHECK_ERRNO(setresuid(0, 0, 0), EPERM);
#if !ISOLATION_SANITIZED
	/* It is of the same user as we are. */
	CHECK_ERRNO(kill(other, 0), EPERM);
#else
	(void)other;
#endif
}

static void isolated_root_of_it_has_its_id_and_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(run_as_is(child_keeps_its_id), 0);
}

static void child_mounts(void)
{
	struct error err = { 0 };

	enter_own_namespace();
	if (isolate(0, 0, &err) < 0)
		failed(__LINE__, err.message);
	mount("tmpfs", "/etc", "tmpfs", 0, NULL);
}

static void attackers_calls_kill_there_as_well(void **state)
{
	int status = run_as_is(child_mounts);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_has_all_ids),
		cmocka_unit_test(a_users_own_namespace_has_one),
		cmocka_unit_test(user_who_is_not_in_the_namespace_is_refused),
		cmocka_unit_test(
			isolated_root_of_it_has_its_id_and_nothing_else),
		cmocka_unit_test(attackers_calls_kill_there_as_well),
	};

	return cmocka_run_group_tests_name("isolate_rootless", tests, NULL,
					   NULL);
}
