#include "ports/vhost_mem.h"

#include "base/memfd.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE  4096
#define GUEST 0x100000000ull
#define USER  0x7f0000000000ull

static struct vhost_mem mem;

static int setup(void **state)
{
	(void)state;
	memset(&mem, 0, sizeof(mem));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vhost_mem_fini(&mem);
	return mem.n != 0;
}

/* A file whose 8-byte words are their own offsets. */
static int file_of(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (uint64_t at = 0; at < size; at += sizeof(at))
		assert_int_equal(pwrite(fd, &at, sizeof(at), (off_t)at),
				 sizeof(at));
	return fd;
}

static void add(uint64_t guest, uint64_t size, uint64_t offset, int fd)
{
	assert_int_equal(vhost_mem_add(&mem, guest, size, USER + guest, offset,
				       fd, NULL),
			 0);
}

static void refuse(uint64_t guest, uint64_t size, uint64_t user,
		   uint64_t offset, int fd, int want)
{
	struct error err = { 0 };
	uint32_t n = mem.n;

	assert_int_equal(
		vhost_mem_add(&mem, guest, size, user, offset, fd, &err), want);
	assert_string_equal(err.reason, "bad-memory");
	assert_int_equal(err.err, -want);
	assert_true(strlen(err.message) > 10);
	assert_int_equal(mem.n, n);
}

/* `want` bytes at `guest`, of which `len` lie there in a row. */
static uint8_t *at(uint64_t guest, uint64_t want, uint64_t len)
{
	static uint32_t hint;
	uint64_t got = want;
	uint8_t *p = vhost_mem_at(&mem, guest, &got, &hint);

	assert_non_null(p);
	assert_int_equal(got, len);
	return p;
}

static void nowhere(uint64_t guest)
{
	uint64_t len = 1;
	uint32_t hint = 0;

	assert_null(vhost_mem_at(&mem, guest, &len, &hint));
}

static uint64_t word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static bool mapped(const uint8_t *p)
{
	unsigned char in;

	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return mincore((void *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1)), PAGE,
		       &in) == 0;
}

/* ---- regions ------------------------------------------------------------- */

static void region_is_the_files_bytes_at_its_offset(void **state)
{
	int fd = file_of(4 * PAGE);
	uint8_t *p, byte;

	(void)state;
	add(GUEST, 2 * PAGE, PAGE, fd);
	assert_int_equal(word(at(GUEST, 8, 8)), PAGE);
	p = at(GUEST + 2 * PAGE - 8, 100, 8);
	assert_int_equal(word(p), 3 * PAGE - 8);
	nowhere(GUEST - 1);
	nowhere(GUEST + 2 * PAGE);
	nowhere(0);
	nowhere(UINT64_MAX);
	*p = 0xab;
	assert_int_equal(pread(fd, &byte, 1, 3 * PAGE - 8), 1);
	assert_int_equal(byte, 0xab);
	close(fd);
	assert_int_equal(word(at(GUEST, 8, 8)), PAGE);
}

static void offset_needs_no_alignment_to_pages(void **state)
{
	int fd = file_of(8 * PAGE);

	(void)state;
	add(GUEST + 0x650, 0x10, 0x650, fd);
	add(GUEST + 0x3450, 0x2000, PAGE + 0x450, fd);
	assert_int_equal(word(at(GUEST + 0x650, 0x10, 0x10)), 0x650);
	assert_int_equal(word(at(GUEST + 0x3450, 8, 8)), PAGE + 0x450);
	assert_int_equal(word(at(GUEST + 0x544f - 7, 9, 8)), PAGE + 0x2450 - 8);
	nowhere(GUEST + 0x64f);
	nowhere(GUEST + 0x660);
	nowhere(GUEST + 0x5450);
	assert_int_equal((uintptr_t)at(GUEST + 0x3450, 8, 8) % 16, 0);
	close(fd);
}

static void what_crosses_two_regions_comes_in_two_pieces(void **state)
{
	int fd = file_of(2 * PAGE);

	(void)state;
	add(GUEST, PAGE, PAGE, fd);
	add(GUEST + PAGE, PAGE, 0, fd);
	assert_int_equal(word(at(GUEST + PAGE - 8, 100, 8)), 2 * PAGE - 8);
	assert_int_equal(word(at(GUEST + PAGE, 92, 92)), 0);
	close(fd);
}

static void as_many_regions_as_there_may_be_are_all_found(void **state)
{
	int fd = file_of(VHOST_REGIONS_MAX * PAGE);
	uint64_t i;

	(void)state;
	for (i = 0; i < VHOST_REGIONS_MAX; i++)
		add(GUEST + 2 * i * PAGE, PAGE,
		    (VHOST_REGIONS_MAX - 1 - i) * PAGE, fd);
	refuse(0, PAGE, 0, 0, fd, -ENOSPC);
	for (i = 0; i < VHOST_REGIONS_MAX; i++) {
		uint64_t k = i * 29 % VHOST_REGIONS_MAX, off;
		uint8_t *p = at(GUEST + 2 * k * PAGE, PAGE + 1, PAGE);

		off = (VHOST_REGIONS_MAX - 1 - k) * PAGE;
		assert_int_equal(word(p), off);
		assert_ptr_equal(
			vhost_mem_user(&mem, USER + GUEST + 2 * k * PAGE, PAGE),
			p);
		nowhere(GUEST + (2 * k + 1) * PAGE);
	}
	close(fd);
}

static void user_address_is_found_where_all_bytes_are(void **state)
{
	int fd = file_of(3 * PAGE);
	uint64_t user = USER + GUEST;

	(void)state;
	add(GUEST, 2 * PAGE, PAGE, fd);
	assert_ptr_equal(vhost_mem_user(&mem, user + 32, 2 * PAGE - 32),
			 at(GUEST + 32, 1, 1));
	assert_null(vhost_mem_user(&mem, user + 32, 2 * PAGE - 31));
	assert_null(vhost_mem_user(&mem, user + 32, UINT64_MAX));
	assert_null(vhost_mem_user(&mem, user - 1, 2));
	assert_null(vhost_mem_user(&mem, user + 2 * PAGE, 0));
	assert_null(vhost_mem_user(&mem, GUEST, 1));
	close(fd);
}

static void region_that_wraps_or_overlaps_is_refused(void **state)
{
	int fd = file_of(8 * PAGE);

	(void)state;
	add(GUEST, 2 * PAGE, 0, fd); /* at USER + GUEST */
	refuse(0, 0, 0, 0, fd, -EINVAL);
	refuse(-(uint64_t)PAGE, PAGE, 0, 0, fd, -EINVAL);
	refuse(-(uint64_t)PAGE, 2 * PAGE, 0, 0, fd, -EINVAL);
	refuse(0, PAGE, -(uint64_t)PAGE, 0, fd, -EINVAL);
	refuse(GUEST, UINT64_MAX, 0, 0, fd, -EINVAL);
	/* guest addresses */
	refuse(GUEST, PAGE, 0, 0, fd, -EINVAL);
	refuse(GUEST + 2 * PAGE - 16, 16, 0, 0, fd, -EINVAL);
	refuse(GUEST - 16, 32, 0, 0, fd, -EINVAL);
	refuse(GUEST - PAGE, 4 * PAGE, 0, 0, fd, -EINVAL);
	/* user addresses */
	refuse(0, PAGE, USER + GUEST, 0, fd, -EINVAL);
	refuse(0, 32, USER + GUEST - 16, 0, fd, -EINVAL);
	/* beside it is fine */
	add(GUEST + 2 * PAGE, PAGE, PAGE, fd);
	add(GUEST - PAGE, PAGE, PAGE, fd);
	close(fd);
}

static void region_that_the_file_has_not_is_refused(void **state)
{
	int fd = file_of(2 * PAGE + 32);

	(void)state;
	refuse(0, 2 * PAGE + 33, 0, 0, fd, -EINVAL);
	refuse(0, 2 * PAGE, 0, 48, fd, -EINVAL);
	refuse(0, 16, 0, 2 * PAGE + 32, fd, -EINVAL);
	refuse(0, 16, 0, 1ull << 40, fd, -EINVAL);
	refuse(0, PAGE, 0, -(uint64_t)PAGE, fd, -EINVAL);
	add(0, 2 * PAGE, 32, fd);
	assert_int_equal(word(at(2 * PAGE - 8, 8, 8)), 2 * PAGE + 24);
	close(fd);
}

static void addresses_of_another_alignment_are_refused(void **state)
{
	int fd = file_of(2 * PAGE);

	(void)state;
	refuse(GUEST + 8, PAGE, USER, 0, fd, -EINVAL);
	refuse(GUEST, PAGE, USER + 1, 0, fd, -EINVAL);
	refuse(GUEST, PAGE, USER, 4, fd, -EINVAL);
	assert_int_equal(
		vhost_mem_add(&mem, GUEST + 7, PAGE, USER + 7, 7, fd, NULL), 0);
	close(fd);
}

static void more_memory_than_a_guest_may_have_is_refused(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(VHOST_MEMORY_MAX + PAGE)), 0);
	refuse(0, VHOST_MEMORY_MAX + PAGE, 0, 0, fd, -ENOSPC);
	add(0, PAGE, 0, fd);
	refuse(PAGE, VHOST_MEMORY_MAX, USER + PAGE, 0, fd, -ENOSPC);
	close(fd);
}

static void guests_leave_half_of_the_address_space(void **state)
{
	static struct vhost_mem guest[16]; /* of 4 TiB each */
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)VHOST_MEMORY_MAX), 0);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(vhost_mem_add(&guest[i], 0, VHOST_MEMORY_MAX,
					       0, 0, fd, NULL),
				 0);
	refuse(0, PAGE, 0, 0, fd, -ENOSPC);
	vhost_mem_fini(&guest[7]);
	add(0, PAGE, 0, fd);
	for (unsigned int i = 0; i < 16; i++)
		vhost_mem_fini(&guest[i]);
	close(fd);
}

static int out_of(uint64_t guest, uint64_t size, uint64_t user,
		  struct vhost_mem *out)
{
	return vhost_mem_remove(&mem, guest, size, user, out);
}

static void what_is_removed_is_unmapped_and_nothing_else(void **state)
{
	struct vhost_mem out = { .n = 0 };
	int fd = file_of(4 * PAGE);
	uint8_t *p[3];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		add(GUEST + 2 * i * PAGE, PAGE, i * PAGE, fd);
		p[i] = at(GUEST + 2 * i * PAGE, 1, 1);
	}
	assert_int_equal(out_of(GUEST, PAGE + 1, USER + GUEST, &out), -ENOENT);
	assert_int_equal(out_of(GUEST + 1, PAGE, USER + GUEST, &out), -ENOENT);
	assert_int_equal(out_of(GUEST, PAGE, USER, &out), -ENOENT);
	assert_int_equal(out.n, 0);
	assert_int_equal(out_of(GUEST, PAGE, USER + GUEST, &out), 0);
	nowhere(GUEST);
	/* When the caller has the time for it. */
	assert_true(mapped(p[0]));
	vhost_mem_fini(&out);
	assert_false(mapped(p[0]));
	for (unsigned int i = 1; i < 3; i++)
		assert_int_equal(word(at(GUEST + 2 * i * PAGE, 8, 8)),
				 i * PAGE);
	vhost_mem_fini(&mem);
	assert_false(mapped(p[1]) || mapped(p[2]));
	assert_int_equal(mem.n, 0);
	close(fd);
}

static void regions_that_come_and_go_use_nothing_up(void **state)
{
	struct vhost_mem out = { .n = 0 };
	int fd = file_of(PAGE);

	(void)state;
	/* More often than there can be mappings. */
	for (unsigned int i = 0; i < 40000; i++) {
		add(GUEST, PAGE, 0, fd);
		assert_int_equal(out_of(GUEST, PAGE, USER + GUEST, &out), 0);
		vhost_mem_fini(&out);
	}
	close(fd);
}

/* ---- kinds of files ------------------------------------------------------ */

static void what_is_no_file_in_memory_or_on_a_disk_is_refused(void **state)
{
	int pipes[2], sockets[2];
	int fds[] = { open("/proc/self/status", O_RDONLY),
		      open("/proc/self/oom_score_adj", O_RDWR),
		      open("/dev/null", O_RDWR),
		      open("/dev/shm", O_RDONLY),
		      eventfd(0, 0),
		      -1,
		      -1 };
	struct vhost_log log = { 0 };

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	fds[5] = pipes[0];
	fds[6] = sockets[0];
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		assert_true(fds[i] >= 0);
		refuse(0, PAGE, 0, 0, fds[i], -EMEDIUMTYPE);
		assert_int_equal(vhost_log_map(&log, fds[i], PAGE, 0),
				 -EMEDIUMTYPE);
		close(fds[i]);
	}
	close(pipes[1]);
	close(sockets[1]);
	refuse(0, PAGE, 0, 0, -1, -EBADF);
}

static void file_that_cannot_be_written_to_is_refused(void **state)
{
	char path[64];
	int fd = file_of(PAGE), readonly;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY);
	assert_true(readonly >= 0);
	refuse(0, PAGE, 0, 0, readonly, -EACCES);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(readonly);
	close(fd);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refuse(0, PAGE, 0, 0, fd, -EPERM);
	close(fd);
}

static void file_by_a_name_is_taken_by_what_its_file_system_is(void **state)
{
	char in_memory[] = "/dev/shm/test_vhost_mem.XXXXXX";
	char on_disk[] = "test_vhost_mem.XXXXXX";
	struct statfs fs;
	int fd = mkstemp(in_memory);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(in_memory), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	add(0, PAGE, 0, fd);
	close(fd);

	fd = mkstemp(on_disk); /* wherever we are */
	assert_true(fd >= 0);
	assert_int_equal(unlink(on_disk), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == 0x58465342 /* xfs */)
		add(GUEST, PAGE, 0, fd);
	else if (fs.f_type != TMPFS_MAGIC)
		refuse(GUEST, PAGE, USER, 0, fd, -EMEDIUMTYPE);
	close(fd);
}

static void huge_pages_are_mapped_whole_and_unmapped(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
	struct statfs fs;
	uint64_t huge, off;
	uint8_t *p;

	(void)state;
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		skip(); /* the kernel has none */
	huge = (uint64_t)fs.f_bsize;
	assert_true(huge > PAGE);
	assert_int_equal(ftruncate(fd, (off_t)(2 * huge)), 0);
	off = huge - 2 * PAGE;
	add(GUEST + off, 3 * PAGE, off, fd);
	p = at(GUEST + off, PAGE, PAGE);
	assert_int_equal((uintptr_t)p % huge, off);
	assert_true(mapped(p - off) && mapped(p - off + 2 * huge - PAGE));
	vhost_mem_fini(&mem);
	assert_false(mapped(p - off) || mapped(p - off + 2 * huge - PAGE));
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(region_is_the_files_bytes_at_its_offset),
		TEST(offset_needs_no_alignment_to_pages),
		TEST(what_crosses_two_regions_comes_in_two_pieces),
		TEST(as_many_regions_as_there_may_be_are_all_found),
		TEST(user_address_is_found_where_all_bytes_are),
		TEST(region_that_wraps_or_overlaps_is_refused),
		TEST(region_that_the_file_has_not_is_refused),
		TEST(addresses_of_another_alignment_are_refused),
		TEST(more_memory_than_a_guest_may_have_is_refused),
		TEST(guests_leave_half_of_the_address_space),
		TEST(what_is_removed_is_unmapped_and_nothing_else),
		TEST(regions_that_come_and_go_use_nothing_up),
		TEST(what_is_no_file_in_memory_or_on_a_disk_is_refused),
		TEST(file_that_cannot_be_written_to_is_refused),
		TEST(file_by_a_name_is_taken_by_what_its_file_system_is),
		TEST(huge_pages_are_mapped_whole_and_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
