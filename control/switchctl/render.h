/*
 * render - results for people
 *
 * One renderer for all methods: an array of objects is a table, a scalar a
 * `key: value` line, a nested object an indented block. Text that comes from
 * guests is made harmless: control characters never reach the terminal.
 * Threads: any.
 */
#ifndef CONTROL_SWITCHCTL_RENDER_H
#define CONTROL_SWITCHCTL_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Write `result` to `out`. Nothing is written for null and empty results.
 * The members `next` that are null are left out.
 *
 * colour  headers in bold (ECMA-48)
 */
void render_result(FILE *out, const json_t *result, bool colour);

/* One line for a notification: the topic, then key=value. */
void render_event(FILE *out, const json_t *notification);

/* Write text with control characters as \xNN. */
void render_text(FILE *out, const char *text);

#endif
