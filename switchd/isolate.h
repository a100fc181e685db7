/*
 * isolate - what the switch process gives up before it reads anything hostile
 *
 * The switch process parses frames of guests, JSON of clients and filters of
 * both; whoever finds a mistake in that owns the process. isolate() sees to it
 * that the process isn't worth much then. It is called once, by a process that
 * the monitor has just exec'ed as root, with one thread; afterwards there is no
 * way back. In three stages, each with what it needs:
 *
 * 1. File system (needs CAP_SYS_ADMIN). A mount namespace of its own whose root
 *    is a small tmpfs, read-only, nosuid, nodev, noexec. In it are only copies
 *    of /etc/services and /etc/protocols (libpcap looks up `port domain`) and
 *    an /etc/nsswitch.conf that says `files` for everything. The old root is
 *    unmounted. Afterwards the process can't
 *    - see, read, write or execute any file of the host, nor /proc, /sys, /dev
 *    - connect to a socket that has a path: D-Bus, container engines, nscd
 *      (the monitor does that, for vhost-user ports, as far as policy.h goes)
 *    - ask a name server: `host example.org` in a filter finds nothing
 *
 * 2. Ids and capabilities (needs CAP_SETUID, CAP_SETGID, CAP_SETPCAP). The user
 *    given, no groups but its own, all five sets of capabilities empty, the
 *    securebits locked, no_new_privs, not dumpable, no core. Afterwards the
 *    process can't
 *    - configure devices, addresses, routes; open packet or raw sockets; TAPs
 *    - become anyone else, not by a set-user-id program either
 *    - signal or trace processes of other users; be traced by its own user
 *    - leave a core with guests' traffic in it
 *
 * 3. System calls (needs no_new_privs). seccomp, an allow-list. What isn't on
 *    it fails with EPERM, which a library that tries something new survives: a
 *    list with a gap must not become a loop of crashes and restarts. What only
 *    an attacker would call (execve, ptrace, mount, bpf, unshare, ...) kills
 *    the process, and the monitor says so. clone3 fails with ENOSYS: then
 *    glibc takes clone, whose flags can be looked at. Afterwards the process
 *    can't
 *    - execute programs, make processes, or make memory executable
 *    - open a file for writing, rename or remove one, change directory
 *    - open sockets but AF_UNIX and rtnetlink; connect anything
 *    - bind a socket that it was given, e.g. a `netdev` port's packet socket,
 *      to another device, or send from it elsewhere by sendto(); change its
 *      filter or its memberships; change a TAP by ioctl
 *    - use io_uring, BPF, perf, keys, namespaces, userfaultfd: most of the
 *      kernel's surface for attacks
 *    Calls of the fast path (read, write, recvmmsg, sendmmsg, epoll) are
 *    allowed whatever their arguments: for those the kernel (5.11) asks a
 *    bitmap and doesn't run the filter.
 *
 * What it can do still: everything with descriptors that it holds or is handed
 * later. Hence for the monitor:
 * - no directory, ever, not even O_PATH: `..` leads out of the empty file
 *   system. isolate() refuses where one is open
 * - seccomp doesn't see through pointers: where sendmsg() names a destination,
 *   a packet socket sends to any device of its network namespace, and an
 *   AF_UNIX datagram socket to an abstract address
 * - what the switch asks for is a hostile request
 * - the guests of vhost-user ports share their memory with the process: whoever
 *   has that has them
 * It can also read all links, addresses and routes by rtnetlink, answer whoever
 * connects, and use up processor time and memory.
 *
 * What the rest of the process has to know: no file opens for writing; getgrnam
 * and getpwnam find nobody; pthread_setname_np() of another thread needs /proc
 * and fails, of oneself it works; a NOTIFY_SOCKET can't be reached.
 *
 * Builds with the address or thread sanitizer are isolated less: LeakSanitizer
 * makes a process that traces this one and reads /proc. There the calls it
 * needs are allowed, /proc is mounted, and the process stays dumpable.
 *
 * Threads: isolate() before there is a second one; the others from any, but
 * isolate_user() asks the system's name services and isn't re-entrant.
 */
#ifndef SWITCHD_ISOLATE_H
#define SWITCHD_ISOLATE_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#define ISOLATE_USER "switchd"

/*
 * The ids of the user that the switch shall run as. Called by the monitor.
 *
 * name      a user's name; NULL or "" is ISOLATE_USER, and where that doesn't
 *           exist, IDS_NOBODY (user and group)
 * fallback  set to whether IDS_NOBODY was taken, which other programs may
 *           run as too: worth a warning
 * *uid      0, with the caller's own *gid, where the user namespace has no such
 *           user: one that a user has made for himself. isolate() then keeps
 *           the ids that there are
 *
 * Returns 0, or -errno with *err, path "daemon.user": no-such-user where there
 * is no user `name`, it can't be looked up or the user namespace hasn't it,
 * bad-value where it or its group is root.
 */
int isolate_user(const char *name, uid_t *uid, gid_t *gid, bool *fallback,
		 struct error *err) __attribute__((warn_unused_result));

/*
 * All of the above. Descriptors stay open, signal handlers and the parent-death
 * signal (which a change of ids clears) as they are. Seeds jansson's tables
 * from the kernel, as there is no /dev/urandom afterwards; JSON read before has
 * its own seed.
 *
 * uid, gid  not 0; but uid 0 where isolate_user() has said so: then who the
 *           process is stays (so do groups, which nothing can be done with in
 *           an empty file system), the rest is the same. A signal to others of
 *           that user, or tracing them, is left to the third stage to refuse
 *
 * Returns 0, or -errno with *err (no-isolation): then some of it may be in
 * force and the caller has to exit.
 */
int isolate(uid_t uid, gid_t gid, struct error *err)
	__attribute__((warn_unused_result));

/*
 * What is in force for the calling thread, asked of the kernel now; works
 * unconfined as well:
 *
 *   "user"          effective uid, as text
 *   "capabilities"  "none", or in hex those that are permitted, effective,
 *                   inheritable or ambient
 *   "no-new-privs"  bool
 *   "seccomp"       bool: some filter is in force (a container's, too)
 *   "file-system"   "empty", or "host" for any other
 *
 * Returns an object that the caller owns, NULL where memory is out.
 */
json_t *isolate_show(void);

#endif
