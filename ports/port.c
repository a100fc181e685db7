#include "ports/port.h"

#include "base/rights.h"
#include "ports/listen.h"

#include <stdio.h>

static const struct port_ops *const types[] = {
	&port_ops_tap,	      &port_ops_netdev, &port_ops_pcap,
	&port_ops_vhost_user, &port_ops_udp,	&port_ops_dgram,
	&port_ops_stream,     &port_ops_slirp,	&port_ops_seqpacket,
	&port_ops_listen,     &port_ops_vde,	&port_ops_uml,
	&port_ops_dummy,
};

const struct port_ops *port_ops_find(const char *type)
{
	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i]->type, type))
			return types[i];
	return NULL;
}

static struct port_keeper keeper;

void port_keeper_set(const struct port_keeper *k)
{
	keeper = k ? *k : (struct port_keeper){ 0 };
}

const struct port_keeper *port_keeper(void)
{
	return keeper.renew ? &keeper : NULL;
}

void port_init(struct port *p, const struct port_ops *ops,
	       const struct port_request *rq, const struct port_grant *grant)
{
	p->ops = ops;
	snprintf(p->name, sizeof(p->name), "%s", rq->name);
	atomic_init(&p->tx_offloads, grant->tx_offloads);
	atomic_init(&p->mtu, grant->mtu);
	p->queues = 1;
	p->queue_fd[0] = grant->nfds ? grant->fd[0] : -1;
	p->control_fd = -1;
	atomic_init(&p->failed, 0);
	atomic_init(&p->rx_missed, 0);
	atomic_init(&p->rx_noted, 0);
	atomic_init(&p->tx_lost, 0);
	atomic_init(&p->tx_noted, 0);
}

bool port_ifname_fit(const char *ifname)
{
	for (; *ifname; ifname++)
		if (*ifname <= ' ' || *ifname > '~')
			return false;
	return true;
}

const char *port_request_ifname(const struct port_request *rq)
{
	if (!strcmp(rq->type, "tap"))
		return rq->tap.ifname;
	if (!strcmp(rq->type, "netdev"))
		return rq->netdev.ifname;
	return "";
}

const char *port_request_socket(const struct port_request *rq)
{
	if (!strcmp(rq->type, "vhost-user"))
		return rq->vhost_user.path;
	if (!strcmp(rq->type, "udp"))
		return rq->udp.local;
	if (!strcmp(rq->type, "dgram"))
		return rq->dgram.local;
	if (!strcmp(rq->type, "listen"))
		return rq->listen.address;
	return "";
}

const char *port_request_socket_param(const struct port_request *rq)
{
	return strcmp(rq->type, "vhost-user") ? "local" : "path";
}

void port_grant_as_asked(const struct port_request *rq,
			 struct port_grant *grant)
{
	grant->mtu = rq->mtu ? rq->mtu : PORT_MTU_DEFAULT;
	grant->carrier = rq->enabled;
}

void port_grant_close(struct port_grant *grant)
{
	for (unsigned int i = 0; i < grant->nfds; i++)
		rights_close(grant->fd[i]);
	grant->nfds = 0;
}
