/*
 * vhost_msg - what a vhost-user front end and we say to each other
 *
 * The wire format of QEMU's docs/interop/vhost-user: a header, a payload by the
 * kind of request, and descriptors beside it, over a stream socket. All numbers
 * are in host byte order. There is nothing of the device in here.
 *
 * A stream may deliver a message in pieces: struct vhost_inbox keeps what has
 * come. It never reads beyond a message's end, so the next one stays in the
 * socket, for whoever has it by then.
 *
 * Ownership: descriptors that came are the inbox's until vhost_inbox_take_fd()
 * gives one away; vhost_inbox_clear() closes what is left. Threads: no state.
 */
#ifndef PORTS_VHOST_MSG_H
#define PORTS_VHOST_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHOST_MSG_FDS_MAX     8 /* as many as there may be regions */
#define VHOST_MSG_REGIONS_MAX 8
#define VHOST_MSG_PAYLOAD_MAX 1024 /* longer than any that we know of */

/* X(enum suffix, number, name for people) */
#define VHOST_REQUESTS(X)                                     \
	X(GET_FEATURES, 1, "GET_FEATURES")                    \
	X(SET_FEATURES, 2, "SET_FEATURES")                    \
	X(SET_OWNER, 3, "SET_OWNER")                          \
	X(RESET_OWNER, 4, "RESET_OWNER")                      \
	X(SET_MEM_TABLE, 5, "SET_MEM_TABLE")                  \
	X(SET_LOG_BASE, 6, "SET_LOG_BASE")                    \
	X(SET_LOG_FD, 7, "SET_LOG_FD")                        \
	X(SET_VRING_NUM, 8, "SET_VRING_NUM")                  \
	X(SET_VRING_ADDR, 9, "SET_VRING_ADDR")                \
	X(SET_VRING_BASE, 10, "SET_VRING_BASE")               \
	X(GET_VRING_BASE, 11, "GET_VRING_BASE")               \
	X(SET_VRING_KICK, 12, "SET_VRING_KICK")               \
	X(SET_VRING_CALL, 13, "SET_VRING_CALL")               \
	X(SET_VRING_ERR, 14, "SET_VRING_ERR")                 \
	X(GET_PROTOCOL_FEATURES, 15, "GET_PROTOCOL_FEATURES") \
	X(SET_PROTOCOL_FEATURES, 16, "SET_PROTOCOL_FEATURES") \
	X(GET_QUEUE_NUM, 17, "GET_QUEUE_NUM")                 \
	X(SET_VRING_ENABLE, 18, "SET_VRING_ENABLE")           \
	X(SEND_RARP, 19, "SEND_RARP")                         \
	X(NET_SET_MTU, 20, "NET_SET_MTU")                     \
	X(SET_BACKEND_REQ_FD, 21, "SET_BACKEND_REQ_FD")       \
	X(RESET_DEVICE, 34, "RESET_DEVICE")                   \
	X(GET_MAX_MEM_SLOTS, 36, "GET_MAX_MEM_SLOTS")         \
	X(ADD_MEM_REG, 37, "ADD_MEM_REG")                     \
	X(REM_MEM_REG, 38, "REM_MEM_REG")                     \
	X(SET_STATUS, 39, "SET_STATUS")                       \
	X(GET_STATUS, 40, "GET_STATUS")

#define VHOST_REQUEST_ENUM(id, number, name) VHOST_REQUEST_##id = (number),
enum vhost_request { VHOST_REQUESTS(VHOST_REQUEST_ENUM) };

#define VHOST_REQUEST_MAX 40

/* Protocol features, by their bits. */
enum {
	VHOST_PROTOCOL_MQ = 0,
	VHOST_PROTOCOL_LOG_SHMFD = 1,
	VHOST_PROTOCOL_RARP = 2,
	VHOST_PROTOCOL_REPLY_ACK = 3,
	VHOST_PROTOCOL_NET_MTU = 4,
	VHOST_PROTOCOL_BACKEND_REQ = 5,
	VHOST_PROTOCOL_RESET_DEVICE = 13,
	VHOST_PROTOCOL_MEM_SLOTS = 15, /* CONFIGURE_MEM_SLOTS */
	VHOST_PROTOCOL_STATUS = 16,
};

/* Beside VIRTIO's features. */
#define VHOST_FEATURE_LOG_ALL  26 /* VHOST_F_LOG_ALL */
#define VHOST_FEATURE_PROTOCOL 30 /* VHOST_USER_F_PROTOCOL_FEATURES */

#define VHOST_MSG_VERSION      1u
#define VHOST_MSG_VERSION_MASK 3u
#define VHOST_MSG_REPLY	       4u
#define VHOST_MSG_NEED_REPLY   8u

struct vhost_msg_head {
	uint32_t request, flags;
	uint32_t size; /* of the payload, bytes */
};

struct vhost_msg_region {
	uint64_t guest, size, user, offset;
};

struct vhost_msg_table {
	uint32_t n, padding;
	struct vhost_msg_region region[VHOST_MSG_REGIONS_MAX];
};

struct vhost_msg_slot {
	uint64_t padding;
	struct vhost_msg_region region;
};

struct vhost_msg_log {
	uint64_t size, offset;
};

/* SET_VRING_NUM, BASE, ENABLE; GET_VRING_BASE */
struct vhost_msg_vring {
	uint32_t index, num;
};

#define VHOST_MSG_ADDR_LOG 1u /* of flags: the used ring's pages are logged */

struct vhost_msg_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

/* SET_VRING_KICK, CALL, ERR are a u64 of these. */
#define VHOST_MSG_VRING_MASK 0xffu
#define VHOST_MSG_NOFD	     0x100u

struct vhost_msg {
	struct vhost_msg_head head;
	union {
		uint64_t u64;
		struct vhost_msg_vring vring;
		struct vhost_msg_addr addr;
		struct vhost_msg_table table;
		struct vhost_msg_slot slot;
		struct vhost_msg_log log;
		uint8_t bytes[VHOST_MSG_PAYLOAD_MAX];
	};
};

_Static_assert(offsetof(struct vhost_msg, u64) % 8 == 0 &&
		       offsetof(struct vhost_msg, u64) >=
			       sizeof(struct vhost_msg_head),
	       "header and payload are received apart");

struct vhost_inbox {
	struct vhost_msg msg;
	uint32_t have; /* bytes of header and payload */
	unsigned int nfds;
	int fd[VHOST_MSG_FDS_MAX]; /* -1: was given away */
};

/* The name of a request, or NULL: none that we know. Static storage. */
const char *vhost_msg_name(uint32_t request);

/*
 * Go on receiving. Returns 1: in->msg is whole; 0: some is missing, call again
 * when the socket is readable; -EPIPE: the other end is gone; -EPROTO: that is
 * no message (a version, a length or a number of descriptors that can't be),
 * and the stream is of no use any more; -EBADF: a descriptor came of a kind
 * that nobody needs, and that might keep us waiting; -EMFILE: descriptors
 * didn't find room; or -errno of the socket.
 */
int vhost_inbox_receive(struct vhost_inbox *in, int sock)
	__attribute__((warn_unused_result));

/* The message's next descriptor, the caller's from now on; -1: there are no
 * more. */
int vhost_inbox_take_fd(struct vhost_inbox *in);

/* Has nothing of a message come yet? */
static inline bool vhost_inbox_empty(const struct vhost_inbox *in)
{
	return !in->have;
}

/* Close what nobody took; ready for the next message. */
void vhost_inbox_clear(struct vhost_inbox *in);

/*
 * Reply to a request with `size` bytes. Returns 0 or -errno; -EAGAIN: the other
 * end doesn't read what we send, and has got none or a part of it.
 */
int vhost_msg_reply(int sock, uint32_t request, const void *payload,
		    uint32_t size) __attribute__((warn_unused_result));

#endif
