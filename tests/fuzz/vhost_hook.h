/*
 * vhost_hook - the guest moves whenever the ring has looked
 *
 * Put in front of ports/vhost_*.c (-include) it has vhost_hook() called after
 * each load from a guest's memory, with the loaded value already taken: what is
 * read twice is different the second time, if the fuzzer wants that. The ring
 * loads by le*toh() and memcpy() only.
 */
#ifndef TESTS_FUZZ_VHOST_HOOK_H
#define TESTS_FUZZ_VHOST_HOOK_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void vhost_hook(void);

static inline uint16_t vhost_hooked16(uint16_t v)
{
	vhost_hook();
	return le16toh(v);
}

static inline uint32_t vhost_hooked32(uint32_t v)
{
	vhost_hook();
	return le32toh(v);
}

static inline uint64_t vhost_hooked64(uint64_t v)
{
	vhost_hook();
	return le64toh(v);
}

static inline void vhost_hooked_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	vhost_hook();
}

#undef le16toh
#undef le32toh
#undef le64toh
#undef memcpy
#define le16toh(v)	    vhost_hooked16(v)
#define le32toh(v)	    vhost_hooked32(v)
#define le64toh(v)	    vhost_hooked64(v)
#define memcpy(to, from, n) vhost_hooked_copy(to, from, n)

#endif
