/*
 * counters - numbers that one thread writes and any thread reads
 *
 * A counter has one writer (each worker has its own block), so adding is a
 * plain add: a relaxed load and store, no locked instruction. Readers sum
 * over the writers; a value may be a moment old, never torn.
 */
#ifndef BASE_COUNTERS_H
#define BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter; /* the house's one typedef: an atomic word */

static inline void counter_add(counter *c, uint64_t n)
{
	atomic_store_explicit(c,
			      atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* For a value that isn't a sum. */
static inline void counter_set(counter *c, uint64_t n)
{
	atomic_store_explicit(c, n, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#endif
