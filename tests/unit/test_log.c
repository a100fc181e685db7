#include "base/log.h"

#include "base/clock.h"

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
#include <unistd.h>

/* stderr goes through a file while a test looks at what is written. */
static int captured = -1;
static int real_stderr = -1;

static int capture_begin(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	if (!f)
		return -1;
	captured = dup(fileno(f));
	fclose(f);
	real_stderr = dup(STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	log_init();
	if (captured < 0 || real_stderr < 0 || log_set_level("notice") < 0)
		return -1;
	return dup2(captured, STDERR_FILENO) < 0;
}

static int capture_end(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_init();
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(captured);
	return log_set_level("notice");
}

/* What has been written since the test began. */
static const char *capture_text(void)
{
	static char text[32 * 1024];
	ssize_t n = pread(captured, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static unsigned int count_lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void line_begins_with_its_module(void **state)
{
	(void)state;
	log_notice("port", "vm%d attached", 1);
	assert_string_equal(capture_text(), "port: vm1 attached\n");
}

static void line_under_journal_begins_with_its_level(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init();
	log_warning("port", "link lost");
	log_err("fdb", "full");
	assert_string_equal(capture_text(),
			    "<4>port: link lost\n<3>fdb: full\n");
}

/* Another thread may change it at any time. */
static void environment_is_read_once(void **state)
{
	(void)state;
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_warning("port", "link lost");
	log_init();
	unsetenv("JOURNAL_STREAM");
	log_warning("port", "link lost");
	assert_string_equal(capture_text(),
			    "port: link lost\n<4>port: link lost\n");
}

static void control_bytes_are_escaped(void **state)
{
	(void)state;
	log_notice("port", "vm%s attached", "1\n<3>fdb: \x1b[2J\t\r\x7f");
	assert_string_equal(capture_text(),
			    "port: vm1\\x0a<3>fdb: \\x1b[2J\\x09\\x0d\\x7f "
			    "attached\n");
}

static void text_beyond_ascii_is_left_alone(void **state)
{
	(void)state;
	log_notice("port", "%s", "Z\xc3\xbcrich \\ ~");
	assert_string_equal(capture_text(), "port: Z\xc3\xbcrich \\ ~\n");
}

static void escapes_are_cut_whole(void **state)
{
	char big[4096];
	const char *text;
	size_t len;

	(void)state;
	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_notice("port", "%s", big);
	text = capture_text();
	len = strlen(text);
	assert_int_equal(count_lines(text), 1);
	assert_true(len > 1000 && len < 1100);
	assert_string_equal(text + len - 5, "\\x0a\n");
}

static void notice_is_the_default_level(void **state)
{
	(void)state;
	log_info("port", "quiet");
	log_debug("port", "quiet");
	log_notice("port", "loud");
	assert_string_equal(capture_text(), "port: loud\n");
}

static void level_of_one_module_leaves_others_alone(void **state)
{
	(void)state;
	assert_int_equal(log_set_level("err,fdb=debug"), 0);
	assert_true(log_enabled("fdb", LOG_LEVEL_DEBUG));
	assert_true(log_enabled("port", LOG_LEVEL_ERR));
	assert_false(log_enabled("port", LOG_LEVEL_WARNING));
	/* A module's name is all of it: no prefix will do. */
	assert_false(log_enabled("fd", LOG_LEVEL_WARNING));
	assert_false(log_enabled("fdb2", LOG_LEVEL_WARNING));
	assert_int_equal(log_set_level("fdb=err"), 0);
	assert_false(log_enabled("fdb", LOG_LEVEL_WARNING));
}

static void bad_level_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"loud", "debug,fdb=loud", "debug,=err",
		"fdb=", "debug,x=",	  "debug,a-name-much-too-long=err"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(log_set_level(bad[i]), -EINVAL);
		assert_false(log_enabled("port", LOG_LEVEL_INFO));
		assert_true(log_enabled("port", LOG_LEVEL_NOTICE));
	}
}

/* All lines of a burst must fall into one interval of the limiter. */
static void wait_for_fresh_interval(void)
{
	const uint64_t interval = LOG_INTERVAL * CLOCK_NS_PER_S;
	uint64_t left = interval - clock_ns() % interval;

	if (left < CLOCK_NS_PER_S) {
		struct timespec ts = { .tv_nsec = (long)left };

		nanosleep(&ts, NULL);
	}
}

static void burst_lets_ten_lines_of_a_site_through(void **state)
{
	(void)state;
	wait_for_fresh_interval();
	for (int i = 0; i < 100; i++)
		log_notice("port", "flap %d", i);
	assert_int_equal(count_lines(capture_text()), LOG_BURST);
	assert_non_null(strstr(capture_text(), "port: flap 9\n"));
	assert_null(strstr(capture_text(), "flap 10"));
}

static void burst_of_one_site_leaves_others_alone(void **state)
{
	(void)state;
	wait_for_fresh_interval();
	for (int i = 0; i < 2 * LOG_BURST; i++)
		log_notice("port", "flap");
	log_notice("port", "other");
	assert_non_null(strstr(capture_text(), "port: other\n"));
}

static void next_interval_says_how_many_were_held_back(void **state)
{
	struct log_site site = { 0 };

	(void)state;
	/* As it is after 17 lines in an interval of long ago. */
	atomic_store(&site.window, 1);
	atomic_store(&site.count, LOG_BURST + 7);
	log_write(&site, "port", LOG_LEVEL_NOTICE, "flap");
	assert_string_equal(capture_text(), "port: flap (7 alike held back)\n");
}

static void long_line_is_cut_and_ends_with_newline(void **state)
{
	char big[4096];
	const char *text;

	(void)state;
	memset(big, 'm', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_notice("port", "%s", big);
	text = capture_text();
	assert_int_equal(count_lines(text), 1);
	assert_true(strlen(text) < 1100);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

#define LOG_TEST(f) \
	cmocka_unit_test_setup_teardown(f, capture_begin, capture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(line_begins_with_its_module),
		LOG_TEST(line_under_journal_begins_with_its_level),
		LOG_TEST(environment_is_read_once),
		LOG_TEST(control_bytes_are_escaped),
		LOG_TEST(text_beyond_ascii_is_left_alone),
		LOG_TEST(escapes_are_cut_whole),
		LOG_TEST(notice_is_the_default_level),
		LOG_TEST(level_of_one_module_leaves_others_alone),
		LOG_TEST(bad_level_changes_nothing),
		LOG_TEST(burst_lets_ten_lines_of_a_site_through),
		LOG_TEST(burst_of_one_site_leaves_others_alone),
		LOG_TEST(next_interval_says_how_many_were_held_back),
		LOG_TEST(long_line_is_cut_and_ends_with_newline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
