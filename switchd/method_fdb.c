/* fdb.*: see methods.h. */
#include "switchd/methods.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* An address of a guest, or answers the call and returns false. */
static bool get_mac(struct rpc_call *call, const json_t *params, uint64_t *mac)
{
	struct error err = { 0 };

	if (switch_static_mac(params, mac, &err) == 0)
		return true;
	rpc_error(call, &err);
	return false;
}

static json_t *entry_json(struct sw *sw, const struct fdb_entry *e)
{
	const struct switch_port *p =
		e->port < sw->index_end ? sw->port[e->port] : NULL;
	char mac[MAC_STRLEN];

	return json_pack("{s:s,s:i,s:s,s:b,s:i}", "mac",
			 mac_format(e->mac, mac), "vlan", (int)e->vid, "port",
			 p ? p->config.request.name : "", "static",
			 e->is_static, "age", (int)e->age_s);
}

/* The index of the port that params name, FDB_ANY where they name none; or
 * answers the call and returns false. */
static bool get_filter(struct rpc_call *call, struct daemon *d,
		       const json_t *params, int *port)
{
	const struct switch_port *p;

	*port = FDB_ANY;
	if (!json_object_get(params, "port"))
		return true;
	p = method_port(call, d, params, "port");
	if (p)
		*port = (int)p->port->index;
	return p != NULL;
}

void method_fdb_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	unsigned int limit =
		(unsigned int)rpc_get_int(params, "limit", PAGE_DEFAULT);
	unsigned long long after;
	uint64_t cursor;
	int vid = (int)rpc_get_int(params, "vlan", FDB_ANY), port;
	struct fdb_entry *e;
	json_t *list;
	char next[32] = "";
	unsigned int n;
	bool given;

	if (!method_after(call, params, &after, &given))
		return;
	cursor = after;
	if (!get_filter(call, d, params, &port))
		return;
	e = calloc(limit, sizeof(*e));
	if (!e) {
		rpc_fail(call, ENOMEM, "no-memory", NULL, "no memory");
		return;
	}
	n = fdb_walk(d->sw->shared.fdb, &cursor, port, vid, daemon_now_s(), e,
		     limit);
	list = json_array();
	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, entry_json(d->sw, &e[i]));
	free(e);
	if (n == limit)
		snprintf(next, sizeof(next), "%" PRIu64, cursor);
	rpc_reply(call, method_page("entries", list, next));
}

void method_fdb_add(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct error err = { 0 };
	uint64_t mac;

	if (!get_mac(call, params, &mac))
		return;
	if (switch_static_add(d->sw, mac,
			      (uint16_t)rpc_get_int(params, "vlan", 1),
			      rpc_get_string(params, "port", ""),
			      SWITCH_ORIGIN_CONTROL, &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, json_object());
}

void method_fdb_remove(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	uint16_t vid = (uint16_t)rpc_get_int(params, "vlan", 1);
	uint64_t mac;

	if (!get_mac(call, params, &mac))
		return;
	if (switch_static_remove(d->sw, mac, vid) ||
	    fdb_remove(d->sw->shared.fdb, fdb_key(vid, mac)) == 0)
		rpc_reply(call, json_object());
	else
		rpc_fail(call, ENOENT, "no-such-address", "mac",
			 "%s isn't known in VLAN %u",
			 rpc_get_string(params, "mac", ""), vid);
}

void method_fdb_flush(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	int vid = (int)rpc_get_int(params, "vlan", FDB_ANY), port;
	uint32_t n;

	if (!get_filter(call, d, params, &port))
		return;
	n = fdb_flush(d->sw->shared.fdb, port, vid, false);
	rpc_reply(call, json_pack("{s:i}", "flushed", (int)n));
}
