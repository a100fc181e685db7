/*
 * What a full socket has left over: kept, sent in its order, bounded, lost with
 * the other end. The port is one of datagrams.h, its socket connected to one
 * that isn't connected back, as uml_switch's clients and QEMU have it, so that
 * the kernel lets few datagrams wait.
 */
#include "ports/datagrams.h"
#include "tests/unit/datagrams_rig.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FULL 1514

struct rig {
	struct port *port;
	struct datagrams *d;
	struct port_grant grant;
	int other;
	uint32_t room; /* datagrams that the kernel lets wait */
	struct frame_arena arena;
	struct frame in[FRAME_BATCH_MAX], out[FRAME_BATCH_MAX];
	uint8_t (*bytes)[FRAME_HEADROOM + FULL]; /* of out[] */
	uint32_t said, heard;			 /* numbers of frames */
	unsigned int fds;
};

static int own_socket(struct sockaddr_un *a)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(*a);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	/* The kernel finds a name. */
	assert_int_equal(bind(fd, (void *)&any, sizeof(sa_family_t)), 0);
	memset(a, 0, sizeof(*a));
	assert_int_equal(getsockname(fd, (void *)a, &len), 0);
	return fd;
}

static void connect_to(struct rig *r, const struct sockaddr_un *a)
{
	socklen_t len = sizeof(sa_family_t) + 6; /* a NUL and five digits */

	assert_int_equal(connect(r->grant.fd[0], (const void *)a, len), 0);
}

static uint32_t count_room(int fd)
{
	uint32_t n = 0;

	while (send(fd, "x", 1, MSG_DONTWAIT) == 1)
		n++;
	return n;
}

static void empty(int fd)
{
	uint8_t got[FULL];

	while (recv(fd, got, sizeof(got), MSG_DONTWAIT) >= 0)
		;
}

static int setup(void **state)
{
	static const struct port_request rq = { .name = "p" };
	const int room = 4 << 20;
	struct rig *r = calloc(1, sizeof(*r));
	struct sockaddr_un ours, theirs;
	struct error err;

	assert_non_null(r);
	r->fds = fds_count();
	r->grant = (struct port_grant){ .nfds = 1, .mtu = 1500 };
	r->grant.fd[0] = own_socket(&ours);
	r->other = own_socket(&theirs);
	(void)setsockopt(r->grant.fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &room,
			 sizeof(room));
	connect_to(r, &theirs);
	r->room = count_room(r->grant.fd[0]);
	empty(r->other);
	r->arena.size = DATAGRAMS_ARENA;
	r->arena.base = malloc(DATAGRAMS_ARENA);
	r->bytes = calloc(FRAME_BATCH_MAX, sizeof(*r->bytes));
	r->port = datagrams_open(&ops, &rq, &r->grant, &err);
	assert_non_null(r->port);
	r->d = (struct datagrams *)r->port;
	assert_int_equal(datagrams_keep(r->d), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	int bad = datagrams_end(r->port, &r->grant, r->other, r->fds);

	free(r->arena.base);
	free(r->bytes);
	free(r);
	return bad;
}

/* One burst of frames of that length, each with the next number. Returns how
 * many went. */
static unsigned int burst(struct rig *r, unsigned int n, uint32_t len,
			  enum drop_reason *why)
{
	struct frame *list[FRAME_BATCH_MAX];

	for (unsigned int i = 0; i < n; i++) {
		uint32_t number = r->said + i;
		uint8_t *data = r->bytes[i] + FRAME_HEADROOM;

		memcpy(data, &number, sizeof(number));
		frame_init(&r->out[i], data, len);
		list[i] = &r->out[i];
	}
	*why = DROP_REASON_COUNT;
	n = r->port->ops->tx(r->port, list, n, why);
	r->said += n;
	return n;
}

/* So many, all of which go. */
static void says(struct rig *r, uint32_t n, uint32_t len)
{
	while (n) {
		unsigned int now = n < FRAME_BATCH_MAX ? n : FRAME_BATCH_MAX;
		enum drop_reason why;

		assert_int_equal(burst(r, now, len, &why), now);
		n -= now;
	}
}

/* The other end reads the next one, if it's there. */
static bool hears(struct rig *r)
{
	uint8_t got[FULL];
	ssize_t n = recv(r->other, got, sizeof(got), MSG_DONTWAIT);
	uint32_t number;

	if (n < 0)
		return false;
	memcpy(&number, got, sizeof(number));
	assert_int_equal(number, r->heard++);
	return true;
}

static bool readable(const struct rig *r)
{
	struct pollfd p = { .fd = r->port->queue_fd[0], .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static unsigned int receive(struct rig *r)
{
	r->arena.used = 0;
	return r->port->ops->rx(r->port, 0, r->in, FRAME_BATCH_MAX, &r->arena);
}

/* As a worker does that sleeps until the queue is readable; the other end reads
 * one frame each time. */
static void read_all(struct rig *r)
{
	while (r->heard < r->said) {
		assert_true(hears(r));
		while (readable(r))
			assert_int_equal(receive(r), 0);
	}
	assert_false(hears(r));
}

static void burst_beyond_the_kernels_queue_arrives_whole_and_in_order(void **st)
{
	struct rig *r = *st;

	says(r, r->room + 300, FULL);
	assert_true(backlog_holds(r->d->backlog));
	read_all(r);
	assert_false(backlog_holds(r->d->backlog));
	assert_int_equal(r->heard, r->room + 300);
}

static void later_frames_go_behind_what_is_kept(void **state)
{
	struct rig *r = *state;

	says(r, r->room + 3, 60);
	/* There is room now, but not for these. */
	for (int i = 0; i < 2; i++)
		assert_true(hears(r));
	says(r, 5, 60);
	assert_true(hears(r));
	says(r, 1, 60);
	read_all(r);
}

static void frames_in_segments_are_kept_whole(void **state)
{
	struct rig *r = *state;
	uint8_t got[FULL], head[FRAME_HEADROOM + 20] = { 0 }, rest[80];
	struct iovec segs[2] = { { rest, 30 }, { rest + 30, 50 } };
	struct frame f, *list = &f;
	enum drop_reason why;

	says(r, r->room, 60);
	for (unsigned int i = 0; i < sizeof(rest); i++)
		rest[i] = (uint8_t)(i + 1);
	frame_init(&f, head + FRAME_HEADROOM, 100);
	f.head_len = 20;
	f.segs = segs;
	f.nsegs = 2;
	assert_int_equal(r->port->ops->tx(r->port, &list, 1, &why), 1);
	memset(rest, 0, sizeof(rest)); /* it was copied */
	while (r->heard < r->said)
		assert_true(hears(r));
	assert_int_equal(receive(r), 0);
	assert_int_equal(recv(r->other, got, sizeof(got), MSG_DONTWAIT), 100);
	for (unsigned int i = 0; i < sizeof(rest); i++)
		assert_int_equal(got[20 + i], i + 1);
}

/* Small ones or full ones: as many. */
static void only_what_a_full_ring_has_no_room_for_is_dropped(void **state)
{
	static const uint32_t len[] = { 60, FULL };
	struct rig *r = *state;
	enum drop_reason why;

	for (unsigned int i = 0; i < 2; i++) {
		says(r, r->room + BACKLOG_FRAMES - 1, len[i]);
		assert_int_equal(burst(r, 2, len[i], &why), 1);
		assert_int_equal(why, DROP_QUEUE_FULL);
		assert_int_equal(burst(r, 1, len[i], &why), 0);
		assert_int_equal(why, DROP_QUEUE_FULL);
		read_all(r);
		says(r, 1, len[i]);
		assert_true(hears(r));
	}
	assert_int_equal(atomic_load(&r->port->tx_lost), 0);
}

static void who_keeps_nothing_is_never_woken_up_for_it(void **state)
{
	struct rig *r = *state;

	says(r, r->room, 60);
	assert_false(readable(r));
	says(r, 1, 60);
	assert_false(readable(r)); /* not before there is room */
	assert_true(hears(r));
	assert_true(readable(r));
	while (readable(r))
		assert_int_equal(receive(r), 0);
	read_all(r);
	assert_false(readable(r));
	assert_false(r->d->backlog->armed);
}

static void receiving_goes_on_meanwhile(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	says(r, r->room + 10, 60);
	assert_int_equal(getsockname(r->grant.fd[0], (void *)&a, &len), 0);
	assert_int_equal(
		sendto(r->other, "twelve bytes", 12, 0, (void *)&a, len), 12);
	assert_true(readable(r));
	assert_int_equal(receive(r), 1);
	assert_int_equal(r->in[0].len, 12);
	read_all(r);
}

static void what_waits_for_an_end_that_goes_is_counted_as_lost(void **state)
{
	struct rig *r = *state;
	enum drop_reason why;

	says(r, r->room + 40, 60);
	close(r->other);
	r->other = -1;
	assert_true(readable(r));
	while (readable(r))
		assert_int_equal(receive(r), 0);
	assert_int_equal(atomic_load(&r->port->tx_lost), 40);
	assert_false(backlog_holds(r->d->backlog));
	assert_int_equal(burst(r, 1, 60, &why), 0);
	assert_int_equal(why, DROP_LINK_DOWN);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void next_end_gets_nothing_that_was_for_the_last_one(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un theirs;
	enum drop_reason why;

	says(r, r->room + 40, 60);
	close(r->other);
	assert_int_equal(burst(r, 1, 60, &why), 0);
	assert_int_equal(why, DROP_LINK_DOWN);
	r->other = own_socket(&theirs);
	connect_to(r, &theirs);
	r->heard = r->said;
	says(r, 3, 60);
	read_all(r);
	assert_int_equal(atomic_load(&r->port->tx_lost), 40);
}

static void what_waits_at_the_end_of_the_port_is_counted_as_lost(void **state)
{
	struct rig *r = *state;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	assert_int_equal(datagrams_watch(r->d, fd[0]), 0);
	says(r, r->room + 7, 60);
	close(fd[1]);
	assert_true(datagrams_control(r->port));
	assert_true(readable(r));
	assert_int_equal(receive(r), 0);
	assert_int_equal(atomic_load(&r->port->failed), ECONNRESET);
	assert_int_equal(atomic_load(&r->port->tx_lost), 7);
	close(fd[0]);
}

/* ---- Several workers ---- */

#define THREADS	  3
#define EACH	  20000u
#define NUMBER(b) ((uint32_t)(b)[1] << 16 | (uint32_t)(b)[2] << 8 | (b)[3])

struct sender {
	struct rig *r;
	uint8_t id;
	uint32_t sent, dropped;
	_Atomic bool done;
};

/* Its own frames, numbered; the dropped ones have their numbers too. */
static void *send_many(void *arg)
{
	struct sender *s = arg;
	uint8_t data[8][FRAME_HEADROOM + 60] = { 0 };
	struct frame f[8], *list[8];
	uint32_t next = 0;

	while (next < EACH) {
		unsigned int left = 8;

		for (unsigned int i = 0; i < 8; i++, next++) {
			uint8_t *b = data[i] + FRAME_HEADROOM;

			b[0] = s->id;
			b[1] = (uint8_t)(next >> 16);
			b[2] = (uint8_t)(next >> 8);
			b[3] = (uint8_t)next;
			frame_init(&f[i], b, 60);
			list[i] = &f[i];
		}
		while (left) {
			enum drop_reason why;
			unsigned int n = s->r->port->ops->tx(
				s->r->port, list + 8 - left, left, &why);

			s->sent += n;
			s->dropped += n < left;
			left -= n < left ? n + 1 : n;
		}
	}
	atomic_store(&s->done, true);
	return NULL;
}

/* Returns whether there was one. */
static bool hear_numbered(struct rig *r, int64_t last[THREADS],
			  uint32_t heard[THREADS])
{
	uint8_t b[60];

	if (recv(r->other, b, sizeof(b), MSG_DONTWAIT) < 0)
		return false;
	assert_true(b[0] < THREADS);
	assert_true((int64_t)NUMBER(b) > last[b[0]]);
	last[b[0]] = NUMBER(b);
	heard[b[0]]++;
	return true;
}

static void each_senders_frames_stay_in_order_and_are_all_accounted_for(
	void **state)
{
	struct rig *r = *state;
	struct sender s[THREADS] = { 0 };
	pthread_t t[THREADS];
	int64_t last[THREADS];
	uint32_t heard[THREADS] = { 0 };
	bool done = false, more = true;

	for (unsigned int i = 0; i < THREADS; i++) {
		last[i] = -1;
		s[i].r = r;
		s[i].id = (uint8_t)i;
		assert_int_equal(pthread_create(&t[i], NULL, send_many, &s[i]),
				 0);
	}
	/* The worker that receives, and the other end. */
	while (!done || more) {
		done = true;
		for (unsigned int i = 0; i < THREADS; i++)
			done = done && atomic_load(&s[i].done);
		(void)receive(r);
		more = hear_numbered(r, last, heard);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(s[i].sent, heard[i]);
		assert_int_equal(s[i].sent + s[i].dropped, EACH);
	}
	assert_false(backlog_holds(r->d->backlog));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(burst_beyond_the_kernels_queue_arrives_whole_and_in_order),
		TEST(later_frames_go_behind_what_is_kept),
		TEST(frames_in_segments_are_kept_whole),
		TEST(only_what_a_full_ring_has_no_room_for_is_dropped),
		TEST(who_keeps_nothing_is_never_woken_up_for_it),
		TEST(receiving_goes_on_meanwhile),
		TEST(what_waits_for_an_end_that_goes_is_counted_as_lost),
		TEST(next_end_gets_nothing_that_was_for_the_last_one),
		TEST(what_waits_at_the_end_of_the_port_is_counted_as_lost),
		TEST(each_senders_frames_stay_in_order_and_are_all_accounted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
