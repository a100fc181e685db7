#include "switchd/awake.h"

static bool awake_has(const struct awake *a, uint64_t tag)
{
	for (unsigned int i = 0; i < a->n; i++)
		if (a->queue[i].tag == tag)
			return true;
	return false;
}

unsigned int awake_take(struct awake *a, const struct awake_ops *ops, void *ctx,
			uint64_t tag)
{
	int n;

	if (awake_has(a, tag))
		return 0;
	n = ops->look(ctx, tag);
	if (n < 0)
		return 0;
	/* Even a look in vain has woken it. */
	if ((n == 0 || a->n == AWAKE_MAX) && ops->sleep(ctx, tag))
		return (unsigned int)n;
	if (a->n < AWAKE_MAX)
		a->queue[a->n++] =
			(struct awake_queue){ .tag = tag, .had = n > 0 };
	else
		a->missed = true;
	return (unsigned int)n;
}

unsigned int awake_look(struct awake *a, const struct awake_ops *ops, void *ctx)
{
	unsigned int frames = 0, kept = 0;

	for (unsigned int i = 0; i < a->n; i++) {
		struct awake_queue q = a->queue[i];
		int n = ops->look(ctx, q.tag);

		if (n < 0)
			continue;
		frames += (unsigned int)n;
		q.had = n > 0;
		a->queue[kept++] = q;
	}
	a->n = kept;
	return frames;
}

void awake_cool(struct awake *a, const struct awake_ops *ops, void *ctx,
		unsigned int frames)
{
	unsigned int kept = 0;

	if (!frames)
		return;
	for (unsigned int i = 0; i < a->n; i++) {
		struct awake_queue q = a->queue[i];

		q.empty = q.had ? 0 : q.empty + 1;
		if (q.empty >= AWAKE_COLD) {
			if (ops->sleep(ctx, q.tag))
				continue;
			q.empty = 0;
		}
		a->queue[kept++] = q;
	}
	a->n = kept;
}

bool awake_sleep(struct awake *a, const struct awake_ops *ops, void *ctx)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < a->n; i++)
		if (!ops->sleep(ctx, a->queue[i].tag))
			a->queue[kept++] = a->queue[i];
	a->n = kept;
	return !awake_any(a);
}
