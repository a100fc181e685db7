#include "switchd/fastpath_mix.h"

/* Fewer frames a second say nothing, and cost nothing. */
#define MIX_MIN 1000u
#define RETRY_S 10u

bool fastpath_mix(struct fastpath_mix *m, uint64_t small, uint64_t super,
		  uint64_t xdp, uint32_t now_s)
{
	uint64_t n = small - m->small, s = super - m->super, x = xdp - m->xdp;

	m->small = small;
	m->super = super;
	m->xdp = xdp;
	if (n + s < MIX_MIN)
		return m->on;
	if (s > n)
		return false;
	if (!m->on)
		return (int32_t)(now_s - m->until) >= 0;
	if (x)
		return true;
	/* It's there and has passed on all that it saw. */
	m->until = now_s + RETRY_S;
	return false;
}
