#include "tests/sim/sim_kernel.h"

#include "fdb/layout.h"
#include "switchd/switch_fast.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* bpftool's */
#include "tests/sim/sim_kernel.skel.h"
#pragma GCC diagnostic pop

#define DEVICE	1u   /* the loopback device's ifindex: all ports' */
#define LEN_MAX 3400 /* what a test run takes, in a page */

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
		{ b->maps.target, SIM_PORTS_MAX },
		{ b->maps.devices, SIM_PORTS_MAX },
	};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < sizeof(size) / sizeof(size[0]);
	     i++)
		r = bpf_map__set_max_entries(size[i].map, size[i].n);
	b->rodata->cpu_ifindex = DEVICE;
	b->rodata->ports_max = SIM_PORTS_MAX;
#if !defined(__x86_64__) && !defined(__i386__)
	b->rodata->weak = 1;
#endif
	return r;
}

/* Nothing is sent: a redirect is only decided in a test run. */
static int places_fill(const struct sim_kernel_bpf *b)
{
	uint32_t device = DEVICE;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < SIM_PORTS_MAX; i++) {
		r = bpf_map_update_elem(bpf_map__fd(b->maps.target), &i,
					&device, BPF_ANY);
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
	for (int i = 0; i < FASTPATH_CPU; i++)
		fd[i] = dup(bpf_map__fd(map[i]));
	f = fastpath_open(&e, fd, &err);
	assert_non_null(f);
	kernel.in_use = true;
	return f;
}

/* A map anew: zero. */
static void zero(const struct bpf_map *map)
{
	size_t n = (size_t)bpf_map__max_entries(map) *
		   ((bpf_map__value_size(map) + 7u) & ~7u);
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(map), 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	memset(p, 0, n);
	munmap(p, n);
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
	kernel.in_use = false;
}

/* ---- Running ---- */

/* Returns what the program does, or INT32_MIN where the kernel doesn't take so
 * short a frame, or not with half a tag. */
static int run(const struct bpf_program *program, const uint8_t *data,
	       uint32_t len, uint32_t gso_size, struct sim_kernel_result *r)
{
	struct __sk_buff ctx = { .gso_size = gso_size };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data, .data_size_in = len,
		    .data_out = r->data, .data_size_out = sizeof(r->data),
		    .repeat = 1);
	int e;

	if (gso_size) {
		o.ctx_in = &ctx;
		o.ctx_size_in = sizeof(ctx);
	}
	e = bpf_prog_test_run_opts(bpf_program__fd(program), &o);
	if (e == -EINVAL && len < 64)
		return INT32_MIN;
	assert_int_equal(e, 0);
	r->len = o.data_size_out;
	if ((int)o.retval == -1 && len < ETHER_HEADER_LEN + ETHER_TAG_LEN)
		return INT32_MIN;
	return (int)o.retval;
}

static uint64_t dropped(const counter *drop)
{
	uint64_t n = 0;

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		n += counter_get(&drop[i]);
	return n;
}

/* What a program has counted. Then it has counted nothing. */
static void take_counters(struct sim *s, uint32_t index,
			  struct sim_kernel_result *r)
{
	struct fastpath *f = s->fastpath;
	struct port_counters ignored;
	struct fastpath_facts facts;

	memset(&r->in, 0, sizeof(r->in));
	fastpath_count(f, index, &r->in);
	fastpath_facts(f, index, &facts);
	r->forced = facts.forced;
	r->super = facts.super;
	for (r->out = 0; r->out < s->sw->index_end; r->out++) {
		memset(&r->to, 0, sizeof(r->to));
		fastpath_count(f, r->out, &r->to);
		if (counter_get(&r->to.tx_copies))
			break;
	}
	fastpath_retire(f, index, &ignored);
	if (r->out < s->sw->index_end)
		fastpath_retire(f, r->out, &ignored);
}

static uint32_t punted(struct sim *s, uint32_t index)
{
	struct fastpath_facts facts;

	fastpath_facts(s->fastpath, index, &facts);
	return (uint32_t)facts.punted;
}

static void run_tc(struct sim *s, uint32_t index, const uint8_t *data,
		   uint32_t len, uint32_t gso_size, bool keep,
		   struct sim_kernel_result *r)
{
	uint32_t before = punted(s, index);
	int act = run(kernel.bpf->progs.switchd_tc, data, len, gso_size, r);
	bool up = punted(s, index) != before;

	r->act = SIM_KERNEL_UNKNOWN;
	if (act == INT32_MIN)
		return;
	take_counters(s, index, r);
	if (!up && !counter_get(&r->in.rx_frames)) {
		assert_int_equal(act, TC_ACT_SHOT);
		r->act = SIM_KERNEL_GONE;
	} else if (up) {
		assert_int_equal(act, TC_ACT_REDIRECT);
		assert_int_equal(punted(s, index), before + 1);
		assert_int_equal(counter_get(&r->in.rx_frames), 0);
		if (!keep)
			fastpath_completed(s->fastpath, index, 1);
		r->act = SIM_KERNEL_PUNT;
	} else if (counter_get(&r->in.rx_forwarded)) {
		assert_int_equal(act, counter_get(&r->to.tx_frames)
					      ? TC_ACT_REDIRECT
					      : TC_ACT_SHOT);
		r->act = SIM_KERNEL_FORWARD;
	} else {
		assert_int_equal(act, TC_ACT_SHOT);
		assert_int_equal(dropped(r->in.rx_drop), 1);
		r->act = SIM_KERNEL_DROP;
	}
}

/* XDP forwards in the same way as TC, or not at all. */
static void check_xdp(struct sim_kernel_result *tc,
		      const struct sim_kernel_result *xdp)
{
	assert_int_equal(tc->act, SIM_KERNEL_FORWARD);
	assert_int_equal(xdp->out, tc->out);
	assert_int_equal(xdp->forced, tc->forced);
	assert_memory_equal(&xdp->in, &tc->in, sizeof(tc->in));
	assert_memory_equal(&xdp->to, &tc->to, sizeof(tc->to));
	assert_int_equal(xdp->len, tc->len);
	memcpy(tc->xdp_data, xdp->data, xdp->len);
	tc->xdp = true;
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

void sim_kernel_run(struct sim *s, uint32_t index, const struct frame *f,
		    bool keep, struct sim_kernel_result *r)
{
	static struct sim_kernel_result xdp;
	uint32_t gso_size = f->vnet.gso_type ? f->vnet.gso_size : 0;
	int act = XDP_PASS;

	r->act = SIM_KERNEL_UNKNOWN;
	r->xdp = false;
	if (f->len > LEN_MAX)
		return;
	place(index);
	switch_fast_tick(s->sw, s->now_s);
	if (!gso_size) /* or no device would show it to XDP */
		act = run(kernel.bpf->progs.switchd_xdp, f->data, f->len, 0,
			  &xdp);
	if (act == XDP_REDIRECT)
		take_counters(s, index, &xdp);
	else
		assert_true(act == XDP_PASS || act == INT32_MIN);
	run_tc(s, index, f->data, f->len, gso_size, keep, r);
	if (act == XDP_REDIRECT)
		check_xdp(r, &xdp);
}
