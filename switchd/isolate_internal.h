/*
 * isolate_internal - what isolate.c and isolate_syscalls.c share; of the others
 * only their test includes it
 *
 * ISOLATE_SANITIZED is 1 in builds whose runtime needs more than the program
 * itself (isolate.h says what); everything that it loosens is under it.
 */
#ifndef SWITCHD_ISOLATE_INTERNAL_H
#define SWITCHD_ISOLATE_INTERNAL_H

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ISOLATE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ISOLATE_SANITIZED 1
#endif
#endif
#ifndef ISOLATE_SANITIZED
#define ISOLATE_SANITIZED 0
#endif

/* "isolation: WHAT: reason of errno". Returns -errno. */
int isolate_fail(const char *what, struct error *err)
	__attribute__((warn_unused_result));

/* The third stage: only the calls listed in isolate_syscalls.c from here on. */
int isolate_syscalls(struct error *err) __attribute__((warn_unused_result));

#endif
