/*
 * listener - a socket that many guests connect to, each for a port of its own
 *
 *     guest ──connect──► listening socket ──accept──► [says what it wants] ──►
 *     port LISTENER.N, with the listener's settings, until the connection ends
 *
 * N is the lowest number from 1 that no port has, or what the guest asks for
 * where its protocol can (vde). So a guest that comes back alone has the name
 * that it had, and what goes by names (mirrors, static addresses) is right
 * again. The ports are never saved; the listener is, as "listeners" of the
 * configuration. Its ports go with it.
 *
 * Bounds, and what happens at them:
 *
 *   max      ports of a listener: who comes then is hung up on (`limit`)
 *   rate     connections a second, as many at once: the others wait in the
 *            socket's backlog, and the kernel lets nobody wait behind that
 *   2 s      for saying what it wants (`timeout`)
 *   16       guests that are just saying it: the one that has taken longest is
 *            hung up on (`crowded`)
 *
 * What it says is checked by the kind (ports/listen.h); what isn't understood
 * is `bad-request`, a number that is taken `number-taken`, and a port that
 * can't be attached `no-port`. Each is counted, and an event, listener.refused,
 * of which there are no more than LISTENER_EVENTS_MAX a second.
 *
 * There is no event loop in here: listeners_fd() is readable when something is
 * to be done, listeners_run() does it and says when time alone will bring
 * something. The clock is the caller's.
 *
 * Ownership: the switch (struct sw) owns its listeners. Threads: main.
 */
#ifndef SWITCHD_LISTENER_H
#define SWITCHD_LISTENER_H

#include "ports/listen.h"
#include "switchd/switch.h"

#define LISTENERS_MAX	     64 /* of a switch */
#define LISTENER_PORTS_MAX   4096
#define LISTENER_PORTS	     64 /* where max= isn't given */
#define LISTENER_RATE_MAX    1000
#define LISTENER_RATE	     20 /* where rate= isn't given */
#define LISTENER_PENDING_MAX 16
#define LISTENER_REQUEST_NS  (2000 * 1000 * 1000ull)
#define LISTENER_EVENTS_MAX  10 /* of one listener, a second */

struct listener;
struct listeners;

/* The parameters of a listener, for listener.add and the configuration. */
extern const struct rpc_param listener_params[];

/* ---- Of a switch ---- */

/* For switch_new() and switch_free(); NULL and errno on failure; NULL is fine.
 */
struct listeners *listeners_new(void);
void listeners_free(struct sw *sw);

/* After switch_halt(), for good: the sockets are another process's. */
void listeners_let_go(struct sw *sw);

/* Readable when listeners_run() has something to do; borrowed. */
int listeners_fd(const struct sw *sw);

/*
 * Take guests in, hear what they want, hang up on who takes too long. Returns
 * when (by the same clock) it is to be called again even if the descriptor
 * isn't readable; 0: never. now_ns: monotonic, not 0.
 */
uint64_t listeners_run(struct sw *sw, uint64_t now_ns);

/* ---- One ---- */

/*
 * Check what can be without a switch: params (passed by listener_params; "name"
 * in it is ignored) and profiles (object by name). Returns 0 or -errno with
 * *err: bad-name, bad-value, bad-path, and what portconf_parse_given says.
 */
int listener_check(const char *name, const json_t *params,
		   const json_t *profiles, struct error *err)
	__attribute__((warn_unused_result));

/*
 * Listen. params as above, copied. origin: CONTROL or CONFIG. Returns 0 or
 * -errno with *err: listener-exists, too-many-listeners, address-taken,
 * no-such-worker, what listener_check says, and what the acquire half of
 * "listen" does (ports/listen.h).
 */
int listener_add(struct sw *sw, const char *name, const json_t *params,
		 enum switch_origin origin, struct error *err)
	__attribute__((warn_unused_result));

/* Listen no more; its ports are detached. Returns 0, or -ENOENT with *err. */
int listener_remove(struct sw *sw, const char *name, struct error *err)
	__attribute__((warn_unused_result));

/* The same, but its ports are the caller's affair. */
void listener_close(struct sw *sw, struct listener *l, const char *reason);

/*
 * New parameters for one whose socket stays (listener_same_socket): for guests
 * that come from now on. Returns 0, or -errno with *err and nothing changed.
 */
int listener_change(struct sw *sw, struct listener *l, const json_t *params,
		    struct error *err) __attribute__((warn_unused_result));
bool listener_same_socket(const struct listener *l, const json_t *params);

/* What an earlier process has left, as it wanted "listener/NAME" to be
 * remembered. Returns 0 or -errno with *err. */
int listener_restore(struct sw *sw, const char *name, const json_t *saved,
		     struct error *err) __attribute__((warn_unused_result));

/* NULL: there is none. In order of name: pass NULL, then the last one. */
struct listener *listener_find(const struct sw *sw, const char *name);
struct listener *listener_next(const struct sw *sw,
			       const struct listener *last);

/* Its name; what it was given, without that; what of it is its ports'.
 * Borrowed. */
const char *listener_name(const struct listener *l);
json_t *listener_params_of(const struct listener *l);
json_t *listener_common(const struct listener *l);

/* Is it the configuration's, not one by hand? It is from now on. */
bool listener_is_configured(const struct listener *l);
void listener_configured_set(struct sw *sw, struct listener *l,
			     bool configured);

/* All of them, for listener.list; one, for listener.show (NULL: there is
 * none). New references. */
json_t *listeners_list(const struct sw *sw);
json_t *listener_show(const struct sw *sw, const char *name);

/* ---- All of them (listener_config.c) ---- */

/* As the configuration has them: an array, a new reference. */
json_t *listeners_config(const struct sw *sw);

/* All of them count as configured from now on. */
void listeners_adopt(struct sw *sw);

/* All of them, to be brought back as they were: a new reference (NULL: no
 * memory). Bringing back logs what goes wrong. */
json_t *listeners_save(const struct sw *sw);
void listeners_bring_back(struct sw *sw, const json_t *saved);

/*
 * Two steps to a configuration's list (checked; NULL: an empty one). First
 * listen no more where it isn't wanted, or elsewhere; then listen where it is,
 * and change what has changed. The ports are the caller's. Returns 0, or -errno
 * with *err, its path within the configuration.
 */
void listeners_prune(struct sw *sw, const json_t *list);
int listeners_bring(struct sw *sw, const json_t *list, struct error *err)
	__attribute__((warn_unused_result));

/* Is it in the list; will it stay, its socket as it is, in the first step? */
bool listener_wanted(const struct listener *l, const json_t *list);
bool listener_stays(const struct listener *l, const json_t *list);

/* Have them all remembered. */
void listeners_remember(struct sw *sw);

#endif
