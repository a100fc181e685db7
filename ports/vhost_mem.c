#include "ports/vhost_mem.h"

#include "base/fds.h"
#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC /* not in linux/magic.h before Linux 5.6 */
#define XFS_SUPER_MAGIC 0x58465342
#endif

/*
 * Mappings of all ports. The kernel gives a process 65530 (vm.max_map_count),
 * of which others need some.
 */
#define MAPPINGS_MAX 32768

/* Bytes of them: half of a 47-bit address space is ours. */
#define MAPPED_MAX (1ull << 46)

/*
 * A mapping that may fault; start is 0 where the slot is free. The handler
 * reads start, len, and start again: a slot that changes meanwhile isn't the
 * one it looks for, for that is in use.
 */
struct vhost_mapping {
	_Atomic uintptr_t start;
	_Atomic size_t len;
	_Atomic unsigned int faults; /* so many; any: it is lost */
};

/* All threads may fault at once, but then they don't any more: unless there is
 * no memory left for zeros. */
#define FAULTS_MAX 4096

_Static_assert(ATOMIC_LONG_LOCK_FREE == 2 && ATOMIC_POINTER_LOCK_FREE == 2 &&
		       ATOMIC_INT_LOCK_FREE == 2,
	       "a signal handler may use them");

static struct vhost_mapping mappings[MAPPINGS_MAX];
static _Atomic uint32_t mappings_used; /* none at or above it is in use */
static uint64_t mapped;		       /* bytes, of all; the main thread's */
static _Atomic bool faulted;	       /* any, ever */

/*
 * The zeros that take the place of what was lost: at the offset that is the
 * mapping's address, so that no two share any, and whoever faults again gets
 * the same. A file's pages are accounted for when they are touched: anonymous
 * memory of the size of a guest's might be refused.
 */
#define ZEROS_SIZE (1ull << 62)

static int zeros_fd = -1;
static struct sigaction former;

/* ---- the guard ----------------------------------------------------------- */

static bool mapping_covers(struct vhost_mapping *m, uintptr_t addr)
{
	uintptr_t start = atomic_load(&m->start);
	size_t len = atomic_load(&m->len);

	return start && addr - start < len && atomic_load(&m->start) == start;
}

#if defined(__SANITIZE_THREAD__) /* takes it for a write to all of it */
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#else
#define AnnotateIgnoreWritesBegin(file, line) ((void)0)
#define AnnotateIgnoreWritesEnd(file, line)   ((void)0)
#endif

static bool mapping_zero(const struct vhost_mapping *m)
{
	uintptr_t start = atomic_load(&m->start);
	void *addr;

	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): it was one */
	addr = mmap((void *)start, atomic_load(&m->len), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, zeros_fd, (off_t)start);
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	return addr != MAP_FAILED;
}

/* Only what a signal handler may do. */
static bool mapping_replace(uintptr_t addr)
{
	uint32_t n = atomic_load(&mappings_used);

	for (uint32_t i = 0; i < n; i++) {
		struct vhost_mapping *m = &mappings[i];

		/* Who sees zeros is to see that it's lost: first that. */
		if (!mapping_covers(m, addr))
			continue;
		atomic_store(&faulted, true);
		return atomic_fetch_add(&m->faults, 1) < FAULTS_MAX &&
		       mapping_zero(m);
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int err = errno;
	/* Else somebody has sent it, and there is no address. */
	bool fault = info->si_code > 0;

	(void)context;
	if (!fault || !mapping_replace((uintptr_t)info->si_addr)) {
		/* Not ours: a fault comes again when we return. */
		sigaction(SIGBUS, &former, NULL);
		if (!fault)
			(void)raise(sig);
	}
	errno = err;
}

int vhost_mem_guard(void)
{
	/* A fault in the handler itself is the end, so no SA_NODEFER. */
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
	};
	int fd, err;

	if (zeros_fd >= 0)
		return 0;
	fd = memfd_new("vhost-zeros", ZEROS_SIZE);
	if (fd < 0)
		return fd;
	zeros_fd = fd;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, &sa, &former) == 0)
		return 0;
	err = errno;
	zeros_fd = -1;
	close(fd);
	return -err;
}

/* ---- mappings ------------------------------------------------------------ */

static struct vhost_mapping *mapping_free_slot(void)
{
	for (uint32_t i = 0; i < MAPPINGS_MAX; i++)
		if (!atomic_load(&mappings[i].start))
			return &mappings[i];
	return NULL;
}

static void mapping_register(struct vhost_mapping *m, void *addr, size_t len)
{
	uint32_t i = (uint32_t)(m - mappings);

	atomic_store(&m->faults, 0);
	atomic_store(&m->len, len);
	atomic_store(&m->start, (uintptr_t)addr);
	mapped += len;
	if (atomic_load(&mappings_used) <= i)
		atomic_store(&mappings_used, i + 1);
}

static void mapping_remove(struct vhost_mapping *m)
{
	uintptr_t start = atomic_load(&m->start);
	size_t len = atomic_load(&m->len);
	uint32_t n = atomic_load(&mappings_used);

	atomic_store(&m->start, 0);
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): it was one */
	munmap((void *)start, len);
	mapped -= len;
	/* What was written to the zeros; the next one here finds none of it. */
	if (atomic_load(&m->faults))
		(void)fallocate(zeros_fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)start, (off_t)len);
	while (n && !atomic_load(&mappings[n - 1].start))
		n--;
	atomic_store(&mappings_used, n);
}

/* A file that can be mapped. */
struct memory_file {
	int fd;
	uint64_t size;
	uint64_t page; /* bytes; a power of two */
};

static int no_memory_file(struct error *err, const char *what)
{
	return error_set(err, EMEDIUMTYPE, "bad-memory", NULL,
			 "the memory is %s; only a memfd or a file on tmpfs, "
			 "hugetlbfs, ext4 or xfs can't keep the switch waiting",
			 what);
}

/*
 * Nothing is asked that the file system's server would have to answer, since it
 * might be the enemy's (FUSE), or away (NFS). Those have no block device. Nor
 * has overlayfs, which doesn't say what is below.
 */
static int file_check_type(int fd, const struct statx *sx, struct error *err)
{
	struct statfs fs;

	if (!S_ISREG(sx->stx_mode))
		return no_memory_file(err, "no regular file");
	/* Only files in memory have seals. */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return 0;
	if (sx->stx_dev_major == 0)
		return no_memory_file(err, "on a file system without a disk of "
					   "its own (FUSE, NFS, overlayfs..)");
	if (fstatfs(fd, &fs) < 0)
		return error_set(err, errno, "bad-memory", NULL,
				 "the memory's file system is unknown: %s",
				 strerror(errno));
	if (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC)
		return 0;
	return no_memory_file(err, "on a file system that isn't known to be "
				   "good for it");
}

static int file_check(int fd, struct memory_file *file, struct error *err)
{
	struct statx sx;
	struct statfs fs;
	int r;

	file->fd = fd;
	file->page = (uint64_t)sysconf(_SC_PAGESIZE);
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_SIZE, &sx) < 0)
		return error_set(err, errno, "bad-memory", NULL,
				 "the memory is no file: %s", strerror(errno));
	r = file_check_type(fd, &sx, err);
	if (r < 0)
		return r;
	file->size = sx.stx_size;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		file->page = (uint64_t)fs.f_bsize;
	return 0;
}

bool vhost_mem_file_fit(int fd)
{
	struct memory_file file;

	return file_check(fd, &file, NULL) == 0;
}

void vhost_mem_discard(const int *fd, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (vhost_mem_file_fit(fd[i]))
			close(fd[i]);
		else
			(void)fds_discard(&fd[i], 1);
}

/* Checks everything but the file's type. */
static int file_map(const struct memory_file *file, uint64_t offset,
		    uint64_t size, uint8_t **host, struct vhost_mapping **out,
		    struct error *err)
{
	uint64_t skip = offset & (file->page - 1), len;
	struct vhost_mapping *m = mapping_free_slot();
	uint8_t *addr;
	int r = vhost_mem_guard();

	if (r < 0)
		return error_set(err, -r, "bad-memory", NULL,
				 "the memory can't be guarded: %s",
				 strerror(-r));
	if (size == 0 || size > VHOST_MEMORY_MAX || offset > file->size ||
	    size > file->size - offset)
		return error_set(err, EINVAL, "bad-memory", NULL,
				 "%" PRIu64 " bytes of memory at %" PRIu64
				 " in a file of %" PRIu64,
				 size, offset, file->size);
	len = (skip + size + file->page - 1) & ~(file->page - 1);
	if (!m || len > MAPPED_MAX - mapped)
		return error_set(err, ENOSPC, "bad-memory", NULL,
				 "all ports together have more than %d regions "
				 "or %llu bytes of memory",
				 MAPPINGS_MAX, MAPPED_MAX);
	/* Huge pages are the front end's to reserve. */
	addr = mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE, file->fd,
		    (off_t)(offset - skip));
	if (addr == MAP_FAILED)
		return error_set(err, errno, "bad-memory", NULL,
				 "the memory can't be mapped: %s",
				 strerror(errno));
	/* Guests' secrets don't belong into our core dumps. */
	(void)madvise(addr, len, MADV_DONTDUMP);
	mapping_register(m, addr, len);
	*host = addr + skip;
	*out = m;
	return 0;
}

/* ---- regions ------------------------------------------------------------- */

/* Neither of two ranges, of which none is empty, wraps. */
static bool overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b ? b - a < alen : a - b < blen;
}

static int region_check(const struct vhost_mem *m, uint64_t guest,
			uint64_t size, uint64_t user, uint64_t offset,
			struct error *err)
{
	uint64_t sum = size;

	/* A last byte at UINT64_MAX would be fine, but nobody has that. */
	if (size == 0 || size > UINT64_MAX - guest || size > UINT64_MAX - user)
		return error_set(err, EINVAL, "bad-memory", NULL,
				 "%" PRIu64 " bytes of memory don't fit at "
				 "%#" PRIx64 " and %#" PRIx64,
				 size, guest, user);
	if ((guest ^ offset) % VHOST_REGION_ALIGN ||
	    (user ^ offset) % VHOST_REGION_ALIGN)
		return error_set(err, EINVAL, "bad-memory", NULL,
				 "the memory at %#" PRIx64 " isn't aligned as "
				 "in its file",
				 guest);
	if (m->n >= VHOST_REGIONS_MAX)
		return error_set(err, ENOSPC, "bad-memory", NULL,
				 "more than %d regions of memory",
				 VHOST_REGIONS_MAX);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->region[i];

		if (overlap(guest, size, r->guest, r->size) ||
		    overlap(user, size, r->user, r->size))
			return error_set(err, EINVAL, "bad-memory", NULL,
					 "the memory at %#" PRIx64
					 " overlaps that at %#" PRIx64,
					 guest, r->guest);
		sum += r->size; /* none is over VHOST_MEMORY_MAX */
	}
	if (sum < size || sum > VHOST_MEMORY_MAX)
		return error_set(err, ENOSPC, "bad-memory", NULL,
				 "more than %llu bytes of memory",
				 VHOST_MEMORY_MAX);
	return 0;
}

int vhost_mem_add(struct vhost_mem *m, uint64_t guest, uint64_t size,
		  uint64_t user, uint64_t offset, int fd, struct error *err)
{
	struct vhost_region region = {
		.guest = guest,
		.size = size,
		.user = user,
	};
	struct memory_file file = { 0 };
	int r = region_check(m, guest, size, user, offset, err);

	if (r == 0)
		r = file_check(fd, &file, err);
	if (r == 0)
		r = file_map(&file, offset, size, &region.host, &region.mapping,
			     err);
	if (r < 0)
		return r;
	m->region[m->n++] = region;
	return 0;
}

int vhost_mem_remove(struct vhost_mem *m, uint64_t guest, uint64_t size,
		     uint64_t user, struct vhost_mem *out)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct vhost_region *r = &m->region[i];

		if (r->guest != guest || r->size != size || r->user != user)
			continue;
		out->region[out->n++] = *r;
		*r = m->region[--m->n];
		return 0;
	}
	return -ENOENT;
}

void vhost_mem_fini(struct vhost_mem *m)
{
	while (m->n)
		mapping_remove(m->region[--m->n].mapping);
}

bool vhost_mem_lost(const struct vhost_mem *m)
{
	if (__builtin_expect(
		    !atomic_load_explicit(&faulted, memory_order_relaxed), 1))
		return false;
	for (uint32_t i = 0; i < m->n; i++)
		if (atomic_load_explicit(&m->region[i].mapping->faults,
					 memory_order_relaxed))
			return true;
	return false;
}

uint8_t *vhost_mem_user(const struct vhost_mem *m, uint64_t user, uint64_t len)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->region[i];
		uint64_t off = user - r->user;

		if (off < r->size && len <= r->size - off)
			return r->host + off;
	}
	return NULL;
}

/* ---- the log ------------------------------------------------------------- */

int vhost_log_map(struct vhost_log *log, int fd, uint64_t size, uint64_t offset)
{
	struct memory_file file = { 0 };
	struct vhost_log new = { .bytes = size };
	int r = file_check(fd, &file, NULL);

	if (r == 0)
		r = file_map(&file, offset, size, &new.bits, &new.mapping,
			     NULL);
	if (r == 0)
		*log = new;
	return r;
}

void vhost_log_unmap(struct vhost_log *log)
{
	if (log->bits)
		mapping_remove(log->mapping);
	*log = (struct vhost_log){ 0 };
}

bool vhost_log_lost(const struct vhost_log *log)
{
	return log->bits && atomic_load_explicit(&log->mapping->faults,
						 memory_order_relaxed);
}

void vhost_log_written(const struct vhost_log *log, uint64_t guest,
		       uint64_t len)
{
	uint64_t page, last, pages = log->bytes * 8;

	if (!log->bits || !len)
		return;
	page = guest / VHOST_LOG_PAGE;
	last = guest + (len - 1) < guest ? UINT64_MAX / VHOST_LOG_PAGE
					 : (guest + (len - 1)) / VHOST_LOG_PAGE;
	if (last >= pages)
		last = pages - 1;
	while (page <= last) {
		uint64_t end = last < (page | 7) ? last : page | 7; /* in it */
		unsigned int bits =
			(0xffu >> (7 - (end & 7))) & (0xffu << (page & 7));

		/* After what was written: who takes the bit sees that. */
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)bits,
				  __ATOMIC_RELEASE);
		page = end + 1;
	}
}
