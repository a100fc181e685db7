#include "switchd/fastpath_map.h"

#include "fdb/layout.h"
#include "switchd/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(FASTPATH_DROPS == DECIDE_VERDICTS, "a counter a verdict");
_Static_assert(sizeof(struct fdb_bucket) == FASTPATH_FDB_ELEMENT,
	       "a bucket an element");

/* What the last tick has seen of a port, and what its index had punted before
 * it was the port's. */
struct seen {
	uint32_t punted, completed, before;
};

struct fastpath {
	struct fastpath_extent sizes;
	int cpu_fd;
	void *fdb;
	struct fastpath_global *global;
	struct fastpath_port *ports;
	struct fastpath_vlans *vlans;
	struct fastpath_counters *counters;
	struct fastpath_flood *floods;
	uint64_t *members;
	uint32_t nports; /* records from here on are all away */
	struct seen *seen;
	struct { /* for fastpath_commit() only */
		struct fastpath_flood set[SNAPSHOT_VLANS];
		struct fastpath_flood flood[SNAPSHOT_VLANS];
		uint64_t member[FASTPATH_MEMBERS_MAX];
	} next;
};

/* ---- Memory ---- */

struct mapping {
	void **where;
	uint64_t size;
};

static void mappings(struct fastpath *f, struct mapping m[FASTPATH_CPU])
{
	uint64_t ports = f->sizes.ports_max;

	m[FASTPATH_FDB] = (struct mapping){ &f->fdb, f->sizes.fdb_size };
	m[FASTPATH_GLOBAL] =
		(struct mapping){ (void **)&f->global, sizeof(*f->global) };
	m[FASTPATH_PORTS] = (struct mapping){ (void **)&f->ports,
					      ports * sizeof(*f->ports) };
	m[FASTPATH_VLANS] = (struct mapping){ (void **)&f->vlans,
					      ports * sizeof(*f->vlans) };
	m[FASTPATH_FLOODS] =
		(struct mapping){ (void **)&f->floods,
				  SNAPSHOT_VLANS * sizeof(*f->floods) };
	m[FASTPATH_MEMBERS] =
		(struct mapping){ (void **)&f->members,
				  FASTPATH_MEMBERS_MAX * sizeof(*f->members) };
	m[FASTPATH_COUNTERS] = (struct mapping){ (void **)&f->counters,
						 ports * f->sizes.cpus *
							 sizeof(*f->counters) };
}

static int map_all(struct fastpath *f, const int *fd)
{
	struct mapping m[FASTPATH_CPU];

	mappings(f, m);
	for (int i = 0; i < FASTPATH_CPU; i++) {
		/* The kernel refuses what the map hasn't got. */
		void *p = mmap(NULL, m[i].size, PROT_READ | PROT_WRITE,
			       MAP_SHARED, fd[i], 0);

		if (p == MAP_FAILED)
			return -errno;
		*m[i].where = p;
	}
	return 0;
}

static bool sizes_fit(const struct fastpath_extent *s)
{
	return s->version == FASTPATH_VERSION && s->ports_max &&
	       s->ports_max <= FASTPATH_PORTS_MAX && s->cpus && s->fdb_size;
}

struct fastpath *fastpath_open(const struct fastpath_extent *sizes,
			       const int *fd, struct error *err)
{
	struct fastpath *f = calloc(1, sizeof(*f));
	int r = 0;

	if (f) {
		f->sizes = *sizes;
		f->cpu_fd = fd[FASTPATH_CPU];
		f->nports = sizes->ports_max; /* whoever wrote them */
		f->seen = calloc(sizes->ports_max, sizeof(*f->seen));
	}
	if (!f || !f->seen)
		r = error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	else if (!sizes_fit(sizes) || map_all(f, fd) < 0)
		r = error_set(err, EINVAL, "bad-state", NULL,
			      "the kernel fast path's maps aren't as said");
	for (int i = 0; i < FASTPATH_CPU; i++)
		if (fd[i] >= 0)
			close(fd[i]); /* the mappings hold the maps */
	if (r == 0)
		return f;
	if (!f && fd[FASTPATH_CPU] >= 0)
		close(fd[FASTPATH_CPU]);
	fastpath_free(f);
	return NULL;
}

void fastpath_free(struct fastpath *f)
{
	struct mapping m[FASTPATH_CPU];

	if (!f)
		return;
	mappings(f, m);
	for (int i = 0; i < FASTPATH_CPU; i++)
		if (*m[i].where)
			munmap(*m[i].where, m[i].size);
	if (f->cpu_fd >= 0)
		close(f->cpu_fd);
	free(f->seen);
	free(f);
}

void *fastpath_fdb_memory(const struct fastpath *f)
{
	return f->fdb;
}

uint64_t fastpath_fdb_size(const struct fastpath *f)
{
	return f->sizes.fdb_size;
}

int fastpath_cpu_fd(const struct fastpath *f)
{
	return f->cpu_fd;
}

/* ---- What the kernel decides by ---- */

static void global_lock(struct fastpath *f)
{
	atomic_fetch_add(&f->global->seq, 1);
}

/* An odd number may be what a process has left that died in between. */
static void global_begin(struct fastpath *f)
{
	if (atomic_load(&f->global->seq) % 2 == 0)
		global_lock(f);
}

/* One record as it should be. Returns whether it is another one. */
static bool port_wanted(const struct fastpath *f, const struct snapshot *s,
			uint32_t i, enum fastpath_state state,
			struct fastpath_port *w)
{
	const struct fastpath_port *now = &f->ports[i];
	const struct snapshot_port *p;

	memset(w, 0, offsetof(struct fastpath_port, reserved));
	w->state = state;
	if (state == FASTPATH_AWAY)
		return now->state != FASTPATH_AWAY;
	p = &s->port[i];
	w->flags = p->decide.flags;
	w->native = p->decide.native;
	w->mtu = atomic_load_explicit(&p->port->mtu, memory_order_relaxed);
	w->vlans = p->decide.vlans != NULL;
	if (memcmp(now, w, offsetof(struct fastpath_port, reserved)) != 0)
		return true;
	return w->vlans &&
	       memcmp(f->vlans[i].word, p->vlans, sizeof(p->vlans)) != 0;
}

/* Is every member the kernel's? */
static bool set_is_on(const struct fastpath *f,
		      const struct snapshot_flood *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (f->ports[set->port[i]].state != FASTPATH_ON)
			return false;
	return true;
}

/* Into f->next: where each VLAN's flood set lies among the members, and those.
 * Returns how many of them there are. */
static uint32_t place_floods(struct fastpath *f, const struct snapshot *s)
{
	struct fastpath_flood *at = f->next.set;
	uint32_t used = 0;

	for (uint32_t k = 0; k < s->nsets; k++) {
		const struct snapshot_flood *set = s->sets[k];

		at[k] = (struct fastpath_flood){ .first = used };
		if (set->n > FASTPATH_MEMBERS_MAX - used || !set_is_on(f, set))
			continue;
		at[k].n = set->n;
		for (uint32_t i = 0; i < set->n; i++)
			f->next.member[used++] = set->port[i];
	}
	for (uint32_t vid = 0; vid < SNAPSHOT_VLANS; vid++)
		f->next.flood[vid] = at[s->flood[vid]->id];
	return used;
}

/* A port that isn't the kernel's can change them, too: so they are compared. */
static void commit_floods(struct fastpath *f, const struct snapshot *s)
{
	size_t members = place_floods(f, s) * sizeof(f->members[0]);

	if (!memcmp(f->floods, f->next.flood, sizeof(f->next.flood)) &&
	    !memcmp(f->members, f->next.member, members))
		return;
	global_begin(f);
	memcpy(f->floods, f->next.flood, sizeof(f->next.flood));
	memcpy(f->members, f->next.member, members);
}

void fastpath_commit(struct fastpath *f, const struct snapshot *s,
		     fastpath_state_fn *state, void *ctx)
{
	uint32_t end = s->nports > f->nports ? s->nports : f->nports;
	struct fastpath_port w;

	if (end > f->sizes.ports_max)
		end = f->sizes.ports_max;
	if (f->global->tpid != s->tpid || !f->global->on) {
		global_begin(f);
		f->global->tpid = s->tpid;
		f->global->on = 1;
	}
	for (uint32_t i = 0; i < end; i++) {
		bool there = i < s->nports && s->port[i].port;

		if (!port_wanted(f, s, i, there ? state(ctx, i) : FASTPATH_AWAY,
				 &w))
			continue;
		global_begin(f);
		if (w.vlans)
			memcpy(f->vlans[i].word, s->port[i].vlans,
			       sizeof(f->vlans[i].word));
		memcpy(&f->ports[i], &w,
		       offsetof(struct fastpath_port, reserved));
	}
	f->nports = s->nports;
	commit_floods(f, s);
	if (atomic_load(&f->global->seq) % 2)
		global_lock(f);
}

/* ---- Order and budget ---- */

void fastpath_completed(struct fastpath *f, uint32_t index, uint32_t frames)
{
	/* Not alone: see fastpath_tick(). */
	atomic_fetch_add(&f->ports[index].completed, frames);
}

/*
 * Nothing has come up for a second, nor gone, and still something is missing:
 * it won't come any more. (Punts wait in a queue for milliseconds.)
 */
bool fastpath_tick(struct fastpath *f, uint32_t now_s,
		   void (*lost)(void *ctx, uint32_t index, uint32_t frames),
		   void *ctx)
{
	if (atomic_load(&f->global->now_s) == now_s)
		return false;
	atomic_store(&f->global->now_s, now_s);
	for (uint32_t i = 0; i < f->nports; i++) {
		struct fastpath_port *p = &f->ports[i];
		struct seen now = { atomic_load(&p->punted),
				    atomic_load(&p->completed),
				    f->seen[i].before };
		uint32_t n = now.punted - now.completed;

		if (n && now.punted == f->seen[i].punted &&
		    now.completed == f->seen[i].completed) {
			fastpath_completed(f, i, n);
			if (lost)
				lost(ctx, i, n);
		}
		f->seen[i] = now;
	}
	return true;
}

void fastpath_dead_after(struct fastpath *f, uint32_t seconds)
{
	f->global->dead_after_s = seconds;
}

/* ---- Counters ---- */

static uint64_t get(const _Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void count(struct port_counters *sum, const struct fastpath_counters *c)
{
	static const enum drop_reason why[FASTPATH_DROPS] = DECIDE_DROPS;

	counter_add(&sum->rx_frames, get(&c->rx_frames));
	counter_add(&sum->rx_bytes, get(&c->rx_bytes));
	counter_add(&sum->rx_segments, get(&c->rx_segments));
	counter_add(&sum->rx_forwarded, get(&c->rx_forwarded));
	for (int i = DECIDE_FORWARD + 1; i < FASTPATH_DROPS; i++)
		counter_add(&sum->rx_drop[why[i]], get(&c->rx_drop[i]));
	/* Dropped without a decision: nobody was there. */
	counter_add(&sum->rx_drop[DROP_RESTART],
		    get(&c->rx_drop[DECIDE_FORWARD]));
	counter_add(&sum->rx_drop[DROP_PUNT_BUDGET], get(&c->rx_budget));
	counter_add(&sum->tx_copies, get(&c->tx_copies));
	counter_add(&sum->tx_frames, get(&c->tx_frames));
	counter_add(&sum->tx_bytes, get(&c->tx_bytes));
	counter_add(&sum->tx_segments, get(&c->tx_segments));
	counter_add(&sum->tx_drop[DROP_MTU], get(&c->tx_drop_mtu));
	counter_add(&sum->tx_drop[DROP_NO_MEMORY], get(&c->tx_drop_memory));
	counter_add(&sum->tx_drop[DROP_QUEUE_FULL], get(&c->tx_drop_full));
}

void fastpath_count(const struct fastpath *f, uint32_t index,
		    struct port_counters *sum)
{
	for (uint32_t cpu = 0;
	     index < f->sizes.ports_max && cpu < f->sizes.cpus; cpu++)
		count(sum, &f->counters[cpu * f->sizes.ports_max + index]);
}

void fastpath_facts(const struct fastpath *f, uint32_t index,
		    struct fastpath_facts *out)
{
	memset(out, 0, sizeof(*out));
	if (index >= f->sizes.ports_max)
		return;
	out->punted = (uint32_t)(atomic_load(&f->ports[index].punted) -
				 f->seen[index].before);
	for (uint32_t cpu = 0; cpu < f->sizes.cpus; cpu++) {
		const struct fastpath_counters *c =
			&f->counters[cpu * f->sizes.ports_max + index];

		out->forwarded += get(&c->rx_forwarded);
		out->xdp += get(&c->xdp);
		out->super += get(&c->super);
		out->forced += get(&c->forced);
	}
}

void fastpath_retire(struct fastpath *f, uint32_t index,
		     struct port_counters *to)
{
	if (index >= f->sizes.ports_max)
		return;
	fastpath_count(f, index, to);
	f->seen[index].before = atomic_load(&f->ports[index].punted);
	for (uint32_t cpu = 0; cpu < f->sizes.cpus; cpu++)
		memset(&f->counters[cpu * f->sizes.ports_max + index], 0,
		       sizeof(*f->counters));
}
