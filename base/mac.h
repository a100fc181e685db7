/*
 * mac - 48-bit Ethernet addresses as integers
 *
 * An address is a uint64_t whose low 48 bits hold it in reading order: the
 * first byte on the wire is bits 47..40. So 01:80:c2:00:00:00 is
 * 0x0180c2000000, addresses compare and hash as integers, and a VID fits
 * beside one in a word.
 */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MAC_MASK      0xffffffffffffull
#define MAC_BROADCAST MAC_MASK
#define MAC_GROUP_BIT (1ull << 40) /* I/G bit, IEEE 802-2014 8.2.2 */
#define MAC_STRLEN    18	   /* "52:54:00:12:34:56" and the NUL */

/* The address at p (six readable bytes, any alignment). */
static inline uint64_t mac_load(const uint8_t *p)
{
	uint16_t hi;
	uint32_t lo;

	memcpy(&hi, p, sizeof(hi));
	memcpy(&lo, p + 2, sizeof(lo));
	return (uint64_t)__builtin_bswap16(hi) << 32 | __builtin_bswap32(lo);
}

/* Write the address to p (six writable bytes, any alignment). */
static inline void mac_store(uint8_t *p, uint64_t mac)
{
	uint16_t hi = __builtin_bswap16((uint16_t)(mac >> 32));
	uint32_t lo = __builtin_bswap32((uint32_t)mac);

	memcpy(p, &hi, sizeof(hi));
	memcpy(p + 2, &lo, sizeof(lo));
}

static inline int mac_is_group(uint64_t mac)
{
	return (mac & MAC_GROUP_BIT) != 0;
}

/* Write "52:54:00:12:34:56" to buf (MAC_STRLEN bytes); returns buf. */
static inline char *mac_format(uint64_t mac, char *buf)
{
	snprintf(buf, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x",
		 (unsigned int)(mac >> 40) & 0xff,
		 (unsigned int)(mac >> 32) & 0xff,
		 (unsigned int)(mac >> 24) & 0xff,
		 (unsigned int)(mac >> 16) & 0xff,
		 (unsigned int)(mac >> 8) & 0xff, (unsigned int)mac & 0xff);
	return buf;
}

/*
 * Read an address written as six pairs of hex digits with ':' or '-' between
 * them and nothing else. Returns 0 and sets *mac, or -1.
 */
static inline int mac_parse(const char *s, uint64_t *mac)
{
	uint64_t value = 0;

	if (strlen(s) != MAC_STRLEN - 1 || (s[2] != ':' && s[2] != '-'))
		return -1;
	for (int i = 0; i < MAC_STRLEN - 1; i++) {
		if (i % 3 == 2 && s[i] != s[2])
			return -1;
		if (i % 3 == 2)
			continue;
		if (!isxdigit((unsigned char)s[i]))
			return -1;
		value <<= 4;
		if (isdigit((unsigned char)s[i]))
			value |= (uint64_t)(s[i] - '0');
		else
			value |= (uint64_t)((s[i] | 0x20) - 'a' + 10);
	}
	*mac = value;
	return 0;
}

#endif
