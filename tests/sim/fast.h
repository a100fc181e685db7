/*
 * fast - tests of the kernel fast path in the simulator
 *
 * What the kernel does is asked in two ways: by fast_step() for a frame that
 * the pipeline does as well, which must come to the same (sim_kernel.h), or of
 * the programs alone, which then leave nothing behind but the age of an
 * address. Where the programs can't be run there is nothing to test:
 * fast_skipped().
 */
#ifndef TESTS_SIM_FAST_H
#define TESTS_SIM_FAST_H

#include "tests/sim/sim_kernel.h"

#include <stdio.h>

#define FAST_TEST(name) \
	cmocka_unit_test_setup_teardown(name, fast_setup, sim_teardown)

static inline int fast_setup(void **state)
{
	struct sim *s = sim_new(1);

	*state = s;
	return !s->fastpath; /* a test that failed has it still */
}

/* To be asked first of all: then it has been said, and the program is done.
 * (cmocka's skip() counts as a failure in TAP.) */
static inline bool fast_skipped(const char *claim)
{
	const char *why = sim_kernel_why();

	if (why)
		printf("1..1\nok 1 - %s # SKIP %s\n", claim, why);
	return why != NULL;
}

/* Send and run: the kernel would have forwarded (or dropped) it, too. */
#define fast_step(s, port, f)                                                \
	do {                                                                 \
		unsigned int n_ =                                            \
			sim_kernel_seen.forwarded + sim_kernel_seen.dropped; \
                                                                             \
		sim_step(s, port, f);                                        \
		assert_int_equal(sim_kernel_seen.forwarded +                 \
					 sim_kernel_seen.dropped,            \
				 n_ + 1);                                    \
	} while (0)

/* What the programs alone do with a frame. */
static inline const struct sim_kernel_result *fast_ask(struct sim *s,
						       const char *port,
						       struct sim_frame f,
						       bool keep)
{
	static uint8_t data[FRAME_LEN_MAX + 64];
	struct frame frame;

	switch_commit(s->sw);
	frame_init(&frame, data, sim_build(&f, data));
	return sim_kernel_run(s, sim_dummy(s, port)->index, &frame, keep);
}

#define fast_expect(s, port, f, what) \
	assert_int_equal(fast_ask(s, port, f, false)->act, what)

#endif
