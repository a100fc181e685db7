/*
 * isolate_fixture - a claim about an isolated process: a child isolates itself
 * and tries
 *
 * The child says what didn't hold and ends with a status other than 0, or by
 * the signal that killed it.
 */
#ifndef TESTS_UNIT_ISOLATE_FIXTURE_H
#define TESTS_UNIT_ISOLATE_FIXTURE_H

#include "switchd/isolate.h"
#include "switchd/isolate_internal.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define UID 61234 /* nobody's */
#define GID 61235

/* In the child only. */
#define CHECK(expression)                              \
	do {                                           \
		if (!(expression))                     \
			failed(__LINE__, #expression); \
	} while (0)
#define CHECK_ERRNO(expression, error)           \
	do {                                     \
		errno = 0;                       \
		CHECK((long)(expression) == -1); \
		CHECK(errno == (error));         \
	} while (0)

static inline void failed(int line, const char *what)
{
	dprintf(STDERR_FILENO, "line %d: %s (errno: %s)\n", line, what,
		strerror(errno));
	_exit(line % 254 + 1);
}

static inline void isolate_me(void)
{
	struct error err = { 0 };

	if (isolate(UID, GID, &err) < 0)
		failed(__LINE__, err.message);
}

/* Only a failing test takes so long. */
#define CHILD_S 30

static inline void need_root(void)
{
	if (geteuid() != 0) {
		print_message("isolation needs root\n");
		skip();
	}
}

/* Returns the status of a child that does that, as waitpid() has it. */
static inline int run_as_is(void (*child)(void))
{
	int status;
	pid_t pid;

	need_root();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(CHILD_S);
		child();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void (*isolated_child)(void);

static inline void isolate_and_try(void)
{
	isolate_me();
	isolated_child();
}

/* The same of one that isolates itself first. */
static inline int run(void (*child)(void))
{
	isolated_child = child;
	return run_as_is(isolate_and_try);
}

#define HOLDS(child) assert_int_equal(run(child), 0)

#endif
