#include "base/ids.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

int ids_find(const char *name, bool group, uint32_t *id)
{
	const struct passwd *u;
	const struct group *g;
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	/* The highest one means "none" to the kernel. */
	if (*name >= '0' && *name <= '9' && !*end && n < UINT32_MAX) {
		*id = (uint32_t)n;
		return 0;
	}
	g = group ? getgrnam(name) : NULL;
	u = group ? NULL : getpwnam(name);
	if (!g && !u)
		return -ENOENT;
	*id = g ? g->gr_gid : u->pw_uid;
	return 0;
}
