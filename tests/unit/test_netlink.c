/* What of netlink.c needs no privilege. */
#include "ports/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void addresses_are_read(void **state)
{
	static const uint8_t v4[] = { 10, 0, 200, 1 };
	static const uint8_t v6[16] = { 0xfd, 0, [15] = 1 };
	struct netlink_addr addr;

	(void)state;
	assert_int_equal(netlink_addr_parse("10.0.200.1/24", &addr), 0);
	assert_int_equal(addr.family, AF_INET);
	assert_int_equal(addr.prefix, 24);
	assert_memory_equal(addr.bytes, v4, sizeof(v4));
	assert_int_equal(netlink_addr_parse("fd00::1/0", &addr), 0);
	assert_int_equal(addr.family, AF_INET6);
	assert_int_equal(addr.prefix, 0);
	assert_memory_equal(addr.bytes, v6, sizeof(v6));
}

static void without_a_prefix_it_is_one_host(void **state)
{
	struct netlink_addr addr;

	(void)state;
	assert_int_equal(netlink_addr_parse("10.0.0.1", &addr), 0);
	assert_int_equal(addr.prefix, 32);
	assert_int_equal(netlink_addr_parse("fd00::1", &addr), 0);
	assert_int_equal(addr.prefix, 128);
}

static void anything_else_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "/24",
					     "10.0.0.1/",
					     "10.0.0.1/33",
					     "fd00::1/129",
					     "10.0.0.1/+4",
					     "10.0.0.1/ 4",
					     "10.0.0.1/24x",
					     "10.0.0.1/99999999999999999999",
					     "10.0.0",
					     "10.0.0.256/8",
					     "host/24",
					     "fd00::1::/64" };
	struct netlink_addr addr;
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(netlink_addr_parse(texts[i], &addr) < 0);
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(netlink_addr_parse(longest, &addr) < 0);
}

static void what_is_no_network_namespace_is_not_opened(void **state)
{
	static const char *const others[] = { "/proc/self/ns/uts", "/dev/null",
					      "/proc/self/comm", "/" };
	char dir[] = "/tmp/test_netlink.XXXXXX", path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(netlink_netns_open(path), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(20); /* to open it would block */
	assert_int_equal(netlink_netns_open(path), -EINVAL);
	alarm(0);
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(netlink_netns_open(path), -EINVAL);
	unlink(path);
	rmdir(dir);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(netlink_netns_open(others[i]), -EINVAL);
	fd = netlink_netns_open("/proc/self/ns/net");
	assert_true(fd >= 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(without_a_prefix_it_is_one_host),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(what_is_no_network_namespace_is_not_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
