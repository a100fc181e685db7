#include "base/epoch.h"

#include <errno.h>
#include <stdlib.h>

struct epoch_retired {
	struct epoch_retired *next;
	uint64_t epoch; /* free once every reader has seen more than this */
	void (*destroy)(void *arg);
	void *arg;
};

void epoch_init(struct epoch *e)
{
	atomic_init(&e->now, 1);
	e->readers = 0;
	e->head = NULL;
	e->tail = &e->head;
}

struct epoch_reader *epoch_add_reader(struct epoch *e)
{
	struct epoch_reader *r;

	if (e->readers == EPOCH_READERS_MAX)
		return NULL;
	r = &e->reader[e->readers++];
	atomic_init(&r->seen, EPOCH_OFFLINE);
	return r;
}

int epoch_retire(struct epoch *e, void (*destroy)(void *arg), void *arg)
{
	struct epoch_retired *r = malloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->next = NULL;
	r->epoch = atomic_fetch_add(&e->now, 1);
	r->destroy = destroy;
	r->arg = arg;
	*e->tail = r;
	e->tail = &r->next;
	return 0;
}

/* The oldest epoch that a reader may still be in. */
static uint64_t epoch_oldest(struct epoch *e)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned int i = 0; i < e->readers; i++) {
		uint64_t seen = atomic_load(&e->reader[i].seen);

		if (seen != EPOCH_OFFLINE && seen < oldest)
			oldest = seen;
	}
	return oldest;
}

static void epoch_pop(struct epoch *e)
{
	struct epoch_retired *r = e->head;

	e->head = r->next;
	if (!e->head)
		e->tail = &e->head;
	r->destroy(r->arg);
	free(r);
}

bool epoch_reap(struct epoch *e)
{
	uint64_t oldest = epoch_oldest(e);

	while (e->head && e->head->epoch < oldest)
		epoch_pop(e);
	return e->head != NULL;
}

void epoch_fini(struct epoch *e)
{
	while (e->head)
		epoch_pop(e);
}
