/*
 * params - words of the command line become JSON parameters
 *
 * Types come from the method's description: yes and no become booleans, comma
 * lists arrays, JSON text objects. What a value may be is the daemon's to
 * judge; here only what can't be said in JSON at all is an error. Threads:
 * any.
 */
#ifndef CONTROL_SWITCHCTL_PARAMS_H
#define CONTROL_SWITCHCTL_PARAMS_H

#include <jansson.h>

#include "base/error.h"

/*
 * method  description from rpc.discover
 * words   n words: at most one NAME, the others key=value
 * e       filled on failure
 *
 * Returns a new object, or NULL with one of the reasons unknown-parameter,
 * wrong-type, given-twice, no-name (the method takes none).
 */
json_t *params_from_words(const json_t *method, int n, const char *const *words,
			  struct error *e);

#endif
