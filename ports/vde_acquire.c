/* The half of `vde` and `uml` ports that may need privilege: our data socket,
 * and the way to the client's. */
#include "ports/vde.h"

#include "base/ids.h"
#include "base/rights.h"
#include "ports/socket_buffers.h"
#include "ports/unix_socket.h"
#include "ports/vde_request.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Where libvdeplug makes its client's socket if it can't beside ours. */
static const char *const client_folders[] = { "/run", "/var/run", "/tmp",
					      "/var/tmp" };

/* Names of our socket by one number: the last port's may not have gone yet. */
#define NAMES_MAX 8
#define NAME_SIZE sizeof("4294967295.4294967295")

/* Whoever isn't the client's user connects to nothing by it: see vde.h. */
#define MODE_ANYBODY 0666

static bool is_uml(const struct port_request *rq)
{
	return !strcmp(rq->type, "uml");
}

static int check_params(const struct port_request *rq, struct error *err)
{
	if (rq->mtu && (rq->mtu < PORT_MTU_MIN || rq->mtu > PORT_MTU_MAX))
		return error_set(err, EINVAL, "bad-value", "mtu",
				 "the MTU is from %d to %d", PORT_MTU_MIN,
				 PORT_MTU_MAX);
	if (is_uml(rq) == (rq->vde.folder[0] == '/'))
		return error_set(err, EINVAL, "bad-request", NULL,
				 "port %s has a folder only where it is a VDE "
				 "client's",
				 rq->name);
	return 0;
}

/* Who is at the other end of the control connection? */
static int client_user(int fd, uid_t *uid, struct error *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    len != sizeof(cred) || cred.uid == (uid_t)-1)
		return error_set(err, EINVAL, "bad-request", NULL,
				 "this is no connection of a VDE client");
	/* All of those are one in here: a socket can't be told to be his. */
	if (!ids_exist(false, cred.uid))
		return error_set(err, EPERM, "not-permitted", NULL,
				 "the client is of a user whom this user "
				 "namespace hasn't");
	*uid = cred.uid;
	return 0;
}

/* ---- The client's socket ---- */

/* The path is what a client has sent: it gets into events and logs. */
static int bad_address(struct error *err, int error, const char *path,
		       const char *why)
{
	char text[VDE_ADDRESS_LEN];

	snprintf(text, sizeof(text), "%s", path);
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return error_set(err, error, "bad-address", NULL,
			 "the client wants its frames at %s: %s", text, why);
}

/* Is it the folder's name, dir of n bytes? */
static bool is_folder(const char *folder, const char *dir, size_t n)
{
	return strlen(folder) == n && !memcmp(folder, dir, n);
}

/*
 * Open the folder that the client's path is in, if we look into it. `own` is
 * the listener's, open already (-1: it has none), which clients call by its
 * real name. Returns a descriptor, the caller's; -EACCES: it isn't one of
 * those.
 */
static int open_client_folder(const struct port_request *rq, int own,
			      const char *dir, size_t n)
{
	char link[32], real[PATH_MAX];
	ssize_t len;

	for (unsigned int i = 0;
	     i < sizeof(client_folders) / sizeof(client_folders[0]); i++) {
		int fd;

		if (!is_folder(client_folders[i], dir, n))
			continue;
		fd = open(client_folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	if (own < 0)
		return -EACCES;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", own);
	len = readlink(link, real, sizeof(real) - 1);
	real[len < 0 ? 0 : len] = '\0';
	if (!is_folder(rq->vde.folder, dir, n) && !is_folder(real, dir, n))
		return -EACCES;
	return fcntl(own, F_DUPFD_CLOEXEC, 0);
}

/* Is the open file a socket of this user's? What is wrong, or NULL. */
static const char *check_file(int file, uid_t uid)
{
	struct stat st;

	if (fstat(file, &st) < 0)
		return "it can't be looked at";
	if (!S_ISSOCK(st.st_mode))
		return "that is no socket";
	if (st.st_uid != uid)
		return "that isn't the client's";
	return NULL;
}

static int connect_to(int fd, const struct sockaddr_un *a)
{
	return connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? -errno
								       : 0;
}

/* By a path that has been taken apart: `name` in an open folder. */
static int dial_file(int fd, int folder, const char *name, uid_t uid,
		     const char *path, struct error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int file = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;
	const char *why;

	if (file < 0)
		return bad_address(err, errno, path, strerror(errno));
	why = check_file(file, uid);
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", file);
	r = why ? -EACCES : connect_to(fd, &a);
	close(file);
	return r < 0 ? bad_address(err, -r, path, why ? why : strerror(-r)) : 0;
}

static int dial_path(const struct port_request *rq, int fd, int own, uid_t uid,
		     struct error *err)
{
	char path[VDE_ADDRESS_LEN], *name;
	int folder, r;

	vde_address_path(rq->vde.peer, path);
	name = strrchr(path, '/');
	if (!name || !name[1])
		return bad_address(err, EINVAL, path, "that is no path");
	folder = open_client_folder(rq, own, path, (size_t)(name - path));
	if (folder == -EACCES)
		return bad_address(err, EACCES, path,
				   "not in the listener's folder, nor right in "
				   "/run, /tmp or /var/tmp");
	if (folder < 0)
		return bad_address(err, -folder, path, strerror(-folder));
	r = dial_file(fd, folder, name + 1, uid, path, err);
	close(folder);
	return r;
}

/* Connect our socket to the client's. */
static int dial_client(const struct port_request *rq, int fd, int own,
		       uid_t uid, struct error *err)
{
	struct sockaddr_un a;
	int r;

	if (!vde_address_abstract(rq->vde.peer))
		return dial_path(rq, fd, own, uid, err);
	/* All its bytes are its name, whatever they are. */
	memcpy(&a, rq->vde.peer, sizeof(a));
	r = connect_to(fd, &a);
	return r < 0 ? bad_address(err, -r, "an abstract address",
				   r == -ECONNREFUSED
					   ? "there is none of that name in "
					     "this network namespace"
					   : strerror(-r))
		     : 0;
}

/* ---- Our own ---- */

/* A name that nobody can have taken before us. */
static int bind_abstract(int fd, struct error *err)
{
	struct sockaddr_un a;
	char name[64] = "";
	uint64_t number;
	int n;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return error_set(err, EAGAIN, "no-descriptor", NULL,
				 "there are no random numbers");
	n = snprintf(name + 1, sizeof(name) - 1, "switchd/uml/%016llx",
		     (unsigned long long)number);
	if (vde_address_make((uint8_t *)&a, name, (size_t)n + 1) == 0 &&
	    bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	return error_set(err, errno, "no-descriptor", NULL,
			 "can't give the port's socket a name: %s",
			 strerror(errno));
}

static int acquire_uml(const struct port_request *rq, uid_t uid,
		       struct port_grant *grant, struct error *err)
{
	int fd = unix_socket_new(SOCK_DGRAM, err), r;

	if (fd < 0)
		return fd;
	r = dial_client(rq, fd, -1, uid, err);
	if (r == 0)
		r = bind_abstract(fd, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	grant->fd[VDE_GRANT_DATA] = fd;
	grant->nfds = VDE_GRANT_RUN_FDS;
	return 0;
}

/* The n-th name for it, "003" or "003.1"; in `path` as the client has to call
 * it. Returns the name in its folder. */
static const char *own_name(const struct port_request *rq, unsigned int n,
			    char *path, size_t size)
{
	char name[NAME_SIZE];

	if (n)
		snprintf(name, sizeof(name), "%03u.%u", rq->vde.number, n);
	else
		snprintf(name, sizeof(name), "%03u", rq->vde.number);
	snprintf(path, size, "%s/%s", rq->vde.folder, name);
	return path + strlen(rq->vde.folder) + 1;
}

/* A name in the folder for our socket. Nobody but ourselves gets in yet. */
static int bind_file(const struct port_request *rq, int folder,
		     struct unix_socket *s, struct error *err)
{
	char path[PORT_PATH_MAX + NAME_SIZE];
	const struct unix_place at = { .path = path,
				       .param = "listen",
				       .type = SOCK_DGRAM,
				       .owner = "",
				       .group = "" };
	int r = -EADDRINUSE;

	/* EEXIST: something else has the name. */
	for (unsigned int n = 0;
	     n < NAMES_MAX && (r == -EADDRINUSE || r == -EEXIST); n++) {
		const char *name = own_name(rq, n, path, sizeof(path));

		r = unix_socket_bind(&at, folder, name, -1, s, err);
	}
	return r;
}

/*
 * The client has to get at it. It is its user's, as libvdeplug may set its
 * mode; where we may not give it away, it is anybody's, who can't do anything
 * with it, as it's connected.
 */
static int give_away(int file, uid_t uid, struct error *err)
{
	char link[32];

	if (fchownat(file, "", uid, (gid_t)-1, AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	if (chmod(link, MODE_ANYBODY) == 0)
		return 0;
	return error_set(err, errno, "not-permitted", NULL,
			 "can't give the client its socket: %s",
			 strerror(errno));
}

static void remove_file(const struct unix_socket *s, int folder)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(own) - 1;
	const char *name;

	if (getsockname(s->socket, (struct sockaddr *)&own, &len) < 0)
		return;
	name = strrchr(own.sun_path, '/');
	if (name)
		unix_socket_unlink(s, folder, name + 1);
}

/* The listener's folder, open. */
static int open_own_folder(const struct port_request *rq, struct error *err)
{
	char path[PORT_PATH_MAX + NAME_SIZE];
	const struct unix_place at = { .path = path, .param = "listen" };
	const char *name = own_name(rq, NAMES_MAX, path, sizeof(path));

	/* It is told to the client with all its folders. */
	if (strlen(path) >= VDE_ADDRESS_LEN - sizeof(sa_family_t))
		return error_set(err, ENAMETOOLONG, "bad-path", "listen",
				 "the folder's path is too long for sockets in "
				 "it");
	return unix_socket_folder(&at, name, err);
}

static int acquire_vde(const struct port_request *rq, uid_t uid,
		       struct port_grant *grant, struct error *err)
{
	int folder = open_own_folder(rq, err), r;
	struct unix_socket s;

	if (folder < 0)
		return folder;
	r = bind_file(rq, folder, &s, err);
	if (r < 0) {
		close(folder);
		return r;
	}
	r = dial_client(rq, s.socket, folder, uid, err);
	if (r == 0)
		r = give_away(s.file, uid, err);
	if (r < 0) {
		remove_file(&s, folder);
		close(s.socket);
		close(s.file);
		close(folder);
		return r;
	}
	grant->fd[VDE_GRANT_DATA] = s.socket;
	grant->fd[VDE_GRANT_FOLDER] = folder;
	grant->fd[VDE_GRANT_FILE] = s.file;
	grant->nfds = VDE_GRANT_FDS;
	return 0;
}

/* ---- As port.h has it ---- */

int vde_acquire(const struct port_request *rq, struct port_grant *grant,
		struct error *err)
{
	int control = rq->given && grant->nfds == 1 ? grant->fd[0] : -1;
	struct error said = { .err = 0 };
	uid_t uid = 0;
	int r = check_params(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0)
		r = client_user(control, &uid, &said);
	if (r == 0)
		r = is_uml(rq) ? acquire_uml(rq, uid, grant, &said)
			       : acquire_vde(rq, uid, grant, &said);
	if (r < 0) {
		if (err)
			*err = said;
		return r;
	}
	socket_buffers_grow(grant->fd[VDE_GRANT_DATA]);
	rights_refuse(control);
	grant->fd[VDE_GRANT_CONTROL] = control;
	return vde_adjust(rq, grant, err);
}

int vde_adjust(const struct port_request *rq, struct port_grant *grant,
	       struct error *err)
{
	int r = check_params(rq, err);

	if (r == 0)
		port_grant_as_asked(rq, grant);
	return r;
}

void vde_release(const struct port_request *rq, struct port_grant *grant)
{
	(void)rq;
	if (grant->nfds == VDE_GRANT_FDS) {
		const struct unix_socket s = { grant->fd[VDE_GRANT_DATA],
					       grant->fd[VDE_GRANT_FILE] };

		remove_file(&s, grant->fd[VDE_GRANT_FOLDER]);
	}
	port_grant_close(grant);
}
