/*
 * pcap_writer - from frames that workers send to packets in a capture file
 *
 *     worker: tx ──copy──► ring ──writer thread──► filter, segment, checksum,
 *                                                  encode ──► capfile
 *
 * The worker copies and goes on: everything that costs time or can block
 * happens on the writer's own thread. While frames come, the thread looks
 * into the ring once a millisecond, or when a quarter of it is full, and
 * leaves nothing unwritten between two looks; when none come it sleeps. What
 * files look like and what happens to them is pcap_output.h's.
 *
 * Interfaces: a frame is recorded under the name that the mirrored port has
 * when it's sent; a name is described in the file where its first packet is.
 * Names are numbered in the order of their first use, for the life of the
 * writer, so that a record carries a number and a port's new name doesn't
 * change what is still in the ring. Interface 0 is the switch itself.
 *
 * Every frame that put accepted ends up in one of three counters: written,
 * filtered or lost.
 *
 * Threads: put from any worker; new, free and name on the main thread; stats
 * from any.
 */
#ifndef PORTS_PCAP_WRITER_H
#define PORTS_PCAP_WRITER_H

#include "base/error.h"
#include "ports/capfile.h"
#include "ports/pcap.h"
#include "ports/port.h"

#define PCAP_RING_SIZE (4u << 20) /* bytes of frames not yet written */
#define PCAP_NAP_NS    1000000	  /* between two looks into the ring */
#define PCAP_SWITCH    "switch"	  /* where no port is known */

struct pcap_writer;

/*
 * Compile the filter (pcap_filter.h), empty the file and begin it (a resumed
 * one is left alone until the first frame), start the thread. `name` is the
 * port's, for the log. Borrows what *from points to (capfile.h).
 *
 * Returns NULL with *err: bad-filter, no-memory or io-error; only the last
 * has changed the file.
 */
struct pcap_writer *pcap_writer_new(const char *name,
				    const struct pcap_params *params,
				    const struct capfile_source *from,
				    struct error *err);

/* Write what put has accepted (capfile.h says how long it tries), end the
 * thread, free. NULL is fine. */
void pcap_writer_free(struct pcap_writer *w);

/* Wait until what put has accepted is written or lost, no longer than the end
 * would take. Nobody calls put meanwhile. Main thread. */
void pcap_writer_settle(struct pcap_writer *w);

/* As port_ops.tx. */
unsigned int pcap_writer_put(struct pcap_writer *w, struct frame *const *f,
			     unsigned int n, enum drop_reason *why);

/* As pcap_port_name(). */
int pcap_writer_name(struct pcap_writer *w, uint16_t index, const char *name);

/* As pcap_port_stats(). */
void pcap_writer_stats(const struct pcap_writer *w,
		       struct pcap_port_stats *stats);

#endif
