/*
 * nat - libslirp between a socket of frames and the outside
 *
 * One thread, one loop: poll() over the socket of frames and all sockets that
 * libslirp has to the outside. Frames for the guests are gathered, and sent
 * when a round is over: frames.h.
 */
#ifndef PORTS_SLIRP_NAT_H
#define PORTS_SLIRP_NAT_H

#include "ports/slirp_config.h"

struct nat;

/*
 * fd: the socket of frames, borrowed. Listens where s->forward says. Returns
 * the NAT, or NULL with *err: in-use, not-permitted, bad-value (hostfwd),
 * no-memory.
 */
struct nat *nat_new(const struct slirp_params *p,
		    const struct slirp_settings *s, int fd, struct error *err);

/* Until the other end of the socket is closed (0) or something fails (-errno).
 */
int nat_run(struct nat *n);

void nat_free(struct nat *n);

#endif
