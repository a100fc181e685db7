#include "ports/stream_link.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

const char stream_closed[] = "the other end has closed the connection";
static const char bad_length[] = "the other end sends what isn't frames "
				 "(an impossible length)";
static const char too_many_rights[] = "the other end passes descriptors that "
				      "aren't closed";

int stream_link_init(struct stream_link *l, struct stream_state *state,
		     int epoll, int again)
{
	int r = pthread_mutex_init(&l->rx_lock, NULL);

	if (r)
		return -r;
	r = pthread_mutex_init(&l->tx_lock, NULL);
	if (r) {
		(void)pthread_mutex_destroy(&l->rx_lock);
		return -r;
	}
	l->state = state;
	l->epoll = epoll;
	l->again = again;
	l->conn = -1;
	return 0;
}

void stream_link_fini(struct stream_link *l)
{
	stream_link_end(l);
	(void)pthread_mutex_destroy(&l->rx_lock);
	(void)pthread_mutex_destroy(&l->tx_lock);
}

/* ---- What epoll waits for ---- */

static int watch(struct stream_link *l, int op, uint32_t events)
{
	struct epoll_event e = { .events = events };

	return epoll_ctl(l->epoll, op, l->conn, &e) < 0 ? -errno : 0;
}

static void nudge(struct stream_link *l)
{
	/* In this order: who sees that it was finds something to read. */
	(void)eventfd_write(l->again, 1);
	atomic_store(&l->nudged, true);
}

static void take_nudge(struct stream_link *l)
{
	eventfd_t n;

	if (!atomic_load_explicit(&l->nudged, memory_order_relaxed))
		return;
	atomic_store(&l->nudged, false);
	(void)eventfd_read(l->again, &n);
}

/* ---- Begin and end ---- */

static bool has_rest(const struct stream_state *s)
{
	uint64_t tx = atomic_load_explicit(&s->tx, memory_order_relaxed);

	return stream_from(tx) != stream_to(tx);
}

static int begin(struct stream_link *l, int conn)
{
	bool kept = has_rest(l->state);
	int r;

	l->conn = conn;
	r = watch(l, EPOLL_CTL_ADD, EPOLLIN | (kept ? EPOLLOUT : 0));
	if (r < 0) {
		l->conn = -1;
		return r;
	}
	atomic_store(&l->ended, NULL);
	atomic_store(&l->error, 0);
	atomic_store(&l->lost, false);
	atomic_store(&l->kept, kept);
	atomic_store(&l->armed, kept);
	atomic_store(&l->received, 0);
	l->skip = 0;
	l->rights = rights_may_come(conn);
	/* The buffer may have whole frames in it. */
	nudge(l);
	return 0;
}

int stream_link_begin(struct stream_link *l, int conn)
{
	int r;

	(void)pthread_mutex_lock(&l->rx_lock);
	(void)pthread_mutex_lock(&l->tx_lock);
	r = begin(l, conn);
	(void)pthread_mutex_unlock(&l->tx_lock);
	(void)pthread_mutex_unlock(&l->rx_lock);
	return r;
}

void stream_link_end(struct stream_link *l)
{
	(void)pthread_mutex_lock(&l->rx_lock);
	(void)pthread_mutex_lock(&l->tx_lock);
	if (l->conn >= 0) {
		/* Closing it doesn't do that: others have it open, too. */
		(void)watch(l, EPOLL_CTL_DEL, 0);
		take_nudge(l);
	}
	l->conn = -1;
	(void)pthread_mutex_unlock(&l->tx_lock);
	(void)pthread_mutex_unlock(&l->rx_lock);
}

/* ---- Sending: tx_lock is held ---- */

/*
 * The frames of one call into iov[parts] and what follows, and where they end
 * into the state. Returns the number of elements.
 */
static unsigned int gather(struct stream_link *l, struct frame *const *f,
			   unsigned int n, unsigned int parts)
{
	struct stream_state *s = l->state;
	uint32_t end = 0, i;

	for (i = 0; i < n && i < STREAM_SEND_MAX; i++) {
		struct iovec *iov = &l->iov[parts];

		if (f[i]->len > FRAME_LEN_MAX ||
		    parts + 1 + f[i]->nsegs > STREAM_IOV_MAX)
			break;
		store_be32(f[i]->data - STREAM_WORD, f[i]->len);
		parts += frame_iov(f[i], iov);
		iov->iov_base = f[i]->data - STREAM_WORD;
		iov->iov_len += STREAM_WORD;
		end += STREAM_WORD + f[i]->len;
		s->end[i] = end;
	}
	s->sends = i;
	return parts;
}

/* Keep what is behind the first `cut` bytes of it. */
static void keep(struct stream_state *s, const struct frame *f, uint32_t cut)
{
	store_be32(s->rest, f->len);
	(void)frame_read(f, 0, s->rest + STREAM_WORD, f->len);
	atomic_store(&s->tx, stream_place(cut, STREAM_WORD + f->len));
}

/* `sent` bytes of the call have gone. Returns how many frames that is, with
 * the one that was cut. */
static unsigned int settle(struct stream_state *s, struct frame *const *f,
			   uint32_t sent)
{
	uint64_t tx = atomic_load_explicit(&s->tx, memory_order_relaxed);
	uint32_t from = stream_from(tx), to = stream_to(tx), start = 0, i;

	if (sent < to - from) {
		atomic_store(&s->tx, stream_place(from + sent, to));
		return 0;
	}
	sent -= to - from;
	for (i = 0; i < s->sends && s->end[i] <= sent; i++)
		start = s->end[i];
	if (start == sent) {
		atomic_store(&s->tx, 0);
		return i;
	}
	keep(s, f[i], sent - start);
	return i + 1;
}

/* Returns what was sent, in bytes, or -errno. */
static int64_t send_parts(struct stream_link *l, unsigned int parts)
{
	struct stream_state *s = l->state;
	long r;

	s->tx_msg = (struct mmsghdr){
		.msg_hdr = { .msg_iov = l->iov, .msg_iovlen = parts },
	};
	(void)atomic_fetch_or(&s->tx, STREAM_BUSY);
	r = syscall(SYS_sendmmsg, l->conn, &s->tx_msg, 1,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
	return r < 0 ? -errno : (int64_t)s->tx_msg.msg_len;
}

static void note_kept(struct stream_link *l)
{
	bool kept = has_rest(l->state);

	atomic_store_explicit(&l->kept, kept, memory_order_relaxed);
	/* Once there is room that is cleared by whoever receives. */
	if (kept && !l->armed)
		l->armed = watch(l, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT) == 0;
}

static enum drop_reason send_failed(struct stream_link *l, int error)
{
	if (error == EAGAIN)
		return DROP_QUEUE_FULL;
	if (error == ENOBUFS || error == ENOMEM)
		return DROP_NO_MEMORY;
	/* Who receives takes what there is still to read, and ends it. */
	if (!atomic_exchange(&l->lost, true)) {
		atomic_store(&l->error, error);
		nudge(l);
	}
	return DROP_LINK_DOWN;
}

/* One call. Returns how many frames have gone, fewer than n where *why says
 * so, or where a call takes no more (DROP_REASON_COUNT). */
static unsigned int send_once(struct stream_link *l, struct frame *const *f,
			      unsigned int n, enum drop_reason *why)
{
	struct stream_state *s = l->state;
	uint64_t tx = atomic_load_explicit(&s->tx, memory_order_relaxed);
	uint32_t rest = stream_to(tx) - stream_from(tx);
	unsigned int done, parts = 0;
	int64_t sent;

	if (rest)
		l->iov[parts++] =
			(struct iovec){ s->rest + stream_from(tx), rest };
	parts = gather(l, f, n, parts);
	*why = DROP_MTU; /* it's the first one's length that doesn't go */
	if (!parts)
		return 0;
	sent = send_parts(l, parts);
	done = settle(s, f, sent < 0 ? 0 : (uint32_t)sent);
	note_kept(l);
	if (sent < 0)
		*why = send_failed(l, (int)-sent);
	else if (done < s->sends || has_rest(s))
		*why = DROP_QUEUE_FULL;
	else
		*why = done ? DROP_REASON_COUNT : DROP_MTU;
	return done;
}

static unsigned int send_all(struct stream_link *l, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	unsigned int done = 0;

	if (l->conn < 0 || l->ended || l->lost) {
		*why = DROP_LINK_DOWN;
		return 0;
	}
	if (l->skip) {
		l->skip--;
		*why = DROP_QUEUE_FULL;
		return 0;
	}
	do
		done += send_once(l, f + done, n - done, why);
	while (done < n && *why == DROP_REASON_COUNT);
	/* The others of this burst would find no room either: without asking
	 * for each of them. */
	if (done < n && *why == DROP_QUEUE_FULL)
		l->skip = n - done - 1;
	return done;
}

unsigned int stream_link_send(struct stream_link *l, struct frame *const *f,
			      unsigned int n, enum drop_reason *why)
{
	unsigned int done;

	(void)pthread_mutex_lock(&l->tx_lock);
	done = send_all(l, f, n, why);
	(void)pthread_mutex_unlock(&l->tx_lock);
	return done;
}

/* There may be room for what was kept. idle: nothing came in. */
static void flush(struct stream_link *l, bool idle)
{
	struct frame none = { .len = 0 }, *const list = &none;
	enum drop_reason why;

	if (!atomic_load_explicit(&l->armed, memory_order_relaxed) &&
	    !atomic_load_explicit(&l->kept, memory_order_relaxed))
		return;
	(void)pthread_mutex_lock(&l->tx_lock);
	if (l->kept && !l->lost)
		(void)send_once(l, &list, 0, &why);
	/* Only now, as under load there'll soon be something again. */
	if (l->armed && !l->kept && idle)
		l->armed = watch(l, EPOLL_CTL_MOD, EPOLLIN) < 0;
	(void)pthread_mutex_unlock(&l->tx_lock);
}

/* ---- Receiving: rx_lock is held ---- */

static void end(struct stream_link *l, const char *why, int error)
{
	(void)watch(l, EPOLL_CTL_DEL, 0);
	take_nudge(l);
	atomic_store(&l->error, error);
	atomic_store(&l->ended, why);
}

/*
 * Frames from the buffer. *whole: there is one more, which finds no room any
 * more in the batch.
 */
static unsigned int take(struct stream_link *l, struct frame *f,
			 unsigned int max, struct frame_arena *arena,
			 bool *whole)
{
	struct stream_state *s = l->state;
	uint64_t rx = atomic_load_explicit(&s->rx, memory_order_relaxed);
	uint32_t from = stream_from(rx), to = stream_to(rx);
	unsigned int n = 0;

	for (;;) {
		uint32_t have = to - from, len;
		uint8_t *data;

		*whole = false;
		if (have < STREAM_WORD)
			break;
		len = load_be32(s->buffer + from);
		if (!len || len > FRAME_LEN_MAX) {
			end(l, bad_length, EPROTO);
			break;
		}
		if (have - STREAM_WORD < len)
			break;
		*whole = true;
		data = n < max ? frame_arena_peek(arena) : NULL;
		if (!data)
			break;
		memcpy(data, s->buffer + from + STREAM_WORD, len);
		frame_init(&f[n++], data, len);
		frame_arena_take(arena, len);
		from += STREAM_WORD + len;
	}
	atomic_store_explicit(&s->rx, stream_place(from, to),
			      memory_order_release);
	return n;
}

/* What came beside bytes. The header isn't only ours, its room is. */
static void discard_rights(struct stream_link *l)
{
	struct mmsghdr m = l->state->rx_msg;
	size_t len = m.msg_hdr.msg_controllen;

	rights_give_room(&m.msg_hdr, &l->room);
	if (len < m.msg_hdr.msg_controllen)
		m.msg_hdr.msg_controllen = len;
	if (rights_discard(&m, 1) < 0)
		end(l, too_many_rights, EBUSY);
}

/*
 * Read what there is. The buffer has no whole frame. Returns false where
 * nothing is left to read.
 */
static bool fill(struct stream_link *l)
{
	struct stream_state *s = l->state;
	uint64_t rx = atomic_load_explicit(&s->rx, memory_order_relaxed);
	uint32_t from = stream_from(rx), to = stream_to(rx), got;
	struct iovec iov;
	long r;

	if (from == to) {
		from = to = 0;
	} else if (STREAM_BUFFER - to < STREAM_READ) {
		/* It is no more than a frame, and lies behind that room. The
		 * old place is good until the word below. */
		memcpy(s->buffer, s->buffer + from, to - from);
		to -= from;
		from = 0;
	}
	iov = (struct iovec){ s->buffer + to, STREAM_READ };
	s->rx_msg = (struct mmsghdr){
		.msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 },
	};
	if (__builtin_expect(l->rights, 0))
		rights_give_room(&s->rx_msg.msg_hdr, &l->room);
	atomic_store(&s->rx, stream_place(from, to) | STREAM_BUSY);
	r = syscall(SYS_recvmmsg, l->conn, &s->rx_msg, 1,
		    MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	got = r < 0 ? 0 : s->rx_msg.msg_len;
	atomic_store(&s->rx, stream_place(from, to + got));
	if (r < 0 && errno != EAGAIN && errno != EINTR)
		end(l, stream_closed, errno);
	else if (r >= 0 && !got)
		end(l, stream_closed, ECONNRESET);
	else if (r > 0 && l->rights)
		discard_rights(l);
	return got == STREAM_READ;
}

static unsigned int receive(struct stream_link *l, struct frame *f,
			    unsigned int max, struct frame_arena *arena)
{
	bool whole, more = true;
	unsigned int n = take(l, f, max, arena, &whole);

	while (n < max && !whole && more && !l->ended) {
		more = fill(l);
		n += take(l, f + n, max - n, arena, &whole);
	}
	atomic_fetch_add_explicit(&l->received, n, memory_order_relaxed);
	if (l->ended)
		return n;
	if (!whole)
		take_nudge(l);
	else if (!l->nudged)
		nudge(l);
	flush(l, !n);
	/* Behind take_nudge(), which may have taken the one that was for it. */
	if (!l->lost)
		return n;
	if (n || whole)
		nudge(l);
	else
		end(l, stream_closed, l->error);
	return n;
}

unsigned int stream_link_receive(struct stream_link *l, struct frame *f,
				 unsigned int max, struct frame_arena *arena)
{
	unsigned int n = 0;

	(void)pthread_mutex_lock(&l->rx_lock);
	if (l->conn >= 0 && !l->ended)
		n = receive(l, f, max, arena);
	(void)pthread_mutex_unlock(&l->rx_lock);
	return n;
}
