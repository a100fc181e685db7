#include "ports/ring.h"

#include "base/clock.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define SIZE 4096

static struct ring ring;

static int setup(void **state)
{
	(void)state;
	return ring_init(&ring, SIZE);
}

static int teardown(void **state)
{
	(void)state;
	ring_fini(&ring);
	return 0;
}

static bool put(uint32_t len, uint8_t fill)
{
	uint8_t *p;

	ring_lock(&ring);
	p = ring_put(&ring, len);
	if (p)
		memset(p, fill, len);
	ring_unlock(&ring);
	return p;
}

static void assert_got(uint32_t want, uint8_t fill)
{
	uint32_t len;
	uint8_t *p = ring_get(&ring, &len);

	assert_non_null(p);
	assert_int_equal(len, want);
	assert_int_equal((uintptr_t)p % 8, 0);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(p[i], fill);
	ring_pop(&ring);
}

static void assert_drained(void)
{
	uint32_t len;

	assert_true(ring_empty(&ring));
	assert_null(ring_get(&ring, &len));
}

/* Would the consumer be woken up now? Takes the wake-up away. */
static bool woken(void)
{
	struct pollfd pfd = { .fd = ring.wakefd, .events = POLLIN };
	uint64_t count;

	if (poll(&pfd, 1, 0) != 1)
		return false;
	return read(ring.wakefd, &count, sizeof(count)) == sizeof(count);
}

static void size_that_is_no_power_of_two_is_refused(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_init(&r, 5000), -EINVAL);
	assert_int_equal(ring_init(&r, 2048), -EINVAL);
	assert_int_equal(ring_init(&r, 1ull << 40), -EINVAL);
}

static void records_of_all_lengths_come_out_as_they_went_in(void **state)
{
	(void)state;
	/* Two at a time, so that every wrap happens with one behind it. */
	for (uint32_t len = 0; len < 1500; len++) {
		assert_true(put(len, (uint8_t)len));
		assert_true(put(1500 - len, (uint8_t)~len));
		assert_got(len, (uint8_t)len);
		assert_got(1500 - len, (uint8_t)~len);
		assert_drained();
	}
}

static void ring_takes_exactly_its_size(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < SIZE / 64; i++)
		assert_true(put(64 - 8, (uint8_t)i));
	assert_false(put(0, 0));
	assert_got(64 - 8, 0);
	assert_false(put(64 - 7, 0xaa)); /* one byte too long */
	assert_true(put(64 - 8, 0xaa));
	assert_false(put(0, 0));
	for (unsigned int i = 1; i < SIZE / 64; i++)
		assert_got(64 - 8, (uint8_t)i);
	assert_got(64 - 8, 0xaa);
	assert_drained();
}

static void record_longer_than_the_ring_is_refused(void **state)
{
	(void)state;
	assert_false(put(SIZE - 7, 1));
	assert_false(put(UINT32_MAX, 1));
	assert_true(put(SIZE - 8, 1));
	assert_got(SIZE - 8, 1);
}

static void record_is_hidden_until_unlock(void **state)
{
	uint32_t len;

	(void)state;
	ring_lock(&ring);
	assert_non_null(ring_put(&ring, 10));
	assert_null(ring_get(&ring, &len));
	assert_true(ring_empty(&ring));
	ring_unlock(&ring);
	assert_non_null(ring_get(&ring, &len));
	assert_int_equal(len, 10);
}

static void record_stays_until_pop(void **state)
{
	uint32_t len;
	void *p;

	(void)state;
	assert_true(put(SIZE - 8, 7));
	p = ring_get(&ring, &len);
	assert_non_null(p);
	assert_false(put(0, 0));
	assert_ptr_equal(ring_get(&ring, &len), p);
	ring_pop(&ring);
	assert_true(put(0, 0));
}

static void wait_returns_at_once_where_enough_is_there(void **state)
{
	(void)state;
	assert_true(put(100, 1));
	ring_wait(&ring, 1, NULL); /* would never return else */
	assert_false(woken());
}

static void awake_consumer_costs_no_wake_up(void **state)
{
	(void)state;
	assert_true(put(100, 1));
	assert_true(put(100, 1));
	assert_false(woken());
}

static void sleeping_consumer_is_woken_once(void **state)
{
	(void)state;
	/* As ring_wait leaves it while it sleeps. */
	atomic_store(&ring.wake_at, 1);
	assert_true(put(100, 1));
	assert_true(woken());
	assert_true(put(100, 1));
	assert_false(woken());
}

static void napping_consumer_is_woken_by_its_fill(void **state)
{
	(void)state;
	atomic_store(&ring.wake_at, SIZE / 4);
	for (unsigned int i = 0; i < 7; i++) {
		assert_true(put(120, 1));
		assert_false(woken());
	}
	assert_true(put(120, 1)); /* 8 times 128 bytes */
	assert_true(woken());
}

static void nap_ends_after_its_time(void **state)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t start = clock_ns();

	(void)state;
	ring_wait(&ring, SIZE / 4, &nap);
	assert_true(clock_ns() - start >= 1000000);
}

static void kick_ends_the_next_wait(void **state)
{
	(void)state;
	ring_kick(&ring);
	ring_wait(&ring, 1, NULL);
	assert_false(woken());
}

#define PRODUCERS 3
#define RECORDS	  20000

static void *produce(void *arg)
{
	uint32_t id = (uint32_t)(uintptr_t)arg;

	for (uint32_t n = 0; n < RECORDS;) {
		uint32_t *p;

		ring_lock(&ring);
		p = ring_put(&ring, 8 + (n * 7 + id) % 300);
		if (p) {
			p[0] = id;
			p[1] = n++;
		}
		ring_unlock(&ring);
		if (!p)
			sched_yield();
	}
	return NULL;
}

static void no_record_and_no_wake_up_is_lost_under_threads(void **state)
{
	uint32_t next[PRODUCERS] = { 0 }, done = 0;
	pthread_t thread[PRODUCERS];

	(void)state;
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, produce, (void *)i),
			0);
	while (done < PRODUCERS * RECORDS) {
		uint32_t len, *p;

		while ((p = ring_get(&ring, &len))) {
			uint32_t id = p[0];

			assert_true(id < PRODUCERS);
			assert_int_equal(p[1], next[id]);
			assert_int_equal(len, 8 + (next[id] * 7 + id) % 300);
			next[id]++;
			done++;
			ring_pop(&ring);
		}
		/* A wake-up that got lost would hang here. */
		if (done < PRODUCERS * RECORDS)
			ring_wait(&ring, 1, NULL);
	}
	for (unsigned int i = 0; i < PRODUCERS; i++)
		pthread_join(thread[i], NULL);
	assert_drained();
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(size_that_is_no_power_of_two_is_refused),
		RING_TEST(records_of_all_lengths_come_out_as_they_went_in),
		RING_TEST(ring_takes_exactly_its_size),
		RING_TEST(record_longer_than_the_ring_is_refused),
		RING_TEST(record_is_hidden_until_unlock),
		RING_TEST(record_stays_until_pop),
		RING_TEST(wait_returns_at_once_where_enough_is_there),
		RING_TEST(awake_consumer_costs_no_wake_up),
		RING_TEST(sleeping_consumer_is_woken_once),
		RING_TEST(napping_consumer_is_woken_by_its_fill),
		RING_TEST(nap_ends_after_its_time),
		RING_TEST(kick_ends_the_next_wait),
		RING_TEST(no_record_and_no_wake_up_is_lost_under_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
