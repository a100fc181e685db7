/*
 * datagrams - the run half of all ports whose frames are datagrams
 *
 * Types udp, dgram, seqpacket, vde, uml and slirp differ in how they get their
 * socket. From there on they are one: a connected socket, grant->fd[0], and one
 * frame a datagram (or record), as it is. Where the other end is ours and the
 * grant has a vnet_len, a struct virtio_net_hdr_v1 precedes it (slirp).
 *
 *	recvmmsg ──► frames in the arena ── rx, rx_done ──► pipeline
 *	sendmmsg ◄── heads and segments ◄── tx ◄──
 *
 * Of a UDP socket several may come and go as one (udp_gro.h, datagrams_join).
 *
 * Lengths are exact. Heads lie in the arena; what is longer than a frame of the
 * port's MTU goes on in memory of the port's, as a segment. A datagram that is
 * longer than FRAME_LEN_MAX comes with its own length, and one of no bytes with
 * none: both are for the pipeline to count and to drop.
 *
 * Errors. None that the other end can cause ends the port, but for the end of
 * a SOCK_SEQPACKET connection, of the connection that datagrams_watch() is told
 * of, and more descriptors beside frames than can be closed (rights.h). Nobody
 * there (ECONNREFUSED, ENOTCONN and the like) is `link-down` for the frame, and
 * the next one is tried again. What is said to one datagram may be about an
 * earlier one (ICMP): so each is tried twice.
 *
 * A type of it has datagrams_rx, _rx_done, _tx and _close in its port_ops, and
 * datagrams_open() in its open(). One that has more to remember begins its own
 * struct with a struct datagrams, and has _init and _fini in place of _open and
 * _close.
 *
 * Threads: as port.h has them; several may send at once.
 */
#ifndef PORTS_DATAGRAMS_H
#define PORTS_DATAGRAMS_H

#include "base/rights.h"
#include "ports/backlog.h"
#include "ports/port.h"
#include "ports/udp_gro.h"

#include <sys/socket.h>

/* What rx has ready, so that only addresses are filled in. */
struct datagrams_in {
	struct mmsghdr msg[FRAME_BATCH_MAX];
	struct iovec iov[FRAME_BATCH_MAX][2];
	struct iovec rest[FRAME_BATCH_MAX]; /* of frames: their segments */
	/* One of FRAME_LEN_MAX bytes a datagram: what doesn't fit into its head
	 * lies there, where it would with the head in front of it. */
	uint8_t *lanes;
	bool spilled; /* there is memory behind them, to be given back */
	struct rights_room *room; /* NULL: no descriptors come beside frames */
};

struct datagrams {
	struct port port;
	int fd;
	bool records;	   /* SOCK_SEQPACKET: there is an end */
	uint32_t vnet_len; /* ETHER_VNET_LEN, or 0 */
	int watched;	   /* its end is the port's; -1: none */
	_Atomic bool over;
	/* Where the end is noted (errno): the port's own, or where a type looks
	 * that goes on with another socket. */
	_Atomic int *failed;
	uint32_t head_max; /* bytes of a frame in the arena */
	/* Frames up to so long may go as one with others of their length (UDP
	 * GSO); 0: none. */
	_Atomic uint32_t gso_max;
	struct backlog *backlog; /* NULL: what finds no room is dropped */
	struct udp_gro *gro;	 /* NULL: each datagram comes as one */
	struct datagrams_in in;
};

/*
 * A port that borrows the grant's first descriptor, a socket that is connected
 * or will be. Without a vnet header its tx_offloads are 0 whatever the grant
 * says. Returns NULL with *err: no-memory, bad-grant (no socket).
 */
struct port *datagrams_open(const struct port_ops *ops,
			    const struct port_request *rq,
			    const struct port_grant *grant, struct error *err);
void datagrams_close(struct port *p);

/* The same in memory of the caller's, which is all zero. Returns 0 or -errno
 * with *err; then there is nothing to be undone. */
int datagrams_init(struct datagrams *d, const struct port_ops *ops,
		   const struct port_request *rq,
		   const struct port_grant *grant, struct error *err)
	__attribute__((warn_unused_result));
void datagrams_fini(struct datagrams *d);

/*
 * The port ends when the other end of this stream socket is closed (VDE's
 * control connection; what comes by it isn't read). Borrowed. It makes the
 * port's control_fd, so the type has datagrams_control in its port_ops. Returns
 * 0 or -errno. Before the port is used.
 */
int datagrams_watch(struct datagrams *d, int fd)
	__attribute__((warn_unused_result));
bool datagrams_control(struct port *p);

/*
 * A socket at whose other end few datagrams may wait: what finds no room is
 * kept for it (backlog.h). Sets the port's queue_fd. Returns 0 or -errno.
 * Before the port is used.
 */
int datagrams_keep(struct datagrams *d) __attribute__((warn_unused_result));

/* A UDP socket: what is of one length may leave as one (UDP_SEGMENT). */
void datagrams_join(struct port *p);

/*
 * A UDP socket with UDP_GRO: what comes as one is several frames (udp_gro.h).
 * Not with datagrams_keep(), a vnet header or records. Sets the port's
 * queue_fd; its port_ops have datagrams_rx_waits. Returns 0 or -errno. Before
 * the port is used.
 */
int datagrams_split(struct port *p) __attribute__((warn_unused_result));

unsigned int datagrams_rx(struct port *p, unsigned int queue, struct frame *f,
			  unsigned int max, struct frame_arena *arena);
void datagrams_rx_done(struct port *p, unsigned int queue);
bool datagrams_rx_waits(struct port *p, unsigned int queue);
unsigned int datagrams_tx(struct port *p, struct frame *const *f,
			  unsigned int n, enum drop_reason *why);

#endif
