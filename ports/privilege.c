#include "ports/privilege.h"

#include <errno.h>

#define NETWORK                                                     \
	" is missing: run switchd as root or, in a network of its " \
	"own, by unshare -Urn)"

const char *privilege_missing(enum privilege p)
{
	static const char *const text[] = {
		[PRIVILEGE_NET_ADMIN] = " (CAP_NET_ADMIN" NETWORK,
		[PRIVILEGE_NET_RAW] = " (CAP_NET_RAW" NETWORK,
		[PRIVILEGE_NETNS] = " (CAP_SYS_ADMIN is missing: run switchd "
				    "as root, or inside of that namespace)",
		[PRIVILEGE_LOW_PORT] =
			" (CAP_NET_BIND_SERVICE is missing: take a port of "
			"net.ipv4.ip_unprivileged_port_start or above)",
		[PRIVILEGE_CHOWN] = " (CAP_CHOWN is missing: a user can give "
				    "it to groups of his own only)",
	};

	return text[p];
}

const char *privilege_hint(enum privilege p, int error)
{
	return error == EPERM || error == EACCES ? privilege_missing(p) : "";
}
