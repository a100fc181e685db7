#include "ports/listen.h"

#include "base/ids.h"
#include "base/log.h"
#include "base/rights.h"
#include "ports/ip_address.h"
#include "ports/privilege.h"
#include "ports/unix_socket.h"
#include "ports/vde.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 128
/* What a VDE client needs there: it makes a socket of its own beside ours. */
#define FOLDER_OWNER  0700
#define FOLDER_GROUP  0070
#define FOLDER_OTHERS (0007 | S_ISVTX) /* none takes another's away */
#define ID_NONE	      UINT32_MAX       /* chown(2): leave it */
#define SOCKETS_MAX   65536	       /* looked at in a folder that goes */

const char *const listen_kinds[] = { "stream", "seqpacket", "vde", "uml",
				     NULL };

static const struct listen_ops ops_stream = {
	.name = "stream",
	.kind = LISTEN_STREAM,
	.socket_type = SOCK_STREAM,
	.inet = true,
};

static const struct listen_ops ops_seqpacket = {
	.name = "seqpacket",
	.kind = LISTEN_SEQPACKET,
	.socket_type = SOCK_SEQPACKET,
};

static const struct listen_ops ops_vde = {
	.name = "vde",
	.kind = LISTEN_VDE,
	.socket_type = SOCK_STREAM,
	.parse = vde_parse,
	.answer = vde_answer,
};

static const struct listen_ops ops_uml = {
	.name = "uml",
	.kind = LISTEN_UML,
	.socket_type = SOCK_STREAM,
	.parse = vde_parse,
	.answer = vde_answer,
};

static const struct listen_ops *const kinds[] = {
	&ops_stream,
	&ops_seqpacket,
	&ops_vde,
	&ops_uml,
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct listen_ops *listen_ops_find(const char *name)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

const struct listen_ops *listen_ops_of(uint32_t kind)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (kinds[i]->kind == kind)
			return kinds[i];
	return NULL;
}

/* ---- What is given ---- */

static int option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

bool listen_given_fit(const char *type, const int *fd, unsigned int n)
{
	const struct listen_ops *ops = listen_ops_find(type);
	int domain;

	if (!ops || n != 1 || option(fd[0], SO_TYPE) != ops->socket_type ||
	    option(fd[0], SO_ACCEPTCONN) != 0)
		return false;
	domain = option(fd[0], SO_DOMAIN);
	if (domain == AF_UNIX)
		return true;
	return ops->inet && (domain == AF_INET || domain == AF_INET6) &&
	       option(fd[0], SO_PROTOCOL) == IPPROTO_TCP;
}

/* ---- Addresses ---- */

/* A listener's place in the file system, whose path is in buf. */
struct where {
	struct unix_place at;
	char path[PORT_PATH_MAX + sizeof("/" LISTEN_CTL)];
};

static bool is_inet(const struct port_request *rq)
{
	const struct listen_ops *ops = listen_ops_of(rq->listen.kind);

	return ops && ops->inet && rq->listen.address[0] != '/';
}

static void find(const struct port_request *rq, struct where *w)
{
	const struct listen_params *p = &rq->listen;
	bool folder = p->kind == LISTEN_VDE;

	*w = (struct where){ .at = { .path = w->path,
				     .param = "listen",
				     .type = p->kind == LISTEN_SEQPACKET
						     ? SOCK_SEQPACKET
						     : SOCK_STREAM,
				     .owner = p->owner,
				     .group = p->group,
				     .mode = rq->socket_mode } };
	snprintf(w->path, sizeof(w->path), "%s%s", p->address,
		 folder ? "/" LISTEN_CTL : "");
}

static int check_inet(const struct port_request *rq, struct error *err)
{
	const struct listen_params *p = &rq->listen;
	struct ip_address a;

	if (ip_address_parse(p->address, &a) < 0)
		return error_set(err, EINVAL, "bad-value", "listen",
				 "\"%.80s\" is neither an absolute path nor an "
				 "address with a port, such as 127.0.0.1:4444 "
				 "or [::1]:4444",
				 p->address);
	if (!*p->owner && !*p->group && !rq->socket_mode)
		return 0;
	return error_set(err, EINVAL, "not-for-type",
			 *p->owner   ? "owner"
			 : *p->group ? "group"
				     : "socket-mode",
			 "an address belongs to nobody: owner, group and "
			 "socket-mode are for paths");
}

int listen_check(const struct port_request *rq, struct error *err)
{
	const char *path = rq->listen.address;
	size_t len = strlen(path);
	struct where w;

	if (!listen_ops_of(rq->listen.kind))
		return error_set(err, EINVAL, "bad-value", "type",
				 "there is no such kind of listener");
	if (is_inet(rq))
		return check_inet(rq, err);
	if (*path != '/')
		return error_set(err, EINVAL, "bad-value", "listen",
				 "listen=/PATH is an absolute path");
	if (rq->listen.kind == LISTEN_VDE && path[len - 1] == '/')
		return error_set(err, EINVAL, "bad-value", "listen",
				 "a folder is written without a / at its end");
	if (rq->listen.kind == LISTEN_VDE && len > VDE_FOLDER_MAX)
		return error_set(err, EINVAL, "bad-path", "listen",
				 "a folder's path has %d bytes at most, so "
				 "that clients can name the sockets in it",
				 VDE_FOLDER_MAX);
	find(rq, &w);
	return unix_socket_name(&w.at, err) ? 0 : -EINVAL;
}

/* ---- TCP ---- */

static int set(int fd, int level, int name)
{
	int on = 1;

	return setsockopt(fd, level, name, &on, sizeof(on));
}

static int cannot_listen(const char *address, int error, struct error *err)
{
	const char *reason = "bad-address";

	if (error == EADDRINUSE)
		reason = "in-use";
	else if (error == EACCES || error == EPERM)
		reason = "not-permitted";
	return error_set(err, error, reason, "listen",
			 "can't listen on %s: %s%s", address, strerror(error),
			 privilege_hint(PRIVILEGE_LOW_PORT, error));
}

/* Connections inherit the options: whoever accepts them may not set any. */
static int acquire_inet(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	struct ip_address a;
	int fd, error;

	if (ip_address_parse(rq->listen.address, &a) < 0)
		return check_inet(rq, err);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    IPPROTO_TCP);
	if (fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "can't make a socket: %s", strerror(errno));
	if (set(fd, SOL_SOCKET, SO_REUSEADDR) == 0 &&
	    set(fd, SOL_SOCKET, SO_KEEPALIVE) == 0 &&
	    set(fd, IPPROTO_TCP, TCP_NODELAY) == 0 &&
	    (a.sa.sa_family != AF_INET6 ||
	     set(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0) &&
	    bind(fd, &a.sa, a.len) == 0 && listen(fd, BACKLOG) == 0) {
		grant->fd[LISTEN_GRANT_SOCKET] = fd;
		grant->nfds = LISTEN_GRANT_RUN_FDS;
		return 0;
	}
	error = errno;
	close(fd);
	return cannot_listen(rq->listen.address, error, err);
}

/* ---- A VDE folder ---- */

static int find_owner(const struct listen_params *p, uint32_t *uid,
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

/* All for those who may connect, which takes writing to the socket. What is
 * made there is the group's. */
static mode_t folder_mode(const struct port_request *rq)
{
	mode_t may = rq->socket_mode, mode = FOLDER_OWNER;
	bool group = *rq->listen.group != '\0';

	if (may ? (may & S_IWGRP) != 0 : group)
		mode |= FOLDER_GROUP;
	if (may & S_IWOTH)
		mode |= FOLDER_OTHERS;
	return group ? mode | S_ISGID : mode;
}

/* Of one that was just made, and is nobody's yet. */
static int give_folder(const struct port_request *rq, int parent,
		       const char *name, const struct unix_place *at,
		       struct error *err)
{
	const struct listen_params *p = &rq->listen;
	uint32_t uid, gid;
	int fd, r = find_owner(p, &uid, &gid, err);

	if (r < 0)
		return r;
	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return unix_socket_cannot(err, errno, "open", at);
	if ((uid != ID_NONE || gid != ID_NONE) && fchown(fd, uid, gid) < 0)
		r = error_set(err, errno, "not-permitted",
			      *p->owner ? "owner" : "group",
			      "can't give %.100s away: %s%s", p->address,
			      strerror(errno),
			      privilege_hint(PRIVILEGE_CHOWN, errno));
	/* Behind it, since chown may take the set-group-ID bit. */
	else if (fchmod(fd, folder_mode(rq)) < 0)
		r = unix_socket_cannot(err, errno, "set the mode of", at);
	close(fd);
	return r;
}

/* Make it where it isn't there; grant->undo.existed says so. The folder that
 * it is in stays open, to remove it there. */
static int make_folder(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	const struct unix_place at = { .path = rq->listen.address,
				       .param = "listen" };
	const char *name = unix_socket_name(&at, err);
	int parent, r = 0;

	if (!name)
		return -EINVAL;
	parent = unix_socket_folder(&at, name, err);
	if (parent < 0)
		return parent;
	grant->undo.existed = mkdirat(parent, name, FOLDER_OWNER) < 0;
	if (grant->undo.existed && errno != EEXIST)
		r = unix_socket_cannot(err, errno, "make the folder", &at);
	else if (!grant->undo.existed)
		r = give_folder(rq, parent, name, &at, err);
	if (r < 0) {
		if (!grant->undo.existed)
			(void)unlinkat(parent, name, AT_REMOVEDIR);
		close(parent);
		return r;
	}
	grant->fd[LISTEN_GRANT_PARENT] = parent;
	return 0;
}

/* What its ports have there, which are leaving, and what clients have left:
 * nobody looks those up any more. */
static void remove_sockets(int folder)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d && fd >= 0)
		close(fd);
	for (int n = 0; d && n < SOCKETS_MAX && (e = readdir(d)); n++)
		if (fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISSOCK(st.st_mode))
			(void)unlinkat(folder, e->d_name, 0);
	if (d)
		closedir(d);
}

/* If it's still ours, and nothing but sockets is in it. */
static void remove_folder(const struct port_request *rq, int parent, int folder)
{
	const char *name = strrchr(rq->listen.address, '/') + 1;
	struct stat st, named;

	if (fstat(folder, &st) < 0 ||
	    fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_dev != named.st_dev || st.st_ino != named.st_ino)
		return;
	remove_sockets(folder);
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
		log_warning("listener", "can't remove the folder %s: %s",
			    rq->listen.address, strerror(errno));
}

/* ---- A path ---- */

static int listen_at(const struct where *w, int folder, const char *name,
		     int own, struct unix_socket *s, struct error *err)
{
	int r = unix_socket_bind(&w->at, folder, name, own, s, err);

	if (r < 0)
		return r;
	rights_refuse(s->socket); /* and its connections */
	if (listen(s->socket, BACKLOG) == 0)
		return 0;
	r = unix_socket_cannot(err, errno, "listen on", &w->at);
	unix_socket_unlink(s, folder, name);
	close(s->socket);
	close(s->file);
	return r;
}

static int acquire_path(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	struct unix_socket s;
	struct where w;
	const char *name;
	int folder, r;

	find(rq, &w);
	name = unix_socket_name(&w.at, err);
	folder = name ? unix_socket_folder(&w.at, name, err) : -EINVAL;
	if (folder < 0)
		return folder;
	r = listen_at(&w, folder, name, -1, &s, err);
	if (r < 0) {
		close(folder);
		return r;
	}
	grant->fd[LISTEN_GRANT_SOCKET] = s.socket;
	grant->fd[LISTEN_GRANT_FOLDER] = folder;
	grant->fd[LISTEN_GRANT_FILE] = s.file;
	grant->nfds = LISTEN_GRANT_PARENT;
	return 0;
}

static int acquire_vde(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	int folder, parent, r = make_folder(rq, grant, err);

	if (r < 0)
		return r;
	parent = grant->fd[LISTEN_GRANT_PARENT];
	r = acquire_path(rq, grant, err);
	if (r == 0) {
		grant->nfds = LISTEN_GRANT_FDS;
		return 0;
	}
	folder = openat(parent, strrchr(rq->listen.address, '/') + 1,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder >= 0 && !grant->undo.existed)
		remove_folder(rq, parent, folder);
	if (folder >= 0)
		close(folder);
	close(parent);
	return r;
}

/* ---- As port.h has it ---- */

static int listen_acquire(const struct port_request *rq,
			  struct port_grant *grant, struct error *err)
{
	struct error said = { .err = 0 };
	int r = listen_check(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0 && is_inet(rq))
		r = acquire_inet(rq, grant, &said);
	else if (r == 0 && rq->listen.kind == LISTEN_VDE)
		r = acquire_vde(rq, grant, &said);
	else if (r == 0)
		r = acquire_path(rq, grant, &said);
	if (r < 0) {
		grant->nfds = 0;
		if (err)
			*err = said;
		return r;
	}
	grant->carrier = true;
	return 0;
}

static int listen_adjust(const struct port_request *rq,
			 struct port_grant *grant, struct error *err)
{
	(void)grant;
	return error_set(err, EINVAL, "bad-request", NULL,
			 "listener %s has nothing to adjust", rq->name);
}

/* Its number stays. */
static int replace(struct port_grant *grant, unsigned int i, int fd)
{
	int was = fcntl(grant->fd[i], F_DUPFD_CLOEXEC, 0);
	int r = dup3(fd, grant->fd[i], O_CLOEXEC) < 0 ? -errno : 0;

	if (was >= 0)
		rights_close(was);
	close(fd);
	return r;
}

/* As somebody has shut it down. A TCP socket can just listen again. */
static int listen_renew(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	int *fd = grant->fd, r;
	struct unix_socket s;
	const char *name;
	struct where w;

	if (is_inet(rq))
		return listen(fd[LISTEN_GRANT_SOCKET], BACKLOG) == 0
			       ? 0
			       : cannot_listen(rq->listen.address, errno, err);
	find(rq, &w);
	name = unix_socket_name(&w.at, err);
	if (!name || grant->nfds < LISTEN_GRANT_PARENT)
		return -EINVAL;
	unix_socket_folder_again(&w.at, name, fd[LISTEN_GRANT_FOLDER]);
	r = listen_at(&w, fd[LISTEN_GRANT_FOLDER], name, fd[LISTEN_GRANT_FILE],
		      &s, err);
	if (r < 0)
		return r;
	r = replace(grant, LISTEN_GRANT_FILE, s.file);
	if (r < 0)
		close(s.socket);
	else
		r = replace(grant, LISTEN_GRANT_SOCKET, s.socket);
	return r < 0 ? error_set(err, -r, "no-descriptor", NULL,
				 "can't replace a descriptor: %s", strerror(-r))
		     : 0;
}

static void listen_release(const struct port_request *rq,
			   struct port_grant *grant)
{
	const int *fd = grant->fd;

	if (grant->nfds >= LISTEN_GRANT_PARENT) {
		const struct unix_socket s = { fd[LISTEN_GRANT_SOCKET],
					       fd[LISTEN_GRANT_FILE] };
		struct where w;

		find(rq, &w);
		unix_socket_unlink(&s, fd[LISTEN_GRANT_FOLDER],
				   strrchr(w.path, '/') + 1);
	}
	if (grant->nfds >= LISTEN_GRANT_FDS && !grant->undo.existed)
		remove_folder(rq, fd[LISTEN_GRANT_PARENT],
			      fd[LISTEN_GRANT_FOLDER]);
	port_grant_close(grant);
}

const struct port_ops port_ops_listen = {
	.type = "listen",
	.run_fds = LISTEN_GRANT_RUN_FDS,
	.acquire = listen_acquire,
	.adjust = listen_adjust,
	.renew = listen_renew,
	.release = listen_release,
};
