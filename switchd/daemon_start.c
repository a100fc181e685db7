/* How the daemon gets ready: fresh, after a crash, or in an upgrade. See
 * daemon.h. */
#include "switchd/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/fastpath_map.h"
#include "switchd/journal.h"
#include "switchd/ledger.h"
#include "switchd/listener.h"
#include "switchd/methods.h"
#include "switchd/notify.h"
#include "switchd/roles.h"
#include "switchd/sockets.h"

#include <errno.h>
#include <sched.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- The pieces ---- */

/* Half of the CPUs that this process may use, for guests want the others. */
static unsigned int workers_default(void)
{
	cpu_set_t cpus;
	unsigned int n = 2;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (unsigned int)CPU_COUNT(&cpus);
	n /= 2;
	return n < 1 ? 1 : n > SWITCH_WORKERS_MAX ? SWITCH_WORKERS_MAX : n;
}

/* Everything that the file or the command line leaves open. */
static int resolve(struct daemon *d, struct error *err)
{
	json_t *config = json_pack("{s:O*}", "daemon", d->daemon_json);

	config_daemon(config, &d->settings);
	json_decref(config);
	if (d->options.workers)
		d->settings.workers = d->options.workers;
	if (!d->settings.workers)
		d->settings.workers = workers_default();
	if (!d->broker)
		return sockets_resolve(&d->settings, d->options.socket, err);
	snprintf(d->settings.socket, sizeof(d->settings.socket), "%s",
		 d->start.facts.socket);
	snprintf(d->settings.helper_socket, sizeof(d->settings.helper_socket),
		 "%s", d->start.facts.helper_socket);
	return 0;
}

/* The CPU port is a TAP like others, which the monitor has made. */
static struct port *open_cpu_port(int fd, struct error *err)
{
	struct port_request rq = { .type = "tap", .name = "cpu" };
	struct port_grant grant = { .nfds = 1,
				    .fd = { fd },
				    .mtu = PORT_MTU_MAX,
				    .vnet_len = ETHER_VNET_LEN };

	/* It keeps neither. */
	/* cppcheck-suppress returnDanglingLifetime */
	return port_ops_tap.open(&rq, &grant, err);
}

/* There may be none: then everything works by packet sockets. */
static void open_fastpath(struct daemon *d)
{
	struct fdb_config fdb = FDB_CONFIG_INIT;
	struct fastpath_extent e = { 0 };
	struct proto_fastpath facts;
	struct error err = { 0 };
	int fd[FASTPATH_FDS];

	if (broker_fastpath(d->broker, &facts, fd, &err) < 0) {
		log_info("fastpath", "%s", err.message);
		return;
	}
	fdb.entries = facts.fdb_entries;
	fdb.ports = facts.ports_max;
	e = (struct fastpath_extent){ .version = facts.version,
				      .ports_max = facts.ports_max,
				      .cpus = facts.cpus,
				      .fdb_size = fdb_memory_size(&fdb) };
	d->fastpath = fastpath_open(&e, fd, &err);
	if (d->fastpath)
		d->cpu_port = open_cpu_port(fastpath_cpu_fd(d->fastpath), &err);
	if (d->cpu_port)
		return;
	log_warning("fastpath", "%s", err.message);
	fastpath_free(d->fastpath);
	d->fastpath = NULL;
}

static int make_switch(struct daemon *d, struct error *err)
{
	struct switch_options o = {
		.workers = d->settings.workers,
		.threads = true,
		.ports_max = d->settings.ports_max,
		.fdb_entries = d->settings.fdb_entries,
		.broker = d->broker,
		.fdb_fd = d->broker ? d->start.kept[KEEP_FDB] : -1,
		.fdb_kept = d->restored,
	};

	open_fastpath(d);
	o.fastpath = d->fastpath;
	o.cpu_port = d->cpu_port;
	if (getrandom(o.fdb_secret, sizeof(o.fdb_secret), 0) < 0)
		return error_set(err, errno, "no-random", NULL, "getrandom: %s",
				 strerror(errno));
	d->sw = switch_new(&o, err);
	if (!d->sw)
		return -EINVAL;
	daemon_hook(d);
	if (d->broker)
		d->sw->started_ns = d->start.facts.started_ns;
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

static int open_sockets(struct daemon *d, gid_t gid, struct error *err)
{
	int fd = d->broker ? d->start.control_fd : notify_listen_fd(), r;

	r = fd >= 0 ? rpc_server_adopt(d->rpc, fd, err)
		    : rpc_server_listen(d->rpc, d->settings.socket,
					sockets_mode(d->daemon_json), gid, err);
	if (r < 0)
		return r;
	if (d->broker)
		return rpc_server_adopt(d->helper, d->start.helper_fd, err);
	return rpc_server_listen(d->helper, d->settings.helper_socket,
				 SOCKETS_HELPER_MODE, (gid_t)-1, err);
}

/* Is there a monitor that has had a switch before? */
static bool is_restart(const struct daemon *d)
{
	return d->broker && d->start.facts.restarts > 0 &&
	       !(d->start.facts.flags & PROTO_START_UPGRADE);
}

/*
 * A user who was removed from the system since the configuration was read must
 * not keep a switch that has crashed from coming back.
 */
static int load_roles(struct daemon *d, gid_t gid, struct error *err)
{
	bool crashed = is_restart(d);
	int r = roles_load(d->daemon_json, gid, broker_id, d->broker, &d->roles,
			   err);

	if (r == 0 || !crashed)
		return r;
	log_err("daemon",
		"%s, at %s: until the configuration is read again without "
		"that, only root may use the control socket",
		err->message, err->path);
	*err = (struct error){ 0 };
	return roles_load(NULL, (gid_t)-1, broker_id, d->broker, &d->roles,
			  err);
}

static int make_sockets(struct daemon *d, struct error *err)
{
	gid_t gid = (gid_t)-1;
	int r = d->broker ? 0 : sockets_gid(&d->settings, &gid, err);

	if (d->broker)
		gid = d->start.facts.socket_gid;
	if (r == 0)
		r = load_roles(d, gid, err);
	if (r < 0)
		return r;
	d->rpc = rpc_server_new(
		d->base, daemon_methods, d,
		roles_configured(d->daemon_json) ? &access_limits : NULL);
	d->helper = rpc_server_new(d->base, daemon_helper_methods, d,
				   &helper_limits);
	if (!d->rpc || !d->helper)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	rpc_server_set_info(d->rpc, "switchd", PACKAGE_VERSION);
	rpc_server_set_guard(d->rpc, access_guard);
	rpc_server_pause(d->rpc, true);
	rpc_server_pause(d->helper, true);
	return open_sockets(d, gid, err);
}

/* Everything that doesn't depend on ports. */
static int make_parts(struct daemon *d, struct error *err)
{
	int r = resolve(d, err);

	/* The sockets before the devices: a second daemon must not get as far
	 * as taking the first one's TAPs. */
	if (r == 0)
		r = make_switch(d, err);
	if (r == 0)
		r = daemon_make_events(d, err);
	return r < 0 ? r : make_sockets(d, err);
}

/* ---- Memory ---- */

/* The predecessor's journal as an object, or NULL: none, or none to be
 * believed, *err says why. */
static json_t *read_state(struct daemon *d, struct error *err)
{
	json_t *state = NULL;

	if (!d->broker || d->start.kept[KEEP_JOURNAL] < 0)
		return NULL;
	if (journal_read(d->start.kept[KEEP_JOURNAL], &state, err) < 0)
		return NULL;
	return state;
}

static void close_kept(struct daemon *d)
{
	for (int i = 0; d->broker && i < KEEP_COUNT; i++) {
		if (d->start.kept[i] >= 0)
			close(d->start.kept[i]);
		d->start.kept[i] = -1;
	}
}

void daemon_remember(void *ctx, const char *key, const json_t *value)
{
	struct daemon *d = ctx;
	int r;

	if (!d->journal)
		return;
	r = journal_put(d->journal, key, value);
	if (r == 0)
		return;
	d->forgetful = true;
	log_err("daemon", "%s wouldn't be remembered over a crash: %s", key,
		strerror(-r));
}

/* A journal with just what is now, in place of the one before. */
static int new_journal(struct daemon *d)
{
	struct journal *old = d->journal;
	int r;

	d->journal = journal_new();
	d->forgetful = false;
	r = d->journal ? 0 : -errno;
	if (r == 0) {
		if (d->daemon_json)
			daemon_remember(d, "daemon", d->daemon_json);
		switch_remember_all(d->sw);
		r = broker_keep(d->broker, KEEP_JOURNAL,
				journal_fd(d->journal));
	}
	if (r == 0) {
		journal_free(old);
		return 0;
	}
	journal_free(d->journal);
	d->journal = old;
	return r;
}

void daemon_compact(struct daemon *d, bool anyway)
{
	int r;

	if (!d->journal || (!anyway && !journal_bloated(d->journal)))
		return;
	r = new_journal(d);
	if (r < 0)
		log_warning("daemon", "the journal can't be written anew: %s",
			    strerror(-r));
}

/* Have the monitor keep what we have, for the one after us. */
static int keep_all(struct daemon *d, struct error *err)
{
	int r = new_journal(d);

	if (r == 0)
		r = broker_keep(d->broker, KEEP_LEDGER,
				ledger_fd(d->sw->shared.ledger));
	/* The kernel's own is the monitor's in any case. */
	if (r == 0 && !d->fastpath)
		r = broker_keep(d->broker, KEEP_FDB, switch_fdb_fd(d->sw));
	if (r < 0)
		return error_set(err, -r, "no-memory", NULL,
				 "the monitor can't keep our memory: %s",
				 strerror(-r));
	return 0;
}

/* ---- The three ways ---- */

static void attach_what_goes(struct daemon *d, const json_t *ports)
{
	json_t *w;
	size_t i;

	json_array_foreach(ports, i, w) {
		const char *name = rpc_get_string(w, "name", "");
		json_t *params = json_copy(w);
		struct error why = { 0 };

		json_object_del(params, "name");
		if (!switch_attach(d->sw, name, params, SWITCH_ORIGIN_CONFIG, 0,
				   &why)) {
			log_err("port",
				"%s: %s; attached with the next config.apply",
				name, why.message);
			switch_missing_add(d->sw, name, params,
					   SWITCH_ORIGIN_CONFIG, 0);
		}
		json_decref(params);
	}
}

static void listen_where_it_goes(struct daemon *d, const json_t *listeners)
{
	json_t *w;
	size_t i;

	json_array_foreach(listeners, i, w) {
		const char *name = rpc_get_string(w, "name", "");
		struct error why = { 0 };

		if (listener_add(d->sw, name, w, SWITCH_ORIGIN_CONFIG, &why) <
		    0)
			log_err("listener",
				"%s: %s; there with the next config.apply",
				name, why.message);
	}
}

/*
 * A switch that has lost its memory comes back without a port whose device
 * isn't there just now, rather than not at all.
 */
static int apply_what_goes(struct daemon *d, const json_t *config,
			   struct error *err)
{
	json_t *rest = json_copy((json_t *)(uintptr_t)config);
	struct config_changes c = { 0 };
	int r;

	json_object_del(rest, "ports");
	json_object_del(rest, "listeners");
	r = config_apply(d->sw, rest, &c, err);
	json_decref(rest);
	if (r < 0)
		return r;
	attach_what_goes(d, json_object_get(config, "ports"));
	listen_where_it_goes(d, json_object_get(config, "listeners"));
	return 0;
}

static int apply_file(struct daemon *d, struct error *err)
{
	const char *file = d->options.config;
	struct config_changes c = { 0 };
	json_t *config;
	int r, fd = broker_config_open(d->broker, file, err);

	if (fd < 0)
		return fd;
	if (!is_restart(d))
		return config_apply_file(d->sw, fd, file, NULL, NULL, NULL, &c,
					 err);
	config = config_load(fd, file, err);
	r = config ? apply_what_goes(d, config, err) : -EINVAL;
	json_decref(config);
	return r;
}

static int load_file(struct daemon *d, struct error *err)
{
	const char *file = d->options.config;
	json_t *config;
	int fd;

	if (!file)
		return 0;
	fd = broker_config_open(d->broker, file, err);
	if (fd < 0)
		return fd;
	config = config_load(fd, file, err);
	if (!config)
		return -EINVAL;
	d->daemon_json = json_incref(json_object_get(config, "daemon"));
	json_decref(config);
	return 0;
}

static int start_fresh(struct daemon *d, struct error *err)
{
	int r = load_file(d, err);

	if (r == 0)
		r = make_parts(d, err);
	if (r == 0 && d->options.config)
		r = apply_file(d, err);
	return r < 0 ? r : daemon_go(d, err);
}

static int load_state(struct daemon *d, const json_t *state, bool upgrade,
		      struct error *err)
{
	json_t *daemon = json_object_get(state, "daemon");
	json_t *config = json_pack("{s:O*}", "daemon", daemon);
	unsigned int failed = 0;
	int r = config_check(config, err);

	json_decref(config);
	d->daemon_json = json_incref(daemon);
	d->restored = true;
	if (r == 0)
		r = make_parts(d, err);
	if (r == 0) {
		d->sw->borrowed = true;
		r = switch_restore(d->sw, state, &failed, err);
	}
	/* A crash leaves no choice; an upgrade that loses a port is none. */
	if (r == 0 && failed && upgrade)
		return err->err ? -err->err : -EINVAL;
	return r;
}

int daemon_start(struct daemon *d, struct error *err)
{
	bool upgrade;
	json_t *state;
	int r;

	d->base = event_base_new();
	if (!d->base)
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "can't make the event loop");
	if (d->options.monitored) {
		d->broker = broker_new(&d->start, err);
		if (!d->broker)
			return -err->err;
		broker_be_keeper(d->broker);
		d->order = daemon_event(d, broker_fd(d->broker),
					EV_READ | EV_PERSIST, daemon_on_order,
					NULL);
		if (!d->order)
			return error_set(err, ENOMEM, "no-memory", NULL,
					 "no memory");
	}
	upgrade = d->broker && d->start.facts.flags & PROTO_START_UPGRADE;
	state = read_state(d, err);
	if (!state && upgrade)
		return err->err ? -err->err
				: error_set(err, EINVAL, "bad-state", NULL,
					    "there is no state to go on with");
	if (!state && err->err) {
		log_err("daemon",
			"what was remembered can't be used (%s): back to the "
			"configuration",
			err->message);
		*err = (struct error){ 0 };
		close_kept(d); /* the indexes in it mean nothing now */
	}
	if (!state)
		return start_fresh(d, err);
	r = load_state(d, state, upgrade, err);
	json_decref(state);
	if (r < 0)
		return r;
	*err = (struct error){ 0 };
	if (!upgrade)
		return daemon_go(d, err);
	broker_say(d->broker, PROTO_READY, PACKAGE_VERSION, 0);
	return 0;
}

/* What the frames needn't wait for. */
static int take_memory(struct daemon *d, struct error *err)
{
	struct error why = { 0 };
	int ledger = d->start.kept[KEEP_LEDGER], r;

	if (ledger >= 0 && switch_counters_adopt(d->sw, ledger, &why) < 0)
		log_err("daemon", "counters begin at 0: %s", why.message);
	switch_counters_settle(d->sw);
	d->sw->hooks.remember = daemon_remember;
	r = keep_all(d, err);
	close_kept(d);
	return r;
}

int daemon_go(struct daemon *d, struct error *err)
{
	uint64_t now;
	int r;

	switch_take_over(d->sw);
	d->live = true;
	daemon_control_all(d, true);
	daemon_listen(d, true);
	switch_commit(d->sw);
	now = clock_ns();
	r = d->broker ? take_memory(d, err) : 0;
	if (r < 0)
		return r;
	broker_forget(d->broker);
	rpc_server_pause(d->rpc, false);
	rpc_server_pause(d->helper, false);
	broker_say_since(d->broker, PROTO_RUNNING, d->sw->nports, now);
	log_notice("daemon", "%s ready on %s: %u ports", PACKAGE_STRING,
		   d->settings.socket, d->sw->nports);
	return 0;
}
