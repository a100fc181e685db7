/*
 * The monitor's half of the kernel fast path against this kernel, asked as a
 * switch process asks it: what it hands out, puts on devices and takes back.
 * Needs root and a network namespace of its own.
 */
#include "ports/netdev.h"
#include "ports/netdev_guard.h"
#include "switchd/fastpath.h"
#include "tests/unit/fds.h"
#include "tests/unit/monitor_calls.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define PORTS 8u
/* In what a monitor saves: behind what it lends. */
enum { SOURCE = FASTPATH_FDS, TARGET, DEVICES, TC, XDP, KEPT_FDS };

/* Devices fp0 and fp1, TAPs as a guest holds them, and fpv, a veth. */
static int guest[2];

static bool sh(const char *command)
{
	/* The commands are this test's own. NOLINTNEXTLINE(cert-env33-c) */
	return system(command) == 0;
}

static int guest_open(const char *ifname)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void use_fastpath(struct monitor_rig *r)
{
	r->m.settings.fdb_entries = 256;
	r->m.settings.ports_max = PORTS;
	r->m.settings.fast_path = true;
	monitor_fastpath_make(&r->m);
	assert_non_null(r->m.fastpath);
}

static int fast_setup(void **state)
{
	struct monitor_rig *r = malloc(sizeof(*r));

	assert_non_null(r);
	*state = r;
	guest[0] = guest_open("fp0");
	guest[1] = guest_open("fp1");
	assert_true(sh("ip link add fpv type veth peer name fpw"));
	assert_int_equal(monitor_rig_init(r, ",\"netdev\":[\"fp*\"]"), 0);
	use_fastpath(r);
	return 0;
}

static int fast_teardown(void **state)
{
	struct monitor_rig *r = *state;

	grants_fini(&r->m.grants);
	fastpath_kernel_free(r->m.fastpath);
	monitor_fastpath_use(&r->m, NULL);
	monitor_rig_fini(r);
	free(r);
	close(guest[0]);
	close(guest[1]);
	return sh("ip link del fpv") ? 0 : -1;
}

/* ---- Short ways ---- */

static struct proto_msg netdev(const char *ifname, bool fast)
{
	struct proto_msg m = question(PROTO_ACQUIRE);

	strcpy(m.request.type, "netdev");
	snprintf(m.request.name, sizeof(m.request.name), "%s", ifname);
	snprintf(m.request.netdev.ifname, sizeof(m.request.netdev.ifname), "%s",
		 ifname);
	m.request.enabled = true;
	m.request.netdev.fast = fast;
	return m;
}

static uint32_t acquire(struct monitor_rig *r, const char *ifname, bool fast)
{
	struct proto_msg m = netdev(ifname, fast);

	assert_int_equal(ask(r, &m, NULL, 0), 0);
	assert_int_equal(m.grant.fast, fast);
	return m.grant.handle;
}

static int by_handle(struct monitor_rig *r, uint16_t type, uint32_t handle,
		     uint32_t arg, const char *reason)
{
	struct proto_msg m = question(type);
	int result;

	m.head.handle = handle;
	m.head.arg = arg;
	result = ask(r, &m, NULL, 0);
	assert_string_equal(result < 0 ? m.error.reason : "", reason);
	return result;
}

static int place(struct monitor_rig *r, uint32_t handle, uint32_t index,
		 const char *reason)
{
	return by_handle(r, PROTO_PLACE, handle, index, reason);
}

static int xdp(struct monitor_rig *r, uint32_t handle, uint32_t on,
	       const char *reason)
{
	return by_handle(r, PROTO_XDP, handle, on, reason);
}

static struct fastpath_saved saved(const struct monitor_rig *r)
{
	struct fastpath_saved s;

	fastpath_kernel_save(r->m.fastpath, &s);
	return s;
}

static bool source(const struct monitor_rig *r, const char *ifname,
		   uint32_t index, uint32_t on)
{
	uint32_t key = if_nametoindex(ifname);
	struct fastpath_saved s = saved(r);
	struct fastpath_source got;

	return bpf_map_lookup_elem(s.fd[SOURCE], &key, &got) == 0 &&
	       got.index == index && got.xdp == on;
}

/* What a map says of an index; 0: nothing. */
static uint32_t at(const struct monitor_rig *r, int map, uint32_t index)
{
	struct fastpath_saved s = saved(r);
	uint32_t ifindex;

	return bpf_map_lookup_elem(s.fd[map], &index, &ifindex) == 0 ? ifindex
								     : 0;
}

static unsigned int sources(const struct monitor_rig *r)
{
	struct fastpath_saved s = saved(r);
	uint32_t key, *last = NULL;
	unsigned int n = 0;

	while (bpf_map_get_next_key(s.fd[SOURCE], last, &key) == 0) {
		last = &key;
		n++;
	}
	return n;
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

/* Is our filter there, and is it the fast path's? */
static bool has_filter(const char *ifname)
{
	char command[160];

	snprintf(command, sizeof(command),
		 "tc filter show dev %s ingress | grep -q switchd_guard",
		 ifname);
	return sh(command);
}

static bool has_program(const struct monitor_rig *r, const char *ifname)
{
	char command[160];

	snprintf(command, sizeof(command),
		 "tc filter show dev %s ingress | grep switchd_guard | "
		 "grep -q ' id %u '",
		 ifname, program_id(fastpath_kernel_tc(r->m.fastpath)));
	return sh(command);
}

static bool has_xdp(const char *ifname)
{
	char command[96];

	snprintf(command, sizeof(command),
		 "ip link show dev %s | grep -q 'prog/xdp'", ifname);
	return sh(command);
}

static uint16_t listens_to(int fd)
{
	struct sockaddr_ll sll = { 0 };
	socklen_t len = sizeof(sll);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sll, &len), 0);
	return ntohs(sll.sll_protocol);
}

/* ---- What is handed out ---- */

static void check_map(int fd, uint32_t value_size, uint32_t entries)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	volatile char *p;

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	assert_int_equal(info.value_size, value_size);
	assert_int_equal(info.max_entries, entries);
	p = mmap(NULL, (size_t)value_size * entries, PROT_READ | PROT_WRITE,
		 MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[value_size * entries - 1] = 1;
	munmap((void *)(uintptr_t)p, (size_t)value_size * entries);
}

static void maps_and_cpu_port_are_lent_and_nothing_else(void **state)
{
	struct proto_msg m = question(PROTO_FASTPATH);
	struct monitor_rig *r = *state;
	int fd[PROTO_FDS_MAX], size = 0;
	struct ifreq ifr;

	assert_int_equal(monitor_rig_call(r, 1, &m, NULL, 0, fd), 0);
	assert_int_equal(m.head.nfds, FASTPATH_FDS);
	assert_int_equal(m.fastpath.version, FASTPATH_VERSION);
	assert_int_equal(m.fastpath.ports_max, PORTS);
	assert_int_equal(m.fastpath.fdb_entries, 256);
	assert_true(m.fastpath.cpus >= 1);
	check_map(fd[FASTPATH_FDB], 64, (4096 + 256 * 16) / 64);
	check_map(fd[FASTPATH_GLOBAL], sizeof(struct fastpath_global), 1);
	check_map(fd[FASTPATH_PORTS], sizeof(struct fastpath_port), PORTS);
	check_map(fd[FASTPATH_VLANS], sizeof(struct fastpath_vlans), PORTS);
	check_map(fd[FASTPATH_COUNTERS], sizeof(struct fastpath_counters),
		  PORTS * m.fastpath.cpus);
	assert_int_equal(ioctl(fd[FASTPATH_CPU], TUNGETIFF, &ifr), 0);
	assert_int_equal(strncmp(ifr.ifr_name, "swcpu", 5), 0);
	assert_int_equal(ioctl(fd[FASTPATH_CPU], TUNGETVNETHDRSZ, &size), 0);
	assert_int_equal(size, 12);
	assert_true(fcntl(fd[FASTPATH_CPU], F_GETFL) & O_NONBLOCK);
	proto_close_fds(fd, m.head.nfds);
}

static void cpu_port_is_none_of_the_hosts(void **state)
{
	(void)state;
	assert_true(sh("ip link show swcpu0 | grep NOARP | grep -q UP"));
	assert_true(sh("ip link show swcpu0 | grep -q 'qdisc noqueue .*qlen "
		       "16384'"));
	assert_true(has_filter("swcpu0"));
	assert_true(sh("test -z \"$(ip addr show dev swcpu0 | grep inet)\""));
}

static void without_one_it_says_why(void **state)
{
	struct proto_msg m = question(PROTO_FASTPATH);
	struct monitor_rig *r = *state;
	struct proto_msg d = netdev("fp0", true);
	int fd[PROTO_FDS_MAX];

	fastpath_kernel_free(r->m.fastpath);
	monitor_fastpath_use(&r->m, NULL);
	r->m.settings.fast_path = false;
	monitor_fastpath_make(&r->m);
	assert_int_equal(ask(r, &m, NULL, 0), -ENOTSUP);
	assert_string_equal(m.error.reason, "no-fast-path");
	assert_non_null(strstr(m.error.message, "daemon.fast-path"));
	assert_false(sh("ip link show swcpu0 2>/dev/null"));
	/* And a device works as ever. */
	assert_int_equal(monitor_rig_call(r, 0, &d, NULL, 0, fd), 0);
	assert_false(d.grant.fast);
	assert_int_equal(listens_to(fd[NETDEV_RX]), ETH_P_ALL);
	assert_true(has_filter("fp0"));
	proto_close_fds(fd, d.head.nfds);
	assert_int_equal(place(r, d.grant.handle, 0, "not-fast"), -EINVAL);
}

/* ---- On a device ---- */

static void fast_device_has_the_program_and_nobody_listens(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = netdev("fp0", true);
	int fd[PROTO_FDS_MAX];

	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_true(m.grant.fast);
	assert_int_equal(listens_to(fd[NETDEV_RX]), 0);
	assert_true(has_program(r, "fp0"));
	proto_close_fds(fd, m.head.nfds);
	assert_int_equal(by_handle(r, PROTO_RELEASE, m.grant.handle, 0, ""), 0);
	assert_false(has_filter("fp0"));
	assert_true(sh("test -z \"$(tc qdisc show dev fp0 clsact)\""));
}

static void device_that_isnt_asked_for_is_slow(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = netdev("fp0", false);
	int fd[PROTO_FDS_MAX];

	assert_int_equal(monitor_rig_call(r, 0, &m, NULL, 0, fd), 0);
	assert_false(m.grant.fast);
	assert_int_equal(listens_to(fd[NETDEV_RX]), ETH_P_ALL);
	assert_true(has_filter("fp0"));
	assert_false(has_program(r, "fp0"));
	proto_close_fds(fd, m.head.nfds);
	assert_int_equal(place(r, m.grant.handle, 0, "not-fast"), -EINVAL);
	assert_int_equal(xdp(r, m.grant.handle, 1, "not-fast"), -EINVAL);
}

/* What a monitor leaves that is killed: filters with its programs. */
static void leave_behind(struct monitor_rig *r)
{
	for (uint32_t i = 0; i < r->m.grants.n; i++) {
		struct grant *g = &r->m.grants.g[i];

		if (g->used)
			port_grant_close(&g->grant);
		g->used = false;
	}
	fastpath_kernel_free(r->m.fastpath);
	monitor_fastpath_use(&r->m, NULL);
}

static void program_that_a_dead_monitor_left_is_replaced(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true);

	assert_int_equal(place(r, h, 1, ""), 0);
	leave_behind(r);
	assert_true(has_filter("fp0"));
	use_fastpath(r);
	assert_false(has_program(r, "fp0"));
	(void)acquire(r, "fp0", true);
	assert_true(has_program(r, "fp0"));
	/* A successor that has no fast path, too. */
	leave_behind(r);
	h = acquire(r, "fp0", false);
	assert_true(has_filter("fp0"));
	use_fastpath(r);
	assert_false(has_program(r, "fp0"));
	assert_false(sh("tc filter show dev fp0 ingress | "
			"grep -q switchd_tc"));
	assert_int_equal(by_handle(r, PROTO_RELEASE, h, 0, ""), 0);
	assert_false(has_filter("fp0"));
	assert_true(sh("test -z \"$(tc qdisc show dev fp0 clsact)\""));
}

/* ---- Places ---- */

static void device_is_where_it_was_placed(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true), fp0 = if_nametoindex("fp0");

	assert_int_equal(sources(r), 0);
	assert_int_equal(place(r, h, 3, ""), 0);
	assert_true(source(r, "fp0", 3, 0));
	assert_int_equal(at(r, TARGET, 3), fp0);
	assert_int_equal(at(r, DEVICES, 3), fp0);
	assert_int_equal(place(r, h, 3, ""), 0); /* again */
	assert_int_equal(place(r, h, 5, ""), 0); /* elsewhere */
	assert_true(source(r, "fp0", 5, 0));
	assert_int_equal(at(r, TARGET, 3), 0);
	assert_int_equal(at(r, DEVICES, 3), 0);
	assert_int_equal(at(r, TARGET, 5), fp0);
	assert_int_equal(place(r, h, FASTPATH_NO_PORT, ""), 0);
	assert_int_equal(place(r, h, FASTPATH_NO_PORT, ""), 0);
	assert_int_equal(sources(r), 0);
	assert_int_equal(at(r, TARGET, 5), 0);
	assert_int_equal(place(r, h, 7, ""), 0);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h, 0, ""), 0);
	assert_int_equal(sources(r), 0);
	assert_int_equal(at(r, TARGET, 7), 0);
	assert_int_equal(at(r, DEVICES, 7), 0);
}

static void nobody_is_placed_but_ones_own_in_range(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true), other = acquire(r, "fp1", true);

	assert_int_equal(place(r, h, PORTS, "bad-index"), -ERANGE);
	assert_int_equal(place(r, h, UINT32_MAX - 1, "bad-index"), -ERANGE);
	assert_int_equal(place(r, h, 0x80000000u, "bad-index"), -ERANGE);
	assert_int_equal(place(r, 0, 1, "not-held"), -ENOENT);
	assert_int_equal(place(r, h + 0x10000, 1, "not-held"), -ENOENT);
	assert_int_equal(sources(r), 0);
	assert_int_equal(place(r, h, 1, ""), 0);
	assert_int_equal(place(r, other, 1, "index-taken"), -EEXIST);
	assert_true(source(r, "fp0", 1, 0));
	assert_int_equal(sources(r), 1);
	/* The other slot has claimed nothing. */
	r->m.active = 1;
	assert_int_equal(place(r, h, 2, "not-held"), -ENOENT);
	assert_int_equal(xdp(r, h, 1, "not-held"), -ENOENT);
	r->m.active = 0;
	assert_true(source(r, "fp0", 1, 0));
}

static void what_a_dead_switch_has_left_gives_way(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t a = acquire(r, "fp0", true), b = acquire(r, "fp1", true);

	assert_int_equal(place(r, a, 1, ""), 0);
	assert_int_equal(place(r, b, 2, ""), 0);
	grants_unclaim(&r->m.grants, 0);
	/* Both go on forwarding until somebody comes. */
	assert_int_equal(sources(r), 2);
	/* One who remembers goes on where it was. */
	assert_int_equal(by_handle(r, PROTO_ADOPT, b, 0, ""), 0);
	assert_true(source(r, "fp1", 2, 0));
	grants_unclaim(&r->m.grants, 0);
	/* One who doesn't gets the same device, and the other one's index. */
	assert_int_equal(acquire(r, "fp0", true), a);
	assert_int_equal(sources(r), 1);
	assert_int_equal(place(r, a, 2, ""), 0);
	assert_true(source(r, "fp0", 2, 0));
	assert_int_equal(sources(r), 1);
	/* And the rest goes. */
	grants_sweep(&r->m.grants);
	assert_true(source(r, "fp0", 2, 0));
	assert_false(has_filter("fp1"));
}

static void device_that_is_gone_can_be_released(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true);

	assert_int_equal(place(r, h, 1, ""), 0);
	assert_int_equal(xdp(r, h, 1, ""), 0);
	close(guest[0]);
	assert_int_equal(grants_reprogram(&r->m.grants), 0);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h, 0, ""), 0);
	assert_int_equal(sources(r), 0);
	assert_int_equal(at(r, TARGET, 1), 0);
	guest[0] = guest_open("fp0");
}

/* ---- XDP ---- */

static void xdp_is_on_taps_that_are_placed(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true), v = acquire(r, "fpv", true);

	assert_int_equal(xdp(r, h, 1, "not-placed"), -ENOENT);
	assert_int_equal(place(r, h, 1, ""), 0);
	assert_int_equal(place(r, v, 2, ""), 0);
	assert_int_equal(at(r, DEVICES, 2), 0);
	assert_int_equal(at(r, TARGET, 2), if_nametoindex("fpv"));
	assert_int_equal(xdp(r, v, 1, "no-xdp"), -EOPNOTSUPP);
	assert_int_equal(xdp(r, v, 0, ""), 0);
	assert_int_equal(xdp(r, h, 2, "bad-request"), -EINVAL);
	assert_false(has_xdp("fp0"));
	assert_int_equal(xdp(r, h, 1, ""), 0);
	assert_true(has_xdp("fp0") && source(r, "fp0", 1, 1));
	assert_true(sh("ip link show dev fp0 | grep -q 'xdp qdisc'"));
	assert_int_equal(xdp(r, h, 1, ""), 0); /* again */
	assert_int_equal(xdp(r, h, 0, ""), 0);
	assert_false(has_xdp("fp0"));
	assert_true(source(r, "fp0", 1, 0));
	/* It goes with the place, and with the port. */
	assert_int_equal(xdp(r, h, 1, ""), 0);
	assert_int_equal(place(r, h, 3, ""), 0);
	assert_false(has_xdp("fp0"));
	assert_true(source(r, "fp0", 3, 0));
	assert_int_equal(xdp(r, h, 1, ""), 0);
	assert_int_equal(by_handle(r, PROTO_RELEASE, h, 0, ""), 0);
	assert_false(has_xdp("fp0"));
}

/* A program of somebody else's, as root may have put there. */
static int others_xdp(void)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int link, fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", insns,
				     2, NULL);

	assert_true(fd >= 0);
	link = bpf_link_create(fd, (int)if_nametoindex("fp0"), BPF_XDP, NULL);
	close(fd);
	assert_true(link >= 0);
	return link;
}

static void anothers_xdp_program_stays(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t h = acquire(r, "fp0", true);
	int other = others_xdp();

	assert_int_equal(place(r, h, 1, ""), 0);
	assert_int_equal(xdp(r, h, 1, "no-xdp"), -EBUSY);
	assert_true(source(r, "fp0", 1, 0));
	assert_int_equal(xdp(r, h, 0, ""), 0);
	assert_true(has_xdp("fp0"));
	close(other);
	assert_int_equal(xdp(r, h, 1, ""), 0);
}

/* ---- From one life to the next ---- */

/* As execve(2) leaves it: descriptors that survive, and nothing else. */
static struct fastpath_saved exec(struct monitor_rig *r)
{
	struct fastpath_saved s = saved(r);

	for (int i = 0; i < KEPT_FDS; i++) {
		s.fd[i] = fcntl(s.fd[i], F_DUPFD_CLOEXEC, 0);
		assert_true(s.fd[i] >= 0);
	}
	fastpath_kernel_free(r->m.fastpath);
	monitor_fastpath_use(&r->m, NULL);
	return s;
}

static void next_program_goes_on_with_its_own(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t a = acquire(r, "fp0", true), b = acquire(r, "fp1", true);
	struct fastpath_saved s;
	struct fastpath_kernel *k;
	unsigned int before;
	struct error err;

	assert_int_equal(place(r, a, 1, ""), 0);
	assert_int_equal(place(r, b, 2, ""), 0);
	assert_int_equal(xdp(r, a, 1, ""), 0);
	s = exec(r);
	assert_false(has_xdp("fp0"));
	assert_int_equal(fastpath_kernel_load(&s, false, &k, &err), 0);
	monitor_fastpath_use(&r->m, k);
	assert_false(has_program(r, "fp0"));
	/* Whoever has removed it meanwhile. */
	assert_true(sh("tc qdisc del dev fp1 clsact"));
	assert_int_equal(grants_reprogram(&r->m.grants), 0);
	assert_true(has_program(r, "fp0") && has_program(r, "fp1"));
	assert_true(has_xdp("fp0") && !has_xdp("fp1"));
	assert_true(source(r, "fp0", 1, 1) && source(r, "fp1", 2, 0));
	before = fds_count();
	assert_int_equal(fastpath_kernel_survive(k, false), 0);
	assert_int_equal(fds_count(), before - 2); /* the old programs */
	assert_int_equal(at(r, TARGET, 2), if_nametoindex("fp1"));
	assert_int_equal(xdp(r, a, 0, ""), 0);
	assert_false(has_xdp("fp0"));
}

static void maps_of_another_kind_are_left_to_the_program_before(void **state)
{
	struct monitor_rig *r = *state;
	struct fastpath_saved s = exec(r), bad;
	struct fastpath_kernel *k;
	unsigned int before = fds_count();
	struct error err;

	bad = s;
	bad.ports_max++;
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	bad = s;
	bad.ports_max = 0;
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	bad = s;
	bad.fdb_entries *= 4;
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	bad = s;
	bad.version++;
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	bad = s;
	bad.fd[DEVICES] = s.fd[TARGET];
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	bad = s;
	bad.fd[FASTPATH_VLANS] = -1;
	assert_true(fastpath_kernel_load(&bad, false, &k, &err) < 0);
	assert_null(k);
	assert_string_equal(err.reason, "no-fast-path");
	assert_int_equal(fds_count(), before);
	/* Which can still go on. */
	assert_int_equal(fastpath_kernel_load(&s, false, &k, &err), 0);
	monitor_fastpath_use(&r->m, k);
	memset(&bad, 0, sizeof(bad));
	assert_int_equal(fastpath_kernel_load(&bad, false, &k, &err), 0);
	assert_null(k);
}

static void descriptors_survive_an_exec_when_they_should(void **state)
{
	struct monitor_rig *r = *state;
	struct fastpath_saved s = saved(r);

	for (int i = 0; i < KEPT_FDS; i++)
		assert_int_equal(fcntl(s.fd[i], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fastpath_kernel_survive(r->m.fastpath, true), 0);
	for (int i = 0; i < KEPT_FDS; i++)
		assert_int_equal(fcntl(s.fd[i], F_GETFD), 0);
	assert_int_equal(fastpath_kernel_survive(r->m.fastpath, false), 0);
	for (int i = 0; i < KEPT_FDS; i++)
		assert_int_equal(fcntl(s.fd[i], F_GETFD), FD_CLOEXEC);
}

/* With no descriptor left for another. */
static int load_short_of_fds(const struct fastpath_saved *s, bool anyhow,
			     struct fastpath_kernel **k, struct error *err)
{
	struct rlimit was, few;
	int r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	few.rlim_cur = 5;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = fastpath_kernel_load(s, anyhow, k, err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	return r;
}

static void program_before_goes_on_even_without_descriptors(void **state)
{
	struct monitor_rig *r = *state;
	uint32_t a = acquire(r, "fp0", true), old;
	struct fastpath_kernel *k;
	struct fastpath_saved s;
	struct error err;

	assert_int_equal(place(r, a, 1, ""), 0);
	old = program_id(fastpath_kernel_tc(r->m.fastpath));
	s = exec(r);
	assert_true(load_short_of_fds(&s, false, &k, &err) < 0);
	assert_int_equal(load_short_of_fds(&s, true, &k, &err), 0);
	monitor_fastpath_use(&r->m, k);
	assert_int_equal(program_id(fastpath_kernel_tc(k)), old);
	assert_int_equal(fastpath_kernel_survive(k, false), 0);
	assert_true(source(r, "fp0", 1, 0));
	assert_int_equal(grants_reprogram(&r->m.grants), 0);
	assert_true(has_program(r, "fp0"));
	assert_int_equal(xdp(r, a, 1, ""), 0);
}

/* ---- Short of descriptors ---- */

static void failing_to_make_one_leaves_nothing(void **state)
{
	const struct fastpath_sizes sizes = { .fdb_entries = 256,
					      .ports_max = PORTS };
	struct monitor_rig *r = *state;
	unsigned int before = fds_count(), failures = 0;
	struct rlimit was, few;
	struct fastpath_kernel *k = NULL;

	(void)r;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	for (few.rlim_cur = 3; !k && few.rlim_cur < 200; few.rlim_cur++) {
		struct error err = { 0 };

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		k = fastpath_kernel_new(&sizes, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
		if (k)
			break;
		failures++;
		assert_string_equal(err.reason, "no-fast-path");
		assert_true(strlen(err.message) > 5);
		assert_int_equal(fds_count(), before);
		assert_false(sh("ip link show swcpu1 >/dev/null 2>&1"));
	}
	assert_non_null(k);
	assert_true(failures > 10);
	fastpath_kernel_free(k);
	assert_int_equal(fds_count(), before);
}

#define FAST(test) \
	cmocka_unit_test_setup_teardown(test, fast_setup, fast_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAST(maps_and_cpu_port_are_lent_and_nothing_else),
		FAST(cpu_port_is_none_of_the_hosts),
		FAST(without_one_it_says_why),
		FAST(fast_device_has_the_program_and_nobody_listens),
		FAST(device_that_isnt_asked_for_is_slow),
		FAST(program_that_a_dead_monitor_left_is_replaced),
		FAST(device_is_where_it_was_placed),
		FAST(nobody_is_placed_but_ones_own_in_range),
		FAST(what_a_dead_switch_has_left_gives_way),
		FAST(device_that_is_gone_can_be_released),
		FAST(xdp_is_on_taps_that_are_placed),
		FAST(anothers_xdp_program_stays),
		FAST(next_program_goes_on_with_its_own),
		FAST(maps_of_another_kind_are_left_to_the_program_before),
		FAST(descriptors_survive_an_exec_when_they_should),
		FAST(program_before_goes_on_even_without_descriptors),
		FAST(failing_to_make_one_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
