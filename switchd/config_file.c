/* The configuration as a file: load, show, save. See config.h. */
#include "switchd/config.h"

#include "switchd/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_SIZE_MAX (64 * 1024 * 1024)

/* Put "FILE:LINE: " in front of what is wrong. */
static void error_locate(struct error *err, const char *file, unsigned int line)
{
	char old[sizeof(err->message)];

	memcpy(old, err->message, sizeof(old));
	/* A message too long for the field is cut; its beginning counts. */
	if (line)
		snprintf(err->message, sizeof(err->message),
			 "%.120s:%u: %.120s", file, line, old);
	else
		snprintf(err->message, sizeof(err->message), "%.120s: %.120s",
			 file, old);
}

int config_open(const char *file, struct error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

	if (fd >= 0)
		return fd;
	r = error_set(err, errno, "no-config", NULL, "can't read: %s",
		      strerror(errno));
	error_locate(err, file, 0);
	return r;
}

/* The whole file, *len bytes, with a NUL behind it. Closes fd. */
static char *file_read(int fd, size_t *len, struct error *err)
{
	FILE *f = fdopen(fd, "r");
	char *text = NULL;
	struct stat st;

	if (!f || fstat(fd, &st) < 0) {
		error_set(err, errno, "no-config", NULL, "can't read: %s",
			  strerror(errno));
		goto out;
	}
	rewind(f);
	if (!S_ISREG(st.st_mode) || st.st_size > CONFIG_SIZE_MAX) {
		error_set(err, EINVAL, "no-config", NULL,
			  "not a regular file of up to 64 MiB");
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		goto out;
	}
	*len = fread(text, 1, (size_t)st.st_size, f);
	text[*len] = '\0';
	if (ferror(f)) {
		error_set(err, EIO, "no-config", NULL, "can't read to the end");
		free(text);
		text = NULL;
	}
out:
	if (f)
		fclose(f);
	else
		close(fd);
	return text;
}

/* Parse and check; errors tell the line. */
static json_t *text_parse(const char *text, size_t len, const char *file,
			  struct error *err)
{
	json_error_t bad;
	json_t *config = json_loadb(text, len, JSON_REJECT_DUPLICATES, &bad);

	if (!config) {
		error_set(err, EINVAL, "parse-error", NULL, "%s", bad.text);
		error_locate(err, file, (unsigned int)bad.line);
	} else if (config_check(config, err) < 0) {
		error_locate(err, file, config_line(text, err->path));
		json_decref(config);
		config = NULL;
	}
	return config;
}

json_t *config_load(int fd, const char *file, struct error *err)
{
	size_t len = 0;
	char *text = file_read(fd, &len, err);
	json_t *config = NULL;

	if (text)
		config = text_parse(text, len, file, err);
	else
		error_locate(err, file, 0);
	free(text);
	return config;
}

int config_apply_file(struct sw *sw, int fd, const char *file,
		      config_vet_fn *vet, void *ctx, json_t **out,
		      struct config_changes *changes, struct error *err)
{
	size_t len = 0;
	char *text = file_read(fd, &len, err);
	json_t *config = NULL;
	int r = -EINVAL;

	if (text)
		config = text_parse(text, len, file, err);
	else
		error_locate(err, file, 0);
	if (config) {
		r = vet ? vet(config, ctx, err) : 0;
		if (r == 0)
			r = config_apply(sw, config, changes, err);
		if (r < 0)
			error_locate(err, file, config_line(text, err->path));
	}
	if (out && r == 0)
		*out = json_incref(config);
	json_decref(config);
	free(text);
	return r;
}

json_t *config_show(struct sw *sw, const json_t *daemon)
{
	json_t *ports = json_array(), *mirrors = json_array(), *config;
	struct switch_port *p = NULL;
	const char *name;
	json_t *m;

	while ((p = switch_port_next(sw, p))) {
		json_t *o;

		if (p->origin == SWITCH_ORIGIN_TRANSIENT)
			continue;
		o = json_pack("{s:s}", "name", p->config.request.name);
		json_object_update(o, p->params);
		json_array_append_new(ports, o);
	}
	json_object_foreach(sw->missing, name, m) {
		json_t *o = json_pack("{s:s}", "name", name);

		json_object_update(o, json_object_get(m, "params"));
		json_array_append_new(ports, o);
	}
	for (unsigned int i = 0; i < sw->nmirrors; i++) {
		json_t *o = json_pack("{s:s}", "name", sw->mirror[i]->name);

		json_object_update(o, sw->mirror[i]->params);
		json_array_append_new(mirrors, o);
	}
	config = json_pack("{s:o,s:O,s:o,s:o,s:o,s:o}", "switch",
			   config_settings_show(&sw->settings), "profiles",
			   sw->profiles, "ports", ports, "listeners",
			   listeners_config(sw), "mirrors", mirrors, "fdb",
			   switch_statics_show(sw));
	if (daemon && json_object_size(daemon))
		json_object_set(config, "daemon", (json_t *)daemon);
	return config;
}

/* What will be replaced: where a link leads to. *st is of a file that is to be
 * made where there is none. */
static int target_find(const char *file, char path[PATH_MAX], struct stat *st)
{
	if (realpath(file, path)) {
		if (stat(path, st) < 0)
			return -errno;
		return S_ISREG(st->st_mode) ? 0 : -EINVAL;
	}
	if (errno != ENOENT || lstat(file, st) == 0) /* a link to nowhere */
		return -ENOENT;
	memset(st, 0, sizeof(*st));
	st->st_mode = 0640;
	st->st_uid = geteuid();
	st->st_gid = (gid_t)-1;
	return snprintf(path, PATH_MAX, "%s", file) < PATH_MAX ? 0
							       : -ENAMETOOLONG;
}

/* Owner and mode of the old file: others may have to read it. */
static int fd_take_owner(int fd, const struct stat *old)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((old->st_uid != st.st_uid ||
	     (old->st_gid != (gid_t)-1 && old->st_gid != st.st_gid)) &&
	    fchown(fd, old->st_uid, old->st_gid) < 0)
		return -errno;
	return fchmod(fd, old->st_mode & 0777) < 0 ? -errno : 0;
}

int config_write(int fd, const json_t *config)
{
	errno = 0;
	if (json_dumpfd(config, fd, JSON_INDENT(2)) < 0 ||
	    write(fd, "\n", 1) != 1 || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

/* Somebody has edited it while we wrote: his is newer than what we have. */
static bool has_changed(const char *path, const struct stat *old)
{
	struct stat now;

	if (stat(path, &now) < 0)
		return false;
	return now.st_ino != old->st_ino || now.st_size != old->st_size ||
	       now.st_ctim.tv_sec != old->st_ctim.tv_sec ||
	       now.st_ctim.tv_nsec != old->st_ctim.tv_nsec;
}

/* Write, sync and rename; the old file stays whole until the new one is. */
int config_replace(const char *file, const json_t *config)
{
	char path[PATH_MAX], tmp[PATH_MAX + 8];
	struct stat old;
	int fd, dirfd, r = target_find(file, path, &old);

	if (r < 0)
		return r;
	snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_take_owner(fd, &old);
	if (r == 0)
		r = config_write(fd, config);
	if (r == 0 && has_changed(path, &old))
		r = -EBUSY;
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	close(fd);
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	/* The rename itself, too, shall survive a power cut. */
	dirfd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0) {
		fsync(dirfd);
		close(dirfd);
	}
	return 0;
}

/* A daemon must not refuse to start with what it has written. */
static int check_loadable(const json_t *config, struct error *err)
{
	char why[sizeof(err->message)], path[sizeof(err->path)];

	if (config_check(config, err) == 0)
		return 0;
	memcpy(why, err->message, sizeof(why));
	memcpy(path, err->path, sizeof(path));
	return error_set(err, EINVAL, "cannot-save", path,
			 "what runs would be refused as a file: %.200s", why);
}

int config_save(struct sw *sw, const json_t *daemon, const char *file, bool own,
		config_write_fn *write, void *ctx, struct error *err)
{
	struct switch_port *p = NULL;
	json_t *config;
	int r;

	if (!own && *file != '/')
		return error_set(err, EINVAL, "bad-value", "file",
				 "\"%.100s\" is no absolute path", file);
	config = config_show(sw, daemon);
	r = check_loadable(config, err);
	if (r < 0) {
		json_decref(config);
		return r;
	}
	r = write(ctx, file, config, err);
	json_decref(config);
	if (r < 0)
		return r;
	if (!own)
		return 0;
	while ((p = switch_port_next(sw, p)))
		if (p->origin == SWITCH_ORIGIN_CONTROL)
			switch_port_origin(sw, p, SWITCH_ORIGIN_CONFIG);
	listeners_adopt(sw);
	switch_mirrors_adopt(sw);
	switch_statics_adopt(sw);
	return 0;
}
