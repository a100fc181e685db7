/*
 * pipeline - what happens to a batch of frames between rx and tx
 *
 *     classify ─► learn ─► decide ─► egress lists ─► tag, offload, tx
 *
 * A worker has one pipeline. It gets up to FRAME_BATCH_MAX frames that came
 * by one port, runs each stage over all of them, and returns when each frame
 * is forwarded or dropped with a reason. There is no allocation, lock, log or
 * clock in it; the caller passes the time.
 *
 * Ledgers (port_counters), which hold after every call:
 *     rx_frames = rx_forwarded + sum(rx_drop)
 *     tx_copies = tx_frames    + sum(tx_drop)
 * A super-frame is one frame; the segments of those that were sound are
 * counted beside it.
 *
 * Threads: the pipeline belongs to its worker; its counters may be read by
 * any thread. The FDB is shared.
 */
#ifndef SWITCHD_PIPELINE_H
#define SWITCHD_PIPELINE_H

#include "base/counters.h"
#include "fdb/fdb.h"
#include "switchd/snapshot.h"

struct port_counters {
	counter rx_frames, rx_bytes, rx_segments, rx_forwarded;
	counter tx_copies, tx_frames, tx_bytes, tx_segments;
	counter rx_drop[DROP_REASON_COUNT];
	counter tx_drop[DROP_REASON_COUNT];
};

/* Every word of the block is a counter: it can be summed as an array. */
#define PORT_COUNTERS (sizeof(struct port_counters) / sizeof(counter))
_Static_assert(sizeof(struct port_counters) ==
		       (8 + 2 * DROP_REASON_COUNT) * sizeof(counter),
	       "struct port_counters holds counters only");

/* Add one block to another, which belongs to the caller. Any thread. */
static inline void port_counters_add(struct port_counters *sum,
				     const struct port_counters *c)
{
	counter *to = (counter *)sum;
	const counter *from = (const counter *)c;

	for (size_t i = 0; i < PORT_COUNTERS; i++)
		counter_add(&to[i], counter_get(&from[i]));
}

struct pipeline; /* opaque */

/*
 * A pipeline for port indexes below `ports_max` on this FDB (borrowed).
 * NULL where memory is short. Main thread.
 */
struct pipeline *pipeline_new(struct fdb *fdb, uint32_t ports_max);
void pipeline_free(struct pipeline *pl);

/*
 * Forward f[0..n), n <= FRAME_BATCH_MAX, which came by the port with index
 * `in` of snapshot `s`. `now_s`: seconds, monotonic, never going back.
 * Worker's thread. The frames' headers are changed.
 */
void pipeline_run(struct pipeline *pl, const struct snapshot *s, uint32_t in,
		  struct frame *f, unsigned int n, uint32_t now_s);

/* This worker's counters of a port index; any thread may read them. */
struct port_counters *pipeline_counters(struct pipeline *pl, uint32_t port);

/* Set a port index's counters to zero, for its next owner. Main thread, once
 * no worker can touch the index (quarantine). */
void pipeline_counters_reset(struct pipeline *pl, uint32_t port);

#endif
