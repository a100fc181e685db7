/*
 * backlog - frames that a full socket has left over
 *
 * How many datagrams may wait at a Unix socket that isn't connected to ours is
 * the kernel's net.unix.max_dgram_qlen, 10 on many hosts and in every new
 * network namespace: no burst of TCP fits in there. What doesn't is copied into
 * a ring, and goes out when the other end has read. Only what doesn't fit there
 * either is dropped, so that nobody waits for a guest.
 *
 *     tx ─► socket                      while nothing is kept
 *     tx ─► ring ── EPOLLOUT ─► socket  from the first that finds no room,
 *                                       until the ring is empty
 *
 * So frames of one thread keep their order: as long as one is kept, others go
 * behind it. (A flow is one thread's.)
 *
 * A backlog has an epoll set of its own with the socket in it, which takes the
 * socket's place as what the worker waits for. It is readable when there is
 * something to receive, and while something is kept also when there is room.
 * The worker then calls backlog_flush(), as after each receive. Nothing else
 * wakes anybody up.
 *
 * What is kept counts as sent, as what waits in the kernel does. Of both nobody
 * would hear again when the other end goes; of what was kept backlog_lost()
 * tells. What is kept lies in this process, and ends with it.
 *
 * Threads: backlog_holds, _add and _flush may be called by several at once.
 */
#ifndef PORTS_BACKLOG_H
#define PORTS_BACKLOG_H

#include "ports/frame.h"
#include "ports/ring.h"

/* As many frames wait on a host where systemd has set the kernel's limit; full
 * ones of an ordinary MTU all find room. */
#define BACKLOG_FRAMES 512u
#define BACKLOG_BYTES  (1u << 20)

struct backlog {
	struct ring ring; /* its lock is the backlog's */
	int socket;	  /* borrowed */
	int epoll;
	uint32_t frames;       /* lock: in the ring */
	_Atomic bool holds;    /* frames > 0 */
	_Atomic bool armed;    /* epoll waits for room as well */
	_Atomic uint64_t lost; /* frames that nobody was there for any more */
};

/*
 * Of a datagram socket, which is borrowed and may be connected anew at any
 * time. Memory is used once it's needed. Returns it, or NULL with errno.
 */
struct backlog *backlog_new(int socket);

/* What is kept goes with it. NULL is fine. */
void backlog_free(struct backlog *b);

/* Are frames kept? Then others have to be, too. */
static inline bool backlog_holds(struct backlog *b)
{
	return __builtin_expect(
		atomic_load_explicit(&b->holds, memory_order_acquire), 0);
}

/* Keep copies of the first frames of f[0..n). Returns how many; fewer than n
 * where the ring is full. */
unsigned int backlog_add(struct backlog *b, struct frame *const *f,
			 unsigned int n);

/* Send what is kept, as far as there is room. idle: nothing was received just
 * now, and nothing is to be sent. */
void backlog_flush(struct backlog *b, bool idle);

/* Nobody will receive it: what is kept is lost. */
void backlog_drop(struct backlog *b);

/* How many frames were kept and then lost, since the beginning. */
static inline uint64_t backlog_lost(struct backlog *b)
{
	return atomic_load_explicit(&b->lost, memory_order_relaxed);
}

#endif
