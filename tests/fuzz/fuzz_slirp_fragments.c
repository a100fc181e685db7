/*
 * fuzz_slirp_fragments - frames of a guest's behind a slirp port
 *
 * Input: frames, each behind two bytes that say how long it is (little-endian);
 * their IPv4 headers' checksums are made right, or nothing would be seen of
 * what is behind those. What comes out is no fragment.
 */
#include "ports/slirp_fragments.h"

#include "ports/csum.h"
#include "ports/frame.h"

#include <stdlib.h>
#include <string.h>

#define IP   ETHER_HEADER_LEN
#define STEP (SLIRP_FRAGMENTS_NS / 64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix(uint8_t *frame, size_t len)
{
	size_t header = len > IP ? (frame[IP] & 0x0f) * 4u : 0;

	if (header < 20 || IP + header > len)
		return;
	store_be16(frame + IP + 10, 0);
	store_be16(frame + IP + 10,
		   (uint16_t)~csum_bytes(frame + IP, (uint32_t)header));
}

static void check(const uint8_t *frame, size_t len, const uint8_t *given)
{
	if (len < IP + 20 || load_be16(frame + IP - 2) != 0x0800)
		return;
	if (load_be16(frame + IP + 6) & 0xbfff)
		abort();
	if (frame != given &&
	    (load_be16(frame + IP + 2) != len - IP ||
	     csum_bytes(frame + IP, (frame[IP] & 0x0f) * 4u) != 0xffff))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slirp_fragments *t = slirp_fragments_new();
	uint64_t now = 1;

	if (!t)
		abort();
	while (size >= 2) {
		size_t len = data[0] | (size_t)data[1] << 8;
		const uint8_t *out;
		uint8_t *frame;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		frame = malloc(len ? len : 1);
		if (!frame)
			abort();
		memcpy(frame, data, len);
		fix(frame, len);
		data += len;
		size -= len;
		out = frame;
		if (slirp_fragments_take(t, &out, &len, now))
			check(out, len, frame);
		free(frame);
		now += STEP;
	}
	slirp_fragments_free(t);
	return 0;
}
