/*
 * Names in a filter, and a name server that takes its time: libpcap finds the
 * getaddrinfo() that is here, which comes back when the test lets it.
 */
#include "ports/pcap_filter.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_NS (20 * CLOCK_NS_PER_S) /* only a failing test waits */

static sem_t answers;
static atomic_uint asked;

int getaddrinfo(const char *name, const char *service,
		const struct addrinfo *req, struct addrinfo **pai)
{
	(void)name;
	(void)service;
	(void)req;
	(void)pai;
	atomic_fetch_add(&asked, 1);
	while (sem_wait(&answers) < 0)
		;
	return EAI_NONAME;
}

/* How many threads compile a filter? Sanitizers have others. */
static unsigned int compiling(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned int n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[320], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 e->d_name);
		f = fopen(path, "r");
		if (f && fgets(name, sizeof(name), f))
			n += !strcmp(name, "pcap-filter\n");
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}

static void name_that_does_not_resolve_in_time_is_refused(void **state)
{
	uint64_t end = clock_ns() + DEADLINE_NS;
	struct bpf_program program;
	struct error err;

	(void)state;
	assert_int_equal(
		pcap_filter_compile("host slow.example", &program, &err),
		-ETIMEDOUT);
	assert_true(clock_ns() < end);
	assert_string_equal(err.reason, "bad-filter");
	assert_string_equal(err.path, "filter");
	assert_non_null(strstr(err.message, "write addresses"));
	assert_int_equal(atomic_load(&asked), 1);
	assert_int_equal(compiling(), 1);
	/* While that one still waits, another goes through. */
	assert_int_equal(pcap_filter_compile("host 10.0.0.1", &program, &err),
			 0);
	assert_true(program.bf_len > 0);
	pcap_freecode(&program);
	/* It comes back, finds nobody, and goes; the leak checker sees how. */
	while (compiling() && clock_ns() < end) {
		sem_post(&answers);
		poll(NULL, 0, 1);
	}
	assert_int_equal(compiling(), 0);
}

static void name_that_nobody_has_is_said_in_libpcaps_words(void **state)
{
	struct bpf_program program;
	struct error err;

	(void)state;
	while (sem_trywait(&answers) == 0)
		;
	/* Libpcap may ask more than once. */
	for (int i = 0; i < 8; i++)
		sem_post(&answers);
	assert_int_equal(
		pcap_filter_compile("host nobody.example", &program, &err),
		-EINVAL);
	assert_string_equal(err.reason, "bad-filter");
	assert_non_null(strstr(err.message, "nobody.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_that_does_not_resolve_in_time_is_refused),
		cmocka_unit_test(
			name_that_nobody_has_is_said_in_libpcaps_words),
	};

	sem_init(&answers, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
