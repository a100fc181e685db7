#include "switchd/proto.h"

#include "tests/unit/fds.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES_MAX 20000
#define FDS_SENT  32 /* more than PROTO_FDS_MAX */

static int ch[2];
static unsigned int fds_before;

static int setup(void **state)
{
	(void)state;
	fds_before = fds_count();
	return proto_pair(ch);
}

/* No test leaves a descriptor behind. */
static int teardown(void **state)
{
	(void)state;
	close(ch[0]);
	close(ch[1]);
	return fds_count() == fds_before ? 0 : -1;
}

/* Anything at all, as somebody would send it who doesn't use proto_send(). */
static void send_raw(const void *data, size_t len, unsigned int nfds)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fd[FDS_SENT];

	assert_true(null >= 0 && nfds <= FDS_SENT);
	for (unsigned int i = 0; i < nfds; i++)
		fd[i] = null;
	assert_int_equal(fds_send(ch[1], data, len, fd, nfds), len);
	close(null);
}

static struct proto_msg message(uint16_t type, uint32_t nfds)
{
	struct proto_msg m;

	memset(&m, 0, sizeof(m));
	m.head.magic = PROTO_MAGIC;
	m.head.version = PROTO_VERSION;
	m.head.type = type;
	m.head.nfds = nfds;
	return m;
}

static int receive(struct proto_msg *m)
{
	int fd[PROTO_FDS_MAX];
	int r = proto_receive(ch[0], m, fd, 0);

	if (r == 0)
		proto_close_fds(fd, m->head.nfds);
	return r;
}

static void message_and_its_descriptors_come_as_they_were_sent(void **state)
{
	(void)state;
	for (unsigned int n = 0; n <= PROTO_FDS_MAX; n++) {
		struct proto_msg m = message(PROTO_SAVE, 0), got;
		int sent[PROTO_FDS_MAX], fd[PROTO_FDS_MAX], pipes[2];

		assert_int_equal(pipe2(pipes, 0), 0);
		for (unsigned int i = 0; i < n; i++)
			sent[i] = pipes[i % 2];
		m.head.seq = 7 + n;
		m.head.handle = 0x12345678;
		m.head.arg = n;
		strcpy(m.text, "/tmp/x");
		assert_int_equal(proto_send(ch[1], &m, sent, n), 0);
		assert_int_equal(proto_receive(ch[0], &got, fd, 0), 0);
		assert_int_equal(got.head.nfds, n);
		assert_memory_equal(&got, &m, sizeof(m));
		for (unsigned int i = 0; i < n; i++) {
			struct stat a, b;

			assert_int_equal(fstat(fd[i], &a), 0);
			assert_int_equal(fstat(sent[i], &b), 0);
			assert_int_equal(a.st_ino, b.st_ino);
			assert_int_equal(fcntl(fd[i], F_GETFD), FD_CLOEXEC);
		}
		proto_close_fds(fd, got.head.nfds);
		proto_close_fds(pipes, 2);
	}
}

static void shorter_message_is_followed_by_zeros(void **state)
{
	struct proto_msg m = message(PROTO_SAVE, 0), got;

	(void)state;
	memset(m.text, 'a', sizeof(m.text));
	memset(&got, 0xff, sizeof(got));
	send_raw(&m, sizeof(m.head) + 3, 0);
	assert_int_equal(receive(&got), 0);
	assert_string_equal(got.text, "aaa");
	for (size_t i = sizeof(m.head) + 3; i < sizeof(got); i++)
		assert_int_equal(((char *)&got)[i], 0);
	send_raw(&m, sizeof(m.head) - 1, 0);
	assert_int_equal(receive(&got), -EPROTO);
}

static void longer_message_is_taken_if_it_asks_for_nothing_unknown(void **state)
{
	static char buf[BYTES_MAX];
	struct proto_msg m = message(PROTO_ID, 0), got;

	(void)state;
	strcpy(m.text, "name");
	memcpy(buf, &m, sizeof(m));
	send_raw(buf, sizeof(m) + 100, 0);
	assert_int_equal(receive(&got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	buf[sizeof(m) + 99] = 1;
	send_raw(buf, sizeof(m) + 100, 0);
	assert_int_equal(receive(&got), -EPROTONOSUPPORT);
	send_raw(buf, sizeof(m) + 99, 0);
	assert_int_equal(receive(&got), 0);
	/* Longer than what can be looked at: who knows what is in it. */
	memset(buf + sizeof(m), 0, sizeof(buf) - sizeof(m));
	send_raw(buf, sizeof(buf), 0);
	assert_int_equal(receive(&got), -EPROTO);
}

static void what_is_no_message_is_refused_and_the_next_one_taken(void **state)
{
	struct proto_msg bad = message(PROTO_FORGET, 0), got;

	(void)state;
	bad.head.magic++;
	send_raw(&bad, sizeof(bad), 0);
	bad = message(PROTO_FORGET, 0);
	bad.head.version++;
	send_raw(&bad, sizeof(bad), 2);
	send_raw(&bad, sizeof(bad), 0);
	bad = message(PROTO_FORGET, 0);
	send_raw(&bad, sizeof(bad), 0);
	assert_int_equal(receive(&got), -EPROTO);
	assert_int_equal(receive(&got), -EPROTO);
	assert_int_equal(receive(&got), -EPROTONOSUPPORT);
	assert_int_equal(receive(&got), 0);
	assert_int_equal(receive(&got), -ETIMEDOUT);
}

static void number_of_descriptors_that_lies_is_refused(void **state)
{
	static const uint32_t lies[] = { 1, 3, 9, UINT32_MAX };
	struct proto_msg m, got;

	(void)state;
	for (unsigned int i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		m = message(PROTO_FORGET, lies[i]);
		send_raw(&m, sizeof(m), 2);
		assert_int_equal(receive(&got), -EPROTO);
	}
	m = message(PROTO_FORGET, 0);
	send_raw(&m, sizeof(m), 1);
	assert_int_equal(receive(&got), -EPROTO);
}

static void more_descriptors_than_there_can_be_are_refused(void **state)
{
	struct proto_msg m, got;

	(void)state;
	for (unsigned int n = PROTO_FDS_MAX + 1; n <= FDS_SENT; n++) {
		m = message(PROTO_FORGET, n);
		send_raw(&m, sizeof(m), n);
		assert_int_equal(receive(&got), -EPROTO);
		m = message(PROTO_FORGET, PROTO_FDS_MAX);
		send_raw(&m, sizeof(m), n);
		assert_int_equal(receive(&got), -EPROTO);
	}
	m = message(PROTO_FORGET, PROTO_FDS_MAX);
	send_raw(&m, sizeof(m), PROTO_FDS_MAX);
	assert_int_equal(receive(&got), 0);
}

static void empty_datagram_is_an_end_or_nonsense(void **state)
{
	struct proto_msg got;

	(void)state;
	send_raw("", 0, 0);
	assert_int_equal(receive(&got), -EPIPE);
	send_raw("", 0, 3);
	assert_int_equal(receive(&got), -EPROTO);
}

static void end_of_the_other_one_is_told(void **state)
{
	struct proto_msg m = message(PROTO_FORGET, 0), got;
	int fd[PROTO_FDS_MAX];

	(void)state;
	send_raw(&m, sizeof(m), 0);
	shutdown(ch[1], SHUT_RDWR);
	assert_int_equal(receive(&got), 0);
	assert_int_equal(receive(&got), -EPIPE);
	assert_int_equal(proto_receive(ch[0], &got, fd, -1), -EPIPE);
	assert_int_equal(proto_send(ch[0], &m, NULL, 0), -EPIPE);
}

static void full_channel_is_no_reason_to_wait(void **state)
{
	struct proto_msg m = message(PROTO_FORGET, 0);
	int r = 0;

	(void)state;
	for (int i = 0; i < 100000 && r == 0; i++)
		r = proto_send(ch[0], &m, NULL, 0);
	assert_int_equal(r, -EAGAIN);
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void texts_that_dont_end_are_ended(void **state)
{
	static const uint16_t with_text[] = { PROTO_SAVE, PROTO_ID, PROTO_ACL,
					      PROTO_READY, PROTO_DONE };
	static const uint16_t with_error[] = { PROTO_FAILED, PROTO_RESUME };
	struct proto_msg m, got;

	(void)state;
	memset(&m, 'x', sizeof(m));
	for (unsigned int i = 0; i < sizeof(with_text) / sizeof(uint16_t);
	     i++) {
		m.head = message(with_text[i], 0).head;
		send_raw(&m, sizeof(m), 0);
		assert_int_equal(receive(&got), 0);
		assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
	}
	for (unsigned int i = 0; i < 3; i++) {
		m.head = message(i < 2 ? with_error[i] : PROTO_ACQUIRE, 0).head;
		m.head.result = i < 2 ? 0 : -1;
		send_raw(&m, sizeof(m), 0);
		assert_int_equal(receive(&got), 0);
		assert_true(ends(got.error.reason, sizeof(got.error.reason)));
		assert_true(ends(got.error.path, sizeof(got.error.path)));
		assert_true(ends(got.error.message, sizeof(got.error.message)));
	}
	m.head = message(PROTO_START, 0).head;
	send_raw(&m, sizeof(m), 0);
	assert_int_equal(receive(&got), 0);
	assert_true(ends(got.start.socket, sizeof(got.start.socket)));
	assert_true(
		ends(got.start.helper_socket, sizeof(got.start.helper_socket)));
}

/* ---- proto_request_sane ---- */

struct place {
	const char *type;
	size_t at, size;
};

#define PLACE(t, member)                                           \
	{                                                          \
		t, offsetof(struct port_request, member),          \
			sizeof(((struct port_request *)0)->member) \
	}

static const struct place texts[] = {
	PLACE("tap", type),
	PLACE("tap", name),
	PLACE("tap", tap.ifname),
	PLACE("tap", tap.owner),
	PLACE("tap", tap.group),
	PLACE("tap", tap.netns),
	PLACE("tap", tap.address),
	PLACE("netdev", netdev.ifname),
	PLACE("pcap", pcap.file),
	PLACE("pcap", pcap.filter),
	PLACE("vhost-user", vhost_user.path),
	PLACE("vhost-user", vhost_user.owner),
	PLACE("vhost-user", vhost_user.group),
	PLACE("udp", udp.local),
	PLACE("udp", udp.remote),
	PLACE("dgram", dgram.local),
	PLACE("dgram", dgram.remote),
	PLACE("dgram", dgram.owner),
	PLACE("dgram", dgram.group),
	PLACE("stream", stream.connect),
	PLACE("slirp", slirp.ipv4),
	PLACE("slirp", slirp.ipv6),
	PLACE("slirp", slirp.hostfwd),
	PLACE("slirp", slirp.hostname),
};

static const struct place flags[] = {
	PLACE("tap", enabled),		PLACE("tap", tap.persist),
	PLACE("tap", tap.handover),	PLACE("netdev", netdev.promisc),
	PLACE("netdev", netdev.force),	PLACE("netdev", netdev.fast),
	PLACE("pcap", pcap.classic),	PLACE("pcap", pcap.segment),
	PLACE("stream", given),		PLACE("vhost-user", vhost_user.client),
	PLACE("slirp", slirp.loopback), PLACE("slirp", slirp.restricted),
	PLACE("tap", tap.plain),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct proto_msg asking_for(const char *type)
{
	struct proto_msg m = message(PROTO_ACQUIRE, 0);

	strcpy(m.request.type, type);
	return m;
}

static void text_of_a_request_without_an_end_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct proto_msg m = asking_for(texts[i].type);
		char *text = (char *)&m.request + texts[i].at;

		assert_true(proto_request_sane(&m));
		if (texts[i].at != offsetof(struct port_request, type)) {
			memset(text, 'x', texts[i].size - 1);
			assert_true(proto_request_sane(&m));
		}
		memset(text, 'x', texts[i].size);
		assert_false(proto_request_sane(&m));
	}
}

static void flag_of_a_request_that_is_neither_0_nor_1_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(flags); i++) {
		struct proto_msg m = asking_for(flags[i].type);
		unsigned char *flag = (unsigned char *)&m.request + flags[i].at;

		*flag = 1;
		assert_true(proto_request_sane(&m));
		for (unsigned int value = 2; value < 256; value++) {
			*flag = (unsigned char)value;
			assert_false(proto_request_sane(&m));
		}
	}
}

static void types_that_the_monitor_has_no_part_in_are_refused(void **state)
{
	static const char *const types[] = { "",     "dummy", "TAP",
					     "tap ", "taps",  "%s%n" };
	struct proto_msg m;

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		m = asking_for(types[i]);
		assert_false(proto_request_sane(&m));
	}
}

static void names_of_devices_that_a_terminal_would_obey_are_refused(
	void **state)
{
	struct proto_msg m = asking_for("tap");

	(void)state;
	strcpy(m.request.tap.ifname, "tap%d");
	assert_true(proto_request_sane(&m));
	strcpy(m.request.tap.ifname, "e\033[31m");
	assert_false(proto_request_sane(&m));
	m = asking_for("netdev");
	strcpy(m.request.netdev.ifname, "a\nb");
	assert_false(proto_request_sane(&m));
}

static void mode_of_a_socket_has_permissions_only(void **state)
{
	struct proto_msg m = asking_for("dgram");

	(void)state;
	m.request.socket_mode = 0777;
	assert_true(proto_request_sane(&m));
	for (uint32_t bit = 01000; bit; bit <<= 1) {
		m.request.socket_mode = 0600 | bit;
		assert_false(proto_request_sane(&m));
	}
}

static void more_queues_than_there_can_be_are_refused(void **state)
{
	struct proto_msg m = asking_for("vhost-user");

	(void)state;
	m.request.vhost_user.queues = PORT_FDS_MAX;
	assert_true(proto_request_sane(&m));
	m.request.vhost_user.queues++;
	assert_false(proto_request_sane(&m));
	m = asking_for("tap");
	m.request.tap.queues = TAP_QUEUES_MAX;
	assert_true(proto_request_sane(&m));
	m.request.tap.queues++;
	assert_false(proto_request_sane(&m));
}

#define CHANNEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANNEL(message_and_its_descriptors_come_as_they_were_sent),
		CHANNEL(shorter_message_is_followed_by_zeros),
		CHANNEL(longer_message_is_taken_if_it_asks_for_nothing_unknown),
		CHANNEL(what_is_no_message_is_refused_and_the_next_one_taken),
		CHANNEL(number_of_descriptors_that_lies_is_refused),
		CHANNEL(more_descriptors_than_there_can_be_are_refused),
		CHANNEL(empty_datagram_is_an_end_or_nonsense),
		CHANNEL(end_of_the_other_one_is_told),
		CHANNEL(full_channel_is_no_reason_to_wait),
		CHANNEL(texts_that_dont_end_are_ended),
		cmocka_unit_test(text_of_a_request_without_an_end_is_refused),
		cmocka_unit_test(
			flag_of_a_request_that_is_neither_0_nor_1_is_refused),
		cmocka_unit_test(
			types_that_the_monitor_has_no_part_in_are_refused),
		cmocka_unit_test(
			names_of_devices_that_a_terminal_would_obey_are_refused),
		cmocka_unit_test(mode_of_a_socket_has_permissions_only),
		cmocka_unit_test(more_queues_than_there_can_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
