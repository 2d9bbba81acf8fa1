/* SPDX-License-Identifier: BSD-2-Clause */
/* REPORT LUNS data and the eight bytes of a LUN. SPC-4 6.33, SAM-5 4.7. */
#include "scsi/inquiry.h"

#include "base/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	LIST_HEADER = 8,
	LUN_BYTES = 8,
	METHOD_PERIPHERAL = 0, /* the two high bits of the first byte */
	METHOD_FLAT = 1,
};

int luns_needed(const uint8_t *data, size_t len, uint32_t *ret_bytes)
{
	uint32_t list_bytes;

	if (len < LIST_HEADER)
		return -EPROTO;
	list_bytes = get_be32(data);
	if (list_bytes > UINT32_MAX - LIST_HEADER)
		return -EPROTO;
	*ret_bytes = LIST_HEADER + list_bytes;
	return 0;
}

size_t luns_count(const uint8_t *data, size_t len)
{
	uint32_t list_bytes;

	if (len < LIST_HEADER)
		return 0;
	list_bytes = get_be32(data);
	len -= LIST_HEADER;
	return (list_bytes < len ? list_bytes : len) / LUN_BYTES;
}

void luns_get(const uint8_t *data, size_t i, uint8_t lun[8])
{
	memcpy(lun, data + LIST_HEADER + i * LUN_BYTES, LUN_BYTES);
}

/* A single level: the three levels below the first are zero. */
static bool is_single_level(const uint8_t lun[8])
{
	static const uint8_t zeros[6];

	return memcmp(lun + 2, zeros, sizeof(zeros)) == 0;
}

int lun_decode(const uint8_t lun[8], uint32_t *ret_number)
{
	uint16_t first = get_be16(lun);

	if (!is_single_level(lun))
		return -ENOTSUP;
	switch (first >> 14) {
	case METHOD_PERIPHERAL:
		if (first > 0xff) /* another bus */
			return -ENOTSUP;
		*ret_number = first;
		return 0;
	case METHOD_FLAT:
		*ret_number = first & 0x3fff;
		return 0;
	default:
		return -ENOTSUP;
	}
}

void lun_encode(uint32_t number, uint8_t lun[8])
{
	assert(number <= LUN_NUMBER_MAX);
	memset(lun, 0, LUN_BYTES);
	put_be16(lun, (uint16_t)(number < 256 ? number : METHOD_FLAT << 14 | number));
}

const char *lun_method_name(const uint8_t lun[8])
{
	/* The low six bits: length, and extended address method. */
	enum { WELL_KNOWN = 0xc1, EXTENDED_FLAT = 0xd2, LONG_FLAT = 0xe2, NONE = 0xff };
	static const char *const names[] = { "peripheral", "flat", "logical unit", "extended" };

	switch (lun[0]) {
	case WELL_KNOWN:
		return "well known";
	case EXTENDED_FLAT:
		return "extended flat";
	case LONG_FLAT:
		return "long extended flat";
	case NONE:
		return "not specified";
	default:
		return names[lun[0] >> 6];
	}
}
