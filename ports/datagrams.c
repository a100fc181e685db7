#include "ports/datagrams.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* With its headroom a head of an ordinary MTU takes 2 KiB of the arena. */
#define HEAD_MIN (2048 - FRAME_HEADROOM)
/* Behind the MTU: Ethernet header and two tags. */
#define HEAD_SLACK (ETHER_HEADER_LEN + 2 * ETHER_TAG_LEN)

#define LANES_SIZE ((size_t)FRAME_BATCH_MAX * FRAME_LEN_MAX)

/* Elements for the parts of frames that are sent in one go. */
#define PARTS_MAX (2 * FRAME_BATCH_MAX)

/* What goes as one with UDP GSO: segments, and bytes of IPv6's payload. */
#define GSO_SEGS_MAX  64
#define GSO_BYTES_MAX (65535 - 8 - 40)

static struct datagrams *to_datagrams(struct port *p)
{
	return (struct datagrams *)p; /* port is its first member */
}

/*
 * Not glibc's, which are cancellation points: see tap.c.
 */
static int receive_many(int fd, struct mmsghdr *msg, unsigned int n)
{
	return (int)syscall(SYS_recvmmsg, fd, msg, n,
			    MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC, NULL);
}

static int send_many(int fd, struct mmsghdr *msg, unsigned int n)
{
	return (int)syscall(SYS_sendmmsg, fd, msg, n,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP);
}

/* ---- Receive ---- */

static uint32_t spill_len(const struct datagrams *d)
{
	return FRAME_LEN_MAX - d->head_max;
}

/* A lane's first head_max bytes are unused while the head is in the arena. */
static uint8_t *lane(const struct datagrams *d, unsigned int i)
{
	return d->in.lanes + (size_t)i * FRAME_LEN_MAX;
}

static uint32_t stride(const struct datagrams *d)
{
	return (FRAME_HEADROOM + d->head_max + 63u) & ~63u;
}

/* Where n datagrams shall lie; a vnet header is in the frame's headroom. */
static void place(struct datagrams *d, uint8_t *data, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		d->in.iov[i][0].iov_base = data + FRAME_HEADROOM - d->vnet_len +
					   (size_t)i * stride(d);
}

/* Can nobody ever receive by this socket again? Everything else is about a
 * datagram, and said once. */
static bool is_fatal(const struct datagrams *d, int error)
{
	if (error == EAGAIN || error == EINTR || error == ENOMEM ||
	    error == ENOBUFS)
		return false;
	return d->records || error == EBADF || error == ENOTSOCK ||
	       error == EINVAL || error == EOPNOTSUPP;
}

/* Descriptors beside frames: the kernel doesn't refuse them. */
static void give_room(struct datagrams *d, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rights_give_room(&d->in.msg[i].msg_hdr, &d->in.room[i]);
}

static void discard_rights(struct datagrams *d, unsigned int n)
{
	if (rights_discard(d->in.msg, n) < 0)
		atomic_store(d->failed, EBUSY);
}

/* A port that may get descriptors has no other messages than in.msg. */
static unsigned int receive(struct datagrams *d, struct mmsghdr *msg,
			    unsigned int n)
{
	int got;

	if (__builtin_expect(d->in.room != NULL, 0))
		give_room(d, n);
	got = receive_many(d->fd, msg, n);
	/* Perhaps that was about a datagram that we have sent. */
	if (got < 0 && errno != EAGAIN && !is_fatal(d, errno))
		got = receive_many(d->fd, msg, n);
	if (got > 0 && d->in.room)
		discard_rights(d, (unsigned int)got);
	if (got >= 0)
		return (unsigned int)got;
	if (is_fatal(d, errno))
		atomic_store(d->failed, errno);
	return 0;
}

static void take(struct datagrams *d, unsigned int i, struct frame *f)
{
	uint8_t *start = d->in.iov[i][0].iov_base;
	uint32_t len = d->in.msg[i].msg_len, vnet_len = d->vnet_len;

	/* One that ends within its vnet header has no frame. */
	len = len > vnet_len ? len - vnet_len : 0;
	frame_init(f, start + vnet_len, len);
	if (vnet_len && len)
		memcpy(&f->vnet, start, sizeof(f->vnet));
	if (__builtin_expect(len <= d->head_max, 1))
		return;
	f->head_len = d->head_max;
	if (len > FRAME_LEN_MAX) /* it is cut, and won't get far */
		return;
	d->in.spilled = true;
	d->in.rest[i] = (struct iovec){
		.iov_base = d->in.iov[i][1].iov_base,
		.iov_len = len - d->head_max,
	};
	f->segs = &d->in.rest[i];
	f->nsegs = 1;
}

static void note_lost(struct datagrams *d)
{
	atomic_store_explicit(&d->port.tx_lost, backlog_lost(d->backlog),
			      memory_order_relaxed);
}

static void flush_kept(struct datagrams *d, bool idle)
{
	if (!d->backlog)
		return;
	backlog_flush(d->backlog, idle);
	note_lost(d);
}

static void drop_kept(struct datagrams *d)
{
	if (!d->backlog)
		return;
	backlog_drop(d->backlog);
	note_lost(d);
}

/* Of n messages those from the first on wait, each whole in its lane. */
static void set_aside(struct datagrams *d, unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < n; i++) {
		struct mmsghdr *m = &d->in.msg[i];
		uint32_t len = m->msg_len;

		memcpy(lane(d, i), d->in.iov[i][0].iov_base,
		       len < d->head_max ? len : d->head_max);
		udp_gro_add(d->gro, lane(d, i), len,
			    udp_gro_segment(&m->msg_hdr));
		udp_gro_prepare(d->gro, i, &m->msg_hdr);
	}
	d->in.spilled = true;
	d->gro->joined = true;
	d->gro->alone = 0;
}

/* Is this one, of a port with UDP_GRO, several? */
static bool is_joined(struct datagrams *d, unsigned int i)
{
	struct msghdr *m = &d->in.msg[i].msg_hdr;

	if (__builtin_expect(m->msg_controllen != 0, 0))
		return true;
	udp_gro_prepare(d->gro, i, m);
	return false;
}

/* Up to n, each to where its frame lies. */
static unsigned int rx_apart(struct datagrams *d, struct frame *f,
			     unsigned int n, struct frame_arena *arena)
{
	place(d, arena->base + arena->used, n);
	n = receive(d, d->in.msg, n);
	for (unsigned int i = 0; i < n; i++) {
		/* Of a connection that is over there are no end of those. */
		if (d->records && !d->in.msg[i].msg_len && hung_up(d->fd)) {
			atomic_store(d->failed, ECONNRESET);
			n = i;
			break;
		}
		if (d->gro && is_joined(d, i)) {
			set_aside(d, i, n);
			n = i;
			break;
		}
		take(d, i, &f[i]);
	}
	arena->used += n * stride(d);
	return n;
}

/* With UDP_GRO: what waits, or what there is to read. */
static unsigned int rx_gro(struct datagrams *d, struct frame *f,
			   unsigned int max, unsigned int apart,
			   struct frame_arena *arena)
{
	struct udp_gro *g = d->gro;
	unsigned int n = 0;

	if (!udp_gro_waits(g) && !g->joined) {
		n = rx_apart(d, f, apart, arena);
	} else if (!udp_gro_waits(g)) {
		udp_gro_received(g, receive(d, g->msg, UDP_GRO_LANES));
		d->in.spilled |= !g->joined;
	}
	n += udp_gro_take(g, f + n, max - n, arena);
	udp_gro_wake(g);
	return n;
}

unsigned int datagrams_rx(struct port *p, unsigned int queue, struct frame *f,
			  unsigned int max, struct frame_arena *arena)
{
	struct datagrams *d = to_datagrams(p);
	uint32_t room = (arena->size - arena->used) / stride(d);
	unsigned int n = max < room ? max : room;

	(void)queue;
	if (atomic_load_explicit(&d->over, memory_order_relaxed)) {
		atomic_store(d->failed, ECONNRESET);
		drop_kept(d);
		return 0;
	}
	if (!n)
		return 0;
	if (d->gro)
		return rx_gro(d, f, max, n, arena);
	n = rx_apart(d, f, n, arena);
	flush_kept(d, !n);
	return n;
}

/* Frames that are as long as that are rare, or the MTU would say so: nobody has
 * to keep memory for them. Super-frames, by a vnet header, are the rule. */
void datagrams_rx_done(struct port *p, unsigned int queue)
{
	struct datagrams *d = to_datagrams(p);
	size_t keep = 0;

	(void)queue;
	if (__builtin_expect(!d->in.spilled, 1) || d->vnet_len)
		return;
	if (d->gro && udp_gro_waits(d->gro))
		return;
	if (d->gro && d->gro->joined)
		keep = (size_t)UDP_GRO_LANES * FRAME_LEN_MAX;
	d->in.spilled = false;
	(void)madvise(d->in.lanes + keep, LANES_SIZE - keep, MADV_DONTNEED);
}

bool datagrams_rx_waits(struct port *p, unsigned int queue)
{
	const struct datagrams *d = to_datagrams(p);

	(void)queue;
	return d->gro && udp_gro_waits(d->gro);
}

/* ---- Send ---- */

/* Some frames on their way; those of one message are of one length. */
struct out {
	struct mmsghdr msg[FRAME_BATCH_MAX];
	struct iovec iov[PARTS_MAX];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(uint16_t))];
	} control[FRAME_BATCH_MAX];
	uint8_t frames[FRAME_BATCH_MAX]; /* by message */
	unsigned int n;
};

static enum drop_reason drop_reason(int error)
{
	switch (error) {
	case EAGAIN:
	case ENOBUFS:
		return DROP_QUEUE_FULL;
	case ENOMEM:
		return DROP_NO_MEMORY;
	case EMSGSIZE:
		return DROP_MTU;
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOENT:
	case ENOTCONN:
	case EPIPE:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENETDOWN:
	case ENETUNREACH:
		return DROP_LINK_DOWN;
	default:
		return DROP_IO_ERROR;
	}
}

/* May an error have been about an earlier datagram? */
static bool is_late(int error)
{
	return error != EAGAIN && error != ENOBUFS && error != ENOMEM &&
	       error != EMSGSIZE;
}

/* How many of f[0..n) go as one: all but the last are of the same length. */
static unsigned int run_length(struct frame *const *f, unsigned int n,
			       uint32_t gso_max)
{
	uint32_t len = f[0]->len, bytes = len;
	unsigned int i = 1;

	if (len > gso_max || !len || f[0]->nsegs)
		return 1;
	while (i < n && i < GSO_SEGS_MAX && !f[i]->nsegs && f[i]->len <= len &&
	       f[i]->len && bytes + f[i]->len <= GSO_BYTES_MAX) {
		bytes += f[i]->len;
		if (f[i++]->len < len)
			break;
	}
	return i;
}

static void say_segment(struct out *o, unsigned int i, uint32_t len)
{
	struct cmsghdr *c = &o->control[i].align;
	uint16_t size = (uint16_t)len;

	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	o->msg[i].msg_hdr.msg_control = c;
	o->msg[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof(size));
}

/* The vnet header goes before the frame, in whose headroom it lies. */
static void put_vnet(const struct frame *f, struct iovec *head)
{
	uint8_t *start = f->data - ETHER_VNET_LEN;

	memcpy(start, &f->vnet, ETHER_VNET_LEN);
	head->iov_base = start;
	head->iov_len += ETHER_VNET_LEN;
}

/* As many of f[0..n) as there is room for. Returns how many. */
static unsigned int collect(const struct datagrams *d, struct out *o,
			    struct frame *const *f, unsigned int n)
{
	uint32_t gso_max =
		atomic_load_explicit(&d->gso_max, memory_order_relaxed);
	unsigned int parts = 0, done = 0;

	o->n = 0;
	while (done < n && parts + 1 + FRAME_SEGS_MAX <= PARTS_MAX) {
		struct msghdr *m = &o->msg[o->n].msg_hdr;
		unsigned int run, room = PARTS_MAX - parts;

		run = run_length(f + done, n - done < room ? n - done : room,
				 gso_max);
		*m = (struct msghdr){ .msg_iov = &o->iov[parts] };
		for (unsigned int i = 0; i < run; i++)
			parts += frame_iov(f[done + i], &o->iov[parts]);
		if (d->vnet_len)
			put_vnet(f[done], m->msg_iov);
		m->msg_iovlen = (size_t)(&o->iov[parts] - m->msg_iov);
		if (run > 1)
			say_segment(o, o->n, f[done]->len);
		o->frames[o->n++] = (uint8_t)run;
		done += run;
	}
	return done;
}

/*
 * Several frames as one didn't go: the device's MTU may be less, or it may want
 * them without. The sender tries again, one by one.
 */
static bool stop_gso(struct datagrams *d, const struct out *o, unsigned int i,
		     int error)
{
	if (o->frames[i] < 2 || (error != EINVAL && error != EMSGSIZE &&
				 error != EIO && error != EOPNOTSUPP))
		return false;
	atomic_store_explicit(&d->gso_max,
			      (uint32_t)o->msg[i].msg_hdr.msg_iov->iov_len - 1,
			      memory_order_relaxed);
	return true;
}

/* Returns how many frames went; where that isn't all, *error is why the next
 * one didn't: 0 where it's to be tried again. */
static unsigned int send_out(struct datagrams *d, struct out *o, int *error)
{
	unsigned int i = 0, frames = 0;
	bool again = false;

	while (i < o->n) {
		int sent = send_many(d->fd, o->msg + i, o->n - i);

		if (sent > 0) {
			for (; sent; sent--)
				frames += o->frames[i++];
			again = false;
			continue;
		}
		*error = errno;
		if (again || !is_late(*error)) {
			if (stop_gso(d, o, i, *error))
				*error = 0;
			return frames;
		}
		again = true;
	}
	return frames;
}

static unsigned int send_all(struct datagrams *d, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	unsigned int done = 0;
	struct out o;

	while (done < n) {
		unsigned int k = collect(d, &o, f + done, n - done);
		int error = 0;
		unsigned int sent = send_out(d, &o, &error);

		done += sent;
		if (sent < k && error) {
			*why = drop_reason(error);
			break;
		}
	}
	return done;
}

/* Behind what is kept, if there still is something. */
static unsigned int send_or_keep(struct datagrams *d, struct frame *const *f,
				 unsigned int n, enum drop_reason *why)
{
	unsigned int done = 0;

	if (backlog_holds(d->backlog))
		backlog_flush(d->backlog, false);
	*why = DROP_QUEUE_FULL;
	if (!backlog_holds(d->backlog))
		done = send_all(d, f, n, why);
	if (done < n && *why == DROP_QUEUE_FULL)
		done += backlog_add(d->backlog, f + done, n - done);
	return done;
}

unsigned int datagrams_tx(struct port *p, struct frame *const *f,
			  unsigned int n, enum drop_reason *why)
{
	struct datagrams *d = to_datagrams(p);

	return d->backlog ? send_or_keep(d, f, n, why) : send_all(d, f, n, why);
}

/* ---- Open, close and the end ---- */

static int no_socket(const struct port_request *rq, struct error *err)
{
	return error_set(err, EINVAL, "bad-grant", NULL,
			 "port %s has no socket", rq->name);
}

static int no_memory(const struct port_request *rq, struct error *err)
{
	return error_set(err, ENOMEM, "no-memory", NULL,
			 "no memory for port %s", rq->name);
}

/* Virtual memory; there is none behind it before a long frame comes. */
static int open_lanes(struct datagrams *d, const struct port_request *rq,
		      struct error *err)
{
	void *lanes = mmap(NULL, LANES_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (lanes == MAP_FAILED)
		return no_memory(rq, err);
	d->in.lanes = lanes;
	return 0;
}

/* A lane a datagram, and room for descriptors where they may come. */
static int open_memory(struct datagrams *d, const struct port_request *rq,
		       struct error *err)
{
	int r = open_lanes(d, rq, err);

	if (r < 0 || !rights_may_come(d->fd))
		return r;
	d->in.room = calloc(FRAME_BATCH_MAX, sizeof(*d->in.room));
	if (d->in.room)
		return 0;
	munmap(d->in.lanes, LANES_SIZE);
	return no_memory(rq, err);
}

int datagrams_init(struct datagrams *d, const struct port_ops *ops,
		   const struct port_request *rq,
		   const struct port_grant *grant, struct error *err)
{
	int type = 0, r;
	socklen_t len = sizeof(type);
	uint32_t head = grant->mtu + HEAD_SLACK;

	if (grant->nfds < 1 ||
	    getsockopt(grant->fd[0], SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return no_socket(rq, err);
	port_init(&d->port, ops, rq, grant);
	d->vnet_len = grant->vnet_len ? ETHER_VNET_LEN : 0;
	if (!d->vnet_len)
		atomic_store(&d->port.tx_offloads, 0);
	d->fd = grant->fd[0];
	d->records = type == SOCK_SEQPACKET;
	d->watched = -1;
	d->failed = &d->port.failed;
	d->head_max = head < HEAD_MIN	     ? HEAD_MIN
		      : head > FRAME_LEN_MAX ? FRAME_LEN_MAX
					     : head;
	r = open_memory(d, rq, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++) {
		struct iovec *iov = d->in.iov[i];

		iov[0].iov_len = d->vnet_len + d->head_max;
		iov[1].iov_base = lane(d, i) + d->head_max;
		iov[1].iov_len = spill_len(d);
		d->in.msg[i].msg_hdr = (struct msghdr){
			.msg_iov = iov,
			.msg_iovlen = spill_len(d) ? 2 : 1,
		};
	}
	return 0;
}

void datagrams_fini(struct datagrams *d)
{
	if (d->in.lanes)
		munmap(d->in.lanes, LANES_SIZE);
	if (d->port.control_fd >= 0)
		close(d->port.control_fd);
	backlog_free(d->backlog);
	udp_gro_free(d->gro);
	d->backlog = NULL;
	d->gro = NULL;
	free(d->in.room);
	d->in.room = NULL;
	d->in.lanes = NULL;
	d->port.control_fd = -1;
}

struct port *datagrams_open(const struct port_ops *ops,
			    const struct port_request *rq,
			    const struct port_grant *grant, struct error *err)
{
	struct datagrams *d = calloc(1, sizeof(*d));

	if (!d) {
		(void)no_memory(rq, err);
		return NULL;
	}
	if (datagrams_init(d, ops, rq, grant, err) < 0) {
		free(d);
		return NULL;
	}
	return &d->port;
}

void datagrams_close(struct port *p)
{
	datagrams_fini(to_datagrams(p));
	free(p);
}

int datagrams_watch(struct datagrams *d, int fd)
{
	struct epoll_event e = { .events = EPOLLRDHUP };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0) {
		int r = -errno;

		if (set >= 0)
			close(set);
		return r;
	}
	d->port.control_fd = set;
	d->watched = fd;
	return 0;
}

int datagrams_keep(struct datagrams *d)
{
	d->backlog = backlog_new(d->fd);
	if (!d->backlog)
		return -errno;
	d->port.queue_fd[0] = d->backlog->epoll;
	return 0;
}

void datagrams_join(struct port *p)
{
	atomic_store(&to_datagrams(p)->gso_max, FRAME_LEN_MAX);
}

int datagrams_split(struct port *p)
{
	struct datagrams *d = to_datagrams(p);

	d->gro = udp_gro_new(d->fd, d->in.lanes);
	if (!d->gro)
		return -errno;
	for (unsigned int i = 0; i < FRAME_BATCH_MAX; i++)
		udp_gro_prepare(d->gro, i, &d->in.msg[i].msg_hdr);
	p->queue_fd[0] = d->gro->epoll;
	return 0;
}

/* The worker finds the socket readable from now on, and the end of the port. */
bool datagrams_control(struct port *p)
{
	struct datagrams *d = to_datagrams(p);

	if (d->watched < 0 || !hung_up(d->watched))
		return false;
	(void)epoll_ctl(p->control_fd, EPOLL_CTL_DEL, d->watched, NULL);
	d->watched = -1;
	atomic_store(&d->over, true);
	(void)shutdown(d->fd, SHUT_RDWR);
	return true;
}
