/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC32C; crc32c.h is the manual. ISA-L's crc32_iscsi() neither inverts what goes in nor what
 * comes out, which is the same convention as ours. The portable one (eight tables, eight bytes
 * a step) is always compiled, so that the unit test can compare the two. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/crc32c.h"

#include "base/wire.h"

#ifdef HAVE_ISAL
#include <isa-l.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* 0x1EDC6F41 (RFC 7143 13.1), bits reversed */

/* table[k][b]: the remainder of byte b followed by k zero bytes */
static uint32_t table[8][256];

__attribute__((constructor)) static void table_init(void)
{
	for (unsigned b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[0][b] = crc;
	}
	for (unsigned k = 1; k < 8; k++)
		for (unsigned b = 0; b < 256; b++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

static uint32_t update_8_bytes(uint32_t crc, const uint8_t *p)
{
	uint32_t low = get_le32(p) ^ crc, high = get_le32(p + 4);

	return table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
	       table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
	       table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
}

uint32_t crc32c_update_portable(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len >= 8; len -= 8, p += 8)
		crc = update_8_bytes(crc, p);
	for (; len; len--, p++)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return crc;
}

#ifdef HAVE_ISAL
uint32_t crc32c_update(uint32_t crc, const void *data, size_t len)
{
	/* It does not write to its argument, and takes an int for the length. */
	unsigned char *p = (unsigned char *)(uintptr_t)data;

	while (len) {
		int n = len > 1u << 30 ? 1 << 30 : (int)len;

		crc = crc32_iscsi(p, n, crc);
		p += n;
		len -= (size_t)n;
	}
	return crc;
}
#else
uint32_t crc32c_update(uint32_t crc, const void *data, size_t len)
{
	return crc32c_update_portable(crc, data, len);
}
#endif
