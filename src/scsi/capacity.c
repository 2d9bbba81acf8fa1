/* SPDX-License-Identifier: BSD-2-Clause */
/* READ CAPACITY data. The sizes that come out of here are safe to compute with: blocks times
 * block_bytes fits an off_t. SBC-3 5.15.2 and 5.16.2. */
#include "scsi/inquiry.h"

#include "base/wire.h"

#include <errno.h>

enum {
	BLOCK_BYTES_MAX = 65536,
};

/* Number of blocks and their size from the last LBA and the length that came. */
static int check_size(uint64_t last_lba, uint32_t block_bytes)
{
	if (block_bytes == 0 || block_bytes % 4 || block_bytes > BLOCK_BYTES_MAX)
		return -ERANGE;
	if (last_lba >= INT64_MAX / block_bytes) /* last_lba + 1 blocks would pass it */
		return -ERANGE;
	return 0;
}

int capacity_decode_10(const uint8_t *data, size_t len, struct capacity *ret)
{
	uint32_t last_lba, block_bytes;
	int r;

	if (len < 8)
		return -EPROTO;
	last_lba = get_be32(data);
	block_bytes = get_be32(data + 4);
	if (last_lba == UINT32_MAX)
		return -EOVERFLOW;
	r = check_size(last_lba, block_bytes);
	if (r < 0)
		return r;
	*ret = (struct capacity){ .blocks = (uint64_t)last_lba + 1,
				  .block_bytes = block_bytes };
	return 0;
}

/* The first twelve bytes are needed; a target of SBC-2 times may send no more. */
int capacity_decode_16(const uint8_t *data, size_t len, struct capacity *ret)
{
	uint64_t last_lba;
	uint32_t block_bytes;
	int r;

	if (len < 12)
		return -EPROTO;
	last_lba = get_be64(data);
	block_bytes = get_be32(data + 8);
	r = check_size(last_lba, block_bytes);
	if (r < 0)
		return r;
	*ret = (struct capacity){
		.blocks = last_lba + 1,
		.block_bytes = block_bytes,
		.physical_exponent = len > 13 ? data[13] & 0x0f : 0,
		.is_thin = len > 14 && (data[14] & 0x80),
		.zeros_after_unmap = len > 14 && (data[14] & 0x40),
	};
	return 0;
}
