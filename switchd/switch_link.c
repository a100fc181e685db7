/* What happens to ports' devices and connections. See switch.h. */
#include "switchd/switch.h"

#include "base/log.h"
#include "switchd/switch_fast.h"

#include <string.h>
#include <unistd.h>

void switch_port_failed(struct sw *sw, struct switch_port *p)
{
	switch_detach(sw, p,
		      p->config.request.given ? "connection-closed"
					      : "device-gone");
}

void switch_ports_failed(struct sw *sw)
{
	struct switch_port *p = NULL;
	uint64_t n;

	if (read(sw->shared.failed_fd, &n, sizeof(n)) < 0)
		return;
	switch_fast_failed(sw);
	while ((p = switch_port_next(sw, p)))
		if (atomic_load(&p->port->failed))
			switch_port_failed(sw, p);
}

void switch_port_link(struct sw *sw, struct switch_port *p, const char *ifname,
		      bool up, bool carrier, uint32_t mtu)
{
	bool same = p->up == up && p->carrier == carrier &&
		    p->grant.mtu == mtu && !strcmp(p->grant.ifname, ifname);

	if (same)
		return;
	snprintf(p->grant.ifname, sizeof(p->grant.ifname), "%s", ifname);
	p->up = up;
	p->carrier = carrier;
	p->grant.mtu = mtu;
	atomic_store(&p->port->mtu, mtu);
	if (p->grant.fast)
		switch_dirty(sw); /* the kernel goes by it */
	log_info("port", "%s: %s, carrier %s, mtu %u", p->config.request.name,
		 up ? "up" : "down", carrier ? "on" : "off", mtu);
	if (switch_event_wanted(sw, "port.link"))
		switch_event(sw, "port.link",
			     json_pack("{s:s,s:s,s:b,s:b,s:i}", "name",
				       p->config.request.name, "ifname", ifname,
				       "up", up, "carrier", carrier, "mtu",
				       (int)mtu));
}
