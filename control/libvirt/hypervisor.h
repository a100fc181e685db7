/*
 * hypervisor - a connection to libvirt, and what its domains want
 *
 * Events only note which domains may have changed: nothing is asked, and
 * libvirt kept waiting, from within a callback. hypervisor_read() asks later,
 * and only for those; what it has learned of the others it keeps. After a
 * connection is made, and where hypervisor_doubt() says so (not all changes
 * have events), it asks for all. hypervisor_look() sees who runs, which of a
 * domain that waits for the switch no event tells.
 *
 * hypervisor_events() must have been called before everything else. All that
 * waits for something is in virEventRunDefaultImpl(), but for libvirt's own
 * calls, which wait for their answer; keepalive ends those that get none.
 *
 * Ownership: the caller owns the hypervisor. Threads: one.
 */
#ifndef CONTROL_LIBVIRT_HYPERVISOR_H
#define CONTROL_LIBVIRT_HYPERVISOR_H

#include "base/error.h"
#include "control/libvirt/wanted.h"

struct hypervisor;

/* Have libvirt's own event loop be the process's. Once. Returns 0 or -EIO. */
int hypervisor_events(void) __attribute__((warn_unused_result));

/*
 * uri    where to connect to; NULL: libvirt's default. Lives on.
 * owner  of the sockets that the switch listens on, or NULL. Lives on.
 * Not connected yet. Returns NULL with errno.
 */
struct hypervisor *hypervisor_new(const char *uri, const char *owner);

/* Disconnects, too. NULL is fine. */
void hypervisor_free(struct hypervisor *hv);

/* Connect, and ask for events. Returns 0, or -errno with *e (reasons no-libvirt
 * and no-events). Takes as long as libvirt needs. */
int hypervisor_connect(struct hypervisor *hv, struct error *e)
	__attribute__((warn_unused_result));

/* Is it connected, as far as is known? Where not, the connection is closed. */
bool hypervisor_connected(struct hypervisor *hv);

/* Has something changed since hypervisor_read()? */
bool hypervisor_changed(const struct hypervisor *hv);

/* Assume that everything has. */
void hypervisor_doubt(struct hypervisor *hv);

/* Note domains that were started or have ended since their XML was read.
 * Nothing happens where libvirt doesn't say. */
void hypervisor_look(struct hypervisor *hv);

/* With what the descriptions of our ports begin: "libvirt URI". It lives as
 * long as the connection. */
const char *hypervisor_marker(const struct hypervisor *hv);

/*
 * Append the ports that all domains want. *complete: nothing could be missing;
 * false where the XML of a domain couldn't be read (it is logged, and the next
 * call tries again). Returns 0, or -errno with *e: disconnected, or no memory.
 */
int hypervisor_read(struct hypervisor *hv, struct wanted *w, bool *complete,
		    struct error *e) __attribute__((warn_unused_result));

#endif
