/* Frames through ports, several queues, front ends that come and go. */
#include "tests/unit/vhost_port.h"

#include <sys/resource.h>

/* ---- Frames ---- */

/* All that waits at a queue of `from` goes to `to` as it is. */
static unsigned int forward(struct rig *from, struct rig *to)
{
	struct frame *list[FRAME_BATCH_MAX];
	unsigned int n = rig_rx(from, 0);
	enum drop_reason why;

	for (unsigned int i = 0; i < n; i++)
		list[i] = &from->frame[i];
	if (!n)
		return 0;
	assert_int_equal(to->port->ops->tx(to->port, list, n, &why), n);
	rig_done(from, 0);
	return n;
}

static struct rig *second_rig(void)
{
	void *state;

	assert_int_equal(rig_setup(&state), 0);
	return state;
}

/* The first is gone before the second, so that descriptors can be counted. */
static void end_both(struct rig *a, struct rig *b)
{
	void *state = b;

	front_free(a->front);
	a->front = NULL;
	rig_close(a);
	vhost_user_release(&a->rq, &a->grant);
	assert_int_equal(rig_teardown(&state), 0);
}

static void frames_of_any_length_cross_two_ports(void **state)
{
	static const uint32_t lengths[] = {
		14, 60, 255, 256, 257, 1514, 2035, 2036, 2037, 2100, 9014, 30000
	};
	struct rig *a = *state, *b = second_rig();

	rig_acquire(a, 1);
	rig_acquire(b, 1);
	rig_guest(a, front_features);
	rig_guest(b, front_features | BIT(VIRTIO_F_RING_PACKED));
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]);
	     i++) {
		rig_guest_sends(a, 1, i, 1, lengths[i]);
		assert_int_equal(forward(a, b), 1);
		rig_guest_got(b, 0, i, lengths[i]);
		rig_guest_sends(b, 1, 100 + i, 1, lengths[i]);
		assert_int_equal(forward(b, a), 1);
		rig_guest_got(a, 0, 100 + i, lengths[i]);
		assert_int_equal(front_reap(a->front, 1), 1);
		assert_int_equal(front_reap(b->front, 1), 1);
	}
	end_both(a, b);
}

static void super_frame_crosses_two_ports_as_one(void **state)
{
	const struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	static struct front_frame got;
	static uint8_t data[64000];
	struct rig *a = *state, *b = second_rig();

	rig_acquire(a, 1);
	rig_acquire(b, 1);
	rig_guest(a, front_features);
	rig_guest(b, front_features);
	rig_bytes(data, sizeof(data), 7);
	front_post(a->front, 1, data, sizeof(data), &vnet);
	assert_int_equal(forward(a, b), 1);
	assert_true(front_take(b->front, 0, &got));
	assert_int_equal(got.len, sizeof(data));
	assert_int_equal(got.buffers, 32);
	assert_memory_equal(got.data, data, sizeof(data));
	assert_int_equal(got.vnet.gso_type, vnet.gso_type);
	assert_int_equal(got.vnet.gso_size, vnet.gso_size);
	assert_int_equal(got.vnet.flags, vnet.flags);
	assert_int_equal(got.vnet.csum_start, vnet.csum_start);
	assert_int_equal(got.vnet.csum_offset, vnet.csum_offset);
	assert_false(front_take(b->front, 0, &got));
	end_both(a, b);
}

static void batch_is_in_order_and_bounded(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_guest_sends(r, 1, 0, 150, 60);
	rig_expect(r, 0, 0, 64, 60);
	rig_expect(r, 0, 64, 64, 60);
	rig_expect(r, 0, 128, 22, 60);
	rig_expect(r, 0, 0, 0, 60);
	assert_int_equal(front_reap(r->front, 1), 150);
}

static void offloads_follow_the_guests_features(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	assert_int_equal(r->port->tx_offloads, 0);
	rig_guest(r, front_features);
	assert_int_equal(r->port->tx_offloads,
			 PORT_TX_CSUM | PORT_TX_TSO4 | PORT_TX_TSO6);
	assert_int_equal(
		front_ack_u64(r->front, VHOST_REQUEST_SET_FEATURES,
			      front_features & ~BIT(VIRTIO_NET_F_GUEST_CSUM)),
		0);
	assert_int_equal(r->port->tx_offloads, 0);
	front_free(r->front);
	r->front = NULL;
	rig_pump(r);
	assert_int_equal(r->port->tx_offloads, 0);
}

static void queue_wakes_up_only_who_sleeps(void **state)
{
	struct rig *r = *state;
	int fd;

	rig_acquire(r, 1);
	fd = r->port->queue_fd[0];
	assert_false(rig_readable(fd, 0));
	rig_guest(r, front_features & ~BIT(VIRTIO_RING_F_EVENT_IDX));
	/* Somebody may have kicked before there was anybody. */
	assert_true(rig_readable(fd, 0));
	rig_expect(r, 0, 0, 0, 60);
	assert_false(rig_readable(fd, 0));
	/* Awake: nobody is told. */
	rig_guest_sends(r, 1, 1, 1, 60);
	assert_false(rig_readable(fd, 0));
	assert_false(r->port->ops->rx_sleep(r->port, 0));
	rig_expect(r, 0, 1, 1, 60);
	assert_true(r->port->ops->rx_sleep(r->port, 0));
	assert_false(rig_readable(fd, 0));
	rig_guest_sends(r, 1, 2, 1, 60);
	assert_true(rig_readable(fd, 0));
	rig_expect(r, 0, 2, 1, 60);
	assert_false(rig_readable(fd, 0));
	assert_int_equal(rig_info(r).ring[1].kicks, 1);
}

static void port_without_a_guest_drops(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 2);
	rig_drops(r, DROP_LINK_DOWN);
	for (unsigned int q = 0; q < 2; q++) {
		rig_expect(r, q, 0, 0, 60);
		assert_true(r->port->ops->rx_sleep(r->port, q));
		assert_false(rig_readable(r->port->queue_fd[q], 0));
	}
	rig_front(r);
	rig_drops(r, DROP_LINK_DOWN);
}

static void guest_without_buffers_drops(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_front(r);
	front_start(r->front, front_features, 1, 1, 256);
	rig_drops(r, DROP_QUEUE_FULL);
	front_offer(r->front, 0, 1);
	rig_sends(r, 1, 60);
	rig_drops(r, DROP_QUEUE_FULL);
}

/* ---- Several queues ---- */

/* A UDP frame of flow n. */
static void make_flow(uint8_t *data, uint32_t n)
{
	memset(data, 0, 60);
	rig_bytes(data, 12, 1);
	data[12] = 8;		 /* IPv4 */
	data[14] = 0x45;	 /* version, header length */
	data[17] = 46;		 /* length */
	data[23] = 17;		 /* UDP */
	data[35] = (uint8_t)n;	 /* source port */
	data[34] = n >> 8 & 255; /* its upper byte */
	data[39] = 26;		 /* UDP's length */
}

static void offer_all(struct rig *r, unsigned int pairs)
{
	for (uint32_t i = 0; i < pairs; i++)
		front_offer(r->front, 2 * i, 200);
}

/* Send flow n three times. Returns the ring that has got them all. */
static unsigned int ring_of_flow(struct rig *r, uint32_t n)
{
	static struct front_frame got;
	uint8_t data[FRAME_HEADROOM + 60];
	struct frame f[3], *list[] = { &f[0], &f[1], &f[2] };
	enum drop_reason why;
	unsigned int ring = UINT32_MAX, count = 0;

	make_flow(data + FRAME_HEADROOM, n);
	for (unsigned int i = 0; i < 3; i++)
		frame_init(&f[i], data + FRAME_HEADROOM, 60);
	assert_int_equal(r->port->ops->tx(r->port, list, 3, &why), 3);
	for (unsigned int i = 0; i < r->port->queues; i++) {
		unsigned int here = 0;

		if (!r->front->ring[2 * i])
			continue;
		while (front_take(r->front, 2 * i, &got)) {
			assert_memory_equal(got.data, data + FRAME_HEADROOM,
					    60);
			here++;
		}
		if (here)
			ring = 2 * i;
		count += here;
		assert_true(here == 0 || here == 3);
	}
	assert_int_equal(count, 3);
	return ring;
}

static void flows_spread_over_the_pairs_and_stay(void **state)
{
	struct rig *r = *state;
	unsigned int flows[4] = { 0 };
	unsigned int ring[32];

	rig_acquire(r, 4);
	rig_front(r);
	front_start(r->front, front_features, 1, 4, 256);
	offer_all(r, 4);
	for (uint32_t n = 0; n < 32; n++) {
		ring[n] = ring_of_flow(r, n);
		flows[ring[n] / 2]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(flows[i], 1, 20);
	for (uint32_t n = 0; n < 32; n++)
		assert_int_equal(ring_of_flow(r, n), ring[n]);
}

static void burst_of_many_flows_loses_and_reorders_nothing(void **state)
{
	static struct front_frame got;
	static uint8_t data[FRAME_BATCH_MAX][FRAME_HEADROOM + 60];
	struct frame f[FRAME_BATCH_MAX], *list[FRAME_BATCH_MAX];
	unsigned int count = 0, flows = 0;
	struct rig *r = *state;
	enum drop_reason why;

	rig_acquire(r, 3);
	rig_front(r);
	front_start(r->front, front_features, 1, 3, 256);
	offer_all(r, 3);
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++) {
		make_flow(data[i] + FRAME_HEADROOM, i % 16);
		data[i][FRAME_HEADROOM + 59] = (uint8_t)i;
		frame_init(&f[i], data[i] + FRAME_HEADROOM, 60);
		list[i] = &f[i];
	}
	assert_int_equal(r->port->ops->tx(r->port, list, FRAME_BATCH_MAX, &why),
			 FRAME_BATCH_MAX);
	for (uint32_t ring = 0; ring < 6; ring += 2) {
		int last[16];

		memset(last, -1, sizeof(last));
		while (front_take(r->front, ring, &got)) {
			int *before = &last[got.data[35]];

			assert_true(got.data[59] > *before);
			flows += *before < 0;
			*before = got.data[59];
			count++;
		}
	}
	assert_int_equal(count, FRAME_BATCH_MAX);
	assert_int_equal(flows, 16);
}

static void full_ring_of_several_stops_the_burst_there(void **state)
{
	uint8_t data[FRAME_HEADROOM + 60];
	struct rig *r = *state;
	enum drop_reason why = DROP_REASON_COUNT;
	struct frame f[4], *list[4];
	unsigned int full;

	rig_acquire(r, 2);
	rig_front(r);
	front_start(r->front, front_features, 1, 2, 256);
	offer_all(r, 2);
	full = ring_of_flow(r, 5);
	front_ring_make(r->front, full, 256);
	(void)front_get_base(r->front, full);
	front_ring_start(r->front, full, 0);
	front_offer(r->front, full, 2);
	make_flow(data + FRAME_HEADROOM, 5);
	for (unsigned int i = 0; i < 4; i++) {
		frame_init(&f[i], data + FRAME_HEADROOM, 60);
		list[i] = &f[i];
	}
	assert_int_equal(r->port->ops->tx(r->port, list, 4, &why), 2);
	assert_int_equal(why, DROP_QUEUE_FULL);
}

static void pairs_come_and_go_while_it_runs(void **state)
{
	struct rig *r = *state;
	bool seen[8] = { false };

	rig_acquire(r, 4);
	rig_front(r);
	front_start(r->front, front_features, 1, 4, 256);
	offer_all(r, 4);
	for (uint32_t i = 2; i < 8; i++)
		assert_int_equal(front_ack_vring(r->front,
						 VHOST_REQUEST_SET_VRING_ENABLE,
						 i, 0),
				 0);
	assert_true(rig_state(r).carrier);
	for (uint32_t n = 0; n < 16; n++)
		assert_int_equal(ring_of_flow(r, n), 0);
	rig_guest_sends(r, 3, 1, 1, 60);
	rig_expect(r, 1, 1, 0, 60);
	/* The third pair too. */
	for (uint32_t i = 4; i < 6; i++)
		assert_int_equal(front_ack_vring(r->front,
						 VHOST_REQUEST_SET_VRING_ENABLE,
						 i, 1),
				 0);
	for (uint32_t n = 0; n < 16; n++)
		seen[ring_of_flow(r, n)] = true;
	assert_true(seen[0] && seen[4] && !seen[2] && !seen[6]);
	rig_guest_sends(r, 5, 9, 1, 60);
	rig_expect(r, 2, 9, 1, 60);
}

static void each_queue_has_frames_of_its_own(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 2);
	rig_front(r);
	front_start(r->front, front_features, 2, 2, 64);
	for (unsigned int q = 0; q < 2; q++)
		rig_expect(r, q, 0, 0, 60);
	for (unsigned int q = 0; q < 2; q++)
		assert_true(r->port->ops->rx_sleep(r->port, q));
	rig_guest_sends(r, 3, 1, 5, 60);
	assert_false(rig_readable(r->port->queue_fd[0], 0));
	assert_true(rig_readable(r->port->queue_fd[1], 0));
	rig_expect(r, 0, 1, 0, 60);
	rig_expect(r, 1, 1, 5, 60);
}

/* ---- Front ends that come and go ---- */

static void front_end_may_vanish_in_the_middle(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_guest_sends(r, 1, 1, 3, 9000);
	assert_int_equal(rig_rx(r, 0), 3);
	front_free(r->front);
	r->front = NULL;
	/* What we have of it stays, until it's given back. */
	for (uint32_t i = 0; i < 3; i++)
		rig_is(&r->frame[i], 1 + i, 9000);
	rig_done(r, 0);
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	assert_null(rig_state(r).reason);
	assert_int_equal(rig_info(r).memory, 0);
	rig_drops(r, DROP_LINK_DOWN);
	rig_expect(r, 0, 0, 0, 60);
	rig_guest(r, front_features);
	rig_works(r, 1);
}

static void front_end_may_vanish_at_any_byte(void **state)
{
	const struct {
		struct vhost_msg_head head;
		struct vhost_msg_vring vring;
	} m = { { VHOST_REQUEST_SET_VRING_NUM, VHOST_MSG_VERSION, 8 },
		{ 0, 256 } };
	struct rig *r = *state;

	rig_acquire(r, 1);
	for (size_t cut = 0; cut <= sizeof(m); cut++) {
		struct front *f = rig_front(r);

		if (cut)
			front_send_raw(f, &m, cut, NULL, 0);
		rig_pump(r);
		assert_string_equal(rig_state(r).condition, "connected");
		front_hang_up(f);
		rig_pump(r);
		assert_string_equal(rig_state(r).condition, "waiting");
	}
	rig_guest(r, front_features);
	rig_works(r, 1);
}

static void reconnecting_leaks_nothing(void **state)
{
	struct rig *r = *state;
	unsigned int fds = 0;

	rig_acquire(r, 1);
	for (unsigned int i = 0; i < 20; i++) {
		rig_guest(r, front_features);
		rig_works(r, 10 * i);
		if (i == 0)
			fds = fds_count();
		assert_int_equal(fds_count(), fds);
	}
	assert_int_equal(rig_info(r).connections, 20);
	assert_int_equal(rig_info(r).ring[0].frames, 20);
}

static void second_front_end_is_sent_away(void **state)
{
	struct rig *r = *state;
	struct front *second = front_new(rig_pump, r);

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	front_connect(second, r->rq.vhost_user.path);
	front_gone(second);
	rig_works(r, 1);
	front_free(second);
}

static void second_front_end_is_the_first_where_that_is_gone(void **state)
{
	struct rig *r = *state;
	struct front *f = front_new(NULL, NULL);

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	/* Both happen before anybody here looks. */
	front_hang_up(r->front);
	front_connect(f, r->rq.vhost_user.path);
	front_free(r->front);
	r->front = f;
	f->pump = rig_pump;
	f->ctx = r;
	front_start(f, front_features, 1, 1, 256);
	front_offer(f, 0, 10);
	rig_works(r, 1);
	assert_int_equal(rig_info(r).connections, 2);
}

static void front_end_waits_until_there_is_a_descriptor_for_it(void **state)
{
	struct rig *r = *state;
	struct front *f = front_new(NULL, NULL);
	struct rlimit old, few;

	rig_acquire(r, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	front_connect(f, r->rq.vhost_user.path);
	r->front = f;
	few = old;
	few.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	/* It doesn't come back at once. */
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	assert_false(rig_readable(r->port->control_fd, 0));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	rig_until(r, "connected");
	f->pump = rig_pump;
	f->ctx = r;
	front_start(f, front_features, 1, 1, 256);
	front_offer(f, 0, 10);
	rig_works(r, 1);
}

static void grant_that_lacks_something_opens_no_port(void **state)
{
	struct rig *r = *state;
	struct port_grant grant;
	struct rlimit old, few;

	assert_int_equal(vhost_user_acquire(&r->rq, &r->grant, &r->err), 0);
	grant = r->grant;
	grant.nfds = 1;
	assert_null(port_ops_vhost_user.open(&r->rq, &grant, &r->err));
	assert_string_equal(r->err.reason, "bad-grant");
	/* A state that is no memory. */
	grant = r->grant;
	grant.fd[VHOST_GRANT_STATE] = grant.fd[VHOST_GRANT_SOCKET];
	assert_null(port_ops_vhost_user.open(&r->rq, &grant, &r->err));
	assert_string_equal(r->err.reason, "bad-grant");
	/* More queues than there can be. */
	r->rq.vhost_user.queues = VHOST_QUEUES_MAX + 1;
	assert_null(port_ops_vhost_user.open(&r->rq, &r->grant, &r->err));
	assert_string_equal(r->err.reason, "bad-grant");
	r->rq.vhost_user.queues = VHOST_QUEUES_MAX;
	/* However many descriptors there are, all are given back. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (few.rlim_cur = fds_count() - 1;; few.rlim_cur++) {
		struct port *p;

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		p = port_ops_vhost_user.open(&r->rq, &r->grant, &r->err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (p) {
			p->ops->close(p);
			break;
		}
		assert_string_equal(r->err.reason, "no-descriptor");
	}
	assert_in_range(few.rlim_cur, fds_count() + 10, fds_count() + 30);
}

static void changes_are_told(void **state)
{
	struct rig *r = *state;
	unsigned int n;

	rig_acquire(r, 1);
	rig_pump(r);
	assert_int_equal(r->changes, 0);
	rig_front(r);
	assert_int_equal(r->changes, 1);
	front_start(r->front, front_features, 1, 1, 256);
	n = r->changes;
	assert_in_range(n, 2, 20);
	(void)front_get_u64(r->front, VHOST_REQUEST_GET_FEATURES);
	assert_int_equal(r->changes, n);
	front_hang_up(r->front);
	rig_pump(r);
	assert_int_equal(r->changes, n + 1);
}

/* ---- A ring that is broken ---- */

static void break_ring(struct rig *r, uint32_t index)
{
	struct front_ring *ring = r->front->ring[index];
	struct vdriver_piece nowhere = { .addr = 1ull << 50,
					 .len = 100,
					 .write = !(index & 1) };

	assert_true(vdriver_add(ring->driver, &nowhere, 1, NULL) >= 0);
	(void)vdriver_publish(ring->driver);
}

static void expect_broken(struct rig *r)
{
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "broken");
	assert_string_equal(rig_state(r).reason,
			    "a descriptor outside of the guest's memory");
	assert_false(rig_state(r).carrier);
	rig_drops(r, DROP_LINK_DOWN);
	rig_guest_sends(r, 1, 9, 1, 60);
	rig_expect(r, 0, 9, 0, 60);
	assert_true(r->port->ops->rx_sleep(r->port, 0));
	assert_false(rig_readable(r->port->queue_fd[0], 0));
	assert_false(rig_readable(r->port->control_fd, 0));
}

static void broken_ring_stops_the_port_until_it_begins_anew(void **state)
{
	struct rig *r = *state;
	eventfd_t n;

	rig_acquire(r, 1);
	for (uint32_t ring = 0; ring < 2; ring++) {
		enum drop_reason why;

		rig_front(r);
		front_start(r->front, front_features, 1, 1, 256);
		break_ring(r, ring);
		if (ring)
			rig_expect(r, 0, 0, 0, 60);
		else
			assert_int_equal(rig_send(r, 1, 60, &why), 0);
		expect_broken(r);
		assert_int_equal(eventfd_read(r->front->ring[ring]->err, &n),
				 0);
		assert_int_equal(eventfd_read(r->front->ring[!ring]->err, &n),
				 -1);
		/* What QEMU does when its guest is reset. */
		for (uint32_t i = 0; i < 2; i++)
			(void)front_get_base(r->front, i);
		assert_null(rig_state(r).reason);
		for (uint32_t i = 0; i < 2; i++) {
			front_ring_make(r->front, i, 256);
			front_ring_start(r->front, i, 0);
		}
		front_offer(r->front, 0, 10);
		rig_works(r, 1);
		/* Or a front end that comes again. */
		break_ring(r, 1);
		rig_expect(r, 0, 0, 0, 60);
		rig_pump(r);
		assert_string_equal(rig_state(r).condition, "broken");
		rig_guest(r, front_features);
		assert_null(rig_state(r).reason);
		rig_works(r, 1);
	}
}

/* ---- RARP ---- */

static void moved_guest_is_announced(void **state)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct rig *r = *state;
	uint8_t want[60] = { 0 };
	uint64_t word = 0;

	memset(want, 0xff, 6);
	memcpy(want + 6, mac, 6);
	memcpy(want + 12, "\x80\x35\0\1\x08\0\6\4\0\3", 10);
	memcpy(want + 22, mac, 6);
	memcpy(want + 32, mac, 6);
	memcpy(&word, mac, 6);
	rig_acquire(r, 2);
	rig_guest(r, front_features);
	for (unsigned int q = 0; q < 2; q++)
		rig_expect(r, q, 0, 0, 60);
	assert_int_equal(front_ack_u64(r->front, VHOST_REQUEST_SEND_RARP, word),
			 0);
	assert_true(rig_readable(r->port->queue_fd[0], 0));
	assert_false(rig_readable(r->port->queue_fd[1], 0));
	assert_int_equal(rig_rx(r, 0), 1);
	assert_int_equal(r->frame[0].len, 60);
	assert_int_equal(r->frame[0].head_len, 60);
	assert_memory_equal(r->frame[0].data, want, 60);
	rig_done(r, 0);
	assert_false(rig_readable(r->port->queue_fd[0], 0));
	rig_expect(r, 0, 0, 0, 60);
	/* In front of what the guest sends itself, and of that nothing less. */
	rig_guest_sends(r, 1, 1, 64, 60);
	assert_int_equal(front_ack_u64(r->front, VHOST_REQUEST_SEND_RARP, word),
			 0);
	assert_int_equal(rig_rx(r, 0), 64);
	assert_memory_equal(r->frame[0].data, want, 60);
	rig_is(&r->frame[63], 63, 60);
	rig_done(r, 0);
	rig_expect(r, 0, 64, 1, 60);
	/* Before its rings run. */
	(void)front_get_base(r->front, 1);
	assert_int_equal(front_ack_u64(r->front, VHOST_REQUEST_SEND_RARP, word),
			 0);
	assert_int_equal(rig_rx(r, 0), 1);
	rig_done(r, 0);
}

/* ---- role=client ---- */

static void client_connects_again_and_again(void **state)
{
	struct rig *r = *state;
	int listener;

	r->rq.vhost_user.client = true;
	rig_acquire(r, 1);
	assert_string_equal(rig_state(r).condition, "waiting");
	rig_drops(r, DROP_LINK_DOWN);
	/* Nobody is there yet: some attempts that fail. */
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(rig_readable(r->port->control_fd, RIG_TIMEOUT));
		rig_pump(r);
		assert_string_equal(rig_state(r).condition, "waiting");
	}
	listener = rig_listen(r);
	rig_accepted(r, listener);
	for (unsigned int i = 0; i < 3; i++) {
		front_hang_up(r->front);
		rig_until(r, "waiting");
		rig_accepted(r, listener);
	}
	/* Whoever listens there begins anew. */
	close(listener);
	assert_int_equal(unlink(r->rq.vhost_user.path), 0);
	listener = rig_listen(r);
	rig_accepted(r, listener);
	assert_int_equal(rig_info(r).connections, 5);
	close(listener);
}

static void client_connects_at_once_where_somebody_listens(void **state)
{
	struct rig *r = *state;
	int listener = rig_listen(r);

	r->rq.vhost_user.client = true;
	rig_acquire(r, 1);
	assert_string_equal(rig_state(r).condition, "connected");
	rig_accepted(r, listener);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(frames_of_any_length_cross_two_ports),
		RIG_TEST(super_frame_crosses_two_ports_as_one),
		RIG_TEST(batch_is_in_order_and_bounded),
		RIG_TEST(offloads_follow_the_guests_features),
		RIG_TEST(queue_wakes_up_only_who_sleeps),
		RIG_TEST(port_without_a_guest_drops),
		RIG_TEST(guest_without_buffers_drops),
		RIG_TEST(flows_spread_over_the_pairs_and_stay),
		RIG_TEST(burst_of_many_flows_loses_and_reorders_nothing),
		RIG_TEST(full_ring_of_several_stops_the_burst_there),
		RIG_TEST(pairs_come_and_go_while_it_runs),
		RIG_TEST(each_queue_has_frames_of_its_own),
		RIG_TEST(front_end_may_vanish_in_the_middle),
		RIG_TEST(front_end_may_vanish_at_any_byte),
		RIG_TEST(reconnecting_leaks_nothing),
		RIG_TEST(second_front_end_is_sent_away),
		RIG_TEST(second_front_end_is_the_first_where_that_is_gone),
		RIG_TEST(front_end_waits_until_there_is_a_descriptor_for_it),
		RIG_TEST(grant_that_lacks_something_opens_no_port),
		RIG_TEST(changes_are_told),
		RIG_TEST(broken_ring_stops_the_port_until_it_begins_anew),
		RIG_TEST(moved_guest_is_announced),
		RIG_TEST(client_connects_again_and_again),
		RIG_TEST(client_connects_at_once_where_somebody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
