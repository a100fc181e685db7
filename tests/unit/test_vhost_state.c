#include "ports/vhost_state.h"

#include "ports/vhost_ring.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static struct vhost_state s;

static int setup(void **state)
{
	(void)state;
	memset(&s, 0xee, sizeof(s));
	vhost_state_init(&s);
	return 0;
}

static void new_state_is_sane_and_names_no_descriptor(void **state)
{
	(void)state;
	assert_true(vhost_state_sane(&s));
	assert_int_equal(s.connection, VHOST_SLOT_NONE);
	assert_int_equal(s.log, VHOST_SLOT_NONE);
	assert_int_equal(s.tables[0].n, 0);
	assert_int_equal(s.tables[1].n, 0);
	assert_int_equal(s.features, 0);
	assert_int_equal(s.busy, 0);
	assert_false(s.features_set);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		assert_int_equal(s.ring[i].kick, VHOST_SLOT_NONE);
		assert_int_equal(s.ring[i].call, VHOST_SLOT_NONE);
		assert_int_equal(s.ring[i].err, VHOST_SLOT_NONE);
		assert_int_equal(s.ring[i].size, 0);
		assert_false(s.ring[i].started || s.ring[i].enabled);
	}
}

/* As full as one can be. */
static void fill(void)
{
	vhost_state_init(&s);
	s.connection = 0;
	s.log = PORT_HELD_MAX - 1;
	s.log_size = s.log_offset = UINT64_MAX;
	s.features = s.protocol_features = UINT64_MAX;
	s.features_set = true;
	s.device_status = UINT32_MAX;
	s.busy = UINT32_MAX;
	s.table = 1;
	s.tables[1].n = VHOST_REGIONS_MAX;
	for (unsigned int i = 0; i < VHOST_REGIONS_MAX; i++)
		s.tables[1].region[i].slot = (uint16_t)(PORT_HELD_MAX - 1 - i);
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		struct vhost_saved_ring *r = &s.ring[i];

		r->size = VHOST_SIZE_MAX;
		r->started = r->enabled = r->addressed = r->log = true;
		r->broken = i & 1;
		r->kick = 1;
		r->call = 2;
		r->err = 3;
		atomic_store(&r->place.used, UINT16_MAX);
	}
}

static void full_state_is_sane(void **state)
{
	(void)state;
	fill();
	assert_true(vhost_state_sane(&s));
}

static void table_that_is_not_the_one_may_be_anything(void **state)
{
	(void)state;
	fill();
	memset(&s.tables[0], 0xff, sizeof(s.tables[0]));
	assert_true(vhost_state_sane(&s));
}

/* Is each of these values, put there, found out? */
#define REFUSED(where, value)                                    \
	do {                                                     \
		__typeof__(where) bad = (value), *at = &(where); \
		fill();                                          \
		assert_true(vhost_state_sane(&s));               \
		*at = bad;                                       \
		assert_false(vhost_state_sane(&s));              \
	} while (0)

static void every_wrong_field_is_found_out(void **state)
{
	const unsigned int last = VHOST_RINGS_MAX - 1;

	(void)state;
	REFUSED(s.magic, 0);
	REFUSED(s.magic, VHOST_STATE_MAGIC + 1);
	REFUSED(s.size, sizeof(s) - 1);
	REFUSED(s.size, sizeof(s) + 1);
	REFUSED(s.connection, PORT_HELD_MAX);
	REFUSED(s.connection, VHOST_SLOT_NONE - 1);
	REFUSED(s.log, PORT_HELD_MAX);
	REFUSED(s.table, 2);
	REFUSED(s.table, UINT32_MAX);
	REFUSED(s.tables[1].n, VHOST_REGIONS_MAX + 1);
	REFUSED(s.tables[1].n, UINT32_MAX);
	REFUSED(s.tables[1].region[0].slot, PORT_HELD_MAX);
	REFUSED(s.tables[1].region[VHOST_REGIONS_MAX - 1].slot,
		VHOST_SLOT_NONE);
	REFUSED(s.ring[0].size, VHOST_SIZE_MAX + 1);
	REFUSED(s.ring[last].size, UINT16_MAX);
	REFUSED(s.ring[0].kick, PORT_HELD_MAX);
	REFUSED(s.ring[last].call, PORT_HELD_MAX);
	REFUSED(s.ring[last].err, VHOST_SLOT_NONE - 1);
}

static void byte_that_is_no_bool_is_found_out(void **state)
{
	bool *bools[] = { &s.features_set,
			  &s.ring[0].started,
			  &s.ring[0].enabled,
			  &s.ring[0].broken,
			  &s.ring[0].addressed,
			  &s.ring[0].log,
			  &s.ring[VHOST_RINGS_MAX - 1].started,
			  &s.ring[VHOST_RINGS_MAX - 1].log };

	(void)state;
	for (unsigned int i = 0; i < sizeof(bools) / sizeof(*bools); i++)
		for (unsigned int byte = 0; byte < 256; byte++) {
			fill();
			*(unsigned char *)bools[i] = (unsigned char)byte;
			assert_int_equal(vhost_state_sane(&s), byte < 2);
		}
}

static void garbage_is_never_sane(void **state)
{
	struct vhost_state full;

	(void)state;
	fill();
	full = s;
	srandom(1);
	memset(&s, 0, sizeof(s));
	assert_false(vhost_state_sane(&s));
	memset(&s, 0xff, sizeof(s));
	assert_false(vhost_state_sane(&s));
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned char *byte = (unsigned char *)&s;

		for (size_t k = 0; k < sizeof(s); k++)
			byte[k] = (unsigned char)random();
		s.magic = full.magic;
		s.size = full.size;
		assert_false(vhost_state_sane(&s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			new_state_is_sane_and_names_no_descriptor, setup),
		cmocka_unit_test_setup(full_state_is_sane, setup),
		cmocka_unit_test_setup(
			table_that_is_not_the_one_may_be_anything, setup),
		cmocka_unit_test_setup(every_wrong_field_is_found_out, setup),
		cmocka_unit_test_setup(byte_that_is_no_bool_is_found_out,
				       setup),
		cmocka_unit_test_setup(garbage_is_never_sane, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
