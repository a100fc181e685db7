#include "switchd/fastpath_load.h"

#include "base/log.h"
#include "fdb/fdb.h"
#include "ports/cpu_acquire.h"
#include "switchd/fastpath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* bpftool's */
#include "switchd/fastpath.skel.h"
#pragma GCC diagnostic pop

/* What survives an execve(2): first what is lent, then what isn't. */
enum { SOURCE = FASTPATH_FDS, TARGET, DEVICES, KEPT_FDS };
/* The programs are saved behind these. */
enum { SAVED_TC = KEPT_FDS, SAVED_XDP, SAVED_FDS };

_Static_assert((int)SAVED_FDS <= FASTPATH_SAVED_FDS,
	       "there is a place for each");

struct fastpath_kernel {
	struct fastpath_sizes sizes;
	uint32_t cpus;
	int cpu_ifindex;
	int fd[KEPT_FDS];
	int tc, xdp; /* programs; xdp -1: the kernel doesn't take it */
	int *link;   /* by port index: the XDP program's; -1 */
	int old[2];  /* programs of the program before, until all is settled */
};

/* ---- Making and loading -------------------------------------------------- */

/* Its messages have several lines at a time, a verifier's log hundreds. */
static int print(enum libbpf_print_level level, const char *format,
		 va_list args)
{
	char text[2048], *line, *rest = text;

	if (level == LIBBPF_DEBUG && !log_enabled("fastpath", LOG_LEVEL_DEBUG))
		return 0;
	vsnprintf(text, sizeof(text), format, args);
	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		if (level == LIBBPF_WARN)
			log_info("fastpath", "%s", line);
		else
			log_debug("fastpath", "%s", line);
	}
	return 0;
}

static int failed(int error, const char *what, struct error *err)
{
	return error_set(err, error, "no-fast-path", NULL, "%s: %s%s", what,
			 strerror(error),
			 error == EPERM ? " (CAP_BPF and CAP_PERFMON, or "
					  "CAP_SYS_ADMIN, are missing)"
					: "");
}

static struct fastpath_kernel *kernel_alloc(const struct fastpath_sizes *sizes)
{
	struct fastpath_kernel *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->sizes = *sizes;
	k->tc = k->xdp = k->old[0] = k->old[1] = -1;
	for (int i = 0; i < KEPT_FDS; i++)
		k->fd[i] = -1;
	k->link = calloc(sizes->ports_max, sizeof(k->link[0]));
	for (uint32_t i = 0; k->link && i < sizes->ports_max; i++)
		k->link[i] = -1;
	if (k->link)
		return k;
	free(k);
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* All but what survives an execve(2). */
static void kernel_drop(struct fastpath_kernel *k)
{
	for (uint32_t i = 0; i < k->sizes.ports_max; i++)
		close_fd(&k->link[i]);
	close_fd(&k->tc);
	close_fd(&k->xdp);
	close_fd(&k->old[0]);
	close_fd(&k->old[1]);
	free(k->link);
	free(k);
}

void fastpath_kernel_free(struct fastpath_kernel *k)
{
	if (!k)
		return;
	for (int i = 0; i < KEPT_FDS; i++)
		close_fd(&k->fd[i]);
	kernel_drop(k);
}

/* The maps in the order of their descriptors; the CPU port is none. */
static void maps_of(const struct fastpath_bpf *b, struct bpf_map **map)
{
	map[FASTPATH_FDB] = b->maps.fdb;
	map[FASTPATH_GLOBAL] = b->maps.global;
	map[FASTPATH_PORTS] = b->maps.ports;
	map[FASTPATH_VLANS] = b->maps.vlans;
	map[FASTPATH_COUNTERS] = b->maps.counters;
	map[FASTPATH_FLOODS] = b->maps.floods;
	map[FASTPATH_MEMBERS] = b->maps.members;
	map[FASTPATH_CPU] = NULL;
	map[SOURCE] = b->maps.source;
	map[TARGET] = b->maps.target;
	map[DEVICES] = b->maps.devices;
}

/* Elements of each map; 0 where that is out of range. */
static uint32_t map_size(const struct fastpath_kernel *k, int i)
{
	struct fdb_config fdb = FDB_CONFIG_INIT;
	uint64_t n = k->sizes.ports_max;

	fdb.entries = k->sizes.fdb_entries;
	fdb.ports = k->sizes.ports_max;
	if (i == FASTPATH_FDB)
		n = fdb_memory_size(&fdb) / FASTPATH_FDB_ELEMENT;
	else if (i == FASTPATH_GLOBAL)
		n = 1;
	else if (i == FASTPATH_FLOODS)
		n = FASTPATH_VIDS;
	else if (i == FASTPATH_MEMBERS)
		n = FASTPATH_MEMBERS_MAX;
	else if (i == FASTPATH_COUNTERS)
		n = (uint64_t)k->cpus * k->sizes.ports_max;
	return n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* Maps that are there already must be what the programs expect. */
static int map_set(const struct fastpath_kernel *k, int i, struct bpf_map *map)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info), n = map_size(k, i);

	if (!n)
		return -ERANGE;
	if (k->fd[i] < 0)
		return bpf_map__set_max_entries(map, n);
	if (bpf_obj_get_info_by_fd(k->fd[i], &info, &len) < 0)
		return -errno;
	if (info.type != bpf_map__type(map) ||
	    info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    info.max_entries != n)
		return -EINVAL;
	return bpf_map__reuse_fd(map, k->fd[i]);
}

static int configure(const struct fastpath_kernel *k, struct fastpath_bpf *b,
		     bool with_xdp)
{
	struct bpf_map *map[KEPT_FDS];
	int r = 0;

	maps_of(b, map);
	for (int i = 0; r == 0 && i < KEPT_FDS; i++)
		if (map[i])
			r = map_set(k, i, map[i]);
	/* Nothing in it outlives a frame: not among those that are kept. */
	if (r == 0)
		r = bpf_map__set_max_entries(b->maps.plan,
					     k->cpus * FASTPATH_FLOOD_MAX);
	if (r == 0)
		r = bpf_map__set_max_entries(b->maps.hashes,
					     k->cpus * FASTPATH_HASHES);
	b->rodata->cpu_ifindex = (uint32_t)k->cpu_ifindex;
	b->rodata->ports_max = k->sizes.ports_max;
#if !defined(__x86_64__) && !defined(__i386__)
	b->rodata->weak = 1; /* loads may change places, see fastpath_bpf.h */
#endif
	b->rodata->credits = FASTPATH_CREDITS;
	if (r == 0)
		r = bpf_program__set_autoload(b->progs.switchd_xdp, with_xdp);
	return r;
}

static struct fastpath_bpf *load(const struct fastpath_kernel *k, bool with_xdp,
				 int *r)
{
	struct fastpath_bpf *b = fastpath_bpf__open();

	*r = b ? configure(k, b, with_xdp) : -errno;
	if (b && *r == 0)
		*r = fastpath_bpf__load(b);
	if (*r == 0)
		return b;
	fastpath_bpf__destroy(b);
	return NULL;
}

static int dup_fd(int fd, int *to)
{
	*to = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *to < 0 ? -errno : 0;
}

/* Ours are copies: the object is of no use any more, and large. */
static int take(struct fastpath_kernel *k, const struct fastpath_bpf *b,
		bool with_xdp)
{
	struct bpf_map *map[KEPT_FDS];
	int r = dup_fd(bpf_program__fd(b->progs.switchd_tc), &k->tc);

	if (r == 0 && with_xdp)
		r = dup_fd(bpf_program__fd(b->progs.switchd_xdp), &k->xdp);
	maps_of(b, map);
	for (int i = 0; r == 0 && i < KEPT_FDS; i++)
		if (map[i] && k->fd[i] < 0)
			r = dup_fd(bpf_map__fd(map[i]), &k->fd[i]);
	return r;
}

/* With XDP or, where the kernel refuses that, without. */
static int kernel_load(struct fastpath_kernel *k, struct error *err)
{
	bool with_xdp = true;
	struct fastpath_bpf *b;
	int r;

	libbpf_set_print(print);
	b = load(k, true, &r);
	if (!b && r != -EPERM) {
		with_xdp = false;
		b = load(k, false, &r);
	}
	if (!b)
		return failed(-r, "can't load the programs", err);
	r = take(k, b, with_xdp);
	fastpath_bpf__destroy(b);
	if (r < 0)
		return failed(-r, "can't keep the programs", err);
	if (!with_xdp)
		log_notice("fastpath", "the kernel doesn't take the XDP "
				       "program: TC does it alone");
	return 0;
}

struct fastpath_kernel *fastpath_kernel_new(const struct fastpath_sizes *sizes,
					    struct error *err)
{
	struct fastpath_kernel *k;
	struct error why = { 0 };
	int cpus = libbpf_num_possible_cpus(), r;

	if (cpus <= 0 || !sizes->ports_max ||
	    sizes->ports_max > FASTPATH_PORTS_MAX) {
		failed(cpus < 0 ? -cpus : ERANGE, "sizes", err);
		return NULL;
	}
	k = kernel_alloc(sizes);
	if (!k) {
		failed(ENOMEM, "no memory", err);
		return NULL;
	}
	k->cpus = (uint32_t)cpus;
	r = cpu_acquire(FASTPATH_QUEUE, &k->cpu_ifindex, &why);
	if (r < 0)
		error_set(err, -r, "no-fast-path", NULL, "%s", why.message);
	k->fd[FASTPATH_CPU] = r;
	if (r >= 0)
		r = kernel_load(k, err);
	if (r >= 0)
		return k;
	fastpath_kernel_free(k);
	return NULL;
}

int fastpath_kernel_tc(const struct fastpath_kernel *k)
{
	return k->tc;
}

bool fastpath_kernel_has_xdp(const struct fastpath_kernel *k)
{
	return k->xdp >= 0;
}

void fastpath_kernel_lend(const struct fastpath_kernel *k, int fd[FASTPATH_FDS],
			  struct fastpath_sizes *sizes, uint32_t *cpus)
{
	for (int i = 0; i < FASTPATH_FDS; i++)
		fd[i] = k->fd[i];
	*sizes = k->sizes;
	*cpus = k->cpus;
}

/* ---- Places -------------------------------------------------------------- */

static int put(const struct fastpath_kernel *k, int map, uint32_t key,
	       const void *value)
{
	return bpf_map_update_elem(k->fd[map], &key, value, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

static int put_number(const struct fastpath_kernel *k, int map, uint32_t key,
		      int value)
{
	uint32_t n = (uint32_t)value;

	return put(k, map, key, &n);
}

static bool placed(const struct fastpath_kernel *k, int ifindex,
		   struct fastpath_source *s)
{
	uint32_t key = (uint32_t)ifindex;

	return bpf_map_lookup_elem(k->fd[SOURCE], &key, s) == 0 &&
	       s->index < k->sizes.ports_max;
}

int fastpath_kernel_at(const struct fastpath_kernel *k, uint32_t index)
{
	uint32_t ifindex;

	return bpf_map_lookup_elem(k->fd[TARGET], &index, &ifindex) == 0
		       ? (int)ifindex
		       : 0;
}

static void take_out(struct fastpath_kernel *k, int ifindex, uint32_t index)
{
	uint32_t key = (uint32_t)ifindex;

	/* Nothing comes in any more, then nothing goes out. */
	(void)bpf_map_delete_elem(k->fd[SOURCE], &key);
	(void)put_number(k, TARGET, index, 0);
	(void)bpf_map_delete_elem(k->fd[DEVICES], &index);
	close_fd(&k->link[index]);
}

void fastpath_kernel_take_out(struct fastpath_kernel *k, int ifindex)
{
	struct fastpath_source s;

	if (k && placed(k, ifindex, &s))
		take_out(k, ifindex, s.index);
}

int fastpath_kernel_place(struct fastpath_kernel *k, int ifindex,
			  uint32_t index, bool is_tap)
{
	struct fastpath_source s = { .index = index };
	int r, other;

	if (index >= k->sizes.ports_max)
		return -ERANGE;
	other = fastpath_kernel_at(k, index);
	if (other && other != ifindex)
		return -EEXIST;
	if (other)
		return 0;
	fastpath_kernel_take_out(k, ifindex);
	r = put_number(k, TARGET, index, ifindex);
	if (r == 0 && is_tap)
		r = put_number(k, DEVICES, index, ifindex);
	if (r == 0)
		r = put(k, SOURCE, (uint32_t)ifindex, &s);
	if (r < 0)
		take_out(k, ifindex, index);
	return r;
}

/* ---- XDP ----------------------------------------------------------------- */

static bool is_device(const struct fastpath_kernel *k, uint32_t index)
{
	uint32_t ifindex;

	return bpf_map_lookup_elem(k->fd[DEVICES], &index, &ifindex) == 0;
}

/* In driver mode or not at all: the generic one costs more than TC. */
static int attach(struct fastpath_kernel *k, int ifindex, uint32_t index)
{
	const struct bpf_link_create_opts o = { .sz = sizeof(o),
						.flags = XDP_FLAGS_DRV_MODE };
	int fd = bpf_link_create(k->xdp, ifindex, BPF_XDP, &o);

	if (fd < 0)
		return -errno;
	close_fd(&k->link[index]);
	k->link[index] = fd;
	return 0;
}

int fastpath_kernel_xdp(struct fastpath_kernel *k, int ifindex, bool on)
{
	struct fastpath_source s;
	int r;

	if (!placed(k, ifindex, &s))
		return -ENOENT;
	if (on && (k->xdp < 0 || !is_device(k, s.index)))
		return -EOPNOTSUPP;
	if (on == (k->link[s.index] >= 0))
		return 0;
	r = on ? attach(k, ifindex, s.index) : 0;
	if (r < 0)
		return r;
	s.xdp = on;
	r = put(k, SOURCE, (uint32_t)ifindex, &s);
	if (!on || r < 0)
		close_fd(&k->link[s.index]);
	return r;
}

/* ---- From one life to the next ------------------------------------------- */

void fastpath_kernel_save(const struct fastpath_kernel *k,
			  struct fastpath_saved *s)
{
	memset(s, 0, sizeof(*s));
	if (!k)
		return;
	s->version = FASTPATH_VERSION;
	s->fdb_entries = k->sizes.fdb_entries;
	s->ports_max = k->sizes.ports_max;
	s->cpus = k->cpus;
	s->cpu_ifindex = k->cpu_ifindex;
	for (int i = 0; i < KEPT_FDS; i++)
		s->fd[i] = k->fd[i];
	s->fd[SAVED_TC] = k->tc;
	s->fd[SAVED_XDP] = k->xdp;
}

/* New programs or, where there is no other way, those that there are. */
static int load_again(struct fastpath_kernel *k, const struct fastpath_saved *s,
		      bool anyhow, struct error *err)
{
	int r = kernel_load(k, err);

	if (r < 0 && (!anyhow || s->fd[SAVED_TC] < 0))
		return r;
	if (r < 0) {
		log_err("fastpath", "%s; the old programs go on", err->message);
		close_fd(&k->tc);
		close_fd(&k->xdp);
		k->tc = s->fd[SAVED_TC];
		k->xdp = s->fd[SAVED_XDP];
	} else {
		k->old[0] = s->fd[SAVED_TC];
		k->old[1] = s->fd[SAVED_XDP];
	}
	return 0;
}

int fastpath_kernel_load(const struct fastpath_saved *s, bool anyhow,
			 struct fastpath_kernel **out, struct error *err)
{
	const struct fastpath_sizes sizes = { .fdb_entries = s->fdb_entries,
					      .ports_max = s->ports_max };
	struct fastpath_kernel *k;
	int r = 0;

	*out = NULL;
	if (!s->version)
		return 0;
	if (s->version != FASTPATH_VERSION || !s->ports_max ||
	    s->ports_max > FASTPATH_PORTS_MAX)
		return failed(EPROTONOSUPPORT, "another version's maps", err);
	k = kernel_alloc(&sizes);
	if (!k)
		return failed(ENOMEM, "no memory", err);
	k->cpus = s->cpus;
	k->cpu_ifindex = s->cpu_ifindex;
	for (int i = 0; r == 0 && i < KEPT_FDS; i++) {
		k->fd[i] = s->fd[i];
		if (k->fd[i] < 0)
			r = failed(EBADF, "a map is missing", err);
	}
	if (r == 0)
		r = load_again(k, s, anyhow, err);
	if (r < 0)
		kernel_drop(k);
	else
		*out = k;
	return r;
}

/* What source says of XDP; 0 where there is none now. */
static int attach_again(struct fastpath_kernel *k, uint32_t index)
{
	int ifindex = fastpath_kernel_at(k, index), r;
	struct fastpath_source s;

	if (!ifindex || !placed(k, ifindex, &s) || s.index != index || !s.xdp)
		return 0;
	r = fastpath_kernel_xdp(k, ifindex, true);
	if (r == 0)
		return 0;
	s.xdp = 0;
	(void)put(k, SOURCE, (uint32_t)ifindex, &s);
	/* A TAP that is no more is no device, either. */
	return r == -ENODEV || !is_device(k, index) ? 0 : r;
}

int fastpath_kernel_reattach(struct fastpath_kernel *k)
{
	int first = 0;

	for (uint32_t i = 0; k && i < k->sizes.ports_max; i++) {
		int r = attach_again(k, i);

		if (first == 0)
			first = r;
	}
	return first;
}

static int survive(int fd, bool on)
{
	return fd >= 0 && fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC) < 0 ? -errno
								      : 0;
}

int fastpath_kernel_survive(struct fastpath_kernel *k, bool on)
{
	int r = 0;

	if (!k)
		return 0;
	for (int i = 0; r == 0 && i < KEPT_FDS; i++)
		r = survive(k->fd[i], on);
	if (r == 0)
		r = survive(k->tc, on);
	if (r == 0)
		r = survive(k->xdp, on);
	close_fd(&k->old[0]);
	close_fd(&k->old[1]);
	return r;
}
