/* What the parts of vhost_session share. */
#ifndef PORTS_VHOST_SESSION_INTERNAL_H
#define PORTS_VHOST_SESSION_INTERNAL_H

#include "ports/vhost_session.h"

/* A request can't be: refused, the connection goes on. */
#define REFUSED (-EINVAL)
/* Not even a request: the connection is closed. */
#define NONSENSE (-EPROTO)

/* A handler: 0 done, REFUSED or another -errno; NONSENSE. */
typedef int vhost_handler(struct vhost_session *s);

vhost_handler vhost_set_mem_table, vhost_add_mem_reg, vhost_rem_mem_reg,
	vhost_set_log_base;
vhost_handler vhost_set_vring_num, vhost_set_vring_addr, vhost_set_vring_base,
	vhost_get_vring_base, vhost_set_vring_kick, vhost_set_vring_call,
	vhost_set_vring_err, vhost_set_vring_enable;

static inline bool vhost_session_has(const struct vhost_session *s,
				     unsigned int feature)
{
	return s->state->features & VHOST_BIT(feature);
}

/* Send a reply; a front end that doesn't take it is gone: NONSENSE. */
int vhost_session_reply(struct vhost_session *s, const void *payload,
			uint32_t size);

/* ---- vhost_session_ring.c ---- */

/*
 * All rings stand still, and their locks are held until unpause, which starts
 * those that can run. The two belong together, whatever changes in between.
 * Workers wait meanwhile, so nobody else is waited for.
 */
void vhost_session_pause(struct vhost_session *s);
void vhost_session_unpause(struct vhost_session *s);

/* As it is at first: not started, not enabled, not told anything. Paused. */
void vhost_line_forget(struct vhost_session *s, unsigned int i);

/* An eventfd (kick), or what takes eight bytes like one. Doesn't wait. */
bool vhost_fd_wakes(int fd);
bool vhost_fd_rings(int fd);

/* ---- vhost_session_keep.c ---- */

/* Slots of the keeper's. */
enum {
	VHOST_SLOT_CONNECTION,
	VHOST_SLOT_LOG,
	VHOST_SLOT_BACKEND_REQ,
	VHOST_SLOT_KICK = 16, /* of ring 0; its others follow */
	VHOST_SLOT_CALL = VHOST_SLOT_KICK + VHOST_RINGS_MAX,
	VHOST_SLOT_ERR = VHOST_SLOT_CALL + VHOST_RINGS_MAX,
	VHOST_SLOT_REGION = VHOST_SLOT_ERR + VHOST_RINGS_MAX,
	/* Two tables: the new one's are held beside the old one's. */
	VHOST_SLOT_END = VHOST_SLOT_REGION + 2 * VHOST_REGIONS_MAX,
};

_Static_assert(VHOST_SLOT_END <= PORT_HELD_MAX, "there are as many slots");

/*
 * Have the keeper, if there is one, hold fd (-1: drop it) there. Returns the
 * slot, or VHOST_SLOT_NONE for -1. It may take a while: while the session is
 * paused nothing is held, and what is to be dropped is noted for unpause.
 */
uint16_t vhost_session_hold(struct vhost_session *s, unsigned int slot, int fd);
void vhost_session_drop_rest(struct vhost_session *s);

/* From here to vhost_state_done() the state is between two states. */
void vhost_state_busy(struct vhost_session *s);
void vhost_state_done(struct vhost_session *s);

#endif
