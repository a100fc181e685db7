/* What the monitor orders, and upgrades as the old process sees them. See
 * daemon.h. */
#include "switchd/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/methods.h"

#include <errno.h>
#include <string.h>

/* Once there is another switch, this one stays until its last answer is sent,
 * but no longer than this. */
#define LEAVE_MS    10
#define LEAVE_TRIES 50

/* ---- An upgrade, the old process's side ---- */

/* From the request to its end nothing changes but by frames, so that what the
 * new process reads stays true. */
static void set_quiet(struct daemon *d, bool quiet)
{
	d->quiet = quiet;
	rpc_server_pause(d->rpc, quiet);
	rpc_server_pause(d->helper, quiet);
	if (quiet) {
		event_del(d->link);
		event_del(d->failed);
		daemon_listen(d, false);
	} else {
		event_add(d->link, NULL);
		event_add(d->failed, NULL);
		daemon_listen(d, true);
	}
}

void daemon_upgrade(struct daemon *d, struct rpc_call *call)
{
	if (!d->broker) {
		rpc_fail(call, EOPNOTSUPP, "no-monitor", NULL,
			 "switchd runs without its monitor, as it wasn't "
			 "started by root: start it again");
		return;
	}
	if (broker_gone(d->broker)) {
		rpc_fail(call, ENOTCONN, "monitor-gone", NULL,
			 "the monitor process is gone: start switchd again");
		return;
	}
	if (d->forgetful) {
		rpc_fail(call, EFBIG, "upgrade-failed", NULL,
			 "not all of the configuration can be handed over (the "
			 "log says what is too large): start switchd again");
		return;
	}
	/* What leaves is gone before another one reads what there is. */
	switch_commit(d->sw);
	d->upgrade_call = call;
	set_quiet(d, true);
	broker_say(d->broker, PROTO_UPGRADE, NULL, 0);
}

static void on_hand_over(struct daemon *d)
{
	uint64_t now = clock_ns();

	d->live = false;
	daemon_control_all(d, false);
	switch_halt(d->sw);
	broker_say_since(d->broker, PROTO_STOPPED, 0, now);
}

static void on_resume(struct daemon *d, const struct error *err)
{
	bool halted = !d->live;
	int r = halted ? switch_go_on(d->sw) : 0;

	if (r < 0) {
		log_err("daemon", "can't go on: %s", strerror(-r));
		d->exit_status = 1;
		event_base_loopbreak(d->base);
		return;
	}
	d->live = true;
	daemon_control_all(d, true);
	set_quiet(d, false);
	event_active(d->reap, EV_TIMEOUT, 0); /* what left meanwhile */
	/* What couldn't be read would fail every other upgrade, too. */
	daemon_compact(d, !strcmp(err->reason, "bad-state"));
	if (d->upgrade_call)
		rpc_error(d->upgrade_call, err);
	d->upgrade_call = NULL;
}

static void on_leave(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = { .tv_usec = LEAVE_MS * 1000 };
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (!rpc_server_sent(d->rpc) && d->leave_tries++ < LEAVE_TRIES)
		event_add(d->leave, &tv);
	else
		event_base_loopbreak(d->base);
}

static void on_done(struct daemon *d, const struct proto_msg *m)
{
	struct timeval tv = { .tv_usec = LEAVE_MS * 1000 };

	d->handed_over = true;
	/* Before anybody hears of the success, who might detach one. */
	switch_let_go(d->sw);
	if (d->upgrade_call)
		rpc_reply(d->upgrade_call,
			  json_pack("{s:s,s:s,s:f}", "from", PACKAGE_VERSION,
				    "version", m->text, "paused-ms",
				    m->head.arg / 1000.0));
	d->upgrade_call = NULL;
	d->leave = daemon_event(d, -1, 0, on_leave, NULL);
	if (d->leave)
		event_add(d->leave, &tv);
	else
		event_base_loopbreak(d->base);
}

/* ---- The new process's side ---- */

static void on_go(struct daemon *d)
{
	struct error err = { 0 };

	if (daemon_go(d, &err) == 0)
		return;
	log_err("daemon", "%s", err.message);
	/* The other one goes on with all of it. */
	switch_halt(d->sw);
	d->handed_over = true;
	broker_say_failed(d->broker, &err);
	d->exit_status = 1;
	event_base_loopbreak(d->base);
}

/* ---- Orders ---- */

/* One at a time: an earlier one may have ended what the next is about. */
static void obey(struct daemon *d, const struct proto_msg *m)
{
	switch (m->head.type) {
	case PROTO_GO:
		if (!d->live && !d->quiet)
			on_go(d);
		break;
	case PROTO_STOP:
		event_base_loopbreak(d->base);
		break;
	case PROTO_RELOAD:
		if (!d->quiet)
			daemon_hup(d);
		break;
	case PROTO_HAND_OVER:
		if (d->live && d->quiet)
			on_hand_over(d);
		break;
	case PROTO_RESUME:
		if (d->quiet)
			on_resume(d, &m->error);
		break;
	case PROTO_DONE:
		if (d->quiet && !d->live)
			on_done(d, m);
		break;
	default:
		log_warning("daemon", "the monitor orders what isn't known: %u",
			    m->head.type);
	}
}

static void on_monitor_gone(struct daemon *d)
{
	event_del(d->order);
	if (d->quiet || !d->live) {
		/* One of two, and nobody to say which one goes on: the one that
		 * forwards. */
		if (!d->live || d->handed_over) {
			event_base_loopbreak(d->base);
			return;
		}
		set_quiet(d, false);
		if (d->upgrade_call)
			rpc_fail(d->upgrade_call, ENOTCONN, "monitor-gone",
				 NULL, "the monitor process is gone");
		d->upgrade_call = NULL;
	}
	switch_event(d->sw, "monitor.gone", NULL);
}

void daemon_on_order(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	struct proto_msg m;
	int r = broker_order(d->broker, &m);

	(void)fd;
	(void)what;
	if (r > 0)
		obey(d, &m);
	else if (r < 0)
		on_monitor_gone(d);
}
