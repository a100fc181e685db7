/* Who gives way to whom where two buckets are full: see fdb/fdb.h. */
#include "fdb/fdb.h"

#include "tests/unit/fdb_fixture.h"

static void full_bucket_evicts_oldest_of_busiest_port(void **state)
{
	struct fdb *fdb = small(state);

	/* Port 2's are the oldest of all, but port 1 holds most. */
	learn_n(fdb, 2, 3, T0);
	learn_n(fdb, 1, 5, T0 + 10);
	assert_int_equal(fdb_learn(fdb, addr(3, 0), 3, T0 + 20), FDB_LEARNED);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), FDB_NONE);
	assert_int_equal(present(fdb, 1, 5), 4);
	assert_int_equal(present(fdb, 2, 3), 3);
	assert_int_equal(present(fdb, 3, 1), 1);
	assert_int_equal(stats_of(fdb).evicted, 1);
	assert_int_equal(stats_of(fdb).refused, 0);
}

static void a_refreshed_entry_is_not_the_oldest(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 8, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 1, T0 + 20), FDB_KNOWN);
	assert_int_equal(fdb_learn(fdb, addr(3, 0), 3, T0 + 20), FDB_LEARNED);
	assert_int_equal(fdb_lookup(fdb, addr(1, 0)), 1);
	assert_int_equal(fdb_lookup(fdb, addr(1, 1)), FDB_NONE);
}

static void biggest_holder_is_refused_not_others_evicted(void **state)
{
	struct fdb *fdb = small(state);
	struct fdb_port_stats s;

	learn_n(fdb, 1, 5, T0);
	learn_n(fdb, 2, 3, T0);
	for (uint32_t i = 5; i < 1000; i++)
		assert_int_equal(fdb_learn(fdb, addr(1, i), 1, T0 + 20),
				 FDB_REFUSED);
	assert_int_equal(present(fdb, 1, 5), 5);
	assert_int_equal(present(fdb, 2, 3), 3);
	assert_int_equal(stats_of(fdb).refused, 995);
	assert_int_equal(fdb_port_stats_get(fdb, 1, &s), 0);
	assert_int_equal(s.refused, 995);
}

/* Two ports of equal size would otherwise evict each other for ever. */
static void equal_holders_evict_nothing_of_each_other(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 1, 4, T0);
	learn_n(fdb, 2, 4, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 9), 1, T0 + 20), FDB_REFUSED);
	assert_int_equal(fdb_learn(fdb, addr(2, 9), 2, T0 + 20), FDB_REFUSED);
	assert_int_equal(stats_of(fdb).evicted, 0);
}

/* The n-th key from `from` on whose two buckets are those of `like`. */
static uint64_t neighbour(const struct fdb *fdb, uint64_t like, uint64_t *from)
{
	uint64_t want = fdb_hash(fdb, like);
	uint32_t a = fdb_bucket_first(want, fdb->mask);
	uint32_t b = fdb_bucket_second(want, fdb->mask);

	for (;;) {
		uint64_t key = fdb_key(7, (*from)++);
		uint64_t h = fdb_hash(fdb, key);

		if (fdb_bucket_first(h, fdb->mask) == a &&
		    fdb_bucket_second(h, fdb->mask) == b)
			return key;
	}
}

static void biggest_holder_takes_nothing_where_it_holds_nothing(void **state)
{
	struct fdb *fdb = table_of(64);
	uint64_t like = addr(0, 0), from = 1, key;

	(void)state;
	/* Ports 1 and 2 fill one pair of buckets; port 3 holds more than
	 * either, but elsewhere. */
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(fdb_learn(fdb, neighbour(fdb, like, &from),
					   1 + i % 2, T0),
				 FDB_LEARNED);
	for (uint32_t i = 0; entries_of(fdb, 3) < 5; i++) {
		uint64_t h = fdb_hash(fdb, addr(3, i));

		assert_true(i < 1000);
		if (fdb_bucket_first(h, fdb->mask) !=
			    fdb_bucket_first(fdb_hash(fdb, like), fdb->mask) &&
		    fdb_bucket_first(h, fdb->mask) !=
			    fdb_bucket_second(fdb_hash(fdb, like), fdb->mask))
			fdb_learn(fdb, addr(3, i), 3, T0);
	}
	key = neighbour(fdb, like, &from);
	assert_int_equal(fdb_learn(fdb, key, 3, T0 + 9), FDB_REFUSED);
	assert_int_equal(entries_of(fdb, 1) + entries_of(fdb, 2), 8);
	/* Somebody who holds less gets room there. */
	assert_int_equal(fdb_learn(fdb, key, 4, T0 + 9), FDB_LEARNED);
	assert_int_equal(entries_of(fdb, 1) + entries_of(fdb, 2), 7);
	assert_int_equal(entries_of(fdb, 3), 5);
	fdb_free(fdb);
}

static void an_expired_entry_gives_way_first(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 2, 1, T0);
	learn_n(fdb, 1, 7, T0 + 300);
	/* Not even the biggest holder is refused: nobody loses anything. */
	assert_int_equal(fdb_learn(fdb, addr(1, 7), 1, T0 + 300), FDB_LEARNED);
	assert_int_equal(present(fdb, 1, 8), 8);
	assert_int_equal(stats_of(fdb).aged, 1);
	assert_int_equal(stats_of(fdb).evicted, 0);
}

static void uplink_share_is_kept(void **state)
{
	struct fdb *fdb = small(state); /* share: 50 % of 8 */

	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0);
	learn_n(fdb, 0, 4, T0);
	learn_n(fdb, 1, 2, T0 + 10);
	learn_n(fdb, 2, 2, T0 + 10);
	/* The uplink has most and the oldest, and loses none of it. */
	assert_int_equal(fdb_learn(fdb, addr(3, 0), 3, T0 + 20), FDB_LEARNED);
	assert_int_equal(fdb_learn(fdb, addr(4, 0), 4, T0 + 20), FDB_LEARNED);
	assert_int_equal(fdb_learn(fdb, addr(4, 1), 4, T0 + 20), FDB_REFUSED);
	assert_int_equal(present(fdb, 0, 4), 4);
	assert_int_equal(stats_of(fdb).entries, SMALL);
}

static void uplink_gets_its_share_from_the_biggest_guest(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0);
	learn_n(fdb, 1, 6, T0);
	learn_n(fdb, 2, 2, T0);
	learn_n(fdb, 0, 4, T0 + 10);
	assert_int_equal(present(fdb, 0, 4), 4);
	assert_int_equal(present(fdb, 1, 6), 2);
	assert_int_equal(present(fdb, 2, 2), 2);
}

static void uplink_beyond_its_share_weighs_only_the_excess(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0);
	learn_n(fdb, 0, 6, T0); /* two beyond the share */
	learn_n(fdb, 1, 2, T0);
	/* The uplink's 2 are no less than the guest's 2. */
	assert_int_equal(fdb_learn(fdb, addr(0, 9), 0, T0 + 10), FDB_REFUSED);
	assert_int_equal(fdb_learn(fdb, addr(1, 9), 1, T0 + 10), FDB_REFUSED);
	/* A guest with fewer has them, down to what the share grants. */
	assert_int_equal(fdb_learn(fdb, addr(2, 0), 2, T0 + 10), FDB_LEARNED);
	assert_int_equal(present(fdb, 0, 6) + present(fdb, 1, 2), 7);
	assert_true(entries_of(fdb, 0) >= 4);
}

static void flooded_uplink_gives_way_to_another_uplink(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0);
	assert_int_equal(fdb_port_set(fdb, 1, true, 0), 0);
	learn_n(fdb, 0, 8, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 1, T0 + 10), FDB_LEARNED);
	assert_int_equal(entries_of(fdb, 0), 7);
	assert_int_equal(fdb_learn(fdb, addr(0, 8), 0, T0 + 10), FDB_REFUSED);
}

static void class_of_a_port_may_change_while_it_has_entries(void **state)
{
	struct fdb *fdb = small(state);

	learn_n(fdb, 0, 8, T0);
	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0); /* excess 4 */
	learn_n(fdb, 1, 2, T0 + 10); /* until both weigh 2 */
	assert_int_equal(fdb_learn(fdb, addr(1, 9), 1, T0 + 10), FDB_REFUSED);
	assert_int_equal(present(fdb, 0, 8), 6);
	assert_int_equal(fdb_port_set(fdb, 0, false, 0), 0);
	learn_n(fdb, 2, 1, T0 + 20);
	assert_int_equal(present(fdb, 0, 8), 5);
}

static void a_ports_limit_holds(void **state)
{
	struct fdb *fdb = small(state);

	assert_int_equal(fdb_port_set(fdb, 1, false, 2), 0);
	learn_n(fdb, 1, 2, T0);
	learn_n(fdb, 2, 1, T0);
	assert_int_equal(fdb_learn(fdb, addr(1, 2), 1, T0), FDB_REFUSED);
	assert_int_equal(fdb_learn(fdb, addr(2, 0), 1, T0), FDB_REFUSED);
	assert_int_equal(fdb_lookup(fdb, addr(2, 0)), 2);
	assert_int_equal(fdb_learn(fdb, addr(1, 0), 1, T0 + 1), FDB_KNOWN);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void two_million_random_sources_leave_other_ports_entries(void **state)
{
	struct fdb *fdb = table_of(4096);
	uint64_t x = 88172645463325252ull;

	(void)state;
	assert_int_equal(fdb_port_set(fdb, 0, true, 0), 0);
	learn_n(fdb, 0, 1000, T0); /* the world */
	for (uint32_t p = 1; p < 8; p++)
		learn_n(fdb, p, 20, T0); /* guests */
	for (uint32_t i = 0; i < 2000000; i++)
		fdb_learn(fdb, fdb_key(1, next_random(&x)), 9, T0 + i / 20000);
	assert_int_equal(present(fdb, 0, 1000), 1000);
	for (uint32_t p = 1; p < 8; p++)
		assert_int_equal(present(fdb, p, 20), 20);
	assert_int_equal(stats_of(fdb).entries, stats_of(fdb).capacity);
	assert_int_equal(stats_of(fdb).evicted, 0);
	/* Neither are newcomers kept out, at the cost of the flood alone. */
	learn_n(fdb, 10, 20, T0 + 100);
	assert_int_equal(present(fdb, 10, 20), 20);
	assert_int_equal(present(fdb, 0, 1000), 1000);
	for (uint32_t p = 1; p < 8; p++)
		assert_int_equal(present(fdb, p, 20), 20);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_bucket_evicts_oldest_of_busiest_port),
		TEST(a_refreshed_entry_is_not_the_oldest),
		TEST(biggest_holder_is_refused_not_others_evicted),
		TEST(equal_holders_evict_nothing_of_each_other),
		TEST(biggest_holder_takes_nothing_where_it_holds_nothing),
		TEST(an_expired_entry_gives_way_first),
		TEST(uplink_share_is_kept),
		TEST(uplink_gets_its_share_from_the_biggest_guest),
		TEST(uplink_beyond_its_share_weighs_only_the_excess),
		TEST(flooded_uplink_gives_way_to_another_uplink),
		TEST(class_of_a_port_may_change_while_it_has_entries),
		TEST(a_ports_limit_holds),
		TEST(two_million_random_sources_leave_other_ports_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
