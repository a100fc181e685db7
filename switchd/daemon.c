#include "switchd/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "ports/link.h"
#include "ports/pcap.h"
#include "switchd/fastpath_map.h"
#include "switchd/journal.h"
#include "switchd/notify.h"
#include "switchd/roles.h"
#include "switchd/switch_fast.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_S		 1  /* the one timer of an idle switch */
#define AGE_SWEEP_S	 16 /* the whole FDB is swept in so many ticks */
#define REAP_MS		 1
#define FDB_EVENTS_MS	 100
#define FDB_EVENTS_BATCH 256

uint32_t daemon_now_s(void)
{
	return (uint32_t)(clock_coarse_ns() / CLOCK_NS_PER_S);
}

/* ---- Hooks of the switch ---- */

static void hook_dirty(void *ctx)
{
	struct daemon *d = ctx;

	/* Behind the other events of this round: many changes, one snapshot */
	event_active(d->commit, EV_TIMEOUT, 0);
}

static void hook_event(void *ctx, const char *topic, json_t *params)
{
	struct daemon *d = ctx;

	rpc_server_notify(d->rpc, "event", topic, params);
}

static bool hook_wanted(void *ctx, const char *topic)
{
	struct daemon *d = ctx;

	return d->rpc && rpc_server_wanted(d->rpc, topic);
}

static bool is_type(const struct switch_port *p, const char *type)
{
	return !strcmp(p->config.request.type, type);
}

/* Recorders want to know the others by name. */
static void name_in_pcap(struct switch_port *pcap, const struct switch_port *p,
			 const char *name)
{
	int r = pcap_port_name(pcap->port, (uint16_t)p->port->index, name);

	if (r < 0)
		log_warning("port", "%s: can't name %s: %s",
			    pcap->config.request.name, p->config.request.name,
			    strerror(-r));
}

/* Gone, or moved into another namespace. A `tap` port has its descriptor and
 * goes on: where the device is really gone, rx says so. */
static void device_gone(struct daemon *d, struct switch_port *p)
{
	if (!is_type(p, "tap")) {
		switch_detach(d->sw, p, "device-gone");
		return;
	}
	p->elsewhere = true;
	p->up = p->carrier = true; /* from here on nobody tells us */
}

static void hook_attached(void *ctx, struct switch_port *p)
{
	struct daemon *d = ctx;
	struct switch_port *other = NULL;
	struct link_event now;
	int r;

	while ((other = switch_port_next(d->sw, other))) {
		if (is_type(other, "pcap"))
			name_in_pcap(other, p, p->config.request.name);
		if (is_type(p, "pcap"))
			name_in_pcap(p, other, other->config.request.name);
	}
	daemon_control_watch(d, p);
	if (!p->grant.ifindex || p->elsewhere)
		return;
	r = link_monitor_watch(d->links, p->grant.ifindex, &now);
	if (r == -ENODEV)
		device_gone(d, p);
	else if (r < 0)
		log_warning("port", "%s: can't watch its device: %s",
			    p->config.request.name, strerror(-r));
	else
		switch_port_link(d->sw, p, now.ifname, now.up, now.carrier,
				 now.mtu);
}

static void hook_gone(void *ctx, struct switch_port *p)
{
	struct daemon *d = ctx;
	struct switch_port *other = NULL;

	daemon_control_unwatch(p);
	if (p->grant.ifindex && !p->elsewhere)
		link_monitor_unwatch(d->links, p->grant.ifindex);
	while ((other = switch_port_next(d->sw, other)))
		if (is_type(other, "pcap"))
			name_in_pcap(other, p, NULL);
}

void daemon_hook(struct daemon *d)
{
	d->sw->hooks = (struct switch_hooks){
		.dirty = hook_dirty,
		.event = hook_event,
		.wanted = hook_wanted,
		.attached = hook_attached,
		.gone = hook_gone,
		.ctx = d,
	};
}

/* ---- Events of the loop ---- */

static void reap_later(struct daemon *d)
{
	struct timeval tv = { .tv_usec = REAP_MS * 1000 };

	if (switch_reap(d->sw))
		event_add(d->reap, &tv);
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (!d->live)
		return;
	switch_commit(d->sw);
	reap_later(d);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	/* In an upgrade: not before it's certain whose the device is. */
	if (d->live)
		reap_later(d);
}

static void on_link(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	int r = d->quiet ? 0 : link_monitor_dispatch(d->links);

	(void)fd;
	(void)what;
	if (r < 0)
		log_err("port", "link monitor: %s", strerror(-r));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	uint32_t buckets = fdb_buckets(d->sw->shared.fdb);

	(void)fd;
	(void)what;
	if (!d->live) /* the FDB is another process's */
		return;
	fdb_age(d->sw->shared.fdb, daemon_now_s(),
		buckets / AGE_SWEEP_S ? buckets / AGE_SWEEP_S : buckets);
	switch_fast_tick(d->sw, daemon_now_s());
	/* It wakes the monitor: not for nothing. */
	if (d->broker && d->start.facts.flags & PROTO_START_WATCHED)
		broker_say(d->broker, PROTO_ALIVE, NULL, 0);
	daemon_compact(d, false);
	switch_balance(d->sw, clock_ns());
	if (link_monitor_pending(d->links))
		on_link(-1, 0, d);
	if (d->sw->dirty) /* a snapshot that found no memory */
		event_active(d->commit, EV_TIMEOUT, 0);
	if (d->watchdog_ns)
		notify_send("WATCHDOG=1");
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	switch_ports_failed(d->sw);
}

static void link_changed(void *ctx, const struct link_event *e)
{
	struct daemon *d = ctx;
	struct switch_port *p = switch_port_by_ifindex(d->sw, e->ifindex);

	if (!p)
		return;
	if (e->kind == LINK_GONE)
		device_gone(d, p);
	else
		switch_port_link(d->sw, p, e->ifname, e->up, e->carrier,
				 e->mtu);
}

static void on_fdb_events(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	daemon_fdb_events(arg);
}

static void on_stop(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	/* systemd and a terminal tell both processes; the monitor tells us. */
	if (d->broker && !broker_gone(d->broker))
		return;
	log_notice("daemon", "signal %d: stopping", (int)sig);
	notify_send("STOPPING=1");
	event_base_loopbreak(d->base);
}

void daemon_hup(struct daemon *d)
{
	struct config_changes c = { 0 };
	struct error err = { 0 };

	broker_say(d->broker, PROTO_RELOADING, NULL, 0);
	if (!d->broker)
		notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
			    (unsigned long long)(clock_ns() / 1000));
	if (daemon_reload(d, &c, &err) < 0)
		log_err("config", "%s%s%s; nothing has changed", err.message,
			*err.path ? ", at " : "", err.path);
	else
		log_notice("config",
			   "reloaded: %u attached, %u detached, %u changed",
			   c.attached, c.detached, c.changed);
	broker_say(d->broker, PROTO_RUNNING, NULL, d->sw->nports);
	if (!d->broker)
		notify_send("READY=1");
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)sig;
	(void)what;
	if (!d->broker || broker_gone(d->broker))
		daemon_hup(d);
}

/* ---- Addresses come and go ---- */

static const char *fdb_topic(enum fdb_event_type type)
{
	switch (type) {
	case FDB_EVENT_LEARNED:
		return "fdb.learned";
	case FDB_EVENT_MOVED:
		return "fdb.moved";
	case FDB_EVENT_AGED:
		return "fdb.aged";
	default:
		return "fdb.evicted";
	}
}

static const char *port_name(struct sw *sw, uint32_t index)
{
	return index < sw->index_end && sw->port[index]
		       ? sw->port[index]->config.request.name
		       : "";
}

static void fdb_event_tell(struct daemon *d, const struct fdb_event *e)
{
	const char *topic = fdb_topic(e->type);
	char mac[MAC_STRLEN];
	json_t *params;

	if (!hook_wanted(d, topic))
		return;
	params = json_pack("{s:s,s:i,s:s}", "mac",
			   mac_format(fdb_key_mac(e->key), mac), "vlan",
			   (int)fdb_key_vid(e->key), "port",
			   port_name(d->sw, e->port));
	if (e->old_port != FDB_NONE)
		json_object_set_new(params, "from",
				    json_string(port_name(d->sw, e->old_port)));
	hook_event(d, topic, params);
}

void daemon_fdb_events(struct daemon *d)
{
	struct timeval tv = { .tv_usec = FDB_EVENTS_MS * 1000 };
	struct fdb_event e[FDB_EVENTS_BATCH];
	bool wanted =
		hook_wanted(d, "fdb.learned") || hook_wanted(d, "fdb.moved") ||
		hook_wanted(d, "fdb.aged") || hook_wanted(d, "fdb.evicted");
	uint64_t lost;
	unsigned int n;

	if (fdb_events_enable(d->sw->shared.fdb, wanted) < 0 || !wanted)
		return;
	n = fdb_events_drain(d->sw->shared.fdb, e, FDB_EVENTS_BATCH, &lost);
	for (unsigned int i = 0; i < n; i++)
		fdb_event_tell(d, &e[i]);
	if (lost)
		hook_event(d, "fdb.lost",
			   json_pack("{s:I}", "count", (json_int_t)lost));
	event_add(d->fdb_events, &tv);
}

/* ---- Start ---- */

struct event *daemon_event(struct daemon *d, int fd, short what,
			   event_callback_fn fn, const struct timeval *tv)
{
	struct event *ev = event_new(d->base, fd, what, fn, d);

	if (ev && (what || tv) && event_add(ev, tv) < 0) {
		event_free(ev);
		return NULL;
	}
	return ev;
}

int daemon_make_events(struct daemon *d, struct error *err)
{
	struct timeval tick = { .tv_sec = TICK_S };
	uint64_t half = notify_watchdog_ns();

	if (half && half < TICK_S * CLOCK_NS_PER_S) {
		tick.tv_sec = (time_t)(half / CLOCK_NS_PER_S);
		tick.tv_usec = (suseconds_t)(half % CLOCK_NS_PER_S / 1000);
	}
	d->watchdog_ns = half;
	d->links = link_monitor_new(link_changed, d);
	if (!d->links)
		return error_set(err, errno, "no-netlink", NULL, "netlink: %s",
				 strerror(errno));
	d->commit = daemon_event(d, -1, 0, on_commit, NULL);
	d->reap = daemon_event(d, -1, 0, on_reap, NULL);
	d->fdb_events = daemon_event(d, -1, 0, on_fdb_events, NULL);
	d->tick = daemon_event(d, -1, EV_PERSIST, on_tick, &tick);
	d->failed = daemon_event(d, d->sw->shared.failed_fd,
				 EV_READ | EV_PERSIST, on_failed, NULL);
	d->link = daemon_event(d, link_monitor_fd(d->links),
			       EV_READ | EV_PERSIST, on_link, NULL);
	d->sigterm =
		daemon_event(d, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop, NULL);
	d->sigint =
		daemon_event(d, SIGINT, EV_SIGNAL | EV_PERSIST, on_stop, NULL);
	d->sighup =
		daemon_event(d, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hup, NULL);
	if (!d->commit || !d->reap || !d->fdb_events || !d->tick ||
	    !d->failed || !d->link || !d->sigterm || !d->sigint || !d->sighup ||
	    daemon_listen_init(d) < 0)
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "can't make the event loop");
	return 0;
}

/* One that couldn't start, until the process ends. */
static struct daemon *abandoned;

struct daemon *daemon_new(const struct daemon_options *options,
			  struct error *err)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (!d) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	d->options = *options;
	if (daemon_start(d, err) < 0) {
		broker_say_failed(d->broker, err);
		/* With a monitor nothing is put back: what there is may be
		 * another process's, or the next one's. */
		if (d->broker)
			abandoned = d;
		else
			daemon_free(d);
		return NULL;
	}
	return d;
}

static void tell_applied(struct daemon *d, const struct config_changes *c)
{
	switch_event(d->sw, "config.applied",
		     json_pack("{s:i,s:i,s:i,s:i}", "attached",
			       (int)c->attached, "detached", (int)c->detached,
			       "changed", (int)c->changed, "unchanged",
			       (int)c->unchanged));
}

/* A daemon object without what a reload follows, a new reference. */
static json_t *fixed_part(const json_t *daemon)
{
	static const char *const follow[] = { "allow", "roles", "users" };
	json_t *o =
		daemon ? json_copy((json_t *)(uintptr_t)daemon) : json_object();

	for (unsigned int i = 0; i < sizeof(follow) / sizeof(follow[0]); i++)
		json_object_del(o, follow[i]);
	return o;
}

/* What is fixed for the life of the process can't follow. */
static void warn_fixed(const struct daemon *d, const json_t *config)
{
	const json_t *now = json_object_get(config, "daemon");
	json_t *a = fixed_part(now), *b = fixed_part(d->daemon_json);

	if (now && !json_equal(a, b))
		log_warning("config", "changes in \"daemon\" take effect when "
				      "switchd is started again");
	json_decref(a);
	json_decref(b);
}

int daemon_apply(struct daemon *d, const json_t *config,
		 struct config_changes *changes, struct error *err)
{
	int r = config_apply(d->sw, config, changes, err);

	if (r < 0)
		return r;
	warn_fixed(d, config);
	tell_applied(d, changes);
	return 0;
}

/* What can fail of new roles does so before anything has changed. *ctx: those
 * of now, and then the new ones. */
static int vet_roles(const json_t *config, void *ctx, struct error *err)
{
	struct roles **roles = ctx;

	return roles_reload(*roles, json_object_get(config, "daemon"), roles,
			    err);
}

static void take_roles(struct daemon *d, struct roles *roles,
		       const json_t *daemon_json)
{
	bool open = roles_configured(d->daemon_json);

	access_change(d, roles);
	if (open != roles_configured(daemon_json))
		log_warning("config", "the mode of the control socket follows "
				      "\"roles\" when switchd is started "
				      "again");
	if (roles_adopt(&d->daemon_json, daemon_json) < 0)
		log_err("config", "no memory: config.save knows the old roles");
	daemon_remember(d, "daemon", d->daemon_json);
}

int daemon_reload(struct daemon *d, struct config_changes *changes,
		  struct error *err)
{
	struct roles *roles = d->roles;
	json_t *config;
	int fd, r;

	if (!d->options.config)
		return error_set(err, ENOENT, "no-config", NULL,
				 "switchd was started without a configuration "
				 "file (-c)");
	fd = broker_config_open(d->broker, d->options.config, err);
	if (fd < 0)
		return fd;
	r = config_apply_file(d->sw, fd, d->options.config, vet_roles, &roles,
			      &config, changes, err);
	if (r < 0) {
		if (roles != d->roles)
			roles_free(roles);
		return r;
	}
	take_roles(d, roles, json_object_get(config, "daemon"));
	warn_fixed(d, config);
	json_decref(config);
	tell_applied(d, changes);
	return 0;
}

int daemon_run(struct daemon *d)
{
	if (!d->broker)
		notify_send("READY=1\nSTATUS=%u ports", d->sw->nports);
	event_base_dispatch(d->base);
	return d->exit_status;
}

void daemon_free(struct daemon *d)
{
	struct event *ev[] = {
		d ? d->commit : NULL,	 d ? d->reap : NULL,
		d ? d->tick : NULL,	 d ? d->failed : NULL,
		d ? d->link : NULL,	 d ? d->fdb_events : NULL,
		d ? d->sigterm : NULL,	 d ? d->sigint : NULL,
		d ? d->sighup : NULL,	 d ? d->order : NULL,
		d ? d->leave : NULL,	 d ? d->listen : NULL,
		d ? d->listen_due : NULL
	};

	if (!d)
		return;
	rpc_server_free(d->helper);
	rpc_server_free(d->rpc);
	d->rpc = d->helper = NULL;
	roles_free(d->roles);
	daemon_control_end(d);
	switch_free(d->sw);
	if (d->cpu_port)
		d->cpu_port->ops->close(d->cpu_port);
	fastpath_free(d->fastpath);
	for (unsigned int i = 0; i < sizeof(ev) / sizeof(ev[0]); i++)
		if (ev[i])
			event_free(ev[i]);
	link_monitor_free(d->links);
	if (d->base)
		event_base_free(d->base);
	json_decref(d->daemon_json);
	journal_free(d->journal);
	broker_free(d->broker);
	free(d);
}
