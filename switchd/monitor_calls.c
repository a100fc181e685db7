/* The monitor's answers to what the switch asks for. See monitor_internal.h. */
#include "switchd/monitor_internal.h"

#include "base/clock.h"
#include "base/fds.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/memfd.h"
#include "ports/listen.h"
#include "switchd/fastpath.h"
#include "switchd/helper.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAVE_MODE 0640
/* A configuration. JSON of tiny values takes 80 times its size in memory. */
#define SAVE_MAX (16u << 20)

/* A call under way: the question, which becomes the answer. */
struct call {
	struct monitor *m;
	unsigned int slot;
	struct proto_msg *msg;
	int fd[PROTO_FDS_MAX]; /* came with the question; closed in the end */
	/* Go with the answer: borrowed but for `made`, which is closed. */
	int send[PROTO_FDS_MAX];
	unsigned int nsend;
	int made;
	struct error err;
};

static int refused(struct call *c, const char *what)
{
	return error_set(&c->err, EINVAL, "bad-request", NULL,
			 "the monitor doesn't take that: %s", what);
}

static void send_grant(struct call *c, const struct port_ops *ops,
		       const struct port_grant *g)
{
	unsigned int n = ops->run_fds ? ops->run_fds : g->nfds;

	c->msg->grant = *g;
	for (unsigned int i = 0; i < n; i++)
		c->send[i] = g->fd[i];
	c->nsend = n;
}

static int call_start(struct call *c)
{
	struct monitor *m = c->m;
	bool upgrade = c->slot != m->active;
	const struct child *from = &m->child[m->active];
	struct proto_start *s = &c->msg->start;

	memset(s, 0, sizeof(*s));
	s->restarts = m->restarts;
	s->started_ns = m->started_ns;
	s->socket_gid = m->socket_gid;
	snprintf(s->socket, sizeof(s->socket), "%s", m->settings.socket);
	snprintf(s->helper_socket, sizeof(s->helper_socket), "%s",
		 m->settings.helper_socket);
	if (m->control.fd >= 0) {
		s->flags |= PROTO_START_CONTROL;
		c->send[c->nsend++] = m->control.fd;
	}
	if (m->helper.fd >= 0) {
		s->flags |= PROTO_START_HELPER;
		c->send[c->nsend++] = m->helper.fd;
	}
	for (int i = 0; i < KEEP_COUNT; i++) {
		if (from->kept[i] < 0)
			continue;
		s->flags |= PROTO_START_KEPT(i);
		c->send[c->nsend++] = from->kept[i];
	}
	if (upgrade)
		s->flags |= PROTO_START_UPGRADE;
	if (m->watchdog_ns)
		s->flags |= PROTO_START_WATCHED;
	return 0;
}

static int call_acquire(struct call *c)
{
	struct port_request rq;
	struct port_grant grant;
	int r;

	if (!proto_request_sane(c->msg))
		return refused(c, "no request");
	rq = c->msg->request;
	if (rq.given ? !listen_given_fit(rq.type, c->fd, c->msg->head.nfds)
		     : c->msg->head.nfds)
		return refused(c, "no connection for such a port");
	grant.nfds = c->msg->head.nfds;
	grant.fd[0] = c->fd[0];
	/* While the old one is leaving there is but one, and it decides. */
	if (c->m->upgrade != UPGRADE_NONE &&
	    (c->m->upgrade != UPGRADE_LEAVING || c->slot != c->m->active))
		return error_set(&c->err, EBUSY, "upgrading", NULL,
				 "an upgrade is under way");
	r = grants_acquire(&c->m->grants, &c->m->policy, &rq, c->slot, &grant,
			   &c->err);
	if (r < 0)
		return r;
	send_grant(c, port_ops_find(rq.type), &grant);
	/* A guest's own: once it is sent there is none of it here. */
	if (!grant.handle)
		c->made = grant.fd[0];
	return 0;
}

static struct grant *held(struct call *c, bool claim)
{
	struct grant *g =
		grants_find(&c->m->grants, c->msg->head.handle, c->slot, claim);

	if (!g)
		error_set(&c->err, ENOENT, "not-held", NULL,
			  "the monitor holds nothing by the handle %u",
			  c->msg->head.handle);
	return g;
}

static int call_adopt(struct call *c)
{
	struct grant *g = held(c, true);

	if (!g)
		return -ENOENT;
	send_grant(c, port_ops_find(g->rq.type), &g->grant);
	return 0;
}

static int call_adjust(struct call *c)
{
	struct grant *g = held(c, false);
	struct port_request rq;
	int r;

	if (!g)
		return -ENOENT;
	if (!proto_request_sane(c->msg))
		return refused(c, "no request");
	rq = c->msg->request;
	r = grants_adjust(g, &rq, &c->err);
	if (r == 0)
		c->msg->grant = g->grant;
	return r;
}

static int call_renew(struct call *c)
{
	struct grant *g = held(c, false);
	const struct port_ops *ops = g ? port_ops_find(g->rq.type) : NULL;
	int r;

	if (!g)
		return -ENOENT;
	if (!ops->renew)
		return refused(c, "nothing to renew");
	r = policy_check_renew(&c->m->policy, &g->rq, &c->err);
	if (r == 0)
		r = ops->renew(&g->rq, &g->grant, &c->err);
	if (r == 0)
		send_grant(c, ops, &g->grant);
	return r;
}

static int call_release(struct call *c)
{
	struct grant *g = held(c, false);

	if (!g)
		return -ENOENT;
	grants_release(&c->m->grants, g, c->slot);
	return 0;
}

static int call_fastpath(struct call *c)
{
	struct proto_fastpath *f = &c->msg->fastpath;
	const struct monitor *m = c->m;
	struct fastpath_sizes sizes;

	if (!m->fastpath)
		return error_set(&c->err, ENOTSUP, "no-fast-path", NULL, "%s",
				 m->no_fastpath);
	memset(f, 0, sizeof(*f));
	fastpath_kernel_lend(m->fastpath, c->send, &sizes, &f->cpus);
	c->nsend = FASTPATH_FDS;
	f->version = FASTPATH_VERSION;
	f->ports_max = sizes.ports_max;
	f->fdb_entries = sizes.fdb_entries;
	f->xdp = fastpath_kernel_has_xdp(m->fastpath);
	return 0;
}

static int call_place(struct call *c)
{
	struct grant *g = held(c, false);

	return g ? grants_place(&c->m->grants, g, c->msg->head.arg, &c->err)
		 : -ENOENT;
}

static int call_xdp(struct call *c)
{
	struct grant *g = held(c, false);

	if (!g)
		return -ENOENT;
	if (c->msg->head.arg > 1)
		return refused(c, "neither on nor off");
	return grants_xdp(&c->m->grants, g, c->msg->head.arg, &c->err);
}

/* What only the switch can make sense of, for the one after it. */
static int call_hold(struct call *c)
{
	uint32_t number = c->msg->head.arg;
	struct grant *g = held(c, false);
	int fd = c->msg->head.nfds ? c->fd[0] : -1, r;

	if (!g)
		return -ENOENT;
	if (c->msg->head.nfds > 1 || number >= PORT_HELD_MAX ||
	    (fd >= 0 && !grants_held_fit(fd)))
		return refused(c, "nothing to hold");
	r = grants_held_put(&g->held, number, fd);
	return r < 0 ? error_set(&c->err, -r, "no-descriptor", NULL,
				 "the monitor can hold no more: %s",
				 strerror(-r))
		     : 0;
}

static int call_held(struct call *c)
{
	struct grant *g = held(c, false);
	int fd = g ? grants_held_get(g->held, c->msg->head.arg) : -ENOENT;

	if (!g)
		return fd;
	if (fd < 0)
		return error_set(&c->err, ENOENT, "not-held", NULL,
				 "nothing is held by the number %u",
				 c->msg->head.arg);
	c->send[c->nsend++] = fd;
	return 0;
}

/* The file goes over as a descriptor, and what in it is root's comes into force
 * here. A mistake in it is the switch's to tell. */
static int call_config(struct call *c)
{
	struct error bad = { 0 };

	if (monitor_settings_load(c->m, &c->made, &bad) < 0 && c->made < 0) {
		c->err = bad;
		return -bad.err;
	}
	if (c->made < 0)
		return error_set(&c->err, ENOENT, "no-config", NULL,
				 "switchd was started without a configuration "
				 "file (-c)");
	c->send[c->nsend++] = c->made;
	return 0;
}

/* Names get into listings and logs: no line breaks, no escapes. */
static bool is_line(const char *s)
{
	for (; *s; s++)
		if (iscntrl((unsigned char)*s))
			return false;
	return true;
}

/*
 * A file that isn't the daemon's own: a new one, in a folder that is allowed.
 * It has its name only once all of it is on the disk.
 */
static int save_new(struct call *c, const char *file, const json_t *config)
{
	char folder[PATH_MAX], real[PATH_MAX + PROTO_TEXT], link[32];
	const char *name = strrchr(file, '/');
	int dirfd, fd = -1, r = policy_check_file(&c->m->policy, file, &c->err);

	if (r < 0)
		return r;
	if (!is_line(file))
		return error_set(&c->err, EINVAL, "bad-value", "file",
				 "the path has control characters");
	snprintf(folder, sizeof(folder), "%.*s", (int)(name - file), file);
	dirfd = open(*folder ? folder : "/",
		     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dirfd < 0 ? -errno
		      : policy_real_folder(dirfd, folder, sizeof(folder));
	if (r == 0) {
		snprintf(real, sizeof(real), "%s%s",
			 strcmp(folder, "/") ? folder : "", name);
		r = policy_check_file(&c->m->policy, real, &c->err);
		if (r < 0)
			goto out;
		fd = openat(dirfd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC,
			    SAVE_MODE);
		r = fd < 0 ? -errno : config_write(fd, config);
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (r == 0 &&
	    (linkat(AT_FDCWD, link, dirfd, name + 1, AT_SYMLINK_FOLLOW) < 0 ||
	     fsync(dirfd) < 0))
		r = -errno;
	if (r == -EEXIST)
		error_set(&c->err, EEXIST, "file-exists", "file",
			  "%.180s exists: remove it, or take another name",
			  file);
	else if (r < 0)
		r = error_set(&c->err, -r, "cannot-save", "file",
			      "can't write %.200s: %s", file, strerror(-r));
out:
	if (fd >= 0)
		close(fd);
	if (dirfd >= 0)
		close(dirfd);
	return r;
}

/* "daemon" is root's, whatever the switch has for it. */
static void own_daemon(const struct monitor *m, json_t *config)
{
	json_object_del(config, "daemon");
	if (m->daemon)
		json_object_set(config, "daemon", m->daemon);
}

/*
 * The daemon's own file. What root has written into it since it was read last
 * isn't lost, nor undone by somebody who saves again and again.
 */
static int save_own(struct call *c, json_t *config)
{
	const char *own = c->m->options->config;
	int r = monitor_settings_load(c->m, NULL, &c->err);

	if (r < 0 && r != -ENOENT)
		return r;
	own_daemon(c->m, config);
	r = config_replace(own, config);
	return r < 0 ? error_set(&c->err, -r, "cannot-save", "file",
				 "can't write %.200s: %s", own, strerror(-r))
		     : 0;
}

/* What the switch has for its configuration. */
static int call_save(struct call *c)
{
	const char *own = c->m->options->config;
	json_t *config;
	uint64_t size;
	int r;

	/* Any other kind of file may let a read wait for ever. */
	if (c->msg->head.nfds != 1 || c->msg->text[0] != '/' ||
	    memfd_check(c->fd[0], SAVE_MAX, &size, NULL) < 0)
		return refused(c, "no file");
	config = config_load(fcntl(c->fd[0], F_DUPFD_CLOEXEC, 0), c->msg->text,
			     &c->err);
	if (!config)
		return -EINVAL;
	own_daemon(c->m, config);
	if (own && !strcmp(own, c->msg->text))
		r = save_own(c, config);
	else
		r = save_new(c, c->msg->text, config);
	json_decref(config);
	return r;
}

static int call_keep(struct call *c)
{
	uint32_t what = c->msg->head.arg;
	uint64_t size;
	int *kept;

	/* Who gets it looks at it again; but only memory is sure to be closed
	 * and to be measured (see monitor.c) without ado. */
	if (c->msg->head.nfds != 1 || what >= KEEP_COUNT ||
	    memfd_check(c->fd[0], UINT64_MAX, &size, NULL) < 0)
		return refused(c, "nothing to keep");
	kept = &c->m->child[c->slot].kept[what];
	if (*kept >= 0)
		close(*kept);
	*kept = fcntl(c->fd[0], F_DUPFD_CLOEXEC, 0);
	return *kept < 0 ? error_set(&c->err, errno, "no-descriptor", NULL,
				     "%s", strerror(errno))
			 : 0;
}

static int call_forget(struct call *c)
{
	/* In an upgrade the old one's claims hold what it needs. */
	if (c->slot == c->m->active)
		grants_sweep(&c->m->grants);
	return 0;
}

static int call_id(struct call *c)
{
	uint32_t id;

	if (ids_find(c->msg->text, c->msg->head.arg != 0, &id) < 0)
		return error_set(&c->err, ENOENT, "no-such-name", NULL,
				 "nobody is called that");
	c->msg->head.arg = id;
	return 0;
}

static int call_acl(struct call *c)
{
	int r = portconf_check_name(c->msg->text, &c->err);

	return r < 0 ? r
		     : helper_acl_check(c->m->settings.helper_acl, c->msg->text,
					&c->err);
}

static int answer_for(struct call *c)
{
	switch (c->msg->head.type) {
	case PROTO_START:
		return call_start(c);
	case PROTO_ACQUIRE:
		return call_acquire(c);
	case PROTO_ADOPT:
		return call_adopt(c);
	case PROTO_ADJUST:
		return call_adjust(c);
	case PROTO_RENEW:
		return call_renew(c);
	case PROTO_RELEASE:
		return call_release(c);
	case PROTO_CONFIG:
		return call_config(c);
	case PROTO_SAVE:
		return call_save(c);
	case PROTO_KEEP:
		return call_keep(c);
	case PROTO_FORGET:
		return call_forget(c);
	case PROTO_ID:
		return call_id(c);
	case PROTO_ACL:
		return call_acl(c);
	case PROTO_FASTPATH:
		return call_fastpath(c);
	case PROTO_PLACE:
		return call_place(c);
	case PROTO_XDP:
		return call_xdp(c);
	case PROTO_HOLD:
		return call_hold(c);
	case PROTO_HELD:
		return call_held(c);
	default:
		return refused(c, "a call that isn't known here");
	}
}

int monitor_call(struct monitor *m, unsigned int slot)
{
	struct proto_msg msg;
	struct call c = { .m = m, .slot = slot, .msg = &msg, .made = -1 };
	unsigned int came;
	int discarded;
	int r = proto_receive(m->child[slot].calls, &msg, c.fd, 0);

	if (r == -ETIMEDOUT)
		return 0;
	if (r < 0 && r != -EMFILE)
		return r;
	m->heard_ns = clock_ns();
	came = r < 0 ? 0 : msg.head.nfds;
	r = r < 0 ? error_set(&c.err, EMFILE, "no-descriptor", NULL,
			      "the monitor has no descriptors left")
		  : answer_for(&c);
	discarded = fds_discard(c.fd, came);
	msg.head.result = r;
	if (r < 0) {
		msg.error = c.err;
		c.nsend = 0;
	}
	r = discarded ? -EPROTO
		      : proto_send(m->child[slot].calls, &msg, c.send, c.nsend);
	if (c.made >= 0)
		close(c.made);
	return r;
}
