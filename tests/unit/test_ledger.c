/* Counters that outlive their process, sound and otherwise. */
#include "switchd/ledger.h"

#include "base/crc32c.h"
#include "base/memfd.h"

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORTS	  8u
#define NAME_SIZE 32u

static struct port_counters *at(struct ledger *l, unsigned int slot,
				uint32_t port)
{
	return ledger_slot(l, slot) + port;
}

static uint64_t sum(const struct ledger *l, uint32_t port, size_t member)
{
	struct port_counters c;

	ledger_sum(l, port, &c);
	return counter_get((counter *)&c + member / sizeof(counter));
}

#define SUM(l, port, member) \
	sum(l, port, offsetof(struct port_counters, member))

static void holds(const struct ledger *l)
{
	for (uint32_t i = 0; i <= PORTS; i++) {
		uint64_t rx = SUM(l, i, rx_forwarded);
		uint64_t tx = SUM(l, i, tx_frames);
		struct port_counters c;

		ledger_sum(l, i, &c);
		for (int r = 0; r < DROP_REASON_COUNT; r++) {
			rx += counter_get(&c.rx_drop[r]);
			tx += counter_get(&c.tx_drop[r]);
		}
		assert_int_equal(SUM(l, i, rx_frames), rx);
		assert_int_equal(SUM(l, i, tx_copies), tx);
	}
}

static struct ledger *new (unsigned int slots, uint32_t ports)
{
	struct ledger *l = ledger_new(slots, ports);

	assert_non_null(l);
	return l;
}

static void adopt(struct ledger *l, int fd)
{
	struct error err = { 0 };

	if (ledger_adopt(l, fd, &err) < 0)
		fail_msg("%s", err.message);
	holds(l);
}

/* It must be refused, and nothing added. */
static void refused(int fd, const char *reason)
{
	struct ledger *l = new (2, PORTS);
	struct error err = { 0 };
	struct port_counters c, zero;

	memset(&zero, 0, sizeof(zero));
	assert_int_equal(ledger_adopt(l, fd, &err), -EINVAL);
	assert_string_equal(err.reason, reason);
	assert_true(strlen(err.message) > 10);
	for (uint32_t i = 0; i <= PORTS; i++) {
		ledger_sum(l, i, &c);
		assert_memory_equal(&c, &zero, sizeof(c));
	}
	assert_int_equal(ledger_adopted_end(l), 0);
	ledger_free(l);
}

/* ---- One by itself ---- */

static void every_slot_counts_for_the_sum(void **state)
{
	struct ledger *l = new (3, PORTS);

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(counter_get(&at(l, i, 7)->rx_frames), 0);
		counter_add(&at(l, i, 7)->rx_frames, 10u << i);
		counter_add(&at(l, i, 7)->tx_drop[DROP_RESTART], 1);
	}
	assert_int_equal(SUM(l, 7, rx_frames), 70);
	assert_int_equal(SUM(l, 7, tx_drop[DROP_RESTART]), 3);
	assert_int_equal(SUM(l, 6, rx_frames), 0);
	assert_int_equal(SUM(l, PORTS, rx_frames), 0);
	ledger_free(l);
	ledger_free(NULL);
}

static void retired_port_counts_in_the_totals_and_begins_at_zero(void **state)
{
	struct ledger *l = new (2, PORTS);

	(void)state;
	counter_add(&at(l, 0, 1)->rx_frames, 1);
	counter_add(&at(l, 1, 1)->rx_frames, 2);
	counter_add(&at(l, 1, 2)->rx_frames, 4);
	ledger_retire(l, 1);
	assert_int_equal(SUM(l, 1, rx_frames), 0);
	assert_int_equal(SUM(l, 2, rx_frames), 4);
	assert_int_equal(SUM(l, PORTS, rx_frames), 3);
	ledger_retire(l, 2);
	assert_int_equal(SUM(l, PORTS, rx_frames), 7);
	ledger_free(l);
}

static void ports_that_count_nothing_take_no_memory(void **state)
{
	struct ledger *l = new (9, 4096);
	struct stat st;

	(void)state;
	counter_add(&at(l, 3, 4095)->rx_frames, 1);
	assert_int_equal(fstat(ledger_fd(l), &st), 0);
	assert_true(st.st_size > 9 * 4096 * 300);
	assert_true(st.st_blocks * 512 <= 4 * 4096);
	assert_int_equal(fcntl(ledger_fd(l), F_GETFD), FD_CLOEXEC);
	ledger_free(l);
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	assert_null(ledger_new(0, 1));
	assert_int_equal(errno, EINVAL);
	assert_null(ledger_new(1, 0));
	assert_null(ledger_new(LEDGER_SLOTS_MAX + 1, 1));
	assert_null(ledger_new(1, LEDGER_PORTS_MAX + 1));
	assert_null(ledger_new(LEDGER_SLOTS_MAX, LEDGER_PORTS_MAX));
}

/* ---- The next process ---- */

/* Two slots: port 1 has 5 + 7 frames received, all but 2 dropped forwarded;
 * port 3 has sent; a port is gone. */
static struct ledger *worked(uint32_t ports)
{
	struct ledger *l = new (2, ports);

	for (unsigned int i = 0; i < 2; i++) {
		counter_add(&at(l, i, 1)->rx_frames, 5 + 2 * i);
		counter_add(&at(l, i, 1)->rx_bytes, 1000);
		counter_add(&at(l, i, 1)->rx_forwarded, 4 + 2 * i);
		counter_add(&at(l, i, 1)->rx_drop[DROP_HAIRPIN], 1);
		counter_add(&at(l, i, 1)->rx_missed, 100);
		counter_add(&at(l, i, 3)->tx_copies, 3);
		counter_add(&at(l, i, 3)->tx_frames, 2);
		counter_add(&at(l, i, 3)->tx_drop[DROP_MTU], 1);
	}
	counter_add(&at(l, 0, ports)->rx_frames, 9);
	counter_add(&at(l, 0, ports)->rx_forwarded, 9);
	return l;
}

static void is_adopted(struct ledger *l, unsigned int times)
{
	assert_int_equal(SUM(l, 1, rx_frames), times * 12);
	assert_int_equal(SUM(l, 1, rx_bytes), times * 2000);
	assert_int_equal(SUM(l, 1, rx_forwarded), times * 10);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_HAIRPIN]), times * 2);
	assert_int_equal(SUM(l, 1, rx_missed), times * 200);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_RESTART]), 0);
	assert_int_equal(SUM(l, 3, tx_copies), times * 6);
	assert_int_equal(SUM(l, 3, tx_drop[DROP_MTU]), times * 2);
	assert_int_equal(SUM(l, 3, tx_drop[DROP_RESTART]), 0);
	assert_int_equal(SUM(l, 0, rx_frames), 0);
}

static void next_process_counts_on_with_any_number_of_workers(void **state)
{
	static const unsigned int slots[] = { 1, 2, 5 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ledger *old = worked(PORTS), *l = new (slots[i], PORTS);
		int fd = dup(ledger_fd(old));

		ledger_free(old); /* the memory lives on */
		adopt(l, fd);
		is_adopted(l, 1);
		assert_int_equal(SUM(l, PORTS, rx_frames), 9);
		assert_int_equal(ledger_adopted_end(l), 4);
		/* All of it in the main thread's slot, beside its own. */
		assert_int_equal(counter_get(&at(l, 0, 1)->rx_frames), 12);
		adopt(l, fd);
		is_adopted(l, 2);
		close(fd);
		ledger_free(l);
	}
}

static void ports_beyond_ours_count_in_the_totals(void **state)
{
	struct ledger *old = worked(PORTS + 100), *l = new (2, PORTS);

	(void)state;
	for (uint32_t i = PORTS; i < PORTS + 100; i++) {
		counter_add(&at(old, 1, i)->rx_frames, 2);
		counter_add(&at(old, 1, i)->rx_forwarded, 2);
	}
	adopt(l, ledger_fd(old));
	is_adopted(l, 1);
	assert_int_equal(SUM(l, PORTS, rx_frames), 9 + 200);
	assert_int_equal(ledger_adopted_end(l), 4);
	ledger_free(old);
	ledger_free(l);
}

static void fewer_ports_before_leave_the_others_at_zero(void **state)
{
	struct ledger *old = worked(4), *l = new (2, PORTS);

	(void)state;
	adopt(l, ledger_fd(old));
	is_adopted(l, 1);
	assert_int_equal(SUM(l, 4, rx_frames), 0); /* where the totals were */
	assert_int_equal(SUM(l, PORTS, rx_frames), 9);
	ledger_free(old);
	ledger_free(l);
}

static void what_was_under_way_is_dropped_for_restart(void **state)
{
	struct ledger *old = worked(PORTS), *l = new (2, PORTS);

	(void)state;
	counter_add(&at(old, 1, 1)->rx_frames, 64);
	counter_add(&at(old, 1, 1)->rx_forwarded, 14);
	counter_add(&at(old, 0, 3)->tx_copies, 11);
	adopt(l, ledger_fd(old));
	assert_int_equal(SUM(l, 1, rx_frames), 12 + 64);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_RESTART]), 50);
	assert_int_equal(SUM(l, 1, tx_drop[DROP_RESTART]), 0);
	assert_int_equal(SUM(l, 3, tx_copies), 17);
	assert_int_equal(SUM(l, 3, tx_drop[DROP_RESTART]), 11);
	ledger_free(old);
	ledger_free(l);
}

static void more_gone_than_came_raises_what_came(void **state)
{
	struct ledger *old = worked(PORTS), *l = new (2, PORTS);

	(void)state;
	counter_add(&at(old, 1, 1)->rx_forwarded, 3);
	counter_add(&at(old, 1, 3)->tx_drop[DROP_GSO], 5);
	adopt(l, ledger_fd(old));
	assert_int_equal(SUM(l, 1, rx_frames), 15);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_RESTART]), 0);
	assert_int_equal(SUM(l, 3, tx_copies), 11);
	ledger_free(old);
	ledger_free(l);
}

static void restarts_of_several_processes_add_up(void **state)
{
	struct ledger *a = new (2, PORTS), *b = new (2, PORTS);
	struct ledger *c = new (2, PORTS);

	(void)state;
	counter_add(&at(a, 1, 0)->rx_frames, 3);
	adopt(b, ledger_fd(a));
	counter_add(&at(b, 1, 0)->rx_frames, 4);
	adopt(c, ledger_fd(b));
	assert_int_equal(SUM(c, 0, rx_frames), 7);
	assert_int_equal(SUM(c, 0, rx_drop[DROP_RESTART]), 7);
	ledger_free(a);
	ledger_free(b);
	ledger_free(c);
}

/* ---- Made by hand: another version's, or nobody's ---- */

struct made {
	char magic[8];
	uint32_t version, crc;
	uint32_t counters, slots, ports, unused;
	uint64_t data, stride;
	char name[8][NAME_SIZE];
};

#define MADE_DATA 512u

/* Two slots, two ports and their totals; each block five counters. */
static const struct made made = {
	.magic = "swledger",
	.version = 1,
	.counters = 5,
	.slots = 2,
	.ports = 2,
	.data = MADE_DATA,
	.stride = 128,
	.name = { "tx.drops.gremlins", "rx.frames", "rx.drops.cosmic-rays",
		  "rx.frobs", "rx.drops.mtu" },
};

/* Block k has 1000 * k + counter. */
static int make(struct made m)
{
	int fd = memfd_new("made", MADE_DATA + 2 * 128);

	assert_true(fd >= 0);
	m.crc = crc32c(0, &m.counters, offsetof(struct made, name) - 16);
	if (m.counters <= 8)
		m.crc = crc32c(m.crc, m.name, m.counters * NAME_SIZE);
	assert_int_equal(pwrite(fd, &m, sizeof(m), 0), sizeof(m));
	for (uint64_t k = 0; k < 6; k++) {
		uint64_t row[5];
		uint64_t to = MADE_DATA + k / 3 * 128 + k % 3 * sizeof(row);

		for (uint64_t i = 0; i < 5; i++)
			row[i] = 1000 * k + i;
		assert_int_equal(pwrite(fd, row, sizeof(row), (off_t)to),
				 sizeof(row));
	}
	return fd;
}

static void counters_are_matched_by_name_and_unknown_drops_kept(void **state)
{
	struct ledger *l = new (2, PORTS);
	int fd = make(made);

	(void)state;
	adopt(l, fd);
	/* Port 1 has blocks 1 and 4: rx.frames 1001 + 4001, drops of two
	 * reasons 1002 + 4002 and 1004 + 4004, more than came. */
	assert_int_equal(SUM(l, 1, rx_frames), 5004 + 5008);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_RESTART]), 5004);
	assert_int_equal(SUM(l, 1, rx_drop[DROP_MTU]), 5008);
	assert_int_equal(SUM(l, 1, tx_copies), 5000);
	assert_int_equal(SUM(l, 1, tx_drop[DROP_RESTART]), 5000);
	assert_int_equal(SUM(l, 1, rx_bytes), 0);
	/* Blocks 2 and 5. */
	assert_int_equal(SUM(l, PORTS, rx_drop[DROP_MTU]), 7008);
	close(fd);
	ledger_free(l);
}

static void made_refused(struct made m, const char *reason)
{
	int fd = make(m);

	refused(fd, reason);
	close(fd);
}

#define MADE_REFUSED(member, value)                 \
	do {                                        \
		struct made changed = made;         \
		changed.member = (value);           \
		made_refused(changed, "bad-state"); \
	} while (0)

static void headers_that_cant_be_are_refused(void **state)
{
	(void)state;
	MADE_REFUSED(magic[0], 'S');
	MADE_REFUSED(counters, 0);
	MADE_REFUSED(counters, 6); /* rows longer than a slot */
	MADE_REFUSED(counters, 1025);
	MADE_REFUSED(counters, UINT32_MAX);
	MADE_REFUSED(slots, 0);
	MADE_REFUSED(slots, 3);
	MADE_REFUSED(slots, UINT32_MAX);
	MADE_REFUSED(ports, 0);
	MADE_REFUSED(ports, 3);
	MADE_REFUSED(ports, UINT32_MAX);
	MADE_REFUSED(data, 0);
	MADE_REFUSED(data, 100);
	MADE_REFUSED(data, MADE_DATA + 1);
	MADE_REFUSED(data, UINT64_MAX);
	MADE_REFUSED(stride, 0);
	MADE_REFUSED(stride, 119);
	MADE_REFUSED(stride, 129);
	MADE_REFUSED(stride, UINT64_MAX);
	MADE_REFUSED(stride, UINT64_MAX / 2 + 1);
	MADE_REFUSED(name[1][0], '\0');
}

static void names_without_end_or_twice_are_refused(void **state)
{
	struct made m = made;

	(void)state;
	memset(m.name[2], 'x', NAME_SIZE);
	made_refused(m, "bad-state");
	m = made;
	memcpy(m.name[3], m.name[1], NAME_SIZE);
	made_refused(m, "bad-state");
}

static void ledger_of_another_version_is_refused_as_that(void **state)
{
	struct made m = made;

	(void)state;
	m.version = 2;
	made_refused(m, "state-version");
}

static void counts_that_cant_be_are_refused(void **state)
{
	static const uint64_t most = 1ull << 62;
	const uint64_t much = most + 1, half = most / 2 + 1;
	int fd = make(made);

	(void)state;
	assert_int_equal(pwrite(fd, &much, 8, MADE_DATA + 8), 8);
	refused(fd, "bad-state");
	close(fd);

	fd = make(made); /* the sum of two slots */
	assert_int_equal(pwrite(fd, &half, 8, MADE_DATA + 8), 8);
	assert_int_equal(pwrite(fd, &half, 8, MADE_DATA + 128 + 8), 8);
	refused(fd, "bad-state");
	close(fd);

	fd = make(made); /* the sum of two reasons */
	assert_int_equal(pwrite(fd, &half, 8, MADE_DATA + 16), 8);
	assert_int_equal(pwrite(fd, &half, 8, MADE_DATA + 32), 8);
	refused(fd, "bad-state");
	close(fd);
}

static void every_flipped_bit_of_a_header_is_found(void **state)
{
	int fd = make(made);

	(void)state;
	for (off_t o = 0; o < (off_t)offsetof(struct made, name[5]); o++) {
		const char *reason =
			o >= 8 && o < 12 ? "state-version" : "bad-state";
		uint8_t was, is;

		assert_int_equal(pread(fd, &was, 1, o), 1);
		for (unsigned int bit = 0; bit < 8; bit++) {
			is = was ^ (uint8_t)(1u << bit);
			assert_int_equal(pwrite(fd, &is, 1, o), 1);
			refused(fd, reason);
		}
		assert_int_equal(pwrite(fd, &was, 1, o), 1);
	}
	close(fd);
}

static void ledger_that_ends_early_is_refused(void **state)
{
	struct ledger *old = worked(PORTS);
	struct made m = made;
	uint64_t size;
	char buf[1024];
	int fd;

	(void)state;
	assert_int_equal(memfd_check(ledger_fd(old), UINT64_MAX, &size, NULL),
			 0);
	for (size_t n = 0; n < sizeof(buf); n += 5) {
		fd = memfd_new("short", 0);
		assert_int_equal(memfd_read(ledger_fd(old), buf, n, 0), n);
		assert_int_equal(pwrite(fd, buf, n, 0), n);
		refused(fd, "bad-state");
		close(fd);
	}
	ledger_free(old);
	m.counters = 1024; /* names beyond the end */
	m.data = MADE_DATA + 2 * 128;
	made_refused(m, "bad-state");
}

static void what_is_no_ledger_is_refused(void **state)
{
	int fd = memfd_new("zeros", 1 << 20);
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	refused(fd, "bad-state");
	refused(-1, "bad-state");
	refused(pipes[0], "bad-state");
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_counts_for_the_sum),
		cmocka_unit_test(
			retired_port_counts_in_the_totals_and_begins_at_zero),
		cmocka_unit_test(ports_that_count_nothing_take_no_memory),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(
			next_process_counts_on_with_any_number_of_workers),
		cmocka_unit_test(ports_beyond_ours_count_in_the_totals),
		cmocka_unit_test(fewer_ports_before_leave_the_others_at_zero),
		cmocka_unit_test(what_was_under_way_is_dropped_for_restart),
		cmocka_unit_test(more_gone_than_came_raises_what_came),
		cmocka_unit_test(restarts_of_several_processes_add_up),
		cmocka_unit_test(
			counters_are_matched_by_name_and_unknown_drops_kept),
		cmocka_unit_test(headers_that_cant_be_are_refused),
		cmocka_unit_test(names_without_end_or_twice_are_refused),
		cmocka_unit_test(ledger_of_another_version_is_refused_as_that),
		cmocka_unit_test(counts_that_cant_be_are_refused),
		cmocka_unit_test(every_flipped_bit_of_a_header_is_found),
		cmocka_unit_test(ledger_that_ends_early_is_refused),
		cmocka_unit_test(what_is_no_ledger_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
