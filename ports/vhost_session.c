#include "ports/vhost_session.h"

#include "base/fds.h"
#include "base/log.h"
#include "ports/vhost_call.h"
#include "ports/vhost_session_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Messages that are dealt with before others' business comes up again. */
#define SERVE_MAX 16

/* VIRTIO 1.2 2.1 */
#define STATUS_FEATURES_OK 8u

/*
 * What a guest sees is this, cut to what its front end knows, and some of the
 * front end's own. A front end without any (UML) passes it on as it is, hence
 * nothing that wants a control queue, which vhost-user hasn't: GUEST_ANNOUNCE
 * (the front end asks for a RARP instead) or, for one pair of queues, MQ. Nor
 * what wants a configuration space: MAC, MTU, STATUS.
 */
#define FEATURES                                                               \
	(VHOST_BIT(VIRTIO_F_VERSION_1) | VHOST_BIT(VIRTIO_F_RING_PACKED) |     \
	 VHOST_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                              \
	 VHOST_BIT(VIRTIO_RING_F_EVENT_IDX) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_MRG_RXBUF) | VHOST_BIT(VIRTIO_NET_F_CSUM) |    \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_CSUM) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_TSO4) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_TSO6) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_ECN) |                                   \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_UFO) |                                   \
	 VHOST_BIT(VIRTIO_NET_F_HOST_TSO4) |                                   \
	 VHOST_BIT(VIRTIO_NET_F_HOST_TSO6) |                                   \
	 VHOST_BIT(VIRTIO_NET_F_HOST_ECN) | VHOST_BIT(VIRTIO_NET_F_HOST_UFO) | \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_USO4) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_GUEST_USO6) |                                  \
	 VHOST_BIT(VIRTIO_NET_F_HOST_USO) | VHOST_BIT(VHOST_FEATURE_LOG_ALL) | \
	 VHOST_BIT(VHOST_FEATURE_PROTOCOL))

#define PROTOCOL_FEATURES                                                     \
	(VHOST_BIT(VHOST_PROTOCOL_MQ) | VHOST_BIT(VHOST_PROTOCOL_LOG_SHMFD) | \
	 VHOST_BIT(VHOST_PROTOCOL_RARP) |                                     \
	 VHOST_BIT(VHOST_PROTOCOL_REPLY_ACK) |                                \
	 VHOST_BIT(VHOST_PROTOCOL_NET_MTU) |                                  \
	 VHOST_BIT(VHOST_PROTOCOL_BACKEND_REQ) |                              \
	 VHOST_BIT(VHOST_PROTOCOL_RESET_DEVICE) |                             \
	 VHOST_BIT(VHOST_PROTOCOL_MEM_SLOTS) |                                \
	 VHOST_BIT(VHOST_PROTOCOL_STATUS))

int vhost_session_init(struct vhost_session *s, const char *name,
		       unsigned int rings, struct vhost_state *state,
		       const struct port_grant *grant,
		       const struct vhost_session_hooks *hooks)
{
	pthread_mutexattr_t adaptive;
	int r = vhost_call_guard();

	memset(s, 0, sizeof(*s));
	s->conn = s->backend_req = -1;
	if (r < 0)
		return r;
	s->line = aligned_alloc(_Alignof(struct vhost_line),
				rings * sizeof(s->line[0]));
	if (!s->line)
		return -ENOMEM;
	memset(s->line, 0, rings * sizeof(s->line[0]));
	(void)pthread_mutexattr_init(&adaptive);
	/* A batch is short: who waits for it, waits by looking. */
	(void)pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
	for (unsigned int i = 0; i < rings; i++) {
		struct vhost_line *l = &s->line[i];

		(void)pthread_mutex_init(&l->lock, &adaptive);
		l->kick = l->call = l->err = -1;
		l->ring.kick = l->ring.call = -1;
	}
	(void)pthread_mutexattr_destroy(&adaptive);
	s->name = name;
	s->rings = rings;
	s->state = state;
	s->grant = grant;
	s->hooks = *hooks;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		fds_discard(fd, 1);
	*fd = -1;
}

void vhost_session_fini(struct vhost_session *s)
{
	for (unsigned int i = 0; i < s->rings; i++) {
		struct vhost_line *l = &s->line[i];

		if (l->ring.running)
			vhost_ring_stop(&l->ring);
		close_fd(&l->kick);
		close_fd(&l->call);
		close_fd(&l->err);
		(void)pthread_mutex_destroy(&l->lock);
	}
	free(s->line);
	vhost_mem_fini(&s->mem);
	vhost_log_unmap(&s->log);
	vhost_inbox_clear(&s->in);
	close_fd(&s->conn);
	close_fd(&s->backend_req);
}

void vhost_session_forget(struct vhost_session *s)
{
	for (unsigned int i = 0; i < s->rings; i++) {
		struct vhost_line *l = &s->line[i];
		const char *why;

		vhost_ring_stop(&l->ring);
		(void)s->hooks.ring(s->hooks.ctx, i, false, &why);
		close_fd(&l->kick);
		close_fd(&l->call);
		close_fd(&l->err);
		l->took = l->told = l->running = false;
		l->problem = NULL;
	}
	vhost_mem_fini(&s->mem);
	vhost_log_unmap(&s->log);
	vhost_inbox_clear(&s->in);
	if (s->conn >= 0) {
		s->hooks.leave(s->hooks.ctx, s->conn);
		s->connections--; /* which isn't another one if it's resumed */
	}
	close_fd(&s->conn);
	close_fd(&s->backend_req);
	s->unkept = false;
	s->broken = NULL;
}

/* ---- Connections ---- */

void vhost_session_reset(struct vhost_session *s)
{
	vhost_state_init(s->state);
}

void vhost_session_begin(struct vhost_session *s, int conn)
{
	s->conn = conn;
	s->unkept = false;
	s->connections++;
	vhost_state_busy(s);
	s->state->connection =
		vhost_session_hold(s, VHOST_SLOT_CONNECTION, conn);
	vhost_state_done(s);
	log_notice("port", "%s: a front end is there", s->name);
}

/* What is to be unmapped is in *mem and *log: that takes a while. */
static void forget_memory(struct vhost_session *s, struct vhost_mem *mem,
			  struct vhost_log *log)
{
	struct vhost_saved_table *t = &s->state->tables[s->state->table];

	for (uint32_t i = 0; i < t->n; i++)
		vhost_session_hold(s, t->region[i].slot, -1);
	t->n = 0;
	*mem = s->mem;
	s->mem.n = 0;
	if (s->state->log != VHOST_SLOT_NONE)
		s->state->log = vhost_session_hold(s, VHOST_SLOT_LOG, -1);
	*log = s->log;
	memset(&s->log, 0, sizeof(s->log));
}

void vhost_session_end(struct vhost_session *s, const char *why)
{
	struct vhost_mem mem;
	struct vhost_log log;

	if (s->conn < 0)
		return;
	log_notice("port", "%s: the front end is gone%s%s", s->name,
		   why ? ", sent away: " : "", why ? why : "");
	vhost_state_busy(s);
	/* The keeper has it too. */
	shutdown(s->conn, SHUT_RDWR);
	vhost_session_pause(s);
	for (unsigned int i = 0; i < s->rings; i++)
		vhost_line_forget(s, i);
	forget_memory(s, &mem, &log);
	s->state->features = 0;
	s->state->features_set = false;
	vhost_session_unpause(s);
	vhost_mem_fini(&mem);
	vhost_log_unmap(&log);
	close_fd(&s->backend_req);
	vhost_session_hold(s, VHOST_SLOT_BACKEND_REQ, -1);
	s->hooks.leave(s->hooks.ctx, s->conn);
	close_fd(&s->conn);
	s->state->connection = vhost_session_hold(s, VHOST_SLOT_CONNECTION, -1);
	vhost_inbox_clear(&s->in);
	s->unkept = false;
	vhost_session_reset(s);
	s->closed = why;
	s->hooks.features(s->hooks.ctx, 0);
}

/* Who holds us up doesn't get a chance to do it again at once. */
static void end_if_held_up(struct vhost_session *s)
{
	if (s->held_up)
		vhost_session_end(s, VHOST_CALL_HELD_UP);
}

void vhost_session_check(struct vhost_session *s)
{
	vhost_session_pause(s);
	vhost_session_unpause(s);
	end_if_held_up(s);
}

const char *vhost_session_problem(const struct vhost_session *s)
{
	if (s->conn < 0)
		return s->closed;
	if (s->broken)
		return s->broken;
	for (unsigned int i = 0; i < s->rings; i++)
		if (s->line[i].problem)
			return s->line[i].problem;
	if (s->state->features_set && !vhost_session_has(s, VIRTIO_F_VERSION_1))
		return "the guest's driver is older than VIRTIO 1.0 "
		       "(no VERSION_1)";
	return NULL;
}

/* ---- Requests ---- */

int vhost_session_reply(struct vhost_session *s, const void *payload,
			uint32_t size)
{
	return vhost_msg_reply(s->conn, s->in.msg.head.request, payload, size) <
			       0
		       ? NONSENSE
		       : 0;
}

static int reply_u64(struct vhost_session *s, uint64_t v)
{
	return vhost_session_reply(s, &v, sizeof(v));
}

static uint64_t features_offered(const struct vhost_session *s)
{
	return FEATURES | (s->rings > 2 ? VHOST_BIT(VIRTIO_NET_F_MQ) : 0);
}

static int get_features(struct vhost_session *s)
{
	return reply_u64(s, features_offered(s));
}

static int set_features(struct vhost_session *s)
{
	uint64_t f = s->in.msg.u64;

	if (f & ~features_offered(s)) {
		log_notice("port",
			   "%s: features that aren't offered: %#" PRIx64,
			   s->name, f & ~features_offered(s));
		return REFUSED;
	}
	vhost_session_pause(s);
	s->state->features = f;
	s->state->features_set = true;
	vhost_session_unpause(s);
	s->hooks.features(s->hooks.ctx, f);
	return f & VHOST_BIT(VIRTIO_F_VERSION_1) ? 0 : REFUSED;
}

static int get_protocol_features(struct vhost_session *s)
{
	return reply_u64(s, PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vhost_session *s)
{
	if (s->in.msg.u64 & ~PROTOCOL_FEATURES)
		return REFUSED;
	s->state->protocol_features = s->in.msg.u64;
	return 0;
}

static int get_queue_num(struct vhost_session *s)
{
	return reply_u64(s, s->rings / 2);
}

static int get_max_mem_slots(struct vhost_session *s)
{
	return reply_u64(s, VHOST_REGIONS_MAX);
}

static int accepted(struct vhost_session *s)
{
	(void)s;
	return 0;
}

static int send_rarp(struct vhost_session *s)
{
	/* The first six bytes of the payload, as they are on the wire. */
	s->hooks.announce(s->hooks.ctx, s->in.msg.bytes);
	return 0;
}

/* The guest's: what is longer it drops itself. The port's own says what is sent
 * to it. */
static int net_set_mtu(struct vhost_session *s)
{
	uint64_t mtu = s->in.msg.u64;

	return mtu < PORT_MTU_MIN || mtu > PORT_MTU_MAX ? REFUSED : 0;
}

/* We have nothing to say there, but who closes it isn't well. */
static int set_backend_req_fd(struct vhost_session *s)
{
	if (s->in.nfds != 1)
		return NONSENSE;
	close_fd(&s->backend_req);
	s->backend_req = vhost_inbox_take_fd(&s->in);
	vhost_session_hold(s, VHOST_SLOT_BACKEND_REQ, s->backend_req);
	return 0;
}

static int reset_device(struct vhost_session *s)
{
	vhost_session_pause(s);
	for (unsigned int i = 0; i < s->rings; i++)
		vhost_line_forget(s, i);
	s->state->features = 0;
	s->state->features_set = false;
	s->state->device_status = 0;
	vhost_session_unpause(s);
	s->hooks.features(s->hooks.ctx, 0);
	return 0;
}

/* Those of the rings are told by other messages: 0 is what ends here. */
static int set_status(struct vhost_session *s)
{
	uint32_t status = (uint32_t)s->in.msg.u64;

	if (s->in.msg.u64 > UINT8_MAX)
		return REFUSED;
	if (!vhost_session_has(s, VIRTIO_F_VERSION_1))
		status &= ~STATUS_FEATURES_OK;
	s->state->device_status = status;
	if (status)
		return 0;
	vhost_session_pause(s);
	for (unsigned int i = 0; i < s->rings; i++) {
		s->state->ring[i].started = false;
		s->state->ring[i].broken = false;
		s->line[i].ring.broken = NULL;
	}
	vhost_session_unpause(s);
	return 0;
}

static int get_status(struct vhost_session *s)
{
	return reply_u64(s, s->state->device_status);
}

/* ---- Messages ---- */

static const struct request {
	vhost_handler *handle;
	uint8_t size; /* bytes of payload, at least */
	uint8_t fds;  /* at most */
	bool replies; /* by itself: REPLY_ACK isn't for it */
} requests[VHOST_REQUEST_MAX + 1] = {
	[VHOST_REQUEST_GET_FEATURES] = { get_features, 0, 0, true },
	[VHOST_REQUEST_SET_FEATURES] = { set_features, 8, 0, false },
	[VHOST_REQUEST_SET_OWNER] = { accepted, 0, 0, false },
	[VHOST_REQUEST_RESET_OWNER] = { accepted, 0, 0, false },
	[VHOST_REQUEST_SET_MEM_TABLE] = { vhost_set_mem_table, 8,
					  VHOST_MSG_REGIONS_MAX, false },
	[VHOST_REQUEST_SET_LOG_BASE] = { vhost_set_log_base, 16, 1, true },
	[VHOST_REQUEST_SET_LOG_FD] = { accepted, 0, 1, false },
	[VHOST_REQUEST_SET_VRING_NUM] = { vhost_set_vring_num, 8, 0, false },
	[VHOST_REQUEST_SET_VRING_ADDR] = { vhost_set_vring_addr, 40, 0, false },
	[VHOST_REQUEST_SET_VRING_BASE] = { vhost_set_vring_base, 8, 0, false },
	[VHOST_REQUEST_GET_VRING_BASE] = { vhost_get_vring_base, 8, 0, true },
	[VHOST_REQUEST_SET_VRING_KICK] = { vhost_set_vring_kick, 8, 1, false },
	[VHOST_REQUEST_SET_VRING_CALL] = { vhost_set_vring_call, 8, 1, false },
	[VHOST_REQUEST_SET_VRING_ERR] = { vhost_set_vring_err, 8, 1, false },
	[VHOST_REQUEST_GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, 0,
						  true },
	[VHOST_REQUEST_SET_PROTOCOL_FEATURES] = { set_protocol_features, 8, 0,
						  false },
	[VHOST_REQUEST_GET_QUEUE_NUM] = { get_queue_num, 0, 0, true },
	[VHOST_REQUEST_SET_VRING_ENABLE] = { vhost_set_vring_enable, 8, 0,
					     false },
	[VHOST_REQUEST_SEND_RARP] = { send_rarp, 6, 0, false },
	[VHOST_REQUEST_NET_SET_MTU] = { net_set_mtu, 8, 0, false },
	[VHOST_REQUEST_SET_BACKEND_REQ_FD] = { set_backend_req_fd, 0, 1,
					       false },
	[VHOST_REQUEST_RESET_DEVICE] = { reset_device, 0, 0, false },
	[VHOST_REQUEST_GET_MAX_MEM_SLOTS] = { get_max_mem_slots, 0, 0, true },
	[VHOST_REQUEST_ADD_MEM_REG] = { vhost_add_mem_reg, 40, 1, false },
	/* Some send the memory along, which is to be ignored. */
	[VHOST_REQUEST_REM_MEM_REG] = { vhost_rem_mem_reg, 40, 1, false },
	[VHOST_REQUEST_SET_STATUS] = { set_status, 8, 0, false },
	[VHOST_REQUEST_GET_STATUS] = { get_status, 0, 0, true },
};

/* Returns 0, or why the connection is to be closed. */
static const char *answer(struct vhost_session *s)
{
	const struct vhost_msg_head *head = &s->in.msg.head;
	const char *name = vhost_msg_name(head->request);
	const struct request *rq = NULL;
	int r = REFUSED;

	if (name)
		rq = &requests[head->request];
	if (rq && (head->size < rq->size || s->in.nfds > rq->fds))
		r = NONSENSE;
	else if (rq)
		r = rq->handle(s);
	log_debug("port", "%s: %s (%" PRIu32 "): %d", s->name,
		  name ? name : "unknown", head->request, r);
	if (r == NONSENSE)
		return "the front end has sent a message that makes no sense";
	if ((!rq || !rq->replies) && head->flags & VHOST_MSG_NEED_REPLY &&
	    s->state->protocol_features & VHOST_BIT(VHOST_PROTOCOL_REPLY_ACK) &&
	    reply_u64(s, r < 0) < 0)
		return "the front end doesn't read our replies";
	return NULL;
}

/* Why the connection is over, of what vhost_inbox_receive() said. NULL: the
 * other end has closed it. */
static const char *over(int r)
{
	if (r == -EPIPE)
		return NULL;
	if (r == -EPROTO)
		return "the front end has sent what is no message";
	if (r == -EBADF)
		return "the front end has sent a descriptor that might keep "
		       "the switch waiting";
	if (r == -EMFILE)
		return "too many descriptors are open here for the front end's";
	return "its socket failed";
}

void vhost_session_serve(struct vhost_session *s)
{
	for (unsigned int n = 0; n < SERVE_MAX && s->conn >= 0; n++) {
		const char *why;
		int r;

		if (vhost_inbox_empty(&s->in))
			vhost_state_busy(s);
		r = vhost_inbox_receive(&s->in, s->conn);
		if (r == 0) {
			if (vhost_inbox_empty(&s->in))
				vhost_state_done(s);
			return;
		}
		if (r < 0) {
			s->held_up |= r == -EBADF;
			vhost_session_end(s, over(r));
			return;
		}
		why = answer(s);
		vhost_inbox_clear(&s->in);
		if (why) {
			vhost_session_end(s, why);
			return;
		}
		vhost_state_done(s);
		end_if_held_up(s);
	}
}
