#include "ports/link.h"

#include "ports/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A burst of a thousand devices coming and going fits; past it the monitor
 * reads everything anew. */
#define RECEIVE_BUFFER (4 << 20)
#define MESSAGE_SIZE   32768

struct watched {
	struct link_event last; /* the state last reported */
	bool seen;		/* resync: it is there */
	bool differs;		/* LINK_CHANGED is due */
};

struct link_monitor {
	link_callback *callback;
	void *ctx;
	struct mnl_socket *events;
	struct netlink *ask;
	struct watched *list; /* sorted by ifindex */
	unsigned int count, room;
	bool lost; /* something was missed: resync is due */
	_Alignas(struct nlmsghdr) char buf[MESSAGE_SIZE];
};

/* ---- the list ----------------------------------------------------------- */

/* Where ifindex is or would be inserted. */
static unsigned int list_position(const struct link_monitor *m, int ifindex)
{
	unsigned int low = 0, high = m->count;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (m->list[mid].last.ifindex < ifindex)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct watched *list_find(struct link_monitor *m, int ifindex)
{
	unsigned int i = list_position(m, ifindex);

	return i < m->count && m->list[i].last.ifindex == ifindex ? &m->list[i]
								  : NULL;
}

static int list_insert(struct link_monitor *m, const struct link_event *now)
{
	unsigned int i = list_position(m, now->ifindex);

	if (m->count == m->room) {
		unsigned int room = m->room ? 2 * m->room : 16;
		struct watched *list =
			reallocarray(m->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		m->list = list;
		m->room = room;
	}
	memmove(&m->list[i + 1], &m->list[i],
		(m->count - i) * sizeof(m->list[0]));
	m->list[i] = (struct watched){ .last = *now };
	m->count++;
	return 0;
}

static void list_remove(struct link_monitor *m, struct watched *w)
{
	size_t behind = (size_t)(&m->list[m->count] - (w + 1));

	memmove(w, w + 1, behind * sizeof(*w));
	m->count--;
}

/* ---- states ------------------------------------------------------------- */

static void event_from_link(const struct netlink_link *link,
			    struct link_event *event)
{
	memset(event, 0, sizeof(*event));
	event->kind = LINK_CHANGED;
	event->ifindex = link->ifindex;
	memcpy(event->ifname, link->ifname, sizeof(event->ifname));
	event->up = link->up;
	event->carrier = link->carrier;
	event->mtu = link->mtu;
	event->master = link->master;
}

static bool event_equal(const struct link_event *a, const struct link_event *b)
{
	return a->up == b->up && a->carrier == b->carrier && a->mtu == b->mtu &&
	       a->master == b->master && !strcmp(a->ifname, b->ifname);
}

/* The callback may change the list: no pointer into it lives past a call. */

static void report_gone(struct link_monitor *m, struct watched *w)
{
	struct link_event event = w->last;

	list_remove(m, w);
	event.kind = LINK_GONE;
	event.up = event.carrier = false;
	m->callback(m->ctx, &event);
}

static int take_event(const struct nlmsghdr *nlh, void *ctx)
{
	struct link_monitor *m = ctx;
	struct netlink_link link;
	struct link_event now;
	struct watched *w;
	int r;

	if (netlink_link_parse(nlh, &link))
		return MNL_CB_OK;
	w = list_find(m, link.ifindex);
	if (!w)
		return MNL_CB_OK;
	if (nlh->nlmsg_type == RTM_DELLINK) {
		report_gone(m, w);
		return MNL_CB_OK;
	}
	event_from_link(&link, &now);
	if (event_equal(&now, &w->last))
		return MNL_CB_OK;
	/* The message may be older than what watch or resync have read, so
	 * report what is true now. (Gone by now: RTM_DELLINK follows.) */
	r = netlink_link_get(m->ask, link.ifindex, NULL, &link);
	if (r) {
		m->lost |= r != -ENODEV;
		return MNL_CB_OK;
	}
	event_from_link(&link, &now);
	if (event_equal(&now, &w->last))
		return MNL_CB_OK;
	w->last = now;
	w->differs = false;
	m->callback(m->ctx, &now);
	return MNL_CB_OK;
}

/* ---- resync ------------------------------------------------------------- */

static void resync_link(const struct netlink_link *link, void *ctx)
{
	struct link_monitor *m = ctx;
	struct watched *w = list_find(m, link->ifindex);
	struct link_event now;

	if (!w)
		return;
	event_from_link(link, &now);
	w->seen = true;
	w->differs |= !event_equal(&now, &w->last);
	w->last = now;
}

static struct watched *resync_next(struct link_monitor *m)
{
	for (unsigned int i = 0; i < m->count; i++)
		if (!m->list[i].seen || m->list[i].differs)
			return &m->list[i];
	return NULL;
}

/*
 * First the whole dump, then the callbacks: a callback may watch, which asks
 * on the same connection. What it adds counts as seen. What a dump that broke
 * off has found (`differs`) is reported after the next.
 */
static int resync(struct link_monitor *m)
{
	struct watched *w;
	int r;

	for (unsigned int i = 0; i < m->count; i++)
		m->list[i].seen = false;
	r = netlink_link_each(m->ask, resync_link, m);
	if (r)
		return r;
	m->lost = false;
	while ((w = resync_next(m))) {
		struct link_event event = w->last;

		if (!w->seen) {
			report_gone(m, w);
			continue;
		}
		w->differs = false;
		m->callback(m->ctx, &event);
	}
	return 0;
}

/* ---- the monitor -------------------------------------------------------- */

static void set_receive_buffer(int fd)
{
	int size = RECEIVE_BUFFER;

	/* Without privilege as much as the system allows anyone. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size,
				 sizeof(size));
}

struct link_monitor *link_monitor_new(link_callback *callback, void *ctx)
{
	struct link_monitor *m = calloc(1, sizeof(*m));
	int saved;

	if (!m)
		return NULL;
	m->callback = callback;
	m->ctx = ctx;
	m->ask = netlink_open();
	if (!m->ask)
		goto fail;
	m->events =
		mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->events)
		goto fail;
	set_receive_buffer(mnl_socket_get_fd(m->events));
	if (mnl_socket_bind(m->events, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	return m;
fail:
	saved = errno;
	link_monitor_free(m);
	errno = saved;
	return NULL;
}

void link_monitor_free(struct link_monitor *m)
{
	if (!m)
		return;
	if (m->events)
		mnl_socket_close(m->events);
	netlink_close(m->ask);
	free(m->list);
	free(m);
}

int link_monitor_fd(const struct link_monitor *m)
{
	return mnl_socket_get_fd(m->events);
}

int link_monitor_dispatch(struct link_monitor *m)
{
	/* What is still queued is older than a resync's answer: read it to
	 * the end first, or it would be reported as the newer. */
	for (;;) {
		ssize_t got =
			mnl_socket_recvfrom(m->events, m->buf, sizeof(m->buf));

		if (got < 0 && errno == ENOBUFS) {
			m->lost = true;
			continue;
		}
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0)
			return -errno;
		if (mnl_cb_run(m->buf, (size_t)got, 0, 0, take_event, m) < 0)
			m->lost = true;
	}
	return m->lost ? resync(m) : 0;
}

bool link_monitor_pending(const struct link_monitor *m)
{
	return m->lost;
}

int link_monitor_watch(struct link_monitor *m, int ifindex,
		       struct link_event *now)
{
	struct netlink_link link;
	struct link_event event;
	int r;

	if (list_find(m, ifindex))
		return -EEXIST;
	/* The socket listens already: what happens after this answer comes as
	 * an event. */
	r = netlink_link_get(m->ask, ifindex, NULL, &link);
	if (r)
		return r;
	event_from_link(&link, &event);
	r = list_insert(m, &event);
	if (r)
		return r;
	list_find(m, ifindex)->seen = true;
	if (now)
		*now = event;
	return 0;
}

void link_monitor_unwatch(struct link_monitor *m, int ifindex)
{
	struct watched *w = list_find(m, ifindex);

	if (w)
		list_remove(m, w);
}
