/*
 * isolate_internal - what isolate.c and isolate_syscalls.c share; of the others
 * only their test includes it
 *
 * ISOLATION_SANITIZED is 1 in builds whose runtime needs more than the program
 * itself (isolate.h says what); everything that it loosens is under it.
 */
#ifndef SWITCHD_ISOLATE_INTERNAL_H
#define SWITCHD_ISOLATE_INTERNAL_H

#include "base/isolation.h"

/* The third stage: only the calls listed in isolate_syscalls.c from here on. */
int isolate_syscalls(struct error *err) __attribute__((warn_unused_result));

#endif
