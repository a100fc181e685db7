/*
 * error - what went wrong, said once, where it was found
 *
 * Control errors are made at the place that knows the cause and travel
 * unchanged to whoever asked: the JSON-RPC reply, the configuration loader,
 * the log. A struct error is plain data (no pointers), so that it can also
 * cross a process border.
 *
 * Ownership: the caller owns the struct, usually on its stack. Threads: a
 * struct error belongs to one thread; there is no shared state.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
	int err;	   /* errno value, positive; 0 = no error */
	char reason[32];   /* stable word for programs: "port-exists" */
	char path[96];	   /* offending parameter: "vlan", "ports[3].ifname" */
	char message[256]; /* for people: what is wrong and what to do */
};

/*
 * Fill *e and return -err, so that a caller can write
 * `return error_set(e, EEXIST, "port-exists", "name", "...")`.
 *
 * e       may be NULL: then only the value is returned
 * err     errno value, positive
 * reason  stable word, lower case with dashes, at most 31 characters
 * path    JSON path of the offending parameter; NULL where there is none
 * fmt     message for people: one sentence, no newline
 */
int error_set(struct error *e, int err, const char *reason, const char *path,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/*
 * Put `prefix` in front of e->path: "vlan" found in element 3 of "ports"
 * becomes "ports[3].vlan". A '.' is added where the old path is not empty
 * and does not begin with '['. Nothing happens where e is NULL.
 */
void error_prefix(struct error *e, const char *prefix);

#endif
