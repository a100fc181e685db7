#include "base/epoch.h"

#include <stddef.h>

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

void epoch_retire(struct epoch *e, struct epoch_retired *node,
		  void (*destroy)(void *arg), void *arg)
{
	node->next = NULL;
	node->epoch = atomic_fetch_add(&e->now, 1);
	node->destroy = destroy;
	node->arg = arg;
	*e->tail = node;
	e->tail = &node->next;
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
	r->destroy(r->arg); /* which usually frees *r too */
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
