/*
 * Descriptors that hold up who closes them, sent by somebody who has been taken
 * over: a file of FUSE, whose server is a friend and never answers.
 */
#include "base/fds.h"

#include "tests/unit/fds.h"
#include "tests/unit/monitor_calls.h"

#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define CLOSERS 4 /* that many may wait, see fds.c */

/* ---- Kinds ---- */

static bool is(bool (*kind)(int fd), int fd)
{
	bool yes;

	assert_true(fd >= 0);
	yes = kind(fd);
	close(fd);
	return yes;
}

/* What a front end passes. */
static void sockets_events_and_memory_are_plain_and_held(void **state)
{
	static bool (*const kinds[])(int fd) = { fds_plain, grants_held_fit };
	int fd[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			0);
		assert_true(is(kinds[i], fd[0]));
		assert_true(is(kinds[i], fd[1]));
		assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
		assert_true(is(kinds[i], fd[0]));
		assert_true(is(kinds[i], fd[1]));
		assert_true(is(kinds[i], eventfd(0, EFD_CLOEXEC)));
		assert_true(is(kinds[i], memfd_new("held", 4096)));
	}
}

/* They may have whoever closes them wait for somebody, or might be such. */
static void files_and_other_sockets_are_neither(void **state)
{
	static bool (*const kinds[])(int fd) = { fds_plain, grants_held_fit };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		bool (*kind)(int fd) = kinds[i];

		assert_false(is(kind, socket(AF_INET, SOCK_STREAM, 0)));
		assert_false(is(kind, socket(AF_NETLINK, SOCK_RAW, 0)));
		assert_false(is(kind, open("/", O_RDONLY | O_DIRECTORY)));
		assert_false(is(kind, open("/tmp", O_PATH)));
		assert_false(is(kind, open("/dev/null", O_RDWR)));
		assert_false(is(kind, open("/proc/self/stat", O_RDONLY)));
		assert_false(kind(-1));
		assert_false(kind(1 << 20));
	}
}

/* The kernel's own, which no front end has to give. */
static void what_is_plain_isnt_always_held(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		bool (*kind)(int fd) = i ? grants_held_fit : fds_plain;

		assert_int_equal(is(kind, epoll_create1(0)), !i);
		assert_int_equal(is(kind, inotify_init1(0)), !i);
		assert_int_equal(is(kind, timerfd_create(CLOCK_MONOTONIC, 0)),
				 !i);
	}
}

/* ---- A file system whose server answers all but one question ---- */

#define MESSAGE_MAX (1 << 17) /* FUSE wants room for a write, too */

struct fuse {
	char dir[64], file[80];
	pid_t server;
};

static void answer(int dev, uint64_t unique, int error, const void *p, size_t n)
{
	char buf[512];
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + n),
				     .error = error,
				     .unique = unique };

	memcpy(buf, &h, sizeof(h));
	if (n)
		memcpy(buf + sizeof(h), p, n);
	if (write(dev, buf, h.len) < 0 && errno != ENOENT)
		_exit(1);
}

static struct fuse_attr attributes(uint64_t ino)
{
	return (struct fuse_attr){
		.ino = ino,
		.nlink = 1,
		.size = 4096,
		.mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666,
	};
}

static void serve_one(int dev, const struct fuse_in_header *in)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
				      .minor = 31,
				      .max_write = 4096 };
	struct fuse_entry_out entry = { .nodeid = 2, .attr = attributes(2) };
	struct fuse_attr_out attr = { .attr = attributes(in->nodeid) };
	struct fuse_open_out open = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		answer(dev, in->unique, 0, &init, sizeof(init));
		break;
	case FUSE_LOOKUP:
		answer(dev, in->unique, 0, &entry, sizeof(entry));
		break;
	case FUSE_GETATTR:
		answer(dev, in->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		answer(dev, in->unique, 0, &open, sizeof(open));
		break;
	case FUSE_FLUSH: /* somebody closes it, and waits */
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		break;
	default:
		answer(dev, in->unique, -ENOSYS, NULL, 0);
	}
}

static void serve(int dev)
{
	static char buf[MESSAGE_MAX];

	while (read(dev, buf, sizeof(buf)) >= 0 || errno == EINTR ||
	       errno == ENOENT)
		serve_one(dev, (const struct fuse_in_header *)buf);
	_exit(0);
}

/* In a mount namespace of this process's. Returns whether it can be had. */
static bool fuse_begin(struct fuse *f)
{
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[96];

	if (dev < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		if (dev >= 0)
			close(dev);
		return false;
	}
	strcpy(f->dir, "/tmp/test_discard.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof(f->file), "%s/file", f->dir);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	assert_int_equal(mount("test", f->dir, "fuse", 0, options), 0);
	f->server = fork();
	if (f->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails */
		serve(dev);
	}
	assert_true(f->server > 0);
	close(dev); /* so that all is over when the server is */
	return true;
}

/* Who waits for it needn't any more. */
static void fuse_end(struct fuse *f)
{
	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	umount2(f->dir, MNT_DETACH);
	rmdir(f->dir);
}

static int fuse_open(const struct fuse *f)
{
	int fd = open(f->file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Until those who waited are through, and have been noticed. */
static void settle(unsigned int fds)
{
	while (fds_count() != fds) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)fds_discard(&null, 1);
		if (is_open(null))
			close(null);
	}
}

static void file_whose_close_waits_holds_nobody_up(void **state)
{
	unsigned int before = fds_count();
	struct fuse f;
	int fd[CLOSERS + 1];

	(void)state;
	if (!fuse_begin(&f))
		skip();
	alarm(PROMPT_S);
	for (int i = 0; i < CLOSERS; i++) {
		fd[i] = fuse_open(&f);
		assert_false(fds_plain(fd[i]));
		assert_int_equal(fds_discard(&fd[i], 1), 0);
		assert_false(is_open(fd[i]));
	}
	/* There is an end to that; others are closed all the same. */
	fd[CLOSERS] = fuse_open(&f);
	fd[0] = memory("x");
	assert_int_equal(fds_discard(&fd[CLOSERS], 1), -EBUSY);
	assert_int_equal(fds_discard(fd, 1), 0);
	assert_true(is_open(fd[CLOSERS]));
	assert_false(is_open(fd[0]));
	fuse_end(&f);
	close(fd[CLOSERS]);
	settle(before);
	alarm(0);
}

static void monitor_answers_whatever_came_with_a_call(void **state)
{
	struct monitor_rig *r = *state;
	struct proto_msg m = question(PROTO_KEEP);
	unsigned int before = fds_count();
	struct fuse f;
	int fd;

	if (!fuse_begin(&f))
		skip();
	fd = fuse_open(&f);
	assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
	assert_int_equal(monitor_call(&r->m, 0), 0);
	/* Too many of them, and it listens no longer. */
	for (int i = 1; i < CLOSERS; i++) {
		assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
		assert_int_equal(monitor_call(&r->m, 0), 0);
	}
	assert_int_equal(proto_send(r->ch[0], &m, &fd, 1), 0);
	assert_int_equal(monitor_call(&r->m, 0), -EPROTO);
	fuse_end(&f);
	close(fd);
	settle(before + 1); /* the one that was left open */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_events_and_memory_are_plain_and_held),
		cmocka_unit_test(files_and_other_sockets_are_neither),
		cmocka_unit_test(what_is_plain_isnt_always_held),
		cmocka_unit_test(file_whose_close_waits_holds_nobody_up),
		RIG(monitor_answers_whatever_came_with_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
