/*
 * portconf_params - every parameter that a port can have, once
 *
 * A macro, because C can't put one constant table into another: it stands in
 * the tables of port.attach (behind "name"), port.set and of profiles.
 */
#ifndef SWITCHD_PORTCONF_PARAMS_H
#define SWITCHD_PORTCONF_PARAMS_H

#include "control/rpc_method.h"
#include "ports/vhost_user.h"

#define PORTCONF_WORKER_MAX 7 /* SWITCH_WORKERS_MAX - 1 */

#define VLAN_ID_MAX 4094 /* IEEE 802.1Q-2022 table 9-2 */

/* The words of the enums, NULL-terminated. */
extern const char *const portconf_types[];
extern const char *const portconf_modes[];
extern const char *const portconf_formats[];
extern const char *const portconf_roles[];

/* Rows of a struct rpc_param table, for all tables of the daemon. */
#define PARAM_STRING(n, len, text)                                             \
	{                                                                      \
		.name = n, .type = RPC_STRING, .max_len = len, .summary = text \
	}
#define PARAM_INT(n, from, to, text)                                \
	{                                                           \
		.name = n, .type = RPC_INT, .min = from, .max = to, \
		.summary = text                                     \
	}
#define PARAM_BOOL(n, text)                                  \
	{                                                    \
		.name = n, .type = RPC_BOOL, .summary = text \
	}
#define PARAM_ENUM(n, words, text)                                            \
	{                                                                     \
		.name = n, .type = RPC_ENUM, .values = words, .summary = text \
	}

/* A name of something that exists, completed from a list method. */
#define PARAM_NAME(n, need, list, text)                           \
	{                                                         \
		.name = n, .type = RPC_STRING, .required = need,  \
		.max_len = PORT_NAME_MAX - 1, .completion = list, \
		.summary = text                                   \
	}

/* Of ports of all types, and of listeners. */
#define PORTCONF_COMMON_PARAMS                                                  \
	PARAM_NAME("profile", false, "profile.list:profiles.name",              \
		   "named parameter set; gives what isn't given here"),         \
		PARAM_STRING("description", 127, "for people"),                 \
		PARAM_ENUM("mode", portconf_modes,                              \
			   "access: one VLAN, untagged; trunk: many, tagged"),  \
		PARAM_INT(                                                      \
			"vlan", 1, VLAN_ID_MAX,                                 \
			"the access VLAN, or a trunk's native one (untagged)"), \
		PARAM_STRING("trunk", 1024,                                     \
			     "VLANs of a trunk, such as 10,20-30"),             \
		PARAM_BOOL("uplink", "leads to other switches or networks"),    \
		PARAM_BOOL("isolated", "exchanges frames with uplinks only"),   \
		PARAM_BOOL("enabled", "no: carrier down, nothing in or out"),   \
		PARAM_BOOL("learn", "learn source addresses that arrive"),      \
		PARAM_BOOL("flood",                                             \
			   "send unknown, multicast, broadcast frames to it"),  \
		PARAM_INT("mtu", PORT_MTU_MIN, PORT_MTU_MAX,                    \
			  "bytes behind the Ethernet header and tag"),          \
		PARAM_INT("worker", 0, PORTCONF_WORKER_MAX,                     \
			  "the worker that receives; by load if not given")

#define PORTCONF_PARAMS                                                        \
	PARAM_ENUM("type", portconf_types, "what the port is made of"),        \
		PORTCONF_COMMON_PARAMS,                                        \
		PARAM_STRING("ifname", IFNAMSIZ - 1,                           \
			     "network device (tap, netdev)"),                  \
		PARAM_STRING("owner", 63,                                      \
			     "who may open it (tap, vhost-user, dgram)"),      \
		PARAM_STRING("group", 63,                                      \
			     "group that may (tap, vhost-user, dgram)"),       \
		PARAM_STRING("socket-mode", 4,                                 \
			     "its permissions, 0660 (vhost-user, dgram)"),     \
		PARAM_BOOL("persist",                                          \
			   "the device stays when the port goes (tap)"),       \
		PARAM_STRING("netns", PORT_PATH_MAX - 1,                       \
			     "network namespace of the device (tap)"),         \
		PARAM_STRING("mac", MAC_STRLEN - 1,                            \
			     "MAC of the host's side (tap)"),                  \
		PARAM_STRING("address", 63,                                    \
			     "IP/length of the host's side (tap)"),            \
		PARAM_INT("queues", 1, VHOST_QUEUES_MAX,                       \
			  "for as many workers (tap, vhost-user)"),            \
		PARAM_BOOL("offload",                                          \
			   "super-frames, partial checksums cross it (tap)"),  \
		PARAM_BOOL("promisc",                                          \
			   "receive frames for any address (netdev)"),         \
		PARAM_BOOL("force",                                            \
			   "take a device that the host uses (netdev)"),       \
		PARAM_BOOL("fast-path",                                        \
			   "the kernel forwards what it can (netdev)"),        \
		PARAM_STRING("file", PORT_PATH_MAX - 1,                        \
			     "where it's written (pcap)"),                     \
		PARAM_STRING("filter", PORT_PATH_MAX - 1,                      \
			     "libpcap filter (pcap)"),                         \
		PARAM_INT("snaplen", 14, FRAME_LEN_MAX,                        \
			  "bytes kept a frame (pcap)"),                        \
		PARAM_INT("rotate-size", 4096, INT64_MAX,                      \
			  "begin a new file after so many bytes (pcap)"),      \
		PARAM_INT("rotate-count", 1, 1000,                             \
			  "keep so many files (pcap)"),                        \
		PARAM_ENUM("format", portconf_formats,                         \
			   "file format; pcapng names the ports (pcap)"),      \
		PARAM_BOOL("segment",                                          \
			   "write super-frames as segments (pcap)"),           \
		PARAM_STRING("path", PORT_PATH_MAX - 1,                        \
			     "socket of the front end (vhost-user)"),          \
		PARAM_ENUM("role", portconf_roles,                             \
			   "listen on the socket, or connect (vhost-user)"),   \
		PARAM_STRING("local", PORT_PATH_MAX - 1,                       \
			     "our ADDRESS:PORT (udp) or socket (dgram)"),      \
		PARAM_STRING(                                                  \
			"remote", PORT_PATH_MAX - 1,                           \
			"the other end's, the only one heard (udp, dgram)"),   \
		PARAM_STRING("connect", PORT_PATH_MAX - 1,                     \
			     "/PATH or ADDRESS:PORT to connect to (stream)"),  \
		PARAM_STRING("ipv4", 63,                                       \
			     "guests' network, 10.0.2.0/24, or none (slirp)"), \
		PARAM_STRING("ipv6", 63,                                       \
			     "guests' prefix, fd00::/64, or none (slirp)"),    \
		PARAM_STRING("hostfwd", 511,                                   \
			     "tcp:127.0.0.1:8080-10.0.2.15:80,.. (slirp)"),    \
		PARAM_STRING("hostname", 63,                                   \
			     "that DHCP gives to guests (slirp)"),             \
		PARAM_BOOL("loopback",                                         \
			   "guests reach the host's 127.0.0.1 (slirp)"),       \
		PARAM_BOOL("restricted",                                       \
			   "nothing but what hostfwd lets in (slirp)")

#endif
