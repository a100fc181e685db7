/*
 * portconf - a port's parameters: from JSON to what the switch works with
 *
 * The same table of parameters serves `port.attach`, `port.set`, profiles and
 * the configuration file, so that all of them know the same keys and refuse
 * the same mistakes. What was given is kept as JSON (that is what config.show
 * and config.save write); what follows from it is a struct port_config.
 *
 * Order of precedence: given parameters, then the profile's, then defaults.
 *
 * Threads: main.
 */
#ifndef SWITCHD_PORTCONF_H
#define SWITCHD_PORTCONF_H

#include "control/rpc_method.h"
#include "ports/port.h"
#include "switchd/portconf_params.h"
#include "switchd/snapshot.h"

struct port_config {
	struct port_request request; /* type, name, mtu, enabled, by type */
	bool access;		     /* mode=access */
	bool plain;		     /* no VLAN parameter at all */
	uint16_t native;	     /* access VLAN or the trunk's native */
	uint64_t vlans[SNAPSHOT_VLANS / 64];
	bool uplink, isolated, learn, flood, fast_path;
	bool pinned;	 /* to a worker, ... */
	uint32_t worker; /* ... this one, which may not exist */
	char profile[PORT_NAME_MAX];
	char description[128];
};

/* PORTCONF_PARAMS as a table of its own ("name" isn't in it). */
extern const struct rpc_param portconf_params[];

/*
 * Read a port's parameters.
 *
 * name      of the port: 1 to 63 of A-Z a-z 0-9 . _ - , / or : (no blank)
 * params    object that the table above has passed; "name" in it is ignored
 * profiles  object of profiles by name, or NULL
 * out       filled on success
 *
 * Returns 0 or -errno with *err; the path names the parameter.
 */
int portconf_parse(const char *name, const json_t *params,
		   const json_t *profiles, struct port_config *out,
		   struct error *err) __attribute__((warn_unused_result));

/*
 * The same for a port that a listener has been given the connection of: its
 * type is the listener's, whatever the profile says, and parameters of types
 * are refused (not-for-type). out->request is that of `type` with `given` set;
 * what the type has of its own there stays zero.
 */
int portconf_parse_given(const char *name, const char *type,
			 const json_t *params, const json_t *profiles,
			 struct port_config *out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Check a profile by itself: known parameters, sound values. What only a port
 * can have (name, profile, ifname) is refused.
 */
int portconf_check_profile(const char *name, const json_t *params,
			   struct error *err)
	__attribute__((warn_unused_result));

/* Would the port have to be attached anew to become `b`? (Type or device
 * differ, rather than what `port set` can change.) */
bool portconf_same_device(const struct port_config *a,
			  const struct port_config *b);

/* The first parameter of these that belongs to the device, or NULL. */
const char *portconf_device_param(const json_t *params);

/* Are they the same in everything but the name? */
bool portconf_same(const struct port_config *a, const struct port_config *b);

/*
 * Read a list such as "1,10,20-30" into a bit set of SNAPSHOT_VLANS.
 * Returns 0 or -EINVAL with *err (path "trunk").
 */
int portconf_parse_vlans(const char *list, uint64_t *vlans, struct error *err)
	__attribute__((warn_unused_result));

/* The opposite; returns a new JSON string, "1-4094" where all are in. */
json_t *portconf_format_vlans(const uint64_t *vlans);

/* Is the name fit for a port, mirror or profile? Returns 0 or -EINVAL. */
int portconf_check_name(const char *name, struct error *err)
	__attribute__((warn_unused_result));

#endif
