/*
 * vhost_hostile CASE SOCKET: a front end that was taken over
 *
 * Each case is a function below. It prints "done" when it has done its worst,
 * and ends when its stdin does; its status is 0 if the switch did what is right
 * with its connection. `decent` is a front end that behaves: its frames go.
 */
#include "base/clock.h"
#include "tests/unit/fds.h"
#include "tests/unit/vhost_front.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAMES	 200u
#define CONNECTS 1000u
#define FDS	 3000u
#define STORM_S	 2u

#define NEED(c)                                                            \
	do {                                                               \
		if (!(c)) {                                                \
			fprintf(stderr, "%d: not so: %s\n", __LINE__, #c); \
			exit(1);                                           \
		}                                                          \
	} while (0)

static const char *path;
static struct front *last; /* guest, which is there until the end */

static struct front *guest(void)
{
	struct front *f = front_new(NULL, NULL);

	front_connect(f, path);
	front_start(f, front_features, 1, 1, 256);
	front_offer(f, 0, 200);
	last = f;
	return f;
}

/* To everybody, from an address of the guest's own; 0x88b5 is for experiments
 * (IEEE 802). */
static void post(struct front *f)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
			      0,    0,	  0,	0,    0x66, 0x88, 0xb5 };

	front_post(f, 1, frame, sizeof(frame), NULL);
}

/* Frames go out, and have come back. */
static void traffic(struct front *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		post(f);
	front_await(f, 1, n);
}

static void decent(void)
{
	traffic(guest(), FRAMES);
}

static void cut(void)
{
	struct front *f = guest();

	traffic(f, FRAMES);
	for (unsigned int i = 0; i < FRAMES; i++)
		post(f);
	/* Nothing of it is touched here any more. */
	NEED(ftruncate(f->region[0].fd, 0) == 0);
}

/* The guest has nothing to send, nor has the ring moved. */
static void cut_idle(void)
{
	struct front *f = guest();

	NEED(ftruncate(f->region[0].fd, 0) == 0);
	NEED(eventfd_write(f->ring[1]->kick, 1) == 0);
}

static void garbage(void)
{
	uint8_t junk[512];

	for (unsigned int i = 0; i < 50; i++) {
		struct front *f = front_new(NULL, NULL);

		front_connect(f, path);
		NEED(getrandom(junk, sizeof(junk), 0) == sizeof(junk));
		junk[4] = 3; /* no version that there is */
		front_send_raw(f, junk, sizeof(junk), NULL, 0);
		front_gone(f);
		front_free(f);
	}
}

/* Messages that end anywhere, as running guests hang up. */
static void truncated(void)
{
	const struct vhost_msg_addr addr = { .index = 1 };
	uint8_t message[12 + sizeof(addr)];
	const struct vhost_msg_head head = {
		.request = VHOST_REQUEST_SET_VRING_ADDR,
		.flags = VHOST_MSG_VERSION,
		.size = sizeof(addr),
	};

	memcpy(message, &head, sizeof(head));
	memcpy(message + sizeof(head), &addr, sizeof(addr));
	for (size_t n = 1; n < sizeof(message); n += 3) {
		struct front *f = guest();

		front_send_raw(f, message, n, NULL, 0);
		front_free(f);
		last = NULL;
	}
}

static void descriptors(void)
{
	int fd[8];

	for (unsigned int i = 0; i < 8; i++)
		fd[i] = eventfd(0, EFD_CLOEXEC);
	for (unsigned int n = 0; n < FDS;) {
		const struct vhost_msg_head head = {
			.request = VHOST_REQUEST_SET_OWNER,
			.flags = VHOST_MSG_VERSION,
		};
		struct front *f = front_new(NULL, NULL);

		front_connect(f, path);
		/* With a message that takes none. They lie in the socket when
		 * it's hung up on; it may be too late for some. */
		for (unsigned int i = 0; i < 12; i++, n += 8)
			(void)fds_send(f->sock, &head, sizeof(head), fd, 8);
		front_gone(f);
		front_free(f);
	}
}

static void connects(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	for (unsigned int i = 0; i < CONNECTS; i++) {
		int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		NEED(sock >= 0);
		NEED(connect(sock, (struct sockaddr *)&a, sizeof(a)) == 0);
		close(sock);
	}
}

/* More frames than the ring has room for. */
static void far_index(void)
{
	struct front *f = guest();
	struct vdriver *d = f->ring[1]->driver;

	traffic(f, FRAMES);
	*(volatile uint16_t *)(void *)(d->driver + 2) =
		(uint16_t)(d->avail + 20000);
	NEED(eventfd_write(f->ring[1]->kick, 1) == 0);
}

/* A worker that calls the guest is to wait for ever. */
static void call(void)
{
	struct front *f = guest();
	int fd = f->ring[1]->call;
	eventfd_t n;

	traffic(f, FRAMES);
	vdriver_want_calls(f->ring[1]->driver);
	while (eventfd_write(fd, UINT64_MAX - 1) < 0) /* calls are in it */
		(void)eventfd_read(fd, &n);
	NEED(fcntl(fd, F_SETFL, 0) == 0);
	post(f);
	front_gone(f);
}

/* Its close may wait. */
static void file(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	const uint64_t zero = 0;
	struct front *f = guest();

	NEED(fd >= 0);
	traffic(f, FRAMES);
	front_send(f, VHOST_REQUEST_SET_VRING_ERR, 0, &zero, sizeof(zero), &fd,
		   1);
	front_gone(f);
}

/* Kicks without frames. */
static void storm(void)
{
	struct front *f = guest();
	uint64_t end = clock_ns() + STORM_S * CLOCK_NS_PER_S, n = 0;

	traffic(f, FRAMES);
	for (; clock_ns() < end; n++)
		NEED(eventfd_write(f->ring[1]->kick, 1) == 0);
	fprintf(stderr, "%u kicks a second\n", (unsigned int)(n / STORM_S));
	traffic(f, FRAMES);
}

static const struct attack {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{ "decent", decent },	    { "cut", cut },
	{ "cut-idle", cut_idle },   { "garbage", garbage },
	{ "truncated", truncated }, { "descriptors", descriptors },
	{ "connects", connects },   { "far-index", far_index },
	{ "call", call },	    { "file", file },
	{ "storm", storm },
};

int main(int argc, char **argv)
{
	char c;

	if (argc != 3)
		return 2;
	path = argv[2];
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(argv[1], attacks[i].name))
			continue;
		attacks[i].run();
		puts("done");
		(void)fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
		if (last)
			front_free(last);
		return 0;
	}
	return 2;
}
