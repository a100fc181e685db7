#include "ports/dummy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Of its own, as any Ethernet device has. */
#define DUMMY_MTU 1500

struct dummy_queue {
	struct dummy_frame frame[DUMMY_QUEUE_MAX];
	uint32_t head[DUMMY_QUEUE_MAX]; /* bytes before the segment; 0: all */
	uint32_t first, n;
};

struct dummy {
	struct port port;
	enum drop_reason refuse;
	struct dummy_queue in, out;
	/* Segments of the burst that rx delivered last. */
	struct iovec seg[FRAME_BATCH_MAX];
	uint8_t *lent[FRAME_BATCH_MAX];
	unsigned int nlent;
	struct port_state state, said; /* now; after the next control() */
	unsigned int taken_over;
};

static struct dummy *to_dummy(struct port *p)
{
	return (struct dummy *)p; /* port is its first member */
}

static struct dummy_frame *queue_push(struct dummy_queue *q, uint32_t len)
{
	struct dummy_frame *f;

	if (q->n == DUMMY_QUEUE_MAX)
		return NULL;
	f = &q->frame[(q->first + q->n) % DUMMY_QUEUE_MAX];
	f->data = malloc(len ? len : 1);
	if (!f->data)
		return NULL;
	f->len = len;
	q->n++;
	return f;
}

static struct dummy_frame *queue_pop(struct dummy_queue *q)
{
	struct dummy_frame *f = &q->frame[q->first];

	if (!q->n)
		return NULL;
	q->first = (q->first + 1) % DUMMY_QUEUE_MAX;
	q->n--;
	return f;
}

int dummy_inject(struct port *p, const void *data, uint32_t len,
		 const struct virtio_net_hdr_v1 *vnet, uint32_t head)
{
	struct dummy_queue *q = &to_dummy(p)->in;
	struct dummy_frame *f = queue_push(q, len);

	if (!f)
		return -ENOBUFS;
	memcpy(f->data, data, len);
	memset(&f->vnet, 0, sizeof(f->vnet));
	if (vnet)
		f->vnet = *vnet;
	q->head[f - q->frame] = head;
	return 0;
}

bool dummy_take(struct port *p, struct dummy_frame *out)
{
	struct dummy_frame *f = queue_pop(&to_dummy(p)->out);

	if (!f)
		return false;
	*out = *f;
	return true;
}

unsigned int dummy_pending(const struct port *p)
{
	return ((const struct dummy *)p)->in.n;
}

unsigned int dummy_sent(const struct port *p)
{
	return ((const struct dummy *)p)->out.n;
}

static const struct dummy_frame *queue_peek(const struct dummy_queue *q,
					    unsigned int i)
{
	return i < q->n ? &q->frame[(q->first + i) % DUMMY_QUEUE_MAX] : NULL;
}

const struct dummy_frame *dummy_peek_pending(const struct port *p,
					     unsigned int i)
{
	return queue_peek(&((const struct dummy *)p)->in, i);
}

const struct dummy_frame *dummy_peek_sent(const struct port *p, unsigned int i)
{
	return queue_peek(&((const struct dummy *)p)->out, i);
}

void dummy_refuse(struct port *p, enum drop_reason why)
{
	to_dummy(p)->refuse = why;
}

int dummy_say(struct port *p, const struct port_state *state)
{
	to_dummy(p)->said = *state;
	if (p->control_fd < 0)
		p->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->control_fd < 0 || eventfd_write(p->control_fd, 1) < 0)
		return -errno;
	return 0;
}

unsigned int dummy_taken_over(const struct port *p)
{
	return ((const struct dummy *)p)->taken_over;
}

void dummy_set_offloads(struct port *p, uint32_t offloads)
{
	atomic_store(&p->tx_offloads, offloads);
}

static void dummy_unlend(struct dummy *d)
{
	while (d->nlent)
		free(d->lent[--d->nlent]);
}

static unsigned int dummy_rx(struct port *p, unsigned int queue,
			     struct frame *f, unsigned int max,
			     struct frame_arena *arena)
{
	struct dummy *d = to_dummy(p);
	struct dummy_frame *from;
	unsigned int n;

	(void)queue;
	dummy_unlend(d);
	for (n = 0; n < max; n++) {
		uint8_t *data = frame_arena_peek(arena);
		uint32_t head;

		from = data ? queue_pop(&d->in) : NULL;
		if (!from)
			break;
		head = d->in.head[from - d->in.frame];
		if (!head || head > from->len)
			head = from->len;
		/* Longer than a port may deliver: show the pipeline the
		 * length, but don't overrun the slot. */
		if (head > FRAME_LEN_MAX)
			head = FRAME_LEN_MAX;
		memcpy(data, from->data, head);
		frame_init(&f[n], data, from->len);
		f[n].head_len = head;
		f[n].vnet = from->vnet;
		frame_arena_take(arena, head);
		d->lent[d->nlent++] = from->data;
		if (head < from->len) {
			d->seg[n].iov_base = from->data + head;
			d->seg[n].iov_len = from->len - head;
			f[n].segs = &d->seg[n];
			f[n].nsegs = 1;
		}
	}
	return n;
}

static unsigned int dummy_tx(struct port *p, struct frame *const *f,
			     unsigned int n, enum drop_reason *why)
{
	struct dummy *d = to_dummy(p);

	for (unsigned int i = 0; i < n; i++) {
		struct dummy_frame *to;

		if (d->refuse != DROP_REASON_COUNT) {
			*why = d->refuse;
			return i;
		}
		to = queue_push(&d->out, f[i]->len);
		if (!to) {
			*why = DROP_QUEUE_FULL;
			return i;
		}
		frame_read(f[i], 0, to->data, f[i]->len);
		to->vnet = f[i]->vnet;
		to->mirror_port = f[i]->mirror_port;
		to->mirror_dir = f[i]->mirror_dir;
	}
	return n;
}

static int dummy_adjust(const struct port_request *rq, struct port_grant *grant,
			struct error *err)
{
	(void)err;
	grant->mtu = rq->mtu ? rq->mtu : DUMMY_MTU;
	grant->carrier = rq->enabled;
	return 0;
}

static int dummy_acquire(const struct port_request *rq,
			 struct port_grant *grant, struct error *err)
{
	memset(grant, 0, sizeof(*grant));
	grant->tx_offloads = PORT_TX_CSUM | PORT_TX_ALL_GSO;
	return dummy_adjust(rq, grant, err);
}

static void dummy_release(const struct port_request *rq,
			  struct port_grant *grant)
{
	(void)rq;
	port_grant_close(grant);
}

static struct port *dummy_open(const struct port_request *rq,
			       const struct port_grant *grant,
			       struct error *err)
{
	struct dummy *d = calloc(1, sizeof(*d));

	if (!d) {
		error_set(err, ENOMEM, "no-memory", NULL,
			  "no memory for port %s", rq->name);
		return NULL;
	}
	port_init(&d->port, &port_ops_dummy, rq, grant);
	d->refuse = DROP_REASON_COUNT;
	return &d->port;
}

static void dummy_take_over(struct port *p)
{
	to_dummy(p)->taken_over++;
}

static bool dummy_control(struct port *p)
{
	struct dummy *d = to_dummy(p);
	eventfd_t n;

	if (eventfd_read(p->control_fd, &n) < 0)
		return false;
	d->state = d->said;
	return true;
}

static void dummy_state(struct port *p, struct port_state *state)
{
	*state = to_dummy(p)->state;
}

static void dummy_close(struct port *p)
{
	struct dummy *d = to_dummy(p);
	struct dummy_frame *f;

	dummy_unlend(d);
	while ((f = queue_pop(&d->in)))
		free(f->data);
	while ((f = queue_pop(&d->out)))
		free(f->data);
	if (p->control_fd >= 0)
		close(p->control_fd);
	free(d);
}

const struct port_ops port_ops_dummy = {
	.type = "dummy",
	.acquire = dummy_acquire,
	.adjust = dummy_adjust,
	.release = dummy_release,
	.open = dummy_open,
	.take_over = dummy_take_over,
	.control = dummy_control,
	.state = dummy_state,
	.close = dummy_close,
	.rx = dummy_rx,
	.tx = dummy_tx,
};
