/* Frames in and out of a stream: cut anywhere, too long, too many. */
#include "tests/unit/stream_rig.h"

#include "base/fds.h"
#include "tests/unit/lingering.h"

static void is_frame(const struct frame *f, uint32_t n, uint32_t len)
{
	assert_int_equal(f->len, len);
	assert_int_equal(f->head_len, len);
	assert_int_equal(f->nsegs, 0);
	assert_true(rig_same(f->data, len, n));
}

/* ---- In ---- */

static const uint32_t lens[] = { 60, 14, 100 };

static size_t encode_all(uint8_t *to)
{
	size_t len = 0;

	for (uint32_t i = 0; i < 3; i++)
		len += rig_encode(to + len, lens[i], i);
	return len;
}

static void frames_arrive_that_are_cut_at_any_byte(void **state)
{
	struct rig *r = *state;
	uint8_t data[256];
	size_t len = encode_all(data);

	for (size_t cut = 1; cut < len; cut++) {
		unsigned int n, first;

		rig_write(r, data, cut);
		first = rig_rx(r);
		assert_int_equal(first, (cut >= 64) + (cut >= 64 + 18));
		for (n = 0; n < first; n++)
			is_frame(&r->frame[n], n, lens[n]);
		assert_int_equal(rig_rx(r), 0);
		rig_write(r, data + cut, len - cut);
		assert_int_equal(rig_rx(r), 3 - first);
		for (n = first; n < 3; n++)
			is_frame(&r->frame[n - first], n, lens[n]);
	}
	assert_int_equal(rig_rx(r), 0);
	assert_int_equal(r->link.received, 3 * (len - 1));
	assert_null(r->link.ended);
}

static void frames_arrive_byte_by_byte(void **state)
{
	struct rig *r = *state;
	uint8_t data[256];
	size_t len = encode_all(data);
	uint32_t came = 0;

	for (size_t i = 0; i < len; i++) {
		rig_write(r, data + i, 1);
		if (rig_rx(r)) {
			is_frame(&r->frame[0], came, lens[came]);
			came++;
		}
	}
	assert_int_equal(came, 3);
}

/* As on a kernel before Linux 6.16: nothing has refused it. */
static void frames_arrive_beside_a_descriptor_whose_close_waits(void **state)
{
	struct rig *r = *state;
	unsigned int before = fds_count();
	uint8_t data[64];
	size_t len = rig_encode(data, 60, 1);
	int tcp[2];

	alarm(20);
	lingering(tcp);
	assert_int_equal(fds_send(r->peer, data, len, tcp, 1), len);
	close(tcp[0]);
	rig_write(r, data, len);
	for (unsigned int n = 0; n < 2;) {
		unsigned int got = rig_rx(r);

		for (unsigned int i = 0; i < got; i++)
			is_frame(&r->frame[i], 1, 60);
		n += got;
	}
	assert_null(r->link.ended);
	close(tcp[1]);
	while (fds_stuck() || fds_count() != before)
		;
	alarm(0);
}

static void more_than_a_batch_makes_the_queue_ready_until_it_is_taken(
	void **state)
{
	struct rig *r = *state;
	uint8_t data[64 * 200];
	size_t len = 0;

	for (uint32_t i = 0; i < 200; i++)
		len += rig_encode(data + len, 60, i);
	rig_write(r, data, len);
	for (uint32_t first = 0; first < 200; first += 64) {
		unsigned int want = first < 192 ? 64 : 8;

		assert_true(rig_readable(r->epoll, 0));
		assert_int_equal(rig_rx(r), want);
		for (unsigned int i = 0; i < want; i++)
			is_frame(&r->frame[i], first + i, 60);
	}
	assert_false(rig_readable(r->epoll, 0));
	assert_int_equal(rig_rx(r), 0);
}

static void batch_ends_where_the_arena_does(void **state)
{
	struct rig *r = *state;
	uint8_t data[2048];

	for (uint32_t i = 0; i < 3; i++)
		rig_write(r, data, rig_encode(data, 1514, i));
	r->arena.size = FRAME_SLOT + 2048;
	assert_int_equal(rig_rx(r), 2);
	assert_true(rig_readable(r->epoll, 0));
	assert_int_equal(rig_rx(r), 1);
	is_frame(&r->frame[0], 2, 1514);
	assert_false(rig_readable(r->epoll, 0));
}

/* Longer than what is read at once; the buffer is moved again and again. */
static void frames_of_any_length_arrive(void **state)
{
	struct rig *r = *state;
	uint8_t *data = malloc(STREAM_FRAME_MAX);
	uint32_t step = 0;

	assert_non_null(data);
	rig_room(r->peer, 1 << 20);
	for (uint32_t len = 4; len <= FRAME_LEN_MAX; len += 1021, step++) {
		rig_write(r, data, rig_encode(data, len, step));
		rig_write(r, data, rig_encode(data, 60, step));
		assert_int_equal(rig_rx(r), 2);
		is_frame(&r->frame[0], step, len);
		is_frame(&r->frame[1], step, 60);
	}
	rig_write(r, data, rig_encode(data, FRAME_LEN_MAX, 7));
	assert_int_equal(rig_rx(r), 1);
	is_frame(&r->frame[0], 7, FRAME_LEN_MAX);
	free(data);
}

/* There is always half a frame left, so the buffer's end is reached, and what
 * is there moved to its beginning. */
static void frames_arrive_whose_stream_is_never_at_a_frames_end(void **state)
{
	struct rig *r = *state;
	uint8_t data[2 * (STREAM_WORD + 1514)];
	uint32_t len = STREAM_WORD + 1514, half = 0, n;

	for (n = 0; n < 3 * STREAM_BUFFER / 1514; n++) {
		rig_encode(data, 1514, n);
		rig_encode(data + len, 1514, n + 1);
		/* The rest of this one, and some of the next. */
		rig_write(r, data + half, len - half + n % 1500 + 1);
		half = n % 1500 + 1;
		assert_int_equal(rig_rx(r), 1);
		is_frame(&r->frame[0], n, 1514);
	}
	assert_null(r->link.ended);
}

static void ends_with(struct rig *r, uint32_t word)
{
	uint8_t data[256];
	size_t len = rig_encode(data, 60, 1);

	store_be32(data + len, word);
	rig_write(r, data, len + STREAM_WORD);
	assert_int_equal(rig_rx(r), 1);
	is_frame(&r->frame[0], 1, 60);
	assert_non_null(r->link.ended);
	assert_non_null(strstr(r->link.ended, "an impossible length"));
	/* Nothing more of it is heard, and nobody is woken up. */
	rig_write(r, data, len);
	assert_int_equal(rig_rx(r), 0);
	assert_false(rig_readable(r->epoll, 0));
	rig_burst(r, 1, 1, 60);
	assert_int_equal(rig_send(r, DROP_LINK_DOWN), 0);
	rig_disconnect(r);
	rig_connect(r);
	assert_null(r->link.ended);
	rig_write(r, data, len);
	assert_int_equal(rig_rx(r), 1);
}

static void impossible_length_ends_the_connection_behind_good_frames(
	void **state)
{
	struct rig *r = *state;

	ends_with(r, 0);
	ends_with(r, FRAME_LEN_MAX + 1);
	ends_with(r, UINT32_MAX);
	ends_with(r, 0x80000000u);
}

static void frames_sent_before_the_end_arrive(void **state)
{
	struct rig *r = *state;
	uint8_t data[64 * 100];
	size_t len = 0;

	for (uint32_t i = 0; i < 100; i++)
		len += rig_encode(data + len, 60, i);
	rig_write(r, data, len - 1); /* of the last one a byte is missing */
	close(r->peer);
	r->peer = -1;
	assert_int_equal(rig_rx(r), 64);
	assert_null(r->link.ended);
	assert_int_equal(rig_rx(r), 35);
	is_frame(&r->frame[34], 98, 60);
	assert_true(rig_readable(r->epoll, 0) || r->link.ended);
	assert_int_equal(rig_rx(r), 0);
	assert_ptr_equal(r->link.ended, stream_closed);
	assert_false(rig_readable(r->epoll, 0));
}

/* ---- Out ---- */

/* The other end gets exactly these, in order. */
static void gets(struct reader *in, struct rig *r, uint32_t first,
		 unsigned int n, uint32_t len)
{
	uint32_t got;

	for (uint32_t i = 0; i < n;) {
		int64_t number = reader_take(in, &got);

		if (number < 0) {
			(void)rig_rx(r); /* what was kept goes out */
			assert_int_not_equal(reader_fill(in, r->peer), 0);
			continue;
		}
		assert_int_equal(number, first + i++);
		assert_int_equal(got, len);
	}
	(void)rig_rx(r);
	reader_fill(in, r->peer);
	assert_int_equal(in->used, 0);
}

static void burst_goes_out_as_one(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };

	rig_burst(r, 100, 64, 1514);
	assert_int_equal(rig_send(r, DROP_REASON_COUNT), 64);
	assert_int_equal(r->state->sends, 64); /* of the last call */
	gets(&in, r, 100, 64, 1514);
	free(in.data);
}

static void frame_in_pieces_goes_out_whole(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	struct iovec seg[FRAME_SEGS_MAX];
	struct frame *f;

	rig_room(r->conn, 1 << 20);
	for (unsigned int i = 0; i < RIG_FRAMES_MAX / 8; i++) {
		rig_burst(r, i, 1, 2100);
		f = r->burst.list[0];
		f->head_len = 100;
		f->nsegs = FRAME_SEGS_MAX;
		f->segs = seg;
		for (unsigned int k = 0; k < FRAME_SEGS_MAX; k++)
			seg[k] = (struct iovec){ f->data + 100 + k * 100, 100 };
		assert_int_equal(rig_send(r, DROP_REASON_COUNT), 1);
	}
	gets(&in, r, 0, RIG_FRAMES_MAX / 8, 2100);
	free(in.data);
}

static void more_pieces_than_one_call_takes_go_out(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	struct iovec seg[64][FRAME_SEGS_MAX];

	rig_room(r->conn, 1 << 20);
	rig_burst(r, 5, 64, 2100);
	for (unsigned int i = 0; i < 64; i++) {
		struct frame *f = r->burst.list[i];

		f->head_len = 100;
		f->nsegs = FRAME_SEGS_MAX;
		f->segs = seg[i];
		for (unsigned int k = 0; k < FRAME_SEGS_MAX; k++)
			seg[i][k] =
				(struct iovec){ f->data + 100 + k * 100, 100 };
	}
	assert_int_equal(rig_send(r, DROP_REASON_COUNT), 64);
	gets(&in, r, 5, 64, 2100);
	free(in.data);
}

static void longest_frame_goes_and_a_longer_one_does_not(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };

	rig_room(r->conn, 1 << 20);
	rig_burst(r, 1, 3, FRAME_LEN_MAX + 1);
	r->burst.frame[0].len = r->burst.frame[0].head_len = FRAME_LEN_MAX;
	r->burst.frame[2].len = r->burst.frame[2].head_len = FRAME_LEN_MAX;
	assert_int_equal(rig_send(r, DROP_MTU), 2);
	reader_fill(&in, r->peer);
	assert_int_equal(in.used, 2 * STREAM_FRAME_MAX);
	free(in.data);
}

/*
 * A socket takes a fixed number of bytes. So one frame in front, byte by byte
 * longer, moves the cut through all bytes of a frame.
 */
static void frames_leave_whole_that_are_cut_at_any_byte(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	uint64_t cuts = 0;

	for (uint32_t pad = 0; pad < 64; pad++) {
		unsigned int sent;
		uint32_t len;
		uint64_t tx;

		rig_disconnect(r);
		rig_connect(r);
		rig_room(r->conn, 1); /* the least there is */
		rig_burst(r, 0, 64, 3500 + pad);
		for (unsigned int i = 1; i < 64; i++)
			r->burst.frame[i].len = r->burst.frame[i].head_len = 60;
		sent = rig_send(r, DROP_QUEUE_FULL);
		assert_in_range(sent, 2, 63);
		tx = atomic_load(&r->state->tx);
		cuts |= 1ull << stream_from(tx);
		assert_int_equal(stream_to(tx), stream_from(tx) ? 64 : 0);
		reader_fill(&in, r->peer);
		assert_int_equal(reader_take(&in, &len), 0);
		assert_int_equal(len, 3500 + pad);
		gets(&in, r, 1, sent - 1, 60);
	}
	assert_true(cuts == UINT64_MAX);
	free(in.data);
}

static void peer_that_does_not_read_loses_frames_that_are_counted(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	unsigned int sent = 0;

	for (unsigned int i = 0; i < 40; i++) {
		rig_burst(r, sent, 64, 1514);
		sent += rig_send(r, DROP_QUEUE_FULL);
	}
	assert_in_range(sent, 64, 39 * 64);
	rig_burst(r, sent, 64, 1514);
	assert_int_equal(rig_send(r, DROP_QUEUE_FULL), 0);
	gets(&in, r, 0, sent, 1514);
	/* And all is well again. */
	rig_burst(r, sent, 64, 1514);
	assert_int_equal(rig_send(r, DROP_REASON_COUNT), 64);
	gets(&in, r, sent, 64, 1514);
	free(in.data);
}

static void rest_goes_out_as_soon_as_there_is_room(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	unsigned int sent;

	rig_room(r->conn, 1);
	rig_burst(r, 0, 100, 1000);
	sent = rig_send(r, DROP_QUEUE_FULL);
	assert_in_range(sent, 1, 99);
	assert_true(r->link.kept);
	(void)rig_rx(r); /* it was nudged to look at its buffer */
	assert_false(rig_readable(r->epoll, 0));
	reader_fill(&in, r->peer);
	assert_true(rig_readable(r->epoll, RIG_TIMEOUT));
	assert_int_equal(rig_rx(r), 0);
	assert_false(r->link.kept);
	/* It isn't told of room that it has no use for. */
	assert_false(rig_readable(r->epoll, 0));
	gets(&in, r, 0, sent, 1000);
	free(in.data);
}

/* Is a frame not out yet, and from which byte on? */
static bool has_rest(const struct rig *r, uint32_t *from)
{
	uint64_t tx = atomic_load(&r->state->tx);

	*from = stream_from(tx);
	return stream_from(tx) != stream_to(tx);
}

/* Each time there is room for some of it, but not for all. */
static void rest_goes_out_in_as_many_pieces_as_it_takes(void **state)
{
	struct rig *r = *state;
	struct reader in = { 0 };
	unsigned int cut = 0;
	uint32_t from, len;

	rig_room(r->conn, 1); /* the least there is */
	rig_burst(r, 0, 1, FRAME_LEN_MAX);
	assert_int_equal(rig_send(r, DROP_QUEUE_FULL), 1);
	while (has_rest(r, &from)) {
		assert_true(reader_fill(&in, r->peer) > 0);
		assert_int_equal(rig_rx(r), 0);
		if (!has_rest(r, &len))
			break;
		assert_true(len > from);
		cut++;
	}
	assert_in_range(cut, 3, FRAME_LEN_MAX);
	(void)reader_fill(&in, r->peer);
	assert_int_equal(reader_take(&in, &len), 0);
	assert_int_equal(len, FRAME_LEN_MAX);
	assert_int_equal(in.used, 0);
	free(in.data);
}

static void sending_to_who_has_gone_ends_the_connection(void **state)
{
	struct rig *r = *state;

	(void)rig_rx(r);
	assert_false(rig_readable(r->epoll, 0));
	/* It reads no more, but says nothing of that. */
	assert_int_equal(shutdown(r->peer, SHUT_RD), 0);
	rig_burst(r, 0, 5, 60);
	assert_int_equal(rig_send(r, DROP_LINK_DOWN), 0);
	assert_true(rig_readable(r->epoll, 0));
	assert_int_equal(rig_rx(r), 0);
	assert_ptr_equal(r->link.ended, stream_closed);
	assert_int_equal(r->link.error, EPIPE);
	assert_false(rig_readable(r->epoll, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(frames_arrive_that_are_cut_at_any_byte),
		RIG_TEST(frames_arrive_byte_by_byte),
		RIG_TEST(frames_arrive_beside_a_descriptor_whose_close_waits),
		RIG_TEST(
			more_than_a_batch_makes_the_queue_ready_until_it_is_taken),
		RIG_TEST(batch_ends_where_the_arena_does),
		RIG_TEST(frames_of_any_length_arrive),
		RIG_TEST(frames_arrive_whose_stream_is_never_at_a_frames_end),
		RIG_TEST(
			impossible_length_ends_the_connection_behind_good_frames),
		RIG_TEST(frames_sent_before_the_end_arrive),
		RIG_TEST(burst_goes_out_as_one),
		RIG_TEST(frame_in_pieces_goes_out_whole),
		RIG_TEST(more_pieces_than_one_call_takes_go_out),
		RIG_TEST(longest_frame_goes_and_a_longer_one_does_not),
		RIG_TEST(frames_leave_whole_that_are_cut_at_any_byte),
		RIG_TEST(peer_that_does_not_read_loses_frames_that_are_counted),
		RIG_TEST(rest_goes_out_as_soon_as_there_is_room),
		RIG_TEST(rest_goes_out_in_as_many_pieces_as_it_takes),
		RIG_TEST(sending_to_who_has_gone_ends_the_connection),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
