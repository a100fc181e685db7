/*
 * fastpath_map - the switch process's hand on the kernel fast path
 *
 * The monitor has loaded the programs and holds the maps (fastpath_load.h);
 * five of them are mapped here. The main thread writes into them what a
 * snapshot says of the ports, the worker that has the CPU port says how many
 * frames it is done with, and whoever asks for counters gets the kernel's
 * added. switchd/fastpath.h describes the memory.
 *
 * The kernel counts on while there is no switch process: its counters belong
 * to a port index until fastpath_retire(), whoever comes and goes meanwhile.
 *
 * Ownership: the daemon owns it and frees it after the switch. Threads: the
 * main one, but for fastpath_completed().
 */
#ifndef SWITCHD_FASTPATH_MAP_H
#define SWITCHD_FASTPATH_MAP_H

#include "base/error.h"
#include "switchd/fastpath.h"
#include "switchd/fastpath_load.h"
#include "switchd/ledger.h"

#include <stdbool.h>

struct fastpath;
struct snapshot;

/* How big they are. */
struct fastpath_extent {
	uint32_t version; /* FASTPATH_VERSION */
	uint32_t ports_max;
	uint32_t cpus;	   /* possible ones */
	uint64_t fdb_size; /* bytes */
};

/*
 * Map them. fd[FASTPATH_FDS] are taken over, also on failure; the CPU port's
 * may be -1 (tests). Returns NULL with *err: bad-state where the sizes aren't
 * those of the maps.
 */
struct fastpath *fastpath_open(const struct fastpath_extent *sizes,
			       const int *fd, struct error *err);
/* NULL is fine. The kernel goes on. */
void fastpath_free(struct fastpath *f);

/* The FDB's memory, fdb_size bytes; the CPU port's descriptor. */
void *fastpath_fdb_memory(const struct fastpath *f);
uint64_t fastpath_fdb_size(const struct fastpath *f);
int fastpath_cpu_fd(const struct fastpath *f);

/* What the kernel does with the frames of a port that is in the snapshot. */
typedef enum fastpath_state fastpath_state_fn(void *ctx, uint32_t index);

/*
 * The kernel decides by this snapshot from now on. Costs what has changed, and
 * a look at each port.
 */
void fastpath_commit(struct fastpath *f, const struct snapshot *s,
		     fastpath_state_fn *state, void *ctx);

/*
 * Once a second: the heartbeat, and frames that were lost on their way up (the
 * CPU port's queue was full, or a switch process died with them in its hands)
 * are given up, so that their ports get the credits back. now_s: seconds, as
 * for the FDB. lost, which may be NULL, hears of each port's. Returns false
 * where that was done in this second already.
 */
bool fastpath_tick(struct fastpath *f, uint32_t now_s,
		   void (*lost)(void *ctx, uint32_t index, uint32_t frames),
		   void *ctx);

/* Forward nothing once the heartbeat is that old; 0: never mind. */
void fastpath_dead_after(struct fastpath *f, uint32_t seconds);

/* Userspace has sent or dropped `frames` that were punted by this port. The
 * worker that has the CPU port. */
void fastpath_completed(struct fastpath *f, uint32_t index, uint32_t frames);

/* Add what the kernel has counted for a port. */
void fastpath_count(const struct fastpath *f, uint32_t index,
		    struct port_counters *sum);

/* What it has besides. */
struct fastpath_facts {
	uint64_t forwarded, xdp, super, forced, punted;
};
void fastpath_facts(const struct fastpath *f, uint32_t index,
		    struct fastpath_facts *out);

/* The port is gone, its device is no longer the kernel's: its counts are added
 * to `to` and begin at zero. */
void fastpath_retire(struct fastpath *f, uint32_t index,
		     struct port_counters *to);

#endif
