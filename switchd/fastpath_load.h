/*
 * fastpath_load - the monitor's half of the kernel fast path
 *
 * Loads the programs, makes the maps and the CPU port (see fastpath.h), and
 * writes what is the monitor's alone: which device is which port, to be
 * received from and sent to, and where the XDP program is attached. All of that
 * stays while switch processes come and go.
 *
 * A device is *placed* at a port index. Devices are those of the grants (see
 * grants.h); who calls has made sure that they are.
 *
 *	TC    the filter that netdev_guard puts in, with fastpath_kernel_tc()
 *	XDP   a bpf_link of ours, in driver mode; it ends with this process.
 *
 * XDP is only for TAPs, which lose nothing of a frame by it that the program
 * can't make good (see fastpath.bpf.c), and only where the kernel takes the
 * program at all.
 *
 * Over an execve(2) maps and CPU port stay, while the programs are loaded anew:
 * those of the new version, on the old one's maps. A version whose maps are of
 * another size or kind can't be upgraded to.
 *
 * Without libbpf (--without-bpf) there is none: fastpath_none.c.
 *
 * Ownership: descriptors that are lent out stay the fast path's. Threads: one,
 * the monitor's.
 */
#ifndef SWITCHD_FASTPATH_LOAD_H
#define SWITCHD_FASTPATH_LOAD_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct fastpath_kernel;

/* What the switch process will use. */
struct fastpath_sizes {
	uint32_t fdb_entries; /* as struct fdb_config has it */
	uint32_t ports_max;   /* 1 to FASTPATH_PORTS_MAX */
};

/* What the switch process gets, in this order. */
enum fastpath_fd {
	FASTPATH_FDB,
	FASTPATH_GLOBAL,
	FASTPATH_PORTS,
	FASTPATH_VLANS,
	FASTPATH_COUNTERS,
	FASTPATH_FLOODS,
	FASTPATH_MEMBERS,
	FASTPATH_CPU, /* the CPU port's TAP */
	FASTPATH_FDS
};

/*
 * Make it all. Returns NULL with *err: reason `no-fast-path` and why, and
 * nothing is left behind.
 */
struct fastpath_kernel *fastpath_kernel_new(const struct fastpath_sizes *sizes,
					    struct error *err);

/* NULL is fine. Filters keep their program until they are removed. */
void fastpath_kernel_free(struct fastpath_kernel *k);

/* The program for TC ingress. */
int fastpath_kernel_tc(const struct fastpath_kernel *k);

/* Does the kernel take the XDP program? */
bool fastpath_kernel_has_xdp(const struct fastpath_kernel *k);

/* The descriptors (borrowed), and what the maps were made for. */
void fastpath_kernel_lend(const struct fastpath_kernel *k, int fd[FASTPATH_FDS],
			  struct fastpath_sizes *sizes, uint32_t *cpus);

/*
 * A device is port `index` from now on. Where it was another one, that is no
 * longer so, and its XDP program is off. is_tap: XDP can send to it. Returns 0;
 * -ERANGE: there is no such index; -EEXIST: another device has it; or -errno:
 * then the device is nowhere.
 */
int fastpath_kernel_place(struct fastpath_kernel *k, int ifindex,
			  uint32_t index, bool is_tap)
	__attribute__((warn_unused_result));

/* It is none any more, XDP included: the programs drop what comes from it and
 * send nothing there. It needn't be placed. NULL is fine. */
void fastpath_kernel_take_out(struct fastpath_kernel *k, int ifindex);

/* The device at an index, 0 where there is none. */
int fastpath_kernel_at(const struct fastpath_kernel *k, uint32_t index);

/*
 * Attach the XDP program to a device that is placed, or take it off; it may be
 * there, or not, already. Returns 0; -ENOENT: it isn't placed; -EOPNOTSUPP: no
 * XDP here, or the device is no TAP; or -errno.
 */
int fastpath_kernel_xdp(struct fastpath_kernel *k, int ifindex, bool on)
	__attribute__((warn_unused_result));

/* ---- From one life to the next ---- */

/* What the program after an execve(2) needs to know. Grows at the end only. */
#define FASTPATH_SAVED_FDS 16
struct fastpath_saved {
	uint32_t version; /* FASTPATH_VERSION; 0: no fast path */
	uint32_t fdb_entries, ports_max, cpus;
	int32_t cpu_ifindex;
	int32_t fd[FASTPATH_SAVED_FDS];
};

/* k may be NULL. */
void fastpath_kernel_save(const struct fastpath_kernel *k,
			  struct fastpath_saved *s);

/*
 * Go on with it. Programs of this version, the maps as they are. *out is NULL
 * where there was none. What is attached is still attached by the program
 * before: see fastpath_kernel_reattach() and netdev_guard_replace(). Returns 0
 * or -errno with *err: then the descriptors are as they were.
 *
 * anyhow  where they can't be loaded, for want of descriptors perhaps, go on
 *         with the programs that there are: this is the program before, which
 *         has another one's failure behind it and nobody to fall back on
 */
int fastpath_kernel_load(const struct fastpath_saved *s, bool anyhow,
			 struct fastpath_kernel **out, struct error *err)
	__attribute__((warn_unused_result));

/* Attach XDP where it was before. A device that is gone is fine; one that
 * doesn't take it any more goes on without. Returns 0, or the first one's
 * -errno. NULL is fine. */
int fastpath_kernel_reattach(struct fastpath_kernel *k)
	__attribute__((warn_unused_result));

/* Whether what fastpath_kernel_save() has saved survives an execve(2), which is
 * off in the beginning. After fastpath_kernel_load() it still does, until this
 * says that nobody needs it to. NULL is fine. Returns 0 or -errno. */
int fastpath_kernel_survive(struct fastpath_kernel *k, bool on)
	__attribute__((warn_unused_result));

#endif
