/* While the configuration changes, each frame meets the old one or the new one
 * in the kernel, or userspace. */
#include "tests/sim/fast.h"

#include "base/clock.h"

#include <pthread.h>

#define FRAMES	    100000
#define EACH	    500 /* of them by either configuration */
#define DEADLINE_NS (30 * CLOCK_NS_PER_S)

struct race {
	struct sim *s;
	const struct snapshot *config[2];
	atomic_bool stop;
	unsigned int commits;
};

static enum fastpath_state on(void *ctx, uint32_t index)
{
	(void)ctx;
	(void)index;
	return FASTPATH_ON;
}

static void *commit_in_turns(void *arg)
{
	struct race *r = arg;

	while (!atomic_load(&r->stop)) {
		/* As long again, so that something is decided. */
		uint64_t from = clock_ns(), now;

		fastpath_commit(r->s->fastpath, r->config[r->commits++ % 2], on,
				NULL);
		now = clock_ns();
		while (clock_ns() < 2 * now - from)
			;
	}
	return NULL;
}

/* Commits what was changed; the snapshot stays, for nobody reaps. */
static const struct snapshot *committed(struct sim *s)
{
	switch_commit(s->sw);
	return atomic_load(&s->sw->shared.snapshot);
}

static void add_static(struct sim *s, const char *port, uint64_t mac)
{
	struct error err = { 0 };

	assert_int_equal(switch_static_add(s->sw, mac, 10, port,
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
}

/* Which configuration has made this of it? 2: none, it was punted, or is a
 * flood that was cut short. */
static unsigned int made_by(const struct sim_kernel_result *r,
			    const struct sim_frame *want, unsigned int n)
{
	const uint8_t *got = r->copy[0].f.data;
	uint8_t data[256];

	if (r->act == SIM_KERNEL_PUNT ||
	    (!r->copies && want->dst == MAC_BROADCAST))
		return 2;
	for (unsigned int i = 0; r->copies == 1 && i < n; i++)
		if (sim_build(&want[i], data) == r->copy[0].f.len &&
		    !memcmp(data, got, r->copy[0].f.len))
			return i;
	print_error("%u copies, type %04x, tag %04x\n", r->copies,
		    load_be16(got + 12), load_be16(got + 14));
	return 3;
}

/*
 * Frames from port a while two configurations take turns. The first makes
 * want[0] of it, the second want[1] where there is one (n is 2), else it lets
 * userspace have it.
 */
static void run_race(struct race *r, struct sim_frame f,
		     const struct sim_frame *want, unsigned int n)
{
	uint64_t end = clock_ns() + DEADLINE_NS;
	uint32_t a = sim_dummy(r->s, "a")->index;
	unsigned int by[4] = { 0 };
	struct frame frame;
	uint8_t data[256];
	pthread_t thread;

	frame_init(&frame, data, sim_build(&f, data));
	assert_int_equal(pthread_create(&thread, NULL, commit_in_turns, r), 0);
	for (unsigned int i = 0;
	     (i < FRAMES || by[0] < EACH || by[n - 1] < EACH) && !by[3] &&
	     clock_ns() < end;
	     i++)
		by[made_by(sim_kernel_try(r->s, a, &frame), want, n)]++;
	atomic_store(&r->stop, true);
	pthread_join(thread, NULL);
	print_message("%u by the first, %u by the second, %u by none\n", by[0],
		      by[1], by[2]);
	assert_int_equal(by[3], 0); /* by neither */
	assert_true(by[0] >= EACH && by[n - 1] >= EACH);
	switch_reap(r->s->sw);
	sim_forgive(r->s);
}

/* A behind a and B behind b, whatever the configuration. */
static void ports(struct sim *s, const char *a, const char *b)
{
	sim_attach(s, "a", a);
	sim_attach(s, "b", b);
	add_static(s, "a", A);
	add_static(s, "b", B);
}

static void set_tpid(struct sim *s, uint16_t tpid)
{
	struct switch_settings o = s->sw->settings;

	o.tpid = tpid;
	switch_settings_set(s->sw, &o);
}

/* Ports and tag protocol change at the same time. */
static void frame_gets_the_tag_of_its_own_configuration(void **state)
{
	struct race r = { .s = *state };
	const struct sim_frame f = FRAME(.src = A, .dst = B),
			       want[] = { f, FRAME(.src = A, .dst = B,
						   .tag = { STAG(10) }) };

	ports(r.s, "mode=access vlan=10", "mode=access vlan=10");
	r.config[0] = committed(r.s);
	set_tpid(r.s, 0x88a8);
	sim_set(r.s, "b", "mode=trunk vlan= trunk=10");
	r.config[1] = committed(r.s);
	run_race(&r, f, want, 2);
}

/* By the second the tag is none of ours; where it still is, b must not take it
 * with the tag. */
static void frames_tag_is_read_by_its_own_configuration(void **state)
{
	struct race r = { .s = *state };
	const struct sim_frame f = FRAME(.src = A, .dst = B,
					 .tag = { STAG(10) }),
			       want[] = { FRAME(.src = A, .dst = B) };

	set_tpid(r.s, 0x88a8);
	ports(r.s, "mode=trunk trunk=10", "mode=access vlan=10");
	r.config[0] = committed(r.s);
	set_tpid(r.s, 0x8100);
	sim_set(r.s, "b", "mode=trunk vlan= trunk=10");
	r.config[1] = committed(r.s);
	run_race(&r, f, want, 1);
}

/* Both ports change their VLAN. */
static void vlans_are_those_of_one_configuration(void **state)
{
	struct race r = { .s = *state };
	const struct sim_frame f = FRAME(.src = A, .dst = B),
			       want[] = { f, FRAME(.src = A, .dst = B,
						   .tag = { CTAG(20) }) };
	struct error err = { 0 };

	ports(r.s, "mode=access vlan=10", "mode=access vlan=10");
	r.config[0] = committed(r.s);
	sim_set(r.s, "a", "vlan=20");
	sim_set(r.s, "b", "mode=trunk vlan= trunk=10,20");
	assert_int_equal(switch_static_add(r.s->sw, A, 20, "a",
					   SWITCH_ORIGIN_CONTROL, &err) |
				 switch_static_add(r.s->sw, B, 20, "b",
						   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	r.config[1] = committed(r.s);
	run_race(&r, f, want, 2);
}

static void floods_are_those_of_one_configuration(void **state)
{
	struct race r = { .s = *state };
	const struct sim_frame f = FRAME(.src = A, .dst = MAC_BROADCAST),
			       want[] = { f,
					  FRAME(.src = A, .dst = MAC_BROADCAST,
						.tag = { CTAG(20) }) };
	struct error err = { 0 };

	ports(r.s, "mode=access vlan=10", "mode=access vlan=10");
	r.config[0] = committed(r.s);
	sim_set(r.s, "a", "vlan=20");
	sim_set(r.s, "b", "mode=trunk vlan= trunk=10,20");
	assert_int_equal(switch_static_add(r.s->sw, A, 20, "a",
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
	r.config[1] = committed(r.s);
	run_race(&r, f, want, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAST_TEST(frame_gets_the_tag_of_its_own_configuration),
		FAST_TEST(frames_tag_is_read_by_its_own_configuration),
		FAST_TEST(vlans_are_those_of_one_configuration),
		FAST_TEST(floods_are_those_of_one_configuration),
	};

	if (fast_skipped("a frame meets one configuration in the kernel"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
