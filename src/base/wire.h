/* SPDX-License-Identifier: BSD-2-Clause */
/* Big and little endian integers at any address. */
#ifndef ISCSIFS_WIRE_H
#define ISCSIFS_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_DEFINE(bits, order)                                                        \
	static inline uint##bits##_t get_##order##bits(const void *p)                   \
	{                                                                               \
		uint##bits##_t v;                                                       \
		memcpy(&v, p, sizeof(v));                                               \
		return order##bits##toh(v);                                             \
	}                                                                               \
	static inline void put_##order##bits(void *p, uint##bits##_t v)                 \
	{                                                                               \
		v = hto##order##bits(v);                                                \
		memcpy(p, &v, sizeof(v));                                               \
	}

WIRE_DEFINE(16, be)
WIRE_DEFINE(32, be)
WIRE_DEFINE(64, be)
WIRE_DEFINE(16, le)
WIRE_DEFINE(32, le)

static inline uint32_t get_be24(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static inline void put_be24(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 16);
	b[1] = (uint8_t)(v >> 8);
	b[2] = (uint8_t)v;
}

#endif
