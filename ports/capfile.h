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
 * Run half: capfile_flush() writes the buffer as a whole or not at all, so
 * that a file never ends within a packet; capfile_rotate() shifts FILE to
 * FILE.1, FILE.1 to FILE.2 and so on and begins a new FILE, by way of a
 * descriptor of the directory.
 *
 * Ownership: descriptors are the caller's. A rotation puts the new file under
 * the old file's number, so who keeps that number keeps the newest file.
 * Threads: open on the main thread; the rest on one writer thread.
 */
#ifndef PORTS_CAPFILE_H
#define PORTS_CAPFILE_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define CAPFILE_BUFFER	   (256 * 1024)	 /* bytes a write */
#define CAPFILE_ROTATE_MIN 4096		 /* bytes a file */
#define CAPFILE_FILES_MAX  1000		 /* files: renames a rotation */
#define CAPFILE_CLOSE_NS   2000000000ull /* a stalled reader's last chance */

struct capfile {
	int fd, dirfd;
	int stopfd;  /* readable: the port is being closed */
	bool stream; /* not a regular file: no seeking, no rotation */
	bool moved;  /* FILE has been shifted, but no new one made yet */
	char name[NAME_MAX + 1];
	uint32_t files;	   /* kept by rotation, FILE included */
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
 * the file isn't to be rotated. Nothing that exists is changed.
 *
 * Returns 0, or -errno with *err, path "file": reason bad-file, file-exists,
 * file-busy, no-reader, or "rotate" with bad-rotate.
 */
int capfile_open(const char *path, uint32_t files, int *fd, int *dirfd,
		 struct error *err) __attribute__((warn_unused_result));

/* Remove `name` where it is still the file `fd`, empty and as we make it. */
void capfile_remove_empty(int fd, int dirfd, const char *name);

/*
 * Begin with an empty file. Borrows the descriptors until capfile_fini.
 * Returns 0 or -errno.
 */
int capfile_init(struct capfile *cf, int fd, int dirfd, int stopfd,
		 const char *name, uint32_t files)
	__attribute__((warn_unused_result));

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
 * Begin a new file. The buffer must be empty. Returns 0, or -errno: to be
 * called again before anything else is written.
 */
int capfile_rotate(struct capfile *cf) __attribute__((warn_unused_result));

#endif
