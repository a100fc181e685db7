#include "ports/slirp/frames.h"

#include "base/log.h"
#include "ports/merge.h"
#include "ports/offload.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64 /* frames in one system call */

/* How long the switch may not read before frames are lost. A process of it that
 * has died is replaced sooner. */
#define STALL_MS 1000

/* Frames of one direction, each in a lane of FRAME_SLOT bytes, its vnet header
 * in its headroom. What isn't used of them is no memory. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	uint8_t *data;
	unsigned int n;
};

struct frames {
	int fd;
	struct batch in, out;
	struct merge last; /* of out: it may still grow */
};

/* Where the i-th frame lies. */
static uint8_t *lane(const struct batch *b, unsigned int i)
{
	return b->data + (size_t)i * FRAME_SLOT + FRAME_HEADROOM;
}

static bool batch_init(struct batch *b)
{
	b->data = malloc((size_t)BATCH * FRAME_SLOT);
	for (unsigned int i = 0; b->data && i < BATCH; i++) {
		b->iov[i].iov_base = lane(b, i) - ETHER_VNET_LEN;
		b->iov[i].iov_len = ETHER_VNET_LEN + FRAME_LEN_MAX;
		b->msg[i].msg_hdr.msg_iov = &b->iov[i];
		b->msg[i].msg_hdr.msg_iovlen = 1;
	}
	return b->data;
}

struct frames *frames_new(int fd)
{
	struct frames *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->fd = fd;
	if (batch_init(&f->in) && batch_init(&f->out))
		return f;
	frames_free(f);
	errno = ENOMEM;
	return NULL;
}

void frames_free(struct frames *f)
{
	if (!f)
		return;
	free(f->in.data);
	free(f->out.data);
	free(f);
}

/* ---- To the guests ---- */

/* Nothing is added to the last frame any more. */
static void seal(struct frames *f)
{
	struct batch *b = &f->out;
	struct virtio_net_hdr_v1 v;

	if (!b->n)
		return;
	merge_end(&f->last, &v);
	memcpy(b->iov[b->n - 1].iov_base, &v, sizeof(v));
	b->iov[b->n - 1].iov_len = sizeof(v) + f->last.len;
}

bool frames_send(struct frames *f, const void *frame, uint64_t len)
{
	struct batch *b = &f->out;

	if (len > FRAME_LEN_MAX)
		return false;
	if (b->n && merge_add(&f->last, frame, (uint32_t)len))
		return true;
	seal(f);
	if (b->n == BATCH)
		frames_flush(f);
	memcpy(lane(b, b->n), frame, len);
	merge_begin(&f->last, lane(b, b->n), (uint32_t)len);
	b->n++;
	return true;
}

/* Returns whether the switch takes frames again. */
static bool wait_for_room(const struct frames *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLOUT };
	int n = poll(&p, 1, STALL_MS);

	if (n == 0)
		log_warning("slirp", "the switch takes no frames: some to "
				     "guests are lost");
	return n > 0 && p.revents & POLLOUT;
}

void frames_flush(struct frames *f)
{
	struct batch *b = &f->out;
	unsigned int sent = 0;
	bool waited = false;

	seal(f);
	while (sent < b->n) {
		int r = sendmmsg(f->fd, b->msg + sent, b->n - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r > 0) {
			sent += (unsigned int)r;
			waited = false;
		} else if (errno == EAGAIN && !waited) {
			waited = wait_for_room(f);
			if (!waited)
				break;
		} else if (errno != EINTR) {
			break; /* its end is noticed where it is read */
		}
	}
	b->n = 0;
}

/* ---- From the guests ---- */

/* Returns whether it is a plain frame now. */
static bool plain(struct frame *f)
{
	enum drop_reason why;

	return !frame_has_offload(f) ||
	       (offload_check(f, &why) && merge_whole(f));
}

int frames_receive(struct frames *f, frames_take *take, void *ctx)
{
	struct batch *b = &f->in;
	int got;

	do
		got = recvmmsg(f->fd, b->msg, BATCH, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN	     ? 0
		       : errno == ECONNRESET ? -EPIPE
					     : -errno;
	for (unsigned int i = 0; i < (unsigned int)got; i++) {
		uint32_t len = b->msg[i].msg_len;
		struct frame frame;

		if (!len) /* nobody sends an empty one */
			return -EPIPE;
		if (len < ETHER_VNET_LEN + ETHER_HEADER_LEN ||
		    b->msg[i].msg_hdr.msg_flags & MSG_TRUNC)
			continue;
		frame_init(&frame, lane(b, i), len - ETHER_VNET_LEN);
		memcpy(&frame.vnet, b->iov[i].iov_base, ETHER_VNET_LEN);
		if (plain(&frame))
			take(frame.data, frame.len, ctx);
	}
	return got == BATCH;
}
