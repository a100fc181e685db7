/*
 * vhost_driver - a virtqueue, seen from the driver's side
 *
 * What a guest's virtio driver does, for tests: put chains of buffers into a
 * split or packed ring, publish them, reap what the device has given back, say
 * when it wants to be called, and ask whether the device wants a kick. It knows
 * nothing of the code that it tests: VIRTIO 1.2 sections 2.7 and 2.8 only.
 *
 *	vdriver_add ─► vdriver_add ─► vdriver_publish ─► (vdriver_kick?)
 *	vdriver_reap ─► id, len ─► the chain's descriptors are free again
 *
 * A chain's id is what vdriver_add returned; it is the head's index in a split
 * ring, the buffer id in a packed one. Both are below the ring's size.
 *
 * The ring's memory is the caller's, at any place that the device sees too: its
 * three parts have vdriver_desc_bytes() and so on, and are zero at first. A
 * hostile guest is had by writing to them by hand, between add and publish.
 *
 * Threads: one, beside the device's.
 */
#ifndef TESTS_UNIT_VHOST_DRIVER_H
#define TESTS_UNIT_VHOST_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VDRIVER_SIZE_MAX 32768

/* One descriptor: guest address, bytes, who writes to it. */
struct vdriver_piece {
	uint64_t addr;
	uint32_t len;
	bool write; /* the device does */
};

/* Room for an indirect table, 16 bytes a descriptor, in the guest's memory. */
struct vdriver_table {
	uint64_t addr;
	uint8_t *host;
};

struct vdriver {
	bool packed, event_idx;
	uint16_t size;
	uint8_t *desc, *driver, *device; /* as in struct vhost_ring */
	uint16_t free;			 /* descriptors */
	/* Split: indexes, free-running. Packed: descriptors, wrap counters. */
	uint16_t avail, used;
	bool avail_wrap, used_wrap;
	uint16_t published; /* split: `avail` when last published */
	/* Packed: the first descriptor that isn't published. */
	bool pending;
	uint32_t pending_len;
	uint16_t pending_at, pending_id, pending_flags;
	uint16_t npending;		  /* packed: descriptors */
	uint16_t free_id;		  /* first of a list in next[] */
	uint16_t next[VDRIVER_SIZE_MAX];  /* split: descriptors, packed: ids */
	uint16_t count[VDRIVER_SIZE_MAX]; /* of a chain's descriptors, by id */
};

size_t vdriver_desc_bytes(bool packed, uint16_t size);
size_t vdriver_driver_bytes(bool packed, uint16_t size);
size_t vdriver_device_bytes(bool packed, uint16_t size);

/* Begin, at index 0. */
void vdriver_init(struct vdriver *d, bool packed, bool event_idx, uint16_t size,
		  uint8_t *desc, uint8_t *driver, uint8_t *device);

/*
 * Put a chain of n (>= 1) descriptors into the ring, or into `table` and a
 * descriptor that points to it (NULL: no table). The device doesn't see it yet.
 * Returns its id, or -1: no room.
 */
int vdriver_add(struct vdriver *d, const struct vdriver_piece *piece,
		unsigned int n, const struct vdriver_table *table);

/* Let the device see what was added. Returns whether it wants a kick for it. */
bool vdriver_publish(struct vdriver *d);

/* The next that the device has given back: its id and length. False: none. */
bool vdriver_reap(struct vdriver *d, uint16_t *id, uint32_t *len);

/* Want to be called when the next is given back; without an event index when
 * any is. */
void vdriver_want_calls(struct vdriver *d);
/* Not to be called at all; with an event index in a split ring that can't be
 * said: not before the ring has gone round. */
void vdriver_want_no_calls(struct vdriver *d);

#endif
