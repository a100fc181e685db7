/* stream ports: connecting, connecting again, given connections, the next
 * process. The main thread's part is done by hand. */
#include "tests/unit/stream_rig.h"

#include "ports/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

struct lab {
	unsigned int fds;
	char dir[32];
	struct port_request rq;
	struct port_grant grant;
	struct error err;
	struct port *port;
	int listener, peer;
	struct frame frame[FRAME_BATCH_MAX];
	struct frame_arena arena;
	struct reader in;
};

/* ---- The other end ---- */

static void unlink_socket(const struct lab *l)
{
	char path[64];

	snprintf(path, sizeof(path), "%.31s/s", l->dir);
	(void)unlink(path);
}

static void listens_unix(struct lab *l)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%.31s/s", l->dir);
	l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(l->listener >= 0);
	assert_int_equal(bind(l->listener, (struct sockaddr *)&a, sizeof(a)),
			 0);
	assert_int_equal(listen(l->listener, 4), 0);
}

/* At a port of the kernel's choice, which is where the port connects to. */
static void listens_tcp(struct lab *l)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(l->listener >= 0);
	assert_int_equal(bind(l->listener, (struct sockaddr *)&a, sizeof(a)),
			 0);
	assert_int_equal(listen(l->listener, 4), 0);
	assert_int_equal(getsockname(l->listener, (struct sockaddr *)&a, &len),
			 0);
	snprintf(l->rq.stream.connect, sizeof(l->rq.stream.connect),
		 "127.0.0.1:%u", ntohs(a.sin_port));
}

static void stops_listening(struct lab *l)
{
	close(l->listener);
	l->listener = -1;
	unlink_socket(l);
}

/* ---- The port ---- */

static struct port_state state_of(struct lab *l)
{
	struct port_state s;

	l->port->ops->state(l->port, &s);
	return s;
}

static unsigned int rx(struct lab *l)
{
	l->arena.used = 0;
	return l->port->ops->rx(l->port, 0, l->frame, FRAME_BATCH_MAX,
				&l->arena);
}

/* What the worker and the main thread do, until the port is in this
 * condition. Returns how often there was news. */
static unsigned int until(struct lab *l, const char *condition)
{
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;
	unsigned int news = 0;

	while (strcmp(state_of(l).condition, condition) != 0) {
		struct pollfd p[2] = {
			{ .fd = l->port->queue_fd[0], .events = POLLIN },
			{ .fd = l->port->control_fd, .events = POLLIN },
		};

		assert_true(clock_ns() < end);
		(void)poll(p, 2, 100);
		if (p[0].revents)
			assert_int_equal(rx(l), 0);
		if (p[1].revents)
			news += l->port->ops->control(l->port);
	}
	return news;
}

/* It dials until somebody is there, and then works. */
static void accepts(struct lab *l)
{
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;

	while (!rig_readable(l->listener, 10)) {
		assert_true(clock_ns() < end);
		if (rig_readable(l->port->control_fd, 0))
			l->port->ops->control(l->port);
	}
	l->peer = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(l->peer >= 0);
	(void)until(l, "running");
	assert_true(state_of(l).carrier);
	assert_null(state_of(l).reason);
}

static void hangs_up(struct lab *l)
{
	close(l->peer);
	l->peer = -1;
	l->in.used = 0;
}

static void acquires(struct lab *l)
{
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), 0);
}

static void opens(struct lab *l)
{
	l->port = port_ops_stream.open(&l->rq, &l->grant, &l->err);
	assert_non_null(l->port);
}

static unsigned int sends(struct lab *l, uint32_t n, enum drop_reason *why)
{
	uint8_t data[FRAME_HEADROOM + 100];
	struct frame f, *list[] = { &f };

	rig_bytes(data + FRAME_HEADROOM, 100, n);
	frame_init(&f, data + FRAME_HEADROOM, 100);
	return l->port->ops->tx(l->port, list, 1, why);
}

/* Frames go both ways. */
static void works(struct lab *l, uint32_t n)
{
	enum drop_reason why;
	uint8_t data[200];
	uint32_t len = rig_encode(data, 60, n);

	assert_int_equal(write(l->peer, data, len), len);
	assert_true(rig_readable(l->port->queue_fd[0], RIG_TIMEOUT));
	while (!rx(l))
		assert_true(rig_readable(l->port->queue_fd[0], RIG_TIMEOUT));
	assert_true(rig_same(l->frame[0].data, 60, n));
	assert_int_equal(sends(l, n + 1, &why), 1);
	assert_true(rig_readable(l->peer, RIG_TIMEOUT));
	(void)reader_fill(&l->in, l->peer);
	assert_int_equal(reader_take(&l->in, &len), n + 1);
	assert_int_equal(l->in.used, 0);
}

static void drops(struct lab *l)
{
	enum drop_reason why;

	assert_int_equal(sends(l, 1, &why), 0);
	assert_int_equal(why, DROP_LINK_DOWN);
}

static int setup(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->fds = fds_count();
	l->listener = l->peer = -1;
	strcpy(l->dir, "/tmp/stream-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	strcpy(l->rq.type, "stream");
	strcpy(l->rq.name, "vm1");
	l->rq.enabled = true;
	snprintf(l->rq.stream.connect, sizeof(l->rq.stream.connect), "%.31s/s",
		 l->dir);
	l->arena.base = malloc(RIG_ARENA);
	l->arena.size = RIG_ARENA;
	assert_non_null(l->arena.base);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct lab *l = *state;
	unsigned int left;

	if (l->port)
		l->port->ops->close(l->port);
	stream_release(&l->rq, &l->grant);
	if (l->peer >= 0)
		close(l->peer);
	if (l->listener >= 0)
		close(l->listener);
	unlink_socket(l);
	(void)rmdir(l->dir);
	left = fds_count() - l->fds;
	if (left)
		print_error("%u descriptors are left\n", left);
	free(l->in.data);
	free(l->arena.base);
	free(l);
	return left ? -1 : 0;
}

/* ---- Tests ---- */

static void port_connects_to_a_unix_socket(void **state)
{
	struct lab *l = *state;

	listens_unix(l);
	acquires(l);
	assert_int_equal(l->grant.nfds, 3);
	for (unsigned int i = 0; i < l->grant.nfds; i++)
		assert_int_equal(fcntl(l->grant.fd[i], F_GETFD), FD_CLOEXEC);
	assert_int_equal(l->grant.mtu, 1500);
	assert_int_equal(l->grant.tx_offloads, 0);
	opens(l);
	accepts(l);
	works(l, 1);
}

static void port_connects_over_tcp(void **state)
{
	struct lab *l = *state;
	socklen_t len = sizeof(int);
	int on = 0;

	listens_tcp(l);
	acquires(l);
	assert_int_equal(l->grant.nfds, 2);
	assert_int_equal(
		getsockopt(l->grant.fd[0], IPPROTO_TCP, TCP_NODELAY, &on, &len),
		0);
	assert_int_equal(on, 1);
	opens(l);
	accepts(l);
	works(l, 1);
	hangs_up(l);
	assert_int_equal(until(l, "waiting"), 1);
	accepts(l);
	works(l, 2);
}

static void nobody_there_is_no_error_and_is_dialled_again(void **state)
{
	struct lab *l = *state;

	acquires(l);
	opens(l);
	assert_string_equal(state_of(l).condition, "waiting");
	assert_false(state_of(l).carrier);
	drops(l);
	listens_unix(l);
	accepts(l);
	works(l, 1);
}

static void port_dials_again_after_the_other_end_has_gone(void **state)
{
	struct lab *l = *state;

	listens_unix(l);
	acquires(l);
	opens(l);
	for (uint32_t i = 0; i < 3; i++) {
		accepts(l);
		works(l, 10 * i);
		hangs_up(l);
		if (i == 1)
			stops_listening(l);
		assert_int_equal(until(l, "waiting"), 1);
		assert_null(state_of(l).reason); /* it's no fault */
		drops(l);
		if (i == 1)
			listens_unix(l);
	}
}

static void impossible_length_ends_the_connection_with_a_reason(void **state)
{
	const uint8_t word[] = { 0, 1, 0x10, 1 }; /* 69633 */
	struct lab *l = *state;

	listens_unix(l);
	acquires(l);
	opens(l);
	accepts(l);
	works(l, 1);
	assert_int_equal(write(l->peer, word, sizeof(word)), sizeof(word));
	assert_int_equal(until(l, "waiting"), 1);
	assert_non_null(strstr(state_of(l).reason, "an impossible length"));
	/* The other end sees it. */
	assert_true(rig_readable(l->peer, RIG_TIMEOUT));
	assert_int_equal(reader_fill(&l->in, l->peer), 0);
	hangs_up(l);
	accepts(l);
	works(l, 2);
}

/* A port of this host that nobody has is one that the kernel may choose for us:
 * then we'd reach ourselves. */
static void socket_that_has_reached_itself_has_reached_nobody(void **state)
{
	struct lab *l = *state;
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	acquires(l);
	assert_true(dup3(fd, l->grant.fd[0], O_CLOEXEC) >= 0);
	close(fd);
	opens(l);
	assert_string_equal(state_of(l).condition, "waiting");
	drops(l);
}

static void folder_that_is_not_there_is_refused(void **state)
{
	struct lab *l = *state;

	strcat(l->rq.stream.connect, "/none/s");
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), -ENOENT);
	assert_string_equal(l->err.reason, "no-folder");
	assert_string_equal(l->err.path, "connect");
	assert_int_equal(l->grant.nfds, 0);
}

static void refused(struct lab *l, const char *connect)
{
	snprintf(l->rq.stream.connect, sizeof(l->rq.stream.connect), "%s",
		 connect);
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), -EINVAL);
	assert_string_equal(l->err.reason, "bad-value");
	assert_string_equal(l->err.path, "connect");
	assert_int_equal(l->grant.nfds, 0);
}

static void what_is_no_address_is_refused(void **state)
{
	struct lab *l = *state;

	refused(l, "");
	refused(l, "localhost:4444");
	refused(l, "127.0.0.1");
	refused(l, "127.0.0.1:0");
	refused(l, "127.0.0.1:65536");
	refused(l, "::1:4444");
	refused(l, "0.0.0.0:4444");
	refused(l, "224.0.0.1:4444");
	refused(l, "[::]:4444");
	refused(l, "[ff02::1]:4444");
	l->rq.mtu = 67;
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), -EINVAL);
	assert_string_equal(l->err.path, "mtu");
}

static void mtu_is_adjusted_and_renew_keeps_the_number(void **state)
{
	struct lab *l = *state;
	int was;

	acquires(l);
	l->rq.mtu = 65535;
	assert_int_equal(stream_adjust(&l->rq, &l->grant, &l->err), 0);
	assert_int_equal(l->grant.mtu, 65535);
	l->rq.mtu = 0;
	assert_int_equal(stream_adjust(&l->rq, &l->grant, &l->err), 0);
	assert_int_equal(l->grant.mtu, 1500);
	was = l->grant.fd[0];
	assert_int_equal(stream_renew(&l->rq, &l->grant, &l->err), -ENOENT);
	assert_string_equal(l->err.reason, "nobody-there");
	listens_unix(l);
	assert_int_equal(stream_renew(&l->rq, &l->grant, &l->err), 0);
	assert_int_equal(l->grant.fd[0], was);
	assert_true(rig_readable(l->listener, RIG_TIMEOUT));
}

static void is_given(struct lab *l)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	l->rq.given = true;
	l->rq.stream.connect[0] = '\0';
	l->grant = (struct port_grant){ .nfds = 1, .fd = { fd[0] } };
	l->peer = fd[1];
}

static void given_connection_ends_the_port_with_it(void **state)
{
	struct lab *l = *state;

	is_given(l);
	acquires(l);
	assert_int_equal(l->grant.nfds, 2);
	opens(l);
	assert_string_equal(state_of(l).condition, "running");
	works(l, 1);
	assert_int_equal(l->port->failed, 0);
	hangs_up(l);
	assert_int_equal(until(l, "waiting"), 1);
	assert_int_equal(l->port->failed, ECONNRESET);
	assert_int_equal(stream_renew(&l->rq, &l->grant, &l->err), -EINVAL);
}

static void given_connection_that_closes_at_once_brings_its_frames(void **state)
{
	struct lab *l = *state;
	uint8_t data[100];
	uint32_t len = rig_encode(data, 60, 5);

	is_given(l);
	assert_int_equal(write(l->peer, data, len), len);
	hangs_up(l);
	acquires(l);
	opens(l);
	assert_int_equal(rx(l), 1);
	assert_true(rig_same(l->frame[0].data, 60, 5));
	(void)until(l, "waiting");
	assert_int_equal(l->port->failed, ECONNRESET);
}

/* The last descriptor that it takes is a copy of the connection. */
static void given_connection_without_a_descriptor_ends_the_port(void **state)
{
	struct lab *l = *state;
	struct rlimit few, was;
	int fd[5]; /* as many as come before it */

	is_given(l);
	acquires(l);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	for (unsigned int i = 0; i < 5; i++)
		fd[i] = dup(l->peer);
	few.rlim_cur = (rlim_t)fd[4] + 1;
	for (unsigned int i = 0; i < 5; i++)
		close(fd[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	l->port = port_ops_stream.open(&l->rq, &l->grant, &l->err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_non_null(l->port);
	assert_true(rig_readable(l->port->control_fd, 0));
	(void)l->port->ops->control(l->port);
	assert_int_not_equal(l->port->failed, 0);
}

static void given_descriptor_that_is_no_stream_is_refused(void **state)
{
	struct lab *l = *state;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd),
			 0);
	l->rq.given = true;
	l->grant = (struct port_grant){ .nfds = 1, .fd = { fd[0] } };
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), -EINVAL);
	assert_string_equal(l->err.reason, "not-a-stream");
	/* It is still the caller's: listen.h. */
	assert_int_equal(close(fd[0]), 0);
	close(fd[1]);
	assert_int_equal(stream_acquire(&l->rq, &l->grant, &l->err), -EINVAL);
	assert_string_equal(l->err.reason, "bad-grant");
}

/* As a process that was killed, and the one after it. */
static void dies(struct lab *l)
{
	l->port->ops->close(l->port);
	l->port = NULL;
	l->grant.resumed = true;
	opens(l);
	assert_string_equal(state_of(l).condition, "waiting");
}

static void next_process_goes_on_with_half_a_frame(void **state)
{
	struct lab *l = *state;
	uint8_t data[100];
	uint32_t len = rig_encode(data, 60, 5);

	listens_unix(l);
	acquires(l);
	opens(l);
	accepts(l);
	for (uint32_t cut = 1; cut < len; cut += 7) {
		assert_int_equal(write(l->peer, data, cut), cut);
		assert_int_equal(rx(l), 0);
		dies(l);
		l->port->ops->take_over(l->port);
		assert_string_equal(state_of(l).condition, "running");
		assert_int_equal(write(l->peer, data + cut, len - cut),
				 len - cut);
		assert_int_equal(rx(l), 1);
		assert_true(rig_same(l->frame[0].data, 60, 5));
	}
	works(l, 1);
	/* And a process that goes on after all. */
	assert_int_equal(write(l->peer, data, 9), 9);
	assert_int_equal(rx(l), 0);
	l->port->ops->take_over(l->port);
	assert_int_equal(write(l->peer, data + 9, len - 9), len - 9);
	assert_int_equal(rx(l), 1);
	works(l, 2);
}

static struct stream_state *state_memory(const struct lab *l)
{
	void *p = mmap(NULL, STREAM_STATE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED, l->grant.fd[STREAM_GRANT_STATE], 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* The process died as it sent, and nobody knows what of a frame. */
static void leave_doubt(struct lab *l)
{
	struct stream_state *s = state_memory(l);

	s->sends = 1;
	s->end[0] = 64;
	s->tx_msg.msg_len = 10;
	s->tx = STREAM_BUSY;
	munmap(s, STREAM_STATE_SIZE);
}

static void connection_in_doubt_is_given_up_and_dialled_anew(void **state)
{
	struct lab *l = *state;

	listens_unix(l);
	acquires(l);
	opens(l);
	accepts(l);
	works(l, 1);
	dies(l);
	leave_doubt(l);
	l->port->ops->take_over(l->port);
	assert_string_equal(state_of(l).condition, "waiting");
	assert_true(rig_readable(l->peer, RIG_TIMEOUT));
	assert_int_equal(reader_fill(&l->in, l->peer), 0);
	hangs_up(l);
	accepts(l);
	works(l, 2);
}

static void given_connection_in_doubt_ends_the_port(void **state)
{
	struct lab *l = *state;

	is_given(l);
	acquires(l);
	opens(l);
	works(l, 1);
	dies(l);
	leave_doubt(l);
	l->port->ops->take_over(l->port);
	(void)until(l, "waiting");
	assert_int_equal(l->port->failed, ECONNRESET);
}

static void insane_state_gives_the_connection_up(void **state)
{
	struct lab *l = *state;
	struct stream_state *s;

	listens_unix(l);
	acquires(l);
	opens(l);
	accepts(l);
	works(l, 1);
	dies(l);
	s = state_memory(l);
	memset(s, 0xff, sizeof(*s));
	munmap(s, STREAM_STATE_SIZE);
	l->port->ops->take_over(l->port);
	assert_string_equal(state_of(l).condition, "waiting");
	hangs_up(l);
	accepts(l);
	works(l, 2);
}

static void process_that_died_while_nobody_was_there_dials_on(void **state)
{
	struct lab *l = *state;

	acquires(l);
	opens(l);
	dies(l);
	l->port->ops->take_over(l->port);
	listens_unix(l);
	accepts(l);
	works(l, 1);
	hangs_up(l);
	assert_int_equal(until(l, "waiting"), 1);
	dies(l);
	l->port->ops->take_over(l->port);
	accepts(l);
	works(l, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_connects_to_a_unix_socket),
		TEST(port_connects_over_tcp),
		TEST(nobody_there_is_no_error_and_is_dialled_again),
		TEST(port_dials_again_after_the_other_end_has_gone),
		TEST(impossible_length_ends_the_connection_with_a_reason),
		TEST(socket_that_has_reached_itself_has_reached_nobody),
		TEST(folder_that_is_not_there_is_refused),
		TEST(what_is_no_address_is_refused),
		TEST(mtu_is_adjusted_and_renew_keeps_the_number),
		TEST(given_connection_ends_the_port_with_it),
		TEST(given_connection_that_closes_at_once_brings_its_frames),
		TEST(given_connection_without_a_descriptor_ends_the_port),
		TEST(given_descriptor_that_is_no_stream_is_refused),
		TEST(next_process_goes_on_with_half_a_frame),
		TEST(connection_in_doubt_is_given_up_and_dialled_anew),
		TEST(given_connection_in_doubt_ends_the_port),
		TEST(insane_state_gives_the_connection_up),
		TEST(process_that_died_while_nobody_was_there_dials_on),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
