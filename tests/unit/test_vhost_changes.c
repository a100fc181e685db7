/* A port that is changed by the main thread while workers use it. */
#include "tests/unit/vhost_port.h"

#include <pthread.h>

#define ROUNDS 100
#define LEN    60

/* What the threads have; guests' drivers are the guest thread's. */
struct pair {
	struct rig *rig[2];
	_Atomic bool stop, quiet; /* the worker; the guests */
	_Atomic uint64_t posted, got, forwarded, dropped;
};

static unsigned int forward(struct pair *p, struct rig *from, struct rig *to)
{
	struct frame *list[FRAME_BATCH_MAX];
	unsigned int n = rig_rx(from, 0), done = 0;
	enum drop_reason why;

	for (unsigned int i = 0; i < n; i++)
		list[i] = &from->frame[i];
	while (done < n) {
		done += to->port->ops->tx(to->port, list + done, n - done,
					  &why);
		if (done < n) {
			done++;
			atomic_fetch_add(&p->dropped, 1);
		}
	}
	if (n)
		rig_done(from, 0);
	atomic_fetch_add(&p->forwarded, n);
	return n;
}

/* A worker, as busy as can be. */
static void *worker(void *arg)
{
	struct pair *p = arg;

	while (!atomic_load(&p->stop) || forward(p, p->rig[0], p->rig[1]))
		(void)forward(p, p->rig[0], p->rig[1]);
	return NULL;
}

static bool post(struct pair *p, uint32_t number)
{
	struct front *f = p->rig[0]->front;
	uint8_t data[LEN] = { 0 };

	memcpy(data + 14, &number, sizeof(number));
	if (!f->ring[1]->driver->free)
		return false;
	front_post(f, 1, data, LEN, NULL);
	return true;
}

/* Both guests: one sends numbers, which come to the other in their order. */
static void *guests(void *arg)
{
	static struct front_frame got;
	struct pair *p = arg;
	uint32_t last = 0, number;

	while (!atomic_load(&p->quiet)) {
		uint64_t n = atomic_load(&p->posted);

		(void)front_reap(p->rig[0]->front, 1);
		if (post(p, (uint32_t)n + 1))
			atomic_store(&p->posted, n + 1);
		while (front_take(p->rig[1]->front, 0, &got)) {
			memcpy(&number, got.data + 14, sizeof(number));
			if (got.len != LEN || number <= last ||
			    number > atomic_load(&p->posted))
				abort();
			last = number;
			atomic_fetch_add(&p->got, 1);
			front_offer(p->rig[1]->front, 0, 1);
		}
	}
	return NULL;
}

/* Until so many frames more have come. */
static void wait_for_frames(struct pair *p, uint64_t more)
{
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;
	uint64_t want = atomic_load(&p->got) + more;

	while (atomic_load(&p->got) < want) {
		assert_true(clock_ns() < end);
		rig_pump(p->rig[0]);
		rig_pump(p->rig[1]);
		(void)poll(NULL, 0, 1);
	}
}

static void change(struct rig *r, unsigned int i)
{
	struct front *f = r->front;
	uint64_t log = i & 4 ? BIT(VHOST_FEATURE_LOG_ALL) : 0;

	for (uint32_t ring = 0; ring < 2; ring++)
		assert_int_equal(front_ack_fd(f, VHOST_REQUEST_SET_VRING_CALL,
					      ring, f->ring[ring]->call),
				 0);
	assert_int_equal(
		front_ack_u64(f, VHOST_REQUEST_SET_FEATURES, f->features | log),
		0);
	assert_int_equal(front_tell_memory(f), 0);
	for (uint32_t on = 0; on < 2; on++)
		assert_int_equal(front_ack_vring(f,
						 VHOST_REQUEST_SET_VRING_ENABLE,
						 i & 1, on),
				 0);
	(void)rig_info(r);
}

static void check_changes(struct rig *a, uint64_t features)
{
	pthread_t w, g;
	struct pair p = { .rig = { a } };
	struct rig *b;
	void *state;
	enum drop_reason why;

	assert_int_equal(rig_setup(&state), 0);
	p.rig[1] = b = state;
	rig_acquire(a, 1);
	rig_acquire(b, 1);
	rig_guest(a, features);
	rig_guest(b, features);
	assert_int_equal(pthread_create(&w, NULL, worker, &p), 0);
	assert_int_equal(pthread_create(&g, NULL, guests, &p), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		change(p.rig[i & 1], i / 2);
		if (i % 10 == 0)
			wait_for_frames(&p, 100);
	}
	wait_for_frames(&p, 1000);
	atomic_store(&p.quiet, true);
	pthread_join(g, NULL);
	atomic_store(&p.stop, true);
	pthread_join(w, NULL);
	/* Each frame that was sent was taken once. */
	assert_int_equal(p.forwarded, p.posted);
	(void)front_reap(a->front, 1);
	assert_int_equal(a->front->ring[1]->driver->free, 256);
	assert_int_equal(rig_info(a).ring[1].frames, p.posted);
	assert_int_equal(rig_info(b).ring[0].frames, p.posted - p.dropped);
	assert_int_equal(rig_send(a, 1, 60, &why), 1);
	front_free(a->front);
	a->front = NULL;
	rig_close(a);
	vhost_user_release(&a->rq, &a->grant);
	assert_int_equal(rig_teardown(&state), 0);
}

static void split_rings_are_changed_under_traffic(void **state)
{
	check_changes(*state, front_features);
}

static void packed_rings_are_changed_under_traffic(void **state)
{
	check_changes(*state, front_features | BIT(VIRTIO_F_RING_PACKED));
}

/* Both front ends vanish and come again, as worker and guest go on. */
static void front_ends_come_and_go_under_traffic(void **state)
{
	struct rig *a = *state, *b;
	struct pair p = { .rig = { a } };
	pthread_t w, g;
	void *other;

	assert_int_equal(rig_setup(&other), 0);
	p.rig[1] = b = other;
	rig_acquire(a, 1);
	rig_acquire(b, 1);
	assert_int_equal(pthread_create(&w, NULL, worker, &p), 0);
	for (unsigned int i = 0; i < 10; i++) {
		struct pair guest = { .rig = { a, b } };

		rig_guest(a, front_features);
		rig_guest(b, front_features);
		assert_int_equal(pthread_create(&g, NULL, guests, &guest), 0);
		wait_for_frames(&guest, 500);
		atomic_store(&guest.quiet, true);
		pthread_join(g, NULL);
		front_hang_up(p.rig[i & 1]->front);
		rig_until(p.rig[i & 1], "waiting");
	}
	atomic_store(&p.stop, true);
	pthread_join(w, NULL);
	front_free(a->front);
	a->front = NULL;
	rig_close(a);
	vhost_user_release(&a->rq, &a->grant);
	assert_int_equal(rig_teardown(&other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(split_rings_are_changed_under_traffic),
		RIG_TEST(packed_rings_are_changed_under_traffic),
		RIG_TEST(front_ends_come_and_go_under_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
