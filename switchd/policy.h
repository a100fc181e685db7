/*
 * policy - what the monitor opens for the switch process
 *
 * The switch process talks to guests, to the network and to everybody on the
 * control socket, so one day it may be somebody else's. Whatever it asks the
 * monitor for is held against the object "allow" of the configuration's
 * "daemon", which is root's: lists of patterns of device names, namespaces,
 * addresses, files and sockets. What the switch says about itself or its
 * clients counts for nothing here.
 *
 * Patterns are fnmatch(3)'s. In names of devices and namespaces a `*` doesn't
 * match a '/', in those of files and sockets it does. What isn't said has its
 * default:
 *
 *     tap        *                 names of TAP devices of ours
 *     netdev     *                 devices to take, unless the host uses them
 *     force      (none)            those that may be taken although it does
 *     netns      *                 names under /run/netns, no paths
 *     addresses  private networks  for the host's side of a TAP
 *     files      what is in (or below) /var/tmp, /tmp, /var/log/switchd
 *     sockets    of vhost-user, dgram and stream ports and of listeners, to
 *                listen on or to connect to: what is in (or below)
 *                /run/switchd, /run/vhost-user, and what begins with vhost in
 *                /tmp and /var/tmp. No more of those two: users' own programs
 *                listen there (ssh-agent, tmux, databases) that do what root
 *                says who connects
 *     udp        *                 our end of a UDP port, as ADDRESS:PORT
 *     connect    127.*:*, [::1]:*  where a stream port connects to, the same
 *     listen     127.*:*, [::1]:*  where a listener listens, the same
 *
 * A port below 1024, where the host's own services are, only where a pattern
 * ends in its number.
 *
 * The other end of a UDP port isn't bounded: who has a socket can send wherever
 * it leads.
 *
 * and `slirp`, whether guests may reach the outside by processes of ours: true.
 *
 * The name of a file or socket is checked as it is asked for and, once its
 * folder is open, as it really is: symbolic links lead nobody out.
 *
 * Ownership: a policy is plain memory, copied from JSON. Threads: one.
 */
#ifndef SWITCHD_POLICY_H
#define SWITCHD_POLICY_H

#include "control/rpc_method.h"
#include "ports/port.h"

enum policy_list {
	POLICY_TAP,
	POLICY_NETDEV,
	POLICY_FORCE,
	POLICY_NETNS,
	POLICY_ADDRESSES,
	POLICY_FILES,
	POLICY_SOCKETS,
	POLICY_UDP,
	POLICY_CONNECT,
	POLICY_LISTEN,
	POLICY_LISTS
};

struct policy {
	json_t *list[POLICY_LISTS]; /* arrays of patterns */
	bool slirp;		    /* processes that do NAT */
};

/* The members of "allow", for config_check and the manual. */
extern const struct rpc_param policy_params[];

/* What the table can't say about "allow": networks are networks. Returns 0 or
 * -EINVAL with *err, its path within `allow`. */
int policy_check_config(const json_t *allow, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Read "allow" (checked; NULL: all defaults) into *p, which is fresh or zero.
 * Returns 0 or -ENOMEM.
 */
int policy_init(struct policy *p, const json_t *allow)
	__attribute__((warn_unused_result));
void policy_fini(struct policy *p);

/*
 * May this be acquired? The request is sane (proto_request_sane). Returns 0,
 * or -EPERM with *err: reason not-allowed, the path of the parameter, and what
 * to write where.
 */
int policy_check(const struct policy *p, const struct port_request *rq,
		 struct error *err) __attribute__((warn_unused_result));

/*
 * The same once the device or file is there: the folder of a capture or socket
 * is what it looked like. Returns 0 or -EPERM with *err.
 */
int policy_check_grant(const struct policy *p, const struct port_request *rq,
		       const struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));

/* May what is held be renewed (port_ops.renew)? Who connects anew asks anew,
 * for root may have changed its mind. Returns 0 or -EPERM with *err. */
int policy_check_renew(const struct policy *p, const struct port_request *rq,
		       struct error *err) __attribute__((warn_unused_result));

/* May a file of this absolute name be written? Returns 0 or -EPERM. */
int policy_check_file(const struct policy *p, const char *file,
		      struct error *err) __attribute__((warn_unused_result));

/* The real name of an open folder, without symbolic links, or -errno. */
int policy_real_folder(int dirfd, char *buf, size_t size)
	__attribute__((warn_unused_result));

#endif
