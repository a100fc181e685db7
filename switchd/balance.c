#include "switchd/balance.h"

/* Is a less busy than b? Small loads are noise. */
static bool less_busy(const struct balance_worker *a,
		      const struct balance_worker *b)
{
	if (a->same != b->same)
		return a->same < b->same;
	if (a->load / BALANCE_IDLE != b->load / BALANCE_IDLE)
		return a->load < b->load;
	return a->queues < b->queues;
}

unsigned int balance_place(const struct balance_worker *w, unsigned int n)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < n; i++)
		if (less_busy(&w[i], &w[best]))
			best = i;
	return best;
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

int64_t balance_move(const struct balance_queue *q, uint32_t n,
		     unsigned int workers, unsigned int *to)
{
	uint64_t load[BALANCE_WORKERS_MAX] = { 0 }, best, bound;
	unsigned int busiest = 0, idlest = 0;
	int64_t found = -1;

	for (uint32_t i = 0; i < n; i++)
		load[q[i].worker] += q[i].load;
	for (unsigned int i = 1; i < workers; i++) {
		busiest = load[i] > load[busiest] ? i : busiest;
		idlest = load[i] < load[idlest] ? i : idlest;
	}
	if (load[busiest] < BALANCE_IDLE)
		return -1;
	/* What the busier one of the two would have left. */
	bound = load[busiest] - load[busiest] / 100 * BALANCE_GAIN_PERCENT;
	best = bound;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t after;

		if (q[i].worker != busiest || !q[i].movable || !q[i].load)
			continue;
		after = max_of(load[busiest] - q[i].load,
			       load[idlest] + q[i].load);
		if (after >= best)
			continue;
		best = after;
		found = i;
	}
	*to = idlest;
	return found;
}
