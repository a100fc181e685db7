/* GLib's GHashTable: open addressing over pointers. */
#ifdef HAVE_GLIB
#include "tests/bench/tables.h"

#include <glib.h>
#include <stdlib.h>

struct node {
	gint64 key;
	uint32_t port, seen;
};

struct gl {
	GHashTable *hash;
	struct node *node;
	uint32_t used;
};

static void *make(uint32_t n)
{
	struct gl *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->node = calloc(n, sizeof(*t->node));
	if (!t->node) {
		free(t);
		return NULL;
	}
	t->hash = g_hash_table_new(g_int64_hash, g_int64_equal);
	return t;
}

static void clear(void *table)
{
	struct gl *t = table;

	g_hash_table_remove_all(t->hash);
	t->used = 0;
}

static void release(void *table)
{
	struct gl *t = table;

	g_hash_table_destroy(t->hash);
	free(t->node);
	free(t);
}

static void learn(void *table, const uint64_t *key, uint32_t n, uint32_t now_s)
{
	struct gl *t = table;

	for (uint32_t i = 0; i < n; i++) {
		struct node *node = g_hash_table_lookup(t->hash, &key[i]);

		if (!node) {
			node = &t->node[t->used++];
			node->key = (gint64)key[i];
			g_hash_table_insert(t->hash, &node->key, node);
		}
		node->port = table_port(key[i]);
		node->seen = now_s;
	}
}

static uint64_t lookup(void *table, const uint64_t *key, uint32_t n)
{
	struct gl *t = table;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct node *node = g_hash_table_lookup(t->hash, &key[i]);

		sum += node ? node->port : UINT32_MAX;
	}
	return sum;
}

const struct table table_glib = {
	.name = "glib",
	.make = make,
	.free = release,
	.clear = clear,
	.learn = learn,
	.lookup = lookup,
};

#endif /* HAVE_GLIB */
