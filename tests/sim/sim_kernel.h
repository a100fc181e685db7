/*
 * sim_kernel - the kernel fast path's programs on frames of the simulator
 *
 * Where the process may load BPF, each sim has the real programs and maps for
 * its switch, and all dummy ports are the kernel's ("fast"). When the switch
 * has taken a batch from a port, and has learned from it, both programs see the
 * same frames one by one (BPF_PROG_TEST_RUN). What they count is taken down and
 * taken back. They have to come to the same as the pipeline: the same counters
 * of all ports, the same frames, byte for byte. Where the programs punt a frame
 * of the batch, the pipeline alone knows what is right, and nothing is compared
 * but XDP with TC.
 *
 * Nothing is sent: sim_kernel.bpf.c writes down what would be. What can't be
 * run that way isn't: frames that fill more than a page, those whose vnet
 * header the kernel refuses when a device hands it over, and (one set of maps
 * is all there is) the second of two sims at a time. Nor are more than the
 * first 20 000 frames of a sim.
 *
 * Threads: one.
 */
#ifndef TESTS_SIM_SIM_KERNEL_H
#define TESTS_SIM_SIM_KERNEL_H

#include "switchd/fastpath_map.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_copy.h"

/* NULL: the programs can be run here; else why not. Loads them. */
const char *sim_kernel_why(void);

/* Maps for a switch, all zero; fdb_entries 0: the default. NULL: see above. */
struct fastpath *sim_kernel_open(uint32_t fdb_entries);
void sim_kernel_close(struct fastpath *f);

/* What the programs decide by, for tests that upset it. */
struct fastpath_global *sim_kernel_global(void);

enum sim_kernel_act {
	SIM_KERNEL_UNKNOWN, /* it couldn't be run */
	SIM_KERNEL_GONE,    /* dropped, and not counted as received */
	SIM_KERNEL_PUNT,
	SIM_KERNEL_DROP,
	SIM_KERNEL_FORWARD, /* or flood; may be dropped where it'd leave */
};

/* What TC makes of a frame. */
struct sim_kernel_result {
	enum sim_kernel_act act;
	bool forced, super;
	struct port_counters *counted; /* by port index, up to index_end */
	/* What was sent where. The frames are in `copy`, in their order. */
	unsigned int copies;
	struct {
		uint32_t port; /* index; FASTPATH_NO_PORT: up to userspace */
		struct frame f;
	} copy[SIM_COPIES_MAX];
	/* XDP would have forwarded it, the same way, but with its checksum
	 * complete. */
	bool xdp;
	uint8_t xdp_data[SIM_COPY_MAX];
};

/*
 * A frame, all in its head, as offload_check() has left it. keep: where it is
 * punted, it stays under way; else userspace is done with it. The result holds
 * until the next call.
 */
const struct sim_kernel_result *sim_kernel_run(struct sim *s, uint32_t index,
					       const struct frame *f,
					       bool keep);

/* The same by TC only, while another thread changes what it decides by: nothing
 * is checked or taken back, but what is punted counts as done. */
const struct sim_kernel_result *sim_kernel_try(struct sim *s, uint32_t index,
					       const struct frame *f);

/* One batch from a port, through the kernel and then the pipeline. Fails the
 * test, at this line of it, where they disagree. */
void sim_kernel_poll(struct sim *s, struct switch_port *p, const char *file,
		     int line);

/* What sim_kernel_poll() has compared in this process: frames that the kernel
 * would have forwarded (flooded: to several ports; xdp: also by XDP), dropped.
 */
struct sim_kernel_seen {
	unsigned int forwarded, flooded, xdp, dropped;
};
extern struct sim_kernel_seen sim_kernel_seen;

#endif
