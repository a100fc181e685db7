/*
 * grants_held - descriptors that the monitor keeps for a port's next process
 *
 * What a vhost-user front end has passed (its connection, its guest's memory,
 * the rings' eventfds) the switch process hands on, by numbers of its own
 * choice, so that the process after it can go on with them. The monitor never
 * uses them. They belong to a grant and go with it.
 *
 * Who sends them may have been taken over. So there is a bound for each grant,
 * and some descriptors stay free for the monitor itself; and only what can be
 * closed without waiting for anybody is taken (fds_plain), and files that can
 * be a guest's memory, which is all that a decent front end passes.
 *
 * Ownership: the grant owns its struct grants_held, which owns the descriptors.
 * Threads: one, the monitor's.
 */
#ifndef SWITCHD_GRANTS_HELD_H
#define SWITCHD_GRANTS_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct grants_held; /* NULL: nothing is held */

/* Is it of a kind that is held? Any descriptor, borrowed. */
bool grants_held_fit(int fd);

/*
 * Hold a copy of `fd`, which fits, in the place of what has that number; -1:
 * just drop that. *h is made when it is needed.
 * Returns 0; -EINVAL: no such number (PORT_HELD_MAX); -EMFILE: the monitor
 * needs the rest for itself; or -errno: then what was held still is.
 */
int grants_held_put(struct grants_held **h, uint32_t number, int fd)
	__attribute__((warn_unused_result));

/* What is held by a number, borrowed; or -ENOENT. */
int grants_held_get(const struct grants_held *h, uint32_t number);

/* Drop it all. */
void grants_held_free(struct grants_held *h);

/* ---- From one program to the next: see grants_write ---- */

/* How many descriptors there are. */
uint32_t grants_held_count(const struct grants_held *h);

/* Have all of them survive an execve, or not. Returns 0 or -errno. */
int grants_held_survive(const struct grants_held *h, bool survive);

/* Write a record for each into a file; `grant`: an index. 0 or -errno. */
int grants_held_write(const struct grants_held *h, uint32_t grant, int file)
	__attribute__((warn_unused_result));

/* One of them. */
struct grants_held_record {
	uint32_t grant, number;
	int32_t fd;
};

/* Hold the very descriptor of a record. Returns 0; -EINVAL: no record of
 * grants_held_write; -ENOMEM. */
int grants_held_restore(struct grants_held **h,
			const struct grants_held_record *r)
	__attribute__((warn_unused_result));

/* Free it without closing any: they are the program's before. */
void grants_held_disown(struct grants_held *h);

#endif
