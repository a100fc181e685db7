/*
 * methods - the handlers behind the control socket's methods
 *
 * methods.c has the table: names, parameters, help. Each file method_*.c has
 * the handlers of some objects. A handler gets parameters that the table has
 * checked, does its work on the main thread, and answers.
 */
#ifndef SWITCHD_METHODS_H
#define SWITCHD_METHODS_H

#include "switchd/daemon.h"

#define PAGE_DEFAULT 1000 /* entries a page where `limit` isn't given */
#define PAGE_MAX     10000

typedef void method_fn(struct rpc_call *call, json_t *params, void *ctx);

method_fn method_switch_show, method_switch_set, method_switch_upgrade,
	method_stats_show, method_worker_list, method_vlan_list,
	method_event_subscribe;
method_fn method_port_attach, method_port_detach, method_port_set,
	method_port_list, method_port_show;
method_fn method_fdb_list, method_fdb_add, method_fdb_remove, method_fdb_flush;
method_fn method_profile_list, method_profile_show, method_mirror_add,
	method_mirror_remove, method_mirror_list, method_config_show,
	method_config_apply, method_config_save;
method_fn method_listener_add, method_listener_remove, method_listener_list,
	method_listener_show;
method_fn method_helper_attach;

/* The port named by params[key]; answers the call with no-such-port and
 * returns NULL where there is none. */
struct switch_port *method_port(struct rpc_call *call, struct daemon *d,
				const json_t *params, const char *key);

/* One side of a port's counters as an object, with its drops by reason; with
 * `zeros` also the reasons that never happened. */
json_t *method_rx(const struct port_counters *c, bool zeros);
json_t *method_tx(const struct port_counters *c, bool zeros);

/* What a port of type vhost-user knows of its guest, an object. */
json_t *method_guest(const struct switch_port *p);

/*
 * The number in params["after"], which an earlier page gave as `next`.
 * *given: is there one? Returns false where it is no number; the call is
 * answered then.
 */
bool method_after(struct rpc_call *call, const json_t *params,
		  unsigned long long *after, bool *given);

/* A list's page: {"KEY": list, "next": next}; `next` empty: the last. */
json_t *method_page(const char *key, json_t *list, const char *next);

#endif
