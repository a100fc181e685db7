/*
 * ledger - the counters of all ports, in memory that outlives the process
 *
 * For each port two ledgers are kept, and hold whenever no batch is under way:
 *     rx_frames = rx_forwarded + sum(rx_drop)
 *     tx_copies = tx_frames    + sum(tx_drop)
 * A super-frame is one frame; the segments of those that were sound are
 * counted beside it. rx_missed, what the kernel lost before we could read it,
 * is in neither; tx_lost is a part of tx_frames, namely what waited for the
 * other end when that went.
 *
 *              port 0   port 1   ...   port N-1   totals
 *     slot 0                                      ports that are gone
 *     slot 1                                      -
 *     slot ..
 *
 * A counter has one writer: slot 0 belongs to the main thread, slot 1 + i to
 * worker i. Whoever asks sums over the slots. The totals are what ports that
 * are gone have counted.
 *
 * The memory describes itself: its header says how many slots and ports there
 * are, and lists the counters' names. When the process has died, the next one
 * makes a ledger of its own and adopts what the old one holds, though it may
 * have other counters and another number of workers. What the dead one had
 * received and neither forwarded nor dropped, or had to send and neither sent
 * nor dropped, is booked as dropped for the reason `restart` (a frame that was
 * sent but not counted yet is among them), so that the ledgers hold again.
 *
 * Threads: each slot is written by its owner and may be read by any; all
 * functions are the main thread's.
 */
#ifndef SWITCHD_LEDGER_H
#define SWITCHD_LEDGER_H

#include "base/counters.h"
#include "base/error.h"
#include "ports/drop.h"

#include <stddef.h>
#include <stdint.h>

#define LEDGER_SLOTS_MAX 256u
#define LEDGER_PORTS_MAX (1u << 20)
#define LEDGER_SIZE_MAX	 (1ull << 30) /* bytes, most of which are never used */

/* X(member, name in the memory) */
#define PORT_COUNTER_LIST(X)            \
	X(rx_frames, "rx.frames")       \
	X(rx_bytes, "rx.bytes")         \
	X(rx_segments, "rx.segments")   \
	X(rx_forwarded, "rx.forwarded") \
	X(rx_missed, "rx.missed")       \
	X(tx_copies, "tx.copies")       \
	X(tx_frames, "tx.frames")       \
	X(tx_bytes, "tx.bytes")         \
	X(tx_segments, "tx.segments")   \
	X(tx_lost, "tx.lost")

struct port_counters {
#define PORT_COUNTER_MEMBER(member, name) counter member;
	PORT_COUNTER_LIST(PORT_COUNTER_MEMBER)
#undef PORT_COUNTER_MEMBER
	counter rx_drop[DROP_REASON_COUNT];
	counter tx_drop[DROP_REASON_COUNT];
};

/* Every word of the block is a counter: it can be summed as an array. */
#define PORT_COUNTERS		       (sizeof(struct port_counters) / sizeof(counter))
#define PORT_COUNTER_ONE(member, name) +1
_Static_assert(PORT_COUNTERS == PORT_COUNTER_LIST(PORT_COUNTER_ONE) +
					2 * DROP_REASON_COUNT,
	       "struct port_counters holds counters only");
#undef PORT_COUNTER_ONE

/* Add one block to another, which belongs to the caller. Any thread. */
static inline void port_counters_add(struct port_counters *sum,
				     const struct port_counters *c)
{
	counter *to = (counter *)sum;
	const counter *from = (const counter *)c;

	for (size_t i = 0; i < PORT_COUNTERS; i++)
		counter_add(&to[i], counter_get(&from[i]));
}

struct ledger;

/*
 * All counters zero. slots: 1 to LEDGER_SLOTS_MAX; ports: indexes are below
 * this, 1 to LEDGER_PORTS_MAX. Memory is used up only where something is
 * counted. NULL and errno on failure.
 */
struct ledger *ledger_new(unsigned int slots, uint32_t ports);

/* NULL is fine. The memory lives as long as others have its descriptor. */
void ledger_free(struct ledger *l);

/* To be handed over; the ledger keeps owning it. */
int ledger_fd(const struct ledger *l);

/* A slot: the blocks of all ports by index. It stays where it is. */
struct port_counters *ledger_slot(struct ledger *l, unsigned int slot);

/* A port's counters, summed over the slots; port == ports: the totals. */
void ledger_sum(const struct ledger *l, uint32_t port,
		struct port_counters *sum);

/* A port is gone: what was counted for it goes into the totals, and its index
 * begins at zero. No worker may be able to touch the index (quarantine). */
void ledger_retire(struct ledger *l, uint32_t port);

/*
 * Go on counting from what an older process has left in `fd` (borrowed, read
 * only): the sums of its slots are added to slot 0, port by port, by the
 * counters' names. A drop reason that is unknown here counts as `restart`,
 * another unknown counter is left out; a port beyond ours counts in the
 * totals. Nobody may be writing there.
 * Returns 0, or -errno with *err, and then nothing is added: -EINVAL with
 * reason bad-state (whatever may be wrong with it) or state-version, -ENOMEM
 * with no-memory.
 */
int ledger_adopt(struct ledger *l, int fd, struct error *err)
	__attribute__((warn_unused_result));

/* Port indexes from here on have nothing that was adopted. */
uint32_t ledger_adopted_end(const struct ledger *l);

#endif
