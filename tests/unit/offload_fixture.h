/* offload_fixture - frames and memory for the tests of ports/offload.h */
#ifndef TESTS_UNIT_OFFLOAD_FIXTURE_H
#define TESTS_UNIT_OFFLOAD_FIXTURE_H

#include "ports/offload.h"
#include "tests/unit/superframe.h"

#define ARENA_SIZE (1u << 20)

static uint8_t arena_mem[ARENA_SIZE];
static uint8_t frame_mem[FRAME_HEADROOM + FRAME_LEN_MAX];
static uint8_t want_mem[FRAME_LEN_MAX];

static uint32_t seed = 1;

static inline uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static inline struct frame_arena arena_of(uint32_t size)
{
	struct frame_arena a = { arena_mem, size, 0 };

	return a;
}

/* The frame that a description makes, unchecked; all of it in the head. */
static inline struct frame frame_of(const struct superframe *s,
				    uint16_t gso_size)
{
	struct frame f;

	frame_init(&f, frame_mem + FRAME_HEADROOM, 0);
	f.len = superframe_build(s, f.data, SUPERFRAME_PARTIAL);
	f.head_len = f.len;
	superframe_vnet(s, gso_size, &f.vnet);
	return f;
}

#endif
