#include "base/ids.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool ids_exist(bool group, uint32_t id)
{
	FILE *f = fopen(group ? "/proc/self/gid_map" : "/proc/self/uid_map",
			"re");
	unsigned int inside, outside, count;
	bool found = !f;

	while (!found && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3)
		found = id >= inside && id - inside < count;
	if (f)
		fclose(f);
	return found;
}

/* user_namespaces(7): "deny" is for ever, and for namespaces within. */
static bool groups_can_be_given_up(void)
{
	FILE *f = fopen("/proc/self/setgroups", "re");
	char word[8] = "";

	if (!f)
		return true;
	if (!fgets(word, sizeof(word), f))
		*word = '\0';
	fclose(f);
	return strncmp(word, "deny", 4) != 0;
}

bool ids_can_be_taken(uint32_t uid, uint32_t gid)
{
	return ids_exist(false, uid) && ids_exist(true, gid) &&
	       groups_can_be_given_up();
}

bool ids_are_of_system_root(void)
{
	struct stat st;

	return geteuid() == 0 && (stat("/run", &st) < 0 || st.st_uid == 0);
}
