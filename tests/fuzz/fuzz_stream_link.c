/*
 * fuzz_stream_link - what the other end of a stream sends, in any pieces; and
 * the memory that an earlier process has left of one
 *
 * Input: a byte, odd: the rest are pieces, each a byte that says how long it is
 * and those bytes. Each is sent and received by itself, and the frames that
 * come out are those that a plain reading of all bytes has in it. Even: the
 * rest lies over the state's beginning; what that takes for sane is gone on
 * with.
 */
#include "ports/stream_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE	    64 /* bytes for one of the length byte */
#define INPUT_MAX   (1u << 19)
#define ARENA_SIZE  (66 * FRAME_SLOT)
#define SOCKET_ROOM (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was sent so far, and how far its frames have come out. */
static struct {
	uint8_t bytes[INPUT_MAX];
	size_t len, at;
} sent;

static uint8_t arena_mem[ARENA_SIZE];
static struct stream_state state;

static struct lab {
	struct stream_link link;
	int epoll, again, own, peer;
} lab;

static void open_lab(struct lab *l)
{
	struct epoll_event e = { .events = EPOLLIN };
	const int room = SOCKET_ROOM;
	int fd[2];

	memset(l, 0, sizeof(*l));
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->again = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll < 0 || l->again < 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->again, &e) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fd) < 0)
		abort();
	l->own = fd[0];
	l->peer = fd[1];
	(void)setsockopt(l->peer, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (stream_link_init(&l->link, &state, l->epoll, l->again) < 0)
		abort();
}

static void close_lab(struct lab *l)
{
	stream_link_fini(&l->link);
	close(l->own);
	close(l->peer);
	close(l->again);
	close(l->epoll);
}

/* The next whole frame of what was sent, or NULL. */
static const uint8_t *next_frame(uint32_t *len)
{
	const uint8_t *p = sent.bytes + sent.at;

	if (sent.len - sent.at < STREAM_WORD)
		return NULL;
	*len = load_be32(p);
	if (!*len || *len > FRAME_LEN_MAX ||
	    sent.len - sent.at - STREAM_WORD < *len)
		return NULL;
	sent.at += STREAM_WORD + *len;
	return p + STREAM_WORD;
}

/* Does an impossible length come next? */
static bool must_end(void)
{
	uint32_t len;

	if (sent.len - sent.at < STREAM_WORD)
		return false;
	len = load_be32(sent.bytes + sent.at);
	return !len || len > FRAME_LEN_MAX;
}

static void receive_all(struct lab *l)
{
	static struct frame f[FRAME_BATCH_MAX];
	unsigned int n;

	do {
		struct frame_arena a = { arena_mem, sizeof(arena_mem), 0 };

		n = stream_link_receive(&l->link, f, FRAME_BATCH_MAX, &a);
		for (unsigned int i = 0; i < n; i++) {
			uint32_t len = 0;
			const uint8_t *want = next_frame(&len);

			if (!want || f[i].len != len || f[i].head_len != len ||
			    memcmp(f[i].data, want, len) != 0)
				abort();
		}
	} while (n);
}

static void pieces(struct lab *l, const uint8_t *data, size_t size)
{
	size_t at = 0;
	uint32_t len;

	sent.len = sent.at = 0;
	while (at < size) {
		size_t n = data[at] < 128 ? data[at] : data[at] * (size_t)PIECE;

		if (++at + n > size)
			n = size - at;
		if (sent.len + n > INPUT_MAX)
			return;
		memcpy(sent.bytes + sent.len, data + at, n);
		sent.len += n;
		if (send(l->peer, data + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			return;
		at += n;
		receive_all(l);
		if (!l->link.ended == must_end() || next_frame(&len))
			abort();
		if (l->link.ended)
			return;
	}
	(void)shutdown(l->peer, SHUT_WR);
	receive_all(l);
	if (l->link.ended != stream_closed)
		abort();
}

/* Nothing is known of what comes out, but that it ends. */
static void left_behind(struct lab *l, const uint8_t *data, size_t size)
{
	static struct frame f[FRAME_BATCH_MAX];
	unsigned int n;

	memcpy(&state, data, size < sizeof(state) ? size : sizeof(state));
	state.magic = STREAM_MAGIC;
	state.size = sizeof(state);
	if (!stream_state_sane(&state) || !atomic_load(&state.open) ||
	    !stream_state_recover(&state))
		return;
	if (stream_link_begin(&l->link, l->own) < 0)
		abort();
	(void)shutdown(l->peer, SHUT_WR);
	do {
		struct frame_arena a = { arena_mem, sizeof(arena_mem), 0 };
		struct frame *list = &f[0];
		enum drop_reason why;

		n = stream_link_receive(&l->link, f, FRAME_BATCH_MAX, &a);
		if (n)
			(void)stream_link_send(&l->link, &list, 1, &why);
	} while (n);
	if (!l->link.ended)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	memset(&state, 0, sizeof(state));
	stream_state_init(&state);
	open_lab(&lab);
	stream_state_open(&state);
	if (*data & 1) {
		if (stream_link_begin(&lab.link, lab.own) < 0)
			abort();
		pieces(&lab, data + 1, size - 1);
	} else {
		left_behind(&lab, data + 1, size - 1);
	}
	close_lab(&lab);
	return 0;
}
