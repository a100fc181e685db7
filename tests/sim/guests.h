/*
 * guests - listeners with guests that connect, and a clock that tests move
 *
 * The listening sockets are real ones, in a folder of the test's own; the loop
 * is the test's: guests_run() is what the daemon does when the listeners'
 * descriptor is readable or their time has come, guests_frames() what workers
 * do.
 */
#ifndef TESTS_SIM_GUESTS_H
#define TESTS_SIM_GUESTS_H

#include "switchd/listener.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GUESTS_MS      (1000 * 1000ull)
#define GUESTS_S       (1000 * GUESTS_MS)
#define GUESTS_START   (1000 * GUESTS_S)
#define GUESTS_WORDS   512
#define GUESTS_WAIT_MS 10000 /* only a failing test takes so long */

struct guests {
	struct sim *s;
	char dir[64];
	uint64_t now; /* ns */
	uint64_t due; /* what listeners_run() said last */
	json_t *events;
	uint8_t frame[2048]; /* the newest that a guest has sent */
};

static struct guests guests;

static inline void guests_event(void *ctx, const char *topic, json_t *params)
{
	(void)ctx;
	json_object_set_new(params, "topic", json_string(topic));
	json_array_append_new(guests.events, params);
}

static inline int guests_setup(void **state)
{
	sim_setup(state);
	guests = (struct guests){ .s = *state, .now = GUESTS_START };
	strcpy(guests.dir, "/tmp/sim_listener.XXXXXX");
	guests.events = json_array();
	guests.s->sw->hooks.event = guests_event;
	return mkdtemp(guests.dir) ? 0 : -errno;
}

static inline int guests_teardown(void **state)
{
	int r = sim_teardown(state);

	json_decref(guests.events);
	return rmdir(guests.dir) == 0 ? r : -1; /* nothing is left in it */
}

#define GUESTS_TEST(name) \
	cmocka_unit_test_setup_teardown(name, guests_setup, guests_teardown)

/* The path of a socket called so. */
static inline const char *guests_path(const char *name)
{
	static char path[2][108];
	static unsigned int i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", guests.dir, name);
	return path[i];
}

/* "type=.. KEY=VALUE", listening at a path of its name. A new reference. */
static inline json_t *guests_params(const char *name, const char *words)
{
	char all[GUESTS_WORDS];

	snprintf(all, sizeof(all), "name=%s listen=%s %s", name,
		 guests_path(name), words);
	return sim_params(listener_params, all);
}

static inline int guests_add(const char *name, const char *words,
			     struct error *err)
{
	json_t *params = guests_params(name, words);
	int r = rpc_params_check(listener_params, params, err);

	if (r == 0)
		r = listener_add(guests.s->sw, name, params,
				 SWITCH_ORIGIN_CONTROL, err);
	json_decref(params);
	return r;
}

static inline void guests_listen(const char *name, const char *words)
{
	struct error err = { 0 };

	if (guests_add(name, words, &err) < 0)
		fail_msg("%s %s: %s", name, words, err.message);
}

static inline void guests_remove(const char *name)
{
	struct error err = { 0 };

	assert_int_equal(listener_remove(guests.s->sw, name, &err), 0);
}

/* Somebody connects; he waits for nothing. */
static inline int guests_connect(const char *name, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", guests_path(name));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* One round of the daemon's loop. */
static inline void guests_run(void)
{
	guests.due = listeners_run(guests.s->sw, guests.now);
	switch_commit(guests.s->sw);
	while (switch_reap(guests.s->sw))
		;
}

static inline void guests_pass(uint64_t ns)
{
	guests.now += ns;
	guests_run();
}

/* A record guest, whose port is there. */
static inline int guests_come(const char *name)
{
	int fd = guests_connect(name, SOCK_SEQPACKET);

	guests_run();
	return fd;
}

/* What workers would receive; who has gone is detached. */
static inline void guests_frames(void)
{
	struct switch_port *p = NULL;

	while ((p = switch_port_next(guests.s->sw, p)))
		if (*p->listener)
			worker_poll(p->worker[0], p->port->index,
				    p->port->generation, guests.s->now_s);
	switch_ports_failed(guests.s->sw);
	switch_commit(guests.s->sw);
	while (switch_reap(guests.s->sw))
		;
}

/* A record guest sends a broadcast, and workers receive. */
static inline void guests_broadcast(int fd, uint64_t src)
{
	struct sim_frame f = FRAME(.src = src, .dst = MAC_BROADCAST);
	uint32_t len = sim_build(&f, guests.frame);

	assert_int_equal(send(fd, guests.frame, len, 0), len);
	guests_frames();
}

/* Has it got the newest of those? */
static inline bool guests_got(int fd)
{
	uint8_t got[sizeof(guests.frame)];
	ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

	return n > 0 && !memcmp(got, guests.frame, (size_t)n);
}

/* The other end has hung up, and said nothing before. */
static inline bool guests_hung_up(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Nor has it said anything else. */
static inline bool guests_waits(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static inline bool guests_port(const char *name)
{
	return switch_port_find(guests.s->sw, name) != NULL;
}

/* Of listener.show. */
static inline int64_t guests_count(const char *listener, const char *key)
{
	json_t *o = listener_show(guests.s->sw, listener);
	int64_t n = rpc_get_int(o, key, -1);

	json_decref(o);
	return n;
}

static inline int64_t guests_refused(const char *listener, const char *why)
{
	json_t *o = listener_show(guests.s->sw, listener);
	int64_t n = rpc_get_int(json_object_get(o, "refused"), why, 0);

	json_decref(o);
	return n;
}

static inline size_t guests_ports(const char *listener)
{
	json_t *o = listener_show(guests.s->sw, listener);
	size_t n = json_array_size(json_object_get(o, "ports"));

	json_decref(o);
	return n;
}

/* How many events of the topic there were; forgets all of them. */
static inline unsigned int guests_events(const char *topic)
{
	unsigned int n = 0;
	json_t *e;
	size_t i;

	json_array_foreach(guests.events, i, e)
		n += !strcmp(rpc_get_string(e, "topic", ""), topic);
	json_array_clear(guests.events);
	return n;
}

/* The newest one of the topic; NULL: none. */
static inline json_t *guests_told(const char *topic)
{
	json_t *last = NULL, *e;
	size_t i;

	json_array_foreach(guests.events, i, e)
		if (!strcmp(rpc_get_string(e, "topic", ""), topic))
			last = e;
	return last;
}

#endif
