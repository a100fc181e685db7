/* What a process that was killed has left of a stream, and how it goes on. */
#include "tests/unit/stream_rig.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* ---- Any state ---- */

static void fresh_state_is_sane_and_closed(void **state)
{
	struct rig *r = *state;

	stream_state_init(r->state);
	assert_true(stream_state_sane(r->state));
	assert_int_equal(r->state->open, 0);
	stream_state_open(r->state);
	assert_int_equal(r->state->open, 1);
	assert_true(stream_state_recover(r->state));
	stream_state_close(r->state);
	assert_int_equal(r->state->open, 0);
}

static void what_no_port_has_left_is_refused(void **state)
{
	struct rig *r = *state;
	struct stream_state *s = r->state;

	s->magic++;
	assert_false(stream_state_sane(s));
	s->magic--;
	s->size++;
	assert_false(stream_state_sane(s));
	s->size--;
	s->open = 2;
	assert_false(stream_state_sane(s));
	s->open = 1;
	s->rx = stream_place(0, STREAM_BUFFER + 1);
	assert_false(stream_state_sane(s));
	s->rx = stream_place(9, 8);
	assert_false(stream_state_sane(s));
	s->rx = stream_place(0, STREAM_BUFFER - 10) | STREAM_BUSY;
	s->rx_msg.msg_len = 11;
	assert_false(stream_state_sane(s));
	s->rx_msg.msg_len = 10;
	assert_true(stream_state_sane(s));
	s->tx = stream_place(0, STREAM_FRAME_MAX + 1);
	assert_false(stream_state_sane(s));
	s->tx = stream_place(2, 1);
	assert_false(stream_state_sane(s));
	s->tx = STREAM_BUSY;
	s->sends = STREAM_SEND_MAX + 1;
	assert_false(stream_state_sane(s));
	s->sends = 2;
	s->end[0] = 64;
	s->end[1] = 63;
	assert_false(stream_state_sane(s));
	s->end[1] = 64 + STREAM_FRAME_MAX + 1;
	assert_false(stream_state_sane(s));
	s->end[1] = 128;
	assert_true(stream_state_sane(s));
}

static void call_that_has_read_is_counted(void **state)
{
	struct stream_state *s = ((struct rig *)*state)->state;

	s->rx_msg.msg_len = 50;
	s->rx = stream_place(10, 30);
	assert_true(stream_state_recover(s));
	assert_int_equal(s->rx, stream_place(10, 30));
	s->rx |= STREAM_BUSY;
	assert_true(stream_state_recover(s));
	assert_int_equal(s->rx, stream_place(10, 80));
}

/* Of a call that has sent so many bytes, with 20 of a rest in front. */
static bool recovers(struct stream_state *s, uint32_t sent)
{
	s->sends = 2;
	s->end[0] = 64;
	s->end[1] = 164;
	s->tx_msg.msg_len = sent;
	s->tx = stream_place(44, 64) | STREAM_BUSY;
	assert_true(stream_state_sane(s));
	return stream_state_recover(s);
}

static void call_that_has_sent_is_counted_unless_a_frame_was_cut(void **state)
{
	struct stream_state *s = ((struct rig *)*state)->state;

	for (uint32_t sent = 0; sent < 20; sent++) {
		assert_true(recovers(s, sent));
		assert_int_equal(s->tx, stream_place(44 + sent, 64));
	}
	for (uint32_t sent = 20; sent <= 200; sent++) {
		bool whole = sent == 20 || sent == 84 || sent == 184;

		assert_int_equal(recovers(s, sent), whole);
		if (whole)
			assert_int_equal(s->tx, 0);
	}
}

/* ---- Processes that are killed ---- */

#define ROUNDS 150

/* Sends back what comes, until it is killed. */
static void echo(struct rig *r)
{
	struct frame *list[FRAME_BATCH_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rig_descriptors(r);
	if (stream_link_begin(&r->link, r->conn) < 0)
		_exit(1);
	for (;;) {
		enum drop_reason why;
		unsigned int n, at = 0;

		(void)rig_readable(r->epoll, -1);
		n = rig_rx(r);
		for (unsigned int i = 0; i < n; i++)
			list[i] = &r->frame[i];
		while (at < n)
			at += 1 + stream_link_send(&r->link, list + at, n - at,
						   &why);
	}
}

struct killer {
	struct rig *r;
	pid_t echo;
	uint32_t seed, len_max;
	uint32_t written, limit; /* frames; as many may be under way */
	uint8_t out[STREAM_FRAME_MAX];
	uint32_t out_at, out_len; /* of a frame that is half written */
	struct reader in;
	int64_t last; /* echo */
	uint64_t echoes;
	unsigned int rests, doubts, read_busy, send_busy;
};

static uint32_t draw(struct killer *k, uint32_t below)
{
	k->seed = k->seed * 1664525 + 1013904223; /* Numerical Recipes */
	return (k->seed >> 8) % below;
}

static void start_echo(struct killer *k)
{
	k->echo = fork();
	assert_true(k->echo >= 0);
	if (k->echo == 0)
		echo(k->r);
}

static void stop_echo(struct killer *k)
{
	assert_int_equal(kill(k->echo, SIGKILL), 0);
	assert_int_equal(waitpid(k->echo, NULL, 0), k->echo);
	k->echo = 0;
}

/* Until it would block, or enough are under way. */
static void write_frames(struct killer *k, uint32_t base)
{
	for (;;) {
		ssize_t n;

		if (!k->out_len) {
			uint32_t newest = k->last + 1 > base
						  ? (uint32_t)(k->last + 1)
						  : base;

			if (k->written >= newest + k->limit)
				return;
			k->out_len = rig_encode(k->out, 4 + draw(k, k->len_max),
						k->written++);
			k->out_at = 0;
		}
		n = write(k->r->peer, k->out + k->out_at,
			  k->out_len - k->out_at);
		if (n < 0)
			return;
		k->out_at += (uint32_t)n;
		if (k->out_at == k->out_len)
			k->out_len = 0;
	}
}

static void read_echoes(struct killer *k)
{
	int64_t n;
	uint32_t len;

	reader_fill(&k->in, k->r->peer);
	while ((n = reader_take(&k->in, &len)) >= 0) {
		assert_true(n > k->last);
		k->last = n;
		k->echoes++;
	}
}

/* So many more. A frame that was dropped is no echo, others will be. */
static void run(struct killer *k, uint64_t more)
{
	uint64_t end = clock_ns() + RIG_TIMEOUT * 1000000ull;
	uint64_t want = k->echoes + more;
	uint32_t base = k->written;

	while (k->echoes < want) {
		struct pollfd p = { .fd = k->r->peer, .events = POLLIN };

		assert_true(clock_ns() < end);
		write_frames(k, base);
		/* What is dropped may have been all. */
		if (poll(&p, 1, 10) == 0)
			base = k->written;
		read_echoes(k);
	}
}

/* What was under way is lost with the connection. */
static void connect_anew(struct killer *k)
{
	k->doubts++;
	rig_disconnect(k->r);
	rig_connect(k->r);
	k->out_len = 0;
	k->in.used = 0;
}

static void look_at(struct killer *k)
{
	uint64_t rx = k->r->state->rx, tx = k->r->state->tx;

	k->read_busy += (rx & STREAM_BUSY) != 0;
	k->send_busy += (tx & STREAM_BUSY) != 0;
	assert_true(stream_state_sane(k->r->state));
	if (stream_state_recover(k->r->state)) {
		tx = k->r->state->tx;
		k->rests += stream_from(tx) != stream_to(tx);
		return;
	}
	connect_anew(k);
}

static void kill_again_and_again(struct killer *k, int room)
{
	k->last = -1;
	k->seed = 1;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (room)
			rig_room(k->r->conn, room);
		start_echo(k);
		run(k, 1 + draw(k, 300));
		stop_echo(k);
		look_at(k);
	}
	start_echo(k);
	run(k, 100);
	stop_echo(k);
	print_message("%u rests, %u doubts, killed in %u reads and %u sends\n",
		      k->rests, k->doubts, k->read_busy, k->send_busy);
	free(k->in.data);
}

static void killed_process_leaves_a_stream_in_step(void **state)
{
	static struct killer k;

	k.r = *state;
	k.len_max = 1500;
	k.limit = 100;
	/* There is room for all that is under way: nothing is ever cut. */
	kill_again_and_again(&k, 1 << 20);
	assert_int_equal(k.doubts, 0);
}

static void killed_process_leaves_the_rest_of_a_cut_frame(void **state)
{
	static struct killer k;

	k.r = *state;
	k.len_max = 3000;
	k.limit = 100;
	kill_again_and_again(&k, 1);
	assert_true(k.rests > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(fresh_state_is_sane_and_closed),
		RIG_TEST(what_no_port_has_left_is_refused),
		RIG_TEST(call_that_has_read_is_counted),
		RIG_TEST(call_that_has_sent_is_counted_unless_a_frame_was_cut),
		RIG_TEST(killed_process_leaves_a_stream_in_step),
		RIG_TEST(killed_process_leaves_the_rest_of_a_cut_frame),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
