/*
 * rpc_json - a line from a socket becomes a JSON value, or an error
 *
 * Strict where a lenient parser would let two readers disagree: duplicate
 * keys, NUL bytes, invalid UTF-8 and trailing bytes are errors. Nesting is
 * bounded before the parser runs (jansson's own bound, 2048, is compiled in),
 * so that a hostile line costs no stack. Threads: any.
 */
#ifndef CONTROL_RPC_JSON_H
#define CONTROL_RPC_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Parse `len` bytes at `line` (no newline at the end needed). Any JSON value
 * is taken, of at most max_depth nested arrays and objects. Returns a new
 * reference, or NULL with *e filled: reason `too-deep`, or `parse-error`,
 * where the message says the position in bytes; path is empty.
 */
json_t *rpc_json_parse(const char *line, size_t len, unsigned int max_depth,
		       struct error *e);

/*
 * One line of compact JSON with a newline at its end, from malloc(); NULL
 * when memory is short. The length is stored in *len.
 */
char *rpc_json_line(const json_t *value, size_t *len);

#endif
