/*
 * slirp_config - what the parameters of a `slirp` port mean
 *
 * Texts become addresses, once for whoever checks them (portconf, which says
 * what is wrong with them) and once for the program that goes by them
 * (switchd-slirp, which gets the same texts on its command line). The network
 * that the guests see is laid out as QEMU's own:
 *
 *	.2	the gateway, and with `loopback` the host's 127.0.0.1
 *	.3	the name server
 *	.15	the first address that DHCP gives; 16 of them
 *
 * and in IPv6 PREFIX::2 and PREFIX::3; guests make their own addresses there.
 *
 * Threads: any, no shared state. Nothing here allocates.
 */
#ifndef PORTS_SLIRP_CONFIG_H
#define PORTS_SLIRP_CONFIG_H

#include "ports/port.h"

#include <netinet/in.h>

#define SLIRP_IPV4 "10.0.2.0/24" /* where none is given */
#define SLIRP_IPV6 "fd00::/64"

#define SLIRP_MTU_DEFAULT  1500
#define SLIRP_MTU_MIN	   1280	 /* RFC 8200 section 5 */
#define SLIRP_MTU_MAX	   65520 /* libslirp's IF_MTU_MAX - 1 */
#define SLIRP_FORWARDS_MAX 16

/* Between two of the same family. */
union slirp_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct slirp_forward {
	bool udp;
	union slirp_address host, guest;
};

struct slirp_settings {
	bool ipv4, ipv6;
	struct in_addr network, mask, gateway, nameserver, dhcp;
	struct in6_addr prefix, gateway6, nameserver6;
	uint8_t prefix_len; /* bits */
	uint32_t mtu;
	unsigned int forwards;
	struct slirp_forward forward[SLIRP_FORWARDS_MAX];
};

/*
 * mtu: as port_request has it, 0 where none is given. *p ends within its
 * arrays. Returns 0, or -EINVAL with *err: reason bad-value, or out-of-range
 * for the MTU, and the parameter's name.
 */
int slirp_settings_parse(const struct slirp_params *p, uint32_t mtu,
			 struct slirp_settings *s, struct error *err)
	__attribute__((warn_unused_result));

/* How long a socket address is. */
socklen_t slirp_address_len(const union slirp_address *a);

#endif
