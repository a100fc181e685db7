/* VLANs: who gets a frame, and with which tag. IEEE 802.1Q-2022 6.9, 8.8. */
#include "tests/sim/sim.h"

#define A_TO_B(...) FRAME(.src = A, .dst = B, __VA_ARGS__)

/* ---- Access ports ---- */

static void access_ports_exchange_untagged_frames_of_their_vlan(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_attach(s, "other", "mode=access vlan=20");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect_none(s);
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	assert_string_equal(sim_where(s, 10, A), "a");
	assert_string_equal(sim_where(s, 1, A), "");
}

static void access_port_takes_its_own_tag_and_no_other(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_attach(s, "all", "mode=trunk");
	sim_step(s, "a", A_TO_B(.tag = { CTAG(10) }));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect(s, "all", A_TO_B(.tag = { CTAG(10) }));
	for (uint32_t vid = 1; vid <= 4095; vid++)
		if (vid != 10)
			sim_send(s, "a", A_TO_B(.tag = { CTAG(vid) }));
	sim_run(s);
	sim_expect_drops(s, "a", "vlan-ingress", 4094);
}

static void access_port_can_not_hop_vlans_by_a_second_tag(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "guest", "mode=access vlan=1");
	sim_attach(s, "uplink", "uplink=yes");
	sim_attach(s, "victim", "mode=access vlan=20");
	sim_send(s, "guest", A_TO_B(.tag = { CTAG(1), CTAG(20) }));
	sim_send(s, "guest", A_TO_B(.tag = { CTAG(0), CTAG(20) }));
	sim_run(s);
	sim_expect_drops(s, "guest", "vlan-ingress", 2);
	sim_expect_none(s);
}

static void restricted_trunk_can_not_hop_vlans_by_a_second_tag(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "guest", "mode=trunk trunk=10,11 vlan=10");
	sim_attach(s, "uplink", "mode=trunk vlan=10 uplink=yes");
	sim_step(s, "guest", A_TO_B(.tag = { CTAG(10), CTAG(30) }));
	sim_expect_drops(s, "guest", "vlan-ingress", 1);
	sim_step(s, "guest", A_TO_B(.tag = { CTAG(10), CTAG(11) }));
	sim_expect(s, "uplink", A_TO_B(.tag = { CTAG(11) }));
}

static void priority_tag_on_an_access_port_is_untagged_with_priority(void **st)
{
	struct sim *s = *st;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=10");
	sim_attach(s, "trunk", "mode=trunk");
	sim_step(s, "a", A_TO_B(.tag = { CTAG(0) | SIM_PCP(5) }));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	sim_expect(s, "trunk", A_TO_B(.tag = { CTAG(10) | SIM_PCP(5) }));
}

static void vid_4095_is_dropped_everywhere(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "plain", "");
	sim_attach(s, "plain2", "");
	sim_attach(s, "trunk", "mode=trunk");
	sim_attach(s, "access", "mode=access vlan=10");
	sim_send(s, "plain", A_TO_B(.tag = { CTAG(4095) }));
	sim_send(s, "trunk", A_TO_B(.tag = { CTAG(4095) }));
	sim_send(s, "access", A_TO_B(.tag = { CTAG(4095) }));
	sim_run(s);
	sim_expect_drops(s, "plain", "vlan-ingress", 1);
	sim_expect_drops(s, "trunk", "vlan-ingress", 1);
	sim_expect_drops(s, "access", "vlan-ingress", 1);
}

/* ---- Trunks ---- */

static void trunk_admits_and_gets_its_list_only(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "trunk=10,20-30");
	sim_attach(s, "all", "mode=trunk vlan=4000");
	for (uint32_t vid = 1; vid <= 4094; vid++)
		sim_send(s, "t", A_TO_B(.tag = { CTAG(vid) }));
	sim_run(s);
	sim_expect(s, "all", A_TO_B(.tag = { CTAG(10) }));
	for (uint32_t vid = 20; vid <= 30; vid++)
		sim_expect(s, "all", A_TO_B(.tag = { CTAG(vid) }));
	sim_expect_drops(s, "t", "vlan-ingress", 4094 - 12);

	for (uint32_t vid = 1; vid <= 4094; vid++)
		sim_send(s, "all",
			 FRAME(.src = C, .dst = D, .tag = { CTAG(vid) }));
	sim_run(s);
	sim_expect(s, "t", FRAME(.src = C, .dst = D, .tag = { CTAG(10) }));
	for (uint32_t vid = 20; vid <= 30; vid++)
		sim_expect(s, "t",
			   FRAME(.src = C, .dst = D, .tag = { CTAG(vid) }));
	sim_expect_drops(s, "all", "no-destination", 4094 - 12);
}

static void native_vlan_travels_untagged_both_ways(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk vlan=10 trunk=20");
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_attach(s, "vm20", "mode=access vlan=20");
	sim_step(s, "t", FRAME(.src = A, .dst = B));
	sim_expect(s, "vm", FRAME(.src = A, .dst = B));
	sim_step(s, "vm", FRAME(.src = B, .dst = A));
	sim_expect(s, "t", FRAME(.src = B, .dst = A));
	/* With the native tag it comes in all the same. */
	sim_step(s, "t", A_TO_B(.tag = { CTAG(10) }));
	sim_expect(s, "vm", FRAME(.src = A, .dst = B));
	sim_step(s, "t", FRAME(.src = A, .dst = B, .tag = { CTAG(20) }));
	sim_expect(s, "vm20", FRAME(.src = A, .dst = B));
}

static void trunk_without_its_native_vlan_is_tagged_only(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk trunk=10");
	sim_attach(s, "vm1", "mode=access vlan=1");
	sim_attach(s, "vm10", "mode=access vlan=10");
	sim_step(s, "t", FRAME(.src = A, .dst = B));
	sim_expect_drops(s, "t", "vlan-ingress", 1);
	sim_step(s, "t", A_TO_B(.tag = { CTAG(0) }));
	sim_expect_drops(s, "t", "vlan-ingress", 1);
	sim_step(s, "t", A_TO_B(.tag = { CTAG(1) }));
	sim_expect_drops(s, "t", "vlan-ingress", 1);
	sim_step(s, "vm1", FRAME(.src = C, .dst = D));
	sim_expect_drops(s, "vm1", "no-destination", 1);
	sim_step(s, "t", A_TO_B(.tag = { CTAG(10) }));
	sim_expect(s, "vm10", FRAME(.src = A, .dst = B));
}

static void trunk_pops_for_access_and_pushes_from_it(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_step(s, "t", A_TO_B(.tag = { CTAG(10) | SIM_PCP(7) }));
	sim_expect(s, "vm", FRAME(.src = A, .dst = B));
	sim_step(s, "vm", FRAME(.src = B, .dst = A));
	sim_expect(s, "t", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
}

static void priority_and_drop_eligibility_survive_from_trunk_to_trunk(void **st)
{
	struct sim *s = *st;
	const uint32_t tag = CTAG(10) | SIM_PCP(3) | 0x1000;

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "u", "mode=trunk vlan=5");
	sim_step(s, "t", A_TO_B(.tag = { tag }));
	sim_expect(s, "u", A_TO_B(.tag = { tag }));
	/* Native here, not there: the tag's VID is filled in. */
	sim_step(s, "u", FRAME(.src = B, .dst = A, .tag = { tag & ~10u }));
	sim_expect(s, "t",
		   FRAME(.src = B, .dst = A, .tag = { (tag & ~10u) | 5 }));
}

static void second_tag_is_payload(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_step(s, "t", A_TO_B(.tag = { CTAG(10), CTAG(20) }));
	sim_expect(s, "vm", A_TO_B(.tag = { CTAG(20) }));
	/* And so it can't be sent into another VLAN from an access port. */
	sim_step(s, "vm", FRAME(.src = B, .dst = A, .tag = { CTAG(20) }));
	sim_expect_drops(s, "vm", "vlan-ingress", 1);
}

/* ---- Plain ports ---- */

static void plain_ports_pass_every_tag_unchanged(void **state)
{
	struct sim *s = *state;
	const uint32_t tags[] = { CTAG(0),    CTAG(0) | SIM_PCP(6),
				  CTAG(1),    CTAG(1) | SIM_PCP(2),
				  CTAG(4094), CTAG(10) | 0xf000,
				  STAG(7) };

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	for (unsigned int i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		sim_step(s, "a", A_TO_B(.tag = { tags[i] }));
		sim_expect(s, "b", A_TO_B(.tag = { tags[i] }));
	}
	sim_step(s, "a", A_TO_B(.tag = { STAG(7), CTAG(8), CTAG(9) }));
	sim_expect(s, "b", A_TO_B(.tag = { STAG(7), CTAG(8), CTAG(9) }));
}

static void plain_port_reaches_access_ports_of_every_vlan(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "p", "");
	sim_attach(s, "vm1", "mode=access vlan=1");
	sim_attach(s, "vm10", "mode=access vlan=10");
	sim_step(s, "p", FRAME(.src = A, .dst = B));
	sim_expect(s, "vm1", FRAME(.src = A, .dst = B));
	sim_step(s, "p", A_TO_B(.tag = { CTAG(1) }));
	sim_expect(s, "vm1", FRAME(.src = A, .dst = B));
	sim_step(s, "p", A_TO_B(.tag = { CTAG(0) | SIM_PCP(4) }));
	sim_expect(s, "vm1", FRAME(.src = A, .dst = B));
	sim_step(s, "p", A_TO_B(.tag = { CTAG(10) }));
	sim_expect(s, "vm10", FRAME(.src = A, .dst = B));
	sim_step(s, "vm10", FRAME(.src = B, .dst = A));
	sim_expect(s, "p", FRAME(.src = B, .dst = A, .tag = { CTAG(10) }));
	sim_step(s, "vm1", FRAME(.src = B, .dst = A));
	sim_expect(s, "p", FRAME(.src = B, .dst = A));
}

/* ---- Learning and flooding by VLAN ---- */

static void same_address_in_two_vlans_is_behind_two_ports(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a10", "mode=access vlan=10");
	sim_attach(s, "a20", "mode=access vlan=20");
	sim_attach(s, "b10", "mode=access vlan=10");
	sim_attach(s, "b20", "mode=access vlan=20");
	sim_attach(s, "t", "mode=trunk");
	sim_seen(s, "a10", A);
	sim_seen(s, "a20", A);
	sim_step(s, "t", FRAME(.src = C, .dst = A, .tag = { CTAG(10) }));
	sim_expect(s, "a10", FRAME(.src = C, .dst = A));
	sim_step(s, "t", FRAME(.src = C, .dst = A, .tag = { CTAG(20) }));
	sim_expect(s, "a20", FRAME(.src = C, .dst = A));
	sim_step(s, "t", FRAME(.src = C, .dst = A, .tag = { CTAG(30) }));
	sim_expect_drops(s, "t", "no-destination", 1);
}

static bool member(unsigned int port, uint32_t vid)
{
	return vid % (port + 2) == 1; /* port 3: VLANs 1, 6, 11 .. */
}

/* "trunk=" with the VLANs up to 200 that the rule above gives. */
static void attach_member(struct sim *s, unsigned int port)
{
	char name[8], words[1024] = "trunk=";

	snprintf(name, sizeof(name), "t%u", port);
	for (uint32_t vid = 1; vid <= 200; vid++)
		if (member(port, vid))
			sprintf(words + strlen(words), "%s%u",
				words[6] ? "," : "", vid);
	sim_attach(s, name, words);
}

static void flood_set_of_each_vlan_is_exactly_its_members(void **state)
{
	struct sim *s = *state;
	unsigned int n = 20;

	for (unsigned int port = 0; port < n; port++)
		attach_member(s, port);
	sim_attach(s, "all", "mode=trunk vlan=4000");
	for (uint32_t vid = 1; vid <= 200; vid++) {
		struct sim_frame f = A_TO_B(.tag = { CTAG(vid) });
		unsigned int members = 0;

		/* VLAN 1 is native where it's allowed: see elsewhere. */
		if (vid == 1)
			continue;
		sim_step(s, "all", f);
		for (unsigned int port = 0; port < n; port++) {
			char name[8];

			snprintf(name, sizeof(name), "t%u", port);
			if (!member(port, vid))
				continue;
			sim_expect(s, name, f);
			members++;
		}
		if (!members)
			sim_expect_drops(s, "all", "no-destination", 1);
		sim_expect_none(s);
	}
}

static void one_flood_serves_ports_with_and_without_tag_in_any_order(void **st)
{
	struct sim *s = *st;
	static const char *const words[] = { "mode=access vlan=10",
					     "mode=trunk", "" };
	char name[8];

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "v", "mode=access vlan=10");
	sim_attach(s, "p", "");
	/* All orders of three kinds of ports lie in 0 1 2 0 2 1 0. */
	for (unsigned int i = 0; i < 7; i++) {
		static const uint8_t kind[] = { 0, 1, 2, 0, 2, 1, 0 };

		snprintf(name, sizeof(name), "x%u%u", i, kind[i]);
		sim_attach(s, name, words[kind[i]]);
	}
	for (unsigned int from = 0; from < 3; from++) {
		static const char *const in[] = { "v", "t", "p" };
		uint32_t tag = from == 0 ? 0 : CTAG(10) | SIM_PCP(5);
		struct sim_frame untagged = FRAME(.src = A, .dst = B);
		struct sim_frame tagged =
			A_TO_B(.tag = { from == 0 ? CTAG(10) : tag });
		struct switch_port *p = NULL;

		sim_step(s, in[from], A_TO_B(.tag = { tag }));
		while ((p = switch_port_next(s->sw, p)))
			if (strcmp(p->port->name, in[from]) != 0)
				sim_expect(s, p->port->name,
					   p->config.access ? untagged
							    : tagged);
		sim_expect_none(s);
	}
}

static void frames_of_a_batch_keep_their_own_tags(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "t", "mode=trunk");
	sim_attach(s, "v10", "mode=access vlan=10");
	sim_attach(s, "v20", "mode=access vlan=20");
	sim_attach(s, "u", "mode=trunk vlan=20");
	for (uint16_t i = 0; i < 64; i++)
		sim_send(s, "t",
			 A_TO_B(.id = i, .tag = { CTAG(i % 2 ? 10 : 20) |
						  SIM_PCP(i % 8) }));
	sim_run(s);
	for (uint16_t i = 0; i < 64; i++) {
		sim_expect(s, i % 2 ? "v10" : "v20", A_TO_B(.id = i));
		if (i % 2)
			sim_expect(s, "u",
				   A_TO_B(.id = i, .tag = { CTAG(10) |
							    SIM_PCP(i % 8) }));
		else
			sim_expect(s, "u", A_TO_B(.id = i));
	}
}

/* ---- 802.1ad ---- */

static void outer_802_1ad_tag_is_payload_by_default(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "vm", "mode=access vlan=10");
	sim_attach(s, "t", "mode=trunk");
	sim_step(s, "vm", A_TO_B(.tag = { STAG(99), CTAG(5) }));
	sim_expect(s, "t", A_TO_B(.tag = { CTAG(10), STAG(99), CTAG(5) }));
	sim_step(s, "t",
		 FRAME(.src = B, .dst = A, .tag = { CTAG(10), STAG(99) }));
	sim_expect(s, "vm", FRAME(.src = B, .dst = A, .tag = { STAG(99) }));
	assert_string_equal(sim_where(s, 10, A), "vm");
}

static void provider_switch_takes_802_1ad_tags_for_its_own(void **state)
{
	struct sim *s = *state;
	struct switch_settings set = s->sw->settings;

	set.tpid = 0x88a8;
	switch_settings_set(s->sw, &set);
	sim_attach(s, "vm", "mode=access vlan=10");
	sim_attach(s, "t", "mode=trunk");
	/* The customer's tag, whatever its VID, is payload. */
	sim_step(s, "vm", A_TO_B(.tag = { CTAG(99) }));
	sim_expect(s, "t", A_TO_B(.tag = { STAG(10), CTAG(99) }));
	sim_step(s, "t",
		 FRAME(.src = B, .dst = A, .tag = { STAG(10), CTAG(99) }));
	sim_expect(s, "vm", FRAME(.src = B, .dst = A, .tag = { CTAG(99) }));
	sim_step(s, "vm", A_TO_B(.tag = { STAG(11) }));
	sim_expect_drops(s, "vm", "vlan-ingress", 1);
	sim_step(s, "t", FRAME(.src = C, .dst = D, .tag = { CTAG(10) }));
	sim_expect_drops(s, "t", "no-destination", 1); /* native: VLAN 1 */
}

static void change_of_the_tag_protocol_forgets_what_was_learned(void **state)
{
	struct sim *s = *state;
	struct switch_settings set = s->sw->settings;

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_seen(s, "a", A);
	set.tpid = 0x88a8;
	switch_settings_set(s->sw, &set);
	assert_string_equal(sim_where(s, 1, A), "");
}

/* ---- The lists themselves ---- */

static void vlan_of_a_port_can_change_while_it_is_attached(void **state)
{
	struct sim *s = *state;

	sim_attach(s, "a", "mode=access vlan=10");
	sim_attach(s, "b", "mode=access vlan=20");
	sim_attach(s, "c", "mode=access vlan=10");
	sim_step(s, "a", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "c", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_set(s, "b", "vlan=10");
	sim_set(s, "c", "vlan=20");
	sim_step(s, "a", FRAME(.src = A, .dst = MAC_BROADCAST));
	sim_expect(s, "b", FRAME(.src = A, .dst = MAC_BROADCAST));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(access_ports_exchange_untagged_frames_of_their_vlan),
		SIM_TEST(access_port_takes_its_own_tag_and_no_other),
		SIM_TEST(access_port_can_not_hop_vlans_by_a_second_tag),
		SIM_TEST(restricted_trunk_can_not_hop_vlans_by_a_second_tag),
		SIM_TEST(
			priority_tag_on_an_access_port_is_untagged_with_priority),
		SIM_TEST(vid_4095_is_dropped_everywhere),
		SIM_TEST(trunk_admits_and_gets_its_list_only),
		SIM_TEST(native_vlan_travels_untagged_both_ways),
		SIM_TEST(trunk_without_its_native_vlan_is_tagged_only),
		SIM_TEST(trunk_pops_for_access_and_pushes_from_it),
		SIM_TEST(
			priority_and_drop_eligibility_survive_from_trunk_to_trunk),
		SIM_TEST(second_tag_is_payload),
		SIM_TEST(plain_ports_pass_every_tag_unchanged),
		SIM_TEST(plain_port_reaches_access_ports_of_every_vlan),
		SIM_TEST(same_address_in_two_vlans_is_behind_two_ports),
		SIM_TEST(flood_set_of_each_vlan_is_exactly_its_members),
		SIM_TEST(
			one_flood_serves_ports_with_and_without_tag_in_any_order),
		SIM_TEST(frames_of_a_batch_keep_their_own_tags),
		SIM_TEST(outer_802_1ad_tag_is_payload_by_default),
		SIM_TEST(provider_switch_takes_802_1ad_tags_for_its_own),
		SIM_TEST(change_of_the_tag_protocol_forgets_what_was_learned),
		SIM_TEST(vlan_of_a_port_can_change_while_it_is_attached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
