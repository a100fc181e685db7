/*
 * isolation - the steps by which a process gives up what it had from root
 *
 * For processes that handle what guests send: the switch (switchd/isolate.h)
 * and the one behind a slirp port (ports/slirp/confine.h), which say in which
 * order, and what is left to them.
 *
 * ISOLATION_SANITIZED is 1 in builds whose runtime needs more than the program
 * itself; everything that those processes loosen for it is under it.
 *
 * Each returns 0, or -errno with *err, reason no-isolation. Threads: main, and
 * no other may be there.
 */
#ifndef BASE_ISOLATION_H
#define BASE_ISOLATION_H

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ISOLATION_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ISOLATION_SANITIZED 1
#endif
#endif
#ifndef ISOLATION_SANITIZED
#define ISOLATION_SANITIZED 0
#endif

/* "isolation: WHAT: reason of errno". Returns -errno. */
int isolation_fail(const char *what, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Make the mount in the current folder the root, and get rid of the old one.
 * Where the old root is no mount point, in a chroot that somebody installs or
 * tests in, or is the first one of the boot, it can't be swapped: then the new
 * one is moved over it. What is below is out of reach all the same: there is no
 * way through a mount from above, and no right to unmount it.
 */
int isolation_become_root(struct error *err)
	__attribute__((warn_unused_result));

/* Before the next, as it needs CAP_SETPCAP: no execve gives a capability back,
 * and uid 0 has none by itself. */
int isolation_drop_bounding(struct error *err)
	__attribute__((warn_unused_result));

/* All of them; whoever is to become another user does so before. */
int isolation_drop_capabilities(struct error *err)
	__attribute__((warn_unused_result));

#endif
