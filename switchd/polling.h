/*
 * polling - how long a worker that has run dry stays awake
 *
 * Waking a thread costs more than anything else that happens to a frame, and
 * the frame waits for it. So a worker that has nothing left to do looks for
 * more during a *window* before it sleeps. The window is what recent gaps
 * justify: a gap is the time from running dry to the next frame, whether the
 * worker slept meanwhile or not.
 *
 *	       busy            dry            busy
 *	frames |||||||.................|||||||||||
 *	              ◄────── gap ────►
 *	              ◄─window─►sleeps
 *
 * The expected gap is a moving average that forgets fast. Where it is longer
 * than the limit, watching would be in vain: no window. Where it's shorter, the
 * window is a few times as long, for gaps vary; and never longer than the
 *limit. A gap counts as at most twice the limit, so that traffic that comes
 *back after an hour finds an awake worker after POLLING_WARM gaps.
 *
 * Plain data and plain functions: the caller has the clock. Threads: whoever
 * owns the struct.
 */
#ifndef SWITCHD_POLLING_H
#define SWITCHD_POLLING_H

#include <stdint.h>

#define POLLING_WEIGHT 4    /* a new gap counts one part in so many */
#define POLLING_TIMES  8    /* the window in expected gaps */
#define POLLING_MIN_NS 2000 /* the shortest window: some looks */

struct polling {
	uint64_t gap_ns; /* that is expected */
};

/* Nothing is known, so nothing is expected soon. limit_ns: see below. */
static inline void polling_init(struct polling *p, uint64_t limit_ns)
{
	p->gap_ns = 2 * limit_ns;
}

/* A gap is over. limit_ns: the longest window, 0 = none. */
static inline void polling_gap(struct polling *p, uint64_t gap_ns,
			       uint64_t limit_ns)
{
	uint64_t most = 2 * limit_ns;

	if (gap_ns > most)
		gap_ns = most;
	if (p->gap_ns > most) /* the limit was higher */
		p->gap_ns = most;
	p->gap_ns =
		(p->gap_ns * (POLLING_WEIGHT - 1) + gap_ns) / POLLING_WEIGHT;
}

/* For how long to look for frames from now on, in nanoseconds; 0: not at all.
 */
static inline uint64_t polling_window(const struct polling *p,
				      uint64_t limit_ns)
{
	uint64_t window = p->gap_ns * POLLING_TIMES + POLLING_MIN_NS;

	if (p->gap_ns >= limit_ns)
		return 0;
	return window < limit_ns ? window : limit_ns;
}

#endif
