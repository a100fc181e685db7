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
 * What it counts (ledger.h) adds up after every call. In between, a frame is
 * counted as received before it is as forwarded or dropped, and a copy as such
 * before it is as sent or dropped: where the process is killed, what was under
 * way can be told.
 *
 * Threads: the pipeline belongs to its worker; its counters may be read by
 * any thread. The FDB is shared.
 */
#ifndef SWITCHD_PIPELINE_H
#define SWITCHD_PIPELINE_H

#include "fdb/fdb.h"
#include "switchd/ledger.h"
#include "switchd/snapshot.h"

struct pipeline; /* opaque */

/*
 * A pipeline for port indexes below `ports_max` on this FDB, which counts into
 * `counters`, by port index (both borrowed; nobody else writes there).
 * NULL where memory is short. Main thread.
 */
struct pipeline *pipeline_new(struct fdb *fdb, uint32_t ports_max,
			      struct port_counters *counters);
void pipeline_free(struct pipeline *pl);

/*
 * Forward f[0..n), n <= FRAME_BATCH_MAX, which came by the port with index
 * `in` of snapshot `s`. `now_s`: seconds, monotonic, never going back.
 * Worker's thread. The frames' headers are changed.
 */
void pipeline_run(struct pipeline *pl, const struct snapshot *s, uint32_t in,
		  struct frame *f, unsigned int n, uint32_t now_s);

#endif
