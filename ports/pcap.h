/*
 * pcap - the port type that records what it is sent
 *
 * A mirror's target: frames sent to it are written to a file, pcapng or
 * classic pcap, with the mirrored port's name, direction and nanoseconds.
 * Nothing ever comes in from it. Checksums that were still to be computed are
 * completed in the file; super-frames are written whole, or as their segments
 * where `segment` is set.
 *
 * A pcap port takes every offload and, unless told otherwise, every length.
 * tx takes its own lock, so that mirror copies may come from all workers. It
 * never waits for the disk: a bounded ring lies between (ring.h), and when
 * that is full the frame is dropped as DROP_QUEUE_FULL. For a second after a
 * write error frames are dropped as DROP_IO_ERROR, then it is tried again.
 *
 * Which files it takes, and what happens to existing ones, says capfile.h;
 * how it works inside, pcap_writer.h. Grant: fd[0] is the file, fd[1] its
 * directory. The port's own fd is -1: there is nothing to poll.
 *
 * The directory is the acquire side's. Where that lives in another process,
 * open gets fd[0] only, and for each rotation the writer thread asks the keeper
 * (port.h): renew() shifts the files over there, and the new file comes back.
 * One that fails loses frames until the next try, a second later. Without a
 * keeper the port does the same by itself, through fd[1]. The port's close
 * waits for a keeper that is being asked.
 *
 * A grant that an earlier process has used (`resumed`) is gone on with where
 * that one stopped, by crash or by upgrade: a torn packet at the end is cut off
 * and more packets follow; in pcapng with descriptions of their interfaces, in
 * a FIFO behind a new section header as well. open leaves the file alone: the
 * earlier process may still write and rotate, up to its close, which must come
 * before the first frame is sent here; then a keeper is asked which file is the
 * current one. What had been accepted and not written at a crash is lost: a
 * millisecond's frames, or the ring's where the disk was slow. In a FIFO
 * nothing can be cut off: a reader that gets half a packet finds an error
 * there. A file without a frame since keeps its torn end.
 *
 * A filter (libpcap's language) sees a frame as it will be written: tagged
 * frames need "vlan and ..", and with `segment` it judges segments. Names in it
 * are looked up by open, which waits for that 2 s at most, and not at all in a
 * confined process (pcap_filter.h).
 */
#ifndef PORTS_PCAP_H
#define PORTS_PCAP_H

#include "ports/port.h"

struct pcap_port_stats {
	uint64_t written;  /* frames in the file, whole or as segments */
	uint64_t filtered; /* frames that the filter didn't want */
	uint64_t lost;	   /* frames accepted, but not written: disk full */
	uint64_t packets;  /* records in files: frames or segments */
	uint64_t bytes;	   /* in files, with all headers */
	uint64_t files;	   /* begun or resumed: 1 + rotations */
};

/*
 * The port that has `index` in the switch is called `name` from now on (at
 * most PORT_NAME_MAX - 1 bytes are kept), or, where name is NULL, has gone.
 * Frames sent from now on with this mirror_port are recorded under it; a
 * name that was there before gets its old interface again. Past
 * PCAP_NAMES_MAX names, and for indexes without a name, that is "switch".
 *
 * p must be of this type. Main thread. Returns 0, -ENOMEM or -ENOSPC.
 */
int pcap_port_name(struct port *p, uint16_t index, const char *name);

/*
 * The counters, each a moment old at most. What tx has accepted is written +
 * filtered + lost + what is still in the ring. p must be of this type; any
 * thread, between open and close.
 */
void pcap_port_stats(const struct port *p, struct pcap_port_stats *stats);

#endif
