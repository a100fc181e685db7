/*
 * dummy - a port whose frames are put in and taken out by hand
 *
 * For the simulator: tests inject frames and look at exactly what came out,
 * with the vnet header and in order. The queues hold copies. A dummy takes
 * the offloads that the test gives it, so that both the "keep" and the
 * "segment" ways are proved. One that a test has speak has a control descriptor
 * and a state from then on, as a vhost-user port has.
 *
 * Threads: one; the simulator steps the workers itself.
 */
#ifndef PORTS_DUMMY_H
#define PORTS_DUMMY_H

#include "ports/port.h"

#define DUMMY_QUEUE_MAX 4096 /* frames; past it tx says DROP_QUEUE_FULL */

struct dummy_frame {
	uint32_t len;
	struct virtio_net_hdr_v1 vnet;
	uint16_t mirror_port;
	uint8_t mirror_dir;
	uint8_t *data; /* freed with the frame */
};

/*
 * Queue a frame to be received from the port. `vnet` may be NULL. With
 * `head` > 0, bytes from that offset on are delivered as a separate payload
 * segment, as a port with guest memory would. Returns 0 or -ENOMEM/-ENOBUFS.
 */
int dummy_inject(struct port *p, const void *data, uint32_t len,
		 const struct virtio_net_hdr_v1 *vnet, uint32_t head)
	__attribute__((warn_unused_result));

/* Take the oldest frame that was sent to the port: returns false where there
 * is none. The caller frees out->data. */
bool dummy_take(struct port *p, struct dummy_frame *out);

/* How many frames wait to be received by the switch; to be taken. */
unsigned int dummy_pending(const struct port *p);
unsigned int dummy_sent(const struct port *p);

/* The i-th of them, the oldest is 0; NULL where there are fewer. They stay
 * where they are, and the port's. */
const struct dummy_frame *dummy_peek_pending(const struct port *p,
					     unsigned int i);
const struct dummy_frame *dummy_peek_sent(const struct port *p, unsigned int i);

/* Make tx refuse with this reason; DROP_REASON_COUNT: accept again. */
void dummy_refuse(struct port *p, enum drop_reason why);

/*
 * The other end says something: the control descriptor is readable, and the
 * port's state is *state (its words are borrowed) once control() was called.
 * Returns 0 or -errno.
 */
int dummy_say(struct port *p, const struct port_state *state)
	__attribute__((warn_unused_result));

/* How often take_over was called. */
unsigned int dummy_taken_over(const struct port *p);

/* Which offloads tx takes as they are (enum port_offload). Default: all. */
void dummy_set_offloads(struct port *p, uint32_t offloads);

#endif
