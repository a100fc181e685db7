/*
 * pcap_filter - from libpcap's language to a program, in bounded time
 *
 * A filter may have names in it: of hosts, networks, ports. libpcap looks them
 * up while it compiles, and a name server that doesn't answer holds it up for
 * as long as the resolver is patient (10 s and more). So it compiles on a
 * thread of its own. One that comes back too late finds that nobody waits any
 * more, and frees what it has made; the next filter doesn't wait for it
 * (pcap_compile() may run twice at once since libpcap 1.8).
 *
 * Names are looked up here and never again. In a confined process there is
 * nothing to look them up with: no /etc, and socket() fails. Then libpcap comes
 * back at once with an unknown name, and the message says to write addresses
 * and numbers.
 *
 * Threads: any may call.
 */
#ifndef PORTS_PCAP_FILTER_H
#define PORTS_PCAP_FILTER_H

#include "base/error.h"

#include <pcap/pcap.h>

#define PCAP_FILTER_NS	 2000000000ull /* what the caller waits, at most */
#define PCAP_FILTER_LATE 16	/* that may still be looking for their names */
#define PCAP_SNAPLEN_MAX 262144 /* libpcap's own; longer than any frame */

/*
 * Compile `expression` for Ethernet frames into *program, which the caller
 * gives to pcap_freecode().
 *
 * Returns 0, or -errno with *err: no-memory; bad-filter, path "filter", with
 * libpcap's words, or where that takes longer than PCAP_FILTER_NS
 * (-ETIMEDOUT), or where PCAP_FILTER_LATE others have (-EBUSY).
 */
int pcap_filter_compile(const char *expression, struct bpf_program *program,
			struct error *err) __attribute__((warn_unused_result));

#endif
