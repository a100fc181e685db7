/*
 * memfd - memory behind a descriptor, which outlives the process that made it
 *
 * What a process keeps in such memory is there for the next one, as long as
 * anybody holds the descriptor. Who gets one from a process that has crashed,
 * perhaps because a guest was clever, trusts neither the descriptor nor what
 * is behind it: memfd_check() first, then memfd_read(), which copies; never
 * mmap(), since the file could still be made shorter under the mapping.
 *
 * Threads: any.
 */
#ifndef BASE_MEMFD_H
#define BASE_MEMFD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * New memory of `size` bytes, all zero (no page is used up before it is
 * written to), closed on exec. size > 0: it keeps this size for ever, so that
 * it is safe to map. 0: it is empty and grows by what is written.
 * Returns the descriptor, the caller's, or -errno.
 */
int memfd_new(const char *name, uint64_t size)
	__attribute__((warn_unused_result));

/*
 * The same, of size > 0, with what `init` writes into it. Returns the
 * descriptor, the caller's, or -errno with *err: no-memory.
 */
int memfd_new_with(const char *name, size_t size, void (*init)(void *memory),
		   struct error *err) __attribute__((warn_unused_result));

/*
 * Is it memory, and of how many bytes? It may be any descriptor, and is
 * borrowed. Returns 0 with *size, or -EINVAL with *err (reason bad-state):
 * not a file in memory, or longer than `max` bytes.
 */
int memfd_check(int fd, uint64_t max, uint64_t *size, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Copy len bytes from `offset` on to `to`. The descriptor's own offset isn't
 * used. Returns how many there were (fewer than len: the file ends there), or
 * -errno.
 */
int64_t memfd_read(int fd, void *to, size_t len, uint64_t offset)
	__attribute__((warn_unused_result));

#endif
