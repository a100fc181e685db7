/* The half of `stream` ports that acquires: it connects. See stream.h. */
#include "ports/stream.h"

#include "base/memfd.h"
#include "ports/ip_address.h"
#include "ports/stream_state.h"
#include "ports/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU_DEFAULT 1500 /* a bridge's; nobody says what the guest has */

/* Bytes that wait for the other end: as much as a TAP's queue, 1000 frames. */
#define SEND_ROOM (1500 * 1000)

/* A host that has vanished is noticed after a minute. Seconds. */
#define ALIVE_IDLE     30
#define ALIVE_INTERVAL 10
#define ALIVE_COUNT    3

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

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
		/* A worker would have to close what it is sent. */
		set_option(fd, SOL_SOCKET, SO_PASSRIGHTS, 0);
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

/* ---- Unix: as the client of a vhost-user socket does it ---- */

static struct port_request as_client(const struct port_request *rq)
{
	struct port_request v = {
		.type = "vhost-user",
		.mtu = rq->mtu,
		.enabled = rq->enabled,
		.vhost_user = { .client = true },
	};

	snprintf(v.name, sizeof(v.name), "%s", rq->name);
	snprintf(v.vhost_user.path, sizeof(v.vhost_user.path), "%s",
		 rq->stream.connect);
	return v;
}

static int failed(struct error *err, int r)
{
	if (err && !strcmp(err->path, "path"))
		snprintf(err->path, sizeof(err->path), "connect");
	return r;
}

static int acquire_unix(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	struct port_request v = as_client(rq);
	int r = vhost_user_acquire(&v, grant, err);

	if (r < 0)
		return failed(err, r);
	set_up(grant->fd[STREAM_GRANT_SOCKET], AF_UNIX);
	return 0;
}

static int renew_unix(const struct port_request *rq, struct port_grant *grant,
		      struct error *err)
{
	struct port_request v = as_client(rq);
	int r = vhost_user_renew(&v, grant, err);

	if (r < 0)
		return failed(err, r);
	set_up(grant->fd[STREAM_GRANT_SOCKET], AF_UNIX);
	return 0;
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

static void fill_grant(const struct port_request *rq, struct port_grant *grant)
{
	grant->mtu = rq->mtu ? rq->mtu : MTU_DEFAULT;
	grant->carrier = rq->enabled;
}

/* Memory in which nobody is connected. */
static int make_state(struct error *err)
{
	int fd = memfd_new("stream", STREAM_STATE_SIZE);
	void *p = MAP_FAILED;

	if (fd >= 0)
		p = mmap(NULL, STREAM_STATE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		error_set(err, fd < 0 ? -fd : errno, "no-memory", NULL,
			  "no memory for what outlives the process");
		if (fd >= 0)
			close(fd);
		return -err->err;
	}
	stream_state_init(p);
	munmap(p, STREAM_STATE_SIZE);
	return fd;
}

/* grant->fd[0] is there, or that and the descriptors of a vhost-user client;
 * put the state beside it. */
static int add_state(struct port_grant *grant, struct error *err)
{
	int fd = make_state(err), r = 0;

	if (fd < 0)
		return fd;
	if (grant->nfds == STREAM_GRANT_STATE) {
		grant->fd[grant->nfds++] = fd;
		return 0;
	}
	if (dup3(fd, grant->fd[STREAM_GRANT_STATE], O_CLOEXEC) < 0)
		r = error_set(err, errno, "no-descriptor", NULL,
			      "can't replace a descriptor: %s",
			      strerror(errno));
	close(fd);
	return r;
}

static int open_socket(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	int fd;

	if (rq->given)
		return check_given(grant->fd[STREAM_GRANT_SOCKET], err);
	if (stream_is_path(&rq->stream))
		return acquire_unix(rq, grant, err);
	fd = dial_inet(rq, err);
	if (fd < 0)
		return fd;
	grant->fd[STREAM_GRANT_SOCKET] = fd;
	grant->nfds = 1;
	return 0;
}

int stream_acquire(const struct port_request *rq, struct port_grant *grant,
		   struct error *err)
{
	int given = rq->given && grant->nfds == 1 ? grant->fd[0] : -1;
	struct error said = { .err = 0 };
	int r = check(rq, &said);

	memset(grant, 0, sizeof(*grant));
	if (given >= 0) {
		grant->fd[STREAM_GRANT_SOCKET] = given;
		grant->nfds = 1;
	}
	if (r == 0 && rq->given && given < 0)
		r = error_set(&said, EINVAL, "bad-grant", NULL,
			      "port %s was given no connection", rq->name);
	if (r == 0)
		r = open_socket(rq, grant, &said);
	if (r == 0)
		r = add_state(grant, &said);
	if (r == 0) {
		fill_grant(rq, grant);
		return 0;
	}
	port_grant_close(grant);
	if (err)
		*err = said;
	return r;
}

int stream_adjust(const struct port_request *rq, struct port_grant *grant,
		  struct error *err)
{
	int r = check(rq, err);

	if (r == 0)
		fill_grant(rq, grant);
	return r;
}

int stream_renew(const struct port_request *rq, struct port_grant *grant,
		 struct error *err)
{
	int fd, r;

	if (rq->given || grant->nfds < STREAM_GRANT_RUN_FDS)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "port %s doesn't connect to anybody",
				 rq->name);
	if (stream_is_path(&rq->stream))
		return renew_unix(rq, grant, err);
	fd = dial_inet(rq, err);
	if (fd < 0)
		return fd;
	/* Its number stays. */
	r = dup3(fd, grant->fd[STREAM_GRANT_SOCKET], O_CLOEXEC) < 0 ? errno : 0;
	close(fd);
	return r ? error_set(err, r, "no-descriptor", NULL,
			     "can't replace a descriptor: %s", strerror(r))
		 : 0;
}

void stream_release(const struct port_request *rq, struct port_grant *grant)
{
	(void)rq;
	port_grant_close(grant);
}
