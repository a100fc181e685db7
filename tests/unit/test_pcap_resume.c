/*
 * A capture that outlives the process that began it: what the next one finds
 * and leaves, and rotation by a keeper that is somebody else.
 *
 * The "earlier process" is mostly a port that was closed without releasing its
 * grant: what a process leaves that dies, but for the end of its file, which
 * the tests tear themselves.
 */
#include "ports/capfile.h"
#include "tests/unit/capture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ROTATE	8192
#define SECTION 0x0a0d0d0a

/* ---- the earlier process and the next ---- */

static void resume(struct capture *c)
{
	c->grant.resumed = true;
	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	assert_non_null(c->port);
}

static void stop(struct capture *c)
{
	port_ops_pcap.close(c->port);
	c->port = NULL;
}

static void send_numbers(struct capture *c, uint32_t from, uint32_t to,
			 uint32_t len)
{
	for (uint32_t n = from; n < to; n++)
		capture_number(c, len, n, 1, FRAME_DIR_IN);
}

/* What the grant's file has, up to `max` bytes. */
static size_t content(const struct capture *c, uint8_t *to, size_t max)
{
	ssize_t n = pread(c->grant.fd[0], to, max, 0);

	assert_true(n >= 0);
	return (size_t)n;
}

static void set_content(const struct capture *c, const uint8_t *from, size_t n)
{
	assert_int_equal(ftruncate(c->grant.fd[0], 0), 0);
	assert_int_equal(pwrite(c->grant.fd[0], from, n, 0), n);
}

/* FILE.i's packets must be numbered from `n` on; returns the next number. */
static uint32_t check_numbers(struct capture *c, unsigned int i, uint32_t n)
{
	pcap_t *pc = capture_read(c, i);
	struct pcap_pkthdr *h;
	const uint8_t *data;

	while (capture_next(pc, &h, &data))
		assert_int_equal(load_be32(data + 14), n++);
	pcap_close(pc);
	return n;
}

/* How many sections has FILE? */
static unsigned int sections(const struct capture *c)
{
	static uint8_t file[1 << 20];
	size_t size = content(c, file, sizeof(file)), at = 0;
	unsigned int n = 0;

	while (at < size) {
		uint32_t type, len;

		assert_true(size - at >= 12);
		memcpy(&type, file + at, 4);
		memcpy(&len, file + at + 4, 4);
		assert_true(len >= 12 && len <= size - at);
		n += type == SECTION;
		at += len;
	}
	return n;
}

/* ---- after a clean end ---- */

static void check_goes_on(struct capture *c)
{
	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
	send_numbers(c, 0, 20, 61);
	stop(c);
	for (uint32_t i = 1; i <= 3; i++) {
		resume(c);
		assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
		send_numbers(c, i * 20, i * 20 + 20, 61);
		stop(c);
	}
	assert_int_equal(check_numbers(c, 0, 0), 80);
}

static void pcapng_goes_on_in_a_new_section(void **state)
{
	struct capture *c = *state;

	check_goes_on(c);
	assert_int_equal(sections(c), 4);
}

static void classic_goes_on_behind_the_last_packet(void **state)
{
	struct capture *c = *state;
	struct stat st;

	c->rq.pcap.classic = true;
	check_goes_on(c);
	assert_int_equal(stat(c->rq.pcap.file, &st), 0);
	assert_int_equal(st.st_size, 24 + 80 * (16 + 61));
}

static void empty_file_begins_as_a_new_one(void **state)
{
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		assert_int_equal(capture_acquire(c), 0);
		assert_int_equal(ftruncate(c->grant.fd[0], 0), 0);
		resume(c);
		send_numbers(c, 0, 3, 60);
		stop(c);
		assert_int_equal(check_numbers(c, 0, 0), 3);
		capture_close(c);
	}
}

/* Blocks longer and shorter than a read; some lie across its end. */
static void long_file_is_read_through_to_its_end(void **state)
{
	static uint8_t data[FRAME_LEN_MAX];
	struct capture *c = *state;
	struct frame f;

	for (int classic = 0; classic < 2; classic++) {
		uint32_t n = 0;

		c->rq.pcap.classic = classic;
		capture_open(c);
		while (n < 40) {
			capture_make(&f, data, sizeof(data) - n % 4, n);
			capture_sent(c, &f);
			capture_settled(c, ++n); /* the ring is small */
		}
		stop(c);
		resume(c);
		send_numbers(c, n, n + 5, 60);
		stop(c);
		assert_int_equal(check_numbers(c, 0, 0), n + 5);
		capture_close(c);
	}
}

/* ---- after a kill ---- */

/* Whatever the file is cut down to: a resumed one is whole, and has all packets
 * that were, then the new ones. */
static void check_every_cut(struct capture *c)
{
	uint8_t file[1024];
	uint64_t ends[5];
	size_t size;
	struct stat st;

	capture_open(c);
	assert_int_equal(pcap_port_name(c->port, 1, "vm1"), 0);
	for (uint32_t n = 0; n < 4; n++) {
		send_numbers(c, n, n + 1, 61 + n);
		capture_settled(c, n + 1);
		assert_int_equal(fstat(c->grant.fd[0], &st), 0);
		ends[n] = (uint64_t)st.st_size;
	}
	stop(c);
	size = content(c, file, sizeof(file));
	assert_int_equal(size, ends[3]);
	for (size_t cut = 0; cut <= size; cut++) {
		uint32_t whole = 0, n = 0;
		struct pcap_pkthdr *h;
		const uint8_t *data;
		pcap_t *pc;

		while (whole < 4 && ends[whole] <= cut)
			whole++;
		set_content(c, file, cut);
		resume(c);
		send_numbers(c, 100, 102, 60);
		stop(c);
		pc = capture_read(c, 0);
		for (; capture_next(pc, &h, &data); n++)
			assert_int_equal(load_be32(data + 14),
					 n < whole ? n : 100 + n - whole);
		pcap_close(pc);
		assert_int_equal(n, whole + 2);
	}
}

static void pcapng_torn_at_any_byte_is_cut_to_its_last_packet(void **state)
{
	check_every_cut(*state);
}

static void classic_torn_at_any_byte_is_cut_to_its_last_packet(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_every_cut(c);
}

static void tail_of_other_bytes_is_cut_off(void **state)
{
	static uint8_t file[1024 + 5000];
	static const uint8_t fill[] = { 0x00, 0xff, 0x06, 0x41 };
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		size_t size;

		c->rq.pcap.classic = classic;
		capture_open(c);
		send_numbers(c, 0, 5, 62);
		stop(c);
		size = content(c, file, 1024);
		for (unsigned int i = 0; i < sizeof(fill); i++) {
			memset(file + size, fill[i], 5000);
			set_content(c, file, size + 5000);
			resume(c);
			send_numbers(c, 5, 7, 62);
			stop(c);
			assert_int_equal(check_numbers(c, 0, 0), 7);
		}
		capture_close(c);
	}
}

/* In the child, which is killed in the middle of it. */
static void write_for_ever(struct capture *c, int ready)
{
	uint8_t data[1500];
	enum drop_reason why;
	struct frame f;
	uint32_t n = 0;

	c->port = port_ops_pcap.open(&c->rq, &c->grant, &c->err);
	if (!c->port)
		_exit(1);
	while (true) {
		capture_make(&f, data, sizeof(data) - n % 7, n);
		n += capture_send(c, &f, &why);
		if (n == 3000 && write(ready, "", 1) != 1)
			_exit(1);
	}
}

static void file_of_a_killed_process_goes_on_whole(void **state)
{
	struct capture *c = *state;
	uint32_t n = 0, next = 0;
	struct pcap_pkthdr *h;
	const uint8_t *data;
	int ready[2], status;
	pcap_t *pc;
	pid_t pid;
	char byte;

	assert_int_equal(capture_acquire(c), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork(); /* shares open files, as SCM_RIGHTS does */
	assert_true(pid >= 0);
	if (pid == 0)
		write_for_ever(c, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	resume(c);
	send_numbers(c, UINT32_MAX - 10, UINT32_MAX, 60);
	stop(c);
	pc = capture_read(c, 0);
	for (; capture_next(pc, &h, &data); n++) {
		if (load_be32(data + 14) == UINT32_MAX - 10)
			break;
		assert_int_equal(load_be32(data + 14), n);
		assert_int_equal(h->len, 1500 - n % 7);
	}
	for (next = 1; capture_next(pc, &h, &data); next++)
		assert_int_equal(load_be32(data + 14), UINT32_MAX - 10 + next);
	pcap_close(pc);
	assert_int_equal(next, 10);
	/* 4 MB of ring may have been lost, no more. */
	assert_true(n > 0);
}

/* ---- who may touch the file, and when ---- */

static void open_and_close_leave_a_resumed_file_alone(void **state)
{
	static uint8_t before[4096], now[4096];
	struct capture *c = *state;
	struct stat was, is;
	size_t size;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		capture_open(c);
		send_numbers(c, 0, 5, 61);
		stop(c);
		/* As torn as it is. */
		assert_int_equal(ftruncate(c->grant.fd[0], 300), 0);
		assert_int_equal(lseek(c->grant.fd[0], 17, SEEK_SET), 17);
		size = content(c, before, sizeof(before));
		assert_int_equal(fstat(c->grant.fd[0], &was), 0);
		resume(c);
		poll(NULL, 0, 20); /* its thread has its chance to be wrong */
		stop(c);
		assert_int_equal(fstat(c->grant.fd[0], &is), 0);
		assert_int_equal(content(c, now, sizeof(now)), size);
		assert_memory_equal(now, before, size);
		assert_memory_equal(&is.st_mtim, &was.st_mtim,
				    sizeof(is.st_mtim));
		assert_memory_equal(&is.st_ctim, &was.st_ctim,
				    sizeof(is.st_ctim));
		assert_int_equal(lseek(c->grant.fd[0], 0, SEEK_CUR), 17);
		capture_close(c);
	}
}

static void upgrade_has_the_frames_of_both_processes(void **state)
{
	struct capture *c = *state;

	for (int classic = 0; classic < 2; classic++) {
		struct port_grant grant = { .nfds = 2, .resumed = true };
		struct port *old;

		c->rq.pcap.classic = classic;
		capture_open(c);
		send_numbers(c, 0, 10, 61);
		capture_settled(c, 10);
		old = c->port;
		for (unsigned int i = 0; i < 2; i++)
			grant.fd[i] = fcntl(c->grant.fd[i], F_DUPFD_CLOEXEC, 0);
		c->port = port_ops_pcap.open(&c->rq, &grant, &c->err);
		assert_non_null(c->port);
		/* The new one is there; the old one still writes. */
		for (uint32_t n = 10; n < 500; n++) {
			enum drop_reason why;
			uint8_t data[100];
			struct frame f, *list = &f;

			capture_make(&f, data, sizeof(data), n);
			assert_int_equal(port_ops_pcap.tx(old, &list, 1, &why),
					 1);
		}
		port_ops_pcap.close(old);
		send_numbers(c, 500, 520, 61);
		stop(c);
		port_grant_close(&grant);
		assert_int_equal(check_numbers(c, 0, 0), 520);
		capture_close(c);
	}
}

static void lock_stays_until_the_last_process_has_gone(void **state)
{
	struct capture *c = *state;
	struct port_grant grant = { 0 };
	int hold[2], status;
	pid_t pid;
	char byte;

	assert_int_equal(capture_acquire(c), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(hold[0]);
	/* As a process closes that ends: not release, which removes. */
	port_grant_close(&c->grant);
	assert_int_equal(port_ops_pcap.acquire(&c->rq, &grant, &c->err),
			 -EBUSY);
	assert_string_equal(c->err.reason, "file-busy");
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(capture_acquire(c), 0);
}

static void closing_port_gives_up_reading_and_leaves_the_file(void **state)
{
	struct capture *c = *state;
	struct capfile_source from = { .resumed = true };
	struct capfile cf;
	struct stat st;
	uint64_t cut;
	bool packets;

	capture_open(c);
	send_numbers(c, 0, 5, 60);
	stop(c);
	assert_int_equal(ftruncate(c->grant.fd[0], 300), 0);
	from.fd = c->grant.fd[0];
	assert_int_equal(capfile_init(&cf, &from, eventfd(1, EFD_CLOEXEC)), 0);
	cf.deadline = 1; /* long ago */
	assert_int_equal(capfile_resume(&cf, false, &packets, &cut),
			 -ETIMEDOUT);
	assert_int_equal(fstat(from.fd, &st), 0);
	assert_int_equal(st.st_size, 300);
	cf.deadline = 0; /* it has been told only now: there is time */
	assert_int_equal(capfile_resume(&cf, false, &packets, &cut), 0);
	assert_true(packets);
	assert_int_equal(fstat(from.fd, &st), 0);
	assert_int_equal(st.st_size + (off_t)cut, 300);
	assert_int_equal(cf.bytes, st.st_size);
	close(cf.stopfd);
	capfile_fini(&cf);
}

/* ---- streams ---- */

static void check_stream(struct capture *c)
{
	static uint8_t stream[60000];
	char path[PORT_PATH_MAX + 4];
	ssize_t n;
	FILE *out;
	int fd;

	assert_int_equal(mkfifo(c->rq.pcap.file, 0600), 0);
	fd = open(c->rq.pcap.file, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	capture_open(c);
	send_numbers(c, 0, 10, 61);
	stop(c);
	resume(c);
	send_numbers(c, 10, 20, 61);
	stop(c);
	n = read(fd, stream, sizeof(stream));
	assert_true(n > 0);
	close(fd);
	snprintf(path, sizeof(path), "%s.1", c->rq.pcap.file);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(stream, 1, (size_t)n, out), n);
	fclose(out);
	assert_int_equal(check_numbers(c, 1, 0), 20);
}

static void pcapng_stream_goes_on(void **state)
{
	check_stream(*state);
}

static void classic_stream_goes_on(void **state)
{
	struct capture *c = *state;

	c->rq.pcap.classic = true;
	check_stream(c);
}

/* ---- rotation ---- */

static void rotation_counts_what_was_there(void **state)
{
	struct capture *c = *state;
	struct stat st;

	for (int classic = 0; classic < 2; classic++) {
		c->rq.pcap.classic = classic;
		c->rq.pcap.rotate_bytes = ROTATE;
		c->rq.pcap.rotate_files = 2;
		capture_open(c);
		send_numbers(c, 0, 7, 1000);
		stop(c);
		resume(c);
		send_numbers(c, 7, 8, 1000);
		assert_int_equal(capture_settled(c, 1).files, 2);
		stop(c);
		assert_int_equal(check_numbers(c, 1, 0), 7);
		assert_int_equal(check_numbers(c, 0, 7), 8);
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
	struct port_keeper keeper = { keeper_renew, keeper_current, k };
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
	stop(c);
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
	send_numbers(c, 0, 100, 1000);
	stop(c);
	/* Once more in the middle of a file, as after a crash. */
	resume(c);
	send_numbers(c, 100, 200, 1000);
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
		n = check_numbers(c, i - 1, n);
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
	send_numbers(c, 0, 24, 1000); /* rotates three times */
	c->port = port_ops_pcap.open(&c->rq, &grant, &c->err);
	assert_non_null(c->port);
	port_ops_pcap.close(old);
	send_numbers(c, 24, 26, 60); /* would fit into the first file too */
	send_numbers(c, 26, 40, 1000);
	keeper_stop(&k, c);
	assert_int_equal(atomic_load(&k.asked_current), 1);
	assert_same_file(grant.fd[0], c->rq.pcap.file);
	port_grant_close(&grant);
	for (unsigned int i = capture_files(c); i > 0; i--)
		n = check_numbers(c, i - 1, n);
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
	send_numbers(c, 0, 7, 1000);
	capture_settled(c, 7);
	send_numbers(c, 7, 8, 1000);
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
	assert_int_equal(check_numbers(c, 1, 0), 7);
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
	send_numbers(c, 0, 3, 60);
	stop(c);
	assert_int_equal(check_numbers(c, 0, 0), 3);
}

static void renew_of_what_does_not_rotate_is_refused(void **state)
{
	struct capture *c = *state;

	capture_open(c);
	send_numbers(c, 0, 3, 60);
	stop(c);
	assert_int_equal(port_ops_pcap.renew(&c->rq, &c->grant, &c->err),
			 -EINVAL);
	assert_string_equal(c->err.reason, "bad-rotate");
	assert_int_equal(capture_files(c), 1);
	assert_int_equal(check_numbers(c, 0, 0), 3);
}

static void renew_that_is_tried_again_shifts_once(void **state)
{
	struct capture *c = *state;
	struct rlimit old, none;

	c->rq.pcap.rotate_bytes = ROTATE;
	c->rq.pcap.rotate_files = 3;
	capture_open(c);
	send_numbers(c, 0, 10, 1000); /* two files */
	stop(c);
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
	assert_int_equal(check_numbers(c, 2, 0), 7);
	assert_int_equal(check_numbers(c, 1, 7), 10);
	assert_int_equal(port_ops_pcap.renew(&c->rq, &c->grant, &c->err), 0);
	assert_same_file(c->grant.fd[0], c->rq.pcap.file);
	assert_int_equal(capture_files(c), 3);
	resume(c);
	send_numbers(c, 10, 11, 60);
	stop(c);
	assert_int_equal(check_numbers(c, 2, 0), 7);
	assert_int_equal(check_numbers(c, 0, 10), 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CAPTURE_TEST(pcapng_goes_on_in_a_new_section),
		CAPTURE_TEST(classic_goes_on_behind_the_last_packet),
		CAPTURE_TEST(empty_file_begins_as_a_new_one),
		CAPTURE_TEST(long_file_is_read_through_to_its_end),
		CAPTURE_TEST(pcapng_torn_at_any_byte_is_cut_to_its_last_packet),
		CAPTURE_TEST(
			classic_torn_at_any_byte_is_cut_to_its_last_packet),
		CAPTURE_TEST(tail_of_other_bytes_is_cut_off),
		CAPTURE_TEST(file_of_a_killed_process_goes_on_whole),
		CAPTURE_TEST(open_and_close_leave_a_resumed_file_alone),
		CAPTURE_TEST(upgrade_has_the_frames_of_both_processes),
		CAPTURE_TEST(lock_stays_until_the_last_process_has_gone),
		CAPTURE_TEST(closing_port_gives_up_reading_and_leaves_the_file),
		CAPTURE_TEST(pcapng_stream_goes_on),
		CAPTURE_TEST(classic_stream_goes_on),
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
