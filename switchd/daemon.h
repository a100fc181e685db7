/*
 * daemon - the switch with a control socket, a configuration and a clock
 *
 * Everything that the main thread does: the event loop (libevent), the control
 * socket's methods, signals, netlink, the one timer. Workers run beside it and
 * are never waited for.
 *
 * Threads: main.
 */
#ifndef SWITCHD_DAEMON_H
#define SWITCHD_DAEMON_H

#include "control/rpc_server.h"
#include "switchd/access.h"
#include "switchd/config.h"

#include <event2/event.h>

struct link_monitor;
struct roles;

/* From the command line; strings are borrowed. */
struct daemon_options {
	const char *config;   /* file; NULL: none */
	const char *socket;   /* NULL: the configuration's or the default */
	unsigned int workers; /* 0: the configuration's or the default */
};

struct daemon {
	struct daemon_options options;
	struct config_daemon settings; /* resolved: nothing in it is empty */
	json_t *daemon_json;	       /* as the file has it, for config.save */
	struct event_base *base;
	struct sw *sw;
	struct rpc_server *rpc;	   /* the control socket */
	struct rpc_server *helper; /* switchd-helper's; NULL: none */
	struct roles *roles;	   /* who is who on the control socket */
	struct access_refused refused;
	struct link_monitor *links;
	struct event *commit, *reap, *tick, *failed, *link, *fdb_events;
	struct event *sigterm, *sigint, *sighup;
	uint64_t watchdog_ns; /* 0: no watchdog */
	int exit_status;
};

/* The methods of the control socket and of the helper's; ctx: the daemon. */
extern const struct rpc_method daemon_methods[];
extern const struct rpc_method daemon_helper_methods[];

/*
 * Make the switch, apply the configuration, open the sockets. Returns NULL
 * with *err: nothing is left behind.
 */
struct daemon *daemon_new(const struct daemon_options *options,
			  struct error *err);

/* Run until TERM or INT. Returns the exit status. */
int daemon_run(struct daemon *d);

/* Detach everything, close everything. NULL is fine. */
void daemon_free(struct daemon *d);

/* config_apply(), and the event that tells it. */
int daemon_apply(struct daemon *d, const json_t *config,
		 struct config_changes *changes, struct error *err)
	__attribute__((warn_unused_result));

/* Read the configuration file again. Returns 0 or -errno with *err; then the
 * running switch is as it was. */
int daemon_reload(struct daemon *d, struct config_changes *changes,
		  struct error *err) __attribute__((warn_unused_result));

/* Turn the FDB's change records into events while somebody subscribes. */
void daemon_fdb_events(struct daemon *d);

/* Seconds on the clock that the FDB lives by. */
uint32_t daemon_now_s(void);

#endif
