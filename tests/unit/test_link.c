/*
 * The link monitor where the kernel doesn't answer; what it makes of a real
 * kernel's events is tests/e2e/ports_kernel_link.c's. The kernel here is this
 * file: one event and a list of devices.
 */
#include "ports/link.h"

#include "ports/netlink.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#define DEVICES 3

static struct {
	uint32_t mtu[DEVICES]; /* of devices 1, 2, ..; 0: isn't there */
	bool overflow;	       /* the socket says ENOBUFS once */
	int event;	       /* an event about this device waits */
	int get_error;	       /* of netlink_link_get, once */
	int dump_error;	       /* of the next dump.. */
	int dump_until;	       /* ..before this device */
	unsigned int dumps;
} kernel;

static bool describe(int ifindex, struct netlink_link *link)
{
	memset(link, 0, sizeof(*link));
	link->ifindex = ifindex;
	link->mtu = kernel.mtu[ifindex - 1];
	snprintf(link->ifname, sizeof(link->ifname), "dev%d", ifindex);
	return link->mtu != 0;
}

/* ---- in place of ports/netlink.c and the socket ------------------------- */

struct netlink *netlink_open(void)
{
	return (struct netlink *)&kernel;
}

void netlink_close(struct netlink *nl)
{
	(void)nl;
}

int netlink_link_parse(const struct nlmsghdr *nlh, struct netlink_link *link)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	describe(ifi->ifi_index, link);
	return 0;
}

int netlink_link_get(struct netlink *nl, int ifindex, const char *ifname,
		     struct netlink_link *link)
{
	int error = kernel.get_error;

	(void)nl;
	(void)ifname;
	kernel.get_error = 0;
	if (error)
		return -error;
	return describe(ifindex, link) ? 0 : -ENODEV;
}

int netlink_link_each(struct netlink *nl,
		      void (*each)(const struct netlink_link *link, void *ctx),
		      void *ctx)
{
	struct netlink_link link;
	int error = kernel.dump_error;

	(void)nl;
	kernel.dumps++;
	kernel.dump_error = 0;
	for (int i = 1; i <= DEVICES; i++) {
		if (error && i == kernel.dump_until)
			return -error;
		if (describe(i, &link))
			each(&link, ctx);
	}
	return 0;
}

/* Before libmnl's own, as the program's come before a library's. */
ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi;

	(void)nl;
	(void)size;
	if (kernel.overflow) {
		kernel.overflow = false;
		errno = ENOBUFS;
		return -1;
	}
	if (!kernel.event) {
		errno = EAGAIN;
		return -1;
	}
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = kernel.event;
	kernel.event = 0;
	return (ssize_t)nlh->nlmsg_len;
}

/* ---- tests -------------------------------------------------------------- */

static char seen[256]; /* "2=1400 3=gone " */

static void take(void *ctx, const struct link_event *event)
{
	size_t used = strlen(seen);

	(void)ctx;
	if (event->kind == LINK_GONE)
		snprintf(seen + used, sizeof(seen) - used, "%d=gone ",
			 event->ifindex);
	else
		snprintf(seen + used, sizeof(seen) - used, "%d=%u ",
			 event->ifindex, event->mtu);
}

static int begin(void **state)
{
	struct link_monitor *m;

	memset(&kernel, 0, sizeof(kernel));
	*seen = '\0';
	m = link_monitor_new(take, NULL);
	if (!m)
		return -1;
	for (int i = 1; i <= DEVICES; i++) {
		kernel.mtu[i - 1] = 1500;
		if (link_monitor_watch(m, i, NULL))
			return -1;
	}
	*state = m;
	return 0;
}

static int end(void **state)
{
	link_monitor_free(*state);
	return 0;
}

static void failed_resync_is_asked_for_again(void **state)
{
	struct link_monitor *m = *state;

	kernel.overflow = true;
	kernel.dump_error = ENOMEM;
	kernel.dump_until = 1;
	kernel.mtu[2] = 0;
	assert_int_equal(link_monitor_dispatch(m), -ENOMEM);
	assert_true(link_monitor_pending(m));
	assert_string_equal(seen, "");
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_false(link_monitor_pending(m));
	assert_string_equal(seen, "3=gone ");
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_int_equal(kernel.dumps, 2);
}

static void dump_that_breaks_off_loses_no_change(void **state)
{
	struct link_monitor *m = *state;

	kernel.overflow = true;
	kernel.dump_error = ENOMEM;
	kernel.dump_until = 3;
	kernel.mtu[0] = 1400;
	assert_int_equal(link_monitor_dispatch(m), -ENOMEM);
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_string_equal(seen, "1=1400 ");
}

static void event_that_cant_be_looked_up_is_found_by_resync(void **state)
{
	struct link_monitor *m = *state;

	kernel.mtu[1] = 1300;
	kernel.event = 2;
	kernel.get_error = ENOBUFS;
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_string_equal(seen, "2=1300 ");
	assert_false(link_monitor_pending(m));
}

static void event_of_a_device_that_has_gone_needs_no_resync(void **state)
{
	struct link_monitor *m = *state;

	kernel.mtu[1] = 1300;
	kernel.event = 2;
	kernel.get_error = ENODEV;
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_string_equal(seen, "");
	assert_int_equal(kernel.dumps, 0);
}

static void change_is_reported_once_by_whichever_comes_first(void **state)
{
	struct link_monitor *m = *state;

	kernel.overflow = true;
	kernel.dump_error = ENOMEM;
	kernel.dump_until = 3;
	kernel.mtu[0] = 1400;
	assert_int_equal(link_monitor_dispatch(m), -ENOMEM);
	kernel.mtu[0] = 1300;
	kernel.event = 1;
	assert_int_equal(link_monitor_dispatch(m), 0);
	assert_string_equal(seen, "1=1300 ");
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINK_TEST(failed_resync_is_asked_for_again),
		LINK_TEST(dump_that_breaks_off_loses_no_change),
		LINK_TEST(event_that_cant_be_looked_up_is_found_by_resync),
		LINK_TEST(event_of_a_device_that_has_gone_needs_no_resync),
		LINK_TEST(change_is_reported_once_by_whichever_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
