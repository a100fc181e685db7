/*
 * What a next process goes on with: a port is closed as by a process that dies,
 * and opened again from its state and what a keeper holds.
 */
#include "tests/unit/vhost_port.h"

#include "ports/vhost_user_internal.h"

/* The other process: has a grant of its own, and what was held. */
struct keeper {
	struct port_request rq;
	struct port_grant grant;
	int fd[PORT_HELD_MAX];
	unsigned int holds, renewals;
	int refuse;	   /* a slot that can't be held, or -1 */
	struct port *port; /* that must not be locked meanwhile, or NULL */
};

static struct keeper keeper;

static int keeper_renew(void *ctx, const struct port_request *rq,
			const struct port_grant *grant, int *newfd)
{
	struct keeper *k = ctx;
	struct error err;
	int r;

	(void)grant;
	assert_string_equal(rq->name, k->rq.name);
	k->renewals++;
	r = vhost_user_renew(&k->rq, &k->grant, &err);
	if (r == 0)
		*newfd = fcntl(k->grant.fd[0], F_DUPFD_CLOEXEC, 0);
	return r;
}

/* The keeper may take its time: workers don't wait for it. */
static void expect_unlocked(struct port *p)
{
	struct vhost_session *s = &vhost_user_of(p)->session;

	for (unsigned int i = 0; i < s->rings; i++) {
		assert_int_equal(pthread_mutex_trylock(&s->line[i].lock), 0);
		(void)pthread_mutex_unlock(&s->line[i].lock);
	}
}

static int keeper_hold(void *ctx, const struct port_grant *grant,
		       unsigned int slot, int fd)
{
	struct keeper *k = ctx;

	assert_int_equal(grant->handle, 42);
	assert_in_range(slot, 0, PORT_HELD_MAX - 1);
	if (k->port)
		expect_unlocked(k->port);
	if (fd >= 0 && (int)slot == k->refuse)
		return -EMFILE;
	if (k->fd[slot] >= 0)
		close(k->fd[slot]);
	k->fd[slot] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	k->holds++;
	return 0;
}

static int keeper_held(void *ctx, const struct port_grant *grant,
		       unsigned int slot)
{
	struct keeper *k = ctx;

	assert_int_equal(grant->handle, 42);
	return k->fd[slot] < 0 ? -ENOENT
			       : fcntl(k->fd[slot], F_DUPFD_CLOEXEC, 0);
}

static unsigned int kept(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PORT_HELD_MAX; i++)
		n += keeper.fd[i] >= 0;
	return n;
}

/* Two descriptors of the grant are ours, copies of the keeper's. */
static void borrow_grant(struct rig *r)
{
	r->grant = keeper.grant;
	r->grant.nfds = VHOST_GRANT_RUN_FDS;
	r->grant.handle = 42;
	for (unsigned int i = 0; i < r->grant.nfds; i++) {
		r->grant.fd[i] = fcntl(keeper.grant.fd[i], F_DUPFD_CLOEXEC, 0);
		assert_true(r->grant.fd[i] >= 0);
	}
}

static void begin(struct rig *r, uint32_t queues)
{
	const struct port_keeper k = {
		.renew = keeper_renew,
		.hold = keeper_hold,
		.held = keeper_held,
		.ctx = &keeper,
	};

	memset(&keeper, 0, sizeof(keeper));
	memset(keeper.fd, -1, sizeof(keeper.fd));
	keeper.refuse = -1;
	r->rq.vhost_user.queues = queues;
	keeper.rq = r->rq;
	assert_int_equal(vhost_user_acquire(&keeper.rq, &keeper.grant, &r->err),
			 0);
	port_keeper_set(&k);
	borrow_grant(r);
	rig_open(r);
}

/* The keeper ends too. */
static void end(struct rig *r)
{
	if (r->front)
		front_free(r->front);
	r->front = NULL;
	rig_close(r);
	port_grant_close(&r->grant);
	for (unsigned int i = 0; i < PORT_HELD_MAX; i++)
		if (keeper.fd[i] >= 0)
			close(keeper.fd[i]);
	vhost_user_release(&keeper.rq, &keeper.grant);
	port_keeper_set(NULL);
}

/* The process dies. */
static void die(struct rig *r)
{
	rig_close(r);
	port_grant_close(&r->grant);
}

/* The next one begins, and takes over. */
static void live(struct rig *r)
{
	borrow_grant(r);
	r->grant.resumed = true;
	rig_open(r);
	r->port->ops->take_over(r->port);
	rig_pump(r);
}

static void restart(struct rig *r)
{
	die(r);
	live(r);
}

/* The state, to be looked at or damaged. */
static struct vhost_state *map_state(void)
{
	struct vhost_state *s =
		mmap(NULL, VHOST_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		     keeper.grant.fd[VHOST_GRANT_STATE], 0);

	assert_true(s != MAP_FAILED);
	return s;
}

static void goes_on(struct rig *r, uint64_t features, unsigned int regions)
{
	begin(r, 1);
	rig_front(r);
	front_start(r->front, features, regions, 1, 256);
	front_offer(r->front, 0, 200);
	rig_works(r, 1);
	for (uint32_t i = 0; i < 10; i++) {
		unsigned int n = 16 * i + 10;

		restart(r);
		assert_string_equal(rig_state(r).condition, "running");
		assert_int_equal(rig_info(r).features, features);
		assert_int_equal(rig_info(r).connections, 1);
		/* Whatever was missed meanwhile is looked for. */
		assert_true(rig_readable(r->port->queue_fd[0], 0));
		rig_works(r, n);
		/* What the guest has sent while there was nobody. */
		die(r);
		rig_guest_sends(r, 1, n + 2, 3, 60);
		live(r);
		rig_expect(r, 0, n + 2, 3, 60);
		rig_expect(r, 0, 0, 0, 60);
		rig_sends(r, n + 6, 60);
		rig_guest_got(r, 0, n + 6, 60);
		front_offer(r->front, 0, 2);
		(void)front_reap(r->front, 1);
	}
	/* The front end hasn't noticed, and can go on as well. */
	assert_false(rig_readable(r->front->sock, 0));
	assert_int_equal(front_get_u64(r->front, VHOST_REQUEST_GET_QUEUE_NUM),
			 1);
	end(r);
}

static void split_rings_go_on(void **state)
{
	goes_on(*state, front_features, 1);
}

static void packed_rings_go_on(void **state)
{
	goes_on(*state, front_features | BIT(VIRTIO_F_RING_PACKED), 1);
}

static void many_regions_go_on(void **state)
{
	goes_on(*state, front_features, FRONT_REGIONS);
}

static void several_pairs_go_on(void **state)
{
	struct rig *r = *state;

	begin(r, 3);
	rig_front(r);
	front_start(r->front, front_features, 1, 3, 256);
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 3, 0),
		0);
	restart(r);
	for (unsigned int q = 0; q < 3; q++) {
		assert_int_equal(rig_readable(r->port->queue_fd[q], 0), q != 1);
		rig_guest_sends(r, 2 * q + 1, q, 1, 60);
		rig_expect(r, q, q, q != 1, 60);
	}
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 3, 1),
		0);
	rig_expect(r, 1, 1, 1, 60);
	end(r);
}

/* Frames in hand when it dies aren't sent twice, and their buffers aren't
 * lost. */
static void frames_in_hand_are_given_back_unseen(void **state)
{
	struct rig *r = *state;

	begin(r, 1);
	rig_guest(r, front_features);
	rig_guest_sends(r, 1, 1, 5, 60);
	assert_int_equal(rig_rx(r, 0), 5);
	/* No rx_done. The lock dies with it. */
	restart(r);
	rig_expect(r, 0, 1, 0, 60);
	assert_int_equal(front_reap(r->front, 1), 5);
	rig_works(r, 9);
	end(r);
}

static void log_goes_on(void **state)
{
	const uint64_t bytes = 1 << 20;
	struct vhost_msg_log m = { .size = bytes };
	struct rig *r = *state;
	uint8_t *bits;
	uint64_t v;
	int fd;

	begin(r, 1);
	rig_guest(r, front_features | BIT(VHOST_FEATURE_LOG_ALL));
	fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(bits != MAP_FAILED);
	front_send(r->front, VHOST_REQUEST_SET_LOG_BASE, 0, &m, sizeof(m), &fd,
		   1);
	front_reply(r->front, VHOST_REQUEST_SET_LOG_BASE, &v, sizeof(v));
	close(fd);
	restart(r);
	assert_true(rig_info(r).logging);
	memset(bits, 0, bytes);
	rig_sends(r, 1, 60);
	v = 0;
	for (uint64_t i = 0; i < bytes; i++)
		v += bits[i] != 0;
	assert_int_equal(v, 1); /* the buffer */
	munmap(bits, bytes);
	end(r);
}

static void slots_that_came_and_went_go_on(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_slot slot = { .padding = 0 };
	struct front *f;

	begin(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	front_make_memory(f, 4);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(front_tell_slots(f), 0);
		for (unsigned int k = 0; k < 4; k++) {
			slot.region = f->region[(k + i) % 4].told;
			restart(r);
			assert_int_equal(rig_info(r).regions, 4 - k);
			assert_int_equal(front_ack(f, VHOST_REQUEST_REM_MEM_REG,
						   &slot, sizeof(slot), NULL,
						   0),
					 0);
		}
	}
	/* The connection, and nothing else. */
	assert_int_equal(kept(), 1);
	end(r);
}

static void nothing_is_kept_of_who_has_gone(void **state)
{
	struct rig *r = *state;
	int event = eventfd(0, EFD_CLOEXEC);

	begin(r, 2);
	rig_front(r);
	front_start(r->front, front_features, 3, 2, 64);
	assert_int_equal(front_ack(r->front, VHOST_REQUEST_SET_BACKEND_REQ_FD,
				   NULL, 0, &event, 1),
			 0);
	close(event);
	/* Connection, channel, regions, and three for each ring. */
	assert_int_equal(kept(), 1 + 1 + 3 + 4 * 3);
	front_hang_up(r->front);
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	assert_int_equal(kept(), 0);
	/* The keeper has it no more, and so nobody waits for it. */
	assert_false(rig_readable(r->port->control_fd, 0));
	restart(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	rig_guest(r, front_features);
	rig_works(r, 1);
	end(r);
}

static void nobody_waits_while_the_keeper_holds_and_drops(void **state)
{
	struct rig *r = *state;
	unsigned int holds;
	int kick = eventfd(0, EFD_CLOEXEC);

	begin(r, 2);
	keeper.port = r->port;
	rig_front(r);
	front_start(r->front, front_features, 3, 2, 64);
	/* Connection, regions, and three for each ring. */
	assert_int_equal(keeper.holds, 1 + 3 + 4 * 3);
	/* Another kick: one is dropped, one is held. */
	assert_int_equal(
		front_ack_fd(r->front, VHOST_REQUEST_SET_VRING_KICK, 1, kick),
		0);
	assert_int_equal(keeper.holds, 1 + 3 + 4 * 3 + 2);
	close(kick);
	/* Other memory: the old one's is dropped. */
	holds = keeper.holds;
	assert_int_equal(front_tell_memory(r->front), 0);
	assert_int_equal(keeper.holds, holds + 3 + 3);
	(void)front_get_base(r->front, 3);
	assert_int_equal(kept(), 1 + 3 + 4 * 3 - 1);
	assert_int_equal(front_ack(r->front, VHOST_REQUEST_RESET_DEVICE, NULL,
				   0, NULL, 0),
			 0);
	assert_int_equal(kept(), 1 + 3);
	front_hang_up(r->front);
	rig_pump(r);
	assert_int_equal(kept(), 0);
	keeper.port = NULL;
	end(r);
}

/* The front end is told, by the end of its connection, and comes again. */
static void expect_dropped(struct rig *r)
{
	live(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	front_gone(r->front);
	assert_int_equal(kept(), 0);
	rig_guest(r, front_features);
	rig_works(r, 1);
}

static void death_in_the_middle_of_a_message_ends_the_connection(void **state)
{
	const uint32_t half = VHOST_REQUEST_GET_FEATURES;
	struct rig *r = *state;
	struct vhost_state *s;

	begin(r, 1);
	s = map_state();
	rig_guest(r, front_features);
	assert_int_equal(s->busy, 0);
	/* The first bytes of one were taken, which nobody else has. */
	front_send_raw(r->front, &half, sizeof(half), NULL, 0);
	rig_pump(r);
	assert_int_not_equal(s->busy, 0);
	die(r);
	expect_dropped(r);
	assert_int_equal(s->busy, 0);
	munmap(s, VHOST_STATE_SIZE);
	end(r);
}

static void state_that_makes_no_sense_ends_the_connection(void **state)
{
	struct rig *r = *state;
	struct vhost_state *s;

	begin(r, 1);
	s = map_state();
	for (unsigned int i = 0; i < 5; i++) {
		rig_guest(r, front_features);
		rig_works(r, 1);
		die(r);
		if (i == 0)
			s->magic = 0;
		else if (i == 1)
			s->size--;
		else if (i == 2)
			s->tables[s->table].n = VHOST_REGIONS_MAX + 1;
		else if (i == 3)
			s->ring[1].kick = PORT_HELD_MAX;
		else
			memset(s, 0xff, sizeof(*s));
		expect_dropped(r);
	}
	munmap(s, VHOST_STATE_SIZE);
	end(r);
}

/* What was held is gone, each in turn. */
static void descriptors_that_are_missing_end_the_connection(void **state)
{
	struct rig *r = *state;
	unsigned int missing = 0;

	begin(r, 1);
	for (unsigned int slot = 1; slot < PORT_HELD_MAX; slot++) {
		rig_guest(r, front_features);
		if (keeper.fd[slot] < 0)
			continue;
		die(r);
		close(keeper.fd[slot]);
		keeper.fd[slot] = -1;
		expect_dropped(r);
		missing++;
	}
	assert_int_equal(missing, 1 + 2 * 3);
	end(r);
}

static void connection_that_is_missing_is_none(void **state)
{
	struct rig *r = *state;

	begin(r, 1);
	rig_guest(r, front_features);
	die(r);
	close(keeper.fd[0]);
	keeper.fd[0] = -1;
	live(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	assert_int_equal(kept(), 0);
	front_gone(r->front);
	rig_guest(r, front_features);
	rig_works(r, 1);
	end(r);
}

static void what_cant_be_held_costs_the_connection_later(void **state)
{
	struct rig *r = *state;
	unsigned int refused = 0;

	begin(r, 1);
	for (int slot = 0; slot < PORT_HELD_MAX; slot++) {
		keeper.refuse = -1;
		rig_guest(r, front_features);
		if (slot && keeper.fd[slot] < 0)
			continue;
		keeper.refuse = slot;
		rig_guest(r, front_features);
		/* Until then it works as ever. */
		rig_works(r, 1);
		die(r);
		keeper.refuse = -1;
		expect_dropped(r);
		refused++;
	}
	assert_int_equal(refused, 1 + 1 + 2 * 3);
	end(r);
}

static void broken_ring_stays_broken(void **state)
{
	struct rig *r = *state;
	struct vdriver_piece nowhere = { 1ull << 50, 100, false };
	struct vdriver *d;

	begin(r, 1);
	rig_guest(r, front_features);
	d = r->front->ring[1]->driver;
	assert_true(vdriver_add(d, &nowhere, 1, NULL) >= 0);
	(void)vdriver_publish(d);
	rig_expect(r, 0, 0, 0, 60);
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "broken");
	restart(r);
	assert_string_equal(rig_state(r).condition, "broken");
	assert_non_null(strstr(rig_state(r).reason, "restart"));
	rig_drops(r, DROP_LINK_DOWN);
	for (uint32_t i = 0; i < 2; i++) {
		(void)front_get_base(r->front, i);
		front_ring_make(r->front, i, 256);
		front_ring_start(r->front, i, 0);
	}
	front_offer(r->front, 0, 10);
	rig_works(r, 1);
	end(r);
}

/* Two processes at a time: the new one is open while the old one works. */
static void upgrade_takes_over_what_the_old_one_has_by_then(void **state)
{
	struct rig *r = *state;
	struct port *old, *new;
	struct port_grant grant;

	begin(r, 1);
	rig_guest(r, front_features);
	old = r->port;
	grant = r->grant;
	borrow_grant(r);
	r->grant.resumed = true;
	rig_open(r);
	new = r->port;
	/* It has touched nothing: the old one goes on. */
	r->port = old;
	rig_works(r, 1);
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 0, 0),
		0);
	r->port = new;
	new->ops->take_over(new);
	old->ops->close(old);
	port_grant_close(&grant);
	assert_string_equal(rig_state(r).condition, "connected");
	assert_int_equal(
		front_ack_vring(r->front, VHOST_REQUEST_SET_VRING_ENABLE, 0, 1),
		0);
	rig_works(r, 3);
	end(r);
}

static void client_goes_on_and_has_the_keeper_dial(void **state)
{
	struct rig *r = *state;
	int listener;

	r->rq.vhost_user.client = true;
	begin(r, 1);
	listener = rig_listen(r);
	rig_accepted(r, listener);
	assert_in_range(keeper.renewals, 1, 5);
	restart(r);
	assert_string_equal(rig_state(r).condition, "running");
	rig_works(r, 3);
	/* We end it, though the keeper has it too. */
	front_send_raw(r->front, "nonsense, all of it", 20, NULL, 0);
	front_gone(r->front);
	rig_accepted(r, listener);
	/* It ends, and begins anew after a restart as well. */
	front_hang_up(r->front);
	rig_until(r, "waiting");
	assert_int_equal(kept(), 0);
	restart(r);
	rig_accepted(r, listener);
	/* It ends while nobody is there. */
	die(r);
	front_hang_up(r->front);
	live(r);
	rig_accepted(r, listener);
	/* Nobody is left to connect to: it waits. */
	close(listener);
	front_hang_up(r->front);
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	end(r);
}

static void front_end_may_come_while_nobody_is_there(void **state)
{
	struct rig *r = *state;

	begin(r, 1);
	die(r);
	r->front = front_new(NULL, NULL);
	front_connect(r->front, r->rq.vhost_user.path);
	live(r);
	assert_string_equal(rig_state(r).condition, "connected");
	r->front->pump = rig_pump;
	r->front->ctx = r;
	front_start(r->front, front_features, 1, 1, 256);
	front_offer(r->front, 0, 10);
	rig_works(r, 1);
	end(r);
}

static void front_end_may_go_while_nobody_is_there(void **state)
{
	struct rig *r = *state;

	begin(r, 1);
	rig_guest(r, front_features);
	die(r);
	front_free(r->front);
	r->front = NULL;
	live(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	assert_int_equal(kept(), 0);
	end(r);
}

/*
 * An upgrade that fails late: the new one has begun, got somewhere and died,
 * and the old one goes on, which has been there all the time.
 */
static void other_one_had_it(struct rig *r, bool took_over, uint32_t n)
{
	struct port_grant grant = r->grant;
	struct port *port = r->port;

	if (took_over) {
		live(r);
		rig_works(r, n);
		rig_guest_sends(r, 1, n + 2, 3, 60);
		rig_expect(r, 0, n + 2, 3, 60);
	} else {
		borrow_grant(r);
		r->grant.resumed = true;
		rig_open(r);
	}
	die(r);
	r->grant = grant;
	r->port = port;
	r->port->ops->take_over(r->port);
	rig_pump(r);
}

static void goes_on_again(struct rig *r, uint64_t features)
{
	begin(r, 1);
	rig_guest(r, features);
	rig_works(r, 1);
	for (uint32_t i = 0; i < 20; i++) {
		other_one_had_it(r, i % 2, 100 * i + 10);
		assert_string_equal(rig_state(r).condition, "running");
		assert_int_equal(rig_info(r).connections, 1);
		assert_true(rig_readable(r->port->queue_fd[0], 0));
		rig_works(r, 100 * i + 50);
		rig_expect(r, 0, 0, 0, 60);
		front_offer(r->front, 0, i % 2 ? 2 : 1);
		(void)front_reap(r->front, 1);
	}
	assert_false(rig_readable(r->front->sock, 0));
	end(r);
}

static void old_one_goes_on_with_split_rings_that_the_new_one_had(void **state)
{
	goes_on_again(*state, front_features);
}

static void old_one_goes_on_with_packed_rings_that_the_new_one_had(void **state)
{
	goes_on_again(*state, front_features | BIT(VIRTIO_F_RING_PACKED));
}

static void old_one_hears_of_a_front_end_that_came_to_the_new_one(void **state)
{
	struct rig *r = *state;
	struct port_grant grant;
	struct port *port;

	begin(r, 1);
	grant = r->grant;
	port = r->port;
	live(r);
	rig_guest(r, front_features);
	rig_works(r, 1);
	die(r);
	r->grant = grant;
	r->port = port;
	r->port->ops->take_over(r->port);
	assert_string_equal(rig_state(r).condition, "running");
	rig_works(r, 9);
	front_hang_up(r->front);
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "waiting");
	rig_guest(r, front_features);
	rig_works(r, 20);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(split_rings_go_on),
		RIG_TEST(packed_rings_go_on),
		RIG_TEST(many_regions_go_on),
		RIG_TEST(several_pairs_go_on),
		RIG_TEST(frames_in_hand_are_given_back_unseen),
		RIG_TEST(log_goes_on),
		RIG_TEST(slots_that_came_and_went_go_on),
		RIG_TEST(nothing_is_kept_of_who_has_gone),
		RIG_TEST(nobody_waits_while_the_keeper_holds_and_drops),
		RIG_TEST(death_in_the_middle_of_a_message_ends_the_connection),
		RIG_TEST(state_that_makes_no_sense_ends_the_connection),
		RIG_TEST(descriptors_that_are_missing_end_the_connection),
		RIG_TEST(connection_that_is_missing_is_none),
		RIG_TEST(what_cant_be_held_costs_the_connection_later),
		RIG_TEST(broken_ring_stays_broken),
		RIG_TEST(upgrade_takes_over_what_the_old_one_has_by_then),
		RIG_TEST(old_one_goes_on_with_split_rings_that_the_new_one_had),
		RIG_TEST(
			old_one_goes_on_with_packed_rings_that_the_new_one_had),
		RIG_TEST(old_one_hears_of_a_front_end_that_came_to_the_new_one),
		RIG_TEST(client_goes_on_and_has_the_keeper_dial),
		RIG_TEST(front_end_may_come_while_nobody_is_there),
		RIG_TEST(front_end_may_go_while_nobody_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
