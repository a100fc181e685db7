/*
 * fastpath_csum - frames between guests, and what may become of their checksums
 *
 * A *probe* is a frame to be written by one guest and what another one may read
 * then. fastpath_csum.c sends and compares them in batches, the other files
 * make them: each group below is a function that makes all its probes.
 *
 * What is partial may stay partial or be completed; what is complete, right or
 * wrong, comes as it was sent. One exception: a wrong one that is equal to the
 * pseudo-header's sum can't be told from a partial one where the vnet header is
 * out of sight, and may be completed.
 */
#ifndef TESTS_E2E_FASTPATH_CSUM_H
#define TESTS_E2E_FASTPATH_CSUM_H

#include "tests/e2e/guest.h"
#include "tests/unit/superframe.h"

enum want {
	WANT_AS_SENT,
	WANT_PARTIAL, /* it is partial: stays so, or one of ok[] */
	WANT_EITHER,  /* as sent, or one of ok[] */
	WANT_GSO,     /* as sent, or its segments where there's no GSO */
};

/* Where a checksum is, and of what. */
struct span {
	uint32_t start, field, end; /* offsets in the frame */
	uint32_t pseudo;	    /* sum of the pseudo-header, not folded */
};

/* What the probes to come are, for reports: as printf. */
void probe_about(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A frame with no checksum that anybody may touch. `flags`: of the vnet
 * header. */
void probe_as_sent(const uint8_t *p, uint32_t len, uint8_t flags);

/* Its checksum is partial at `s`; the field has what the guest has put there.
 */
void probe_partial(const uint8_t *p, uint32_t len, const struct span *s);

/* The field is complete and looks as if it were partial. */
void probe_either(const uint8_t *p, uint32_t len, const struct span *s);

/*
 * The same frame with a checksum at `s` that is partial, complete, wrong, and
 * wrong in such a way that it looks partial. With `sacred` nothing of the frame
 * may be completed, whatever it looks like, and the partial one is left out.
 */
void probe_variants(uint8_t *p, uint32_t len, const struct span *s,
		    bool sacred);

/* A super-frame. */
void probe_gso(const struct superframe *s, uint16_t gso_size);

/* The value that belongs into the field (never 0). */
uint16_t span_right(const uint8_t *p, const struct span *s);

/* Of what superframe_build() has made. */
struct span span_of(const struct superframe *s, const uint8_t *p);

/* Of an IP packet whose header is at l3, for `l4len` bytes from l4 on. */
uint32_t pseudo_sum(const uint8_t *p, uint32_t l3, uint8_t proto,
		    uint32_t l4len);

/* Make the IPv4 header's own checksum right again. */
void ipv4_fix(uint8_t *p, uint32_t l3);

void group_lengths(void);
void group_values(void);
void group_padding(void);
void group_headers(void);
void group_fragments(void);
void group_disagreeing(void);
void group_others(void);
void group_tunnels(void);
void group_gso_tcp(void);
void group_gso_udp(void);

/* The reader takes no offloads: fewer frames are enough. */
extern bool reader_is_plain;

#endif
