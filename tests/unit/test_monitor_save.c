/*
 * The monitor saves configurations for a switch process that somebody has taken
 * over.
 */
#include "base/clock.h"
#include "tests/unit/monitor_calls.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static void file_is_saved_where_it_may_be(void **state)
{
	struct monitor_rig *r = *state;
	struct stat st;
	json_t *o;

	assert_int_equal(save(r, path(r, "new"), EMPTY), 0);
	assert_int_equal(stat(path(r, "new"), &st), 0);
	assert_int_equal(st.st_mode & 0777 & ~0640u, 0);
	o = get_json(path(r, "new"));
	assert_true(json_is_array(json_object_get(o, "ports")));
	json_decref(o);
}

static void nothing_is_saved_elsewhere(void **state)
{
	struct monitor_rig *r = *state;
	const char *const names[] = {
		"/etc/passwd", "/etc/cron.d/x",	 "",
		"/",	       "relative",	 path(r, "../x"),
		path(r, "."),  "/proc/self/mem", "/dev/watchdog",
		"/dev/null",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(save(r, names[i], EMPTY) < 0);
	assert_int_equal(access("/etc/cron.d/x", F_OK), -1);
}

static void what_exists_isnt_overwritten(void **state)
{
	struct monitor_rig *r = *state;

	put_file(path(r, "old"), "old");
	assert_int_equal(symlink("old", path(r, "link")), 0);
	assert_int_equal(symlink("nowhere", path(r, "loose")), 0);
	assert_int_equal(mkdir(path(r, "folder"), 0700), 0);
	assert_int_equal(mkfifo(path(r, "fifo"), 0600), 0);
	assert_int_equal(save(r, path(r, "old"), EMPTY), -EEXIST);
	assert_int_equal(save(r, path(r, "link"), EMPTY), -EEXIST);
	assert_int_equal(save(r, path(r, "loose"), EMPTY), -EEXIST);
	assert_int_equal(save(r, path(r, "folder"), EMPTY), -EEXIST);
	assert_int_equal(save(r, path(r, "fifo"), EMPTY), -EEXIST);
	assert_true(save(r, path(r, "folder/"), EMPTY) < 0);
	assert_true(save(r, path(r, "old/x"), EMPTY) < 0);
	assert_int_equal(access(path(r, "nowhere"), F_OK), -1);
	assert_true(file_is(path(r, "old"), "old"));
}

static void link_leads_nobody_out(void **state)
{
	struct monitor_rig *r = *state;
	char other[] = "/tmp/switchd_test_other.XXXXXX", name[96];

	assert_non_null(mkdtemp(other));
	assert_int_equal(symlink(other, path(r, "out")), 0);
	assert_int_equal(save(r, path(r, "out/x"), EMPTY), -EPERM);
	snprintf(name, sizeof(name), "%s/x", other);
	assert_int_equal(access(name, F_OK), -1);
	rmdir(other);
}

static void daemon_is_the_monitors_own(void **state)
{
	struct monitor_rig *r = *state;
	json_t *o;

	r->m.daemon = json_pack("{s:s}", "socket-group", "ours");
	assert_int_equal(
		save(r, path(r, "new"),
		     "{\"daemon\":{\"socket-group\":\"theirs\",\"allow\":"
		     "{\"files\":[\"*\"]}}}"),
		0);
	o = get_json(path(r, "new"));
	assert_true(json_equal(json_object_get(o, "daemon"), r->m.daemon));
	json_decref(o);
}

/* Also one that says it a thousand times a second. */
static void what_root_has_edited_stays(void **state)
{
	struct monitor_rig *r = *state;
	json_t *o;

	r->options.config = r->config;
	r->m.daemon = json_pack("{s:s}", "socket-group", "old");
	put_file(r->config, "{\"daemon\":{\"socket-group\":\"new\",\"allow\":"
			    "{\"files\":[]}}}");
	assert_int_equal(save(r, r->config,
			      "{\"daemon\":{\"socket-group\":\"theirs\"},"
			      "\"switch\":{\"age\":7}}"),
			 0);
	o = get_json(r->config);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(o, "daemon"),
						  "socket-group")),
		"new");
	assert_non_null(json_object_get(o, "switch"));
	json_decref(o);
	assert_int_equal(save(r, path(r, "x"), EMPTY), -EPERM);
	/* While he writes: */
	put_file(r->config, "{\"daemon\":{");
	assert_int_equal(save(r, r->config, EMPTY), -EINVAL);
	assert_true(file_is(r->config, "{\"daemon\":{"));
}

static sem_t watching;

#define EDITED "{\"daemon\":{\"socket-group\":\"edited\"}}"

/* Edit the configuration as soon as somebody begins to write another one. */
static void *edit(void *arg)
{
	struct monitor_rig *r = arg;
	struct pollfd p = { .fd = inotify_init1(IN_CLOEXEC), .events = POLLIN };

	if (inotify_add_watch(p.fd, r->dir, IN_CREATE) >= 0 &&
	    sem_post(&watching) == 0 && poll(&p, 1, PROMPT_S * 1000) == 1)
		put_file(r->config, EDITED);
	close(p.fd);
	return NULL;
}

static void what_root_edits_meanwhile_stays(void **state)
{
	struct monitor_rig *r = *state;
	json_t *ports = json_array();
	pthread_t editor;
	char *text;

	/* So many that it takes a while. */
	for (int i = 0; i < 10000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%d", i);
		json_array_append_new(ports, json_pack("{s:s,s:s}", "name",
						       name, "type", "tap"));
	}
	ports = json_pack("{s:o}", "ports", ports);
	text = json_dumps(ports, 0);
	json_decref(ports);
	r->options.config = r->config;
	put_file(r->config, "{}");
	assert_int_equal(sem_init(&watching, 0, 0), 0);
	assert_int_equal(pthread_create(&editor, NULL, edit, r), 0);
	while (sem_wait(&watching) < 0)
		;
	(void)save(r, r->config, text); /* -EBUSY, or it was faster */
	pthread_join(editor, NULL);
	assert_true(file_is(r->config, EDITED));
	free(text);
}

static void own_file_is_made_where_there_is_none(void **state)
{
	struct monitor_rig *r = *state;
	json_t *o;

	r->options.config = r->config;
	r->m.daemon = json_pack("{s:s}", "socket-group", "ours");
	assert_int_equal(save(r, r->config, "{\"daemon\":{}}"), 0);
	o = get_json(r->config);
	assert_true(json_equal(json_object_get(o, "daemon"), r->m.daemon));
	json_decref(o);
}

static void what_isnt_a_configuration_isnt_saved(void **state)
{
	static const char *const texts[] = {
		"",
		"root::0:0::/:/bin/sh\n",
		"[]",
		"{\"ports\":{}}",
		"{\"a\":1}",
		"{\"ports\":[{\"name\":\"a\"}]}",
		"{\"ports\":[],\"ports\":[]}",
		"{}{}",
		"{\"daemon\":{\"allow\":{\"addresses\":[\"x\"]}}}",
	};
	struct monitor_rig *r = *state;

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(save(r, path(r, "new"), texts[i]), -EINVAL);
	assert_int_equal(access(path(r, "new"), F_OK), -1);
}

/* A read of some of them waits for ever, or never ends. */
static void only_memory_is_read(void **state)
{
	struct monitor_rig *r = *state;
	int pipes[2], sockets[2], fd;
	static const char *const names[] = { "/dev/zero", "/dev/null", "/",
					     "/proc/self/maps", "/dev/tty" };

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(proto_pair(sockets), 0);
	assert_int_equal(save_fd(r, path(r, "new"), pipes[0]), -EINVAL);
	assert_int_equal(save_fd(r, path(r, "new"), pipes[1]), -EINVAL);
	assert_int_equal(save_fd(r, path(r, "new"), sockets[0]), -EINVAL);
	assert_int_equal(save_fd(r, path(r, "new"), r->ch[0]), -EINVAL);
	proto_close_fds(pipes, 2);
	proto_close_fds(sockets, 2);
	assert_int_equal(mkfifo(path(r, "fifo"), 0600), 0);
	fd = open(path(r, "fifo"), O_RDWR | O_CLOEXEC);
	assert_int_equal(save_fd(r, path(r, "new"), fd), -EINVAL);
	close(fd);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fd = open(names[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			continue;
		assert_int_equal(save_fd(r, path(r, "new"), fd), -EINVAL);
		close(fd);
	}
	/* On a disk it could be a file of FUSE or NFS, whose server is slow. */
	put_file(path(r, "disk"), EMPTY);
	fd = open(path(r, "disk"), O_RDONLY | O_CLOEXEC);
	if (fcntl(fd, F_GET_SEALS) < 0) /* else /tmp is memory */
		assert_int_equal(save_fd(r, path(r, "new"), fd), -EINVAL);
	close(fd);
	assert_int_equal(access(path(r, "new"), F_OK), -1);
}

static void memory_of_odd_sizes_is_refused_at_once(void **state)
{
	struct monitor_rig *r = *state;
	static const uint64_t sizes[] = { 1,	      1 << 20,
					  16 << 20,   (16 << 20) + 1,
					  1ull << 40, INT64_MAX };
	uint64_t before = clock_ns();

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = memfd_new("test", 0);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		assert_int_equal(save_fd(r, path(r, "new"), fd), -EINVAL);
		close(fd);
	}
	assert_true(clock_ns() - before < PROMPT_S * CLOCK_NS_PER_S);
}

static void configuration_of_a_size_that_none_has_is_refused(void **state)
{
	struct monitor_rig *r = *state;
	size_t len = (16 << 20) + 1 - strlen(EMPTY);
	char *spaces = malloc(len);
	int fd = memory(EMPTY);

	assert_non_null(spaces);
	memset(spaces, ' ', len);
	assert_int_equal(pwrite(fd, spaces, len, strlen(EMPTY)), len);
	free(spaces);
	assert_int_equal(save_fd(r, path(r, "new"), fd), -EINVAL);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	assert_int_equal(save_fd(r, path(r, "new"), fd), 0);
	close(fd);
}

static void save_without_a_file_or_with_two_is_refused(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_SAVE);
	int fd[2] = { memory(EMPTY), memory(EMPTY) };

	snprintf(m.text, sizeof(m.text), "%s", path(r, "new"));
	assert_int_equal(ask(r, &m, NULL, 0), -EINVAL);
	m = question(PROTO_SAVE);
	snprintf(m.text, sizeof(m.text), "%s", path(r, "new"));
	assert_int_equal(ask(r, &m, fd, 2), -EINVAL);
	proto_close_fds(fd, 2);
}

static void path_that_doesnt_end_is_cut(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_SAVE);
	int fd = memory(EMPTY);

	memset(m.text, 'x', sizeof(m.text));
	m.text[0] = '/';
	assert_int_equal(ask(r, &m, &fd, 1), -EPERM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(file_is_saved_where_it_may_be),
		RIG(nothing_is_saved_elsewhere),
		RIG(what_exists_isnt_overwritten),
		RIG(link_leads_nobody_out),
		RIG(daemon_is_the_monitors_own),
		RIG(what_root_has_edited_stays),
		RIG(what_root_edits_meanwhile_stays),
		RIG(own_file_is_made_where_there_is_none),
		RIG(what_isnt_a_configuration_isnt_saved),
		RIG(only_memory_is_read),
		RIG(memory_of_odd_sizes_is_refused_at_once),
		RIG(configuration_of_a_size_that_none_has_is_refused),
		RIG(save_without_a_file_or_with_two_is_refused),
		RIG(path_that_doesnt_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
