#include "switchd/punt.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint8_t memory[FRAME_HEADROOM + 128];

/* A frame as it came by a port: 60 bytes, with a tag of its own. */
static void frame_make(struct frame *f)
{
	uint8_t *p = memory + FRAME_HEADROOM;

	for (unsigned int i = 0; i < 60; i++)
		p[i] = (uint8_t)(i + 1);
	store_be32(p + 12, 0x8100600a);
	frame_init(f, p, 60);
}

static void tag_says_the_port_and_comes_off(void **state)
{
	static const uint16_t index[] = { 0, 1, 4095, 4096, 65535 };
	struct frame f, was;
	uint8_t bytes[60];

	(void)state;
	for (unsigned int i = 0; i < sizeof(index) / sizeof(index[0]); i++) {
		frame_make(&f);
		was = f;
		memcpy(bytes, f.data, 60);
		frame_vlan_push(&f, FASTPATH_TAG_PROTOCOL, index[i]);
		assert_int_equal(punt_take(&f), index[i]);
		assert_int_equal(f.len, 60);
		assert_int_equal(f.head_len, 60);
		assert_ptr_equal(f.data, was.data);
		assert_memory_equal(f.data, bytes, 60);
	}
}

/* The kernel counts the tag in csum_start, and not in hdr_len. */
static void vnet_header_is_that_of_the_frame_below(void **state)
{
	struct frame f;

	(void)state;
	frame_make(&f);
	frame_vlan_push(&f, FASTPATH_TAG_PROTOCOL, 7);
	f.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.vnet.csum_start = 42;
	f.vnet.hdr_len = 58;
	assert_int_equal(punt_take(&f), 7);
	assert_int_equal(f.vnet.csum_start, 38);
	assert_int_equal(f.vnet.hdr_len, 58);
}

static void frame_without_the_tag_is_nobodys(void **state)
{
	struct frame f;

	(void)state;
	frame_make(&f); /* another protocol's tag */
	assert_int_equal(punt_take(&f), FASTPATH_NO_PORT);
	store_be16(f.data + 12, 0x0800);
	assert_int_equal(punt_take(&f), FASTPATH_NO_PORT);
	assert_int_equal(f.len, 60);
}

static void frame_that_ends_in_its_tag_is_nobodys(void **state)
{
	struct frame f;

	(void)state;
	frame_make(&f);
	store_be16(f.data + 12, FASTPATH_TAG_PROTOCOL);
	for (uint32_t n = 0; n < 18; n++) {
		f.head_len = n;
		f.len = n;
		assert_int_equal(punt_take(&f), FASTPATH_NO_PORT);
	}
	f.len = f.head_len = 18;
	assert_int_equal(punt_take(&f), 0x600a);
	assert_int_equal(f.len, 14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tag_says_the_port_and_comes_off),
		cmocka_unit_test(vnet_header_is_that_of_the_frame_below),
		cmocka_unit_test(frame_without_the_tag_is_nobodys),
		cmocka_unit_test(frame_that_ends_in_its_tag_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
