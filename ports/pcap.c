#include "ports/pcap.h"

#include "ports/capfile.h"
#include "ports/pcap_writer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { GRANT_FILE, GRANT_DIRECTORY, GRANT_FDS };

struct pcap_port {
	struct port port;
	struct pcap_writer *writer;
	/* Copies, for the writer thread's rotations. */
	struct port_request rq;
	struct port_grant grant;
};

static struct pcap_port *to_pcap(const struct port *p)
{
	return (struct pcap_port *)p; /* port is its first member */
}

/* How many files rotation keeps; 0: there is no rotation. */
static uint32_t files_kept(const struct pcap_params *pp)
{
	if (!pp->rotate_bytes)
		return 0;
	return pp->rotate_files ? pp->rotate_files : 1;
}

/* Paths and filters get into messages and logs: no line breaks, no escapes. */
static bool is_line(const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)s[i]))
			return false;
	return len < size;
}

static int check_params(const struct pcap_params *pp, struct error *err)
{
	if (!is_line(pp->file, sizeof(pp->file)))
		return error_set(err, EINVAL, "bad-file", "file",
				 "the path is too long or has control "
				 "characters");
	if (!capfile_name(pp->file))
		return error_set(err, EINVAL, "bad-file", "file",
				 "\"%s\" is not the absolute path of a file",
				 pp->file);
	if (!is_line(pp->filter, sizeof(pp->filter)))
		return error_set(err, EINVAL, "bad-filter", "filter",
				 "the filter is too long or has control "
				 "characters");
	if (pp->rotate_files && !pp->rotate_bytes)
		return error_set(err, EINVAL, "bad-rotate", "rotate",
				 "a number of files needs a size as well");
	if (pp->rotate_bytes && pp->rotate_bytes < CAPFILE_ROTATE_MIN)
		return error_set(err, ERANGE, "bad-rotate", "rotate",
				 "files of less than %d bytes are too small",
				 CAPFILE_ROTATE_MIN);
	if (pp->rotate_files > CAPFILE_FILES_MAX)
		return error_set(err, ERANGE, "bad-rotate", "rotate",
				 "%u files are more than %d", pp->rotate_files,
				 CAPFILE_FILES_MAX);
	return 0;
}

static int pcap_port_adjust(const struct port_request *rq,
			    struct port_grant *grant, struct error *err)
{
	(void)err;
	grant->mtu = rq->mtu ? rq->mtu : PORT_MTU_MAX;
	grant->carrier = rq->enabled;
	return 0;
}

static int pcap_port_acquire(const struct port_request *rq,
			     struct port_grant *grant, struct error *err)
{
	bool created;
	int rc;

	memset(grant, 0, sizeof(*grant));
	rc = check_params(&rq->pcap, err);
	if (rc < 0)
		return rc;
	rc = capfile_open(rq->pcap.file, files_kept(&rq->pcap),
			  &grant->fd[GRANT_FILE], &grant->fd[GRANT_DIRECTORY],
			  &created, err);
	if (rc < 0)
		return rc;
	grant->nfds = GRANT_FDS;
	grant->undo.existed = !created;
	grant->tx_offloads = PORT_TX_CSUM | PORT_TX_ALL_GSO;
	return pcap_port_adjust(rq, grant, err);
}

static void pcap_port_release(const struct port_request *rq,
			      struct port_grant *grant)
{
	/* Empty: it was made by acquire, and then open failed, or the policy
	 * didn't like where it is. One that was there is somebody's. */
	if (grant->nfds == GRANT_FDS && !grant->undo.existed)
		capfile_remove_empty(grant->fd[GRANT_FILE],
				     grant->fd[GRANT_DIRECTORY],
				     capfile_name(rq->pcap.file));
	port_grant_close(grant);
}

static int pcap_port_renew(const struct port_request *rq,
			   struct port_grant *grant, struct error *err)
{
	int fd, rc;

	/* Who asks may be a process that somebody has taken over: there is no
	 * rotation but that of the request. */
	if (grant->nfds != GRANT_FDS || !files_kept(&rq->pcap))
		return error_set(err, EINVAL, "bad-rotate", "rotate",
				 "port %s has no files to be rotated",
				 rq->name);
	rc = capfile_renew(grant->fd[GRANT_DIRECTORY],
			   capfile_name(rq->pcap.file), files_kept(&rq->pcap),
			   &fd);
	if (rc == 0) {
		if (dup3(fd, grant->fd[GRANT_FILE], O_CLOEXEC) < 0)
			rc = -errno;
		close(fd);
	}
	if (rc < 0)
		return error_set(err, -rc, "io-error", "file", "%s: %s",
				 rq->pcap.file, strerror(-rc));
	return 0;
}

/* A new file for the writer thread, from whoever has the directory. */
static int new_file(void *ctx, int *fd)
{
	const struct port_keeper *keeper = port_keeper();
	const struct pcap_port *pp = ctx;

	if (keeper)
		return keeper->renew(keeper->ctx, &pp->rq, &pp->grant, fd);
	return capfile_renew(pp->grant.fd[GRANT_DIRECTORY],
			     capfile_name(pp->rq.pcap.file),
			     files_kept(&pp->rq.pcap), fd);
}

/* The file as it is after the earlier process's rotations. */
static int current_file(void *ctx, int *fd)
{
	const struct port_keeper *keeper = port_keeper();
	const struct pcap_port *pp = ctx;

	return keeper->current(keeper->ctx, &pp->rq, &pp->grant, fd);
}

/* Where the capture goes to, and where its next files come from. */
static struct capfile_source source(struct pcap_port *pp)
{
	const struct port_keeper *keeper = port_keeper();
	struct capfile_source from = { .fd = pp->grant.fd[GRANT_FILE],
				       .resumed = pp->grant.resumed,
				       .ctx = pp };

	if (!files_kept(&pp->rq.pcap))
		return from;
	from.renew = new_file;
	if (keeper && keeper->current)
		from.current = current_file;
	return from;
}

/* Is what a rotation needs there? */
static int check_grant(const struct port_request *rq,
		       const struct port_grant *grant, struct error *err)
{
	bool alone =
		grant->nfds == 1 && (port_keeper() || !files_kept(&rq->pcap));

	if (grant->nfds != GRANT_FDS && !alone)
		return error_set(err, EINVAL, "bad-grant", NULL,
				 "a pcap port needs a file and its directory");
	return 0;
}

static struct port *pcap_port_open(const struct port_request *rq,
				   const struct port_grant *grant,
				   struct error *err)
{
	struct capfile_source from;
	struct pcap_port *pp;

	if (check_grant(rq, grant, err) < 0 || check_params(&rq->pcap, err) < 0)
		return NULL;
	pp = calloc(1, sizeof(*pp));
	if (!pp) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	port_init(&pp->port, &port_ops_pcap, rq, grant);
	pp->port.queue_fd[0] = -1; /* never readable, whatever fd[0] is */
	pp->rq = *rq;
	pp->grant = *grant;
	from = source(pp);
	pp->writer = pcap_writer_new(pp->port.name, &rq->pcap, &from, err);
	if (!pp->writer) {
		free(pp);
		return NULL;
	}
	return &pp->port;
}

static void pcap_port_close(struct port *p)
{
	pcap_writer_free(to_pcap(p)->writer);
	free(to_pcap(p));
}

static void pcap_port_drain(struct port *p)
{
	pcap_writer_settle(to_pcap(p)->writer);
}

static unsigned int pcap_port_tx(struct port *p, struct frame *const *f,
				 unsigned int n, enum drop_reason *why)
{
	return pcap_writer_put(to_pcap(p)->writer, f, n, why);
}

int pcap_port_name(struct port *p, uint16_t index, const char *name)
{
	return pcap_writer_name(to_pcap(p)->writer, index, name);
}

void pcap_port_stats(const struct port *p, struct pcap_port_stats *stats)
{
	pcap_writer_stats(to_pcap(p)->writer, stats);
}

const struct port_ops port_ops_pcap = {
	.type = "pcap",
	.run_fds = 1, /* not the folder: `..` leads out of an empty root */
	.acquire = pcap_port_acquire,
	.adjust = pcap_port_adjust,
	.renew = pcap_port_renew,
	.release = pcap_port_release,
	.open = pcap_port_open,
	.close = pcap_port_close,
	.drain = pcap_port_drain,
	.tx = pcap_port_tx,
};
