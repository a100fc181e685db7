/* uthash: a hash in macros, chains of nodes. */
#ifdef HAVE_UTHASH
#include "tests/bench/tables.h"

#include <stdlib.h>
#include <uthash.h>

struct node {
	uint64_t key;
	uint32_t port, seen;
	UT_hash_handle hh;
};

struct ut {
	struct node *head, *node;
	uint32_t used;
};

static void *make(uint32_t n)
{
	struct ut *t = calloc(1, sizeof(*t));

	if (t)
		t->node = calloc(n, sizeof(*t->node));
	if (t && !t->node) {
		free(t);
		t = NULL;
	}
	return t;
}

static void clear(void *table)
{
	struct ut *t = table;

	HASH_CLEAR(hh, t->head);
	t->used = 0;
}

static void release(void *table)
{
	struct ut *t = table;

	clear(t);
	free(t->node);
	free(t);
}

static struct node *find(const struct ut *t, const uint64_t *key)
{
	struct node *node;

	HASH_FIND(hh, t->head, key, sizeof(*key), node);
	return node;
}

static void learn(void *table, const uint64_t *key, uint32_t n, uint32_t now_s)
{
	struct ut *t = table;

	for (uint32_t i = 0; i < n; i++) {
		struct node *node = find(t, &key[i]);

		if (!node) {
			node = &t->node[t->used++];
			node->key = key[i];
			HASH_ADD(hh, t->head, key, sizeof(node->key), node);
		}
		node->port = table_port(key[i]);
		node->seen = now_s;
	}
}

static uint64_t lookup(void *table, const uint64_t *key, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct node *node = find(table, &key[i]);

		sum += node ? node->port : UINT32_MAX;
	}
	return sum;
}

const struct table table_uthash = {
	.name = "uthash",
	.make = make,
	.free = release,
	.clear = clear,
	.learn = learn,
	.lookup = lookup,
};

#endif /* HAVE_UTHASH */
