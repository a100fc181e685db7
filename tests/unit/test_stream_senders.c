/*
 * Several workers send to one stream, while another one receives from it. Under
 * ThreadSanitizer, too.
 */
#include "tests/unit/stream_rig.h"

#include <pthread.h>

#define SENDERS 4
#define BURSTS	400u
#define BURST	16u

struct sender {
	struct stream_link *link;
	uint32_t number;
	unsigned int sent, dropped;
	pthread_t thread;
};

static uint32_t number_of(uint32_t sender, uint32_t frame)
{
	return sender << 24 | frame;
}

static uint32_t length_of(uint32_t frame)
{
	return 60 + frame * 37 % 700;
}

static void *send_all(void *arg)
{
	static _Thread_local uint8_t memory[BURST][FRAME_HEADROOM + 800];
	struct frame frame[BURST], *list[BURST];
	struct sender *s = arg;

	for (uint32_t b = 0; b < BURSTS; b++) {
		unsigned int at = 0;

		for (uint32_t i = 0; i < BURST; i++) {
			uint32_t n = b * BURST + i;

			rig_bytes(memory[i] + FRAME_HEADROOM, length_of(n),
				  number_of(s->number, n));
			frame_init(&frame[i], memory[i] + FRAME_HEADROOM,
				   length_of(n));
			list[i] = &frame[i];
		}
		while (at < BURST) {
			enum drop_reason why = DROP_REASON_COUNT;
			unsigned int n = stream_link_send(s->link, list + at,
							  BURST - at, &why);

			s->sent += n;
			at += n + 1;
			s->dropped += at <= BURST && why == DROP_QUEUE_FULL;
		}
	}
	return NULL;
}

static _Atomic bool stop;

/* The port's own worker: what comes in, and what was kept goes out. */
static void *receive_all(void *arg)
{
	struct rig *r = arg;

	while (!atomic_load(&stop)) {
		(void)rig_readable(r->epoll, 10);
		(void)rig_rx(r);
	}
	(void)rig_rx(r);
	return NULL;
}

static void take_frames(struct rig *r, struct reader *in,
			unsigned int came[SENDERS], int64_t last[SENDERS])
{
	int64_t n;
	uint32_t len;

	reader_fill(in, r->peer);
	while ((n = reader_take(in, &len)) >= 0) {
		uint32_t from = (uint32_t)n >> 24, frame = n & 0xffffff;

		assert_true(from < SENDERS && frame > last[from]);
		assert_int_equal(len, length_of(frame));
		last[from] = frame;
		came[from]++;
	}
}

static bool all_came(const struct sender *s, const unsigned int came[SENDERS])
{
	for (unsigned int i = 0; i < SENDERS; i++)
		if (came[i] != s[i].sent)
			return false;
	return true;
}

static void frames_of_several_senders_stay_whole_and_in_order(void **state)
{
	struct rig *r = *state;
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;
	struct sender s[SENDERS] = { { 0 } };
	int64_t last[SENDERS] = { -1, -1, -1, -1 };
	unsigned int came[SENDERS] = { 0 };
	uint8_t data[128];
	struct reader in = { 0 };
	pthread_t receiver;

	rig_room(r->conn, 20000);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&receiver, NULL, receive_all, r), 0);
	for (uint32_t i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ .link = &r->link, .number = i };
		assert_int_equal(
			pthread_create(&s[i].thread, NULL, send_all, &s[i]), 0);
	}
	for (unsigned int i = 0; i < 5000; i++) {
		if (i % 8 == 0)
			(void)!write(r->peer, data, rig_encode(data, 60, i));
		take_frames(r, &in, came, last);
	}
	/* They don't wait for us: from here on nobody reads, until they are
	 * done. */
	for (uint32_t i = 0; i < SENDERS; i++) {
		assert_int_equal(pthread_join(s[i].thread, NULL), 0);
		assert_int_equal(s[i].sent + s[i].dropped, BURSTS * BURST);
	}
	while (!all_came(s, came)) {
		assert_true(clock_ns() < end);
		take_frames(r, &in, came, last);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(receiver, NULL), 0);
	assert_int_equal(in.used, 0);
	assert_true(r->link.received > 0);
	free(in.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(frames_of_several_senders_stay_whole_and_in_order),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
