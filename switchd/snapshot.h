/*
 * snapshot - the configuration as the workers see it
 *
 * Immutable once published. The main thread builds a new one for every change
 * (coalesced), stores its pointer, and frees the old one after a grace period
 * (base/epoch.h). A worker reads the pointer once a batch, so that a frame
 * meets the old configuration or the new one, never half of each.
 *
 * Flood sets are per VLAN, and VLANs with the same members share one: a
 * thousand ports that carry every VLAN make one set, not four thousand.
 *
 * Threads: build, free: main; everything else is read-only.
 */
#ifndef SWITCHD_SNAPSHOT_H
#define SWITCHD_SNAPSHOT_H

#include "base/epoch.h"
#include "ports/port.h"
#include "switchd/decide.h"

#define SNAPSHOT_VLANS	     4096
#define SNAPSHOT_MIRRORS_MAX 64	  /* bits of a uint64_t */
#define SNAPSHOT_NOBODY	     0xff /* a queue between two workers */

struct snapshot_port {
	struct port *port; /* NULL: no port has this index */
	struct decide_port decide;
	/* Index of the worker that receives, or SNAPSHOT_NOBODY; by queue. */
	uint8_t worker[PORT_FDS_MAX];
	uint64_t mirror_in;  /* mirrors that want what it receives */
	uint64_t mirror_out; /* ... what it sends */
	uint64_t vlans[SNAPSHOT_VLANS / 64]; /* decide.vlans points here */
};

struct snapshot_flood {
	uint32_t n;
	uint32_t id;	 /* its place in sets[] */
	uint16_t port[]; /* indexes, ascending */
};

struct snapshot_mirror {
	uint16_t to;	/* index of the target port */
	bool has_vlans; /* else all VLANs */
	uint64_t vlans[SNAPSHOT_VLANS / 64];
};

struct snapshot {
	uint32_t nports;	   /* indexes below this are in port[] */
	uint16_t tpid;		   /* tag protocol, 0x8100 or 0x88a8 */
	uint16_t forward_reserved; /* bit N: 01-80-C2-00-00-0N passes */
	uint32_t nmirrors;
	struct snapshot_mirror *mirror;
	struct snapshot_flood *flood[SNAPSHOT_VLANS]; /* shared; never NULL */
	struct snapshot_flood **sets; /* each distinct set once, for free */
	uint32_t nsets;
	struct epoch_retired retired;
	struct snapshot_port port[];
};

/*
 * A snapshot with room for `nports` ports and `nmirrors` mirrors, all fields
 * zero: the caller fills port[], mirror[], tpid and forward_reserved (not
 * decide.vlans) and then calls snapshot_finish. NULL where memory is short.
 */
struct snapshot *snapshot_new(uint32_t nports, uint32_t nmirrors);

/*
 * Compute what is derived: decide.vlans and the flood sets.
 * Returns 0 or -ENOMEM.
 */
int snapshot_finish(struct snapshot *s) __attribute__((warn_unused_result));

void snapshot_free(struct snapshot *s);

#endif
