#include "ports/vhost_user.h"

#include "ports/headers.h"
#include "ports/vhost_user_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A sender that finds the main thread waiting lets it go first, so often. */
#define YIELDS_MAX 8

/* A RARP request as QEMU sends it for a guest that has moved (RFC 903). */
#define RARP_LEN 60 /* the shortest Ethernet frame, without its checksum */
#define MAC_LEN	 6

/* ---- Frames: workers ---- */

/* A ring is broken: the main thread has to know, once. Its lock is held. */
static void check_line(struct vhost_user *v, struct vhost_line *l)
{
	if (__builtin_expect(!l->ring.broken || l->told, 1))
		return;
	l->told = true;
	(void)eventfd_write(v->events, 1);
}

static void take_nudge(struct vhost_queue *q)
{
	eventfd_t n;

	if (!atomic_load_explicit(&q->nudged, memory_order_relaxed))
		return;
	atomic_store(&q->nudged, false);
	(void)eventfd_read(q->nudge, &n);
}

/* What the guest would say had it known that it moved. */
static unsigned int receive_rarp(struct vhost_user *v, struct frame *f,
				 struct frame_arena *arena)
{
	static const uint8_t head[] = {
		0x80, 0x35, 0, 1, 8, 0, MAC_LEN, 4, 0, 3,
	};
	uint8_t *data = frame_arena_peek(arena), *p = data;
	uint64_t mac;

	if (!data)
		return 0;
	mac = atomic_exchange(&v->rarp, 0);
	if (!mac)
		return 0;
	memset(data, 0, RARP_LEN);
	memset(p, 0xff, MAC_LEN);
	p += MAC_LEN;
	memcpy(p, &mac, MAC_LEN);
	p += MAC_LEN;
	memcpy(p, head, sizeof(head));
	p += sizeof(head);
	memcpy(p, &mac, MAC_LEN); /* and its IP address: 0 */
	memcpy(p + MAC_LEN + 4, &mac, MAC_LEN);
	frame_init(f, data, RARP_LEN);
	frame_arena_take(arena, RARP_LEN);
	return 1;
}

static unsigned int vhost_user_rx(struct port *p, unsigned int queue,
				  struct frame *f, unsigned int max,
				  struct frame_arena *arena)
{
	struct vhost_user *v = vhost_user_of(p);
	struct vhost_line *l = &v->session.line[2 * queue + 1];
	unsigned int n = 0, got = 0;

	if (atomic_load_explicit(&l->wanted, memory_order_relaxed))
		return 0;
	take_nudge(&v->queue[queue]);
	if (!queue && atomic_load_explicit(&v->rarp, memory_order_relaxed) &&
	    max)
		n = receive_rarp(v, f, arena);
	(void)pthread_mutex_lock(&l->lock);
	if (l->ring.running && n < max)
		got = vhost_ring_receive(&l->ring, f + n, max - n, arena);
	check_line(v, l);
	l->took = got;
	/* Until they are given back nobody stops the ring. */
	if (!(n + got))
		(void)pthread_mutex_unlock(&l->lock);
	return n + got;
}

static void vhost_user_rx_done(struct port *p, unsigned int queue)
{
	struct vhost_user *v = vhost_user_of(p);
	struct vhost_line *l = &v->session.line[2 * queue + 1];

	if (l->took)
		vhost_ring_done(&l->ring);
	l->took = false;
	check_line(v, l);
	(void)pthread_mutex_unlock(&l->lock);
}

static bool vhost_user_rx_sleep(struct port *p, unsigned int queue)
{
	struct vhost_user *v = vhost_user_of(p);
	struct vhost_line *l = &v->session.line[2 * queue + 1];
	bool asleep = true;

	(void)pthread_mutex_lock(&l->lock);
	if (l->ring.running)
		asleep = vhost_ring_sleep(&l->ring);
	/* One without a kick has to be looked at for ever. */
	if (l->ring.running && !l->ring.broken && l->ring.kick < 0)
		asleep = false;
	check_line(v, l);
	(void)pthread_mutex_unlock(&l->lock);
	return asleep;
}

static uint32_t mix(uint32_t h, const uint8_t *p, uint32_t n)
{
	for (; n >= 4; n -= 4, p += 4)
		h = (h ^ load_be32(p)) * 0x9e3779b1u; /* 2^32 / golden ratio */
	return h ^ h >> 15;
}

/* The same for all frames of a flow; a fragment has no ports. */
static uint32_t flow_hash(const struct frame *f)
{
	struct headers h;
	uint32_t hash = 0;

	headers_parse(f->data, f->head_len, &h);
	if (!h.l4)
		return mix(0, f->data, f->head_len < 12 ? 0 : 12);
	if (h.ethertype == 0x0800)
		hash = mix(h.proto, f->data + h.l3 + 12, 8);
	else
		hash = mix(h.proto, f->data + h.l3 + 8, 32);
	return h.end ? mix(hash, f->data + h.l4, 4) : hash;
}

/* Which ring a frame goes to, of those of tx_rings. */
static unsigned int choose_ring(uint64_t rings, const struct frame *f)
{
	unsigned int n = rings & 15;
	unsigned int i = n == 1 ? 0 : (uint64_t)flow_hash(f) * n >> 32;

	return 2 * (unsigned int)(rings >> (4 + 4 * i) & 15);
}

static unsigned int send_burst(struct vhost_user *v, unsigned int ring,
			       struct frame *const *f, unsigned int n,
			       enum drop_reason *why)
{
	struct vhost_line *l = &v->session.line[ring];
	unsigned int sent = 0;

	for (unsigned int i = 0; i < YIELDS_MAX; i++) {
		if (!atomic_load_explicit(&l->wanted, memory_order_relaxed))
			break;
		(void)sched_yield();
	}
	(void)pthread_mutex_lock(&l->lock);
	if (l->ring.running)
		sent = vhost_ring_send(&l->ring, f, n, why);
	else
		*why = DROP_LINK_DOWN;
	check_line(v, l);
	(void)pthread_mutex_unlock(&l->lock);
	return sent;
}

static unsigned int vhost_user_tx(struct port *p, struct frame *const *f,
				  unsigned int n, enum drop_reason *why)
{
	struct vhost_user *v = vhost_user_of(p);
	uint64_t rings =
		atomic_load_explicit(&v->tx_rings, memory_order_relaxed);
	unsigned int done = 0;

	if (!(rings & 15)) {
		*why = DROP_LINK_DOWN;
		return 0;
	}
	if ((rings & 15) == 1)
		return send_burst(v, choose_ring(rings, f[0]), f, n, why);
	while (done < n) {
		unsigned int ring = choose_ring(rings, f[done]);
		unsigned int end = done + 1, sent;

		while (end < n && choose_ring(rings, f[end]) == ring)
			end++;
		sent = send_burst(v, ring, f + done, end - done, why);
		done += sent;
		if (done < end)
			break;
	}
	return done;
}

/* ---- State ---- */

static bool runs(const struct vhost_session *s, unsigned int first)
{
	for (unsigned int i = first; i < s->rings; i += 2)
		if (s->line[i].running)
			return true;
	return false;
}

void vhost_user_state(struct port *p, struct port_state *state)
{
	const struct vhost_user *v = vhost_user_of(p);
	const struct vhost_session *s = &v->session;

	state->carrier = s->conn >= 0 && runs(s, 0) && runs(s, 1);
	state->condition = s->conn < 0	    ? v->shut ? "shut" : "waiting"
			   : s->broken	    ? "broken"
			   : state->carrier ? "running"
					    : "connected";
	state->reason = vhost_session_problem(s);
}

void vhost_user_info(struct port *p, struct vhost_user_info *info)
{
	const struct vhost_session *s = &vhost_user_of(p)->session;
	const struct vhost_state *state = s->state;

	memset(info, 0, sizeof(*info));
	info->features = state->features;
	info->protocol_features = state->protocol_features;
	info->regions = s->mem.n;
	for (uint32_t i = 0; i < s->mem.n; i++)
		info->memory += s->mem.region[i].size;
	info->status = state->device_status;
	info->connections = s->connections;
	info->logging = s->log.bits &&
			state->features & VHOST_BIT(VHOST_FEATURE_LOG_ALL);
	info->rings = s->rings;
	for (unsigned int i = 0; i < s->rings; i++) {
		struct vhost_line *l = &s->line[i];

		info->ring[i] = (struct vhost_ring_info){
			.started = state->ring[i].started,
			.enabled = state->ring[i].enabled,
			.packed = state->features &
				  VHOST_BIT(VIRTIO_F_RING_PACKED),
			.size = state->ring[i].size,
			.frames = atomic_load(&l->ring.frames),
			.kicks = atomic_load(&l->ring.kicks),
			.calls = atomic_load(&l->ring.calls),
		};
	}
}

/* ---- Open and close ---- */

static int no_descriptor(struct vhost_user *v, struct error *err)
{
	return error_set(err, errno, "no-descriptor", NULL,
			 "no descriptors for port %s: %s", v->port.name,
			 strerror(errno));
}

static int open_queue(struct vhost_user *v, unsigned int i, struct error *err)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct vhost_queue *q = &v->queue[i];

	q->epoll = epoll_create1(EPOLL_CLOEXEC);
	q->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->epoll < 0 || q->nudge < 0 ||
	    epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->nudge, &e) < 0)
		return no_descriptor(v, err);
	v->port.queue_fd[i] = q->epoll;
	return 0;
}

static int open_descriptors(struct vhost_user *v, struct error *err)
{
	v->port.control_fd = epoll_create1(EPOLL_CLOEXEC);
	v->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	v->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (v->port.control_fd < 0 || v->events < 0 || v->timer < 0 ||
	    !vhost_user_watch(v, v->events) || !vhost_user_watch(v, v->timer))
		return no_descriptor(v, err);
	for (unsigned int i = 0; i < v->port.queues; i++) {
		int r = open_queue(v, i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int open_session(struct vhost_user *v, struct error *err)
{
	const struct vhost_session_hooks hooks = vhost_user_hooks(v);
	void *state = mmap(NULL, VHOST_STATE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED, v->grant.fd[VHOST_GRANT_STATE], 0);
	int r;

	if (state == MAP_FAILED)
		return error_set(err, errno, "bad-grant", NULL,
				 "the state of port %s can't be mapped: %s",
				 v->port.name, strerror(errno));
	v->state = state;
	r = vhost_session_init(&v->session, v->port.name, 2 * v->port.queues,
			       v->state, &v->grant, &hooks);
	return r < 0 ? error_set(err, -r, "no-memory", NULL,
				 "no memory for port %s", v->port.name)
		     : 0;
}

static void vhost_user_close(struct port *p)
{
	struct vhost_user *v = vhost_user_of(p);
	int fds[] = { p->control_fd, v->events, v->timer };

	if (v->session.line)
		vhost_session_fini(&v->session);
	if (v->state)
		munmap(v->state, VHOST_STATE_SIZE);
	for (unsigned int i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++) {
		if (v->queue[i].epoll >= 0)
			close(v->queue[i].epoll);
		if (v->queue[i].nudge >= 0)
			close(v->queue[i].nudge);
	}
	free(v);
}

static struct port *vhost_user_open(const struct port_request *rq,
				    const struct port_grant *grant,
				    struct error *err)
{
	struct vhost_user *v;
	int r;

	if (grant->nfds < VHOST_GRANT_RUN_FDS ||
	    rq->vhost_user.queues > VHOST_QUEUES_MAX) {
		error_set(err, EINVAL, "bad-grant", NULL,
			  "port %s has no socket and state", rq->name);
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	port_init(&v->port, &port_ops_vhost_user, rq, grant);
	v->rq = *rq;
	v->grant = *grant;
	v->redial_ms = VHOST_REDIAL_MIN_MS;
	v->shut_ms = VHOST_SHUT_MIN_MS;
	v->port.queues = rq->vhost_user.queues ? rq->vhost_user.queues : 1;
	v->events = v->timer = -1;
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
		v->queue[i].epoll = v->queue[i].nudge = v->queue[i].kick = -1;
	r = open_descriptors(v, err);
	if (r == 0)
		r = open_session(v, err);
	if (r < 0) {
		vhost_user_close(&v->port);
		return NULL;
	}
	if (!grant->resumed) {
		vhost_session_reset(&v->session);
		vhost_user_start(v);
	}
	return &v->port;
}

const struct port_ops port_ops_vhost_user = {
	.type = "vhost-user",
	.run_fds = VHOST_GRANT_RUN_FDS,
	.acquire = vhost_user_acquire,
	.adjust = vhost_user_adjust,
	.renew = vhost_user_renew,
	.release = vhost_user_release,
	.open = vhost_user_open,
	.take_over = vhost_user_take_over,
	.control = vhost_user_control,
	.state = vhost_user_state,
	.close = vhost_user_close,
	.rx = vhost_user_rx,
	.rx_done = vhost_user_rx_done,
	.rx_sleep = vhost_user_rx_sleep,
	.tx = vhost_user_tx,
};
