#include "ports/vhost_session_internal.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

static struct vhost_saved_table *current(struct vhost_session *s)
{
	return &s->state->tables[s->state->table];
}

/* The one that isn't used. */
static struct vhost_saved_table *other(struct vhost_session *s)
{
	return &s->state->tables[!s->state->table];
}

static bool table_uses(const struct vhost_saved_table *t, uint16_t slot)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->region[i].slot == slot)
			return true;
	return false;
}

/* Have it held where neither table has anything. */
static void save_region(struct vhost_session *s, struct vhost_saved_table *t,
			const struct vhost_msg_region *r, int fd)
{
	uint16_t slot = VHOST_SLOT_REGION;

	while (table_uses(t, slot) || table_uses(current(s), slot))
		slot++;
	t->region[t->n] = (struct vhost_saved_region){
		.guest = r->guest,
		.size = r->size,
		.user = r->user,
		.offset = r->offset,
		.slot = vhost_session_hold(s, slot, fd),
	};
	t->n++;
}

/* The other table is complete: it is the one. */
static void use_other(struct vhost_session *s)
{
	const struct vhost_saved_table *old = current(s), *t = other(s);

	atomic_signal_fence(memory_order_seq_cst);
	s->state->table = !s->state->table;
	for (uint32_t i = 0; i < old->n; i++)
		if (!table_uses(t, old->region[i].slot))
			vhost_session_hold(s, old->region[i].slot, -1);
}

static int refuse(const struct vhost_session *s, const struct error *err)
{
	log_notice("port", "%s: the front end's memory is refused: %s", s->name,
		   err->message);
	return -err->err;
}

static int add(struct vhost_mem *m, const struct vhost_msg_region *r, int fd,
	       struct error *err)
{
	return vhost_mem_add(m, r->guest, r->size, r->user, r->offset, fd, err);
}

int vhost_set_mem_table(struct vhost_session *s)
{
	struct vhost_msg_table *t = &s->in.msg.table;
	int fd[VHOST_MSG_REGIONS_MAX];
	struct vhost_mem mem = { .n = 0 }, old;
	struct error err;
	int r = 0;

	if (t->n > VHOST_MSG_REGIONS_MAX || t->n != s->in.nfds ||
	    s->in.msg.head.size < offsetof(struct vhost_msg_table, region) +
					  t->n * sizeof(t->region[0]))
		return NONSENSE;
	for (uint32_t i = 0; i < t->n; i++)
		fd[i] = vhost_inbox_take_fd(&s->in);
	for (uint32_t i = 0; i < t->n && r == 0; i++)
		r = add(&mem, &t->region[i], fd[i], &err);
	if (r == 0) {
		other(s)->n = 0;
		for (uint32_t i = 0; i < t->n; i++)
			save_region(s, other(s), &t->region[i], fd[i]);
		vhost_session_pause(s);
		use_other(s);
		old = s->mem;
		s->mem = mem;
		vhost_session_unpause(s);
		/* That takes a while, and workers needn't wait for it. */
		vhost_mem_fini(&old);
	} else {
		vhost_mem_fini(&mem);
		r = refuse(s, &err);
	}
	vhost_mem_discard(fd, t->n);
	return r;
}

/* With several pairs of queues, QEMU before 8.0 tells of a region, and of its
 * going, once for each. */
static bool region_is_there(struct vhost_session *s,
			    const struct vhost_msg_region *r)
{
	const struct vhost_saved_table *t = current(s);

	for (uint32_t i = 0; i < t->n; i++)
		if (t->region[i].guest == r->guest &&
		    t->region[i].size == r->size &&
		    t->region[i].user == r->user &&
		    t->region[i].offset == r->offset)
			return true;
	return false;
}

int vhost_add_mem_reg(struct vhost_session *s)
{
	const struct vhost_msg_region *region = &s->in.msg.slot.region;
	struct vhost_mem mem = s->mem;
	struct error err;
	int fd, r;

	if (s->in.nfds != 1)
		return NONSENSE;
	if (region_is_there(s, region))
		return 0;
	fd = vhost_inbox_take_fd(&s->in);
	r = add(&mem, region, fd, &err);
	if (r == 0) {
		*other(s) = *current(s);
		save_region(s, other(s), region, fd);
		vhost_session_pause(s);
		use_other(s);
		s->mem = mem;
		vhost_session_unpause(s);
	} else {
		r = refuse(s, &err);
	}
	vhost_mem_discard(&fd, 1);
	return r;
}

int vhost_rem_mem_reg(struct vhost_session *s)
{
	const struct vhost_msg_region *region = &s->in.msg.slot.region;
	struct vhost_saved_table *t = other(s);
	struct vhost_mem old = { .n = 0 };
	int r;

	vhost_session_pause(s);
	r = vhost_mem_remove(&s->mem, region->guest, region->size, region->user,
			     &old);
	if (r == 0) {
		*t = *current(s);
		for (uint32_t i = 0; i < t->n; i++)
			if (t->region[i].guest == region->guest) {
				t->region[i] = t->region[--t->n];
				break;
			}
		use_other(s);
	}
	vhost_session_unpause(s);
	vhost_mem_fini(&old);
	return r == -ENOENT ? 0 : r; /* it's gone: region_is_there() */
}

int vhost_set_log_base(struct vhost_session *s)
{
	const struct vhost_msg_log *m = &s->in.msg.log;
	struct vhost_log log = { 0 }, old;
	const uint64_t ok = 0;
	int fd, r;

	if (!(s->state->protocol_features &
	      VHOST_BIT(VHOST_PROTOCOL_LOG_SHMFD)))
		return REFUSED;
	if (s->in.nfds != 1)
		return NONSENSE;
	fd = vhost_inbox_take_fd(&s->in);
	r = vhost_log_map(&log, fd, m->size, m->offset);
	if (r == 0) {
		s->state->log_size = m->size;
		s->state->log_offset = m->offset;
		s->state->log = vhost_session_hold(s, VHOST_SLOT_LOG, fd);
		vhost_session_pause(s);
		old = s->log;
		s->log = log;
		vhost_session_unpause(s);
		vhost_log_unmap(&old);
	}
	vhost_mem_discard(&fd, 1);
	/* There is no "no": a migration would go on without what we write. */
	return r < 0 ? NONSENSE : vhost_session_reply(s, &ok, sizeof(ok));
}
