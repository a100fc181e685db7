/*
 * rpc_method - the table that says which methods there are
 *
 * A program that serves JSON-RPC writes one static table of its methods and
 * their parameters. Everything else comes from it: the checks before a
 * handler runs, `rpc.discover` (an OpenRPC document), and through that the
 * command line's conversion of key=value, its help and its completions. So
 * none of them can drift from the others.
 *
 *	static const struct rpc_param attach_params[] = {
 *		{.name = "name", .type = RPC_STRING, .required = true,
 *		 .max_len = 32, .summary = "name of the new port"},
 *		{.name = "vlan", .type = RPC_INT, .min = 1, .max = 4094,
 *		 .summary = "access VLAN"},
 *		{0},
 *	};
 *	static const struct rpc_method methods[] = {
 *		{.name = "port.attach", .summary = "attach a port",
 *		 .positional = "name", .params = attach_params,
 *		 .result = "the port", .handler = attach},
 *		{0},
 *	};
 *
 * Ownership: tables are static and constant; nothing here is allocated
 * except the documents that rpc_discover() returns. Threads: any, there is
 * no shared state.
 */
#ifndef CONTROL_RPC_METHOD_H
#define CONTROL_RPC_METHOD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct rpc_call;

enum rpc_type {
	RPC_STRING,
	RPC_INT,     /* a JSON integer: 10 is one, 10.0 and "10" aren't */
	RPC_BOOL,    /* true or false; the command line says yes and no, too */
	RPC_STRINGS, /* an array of strings; a comma list on the command line */
	RPC_OBJECT,  /* any JSON object; the handler checks what is in it */
	RPC_ENUM,    /* a string, one of `values` */
};

/* One parameter. A list of them ends with a NULL name. */
struct rpc_param {
	const char *name;
	enum rpc_type type;
	bool required;
	int64_t min, max;	   /* RPC_INT: inclusive; both 0 = any value.
				    * RPC_STRINGS: max = most elements, 0 = any
				    */
	const char *const *values; /* RPC_ENUM: the words, NULL at the end */
	size_t max_len;		   /* bytes in a string or in each string of an
				    * array; 0 = what fits into a line
				    */
	const char *summary;	   /* one line, no full stop */
	const char *completion;	   /* where live values come from:
				    * "port.list:ports.name" is the field
				    * `name` of the objects in the array
				    * `ports` that port.list returns; or NULL
				    */
};

/* One method. A table of them ends with a NULL name. */
struct rpc_method {
	const char *name;	/* "object.verb" */
	const char *summary;	/* one line, no full stop */
	const char *positional; /* parameter that the CLI's NAME fills; or NULL
				 */
	const struct rpc_param *params; /* NULL = takes none */
	const char *result;		/* one line on what it returns */
	bool nulls;	    /* null passes for what isn't required: it takes a
			     * parameter back
			     */
	bool open_params;   /* more parameters than the table's are allowed, and
			     * checked by the handler: avoid it
			     */
	const char *access; /* a word for the program's own guard, such as
			     * "viewer", see rpc_guard_fn; rpc.discover shows
			     * it as x-access; or NULL
			     */

	/*
	 * Run the method. `params` is an object that has passed the checks
	 * (an empty one where the client sent none); it is borrowed: take a
	 * reference to keep it. The handler must answer `call` exactly once,
	 * now or later, see rpc_server.h. `ctx` is the server's.
	 */
	void (*handler)(struct rpc_call *call, json_t *params, void *ctx);
};

/*
 * Check `object` against a parameter list: unknown keys, types, ranges,
 * lengths, enum words, and what is missing.
 *
 * params   the list; NULL is an empty one
 * object   must be a JSON object, anything else is `wrong-type` (no path)
 * e        filled on failure, may be NULL; the path is the parameter's name,
 *	    "trunk[2]" for an element of an array
 *
 * Returns 0 or -EINVAL, reason one of: unknown-parameter, wrong-type,
 * out-of-range, missing-parameter, too-long, bad-value.
 */
int rpc_params_check(const struct rpc_param *params, const json_t *object,
		     struct error *e) __attribute__((warn_unused_result));

/*
 * The same for a part of a configuration or an update: what is `required`
 * may be missing, and with `open` set unknown keys pass as well.
 */
int rpc_params_check_some(const struct rpc_param *params, const json_t *object,
			  bool open, struct error *e)
	__attribute__((warn_unused_result));

/* The same for a method's parameters, as the server does it (open_params). */
int rpc_method_check(const struct rpc_method *method, const json_t *object,
		     struct error *e) __attribute__((warn_unused_result));

/* The parameter of that name, or NULL. `params` may be NULL. */
const struct rpc_param *rpc_param_find(const struct rpc_param *params,
				       const char *name);

/* The method of that name, or NULL. */
const struct rpc_method *rpc_method_find(const struct rpc_method *table,
					 const char *name);

/*
 * Values out of checked params; `otherwise` where the key isn't there (or of
 * another type). A string is borrowed from `params`.
 */
const char *rpc_get_string(const json_t *params, const char *key,
			   const char *otherwise);
int64_t rpc_get_int(const json_t *params, const char *key, int64_t otherwise);
bool rpc_get_bool(const json_t *params, const char *key, bool otherwise);

/*
 * The OpenRPC 1.2.6 description of a table. Each parameter is a content
 * descriptor with a JSON schema; x-positional of a method and x-completion of
 * a parameter are extensions for the command line, x-access of a method tells
 * who may call it. `rpc.discover` itself is added. Returns a new reference,
 * NULL when memory is short.
 */
json_t *rpc_discover(const struct rpc_method *table, const char *title,
		     const char *version);

#endif
