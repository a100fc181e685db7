/*
 * config_internal - what config_apply.c and config_ports.c share; nobody else
 * includes it
 *
 * config_apply.c goes from the running switch to the wanted one as a whole,
 * config_ports.c brings the ports there and back.
 */
#ifndef SWITCHD_CONFIG_INTERNAL_H
#define SWITCHD_CONFIG_INTERNAL_H

#include "switchd/config.h"

/* The switch as it was, but for its ports: those are in the steps. */
struct config_before {
	json_t *profiles, *listeners, *mirrors, *statics;
};

struct config_apply {
	struct sw *sw;
	const json_t *config;
	json_t *wanted; /* the configuration's ports by name */
	json_t *later;	/* indexes into "ports" that have to wait */
	struct config_before before;
	struct config_step *step; /* what was done to ports, in this order */
	size_t nsteps, room;
	struct config_changes changes;
	struct error *err;
};

/* -ENOMEM with a->err. */
int config_no_memory(struct config_apply *a);

/* What the configuration says of the port, borrowed; NULL: nothing. */
const json_t *config_wanted_port(const struct config_apply *a,
				 const struct switch_port *p);

/* The steps, in this order. Each returns 0, or -errno with a->err and its path;
 * what it has done until then is on the list of config_ports_undo(). */

/* Detach what isn't wanted any more, or wants another device. */
int config_ports_detach(struct config_apply *a)
	__attribute__((warn_unused_result));
/* Attach or change those that the configuration has. */
int config_ports_bring(struct config_apply *a)
	__attribute__((warn_unused_result));
/* One of a listener, if that is the configuration's: as that says now. */
int config_ports_given(struct config_apply *a, struct switch_port *p)
	__attribute__((warn_unused_result));

/* All of that backwards; what can't be brought back is logged. */
void config_ports_undo(struct config_apply *a);
/* At the end, if nothing was undone: ports whose device has vanished are
 * forgotten, or attached where it is back. */
void config_ports_missing(struct config_apply *a);
void config_ports_fini(struct config_apply *a);

#endif
