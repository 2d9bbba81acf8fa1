/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC32C (Castagnoli), the digest of RFC 7143 section 13.1. ISA-L where configure found it,
 * else a table of our own. */
#ifndef ISCSIFS_CRC32C_H
#define ISCSIFS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_INIT 0xffffffffu

/* Continue @crc (start with CRC32C_INIT) over @len bytes. */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t len);
/* The same by the table of our own, whatever configure found: for the unit test. */
uint32_t crc32c_update_portable(uint32_t crc, const void *data, size_t len);
/* The digest as the four bytes that go on the wire, as a native integer to be stored with
 * put_le32: RFC 7143 13.1 sends bit 31 of the remainder as the lowest bit of the first byte. */
static inline uint32_t crc32c_final(uint32_t crc)
{
	return ~crc;
}
static inline uint32_t crc32c(const void *data, size_t len)
{
	return crc32c_final(crc32c_update(CRC32C_INIT, data, len));
}

#endif
