/* liburcu's lfht: a lock-free hash table, split-ordered lists. */
#ifdef HAVE_LIBURCU
#define _LGPL_SOURCE /* its readers' functions inlined */
#include "tests/bench/tables.h"

#include <stdlib.h>
#include <urcu/urcu-qsbr.h>
/* The flavour comes first. */
#include <urcu/rculfhash.h>

struct node {
	struct cds_lfht_node link;
	uint64_t key;
	uint32_t port, seen;
};

struct urcu {
	struct cds_lfht *hash;
	struct node *node;
	uint32_t used, size;
};

static unsigned long hash_of(uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15ull; /* 2^64 by the golden ratio */
	return (unsigned long)(key ^ key >> 32);
}

static int match(struct cds_lfht_node *link, const void *key)
{
	return caa_container_of(link, struct node, link)->key ==
	       *(const uint64_t *)key;
}

static void *make(uint32_t n)
{
	struct urcu *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->node = calloc(n, sizeof(*t->node));
	t->size = 1;
	while (t->size < n) /* a bucket a key, and no growing */
		t->size *= 2;
	urcu_qsbr_register_thread();
	t->hash = cds_lfht_new_flavor(t->size, t->size, t->size, 0,
				      &urcu_qsbr_flavor, NULL);
	if (!t->node || !t->hash) {
		urcu_qsbr_unregister_thread();
		free(t->node);
		free(t);
		return NULL;
	}
	return t;
}

static void clear(void *table)
{
	struct urcu *t = table;
	struct cds_lfht_iter iter;
	struct node *node;

	cds_lfht_for_each_entry(t->hash, &iter, node, link)
		cds_lfht_del(t->hash, &node->link);
	urcu_qsbr_synchronize_rcu();
	t->used = 0;
}

static void release(void *table)
{
	struct urcu *t = table;

	clear(t);
	cds_lfht_destroy(t->hash, NULL);
	urcu_qsbr_unregister_thread();
	free(t->node);
	free(t);
}

static struct node *find(const struct urcu *t, const uint64_t *key)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *link;

	cds_lfht_lookup(t->hash, hash_of(*key), match, key, &iter);
	link = cds_lfht_iter_get_node(&iter);
	return link ? caa_container_of(link, struct node, link) : NULL;
}

static void learn(void *table, const uint64_t *key, uint32_t n, uint32_t now_s)
{
	struct urcu *t = table;

	urcu_qsbr_read_lock();
	for (uint32_t i = 0; i < n; i++) {
		struct node *node = find(t, &key[i]);

		if (!node) {
			node = &t->node[t->used++];
			cds_lfht_node_init(&node->link);
			node->key = key[i];
			cds_lfht_add(t->hash, hash_of(key[i]), &node->link);
		}
		node->port = table_port(key[i]);
		node->seen = now_s;
	}
	urcu_qsbr_read_unlock();
}

static uint64_t lookup(void *table, const uint64_t *key, uint32_t n)
{
	uint64_t sum = 0;

	urcu_qsbr_read_lock();
	for (uint32_t i = 0; i < n; i++) {
		const struct node *node = find(table, &key[i]);

		sum += node ? node->port : UINT32_MAX;
	}
	urcu_qsbr_read_unlock();
	return sum;
}

const struct table table_liburcu = {
	.name = "liburcu",
	.make = make,
	.free = release,
	.clear = clear,
	.learn = learn,
	.lookup = lookup,
};

#endif /* HAVE_LIBURCU */
