/*
 * listener_internal - what the files listener*.c share; nobody else includes it
 *
 * listener.c has what listeners there are, listener_accept.c takes guests in,
 * listener_config.c brings them to a configuration.
 */
#ifndef SWITCHD_LISTENER_INTERNAL_H
#define SWITCHD_LISTENER_INTERNAL_H

#include "switchd/listener.h"

/* Why a guest isn't let in; words in listener.c. */
enum listener_refusal {
	REFUSED_LIMIT,	 /* there are as many as there may be */
	REFUSED_TIMEOUT, /* it didn't say what it wants in time */
	REFUSED_CROWDED, /* too many were saying so at once */
	REFUSED_REQUEST, /* it said something else */
	REFUSED_NUMBER,	 /* the number that it wants is another's */
	REFUSED_PORT,	 /* there can't be a port */
	REFUSED_GONE,	 /* it hung up itself */
	REFUSED_COUNT,
};

/* A guest that is just saying what it wants. */
struct listener_guest {
	int fd; /* -1: nobody */
	struct switch_peer peer;
	uint64_t since_ns;
	uint32_t len; /* bytes in data */
	uint8_t data[LISTEN_REQUEST_MAX];
};

struct listener {
	char name[PORT_NAME_MAX];
	const struct listen_ops *ops;
	struct port_request rq;
	struct port_grant grant;
	json_t *params; /* as given, without name */
	json_t *common; /* those of them that are its ports' */
	bool configured;
	uint32_t max, rate;
	uint64_t due_ns;    /* the next guest's turn, if all came at `rate` */
	uint64_t paused_ns; /* nobody is let in until then; 0: not paused */
	struct listener_guest guest[LISTENER_PENDING_MAX];
	uint64_t accepted; /* became ports */
	uint64_t refused[REFUSED_COUNT];
	uint64_t second; /* that `told` belongs to */
	uint32_t told;
	uint64_t untold; /* events that weren't sent */
};

struct listeners {
	struct listener *l[LISTENERS_MAX]; /* NULL: free; its slot stays */
	int epoll_fd;
};

/* Which descriptor it was, in the epoll set: a guest's place, or the socket. */
#define LISTENER_SOCKET LISTENER_PENDING_MAX

static inline uint64_t listener_key(unsigned int slot, unsigned int place)
{
	return (uint64_t)slot << 32 | place;
}

/* Wait for guests, or for none. (listener_accept.c) */
int listener_watch(struct sw *sw, struct listener *l, bool on)
	__attribute__((warn_unused_result));

/* Hang up on those that haven't said it all. */
void listener_drop_guests(struct sw *sw, struct listener *l);

/* How many ports it has. */
unsigned int listener_ports(const struct sw *sw, const struct listener *l);

/* Count it, tell it. detail: NULL: nothing to add. */
void listener_refused(struct sw *sw, struct listener *l,
		      enum listener_refusal why, const struct switch_peer *peer,
		      const char *detail, uint64_t now_ns);

/* Have it remembered. */
void listener_remember(struct sw *sw, const struct listener *l);

#endif
