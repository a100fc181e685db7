/*
 * The table of the control socket's methods. rpc.discover, the CLI's help and
 * conversion, the completions and the man page are made from it.
 */
#include "switchd/methods.h"

#include "switchd/listener.h"

#define PORTS "port.list:ports.name"

#define PAGE_PARAMS                                                       \
	PARAM_INT("limit", 1, PAGE_MAX, "at most so many in one answer"), \
		PARAM_STRING("after", 64,                                 \
			     "go on where `next` of the last "            \
			     "answer said")

static const struct rpc_param name_of_port[] = {
	PARAM_NAME("name", true, PORTS, "name of the port"),
	{ 0 },
};

static const struct rpc_param port_attach[] = {
	PARAM_NAME("name", true, NULL, "name of the new port"),
	PARAM_BOOL("transient", "comes and goes with a guest: never saved"),
	PORTCONF_PARAMS,
	{ 0 },
};

static const struct rpc_param port_set[] = {
	PARAM_NAME("name", true, PORTS, "name of the port"),
	PORTCONF_PARAMS,
	{ 0 },
};

static const struct rpc_param page[] = {
	PAGE_PARAMS,
	{ 0 },
};

static const struct rpc_param fdb_list[] = {
	PARAM_NAME("port", false, PORTS, "only those behind this port"),
	PARAM_INT("vlan", 1, VLAN_ID_MAX, "only those of this VLAN"),
	PAGE_PARAMS,
	{ 0 },
};

static const struct rpc_param fdb_key_params[] = {
	{ .name = "mac",
	  .type = RPC_STRING,
	  .required = true,
	  .max_len = MAC_STRLEN - 1,
	  .completion = "fdb.list:entries.mac",
	  .summary = "address" },
	PARAM_INT("vlan", 1, VLAN_ID_MAX, "its VLAN; 1 where not given"),
	{ 0 },
};

static const struct rpc_param fdb_flush_params[] = {
	PARAM_NAME("port", false, PORTS, "only those behind this port"),
	PARAM_INT("vlan", 1, VLAN_ID_MAX, "only those of this VLAN"),
	{ 0 },
};

static const struct rpc_param vlan_list[] = {
	PARAM_INT("vlan", 1, VLAN_ID_MAX, "only this one, with its ports"),
	PAGE_PARAMS,
	{ 0 },
};

static const struct rpc_param name_of_profile[] = {
	PARAM_NAME("name", true, "profile.list:profiles.name",
		   "name of the profile"),
	{ 0 },
};

static const struct rpc_param name_of_listener[] = {
	PARAM_NAME("name", true, "listener.list:listeners.name",
		   "name of the listener"),
	{ 0 },
};

static const struct rpc_param name_of_mirror[] = {
	PARAM_NAME("name", true, "mirror.list:mirrors.name",
		   "name of the mirror"),
	{ 0 },
};

static const struct rpc_param stats_show[] = {
	PARAM_NAME("port", false, PORTS, "one port instead of all"),
	{ 0 },
};

static const struct rpc_param event_subscribe[] = {
	{ .name = "topics",
	  .type = RPC_STRINGS,
	  .max = 64,
	  .max_len = 64,
	  .summary = "such as port, fdb.moved; all where not given" },
	{ 0 },
};

static const struct rpc_param config_apply_params[] = {
	{ .name = "config",
	  .type = RPC_OBJECT,
	  .summary = "the whole wanted configuration; where not given, the "
		     "file is read again" },
	{ 0 },
};

static const struct rpc_param config_save_params[] = {
	PARAM_STRING("file", PORT_PATH_MAX - 1,
		     "where to; the file that was read where not given"),
	{ 0 },
};

/* Who may call it, see access.h: roles.h's words. */
#define VIEWER	 "viewer"
#define OPERATOR "operator"
#define ADMIN	 "admin"

const struct rpc_method daemon_methods[] = {
	{ "switch.show", "the switch as a whole", NULL, NULL,
	  "version, uptime, settings, number of ports", .access = VIEWER,
	  .handler = method_switch_show },
	{ "switch.set", "change settings of the switch", NULL,
	  config_switch_params, "the settings", .access = ADMIN,
	  .handler = method_switch_set },
	{ "switch.upgrade", "have the installed program take over", NULL, NULL,
	  "the versions, and for how long nothing was forwarded",
	  .access = ADMIN, .handler = method_switch_upgrade },
	{ "port.attach", "attach a port", "name", port_attach, "the port",
	  .access = OPERATOR, .handler = method_port_attach },
	{ "port.detach", "detach a port", "name", name_of_port, "nothing",
	  .access = OPERATOR, .handler = method_port_detach },
	{ "port.set", "change a port; what isn't given stays, KEY= takes back",
	  "name", port_set, "the port", .nulls = true, .access = OPERATOR,
	  .handler = method_port_set },
	{ "port.list", "the ports and their traffic", NULL, page,
	  "an array `ports`, `next` for the next page", .access = VIEWER,
	  .handler = method_port_list },
	{ "port.show", "everything about a port", "name", name_of_port,
	  "parameters, device, counters, drop reasons", .access = VIEWER,
	  .handler = method_port_show },
	{ "listener.add", "listen for guests, each a port of its own", "name",
	  listener_params, "the listener", .access = ADMIN,
	  .handler = method_listener_add },
	{ "listener.remove", "listen no more; its ports are detached", "name",
	  name_of_listener, "nothing", .access = ADMIN,
	  .handler = method_listener_remove },
	{ "listener.list", "the listeners", NULL, NULL, "an array `listeners`",
	  .access = VIEWER, .handler = method_listener_list },
	{ "listener.show", "everything about a listener", "name",
	  name_of_listener, "parameters, ports, who was refused",
	  .access = VIEWER, .handler = method_listener_show },
	{ "profile.list", "the profiles", NULL, NULL, "an array `profiles`",
	  .access = VIEWER, .handler = method_profile_list },
	{ "profile.show", "a profile's parameters", "name", name_of_profile,
	  "the parameters", .access = VIEWER, .handler = method_profile_show },
	{ "fdb.list", "which address is behind which port", NULL, fdb_list,
	  "an array `entries`, `next` for the next page", .access = VIEWER,
	  .handler = method_fdb_list },
	{ "fdb.add", "tie an address to a port", "mac", config_fdb_params,
	  "nothing", .access = OPERATOR, .handler = method_fdb_add },
	{ "fdb.remove", "forget an address", "mac", fdb_key_params, "nothing",
	  .access = OPERATOR, .handler = method_fdb_remove },
	{ "fdb.flush", "forget learned addresses", NULL, fdb_flush_params,
	  "how many", .access = OPERATOR, .handler = method_fdb_flush },
	{ "vlan.list", "the VLANs in use; one with its ports", NULL, vlan_list,
	  "an array `vlans`, `next` for the next page", .access = VIEWER,
	  .handler = method_vlan_list },
	{ "mirror.add", "copy traffic to a port", "name", config_mirror_params,
	  "nothing", .access = ADMIN, .handler = method_mirror_add },
	{ "mirror.remove", "end a mirror", "name", name_of_mirror, "nothing",
	  .access = ADMIN, .handler = method_mirror_remove },
	{ "mirror.list", "the mirrors", NULL, NULL, "an array `mirrors`",
	  .access = VIEWER, .handler = method_mirror_list },
	{ "stats.show", "counters with every drop reason", NULL, stats_show,
	  "rx, tx, drops, FDB", .access = VIEWER,
	  .handler = method_stats_show },
	{ "worker.list", "the datapath threads", NULL, NULL,
	  "an array `workers`", .access = VIEWER,
	  .handler = method_worker_list },
	{ "event.subscribe", "be told what happens", NULL, event_subscribe,
	  "nothing; notifications `event` follow", .access = VIEWER,
	  .handler = method_event_subscribe },
	{ "config.show", "the running configuration", NULL, NULL,
	  "a configuration as in switchd.conf(5)", .access = ADMIN,
	  .handler = method_config_show },
	{ "config.apply", "bring the switch to a configuration", NULL,
	  config_apply_params, "what was attached, detached, changed",
	  .access = ADMIN, .handler = method_config_apply },
	{ "config.save", "write the running configuration to the file", NULL,
	  config_save_params, "the file", .access = ADMIN,
	  .handler = method_config_save },
	{ 0 },
};

static const struct rpc_param helper_attach[] = {
	PARAM_NAME("profile", true, NULL, "profile of the new port"),
	{ 0 },
};

/* All that switchd-helper's socket, which everybody may open, can do. */
const struct rpc_method daemon_helper_methods[] = {
	{ "helper.attach", "a TAP on the switch, for an unprivileged guest",
	  NULL, helper_attach,
	  "the port; the TAP's descriptor comes with the reply",
	  .handler = method_helper_attach },
	{ 0 },
};
