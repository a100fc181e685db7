/*
 * vde_request - what clients of VDE switches and of uml_switch ask for
 *
 * A client (vde_plug, QEMU, UML, VirtualBox) connects to the switch's stream
 * socket and writes one request, in the byte order of the host:
 *
 *     0    u32  magic, 0xfeedface
 *     4    u32  version, 3
 *     8    u32  type: the low byte 0 ("new control"), above it the number of
 *               the port, 0 for any
 *     12   sockaddr_un, 110 bytes: the client's own socket for frames
 *     122  description, up to 128 bytes; nothing ends it (VDE)
 *     122  two bytes of padding (UML)
 *
 * and gets the sockaddr_un of the socket that is its port, 110 bytes. What is
 * wrong isn't answered, as vde_switch doesn't: the connection is closed.
 *
 * Nothing says how long a description is. libvdeplug sends the request by one
 * send(), so what comes with the address is the description; what comes later
 * isn't looked at. UML's request ends with what was in memory, and so may its
 * address, behind a name that begins with a NUL: the address is passed to the
 * kernel as it is, all 110 bytes of it.
 *
 * Pure: no I/O. Threads: any.
 */
#ifndef PORTS_VDE_REQUEST_H
#define PORTS_VDE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VDE_ADDRESS_LEN	    110 /* sizeof(struct sockaddr_un) */
#define VDE_DESCRIPTION_MAX 128 /* bytes, without a NUL */
#define VDE_REQUEST_MIN	    122 /* libvdeplug's, without a description */
#define VDE_REQUEST_MAX	    (VDE_REQUEST_MIN + VDE_DESCRIPTION_MAX)
#define VDE_REQUEST_UML	    124 /* UML's eth0=daemon, always */
#define VDE_NUMBER_MAX	    UINT16_MAX

struct vde_request {
	uint8_t peer[VDE_ADDRESS_LEN]; /* a sockaddr_un, as it came */
	uint16_t number;	       /* of the port; 0: any */
	/* Printable ASCII; what isn't is a '?'. */
	char description[VDE_DESCRIPTION_MAX + 1];
};

/*
 * Look at the first `len` bytes (0 to VDE_REQUEST_MAX; what is behind those
 * needn't be given) that a client has sent.
 *
 * uml   only requests of VDE_REQUEST_UML bytes are taken
 *
 * Returns 1: *rq is the request; 0: there is more to come; -EPROTO: it is none,
 * and *why says in some words what is wrong with it. Refuses as soon as it can
 * know.
 */
int vde_request_parse(const uint8_t *buf, size_t len, bool uml,
		      struct vde_request *rq, const char **why)
	__attribute__((warn_unused_result));

/* Is it a name that isn't in the file system? */
bool vde_address_abstract(const uint8_t address[VDE_ADDRESS_LEN]);

/*
 * The path in an address of the file system, with a NUL at its end, into
 * path[VDE_ADDRESS_LEN].
 */
void vde_address_path(const uint8_t address[VDE_ADDRESS_LEN],
		      char path[VDE_ADDRESS_LEN]);

/*
 * The address of `name` (n bytes, at most VDE_ADDRESS_LEN - 2; with a NUL in
 * front where it isn't in the file system), which is also the answer to a
 * request. Returns 0 or -ENAMETOOLONG.
 */
int vde_address_make(uint8_t address[VDE_ADDRESS_LEN], const void *name,
		     size_t n) __attribute__((warn_unused_result));

#endif
