/*
 * What is learned of domains, by libvirt's test driver: its test:///default is
 * one host for all connections of a process, and needs no daemon.
 */
#include "control/libvirt/hypervisor.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <string.h>

#define URI	    "test:///default"
#define DEADLINE_MS 10000

static struct hypervisor *hv;
static virConnectPtr other; /* the admin's */
static virDomainPtr vm;
static bool too_late;

static const char domain[] =
	"<domain type='test'><name>vm</name>"
	"<uuid>11111111-2222-4333-8444-555555555555</uuid>"
	"<memory>1024</memory><os><type>hvm</type></os>"
	"<metadata><s:ports xmlns:s='urn:switchd:1' mode='access' vlan='10'/>"
	"</metadata><devices>"
	"<interface type='ethernet'><mac address='52:54:00:00:00:01'/>"
	"<target dev='t1'/></interface>"
	"<interface type='vhostuser'><mac address='52:54:00:00:00:02'/>"
	"<source type='unix' path='/s' mode='client'/>"
	"<model type='virtio'/></interface>"
	"</devices></domain>";

static void on_deadline(int timer, void *opaque)
{
	(void)timer;
	(void)opaque;
	too_late = true;
}

/* Runs the event loop until the hypervisor knows of a change. */
static void wait_for_change(void)
{
	int timer = virEventAddTimeout(DEADLINE_MS, on_deadline, NULL, NULL);

	too_late = false;
	while (!hypervisor_changed(hv) && !too_late)
		assert_int_equal(virEventRunDefaultImpl(), 0);
	virEventRemoveTimeout(timer);
	assert_false(too_late);
}

/* The names of all ports that are wanted now, with a blank behind each. */
static void check_wanted(const char *expected)
{
	struct wanted w = { 0 };
	struct error e = { 0 };
	bool complete = false;
	char names[256] = "";

	assert_int_equal(hypervisor_read(hv, &w, &complete, &e), 0);
	assert_true(complete);
	assert_false(hypervisor_changed(hv));
	for (size_t i = 0; i < w.n; i++) {
		size_t len = strlen(names);

		assert_non_null(w.port[i].params);
		snprintf(names + len, sizeof(names) - len, "%s ",
			 w.port[i].name);
	}
	assert_string_equal(names, expected);
	wanted_clear(&w);
}

static void a_new_connection_asks_for_all(void **state)
{
	struct error e = { 0 };

	(void)state;
	assert_false(hypervisor_connected(hv));
	assert_int_equal(hypervisor_connect(hv, &e), 0);
	assert_true(hypervisor_connected(hv));
	assert_true(hypervisor_changed(hv));
	assert_string_equal(hypervisor_marker(hv), "libvirt " URI);
	check_wanted("");
}

static void a_defined_domain_wants_its_listening_socket(void **state)
{
	(void)state;
	vm = virDomainDefineXML(other, domain);
	assert_non_null(vm);
	wait_for_change();
	check_wanted("vm/net1 ");
}

static void a_started_domain_wants_its_tap_as_well(void **state)
{
	(void)state;
	assert_int_equal(virDomainCreate(vm), 0);
	wait_for_change();
	check_wanted("vm/net0 vm/net1 ");
}

static void changed_metadata_is_noticed(void **state)
{
	struct wanted w = { 0 };
	struct error e = { 0 };
	bool complete;

	(void)state;
	assert_int_equal(virDomainSetMetadata(
				 vm, VIR_DOMAIN_METADATA_ELEMENT,
				 "<ports mode='trunk'>"
				 "<port alias='net0' attach='no'/></ports>",
				 "s", "urn:switchd:1", VIR_DOMAIN_AFFECT_LIVE),
			 0);
	wait_for_change();
	/* virsh's way: without prefixes, which libvirt adds. */
	assert_int_equal(hypervisor_read(hv, &w, &complete, &e), 0);
	assert_int_equal(w.n, 1);
	assert_string_equal(w.port[0].name, "vm/net1");
	assert_string_equal(
		json_string_value(json_object_get(w.port[0].params, "mode")),
		"trunk");
	wanted_clear(&w);
}

static void a_stopped_domain_wants_what_it_wanted_while_defined(void **state)
{
	(void)state;
	assert_int_equal(virDomainDestroy(vm), 0);
	wait_for_change();
	check_wanted("vm/net1 ");
}

/* The test driver's events wait in the loop, which doesn't run here. */
static void who_runs_is_seen_without_an_event(void **state)
{
	(void)state;
	hypervisor_look(hv);
	assert_false(hypervisor_changed(hv));
	assert_int_equal(virDomainCreate(vm), 0);
	assert_false(hypervisor_changed(hv));
	hypervisor_look(hv);
	assert_true(hypervisor_changed(hv));
	check_wanted("vm/net0 vm/net1 ");
	hypervisor_look(hv);
	assert_false(hypervisor_changed(hv));
	assert_int_equal(virDomainDestroy(vm), 0);
	hypervisor_look(hv);
	assert_true(hypervisor_changed(hv));
	check_wanted("vm/net1 ");
}

static void an_undefined_domain_wants_nothing(void **state)
{
	(void)state;
	assert_int_equal(virDomainUndefine(vm), 0);
	wait_for_change();
	check_wanted("");
}

static void doubt_asks_for_all_again(void **state)
{
	(void)state;
	hypervisor_doubt(hv);
	assert_true(hypervisor_changed(hv));
	check_wanted("");
}

static void what_can_not_be_reached_is_an_error(void **state)
{
	struct hypervisor *bad = hypervisor_new("test:///no/such/file", NULL);
	struct error e = { 0 };

	(void)state;
	assert_true(hypervisor_connect(bad, &e) < 0);
	assert_string_equal(e.reason, "no-libvirt");
	assert_non_null(strstr(e.message, "/no/such/file"));
	assert_false(hypervisor_connected(bad));
	hypervisor_free(bad);
}

static int set_up(void **state)
{
	(void)state;
	if (hypervisor_events() < 0)
		return -1;
	hv = hypervisor_new(URI, "qemu");
	other = virConnectOpen(URI);
	return hv && other ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	virDomainFree(vm);
	virConnectClose(other);
	hypervisor_free(hv);
	return 0;
}

/* In this order: a domain's life. */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_connection_asks_for_all),
		cmocka_unit_test(a_defined_domain_wants_its_listening_socket),
		cmocka_unit_test(a_started_domain_wants_its_tap_as_well),
		cmocka_unit_test(changed_metadata_is_noticed),
		cmocka_unit_test(
			a_stopped_domain_wants_what_it_wanted_while_defined),
		cmocka_unit_test(who_runs_is_seen_without_an_event),
		cmocka_unit_test(an_undefined_domain_wants_nothing),
		cmocka_unit_test(doubt_asks_for_all_again),
		cmocka_unit_test(what_can_not_be_reached_is_an_error),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
