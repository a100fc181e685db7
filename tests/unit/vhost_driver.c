#include "tests/unit/vhost_driver.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

size_t vdriver_desc_bytes(bool packed, uint16_t size)
{
	(void)packed;
	return 16u * size;
}

size_t vdriver_driver_bytes(bool packed, uint16_t size)
{
	return packed ? 4 : 6u + 2u * size;
}

size_t vdriver_device_bytes(bool packed, uint16_t size)
{
	return packed ? 4 : 6u + 8u * size;
}

/* All in one order with the device's: whoever looks last sees the other. */
static uint16_t get16(const void *p)
{
	return le16toh(atomic_load_explicit((const _Atomic uint16_t *)p,
					    memory_order_seq_cst));
}

static void put16(void *p, uint16_t v)
{
	atomic_store_explicit((_Atomic uint16_t *)p, htole16(v),
			      memory_order_seq_cst);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

void vdriver_init(struct vdriver *d, bool packed, bool event_idx, uint16_t size,
		  uint8_t *desc, uint8_t *driver, uint8_t *device)
{
	memset(d, 0, sizeof(*d));
	d->packed = packed;
	d->event_idx = event_idx;
	d->size = d->free = size;
	d->desc = desc;
	d->driver = driver;
	d->device = device;
	d->avail_wrap = d->used_wrap = true;
	for (uint32_t i = 0; i < size; i++)
		d->next[i] = (uint16_t)(i + 1);
}

/* Address, length, and the last two members, which differ. */
static void put_desc(uint8_t *to, const struct vdriver_piece *p)
{
	uint64_t addr = htole64(p->addr);
	uint32_t len = htole32(p->len);

	memcpy(to, &addr, 8);
	memcpy(to + 8, &len, 4);
}

static uint16_t flags_of(const struct vdriver_piece *p, bool more)
{
	return (uint16_t)((p->write ? VRING_DESC_F_WRITE : 0) |
			  (more ? VRING_DESC_F_NEXT : 0));
}

static void put_table(const struct vdriver *d, const struct vdriver_table *t,
		      const struct vdriver_piece *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *to = t->host + 16u * i;
		uint16_t more = !d->packed && i + 1 < n;
		uint16_t flags = htole16(flags_of(&p[i], more));
		uint16_t next = htole16((uint16_t)(more ? i + 1 : 0));

		put_desc(to, &p[i]);
		memcpy(to + 12, d->packed ? &next : &flags, 2);
		memcpy(to + 14, d->packed ? &flags : &next, 2);
	}
}

static int add_split(struct vdriver *d, const struct vdriver_piece *p,
		     unsigned int n, uint16_t extra)
{
	uint16_t head = d->free_id, at = head;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *to = d->desc + 16u * at;

		put_desc(to, &p[i]);
		put16(to + 12, flags_of(&p[i], i + 1 < n) | extra);
		put16(to + 14, i + 1 < n ? d->next[at] : 0);
		at = d->next[at];
	}
	d->free_id = at;
	put16(d->driver + 4 + 2u * (d->avail % d->size), head);
	d->avail++;
	return head;
}

static int add_packed(struct vdriver *d, const struct vdriver_piece *p,
		      unsigned int n, uint16_t extra)
{
	uint16_t id = d->free_id;

	d->free_id = d->next[id];
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *to = d->desc + 16u * d->avail;
		uint16_t flags = flags_of(&p[i], i + 1 < n) | extra;

		flags |= d->avail_wrap ? AVAIL : USED;
		put_desc(to, &p[i]);
		put16(to + 12, id);
		if (d->pending) {
			put16(to + 14, flags);
		} else {
			d->pending = true;
			d->pending_at = d->avail;
			d->pending_flags = flags;
		}
		if (++d->avail == d->size) {
			d->avail = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	d->npending = (uint16_t)(d->npending + n);
	return id;
}

int vdriver_add(struct vdriver *d, const struct vdriver_piece *piece,
		unsigned int n, const struct vdriver_table *table)
{
	struct vdriver_piece whole;
	uint16_t extra = 0;
	int id;

	if (table) {
		put_table(d, table, piece, n);
		whole = (struct vdriver_piece){ table->addr, 16 * n, false };
		piece = &whole;
		n = 1;
		extra = VRING_DESC_F_INDIRECT;
	}
	if (n > d->free)
		return -1;
	d->free = (uint16_t)(d->free - n);
	id = d->packed ? add_packed(d, piece, n, extra)
		       : add_split(d, piece, n, extra);
	d->count[id] = (uint16_t)n;
	return id;
}

static bool publish_split(struct vdriver *d)
{
	uint16_t old = d->published;

	put16(d->driver + 2, d->avail);
	d->published = d->avail;
	if (old == d->avail)
		return false;
	if (!d->event_idx)
		return !(get16(d->device) & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(get16(d->device + 4 + 8u * d->size), d->avail,
				old);
}

static bool publish_packed(struct vdriver *d)
{
	uint16_t flags, event, at = d->pending_at, n = d->npending;
	bool wrap = d->pending_flags & AVAIL;

	if (!d->pending)
		return false;
	put16(d->desc + 16u * at + 14, d->pending_flags);
	d->pending = false;
	d->npending = 0;
	flags = get16(d->device + 2);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	/* Is its descriptor one of those n? */
	event = get16(d->device);
	for (; n; n--) {
		if ((event & 0x7fff) == at && !(event & 0x8000) == !wrap)
			return true;
		if (++at == d->size) {
			at = 0;
			wrap = !wrap;
		}
	}
	return false;
}

bool vdriver_publish(struct vdriver *d)
{
	return d->packed ? publish_packed(d) : publish_split(d);
}

static bool reap_split(struct vdriver *d, uint16_t *id, uint32_t *len)
{
	const uint8_t *item = d->device + 4 + 8u * (d->used % d->size);
	uint16_t last;

	if (get16(d->device + 2) == d->used)
		return false;
	*id = (uint16_t)get32(item);
	*len = get32(item + 4);
	d->used++;
	last = *id;
	for (unsigned int i = 1; i < d->count[*id]; i++)
		last = d->next[last];
	d->next[last] = d->free_id;
	return true;
}

static bool reap_packed(struct vdriver *d, uint16_t *id, uint32_t *len)
{
	const void *at = d->desc + 16u * d->used + 8;
	/* Devices that write these three at once are read so. */
	uint64_t word = le64toh(atomic_load((const _Atomic uint64_t *)at));
	uint16_t flags = (uint16_t)(word >> 48);

	if (!(flags & AVAIL) != !(flags & USED) ||
	    !(flags & USED) != !d->used_wrap)
		return false;
	*len = (uint32_t)word;
	*id = (uint16_t)(word >> 32);
	d->used = (uint16_t)(d->used + d->count[*id]);
	if (d->used >= d->size) {
		d->used = (uint16_t)(d->used - d->size);
		d->used_wrap = !d->used_wrap;
	}
	d->next[*id] = d->free_id;
	return true;
}

bool vdriver_reap(struct vdriver *d, uint16_t *id, uint32_t *len)
{
	if (!(d->packed ? reap_packed(d, id, len) : reap_split(d, id, len)))
		return false;
	d->free_id = *id;
	d->free = (uint16_t)(d->free + d->count[*id]);
	return true;
}

void vdriver_want_calls(struct vdriver *d)
{
	uint16_t wrap = d->used_wrap ? 0x8000 : 0;

	if (d->packed && d->event_idx) {
		put16(d->driver, d->used | wrap);
		put16(d->driver + 2, VRING_PACKED_EVENT_FLAG_DESC);
	} else if (d->packed) {
		put16(d->driver + 2, VRING_PACKED_EVENT_FLAG_ENABLE);
	} else if (d->event_idx) {
		put16(d->driver + 4 + 2u * d->size, d->used);
	} else {
		put16(d->driver, 0);
	}
}

void vdriver_want_no_calls(struct vdriver *d)
{
	if (d->packed)
		put16(d->driver + 2, VRING_PACKED_EVENT_FLAG_DISABLE);
	else if (d->event_idx)
		put16(d->driver + 4 + 2u * d->size, (uint16_t)(d->used - 1));
	else
		put16(d->driver, VRING_AVAIL_F_NO_INTERRUPT);
}
