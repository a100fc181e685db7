/* What VDE's and UML's clients ask for: every length, every cut, and what is
 * wrong with it. */
#include "ports/vde.h"

#include "ports/vde_request.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#define PATH "/run/vde/.00123-00000"

/* A request as clients write it, and what may come behind it. */
struct bytes {
	uint8_t b[LISTEN_REQUEST_MAX];
};

static void put(struct bytes *x, size_t at, const void *data, size_t len)
{
	memcpy(x->b + at, data, len);
}

static void put_u32(struct bytes *x, size_t at, uint32_t v)
{
	put(x, at, &v, sizeof(v));
}

static struct bytes make(uint32_t type, const void *name, size_t len,
			 const char *description)
{
	struct bytes x = { { 0 } };
	uint16_t family = 1; /* AF_UNIX */

	put_u32(&x, 0, 0xfeedface);
	put_u32(&x, 4, 3);
	put_u32(&x, 8, type);
	put(&x, 12, &family, sizeof(family));
	put(&x, 14, name, len);
	put(&x, 122, description, strlen(description));
	return x;
}

static struct bytes make_vde(void)
{
	return make(0, PATH, strlen(PATH), "");
}

/* UML's: abstract, with what was in memory behind the name. */
static struct bytes make_uml(void)
{
	struct bytes x = make(0, "\0abcd", 5, "");

	memset(x.b + 19, 0xa5, VDE_REQUEST_UML - 19);
	return x;
}

static int parse(const struct bytes *x, size_t len, bool uml,
		 struct vde_request *rq)
{
	const char *why = "nothing";
	int r = vde_request_parse(x->b, len, uml, rq, &why);

	/* It says why exactly where it refuses. */
	assert_true(r == -EPROTO ? why && *why : !why);
	return r;
}

/* ---- Lengths ---- */

static void vde_request_is_whole_with_its_address(void **state)
{
	struct bytes x = make_vde();
	struct vde_request rq;

	(void)state;
	for (size_t len = 0; len < VDE_REQUEST_MIN; len++)
		assert_int_equal(parse(&x, len, false, &rq), 0);
	assert_int_equal(parse(&x, VDE_REQUEST_MIN, false, &rq), 1);
	assert_memory_equal(rq.peer, x.b + 12, VDE_ADDRESS_LEN);
	assert_int_equal(rq.number, 0);
	assert_string_equal(rq.description, "");
	assert_false(vde_address_abstract(rq.peer));
}

static void every_length_of_description_is_taken(void **state)
{
	char text[VDE_DESCRIPTION_MAX + 1] = "";
	struct vde_request rq;
	struct bytes x;

	(void)state;
	for (size_t n = 1; n <= VDE_DESCRIPTION_MAX; n++) {
		text[n - 1] = (char)('a' + n % 26);
		x = make(0, PATH, strlen(PATH), text);
		assert_int_equal(parse(&x, VDE_REQUEST_MIN + n, false, &rq), 1);
		assert_string_equal(rq.description, text);
	}
	/* Nothing behind it is looked at. */
	memset(x.b + VDE_REQUEST_MAX, 'x', sizeof(x.b) - VDE_REQUEST_MAX);
	assert_int_equal(parse(&x, sizeof(x.b), false, &rq), 1);
	assert_string_equal(rq.description, text);
}

static void description_ends_at_a_nul(void **state)
{
	struct bytes x = make(0, PATH, strlen(PATH), "abc");
	struct vde_request rq;

	(void)state;
	put(&x, 126, "def", 3);
	assert_int_equal(parse(&x, 129, false, &rq), 1);
	assert_string_equal(rq.description, "abc");
}

static void description_is_made_printable(void **state)
{
	struct bytes x =
		make(0, PATH, strlen(PATH), "a\nb\x1b[31m\x7f\xc3\xa4~ ");
	struct vde_request rq;

	(void)state;
	assert_int_equal(parse(&x, VDE_REQUEST_MIN + 13, false, &rq), 1);
	assert_string_equal(rq.description, "a?b?[31m???~ ");
}

static void uml_request_is_whole_at_124_bytes(void **state)
{
	struct bytes x = make_uml();
	struct vde_request rq;

	(void)state;
	for (size_t len = 0; len < VDE_REQUEST_UML; len++)
		assert_int_equal(parse(&x, len, true, &rq), 0);
	assert_int_equal(parse(&x, VDE_REQUEST_UML, true, &rq), 1);
	assert_memory_equal(rq.peer, x.b + 12, VDE_ADDRESS_LEN);
	assert_true(vde_address_abstract(rq.peer));
	assert_string_equal(rq.description, "");
	assert_int_equal(parse(&x, VDE_REQUEST_UML + 1, true, &rq), -EPROTO);
}

static void uml_padding_is_no_description_of_a_vde_port(void **state)
{
	struct bytes x = make_uml();
	struct vde_request rq;

	(void)state;
	assert_int_equal(parse(&x, VDE_REQUEST_UML, false, &rq), 1);
	assert_string_equal(rq.description, "");
	/* Of a client with a path they are its description. */
	x = make(0, PATH, strlen(PATH), "ab");
	assert_int_equal(parse(&x, VDE_REQUEST_UML, false, &rq), 1);
	assert_string_equal(rq.description, "ab");
}

/* ---- What is wrong ---- */

/* It is refused as soon as `at` bytes are there, and not before. */
static void refused_at(const struct bytes *x, size_t at)
{
	struct vde_request rq;

	for (size_t len = 0; len < at; len++)
		assert_int_equal(parse(x, len, false, &rq), 0);
	for (size_t len = at; len <= VDE_REQUEST_MAX; len++)
		assert_int_equal(parse(x, len, false, &rq), -EPROTO);
}

static void wrong_magic_is_refused_at_its_first_wrong_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bytes x = make_vde();

		x.b[i] ^= 0x40;
		refused_at(&x, i + 1);
	}
}

static void other_versions_are_refused(void **state)
{
	static const uint32_t versions[] = { 0, 1, 2, 4, 0x3000000, ~0u };
	struct bytes x = make_vde();

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		put_u32(&x, 4, versions[i]);
		refused_at(&x, 8);
	}
}

static void other_types_are_refused(void **state)
{
	struct bytes x = make_vde();

	(void)state;
	for (uint32_t type = 1; type < 256; type++) {
		put_u32(&x, 8, 5 << 8 | type);
		refused_at(&x, 12);
	}
}

static void port_numbers_are_taken_up_to_16_bits(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 5, 255, 256, 65535 };
	struct bytes x = make_vde();
	struct vde_request rq;

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		put_u32(&x, 8, numbers[i] << 8);
		assert_int_equal(parse(&x, VDE_REQUEST_MIN, false, &rq), 1);
		assert_int_equal(rq.number, numbers[i]);
	}
	put_u32(&x, 8, 65536u << 8);
	refused_at(&x, 12);
	put_u32(&x, 8, 0xffffff00u); /* -1, as vde_switch would read it */
	refused_at(&x, 12);
}

static void only_unix_addresses_are_taken(void **state)
{
	struct bytes x = make_vde();

	(void)state;
	x.b[12] = 2; /* AF_INET */
	refused_at(&x, 15);
	x = make(0, "tmp/x", 5, ""); /* a path from who knows where */
	refused_at(&x, 15);
}

/* ---- Addresses ---- */

static void path_of_all_bytes_gets_an_end(void **state)
{
	char name[VDE_ADDRESS_LEN - 2], path[VDE_ADDRESS_LEN];
	uint8_t address[VDE_ADDRESS_LEN];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[0] = '/';
	assert_int_equal(vde_address_make(address, name, sizeof(name)), 0);
	vde_address_path(address, path);
	assert_int_equal(strlen(path), sizeof(name));
	assert_memory_equal(path, name, sizeof(name));
	assert_int_equal(vde_address_make(address, name, sizeof(name) + 1),
			 -ENAMETOOLONG);
}

static void answer_is_family_path_and_zeros(void **state)
{
	uint8_t address[VDE_ADDRESS_LEN], want[VDE_ADDRESS_LEN] = { 1, 0 };

	(void)state;
	memset(address, 0xff, sizeof(address));
	memcpy(want + 2, "/run/vde/003", 12);
	assert_int_equal(vde_address_make(address, "/run/vde/003", 12), 0);
	assert_memory_equal(address, want, sizeof(want));
}

/* ---- As the listener sees it ---- */

static int offer(const struct bytes *x, size_t len, enum listen_kind kind,
		 struct listen_wish *wish, struct error *err)
{
	struct port_request listener = {
		.listen = { .kind = kind, .address = "/run/vde" },
	};
	struct listen_offer o = {
		.listener = &listener, .number = 7, .data = x->b, .len = len
	};

	memset(wish, 0, sizeof(*wish));
	wish->number = o.number;
	return vde_parse(&o, wish, err);
}

static void port_is_the_one_offered_or_the_one_asked_for(void **state)
{
	struct bytes x = make(0, PATH, strlen(PATH), "vde_plug: user=me");
	struct listen_wish wish;
	struct error err;

	(void)state;
	assert_int_equal(offer(&x, 50, LISTEN_VDE, &wish, &err), 0);
	assert_int_equal(offer(&x, 139, LISTEN_VDE, &wish, &err), 1);
	assert_int_equal(wish.number, 7);
	assert_int_equal(wish.rq.vde.number, 7);
	assert_string_equal(wish.description, "vde_plug: user=me");
	assert_string_equal(wish.rq.vde.folder, "/run/vde");
	assert_memory_equal(wish.rq.vde.peer, x.b + 12, VDE_ADDRESS_LEN);
	put_u32(&x, 8, 3 << 8);
	assert_int_equal(offer(&x, 139, LISTEN_VDE, &wish, &err), 1);
	assert_int_equal(wish.number, 3);
	assert_int_equal(wish.rq.vde.number, 3);
}

static void uml_port_has_no_folder(void **state)
{
	struct bytes x = make_uml();
	struct listen_wish wish;
	struct error err;

	(void)state;
	assert_int_equal(offer(&x, 124, LISTEN_UML, &wish, &err), 1);
	assert_string_equal(wish.rq.vde.folder, "");
	assert_string_equal(wish.description, "");
	assert_int_equal(wish.number, 7);
}

static void refusal_says_why(void **state)
{
	struct bytes x = make_vde();
	struct listen_wish wish;
	struct error err;

	(void)state;
	put_u32(&x, 4, 2);
	assert_int_equal(offer(&x, 122, LISTEN_VDE, &wish, &err), -EPROTO);
	assert_string_equal(err.reason, "bad-request");
	assert_non_null(strstr(err.message, "version"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vde_request_is_whole_with_its_address),
		cmocka_unit_test(every_length_of_description_is_taken),
		cmocka_unit_test(description_ends_at_a_nul),
		cmocka_unit_test(description_is_made_printable),
		cmocka_unit_test(uml_request_is_whole_at_124_bytes),
		cmocka_unit_test(uml_padding_is_no_description_of_a_vde_port),
		cmocka_unit_test(
			wrong_magic_is_refused_at_its_first_wrong_byte),
		cmocka_unit_test(other_versions_are_refused),
		cmocka_unit_test(other_types_are_refused),
		cmocka_unit_test(port_numbers_are_taken_up_to_16_bits),
		cmocka_unit_test(only_unix_addresses_are_taken),
		cmocka_unit_test(path_of_all_bytes_gets_an_end),
		cmocka_unit_test(answer_is_family_path_and_zeros),
		cmocka_unit_test(port_is_the_one_offered_or_the_one_asked_for),
		cmocka_unit_test(uml_port_has_no_folder),
		cmocka_unit_test(refusal_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
