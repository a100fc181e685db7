/*
 * complete - what may come next on the command line
 *
 * The shells' scripts know nothing: they call `switchctl __complete WORDS...`
 * and offer the lines that it prints. Objects, verbs, keys and words of an
 * enumeration come from the daemon's document; live names (ports, profiles)
 * by a call that the parameter's x-completion names. Threads: any.
 */
#ifndef CONTROL_SWITCHCTL_COMPLETE_H
#define CONTROL_SWITCHCTL_COMPLETE_H

#include <jansson.h>
#include <stdio.h>

/*
 * Returns the result of a method called without parameters as a new
 * reference, or NULL.
 */
typedef json_t *complete_call_fn(const char *method, void *arg);

/*
 * Write the candidates for the last of n words, one a line; those that end
 * with '=' want a value behind them. `words` begin after the options; the
 * last may be empty. `call` may be NULL: then there are no live names.
 */
void complete_write(FILE *out, const json_t *doc, int n,
		    const char *const *words, complete_call_fn *call,
		    void *arg);

/* The script for "bash" or "zsh", or NULL. */
const char *complete_script(const char *shell);

#endif
