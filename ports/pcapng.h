/*
 * pcapng - the bytes of capture files: pcapng and classic pcap
 *
 * Encoders: each writes one block to memory that the caller has and returns
 * its length. And a walk over what they have written, which finds where a file
 * stops being whole: whoever wrote it may have been killed in the middle of a
 * block. No I/O, no state but the caller's. Byte order is the host's, which
 * both formats allow; time stamps are nanoseconds since 1970 (UTC); the link
 * type is Ethernet.
 *
 * A pcapng file is a section header, then for each interface a description,
 * somewhere before its first packet, then packets; interfaces are numbered
 * from 0 in the order of their descriptions. A classic file is a header and
 * packets, and knows neither interfaces nor directions.
 *
 * Standards: draft-ietf-opsawg-pcapng, draft-ietf-opsawg-pcap. Any thread.
 */
#ifndef PORTS_PCAPNG_H
#define PORTS_PCAPNG_H

#include "ports/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* What the encoders write at most; a packet: this and its bytes. */
#define PCAPNG_SECTION_MAX   64
#define PCAPNG_INTERFACE_MAX 128
#define PCAPNG_PACKET_MAX    48
#define PCAPNG_NAME_MAX	     63 /* bytes of an interface's name, no NUL */
#define PCAPNG_BLOCK_MAX     (PCAPNG_PACKET_MAX + FRAME_LEN_MAX)

/* One packet as both formats want it. */
struct pcapng_packet {
	uint64_t ns;	    /* wall clock */
	uint32_t len;	    /* bytes on the wire */
	uint32_t caplen;    /* bytes at data, at most len */
	uint32_t interface; /* number in this file; pcapng only */
	enum frame_dir dir; /* NONE: not known; pcapng only */
	const uint8_t *data;
};

/* Section Header Block (section 4.1) with shb_userappl. */
uint32_t pcapng_section(uint8_t *to);

/*
 * Interface Description Block (section 4.2) with if_name and if_tsresol 9.
 * name: cut at PCAPNG_NAME_MAX bytes; snaplen: 0 = no limit.
 */
uint32_t pcapng_interface(uint8_t *to, const char *name, uint32_t snaplen);

/* Enhanced Packet Block (section 4.3), with epb_flags where dir is known. */
uint32_t pcapng_packet(uint8_t *to, const struct pcapng_packet *p);

/* File header of classic pcap with nanoseconds; snaplen as above. */
uint32_t pcapng_classic_header(uint8_t *to, uint32_t snaplen);

/* Packet of classic pcap. */
uint32_t pcapng_classic_packet(uint8_t *to, const struct pcapng_packet *p);

/* How far a walk has come. Begins as { .classic = .. }. */
struct pcapng_walk {
	bool classic;
	bool begun;	     /* past the file's header */
	bool packets;	     /* past a packet */
	uint32_t interfaces; /* of the present section */
};

/*
 * Of the n bytes at p, where the walk stands: how many are blocks as the
 * encoders write them, in the host's byte order and as a whole? The walk is
 * behind them then. Where n >= PCAPNG_BLOCK_MAX, 0 says that no such block
 * follows.
 */
uint32_t pcapng_walk_on(struct pcapng_walk *w, const uint8_t *p, uint32_t n);

/* Do these four bytes begin a capture file of either format and order? */
bool pcapng_is_magic(const uint8_t magic[4]);

#endif
