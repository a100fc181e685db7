/*
 * stream_rig - a stream link and its other end, in one thread
 *
 * The state lies in memory that a child shares. Frames are known by a number,
 * and their bytes follow from it.
 */
#ifndef TESTS_UNIT_STREAM_RIG_H
#define TESTS_UNIT_STREAM_RIG_H

#include "base/clock.h"
#include "ports/stream_link.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fds.h"

#define RIG_ARENA      (66 * FRAME_SLOT)
#define RIG_TIMEOUT    10000 /* ms */
#define RIG_FRAMES_MAX 512

/* The frames of one burst. */
struct burst {
	unsigned int n;
	struct frame frame[RIG_FRAMES_MAX];
	struct frame *list[RIG_FRAMES_MAX];
	uint8_t *memory;
};

struct rig {
	unsigned int fds; /* before there was anything */
	int conn, peer, epoll, again;
	struct stream_state *state;
	struct stream_link link;
	struct frame frame[FRAME_BATCH_MAX];
	struct frame_arena arena;
	struct burst burst;
};

static inline bool rig_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

/* The bytes of frame n: the number, then what follows from it. */
static inline void rig_bytes(uint8_t *data, uint32_t len, uint32_t n)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i < 4 ? n >> (8 * i)
					  : n * 31 + i * 7 + (i >> 8));
}

static inline bool rig_same(const uint8_t *data, uint32_t len, uint32_t n)
{
	for (uint32_t i = 0; i < len; i++)
		if (data[i] !=
		    (uint8_t)(i < 4 ? n >> (8 * i) : n * 31 + i * 7 + (i >> 8)))
			return false;
	return true;
}

static inline uint32_t rig_number(const uint8_t *data)
{
	return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
	       (uint32_t)data[3] << 24;
}

/* Frame n as it goes over the connection; returns its bytes. */
static inline uint32_t rig_encode(uint8_t *to, uint32_t len, uint32_t n)
{
	store_be32(to, len);
	rig_bytes(to + STREAM_WORD, len, n);
	return STREAM_WORD + len;
}

static inline void rig_write(struct rig *r, const uint8_t *data, size_t len)
{
	assert_int_equal(write(r->peer, data, len), len);
}

static inline unsigned int rig_rx(struct rig *r)
{
	r->arena.used = 0;
	return stream_link_receive(&r->link, r->frame, FRAME_BATCH_MAX,
				   &r->arena);
}

/* Frames first to first + n - 1 of `len` bytes are ready to be sent. */
static inline void rig_burst(struct rig *r, uint32_t first, unsigned int n,
			     uint32_t len)
{
	struct burst *b = &r->burst;
	size_t slot = FRAME_HEADROOM + (size_t)len;

	assert_true(n <= RIG_FRAMES_MAX);
	free(b->memory);
	b->memory = malloc(n * slot);
	assert_non_null(b->memory);
	b->n = n;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *data = b->memory + i * slot + FRAME_HEADROOM;

		rig_bytes(data, len, first + i);
		frame_init(&b->frame[i], data, len);
		b->list[i] = &b->frame[i];
	}
}

/* As the pipeline does: those that don't go are counted, by one reason. */
static inline unsigned int rig_send(struct rig *r, enum drop_reason want)
{
	unsigned int at = 0, sent = 0;

	while (at < r->burst.n) {
		enum drop_reason why = DROP_REASON_COUNT;
		unsigned int n = stream_link_send(&r->link, r->burst.list + at,
						  r->burst.n - at, &why);

		sent += n;
		at += n + 1;
		if (at <= r->burst.n)
			assert_int_equal(why, want);
	}
	return sent;
}

/* What the other end has got: a buffer that frames are taken from. */
struct reader {
	uint8_t *data;
	size_t size, used;
};

/* All that there is now. Returns how many bytes that is. */
static inline size_t reader_fill(struct reader *in, int fd)
{
	size_t before = in->used;
	ssize_t n;

	do {
		if (in->size - in->used < 65536) {
			in->size = 2 * in->size + 65536;
			in->data = realloc(in->data, in->size);
			assert_non_null(in->data);
		}
		n = recv(fd, in->data + in->used, in->size - in->used,
			 MSG_DONTWAIT);
		in->used += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return in->used - before;
}

/* The next whole frame: its number, and its length into *len; or -1. It must be
 * what it was. */
static inline int64_t reader_take(struct reader *in, uint32_t *len)
{
	uint32_t n;

	if (in->used < STREAM_WORD)
		return -1;
	*len = load_be32(in->data);
	assert_true(*len >= 4 && *len <= FRAME_LEN_MAX);
	if (in->used < STREAM_WORD + *len)
		return -1;
	n = rig_number(in->data + STREAM_WORD);
	assert_true(rig_same(in->data + STREAM_WORD, *len, n));
	in->used -= STREAM_WORD + *len;
	memmove(in->data, in->data + STREAM_WORD + *len, in->used);
	return n;
}

static inline void rig_connect(struct rig *r)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    0, fd),
			 0);
	r->conn = fd[0];
	r->peer = fd[1];
	stream_state_open(r->state);
	assert_int_equal(stream_link_begin(&r->link, r->conn), 0);
}

static inline void rig_disconnect(struct rig *r)
{
	stream_link_end(&r->link);
	close(r->conn);
	if (r->peer >= 0)
		close(r->peer);
}

static inline void rig_room(int fd, int bytes)
{
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)),
		0);
}

/* An epoll set of the link's, as a process has it. */
static inline void rig_descriptors(struct rig *r)
{
	struct epoll_event e = { .events = EPOLLIN };

	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->again = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(r->epoll >= 0 && r->again >= 0);
	assert_int_equal(epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->again, &e), 0);
	assert_int_equal(
		stream_link_init(&r->link, r->state, r->epoll, r->again), 0);
}

static inline int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fds = fds_count();
	r->state = mmap(NULL, STREAM_STATE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(r->state != MAP_FAILED);
	stream_state_init(r->state);
	r->arena.base = malloc(RIG_ARENA);
	r->arena.size = RIG_ARENA;
	assert_non_null(r->arena.base);
	rig_descriptors(r);
	rig_connect(r);
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;
	unsigned int left;

	rig_disconnect(r);
	stream_link_fini(&r->link);
	close(r->epoll);
	close(r->again);
	munmap(r->state, STREAM_STATE_SIZE);
	left = fds_count() - r->fds;
	if (left)
		print_error("%u descriptors are left\n", left);
	free(r->burst.memory);
	free(r->arena.base);
	free(r);
	return left ? -1 : 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

#endif
