/* Ports that speak with their other end while they run: what they say of it.
 * See switch.h. */
#include "switchd/switch.h"

#include "base/log.h"

static bool same_word(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* What the port says now, into *p. Returns whether that's new. */
static bool take_state(struct switch_port *p)
{
	struct port_state s = { 0 };
	bool same;

	if (p->port->ops->state)
		p->port->ops->state(p->port, &s);
	if (!s.condition)
		return false;
	same = p->carrier == s.carrier &&
	       same_word(p->condition, s.condition) &&
	       same_word(p->reason, s.reason);
	p->up = true; /* there's no device that could be down */
	p->carrier = s.carrier;
	p->condition = s.condition;
	p->reason = s.reason;
	return !same;
}

static void tell(struct sw *sw, const struct switch_port *p)
{
	const char *name = p->config.request.name;

	if (p->reason)
		log_warning("port", "%s is %s: %s", name, p->condition,
			    p->reason);
	else
		log_info("port", "%s is %s", name, p->condition);
	if (!switch_event_wanted(sw, "port.link"))
		return;
	switch_event(sw, "port.link",
		     json_pack("{s:s,s:s,s:b,s:b,s:i,s:s,s:s*}", "name", name,
			       "ifname", p->grant.ifname, "up", p->up,
			       "carrier", p->carrier, "mtu", (int)p->grant.mtu,
			       "condition", p->condition, "reason", p->reason));
}

void switch_control_begin(struct switch_port *p)
{
	take_state(p);
}

void switch_control_news(struct sw *sw, struct switch_port *p)
{
	if (take_state(p))
		tell(sw, p);
}

void switch_control(struct sw *sw, struct switch_port *p)
{
	/* One that is leaving goes on to be dealt with, or its descriptor would
	 * keep the loop busy; but nobody is to hear of it any more. */
	if (p->port->ops->control(p->port) && !p->leaving)
		switch_control_news(sw, p);
	/* The connection that it goes with has ended. */
	if (atomic_load(&p->port->failed))
		switch_port_failed(sw, p);
}

void switch_control_take_over(struct sw *sw, bool again)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p))) {
		if (!p->port->ops->take_over || !(again || p->grant.resumed))
			continue;
		p->port->ops->take_over(p->port);
		switch_control_news(sw, p);
	}
}
