/*
 * listen - sockets that guests connect to, and what they say first
 *
 * Each guest that connects becomes a port of its own (switchd/listener.h). Here
 * is what that takes of each *kind* of listener (enum listen_kind):
 *
 *     stream     a path or a TCP address; the connection is the port
 *     seqpacket  a path; the same
 *     vde        a folder, in which the socket is called `ctl`; the guest asks,
 *                and is answered by the address of its port's socket
 *     uml        a path; the same
 *
 * 1. The listening socket is had as the grant of a request of type "listen",
 * which is no port: port_ops_listen has acquire, renew and release only. Grant,
 * by enum listen_grant_fd: the socket and, where it has a name in the file
 * system, what only the half that acquires needs. Sockets are made and removed
 * as those of vhost-user ports are; a VDE folder that isn't there is made, and
 * goes with what is in it that is ours.
 *
 * 2. A connection becomes a request for a port. What its first bytes mean, and
 * what the guest is told, is in struct listen_ops. The request has `given` set;
 * the connection is in the grant on entry of the port type's acquire, alone:
 * nfds is 1, fd[0] the connection, and acquire puts it where the type wants it.
 * Where acquire fails, the connection is still the caller's, and open.
 *
 * All of it is plain data and doesn't wait. What a guest says is hostile.
 *
 * Threads: main.
 */
#ifndef PORTS_LISTEN_H
#define PORTS_LISTEN_H

#include "ports/port.h"

#define LISTEN_REQUEST_MAX 512	 /* bytes that a guest may have to say first */
#define LISTEN_ANSWER_MAX  256	 /* bytes that it is told */
#define LISTEN_CTL	   "ctl" /* the name of a VDE folder's socket */

enum listen_grant_fd {
	LISTEN_GRANT_SOCKET,
	LISTEN_GRANT_RUN_FDS, /* of the half that runs, so many (run_fds) */
	LISTEN_GRANT_FOLDER = LISTEN_GRANT_RUN_FDS, /* O_PATH */
	LISTEN_GRANT_FILE,			    /* O_PATH */
	LISTEN_GRANT_PARENT, /* vde: what the folder is in; O_PATH */
	LISTEN_GRANT_FDS,
};

extern const struct port_ops port_ops_listen;

/* Is the request one that makes sense, without a look at the system? Returns 0
 * or -EINVAL with *err: bad-value, bad-path, not-for-type. */
int listen_check(const struct port_request *rq, struct error *err)
	__attribute__((warn_unused_result));

/* What a guest asks for, from a fresh connection. */
struct listen_offer {
	const struct port_request *listener; /* the request of the listener */
	unsigned int number; /* that the port gets unless it asks for another */
	const uint8_t *data; /* what has come so far, len bytes */
	size_t len;
};

struct listen_wish {
	/* The port type's own member of the union; all other members are the
	 * listener's to fill in. All zero before. */
	struct port_request rq;
	unsigned int number;   /* of the port; as offered before */
	char description[128]; /* for people, printable; "" = none */
};

struct listen_ops {
	const char *name; /* as in listener.add, and the type of its ports */
	enum listen_kind kind;
	int socket_type; /* SOCK_STREAM, SOCK_SEQPACKET */
	bool inet;	 /* ADDR:PORT as well */
	/*
	 * Has it all come? Called with the first bytes, and again with more of
	 * them behind those. Returns 1: *wish is filled in; 0: there is more to
	 * come, and less than LISTEN_REQUEST_MAX in all; -errno with *err: it
	 * is nothing that we know. NULL: the guest says nothing, each
	 * connection is a port at once.
	 */
	int (*parse)(const struct listen_offer *offer, struct listen_wish *wish,
		     struct error *err);
	/*
	 * What the guest is told once its port is there (rq, grant: as acquire
	 * has left them): into buf, of LISTEN_ANSWER_MAX bytes. Returns how
	 * many. NULL: nothing.
	 */
	size_t (*answer)(const struct port_request *rq,
			 const struct port_grant *grant, uint8_t *buf);
};

/* By name ("vde") or kind; NULL where there is none. */
const struct listen_ops *listen_ops_find(const char *name);
const struct listen_ops *listen_ops_of(uint32_t kind);

/* The names of all kinds, NULL-terminated. */
extern const char *const listen_kinds[];

/*
 * Are these n descriptors (borrowed, whoever sent them) what a port of this
 * type is given? One connected socket of the right kind.
 */
bool listen_given_fit(const char *type, const int *fd, unsigned int n);

#endif
