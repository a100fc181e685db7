/*
 * Frames as datagrams: bursts, lengths, errors, ends. The other end is a plain
 * socket of the test's.
 */
#include "ports/datagrams.h"

#include "base/fds.h"
#include "tests/unit/datagrams_rig.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU  1500
#define FULL 1514

struct rig {
	struct port *port;
	struct port_grant grant;
	int other;
	struct frame_arena arena;
	struct frame frame[FRAME_BATCH_MAX];
	uint8_t *bytes; /* to send */
	uint32_t vnet_len;
	unsigned int fds;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fds = fds_count();
	r->other = -1;
	r->arena.size = DATAGRAMS_ARENA;
	r->arena.base = malloc(DATAGRAMS_ARENA);
	r->bytes = malloc(2 * FRAME_SLOT);
	assert_non_null(r->arena.base);
	assert_non_null(r->bytes);
	for (unsigned int i = 0; i < 2 * FRAME_SLOT; i++)
		r->bytes[i] = (uint8_t)(i * 7 + i / 256);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	int bad = datagrams_end(r->port, &r->grant, r->other, r->fds);

	free(r->arena.base);
	free(r->bytes);
	free(r);
	return bad;
}

/* The port has `fd`, and the rig the other end. */
static struct datagrams *open_port(struct rig *r, int fd, int other)
{
	static const struct port_request rq = { .name = "p" };
	struct error err;

	r->other = other;
	r->grant = (struct port_grant){
		.nfds = 1,
		.fd = { fd },
		.mtu = MTU,
		.tx_offloads = PORT_TX_CSUM,
		.vnet_len = r->vnet_len,
	};
	r->port = datagrams_open(&ops, &rq, &r->grant, &err);
	assert_non_null(r->port);
	return (struct datagrams *)r->port;
}

static struct datagrams *pair(struct rig *r, int type)
{
	const int room = 1 << 20;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &room,
				 sizeof(room));
	return open_port(r, fd[0], fd[1]);
}

/* Two UDP sockets that are connected to each other. */
static struct datagrams *udp(struct rig *r)
{
	int a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int b = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	datagrams_connect(a, b);
	return open_port(r, a, b);
}

static unsigned int receive(struct rig *r, unsigned int max)
{
	r->arena.used = 0;
	return datagrams_rx(r->port, 0, r->frame, max, &r->arena);
}

/* The other end sends so many bytes. */
static void says(struct rig *r, uint32_t len)
{
	assert_int_equal(send(r->other, r->bytes, len, MSG_DONTWAIT), len);
}

static void frame_is(const struct rig *r, const struct frame *f, uint32_t len)
{
	uint8_t *got = malloc(len + 1);

	assert_non_null(got);
	assert_int_equal(f->len, len);
	assert_true(frame_read(f, 0, got, len));
	assert_false(frame_read(f, 0, got, len + 1));
	assert_memory_equal(got, r->bytes, len);
	assert_false(frame_has_offload(f));
	free(got);
}

/* The other end gets one of that length, from there on in the bytes. */
static void hears(struct rig *r, const uint8_t *from, uint32_t len)
{
	static uint8_t got[2 * FRAME_SLOT];
	struct pollfd p = { .fd = r->other, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(recv(r->other, got, sizeof(got), MSG_DONTWAIT), len);
	assert_memory_equal(got, from, len);
}

static void hears_nothing_more(struct rig *r)
{
	uint8_t byte;

	assert_int_equal(recv(r->other, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static unsigned int sends(struct rig *r, unsigned int n, enum drop_reason *why)
{
	struct frame *list[FRAME_BATCH_MAX];

	for (unsigned int i = 0; i < n; i++)
		list[i] = &r->frame[i];
	*why = DROP_REASON_COUNT;
	return datagrams_tx(r->port, list, n, why);
}

/* n frames of these lengths, one by one from a byte further. */
static void make(struct rig *r, unsigned int n, const uint32_t *len)
{
	for (unsigned int i = 0; i < n; i++)
		frame_init(&r->frame[i], r->bytes + FRAME_HEADROOM + i, len[i]);
}

static void port_takes_no_offloads_whatever_the_grant_says(void **state)
{
	pair(*state, SOCK_DGRAM);
	assert_int_equal(
		atomic_load(&((struct rig *)*state)->port->tx_offloads), 0);
}

static void what_is_no_socket_is_refused(void **state)
{
	static const struct port_request rq = { .name = "p" };
	struct rig *r = *state;
	struct error err = { 0 };

	r->grant.nfds = 1;
	assert_int_not_equal(r->grant.fd[0] = dup(0), -1);
	if (recv(r->grant.fd[0], r->bytes, 0, MSG_DONTWAIT) < 0 &&
	    errno == ENOTSOCK) {
		assert_null(datagrams_open(&ops, &rq, &r->grant, &err));
		assert_string_equal(err.reason, "bad-grant");
	}
	port_grant_close(&r->grant);
	assert_null(datagrams_open(&ops, &rq, &r->grant, &err));
	assert_string_equal(err.reason, "bad-grant");
}

static void lengths_are_exact_from_nothing_to_the_longest(void **state)
{
	static const uint32_t len[] = { 0,    1,    14,	   59,
					60,   1514, 1919,  1920,
					1921, 9014, 65535, FRAME_LEN_MAX };
	const unsigned int n = sizeof(len) / sizeof(len[0]);
	struct rig *r = *state;

	pair(r, SOCK_DGRAM);
	for (unsigned int i = 0; i < n; i++)
		says(r, len[i]);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), n);
	for (unsigned int i = 0; i < n; i++)
		frame_is(r, &r->frame[i], len[i]);
	datagrams_rx_done(r->port, 0);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void too_long_ones_say_how_long_and_cost_nobody_else(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_DGRAM);
	says(r, 100);
	says(r, FRAME_LEN_MAX + 1);
	says(r, 2 * FRAME_LEN_MAX);
	says(r, 200);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 4);
	frame_is(r, &r->frame[0], 100);
	assert_int_equal(r->frame[1].len, FRAME_LEN_MAX + 1);
	assert_int_equal(r->frame[2].len, 2 * FRAME_LEN_MAX);
	frame_is(r, &r->frame[3], 200);
}

static void long_frames_are_whole_after_others_were_given_back(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_DGRAM);
	for (int i = 0; i < 3; i++) {
		says(r, 60000);
		says(r, 3000);
		assert_int_equal(receive(r, FRAME_BATCH_MAX), 2);
		frame_is(r, &r->frame[0], 60000);
		frame_is(r, &r->frame[1], 3000);
		datagrams_rx_done(r->port, 0);
	}
}

static void frames_have_room_in_front_of_them(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_DGRAM);
	for (int i = 0; i < 4; i++)
		says(r, FULL);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 4);
	for (int i = 0; i < 4; i++)
		memset(r->frame[i].data - FRAME_HEADROOM, 0, FRAME_HEADROOM);
	for (int i = 0; i < 4; i++)
		frame_is(r, &r->frame[i], FULL);
}

/* As says(), with a vnet header. */
static void says_with(struct rig *r, const struct virtio_net_hdr_v1 *v,
		      uint32_t len)
{
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)v, sizeof(*v) },
		{ r->bytes, len },
	};

	assert_int_equal(writev(r->other, iov, 2), sizeof(*v) + len);
}

static void vnet_header_comes_with_the_frame(void **state)
{
	static const struct virtio_net_hdr_v1 none, super = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1460,
	};
	struct rig *r = *state;

	r->vnet_len = sizeof(none);
	pair(r, SOCK_SEQPACKET);
	assert_int_equal(atomic_load(&r->port->tx_offloads), PORT_TX_CSUM);
	for (int i = 0; i < 3; i++) {
		says_with(r, &none, FULL);
		says_with(r, &super, FRAME_LEN_MAX);
		says_with(r, &none, 60);
		assert_int_equal(receive(r, FRAME_BATCH_MAX), 3);
		frame_is(r, &r->frame[0], FULL);
		frame_is(r, &r->frame[2], 60);
		assert_memory_equal(&r->frame[1].vnet, &super, sizeof(super));
		memset(&r->frame[1].vnet, 0, sizeof(super));
		frame_is(r, &r->frame[1], FRAME_LEN_MAX);
		datagrams_rx_done(r->port, 0);
	}
}

static void record_without_a_whole_vnet_header_is_an_empty_frame(void **state)
{
	struct rig *r = *state;

	r->vnet_len = sizeof(struct virtio_net_hdr_v1);
	pair(r, SOCK_SEQPACKET);
	memset(r->bytes, 0xff, r->vnet_len);
	for (uint32_t len = 1; len <= r->vnet_len; len++)
		says(r, len);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), r->vnet_len);
	for (uint32_t i = 0; i < r->vnet_len; i++)
		frame_is(r, &r->frame[i], 0);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void vnet_header_goes_before_the_frame(void **state)
{
	static const uint32_t len[] = { 60, 60000, FULL };
	struct virtio_net_hdr_v1 v[3] = {
		[1] = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
			.gso_size = 1440 },
	};
	struct rig *r = *state;
	struct frame *f = r->frame;
	struct iovec rest = { .iov_len = 50000 };
	enum drop_reason why;

	r->vnet_len = sizeof(v[0]);
	pair(r, SOCK_SEQPACKET);
	make(r, 3, len);
	/* Heads apart, as each one's header is in its headroom. */
	f[1].data += FRAME_HEADROOM;
	f[2].data += 2 * FRAME_HEADROOM;
	f[1].vnet = v[1];
	f[1].head_len = 10000;
	rest.iov_base = f[1].data + f[1].head_len;
	f[1].segs = &rest;
	f[1].nsegs = 1;
	assert_int_equal(sends(r, 3, &why), 3);
	for (unsigned int i = 0; i < 3; i++) {
		uint8_t *start = f[i].data - sizeof(v[i]);

		assert_memory_equal(start, &v[i], sizeof(v[i]));
		hears(r, start, sizeof(v[i]) + len[i]);
	}
	hears_nothing_more(r);
}

static void burst_is_bounded_by_max_and_by_the_arena(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_DGRAM);
	for (int i = 0; i < 7; i++)
		says(r, 60);
	assert_int_equal(receive(r, 3), 3);
	assert_int_equal(receive(r, 0), 0);
	r->arena.size = 2 * 2048 + 100;
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 2);
	assert_true(r->arena.used <= r->arena.size);
	r->arena.size = 2000;
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	r->arena.size = DATAGRAMS_ARENA;
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 2);
}

static void whole_batch_crosses_in_order_with_its_segments(void **state)
{
	uint32_t len[FRAME_BATCH_MAX];
	struct iovec segs[FRAME_BATCH_MAX][FRAME_SEGS_MAX];
	struct rig *r = *state;
	enum drop_reason why;

	udp(r);
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		len[i] = 60 + 10 * i;
	make(r, FRAME_BATCH_MAX, len);
	/* Each third in as many pieces as there can be. */
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i += 3) {
		struct frame *f = &r->frame[i];
		uint32_t each = (f->len - 20) / FRAME_SEGS_MAX;

		f->head_len = f->len - each * FRAME_SEGS_MAX;
		for (unsigned int s = 0; s < FRAME_SEGS_MAX; s++)
			segs[i][s] = (struct iovec){
				.iov_base = f->data + f->head_len + s * each,
				.iov_len = each,
			};
		f->segs = segs[i];
		f->nsegs = FRAME_SEGS_MAX;
	}
	assert_int_equal(sends(r, FRAME_BATCH_MAX, &why), FRAME_BATCH_MAX);
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		hears(r, r->bytes + FRAME_HEADROOM + i, len[i]);
	hears_nothing_more(r);
}

/* As UDP_SEGMENT has them leave; nobody who receives them sees it. */
static void joined_frames_arrive_one_by_one(void **state)
{
	static const uint32_t len[] = { FULL, FULL, FULL, 700, FULL, FULL, 60,
					60,   61,   FULL, 0,   FULL, FULL, 1 };
	const unsigned int n = sizeof(len) / sizeof(len[0]);
	struct rig *r = *state;
	enum drop_reason why;

	udp(r);
	datagrams_join(r->port);
	make(r, n, len);
	assert_int_equal(sends(r, n, &why), n);
	for (unsigned int i = 0; i < n; i++)
		hears(r, r->bytes + FRAME_HEADROOM + i, len[i]);
	hears_nothing_more(r);
}

static void whole_batch_of_full_frames_can_be_joined(void **state)
{
	uint32_t len[FRAME_BATCH_MAX];
	struct rig *r = *state;
	enum drop_reason why;

	udp(r);
	datagrams_join(r->port);
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		len[i] = FULL;
	make(r, FRAME_BATCH_MAX, len);
	assert_int_equal(sends(r, FRAME_BATCH_MAX, &why), FRAME_BATCH_MAX);
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		hears(r, r->bytes + FRAME_HEADROOM + i, FULL);
	hears_nothing_more(r);
}

/* The kernel joins none whose checksum nobody makes; it says the same of those
 * that are longer than the device's packets. */
static void who_cannot_join_frames_sends_them_all_the_same(void **state)
{
	static const uint32_t len[] = { FULL, FULL, FULL };
	struct rig *r = *state;
	struct datagrams *d = udp(r);
	enum drop_reason why;
	const int on = 1;

	datagrams_join(r->port);
	assert_int_equal(setsockopt(r->grant.fd[0], SOL_SOCKET, SO_NO_CHECK,
				    &on, sizeof(on)),
			 0);
	make(r, 3, len);
	assert_int_equal(sends(r, 3, &why), 3);
	for (unsigned int i = 0; i < 3; i++)
		hears(r, r->bytes + FRAME_HEADROOM + i, FULL);
	hears_nothing_more(r);
	assert_int_equal(atomic_load(&d->gso_max), FULL - 1);
}

static void what_no_datagram_holds_is_over_the_mtu(void **state)
{
	static const uint32_t len[] = { 60, 65508, 60 };
	struct rig *r = *state;
	enum drop_reason why;

	udp(r);
	make(r, 3, len);
	assert_int_equal(sends(r, 3, &why), 1);
	assert_int_equal(why, DROP_MTU);
	hears(r, r->bytes + FRAME_HEADROOM, 60);
	hears_nothing_more(r);
}

static void full_queue_drops_and_the_port_goes_on(void **state)
{
	static uint32_t len[FRAME_BATCH_MAX];
	struct rig *r = *state;
	enum drop_reason why = DROP_REASON_COUNT;
	unsigned int sent = 0, n;

	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		len[i] = FULL;
	pair(r, SOCK_DGRAM);
	make(r, FRAME_BATCH_MAX, len);
	do
		sent += n = sends(r, FRAME_BATCH_MAX, &why);
	while (n == FRAME_BATCH_MAX);
	assert_int_equal(why, DROP_QUEUE_FULL);
	assert_true(sent > 0);
	while (sent--)
		assert_int_equal(recv(r->other, r->bytes, FULL, MSG_DONTWAIT),
				 FULL);
	hears_nothing_more(r);
	assert_int_equal(sends(r, 1, &why), 1);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void nobody_there_is_link_down_and_no_end(void **state)
{
	static const uint32_t len[] = { 60, 60 };
	struct rig *r = *state;
	enum drop_reason why;

	pair(r, SOCK_DGRAM);
	make(r, 2, len);
	close(r->other);
	r->other = -1;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sends(r, 2, &why), 0);
		assert_int_equal(why, DROP_LINK_DOWN);
		assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
		assert_int_equal(atomic_load(&r->port->failed), 0);
	}
}

/* "Port unreachable" about an earlier one comes with the next call. */
static void late_error_takes_no_frame(void **state)
{
	static const uint32_t len[] = { 60, 70, 80 };
	struct rig *r = *state;
	struct sockaddr_in self, peer;
	socklen_t size = sizeof(self);
	struct pollfd p;
	enum drop_reason why;

	udp(r);
	assert_int_equal(
		getpeername(r->grant.fd[0], (struct sockaddr *)&peer, &size),
		0);
	size = sizeof(self);
	assert_int_equal(getpeername(r->other, (struct sockaddr *)&self, &size),
			 0);
	make(r, 3, len);
	close(r->other);
	assert_int_equal(sends(r, 1, &why), 1); /* to nobody */
	p = (struct pollfd){ .fd = r->grant.fd[0], .events = 0 };
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(p.revents & POLLERR);

	r->other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->other, (struct sockaddr *)&peer, sizeof(peer)),
			 0);
	assert_int_equal(
		connect(r->other, (struct sockaddr *)&self, sizeof(self)), 0);
	assert_int_equal(sends(r, 3, &why), 3);
	for (unsigned int i = 0; i < 3; i++)
		hears(r, r->bytes + FRAME_HEADROOM + i, len[i]);
	hears_nothing_more(r);
}

static void late_error_hides_nothing_that_was_received(void **state)
{
	static const uint32_t len[] = { 60 };
	struct rig *r = *state;
	struct pollfd p;
	enum drop_reason why;

	udp(r);
	says(r, 100);
	make(r, 1, len);
	close(r->other);
	r->other = -1;
	assert_int_equal(sends(r, 1, &why), 1);
	p = (struct pollfd){ .fd = r->grant.fd[0], .events = 0 };
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 1);
	frame_is(r, &r->frame[0], 100);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static void record_socket_ends_behind_its_last_record(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_SEQPACKET);
	says(r, 60);
	says(r, 0);
	says(r, FULL);
	close(r->other);
	r->other = -1;
	/* Where the end has come an empty one can't be told from it. */
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 1);
	frame_is(r, &r->frame[0], 60);
	assert_int_equal(atomic_load(&r->port->failed), ECONNRESET);
}

static void empty_record_is_no_end(void **state)
{
	struct rig *r = *state;

	pair(r, SOCK_SEQPACKET);
	says(r, 0);
	says(r, FULL);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 2);
	frame_is(r, &r->frame[0], 0);
	frame_is(r, &r->frame[1], FULL);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	assert_int_equal(atomic_load(&r->port->failed), 0);
}

static int send_room(int fd)
{
	int room = 0;
	socklen_t len = sizeof(room);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len), 0);
	return room;
}

static void connection_of_records_has_room_and_takes_bytes_only(void **state)
{
	static const struct port_request rq = {
		.name = "p", .type = "seqpacket", .enabled = true, .given = true
	};
	const struct port_ops *seqpacket = port_ops_find("seqpacket");
	struct rig *r = *state;
	struct error err;
	int fd[2], before, after;
	unsigned int fds;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	r->other = fd[1];
	before = send_room(fd[0]);
	r->grant = (struct port_grant){ .nfds = 1, .fd = { fd[0] } };
	assert_int_equal(seqpacket->acquire(&rq, &r->grant, &err), 0);
	r->port = seqpacket->open(&rq, &r->grant, &err);
	assert_non_null(r->port);
	after = send_room(fd[0]);
	assert_true(after > before);
	fds = fds_count();
	if (fds_send(r->other, r->bytes, 60, &r->other, 1) < 0)
		assert_int_equal(errno, EPERM);
	else
		assert_int_equal(receive(r, FRAME_BATCH_MAX), 1);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	assert_int_equal(fds_count(), fds);
}

static void port_ends_with_the_connection_that_it_watches(void **state)
{
	struct rig *r = *state;
	struct datagrams *d = pair(r, SOCK_DGRAM);
	struct pollfd p = { .events = POLLIN };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	assert_int_equal(datagrams_watch(d, fd[0]), 0);
	p.fd = r->port->control_fd;
	assert_int_equal(poll(&p, 1, 0), 0);
	/* What comes by it wakes nobody, however much that is. */
	assert_int_equal(send(fd[1], "said", 4, 0), 4);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_false(datagrams_control(r->port));
	says(r, 60);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 1);

	close(fd[1]);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(datagrams_control(r->port));
	assert_int_equal(poll(&p, 1, 0), 0);
	/* Its worker is woken up, and told. */
	p.fd = r->port->queue_fd[0];
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(receive(r, FRAME_BATCH_MAX), 0);
	assert_int_equal(atomic_load(&r->port->failed), ECONNRESET);
	close(fd[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_takes_no_offloads_whatever_the_grant_says),
		TEST(what_is_no_socket_is_refused),
		TEST(lengths_are_exact_from_nothing_to_the_longest),
		TEST(too_long_ones_say_how_long_and_cost_nobody_else),
		TEST(long_frames_are_whole_after_others_were_given_back),
		TEST(frames_have_room_in_front_of_them),
		TEST(vnet_header_comes_with_the_frame),
		TEST(record_without_a_whole_vnet_header_is_an_empty_frame),
		TEST(vnet_header_goes_before_the_frame),
		TEST(burst_is_bounded_by_max_and_by_the_arena),
		TEST(whole_batch_crosses_in_order_with_its_segments),
		TEST(joined_frames_arrive_one_by_one),
		TEST(whole_batch_of_full_frames_can_be_joined),
		TEST(who_cannot_join_frames_sends_them_all_the_same),
		TEST(what_no_datagram_holds_is_over_the_mtu),
		TEST(full_queue_drops_and_the_port_goes_on),
		TEST(nobody_there_is_link_down_and_no_end),
		TEST(late_error_takes_no_frame),
		TEST(late_error_hides_nothing_that_was_received),
		TEST(record_socket_ends_behind_its_last_record),
		TEST(empty_record_is_no_end),
		TEST(connection_of_records_has_room_and_takes_bytes_only),
		TEST(port_ends_with_the_connection_that_it_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
