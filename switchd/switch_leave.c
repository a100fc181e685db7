/* Ports that leave, and what stays of them: that they are wanted, and what they
 * counted. See switch.h. */
#include "switchd/switch.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/broker.h"
#include "switchd/fastpath_map.h"

#include <sched.h>
#include <stdlib.h>

/*
 * How long an attach waits for a port that is just leaving to let go of the
 * same device. Workers pass a quiescent point after every batch, so this is
 * far more than it ever takes.
 */
#define SETTLE_NS (200 * 1000 * 1000ull)

/* The last word about a port carries its final numbers. */
static json_t *event_detached(struct sw *sw, const struct switch_port *p)
{
	struct port_counters c;

	switch_port_counters(sw, p, &c);
	return json_pack("{s:s,s:s,s:s,s:I,s:I}", "name",
			 p->config.request.name, "type", p->config.request.type,
			 "reason", p->why, "rx-frames",
			 (json_int_t)counter_get(&c.rx_frames), "tx-frames",
			 (json_int_t)counter_get(&c.tx_frames));
}

/* An index is nobody's any more. */
static void port_counters_retire(struct sw *sw, uint32_t index)
{
	if (sw->fastpath && !sw->borrowed)
		fastpath_retire(sw->fastpath, index,
				&ledger_slot(sw->shared.ledger, 0)[index]);
	ledger_retire(sw->shared.ledger, index);
}

/* The grace period is over: nobody can see the port any more. */
static void port_gone(void *arg)
{
	struct switch_port *p = arg;
	struct sw *sw = p->sw;
	uint32_t index = p->port->index;

	if (switch_event_wanted(sw, "port.detached"))
		switch_event(sw, "port.detached", event_detached(sw, p));
	if (sw->hooks.gone)
		sw->hooks.gone(sw->hooks.ctx, p);
	p->port->ops->close(p->port);
	if (sw->borrowed) {
		port_grant_close(&p->grant);
	} else {
		broker_release(sw->broker, &p->config.request, &p->grant);
		fdb_flush(sw->shared.fdb, (int)index, FDB_ANY, true);
	}
	port_counters_retire(sw, index);
	sw->port[index] = NULL;
	while (sw->index_end && !sw->port[sw->index_end - 1])
		sw->index_end--;
	json_decref(p->params);
	json_decref(p->profiles);
	free(p);
}

/* What somebody asked for isn't forgotten because a device went away. */
static void port_missing(struct sw *sw, const struct switch_port *p)
{
	const char *name = p->config.request.name;

	if (p->origin == SWITCH_ORIGIN_TRANSIENT)
		return;
	log_warning("port",
		    "%s: its device %s is gone: attached again with "
		    "the next config.apply, or by port.attach",
		    name, p->grant.ifname);
	switch_missing_add(sw, name, p->params, p->origin, p->uid);
}

void switch_missing_add(struct sw *sw, const char *name, json_t *params,
			enum switch_origin origin, uid_t uid)
{
	json_t *m = json_pack("{s:O,s:b,s:I}", "params", params, "configured",
			      origin == SWITCH_ORIGIN_CONFIG, "uid",
			      (json_int_t)uid);

	if (m && json_object_set(sw->missing, name, m) == 0)
		switch_remember(sw, "missing", name, json_incref(m));
	json_decref(m);
}

bool switch_missing_forget(struct sw *sw, const char *name)
{
	if (!json_object_get(sw->missing, name))
		return false;
	/* In this order: the name may be the element's own key. */
	switch_remember(sw, "missing", name, NULL);
	json_object_del(sw->missing, name);
	return true;
}

void switch_detach(struct sw *sw, struct switch_port *p, const char *reason)
{
	const char *name = p->config.request.name;

	if (p->leaving)
		return;
	switch_receive_stop(p);
	p->leaving = true;
	json_object_del(sw->names, name);
	sw->nports--;
	switch_remember(sw, "port", name, NULL);
	switch_dirty(sw);
	snprintf(p->why, sizeof(p->why), "%s", reason);
	if (!strcmp(reason, "device-gone"))
		port_missing(sw, p);
	log_info("port", "%s detached: %s", name, reason);
}

bool switch_undetach(struct sw *sw, uint32_t index, uint32_t generation)
{
	struct switch_port *p = index < sw->index_end ? sw->port[index] : NULL;

	if (!p || p->port->generation != generation || !p->leaving ||
	    p->retiring || switch_receive_add(p) < 0)
		return false;
	if (json_object_set_new(sw->names, p->config.request.name,
				json_integer((json_int_t)index)) < 0) {
		switch_receive_stop(p);
		return false;
	}
	p->leaving = false; /* the next commit lets it receive again */
	sw->nports++;
	switch_remember_port(sw, p);
	switch_dirty(sw);
	log_info("port", "%s stays", p->config.request.name);
	switch_control_news(sw, p); /* what was kept to itself meanwhile */
	return true;
}

/* Start to receive from what is new in the snapshot, and let go of what is
 * no longer in it. */
void switch_ports_committed(struct sw *sw)
{
	for (uint32_t i = 0; i < sw->index_end; i++) {
		struct switch_port *p = sw->port[i];

		if (!p)
			continue;
		if (p->leaving && !p->retiring) {
			p->retiring = true;
			epoch_retire(&sw->shared.epoch, &p->retired, port_gone,
				     p);
		} else if (!p->leaving && !p->receiving) {
			switch_receive_start(p);
		} else if (!p->leaving && p->arriving) {
			switch_receive_arrived(p);
			/* It may have been pinned elsewhere meanwhile. */
			switch_pin(sw, p);
		}
	}
}

void switch_settle(struct sw *sw)
{
	uint64_t until = clock_ns() + SETTLE_NS;

	switch_commit(sw);
	while (switch_reap(sw) && clock_ns() < until)
		sched_yield();
}

/* ---- Counters ---- */

void switch_port_counters(struct sw *sw, const struct switch_port *p,
			  struct port_counters *sum)
{
	ledger_sum(sw->shared.ledger, p->port->index, sum);
	if (sw->fastpath)
		fastpath_count(sw->fastpath, p->port->index, sum);
}

void switch_gone_counters(struct sw *sw, struct port_counters *sum)
{
	ledger_sum(sw->shared.ledger, sw->shared.ports_max, sum);
}

int switch_counters_adopt(struct sw *sw, int fd, struct error *err)
{
	return ledger_adopt(sw->shared.ledger, fd, err);
}

void switch_counters_settle(struct sw *sw)
{
	uint32_t end = ledger_adopted_end(sw->shared.ledger);

	for (uint32_t i = 0; i < end; i++)
		if (!sw->port[i])
			port_counters_retire(sw, i);
}
