/*
 * roles - who is who on the control socket
 *
 * The configuration's daemon object says it, which only the file can change,
 * and that is root's:
 *
 *	"roles": { "admin":    ["root", "@switchd"],
 *		   "operator": ["alice", "@ops"],
 *		   "viewer":   ["*"] },
 *	"users": { "alice": { "profiles": ["office", "lab"] },
 *		   "@ops":  { "profiles": ["office"] } }
 *
 * A peer is named by its user, by one of its groups (@group), by either's
 * number, or is everybody (*); the highest role that names it is its role. An
 * operator whom `users` names is restricted: to the profiles of all entries
 * that name him, together. An admin never is.
 *
 * Where `roles` isn't given, whoever is in the socket's group is an admin, and
 * nobody else has a role. User 0 and the user that the daemon runs as are
 * admins in any case.
 *
 * What a role may do isn't known here: see access.h.
 *
 * Names become numbers once, when they are loaded, by a callback: the process
 * that asks may be confined and see no /etc/passwd. Then nothing is looked up
 * any more.
 *
 * Ownership: a struct roles doesn't change once it is made; another
 * configuration makes another one. Threads: main.
 */
#ifndef SWITCHD_ROLES_H
#define SWITCHD_ROLES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define ROLES_ENTRIES_MAX  256 /* that a role may name */
#define ROLES_USERS_MAX	   256
#define ROLES_PROFILES_MAX 64 /* of one user */
#define ROLES_NAME_MAX	   64 /* bytes of a name, its '@' and NUL included */

/* In order: each may do what the ones before it may. */
enum role {
	ROLE_NONE,
	ROLE_VIEWER,
	ROLE_OPERATOR,
	ROLE_ADMIN,
};

struct roles;

/* Who asks, as the kernel says; `groups` is borrowed. */
struct roles_peer {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary ones, n_groups of them */
	size_t n_groups;
};

/*
 * The number of a user or group. `name` has been checked: 1 to 62 printable
 * characters, no blank. Returns 0 with *id, -ENOENT where there is none, or
 * another -errno where that can't be found out.
 */
typedef int roles_resolve_fn(void *ctx, bool group, const char *name,
			     uint32_t *id);

/* By getpwnam(3) and getgrnam(3), for a process that may; ctx isn't used. */
int roles_resolve_system(void *ctx, bool group, const char *name, uint32_t *id);

/*
 * Check `roles` and `users` of a daemon object, without looking names up.
 *
 * daemon_object  NULL: there is none, which is fine
 * err		  the path is such as "daemon.roles.admin[2]"
 *
 * Returns 0 or -EINVAL: unknown-parameter, wrong-type, too-long, bad-name,
 * missing-parameter (`users` needs `roles`).
 */
int roles_check(const json_t *daemon_object, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Make them.
 *
 * daemon_object  checked or not; NULL: the default
 * socket_gid	  group of the control socket for the default; -1: none
 * resolve, ctx	  looks names up, now and in roles_reload()
 * out		  for roles_free(); untouched on failure
 *
 * Returns 0 or -errno with *err: as roles_check(), no-memory, and no-such-user
 * or no-such-group, which name who is missing, with the path.
 */
int roles_load(const json_t *daemon_object, gid_t socket_gid,
	       roles_resolve_fn *resolve, void *ctx, struct roles **out,
	       struct error *err) __attribute__((warn_unused_result));

/* The same from another daemon object, with what `roles` was loaded with. */
int roles_reload(const struct roles *roles, const json_t *daemon_object,
		 struct roles **out, struct error *err)
	__attribute__((warn_unused_result));

/* NULL is fine. */
void roles_free(struct roles *roles);

/* Does a daemon object (or NULL) say who has which role? Then everybody may
 * connect: the role decides. */
bool roles_configured(const json_t *daemon_object);

/*
 * Make what a daemon object says of roles what `from` says, and leave the rest
 * of it. *daemon_object: a reference, NULL for an empty one, replaced. Returns
 * 0 or -ENOMEM; then it is as it was.
 */
int roles_adopt(json_t **daemon_object, const json_t *from)
	__attribute__((warn_unused_result));

/* The peer's role. */
enum role roles_of(const struct roles *roles, const struct roles_peer *peer);

/* Does `users` restrict him? (What that means for an operator: access.h) */
bool roles_restricted(const struct roles *roles, const struct roles_peer *peer);

/* May somebody who is restricted attach ports with this profile? */
bool roles_profile_allowed(const struct roles *roles,
			   const struct roles_peer *peer, const char *profile);

/* "viewer", "operator", "admin"; "none". */
const char *roles_word(enum role role);

/* The role of that word; anything else (NULL) is ROLE_ADMIN: what nobody has
 * thought of is for admins. */
enum role roles_needed(const char *word);

#endif
