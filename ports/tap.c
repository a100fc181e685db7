/* The run half of `tap` ports: one read or write a frame, and little else. */
#include "ports/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct tap_port {
	struct port port;
	int tx; /* the only descriptor, or that of the detached queue */
};

/*
 * read() and write() without glibc's cancellation points, which in a program
 * with threads cost two locked instructions a call: 3 % of a small frame.
 * Nobody cancels a worker.
 */
static ssize_t tap_read(int fd, void *to, size_t n)
{
	return syscall(SYS_read, fd, to, n);
}

static ssize_t tap_write(int fd, const void *from, size_t n)
{
	return syscall(SYS_write, fd, from, n);
}

/*
 * The header and the frame come in one read(): the header lands in the
 * headroom, right before the frame. (readv() with two elements costs more.)
 */
static unsigned int tap_rx(struct port *p, unsigned int queue, struct frame *f,
			   unsigned int max, struct frame_arena *arena)
{
	int fd = p->queue_fd[queue];
	unsigned int n = 0;

	while (n < max) {
		uint8_t *data = frame_arena_peek(arena);
		ssize_t got;

		if (!data)
			break;
		got = tap_read(fd, data - ETHER_VNET_LEN,
			       ETHER_VNET_LEN + FRAME_LEN_MAX);
		if (got < (ssize_t)ETHER_VNET_LEN) {
			/* EBADFD: the device was deleted. */
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				atomic_store(&p->failed, errno);
			break;
		}
		frame_init(&f[n], data, (uint32_t)got - ETHER_VNET_LEN);
		memcpy(&f[n].vnet, data - ETHER_VNET_LEN, ETHER_VNET_LEN);
		/* The kernel fills ten bytes and skips over this field. */
		f[n].vnet.num_buffers = 0;
		frame_arena_take(arena, f[n].len);
		n++;
	}
	return n;
}

static enum drop_reason tap_drop_reason(int error)
{
	switch (error) {
	case EAGAIN:
		return DROP_QUEUE_FULL;
	case EIO:    /* the device is down */
	case EBADFD: /* the device was deleted */
		return DROP_LINK_DOWN;
	case ENOMEM:
	case ENOBUFS:
		return DROP_NO_MEMORY;
	default:
		return DROP_IO_ERROR;
	}
}

static unsigned int tap_tx(struct port *p, struct frame *const *f,
			   unsigned int n, enum drop_reason *why)
{
	int fd = ((struct tap_port *)p)->tx; /* port is its first member */

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *start = f[i]->data - ETHER_VNET_LEN;
		ssize_t sent;

		memcpy(start, &f[i]->vnet, ETHER_VNET_LEN);
		if (!f[i]->nsegs) {
			sent = tap_write(fd, start, ETHER_VNET_LEN + f[i]->len);
		} else {
			struct iovec iov[1 + FRAME_SEGS_MAX];
			unsigned int parts = frame_iov(f[i], iov);

			iov[0].iov_base = start;
			iov[0].iov_len += ETHER_VNET_LEN;
			sent = writev(fd, iov, (int)parts);
		}
		if (sent < 0) {
			*why = tap_drop_reason(errno);
			return i;
		}
	}
	return n;
}

static struct port *tap_open(const struct port_request *rq,
			     const struct port_grant *grant, struct error *err)
{
	struct tap_port *tp;

	if (rq->tap.handover) {
		error_set(err, EINVAL, "handed-over", "handover",
			  "the descriptor of %s is for another program",
			  grant->ifname);
		return NULL;
	}
	tp = calloc(1, sizeof(*tp));
	if (!tp) {
		error_set(err, ENOMEM, "no-memory", NULL, "out of memory");
		return NULL;
	}
	port_init(&tp->port, &port_ops_tap, rq, grant);
	tp->tx = grant->fd[grant->nfds - 1];
	if (grant->nfds > 1)
		tp->port.queues = grant->nfds - 1;
	for (unsigned int q = 1; q < tp->port.queues; q++)
		tp->port.queue_fd[q] = grant->fd[q];
	return &tp->port;
}

static void tap_close(struct port *p)
{
	free((struct tap_port *)p);
}

const struct port_ops port_ops_tap = {
	.type = "tap",
	.acquire = tap_acquire,
	.adjust = tap_adjust,
	.release = tap_release,
	.open = tap_open,
	.close = tap_close,
	.rx = tap_rx,
	.tx = tap_tx,
};
