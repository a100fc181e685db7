#include "ports/capfile.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(PCAPNG_BLOCK_MAX <= CAPFILE_BUFFER, "capfile_resume reads so");

int capfile_init(struct capfile *cf, const struct capfile_source *from,
		 int stopfd)
{
	struct stat st;

	*cf = (struct capfile){ .from = *from, .stopfd = stopfd };
	if (fstat(from->fd, &st) < 0)
		return -errno;
	cf->stream = !S_ISREG(st.st_mode);
	if (!cf->stream && !from->resumed && ftruncate(from->fd, 0) < 0)
		return -errno;
	cf->buf = malloc(CAPFILE_BUFFER);
	return cf->buf ? 0 : -ENOMEM;
}

void capfile_fini(struct capfile *cf)
{
	free(cf->buf);
}

/* Wait until the stream takes more. Returns 0, or -ETIMEDOUT. */
static int wait_writable(struct capfile *cf)
{
	struct pollfd pfd[2] = { { .fd = cf->from.fd, .events = POLLOUT },
				 { .fd = cf->stopfd, .events = POLLIN } };
	uint64_t now = clock_ns();

	if (!cf->deadline) {
		if (poll(pfd, 2, -1) > 0 && pfd[1].revents)
			cf->deadline = clock_ns() + CAPFILE_CLOSE_NS;
		return 0;
	}
	if (now >= cf->deadline)
		return -ETIMEDOUT;
	poll(pfd, 1, (int)((cf->deadline - now) / 1000000) + 1);
	return 0;
}

static int write_all(struct capfile *cf)
{
	uint32_t done = 0;

	while (done < cf->used) {
		ssize_t n;
		int rc = 0;

		if (cf->stream)
			n = write(cf->from.fd, cf->buf + done, cf->used - done);
		else
			n = pwrite(cf->from.fd, cf->buf + done, cf->used - done,
				   (off_t)(cf->bytes + done));
		if (n >= 0)
			done += (uint32_t)n;
		else if (errno == EAGAIN && cf->stream)
			rc = wait_writable(cf);
		else if (errno != EINTR)
			rc = -errno;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int capfile_flush(struct capfile *cf)
{
	int rc = write_all(cf);

	if (rc == 0)
		cf->bytes += cf->used;
	else if (cf->stream)
		cf->bytes = 0;
	else
		(void)!ftruncate(cf->from.fd, (off_t)cf->bytes);
	cf->used = 0;
	return rc;
}

/* The file's bytes from `at` on, as many as there are and the buffer takes. */
static ssize_t read_buffer(struct capfile *cf, uint64_t at)
{
	size_t done = 0;
	ssize_t n = 1;

	while (n != 0 && done < CAPFILE_BUFFER) {
		n = pread(cf->from.fd, cf->buf + done, CAPFILE_BUFFER - done,
			  (off_t)(at + done));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return (ssize_t)done;
}

/* Has the port been closing for long? */
static bool out_of_time(struct capfile *cf)
{
	struct pollfd pfd = { .fd = cf->stopfd, .events = POLLIN };
	uint64_t now = clock_ns();

	if (!cf->deadline && poll(&pfd, 1, 0) > 0)
		cf->deadline = now + CAPFILE_CLOSE_NS;
	return cf->deadline && now >= cf->deadline;
}

/* Go on in the file that `get` gives. */
static int change_file(struct capfile *cf, int (*get)(void *ctx, int *fd))
{
	int fd, rc = get(cf->from.ctx, &fd);

	if (rc < 0)
		return rc;
	/* Under the same number, so that the grant doesn't keep the old file
	 * (and its disk space) open. */
	if (dup3(fd, cf->from.fd, O_CLOEXEC) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int capfile_resume(struct capfile *cf, bool classic, struct pcapng_walk *walk,
		   uint64_t *cut)
{
	uint64_t end = 0;
	struct stat st;
	uint32_t n;
	int rc;

	*walk = (struct pcapng_walk){ .classic = classic };
	*cut = 0;
	if (cf->stream)
		return 0;
	if (cf->from.current && (rc = change_file(cf, cf->from.current)) < 0)
		return rc;
	do {
		ssize_t got;

		if (out_of_time(cf))
			return -ETIMEDOUT;
		got = read_buffer(cf, end);
		if (got < 0)
			return (int)got;
		n = pcapng_walk_on(walk, cf->buf, (uint32_t)got);
		end += n;
	} while (n);
	if (fstat(cf->from.fd, &st) < 0 ||
	    ((uint64_t)st.st_size > end &&
	     ftruncate(cf->from.fd, (off_t)end) < 0))
		return -errno;
	if ((uint64_t)st.st_size > end)
		*cut = (uint64_t)st.st_size - end;
	cf->bytes = end;
	return 0;
}

int capfile_rotate(struct capfile *cf)
{
	int rc;

	/* Until it works: FILE may have been shifted, and what we have may be
	 * FILE.1 already. */
	cf->due = true;
	if (!cf->from.renew)
		return -EOPNOTSUPP;
	rc = change_file(cf, cf->from.renew);
	if (rc < 0)
		return rc;
	cf->due = false;
	cf->bytes = 0;
	return 0;
}
