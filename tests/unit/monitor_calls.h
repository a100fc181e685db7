/*
 * monitor_calls - what the tests of the monitor's answers share: a rig for each
 * test, and short ways to ask
 */
#ifndef TESTS_UNIT_MONITOR_CALLS_H
#define TESTS_UNIT_MONITOR_CALLS_H

#include "base/memfd.h"
#include "tests/unit/monitor_rig.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Of a call that must not wait: only a failing test takes so long. */
#define PROMPT_S 20

static inline int setup(void **state)
{
	struct monitor_rig *r = malloc(sizeof(*r));

	assert_non_null(r);
	*state = r;
	alarm(PROMPT_S);
	return monitor_rig_init(r, ",\"tap\":[],\"netdev\":[]");
}

static inline int teardown(void **state)
{
	alarm(0);
	monitor_rig_fini(*state);
	free(*state);
	return 0;
}

/* Ask; what comes with the answer is closed. */
static inline int ask(struct monitor_rig *r, struct proto_msg *m,
		      const int *send, unsigned int nsend)
{
	int fd[PROTO_FDS_MAX];
	int result = monitor_rig_call(r, r->m.active, m, send, nsend, fd);

	if (result != -EPIPE)
		proto_close_fds(fd, m->head.nfds);
	return result;
}

static inline struct proto_msg question(uint16_t type)
{
	struct proto_msg m;

	memset(&m, 0, sizeof(m));
	m.head.type = type;
	return m;
}

static inline const char *path(const struct monitor_rig *r, const char *name)
{
	static char buf[2][160];
	static unsigned int i;

	i = !i;
	snprintf(buf[i], sizeof(buf[i]), "%s/%s", r->dir, name);
	return buf[i];
}

static inline void put_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline json_t *get_json(const char *name)
{
	return json_load_file(name, 0, NULL);
}

static inline bool file_is(const char *name, const char *text)
{
	char buf[256] = "";
	FILE *f = fopen(name, "re");

	if (!f)
		return false;
	(void)!fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	return !strcmp(buf, text);
}

static inline int memory(const char *text)
{
	int fd = memfd_new("test", 0);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	return fd;
}

static inline int save_fd(struct monitor_rig *r, const char *name, int fd)
{
	struct proto_msg m = question(PROTO_SAVE);

	snprintf(m.text, sizeof(m.text), "%s", name);
	return ask(r, &m, &fd, 1);
}

static inline int save(struct monitor_rig *r, const char *name,
		       const char *text)
{
	int fd = memory(text), result = save_fd(r, name, fd);

	close(fd);
	return result;
}

#define EMPTY "{\"ports\":[]}"

#define RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
