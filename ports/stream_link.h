/*
 * stream_link - frames over one connection of bytes
 *
 * Each frame is preceded by its length, four bytes, big-endian (QEMU's
 * net/stream.c and net/socket.c). There are no other marks, so a length that
 * no frame has (0, more than FRAME_LEN_MAX, which is QEMU's limit) is the end
 * of the connection.
 *
 * Receiving. A read takes as much as there is, many frames at once, into the
 * buffer of stream_state.h, from where they are copied into the batch's arena:
 * they need room in front of them, which is another frame's here. What is whole
 * but finds no place in the batch makes the `again` descriptor readable.
 *
 * Sending. A burst is one call, whatever the number of frames: the length goes
 * into a frame's headroom. Where the socket takes only a part, the frame that
 * is cut counts as sent; the rest of it is kept, goes out before anything else,
 * and the others are dropped: a peer that doesn't read loses frames, and nobody
 * waits for it. While something is kept `epoll` tells when there is room.
 *
 * Ownership: state, epoll and descriptors are borrowed.
 * Threads: stream_link_receive on one thread, stream_link_send on any number;
 * begin and end while no other one is under way, which is what the locks are
 * for: rx_lock is held while frames are received, tx_lock while they are sent.
 */
#ifndef PORTS_STREAM_LINK_H
#define PORTS_STREAM_LINK_H

#include "base/rights.h"
#include "ports/drop.h"
#include "ports/stream_state.h"

#include <pthread.h>

#define STREAM_IOV_MAX 1024 /* UIO_MAXIOV of the kernel */

struct stream_link {
	struct stream_state *state;
	int epoll; /* has the connection, and `again` */
	int again; /* eventfd: receive, whatever the connection says */
	int conn;  /* -1: none */
	pthread_mutex_t rx_lock, tx_lock;
	/* The other end has gone, or speaks something else; what receives has
	 * let go of the connection. Static text. */
	const char *_Atomic ended;
	_Atomic int error;	   /* errno for people who want one */
	_Atomic bool lost;	   /* sending has failed for good */
	_Atomic bool nudged;	   /* `again` is readable */
	_Atomic bool kept;	   /* state->rest has something */
	_Atomic bool armed;	   /* epoll waits for room */
	unsigned int skip;	   /* tx_lock: frames to drop unseen */
	_Atomic uint64_t received; /* frames */
	/* Descriptors may come beside bytes, and there is room for them. */
	bool rights;
	struct rights_room room;
	struct iovec iov[STREAM_IOV_MAX]; /* tx_lock */
};

extern const char stream_closed[]; /* `ended`: by the other end */

/* No connection yet. epoll has `again` in it. Returns 0 or -errno. */
int stream_link_init(struct stream_link *l, struct stream_state *state,
		     int epoll, int again);
void stream_link_fini(struct stream_link *l);

/* Begin with a connection, non-blocking, at what the (open) state says.
 * Returns 0 or -errno: then nothing has happened. */
int stream_link_begin(struct stream_link *l, int conn)
	__attribute__((warn_unused_result));

/* Let go of the connection, which stays as it is. */
void stream_link_end(struct stream_link *l);

/* As port_ops.rx. Sets `ended` at the end of the stream. */
unsigned int stream_link_receive(struct stream_link *l, struct frame *f,
				 unsigned int max, struct frame_arena *arena);

/* As port_ops.tx. */
unsigned int stream_link_send(struct stream_link *l, struct frame *const *f,
			      unsigned int n, enum drop_reason *why);

#endif
