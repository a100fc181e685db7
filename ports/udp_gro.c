#include "ports/udp_gro.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

void udp_gro_ask(int socket)
{
	const int on = 1;

	(void)setsockopt(socket, SOL_UDP, UDP_GRO, &on, sizeof(on));
}

bool udp_gro_asked(int socket)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(socket, SOL_UDP, UDP_GRO, &on, &len) == 0 && on;
}

/* ---- Open and close ---- */

static int open_set(struct udp_gro *g, int socket)
{
	struct epoll_event e = { .events = EPOLLIN };

	g->epoll = epoll_create1(EPOLL_CLOEXEC);
	g->again = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->epoll < 0 || g->again < 0 ||
	    epoll_ctl(g->epoll, EPOLL_CTL_ADD, g->again, &e) < 0 ||
	    epoll_ctl(g->epoll, EPOLL_CTL_ADD, socket, &e) < 0)
		return -errno;
	return 0;
}

struct udp_gro *udp_gro_new(int socket, uint8_t *lanes)
{
	struct udp_gro *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return NULL;
	r = open_set(g, socket);
	if (r < 0) {
		udp_gro_free(g);
		errno = -r;
		return NULL;
	}
	for (unsigned int i = 0; i < UDP_GRO_LANES; i++) {
		struct msghdr *m = &g->msg[i].msg_hdr;

		g->iov[i].iov_base = lanes + (size_t)i * FRAME_LEN_MAX;
		g->iov[i].iov_len = FRAME_LEN_MAX;
		m->msg_iov = &g->iov[i];
		m->msg_iovlen = 1;
		udp_gro_prepare(g, i, m);
	}
	return g;
}

void udp_gro_free(struct udp_gro *g)
{
	if (!g)
		return;
	if (g->epoll >= 0)
		close(g->epoll);
	if (g->again >= 0)
		close(g->again);
	free(g);
}

/* ---- Messages ---- */

void udp_gro_prepare(struct udp_gro *g, unsigned int i, struct msghdr *m)
{
	m->msg_control = &g->control[i];
	m->msg_controllen = sizeof(g->control[i]);
}

uint32_t udp_gro_segment(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int segment;

	if (!c || c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO ||
	    c->cmsg_len < CMSG_LEN(sizeof(segment)))
		return 0;
	memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	return segment > 0 ? (uint32_t)segment : 0;
}

void udp_gro_add(struct udp_gro *g, const uint8_t *data, uint32_t len,
		 uint32_t segment)
{
	if (!udp_gro_waits(g))
		g->first = g->n = 0;
	g->wait[g->n++] = (struct udp_gro_message){
		.data = data,
		.len = len,
		.segment = len > FRAME_LEN_MAX ? 0 : segment,
	};
}

void udp_gro_received(struct udp_gro *g, unsigned int n)
{
	if (n)
		g->alone++;
	for (unsigned int i = 0; i < n; i++) {
		struct msghdr *m = &g->msg[i].msg_hdr;
		uint32_t segment = udp_gro_segment(m);

		if (segment)
			g->alone = 0;
		udp_gro_add(g, g->iov[i].iov_base, g->msg[i].msg_len, segment);
		udp_gro_prepare(g, i, m);
	}
	g->joined = g->alone < UDP_GRO_PATIENCE;
}

/* ---- Frames ---- */

/* The next frame of message m, whole at data; the message has `left` bytes.
 * Returns how many of them that are. */
static uint32_t split(const struct udp_gro_message *m, uint32_t offset,
		      uint32_t left, uint8_t *data, struct frame *f)
{
	uint32_t len = m->segment && m->segment < left ? m->segment : left;
	uint32_t there = len > FRAME_LEN_MAX ? FRAME_LEN_MAX : len;

	memcpy(data, m->data + offset, there);
	frame_init(f, data, len);
	f->head_len = there;
	return len;
}

unsigned int udp_gro_take(struct udp_gro *g, struct frame *f, unsigned int max,
			  struct frame_arena *arena)
{
	unsigned int n = 0;

	while (udp_gro_waits(g) && n < max) {
		const struct udp_gro_message *m = &g->wait[g->first];
		uint8_t *data = frame_arena_peek(arena);

		if (!data)
			break;
		g->offset +=
			split(m, g->offset, m->len - g->offset, data, &f[n]);
		frame_arena_take(arena, f[n++].head_len);
		if (g->offset < m->len)
			continue;
		g->first++;
		g->offset = 0;
	}
	return n;
}

void udp_gro_wake(struct udp_gro *g)
{
	eventfd_t n;

	if (g->nudged == udp_gro_waits(g))
		return;
	g->nudged = !g->nudged;
	if (g->nudged)
		(void)eventfd_write(g->again, 1);
	else
		(void)eventfd_read(g->again, &n);
}
