#include "switchd/grants.h"

#include "base/log.h"
#include "base/rights.h"
#include "ports/netdev_guard.h"
#include "switchd/fastpath.h"
#include "switchd/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INDEX_MAX 0xfffeu /* in a handle, see handle_of() */

#define SLOT_BIT(slot) ((uint8_t)(1u << (slot)))

void grants_init(struct grants *t, uint32_t max)
{
	*t = (struct grants){ .max = max < INDEX_MAX ? max : INDEX_MAX };
}

static uint32_t handle_of(const struct grants *t, const struct grant *g)
{
	/* Never 0: that is nobody's. */
	return (uint32_t)g->generation << 16 | (uint32_t)(g - t->g + 1);
}

static void close_out(const struct grants *t, struct grant *g)
{
	/* Before anything of the device changes, or its index is given to
	 * another one. */
	if (g->grant.fast)
		fastpath_kernel_take_out(t->fastpath, g->grant.ifindex);
	port_ops_find(g->rq.type)->release(&g->rq, &g->grant);
	grants_held_free(g->held);
	g->held = NULL;
	g->used = false;
	g->claims = 0;
}

void grants_fini(struct grants *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->g[i].used)
			close_out(t, &t->g[i]);
	free(t->g);
	*t = (struct grants){ .max = t->max };
}

uint32_t grants_count(const struct grants *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		n += t->g[i].used;
	return n;
}

/* One place more, free. */
static int grow(struct grants *t)
{
	if (t->n == t->room) {
		uint32_t room = t->room ? 2 * t->room : 16;
		struct grant *g = reallocarray(t->g, room, sizeof(*g));

		if (!g)
			return -ENOMEM;
		t->g = g;
		t->room = room;
	}
	memset(&t->g[t->n++], 0, sizeof(t->g[0]));
	return 0;
}

/* A free place, or NULL with *err. */
static struct grant *place(struct grants *t, struct error *err)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!t->g[i].used)
			return &t->g[i];
	/* `>`: a restart may have lowered it. */
	if (t->n >= t->max)
		error_set(err, ENOSPC, "too-many-ports", NULL,
			  "%u devices and files are held already", t->max);
	else if (grow(t) < 0)
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	else
		return &t->g[t->n - 1];
	return NULL;
}

/* Held for the same request by nobody: what a process that died has left, and
 * its successor, who has lost all memory of it, asks for anew. */
static struct grant *find_left(struct grants *t, const struct port_request *rq)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct grant *g = &t->g[i];

		if (!g->used || g->claims)
			continue;
		/* Padding is zero where requests are made; a difference in it
		 * costs a device that is opened anew. */
		/* NOLINTNEXTLINE(*-exp42-c,*-flp37-c,*-memory-comparison) */
		if (!memcmp(&g->rq, rq, sizeof(*rq)))
			return g;
	}
	return NULL;
}

/* The same name, device, file or socket with other parameters: a predecessor's,
 * and in the way. */
static bool in_the_way(const struct grant *g, const struct port_request *rq)
{
	const char *ifname = port_request_ifname(rq);
	const char *socket = port_request_socket(rq);
	/* A listener and a port may have the same name. */
	bool listens = !strcmp(g->rq.type, "listen");

	if ((listens == !strcmp(rq->type, "listen") &&
	     !strcmp(g->rq.name, rq->name)) ||
	    (*ifname && !strcmp(g->grant.ifname, ifname)) ||
	    (*socket && !strcmp(port_request_socket(&g->rq), socket)))
		return true;
	return !strcmp(g->rq.type, "pcap") && !strcmp(rq->type, "pcap") &&
	       !strcmp(g->rq.pcap.file, rq->pcap.file);
}

static void clear_way(struct grants *t, const struct port_request *rq)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct grant *g = &t->g[i];

		if (g->used && !g->claims && in_the_way(g, rq))
			close_out(t, g);
	}
}

static bool persists(const struct port_request *rq)
{
	return !strcmp(rq->type, "tap") && rq->tap.persist;
}

/* Nothing else bounds how many are left behind. */
static int check_persisted(const struct grants *t,
			   const struct port_request *rq, struct error *err)
{
	if (!persists(rq) || t->persisted < t->max)
		return 0;
	return error_set(err, ENOSPC, "too-many-ports", "persist",
			 "%u persistent devices have been made: start switchd "
			 "again",
			 t->persisted);
}

/* A copy of the connection that came with the request, for the grant to own. */
static int take_given(struct port_grant *grant, struct error *err)
{
	int fd = fcntl(grant->fd[0], F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return error_set(err, errno, "no-descriptor", NULL,
				 "the monitor can hold no more: %s",
				 strerror(errno));
	grant->fd[0] = fd;
	return fd;
}

int grants_acquire(struct grants *t, const struct policy *p,
		   const struct port_request *rq, unsigned int slot,
		   struct port_grant *out, struct error *err)
{
	const struct port_ops *ops = port_ops_find(rq->type);
	/* Another connection isn't the one that was left. */
	struct grant *g = rq->given ? NULL : find_left(t, rq);
	int given = -1, r = policy_check(p, rq, err);

	if (r < 0)
		return r;
	if (g) {
		/* Its place is by a memory that nobody has any more. */
		if (g->grant.fast)
			fastpath_kernel_take_out(t->fastpath, g->grant.ifindex);
		g->claims = SLOT_BIT(slot);
		*out = g->grant;
		return 0;
	}
	clear_way(t, rq);
	g = place(t, err);
	if (!g)
		return -err->err;
	r = check_persisted(t, rq, err);
	if (r == 0 && rq->given)
		r = given = take_given(out, err);
	if (r >= 0)
		r = ops->acquire(rq, out, err);
	if (r < 0) {
		if (rq->given)
			rights_close(given);
		return r;
	}
	t->persisted += persists(rq) && !out->undo.existed;
	r = policy_check_grant(p, rq, out, err);
	if (r < 0) {
		ops->release(rq, out);
		return r;
	}
	if (!strcmp(rq->type, "tap") && rq->tap.handover)
		return 0;
	g->used = true;
	g->claims = SLOT_BIT(slot);
	g->generation++;
	g->rq = *rq;
	out->handle = handle_of(t, g);
	g->grant = *out;
	g->grant.resumed = true; /* for whoever comes next */
	return 0;
}

struct grant *grants_find(struct grants *t, uint32_t handle, unsigned int slot,
			  bool claim)
{
	uint32_t i = (handle & 0xffff) - 1;
	struct grant *g = i < t->n ? &t->g[i] : NULL;

	if (!g || !g->used || g->generation != handle >> 16)
		return NULL;
	if (claim)
		g->claims |= SLOT_BIT(slot);
	return g->claims & SLOT_BIT(slot) ? g : NULL;
}

int grants_adjust(struct grant *g, const struct port_request *rq,
		  struct error *err)
{
	struct port_request wanted = g->rq;
	int r;

	/* Nothing else can change while it is held. */
	wanted.mtu = rq->mtu;
	wanted.enabled = rq->enabled;
	r = port_ops_find(wanted.type)->adjust(&wanted, &g->grant, err);
	if (r == 0)
		g->rq = wanted;
	return r;
}

void grants_release(struct grants *t, struct grant *g, unsigned int slot)
{
	g->claims &= (uint8_t)~SLOT_BIT(slot);
	if (!g->claims)
		close_out(t, g);
}

void grants_unclaim(struct grants *t, unsigned int slot)
{
	for (uint32_t i = 0; i < t->n; i++)
		t->g[i].claims &= (uint8_t)~SLOT_BIT(slot);
}

void grants_sweep(struct grants *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct grant *g = &t->g[i];

		if (!g->used || g->claims)
			continue;
		log_info("monitor", "%s: nobody's any more", g->rq.name);
		close_out(t, g);
	}
}

/* ---- The kernel fast path ---- */

static int check_fast(const struct grants *t, const struct grant *g,
		      struct error *err)
{
	if (t->fastpath && g->grant.fast && !strcmp(g->rq.type, "netdev"))
		return 0;
	return error_set(err, EINVAL, "not-fast", NULL,
			 "%s has nothing to do with the kernel fast path",
			 g->rq.name);
}

/* Whoever has left it there, and nobody claims. */
static void clear_place(const struct grants *t, uint32_t index)
{
	int ifindex = fastpath_kernel_at(t->fastpath, index);

	for (uint32_t i = 0; ifindex && i < t->n; i++) {
		const struct grant *g = &t->g[i];

		if (g->used && g->grant.fast && g->grant.ifindex == ifindex &&
		    !g->claims)
			fastpath_kernel_take_out(t->fastpath, ifindex);
	}
}

/* XDP sends to TAPs: other drivers may take it, or lose it. */
static bool is_tap(int ifindex)
{
	struct netlink *nl = netlink_open();
	struct netlink_link link;
	bool yes = nl && netlink_link_get(nl, ifindex, NULL, &link) == 0 &&
		   link.is_tap;

	netlink_close(nl);
	return yes;
}

int grants_place(struct grants *t, struct grant *g, uint32_t index,
		 struct error *err)
{
	int ifindex = g->grant.ifindex, r = check_fast(t, g, err);

	if (r < 0)
		return r;
	if (index == FASTPATH_NO_PORT) {
		fastpath_kernel_take_out(t->fastpath, ifindex);
		return 0;
	}
	clear_place(t, index);
	r = fastpath_kernel_place(t->fastpath, ifindex, index, is_tap(ifindex));
	if (r == -ERANGE)
		return error_set(err, ERANGE, "bad-index", NULL,
				 "there is no port %u", index);
	if (r == -EEXIST)
		return error_set(err, EEXIST, "index-taken", NULL,
				 "another device is port %u", index);
	return r < 0 ? error_set(err, -r, "no-fast-path", NULL,
				 "%s can't get into the kernel fast path: %s",
				 g->grant.ifname, strerror(-r))
		     : 0;
}

int grants_xdp(struct grants *t, struct grant *g, bool on, struct error *err)
{
	int r = check_fast(t, g, err);

	if (r < 0)
		return r;
	r = fastpath_kernel_xdp(t->fastpath, g->grant.ifindex, on);
	if (r == -ENOENT)
		return error_set(err, ENOENT, "not-placed", NULL,
				 "%s is no port yet", g->grant.ifname);
	return r < 0 ? error_set(err, -r, "no-xdp", NULL, "%s takes no XDP: %s",
				 g->grant.ifname, strerror(-r))
		     : 0;
}

int grants_reprogram(struct grants *t)
{
	struct netlink *nl;
	int first = 0, r;

	if (!t->fastpath)
		return 0;
	nl = netlink_open();
	if (!nl)
		return -errno;
	for (uint32_t i = 0; i < t->n; i++) {
		if (!t->g[i].used || !t->g[i].grant.fast)
			continue;
		r = netdev_guard_replace(nl, &t->g[i].grant);
		if (first == 0)
			first = r;
	}
	netlink_close(nl);
	r = fastpath_kernel_reattach(t->fastpath);
	return first ? first : r;
}

/* ---- From one life to the next ---- */

/* By the sizes it is told what the other version knew: see proto.h on growth.
 * `used` counts the records behind it. */
struct table_head {
	uint32_t magic, used, rq_size, grant_size;
};

/* Behind those: what is held with them. A version that doesn't know of that
 * ends before it. */
struct held_head {
	uint32_t magic, count; /* struct grants_held_record */
};

struct record_head {
	uint32_t index, generation, claims;
};

#define TABLE_MAGIC 0x31746e67u /* "gnt1" */
#define HELD_MAGIC  0x31646c68u /* "hld1" */

static int keep_over_exec(const struct port_grant *g, bool keep)
{
	for (unsigned int i = 0; i < g->nfds; i++)
		if (fcntl(g->fd[i], F_SETFD, keep ? 0 : FD_CLOEXEC) < 0)
			return -errno;
	return 0;
}

static int put(int fd, const void *p, size_t size)
{
	return write(fd, p, size) == (ssize_t)size ? 0 : -EIO;
}

static int held_write(const struct grants *t, int fd)
{
	struct held_head h = { .magic = HELD_MAGIC };
	int r;

	for (uint32_t i = 0; i < t->n; i++)
		if (t->g[i].used)
			h.count += grants_held_count(t->g[i].held);
	r = put(fd, &h, sizeof(h));
	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		if (!t->g[i].used)
			continue;
		r = grants_held_write(t->g[i].held, i, fd);
		if (r == 0)
			r = grants_held_survive(t->g[i].held, true);
	}
	return r;
}

int grants_write(struct grants *t, int fd)
{
	struct table_head h = { .magic = TABLE_MAGIC,
				.used = grants_count(t),
				.rq_size = sizeof(struct port_request),
				.grant_size = sizeof(struct port_grant) };
	int r = put(fd, &h, sizeof(h));

	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		const struct grant *g = &t->g[i];
		struct record_head rec = { .index = i,
					   .generation = g->generation,
					   .claims = g->claims };

		if (!g->used)
			continue;
		r = put(fd, &rec, sizeof(rec));
		if (r == 0)
			r = put(fd, &g->rq, sizeof(g->rq));
		if (r == 0)
			r = put(fd, &g->grant, sizeof(g->grant));
		if (r == 0)
			r = keep_over_exec(&g->grant, true);
	}
	return r ? r : held_write(t, fd);
}

/* A struct of another version: what it hadn't is zero; what we don't have must
 * be, for it was set for a reason. */
static int get(int fd, void *p, size_t size, size_t their_size)
{
	char buf[8192];

	if (their_size > sizeof(buf) ||
	    read(fd, buf, their_size) != (ssize_t)their_size)
		return -EINVAL;
	memset(p, 0, size);
	memcpy(p, buf, size < their_size ? size : their_size);
	for (size_t i = size; i < their_size; i++)
		if (buf[i])
			return -EPROTONOSUPPORT;
	return 0;
}

static bool record_sane(const struct grant *g)
{
	struct proto_msg m = { .request = g->rq };

	if (!proto_request_sane(&m) || g->grant.nfds > PORT_FDS_MAX ||
	    !memchr(g->grant.ifname, '\0', sizeof(g->grant.ifname)))
		return false;
	for (unsigned int i = 0; i < g->grant.nfds; i++)
		if (g->grant.fd[i] < 0)
			return false;
	return true;
}

static int grant_read(struct grants *t, int fd, const struct table_head *h)
{
	struct record_head rec;
	struct grant *g;
	int r = get(fd, &rec, sizeof(rec), sizeof(rec));

	if (r < 0)
		return r;
	/* Not t->max, which may be lower than the last program's: what is held
	 * is held. */
	if (rec.index >= INDEX_MAX ||
	    (rec.index < t->n && t->g[rec.index].used))
		return -EINVAL;
	while (r == 0 && t->n <= rec.index)
		r = grow(t);
	if (r < 0)
		return r;
	g = &t->g[rec.index];
	g->generation = (uint16_t)rec.generation;
	g->claims = (uint8_t)rec.claims;
	r = get(fd, &g->rq, sizeof(g->rq), h->rq_size);
	if (r == 0)
		r = get(fd, &g->grant, sizeof(g->grant), h->grant_size);
	if (r == 0 && !record_sane(g))
		r = -EINVAL;
	g->used = r == 0;
	return r;
}

static int held_read(struct grants *t, int fd)
{
	struct grants_held_record rec;
	struct held_head h;
	ssize_t n = read(fd, &h, sizeof(h));
	int r = 0;

	if (n == 0) /* of a version that held nothing */
		return 0;
	if (n != sizeof(h) || h.magic != HELD_MAGIC)
		return -EINVAL;
	for (uint32_t i = 0; r == 0 && i < h.count; i++) {
		r = get(fd, &rec, sizeof(rec), sizeof(rec));
		if (r == 0 && (rec.grant >= t->n || !t->g[rec.grant].used))
			r = -EINVAL;
		if (r == 0)
			r = grants_held_restore(&t->g[rec.grant].held, &rec);
	}
	return r;
}

/* Only now is nobody left who would need them in another exec. */
static int take_all(struct grants *t)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->n; i++) {
		if (!t->g[i].used)
			continue;
		r = keep_over_exec(&t->g[i].grant, false);
		if (r == 0)
			r = grants_held_survive(t->g[i].held, false);
	}
	return r;
}

/* Nothing is closed, and nothing put back. */
static void disown_all(struct grants *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->g[i].used) {
			(void)keep_over_exec(&t->g[i].grant, true);
			(void)grants_held_survive(t->g[i].held, true);
		}
		grants_held_disown(t->g[i].held);
		t->g[i].held = NULL;
		t->g[i].used = false;
	}
}

int grants_read(struct grants *t, int fd)
{
	struct table_head h;
	int r = get(fd, &h, sizeof(h), sizeof(h));

	if (r == 0 && h.magic != TABLE_MAGIC)
		r = -EINVAL;
	for (uint32_t i = 0; r == 0 && i < h.used; i++)
		r = grant_read(t, fd, &h);
	if (r == 0)
		r = held_read(t, fd);
	if (r == 0)
		r = take_all(t);
	if (r < 0)
		disown_all(t);
	return r;
}
