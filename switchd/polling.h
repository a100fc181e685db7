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
 * A gap is a *hit* if it is over within the limit. Two averages that forget
 * fast decide: how many gaps are hits, and how long those are. Where hits are
 * few, watching would be in vain: no window. Else it is a few times as long as
 * a hit, for those vary, and never longer than the limit. (Misses don't count
 * in it: between bursts there is a short window in vain, not a long one.)
 *
 * Who watches uses a CPU that somebody else may want, a guest most of all. If
 * so the kernel takes it away, and the watcher finds that between two looks,
 * which take a microsecond, a long time has passed. Then it sleeps at once,
 * for a while: asleep it gets the CPU sooner when a frame comes.
 *
 * Bulk is the other reason to sleep: where super-frames come, or as many bytes
 * in long frames within a millisecond, throughput is what counts and not one
 * frame's latency, and asleep a worker finds more of them at a time.
 *
 * Plain data and plain functions: the caller has the clock. Threads: whoever
 * owns the struct.
 */
#ifndef SWITCHD_POLLING_H
#define SWITCHD_POLLING_H

#include <stdbool.h>
#include <stdint.h>

#define POLLING_WEIGHT 4    /* a new gap counts one part in so many */
#define POLLING_TIMES  4    /* the window in hits */
#define POLLING_MIN_NS 2000 /* the shortest window: some looks */

/* All gaps are hits; from so many on there is a window. */
#define POLLING_ALL  1024u
#define POLLING_SOME (POLLING_ALL / 3)

/* No look takes so long: the CPU was somebody else's. A slice of the kernel's
 * is some milliseconds, an interrupt some ten microseconds. */
#define POLLING_STOLEN_NS (100 * 1000ull)

/* For so long there is no window then. */
#define POLLING_REST_NS (10 * 1000 * 1000ull)

/* ... and for so long after a super-frame. */
#define POLLING_BULK_NS (2 * 1000 * 1000ull)

/* As many bytes in so short a time are like one: half a Gbit/s. */
#define POLLING_BULK_BYTES   65536u
#define POLLING_BULK_SPAN_NS (1000 * 1000ull)

struct polling {
	uint32_t hits;	  /* of POLLING_ALL */
	uint64_t hit_ns;  /* the length of one */
	uint64_t rest_ns; /* no window before this time */
	uint64_t span_ns; /* since when bytes are counted */
	uint64_t bytes;
};

/* Nothing is known, so nothing is expected soon. limit_ns: see below. */
static inline void polling_init(struct polling *p, uint64_t limit_ns)
{
	p->hits = 0;
	p->hit_ns = limit_ns;
	p->rest_ns = 0;
	p->span_ns = 0;
	p->bytes = 0;
}

/* A gap is over. limit_ns: the longest window, 0 = none. */
static inline void polling_gap(struct polling *p, uint64_t gap_ns,
			       uint64_t limit_ns)
{
	p->hits -= p->hits / POLLING_WEIGHT;
	if (gap_ns > limit_ns)
		return;
	p->hits += POLLING_ALL / POLLING_WEIGHT;
	p->hit_ns =
		(p->hit_ns * (POLLING_WEIGHT - 1) + gap_ns) / POLLING_WEIGHT;
}

/* A look that found nothing has taken so long, until now_ns. */
static inline void polling_looked(struct polling *p, uint64_t took_ns,
				  uint64_t now_ns)
{
	if (took_ns >= POLLING_STOLEN_NS)
		p->rest_ns = now_ns + POLLING_REST_NS;
}

/* There were super-frames in what was done by now_ns. */
static inline void polling_bulk(struct polling *p, uint64_t now_ns)
{
	if (p->rest_ns < now_ns + POLLING_BULK_NS)
		p->rest_ns = now_ns + POLLING_BULK_NS;
}

/* So many bytes came until now_ns, since the last time, in long frames. */
static inline void polling_came(struct polling *p, uint64_t bytes,
				uint64_t now_ns)
{
	if (now_ns - p->span_ns > POLLING_BULK_SPAN_NS) {
		p->span_ns = now_ns;
		p->bytes = 0;
	}
	p->bytes += bytes;
	if (p->bytes >= POLLING_BULK_BYTES)
		polling_bulk(p, now_ns);
}

/* Is the next frame expected within the limit? */
static inline bool polling_expects(const struct polling *p, uint64_t limit_ns)
{
	return limit_ns && p->hits >= POLLING_SOME;
}

/* Is there no window now, whatever is expected? */
static inline bool polling_rests(const struct polling *p, uint64_t now_ns)
{
	return now_ns < p->rest_ns;
}

/* For how long to look for frames from now_ns on, in nanoseconds; 0: not at
 * all. */
static inline uint64_t polling_window(const struct polling *p,
				      uint64_t limit_ns, uint64_t now_ns)
{
	uint64_t window = p->hit_ns * POLLING_TIMES + POLLING_MIN_NS;

	if (!polling_expects(p, limit_ns) || polling_rests(p, now_ns))
		return 0;
	return window < limit_ns ? window : limit_ns;
}

#endif
