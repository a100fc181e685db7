/* What the programs of the bench have in common. */
#include "tests/bench/tool.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Linux 6.2; not in the headers of Debian 12 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static uint64_t clock_read(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * TOOL_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t tool_now(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t tool_thread_cpu(void)
{
	return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t tool_process_cpu(const char *pid)
{
	char path[512];
	struct dirent *de;
	uint64_t sum = 0, t;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (!dir)
		err(1, "%s", path);
	while ((de = readdir(dir))) {
		FILE *f;

		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid,
			 de->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%" SCNu64, &t) == 1)
			sum += t;
		fclose(f);
	}
	closedir(dir);
	return sum;
}

void tool_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		err(1, "CPU %d", cpu);
}

unsigned int tool_ready(const char *pid[TOOL_PIDS_MAX])
{
	static char line[256];
	unsigned int n = 0;

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	for (char *word = strtok(line, " \n"); word && n < TOOL_PIDS_MAX;
	     word = strtok(NULL, " \n"))
		pid[n++] = word;
	return n;
}

static void tap_offloads(int fd, const char *name, enum tool_tap how)
{
	const unsigned int base =
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int hdr = TOOL_VNET_LEN, sndbuf = INT_MAX;

	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0)
		err(1, "TUNSETVNETHDRSZ %s", name);
	if (how == TOOL_TAP_QEMU) {
		if (ioctl(fd, TUNSETSNDBUF, &sndbuf) < 0)
			err(1, "TUNSETSNDBUF %s", name);
		if (ioctl(fd, TUNSETOFFLOAD, base) < 0)
			err(1, "TUNSETOFFLOAD %s", name);
	} else if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) <
			   0 &&
		   ioctl(fd, TUNSETOFFLOAD, base) < 0) {
		err(1, "TUNSETOFFLOAD %s", name);
	}
}

int tool_tap_open(const char *name, enum tool_tap how)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/net/tun");
	if (how != TOOL_TAP_PLAIN)
		ifr.ifr_flags |= IFF_VNET_HDR;
	if (strlen(name) >= sizeof(ifr.ifr_name))
		errx(2, "%s: name too long", name);
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		err(1, "TUNSETIFF %s", name);
	if (how != TOOL_TAP_PLAIN)
		tap_offloads(fd, name, how);
	return fd;
}

void tool_files(unsigned int n)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		err(1, "RLIMIT_NOFILE");
	if (rl.rlim_cur >= n)
		return;
	rl.rlim_cur = n;
	if (rl.rlim_max < n)
		rl.rlim_max = n;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		err(1, "%u descriptors", n);
}

void tool_netns(const char *name)
{
	char path[256];
	int ns;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		err(1, "%s", path);
	close(ns);
}

FILE *tool_stats_open(void)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");

	if (!f)
		err(1, "/proc/thread-self/net/dev");
	setbuf(f, NULL);
	return f;
}

uint64_t tool_received(FILE *stats, const char *name, const char *prefix)
{
	char line[512], dev[32];
	uint64_t bytes, packets, sum = 0;
	bool found = false;

	rewind(stats);
	while (fgets(line, sizeof(line), stats)) {
		if (sscanf(line, " %31[^:]: %" SCNu64 " %" SCNu64, dev, &bytes,
			   &packets) != 3)
			continue;
		if (name ? strcmp(dev, name) != 0
			 : strncmp(dev, prefix, strlen(prefix)) != 0)
			continue;
		found = true;
		sum += packets;
	}
	if (!found)
		errx(1, "%s: gone", name ? name : prefix);
	return sum;
}
