/*
 * sync - the switch is kept in step with the domains
 *
 * Two connections, to libvirt and to the switch, each of which may be lost at
 * any time: it is made anew, at growing intervals, and nothing is done while
 * one is missing. Guests go on meanwhile. With both there a round compares what
 * is wanted with what is there (converge.h), after each change on either side.
 * What fails is said once, and tried again.
 *
 * Threads: one, which sleeps in libvirt's event loop.
 */
#ifndef CONTROL_LIBVIRT_SYNC_H
#define CONTROL_LIBVIRT_SYNC_H

#include <stdbool.h>

struct sync_options {
	const char *uri;    /* libvirt's; NULL: its default */
	const char *socket; /* the switch's; NULL: the default */
	const char *owner;  /* of sockets; NULL: the switch's own user */
	bool dry_run;	    /* say what would be done, to stdout; one round */
	bool once;	    /* one round */
};

/* What a program exits with. */
enum sync_status {
	SYNC_DONE = 0,
	SYNC_REFUSED = 1,     /* something couldn't be done */
	SYNC_USAGE = 2,	      /* not ours: the program's */
	SYNC_UNREACHABLE = 3, /* libvirt or the switch */
};

/* One round, or rounds for ever. Returns an enum sync_status. */
int sync_run(const struct sync_options *options);

#endif
