/*
 * headers - where a frame's headers lie
 *
 * Walks Ethernet, up to two VLAN tags (0x8100, 0x88a8), IPv4 with options or
 * IPv6 with extension headers, TCP and UDP. The bytes are hostile: nothing is
 * read that isn't inside them, and an offset is given only where the whole
 * header it belongs to was there.
 *
 * Threads: no state.
 */
#ifndef PORTS_HEADERS_H
#define PORTS_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a header, without options and extension headers where it has any:
 * RFC 791 3.1, RFC 8200 3, RFC 9293 3.1, RFC 768. */
#define IPV4_HEADER_MIN 20
#define IPV6_HEADER_LEN 40
#define TCP_HEADER_MIN	20
#define UDP_HEADER_LEN	8

/* Offsets count from the first byte of the Ethernet header; 0 = not there. */
struct headers {
	uint32_t l3;	    /* behind Ethernet and tags */
	uint32_t l4;	    /* behind IP and its extension headers */
	uint32_t end;	    /* behind TCP or UDP, options included */
	uint16_t ethertype; /* of what lies at l3; host byte order */
	uint8_t proto;	    /* IP protocol number of what lies at l4 */
	bool fragment;	    /* of an IP datagram, the first one too */
};

/*
 * Fill *h for the `n` bytes at p (n may be 0). Goes as far as it can: of a
 * fragment `l4` is known but never `end`; an IPv6 Fragment, AH or ESP header
 * ends the walk and is `proto`.
 */
void headers_parse(const uint8_t *p, uint32_t n, struct headers *h);

#endif
