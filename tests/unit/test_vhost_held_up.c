/* A front end that was taken over, and what it can hold up: nobody, and its own
 * port for a while. */
#include "base/fds.h"
#include "ports/vhost_call.h"
#include "tests/unit/fuse.h"
#include "tests/unit/vhost_port.h"

#include <sys/syscall.h>

#define PROMPT_S 60 /* a test that hangs has failed */

/* ---- Descriptors that keep who writes to them waiting ---- */

/* As an enemy does with one that it has passed. */
static void fill(int fd)
{
	eventfd_t n;

	(void)eventfd_read(fd, &n);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* The front end was hung up on, and nobody else is let in. */
static void expect_shut(struct rig *r, const char *reason)
{
	struct front *next;

	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "shut");
	assert_string_equal(rig_state(r).reason, reason);
	front_gone(r->front);
	rig_drops(r, DROP_LINK_DOWN);
	next = rig_front(r);
	front_send(next, VHOST_REQUEST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	rig_pump(r);
	assert_false(rig_readable(next->sock, 0));
	assert_int_equal(rig_info(r).connections, 1);
}

static void call_that_blocks_costs_the_connection(void **state, uint32_t ring,
						  uint64_t features)
{
	struct rig *r = *state;
	struct front *f;

	alarm(PROMPT_S);
	rig_acquire(r, 1);
	f = rig_guest(r, features);
	rig_works(r, 1);
	(void)front_reap(f, ring);
	vdriver_want_calls(f->ring[ring]->driver);
	fill(f->ring[ring]->call);
	if (ring) {
		rig_guest_sends(r, 1, 5, 1, 60);
		rig_expect(r, 0, 5, 1, 60);
	} else {
		rig_sends(r, 5, 60);
	}
	expect_shut(r, VHOST_CALL_HELD_UP);
	alarm(0);
}

static void call_of_a_ring_to_the_guest_blocks(void **state)
{
	call_that_blocks_costs_the_connection(state, 0, front_features);
}

static void call_of_a_ring_from_the_guest_blocks(void **state)
{
	call_that_blocks_costs_the_connection(state, 1, front_features);
}

static void call_of_a_packed_ring_to_the_guest_blocks(void **state)
{
	call_that_blocks_costs_the_connection(
		state, 0, front_features | BIT(VIRTIO_F_RING_PACKED));
}

static void call_of_a_packed_ring_from_the_guest_blocks(void **state)
{
	call_that_blocks_costs_the_connection(
		state, 1, front_features | BIT(VIRTIO_F_RING_PACKED));
}

/* A ring that starts kicks itself: the main thread does. */
static void kick_that_blocks_costs_the_connection(void **state)
{
	const struct vhost_msg_vring on = { .index = 1, .num = 1 };
	struct rig *r = *state;
	struct front *f;

	alarm(PROMPT_S);
	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	rig_works(r, 1);
	fill(f->ring[1]->kick);
	front_send(f, VHOST_REQUEST_SET_VRING_ENABLE, 0, &on, sizeof(on), NULL,
		   0);
	expect_shut(r, VHOST_CALL_HELD_UP);
	alarm(0);
}

static void error_descriptor_that_blocks_costs_the_connection(void **state)
{
	const struct vdriver_piece nowhere = { .addr = 1ull << 50, .len = 100 };
	struct rig *r = *state;
	struct front *f;

	alarm(PROMPT_S);
	rig_acquire(r, 1);
	f = rig_guest(r, front_features);
	fill(f->ring[1]->err);
	assert_true(vdriver_add(f->ring[1]->driver, &nowhere, 1, NULL) >= 0);
	(void)vdriver_publish(f->ring[1]->driver);
	rig_expect(r, 0, 0, 0, 60);
	expect_shut(r, VHOST_CALL_HELD_UP);
	alarm(0);
}

/* ---- Descriptors that nobody needs ---- */

static const char needless[] = "the front end has sent a descriptor that might "
			       "keep the switch waiting";

/* Beside the wrong message, or with one that isn't whole. */
static void descriptor_costs_the_connection(struct rig *r, int fd, bool whole)
{
	const struct vhost_msg_head head = {
		.request = VHOST_REQUEST_SET_VRING_CALL,
		.flags = VHOST_MSG_VERSION,
		.size = 8,
	};
	const uint64_t zero = 0;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_works(r, 1);
	if (whole)
		front_send(r->front, VHOST_REQUEST_SET_VRING_CALL, 0, &zero,
			   sizeof(zero), &fd, 1);
	else
		front_send_raw(r->front, &head, 5, &fd, 1);
	expect_shut(r, needless);
}

static void socket_of_another_kind_costs_the_connection(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	descriptor_costs_the_connection(*state, fd, true);
	close(fd);
}

static void device_with_half_a_message_costs_the_connection(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	descriptor_costs_the_connection(*state, fd, false);
	close(fd);
}

static void file_whose_close_waits_holds_nobody_up(void **state)
{
	struct rig *r = *state;
	struct fuse fuse = { .dir = "" };
	int fd;

	if (!fuse_begin(&fuse))
		skip();
	alarm(PROMPT_S);
	fd = fuse_open(&fuse);
	descriptor_costs_the_connection(r, fd, true);
	assert_true(fds_stuck());
	fuse_end(&fuse);
	while (fds_stuck())
		;
	close(fd);
	alarm(0);
}

#define CLOSERS 4 /* that many may wait, see fds.c */

/* On a disk: nobody knows that of it but who maps it. */
static void closes_that_wait_are_in_nobodys_way(void **state)
{
	char name[] = "/tmp/test_held_up.XXXXXX";
	int file = mkostemp(name, O_CLOEXEC), fd[CLOSERS];
	struct fuse fuse = { .dir = "" };

	(void)state;
	assert_true(file >= 0);
	unlink(name);
	/* A tmpfs is plain. */
	if (!vhost_mem_file_fit(file) || fds_plain(file) ||
	    !fuse_begin(&fuse)) {
		close(file);
		skip();
	}
	alarm(PROMPT_S);
	for (unsigned int i = 0; i < CLOSERS; i++) {
		fd[i] = fuse_open(&fuse);
		assert_int_equal(fds_discard(&fd[i], 1), 0);
	}
	assert_int_equal(fds_discard(&file, 1), -EBUSY);
	vhost_mem_discard(&file, 1);
	assert_int_equal(fcntl(file, F_GETFD), -1);
	fuse_end(&fuse);
	while (fds_stuck())
		;
	alarm(0);
}

/* ---- Memory that takes long to give back ---- */

static struct rig *unmapping;
static unsigned int unmapped, received;

/* The library's: while it unmaps a region, frames go on. */
int munmap(void *addr, size_t len)
{
	if (unmapping && len >= FRONT_REGION_SIZE) {
		unmapped++;
		if (rig_rx(unmapping, 0)) {
			received++;
			rig_done(unmapping, 0);
		}
	}
	return (int)syscall(SYS_munmap, addr, len);
}

static void unmap_beside_traffic(struct rig *r, uint32_t n)
{
	rig_guest_sends(r, 1, n, 1, 60);
	unmapping = r;
	unmapped = received = 0;
}

static void unmapping_ended(void)
{
	unmapping = NULL;
	assert_int_equal(unmapped, 1);
	assert_int_equal(received, 1);
}

static void rings_run_while_memory_is_unmapped(void **state)
{
	struct vhost_msg_slot slot = { .padding = 0 };
	struct rig *r = *state;
	struct front *f;

	rig_acquire(r, 1);
	f = rig_front(r);
	front_begin(f, front_features, front_protocol);
	front_make_memory(f, 3);
	assert_int_equal(front_tell_slots(f), 0);
	for (uint32_t i = 0; i < 2; i++) {
		front_ring_make(f, i, 256);
		front_ring_start(f, i, 0);
	}
	front_offer(f, 0, 100);
	rig_works(r, 1);
	unmap_beside_traffic(r, 3);
	slot.region = f->region[1].told;
	assert_int_equal(front_ack(f, VHOST_REQUEST_REM_MEM_REG, &slot,
				   sizeof(slot), NULL, 0),
			 0);
	unmapping_ended();
	rig_works(r, 4);
}

static void rings_run_while_a_table_is_unmapped(void **state)
{
	struct rig *r = *state;

	rig_acquire(r, 1);
	rig_guest(r, front_features);
	rig_works(r, 1);
	unmap_beside_traffic(r, 3);
	assert_int_equal(front_tell_memory(r->front), 0);
	unmapping_ended();
	rig_works(r, 4);
}

/* ---- Memory that was taken away, where nothing is missed ---- */

static void lost_memory_is_noticed(struct rig *r, uint64_t features, bool send)
{
	enum drop_reason why;
	struct front *f;

	rig_guarded();
	f = rig_front(r);
	front_start(f, features, 1, 1, 256);
	assert_int_equal(ftruncate(f->region[0].fd, 0), 0);
	if (send) {
		assert_int_equal(rig_send(r, 1, 60, &why), 0);
	} else {
		rig_expect(r, 0, 0, 0, 60);
		assert_true(r->port->ops->rx_sleep(r->port, 0));
	}
	rig_pump(r);
	assert_string_equal(rig_state(r).condition, "broken");
	assert_string_equal(rig_state(r).reason,
			    "the front end has taken memory away");
}

static void empty_ring_whose_memory_is_gone_is_broken(void **state)
{
	rig_acquire(*state, 1);
	for (unsigned int i = 0; i < 4; i++)
		lost_memory_is_noticed(
			*state,
			front_features |
				(i & 1 ? BIT(VIRTIO_F_RING_PACKED) : 0),
			i & 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(call_of_a_ring_to_the_guest_blocks),
		RIG_TEST(call_of_a_ring_from_the_guest_blocks),
		RIG_TEST(call_of_a_packed_ring_to_the_guest_blocks),
		RIG_TEST(call_of_a_packed_ring_from_the_guest_blocks),
		RIG_TEST(kick_that_blocks_costs_the_connection),
		RIG_TEST(error_descriptor_that_blocks_costs_the_connection),
		RIG_TEST(socket_of_another_kind_costs_the_connection),
		RIG_TEST(device_with_half_a_message_costs_the_connection),
		RIG_TEST(file_whose_close_waits_holds_nobody_up),
		RIG_TEST(closes_that_wait_are_in_nobodys_way),
		RIG_TEST(rings_run_while_memory_is_unmapped),
		RIG_TEST(rings_run_while_a_table_is_unmapped),
		RIG_TEST(empty_ring_whose_memory_is_gone_is_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
