#include "switchd/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "switchd/broker.h"
#include "switchd/listener_internal.h"
#include "switchd/portconf_types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Room in a port's name for ".4096". */
#define NAME_MAX_LEN (PORT_NAME_MAX - 1 - 5)

const struct rpc_param listener_params[] = {
	PARAM_NAME("name", true, NULL, "name of the new listener"),
	{ .name = "type",
	  .type = RPC_ENUM,
	  .required = true,
	  .values = listen_kinds,
	  .summary = "what the guests speak" },
	{ .name = "listen",
	  .type = RPC_STRING,
	  .required = true,
	  .max_len = PORT_PATH_MAX - 1,
	  .summary = "where: /PATH, ADDR:PORT (stream), a folder (vde)" },
	PARAM_STRING("owner", 63, "who may connect"),
	PARAM_STRING("group", 63, "group that may connect"),
	PARAM_STRING("socket-mode", 4, "permissions of the socket, 0660"),
	PARAM_INT("max", 1, LISTENER_PORTS_MAX, "ports at a time"),
	PARAM_INT("rate", 1, LISTENER_RATE_MAX, "new connections a second"),
	PORTCONF_COMMON_PARAMS,
	{ 0 },
};

static const char *const refusals[] = {
	[REFUSED_LIMIT] = "limit",	   [REFUSED_TIMEOUT] = "timeout",
	[REFUSED_CROWDED] = "crowded",	   [REFUSED_REQUEST] = "bad-request",
	[REFUSED_NUMBER] = "number-taken", [REFUSED_PORT] = "no-port",
	[REFUSED_GONE] = "gone",
};

/* ---- Of a switch ---- */

struct listeners *listeners_new(void)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return NULL;
	ls->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ls->epoll_fd >= 0)
		return ls;
	free(ls);
	return NULL;
}

int listeners_fd(const struct sw *sw)
{
	return sw->listeners->epoll_fd;
}

static void listener_free(struct sw *sw, struct listener *l)
{
	listener_drop_guests(sw, l);
	if (l->grant.nfds && listener_watch(sw, l, false) < 0)
		log_warning("listener", "%s: %s", l->name, strerror(errno));
	if (sw->borrowed)
		port_grant_close(&l->grant);
	else if (l->grant.nfds)
		broker_release(sw->broker, &l->rq, &l->grant);
	json_decref(l->params);
	json_decref(l->common);
	free(l);
}

void listeners_free(struct sw *sw)
{
	struct listeners *ls = sw->listeners;

	if (!ls)
		return;
	for (unsigned int i = 0; i < LISTENERS_MAX; i++)
		if (ls->l[i])
			listener_free(sw, ls->l[i]);
	close(ls->epoll_fd);
	free(ls);
	sw->listeners = NULL;
}

void listeners_let_go(struct sw *sw)
{
	for (unsigned int i = 0; i < LISTENERS_MAX; i++)
		if (sw->listeners->l[i])
			port_grant_close(&sw->listeners->l[i]->grant);
}

struct listener *listener_find(const struct sw *sw, const char *name)
{
	for (unsigned int i = 0; i < LISTENERS_MAX; i++)
		if (sw->listeners->l[i] &&
		    !strcmp(sw->listeners->l[i]->name, name))
			return sw->listeners->l[i];
	return NULL;
}

/* The one behind `last` in order of name; NULL: there is none. */
struct listener *listener_next(const struct sw *sw, const struct listener *last)
{
	struct listener *next = NULL;

	for (unsigned int i = 0; i < LISTENERS_MAX; i++) {
		struct listener *l = sw->listeners->l[i];

		if (l && (!last || strcmp(l->name, last->name) > 0) &&
		    (!next || strcmp(l->name, next->name) < 0))
			next = l;
	}
	return next;
}

/* ---- Parameters ---- */

/* A listener's ports are of many guests: what is only for one isn't for them.
 */
static json_t *common_of(const json_t *params)
{
	static const char *const own[] = { "name",  "type",  "listen",
					   "owner", "group", "socket-mode",
					   "max",   "rate" };
	json_t *common = json_copy((json_t *)(uintptr_t)params);

	for (unsigned int i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		json_object_del(common, own[i]);
	return common;
}

static int check_name(const char *name, struct error *err)
{
	int r = portconf_check_name(name, err);

	if (r < 0 || strlen(name) <= NAME_MAX_LEN)
		return r;
	return error_set(err, EINVAL, "bad-name", "name",
			 "a listener's name has up to %d characters, since its "
			 "ports are called NAME.1 and so on",
			 NAME_MAX_LEN);
}

static int copy_name(char out[64], const json_t *params, const char *key,
		     const char *reason, struct error *err)
{
	const char *name = rpc_get_string(params, key, NULL);

	if (name && !*name)
		return error_set(err, ENOENT, reason, key,
				 "%s= is a name, which isn't empty", key);
	snprintf(out, 64, "%s", name ? name : "");
	return 0;
}

static int parse_address(const json_t *params, struct listener *l,
			 struct error *err)
{
	const char *address = rpc_get_string(params, "listen", "");
	struct listen_params *p = &l->rq.listen;
	int r = copy_name(p->owner, params, "owner", "no-such-user", err);

	if (r == 0)
		r = copy_name(p->group, params, "group", "no-such-group", err);
	if (r == 0)
		r = portconf_socket_mode(params, &l->rq.socket_mode, err);
	if (r < 0)
		return r;
	p->kind = l->ops->kind;
	snprintf(p->address, sizeof(p->address), "%s", address);
	return listen_check(&l->rq, err);
}

/* All but what is its ports'. */
static int parse_own(const char *name, const json_t *params, struct listener *l,
		     struct error *err)
{
	int r = check_name(name, err);

	if (r < 0)
		return r;
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->ops = listen_ops_find(rpc_get_string(params, "type", ""));
	if (!l->ops)
		return error_set(err, EINVAL, "bad-value", "type",
				 "there is no such kind of listener");
	snprintf(l->rq.type, sizeof(l->rq.type), "%s", port_ops_listen.type);
	snprintf(l->rq.name, sizeof(l->rq.name), "%s", name);
	l->rq.enabled = true;
	l->max = (uint32_t)rpc_get_int(params, "max", LISTENER_PORTS);
	l->rate = (uint32_t)rpc_get_int(params, "rate", LISTENER_RATE);
	return parse_address(params, l, err);
}

/* *l is zero but for what isn't parsed; l->common is to be freed. */
static int parse(const char *name, const json_t *params, const json_t *profiles,
		 struct listener *l, struct error *err)
{
	struct port_config c;
	int r = parse_own(name, params, l, err);

	if (r < 0)
		return r;
	l->common = common_of(params);
	if (!l->common)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	return portconf_parse_given(name, l->ops->name, l->common, profiles, &c,
				    err);
}

int listener_check(const char *name, const json_t *params,
		   const json_t *profiles, struct error *err)
{
	struct listener l = { .common = NULL };
	int r = parse(name, params, profiles, &l, err);

	json_decref(l.common);
	return r;
}

/* ---- One ---- */

static int find_slot(const struct sw *sw, const struct listener *l,
		     unsigned int *slot, struct error *err)
{
	unsigned int free_slot = LISTENERS_MAX;

	for (unsigned int i = LISTENERS_MAX; i-- > 0;) {
		const struct listener *other = sw->listeners->l[i];

		if (!other)
			free_slot = i;
		else if (!strcmp(other->name, l->name))
			return error_set(err, EEXIST, "listener-exists", "name",
					 "there is a listener \"%s\" already",
					 l->name);
		else if (!strcmp(other->rq.listen.address,
				 l->rq.listen.address))
			return error_set(err, EEXIST, "address-taken", "listen",
					 "listener \"%s\" listens there",
					 other->name);
	}
	if (free_slot == LISTENERS_MAX)
		return error_set(err, ENOSPC, "too-many-listeners", NULL,
				 "there can be %d listeners", LISTENERS_MAX);
	*slot = free_slot;
	return 0;
}

/* What attaching each port would find. */
static int check_worker(const struct sw *sw, const struct listener *l,
			struct error *err)
{
	struct port_config c;
	int r = portconf_parse_given(l->name, l->ops->name, l->common,
				     sw->profiles, &c, err);

	return r < 0 ? r : switch_worker_check(sw, &c, err);
}

void listener_remember(struct sw *sw, const struct listener *l)
{
	if (sw->hooks.remember)
		switch_remember(sw, "listener", l->name,
				json_pack("{s:I,s:b,s:O}", "handle",
					  (json_int_t)l->grant.handle,
					  "configured", l->configured, "params",
					  l->params));
}

/* handle: an earlier process's; 0: there is none. */
static int open_socket(struct sw *sw, struct listener *l, uint32_t handle,
		       struct error *err)
{
	if (handle &&
	    broker_adopt(sw->broker, &l->rq, handle, &l->grant, NULL) == 0)
		return 0;
	return broker_acquire(sw->broker, &l->rq, &l->grant, err);
}

static int add(struct sw *sw, const char *name, const json_t *params,
	       bool configured, uint32_t handle, struct error *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	unsigned int slot = 0;
	int r;

	if (!l)
		return error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	for (unsigned int i = 0; i < LISTENER_PENDING_MAX; i++)
		l->guest[i].fd = -1;
	l->configured = configured;
	r = parse(name, params, sw->profiles, l, err);
	if (r == 0)
		r = find_slot(sw, l, &slot, err);
	if (r == 0)
		r = check_worker(sw, l, err);
	l->params = r == 0 ? json_deep_copy(params) : NULL;
	if (r == 0 && !l->params)
		r = error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	json_object_del(l->params, "name");
	if (r == 0)
		r = open_socket(sw, l, handle, err);
	if (r < 0) {
		l->grant.nfds = 0;
		listener_free(sw, l);
		return r;
	}
	sw->listeners->l[slot] = l;
	if (listener_watch(sw, l, true) == 0)
		return 0;
	r = error_set(err, errno, "no-watch", NULL,
		      "can't wait for guests of listener \"%s\": %s", name,
		      strerror(errno));
	sw->listeners->l[slot] = NULL;
	listener_free(sw, l);
	return r;
}

int listener_add(struct sw *sw, const char *name, const json_t *params,
		 enum switch_origin origin, struct error *err)
{
	const struct listener *l;
	int r = add(sw, name, params, origin == SWITCH_ORIGIN_CONFIG, 0, err);

	if (r < 0)
		return r;
	l = listener_find(sw, name);
	listener_remember(sw, l);
	log_info("listener", "%s: %s on %s", name, l->ops->name,
		 l->rq.listen.address);
	if (switch_event_wanted(sw, "listener.added"))
		switch_event(sw, "listener.added",
			     json_pack("{s:s,s:s,s:s}", "name", name, "type",
				       l->ops->name, "listen",
				       l->rq.listen.address));
	return 0;
}

int listener_restore(struct sw *sw, const char *name, const json_t *saved,
		     struct error *err)
{
	json_t *params = json_object_get(saved, "params");
	int r = json_is_object(params)
			? rpc_params_check_some(listener_params, params, false,
						err)
			: error_set(err, EINVAL, "bad-state", NULL,
				    "what is remembered can't be right");

	return r < 0 ? r
		     : add(sw, name, params,
			   rpc_get_bool(saved, "configured", false),
			   (uint32_t)rpc_get_int(saved, "handle", 0), err);
}

void listener_close(struct sw *sw, struct listener *l, const char *reason)
{
	unsigned int slot = 0;

	while (sw->listeners->l[slot] != l)
		slot++;
	sw->listeners->l[slot] = NULL;
	switch_remember(sw, "listener", l->name, NULL);
	log_info("listener", "%s removed: %s", l->name, reason);
	if (switch_event_wanted(sw, "listener.removed"))
		switch_event(sw, "listener.removed",
			     json_pack("{s:s,s:s}", "name", l->name, "reason",
				       reason));
	listener_free(sw, l);
}

static void detach_ports(struct sw *sw, const char *name, const char *reason)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(sw, p)))
		if (!strcmp(p->listener, name))
			switch_detach(sw, p, reason);
}

int listener_remove(struct sw *sw, const char *name, struct error *err)
{
	struct listener *l = listener_find(sw, name);

	if (!l)
		return error_set(err, ENOENT, "no-such-listener", "name",
				 "there is no listener \"%s\"", name);
	detach_ports(sw, name, "listener-removed");
	listener_close(sw, l, "request");
	return 0;
}

void listener_configured_set(struct sw *sw, struct listener *l, bool configured)
{
	if (l->configured == configured)
		return;
	l->configured = configured;
	listener_remember(sw, l);
}

bool listener_is_configured(const struct listener *l)
{
	return l->configured;
}

const char *listener_name(const struct listener *l)
{
	return l->name;
}

json_t *listener_params_of(const struct listener *l)
{
	return l->params;
}

json_t *listener_common(const struct listener *l)
{
	return l->common;
}

bool listener_same_socket(const struct listener *l, const json_t *params)
{
	const struct listen_params *a = &l->rq.listen, *b;
	struct listener now = { .common = NULL };
	struct error ignored;

	b = &now.rq.listen;
	return parse_own(l->name, params, &now, &ignored) == 0 &&
	       l->ops == now.ops && !strcmp(a->address, b->address) &&
	       !strcmp(a->owner, b->owner) && !strcmp(a->group, b->group) &&
	       l->rq.socket_mode == now.rq.socket_mode;
}

int listener_change(struct sw *sw, struct listener *l, const json_t *params,
		    struct error *err)
{
	struct listener now = { .common = NULL };
	int r = parse(l->name, params, sw->profiles, &now, err);
	json_t *copy = r == 0 ? json_deep_copy(params) : NULL;

	if (r == 0 && !copy)
		r = error_set(err, ENOMEM, "no-memory", NULL, "no memory");
	if (r == 0)
		r = check_worker(sw, &now, err);
	if (r < 0) {
		json_decref(copy);
		json_decref(now.common);
		return r;
	}
	json_object_del(copy, "name");
	json_decref(l->params);
	json_decref(l->common);
	l->params = copy;
	l->common = now.common;
	l->max = now.max;
	l->rate = now.rate;
	listener_remember(sw, l);
	return 0;
}

/* ---- Shown ---- */

unsigned int listener_ports(const struct sw *sw, const struct listener *l)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < sw->index_end; i++)
		n += sw->port[i] && !sw->port[i]->leaving &&
		     !strcmp(sw->port[i]->listener, l->name);
	return n;
}

static unsigned int guests(const struct listener *l)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < LISTENER_PENDING_MAX; i++)
		n += l->guest[i].fd >= 0;
	return n;
}

/* Those that happened, by their words; *sum: all. */
static json_t *refused_json(const struct listener *l, uint64_t *sum)
{
	json_t *o = json_object();

	*sum = 0;
	for (int i = 0; i < REFUSED_COUNT; i++) {
		*sum += l->refused[i];
		if (l->refused[i])
			json_object_set_new(
				o, refusals[i],
				json_integer((json_int_t)l->refused[i]));
	}
	return o;
}

static json_t *line(const struct sw *sw, const struct listener *l)
{
	const char *description =
		rpc_get_string(l->common, "description", NULL);
	uint64_t sum;

	json_decref(refused_json(l, &sum));
	return json_pack("{s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:s*}", "name", l->name,
			 "type", l->ops->name, "listen", l->rq.listen.address,
			 "ports", (int)listener_ports(sw, l), "max",
			 (int)l->max, "accepted", (json_int_t)l->accepted,
			 "refused", (json_int_t)sum, "description",
			 description);
}

json_t *listeners_list(const struct sw *sw)
{
	const struct listener *l = NULL;
	json_t *list = json_array();

	while ((l = listener_next(sw, l)))
		json_array_append_new(list, line(sw, l));
	return list;
}

static json_t *port_names(const struct sw *sw, const struct listener *l)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < sw->index_end; i++) {
		const struct switch_port *p = sw->port[i];

		if (p && !p->leaving && !strcmp(p->listener, l->name))
			json_array_append_new(
				list, json_string(p->config.request.name));
	}
	return list;
}

json_t *listener_show(const struct sw *sw, const char *name)
{
	const struct listener *l = listener_find(sw, name);
	uint64_t sum;

	if (!l)
		return NULL;
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:O,s:o,s:i,s:i,s:i,s:I,s:o}", "name",
		l->name, "type", l->ops->name, "listen", l->rq.listen.address,
		"origin", l->configured ? "config" : "control", "parameters",
		l->params, "ports", port_names(sw, l), "max", (int)l->max,
		"rate", (int)l->rate, "asking", (int)guests(l), "accepted",
		(json_int_t)l->accepted, "refused", refused_json(l, &sum));
}

/* ---- Refusals ---- */

/* Shall this one be an event? */
static bool may_tell(struct listener *l, uint64_t now_ns)
{
	uint64_t second = now_ns / CLOCK_NS_PER_S;

	if (second != l->second) {
		l->second = second;
		l->told = 0;
	}
	if (l->told >= LISTENER_EVENTS_MAX) {
		l->untold++;
		return false;
	}
	l->told++;
	return true;
}

void listener_refused(struct sw *sw, struct listener *l,
		      enum listener_refusal why, const struct switch_peer *peer,
		      const char *detail, uint64_t now_ns)
{
	json_t *params;

	l->refused[why]++;
	if (!may_tell(l, now_ns))
		return;
	log_notice("listener", "%s refuses process %d: %s%s%s", l->name,
		   (int)peer->pid, refusals[why], detail ? ": " : "",
		   detail ? detail : "");
	if (!switch_event_wanted(sw, "listener.refused"))
		return;
	params = json_pack("{s:s,s:s,s:s*}", "name", l->name, "reason",
			   refusals[why], "message", detail);
	if (params && peer->known)
		json_object_set_new(params, "peer", switch_peer_json(peer));
	if (params && l->untold)
		json_object_set_new(params, "untold",
				    json_integer((json_int_t)l->untold));
	l->untold = 0;
	switch_event(sw, "listener.refused", params);
}
