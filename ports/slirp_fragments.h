/*
 * slirp_fragments - guests' IPv4 datagrams made whole, before libslirp
 *
 * libslirp 4.7 must not be given fragments: as Debian builds it, the last one
 * of a datagram that it has no other of ends the process (or does what the
 * guest likes), which a lost frame is enough for; and it keeps as many as
 * anybody sends. So it gets whole datagrams.
 *
 * Fragments are put together in the order that they were sent in, which a
 * switch keeps; a datagram with one missing, doubled or overlapping is none.
 * There are SLIRP_FRAGMENTS_MAX at a time, then the oldest gives way, and each
 * has SLIRP_FRAGMENTS_NS. (RFC 791 section 3.2; fragments of IPv6 libslirp
 * drops.)
 *
 * Threads: one.
 */
#ifndef PORTS_SLIRP_FRAGMENTS_H
#define PORTS_SLIRP_FRAGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLIRP_FRAGMENTS_MAX 16
#define SLIRP_FRAGMENTS_NS  (15 * 1000 * 1000 * 1000ull)

struct slirp_fragments;

/* NULL where there is no memory. NULL is fine for free. */
struct slirp_fragments *slirp_fragments_new(void);
void slirp_fragments_free(struct slirp_fragments *t);

/*
 * *frame: a guest's, *len bytes from the Ethernet header on. Returns true where
 * there is one to be passed on: the same; or, where it is a datagram's last
 * fragment, the whole datagram in memory of ours, good until the next call.
 * now_ns: monotonic.
 */
bool slirp_fragments_take(struct slirp_fragments *t, const uint8_t **frame,
			  size_t *len, uint64_t now_ns)
	__attribute__((warn_unused_result));

#endif
