#include "base/memfd.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void memory_of_fixed_size_is_empty_and_stays_so_long(void **state)
{
	int fd = memfd_new("test", 1 << 20);
	struct stat st;
	char c = 1;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(st.st_blocks, 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 2 << 20), -1);
	assert_int_equal(pwrite(fd, &c, 1, 1 << 20), -1);
	assert_int_equal(pwrite(fd, &c, 1, (1 << 20) - 1), 1);
	close(fd);
}

static void memory_without_a_size_grows(void **state)
{
	int fd = memfd_new("test", 0);
	uint64_t size = 7;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(memfd_check(fd, 100, &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(pwrite(fd, "abc", 3, 0), 3);
	assert_int_equal(memfd_check(fd, 3, &size, NULL), 0);
	assert_int_equal(size, 3);
	close(fd);
}

static void read_ends_where_the_file_does(void **state)
{
	int fd = memfd_new("test", 0);
	char buf[8] = "";

	(void)state;
	assert_int_equal(pwrite(fd, "abcdef", 6, 0), 6);
	assert_int_equal(memfd_read(fd, buf, 3, 1), 3);
	assert_string_equal(buf, "bcd");
	assert_int_equal(memfd_read(fd, buf, 8, 2), 4);
	assert_int_equal(memfd_read(fd, buf, 8, 100), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	assert_int_equal(memfd_read(fd, buf, 8, 0), -EBADF);
}

static void refused(int fd, uint64_t max)
{
	struct error err = { 0 };
	uint64_t size;

	assert_int_equal(memfd_check(fd, max, &size, &err), -EINVAL);
	assert_string_equal(err.reason, "bad-state");
	assert_true(strlen(err.message) > 10);
}

static void what_is_no_memory_or_too_long_is_refused(void **state)
{
	int fd = memfd_new("test", 4096), null = open("/dev/null", O_RDWR);
	int pipes[2], disk = open("/proc/self/exe", O_RDONLY);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	refused(-1, 4096);
	refused(null, 4096);
	refused(pipes[0], 4096);
	refused(disk, UINT64_MAX);
	refused(fd, 4095);
	close(fd);
	close(null);
	close(disk);
	close(pipes[0]);
	close(pipes[1]);
}

static void init_word(void *memory)
{
	*(uint32_t *)memory = 0x600d600d;
}

static void new_memory_has_what_is_written_into_it_first(void **state)
{
	struct error err = { 0 };
	uint32_t word[2];
	int fd = memfd_new_with("test", 4096, init_word, &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(memfd_read(fd, word, sizeof(word), 0), sizeof(word));
	assert_int_equal(word[0], 0x600d600d);
	assert_int_equal(word[1], 0);
	close(fd);
	fd = memfd_new_with("test", SIZE_MAX / 2 + 1, init_word, &err);
	assert_true(fd < 0);
	assert_int_equal(fd, -err.err);
	assert_string_equal(err.reason, "no-memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_memory_has_what_is_written_into_it_first),
		cmocka_unit_test(
			memory_of_fixed_size_is_empty_and_stays_so_long),
		cmocka_unit_test(memory_without_a_size_grows),
		cmocka_unit_test(read_ends_where_the_file_does),
		cmocka_unit_test(what_is_no_memory_or_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
