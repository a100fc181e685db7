/* Configurations: what is checked, applied, given back, saved. */
#include "switchd/broker.h"
#include "tests/sim/sim.h"
#include "tests/unit/json_text.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_FILE "/nonexistent/x.pcap" /* what makes a port fail */

static struct config_changes apply_json(struct sim *s, json_t *config)
{
	struct config_changes c = { 0 };
	struct error err = { 0 };

	if (config_check(config, &err) < 0 ||
	    config_apply(s->sw, config, &c, &err) < 0)
		print_error("%s at %s\n", err.message, err.path);
	assert_int_equal(err.err, 0);
	json_decref(config);
	return c;
}

static struct config_changes apply(struct sim *s, const char *text)
{
	return apply_json(s, json(text));
}

static void check_fails(const char *text, const char *reason, const char *path)
{
	json_t *config = json(text);
	struct error err = { 0 };

	assert_true(config_check(config, &err) < 0);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
	json_decref(config);
}

/* ---- What must be the same after something was refused ---- */

static json_t *port_state(const struct switch_port *p, bool device)
{
	return json_pack("{s:O,s:i,s:i,s:i,s:i,s:i,s:i}", "params", p->params,
			 "origin", p->origin, "uid", (int)p->uid, "mtu",
			 (int)p->grant.mtu, "vlan", p->config.native, "index",
			 device ? (int)p->port->index : 0, "generation",
			 device ? (int)p->port->generation : 0);
}

/* All that a user can see; `device`: down to which port has which index. */
static json_t *state(struct sim *s, bool device)
{
	struct switch_port *p = NULL;
	json_t *o = config_show(s->sw, NULL), *e;
	const char *key;

	/* A port that came back stands elsewhere in the list. */
	json_object_del(o, "ports");
	while ((p = switch_port_next(s->sw, p)))
		json_object_set_new(o, p->config.request.name,
				    port_state(p, device));
	for (unsigned int i = 0; i < s->sw->nmirrors; i++)
		json_array_append_new(
			json_object_get(o, "mirrors"),
			json_boolean(s->sw->mirror[i]->configured));
	json_object_foreach(s->sw->statics, key, e) {
		uint64_t mac = 0;

		assert_int_equal(switch_static_mac(e, &mac, NULL), 0);
		json_object_set_new(
			o, key,
			json_pack("[O,s]", e,
				  sim_where(s,
					    (uint16_t)rpc_get_int(e, "vlan", 1),
					    mac)));
	}
	json_object_set_new(o, "nports", json_integer(s->sw->nports));
	return o;
}

/* A checked configuration is refused, and nothing has changed. */
static void apply_fails_json(struct sim *s, json_t *config, const char *reason,
			     const char *path, bool same_device)
{
	json_t *before = state(s, same_device), *after;
	struct config_changes c = { 0 };
	struct error err = { 0 };

	assert_int_equal(config_check(config, &err), 0);
	assert_true(config_apply(s->sw, config, &c, &err) < 0);
	assert_string_equal(err.reason, reason);
	if (!strcmp(path, "fdb[")) /* which one is the hash's affair */
		err.path[4] = '\0';
	assert_string_equal(err.path, path);
	after = state(s, same_device);
	if (!json_equal(before, after)) {
		json_dumpf(before, stderr, JSON_SORT_KEYS);
		fputc('\n', stderr);
		json_dumpf(after, stderr, JSON_SORT_KEYS);
		fputc('\n', stderr);
	}
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
	json_decref(config);
}

static void apply_fails(struct sim *s, const char *text, const char *reason,
			const char *path)
{
	apply_fails_json(s, json(text), reason, path, true);
}

static void add_static(struct sim *s, uint64_t mac, uint16_t vid,
		       const char *port)
{
	struct error err = { 0 };

	assert_int_equal(switch_static_add(s->sw, mac, vid, port,
					   SWITCH_ORIGIN_CONTROL, &err),
			 0);
}

/* ---- Given back ---- */

#define THREE_PORTS                                 \
	"'ports': [{'name': 'a', 'type': 'dummy'}," \
	"{'name': 'b', 'type': 'dummy'},"           \
	"{'name': 'c', 'type': 'dummy'}]"

/* More static addresses than an FDB of 64 has room for, behind c: mirrors
 * have been made by the time that they are refused. */
static json_t *with_too_many_statics(const char *text)
{
	json_t *config = json(text), *list = json_array();

	for (int i = 0; i < 200; i++) {
		char mac[MAC_STRLEN];

		json_array_append_new(
			list, json_pack("{s:s,s:s}", "mac",
					mac_format(A + (uint64_t)i, mac),
					"port", "c"));
	}
	json_object_set_new(config, "fdb", list);
	return config;
}

static void refused_statics_leave_the_old_ones_with_their_ports(void **state_)
{
	struct sim *s = sim_new_fdb(1, 64);

	(void)state_;
	apply(s, "{" THREE_PORTS ","
		 "'fdb': [{'mac': '02:00:00:00:00:0a', 'port': 'a'},"
		 "{'mac': '02:00:00:00:00:0b', 'port': 'b'}]}");
	sim_attach(s, "hand", "");
	add_static(s, C, 1, "hand");
	add_static(s, 0x02000000ff01, 1, "c"); /* isn't in the other */
	apply_fails_json(s, with_too_many_statics("{" THREE_PORTS "}"),
			 "fdb-full", "fdb[", true);
	assert_string_equal(sim_where(s, 1, A), "a");
	assert_string_equal(sim_where(s, 1, B), "b");
	assert_string_equal(sim_where(s, 1, C), "hand");
	/* Those behind a port that is away and back, too. */
	apply_fails_json(s,
			 with_too_many_statics(
				 "{'ports': [{'name': 'c', 'type': 'dummy'}]}"),
			 "fdb-full", "fdb[", true);
	assert_string_equal(sim_where(s, 1, B), "b");
	sim_free(s);
}

static void mirrors_come_back_as_they_were(void **state_)
{
	struct sim *s = sim_new_fdb(1, 64);

	(void)state_;
	apply(s, "{" THREE_PORTS ","
		 "'mirrors': [{'name': 'm', 'from': ['a'], 'to': 'c'},"
		 "{'name': 'n', 'from': ['b'], 'to': 'c', 'vlan': '1'}]}");
	sim_mirror(s, "hand", "from=a,b to=c dir=in");
	apply_fails_json(
		s,
		with_too_many_statics(
			"{'mirrors': [{'name': 'hand', 'to': 'b'}], " THREE_PORTS
			"}"),
		"fdb-full", "fdb[", true);
	assert_false(switch_mirror_find(s->sw, "hand")->configured);
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	assert_int_equal(sim_drain(s, "c"), 3); /* m and hand in, n out */
	sim_free(s);
}

static void detached_ports_go_on_where_a_later_one_is_refused(void **state_)
{
	struct sim *s = *state_;
	struct port_counters c;

	apply(s, "{" THREE_PORTS "}");
	sim_seen(s, "a", A);
	sim_seen(s, "b", B);
	apply_fails(s,
		    "{'ports': [{'name': 'a', 'type': 'dummy'},"
		    "{'name': 'new', 'type': 'dummy'},"
		    "{'name': 'x', 'type': 'pcap', 'file': '" NO_FILE "'}]}",
		    "bad-file", "ports[2].file");
	sim_step(s, "b", FRAME(.src = B, .dst = A));
	sim_expect(s, "a", FRAME(.src = B, .dst = A));
	sim_step(s, "a", FRAME(.src = A, .dst = B));
	sim_expect(s, "b", FRAME(.src = A, .dst = B));
	c = sim_counters(s, "b");
	assert_int_equal(counter_get(&c.rx_frames), 2);
}

static void ports_that_take_over_a_name_come_last(void **state_)
{
	struct sim *s = *state_;
	char file[] = "/tmp/sim_config.XXXXXX", text[512];

	close(mkstemp(file));
	unlink(file);
	apply(s, "{" THREE_PORTS "}");
	/* b becomes a recorder: that can't be before the old b is gone. */
	snprintf(text, sizeof(text),
		 "{'ports': [{'name': 'b', 'type': 'pcap', 'file': '%s'},"
		 "{'name': 'x', 'type': 'pcap', 'file': '" NO_FILE "'}]}",
		 file);
	apply_fails(s, text, "bad-file", "ports[1].file");
	assert_int_not_equal(access(file, F_OK), 0);
}

static void ports_that_are_gone_come_back_with_all_that_they_had(void **state_)
{
	struct sim *s = *state_;
	char file[] = "/tmp/sim_config.XXXXXX", text[512];

	close(mkstemp(file));
	unlink(file);
	apply(s, "{'ports': [{'name': 'a', 'type': 'dummy'},"
		 "{'name': 'b', 'type': 'dummy', 'mtu': 1400},"
		 "{'name': 'c', 'type': 'dummy', 'mode': 'access',"
		 "'vlan': 7}],"
		 "'fdb': [{'mac': '02:00:00:00:00:0a', 'port': 'a'},"
		 "{'mac': '02:00:00:00:00:0c', 'vlan': 7, 'port': 'c'}]}");
	sim_attach(s, "hand", "");
	snprintf(text, sizeof(text),
		 "{'ports': [{'name': 'b', 'type': 'pcap', 'file': '%s'},"
		 "{'name': 'c', 'type': 'pcap', 'file': '" NO_FILE "'}]}",
		 file);
	apply_fails_json(s, json(text), "bad-file", "ports[1].file", false);
	sim_step(s, "a", FRAME(.src = B, .dst = D));
	sim_expect(s, "b", FRAME(.src = B, .dst = D));
	sim_expect(s, "hand", FRAME(.src = B, .dst = D));
	unlink(file);
}

static void changes_origins_and_profiles_are_undone(void **state_)
{
	struct sim *s = *state_;

	apply(s, "{'profiles': {'lab': {'type': 'dummy', 'mtu': 1300}},"
		 "'switch': {'age': 77}, " THREE_PORTS "}");
	sim_attach(s, "same", "");
	sim_attach(s, "other", "mode=access vlan=10");
	sim_attach(s, "old", "profile=lab");
	apply(s, "{'profiles': {'lab': {'type': 'dummy', 'mtu': 1200}},"
		 "'switch': {'age': 77}, " THREE_PORTS "}");
	assert_int_equal(sim_port(s, "old")->grant.mtu, 1300);
	apply_fails(s,
		    "{'profiles': {'lab': {'type': 'dummy', 'mtu': 1100}},"
		    "'switch': {'age': 5}, 'ports': ["
		    "{'name': 'a', 'type': 'dummy', 'mtu': 900},"
		    "{'name': 'b', 'type': 'dummy', 'trunk': '1-10'},"
		    "{'name': 'same', 'type': 'dummy'},"
		    "{'name': 'other', 'type': 'dummy'},"
		    "{'name': 'old', 'profile': 'lab'},"
		    "{'name': 'x', 'type': 'pcap', 'file': '" NO_FILE "'}]}",
		    "bad-file", "ports[5].file");
	sim_set(s, "old", "description=still"); /* its profile, as it was */
	assert_int_equal(sim_port(s, "old")->grant.mtu, 1300);
}

/* ---- What stays ---- */

static void statics_by_hand_stay_and_configured_ones_go(void **state_)
{
	struct sim *s = *state_;

	apply(s, "{" THREE_PORTS ","
		 "'fdb': [{'mac': '02:00:00:00:00:0a', 'port': 'a'},"
		 "{'mac': '02:00:00:00:00:0b', 'port': 'b'},"
		 "{'mac': '02:00:00:00:00:0c', 'port': 'c'}]}");
	add_static(s, D, 1, "a");
	apply(s, "{" THREE_PORTS ","
		 "'fdb': [{'mac': '02:00:00:00:00:0b', 'port': 'c'}]}");
	assert_string_equal(sim_where(s, 1, A), "");
	assert_string_equal(sim_where(s, 1, B), "c");
	assert_string_equal(sim_where(s, 1, C), "");
	assert_string_equal(sim_where(s, 1, D), "a");
	apply(s, "{" THREE_PORTS "}");
	assert_string_equal(sim_where(s, 1, B), "");
	assert_string_equal(sim_where(s, 1, D), "a");
	/* By hand, until a configuration names it. */
	apply(s, "{" THREE_PORTS ","
		 "'fdb': [{'mac': '02:00:00:00:00:0d', 'port': 'a'}]}");
	apply(s, "{" THREE_PORTS "}");
	assert_string_equal(sim_where(s, 1, D), "");
}

static void what_is_shown_is_what_was_given_and_changes_nothing(void **state_)
{
	struct sim *s = *state_;
	struct config_changes c;
	json_t *shown, *entry, *m;

	apply(s, "{" THREE_PORTS ", 'mirrors': [{'name': 'm', 'to': 'c'}],"
		 "'fdb': [{'mac': '02:00:00:00:00:0a', 'port': 'a'}]}");
	shown = config_show(s->sw, NULL);
	entry = json("{'mac': '02:00:00:00:00:0a', 'vlan': 1, 'port': 'a'}");
	m = json("{'name': 'm', 'to': 'c'}");
	assert_true(json_equal(json_array_get(json_object_get(shown, "fdb"), 0),
			       entry));
	assert_true(json_equal(
		json_array_get(json_object_get(shown, "mirrors"), 0), m));
	json_decref(entry);
	json_decref(m);
	c = apply_json(s, shown);
	assert_int_equal(c.unchanged, 3);
	assert_int_equal(c.attached + c.detached + c.changed, 0);
}

static void profile_of_a_port_that_stays_cant_go(void **state_)
{
	struct sim *s = *state_;

	apply(s, "{'profiles': {'lab': {'type': 'dummy'}}}");
	sim_attach(s, "hand", "profile=lab");
	apply_fails(s, "{" THREE_PORTS "}", "profile-in-use", "profiles.lab");
	sim_port(s, "hand")->origin = SWITCH_ORIGIN_TRANSIENT;
	apply_fails(s, "{}", "profile-in-use", "profiles.lab");
	/* One that goes or is given another needs it no more. */
	sim_port(s, "hand")->origin = SWITCH_ORIGIN_CONFIG;
	apply(s, "{}");
	assert_null(switch_port_find(s->sw, "hand"));
}

static void mirrors_by_hand_count_to_the_bound(void **state_)
{
	struct sim *s = *state_;
	json_t *config = json("{" THREE_PORTS "}"), *list = json_array();

	apply(s, "{" THREE_PORTS "}");
	sim_mirror(s, "hand", "from=a to=c");
	for (int i = 0; i < SNAPSHOT_MIRRORS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%d", i);
		json_array_append_new(
			list, json_pack("{s:s,s:s}", "name", name, "to", "c"));
	}
	json_object_set_new(config, "mirrors", list);
	apply_fails_json(s, json_deep_copy(config), "too-many-mirrors",
			 "mirrors", true);
	json_object_set_new(json_array_get(list, 5), "name",
			    json_string("hand"));
	apply_json(s, config);
	assert_int_equal(s->sw->nmirrors, SNAPSHOT_MIRRORS_MAX);
}

/* ---- Checked before anything is changed ---- */

static void mirrors_are_checked(void **state_)
{
	json_t *config = json_object(), *list = json_array();
	struct error err = { 0 };

	(void)state_;
	check_fails("{'mirrors': [{'name': 'm', 'to': 'a'},"
		    "{'name': 'n', 'to': 'a', 'vlan': 'ten'}]}",
		    "bad-vlan-list", "mirrors[1].vlan");
	check_fails(
		"{'mirrors': [{'name': 'm', 'to': 'a', 'from': ['b','a']}]}",
		"bad-value", "mirrors[0].from");
	check_fails("{'mirrors': [{'name': 'm', 'to': 'a'},"
		    "{'name': 'm', 'to': 'b'}]}",
		    "duplicate-name", "mirrors[1].name");
	check_fails("{'mirrors': [{'name': 'm m', 'to': 'a'}]}", "bad-name",
		    "mirrors[0].name");
	for (int i = 0; i <= SNAPSHOT_MIRRORS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "m%d", i);
		json_array_append_new(
			list, json_pack("{s:s,s:s}", "name", name, "to", "c"));
	}
	json_object_set_new(config, "mirrors", list);
	assert_true(config_check(config, &err) < 0);
	assert_string_equal(err.reason, "too-many-mirrors");
	assert_string_equal(err.path, "mirrors");
	json_decref(config);
}

static void statics_are_checked_against_their_port(void **state_)
{
	(void)state_;
	check_fails("{'ports': [{'name': 'a', 'type': 'dummy',"
		    "'mode': 'access', 'vlan': 10}],"
		    "'fdb': [{'mac': '02:00:00:00:00:0a', 'vlan': 10,"
		    "'port': 'a'}, {'mac': '02:00:00:00:00:0a', 'port': 'a'}]}",
		    "not-in-vlan", "fdb[1].vlan");
	check_fails("{'profiles': {'p': {'type': 'dummy', 'trunk': '5'}},"
		    "'ports': [{'name': 'a', 'profile': 'p'}],"
		    "'fdb': [{'mac': '02:00:00:00:00:0a', 'vlan': 6,"
		    "'port': 'a'}]}",
		    "not-in-vlan", "fdb[0].vlan");
	check_fails("{'fdb': [{'mac': '03:00:00:00:00:0a', 'port': 'a'}]}",
		    "bad-mac", "fdb[0].mac");
	check_fails("{'switch': {'forward-reserved': 'lldp,x'}}", "bad-value",
		    "switch.forward-reserved");
}

/* ---- Saved ---- */

static char dir[] = "/tmp/sim_config.XXXXXX";

static int make_dir(void **state_)
{
	(void)state_;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state_)
{
	(void)state_;
	return rmdir(dir);
}

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static unsigned int i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static void save(struct sim *s, const char *file, bool own)
{
	struct error err = { 0 };

	if (config_save(s->sw, NULL, file, own, broker_config_write, NULL,
			&err) < 0)
		print_error("%s at %s\n", err.message, err.path);
	assert_int_equal(err.err, 0);
}

static void save_fails(struct sim *s, const char *file, const char *reason,
		       const char *path)
{
	struct error err = { 0 };

	assert_true(config_save(s->sw, NULL, file, false, broker_config_write,
				NULL, &err) < 0);
	assert_string_equal(err.reason, reason);
	assert_string_equal(err.path, path);
}

static void load(struct sim *s, const char *file)
{
	struct config_changes c;
	struct error err = { 0 };
	int fd = config_open(file, &err);

	assert_true(fd >= 0);
	if (config_apply_file(s->sw, fd, file, NULL, NULL, NULL, &c, &err) < 0)
		print_error("%s at %s\n", err.message, err.path);
	assert_int_equal(err.err, 0);
}

static void what_was_saved_while_a_guest_ran_loads_without_it(void **state_)
{
	struct sim *s = *state_, *next = sim_new(1);
	const char *file = in_dir("saved");

	apply(s, "{" THREE_PORTS "}");
	sim_attach(s, "guest", "");
	sim_port(s, "guest")->origin = SWITCH_ORIGIN_TRANSIENT;
	sim_attach(s, "away", "");
	sim_mirror(s, "m", "from=a,guest to=c");
	sim_mirror(s, "n", "from=b to=away");
	add_static(s, A, 1, "guest");
	add_static(s, B, 1, "away");
	sim_detach(s, "away");
	save(s, file, true);

	load(next, file);
	assert_null(switch_port_find(next->sw, "guest"));
	assert_string_equal(sim_where(next, 1, A), "");
	sim_attach(next, "guest", "");
	sim_attach(next, "away", "");
	assert_string_equal(sim_where(next, 1, A), "guest");
	assert_string_equal(sim_where(next, 1, B), "away");
	sim_step(next, "b", FRAME(.src = D, .dst = A));
	sim_expect(next, "guest", FRAME(.src = D, .dst = A));
	sim_expect_copy(next, "c", FRAME(.src = D, .dst = A), FRAME_DIR_OUT,
			"guest");
	sim_expect_copy(next, "away", FRAME(.src = D, .dst = A), FRAME_DIR_IN,
			"b");
	sim_free(next);
	unlink(file);
}

static void only_the_daemons_own_file_makes_ports_configured(void **state_)
{
	struct sim *s = *state_;
	const char *file = in_dir("backup");

	sim_attach(s, "a", "");
	sim_attach(s, "b", "");
	sim_mirror(s, "m", "from=a to=b");
	add_static(s, A, 1, "a");
	save(s, file, false);
	apply(s, "{}");
	assert_int_equal(sim_port(s, "a")->origin, SWITCH_ORIGIN_CONTROL);
	assert_non_null(switch_mirror_find(s->sw, "m"));
	assert_string_equal(sim_where(s, 1, A), "a");
	save(s, file, true);
	apply(s, "{}");
	assert_null(switch_port_find(s->sw, "a"));
	assert_null(switch_mirror_find(s->sw, "m"));
	assert_int_equal(json_object_size(s->sw->statics), 0);
	unlink(file);
}

static void saving_keeps_links_and_the_files_mode(void **state_)
{
	struct sim *s = *state_;
	const char *file = in_dir("real"), *link = in_dir("link");
	struct stat st;

	save(s, file, false);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(chmod(file, 0604), 0);
	assert_int_equal(symlink("real", link), 0);
	sim_attach(s, "a", "");
	save(s, link, true);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	sim_detach(s, "a");
	load(s, file);
	assert_non_null(switch_port_find(s->sw, "a"));
	unlink(file);
	save_fails(s, link, "cannot-save", "file"); /* it leads nowhere now */
	unlink(link);
}

static void save_refuses_what_it_cant_read_again(void **state_)
{
	struct sim *s = *state_;
	const char *file = in_dir("none");

	sim_attach(s, "a", "trunk=10,20");
	add_static(s, A, 10, "a");
	save_fails(s, "switchd.conf", "bad-value", "file");
	save_fails(s, "/dev/null", "cannot-save", "file");
	sim_set(s, "a", "trunk=20");
	save_fails(s, file, "cannot-save", "fdb[0].vlan");
	assert_int_not_equal(access(file, F_OK), 0);
}

static void file_is_read_to_its_end(void **state_)
{
	static const char text[] = "{}\n\0{ not JSON";
	const char *file = in_dir("nul");
	FILE *f = fopen(file, "w");
	struct error err = { 0 };

	(void)state_;
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, sizeof(text), f), sizeof(text));
	fclose(f);
	assert_null(config_load(config_open(file, &err), file, &err));
	assert_string_equal(err.reason, "parse-error");
	unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			refused_statics_leave_the_old_ones_with_their_ports),
		SIM_TEST(detached_ports_go_on_where_a_later_one_is_refused),
		SIM_TEST(ports_that_take_over_a_name_come_last),
		SIM_TEST(ports_that_are_gone_come_back_with_all_that_they_had),
		SIM_TEST(changes_origins_and_profiles_are_undone),
		cmocka_unit_test(mirrors_come_back_as_they_were),
		SIM_TEST(statics_by_hand_stay_and_configured_ones_go),
		SIM_TEST(what_is_shown_is_what_was_given_and_changes_nothing),
		SIM_TEST(profile_of_a_port_that_stays_cant_go),
		SIM_TEST(mirrors_by_hand_count_to_the_bound),
		SIM_TEST(mirrors_are_checked),
		SIM_TEST(statics_are_checked_against_their_port),
		SIM_TEST(what_was_saved_while_a_guest_ran_loads_without_it),
		SIM_TEST(only_the_daemons_own_file_makes_ports_configured),
		SIM_TEST(saving_keeps_links_and_the_files_mode),
		SIM_TEST(save_refuses_what_it_cant_read_again),
		cmocka_unit_test(file_is_read_to_its_end),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
