#include "switchd/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/rpc_client.h"
#include "ports/link.h"
#include "ports/pcap.h"
#include "switchd/notify.h"
#include "switchd/roles.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_S		 1  /* the one timer of an idle switch */
#define AGE_SWEEP_S	 16 /* the whole FDB is swept in so many ticks */
#define REAP_MS		 1
#define FDB_EVENTS_MS	 100
#define FDB_EVENTS_BATCH 256
#define WORKERS_DEFAULT	 1

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

	if (p->grant.ifindex && !p->elsewhere)
		link_monitor_unwatch(d->links, p->grant.ifindex);
	while ((other = switch_port_next(d->sw, other)))
		if (is_type(other, "pcap"))
			name_in_pcap(other, p, NULL);
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
	switch_commit(d->sw);
	reap_later(d);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reap_later(arg);
}

static void on_link(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	int r = link_monitor_dispatch(d->links);

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
	fdb_age(d->sw->shared.fdb, daemon_now_s(),
		buckets / AGE_SWEEP_S ? buckets / AGE_SWEEP_S : buckets);
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
	log_notice("daemon", "signal %d: stopping", (int)sig);
	notify_send("STOPPING=1");
	event_base_loopbreak(d->base);
}

static void on_hup(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	struct config_changes c = { 0 };
	struct error err = { 0 };

	(void)sig;
	(void)what;
	notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
		    (unsigned long long)(clock_ns() / 1000));
	if (daemon_reload(d, &c, &err) < 0)
		log_err("config", "%s%s%s; nothing has changed", err.message,
			*err.path ? ", at " : "", err.path);
	else
		log_notice("config",
			   "reloaded: %u attached, %u detached, %u changed",
			   c.attached, c.detached, c.changed);
	notify_send("READY=1");
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

/* The sockets: as said, or the default; the helper's beside the other. */
static int resolve_sockets(struct daemon *d, struct error *err)
{
	struct config_daemon *s = &d->settings;
	char path[CONFIG_PATH_MAX];
	const char *dir;
	bool chosen;

	if (d->options.socket)
		snprintf(s->socket, sizeof(s->socket), "%s", d->options.socket);
	chosen = *s->socket;
	if (!chosen && rpc_socket_path(s->socket, sizeof(s->socket)) < 0)
		return error_set(err, ENOENT, "no-socket-path", NULL,
				 "no place for the control socket: "
				 "XDG_RUNTIME_DIR isn't set; give one with -s");
	snprintf(path, sizeof(path), "%s", s->socket);
	dir = dirname(path);
	if (!chosen && mkdir(dir, 0755) < 0 && errno != EEXIST)
		log_warning("daemon", "can't make %s: %s", dir,
			    strerror(errno));
	if (!*s->helper_socket &&
	    snprintf(s->helper_socket, sizeof(s->helper_socket),
		     "%s/helper.sock", dir) >= (int)sizeof(s->helper_socket))
		return error_set(err, ENAMETOOLONG, "bad-value",
				 "daemon.socket",
				 "the socket's path is too long");
	return 0;
}

/* Everything that the file or the command line leaves open. */
static int resolve(struct daemon *d, const json_t *config, struct error *err)
{
	config_daemon(config, &d->settings);
	if (d->options.workers)
		d->settings.workers = d->options.workers;
	if (!d->settings.workers)
		d->settings.workers = WORKERS_DEFAULT;
	return resolve_sockets(d, err);
}

static int make_switch(struct daemon *d, struct error *err)
{
	struct switch_options o = {
		.workers = d->settings.workers,
		.threads = true,
		.ports_max = d->settings.ports_max,
		.fdb_entries = d->settings.fdb_entries,
	};

	if (getrandom(o.fdb_secret, sizeof(o.fdb_secret), 0) < 0)
		return error_set(err, errno, "no-random", NULL, "getrandom: %s",
				 strerror(errno));
	d->sw = switch_new(&o, err);
	if (!d->sw)
		return -EINVAL;
	d->sw->hooks = (struct switch_hooks){
		.dirty = hook_dirty,
		.event = hook_event,
		.wanted = hook_wanted,
		.attached = hook_attached,
		.gone = hook_gone,
		.ctx = d,
	};
	return 0;
}

static struct event *make_event(struct daemon *d, int fd, short what,
				event_callback_fn fn, const struct timeval *tv)
{
	struct event *ev = event_new(d->base, fd, what, fn, d);

	if (ev && (what || tv) && event_add(ev, tv) < 0) {
		event_free(ev);
		return NULL;
	}
	return ev;
}

static int make_events(struct daemon *d, struct error *err)
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
	d->commit = make_event(d, -1, 0, on_commit, NULL);
	d->reap = make_event(d, -1, 0, on_reap, NULL);
	d->fdb_events = make_event(d, -1, 0, on_fdb_events, NULL);
	d->tick = make_event(d, -1, EV_PERSIST, on_tick, &tick);
	d->failed = make_event(d, d->sw->shared.failed_fd, EV_READ | EV_PERSIST,
			       on_failed, NULL);
	d->link = make_event(d, link_monitor_fd(d->links), EV_READ | EV_PERSIST,
			     on_link, NULL);
	d->sigterm =
		make_event(d, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop, NULL);
	d->sigint =
		make_event(d, SIGINT, EV_SIGNAL | EV_PERSIST, on_stop, NULL);
	d->sighup = make_event(d, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hup, NULL);
	if (!d->commit || !d->reap || !d->fdb_events || !d->tick ||
	    !d->failed || !d->link || !d->sigterm || !d->sigint || !d->sighup)
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "can't make the event loop");
	return 0;
}

/* Group of the control socket: as configured, else "switchd" for root. */
static int socket_gid(const char *name, gid_t *gid, struct error *err)
{
	const struct group *g;

	*gid = (gid_t)-1;
	if (!*name && geteuid() != 0)
		return 0;
	g = getgrnam(*name ? name : "switchd");
	if (g)
		*gid = g->gr_gid;
	else if (*name)
		return error_set(err, ENOENT, "no-such-group",
				 "daemon.socket-group",
				 "there is no group \"%s\"", name);
	return 0;
}

/* Everybody may connect there, for one short call. */
static const struct rpc_limits helper_limits = {
	.max_line = 4096,
	.max_output = 16384,
	.max_conns = 256,
	.max_per_uid = 16,
	.max_life = 10,
};

static int make_sockets(struct daemon *d, struct error *err)
{
	/* With roles everybody may connect: they decide. */
	bool open = roles_configured(d->daemon_json);
	int fd = notify_listen_fd();
	gid_t gid;
	int r = socket_gid(d->settings.socket_group, &gid, err);

	if (r == 0)
		r = roles_load(d->daemon_json, gid, roles_resolve_system, NULL,
			       &d->roles, err);
	if (r < 0)
		return r;
	d->rpc = rpc_server_new(d->base, daemon_methods, d,
				open ? &access_limits : NULL);
	d->helper = rpc_server_new(d->base, daemon_helper_methods, d,
				   &helper_limits);
	if (!d->rpc || !d->helper)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	rpc_server_set_info(d->rpc, "switchd", PACKAGE_VERSION);
	rpc_server_set_guard(d->rpc, access_guard);
	r = fd >= 0 ? rpc_server_adopt(d->rpc, fd, err)
		    : rpc_server_listen(d->rpc, d->settings.socket,
					open ? 0666 : 0660, gid, err);
	if (r < 0)
		return r;
	/* Anybody may ask there: the ACL decides. */
	return rpc_server_listen(d->helper, d->settings.helper_socket, 0666,
				 (gid_t)-1, err);
}

static int start(struct daemon *d, struct error *err)
{
	const char *file = d->options.config;
	struct config_changes c = { 0 };
	json_t *config = NULL;
	int r;

	if (file) {
		config = config_load(file, err);
		if (!config)
			return -EINVAL;
	}
	d->daemon_json = json_incref(json_object_get(config, "daemon"));
	d->base = event_base_new();
	r = d->base ? resolve(d, config, err)
		    : error_set(err, ENOMEM, "no-memory", NULL,
				"can't make the event loop");
	json_decref(config);
	/* The sockets before the devices: a second daemon must not get as far
	 * as taking the first one's TAPs. */
	if (r == 0)
		r = make_switch(d, err);
	if (r == 0)
		r = make_events(d, err);
	if (r == 0)
		r = make_sockets(d, err);
	if (r == 0 && file)
		r = config_apply_file(d->sw, file, NULL, NULL, NULL, &c, err);
	if (r < 0)
		return r;
	switch_commit(d->sw);
	log_notice("daemon", "%s ready on %s: %u ports", PACKAGE_STRING,
		   d->settings.socket, c.attached);
	return 0;
}

struct daemon *daemon_new(const struct daemon_options *options,
			  struct error *err)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (!d) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	d->options = *options;
	if (start(d, err) < 0) {
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

/* What is fixed for the life of the process can't follow. */
static void warn_fixed(const struct daemon *d, const json_t *config)
{
	const json_t *now = json_object_get(config, "daemon");

	if (now && !json_equal(now, d->daemon_json))
		log_warning("config", "changes in \"daemon\" take effect when "
				      "switchd is started again");
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
}

int daemon_reload(struct daemon *d, struct config_changes *changes,
		  struct error *err)
{
	struct roles *roles = d->roles;
	json_t *config;
	int r;

	if (!d->options.config)
		return error_set(err, ENOENT, "no-config", NULL,
				 "switchd was started without a configuration "
				 "file (-c)");
	r = config_apply_file(d->sw, d->options.config, vet_roles, &roles,
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
	notify_send("READY=1\nSTATUS=%u ports", d->sw->nports);
	event_base_dispatch(d->base);
	return d->exit_status;
}

void daemon_free(struct daemon *d)
{
	struct event *ev[] = { d ? d->commit : NULL,  d ? d->reap : NULL,
			       d ? d->tick : NULL,    d ? d->failed : NULL,
			       d ? d->link : NULL,    d ? d->fdb_events : NULL,
			       d ? d->sigterm : NULL, d ? d->sigint : NULL,
			       d ? d->sighup : NULL };

	if (!d)
		return;
	rpc_server_free(d->helper);
	rpc_server_free(d->rpc);
	d->rpc = d->helper = NULL;
	roles_free(d->roles);
	switch_free(d->sw);
	for (unsigned int i = 0; i < sizeof(ev) / sizeof(ev[0]); i++)
		if (ev[i])
			event_free(ev[i]);
	link_monitor_free(d->links);
	if (d->base)
		event_base_free(d->base);
	json_decref(d->daemon_json);
	free(d);
}
