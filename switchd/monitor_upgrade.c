/* From one program to the next: see the picture in monitor.h. */
#include "switchd/monitor_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "ports/slirp.h"
#include "switchd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* How long each step may take; the first one opens every port. */
#define LOADING_NS  (30 * CLOCK_NS_PER_S)
#define STOPPING_NS (10 * CLOCK_NS_PER_S)
#define TAKING_NS   (10 * CLOCK_NS_PER_S)
#define LEAVING_NS  (10 * CLOCK_NS_PER_S)

static void step(struct monitor *m, enum upgrade to, uint64_t ns)
{
	m->upgrade = to;
	m->upgrade_ns = clock_ns() + ns;
}

void monitor_upgrade_fail(struct monitor *m, const struct error *err)
{
	unsigned int other = monitor_other(m);
	struct proto_msg msg;

	log_err("monitor", "no upgrade: %s", err->message);
	memset(&msg, 0, sizeof(msg));
	msg.error = *err;
	m->upgrade = UPGRADE_NONE;
	/* It may have begun to forward: only one may. */
	monitor_child_end(m, other);
	monitor_drop_kept(&m->child[other]);
	if (!m->child[m->active].pid) { /* it died meanwhile */
		m->restart_ns = clock_ns();
		return;
	}
	monitor_tell(m, m->active, PROTO_RESUME, &msg);
	monitor_reload(m);
}

static void fail(struct monitor *m, int err, const char *reason,
		 const char *what)
{
	struct error e;

	error_set(&e, err, reason, NULL, "%s; the old one goes on", what);
	monitor_upgrade_fail(m, &e);
}

void monitor_upgrade_begin(struct monitor *m)
{
	struct error e;
	int r;

	if (m->upgrade != UPGRADE_NONE) {
		/* The last one's old process is still leaving; a decent switch
		 * asks at no other time. */
		m->again = m->upgrade == UPGRADE_LEAVING;
		return;
	}
	m->again = false;
	if (!m->child[m->active].pid)
		return; /* who asked has died, and comes back first */
	log_notice("monitor", "upgrade: starting %s", m->exe);
	r = access(m->exe, X_OK) < 0
		    ? -errno
		    : monitor_child_start(m, monitor_other(m), m->exe);
	if (r == 0) {
		step(m, UPGRADE_LOADING, LOADING_NS);
		return;
	}
	error_set(&e, -r, "upgrade-failed", NULL,
		  "%s can't be started: %s; the old one goes on", m->exe,
		  strerror(-r));
	monitor_upgrade_fail(m, &e);
}

/* since_ns: since when nobody forwards. */
static void go(struct monitor *m, uint64_t since_ns)
{
	m->halt_ns = since_ns < clock_ns() ? since_ns : clock_ns();
	step(m, UPGRADE_TAKING, TAKING_NS);
	monitor_tell(m, monitor_other(m), PROTO_GO, NULL);
}

static void on_ready(struct monitor *m, const struct proto_msg *word)
{
	snprintf(m->upgrade_version, sizeof(m->upgrade_version), "%.60s",
		 word->text);
	if (!m->child[m->active].pid) { /* it has died meanwhile */
		go(m, clock_ns());
		return;
	}
	step(m, UPGRADE_STOPPING, STOPPING_NS);
	monitor_tell(m, m->active, PROTO_HAND_OVER, NULL);
}

/* By what it says itself: it has done more before it says it. */
static uint32_t paused_us(const struct monitor *m, uint64_t since_ns)
{
	uint64_t now = clock_ns();

	if (since_ns < m->halt_ns || since_ns > now)
		since_ns = now;
	return (uint32_t)((since_ns - m->halt_ns) / 1000);
}

static void on_running(struct monitor *m, const struct proto_msg *word)
{
	unsigned int old = m->active;
	struct proto_msg msg;
	uint32_t us = paused_us(m, word->since_ns);

	m->active = monitor_other(m);
	m->child[m->active].running = true;
	m->restart_ns = m->died_ns = 0;
	m->quick = 0;
	monitor_drop_kept(&m->child[old]);
	/* What only the old one had is nobody's now; a port that the new one
	 * detaches must go at once. */
	grants_unclaim(&m->grants, old);
	grants_sweep(&m->grants);
	log_notice("monitor", "upgrade: %s forwards", m->upgrade_version);
	notify_send("STATUS=%u ports", word->head.arg);
	memset(&msg, 0, sizeof(msg));
	memcpy(msg.text, m->upgrade_version, sizeof(m->upgrade_version));
	msg.head.arg = us;
	step(m, UPGRADE_LEAVING, LEAVING_NS);
	monitor_tell(m, old, PROTO_DONE, &msg);
	monitor_reload(m);
	if (!m->child[old].pid)
		monitor_upgrade_ended(m, old);
}

void monitor_upgrade_word(struct monitor *m, unsigned int slot,
			  const struct proto_msg *word)
{
	bool from_new = slot == monitor_other(m);

	if (from_new && word->head.type == PROTO_FAILED &&
	    (m->upgrade == UPGRADE_LOADING || m->upgrade == UPGRADE_TAKING))
		monitor_upgrade_fail(m, &word->error);
	else if (from_new && word->head.type == PROTO_READY &&
		 m->upgrade == UPGRADE_LOADING)
		on_ready(m, word);
	else if (!from_new && word->head.type == PROTO_STOPPED &&
		 m->upgrade == UPGRADE_STOPPING)
		go(m, word->since_ns);
	else if (from_new && word->head.type == PROTO_RUNNING &&
		 m->upgrade == UPGRADE_TAKING)
		on_running(m, word);
	else
		log_debug("monitor", "word %u of slot %u out of turn",
			  word->head.type, slot);
}

void monitor_upgrade_late(struct monitor *m)
{
	switch (m->upgrade) {
	case UPGRADE_STOPPING: /* it hangs; the new one can do without */
		log_err("monitor", "upgrade: the old switch doesn't stop");
		monitor_child_kill(m, m->active);
		m->upgrade_ns += STOPPING_NS;
		break;
	case UPGRADE_LEAVING:
		monitor_child_kill(m, monitor_other(m));
		m->upgrade_ns += LEAVING_NS;
		break;
	default:
		fail(m, ETIMEDOUT, "upgrade-failed",
		     "the new switch took too long");
	}
}

/* ---- The monitor itself ---- */

#define SAVED_KEPT 8

/* Written by the old program, read by the new one; grants follow. Grows at the
 * end only. */
struct saved {
	uint32_t magic, size;
	uint32_t active, restarts;
	uint64_t started_ns;
	struct {
		int32_t pid, calls, orders, kept[SAVED_KEPT];
	} child;
	struct {
		int32_t fd, lock_fd;
		uint64_t dev, ino;
	} listener[2];
	uint32_t uid, gid, socket_gid;
	char socket[CONFIG_PATH_MAX], helper_socket[CONFIG_PATH_MAX];
	bool owns_socket, again, reload;
	char exe[PATH_MAX];
	bool running;
	uint32_t quick;
	struct fastpath_saved fastpath;
};

_Static_assert(KEEP_COUNT <= SAVED_KEPT, "there is a place for each");

#define SAVED_MAGIC 0x3176736du /* "msv1" */

static int set_cloexec(int fd, bool on)
{
	return fd >= 0 && fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno
								      : 0;
}

/* Whether what must survive an exec does. */
static int set_all_cloexec(struct monitor *m, bool on)
{
	const struct child *c = &m->child[m->active];
	const int fds[] = { c->calls,
			    c->orders,
			    c->kept[KEEP_FDB],
			    c->kept[KEEP_JOURNAL],
			    c->kept[KEEP_LEDGER],
			    m->control.fd,
			    m->control.lock_fd,
			    m->helper.fd,
			    m->helper.lock_fd };
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < sizeof(fds) / sizeof(fds[0]);
	     i++)
		r = set_cloexec(fds[i], on);
	return r ? r : fastpath_kernel_survive(m->fastpath, !on);
}

static void listener_save(struct saved *s, int i, const struct rpc_listener *l)
{
	s->listener[i].fd = l->fd;
	s->listener[i].lock_fd = l->lock_fd;
	s->listener[i].dev = l->dev;
	s->listener[i].ino = l->ino;
}

/* A memfd with all that we know, or -errno. */
static int save(struct monitor *m)
{
	const struct child *c = &m->child[m->active];
	struct saved s = { .magic = SAVED_MAGIC,
			   .size = sizeof(s),
			   .active = m->active,
			   .restarts = m->restarts,
			   .started_ns = m->started_ns,
			   .uid = m->uid,
			   .gid = m->gid,
			   .socket_gid = m->socket_gid,
			   .owns_socket = m->control.path != NULL,
			   .again = m->again,
			   .reload = m->reload,
			   .running = c->running,
			   .quick = m->quick };
	int fd = memfd_create("monitor", 0), r;

	if (fd < 0)
		return -errno;
	s.child.pid = c->pid;
	s.child.calls = c->calls;
	s.child.orders = c->orders;
	for (int i = 0; i < KEEP_COUNT; i++)
		s.child.kept[i] = c->kept[i];
	listener_save(&s, 0, &m->control);
	listener_save(&s, 1, &m->helper);
	memcpy(s.socket, m->settings.socket, sizeof(s.socket));
	memcpy(s.helper_socket, m->settings.helper_socket,
	       sizeof(s.helper_socket));
	memcpy(s.exe, m->exe, sizeof(s.exe));
	fastpath_kernel_save(m->fastpath, &s.fastpath);
	r = write(fd, &s, sizeof(s)) == (ssize_t)sizeof(s) ? 0 : -EIO;
	if (r == 0)
		r = grants_write(&m->grants, fd);
	if (r == 0)
		r = set_all_cloexec(m, false);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* The command line for the next life; returns where exec fails. */
static void become(struct monitor *m, int exe_fd, int saved, int fallback)
{
	char resume[48], back[48], *argv[MONITOR_ARGS_MAX];
	unsigned int n = monitor_argv(m, argv);

	snprintf(resume, sizeof(resume), MONITOR_ARG_RESUME "%d", saved);
	argv[n++] = resume;
	if (fallback >= 0) {
		snprintf(back, sizeof(back), MONITOR_ARG_FALLBACK "%d",
			 fallback);
		argv[n++] = back;
	}
	argv[n] = NULL;
	if (exe_fd >= 0)
		fexecve(exe_fd, argv, environ);
	else
		execv(m->exe, argv);
}

/* Nothing is lost where this fails: the old program can do it all. */
static void exec_self(struct monitor *m)
{
	int old = open("/proc/self/exe", O_RDONLY);
	int saved = old < 0 ? -errno : save(m), r = saved;

	if (saved >= 0) {
		log_info("monitor", "becoming %s", m->exe);
		become(m, -1, saved, old);
		r = -errno;
		close(saved);
	}
	log_err("monitor", "the monitor stays the old program: %s",
		strerror(-r));
	(void)set_all_cloexec(m, true);
	if (old >= 0)
		close(old);
}

/* What had to wait for the end of an upgrade. */
static void over(struct monitor *m)
{
	if (m->again)
		monitor_upgrade_begin(m);
	else
		monitor_reload(m);
}

bool monitor_upgrade_ended(struct monitor *m, unsigned int slot)
{
	bool is_new = slot == monitor_other(m);

	switch (m->upgrade) {
	case UPGRADE_NONE:
		return false;
	case UPGRADE_LOADING:
		if (is_new)
			fail(m, ECHILD, "upgrade-failed",
			     "the new switch ended while it was loading: see "
			     "the log");
		return true; /* the old one: the new one gets on without it */
	case UPGRADE_STOPPING:
		if (is_new)
			fail(m, ECHILD, "upgrade-failed",
			     "the new switch ended before it took over");
		else
			go(m, clock_ns());
		return true;
	case UPGRADE_TAKING:
		if (is_new)
			fail(m, ECHILD, "upgrade-failed",
			     "the new switch ended when it took over");
		return true;
	case UPGRADE_LEAVING:
		if (!is_new) /* the new one, just now */
			return false;
		m->upgrade = UPGRADE_NONE;
		exec_self(m);
		over(m);
		return true;
	}
	return false;
}

static int listener_load(const struct saved *s, int i, const char *path,
			 bool ours, struct rpc_listener *l)
{
	l->fd = s->listener[i].fd;
	l->lock_fd = s->listener[i].lock_fd;
	l->dev = s->listener[i].dev;
	l->ino = s->listener[i].ino;
	l->path = ours ? strdup(path) : NULL;
	return ours && !l->path ? -ENOMEM : 0;
}

static int load(struct monitor *m, const struct saved *s)
{
	struct child *c = &m->child[s->active & 1];
	int r;

	m->active = s->active & 1;
	m->restarts = s->restarts;
	m->started_ns = s->started_ns;
	m->uid = s->uid;
	m->gid = s->gid;
	slirp_run_as(m->uid, m->gid);
	m->socket_gid = s->socket_gid;
	m->ready = true;
	m->again = s->again;
	m->reload = s->reload;
	memcpy(m->exe, s->exe, sizeof(m->exe));
	c->pid = s->child.pid;
	c->calls = s->child.calls;
	c->orders = s->child.orders;
	c->running = s->running;
	c->started_ns = c->alive_ns = clock_ns();
	m->quick = s->quick;
	if (!c->pid) /* it has died, and we came first */
		m->restart_ns = c->started_ns;
	for (int i = 0; i < KEEP_COUNT; i++)
		c->kept[i] = s->child.kept[i];
	r = listener_load(s, 0, s->socket, s->owns_socket, &m->control);
	if (r == 0)
		r = listener_load(s, 1, s->helper_socket, true, &m->helper);
	memcpy(m->settings.socket, s->socket, sizeof(s->socket));
	memcpy(m->settings.helper_socket, s->helper_socket,
	       sizeof(s->helper_socket));
	return r;
}

/* Everything but sockets, which are open. */
static void settings_again(struct monitor *m)
{
	struct config_daemon was = m->settings;
	struct error err = { 0 };
	json_t *config;

	if (monitor_settings_load(m, NULL, &err) < 0) {
		log_err("monitor", "%s; nothing but the defaults is allowed",
			err.message);
		if (policy_init(&m->policy, NULL) < 0)
			log_err("monitor", "no memory");
	}
	config = json_pack("{s:O*}", "daemon", m->daemon);
	config_daemon(config, &m->settings);
	json_decref(config);
	memcpy(m->settings.socket, was.socket, sizeof(was.socket));
	memcpy(m->settings.helper_socket, was.helper_socket,
	       sizeof(was.helper_socket));
}

/* The one before has failed, and there is nothing else: go on anyhow. */
static bool last_resort(const struct monitor *m)
{
	return m->options->fallback_fd < 0;
}

/* Our programs in place of those of the program before, on its maps. */
static int load_fastpath(struct monitor *m, const struct saved *s)
{
	struct fastpath_kernel *k;
	struct error err = { 0 };
	int r = fastpath_kernel_load(&s->fastpath, last_resort(m), &k, &err);

	if (r == 0)
		monitor_fastpath_use(m, k);
	else
		log_err("monitor", "the kernel fast path: %s", err.message);
	return r;
}

static int resume_grants(struct monitor *m, int fd)
{
	int r = grants_read(&m->grants, fd);

	if (r < 0)
		return r;
	r = grants_reprogram(&m->grants);
	if (r == 0)
		return 0;
	log_err("monitor", "the kernel fast path isn't on each port: %s",
		strerror(-r));
	return last_resort(m) ? 0 : r;
}

int monitor_resume(struct monitor *m)
{
	int fd = m->options->resume_fd;
	struct saved s;
	int r;

	memset(&s, 0, sizeof(s));
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    read(fd, &s, 2 * sizeof(uint32_t)) != 2 * sizeof(uint32_t) ||
	    s.magic != SAVED_MAGIC || s.size > sizeof(s) ||
	    pread(fd, &s, s.size, 0) != (ssize_t)s.size ||
	    lseek(fd, s.size, SEEK_SET) < 0)
		return -EINVAL;
	r = load(m, &s);
	settings_again(m);
	monitor_grants_init(m);
	if (r == 0)
		r = load_fastpath(m, &s);
	if (r == 0)
		r = resume_grants(m, fd);
	if (r < 0)
		return r;
	(void)set_all_cloexec(m, true);
	close(fd);
	if (m->options->fallback_fd >= 0)
		close(m->options->fallback_fd);
	log_notice("monitor", "%s carries on", PACKAGE_STRING);
	over(m);
	return 0;
}

void monitor_fall_back(struct monitor *m)
{
	if (m->options->fallback_fd < 0)
		return;
	log_err("monitor", "%s can't carry on: back to the program before",
		PACKAGE_STRING);
	become(m, m->options->fallback_fd, m->options->resume_fd, -1);
}
