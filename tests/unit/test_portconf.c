/* A port's parameters: what follows from them, and each mistake's name. */
#include "switchd/portconf.h"
#include "tests/unit/json_text.h"

#include <errno.h>
#include <stdlib.h>

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int parse(const char *name, const char *params, const char *profiles,
		 struct port_config *c, struct error *err)
{
	json_t *p = json(params), *all = profiles ? json(profiles) : NULL;
	int r;

	memset(err, 0, sizeof(*err));
	r = rpc_params_check_some(portconf_params, p, false, err);
	if (r == 0)
		r = portconf_parse(name, p, all, c, err);
	json_decref(p);
	json_decref(all);
	return r;
}

static struct port_config good(const char *params)
{
	struct port_config c;
	struct error err;

	if (parse("p", params, NULL, &c, &err) < 0)
		fail_msg("%s: %s", params, err.message);
	return c;
}

static void bad(const char *params, const char *reason, const char *path)
{
	struct port_config c;
	struct error err;
	int r = parse("p", params, NULL, &c, &err);

	if (r >= 0)
		fail_msg("%s was accepted", params);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
	assert_int_equal(r, -err.err);
	assert_true(err.message[0]);
}

static unsigned int members(const struct port_config *c)
{
	unsigned int n = 0;

	for (unsigned int vid = 1; vid <= VLAN_ID_MAX; vid++)
		n += c->vlans[vid >> 6] >> (vid & 63) & 1;
	return n;
}

/* ---- VLANs ---- */

static void port_without_vlan_parameters_is_plain(void **state)
{
	struct port_config c = good("{'type':'dummy'}");

	(void)state;
	assert_true(c.plain);
	assert_false(c.access);
	assert_int_equal(c.native, 1);
	assert_int_equal(members(&c), VLAN_ID_MAX);
	assert_true(c.learn && c.flood && c.request.enabled);
	assert_false(c.uplink || c.isolated);
	assert_int_equal(c.request.mtu, 0);
}

static void access_port_is_in_its_vlan_only(void **state)
{
	struct port_config c =
		good("{'type':'dummy','mode':'access','vlan':10}");

	(void)state;
	assert_true(c.access);
	assert_false(c.plain);
	assert_int_equal(c.native, 10);
	assert_int_equal(members(&c), 1);
}

static void trunk_has_its_list_and_its_native_vlan(void **state)
{
	struct port_config c;

	(void)state;
	c = good("{'type':'dummy','mode':'trunk'}");
	assert_false(c.plain);
	assert_int_equal(members(&c), VLAN_ID_MAX);
	c = good("{'type':'dummy','trunk':'10,20-22'}");
	assert_int_equal(members(&c), 4);
	assert_int_equal(c.native, 1); /* not a member: tagged only */
	c = good("{'type':'dummy','mode':'trunk','trunk':'10','vlan':5}");
	assert_int_equal(members(&c), 2);
	assert_int_equal(c.native, 5);
}

static void vlan_mistakes_have_names(void **state)
{
	(void)state;
	bad("{'type':'dummy','vlan':10}", "mode-missing", "mode");
	bad("{'type':'dummy','mode':'access'}", "missing-parameter", "vlan");
	bad("{'type':'dummy','mode':'access','vlan':10,'trunk':'10'}",
	    "not-for-mode", "trunk");
	bad("{'type':'dummy','mode':'hybrid'}", "bad-value", "mode");
	bad("{'type':'dummy','mode':'access','vlan':0}", "out-of-range",
	    "vlan");
	bad("{'type':'dummy','mode':'access','vlan':4095}", "out-of-range",
	    "vlan");
	bad("{'type':'dummy','mode':'access','vlan':'10'}", "wrong-type",
	    "vlan");
}

static void vlan_list_is_numbers_and_ranges_and_nothing_else(void **state)
{
	static const char *const wrong[] = {
		"",	   ",",	     "10,",
		",10",	   "10,,20", "0",
		"4095",	   "1-4095", "20-10",
		"10-",	   "-10",    "10-20-30",
		" 10",	   "10 ",    "10, 20",
		"+10",	   "ten",    "10;20",
		"0x10",	   "1.5",    "18446744073709551617",
		"10-\n20",
	};
	uint64_t v[SNAPSHOT_VLANS / 64];

	(void)state;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = { 0 };

		if (portconf_parse_vlans(wrong[i], v, &err) != -EINVAL)
			fail_msg("\"%s\" was accepted", wrong[i]);
		assert_string_equal(err.reason, "bad-vlan-list");
		assert_string_equal(err.path, "trunk");
	}
}

static void vlan_list_is_written_as_it_was_read_but_sorted(void **state)
{
	static const char *const pairs[][2] = {
		{ "10", "10" },
		{ "10,20-30", "10,20-30" },
		{ "30,10,11,12", "10-12,30" },
		{ "1-4094", "1-4094" },
		{ "63,64,65,128", "63-65,128" },
		{ "5-5", "5" },
		{ "4094", "4094" },
	};
	uint64_t v[SNAPSHOT_VLANS / 64];

	(void)state;
	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		json_t *text;

		assert_int_equal(portconf_parse_vlans(pairs[i][0], v, NULL), 0);
		text = portconf_format_vlans(v);
		assert_string_equal(json_string_value(text), pairs[i][1]);
		json_decref(text);
	}
	for (unsigned int i = 0; i < SNAPSHOT_VLANS / 64; i++)
		v[i] = 0xaaaaaaaaaaaaaaaaull; /* the longest list there is */
	json_decref(portconf_format_vlans(v));
}

/* ---- By type ---- */

static void parameters_of_other_types_are_refused(void **state)
{
	(void)state;
	bad("{'type':'dummy','ifname':'tap0'}", "not-for-type", "ifname");
	bad("{'type':'netdev','ifname':'eth1','owner':'root'}", "not-for-type",
	    "owner");
	bad("{'type':'tap','file':'/x'}", "not-for-type", "file");
	bad("{'type':'tap','promisc':true}", "not-for-type", "promisc");
	bad("{'type':'netdev','ifname':'eth1','offload':false}", "not-for-type",
	    "offload");
	bad("{'type':'pcap','file':'/x','netns':'y'}", "not-for-type", "netns");
	bad("{'type':'carrier-pigeon'}", "bad-value", "type");
	bad("{'mode':'trunk'}", "missing-parameter", "type");
	bad("{'type':'dummy','wings':2}", "unknown-parameter", "wings");
}

static void tap_takes_users_groups_and_addresses(void **state)
{
	struct port_config c =
		good("{'type':'tap','ifname':'tap7','owner':'root',"
		     "'group':'1234','mac':'02:00:00:00:00:01',"
		     "'persist':true,'netns':'blue','address':'10.0.0.1/24'}");
	const struct tap_params *t = &c.request.tap;

	(void)state;
	assert_string_equal(t->ifname, "tap7");
	assert_true(t->persist);
	assert_string_equal(t->owner, "root");
	assert_string_equal(t->group, "1234");
	assert_true(t->mac == 0x020000000001ull);
	assert_string_equal(t->netns, "blue");
	assert_string_equal(t->address, "10.0.0.1/24");
	assert_false(t->plain);
	c = good("{'type':'tap','offload':false}");
	assert_true(t->plain);
	bad("{'type':'tap','ifname':'e\\u001b[31m'}", "bad-ifname", "ifname");
	bad("{'type':'netdev','ifname':'\\u202e'}", "bad-ifname", "ifname");
	bad("{'type':'tap','owner':''}", "no-such-user", "owner");
	bad("{'type':'tap','group':''}", "no-such-group", "group");
	bad("{'type':'tap','mac':'01:00:00:00:00:01'}", "bad-mac", "mac");
	bad("{'type':'tap','mac':'00:00:00:00:00:00'}", "bad-mac", "mac");
	bad("{'type':'tap','mac':'02:00:00:00:00'}", "bad-mac", "mac");
}

static void netdev_and_pcap_need_what_they_are_made_of(void **state)
{
	struct port_config c;

	(void)state;
	bad("{'type':'netdev'}", "missing-parameter", "ifname");
	bad("{'type':'netdev','ifname':''}", "missing-parameter", "ifname");
	bad("{'type':'netdev','ifname':'sixteen-letters-'}", "too-long",
	    "ifname");
	bad("{'type':'pcap'}", "missing-parameter", "file");
	bad("{'type':'pcap','file':'relative.pcap'}", "bad-value", "file");
	bad("{'type':'pcap','file':'/x','rotate-count':3}", "missing-parameter",
	    "rotate-size");
	bad("{'type':'pcap','file':'/x','format':'erf'}", "bad-value",
	    "format");
	c = good("{'type':'pcap','file':'/x','format':'pcap','snaplen':100}");
	assert_true(c.request.pcap.classic);
	assert_int_equal(c.request.pcap.snaplen, 100);
}

static void vhost_user_is_a_socket_that_somebody_may_connect_to(void **state)
{
	struct port_config c = good("{'type':'vhost-user','path':'/run/s'}");
	const struct vhost_user_params *v = &c.request.vhost_user;

	(void)state;
	assert_string_equal(v->path, "/run/s");
	assert_false(v->client);
	assert_int_equal(v->queues, 1);
	assert_string_equal(v->owner, "");
	assert_string_equal(v->group, "");
	c = good("{'type':'vhost-user','path':'/run/s','queues':8,"
		 "'role':'server','owner':'alice','group':'1234'}");
	assert_int_equal(v->queues, 8);
	assert_string_equal(v->owner, "alice");
	assert_string_equal(v->group, "1234");
	assert_int_equal(c.request.socket_mode, 0);
	c = good("{'type':'vhost-user','path':'/run/s','role':'client'}");
	assert_true(v->client);
}

static void each_mistake_about_the_socket_has_a_name(void **state)
{
	(void)state;
	bad("{'type':'vhost-user'}", "missing-parameter", "path");
	bad("{'type':'vhost-user','path':''}", "bad-value", "path");
	bad("{'type':'vhost-user','path':'run/s'}", "bad-value", "path");
	bad("{'type':'vhost-user','path':'@s'}", "bad-value", "path");
	bad("{'type':'vhost-user','path':'/s','role':'peer'}", "bad-value",
	    "role");
	bad("{'type':'vhost-user','path':'/s','queues':0}", "out-of-range",
	    "queues");
	bad("{'type':'vhost-user','path':'/s','queues':9}", "out-of-range",
	    "queues");
	bad("{'type':'vhost-user','path':'/s','owner':''}", "no-such-user",
	    "owner");
	bad("{'type':'vhost-user','path':'/s','group':''}", "no-such-group",
	    "group");
	bad("{'type':'vhost-user','path':'/s','role':'client','owner':'x'}",
	    "not-for-role", "owner");
	bad("{'type':'vhost-user','path':'/s','role':'client','group':'x'}",
	    "not-for-role", "group");
	bad("{'type':'vhost-user','path':'/s','role':'client',"
	    "'socket-mode':'600'}",
	    "not-for-role", "socket-mode");
	bad("{'type':'vhost-user','path':'/s','ifname':'tap0'}", "not-for-type",
	    "ifname");
	bad("{'type':'tap','path':'/s'}", "not-for-type", "path");
	bad("{'type':'netdev','ifname':'eth0','role':'client'}", "not-for-type",
	    "role");
	bad("{'type':'pcap','file':'/s','queues':2}", "not-for-type", "queues");
	/* A TAP has one less: it needs a descriptor to send by. */
	bad("{'type':'tap','queues':8}", "out-of-range", "queues");
	assert_int_equal(good("{'type':'tap','queues':7}").request.tap.queues,
			 7);
}

static void stream_connects_to_a_path_or_an_address(void **state)
{
	struct port_config c = good("{'type':'stream','connect':'/run/s'}");
	const char *to = c.request.stream.connect;

	(void)state;
	assert_string_equal(to, "/run/s");
	assert_false(c.request.given);
	c = good("{'type':'stream','connect':'192.0.2.1:4444'}");
	assert_string_equal(to, "192.0.2.1:4444");
	c = good("{'type':'stream','connect':'[2001:db8::1]:4444'}");
	assert_string_equal(to, "[2001:db8::1]:4444");
	bad("{'type':'stream'}", "missing-parameter", "connect");
	bad("{'type':'stream','connect':''}", "bad-value", "connect");
	bad("{'type':'stream','connect':'s'}", "bad-value", "connect");
	bad("{'type':'stream','connect':'host:4444'}", "bad-value", "connect");
	bad("{'type':'stream','connect':'192.0.2.1'}", "bad-value", "connect");
	bad("{'type':'stream','connect':'192.0.2.1:0'}", "bad-value",
	    "connect");
	bad("{'type':'stream','connect':'224.0.0.1:1'}", "bad-value",
	    "connect");
	bad("{'type':'stream','connect':'/s','path':'/s'}", "not-for-type",
	    "path");
	bad("{'type':'stream','connect':'/s','queues':2}", "not-for-type",
	    "queues");
	bad("{'type':'tap','connect':'/s'}", "not-for-type", "connect");
}

static void uplink_is_not_isolated_and_mtu_has_bounds(void **state)
{
	(void)state;
	bad("{'type':'dummy','isolated':true,'uplink':true}", "bad-value",
	    "isolated");
	bad("{'type':'dummy','mtu':67}", "out-of-range", "mtu");
	bad("{'type':'dummy','mtu':65536}", "out-of-range", "mtu");
	assert_int_equal(good("{'type':'dummy','mtu':65535}").request.mtu,
			 65535);
}

static void names_are_short_words_without_blanks(void **state)
{
	char longest[PORT_NAME_MAX + 1];
	struct error err = { 0 };

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[PORT_NAME_MAX] = '\0';
	assert_int_equal(portconf_check_name(longest, &err), -EINVAL);
	longest[PORT_NAME_MAX - 1] = '\0';
	assert_int_equal(portconf_check_name(longest, &err), 0);
	assert_int_equal(portconf_check_name("vm-1_a.b:c/d", &err), 0);
	assert_int_equal(portconf_check_name("", &err), -EINVAL);
	assert_int_equal(portconf_check_name("a b", &err), -EINVAL);
	assert_int_equal(portconf_check_name("\xc3\xa9", &err), -EINVAL);
	assert_string_equal(err.reason, "bad-name");
}

/* ---- Profiles ---- */

static void profile_gives_what_is_not_given(void **state)
{
	static const char profiles[] =
		"{'lab':{'type':'dummy','mode':'access','vlan':10,"
		"'isolated':true}}";
	struct port_config c;
	struct error err;

	(void)state;
	assert_int_equal(
		parse("p", "{'profile':'lab','vlan':20}", profiles, &c, &err),
		0);
	assert_int_equal(c.native, 20);
	assert_true(c.isolated && c.access);
	assert_string_equal(c.profile, "lab");
	assert_int_equal(parse("p", "{'profile':'lab','uplink':true}", profiles,
			       &c, &err),
			 -EINVAL); /* together they make no sense */
	assert_string_equal(err.path, "isolated");
	assert_int_equal(parse("p", "{'profile':'lob'}", profiles, &c, &err),
			 -ENOENT);
	assert_string_equal(err.reason, "no-such-profile");
	assert_string_equal(err.path, "profile");
	assert_int_equal(parse("p", "{'profile':'lab'}", NULL, &c, &err),
			 -ENOENT);
}

static void check_profile(const char *params, const char *reason)
{
	struct error err = { 0 };
	json_t *p = json(params);
	int r = portconf_check_profile("lab", p, &err);

	json_decref(p);
	assert_string_equal(err.reason, reason);
	assert_int_equal(r < 0, *reason != '\0');
}

static void profile_may_be_a_part_but_not_a_port(void **state)
{
	(void)state;
	check_profile("{}", "");
	check_profile("{'isolated':true}", "");
	check_profile("{'mode':'access'}", ""); /* the port adds the VLAN */
	check_profile("{'type':'tap','mode':'access','vlan':10}", "");
	check_profile("{'ifname':'tap0'}", "not-for-profile");
	check_profile("{'mac':'02:00:00:00:00:01'}", "not-for-profile");
	check_profile("{'address':'10.0.0.1/24'}", "not-for-profile");
	check_profile("{'profile':'other'}", "not-for-profile");
	check_profile("{'trunk':'none'}", "bad-vlan-list");
	check_profile("{'mode':'trunk','trunk':'none'}", "bad-vlan-list");
	check_profile("{'mode':'access','vlan':1,'trunk':'1'}", "not-for-mode");
	check_profile("{'type':'pcap','owner':'root'}", "not-for-type");
	check_profile("{'isolated':true,'uplink':true}", "bad-value");
	check_profile("{'wings':2}", "unknown-parameter");
}

/* ---- What port.set may change ---- */

static void only_the_device_makes_two_configurations_different(void **state)
{
	struct port_config a = good("{'type':'tap','ifname':'tap0'}");
	struct port_config b =
		good("{'type':'tap','ifname':'tap0','mode':'access','vlan':9,"
		     "'mtu':9000,'enabled':false,'isolated':true}");
	struct port_config c = good("{'type':'tap','ifname':'tap1'}");

	(void)state;
	assert_true(portconf_same_device(&a, &b));
	assert_false(portconf_same_device(&a, &c));
	c = good("{'type':'tap','ifname':'tap0','persist':true}");
	assert_false(portconf_same_device(&a, &c));
	c = good("{'type':'tap','ifname':'tap0','offload':false}");
	assert_false(portconf_same_device(&a, &c));
	c = good("{'type':'netdev','ifname':'tap0'}");
	assert_false(portconf_same_device(&a, &c));
}

static void another_socket_or_role_is_another_device(void **state)
{
	static const char *const others[] = {
		"{'type':'vhost-user','path':'/t'}",
		"{'type':'vhost-user','path':'/s','role':'client'}",
		"{'type':'vhost-user','path':'/s','queues':2}",
		"{'type':'vhost-user','path':'/s','owner':'root'}",
		"{'type':'vhost-user','path':'/s','group':'root'}",
		"{'type':'vhost-user','path':'/s','socket-mode':'666'}",
		"{'type':'pcap','file':'/s'}",
	};
	struct port_config a = good("{'type':'vhost-user','path':'/s'}"), b;

	(void)state;
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		b = good(others[i]);
		assert_false(portconf_same_device(&a, &b));
	}
	b = good("{'type':'vhost-user','path':'/s','role':'server',"
		 "'queues':1,'isolated':true}");
	assert_true(portconf_same_device(&a, &b));
	assert_false(portconf_same(&a, &b));
}

static void mode_of_a_socket_is_octal(void **state)
{
	static const char *const wrong[] = { "",    "0",   "000", "8",
					     "668", "+60", "-1",  "0x6",
					     " 60", "60 ", "1777" };
	static const struct {
		const char *text;
		uint32_t mode;
	} right[] = { { "0660", 0660 },
		      { "666", 0666 },
		      { "1", 0001 },
		      { "0777", 0777 } };
	char params[128];

	(void)state;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(params, sizeof(params),
			 "{'type':'vhost-user','path':'/s','socket-mode':'%s'}",
			 wrong[i]);
		bad(params, "bad-value", "socket-mode");
	}
	for (unsigned int i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct port_config c;

		snprintf(params, sizeof(params),
			 "{'type':'dgram','local':'/a','remote':'/b',"
			 "'socket-mode':'%s'}",
			 right[i].text);
		c = good(params);
		assert_int_equal(c.request.socket_mode, right[i].mode);
	}
	bad("{'type':'tap','socket-mode':'0660'}", "not-for-type",
	    "socket-mode");
}

static void udp_is_between_two_addresses_of_a_kind(void **state)
{
	struct port_config c = good("{'type':'udp','local':'127.0.0.1:4444',"
				    "'remote':'192.0.2.1:1','mtu':65489}");

	(void)state;
	assert_string_equal(c.request.udp.local, "127.0.0.1:4444");
	assert_string_equal(c.request.udp.remote, "192.0.2.1:1");
	good("{'type':'udp','local':'[::]:65535','remote':'[2001:db8::1]:1'}");
	bad("{'type':'udp','local':'1.2.3.4:1'}", "missing-parameter",
	    "remote");
	bad("{'type':'udp','remote':'1.2.3.4:1'}", "missing-parameter",
	    "local");
	bad("{'type':'udp','local':'1.2.3.4:1','remote':'[::1]:1'}",
	    "bad-value", "remote");
	bad("{'type':'udp','local':'1.2.3.4:1','remote':'224.0.0.1:1'}",
	    "bad-value", "remote");
	bad("{'type':'udp','local':'1.2.3.4:1','remote':'0.0.0.0:1'}",
	    "bad-value", "remote");
	bad("{'type':'udp','local':'1.2.3.4:1','remote':'1.2.3.4:2',"
	    "'mtu':65490}",
	    "bad-value", "mtu");
	bad("{'type':'udp','local':'1.2.3.4:1','remote':'1.2.3.4:2',"
	    "'owner':'x'}",
	    "not-for-type", "owner");
	bad("{'type':'tap','local':'1.2.3.4:1'}", "not-for-type", "local");
}

static void address_is_numbers_with_a_port_and_nothing_else(void **state)
{
	static const char *const wrong[] = {
		"",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:0",
		"1.2.3.4:65536",
		"1.2.3.4:999999",
		"1.2.3.4:-1",
		"1.2.3.4:1 ",
		"1.2.3:1",
		"localhost:1",
		"::1:1",
		"[::1]",
		"[::1:1",
		"[1.2.3.4]:1",
		"[fe80::1%lo]:1",
		"/run/s",
		":1",
		"[]:1",
	};
	char params[160];

	(void)state;
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(params, sizeof(params),
			 "{'type':'udp','local':'%s','remote':'1.2.3.4:1'}",
			 wrong[i]);
		bad(params, "bad-value", "local");
		snprintf(params, sizeof(params),
			 "{'type':'udp','local':'1.2.3.4:1','remote':'%s'}",
			 wrong[i]);
		bad(params, "bad-value", "remote");
	}
}

static void dgram_is_between_two_sockets(void **state)
{
	struct port_config c = good("{'type':'dgram','local':'/run/a',"
				    "'remote':'/run/b','group':'kvm'}");

	(void)state;
	assert_string_equal(c.request.dgram.local, "/run/a");
	assert_string_equal(c.request.dgram.remote, "/run/b");
	assert_string_equal(c.request.dgram.owner, "");
	assert_string_equal(c.request.dgram.group, "kvm");
	bad("{'type':'dgram','local':'/run/a'}", "missing-parameter", "remote");
	bad("{'type':'dgram','remote':'/run/a'}", "missing-parameter", "local");
	bad("{'type':'dgram','local':'a','remote':'/b'}", "bad-value", "local");
	bad("{'type':'dgram','local':'/a','remote':'b'}", "bad-value",
	    "remote");
	bad("{'type':'dgram','local':'/a','remote':'/a'}", "bad-value",
	    "remote");
	bad("{'type':'dgram','local':'/a','remote':'/b','owner':''}",
	    "no-such-user", "owner");
	bad("{'type':'dgram','local':'/a','remote':'/b','path':'/c'}",
	    "not-for-type", "path");
}

static void another_end_is_another_device(void **state)
{
	static const char *const others[] = {
		"{'type':'dgram','local':'/a','remote':'/c'}",
		"{'type':'dgram','local':'/c','remote':'/b'}",
		"{'type':'dgram','local':'/a','remote':'/b','owner':'root'}",
		"{'type':'dgram','local':'/a','remote':'/b','group':'root'}",
		"{'type':'dgram','local':'/a','remote':'/b','socket-mode':'7'}",
		"{'type':'udp','local':'1.2.3.4:1','remote':'1.2.3.4:2'}",
		"{'type':'udp','local':'1.2.3.4:3','remote':'1.2.3.4:2'}",
		"{'type':'udp','local':'1.2.3.4:1','remote':'1.2.3.4:3'}",
	};
	const unsigned int n = sizeof(others) / sizeof(others[0]);
	struct port_config a = good("{'type':'dgram','local':'/a',"
				    "'remote':'/b'}");

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int j = 0; j < n; j++) {
			struct port_config b = good(others[i]);
			struct port_config c = good(others[j]);

			assert_false(portconf_same_device(&a, &b));
			assert_int_equal(portconf_same_device(&b, &c), i == j);
		}
}

static void stream_to_another_end_is_another_device(void **state)
{
	struct port_config a = good("{'type':'stream','connect':'/s'}");
	struct port_config b = good("{'type':'stream','connect':'/t'}");

	(void)state;
	assert_false(portconf_same_device(&a, &b));
	b = good("{'type':'stream','connect':'/s','mtu':9000}");
	assert_true(portconf_same_device(&a, &b));
}

static void another_network_or_mtu_is_another_process(void **state)
{
	static const char *const others[] = {
		"{'type':'slirp','ipv4':'10.1.0.0/16'}",
		"{'type':'slirp','ipv6':'none'}",
		"{'type':'slirp','hostfwd':'tcp::1-:2'}",
		"{'type':'slirp','hostname':'x'}",
		"{'type':'slirp','loopback':true}",
		"{'type':'slirp','restricted':true}",
		"{'type':'slirp','mtu':9000}",
	};
	struct port_config a = good("{'type':'slirp'}"), b;

	(void)state;
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		b = good(others[i]);
		assert_false(portconf_same_device(&a, &b));
	}
	b = good("{'type':'slirp','isolated':true,'loopback':false}");
	assert_true(portconf_same_device(&a, &b));
}

static void what_nat_is_told_is_checked(void **state)
{
	(void)state;
	bad("{'type':'slirp','ipv4':'10.0.2.1/24'}", "bad-value", "ipv4");
	bad("{'type':'slirp','ipv6':'fd00::/48'}", "bad-value", "ipv6");
	bad("{'type':'slirp','hostfwd':'tcp:80'}", "bad-value", "hostfwd");
	bad("{'type':'slirp','hostname':'a b'}", "bad-value", "hostname");
	bad("{'type':'slirp','mtu':576}", "out-of-range", "mtu");
	bad("{'type':'slirp','path':'/s'}", "not-for-type", "path");
	bad("{'type':'tap','ipv4':'none'}", "not-for-type", "ipv4");
	bad("{'type':'pcap','file':'/x','hostfwd':''}", "not-for-type",
	    "hostfwd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(port_without_vlan_parameters_is_plain),
		cmocka_unit_test(access_port_is_in_its_vlan_only),
		cmocka_unit_test(trunk_has_its_list_and_its_native_vlan),
		cmocka_unit_test(vlan_mistakes_have_names),
		cmocka_unit_test(
			vlan_list_is_numbers_and_ranges_and_nothing_else),
		cmocka_unit_test(
			vlan_list_is_written_as_it_was_read_but_sorted),
		cmocka_unit_test(parameters_of_other_types_are_refused),
		cmocka_unit_test(tap_takes_users_groups_and_addresses),
		cmocka_unit_test(netdev_and_pcap_need_what_they_are_made_of),
		cmocka_unit_test(
			vhost_user_is_a_socket_that_somebody_may_connect_to),
		cmocka_unit_test(each_mistake_about_the_socket_has_a_name),
		cmocka_unit_test(stream_connects_to_a_path_or_an_address),
		cmocka_unit_test(uplink_is_not_isolated_and_mtu_has_bounds),
		cmocka_unit_test(names_are_short_words_without_blanks),
		cmocka_unit_test(profile_gives_what_is_not_given),
		cmocka_unit_test(profile_may_be_a_part_but_not_a_port),
		cmocka_unit_test(
			only_the_device_makes_two_configurations_different),
		cmocka_unit_test(another_socket_or_role_is_another_device),
		cmocka_unit_test(mode_of_a_socket_is_octal),
		cmocka_unit_test(udp_is_between_two_addresses_of_a_kind),
		cmocka_unit_test(
			address_is_numbers_with_a_port_and_nothing_else),
		cmocka_unit_test(dgram_is_between_two_sockets),
		cmocka_unit_test(another_end_is_another_device),
		cmocka_unit_test(stream_to_another_end_is_another_device),
		cmocka_unit_test(another_network_or_mtu_is_another_process),
		cmocka_unit_test(what_nat_is_told_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
