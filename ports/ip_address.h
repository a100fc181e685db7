/*
 * ip_address - an IP address with a port, as text and for the kernel
 *
 * "192.0.2.1:4444" or "[2001:db8::1]:4444": numbers only, as nobody is asked
 * for names. Threads: any.
 */
#ifndef PORTS_IP_ADDRESS_H
#define PORTS_IP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define IP_ADDRESS_STRLEN 56 /* with brackets, port and NUL */

struct ip_address {
	union {
		struct sockaddr sa; /* sa_family says which */
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* Returns 0, or -EINVAL: it isn't one, or its port isn't from 1 to 65535. */
int ip_address_parse(const char *text, struct ip_address *a)
	__attribute__((warn_unused_result));

/* The one way to write it, into buf of IP_ADDRESS_STRLEN. Returns buf. */
const char *ip_address_format(const struct ip_address *a, char *buf);

uint16_t ip_address_port(const struct ip_address *a);

/* Is it that of one host: no multicast, no broadcast, not "any"? */
bool ip_address_is_host(const struct ip_address *a);

#endif
