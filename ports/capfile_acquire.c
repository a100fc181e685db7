#include "ports/capfile.h"

#include "ports/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OPEN_FLAGS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define NULL_MAJOR 1 /* /dev/null: Linux's devices.txt */
#define NULL_MINOR 3

/* What linux/magic.h lacks: fs/configfs/mount.c, fs/fuse/control.c, and
 * ipc/mqueue.c of Linux. */
#define CONFIGFS_MAGIC 0x62656570
#define FUSECTL_MAGIC  0x65735543
#define MQUEUE_MAGIC   0x19800202

const char *capfile_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : "";

	if (path[0] != '/' || !*name || !strcmp(name, ".") ||
	    !strcmp(name, ".."))
		return NULL;
	return name;
}

static int open_directory(const char *path, const char *name)
{
	char dir[PATH_MAX];
	size_t len = (size_t)(name - path);
	int fd;

	if (len >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = '\0';
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int refuse_type(mode_t mode, const char *path, struct error *err)
{
	if (S_ISLNK(mode))
		return error_set(err, ELOOP, "bad-file", "file",
				 "%s is a symbolic link: name the file itself",
				 path);
	return error_set(err, EINVAL, "bad-file", "file",
			 "%s is neither a regular file nor a FIFO", path);
}

/*
 * File systems whose regular files are none: most look empty and ours, and a
 * write sets something in the kernel. (A list of the good ones would be out of
 * date tomorrow.) `fd` may be O_PATH.
 */
static int check_filesystem(int fd, const char *path, struct error *err)
{
	static const uint32_t kernels[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,	      CGROUP_SUPER_MAGIC,
		DEBUGFS_MAGIC,	  TRACEFS_MAGIC,      CGROUP2_SUPER_MAGIC,
		SECURITYFS_MAGIC, SELINUX_MAGIC,      SMACK_MAGIC,
		BPF_FS_MAGIC,	  NSFS_MAGIC,	      BINFMTFS_MAGIC,
		EFIVARFS_MAGIC,	  PSTOREFS_MAGIC,     RDTGROUP_SUPER_MAGIC,
		HUGETLBFS_MAGIC,  DEVPTS_SUPER_MAGIC, XENFS_SUPER_MAGIC,
		CONFIGFS_MAGIC,	  FUSECTL_MAGIC,      MQUEUE_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return error_set(err, errno, "bad-file", "file", "%s: %s", path,
				 strerror(errno));
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if ((uint32_t)fs.f_type == kernels[i])
			return error_set(err, EINVAL, "bad-file", "file",
					 "%s is the kernel's, not a file on a "
					 "disk",
					 path);
	return 0;
}

/* Is this regular file one that a capture may replace? */
static int check_regular(int fd, const struct stat *st, const char *path,
			 struct error *err)
{
	uint8_t magic[4];
	int rc = check_filesystem(fd, path, err);

	if (rc < 0)
		return rc;
	if (st->st_uid != geteuid() || st->st_nlink > 1)
		return error_set(err, EPERM, "file-exists", "file",
				 "%s belongs to somebody else or has a second "
				 "link: remove it first",
				 path);
	if (st->st_size &&
	    (pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
	     !pcapng_is_magic(magic)))
		return error_set(err, EEXIST, "file-exists", "file",
				 "%s exists and is no capture: remove it first",
				 path);
	return 0;
}

/* A FIFO or /dev/null, for writing only. */
static int open_stream(int dirfd, const char *name, const char *path,
		       struct error *err)
{
	int fd = openat(dirfd, name, OPEN_FLAGS | O_WRONLY);

	if (fd >= 0)
		return fd;
	if (errno == ENXIO)
		return error_set(err, ENXIO, "no-reader", "file",
				 "nobody reads the FIFO %s: start the reader "
				 "first",
				 path);
	return error_set(err, errno, "bad-file", "file", "%s: %s", path,
			 strerror(errno));
}

static bool is_null(const struct stat *st)
{
	return S_ISCHR(st->st_mode) &&
	       st->st_rdev == makedev(NULL_MAJOR, NULL_MINOR);
}

/* Look at what is there before opening it: opening alone can do harm. */
static int open_existing(int dirfd, const char *name, const char *path,
			 struct error *err)
{
	struct stat before, st;
	int fd, rc = 0;

	if (fstatat(dirfd, name, &before, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, errno, "bad-file", "file", "%s: %s", path,
				 strerror(errno));
	if (S_ISFIFO(before.st_mode) || is_null(&before))
		fd = open_stream(dirfd, name, path, err);
	else if (!S_ISREG(before.st_mode))
		return refuse_type(before.st_mode, path, err);
	else if ((fd = openat(dirfd, name, OPEN_FLAGS | O_RDWR)) < 0)
		return error_set(err, errno, "bad-file", "file", "%s: %s", path,
				 strerror(errno));
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != before.st_ino ||
	    st.st_dev != before.st_dev)
		rc = error_set(err, EAGAIN, "bad-file", "file",
			       "%s has changed while it was opened", path);
	else if (S_ISREG(st.st_mode))
		rc = check_regular(fd, &st, path, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

static int create(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, OPEN_FLAGS | O_RDWR | O_CREAT | O_EXCL,
			0600);

	return fd < 0 ? -errno : fd;
}

static void rotated_name(char *to, size_t size, const char *name, uint32_t i)
{
	if (i)
		snprintf(to, size, "%s.%u", name, i);
	else
		snprintf(to, size, "%s", name);
}

/* Rotation will overwrite FILE.1 and so on: are they captures of ours? */
static int check_rotated(int dirfd, const char *name, uint32_t files,
			 struct error *err)
{
	char old[NAME_MAX + 16];

	for (uint32_t i = 1; i < files; i++) {
		struct stat st;
		int fd, rc;

		rotated_name(old, sizeof(old), name, i);
		if (fstatat(dirfd, old, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return error_set(err, errno, "bad-file", "file",
					 "%s: %s", old, strerror(errno));
		}
		if (!S_ISREG(st.st_mode))
			return refuse_type(st.st_mode, old, err);
		fd = openat(dirfd, old, OPEN_FLAGS | O_RDONLY);
		if (fd < 0)
			return error_set(err, errno, "bad-file", "file",
					 "%s: %s", old, strerror(errno));
		rc = check_regular(fd, &st, old, err);
		close(fd);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What only a regular file has: a lock, and others to rotate into. */
static int check_opened(int fd, int dirfd, const char *path, uint32_t files,
			struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "bad-file", "file", "%s: %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) && files)
		return error_set(err, EINVAL, "bad-rotate", "rotate",
				 "%s is no regular file: it can't be rotated",
				 path);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, EBUSY, "file-busy", "file",
				 "another capture is writing to %s", path);
	return check_rotated(dirfd, capfile_name(path), files, err);
}

int capfile_open(const char *path, uint32_t files, int *fd, int *dirfd,
		 bool *created, struct error *err)
{
	const char *name = capfile_name(path);
	int rc;

	*created = true;
	*dirfd = open_directory(path, name);
	if (*dirfd < 0)
		return error_set(err, -*dirfd, "bad-file", "file",
				 "directory of %s: %s", path,
				 strerror(-*dirfd));
	/* Of the folder already: there even a new file may do something. */
	rc = check_filesystem(*dirfd, path, err);
	if (rc < 0)
		goto out;
	*fd = create(*dirfd, name);
	if (*fd == -EEXIST) {
		*created = false;
		*fd = open_existing(*dirfd, name, path, err);
	} else if (*fd < 0) {
		error_set(err, -*fd, "bad-file", "file", "%s: %s", path,
			  strerror(-*fd));
	}
	rc = *fd < 0 ? *fd : 0;
	if (rc < 0)
		goto out;
	rc = check_opened(*fd, *dirfd, path, files, err);
	if (rc < 0) {
		if (*created)
			unlinkat(*dirfd, name, 0);
		close(*fd);
	}
out:
	if (rc < 0)
		close(*dirfd);
	return rc;
}

void capfile_remove_empty(int fd, int dirfd, const char *name)
{
	struct stat st, now;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
	    (st.st_mode & 07777) == 0600 &&
	    fstatat(dirfd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    now.st_ino == st.st_ino && now.st_dev == st.st_dev)
		unlinkat(dirfd, name, 0);
}

/* FILE.n-2 becomes FILE.n-1, .., FILE becomes FILE.1. */
static int shift(int dirfd, const char *name, uint32_t files)
{
	char from[NAME_MAX + 16], to[NAME_MAX + 16];
	struct stat st;

	/* It has been shifted already, and only making a new one failed: twice
	 * would cost the oldest file for nothing. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (files <= 1)
		return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	for (uint32_t i = files - 1; i > 0; i--) {
		rotated_name(from, sizeof(from), name, i - 1);
		rotated_name(to, sizeof(to), name, i);
		if (renameat(dirfd, from, dirfd, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int capfile_renew(int dirfd, const char *name, uint32_t files, int *fd)
{
	int rc = shift(dirfd, name, files);

	if (rc < 0)
		return rc;
	*fd = create(dirfd, name);
	if (*fd < 0)
		return *fd;
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
		rc = -errno;
		unlinkat(dirfd, name, 0);
		close(*fd);
	}
	return rc;
}
