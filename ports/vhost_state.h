/*
 * vhost_state - what a process needs to go on with a guest's rings
 *
 * It lies in a memfd that is made with the port's socket and goes with its
 * grant, so it outlives the process; the descriptors that it speaks of are the
 * keeper's (port_keeper.hold), by their slot. The main thread writes everything
 * but `ring[].place`, which the worker writes that holds the ring's lock.
 *
 * What is in here is believed only after it was checked, as if an enemy had
 * written it: vhost_state_sane(). What it can't say, because the process died
 * in between, is decided for safety: `busy` says that a message was under way,
 * and then the connection is of no use any more.
 *
 * Written in the order of the program: a process that is killed stops between
 * two stores. Hence: descriptors are held before they are named here, and a new
 * memory table is complete before `table` points to it.
 */
#ifndef PORTS_VHOST_STATE_H
#define PORTS_VHOST_STATE_H

#include "ports/vhost_user.h"

#define VHOST_STATE_MAGIC 0x31747368766d7773ull
#define VHOST_STATE_SIZE  32768 /* bytes of the memfd */
#define VHOST_REGIONS_MAX 64
#define VHOST_SLOT_NONE	  UINT16_MAX

/*
 * A position in a ring. Split rings: the index, free-running. Packed rings: bit
 * 15 is the wrap counter (VIRTIO 1.2 2.8.1, vhost-user's GET_VRING_BASE), the
 * others the descriptor.
 */
typedef uint16_t vhost_pos;

#define VHOST_TAKEN_MAX 64 /* chains that are given back at once */

/* A chain of descriptors that we have, and the guest has not. */
struct vhost_taken {
	uint16_t id;	/* split: head; packed: buffer id */
	uint16_t count; /* descriptors in the ring itself; split: 1 */
	uint32_t len;	/* bytes that we wrote into it */
};

/*
 * A ring that nobody has used yet: avail and used from SET_VRING_BASE (split:
 * both the same), giving as used, ntaken 0.
 */
struct vhost_place {
	_Atomic vhost_pos avail; /* next to be taken from the guest */
	_Atomic vhost_pos used;	 /* next to be given back */
	/*
	 * Set before something is given back: where `used` will be. A process
	 * that finds it different from `used` looks into the ring whether that
	 * has happened. If not, or if only half of it has, it does it again,
	 * from taken[]; what lies in a packed ring then is of no use any more.
	 */
	_Atomic vhost_pos giving;
	_Atomic uint16_t ntaken;
	struct vhost_taken taken[VHOST_TAKEN_MAX];
};

struct vhost_saved_ring {
	struct vhost_place place;
	uint16_t size; /* 0: not told */
	bool started, enabled, broken;
	bool addressed;		    /* the addresses were told */
	bool log;		    /* the used ring's pages are logged */
	uint64_t desc, avail, used; /* user addresses of the front end */
	uint64_t log_addr;	    /* guest address of the used ring */
	uint16_t kick, call, err;   /* slots or VHOST_SLOT_NONE */
};

struct vhost_saved_region {
	uint64_t guest, size, user; /* addresses, as told */
	uint64_t offset;	    /* in the file */
	uint16_t slot;
};

struct vhost_saved_table {
	uint32_t n;
	struct vhost_saved_region region[VHOST_REGIONS_MAX];
};

struct vhost_state {
	uint64_t magic;
	uint32_t size; /* of this struct: another version's is of no use */
	uint32_t busy; /* a message's number: it is being dealt with */
	uint16_t connection; /* slot or VHOST_SLOT_NONE */
	uint16_t log;	     /* slot */
	uint64_t log_size, log_offset;
	uint64_t features, protocol_features;
	bool features_set;
	uint32_t device_status;
	uint32_t table; /* which of the two is the one */
	struct vhost_saved_table tables[2];
	struct vhost_saved_ring ring[VHOST_RINGS_MAX];
};

_Static_assert(sizeof(struct vhost_state) <= VHOST_STATE_SIZE,
	       "the state fits its memory");

/* A state in which nobody is connected. */
void vhost_state_init(struct vhost_state *s);

/* Can this be what vhost_state_init and sessions of ours have left? */
bool vhost_state_sane(const struct vhost_state *s);

#endif
