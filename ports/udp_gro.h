/*
 * udp_gro - datagrams that the kernel hands over as one, and frames of them
 *
 * With UDP_GRO (udp(7)) a message may be several datagrams of one sender, one
 * behind the other: each as long as the message's `segment`, but for the last,
 * which may be shorter. What was sent as one (UDP_SEGMENT) crosses a loopback
 * or veth as it is, and comes as one; so may what a NIC's driver has put
 * together. A message is 65 535 bytes at most. How many segments that are is
 * the sender's choice: a guest of the host may say that one is a byte long.
 *
 *     message in a lane of the port's       frames in the batch's arena
 *     | segment | segment | .. | last |  ──► room, segment; room, segment; ..
 *               ▲ offset: what is in front of it has gone
 *
 * Frames want room in front of them, which is the segment before here, so each
 * is copied. One message may be more frames than a batch takes: what waits goes
 * first with the next rx, before anything is read. So that there is a next one
 * the port's queue_fd is a set of the socket and an eventfd, which is readable
 * while something waits.
 *
 * Two ways to receive. *Apart*: up to FRAME_BATCH_MAX messages, each right to
 * where its frame lies; who sends no joined ones pays nothing. The first joined
 * message and those behind it move to the lanes, and from then on the port
 * receives *joined*: UDP_GRO_LANES messages into lanes at a time. It goes back
 * when UDP_GRO_PATIENCE calls in a row have brought none that was joined.
 *
 * What waits lies in this process. A worker that ends, as for an upgrade, has
 * it received before (port_ops.rx_waits). With a port that is detached it goes,
 * and where the process crashes: frames of UDP_GRO_LANES messages
 * (FRAME_BATCH_MAX where they had just begun to come so). They aren't counted,
 * as those that wait in a socket aren't.
 *
 * Threads: udp_gro_new and _free as a port's open and close, all else as its
 * rx.
 */
#ifndef PORTS_UDP_GRO_H
#define PORTS_UDP_GRO_H

#include "ports/frame.h"

#include <sys/socket.h>

#define UDP_GRO_LANES	 4  /* 256 KiB: they stay in the cache */
#define UDP_GRO_PATIENCE 64 /* calls */

struct udp_gro_message {
	const uint8_t *data;
	uint32_t len;
	uint32_t segment; /* bytes; 0: it is one frame */
};

union udp_gro_control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int))];
};

struct udp_gro {
	int epoll, again;   /* the set; the eventfd in it */
	bool nudged;	    /* `again` is readable */
	bool joined;	    /* which way the port receives */
	unsigned int alone; /* calls since the last joined message */
	/* wait[first..n): in the first one what is before offset has gone. */
	unsigned int first, n;
	uint32_t offset;
	struct udp_gro_message wait[FRAME_BATCH_MAX];
	union udp_gro_control control[FRAME_BATCH_MAX];
	/* What the joined way receives into. */
	struct mmsghdr msg[UDP_GRO_LANES];
	struct iovec iov[UDP_GRO_LANES];
};

/* Have a UDP socket receive so. Nothing happens where the kernel can't (before
 * Linux 5.0). Of the acquire half. */
void udp_gro_ask(int socket);

/* Was that asked for, of this socket? */
bool udp_gro_asked(int socket);

/*
 * For a socket, which is borrowed. `lanes`: FRAME_BATCH_MAX times FRAME_LEN_MAX
 * bytes of the caller's. Returns it, or NULL with errno.
 */
struct udp_gro *udp_gro_new(int socket, uint8_t *lanes);

/* What waits goes with it. NULL is fine. */
void udp_gro_free(struct udp_gro *g);

/* Message i of a call that receives apart is told how it was joined. */
void udp_gro_prepare(struct udp_gro *g, unsigned int i, struct msghdr *m);

/* How long the segments of a received message are; 0: it says nothing. */
uint32_t udp_gro_segment(struct msghdr *m);

/* Does something wait? */
static inline bool udp_gro_waits(const struct udp_gro *g)
{
	return g->first < g->n;
}

/*
 * A message waits from now on, behind the others: FRAME_BATCH_MAX at most from
 * the first after none has waited. Its data stay where they are until nothing
 * waits. segment: as the kernel said, and not to be trusted. One that is longer
 * than FRAME_LEN_MAX is there up to that, and a frame of its own length.
 */
void udp_gro_add(struct udp_gro *g, const uint8_t *data, uint32_t len,
		 uint32_t segment);

/* n messages have been received into g->msg, and wait. Where the last ones were
 * all apart, the port goes back to that. */
void udp_gro_received(struct udp_gro *g, unsigned int n);

/* Up to `max` frames of what waits, as port_ops.rx. */
unsigned int udp_gro_take(struct udp_gro *g, struct frame *f, unsigned int max,
			  struct frame_arena *arena);

/* At the end of an rx: somebody is to call again where something waits. */
void udp_gro_wake(struct udp_gro *g);

#endif
