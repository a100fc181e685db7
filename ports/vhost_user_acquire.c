/*
 * The half of `vhost-user` ports that may need privilege: sockets by their
 * paths.
 *
 * A folder is opened once, and all that happens, happens within it, by
 * /proc/self/fd: so it is the folder that was looked at, whatever its name
 * leads to by now. In the same way a socket's file, once it is open, is that
 * file. Neither is ever reached through a symbolic link in its last place.
 */
#include "ports/vhost_user.h"

#include "base/fds.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/memfd.h"
#include "ports/capfile.h"
#include "ports/vhost_state.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG	    8	 /* there is one front end at a time, and probes */
#define MTU_DEFAULT 1500 /* a bridge's; nobody says what the guest has */
#define MODE_OWNER  0600
#define MODE_GROUP  0660
#define ID_NONE	    UINT32_MAX /* chown(2): leave it */

/* A listening socket and its file (O_PATH), whose inode isn't another's as long
 * as it is open. */
struct listener {
	int socket, file;
};

/* ---- Paths ---- */

static int cannot(struct error *err, int error, const char *what,
		  const char *path)
{
	const char *reason = error == EACCES || error == EPERM ? "not-permitted"
							       : "bad-path";

	return error_set(err, error, reason, "path", "can't %s %.160s: %s",
			 what, path, strerror(error));
}

/* The name in its folder, or NULL with *err. */
static const char *check_path(const char *path, struct error *err)
{
	const char *name = capfile_name(path);
	const char *p = path;

	while (*p && !iscntrl((unsigned char)*p))
		p++;
	if (name && !*p)
		return name;
	error_set(err, EINVAL, "bad-path", "path",
		  name ? "the path has control characters"
		       : "the path isn't one of a file, from / on");
	return NULL;
}

static int open_folder(const char *path, const char *name, struct error *err)
{
	char folder[PORT_PATH_MAX];
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path), path);
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENOTDIR)
		return error_set(err, errno, "no-folder", "path",
				 "there is no folder %.160s: make it first",
				 folder);
	return cannot(err, errno, "open the folder", folder);
}

static int open_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int make_socket(struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? error_set(err, errno, "no-descriptor", NULL,
				  "can't make a socket: %s", strerror(errno))
		      : fd;
}

/* Is the open file the one that has this name? */
static bool is_named(int file, int dirfd, const char *name)
{
	struct stat st, named;

	return fstat(file, &st) == 0 &&
	       fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}

static int check_socket(int file, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(file, &st) < 0)
		return cannot(err, errno, "look at", path);
	if (S_ISSOCK(st.st_mode))
		return 0;
	return error_set(err, EEXIST, "not-a-socket", "path",
			 "%.160s is %s: remove it, or take another path", path,
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

/* ---- role=server ---- */

/* Nobody answers at this socket? 0, or -errno with *err. */
static int check_stale(int file, const char *path, struct error *err)
{
	int fd = make_socket(err), r;

	if (fd < 0)
		return fd;
	r = dial_file(fd, file);
	close(fd);
	if (r == -ECONNREFUSED)
		return 0;
	/* It has no room for us, or speaks in datagrams: it is there. */
	if (r == 0 || r == -EAGAIN || r == -EPROTOTYPE)
		return error_set(err, EADDRINUSE, "in-use", "path",
				 "somebody listens on %.160s already", path);
	return cannot(err, -r, "see whether anybody listens on", path);
}

/* Remove the socket that nobody listens on, or `own` (-1: there is none). */
static int clear_name(const char *path, int dirfd, const char *name, int own,
		      struct error *err)
{
	int file = open_file(dirfd, name), r;

	if (file < 0)
		return file == -ENOENT ? 0 : cannot(err, -file, "open", path);
	r = check_socket(file, path, err);
	if (r == 0 && (own < 0 || !is_named(own, dirfd, name)))
		r = check_stale(file, path, err);
	if (r == 0 && is_named(file, dirfd, name) &&
	    unlinkat(dirfd, name, 0) < 0)
		r = cannot(err, errno, "remove the stale socket", path);
	close(file);
	return r;
}

static int find_owner(const struct vhost_user_params *p, uint32_t *uid,
		      uint32_t *gid, struct error *err)
{
	*uid = *gid = ID_NONE;
	if (*p->owner && ids_find(p->owner, false, uid) < 0)
		return error_set(err, ENOENT, "no-such-user", "owner",
				 "there is no user \"%s\"", p->owner);
	if (*p->group && ids_find(p->group, true, gid) < 0)
		return error_set(err, ENOENT, "no-such-group", "group",
				 "there is no group \"%s\"", p->group);
	return 0;
}

/*
 * Whose it shall be. Nobody gets in before listen(). The mode comes first, as
 * what is another's can only be changed with more privilege.
 */
static int give_away(const struct vhost_user_params *p, int file, uint32_t uid,
		     uint32_t gid, struct error *err)
{
	mode_t mode = *p->group ? MODE_GROUP : MODE_OWNER;
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	if (chmod(link, mode) < 0)
		return cannot(err, errno, "set the mode of", p->path);
	if (uid == ID_NONE && gid == ID_NONE)
		return 0;
	if (fchownat(file, "", uid, gid, AT_EMPTY_PATH) == 0)
		return 0;
	return error_set(
		err, errno, "not-permitted", *p->owner ? "owner" : "group",
		"can't give %.160s away: %s", p->path, strerror(errno));
}

/* Give the socket its name; *file is open then. */
static int bind_name(int fd, const char *path, int dirfd, const char *name,
		     int *file, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s",
			 dirfd, name);
	struct stat st;

	*file = -1;
	if ((size_t)n >= sizeof(a.sun_path))
		return error_set(err, ENAMETOOLONG, "bad-path", "path",
				 "\"%.80s..\" is too long for the name of a "
				 "socket (its folders don't matter)",
				 name);
	/* Linux has the file's mode from here, but for the umask. */
	if (fchmod(fd, MODE_OWNER) < 0)
		return cannot(err, errno, "set the mode of", path);
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == EADDRINUSE
			       ? error_set(err, EADDRINUSE, "in-use", "path",
					   "somebody has made %.160s just now",
					   path)
			       : cannot(err, errno, "make the socket", path);
	*file = open_file(dirfd, name);
	/* Who may write to the folder may have put something else there. */
	if (*file >= 0 && fstat(*file, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_uid == geteuid())
		return 0;
	if (*file >= 0)
		close(*file);
	return error_set(err, EAGAIN, "bad-path", "path",
			 "%.160s has changed while it was made", path);
}

static void remove_file(const struct listener *l, int dirfd, const char *name)
{
	if (is_named(l->file, dirfd, name) && unlinkat(dirfd, name, 0) < 0)
		log_warning("port", "can't remove the socket %s: %s", name,
			    strerror(errno));
}

/* own: the file of the socket that this one replaces, or -1. */
static int listen_anew(const struct vhost_user_params *p, int dirfd,
		       const char *name, int own, struct listener *l,
		       struct error *err)
{
	uint32_t uid, gid;
	int r = find_owner(p, &uid, &gid, err);

	if (r == 0)
		r = clear_name(p->path, dirfd, name, own, err);
	if (r < 0)
		return r;
	l->socket = make_socket(err);
	if (l->socket < 0)
		return l->socket;
	r = bind_name(l->socket, p->path, dirfd, name, &l->file, err);
	if (r < 0) {
		close(l->socket);
		return r;
	}
	r = give_away(p, l->file, uid, gid, err);
	if (r == 0 && listen(l->socket, BACKLOG) < 0)
		r = cannot(err, errno, "listen on", p->path);
	if (r == 0)
		return 0;
	remove_file(l, dirfd, name);
	close(l->file);
	close(l->socket);
	return r;
}

/* ---- role=client ---- */

static int nobody(struct error *err, int error, const char *path)
{
	return error_set(err, error, "nobody-there", "path",
			 "nobody listens on %.160s", path);
}

/* Is that what dial() says where there just isn't anybody yet? */
static bool is_nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -EAGAIN;
}

static int dial_name(int fd, const char *path, int dirfd, const char *name,
		     struct error *err)
{
	int file = open_file(dirfd, name), r;

	if (file < 0)
		return file == -ENOENT ? nobody(err, ENOENT, path)
				       : cannot(err, -file, "open", path);
	r = check_socket(file, path, err);
	if (r == 0) {
		r = dial_file(fd, file);
		if (is_nobody(r))
			r = nobody(err, -r, path);
		else if (r == -EPROTOTYPE)
			r = error_set(err, EPROTOTYPE, "not-a-socket", "path",
				      "%.160s is a socket of another kind",
				      path);
		else if (r < 0)
			r = cannot(err, -r, "connect to", path);
	}
	close(file);
	return r;
}

/*
 * Connect. *fd is a socket, connected where 0 is returned, and not where
 * is_nobody() knows what is; else there is none.
 */
static int dial(const char *path, int dirfd, const char *name, int *fd,
		struct error *err)
{
	int r;

	*fd = make_socket(err);
	if (*fd < 0)
		return *fd;
	r = dial_name(*fd, path, dirfd, name, err);
	if (r < 0 && !is_nobody(r))
		close(*fd);
	return r;
}

/* ---- Acquire ---- */

static unsigned int grant_fds(const struct vhost_user_params *p)
{
	return p->client ? VHOST_GRANT_FILE : VHOST_GRANT_FILE + 1;
}

static int check_params(const struct port_request *rq, struct error *err)
{
	const struct vhost_user_params *p = &rq->vhost_user;

	if (rq->mtu && (rq->mtu < PORT_MTU_MIN || rq->mtu > PORT_MTU_MAX))
		return error_set(err, EINVAL, "bad-value", "mtu",
				 "the MTU is from %d to %d", PORT_MTU_MIN,
				 PORT_MTU_MAX);
	if (p->queues > VHOST_QUEUES_MAX)
		return error_set(err, EINVAL, "bad-value", "queues",
				 "there are %d pairs of queues at most",
				 VHOST_QUEUES_MAX);
	if (p->client && (*p->owner || *p->group))
		return error_set(err, EINVAL, "bad-value",
				 *p->owner ? "owner" : "group",
				 "who connects doesn't own the socket");
	return 0;
}

/* Memory in which nobody is connected. */
static int make_state(struct error *err)
{
	int fd = memfd_new("vhost-user", VHOST_STATE_SIZE);
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, VHOST_STATE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		error_set(err, fd < 0 ? -fd : errno, "no-memory", NULL,
			  "no memory for what outlives the process");
		if (fd >= 0)
			close(fd);
		return -err->err;
	}
	vhost_state_init(p);
	munmap(p, VHOST_STATE_SIZE);
	return fd;
}

static int fill_grant(const struct port_request *rq, struct port_grant *grant,
		      const char *name, struct error *err)
{
	const struct vhost_user_params *p = &rq->vhost_user;
	int folder = grant->fd[VHOST_GRANT_FOLDER], r;
	struct listener l = { -1, -1 };

	if (p->client) {
		r = dial(p->path, folder, name, &l.socket, err);
		if (is_nobody(r))
			r = 0;
	} else {
		r = listen_anew(p, folder, name, -1, &l, err);
	}
	if (r < 0)
		return r;
	grant->fd[VHOST_GRANT_SOCKET] = l.socket;
	grant->fd[VHOST_GRANT_FILE] = l.file;
	grant->nfds = grant_fds(p);
	grant->mtu = rq->mtu ? rq->mtu : MTU_DEFAULT;
	grant->carrier = rq->enabled;
	return 0;
}

int vhost_user_acquire(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	struct error said = { .err = 0 };
	const char *path = rq->vhost_user.path, *name = NULL;
	int folder = -1, state = -1, r = check_params(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0) {
		name = check_path(path, &said);
		r = name ? 0 : -said.err;
	}
	if (r == 0)
		r = folder = open_folder(path, name, &said);
	if (r >= 0)
		r = state = make_state(&said);
	if (r >= 0) {
		grant->fd[VHOST_GRANT_STATE] = state;
		grant->fd[VHOST_GRANT_FOLDER] = folder;
		r = fill_grant(rq, grant, name, &said);
	}
	if (r == 0)
		return 0;
	if (state >= 0)
		close(state);
	if (folder >= 0)
		close(folder);
	if (err)
		*err = said;
	return r;
}

int vhost_user_adjust(const struct port_request *rq, struct port_grant *grant,
		      struct error *err)
{
	int r = check_params(rq, err);

	if (r < 0)
		return r;
	grant->mtu = rq->mtu ? rq->mtu : MTU_DEFAULT;
	grant->carrier = rq->enabled;
	return 0;
}

/* ---- Renew ---- */

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

/*
 * Who made the folder may have removed it and made it again. It is the same
 * one then if it is in the same place; one that the path leads to only now
 * isn't, for nobody has looked whether we may go there.
 */
static void open_folder_again(const struct port_request *rq,
			      struct port_grant *grant, const char *name)
{
	int *own = &grant->fd[VHOST_GRANT_FOLDER];
	int now = open_folder(rq->vhost_user.path, name, NULL);
	char was[PATH_MAX], is[PATH_MAX];

	if (now < 0)
		return;
	if (folder_name(*own, was, sizeof(was)) &&
	    folder_name(now, is, sizeof(is)) && !strcmp(was, is))
		(void)dup3(now, *own, O_CLOEXEC);
	close(now);
}

/* Its number stays. */
static int replace(struct port_grant *grant, unsigned int i, int fd,
		   struct error *err)
{
	/* Whoever waits in it has sent what they liked. */
	int old = fcntl(grant->fd[i], F_DUPFD_CLOEXEC, 0);
	int r = old < 0 || dup3(fd, grant->fd[i], O_CLOEXEC) < 0 ? -errno : 0;

	if (old >= 0)
		(void)fds_discard(&old, 1);
	close(fd);
	return r < 0 ? error_set(err, -r, "no-descriptor", NULL,
				 "can't replace a descriptor: %s", strerror(-r))
		     : 0;
}

static int connect_again(const struct port_request *rq,
			 struct port_grant *grant, const char *name,
			 struct error *err)
{
	int fd, r = dial(rq->vhost_user.path, grant->fd[VHOST_GRANT_FOLDER],
			 name, &fd, err);

	if (r == 0)
		return replace(grant, VHOST_GRANT_SOCKET, fd, err);
	if (is_nobody(r))
		close(fd);
	return r;
}

/* As somebody has removed the file, or shut our socket down. */
static int listen_again(const struct port_request *rq, struct port_grant *grant,
			const char *name, struct error *err)
{
	struct listener l;
	int r = listen_anew(&rq->vhost_user, grant->fd[VHOST_GRANT_FOLDER],
			    name, grant->fd[VHOST_GRANT_FILE], &l, err);

	if (r < 0)
		return r;
	r = replace(grant, VHOST_GRANT_FILE, l.file, err);
	if (r == 0)
		return replace(grant, VHOST_GRANT_SOCKET, l.socket, err);
	close(l.socket);
	return r;
}

int vhost_user_renew(const struct port_request *rq, struct port_grant *grant,
		     struct error *err)
{
	const struct vhost_user_params *p = &rq->vhost_user;
	const char *name = check_path(p->path, err);

	if (!name)
		return -EINVAL;
	if (grant->nfds != grant_fds(p))
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s has no socket of its own", rq->name);
	open_folder_again(rq, grant, name);
	return p->client ? connect_again(rq, grant, name, err)
			 : listen_again(rq, grant, name, err);
}

void vhost_user_release(const struct port_request *rq, struct port_grant *grant)
{
	const char *name = capfile_name(rq->vhost_user.path);

	if (name && grant->nfds > VHOST_GRANT_FILE) {
		const struct listener l = {
			.socket = grant->fd[VHOST_GRANT_SOCKET],
			.file = grant->fd[VHOST_GRANT_FILE],
		};

		remove_file(&l, grant->fd[VHOST_GRANT_FOLDER], name);
	}
	/* Somebody may wait in the socket, and have sent what they liked. */
	if (grant->nfds)
		(void)fds_discard(&grant->fd[VHOST_GRANT_SOCKET], 1);
	for (unsigned int i = VHOST_GRANT_SOCKET + 1; i < grant->nfds; i++)
		close(grant->fd[i]);
	grant->nfds = 0;
}
