/*
 * The monitor's answers to a switch process that somebody has taken over.
 */
#include "tests/unit/fds.h"
#include "tests/unit/monitor_calls.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BAD_CALLS 10000

/* ---- Calls in general ---- */

static void calls_that_are_none_are_refused(void **state)
{
	struct monitor_rig *r = *state;

	for (unsigned int type = 0; type < 300; type++) {
		struct proto_msg m = question((uint16_t)type);

		if (type >= PROTO_START && type <= PROTO_HELD)
			continue;
		m.head.seq = type;
		assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
		assert_string_equal(m.error.reason, "bad-request");
		assert_int_equal(m.head.seq, type);
	}
}

static void what_is_no_message_breaks_the_channel(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_FORGET);

	assert_int_equal(monitor_call(&r->m, 0), 0); /* nothing there */
	assert_int_equal(send(r->ch[0], &m, sizeof(m), 0), sizeof(m));
	assert_int_equal(monitor_call(&r->m, 0), -EPROTO);
	assert_int_equal(send(r->ch[0], &m, 0, 0), 0);
	assert_int_equal(monitor_call(&r->m, 0), -EPIPE);
}

static void who_doesnt_read_the_answers_breaks_the_channel(void **state)
{
	struct monitor_rig *r = *state;
	int result = 0;

	for (int i = 0; i < 100000 && result == 0; i++) {
		struct proto_msg m = question(PROTO_FORGET);

		assert_int_equal(proto_send(r->ch[0], &m, NULL, 0), 0);
		result = monitor_call(&r->m, 0);
	}
	assert_int_equal(result, -EAGAIN);
}

static void start_tells_what_there_is(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_START);
	int fd[PROTO_FDS_MAX], kept = memory("x");

	memset(m.text, 'x', sizeof(m.text));
	r->m.control.fd = r->m.helper.fd = kept;
	r->m.child[0].kept[KEEP_LEDGER] = dup(kept);
	assert_int_equal(monitor_rig_call(r, 1, &m, NULL, 0, fd), 0);
	assert_int_equal(m.head.nfds, 3);
	assert_int_equal(m.start.flags, PROTO_START_CONTROL |
						PROTO_START_HELPER |
						PROTO_START_KEPT(KEEP_LEDGER) |
						PROTO_START_UPGRADE);
	assert_string_equal(m.start.socket, "");
	proto_close_fds(fd, 3);
	close(kept);
}

static bool serves(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	r = connect(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return r == 0;
}

static void socket_that_was_shut_down_is_opened_anew(void **state)
{
	struct monitor_rig *r = *state;
	struct monitor *m = &r->m;
	int fd, was;

	m->socket_gid = (gid_t)-1;
	snprintf(m->settings.socket, sizeof(m->settings.socket), "%s",
		 path(r, "control"));
	snprintf(m->settings.helper_socket, sizeof(m->settings.helper_socket),
		 "%s", path(r, "helper"));
	m->control.lock_fd = m->helper.lock_fd = -1;
	monitor_listen_again(m); /* there are none yet */
	assert_true(serves(m->settings.socket));
	assert_true(serves(m->settings.helper_socket));
	was = fcntl(m->control.fd, F_DUPFD_CLOEXEC, 0);
	monitor_listen_again(m); /* nothing to do */
	assert_int_equal(shutdown(was, SHUT_RDWR), 0);
	assert_int_equal(shutdown(m->helper.fd, SHUT_RD), 0);
	assert_false(serves(m->settings.socket));
	monitor_listen_again(m);
	assert_true(serves(m->settings.socket));
	assert_true(serves(m->settings.helper_socket));
	close(was);
	/* The service manager's stays as it is. */
	fd = m->control.fd;
	shutdown(fd, SHUT_RDWR);
	free(m->control.path);
	m->control.path = NULL;
	monitor_listen_again(m);
	assert_int_equal(m->control.fd, fd);
	rpc_listener_close(&m->control);
	rpc_listener_close(&m->helper);
}

/* ---- What is given with a request ---- */

static int give(struct monitor_rig *r, const char *type, bool given,
		const int *fd, unsigned int n)
{
	struct proto_msg m = question(PROTO_ACQUIRE);

	snprintf(m.request.type, sizeof(m.request.type), "%s", type);
	snprintf(m.request.name, sizeof(m.request.name), "l.1");
	m.request.enabled = true;
	m.request.given = given;
	return ask(r, &m, fd, n);
}

static void connection_is_held_and_released(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_RELEASE);
	int pair[2], got[PROTO_FDS_MAX];
	struct proto_msg a = question(PROTO_ACQUIRE);
	char byte;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	strcpy(a.request.type, "seqpacket");
	strcpy(a.request.name, "l.1");
	a.request.enabled = a.request.given = true;
	assert_int_equal(monitor_rig_call(r, 0, &a, pair, 1, got), 0);
	assert_int_equal(a.head.nfds, 1);
	close(got[0]);
	close(pair[0]);
	/* The monitor's is the last one. */
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	m.head.handle = a.grant.handle;
	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0);
	close(pair[1]);
}

static void nothing_but_a_connection_of_that_type_is_taken(void **state)
{
	struct monitor_rig *r = *state;
	unsigned int n = fds_count();
	int records[2], stream[2], mem = memory("x");

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, records),
		0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(give(r, "seqpacket", true, NULL, 0), -EINVAL);
	assert_int_equal(give(r, "seqpacket", true, records, 2), -EINVAL);
	assert_int_equal(give(r, "seqpacket", true, stream, 1), -EINVAL);
	assert_int_equal(give(r, "seqpacket", true, &mem, 1), -EINVAL);
	assert_int_equal(give(r, "seqpacket", false, NULL, 0), -EINVAL);
	assert_int_equal(give(r, "seqpacket", false, records, 1), -EINVAL);
	assert_int_equal(give(r, "stream", true, records, 1), -EINVAL);
	assert_int_equal(give(r, "tap", true, stream, 1), -EINVAL);
	assert_int_equal(give(r, "listen", true, stream, 1), -EINVAL);
	assert_int_equal(give(r, "tap", false, stream, 1), -EINVAL);
	assert_int_equal(grants_count(&r->m.grants), 0);
	close(mem);
	proto_close_fds(records, 2);
	proto_close_fds(stream, 2);
	assert_int_equal(fds_count(), n);
}

/* ---- KEEP ---- */

static int keep(struct monitor_rig *r, uint32_t what, int fd)
{
	struct proto_msg m = question(PROTO_KEEP);

	m.head.arg = what;
	return ask(r, &m, &fd, 1);
}

static void memory_is_kept_and_replaced(void **state)
{
	struct monitor_rig *r = *state;
	int fd = memory("x");
	unsigned int n;

	for (uint32_t i = 0; i < KEEP_COUNT; i++)
		assert_int_equal(keep(r, i, fd), 0);
	n = fds_count();
	for (uint32_t i = 0; i < KEEP_COUNT; i++)
		assert_int_equal(keep(r, i, fd), 0);
	assert_int_equal(fds_count(), n);
	close(fd);
}

static void nothing_else_is_kept(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_KEEP);
	int fd = memory("x"), pipes[2];

	assert_int_equal(keep(r, KEEP_COUNT, fd), -EINVAL);
	assert_int_equal(keep(r, UINT32_MAX, fd), -EINVAL);
	assert_int_equal(keep(r, 0x80000000u, fd), -EINVAL);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(keep(r, KEEP_FDB, pipes[0]), -EINVAL);
	assert_int_equal(keep(r, KEEP_FDB, r->ch[0]), -EINVAL);
	assert_int_equal(ask(r, &m, pipes, 2), -EINVAL);
	assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
	for (int i = 0; i < KEEP_COUNT; i++)
		assert_int_equal(r->m.child[0].kept[i], -1);
	close(fd);
	proto_close_fds(pipes, 2);
}

/* Its close waits for a peer that doesn't read: a whole minute. */
static void socket_that_lingers_doesnt_hold_the_monitor_up(void **state)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	struct proto_msg m = question(PROTO_FORGET);
	struct monitor_rig *r = *state;
	socklen_t len = sizeof(a);
	static char buf[1 << 16];

	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&a, &len);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	while (send(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
		0);
	assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
	close(fd);
	/* The last descriptor of it is closed in there. */
	assert_int_equal(monitor_call(&r->m, 0), 0);
	close(peer);
	close(listener);
}

/* ---- Grants ---- */

static struct proto_msg capture(const struct monitor_rig *r, const char *name)
{
	struct proto_msg m = question(PROTO_ACQUIRE);

	strcpy(m.request.type, "pcap");
	strcpy(m.request.name, "p");
	snprintf(m.request.pcap.file, sizeof(m.request.pcap.file), "%s",
		 *name == '/' ? name : path(r, name));
	return m;
}

static uint32_t acquired(struct monitor_rig *r, const char *name)
{
	struct proto_msg m = capture(r, name);

	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_int_equal(m.head.nfds, 1); /* not the folder */
	return m.grant.handle;
}

static int by_handle(struct monitor_rig *r, uint16_t type, uint32_t handle)
{
	struct proto_msg m = question(type);

	m.head.handle = handle;
	return ask(r, &m, NULL, 0);
}

static void only_what_is_allowed_is_acquired(void **state)
{
	static const char *const files[] = {
		"/etc/passwd", "/etc/cron.d/x", "/dev/watchdog",
		"../x",	       "./x",		"/proc/sys/kernel/core_pattern"
	};
	static const char *const types[] = { "tap", "netdev" };
	struct monitor_rig *r = *state;
	struct proto_msg m;

	for (unsigned int i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		m = capture(r, files[i]);
		assert_int_equal(ask(r, &m, NULL, 0), -EPERM);
		assert_int_equal(m.head.nfds, 0);
		assert_string_equal(m.error.reason, "not-allowed");
	}
	for (unsigned int i = 0; i < 2; i++) {
		m = question(PROTO_ACQUIRE);
		strcpy(m.request.type, types[i]);
		assert_int_equal(ask(r, &m, NULL, 0), -EPERM);
		strcpy(m.request.type, types[i]);
		strcpy(m.request.tap.ifname, "%s%s%s%n");
		m.head.type = PROTO_ACQUIRE;
	}
	m = capture(r, "x");
	memset(m.request.name, 'x', sizeof(m.request.name));
	assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
	m = question(PROTO_ACQUIRE);
	strcpy(m.request.type, "dummy");
	assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
	assert_int_equal(grants_count(&r->m.grants), 0);
}

static void nothing_is_acquired_during_an_upgrade(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = capture(r, "a");

	r->m.upgrade = UPGRADE_LOADING;
	assert_int_equal(ask(r, &m, NULL, 0), -EBUSY);
	assert_int_equal(access(path(r, "a"), F_OK), -1);
}

static void handle_is_good_for_its_holder_only(void **state)
{
	static const uint16_t calls[] = { PROTO_ADJUST,	 PROTO_RENEW,
					  PROTO_RELEASE, PROTO_PLACE,
					  PROTO_XDP,	 PROTO_HOLD,
					  PROTO_HELD };
	struct monitor_rig *r = *state;
	uint32_t h = acquired(r, "a");

	r->m.active = 1;
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_int_equal(by_handle(r, calls[i], h), -ENOENT);
		assert_int_equal(by_handle(r, calls[i], 0), -ENOENT);
		assert_int_equal(by_handle(r, calls[i], UINT32_MAX), -ENOENT);
	}
	assert_int_equal(by_handle(r, PROTO_ADOPT, h + 0x10000), -ENOENT);
	/* The new process of an upgrade takes it over, and the old one, which
	 * ends, doesn't take it along. */
	assert_int_equal(by_handle(r, PROTO_ADOPT, h), 0);
	r->m.active = 0;
	assert_int_equal(by_handle(r, PROTO_RELEASE, h), 0);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h), -ENOENT);
	assert_int_equal(grants_count(&r->m.grants), 1);
}

static void renewal_is_for_captures_that_rotate(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquired(r, "a");
	struct proto_msg m = capture(r, "b");

	assert_int_equal(by_handle(r, PROTO_RENEW, h), -EINVAL);
	m.request.pcap.rotate_bytes = 1 << 20;
	m.request.pcap.rotate_files = 2;
	assert_int_equal(ask(r, &m, NULL, 0), 0);
	h = m.grant.handle;
	for (int i = 0; i < 3; i++)
		assert_int_equal(by_handle(r, PROTO_RENEW, h), 0);
	assert_int_equal(access(path(r, "b"), F_OK), 0);
	assert_int_equal(access(path(r, "b.1"), F_OK), 0);
	assert_int_equal(access(path(r, "b.2"), F_OK), -1);
}

static void adjust_with_nonsense_changes_nothing(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquired(r, "a");
	struct proto_msg m = capture(r, "/etc/passwd");

	m.head.type = PROTO_ADJUST;
	m.head.handle = h;
	memset(&m.request.enabled, 2, 1);
	assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
	m = capture(r, "/etc/passwd");
	m.head.type = PROTO_ADJUST;
	m.head.handle = h;
	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_string_equal(r->m.grants.g[0].rq.pcap.file, path(r, "a"));
}

static int by_handle_arg(struct monitor_rig *r, uint16_t type, uint32_t handle,
			 uint32_t arg)
{
	struct proto_msg m = question(type);

	m.head.handle = handle;
	m.head.arg = arg;
	return ask(r, &m, NULL, 0);
}

/* There is none in the rig; tests/e2e/fastpath_calls.c has one. */
static void fast_path_is_not_for_what_has_no_part_in_it(void **state)
{
	static const uint32_t args[] = { 0,	1,	     2,		4095,
					 65535, 0x80000000u, UINT32_MAX };
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_FASTPATH);
	uint32_t h = acquired(r, "a");

	strcpy(r->m.no_fastpath, "why");
	assert_int_equal(ask(r, &m, NULL, 0), -ENOTSUP);
	assert_string_equal(m.error.reason, "no-fast-path");
	assert_string_equal(m.error.message, "why");
	for (unsigned int i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		assert_int_equal(by_handle_arg(r, PROTO_PLACE, h, args[i]),
				 -EINVAL);
		assert_int_equal(by_handle_arg(r, PROTO_XDP, h, args[i]),
				 -EINVAL);
		/* Not even where a grant says so that isn't a device's. */
		r->m.grants.g[0].grant.fast = true;
		assert_int_equal(by_handle_arg(r, PROTO_PLACE, h, args[i]),
				 -EINVAL);
		r->m.grants.g[0].grant.fast = false;
	}
}

/* ---- HOLD and HELD ---- */

static int hold(struct monitor_rig *r, uint32_t handle, uint32_t number,
		const int *fd, unsigned int n)
{
	struct proto_msg m = question(PROTO_HOLD);

	m.head.handle = handle;
	m.head.arg = number;
	return ask(r, &m, fd, n);
}

/* What is held there: a descriptor, or what the monitor says. */
static int held(struct monitor_rig *r, unsigned int slot, uint32_t handle,
		uint32_t number)
{
	struct proto_msg m = question(PROTO_HELD);
	int fd[PROTO_FDS_MAX], result;

	m.head.handle = handle;
	m.head.arg = number;
	result = monitor_rig_call(r, slot, &m, NULL, 0, fd);
	assert_int_equal(m.head.nfds, result == 0);
	return result < 0 ? result : fd[0];
}

/* Is this the memory that was filled with that? Closes it. */
static bool has_text(int fd, const char *text)
{
	char buf[16] = "";

	assert_true(fd >= 0);
	assert_true(pread(fd, buf, sizeof(buf) - 1, 0) >= 0);
	close(fd);
	return !strcmp(buf, text);
}

static void what_is_held_is_handed_out_again(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquired(r, "a"), other = acquired(r, "b");
	int one = memory("one"), two = memory("two");
	unsigned int before;

	assert_int_equal(held(r, 0, h, 0), -ENOENT);
	assert_int_equal(hold(r, h, 0, &one, 1), 0);
	assert_int_equal(hold(r, h, PORT_HELD_MAX - 1, &two, 1), 0);
	before = fds_count();
	assert_true(has_text(held(r, 0, h, 0), "one"));
	assert_true(has_text(held(r, 0, h, PORT_HELD_MAX - 1), "two"));
	assert_int_equal(held(r, 0, other, 0), -ENOENT);
	/* Both of an upgrade's, once the new one has claimed it. */
	assert_int_equal(held(r, 1, h, 0), -ENOENT);
	r->m.active = 1;
	assert_int_equal(by_handle(r, PROTO_ADOPT, h), 0);
	assert_true(has_text(held(r, 1, h, 0), "one"));
	assert_true(has_text(held(r, 0, h, 0), "one"));
	/* And the one that comes after a crash. */
	grants_unclaim(&r->m.grants, 0);
	grants_unclaim(&r->m.grants, 1);
	assert_int_equal(held(r, 0, h, 0), -ENOENT);
	assert_int_equal(by_handle(r, PROTO_ADOPT, h), 0);
	assert_int_equal(hold(r, h, 0, &two, 1), 0);
	assert_true(has_text(held(r, 1, h, 0), "two"));
	assert_int_equal(fds_count(), before);
	assert_int_equal(hold(r, h, 0, NULL, 0), 0);
	assert_int_equal(held(r, 1, h, 0), -ENOENT);
	assert_int_equal(fds_count(), before - 1);
	close(one);
	close(two);
}

static void nothing_else_is_held(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquired(r, "a");
	int memories[2] = { memory("x"), memory("y") };
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int before = fds_count();

	assert_int_equal(hold(r, h, 0, &root, 1), -EINVAL);
	assert_int_equal(hold(r, h, 0, &null, 1), -EINVAL);
	assert_int_equal(hold(r, h, 0, &inet, 1), -EINVAL);
	assert_int_equal(hold(r, h, 0, memories, 2), -EINVAL);
	assert_int_equal(hold(r, h, PORT_HELD_MAX, memories, 1), -EINVAL);
	assert_int_equal(hold(r, h, PORT_HELD_MAX, NULL, 0), -EINVAL);
	assert_int_equal(hold(r, h, UINT32_MAX, memories, 1), -EINVAL);
	assert_int_equal(hold(r, 0, 0, memories, 1), -ENOENT);
	assert_int_equal(hold(r, h + 0x10000, 0, memories, 1), -ENOENT);
	assert_int_equal(held(r, 0, h, PORT_HELD_MAX), -ENOENT);
	assert_int_equal(held(r, 0, h, UINT32_MAX), -ENOENT);
	assert_int_equal(held(r, 0, h, 0), -ENOENT);
	assert_int_equal(fds_count(), before);
	close(root);
	close(null);
	close(inet);
	proto_close_fds(memories, 2);
}

static void what_is_held_ends_with_its_grant(void **state)
{
	struct monitor_rig *r = *state;
	unsigned int before = fds_count();
	uint32_t h = acquired(r, "a");
	int fd = memory("x");

	for (uint32_t i = 0; i < PORT_HELD_MAX; i++)
		assert_int_equal(hold(r, h, i, &fd, 1), 0);
	close(fd);
	assert_int_equal(fds_count(), before + 2 + PORT_HELD_MAX);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h), 0);
	assert_int_equal(fds_count(), before);
	assert_int_equal(held(r, 0, h, 0), -ENOENT);
}

static void forgetting_is_the_active_ones(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_FORGET);
	int fd[PROTO_FDS_MAX];

	acquired(r, "a");
	grants_unclaim(&r->m.grants, 0);
	assert_int_equal(monitor_rig_call(r, 1, &m, NULL, 0, fd), 0);
	assert_int_equal(grants_count(&r->m.grants), 1);
	m = question(PROTO_FORGET);
	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(grants_count(&r->m.grants), 0);
}

/* ---- Names and the configuration ---- */

static int ask_text(struct monitor_rig *r, uint16_t type, uint32_t arg,
		    const char *text, uint32_t *id)
{
	struct proto_msg m = question(type);
	int result;

	m.head.arg = arg;
	snprintf(m.text, sizeof(m.text), "%s", text);
	result = ask(r, &m, NULL, 0);
	*id = m.head.arg;
	return result;
}

static void ids_are_those_of_names_that_there_are(void **state)
{
	static const char *const names[] = {
		"",	  " root", "root:x",	 "../root",	      "%s%n",
		"root\n", "-1",	   "4294967295", "99999999999999999", "0x0"
	};
	struct monitor_rig *r = *state;
	char junk[PROTO_TEXT];
	uint32_t id;

	assert_int_equal(ask_text(r, PROTO_ID, 0, "root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(ask_text(r, PROTO_ID, 7, "root", &id), 0);
	assert_int_equal(ask_text(r, PROTO_ID, 0, "123456", &id), 0);
	assert_int_equal(id, 123456);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(ask_text(r, PROTO_ID, 0, names[i], &id),
				 -ENOENT);
	memset(junk, 0xff, sizeof(junk));
	junk[sizeof(junk) - 1] = '\0';
	assert_int_equal(ask_text(r, PROTO_ID, 1, junk, &id), -ENOENT);
}

static void acl_is_asked_about_profiles_only(void **state)
{
	static const char *const names[] = { "",  "a b",  "a\nallow a",
					     "*", "all#", "\xff" };
	struct monitor_rig *r = *state;
	uint32_t arg;

	snprintf(r->m.settings.helper_acl, sizeof(r->m.settings.helper_acl),
		 "%s", path(r, "acl"));
	assert_int_equal(ask_text(r, PROTO_ACL, 0, "guest", &arg), -ENOENT);
	put_file(path(r, "acl"), "allow guest\nallow bad\ndeny bad\n");
	assert_int_equal(ask_text(r, PROTO_ACL, 0, "guest", &arg), 0);
	assert_int_equal(ask_text(r, PROTO_ACL, 0, "bad", &arg), -EACCES);
	assert_int_equal(ask_text(r, PROTO_ACL, 0, "../acl", &arg), -EACCES);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(ask_text(r, PROTO_ACL, 0, names[i], &arg),
				 -EINVAL);
}

static void configuration_is_given_to_be_read(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_CONFIG);
	int fd[PROTO_FDS_MAX];

	assert_int_equal(ask(r, &m, NULL, 0), -ENOENT);
	assert_string_equal(m.error.reason, "no-config");
	r->options.config = r->config;
	m = question(PROTO_CONFIG);
	assert_int_equal(ask(r, &m, NULL, 0), -ENOENT);
	put_file(r->config, "{\"daemon\":{\"allow\":{\"files\":[]}}}");
	m = question(PROTO_CONFIG);
	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_int_equal(m.head.nfds, 1);
	assert_int_equal(fcntl(fd[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd[0]);
	/* And what it allows is in force. */
	assert_int_equal(save(r, path(r, "new"), EMPTY), -EPERM);
	/* A mistake is the switch's to tell; nothing changes. */
	put_file(r->config, "{");
	m = question(PROTO_CONFIG);
	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_int_equal(save(r, path(r, "new"), EMPTY), -EPERM);
}

static void configuration_that_others_may_write_is_refused(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_CONFIG);

	r->options.config = r->config;
	put_file(r->config, "{\"daemon\":{\"allow\":{\"files\":[\"*\"]}}}");
	assert_int_equal(chmod(r->config, 0666), 0);
	assert_int_equal(ask(r, &m, NULL, 0), -EPERM);
	assert_string_equal(m.error.reason, "config-writable");
	assert_int_equal(save(r, "/etc/switchd_test", EMPTY), -EPERM);
}

/* ---- In the long run ---- */

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* Some call or other, with descriptors that don't belong there. */
static void bad_call(struct monitor_rig *r, const int *fds, uint32_t *x)
{
	struct proto_msg m = question((uint16_t)(random_next(x) % 20));
	unsigned int n = random_next(x) % (PROTO_FDS_MAX + 1);
	int send[PROTO_FDS_MAX];

	for (unsigned int i = 0; i < n; i++)
		send[i] = fds[random_next(x) % 4];
	m.head.handle = random_next(x) % 4;
	m.head.arg = random_next(x) % 8;
	if (m.head.type == PROTO_START) /* there are no sockets to give */
		return;
	if (random_next(x) & 1)
		memset(m.text, 'x', sizeof(m.text));
	else
		snprintf(m.text, sizeof(m.text), "/etc/switchd_test");
	(void)ask(r, &m, send, n);
}

static void bad_calls_leak_no_descriptors(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t x = 0x12345678;
	int fds[4] = { memory("x"), memory(EMPTY) };
	unsigned int before;

	assert_int_equal(pipe2(fds + 2, O_CLOEXEC), 0);
	for (uint32_t i = 0; i < KEEP_COUNT; i++) /* those may stay */
		assert_int_equal(keep(r, i, fds[0]), 0);
	before = fds_count();
	for (int i = 0; i < BAD_CALLS; i++)
		bad_call(r, fds, &x);
	assert_int_equal(fds_count(), before);
	assert_int_equal(grants_count(&r->m.grants), 0);
	assert_int_equal(access("/etc/switchd_test", F_OK), -1);
	proto_close_fds(fds, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(calls_that_are_none_are_refused),
		RIG(what_is_no_message_breaks_the_channel),
		RIG(who_doesnt_read_the_answers_breaks_the_channel),
		RIG(start_tells_what_there_is),
		RIG(socket_that_was_shut_down_is_opened_anew),
		RIG(connection_is_held_and_released),
		RIG(nothing_but_a_connection_of_that_type_is_taken),
		RIG(memory_is_kept_and_replaced),
		RIG(nothing_else_is_kept),
		RIG(socket_that_lingers_doesnt_hold_the_monitor_up),
		RIG(only_what_is_allowed_is_acquired),
		RIG(nothing_is_acquired_during_an_upgrade),
		RIG(handle_is_good_for_its_holder_only),
		RIG(renewal_is_for_captures_that_rotate),
		RIG(adjust_with_nonsense_changes_nothing),
		RIG(fast_path_is_not_for_what_has_no_part_in_it),
		RIG(what_is_held_is_handed_out_again),
		RIG(nothing_else_is_held),
		RIG(what_is_held_ends_with_its_grant),
		RIG(forgetting_is_the_active_ones),
		RIG(ids_are_those_of_names_that_there_are),
		RIG(acl_is_asked_about_profiles_only),
		RIG(configuration_is_given_to_be_read),
		RIG(configuration_that_others_may_write_is_refused),
		RIG(bad_calls_leak_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
