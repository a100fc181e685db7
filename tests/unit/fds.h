/* fds - a test's own descriptors: how many there are, and sending some */
#ifndef TESTS_UNIT_FDS_H
#define TESTS_UNIT_FDS_H

#include <dirent.h>
#include <string.h>
#include <sys/socket.h>

static inline unsigned int fds_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

#define FDS_SEND_MAX 253 /* SCM_MAX_FD of the kernel */

/* Send bytes and, beside them, n <= FDS_SEND_MAX descriptors. As sendmsg. */
static inline ssize_t fds_send(int sock, const void *data, size_t len,
			       const int *fd, unsigned int n)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(FDS_SEND_MAX * sizeof(int))];
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fd, n * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

#endif
