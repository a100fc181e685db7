/*
 * helper - TAPs for guests without root: what switchd-helper asks for
 *
 * switchd-helper stands in for qemu-bridge-helper but has no privilege of its
 * own. It asks here, on a socket that everybody may open and that knows one
 * method: `helper.attach`. The ACL file, with the grammar of QEMU's
 * bridge.conf, says which profiles may be asked for; the peer's uid, as the
 * kernel says it (SO_PEERCRED), owns the TAP and is held to a number of ports.
 *
 * The TAP's descriptor goes to the guest and none of it is kept here; the
 * switch takes the network-device side (a `netdev` port, transient).
 *
 * Threads: main.
 */
#ifndef SWITCHD_HELPER_H
#define SWITCHD_HELPER_H

#include "base/error.h"

/*
 * May `profile` be asked for? The file is read anew at each call. Lines are
 * "allow NAME", "deny NAME" (NAME may be `all`), "include FILE"; `#` begins a
 * comment. Nothing is allowed unless said, and deny wins whatever the order.
 * A file that is missing or can't be read is an error; a missing include
 * isn't.
 *
 * Returns 0, or -EACCES (helper-denied) or another -errno (bad-acl), *err.
 */
int helper_acl_check(const char *file, const char *profile, struct error *err)
	__attribute__((warn_unused_result));

#endif
