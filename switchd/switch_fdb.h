/*
 * switch_fdb - the memory of a switch's FDB
 *
 * With a broker it is a memfd that the monitor keeps, so that a new process
 * finds the addresses that its predecessor has learned; else plain memory.
 *
 * Threads: main.
 */
#ifndef SWITCHD_SWITCH_FDB_H
#define SWITCHD_SWITCH_FDB_H

#include "switchd/switch.h"

/*
 * Make sw->shared.fdb. fd: a predecessor's memory (borrowed), -1: none. It is
 * left unread (see fdb_adopt) where it fits, else a new one is made. Returns 0
 * or -errno.
 */
int switch_fdb_make(struct sw *sw, const struct fdb_config *config, int fd)
	__attribute__((warn_unused_result));

/*
 * The same in the memory of sw->fastpath, which the kernel reads as well. kept:
 * what is in it is a predecessor's, to be left unread; else it begins empty.
 */
int switch_fdb_make_fast(struct sw *sw, const struct fdb_config *config,
			 bool kept) __attribute__((warn_unused_result));

void switch_fdb_free(struct sw *sw);

#endif
