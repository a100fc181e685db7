/*
 * Processes that die over a ring, and those that go on with it: each chain
 * comes back once, in order, and no frame is seen twice.
 *
 * A process that is killed stops between two stores. How far it got is built
 * out of two pictures of the guest's memory and the place, from before it gave
 * back what it had and from afterwards.
 */
#include "tests/unit/vhost_rig.h"

#include <errno.h>

#define FRAMES 5

/* The ring's memory and the place. */
struct picture {
	uint8_t ring[RIG_TABLES];
	struct vhost_place place;
};

struct death {
	struct picture before, after;
	int id[FRAMES];
	uint32_t len[FRAMES]; /* as given back by the one that died */
};

static void picture_take(struct rig *g, struct picture *p)
{
	memcpy(p->ring, g->half[0], RIG_TABLES);
	p->place = g->place;
}

static void picture_put(struct rig *g, const struct picture *p)
{
	memcpy(g->half[0], p->ring, RIG_TABLES);
	g->place = p->place;
}

/* The next process: it has nothing but the place. */
static void next_process(struct rig *g)
{
	struct vhost_ring old = g->r;

	memset(&g->r, 0, sizeof(g->r));
	g->r.mem = old.mem;
	g->r.log = old.log;
	g->r.place = old.place;
	g->r.features = old.features;
	g->r.size = old.size;
	g->r.desc = old.desc;
	g->r.driver = old.driver;
	g->r.device = old.device;
	g->r.kick = old.kick;
	g->r.call = old.call;
	rig_count(g->r.call);
	rig_count(g->r.kick);
	assert_int_equal(vhost_ring_start(&g->r), 0);
	/* The earlier one may have owed it. */
	assert_int_equal(rig_count(g->r.call), 1);
	assert_false(g->r.awake);
}

/* Chains of one or two descriptors, so that the numbers of both differ. */
static int post(struct rig *g, uint32_t n, bool write)
{
	static const struct virtio_net_hdr_v1 plain;
	struct vdriver_piece p[2] = {
		{ rig_buffer(g, 40), 40, write },
		{ rig_buffer(g, 60), 60, write },
	};
	unsigned int pieces = n % 2 ? 2 : 1;

	if (!write)
		rig_fill(g, p, pieces, &plain, n);
	return vdriver_add(&g->d, p, pieces, NULL);
}

static uint32_t frame_len(uint32_t n)
{
	return n % 2 ? 88 : 28;
}

/* New frames come, and frames that are sent arrive: the ring is well. */
static void goes_on(struct rig *g)
{
	for (uint32_t n = 100; n < 300; n++) {
		int id = post(g, n, false);

		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
		rig_expect(&g->frame[0], frame_len(n), n);
		vhost_ring_done(&g->r);
		rig_reap(g, id, 0);
		rig_reap_none(g);
		g->bump = GUEST + RIG_BUFFERS;
	}
	assert_null(g->r.broken);
}

/* A ring of 16 a few chains before its end, used for a while. */
static void begin(struct rig *g)
{
	rig_start(g, 16, 0);
	for (uint32_t n = 0; n < 8; n++) {
		int id = post(g, n, false);

		vdriver_publish(&g->d);
		assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
		vhost_ring_done(&g->r);
		rig_reap(g, id, 0);
	}
}

/* Receive FRAMES frames. */
static void take(struct rig *g, struct death *d)
{
	begin(g);
	for (uint32_t n = 0; n < FRAMES; n++) {
		d->id[n] = post(g, n, false);
		d->len[n] = 0;
	}
	vdriver_publish(&g->d);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), FRAMES);
	picture_take(g, &d->before);
	vhost_ring_done(&g->r);
	picture_take(g, &d->after);
}

/* Send as many. */
static void give(struct rig *g, struct death *d)
{
	static uint8_t data[28];
	struct frame f, *list[] = { &f, &f, &f, &f, &f };
	enum drop_reason why;

	begin(g);
	for (uint32_t n = 0; n < FRAMES; n++) {
		d->id[n] = post(g, n, true);
		d->len[n] = ETHER_VNET_LEN + sizeof(data);
	}
	vdriver_publish(&g->d);
	rig_frame(&f, data, sizeof(data), 1);
	picture_take(g, &d->before);
	assert_int_equal(vhost_ring_send(&g->r, list, FRAMES, &why), FRAMES);
	picture_take(g, &d->after);
}

static void all_come_back(struct rig *g, const struct death *d)
{
	for (int n = 0; n < FRAMES; n++)
		rig_reap(g, d->id[n], d->len[n]);
	rig_reap_none(g);
	goes_on(g);
}

static void clean_stop_goes_on(void **state)
{
	struct rig *g = *state;

	begin(g);
	for (int i = 0; i < 20; i++) {
		vhost_ring_stop(&g->r);
		assert_int_equal(g->place.avail, g->place.used);
		next_process(g);
		rig_reap_none(g);
		goes_on(g);
	}
}

static void what_was_taken_comes_back_unseen(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	take(g, d);
	picture_put(g, &d->before);
	next_process(g);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 0);
	all_come_back(g, d);
	free(d);
}

/* It died in rx: chains were found, and nobody has said that they are taken. */
static void what_was_only_looked_at_comes_again(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	take(g, d);
	picture_put(g, &d->before);
	g->place.avail = g->place.used;
	next_process(g);
	rig_reap_none(g);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), FRAMES);
	for (uint32_t n = 0; n < FRAMES; n++)
		rig_expect(&g->frame[n], frame_len(n), n);
	vhost_ring_done(&g->r);
	all_come_back(g, d);
	free(d);
}

/*
 * The place says that it was giving back, and of the ring the descriptors or
 * elements in `mask` have been written, but not what makes them visible.
 */
static void half_given(struct rig *g, const struct death *d, unsigned int mask)
{
	uint32_t at = 16 - 4; /* begin() leaves it there */

	picture_put(g, &d->before);
	g->place.giving = d->after.place.giving;
	g->place.ntaken = d->after.place.ntaken;
	memcpy(g->place.taken, d->after.place.taken, sizeof(g->place.taken));
	if (!g->packed)
		at = 8;
	for (unsigned int n = 0; n < FRAMES; n++) {
		uint32_t off = g->packed ? 16 * at : RIG_DEVICE + 4 + 8 * at;

		if (mask & 1u << n)
			memcpy(g->half[0] + off, d->after.ring + off,
			       g->packed ? 16 : 8);
		at = (at + (g->packed ? g->place.taken[n].count : 1)) % 16;
	}
}

static void giving_back_is_finished_wherever_it_was(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	for (unsigned int mask = 0; mask < 1u << FRAMES; mask++) {
		/* A packed ring's first is what makes it visible. */
		if (g->packed && mask & 1)
			continue;
		memset(g->half[0], 0, RIG_TABLES);
		g->bump = GUEST + RIG_BUFFERS;
		take(g, d);
		half_given(g, d, mask);
		next_process(g);
		all_come_back(g, d);
	}
	free(d);
}

/* Buffers that a frame was being sent into: with a packed ring they come back
 * as they were to come, with a split one the next frames get them. */
static void sending_is_finished_or_hasnt_begun(void **state)
{
	static uint8_t data[28];
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	for (unsigned int mask = 0; mask < 1u << FRAMES; mask++) {
		struct frame f, *list[] = { &f, &f, &f, &f, &f };
		enum drop_reason why;

		if (g->packed && mask & 1)
			continue;
		memset(g->half[0], 0, RIG_TABLES);
		g->bump = GUEST + RIG_BUFFERS;
		give(g, d);
		half_given(g, d, mask);
		next_process(g);
		if (!g->packed) {
			rig_reap_none(g);
			rig_frame(&f, data, sizeof(data), 2);
			assert_int_equal(
				vhost_ring_send(&g->r, list, FRAMES, &why),
				FRAMES);
			rig_count(g->r.call);
		}
		all_come_back(g, d);
	}
	free(d);
}

/* Given back; how much the place knows of it differs. */
static void what_was_given_back_isnt_given_again(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	for (int known = 0; known < 6; known++) {
		memset(g->half[0], 0, RIG_TABLES);
		g->bump = GUEST + RIG_BUFFERS;
		if (known < 3)
			take(g, d);
		else
			give(g, d);
		if (known % 3 < 2)
			g->place.used = d->before.place.used;
		if (known % 3 < 1)
			g->place.avail = d->before.place.avail;
		next_process(g);
		all_come_back(g, d);
	}
	free(d);
}

/* The guest has reused all descriptors before the next process looked. */
static void guest_that_went_on_meanwhile_is_understood(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;
	uint32_t n = 0;
	int id[16];

	assert_non_null(d);
	take(g, d);
	g->place.used = d->before.place.used;
	for (int i = 0; i < FRAMES; i++)
		rig_reap(g, d->id[i], 0);
	while ((id[n] = post(g, 50 + n, false)) >= 0)
		n++;
	assert_true(g->d.free <= 1);
	vdriver_publish(&g->d);
	next_process(g);
	rig_reap_none(g);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), n);
	for (uint32_t i = 0; i < n; i++)
		rig_expect(&g->frame[i], frame_len(50 + i), 50 + i);
	vhost_ring_done(&g->r);
	for (uint32_t i = 0; i < n; i++)
		rig_reap(g, id[i], 0);
	goes_on(g);
	free(d);
}

/* ---- what front ends say ---- */

/* As a session does it for SET_VRING_BASE. */
static void base(struct rig *g, uint16_t avail, uint16_t used)
{
	memset(&g->place, 0, sizeof(g->place));
	g->place.avail = avail;
	g->place.used = g->place.giving = used;
}

static void base_of_a_clean_stop_goes_on(void **state)
{
	struct rig *g = *state;

	for (int i = 0; i < 20; i++) {
		if (!i)
			begin(g);
		vhost_ring_stop(&g->r);
		base(g, g->place.avail, g->place.used);
		next_process(g);
		goes_on(g);
	}
}

/* A migrated guest whose earlier back end had frames in hand: the base is
 * `avail`, and `used` is in a split ring's memory or beside it. */
static void base_with_chains_in_hand_gives_them_back(void **state)
{
	struct death *d = calloc(1, sizeof(*d));
	struct rig *g = *state;

	assert_non_null(d);
	take(g, d);
	picture_put(g, &d->before);
	if (g->packed)
		base(g, g->place.avail, g->place.used);
	else
		base(g, g->place.avail, g->place.avail);
	next_process(g);
	all_come_back(g, d);
	free(d);
}

/* DPDK's virtio-user: 0 after a reconnect, with frames that wait. */
static void split_base_of_0_means_the_used_index(void **state)
{
	struct rig *g = *state;
	int id;

	if (g->packed)
		return;
	begin(g);
	id = post(g, 77, false);
	vdriver_publish(&g->d);
	base(g, 0, 0);
	next_process(g);
	assert_int_equal(rig_receive(g, FRAME_BATCH_MAX), 1);
	rig_expect(&g->frame[0], frame_len(77), 77);
	vhost_ring_done(&g->r);
	rig_reap(g, id, 0);
	goes_on(g);
}

/* The same one with packed rings: it begins anew, and says nothing of used. */
static void packed_base_without_used_means_avail(void **state)
{
	struct rig *g = *state;

	if (!g->packed)
		return;
	rig_start(g, 16, 0);
	base(g, 0x8000, 0);
	next_process(g);
	assert_int_equal(g->place.used, 0x8000);
	goes_on(g);
}

static void positions_that_cant_be_are_refused(void **state)
{
	static const struct {
		uint16_t avail, used, giving, ntaken, count;
	} row[] = {
		{ 16, 0x8000, 0x8000, 0, 0 },
		{ 0x8000, 0x8010, 0x8000, 0, 0 },
		{ 0x8000, 0x8000, 0xffff, 0, 0 },
		{ 0x8000, 0x8000, 0x8002, 1, 1 },  /* another sum */
		{ 0x8000, 0x8000, 0x8002, 65, 2 }, /* too many */
		{ 0x8000, 0x8000, 0x8002, 65535, 0 },
		{ 0x8000, 0x8000, 0x0002, 1, 18 }, /* more than a lap */
	};
	struct rig *g = *state;

	if (!g->packed) /* there the ring itself says it */
		return;
	rig_start(g, 16, 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		base(g, row[i].avail, row[i].used);
		g->place.giving = row[i].giving;
		g->place.ntaken = row[i].ntaken;
		g->place.taken[0].count = row[i].count;
		assert_int_equal(rig_restart(g), -EINVAL);
		assert_string_equal(g->r.broken, "positions that can't be");
		assert_int_equal(rig_receive(g, 1), 0);
	}
	base(g, 0x8000, 0x8000);
	assert_int_equal(rig_restart(g), 0);
	rig_count(g->r.call);
	goes_on(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(clean_stop_goes_on),
		RIG_TEST(what_was_taken_comes_back_unseen),
		RIG_TEST(what_was_only_looked_at_comes_again),
		RIG_TEST(giving_back_is_finished_wherever_it_was),
		RIG_TEST(sending_is_finished_or_hasnt_begun),
		RIG_TEST(what_was_given_back_isnt_given_again),
		RIG_TEST(guest_that_went_on_meanwhile_is_understood),
		RIG_TEST(base_of_a_clean_stop_goes_on),
		RIG_TEST(base_with_chains_in_hand_gives_them_back),
		RIG_TEST(split_base_of_0_means_the_used_index),
		RIG_TEST(packed_base_without_used_means_avail),
		RIG_TEST(positions_that_cant_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
