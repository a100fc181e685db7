/*
 * broker - the switch process's side of the monitor
 *
 * Whatever needs privilege or the file system goes through here: to the
 * monitor, or, where the process runs without one (struct broker * is NULL),
 * right here with the rights that it has. Calls wait for the monitor's answer,
 * which takes as long as the work itself (a device: some milliseconds).
 *
 * When the monitor dies, calls fail with reason `monitor-gone`: the switch goes
 * on with what it has. A release then does nothing but to close descriptors.
 *
 * Ownership: the daemon owns the broker; descriptors that come with an answer
 * are the caller's. Threads: calls from any thread, one at a time (a lock);
 * orders on the main thread.
 */
#ifndef SWITCHD_BROKER_H
#define SWITCHD_BROKER_H

#include "switchd/fastpath_load.h"
#include "switchd/proto.h"

#include <jansson.h>

struct broker;

/* What the monitor gave at the start. Descriptors -1 where there are none. */
struct broker_start {
	struct proto_start facts;
	int control_fd, helper_fd;
	int kept[KEEP_COUNT]; /* an earlier process's memory */
};

/*
 * Talk by the inherited descriptors PROTO_*_FD. Fills *start. Returns the
 * broker or NULL with *err.
 */
struct broker *broker_new(struct broker_start *start, struct error *err);
void broker_free(struct broker *b);

/* ---- Ports: as struct port_ops has them ---- */

/* What is given lies in *grant; it is still the caller's where that fails. */
int broker_acquire(struct broker *b, const struct port_request *rq,
		   struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));
/* What the monitor holds by this handle, from an earlier process. */
int broker_adopt(struct broker *b, const struct port_request *rq,
		 uint32_t handle, struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));
int broker_adjust(struct broker *b, const struct port_request *rq,
		  struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));
void broker_release(struct broker *b, const struct port_request *rq,
		    struct port_grant *grant);
/* port_keeper_set() to the monitor, for what ports need while they run. */
void broker_be_keeper(struct broker *b);
/* Everything has been adopted that will be: the rest may go. */
void broker_forget(struct broker *b);

/* ---- The kernel fast path ---- */

/*
 * What the monitor has of it: the maps' sizes and descriptors (enum
 * fastpath_fd), the caller's. Returns 0; -ENOTSUP with *err, whose message says
 * why there is none; or -errno with *err.
 */
int broker_fastpath(struct broker *b, struct proto_fastpath *out,
		    int fd[FASTPATH_FDS], struct error *err)
	__attribute__((warn_unused_result));
/* A device whose grant is `fast` is port `index` there; FASTPATH_NO_PORT: none.
 * Returns 0 or -errno with *err. */
int broker_place(struct broker *b, const struct port_grant *grant,
		 uint32_t index, struct error *err)
	__attribute__((warn_unused_result));
/* One that is placed gets the XDP program, or loses it. Returns 0 or -errno
 * with *err; -EOPNOTSUPP: it can't have it. */
int broker_xdp(struct broker *b, const struct port_grant *grant, bool on,
	       struct error *err) __attribute__((warn_unused_result));

/* ---- Files and names ---- */

/* The configuration file, to be read. A descriptor or -errno with *err. */
int broker_config_open(struct broker *b, const char *file, struct error *err)
	__attribute__((warn_unused_result));
/* A config_write_fn; ctx: the broker. */
int broker_config_write(void *ctx, const char *file, const json_t *config,
			struct error *err) __attribute__((warn_unused_result));
/* ids_find(); a roles_resolve_fn; ctx: the broker. */
int broker_id(void *ctx, bool group, const char *name, uint32_t *id)
	__attribute__((warn_unused_result));
/* helper_acl_check(), of `file` where there is no monitor. */
int broker_acl(struct broker *b, const char *file, const char *profile,
	       struct error *err) __attribute__((warn_unused_result));

/* ---- The monitor itself ---- */

/* Have memory kept over this process's death; fd is borrowed. */
int broker_keep(struct broker *b, enum proto_keep what, int fd)
	__attribute__((warn_unused_result));

/* Readable when there is an order, or the monitor is gone. */
int broker_fd(const struct broker *b);

/* The next order. Returns 1, 0 (there is none), or -EPIPE: it is gone. */
int broker_order(struct broker *b, struct proto_msg *m)
	__attribute__((warn_unused_result));

/* Say something: PROTO_READY, .. ; text (may be NULL), arg. */
void broker_say(struct broker *b, enum proto_type word, const char *text,
		uint32_t arg);
/* PROTO_RUNNING, PROTO_STOPPED; since_ns: since when, by clock_ns(). */
void broker_say_since(struct broker *b, enum proto_type word, uint32_t arg,
		      uint64_t since_ns);
/* PROTO_FAILED with its error. */
void broker_say_failed(struct broker *b, const struct error *err);

bool broker_gone(struct broker *b);

#endif
