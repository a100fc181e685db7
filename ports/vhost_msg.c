#include "ports/vhost_msg.h"

#include "base/fds.h"
#include "ports/vhost_mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HEAD ((uint32_t)sizeof(struct vhost_msg_head))

#define REQUEST_NAME(id, number, name) [number] = (name),
static const char *const names[VHOST_REQUEST_MAX + 1] = { VHOST_REQUESTS(
	REQUEST_NAME) };

const char *vhost_msg_name(uint32_t request)
{
	return request <= VHOST_REQUEST_MAX ? names[request] : NULL;
}

/* Nobody needs to send anything else, which might keep us waiting. */
static bool all_fit(const int *fd, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (!fds_plain(fd[i]) && !vhost_mem_file_fit(fd[i]))
			return false;
	return true;
}

/* Put what came beside the bytes into the inbox. */
static int keep_fds(struct vhost_inbox *in, struct msghdr *msg)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);
		int fd[VHOST_MSG_FDS_MAX];
		unsigned int n = (unsigned int)(len / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		/* There is room for no more, see the control buffer. */
		memcpy(fd, CMSG_DATA(c), n * sizeof(int));
		if (!all_fit(fd, n)) {
			vhost_mem_discard(fd, n);
			r = -EBADF;
			continue;
		}
		if (in->nfds + n > VHOST_MSG_FDS_MAX) {
			vhost_mem_discard(fd, n);
			r = r ? r : -EPROTO;
			continue;
		}
		memcpy(in->fd + in->nfds, fd, n * sizeof(int));
		in->nfds += n;
	}
	/* The kernel leaves out those that there is no room for: in here, or
	 * in our table of descriptors. */
	if (r == 0 && msg->msg_flags & MSG_CTRUNC)
		return in->nfds == VHOST_MSG_FDS_MAX ? -EPROTO : -EMFILE;
	return r;
}

/* Up to `len` bytes. Returns how many, 0: none now, or -errno. */
static int receive_some(struct vhost_inbox *in, int sock, void *to, size_t len)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VHOST_MSG_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t got;
	int r;

	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN	     ? 0
		       : errno == ECONNRESET ? -EPIPE
					     : -errno;
	r = keep_fds(in, &msg);
	if (r < 0)
		return r;
	return got ? (int)got : -EPIPE;
}

static bool head_fits(const struct vhost_msg_head *h)
{
	return (h->flags & VHOST_MSG_VERSION_MASK) == VHOST_MSG_VERSION &&
	       !(h->flags & VHOST_MSG_REPLY) &&
	       h->size <= VHOST_MSG_PAYLOAD_MAX;
}

int vhost_inbox_receive(struct vhost_inbox *in, int sock)
{
	uint32_t end;

	for (;;) {
		bool head = in->have < HEAD;
		uint8_t *to = head ? (uint8_t *)&in->msg.head + in->have
				   : in->msg.bytes + (in->have - HEAD);
		int r;

		end = HEAD + (head ? 0 : in->msg.head.size);
		if (!head && in->have == end)
			break;
		r = receive_some(in, sock, to, end - in->have);
		if (r <= 0)
			return r;
		in->have += (uint32_t)r;
		if (in->have == HEAD && !head_fits(&in->msg.head))
			return -EPROTO;
	}
	/* What the sender hasn't filled is nothing of the last message's. */
	memset(in->msg.bytes + in->msg.head.size, 0,
	       VHOST_MSG_PAYLOAD_MAX - in->msg.head.size);
	return 1;
}

int vhost_inbox_take_fd(struct vhost_inbox *in)
{
	for (unsigned int i = 0; i < in->nfds; i++) {
		int fd = in->fd[i];

		if (fd < 0)
			continue;
		in->fd[i] = -1;
		return fd;
	}
	return -1;
}

void vhost_inbox_clear(struct vhost_inbox *in)
{
	for (unsigned int i = 0; i < in->nfds; i++)
		if (in->fd[i] >= 0)
			vhost_mem_discard(&in->fd[i], 1);
	in->nfds = 0;
	in->have = 0;
}

int vhost_msg_reply(int sock, uint32_t request, const void *payload,
		    uint32_t size)
{
	struct vhost_msg_head head = { .request = request,
				       .flags = VHOST_MSG_VERSION |
						VHOST_MSG_REPLY,
				       .size = size };
	struct iovec iov[] = {
		{ .iov_base = &head, .iov_len = sizeof(head) },
		{ .iov_base = (void *)payload, .iov_len = size },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t sent;

	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == sizeof(head) + size ? 0 : -EAGAIN;
}
