/* The run half of `netdev` ports: bursts by recvmmsg and sendmmsg. */
#include "ports/netdev.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <sys/socket.h>

/*
 * Frames a recvmmsg asks for. Each needs room for a super-frame in the arena;
 * afterwards the small ones are moved together, so more would take more room
 * for no gain.
 */
#define RX_BURST 8
/* Up to this length a frame is moved: a copy that costs less than the room. */
#define RX_MOVE_MAX 2048
/* While the queue never runs empty, ask for its losses once in so many. */
#define RX_STATS_BURSTS 256

struct netdev_port {
	struct port port;
	int tx, tx_gso;
	/* Sends to the queueing discipline, and how many of them have left it.
	 * Any worker's. */
	_Atomic uint32_t queued, left;
	/* The rest is the receiving worker's. */
	unsigned int pressed; /* bursts since the queue was last empty */
	struct mmsghdr msgs[RX_BURST];
	struct iovec iov[RX_BURST];
	struct {
		_Alignas(struct cmsghdr) char buf[CMSG_SPACE(
			sizeof(struct tpacket_auxdata))];
	} control[RX_BURST];
};

static struct netdev_port *netdev_port(struct port *p)
{
	return (struct netdev_port *)p;
}

/* ---- receive ------------------------------------------------------------ */

/* The kernel counts what it had to drop, and starts anew with each answer. */
static void rx_missed_update(struct port *p)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (getsockopt(p->queue_fd[0], SOL_PACKET, PACKET_STATISTICS, &stats,
		       &len))
		return;
	atomic_store_explicit(
		&p->rx_missed,
		atomic_load_explicit(&p->rx_missed, memory_order_relaxed) +
			stats.tp_drops,
		memory_order_relaxed);
}

static void rx_missed_one(struct port *p)
{
	atomic_store_explicit(
		&p->rx_missed,
		atomic_load_explicit(&p->rx_missed, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

/* Put back the tag that the kernel has taken out of the bytes. */
static void rx_tag(struct frame *f, struct msghdr *msg)
{
	const struct tpacket_auxdata *aux;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	uint16_t tpid = ETH_P_8021Q;

	if (!cmsg || cmsg->cmsg_level != SOL_PACKET ||
	    cmsg->cmsg_type != PACKET_AUXDATA)
		return;
	aux = (const void *)CMSG_DATA(cmsg);
	if (!(aux->tp_status & TP_STATUS_VLAN_VALID))
		return;
	if (aux->tp_status & TP_STATUS_VLAN_TPID_VALID)
		tpid = aux->tp_vlan_tpid;
	frame_vlan_push(f, tpid, aux->tp_vlan_tci);
	/* The pipeline reads tags from the bytes, of all ports alike. */
	f->tagged = false;
}

static uint8_t *slot_data(const struct frame_arena *a, uint32_t first,
			  unsigned int i)
{
	return a->base + first + i * FRAME_SLOT + FRAME_HEADROOM;
}

/*
 * Make frames of what lies in slots from `first` on. A small frame is moved
 * down to the arena's end, a large one stays where it is, and the arena ends
 * behind it.
 */
static unsigned int rx_collect(struct netdev_port *np, unsigned int got,
			       struct frame *f, struct frame_arena *arena)
{
	uint32_t first = arena->used;
	unsigned int n = 0;

	for (unsigned int i = 0; i < got; i++) {
		uint8_t *data = slot_data(arena, first, i), *to = data;
		struct msghdr *msg = &np->msgs[i].msg_hdr;
		uint32_t len = np->msgs[i].msg_len - NETDEV_VNET_LEN;

		if (msg->msg_flags & MSG_TRUNC ||
		    np->msgs[i].msg_len < NETDEV_VNET_LEN + ETHER_HEADER_LEN) {
			rx_missed_one(&np->port);
			continue;
		}
		if (len <= RX_MOVE_MAX)
			to = arena->base + arena->used + FRAME_HEADROOM;
		else
			arena->used = first + i * FRAME_SLOT;
		frame_init(&f[n], to, len);
		memcpy(&f[n].vnet, data - NETDEV_VNET_LEN, NETDEV_VNET_LEN);
		if (to != data)
			memmove(to, data, len);
		rx_tag(&f[n], msg);
		frame_arena_take(arena, len);
		n++;
	}
	return n;
}

/*
 * Returns true where there may be more to read. EINVAL is one frame that
 * can't be told in a vnet header (SCTP segmentation, say), lost by now.
 * ENETDOWN comes once when the device goes down and once when it goes away;
 * gone, the socket is bound to no index any more.
 */
static bool rx_go_on(struct port *p, int error)
{
	struct sockaddr_ll sll = { .sll_ifindex = -1 };
	socklen_t len = sizeof(sll);

	switch (error) {
	case EINVAL:
		rx_missed_one(p);
		return true;
	case EAGAIN:
	case EINTR:
		return false;
	case ENETDOWN:
		if (!getsockname(p->queue_fd[0], (struct sockaddr *)&sll,
				 &len) &&
		    sll.sll_ifindex != -1)
			return true;
		/* fall through */
	default:
		atomic_store(&p->failed, error);
		return false;
	}
}

static unsigned int rx_want(const struct frame_arena *arena, unsigned int room)
{
	uint32_t slots = (arena->size - arena->used) / FRAME_SLOT;

	if (room > RX_BURST)
		room = RX_BURST;
	return room < slots ? room : slots;
}

static unsigned int netdev_rx(struct port *p, unsigned int queue,
			      struct frame *f, unsigned int max,
			      struct frame_arena *arena)
{
	struct netdev_port *np = netdev_port(p);
	unsigned int n = 0, tries = 0, want;
	bool empty = false;

	(void)queue;
	/* Frames that are lost count, too: or a guest that sends nothing else
	 * would keep the worker here, away from all other ports. */
	while (!empty && (want = rx_want(arena, max - tries)) > 0) {
		int got;

		for (unsigned int i = 0; i < want; i++) {
			np->iov[i].iov_base = slot_data(arena, arena->used, i) -
					      NETDEV_VNET_LEN;
			np->msgs[i].msg_hdr.msg_controllen =
				sizeof(np->control[i].buf);
		}
		got = recvmmsg(p->queue_fd[0], np->msgs, want, MSG_DONTWAIT,
			       NULL);
		if (got < 0) {
			empty = !rx_go_on(p, errno);
			tries++;
			continue;
		}
		tries += (unsigned int)got;
		n += rx_collect(np, (unsigned int)got, f + n, arena);
		empty = (unsigned int)got < want;
	}
	/* Losses happen while the queue is long: look when it's empty again,
	 * and now and then before. */
	if (!empty) {
		if (++np->pressed % RX_STATS_BURSTS == 0)
			rx_missed_update(p);
	} else if (np->pressed) {
		np->pressed = 0;
		rx_missed_update(p);
	}
	return n;
}

/* ---- transmit ----------------------------------------------------------- */

static enum drop_reason tx_drop_reason(int error)
{
	switch (error) {
	case ENOBUFS: /* the device's queue is full */
	case EAGAIN:  /* the socket's send buffer is */
		return DROP_QUEUE_FULL;
	case EMSGSIZE:
		return DROP_MTU;
	case ENETDOWN:
	case ENXIO:
	case ENODEV:
		return DROP_LINK_DOWN;
	case ENOMEM:
		return DROP_NO_MEMORY;
	default:
		return DROP_IO_ERROR;
	}
}

static bool is_gso(const struct frame *f)
{
	return f->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/*
 * Send frames of one kind, from the first on. Returns how many went, 0 with
 * errno where the first didn't.
 */
static unsigned int tx_run(int fd, struct frame *const *f, unsigned int n)
{
	struct iovec iov[FRAME_BATCH_MAX + FRAME_SEGS_MAX];
	struct mmsghdr msgs[FRAME_BATCH_MAX];
	bool gso = is_gso(f[0]);
	unsigned int count = 0, parts = 0;
	int sent;

	if (n > FRAME_BATCH_MAX)
		n = FRAME_BATCH_MAX;
	while (count < n && is_gso(f[count]) == gso &&
	       parts + 1 + f[count]->nsegs <= sizeof(iov) / sizeof(iov[0])) {
		const struct frame *frame = f[count];
		uint8_t *start = frame->data - NETDEV_VNET_LEN;

		memcpy(start, &frame->vnet, NETDEV_VNET_LEN);
		msgs[count].msg_hdr = (struct msghdr){
			.msg_iov = &iov[parts],
			.msg_iovlen = frame_iov(frame, &iov[parts]),
		};
		iov[parts].iov_base = start;
		iov[parts].iov_len += NETDEV_VNET_LEN;
		parts += 1u + frame->nsegs;
		count++;
	}
	sent = sendmmsg(fd, msgs, count, MSG_DONTWAIT);
	return sent < 0 ? 0 : (unsigned int)sent;
}

/*
 * Are frames of ours still in the queueing discipline? They leave it while the
 * system call lasts, but where another CPU is just working there they are left
 * to that one: a plain frame that goes past it would overtake them. What the
 * socket has sent and the device not taken tells (a TAP disowns a frame when it
 * is in the guest's queue).
 */
static bool tx_waits(struct netdev_port *np)
{
	uint32_t queued = atomic_load(&np->queued), info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	if (queued == atomic_load(&np->left))
		return false;
	if (getsockopt(np->tx_gso, SOL_SOCKET, SO_MEMINFO, info, &len) ||
	    info[SK_MEMINFO_WMEM_ALLOC])
		return true;
	/* Of those that were sent since, `queued` will tell. */
	atomic_store(&np->left, queued);
	return false;
}

static unsigned int netdev_tx(struct port *p, struct frame *const *f,
			      unsigned int n, enum drop_reason *why)
{
	struct netdev_port *np = netdev_port(p);
	unsigned int done = 0;

	while (done < n) {
		bool queue = is_gso(f[done]) || tx_waits(np);
		unsigned int sent =
			tx_run(queue ? np->tx_gso : np->tx, f + done, n - done);

		/* Not before: somebody may just find the queue empty. */
		if (queue)
			atomic_fetch_add(&np->queued, 1);
		if (!sent) {
			*why = tx_drop_reason(errno);
			break;
		}
		done += sent;
	}
	return done;
}

/* ---- open and close ----------------------------------------------------- */

static struct port *netdev_open(const struct port_request *rq,
				const struct port_grant *grant,
				struct error *err)
{
	struct netdev_port *np = calloc(1, sizeof(*np));

	if (!np) {
		error_set(err, ENOMEM, "no-memory", NULL, "out of memory");
		return NULL;
	}
	port_init(&np->port, &port_ops_netdev, rq, grant);
	if (grant->fast)
		np->port.queue_fd[0] =
			-1; /* what comes, comes up the CPU port */
	np->tx = grant->fd[NETDEV_TX];
	np->tx_gso = grant->fd[NETDEV_TX_GSO];
	for (unsigned int i = 0; i < RX_BURST; i++) {
		np->iov[i].iov_len = NETDEV_VNET_LEN + FRAME_LEN_MAX;
		np->msgs[i].msg_hdr.msg_iov = &np->iov[i];
		np->msgs[i].msg_hdr.msg_iovlen = 1;
		np->msgs[i].msg_hdr.msg_control = np->control[i].buf;
	}
	return &np->port;
}

static void netdev_close(struct port *p)
{
	free(netdev_port(p));
}

const struct port_ops port_ops_netdev = {
	.type = "netdev",
	.acquire = netdev_acquire,
	.adjust = netdev_adjust,
	.release = netdev_release,
	.open = netdev_open,
	.close = netdev_close,
	.rx = netdev_rx,
	.tx = netdev_tx,
};
