/* switch.*, stats.*, worker.*, vlan.*, event.*: see methods.h. */
#include "switchd/methods.h"

#include "base/clock.h"
#include "switchd/isolate.h"

#include <errno.h>
#include <stdlib.h>

static const char *monitor_word(const struct daemon *d)
{
	if (!d->broker)
		return "none";
	return broker_gone(d->broker) ? "gone" : "connected";
}

void method_switch_show(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct fdb_stats f;
	json_t *o;

	(void)params;
	fdb_stats_get(d->sw->shared.fdb, &f);
	o = json_pack(
		"{s:s,s:I,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:I}", "version",
		PACKAGE_VERSION, "uptime",
		(json_int_t)((clock_ns() - d->sw->started_ns) / CLOCK_NS_PER_S),
		"workers", (int)d->sw->nworkers, "ports", (int)d->sw->nports,
		"ports-max", (int)d->sw->shared.ports_max, "addresses",
		(int)(f.entries + f.static_entries), "fdb-entries",
		(int)f.capacity, "socket", d->settings.socket, "config",
		d->options.config ? d->options.config : "", "refused-calls",
		(json_int_t)d->refused.count);
	json_object_update_new(o, config_settings_show(&d->sw->settings));
	json_object_set_new(o, "monitor", json_string(monitor_word(d)));
	if (d->broker)
		json_object_set_new(
			o, "restarts",
			json_integer((json_int_t)d->start.facts.restarts));
	json_object_set_new(o, "confinement", isolate_show());
	rpc_reply(call, o);
}

void method_switch_upgrade(struct rpc_call *call, json_t *params, void *ctx)
{
	(void)params;
	daemon_upgrade(ctx, call);
}

void method_switch_set(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct switch_settings s = d->sw->settings;
	struct error err = { 0 };

	if (config_settings(params, &s, &err) < 0) {
		rpc_error(call, &err);
		return;
	}
	switch_settings_set(d->sw, &s);
	rpc_reply(call, config_settings_show(&s));
}

static json_t *fdb_json(const struct fdb *fdb)
{
	struct fdb_stats f;

	fdb_stats_get(fdb, &f);
	return json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "capacity",
		(json_int_t)f.capacity, "dynamic", (json_int_t)f.entries,
		"static", (json_int_t)f.static_entries, "learned",
		(json_int_t)f.learned, "added", (json_int_t)f.added, "moved",
		(json_int_t)f.moved, "aged", (json_int_t)f.aged, "evicted",
		(json_int_t)f.evicted, "removed", (json_int_t)f.removed,
		"refused", (json_int_t)f.refused);
}

void method_stats_show(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	struct port_counters sum, c;
	bool one = json_object_get(params, "port") != NULL;
	struct switch_port *p = NULL;
	json_t *o;

	if (one) {
		p = method_port(call, d, params, "port");
		if (!p)
			return;
		switch_port_counters(d->sw, p, &sum);
		rpc_reply(call, json_pack("{s:s,s:o,s:o}", "port",
					  p->config.request.name, "rx",
					  method_rx(&sum, true), "tx",
					  method_tx(&sum, true)));
		return;
	}
	switch_gone_counters(d->sw, &sum);
	while ((p = switch_port_next(d->sw, p))) {
		switch_port_counters(d->sw, p, &c);
		port_counters_add(&sum, &c);
	}
	o = json_pack("{s:o,s:o,s:o}", "rx", method_rx(&sum, true), "tx",
		      method_tx(&sum, true), "fdb",
		      fdb_json(d->sw->shared.fdb));
	rpc_reply(call, o);
}

static json_t *worker_json(struct sw *sw, unsigned int i)
{
	const struct worker_stats *s = worker_stats(sw->worker[i]);
	const struct switch_worker_load *l = &sw->load[i];
	struct switch_port *p = NULL;
	int ports = 0, queues = 0;
	json_t *o;

	while ((p = switch_port_next(sw, p))) {
		int before = queues;

		for (unsigned int q = 0; q < p->port->queues; q++)
			queues += p->worker[q] == sw->worker[i];
		ports += queues > before;
	}
	o = json_pack("{s:i,s:i,s:i,s:I}", "worker", (int)i, "ports", ports,
		      "queues", queues, "load", (json_int_t)l->rate);
	json_object_update_new(
		o, json_pack("{s:i,s:i,s:I,s:I,s:I}", "awake-percent",
			     (int)l->awake, "polling-percent", (int)l->polling,
			     "wakeups", (json_int_t)counter_get(&s->wakeups),
			     "batches", (json_int_t)counter_get(&s->batches),
			     "frames", (json_int_t)counter_get(&s->frames)));
	return o;
}

void method_worker_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params;
	for (unsigned int i = 0; i < d->sw->nworkers; i++)
		json_array_append_new(list, worker_json(d->sw, i));
	rpc_reply(call, json_pack("{s:o}", "workers", list));
}

/* A VLAN is in use when a port names it: one that carries all of them names
 * none but its native one. */
static void vlans_used(struct sw *sw, uint64_t *used)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p))) {
		const struct port_config *c = &p->config;
		bool all = true;

		for (int i = 0; i < SNAPSHOT_VLANS / 64; i++)
			all &= c->vlans[i] == UINT64_MAX;
		for (int i = 0; i < SNAPSHOT_VLANS / 64 && !all; i++)
			used[i] |= c->vlans[i];
		if (decide_vlan_test(c->vlans, c->native))
			decide_vlan_set(used, c->native);
	}
}

/* How many ports carry it; with `names` also which. */
static json_t *vlan_json(struct sw *sw, unsigned int vid, bool names)
{
	json_t *tagged = json_array(), *untagged = json_array(), *o;
	int n[2] = { 0, 0 }; /* tagged, untagged */
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p))) {
		const struct port_config *c = &p->config;
		bool native = c->native == vid;

		if (!decide_vlan_test(c->vlans, vid))
			continue;
		n[native]++;
		if (names)
			json_array_append_new(native ? untagged : tagged,
					      json_string(c->request.name));
	}
	o = json_pack("{s:i,s:i,s:i}", "vlan", (int)vid, "untagged", n[1],
		      "tagged", n[0]);
	if (names) {
		json_object_set(o, "untagged-ports", untagged);
		json_object_set(o, "tagged-ports", tagged);
	}
	json_decref(tagged);
	json_decref(untagged);
	return o;
}

void method_vlan_list(struct rpc_call *call, json_t *params, void *ctx)
{
	struct daemon *d = ctx;
	int one = (int)rpc_get_int(params, "vlan", 0);
	json_int_t limit = rpc_get_int(params, "limit", PAGE_DEFAULT);
	uint64_t used[SNAPSHOT_VLANS / 64] = { 0 };
	unsigned long long after;
	char next[16] = "";
	json_t *list;
	bool given;

	if (!method_after(call, params, &after, &given))
		return;
	vlans_used(d->sw, used);
	list = json_array();
	if (one)
		json_array_append_new(
			list, vlan_json(d->sw, (unsigned int)one, true));
	for (unsigned int vid = 1; !one && vid <= VLAN_ID_MAX; vid++) {
		if (vid <= after || !decide_vlan_test(used, vid))
			continue;
		if (limit-- == 0) {
			snprintf(next, sizeof(next), "%u", vid - 1);
			break;
		}
		json_array_append_new(list, vlan_json(d->sw, vid, false));
	}
	rpc_reply(call, method_page("vlans", list, next));
}

void method_event_subscribe(struct rpc_call *call, json_t *params, void *ctx)
{
	struct rpc_conn *conn = rpc_call_conn(call);
	int r = conn ? rpc_conn_subscribe(conn,
					  json_object_get(params, "topics"))
		     : 0;

	if (r < 0) {
		rpc_fail(call, -r, "bad-value", "topics", "bad topics");
		return;
	}
	rpc_reply(call, json_object());
	daemon_fdb_events(ctx);
}
