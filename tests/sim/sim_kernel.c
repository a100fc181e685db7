#include "tests/sim/sim_kernel.h"

#include "fdb/layout.h"
#include "switchd/punt.h"
#include "switchd/switch_fast.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* bpftool's */
#include "tests/sim/sim_kernel.skel.h"
#pragma GCC diagnostic pop

#define DEVICE	     1u	    /* the loopback device's ifindex */
#define PORT_DEVICES 100000 /* as if port i's were so much more than i */
#define CPU_DEVICE   99999
#define LEN_MAX	     3400 /* what a test run takes, in a page */

static struct {
	struct sim_kernel_bpf *bpf;
	const char *why;
	uint32_t cpus;
	bool tried, in_use;
} kernel;

/* ---- Loading ---- */

static int print(enum libbpf_print_level level, const char *format,
		 va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static uint64_t fdb_size(uint32_t entries)
{
	struct fdb_config c = FDB_CONFIG_INIT;

	c.ports = SIM_PORTS_MAX;
	if (entries)
		c.entries = entries;
	return fdb_memory_size(&c);
}

static int sizes_set(struct sim_kernel_bpf *b)
{
	const struct {
		struct bpf_map *map;
		uint32_t n;
	} size[] = {
		{ b->maps.fdb, (uint32_t)(fdb_size(0) / FASTPATH_FDB_ELEMENT) },
		{ b->maps.ports, SIM_PORTS_MAX },
		{ b->maps.vlans, SIM_PORTS_MAX },
		{ b->maps.counters, kernel.cpus * SIM_PORTS_MAX },
		{ b->maps.members, FASTPATH_MEMBERS_MAX },
		{ b->maps.floods, FASTPATH_VIDS },
		{ b->maps.plan, kernel.cpus * FASTPATH_FLOOD_MAX },
		{ b->maps.hashes, kernel.cpus * FASTPATH_HASHES },
		{ b->maps.target, SIM_PORTS_MAX },
		{ b->maps.devices, SIM_PORTS_MAX },
	};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < sizeof(size) / sizeof(size[0]);
	     i++)
		r = bpf_map__set_max_entries(size[i].map, size[i].n);
	b->rodata->cpu_ifindex = CPU_DEVICE;
	b->rodata->ports_max = SIM_PORTS_MAX;
#if !defined(__x86_64__) && !defined(__i386__)
	b->rodata->weak = 1;
#endif
	return r;
}

/* XDP's must be there, so it is one for all. */
static int places_fill(const struct sim_kernel_bpf *b)
{
	uint32_t device = DEVICE;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < SIM_PORTS_MAX; i++) {
		uint32_t other = PORT_DEVICES + i;

		r = bpf_map_update_elem(bpf_map__fd(b->maps.target), &i, &other,
					BPF_ANY);
		if (r == 0)
			r = bpf_map_update_elem(bpf_map__fd(b->maps.devices),
						&i, &device, BPF_ANY);
	}
	return r;
}

static int load(void)
{
	struct sim_kernel_bpf *b = sim_kernel_bpf__open();
	int r = b ? sizes_set(b) : -errno;

	if (b && r == 0)
		r = sim_kernel_bpf__load(b);
	if (r == 0)
		r = places_fill(b);
	if (r == 0)
		kernel.bpf = b;
	else
		sim_kernel_bpf__destroy(b);
	return r;
}

/* A verifier that refuses the programs is no reason to do without. */
const char *sim_kernel_why(void)
{
	int cpus = libbpf_num_possible_cpus(), r;

	if (kernel.tried)
		return kernel.why;
	kernel.tried = true;
	kernel.why = "BPF can't be loaded here: it needs root";
	if (geteuid() != 0 || cpus <= 0)
		return kernel.why;
	kernel.cpus = (uint32_t)cpus;
	libbpf_set_print(print);
	r = load();
	if (r != -EPERM && r != -ENOSYS)
		assert_int_equal(r, 0);
	if (r == 0)
		kernel.why = NULL;
	return kernel.why;
}

struct fastpath *sim_kernel_open(uint32_t fdb_entries)
{
	struct fastpath_extent e = {
		.version = FASTPATH_VERSION,
		.ports_max = SIM_PORTS_MAX,
		.fdb_size = fdb_size(fdb_entries),
	};
	const struct bpf_map *map[FASTPATH_CPU];
	int fd[FASTPATH_FDS] = { [FASTPATH_CPU] = -1 };
	struct error err = { 0 };
	struct fastpath *f;

	if (sim_kernel_why() || kernel.in_use || e.fdb_size > fdb_size(0))
		return NULL;
	e.cpus = kernel.cpus;
	map[FASTPATH_FDB] = kernel.bpf->maps.fdb;
	map[FASTPATH_GLOBAL] = kernel.bpf->maps.global;
	map[FASTPATH_PORTS] = kernel.bpf->maps.ports;
	map[FASTPATH_VLANS] = kernel.bpf->maps.vlans;
	map[FASTPATH_COUNTERS] = kernel.bpf->maps.counters;
	map[FASTPATH_FLOODS] = kernel.bpf->maps.floods;
	map[FASTPATH_MEMBERS] = kernel.bpf->maps.members;
	for (int i = 0; i < FASTPATH_CPU; i++)
		fd[i] = dup(bpf_map__fd(map[i]));
	f = fastpath_open(&e, fd, &err);
	assert_non_null(f);
	kernel.in_use = true;
	return f;
}

static void *map_memory(const struct bpf_map *map, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(map), 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* A map anew: zero. */
static void zero(const struct bpf_map *map)
{
	size_t n = (size_t)bpf_map__max_entries(map) *
		   ((bpf_map__value_size(map) + 7u) & ~7u);
	void *p = map_memory(map, n);

	memset(p, 0, n);
	munmap(p, n);
}

struct fastpath_global *sim_kernel_global(void)
{
	static struct fastpath_global *global;

	if (!global)
		global = map_memory(kernel.bpf->maps.global, sizeof(*global));
	return global;
}

void sim_kernel_close(struct fastpath *f)
{
	if (!f)
		return;
	fastpath_free(f);
	zero(kernel.bpf->maps.fdb);
	zero(kernel.bpf->maps.global);
	zero(kernel.bpf->maps.ports);
	zero(kernel.bpf->maps.vlans);
	zero(kernel.bpf->maps.counters);
	zero(kernel.bpf->maps.floods);
	zero(kernel.bpf->maps.members);
	kernel.in_use = false;
}

/* ---- Running ---- */

/* What is said of the last frame; by XDP, before TC saw it. */
static struct sim_kernel_result result;
static struct port_counters counted[SIM_PORTS_MAX], by_xdp[SIM_PORTS_MAX];
static uint8_t sent[SIM_COPIES_MAX][FRAME_HEADROOM + SIM_COPY_MAX];

/* Returns what the program does, or INT32_MIN where the kernel doesn't take so
 * short a frame, or not with half a tag. */
static int run(const struct bpf_program *program, const struct frame *f,
	       uint32_t gso_size, uint8_t *out)
{
	struct __sk_buff ctx = { .gso_size = gso_size };
	struct bpf_test_run_opts o = {
		.sz = sizeof(o),
		.data_in = f->data,
		.data_size_in = f->len,
		.data_out = out,
		.data_size_out = out ? SIM_COPY_MAX : 0,
		.ctx_in = gso_size ? &ctx : NULL,
		.ctx_size_in = gso_size ? sizeof(ctx) : 0,
		.repeat = 1,
	};
	int e = bpf_prog_test_run_opts(bpf_program__fd(program), &o);

	if (e == -EINVAL && f->len < 64)
		return INT32_MIN;
	assert_int_equal(e, 0);
	if ((int)o.retval == -1 && f->len < ETHER_HEADER_LEN + ETHER_TAG_LEN)
		return INT32_MIN;
	return (int)o.retval;
}

/* What a program has counted. Then it has counted nothing. */
static void take_counters(struct sim *s, uint32_t index,
			  struct port_counters *sum)
{
	struct fastpath_facts facts;

	fastpath_facts(s->fastpath, index, &facts);
	result.forced = facts.forced;
	result.super = facts.super;
	memset(sum, 0, s->sw->index_end * sizeof(*sum));
	for (uint32_t i = 0; i < s->sw->index_end; i++)
		fastpath_retire(s->fastpath, i, &sum[i]);
}

static void take_copy(unsigned int i)
{
	const struct sim_copy *c = &kernel.bpf->bss->sim_copy[i];
	struct frame *f = &result.copy[i].f;

	assert_true(c->len <= SIM_COPY_MAX);
	frame_init(f, sent[i] + FRAME_HEADROOM, c->len);
	memcpy(f->data, c->data, c->len);
	if (c->tag)
		frame_vlan_push(f, (uint16_t)(c->tag >> 16), (uint16_t)c->tag);
	result.copy[i].port = c->ifindex - PORT_DEVICES;
	if (c->ifindex == CPU_DEVICE)
		result.copy[i].port = FASTPATH_NO_PORT;
	else
		assert_true(result.copy[i].port < SIM_PORTS_MAX);
}

static void take_copies(void)
{
	result.copies = kernel.bpf->bss->sim_copies;
	if (result.copies > SIM_COPIES_MAX)
		result.copies = SIM_COPIES_MAX;
	for (unsigned int i = 0; i < result.copies; i++)
		take_copy(i);
}

static uint32_t punted(struct sim *s, uint32_t index)
{
	struct fastpath_facts facts;

	fastpath_facts(s->fastpath, index, &facts);
	return (uint32_t)facts.punted;
}

static uint64_t dropped(const counter *drop)
{
	uint64_t n = 0;

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		n += counter_get(&drop[i]);
	return n;
}

/* Userspace gets the frame as it came, and from whom. */
static void check_punt(const struct frame *f, uint32_t index)
{
	struct frame *up = &result.copy[0].f;

	assert_int_equal(result.copies, 1);
	assert_int_equal(result.copy[0].port, FASTPATH_NO_PORT);
	assert_int_equal(punt_take(up), index);
	assert_int_equal(up->len, f->len);
	assert_memory_equal(up->data, f->data, f->len);
}

/* One way or another, and counted as such. */
static enum sim_kernel_act act_of(const struct frame *f, uint32_t index,
				  bool up)
{
	const struct port_counters *in = &counted[index];
	uint64_t rx = counter_get(&in->rx_frames);

	if (up) {
		assert_int_equal(rx, 0);
		check_punt(f, index);
		return SIM_KERNEL_PUNT;
	}
	for (unsigned int i = 0; i < result.copies; i++)
		assert_int_not_equal(result.copy[i].port, FASTPATH_NO_PORT);
	if (!rx)
		return SIM_KERNEL_GONE;
	assert_int_equal(rx, 1);
	assert_int_equal(counter_get(&in->rx_forwarded) + dropped(in->rx_drop),
			 1);
	return counter_get(&in->rx_forwarded) ? SIM_KERNEL_FORWARD
					      : SIM_KERNEL_DROP;
}

static void run_tc(struct sim *s, uint32_t index, const struct frame *f,
		   bool keep)
{
	uint32_t before = punted(s, index),
		 gso_size = f->vnet.gso_type ? f->vnet.gso_size : 0;
	bool up;

	kernel.bpf->bss->sim_copies = 0;
	if (run(kernel.bpf->progs.switchd_tc, f, gso_size, NULL) == INT32_MIN)
		return;
	up = punted(s, index) != before;
	take_copies();
	take_counters(s, index, counted);
	result.act = act_of(f, index, up);
	if (up && !keep)
		fastpath_completed(s->fastpath, index, 1);
}

/* What XDP forwards, TC would have forwarded in the same way. */
static void check_xdp(struct sim *s, bool forced)
{
	assert_int_equal(result.act, SIM_KERNEL_FORWARD);
	assert_int_equal(result.copies, 1);
	assert_int_equal(result.copy[0].port, kernel.bpf->bss->sim_xdp_key);
	assert_int_equal(result.forced, forced);
	assert_memory_equal(counted, by_xdp,
			    s->sw->index_end * sizeof(counted[0]));
	result.xdp = true;
}

static void place(uint32_t index)
{
	const struct fastpath_source source = { .index = index };
	const uint32_t device = DEVICE;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(kernel.bpf->maps.source),
				    &device, &source, BPF_ANY),
		0);
}

const struct sim_kernel_result *sim_kernel_run(struct sim *s, uint32_t index,
					       const struct frame *f, bool keep)
{
	int act = XDP_PASS;
	bool forced;

	memset(&result, 0, sizeof(result));
	result.counted = counted;
	result.act = SIM_KERNEL_UNKNOWN;
	if (f->len > LEN_MAX)
		return &result;
	place(index);
	switch_fast_tick(s->sw, s->now_s);
	if (!f->vnet.gso_type) /* or no device would show it to XDP */
		act = run(kernel.bpf->progs.switchd_xdp, f, 0, result.xdp_data);
	take_counters(s, index, by_xdp);
	forced = result.forced;
	run_tc(s, index, f, keep);
	if (act == XDP_REDIRECT)
		check_xdp(s, forced);
	else
		assert_true(act == XDP_PASS || act == INT32_MIN);
	return &result;
}

const struct sim_kernel_result *sim_kernel_try(struct sim *s, uint32_t index,
					       const struct frame *f)
{
	place(index);
	kernel.bpf->bss->sim_copies = 0;
	run(kernel.bpf->progs.switchd_tc, f, 0, NULL);
	result.act = SIM_KERNEL_DROP;
	take_copies();
	if (result.copies)
		result.act = SIM_KERNEL_FORWARD;
	if (result.copies && result.copy[0].port == FASTPATH_NO_PORT) {
		result.act = SIM_KERNEL_PUNT;
		fastpath_completed(s->fastpath, index, 1);
	}
	return &result;
}
