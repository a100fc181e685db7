/*
 * vhost_user - ports whose queues lie in the guest's memory
 *
 * The other end is a *front end*: QEMU, User-Mode Linux, cloud-hypervisor, or
 * DPDK's virtio-user. It speaks the vhost-user protocol (QEMU's
 * docs/interop/vhost-user) over a Unix socket: it passes its guest's memory and
 * says where in it the rings are. From then on frames are copied between the
 * memories of two guests by the worker, without the kernel.
 *
 *	vhost_user_acquire.c  the socket: listened on (role=server), or
 *	                      connected to (role=client, again and again). May
 *	                      need privilege
 *	vhost_user.c          the port: rx, tx, its queues
 *	vhost_user_control.c  what comes by the socket; dialling again
 *	vhost_session.h       what the front end asks for
 *	vhost_msg.h           messages on the wire
 *	vhost_mem.h           its memory; what it takes away under us; the
 *	                      dirty log
 *	vhost_ring.h          a ring: vhost_ring.c what both kinds share,
 *	                      vhost_split.c, vhost_packed.c
 *	vhost_state.h         what a next process needs to go on, in shared
 *	                      memory
 *
 * Grant, by enum vhost_grant_fd: the socket that is listened on, or the
 * connection (client; a socket that isn't connected where nobody is there yet);
 * the memory of vhost_state.h; and what only the half that acquires needs: the
 * folder that the socket is in and, of one that is listened on, its file.
 * renew() connects again, or listens anew, as somebody has removed the file or
 * shut the socket down. What the front end passes is held by the keeper
 * (port_keeper.hold), so that a next process goes on with the same connection,
 * and no front end notices. The keeper has a connection open as well: who wants
 * the other end to see that it is over has to shutdown() it.
 *
 * A queue pair is a receive queue of the port (struct port) and one to send to.
 * Each ring has a lock, which its worker holds for a batch and the main thread
 * to change the ring. With several pairs a flow stays in one of them.
 *
 * The front end and its guest are hostile. What they can break is their own
 * port: it is `broken` then, with a reason (port.link's event, `port show`),
 * takes and sends nothing, and is well again when the front end begins anew.
 * One that keeps a thread of ours waiting (vhost_call.h), or passes a
 * descriptor that might, is hung up on, and the port is `shut` for 10 s, twice
 * as long each time.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_VHOST_USER_H
#define PORTS_VHOST_USER_H

#include "ports/port.h"

#define VHOST_QUEUES_MAX PORT_FDS_MAX		/* pairs */
#define VHOST_RINGS_MAX	 (2 * VHOST_QUEUES_MAX) /* even: to the guest */

enum vhost_grant_fd {
	VHOST_GRANT_SOCKET,
	VHOST_GRANT_STATE,
	VHOST_GRANT_RUN_FDS, /* of the half that runs, so many (run_fds) */
	VHOST_GRANT_FOLDER = VHOST_GRANT_RUN_FDS, /* O_PATH */
	VHOST_GRANT_FILE,			  /* O_PATH; role=server only */
};

/*
 * The half that acquires, as port.h has it. Reasons: bad-path (no absolute path
 * of a file, a name that is too long, what the system says), no-folder,
 * not-permitted, not-a-socket, in-use, no-such-user, no-such-group, bad-value;
 * of renew, where role=client: nobody-there (-ENOENT, -ECONNREFUSED, -EAGAIN).
 * None of them waits for the other end. The MTU is 1500 where none is asked
 * for.
 */
int vhost_user_acquire(const struct port_request *rq, struct port_grant *grant,
		       struct error *err);
int vhost_user_adjust(const struct port_request *rq, struct port_grant *grant,
		      struct error *err);
int vhost_user_renew(const struct port_request *rq, struct port_grant *grant,
		     struct error *err);
void vhost_user_release(const struct port_request *rq,
			struct port_grant *grant);

struct vhost_ring_info {
	bool started, enabled, packed;
	uint16_t size;	 /* descriptors */
	uint64_t frames; /* through it, of this process */
	uint64_t kicks;	 /* the guest woke us */
	uint64_t calls;	 /* we woke the guest */
};

struct vhost_user_info {
	uint64_t features;	    /* agreed on (VIRTIO 1.2 section 6) */
	uint64_t protocol_features; /* the same of vhost-user */
	uint32_t regions;	    /* of the guest's memory */
	uint64_t memory;	    /* bytes in them */
	uint32_t status;	    /* the device's (VIRTIO 1.2 2.1), if told */
	uint64_t connections;	    /* ever, of this process */
	bool logging;		    /* dirty pages: the guest is migrating */
	uint32_t rings;
	struct vhost_ring_info ring[VHOST_RINGS_MAX];
};

/* All of it, a moment old. p must be of this type. Main thread. */
void vhost_user_info(struct port *p, struct vhost_user_info *info);

#endif
