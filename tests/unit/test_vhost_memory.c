/* A front end's memory: told, told in slots, replaced and taken away while its
 * rings run; and the log of a migration. */
#include "tests/unit/vhost_port.h"

static void many_regions_are_one_memory(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	for (unsigned int n = 1; n <= FRONT_REGIONS; n++) {
		rig_front(r);
		front_start(r->front, front_features, n, 1, 256);
		front_offer(r->front, 0, 100);
		assert_int_equal(rig_info(r).regions, n);
		assert_int_equal(rig_info(r).memory, n * FRONT_REGION_SIZE);
		rig_works(r, n);
	}
}

/* The rings are described before the memory is told, slot by slot. */
static void slots_come_and_go(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_slot slot = { .padding = 0 };
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	front_make_memory(f, 3);
	assert_int_equal(front_tell_slots(f), 0);
	assert_int_equal(rig_info(r).regions, 3);
	for (uint32_t i = 0; i < 2; i++) {
		front_ring_make(f, i, 256);
		front_ring_start(f, i, 0);
	}
	front_offer(f, 0, 100);
	rig_works(r, 1);
	/* The one in the middle has nothing of the rings'. Some send its file
	 * along. */
	slot.region = f->region[1].told;
	assert_int_equal(front_ack(f, VHOST_REQUEST_REM_MEM_REG, &slot,
				   sizeof(slot), &f->region[1].fd, 1),
			 0);
	assert_int_equal(rig_info(r).regions, 2);
	rig_works(r, 3);
	/* Not there any more: QEMU's second pair of queues says it again. */
	assert_int_equal(front_ack(f, VHOST_REQUEST_REM_MEM_REG, &slot,
				   sizeof(slot), NULL, 0),
			 0);
	assert_int_equal(rig_info(r).regions, 2);
	assert_int_equal(front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &slot,
				   sizeof(slot), &f->region[1].fd, 1),
			 0);
	rig_works(r, 5);
	/* So it does here. Something else that overlaps is refused. */
	assert_int_equal(front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &slot,
				   sizeof(slot), &f->region[1].fd, 1),
			 0);
	slot.region.size /= 2;
	assert_int_equal(front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &slot,
				   sizeof(slot), &f->region[1].fd, 1),
			 1);
	assert_int_equal(rig_info(r).regions, 3);
	/* The rings' own: they stand still, and go on where they were. */
	slot.region = f->region[0].told;
	assert_int_equal(front_ack(f, VHOST_REQUEST_REM_MEM_REG, &slot,
				   sizeof(slot), NULL, 0),
			 0);
	assert_string_equal(rig_state(r).condition, "connected");
	assert_non_null(strstr(rig_state(r).reason, "memory"));
	rig_drops(r, DROP_LINK_DOWN);
	assert_int_equal(front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &slot,
				   sizeof(slot), &f->region[0].fd, 1),
			 0);
	assert_null(rig_state(r).reason);
	rig_works(r, 7);
}

static void all_slots_can_be_used(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	front_make_memory(f, 1);
	for (uint64_t i = 0; i <= VHOST_REGIONS_MAX; i++) {
		struct vhost_msg_slot slot = {
			.region = { .guest = i << 20,
				    .size = 1 << 20,
				    .user = i << 21,
				    .offset = 0 },
		};

		assert_int_equal(front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &slot,
					   sizeof(slot), &f->region[0].fd, 1),
				 i == VHOST_REGIONS_MAX);
	}
	assert_int_equal(rig_info(r).regions, VHOST_REGIONS_MAX);
	front_make_memory(f, 2);
	assert_int_equal(front_tell_memory(f), 0);
	assert_int_equal(rig_info(r).regions, 2);
}

static void memory_may_be_replaced_while_rings_run(void **state)
{
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	rig_works(r, 1);
	/* The same files at other addresses of the front end's: its rings are
	 * nowhere until it tells where. */
	f->region[0].told.user += 1ull << 40;
	assert_int_equal(front_tell_memory(f), 0);
	assert_string_equal(rig_state(r).condition, "connected");
	for (uint32_t i = 0; i < 2; i++) {
		struct vhost_msg_addr addr;

		front_ring_addr(f, i, &addr);
		assert_int_equal(front_ack(f, VHOST_REQUEST_SET_VRING_ADDR,
					   &addr, sizeof(addr), NULL, 0),
				 0);
	}
	assert_string_equal(rig_state(r).condition, "running");
	rig_works(r, 3);
	/* With what waits in them. */
	rig_guest_sends(r, 1, 5, 4, 60);
	assert_int_equal(front_tell_memory(f), 0);
	rig_expect(r, 0, 5, 4, 60);
}

static void table_that_is_refused_changes_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t size, guest;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	size = f->region[0].told.size;
	f->region[0].told.size = size + (1 << 20); /* than the file */
	assert_int_equal(front_tell_memory(f), 1);
	f->region[0].told.size = 0;
	assert_int_equal(front_tell_memory(f), 1);
	f->region[0].told.size = size;
	guest = f->region[0].told.guest;
	f->region[0].told.guest = UINT64_MAX - 4095;
	assert_int_equal(front_tell_memory(f), 1);
	f->region[0].told.guest = guest;
	assert_int_equal(rig_info(r).memory, size);
	rig_works(r, 1);
}

static void memory_that_is_no_memory_is_refused(void **state)
{
	struct rig *r = *state;
	struct front *f;
	int own, pipes[2];

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	assert_int_equal(pipe(pipes), 0);
	own = f->region[0].fd;
	f->region[0].fd = pipes[0];
	assert_int_equal(front_tell_memory(f), 1);
	f->region[0].fd = f->ring[0]->kick;
	assert_int_equal(front_tell_memory(f), 1);
	f->region[0].fd = own;
	rig_works(r, 1);
	close(pipes[0]);
	close(pipes[1]);
}

static void memory_that_is_cut_short_stops_only_its_port(void **state)
{
	struct rig *r = *state;

	rig_guarded();
	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_works(r, 1);
	assert_int_equal(ftruncate(r->front->region[0].fd, 0), 0);
	rig_expect(r, 0, 0, 0, 60);
	/* Zeros aren't a broken ring yet; but one that has moved is. */
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "broken");
	assert_non_null(strstr(rig_state(r).reason, "memory away"));
	rig_drops(r, DROP_LINK_DOWN);
	rig_guest(r, front_features);
	assert_null(rig_state(r).reason);
	rig_works(r, 1);
}

/* ---- The log ---- */

struct log {
	int fd;
	uint8_t *bits;
	uint64_t bytes;
};

static void log_make(struct log *l, uint64_t memory_end)
{
	l->bytes = (memory_end / VHOST_LOG_PAGE / 8 + 4095) & ~4095ull;
	l->fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(l->fd >= 0);
	assert_int_equal(ftruncate(l->fd, (off_t)l->bytes), 0);
	l->bits = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       l->fd, 0);
	assert_true(l->bits != MAP_FAILED);
}

static void log_free(struct log *l)
{
	munmap(l->bits, l->bytes);
	close(l->fd);
}

static unsigned int log_count(const struct log *l)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < l->bytes; i++)
		n += (unsigned int)__builtin_popcount(l->bits[i]);
	return n;
}

static bool log_has(const struct log *l, uint64_t guest)
{
	uint64_t page = guest / VHOST_LOG_PAGE;

	return l->bits[page / 8] >> (page % 8) & 1;
}

static void migration_is_told_what_was_written(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_addr addr;
	struct vhost_msg_log m = { 0 };
	struct front *f;
	struct log l;
	uint64_t end, v;

	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	end = f->region[0].told.guest + f->region[0].told.size;
	log_make(&l, end);
	m.size = l.bytes;
	front_send(f, VHOST_REQUEST_SET_LOG_BASE, 0, &m, sizeof(m), &l.fd, 1);
	front_reply(f, VHOST_REQUEST_SET_LOG_BASE, &v, sizeof(v));
	assert_int_equal(v, 0);
	/* Nobody has asked for it yet. */
	rig_works(r, 1);
	assert_int_equal(log_count(&l), 0);
	assert_false(rig_info(r).logging);
	for (uint32_t i = 0; i < 2; i++) {
		front_ring_addr(f, i, &addr);
		addr.flags = VHOST_MSG_ADDR_LOG;
		assert_int_equal(front_ack(f, VHOST_REQUEST_SET_VRING_ADDR,
					   &addr, sizeof(addr), NULL, 0),
				 0);
	}
	assert_int_equal(
		front_ack_u64(f, VHOST_REQUEST_SET_FEATURES,
			      front_features | BIT(VHOST_FEATURE_LOG_ALL)),
		0);
	assert_true(rig_info(r).logging);
	memset(l.bits, 0, l.bytes);
	rig_sends(r, 3, 60);
	rig_guest_got(r, 0, 3, 60);
	/* The used ring's page, and the buffer's, which is the second one. */
	front_ring_addr(f, 0, &addr);
	assert_true(log_has(&l, addr.log));
	assert_true(log_has(&l, f->region[0].told.guest + (FRONT_RINGS << 20) +
					FRONT_BUFFER));
	assert_int_equal(log_count(&l), 2);
	/* Off again. */
	assert_int_equal(
		front_ack_u64(f, VHOST_REQUEST_SET_FEATURES, front_features),
		0);
	memset(l.bits, 0, l.bytes);
	rig_works(r, 4);
	assert_int_equal(log_count(&l), 0);
	log_free(&l);
}

static void log_that_cant_be_ends_the_connection(void **state)
{
	struct rig *r = *state;
	struct vhost_msg_log m = { .size = 1 << 20 };
	struct log l;

	rig_acquire(r, 1);
	log_make(&l, 1 << 30);
	front_begin(rig_front(r), front_features, front_protocol);
	/* Longer than its file. */
	front_send(r->front, VHOST_REQUEST_SET_LOG_BASE, 0, &m, sizeof(m),
		   &l.fd, 1);
	front_gone(r->front);
	/* A log without memory. */
	front_begin(rig_front(r), front_features, front_protocol);
	front_send(r->front, VHOST_REQUEST_SET_LOG_BASE, 0, &m, sizeof(m), NULL,
		   0);
	front_gone(r->front);
	/* LOG_SHMFD wasn't agreed on. */
	front_begin(rig_front(r), front_features, 0);
	m.size = l.bytes;
	front_send(r->front, VHOST_REQUEST_SET_LOG_BASE, 0, &m, sizeof(m),
		   &l.fd, 1);
	assert_false(rig_readable(r->front->sock, 0));
	assert_string_equal(rig_state(r).condition, "connected");
	log_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(many_regions_are_one_memory),
		RIG_TEST(slots_come_and_go),
		RIG_TEST(all_slots_can_be_used),
		RIG_TEST(memory_may_be_replaced_while_rings_run),
		RIG_TEST(table_that_is_refused_changes_nothing),
		RIG_TEST(memory_that_is_no_memory_is_refused),
		RIG_TEST(memory_that_is_cut_short_stops_only_its_port),
		RIG_TEST(migration_is_told_what_was_written),
		RIG_TEST(log_that_cant_be_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
