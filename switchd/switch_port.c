/* The ports of a switch: attach, restore, change. See switch.h; the leaving are
 * in switch_leave.c. */
#include "switchd/switch.h"

#include "base/log.h"
#include "ports/listen.h"
#include "switchd/broker.h"
#include "switchd/switch_fast.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- Looking them up ---- */

struct switch_port *switch_port_next(struct sw *sw, const struct switch_port *p)
{
	for (uint32_t i = p ? p->port->index + 1 : 0; i < sw->index_end; i++)
		if (sw->port[i] && !sw->port[i]->leaving)
			return sw->port[i];
	return NULL;
}

struct switch_port *switch_port_find(struct sw *sw, const char *name)
{
	const json_t *index = json_object_get(sw->names, name);

	return index ? sw->port[json_integer_value(index)] : NULL;
}

static int name_add(struct sw *sw, const char *name, uint32_t index)
{
	return json_object_set_new(sw->names, name,
				   json_integer((json_int_t)index));
}

struct switch_port *switch_port_by_ifindex(struct sw *sw, int ifindex)
{
	struct switch_port *p = NULL;

	while (ifindex && (p = switch_port_next(sw, p)))
		if (p->grant.ifindex == ifindex && !p->elsewhere)
			return p;
	return NULL;
}

/* ---- Attaching ---- */

/* The device of that name now, 0 where there is none (yet), or where it lies
 * in another network namespace. */
static int request_ifindex(const struct port_request *rq)
{
	const char *ifname = port_request_ifname(rq);

	if (!*ifname || (!strcmp(rq->type, "tap") && *rq->tap.netns))
		return 0;
	return (int)if_nametoindex(ifname);
}

/*
 * A guest that is started again under the same name comes with a new device
 * before netlink has told us that the old one is gone. The index tells: a
 * device that was only renamed still has its own.
 */
static void detach_stale(struct sw *sw, const char *ifname)
{
	struct switch_port *p = NULL;
	char now[IFNAMSIZ];

	while (*ifname && (p = switch_port_next(sw, p)))
		if (!strcmp(p->config.request.type, "netdev") &&
		    !strcmp(p->grant.ifname, ifname) &&
		    !if_indextoname((unsigned int)p->grant.ifindex, now))
			switch_detach(sw, p, "device-gone");
}

/* The same socket? Listening on it twice can't be, nor can two ports be the
 * device of one guest. */
static bool same_socket(const struct port_request *a,
			const struct port_request *b)
{
	const char *socket = port_request_socket(a);

	return *socket && !strcmp(socket, port_request_socket(b));
}

/* Do both use the same device, file or socket, or go by the same name? */
static bool same_thing(const struct switch_port *p,
		       const struct port_request *rq, int ifindex)
{
	const struct port_request *its = &p->config.request;
	const char *ifname = port_request_ifname(rq);

	if (!strcmp(its->name, rq->name)) /* events come in their order */
		return true;
	if (*ifname && !strcmp(p->grant.ifname, ifname))
		return true;
	if (ifindex && p->grant.ifindex == ifindex) /* renamed meanwhile */
		return true;
	if (same_socket(its, rq))
		return true;
	return !strcmp(its->type, "pcap") && !strcmp(rq->type, "pcap") &&
	       !strcmp(its->pcap.file, rq->pcap.file);
}

/* Is a port that is leaving in the way of a new one? */
static bool must_settle(const struct sw *sw, const struct port_request *rq,
			int ifindex)
{
	uint32_t used = 0, leaving = 0;

	for (uint32_t i = 0; i < sw->index_end; i++) {
		const struct switch_port *p = sw->port[i];

		used += p != NULL;
		if (!p || !p->leaving)
			continue;
		if (same_thing(p, rq, ifindex))
			return true;
		leaving++;
	}
	return leaving && used == sw->shared.ports_max;
}

bool switch_attach_settles(const struct sw *sw, const struct port_request *rq)
{
	return must_settle(sw, rq, request_ifindex(rq));
}

static int check_socket(struct sw *sw, const struct port_request *rq,
			struct error *err)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p)))
		if (same_socket(&p->config.request, rq))
			return error_set(err, EEXIST, "path-attached",
					 port_request_socket_param(rq),
					 "%s is attached already, as port "
					 "\"%s\"",
					 port_request_socket(rq),
					 p->config.request.name);
	return 0;
}

static int check_conflicts(struct sw *sw, const struct port_request *rq,
			   struct error *err)
{
	const char *ifname = port_request_ifname(rq);
	const struct switch_port *other;
	int ifindex;

	detach_stale(sw, ifname);
	ifindex = request_ifindex(rq);
	if (must_settle(sw, rq, ifindex))
		switch_settle(sw);
	if (switch_port_find(sw, rq->name))
		return error_set(err, EEXIST, "port-exists", "name",
				 "there is a port \"%s\" already", rq->name);
	other = switch_port_by_ifindex(sw, ifindex);
	if (other)
		return error_set(err, EEXIST, "device-attached", "ifname",
				 "%s is attached already, as port \"%s\"",
				 ifname, other->config.request.name);
	return check_socket(sw, rq, err);
}

static int index_alloc(struct sw *sw, uint32_t *index, struct error *err)
{
	for (uint32_t i = 0; i < sw->shared.ports_max; i++) {
		if (sw->port[i])
			continue;
		*index = i;
		return 0;
	}
	return error_set(err, ENOSPC, "too-many-ports", NULL,
			 "all %u ports are in use (the configuration's "
			 "ports-max)",
			 sw->shared.ports_max);
}

/*
 * handle: what an earlier process had; 0: the device is acquired. A connection
 * that was given is in the grant, and is still there if it wasn't taken.
 */
static int port_start(struct sw *sw, struct switch_port *p, uint32_t index,
		      uint32_t handle, struct error *err)
{
	const struct port_ops *ops = port_ops_find(p->config.request.type);
	struct port_request *rq = &p->config.request;
	int given = rq->given && !handle ? p->grant.fd[0] : -1, r;

	if (!strcmp(rq->type, "netdev"))
		rq->netdev.fast = sw->fastpath != NULL;
	r = handle ? broker_adopt(sw->broker, rq, handle, &p->grant, err)
		   : broker_acquire(sw->broker, rq, &p->grant, err);
	if (r < 0) {
		p->grant.nfds = given >= 0;
		p->grant.fd[0] = given;
		return r;
	}
	r = switch_fast_place(sw, p, index, err);
	if (r == 0)
		p->port = ops->open(rq, &p->grant, err);
	if (!p->port) {
		broker_release(sw->broker, rq, &p->grant);
		p->grant.nfds = 0;
		return err->err ? -err->err : -ENOMEM;
	}
	p->port->index = index;
	p->port->generation = ++sw->generation[index];
	switch_place(sw, p);
	p->up = p->config.request.enabled;
	p->carrier = p->grant.carrier;
	p->elsewhere = !strcmp(p->config.request.type, "tap") &&
		       *p->config.request.tap.netns;
	switch_control_begin(p);
	r = switch_receive_add(p);
	if (r == 0)
		r = fdb_port_set(sw->shared.fdb, index, p->config.uplink, 0);
	if (r == 0)
		return 0;
	p->port->ops->close(p->port);
	broker_release(sw->broker, rq, &p->grant);
	p->grant.nfds = 0;
	return error_set(err, -r, "no-watch", NULL,
			 "can't wait for frames of port \"%s\": %s",
			 p->config.request.name, strerror(-r));
}

/* The same, under its name. */
static int port_enter(struct sw *sw, struct switch_port *p, uint32_t index,
		      uint32_t handle, struct error *err)
{
	const char *name = p->config.request.name;
	int r;

	if (name_add(sw, name, index) < 0)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	r = port_start(sw, p, index, handle, err);
	if (r < 0)
		json_object_del(sw->names, name);
	return r;
}

/*
 * A port keeps what its profile said when the profile was given. The switch's
 * profiles are replaced as a whole, so a reference to the one is enough.
 */
static json_t *profiles_keep(const struct sw *sw, const char *name)
{
	json_t *profile = json_object_get(sw->profiles, name);

	return *name && profile ? json_pack("{s:O}", name, profile) : NULL;
}

/* It has its place among the others. */
static void port_seat(struct sw *sw, struct switch_port *p, uint32_t index)
{
	p->sw = sw;
	sw->port[index] = p;
	if (index >= sw->index_end)
		sw->index_end = index + 1;
	sw->nports++;
	switch_dirty(sw);
}

static void tell_attached(struct sw *sw, const struct switch_port *p)
{
	json_t *params;

	log_info("port", "%s attached: %s %s", p->config.request.name,
		 p->config.request.type, p->grant.ifname);
	if (!switch_event_wanted(sw, "port.attached"))
		return;
	params = json_pack("{s:s,s:s,s:s}", "name", p->config.request.name,
			   "type", p->config.request.type, "ifname",
			   p->grant.ifname);
	if (params && *p->listener)
		json_object_update_new(
			params, json_pack("{s:s,s:o*}", "listener", p->listener,
					  "peer", switch_peer_json(&p->peer)));
	switch_event(sw, "port.attached", params);
}

/*
 * A port whose configuration and owner are set gets its device and its place,
 * or is freed. Its name may be a key of sw->missing, which goes.
 */
static struct switch_port *attach(struct sw *sw, struct switch_port *p,
				  json_t *params, struct error *err)
{
	uint32_t index = 0;

	if (switch_worker_check(sw, &p->config, err) < 0 ||
	    check_conflicts(sw, &p->config.request, err) < 0 ||
	    index_alloc(sw, &index, err) < 0 ||
	    port_enter(sw, p, index, 0, err) < 0) {
		if (p->config.request.given)
			port_grant_close(&p->grant);
		free(p);
		return NULL;
	}
	p->params = json_deep_copy(params);
	json_object_del(p->params, "name");
	p->profiles = profiles_keep(sw, p->config.profile);
	port_seat(sw, p, index);
	switch_missing_forget(sw, p->config.request.name);
	switch_static_install(sw, p);
	switch_remember_port(sw, p);
	tell_attached(sw, p);
	if (sw->hooks.attached)
		sw->hooks.attached(sw->hooks.ctx, p);
	return p;
}

struct switch_port *switch_attach(struct sw *sw, const char *name,
				  json_t *params, enum switch_origin origin,
				  uid_t uid, struct error *err)
{
	struct switch_port *p = calloc(1, sizeof(*p));

	if (!p) {
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	p->origin = origin;
	p->uid = uid;
	if (portconf_parse(name, params, sw->profiles, &p->config, err) == 0)
		return attach(sw, p, params, err);
	free(p);
	return NULL;
}

/* What a given port has of its own besides its parameters. */
static void take_request(struct port_request *rq,
			 const struct port_request *own)
{
	const struct port_request parsed = *rq;

	*rq = *own;
	memcpy(rq->name, parsed.name, sizeof(rq->name));
	rq->mtu = parsed.mtu;
	rq->enabled = parsed.enabled;
	rq->given = true;
}

struct switch_port *switch_attach_given(struct sw *sw,
					const struct switch_given *g,
					struct error *err)
{
	struct switch_port *p = calloc(1, sizeof(*p));

	if (!p) {
		close(g->fd);
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
		return NULL;
	}
	p->origin = SWITCH_ORIGIN_TRANSIENT;
	p->uid = SWITCH_NOBODY;
	p->peer = g->peer;
	snprintf(p->listener, sizeof(p->listener), "%s", g->listener);
	p->grant.nfds = 1;
	p->grant.fd[0] = g->fd;
	if (portconf_parse_given(g->name, g->request->type, g->params,
				 sw->profiles, &p->config, err) == 0) {
		take_request(&p->config.request, g->request);
		return attach(sw, p, g->params, err);
	}
	close(g->fd);
	free(p);
	return NULL;
}

json_t *switch_peer_json(const struct switch_peer *peer)
{
	return peer->known ? json_pack("{s:i,s:I,s:I}", "pid", (int)peer->pid,
				       "uid", (json_int_t)peer->uid, "gid",
				       (json_int_t)peer->gid)
			   : NULL;
}

/*
 * Whether a record is one that we'd write, whoever has written it. Its place:
 * learned addresses and counters go by the index.
 */
static int check_saved(const struct sw *sw, const char *name,
		       const json_t *saved, struct port_config *config,
		       struct error *err)
{
	json_t *params = json_object_get(saved, "params");
	int64_t i = rpc_get_int(saved, "index", -1);
	int64_t origin = rpc_get_int(saved, "origin", -1);
	const json_t *profiles = json_object_get(saved, "profiles");
	const char *listener = rpc_get_string(saved, "listener", "");
	const char *type = rpc_get_string(saved, "type", "");
	int r;

	if ((*listener &&
	     (!listen_ops_find(type) || strlen(listener) >= PORT_NAME_MAX)) ||
	    !json_is_object(params) || origin < SWITCH_ORIGIN_CONTROL ||
	    origin > SWITCH_ORIGIN_TRANSIENT || i < 0 ||
	    i >= sw->shared.ports_max || sw->port[i])
		return error_set(err, EINVAL, "bad-state", NULL,
				 "what is remembered of it can't be right");
	r = rpc_params_check(portconf_params, params, err);
	if (r < 0)
		return r;
	return *listener ? portconf_parse_given(name, type, params, profiles,
						config, err)
			 : portconf_parse(name, params, profiles, config, err);
}

/* A dummy has no device that anybody could hold. */
static int check_held(const struct port_config *c, uint32_t handle,
		      struct error *err)
{
	if (handle || !strcmp(c->request.type, "dummy"))
		return 0;
	return error_set(err, ENOENT, "not-held", NULL,
			 "its device isn't held");
}

static void restore_peer(struct switch_port *p, const json_t *saved)
{
	const json_t *peer = json_object_get(saved, "peer");

	snprintf(p->listener, sizeof(p->listener), "%s",
		 rpc_get_string(saved, "listener", ""));
	p->peer = (struct switch_peer){
		.known = json_is_object(peer),
		.pid = (pid_t)rpc_get_int(peer, "pid", 0),
		.uid = (uid_t)rpc_get_int(peer, "uid", 0),
		.gid = (gid_t)rpc_get_int(peer, "gid", 0),
	};
}

struct switch_port *switch_port_restore(struct sw *sw, const char *name,
					const json_t *saved, struct error *err)
{
	uint32_t handle = (uint32_t)rpc_get_int(saved, "handle", 0);
	uint32_t index = (uint32_t)rpc_get_int(saved, "index", 0);
	struct switch_port *p = calloc(1, sizeof(*p));

	if (!p)
		error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	if (!p || check_saved(sw, name, saved, &p->config, err) < 0 ||
	    check_held(&p->config, handle, err) < 0 ||
	    port_enter(sw, p, index, handle, err) < 0) {
		free(p);
		return NULL;
	}
	p->params = json_incref(json_object_get(saved, "params"));
	p->profiles = json_incref(json_object_get(saved, "profiles"));
	p->origin = (enum switch_origin)rpc_get_int(saved, "origin", 0);
	p->uid = (uid_t)rpc_get_int(saved, "uid", 0);
	restore_peer(p, saved);
	port_seat(sw, p, index);
	if (sw->hooks.attached)
		sw->hooks.attached(sw->hooks.ctx, p);
	return p;
}

void switch_port_origin(struct sw *sw, struct switch_port *p,
			enum switch_origin origin)
{
	if (p->origin == origin)
		return;
	p->origin = origin;
	switch_remember_port(sw, p);
}

/* ---- Changing ---- */

/* What was given, with the changes; null takes a parameter back. */
static json_t *params_merge(const json_t *given, const json_t *changes)
{
	json_t *merged = json_deep_copy(given), *value;
	const char *key;
	void *next;

	json_object_foreach_safe((json_t *)changes, next, key, value)
	{
		if (json_is_null(value))
			json_object_del(merged, key);
		else
			json_object_set(merged, key, value);
	}
	return merged;
}

/* Device first: it is what can refuse. */
static int port_change(struct sw *sw, struct switch_port *p,
		       const struct port_config *c, struct error *err)
{
	int r;

	if (c->request.enabled != p->config.request.enabled ||
	    c->request.mtu != p->config.request.mtu ||
	    (c->request.mtu && c->request.mtu != p->grant.mtu)) {
		r = broker_adjust(sw->broker, &c->request, &p->grant, err);
		if (r < 0)
			return r;
		atomic_store(&p->port->mtu, p->grant.mtu);
	}
	/* What was behind it may be found elsewhere now. */
	if ((!c->request.enabled && p->config.request.enabled) ||
	    memcmp(c->vlans, p->config.vlans, sizeof(c->vlans)) != 0)
		switch_flush(sw, (int)p->port->index);
	p->config = *c;
	return fdb_port_set(sw->shared.fdb, p->port->index, c->uplink, 0);
}

static int parse_changed(const struct switch_port *p, const json_t *params,
			 const json_t *profiles, struct port_config *c,
			 struct error *err)
{
	const struct port_request *rq = &p->config.request;
	int r;

	if (!rq->given)
		return portconf_parse(rq->name, params, profiles, c, err);
	r = json_object_get(params, "type")
		    ? error_set(err, EBUSY, "needs-reattach", "type",
				"the type is that of listener \"%s\"",
				p->listener)
		    : portconf_parse_given(rq->name, rq->type, params, profiles,
					   c, err);
	if (r == 0)
		take_request(&c->request, rq);
	return r;
}

int switch_port_set(struct sw *sw, struct switch_port *p, const json_t *changes,
		    struct error *err)
{
	json_t *params = params_merge(p->params, changes);
	bool anew = json_object_get(changes, "profile") != NULL;
	struct port_config c = { 0 };
	int r;

	if (!params)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	r = parse_changed(p, params, anew ? sw->profiles : p->profiles, &c,
			  err);
	if (r == 0)
		r = switch_worker_check(sw, &c, err);
	if (r == 0 && !portconf_same_device(&c, &p->config))
		r = error_set(err, EBUSY, "needs-reattach",
			      portconf_device_param(changes),
			      "that belongs to the device of port \"%s\": "
			      "detach it and attach it anew",
			      p->config.request.name);
	if (r == 0)
		r = port_change(sw, p, &c, err);
	if (r < 0) {
		json_decref(params);
		return r;
	}
	switch_pin(sw, p);
	json_decref(p->params);
	p->params = params;
	if (anew) {
		json_decref(p->profiles);
		p->profiles = profiles_keep(sw, c.profile);
	}
	switch_remember_port(sw, p);
	switch_dirty(sw);
	if (switch_event_wanted(sw, "port.changed"))
		switch_event(
			sw, "port.changed",
			json_pack("{s:s}", "name", p->config.request.name));
	return 0;
}
