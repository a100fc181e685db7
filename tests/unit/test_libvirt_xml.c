/* Which ports a domain's XML asks for. */
#include "control/libvirt/domain_xml.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UUID "11111111-2222-4333-8444-555555555555"
#define MAC  "52:54:00:00:00:01"
#define NS   "xmlns:s='urn:switchd:1'"

#define ETHERNET(dev, more)                                   \
	"<interface type='ethernet'><mac address='" MAC "'/>" \
	"<target dev='" dev "'/>" more "</interface>"
#define SOCKET(path, mode, more)                                     \
	"<interface type='vhostuser'><mac address='" MAC "'/>"       \
	"<source type='unix' path='" path "' mode='" mode "'/>" more \
	"</interface>"

static const struct domain_options options = { .marker = "libvirt x",
					       .owner = "qemu" };

/* The ports of a domain with this name, metadata and interfaces. */
static struct wanted ports_of(const char *name, const char *metadata,
			      const char *interfaces, enum domain_part part)
{
	struct wanted w = { 0 };
	struct error e = { 0 };
	char xml[8192];

	snprintf(xml, sizeof(xml),
		 "<domain type='test'><name>%s</name><uuid>" UUID "</uuid>"
		 "<metadata>%s</metadata><devices>%s</devices></domain>",
		 name, metadata, interfaces);
	assert_int_equal(domain_xml_ports(xml, part, &options, &w, &e), 0);
	return w;
}

static void check(const struct wanted *w, size_t i, const char *name,
		  const char *params)
{
	json_t *want = json_loads(params, 0, NULL);

	assert_true(i < w->n);
	assert_string_equal(w->port[i].name, name);
	assert_non_null(want);
	json_object_set_new(want, "description",
			    json_string("libvirt x " UUID " " MAC));
	if (!json_equal(want, w->port[i].params))
		fail_msg("%s: want %s, got %s", name, params,
			 json_dumps(w->port[i].params, 0));
	json_decref(want);
}

static void check_problem(const char *metadata, const char *part_of_it)
{
	struct wanted w =
		ports_of("vm", metadata, ETHERNET("t1", ""), DOMAIN_RUNNING);

	assert_int_equal(w.n, 1);
	assert_null(w.port[0].params);
	assert_string_equal(w.port[0].name, "vm/net0");
	assert_non_null(strstr(w.port[0].problem, part_of_it));
	wanted_clear(&w);
}

static void ethernet_of_a_running_domain_is_a_netdev_port(void **state)
{
	struct wanted w =
		ports_of("vm", "", ETHERNET("t1", ""), DOMAIN_RUNNING);

	(void)state;
	assert_int_equal(w.n, 1);
	check(&w, 0, "vm/net0", "{\"type\":\"netdev\",\"ifname\":\"t1\"}");
	wanted_clear(&w);
}

static void ethernet_of_a_domain_that_is_only_defined_is_none(void **state)
{
	struct wanted w =
		ports_of("vm", "", ETHERNET("t1", ""), DOMAIN_DEFINED);

	(void)state;
	assert_int_equal(w.n, 0);
}

static void a_socket_that_qemu_connects_to_is_there_while_defined(void **state)
{
	static const char server[] =
		"{\"type\":\"vhost-user\",\"path\":\"/s\",\"role\":\"server\","
		"\"owner\":\"qemu\"}";
	struct wanted w =
		ports_of("vm", "", SOCKET("/s", "client", ""), DOMAIN_DEFINED);

	(void)state;
	check(&w, 0, "vm/net0", server);
	wanted_clear(&w);
	w = ports_of("vm", "", SOCKET("/s", "client", ""), DOMAIN_RUNNING);
	check(&w, 0, "vm/net0", server);
	wanted_clear(&w);
}

static void a_socket_that_qemu_makes_is_connected_to_while_it_runs(void **state)
{
	struct wanted w =
		ports_of("vm", "", SOCKET("/s", "server", ""), DOMAIN_DEFINED);

	(void)state;
	assert_int_equal(w.n, 0);
	w = ports_of("vm", "", SOCKET("/s", "server", "<driver queues='4'/>"),
		     DOMAIN_RUNNING);
	check(&w, 0, "vm/net0",
	      "{\"type\":\"vhost-user\",\"path\":\"/s\",\"role\":\"client\","
	      "\"queues\":4}");
	wanted_clear(&w);
}

static void other_interfaces_are_none_but_count_for_aliases(void **state)
{
	struct wanted w = ports_of(
		"vm", "",
		"<interface type='bridge'><source bridge='br0'/></interface>"
		"<interface type='hostdev'/>"
		"<interface type='ethernet'/>" ETHERNET("t1", "")
			ETHERNET("t2", "<alias name='ua-lan'/>")
				ETHERNET("t3", ""),
		DOMAIN_RUNNING);

	(void)state;
	assert_int_equal(w.n, 3);
	assert_string_equal(w.port[0].name, "vm/net2");
	assert_string_equal(w.port[1].name, "vm/ua-lan");
	assert_string_equal(w.port[2].name, "vm/net3");
	wanted_clear(&w);
}

static void libvirts_own_elements_are_taken(void **state)
{
	struct wanted w = ports_of(
		"vm", "",
		ETHERNET("t1", "<mtu size='1400'/><link state='down'/>"
			       "<port isolated='yes'/>"
			       "<vlan><tag id='7'/></vlan>")
			ETHERNET("t2",
				 "<vlan trunk='yes'><tag id='7'/>"
				 "<tag id='8' nativeMode='untagged'/></vlan>"),
		DOMAIN_RUNNING);

	(void)state;
	check(&w, 0, "vm/net0",
	      "{\"type\":\"netdev\",\"ifname\":\"t1\",\"mtu\":1400,"
	      "\"enabled\":false,\"isolated\":true,\"mode\":\"access\","
	      "\"vlan\":7}");
	check(&w, 1, "vm/net1",
	      "{\"type\":\"netdev\",\"ifname\":\"t2\",\"mode\":\"trunk\","
	      "\"trunk\":\"7,8\",\"vlan\":8}");
	wanted_clear(&w);
}

static void metadata_gives_defaults_and_what_is_nearer_wins(void **state)
{
	struct wanted w = ports_of(
		"vm",
		"<s:ports " NS " profile='office' mode='access' vlan='10' "
		"isolated='yes'>"
		"<s:port alias='net1' mode='trunk' trunk='20,30'/>"
		"<s:port mac='" MAC "' learn='no'/></s:ports>",
		ETHERNET("t1", "") ETHERNET("t2", "")
			ETHERNET("t3", "<vlan><tag id='5'/></vlan>"),
		DOMAIN_RUNNING);

	(void)state;
	assert_int_equal(w.n, 3);
	check(&w, 0, "vm/net0",
	      "{\"type\":\"netdev\",\"ifname\":\"t1\",\"profile\":\"office\","
	      "\"mode\":\"access\",\"vlan\":10,\"isolated\":true,"
	      "\"learn\":false}");
	/* The VLAN of the default isn't left over as the trunk's native one. */
	check(&w, 1, "vm/net1",
	      "{\"type\":\"netdev\",\"ifname\":\"t2\",\"profile\":\"office\","
	      "\"mode\":\"trunk\",\"trunk\":\"20,30\",\"isolated\":true,"
	      "\"learn\":false}");
	check(&w, 2, "vm/net2",
	      "{\"type\":\"netdev\",\"ifname\":\"t3\",\"profile\":\"office\","
	      "\"mode\":\"access\",\"vlan\":5,\"isolated\":true,"
	      "\"learn\":false}");
	wanted_clear(&w);
}

static void attach_no_leaves_an_interface_alone(void **state)
{
	struct wanted w =
		ports_of("vm",
			 "<s:ports " NS " attach='no'>"
			 "<s:port alias='net1' attach='yes'/></s:ports>",
			 ETHERNET("t1", "") ETHERNET("t2", ""), DOMAIN_RUNNING);

	(void)state;
	assert_int_equal(w.n, 1);
	assert_string_equal(w.port[0].name, "vm/net1");
	wanted_clear(&w);
}

static void metadata_of_others_is_not_looked_at(void **state)
{
	struct wanted w = ports_of(
		"vm",
		"<o:ports xmlns:o='urn:other' vlna='1'/><ports mode='x'/>",
		ETHERNET("t1", ""), DOMAIN_RUNNING);

	(void)state;
	check(&w, 0, "vm/net0", "{\"type\":\"netdev\",\"ifname\":\"t1\"}");
	wanted_clear(&w);
}

static void what_is_not_known_is_a_problem_and_no_port(void **state)
{
	(void)state;
	check_problem("<s:ports " NS " vlna='10'/>", "\"vlna\"");
	check_problem("<s:ports " NS " alias='net0'/>", "\"alias\"");
	check_problem("<s:ports " NS " vlan='ten'/>", "\"ten\"");
	check_problem("<s:ports " NS " isolated='true'/>", "\"true\"");
	check_problem("<s:ports " NS "><s:prot alias='net0'/></s:ports>",
		      "\"prot\"");
	check_problem("<s:ports " NS "><s:port vlan='1'/></s:ports>",
		      "alias= or mac=");
	/* Of an interface that isn't there, too. */
	check_problem("<s:ports " NS "><s:port alias='net9' vlna='1'/>"
		      "</s:ports>",
		      "\"vlna\"");
	check_problem("<s:port " NS " alias='net0' vlan='1'/>", "\"port\"");
}

static void names_are_put_into_the_switchs_alphabet(void **state)
{
	static const char *const names[][2] = {
		{ "web-1.example_x", "web-1.example_x/net0" },
		{ "a b", "a_b:11111111/net0" },
		{ "a:b", "a_b:11111111/net0" },
		{ "a/b", "a_b:11111111/net0" },
		{ "b\xc3\xbc", "b__:11111111/net0" },
		{ "a123456789b123456789c123456789d123456789",
		  "a123456789b123456789c123456789:11111111/net0" },
		{ "a123456789b123456789c123456789d12345678",
		  "a123456789b123456789c123456789d12345678/net0" },
		{ "", ":11111111/net0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct wanted w = ports_of(names[i][0], "", ETHERNET("t1", ""),
					   DOMAIN_RUNNING);

		assert_int_equal(w.n, 1);
		assert_string_equal(w.port[0].name, names[i][1]);
		wanted_clear(&w);
	}
}

static void an_alias_that_does_not_fit_gives_way_to_the_mac(void **state)
{
	struct wanted w = ports_of(
		"vm", "",
		ETHERNET("t1", "<alias name='ua-a123456789b123456789c'/>")
			ETHERNET("t2", "<alias name='ua b'/>"),
		DOMAIN_RUNNING);

	(void)state;
	assert_int_equal(w.n, 2);
	assert_string_equal(w.port[0].name, "vm/" MAC);
	/* Both have the same address: there is one port of the name. */
	assert_string_equal(w.port[1].name, "vm/" MAC);
	assert_non_null(w.port[0].params);
	assert_null(w.port[1].params);
	assert_non_null(strstr(w.port[1].problem, "the same name"));
	wanted_clear(&w);
}

static void a_text_that_is_too_long_is_cut_between_characters(void **state)
{
	char interface[4096], path[2300] = "/";
	const char *got;
	struct wanted w;

	(void)state;
	for (int i = 0; i < 1000; i++)
		strcat(path, "\xc3\xbc");
	snprintf(interface, sizeof(interface),
		 "<interface type='vhostuser'><source path='%s'/></interface>",
		 path);
	w = ports_of("vm", "", interface, DOMAIN_RUNNING);
	assert_int_equal(w.n, 1);
	got = json_string_value(json_object_get(w.port[0].params, "path"));
	/* Longer than any that the switch takes: it says so. */
	assert_true(strlen(got) > 512 && strlen(got) < 1100);
	assert_memory_equal(got, path, strlen(got));
	wanted_clear(&w);
}

static void what_is_no_domain_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<domain>",
		"<network/>",
		"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
		"<network>&x;</network>",
	};
	struct wanted w = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error e = { 0 };

		assert_int_equal(domain_xml_ports(bad[i], DOMAIN_RUNNING,
						  &options, &w, &e),
				 -EINVAL);
		assert_string_equal(e.reason, "bad-xml");
	}
	assert_int_equal(w.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet_of_a_running_domain_is_a_netdev_port),
		cmocka_unit_test(
			ethernet_of_a_domain_that_is_only_defined_is_none),
		cmocka_unit_test(
			a_socket_that_qemu_connects_to_is_there_while_defined),
		cmocka_unit_test(
			a_socket_that_qemu_makes_is_connected_to_while_it_runs),
		cmocka_unit_test(
			other_interfaces_are_none_but_count_for_aliases),
		cmocka_unit_test(libvirts_own_elements_are_taken),
		cmocka_unit_test(
			metadata_gives_defaults_and_what_is_nearer_wins),
		cmocka_unit_test(attach_no_leaves_an_interface_alone),
		cmocka_unit_test(metadata_of_others_is_not_looked_at),
		cmocka_unit_test(what_is_not_known_is_a_problem_and_no_port),
		cmocka_unit_test(names_are_put_into_the_switchs_alphabet),
		cmocka_unit_test(
			an_alias_that_does_not_fit_gives_way_to_the_mac),
		cmocka_unit_test(
			a_text_that_is_too_long_is_cut_between_characters),
		cmocka_unit_test(what_is_no_domain_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
