/* Who gets a socket's path, who gets a connection. */
#include "control/rpc_server.h"

#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/unit/rpc_rig.h"

#define COUNT_LINE "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rig.count\"}"

static char dir[64], path[80], lock[96];
static struct rig rig;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_rpc_listen.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	rig_init(&rig, NULL);
	return 0;
}

/* A clean end leaves nothing: rmdir() would fail. */
static int teardown(void **state)
{
	(void)state;
	rig_fini(&rig);
	return rmdir(dir);
}

static int try_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		return fd;
	close(fd);
	return -1;
}

static int bind_at(const char *at)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, at);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

/* Is the server there? */
static void expect_served(void)
{
	struct rig_client c;

	rig_client_init(&c, try_connect());
	assert_true(c.fd >= 0);
	rig_say(&rig, &c, COUNT_LINE);
	json_decref(rig_hear(&rig, &c));
	rig_hangup(&c);
}

static void listens_with_the_mode_asked_for(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0640, getegid(), NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	expect_served();
}

static void second_server_on_a_socket_is_refused(void **state)
{
	struct rpc_server *second =
		rpc_server_new(rig.base, rig_table, NULL, NULL);
	struct error e = { 0 };

	(void)state;
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, &e), 0);
	assert_int_equal(rpc_server_listen(second, path, 0600, (gid_t)-1, &e),
			 -EADDRINUSE);
	assert_string_equal(e.reason, "socket-in-use");
	assert_non_null(strstr(e.message, path));
	rpc_server_free(second);
	/* The first one's files weren't touched by that. */
	assert_int_equal(access(lock, F_OK), 0);
	expect_served();
}

/* Somebody who doesn't know our lock. */
static void server_without_a_lock_is_respected_too(void **state)
{
	int fd = bind_at(path);
	struct error e = { 0 };

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, &e),
		-EADDRINUSE);
	assert_string_equal(e.reason, "socket-in-use");
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(access(lock, F_OK), -1);
	close(fd);
	unlink(path);
}

static void stale_socket_is_taken_over(void **state)
{
	(void)state;
	/* As a crash leaves it: the files are there, and nobody behind. */
	close(bind_at(path));
	close(open(lock, O_CREAT | O_RDWR, 0600));
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	expect_served();
}

static void other_kinds_of_files_are_left_alone(void **state)
{
	struct error e = { 0 };

	(void)state;
	close(open(path, O_CREAT | O_RDWR, 0600));
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, &e),
		-EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void held_lock_refuses(void **state)
{
	int fd = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL),
		-EADDRINUSE);
	close(fd);
	unlink(lock);
}

static void socket_of_a_successor_is_not_removed(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	unlink(path);
	fd = bind_at(path);
	rpc_server_free(rig.server);
	rig.server = NULL;
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

static void path_too_long_is_an_error(void **state)
{
	char longpath[200];
	struct error e = { 0 };

	(void)state;
	memset(longpath, 'x', sizeof(longpath) - 1);
	longpath[sizeof(longpath) - 1] = '\0';
	assert_int_equal(
		rpc_server_listen(rig.server, longpath, 0600, (gid_t)-1, &e),
		-ENAMETOOLONG);
	assert_string_equal(e.reason, "cannot-listen");
}

static void adopted_listener_serves_and_keeps_its_file(void **state)
{
	int fd = bind_at(path);

	(void)state;
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(rpc_server_adopt(rig.server, fd, NULL), 0);
	expect_served();
	rpc_server_free(rig.server);
	rig.server = NULL;
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void only_a_listening_socket_is_adopted(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(rpc_server_adopt(rig.server, ends[0], NULL), -EINVAL);
	assert_int_equal(fcntl(ends[0], F_GETFD), -1);
	close(ends[1]);
	assert_int_equal(
		rpc_server_adopt(rig.server, open("/dev/null", O_RDONLY), NULL),
		-ENOTSOCK);
}

static void connection_too_many_is_told_and_closed(void **state)
{
	struct rpc_limits limits = { .max_conns = 2 };
	struct rig_client c[3];
	int i;

	(void)state;
	rig_fini(&rig);
	rig_init(&rig, &limits);
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	for (i = 0; i < 3; i++) {
		rig_client_init(&c[i], try_connect());
		rig_step(&rig);
	}
	assert_int_equal(rpc_server_conns(rig.server), 2);
	rig_expect_error(&rig, &c[2], -32005, "too-many-connections", "");
	assert_null(rig_hear(&rig, &c[2]));
	rig_hangup(&c[2]);
	/* The others don't notice, and a place that is free can be taken. */
	rig_say(&rig, &c[0], COUNT_LINE);
	rig_expect(&rig, &c[0], "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	rig_hangup(&c[0]);
	while (rpc_server_conns(rig.server) > 1)
		rig_step(&rig);
	expect_served();
	rig_hangup(&c[1]);
}

static void user_with_too_many_connections_is_told_and_closed(void **state)
{
	struct rpc_limits limits = { .max_per_uid = 1 };
	struct rig_client c[2];

	(void)state;
	rig_fini(&rig);
	rig_init(&rig, &limits);
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	for (int i = 0; i < 2; i++) {
		rig_client_init(&c[i], try_connect());
		rig_step(&rig);
	}
	rig_expect_error(&rig, &c[1], -32005, "too-many-connections", "");
	rig_hangup(&c[1]);
	rig_say(&rig, &c[0], COUNT_LINE);
	rig_expect(&rig, &c[0], "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	rig_hangup(&c[0]);
}

static void connection_ends_with_its_life(void **state)
{
	struct rpc_limits limits = { .max_life = 1 };
	struct rig_client c;

	(void)state;
	rig_fini(&rig);
	rig_init(&rig, &limits);
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	rig_client_init(&c, try_connect());
	rig_say(&rig, &c, COUNT_LINE);
	rig_expect(&rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	assert_int_equal(rpc_server_conns(rig.server), 1);
	assert_int_equal(write(c.fd, "{\"half\":", 8), 8);
	assert_null(rig_hear(&rig, &c)); /* hung up on, within the deadline */
	assert_int_equal(rpc_server_conns(rig.server), 0);
	rig_hangup(&c);
}

/* Of three turns of the loop, one is the rest between two tries. */
static void short_of_descriptors_it_rests_and_goes_on(void **state)
{
	struct rlimit old, few;
	struct rig_client c;
	uint64_t begin;
	int fd, turns;

	(void)state;
	assert_int_equal(
		rpc_server_listen(rig.server, path, 0600, (gid_t)-1, NULL), 0);
	rig_step(&rig);
	rig_client_init(&c, try_connect());
	assert_true(c.fd >= 0);
	getrlimit(RLIMIT_NOFILE, &old);
	fd = dup(0); /* the next number */
	close(fd);
	few = old;
	few.rlim_cur = (rlim_t)fd;
	setrlimit(RLIMIT_NOFILE, &few);
	begin = clock_ns();
	for (turns = 0; turns < 3; turns++)
		event_base_loop(rig.base, EVLOOP_ONCE);
	assert_true(clock_ns() - begin > CLOCK_NS_PER_S / 20);
	assert_int_equal(rpc_server_conns(rig.server), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	rig_say(&rig, &c, COUNT_LINE);
	rig_expect(&rig, &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
	rig_hangup(&c);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(listens_with_the_mode_asked_for),
		CASE(second_server_on_a_socket_is_refused),
		CASE(server_without_a_lock_is_respected_too),
		CASE(stale_socket_is_taken_over),
		CASE(other_kinds_of_files_are_left_alone),
		CASE(held_lock_refuses),
		CASE(socket_of_a_successor_is_not_removed),
		CASE(path_too_long_is_an_error),
		CASE(adopted_listener_serves_and_keeps_its_file),
		CASE(only_a_listening_socket_is_adopted),
		CASE(connection_too_many_is_told_and_closed),
		CASE(user_with_too_many_connections_is_told_and_closed),
		CASE(connection_ends_with_its_life),
		CASE(short_of_descriptors_it_rests_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
