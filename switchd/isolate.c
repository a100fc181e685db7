#include "switchd/isolate.h"

#include "base/ids.h"
#include "base/log.h"
#include "switchd/isolate_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A directory that every system has; covered in our namespace only. */
#define MOUNT_POINT "/dev"
/* For the copies below, and no more: nobody can write there afterwards. */
#define MOUNT_OPTIONS  "size=4m,nr_inodes=16,mode=0755"
#define MOUNT_FLAGS    (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define COPY_BYTES_MAX (2 * 1024 * 1024)

static const char nsswitch[] = "passwd: files\n"
			       "group: files\n"
			       "shadow: files\n"
			       "gshadow: files\n"
			       "initgroups: files\n"
			       "hosts: files\n"
			       "networks: files\n"
			       "protocols: files\n"
			       "services: files\n"
			       "ethers: files\n"
			       "rpc: files\n"
			       "netgroup: files\n"
			       "aliases: files\n"
			       "publickey: files\n";

/* What was asked for didn't happen, whatever the calls returned. */
static int fail_check(const char *what, struct error *err)
{
	return error_set(err, EPERM, "no-isolation", NULL,
			 "isolation: %s, against all expectation", what);
}

/* ---- who the switch runs as ---------------------------------------------- */

int isolate_user(const char *name, uid_t *uid, gid_t *gid, bool *fallback,
		 struct error *err)
{
	bool chosen = name && *name;
	const struct passwd *pw = getpwnam(chosen ? name : ISOLATE_USER);

	*fallback = !pw && !chosen;
	if (!pw && chosen)
		return error_set(err, ENOENT, "no-such-user", "daemon.user",
				 "there is no user \"%s\"", name);
	*uid = pw ? pw->pw_uid : IDS_NOBODY;
	*gid = pw ? pw->pw_gid : IDS_NOBODY;
	if (*uid == 0 || *gid == 0)
		return error_set(err, EINVAL, "bad-value", "daemon.user",
				 "\"%s\" or its group is root: the switch "
				 "must have neither",
				 pw->pw_name);
	if (ids_can_be_taken(*uid, *gid))
		return 0;
	if (chosen)
		return error_set(err, ENOENT, "no-such-user", "daemon.user",
				 "the user namespace that switchd runs in "
				 "hasn't the user \"%s\": leave it out",
				 name);
	*uid = 0;
	*gid = getegid();
	*fallback = false;
	return 0;
}

/* ---- file system --------------------------------------------------------- */

/* A descriptor of a directory would be a way out: openat(fd, ".."). */
static int refuse_directories(struct error *err)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return isolation_fail("/proc/self/fd", err);
	while (r == 0 && (e = readdir(dir))) {
		int fd = atoi(e->d_name);
		struct stat st;

		if (e->d_name[0] == '.' || fd == dirfd(dir))
			continue;
		if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
			r = error_set(err, EBADF, "no-isolation", NULL,
				      "isolation: descriptor %d is a "
				      "directory, which leads out",
				      fd);
	}
	closedir(dir);
	return r;
}

static int write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int r = 0;

	if (fd < 0)
		return -errno;
	while (len && r == 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	/* Whatever the umask is. */
	if (r == 0 && fchmod(fd, 0444) < 0)
		r = -errno;
	close(fd);
	if (r < 0)
		unlink(path);
	return r;
}

/* Returns the length, or -errno; the caller frees *text. */
static ssize_t read_file(const char *path, char **text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t len = 0;
	struct stat st;
	ssize_t n = 1;

	*text = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > COPY_BYTES_MAX) {
		close(fd);
		return -EINVAL;
	}
	*text = malloc((size_t)st.st_size + 1);
	if (!*text)
		n = -1;
	while (n > 0 && len < (size_t)st.st_size) {
		n = read(fd, *text + len, (size_t)st.st_size - len);
		if (n > 0)
			len += (size_t)n;
	}
	close(fd);
	return n < 0 ? -EIO : (ssize_t)len;
}

/*
 * Without it filters know fewer names: no reason to do without a switch.
 */
static void copy_file(const char *from, const char *to)
{
	char *text;
	ssize_t n = read_file(from, &text);

	if (n >= 0)
		n = write_file(to, text, (size_t)n);
	if (n < 0 && n != -ENOENT)
		log_warning("isolate", "can't copy %s: %s", from,
			    strerror((int)-n));
	free(text);
}

/* In the new root, which is the working directory; "/" is the host's yet. */
static int fill(struct error *err)
{
	int r;

	if (mkdir("etc", 0755) < 0 || chmod("etc", 0755) < 0)
		return isolation_fail("mkdir", err);
	copy_file("/etc/services", "etc/services");
	copy_file("/etc/protocols", "etc/protocols");
	r = write_file("etc/nsswitch.conf", nsswitch, sizeof(nsswitch) - 1);
	if (r < 0) {
		errno = -r;
		return isolation_fail("nsswitch.conf", err);
	}
#if ISOLATION_SANITIZED
	/* The host's: a new one takes the process namespace's own root. */
	if (mkdir("proc", 0755) < 0 ||
	    mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL) < 0)
		return isolation_fail("proc", err);
#endif
	return 0;
}

static bool is_ours(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..") ||
	       !strcmp(name, "etc") ||
	       (ISOLATION_SANITIZED && !strcmp(name, "proc"));
}

/* Is "/" a read-only tmpfs with nothing in it but what fill() made? */
static bool root_is_empty(void)
{
	const struct dirent *e;
	struct statfs fs;
	bool empty = true;
	DIR *dir;

	if (statfs("/", &fs) < 0 || fs.f_type != TMPFS_MAGIC ||
	    !(fs.f_flags & ST_RDONLY))
		return false;
	dir = opendir("/");
	if (!dir)
		return false;
	while (empty && (e = readdir(dir)))
		empty = is_ours(e->d_name);
	closedir(dir);
	return empty && access("/etc/passwd", F_OK) < 0;
}

/* Would other mount namespaces see a mount of ours? Where it can't be told,
 * yes. */
static bool mounts_are_shared(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t size = 0;
	char *line = NULL;
	bool shared = !f;

	while (!shared && getline(&line, &size, f) >= 0)
		shared = strstr(line, " shared:") != NULL;
	free(line);
	if (f)
		fclose(f);
	return shared;
}

static int isolate_file_system(struct error *err)
{
	int r = refuse_directories(err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS | CLONE_FS) < 0)
		return isolation_fail("unshare", err);
	/* Nothing that's done here may be seen outside, or the other way. In a
	 * chroot "/" is no mount whose propagation could be set. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		if (errno != EINVAL)
			return isolation_fail("private mounts", err);
		if (mounts_are_shared())
			return error_set(err, EINVAL, "no-isolation", NULL,
					 "isolation: in a chroot its folder "
					 "must be a mount: mount --bind it "
					 "onto itself first");
	}
	if (mount("tmpfs", MOUNT_POINT, "tmpfs", MOUNT_FLAGS, MOUNT_OPTIONS) <
		    0 ||
	    chdir(MOUNT_POINT) < 0)
		return isolation_fail("tmpfs", err);
	r = fill(err);
	if (r < 0)
		return r;
	r = isolation_become_root(err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return isolation_fail("chdir", err);
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MOUNT_FLAGS, NULL) <
	    0)
		return isolation_fail("read-only root", err);
	if (!root_is_empty())
		return fail_check("the file system isn't empty", err);
	return 0;
}

/* ---- ids and capabilities ------------------------------------------------ */

/* One bit a capability; *bounding apart from the rest. */
static int capabilities(uint64_t *held, uint64_t *bounding)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*held = *bounding = 0;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		*held |= (uint64_t)(d[i].effective | d[i].permitted |
				    d[i].inheritable)
			 << 32 * i;
	for (unsigned long cap = 0; cap < 64; cap++) {
		int r = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (r < 0) /* as many as this kernel has */
			break;
		*bounding |= (uint64_t)r << cap;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) ==
		    1)
			*held |= 1ull << cap;
	}
	return 0;
}

static int drop_ids(uid_t uid, gid_t gid, struct error *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0)
		return isolation_fail("groups", err);
	if (setresuid(uid, uid, uid) < 0)
		return isolation_fail("user", err);
	return 0;
}

static int check_ids(uid_t uid, gid_t gid, struct error *err)
{
	uid_t u[3];
	gid_t g[3];

	if (getresuid(&u[0], &u[1], &u[2]) < 0 ||
	    getresgid(&g[0], &g[1], &g[2]) < 0)
		return isolation_fail("ids", err);
	for (int i = 0; i < 3; i++)
		if (u[i] != uid || g[i] != gid)
			return fail_check("ids are left", err);
	if (getgroups(0, NULL) != 0)
		return fail_check("groups are left", err);
	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		return fail_check("root comes back", err);
	return 0;
}

static int check_capabilities(struct error *err)
{
	uint64_t held, bounding;

	if (capabilities(&held, &bounding) < 0)
		return isolation_fail("capabilities", err);
	if (held || bounding)
		return fail_check("capabilities are left", err);
	return 0;
}

static int isolate_ids(uid_t uid, gid_t gid, struct error *err)
{
	const struct rlimit none = { 0, 0 };
	int death = 0, r;

	if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) < 0)
		return isolation_fail("parent-death signal", err);
	r = isolation_drop_bounding(err);
	if (r == 0 && uid)
		r = drop_ids(uid, gid, err);
	if (r == 0)
		r = isolation_drop_capabilities(err);
	if (r == 0 && uid)
		r = check_ids(uid, gid, err);
	if (r == 0)
		r = check_capabilities(err);
	if (r < 0)
		return r;
	if (prctl(PR_SET_PDEATHSIG, (unsigned long)death, 0, 0, 0) < 0)
		return isolation_fail("parent-death signal", err);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return isolation_fail("no_new_privs", err);
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return isolation_fail("core limit", err);
	if (prctl(PR_SET_DUMPABLE, ISOLATION_SANITIZED ? 1 : 0, 0, 0, 0) < 0)
		return isolation_fail("dumpable", err);
	return 0;
}

/* ---- all of it ----------------------------------------------------------- */

/*
 * Without /dev/urandom jansson would take the time and the pid, which clients
 * can guess: then they choose keys that collide.
 */
static int seed_json(struct error *err)
{
	size_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return isolation_fail("getrandom", err);
	json_object_seed(seed | 1); /* 0 is "find one yourself" */
	return 0;
}

int isolate(uid_t uid, gid_t gid, struct error *err)
{
	/* There may be nobody else to be. */
	bool stay = uid == 0 && !ids_can_be_taken(IDS_NOBODY, IDS_NOBODY);
	int r;

	if ((!stay && (uid == 0 || gid == 0)) || uid == (uid_t)-1 ||
	    gid == (gid_t)-1)
		return error_set(err, EINVAL, "no-isolation", NULL,
				 "isolation: the switch can't be user %u, "
				 "group %u",
				 uid, gid);
	r = seed_json(err);
	if (r == 0)
		r = isolate_file_system(err);
	if (r == 0)
		r = isolate_ids(uid, gid, err);
	if (r == 0)
		r = isolate_syscalls(err);
	return r;
}

json_t *isolate_show(void)
{
	char user[16], caps[24] = "none";
	uint64_t held = UINT64_MAX, bounding; /* all, where nobody answers */

	snprintf(user, sizeof(user), "%u", geteuid());
	(void)capabilities(&held, &bounding);
	if (held)
		snprintf(caps, sizeof(caps), "%llx", (unsigned long long)held);
	return json_pack("{s:s,s:s,s:b,s:b,s:s}", "user", user, "capabilities",
			 caps, "no-new-privs",
			 prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "seccomp",
			 prctl(PR_GET_SECCOMP, 0, 0, 0, 0) ==
				 2, /* SECCOMP_MODE_FILTER */
			 "file-system", root_is_empty() ? "empty" : "host");
}
