#include "ports/socket_buffers.h"

#include <sys/socket.h>

/* Bytes, of which frames take more than their length: some 1700 full ones. */
#define ROOM (4 << 20)

static void grow(int fd, int force, int plain)
{
	const int room = ROOM;

	if (setsockopt(fd, SOL_SOCKET, force, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, plain, &room, sizeof(room));
}

void socket_buffers_grow(int fd)
{
	grow(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	grow(fd, SO_SNDBUFFORCE, SO_SNDBUF);
}
