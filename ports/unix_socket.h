/*
 * unix_socket - Unix sockets by their paths, for who may have more privilege
 * than those who name the paths
 *
 * A folder is opened once, and all that happens, happens within it, by
 * /proc/self/fd: so it is the folder that was looked at, whatever its name
 * leads to by now. In the same way a socket's file, once it is open, is that
 * file. Neither is ever reached through a symbolic link in its last place.
 *
 * A socket that is bound takes the place of one that nobody has open any more,
 * and of nothing else. It is its maker's alone (0600), or a user's and a
 * group's who are named (0600, 0660 with a group), unless a mode is given.
 *
 * Errors have a reason word and the parameter `param` as path: bad-path (no
 * absolute path of a file, a name that is too long, what the system says),
 * no-folder, not-permitted, not-a-socket, in-use, no-such-user, no-such-group
 * (paths "owner" and "group"), no-descriptor; nobody-there. None waits for
 * anybody.
 *
 * Threads: any, no shared state.
 */
#ifndef PORTS_UNIX_SOCKET_H
#define PORTS_UNIX_SOCKET_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A path that somebody has named, and what is to be there. */
struct unix_place {
	const char *path, *param;
	int type;		   /* SOCK_STREAM, SOCK_DGRAM, .. */
	const char *owner, *group; /* of what is bound there; "" = not set */
	uint32_t mode;		   /* the same, 0001 to 0777; 0 = not set */
};

/* A bound socket and its file (O_PATH), whose inode isn't another's as long as
 * it is open. */
struct unix_socket {
	int socket, file;
};

/* The name in its folder, or NULL with *err. */
const char *unix_socket_name(const struct unix_place *at, struct error *err);

/* Open the folder (O_PATH). Returns it, the caller's, or -errno with *err. */
int unix_socket_folder(const struct unix_place *at, const char *name,
		       struct error *err) __attribute__((warn_unused_result));

/*
 * Who made the folder may have removed it and made it again: then it gets the
 * old one's number. It is the same one if it is in the same place; one that the
 * path leads to only now isn't, for nobody has looked whether we may go there.
 */
void unix_socket_folder_again(const struct unix_place *at, const char *name,
			      int folder);

/* A socket that doesn't block; of datagrams, for bytes only (rights.h). Returns
 * it, the caller's, or -errno with *err. */
int unix_socket_new(int type, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Make a socket of that name in the folder; both descriptors are the caller's.
 * Nobody listens yet. own: the file of the socket that this one replaces, or
 * -1. Returns 0 or -errno with *err: then there's nothing left.
 */
int unix_socket_bind(const struct unix_place *at, int folder, const char *name,
		     int own, struct unix_socket *s, struct error *err)
	__attribute__((warn_unused_result));

/* Remove the name, if it's still this socket's. */
void unix_socket_unlink(const struct unix_socket *s, int folder,
			const char *name);

/*
 * Connect `fd`, of the place's type. Returns 0 or -errno with *err. Where
 * unix_socket_is_nobody() knows what, there just isn't anybody yet.
 */
int unix_socket_dial(const struct unix_place *at, int folder, const char *name,
		     int fd, struct error *err)
	__attribute__((warn_unused_result));
bool unix_socket_is_nobody(int r);

/* cannot(err, EACCES, "open", place): the error for what failed there. Returns
 * -error. */
int unix_socket_cannot(struct error *err, int error, const char *what,
		       const struct unix_place *at);

#endif
