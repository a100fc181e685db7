#include "ports/unix_socket.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/rights.h"
#include "ports/capfile.h"
#include "ports/privilege.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MODE_OWNER 0600
#define MODE_GROUP 0660
#define ID_NONE	   UINT32_MAX /* chown(2): leave it */

/* ---- Paths ---- */

int unix_socket_cannot(struct error *err, int error, const char *what,
		       const struct unix_place *at)
{
	const char *reason = error == EACCES || error == EPERM ? "not-permitted"
							       : "bad-path";

	return error_set(err, error, reason, at->param, "can't %s %.160s: %s",
			 what, at->path, strerror(error));
}

const char *unix_socket_name(const struct unix_place *at, struct error *err)
{
	const char *name = capfile_name(at->path);
	const char *p = at->path;

	while (*p && !iscntrl((unsigned char)*p))
		p++;
	if (name && !*p)
		return name;
	error_set(err, EINVAL, "bad-path", at->param,
		  name ? "the path has control characters"
		       : "the path isn't one of a file, from / on");
	return NULL;
}

int unix_socket_folder(const struct unix_place *at, const char *name,
		       struct error *err)
{
	char path[PATH_MAX];
	struct unix_place folder = { .path = path, .param = at->param };
	int fd;

	snprintf(path, sizeof(path), "%.*s", (int)(name - at->path), at->path);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENOTDIR)
		return error_set(err, errno, "no-folder", at->param,
				 "there is no folder %.160s: make it first",
				 path);
	return unix_socket_cannot(err, errno, "open the folder", &folder);
}

/* Where an open folder is, or was: its real name. Returns whether there is
 * one. */
static bool folder_name(int dirfd, char *buf, size_t size)
{
	static const char deleted[] = " (deleted)"; /* proc(5), /proc/PID/fd */
	char link[32], *end;
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, buf, size);
	if (n < 0 || (size_t)n >= size || fstat(dirfd, &st) < 0)
		return false;
	buf[n] = '\0';
	end = buf + n - (sizeof(deleted) - 1);
	if (st.st_nlink == 0 && end > buf && !strcmp(end, deleted))
		*end = '\0';
	return true;
}

void unix_socket_folder_again(const struct unix_place *at, const char *name,
			      int folder)
{
	int now = unix_socket_folder(at, name, NULL);
	char was[PATH_MAX], is[PATH_MAX];

	if (now < 0)
		return;
	if (folder_name(folder, was, sizeof(was)) &&
	    folder_name(now, is, sizeof(is)) && !strcmp(was, is))
		(void)dup3(now, folder, O_CLOEXEC);
	close(now);
}

static int open_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int unix_socket_new(int type, struct error *err)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "can't make a socket: %s", strerror(errno));
	if (type == SOCK_DGRAM)
		rights_refuse(fd);
	return fd;
}

/* Is the open file the one that has this name? */
static bool is_named(int file, int dirfd, const char *name)
{
	struct stat st, named;

	return fstat(file, &st) == 0 &&
	       fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

static int check_socket(const struct unix_place *at, int file,
			struct error *err)
{
	struct stat st;

	if (fstat(file, &st) < 0)
		return unix_socket_cannot(err, errno, "look at", at);
	if (S_ISSOCK(st.st_mode))
		return 0;
	return error_set(err, EEXIST, "not-a-socket", at->param,
			 "%.160s is %s: remove it, or take another path",
			 at->path,
			 S_ISLNK(st.st_mode) ? "a symbolic link"
					     : "there and no socket");
}

/* Connect to an open file. Doesn't wait. Returns 0 or -errno. */
static int dial_file(int fd, int file)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", file);
	return connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno
								       : 0;
}

/* ---- Bind ---- */

/* Nobody has this socket open? 0, or -errno with *err. */
static int check_stale(const struct unix_place *at, int file, struct error *err)
{
	int fd = unix_socket_new(SOCK_STREAM, err), r;

	if (fd < 0)
		return fd;
	r = dial_file(fd, file);
	close(fd);
	if (r == -ECONNREFUSED)
		return 0;
	/* It has no room for us, or is of another type: it is there. */
	if (r == 0 || r == -EAGAIN || r == -EPROTOTYPE)
		return error_set(err, EADDRINUSE, "in-use", at->param,
				 "somebody listens on %.160s already",
				 at->path);
	return unix_socket_cannot(err, -r, "see whether anybody listens on",
				  at);
}

/* Remove the socket that nobody listens on, or `own` (-1: there is none). */
static int clear_name(const struct unix_place *at, int dirfd, const char *name,
		      int own, struct error *err)
{
	int file = open_file(dirfd, name), r;

	if (file < 0)
		return file == -ENOENT
			       ? 0
			       : unix_socket_cannot(err, -file, "open", at);
	r = check_socket(at, file, err);
	if (r == 0 && (own < 0 || !is_named(own, dirfd, name)))
		r = check_stale(at, file, err);
	if (r == 0 && is_named(file, dirfd, name) &&
	    unlinkat(dirfd, name, 0) < 0)
		r = unix_socket_cannot(err, errno, "remove the stale socket",
				       at);
	close(file);
	return r;
}

static int find_owner(const struct unix_place *at, uint32_t *uid, uint32_t *gid,
		      struct error *err)
{
	*uid = *gid = ID_NONE;
	if (*at->owner && ids_find(at->owner, false, uid) < 0)
		return error_set(err, ENOENT, "no-such-user", "owner",
				 "there is no user \"%s\"", at->owner);
	if (*at->group && ids_find(at->group, true, gid) < 0)
		return error_set(err, ENOENT, "no-such-group", "group",
				 "there is no group \"%s\"", at->group);
	return 0;
}

/*
 * Whose it shall be. Nobody else gets in before. The mode comes first, as what
 * is another's can only be changed with more privilege.
 */
static int give_away(const struct unix_place *at, int file, uint32_t uid,
		     uint32_t gid, struct error *err)
{
	mode_t mode = *at->group ? MODE_GROUP : MODE_OWNER;
	char link[32];

	if (at->mode)
		mode = at->mode;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	if (chmod(link, mode) < 0)
		return unix_socket_cannot(err, errno, "set the mode of", at);
	if (uid == ID_NONE && gid == ID_NONE)
		return 0;
	if (fchownat(file, "", uid, gid, AT_EMPTY_PATH) == 0)
		return 0;
	return error_set(
		err, errno, "not-permitted", *at->owner ? "owner" : "group",
		"can't give %.100s away: %s%s", at->path, strerror(errno),
		privilege_hint(PRIVILEGE_CHOWN, errno));
}

/* Give the socket its name; *file is open then. */
static int bind_name(const struct unix_place *at, int fd, int dirfd,
		     const char *name, int *file, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s",
			 dirfd, name);
	struct stat st;

	if ((size_t)n >= sizeof(a.sun_path))
		return error_set(err, ENAMETOOLONG, "bad-path", at->param,
				 "\"%.80s..\" is too long for the name of a "
				 "socket (its folders don't matter)",
				 name);
	/* Linux has the file's mode from here, but for the umask. */
	if (fchmod(fd, MODE_OWNER) < 0)
		return unix_socket_cannot(err, errno, "set the mode of", at);
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == EADDRINUSE
			       ? error_set(err, EADDRINUSE, "in-use", at->param,
					   "somebody has made %.160s just now",
					   at->path)
			       : unix_socket_cannot(err, errno,
						    "make the socket", at);
	*file = open_file(dirfd, name);
	/* Who may write to the folder may have put something else there. */
	if (*file >= 0 && fstat(*file, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_uid == geteuid())
		return 0;
	if (*file >= 0)
		close(*file);
	return error_set(err, EAGAIN, "bad-path", at->param,
			 "%.160s has changed while it was made", at->path);
}

void unix_socket_unlink(const struct unix_socket *s, int folder,
			const char *name)
{
	if (is_named(s->file, folder, name) && unlinkat(folder, name, 0) < 0)
		log_warning("port", "can't remove the socket %s: %s", name,
			    strerror(errno));
}

int unix_socket_bind(const struct unix_place *at, int folder, const char *name,
		     int own, struct unix_socket *s, struct error *err)
{
	uint32_t uid, gid;
	int r = find_owner(at, &uid, &gid, err);

	if (r == 0)
		r = clear_name(at, folder, name, own, err);
	if (r < 0)
		return r;
	s->socket = unix_socket_new(at->type, err);
	if (s->socket < 0)
		return s->socket;
	r = bind_name(at, s->socket, folder, name, &s->file, err);
	if (r < 0) {
		close(s->socket);
		return r;
	}
	r = give_away(at, s->file, uid, gid, err);
	if (r == 0)
		return 0;
	unix_socket_unlink(s, folder, name);
	close(s->file);
	close(s->socket);
	return r;
}

/* ---- Connect ---- */

static int nobody(struct error *err, int error, const struct unix_place *at)
{
	return error_set(err, error, "nobody-there", at->param,
			 "nobody listens on %.160s", at->path);
}

bool unix_socket_is_nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN;
}

/* What connecting to the file has said. */
static int dialled(const struct unix_place *at, int r, struct error *err)
{
	if (unix_socket_is_nobody(r))
		return nobody(err, -r, at);
	/* A datagram socket that is connected to somebody else: it is to be
	 * tried again as if nobody were there. */
	if (r == -EPERM && at->type == SOCK_DGRAM)
		return nobody(err, EAGAIN, at);
	if (r == -EPROTOTYPE)
		return error_set(err, EPROTOTYPE, "not-a-socket", at->param,
				 "%.160s is a socket of another kind",
				 at->path);
	return r < 0 ? unix_socket_cannot(err, -r, "connect to", at) : 0;
}

int unix_socket_dial(const struct unix_place *at, int folder, const char *name,
		     int fd, struct error *err)
{
	int file = open_file(folder, name), r;

	if (file < 0)
		return file == -ENOENT
			       ? nobody(err, ENOENT, at)
			       : unix_socket_cannot(err, -file, "open", at);
	r = check_socket(at, file, err);
	if (r == 0)
		r = dialled(at, dial_file(fd, file), err);
	close(file);
	return r;
}
