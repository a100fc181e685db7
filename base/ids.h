/*
 * ids - names of users and groups as numbers
 *
 * A name or a number in decimal, as people write them in configurations. Names
 * are looked up by the C library (nsswitch.conf), which opens files and may
 * ask servers: so not in a process that is confined.
 *
 * Threads: main; the C library's lookups share a buffer.
 */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The uid, or with `group` the gid, that `name` stands for. Returns 0, or
 * -ENOENT where there is none of that name.
 */
int ids_find(const char *name, bool group, uint32_t *id)
	__attribute__((warn_unused_result));

#endif
