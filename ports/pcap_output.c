#include "ports/pcap_output.h"

#include "base/clock.h"
#include "base/log.h"
#include "ports/pcap_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool pcap_output_broken(struct pcap_output *o)
{
	uint64_t until =
		atomic_load_explicit(&o->broken_until, memory_order_relaxed);

	return until && clock_coarse_ns() < until;
}

/* The file is what was written last: forget what was only in the buffer. */
static void output_forget(struct pcap_output *o)
{
	if (o->file.bytes == 0) {
		o->begun_written = false;
		o->has_packet = false;
		o->nnumbers_written = 0;
	}
	for (unsigned int i = 0; i < PCAP_NAMES_MAX; i++)
		if (o->number[i] > o->nnumbers_written)
			o->number[i] = 0;
	o->nnumbers = o->nnumbers_written;
	o->begun = o->begun_written;
}

static void output_failed(struct pcap_output *o, int rc)
{
	if (!o->failing)
		log_warning("port",
			    "%s: can't write %s: %s; frames are lost until "
			    "that works again",
			    o->port, o->file_name, strerror(-rc));
	o->failing = true;
	atomic_store_explicit(&o->broken_until,
			      clock_coarse_ns() + PCAP_RETRY_NS,
			      memory_order_relaxed);
}

static void output_works(struct pcap_output *o)
{
	if (!o->failing)
		return;
	log_notice("port", "%s: %s can be written again, %llu frames lost",
		   o->port, o->file_name,
		   (unsigned long long)counter_get(&o->lost));
	o->failing = false;
	atomic_store_explicit(&o->broken_until, 0, memory_order_relaxed);
}

int pcap_output_flush(struct pcap_output *o)
{
	uint32_t used = o->file.used;
	int rc;

	if (!used)
		return 0;
	rc = capfile_flush(&o->file);
	if (rc < 0) {
		o->dropped = true;
		output_forget(o);
		output_failed(o, rc);
		/* Last: who sees it counted finds tx refusing. */
		counter_add(&o->lost, o->frames);
	} else {
		counter_add(&o->bytes, used);
		counter_add(&o->npackets, o->packets);
		counter_add(&o->written, o->frames);
		o->nnumbers_written = o->nnumbers;
		o->begun_written = o->begun;
		output_works(o);
	}
	o->frames = 0;
	o->packets = 0;
	return rc;
}

static void output_interface(struct pcap_output *o, uint16_t name)
{
	struct capfile *cf = &o->file;

	cf->used += pcapng_interface(cf->buf + cf->used, o->names[name],
				     o->snaplen);
	o->number[name] = ++o->nnumbers;
}

/*
 * What a file or section begins with. An interface is always among it: libpcap
 * takes a pcapng file without one for broken.
 */
static void output_begin(struct pcap_output *o)
{
	struct capfile *cf = &o->file;
	uint8_t *to = cf->buf + cf->used;

	o->begun = true;
	if (o->classic) {
		cf->used += pcapng_classic_header(to, o->snaplen);
	} else {
		cf->used += pcapng_section(to);
		output_interface(o, 0);
	}
}

/*
 * Take over what an earlier process has left. Names get interfaces again,
 * numbered behind those that are there: nobody need know what these are.
 */
static int output_resume(struct pcap_output *o)
{
	struct pcapng_walk walk;
	uint64_t cut;
	int rc = capfile_resume(&o->file, o->classic, &walk, &cut);

	if (rc < 0) {
		output_failed(o, rc);
		return rc;
	}
	o->resume = false;
	o->has_packet = walk.packets;
	/* A stream's header has gone long ago, or its reader misses it: that
	 * nobody can know. */
	o->begun = walk.begun || (o->classic && o->file.stream);
	if (walk.interfaces > UINT16_MAX - PCAP_NAMES_MAX)
		o->begun = false; /* after many restarts: count anew */
	o->begun_written = o->begun;
	if (o->begun)
		o->nnumbers = o->nnumbers_written = (uint16_t)walk.interfaces;
	if (cut)
		log_notice("port",
			   "%s: cut off %llu bytes at the end of %s that were "
			   "no whole packets",
			   o->port, (unsigned long long)cut, o->file_name);
	return 0;
}

/* Does a packet of up to `need` bytes still fit into the file? */
static bool rotation_due(const struct pcap_output *o, uint32_t need)
{
	const struct capfile *cf = &o->file;

	if (cf->due)
		return true;
	return o->rotate_bytes && o->has_packet &&
	       cf->bytes + cf->used + need > o->rotate_bytes;
}

static int output_rotate(struct pcap_output *o)
{
	int rc;

	/* What can't be written has been counted; a new file may go better:
	 * the oldest one makes room. */
	(void)pcap_output_flush(o);
	rc = capfile_rotate(&o->file);
	if (rc < 0) {
		output_failed(o, rc);
		return rc;
	}
	output_forget(o);
	counter_add(&o->files, 1);
	return 0;
}

/* Bytes that a packet takes, with all that may have to go before it. */
static uint32_t output_need(const struct pcap_output *o, uint16_t name,
			    uint32_t caplen)
{
	uint32_t need = PCAPNG_PACKET_MAX + caplen;

	if (!o->begun)
		need += PCAPNG_SECTION_MAX + PCAPNG_INTERFACE_MAX;
	if (!o->number[name])
		need += PCAPNG_INTERFACE_MAX;
	return need;
}

int pcap_output_packet(struct pcap_output *o, uint16_t name,
		       struct pcapng_packet *pkt)
{
	struct capfile *cf = &o->file;
	uint32_t need;
	int rc = 0;

	o->dropped = false;
	if (o->failing && pcap_output_broken(o))
		return -EIO;
	if (o->resume)
		rc = output_resume(o);
	if (rc < 0)
		return rc;
	if (o->classic)
		name = 0;
	if (o->snaplen && pkt->caplen > o->snaplen)
		pkt->caplen = o->snaplen;
	need = output_need(o, name, pkt->caplen);
	if (rotation_due(o, need))
		rc = output_rotate(o);
	else if (cf->used + need > CAPFILE_BUFFER)
		rc = pcap_output_flush(o);
	if (rc < 0)
		return rc;
	if (!o->begun)
		output_begin(o);
	if (o->classic) {
		cf->used += pcapng_classic_packet(cf->buf + cf->used, pkt);
	} else {
		if (!o->number[name])
			output_interface(o, name);
		pkt->interface = o->number[name] - 1u;
		cf->used += pcapng_packet(cf->buf + cf->used, pkt);
	}
	o->has_packet = true;
	o->packets++;
	return 0;
}

int pcap_output_init(struct pcap_output *o, const char *port,
		     const struct pcap_params *params,
		     const struct capfile_source *from, char *const *names,
		     int stopfd)
{
	int rc;

	snprintf(o->port, sizeof(o->port), "%s", port);
	snprintf(o->file_name, sizeof(o->file_name), "%s",
		 capfile_name(params->file));
	o->classic = params->classic;
	o->rotate_bytes = params->rotate_bytes;
	o->names = names;
	if (params->snaplen < PCAP_SNAPLEN_MAX)
		o->snaplen = params->snaplen;
	o->number = calloc(PCAP_NAMES_MAX, sizeof(*o->number));
	if (!o->number)
		return -ENOMEM;
	rc = capfile_init(&o->file, from, stopfd);
	if (rc < 0)
		goto out;
	counter_add(&o->files, 1);
	o->resume = from->resumed;
	if (o->resume)
		return 0;
	output_begin(o);
	/* A stream might block; its first bytes are left to the thread. */
	if (!o->file.stream)
		rc = pcap_output_flush(o);
out:
	if (rc < 0)
		pcap_output_fini(o);
	return rc;
}

void pcap_output_fini(struct pcap_output *o)
{
	capfile_fini(&o->file);
	free(o->number);
}
