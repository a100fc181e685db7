/* The half of `dgram` ports that may need privilege: two sockets by their
 * paths. */
#include "ports/dgram.h"

#include "ports/capfile.h"
#include "ports/socket_buffers.h"
#include "ports/unix_socket.h"

#include <errno.h>
#include <unistd.h>

static struct unix_place local_place(const struct port_request *rq)
{
	return (struct unix_place){
		.path = rq->dgram.local,
		.param = "local",
		.type = SOCK_DGRAM,
		.owner = rq->dgram.owner,
		.group = rq->dgram.group,
		.mode = rq->socket_mode,
	};
}

static struct unix_place remote_place(const struct port_request *rq)
{
	return (struct unix_place){
		.path = rq->dgram.remote,
		.param = "remote",
		.type = SOCK_DGRAM,
		.owner = "",
		.group = "",
	};
}

static int check_params(const struct port_request *rq, struct error *err)
{
	if (rq->mtu && (rq->mtu < PORT_MTU_MIN || rq->mtu > PORT_MTU_MAX))
		return error_set(err, EINVAL, "bad-value", "mtu",
				 "the MTU is from %d to %d", PORT_MTU_MIN,
				 PORT_MTU_MAX);
	if (!strcmp(rq->dgram.local, rq->dgram.remote))
		return error_set(err, EINVAL, "bad-value", "remote",
				 "local and remote are two sockets");
	return 0;
}

/* Open the place's folder into *fd. */
static int open_folder(const struct unix_place *at, int *fd, struct error *err)
{
	const char *name = unix_socket_name(at, err);

	if (!name)
		return -EINVAL;
	*fd = unix_socket_folder(at, name, err);
	return *fd < 0 ? *fd : 0;
}

/* Our socket, and its other end if it's there. */
static int make_socket(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	const struct unix_place local = local_place(rq);
	const struct unix_place remote = remote_place(rq);
	const char *name = capfile_name(local.path);
	struct unix_socket s;
	int folder = grant->fd[DGRAM_GRANT_LOCAL];
	int r = unix_socket_bind(&local, folder, name, -1, &s, err);

	if (r < 0)
		return r;
	socket_buffers_grow(s.socket);
	r = unix_socket_dial(&remote, grant->fd[DGRAM_GRANT_REMOTE],
			     capfile_name(remote.path), s.socket, err);
	if (r < 0 && !unix_socket_is_nobody(r)) {
		unix_socket_unlink(&s, folder, name);
		close(s.file);
		close(s.socket);
		return r;
	}
	grant->fd[DGRAM_GRANT_SOCKET] = s.socket;
	grant->fd[DGRAM_GRANT_FILE] = s.file;
	return 0;
}

int dgram_acquire(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	const struct unix_place local = local_place(rq);
	const struct unix_place remote = remote_place(rq);
	struct error said = { .err = 0 };
	int here = -1, there = -1, r = check_params(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0)
		r = open_folder(&local, &here, &said);
	if (r == 0)
		r = open_folder(&remote, &there, &said);
	if (r == 0) {
		grant->fd[DGRAM_GRANT_LOCAL] = here;
		grant->fd[DGRAM_GRANT_REMOTE] = there;
		r = make_socket(rq, grant, &said);
	}
	if (r == 0) {
		grant->nfds = DGRAM_GRANT_FDS;
		return dgram_adjust(rq, grant, err);
	}
	if (here >= 0)
		close(here);
	if (there >= 0)
		close(there);
	if (err)
		*err = said;
	return r;
}

int dgram_adjust(const struct port_request *rq, struct port_grant *grant,
		 struct error *err)
{
	int r = check_params(rq, err);

	if (r == 0)
		port_grant_as_asked(rq, grant);
	return r;
}

/* Connecting to who it's connected to already changes nothing. */
int dgram_renew(const struct port_request *rq, struct port_grant *grant,
		struct error *err)
{
	const struct unix_place remote = remote_place(rq);
	const char *name = unix_socket_name(&remote, err);

	if (!name)
		return -EINVAL;
	if (grant->nfds != DGRAM_GRANT_FDS)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s has no sockets' folders", rq->name);
	unix_socket_folder_again(&remote, name, grant->fd[DGRAM_GRANT_REMOTE]);
	return unix_socket_dial(&remote, grant->fd[DGRAM_GRANT_REMOTE], name,
				grant->fd[DGRAM_GRANT_SOCKET], err);
}

void dgram_release(const struct port_request *rq, struct port_grant *grant)
{
	const char *name = capfile_name(rq->dgram.local);

	if (name && grant->nfds == DGRAM_GRANT_FDS) {
		const struct unix_socket s = {
			.socket = grant->fd[DGRAM_GRANT_SOCKET],
			.file = grant->fd[DGRAM_GRANT_FILE],
		};

		unix_socket_unlink(&s, grant->fd[DGRAM_GRANT_LOCAL], name);
	}
	port_grant_close(grant);
}
