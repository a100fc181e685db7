#include "ports/vhost_state.h"

#include "ports/vhost_ring.h"

#include <stddef.h>
#include <string.h>

void vhost_state_init(struct vhost_state *s)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	s->connection = VHOST_SLOT_NONE;
	s->log = VHOST_SLOT_NONE;
	for (unsigned int t = 0; t < 2; t++)
		for (unsigned int i = 0; i < VHOST_REGIONS_MAX; i++)
			s->tables[t].region[i].slot = VHOST_SLOT_NONE;
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		struct vhost_saved_ring *r = &s->ring[i];

		r->kick = r->call = r->err = VHOST_SLOT_NONE;
	}
	/* The last store: what has it is complete. */
	atomic_thread_fence(memory_order_release);
	s->magic = VHOST_STATE_MAGIC;
}

/* A bool that is neither must not be read as one (C11 6.2.6.1). */
static bool bool_sane(const bool *b)
{
	return *(const unsigned char *)b <= 1;
}

static bool slot_sane(uint16_t slot)
{
	return slot < PORT_HELD_MAX || slot == VHOST_SLOT_NONE;
}

static bool ring_sane(const struct vhost_saved_ring *r)
{
	return r->size <= VHOST_SIZE_MAX && bool_sane(&r->started) &&
	       bool_sane(&r->enabled) && bool_sane(&r->broken) &&
	       bool_sane(&r->addressed) && bool_sane(&r->log) &&
	       slot_sane(r->kick) && slot_sane(r->call) && slot_sane(r->err);
}

/* What vhost_mem_add would refuse is left to it: it's refused either way. */
static bool table_sane(const struct vhost_saved_table *t)
{
	if (t->n > VHOST_REGIONS_MAX)
		return false;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->region[i].slot >= PORT_HELD_MAX)
			return false;
	return true;
}

bool vhost_state_sane(const struct vhost_state *s)
{
	if (s->magic != VHOST_STATE_MAGIC || s->size != sizeof(*s) ||
	    s->table > 1 || !bool_sane(&s->features_set) ||
	    !slot_sane(s->connection) || !slot_sane(s->log))
		return false;
	/* The other one may be half written. */
	if (!table_sane(&s->tables[s->table]))
		return false;
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		if (!ring_sane(&s->ring[i]))
			return false;
	return true;
}
