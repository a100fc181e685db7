#include "base/rights.h"

#include "base/fds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

void rights_refuse(int fd)
{
	const int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

static int option(int fd, int name, int otherwise)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? otherwise
								  : value;
}

bool rights_may_come(int fd)
{
	return option(fd, SO_DOMAIN, AF_UNSPEC) == AF_UNIX &&
	       option(fd, SO_PASSRIGHTS, 1);
}

void rights_give_room(struct msghdr *m, struct rights_room *room)
{
	m->msg_control = room->control.buf;
	m->msg_controllen = sizeof(room->control.buf);
}

/* How many came with m, and those into fd[], if it isn't NULL. */
static unsigned int collect(const struct msghdr *m, int *fd)
{
	struct msghdr *msg = (struct msghdr *)m; /* CMSG_NXTHDR's type */
	unsigned int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (fd)
			memcpy(fd + n, CMSG_DATA(c), len);
		n += (unsigned int)(len / sizeof(*fd));
	}
	return n;
}

int rights_discard(const struct mmsghdr *m, unsigned int n)
{
	unsigned int came = 0, have = 0;
	bool cut = false;
	int *fd, r;

	for (unsigned int i = 0; i < n; i++) {
		came += collect(&m[i].msg_hdr, NULL);
		cut |= (m[i].msg_hdr.msg_flags & MSG_CTRUNC) != 0;
	}
	if (!came)
		return cut ? -EBUSY : 0;
	fd = malloc(came * sizeof(*fd));
	if (!fd)
		return -EBUSY;
	for (unsigned int i = 0; i < n; i++)
		have += collect(&m[i].msg_hdr, fd + have);
	r = fds_hand_over(fd, have);
	free(fd);
	return cut ? -EBUSY : r;
}

ssize_t rights_recv(int fd, void *to, size_t len, int flags)
{
	struct rights_room room;
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	ssize_t got;

	rights_give_room(&m.msg_hdr, &room);
	got = recvmsg(fd, &m.msg_hdr, flags | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return got;
	if (rights_discard(&m, 1) == 0)
		return got;
	errno = EBUSY;
	return -1;
}

void rights_close(int fd)
{
	if (!rights_may_come(fd))
		close(fd);
	else if (!fds_close_plain(fd))
		(void)fds_hand_over(&fd, 1);
}
