#include "switchd/notify.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

void notify_send(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char text[512];
	socklen_t len;
	va_list ap;
	int fd;

	if (!path || (path[0] != '/' && path[0] != '@') ||
	    strlen(path) >= sizeof(to.sun_path))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(to.sun_path, path, strlen(path));
	if (path[0] == '@') /* Linux's abstract namespace */
		to.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL,
		   (const struct sockaddr *)&to, len) < 0)
		log_warning("daemon", "%s: %s", path, strerror(errno));
	close(fd);
}

/* A variable as a number that is ours (VAR_PID, where set, names us). */
static uint64_t env_number(const char *name, const char *pid_name)
{
	const char *value = getenv(name), *pid = getenv(pid_name);

	if (!value ||
	    (pid && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
		return 0;
	return strtoull(value, NULL, 10);
}

uint64_t notify_watchdog_ns(void)
{
	return env_number("WATCHDOG_USEC", "WATCHDOG_PID") * 1000 / 2;
}

int notify_listen_fd(void)
{
	uint64_t n = env_number("LISTEN_FDS", "LISTEN_PID");

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	if (n == 0)
		return -1;
	if (n > 1)
		log_warning("daemon", "%u sockets handed over: using the first",
			    (unsigned int)n);
	fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC);
	return LISTEN_FDS_START;
}
