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
 * than the limit, watching would be in vain: no window. Where it's shorter,
 * the window is a few times as long, for gaps vary; and never longer than the
 * limit. A gap counts as at most twice the limit, so that traffic that comes
 * back after an hour finds the worker awake again after a few gaps.
 *
 * Who watches uses a CPU that somebody else may want, a guest most of all. If
 * so the kernel takes it away, and the watcher finds that between two looks,
 * which take a microsecond, a long time has passed. Then it sleeps at once,
 * for a while: asleep it gets the CPU sooner when a frame comes.
 *
 * Plain data and plain functions: the caller has the clock. Threads: whoever
 * owns the struct.
 */
#ifndef SWITCHD_POLLING_H
#define SWITCHD_POLLING_H

#include <stdbool.h>
#include <stdint.h>

#define POLLING_WEIGHT 4    /* a new gap counts one part in so many */
#define POLLING_TIMES  8    /* the window in expected gaps */
#define POLLING_MIN_NS 2000 /* the shortest window: some looks */

/* No look takes so long: the CPU was somebody else's. A slice of the kernel's
 * is some milliseconds, an interrupt some ten microseconds. */
#define POLLING_STOLEN_NS (100 * 1000ull)

/* For so long there is no window then. */
#define POLLING_REST_NS (10 * 1000 * 1000ull)

struct polling {
	uint64_t gap_ns;  /* that is expected */
	uint64_t rest_ns; /* no window before this time */
};

/* Nothing is known, so nothing is expected soon. limit_ns: see below. */
static inline void polling_init(struct polling *p, uint64_t limit_ns)
{
	p->gap_ns = 2 * limit_ns;
	p->rest_ns = 0;
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

/* A look that found nothing has taken so long, until now_ns. */
static inline void polling_looked(struct polling *p, uint64_t took_ns,
				  uint64_t now_ns)
{
	if (took_ns >= POLLING_STOLEN_NS)
		p->rest_ns = now_ns + POLLING_REST_NS;
}

/* Is the next frame expected within the limit? */
static inline bool polling_expects(const struct polling *p, uint64_t limit_ns)
{
	return p->gap_ns < limit_ns;
}

/* For how long to look for frames from now_ns on, in nanoseconds; 0: not at
 * all. */
static inline uint64_t polling_window(const struct polling *p,
				      uint64_t limit_ns, uint64_t now_ns)
{
	uint64_t window = p->gap_ns * POLLING_TIMES + POLLING_MIN_NS;

	if (!polling_expects(p, limit_ns) || now_ns < p->rest_ns)
		return 0;
	return window < limit_ns ? window : limit_ns;
}

#endif
