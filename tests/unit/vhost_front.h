/*
 * vhost_front - a front end: what QEMU is to a vhost-user port, for tests
 *
 * It speaks the protocol, has memory in one region or several, and a driver
 * (vhost_driver.h) for each ring. Even rings lead to the guest:
 *
 *	front_begin          connect, agree on features
 *	front_memory         tell its regions
 *	front_ring           describe, start and enable one ring
 *	front_offer, front_take   buffers for frames; the next frame that came
 *	front_post, front_reap    a frame from the guest; how many came back
 *
 * The first region has the rings, the last one (of several) the buffers:
 *
 *	│ ring 0 │ ring 1 │ .. 16 of 1 MiB │ buffers of 2 KiB, 1024 a ring │
 *
 * Where the switch's side runs in the same thread, `pump` is called while a
 * reply is waited for. What goes wrong that no test expects ends the program
 * with a message. It needs vhost_driver.c, and base.
 */
#ifndef TESTS_UNIT_VHOST_FRONT_H
#define TESTS_UNIT_VHOST_FRONT_H

#include "ports/vhost_msg.h"
#include "ports/vhost_user.h"
#include "tests/unit/vhost_driver.h"

#include <linux/virtio_net.h>

#define FRONT_RINGS	  VHOST_RINGS_MAX
#define FRONT_REGIONS	  VHOST_MSG_REGIONS_MAX
#define FRONT_REGION_SIZE (48ull << 20)
#define FRONT_BUFFER	  2048u
#define FRONT_BUFFERS	  1024u /* a ring */
#define FRONT_DEADLINE_MS 10000

struct front_region {
	int fd;
	uint8_t *host;
	struct vhost_msg_region told;
};

struct front_ring {
	int kick, call, err;
	uint16_t size;
	uint32_t next_buffer;
	struct vdriver *driver;
	uint16_t buffer[VDRIVER_SIZE_MAX]; /* by chain: its first one */
};

struct front {
	int sock;
	void (*pump)(void *ctx);
	void *ctx;
	uint64_t features, protocol; /* agreed on */
	unsigned int nregions;
	struct front_region region[FRONT_REGIONS];
	struct front_ring *ring[FRONT_RINGS];
};

/* A frame that came to the guest. */
struct front_frame {
	uint32_t len, buffers;
	struct virtio_net_hdr_v1 vnet;
	uint8_t data[80000];
};

/* Features of a guest of today, without RING_PACKED. */
extern const uint64_t front_features;
/* ... and what its front end agrees on beside. */
extern const uint64_t front_protocol;

/* pump may be NULL: the other side runs by itself. */
struct front *front_new(void (*pump)(void *ctx), void *ctx);
/* Everything is closed: the front end has vanished. */
void front_free(struct front *f);

/* Connect to a listening socket, or wait for who connects to ours (a listening
 * socket, borrowed). */
void front_connect(struct front *f, const char *path);
void front_accept(struct front *f, int listener);
void front_hang_up(struct front *f);

/* ---- messages ---- */

/* Send any bytes with any descriptors. */
void front_send_raw(struct front *f, const void *data, size_t len,
		    const int *fd, unsigned int nfds);
/* One message; flags as VHOST_MSG_NEED_REPLY. */
void front_send(struct front *f, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size, const int *fd,
		unsigned int nfds);
/* The reply, whose payload must be of this size. */
void front_reply(struct front *f, uint32_t request, void *payload,
		 uint32_t size);
/* Wait until the other side has closed the connection. */
void front_gone(struct front *f);

/* A message and the acknowledgement that it asks for: 0, or 1: refused. */
uint64_t front_ack(struct front *f, uint32_t request, const void *payload,
		   uint32_t size, const int *fd, unsigned int nfds);
uint64_t front_ack_u64(struct front *f, uint32_t request, uint64_t v);
uint64_t front_ack_vring(struct front *f, uint32_t request, uint32_t index,
			 uint32_t num);
/* KICK, CALL or ERR. fd -1: none is sent. */
uint64_t front_ack_fd(struct front *f, uint32_t request, uint32_t index,
		      int fd);
uint64_t front_get_u64(struct front *f, uint32_t request);
/* Stops a ring: what GET_VRING_BASE says. */
uint32_t front_get_base(struct front *f, uint32_t index);

/* ---- a device ---- */

/* Agree on what both have. */
void front_begin(struct front *f, uint64_t features, uint64_t protocol);
/* Make n regions; front_tell sends them in one table, front_tell_slots one by
 * one. Both return the acknowledgement. */
void front_make_memory(struct front *f, unsigned int n);
uint64_t front_tell_memory(struct front *f);
uint64_t front_tell_slots(struct front *f);
/* Its addresses, as vhost_user addresses. */
void front_ring_addr(struct front *f, uint32_t index,
		     struct vhost_msg_addr *addr);
/* A ring's memory is zero and its driver at the beginning. */
void front_ring_make(struct front *f, uint32_t index, uint16_t size);
/* NUM, BASE, ADDR, CALL and KICK; ENABLE. */
void front_ring_start(struct front *f, uint32_t index, uint32_t base);
/* All of it, for rings 0 to 2 * pairs - 1. */
void front_start(struct front *f, uint64_t features, unsigned int regions,
		 unsigned int pairs, uint16_t size);

/* ---- frames ---- */

/* Offer n buffers of FRONT_BUFFER bytes to an even ring; kick if wanted. */
void front_offer(struct front *f, uint32_t index, unsigned int n);
/* The next frame that an even ring has got. */
bool front_take(struct front *f, uint32_t index, struct front_frame *frame);
/* Send by an odd ring, kick if wanted. vnet NULL: a plain frame. */
void front_post(struct front *f, uint32_t index, const void *data, uint32_t len,
		const struct virtio_net_hdr_v1 *vnet);
/* How many chains of an odd ring have come back since. */
unsigned int front_reap(struct front *f, uint32_t index);
/* Wait, by its calls, until so many have. */
void front_await(struct front *f, uint32_t index, unsigned int n);
/* How often we were called. */
uint64_t front_called(struct front *f, uint32_t index);

#endif
