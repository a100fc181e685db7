/*
 * Descriptors beside frames, as on a kernel that doesn't refuse them: nothing
 * refuses them at the sockets here. A close that waits takes a minute, and
 * PROMPT_S is what a test may take.
 */
#include "base/rights.h"

#include "base/fds.h"
#include "ports/datagrams.h"

#include "tests/unit/datagrams_rig.h"
#include "tests/unit/fuse.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "tests/unit/lingering.h"

#define PROMPT_S 20
#define LEN	 60u

static const uint8_t bytes[LEN];

struct rig {
	unsigned int fds;
	int fd[2]; /* ours and the other end */
	struct port *port;
	struct port_grant grant;
	struct frame_arena arena;
	struct frame frame[FRAME_BATCH_MAX];
};

/* ---- Helpers ---- */

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fds = fds_count();
	r->arena.size = DATAGRAMS_ARENA;
	r->arena.base = malloc(DATAGRAMS_ARENA);
	assert_non_null(r->arena.base);
	alarm(PROMPT_S);
	*state = r;
	return 0;
}

/* Until all are closed that were handed over; the alarm ends it. */
static void settle(const struct rig *r)
{
	while (fds_stuck() || fds_count() != r->fds)
		sched_yield();
}

static int teardown(void **state)
{
	struct rig *r = *state;

	if (r->port) {
		r->port->ops->close(r->port);
		port_grant_close(&r->grant);
	} else {
		rights_close(r->fd[0]);
	}
	close(r->fd[1]);
	settle(r);
	alarm(0);
	free(r->arena.base);
	free(r);
	return 0;
}

static void pair(struct rig *r, int type)
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, r->fd), 0);
}

static struct datagrams *open_port(struct rig *r, int type)
{
	static const struct port_request rq = { .name = "p" };
	struct error err;

	pair(r, type);
	r->grant = (struct port_grant){ .nfds = 1, .fd = { r->fd[0] } };
	r->grant.mtu = 1500;
	r->port = datagrams_open(&ops, &rq, &r->grant, &err);
	assert_non_null(r->port);
	return (struct datagrams *)r->port;
}

static unsigned int receive(struct rig *r)
{
	unsigned int n;

	r->arena.used = 0;
	n = datagrams_rx(r->port, 0, r->frame, FRAME_BATCH_MAX, &r->arena);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(r->frame[i].len, LEN);
	return n;
}

/* The other end passes `fd` beside a frame, so often, and closes it. */
static void passes(const struct rig *r, int fd, unsigned int times)
{
	int copies[RIGHTS_MAX];

	for (unsigned int i = 0; i < times; i++)
		copies[i] = fd;
	assert_int_equal(fds_send(r->fd[1], bytes, LEN, copies, times), LEN);
	close(fd);
}

/* The other end passes a connection that lingers. Returns who reads there. */
static int passes_lingering(const struct rig *r)
{
	int tcp[2];

	lingering(tcp);
	passes(r, tcp[0], 1);
	return tcp[1];
}

static bool is_refused(const struct rig *r)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	ssize_t n = fds_send(r->fd[1], bytes, LEN, &fd, 1);

	close(fd);
	return n < 0;
}

/* ---- Sockets ---- */

static void descriptors_may_come_at_unix_sockets_that_refuse_none(void **state)
{
	struct rig *r = *state;
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int event = eventfd(0, EFD_CLOEXEC);

	pair(r, SOCK_STREAM);
	assert_true(rights_may_come(r->fd[0]));
	assert_false(rights_may_come(tcp));
	assert_false(rights_may_come(event));
	close(tcp);
	close(event);
	rights_refuse(r->fd[0]);
	/* On each kernel. */
	assert_int_equal(rights_may_come(r->fd[0]), !is_refused(r));
}

static void who_receives_is_held_up_by_none(void **state)
{
	struct rig *r = *state;
	uint8_t buf[LEN];
	int other;

	pair(r, SOCK_STREAM);
	other = passes_lingering(r);
	assert_int_equal(rights_recv(r->fd[0], buf, LEN, 0), LEN);
	close(other);
}

static void who_closes_is_held_up_by_none(void **state)
{
	struct rig *r = *state;
	int other;

	pair(r, SOCK_SEQPACKET);
	other = passes_lingering(r);
	rights_close(r->fd[0]);
	r->fd[0] = -1;
	close(other);
}

/* Somebody has connected, and nobody accepts it. */
static void who_closes_what_listens_is_held_up_by_none(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(a.sun_family);
	int other;

	r->fd[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->fd[0], (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(r->fd[0], 1), 0);
	len = sizeof(a);
	assert_int_equal(getsockname(r->fd[0], (struct sockaddr *)&a, &len), 0);
	r->fd[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(r->fd[1], (struct sockaddr *)&a, len), 0);
	other = passes_lingering(r);
	rights_close(r->fd[0]);
	r->fd[0] = -1;
	close(other);
}

/* ---- Ports ---- */

static void port_that_refuses_them_has_no_room(void **state)
{
	struct rig *r = *state;
	struct datagrams *d = open_port(r, SOCK_DGRAM);

	assert_non_null(d->in.room);
	datagrams_close(r->port);
	rights_refuse(r->fd[0]);
	r->port = datagrams_open(&ops, &(struct port_request){ .name = "p" },
				 &r->grant, NULL);
	d = (struct datagrams *)r->port;
	assert_int_equal(d->in.room == NULL, is_refused(r));
}

static void crosses_beside(struct rig *r, int type)
{
	int other;

	open_port(r, type);
	other = passes_lingering(r);
	passes(r, eventfd(0, EFD_CLOEXEC), 1);
	assert_int_equal(send(r->fd[1], bytes, LEN, 0), LEN);
	assert_int_equal(receive(r), 3);
	/* And the next ones: the headers were the kernel's to write to. */
	passes(r, eventfd(0, EFD_CLOEXEC), 1);
	assert_int_equal(receive(r), 1);
	assert_int_equal(atomic_load(&r->port->failed), 0);
	close(other);
}

static void datagrams_arrive_whatever_is_beside_them(void **state)
{
	crosses_beside(*state, SOCK_DGRAM);
}

static void records_arrive_whatever_is_beside_them(void **state)
{
	crosses_beside(*state, SOCK_SEQPACKET);
}

static void all_that_messages_can_have_are_closed(void **state)
{
	struct rig *r = *state;
	unsigned int sent = 0;

	open_port(r, SOCK_SEQPACKET);
	/* Two, or the sender's limit may be less. */
	for (; sent < 2; sent++)
		passes(r, open("/dev/null", O_RDWR | O_CLOEXEC), RIGHTS_MAX);
	assert_int_equal(receive(r), sent);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void port_ends_where_the_kernel_has_closed_some(void **state)
{
	struct rig *r = *state;
	struct rlimit old, few;
	int fd;

	open_port(r, SOCK_SEQPACKET);
	fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)fd;
	passes(r, fd, 2);
	/* No number is free any more. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(receive(r), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(atomic_load(&r->port->failed), EBUSY);
}

static void file_that_is_never_closed_holds_no_port_up(void **state)
{
	struct rig *r = *state;
	struct fuse f;
	int fd;

	open_port(r, SOCK_SEQPACKET);
	if (!fuse_begin(&f))
		skip();
	fd = fuse_open(&f);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(fds_send(r->fd[1], bytes, LEN, &fd, 1), LEN);
		assert_int_equal(receive(r), 1);
	}
	assert_int_equal(atomic_load(&r->port->failed), 0);
	assert_true(fds_stuck());
	fuse_end(&f);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors_may_come_at_unix_sockets_that_refuse_none),
		TEST(who_receives_is_held_up_by_none),
		TEST(who_closes_is_held_up_by_none),
		TEST(who_closes_what_listens_is_held_up_by_none),
		TEST(port_that_refuses_them_has_no_room),
		TEST(datagrams_arrive_whatever_is_beside_them),
		TEST(records_arrive_whatever_is_beside_them),
		TEST(all_that_messages_can_have_are_closed),
		TEST(port_ends_where_the_kernel_has_closed_some),
		TEST(file_that_is_never_closed_holds_no_port_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
