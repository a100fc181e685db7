/*
 * Datagrams that come as one: cut up, in order, each of its own length, however
 * they lie in batches. The other end is a plain socket that sends some as one
 * (UDP_SEGMENT), over the loopback, where they stay so.
 */
#include "ports/datagrams.h"
#include "tests/unit/datagrams_rig.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MTU   1500
#define FULL  1514
#define BYTES 65507 /* UDP's longest over IPv4 */
#define JOIN  64    /* segments that the kernel sends as one */

struct rig {
	struct port *port;
	struct port_grant grant;
	int other;
	struct frame_arena arena;
	struct frame frame[FRAME_BATCH_MAX];
	uint8_t *bytes;
	unsigned int fds;
};

static void open_port(struct rig *r)
{
	static const struct port_request rq = { .name = "p", .type = "udp" };
	int a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int room = 8 << 20;
	struct error err;

	r->other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	datagrams_connect(a, r->other);
	if (setsockopt(a, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(a, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	udp_gro_ask(a);
	assert_true(udp_gro_asked(a));
	r->grant = (struct port_grant){ .nfds = 1, .fd = { a }, .mtu = MTU };
	r->port = port_ops_find("udp")->open(&rq, &r->grant, &err);
	assert_non_null(r->port);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fds = fds_count();
	r->arena.size = DATAGRAMS_ARENA;
	r->arena.base = malloc(DATAGRAMS_ARENA);
	r->bytes = malloc(2 * FRAME_SLOT);
	assert_non_null(r->arena.base);
	assert_non_null(r->bytes);
	for (unsigned int i = 0; i < 2 * FRAME_SLOT; i++)
		r->bytes[i] = (uint8_t)(i * 7 + i / 256);
	open_port(r);
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

/* The other end sends `len` bytes, as one, in segments of `segment`. */
static void says(struct rig *r, uint32_t len, uint32_t segment)
{
	int size = (int)segment;

	assert_int_equal(
		setsockopt(r->other, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)),
		0);
	assert_int_equal(send(r->other, r->bytes, len, MSG_DONTWAIT), len);
}

static bool is_readable(const struct rig *r, int timeout_ms)
{
	struct pollfd p = { .fd = r->port->queue_fd[0], .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static unsigned int receive_some(struct rig *r, unsigned int max)
{
	r->arena.used = 0;
	return r->port->ops->rx(r->port, 0, r->frame, max, &r->arena);
}

static void done(struct rig *r)
{
	r->port->ops->rx_done(r->port, 0);
}

static void frame_is(struct rig *r, unsigned int i, const uint8_t *bytes,
		     uint32_t len)
{
	const struct frame *f = &r->frame[i];
	static uint8_t got[FRAME_LEN_MAX];

	assert_int_equal(f->len, len);
	assert_true(frame_read(f, 0, got, len));
	assert_memory_equal(got, bytes, len);
	assert_false(frame_has_offload(f));
	/* Nobody else's bytes are there. */
	memset(f->data - FRAME_HEADROOM, 0, FRAME_HEADROOM);
}

/* What is said comes: so many bytes in segments, whatever the batches. */
static void comes(struct rig *r, uint32_t len, uint32_t segment,
		  unsigned int max)
{
	uint32_t at = 0;

	while (at < len) {
		unsigned int n;

		assert_true(is_readable(r, 5000));
		n = receive_some(r, max);
		assert_in_range(n, 1, max);
		for (unsigned int i = 0; i < n; i++) {
			uint32_t left = len - at;
			uint32_t one = left < segment ? left : segment;

			frame_is(r, i, r->bytes + at, one);
			at += one;
		}
		done(r);
	}
	assert_int_equal(at, len);
}

static void nothing_more(struct rig *r)
{
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), 0);
	assert_false(is_readable(r, 0));
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static const struct datagrams *port_of(const struct rig *r)
{
	return (const struct datagrams *)r->port;
}

static void joined_frames_come_one_by_one_and_the_last_is_shorter(void **state)
{
	struct rig *r = *state;

	says(r, 10 * FULL + 700, FULL);
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), 11);
	for (unsigned int i = 0; i < 10; i++)
		frame_is(r, i, r->bytes + i * FULL, FULL);
	frame_is(r, 10, r->bytes + 10 * FULL, 700);
	done(r);
	/* It did come as one. */
	assert_true(port_of(r)->gro->joined);
	nothing_more(r);
}

static void what_the_batch_has_no_room_for_comes_with_the_next(void **state)
{
	struct rig *r = *state;
	unsigned int sizes[] = { 1, 7, 63, 64 };

	for (unsigned int i = 0; i < 4; i++) {
		says(r, JOIN * 1000, 1000);
		comes(r, JOIN * 1000, 1000, sizes[i]);
		nothing_more(r);
	}
}

/* Nothing but what waits is left: the port says so itself. */
static void who_waits_for_frames_is_told_of_one_that_is_left(void **state)
{
	struct rig *r = *state;

	says(r, 60, 60);
	says(r, JOIN * 1000, 1000);
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), FRAME_BATCH_MAX);
	frame_is(r, 0, r->bytes, 60);
	for (unsigned int i = 1; i < FRAME_BATCH_MAX; i++)
		frame_is(r, i, r->bytes + (i - 1) * 1000, 1000);
	done(r);
	assert_true(is_readable(r, 0));
	assert_true(r->port->ops->rx_waits(r->port, 0));
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), 1);
	frame_is(r, 0, r->bytes + (JOIN - 1) * 1000, 1000);
	done(r);
	assert_false(r->port->ops->rx_waits(r->port, 0));
	nothing_more(r);
}

static void whole_queue_of_joined_frames_comes_in_order(void **state)
{
	static const uint32_t segment[] = { FULL, 60, 1000, 1514, 999, 61 };
	struct rig *r = *state;

	for (int turn = 0; turn < 3; turn++) {
		for (unsigned int i = 0; i < 6; i++)
			says(r, 40 * segment[i] + i, segment[i]);
		for (unsigned int i = 0, at = 0, k = 0; i < 6;) {
			unsigned int n = receive_some(r, FRAME_BATCH_MAX);

			assert_true(n > 0);
			for (k = 0; k < n; k++) {
				uint32_t left = 40 * segment[i] + i - at;
				uint32_t len =
					left < segment[i] ? left : segment[i];

				frame_is(r, k, r->bytes + at, len);
				at = len == left ? 0 : at + len;
				i += len == left;
			}
			done(r);
		}
		nothing_more(r);
	}
}

static void single_ones_keep_their_place_among_joined_ones(void **state)
{
	struct rig *r = *state;

	/* Both ways to receive: the first turn begins apart. */
	for (int turn = 0; turn < 3; turn++) {
		unsigned int n = 0, got;

		says(r, 100, 0);
		says(r, 9014, 0);
		says(r, 3 * FULL, FULL);
		says(r, 0, 0);
		says(r, 200, 0);
		says(r, 2 * FULL, FULL);
		says(r, BYTES, 0);
		while (n < 10) {
			static const uint32_t len[] = { 100,  9014, FULL, FULL,
							FULL, 0,    200,  FULL,
							FULL, BYTES };
			static const uint32_t at[] = { 0, 0, 0, FULL, 2 * FULL,
						       0, 0, 0, FULL, 0 };

			got = receive_some(r, FRAME_BATCH_MAX);
			assert_in_range(got, 1, 10 - n);
			for (unsigned int i = 0; i < got; i++, n++)
				frame_is(r, i, r->bytes + at[n], len[n]);
			done(r);
		}
		nothing_more(r);
	}
}

static void joined_jumbo_frames_are_whole(void **state)
{
	struct rig *r = *state;

	for (int turn = 0; turn < 2; turn++) {
		says(r, 65000, 9014);
		comes(r, 65000, 9014, FRAME_BATCH_MAX);
		nothing_more(r);
	}
}

static void small_arena_ends_a_batch_and_loses_none(void **state)
{
	struct rig *r = *state;

	says(r, 40 * FULL, FULL);
	r->arena.size = FRAME_SLOT + 10 * 2048;
	comes(r, 40 * FULL, FULL, FRAME_BATCH_MAX);
	nothing_more(r);
	says(r, 2 * FULL, FULL);
	r->arena.size = 4096;
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), 0);
	assert_true(is_readable(r, 0));
	r->arena.size = DATAGRAMS_ARENA;
	comes(r, 2 * FULL, FULL, FRAME_BATCH_MAX);
	nothing_more(r);
}

/* Memory behind the lanes, in bytes. */
static size_t resident(const struct rig *r)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t size = (size_t)FRAME_BATCH_MAX * FRAME_LEN_MAX;
	uint8_t *there = calloc(size / page + 1, 1);
	size_t n = 0;

	assert_non_null(there);
	assert_int_equal(mincore(port_of(r)->in.lanes, size, there), 0);
	for (size_t i = 0; i <= size / page; i++)
		n += there[i] & 1;
	free(there);
	return n * page;
}

static void memory_of_a_burst_is_given_back_when_it_is_through(void **state)
{
	struct rig *r = *state;

	assert_int_equal(resident(r), 0);
	/* More than there are lanes; any socket has room for so few. */
	for (int i = 0; i < UDP_GRO_LANES + 1; i++)
		says(r, 40 * FULL, FULL);
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), FRAME_BATCH_MAX);
	done(r);
	assert_true(resident(r) > UDP_GRO_LANES * FRAME_LEN_MAX);
	while (udp_gro_waits(port_of(r)->gro)) {
		assert_true(receive_some(r, FRAME_BATCH_MAX) > 0);
		done(r);
	}
	nothing_more(r);
	assert_in_range(resident(r), 1, UDP_GRO_LANES * FRAME_LEN_MAX);
}

static void port_goes_back_to_single_ones_when_no_joined_one_comes(void **state)
{
	struct rig *r = *state;
	const struct datagrams *d = port_of(r);
	unsigned int i;

	says(r, 2 * FULL, FULL);
	comes(r, 2 * FULL, FULL, FRAME_BATCH_MAX);
	for (i = 1; i < UDP_GRO_PATIENCE; i++) {
		says(r, FULL, 0);
		comes(r, FULL, FULL, FRAME_BATCH_MAX);
		assert_true(d->gro->joined);
	}
	says(r, FULL, 0);
	comes(r, FULL, FULL, FRAME_BATCH_MAX);
	assert_false(d->gro->joined);
	/* And has given its memory back. */
	assert_int_equal(resident(r), 0);
	for (i = 0; i < FRAME_BATCH_MAX; i++)
		says(r, 60 + i, 0);
	assert_int_equal(receive_some(r, FRAME_BATCH_MAX), FRAME_BATCH_MAX);
	for (i = 0; i < FRAME_BATCH_MAX; i++)
		frame_is(r, i, r->bytes, 60 + i);
	done(r);
	nothing_more(r);
}

static void port_that_is_closed_while_frames_wait_leaves_nothing(void **state)
{
	struct rig *r = *state;

	says(r, JOIN * 1000, 1000);
	assert_int_equal(receive_some(r, 1), 1);
	done(r);
	assert_true(is_readable(r, 0));
}

static void socket_that_was_not_asked_comes_as_it_always_did(void **state)
{
	static const struct port_request rq = { .name = "p", .type = "udp" };
	struct rig *r = *state;
	const int off = 0;
	struct error err;

	r->port->ops->close(r->port);
	assert_int_equal(
		setsockopt(r->grant.fd[0], SOL_UDP, UDP_GRO, &off, sizeof(off)),
		0);
	r->port = port_ops_find("udp")->open(&rq, &r->grant, &err);
	assert_non_null(r->port);
	assert_null(port_of(r)->gro);
	assert_int_equal(r->port->queue_fd[0], r->grant.fd[0]);
	says(r, 3 * FULL, FULL);
	comes(r, 3 * FULL, FULL, FRAME_BATCH_MAX);
	nothing_more(r);
}

static void acquired_socket_is_asked(void **state)
{
	const struct port_ops *udp = port_ops_find("udp");
	struct port_request rq = { .name = "q", .type = "udp" };
	struct port_grant grant;
	struct error err;
	unsigned int id = (unsigned int)getpid();

	(void)state;
	/* An address of this process's alone. */
	snprintf(rq.udp.local, sizeof(rq.udp.local), "127.%u.%u.%u:4444",
		 1 + (id >> 16 & 63), id >> 8 & 255, id & 255);
	snprintf(rq.udp.remote, sizeof(rq.udp.remote), "127.0.0.1:4444");
	assert_int_equal(udp->acquire(&rq, &grant, &err), 0);
	assert_true(udp_gro_asked(grant.fd[0]));
	udp->release(&rq, &grant);
}

/* ---- What no kernel should say ---- */

static void segment_of_no_sense_makes_one_frame(void **state)
{
	struct rig *r = *state;
	struct udp_gro *g = port_of(r)->gro;

	udp_gro_add(g, r->bytes, 1000, 0);
	udp_gro_add(g, r->bytes, 1000, 1001);
	udp_gro_add(g, r->bytes, 1000, UINT32_MAX);
	udp_gro_add(g, r->bytes, 0, 0);
	udp_gro_add(g, r->bytes, 0, 100);
	assert_int_equal(udp_gro_take(g, r->frame, FRAME_BATCH_MAX, &r->arena),
			 5);
	for (unsigned int i = 0; i < 5; i++)
		frame_is(r, i, r->bytes, i < 3 ? 1000 : 0);
	assert_false(udp_gro_waits(g));
}

static void segments_of_a_byte_take_their_turns(void **state)
{
	struct rig *r = *state;
	struct udp_gro *g = port_of(r)->gro;
	uint32_t n = 0;

	udp_gro_add(g, r->bytes, 65535, 1);
	while (udp_gro_waits(g)) {
		unsigned int got = receive_some(r, FRAME_BATCH_MAX);

		assert_in_range(got, 1, FRAME_BATCH_MAX);
		for (unsigned int i = 0; i < got; i++)
			frame_is(r, i, r->bytes + n++, 1);
		done(r);
	}
	assert_int_equal(n, 65535);
	nothing_more(r);
}

static void too_long_a_message_is_read_up_to_the_end_of_its_lane(void **state)
{
	struct rig *r = *state;
	struct udp_gro *g = port_of(r)->gro;
	uint8_t *lane = malloc(FRAME_LEN_MAX);

	assert_non_null(lane);
	memcpy(lane, r->bytes, FRAME_LEN_MAX);
	udp_gro_add(g, lane, FRAME_LEN_MAX + 1, 60);
	udp_gro_add(g, lane, FRAME_LEN_MAX, 0);
	assert_int_equal(udp_gro_take(g, r->frame, FRAME_BATCH_MAX, &r->arena),
			 2);
	assert_int_equal(r->frame[0].len, FRAME_LEN_MAX + 1);
	assert_int_equal(r->frame[0].head_len, FRAME_LEN_MAX);
	frame_is(r, 1, lane, FRAME_LEN_MAX);
	free(lane);
}

static void only_what_udp_says_is_believed(void **state)
{
	union udp_gro_control c = { .align = { .cmsg_level = SOL_UDP,
					       .cmsg_type = UDP_GRO } };
	struct msghdr m = { .msg_control = &c };
	int segment = 1000;

	(void)state;
	memcpy(CMSG_DATA(&c.align), &segment, sizeof(segment));
	assert_int_equal(udp_gro_segment(&m), 0);
	m.msg_controllen = sizeof(c);
	c.align.cmsg_len = CMSG_LEN(2);
	assert_int_equal(udp_gro_segment(&m), 0);
	c.align.cmsg_len = CMSG_LEN(sizeof(segment));
	assert_int_equal(udp_gro_segment(&m), 1000);
	c.align.cmsg_type = UDP_GRO + 1;
	assert_int_equal(udp_gro_segment(&m), 0);
	c.align.cmsg_type = UDP_GRO;
	c.align.cmsg_level = SOL_SOCKET;
	assert_int_equal(udp_gro_segment(&m), 0);
	c.align.cmsg_level = SOL_UDP;
	segment = -1;
	memcpy(CMSG_DATA(&c.align), &segment, sizeof(segment));
	assert_int_equal(udp_gro_segment(&m), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(joined_frames_come_one_by_one_and_the_last_is_shorter),
		TEST(what_the_batch_has_no_room_for_comes_with_the_next),
		TEST(who_waits_for_frames_is_told_of_one_that_is_left),
		TEST(whole_queue_of_joined_frames_comes_in_order),
		TEST(single_ones_keep_their_place_among_joined_ones),
		TEST(joined_jumbo_frames_are_whole),
		TEST(small_arena_ends_a_batch_and_loses_none),
		TEST(memory_of_a_burst_is_given_back_when_it_is_through),
		TEST(port_goes_back_to_single_ones_when_no_joined_one_comes),
		TEST(port_that_is_closed_while_frames_wait_leaves_nothing),
		TEST(socket_that_was_not_asked_comes_as_it_always_did),
		TEST(acquired_socket_is_asked),
		TEST(segment_of_no_sense_makes_one_frame),
		TEST(segments_of_a_byte_take_their_turns),
		TEST(too_long_a_message_is_read_up_to_the_end_of_its_lane),
		TEST(only_what_udp_says_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
