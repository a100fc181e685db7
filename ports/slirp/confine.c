#include "ports/slirp/confine.h"

#include "base/ids.h"
#include "base/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if ISOLATION_SANITIZED
/* No search for leaks at the end: in here it fails at times, and its complaint
 * has no file to go to, which keeps the process busy for ever. */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

/* A directory that every system has; covered in our namespace only. */
#define MOUNT_POINT "/dev"

/* libslirp has two buffers of 128 KB for a connection: half a gigabyte. */
#define FDS_MAX 2048

/* Twice that, as libslirp 4.7 loses what it answers DHCP with while it has no
 * address left: a guest can have it lose megabytes a second. What is refused
 * memory ends, and the port starts another one. */
#define MEMORY_MAX (1ull << 30)

/* ---- Files ---- */

/* The host's folder in the new root, which is the working directory. */
static int show(const char *folder, struct error *err)
{
	struct mount_attr a = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
			    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};
	const char *name = folder + 1;

	if (mkdir(name, 0755) < 0 && errno != EEXIST)
		return isolation_fail("mkdir", err);
	if (mount(folder, name, NULL, MS_BIND | MS_REC, NULL) < 0)
		return isolation_fail("bind mount", err);
	return mount_setattr(AT_FDCWD, name, AT_RECURSIVE, &a, sizeof(a)) < 0
		       ? isolation_fail("read-only mount", err)
		       : 0;
}

static int confine_files(struct error *err)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int r;

	if (unshare(CLONE_NEWNS | CLONE_FS) < 0)
		return isolation_fail("unshare", err);
	/* EINVAL: a chroot's "/" is no mount. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 &&
	    errno != EINVAL)
		return isolation_fail("private mounts", err);
	if (mount("tmpfs", MOUNT_POINT, "tmpfs", flags,
		  "size=64k,nr_inodes=16,mode=0755") < 0 ||
	    chdir(MOUNT_POINT) < 0)
		return isolation_fail("tmpfs", err);
	r = show("/etc", err);
	if (r == 0)
		r = show("/run", err);
#if ISOLATION_SANITIZED
	if (r == 0)
		r = show("/proc", err);
#endif
	if (r == 0)
		r = isolation_become_root(err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return isolation_fail("chdir", err);
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | flags, NULL) < 0
		       ? isolation_fail("read-only root", err)
		       : 0;
}

/* ---- Who it is ---- */

/* uid 0: there is nobody else to be. */
static int confine_ids(uid_t uid, gid_t gid, struct error *err)
{
	int r;

	if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0))
		return isolation_fail("user", err);
	r = isolation_drop_capabilities(err);
	if (r < 0)
		return r;
	if (uid && setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
		errno = EPERM;
		return isolation_fail("root comes back", err);
	}
	return 0;
}

/* As much as there may be, but not more than `most`. */
static int limit(int what, rlim_t most)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)what, &r) < 0)
		return -1;
	if (r.rlim_max > most)
		r.rlim_max = most;
	r.rlim_cur = r.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &r);
}

static int confine_limits(struct error *err)
{
	const struct rlimit none = { 0, 0 };

	/* A sanitizer's own memory is more than that. */
	if (limit(RLIMIT_NOFILE, FDS_MAX) < 0 ||
	    (!ISOLATION_SANITIZED && limit(RLIMIT_DATA, MEMORY_MAX) < 0) ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		return isolation_fail("limits", err);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return isolation_fail("no_new_privs", err);
	return prctl(PR_SET_DUMPABLE, ISOLATION_SANITIZED, 0, 0, 0) < 0
		       ? isolation_fail("dumpable", err)
		       : 0;
}

int confine_begin(uid_t uid, gid_t gid, struct error *err)
{
	int r = 0;

	if (geteuid() == 0) {
		/* There may be nobody else to be. */
		if ((!uid || !gid) &&
		    (uid || ids_can_be_taken(IDS_NOBODY, IDS_NOBODY))) {
			errno = EINVAL;
			return isolation_fail("it can't stay root", err);
		}
		r = confine_files(err);
		if (r == 0)
			r = isolation_drop_bounding(err);
		if (r == 0)
			r = confine_ids(uid, gid, err);
	}
	return r < 0 ? r : confine_limits(err);
}
