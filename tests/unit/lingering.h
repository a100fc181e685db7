/* lingering - a connection of TCP whose close waits for the other end */
#ifndef TESTS_UNIT_LINGERING_H
#define TESTS_UNIT_LINGERING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two ends of it; what fd[0] has sent nobody has taken, and its close waits for
 * that: a minute. Include cmocka.h before. */
static inline void lingering(int fd[2])
{
	const struct linger on = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char stuff[1 << 16];

	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&a, sizeof(a)), 0);
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	close(listener);
	assert_int_equal(
		setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &on, sizeof(on)), 0);
	while (send(fd[0], stuff, sizeof(stuff), MSG_DONTWAIT) > 0)
		;
}

#endif
