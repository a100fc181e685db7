#include "switchd/sockets.h"

#include "base/ids.h"
#include "base/log.h"
#include "control/rpc_client.h"
#include "switchd/roles.h"

#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

mode_t sockets_mode(const json_t *daemon)
{
	return roles_configured(daemon) ? 0666 : 0660;
}

/* As said, or the default; the helper's beside the other. */
int sockets_resolve(struct config_daemon *s, const char *given,
		    struct error *err)
{
	char path[CONFIG_PATH_MAX];
	const char *dir;
	bool chosen;

	if (given)
		snprintf(s->socket, sizeof(s->socket), "%s", given);
	chosen = *s->socket;
	if (!chosen && rpc_socket_path(s->socket, sizeof(s->socket)) < 0)
		return error_set(err, ENOENT, "no-socket-path", NULL,
				 "no place for the control socket: "
				 "XDG_RUNTIME_DIR isn't set: log in by systemd "
				 "(sudo and su don't), set it to a folder of "
				 "yours, or name a socket with -s");
	snprintf(path, sizeof(path), "%s", s->socket);
	dir = dirname(path);
	if (!chosen && mkdir(dir, 0755) < 0 && errno != EEXIST)
		log_warning("daemon", "can't make %s: %s", dir,
			    strerror(errno));
	if (!*s->helper_socket &&
	    snprintf(s->helper_socket, sizeof(s->helper_socket),
		     "%s/helper.sock", dir) >= (int)sizeof(s->helper_socket))
		return error_set(err, ENAMETOOLONG, "bad-value",
				 "daemon.socket",
				 "the socket's path is too long");
	return 0;
}

int sockets_gid(const struct config_daemon *s, gid_t *gid, struct error *err)
{
	bool said = *s->socket_group;
	uint32_t id;

	*gid = (gid_t)-1;
	if (!said && geteuid() != 0)
		return 0;
	if (ids_find(said ? s->socket_group : "switchd", true, &id) == 0 &&
	    ids_exist(true, id))
		*gid = id;
	else if (said)
		return error_set(err, ENOENT, "no-such-group",
				 "daemon.socket-group",
				 "there is no group \"%s\"", s->socket_group);
	return 0;
}
