/*
 * vhost_ring - a virtqueue, seen from the device's side
 *
 * Split (VIRTIO 1.2 section 2.7) or packed (2.8); direct and indirect
 * descriptors, event index, mergeable buffers. A ring goes one way: from the
 * guest (receive, give back), or to it (send). It has no thread, no lock and no
 * socket of its own: whoever calls holds the ring's lock (vhost_user.c).
 *
 *	from the guest:  vhost_ring_receive ─► frames ─► vhost_ring_done
 *	to the guest:    vhost_ring_send
 *
 * Everything in the ring is hostile, and changes while we look: each field is
 * read once, into private memory, and judged there. Frames' headers are copied
 * first and judged then; payload stays in the guest (struct frame's segments),
 * and is copied once, to where it goes. What can't be is `broken`: the ring
 * stands still with a reason, and nothing of it is touched any more.
 *
 * A frame of the guest that is wrong in itself doesn't break the ring: it is
 * delivered as it is (no bytes, or more than FRAME_LEN_MAX), for the pipeline
 * to drop and to count.
 *
 * Notifications. While a ring from the guest is awake it wants no kicks;
 * vhost_ring_sleep asks for one. The guest is called at most once a batch, and
 * only if it wants that.
 *
 * Positions are written through to r->place (vhost_state.h), so that another
 * process can go on: vhost_ring_start does, wherever the earlier one stopped.
 * Frames that it had taken and not given back are given back unseen: they may
 * have been forwarded, and a frame must not come twice.
 */
#ifndef PORTS_VHOST_RING_H
#define PORTS_VHOST_RING_H

#include "ports/drop.h"
#include "ports/vhost_mem.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

/* VIRTIO 1.3 5.1.3; Linux 6.2 */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif

#define VHOST_SIZE_MAX 32768 /* descriptors, VIRTIO 1.2 2.7, 2.8 */

/* Of a frame from a guest, so much is private. */
#define VHOST_HEAD 256 /* bytes: headers, options and an outer tunnel's */

/* Descriptors in one chain; QEMU's VIRTQUEUE_MAX_SIZE. */
#define VHOST_CHAIN_MAX 1024

struct vhost_ring {
	/* Set by whoever starts it. */
	const struct vhost_mem *mem;
	const struct vhost_log *log; /* bits NULL: none */
	struct vhost_place *place;
	uint64_t features; /* agreed on */
	uint16_t size;	   /* descriptors */
	uint8_t *desc;	   /* split: table; packed: ring */
	uint8_t *driver;   /* split: avail ring; packed: its event structure */
	uint8_t *device;   /* split: used ring; packed: its event structure */
	uint64_t log_addr; /* guest address of `device` (split) */
	bool log_device;   /* its pages are logged */
	int kick, call;	   /* -1: none */
	/* Its own. */
	bool running, packed, event_idx;
	bool awake;	    /* no kick is asked for */
	const char *broken; /* why; static storage; NULL: it is well */
	bool held_up;	    /* ... for a descriptor has kept us waiting */
	uint32_t hint;	    /* vhost_mem_at's */
	vhost_pos avail, used;
	uint16_t avail_seen; /* split: the guest's index, when last read */
	uint16_t held;	     /* descriptors from `used` to `avail` */
	uint32_t offloads;   /* enum port_offload: what the guest takes */
	uint8_t hidden;	     /* flags of headers that it finds zero */
	uint64_t log_desc;   /* guest address of `desc` (packed) */
	vhost_pos signalled; /* `used` when the guest was last called */
	bool signalled_valid;
	uint16_t ntaken; /* of place->taken */
	struct iovec segs[FRAME_BATCH_MAX][FRAME_SEGS_MAX];
	uint64_t kicked;		       /* by vhost_ring_start itself */
	_Atomic uint64_t frames, kicks, calls; /* so far */
};

/*
 * The memory has size, rings and features: begin, where `place` says. A ring to
 * the guest isn't different from one from it here. Returns 0, or -EINVAL:
 * r->broken says why (a size that can't be, positions that can't be, a call or
 * kick that holds us up). Kicks are
 * asked for: the ring is asleep, and its eventfd is readable (it may be that
 * the guest has kicked before anybody was there). For the same reason the guest
 * is called, if it wants to be: whoever was there before may have owed it that.
 *
 * Where a split ring's used index is another one than `place` has, the chains
 * between the two are given back unseen, or, if there can't be such, the index
 * is believed (front ends that say 0 after a reconnect). Packed: the chains
 * from place->used to place->avail, or, if they aren't there, place->avail is
 * believed.
 */
int vhost_ring_start(struct vhost_ring *r) __attribute__((warn_unused_result));

/* Nothing of it is touched any more. Everything taken was given back. */
void vhost_ring_stop(struct vhost_ring *r);

/*
 * Up to `max` (<= FRAME_BATCH_MAX) frames, as port_ops.rx has it. A ring that
 * was asleep is awake then, its kick taken. 0: there is none, or it's broken.
 */
unsigned int vhost_ring_receive(struct vhost_ring *r, struct frame *f,
				unsigned int max, struct frame_arena *arena);

/* Give back what the last receive took. Calls the guest if it wants that. */
void vhost_ring_done(struct vhost_ring *r);

/* Ask for a kick. Returns false where there is something already: awake. */
bool vhost_ring_sleep(struct vhost_ring *r);

/*
 * Send, as port_ops.tx has it. Reasons: DROP_QUEUE_FULL (the guest has no
 * buffers there), DROP_GUEST_BUFFER (longer than they are), DROP_GSO (it takes
 * no such frames), DROP_LINK_DOWN (broken, or not running).
 */
unsigned int vhost_ring_send(struct vhost_ring *r, struct frame *const *f,
			     unsigned int n, enum drop_reason *why);

/* What a guest with these features takes: enum port_offload. */
uint32_t vhost_ring_offloads(uint64_t features);

/*
 * Take what an eventfd counts that others have as well. It doesn't wait even
 * where they take O_NONBLOCK away. Returns 0, -EAGAIN, or -errno: it is none.
 */
int vhost_kick_read(int fd, uint64_t *n);

/* The ring's kind: how the two differ. For vhost_ring.c. */
struct vhost_ring_kind {
	/* Sets r->broken where it can't begin. */
	void (*start)(struct vhost_ring *r);
	void (*kicks)(struct vhost_ring *r, bool wanted);
	unsigned int (*receive)(struct vhost_ring *r, struct frame *f,
				unsigned int max, struct frame_arena *arena);
	void (*done)(struct vhost_ring *r);
	bool (*waiting)(struct vhost_ring *r); /* is something there? */
	unsigned int (*send)(struct vhost_ring *r, struct frame *const *f,
			     unsigned int n, enum drop_reason *why);
};

extern const struct vhost_ring_kind vhost_split, vhost_packed;

#endif
