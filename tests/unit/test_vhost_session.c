/* What a front end may ask for, in which order, and what is refused. */
#include "tests/unit/vhost_port.h"

#define WITHOUT(feature) (front_features & ~BIT(feature))

static void guest_and_port_exchange_frames(void **state)
{
	struct rig *r = *state;
	struct vhost_user_info info;

	rig_acquire(r, 1);
	assert_string_equal(rig_state(r).condition, "waiting");
	rig_guest(r, front_features);
	assert_string_equal(rig_state(r).condition, "running");
	assert_true(rig_state(r).carrier);
	assert_null(rig_state(r).reason);
	rig_works(r, 1);
	info = rig_info(r);
	assert_int_equal(info.features, front_features);
	assert_int_equal(info.protocol_features, front_protocol);
	assert_int_equal(info.regions, 1);
	assert_int_equal(info.memory, FRONT_REGION_SIZE);
	assert_int_equal(info.connections, 1);
	assert_int_equal(info.rings, 2);
	assert_int_equal(info.ring[0].size, 256);
	assert_int_equal(info.ring[0].frames, 1);
	assert_int_equal(info.ring[1].frames, 1);
	assert_false(info.ring[1].packed);
	assert_false(info.logging);
}

static void packed_rings_are_agreed_on(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features | BIT(VIRTIO_F_RING_PACKED));
	assert_true(rig_info(r).ring[0].packed);
	for (uint32_t i = 0; i < 600; i++) {
		rig_works(r, 2 * i);
		assert_int_equal(front_reap(r->front, 1), 1);
		front_offer(r->front, 0, 1);
	}
}

/* It tells 0, without a wrap counter, and can't migrate. */
static void packed_rings_of_user_mode_linux_begin_where_it_begins(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features | BIT(VIRTIO_F_RING_PACKED),
		    BIT(VHOST_PROTOCOL_REPLY_ACK) |
			    BIT(VHOST_PROTOCOL_BACKEND_REQ));
	front_make_memory(f, 1);
	assert_int_equal(front_tell_memory(f), 0);
	for (uint32_t i = 0; i < 2; i++) {
		front_ring_make(f, i, 256);
		front_ring_start(f, i, 0);
	}
	front_offer(f, 0, 100);
	rig_works(r, 1);
}

static void what_is_offered_is_what_the_port_can_do(void **state)
{
	const uint64_t never =
		BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
		BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
		BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_F_ACCESS_PLATFORM);
	struct rig *r = *state;
	struct front *f;
	uint64_t offered;

	rig_acquire(r, 1);
	f = rig_front(r);
	offered = front_get_u64(f, VHOST_REQUEST_GET_FEATURES);
	assert_int_equal(offered & never, 0);
	assert_int_equal(offered & BIT(VIRTIO_NET_F_MQ), 0);
	assert_int_equal(offered & front_features, front_features);
	assert_int_equal(front_get_u64(f, VHOST_REQUEST_GET_QUEUE_NUM), 1);
	assert_int_equal(front_get_u64(f, VHOST_REQUEST_GET_MAX_MEM_SLOTS),
			 VHOST_REGIONS_MAX);
}

static void several_pairs_are_offered_with_mq(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 4);
	f = rig_front(r);
	assert_true(front_get_u64(f, VHOST_REQUEST_GET_FEATURES) &
		    BIT(VIRTIO_NET_F_MQ));
	assert_int_equal(front_get_u64(f, VHOST_REQUEST_GET_QUEUE_NUM), 4);
}

static void features_that_werent_offered_are_refused(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t offered = front_get_u64(f, VHOST_REQUEST_GET_FEATURES);

		assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_FEATURES,
					       front_features | BIT(bit)),
				 !(offered & BIT(bit)));
	}
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_PROTOCOL_FEATURES,
				       front_protocol | BIT(12)),
			 1);
	assert_int_equal(rig_info(r).protocol_features, front_protocol);
}

static void driver_without_version_1_is_refused_with_a_reason(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_FEATURES,
				       WITHOUT(VIRTIO_F_VERSION_1)),
			 1);
	assert_string_equal(rig_state(r).condition, "connected");
	assert_non_null(strstr(rig_state(r).reason, "VERSION_1"));
	/* The same connection, and a driver of today. */
	assert_int_equal(
		front_ack_u64(f, VHOST_REQUEST_SET_FEATURES, front_features),
		0);
	assert_null(rig_state(r).reason);
}

static void rings_without_version_1_dont_run(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	f->features = WITHOUT(VIRTIO_F_VERSION_1);
	front_send(f, VHOST_REQUEST_SET_FEATURES, 0, &f->features, 8, NULL, 0);
	front_make_memory(f, 1);
	assert_int_equal(front_tell_memory(f), 0);
	front_ring_make(f, 1, 256);
	front_ring_start(f, 1, 0);
	rig_guest_sends(r, 1, 1, 1, 60);
	rig_expect(r, 0, 1, 0, 60);
	assert_string_equal(rig_state(r).condition, "connected");
	assert_non_null(strstr(rig_state(r).reason, "VERSION_1"));
}

static void front_end_without_protocol_features_needs_no_enable(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, WITHOUT(VHOST_FEATURE_PROTOCOL));
	assert_int_equal(rig_info(r).protocol_features, 0);
	assert_string_equal(rig_state(r).condition, "running");
	rig_works(r, 1);
}

static void guest_without_mergeable_buffers_gets_short_frames(void **state)
{
	struct rig *r = *state;
	enum drop_reason why;

	rig_acquire(r, 1);
	rig_guest(r, WITHOUT(VIRTIO_NET_F_MRG_RXBUF));
	rig_works(r, 1);
	assert_int_equal(rig_send(r, 7, FRONT_BUFFER, &why), 0);
	assert_int_equal(why, DROP_GUEST_BUFFER);
	rig_works(r, 3);
}

/* In which order a ring is described doesn't matter. */
static void requests_may_come_in_any_order(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	for (unsigned int first = 0; first < 7; first++) {
		struct front *f = rig_front(r);

		front_begin(f, 0, 0);
		f->features = front_features;
		front_make_memory(f, 1);
		front_ring_make(f, 1, 64);
		for (unsigned int i = 0; i < 7; i++) {
			struct front_ring *ring = f->ring[1];
			struct vhost_msg_vring num = { 1, 64 }, base = { 1, 0 },
					       enable = { 1, 1 };
			struct vhost_msg_addr addr;
			uint64_t one = 1;

			assert_false(rig_info(r).ring[1].frames);
			front_ring_addr(f, 1, &addr);
			switch ((first + i) % 7) {
			case 0:
				front_send(f, VHOST_REQUEST_SET_FEATURES, 0,
					   &f->features, 8, NULL, 0);
				break;
			case 1:
				(void)front_tell_memory(f);
				break;
			case 2:
				front_send(f, VHOST_REQUEST_SET_VRING_NUM, 0,
					   &num, sizeof(num), NULL, 0);
				break;
			case 3:
				front_send(f, VHOST_REQUEST_SET_VRING_BASE, 0,
					   &base, sizeof(base), NULL, 0);
				break;
			case 4:
				front_send(f, VHOST_REQUEST_SET_VRING_ADDR, 0,
					   &addr, sizeof(addr), NULL, 0);
				break;
			case 5:
				front_send(f, VHOST_REQUEST_SET_VRING_KICK, 0,
					   &one, sizeof(one), &ring->kick, 1);
				break;
			default:
				front_send(f, VHOST_REQUEST_SET_VRING_ENABLE, 0,
					   &enable, sizeof(enable), NULL, 0);
			}
		}
		rig_guest_sends(r, 1, first, 3, 60);
		rig_expect(r, 0, first, 3, 60);
		assert_int_equal(front_reap(f, 1), 3);
		rig_close(r);
		rig_open(r);
	}
}

static void ring_stops_and_says_where(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_guest_sends(r, 1, 1, 5, 60);
	rig_expect(r, 0, 1, 5, 60);
	for (uint32_t i = 0; i < 3; i++)
		rig_sends(r, i, 60);
	assert_int_equal(front_get_base(r->front, 1), 5);
	assert_int_equal(front_get_base(r->front, 0), 3);
	assert_string_equal(rig_state(r).condition, "connected");
	rig_guest_sends(r, 1, 6, 2, 60);
	rig_expect(r, 0, 6, 0, 60);
	rig_drops(r, DROP_LINK_DOWN);
	front_ring_start(r->front, 1, 5);
	front_ring_start(r->front, 0, 3);
	rig_expect(r, 0, 6, 2, 60);
	rig_sends(r, 9, 60);
}

static void packed_ring_says_where_with_both_wrap_counters(void **state)
{
	struct rig *r = *state;
	uint32_t base;

	rig_acquire(r, 1);
	rig_guest(r, front_features | BIT(VIRTIO_F_RING_PACKED));
	for (uint32_t i = 0; i < 300; i++) {
		rig_guest_sends(r, 1, i, 1, 60);
		rig_expect(r, 0, i, 1, 60);
		assert_int_equal(front_reap(r->front, 1), 1);
	}
	base = front_get_base(r->front, 1);
	assert_int_equal(base, 44 | 44 << 16); /* 300 of 256: wrapped once */
	rig_guest_sends(r, 1, 300, 1, 60);
	front_ring_start(r->front, 1, base);
	rig_expect(r, 0, 300, 1, 60);
	/* A front end that leaves out the upper half. */
	base = front_get_base(r->front, 1);
	rig_guest_sends(r, 1, 301, 1, 60);
	front_ring_start(r->front, 1, base & 0xffff);
	rig_expect(r, 0, 301, 1, 60);
}

static void disabled_ring_stands_still(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 0, 0),
		0);
	rig_drops(r, DROP_LINK_DOWN);
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 1, 0),
		0);
	rig_guest_sends(r, 1, 1, 1, 60);
	rig_expect(r, 0, 1, 0, 60);
	assert_false(rig_state(r).carrier);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(front_ack_vring(r->front,
						 VHOST_REQUEST_SET_VRING_ENABLE,
						 i, 1),
				 0);
	assert_true(rig_readable(r->port->queue_fd[0], 0));
	rig_expect(r, 0, 1, 1, 60);
	rig_works(r, 2);
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 1, 2),
		1);
}

static void call_may_change_while_the_ring_runs(void **state)
{
	struct rig *r = *state;
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), pipes[2];
	eventfd_t n;

	rig_acquire(r, 1);
	rig_guest(r, WITHOUT(VIRTIO_RING_F_EVENT_IDX));
	(void)front_called(r->front, 0);
	rig_sends(r, 1, 60);
	assert_int_equal(front_called(r->front, 0), 1);
	assert_int_equal(
		front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_CALL, 0, other),
		0);
	rig_sends(r, 2, 60);
	assert_int_equal(front_called(r->front, 0), 0);
	assert_int_equal(eventfd_read(other, &n), 0);
	assert_int_equal(n, 1);
	/* UML's is a pipe. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_CALL, 0,
				      pipes[1]),
			 0);
	rig_sends(r, 3, 60);
	assert_true(rig_readable(pipes[0], 0));
	/* None at all: it looks by itself. */
	assert_int_equal(
		front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_CALL, 0, -1), 0);
	rig_sends(r, 4, 60);
	assert_int_equal(eventfd_read(other, &n), -1);
	close(other);
	close(pipes[0]);
	close(pipes[1]);
}

static void descriptors_that_could_have_us_wait_are_refused(void **state)
{
	struct rig *r = *state;
	int pipes[2], sockets[2], file;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	file = memfd_create("file", MFD_CLOEXEC);
	assert_true(file >= 0);
	for (uint32_t m = VHOST_REQUEST_SET_VRING_KICK;
	     m <= VHOST_REQUEST_SET_VRING_ERR; m++) {
		bool kick = m == VHOST_REQUEST_SET_VRING_KICK;

		assert_int_equal(front_ack_fd(f, m, 1, file), 1);
		/* A pipe whose other end is gone is readable for ever. */
		assert_int_equal(front_ack_fd(f, m, 1, pipes[!kick]), kick);
		assert_int_equal(front_ack_fd(f, m, 1, sockets[0]), kick);
	}
	/* What was there before is still there. */
	rig_works(r, 1);
	close(pipes[0]);
	close(pipes[1]);
	close(sockets[0]);
	close(sockets[1]);
	close(file);
}

static void kick_that_would_wait_doesnt(void **state)
{
	struct rig *r = *state;
	int kick;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_expect(r, 0, 0, 0, 60);
	/* The flag is the file's, so it's the front end's to change. */
	kick = r->front->ring[1]->kick;
	assert_int_equal(fcntl(kick, F_SETFL, 0), 0);
	assert_true(r->port->ops->rx_sleep(r->port, 0));
	rig_expect(r, 0, 0, 0, 60);
	rig_works(r, 1);
	assert_int_equal(fcntl(kick, F_SETFL, O_NONBLOCK), 0);
}

static void ring_without_kick_never_sleeps(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_expect(r, 0, 0, 0, 60);
	assert_true(r->port->ops->rx_sleep(r->port, 0));
	assert_int_equal(
		front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_KICK, 1, -1), 0);
	rig_works(r, 1);
	assert_false(r->port->ops->rx_sleep(r->port, 0));
}

static void kick_that_was_replaced_wakes_nobody(void **state)
{
	int old = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	assert_int_equal(
		front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_KICK, 1, old),
		0);
	assert_int_equal(front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_KICK, 1,
				      r->front->ring[1]->kick),
			 0);
	rig_expect(r, 0, 0, 0, 60);
	assert_true(r->port->ops->rx_sleep(r->port, 0));
	assert_int_equal(eventfd_write(old, 1), 0);
	assert_false(rig_readable(r->port->queue_fd[0], 0));
	assert_int_equal(eventfd_write(r->front->ring[1]->kick, 1), 0);
	assert_true(rig_readable(r->port->queue_fd[0], 0));
	/* Nor does one of a ring that was stopped. */
	(void)front_get_base(r->front, 1);
	rig_expect(r, 0, 0, 0, 60);
	assert_int_equal(eventfd_write(r->front->ring[1]->kick, 1), 0);
	assert_false(rig_readable(r->port->queue_fd[0], 0));
	close(old);
}

static void rings_that_there_arent_end_the_connection(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 2);
	for (uint32_t m = VHOST_REQUEST_SET_VRING_NUM;
	     m <= VHOST_REQUEST_SET_VRING_ENABLE; m++) {
		struct vhost_msg_addr addr = { .index = 4 };
		struct front *f;

		if (m == VHOST_REQUEST_GET_PROTOCOL_FEATURES ||
		    m == VHOST_REQUEST_SET_PROTOCOL_FEATURES ||
		    m == VHOST_REQUEST_GET_QUEUE_NUM)
			continue;
		f = rig_front(r);
		front_send(f, m, 0, &addr, sizeof(addr), NULL, 0);
		front_gone(f);
		assert_string_equal(rig_state(r).condition, "waiting");
		assert_non_null(rig_state(r).reason);
	}
	/* The next one finds a port that is as good as new. */
	rig_guest(r, front_features);
	assert_null(rig_state(r).reason);
	rig_works(r, 1);
}

static void queue_sizes_are_those_of_virtio(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	assert_int_equal(front_ack_vring(f, VHOST_REQUEST_SET_VRING_NUM, 0, 0),
			 1);
	assert_int_equal(
		front_ack_vring(f, VHOST_REQUEST_SET_VRING_NUM, 0, 32769), 1);
	assert_int_equal(
		front_ack_vring(f, VHOST_REQUEST_SET_VRING_NUM, 0, 32768), 0);
	assert_int_equal(rig_info(r).ring[0].size, 32768);
}

static void ring_outside_of_memory_is_refused_until_it_is_inside(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_addr addr, good;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	front_ring_addr(f, 1, &good);
	for (unsigned int i = 0; i < 3; i++) {
		addr = good;
		*(i == 0   ? &addr.desc
		  : i == 1 ? &addr.avail
			   : &addr.used) += FRONT_REGION_SIZE;
		assert_int_equal(front_ack(f, VHOST_REQUEST_SET_VRING_ADDR,
					   &addr, sizeof(addr), NULL, 0),
				 1);
		assert_non_null(strstr(rig_state(r).reason, "memory"));
		assert_string_equal(rig_state(r).condition, "connected");
		addr = good;
		addr.desc += i + 1; /* misaligned */
		assert_int_equal(front_ack(f, VHOST_REQUEST_SET_VRING_ADDR,
					   &addr, sizeof(addr), NULL, 0),
				 1);
	}
	assert_int_equal(front_ack(f, VHOST_REQUEST_SET_VRING_ADDR, &good,
				   sizeof(good), NULL, 0),
			 0);
	assert_null(rig_state(r).reason);
	rig_works(r, 1);
}

static void reset_device_begins_anew(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	assert_int_equal(
		front_ack(f, VHOST_REQUEST_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	rig_drops(r, DROP_LINK_DOWN);
	assert_int_equal(rig_info(r).features, 0);
	assert_int_equal(rig_info(r).ring[0].size, 0);
	assert_false(rig_info(r).ring[0].enabled);
	assert_int_equal(rig_info(r).regions, 1);
	assert_int_equal(
		front_ack_u64(f, VHOST_REQUEST_SET_FEATURES, front_features),
		0);
	for (uint32_t i = 0; i < 2; i++) {
		front_ring_make(f, i, 128);
		front_ring_start(f, i, 0);
	}
	front_offer(f, 0, 100);
	rig_works(r, 1);
}

static void status_is_kept_and_zero_stops(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, 0, front_protocol);
	f->protocol = front_protocol;
	front_send(f, VHOST_REQUEST_SET_PROTOCOL_FEATURES, 0, &front_protocol,
		   8, NULL, 0);
	/* ACKNOWLEDGE, DRIVER and FEATURES_OK, which they aren't yet. */
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_STATUS, 11), 0);
	assert_int_equal(front_get_u64(f, VHOST_REQUEST_GET_STATUS), 3);
	rig_guest(r, front_features);
	f = r->front;
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_STATUS, 15), 0);
	assert_int_equal(front_get_u64(f, VHOST_REQUEST_GET_STATUS), 15);
	assert_int_equal(rig_info(r).status, 15);
	rig_works(r, 1);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_STATUS, 256), 1);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_SET_STATUS, 0), 0);
	rig_drops(r, DROP_LINK_DOWN);
	assert_false(rig_info(r).ring[0].started);
}

static void requests_that_need_nothing_done_are_accepted(void **state)
{
	struct rig *r = *state;
	int sockets[2], event = eventfd(0, EFD_CLOEXEC);
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	assert_int_equal(
		front_ack(f, VHOST_REQUEST_RESET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(
		front_ack(f, VHOST_REQUEST_SET_LOG_FD, NULL, 0, &event, 1), 0);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_NET_SET_MTU, 9000), 0);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_NET_SET_MTU, 67), 1);
	assert_int_equal(front_ack_u64(f, VHOST_REQUEST_NET_SET_MTU, 65536), 1);
	/* UML hangs up where this one isn't accepted, and QEMU complains where
	 * it is closed. */
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(front_ack(f, VHOST_REQUEST_SET_BACKEND_REQ_FD, NULL, 0,
				   &sockets[1], 1),
			 0);
	close(sockets[1]);
	assert_false(rig_readable(sockets[0], 0));
	rig_works(r, 1);
	front_hang_up(f);
	rig_pump(r);
	assert_true(rig_readable(sockets[0], 0));
	close(sockets[0]);
	close(event);
}

static void unknown_requests_are_refused_or_ignored(void **state)
{
	static const uint32_t unknown[] = { 0,	22, 23, 24, 25, 26,
					    31, 35, 41, 42, 99, UINT32_MAX };
	struct rig *r = *state;
	uint64_t payload = 1;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	for (unsigned int i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(front_ack(f, unknown[i], &payload,
					   sizeof(payload), NULL, 0),
				 1);
	front_send(f, 99, 0, &payload, sizeof(payload), &f->ring[0]->call, 1);
	rig_works(r, 1);
}

static void acknowledgements_come_only_when_agreed_on(void **state)
{
	struct rig *r = *state;
	struct front *f;
	uint64_t v = 0;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_send(f, VHOST_REQUEST_SET_OWNER, VHOST_MSG_NEED_REPLY, NULL, 0,
		   NULL, 0);
	assert_false(rig_readable(f->sock, 0));
	v = front_protocol;
	/* This one is the first that gets one. */
	front_send(f, VHOST_REQUEST_SET_PROTOCOL_FEATURES, VHOST_MSG_NEED_REPLY,
		   &v, sizeof(v), NULL, 0);
	front_reply(f, VHOST_REQUEST_SET_PROTOCOL_FEATURES, &v, sizeof(v));
	assert_int_equal(v, 0);
	/* A request with a reply of its own has just that. */
	front_send(f, VHOST_REQUEST_GET_QUEUE_NUM, VHOST_MSG_NEED_REPLY, NULL,
		   0, NULL, 0);
	front_reply(f, VHOST_REQUEST_GET_QUEUE_NUM, &v, sizeof(v));
	assert_int_equal(v, 1);
	assert_false(rig_readable(f->sock, 0));
}

static void malformed_messages_end_the_connection(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_head head = { 1, VHOST_MSG_VERSION, 0 };
	struct vhost_msg_table table = { .n = 9 };
	int event = eventfd(0, EFD_CLOEXEC), many[9];

	for (unsigned int i = 0; i < 9; i++)
		many[i] = event;
	rig_acquire(r, 1);
	head.flags = 7;
	front_send_raw(rig_front(r), &head, sizeof(head), NULL, 0);
	front_gone(r->front);
	/* Shorter than it has to be. */
	front_send(rig_front(r), VHOST_REQUEST_SET_FEATURES, 0, &table, 7, NULL,
		   0);
	front_gone(r->front);
	front_send(rig_front(r), VHOST_REQUEST_SET_VRING_ADDR, 0, &table, 39,
		   NULL, 0);
	front_gone(r->front);
	/* More regions than there can be, than were sent, or files. */
	front_send(rig_front(r), VHOST_REQUEST_SET_MEM_TABLE, 0, &table,
		   sizeof(table), many, 8);
	front_gone(r->front);
	table.n = 2;
	front_send(rig_front(r), VHOST_REQUEST_SET_MEM_TABLE, 0, &table, 8 + 32,
		   many, 2);
	front_gone(r->front);
	front_send(rig_front(r), VHOST_REQUEST_SET_MEM_TABLE, 0, &table,
		   sizeof(table), many, 1);
	front_gone(r->front);
	/* Descriptors where none, or fewer, belong. */
	front_send(rig_front(r), VHOST_REQUEST_GET_FEATURES, 0, NULL, 0, many,
		   1);
	front_gone(r->front);
	front_send(rig_front(r), VHOST_REQUEST_SET_VRING_CALL, 0, &table, 8,
		   many, 2);
	front_gone(r->front);
	front_send(rig_front(r), VHOST_REQUEST_SET_VRING_CALL, 0, &table, 8,
		   many, 9);
	front_gone(r->front);
	assert_int_equal(rig_info(r).connections, 9);
	close(event);
}

static void garbage_never_hurts_anybody_else(void **state)
{
	struct rig *r = *state;
	uint32_t seed = 1;

	rig_acquire(r, 1);
	for (unsigned int i = 0; i < 300; i++) {
		struct front *f = rig_front(r);
		uint8_t payload[64];
		struct vhost_msg_head head;

		for (unsigned int k = 0; k < 8; k++) {
			for (unsigned int b = 0; b < sizeof(payload); b++) {
				seed = seed * 1103515245 + 12345;
				payload[b] = (uint8_t)(seed >> 24);
			}
			head = (struct vhost_msg_head){ payload[0] % 44,
							VHOST_MSG_VERSION, 40 };
			payload[0] %= 4; /* likely to be a ring */
			memset(payload + 1, 0, 3);
			memcpy(payload + 44, &head, sizeof(head));
			if (send(f->sock, payload + 44, sizeof(head),
				 MSG_NOSIGNAL) < 0 ||
			    send(f->sock, payload, 40, MSG_NOSIGNAL) < 0)
				break;
			rig_pump(r);
		}
	}
	rig_guest(r, front_features);
	rig_works(r, 1);
}

static void front_end_that_doesnt_read_replies_is_sent_away(void **state)
{
	struct rig *r = *state;
	struct front *f;
	struct vhost_msg_head head = { VHOST_REQUEST_GET_FEATURES,
				       VHOST_MSG_VERSION, 0 };
	unsigned int sent = 0;

	rig_acquire(r, 1);
	f = rig_front(r);
	while (sent < 1000000 &&
	       send(f->sock, &head, sizeof(head), MSG_NOSIGNAL) > 0) {
		rig_pump(r);
		sent++;
	}
	assert_in_range(sent, 10, 999999);
	assert_string_equal(rig_state(r).condition, "waiting");
	rig_guest(r, front_features);
	rig_works(r, 1);
}

static void one_call_deals_with_a_bounded_number_of_messages(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_head head = { VHOST_REQUEST_GET_FEATURES,
				       VHOST_MSG_VERSION, 0 };
	uint8_t replies[4096];
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	for (unsigned int i = 0; i < 100; i++)
		front_send_raw(f, &head, sizeof(head), NULL, 0);
	(void)r->port->ops->control(r->port);
	assert_int_equal(recv(f->sock, replies, sizeof(replies), MSG_DONTWAIT),
			 16 * 20);
	rig_pump(r);
	assert_int_equal(recv(f->sock, replies, sizeof(replies), MSG_DONTWAIT),
			 84 * 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(guest_and_port_exchange_frames),
		RIG_TEST(packed_rings_are_agreed_on),
		RIG_TEST(packed_rings_of_user_mode_linux_begin_where_it_begins),
		RIG_TEST(what_is_offered_is_what_the_port_can_do),
		RIG_TEST(several_pairs_are_offered_with_mq),
		RIG_TEST(features_that_werent_offered_are_refused),
		RIG_TEST(driver_without_version_1_is_refused_with_a_reason),
		RIG_TEST(rings_without_version_1_dont_run),
		RIG_TEST(front_end_without_protocol_features_needs_no_enable),
		RIG_TEST(guest_without_mergeable_buffers_gets_short_frames),
		RIG_TEST(requests_may_come_in_any_order),
		RIG_TEST(ring_stops_and_says_where),
		RIG_TEST(packed_ring_says_where_with_both_wrap_counters),
		RIG_TEST(disabled_ring_stands_still),
		RIG_TEST(call_may_change_while_the_ring_runs),
		RIG_TEST(descriptors_that_could_have_us_wait_are_refused),
		RIG_TEST(kick_that_would_wait_doesnt),
		RIG_TEST(ring_without_kick_never_sleeps),
		RIG_TEST(kick_that_was_replaced_wakes_nobody),
		RIG_TEST(rings_that_there_arent_end_the_connection),
		RIG_TEST(queue_sizes_are_those_of_virtio),
		RIG_TEST(ring_outside_of_memory_is_refused_until_it_is_inside),
		RIG_TEST(reset_device_begins_anew),
		RIG_TEST(status_is_kept_and_zero_stops),
		RIG_TEST(requests_that_need_nothing_done_are_accepted),
		RIG_TEST(unknown_requests_are_refused_or_ignored),
		RIG_TEST(acknowledgements_come_only_when_agreed_on),
		RIG_TEST(malformed_messages_end_the_connection),
		RIG_TEST(garbage_never_hurts_anybody_else),
		RIG_TEST(front_end_that_doesnt_read_replies_is_sent_away),
		RIG_TEST(one_call_deals_with_a_bounded_number_of_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
