/*
 * portconf_types - what the types' own parameters mean
 *
 * Which type takes which parameter, how they become a request for the type's
 * acquire half, and whether two requests are for the same device. portconf.h
 * has what all types have in common. A new type: a row of each table in the
 * source. Threads: any, no shared state.
 */
#ifndef SWITCHD_PORTCONF_TYPES_H
#define SWITCHD_PORTCONF_TYPES_H

#include "ports/port.h"

#include <jansson.h>

/* Have all parameters a meaning for this type? NULL: for all types, as a
 * listener's ports need it. Returns 0, or -EINVAL with *err: not-for-type. */
int portconf_type_params(const json_t *p, const char *type, struct error *err)
	__attribute__((warn_unused_result));

/* The type's own parameters (checked by their table) into rq, whose type is
 * set. Returns 0 or -errno with *err. */
int portconf_type_parse(const json_t *p, struct port_request *rq,
			struct error *err) __attribute__((warn_unused_result));

/* The parameter socket-mode, also a listener's, into *mode; 0 where it isn't
 * given. Returns 0, or -EINVAL with *err: bad-value. */
int portconf_socket_mode(const json_t *p, uint32_t *mode, struct error *err)
	__attribute__((warn_unused_result));

/* Are both for the same device, so that a port can go from one to the other
 * without a new one? */
bool portconf_type_same(const struct port_request *x,
			const struct port_request *y);

#endif
