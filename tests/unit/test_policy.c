#include "switchd/policy.h"

#include "ports/listen.h"
#include "ports/vde.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A policy by the text of "allow"; NULL: the defaults. */
static struct policy policy(const char *allow)
{
	json_t *o = allow ? json_loads(allow, 0, NULL) : NULL;
	struct policy p;

	assert_true(!allow || o);
	assert_int_equal(policy_init(&p, o), 0);
	json_decref(o); /* it's a copy */
	return p;
}

static bool allows(const char *allow, const struct port_request *rq,
		   const char *path)
{
	struct policy p = policy(allow);
	struct error err = { 0 };
	int r = policy_check(&p, rq, &err);

	policy_fini(&p);
	if (r == 0)
		return true;
	assert_int_equal(r, -EPERM);
	assert_string_equal(err.reason, "not-allowed");
	assert_string_equal(err.path, path);
	return false;
}

static bool tap(const char *allow, const char *ifname)
{
	struct port_request rq = { .type = "tap" };

	snprintf(rq.tap.ifname, sizeof(rq.tap.ifname), "%s", ifname);
	return allows(allow, &rq, "ifname");
}

static bool netdev(const char *allow, const char *ifname, bool force)
{
	struct port_request rq = { .type = "netdev",
				   .netdev = { .force = force } };

	snprintf(rq.netdev.ifname, sizeof(rq.netdev.ifname), "%s", ifname);
	return allows(allow, &rq, "ifname");
}

static bool netns(const char *allow, const char *name)
{
	struct port_request rq = { .type = "tap" };

	snprintf(rq.tap.netns, sizeof(rq.tap.netns), "%s", name);
	return allows(allow, &rq, "netns");
}

static bool address(const char *allow, const char *text)
{
	struct port_request rq = { .type = "tap" };

	snprintf(rq.tap.address, sizeof(rq.tap.address), "%s", text);
	return allows(allow, &rq, "address");
}

static bool capture(const char *allow, const char *file)
{
	struct port_request rq = { .type = "pcap" };

	snprintf(rq.pcap.file, sizeof(rq.pcap.file), "%s", file);
	return allows(allow, &rq, "file");
}

static bool vhost(const char *allow, const char *path)
{
	struct port_request rq = { .type = "vhost-user" };

	snprintf(rq.vhost_user.path, sizeof(rq.vhost_user.path), "%s", path);
	return allows(allow, &rq, "path");
}

static bool stream(const char *allow, const char *connect)
{
	struct port_request rq = { .type = "stream" };

	snprintf(rq.stream.connect, sizeof(rq.stream.connect), "%s", connect);
	return allows(allow, &rq, "connect");
}

static bool listens(const char *allow, enum listen_kind kind,
		    const char *address)
{
	struct port_request rq = { .type = "listen",
				   .listen = { .kind = kind } };

	snprintf(rq.listen.address, sizeof(rq.listen.address), "%s", address);
	return allows(allow, &rq, "listen");
}

/* The port of a VDE client, whose socket is made beside the listener's. */
static bool vde(const char *allow, const char *folder)
{
	struct port_request rq = { .type = "vde", .given = true };

	snprintf(rq.vde.folder, sizeof(rq.vde.folder), "%s", folder);
	return allows(allow, &rq, "listen");
}

static bool file(const char *allow, const char *name)
{
	struct policy p = policy(allow);
	struct error err = { 0 };
	int r = policy_check_file(&p, name, &err);

	policy_fini(&p);
	assert_true(r == 0 || r == -EPERM);
	return r == 0;
}

static void tap_names_are_matched(void **state)
{
	(void)state;
	assert_true(tap(NULL, ""));
	assert_true(tap(NULL, "guest%d"));
	assert_false(tap(NULL, "a/b"));
	assert_false(tap("{\"tap\":[]}", "tap0"));
	assert_true(tap("{\"tap\":[\"vm-*\",\"x?\"]}", "vm-1"));
	assert_true(tap("{\"tap\":[\"vm-*\",\"x?\"]}", "x1"));
	assert_false(tap("{\"tap\":[\"vm-*\",\"x?\"]}", "x12"));
	assert_false(tap("{\"tap\":[\"vm-*\"]}", "avm-1"));
	assert_false(tap("{\"tap\":[\"vm-*\"]}", "%s%s%n"));
	/* The kernel will call it that. */
	assert_false(tap("{\"tap\":[\"vm-*\"]}", ""));
	assert_true(tap("{\"tap\":[\"tap*\"]}", ""));
}

static void devices_of_the_host_are_matched_twice_for_force(void **state)
{
	static const char lists[] =
		"{\"netdev\":[\"eth*\"],\"force\":[\"eth1\",\"lo\"]}";

	(void)state;
	assert_true(netdev(NULL, "eth0", false));
	assert_false(netdev(NULL, "eth0", true));
	assert_false(netdev(NULL, "../eth0", false));
	assert_true(netdev(lists, "eth0", false));
	assert_false(netdev(lists, "eth0", true));
	assert_true(netdev(lists, "eth1", true));
	assert_false(netdev(lists, "lo", true));
	assert_false(netdev("{\"netdev\":[]}", "eth0", false));
}

static void namespaces_are_names_unless_root_says_otherwise(void **state)
{
	static const char paths[] = "{\"netns\":[\"/run/ns/*\"]}";

	(void)state;
	assert_true(netns(NULL, "blue"));
	assert_false(netns(NULL, "/proc/1/ns/net"));
	assert_false(netns(NULL, "../netns/blue"));
	assert_false(netns(NULL, "./blue"));
	assert_false(netns(NULL, ".."));
	assert_false(netns(NULL, "."));
	assert_true(netns(paths, "/run/ns/blue"));
	assert_false(netns(paths, "/run/ns/a/blue"));
	assert_false(netns(paths, "/run/ns/.."));
	assert_false(netns("{\"netns\":[\"/run/*/net\"]}", "/run/../net"));
	assert_false(netns("{\"netns\":[]}", "blue"));
}

static void addresses_are_within_networks_that_are_allowed(void **state)
{
	static const char list[] =
		"{\"addresses\":[\"10.1.2.0/23\",\"2001:db8:1::/48\"]}";

	(void)state;
	assert_true(address(NULL, "10.0.0.1/8"));
	assert_true(address(NULL, "10.0.0.1"));
	assert_true(address(NULL, "172.31.255.1/30"));
	assert_true(address(NULL, "fd00::1/64"));
	assert_true(address(NULL, "fe80::1/10"));
	assert_false(address(NULL, "10.0.0.1/1"));
	assert_false(address(NULL, "10.0.0.1/7"));
	assert_false(address(NULL, "10.0.0.1/0"));
	assert_false(address(NULL, "8.8.8.8/32"));
	assert_false(address(NULL, "172.32.0.1/24"));
	assert_false(address(NULL, "2000::1/64"));
	assert_false(address(NULL, "::ffff:10.0.0.1/128"));
	assert_false(address(NULL, "fd00::1/6"));
	assert_true(address(list, "10.1.3.255/24"));
	assert_false(address(list, "10.1.4.0/24"));
	assert_false(address(list, "10.1.2.1/22"));
	assert_true(address(list, "2001:db8:1:ffff::1/64"));
	assert_false(address(list, "2001:db8:2::1/64"));
	assert_false(address("{\"addresses\":[]}", "10.0.0.1/8"));
}

static void device_that_is_handed_over_isnt_persistent(void **state)
{
	struct port_request rq = { .type = "tap", .tap = { .handover = true } };

	(void)state;
	assert_true(allows(NULL, &rq, ""));
	rq.tap.persist = true;
	assert_false(allows(NULL, &rq, "persist"));
	rq.tap.handover = false;
	assert_true(allows(NULL, &rq, ""));
}

static void files_are_below_folders_that_are_allowed(void **state)
{
	(void)state;
	assert_true(file(NULL, "/tmp/x"));
	assert_true(file(NULL, "/tmp/a/b/x"));
	assert_true(file(NULL, "/tmp/..x"));
	assert_true(file(NULL, "/tmp/x..y/.z"));
	assert_true(file(NULL, "/var/log/switchd/x"));
	assert_true(file(NULL, "/dev/null"));
	assert_false(file(NULL, "/tmp/../etc/x"));
	assert_false(file(NULL, "/tmp/a/.."));
	assert_false(file(NULL, "/tmp/./x"));
	assert_false(file(NULL, "/tmp/."));
	assert_false(file(NULL, "//tmp/x"));
	assert_false(file(NULL, "/tmp"));
	assert_false(file(NULL, "tmp/x"));
	assert_false(file(NULL, ""));
	assert_false(file(NULL, "/etc/cron.d/x"));
	assert_false(file(NULL, "/var/tmpx/x"));
	assert_false(file(NULL, "/var/log/switchd"));
	assert_false(file(NULL, "/dev/nullx"));
	assert_false(file(NULL, "/dev/watchdog"));
	assert_false(file("{\"files\":[]}", "/tmp/x"));
	assert_true(file("{\"files\":[\"/srv/*.pcap\"]}", "/srv/a/b.pcap"));
	assert_false(file("{\"files\":[\"/srv/*.pcap\"]}", "/srv/b.conf"));
	assert_false(file("{\"files\":[\"*\"]}", "/srv/../etc/x"));
	/* One whose folder isn't there is acquire's to refuse. */
	assert_true(capture(NULL, "/tmp/no such folder/x"));
}

/* Who connects is root to whoever listens there: not where users' programs do
 * that obey root, nor where they expect one of their own to listen. */
static void sockets_are_where_nobody_elses_are(void **state)
{
	(void)state;
	assert_true(vhost(NULL, "/run/switchd/vm1.sock"));
	assert_true(vhost(NULL, "/run/switchd/a/b"));
	assert_true(vhost(NULL, "/run/vhost-user/vm1"));
	assert_true(vhost(NULL, "/tmp/vhost1.sock"));
	assert_true(vhost(NULL, "/tmp/vhost.x/vm1"));
	assert_true(vhost(NULL, "/var/tmp/vhost-vm1"));
	assert_false(vhost(NULL, "/tmp/ssh-XYZ/agent.1"));
	assert_false(vhost(NULL, "/tmp/tmux-1000/default"));
	assert_false(vhost(NULL, "/tmp/mysql.sock"));
	assert_false(vhost(NULL, "/tmp/x/vhost1"));
	assert_false(vhost(NULL, "/run/docker.sock"));
	assert_false(vhost(NULL, "/run/user/1000/podman/podman.sock"));
	assert_false(vhost(NULL, "/run/dbus/system_bus_socket"));
	assert_false(vhost(NULL, "/run/switchd/../docker.sock"));
	assert_false(vhost(NULL, "/run/switchd/.."));
	assert_false(vhost(NULL, "/run/switchd"));
	assert_false(vhost(NULL, "/tmp/vhost/./x"));
	assert_false(vhost(NULL, "/tmp/vhost/../x"));
	assert_false(vhost(NULL, "run/switchd/vm1"));
	assert_false(vhost(NULL, "vm1"));
	assert_false(vhost(NULL, ""));
	assert_false(vhost("{\"sockets\":[]}", "/run/switchd/vm1"));
	assert_true(vhost("{\"sockets\":[\"/srv/*.sock\"]}", "/srv/a/b.sock"));
	assert_false(vhost("{\"sockets\":[\"/srv/*.sock\"]}", "/srv/a/b"));
	/* Captures are another matter. */
	assert_false(vhost("{\"files\":[\"*\"]}", "/srv/x"));
	assert_false(file("{\"sockets\":[\"*\"]}", "/srv/x"));
}

static bool udp(const char *allow, const char *local)
{
	struct port_request rq = { .type = "udp" };

	snprintf(rq.udp.local, sizeof(rq.udp.local), "%s", local);
	return allows(allow, &rq, "local");
}

static void low_udp_ports_are_allowed_by_their_number_only(void **state)
{
	static const char list[] = "{\"udp\":[\"192.0.2.*:4*\",\"*:500\","
				   "\"[2001:db8::*]:*\"]}";

	(void)state;
	assert_true(udp(NULL, "127.0.0.1:1024"));
	assert_true(udp(NULL, "[::]:65535"));
	assert_false(udp(NULL, "127.0.0.1:1023"));
	assert_false(udp(NULL, "[::1]:53"));
	assert_true(udp(list, "192.0.2.7:4444"));
	assert_false(udp(list, "192.0.2.7:443"));
	assert_false(udp(list, "192.0.2.7:5444"));
	assert_true(udp(list, "192.0.3.7:500"));
	assert_true(udp(list, "[::1]:500"));
	assert_false(udp(list, "192.0.3.7:1500"));
	assert_true(udp(list, "[2001:db8::1]:4444"));
	/* As it is, not as it is written. */
	assert_true(udp(list, "[2001:0DB8:0::1]:04444"));
	assert_false(udp(list, "[2001:db9::1]:4444"));
	assert_false(udp("{\"udp\":[]}", "127.0.0.1:4444"));
}

static bool dgram(const char *allow, const char *local, const char *remote,
		  const char *param)
{
	struct port_request rq = { .type = "dgram" };

	snprintf(rq.dgram.local, sizeof(rq.dgram.local), "%s", local);
	snprintf(rq.dgram.remote, sizeof(rq.dgram.remote), "%s", remote);
	return allows(allow, &rq, param);
}

static void both_sockets_of_a_pair_are_where_they_may_be(void **state)
{
	(void)state;
	assert_true(dgram(NULL, "/run/switchd/a", "/tmp/vhost-b", ""));
	assert_false(dgram(NULL, "/run/a", "/run/switchd/b", "local"));
	assert_false(dgram(NULL, "/run/switchd/a", "/run/b", "remote"));
	assert_false(
		dgram(NULL, "/run/switchd/a", "/run/switchd/../b", "remote"));
}

static void streams_go_to_this_host_unless_root_says_otherwise(void **state)
{
	struct port_request rq = { .type = "stream", .given = true };
	const char *lan = "{\"connect\":[\"192.0.2.*:*\",\"[2001:db8::*]:*\","
			  "\"198.51.100.7:53\"]}";

	(void)state;
	assert_true(stream(NULL, "127.0.0.1:4444"));
	assert_true(stream(NULL, "127.1.2.3:1024"));
	assert_true(stream(NULL, "[::1]:4444"));
	assert_true(stream(NULL, "[0:0:0:0:0:0:0:1]:4444"));
	assert_false(stream(NULL, "127.0.0.1:1023")); /* a service's */
	assert_false(stream(NULL, "192.168.0.1:4444"));
	assert_false(stream(NULL, "169.254.169.254:8080"));
	assert_false(stream(NULL, "[::2]:4444"));
	assert_false(stream(NULL, "[::ffff:127.0.0.1]:4444"));
	assert_true(stream(lan, "192.0.2.1:4444"));
	assert_false(stream(lan, "192.0.3.1:4444"));
	assert_false(stream(lan, "192.0.2.1:22"));
	assert_false(stream(lan, "127.0.0.1:4444"));
	assert_true(stream(lan, "[2001:db8:0::1]:4444"));
	assert_false(stream(lan, "[2001:db9::1]:4444"));
	assert_true(stream(lan, "198.51.100.7:53"));
	assert_false(stream(lan, "198.51.100.7:54"));
	/* Sockets are a list of their own. */
	assert_true(stream(NULL, "/run/switchd/s"));
	assert_false(stream(NULL, "/tmp/s"));
	assert_false(stream("{\"connect\":[\"*\"]}", "/tmp/s"));
	assert_false(stream("{\"sockets\":[]}", "/run/switchd/s"));
	/* What is there already leads nowhere. */
	assert_true(allows("{\"sockets\":[],\"connect\":[]}", &rq, "connect"));
}

static void listeners_are_this_hosts_unless_root_says_otherwise(void **state)
{
	const enum listen_kind stream = LISTEN_STREAM;
	const char *lan = "{\"listen\":[\"192.0.2.1:4*\",\"[2001:db8::*]:*\","
			  "\"*:445\"]}";

	(void)state;
	assert_true(listens(NULL, stream, "127.0.0.1:4444"));
	assert_true(listens(NULL, stream, "127.1.2.3:1024"));
	assert_true(listens(NULL, stream, "[::1]:4444"));
	assert_true(listens(NULL, stream, "[0:0:0:0:0:0:0:1]:4444"));
	assert_false(listens(NULL, stream, "127.0.0.1:1023"));
	assert_false(listens(NULL, stream, "0.0.0.0:4444"));
	assert_false(listens(NULL, stream, "[::]:4444"));
	assert_false(listens(NULL, stream, "192.0.2.1:4444"));
	assert_false(listens(NULL, stream, "[::ffff:127.0.0.1]:4444"));
	assert_true(listens(lan, stream, "192.0.2.1:4444"));
	assert_false(listens(lan, stream, "192.0.2.1:443"));
	assert_false(listens(lan, stream, "192.0.2.2:4444"));
	assert_true(listens(lan, stream, "192.0.2.2:445"));
	assert_true(listens(lan, stream, "[2001:0db8:0::1]:04444"));
	assert_false(listens(lan, stream, "[2001:db9::1]:4444"));
	assert_false(listens(lan, stream, "127.0.0.1:4444"));
	assert_false(listens("{\"listen\":[]}", stream, "127.0.0.1:4444"));
	/* Each list is for its own. */
	assert_false(listens("{\"connect\":[\"*\"],\"udp\":[\"*\"]}", stream,
			     "192.0.2.1:4444"));
	assert_true(listens("{\"listen\":[]}", stream, "/run/switchd/s"));
}

/* Of all kinds that have a path. */
static void listeners_sockets_are_where_they_may_be(void **state)
{
	static const enum listen_kind kinds[] = { LISTEN_STREAM,
						  LISTEN_SEQPACKET, LISTEN_VDE,
						  LISTEN_UML };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		const enum listen_kind kind = kinds[i];

		assert_true(listens(NULL, kind, "/run/switchd/s"));
		assert_true(listens(NULL, kind, "/run/vhost-user/a/b"));
		assert_true(listens(NULL, kind, "/tmp/vhost-s"));
		assert_false(listens(NULL, kind, "/tmp/s"));
		assert_false(listens(NULL, kind, "/run/s"));
		assert_false(listens(NULL, kind, "/run/switchd"));
		assert_false(listens(NULL, kind, "/run/switchd/../s"));
		assert_false(listens(NULL, kind, "/run/switchd/./s"));
		assert_false(listens(NULL, kind, "/run/switchd/.."));
		assert_false(listens(NULL, kind, "/run/switchd/."));
		assert_false(listens(NULL, kind, "/run/switchd/../"));
		assert_false(listens(NULL, kind, "//run/switchd/s"));
		assert_false(
			listens("{\"sockets\":[]}", kind, "/run/switchd/s"));
		assert_false(listens("{\"listen\":[\"*\"],\"files\":[\"*\"]}",
				     kind, "/tmp/s"));
	}
}

/* Its folder may be made, so the folder's name counts as well as what is made
 * in it. */
static void vde_folder_is_allowed_with_its_socket(void **state)
{
	static const char sockets[] = "{\"sockets\":[\"/srv/v\",\"/srv/w/*\","
				      "\"/srv/x\",\"/srv/x/ctl\"]}";

	(void)state;
	assert_false(listens(sockets, LISTEN_VDE, "/srv/v"));
	assert_false(listens(sockets, LISTEN_VDE, "/srv/w"));
	assert_true(listens(sockets, LISTEN_VDE, "/srv/x"));
	assert_true(listens(sockets, LISTEN_VDE, "/srv/w/v"));
	assert_true(listens(sockets, LISTEN_STREAM, "/srv/v"));
	/* A client's port makes something in there, nothing beside it. */
	assert_true(vde(sockets, "/srv/x"));
	assert_true(vde(sockets, "/srv/w"));
	assert_false(vde(sockets, "/srv/v"));
	assert_false(vde(NULL, "/srv/x"));
	assert_true(vde(NULL, "/run/switchd/v"));
	assert_false(vde(NULL, "/run/switchd/v/../../x"));
	assert_false(vde(NULL, "/run/switchd/.."));
	assert_false(vde(NULL, ""));
	assert_false(vde("{\"sockets\":[\"*\"]}", "run/switchd/v"));
}

/* A path that names nothing is acquire's to refuse, where the list has what is
 * before it, and no way around the list. */
static void path_that_is_no_name_gets_nowhere_else(void **state)
{
	(void)state;
	assert_true(vhost(NULL, "/run/switchd/"));
	assert_true(stream(NULL, "/run/switchd/"));
	assert_true(listens(NULL, LISTEN_STREAM, "/run/switchd/"));
	assert_false(vhost(NULL, "/"));
	assert_false(stream(NULL, "/"));
	assert_false(listens(NULL, LISTEN_STREAM, "/"));
	assert_false(listens(NULL, LISTEN_STREAM, "/run/"));
	assert_false(dgram(NULL, "/", "/run/switchd/b", "local"));
	assert_false(dgram(NULL, "/run/switchd/a", "", "remote"));
	assert_false(dgram(NULL, "", "/run/switchd/b", "local"));
	/* No path is no address either, of whatever list. */
	assert_true(stream("{\"connect\":[]}", ""));
	assert_true(listens("{\"listen\":[]}", LISTEN_STREAM, ""));
	assert_true(udp("{\"udp\":[]}", ""));
}

struct links {
	char dir[64], allow[160], in[96], out[96];
};

/* A folder that is allowed, with links that stay in it and lead out. */
static struct links links(void)
{
	struct links l = { .dir = "/tmp/test_policy.XXXXXX" };
	char inner[96];

	assert_non_null(mkdtemp(l.dir));
	snprintf(l.allow, sizeof(l.allow),
		 "{\"files\":[\"%s/*\"],\"sockets\":[\"%s/*\"]}", l.dir, l.dir);
	snprintf(inner, sizeof(inner), "%s/inner", l.dir);
	snprintf(l.in, sizeof(l.in), "%s/in", l.dir);
	snprintf(l.out, sizeof(l.out), "%s/out", l.dir);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(symlink("inner", l.in), 0);
	assert_int_equal(symlink("/", l.out), 0);
	return l;
}

static void links_end(struct links *l)
{
	char inner[96];

	snprintf(inner, sizeof(inner), "%s/inner", l->dir);
	unlink(l->in);
	unlink(l->out);
	rmdir(inner);
	rmdir(l->dir);
}

static void link_leads_nobody_out_of_a_folder(void **state)
{
	struct links l = links();
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/x", l.in);
	assert_true(file(l.allow, name));
	assert_true(capture(l.allow, name));
	assert_true(vhost(l.allow, name));
	assert_true(stream(l.allow, name));
	assert_true(dgram(l.allow, name, name, ""));
	assert_true(listens(l.allow, LISTEN_STREAM, name));
	assert_true(listens(l.allow, LISTEN_VDE, name));
	snprintf(name, sizeof(name), "%s/x", l.out);
	assert_true(file(l.allow, name));
	assert_false(capture(l.allow, name));
	assert_false(vhost(l.allow, name));
	assert_false(stream(l.allow, name));
	assert_false(dgram(l.allow, name, name, "local"));
	assert_false(listens(l.allow, LISTEN_STREAM, name));
	assert_false(listens(l.allow, LISTEN_VDE, name));
	assert_false(vde(l.allow, l.out));
	assert_true(vde(l.allow, l.in));
	snprintf(name, sizeof(name), "%s/etc/x", l.out);
	assert_false(capture(l.allow, name));
	links_end(&l);
}

static bool grants(const char *allow, const struct port_request *rq,
		   unsigned int fd, const char *folder)
{
	struct port_grant g = { .nfds = fd + 1, .fd = { -1, -1, -1 } };
	struct policy p = policy(allow);
	struct error err = { 0 };
	int r;

	g.fd[fd] = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(g.fd[fd] >= 0);
	r = policy_check_grant(&p, rq, &g, &err);
	assert_true(r == 0 || r == -EPERM);
	close(g.fd[fd]);
	policy_fini(&p);
	return r == 0;
}

/* Whatever the folder was called when it was opened. */
static void folder_counts_by_what_it_is(void **state)
{
	struct port_request rq[5] = { { .type = "pcap" },
				      { .type = "vhost-user" },
				      { .type = "stream" },
				      { .type = "listen" },
				      { .type = "vde" } };
	const unsigned int fd[] = { 1, 2, 2, LISTEN_GRANT_FOLDER,
				    VDE_GRANT_FOLDER };
	struct links l = links();

	(void)state;
	snprintf(rq[0].pcap.file, PORT_PATH_MAX, "%s/x", l.in);
	snprintf(rq[1].vhost_user.path, PORT_PATH_MAX, "%s/x", l.in);
	snprintf(rq[2].stream.connect, PORT_PATH_MAX, "%s/x", l.in);
	snprintf(rq[3].listen.address, PORT_PATH_MAX, "%s/x", l.in);
	snprintf(rq[4].vde.folder, PORT_PATH_MAX, "%s", l.in);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(grants(l.allow, &rq[i], fd[i], l.in));
		assert_true(grants(l.allow, &rq[i], fd[i], l.dir));
		assert_false(grants(l.allow, &rq[i], fd[i], l.out));
		assert_false(grants(l.allow, &rq[i], fd[i], "/etc"));
	}
	links_end(&l);
}

static void what_comes_without_its_folder_is_refused(void **state)
{
	struct port_request rq = { .type = "pcap",
				   .pcap = { .file = "/tmp/x" } };
	struct port_grant g = { .nfds = 1 };
	struct policy p = policy(NULL);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), -EPERM);
	strcpy(rq.type, "vhost-user");
	strcpy(rq.vhost_user.path, "/tmp/vhost1");
	g.nfds = 2;
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), -EPERM);
	strcpy(rq.type, "stream");
	strcpy(rq.stream.connect, "/tmp/vhost1");
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), -EPERM);
	rq.given = true;
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), 0);
	rq.given = false;
	strcpy(rq.stream.connect, "127.0.0.1:4444");
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), 0);
	strcpy(rq.type, "tap");
	assert_int_equal(policy_check_grant(&p, &rq, &g, &err), 0);
	policy_fini(&p);
}

static void connecting_again_is_asked_about_again(void **state)
{
	struct port_request rq = { .type = "vhost-user",
				   .vhost_user = { .path = "/tmp/vhost1" } };
	struct policy all = policy(NULL);
	struct policy none = policy("{\"sockets\":[],\"files\":[]}");
	struct error err = { 0 };

	(void)state;
	assert_int_equal(policy_check_renew(&all, &rq, &err), 0);
	assert_int_equal(policy_check_renew(&none, &rq, &err), -EPERM);
	assert_string_equal(err.path, "path");
	/* A capture that rotates stays in its folder. */
	rq = (struct port_request){ .type = "pcap",
				    .pcap = { .file = "/tmp/x" } };
	assert_int_equal(policy_check_renew(&none, &rq, &err), 0);
	policy_fini(&all);
	policy_fini(&none);
}

static void network_that_is_none_is_told_by_its_place(void **state)
{
	json_t *o = json_loads("{\"addresses\":[\"10.0.0.0/8\",\"fd00::/8\","
			       "\"10.0.0.0/33\"]}",
			       0, NULL);
	struct error err = { 0 };

	(void)state;
	assert_int_equal(policy_check_config(NULL, &err), 0);
	assert_int_equal(policy_check_config(o, &err), -EINVAL);
	assert_string_equal(err.reason, "bad-value");
	assert_string_equal(err.path, "addresses[2]");
	json_array_remove(json_object_get(o, "addresses"), 2);
	assert_int_equal(policy_check_config(o, &err), 0);
	json_decref(o);
}

static void list_with_anything_but_patterns_is_told(void **state)
{
	json_t *o = json_loads("{\"tap\":[\"a\",5]}", 0, NULL);
	struct error err = { 0 };

	(void)state;
	assert_true(rpc_params_check(policy_params, o, &err) < 0);
	assert_string_equal(err.path, "tap[1]");
	json_decref(o);
	o = json_loads("{\"taps\":[]}", 0, NULL);
	assert_true(rpc_params_check(policy_params, o, &err) < 0);
	assert_string_equal(err.path, "taps");
	json_decref(o);
}

static void nat_is_allowed_unless_root_says_otherwise(void **state)
{
	const struct port_request rq = { .type = "slirp" };
	struct policy p = policy("{\"slirp\":false}");
	struct error err = { 0 };

	(void)state;
	assert_true(allows(NULL, &rq, "type"));
	assert_true(allows("{\"slirp\":true}", &rq, "type"));
	assert_false(allows("{\"slirp\":false}", &rq, "type"));
	/* Nor is another process started for one that there is. */
	assert_int_equal(policy_check_renew(&p, &rq, &err), -EPERM);
	policy_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tap_names_are_matched),
		cmocka_unit_test(
			devices_of_the_host_are_matched_twice_for_force),
		cmocka_unit_test(
			namespaces_are_names_unless_root_says_otherwise),
		cmocka_unit_test(
			addresses_are_within_networks_that_are_allowed),
		cmocka_unit_test(device_that_is_handed_over_isnt_persistent),
		cmocka_unit_test(files_are_below_folders_that_are_allowed),
		cmocka_unit_test(sockets_are_where_nobody_elses_are),
		cmocka_unit_test(
			low_udp_ports_are_allowed_by_their_number_only),
		cmocka_unit_test(both_sockets_of_a_pair_are_where_they_may_be),
		cmocka_unit_test(
			streams_go_to_this_host_unless_root_says_otherwise),
		cmocka_unit_test(
			listeners_are_this_hosts_unless_root_says_otherwise),
		cmocka_unit_test(listeners_sockets_are_where_they_may_be),
		cmocka_unit_test(vde_folder_is_allowed_with_its_socket),
		cmocka_unit_test(path_that_is_no_name_gets_nowhere_else),
		cmocka_unit_test(connecting_again_is_asked_about_again),
		cmocka_unit_test(link_leads_nobody_out_of_a_folder),
		cmocka_unit_test(folder_counts_by_what_it_is),
		cmocka_unit_test(what_comes_without_its_folder_is_refused),
		cmocka_unit_test(network_that_is_none_is_told_by_its_place),
		cmocka_unit_test(list_with_anything_but_patterns_is_told),
		cmocka_unit_test(nat_is_allowed_unless_root_says_otherwise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
