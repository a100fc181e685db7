/*
 * tool - what the programs of the bench have in common
 *
 * Nothing of the switch is in here or in them: they stand for guests. Who
 * can't go on says why and exits with 1 (2: used wrongly). One thread.
 */
#ifndef TESTS_BENCH_TOOL_H
#define TESTS_BENCH_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TOOL_SEC       1000000000ull
#define TOOL_FRAME_MAX 69632u /* vnet header, headers and 64 KiB */
#define TOOL_VNET_LEN  12u    /* struct virtio_net_hdr_v1 */
#define TOOL_PIDS_MAX  16

/* What is done to a TAP beyond IFF_TAP | IFF_NO_PI and O_NONBLOCK. */
enum tool_tap {
	TOOL_TAP_PLAIN, /* no vnet header */
	TOOL_TAP_QEMU,	/* checksums and TSO, no limit to what is under way */
	TOOL_TAP_ALL,	/* every offload that the kernel takes */
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t tool_now(void);

/* CPU time of the calling thread in nanoseconds. */
uint64_t tool_thread_cpu(void);

/* CPU time of all threads of a process in nanoseconds, by its pid in decimal;
 * threads that ended are lost. */
uint64_t tool_process_cpu(const char *pid);

/* The calling thread stays on this processor; -1: where it likes. */
void tool_pin(int cpu);

/*
 * Says "ready" on the standard output and waits for a line on the standard
 * input: its words are pids of the switch, and how many they are is returned.
 * Ends the program where that is closed.
 */
unsigned int tool_ready(const char *pid[TOOL_PIDS_MAX]);

/* The descriptor of a TAP, which is made if it isn't there. */
int tool_tap_open(const char *name, enum tool_tap how);

/* As many descriptors as the system lets a process have, at least n. */
void tool_files(unsigned int n);

/* The calling process goes to a namespace of /run/netns. */
void tool_netns(const char *name);

/* /proc/net/dev of the calling process's namespace, whatever it does later. */
FILE *tool_stats_open(void);

/* Frames that devices have received: that of this name, or with NULL all whose
 * names begin with `prefix`. A name that isn't there is an error. */
uint64_t tool_received(FILE *stats, const char *name, const char *prefix);

#endif
