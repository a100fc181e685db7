/*
 * proto - what the monitor and the switch process say to each other
 *
 * Two SOCK_SEQPACKET pairs between the two (switchd/monitor.h has the whole):
 *
 *     calls    the switch asks, the monitor answers, one at a time
 *     orders   both tell each other, nobody answers
 *
 * A message is one struct of fixed size, with up to PROTO_FDS_MAX descriptors
 * beside it. The monitor believes nothing in it: see policy.h.
 *
 * Versions. During an upgrade the two are of different versions, so the header
 * never changes, and the rest may only grow at the end of a struct, or of a
 * struct's members that are last themselves. Who receives a shorter message
 * takes what is missing for zero; one that is longer is refused unless what is
 * too much is zero, for then it asks for nothing that isn't known here.
 * Whatever breaks that takes a new PROTO_VERSION, and `switch upgrade` refuses
 * it.
 *
 * Threads: a channel's calls are serialised by its user.
 */
#ifndef SWITCHD_PROTO_H
#define SWITCHD_PROTO_H

#include "base/error.h"
#include "ports/port.h"

#include <limits.h>
#include <stdint.h>

#define PROTO_MAGIC	 0x736d7773u /* "swms" in memory */
#define PROTO_VERSION	 1
#define PROTO_FDS_MAX	 8
#define PROTO_TEXT	 256
#define PROTO_SOCKET_MAX 108 /* sockaddr_un's */

/* Where the switch process finds its ends. */
#define PROTO_CALLS_FD	3
#define PROTO_ORDERS_FD 4

enum proto_type {
	/* Calls, and which members of the message they use. */
	PROTO_START = 1, /* answer: start, the PROTO_START_* descriptors */
	PROTO_ACQUIRE,	 /* request, where `given` the connection; answer: grant
			  * and its descriptors */
	PROTO_ADOPT,	 /* handle; the same for what is held already */
	PROTO_ADJUST,	 /* handle, request; answer: grant */
	PROTO_RENEW,	 /* handle; answer: grant and its descriptors */
	PROTO_RELEASE,	 /* handle */
	PROTO_CONFIG,	 /* answer: the configuration file, to be read */
	PROTO_SAVE,   /* text: path, a descriptor: JSON, to be written there */
	PROTO_KEEP,   /* arg: enum proto_keep, a descriptor */
	PROTO_FORGET, /* release what isn't claimed: restored is all now */
	PROTO_ID,     /* arg: 1 = group; text: name; answer: arg: id */
	PROTO_ACL,    /* text: profile; may switchd-helper ask for it? */
	PROTO_FASTPATH, /* answer: fastpath, descriptors: enum fastpath_fd */
	PROTO_PLACE,	/* handle, arg: port index; FASTPATH_NO_PORT: none */
	PROTO_XDP,	/* handle, arg: 0 off, 1 on */
	PROTO_HOLD,	/* handle, arg: number, a descriptor or none: drop it */
	PROTO_HELD,	/* handle, arg: number; answer: that descriptor */

	/* Orders to the switch. */
	PROTO_GO = 64,	 /* an upgrade: you are the switch now */
	PROTO_STOP,	 /* detach everything, end */
	PROTO_RELOAD,	 /* read the configuration again */
	PROTO_HAND_OVER, /* an upgrade: stop forwarding, answer STOPPED */
	PROTO_RESUME,	 /* an upgrade has failed (error): go on */
	PROTO_DONE,	 /* an upgrade has succeeded (text: version): end */

	/* Words of the switch. */
	PROTO_READY = 96, /* an upgrade: everything is loaded, text: version */
	PROTO_RUNNING,	  /* forwarding, since_ns; arg: number of ports */
	PROTO_STOPPED,	  /* as ordered by HAND_OVER; since_ns */
	PROTO_FAILED,	  /* error: can't start, and ends */
	PROTO_ALIVE,	  /* each second, if PROTO_START_WATCHED */
	PROTO_RELOADING,  /* for systemd */
	PROTO_UPGRADE,	  /* somebody asks for it */
};

/* Memory that the monitor keeps for the switch, one descriptor each. */
enum proto_keep { KEEP_FDB, KEEP_JOURNAL, KEEP_LEDGER, KEEP_COUNT };

/* In struct proto_start's flags: which descriptors there are, in this order. */
#define PROTO_START_CONTROL 0x01u /* listening sockets */
#define PROTO_START_HELPER  0x02u
#define PROTO_START_KEPT(i) (0x10u << (i)) /* enum proto_keep */
/* ... and what kind of start it is. */
#define PROTO_START_UPGRADE                                                   \
	0x100u			   /* load everything, say READY, wait for GO \
				    */
#define PROTO_START_WATCHED 0x200u /* say ALIVE: somebody waits for it */

struct proto_start {
	uint32_t flags;
	uint32_t restarts;   /* of the switch since the monitor runs */
	uint64_t started_ns; /* CLOCK_MONOTONIC, of the first one */
	uint32_t socket_gid; /* group of the control socket; ~0: none */
	char socket[PROTO_SOCKET_MAX];
	char helper_socket[PROTO_SOCKET_MAX];
};

/* The maps of the kernel fast path, whose descriptors come along. */
struct proto_fastpath {
	uint32_t version; /* FASTPATH_VERSION */
	uint32_t ports_max, cpus;
	uint32_t fdb_entries; /* as struct fdb_config has it */
	uint32_t xdp;	      /* 1: the kernel takes the XDP program */
};

struct proto_head { /* never changes */
	uint32_t magic;
	uint16_t version;
	uint16_t type;	 /* enum proto_type; of an answer: the call's */
	uint32_t seq;	 /* a call's number, and its answer's */
	int32_t result;	 /* of an answer: 0, or -errno and `error` is set */
	uint32_t handle; /* of a grant */
	uint32_t arg;	 /* by type */
	uint32_t nfds;
	uint32_t reserved;
};

struct proto_msg {
	struct proto_head head;
	union {
		struct port_request request;
		struct port_grant grant;
		struct proto_start start;
		struct proto_fastpath fastpath;
		struct error error;
		uint64_t since_ns; /* clock_ns() */
		char text[PROTO_TEXT];
	};
};

/*
 * Send a message with descriptors (borrowed). magic, version and nfds are
 * filled in. Doesn't block: a channel that is full, as nobody reads it, is
 * -EAGAIN. Returns 0 or -errno.
 */
int proto_send(int channel, struct proto_msg *m, const int *fd,
	       unsigned int nfds) __attribute__((warn_unused_result));

/*
 * Receive one. fd[PROTO_FDS_MAX]: its descriptors, the caller's from now on
 * (close-on-exec); m->head.nfds says how many. Texts and the texts of an
 * error end with a NUL; the other members are as they came.
 *
 * timeout_ms  -1: as long as it takes
 *
 * Returns 0; -EPIPE: the other end is gone; -ETIMEDOUT; -EPROTO: what came is
 * no message of ours; -EPROTONOSUPPORT: of another version; -EMFILE: it came,
 * and *m is it, but this process has no descriptors left for those that came
 * with it; or -errno.
 */
int proto_receive(int channel, struct proto_msg *m, int *fd, int timeout_ms)
	__attribute__((warn_unused_result));

/*
 * A message with a request: has it been filled in by somebody decent? Texts
 * that end, flags that are 0 or 1. Nothing may look at the request before.
 */
bool proto_request_sane(const struct proto_msg *m);

/* Make a pair of channels; [0] the monitor's, [1] to be inherited. */
int proto_pair(int fd[2]) __attribute__((warn_unused_result));

/* Close them all. */
void proto_close_fds(const int *fd, unsigned int n);

#endif
