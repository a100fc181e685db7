#include "switchd/journal.h"

#include "base/crc32c.h"
#include "base/memfd.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All numbers are the machine's: no other one reads them. */
struct journal_header {
	char magic[8];
	uint32_t version;
	uint32_t crc; /* of what is before it; the first record continues it */
};

struct journal_record {
	uint32_t key_len, value_len; /* bytes; value_len 0: the key is gone */
	uint32_t body_crc;	     /* of key and value */
	uint32_t crc; /* of what is before it, continuing the last one's */
};

static const char magic[8] = "swjournl";

/* Written anew at the earliest when so much could be saved, bytes. */
#define BLOAT_MIN (64u << 10)

/* What a key takes beside its text, in the table of a reader, bytes. */
#define KEY_COST (sizeof(struct journal_record) + 256)

struct journal {
	int fd;
	bool broken;   /* a record couldn't be taken back */
	uint64_t end;  /* where the next record goes */
	uint32_t crc;  /* that it continues */
	json_t *cost;  /* object: key -> cost() of its newest record */
	uint64_t live; /* their sum */
	uint64_t all;  /* of all records */
};

/*
 * What a record takes in memory at most, once it is JSON values. Text is a bad
 * measure: "{}" is two bytes, and an object in memory some 250. So each sign
 * that can begin a value, wherever it stands, counts as the largest that it
 * can be (jansson's structs, malloc's overhead, tables half empty).
 */
static uint64_t cost(size_t key_len, const char *text, size_t len)
{
	uint64_t n = KEY_COST + key_len + len;

	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case ',':
			n += 96;
			break;
		case ':':
			n += 128;
			break;
		case '[':
			n += 192;
			break;
		case '{':
			n += 384;
			break;
		default:
			break;
		}
	}
	return n;
}

/* ---- Writing ---- */

static int write_all(int fd, const void *data, size_t len, uint64_t at)
{
	ssize_t n;

	do
		n = pwrite(fd, data, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

struct journal *journal_new(void)
{
	struct journal_header h = { .version = JOURNAL_VERSION };
	struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return NULL;
	memcpy(h.magic, magic, sizeof(h.magic));
	h.crc = crc32c(0, &h, offsetof(struct journal_header, crc));
	j->crc = h.crc;
	j->end = sizeof(h);
	j->cost = json_object();
	j->fd = memfd_new("switchd-journal", 0);
	r = j->fd < 0 ? j->fd : write_all(j->fd, &h, sizeof(h), 0);
	if (r == 0 && !j->cost)
		r = -ENOMEM;
	if (r == 0)
		return j;
	journal_free(j);
	errno = -r;
	return NULL;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	json_decref(j->cost);
	free(j);
}

int journal_fd(const struct journal *j)
{
	return j->fd;
}

bool journal_bloated(const struct journal *j)
{
	return j->all > 2 * j->live + BLOAT_MIN;
}

/* One write a record: killed in the middle, what's there is its beginning. */
static int append(struct journal *j, const char *key, size_t key_len,
		  const char *text, size_t len)
{
	struct journal_record h = { .key_len = (uint32_t)key_len,
				    .value_len = (uint32_t)len };
	size_t total = sizeof(h) + key_len + len;
	char *buf = NULL;
	int r;

	if (j->broken)
		return -EIO;
	if (j->end + total > JOURNAL_SIZE_MAX)
		return -EFBIG;
	buf = malloc(total);
	if (!buf)
		return -ENOMEM;
	memcpy(buf + sizeof(h), key, key_len);
	memcpy(buf + sizeof(h) + key_len, text, len);
	h.body_crc = crc32c(0, buf + sizeof(h), key_len + len);
	h.crc = crc32c(j->crc, &h, offsetof(struct journal_record, crc));
	memcpy(buf, &h, sizeof(h));
	r = write_all(j->fd, buf, total, j->end);
	free(buf);
	if (r < 0) {
		j->broken = ftruncate(j->fd, (off_t)j->end) < 0;
		return r;
	}
	j->crc = h.crc;
	j->end += total;
	return 0;
}

static int put_gone(struct journal *j, const char *key, size_t key_len)
{
	const json_t *was = json_object_get(j->cost, key);
	uint64_t before = (uint64_t)json_integer_value(was);
	int r;

	if (!was) /* nobody ever heard of it */
		return 0;
	r = append(j, key, key_len, "", 0);
	if (r < 0)
		return r;
	j->live -= before;
	j->all += cost(key_len, "", 0);
	json_object_del(j->cost, key);
	return 0;
}

static int put_text(struct journal *j, const char *key, size_t key_len,
		    const char *text)
{
	json_t *entry = json_object_get(j->cost, key);
	bool known = entry != NULL;
	size_t len = strlen(text);
	uint64_t before, now;
	int r;

	if (len > JOURNAL_VALUE_MAX)
		return -E2BIG;
	if (!known) { /* now, while failing is still easy */
		r = json_object_set_new(j->cost, key, json_integer(0));
		entry = json_object_get(j->cost, key);
		if (r < 0 || !entry)
			return -ENOMEM;
	}
	before = (uint64_t)json_integer_value(entry);
	now = cost(key_len, text, len);
	r = j->live - before + now > JOURNAL_MEMORY_MAX
		    ? -EFBIG
		    : append(j, key, key_len, text, len);
	if (r < 0) {
		if (!known)
			json_object_del(j->cost, key);
		return r;
	}
	json_integer_set(entry, (json_int_t)now);
	j->live += now - before;
	j->all += now;
	return 0;
}

/* jansson's own idea of UTF-8, which is the reader's too. */
static bool good_key(const char *key, size_t len)
{
	json_t *s = json_stringn(key, len);
	bool good = s && len > 0 && len <= JOURNAL_KEY_MAX;

	json_decref(s);
	return good;
}

int journal_put(struct journal *j, const char *key, const json_t *value)
{
	size_t key_len = strlen(key);
	char *text;
	int r;

	if (!good_key(key, key_len))
		return -EINVAL;
	if (!value)
		return put_gone(j, key, key_len);
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!text)
		return -ENOMEM;
	r = put_text(j, key, key_len, text);
	free(text);
	return r;
}

/* ---- Reading ---- */

static int bad(struct error *err, const char *what, uint64_t at)
{
	error_set(err, EINVAL, "bad-state", NULL,
		  "the journal can't be used: %s at byte %llu", what,
		  (unsigned long long)at);
	return -EINVAL;
}

static int no_memory(struct error *err)
{
	error_set(err, ENOMEM, "no-memory", NULL,
		  "no memory to read the journal");
	return -ENOMEM;
}

/* All of the file, copied: who wrote it may still do so. *data: to be freed;
 * it has one byte more than *size. */
static int load(int fd, char **data, uint64_t *size, struct error *err)
{
	int64_t n;
	int r = memfd_check(fd, JOURNAL_SIZE_MAX, size, err);

	if (r < 0)
		return r;
	*data = malloc(*size + 1);
	if (!*data)
		return no_memory(err);
	n = memfd_read(fd, *data, *size, 0);
	if (n < 0) {
		free(*data);
		return bad(err, strerror((int)-n), 0);
	}
	*size = (uint64_t)n;
	return 0;
}

static int check_header(const char *data, uint64_t size, uint32_t *crc,
			struct error *err)
{
	struct journal_header h;

	if (size < sizeof(h))
		return bad(err, "no header", 0);
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0 ||
	    h.crc != crc32c(0, &h, offsetof(struct journal_header, crc)))
		return bad(err, "not the header of one", 0);
	if (h.version != JOURNAL_VERSION)
		return error_set(err, EINVAL, "state-version", NULL,
				 "the journal is of version %u, not %u",
				 h.version, JOURNAL_VERSION);
	*crc = h.crc;
	return 0;
}

/* Note where the value lies; what an earlier record said doesn't count. */
static int note(json_t *newest, const char *key_at,
		const struct journal_record *h, uint64_t value_at,
		struct error *err)
{
	char key[JOURNAL_KEY_MAX + 1];
	json_int_t where = (json_int_t)(value_at << 32 | h->value_len);

	memcpy(key, key_at, h->key_len);
	key[h->key_len] = '\0';
	if (strlen(key) != h->key_len || !good_key(key, h->key_len))
		return bad(err, "an impossible key", value_at - h->key_len);
	if (!h->value_len) {
		json_object_del(newest, key);
		return 0;
	}
	if (json_object_size(newest) >= JOURNAL_MEMORY_MAX / KEY_COST)
		return bad(err, "too many keys", value_at - h->key_len);
	if (json_object_set_new(newest, key, json_integer(where)) < 0)
		return no_memory(err);
	return 0;
}

/* *newest, an object: key -> offset << 32 | length of its value's text. */
static int walk(const char *data, uint64_t size, json_t *newest,
		struct error *err)
{
	uint64_t at = sizeof(struct journal_header);
	struct journal_record h;
	uint32_t crc = 0;
	int r = check_header(data, size, &crc, err);

	while (r == 0 && size - at >= sizeof(h)) {
		uint64_t body = at + sizeof(h);

		memcpy(&h, data + at, sizeof(h));
		if (h.crc !=
		    crc32c(crc, &h, offsetof(struct journal_record, crc)))
			return bad(err, "a record's checksum is wrong", at);
		if (!h.key_len || h.key_len > JOURNAL_KEY_MAX ||
		    h.value_len > JOURNAL_VALUE_MAX)
			return bad(err, "an impossible length", at);
		if (size - body < h.key_len + h.value_len)
			break; /* its writer was killed */
		if (h.body_crc !=
		    crc32c(0, data + body, h.key_len + h.value_len))
			return bad(err, "the checksum of what it says is wrong",
				   at);
		r = note(newest, data + body, &h, body + h.key_len, err);
		crc = h.crc;
		at = body + h.key_len + h.value_len;
	}
	return r;
}

/* Parse what counts, while it's no more than there may be. */
static int parse(const char *data, json_t *newest, json_t *state,
		 struct error *err)
{
	uint64_t sum = 0;
	const char *key;
	json_t *where;

	json_object_foreach(newest, key, where) {
		uint64_t w = (uint64_t)json_integer_value(where);
		const char *text = data + (w >> 32);
		size_t len = w & UINT32_MAX;
		json_t *value;

		sum += cost(strlen(key), text, len);
		if (sum > JOURNAL_MEMORY_MAX)
			return bad(err, "too much in force", w >> 32);
		value = json_loadb(text, len,
				   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
				   NULL);
		if (!value)
			return bad(err, "no JSON", w >> 32);
		if (json_object_set_new(state, key, value) < 0)
			return no_memory(err);
	}
	return 0;
}

int journal_read(int fd, json_t **state, struct error *err)
{
	json_t *newest = NULL, *all = NULL;
	uint64_t size = 0;
	char *data = NULL;
	int r = load(fd, &data, &size, err);

	*state = NULL;
	if (r < 0)
		return r;
	newest = json_object();
	all = json_object();
	r = newest && all ? walk(data, size, newest, err) : no_memory(err);
	if (r == 0)
		r = parse(data, newest, all, err);
	if (r < 0)
		json_decref(all);
	else
		*state = all;
	json_decref(newest);
	free(data);
	return r;
}
