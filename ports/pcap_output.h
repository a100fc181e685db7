/*
 * pcap_output - from packets to a capture's files: begun, numbered, rotated,
 * tried again after errors, resumed
 *
 * The half of pcap_writer that knows files. Packets are encoded into capfile's
 * buffer; a flush writes it as a whole, or forgets what was in it. So there is
 * always a state that the file is in (begun_written, nnumbers_written) beside
 * the one that the buffer leads to.
 *
 * Interfaces: the caller numbers names for the life of the capture; in each
 * file, and in each section of it, they get other numbers, in the order in
 * which their descriptions are needed.
 *
 * A file that an earlier process has written to is not touched before the first
 * packet: until then that process may still be writing its last ones. Then it
 * is read through to its last whole packet (capfile_resume), and goes on behind
 * it; interfaces are described again. (In the same section: Wireshark 4.0 takes
 * the names of a second one's interfaces from the first.) What is in it counts
 * for the rotation. A pcapng stream, of which nothing can be read, goes on with
 * a new section.
 *
 * After a failed write packets are refused for PCAP_RETRY_NS, then it is tried
 * again.
 *
 * Threads: init and fini on the main thread, without the writer thread; the
 * rest on that; broken and the counters from any.
 */
#ifndef PORTS_PCAP_OUTPUT_H
#define PORTS_PCAP_OUTPUT_H

#include "base/counters.h"
#include "ports/capfile.h"
#include "ports/pcapng.h"
#include "ports/port.h"

#define PCAP_NAMES_MAX 4096	     /* names a capture; more are name 0 */
#define PCAP_RETRY_NS  1000000000ull /* after a write error */

struct pcap_output {
	char port[PORT_NAME_MAX]; /* for the log */
	char file_name[PORT_PATH_MAX];
	bool classic;
	uint32_t snaplen;	       /* 0 = all */
	uint64_t rotate_bytes;	       /* 0 = never */
	char *const *names;	       /* by the caller's number; 0 is there */
	_Atomic uint64_t broken_until; /* clock_coarse_ns; 0 = not broken */

	/* The writer thread's. */
	struct capfile file;
	uint16_t *number; /* by name: 1 + its interface in this section, or 0 */
	uint16_t nnumbers, nnumbers_written;
	bool begun, begun_written; /* the file's or the section's header */
	bool resume;		   /* capfile_resume is still to be done */
	bool has_packet;	   /* so the file may be rotated */
	bool failing;
	bool dropped; /* a flush has failed since the last packet */
	uint64_t frames,
		packets; /* in the buffer, complete; frames: caller's */
	counter written, lost, npackets, bytes, files;
};

/*
 * Fill the zeroed *o and begin the file, so that even an empty capture can be
 * read; from->resumed: leave it alone. port: its name; names: PCAP_NAMES_MAX of
 * them, the caller's, who may add to them. stopfd: capfile.h. Borrows names and
 * descriptors until pcap_output_fini. Returns 0 or -errno.
 */
int pcap_output_init(struct pcap_output *o, const char *port,
		     const struct pcap_params *params,
		     const struct capfile_source *from, char *const *names,
		     int stopfd) __attribute__((warn_unused_result));

/* What is still in the buffer is lost. */
void pcap_output_fini(struct pcap_output *o);

/* Is it still too early to try again? */
bool pcap_output_broken(struct pcap_output *o);

/*
 * Put a packet into the buffer; names[name] is its interface's, which
 * pkt->interface is set to. pkt->caplen is cut at the snaplen. o->dropped says
 * afterwards whether packets before it have been lost on the way. Returns 0, or
 * -errno: it's lost.
 */
int pcap_output_packet(struct pcap_output *o, uint16_t name,
		       struct pcapng_packet *pkt);

/* Write the buffer; o->frames are written then, or lost. Returns 0 or
 * -errno. */
int pcap_output_flush(struct pcap_output *o);

#endif
