#include "ports/pcap_writer.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "ports/offload.h"
#include "ports/pcap_filter.h"
#include "ports/pcap_output.h"
#include "ports/ring.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INDEXES	    65536 /* of ports: uint16_t */
#define ARENA_SLOTS 4

/* A frame in the ring; its bytes follow. */
struct pcap_record {
	uint64_t ns; /* wall clock */
	struct virtio_net_hdr_v1 vnet;
	uint32_t len; /* of the frame; what follows may be less (snaplen) */
	uint16_t name;
	uint8_t dir; /* enum frame_dir */
};

/* What became of a frame. */
enum outcome { WRITTEN, FILTERED, LOST };

struct pcap_writer {
	struct ring ring;
	char port[PORT_NAME_MAX];
	bool segment, has_filter;
	struct bpf_program filter;

	/* Name 0 is PCAP_SWITCH. Main thread's; a name never changes, so
	 * that who has its number may read it. */
	char **names;
	unsigned int nnames;
	_Atomic uint16_t *name_of; /* by port index */

	pthread_t thread;
	int stopfd;
	_Atomic uint64_t
		settled; /* what is in the file, in ring.tail's terms */
	_Atomic bool stop;

	/* The writer thread's. */
	struct pcap_output out;
	struct frame *segs; /* FRAME_BATCH_MAX, where `segment` */
	struct frame_arena arena;
	counter filtered;
};

/* ---- what workers do ---- */

/* How much of a frame is needed? Filter and checksum want all. */
static uint32_t copy_len(const struct pcap_writer *w, const struct frame *f)
{
	if (!w->out.snaplen || w->out.snaplen > f->len || w->has_filter ||
	    frame_has_offload(f))
		return f->len;
	return w->out.snaplen;
}

static bool put_frame(struct pcap_writer *w, const struct frame *f, uint64_t ns)
{
	uint32_t len = copy_len(w, f);
	struct pcap_record *rec = ring_put(&w->ring, sizeof(*rec) + len);

	if (!rec)
		return false;
	rec->ns = ns;
	rec->vnet = f->vnet;
	rec->len = f->len;
	rec->dir = f->mirror_dir;
	rec->name = 0;
	if (f->mirror_dir != FRAME_DIR_NONE)
		rec->name = atomic_load_explicit(&w->name_of[f->mirror_port],
						 memory_order_acquire);
	if (len <= f->head_len)
		memcpy(rec + 1, f->data, len);
	else if (!frame_read(f, 0, rec + 1, len))
		memset(rec + 1, 0, len); /* no old frame's bytes */
	return true;
}

unsigned int pcap_writer_put(struct pcap_writer *w, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	unsigned int i;
	uint64_t ns;

	if (pcap_output_broken(&w->out)) {
		*why = DROP_IO_ERROR;
		return 0;
	}
	ring_lock(&w->ring);
	ns = clock_wall_ns(); /* under the lock: in order in the file */
	for (i = 0; i < n; i++) {
		if (f[i]->len > FRAME_LEN_MAX) {
			*why = DROP_TOO_LONG;
			break;
		}
		if (!put_frame(w, f[i], ns)) {
			*why = DROP_QUEUE_FULL;
			break;
		}
	}
	ring_unlock(&w->ring);
	return i;
}

/* ---- one frame ---- */

/* Put one packet into the buffer. Returns 0, or -errno: it's lost. */
static int writer_packet(struct pcap_writer *w, const struct pcap_record *rec,
			 const struct frame *f, uint32_t copied)
{
	struct pcapng_packet pkt = { .ns = rec->ns,
				     .len = f->len,
				     .caplen = copied,
				     .dir = (enum frame_dir)rec->dir,
				     .data = f->data };

	return pcap_output_packet(&w->out, rec->name, &pkt);
}

static bool wanted(const struct pcap_writer *w, const struct frame *f,
		   uint32_t copied)
{
	struct pcap_pkthdr h = { .caplen = copied, .len = f->len };

	return !w->has_filter || pcap_offline_filter(&w->filter, &h, f->data);
}

/* Returns false where it can't be segmented and nothing was written. */
static bool writer_segments(struct pcap_writer *w,
			    const struct pcap_record *rec,
			    const struct frame *f, enum outcome *outcome)
{
	enum drop_reason why = DROP_REASON_COUNT;
	uint32_t done = 0, all = 0;
	unsigned int n;

	*outcome = FILTERED;
	do {
		w->arena.used = 0;
		n = offload_segment(f, w->segs, FRAME_BATCH_MAX, &w->arena,
				    &done, &why);
		for (unsigned int i = 0; i < n; i++) {
			const struct frame *s = &w->segs[i];

			if (!wanted(w, s, s->len))
				continue;
			/* A rotation may succeed where its flush has not:
			 * segments of this frame were in that. */
			if (writer_packet(w, rec, s, s->len) < 0 ||
			    (w->out.dropped && *outcome == WRITTEN)) {
				*outcome = LOST;
				return true;
			}
			*outcome = WRITTEN;
		}
		all += n;
	} while (n);
	return all > 0;
}

static enum outcome writer_frame(struct pcap_writer *w, struct pcap_record *rec,
				 uint32_t copied)
{
	enum outcome outcome;
	struct frame f;

	frame_init(&f, (uint8_t *)(rec + 1), rec->len);
	f.head_len = copied;
	f.vnet = rec->vnet;
	if (w->segment && f.vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE &&
	    writer_segments(w, rec, &f, &outcome))
		return outcome;
	if (!wanted(w, &f, copied))
		return FILTERED;
	/* In place: the copy is ours. put_frame has copied it as a whole. */
	if (f.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		offload_complete_csum(&f);
	return writer_packet(w, rec, &f, copied) < 0 ? LOST : WRITTEN;
}

static void writer_drain(struct pcap_writer *w)
{
	struct pcap_record *rec;
	uint32_t len;

	while ((rec = ring_get(&w->ring, &len))) {
		switch (writer_frame(w, rec, len - (uint32_t)sizeof(*rec))) {
		case WRITTEN:
			w->out.frames++; /* counted when the buffer is written
					  */
			break;
		case FILTERED:
			counter_add(&w->filtered, 1);
			break;
		case LOST:
			counter_add(&w->out.lost, 1);
			break;
		}
		ring_pop(&w->ring);
	}
}

static void *writer_run(void *arg)
{
	static const struct timespec nap = { .tv_nsec = PCAP_NAP_NS };
	struct pcap_writer *w = arg;
	bool stop;

	pthread_setname_np(pthread_self(), "pcap");
	do {
		/* Before the last drain: what was accepted before is in it. */
		stop = atomic_load(&w->stop);
		writer_drain(w);
		(void)pcap_output_flush(&w->out);
		atomic_store(&w->settled, atomic_load(&w->ring.tail));
		if (stop)
			break;
		ring_wait(&w->ring, PCAP_RING_SIZE / 4, &nap);
		if (ring_empty(&w->ring) && !atomic_load(&w->stop))
			ring_wait(&w->ring, 1, NULL);
	} while (true);
	return NULL;
}

void pcap_writer_settle(struct pcap_writer *w)
{
	static const struct timespec nap = { .tv_nsec = PCAP_NAP_NS };
	uint64_t until = clock_ns() + CAPFILE_CLOSE_NS;
	uint64_t head = atomic_load(&w->ring.head);

	ring_kick(&w->ring);
	while (atomic_load(&w->settled) < head && clock_ns() < until)
		nanosleep(&nap, NULL);
}

/* ---- making and ending it ---- */

static int compile_filter(struct pcap_writer *w, const char *expression,
			  struct error *err)
{
	int rc;

	if (!*expression)
		return 0;
	rc = pcap_filter_compile(expression, &w->filter, err);
	w->has_filter = rc == 0;
	return rc;
}

static int alloc_tables(struct pcap_writer *w, struct error *err)
{
	w->names = calloc(PCAP_NAMES_MAX, sizeof(*w->names));
	w->name_of = calloc(INDEXES, sizeof(*w->name_of));
	if (w->segment) {
		w->segs = calloc(FRAME_BATCH_MAX, sizeof(*w->segs));
		w->arena.size = ARENA_SLOTS * FRAME_SLOT;
		w->arena.base = malloc(w->arena.size);
	}
	if (w->names)
		w->names[0] = strdup(PCAP_SWITCH);
	w->nnames = 1;
	if (!w->names || !w->names[0] || !w->name_of ||
	    (w->segment && (!w->segs || !w->arena.base)))
		return error_set(err, ENOMEM, "no-memory", NULL,
				 "no memory for port %s", w->port);
	return 0;
}

/* Frees all but thread, ring and file. */
static void free_tables(struct pcap_writer *w)
{
	for (unsigned int i = 0; w->names && i < w->nnames; i++)
		free(w->names[i]);
	free(w->names);
	free((void *)w->name_of);
	free(w->segs);
	free(w->arena.base);
	if (w->has_filter)
		pcap_freecode(&w->filter);
	if (w->stopfd >= 0)
		close(w->stopfd);
	free(w);
}

static int start_thread(struct pcap_writer *w)
{
	sigset_t all, old;
	int rc;

	/* Signals are for the main thread; SIGPIPE and SIGXFSZ for nobody. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, writer_run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static int start(struct pcap_writer *w, const struct pcap_params *params,
		 const struct capfile_source *from, struct error *err)
{
	int rc;

	w->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stopfd < 0)
		return error_set(err, errno, "no-memory", NULL, "eventfd: %s",
				 strerror(errno));
	rc = ring_init(&w->ring, PCAP_RING_SIZE);
	if (rc < 0)
		return error_set(err, -rc, "no-memory", NULL, "ring: %s",
				 strerror(-rc));
	rc = pcap_output_init(&w->out, w->port, params, from, w->names,
			      w->stopfd);
	if (rc < 0) {
		error_set(err, -rc, "io-error", "file", "%s: %s", params->file,
			  strerror(-rc));
		goto out;
	}
	rc = start_thread(w);
	if (rc == 0)
		return 0;
	error_set(err, -rc, "no-memory", NULL, "thread: %s", strerror(-rc));
	pcap_output_fini(&w->out);
out:
	ring_fini(&w->ring);
	return rc;
}

struct pcap_writer *pcap_writer_new(const char *name,
				    const struct pcap_params *params,
				    const struct capfile_source *from,
				    struct error *err)
{
	struct pcap_writer *w =
		aligned_alloc(_Alignof(struct pcap_writer), sizeof(*w));

	if (!w) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", name);
		return NULL;
	}
	memset(w, 0, sizeof(*w));
	w->stopfd = -1;
	snprintf(w->port, sizeof(w->port), "%s", name);
	w->segment = params->segment;
	if (compile_filter(w, params->filter, err) < 0 ||
	    alloc_tables(w, err) < 0 || start(w, params, from, err) < 0) {
		free_tables(w);
		return NULL;
	}
	return w;
}

void pcap_writer_free(struct pcap_writer *w)
{
	if (!w)
		return;
	atomic_store(&w->stop, true);
	(void)eventfd_write(w->stopfd, 1);
	ring_kick(&w->ring);
	pthread_join(w->thread, NULL);
	if (counter_get(&w->out.lost))
		log_warning("port",
			    "%s: %llu of the frames sent to it were "
			    "not written",
			    w->port,
			    (unsigned long long)counter_get(&w->out.lost));
	pcap_output_fini(&w->out);
	ring_fini(&w->ring);
	free_tables(w);
}

int pcap_writer_name(struct pcap_writer *w, uint16_t index, const char *name)
{
	char key[PORT_NAME_MAX];
	unsigned int i = 0;
	int rc = 0;

	if (name) {
		snprintf(key, sizeof(key), "%s", name);
		while (i < w->nnames && strcmp(w->names[i], key))
			i++;
	}
	if (i == PCAP_NAMES_MAX) {
		rc = -ENOSPC;
	} else if (i == w->nnames) {
		w->names[i] = strdup(key);
		if (w->names[i])
			w->nnames++;
		else
			rc = -ENOMEM;
	}
	if (rc < 0)
		i = 0;
	/* Who loads the number sees the name: release, acquire in
	 * put_frame, and the ring hands it on. */
	atomic_store_explicit(&w->name_of[index], (uint16_t)i,
			      memory_order_release);
	return rc;
}

void pcap_writer_stats(const struct pcap_writer *w,
		       struct pcap_port_stats *stats)
{
	stats->written = counter_get(&w->out.written);
	stats->filtered = counter_get(&w->filtered);
	stats->lost = counter_get(&w->out.lost);
	stats->packets = counter_get(&w->out.npackets);
	stats->bytes = counter_get(&w->out.bytes);
	stats->files = counter_get(&w->out.files);
}
