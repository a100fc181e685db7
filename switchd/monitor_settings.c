/* What the monitor takes from its configuration: who, what, where. See
 * monitor_internal.h. */
#include "switchd/monitor_internal.h"

#include "base/ids.h"
#include "base/log.h"
#include "ports/netdev_guard.h"
#include "ports/slirp.h"
#include "switchd/isolate.h"
#include "switchd/notify.h"
#include "switchd/sockets.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

/* What we hold beyond ports, as those of a reload that are still leaving. */
#define GRANTS_EXTRA 1024

/* ---- The root-owned part of the configuration ---- */

/* Who may write to the file decides what is opened. */
static int check_owner(int fd, const char *file, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, errno, "no-config", NULL, "%s: %s", file,
				 strerror(errno));
	if ((st.st_uid == 0 || st.st_uid == geteuid()) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	if (!ids_exist(false, st.st_uid))
		return error_set(err, EPERM, "config-writable", NULL,
				 "%s is of a user whom this user namespace "
				 "hasn't: take a file of your own",
				 file);
	return error_set(err, EPERM, "config-writable", NULL,
			 "%s says what may be opened as root, and others than "
			 "root may write to it: chown root it, chmod go-w it",
			 file);
}

static int settings_take(struct monitor *m, const json_t *config,
			 struct error *err)
{
	json_t *daemon = json_object_get(config, "daemon");
	struct policy p;

	if (policy_init(&p, json_object_get(daemon, "allow")) < 0)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	policy_fini(&m->policy);
	m->policy = p;
	json_decref(m->daemon);
	m->daemon = json_incref(daemon);
	return 0;
}

int monitor_settings_load(struct monitor *m, int *fd, struct error *err)
{
	const char *file = m->options->config;
	int own, r;
	json_t *config;

	if (fd)
		*fd = -1;
	if (!file)
		return settings_take(m, NULL, err);
	own = config_open(file, err);
	if (own < 0)
		return own;
	r = check_owner(own, file, err);
	if (r < 0) {
		close(own);
		return r;
	}
	/* The descriptor that is given away has a position of its own. */
	if (fd)
		*fd = config_open(file, err);
	config = config_load(own, file, err);
	if (!config)
		return -EINVAL;
	r = settings_take(m, config, err);
	json_decref(config);
	return r;
}

void monitor_grants_init(struct monitor *m)
{
	uint32_t ports = m->settings.ports_max;

	grants_init(&m->grants,
		    (ports ? ports : SWITCH_PORTS_DEFAULT) + GRANTS_EXTRA);
}

void monitor_fastpath_use(struct monitor *m, struct fastpath_kernel *k)
{
	m->fastpath = m->grants.fastpath = k;
	netdev_guard_program(k ? fastpath_kernel_tc(k) : -1);
}

void monitor_fastpath_make(struct monitor *m)
{
	const struct config_daemon *d = &m->settings;
	const struct fastpath_sizes sizes = {
		.fdb_entries =
			d->fdb_entries ? d->fdb_entries : FDB_ENTRIES_DEFAULT,
		.ports_max = d->ports_max ? d->ports_max : SWITCH_PORTS_DEFAULT,
	};
	struct error err = { 0 };

	if (!d->fast_path) {
		snprintf(m->no_fastpath, sizeof(m->no_fastpath),
			 "the configuration says daemon.fast-path=false");
		return;
	}
	monitor_fastpath_use(m, fastpath_kernel_new(&sizes, &err));
	if (m->fastpath)
		return;
	snprintf(m->no_fastpath, sizeof(m->no_fastpath), "%s", err.message);
	log_notice("monitor",
		   "no kernel fast path: %s; netdev ports work by packet "
		   "sockets",
		   err.message);
}

/* ---- The switch's user, the sockets ---- */

int monitor_find_user(struct monitor *m, struct error *err)
{
	bool fallback;
	int r = isolate_user(m->settings.user, &m->uid, &m->gid, &fallback,
			     err);

	if (r == 0 && fallback)
		log_notice("monitor",
			   "there is no user switchd (systemd-sysusers "
			   "makes it): the switch runs as nobody");
	if (r == 0 && !m->uid)
		log_notice("monitor",
			   "this user namespace has no user for the switch: it "
			   "keeps ours, without capabilities, files and most "
			   "system calls");
	if (r == 0)
		slirp_run_as(m->uid, m->gid);
	return r;
}

static int open_control(struct monitor *m, struct error *err)
{
	return rpc_listener_open(&m->control, m->settings.socket,
				 sockets_mode(m->daemon), m->socket_gid, err);
}

static int open_helper(struct monitor *m, struct error *err)
{
	return rpc_listener_open(&m->helper, m->settings.helper_socket,
				 SOCKETS_HELPER_MODE, (gid_t)-1, err);
}

/* Nobody gets in there any more? */
static bool is_shut(const struct rpc_listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLRDHUP };

	return l->fd < 0 || poll(&p, 1, 0) == 1;
}

void monitor_listen_again(struct monitor *m)
{
	struct error err = { 0 };

	/* The service manager's can't be had anew. */
	if (is_shut(&m->control) && (m->control.path || m->control.fd < 0)) {
		rpc_listener_close(&m->control);
		if (open_control(m, &err) < 0)
			log_err("monitor", "%s", err.message);
	}
	if (is_shut(&m->helper)) {
		rpc_listener_close(&m->helper);
		if (open_helper(m, &err) < 0)
			log_err("monitor", "%s", err.message);
	}
}

int monitor_listen(struct monitor *m, struct error *err)
{
	int fd = notify_listen_fd();
	int r = 0;

	if (fd >= 0)
		m->control = (struct rpc_listener){ .fd = fd, .lock_fd = -1 };
	else
		r = open_control(m, err);
	return r < 0 ? r : open_helper(m, err);
}
