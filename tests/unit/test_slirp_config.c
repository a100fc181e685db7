#include "ports/slirp_config.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct given {
	const char *ipv4, *ipv6, *hostfwd, *hostname;
	uint32_t mtu;
};

static int parse(struct given g, struct slirp_settings *s, struct error *err)
{
	struct slirp_params p = { .restricted = false };

	snprintf(p.ipv4, sizeof(p.ipv4), "%s", g.ipv4 ? g.ipv4 : "");
	snprintf(p.ipv6, sizeof(p.ipv6), "%s", g.ipv6 ? g.ipv6 : "");
	snprintf(p.hostfwd, sizeof(p.hostfwd), "%s",
		 g.hostfwd ? g.hostfwd : "");
	snprintf(p.hostname, sizeof(p.hostname), "%s",
		 g.hostname ? g.hostname : "");
	return slirp_settings_parse(&p, g.mtu, s, err);
}

static struct slirp_settings good(struct given g)
{
	struct slirp_settings s;
	struct error err = { 0 };

	assert_int_equal(parse(g, &s, &err), 0);
	return s;
}

static void bad(struct given g, const char *path)
{
	struct slirp_settings s;
	struct error err = { 0 };

	assert_int_equal(parse(g, &s, &err), -EINVAL);
	assert_string_equal(err.path, path);
	assert_string_equal(err.reason,
			    strcmp(path, "mtu") ? "bad-value" : "out-of-range");
}

static void is4(struct in_addr a, const char *text)
{
	char buf[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &a, buf, sizeof(buf)), text);
}

static void is6(struct in6_addr a, const char *text)
{
	char buf[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET6, &a, buf, sizeof(buf)), text);
}

static void nothing_given_is_as_qemu_has_it(void **state)
{
	struct slirp_settings s = good((struct given){ NULL });

	(void)state;
	assert_true(s.ipv4);
	is4(s.network, "10.0.2.0");
	is4(s.mask, "255.255.255.0");
	is4(s.gateway, "10.0.2.2");
	is4(s.nameserver, "10.0.2.3");
	is4(s.dhcp, "10.0.2.15");
	assert_true(s.ipv6);
	is6(s.prefix, "fd00::");
	is6(s.gateway6, "fd00::2");
	is6(s.nameserver6, "fd00::3");
	assert_int_equal(s.prefix_len, 64);
	assert_int_equal(s.mtu, 1500);
	assert_int_equal(s.forwards, 0);
}

static void other_networks_have_the_same_hosts(void **state)
{
	struct slirp_settings s = good((struct given){
		.ipv4 = "172.16.0.32/27", .ipv6 = "2001:db8:1:2::/64" });

	(void)state;
	is4(s.mask, "255.255.255.224");
	is4(s.gateway, "172.16.0.34");
	is4(s.dhcp, "172.16.0.47");
	is6(s.nameserver6, "2001:db8:1:2::3");
	s = good((struct given){ .ipv4 = "10.0.0.0/8" });
	is4(s.dhcp, "10.0.0.15");
}

static void one_of_both_may_be_none(void **state)
{
	struct slirp_settings s = good((struct given){ .ipv4 = "none" });

	(void)state;
	assert_false(s.ipv4);
	assert_true(s.ipv6);
	s = good((struct given){ .ipv6 = "none" });
	assert_true(s.ipv4);
	assert_false(s.ipv6);
	bad((struct given){ .ipv4 = "none", .ipv6 = "none" }, "ipv6");
}

static void what_is_no_network_for_guests_is_refused(void **state)
{
	static const char *const ipv4[] = {
		"10.0.2.0",    "10.0.2.1/24",
		"10.0.2.0/28", "10.0.0.0/7",
		"10.0.2.0/",   "10.0.2.0/24x",
		"10.0.2/24",   "0.0.0.0/8",
		"127.0.0.0/8", "224.0.0.0/24",
		"255.0.0.0/8", "fd00::/64",
		"10.0.2.0/-8", " 10.0.2.0/24",
		"None",	       "10.0.2.0/4294967320",
	};
	static const char *const ipv6[] = {
		"fd00::",	"fd00::/63", "fd00::/65",	  "fd00::1/64",
		"::/64",	"fe80::/64", "ff02::/64",	  "10.0.2.0/24",
		"fd00::/64/64", "no",	     "fd00:0:0:0:1::/64",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ipv4) / sizeof(ipv4[0]); i++)
		bad((struct given){ .ipv4 = ipv4[i] }, "ipv4");
	for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++)
		bad((struct given){ .ipv6 = ipv6[i] }, "ipv6");
}

static void forwards_have_two_ends(void **state)
{
	struct slirp_settings s = good((struct given){
		.hostfwd = "tcp:192.0.2.1:8080-10.0.2.99:80,udp::53-:5353,"
			   "tcp:[::1]:8080-[fd00::15]:80" });
	const struct slirp_forward *f = s.forward;

	(void)state;
	assert_int_equal(s.forwards, 3);
	assert_false(f[0].udp);
	is4(f[0].host.in.sin_addr, "192.0.2.1");
	assert_int_equal(ntohs(f[0].host.in.sin_port), 8080);
	is4(f[0].guest.in.sin_addr, "10.0.2.99");
	assert_int_equal(ntohs(f[0].guest.in.sin_port), 80);
	assert_int_equal(slirp_address_len(&f[0].host),
			 sizeof(struct sockaddr_in));
	assert_true(f[1].udp);
	is4(f[1].host.in.sin_addr, "127.0.0.1");
	assert_int_equal(ntohs(f[1].host.in.sin_port), 53);
	is4(f[1].guest.in.sin_addr, "10.0.2.15");
	assert_int_equal(ntohs(f[1].guest.in.sin_port), 5353);
	is6(f[2].host.in6.sin6_addr, "::1");
	is6(f[2].guest.in6.sin6_addr, "fd00::15");
	assert_int_equal(ntohs(f[2].guest.in6.sin6_port), 80);
	assert_int_equal(slirp_address_len(&f[2].guest),
			 sizeof(struct sockaddr_in6));
}

static void forwards_are_refused_by_the_first_mistake(void **state)
{
	static const char *const texts[] = {
		"tcp:80",
		"80-80",
		",tcp::1-:2",
		"tcp::1-:2,",
		"tcp::1-:2,,tcp::3-:4",
		"sctp::1-:2",
		"tcp::0-:2",
		"tcp::1-:0",
		"tcp::65536-:2",
		"tcp::1-:65536",
		"tcp::-:2",
		"tcp::1-",
		"tcp:1-2",
		"tcp::+1-:2",
		"tcp:host:1-:2",
		"tcp:::1:1-:2",
		"tcp:[::1:1-[fd00::15]:2",
		"tcp:[]:1-[]:2",
		"tcp:[::1]:1-:2",
		"tcp::1-[fd00::15]:2",
		"tcp::1-10.0.3.1:2",
		"tcp:[::1]:1-[fd01::15]:2",
		"tcp:-",
		"tcp::1-:2-:3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		bad((struct given){ .hostfwd = texts[i] }, "hostfwd");
	bad((struct given){ .ipv4 = "none", .hostfwd = "tcp::1-:2" },
	    "hostfwd");
	bad((struct given){ .ipv6 = "none",
			    .hostfwd = "tcp:[::1]:1-[fd00::15]:2" },
	    "hostfwd");
}

static void there_are_16_forwards_at_most(void **state)
{
	char text[512] = "";
	size_t n = 0;

	(void)state;
	for (int i = 1; i <= SLIRP_FORWARDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "%stcp::%d-:80", n ? "," : "", i);
	assert_int_equal(good((struct given){ .hostfwd = text }).forwards,
			 SLIRP_FORWARDS_MAX);
	snprintf(text + n, sizeof(text) - n, ",tcp::17-:80");
	bad((struct given){ .hostfwd = text }, "hostfwd");
}

static void one_that_is_too_long_is_refused_whole(void **state)
{
	char text[512];

	(void)state;
	/* Cut off somewhere it would be one. */
	snprintf(text, sizeof(text), "tcp:%0*d-:80", 300, 1);
	bad((struct given){ .hostfwd = text }, "hostfwd");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	bad((struct given){ .hostfwd = text }, "hostfwd");
}

static void name_of_a_guest_is_one_that_dhcp_can_say(void **state)
{
	(void)state;
	good((struct given){ .hostname = "guest-1.example" });
	good((struct given){ .hostname = "abcdefghijklmnopqrstuvwxyz012345" });
	bad((struct given){ .hostname = "abcdefghijklmnopqrstuvwxyz0123456" },
	    "hostname");
	bad((struct given){ .hostname = "a b" }, "hostname");
	bad((struct given){ .hostname = "a\nb" }, "hostname");
	bad((struct given){ .hostname = "a_b" }, "hostname");
}

static void mtu_is_one_that_ipv6_and_libslirp_take(void **state)
{
	(void)state;
	assert_int_equal(good((struct given){ .mtu = 1280 }).mtu, 1280);
	assert_int_equal(good((struct given){ .mtu = 65520 }).mtu, 65520);
	bad((struct given){ .mtu = 1279 }, "mtu");
	bad((struct given){ .mtu = 65521 }, "mtu");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given_is_as_qemu_has_it),
		cmocka_unit_test(other_networks_have_the_same_hosts),
		cmocka_unit_test(one_of_both_may_be_none),
		cmocka_unit_test(what_is_no_network_for_guests_is_refused),
		cmocka_unit_test(forwards_have_two_ends),
		cmocka_unit_test(forwards_are_refused_by_the_first_mistake),
		cmocka_unit_test(there_are_16_forwards_at_most),
		cmocka_unit_test(one_that_is_too_long_is_refused_whole),
		cmocka_unit_test(name_of_a_guest_is_one_that_dhcp_can_say),
		cmocka_unit_test(mtu_is_one_that_ipv6_and_libslirp_take),
	};

	return cmocka_run_group_tests_name("slirp_config", tests, NULL, NULL);
}
