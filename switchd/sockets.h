/*
 * sockets - where the control socket and the helper's are, and whose
 *
 * Shared by the two who may have to open them: the monitor, or a switch that
 * runs without one.
 *
 * Threads: main.
 */
#ifndef SWITCHD_SOCKETS_H
#define SWITCHD_SOCKETS_H

#include "switchd/config.h"

#include <sys/types.h>

/* The helper's: everybody may connect, its ACL decides. */
#define SOCKETS_HELPER_MODE 0666

/* The control socket's, by the configuration's "daemon" object (NULL: none):
 * with roles everybody may connect, they decide. */
mode_t sockets_mode(const json_t *daemon);

/*
 * Fill in what the configuration leaves open in s->socket and
 * s->helper_socket, and make the default one's folder. given: from the command
 * line, comes first; NULL: nothing. Returns 0 or -errno with *err.
 */
int sockets_resolve(struct config_daemon *s, const char *given,
		    struct error *err) __attribute__((warn_unused_result));

/*
 * The control socket's group: as configured, else "switchd" for root, if there
 * is one; (gid_t)-1: it stays what it is. Looks names up. Returns 0 or -errno
 * with *err.
 */
int sockets_gid(const struct config_daemon *s, gid_t *gid, struct error *err)
	__attribute__((warn_unused_result));

#endif
