/* port.*: see methods.h. */
#include "switchd/methods.h"

#include "ports/netlink.h"
#include "switchd/fastpath_map.h"
#include "switchd/switch_fast.h"

#include <errno.h>
#include <stdlib.h>

struct switch_port *method_port(struct rpc_call *call, struct daemon *d,
				const json_t *params, const char *key)
{
	const char *name = rpc_get_string(params, key, "");
	struct switch_port *p = switch_port_find(d->sw, name);

	if (!p)
		rpc_fail(call, ENOENT, "no-such-port", key,
			 "there is no port \"%s\"", name);
	return p;
}

static json_int_t number(const counter *c)
{
	return (json_int_t)counter_get(c);
}

/* {"NAME": n, ..} of drop reasons; with `zeros` those that never happened. */
static json_t *drops_json(const counter *drop, bool zeros)
{
	json_t *o = json_object();

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		if (zeros || counter_get(&drop[i]))
			json_object_set_new(
				o, drop_name((enum drop_reason)i),
				json_integer(
					(json_int_t)counter_get(&drop[i])));
	return o;
}

static uint64_t drops_sum(const counter *drop)
{
	uint64_t n = 0;

	for (int i = 0; i < DROP_REASON_COUNT; i++)
		n += counter_get(&drop[i]);
	return n;
}

json_t *method_rx(const struct port_counters *c, bool zeros)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "frames",
			 number(&c->rx_frames), "bytes", number(&c->rx_bytes),
			 "segments", number(&c->rx_segments), "forwarded",
			 number(&c->rx_forwarded), "dropped",
			 (json_int_t)drops_sum(c->rx_drop), "drops",
			 drops_json(c->rx_drop, zeros));
}

json_t *method_tx(const struct port_counters *c, bool zeros)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "copies",
			 number(&c->tx_copies), "frames", number(&c->tx_frames),
			 "bytes", number(&c->tx_bytes), "segments",
			 number(&c->tx_segments), "dropped",
			 (json_int_t)drops_sum(c->tx_drop), "drops",
			 drops_json(c->tx_drop, zeros));
}

bool method_after(struct rpc_call *call, const json_t *params,
		  unsigned long long *after, bool *given)
{
	const char *text = rpc_get_string(params, "after", NULL);
	char *end;

	*given = text != NULL;
	*after = 0;
	if (!text)
		return true;
	errno = 0;
	*after = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && !errno)
		return true;
	rpc_fail(call, EINVAL, "bad-value", "after",
		 "\"%s\" is no `next` of an earlier answer", text);
	return false;
}

json_t *method_page(const char *key, json_t *list, const char *next)
{
	return json_pack("{s:o,s:o}", key, list, "next",
			 *next ? json_string(next) : json_null());
}

static const char *link_word(const struct switch_port *p)
{
	if (!p->config.request.enabled)
		return "disabled";
	if (!p->up)
		return "down";
	if (p->condition && !strcmp(p->condition, "broken"))
		return "broken";
	return p->carrier ? "up" : "no-carrier";
}

/* The line of `port list`. */
static json_t *port_line(struct sw *sw, const struct switch_port *p)
{
	const struct port_config *c = &p->config;
	struct port_counters n;
	json_t *o;

	switch_port_counters(sw, p, &n);
	o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "name", c->request.name,
		      "type", c->request.type, "ifname", p->grant.ifname,
		      "state", link_word(p), "mode",
		      c->access ? "access" : "trunk", "vlan", (int)c->native,
		      "mtu", (int)p->grant.mtu);
	json_object_update_new(
		o,
		json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "rx-frames",
			  number(&n.rx_frames), "rx-bytes", number(&n.rx_bytes),
			  "rx-dropped", (json_int_t)drops_sum(n.rx_drop),
			  "tx-frames", number(&n.tx_frames), "tx-bytes",
			  number(&n.tx_bytes), "tx-dropped",
			  (json_int_t)drops_sum(n.tx_drop)));
	if (*c->description)
		json_object_set_new(o, "description",
				    json_string(c->description));
	return o;
}

/* What the port's device has dropped that was handed to it, or null. */
static json_t *device_dropped(const struct switch_port *p)
{
	struct netlink *nl = netlink_open();
	struct netlink_link link;
	json_t *n = NULL;

	if (nl && netlink_link_get(nl, p->grant.ifindex, NULL, &link) == 0)
		n = json_integer((json_int_t)link.tx_dropped);
	netlink_close(nl);
	return n ? n : json_null();
}

/* Whether the kernel forwards for a port, and what it did so far. */
static json_t *fast_json(struct sw *sw, const struct switch_port *p)
{
	const char *why = switch_fast_why(sw, p);
	json_t *o = json_pack("{s:s,s:s*}", "state", switch_fast_state(sw, p),
			      "reason", why);
	struct fastpath_facts f;

	if (!sw->fastpath || !p->grant.fast)
		return o;
	fastpath_facts(sw->fastpath, p->port->index, &f);
	json_object_update_new(o, json_pack("{s:I,s:I,s:I,s:I}", "forwarded",
					    (json_int_t)f.forwarded, "xdp",
					    (json_int_t)f.xdp, "punted",
					    (json_int_t)f.punted, "forced",
					    (json_int_t)f.forced));
	return o;
}

/* By queue. */
static json_t *port_workers(const struct switch_port *p)
{
	json_t *list = json_array();

	for (unsigned int q = 0; q < p->port->queues; q++)
		json_array_append_new(list,
				      json_integer(worker_index(p->worker[q])));
	return list;
}

/* Of a port that speaks with its other end, as state() says; method_guest() has
 * more. */
static json_t *guest_json(const struct switch_port *p)
{
	return json_pack("{s:s,s:s*}", "condition", p->condition, "reason",
			 p->reason);
}

static json_t *port_full(struct sw *sw, const struct switch_port *p)
{
	static const char *const origins[] = { "control", "config",
					       "transient" };
	struct fdb_port_stats f = { 0 };
	struct port_counters n;
	char mac[MAC_STRLEN];
	json_t *o = port_line(sw, p), *rx, *tx;

	switch_port_counters(sw, p, &n);
	if (fdb_port_stats_get(sw->shared.fdb, p->port->index, &f) < 0)
		memset(&f, 0, sizeof(f));
	json_object_update_new(
		o, json_pack("{s:o,s:b,s:b,s:b,s:b,s:s,s:s,s:s,s:i,s:O}",
			     "trunk", portconf_format_vlans(p->config.vlans),
			     "uplink", p->config.uplink, "isolated",
			     p->config.isolated, "learn", p->config.learn,
			     "flood", p->config.flood, "profile",
			     p->config.profile, "origin", origins[p->origin],
			     "mac", mac_format(p->grant.mac, mac), "ifindex",
			     p->grant.ifindex, "parameters", p->params));
	json_object_set_new(o, "workers", port_workers(p));
	json_object_set_new(o, "addresses",
			    json_pack("{s:i,s:i,s:I}", "dynamic",
				      (int)f.entries, "static",
				      (int)f.static_entries, "refused",
				      (json_int_t)f.refused));
	rx = method_rx(&n, false);
	json_object_set_new(rx, "missed", json_integer(number(&n.rx_missed)));
	json_object_set_new(o, "rx", rx);
	tx = method_tx(&n, false);
	json_object_set_new(tx, "lost", json_integer(number(&n.tx_lost)));
	json_object_set_new(o, "tx", tx);
	if (*p->listener)
		json_object_update_new(
			o, json_pack("{s:s,s:o*}", "listener", p->listener,
				     "peer", switch_peer_json(&p->peer)));
	if (!strcmp(p->config.request.type, "vhost-user"))
		json_object_set_new(o, "guest", method_guest(p));
	else if (p->condition)
		json_object_set_new(o, "guest", guest_json(p));
	if (strcmp(p->config.request.type, "netdev") != 0)
		return o;
	json_object_set_new(o, "fast-path", fast_json(sw, p));
	json_object_set_new(o, "device-dropped", device_dropped(p));
	return o;
}

void method_port_attach(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	const char *name = rpc_get_string(params, "name", "");
	enum switch_origin origin = rpc_get_bool(params, "transient", false)
					    ? SWITCH_ORIGIN_TRANSIENT
					    : SWITCH_ORIGIN_CONTROL;
	struct error err = { 0 };
	struct switch_port *p;

	json_object_del(params, "transient");
	p = switch_attach(d->sw, name, params, origin, rpc_call_peer(call)->uid,
			  &err);
	if (p)
		rpc_reply(call, port_line(d->sw, p));
	else
		rpc_error(call, &err);
}

void method_port_detach(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	const char *name = rpc_get_string(params, "name", "");
	struct switch_port *p;

	if (switch_missing_forget(d->sw, name)) {
		rpc_reply(call, json_object()); /* its device had gone */
		return;
	}
	p = method_port(call, d, params, "name");
	if (!p)
		return;
	switch_detach(d->sw, p, "request");
	rpc_reply(call, json_object());
}

void method_port_set(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct switch_port *p = method_port(call, d, params, "name");
	struct error err = { 0 };

	if (!p)
		return;
	json_object_del(params, "name");
	if (switch_port_set(d->sw, p, params, &err) < 0)
		rpc_error(call, &err);
	else
		rpc_reply(call, port_line(d->sw, p));
}

void method_port_show(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct switch_port *p = method_port(call, d, params, "name");

	if (p)
		rpc_reply(call, port_full(d->sw, p));
}

/* Ports that somebody asked for and whose device isn't there. */
static void missing_lines(const struct sw *sw, json_t *list)
{
	const char *name;
	json_t *m;

	json_object_foreach(sw->missing, name, m) {
		const json_t *p = json_object_get(m, "params");

		json_array_append_new(
			list,
			json_pack("{s:s,s:s,s:s,s:s}", "name", name, "type",
				  rpc_get_string(p, "type", ""), "ifname",
				  rpc_get_string(p, "ifname", ""), "state",
				  "missing"));
	}
}

/* Pages go by index; `after` is the last one that was shown. */
void method_port_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	json_int_t limit = rpc_get_int(params, "limit", PAGE_DEFAULT);
	struct switch_port *p = NULL;
	unsigned long long past;
	json_t *list;
	char next[16] = "";
	bool after;

	if (!method_after(call, params, &past, &after))
		return;
	list = json_array();
	while ((p = switch_port_next(d->sw, p))) {
		if (after && p->port->index <= past)
			continue;
		if (limit-- == 0)
			break;
		json_array_append_new(list, port_line(d->sw, p));
		snprintf(next, sizeof(next), "%u", p->port->index);
	}
	if (!p) /* the last page */
		missing_lines(d->sw, list);
	rpc_reply(call, method_page("ports", list, p ? next : ""));
}
