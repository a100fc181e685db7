#include "switchd/monitor.h"

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "switchd/monitor_internal.h"
#include "switchd/notify.h"
#include "switchd/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000ull /* nanoseconds */

/* It has died early if it hasn't run for so long. */
#define QUICK_NS (2 * CLOCK_NS_PER_S)
/* Deaths in a row after which memory is to blame. */
#define QUICK_FORGET 3
/* The second early death in a row waits for this, the next for twice of it. */
#define BACKOFF_NS     (100 * MS)
#define BACKOFF_MAX_NS (10 * CLOCK_NS_PER_S)
/* Under a watchdog, or while it should end: a main thread that is silent for so
 * long hangs. */
#define HANG_NS (15 * CLOCK_NS_PER_S)
/* Of a switch that has ended; no channel holds as many. */
#define WORDS_MAX 1024
/* Bytes of memory, each, that a dead switch may leave to the next one: the
 * largest FDB's. */
#define KEPT_MAX ((1ull << 30) + (1 << 20))

/* ---- Processes ---- */

void monitor_drop_kept(struct child *c)
{
	for (int i = 0; i < KEEP_COUNT; i++) {
		if (c->kept[i] >= 0)
			close(c->kept[i]);
		c->kept[i] = -1;
	}
}

/* What a switch gone mad has filled would stay full for ever. */
static void drop_bloated(struct child *c)
{
	for (int i = 0; i < KEEP_COUNT; i++) {
		struct stat st;

		if (c->kept[i] < 0 ||
		    (fstat(c->kept[i], &st) == 0 &&
		     (uint64_t)st.st_blocks * 512 <= KEPT_MAX))
			continue;
		log_err("monitor", "more memory was left than is sensible: "
				   "dropping it");
		monitor_drop_kept(c);
	}
}

static void close_channels(struct child *c)
{
	if (c->calls >= 0)
		close(c->calls);
	if (c->orders >= 0)
		close(c->orders);
	c->calls = c->orders = -1;
}

unsigned int monitor_argv(const struct monitor *m, char **argv)
{
	unsigned int n = 0;

	while (n < MONITOR_ARGS_MAX - MONITOR_ARGS_OWN && m->options->argv[n]) {
		argv[n] = m->options->argv[n];
		n++;
	}
	return n;
}

/* In the child: become the switch process. */
static void child_exec(const struct monitor *m, const char *exe, int calls,
		       int orders)
{
	static const char *const ours[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
					    "WATCHDOG_PID" };
	char ids[64], name[] = "switchd: switch", *argv[MONITOR_ARGS_MAX];
	unsigned int n;
	sigset_t none;

	n = monitor_argv(m, argv);
	argv[0] = name;
	snprintf(ids, sizeof(ids), MONITOR_ARG_SWITCH "%u:%u", m->uid, m->gid);
	argv[n++] = ids;
	argv[n] = NULL;
	/* Out of the way of each other first. */
	calls = fcntl(calls, F_DUPFD, PROTO_ORDERS_FD + 1);
	orders = fcntl(orders, F_DUPFD, PROTO_ORDERS_FD + 1);
	if (dup2(calls, PROTO_CALLS_FD) < 0 ||
	    dup2(orders, PROTO_ORDERS_FD) < 0 ||
	    close_range(PROTO_ORDERS_FD + 1, ~0U, 0) < 0)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (unsigned int i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unsetenv(ours[i]);
	execv(exe, argv);
	fprintf(stderr, "switchd: can't run %s: %s\n", exe, strerror(errno));
	_exit(127);
}

int monitor_child_start(struct monitor *m, unsigned int slot, const char *exe)
{
	struct child *c = &m->child[slot];
	int calls[2], orders[2], r;

	r = proto_pair(calls);
	if (r < 0)
		return r;
	r = proto_pair(orders);
	if (r < 0) {
		proto_close_fds(calls, 2);
		return r;
	}
	c->pid = fork();
	if (c->pid == 0)
		child_exec(m, exe, calls[1], orders[1]);
	close(calls[1]);
	close(orders[1]);
	c->calls = calls[0];
	c->orders = orders[0];
	c->running = false;
	c->started_ns = c->alive_ns = clock_ns();
	if (c->pid > 0)
		return 0;
	r = -errno;
	c->pid = 0;
	close_channels(c);
	return r;
}

void monitor_child_kill(struct monitor *m, unsigned int slot)
{
	if (m->child[slot].pid && kill(m->child[slot].pid, SIGKILL) < 0)
		log_warning("monitor", "can't kill process %d: %s",
			    (int)m->child[slot].pid, strerror(errno));
}

/* It is no more. */
static void child_forget(struct monitor *m, unsigned int slot)
{
	struct child *c = &m->child[slot];

	c->pid = 0;
	c->running = false;
	close_channels(c);
	grants_unclaim(&m->grants, slot);
}

void monitor_child_end(struct monitor *m, unsigned int slot)
{
	if (!m->child[slot].pid)
		return;
	monitor_child_kill(m, slot);
	while (waitpid(m->child[slot].pid, NULL, 0) < 0 && errno == EINTR)
		;
	child_forget(m, slot);
}

void monitor_tell(struct monitor *m, unsigned int slot, enum proto_type order,
		  struct proto_msg *msg)
{
	struct proto_msg empty;
	int r;

	if (!m->child[slot].pid)
		return;
	if (!msg) {
		memset(&empty, 0, sizeof(empty));
		msg = &empty;
	}
	msg->head.type = (uint16_t)order;
	r = proto_send(m->child[slot].orders, msg, NULL, 0);
	if (r == 0)
		return;
	/* Its end is coming; or it doesn't read, and there is no other way. */
	log_warning("monitor", "the switch doesn't take orders: %s",
		    strerror(-r));
	monitor_child_kill(m, slot);
}

void monitor_reload(struct monitor *m)
{
	bool settled =
		m->upgrade == UPGRADE_NONE || m->upgrade == UPGRADE_LEAVING;

	if (m->reload && settled && m->child[m->active].running)
		monitor_tell(m, m->active, PROTO_RELOAD, NULL);
}

static void start_again(struct monitor *m)
{
	int r;

	m->restart_ns = 0;
	monitor_listen_again(m);
	r = monitor_child_start(m, m->active, "/proc/self/exe");
	if (r == 0)
		return;
	log_err("monitor", "can't start the switch: %s", strerror(-r));
	m->restart_ns = clock_ns() + BACKOFF_MAX_NS;
}

/* "killed by signal 9", "exit status 1" */
static const char *how_it_ended(int status, char *buf, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(buf, size, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(buf, size, "exit status %d", WEXITSTATUS(status));
	return buf;
}

static uint64_t backoff(unsigned int quick)
{
	uint64_t ns = BACKOFF_NS;

	if (quick < 2)
		return 0;
	for (unsigned int i = 2; i < quick && ns < BACKOFF_MAX_NS; i++)
		ns *= 2;
	return ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS;
}

static void child_crashed(struct monitor *m, bool ran, int status)
{
	struct child *c = &m->child[m->active];
	uint64_t now = clock_ns();
	bool memory, early;
	char how[48];

	m->again = false; /* who asked for that is gone */
	drop_bloated(c);
	memory = c->kept[KEEP_JOURNAL] >= 0;
	early = !ran || now - c->started_ns < QUICK_NS;
	m->quick = early ? m->quick + 1 : 0;
	m->restarts++;
	m->died_ns = now;
	m->restart_ns = now + backoff(m->quick);
	log_err("monitor", "the switch died (%s): starting it again",
		how_it_ended(status, how, sizeof(how)));
	if (m->quick > 1)
		log_err("monitor",
			"that is %u deaths in a row: waiting for %u ms",
			m->quick, (unsigned int)((m->restart_ns - now) / MS));
	if (memory && (!ran || m->quick >= QUICK_FORGET)) {
		log_err("monitor",
			"it may be what it remembers: the next one begins with "
			"the configuration, addresses and counters anew");
		monitor_drop_kept(c);
	}
}

static void child_ended(struct monitor *m, unsigned int slot, int status)
{
	bool ran = m->child[slot].running;

	child_forget(m, slot);
	if (m->stopping) {
		m->over = !m->child[0].pid && !m->child[1].pid;
		return;
	}
	if (monitor_upgrade_ended(m, slot))
		return;
	if (!m->ready) { /* the first one: it has said what is wrong */
		m->status = 1;
		m->over = true;
		return;
	}
	child_crashed(m, ran, status);
}

/* ---- What the switch says ---- */

static void on_running(struct monitor *m, unsigned int slot, uint32_t ports)
{
	struct child *c = &m->child[slot];

	c->running = true;
	if (m->died_ns)
		log_notice("monitor", "the switch runs again after %u ms",
			   (unsigned int)((clock_ns() - m->died_ns) / MS));
	m->died_ns = 0;
	if (!m->ready && m->options->ready)
		m->options->ready(m->options->ctx);
	m->ready = true;
	notify_send("READY=1\nSTATUS=%u ports", ports);
	monitor_reload(m);
}

/* Returns whether there was one. */
static bool on_word(struct monitor *m, unsigned int slot)
{
	struct proto_msg msg;
	int fd[PROTO_FDS_MAX];
	int r = proto_receive(m->child[slot].orders, &msg, fd, 0);

	if (r == -EPIPE) { /* its end; waitpid will tell more */
		monitor_child_kill(m, slot);
		return false;
	}
	if (r < 0)
		return r != -ETIMEDOUT;
	if (fds_discard(fd, msg.head.nfds) < 0)
		monitor_child_kill(m, slot);
	switch (msg.head.type) {
	case PROTO_ALIVE:
		m->child[slot].alive_ns = clock_ns();
		break;
	case PROTO_RELOADING:
		m->reload = false;
		notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
			    (unsigned long long)(clock_ns() / 1000));
		break;
	case PROTO_UPGRADE:
		if (slot == m->active && !m->stopping)
			monitor_upgrade_begin(m);
		break;
	case PROTO_RUNNING:
		/* While the old one is leaving, it may be the new one's
		 * successor. */
		if (slot == m->active && (m->upgrade == UPGRADE_NONE ||
					  m->upgrade == UPGRADE_LEAVING))
			on_running(m, slot, msg.head.arg);
		else
			monitor_upgrade_word(m, slot, &msg);
		break;
	default:
		monitor_upgrade_word(m, slot, &msg);
	}
	return true;
}

/* Its last words may say why. They come before its end here, and it keeps its
 * pid until they are heard, for they may have us kill it. */
static void reap_one(struct monitor *m, pid_t pid)
{
	unsigned int i = 0;
	int status;

	while (i < GRANTS_SLOTS && m->child[i].pid != pid)
		i++;
	for (unsigned int n = 0; n < WORDS_MAX && i < GRANTS_SLOTS; n++)
		if (m->child[i].pid != pid || !on_word(m, i))
			break;
	if (waitpid(pid, &status, WNOHANG) == pid && i < GRANTS_SLOTS)
		child_ended(m, i, status);
}

static void reap(struct monitor *m)
{
	siginfo_t info = { 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid) {
		reap_one(m, info.si_pid);
		info.si_pid = 0;
	}
}

/* ---- Signals and time ---- */

static void stop(struct monitor *m)
{
	if (m->stopping) /* asked twice: at once */
		for (unsigned int i = 0; i < GRANTS_SLOTS; i++)
			monitor_child_kill(m, i);
	m->stopping = true;
	m->restart_ns = 0;
	m->heard_ns = clock_ns();
	notify_send("STOPPING=1");
	if (m->upgrade != UPGRADE_NONE)
		monitor_child_kill(m, monitor_other(m));
	monitor_tell(m, m->active, PROTO_STOP, NULL);
	m->over = !m->child[0].pid && !m->child[1].pid;
}

static void on_signal(struct monitor *m)
{
	struct signalfd_siginfo s;

	if (read(m->signal_fd, &s, sizeof(s)) != sizeof(s))
		return;
	switch (s.ssi_signo) {
	case SIGCHLD:
		break; /* in each round, see loop() */
	case SIGHUP:
		m->reload = true;
		monitor_reload(m);
		break;
	default:
		log_notice("monitor", "signal %u: stopping", s.ssi_signo);
		stop(m);
	}
}

/* systemd's watchdog watches both: us by what we send, and the switch by its
 * word each second. */
static void watchdog(struct monitor *m, uint64_t now)
{
	const struct child *c = &m->child[m->active];

	if (!m->watchdog_ns || now < m->watchdog_due_ns)
		return;
	m->watchdog_due_ns = now + m->watchdog_ns;
	notify_send("WATCHDOG=1");
	if (!c->pid || !c->running || now - c->alive_ns < HANG_NS)
		return;
	log_err("monitor", "the switch hangs: ending it");
	monitor_child_kill(m, m->active);
}

static void on_time(struct monitor *m)
{
	uint64_t now = clock_ns();

	watchdog(m, now);
	if (m->stopping && now >= m->heard_ns + HANG_NS) {
		log_err("monitor", "the switch doesn't end: ending it");
		m->heard_ns = now;
		for (unsigned int i = 0; i < GRANTS_SLOTS; i++)
			monitor_child_kill(m, i);
	}
	if (m->restart_ns && now >= m->restart_ns && !m->stopping)
		start_again(m);
	if (m->upgrade != UPGRADE_NONE && now >= m->upgrade_ns)
		monitor_upgrade_late(m);
}

static int earlier(int timeout_ms, uint64_t at, uint64_t now)
{
	uint64_t ms = at > now ? (at - now + MS - 1) / MS : 0;

	if (ms > INT_MAX)
		ms = INT_MAX;
	return timeout_ms < 0 || (int)ms < timeout_ms ? (int)ms : timeout_ms;
}

static int until_next(const struct monitor *m)
{
	uint64_t now = clock_ns();
	int ms = -1;

	if (m->watchdog_ns)
		ms = earlier(ms, m->watchdog_due_ns, now);
	if (m->stopping)
		ms = earlier(ms, m->heard_ns + HANG_NS, now);
	if (m->restart_ns)
		ms = earlier(ms, m->restart_ns, now);
	if (m->upgrade != UPGRADE_NONE)
		ms = earlier(ms, m->upgrade_ns, now);
	return ms;
}

static void serve(struct monitor *m, const struct pollfd *p)
{
	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		struct child *c = &m->child[i];

		if (c->pid && p[1 + 2 * i].revents && monitor_call(m, i) < 0)
			monitor_child_kill(m, i);
		if (c->pid && p[2 + 2 * i].revents)
			on_word(m, i);
	}
}

static void loop(struct monitor *m)
{
	while (!m->over) {
		struct pollfd p[1 + 2 * GRANTS_SLOTS] = {
			{ .fd = m->signal_fd, .events = POLLIN },
		};

		for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
			p[1 + 2 * i] = (struct pollfd){ .fd = m->child[i].calls,
							.events = POLLIN };
			p[2 + 2 * i] =
				(struct pollfd){ .fd = m->child[i].orders,
						 .events = POLLIN };
		}
		if (poll(p, 1 + 2 * GRANTS_SLOTS, until_next(m)) < 0 &&
		    errno != EINTR) {
			log_err("monitor", "poll: %s", strerror(errno));
			break;
		}
		/* Who asked for the end comes before who ended. */
		if (p[0].revents)
			on_signal(m);
		serve(m, p);
		reap(m);
		if (!m->over)
			on_time(m);
	}
}

/* ---- Start and end ---- */

static int make_signals(struct monitor *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signal_fd < 0 ? -errno : 0;
}

static int start_fresh(struct monitor *m, struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", m->exe, sizeof(m->exe) - 1);
	int r = monitor_settings_load(m, NULL, err);
	json_t *config;

	if (r < 0)
		return r;
	m->exe[n > 0 ? n : 0] = '\0';
	config = json_pack("{s:O*}", "daemon", m->daemon);
	config_daemon(config, &m->settings);
	json_decref(config);
	m->started_ns = clock_ns();
	monitor_grants_init(m);
	r = monitor_find_user(m, err);
	if (r == 0)
		r = sockets_resolve(&m->settings, m->options->socket, err);
	if (r == 0)
		r = sockets_gid(&m->settings, &m->socket_gid, err);
	if (r == 0)
		r = monitor_listen(m, err);
	if (r < 0)
		return r;
	monitor_fastpath_make(m);
	r = monitor_child_start(m, 0, "/proc/self/exe");
	return r < 0 ? error_set(err, -r, "no-switch", NULL,
				 "can't start the switch process: %s",
				 strerror(-r))
		     : 0;
}

static void monitor_init(struct monitor *m,
			 const struct monitor_options *options)
{
	*m = (struct monitor){ .options = options,
			       .control = { .fd = -1, .lock_fd = -1 },
			       .helper = { .fd = -1, .lock_fd = -1 },
			       .signal_fd = -1 };
	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		m->child[i].calls = m->child[i].orders = -1;
		for (int k = 0; k < KEEP_COUNT; k++)
			m->child[i].kept[k] = -1;
	}
	m->watchdog_ns = notify_watchdog_ns();
}

static void monitor_fini(struct monitor *m)
{
	for (unsigned int i = 0; i < GRANTS_SLOTS; i++) {
		close_channels(&m->child[i]);
		monitor_drop_kept(&m->child[i]);
	}
	grants_fini(&m->grants);
	fastpath_kernel_free(m->fastpath);
	rpc_listener_close(&m->helper);
	rpc_listener_close(&m->control);
	policy_fini(&m->policy);
	json_decref(m->daemon);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
}

int monitor_run(const struct monitor_options *options)
{
	struct error err = { 0 };
	static struct monitor m;
	int r;

	monitor_init(&m, options);
	r = make_signals(&m);
	if (r < 0)
		error_set(&err, -r, "no-descriptor", NULL, "signalfd: %s",
			  strerror(-r));
	else if (options->resume_fd >= 0)
		r = monitor_resume(&m);
	else
		r = start_fresh(&m, &err);
	if (r < 0 && options->resume_fd >= 0)
		monitor_fall_back(&m);
	if (r < 0) {
		fprintf(stderr, "switchd: %s%s%s (%s)\n", err.message,
			*err.path ? ", at " : "", err.path, err.reason);
		m.status = 1;
	} else {
		loop(&m);
	}
	monitor_fini(&m);
	return m.status;
}
