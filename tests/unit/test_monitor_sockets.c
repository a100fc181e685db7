/* vhost-user ports by way of the monitor: sockets where they may be. */
#include "ports/vhost_user.h"
#include "tests/unit/monitor_calls.h"

#include <sys/stat.h>
#include <sys/un.h>

static struct proto_msg port(const struct monitor_rig *r, const char *name,
			     bool client)
{
	struct proto_msg m = question(PROTO_ACQUIRE);

	strcpy(m.request.type, "vhost-user");
	strcpy(m.request.name, "p");
	m.request.vhost_user.client = client;
	snprintf(m.request.vhost_user.path, sizeof(m.request.vhost_user.path),
		 "%s", *name == '/' ? name : path(r, name));
	return m;
}

static struct sockaddr_un address(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", name);
	return a;
}

static bool serves(const char *name)
{
	struct sockaddr_un a = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(fd, (struct sockaddr *)&a, sizeof(a));

	close(fd);
	return r == 0;
}

static int server(const char *name)
{
	struct sockaddr_un a = address(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* How many have connected since the last time. */
static unsigned int callers(int listener)
{
	unsigned int n = 0;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

static int by_handle(struct monitor_rig *r, uint16_t type, uint32_t handle,
		     struct proto_msg *m)
{
	*m = question(type);
	m->head.handle = handle;
	return ask(r, m, NULL, 0);
}

static void allow(struct monitor_rig *r, const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	policy_fini(&r->m.policy);
	assert_int_equal(policy_init(&r->m.policy, o), 0);
	json_decref(o);
}

/* A folder leads out of an empty root. */
static void socket_goes_over_without_its_folder(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = port(r, "s", false);
	int fd[PROTO_FDS_MAX];
	struct stat st;

	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(m.head.nfds, VHOST_GRANT_RUN_FDS);
	assert_int_equal(m.grant.mtu, 1500);
	for (unsigned int i = 0; i < m.head.nfds; i++) {
		assert_int_equal(fstat(fd[i], &st), 0);
		assert_false(S_ISDIR(st.st_mode));
		assert_false(fcntl(fd[i], F_GETFL) & O_PATH);
	}
	proto_close_fds(fd, m.head.nfds);
	/* It is the monitor's, whatever becomes of the switch. */
	assert_true(serves(path(r, "s")));
	assert_int_equal(by_handle(r, PROTO_RELEASE, m.grant.handle, &m), 0);
	assert_int_equal(access(path(r, "s"), F_OK), -1);
}

static void socket_elsewhere_is_neither_made_nor_connected_to(void **state)
{
	static const char *const names[] = { "/run/switchd_test/s", "../s",
					     "./s", "/tmp/switchd_test.sock",
					     "out/s" };
	char other[] = "/tmp/switchd_test_other.XXXXXX", name[96];
	struct monitor_rig *r = *state;
	int theirs;

	assert_non_null(mkdtemp(other));
	snprintf(name, sizeof(name), "%s/s", other);
	theirs = server(name);
	assert_int_equal(symlink(other, path(r, "out")), 0);
	for (unsigned int i = 0; i < 2 * sizeof(names) / sizeof(names[0]);
	     i++) {
		struct proto_msg m = port(r, names[i / 2], i & 1);

		assert_int_equal(ask(r, &m, NULL, 0), -EPERM);
		assert_string_equal(m.error.reason, "not-allowed");
		assert_string_equal(m.error.path, "path");
	}
	assert_int_equal(callers(theirs), 0);
	assert_int_equal(grants_count(&r->m.grants), 0);
	close(theirs);
	unlink(name);
	rmdir(other);
}

static void client_is_renewed_when_somebody_is_there(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = port(r, "s", true);
	int fd[PROTO_FDS_MAX], theirs, peer;
	uint32_t h;
	char c = 0;

	assert_int_equal(ask(r, &m, NULL, 0), 0);
	h = m.grant.handle;
	assert_int_equal(by_handle(r, PROTO_RENEW, h, &m), -ENOENT);
	assert_string_equal(m.error.reason, "nobody-there");
	theirs = server(path(r, "s"));
	m = question(PROTO_RENEW);
	m.head.handle = h;
	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(m.head.nfds, VHOST_GRANT_RUN_FDS);
	peer = accept4(theirs, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(send(fd[VHOST_GRANT_SOCKET], "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(peer, &c, 1, MSG_DONTWAIT), 1);
	assert_int_equal(c, 'x');
	assert_int_equal(callers(theirs), 0);
	proto_close_fds(fd, m.head.nfds);
	close(peer);
	close(theirs);
}

static void renewal_asks_the_policy_as_it_is_now(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = port(r, "s", true);
	int theirs = server(path(r, "s"));
	uint32_t h;

	assert_int_equal(ask(r, &m, NULL, 0), 0);
	h = m.grant.handle;
	assert_int_equal(callers(theirs), 1);
	allow(r, "{\"sockets\":[]}");
	assert_int_equal(by_handle(r, PROTO_RENEW, h, &m), -EPERM);
	assert_string_equal(m.error.reason, "not-allowed");
	assert_int_equal(callers(theirs), 0);
	/* What is there goes on, and is put back as ever. */
	assert_int_equal(by_handle(r, PROTO_ADOPT, h, &m), 0);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h, &m), 0);
	close(theirs);
}

static void process_to_come_gets_socket_state_and_what_is_held(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = port(r, "s", false);
	int fd[PROTO_FDS_MAX], kick = memory("kick");
	char text[8] = "";
	uint32_t h;

	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	h = m.grant.handle;
	assert_false(m.grant.resumed);
	assert_int_equal(pwrite(fd[VHOST_GRANT_STATE], "state", 5, 8192), 5);
	proto_close_fds(fd, m.head.nfds);
	m = question(PROTO_HOLD);
	m.head.handle = h;
	m.head.arg = 9;
	assert_int_equal(ask(r, &m, &kick, 1), 0);
	close(kick);
	grants_unclaim(&r->m.grants, 0);
	/* It has lost its memory: it asks for the same anew. */
	m = port(r, "s", false);
	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(m.grant.handle, h);
	assert_true(m.grant.resumed);
	assert_int_equal(pread(fd[VHOST_GRANT_STATE], text, 5, 8192), 5);
	assert_string_equal(text, "state");
	proto_close_fds(fd, m.head.nfds);
	m = question(PROTO_HELD);
	m.head.handle = h;
	m.head.arg = 9;
	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(pread(fd[0], text, 4, 0), 4);
	close(fd[0]);
	assert_memory_equal(text, "kick", 4);
}

/* Another name, the same socket: what nobody claims is in the way. */
static void leftover_on_the_same_path_gives_way(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = port(r, "s", false);

	assert_int_equal(ask(r, &m, NULL, 0), 0);
	m = port(r, "s", false);
	strcpy(m.request.name, "q");
	assert_int_equal(ask(r, &m, NULL, 0), -EADDRINUSE);
	assert_string_equal(m.error.reason, "in-use");
	grants_unclaim(&r->m.grants, 0);
	m = port(r, "s", false);
	strcpy(m.request.name, "q");
	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_int_equal(grants_count(&r->m.grants), 1);
	assert_true(serves(path(r, "s")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(socket_goes_over_without_its_folder),
		RIG(socket_elsewhere_is_neither_made_nor_connected_to),
		RIG(client_is_renewed_when_somebody_is_there),
		RIG(renewal_asks_the_policy_as_it_is_now),
		RIG(process_to_come_gets_socket_state_and_what_is_held),
		RIG(leftover_on_the_same_path_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
