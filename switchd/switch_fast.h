/*
 * switch_fast - which ports are the kernel's, and how
 *
 * Glue between the switch (switch.h) and the kernel fast path
 * (fastpath_map.h): every function here does nothing where sw->fastpath is
 * NULL.
 *
 * Threads: main.
 */
#ifndef SWITCHD_SWITCH_FAST_H
#define SWITCHD_SWITCH_FAST_H

#include "switchd/switch.h"

/* Why the kernel doesn't forward for this port: a reason word of port.show;
 * NULL: it does. */
const char *switch_fast_why(struct sw *sw, const struct switch_port *p);

/* "xdp", "tc" or "off". */
const char *switch_fast_state(struct sw *sw, const struct switch_port *p);

/* The port's device has its place among the kernel's. Returns 0 or -errno with
 * *err. */
int switch_fast_place(struct sw *sw, struct switch_port *p, uint32_t index,
		      struct error *err) __attribute__((warn_unused_result));

/* The kernel follows a snapshot. */
void switch_fast_commit(struct sw *sw, const struct snapshot *s);

/* A port's device has failed: perhaps the CPU port's, which can't be mended. */
void switch_fast_failed(struct sw *sw);

/* Once a second. */
void switch_fast_tick(struct sw *sw, uint32_t now_s);

#endif
