/*
 * help - what the daemon's document says, for people
 *
 * Threads: any.
 */
#ifndef CONTROL_SWITCHCTL_HELP_H
#define CONTROL_SWITCHCTL_HELP_H

#include <jansson.h>
#include <stdio.h>

/*
 * Write the help on everything (object NULL), on an object (verb NULL) or on
 * a method. Returns 0, or -ENOENT where there is no such thing: then nothing
 * was written.
 */
int help_write(FILE *out, const json_t *doc, const char *object,
	       const char *verb) __attribute__((warn_unused_result));

/* How the program is called; needs no daemon. */
void help_usage(FILE *out);

#endif
