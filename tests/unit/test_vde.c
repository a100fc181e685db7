/* Ports of VDE's and UML's clients: whose sockets they connect to, what is left
 * behind, and frames. */
#include "ports/vde.h"

#include "ports/vde_request.h"
#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOMEBODY 12345 /* a user's number that isn't ours */

/* A client: the two ends of its connection, and its data socket. */
struct rig {
	char dir[64];
	struct port_request rq;
	struct port_grant g;
	struct error err;
	int theirs; /* of the connection; ours is in the grant */
	int data;
	unsigned int fds;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int pair[2];

	assert_non_null(r);
	strcpy(r->dir, "/tmp/vde_test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->fds = fds_count();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	r->theirs = pair[0];
	r->g.fd[0] = pair[1];
	r->g.nfds = 1;
	r->data = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_true(r->data >= 0);
	strcpy(r->rq.type, "vde");
	strcpy(r->rq.name, "v.3");
	r->rq.enabled = r->rq.given = true;
	r->rq.vde.number = 3;
	strcpy(r->rq.vde.folder, r->dir);
	*state = r;
	return 0;
}

/* Nothing is left of the port: no descriptor, and in the folder only what the
 * test has made, which begins with a dot. */
static int teardown(void **state)
{
	struct rig *r = *state;
	DIR *d = opendir(r->dir);
	struct dirent *e;
	char cmd[96];
	int bad = 0;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			print_error("left: %s\n", e->d_name);
			bad = 1;
		}
	if (d)
		closedir(d);
	if (r->theirs >= 0)
		close(r->theirs);
	close(r->data);
	bad |= fds_count() != r->fds;
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	/* The command is this test's own. NOLINTNEXTLINE(cert-env33-c) */
	bad |= system(cmd) != 0;
	free(r);
	return bad ? -1 : 0;
}

static struct sockaddr_un at(const char *dir, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	assert_true(snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir,
			     name) < (int)sizeof(a.sun_path));
	return a;
}

/* The client's socket is there; and told. */
static struct sockaddr_un client_at(struct rig *r, const char *name)
{
	struct sockaddr_un a = at(r->dir, name);

	assert_int_equal(bind(r->data, (void *)&a, sizeof(a)), 0);
	memcpy(r->rq.vde.peer, &a, sizeof(a));
	return a;
}

static void acquired(struct rig *r)
{
	int n = vde_acquire(&r->rq, &r->g, &r->err);

	if (n < 0)
		fail_msg("%s: %s", r->err.reason, r->err.message);
}

/* Refused, for that reason, and the connection is still the caller's. */
static void refused(struct rig *r, int error, const char *reason)
{
	int connection = r->g.fd[0];

	assert_int_equal(vde_acquire(&r->rq, &r->g, &r->err), error);
	assert_string_equal(r->err.reason, reason);
	assert_true(fcntl(connection, F_GETFD) >= 0);
	close(connection);
}

static void connect_client(struct rig *r)
{
	uint8_t answer[LISTEN_ANSWER_MAX];

	assert_int_equal(vde_answer(&r->rq, &r->g, answer), VDE_ADDRESS_LEN);
	assert_int_equal(connect(r->data, (void *)answer, VDE_ADDRESS_LEN), 0);
}

/* ---- Acquire and release ---- */

static void socket_is_called_by_its_number_and_goes(void **state)
{
	struct rig *r = *state;
	uint8_t answer[LISTEN_ANSWER_MAX];
	struct sockaddr_un want = at(r->dir, "003");
	struct stat st;

	client_at(r, ".client");
	acquired(r);
	assert_int_equal(r->g.nfds, VDE_GRANT_FDS);
	assert_int_equal(r->g.mtu, 1500);
	assert_int_equal(vde_answer(&r->rq, &r->g, answer), sizeof(want));
	assert_memory_equal(answer, &want, sizeof(want));
	assert_int_equal(lstat(want.sun_path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 0777, 0600);
	vde_release(&r->rq, &r->g);
	assert_int_equal(lstat(want.sun_path, &st), -1);
}

static void taken_number_gets_a_name_behind_it(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = at(r->dir, "003"), want = at(r->dir, "003.1");
	int last = socket(AF_UNIX, SOCK_DGRAM, 0);
	uint8_t answer[LISTEN_ANSWER_MAX];

	assert_int_equal(bind(last, (void *)&a, sizeof(a)), 0);
	client_at(r, ".client");
	acquired(r);
	assert_int_equal(vde_answer(&r->rq, &r->g, answer), sizeof(want));
	assert_memory_equal(answer, &want, sizeof(want));
	vde_release(&r->rq, &r->g);
	assert_int_equal(access(a.sun_path, F_OK), 0);
	close(last);
	unlink(a.sun_path);
}

static void left_socket_is_replaced(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = at(r->dir, "003");
	int last = socket(AF_UNIX, SOCK_DGRAM, 0);
	uint8_t answer[LISTEN_ANSWER_MAX];

	assert_int_equal(bind(last, (void *)&a, sizeof(a)), 0);
	close(last);
	client_at(r, ".client");
	acquired(r);
	assert_int_equal(vde_answer(&r->rq, &r->g, answer), sizeof(a));
	assert_memory_equal(answer, &a, sizeof(a));
	vde_release(&r->rq, &r->g);
}

static void others_socket_under_our_name_stays(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = at(r->dir, "003");
	int other = socket(AF_UNIX, SOCK_DGRAM, 0);

	client_at(r, ".client");
	acquired(r);
	assert_int_equal(unlink(a.sun_path), 0);
	assert_int_equal(bind(other, (void *)&a, sizeof(a)), 0);
	vde_release(&r->rq, &r->g);
	assert_int_equal(access(a.sun_path, F_OK), 0);
	close(other);
	unlink(a.sun_path);
}

/* Or whoever may write to the folder could keep all others away by one. */
static void name_that_is_no_sockets_is_passed_over(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un file = at(r->dir, "003");

	client_at(r, ".client");
	assert_int_equal(mknod(file.sun_path, S_IFREG | 0600, 0), 0);
	acquired(r);
	assert_int_equal(access(at(r->dir, "003.1").sun_path, F_OK), 0);
	connect_client(r);
	vde_release(&r->rq, &r->g);
	assert_int_equal(unlink(file.sun_path), 0);
}

static void path_too_long_for_the_answer_is_refused(void **state)
{
	struct rig *r = *state;
	size_t n = strlen(r->dir);

	client_at(r, ".client");
	for (; n < 102; n += 2)
		strcpy(r->rq.vde.folder + n, "/.");
	refused(r, -ENAMETOOLONG, "bad-path");
}

/* ---- Whose socket it is ---- */

static void others_socket_is_refused(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = client_at(r, ".client");

	if (geteuid() != 0) {
		close(r->g.fd[0]);
		skip();
	}
	assert_int_equal(chown(a.sun_path, SOMEBODY, (gid_t)-1), 0);
	refused(r, -EACCES, "bad-address");
	assert_non_null(strstr(r->err.message, "isn't the client's"));
}

static void symbolic_link_is_refused(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = client_at(r, ".client");
	struct sockaddr_un link = at(r->dir, ".link");

	assert_int_equal(symlink(a.sun_path, link.sun_path), 0);
	memcpy(r->rq.vde.peer, &link, sizeof(link));
	refused(r, -EACCES, "bad-address");
	assert_non_null(strstr(r->err.message, "no socket"));
}

static void path_in_another_folder_is_refused(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un deep = at(r->dir, ".deep");
	struct sockaddr_un a;

	assert_int_equal(mkdir(deep.sun_path, 0700), 0);
	client_at(r, ".deep/client");
	refused(r, -EACCES, "bad-address");
	/* Nor is there a way there by the folder itself. */
	a = at(r->dir, ".deep/../.deep/client");
	memcpy(r->rq.vde.peer, &a, sizeof(a));
	r->g = (struct port_grant){ .nfds = 1, .fd = { dup(r->theirs) } };
	refused(r, -EACCES, "bad-address");
}

/* Messages become events, which are UTF-8, and log lines. */
static void address_that_is_no_text_is_refused_in_printable_words(void **state)
{
	static const char name[] = "/tmp/\xff\x1b[2J\nswitchd: all is well\x80";
	struct rig *r = *state;

	assert_int_equal(vde_address_make(r->rq.vde.peer, name, sizeof(name)),
			 0);
	refused(r, -ENOENT, "bad-address");
	for (const char *p = r->err.message; *p; p++)
		assert_true(*p >= ' ' && *p <= '~');
	assert_non_null(strstr(r->err.message, "/tmp/??[2J?switchd: all"));
}

static void folders_themselves_are_refused(void **state)
{
	static const char *const bad[] = { "/tmp/", "/tmp/.", "/tmp/..", "/" };
	struct rig *r = *state;
	int connection = r->g.fd[0];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vde_address_make(r->rq.vde.peer, bad[i],
						  strlen(bad[i])),
				 0);
		r->g = (struct port_grant){ .nfds = 1, .fd = { connection } };
		assert_true(vde_acquire(&r->rq, &r->g, &r->err) < 0);
		assert_string_equal(r->err.reason, "bad-address");
	}
	close(connection);
}

static void socket_right_in_tmp_is_taken(void **state)
{
	struct rig *r = *state;
	char name[64];
	struct sockaddr_un a;

	snprintf(name, sizeof(name), "vde.%05d-00000", (int)getpid());
	a = at("/tmp", name);
	assert_int_equal(bind(r->data, (void *)&a, sizeof(a)), 0);
	memcpy(r->rq.vde.peer, &a, sizeof(a));
	acquired(r);
	unlink(a.sun_path);
	connect_client(r);
	vde_release(&r->rq, &r->g);
}

static void folder_may_be_called_by_its_real_name(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un link = at(r->dir, ".same");

	assert_int_equal(symlink(".", link.sun_path), 0);
	client_at(r, ".client");
	snprintf(r->rq.vde.folder, sizeof(r->rq.vde.folder), "%s",
		 link.sun_path);
	acquired(r);
	vde_release(&r->rq, &r->g);
}

static void nobody_there_is_refused(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = client_at(r, ".client");

	close(r->data);
	r->data = socket(AF_UNIX, SOCK_DGRAM, 0);
	refused(r, -ECONNREFUSED, "bad-address");
	r->g = (struct port_grant){ .nfds = 1, .fd = { dup(r->theirs) } };
	unlink(a.sun_path);
	refused(r, -ENOENT, "bad-address");
}

static void stream_socket_is_refused(void **state)
{
	struct rig *r = *state;

	close(r->data);
	r->data = socket(AF_UNIX, SOCK_STREAM, 0);
	client_at(r, ".client");
	assert_int_equal(listen(r->data, 1), 0);
	refused(r, -EPROTOTYPE, "bad-address");
}

static void without_a_connection_there_is_no_port(void **state)
{
	struct rig *r = *state;

	client_at(r, ".client");
	r->rq.given = false;
	refused(r, -EINVAL, "bad-request");
}

/* ---- UML ---- */

/* An abstract name with garbage behind it, all of which counts. */
static void uml_client(struct rig *r)
{
	struct sockaddr_un a;

	memset(&a, 0xa5, sizeof(a));
	a.sun_family = AF_UNIX;
	a.sun_path[0] = '\0';
	snprintf(a.sun_path + 1, 32, "vde_test %d", (int)getpid());
	assert_int_equal(bind(r->data, (void *)&a, sizeof(a)), 0);
	memcpy(r->rq.vde.peer, &a, sizeof(a));
}

static void uml_gets_an_abstract_name_of_all_110_bytes(void **state)
{
	struct rig *r = *state;
	uint8_t answer[LISTEN_ANSWER_MAX];

	uml_client(r);
	strcpy(r->rq.type, "uml");
	r->rq.vde.folder[0] = '\0';
	acquired(r);
	assert_int_equal(r->g.nfds, VDE_GRANT_RUN_FDS);
	assert_int_equal(vde_answer(&r->rq, &r->g, answer), VDE_ADDRESS_LEN);
	assert_int_equal(answer[2], 0);
	/* It doesn't connect: it sends to that address, frame by frame. */
	assert_int_equal(
		sendto(r->data, "frame", 5, 0, (void *)answer, VDE_ADDRESS_LEN),
		5);
	vde_release(&r->rq, &r->g);
}

static void uml_guest_may_come_to_a_vde_listener(void **state)
{
	struct rig *r = *state;

	uml_client(r);
	acquired(r);
	connect_client(r);
	vde_release(&r->rq, &r->g);
}

/* ---- The port ---- */

static struct port *opened(struct rig *r)
{
	const struct port_ops *ops = port_ops_find(r->rq.type);
	struct port *p;

	acquired(r);
	connect_client(r);
	assert_non_null(ops);
	p = ops->open(&r->rq, &r->g, &r->err);
	assert_non_null(p);
	return p;
}

static void closed(struct rig *r, struct port *p)
{
	p->ops->close(p);
	vde_release(&r->rq, &r->g);
}

static bool readable(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };

	return poll(&f, 1, 0) > 0;
}

static uint8_t memory[FRAME_BATCH_MAX * 4096];

static unsigned int receive(struct port *p, struct frame *f)
{
	struct frame_arena arena = { .base = memory, .size = sizeof(memory) };

	return p->ops->rx(p, 0, f, FRAME_BATCH_MAX, &arena);
}

static void frames_go_both_ways_without_the_client_file(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = client_at(r, ".client");
	struct port *p = opened(r);
	struct frame got[FRAME_BATCH_MAX], f, *list = &f;
	uint8_t data[FRAME_HEADROOM + 64] = { 0 }, back[128];
	enum drop_reason why;

	unlink(a.sun_path);
	assert_int_equal(send(r->data, "twelve bytes", 12, 0), 12);
	assert_true(readable(p->queue_fd[0]));
	assert_int_equal(receive(p, got), 1);
	assert_int_equal(got[0].len, 12);
	assert_memory_equal(got[0].data, "twelve bytes", 12);
	memset(data + FRAME_HEADROOM, 7, 64);
	frame_init(&f, data + FRAME_HEADROOM, 64);
	assert_int_equal(p->ops->tx(p, &list, 1, &why), 1);
	assert_int_equal(recv(r->data, back, sizeof(back), MSG_DONTWAIT), 64);
	assert_memory_equal(back, data + FRAME_HEADROOM, 64);
	closed(r, p);
}

static void nobody_else_gets_frames_in(void **state)
{
	struct rig *r = *state;
	struct port *p;
	struct sockaddr_un own = at(r->dir, "003");
	int other = socket(AF_UNIX, SOCK_DGRAM, 0);

	client_at(r, ".client");
	p = opened(r);
	assert_int_equal(sendto(other, "x", 1, 0, (void *)&own, sizeof(own)),
			 -1);
	assert_int_equal(errno, EPERM);
	assert_false(readable(p->queue_fd[0]));
	close(other);
	closed(r, p);
}

/* By the kernel, or where that can't yet they are closed at once. */
static void descriptors_beside_a_frame_get_nowhere(void **state)
{
	struct rig *r = *state;
	struct frame got[FRAME_BATCH_MAX];
	struct port *p;
	unsigned int fds;

	client_at(r, ".client");
	p = opened(r);
	fds = fds_count();
	if (fds_send(r->data, "frame", 5, &r->data, 1) < 0) {
		assert_int_equal(errno, EPERM);
		assert_int_equal(receive(p, got), 0);
	} else {
		assert_int_equal(receive(p, got), 1);
		assert_int_equal(got[0].len, 5);
	}
	assert_int_equal(fds_count(), fds);
	closed(r, p);
}

static void end_of_the_connection_is_the_ports(void **state)
{
	struct rig *r = *state;
	struct frame got[FRAME_BATCH_MAX];
	struct port *p;

	client_at(r, ".client");
	p = opened(r);
	/* What it says there means nothing. */
	assert_int_equal(send(r->theirs, "hello", 5, 0), 5);
	assert_false(readable(p->control_fd));
	assert_int_equal(receive(p, got), 0);
	assert_int_equal(atomic_load(&p->failed), 0);
	close(r->theirs);
	r->theirs = -1;
	assert_true(readable(p->control_fd));
	p->ops->control(p);
	assert_true(readable(p->queue_fd[0]));
	assert_int_equal(receive(p, got), 0);
	assert_int_not_equal(atomic_load(&p->failed), 0);
	closed(r, p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(socket_is_called_by_its_number_and_goes),
		TEST(taken_number_gets_a_name_behind_it),
		TEST(left_socket_is_replaced),
		TEST(others_socket_under_our_name_stays),
		TEST(name_that_is_no_sockets_is_passed_over),
		TEST(path_too_long_for_the_answer_is_refused),
		TEST(others_socket_is_refused),
		TEST(symbolic_link_is_refused),
		TEST(path_in_another_folder_is_refused),
		TEST(address_that_is_no_text_is_refused_in_printable_words),
		TEST(folders_themselves_are_refused),
		TEST(socket_right_in_tmp_is_taken),
		TEST(folder_may_be_called_by_its_real_name),
		TEST(nobody_there_is_refused),
		TEST(stream_socket_is_refused),
		TEST(without_a_connection_there_is_no_port),
		TEST(uml_gets_an_abstract_name_of_all_110_bytes),
		TEST(uml_guest_may_come_to_a_vde_listener),
		TEST(frames_go_both_ways_without_the_client_file),
		TEST(nobody_else_gets_frames_in),
		TEST(descriptors_beside_a_frame_get_nowhere),
		TEST(end_of_the_connection_is_the_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
