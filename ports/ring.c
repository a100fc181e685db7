#include "ports/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_NEVER UINT64_MAX /* wake_at: the consumer is awake */
#define RING_SKIP  UINT32_MAX /* len: the rest up to the end is unused */

struct ring_record {
	uint32_t len;
	uint32_t unused; /* keeps the data aligned to 8 */
};

int ring_init(struct ring *r, uint64_t size)
{
	int rc;

	if (size < 4096 || size > 1u << 31 || (size & (size - 1)))
		return -EINVAL;
	*r = (struct ring){ .size = size };
	atomic_init(&r->wake_at, RING_NEVER);
	r->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wakefd < 0)
		return -errno;
	r->base = malloc(size);
	if (!r->base) {
		rc = -ENOMEM;
		goto out;
	}
	rc = -pthread_mutex_init(&r->lock, NULL);
out:
	if (rc < 0) {
		free(r->base);
		close(r->wakefd);
	}
	return rc;
}

void ring_fini(struct ring *r)
{
	pthread_mutex_destroy(&r->lock);
	free(r->base);
	close(r->wakefd);
}

static struct ring_record *ring_at(const struct ring *r, uint64_t pos)
{
	return (void *)(r->base + (pos & (r->size - 1)));
}

static uint64_t ring_record_size(uint32_t len)
{
	return sizeof(struct ring_record) + (((uint64_t)len + 7) & ~7ull);
}

void ring_lock(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
}

void *ring_put(struct ring *r, uint32_t len)
{
	uint64_t need = ring_record_size(len);
	uint64_t left = r->size - (r->put & (r->size - 1));
	uint64_t skip = need > left ? left : 0;
	struct ring_record *rec;

	if (r->put + skip + need - r->tail_seen > r->size) {
		r->tail_seen =
			atomic_load_explicit(&r->tail, memory_order_acquire);
		if (r->put + skip + need - r->tail_seen > r->size)
			return NULL;
	}
	if (skip)
		ring_at(r, r->put)->len = RING_SKIP;
	rec = ring_at(r, r->put + skip);
	rec->len = len;
	r->put += skip + need;
	return rec + 1;
}

void ring_unlock(struct ring *r)
{
	uint64_t fill, wake_at;

	/* Head before wake_at here, wake_at before head in ring_wait, both
	 * sequentially consistent: one of the two sees the other. */
	atomic_store(&r->head, r->put);
	wake_at = atomic_load(&r->wake_at);
	fill = r->put - atomic_load_explicit(&r->tail, memory_order_relaxed);
	if (wake_at == RING_NEVER || fill < wake_at ||
	    atomic_exchange(&r->wake_at, RING_NEVER) == RING_NEVER)
		wake_at = 0;
	pthread_mutex_unlock(&r->lock);
	if (wake_at)
		ring_kick(r);
}

void *ring_get(struct ring *r, uint32_t *len)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	struct ring_record *rec;

	if (r->get == head)
		return NULL;
	rec = ring_at(r, r->get);
	if (rec->len == RING_SKIP) {
		/* The producer skips only to put a record behind it. */
		r->get = (r->get | (r->size - 1)) + 1;
		rec = ring_at(r, r->get);
	}
	*len = rec->len;
	r->taken = (uint32_t)ring_record_size(rec->len);
	return rec + 1;
}

void ring_pop(struct ring *r)
{
	r->get += r->taken;
	r->taken = 0;
	atomic_store_explicit(&r->tail, r->get, memory_order_release);
}

bool ring_empty(const struct ring *r)
{
	return r->get == atomic_load_explicit(&r->head, memory_order_acquire);
}

void ring_wait(struct ring *r, uint64_t fill, const struct timespec *timeout)
{
	struct pollfd pfd = { .fd = r->wakefd, .events = POLLIN };
	eventfd_t count;

	atomic_store(&r->wake_at, fill);
	if (atomic_load(&r->head) - r->get < fill &&
	    ppoll(&pfd, 1, timeout, NULL) > 0)
		(void)eventfd_read(r->wakefd, &count);
	atomic_store(&r->wake_at, RING_NEVER);
}

void ring_kick(struct ring *r)
{
	/* Fails only where it is readable anyway. */
	(void)eventfd_write(r->wakefd, 1);
}
