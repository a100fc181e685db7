#include "ports/vhost_session_internal.h"

#include "base/fds.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint16_t vhost_session_hold(struct vhost_session *s, unsigned int slot, int fd)
{
	const struct port_keeper *keeper = port_keeper();
	uint64_t *later = &s->later[slot / 64], bit = 1ull << slot % 64;
	int r;

	if (fd < 0 && s->paused) {
		*later |= bit;
		return VHOST_SLOT_NONE;
	}
	*later &= ~bit;
	if (keeper && keeper->hold) {
		r = keeper->hold(keeper->ctx, s->grant, slot, fd);
		if (r < 0 && fd >= 0) {
			log_warning("port",
				    "%s: a restart will end its connection: %s",
				    s->name, strerror(-r));
			s->unkept = true;
		}
	}
	return fd < 0 ? VHOST_SLOT_NONE : (uint16_t)slot;
}

void vhost_session_drop_rest(struct vhost_session *s)
{
	for (unsigned int slot = 0; slot < PORT_HELD_MAX; slot++)
		if (s->later[slot / 64] >> slot % 64 & 1)
			vhost_session_hold(s, slot, -1);
}

void vhost_state_busy(struct vhost_session *s)
{
	if (!++s->number)
		s->number = 1;
	s->state->busy = s->number;
	atomic_signal_fence(memory_order_seq_cst);
}

void vhost_state_done(struct vhost_session *s)
{
	atomic_signal_fence(memory_order_seq_cst);
	/* What couldn't be held is missing for good. */
	if (!s->unkept)
		s->state->busy = 0;
}

static int held(struct vhost_session *s, uint16_t slot)
{
	const struct port_keeper *keeper = port_keeper();

	if (!keeper || !keeper->held || slot == VHOST_SLOT_NONE)
		return -ENOENT;
	return keeper->held(keeper->ctx, s->grant, slot);
}

static bool resume_memory(struct vhost_session *s)
{
	const struct vhost_saved_table *t = &s->state->tables[s->state->table];
	struct error err;

	for (uint32_t i = 0; i < t->n; i++) {
		const struct vhost_saved_region *r = &t->region[i];
		int fd = held(s, r->slot), rc;

		if (fd < 0)
			return false;
		rc = vhost_mem_add(&s->mem, r->guest, r->size, r->user,
				   r->offset, fd, &err);
		vhost_mem_discard(&fd, 1);
		if (rc < 0)
			return false;
	}
	return true;
}

static bool resume_log(struct vhost_session *s)
{
	const struct vhost_state *st = s->state;
	int fd, r;

	if (st->log == VHOST_SLOT_NONE)
		return true;
	fd = held(s, st->log);
	if (fd < 0)
		return false;
	r = vhost_log_map(&s->log, fd, st->log_size, st->log_offset);
	vhost_mem_discard(&fd, 1);
	return r == 0;
}

/* Returns whether it's there, where there has to be one, and is fit. */
static bool resume_fd(struct vhost_session *s, uint16_t slot, int *fd,
		      bool (*fit)(int fd))
{
	if (slot == VHOST_SLOT_NONE)
		return true;
	*fd = held(s, slot);
	if (*fd >= 0 && fit(*fd))
		return true;
	if (*fd >= 0)
		fds_discard(fd, 1);
	*fd = -1;
	return false;
}

static bool resume_line(struct vhost_session *s, unsigned int i)
{
	const struct vhost_saved_ring *r = &s->state->ring[i];
	struct vhost_line *l = &s->line[i];

	return resume_fd(s, r->kick, &l->kick, vhost_fd_wakes) &&
	       resume_fd(s, r->call, &l->call, vhost_fd_rings) &&
	       resume_fd(s, r->err, &l->err, vhost_fd_rings);
}

static bool resume_all(struct vhost_session *s)
{
	s->conn = held(s, s->state->connection);
	if (s->conn < 0) {
		s->conn = -1;
		return false;
	}
	if (!resume_memory(s) || !resume_log(s))
		return false;
	for (unsigned int i = 0; i < s->rings; i++)
		if (!resume_line(s, i))
			return false;
	return true;
}

/* What a state that isn't to be believed may have left with the keeper. */
static void drop_held(struct vhost_session *s)
{
	int conn = held(s, VHOST_SLOT_CONNECTION);

	if (conn >= 0) {
		shutdown(conn, SHUT_RDWR);
		fds_discard(&conn, 1);
	}
	for (unsigned int slot = 0; slot < VHOST_SLOT_END; slot++)
		vhost_session_hold(s, slot, -1);
}

/* It can't go on: nor may the front end think so. */
static void start_over(struct vhost_session *s, const char *why)
{
	log_warning("port",
		    "%s: the connection of the process before us is dropped: "
		    "%s",
		    s->name, why);
	if (s->conn >= 0) {
		vhost_session_end(s, "a restart couldn't go on with it");
		return;
	}
	drop_held(s);
	vhost_session_reset(s);
}

bool vhost_session_resume(struct vhost_session *s)
{
	const struct vhost_state *st = s->state;

	if (!vhost_state_sane(st)) {
		start_over(s, "what it has left makes no sense");
		return false;
	}
	if (st->busy) {
		start_over(s, "it was in the middle of a message");
		return false;
	}
	if (st->connection == VHOST_SLOT_NONE)
		return false;
	if (!resume_all(s)) {
		start_over(s, "something that it had is missing");
		return false;
	}
	s->connections++;
	s->hooks.features(s->hooks.ctx, st->features);
	vhost_session_pause(s);
	vhost_session_unpause(s);
	log_notice("port", "%s: goes on with its front end", s->name);
	return true;
}
