/*
 * journal - what the switch must remember over its own death
 *
 * A table of keys and JSON values (ports with their parameters, mirrors,
 * static addresses, settings) in memory that the monitor holds too. The switch
 * process writes a record for each change; when it has died, the next one
 * reads them all. Nothing is ever changed in place: the newest record of a key
 * counts, and once most of the records are outdated, the owner writes what is
 * in force into a new journal, hands that over, and frees this one.
 *
 *     header │ record │ record │ record │ reco
 *                                         └─ killed here: cut short, ignored
 *
 * A record is lengths, checksums, key and JSON text, and is written by one
 * system call. Each checksum continues that of the record before, so that
 * nothing can be missing, doubled or out of order either. The lengths have a
 * checksum of their own: a record that the file's end cuts short is one whose
 * lengths are sound.
 *
 * Who reads trusts nothing: the writer may have been taken over by a guest, or
 * have died of what it wrote. A journal that isn't sound from its first byte
 * on is refused as a whole, with reason bad-state, and the configuration is
 * what's left; so is one of another version (state-version). Reading takes a
 * bounded amount of memory whatever is in it.
 *
 * Ownership: a journal owns its descriptor; its memory lives as long as
 * anybody has one. Threads: one at a time (switchd: main).
 */
#ifndef SWITCHD_JOURNAL_H
#define SWITCHD_JOURNAL_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

#define JOURNAL_VERSION 1u
#define JOURNAL_KEY_MAX 255u /* bytes without the NUL */
#define JOURNAL_VALUE_MAX                                                 \
	(1u << 20)		     /* bytes of JSON text; a line of the \
				      * control socket has no more */
#define JOURNAL_SIZE_MAX (64u << 20) /* bytes of a journal */
#define JOURNAL_MEMORY_MAX                            \
	(256u << 20) /* bytes of what is in force, as \
		      * JSON values, at most */

struct journal;

/* An empty one, in memory of its own. NULL and errno on failure. */
struct journal *journal_new(void);

/* Close its descriptor. NULL is fine. */
void journal_free(struct journal *j);

/* To be handed over; the journal keeps owning it. */
int journal_fd(const struct journal *j);

/*
 * From now on `key` has this value (borrowed; any JSON that the control socket
 * would take: no NUL in a string, not nested without end); NULL: the key is
 * gone. key: 1 to JOURNAL_KEY_MAX bytes of UTF-8.
 * Returns 0 or -errno, and then nothing has changed: -EINVAL (key), -E2BIG
 * (the value is longer than JOURNAL_VALUE_MAX), -EFBIG (the whole would be
 * more than JOURNAL_SIZE_MAX or JOURNAL_MEMORY_MAX: see journal_bloated), and
 * what the system says when memory is short.
 */
int journal_put(struct journal *j, const char *key, const json_t *value)
	__attribute__((warn_unused_result));

/* Are most of the records outdated? Then write a new one. */
bool journal_bloated(const struct journal *j);

/*
 * Read what is in force. fd may be anything, and is borrowed; its offset isn't
 * used. *state, the caller's: an object of the values by key; first the key
 * that has been there longest (one that was gone and came back counts from
 * there).
 * Returns 0, or -errno with *err: -EINVAL with reason bad-state or
 * state-version, -ENOMEM with no-memory.
 */
int journal_read(int fd, json_t **state, struct error *err)
	__attribute__((warn_unused_result));

#endif
