#include "ports/vhost_session_internal.h"

#include "base/fds.h"
#include "base/log.h"
#include "ports/vhost_call.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes of a ring's parts, VIRTIO 1.2 2.7 and 2.8. */
#define DESC_LEN(size)	(16ull * (size))
#define AVAIL_LEN(size) (6ull + 2ull * (size)) /* with used_event */
#define USED_LEN(size)	(6ull + 8ull * (size)) /* with avail_event */
#define EVENT_LEN	4ull

/* Where a packed ring begins: descriptor 0, the wrap counter 1. */
#define PACKED_BEGIN (1u << 15)

/* Their alignment; packed rings' events need no more. */
#define DESC_ALIGN  16
#define AVAIL_ALIGN 2
#define USED_ALIGN  4

/* ---- Descriptors ---- */

/*
 * Nothing that could have us wait for whoever is behind it, as a terminal or a
 * file of FUSE. The kernel's own (eventfds and the like) are of no type.
 */
static bool fd_fits(int fd, bool pipes)
{
	struct statx st;
	int flags;

	/* Whoever is behind it isn't asked for this either. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) <
	    0)
		return false;
	if ((st.stx_mode & S_IFMT) &&
	    !(pipes && (S_ISFIFO(st.stx_mode) || S_ISSOCK(st.stx_mode))))
		return false;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

bool vhost_fd_wakes(int fd)
{
	uint64_t n;
	struct iovec iov = { .iov_base = &n, .iov_len = sizeof(n) };
	ssize_t got;

	/* No pipe: one whose other end is closed is readable for ever. */
	if (!fd_fits(fd, false))
		return false;
	/*
	 * A kick that is taken here isn't missed: a ring starts with one. It
	 * doesn't wait, whatever the flags are by now.
	 */
	got = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	return got == sizeof(n) || (got < 0 && errno == EAGAIN);
}

bool vhost_fd_rings(int fd)
{
	return fd_fits(fd, true);
}

/* ---- Running ---- */

static bool lies(const struct vhost_session *s, uint64_t user, uint64_t len,
		 uint64_t align, uint8_t **to)
{
	*to = user % align ? NULL : vhost_mem_user(&s->mem, user, len);
	return *to;
}

/* Fill in what the ring needs. Returns NULL, or why it can't run. */
static const char *line_prepare(struct vhost_session *s, unsigned int i)
{
	struct vhost_saved_ring *saved = &s->state->ring[i];
	struct vhost_ring *r = &s->line[i].ring;
	bool packed = vhost_session_has(s, VIRTIO_F_RING_PACKED);
	uint64_t size = saved->size;

	if (!s->state->features_set)
		return "no features were agreed on";
	if (!vhost_session_has(s, VIRTIO_F_VERSION_1))
		return "the guest's driver is older than VIRTIO 1.0 "
		       "(no VERSION_1)";
	if (!size || !saved->addressed)
		return "a ring was started that hasn't been described";
	if (!lies(s, saved->desc, DESC_LEN(size), DESC_ALIGN, &r->desc) ||
	    !lies(s, saved->avail, packed ? EVENT_LEN : AVAIL_LEN(size),
		  AVAIL_ALIGN, &r->driver) ||
	    !lies(s, saved->used, packed ? EVENT_LEN : USED_LEN(size),
		  USED_ALIGN, &r->device))
		return "a ring isn't in the guest's memory, or isn't aligned";
	r->mem = &s->mem;
	r->log = &s->log;
	r->place = &saved->place;
	r->features = s->state->features;
	r->size = saved->size;
	r->log_addr = saved->log_addr;
	r->log_device = saved->log;
	r->kick = s->line[i].kick;
	r->call = s->line[i].call;
	return NULL;
}

/* The same, for those whose pages nobody wants to know of. */
static const struct vhost_log no_log;

static void line_start(struct vhost_session *s, unsigned int i)
{
	struct vhost_saved_ring *saved = &s->state->ring[i];
	struct vhost_line *l = &s->line[i];

	l->problem = NULL;
	if (!saved->started || !saved->enabled || s->broken)
		return;
	l->problem = line_prepare(s, i);
	if (l->problem)
		return;
	if (!vhost_session_has(s, VHOST_FEATURE_LOG_ALL)) {
		l->ring.log = &no_log;
		l->ring.log_device = false;
	}
	l->told = false;
	if (vhost_ring_start(&l->ring) < 0)
		saved->broken = true;
}

static const char *line_broken(const struct vhost_session *s, unsigned int i)
{
	const char *why = s->line[i].ring.broken;

	return why ? why : "a ring was broken before the restart";
}

/* Is any of it broken? Locks are held. */
static void find_broken(struct vhost_session *s)
{
	bool was = s->broken;

	s->broken = NULL;
	if (vhost_mem_lost(&s->mem) || vhost_log_lost(&s->log))
		s->broken = "the front end has taken memory away";
	for (unsigned int i = 0; i < s->rings; i++) {
		if (s->state->ring[i].broken && !s->broken)
			s->broken = line_broken(s, i);
		s->held_up |= s->line[i].ring.held_up;
		s->line[i].ring.held_up = false;
	}
	if (s->broken && !was)
		log_warning("port", "%s: stands still: %s", s->name, s->broken);
}

static void line_stop(struct vhost_session *s, unsigned int i)
{
	struct vhost_line *l = &s->line[i];

	if (!l->ring.running)
		return;
	if (l->ring.broken)
		s->state->ring[i].broken = true;
	vhost_ring_stop(&l->ring);
}

/* Before a worker that would take it again at once. */
static void line_lock(struct vhost_line *l)
{
	atomic_store(&l->wanted, true);
	(void)pthread_mutex_lock(&l->lock);
}

static void line_unlock(struct vhost_line *l)
{
	atomic_store(&l->wanted, false);
	(void)pthread_mutex_unlock(&l->lock);
}

/* Odd ones first, see the header. */
static unsigned int nth(const struct vhost_session *s, unsigned int n)
{
	return n < s->rings / 2 ? 2 * n + 1 : 2 * n - s->rings;
}

void vhost_session_pause(struct vhost_session *s)
{
	for (unsigned int n = 0; n < s->rings; n++)
		line_lock(&s->line[nth(s, n)]);
	s->paused = true;
	for (unsigned int i = 0; i < s->rings; i++)
		line_stop(s, i);
}

/* Tell a front end that wants to know. */
static void line_complain(struct vhost_session *s, const struct vhost_line *l)
{
	int r = l->err < 0 ? 0 : vhost_call(l->err);

	s->held_up |= r == -EINTR;
	if (r < 0 && r != -EAGAIN)
		log_debug("port", "%s: the front end's error descriptor: %s",
			  s->name, strerror(-r));
}

static void tell_port(struct vhost_session *s, unsigned int i)
{
	struct vhost_line *l = &s->line[i];
	const char *why;

	if (s->hooks.ring(s->hooks.ctx, i, l->running, &why))
		return;
	line_lock(l);
	vhost_ring_stop(&l->ring);
	line_unlock(l);
	l->running = false;
	l->problem = why;
}

static void start_all(struct vhost_session *s)
{
	for (unsigned int i = 0; i < s->rings; i++)
		line_start(s, i);
}

void vhost_session_unpause(struct vhost_session *s)
{
	bool was = s->broken;

	find_broken(s);
	start_all(s);
	/* One that can't start stops the others. */
	if (!s->broken) {
		find_broken(s);
		for (unsigned int i = 0; i < s->rings && s->broken; i++)
			line_stop(s, i);
	}
	s->paused = false;
	for (unsigned int n = 0; n < s->rings; n++) {
		struct vhost_line *l = &s->line[nth(s, n)];

		l->running = l->ring.running;
		line_unlock(l);
	}
	for (unsigned int i = 0; i < s->rings; i++) {
		tell_port(s, i);
		if (s->broken && !was && s->state->ring[i].broken)
			line_complain(s, &s->line[i]);
	}
	vhost_session_drop_rest(s);
}

static void line_close(struct vhost_session *s, int *fd, uint16_t *slot)
{
	if (*fd >= 0)
		fds_discard(fd, 1);
	*fd = -1;
	if (*slot != VHOST_SLOT_NONE)
		vhost_session_hold(s, *slot, -1);
	*slot = VHOST_SLOT_NONE;
}

/* Nobody waits for it any more, then it's closed: the front end has it too. */
static void kick_close(struct vhost_session *s, unsigned int i)
{
	const char *why;

	(void)s->hooks.ring(s->hooks.ctx, i, false, &why);
	line_close(s, &s->line[i].kick, &s->state->ring[i].kick);
}

void vhost_line_forget(struct vhost_session *s, unsigned int i)
{
	struct vhost_saved_ring *saved = &s->state->ring[i];
	struct vhost_line *l = &s->line[i];

	kick_close(s, i);
	line_close(s, &l->call, &saved->call);
	line_close(s, &l->err, &saved->err);
	l->problem = NULL;
	l->ring.broken = NULL;
	memset(saved, 0, sizeof(*saved));
	saved->kick = saved->call = saved->err = VHOST_SLOT_NONE;
}

/* ---- Requests ---- */

/* The ring that a request speaks of, or NULL. */
static struct vhost_saved_ring *saved_ring(struct vhost_session *s,
					   uint32_t index)
{
	return index < s->rings ? &s->state->ring[index] : NULL;
}

int vhost_set_vring_num(struct vhost_session *s)
{
	const struct vhost_msg_vring *m = &s->in.msg.vring;
	struct vhost_saved_ring *saved = saved_ring(s, m->index);

	if (!saved)
		return NONSENSE;
	if (!m->num || m->num > VHOST_SIZE_MAX)
		return REFUSED;
	vhost_session_pause(s);
	saved->size = (uint16_t)m->num;
	vhost_session_unpause(s);
	return 0;
}

int vhost_set_vring_addr(struct vhost_session *s)
{
	const struct vhost_msg_addr *m = &s->in.msg.addr;
	struct vhost_saved_ring *saved = saved_ring(s, m->index);

	if (!saved)
		return NONSENSE;
	vhost_session_pause(s);
	saved->desc = m->desc;
	saved->avail = m->avail;
	saved->used = m->used;
	saved->log_addr = m->log;
	saved->log = m->flags & VHOST_MSG_ADDR_LOG;
	saved->addressed = true;
	vhost_session_unpause(s);
	return s->line[m->index].problem ? REFUSED : 0;
}

/*
 * Where the device goes on. Of a packed ring: what comes next in bits 0 to 15,
 * what is given back next above, wrap counters in bits 15 and 31. There are
 * front ends that leave out the upper half (virtio-user, QEMU before 5.0).
 *
 * And there is User-Mode Linux, which agrees to packed rings and knows nothing
 * of wrap counters: it tells 0, where the beginning is 0 with the counter set
 * (VIRTIO 1.2 2.8.1). It is told by what it has no use for: it can't migrate,
 * so it can't mean a ring that is in its second round.
 */
int vhost_set_vring_base(struct vhost_session *s)
{
	const struct vhost_msg_vring *m = &s->in.msg.vring;
	struct vhost_saved_ring *saved = saved_ring(s, m->index);
	vhost_pos avail = (vhost_pos)m->num, used = avail;

	if (!saved)
		return NONSENSE;
	if (vhost_session_has(s, VIRTIO_F_RING_PACKED) && m->num >> 16)
		used = (vhost_pos)(m->num >> 16);
	if (vhost_session_has(s, VIRTIO_F_RING_PACKED) && m->num == 0 &&
	    !(s->state->protocol_features &
	      VHOST_BIT(VHOST_PROTOCOL_LOG_SHMFD)))
		avail = used = PACKED_BEGIN;
	vhost_session_pause(s);
	saved->place.avail = avail;
	saved->place.used = used;
	saved->place.giving = used;
	saved->place.ntaken = 0;
	saved->broken = false;
	s->line[m->index].ring.broken = NULL;
	vhost_session_unpause(s);
	return 0;
}

int vhost_get_vring_base(struct vhost_session *s)
{
	struct vhost_msg_vring m = s->in.msg.vring;
	struct vhost_saved_ring *saved = saved_ring(s, m.index);
	struct vhost_line *l;

	if (!saved)
		return NONSENSE;
	l = &s->line[m.index];
	vhost_session_pause(s);
	saved->started = false;
	saved->broken = false;
	l->ring.broken = NULL;
	m.num = saved->place.avail;
	if (vhost_session_has(s, VIRTIO_F_RING_PACKED))
		m.num |= (uint32_t)saved->place.used << 16;
	kick_close(s, m.index);
	vhost_session_unpause(s);
	return vhost_session_reply(s, &m, sizeof(m));
}

/* Take what came with KICK, CALL or ERR. *fd: it, or -1: there is none. */
static int take_fd(struct vhost_session *s, uint32_t *index, int *fd,
		   bool (*fit)(int fd))
{
	uint64_t m = s->in.msg.u64;

	*index = (uint32_t)(m & VHOST_MSG_VRING_MASK);
	*fd = -1;
	if (!saved_ring(s, *index))
		return NONSENSE;
	if (m & VHOST_MSG_NOFD)
		return s->in.nfds ? NONSENSE : 0;
	if (s->in.nfds != 1)
		return NONSENSE;
	*fd = vhost_inbox_take_fd(&s->in);
	if (fit(*fd))
		return 0;
	fds_discard(fd, 1);
	log_notice("port", "%s: a descriptor of the front end's is refused",
		   s->name);
	return REFUSED;
}

/* The new one instead of *fd, here and with the keeper. */
static void put_fd(struct vhost_session *s, int *fd, uint16_t *slot, int new,
		   unsigned int at)
{
	line_close(s, fd, slot);
	*fd = new;
	if (new >= 0)
		*slot = vhost_session_hold(s, at, new);
}

int vhost_set_vring_kick(struct vhost_session *s)
{
	struct vhost_saved_ring *saved;
	struct vhost_line *l;
	uint32_t i;
	int fd, r = take_fd(s, &i, &fd, vhost_fd_wakes);

	if (r < 0)
		return r;
	saved = &s->state->ring[i];
	l = &s->line[i];
	vhost_session_pause(s);
	kick_close(s, i);
	l->kick = fd;
	saved->started = true;
	/* Who doesn't know of SET_VRING_ENABLE doesn't need it. */
	if (!vhost_session_has(s, VHOST_FEATURE_PROTOCOL))
		saved->enabled = true;
	vhost_session_unpause(s);
	if (fd >= 0)
		saved->kick = vhost_session_hold(s, VHOST_SLOT_KICK + i, fd);
	return l->problem || saved->broken ? REFUSED : 0;
}

int vhost_set_vring_call(struct vhost_session *s)
{
	struct vhost_line *l;
	uint32_t i;
	int fd, r = take_fd(s, &i, &fd, vhost_fd_rings);

	if (r < 0)
		return r;
	l = &s->line[i];
	/* Guests have it changed while they run: not for long. */
	line_lock(l);
	l->ring.call = fd;
	line_unlock(l);
	put_fd(s, &l->call, &s->state->ring[i].call, fd, VHOST_SLOT_CALL + i);
	return 0;
}

int vhost_set_vring_err(struct vhost_session *s)
{
	uint32_t i;
	int fd, r = take_fd(s, &i, &fd, vhost_fd_rings);

	if (r < 0)
		return r;
	put_fd(s, &s->line[i].err, &s->state->ring[i].err, fd,
	       VHOST_SLOT_ERR + i);
	return 0;
}

int vhost_set_vring_enable(struct vhost_session *s)
{
	const struct vhost_msg_vring *m = &s->in.msg.vring;
	struct vhost_saved_ring *saved = saved_ring(s, m->index);

	if (!saved)
		return NONSENSE;
	if (m->num > 1)
		return REFUSED;
	vhost_session_pause(s);
	saved->enabled = m->num;
	vhost_session_unpause(s);
	return 0;
}
