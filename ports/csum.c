#include "ports/csum.h"

#include <endian.h>
#include <string.h>

/*
 * Ones' complement addition is the same for any word size and byte order (RFC
 * 1071 section 2), so add 64-bit words as they lie in memory and fold and swap
 * at the end. Four chains, because an addition waits for the last one's carry.
 */
struct lanes {
	uint64_t a, b, c, d;
};

static inline uint64_t add_carry(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

static inline void lanes_add(struct lanes *l, const uint64_t w[4])
{
	l->a = add_carry(l->a, w[0]);
	l->b = add_carry(l->b, w[1]);
	l->c = add_carry(l->c, w[2]);
	l->d = add_carry(l->d, w[3]);
}

/* The chains and the last 0..31 bytes, as a sum of big-endian words. */
static inline uint32_t lanes_finish(const struct lanes *l, const uint8_t *p,
				    uint32_t n)
{
	uint64_t sum = add_carry(add_carry(l->a, l->b), add_carry(l->c, l->d));
	uint64_t w;

	for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		sum = add_carry(sum, w);
	}
	if (n) {
		w = 0;
		memcpy(&w, p, n);
		sum = add_carry(sum, w);
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return be16toh(csum_fold((uint32_t)sum));
}

uint32_t csum_bytes(const uint8_t *p, uint32_t n)
{
	struct lanes l = { 0, 0, 0, 0 };
	uint64_t w[4];

	for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		lanes_add(&l, w);
	}
	return lanes_finish(&l, p, n);
}

uint32_t csum_copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
	struct lanes l = { 0, 0, 0, 0 };
	uint64_t w[4];

	for (; n >= sizeof(w); n -= sizeof(w)) {
		memcpy(w, from, sizeof(w));
		memcpy(to, w, sizeof(w));
		lanes_add(&l, w);
		from += sizeof(w);
		to += sizeof(w);
	}
	memcpy(to, from, n);
	return lanes_finish(&l, to, n);
}

uint32_t csum_crc32c(uint32_t crc, const uint8_t *p, uint32_t n)
{
	/* The remainder of each half byte; polynomial 0x1edc6f41, mirrored. */
	static const uint32_t half[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (uint32_t i = 0; i < n; i++) {
		crc = half[(crc ^ p[i]) & 15] ^ crc >> 4;
		crc = half[(crc ^ p[i] >> 4) & 15] ^ crc >> 4;
	}
	return crc;
}
