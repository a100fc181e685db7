/* The half of `stream` ports that acquires: it connects. See stream.h. */
#include "ports/stream.h"

#include "base/memfd.h"
#include "base/rights.h"
#include "ports/ip_address.h"
#include "ports/stream_state.h"
#include "ports/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes that wait for the other end: as much as a TAP's queue, 1000 frames. */
#define SEND_ROOM (1500 * 1000)

/*
 * A host that has vanished is noticed after a minute where nothing is on its
 * way to it; else the kernel tries again for a quarter of an hour
 * (tcp_retries2). TCP_USER_TIMEOUT isn't for us: it also ends who is there and
 * doesn't read, as a guest that is paused. Seconds.
 */
#define ALIVE_IDLE     30
#define ALIVE_INTERVAL 10
#define ALIVE_COUNT    3

/* ---- A socket ---- */

static void set_option(int fd, int level, int name, int value)
{
	/* One that can't be had makes it worse, but not wrong. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_up(int fd, int domain)
{
	const struct linger none = { 0 };
	const int room = SEND_ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, room);
	/* Whose close would keep others waiting: fds.h. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (domain == AF_UNIX) {
		rights_refuse(fd);
		return;
	}
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_INTERVAL);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, ALIVE_COUNT);
}

static int socket_option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static int check_given(int fd, struct error *err)
{
	int domain = socket_option(fd, SO_DOMAIN);

	if (socket_option(fd, SO_TYPE) == SOCK_STREAM &&
	    (domain == AF_UNIX ||
	     socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP)) {
		set_up(fd, domain);
		return 0;
	}
	return error_set(err, EINVAL, "not-a-stream", NULL,
			 "what was accepted isn't a connection of a Unix "
			 "socket or of TCP");
}

/* ---- TCP ---- */

/* A socket that has begun to connect; or has none to connect to. */
static int dial_inet(const struct port_request *rq, struct error *err)
{
	struct ip_address to;
	int fd;

	if (ip_address_parse(rq->stream.connect, &to) < 0)
		return stream_check(rq, err);
	fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "can't make a socket: %s", strerror(errno));
	set_up(fd, to.sa.sa_family);
	/* An error is as good as nobody there: the host may not have its
	 * addresses and routes yet. */
	(void)connect(fd, &to.sa, to.len);
	return fd;
}

/* ---- Unix ---- */

static struct unix_place place(const struct port_request *rq)
{
	return (struct unix_place){
		.path = rq->stream.connect,
		.param = "connect",
		.type = SOCK_STREAM,
		.owner = "",
		.group = "",
	};
}

/*
 * Connect. *fd is a socket, connected where 0 is returned, and not where
 * unix_socket_is_nobody() knows what is; else there is none.
 */
static int dial_unix(const struct unix_place *at, int folder, const char *name,
		     int *fd, struct error *err)
{
	int r;

	*fd = unix_socket_new(at->type, err);
	if (*fd < 0)
		return *fd;
	set_up(*fd, AF_UNIX);
	r = unix_socket_dial(at, folder, name, *fd, err);
	if (r < 0 && !unix_socket_is_nobody(r))
		close(*fd);
	return r;
}

static int acquire_unix(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	const struct unix_place at = place(rq);
	const char *name = unix_socket_name(&at, err);
	int folder, fd, r;

	if (!name)
		return -EINVAL;
	folder = unix_socket_folder(&at, name, err);
	if (folder < 0)
		return folder;
	r = dial_unix(&at, folder, name, &fd, err);
	if (r < 0 && !unix_socket_is_nobody(r)) {
		close(folder);
		return r;
	}
	grant->fd[STREAM_GRANT_SOCKET] = fd;
	grant->fd[STREAM_GRANT_FOLDER] = folder;
	return 0;
}

/* A new socket, or -errno with *err. */
static int renew_unix(const struct port_request *rq, struct port_grant *grant,
		      struct error *err)
{
	const struct unix_place at = place(rq);
	const char *name = unix_socket_name(&at, err);
	int fd, r;

	if (!name)
		return -EINVAL;
	if (grant->nfds <= STREAM_GRANT_FOLDER)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s has no folder", rq->name);
	unix_socket_folder_again(&at, name, grant->fd[STREAM_GRANT_FOLDER]);
	r = dial_unix(&at, grant->fd[STREAM_GRANT_FOLDER], name, &fd, err);
	if (unix_socket_is_nobody(r))
		close(fd);
	return r < 0 ? r : fd;
}

/* ---- The operations ---- */

int stream_check(const struct port_request *rq, struct error *err)
{
	const char *to = rq->stream.connect;
	struct ip_address address;

	if (rq->given || stream_is_path(&rq->stream))
		return 0;
	if (ip_address_parse(to, &address) < 0)
		return error_set(err, EINVAL, "bad-value", "connect",
				 "\"%.80s\" is neither the absolute path of a "
				 "socket nor an address with a port: write "
				 "192.0.2.1:4444 or [2001:db8::1]:4444",
				 to);
	if (!ip_address_is_host(&address))
		return error_set(err, EINVAL, "bad-value", "connect",
				 "\"%.80s\" isn't the address of one host", to);
	return 0;
}

static int check(const struct port_request *rq, struct error *err)
{
	if (rq->mtu && (rq->mtu < PORT_MTU_MIN || rq->mtu > PORT_MTU_MAX))
		return error_set(err, EINVAL, "bad-value", "mtu",
				 "the MTU is from %d to %d", PORT_MTU_MIN,
				 PORT_MTU_MAX);
	return stream_check(rq, err);
}

/* Nobody is connected. */
static void init_state(void *memory)
{
	stream_state_init(memory);
}

/* All descriptors but the state, which is the caller's. */
static int open_socket(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	int r;

	if (stream_is_path(&rq->stream)) {
		r = acquire_unix(rq, grant, err);
		grant->nfds = r < 0 ? 0 : STREAM_GRANT_FOLDER + 1;
	} else {
		r = dial_inet(rq, err);
		grant->fd[STREAM_GRANT_SOCKET] = r;
		grant->nfds = r < 0 ? 0 : STREAM_GRANT_RUN_FDS;
	}
	return r < 0 ? r : 0;
}

/* What was given, of the type that it was given for; or -errno with *err. */
static int take_given(const struct port_request *rq, struct port_grant *grant,
		      int given, struct error *err)
{
	int r;

	if (given < 0)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s was given no connection", rq->name);
	r = check_given(given, err);
	if (r < 0)
		return r;
	grant->fd[STREAM_GRANT_SOCKET] = given;
	grant->nfds = STREAM_GRANT_RUN_FDS;
	return 0;
}

int stream_acquire(const struct port_request *rq, struct port_grant *grant,
		   struct error *err)
{
	int given = rq->given && grant->nfds == 1 ? grant->fd[0] : -1;
	struct error said = { .err = 0 };
	int state = -1, r = check(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (r == 0)
		r = state = memfd_new_with("stream", STREAM_STATE_SIZE,
					   init_state, &said);
	if (r >= 0)
		r = rq->given ? take_given(rq, grant, given, &said)
			      : open_socket(rq, grant, &said);
	if (r == 0) {
		grant->fd[STREAM_GRANT_STATE] = state;
		port_grant_as_asked(rq, grant);
		return 0;
	}
	if (state >= 0)
		close(state);
	if (err)
		*err = said;
	return r;
}

int stream_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	int r = check(rq, err);

	if (r == 0)
		port_grant_as_asked(rq, grant);
	return r;
}

int stream_renew(const struct port_request *rq, struct port_grant *grant,
		 struct error *err)
{
	int fd, was, r;

	if (rq->given || grant->nfds < STREAM_GRANT_RUN_FDS)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s doesn't connect to anybody",
				 rq->name);
	fd = stream_is_path(&rq->stream) ? renew_unix(rq, grant, err)
					 : dial_inet(rq, err);
	if (fd < 0)
		return fd;
	/* Its number stays. */
	was = fcntl(grant->fd[STREAM_GRANT_SOCKET], F_DUPFD_CLOEXEC, 0);
	r = dup3(fd, grant->fd[STREAM_GRANT_SOCKET], O_CLOEXEC) < 0 ? errno : 0;
	close(fd);
	if (was >= 0)
		rights_close(was);
	return r ? error_set(err, r, "no-descriptor", NULL,
			     "can't replace a descriptor: %s", strerror(r))
		 : 0;
}

void stream_release(const struct port_request *rq, struct port_grant *grant)
{
	(void)rq;
	port_grant_close(grant);
}
