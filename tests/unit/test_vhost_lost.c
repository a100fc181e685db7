/* Memory that is taken away while it is used, and the log: ports/vhost_mem.h */
#include "ports/vhost_mem.h"

#include "base/clock.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define SIZE  (16 * PAGE)
#define GUEST 0x100000000ull
#define USER  0x7f0000000000ull

/* Only a failing test takes so long. */
#define DEADLINE_S 30

#define READERS 4

/* As vhost_mem_guard() has left it; cmocka sets its own for each test. */
static struct sigaction guard;

static void guarded(void)
{
	assert_int_equal(sigaction(SIGBUS, &guard, NULL), 0);
}

static int file_full_of(uint8_t fill, uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t *p = malloc(size);

	assert_true(fd >= 0);
	assert_non_null(p);
	memset(p, fill, size);
	assert_int_equal(write(fd, p, size), size);
	free(p);
	return fd;
}

static void add(struct vhost_mem *m, uint64_t guest, uint64_t size, int fd)
{
	assert_int_equal(
		vhost_mem_add(m, guest, size, USER + guest, 0, fd, NULL), 0);
}

/* Read as a ring is: it may change at any time. */
static uint8_t peek(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void poke(uint8_t *p, uint8_t byte)
{
	__atomic_store_n(p, byte, __ATOMIC_RELAXED);
}

static bool full_of(const uint8_t *p, uint8_t fill, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		if (peek(p + i) != fill)
			return false;
	return true;
}

/* ---- memory -------------------------------------------------------------- */

struct reader {
	pthread_t thread;
	struct vhost_mem *mem;
	_Atomic bool reading;
	bool strange, lost;
};

/* Reads on as long as nothing is lost, as a worker. */
static void *reader_main(void *arg)
{
	struct reader *r = arg;
	const uint8_t *p = r->mem->region[0].host;
	uint64_t until = clock_ns() + DEADLINE_S * 1000000000ull;

	while (!vhost_mem_lost(r->mem) && clock_ns() < until) {
		for (unsigned int i = 0; i < SIZE; i += 64) {
			uint8_t byte = peek(p + i);

			/* Zeros, but not before they are said to be. */
			if (byte != 0x11 &&
			    (byte != 0 || !vhost_mem_lost(r->mem)))
				r->strange = true;
		}
		atomic_store(&r->reading, true);
	}
	r->lost = vhost_mem_lost(r->mem);
	if (r->lost && !full_of(p, 0, SIZE))
		r->strange = true;
	return NULL;
}

static void reader_start(struct reader *r, struct vhost_mem *mem)
{
	sigset_t all, old;

	r->mem = mem;
	/* switchd/worker.c */
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &old), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, reader_main, r), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void memory_cut_short_under_readers_is_zeros_and_lost(void **state)
{
	struct vhost_mem mem = { 0 }, other = { 0 };
	int fd = file_full_of(0x11, SIZE), fd2 = file_full_of(0x22, SIZE);
	struct reader r[READERS] = { 0 };

	(void)state;
	guarded();
	add(&mem, 0, SIZE, fd);
	add(&mem, GUEST, SIZE, fd2);
	add(&other, 0, SIZE, fd2);
	for (unsigned int i = 0; i < READERS; i++)
		reader_start(&r[i], &mem);
	for (unsigned int i = 0; i < READERS; i++)
		while (!atomic_load(&r[i].reading))
			sched_yield();
	assert_int_equal(ftruncate(fd, PAGE), 0);
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		assert_true(r[i].lost);
		assert_false(r[i].strange);
	}
	/* The other region is what it was, and writable: its file has it. */
	assert_true(full_of(mem.region[1].host, 0x22, SIZE));
	poke(mem.region[1].host, 0x33);
	assert_int_equal(peek(other.region[0].host), 0x33);
	assert_true(vhost_mem_lost(&mem));
	assert_false(vhost_mem_lost(&other));
	vhost_mem_fini(&mem);
	vhost_mem_fini(&other);
	close(fd);
	close(fd2);
}

static void lost_memory_can_be_written_to_and_reaches_nobody(void **state)
{
	struct vhost_mem mem = { 0 }, other = { 0 };
	int fd = file_full_of(0x11, SIZE), fd2 = file_full_of(0x22, SIZE);
	uint8_t byte;

	(void)state;
	guarded();
	add(&mem, 0, SIZE, fd);
	add(&other, 0, SIZE, fd2);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd2, 0), 0);
	poke(mem.region[0].host + PAGE, 0x55); /* a write faults as well */
	assert_true(vhost_mem_lost(&mem));
	assert_false(vhost_mem_lost(&other));
	assert_int_equal(peek(mem.region[0].host + PAGE), 0x55);
	assert_true(full_of(other.region[0].host, 0, SIZE));
	assert_true(vhost_mem_lost(&other));
	/* Nor does it come back when the file does. */
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(pread(fd, &byte, 1, PAGE), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(peek(mem.region[0].host + PAGE), 0x55);
	vhost_mem_fini(&mem);
	vhost_mem_fini(&other);
	close(fd);
	close(fd2);
}

static void what_was_written_into_lost_memory_is_gone_with_it(void **state)
{
	struct vhost_mem mem = { 0 };
	uint8_t *before;
	int fd = file_full_of(0x11, SIZE);

	(void)state;
	guarded();
	add(&mem, 0, SIZE, fd);
	assert_int_equal(ftruncate(fd, 0), 0);
	before = mem.region[0].host;
	for (unsigned int i = 0; i < SIZE; i++)
		poke(before + i, 0x77);
	vhost_mem_fini(&mem);
	assert_int_equal(ftruncate(fd, SIZE), 0);

	/* The kernel gives the same address again. */
	add(&mem, 0, SIZE, fd);
	assert_ptr_equal(mem.region[0].host, before);
	assert_false(vhost_mem_lost(&mem));
	assert_true(full_of(before, 0, SIZE));
	assert_false(vhost_mem_lost(&mem));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_true(full_of(before, 0, SIZE));
	assert_true(vhost_mem_lost(&mem));
	vhost_mem_fini(&mem);
	close(fd);
}

static void lost_huge_pages_are_zeros_as_well(void **state)
{
	struct vhost_mem mem = { 0 };
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
	uint64_t size = 2ull << 20;

	(void)state;
	guarded();
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		skip(); /* none, or of another size */
	add(&mem, 0, size, fd);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(peek(mem.region[0].host + PAGE), 0);
	assert_true(vhost_mem_lost(&mem));
	vhost_mem_fini(&mem);
	close(fd);
}

static void system_call_on_lost_memory_fails(void **state)
{
	struct vhost_mem mem = { 0 };
	int fd = file_full_of(0x11, SIZE), pipes[2];

	(void)state;
	guarded();
	add(&mem, 0, SIZE, fd);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(pipes[1], mem.region[0].host, 10), -1);
	assert_int_equal(errno, EFAULT);
	assert_false(vhost_mem_lost(&mem));
	vhost_mem_fini(&mem);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- others' SIGBUS ------------------------------------------------------ */

/* What it was that ended a child that does this. */
static int end_of(void (*what)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(DEADLINE_S);
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return WTERMSIG(status);
}

static void fault_elsewhere(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	(void)peek(p);
}

static void fault_where_a_region_was(void)
{
	struct vhost_mem mem = { 0 };
	int fd = file_full_of(0x11, SIZE);
	uint8_t *p;

	add(&mem, 0, SIZE, fd);
	p = mem.region[0].host;
	vhost_mem_fini(&mem);
	if (mmap(p, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != p)
		_exit(1);
	if (ftruncate(fd, 0) < 0)
		_exit(1);
	(void)peek(p);
}

static void fault_behind_a_region(void)
{
	struct vhost_mem mem = { 0 };
	int fd = file_full_of(0x11, SIZE);
	uint8_t *p;

	add(&mem, 0, SIZE, fd);
	p = mem.region[0].host;
	if (mmap(p + SIZE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) !=
	    p + SIZE)
		_exit(1);
	if (ftruncate(fd, 0) < 0)
		_exit(1);
	(void)peek(p + SIZE);
}

static void sent_by_somebody(void)
{
	kill(getpid(), SIGBUS);
	/* Another fault is handled no more; but it doesn't come to that. */
	pause();
}

static void sigbus_of_somebody_else_still_kills(void **state)
{
	(void)state;
	guarded();
	assert_int_equal(end_of(fault_elsewhere), SIGBUS);
	assert_int_equal(end_of(fault_where_a_region_was), SIGBUS);
	assert_int_equal(end_of(fault_behind_a_region), SIGBUS);
	assert_int_equal(end_of(sent_by_somebody), SIGBUS);
}

/* ---- the log ------------------------------------------------------------- */

#define LOG_BYTES 64

static int log_map(struct vhost_log *log, uint64_t size, uint64_t offset)
{
	int fd = file_full_of(0, size + offset);
	int r = vhost_log_map(log, fd, size, offset);

	close(fd);
	return r;
}

/* These pages of the log and no others, by bytes that are added up. */
static void log_is(struct vhost_log *log, const bool *page)
{
	for (unsigned int i = 0; i < LOG_BYTES * 8; i++)
		assert_int_equal(log->bits[i / 8] >> (i % 8) & 1, page[i]);
	memset(log->bits, 0, LOG_BYTES);
}

static void log_has_a_bit_for_each_page_that_was_written(void **state)
{
	static const struct {
		uint64_t guest, len;
		unsigned int first, n; /* pages */
	} c[] = {
		{ 0, 1, 0, 1 },
		{ PAGE - 1, 1, 0, 1 },
		{ PAGE, 1, 1, 1 },
		{ PAGE - 1, 2, 0, 2 },
		{ 7 * PAGE, PAGE, 7, 1 },
		{ 7 * PAGE, PAGE + 1, 7, 2 },
		{ 8 * PAGE, 8 * PAGE, 8, 8 },
		{ 3 * PAGE + 5, 65550, 3, 17 },
		{ 15 * PAGE, 18ull * PAGE, 15, 18 },
		{ 5 * PAGE, 0, 0, 0 },
		{ 511 * PAGE, PAGE, 511, 1 },
		{ 510 * PAGE, UINT64_MAX - 510 * PAGE, 510, 2 },
		{ 509 * PAGE, UINT64_MAX, 509, 3 }, /* wraps */
		{ 0, UINT64_MAX, 0, 512 },
		{ 512 * PAGE, PAGE, 0, 0 },
		{ UINT64_MAX, 1, 0, 0 },
		{ UINT64_MAX, UINT64_MAX, 0, 0 },
	};
	struct vhost_log log = { 0 };

	(void)state;
	vhost_log_written(&log, 0, 1); /* nobody wants to know */
	assert_int_equal(log_map(&log, LOG_BYTES, PAGE + 8), 0);
	for (unsigned int i = 0; i < sizeof(c) / sizeof(*c); i++) {
		bool page[LOG_BYTES * 8] = { 0 };

		for (unsigned int k = 0; k < c[i].n; k++)
			page[c[i].first + k] = true;
		vhost_log_written(&log, c[i].guest, c[i].len);
		log_is(&log, page);
		assert_int_equal(log.bits[LOG_BYTES], 0);
		assert_int_equal(log.bits[-1], 0);
	}
	vhost_log_unmap(&log);
	assert_null(log.bits);
	vhost_log_unmap(&log);
}

static void bits_that_were_set_stay(void **state)
{
	struct vhost_log log = { 0 };

	(void)state;
	assert_int_equal(log_map(&log, 1, 0), 0);
	vhost_log_written(&log, 2 * PAGE, 1);
	vhost_log_written(&log, 5 * PAGE, 1);
	vhost_log_written(&log, 2 * PAGE, PAGE + 1);
	assert_int_equal(log.bits[0], 0x2c);
	vhost_log_unmap(&log);
}

#define PAGES 65536

struct writer {
	pthread_t thread;
	const struct vhost_log *log;
	unsigned int first;
};

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = w->first; i < PAGES; i += 2)
		vhost_log_written(w->log, (uint64_t)i * PAGE, 1);
	return NULL;
}

static void no_bit_is_lost_to_who_clears_them_meanwhile(void **state)
{
	static uint8_t got[PAGES];
	struct vhost_log log = { 0 };
	struct writer w[2] = { { .log = &log, .first = 0 },
			       { .log = &log, .first = 1 } };
	uint64_t until = clock_ns() + DEADLINE_S * 1000000000ull;
	unsigned int n = 0;

	(void)state;
	assert_int_equal(log_map(&log, PAGES / 8, 0), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&w[i].thread, NULL, writer_main, &w[i]),
			0);
	while (n < PAGES && clock_ns() < until)
		for (unsigned int i = 0; i < PAGES; i++) {
			uint8_t bits;

			if (i % 8)
				continue;
			bits = __atomic_exchange_n(&log.bits[i / 8], 0,
						   __ATOMIC_ACQUIRE);
			for (unsigned int k = 0; k < 8; k++)
				got[i + k] += bits >> k & 1;
			n += (unsigned int)__builtin_popcount(bits);
		}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned int i = 0; i < PAGES; i++)
		assert_int_equal(got[i], 1);
	assert_int_equal(n, PAGES);
	vhost_log_unmap(&log);
}

static void log_that_the_file_has_not_is_refused(void **state)
{
	struct vhost_log log = { 0 };
	int fd = file_full_of(0, PAGE);

	(void)state;
	assert_int_equal(vhost_log_map(&log, fd, 0, 0), -EINVAL);
	assert_int_equal(vhost_log_map(&log, fd, PAGE + 1, 0), -EINVAL);
	assert_int_equal(vhost_log_map(&log, fd, PAGE, 1), -EINVAL);
	assert_int_equal(vhost_log_map(&log, fd, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(vhost_log_map(&log, fd, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(vhost_log_map(&log, -1, 1, 0), -EBADF);
	assert_null(log.bits);
	close(fd);
}

static void log_cut_short_is_lost_and_nothing_else(void **state)
{
	struct vhost_log log = { 0 }, other = { 0 };
	int fd = file_full_of(0, PAGE), fd2 = file_full_of(0, PAGE);

	(void)state;
	guarded();
	assert_int_equal(vhost_log_map(&log, fd, PAGE, 0), 0);
	assert_int_equal(vhost_log_map(&other, fd2, PAGE, 0), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	vhost_log_written(&other, 0, 1);
	assert_false(vhost_log_lost(&log) || vhost_log_lost(&other));
	vhost_log_written(&log, 0, 1);
	assert_true(vhost_log_lost(&log));
	assert_false(vhost_log_lost(&other));
	assert_int_equal(other.bits[0], 1);
	vhost_log_unmap(&log);
	vhost_log_unmap(&other);
	assert_false(vhost_log_lost(&log));
	close(fd);
	close(fd2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			memory_cut_short_under_readers_is_zeros_and_lost),
		cmocka_unit_test(
			lost_memory_can_be_written_to_and_reaches_nobody),
		cmocka_unit_test(
			what_was_written_into_lost_memory_is_gone_with_it),
		cmocka_unit_test(lost_huge_pages_are_zeros_as_well),
		cmocka_unit_test(system_call_on_lost_memory_fails),
		cmocka_unit_test(sigbus_of_somebody_else_still_kills),
		cmocka_unit_test(log_has_a_bit_for_each_page_that_was_written),
		cmocka_unit_test(bits_that_were_set_stay),
		cmocka_unit_test(no_bit_is_lost_to_who_clears_them_meanwhile),
		cmocka_unit_test(log_that_the_file_has_not_is_refused),
		cmocka_unit_test(log_cut_short_is_lost_and_nothing_else),
	};

	/* A sanitizer's handler, which would be the former one, doesn't kill.
	 */
	if (signal(SIGBUS, SIG_DFL) == SIG_ERR || vhost_mem_guard() < 0 ||
	    sigaction(SIGBUS, NULL, &guard) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
