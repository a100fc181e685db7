#include "ports/vde.h"

#include "ports/datagrams.h"
#include "ports/vde_request.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* ---- What the listener needs ---- */

int vde_parse(const struct listen_offer *offer, struct listen_wish *wish,
	      struct error *err)
{
	const struct listen_params *listen = &offer->listener->listen;
	bool uml = listen->kind == LISTEN_UML;
	struct vde_params *p = &wish->rq.vde;
	struct vde_request rq;
	const char *why;
	int r = vde_request_parse(offer->data, offer->len, uml, &rq, &why);

	if (r < 0)
		return error_set(err, -r, "bad-request", NULL,
				 "this is no request of a VDE client: %s", why);
	if (r == 0)
		return 0;
	if (rq.number)
		wish->number = rq.number;
	snprintf(wish->description, sizeof(wish->description), "%.127s",
		 rq.description);
	memcpy(p->peer, rq.peer, sizeof(p->peer));
	p->number = (uint16_t)wish->number;
	if (!uml)
		snprintf(p->folder, sizeof(p->folder), "%s", listen->address);
	return 1;
}

/* Its name, as the client has to use it: ours is by way of a descriptor. */
size_t vde_answer(const struct port_request *rq, const struct port_grant *grant,
		  uint8_t *buf)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(own) - 1; /* a NUL stays at the end */
	char path[VDE_ADDRESS_LEN];
	const char *name;
	int n;

	if (getsockname(grant->fd[VDE_GRANT_DATA], (struct sockaddr *)&own,
			&len) < 0)
		return 0;
	if (!*rq->vde.folder) {
		memcpy(buf, &own, VDE_ADDRESS_LEN);
		return VDE_ADDRESS_LEN;
	}
	name = strrchr(own.sun_path, '/');
	if (!name)
		return 0;
	n = snprintf(path, sizeof(path), "%s%s", rq->vde.folder, name);
	if (vde_address_make(buf, path, (size_t)n) < 0)
		return 0;
	return VDE_ADDRESS_LEN;
}

/* ---- The port ---- */

/*
 * VDE's clients connect their sockets to ours, and the kernel lets as much wait
 * for them as our send buffer holds. Those of uml_switch don't.
 */
static struct port *open_port(const struct port_ops *ops,
			      const struct port_request *rq,
			      const struct port_grant *grant, struct error *err)
{
	struct datagrams *d;
	struct port *p;
	int r;

	if (grant->nfds <= VDE_GRANT_CONTROL) {
		error_set(err, EINVAL, "bad-grant", NULL,
			  "port %s has no connection", rq->name);
		return NULL;
	}
	p = datagrams_open(ops, rq, grant, err);
	if (!p)
		return NULL;
	d = (struct datagrams *)p; /* the port is its first member */
	r = datagrams_watch(d, grant->fd[VDE_GRANT_CONTROL]);
	if (r == 0 && ops == &port_ops_uml)
		r = datagrams_keep(d);
	if (r == 0)
		return p;
	datagrams_close(p);
	error_set(err, -r, "no-descriptor", NULL,
		  "no descriptors for port %s: %s", rq->name, strerror(-r));
	return NULL;
}

static struct port *vde_open(const struct port_request *rq,
			     const struct port_grant *grant, struct error *err)
{
	return open_port(&port_ops_vde, rq, grant, err);
}

static struct port *uml_open(const struct port_request *rq,
			     const struct port_grant *grant, struct error *err)
{
	return open_port(&port_ops_uml, rq, grant, err);
}

const struct port_ops port_ops_vde = {
	.type = "vde",
	.run_fds = VDE_GRANT_RUN_FDS,
	.acquire = vde_acquire,
	.adjust = vde_adjust,
	.release = vde_release,
	.open = vde_open,
	.control = datagrams_control,
	.close = datagrams_close,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};

const struct port_ops port_ops_uml = {
	.type = "uml",
	.run_fds = VDE_GRANT_RUN_FDS,
	.acquire = vde_acquire,
	.adjust = vde_adjust,
	.release = vde_release,
	.open = uml_open,
	.control = datagrams_control,
	.close = datagrams_close,
	.rx = datagrams_rx,
	.rx_done = datagrams_rx_done,
	.tx = datagrams_tx,
};
