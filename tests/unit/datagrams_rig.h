/* What tests of ports of datagrams share: the run half alone as a port, sockets
 * on loopback, the end of a test. */
#ifndef TESTS_UNIT_DATAGRAMS_RIG_H
#define TESTS_UNIT_DATAGRAMS_RIG_H

#include "base/fds.h"
#include "ports/datagrams.h"
#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#define DATAGRAMS_ARENA (512u * 1024) /* as a worker's */

static const struct port_ops ops __attribute__((unused)) = {
	.type = "datagrams",
	.close = datagrams_close,
	.control = datagrams_control,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};

/* Bound to a port of the kernel's choice, which is returned. */
static inline struct sockaddr_in datagrams_loopback(int fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return a;
}

/* Two UDP sockets, connected to each other. */
static inline void datagrams_connect(int one, int other)
{
	struct sockaddr_in a = datagrams_loopback(one);
	struct sockaddr_in b = datagrams_loopback(other);

	assert_int_equal(connect(one, (struct sockaddr *)&b, sizeof(b)), 0);
	assert_int_equal(connect(other, (struct sockaddr *)&a, sizeof(a)), 0);
}

/* Of port (NULL: none), grant and the other end (-1: none) nothing is left; 1
 * if there are other descriptors than `fds` then. */
static inline int datagrams_end(struct port *port, struct port_grant *grant,
				int other, unsigned int fds)
{
	if (port)
		port->ops->close(port);
	port_grant_close(grant);
	if (other >= 0)
		close(other);
	/* Nothing refuses descriptors here: who closes may be a thread. */
	while (fds_stuck())
		sched_yield();
	return fds_count() != fds;
}

#endif
