/*
 * fastpath_mix - is XDP in front of TC worth it for what a port sends?
 *
 * XDP halves the cost of a small frame, and adds some to that of a super-frame,
 * which it can only pass on. Where the device's holder may block when it writes
 * it can do nothing at all. So the program is there as long as a port's frames
 * pay for it.
 *
 * Pure: the caller passes counters and the time. Threads: any, one a port.
 */
#ifndef SWITCHD_FASTPATH_MIX_H
#define SWITCHD_FASTPATH_MIX_H

#include <stdbool.h>
#include <stdint.h>

/* A port's own; zero at first. */
struct fastpath_mix {
	bool on;	/* the program is there (the caller's word) */
	bool never;	/* the device can't have it (likewise) */
	uint32_t until; /* seconds: no trial before */
	uint64_t small, super, xdp; /* as last passed */
};

/*
 * Is it to be there from now on? Called once a second with what the kernel has
 * forwarded for the port so far: small frames, super-frames, and how many of
 * the small ones XDP did. now_s: seconds, any clock that doesn't go backwards.
 */
bool fastpath_mix(struct fastpath_mix *m, uint64_t small, uint64_t super,
		  uint64_t xdp, uint32_t now_s);

#endif
