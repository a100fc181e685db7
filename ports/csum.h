/*
 * csum - the Internet checksum (RFC 1071), quickly
 *
 * A sum is a uint32_t that holds the ones' complement sum of big-endian 16-bit
 * words: what load_be16() would have read, added up. csum_bytes() gives it
 * folded to 16 bits, so a few thousand may be added before csum_fold().
 *
 * Sums join only at even offsets. A part that begins at an odd offset of the
 * whole must be swapped: csum_at().
 *
 * Threads: no state.
 */
#ifndef PORTS_CSUM_H
#define PORTS_CSUM_H

#include <stdint.h>

/* Sum of the n bytes at p (any alignment); an odd last byte is padded with 0.
 * Returns 0..0xffff; 0 only where all bytes are 0. */
uint32_t csum_bytes(const uint8_t *p, uint32_t n);

/* The same while copying the bytes; the areas don't overlap. */
uint32_t csum_copy(uint8_t *to, const uint8_t *from, uint32_t n);

/*
 * Continue a CRC32c (RFC 9260 appendix A), which SCTP has in place of a
 * checksum, over n bytes: begin with 0xffffffff, and the complement of what
 * comes out in the end is sent in little-endian order. Slow: SCTP is rare.
 */
uint32_t csum_crc32c(uint32_t crc, const uint8_t *p, uint32_t n);

/* Bring a sum to 16 bits, carries added back in. */
static inline uint16_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* What csum_bytes() returned for a part, as it counts at offset `off`. */
static inline uint32_t csum_at(uint32_t off, uint32_t part)
{
	return off & 1 ? __builtin_bswap16((uint16_t)part) : part;
}

#endif
