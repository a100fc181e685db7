/*
 * grants - the devices and files that the monitor holds for the switch
 *
 * What a port type's privileged half has opened and set up (struct port_grant),
 * with what was asked for, by a handle. The switch process gets descriptors of
 * its own; these ones here keep a TAP device up while there is no switch
 * process, and are what a new one goes on with. `netdev` ports have only packet
 * sockets here, which keep no guest's device from going away.
 *
 * A handle is an index with a generation: it never means another grant than the
 * one it was given out for. Each grant is claimed by one or, during an upgrade,
 * two switch processes ("slots" 0 and 1). What a process hasn't claimed when it
 * says that it has restored everything is released.
 *
 * A device whose frames the kernel fast path takes (`fast`) has a place there,
 * which the switch process chooses and which goes with the grant.
 *
 * What the switch process has handed on for its successor goes with the grant
 * as well (grants_held.h).
 *
 * Ownership: the table owns its grants' descriptors; those that are sent stay
 * the table's, the kernel copies them. Threads: one, the monitor's.
 */
#ifndef SWITCHD_GRANTS_H
#define SWITCHD_GRANTS_H

#include "ports/port.h"
#include "switchd/fastpath_load.h"
#include "switchd/grants_held.h"
#include "switchd/policy.h"

#define GRANTS_SLOTS 2

struct grant {
	bool used;
	uint8_t claims; /* bit n: of slot n */
	uint16_t generation;
	struct port_request rq;
	struct port_grant grant;
	struct grants_held *held; /* what the switch has left with it */
};

struct grants {
	struct grant *g;
	uint32_t n, room, max;
	uint32_t persisted; /* devices made that stay when they are released */
	struct fastpath_kernel *fastpath; /* borrowed; NULL: there is none */
};

/* max: grants there can be; what a handle can't tell apart is cut. */
void grants_init(struct grants *t, uint32_t max);

/* Release everything: devices are put back as they were. */
void grants_fini(struct grants *t);

/*
 * Open what a sane request (proto_request_sane) asks for, if the policy lets
 * it; or hand out again what is held for the same request and isn't claimed. A
 * connection that is given (out->fd[0], out->nfds 1) is borrowed: the grant has
 * a copy. The TAP of a guest (`handover`) isn't held: the caller closes its
 * descriptors once they are sent. *out: a copy, with a handle where it is held.
 * Returns 0 or -errno with *err.
 */
int grants_acquire(struct grants *t, const struct policy *p,
		   const struct port_request *rq, unsigned int slot,
		   struct port_grant *out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * What a slot holds by a handle, or NULL. `claim`: it needn't have claimed it
 * before, and has now.
 */
struct grant *grants_find(struct grants *t, uint32_t handle, unsigned int slot,
			  bool claim);

/* Bring a device to what a request says of MTU and carrier. Returns 0 or
 * -errno with *err. */
int grants_adjust(struct grant *g, const struct port_request *rq,
		  struct error *err) __attribute__((warn_unused_result));

/* A slot needs it no more; it is released where no other one does. */
void grants_release(struct grants *t, struct grant *g, unsigned int slot);

/*
 * Place a device in the kernel fast path (see fastpath_load.h), or take it out
 * (FASTPATH_NO_PORT). What a dead process has left at that index gives way.
 * Returns 0 or -errno with *err: not-fast, bad-index, index-taken.
 */
int grants_place(struct grants *t, struct grant *g, uint32_t index,
		 struct error *err) __attribute__((warn_unused_result));

/* Attach the XDP program to a device that is placed, or take it off. Returns 0
 * or -errno with *err: not-fast, not-placed, no-xdp. */
int grants_xdp(struct grants *t, struct grant *g, bool on, struct error *err)
	__attribute__((warn_unused_result));

/* A slot's process is gone: its claims go, its grants stay. */
void grants_unclaim(struct grants *t, unsigned int slot);

/* Release what nobody claims. */
void grants_sweep(struct grants *t);

/* How many there are. */
uint32_t grants_count(const struct grants *t);

/*
 * Write the table into a file, and read it back in the process that this one
 * becomes by execve(2), for which grants_write makes the descriptors survive
 * that (grants_read takes it back). Returns 0 or -errno; when reading fails,
 * the descriptors still survive, for the program before, and the table owns
 * none.
 */
int grants_write(struct grants *t, int fd) __attribute__((warn_unused_result));
int grants_read(struct grants *t, int fd) __attribute__((warn_unused_result));

/* Have the fast path's new programs, after that, on all devices that the old
 * ones were on. Those that are gone are fine. Returns 0, or the first one's
 * -errno. */
int grants_reprogram(struct grants *t) __attribute__((warn_unused_result));

#endif
