/* The half of `vhost-user` ports that may need privilege: sockets by their
 * paths (unix_socket.h). */
#include "ports/vhost_user.h"

#include "base/fds.h"
#include "base/memfd.h"
#include "ports/capfile.h"
#include "ports/unix_socket.h"
#include "ports/vhost_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 8 /* there is one front end at a time, and probes */

static struct unix_place place(const struct port_request *rq)
{
	const struct vhost_user_params *p = &rq->vhost_user;

	return (struct unix_place){
		.path = p->path,
		.param = "path",
		.type = SOCK_STREAM,
		.owner = p->owner,
		.group = p->group,
		.mode = rq->socket_mode,
	};
}

/* ---- role=server ---- */

/* own: the file of the socket that this one replaces, or -1. */
static int listen_anew(const struct unix_place *at, int dirfd, const char *name,
		       int own, struct unix_socket *l, struct error *err)
{
	int r = unix_socket_bind(at, dirfd, name, own, l, err);

	if (r < 0 || listen(l->socket, BACKLOG) == 0)
		return r;
	r = unix_socket_cannot(err, errno, "listen on", at);
	unix_socket_unlink(l, dirfd, name);
	close(l->file);
	close(l->socket);
	return r;
}

/* ---- role=client ---- */

/*
 * Connect. *fd is a socket, connected where 0 is returned, and not where
 * unix_socket_is_nobody() knows what is; else there is none.
 */
static int dial(const struct unix_place *at, int dirfd, const char *name,
		int *fd, struct error *err)
{
	int r;

	*fd = unix_socket_new(at->type, err);
	if (*fd < 0)
		return *fd;
	r = unix_socket_dial(at, dirfd, name, *fd, err);
	if (r < 0 && !unix_socket_is_nobody(r))
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
	if (p->client && (*p->owner || *p->group || rq->socket_mode))
		return error_set(err, EINVAL, "bad-value",
				 *p->owner   ? "owner"
				 : *p->group ? "group"
					     : "socket-mode",
				 "who connects doesn't own the socket");
	return 0;
}

/* Nobody is connected. */
static void init_state(void *memory)
{
	vhost_state_init(memory);
}

static int fill_grant(const struct port_request *rq, struct port_grant *grant,
		      const char *name, struct error *err)
{
	const struct vhost_user_params *p = &rq->vhost_user;
	const struct unix_place at = place(rq);
	int folder = grant->fd[VHOST_GRANT_FOLDER], r;
	struct unix_socket l = { -1, -1 };

	if (p->client) {
		r = dial(&at, folder, name, &l.socket, err);
		if (unix_socket_is_nobody(r))
			r = 0;
	} else {
		r = listen_anew(&at, folder, name, -1, &l, err);
	}
	if (r < 0)
		return r;
	grant->fd[VHOST_GRANT_SOCKET] = l.socket;
	grant->fd[VHOST_GRANT_FILE] = l.file;
	grant->nfds = grant_fds(p);
	port_grant_as_asked(rq, grant);
	return 0;
}

int vhost_user_acquire(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	struct error said = { .err = 0 };
	const struct unix_place at = place(rq);
	const char *name = NULL;
	int folder = -1, state = -1, r = check_params(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0) {
		name = unix_socket_name(&at, &said);
		r = name ? 0 : -said.err;
	}
	if (r == 0)
		r = folder = unix_socket_folder(&at, name, &said);
	if (r >= 0)
		r = state = memfd_new_with("vhost-user", VHOST_STATE_SIZE,
					   init_state, &said);
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

	if (r == 0)
		port_grant_as_asked(rq, grant);
	return r;
}

/* ---- Renew ---- */

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
	const struct unix_place at = place(rq);
	int fd, r = dial(&at, grant->fd[VHOST_GRANT_FOLDER], name, &fd, err);

	if (r == 0)
		return replace(grant, VHOST_GRANT_SOCKET, fd, err);
	if (unix_socket_is_nobody(r))
		close(fd);
	return r;
}

/* As somebody has removed the file, or shut our socket down. */
static int listen_again(const struct port_request *rq, struct port_grant *grant,
			const char *name, struct error *err)
{
	const struct unix_place at = place(rq);
	struct unix_socket l;
	int r = listen_anew(&at, grant->fd[VHOST_GRANT_FOLDER], name,
			    grant->fd[VHOST_GRANT_FILE], &l, err);

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
	const struct unix_place at = place(rq);
	const char *name = unix_socket_name(&at, err);

	if (!name)
		return -EINVAL;
	if (grant->nfds != grant_fds(p))
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s has no socket of its own", rq->name);
	unix_socket_folder_again(&at, name, grant->fd[VHOST_GRANT_FOLDER]);
	return p->client ? connect_again(rq, grant, name, err)
			 : listen_again(rq, grant, name, err);
}

void vhost_user_release(const struct port_request *rq, struct port_grant *grant)
{
	const char *name = capfile_name(rq->vhost_user.path);

	if (name && grant->nfds > VHOST_GRANT_FILE) {
		const struct unix_socket l = {
			.socket = grant->fd[VHOST_GRANT_SOCKET],
			.file = grant->fd[VHOST_GRANT_FILE],
		};

		unix_socket_unlink(&l, grant->fd[VHOST_GRANT_FOLDER], name);
	}
	/* Somebody may wait in the socket, and have sent what they liked. */
	if (grant->nfds)
		(void)fds_discard(&grant->fd[VHOST_GRANT_SOCKET], 1);
	for (unsigned int i = VHOST_GRANT_SOCKET + 1; i < grant->nfds; i++)
		close(grant->fd[i]);
	grant->nfds = 0;
}
