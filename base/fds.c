#include "base/fds.h"

#include <sys/socket.h>
#include <unistd.h>

void fds_discard(const int *fd, unsigned int n)
{
	const struct linger none = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		/* Most are no sockets, and don't mind. */
		(void)setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &none,
				 sizeof(none));
		close(fd[i]);
	}
}
