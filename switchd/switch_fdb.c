#include "switchd/switch_fdb.h"

#include "base/log.h"
#include "switchd/fastpath_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct switch_fdb {
	int fd;
	void *memory;
	size_t size;
};

static int map(struct switch_fdb *f)
{
	f->memory = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 f->fd, 0);
	if (f->memory != MAP_FAILED)
		return 0;
	f->memory = NULL;
	return -errno;
}

/* A predecessor's: the size must be ours to the byte, or reading it could fault
 * one day. */
static int map_old(struct switch_fdb *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (size_t)st.st_size != f->size)
		return -EINVAL;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return f->fd < 0 ? -errno : map(f);
}

/* Sealed: nobody can make it shorter under anybody's feet. */
static int map_new(struct switch_fdb *f)
{
	f->fd = memfd_create("fdb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (f->fd < 0 || ftruncate(f->fd, (off_t)f->size) < 0 ||
	    fcntl(f->fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return map(f);
}

static void unmap(struct switch_fdb *f)
{
	if (f->memory)
		munmap(f->memory, f->size);
	if (f->fd >= 0)
		close(f->fd);
	f->memory = NULL;
	f->fd = -1;
}

int switch_fdb_make(struct sw *sw, const struct fdb_config *config, int fd)
{
	struct fdb_config c = *config;
	struct switch_fdb *f;
	int r;

	if (!sw->broker) {
		sw->shared.fdb = fdb_new(config, NULL);
		return sw->shared.fdb ? 0 : -errno;
	}
	f = sw->fdb = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	sw->fdb_outlives = true;
	f->fd = -1;
	f->size = fdb_memory_size(config);
	c.later = true;
	if (fd >= 0 && map_old(f, fd) == 0)
		sw->shared.fdb = fdb_new(&c, f->memory);
	sw->borrowed = sw->shared.fdb != NULL;
	if (sw->borrowed)
		return 0;
	if (fd >= 0)
		log_warning("fdb", "the addresses of before can't be read: "
				   "they are learned anew");
	unmap(f);
	r = map_new(f);
	if (r < 0)
		return r;
	sw->shared.fdb = fdb_new(config, f->memory);
	return sw->shared.fdb ? 0 : -errno;
}

int switch_fdb_make_fast(struct sw *sw, const struct fdb_config *config,
			 bool kept)
{
	void *memory = fastpath_fdb_memory(sw->fastpath);
	size_t size = fdb_memory_size(config);
	struct fdb_config c = *config;

	if (size != fastpath_fdb_size(sw->fastpath))
		return -EINVAL;
	sw->fdb_outlives = true;
	c.later = true;
	if (kept)
		sw->shared.fdb = fdb_new(&c, memory);
	sw->borrowed = sw->shared.fdb != NULL;
	if (sw->borrowed)
		return 0;
	/* The header first: without its magic the kernel looks no further. */
	memset(memory, 0, size);
	sw->shared.fdb = fdb_new(config, memory);
	return sw->shared.fdb ? 0 : -errno;
}

void switch_fdb_free(struct sw *sw)
{
	fdb_free(sw->shared.fdb);
	if (sw->fdb)
		unmap(sw->fdb);
	free(sw->fdb);
}

int switch_fdb_fd(const struct sw *sw)
{
	return sw->fdb ? sw->fdb->fd : -1;
}
