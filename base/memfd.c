#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3; sysctl vm.memfd_noexec may ask for it */
#define MFD_NOEXEC_SEAL 8u
#endif

#define MEMFD_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING)

int memfd_new(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MEMFD_FLAGS | MFD_NOEXEC_SEAL);
	int err;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MEMFD_FLAGS);
	if (fd < 0)
		return -errno;
	if (!size)
		return fd;
	if (ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		    0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int memfd_new_with(const char *name, size_t size, void (*init)(void *memory),
		   struct error *err)
{
	int fd = memfd_new(name, size);
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		int r = fd < 0 ? fd : -errno;

		if (fd >= 0)
			close(fd);
		return error_set(err, -r, "no-memory", NULL,
				 "no memory for what outlives the process");
	}
	init(p);
	munmap(p, size);
	return fd;
}

int memfd_check(int fd, uint64_t max, uint64_t *size, struct error *err)
{
	struct stat st;

	/* Only files in memory have seals: none of them lets a read wait. */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "bad-state", NULL,
				 "what was kept isn't memory");
	*size = (uint64_t)st.st_size;
	if (*size > max)
		return error_set(err, EINVAL, "bad-state", NULL,
				 "what was kept has %" PRIu64
				 " bytes, more than %" PRIu64,
				 *size, max);
	return 0;
}

int64_t memfd_read(int fd, void *to, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)to + done, len - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}
