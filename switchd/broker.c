#include "switchd/broker.h"

#include "base/ids.h"
#include "base/log.h"
#include "switchd/config.h"
#include "switchd/fastpath.h"
#include "switchd/helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* No work of the monitor's takes so long: it hangs. */
#define CALL_MS 60000
/* Kept free: a process that takes over has its predecessor's memory open for a
 * while, and clients want to be let in. */
#define RESERVED_FDS 16

struct broker {
	pthread_mutex_t lock; /* of the calls */
	uint32_t seq;
	_Atomic bool gone;
};

static int is_gone(struct broker *b, int r, struct error *err)
{
	if (!atomic_exchange(&b->gone, true))
		log_err("daemon",
			"the monitor is gone (%s): forwarding goes on, but no "
			"device can be acquired or put back; start switchd "
			"again when it suits",
			strerror(-r));
	return error_set(err, ENOTCONN, "monitor-gone", NULL,
			 "the monitor process is gone: devices and files can't "
			 "be had until switchd is started again");
}

static int no_descriptors(struct error *err)
{
	return error_set(err, EMFILE, "no-descriptor", NULL,
			 "the switch process has no descriptors left: raise "
			 "the limit (ulimit -n, LimitNOFILE=)");
}

/* One call; *m is the question and then the answer. */
static int call_locked(struct broker *b, struct proto_msg *m, const int *send,
		       unsigned int nsend, int *fd, struct error *err)
{
	uint16_t type = m->head.type;
	int r;

	m->head.seq = ++b->seq;
	r = proto_send(PROTO_CALLS_FD, m, send, nsend);
	if (r == 0)
		r = proto_receive(PROTO_CALLS_FD, m, fd, CALL_MS);
	if (r < 0 && r != -EMFILE)
		return is_gone(b, r, err);
	if (m->head.type == type && m->head.seq == b->seq) {
		if (r == -EMFILE)
			return no_descriptors(err);
		if (m->head.result == 0)
			return 0;
		if (err)
			*err = m->error;
		return m->head.result < 0 ? m->head.result : -EPROTO;
	}
	proto_close_fds(fd, m->head.nfds);
	return is_gone(b, -EPROTO, err);
}

static int call(struct broker *b, struct proto_msg *m, const int *send,
		unsigned int nsend, int *fd, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < PROTO_FDS_MAX; i++)
		fd[i] = -1;
	if (atomic_load(&b->gone))
		return is_gone(b, -ENOTCONN, err);
	pthread_mutex_lock(&b->lock);
	r = call_locked(b, m, send, nsend, fd, err);
	pthread_mutex_unlock(&b->lock);
	return r;
}

/* One whose answer has no descriptors. */
static int call_plain(struct broker *b, struct proto_msg *m, const int *send,
		      unsigned int nsend, struct error *err)
{
	int fd[PROTO_FDS_MAX];
	int r = call(b, m, send, nsend, fd, err);

	if (r == 0)
		proto_close_fds(fd, m->head.nfds);
	return r;
}

#define CALL(t) ((struct proto_msg){ .head = { .type = (t) } })

/* ---- Start and end ---- */

static int next_fd(const int *fd, unsigned int n, unsigned int *at)
{
	return *at < n ? fd[(*at)++] : -1;
}

struct broker *broker_new(struct broker_start *start, struct error *err)
{
	struct broker *b = calloc(1, sizeof(*b));
	struct proto_msg m = CALL(PROTO_START);
	unsigned int at = 0;
	int fd[PROTO_FDS_MAX];
	uint32_t flags;

	if (!b) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	pthread_mutex_init(&b->lock, NULL);
	if (call(b, &m, NULL, 0, fd, err) < 0) {
		broker_free(b);
		return NULL;
	}
	start->facts = m.start;
	flags = m.start.flags;
	start->control_fd = start->helper_fd = -1;
	if (flags & PROTO_START_CONTROL)
		start->control_fd = next_fd(fd, m.head.nfds, &at);
	if (flags & PROTO_START_HELPER)
		start->helper_fd = next_fd(fd, m.head.nfds, &at);
	for (int i = 0; i < KEEP_COUNT; i++)
		start->kept[i] = flags & PROTO_START_KEPT(i)
					 ? next_fd(fd, m.head.nfds, &at)
					 : -1;
	return b;
}

void broker_free(struct broker *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* ---- Ports ---- */

static int take_grant(struct proto_msg *m, const int *fd,
		      struct port_grant *grant)
{
	*grant = m->grant;
	grant->nfds = m->head.nfds;
	for (unsigned int i = 0; i < PORT_FDS_MAX; i++)
		grant->fd[i] = i < grant->nfds ? fd[i] : -1;
	return 0;
}

static bool is_local(const struct broker *b, const struct port_request *rq)
{
	return !b || !strcmp(rq->type, "dummy");
}

static int give_back(struct broker *b, uint32_t handle)
{
	struct proto_msg m = CALL(PROTO_RELEASE);

	m.head.handle = handle;
	return handle ? call_plain(b, &m, NULL, 0, NULL) : 0;
}

/* Descriptors are numbered from below. Is there no room above these for what a
 * next process needs beside its ports? */
static bool is_last(const int *fd, unsigned int n)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if ((rlim_t)fd[i] + RESERVED_FDS >= r.rlim_cur)
			return true;
	return false;
}

int broker_acquire(struct broker *b, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
{
	struct proto_msg m = CALL(PROTO_ACQUIRE);
	int fd[PROTO_FDS_MAX], r;

	if (is_local(b, rq))
		return port_ops_find(rq->type)->acquire(rq, grant, err);
	m.request = *rq;
	r = call(b, &m, grant->fd, rq->given ? grant->nfds : 0, fd, err);
	if (r == -EMFILE && m.head.result == 0)
		(void)give_back(b, m.grant.handle);
	if (r == 0 && is_last(fd, m.head.nfds)) {
		proto_close_fds(fd, m.head.nfds);
		(void)give_back(b, m.grant.handle);
		r = no_descriptors(err);
	}
	if (r < 0)
		return r;
	if (rq->given)
		port_grant_close(grant);
	return take_grant(&m, fd, grant);
}

int broker_adopt(struct broker *b, const struct port_request *rq,
		 uint32_t handle, struct port_grant *grant, struct error *err)
{
	struct proto_msg m = CALL(PROTO_ADOPT);
	int fd[PROTO_FDS_MAX], r;

	if (is_local(b, rq))
		return port_ops_find(rq->type)->acquire(rq, grant, err);
	m.head.handle = handle;
	r = call(b, &m, NULL, 0, fd, err);
	return r < 0 ? r : take_grant(&m, fd, grant);
}

int broker_adjust(struct broker *b, const struct port_request *rq,
		  struct port_grant *grant, struct error *err)
{
	struct proto_msg m = CALL(PROTO_ADJUST);
	int r;

	if (is_local(b, rq))
		return port_ops_find(rq->type)->adjust(rq, grant, err);
	m.head.handle = grant->handle;
	m.request = *rq;
	r = call_plain(b, &m, NULL, 0, err);
	if (r < 0)
		return r;
	grant->mtu = m.grant.mtu;
	grant->carrier = m.grant.carrier;
	memcpy(grant->ifname, m.grant.ifname, sizeof(grant->ifname));
	return 0;
}

void broker_release(struct broker *b, const struct port_request *rq,
		    struct port_grant *grant)
{
	struct proto_msg m = CALL(PROTO_RELEASE);
	struct error err = { 0 };

	if (is_local(b, rq)) {
		port_ops_find(rq->type)->release(rq, grant);
		return;
	}
	/* First: what the monitor closes is then the last descriptor. */
	port_grant_close(grant);
	if (!grant->handle)
		return;
	m.head.handle = grant->handle;
	if (call_plain(b, &m, NULL, 0, &err) < 0)
		log_warning("port", "%s isn't put back: %s", rq->name,
			    err.message);
}

/* A call about a held grant whose answer is descriptors; the first is wanted.
 */
static int first_fd(void *ctx, enum proto_type type,
		    const struct port_grant *grant, uint32_t arg, int *newfd)
{
	struct proto_msg m = CALL(type);
	int fd[PROTO_FDS_MAX], r;

	m.head.handle = grant->handle;
	m.head.arg = arg;
	r = call(ctx, &m, NULL, 0, fd, NULL);
	if (r < 0)
		return r;
	if (!m.head.nfds)
		return -EPROTO;
	*newfd = fd[0];
	proto_close_fds(fd + 1, m.head.nfds - 1);
	return 0;
}

static int keeper_renew(void *ctx, const struct port_request *rq,
			const struct port_grant *grant, int *newfd)
{
	(void)rq;
	return first_fd(ctx, PROTO_RENEW, grant, 0, newfd);
}

static int keeper_current(void *ctx, const struct port_request *rq,
			  const struct port_grant *grant, int *newfd)
{
	(void)rq;
	return first_fd(ctx, PROTO_ADOPT, grant, 0, newfd);
}

static int keeper_hold(void *ctx, const struct port_grant *grant,
		       unsigned int slot, int fd)
{
	struct proto_msg m = CALL(PROTO_HOLD);

	m.head.handle = grant->handle;
	m.head.arg = slot;
	return call_plain(ctx, &m, &fd, fd >= 0, NULL);
}

static int keeper_held(void *ctx, const struct port_grant *grant,
		       unsigned int slot)
{
	int fd, r = first_fd(ctx, PROTO_HELD, grant, slot, &fd);

	return r < 0 ? r : fd;
}

void broker_be_keeper(struct broker *b)
{
	const struct port_keeper k = { .renew = keeper_renew,
				       .current = keeper_current,
				       .hold = keeper_hold,
				       .held = keeper_held,
				       .ctx = b };

	port_keeper_set(&k);
}

void broker_forget(struct broker *b)
{
	struct proto_msg m = CALL(PROTO_FORGET);

	if (b && call_plain(b, &m, NULL, 0, NULL) < 0)
		log_warning("daemon", "the monitor may hold what nobody needs");
}

/* ---- The kernel fast path ---- */

static int no_fastpath(const char *why, struct error *err)
{
	return error_set(err, ENOTSUP, "no-fast-path", NULL, "%s", why);
}

int broker_fastpath(struct broker *b, struct proto_fastpath *out,
		    int fd[FASTPATH_FDS], struct error *err)
{
	struct proto_msg m = CALL(PROTO_FASTPATH);
	int got[PROTO_FDS_MAX], r;

	if (!b)
		return no_fastpath("the switch runs without a monitor", err);
	r = call(b, &m, NULL, 0, got, err);
	if (r == -EINVAL) /* one from before there was any */
		return no_fastpath("the monitor doesn't know it", err);
	if (r < 0)
		return r;
	if (m.head.nfds != FASTPATH_FDS ||
	    m.fastpath.version != FASTPATH_VERSION) {
		proto_close_fds(got, m.head.nfds);
		return no_fastpath("the monitor has another version's", err);
	}
	*out = m.fastpath;
	for (int i = 0; i < FASTPATH_FDS; i++)
		fd[i] = got[i];
	return 0;
}

int broker_place(struct broker *b, const struct port_grant *grant,
		 uint32_t index, struct error *err)
{
	struct proto_msg m = CALL(PROTO_PLACE);

	if (!b)
		return no_fastpath("the switch runs without a monitor", err);
	m.head.handle = grant->handle;
	m.head.arg = index;
	return call_plain(b, &m, NULL, 0, err);
}

int broker_xdp(struct broker *b, const struct port_grant *grant, bool on,
	       struct error *err)
{
	struct proto_msg m = CALL(PROTO_XDP);

	if (!b)
		return no_fastpath("the switch runs without a monitor", err);
	m.head.handle = grant->handle;
	m.head.arg = on;
	return call_plain(b, &m, NULL, 0, err);
}

/* ---- Files and names ---- */

int broker_config_open(struct broker *b, const char *file, struct error *err)
{
	struct proto_msg m = CALL(PROTO_CONFIG);
	int fd[PROTO_FDS_MAX], r;

	if (!b)
		return config_open(file, err);
	r = call(b, &m, NULL, 0, fd, err);
	if (r < 0)
		return r;
	if (m.head.nfds != 1) {
		proto_close_fds(fd, m.head.nfds);
		return error_set(err, EPROTO, "no-config", NULL,
				 "the monitor gave no file");
	}
	return fd[0];
}

static int write_here(const char *file, const json_t *config, struct error *err)
{
	int r = config_replace(file, config);

	if (r < 0)
		return error_set(err, -r, "cannot-save", "file",
				 "can't write %s: %s", file, strerror(-r));
	return 0;
}

int broker_config_write(void *ctx, const char *file, const json_t *config,
			struct error *err)
{
	struct proto_msg m = CALL(PROTO_SAVE);
	struct broker *b = ctx;
	int fd, r;

	if (!b)
		return write_here(file, config, err);
	if (strlen(file) >= sizeof(m.text))
		return error_set(err, ENAMETOOLONG, "cannot-save", "file",
				 "the path is too long");
	strcpy(m.text, file);
	fd = memfd_create("config", MFD_CLOEXEC);
	r = fd < 0 ? -errno : config_write(fd, config);
	if (r < 0)
		error_set(err, -r, "cannot-save", NULL, "%s", strerror(-r));
	else
		r = call_plain(b, &m, &fd, 1, err);
	if (fd >= 0)
		close(fd);
	return r;
}

int broker_id(void *ctx, bool group, const char *name, uint32_t *id)
{
	struct proto_msg m = CALL(PROTO_ID);
	struct broker *b = ctx;
	int r;

	if (!b)
		return ids_find(name, group, id);
	if (strlen(name) >= sizeof(m.text))
		return -ENOENT;
	m.head.arg = group;
	strcpy(m.text, name);
	r = call_plain(b, &m, NULL, 0, NULL);
	*id = m.head.arg;
	return r;
}

int broker_acl(struct broker *b, const char *file, const char *profile,
	       struct error *err)
{
	struct proto_msg m = CALL(PROTO_ACL);

	if (!b)
		return helper_acl_check(file, profile, err);
	snprintf(m.text, sizeof(m.text), "%s", profile);
	return call_plain(b, &m, NULL, 0, err);
}

/* ---- The monitor itself ---- */

int broker_keep(struct broker *b, enum proto_keep what, int fd)
{
	struct proto_msg m = CALL(PROTO_KEEP);

	m.head.arg = what;
	return call_plain(b, &m, &fd, 1, NULL);
}

int broker_fd(const struct broker *b)
{
	(void)b;
	return PROTO_ORDERS_FD;
}

int broker_order(struct broker *b, struct proto_msg *m)
{
	int fd[PROTO_FDS_MAX];
	int r = proto_receive(PROTO_ORDERS_FD, m, fd, 0);

	if (r == -ETIMEDOUT)
		return 0;
	if (r < 0) {
		(void)is_gone(b, r, NULL);
		return -EPIPE;
	}
	proto_close_fds(fd, m->head.nfds);
	return 1;
}

static void say(struct broker *b, struct proto_msg *m)
{
	int r;

	if (!b || atomic_load(&b->gone))
		return;
	r = proto_send(PROTO_ORDERS_FD, m, NULL, 0);
	if (r < 0)
		log_warning("daemon", "can't tell the monitor: %s",
			    strerror(-r));
}

void broker_say(struct broker *b, enum proto_type word, const char *text,
		uint32_t arg)
{
	struct proto_msg m = CALL(word);

	m.head.arg = arg;
	if (text)
		snprintf(m.text, sizeof(m.text), "%s", text);
	say(b, &m);
}

void broker_say_since(struct broker *b, enum proto_type word, uint32_t arg,
		      uint64_t since_ns)
{
	struct proto_msg m = CALL(word);

	m.head.arg = arg;
	m.since_ns = since_ns;
	say(b, &m);
}

void broker_say_failed(struct broker *b, const struct error *err)
{
	struct proto_msg m = CALL(PROTO_FAILED);

	m.error = *err;
	say(b, &m);
}

bool broker_gone(struct broker *b)
{
	return b && atomic_load(&b->gone);
}
