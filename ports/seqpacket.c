/*
 * seqpacket - a guest's connection that keeps records: one is one frame
 *
 * User-Mode Linux' "bess" transport connects to a listener (listen.h); there is
 * nothing else to it. Grant: fd[0], the connection.
 */
#include "base/rights.h"
#include "ports/datagrams.h"
#include "ports/socket_buffers.h"

#include <errno.h>

static int seqpacket_acquire(const struct port_request *rq,
			     struct port_grant *grant, struct error *err)
{
	int fd = grant->fd[0];

	if (!rq->given || grant->nfds != 1)
		return error_set(err, EINVAL, "not-for-type", "type",
				 "a port of type seqpacket is made by a "
				 "listener: listener.add");
	socket_buffers_grow(fd);
	rights_refuse(fd);
	*grant = (struct port_grant){ .nfds = 1, .fd = { fd } };
	port_grant_as_asked(rq, grant);
	return 0;
}

static int seqpacket_adjust(const struct port_request *rq,
			    struct port_grant *grant, struct error *err)
{
	(void)err;
	port_grant_as_asked(rq, grant);
	return 0;
}

static void seqpacket_release(const struct port_request *rq,
			      struct port_grant *grant)
{
	(void)rq;
	port_grant_close(grant);
}

static struct port *seqpacket_open(const struct port_request *rq,
				   const struct port_grant *grant,
				   struct error *err)
{
	return datagrams_open(&port_ops_seqpacket, rq, grant, err);
}

const struct port_ops port_ops_seqpacket = {
	.type = "seqpacket",
	.acquire = seqpacket_acquire,
	.adjust = seqpacket_adjust,
	.release = seqpacket_release,
	.open = seqpacket_open,
	.close = datagrams_close,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};
