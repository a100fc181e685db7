/* What the switch process writes for the kernel's programs, and makes of what
 * they have written. Their maps are plain memory here. */
#include "switchd/fastpath_map.h"

#include "base/memfd.h"
#include "switchd/snapshot.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PORTS 64u
#define CPUS  3u

#define STEADY                                                        \
	offsetof(struct fastpath_port, reserved) /* the main thread's \
						  */

/* The same memory from the programs' side. */
struct rig {
	struct fastpath *f;
	uint8_t *fdb;
	struct fastpath_global *global;
	struct fastpath_port *ports;
	struct fastpath_vlans *vlans;
	struct fastpath_counters *counters;
	struct fastpath_flood *floods;
	uint64_t *members;
	uint64_t size[FASTPATH_CPU];
	/* What the snapshot is made of; what the kernel has of each port. */
	struct port port[PORTS];
	struct snapshot *s;
	enum fastpath_state state[PORTS];
	unsigned int asked; /* about ports */
	unsigned int odd;   /* of these, while it was being written */
};

static const struct fastpath_extent extent = {
	.version = FASTPATH_VERSION,
	.ports_max = PORTS,
	.cpus = CPUS,
	.fdb_size = 8192,
};

static void sizes(uint64_t size[FASTPATH_CPU])
{
	size[FASTPATH_FDB] = extent.fdb_size;
	size[FASTPATH_GLOBAL] = sizeof(struct fastpath_global);
	size[FASTPATH_PORTS] = PORTS * sizeof(struct fastpath_port);
	size[FASTPATH_VLANS] = PORTS * sizeof(struct fastpath_vlans);
	size[FASTPATH_COUNTERS] =
		CPUS * PORTS * sizeof(struct fastpath_counters);
	size[FASTPATH_FLOODS] = FASTPATH_VIDS * sizeof(struct fastpath_flood);
	size[FASTPATH_MEMBERS] = FASTPATH_MEMBERS_MAX * sizeof(uint64_t);
}

static void *map(int fd, uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fd[FASTPATH_FDS] = { [FASTPATH_CPU] = -1 };
	struct error err = { 0 };

	sizes(r->size);
	for (unsigned int i = 0; i < PORTS; i++)
		r->state[i] = FASTPATH_ON;
	for (int i = 0; i < FASTPATH_CPU; i++)
		fd[i] = memfd_new("map", r->size[i]);
	r->fdb = map(fd[FASTPATH_FDB], r->size[FASTPATH_FDB]);
	r->global = map(fd[FASTPATH_GLOBAL], r->size[FASTPATH_GLOBAL]);
	r->ports = map(fd[FASTPATH_PORTS], r->size[FASTPATH_PORTS]);
	r->vlans = map(fd[FASTPATH_VLANS], r->size[FASTPATH_VLANS]);
	r->counters = map(fd[FASTPATH_COUNTERS], r->size[FASTPATH_COUNTERS]);
	r->floods = map(fd[FASTPATH_FLOODS], r->size[FASTPATH_FLOODS]);
	r->members = map(fd[FASTPATH_MEMBERS], r->size[FASTPATH_MEMBERS]);
	r->f = fastpath_open(&extent, fd, &err);
	assert_non_null(r->f);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fastpath_free(r->f);
	munmap(r->fdb, r->size[FASTPATH_FDB]);
	munmap(r->global, r->size[FASTPATH_GLOBAL]);
	munmap(r->ports, r->size[FASTPATH_PORTS]);
	munmap(r->vlans, r->size[FASTPATH_VLANS]);
	munmap(r->counters, r->size[FASTPATH_COUNTERS]);
	munmap(r->floods, r->size[FASTPATH_FLOODS]);
	munmap(r->members, r->size[FASTPATH_MEMBERS]);
	if (r->s)
		snapshot_free(r->s);
	free(r);
	return 0;
}

/* ---- Snapshots ---- */

/* A new snapshot with n trunks that carry everything. */
static struct snapshot *begin(struct rig *r, uint32_t n)
{
	if (r->s)
		snapshot_free(r->s);
	r->s = snapshot_new(n, 0);
	assert_non_null(r->s);
	r->s->tpid = 0x8100;
	for (uint32_t i = 0; i < n; i++) {
		struct snapshot_port *p = &r->s->port[i];

		if (!atomic_load(&r->port[i].mtu))
			atomic_store(&r->port[i].mtu, 1500);
		p->port = &r->port[i];
		p->decide.flags = DECIDE_ENABLED | DECIDE_LEARN | DECIDE_FLOOD;
		p->decide.native = 1;
		memset(p->vlans, 0xff, sizeof(p->vlans));
	}
	return r->s;
}

/* The port is in these VLANs only. */
static void in_vlans(struct rig *r, uint32_t i, unsigned int a, unsigned int b)
{
	uint64_t *vlans = r->s->port[i].vlans;

	memset(vlans, 0, sizeof(r->s->port[i].vlans));
	decide_vlan_set(vlans, a);
	decide_vlan_set(vlans, b);
}

static enum fastpath_state state_of(void *ctx, uint32_t index)
{
	struct rig *r = ctx;

	r->asked++;
	r->odd += atomic_load(&r->global->seq) & 1;
	return r->state[index];
}

static void commit(struct rig *r)
{
	if (!r->s->nsets)
		assert_int_equal(snapshot_finish(r->s), 0);
	r->asked = r->odd = 0;
	fastpath_commit(r->f, r->s, state_of, r);
	assert_int_equal(atomic_load(&r->global->seq) % 2, 0);
}

/* ---- Opening ---- */

static void refused(const struct fastpath_extent *e, int missing)
{
	int fd[FASTPATH_FDS], was[FASTPATH_FDS];
	struct error err = { 0 };
	uint64_t size[FASTPATH_CPU];

	sizes(size);
	for (int i = 0; i < FASTPATH_FDS; i++)
		fd[i] = was[i] =
			i == missing
				? -1
				: memfd_new("map",
					    i < FASTPATH_CPU ? size[i] : 4096);
	assert_null(fastpath_open(e, fd, &err));
	assert_string_equal(err.reason, "bad-state");
	for (int i = 0; i < FASTPATH_FDS; i++) {
		if (i == missing)
			continue;
		assert_int_equal(fcntl(was[i], F_GETFD), -1);
		assert_int_equal(errno, EBADF);
	}
}

static void sizes_that_cannot_be_are_refused_and_the_maps_closed(void **state)
{
	struct fastpath_extent e = extent;

	(void)state;
	e.version++;
	refused(&e, -1);
	e = extent;
	e.ports_max = 0;
	refused(&e, -1);
	e.ports_max = FASTPATH_PORTS_MAX + 1;
	refused(&e, -1);
	e = extent;
	e.cpus = 0;
	refused(&e, -1);
	e = extent;
	e.fdb_size = 0;
	refused(&e, -1);
}

static void each_map_must_be_there(void **state)
{
	(void)state;
	for (int i = 0; i < FASTPATH_CPU; i++)
		refused(&extent, i);
}

static void memory_of_the_fdb_is_the_maps(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fastpath_fdb_size(r->f), extent.fdb_size);
	r->fdb[extent.fdb_size - 1] = 77;
	assert_int_equal(
		((uint8_t *)fastpath_fdb_memory(r->f))[extent.fdb_size - 1],
		77);
	assert_int_equal(fastpath_cpu_fd(r->f), -1);
}

/* ---- Commit ---- */

static void commit_writes_what_the_snapshot_says(void **state)
{
	struct rig *r = *state;
	struct snapshot *s = begin(r, 3);

	s->tpid = 0x88a8;
	atomic_store(&r->port[1].mtu, 9000);
	s->port[1].decide.flags = DECIDE_ENABLED | DECIDE_ISOLATED;
	s->port[1].decide.native = 7;
	in_vlans(r, 1, 7, 4094);
	commit(r);
	assert_int_equal(r->global->on, 1);
	assert_int_equal(r->global->tpid, 0x88a8);
	assert_int_equal(r->ports[0].state, FASTPATH_ON);
	assert_int_equal(r->ports[0].flags,
			 DECIDE_ENABLED | DECIDE_LEARN | DECIDE_FLOOD);
	assert_int_equal(r->ports[0].native, 1);
	assert_int_equal(r->ports[0].mtu, 1500);
	assert_int_equal(r->ports[1].state, FASTPATH_ON);
	assert_int_equal(r->ports[1].flags, DECIDE_ENABLED | DECIDE_ISOLATED);
	assert_int_equal(r->ports[1].native, 7);
	assert_int_equal(r->ports[1].mtu, 9000);
	assert_int_equal(r->ports[1].vlans, 1);
	for (unsigned int vid = 0; vid < 4096; vid++)
		assert_int_equal(decide_vlan_test(r->vlans[1].word, vid),
				 vid == 7 || vid == 4094);
	assert_int_equal(r->ports[3].state, FASTPATH_AWAY);
}

static void ports_are_the_kernels_or_not_as_their_state_says(void **state)
{
	struct rig *r = *state;

	begin(r, 4);
	r->s->port[3].port = NULL;
	r->state[1] = FASTPATH_PUNT;
	r->state[2] = FASTPATH_AWAY;
	r->state[3] = FASTPATH_ON;
	commit(r);
	assert_int_equal(r->asked, 3);
	assert_int_equal(r->ports[0].state, FASTPATH_ON);
	assert_int_equal(r->ports[1].state, FASTPATH_PUNT);
	assert_int_equal(r->ports[1].mtu, 1500);
	assert_int_equal(r->ports[2].state, FASTPATH_AWAY);
	assert_int_equal(r->ports[3].state, FASTPATH_AWAY);
}

static void ports_beyond_the_snapshot_are_away(void **state)
{
	struct rig *r = *state;

	begin(r, 5);
	commit(r);
	begin(r, 2);
	commit(r);
	for (unsigned int i = 0; i < PORTS; i++)
		assert_int_equal(r->ports[i].state,
				 i < 2 ? FASTPATH_ON : FASTPATH_AWAY);
}

static void what_an_earlier_process_wrote_is_put_right(void **state)
{
	struct rig *r = *state;

	for (unsigned int i = 0; i < PORTS; i++)
		r->ports[i].state = FASTPATH_ON;
	begin(r, 1);
	commit(r);
	for (unsigned int i = 1; i < PORTS; i++)
		assert_int_equal(r->ports[i].state, FASTPATH_AWAY);
}

static void nothing_new_writes_nothing(void **state)
{
	struct rig *r = *state;
	uint32_t seq;

	begin(r, 3);
	in_vlans(r, 1, 5, 6);
	commit(r);
	seq = atomic_load(&r->global->seq);
	commit(r);
	begin(r, 3);
	in_vlans(r, 1, 5, 6);
	commit(r);
	assert_int_equal(atomic_load(&r->global->seq), seq);
}

static void change_writes_that_port_only_and_leaves_its_order_alone(void **st)
{
	struct rig *r = *st;
	struct fastpath_port before[PORTS];
	uint32_t seq;

	begin(r, 3);
	commit(r);
	atomic_store(&r->ports[1].punted, 70);
	atomic_store(&r->ports[1].pending[5], 69);
	atomic_store(&r->ports[1].completed, 68);
	memcpy(before, r->ports, sizeof(before));
	seq = atomic_load(&r->global->seq);
	begin(r, 3);
	r->s->port[1].decide.native = 9;
	commit(r);
	assert_int_equal(atomic_load(&r->global->seq), seq + 2);
	assert_int_equal(r->odd, 1); /* port 2 was asked about after that */
	assert_int_equal(r->ports[1].native, 9);
	before[1].native = 9;
	assert_memory_equal(before, r->ports, sizeof(before));
}

static void each_thing_that_may_change_is_seen_to(void **state)
{
	struct rig *r = *state;
	uint32_t seq;

	for (unsigned int i = 0; i < 7; i++) {
		begin(r, 2);
		r->state[0] = FASTPATH_ON;
		atomic_store(&r->port[0].mtu, 1500);
		in_vlans(r, 0, 5, 6);
		in_vlans(r, 1, 6, 7);
		commit(r);
		seq = atomic_load(&r->global->seq);
		begin(r, 2);
		in_vlans(r, 0, 5, i == 0 ? 3 : 6);
		in_vlans(r, 1, 6, 7);
		if (i == 1)
			atomic_store(&r->port[0].mtu, 1501);
		else if (i == 2)
			r->s->port[0].decide.flags ^= DECIDE_FLOOD;
		else if (i == 3)
			r->s->port[0].decide.native = 4;
		else if (i == 4)
			r->state[0] = FASTPATH_PUNT;
		else if (i == 5)
			r->s->tpid = 0x88a8;
		else if (i == 6)
			r->state[0] = FASTPATH_AWAY;
		commit(r);
		assert_int_equal(atomic_load(&r->global->seq), seq + 2);
	}
}

static void number_that_was_left_odd_is_even_afterwards(void **state)
{
	struct rig *r = *state;

	begin(r, 3);
	commit(r);
	atomic_store(&r->global->seq, 41); /* somebody died in between */
	commit(r);
	assert_int_equal(atomic_load(&r->global->seq), 42);
	atomic_store(&r->global->seq, UINT32_MAX);
	r->s->port[0].decide.native = 2;
	commit(r);
	assert_int_equal(atomic_load(&r->global->seq), 0);
	assert_int_equal(r->ports[0].native, 2);
}

/* ---- Floods ---- */

static void expect_flood(struct rig *r, unsigned int vid, uint32_t n,
			 const uint32_t *port)
{
	const struct fastpath_flood *f = &r->floods[vid];

	assert_int_equal(f->n, n);
	assert_true(f->first + n <= FASTPATH_MEMBERS_MAX);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(r->members[f->first + i], port[i]);
}

static void vlan_floods_in_the_kernel_where_all_members_are_its(void **state)
{
	struct rig *r = *state;

	begin(r, 4);
	in_vlans(r, 0, 5, 6);
	in_vlans(r, 1, 6, 7);
	in_vlans(r, 2, 7, 5);
	in_vlans(r, 3, 9, 5);
	r->s->port[3].decide.flags &= (uint16_t)~DECIDE_FLOOD;
	commit(r);
	expect_flood(r, 5, 2, (const uint32_t[]){ 0, 2 });
	expect_flood(r, 6, 2, (const uint32_t[]){ 0, 1 });
	expect_flood(r, 7, 2, (const uint32_t[]){ 1, 2 });
	expect_flood(r, 8, 0, NULL);
	expect_flood(r, 9, 0, NULL);
	r->state[0] = FASTPATH_PUNT;
	commit(r);
	expect_flood(r, 5, 0, NULL);
	expect_flood(r, 6, 0, NULL);
	expect_flood(r, 7, 2, (const uint32_t[]){ 1, 2 });
	r->state[0] = FASTPATH_ON;
	commit(r);
	expect_flood(r, 5, 2, (const uint32_t[]){ 0, 2 });
}

static void members_beyond_the_map_are_left_to_userspace(void **state)
{
	struct rig *r = *state;
	uint32_t here = 0;

	/* Each VLAN has a set of its own: those of its number's bits. */
	begin(r, PORTS);
	for (uint32_t i = 0; i < 12; i++)
		for (unsigned int vid = 0; vid < 4096; vid++)
			if (!(vid >> i & 1))
				r->s->port[i].vlans[vid / 64] &=
					~(1ull << vid % 64);
	commit(r);
	for (unsigned int vid = 1; vid < 4095; vid++) {
		uint32_t port[PORTS], n = 0;

		for (uint32_t i = 0; i < PORTS; i++)
			if (i >= 12 || vid >> i & 1)
				port[n++] = i;
		if (r->floods[vid].n)
			expect_flood(r, vid, n, port);
		here += r->floods[vid].n != 0;
	}
	assert_in_range(here, FASTPATH_MEMBERS_MAX / PORTS,
			FASTPATH_MEMBERS_MAX / (PORTS - 12));
}

/* ---- Order and budget ---- */

struct losses {
	uint32_t index, frames;
	unsigned int n;
};

static void lost(void *ctx, uint32_t index, uint32_t frames)
{
	struct losses *l = ctx;

	l->index = index;
	l->frames = frames;
	l->n++;
}

static void heart_beats_once_a_second(void **state)
{
	struct rig *r = *state;

	begin(r, 2);
	commit(r);
	assert_true(fastpath_tick(r->f, 1000, NULL, NULL));
	assert_int_equal(atomic_load(&r->global->now_s), 1000);
	assert_false(fastpath_tick(r->f, 1000, NULL, NULL));
	assert_true(fastpath_tick(r->f, 1001, NULL, NULL));
	fastpath_dead_after(r->f, 30);
	assert_int_equal(r->global->dead_after_s, 30);
}

static void punts_that_stand_still_for_a_second_are_lost(void **state)
{
	struct rig *r = *state;
	struct losses l = { 0 };

	begin(r, 3);
	commit(r);
	fastpath_tick(r->f, 1000, lost, &l);
	atomic_store(&r->ports[1].punted, 10);
	fastpath_completed(r->f, 1, 3);
	fastpath_tick(r->f, 1001, lost, &l);
	fastpath_tick(r->f, 1001, lost, &l); /* no second has passed */
	assert_int_equal(l.n, 0);
	fastpath_tick(r->f, 1002, lost, &l);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.index, 1);
	assert_int_equal(l.frames, 7);
	assert_int_equal(atomic_load(&r->ports[1].completed), 10);
	fastpath_tick(r->f, 1003, lost, &l);
	fastpath_tick(r->f, 1004, lost, &l);
	assert_int_equal(l.n, 1);
}

static void punts_that_move_are_waited_for(void **state)
{
	struct rig *r = *state;
	struct losses l = { 0 };

	begin(r, 3);
	commit(r);
	for (uint32_t i = 0; i < 10; i++) {
		if (i % 2) /* one comes, or one is done with */
			atomic_fetch_add(&r->ports[2].punted, 5);
		else
			fastpath_completed(r->f, 2, 1);
		fastpath_tick(r->f, 1000 + i, lost, &l);
	}
	assert_int_equal(l.n, 0);
}

static void numbers_of_punts_wrap(void **state)
{
	struct rig *r = *state;
	struct losses l = { 0 };

	begin(r, 1);
	commit(r);
	atomic_store(&r->ports[0].punted, 2);
	atomic_store(&r->ports[0].completed, UINT32_MAX - 1);
	fastpath_tick(r->f, 1, lost, &l);
	fastpath_tick(r->f, 2, lost, &l);
	assert_int_equal(l.frames, 4);
	assert_int_equal(atomic_load(&r->ports[0].completed), 2);
}

/* ---- Counters ---- */

static struct fastpath_counters *on_cpu(struct rig *r, unsigned int cpu,
					uint32_t index)
{
	return &r->counters[cpu * PORTS + index];
}

/* Every member of a port on each CPU has a number of its own: n, n + 1, .. */
static void count_all(struct rig *r, uint32_t index, uint64_t n)
{
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		struct fastpath_counters *c = on_cpu(r, cpu, index);

		c->rx_frames = n;
		c->rx_bytes = n + 1;
		c->rx_segments = n + 2;
		c->rx_forwarded = n + 3;
		for (int i = 0; i < FASTPATH_DROPS; i++)
			c->rx_drop[i] = n + 4 + (unsigned int)i;
		c->rx_budget = n + 10;
		c->forced = n + 11;
		c->xdp = n + 12;
		c->super = n + 13;
		c->tx_copies = n + 14;
		c->tx_frames = n + 15;
		c->tx_bytes = n + 16;
		c->tx_segments = n + 17;
		c->tx_drop_mtu = n + 18;
		c->tx_drop_memory = n + 19;
		c->tx_drop_full = n + 20;
	}
}

static void expect_counted(const struct port_counters *c, uint64_t n)
{
	static const enum drop_reason why_of[FASTPATH_DROPS] = DECIDE_DROPS;
	uint64_t drops = 0;

	assert_int_equal(counter_get(&c->rx_frames), CPUS * n);
	assert_int_equal(counter_get(&c->rx_bytes), CPUS * (n + 1));
	assert_int_equal(counter_get(&c->rx_segments), CPUS * (n + 2));
	assert_int_equal(counter_get(&c->rx_forwarded), CPUS * (n + 3));
	assert_int_equal(counter_get(&c->rx_missed), 0);
	assert_int_equal(counter_get(&c->rx_drop[DROP_RESTART]),
			 CPUS * (n + 4));
	for (unsigned int i = 1; i < FASTPATH_DROPS; i++)
		assert_int_equal(counter_get(&c->rx_drop[why_of[i]]),
				 CPUS * (n + 4 + i));
	assert_int_equal(counter_get(&c->rx_drop[DROP_PUNT_BUDGET]),
			 CPUS * (n + 10));
	for (int i = 0; i < DROP_REASON_COUNT; i++)
		drops += counter_get(&c->rx_drop[i]);
	assert_int_equal(drops, CPUS * (6 * n + 4 + 5 + 6 + 7 + 8 + 10));
	assert_int_equal(counter_get(&c->tx_copies), CPUS * (n + 14));
	assert_int_equal(counter_get(&c->tx_frames), CPUS * (n + 15));
	assert_int_equal(counter_get(&c->tx_bytes), CPUS * (n + 16));
	assert_int_equal(counter_get(&c->tx_segments), CPUS * (n + 17));
	assert_int_equal(counter_get(&c->tx_drop[DROP_MTU]), CPUS * (n + 18));
	assert_int_equal(counter_get(&c->tx_drop[DROP_NO_MEMORY]),
			 CPUS * (n + 19));
	assert_int_equal(counter_get(&c->tx_drop[DROP_QUEUE_FULL]),
			 CPUS * (n + 20));
}

static void counters_are_summed_over_the_cpus(void **state)
{
	struct rig *r = *state;
	struct port_counters c = { 0 };
	struct fastpath_facts facts;

	count_all(r, 4, 1000);
	count_all(r, 5, 9000);
	atomic_store(&r->ports[4].punted, 12);
	fastpath_count(r->f, 4, &c);
	expect_counted(&c, 1000);
	fastpath_facts(r->f, 4, &facts);
	assert_int_equal(facts.forwarded, CPUS * 1003);
	assert_int_equal(facts.forced, CPUS * 1011);
	assert_int_equal(facts.xdp, CPUS * 1012);
	assert_int_equal(facts.super, CPUS * 1013);
	assert_int_equal(facts.punted, 12);
}

static void sum_is_added_to_what_is_there(void **state)
{
	struct rig *r = *state;
	struct port_counters c = { 0 };

	count_all(r, 4, 1000);
	fastpath_count(r->f, 4, &c);
	fastpath_count(r->f, 4, &c);
	assert_int_equal(counter_get(&c.rx_frames), 2 * CPUS * 1000);
}

static void port_that_retires_takes_its_counts_along(void **state)
{
	struct rig *r = *state;
	struct port_counters gone = { 0 }, c = { 0 };
	struct fastpath_facts facts;
	static const struct fastpath_counters zero;

	count_all(r, 4, 1000);
	count_all(r, 5, 9000);
	atomic_store(&r->ports[4].punted, 12);
	fastpath_retire(r->f, 4, &gone);
	expect_counted(&gone, 1000);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		assert_memory_equal(on_cpu(r, cpu, 4), &zero, sizeof(zero));
	/* Its numbers go on; the next owner's count doesn't begin with them. */
	atomic_fetch_add(&r->ports[4].punted, 3);
	fastpath_facts(r->f, 4, &facts);
	assert_int_equal(facts.punted, 3);
	fastpath_count(r->f, 5, &c);
	expect_counted(&c, 9000);
}

static void index_that_the_maps_lack_counts_nothing(void **state)
{
	struct rig *r = *state;
	struct port_counters c = { 0 };
	static const struct port_counters none;
	struct fastpath_facts facts;

	count_all(r, 0, 1000);
	fastpath_count(r->f, PORTS, &c);
	fastpath_retire(r->f, UINT32_MAX, &c);
	assert_memory_equal(&c, &none, sizeof(c));
	fastpath_facts(r->f, PORTS, &facts);
	assert_int_equal(facts.forwarded, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			sizes_that_cannot_be_are_refused_and_the_maps_closed),
		cmocka_unit_test(each_map_must_be_there),
		TEST(memory_of_the_fdb_is_the_maps),
		TEST(commit_writes_what_the_snapshot_says),
		TEST(ports_are_the_kernels_or_not_as_their_state_says),
		TEST(ports_beyond_the_snapshot_are_away),
		TEST(what_an_earlier_process_wrote_is_put_right),
		TEST(nothing_new_writes_nothing),
		TEST(change_writes_that_port_only_and_leaves_its_order_alone),
		TEST(each_thing_that_may_change_is_seen_to),
		TEST(number_that_was_left_odd_is_even_afterwards),
		TEST(vlan_floods_in_the_kernel_where_all_members_are_its),
		TEST(members_beyond_the_map_are_left_to_userspace),
		TEST(heart_beats_once_a_second),
		TEST(punts_that_stand_still_for_a_second_are_lost),
		TEST(punts_that_move_are_waited_for),
		TEST(numbers_of_punts_wrap),
		TEST(counters_are_summed_over_the_cpus),
		TEST(sum_is_added_to_what_is_there),
		TEST(port_that_retires_takes_its_counts_along),
		TEST(index_that_the_maps_lack_counts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
