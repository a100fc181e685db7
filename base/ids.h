/*
 * ids - names of users and groups as numbers
 *
 * A name or a number in decimal, as people write them in configurations. Names
 * are looked up by the C library (nsswitch.conf), which opens files and may
 * ask servers: so not in a process that is confined.
 *
 * And which of them there are. In a user namespace, which any user may make
 * (`unshare --map-root-user`), uid 0 may be all that there is: such a root has
 * capabilities over what is the namespace's own, and nothing of the system's.
 *
 * Threads: main; the C library's lookups share a buffer.
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define IDS_NOBODY 65534 /* as systemd, Debian and the kernel have it */

/*
 * The uid, or with `group` the gid, that `name` stands for. Returns 0, or
 * -ENOENT where there is none of that name.
 */
int ids_find(const char *name, bool group, uint32_t *id)
	__attribute__((warn_unused_result));

/*
 * Does this user namespace have that uid, or with `group` that gid? Nothing can
 * belong to one that it hasn't. True where /proc doesn't tell.
 */
bool ids_exist(bool group, uint32_t id);

/*
 * Could a process with all capabilities in this user namespace become that
 * user, of that group and no others? Not in one that has no such ids, or that
 * was made without privilege: there groups can't be given up.
 */
bool ids_can_be_taken(uint32_t uid, uint32_t gid);

/*
 * Is the caller root, and the system (or container) root's? Not in a user
 * namespace of a user's own, where what is root's, such as /run, is somebody's
 * that the namespace doesn't know.
 */
bool ids_are_of_system_root(void);

#endif
