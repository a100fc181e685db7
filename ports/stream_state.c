#include "ports/stream_state.h"

#include <stddef.h>
#include <string.h>

void stream_state_init(struct stream_state *s)
{
	memset(s, 0, offsetof(struct stream_state, rest));
	s->size = sizeof(*s);
	/* The last store: what has it is complete. */
	atomic_thread_fence(memory_order_release);
	s->magic = STREAM_MAGIC;
}

static bool place_sane(uint64_t place, uint32_t max)
{
	return stream_from(place) <= stream_to(place) &&
	       stream_to(place) <= max;
}

static bool ends_sane(const struct stream_state *s)
{
	uint32_t before = 0;

	if (s->sends > STREAM_SEND_MAX)
		return false;
	for (uint32_t i = 0; i < s->sends; i++) {
		if (s->end[i] < before || s->end[i] - before > STREAM_FRAME_MAX)
			return false;
		before = s->end[i];
	}
	return true;
}

bool stream_state_sane(const struct stream_state *s)
{
	uint64_t rx = atomic_load(&s->rx), tx = atomic_load(&s->tx);

	if (s->magic != STREAM_MAGIC || s->size != sizeof(*s) ||
	    atomic_load(&s->open) > 1 || !place_sane(rx, STREAM_BUFFER) ||
	    !place_sane(tx, STREAM_FRAME_MAX))
		return false;
	if (rx & STREAM_BUSY &&
	    s->rx_msg.msg_len > STREAM_BUFFER - stream_to(rx))
		return false;
	return !(tx & STREAM_BUSY) || ends_sane(s);
}

void stream_state_open(struct stream_state *s)
{
	atomic_store(&s->rx, 0);
	atomic_store(&s->tx, 0);
	s->sends = 0;
	atomic_store(&s->open, 1);
}

void stream_state_close(struct stream_state *s)
{
	atomic_store(&s->open, 0);
}

static bool recover_tx(struct stream_state *s)
{
	uint64_t tx = atomic_load(&s->tx);
	uint32_t from = stream_from(tx), to = stream_to(tx);
	uint32_t sent = s->tx_msg.msg_len, before = 0;

	if (sent < to - from) {
		atomic_store(&s->tx, stream_place(from + sent, to));
		return true;
	}
	sent -= to - from;
	for (uint32_t i = 0; i < s->sends && before < sent; i++)
		before = s->end[i];
	if (before != sent)
		return false;
	atomic_store(&s->tx, 0);
	return true;
}

bool stream_state_recover(struct stream_state *s)
{
	uint64_t rx = atomic_load(&s->rx);

	if (rx & STREAM_BUSY)
		atomic_store(&s->rx,
			     stream_place(stream_from(rx),
					  stream_to(rx) + s->rx_msg.msg_len));
	return !(atomic_load(&s->tx) & STREAM_BUSY) || recover_tx(s);
}
