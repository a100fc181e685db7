#include "switchd/grants_held.h"

#include "ports/port.h"
#include "ports/vhost_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* For the monitor: another switch process, an upgrade, ports that come. */
#define RESERVED_FDS 128

struct grants_held {
	uint32_t n; /* of those that aren't -1 */
	int fd[PORT_HELD_MAX];
};

bool grants_held_fit(int fd)
{
	char link[32], name[64] = "";
	socklen_t len = sizeof(int);
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
		return domain == AF_UNIX;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, name, sizeof(name) - 1) < 0)
		return false;
	/* No path begins like that. */
	if (!strcmp(name, "anon_inode:[eventfd]") ||
	    !strncmp(name, "pipe:", strlen("pipe:")))
		return true;
	return vhost_mem_file_fit(fd);
}

static struct grants_held *held_new(void)
{
	struct grants_held *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	h->n = 0;
	for (uint32_t i = 0; i < PORT_HELD_MAX; i++)
		h->fd[i] = -1;
	return h;
}

/* A copy that leaves the monitor what it needs: the lowest number is taken. */
static int copy(int fd)
{
	int new = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct rlimit r;

	if (new < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 &&
	    (rlim_t) new + RESERVED_FDS < r.rlim_cur)
		return new;
	close(new);
	return -EMFILE;
}

static void drop(struct grants_held *h, uint32_t number)
{
	int *fd = &h->fd[number];

	if (*fd < 0)
		return;
	vhost_mem_discard(fd, 1);
	*fd = -1;
	h->n--;
}

int grants_held_put(struct grants_held **h, uint32_t number, int fd)
{
	if (number >= PORT_HELD_MAX)
		return -EINVAL;
	if (fd >= 0 && !*h)
		*h = held_new();
	if (!*h)
		return fd >= 0 ? -ENOMEM : 0;
	if (fd >= 0) {
		fd = copy(fd);
		if (fd < 0)
			return fd;
	}
	drop(*h, number);
	(*h)->fd[number] = fd;
	(*h)->n += fd >= 0;
	return 0;
}

int grants_held_get(const struct grants_held *h, uint32_t number)
{
	return h && number < PORT_HELD_MAX && h->fd[number] >= 0 ? h->fd[number]
								 : -ENOENT;
}

void grants_held_free(struct grants_held *h)
{
	for (uint32_t i = 0; h && i < PORT_HELD_MAX; i++)
		drop(h, i);
	free(h);
}

uint32_t grants_held_count(const struct grants_held *h)
{
	return h ? h->n : 0;
}

int grants_held_survive(const struct grants_held *h, bool survive)
{
	for (uint32_t i = 0; h && i < PORT_HELD_MAX; i++)
		if (h->fd[i] >= 0 &&
		    fcntl(h->fd[i], F_SETFD, survive ? 0 : FD_CLOEXEC) < 0)
			return -errno;
	return 0;
}

int grants_held_write(const struct grants_held *h, uint32_t grant, int file)
{
	for (uint32_t i = 0; h && i < PORT_HELD_MAX; i++) {
		const struct grants_held_record r = { grant, i, h->fd[i] };

		if (r.fd >= 0 && write(file, &r, sizeof(r)) != sizeof(r))
			return -EIO;
	}
	return 0;
}

int grants_held_restore(struct grants_held **h,
			const struct grants_held_record *r)
{
	if (r->number >= PORT_HELD_MAX || r->fd < 0 ||
	    grants_held_get(*h, r->number) >= 0)
		return -EINVAL;
	if (!*h)
		*h = held_new();
	if (!*h)
		return -ENOMEM;
	(*h)->fd[r->number] = r->fd;
	(*h)->n++;
	return 0;
}

void grants_held_disown(struct grants_held *h)
{
	free(h);
}
