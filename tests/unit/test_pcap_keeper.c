/*
 * Rotation of a capture by a keeper that is somebody else, and of one that has
 * been resumed.
 */
#include "ports/pcap.h"

#include "tests/unit/capture.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define ROTATE 8192

static void rotation_counts_what_was_there(void **state)
{
	struct capture *c = *state;
	struct stat st;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		c->rq.pcap.rotate_bytes = ROTATE;
		c->rq.pcap.rotate_files = 2;
		capture_open(c);
		capture_numbers(c, 0, 7, 1000);
		capture_stop(c);
		capture_resume(c);
		capture_numbers(c, 7, 8, 1000);
		assert_int_equal(capture_settled(c, 1).files, 2);
		capture_stop(c);
		assert_int_equal(capture_check(c, 1, 0), 7);
		assert_int_equal(capture_check(c, 0, 7), 8);
		assert_int_equal(fstat(c->grant.fd[0], &st), 0);
		assert_true(st.st_size < 2000);
		capture_close(c);
	}
}

/* The other process: has the grant with the directory, and is asked. */
struct keeper {
	pthread_t thread;
	int ours, theirs; /* a socket pair */
	struct port_request rq;
	struct port_grant grant;
	_Atomic int fails; /* errno that it answers with */
	_Atomic unsigned int asked, asked_current;
};

struct question {
	uint32_t handle;
	bool renew;
};

struct answer {
	int rc, fd;
};

static void *keeper_run(void *arg)
{
	struct keeper *k = arg;
	struct question q;

	while (recv(k->ours, &q, sizeof(q), 0) == sizeof(q)) {
		struct answer a = { .rc = -atomic_load(&k->fails), .fd = -1 };
		struct error err;

		atomic_fetch_add(q.renew ? &k->asked : &k->asked_current, 1);
		if (q.handle != k->grant.handle)
			a.rc = -ESRCH;
		if (a.rc == 0 && q.renew)
			a.rc = port_ops_pcap.renew(&k->rq, &k->grant, &err);
		if (a.rc == 0)
			a.fd = fcntl(k->grant.fd[0], F_DUPFD_CLOEXEC, 0);
		if (send(k->ours, &a, sizeof(a), 0) != sizeof(a))
			break;
	}
	return NULL;
}

static int keeper_ask(struct keeper *k, const struct question *q, int *fd)
{
	struct answer a;

	if (send(k->theirs, q, sizeof(*q), 0) != sizeof(*q) ||
	    recv(k->theirs, &a, sizeof(a), 0) != sizeof(a))
		return -EPROTO;
	*fd = a.fd;
	return a.rc;
}

static int keeper_renew(void *ctx, const struct port_request *rq,
			const struct port_grant *grant, int *newfd)
{
	struct question q = { grant->handle, true };
	struct keeper *k = ctx;

	return strcmp(rq->name, k->rq.name) ? -EINVAL
					    : keeper_ask(k, &q, newfd);
}

static int keeper_current(void *ctx, const struct port_request *rq,
			  const struct port_grant *grant, int *newfd)
{
	struct question q = { grant->handle, false };
	struct keeper *k = ctx;

	return strcmp(rq->name, k->rq.name) ? -EINVAL
					    : keeper_ask(k, &q, newfd);
}

/* Acquire over there; the grant that we get has no directory. */
static void keeper_start(struct keeper *k, struct capture *c)
{
	struct port_keeper keeper = { .renew = keeper_renew,
				      .current = keeper_current,
				      .ctx = k };
	int pair[2];

	memset(k, 0, sizeof(*k));
	c->rq.pcap.rotate_bytes = ROTATE;
	k->rq = c->rq;
	assert_int_equal(port_ops_pcap.acquire(&k->rq, &k->grant, &c->err), 0);
	k->grant.handle = 42;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	k->ours = pair[0];
	k->theirs = pair[1];
	assert_int_equal(pthread_create(&k->thread, NULL, keeper_run, k), 0);
	port_keeper_set(&keeper);
	c->grant = k->grant;
	c->grant.nfds = 1;
	c->grant.fd[0] = fcntl(k->grant.fd[0], F_DUPFD_CLOEXEC, 0);
}

/* Ends the port too, but leaves its grant's descriptor. */
static void keeper_stop(struct keeper *k, struct capture *c)
{
	capture_stop(c);
	port_keeper_set(NULL);
	close(k->theirs);
	pthread_join(k->thread, NULL);
	close(k->ours);
}

static void assert_same_file(int fd, const char *path)
{
	struct stat a, b;

	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(stat(path, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_dev, b.st_dev);
}

static void check_keeper_rotates(struct capture *c)
{
	struct keeper k;
	uint32_t n = 0;

	c->rq.pcap.rotate_files = 40;
	keeper_start(&k, c);
	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(c->port);
	capture_numbers(c, 0, 100, 1000);
	capture_stop(c);
	/* Once more in the middle of a file, as after a crash. */
	capture_resume(c);
	capture_numbers(c, 100, 200, 1000);
	assert_int_equal(capture_settled(c, 100).written, 100);
	keeper_stop(&k, c);
	/* Both are at the newest file, and nobody holds an old one. */
	assert_same_file(c->grant.fd[0], c->rq.pcap.file);
	assert_same_file(k.grant.fd[0], c->rq.pcap.file);
	assert_int_equal(capture_files(c), atomic_load(&k.asked) + 1);
	assert_in_range(capture_files(c), 29, 31);
	for (unsigned int i = capture_files(c); i > 0; i--) {
		char path[PORT_PATH_MAX + 16];
		struct stat st;

		snprintf(path, sizeof(path), i > 1 ? "%s.%u" : "%s",
			 c->rq.pcap.file, i - 1);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_size <= ROTATE);
		n = capture_check(c, i - 1, n);
	}
	assert_int_equal(n, 200);
	port_grant_close(&c->grant);
	port_ops_pcap.release(&k.rq, &k.grant);
}

static void keeper_rotates_for_a_port_without_a_directory(void **state)
{
	check_keeper_rotates(*state);
}

static void keeper_rotates_classic_files(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_keeper_rotates(c);
}

static void upgrade_goes_on_in_the_file_that_is_current_then(void **state)
{
	struct capture *c = *state;
	struct port_grant grant;
	struct port *old;
	struct keeper k;
	uint32_t n = 0;

	c->rq.pcap.rotate_files = 40;
	keeper_start(&k, c);
	old = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(old);
	grant = c->grant;
	grant.fd[0] = fcntl(c->grant.fd[0], F_DUPFD_CLOEXEC, 0);
	grant.resumed = true;
	c->port = old;
	capture_numbers(c, 0, 24, 1000); /* rotates three times */
	c->port = port_ops_pcap.open(&c->rq, &grant, &c->err);
	assert_non_null(c->port);
	port_ops_pcap.close(old);
	capture_numbers(c, 24, 26, 60); /* would fit into the first file too */
	capture_numbers(c, 26, 40, 1000);
	keeper_stop(&k, c);
	assert_int_equal(atomic_load(&k.asked_current), 1);
	assert_same_file(grant.fd[0], c->rq.pcap.file);
	port_grant_close(&grant);
	for (unsigned int i = capture_files(c); i > 0; i--)
		n = capture_check(c, i - 1, n);
	assert_int_equal(n, 40);
	port_grant_close(&c->grant);
	port_ops_pcap.release(&k.rq, &k.grant);
}

static void keeper_that_fails_costs_frames_until_it_works(void **state)
{
	struct capture *c = *state;
	uint64_t end = clock_ns() + DEADLINE_NS;
	enum drop_reason why = DROP_REASON_COUNT;
	struct pcap_port_stats s;
	uint8_t data[1000];
	struct keeper k;
	struct frame f;
	struct stat st;

	c->rq.pcap.rotate_files = 2;
	keeper_start(&k, c);
	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(c->port);
	atomic_store(&k.fails, EIO);
	capture_numbers(c, 0, 7, 1000);
	capture_settled(c, 7);
	capture_numbers(c, 7, 8, 1000);
	s = capture_settled(c, 8);
	assert_int_equal(s.written, 7);
	assert_int_equal(s.lost, 1);
	assert_int_equal(fstat(c->grant.fd[0], &st), 0);
	assert_true(st.st_size <= ROTATE);
	capture_make(&f, data, sizeof(data), 8);
	assert_int_equal(capture_send(c, &f, &why), 0);
	assert_int_equal(why, DROP_IO_ERROR);
	/* A short one would fit, but nobody knows whose file that is now. */
	while (atomic_load(&k.asked) < 2 && clock_ns() < end) {
		capture_make(&f, data, 60, 8);
		capture_send(c, &f, &why);
		poll(NULL, 0, 10);
	}
	assert_in_range(atomic_load(&k.asked), 2, 3);
	atomic_store(&k.fails, 0);
	do {
		poll(NULL, 0, 10);
		capture_make(&f, data, sizeof(data), 9);
		capture_send(c, &f, &why);
		pcap_port_stats(c->port, &s);
	} while (s.written < 8 && clock_ns() < end);
	keeper_stop(&k, c);
	assert_int_equal(capture_check(c, 1, 0), 7);
	assert_true(capture_count(c, 0) > 0);
	assert_int_equal(capture_files(c), 2);
	port_grant_close(&c->grant);
	port_ops_pcap.release(&k.rq, &k.grant);
}

static void port_without_directory_or_keeper_cant_rotate(void **state)
{
	struct capture *c = *state;
	struct port_grant grant;

	c->rq.pcap.rotate_bytes = ROTATE;
	assert_int_equal(capture_acquire(c), 0);
	grant = c->grant;
	grant.nfds = 1;
	assert_null(port_ops_pcap.open(&c->rq, &grant, &c->err));
	assert_string_equal(c->err.reason, "bad-grant");
	/* Where it isn't to rotate it needs neither. */
	c->rq.pcap.rotate_bytes = 0;
	c->port = port_ops_pcap.open(&c->rq, &grant, &c->err);
	assert_non_null(c->port);
	capture_numbers(c, 0, 3, 60);
	capture_stop(c);
	assert_int_equal(capture_check(c, 0, 0), 3);
}

static void renew_of_what_does_not_rotate_is_refused(void **state)
{
	struct capture *c = *state;

	capture_open(c);
	capture_numbers(c, 0, 3, 60);
	capture_stop(c);
	assert_int_equal(port_ops_pcap.renew(&c->rq, &c->grant, &c->err),
			 -EINVAL);
	assert_string_equal(c->err.reason, "bad-rotate");
	assert_int_equal(capture_files(c), 1);
	assert_int_equal(capture_check(c, 0, 0), 3);
}

static void renew_that_is_tried_again_shifts_once(void **state)
{
	struct capture *c = *state;
	struct rlimit old, none;

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 3;
	capture_open(c);
	capture_numbers(c, 0, 10, 1000); /* two files */
	capture_stop(c);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			port_ops_pcap.renew(&c->rq, &c->grant, &c->err),
			-EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* The grant still has the old file, by its new name. */
	assert_int_equal(capture_files(c), 2);
	assert_int_equal(capture_check(c, 2, 0), 7);
	assert_int_equal(capture_check(c, 1, 7), 10);
	assert_int_equal(port_ops_pcap.renew(&c->rq, &c->grant, &c->err), 0);
	assert_same_file(c->grant.fd[0], c->rq.pcap.file);
	assert_int_equal(capture_files(c), 3);
	capture_resume(c);
	capture_numbers(c, 10, 11, 60);
	capture_stop(c);
	assert_int_equal(capture_check(c, 2, 0), 7);
	assert_int_equal(capture_check(c, 0, 10), 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURE_TEST(rotation_counts_what_was_there),
		CAPTURE_TEST(keeper_rotates_for_a_port_without_a_directory),
		CAPTURE_TEST(keeper_rotates_classic_files),
		CAPTURE_TEST(upgrade_goes_on_in_the_file_that_is_current_then),
		CAPTURE_TEST(keeper_that_fails_costs_frames_until_it_works),
		CAPTURE_TEST(port_without_directory_or_keeper_cant_rotate),
		CAPTURE_TEST(renew_of_what_does_not_rotate_is_refused),
		CAPTURE_TEST(renew_that_is_tried_again_shifts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
