/*
 * stream_state - where a stream is, for the process after this one
 *
 * Frames have no marks in a stream: who has lost one byte of it doesn't find
 * the next frame. So what was read and isn't a whole frame yet, the rest of a
 * frame that the other end took half of, and the positions of both lie in a
 * memfd that goes with the port's grant. A process that is killed may lose
 * frames, but the next one goes on in step.
 *
 * How many bytes a call has read or sent is known only after it, and a process
 * may be killed in between. So it's the kernel that writes it down: recvmmsg()
 * and sendmmsg() store it in the struct mmsghdr, which lies in here, before
 * they return, and a killed process doesn't end before that. `rx` and `tx` are
 * a word each, with a bit for "a call is under way": stream_state_recover()
 * makes of both what they would have become.
 *
 * One thing can't be told: which bytes are missing of a frame that was cut in
 * the very call that the process died in, for they were the process's own. Then
 * the connection has to be given up.
 *
 * What is in here is checked as if an enemy had written it, before it is used.
 * Threads: the worker that receives has rx, rx_msg and buffer; who holds the
 * sending side's lock (stream_link.h) has the rest.
 */
#ifndef PORTS_STREAM_STATE_H
#define PORTS_STREAM_STATE_H

#include "ports/frame.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define STREAM_WORD	  4 /* bytes of the length in front of each frame */
#define STREAM_FRAME_MAX  (STREAM_WORD + FRAME_LEN_MAX)
#define STREAM_READ	  (96u * 1024) /* a batch of 64 full frames */
#define STREAM_BUFFER	  (256u * 1024)
#define STREAM_SEND_MAX	  FRAME_BATCH_MAX
#define STREAM_STATE_SIZE (336u * 1024) /* of the memfd */

#define STREAM_MAGIC 0x316d727473777773ull

struct stream_state {
	uint64_t magic;
	uint32_t size; /* of this struct: another version's is of no use */
	/* All else is of the connection that the grant has. It's the last that
	 * is set and the first that is cleared. */
	_Atomic uint32_t open;
	/* Positions: in buffer, what was read and not delivered; in rest, what
	 * is still to be sent, before anything else. */
	_Atomic uint64_t rx, tx;
	struct mmsghdr rx_msg, tx_msg; /* msg_len is the kernel's word */
	/* Of the call that sends, without the rest: where frames end. */
	uint32_t sends;
	uint32_t end[STREAM_SEND_MAX];
	uint8_t rest[STREAM_FRAME_MAX];
	uint8_t buffer[STREAM_BUFFER];
};

_Static_assert(sizeof(struct stream_state) <= STREAM_STATE_SIZE,
	       "the state fits its memory");
/* What is moved to the buffer's beginning must not lie there in part. */
_Static_assert(STREAM_BUFFER - STREAM_READ - STREAM_FRAME_MAX >=
		       STREAM_FRAME_MAX,
	       "no frame is moved over itself");

/* A position word: from .. to (below 2^31), and whether a call is under way. */
#define STREAM_BUSY (1ull << 63)

static inline uint64_t stream_place(uint32_t from, uint32_t to)
{
	return (uint64_t)to << 31 | from;
}

static inline uint32_t stream_from(uint64_t place)
{
	return (uint32_t)place & 0x7fffffff;
}

static inline uint32_t stream_to(uint64_t place)
{
	return (uint32_t)(place >> 31) & 0x7fffffff;
}

/* A state in which nobody is connected. */
void stream_state_init(struct stream_state *s);

/* Can this be what stream_state_init and ports of ours have left? */
bool stream_state_sane(const struct stream_state *s);

/* Begin a connection, of which nothing was read or sent. */
void stream_state_open(struct stream_state *s);

/* It is over. */
void stream_state_close(struct stream_state *s);

/*
 * The process that used it has ended, at any point. The state is sane and open.
 * Returns false where nobody can tell how the stream goes on.
 */
bool stream_state_recover(struct stream_state *s);

#endif
