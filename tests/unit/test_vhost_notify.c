/* Who is called and kicked how often, and which pages a migration is told of.
 */
#include "tests/unit/vhost_rig.h"

#include "ports/vhost_chain.h"

#include <errno.h>
#include <fcntl.h>

#define EVENT BIT(VIRTIO_RING_F_EVENT_IDX)

/* ---- kicks: from the guest ---- */

static void started_ring_is_looked_at_without_a_kick(void **state)
{
	struct rig *g = *state;

	rig_start(g, 64, 0);
	assert_false(g->r.awake);
	assert_int_equal(rig_count(g->r.kick), 1);
}

static void busy_ring_wants_no_kicks(void **state)
{
	struct rig *g = *state;

	for (int event = 0; event < 2; event++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, event ? EVENT : 0);
		rig_post(g, 60, 1);
		assert_true(vdriver_publish(&g->d));
		assert_int_equal(rig_receive(g, 1), 1);
		vhost_ring_done(&g->r);
		for (uint32_t i = 0; i < 500; i++) {
			uint16_t id;
			uint32_t len;

			g->bump = GUEST + RIG_BUFFERS;
			rig_post(g, 60, i);
			assert_false(vdriver_publish(&g->d));
			assert_int_equal(rig_receive(g, 64), 1);
			vhost_ring_done(&g->r);
			while (vdriver_reap(&g->d, &id, &len))
				;
		}
		assert_int_equal(g->r.kicks, 0);
	}
}

static void ring_that_sleeps_wants_one_kick(void **state)
{
	struct rig *g = *state;

	for (int event = 0; event < 2; event++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, event ? EVENT : 0);
		assert_int_equal(rig_receive(g, 64), 0);
		assert_int_equal(rig_count(g->r.kick), 0);
		for (uint32_t i = 0; i < 10; i++) {
			assert_true(vhost_ring_sleep(&g->r));
			assert_false(g->r.awake);
			rig_post(g, 60, i);
			assert_true(vdriver_publish(&g->d));
			assert_int_equal(eventfd_write(g->r.kick, 1), 0);
			/* With an event index not for the next one, which
			 * comes before anybody looks. */
			rig_post(g, 60, i);
			assert_int_equal(vdriver_publish(&g->d), !event);
			assert_int_equal(rig_receive(g, 64), 2);
			assert_int_equal(rig_count(g->r.kick), 0);
			assert_true(g->r.awake);
			vhost_ring_done(&g->r);
		}
		assert_int_equal(g->r.kicks, 10 * (event + 1));
	}
}

static void ring_with_something_in_it_stays_awake(void **state)
{
	struct rig *g = *state;

	for (int event = 0; event < 2; event++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, event ? EVENT : 0);
		rig_post(g, 60, 0);
		assert_true(vdriver_publish(&g->d));
		assert_int_equal(rig_receive(g, 64), 1);
		vhost_ring_done(&g->r);
		rig_post(g, 60, 1);
		assert_false(vdriver_publish(&g->d));
		assert_false(vhost_ring_sleep(&g->r));
		assert_true(g->r.awake);
		rig_post(g, 60, 2);
		/* With an event index one may have been asked for. */
		if (!event || g->packed)
			assert_false(vdriver_publish(&g->d));
		else
			vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, 64), 2);
		vhost_ring_done(&g->r);
		assert_true(vhost_ring_sleep(&g->r));
	}
}

/* That there are buffers again isn't worth a kick. */
static void ring_to_the_guest_wants_no_kicks(void **state)
{
	static uint8_t data[60];
	enum drop_reason why;
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	uint64_t at;

	for (int event = 0; event < 2; event++) {
		memset(g->half[0], 0, RIG_BUFFERS);
		rig_start(g, 64, event ? EVENT : 0);
		rig_frame(&f, data, 60, 1);
		rig_offer(g, 100, &at);
		vdriver_publish(&g->d);
		for (int i = 0; i < 100; i++) {
			assert_int_equal(vhost_ring_send(&g->r, list, 1, &why),
					 1);
			rig_offer(g, 100, &at);
			assert_false(vdriver_publish(&g->d));
			g->bump = GUEST + RIG_BUFFERS;
			if (!(i % 8))
				for (int k = 0; k < 8; k++) {
					uint16_t id;
					uint32_t len;

					vdriver_reap(&g->d, &id, &len);
				}
		}
	}
}

/* The front end has the descriptor too, and can change how it behaves. */
static void kick_is_never_waited_for(void **state)
{
	struct rig *g = *state;
	int pipes[2];
	uint64_t n;

	rig_start(g, 64, 0);
	assert_int_equal(fcntl(g->r.kick, F_SETFL, 0), 0);
	assert_int_equal(rig_receive(g, 64), 0);
	assert_int_equal(vhost_kick_read(g->r.kick, &n), -EAGAIN);
	assert_true(vhost_ring_sleep(&g->r));
	rig_post(g, 60, 1);
	assert_true(vdriver_publish(&g->d));
	assert_int_equal(rig_receive(g, 64), 1);
	vhost_ring_done(&g->r);
	assert_int_equal(g->r.kicks, 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "kick", 4), 4);
	assert_true(vhost_kick_read(pipes[0], &n) < 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(vhost_kick_read(pipes[0], &n), -EBADF);
}

/* ---- calls: of the guest ---- */

static void guest_is_called_once_a_batch(void **state)
{
	struct rig *g = *state;

	rig_start(g, 256, 0);
	vdriver_want_calls(&g->d);
	for (int batch = 0; batch < 4; batch++) {
		for (uint32_t i = 0; i < 64; i++)
			rig_post(g, 60, i);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, 64), 64);
		assert_int_equal(rig_count(g->r.call), 0);
		vhost_ring_done(&g->r);
		assert_int_equal(rig_count(g->r.call), 1);
	}
	assert_int_equal(rig_receive(g, 64), 0);
	assert_int_equal(rig_count(g->r.call), 0);
	assert_int_equal(g->r.calls, 1 + 4);
}

static void guest_that_wants_no_calls_gets_none(void **state)
{
	static uint8_t data[60];
	enum drop_reason why;
	struct rig *g = *state;
	struct frame f, *list[] = { &f };
	uint64_t at;

	rig_start(g, 64, 0);
	vdriver_want_no_calls(&g->d);
	rig_post(g, 60, 1);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 64), 1);
	vhost_ring_done(&g->r);
	rig_offer(g, 100, &at);
	vdriver_publish(&g->d);
	rig_frame(&f, data, 60, 1);
	assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
	assert_int_equal(rig_count(g->r.call), 0);
	assert_int_equal(rig_restart(g), 0);
	assert_int_equal(rig_count(g->r.call), 0);
}

/* The event index names one: with it the guest is called, before and after it
 * not, many times round the ring. */
static void event_index_calls_for_the_one_it_names(void **state)
{
	struct rig *g = *state;
	uint64_t calls = 0;

	rig_start(g, 64, EVENT);
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t batch = 1 + i % 7;
		uint16_t id;
		uint32_t len;

		g->bump = GUEST + RIG_BUFFERS;
		if (i % 3 == 0)
			vdriver_want_calls(&g->d);
		for (uint32_t k = 0; k < batch; k++)
			rig_post(g, 60, k);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, 64), batch);
		vhost_ring_done(&g->r);
		/* The first after it was asked for, of however many. */
		calls = rig_count(g->r.call);
		assert_int_equal(calls, i % 3 == 0);
		for (uint32_t k = 0; k < batch; k++)
			assert_true(vdriver_reap(&g->d, &id, &len));
	}
}

static void event_index_further_ahead_is_waited_for(void **state)
{
	struct rig *g = *state;
	uint16_t ahead;

	rig_start(g, 64, EVENT);
	vdriver_want_calls(&g->d);
	for (uint32_t i = 0; i < 40; i++) {
		uint16_t id;
		uint32_t len;

		ahead = (uint16_t)(g->d.used + 5);
		if (i % 20 == 10) {
			uint16_t used = g->d.used;

			/* As a driver that wants to save itself calls. */
			g->d.used = ahead % 64;
			if (!g->packed)
				g->d.used = ahead;
			vdriver_want_calls(&g->d);
			g->d.used = used;
		}
		rig_post(g, 60, i);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, 64), 1);
		vhost_ring_done(&g->r);
		assert_int_equal(rig_count(g->r.call), i == 0 || i % 20 == 15);
		assert_true(vdriver_reap(&g->d, &id, &len));
	}
}

/* ---- a ring of a kind of its own: how the loop over publications asks ---- */

static struct {
	uint64_t buffer; /* guest address of one that there is always */
	unsigned int published, asked;
	unsigned int wants; /* a call for that publication */
} endless;

static bool endless_head(struct vhost_ring *r, struct vhost_head *h)
{
	(void)r;
	*h = (struct vhost_head){ .d = { endless.buffer, 2048,
					 VRING_DESC_F_WRITE, 0 } };
	return true;
}

static bool endless_gather(struct vhost_ring *r, struct vhost_head *h,
			   struct vhost_chain *c)
{
	(void)h;
	(void)c;
	return vhost_break(r, "all chains are flat");
}

static void endless_step(struct vhost_ring *r, const struct vhost_taken *t)
{
	(void)t;
	r->avail++;
}

static void endless_publish(struct vhost_ring *r)
{
	endless.published++;
	r->ntaken = 0;
}

static bool endless_wants_call(struct vhost_ring *r)
{
	(void)r;
	endless.asked++;
	return endless.published == endless.wants;
}

static bool endless_expect(struct vhost_ring *r, unsigned int n)
{
	(void)r;
	(void)n;
	return true;
}

static void guest_that_refills_meanwhile_is_asked_each_time(void **state)
{
	static const struct vhost_chain_ops ops = {
		.head = endless_head,
		.gather = endless_gather,
		.step = endless_step,
		.publish = endless_publish,
		.wants_call = endless_wants_call,
		.expect = endless_expect,
	};
	struct rig *g = *state;
	struct frame f, *list[3 * VHOST_TAKEN_MAX];
	enum drop_reason why = DROP_REASON_COUNT;
	uint8_t data[60];

	rig_start(g, 64, EVENT);
	endless.buffer = rig_buffer(g, 2048);
	rig_frame(&f, data, sizeof(data), 1);
	for (unsigned int i = 0; i < 3 * VHOST_TAKEN_MAX; i++)
		list[i] = &f;
	for (unsigned int wants = 0; wants <= 3; wants++) {
		endless.published = endless.asked = 0;
		endless.wants = wants;
		assert_int_equal(vhost_send_frames(&g->r, list,
						   3 * VHOST_TAKEN_MAX, &why,
						   &ops),
				 3 * VHOST_TAKEN_MAX);
		assert_int_equal(endless.published, 3);
		assert_int_equal(endless.asked, 3);
		assert_int_equal(rig_count(g->r.call), wants > 0);
	}
	assert_int_equal(why, DROP_REASON_COUNT);
}

static void ring_without_descriptors_for_events_works(void **state)
{
	struct rig *g = *state;
	int kick = g->r.kick, call = g->r.call;

	rig_start(g, 64, 0);
	g->r.kick = g->r.call = -1;
	assert_int_equal(rig_restart(g), 0);
	rig_post(g, 60, 3);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 64), 1);
	rig_expect(&g->frame[0], 60, 3);
	vhost_ring_done(&g->r);
	assert_int_equal(g->r.calls, 1); /* rig_start's */
	g->r.kick = kick;
	g->r.call = call;
}

/* ---- the log of a migration ---- */

#define PAGE	   VHOST_LOG_PAGE
#define LOG_BYTES  ((GUEST + RIG_SIZE) / PAGE / 8)
#define PAGE_OF(a) ((a) / PAGE)

static void log_begin(struct rig *g)
{
	g->log.bits = calloc(1, LOG_BYTES);
	assert_non_null(g->log.bits);
	g->log.bytes = LOG_BYTES;
	g->r.log_device = true;
}

static void log_end(struct rig *g)
{
	free(g->log.bits);
	memset(&g->log, 0, sizeof(g->log));
}

/* Exactly these pages are in the log; it is empty then. */
static void log_is(struct rig *g, const uint64_t *page, unsigned int n)
{
	for (uint64_t p = 0; p < LOG_BYTES * 8; p++) {
		bool want = false, got = g->log.bits[p / 8] >> p % 8 & 1;

		for (unsigned int i = 0; i < n; i++)
			want |= page[i] == p;
		if (got != want)
			fail_msg("page %#lx: %d", (unsigned long)p, got);
	}
	memset(g->log.bits, 0, LOG_BYTES);
}

static void receiving_logs_just_the_ring(void **state)
{
	const uint64_t page[] = { PAGE_OF(GUEST + RIG_DEVICE), PAGE_OF(GUEST) };
	struct rig *g = *state;

	log_begin(g);
	rig_start(g, 64, 0);
	log_is(g, page, 1); /* kicks are asked for */
	rig_post(g, 3000, 1);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 64), 1);
	log_is(g, page, 1); /* .. and aren't any more */
	vhost_ring_done(&g->r);
	if (g->packed)
		log_is(g, page + 1, 1);
	else
		log_is(g, page, 1);
	/* Not if the front end doesn't want that. */
	g->r.log_device = false;
	rig_post(g, 3000, 1);
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, 64), 1);
	vhost_ring_done(&g->r);
	assert_true(vhost_ring_sleep(&g->r));
	log_is(g, NULL, 0);
	log_end(g);
}

static void large_ring_logs_the_part_that_was_written(void **state)
{
	struct rig *g = *state;

	log_begin(g);
	rig_start(g, 4096, 0);
	for (uint32_t n = 0; n < 4096; n += 64) {
		uint64_t page[3];

		g->bump = GUEST + RIG_BUFFERS;
		for (uint32_t i = 0; i < 64; i++)
			rig_post(g, 60, i);
		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, 64), 64);
		memset(g->log.bits, 0, LOG_BYTES);
		vhost_ring_done(&g->r);
		if (g->packed) {
			page[0] = PAGE_OF(GUEST + 16 * n);
			log_is(g, page, 1);
			continue;
		}
		page[0] = PAGE_OF(GUEST + RIG_DEVICE);
		page[1] = PAGE_OF(GUEST + RIG_DEVICE + 4 + 8 * n);
		page[2] = PAGE_OF(GUEST + RIG_DEVICE + 4 + 8 * (n + 64) - 1);
		log_is(g, page, 3);
	}
	log_end(g);
}

static void sending_logs_what_was_written(void **state)
{
	static uint8_t data[9000];
	const uint64_t ring = PAGE_OF(
		(*(struct rig **)state)->packed ? GUEST : GUEST + RIG_DEVICE);
	uint64_t at = GUEST + RIG_BUFFERS;
	struct rig *g = *state;
	enum drop_reason why;
	struct frame f, *list[] = { &f };
	/* One page, two, the header alone in one, pieces, over regions. */
	const struct {
		struct vdriver_piece p[3];
		unsigned int n;
		uint32_t len;
		uint64_t page[3];
		unsigned int pages;
	} row[] = {
		{ { { at, 9000, true } }, 1, 4084, { PAGE_OF(at) }, 1 },
		{ { { at, 9000, true } },
		  1,
		  4085,
		  { PAGE_OF(at), PAGE_OF(at) + 1 },
		  2 },
		{ { { at + PAGE - 12, 9000, true } },
		  1,
		  60,
		  { PAGE_OF(at), PAGE_OF(at) + 1 },
		  2 },
		{ { { at, 12, true },
		    { at + 5 * PAGE, 100, true },
		    { at + 9 * PAGE, 9000, true } },
		  3,
		  101,
		  { PAGE_OF(at), PAGE_OF(at) + 5, PAGE_OF(at) + 9 },
		  3 },
		{ { { at, 12, true },
		    { at + 5 * PAGE, 100, true },
		    { at + 9 * PAGE, 9000, true } },
		  3,
		  100,
		  { PAGE_OF(at), PAGE_OF(at) + 5 },
		  2 },
		{ { { MIDDLE - 50, 9000, true } },
		  1,
		  60,
		  { PAGE_OF(MIDDLE) - 1, PAGE_OF(MIDDLE) },
		  2 },
	};

	log_begin(g);
	rig_start(g, 64, 0);
	vhost_ring_send(&g->r, list, 0, &why); /* awake */
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		uint64_t page[4];

		memset(g->log.bits, 0, LOG_BYTES);
		assert_true(vdriver_add(&g->d, row[i].p, row[i].n, NULL) >= 0);
		vdriver_publish(&g->d);
		rig_frame(&f, data, row[i].len, 1);
		assert_int_equal(vhost_ring_send(&g->r, list, 1, &why), 1);
		memcpy(page, row[i].page, sizeof(row[i].page));
		page[row[i].pages] = ring;
		log_is(g, page, row[i].pages + 1);
	}
	log_end(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(started_ring_is_looked_at_without_a_kick),
		RIG_TEST(busy_ring_wants_no_kicks),
		RIG_TEST(ring_that_sleeps_wants_one_kick),
		RIG_TEST(ring_with_something_in_it_stays_awake),
		RIG_TEST(ring_to_the_guest_wants_no_kicks),
		RIG_TEST(kick_is_never_waited_for),
		RIG_TEST(guest_is_called_once_a_batch),
		RIG_TEST(guest_that_wants_no_calls_gets_none),
		RIG_TEST(event_index_calls_for_the_one_it_names),
		RIG_TEST(event_index_further_ahead_is_waited_for),
		RIG_TEST(guest_that_refills_meanwhile_is_asked_each_time),
		RIG_TEST(ring_without_descriptors_for_events_works),
		RIG_TEST(receiving_logs_just_the_ring),
		RIG_TEST(large_ring_logs_the_part_that_was_written),
		RIG_TEST(sending_logs_what_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
