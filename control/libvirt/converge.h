/*
 * converge - what to do so that the switch has the ports that it should
 *
 * Plain data in, plain data out: the wanted ports and the actual ones make a
 * list of actions. Ports that aren't ours are never touched. Those that are
 * keep going as far as can be: what can be changed while a guest runs is
 * (port.set), and a port for the right device that has another name keeps it,
 * for its guest wouldn't survive a new one unharmed. Done twice, the second
 * time there is nothing to do.
 *
 * Ownership: plans own their actions, lists of ports their ports. Threads: any,
 * no shared state.
 */
#ifndef CONTROL_LIBVIRT_CONVERGE_H
#define CONTROL_LIBVIRT_CONVERGE_H

#include "control/libvirt/wanted.h"

/* A port of ours that the switch has. */
struct actual_port {
	char name[WANTED_NAME_MAX];
	json_t *params; /* as they were given: those of port.attach */
};

/* All zero: an empty list. */
struct actual {
	struct actual_port *port;
	size_t n;
};

enum action_kind { ACTION_DETACH, ACTION_SET, ACTION_ATTACH };

struct action {
	enum action_kind kind;
	char name[WANTED_NAME_MAX];
	json_t *params; /* of the call, without the name; detach: NULL */
};

/* All zero: nothing to do. In the order in which it is to be done. */
struct plan {
	struct action *action;
	size_t n;
};

/* Append a port; `params` is stolen. Returns 0 or -ENOMEM. */
int actual_add(struct actual *a, const char *name, json_t *params)
	__attribute__((warn_unused_result));

/* Free what the list owns; it is empty then. */
void actual_clear(struct actual *a);

/*
 * Make the plan, which is empty before. `complete`: `w` has every port that is
 * wanted, so that what is missing there can go; else nothing is detached for
 * that reason. Returns 0 or -ENOMEM.
 */
int converge(const struct wanted *w, const struct actual *a, bool complete,
	     struct plan *plan) __attribute__((warn_unused_result));

/* The action's method: "port.attach". */
const char *action_method(const struct action *action);

/* Free what the plan owns; it is empty then. */
void plan_clear(struct plan *plan);

#endif
