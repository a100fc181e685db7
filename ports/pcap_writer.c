#include "ports/pcap_writer.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "ports/capfile.h"
#include "ports/offload.h"
#include "ports/pcap_filter.h"
#include "ports/pcapng.h"
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
	bool classic, segment, has_filter;
	uint32_t snaplen;      /* 0 = all */
	uint64_t rotate_bytes; /* 0 = never */
	struct bpf_program filter;

	/* Name 0 is PCAP_SWITCH. Main thread's; a name never changes, so
	 * that who has its number may read it. */
	char **names;
	unsigned int nnames;
	_Atomic uint16_t *name_of; /* by port index */

	pthread_t thread;
	int stopfd;
	_Atomic bool stop;
	_Atomic uint64_t broken_until; /* clock_coarse_ns; 0 = not broken */

	/* The writer thread's. */
	struct capfile file;
	struct frame *segs; /* FRAME_BATCH_MAX, where `segment` */
	struct frame_arena arena;
	uint16_t *number; /* by name: 1 + its interface in this file; 0: none */
	uint16_t nnumbers, nnumbers_written;
	bool fresh;	 /* the file's header comes first */
	bool has_packet; /* so the file may be rotated */
	bool failing;
	bool dropped;		  /* a flush has failed since the last packet */
	uint64_t frames, packets; /* in the buffer, complete */
	counter written, filtered, lost, npackets, bytes, files;
};

/* ---- what workers do ---- */

static bool writer_broken(struct pcap_writer *w)
{
	uint64_t until =
		atomic_load_explicit(&w->broken_until, memory_order_relaxed);

	return until && clock_coarse_ns() < until;
}

/* How much of a frame is needed? Filter and checksum want all. */
static uint32_t copy_len(const struct pcap_writer *w, const struct frame *f)
{
	if (!w->snaplen || w->snaplen > f->len || w->has_filter ||
	    frame_has_offload(f))
		return f->len;
	return w->snaplen;
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

	if (writer_broken(w)) {
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

/* ---- the file ---- */

/* The file is what was written last: forget what was only in the buffer. */
static void writer_forget(struct pcap_writer *w)
{
	if (w->file.bytes == 0) {
		w->fresh = true;
		w->has_packet = false;
		w->nnumbers_written = 0;
	}
	for (unsigned int i = 0; i < PCAP_NAMES_MAX; i++)
		if (w->number[i] > w->nnumbers_written)
			w->number[i] = 0;
	w->nnumbers = w->nnumbers_written;
}

static void writer_failed(struct pcap_writer *w, int rc)
{
	if (!w->failing)
		log_warning("port",
			    "%s: can't write %s: %s; frames are lost until "
			    "that works again",
			    w->port, w->file.name, strerror(-rc));
	w->failing = true;
	atomic_store_explicit(&w->broken_until,
			      clock_coarse_ns() + PCAP_RETRY_NS,
			      memory_order_relaxed);
}

static void writer_works(struct pcap_writer *w)
{
	if (!w->failing)
		return;
	log_notice("port", "%s: %s can be written again, %llu frames lost",
		   w->port, w->file.name,
		   (unsigned long long)counter_get(&w->lost));
	w->failing = false;
	atomic_store_explicit(&w->broken_until, 0, memory_order_relaxed);
}

static int writer_flush(struct pcap_writer *w)
{
	uint32_t used = w->file.used;
	int rc;

	if (!used)
		return 0;
	rc = capfile_flush(&w->file);
	if (rc < 0) {
		w->dropped = true;
		writer_forget(w);
		writer_failed(w, rc);
		/* Last: who sees it counted finds tx refusing. */
		counter_add(&w->lost, w->frames);
	} else {
		counter_add(&w->bytes, used);
		counter_add(&w->npackets, w->packets);
		counter_add(&w->written, w->frames);
		w->nnumbers_written = w->nnumbers;
		writer_works(w);
	}
	w->frames = 0;
	w->packets = 0;
	return rc;
}

static void writer_interface(struct pcap_writer *w, uint16_t name)
{
	struct capfile *cf = &w->file;

	cf->used += pcapng_interface(cf->buf + cf->used, w->names[name],
				     w->snaplen);
	w->number[name] = ++w->nnumbers;
}

/*
 * What a file begins with. An interface is always among it: libpcap takes a
 * pcapng file without one for broken.
 */
static void writer_begin(struct pcap_writer *w)
{
	struct capfile *cf = &w->file;
	uint8_t *to = cf->buf + cf->used;

	w->fresh = false;
	if (w->classic) {
		cf->used += pcapng_classic_header(to, w->snaplen);
	} else {
		cf->used += pcapng_section(to);
		writer_interface(w, 0);
	}
}

/* Does a packet of up to `need` bytes still fit into the file? */
static bool rotation_due(const struct pcap_writer *w, uint32_t need)
{
	const struct capfile *cf = &w->file;

	if (cf->moved)
		return true;
	return w->rotate_bytes && w->has_packet &&
	       cf->bytes + cf->used + need > w->rotate_bytes;
}

static int writer_rotate(struct pcap_writer *w)
{
	int rc;

	/* What can't be written has been counted; a new file may go better:
	 * the oldest one makes room. */
	(void)writer_flush(w);
	rc = capfile_rotate(&w->file);
	if (rc < 0) {
		writer_failed(w, rc);
		return rc;
	}
	writer_forget(w);
	counter_add(&w->files, 1);
	return 0;
}

/* Put one packet into the buffer. Returns 0, or -errno: it's lost. */
static int writer_packet(struct pcap_writer *w, const struct pcap_record *rec,
			 const struct frame *f, uint32_t copied)
{
	struct pcapng_packet pkt = { .ns = rec->ns,
				     .len = f->len,
				     .caplen = copied,
				     .dir = (enum frame_dir)rec->dir,
				     .data = f->data };
	uint16_t name = w->classic ? 0 : rec->name;
	uint32_t need;
	int rc = 0;

	w->dropped = false;
	if (w->snaplen && pkt.caplen > w->snaplen)
		pkt.caplen = w->snaplen;
	need = PCAPNG_PACKET_MAX + pkt.caplen;
	if (!w->number[name])
		need += PCAPNG_INTERFACE_MAX;
	if (w->failing && writer_broken(w))
		return -EIO;
	if (rotation_due(w, need))
		rc = writer_rotate(w);
	else if (w->file.used + need > CAPFILE_BUFFER)
		rc = writer_flush(w);
	if (rc < 0)
		return rc;
	if (w->fresh)
		writer_begin(w);
	if (!w->classic && !w->number[name])
		writer_interface(w, name);
	if (w->classic) {
		w->file.used +=
			pcapng_classic_packet(w->file.buf + w->file.used, &pkt);
	} else {
		pkt.interface = w->number[name] - 1u;
		w->file.used += pcapng_packet(w->file.buf + w->file.used, &pkt);
	}
	w->has_packet = true;
	w->packets++;
	return 0;
}

/* ---- one frame ---- */

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
			    (w->dropped && *outcome == WRITTEN)) {
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
			w->frames++; /* counted when the buffer is written */
			break;
		case FILTERED:
			counter_add(&w->filtered, 1);
			break;
		case LOST:
			counter_add(&w->lost, 1);
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

	do {
		/* Before the last drain: what was accepted before is in it. */
		stop = atomic_load(&w->stop);
		writer_drain(w);
		(void)writer_flush(w);
		if (stop)
			break;
		ring_wait(&w->ring, PCAP_RING_SIZE / 4, &nap);
		if (ring_empty(&w->ring) && !atomic_load(&w->stop))
			ring_wait(&w->ring, 1, NULL);
	} while (true);
	return NULL;
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
	w->number = calloc(PCAP_NAMES_MAX, sizeof(*w->number));
	w->name_of = calloc(INDEXES, sizeof(*w->name_of));
	if (w->segment) {
		w->segs = calloc(FRAME_BATCH_MAX, sizeof(*w->segs));
		w->arena.size = ARENA_SLOTS * FRAME_SLOT;
		w->arena.base = malloc(w->arena.size);
	}
	if (w->names)
		w->names[0] = strdup(PCAP_SWITCH);
	w->nnames = 1;
	if (!w->names || !w->names[0] || !w->number || !w->name_of ||
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
	free(w->number);
	free((void *)w->name_of);
	free(w->segs);
	free(w->arena.base);
	if (w->has_filter)
		pcap_freecode(&w->filter);
	if (w->stopfd >= 0)
		close(w->stopfd);
	free(w);
}

/* Empty the file and begin it, so that even an empty capture can be read. */
static int begin_file(struct pcap_writer *w, const struct pcap_params *params,
		      int fd, int dirfd)
{
	uint32_t files = params->rotate_files ? params->rotate_files : 1;
	int rc = capfile_init(&w->file, fd, dirfd, w->stopfd,
			      capfile_name(params->file), files);

	if (rc < 0)
		return rc;
	counter_add(&w->files, 1);
	writer_begin(w);
	/* A stream might block; its first bytes are left to the thread. */
	if (!w->file.stream)
		rc = writer_flush(w);
	if (rc < 0)
		capfile_fini(&w->file);
	return rc;
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
	if (rc == 0)
		pthread_setname_np(w->thread, "pcap");
	return -rc;
}

static int start(struct pcap_writer *w, const struct pcap_params *params,
		 int fd, int dirfd, struct error *err)
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
	rc = begin_file(w, params, fd, dirfd);
	if (rc < 0) {
		error_set(err, -rc, "io-error", "file", "%s: %s", params->file,
			  strerror(-rc));
		goto out;
	}
	rc = start_thread(w);
	if (rc == 0)
		return 0;
	error_set(err, -rc, "no-memory", NULL, "thread: %s", strerror(-rc));
	capfile_fini(&w->file);
out:
	ring_fini(&w->ring);
	return rc;
}

struct pcap_writer *pcap_writer_new(const char *name,
				    const struct pcap_params *params, int fd,
				    int dirfd, struct error *err)
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
	w->classic = params->classic;
	w->segment = params->segment;
	w->rotate_bytes = params->rotate_bytes;
	if (params->snaplen < PCAP_SNAPLEN_MAX)
		w->snaplen = params->snaplen;
	if (compile_filter(w, params->filter, err) < 0 ||
	    alloc_tables(w, err) < 0 || start(w, params, fd, dirfd, err) < 0) {
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
	if (counter_get(&w->lost))
		log_warning("port",
			    "%s: %llu of the frames sent to it were "
			    "not written",
			    w->port, (unsigned long long)counter_get(&w->lost));
	capfile_fini(&w->file);
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
	stats->written = counter_get(&w->written);
	stats->filtered = counter_get(&w->filtered);
	stats->lost = counter_get(&w->lost);
	stats->packets = counter_get(&w->npackets);
	stats->bytes = counter_get(&w->bytes);
	stats->files = counter_get(&w->files);
}
