/* Listeners in the daemon's loop: one descriptor for all of them, and one timer
 * for what time alone brings. See listener.h. */
#include "switchd/daemon.h"

#include "base/clock.h"
#include "switchd/listener.h"

#include <errno.h>

#define NS_PER_US 1000

static void on_listen(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	uint64_t now = clock_ns(), due = listeners_run(d->sw, now), us;
	struct timeval tv;

	(void)fd;
	(void)what;
	event_del(d->listen_due);
	if (!due)
		return;
	us = (due > now ? due - now : 0) / NS_PER_US + 1;
	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	event_add(d->listen_due, &tv);
}

int daemon_listen_init(struct daemon *d)
{
	d->listen = event_new(d->base, listeners_fd(d->sw),
			      EV_READ | EV_PERSIST, on_listen, d);
	d->listen_due = daemon_event(d, -1, 0, on_listen, NULL);
	return d->listen && d->listen_due ? 0 : -ENOMEM;
}

void daemon_listen(struct daemon *d, bool on)
{
	if (on) {
		event_add(d->listen, NULL);
		event_active(d->listen_due, EV_TIMEOUT, 0);
	} else {
		event_del(d->listen);
		event_del(d->listen_due);
	}
}
