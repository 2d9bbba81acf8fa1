/* SPDX-License-Identifier: BSD-2-Clause */
/* Command descriptor blocks, compared with bytes as a specification has them. */
#ifndef ISCSIFS_TESTS_CDB_CHECK_H
#define ISCSIFS_TESTS_CDB_CHECK_H

#include <stdint.h>
#include <string.h>

#include "unit.h"

/* @cdb is @want and zeros behind it, as far as 16 bytes. */
static void check_cdb(const uint8_t *cdb, unsigned len, const char *want, unsigned want_len)
{
	static const uint8_t zeros[16];

	CU_ASSERT_EQUAL(len, want_len);
	CU_ASSERT_EQUAL(memcmp(cdb, want, want_len), 0);
	CU_ASSERT_EQUAL(memcmp(cdb + want_len, zeros, 16 - want_len), 0);
}

/* Builds into a buffer full of old bytes. */
#define CHECK_CDB(want, fn, ...)                             \
	do {                                                 \
		uint8_t cdb[16];                             \
		unsigned len;                                \
		memset(cdb, 0xee, sizeof(cdb));              \
		len = fn(cdb, ##__VA_ARGS__);                \
		check_cdb(cdb, len, want, sizeof(want) - 1); \
	} while (0)

#endif
