/*
 * crc32c - the checksum of what lies in memory that another process wrote
 *
 * CRC-32C (RFC 9260 appendix A; polynomial 0x1edc6f41, reflected). It finds
 * every error of up to 32 bits in a row. It is no defence against somebody
 * who can compute it.
 *
 * Threads: any.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of `before` and then data[0..len): 0 for nothing before, else
 * what an earlier call has returned, so that pieces give the checksum of the
 * whole.
 */
uint32_t crc32c(uint32_t before, const void *data, size_t len);

#endif
