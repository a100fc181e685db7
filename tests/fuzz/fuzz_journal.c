/*
 * fuzz_journal - memory that a switch process has left behind
 *
 * The input is the journal as it lies in memory, once as it is and once with
 * its checksums made right (so that what is behind them is reached). What can
 * be read is written into a new journal, which must say the same.
 */
#include "switchd/journal.h"

#include "base/crc32c.h"
#include "base/memfd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The layout, a second time: a change of it is a new version. */
#define HEADER_SIZE 16 /* magic, version, crc */
#define RECORD_SIZE 16 /* key_len, value_len, body_crc, crc */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix(uint8_t *data, size_t size)
{
	size_t at = HEADER_SIZE;
	uint32_t crc, body, len[2];

	if (size < HEADER_SIZE)
		return;
	crc = crc32c(0, data, HEADER_SIZE - 4);
	memcpy(data + HEADER_SIZE - 4, &crc, 4);
	while (size - at >= RECORD_SIZE) {
		memcpy(len, data + at, sizeof(len));
		if ((uint64_t)len[0] + len[1] > size - at - RECORD_SIZE)
			len[0] = len[1] = 0;
		body = crc32c(0, data + at + RECORD_SIZE, len[0] + len[1]);
		memcpy(data + at + 8, &body, 4);
		crc = crc32c(crc, data + at, RECORD_SIZE - 4);
		memcpy(data + at + 12, &crc, 4);
		at += RECORD_SIZE + len[0] + len[1];
	}
}

static void write_again(const json_t *state)
{
	struct journal *j = journal_new();
	json_t *again, *value;
	const char *key;

	if (!j)
		abort();
	json_object_foreach((json_t *)state, key, value) {
		int r = journal_put(j, key, value);

		if (r == -E2BIG || r == -EFBIG) { /* 1e9 is 1000000000.0 */
			journal_free(j);
			return;
		}
		if (r < 0)
			abort();
	}
	if (journal_read(journal_fd(j), &again, NULL) < 0 ||
	    !json_equal(state, again))
		abort();
	json_decref(again);
	journal_free(j);
}

static void read_it(const uint8_t *data, size_t size)
{
	int fd = memfd_new("fuzz", 0);
	struct error err = { 0 };
	json_t *state;

	if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (journal_read(fd, &state, &err) == 0) {
		write_again(state);
		json_decref(state);
	} else if (!err.err || !*err.reason || state) {
		abort();
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return 0;
	read_it(data, size);
	memcpy(copy, data, size);
	fix(copy, size);
	read_it(copy, size);
	free(copy);
	return 0;
}
