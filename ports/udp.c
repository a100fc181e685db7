#include "ports/udp.h"

#include "ports/datagrams.h"
#include "ports/ip_address.h"
#include "ports/privilege.h"
#include "ports/socket_buffers.h"
#include "ports/udp_gro.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <unistd.h>

/* ---- Acquire ---- */

static int bad_address(struct error *err, const char *param, const char *text)
{
	return error_set(err, EINVAL, "bad-value", param,
			 "\"%.63s\" is no address with a port: write "
			 "192.0.2.1:4444 or [2001:db8::1]:4444",
			 text);
}

static int parse(const struct port_request *rq, struct ip_address *local,
		 struct ip_address *remote, struct error *err)
{
	const struct udp_params *u = &rq->udp;

	if (ip_address_parse(u->local, local) < 0)
		return bad_address(err, "local", u->local);
	if (ip_address_parse(u->remote, remote) < 0)
		return bad_address(err, "remote", u->remote);
	if (local->sa.sa_family != remote->sa.sa_family)
		return error_set(err, EINVAL, "bad-value", "remote",
				 "local and remote are both of IPv4, or both "
				 "of IPv6");
	if (!ip_address_is_host(remote))
		return error_set(err, EINVAL, "bad-value", "remote",
				 "\"%.63s\" isn't the address of one host",
				 u->remote);
	if (rq->mtu > UDP_MTU_MAX)
		return error_set(err, EINVAL, "bad-value", "mtu",
				 "the MTU of a UDP port is %d at most, so that "
				 "a frame fits a datagram",
				 UDP_MTU_MAX);
	return 0;
}

int udp_check(const struct port_request *rq, struct error *err)
{
	struct ip_address local, remote;

	return parse(rq, &local, &remote, err);
}

static int cannot_bind(const struct port_request *rq, int error,
		       struct error *err)
{
	const char *reason = "bad-value", *local = rq->udp.local;

	if (error == EADDRINUSE)
		return error_set(err, error, "in-use", "local",
				 "somebody has %s already", local);
	if (error == EADDRNOTAVAIL)
		return error_set(err, error, "no-address", "local",
				 "the host has no address such as %s", local);
	if (error == EACCES)
		reason = "not-permitted";
	return error_set(err, error, reason, "local", "can't take %s: %s%s",
			 local, strerror(error),
			 privilege_hint(PRIVILEGE_LOW_PORT, error));
}

/*
 * Fragments are fine. And whoever says on the way that they are to be small
 * isn't believed more than that, as he could be anybody: no error, no DF.
 */
static int let_fragment(int fd, int family)
{
	const int four = IP_PMTUDISC_DONT, six = IPV6_PMTUDISC_DONT;

	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &four,
				  sizeof(four));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &six,
			  sizeof(six));
}

/*
 * From bind() to connect() anybody would be heard: so nobody is, by a filter.
 */
static int bind_and_connect(int fd, const struct port_request *rq,
			    const struct ip_address *local,
			    const struct ip_address *remote, struct error *err)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog filter = { .len = 1, .filter = &nothing };
	const int none = 0, on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter,
		       sizeof(filter)) < 0 ||
	    let_fragment(fd, local->sa.sa_family) < 0 ||
	    (local->sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return error_set(err, errno, "bad-value", NULL,
				 "can't set a socket up: %s", strerror(errno));
	if (bind(fd, &local->sa, local->len) < 0)
		return cannot_bind(rq, errno, err);
	if (connect(fd, &remote->sa, remote->len) < 0)
		return error_set(err, errno, "no-route", "remote",
				 "%s can't be reached: %s", rq->udp.remote,
				 strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) <
	    0)
		return error_set(err, errno, "bad-value", NULL,
				 "can't open a socket's filter: %s",
				 strerror(errno));
	return 0;
}

static int udp_acquire(const struct port_request *rq, struct port_grant *grant,
		       struct error *err)
{
	struct ip_address local = { 0 }, remote = { 0 };
	int fd, r = parse(rq, &local, &remote, err);

	memset(grant, 0, sizeof(*grant));
	if (r < 0)
		return r;
	fd = socket(local.sa.sa_family,
		    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "can't make a socket: %s", strerror(errno));
	socket_buffers_grow(fd);
	udp_gro_ask(fd);
	r = bind_and_connect(fd, rq, &local, &remote, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	grant->fd[0] = fd;
	grant->nfds = 1;
	port_grant_as_asked(rq, grant);
	return 0;
}

static int udp_adjust(const struct port_request *rq, struct port_grant *grant,
		      struct error *err)
{
	int r = udp_check(rq, err);

	if (r == 0)
		port_grant_as_asked(rq, grant);
	return r;
}

static void udp_release(const struct port_request *rq, struct port_grant *grant)
{
	(void)rq;
	port_grant_close(grant);
}

/* ---- Run ---- */

static struct port *udp_open(const struct port_request *rq,
			     const struct port_grant *grant, struct error *err)
{
	struct port *p = datagrams_open(&port_ops_udp, rq, grant, err);
	int r = 0;

	if (!p)
		return NULL;
	datagrams_join(p);
	/* The socket may be of a version that didn't ask, too. */
	if (udp_gro_asked(grant->fd[0]))
		r = datagrams_split(p);
	if (r == 0)
		return p;
	error_set(err, -r, "no-descriptor", NULL,
		  "no descriptors for port %s: %s", rq->name, strerror(-r));
	datagrams_close(p);
	return NULL;
}

const struct port_ops port_ops_udp = {
	.type = "udp",
	.acquire = udp_acquire,
	.adjust = udp_adjust,
	.release = udp_release,
	.open = udp_open,
	.close = datagrams_close,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.rx_waits = datagrams_rx_waits,
	.tx = datagrams_tx,
};
