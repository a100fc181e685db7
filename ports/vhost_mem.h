/*
 * vhost_mem - a guest's memory, mapped here
 *
 * The front end passes some regions: a file, where in the guest's address space
 * it lies, and where in the front end's. Guest addresses come in descriptors,
 * the front end's own ("user") addresses in messages about rings.
 *
 * Who passes a file can take it away: cut it short, and whoever touches what is
 * missing gets SIGBUS, which would be the end of the switch. So the mappings
 * are registered, and a handler puts zeros in the place of the one that was
 * touched and sets its `lost` flag: the ring that reads on finds nonsense, and
 * its port is broken. Threads that read guests' memory don't block SIGBUS, or
 * the kernel ends the process. Files that could make us wait instead (FUSE,
 * network file systems) aren't taken. A system call that is given such memory
 * gets EFAULT.
 *
 * Ownership: a struct vhost_mem is plain memory; vhost_mem_add maps, fini
 * unmaps. Threads: changed by the main thread while no worker can use it (the
 * rings' locks are held); read by workers that hold a ring's lock.
 */
#ifndef PORTS_VHOST_MEM_H
#define PORTS_VHOST_MEM_H

#include "base/error.h"
#include "ports/vhost_state.h"

struct vhost_region {
	uint64_t guest, size, user; /* bytes */
	uint8_t *host;		    /* what lies at `guest` */
	struct vhost_mapping *mapping;
};

struct vhost_mem {
	uint32_t n;
	struct vhost_region region[VHOST_REGIONS_MAX];
};

/* The pages that were written to, for a migration: a bit for each 4 KiB. */
struct vhost_log {
	uint8_t *bits;	/* NULL: nobody wants to know */
	uint64_t bytes; /* of bits */
	struct vhost_mapping *mapping;
};

#define VHOST_LOG_PAGE 4096 /* vhost-user: VHOST_LOG_PAGE */

/* All regions of one guest together, in bytes. */
#define VHOST_MEMORY_MAX (1ull << 42)

/* Guest and user addresses are congruent to the memory here, modulo this many
 * bytes: what is aligned there (VIRTIO 1.2 2.7, 2.8) is here. */
#define VHOST_REGION_ALIGN 16

/* Have SIGBUS of mappings handled. The first mapping does it, if nobody has.
 * Returns 0 or -errno. */
int vhost_mem_guard(void) __attribute__((warn_unused_result));

/* Is it a file of a kind that is mapped? Any descriptor, borrowed; nobody is
 * waited for. */
bool vhost_mem_file_fit(int fd);

/* Close the n descriptors that a front end has passed: such files here, for
 * they keep nobody waiting, whatever else as fds.h does. */
void vhost_mem_discard(const int *fd, unsigned int n);

/*
 * Map one more region. fd is borrowed. Returns 0; -EINVAL: addresses that wrap,
 * overlap or don't agree with the file; -ENOSPC: VHOST_REGIONS_MAX or
 * VHOST_MEMORY_MAX, or what all guests together may have; -EMEDIUMTYPE: a file
 * that isn't memory; or -errno. *err says it for people.
 */
int vhost_mem_add(struct vhost_mem *m, uint64_t guest, uint64_t size,
		  uint64_t user, uint64_t offset, int fd, struct error *err)
	__attribute__((warn_unused_result));
/* Take out the one that is exactly this, into `out`, for unmapping much takes
 * a while. Returns 0 or -ENOENT. */
int vhost_mem_remove(struct vhost_mem *m, uint64_t guest, uint64_t size,
		     uint64_t user, struct vhost_mem *out)
	__attribute__((warn_unused_result));
void vhost_mem_fini(struct vhost_mem *m);

/* Has any of it been taken away? Quick, where nobody's ever was. */
bool vhost_mem_lost(const struct vhost_mem *m);

/*
 * Where `guest` is, and in *len, which has how many bytes are wanted, how many
 * of them lie there in a row. NULL: nowhere. *hint is the caller's, 0 at first:
 * which region it was last.
 */
static inline uint8_t *vhost_mem_at(const struct vhost_mem *m, uint64_t guest,
				    uint64_t *len, uint32_t *hint)
{
	for (uint32_t i = 0, k = *hint; i < m->n; i++, k++) {
		const struct vhost_region *r;
		uint64_t off;

		if (k >= m->n)
			k = 0;
		r = &m->region[k];
		off = guest - r->guest;
		if (off >= r->size)
			continue;
		*hint = k;
		if (*len > r->size - off)
			*len = r->size - off;
		return r->host + off;
	}
	return NULL;
}

/* The same for `len` bytes at a user address: NULL if they aren't all there in
 * one region. */
uint8_t *vhost_mem_user(const struct vhost_mem *m, uint64_t user, uint64_t len);

/* The log of a migration. fd is borrowed. Returns 0, or as vhost_mem_add; then
 * *log is as it was. */
int vhost_log_map(struct vhost_log *log, int fd, uint64_t size, uint64_t offset)
	__attribute__((warn_unused_result));
void vhost_log_unmap(struct vhost_log *log);
bool vhost_log_lost(const struct vhost_log *log);

/* These bytes of the guest were written. Any thread; the front end clears bits
 * meanwhile. What is beyond the log isn't noted. */
void vhost_log_written(const struct vhost_log *log, uint64_t guest,
		       uint64_t len);

#endif
