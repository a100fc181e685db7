/*
 * capfile - the file that a capture goes to: opened with care, buffered,
 * rotated
 *
 * Privileged half: capfile_open() finds or makes the file. Who may name a
 * file on the control socket must not get more than a capture out of it, so:
 *
 * - a new file has mode 0600: what is in it is other guests' traffic. Who
 *   wants readers makes the file beforehand, with their group
 * - an existing regular file is reused (emptied when the capture begins,
 *   owner and mode stay) if it is ours, has no other link, and is empty or
 *   begins as a capture does; anything else is refused, so that a slip
 *   overwrites nobody's disk image. It is locked (flock): one capture a file
 * - a FIFO that a reader has open is written to without blocking: the way to
 *   stream into Wireshark. A reader that goes and comes back finds what was
 *   left in the FIFO, and then a new capture
 * - of devices only /dev/null is taken: opening others has effects (a
 *   watchdog is armed by it)
 * - a symbolic link as the last part of the path is not followed
 *
 * capfile_renew() shifts FILE to FILE.1, FILE.1 to FILE.2 and so on and makes a
 * new FILE, by way of a descriptor of the directory.
 *
 * Run half: capfile_flush() writes the buffer as a whole or not at all, so
 * that a file never ends within a packet; capfile_rotate() asks for a new file,
 * of whoever has that directory, and goes on in it.
 *
 * A process that is killed in the middle of a write leaves a file that does end
 * within a packet. capfile_resume() is for the next one: it reads the file
 * from its start, block by block, and cuts off what is behind the last whole
 * one; no reader would get further. Writes go to positions that the process
 * counts itself, so the file's offset, which processes share, means nothing.
 * Of a stream nothing can be taken back: there a torn record stays.
 *
 * The lock belongs to the open file, not to a process: it's there until the
 * last descriptor is closed, in whichever process that is.
 *
 * Ownership: descriptors are the caller's. A rotation puts the new file under
 * the old file's number, so who keeps that number keeps the newest file.
 * Threads: capfile_init on the main thread, what is below it on one writer
 * thread. Privileged half: on the main thread, but capfile_renew on any.
 */
#ifndef PORTS_CAPFILE_H
#define PORTS_CAPFILE_H

#include "base/error.h"
#include "ports/pcapng.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define CAPFILE_BUFFER	   (256 * 1024)	 /* bytes a write */
#define CAPFILE_ROTATE_MIN 4096		 /* bytes a file */
#define CAPFILE_FILES_MAX  1000		 /* files: renames a rotation */
#define CAPFILE_CLOSE_NS   2000000000ull /* a stalled reader's last chance */

/* Where a capture goes. */
struct capfile_source {
	int fd;
	bool resumed; /* an earlier process has written to it, or still does */
	/* A new file, which is the caller's to close. On the writer thread;
	 * returns 0 or -errno. NULL: there is no rotation. */
	int (*renew)(void *ctx, int *fd);
	/* The file that is FILE now, the same way: an earlier process may have
	 * rotated since fd was had from it. NULL: that's fd. */
	int (*current)(void *ctx, int *fd);
	void *ctx;
};

struct capfile {
	struct capfile_source from;
	int stopfd;	   /* readable: the port is being closed */
	bool stream;	   /* not a regular file: no seeking, no rotation */
	bool due;	   /* a rotation has failed: again, before a write */
	uint64_t bytes;	   /* in the file, without the buffer */
	uint64_t deadline; /* clock_ns; for stalled readers; 0 = not set */
	uint32_t used;	   /* bytes in buf */
	uint8_t *buf;	   /* CAPFILE_BUFFER */
};

/* Behind the last '/' of an absolute path; NULL where there is none. */
const char *capfile_name(const char *path);

/*
 * Open the file at `path` (capfile_name likes it) and its directory (*dirfd,
 * O_PATH). files: how many rotation keeps (up to CAPFILE_FILES_MAX); 0 where
 * the file isn't to be rotated. Nothing that exists is changed; *created: it
 * didn't.
 *
 * Returns 0, or -errno with *err, path "file": reason bad-file, file-exists,
 * file-busy, no-reader, or "rotate" with bad-rotate.
 */
int capfile_open(const char *path, uint32_t files, int *fd, int *dirfd,
		 bool *created, struct error *err)
	__attribute__((warn_unused_result));

/* Remove `name` where it is still the file `fd`, empty and as we make it. */
void capfile_remove_empty(int fd, int dirfd, const char *name);

/*
 * Shift the files, of which there are `files` (1 and more) then, and make a
 * new one: *fd, locked, the caller's. Where FILE isn't there nothing is
 * shifted: an earlier call has got so far.
 * Returns 0 or -errno: may be called again.
 */
int capfile_renew(int dirfd, const char *name, uint32_t files, int *fd)
	__attribute__((warn_unused_result));

/*
 * Begin with an empty file, or, where from->resumed, with one that isn't even
 * looked at yet (capfile_resume does). Borrows the descriptors until
 * capfile_fini. Returns 0 or -errno.
 */
int capfile_init(struct capfile *cf, const struct capfile_source *from,
		 int stopfd) __attribute__((warn_unused_result));

/* What is still in the buffer is lost. */
void capfile_fini(struct capfile *cf);

/*
 * Write the buffer. In any case it's empty afterwards. Blocks where the disk
 * or the reader is slow; once stopfd is readable, CAPFILE_CLOSE_NS at most for
 * a reader.
 *
 * Returns 0, or -errno: then the file is as before (cf->bytes), and a stream,
 * of which nobody knows how much has been read, begins anew (cf->bytes 0).
 */
int capfile_flush(struct capfile *cf) __attribute__((warn_unused_result));

/*
 * Where from->resumed, once, before anything is written, and when nobody else
 * writes any more: find the end of what is whole and cut off the rest (*cut
 * bytes). cf->bytes is what's left, and *walk has been through that; a stream
 * has neither. The buffer must be empty. Takes as long as reading the file
 * does, but CAPFILE_CLOSE_NS at most once stopfd is readable.
 *
 * Returns 0, or -errno: then the file is as it was; may be called again.
 */
int capfile_resume(struct capfile *cf, bool classic, struct pcapng_walk *walk,
		   uint64_t *cut) __attribute__((warn_unused_result));

/*
 * Go on in a new file (from->renew). The buffer must be empty. Returns 0, or
 * -errno: to be called again before anything else is written.
 */
int capfile_rotate(struct capfile *cf) __attribute__((warn_unused_result));

#endif
