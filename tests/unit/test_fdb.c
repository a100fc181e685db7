/* The forwarding database, but for what happens when there is no room. */
#include "fdb/fdb.h"

#include "tests/unit/fdb_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Basics ---- */

static void key_holds_vid_and_mac(void **state)
{
	uint64_t key = fdb_key(4095, 0xfeffffffffffull);

	(void)state;
	assert_int_equal(fdb_key_vid(key), 4095);
	assert_int_equal(fdb_key_mac(key), 0xfeffffffffffull);
	assert_int_equal(key & ~FDB_KEY_MASK, 0);
	assert_int_equal(sizeof(struct fdb_bucket), 64);
}

/* A change of the hash would strand the entries of a table adopted later. */
static void hash_is_siphash_1_3_of_one_block(void **state)
{
	const uint64_t secret[2] = { 0x0706050403020100ull,
				     0x0f0e0d0c0b0a0908ull };

	(void)state;
	assert_int_equal(fdb_hash_key(secret, 0x0001020304050607ull),
			 0x51c7e58892cc430cull);
}

static void hashes_of_many_are_those_of_each(void **state)
{
	struct fdb *fdb = small(state);
	uint64_t key[67], hash[68];

	for (unsigned int i = 0; i < 67; i++)
		key[i] = addr(i, i * 7919);
	for (unsigned int n = 0; n <= 67; n++) {
		memset(hash, 0, sizeof(hash));
		fdb_prefetch_many(fdb, key, n, hash);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(hash[i], fdb_hash(fdb, key[i]));
		assert_int_equal(hash[n], 0);
	}
}

static void candidate_buckets_always_differ(void **state)
{
	(void)state;
	for (uint32_t mask = 1; mask < 64; mask = mask * 2 + 1) {
		for (uint64_t i = 0; i < 4096; i++) {
			uint64_t h = i | (i * 31) << 32;
			uint32_t a = fdb_bucket_first(h, mask);
			uint32_t b = fdb_bucket_second(h, mask);

			assert_true(a != b && a <= mask && b <= mask);
		}
	}
}

static void unknown_address_has_no_port(void **state)
{
	assert_int_equal(fdb_lookup(small(state), addr(1, 0)), FDB_NONE);
	/* All of an empty slot is 0, and so is this key. */
	assert_int_equal(fdb_lookup(small(state), fdb_key(0, 0)), FDB_NONE);
}

static void same_mac_in_two_vids_is_two_addresses(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_learn(fdb, fdb_key(1, 42), 1, T0), FDB_LEARNED);
	assert_int_equal(fdb_learn(fdb, fdb_key(2, 42), 2, T0), FDB_LEARNED);
	assert_int_equal(fdb_lookup(fdb, fdb_key(1, 42)), 1);
	assert_int_equal(fdb_lookup(fdb, fdb_key(2, 42)), 2);
	assert_int_equal(fdb_lookup(fdb, fdb_key(3, 42)), FDB_NONE);
}

static void every_slot_can_be_filled(void **state)
{
	struct fdb *fdb = small(state);

	for (uint32_t p = 0; p < SMALL; p++)
		learn_n(fdb, p, 1, T0);
	for (uint32_t p = 0; p < SMALL; p++)
		assert_int_equal(fdb_lookup(fdb, addr(p, 0)), p);
	assert_int_equal(stats_of(fdb).entries, SMALL);
	assert_int_equal(stats_of(fdb).capacity, SMALL);
}

static void half_full_table_refuses_nobody(void **state)
{
	struct fdb *fdb = table_of(4096);

	(void)state;
	learn_n(fdb, 1, 2048, T0);
	assert_int_equal(present(fdb, 1, 2048), 2048);
	assert_int_equal(stats_of(fdb).refused, 0);
	fdb_free(fdb);
}

static void a_move_is_seen_at_once(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 1, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 2, T0), FDB_MOVED);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 2);
	assert_int_equal(entries_of(fdb, 1), 0);
	assert_int_equal(entries_of(fdb, 2), 1);
	assert_int_equal(stats_of(fdb).moved, 1);
	assert_int_equal(stats_of(fdb).entries, 1);
}

static uint32_t seen_of(const struct fdb *fdb, uint64_t key)
{
	return fdb_find(fdb, key, fdb_hash(fdb, key))->seen;
}

static void refresh_writes_at_most_once_a_second(void **state)
{
	struct fdb *fdb = small(state);
	uint64_t key = addr(1, 0);
	uint64_t hash = fdb_prefetch(fdb, key);
	struct fdb_slot *s, before;

	learn_n(fdb, 1, 1, T0);
	s = fdb_find(fdb, key, hash);
	/* A second has begun: one write, to `seen` alone. */
	memcpy(&before, s, sizeof(before));
	assert_int_equal(fdb_learn_at(fdb, key, hash, 1, T0 + 1), FDB_KNOWN);
	assert_int_equal(seen_of(fdb, key), T0 + 1);
	assert_true(s->key == before.key && s->where == before.where);
	/* In the same second, or by a clock that is behind: none. */
	memcpy(&before, s, sizeof(before));
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(fdb_learn_at(fdb, key, hash, 1, T0 + (i & 1)),
				 FDB_KNOWN);
		assert_memory_equal(s, &before, sizeof(before));
	}
}

static void configuration_out_of_range_is_refused(void **state)
{
	struct fdb_config bad[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		bad[i] = config_of(SMALL);
	bad[0].entries = 0;
	bad[1].entries = FDB_ENTRIES_MAX + 1;
	bad[2].ports = 0;
	bad[3].ports = FDB_PORTS_MAX + 1;
	bad[4].uplink_share = 101;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(fdb_memory_size(&bad[i]), 0);
		errno = 0;
		assert_null(fdb_new(&bad[i], NULL));
		assert_int_equal(errno, EINVAL);
	}
}

static void a_port_out_of_range_learns_nothing(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_port_stats s;

	assert_int_equal(fdb_learn(fdb, addr(1, 0), PORTS, T0), FDB_REFUSED);
	assert_int_equal(fdb_add_static(fdb, addr(1, 0), PORTS), -EINVAL);
	assert_int_equal(fdb_port_set(fdb, PORTS, true, 0), -EINVAL);
	assert_int_equal(fdb_port_stats_get(fdb, PORTS, &s), -EINVAL);
	assert_int_equal(stats_of(fdb).entries, 0);
}

/* ---- Static entries ---- */

static void static_entry_never_moves_nor_ages_nor_is_evicted(void **state)
{
	struct fdb *fdb = small(state);
	uint64_t key = addr(1, 0);

	assert_int_equal(fdb_add_static(fdb, key, 1), 0);
	assert_int_equal(fdb_learn(fdb, key, 2, T0), FDB_STATIC);
	assert_int_equal(fdb_learn(fdb, key, 1, T0), FDB_KNOWN);
	assert_int_equal(fdb_learn_locked(fdb, key, fdb_hash(fdb, key), 2, T0),
			 FDB_STATIC);
	assert_int_equal(fdb_age(fdb, T0 + 1000000, UINT32_MAX), 0);
	for (uint32_t p = 2; p < PORTS; p++)
		for (uint32_t i = 0; i < 8; i++)
			fdb_learn(fdb, addr(p, i), p, T0 + 1000000);
	assert_int_equal(fdb_lookup(fdb, key), 1);
	assert_int_equal(stats_of(fdb).static_entries, 1);
	assert_int_equal(stats_of(fdb).entries, 7);
	assert_int_equal(stats_of(fdb).moved, 0);
}

static void a_dynamic_entry_becomes_static_and_changes_ports(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_port_stats s;

	learn_n(fdb, 1, 1, T0);
	assert_int_equal(fdb_add_static(fdb, addr(1, 0), 2), 0);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 2);
	assert_int_equal(fdb_add_static(fdb, addr(1, 0), 3), 0);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 3);
	assert_int_equal(entries_of(fdb, 1), 0);
	assert_int_equal(fdb_port_stats_get(fdb, 2, &s), 0);
	assert_int_equal(s.static_entries, 0);
	assert_int_equal(fdb_port_stats_get(fdb, 3, &s), 0);
	assert_int_equal(s.static_entries, 1);
	assert_int_equal(stats_of(fdb).static_entries, 1);
	assert_int_equal(stats_of(fdb).added, 0);
}

static void static_entries_make_room_until_only_they_are_left(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 5, T0);
	learn_n(fdb, 2, 3, T0);
	assert_int_equal(fdb_add_static(fdb, addr(3, 0), 3), 0);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), FDB_NONE);
	assert_int_equal(present(fdb, 2, 3), 3);
	for (uint32_t i = 1; i < 8; i++)
		assert_int_equal(fdb_add_static(fdb, addr(3, i), 3), 0);
	assert_int_equal(fdb_add_static(fdb, addr(3, 8), 3), -ENOSPC);
	assert_int_equal(fdb_learn(fdb, addr(4, 0), 4, T0), FDB_REFUSED);
	assert_int_equal(present(fdb, 3, 8), 8);
}

static void a_removed_address_is_unknown_again(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_remove(fdb, addr(1, 0)), -ENOENT);
	learn_n(fdb, 1, 1, T0);
	assert_int_equal(fdb_add_static(fdb, addr(2, 0), 2), 0);
	assert_int_equal(fdb_remove(fdb, addr(1, 0)), 0);
	assert_int_equal(fdb_remove(fdb, addr(2, 0)), 0);
	assert_int_equal(fdb_remove(fdb, addr(2, 0)), -ENOENT);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), FDB_NONE);
	assert_int_equal(fdb_lookup(fdb, addr(2, 0)), FDB_NONE);
	assert_int_equal(stats_of(fdb).removed, 2);
}

/* ---- Ageing and flushing ---- */

static void an_entry_ages_to_the_second(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 1, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 1, T0 + 50), FDB_KNOWN);
	assert_int_equal(fdb_age(fdb, T0 + 50 + 299, 2), 0);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 1);
	assert_int_equal(fdb_age(fdb, T0 + 50 + 300, 2), 1);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), FDB_NONE);
	assert_int_equal(stats_of(fdb).aged, 1);
}

static void ageing_survives_the_end_of_the_clock(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 1, UINT32_MAX - 99);
	assert_int_equal(fdb_age(fdb, 199, 2), 0);
	assert_int_equal(fdb_age(fdb, 200, 2), 1);
}

static void age_zero_never_ages(void **state)
{
	struct fdb *fdb = small(state);

	fdb_age_set(fdb, 0);
	learn_n(fdb, 1, 1, T0);
	assert_int_equal(fdb_age(fdb, T0 + 0x7fffffff, 2), 0);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 1);
	fdb_age_set(fdb, 10);
	assert_int_equal(fdb_age(fdb, T0 + 10, 2), 1);
}

static void sweeps_of_a_quarter_reach_all_in_four(void **state)
{
	struct fdb *fdb = table_of(16384); /* 4096 buckets, four strides */
	uint32_t n = 0;

	(void)state;
	learn_n(fdb, 1, 4000, T0);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t aged = fdb_age(fdb, T0 + 10000, 1024);

		assert_true(aged > 0);
		n += aged;
	}
	assert_int_equal(n, 4000);
	assert_int_equal(stats_of(fdb).entries, 0);
	learn_n(fdb, 1, 4000, T0);
	assert_int_equal(fdb_age(fdb, T0 + 10000, UINT32_MAX), 4000);
	fdb_free(fdb);
}

/* Adopted from a clock that was ahead, an entry must not live for ever. */
static void an_entry_from_the_future_ages_from_now(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 1, T0 + 1000000);
	assert_int_equal(fdb_age(fdb, T0, 2), 0);
	assert_int_equal(fdb_age(fdb, T0 + 299, 2), 0);
	assert_int_equal(fdb_age(fdb, T0 + 300, 2), 1);
}

static void flush_by_port_leaves_others(void **state)
{
	struct fdb *fdb = table_of(16384);

	(void)state;
	learn_n(fdb, 1, 3000, T0);
	learn_n(fdb, 2, 3000, T0);
	assert_int_equal(fdb_add_static(fdb, fdb_key(1, 77), 1), 0);
	assert_int_equal(fdb_flush(fdb, 1, FDB_ANY, false), 3000);
	assert_int_equal(fdb_lookup(fdb, fdb_key(1, 77)), 1);
	assert_int_equal(present(fdb, 2, 3000), 3000);
	assert_int_equal(present(fdb, 1, 3000), 0);
	assert_int_equal(fdb_flush(fdb, 1, FDB_ANY, true), 1);
	assert_int_equal(fdb_lookup(fdb, fdb_key(1, 77)), FDB_NONE);
	assert_int_equal(stats_of(fdb).removed, 3001);
	fdb_free(fdb);
}

static void flush_by_vid_leaves_others(void **state)
{
	struct fdb *fdb = small(state);

	for (uint16_t vid = 1; vid <= 2; vid++)
		for (uint32_t p = 1; p <= 2; p++)
			assert_int_equal(
				fdb_learn(fdb, fdb_key(vid, 100 + p), p, T0),
				FDB_LEARNED);
	assert_int_equal(fdb_flush(fdb, 2, 2, false), 1);
	assert_int_equal(fdb_lookup(fdb, fdb_key(2, 102)), FDB_NONE);
	assert_int_equal(fdb_flush(fdb, FDB_ANY, 1, false), 2);
	assert_int_equal(fdb_lookup(fdb, fdb_key(2, 101)), 1);
	assert_int_equal(fdb_flush(fdb, FDB_ANY, FDB_ANY, true), 1);
	assert_int_equal(stats_of(fdb).entries, 0);
}

/* ---- Looking inside ---- */

static void walk_pages_return_each_entry_once(void **state)
{
	struct fdb *fdb = table_of(4096);
	static uint8_t seen[2000];
	struct fdb_entry page[7];
	uint64_t cursor = 0;
	unsigned int n, total = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	learn_n(fdb, 1, 2000, T0);
	do {
		n = fdb_walk(fdb, &cursor, FDB_ANY, FDB_ANY, T0 + 2000, page,
			     7);
		for (unsigned int i = 0; i < n; i++) {
			uint32_t nth = (uint32_t)page[i].mac;

			assert_true(nth < 2000);
			assert_int_equal(seen[nth]++, 0);
			assert_int_equal(page[i].port, 1);
			assert_int_equal(page[i].vid, 1);
			assert_int_equal(page[i].age_s, 2000 - nth);
			/* Others come and go meanwhile. */
			(void)fdb_learn(fdb, addr(2, nth), 2, T0);
			assert_int_equal(fdb_remove(fdb, addr(2, nth)), 0);
		}
		total += n;
	} while (n == 7);
	assert_int_equal(total, 2000);
	assert_int_equal(fdb_walk(fdb, &cursor, FDB_ANY, FDB_ANY, T0, page, 7),
			 0);
	fdb_free(fdb);
}

static void walk_shows_only_what_is_asked_for(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_entry e[8];
	uint64_t cursor = 0;

	learn_n(fdb, 1, 2, T0);
	assert_int_equal(fdb_learn(fdb, fdb_key(5, 55), 2, T0), FDB_LEARNED);
	assert_int_equal(fdb_add_static(fdb, fdb_key(6, 66), 2), 0);
	assert_int_equal(fdb_walk(fdb, &cursor, 2, FDB_ANY, T0, e, 8), 2);
	cursor = 0;
	assert_int_equal(fdb_walk(fdb, &cursor, 2, 6, T0 + 9, e, 8), 1);
	assert_int_equal(e[0].mac, 66);
	assert_true(e[0].is_static);
	assert_int_equal(e[0].age_s, 0);
	assert_true(fdb_get(fdb, fdb_key(5, 55), T0 + 9, e));
	assert_int_equal(e[0].mac, 55);
	assert_int_equal(e[0].vid, 5);
	assert_int_equal(e[0].port, 2);
	assert_int_equal(e[0].age_s, 9);
	assert_false(e[0].is_static);
	assert_false(fdb_get(fdb, fdb_key(5, 56), T0, e));
}

/* ---- Memory that outlives the table ---- */

static void *memory_of(const struct fdb_config *c)
{
	size_t size = fdb_memory_size(c);
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	return memory;
}

static void adopts_memory_of_an_older_table(void **state)
{
	struct fdb_config c = config_of(64);
	void *memory = memory_of(&c);
	struct fdb *fdb = fdb_new(&c, memory);

	(void)state;
	assert_non_null(fdb);
	learn_n(fdb, 1, 10, T0);
	learn_n(fdb, 2, 5, T0);
	assert_int_equal(fdb_add_static(fdb, addr(3, 0), 3), 0);
	fdb_free(fdb);

	/* Another process has another secret; the table keeps its own. */
	c.secret[0] = ~c.secret[0];
	fdb = fdb_new(&c, memory);
	assert_non_null(fdb);
	assert_int_equal(present(fdb, 1, 10), 10);
	assert_int_equal(present(fdb, 2, 5), 5);
	assert_int_equal(fdb_learn(fdb, addr(3, 0), 1, T0), FDB_STATIC);
	assert_int_equal(entries_of(fdb, 1), 10);
	assert_int_equal(entries_of(fdb, 2), 5);
	assert_int_equal(stats_of(fdb).static_entries, 1);
	/* What happened before counts on. */
	assert_int_equal(stats_of(fdb).learned, 15);
	assert_int_equal(stats_of(fdb).added, 1);
	assert_int_equal(stats_of(fdb).adopted, 0);
	fdb_free(fdb);
	free(memory);
}

/* As two processes have it in an upgrade: the old one learns to its end. */
static void adopts_later_what_another_table_has_learned_meanwhile(void **state)
{
	struct fdb_config c = config_of(64);
	void *memory = memory_of(&c);
	struct fdb *old = fdb_new(&c, memory), *fdb;

	(void)state;
	assert_non_null(old);
	learn_n(old, 1, 4, T0);
	c.later = true;
	fdb = fdb_new(&c, memory);
	assert_non_null(fdb);
	assert_int_equal(fdb_port_set(fdb, 1, true, 0), 0);
	assert_int_equal(entries_of(fdb, 1), 0);
	assert_int_equal(present(fdb, 1, 4), 4);
	learn_n(old, 2, 3, T0);
	fdb_adopt(fdb);
	assert_int_equal(entries_of(fdb, 1), 4);
	assert_int_equal(entries_of(fdb, 2), 3);
	/* And back again, with what the other one has done. */
	assert_int_equal(fdb_remove(fdb, addr(1, 0)), 0);
	fdb_adopt(old);
	assert_int_equal(entries_of(old, 1), 3);
	assert_int_equal(stats_of(old).entries, 6);
	assert_int_equal(stats_of(old).adopted, 0);
	fdb_free(fdb);
	fdb_free(old);
	free(memory);
}

static void drops_what_cannot_be_right_in_an_older_table(void **state)
{
	struct fdb_config c = config_of(64);
	void *memory = memory_of(&c);
	struct fdb *fdb = fdb_new(&c, memory);
	uint64_t key = addr(1, 0), hash, h;
	struct fdb_bucket *other;
	uint32_t b = 0;

	(void)state;
	assert_non_null(fdb);
	learn_n(fdb, 1, 1, T0);
	learn_n(fdb, 9, 1, T0); /* a port beyond those of the next table */
	hash = fdb_hash(fdb, key);
	/* The same key in its second bucket as well, */
	other = &fdb->bucket[fdb_bucket_second(hash, fdb->mask)];
	if (fdb_bucket_find(other, key | FDB_KEY_VALID, NULL))
		other = &fdb->bucket[fdb_bucket_first(hash, fdb->mask)];
	other->slot[3].key = key | FDB_KEY_VALID;
	other->slot[3].where = 2;
	/* and one in a bucket where nobody would look for it. */
	h = fdb_hash(fdb, addr(2, 0));
	while (b == fdb_bucket_first(h, fdb->mask) ||
	       b == fdb_bucket_second(h, fdb->mask))
		b++;
	fdb->bucket[b].slot[2].key = addr(2, 0) | FDB_KEY_VALID;
	/* And a word that is no key. */
	fdb->bucket[b].slot[1].key = 1;
	fdb_free(fdb);

	c.ports = 9;
	fdb = fdb_new(&c, memory);
	assert_non_null(fdb);
	assert_int_equal(stats_of(fdb).entries, 1);
	assert_int_equal(stats_of(fdb).removed, 4);
	/* The three that nobody has learned. */
	assert_int_equal(stats_of(fdb).adopted, 3);
	assert_int_equal(fdb_lookup(fdb, addr(9, 0)), FDB_NONE);
	assert_int_equal(fdb_remove(fdb, key), 0);
	assert_int_equal(fdb_lookup(fdb, key), FDB_NONE);
	fdb_free(fdb);
	free(memory);
}

static void refuses_memory_with_wrong_magic(void **state)
{
	struct fdb_config c = config_of(64), larger = config_of(65);
	struct fdb_header *h = memory_of(&larger);
	struct fdb *fdb = fdb_new(&c, h);

	(void)state;
	assert_non_null(fdb);
	fdb_free(fdb);
	h->magic ^= 1;
	assert_null(fdb_new(&c, h));
	assert_int_equal(errno, EINVAL);
	h->magic ^= 1;
	h->version++;
	assert_null(fdb_new(&c, h));
	h->version--;
	assert_null(fdb_new(&larger, h));
	assert_null(fdb_new(&c, (char *)h + 8));
	fdb = fdb_new(&c, h); /* nothing was changed */
	assert_non_null(fdb);
	fdb_free(fdb);
	free(h);
}

/* ---- Events ---- */

static void changes_are_recorded_in_order(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_event e[16];
	uint64_t lost = 99;

	learn_n(fdb, 1, 1, T0); /* not recorded: nobody asked yet */
	assert_int_equal(fdb_events_enable(fdb, true), 0);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 2, T0), FDB_MOVED);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 2, T0 + 1), FDB_KNOWN);
	assert_int_equal(fdb_age(fdb, T0 + 400, 2), 1);
	learn_n(fdb, 3, 8, T0 + 500);
	assert_int_equal(fdb_learn(fdb, addr(4, 0), 4, T0 + 510), FDB_LEARNED);

	assert_int_equal(fdb_events_drain(fdb, e, 2, &lost), 2);
	assert_int_equal(lost, 0);
	assert_int_equal(e[0].type, FDB_EVENT_MOVED);
	assert_int_equal(e[0].key, addr(1, 0));
	assert_int_equal(e[0].port, 2);
	assert_int_equal(e[0].old_port, 1);
	assert_int_equal(e[1].type, FDB_EVENT_AGED);
	assert_int_equal(e[1].port, 2);
	assert_int_equal(fdb_events_drain(fdb, e, 16, &lost), 10);
	assert_int_equal(e[0].type, FDB_EVENT_LEARNED);
	assert_int_equal(e[0].key, addr(3, 0));
	assert_int_equal(e[8].type, FDB_EVENT_EVICTED);
	assert_int_equal(e[8].key, addr(3, 0));
	assert_int_equal(e[8].port, 3);
	assert_int_equal(e[9].type, FDB_EVENT_LEARNED);
	assert_int_equal(e[9].port, 4);
	assert_int_equal(e[9].old_port, FDB_NONE);
	assert_int_equal(fdb_events_drain(fdb, e, 16, &lost), 0);

	assert_int_equal(fdb_learn(fdb, addr(4, 0), 5, T0 + 510), FDB_MOVED);
	assert_int_equal(fdb_events_enable(fdb, false), 0);
	assert_int_equal(fdb_events_drain(fdb, e, 16, &lost), 0);
}

static void records_beyond_the_bound_are_counted_as_lost(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_event e;
	unsigned int n = 0;
	uint64_t lost, total = 0;

	assert_int_equal(fdb_events_enable(fdb, true), 0);
	learn_n(fdb, 0, 1, T0);
	for (uint32_t i = 1; i < FDB_EVENTS_MAX + 10; i++)
		assert_int_equal(fdb_learn(fdb, addr(0, 0), i & 1, T0),
				 FDB_MOVED);
	/* Asking twice loses nothing. */
	assert_int_equal(fdb_events_enable(fdb, true), 0);
	while (fdb_events_drain(fdb, &e, 1, &lost)) {
		total += lost;
		n++;
	}
	assert_int_equal(n, FDB_EVENTS_MAX);
	assert_int_equal(total, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(key_holds_vid_and_mac),
		TEST(hash_is_siphash_1_3_of_one_block),
		TEST(hashes_of_many_are_those_of_each),
		TEST(candidate_buckets_always_differ),
		TEST(unknown_address_has_no_port),
		TEST(same_mac_in_two_vids_is_two_addresses),
		TEST(every_slot_can_be_filled),
		TEST(half_full_table_refuses_nobody),
		TEST(a_move_is_seen_at_once),
		TEST(refresh_writes_at_most_once_a_second),
		TEST(configuration_out_of_range_is_refused),
		TEST(a_port_out_of_range_learns_nothing),
		TEST(static_entry_never_moves_nor_ages_nor_is_evicted),
		TEST(a_dynamic_entry_becomes_static_and_changes_ports),
		TEST(static_entries_make_room_until_only_they_are_left),
		TEST(a_removed_address_is_unknown_again),
		TEST(an_entry_ages_to_the_second),
		TEST(ageing_survives_the_end_of_the_clock),
		TEST(age_zero_never_ages),
		TEST(sweeps_of_a_quarter_reach_all_in_four),
		TEST(an_entry_from_the_future_ages_from_now),
		TEST(flush_by_port_leaves_others),
		TEST(flush_by_vid_leaves_others),
		TEST(walk_pages_return_each_entry_once),
		TEST(walk_shows_only_what_is_asked_for),
		TEST(adopts_memory_of_an_older_table),
		TEST(adopts_later_what_another_table_has_learned_meanwhile),
		TEST(drops_what_cannot_be_right_in_an_older_table),
		TEST(refuses_memory_with_wrong_magic),
		TEST(changes_are_recorded_in_order),
		TEST(records_beyond_the_bound_are_counted_as_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
