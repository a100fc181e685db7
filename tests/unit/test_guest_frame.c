/* What tests/bench/holders checks its frames by finds what is wrong. */
#include "tests/bench/guest_frame.h"
#include "tests/bench/tool.h"

#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IP	(TOOL_VNET_LEN + 14)
#define TCP	(IP + 20)
#define TCP_SUM (TCP + 16)

static enum guest_verdict check(const struct guest_frame *f)
{
	uint32_t number;

	return guest_frame_check(f, f->bytes, f->len, &number);
}

/* The sum over TCP and its pseudo header, the plain way: RFC 1071. */
static void complete(uint8_t *b, size_t len)
{
	uint64_t sum = 6 + (len - TCP);

	b[TCP_SUM] = b[TCP_SUM + 1] = 0;
	for (size_t i = IP + 12; i < IP + 20; i += 2)
		sum += (uint64_t)b[i] << 8 | b[i + 1];
	for (size_t i = TCP; i < len; i += 2)
		sum += (uint64_t)b[i] << 8 | (i + 1 < len ? b[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	b[TCP_SUM] = (uint8_t)(~sum >> 8);
	b[TCP_SUM + 1] = (uint8_t)~sum;
	b[0] = 0; /* the vnet header's flags */
}

static void a_frame_as_it_was_sent_is_right(void **state)
{
	(void)state;
	for (int kind = 0; kind < GUEST_KINDS; kind++) {
		struct guest_frame f;
		uint32_t number = 0;

		guest_frame_make(&f, (enum guest_kind)kind, 1, 2);
		guest_frame_number(&f, 0x12345678);
		assert_int_equal(guest_frame_check(&f, f.bytes, f.len, &number),
				 GUEST_PARTIAL);
		assert_int_equal(number, 0x12345678);
		guest_frame_free(&f);
	}
}

static void a_complete_checksum_is_right_or_wrong(void **state)
{
	struct guest_frame f;
	uint8_t *b;

	(void)state;
	for (int kind = 0; kind < GUEST_GSO; kind++) {
		guest_frame_make(&f, (enum guest_kind)kind, 1, 2);
		guest_frame_number(&f, 7);
		complete(f.bytes, f.len);
		assert_int_equal(check(&f), GUEST_COMPLETE);
		b = f.bytes;
		for (uint32_t i = TCP; i < f.len; i++) {
			b[i] ^= 0x10;
			assert_int_equal(check(&f), GUEST_WRONG);
			b[i] ^= 0x10;
		}
		assert_int_equal(check(&f), GUEST_COMPLETE);
		guest_frame_free(&f);
	}
}

static void a_partial_checksum_must_say_all_of_itself(void **state)
{
	struct virtio_net_hdr_v1 *vnet;
	struct guest_frame f, g;
	uint32_t number;

	(void)state;
	guest_frame_make(&f, GUEST_GSO, 1, 2);
	guest_frame_make(&g, GUEST_GSO, 1, 2);
	vnet = (struct virtio_net_hdr_v1 *)(void *)g.bytes;
#define VERDICT guest_frame_check(&f, g.bytes, g.len, &number)
	assert_int_equal(VERDICT, GUEST_PARTIAL);
	vnet->csum_start++;
	assert_int_equal(VERDICT, GUEST_WRONG);
	vnet->csum_start--;
	vnet->csum_offset = 6;
	assert_int_equal(VERDICT, GUEST_WRONG);
	vnet->csum_offset = 16;
	vnet->gso_size = 1400;
	assert_int_equal(VERDICT, GUEST_WRONG);
	vnet->gso_size = (uint16_t)f.gso_size;
	g.bytes[TCP_SUM] ^= 1;
	assert_int_equal(VERDICT, GUEST_WRONG);
	g.bytes[TCP_SUM] ^= 1;
	vnet->flags = 0; /* and nobody has computed it */
	assert_int_equal(VERDICT, GUEST_WRONG);
	guest_frame_free(&f);
	guest_frame_free(&g);
}

static void a_segment_is_right_with_its_own_checksum(void **state)
{
	struct guest_frame f;
	uint32_t len, number = 0;
	uint8_t *b;

	(void)state;
	guest_frame_make(&f, GUEST_GSO, 1, 2);
	guest_frame_number(&f, 9);
	len = f.headers + f.gso_size;
	b = malloc(len);
	assert_non_null(b);
	memcpy(b, f.bytes, len);
	memset(b, 0, TOOL_VNET_LEN);
	b[IP + 2] = (uint8_t)((len - IP) >> 8);
	b[IP + 3] = (uint8_t)(len - IP);
	complete(b, len);
	assert_int_equal(guest_frame_check(&f, b, len, &number), GUEST_CUT);
	assert_int_equal(number, 9);
	b[TCP + 7] = 1; /* not the first one */
	complete(b, len);
	assert_int_equal(guest_frame_check(&f, b, len, &number), GUEST_CUT);
	assert_int_equal(number, UINT32_MAX);
	b[len - 1] ^= 1;
	assert_int_equal(guest_frame_check(&f, b, len, &number), GUEST_WRONG);
	free(b);
	guest_frame_free(&f);
}

static void what_others_send_is_strange(void **state)
{
	struct guest_frame f, g;
	uint32_t number;

	(void)state;
	guest_frame_make(&f, GUEST_SMALL, 1, 2);
	guest_frame_make(&g, GUEST_SMALL, 2, 1);
	assert_int_equal(guest_frame_check(&f, g.bytes, g.len, &number),
			 GUEST_STRANGE);
	for (size_t len = 0; len < f.len; len++)
		assert_int_equal(guest_frame_check(&f, f.bytes, len, &number),
				 GUEST_STRANGE);
	guest_frame_free(&f);
	guest_frame_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_as_it_was_sent_is_right),
		cmocka_unit_test(a_complete_checksum_is_right_or_wrong),
		cmocka_unit_test(a_partial_checksum_must_say_all_of_itself),
		cmocka_unit_test(a_segment_is_right_with_its_own_checksum),
		cmocka_unit_test(what_others_send_is_strange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
