#include "switchd/ledger.h"

#include "base/crc32c.h"
#include "base/memfd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEDGER_VERSION	 1u
#define LEDGER_NAME_MAX	 32u   /* bytes with the NUL */
#define LEDGER_NAMES_MAX 1024u /* counters that another one may have */
#define LEDGER_ALIGN	 4096u /* a slot begins with a page of its own */

/* No counter gets there: 4 EiB. So a sum of two of them can't wrap. */
#define LEDGER_COUNT_MAX (1ull << 62)

/* Rows that are read at a time. */
#define LEDGER_CHUNK 64u

#define UNKNOWN UINT32_MAX

/*
 * All numbers are the machine's: no other one reads them. After the header
 * come the names, char[counters][LEDGER_NAME_MAX]; at `data` the slots, each
 * `stride` bytes long: uint64_t[ports + 1][counters].
 */
struct ledger_header {
	char magic[8];
	uint32_t version;
	uint32_t crc; /* of all that follows, with the names */
	uint32_t counters, slots, ports, unused;
	uint64_t data, stride; /* bytes */
};

static const char magic[8] = "swledger";

#define HEADER_CHECKED offsetof(struct ledger_header, counters)

struct ledger {
	int fd;
	unsigned int slots;
	uint32_t ports, adopted_end;
	uint64_t size; /* bytes mapped */
	uint8_t *map, *data;
	uint64_t stride;
};

/* ---- Names ---- */

#define INDEX(member) (offsetof(struct port_counters, member) / sizeof(counter))

static const char names[PORT_COUNTERS][LEDGER_NAME_MAX] = {
#define NAME_ROW(member, name) [INDEX(member)] = name,
	PORT_COUNTER_LIST(NAME_ROW)
#define RX_ROW(id, name, text) [INDEX(rx_drop) + DROP_##id] = "rx.drops." name,
		DROP_REASONS(RX_ROW)
#define TX_ROW(id, name, text) [INDEX(tx_drop) + DROP_##id] = "tx.drops." name,
			DROP_REASONS(TX_ROW)
};

/* With its NUL each name has room. */
#define NAME_FITS(id, name, text)                                   \
	_Static_assert(sizeof("rx.drops." name) <= LEDGER_NAME_MAX, \
		       "a name too long for the ledger");
DROP_REASONS(NAME_FITS)

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

/* Which of our counters is it? */
static uint32_t name_find(const char *name)
{
	for (uint32_t i = 0; i < PORT_COUNTERS; i++)
		if (!strcmp(names[i], name))
			return i;
	if (begins(name, "rx.drops."))
		return INDEX(rx_drop) + DROP_RESTART;
	if (begins(name, "tx.drops."))
		return INDEX(tx_drop) + DROP_RESTART;
	return UNKNOWN;
}

/* ---- Basics ---- */

static uint64_t round_up(uint64_t n)
{
	return (n + LEDGER_ALIGN - 1) / LEDGER_ALIGN * LEDGER_ALIGN;
}

static void header_write(struct ledger *l, uint64_t data)
{
	struct ledger_header h = {
		.version = LEDGER_VERSION,
		.counters = PORT_COUNTERS,
		.slots = l->slots,
		.ports = l->ports,
		.data = data,
		.stride = l->stride,
	};

	memcpy(h.magic, magic, sizeof(h.magic));
	h.crc = crc32c(0, (char *)&h + HEADER_CHECKED,
		       sizeof(h) - HEADER_CHECKED);
	h.crc = crc32c(h.crc, names, sizeof(names));
	memcpy(l->map, &h, sizeof(h));
	memcpy(l->map + sizeof(h), names, sizeof(names));
}

struct ledger *ledger_new(unsigned int slots, uint32_t ports)
{
	uint64_t data = round_up(sizeof(struct ledger_header) + sizeof(names));
	uint64_t stride =
		round_up(((uint64_t)ports + 1) * sizeof(struct port_counters));
	struct ledger *l;
	int err;

	errno = EINVAL;
	if (!slots || slots > LEDGER_SLOTS_MAX || !ports ||
	    ports > LEDGER_PORTS_MAX || data + slots * stride > LEDGER_SIZE_MAX)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->slots = slots;
	l->ports = ports;
	l->stride = stride;
	l->size = data + slots * stride;
	l->fd = memfd_new("switchd-ledger", l->size);
	if (l->fd < 0) {
		err = -l->fd;
		goto fail;
	}
	l->map = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd,
		      0);
	if (l->map == MAP_FAILED) {
		err = errno;
		l->map = NULL;
		goto fail;
	}
	l->data = l->map + data;
	header_write(l, data);
	return l;
fail:
	ledger_free(l);
	errno = err;
	return NULL;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	if (l->map)
		munmap(l->map, l->size);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

int ledger_fd(const struct ledger *l)
{
	return l->fd;
}

uint32_t ledger_adopted_end(const struct ledger *l)
{
	return l->adopted_end;
}

struct port_counters *ledger_slot(struct ledger *l, unsigned int slot)
{
	return (struct port_counters *)(void *)(l->data + slot * l->stride);
}

void ledger_sum(const struct ledger *l, uint32_t port,
		struct port_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < l->slots; i++)
		port_counters_add(sum,
				  ledger_slot((struct ledger *)l, i) + port);
}

/* Counter by counter: killed in between, at most one of them counts twice. */
void ledger_retire(struct ledger *l, uint32_t port)
{
	counter *to = (counter *)(ledger_slot(l, 0) + l->ports);

	for (size_t k = 0; k < PORT_COUNTERS; k++) {
		uint64_t n = 0;

		for (unsigned int i = 0; i < l->slots; i++) {
			counter *c = (counter *)(ledger_slot(l, i) + port) + k;

			n += counter_get(c);
			atomic_store_explicit(c, 0, memory_order_relaxed);
		}
		counter_add(&to[k], n);
	}
}

/* ---- Adopting ---- */

/* An older ledger while it is being read. */
struct old {
	int fd;
	struct ledger_header h;
	char name[LEDGER_NAMES_MAX][LEDGER_NAME_MAX];
	uint32_t ours[LEDGER_NAMES_MAX]; /* which of our counters; UNKNOWN */
	uint64_t *chunk;	   /* [LEDGER_CHUNK][h.counters], at most */
	struct port_counters *sum; /* [ports + 1] of the new one */
};

static int bad(struct error *err, const char *what)
{
	error_set(err, EINVAL, "bad-state", NULL,
		  "the old counters can't be used: %s", what);
	return -EINVAL;
}

static int no_memory(struct error *err)
{
	error_set(err, ENOMEM, "no-memory", NULL,
		  "no memory to read the old counters");
	return -ENOMEM;
}

static int read_exactly(const struct old *old, void *to, size_t len,
			uint64_t offset, struct error *err)
{
	int64_t n = memfd_read(old->fd, to, len, offset);

	if (n < 0)
		return bad(err, strerror((int)-n));
	return (uint64_t)n == len ? 0 : bad(err, "they end too early");
}

static int read_names(struct old *old, struct error *err)
{
	size_t len = old->h.counters * LEDGER_NAME_MAX;
	int r = read_exactly(old, old->name, len, sizeof(old->h), err);
	uint32_t crc = crc32c(0, (char *)&old->h + HEADER_CHECKED,
			      sizeof(old->h) - HEADER_CHECKED);

	if (r < 0)
		return r;
	if (crc32c(crc, old->name, len) != old->h.crc)
		return bad(err, "the header's checksum is wrong");
	for (uint32_t i = 0; i < old->h.counters; i++) {
		const char *name = old->name[i];

		if (!*name || name[LEDGER_NAME_MAX - 1])
			return bad(err, "a name without beginning or end");
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(old->name[k], name))
				return bad(err, "a name that is there twice");
		old->ours[i] = name_find(name);
	}
	return 0;
}

static int bad_version(uint32_t version, struct error *err)
{
	error_set(err, EINVAL, "state-version", NULL,
		  "the old counters are of version %u, not %u", version,
		  LEDGER_VERSION);
	return -EINVAL;
}

static int read_header(struct old *old, uint64_t size, struct error *err)
{
	struct ledger_header *h = &old->h;
	int r = read_exactly(old, h, sizeof(*h), 0, err);

	if (r < 0)
		return r;
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return bad(err, "they aren't such");
	if (h->version != LEDGER_VERSION)
		return bad_version(h->version, err);
	if (!h->counters || h->counters > LEDGER_NAMES_MAX || !h->slots ||
	    h->slots > LEDGER_SLOTS_MAX || !h->ports ||
	    h->ports > LEDGER_PORTS_MAX)
		return bad(err, "an impossible number");
	/* No product or sum here can be more than 64 bits. */
	if (h->data > size || h->stride > size ||
	    h->data < sizeof(*h) + h->counters * LEDGER_NAME_MAX ||
	    h->stride <
		    ((uint64_t)h->ports + 1) * h->counters * sizeof(uint64_t) ||
	    h->data + h->slots * h->stride > size)
		return bad(err, "sizes that don't fit");
	return read_names(old, err);
}

/* Add a block of the old one's to one of ours. */
static int add_row(const struct old *old, const uint64_t *row,
		   struct port_counters *to, struct error *err)
{
	for (uint32_t i = 0; i < old->h.counters; i++) {
		counter *c;

		if (!row[i] || old->ours[i] == UNKNOWN)
			continue;
		if (row[i] > LEDGER_COUNT_MAX)
			return bad(err, "a count that can't be");
		c = (counter *)to + old->ours[i];
		counter_add(c, row[i]);
		if (counter_get(c) > LEDGER_COUNT_MAX)
			return bad(err, "a count that can't be");
	}
	return 0;
}

static int read_slot(const struct ledger *l, const struct old *old,
		     uint32_t slot, struct error *err)
{
	uint64_t row_size = old->h.counters * sizeof(uint64_t);
	uint64_t at = old->h.data + slot * old->h.stride;
	uint32_t rows = old->h.ports + 1;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < rows; i++) {
		uint32_t k = i % LEDGER_CHUNK;
		uint32_t n = rows - i < LEDGER_CHUNK ? rows - i : LEDGER_CHUNK;
		bool beyond = i >= l->ports || i == old->h.ports;

		if (k == 0)
			r = read_exactly(old, old->chunk, n * row_size,
					 at + i * row_size, err);
		if (r == 0)
			r = add_row(old, old->chunk + k * old->h.counters,
				    &old->sum[beyond ? l->ports : i], err);
	}
	return r;
}

/*
 * Make one of the two ledgers hold. More than came in can't have gone: then
 * the process was killed between two counters, and the first one is behind.
 */
static int balance(counter *in, const counter *done, counter *drop,
		   struct error *err)
{
	uint64_t out = counter_get(done), came = counter_get(in);

	for (int i = 0; i < DROP_REASON_COUNT && out <= LEDGER_COUNT_MAX; i++)
		out += counter_get(&drop[i]);
	if (out > LEDGER_COUNT_MAX)
		return bad(err, "a sum that can't be");
	if (out > came)
		counter_add(in, out - came);
	else
		counter_add(&drop[DROP_RESTART], came - out);
	return 0;
}

static int read_all(const struct ledger *l, const struct old *old,
		    struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < old->h.slots; i++)
		r = read_slot(l, old, i, err);
	for (uint32_t i = 0; r == 0 && i <= l->ports; i++) {
		struct port_counters *c = &old->sum[i];

		r = balance(&c->rx_frames, &c->rx_forwarded, c->rx_drop, err);
		if (r == 0)
			r = balance(&c->tx_copies, &c->tx_frames, c->tx_drop,
				    err);
	}
	return r;
}

static bool is_zero(const struct port_counters *c)
{
	const counter *word = (const counter *)c;

	for (size_t k = 0; k < PORT_COUNTERS; k++)
		if (counter_get(&word[k]))
			return false;
	return true;
}

/* Only where there is something: the rest uses no memory. */
static void take_over(struct ledger *l, const struct port_counters *sum)
{
	for (uint32_t i = 0; i <= l->ports; i++) {
		if (is_zero(&sum[i]))
			continue;
		port_counters_add(ledger_slot(l, 0) + i, &sum[i]);
		if (i < l->ports && i >= l->adopted_end)
			l->adopted_end = i + 1;
	}
}

int ledger_adopt(struct ledger *l, int fd, struct error *err)
{
	struct old *old = calloc(1, sizeof(*old));
	uint64_t size;
	int r;

	if (!old)
		return no_memory(err);
	old->fd = fd;
	r = memfd_check(fd, LEDGER_SIZE_MAX, &size, err);
	if (r == 0)
		r = read_header(old, size, err);
	if (r < 0)
		goto out;
	old->chunk = calloc(LEDGER_CHUNK * LEDGER_NAMES_MAX, sizeof(uint64_t));
	old->sum = calloc((size_t)l->ports + 1, sizeof(old->sum[0]));
	r = old->chunk && old->sum ? read_all(l, old, err) : no_memory(err);
	if (r == 0)
		take_over(l, old->sum);
out:
	free(old->chunk);
	free(old->sum);
	free(old);
	return r;
}
