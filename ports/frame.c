#include "ports/frame.h"

bool frame_read(const struct frame *f, uint32_t off, void *to, uint32_t n)
{
	struct iovec iov[1 + FRAME_SEGS_MAX];
	unsigned int count = frame_iov(f, iov);
	uint8_t *out = to;

	if (off > f->len || n > f->len - off)
		return false;
	for (unsigned int i = 0; i < count && n; i++) {
		uint32_t part = (uint32_t)iov[i].iov_len;

		if (off >= part) {
			off -= part;
			continue;
		}
		part -= off;
		if (part > n)
			part = n;
		memcpy(out, (const uint8_t *)iov[i].iov_base + off, part);
		out += part;
		n -= part;
		off = 0;
	}
	return n == 0;
}
