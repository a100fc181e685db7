#include "switchd/switch_fast.h"

#include "base/log.h"
#include "switchd/broker.h"
#include "switchd/fastpath_map.h"

#include <errno.h>

static bool is_netdev(const struct switch_port *p)
{
	return !strcmp(p->config.request.type, "netdev");
}

/* ---- Whose is it? ---- */

static const char *why(struct sw *sw, const struct switch_port *p,
		       const struct snapshot_port *s)
{
	if (!sw->fastpath)
		return "no-fast-path";
	if (!p->grant.fast)
		return "device";
	if (!sw->settings.fast_path)
		return "switch-setting";
	if (!p->config.fast_path)
		return "port-setting";
	if (!p->config.request.enabled)
		return "disabled";
	if (s &&
	    (s->mirror_in || s->mirror_out || s->decide.flags & DECIDE_TARGET))
		return "mirror";
	return p->up && p->carrier ? NULL : "link-down";
}

const char *switch_fast_why(struct sw *sw, const struct switch_port *p)
{
	const struct snapshot *s = atomic_load(&sw->shared.snapshot);
	uint32_t i = p->port->index;

	return why(sw, p, i < s->nports ? &s->port[i] : NULL);
}

const char *switch_fast_state(struct sw *sw, const struct switch_port *p)
{
	if (switch_fast_why(sw, p))
		return "off";
	return p->mix.on ? "xdp" : "tc";
}

struct commit {
	struct sw *sw;
	const struct snapshot *s;
};

static enum fastpath_state state_of(void *ctx, uint32_t index)
{
	const struct commit *c = ctx;
	const struct switch_port *p = c->sw->port[index];

	if (!p->grant.fast)
		return FASTPATH_AWAY;
	return why(c->sw, p, &c->s->port[index]) ? FASTPATH_PUNT : FASTPATH_ON;
}

void switch_fast_commit(struct sw *sw, const struct snapshot *s)
{
	struct commit c = { sw, s };

	/* An upgrade's new switch, while the old one decides. */
	if (!sw->fastpath || sw->borrowed)
		return;
	fastpath_dead_after(sw->fastpath, sw->settings.dead_after_s);
	fastpath_commit(sw->fastpath, s, state_of, &c);
	if (sw->fast_live || !sw->nworkers)
		return;
	sw->fast_live = true;
	worker_start_cpu_port(sw->worker[0]);
}

static void set_xdp(struct sw *sw, struct switch_port *p, bool on)
{
	struct error err = { 0 };
	int r;

	if (p->mix.on == on || p->mix.never || !p->grant.handle)
		return;
	r = broker_xdp(sw->broker, &p->grant, on, &err);
	if (r < 0) {
		/* A veth or a card. */
		if (r != -EOPNOTSUPP)
			log_info("port", "%s: no XDP on its device: %s",
				 p->config.request.name, err.message);
		p->mix.never = true;
		return;
	}
	p->mix.on = on;
}

int switch_fast_place(struct sw *sw, struct switch_port *p, uint32_t index,
		      struct error *err)
{
	int r;

	if (!p->grant.fast)
		return 0;
	if (!sw->fastpath)
		return error_set(err, ENOTSUP, "no-fast-path", NULL,
				 "what comes on %s is the kernel fast path's, "
				 "which this process doesn't have",
				 p->grant.ifname);
	if (!p->grant.handle)
		return 0;
	r = broker_place(sw->broker, &p->grant, index, err);
	/* At first, for it gains more than it can lose. */
	if (r == 0)
		set_xdp(sw, p, true);
	return r;
}

/* ---- XDP or TC ---- */

static void choose(struct sw *sw, struct switch_port *p, uint32_t now_s)
{
	struct fastpath_facts f;

	fastpath_facts(sw->fastpath, p->port->index, &f);
	set_xdp(sw, p,
		fastpath_mix(&p->mix, f.forwarded - f.super, f.super, f.xdp,
			     now_s));
}

void switch_fast_failed(struct sw *sw)
{
	if (!sw->cpu_port || !atomic_load(&sw->cpu_port->failed))
		return;
	sw->cpu_port = NULL; /* said once */
	log_err("fastpath",
		"somebody has removed the CPU port's device: on netdev ports "
		"only what the kernel forwards gets through, until switchd is "
		"started again");
}

/* ---- Once a second ---- */

static void lost(void *ctx, uint32_t index, uint32_t frames)
{
	struct sw *sw = ctx;
	struct port_counters *c = ledger_slot(sw->shared.ledger, 0);

	counter_add(&c[index].rx_missed, frames);
}

void switch_fast_tick(struct sw *sw, uint32_t now_s)
{
	struct switch_port *p = NULL;

	if (!sw->fastpath || !fastpath_tick(sw->fastpath, now_s, lost, sw))
		return;
	while ((p = switch_port_next(sw, p)))
		if (is_netdev(p) && !switch_fast_why(sw, p))
			choose(sw, p, now_s);
}
