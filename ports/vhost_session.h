/*
 * vhost_session - a vhost-user device: what its front end has asked for
 *
 * One connection at a time. The front end's messages (vhost_msg.h) set up
 * memory and rings; a ring runs as soon as all that it needs is there:
 *
 *	started (SET_VRING_KICK) and enabled, VERSION_1 agreed on, size and
 *	addresses told, which lie in its memory, and nothing broken
 *
 * Order doesn't matter for that. Whatever changes below a running ring, it is
 * stopped, and started again where it was.
 *
 *	vhost_session.c         connections, messages, features
 *	vhost_session_ring.c    rings
 *	vhost_session_memory.c  memory and the log of a migration
 *	vhost_session_keep.c    what the next process needs
 *
 * Three ways to say no. A message that is no message, or speaks of a ring that
 * there isn't: the connection is closed, with a reason, and the front end
 * begins anew. A request that can't be: it's refused, which the front end
 * learns if it has agreed on REPLY_ACK and asks. A ring that can't run, or is
 * broken: vhost_session_problem() says why.
 *
 * Threads: everything by the main thread, except what a line's lock protects:
 * workers use `ring`, `took` and `told` with it. The main thread may hold the
 * locks of several lines, workers that of one to the guest beside one from it;
 * so those from guests come first.
 */
#ifndef PORTS_VHOST_SESSION_H
#define PORTS_VHOST_SESSION_H

#include "ports/vhost_mem.h"
#include "ports/vhost_msg.h"
#include "ports/vhost_ring.h"
#include "ports/vhost_user.h"

#include <pthread.h>

#define VHOST_BIT(n) (1ull << (n))

/* A ring and what is around it; even ones lead to the guest. */
struct vhost_line {
	_Alignas(64) pthread_mutex_t lock;
	/* The main thread waits for the lock. A worker that takes it again as
	 * soon as it has let go of it would keep it out for ever. */
	_Atomic bool wanted;
	bool took; /* frames of the last receive aren't given back */
	bool told; /* that it is broken */
	struct vhost_ring ring;
	/* The main thread's. */
	int kick, call, err; /* descriptors or -1 */
	bool running;	     /* as ring.running, for the main thread */
	const char *problem; /* why it doesn't run though it should */
};

/* What the port does about it. Main thread; they touch no line's lock. */
struct vhost_session_hooks {
	/* It runs (again), or doesn't, and its kick may go. May refuse to have
	 * it run: then *why, static storage. */
	bool (*ring)(void *ctx, unsigned int i, bool running, const char **why);
	/* Features were agreed on, or taken back. */
	void (*features)(void *ctx, uint64_t features);
	/* Say so to the network: a guest with this address is here. */
	void (*announce)(void *ctx, const uint8_t mac[6]);
	/* The connection is about to be closed. */
	void (*leave)(void *ctx, int conn);
	void *ctx;
};

struct vhost_session {
	const char *name; /* of the port, for the log */
	unsigned int rings;
	struct vhost_line *line;
	struct vhost_session_hooks hooks;
	const struct port_grant *grant; /* for the keeper */
	struct vhost_state *state;
	struct vhost_mem mem;
	struct vhost_log log;
	int conn;	 /* -1: nobody is connected */
	int backend_req; /* channel to the front end; nothing is sent */
	bool unkept;	 /* the next process can't go on with this */
	bool paused;	 /* the lines are locked */
	uint64_t later[PORT_HELD_MAX / 64]; /* slots to be dropped then */
	uint32_t number;		    /* of the last message */
	const char *broken;		    /* why the port stands still */
	/* It was one that keeps us waiting. The port's to take back: until then
	 * nobody should be let in. */
	bool held_up;
	const char *closed; /* why we closed the last connection, or NULL */
	uint64_t connections;
	struct vhost_inbox in;
};

/*
 * rings: 2 to VHOST_RINGS_MAX, even. `state` is memory of VHOST_STATE_SIZE,
 * which isn't touched yet; it, grant, name and hooks stay the caller's and are
 * there until fini. Returns 0 or -errno.
 */
int vhost_session_init(struct vhost_session *s, const char *name,
		       unsigned int rings, struct vhost_state *state,
		       const struct port_grant *grant,
		       const struct vhost_session_hooks *hooks)
	__attribute__((warn_unused_result));

/*
 * Nothing of this process's is left; what outlives it is as it was, and the
 * connection isn't shut down: it's over when nobody has it any more. No worker
 * uses the lines.
 */
void vhost_session_fini(struct vhost_session *s);

/*
 * What this process knows of the front end may be out of date, for the next one
 * may have gone on with it: it knows nothing, as after init. What outlives it
 * is as it was. No worker uses the lines.
 */
void vhost_session_forget(struct vhost_session *s);

/* Nobody is connected, whatever the state says. */
void vhost_session_reset(struct vhost_session *s);

/*
 * Go on with what an earlier process has left. Returns whether there is a
 * connection then; if what was left is of no use, it is ended for the front
 * end, too.
 */
bool vhost_session_resume(struct vhost_session *s);

/* This is the connection now; there was none. `conn` is the session's. */
void vhost_session_begin(struct vhost_session *s, int conn);

/* The connection is over, if there is one. `why`: we closed it, static storage;
 * NULL: the other end did. */
void vhost_session_end(struct vhost_session *s, const char *why);

/* The connection is readable: deal with some messages. */
void vhost_session_serve(struct vhost_session *s);

/* Some ring has broken, or memory is lost: stand still. Where the front end has
 * held us up its connection is ended. */
void vhost_session_check(struct vhost_session *s);

/* Why it isn't well, or NULL. Static storage. */
const char *vhost_session_problem(const struct vhost_session *s);

#endif
