/*
 * port - where frames come in and go out: one interface, many types
 *
 * Two halves. *Acquire* may need privilege: it opens and sets up the device
 * and hands back a grant: descriptors, facts, and what is needed to undo it
 * all. *Run* needs no privilege: it turns a grant into bursts of frames in
 * and out. Request and grant are plain data of fixed size, so that the first
 * half can live in another process than the second.
 *
 *     request ──acquire──► grant ──open──► struct port ──rx/tx──► frames
 *             ◄─release──        ◄─close─
 *
 * Who owns what: the caller owns request and grant; the grant owns its
 * descriptors from acquire to release; a struct port borrows them from open
 * to close. So: close first, release afterwards.
 *
 * A port receives by one queue or several, which is up to its device; each has
 * a descriptor to wait for. Queues are polled independently of each other.
 *
 * Most types have their queues in the kernel, which says by the descriptor when
 * frames wait. A type whose queues lie in memory that the guest shares with us
 * (vhost-user) has two operations more: rx_done gives a batch back, for until
 * then its frames lie in the guest; and rx_sleep asks the guest to tell, by the
 * descriptor, when there is something new. Until that is asked for, nobody
 * tells: such a queue is *awake* and has to be looked at.
 *
 *      queue_fd readable ──► rx, rx_done, rx, rx_done, .. ──► rx_sleep
 *      ▲         awake: looked at again and again           │ true: asleep
 *      └───────────────────────────────────────────────────┘ false: still awake
 *
 * A type that speaks with somebody while it runs (vhost-user's front end) has
 * a control descriptor: the main thread calls control() when it is readable.
 *
 * Threads: acquire, adjust, renew, release, open, take_over, control, state and
 * close on the main thread (close only once no worker can hold the port:
 * epoch.h); rx, rx_done and rx_sleep of a queue on the one worker that owns it;
 * tx on any worker, on several at once. Neither rx nor tx blocks, allocates,
 * logs or takes a lock that others hold for long.
 *
 * Where the first half lives in another process (the keeper's), ports ask it
 * while they run for what only it can do: struct port_keeper.
 *
 * Each type is a static `const struct port_ops`, found by port_ops_find().
 */
#ifndef PORTS_PORT_H
#define PORTS_PORT_H

#include "base/error.h"
#include "ports/drop.h"
#include "ports/frame.h"

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PORT_NAME_MAX  64  /* bytes with the NUL */
#define PORT_PATH_MAX  256 /* bytes with the NUL */
#define PORT_FDS_MAX   8
#define TAP_QUEUES_MAX (PORT_FDS_MAX - 1) /* one descriptor is for sending */
#define PORT_HELD_MAX  256 /* descriptors that a keeper holds: port_keeper */
#define PORT_MTU_MIN   68  /* RFC 791 */
#define PORT_MTU_MAX   65535
/* A bridge's, of a guest of whom nobody says what it has. */
#define PORT_MTU_DEFAULT 1500

/* What a port's transmit side takes as it is (vnet); else offload.h works. */
enum port_offload {
	PORT_TX_CSUM = 1 << 0, /* VIRTIO_NET_HDR_F_NEEDS_CSUM */
	PORT_TX_TSO4 = 1 << 1, /* VIRTIO_NET_HDR_GSO_TCPV4 */
	PORT_TX_TSO6 = 1 << 2, /* VIRTIO_NET_HDR_GSO_TCPV6 */
	PORT_TX_ECN = 1 << 3,  /* VIRTIO_NET_HDR_GSO_ECN beside them */
	PORT_TX_USO = 1 << 4,  /* VIRTIO_NET_HDR_GSO_UDP_L4 */
	PORT_TX_UFO = 1 << 5,  /* VIRTIO_NET_HDR_GSO_UDP */
};

#define PORT_TX_ALL_GSO \
	(PORT_TX_TSO4 | PORT_TX_TSO6 | PORT_TX_ECN | PORT_TX_USO | PORT_TX_UFO)

/* Parameters by type; zero means "not given" unless it says otherwise. */
struct tap_params {
	char ifname[IFNAMSIZ]; /* "" lets the kernel choose, "%d" works */
	char owner[64];	       /* user, by name or number; "" = not set */
	char group[64];
	bool persist;		   /* the device outlives its port */
	char netns[PORT_PATH_MAX]; /* name under /run/netns or a path */
	uint64_t mac;		   /* of the host's side; 0 = kernel's choice */
	char address[64];	   /* host's side, "10.0.0.1/24"; "" = none */
	bool handover;		   /* another program gets the descriptor */
	uint32_t queues; /* receive queues, 2 to TAP_QUEUES_MAX; 0: one */
	bool plain;	 /* no super-frames or partial checksums, either way */
};

struct netdev_params {
	char ifname[IFNAMSIZ];
	bool promisc; /* put a NIC into promiscuous mode (uplinks) */
	bool force;   /* take a device that the host itself uses */
	/* The switch has the kernel fast path: what comes is the business of
	 * the program at TC ingress, if there is one (netdev_guard_program). */
	bool fast;
};

struct pcap_params {
	char file[PORT_PATH_MAX];
	char filter[PORT_PATH_MAX]; /* libpcap filter expression; "" = all */
	uint32_t snaplen;	    /* bytes a frame; 0 = all */
	uint64_t rotate_bytes;	    /* new file after so many; 0 = never */
	uint32_t rotate_files;	    /* keep so many; 0 = 1 + no rotation */
	bool classic;		    /* pcap instead of pcapng */
	bool segment;		    /* super-frames as their segments */
};

struct vhost_user_params {
	char path[PORT_PATH_MAX]; /* of the socket */
	bool client;		  /* connect to it; false: listen on it */
	char owner[64];		  /* of the socket that we listen on, */
	char group[64];		  /* as for a tap; "" = not set */
	uint32_t queues;	  /* pairs, 1 to PORT_FDS_MAX; 0: one */
};

/* Frames in datagrams between two addresses: "192.0.2.1:4444", "[::1]:4444". */
struct udp_params {
	char local[64];
	char remote[64]; /* the only one that is heard */
};

/* The same between two paths of Unix sockets. */
struct dgram_params {
	char local[PORT_PATH_MAX];
	char remote[PORT_PATH_MAX];
	char owner[64]; /* of `local`, as for a tap; "" = not set */
	char group[64];
};

/* A connection, to an address ("/PATH", "192.0.2.1:4444") or `given`. */
struct stream_params {
	char connect[PORT_PATH_MAX];
};

/* A VDE client's connection: given, with what the client has asked for. */
struct vde_params {
	char folder[PORT_PATH_MAX]; /* where our socket is bound */
	uint8_t peer[110];	    /* the client's sockaddr_un, as it came */
	uint16_t number;	    /* of the port; 0: any */
};

/* NAT by a process of ours: ports/slirp_config.h says what they mean. */
struct slirp_params {
	char ipv4[64];	   /* "10.0.2.0/24"; "" = the default, "none" */
	char ipv6[64];	   /* "fd00::/64"; the same */
	char hostfwd[512]; /* "tcp:127.0.0.1:8080-10.0.2.15:80,.." */
	char hostname[64]; /* that DHCP gives; "" = none */
	bool restricted;   /* nothing but what hostfwd allows */
	bool loopback;	   /* guests reach the host's 127.0.0.1 */
};

/* What a listener waits at (switchd/listener.h). */
enum listen_kind { LISTEN_STREAM, LISTEN_SEQPACKET, LISTEN_VDE, LISTEN_UML };

struct listen_params {
	uint32_t kind; /* enum listen_kind */
	/* "/PATH"; stream: "192.0.2.1:4444" as well; vde: the folder */
	char address[PORT_PATH_MAX];
	char owner[64], group[64]; /* of what is made for it; "" = not set */
};

struct port_request {
	char type[16]; /* "tap" */
	char name[PORT_NAME_MAX];
	uint32_t mtu; /* bytes behind the Ethernet header; 0 = device's */
	bool enabled; /* carrier up */
	union {
		struct tap_params tap;
		struct netdev_params netdev;
		struct pcap_params pcap;
		struct vhost_user_params vhost_user;
		struct udp_params udp;
		struct dgram_params dgram;
		struct stream_params stream;
		struct vde_params vde;
		struct slirp_params slirp;
		struct listen_params listen;
	};
	/*
	 * The requester has the connection already (a listener's): acquire
	 * finds it in the grant (nfds is 1, fd[0] the connection), which owns
	 * it from then on. Where acquire fails it's the caller's, still open.
	 */
	bool given;
	/* Permissions of the socket that is made (vhost-user, dgram, listen),
	 * 0001 to 0777; 0: as owner and group have it. */
	uint32_t socket_mode;
};

/* What has to be put back on release; meaning belongs to the type. */
struct port_undo {
	bool existed;	       /* the device was there before us */
	bool was_up;	       /* IFF_UP before us */
	bool carrier_off;      /* we have taken the carrier away */
	bool carrier_by_flags; /* `enabled` is done by IFF_UP, not carrier */
	bool added_address;
	bool added_clsact, added_filter;
	int8_t ipv6_disabled; /* disable_ipv6 before us; -1 = don't restore */
	bool took_over;	      /* what a port that crashed has left */
	bool mtu_set;	      /* we have changed the MTU */
	uint32_t mtu;	      /* before us */
	uint64_t mac;	      /* before us; 0 = don't restore */
};

struct port_grant {
	unsigned int nfds;
	int fd[PORT_FDS_MAX]; /* meaning belongs to the type */
	uint32_t tx_offloads; /* enum port_offload */
	uint32_t mtu;	      /* bytes behind the Ethernet header */
	uint32_t vnet_len;    /* bytes of vnet header on the descriptor */
	int ifindex;	      /* 0 where there is no device */
	char ifname[IFNAMSIZ];
	uint64_t mac;	/* of the device; 0 where there is none */
	bool carrier;	/* when it was acquired */
	bool unguarded; /* the host's stack may answer on the device */
	struct port_undo undo;
	/* Members of request and grant only ever come at the end: both cross
	 * from one version's process to another's (switchd/proto.h). */
	uint32_t handle;  /* of whoever keeps it for us, see switchd/broker.h;
			   * 0 = nobody */
	bool resumed;	  /* an earlier process has used these descriptors: go
			   * on where it stopped */
	bool fast;	  /* nothing is to be received by the descriptors: the
			   * kernel fast path's program takes it (netdev) */
	bool queue_taken; /* to be put back: qdisc.h */
};

struct port {
	const struct port_ops *ops;
	char name[PORT_NAME_MAX];
	uint32_t index;	     /* in the switch; small, reused after quarantine */
	uint32_t generation; /* tells two owners of one index apart */
	/* enum port_offload. A guest may change its mind at any time: tx looks
	 * itself where that matters. */
	_Atomic uint32_t tx_offloads;
	_Atomic uint32_t mtu; /* bytes behind the Ethernet header (and tag) */
	uint32_t queues;      /* 1 to PORT_FDS_MAX */
	/* By queue: readable when frames wait; -1: never polled. */
	int queue_fd[PORT_FDS_MAX];
	/* Readable when control() is to be called; -1: never. */
	int control_fd;
	_Atomic int failed; /* errno; set by rx: the device is gone */
	/* What the kernel dropped before we could read it; written by rx, of
	 * queue 0. */
	_Atomic uint64_t rx_missed;
	_Atomic uint64_t rx_noted; /* the worker's: so many are counted */
	/* The same of frames that tx had taken, and that never got to the other
	 * end: it went. */
	_Atomic uint64_t tx_lost;
	_Atomic uint64_t tx_noted;
};

/* What a port with a control descriptor says of its other end. */
struct port_state {
	bool carrier;	       /* frames can go both ways */
	const char *condition; /* a word for people; static storage */
	const char *reason;    /* ... why it isn't well; or NULL */
};

struct port_ops {
	const char *type;
	/* Descriptors of a grant that the run half is given where the other one
	 * is another process's; 0: all. */
	unsigned int run_fds;

	/*
	 * Open and set up what `rq` asks for; fill *grant.
	 * Returns 0, or -errno with *err: reason word and the path of the
	 * offending parameter ("ifname", "netns", ..). Nothing is left behind
	 * on failure.
	 */
	int (*acquire)(const struct port_request *rq, struct port_grant *grant,
		       struct error *err);
	/*
	 * Bring a held device to rq->enabled and rq->mtu (0: what it had
	 * before us, so that taking the parameter back takes it back); fields
	 * of *grant follow. Returns 0, or -errno with *err: then device and
	 * grant are as they were.
	 */
	int (*adjust)(const struct port_request *rq, struct port_grant *grant,
		      struct error *err);
	/*
	 * Begin anew what the grant stands for: pcap shifts the capture's
	 * files and makes a new one, vhost-user connects again. grant->fd[0] is
	 * then the new one, under the old one's number. Returns 0, or -errno
	 * with *err: grant->fd[0] is the old one, and it can be called again.
	 * NULL where a type has no use for it.
	 */
	int (*renew)(const struct port_request *rq, struct port_grant *grant,
		     struct error *err);
	/* Put back what acquire changed; close what it opened. Never fails:
	 * a device may be gone. */
	void (*release)(const struct port_request *rq,
			struct port_grant *grant);

	/* Returns a port that borrows the grant's descriptors, or NULL with
	 * *err. */
	struct port *(*open)(const struct port_request *rq,
			     const struct port_grant *grant, struct error *err);
	/*
	 * Of a port with a resumed grant: the earlier process does nothing with
	 * it any more, go on where it stopped. Called once, before the first
	 * rx, tx and control; a port that is closed without it has touched
	 * nothing. Once more, of any port, when this process goes on after it
	 * has halted, as the next one may have begun and got somewhere: what is
	 * remembered apart from what they share is out of date then. No worker
	 * runs. NULL: there is nothing to do.
	 */
	void (*take_over)(struct port *p);
	/*
	 * Do what the control descriptor waits for, in a bounded time. Returns
	 * whether something changed that people want to know: state() says it.
	 */
	bool (*control)(struct port *p);
	/* What there is to know of the other end. NULL: nothing. */
	void (*state)(struct port *p, struct port_state *state);
	/* Frees it. What was accepted by tx has been sent or written. */
	void (*close)(struct port *p);
	/* Waits until it has; nobody calls tx meanwhile. NULL: it always has
	 * been when tx returns. */
	void (*drain)(struct port *p);

	/*
	 * Up to `max` (<= FRAME_BATCH_MAX) frames of a queue (below p->queues)
	 * into f[], data in the arena;
	 * f[i] is as frame_init leaves it, with vnet, segments and, where the
	 * kernel took a tag out of the bytes, the tag put back. Returns how
	 * many; fewer than max when the source or the arena is exhausted, or
	 * frames were lost: each of those counts against max as well, so that
	 * a call takes a bounded time whatever the other end sends.
	 * NULL for a port that never receives.
	 */
	unsigned int (*rx)(struct port *p, unsigned int queue, struct frame *f,
			   unsigned int max, struct frame_arena *arena);
	/*
	 * The frames of the last rx of this queue are done with: they, their
	 * heads and segments, aren't used again. Called after each rx that
	 * returned frames, before the next one. NULL: no need.
	 */
	void (*rx_done)(struct port *p, unsigned int queue);
	/*
	 * Has rx taken something of this queue that it hasn't returned yet, and
	 * that no other process would find? rx takes nothing more until it has,
	 * and a worker that ends calls it until then. NULL: it never has.
	 */
	bool (*rx_waits)(struct port *p, unsigned int queue);
	/*
	 * Have queue_fd become readable with the next frame. Returns false
	 * where there are some already: the queue is still awake, and the next
	 * rx gets on. One from which nothing can be received is asleep, and
	 * queue_fd becomes readable when that is over. Called also when it
	 * is asleep already. NULL: queue_fd always does.
	 */
	bool (*rx_sleep)(struct port *p, unsigned int queue);
	/*
	 * Send the first frames of f[0..n). Returns how many went; where that
	 * is less than n, *why says why f[returned] didn't, and the caller
	 * counts that frame and calls again with the rest. Data may be changed
	 * in front of f[i]->data (headroom) but not behind it.
	 */
	unsigned int (*tx)(struct port *p, struct frame *const *f,
			   unsigned int n, enum drop_reason *why);
};

/* How the run half reaches an acquire half that is in another process. */
struct port_keeper {
	/*
	 * Have ops->renew() called over there, on the keeper's own copy of
	 * request and grant, which it finds by grant->handle. *newfd is the
	 * new grant->fd[0], the caller's to close. May take a while. Returns 0
	 * or -errno. Any thread but the workers; several at once.
	 */
	int (*renew)(void *ctx, const struct port_request *rq,
		     const struct port_grant *grant, int *newfd);
	/*
	 * The same without doing anything: grant->fd[0] as the keeper has it
	 * now. For a resumed grant, whose earlier process may have gone on
	 * renewing after our descriptors were sent. NULL: they are up to date.
	 */
	int (*current)(void *ctx, const struct port_request *rq,
		       const struct port_grant *grant, int *newfd);
	/*
	 * Keep a copy of `fd` for the process after this one, under a number
	 * below PORT_HELD_MAX of this grant's; -1: drop what is there. It is
	 * dropped with the grant. Returns 0 or -errno.
	 */
	int (*hold)(void *ctx, const struct port_grant *grant,
		    unsigned int slot, int fd);
	/* What is held there: a descriptor, the caller's; -ENOENT: nothing; or
	 * -errno. */
	int (*held)(void *ctx, const struct port_grant *grant,
		    unsigned int slot);
	void *ctx;
};

/*
 * There is a keeper (*k is copied), or none (NULL), which is how a process
 * begins: both halves live in it. Main thread, while no port is open.
 */
void port_keeper_set(const struct port_keeper *k);

/* The keeper, or NULL. Any thread. */
const struct port_keeper *port_keeper(void);

/* The type of that name, or NULL. */
const struct port_ops *port_ops_find(const char *type);

extern const struct port_ops port_ops_tap, port_ops_netdev, port_ops_pcap,
	port_ops_vhost_user, port_ops_udp, port_ops_dgram, port_ops_stream,
	port_ops_seqpacket, port_ops_vde, port_ops_uml, port_ops_slirp,
	port_ops_dummy;

/* Fill the common fields of a port that a type's open() has allocated. */
void port_init(struct port *p, const struct port_ops *ops,
	       const struct port_request *rq, const struct port_grant *grant);

/* May a device be called so? Printable ASCII: names get into listings and logs,
 * and the kernel takes any byte but a few. "" is fine. */
bool port_ifname_fit(const char *ifname);

/* The device that a request names, "" where it names none. */
const char *port_request_ifname(const struct port_request *rq);

/* The path or address that a request binds or connects a socket to, where that
 * can be only one port's; "" where there is none. And the parameter's name. */
const char *port_request_socket(const struct port_request *rq);
const char *port_request_socket_param(const struct port_request *rq);

/* What the request says of MTU and carrier, where there is no device that has
 * them; for the types' acquire() and adjust(). */
void port_grant_as_asked(const struct port_request *rq,
			 struct port_grant *grant);

/* Close all descriptors of a grant; for the types' release(). */
void port_grant_close(struct port_grant *grant);

/* Which PORT_TX_ bits must a port have to take this frame as it is? */
static inline uint32_t frame_offloads(const struct frame *f)
{
	uint32_t need = 0;

	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= PORT_TX_CSUM;
	switch (f->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return need;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need |= PORT_TX_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need |= PORT_TX_TSO6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP:
		need |= PORT_TX_UFO;
		break;
	default:
		need |= PORT_TX_USO;
		break;
	}
	if (f->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= PORT_TX_ECN;
	return need;
}

#endif
