#include "ports/backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int watch(struct backlog *b, int op, uint32_t events)
{
	struct epoll_event e = { .events = events };

	return epoll_ctl(b->epoll, op, b->socket, &e) < 0 ? -errno : 0;
}

struct backlog *backlog_new(int socket)
{
	struct backlog *b = aligned_alloc(_Alignof(struct backlog), sizeof(*b));
	int r;

	if (!b)
		return NULL;
	memset(b, 0, sizeof(*b));
	r = ring_init(&b->ring, BACKLOG_BYTES);
	if (r < 0) {
		free(b);
		errno = -r;
		return NULL;
	}
	b->socket = socket;
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = b->epoll < 0 ? -errno : watch(b, EPOLL_CTL_ADD, EPOLLIN);
	if (r == 0)
		return b;
	backlog_free(b);
	errno = -r;
	return NULL;
}

void backlog_free(struct backlog *b)
{
	if (!b)
		return;
	if (b->epoll >= 0)
		close(b->epoll);
	ring_fini(&b->ring);
	free(b);
}

/* ---- The lock is held ---- */

static void done_with(struct backlog *b)
{
	ring_pop(&b->ring);
	b->frames--;
}

static void lose(struct backlog *b)
{
	atomic_fetch_add_explicit(&b->lost, 1, memory_order_relaxed);
	done_with(b);
}

/* One frame. Not glibc's send(), which is a cancellation point: see tap.c. */
static bool send_one(struct backlog *b, const void *data, uint32_t len)
{
	long r = syscall(SYS_sendto, b->socket, data, len,
			 MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

	if (r >= 0)
		done_with(b);
	else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
		return false;
	else
		lose(b);
	return true;
}

static void send_kept(struct backlog *b)
{
	const void *data;
	uint32_t len;

	while ((data = ring_get(&b->ring, &len)))
		if (!send_one(b, data, len))
			break;
}

/* Behind the last frame that went, for whoever sends past the ring then. */
static void note(struct backlog *b)
{
	atomic_store_explicit(&b->holds, b->frames > 0, memory_order_release);
	if (b->frames && !b->armed)
		b->armed = watch(b, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT) == 0;
}

static unsigned int keep(struct backlog *b, struct frame *const *f,
			 unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && b->frames < BACKLOG_FRAMES; i++) {
		void *data = ring_put(&b->ring, f[i]->len);

		if (!data)
			break;
		(void)frame_read(f[i], 0, data, f[i]->len);
		b->frames++;
	}
	return i;
}

/* ---- Any worker ---- */

unsigned int backlog_add(struct backlog *b, struct frame *const *f,
			 unsigned int n)
{
	ring_lock(&b->ring);
	n = keep(b, f, n);
	note(b);
	ring_unlock(&b->ring);
	return n;
}

void backlog_flush(struct backlog *b, bool idle)
{
	if (!backlog_holds(b) &&
	    !atomic_load_explicit(&b->armed, memory_order_relaxed))
		return;
	ring_lock(&b->ring);
	send_kept(b);
	note(b);
	/* Only now, as under load there'll soon be something again. */
	if (b->armed && !b->frames && idle)
		b->armed = watch(b, EPOLL_CTL_MOD, EPOLLIN) < 0;
	ring_unlock(&b->ring);
}

void backlog_drop(struct backlog *b)
{
	uint32_t len;

	ring_lock(&b->ring);
	while (ring_get(&b->ring, &len))
		lose(b);
	note(b);
	ring_unlock(&b->ring);
}
