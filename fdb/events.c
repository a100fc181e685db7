/*
 * The ring of change records, under the writer lock: its writers hold that
 * anyway, and its one reader comes a few times a second.
 */
#include "fdb/fdb.h"

#include "fdb/table.h"

#include <errno.h>
#include <stdlib.h>

void fdb_event_record(struct fdb_writer *w, enum fdb_event_type type,
		      uint64_t key, uint32_t port, uint32_t old_port)
{
	if (!w->ring)
		return;
	if (w->ring_count == FDB_EVENTS_MAX) {
		w->ring_lost++;
		return;
	}
	w->ring[(w->ring_head + w->ring_count++) % FDB_EVENTS_MAX] =
		(struct fdb_event){
			.key = key,
			.port = port,
			.old_port = old_port,
			.type = type,
		};
}

int fdb_events_enable(struct fdb *fdb, bool on)
{
	struct fdb_writer *w = fdb->w;
	struct fdb_event *ring = NULL, *old = NULL;

	if (on) {
		ring = calloc(FDB_EVENTS_MAX, sizeof(*ring));
		if (!ring)
			return -ENOMEM;
	}
	pthread_mutex_lock(&w->lock);
	if (on && w->ring) {
		old = ring; /* on already: keep what waits */
	} else {
		old = w->ring;
		w->ring = ring;
		w->ring_head = 0;
		w->ring_count = 0;
		w->ring_lost = 0;
	}
	pthread_mutex_unlock(&w->lock);
	free(old);
	return 0;
}

unsigned int fdb_events_drain(struct fdb *fdb, struct fdb_event *out,
			      unsigned int max, uint64_t *lost)
{
	struct fdb_writer *w = fdb->w;
	unsigned int n = 0;

	pthread_mutex_lock(&w->lock);
	while (n < max && w->ring_count) {
		out[n++] = w->ring[w->ring_head];
		w->ring_head = (w->ring_head + 1) % FDB_EVENTS_MAX;
		w->ring_count--;
	}
	*lost = w->ring_lost;
	w->ring_lost = 0;
	pthread_mutex_unlock(&w->lock);
	return n;
}
