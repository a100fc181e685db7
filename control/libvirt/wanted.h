/*
 * wanted - the ports that a hypervisor's domains need
 *
 * Plain data, made of domains' XML (domain_xml.h) and compared with what the
 * switch has (converge.h). A port has the parameters of port.attach, as JSON
 * and without the name; or, where a domain asks for what can't be, a problem
 * in words instead: such a port is neither attached nor, where it is there,
 * touched.
 *
 * Names are DOMAIN/ALIAS in the switch's alphabet: letters, digits and
 * "._-", others become '_'. A domain's name that was changed for it, or cut,
 * has
 * ':' and eight digits of its UUID behind it, which no name that is taken as it
 * is has; so two domains don't come to one name by accident. Who brings it
 * about on purpose has a port less: the second one of a name is a problem.
 *
 * Ownership: a list owns its ports, and they their parameters. Threads: any,
 * no shared state.
 */
#ifndef CONTROL_LIBVIRT_WANTED_H
#define CONTROL_LIBVIRT_WANTED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define WANTED_NAME_MAX 64 /* bytes with the NUL, as the switch has it */

struct wanted_port {
	char name[WANTED_NAME_MAX];
	json_t *params; /* NULL: there is a problem */
	char problem[160];
};

/* All zero: an empty list. */
struct wanted {
	struct wanted_port *port;
	size_t n;
};

/* "DOMAIN/ALIAS" of a domain's name and UUID, and of an interface's alias (or,
 * where that is too long or has other letters, its MAC address). */
void wanted_name(char name[WANTED_NAME_MAX], const char *domain,
		 const char *uuid, const char *alias, const char *mac);

/*
 * Append a port. `params` is stolen, also on failure; NULL: `problem` says what
 * is wrong. Where another one for the same device is in the list nothing is
 * appended; where another one has the name, what is appended is a problem.
 * Returns 0 or -ENOMEM.
 */
int wanted_add(struct wanted *w, const char *name, json_t *params,
	       const char *problem) __attribute__((warn_unused_result));

/* The same with each port of another list, which stays as it is; with `spare`
 * only those whose names nobody has. */
int wanted_add_all(struct wanted *w, const struct wanted *more, bool spare)
	__attribute__((warn_unused_result));

/* The first port of that name, or NULL. */
const struct wanted_port *wanted_find(const struct wanted *w, const char *name);

/* Free what the list owns; it is empty then. */
void wanted_clear(struct wanted *w);

/* Are both of one type and for one device or socket? */
bool wanted_same_device(const json_t *params, const json_t *others);

#endif
