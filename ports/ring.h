/*
 * ring - a bounded queue of records between workers and one slow thread
 *
 * For ports whose other end can block (files, streams): workers copy what
 * they send into the ring and go on; one consumer takes it out at its own
 * speed. Records are variable in length and contiguous in memory, so the
 * consumer works on them in place. When the ring is full, ring_put says so:
 * the producer drops and counts.
 *
 * Wake-ups cost the producer a system call, so the consumer says beforehand
 * from which fill it wants one (ring_wait): never while it is awake, late
 * while it naps, at the first record while it sleeps. An idle ring wakes
 * nobody.
 *
 *     producer (any thread)            consumer (one thread)
 *     ring_lock                        while ((rec = ring_get(..)))
 *       ring_put, fill in  (n times)       .., ring_pop
 *     ring_unlock: publish, wake       ring_wait
 *
 * The lock is the producers' among themselves; the consumer never takes it.
 * Ownership: a record is the producer's from put to unlock, the consumer's
 * from get to pop.
 */
#ifndef PORTS_RING_H
#define PORTS_RING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct ring {
	uint8_t *base;
	uint64_t size; /* bytes, a power of two */
	int wakefd;    /* eventfd */

	/* Positions grow for ever; modulo size they are offsets. */
	_Alignas(64) pthread_mutex_t lock;
	uint64_t put;	       /* producers': behind the last record */
	uint64_t tail_seen;    /* producers': a look at tail, maybe old */
	_Atomic uint64_t head; /* published part of put */
	_Alignas(64) _Atomic uint64_t tail; /* consumer is done up to here */
	_Atomic uint64_t wake_at;	    /* fill that wakes the consumer */
	uint64_t get;			    /* consumer's */
	uint32_t taken; /* bytes of the record that get gave */
};

/*
 * size: bytes, a power of two of at least 4096. A record uses its length
 * rounded up to 8, and 8 more. Returns 0, or -errno: -EINVAL, or no memory or
 * descriptors. `r` must be aligned as its type asks (64).
 */
int ring_init(struct ring *r, uint64_t size)
	__attribute__((warn_unused_result));

/* No thread may use the ring any more. What is in it is lost. */
void ring_fini(struct ring *r);

void ring_lock(struct ring *r);

/*
 * Space for one record of `len` bytes, aligned to 8, to be filled in before
 * ring_unlock; NULL where there is not that much space. Under ring_lock.
 */
void *ring_put(struct ring *r, uint32_t len);

/* Hand over what was put and wake the consumer where it wants that. */
void ring_unlock(struct ring *r);

/* The oldest record, or NULL. It stays in the ring until ring_pop. Consumer. */
void *ring_get(struct ring *r, uint32_t *len);

/* Done with the record that ring_get gave. Consumer. */
void ring_pop(struct ring *r);

/* Consumer: is nothing there? */
bool ring_empty(const struct ring *r);

/*
 * Consumer: wait until at least `fill` bytes (1: any record) are in use, or
 * for `timeout` (NULL: without end), or until ring_kick. May return early for
 * no reason.
 */
void ring_wait(struct ring *r, uint64_t fill, const struct timespec *timeout);

/* End the present or the next ring_wait. Any thread. */
void ring_kick(struct ring *r);

#endif
