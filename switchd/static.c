/*
 * Static addresses: configured, so they outlive the port that they name.
 * The FDB holds those whose port is attached; sw->statics holds all. See
 * switch.h.
 */
#include "switchd/switch.h"

#include <errno.h>

static bool static_is(const json_t *e, uint64_t mac, uint16_t vid)
{
	uint64_t m = 0;

	return mac_parse(rpc_get_string(e, "mac", ""), &m) == 0 && m == mac &&
	       rpc_get_int(e, "vlan", 1) == vid;
}

static size_t static_find(struct sw *sw, uint64_t mac, uint16_t vid)
{
	size_t i;
	json_t *e;

	json_array_foreach(sw->statics, i, e)
		if (static_is(e, mac, vid))
			return i;
	return SIZE_MAX;
}

int switch_static_add(struct sw *sw, uint64_t mac, uint16_t vid,
		      const char *port, struct error *err)
{
	const struct switch_port *p = switch_port_find(sw, port);
	char text[MAC_STRLEN];
	size_t i;
	int r;

	if (!p)
		return error_set(err, ENOENT, "no-such-port", "port",
				 "there is no port \"%s\"", port);
	if (!(p->config.vlans[vid >> 6] >> (vid & 63) & 1))
		return error_set(err, EINVAL, "not-in-vlan", "vlan",
				 "port \"%s\" isn't in VLAN %u", port, vid);
	r = fdb_add_static(sw->shared.fdb, fdb_key(vid, mac), p->port->index);
	if (r < 0)
		return error_set(err, -r, "fdb-full", "mac",
				 "no room for %s: its place in the FDB is full "
				 "of static entries",
				 mac_format(mac, text));
	i = static_find(sw, mac, vid);
	if (i != SIZE_MAX)
		json_array_remove(sw->statics, i);
	r = json_array_append_new(sw->statics,
				  json_pack("{s:s,s:i,s:s}", "mac",
					    mac_format(mac, text), "vlan",
					    (int)vid, "port", port));
	if (r < 0)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	return 0;
}

bool switch_static_remove(struct sw *sw, uint64_t mac, uint16_t vid)
{
	size_t i = static_find(sw, mac, vid);

	if (i == SIZE_MAX)
		return false;
	json_array_remove(sw->statics, i);
	/* Where its port is away it isn't in the FDB: that's as good. */
	return fdb_remove(sw->shared.fdb, fdb_key(vid, mac)) <= 0;
}

void switch_static_install(struct sw *sw, const struct switch_port *p)
{
	size_t i;
	json_t *e;

	json_array_foreach(sw->statics, i, e) {
		uint64_t mac = 0;

		if (strcmp(rpc_get_string(e, "port", ""),
			   p->config.request.name) != 0 ||
		    mac_parse(rpc_get_string(e, "mac", ""), &mac) < 0)
			continue;
		if (fdb_add_static(
			    sw->shared.fdb,
			    fdb_key((uint16_t)rpc_get_int(e, "vlan", 1), mac),
			    p->port->index) < 0)
			break; /* its place is full of other static entries */
	}
}
