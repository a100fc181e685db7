/*
 * A file system whose server answers all but one question: whoever closes a
 * file of it waits until the server ends. Linux's FUSE; needs root.
 */
#ifndef TESTS_UNIT_FUSE_H
#define TESTS_UNIT_FUSE_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSE_MESSAGE_MAX (1 << 17) /* FUSE wants room for a write, too */

struct fuse {
	char dir[64], file[80];
	pid_t server;
};

static inline void fuse_answer(int dev, uint64_t unique, int error,
			       const void *p, size_t n)
{
	char buf[512];
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + n),
				     .error = error,
				     .unique = unique };

	memcpy(buf, &h, sizeof(h));
	if (n)
		memcpy(buf + sizeof(h), p, n);
	if (write(dev, buf, h.len) < 0 && errno != ENOENT)
		_exit(1);
}

static inline struct fuse_attr fuse_attributes(uint64_t ino)
{
	return (struct fuse_attr){
		.ino = ino,
		.nlink = 1,
		.size = 4096,
		.mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666,
	};
}

static inline void fuse_serve_one(int dev, const struct fuse_in_header *in)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = 31,
				      .max_write = 4096 };
	struct fuse_entry_out entry = { .nodeid = 2,
					.attr = fuse_attributes(2) };
	struct fuse_attr_out attr = { .attr = fuse_attributes(in->nodeid) };
	struct fuse_open_out open = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		fuse_answer(dev, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		fuse_answer(dev, in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		fuse_answer(dev, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		fuse_answer(dev, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_FLUSH: /* somebody closes it, and waits */
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break;
	default:
		fuse_answer(dev, in->unique, -ENOSYS, NULL, 0);
	}
}

static inline void fuse_serve(int dev)
{
	static char buf[FUSE_MESSAGE_MAX];

	while (read(dev, buf, sizeof(buf)) >= 0 || errno == EINTR ||
	       errno == ENOENT)
		fuse_serve_one(dev, (const struct fuse_in_header *)buf);
	_exit(0);
}

/* In a mount namespace of this process's. Returns whether it can be had. */
static inline bool fuse_begin(struct fuse *f)
{
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[96];

	if (dev < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		if (dev >= 0)
			close(dev);
		return false;
	}
	strcpy(f->dir, "/tmp/test_discard.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof(f->file), "%s/file", f->dir);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	assert_int_equal(mount("test", f->dir, "fuse", 0, options), 0);
	f->server = fork();
	if (f->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails */
		fuse_serve(dev);
	}
	assert_true(f->server > 0);
	close(dev); /* so that all is over when the server is */
	return true;
}

/* Who waits for it needn't any more. */
static inline void fuse_end(struct fuse *f)
{
	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	umount2(f->dir, MNT_DETACH);
	rmdir(f->dir);
}

static inline int fuse_open(const struct fuse *f)
{
	int fd = open(f->file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

#endif
