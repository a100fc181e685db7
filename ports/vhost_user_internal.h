/* What the two halves of a running vhost-user port share. */
#ifndef PORTS_VHOST_USER_INTERNAL_H
#define PORTS_VHOST_USER_INTERNAL_H

#include "ports/vhost_session.h"

/* Between two attempts to get a socket that works. */
#define VHOST_REDIAL_MIN_MS 100
#define VHOST_REDIAL_MAX_MS 1000

/* Nobody is let in for so long after one who has held us up; twice as long
 * after the next one. */
#define VHOST_SHUT_MIN_MS 10000
#define VHOST_SHUT_MAX_MS 320000

/* A receive queue: what wakes its worker up. */
struct vhost_queue {
	int epoll; /* has nudge, and the kick of a ring that runs */
	int nudge; /* eventfd */
	_Atomic bool nudged;
	int kick; /* in epoll; -1: none */
};

struct vhost_user {
	struct port port;
	struct port_request rq;
	struct port_grant grant;
	struct vhost_session session;
	struct vhost_state *state;
	struct vhost_queue queue[VHOST_QUEUES_MAX];
	/*
	 * The rings to the guest that run: their number in the low four bits,
	 * and from there on four bits for each, the pair that it is of.
	 */
	_Atomic uint64_t tx_rings;
	/* The guest's address, 48 bits, to be announced; 0: nothing is. */
	_Atomic uint64_t rarp;
	int events; /* eventfd: a ring broke in a worker */
	int timer;
	bool listening; /* the socket is in control_fd's set */
	unsigned int redial_ms;
	unsigned int shut_ms; /* the next time */
	bool shut;	      /* nobody is let in */
};

static inline struct vhost_user *vhost_user_of(struct port *p)
{
	return (struct vhost_user *)p; /* port is its first member */
}

/* ---- vhost_user.c ---- */

void vhost_user_state(struct port *p, struct port_state *state);

/* ---- vhost_user_control.c: main thread ---- */

/* What the session has the port do. */
struct vhost_session_hooks vhost_user_hooks(struct vhost_user *v);

/* Have control() called when fd is readable. False: errno says why. */
bool vhost_user_watch(struct vhost_user *v, int fd);

/* Nobody is connected: wait for a front end, or look for one. */
void vhost_user_start(struct vhost_user *v);

/* As port.h has them. */
bool vhost_user_control(struct port *p);
void vhost_user_take_over(struct port *p);

#endif
