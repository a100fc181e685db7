/*
 * switch - ports, VLANs, mirrors and the FDB as one thing: the switch
 *
 * The model behind the control socket and the configuration file, without a
 * word of JSON-RPC and without an event loop, so that the simulator drives the
 * same code as the daemon.
 *
 * Life of a port: attached (its index is in the published snapshot) ─►
 * leaving (out of the next snapshot; a worker may still hold it) ─► gone
 * (after the grace period: closed, released, its addresses flushed, its index
 * free for another). A change marks the switch dirty; switch_commit() turns
 * all changes since the last one into one snapshot. Whoever runs the loop
 * commits once a round and reaps until nothing is left (`hooks`).
 *
 * Errors are struct error with the reason word and path that the control
 * socket shows. Threads: main; the workers only see snapshots.
 */
#ifndef SWITCHD_SWITCH_H
#define SWITCHD_SWITCH_H

#include "fdb/fdb.h"
#include "switchd/fastpath_mix.h"
#include "switchd/portconf.h"
#include "switchd/worker.h"

#define SWITCH_PORTS_DEFAULT 4096
#define SWITCH_WORKERS_MAX   8

/* What is fixed for the life of the process. */
struct switch_options {
	unsigned int workers;	/* 1 to SWITCH_WORKERS_MAX */
	bool threads;		/* false: the caller steps the workers */
	uint32_t ports_max;	/* 0 = SWITCH_PORTS_DEFAULT */
	uint32_t fdb_entries;	/* 0 = FDB_ENTRIES_DEFAULT */
	uint64_t fdb_secret[2]; /* random */
	struct broker *broker;	/* the monitor's; NULL: no monitor, and nothing
				 * outlives the process */
	int fdb_fd; /* with a broker: a predecessor's FDB (borrowed), or -1 */
	/* Of a predecessor, the kernel's FDB is to be believed. */
	bool fdb_kept;
	struct fastpath *fastpath; /* borrowed; NULL: none */
	struct port *cpu_port;	   /* its CPU port; borrowed */
};

/* What `switch.set` and the configuration's "switch" object change. */
struct switch_settings {
	uint32_t age_s;		   /* seconds; 0 = never */
	uint16_t tpid;		   /* 0x8100, or 0x88a8 for a provider bridge */
	uint16_t forward_reserved; /* bit N: 01-80-C2-00-00-0N passes */
	bool fast_path;		   /* the kernel forwards what it can */
	uint32_t dead_after_s;	   /* it stops so long after us; 0 = never */
	uint32_t poll_us; /* longest window of polling.h; 0 = sleep at once */
};

#define SWITCH_POLL_US_DEFAULT 50 /* how it was chosen: HACKING, Speed */
#define SWITCH_POLL_US_MAX     10000

/* Where nothing is said. */
#define SWITCH_SETTINGS_INIT                                                 \
	{                                                                    \
		.age_s = FDB_AGE_DEFAULT, .tpid = 0x8100, .fast_path = true, \
		.poll_us = SWITCH_POLL_US_DEFAULT                            \
	}

#define SWITCH_NOBODY ((uid_t)-1)

enum switch_origin {
	SWITCH_ORIGIN_CONTROL,	 /* attached by hand: config.save keeps it */
	SWITCH_ORIGIN_CONFIG,	 /* from the configuration */
	SWITCH_ORIGIN_TRANSIENT, /* by a guest's script or helper: comes and
				  * goes with the guest, never saved */
};

/* What is known of the load, in switch_worker.c. */
struct switch_queue_load {
	uint64_t rate;	   /* frames a second, of the last seconds */
	uint64_t moved_ns; /* when it came to its worker; 0: at its start */
};

struct switch_worker_load {
	uint64_t rate;	      /* frames a second */
	unsigned int awake;   /* percent of the time */
	unsigned int polling; /* ... thereof looking for frames */
	uint64_t frames;      /* ever, when last asked; and so: */
	uint64_t awake_ns, polling_ns;
};

/* Who is at the other end of a connection, where its socket says so. */
struct switch_peer {
	bool known;
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

struct switch_port {
	struct port_config config;
	json_t *profiles; /* its profile as it was when it was given; or NULL */
	json_t *params;	  /* as given: what config.save writes */
	struct port_grant grant;
	struct port *port;
	struct worker *worker[PORT_FDS_MAX]; /* that receives, by queue */
	uint32_t moving;   /* bit N: queue N is nobody's in the next snapshot */
	uint32_t arriving; /* ... is its new worker's, who hasn't got it yet */
	struct switch_queue_load load[PORT_FDS_MAX];
	uint64_t received[SWITCH_WORKERS_MAX]; /* frames, when last asked */
	enum switch_origin origin;
	uid_t uid; /* who attached it; SWITCH_NOBODY: a guest */
	/* Of a listener's: its listener's name, or ""; who has connected. */
	char listener[PORT_NAME_MAX];
	struct switch_peer peer;
	bool leaving;	  /* out of the next snapshot */
	bool retiring;	  /* out of the published one */
	bool receiving;	  /* the workers have its descriptors */
	bool elsewhere;	  /* its device is in another network namespace */
	bool up, carrier; /* of a device, as last seen */
	/* Of a port that speaks with its other end (struct port_state), as last
	 * told; NULL: it is none; it is well. */
	const char *condition, *reason;
	void *loop; /* of whoever runs the loop, from hooks.attached to gone */
	char why[32]; /* it leaves */
	struct fastpath_mix mix;
	struct epoch_retired retired;
	struct sw *sw;
};

struct listeners;
struct switch_fdb;

struct switch_mirror {
	char name[PORT_NAME_MAX];
	char to[PORT_NAME_MAX];
	json_t *params;	 /* as given */
	json_t *from;	 /* array of port names; NULL = all */
	json_t *watched; /* the same as keys of an object */
	bool configured; /* by the configuration, not by hand */
	bool in, out;
	bool has_vlans;
	uint64_t vlans[SNAPSHOT_VLANS / 64];
};

/* Called on the main thread; all may be NULL. */
struct switch_hooks {
	/* Call switch_commit() once this round of the loop is over. */
	void (*dirty)(void *ctx);
	/* Something happened; steals params. Topics: switchd-protocol(7). */
	void (*event)(void *ctx, const char *topic, json_t *params);
	/* A port was attached, has gone (its grant is still good). */
	void (*attached)(void *ctx, struct switch_port *p);
	void (*gone)(void *ctx, struct switch_port *p);
	/* `key` is now what a new process would need to know; NULL: it needn't
	 * know of it any more. Borrowed. */
	void (*remember)(void *ctx, const char *key, const json_t *value);
	/* Is anybody listening? Saves building params. */
	bool (*wanted)(void *ctx, const char *topic);
	void *ctx;
};

struct sw {
	struct worker_shared shared;
	struct worker *worker[SWITCH_WORKERS_MAX];
	unsigned int nworkers;
	struct switch_settings settings;
	struct switch_hooks hooks;
	struct switch_port **port; /* by index; NULL = free */
	uint32_t *generation;	   /* by index: how often it was given out */
	json_t *names;		   /* object: name -> index of attached ones */
	json_t *missing; /* object: name -> what a port was given whose device
			  * has vanished; saved, and attached with the next
			  * configuration. {"params": .., "configured": ..,
			  * "uid": who attached it} */
	uint32_t nports; /* attached ones, without the leaving */
	uint32_t index_end; /* highest index in use + 1 */
	struct switch_mirror *mirror[SNAPSHOT_MIRRORS_MAX];
	unsigned int nmirrors;
	struct listeners *listeners;  /* listener.h */
	json_t *profiles;	      /* object: name -> parameters */
	struct switch_flush *flushes; /* due with the next snapshot */
	struct switch_move *moves;    /* the same */
	struct switch_worker_load load[SWITCH_WORKERS_MAX];
	uint64_t balanced_ns; /* when the load was measured last */
	unsigned int advised; /* so many times in a row: move something */
	json_t *statics;      /* object, see static.c */
	bool dirty;
	uint64_t started_ns;	   /* CLOCK_MONOTONIC */
	struct broker *broker;	   /* borrowed; NULL: none */
	struct switch_fdb *fdb;	   /* memory that outlives us; NULL: none */
	struct fastpath *fastpath; /* borrowed; NULL: none */
	struct port *cpu_port;	   /* of it; borrowed */
	bool fast_live;		   /* its CPU port is this process's */
	bool fdb_outlives;	   /* the FDB's memory outlives this process */
	/* Addresses and devices are a predecessor's, which goes on with them if
	 * this process ends before it forwards: hands off. */
	bool borrowed;
};

/*
 * A switch without ports, its workers running (options->threads). NULL with
 * *err on failure.
 */
struct sw *switch_new(const struct switch_options *options, struct error *err);

/* Detach everything, stop the workers, free. NULL is fine. */
void switch_free(struct sw *sw);

/* Publish what changed. Cheap where nothing did. */
void switch_commit(struct sw *sw);

/* Finish what left and no worker holds any more. Returns true where
 * something is left: call again in a millisecond. */
bool switch_reap(struct sw *sw);

/*
 * Stop forwarding: what was received has been sent, captures are written. Or go
 * on after that, as long as nobody else has. Returns 0 or -errno.
 */
void switch_halt(struct sw *sw);
int switch_go_on(struct sw *sw) __attribute__((warn_unused_result));

/* After switch_halt(), for good: close what another process has, too, and
 * which would keep a device busy that it puts back. */
void switch_let_go(struct sw *sw);

/* For the files of this module: something is to be committed; a snapshot was
 * published, so that ports can begin to receive or go. */
void switch_dirty(struct sw *sw);

/*
 * Forget what was learned behind a port (FDB_ANY: all) when its configuration
 * changes: now, and once more when no worker can still be learning by the old
 * snapshot.
 */
void switch_flush(struct sw *sw, int port);
void switch_ports_committed(struct sw *sw);

/* ---- Ports ---- */

/*
 * Attach a port. `params` as in portconf_params; they are copied, the name too.
 * Returns the port, or NULL with *err: port-exists, too-many-ports, and what
 * portconf_parse and the type's acquire say.
 */
struct switch_port *switch_attach(struct sw *sw, const char *name,
				  json_t *params, enum switch_origin origin,
				  uid_t uid, struct error *err);

/* A connection that becomes a port (listener.h). */
struct switch_given {
	const char *name;     /* of the port */
	const char *listener; /* its name */
	json_t *params;	      /* what all types have; borrowed */
	/* `type` and what the type has of its own; the rest comes from the
	 * parameters. */
	const struct port_request *request;
	int fd; /* the connection */
	struct switch_peer peer;
};

/*
 * The same for a connection. g->fd is the port's from now on; it is closed
 * where that fails.
 */
struct switch_port *switch_attach_given(struct sw *sw,
					const struct switch_given *g,
					struct error *err);

/* What is to be told of a peer, an object; NULL: nothing. */
json_t *switch_peer_json(const struct switch_peer *peer);

/*
 * Detach a port; `reason` goes into the event. A port that somebody asked for
 * and whose device is just gone ("device-gone") stays in sw->missing.
 */
void switch_detach(struct sw *sw, struct switch_port *p, const char *reason);

/*
 * Take a detach back: the port goes on with its device and its counters.
 * index, generation: the port's (struct port). Returns false where it's too
 * late, because a commit came between.
 */
bool switch_undetach(struct sw *sw, uint32_t index, uint32_t generation);

/*
 * The same with what an earlier process has left: `saved` is what it wanted to
 * be remembered under "port/NAME", the device is the monitor's. No event.
 */
struct switch_port *switch_port_restore(struct sw *sw, const char *name,
					const json_t *saved, struct error *err);

/* By whom it counts as attached from now on. */
void switch_port_origin(struct sw *sw, struct switch_port *p,
			enum switch_origin origin);

/*
 * A port is wanted whose device isn't there; params without "name"; origin and
 * uid as for switch_attach().
 */
void switch_missing_add(struct sw *sw, const char *name, json_t *params,
			enum switch_origin origin, uid_t uid);

/*
 * A port whose device is away is wanted no more. Its name may be the key that
 * sw->missing has, and is gone then. Returns whether there was one.
 */
bool switch_missing_forget(struct sw *sw, const char *name);

/* Would switch_attach() have to commit first, because a port that is leaving
 * has the name, the device, or the last free index? */
bool switch_attach_settles(const struct sw *sw, const struct port_request *rq);

/* Commit, and let ports that are on their way out finish, within a bound. */
void switch_settle(struct sw *sw);

/*
 * Change parameters of an attached port: those in `changes` replace what was
 * given before, null takes one back. What belongs to the device itself is
 * refused (reason needs-reattach). Returns 0 or -errno with *err; then
 * nothing has changed.
 */
int switch_port_set(struct sw *sw, struct switch_port *p, const json_t *changes,
		    struct error *err) __attribute__((warn_unused_result));

/* By name, by device (of the daemon's network namespace); NULL where there is
 * none. Leaving ones don't count. */
struct switch_port *switch_port_find(struct sw *sw, const char *name);
struct switch_port *switch_port_by_ifindex(struct sw *sw, int ifindex);

/* The ports in order of index: pass NULL, then the last one. */
struct switch_port *switch_port_next(struct sw *sw,
				     const struct switch_port *p);

/* The counters of a port; of all that have gone. */
void switch_port_counters(struct sw *sw, const struct switch_port *p,
			  struct port_counters *sum);
void switch_gone_counters(struct sw *sw, struct port_counters *sum);

/*
 * Go on counting from the ledger that an older process has left (ledger.h): a
 * port that has, or gets, the index that it had there counts on. Once all
 * ports that come back are attached, switch_counters_settle() adds what's left
 * to the counters of those that have gone; until then an index must go to its
 * old owner only. Returns what ledger_adopt() does.
 */
int switch_counters_adopt(struct sw *sw, int fd, struct error *err)
	__attribute__((warn_unused_result));
void switch_counters_settle(struct sw *sw);

/* Detach a port that has failed: its device is gone, or its connection. */
void switch_port_failed(struct sw *sw, struct switch_port *p);

/* Detach ports whose device has failed (worker_shared.failed_fd is ready). */
void switch_ports_failed(struct sw *sw);

/* A device changed (link monitor): state into the port, event. */
void switch_port_link(struct sw *sw, struct switch_port *p, const char *ifname,
		      bool up, bool carrier, uint32_t mtu);

/* ---- Ports that speak with their other end (switch_control.c) ---- */

/* A port's control descriptor is readable: have it dealt with, and tell what
 * has changed. Not before switch_take_over() or after switch_halt(). */
void switch_control(struct sw *sw, struct switch_port *p);

/* For the files of this module: what a new port says first, without a word;
 * tell what it says now, if that's news. */
void switch_control_begin(struct switch_port *p);
void switch_control_news(struct sw *sw, struct switch_port *p);

/* ... and have resumed ports go on, or all of them `again`: nobody else does
 * anything with them. */
void switch_control_take_over(struct sw *sw, bool again);

/* ---- Workers (switch_worker.c) ---- */

/*
 * Measure the load, and have a queue received by another worker where that is
 * clearly better. Call it each second or so. now_ns: monotonic.
 */
void switch_balance(struct sw *sw, uint64_t now_ns);

/*
 * Have a queue of an attached port received by another worker: from the next
 * commit on, once the old worker is done with it. Returns 0, -EBUSY where it is
 * just moving, or -errno.
 */
int switch_move(struct sw *sw, struct switch_port *p, unsigned int queue,
		struct worker *to) __attribute__((warn_unused_result));

/* Is there the worker that the parameters want? */
bool switch_worker_exists(const struct sw *sw, const struct port_config *c);

/* The same; -EINVAL with *err: no-such-worker. */
int switch_worker_check(const struct sw *sw, const struct port_config *c,
			struct error *err) __attribute__((warn_unused_result));

/* For the files of this module: choose the workers of a new port; move it to
 * those that it is pinned to; take it into their sets, start, stop. */
void switch_place(struct sw *sw, struct switch_port *p);
void switch_pin(struct sw *sw, struct switch_port *p);
int switch_receive_add(struct switch_port *p)
	__attribute__((warn_unused_result));
void switch_receive_start(struct switch_port *p);
void switch_receive_arrived(struct switch_port *p);
void switch_receive_stop(struct switch_port *p);
void switch_moves_retire(struct sw *sw);

/* Who receives from a queue in the next snapshot (struct snapshot_port). */
uint8_t switch_receiver(const struct switch_port *p, unsigned int queue);

/* Tell the workers how long they may poll: sw->settings has changed. */
void switch_polling(struct sw *sw);

/* ---- Settings, profiles ---- */

/* Apply settings that have been checked. */
void switch_settings_set(struct sw *sw, const struct switch_settings *s);

/* Replace all profiles; `profiles` has been checked, a reference is taken.
 * Ports keep what they were attached with. */
void switch_profiles_set(struct sw *sw, json_t *profiles);

/* ---- Mirrors (mirror.c) ---- */

/*
 * Copy what chosen ports or VLANs receive and/or send to a port. `params`:
 * "to" (port), "from" (array of ports; none = all), "vlan" (list), "dir"
 * (in, out, both). By hand (SWITCH_ORIGIN_CONTROL) the ports must be there;
 * a configuration's mirror (.._CONFIG) waits for those that aren't.
 * Returns 0 or -errno with *err.
 */
int switch_mirror_add(struct sw *sw, const char *name, const json_t *params,
		      enum switch_origin origin, struct error *err)
	__attribute__((warn_unused_result));

/* What can be checked without a switch. Returns 0 or -EINVAL with *err. */
int switch_mirror_check(const char *name, const json_t *params,
			struct error *err) __attribute__((warn_unused_result));

/* Returns 0, or -ENOENT with *err. */
int switch_mirror_remove(struct sw *sw, const char *name, struct error *err)
	__attribute__((warn_unused_result));

struct switch_mirror *switch_mirror_find(struct sw *sw, const char *name);

/* All of them count as configured from now on. */
void switch_mirrors_adopt(struct sw *sw);

/* All of them, to be brought back as they were: a new reference (NULL: no
 * memory). Restoring logs what goes wrong; the ports may be away. */
json_t *switch_mirrors_save(struct sw *sw);
void switch_mirrors_restore(struct sw *sw, const json_t *saved);

/* Fill a snapshot's mirrors and the ports' mirror masks. */
void switch_mirrors_snapshot(struct sw *sw, struct snapshot *s);

/* ---- Static addresses (static.c) ---- */

/* Read "mac", which must be a guest's: individual, not 0. Returns 0 or
 * -EINVAL with *err. */
int switch_static_mac(const json_t *params, uint64_t *mac, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Tie an address to a port, by the port's name: the entry comes back when a
 * port of that name is attached anew. mac: individual, not 0; vid: 1..4094.
 * By hand (SWITCH_ORIGIN_CONTROL) the port must be there and in the VLAN; a
 * configuration's entry (.._CONFIG, checked by config_check) waits for it.
 * Returns 0 or -errno with *err.
 */
int switch_static_add(struct sw *sw, uint64_t mac, uint16_t vid,
		      const char *port, enum switch_origin origin,
		      struct error *err) __attribute__((warn_unused_result));

/* Forget it. Returns whether there was one. */
bool switch_static_remove(struct sw *sw, uint64_t mac, uint16_t vid);

/* Put the entries of a port that was just attached into the FDB. */
void switch_static_install(struct sw *sw, const struct switch_port *p);

/* Forget the configured ones that `wanted`, an array of such as fdb.add takes
 * (NULL: an empty one), lacks. Those set by hand stay. */
void switch_statics_prune(struct sw *sw, const json_t *wanted);

/* An array of what fdb.add takes; a new reference. */
json_t *switch_statics_show(struct sw *sw);

/* All of them count as configured from now on. */
void switch_statics_adopt(struct sw *sw);

/* All of them, to be brought back as they were: a new reference (NULL: no
 * memory). */
json_t *switch_statics_save(struct sw *sw);
void switch_statics_restore(struct sw *sw, json_t *saved);

/* ---- What outlives the process (switch_state.c) ---- */

/* Have one thing remembered (hooks.remember): value is stolen, NULL: it is
 * gone. */
void switch_remember(struct sw *sw, const char *kind, const char *name,
		     json_t *value);
void switch_remember_port(struct sw *sw, const struct switch_port *p);
void switch_remember_mirror(struct sw *sw, const struct switch_mirror *m);

/* Everything anew: into a new journal. */
void switch_remember_all(struct sw *sw);

/*
 * Bring a fresh switch to what was remembered (key -> value, from a journal):
 * its predecessor may still be running, so the FDB isn't touched. Ports that
 * can't be brought back are logged and counted in *failed, with the first one's
 * error in *err. Returns 0, or -EINVAL with *err where the state is no state.
 */
int switch_restore(struct sw *sw, const json_t *state, unsigned int *failed,
		   struct error *err) __attribute__((warn_unused_result));

/* The predecessor is gone, or there was none: its addresses are ours now. (Its
 * counters: switch_counters_adopt) */
void switch_take_over(struct sw *sw);

/* The FDB's memory, to be kept; -1: it has none that outlives us. */
int switch_fdb_fd(const struct sw *sw);

/* ---- Events ---- */

/* Is somebody listening to the topic? */
bool switch_event_wanted(struct sw *sw, const char *topic);

/* Tell it; steals params (may be NULL). */
void switch_event(struct sw *sw, const char *topic, json_t *params);

#endif
