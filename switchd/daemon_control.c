/*
 * The control descriptors of ports (ports/port.h) in the daemon's loop.
 *
 * There is an event for each from when the port is attached until it has gone,
 * but only the process that forwards waits for it: in an upgrade, what the
 * other end says is the old one's until that halts, and again if it resumes.
 */
#include "switchd/daemon.h"

#include "base/log.h"

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	struct switch_port *p = arg;

	(void)fd;
	(void)what;
	switch_control(p->sw, p);
}

static void listen_to(struct switch_port *p)
{
	if (event_add(p->loop, NULL) < 0)
		log_err("port", "%s: nobody listens to its other end",
			p->config.request.name);
}

void daemon_control_watch(struct daemon *d, struct switch_port *p)
{
	if (p->port->control_fd < 0)
		return;
	p->loop = event_new(d->base, p->port->control_fd, EV_READ | EV_PERSIST,
			    on_control, p);
	if (!p->loop)
		log_err("port", "%s: no memory to listen to its other end",
			p->config.request.name);
	else if (d->live)
		listen_to(p);
}

void daemon_control_unwatch(struct switch_port *p)
{
	if (p->loop)
		event_free(p->loop);
	p->loop = NULL;
}

/* Those that are leaving, too. */
static struct switch_port *next_watched(struct sw *sw, uint32_t *i)
{
	for (; *i < sw->index_end; (*i)++)
		if (sw->port[*i] && sw->port[*i]->loop)
			return sw->port[(*i)++];
	return NULL;
}

void daemon_control_all(struct daemon *d, bool on)
{
	struct switch_port *p;
	uint32_t i = 0;

	while ((p = next_watched(d->sw, &i)))
		if (on)
			listen_to(p);
		else
			event_del(p->loop);
}

/* No hook tells it of the ports of a switch that is freed. */
void daemon_control_end(struct daemon *d)
{
	struct switch_port *p;
	uint32_t i = 0;

	while (d->sw && (p = next_watched(d->sw, &i)))
		daemon_control_unwatch(p);
}
