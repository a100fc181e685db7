/*
 * daemon - the switch with a control socket, a configuration and a clock
 *
 * Everything that the main thread does: the event loop (libevent), the control
 * socket's methods, signals, netlink, the one timer. Workers run beside it and
 * are never waited for.
 *
 * With a monitor (switchd/monitor.h) this is the switch process, confined, and
 * what it knows is written to a journal as it changes. Such a process may begin
 * with what an earlier one has left:
 *
 *     fresh ─────────────────────────┐
 *     crashed: journal ──────────────┼──► live ──► halted ──► ended
 *     upgrade: journal ──► loaded ───┘   ▲  │ HAND_OVER │ DONE
 *                            GO          └──┴── RESUME ─┘
 *
 * daemon.c has the loop, daemon_start.c the way to `live`, daemon_orders.c what
 * the monitor orders, daemon_control.c what ports wait for, daemon_listen.c
 * what listeners do.
 *
 * Threads: main.
 */
#ifndef SWITCHD_DAEMON_H
#define SWITCHD_DAEMON_H

#include "control/rpc_server.h"
#include "switchd/access.h"
#include "switchd/broker.h"
#include "switchd/config.h"

#include <event2/event.h>

struct journal;
struct link_monitor;
struct roles;

/* From the command line; strings are borrowed. */
struct daemon_options {
	const char *config;   /* file; NULL: none */
	const char *socket;   /* NULL: the configuration's or the default */
	unsigned int workers; /* 0: the configuration's or the default */
	bool monitored;	      /* this is a monitor's switch process */
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
	struct event *listen, *listen_due; /* guests; time alone */
	struct event *sigterm, *sigint, *sighup;
	uint64_t watchdog_ns; /* 0: no watchdog */
	int exit_status;

	struct broker *broker;	   /* NULL: no monitor */
	struct fastpath *fastpath; /* the kernel's; NULL: none */
	struct port *cpu_port;	   /* what comes up from there */
	bool restored;		   /* by what an earlier process has left */
	struct broker_start start;
	struct journal *journal; /* NULL: no monitor, or not live yet */
	bool live;		 /* this process forwards */
	bool quiet;	  /* an upgrade is under way: nothing may change */
	bool forgetful;	  /* something didn't get into the journal */
	bool handed_over; /* another process forwards: nothing is put back */
	struct event *order, *leave;
	struct rpc_call *upgrade_call; /* who asked; NULL: nobody waits */
	unsigned int leave_tries;
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

/*
 * Detach everything, close everything. NULL is fine. Not where d->handed_over:
 * everything is another process's then, and this one just ends.
 */
void daemon_free(struct daemon *d);

/* ---- For the files of this module ---- */

/* An event of the loop; tv NULL and what 0: it isn't added. NULL: no memory. */
struct event *daemon_event(struct daemon *d, int fd, short what,
			   event_callback_fn fn, const struct timeval *tv);

/* Make the events of the loop, all but the monitor's. 0 or -errno. */
int daemon_make_events(struct daemon *d, struct error *err)
	__attribute__((warn_unused_result));

/* Get ready: `live`, or, in an upgrade, loaded. Returns 0 or -errno. */
int daemon_start(struct daemon *d, struct error *err)
	__attribute__((warn_unused_result));

/* From loaded to live: the predecessor forwards no more. 0 or -errno. */
int daemon_go(struct daemon *d, struct error *err)
	__attribute__((warn_unused_result));

/* An event of the loop: the monitor says something. */
void daemon_on_order(evutil_socket_t fd, short what, void *arg);

/*
 * A port is there, or goes: its control descriptor. All of them, from when this
 * process is `live`, and no longer. The loop is over. (daemon_control.c)
 */
void daemon_control_watch(struct daemon *d, struct switch_port *p);
void daemon_control_unwatch(struct switch_port *p);
void daemon_control_all(struct daemon *d, bool on);
void daemon_control_end(struct daemon *d);

/*
 * Guests that connect to listeners (daemon_listen.c): make the events; wait for
 * them, or don't, as in an upgrade. Returns 0 or -ENOMEM.
 */
int daemon_listen_init(struct daemon *d) __attribute__((warn_unused_result));
void daemon_listen(struct daemon *d, bool on);

/* Ask for an upgrade; answers the call, now or later. */
void daemon_upgrade(struct daemon *d, struct rpc_call *call);

/* HUP, or the monitor's word of it. */
void daemon_hup(struct daemon *d);

/* Have the switch tell the daemon what happens. */
void daemon_hook(struct daemon *d);

/* Write the journal anew if it is mostly out of date, or `anyway`. */
void daemon_compact(struct daemon *d, bool anyway);

/* A hook of the switch: into the journal. */
void daemon_remember(void *ctx, const char *key, const json_t *value);

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
