/*
 * A guest and a switch that run at the same time: frames go through one ring,
 * and back to the guest through another. Both sides sleep when there is nothing
 * to do. A kick or call that is lost lets them wait for ever, which the
 * deadline finds; under ThreadSanitizer, also what is read before it is there.
 */
#include "tests/unit/vhost_rig.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#define FRAMES	 20000u
#define SIZE	 64
#define WAIT_MS	 20000
#define SLOT_LEN 128

static struct rig *up, *down; /* from the guest, to it */
static uint64_t up_at[SIZE], down_at[SIZE];
static bool failed;

/* One of them was written to; -1: just for the first. */
static bool wait_for(int fd, int fd2)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = fd2, .events = POLLIN } };
	eventfd_t n;

	if (poll(p, 2, WAIT_MS) <= 0)
		return false;
	for (int i = 0; i < 2; i++)
		if (p[i].revents)
			(void)eventfd_read(p[i].fd, &n);
	return true;
}

/* ---- the guest ---- */

static uint32_t posted, came;

static bool guest_post(void)
{
	bool any = false;

	while (posted < FRAMES) {
		struct vdriver_piece p = { up_at[posted % SIZE], 12 + 64,
					   false };

		if (!up->d.free)
			break;
		memcpy(rig_at(up, p.addr) + 12, &posted, 4);
		vdriver_add(&up->d, &p, 1, NULL);
		posted++;
		any = true;
	}
	if (any && vdriver_publish(&up->d))
		(void)eventfd_write(up->r.kick, 1);
	return any;
}

/* Whatever is there; buffers go back at once. */
static bool guest_reap(void)
{
	bool any = false;
	uint16_t id;
	uint32_t len;

	while (vdriver_reap(&up->d, &id, &len))
		any = true;
	while (vdriver_reap(&down->d, &id, &len)) {
		struct vdriver_piece p = { down_at[came % SIZE], SLOT_LEN,
					   true };
		uint32_t number;

		memcpy(&number, rig_at(down, p.addr) + 12, 4);
		failed |= number != came || len != 12 + 64;
		came++;
		vdriver_add(&down->d, &p, 1, NULL);
		vdriver_publish(&down->d);
		any = true;
	}
	return any;
}

static bool guest_turn(void)
{
	bool any = guest_post();

	return guest_reap() || any;
}

static void *guest(void *arg)
{
	(void)arg;
	while (came < FRAMES && !failed) {
		if (guest_turn())
			continue;
		vdriver_want_calls(&up->d);
		vdriver_want_calls(&down->d);
		if (guest_turn())
			continue;
		if (!wait_for(up->r.call, down->r.call))
			failed = true;
	}
	return NULL;
}

/* ---- the switch ---- */

static void pass_on(unsigned int n)
{
	struct frame *list[FRAME_BATCH_MAX];
	unsigned int done = 0;

	for (unsigned int i = 0; i < n; i++)
		list[i] = &up->frame[i];
	while (done < n) {
		enum drop_reason why = DROP_REASON_COUNT;

		done += vhost_ring_send(&down->r, list + done, n - done, &why);
		if (done < n) {
			assert_int_equal(why, DROP_QUEUE_FULL);
			(void)sched_yield();
		}
	}
}

static void run(uint64_t features)
{
	uint32_t passed = 0;
	pthread_t thread;

	memset(up->half[0], 0, RIG_BUFFERS);
	memset(down->half[0], 0, RIG_BUFFERS);
	rig_start(up, SIZE, features);
	rig_start(down, SIZE, features);
	posted = came = 0;
	failed = false;
	for (int i = 0; i < SIZE; i++) {
		struct vdriver_piece p = { down_at[i], SLOT_LEN, true };

		vdriver_add(&down->d, &p, 1, NULL);
	}
	vdriver_publish(&down->d);
	assert_int_equal(pthread_create(&thread, NULL, guest, NULL), 0);
	while (passed < FRAMES) {
		unsigned int n = rig_receive(up, FRAME_BATCH_MAX);

		if (n) {
			pass_on(n);
			vhost_ring_done(&up->r);
			passed += n;
		} else if (vhost_ring_sleep(&up->r) &&
			   !wait_for(up->r.kick, -1)) {
			break;
		}
	}
	pthread_join(thread, NULL);
	assert_false(failed);
	assert_int_equal(passed, FRAMES);
	assert_int_equal(came, FRAMES);
	assert_null(up->r.broken);
	assert_null(down->r.broken);
}

static void no_wakeup_is_lost(void **state)
{
	up = *state;
	run(0);
	run(BIT(VIRTIO_RING_F_EVENT_IDX));
}

/* The other ring is a rig of the same kind. */
static int setup(void **state)
{
	void *second = *state;

	if (rig_setup(state) < 0 || rig_setup(&second) < 0)
		return -1;
	down = second;
	up = *state;
	for (int i = 0; i < SIZE; i++) {
		up_at[i] = rig_buffer(up, SLOT_LEN);
		down_at[i] = rig_buffer(down, SLOT_LEN);
	}
	return 0;
}

static int teardown(void **state)
{
	void *second = down;

	rig_teardown(&second);
	return rig_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "no_wakeup_is_lost (split)", no_wakeup_is_lost, setup,
		  teardown, (void *)&rig_split },
		{ "no_wakeup_is_lost (packed)", no_wakeup_is_lost, setup,
		  teardown, (void *)&rig_packed },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
