/* The configuration as a file: load, show, save. See config.h. */
#include "switchd/config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
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

/* The whole file with a NUL behind it. */
static char *file_read(const char *file, struct error *err)
{
	FILE *f = fopen(file, "re");
	char *text = NULL;
	struct stat st;
	size_t n = 0;

	if (!f || fstat(fileno(f), &st) < 0) {
		error_set(err, errno, "no-config", NULL, "can't read: %s",
			  strerror(errno));
		goto out;
	}
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
	n = fread(text, 1, (size_t)st.st_size, f);
	text[n] = '\0';
out:
	if (f)
		fclose(f);
	return text;
}

/* Parse and check; errors tell the line. */
static json_t *text_parse(const char *text, const char *file, struct error *err)
{
	json_error_t bad;
	json_t *config = json_loads(text, JSON_REJECT_DUPLICATES, &bad);

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

json_t *config_load(const char *file, struct error *err)
{
	char *text = file_read(file, err);
	json_t *config = NULL;

	if (text)
		config = text_parse(text, file, err);
	else
		error_locate(err, file, 0);
	free(text);
	return config;
}

int config_apply_file(struct sw *sw, const char *file, json_t **out,
		      struct config_changes *changes, struct error *err)
{
	char *text = file_read(file, err);
	json_t *config = NULL;
	int r = -EINVAL;

	if (text)
		config = text_parse(text, file, err);
	else
		error_locate(err, file, 0);
	if (config) {
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

	while ((p = switch_port_next(sw, p))) {
		json_t *o;

		if (p->origin == SWITCH_ORIGIN_TRANSIENT)
			continue;
		o = json_pack("{s:s}", "name", p->config.request.name);
		json_object_update(o, p->params);
		json_array_append_new(ports, o);
	}
	for (unsigned int i = 0; i < sw->nmirrors; i++) {
		json_t *o = json_pack("{s:s}", "name", sw->mirror[i]->name);

		json_object_update(o, sw->mirror[i]->params);
		json_array_append_new(mirrors, o);
	}
	config = json_pack("{s:o,s:O,s:o,s:o,s:O}", "switch",
			   config_settings_show(&sw->settings), "profiles",
			   sw->profiles, "ports", ports, "mirrors", mirrors,
			   "fdb", sw->statics);
	if (daemon && json_object_size(daemon))
		json_object_set(config, "daemon", (json_t *)daemon);
	return config;
}

/* Write, sync and rename; the old file stays whole until the new one is. */
static int file_replace(const char *file, const json_t *config)
{
	char tmp[PORT_PATH_MAX + 16], dir[PORT_PATH_MAX + 16];
	int fd, dirfd, r = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", file) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	snprintf(dir, sizeof(dir), "%s", file);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (json_dumpfd(config, fd, JSON_INDENT(2)) < 0 ||
	    write(fd, "\n", 1) != 1 || fchmod(fd, 0640) < 0 || fsync(fd) < 0 ||
	    rename(tmp, file) < 0)
		r = errno ? -errno : -EIO;
	close(fd);
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	/* The rename itself, too, shall survive a power cut. */
	dirfd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0) {
		fsync(dirfd);
		close(dirfd);
	}
	return 0;
}

int config_save(struct sw *sw, const json_t *daemon, const char *file,
		struct error *err)
{
	json_t *config = config_show(sw, daemon);
	struct switch_port *p = NULL;
	int r = file_replace(file, config);

	json_decref(config);
	if (r < 0)
		return error_set(err, -r, "cannot-save", "file",
				 "can't write %s: %s", file, strerror(-r));
	while ((p = switch_port_next(sw, p)))
		if (p->origin == SWITCH_ORIGIN_CONTROL)
			p->origin = SWITCH_ORIGIN_CONFIG;
	for (unsigned int i = 0; i < sw->nmirrors; i++)
		sw->mirror[i]->configured = true;
	return 0;
}
