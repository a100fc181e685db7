/*
 * monitor - the small process with privilege, which the switch can't take along
 * when it dies
 *
 *     monitor, root                        switch, user switchd
 *     opens devices, sockets, files  ◄───► control socket, workers, the rest
 *     holds their descriptors        calls no privilege, no file system
 *     holds the switch's memory      orders
 *
 * It starts the switch by fork and exec, answers its calls (proto.h) as far as
 * the root-owned part of the configuration allows (policy.h), and starts it
 * anew when it dies. What must survive that is here: descriptors of what ports
 * sit on (grants.h), the listening sockets, and three pieces of memory (memfds)
 * that the switch has brought: FDB, journal and counters. It never looks into
 * those. So is the kernel fast path, which goes on meanwhile (fastpath_load.h).
 *
 * A switch that dies early again and again is started later and later; one that
 * dies before it runs, or three times in a row right after, gets none of its
 * predecessor's memory, so that it can't die of that.
 *
 * An upgrade starts the installed program as a second switch beside the first:
 *
 *     old switch          monitor                new switch
 *     UPGRADE       ────► starts it        ────► loads, adopts, opens
 *                   ◄──── HAND_OVER        ◄──── READY
 *     stops its workers
 *     STOPPED       ────►                  ────► GO
 *                                                forwards
 *     ends          ◄──── DONE             ◄──── RUNNING
 *                         becomes the installed program by execve
 *
 * Whatever goes wrong on that way, or takes too long, ends the new one, and the
 * old one is told to RESUME.
 *
 * Threads: one. It has no libevent: a poll() over a few descriptors.
 */
#ifndef SWITCHD_MONITOR_H
#define SWITCHD_MONITOR_H

#include "base/error.h"

struct monitor_options {
	const char *config; /* absolute; NULL: none */
	const char *socket; /* NULL: the configuration's or the default */
	/* The command line for the processes to come: in the foreground, with
	 * absolute paths; NULL ends it. argv[0] is a name. */
	char *const *argv;
	/* What an earlier program of this process has left; -1: a fresh start.
	 * Which program that was, to fall back on. */
	int resume_fd, fallback_fd;
	/* The switch runs: called once, at a fresh start. */
	void (*ready)(void *ctx);
	void *ctx;
};

/* Further arguments, for the processes that the monitor makes. */
#define MONITOR_ARG_SWITCH   "--switch="   /* UID:GID */
#define MONITOR_ARG_RESUME   "--resume="   /* descriptor */
#define MONITOR_ARG_FALLBACK "--fallback=" /* descriptor */

/*
 * Be the monitor, until TERM or INT. Returns the exit status; what is wrong at
 * the start has been said.
 */
int monitor_run(const struct monitor_options *options);

#endif
