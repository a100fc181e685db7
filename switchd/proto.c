#include "switchd/proto.h"

#include "base/fds.h"
#include "ports/listen.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than any version's message; what comes is cut to it. */
#define RECEIVE_MAX 16384

void proto_close_fds(const int *fd, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fd[i]);
}

int proto_pair(int fd[2])
{
	/* Blocking or not is said with each call. */
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0
		       ? -errno
		       : 0;
}

int proto_send(int channel, struct proto_msg *m, const int *fd,
	       unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PROTO_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	m->head.magic = PROTO_MAGIC;
	m->head.version = PROTO_VERSION;
	m->head.nfds = nfds;
	if (nfds) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fd, nfds * sizeof(int));
	}
	do
		sent = sendmsg(channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static unsigned int take_fds(struct msghdr *msg, int *fd)
{
	unsigned int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		/* There is room for no more, see the control buffer. */
		memcpy(fd + n, CMSG_DATA(c), len);
		n += (unsigned int)(len / sizeof(int));
	}
	return n;
}

static bool is_zero(const char *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/* Version and size, see the header. */
static int check(const struct proto_msg *m, const char *buf, size_t len,
		 bool cut, unsigned int nfds)
{
	if (len < sizeof(m->head) || m->head.magic != PROTO_MAGIC)
		return -EPROTO;
	/* The kernel leaves out those that there is no room for here. */
	if (cut && nfds < m->head.nfds && m->head.nfds <= PROTO_FDS_MAX)
		return -EMFILE;
	if (cut || m->head.nfds != nfds)
		return -EPROTO;
	if (m->head.version != PROTO_VERSION)
		return -EPROTONOSUPPORT;
	if (len > sizeof(*m) && !is_zero(buf + sizeof(*m), len - sizeof(*m)))
		return -EPROTONOSUPPORT;
	return 0;
}

static void end_texts(struct proto_msg *m)
{
	switch (m->head.type) {
	case PROTO_SAVE:
	case PROTO_ID:
	case PROTO_ACL:
	case PROTO_READY:
	case PROTO_DONE:
		m->text[sizeof(m->text) - 1] = '\0';
		break;
	case PROTO_START:
		m->start.socket[sizeof(m->start.socket) - 1] = '\0';
		m->start.helper_socket[sizeof(m->start.helper_socket) - 1] =
			'\0';
		break;
	default:
		break;
	}
	if (m->head.result == 0 && m->head.type != PROTO_FAILED &&
	    m->head.type != PROTO_RESUME)
		return;
	m->error.reason[sizeof(m->error.reason) - 1] = '\0';
	m->error.path[sizeof(m->error.path) - 1] = '\0';
	m->error.message[sizeof(m->error.message) - 1] = '\0';
}

static int wait_readable(int channel, int timeout_ms)
{
	struct pollfd p = { .fd = channel, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

int proto_receive(int channel, struct proto_msg *m, int *fd, int timeout_ms)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(PROTO_FDS_MAX * sizeof(int))];
	} control;
	char buf[RECEIVE_MAX];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	unsigned int nfds;
	ssize_t got;
	int r = wait_readable(channel, timeout_ms);

	if (r < 0)
		return r;
	do
		got = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	nfds = take_fds(&msg, fd);
	/* Nobody sends an empty one. */
	if (got == 0 && !nfds)
		return -EPIPE;
	memset(m, 0, sizeof(*m));
	memcpy(m, buf, (size_t)got < sizeof(*m) ? (size_t)got : sizeof(*m));
	r = msg.msg_flags & MSG_TRUNC ? -EPROTO
				      : check(m, buf, (size_t)got,
					      msg.msg_flags & MSG_CTRUNC, nfds);
	/* Who sends such a thing isn't listened to any more, or has no
	 * descriptors to send (-EMFILE). */
	if (r < 0)
		(void)fds_discard(fd, nfds);
	if (r == 0 || r == -EMFILE)
		end_texts(m);
	return r;
}

/* ---- A request ---- */

/* An array of characters by its place in struct port_request. */
#define TEXT(member)                                               \
	{                                                          \
		offsetof(struct port_request, member),             \
			sizeof(((struct port_request *)0)->member) \
	}

struct text {
	size_t at, size;
};

static bool texts_end(const void *rq, const struct text *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!memchr((const char *)rq + t[i].at, '\0', t[i].size))
			return false;
	return true;
}

/* A bool that is neither 0 nor 1 is nothing that C knows. */
static bool flags_are(const void *rq, const size_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const unsigned char *)rq)[at[i]] > 1)
			return false;
	return true;
}

#define FLAG(member) offsetof(struct port_request, member)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool proto_request_sane(const struct proto_msg *m)
{
	static const struct text common[] = { TEXT(type), TEXT(name) };
	static const struct text tap[] = { TEXT(tap.ifname), TEXT(tap.owner),
					   TEXT(tap.group), TEXT(tap.netns),
					   TEXT(tap.address) };
	static const struct text netdev[] = { TEXT(netdev.ifname) };
	static const struct text pcap[] = { TEXT(pcap.file),
					    TEXT(pcap.filter) };
	static const struct text vhost_user[] = { TEXT(vhost_user.path),
						  TEXT(vhost_user.owner),
						  TEXT(vhost_user.group) };
	static const struct text udp[] = { TEXT(udp.local), TEXT(udp.remote) };
	static const struct text dgram[] = { TEXT(dgram.local),
					     TEXT(dgram.remote),
					     TEXT(dgram.owner),
					     TEXT(dgram.group) };
	static const struct text listen[] = { TEXT(listen.address),
					      TEXT(listen.owner),
					      TEXT(listen.group) };
	static const struct text stream[] = { TEXT(stream.connect) };
	static const struct text vde[] = { TEXT(vde.folder) };
	static const size_t common_flags[] = { FLAG(enabled), FLAG(given) };
	static const struct text slirp[] = { TEXT(slirp.ipv4), TEXT(slirp.ipv6),
					     TEXT(slirp.hostfwd),
					     TEXT(slirp.hostname) };
	static const size_t tap_flags[] = { FLAG(tap.persist),
					    FLAG(tap.handover),
					    FLAG(tap.plain) };
	static const size_t netdev_flags[] = { FLAG(netdev.promisc),
					       FLAG(netdev.force),
					       FLAG(netdev.fast) };
	static const size_t pcap_flags[] = { FLAG(pcap.classic),
					     FLAG(pcap.segment) };
	static const size_t vhost_user_flags[] = { FLAG(vhost_user.client) };
	static const size_t slirp_flags[] = { FLAG(slirp.restricted),
					      FLAG(slirp.loopback) };
	const struct port_request *rq = &m->request;

	if (!texts_end(rq, common, COUNT(common)) ||
	    !flags_are(rq, common_flags, COUNT(common_flags)) ||
	    rq->socket_mode > 0777 || (rq->given && !listen_ops_find(rq->type)))
		return false;
	if (!strcmp(rq->type, "tap"))
		return texts_end(rq, tap, COUNT(tap)) &&
		       port_ifname_fit(rq->tap.ifname) &&
		       rq->tap.queues <= TAP_QUEUES_MAX &&
		       flags_are(rq, tap_flags, COUNT(tap_flags));
	if (!strcmp(rq->type, "netdev"))
		return texts_end(rq, netdev, COUNT(netdev)) &&
		       port_ifname_fit(rq->netdev.ifname) &&
		       flags_are(rq, netdev_flags, COUNT(netdev_flags));
	if (!strcmp(rq->type, "pcap"))
		return texts_end(rq, pcap, COUNT(pcap)) &&
		       flags_are(rq, pcap_flags, COUNT(pcap_flags));
	if (!strcmp(rq->type, "vhost-user"))
		return texts_end(rq, vhost_user, COUNT(vhost_user)) &&
		       rq->vhost_user.queues <= PORT_FDS_MAX &&
		       flags_are(rq, vhost_user_flags, COUNT(vhost_user_flags));
	if (!strcmp(rq->type, "udp"))
		return texts_end(rq, udp, COUNT(udp));
	if (!strcmp(rq->type, "dgram"))
		return texts_end(rq, dgram, COUNT(dgram));
	if (!strcmp(rq->type, "seqpacket"))
		return rq->given;
	if (!strcmp(rq->type, "vde") || !strcmp(rq->type, "uml"))
		return rq->given && texts_end(rq, vde, COUNT(vde));
	if (!strcmp(rq->type, "listen"))
		return texts_end(rq, listen, COUNT(listen)) &&
		       listen_ops_of(rq->listen.kind) != NULL;
	if (!strcmp(rq->type, "stream"))
		return texts_end(rq, stream, COUNT(stream));
	if (!strcmp(rq->type, "slirp"))
		return texts_end(rq, slirp, COUNT(slirp)) &&
		       flags_are(rq, slirp_flags, COUNT(slirp_flags));
	return false; /* a type that needs nobody's help, or none at all */
}
