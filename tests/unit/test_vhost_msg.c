/* Messages on the wire: whole, in pieces, wrong, and with descriptors. */
#include "ports/vhost_msg.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fds.h"

struct wire {
	int us, them;
	struct vhost_inbox in;
	unsigned int fds; /* before anything was sent */
};

static int setup(void **state)
{
	static struct wire w;
	int pair[2];

	memset(&w, 0, sizeof(w));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	w.us = pair[0];
	w.them = pair[1];
	w.fds = fds_count();
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct wire *w = *state;
	bool leaked;

	vhost_inbox_clear(&w->in);
	leaked = fds_count() + (w->them < 0) != w->fds;
	close(w->us);
	if (w->them >= 0)
		close(w->them);
	return leaked ? -1 : 0;
}

static void send_bytes(struct wire *w, const void *data, size_t len,
		       unsigned int nfds)
{
	int fd[FDS_SEND_MAX], event = eventfd(0, EFD_CLOEXEC);

	assert_true(event >= 0 && nfds <= FDS_SEND_MAX);
	for (unsigned int i = 0; i < nfds; i++)
		fd[i] = event;
	assert_int_equal(fds_send(w->them, data, len, fd, nfds), len);
	close(event);
}

/* A request with a payload of `size` bytes that count up. */
static size_t make(uint8_t *buf, uint32_t request, uint32_t flags,
		   uint32_t size)
{
	struct vhost_msg_head head = { request, VHOST_MSG_VERSION | flags,
				       size };

	memcpy(buf, &head, sizeof(head));
	for (uint32_t i = 0; i < size; i++)
		buf[sizeof(head) + i] = (uint8_t)(i + 1);
	return sizeof(head) + size;
}

static void expect_payload(const struct wire *w, uint32_t size)
{
	const struct vhost_msg *m = &w->in.msg;

	assert_int_equal(m->head.size, size);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(m->bytes[i], (uint8_t)(i + 1));
	for (uint32_t i = size; i < VHOST_MSG_PAYLOAD_MAX; i++)
		assert_int_equal(m->bytes[i], 0);
}

static void message_may_be_cut_anywhere(void **state)
{
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_VRING_ADDR, 0, 40);
	struct wire *w = *state;

	for (size_t cut = 1; cut < len; cut++) {
		send_bytes(w, buf, cut, 0);
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 0);
		assert_false(vhost_inbox_empty(&w->in));
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 0);
		send_bytes(w, buf + cut, len - cut, 0);
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
		assert_int_equal(w->in.msg.head.request,
				 VHOST_REQUEST_SET_VRING_ADDR);
		expect_payload(w, 40);
		vhost_inbox_clear(&w->in);
		assert_true(vhost_inbox_empty(&w->in));
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 0);
	}
}

static void message_may_come_byte_by_byte(void **state)
{
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_VRING_ADDR, 0, 40);
	struct wire *w = *state;

	for (size_t i = 0; i < len; i++) {
		send_bytes(w, buf + i, 1, 0);
		assert_int_equal(vhost_inbox_receive(&w->in, w->us),
				 i + 1 == len);
	}
	expect_payload(w, 40);
}

static void next_message_stays_in_the_socket(void **state)
{
	struct wire *w = *state;
	uint8_t buf[128], rest[64];
	size_t first = make(buf, VHOST_REQUEST_SET_VRING_NUM, 0, 8);
	size_t second = make(buf + first, VHOST_REQUEST_GET_FEATURES, 0, 0);

	send_bytes(w, buf, first + second, 0);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
	assert_int_equal(recv(w->us, rest, sizeof(rest), MSG_PEEK), second);
	vhost_inbox_clear(&w->in);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
	assert_int_equal(w->in.msg.head.request, VHOST_REQUEST_GET_FEATURES);
	expect_payload(w, 0);
}

static void descriptors_come_with_any_part(void **state)
{
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_MEM_TABLE, 0, 40);
	struct wire *w = *state;

	for (size_t cut = 1; cut < len; cut++) {
		unsigned int n = 0;
		int fd;

		send_bytes(w, buf, cut, 3);
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 0);
		send_bytes(w, buf + cut, len - cut, 5);
		assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
		assert_int_equal(w->in.nfds, 8);
		while ((fd = vhost_inbox_take_fd(&w->in)) >= 0) {
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			close(fd);
			n++;
		}
		assert_int_equal(n, 8);
		vhost_inbox_clear(&w->in);
	}
}

static void descriptors_that_nobody_takes_are_closed(void **state)
{
	struct wire *w = *state;
	unsigned int before = fds_count();
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_VRING_KICK, 0, 8);
	int fd;

	send_bytes(w, buf, len, 4);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
	fd = vhost_inbox_take_fd(&w->in);
	assert_int_equal(fds_count(), before + 4);
	vhost_inbox_clear(&w->in);
	assert_int_equal(fds_count(), before + 1);
	close(fd);
}

static void more_descriptors_than_regions_are_nonsense(void **state)
{
	struct wire *w = *state;
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_MEM_TABLE, 0, 8);

	send_bytes(w, buf, len, 9);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), -EPROTO);
}

static void more_descriptors_in_two_parts_are_nonsense(void **state)
{
	struct wire *w = *state;
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_MEM_TABLE, 0, 8);

	send_bytes(w, buf, 12, 5);
	send_bytes(w, buf + 12, len - 12, 4);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), -EPROTO);
}

static void descriptors_without_room_here_are_told_apart(void **state)
{
	struct wire *w = *state;
	struct rlimit old, few;
	uint8_t buf[64];
	size_t len = make(buf, VHOST_REQUEST_SET_MEM_TABLE, 0, 8);

	send_bytes(w, buf, len, 6);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	/* "." and ".." of the count, and the folder's own: three too many. */
	few.rlim_cur = fds_count();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void expect_refused(struct wire *w, const struct vhost_msg_head *head)
{
	send_bytes(w, head, sizeof(*head), 0);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), -EPROTO);
	vhost_inbox_clear(&w->in);
}

static void heads_that_cant_be_are_nonsense(void **state)
{
	struct wire *w = *state;

	expect_refused(w, &(struct vhost_msg_head){ 1, 0, 0 });
	expect_refused(w, &(struct vhost_msg_head){ 1, 2, 0 });
	expect_refused(w, &(struct vhost_msg_head){ 1, 3, 0 });
	expect_refused(w, &(struct vhost_msg_head){
				  1, VHOST_MSG_VERSION | VHOST_MSG_REPLY, 0 });
	expect_refused(w,
		       &(struct vhost_msg_head){ 1, VHOST_MSG_VERSION,
						 VHOST_MSG_PAYLOAD_MAX + 1 });
	expect_refused(w, &(struct vhost_msg_head){ 1, VHOST_MSG_VERSION,
						    UINT32_MAX });
}

static void longest_payload_fits(void **state)
{
	static uint8_t
		buf[sizeof(struct vhost_msg_head) + VHOST_MSG_PAYLOAD_MAX];
	size_t len = make(buf, 77, 0, VHOST_MSG_PAYLOAD_MAX);
	struct wire *w = *state;

	send_bytes(w, buf, len, 0);
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), 1);
	expect_payload(w, VHOST_MSG_PAYLOAD_MAX);
}

static void end_is_an_end_at_any_byte(void **state)
{
	struct wire *w = *state;
	uint8_t buf[64];

	(void)make(buf, VHOST_REQUEST_SET_VRING_NUM, 0, 8);
	send_bytes(w, buf, 15, 1);
	close(w->them);
	w->them = -1;
	assert_int_equal(vhost_inbox_receive(&w->in, w->us), -EPIPE);
}

static void reply_says_what_it_answers(void **state)
{
	const uint64_t v = 0x1122334455667788ull;
	struct wire *w = *state;
	struct vhost_msg_head head;
	uint8_t buf[64];

	assert_int_equal(vhost_msg_reply(w->us, VHOST_REQUEST_GET_FEATURES, &v,
					 sizeof(v)),
			 0);
	assert_int_equal(recv(w->them, buf, sizeof(buf), MSG_DONTWAIT), 20);
	memcpy(&head, buf, sizeof(head));
	assert_int_equal(head.request, 1);
	assert_int_equal(head.flags, 5);
	assert_int_equal(head.size, 8);
	assert_memory_equal(buf + 12, &v, 8);
}

static void reply_to_who_doesnt_read_fails(void **state)
{
	struct wire *w = *state;
	uint8_t payload[512] = { 0 };
	int r = 0;

	for (unsigned int i = 0; i < 100000 && r == 0; i++)
		r = vhost_msg_reply(w->us, 1, payload, sizeof(payload));
	assert_int_equal(r, -EAGAIN);
	close(w->them);
	w->them = -1;
	assert_int_equal(vhost_msg_reply(w->us, 1, payload, sizeof(payload)),
			 -EPIPE);
}

static void requests_have_names(void **state)
{
	(void)state;
	assert_string_equal(vhost_msg_name(5), "SET_MEM_TABLE");
	assert_string_equal(vhost_msg_name(VHOST_REQUEST_MAX), "GET_STATUS");
	assert_null(vhost_msg_name(0));
	assert_null(vhost_msg_name(22));
	assert_null(vhost_msg_name(VHOST_REQUEST_MAX + 1));
	assert_null(vhost_msg_name(UINT32_MAX));
}

#define WIRE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WIRE_TEST(message_may_be_cut_anywhere),
		WIRE_TEST(message_may_come_byte_by_byte),
		WIRE_TEST(next_message_stays_in_the_socket),
		WIRE_TEST(descriptors_come_with_any_part),
		WIRE_TEST(descriptors_that_nobody_takes_are_closed),
		WIRE_TEST(more_descriptors_than_regions_are_nonsense),
		WIRE_TEST(more_descriptors_in_two_parts_are_nonsense),
		WIRE_TEST(descriptors_without_room_here_are_told_apart),
		WIRE_TEST(heads_that_cant_be_are_nonsense),
		WIRE_TEST(longest_payload_fits),
		WIRE_TEST(end_is_an_end_at_any_byte),
		WIRE_TEST(reply_says_what_it_answers),
		WIRE_TEST(reply_to_who_doesnt_read_fails),
		cmocka_unit_test(requests_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
