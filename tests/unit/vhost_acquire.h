/*
 * vhost_acquire - what the tests of vhost-user ports' sockets share: a folder
 * and a request for each test, and the other end of the socket
 */
#ifndef TESTS_UNIT_VHOST_ACQUIRE_H
#define TESTS_UNIT_VHOST_ACQUIRE_H

#include "ports/vhost_user.h"
#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct rig {
	char dir[64];
	struct port_request rq;
	struct port_grant g;
	struct error err;
	unsigned int fds;
};

static inline int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	strcpy(r->dir, "/tmp/vhost_test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->fds = fds_count();
	*state = r;
	return 0;
}

static inline int teardown(void **state)
{
	struct rig *r = *state;
	int bad = fds_count() != r->fds;
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	/* The command is this test's own. NOLINTNEXTLINE(cert-env33-c) */
	bad |= system(cmd) != 0;
	free(r);
	return bad ? -1 : 0;
}

static inline const char *path(const struct rig *r, const char *name)
{
	static char buf[2][PORT_PATH_MAX];
	static unsigned int i;

	i = !i;
	assert_true(snprintf(buf[i], sizeof(buf[i]), "%s/%s", r->dir, name) <
		    PORT_PATH_MAX);
	return buf[i];
}

static inline struct vhost_user_params *ask(struct rig *r, bool client,
					    const char *name)
{
	memset(&r->rq, 0, sizeof(r->rq));
	strcpy(r->rq.type, "vhost-user");
	strcpy(r->rq.name, "p");
	r->rq.enabled = true;
	r->rq.vhost_user.client = client;
	snprintf(r->rq.vhost_user.path, PORT_PATH_MAX, "%s",
		 *name == '/' ? name : path(r, name));
	return &r->rq.vhost_user;
}

static inline int acquire(struct rig *r)
{
	memset(&r->err, 0, sizeof(r->err));
	return vhost_user_acquire(&r->rq, &r->g, &r->err);
}

static inline int renew(struct rig *r)
{
	memset(&r->err, 0, sizeof(r->err));
	return vhost_user_renew(&r->rq, &r->g, &r->err);
}

static inline void release(struct rig *r)
{
	vhost_user_release(&r->rq, &r->g);
	assert_int_equal(r->g.nfds, 0);
}

/* Refused with that, and nothing of it is left. */
static inline void refused(struct rig *r, int error, const char *reason,
			   const char *param)
{
	unsigned int before = fds_count();

	assert_int_equal(acquire(r), -error);
	assert_int_equal(r->err.err, error);
	assert_string_equal(r->err.reason, reason);
	assert_string_equal(r->err.path, param);
	assert_int_equal(fds_count(), before);
}

static inline void serve(struct rig *r, const char *name)
{
	ask(r, false, name);
	assert_int_equal(acquire(r), 0);
}

/* ---- The other end ---- */

/* A listening socket of somebody else's; it may be the test's `type`. */
static inline int other_listens(const char *name, int type, int backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", name);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM && backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A connection without waiting: a descriptor or -errno. */
static inline int other_connects(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", name);
	r = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : fd;
	if (r < 0)
		close(fd);
	return r;
}

static inline bool somebody_listens(const char *name)
{
	int fd = other_connects(name);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A word from one end to the other. */
static inline void joined(int a, int b)
{
	char c = 0;

	assert_int_equal(send(a, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(b, &c, 1, MSG_DONTWAIT), 1);
	assert_int_equal(c, 'x');
}

/* The connection at a listening socket is that of the other end. */
static inline void accepts(int listener, int other)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	joined(other, fd);
	close(fd);
}

static inline void make_file(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline struct stat look(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st;
}

static inline bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
