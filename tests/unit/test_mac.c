#include "base/mac.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void load_puts_first_wire_byte_highest(void **state)
{
	const uint8_t wire[] = { 0xff, 0x01, 0x80, 0xc2, 0xab, 0xcd, 0xef };

	(void)state;
	/* From an odd address: any alignment will do. */
	assert_int_equal(mac_load(wire + 1), 0x0180c2abcdefull);
}

static void store_writes_six_bytes_and_no_seventh(void **state)
{
	const uint8_t want[] = {
		0x55, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x55
	};
	uint8_t wire[8];

	(void)state;
	memset(wire, 0x55, sizeof(wire));
	mac_store(wire + 1, 0x525400123456ull);
	assert_memory_equal(wire, want, sizeof(want));
}

static void store_drops_bits_above_the_address(void **state)
{
	uint8_t wire[6];

	(void)state;
	mac_store(wire, 0xfff1525400123456ull);
	assert_int_equal(mac_load(wire), 0x525400123456ull);
}

static void group_is_multicast_and_broadcast_only(void **state)
{
	(void)state;
	assert_true(mac_is_group(MAC_BROADCAST));
	assert_true(mac_is_group(0x0180c2000000ull));
	assert_true(mac_is_group(0x333300000001ull));
	assert_false(mac_is_group(0x525400123456ull));
	assert_false(mac_is_group(0xfeffffffffffull));
	assert_false(mac_is_group(0));
}

static void format_is_lower_case_with_colons(void **state)
{
	char buf[MAC_STRLEN];

	(void)state;
	assert_ptr_equal(mac_format(0x0180c2abcdefull, buf), buf);
	assert_string_equal(buf, "01:80:c2:ab:cd:ef");
	assert_string_equal(mac_format(0, buf), "00:00:00:00:00:00");
	assert_string_equal(mac_format(MAC_BROADCAST, buf),
			    "ff:ff:ff:ff:ff:ff");
}

static void parse_takes_colons_dashes_and_either_case(void **state)
{
	uint64_t mac = 1;

	(void)state;
	assert_int_equal(mac_parse("52:54:00:aB:Cd:eF", &mac), 0);
	assert_int_equal(mac, 0x525400abcdefull);
	assert_int_equal(mac_parse("00-00-00-00-00-00", &mac), 0);
	assert_int_equal(mac, 0);
	assert_int_equal(mac_parse("FF:ff:FF:ff:FF:ff", &mac), 0);
	assert_int_equal(mac, MAC_BROADCAST);
}

static void parse_refuses_anything_else_and_leaves_mac_alone(void **state)
{
	static const char *const bad[] = {
		"",
		"52:54:00:12:34",
		"52:54:00:12:34:5",
		"52:54:00:12:34:567",
		"52:54:00:12:34:56 ",
		" 52:54:00:12:34:56",
		"52:54:00:12:34-56",
		"52.54.00.12.34.56",
		"52:54:00:12:34:5g",
		"5:254:00:12:34:56",
		"525400123456",
		"52:54:00:12:34:-6",
		"0x:54:00:12:34:56",
		"52:54:00:12:34:+6",
		":::::::::::::::::",
		"1:2:3:4:5:6:7:8:9",
	};
	uint64_t mac = 0x1234;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (mac_parse(bad[i], &mac) == 0)
			fail_msg("took \"%s\"", bad[i]);
		assert_int_equal(mac, 0x1234);
	}
}

static void parse_reads_back_what_format_wrote(void **state)
{
	char buf[MAC_STRLEN];
	uint64_t mac = 0;

	(void)state;
	for (int bit = 0; bit < 48; bit++) {
		mac_format(1ull << bit, buf);
		assert_int_equal(mac_parse(buf, &mac), 0);
		assert_int_equal(mac, 1ull << bit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_puts_first_wire_byte_highest),
		cmocka_unit_test(store_writes_six_bytes_and_no_seventh),
		cmocka_unit_test(store_drops_bits_above_the_address),
		cmocka_unit_test(group_is_multicast_and_broadcast_only),
		cmocka_unit_test(format_is_lower_case_with_colons),
		cmocka_unit_test(parse_takes_colons_dashes_and_either_case),
		cmocka_unit_test(
			parse_refuses_anything_else_and_leaves_mac_alone),
		cmocka_unit_test(parse_reads_back_what_format_wrote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
