/*
 * vde - ports of VDE's and uml_switch's clients
 *
 * A client connects to a listener (ports/listen.h), of kind `vde` or `uml`, and
 * asks (ports/vde_request.h). Its port has two sockets:
 *
 *	data     a datagram socket of ours, connected to the client's: one
 *		 frame a datagram
 *	control  the connection by which it has asked, for as long as it
 *		 lives: its end is the port's
 *
 *	vde_request.c   what is asked for, and the answer
 *	vde_acquire.c   the data socket. May need privilege
 *	vde.c           the port; what the listener needs
 *
 * The two types differ in where our data socket is. Of `vde` it is a file of
 * the listener's folder, called as the port's number, "003", which belongs to
 * the client's user. Of `uml` its name is an abstract one, as a guest's own is
 * in that protocol.
 *
 * Whose socket? A client names the socket that it wants its frames at, and who
 * connects to it may have more rights than the client. So that nobody has
 * frames sent to others' sockets, a path is taken only where all of this holds:
 *
 *	- the file belongs to the client's user, as the kernel tells of the
 *	  control connection. What is looked at is what is connected to, and no
 *	  symbolic link
 *	- it is in the listener's folder, or where libvdeplug makes it who may
 *	  not write there: /run, /var/run, /tmp, /var/tmp, and not deeper. So we
 *	  are not led into file systems that others serve
 *
 * An abstract name belongs to nobody and can be sent to by everybody.
 *
 * A client may unlink its file as soon as it has its answer, so it is looked up
 * once. From then on our socket takes datagrams from nobody else (unix(7)), and
 * a client that dies isn't found again.
 *
 * Threads: as port.h has them.
 */
#ifndef PORTS_VDE_H
#define PORTS_VDE_H

#include "ports/listen.h"

/* Bytes of a listener's folder: "/4096.8" in it fits a socket's address. */
#define VDE_FOLDER_MAX 100

enum vde_grant_fd {
	VDE_GRANT_DATA,
	VDE_GRANT_CONTROL,
	VDE_GRANT_RUN_FDS, /* of the half that runs, so many (run_fds) */
	/* Of `vde` only: */
	VDE_GRANT_FOLDER = VDE_GRANT_RUN_FDS, /* O_PATH */
	VDE_GRANT_FILE,			      /* O_PATH */
	VDE_GRANT_FDS,
};

/*
 * The half that acquires, as port.h has it; the connection is given (listen.h).
 * Reasons: bad-address (the client's: not its own, not there, not in a folder
 * that we'd look into), in-use, bad-value, bad-request (no connection of a
 * client), and those of unix_socket.h. Nothing waits for the client. The MTU is
 * 1500 where none is asked for.
 */
int vde_acquire(const struct port_request *rq, struct port_grant *grant,
		struct error *err);
int vde_adjust(const struct port_request *rq, struct port_grant *grant,
	       struct error *err);
void vde_release(const struct port_request *rq, struct port_grant *grant);

/* For struct listen_ops, as listen.h has them. */
int vde_parse(const struct listen_offer *offer, struct listen_wish *wish,
	      struct error *err);
size_t vde_answer(const struct port_request *rq, const struct port_grant *grant,
		  uint8_t *buf);

#endif
