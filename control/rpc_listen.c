/* Taking a socket's path: one server a path, and none locked out by a crash. */
#include "control/rpc_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 128

/* The lock file may be removed between our open() and flock(): try again. */
#define LOCK_TRIES 16

static char *lock_path(const char *path)
{
	char *lock;

	return asprintf(&lock, "%s.lock", path) < 0 ? NULL : lock;
}

/*
 * Lock the file at `lock` until the descriptor is closed. The lock counts
 * only if the path still leads to the file that was locked: its last owner
 * may have removed it just before letting go.
 */
static int lock_take(const char *lock)
{
	struct stat held, named;
	int i, fd, err;

	for (i = 0; i < LOCK_TRIES; i++) {
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			  0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno;
			close(fd);
			return -err;
		}
		if (!fstat(fd, &held) && !stat(lock, &named) &&
		    held.st_dev == named.st_dev && held.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
	return -EWOULDBLOCK;
}

static int in_use(const char *path, struct error *e)
{
	return error_set(e, EADDRINUSE, "socket-in-use", NULL,
			 "another process already serves %s", path);
}

/* Does anybody answer at the address? 0 = no, and the path is free now. */
static int stale_remove(const struct sockaddr_un *sun, struct error *e)
{
	struct stat st;
	int fd, err;

	if (lstat(sun->sun_path, &st)) {
		if (errno == ENOENT)
			return 0;
		return error_set(e, errno, "cannot-listen", NULL, "%s: %s",
				 sun->sun_path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return error_set(e, EEXIST, "cannot-listen", NULL,
				 "%s exists and isn't a socket", sun->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(e, errno, "cannot-listen", NULL, "socket: %s",
				 strerror(errno));
	err = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? errno
								      : 0;
	close(fd);
	if (!err || err == EAGAIN)
		return in_use(sun->sun_path, e);
	if (err != ECONNREFUSED && err != ENOENT)
		return error_set(e, err, "cannot-listen", NULL, "%s: %s",
				 sun->sun_path, strerror(err));
	if (err == ECONNREFUSED && unlink(sun->sun_path))
		return error_set(e, errno, "cannot-listen", NULL,
				 "removing stale %s: %s", sun->sun_path,
				 strerror(errno));
	return 0;
}

/* Nobody may connect before owner and mode are what was asked for. */
static int bind_private(int fd, const struct sockaddr_un *sun, mode_t mode,
			gid_t gid)
{
	mode_t old = umask(0777);
	int err = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? errno
								       : 0;

	umask(old);
	if (err)
		return -err;
	if ((gid != (gid_t)-1 && lchown(sun->sun_path, (uid_t)-1, gid)) ||
	    chmod(sun->sun_path, mode) || listen(fd, LISTEN_BACKLOG))
		err = errno;
	if (err)
		unlink(sun->sun_path);
	return -err;
}

static int listener_bind(struct rpc_listener *l, mode_t mode, gid_t gid,
			 struct error *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	int err;

	memcpy(sun.sun_path, l->path, strlen(l->path) + 1);
	err = stale_remove(&sun, e);
	if (err)
		return err;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = l->fd < 0 ? -errno : bind_private(l->fd, &sun, mode, gid);
	if (err)
		return error_set(e, -err, "cannot-listen", NULL, "%s: %s",
				 l->path, strerror(-err));
	if (!lstat(l->path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return 0;
}

int rpc_listener_open(struct rpc_listener *l, const char *path, mode_t mode,
		      gid_t gid, struct error *e)
{
	char *lock = lock_path(path);
	int err;

	*l = (struct rpc_listener){ .fd = -1, .lock_fd = -1 };
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		err = error_set(e, ENAMETOOLONG, "cannot-listen", NULL,
				"%s is too long for a socket", path);
		goto out;
	}
	l->path = strdup(path);
	if (!l->path || !lock) {
		err = error_set(e, ENOMEM, "no-memory", NULL, "out of memory");
		goto out;
	}
	l->lock_fd = lock_take(lock);
	if (l->lock_fd == -EWOULDBLOCK) {
		err = in_use(path, e);
		goto out;
	}
	if (l->lock_fd < 0) {
		err = error_set(e, -l->lock_fd, "cannot-listen", NULL, "%s: %s",
				lock, strerror(-l->lock_fd));
		goto out;
	}
	err = listener_bind(l, mode, gid, e);
out:
	free(lock);
	if (err)
		rpc_listener_close(l);
	return err;
}

void rpc_listener_close(struct rpc_listener *l)
{
	char *lock = l->path ? lock_path(l->path) : NULL;
	struct stat st;

	if (l->fd >= 0)
		close(l->fd);
	if (l->path && l->ino && !lstat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	/* Removed while it's still held, see lock_take(). */
	if (l->lock_fd >= 0) {
		if (lock)
			unlink(lock);
		close(l->lock_fd);
	}
	free(lock);
	free(l->path);
	*l = (struct rpc_listener){ .fd = -1, .lock_fd = -1 };
}
