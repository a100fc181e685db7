/* `netdev` ports: the guard beside others' filters, after a crash, and where
 * descriptors or BPF can't be had. */
#include "tests/e2e/ports_kernel.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int disable_ipv6(const char *ifname)
{
	char path[96];
	int value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
		 ifname);
	file = fopen(path, "r");
	if (file) {
		value = fgetc(file) - '0';
		fclose(file);
	}
	return value;
}

bool has_clsact(const char *ifname)
{
	return sh("tc qdisc show dev %s | grep -q clsact", ifname);
}

bool has_guard(const char *ifname)
{
	return sh("tc filter show dev %s ingress | grep -q switchd_guard",
		  ifname);
}

/* As the kernel ends a port whose daemon was killed. */
static void end_killed(struct end *e)
{
	for (unsigned int i = 0; i < e->grant.nfds; i++)
		close(e->grant.fd[i]);
}

static void crash(void)
{
	int guest = guest_open("pkx", 0, 0);
	struct end e;

	end_netdev(&e, "pkx");
	ok_if(!end_acquire(&e) && disable_ipv6("pkx") == 1, "a port attaches");
	end_killed(&e);
	ok_if(end_attach(&e) && has_guard("pkx"),
	      "and is killed: its filter is taken over");
	ok_if(!e.grant.unguarded, "that's a guard as well");
	end_detach(&e);
	ok_if(!has_guard("pkx") && !has_clsact("pkx"),
	      "removed in the end, with its qdisc");
	ok_if(disable_ipv6("pkx") == 0, "IPv6 is on, as a new device has it");

	ok_if(!end_acquire(&e) && sh("tc filter add dev pkx egress prio 7 u32 "
				     "match u32 0 0 flowid 1:1"),
	      "somebody adds a filter before it's killed");
	end_killed(&e);
	ok_if(end_attach(&e), "killed and attached anew");
	end_detach(&e);
	ok_if(!has_guard("pkx") && has_clsact("pkx"),
	      "then the qdisc stays for him");
	sh("tc qdisc del dev pkx clsact");

	e.rq.enabled = false;
	ok_if(!end_acquire(&e) && !link_facts("pkx").carrier,
	      "a port without carrier attaches");
	end_killed(&e);
	e.rq.enabled = true;
	ok_if(end_attach(&e) && link_facts("pkx").carrier,
	      "and is killed: its successor gives the carrier back");
	end_detach(&e);
	close(guest);
}

static bool has_theirs(const char *kind)
{
	return sh("tc filter show dev pky ingress | grep -q 'pref 21335 %s '",
		  kind);
}

/* Filters of others where ours would be: 21335 is its priority. */
static void anothers_filter(void)
{
	static const char *const theirs[] = {
		"handle 1 bpf bytecode '1,6 0 0 0' flowid 1:1",
		"u32 match u32 0 0 flowid 1:1",
	};
	static const char *const kinds[] = { "bpf", "u32" };
	int guest = guest_open("pky", 0, 0);
	struct end e;

	for (unsigned int i = 0; i < 2; i++) {
		sh("tc qdisc add dev pky clsact; tc filter add dev pky ingress "
		   "prio 21335 protocol all %s",
		   theirs[i]);
		end_netdev(&e, "pky");
		ok_if(has_theirs(kinds[i]) && end_attach(&e) &&
			      has_guard("pky") && !e.grant.unguarded,
		      "another's %s filter at our priority: ours goes behind",
		      kinds[i]);
		end_detach(&e);
		ok_if(!has_guard("pky") && has_theirs(kinds[i]),
		      "release removes ours and not that");
		ok_if(!end_acquire(&e), "a port attaches beside it");
		end_killed(&e);
		ok_if(end_attach(&e), "and is killed");
		end_detach(&e);
		ok_if(!has_guard("pky") && has_theirs(kinds[i]),
		      "its successor removes ours and not that");
		sh("tc qdisc del dev pky clsact");
	}
	close(guest);
}

/* With CAP_NET_ADMIN and CAP_NET_RAW only, BPF is the classic one. */
static bool drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].effective = data[0].permitted =
		1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW;
	return !syscall(SYS_capset, &head, data);
}

/* "swGD", as a number: see netdev_guard.c. */
static bool has_classic_guard(void)
{
	return sh("tc filter show dev pku ingress | "
		  "grep -q \"direct-action.*bytecode '2,0 0 0 %u,\"",
		  0x73774744u);
}

static bool attach_without_bpf(struct end *e)
{
	if (!drop_capabilities() || !end_attach(e) || e->grant.unguarded ||
	    has_guard("pku") || !has_classic_guard())
		return false;
	end_detach(e);
	return !has_clsact("pku") && end_attach(e); /* and killed */
}

static void without_bpf(void)
{
	int guest = guest_open("pku", 0, 0), status = -1;
	struct end e;
	pid_t pid;

	end_netdev(&e, "pku");
	pid = fork();
	if (!pid)
		_exit(!attach_without_bpf(&e));
	waitpid(pid, &status, 0);
	ok_if(!status, "without CAP_BPF another filter drops");
	ok_if(has_classic_guard() && end_attach(&e) && e.grant.undo.took_over &&
		      has_guard("pku") && !has_classic_guard(),
	      "a killed port's gives way to one with a name");
	end_detach(&e);
	ok_if(!has_clsact("pku") && disable_ipv6("pku") == 0,
	      "and removed in the end");
	close(guest);
}

#define FDS_LIMIT 64

/* Release with all descriptors in use, or with no more than `limit`. */
static void release_short_of_fds(struct end *e, rlim_t limit)
{
	struct rlimit before, few;
	int fds[FDS_LIMIT], n = 0;

	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = FDS_LIMIT;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < FDS_LIMIT && (fds[n] = dup(0)) >= 0)
		n++;
	few.rlim_cur = limit;
	setrlimit(RLIMIT_NOFILE, &few);
	end_detach(e);
	setrlimit(RLIMIT_NOFILE, &before);
	while (n > 0)
		close(fds[--n]);
}

static void no_descriptors(void)
{
	int guest = guest_open("pkn", 0, 0), was = dup(STDERR_FILENO);
	int log = memfd_create("log", MFD_CLOEXEC);
	char said[256] = "";
	struct end e;

	end_netdev(&e, "pkn");
	e.rq.mtu = 1300;
	e.rq.enabled = false;
	if (!end_attach(&e))
		return;
	release_short_of_fds(&e, FDS_LIMIT);
	sh("ip link set pkn up");
	ok_if(!has_clsact("pkn") && disable_ipv6("pkn") == 0,
	      "released without free descriptors the host's stack is back");
	ok_if(link_facts("pkn").mtu == 1500 && link_facts("pkn").carrier,
	      "so are MTU and carrier");
	if (!end_attach(&e))
		return;
	dup2(log, STDERR_FILENO);
	release_short_of_fds(&e, 3);
	dup2(was, STDERR_FILENO);
	ok_if(pread(log, said, sizeof(said) - 1, 0) > 0 &&
		      strstr(said, "pkn: can't put back"),
	      "what can't be put back is logged");
	close(log);
	close(was);
	close(guest);
}

void test_netdev_guard(void)
{
	crash();
	anothers_filter();
	without_bpf();
	no_descriptors();
}
