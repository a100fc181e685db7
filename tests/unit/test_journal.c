/* What the switch remembers, and what it refuses to believe. */
#include "switchd/journal.h"

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/memfd.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER_SIZE 16
#define RECORD_SIZE 16

static void put(struct journal *j, const char *key, const char *text)
{
	json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	assert_true(!text || value);
	assert_int_equal(journal_put(j, key, value), 0);
	json_decref(value);
}

/* What the journal says, as one line. */
static void says(int fd, const char *expected)
{
	struct error err = { 0 };
	json_t *state;
	char *text;

	if (journal_read(fd, &state, &err) < 0)
		fail_msg("%s", err.message);
	text = json_dumps(state, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(state);
}

static void refused(int fd, const char *reason)
{
	json_t *state = (json_t *)&fd;
	struct error err = { 0 };

	assert_int_equal(journal_read(fd, &state, &err), -EINVAL);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, "");
	assert_true(strlen(err.message) > 10);
	assert_null(state);
}

static uint64_t size_of(int fd)
{
	uint64_t size;

	assert_int_equal(memfd_check(fd, UINT64_MAX, &size, NULL), 0);
	return size;
}

/* A copy of the first `len` bytes, to be spoilt. */
static int copy(int fd, size_t len)
{
	char *data = malloc(len + 1);
	int to = memfd_new("copy", 0);

	assert_true(data && to >= 0);
	assert_int_equal(memfd_read(fd, data, len, 0), len);
	assert_int_equal(pwrite(to, data, len, 0), len);
	free(data);
	return to;
}

/* ---- Sound ones ---- */

static void what_was_put_is_read(void **state)
{
	struct journal *j = journal_new();

	(void)state;
	assert_non_null(j);
	says(journal_fd(j), "{}");
	put(j, "port.vm1",
	    "{\"type\":\"tap\",\"vlan\":10,\"x\":[1,-2.5,null]}");
	put(j, "settings", "{}");
	put(j, "\xc3\xa9", "\"\xc3\xa9\\n\"");
	put(j, "n", "null");
	says(journal_fd(j),
	     "{\"port.vm1\":{\"type\":\"tap\",\"vlan\":10,\"x\":[1,-2.5,null]},"
	     "\"settings\":{},\"\xc3\xa9\":\"\xc3\xa9\\n\",\"n\":null}");
	assert_int_equal(lseek(journal_fd(j), 0, SEEK_CUR), 0);
	journal_free(j);
}

static void newest_value_counts_where_the_key_first_stood(void **state)
{
	struct journal *j = journal_new();

	(void)state;
	put(j, "a", "1");
	put(j, "b", "2");
	put(j, "a", "3");
	says(journal_fd(j), "{\"a\":3,\"b\":2}");
	journal_free(j);
}

static void key_that_is_gone_comes_back_at_the_end(void **state)
{
	struct journal *j = journal_new();
	uint64_t size;

	(void)state;
	put(j, "a", "1");
	put(j, "b", "2");
	put(j, "c", "3");
	put(j, "a", NULL);
	says(journal_fd(j), "{\"b\":2,\"c\":3}");
	put(j, "a", "4");
	says(journal_fd(j), "{\"b\":2,\"c\":3,\"a\":4}");
	size = size_of(journal_fd(j));
	put(j, "unheard", NULL); /* nothing to say about it */
	assert_int_equal(size_of(journal_fd(j)), size);
	journal_free(j);
}

static void memory_outlives_its_writer(void **state)
{
	struct journal *j = journal_new();
	int fd = dup(journal_fd(j));

	(void)state;
	put(j, "a", "1");
	assert_int_equal(fcntl(journal_fd(j), F_GETFD), FD_CLOEXEC);
	journal_free(j);
	journal_free(NULL);
	says(fd, "{\"a\":1}");
	close(fd);
}

static void ten_thousand_keys_take_little_time(void **state)
{
	json_t *value = json_pack("{s:s,s:i}", "type", "tap", "vlan", 10);
	struct journal *j = journal_new();
	uint64_t begin = clock_ns();
	json_t *all;
	char key[32];

	(void)state;
	for (int i = 0; i < 20000; i++) { /* each of them twice */
		snprintf(key, sizeof(key), "port.%d", i % 10000);
		assert_int_equal(journal_put(j, key, value), 0);
	}
	assert_int_equal(journal_read(journal_fd(j), &all, NULL), 0);
	assert_int_equal(json_object_size(all), 10000);
	assert_true(json_equal(json_object_get(all, "port.9999"), value));
	/* A table that is searched from its beginning would take minutes. */
	assert_true(clock_ns() - begin < 10 * CLOCK_NS_PER_S);
	json_decref(all);
	json_decref(value);
	journal_free(j);
}

/* ---- Growth ---- */

static void outdated_records_make_it_bloated_and_no_others_do(void **state)
{
	struct journal *j = journal_new();
	char key[32];
	int n = 0;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "port.%d", i);
		put(j, key, "{\"vlan\":1}");
	}
	assert_false(journal_bloated(j));
	for (; !journal_bloated(j) && n < 10000; n++)
		put(j, "port.0", "{\"vlan\":2}");
	/* As many as are in force, and a few so that it's worth it. */
	assert_in_range(n, 2000, 2200);
	journal_free(j);
}

static void deleting_makes_it_bloated(void **state)
{
	struct journal *j = journal_new();
	int n = 0;

	(void)state;
	for (; !journal_bloated(j) && n < 1000; n++) {
		put(j, "port", "{}");
		put(j, "port", NULL);
	}
	assert_in_range(n, 50, 200);
	says(journal_fd(j), "{}");
	journal_free(j);
}

static void what_is_too_long_is_refused_and_changes_nothing(void **state)
{
	char key[JOURNAL_KEY_MAX + 2], *text = malloc(JOURNAL_VALUE_MAX);
	struct journal *j = journal_new();
	json_t *longest, *more;
	uint64_t size;

	(void)state;
	memset(key, 'k', sizeof(key) - 1);
	key[JOURNAL_KEY_MAX + 1] = '\0';
	memset(text, 'v', JOURNAL_VALUE_MAX);
	longest = json_stringn(text, JOURNAL_VALUE_MAX - 2);
	more = json_stringn(text, JOURNAL_VALUE_MAX - 1);
	put(j, "a", "1");
	size = size_of(journal_fd(j));
	assert_int_equal(journal_put(j, key, json_true()), -EINVAL);
	assert_int_equal(journal_put(j, "", json_true()), -EINVAL);
	assert_int_equal(journal_put(j, "\xff", json_true()), -EINVAL);
	assert_int_equal(journal_put(j, "b", more), -E2BIG);
	assert_int_equal(size_of(journal_fd(j)), size);
	says(journal_fd(j), "{\"a\":1}");
	assert_int_equal(journal_put(j, key + 1, longest), 0);
	assert_int_equal(journal_put(j, key + 1, NULL), 0);
	says(journal_fd(j), "{\"a\":1}");
	json_decref(longest);
	json_decref(more);
	journal_free(j);
	free(text);
}

/* Empty objects take most memory for their text. */
static json_t *objects(int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_object());
	return list;
}

static void more_than_can_be_read_is_refused(void **state)
{
	struct journal *j = journal_new();
	json_t *list = objects(100000);
	char key[32];
	json_t *all;
	int r = 0, n = 0;

	(void)state;
	for (; r == 0 && n < 100; n++) {
		snprintf(key, sizeof(key), "%d", n);
		r = journal_put(j, key, list);
	}
	assert_int_equal(r, -EFBIG);
	assert_in_range(n, 4, 50);
	assert_int_equal(journal_read(journal_fd(j), &all, NULL), 0);
	assert_int_equal(json_object_size(all), n - 1);
	json_decref(all);
	assert_int_equal(journal_put(j, "0", NULL), 0);
	assert_int_equal(journal_put(j, key, list), 0);
	json_decref(list);
	journal_free(j);
}

static void journal_that_is_full_says_so_and_can_be_read(void **state)
{
	char *text = malloc(JOURNAL_VALUE_MAX);
	struct journal *j = journal_new();
	json_t *value;
	int r = 0;

	(void)state;
	memset(text, 'v', JOURNAL_VALUE_MAX);
	value = json_stringn(text, JOURNAL_VALUE_MAX - 2);
	for (int i = 0; r == 0 && i < 100; i++)
		r = journal_put(j, "a", value);
	assert_int_equal(r, -EFBIG);
	assert_true(journal_bloated(j));
	assert_true(size_of(journal_fd(j)) <= JOURNAL_SIZE_MAX);
	put(j, "b", "1"); /* for that there's room */
	put(j, "a", "2");
	says(journal_fd(j), "{\"a\":2,\"b\":1}");
	json_decref(value);
	journal_free(j);
	free(text);
}

/* ---- Torn, spoilt and made up ---- */

static struct journal *small(void)
{
	struct journal *j = journal_new();

	assert_non_null(j);
	put(j, "port.a", "{\"vlan\":10}");
	put(j, "port.b", "[1]");
	put(j, "port.a", NULL);
	return j;
}

static void torn_record_is_ignored_wherever_it_ends(void **state)
{
	struct journal *j = small();
	uint64_t before = size_of(journal_fd(j));

	(void)state;
	put(j, "port.b", "{\"vlan\":20}");
	for (uint64_t n = before; n < size_of(journal_fd(j)); n++) {
		int fd = copy(journal_fd(j), n);

		says(fd, "{\"port.b\":[1]}");
		close(fd);
	}
	says(journal_fd(j), "{\"port.b\":{\"vlan\":20}}");
	journal_free(j);
}

/* Long values in a row, until it is full or killed. */
static void write_on(struct journal *j)
{
	char *text = malloc(JOURNAL_VALUE_MAX);
	json_t *value;

	memset(text, 'v', JOURNAL_VALUE_MAX);
	value = json_stringn(text, JOURNAL_VALUE_MAX - 2);
	while (journal_put(j, "a", value) == 0)
		;
	for (;;)
		pause();
}

static void writer_killed_at_any_time_leaves_a_sound_journal(void **state)
{
	unsigned int torn = 0;

	(void)state;
	for (unsigned int i = 0; i < 30; i++) {
		uint64_t until = clock_ns() + 10 * CLOCK_NS_PER_S;
		struct journal *j = journal_new();
		uint64_t size;
		json_t *all;
		pid_t pid;

		put(j, "before", "1");
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			write_on(j);
		/* Seen in the middle of a record, mostly: that's the moment. */
		while (size_of(journal_fd(j)) < (i + 1) * 300007ull &&
		       clock_ns() < until)
			sched_yield();
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		size = size_of(journal_fd(j));
		assert_true(size >= (i + 1) * 300007ull);
		assert_int_equal(journal_read(journal_fd(j), &all, NULL), 0);
		assert_non_null(json_object_get(all, "before"));
		torn += (size - HEADER_SIZE - RECORD_SIZE - 7) %
				(RECORD_SIZE + 1 + JOURNAL_VALUE_MAX) !=
			0;
		json_decref(all);
		journal_free(j);
	}
	print_message("%u of 30 records were cut short\n", torn);
}

static void torn_header_is_refused(void **state)
{
	struct journal *j = small();

	(void)state;
	for (size_t n = 0; n < HEADER_SIZE; n++) {
		int fd = copy(journal_fd(j), n);

		refused(fd, "bad-state");
		close(fd);
	}
	journal_free(j);
}

static void every_flipped_bit_and_changed_byte_is_found(void **state)
{
	struct journal *j = small();
	uint64_t size = size_of(journal_fd(j));
	int fd = copy(journal_fd(j), size);

	(void)state;
	for (uint64_t at = 0; at < size; at++) {
		uint8_t was, is;

		assert_int_equal(pread(fd, &was, 1, (off_t)at), 1);
		for (unsigned int x = 1; x < 256; x++) {
			is = was ^ (uint8_t)x;
			assert_int_equal(pwrite(fd, &is, 1, (off_t)at), 1);
			refused(fd, "bad-state");
		}
		assert_int_equal(pwrite(fd, &was, 1, (off_t)at), 1);
	}
	says(fd, "{\"port.b\":[1]}");
	close(fd);
	journal_free(j);
}

/* Made by hand, with sound checksums. */
struct forgery {
	int fd;
	uint64_t end;
	uint32_t crc;
};

static void forge(struct forgery *f, uint32_t version)
{
	uint8_t h[HEADER_SIZE] = "swjournl";

	memcpy(h + 8, &version, sizeof(version));
	f->crc = crc32c(0, h, 12);
	memcpy(h + 12, &f->crc, 4);
	f->fd = memfd_new("forged", 0);
	f->end = sizeof(h);
	assert_true(f->fd >= 0);
	assert_int_equal(pwrite(f->fd, h, sizeof(h), 0), sizeof(h));
}

static void forge_record(struct forgery *f, uint32_t key_len,
			 uint32_t value_len, const char *body, size_t len)
{
	uint32_t h[4] = { key_len, value_len, crc32c(0, body, len) };

	f->crc = h[3] = crc32c(f->crc, h, 12);
	assert_int_equal(pwrite(f->fd, h, sizeof(h), (off_t)f->end), 16);
	assert_int_equal(pwrite(f->fd, body, len, (off_t)f->end + 16), len);
	f->end += sizeof(h) + len;
}

static void forged(uint32_t key_len, uint32_t value_len, const char *body,
		   size_t len, const char *reason)
{
	struct forgery f;

	forge(&f, JOURNAL_VERSION);
	forge_record(&f, key_len, value_len, body, len);
	if (reason)
		refused(f.fd, reason);
	else
		says(f.fd, "{\"k\":{}}");
	close(f.fd);
}

static void journal_of_another_version_is_refused_as_that(void **state)
{
	struct forgery f;

	(void)state;
	forge(&f, JOURNAL_VERSION + 1);
	refused(f.fd, "state-version");
	close(f.fd);
	forge(&f, 0);
	refused(f.fd, "state-version");
	close(f.fd);
}

static void impossible_lengths_keys_and_texts_are_refused(void **state)
{
	char big[300];

	(void)state;
	memset(big, 'k', sizeof(big));
	forged(1, 2, "k{}", 3, NULL);
	forged(0, 2, "{}", 2, "bad-state");
	forged(256, 2, big, 258, "bad-state");
	forged(UINT32_MAX, 1, "k{}", 3, "bad-state");
	forged(1, UINT32_MAX, "k{}", 3, "bad-state");
	forged(1, JOURNAL_VALUE_MAX + 1, "k{}", 3, "bad-state");
	forged(UINT32_MAX, UINT32_MAX, "k{}", 3, "bad-state");
	forged(2, 2, "k\0{}", 4, "bad-state");
	forged(1, 2, "\xff{}", 3, "bad-state");
	forged(1, 2, "k{{", 3, "bad-state");
	forged(1, 3, "k{}\0", 4, "bad-state");
	forged(1, 3, "k\"\xff\"", 4, "bad-state");
	forged(1, 13, "k{\"a\":1,\"a\":2}", 14, "bad-state");
}

static void record_that_is_missing_or_doubled_is_found(void **state)
{
	struct forgery f;
	uint32_t crc;

	(void)state;
	forge(&f, JOURNAL_VERSION);
	crc = f.crc;
	forge_record(&f, 1, 2, "k{}", 3);
	f.crc = crc; /* the same once more */
	forge_record(&f, 1, 2, "k{}", 3);
	refused(f.fd, "bad-state");
	close(f.fd);
}

static void journal_that_would_take_too_much_memory_is_refused(void **state)
{
	static char body[1 + JOURNAL_VALUE_MAX];
	struct forgery f;

	(void)state;
	memset(body, '[', sizeof(body));
	body[0] = 'a';
	forge(&f, JOURNAL_VERSION); /* nested too deep */
	forge_record(&f, 1, JOURNAL_VALUE_MAX, body, sizeof(body));
	refused(f.fd, "bad-state");
	close(f.fd);

	/* A great many of the smallest values. */
	for (size_t i = 1; i < sizeof(body) - 3; i += 3)
		memcpy(body + i, "{},", 3);
	body[1] = '[';
	body[2] = '0';
	memcpy(body + sizeof(body) - 3, "0 ]", 3);
	forge(&f, JOURNAL_VERSION);
	for (; f.end < JOURNAL_SIZE_MAX / 16; body[0]++)
		forge_record(&f, 1, JOURNAL_VALUE_MAX, body, sizeof(body));
	refused(f.fd, "bad-state");
	close(f.fd);
}

static void too_many_keys_are_refused(void **state)
{
	struct forgery f;
	char body[11];

	(void)state;
	forge(&f, JOURNAL_VERSION);
	for (unsigned int i = 0; i < 1100000; i++) {
		snprintf(body, sizeof(body), "%09u1", i);
		forge_record(&f, 9, 1, body, 10);
	}
	refused(f.fd, "bad-state");
	close(f.fd);
}

static void what_is_no_journal_is_refused(void **state)
{
	int fd = memfd_new("long", JOURNAL_SIZE_MAX + 1);
	int zero = memfd_new("zeros", 4096);
	int null = open("/dev/null", O_RDWR), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	refused(-1, "bad-state");
	refused(fd, "bad-state");
	refused(zero, "bad-state");
	refused(null, "bad-state");
	refused(pipes[0], "bad-state"); /* and doesn't wait */
	close(fd);
	close(zero);
	close(null);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_is_read),
		cmocka_unit_test(newest_value_counts_where_the_key_first_stood),
		cmocka_unit_test(key_that_is_gone_comes_back_at_the_end),
		cmocka_unit_test(memory_outlives_its_writer),
		cmocka_unit_test(ten_thousand_keys_take_little_time),
		cmocka_unit_test(
			outdated_records_make_it_bloated_and_no_others_do),
		cmocka_unit_test(deleting_makes_it_bloated),
		cmocka_unit_test(
			what_is_too_long_is_refused_and_changes_nothing),
		cmocka_unit_test(more_than_can_be_read_is_refused),
		cmocka_unit_test(journal_that_is_full_says_so_and_can_be_read),
		cmocka_unit_test(torn_record_is_ignored_wherever_it_ends),
		cmocka_unit_test(
			writer_killed_at_any_time_leaves_a_sound_journal),
		cmocka_unit_test(torn_header_is_refused),
		cmocka_unit_test(every_flipped_bit_and_changed_byte_is_found),
		cmocka_unit_test(journal_of_another_version_is_refused_as_that),
		cmocka_unit_test(impossible_lengths_keys_and_texts_are_refused),
		cmocka_unit_test(record_that_is_missing_or_doubled_is_found),
		cmocka_unit_test(
			journal_that_would_take_too_much_memory_is_refused),
		cmocka_unit_test(too_many_keys_are_refused),
		cmocka_unit_test(what_is_no_journal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
