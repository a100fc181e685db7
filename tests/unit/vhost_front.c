#include "tests/unit/vhost_front.h"

#include "base/clock.h"
#include "ports/vhost_ring.h"
#include "tests/unit/fds.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BIT(n)	   (1ull << (n))
#define RING_SPACE (1ull << 20)
#define DRIVER_AT  (512ull << 10)
#define DEVICE_AT  (640ull << 10)
#define BUFFERS_AT (FRONT_RINGS * RING_SPACE)
/* Neither is the other, nor are they what we have here. */
#define GUEST_BASE 0x40000000ull
#define USER_BASE  0x7000000000ull
#define REGION_GAP (1ull << 30)

const uint64_t front_features =
	BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
	BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
	BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
	BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
	BIT(VHOST_FEATURE_PROTOCOL);

const uint64_t front_protocol =
	BIT(VHOST_PROTOCOL_MQ) | BIT(VHOST_PROTOCOL_LOG_SHMFD) |
	BIT(VHOST_PROTOCOL_RARP) | BIT(VHOST_PROTOCOL_REPLY_ACK) |
	BIT(VHOST_PROTOCOL_NET_MTU) | BIT(VHOST_PROTOCOL_RESET_DEVICE) |
	BIT(VHOST_PROTOCOL_MEM_SLOTS) | BIT(VHOST_PROTOCOL_STATUS);

#define NEED(what)                                                        \
	do {                                                              \
		if (!(what)) {                                            \
			fprintf(stderr, "%s:%d: front end: not so: %s\n", \
				__FILE__, __LINE__, #what);               \
			exit(1);                                          \
		}                                                         \
	} while (0)

struct front *front_new(void (*pump)(void *ctx), void *ctx)
{
	struct front *f = calloc(1, sizeof(*f));

	NEED(f);
	f->sock = -1;
	f->pump = pump;
	f->ctx = ctx;
	return f;
}

void front_hang_up(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

static void ring_free(struct front *f, uint32_t index)
{
	struct front_ring *r = f->ring[index];

	if (!r)
		return;
	close(r->kick);
	close(r->call);
	close(r->err);
	free(r->driver);
	free(r);
	f->ring[index] = NULL;
}

static void free_memory(struct front *f)
{
	while (f->nregions) {
		struct front_region *r = &f->region[--f->nregions];

		munmap(r->host, FRONT_REGION_SIZE);
		close(r->fd);
	}
}

void front_free(struct front *f)
{
	front_hang_up(f);
	for (uint32_t i = 0; i < FRONT_RINGS; i++)
		ring_free(f, i);
	free_memory(f);
	free(f);
}

void front_connect(struct front *f, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	NEED(f->sock >= 0);
	NEED(connect(f->sock, (struct sockaddr *)&a, sizeof(a)) == 0);
	if (f->pump)
		f->pump(f->ctx);
}

/* Until it is readable; the other side may have to do something for it. */
static void wait_readable(struct front *f, int fd)
{
	uint64_t end = clock_ns() + FRONT_DEADLINE_MS * 1000000ull;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	do {
		if (f->pump)
			f->pump(f->ctx);
		if (poll(&p, 1, f->pump ? 1 : 100) > 0)
			return;
	} while (clock_ns() < end);
	NEED(!"readable before the deadline");
}

void front_accept(struct front *f, int listener)
{
	wait_readable(f, listener);
	f->sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	NEED(f->sock >= 0);
}

/* ---- messages ---- */

void front_send_raw(struct front *f, const void *data, size_t len,
		    const int *fd, unsigned int nfds)
{
	NEED(nfds <= FDS_SEND_MAX);
	NEED(fds_send(f->sock, data, len, fd, nfds) == (ssize_t)len);
}

void front_send(struct front *f, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size, const int *fd,
		unsigned int nfds)
{
	uint8_t buf[sizeof(struct vhost_msg_head) + VHOST_MSG_PAYLOAD_MAX];
	struct vhost_msg_head head = { request, VHOST_MSG_VERSION | flags,
				       size };

	NEED(size <= VHOST_MSG_PAYLOAD_MAX);
	memcpy(buf, &head, sizeof(head));
	if (size)
		memcpy(buf + sizeof(head), payload, size);
	front_send_raw(f, buf, sizeof(head) + size, fd, nfds);
	if (f->pump)
		f->pump(f->ctx);
}

void front_reply(struct front *f, uint32_t request, void *payload,
		 uint32_t size)
{
	struct vhost_msg_head head;

	wait_readable(f, f->sock);
	NEED(recv(f->sock, &head, sizeof(head), MSG_WAITALL) == sizeof(head));
	NEED(head.request == request);
	NEED(head.flags == (VHOST_MSG_VERSION | VHOST_MSG_REPLY));
	NEED(head.size == size);
	NEED(recv(f->sock, payload, size, MSG_WAITALL) == (ssize_t)size);
}

void front_gone(struct front *f)
{
	char c;

	wait_readable(f, f->sock);
	NEED(recv(f->sock, &c, 1, 0) <= 0);
}

uint64_t front_ack(struct front *f, uint32_t request, const void *payload,
		   uint32_t size, const int *fd, unsigned int nfds)
{
	bool ack = f->protocol & BIT(VHOST_PROTOCOL_REPLY_ACK);
	uint64_t v = 0;

	front_send(f, request, ack ? VHOST_MSG_NEED_REPLY : 0, payload, size,
		   fd, nfds);
	if (ack)
		front_reply(f, request, &v, sizeof(v));
	return v;
}

uint64_t front_ack_u64(struct front *f, uint32_t request, uint64_t v)
{
	return front_ack(f, request, &v, sizeof(v), NULL, 0);
}

uint64_t front_ack_vring(struct front *f, uint32_t request, uint32_t index,
			 uint32_t num)
{
	struct vhost_msg_vring m = { index, num };

	return front_ack(f, request, &m, sizeof(m), NULL, 0);
}

uint64_t front_ack_fd(struct front *f, uint32_t request, uint32_t index, int fd)
{
	uint64_t m = fd < 0 ? index | VHOST_MSG_NOFD : index;

	return front_ack(f, request, &m, sizeof(m), &fd, fd >= 0);
}

uint64_t front_get_u64(struct front *f, uint32_t request)
{
	uint64_t v;

	front_send(f, request, 0, NULL, 0, NULL, 0);
	front_reply(f, request, &v, sizeof(v));
	return v;
}

uint32_t front_get_base(struct front *f, uint32_t index)
{
	struct vhost_msg_vring m = { index, 0 };

	front_send(f, VHOST_REQUEST_GET_VRING_BASE, 0, &m, sizeof(m), NULL, 0);
	front_reply(f, VHOST_REQUEST_GET_VRING_BASE, &m, sizeof(m));
	NEED(m.index == index);
	return m.num;
}

/* ---- a device ---- */

void front_begin(struct front *f, uint64_t features, uint64_t protocol)
{
	f->features = features & front_get_u64(f, VHOST_REQUEST_GET_FEATURES);
	if (f->features & BIT(VHOST_FEATURE_PROTOCOL)) {
		protocol &=
			front_get_u64(f, VHOST_REQUEST_GET_PROTOCOL_FEATURES);
		front_send(f, VHOST_REQUEST_SET_PROTOCOL_FEATURES, 0, &protocol,
			   sizeof(protocol), NULL, 0);
		f->protocol = protocol;
	}
	NEED(front_ack(f, VHOST_REQUEST_SET_OWNER, NULL, 0, NULL, 0) == 0);
	(void)front_ack_u64(f, VHOST_REQUEST_SET_FEATURES, f->features);
}

void front_make_memory(struct front *f, unsigned int n)
{
	free_memory(f);
	for (unsigned int i = 0; i < n; i++) {
		struct front_region *r = &f->region[i];

		r->fd = memfd_create("guest", MFD_CLOEXEC);
		NEED(r->fd >= 0);
		NEED(ftruncate(r->fd, (off_t)FRONT_REGION_SIZE) == 0);
		r->host = mmap(NULL, FRONT_REGION_SIZE, PROT_READ | PROT_WRITE,
			       MAP_SHARED, r->fd, 0);
		NEED(r->host != MAP_FAILED);
		r->told = (struct vhost_msg_region){
			.guest = GUEST_BASE + i * REGION_GAP,
			.size = FRONT_REGION_SIZE,
			.user = USER_BASE + i * REGION_GAP,
		};
		f->nregions++;
	}
}

uint64_t front_tell_memory(struct front *f)
{
	struct vhost_msg_table t = { .n = f->nregions };
	int fd[FRONT_REGIONS];

	for (unsigned int i = 0; i < f->nregions; i++) {
		t.region[i] = f->region[i].told;
		fd[i] = f->region[i].fd;
	}
	return front_ack(f, VHOST_REQUEST_SET_MEM_TABLE, &t,
			 (uint32_t)(offsetof(struct vhost_msg_table, region) +
				    f->nregions * sizeof(t.region[0])),
			 fd, f->nregions);
}

uint64_t front_tell_slots(struct front *f)
{
	uint64_t refused = 0;

	for (unsigned int i = 0; i < f->nregions; i++) {
		struct vhost_msg_slot m = { .region = f->region[i].told };

		refused |= front_ack(f, VHOST_REQUEST_ADD_MEM_REG, &m,
				     sizeof(m), &f->region[i].fd, 1);
	}
	return refused;
}

void front_ring_addr(struct front *f, uint32_t index,
		     struct vhost_msg_addr *addr)
{
	uint64_t at = f->region[0].told.user + index * RING_SPACE;

	*addr = (struct vhost_msg_addr){
		.index = index,
		.desc = at,
		.avail = at + DRIVER_AT,
		.used = at + DEVICE_AT,
		.log = f->region[0].told.guest + index * RING_SPACE + DEVICE_AT,
	};
}

static uint8_t *ring_host(struct front *f, uint32_t index)
{
	return f->region[0].host + index * RING_SPACE;
}

void front_ring_make(struct front *f, uint32_t index, uint16_t size)
{
	struct front_ring *r = calloc(1, sizeof(*r));
	uint8_t *at = ring_host(f, index);

	NEED(r);
	ring_free(f, index);
	f->ring[index] = r;
	r->size = size;
	r->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	NEED(r->kick >= 0 && r->call >= 0 && r->err >= 0);
	r->driver = calloc(1, sizeof(*r->driver));
	NEED(r->driver);
	memset(at, 0, RING_SPACE);
	vdriver_init(r->driver, f->features & BIT(VIRTIO_F_RING_PACKED),
		     f->features & BIT(VIRTIO_RING_F_EVENT_IDX), size, at,
		     at + DRIVER_AT, at + DEVICE_AT);
}

void front_ring_start(struct front *f, uint32_t index, uint32_t base)
{
	struct front_ring *r = f->ring[index];
	struct vhost_msg_addr addr;

	front_ring_addr(f, index, &addr);
	NEED(!front_ack_vring(f, VHOST_REQUEST_SET_VRING_NUM, index, r->size));
	NEED(!front_ack_vring(f, VHOST_REQUEST_SET_VRING_BASE, index, base));
	NEED(!front_ack(f, VHOST_REQUEST_SET_VRING_ADDR, &addr, sizeof(addr),
			NULL, 0));
	NEED(!front_ack_fd(f, VHOST_REQUEST_SET_VRING_CALL, index, r->call));
	NEED(!front_ack_fd(f, VHOST_REQUEST_SET_VRING_ERR, index, r->err));
	NEED(!front_ack_fd(f, VHOST_REQUEST_SET_VRING_KICK, index, r->kick));
	if (f->features & BIT(VHOST_FEATURE_PROTOCOL))
		NEED(!front_ack_vring(f, VHOST_REQUEST_SET_VRING_ENABLE, index,
				      1));
}

void front_start(struct front *f, uint64_t features, unsigned int regions,
		 unsigned int pairs, uint16_t size)
{
	front_begin(f, features, front_protocol);
	front_make_memory(f, regions);
	NEED(!front_tell_memory(f));
	for (uint32_t i = 0; i < 2 * pairs; i++) {
		bool packed = f->features & BIT(VIRTIO_F_RING_PACKED);

		front_ring_make(f, i, size);
		front_ring_start(f, i, packed ? 0x80008000u : 0);
	}
}

/* ---- frames ---- */

/* Buffers are used one after the other; a ring has fewer descriptors. */
static uint32_t take_buffers(struct front_ring *r, uint32_t n)
{
	uint32_t first = r->next_buffer % FRONT_BUFFERS;

	NEED(r->size <= FRONT_BUFFERS && n <= FRONT_BUFFERS);
	if (first + n > FRONT_BUFFERS)
		first = 0;
	r->next_buffer = first + n;
	return first;
}

static uint64_t buffer_offset(uint32_t index, uint32_t buffer)
{
	return BUFFERS_AT +
	       ((uint64_t)index * FRONT_BUFFERS + buffer) * FRONT_BUFFER;
}

static uint8_t *buffer_host(struct front *f, uint32_t index, uint32_t buffer)
{
	return f->region[f->nregions - 1].host + buffer_offset(index, buffer);
}

static void publish(struct front_ring *r)
{
	if (vdriver_publish(r->driver))
		NEED(eventfd_write(r->kick, 1) == 0);
}

void front_offer(struct front *f, uint32_t index, unsigned int n)
{
	struct front_ring *r = f->ring[index];
	uint64_t base = f->region[f->nregions - 1].told.guest;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t buffer = take_buffers(r, 1);
		struct vdriver_piece p = {
			.addr = base + buffer_offset(index, buffer),
			.len = FRONT_BUFFER,
			.write = true,
		};
		int id = vdriver_add(r->driver, &p, 1, NULL);

		NEED(id >= 0);
		r->buffer[id] = (uint16_t)buffer;
	}
	publish(r);
}

bool front_take(struct front *f, uint32_t index, struct front_frame *frame)
{
	struct front_ring *r = f->ring[index];
	const uint32_t head = sizeof(frame->vnet);
	uint32_t len, done = 0, left = 1;
	uint16_t id;

	for (; left; left--) {
		uint8_t *p;

		if (!vdriver_reap(r->driver, &id, &len)) {
			NEED(!done);
			return false;
		}
		p = buffer_host(f, index, r->buffer[id]);
		if (!done) {
			NEED(len >= head);
			memcpy(&frame->vnet, p, head);
			left = frame->buffers = frame->vnet.num_buffers;
			NEED(left > 0);
			len -= head;
			p += head;
		}
		NEED(done + len <= sizeof(frame->data));
		memcpy(frame->data + done, p, len);
		done += len;
	}
	frame->len = done;
	return true;
}

void front_post(struct front *f, uint32_t index, const void *data, uint32_t len,
		const struct virtio_net_hdr_v1 *vnet)
{
	static const struct virtio_net_hdr_v1 plain;
	const uint32_t head = sizeof(plain), all = head + len;
	uint32_t n = (all + FRONT_BUFFER - 1) / FRONT_BUFFER, first;
	struct front_ring *r = f->ring[index];
	uint64_t base = f->region[f->nregions - 1].told.guest;
	struct vdriver_piece p[64];
	uint8_t *to;

	NEED(n <= 64);
	first = take_buffers(r, n);
	/* Buffers that follow each other are one piece of memory. */
	to = buffer_host(f, index, first);
	memcpy(to, vnet ? vnet : &plain, head);
	memcpy(to + head, data, len);
	for (uint32_t i = 0; i < n; i++) {
		p[i].addr = base + buffer_offset(index, first + i);
		p[i].len = i + 1 < n ? FRONT_BUFFER : all - i * FRONT_BUFFER;
		p[i].write = false;
	}
	NEED(vdriver_add(r->driver, p, n, NULL) >= 0);
	publish(r);
}

unsigned int front_reap(struct front *f, uint32_t index)
{
	unsigned int n = 0;
	uint32_t len;
	uint16_t id;

	while (vdriver_reap(f->ring[index]->driver, &id, &len))
		n++;
	return n;
}

void front_await(struct front *f, uint32_t index, unsigned int n)
{
	while (n) {
		unsigned int back;

		/* For the next that isn't back yet; then look once more. */
		vdriver_want_calls(f->ring[index]->driver);
		back = front_reap(f, index);
		NEED(back <= n);
		n -= back;
		if (back)
			continue;
		wait_readable(f, f->ring[index]->call);
		(void)front_called(f, index);
	}
}

uint64_t front_called(struct front *f, uint32_t index)
{
	eventfd_t n;

	return eventfd_read(f->ring[index]->call, &n) < 0 ? 0 : n;
}
