/*
 * plugs - the limit: frames between two of VDE's clients, and nothing else
 *
 *	plugs FOLDER
 *
 * What vde_switch and our vde listener could reach at best: both clients'
 * sockets are connected to ours, up to 64 datagrams of one are taken at once
 * and sent to the other at once; there is no lookup, and what doesn't go is
 * lost. It sleeps in a level-triggered epoll as switchd does. FOLDER is made,
 * with the control socket in it, and the first two clients are the ends. It
 * ends by a signal, or with a client. One thread.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BURST	    64
#define FRAME_MAX   2048      /* of an ordinary MTU */
#define REQUEST_MAX 512	      /* ours of VDE is shorter, see vde_request.h */
#define AT_ADDRESS  12	      /* in a request: magic, version, type */
#define ROOM	    (4 << 20) /* what waits for a client, as our ports have it */
#define CONTROL	    2	      /* its number in the epoll set, and upwards */

struct burst {
	struct mmsghdr msg[BURST];
	struct iovec iov[BURST];
	unsigned char frame[BURST][FRAME_MAX];
};

static struct sockaddr_un in_folder(const char *folder, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", folder, name) >=
	    (int)sizeof(a.sun_path))
		errx(2, "%s: too long", folder);
	return a;
}

static int control_open(const char *folder)
{
	struct sockaddr_un a = in_folder(folder, "ctl");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		err(1, "%s", folder);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 2) < 0)
		err(1, "%s", a.sun_path);
	return fd;
}

/* The next client: its control connection, and *data, connected to it. */
static int client_accept(int control, const char *folder, const char *name,
			 int *data)
{
	struct sockaddr_un own = in_folder(folder, name), peer;
	unsigned char request[REQUEST_MAX];
	int fd = accept(control, NULL, NULL);
	const int room = ROOM;
	ssize_t n;

	if (fd < 0)
		err(1, "accept");
	n = recv(fd, request, sizeof(request), 0);
	if (n < (ssize_t)(AT_ADDRESS + sizeof(peer)))
		errx(1, "no request of a client of VDE's");
	memcpy(&peer, request + AT_ADDRESS, sizeof(peer));
	*data = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*data < 0 ||
	    setsockopt(*data, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) <
		    0 ||
	    bind(*data, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    connect(*data, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		err(1, "%s", own.sun_path);
	if (send(fd, &own, sizeof(own), MSG_NOSIGNAL) != sizeof(own))
		err(1, "answer");
	return fd;
}

static void watch(int ep, int fd, unsigned int number)
{
	struct epoll_event e = { EPOLLIN, { .u32 = number } };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		err(1, "epoll_ctl");
}

static void relay(struct burst *b, int from, int to)
{
	int n, done = 0;

	for (int i = 0; i < BURST; i++) {
		b->iov[i] = (struct iovec){ b->frame[i], FRAME_MAX };
		b->msg[i].msg_hdr = (struct msghdr){ .msg_iov = &b->iov[i],
						     .msg_iovlen = 1 };
	}
	n = recvmmsg(from, b->msg, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		b->iov[i].iov_len = b->msg[i].msg_len;
	while (done < n) {
		int sent = sendmmsg(to, b->msg + done, (unsigned int)(n - done),
				    MSG_DONTWAIT);

		if (sent <= 0)
			break;
		done += sent;
	}
}

int main(int argc, char **argv)
{
	static struct burst b;
	int data[2], ep = epoll_create1(EPOLL_CLOEXEC), control;

	if (argc != 2)
		errx(2, "usage: plugs FOLDER");
	if (ep < 0)
		err(1, "epoll_create1");
	control = control_open(argv[1]);
	for (unsigned int i = 0; i < 2; i++) {
		int fd = client_accept(control, argv[1], i ? "002" : "001",
				       &data[i]);

		watch(ep, data[i], i);
		watch(ep, fd, CONTROL + i);
	}
	for (;;) {
		struct epoll_event e[4];
		int n = epoll_wait(ep, e, 4, -1);

		for (int i = 0; i < n; i++) {
			if (e[i].data.u32 >= CONTROL)
				return 0;
			relay(&b, data[e[i].data.u32], data[!e[i].data.u32]);
		}
	}
}
