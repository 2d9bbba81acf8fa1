/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical block provisioning: see the header. The numbers in comments are byte positions in the
 * tables of SBC-3. */
#include "scsi/provision.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"

enum {
	PAGE_PROVISIONING = 0xb2,
	LBPU = 0x80,
	LBPWS = 0x40,
	LBPRZ_ZEROS = 0x04, /* the lowest bit of the field */
	TYPE_MASK = 0x07,
	STATUS_MASK = 0x0f,
	STATUS_DEALLOCATED = 1,
	STATUS_ANCHORED = 2,
};

int provision_decode(const uint8_t *data, size_t len, struct provisioning *ret)
{
	if (len < 6 || data[1] != PAGE_PROVISIONING || get_be16(data + 2) < 2)
		return -EPROTO;
	*ret = (struct provisioning){
		.has_unmap = data[5] & LBPU,
		.has_write_same_unmap = data[5] & LBPWS,
		.has_zeros = data[5] & LBPRZ_ZEROS,
		.type = len > 6 && get_be16(data + 2) > 2 ? data[6] & TYPE_MASK : 0,
	};
	return 0;
}

/* The length in the header counts what follows it and its own four bytes. */
static size_t whole_extents(const uint8_t *data, size_t len)
{
	size_t told;

	if (len < LBA_STATUS_HEADER_BYTES)
		return 0;
	told = (size_t)get_be32(data) + 4;
	if (told < len)
		len = told;
	return len < LBA_STATUS_HEADER_BYTES
		       ? 0
		       : (len - LBA_STATUS_HEADER_BYTES) / LBA_STATUS_EXTENT_BYTES;
}

bool provision_extent(const uint8_t *data, size_t len, size_t i, struct lba_extent *ret)
{
	const uint8_t *p;
	uint8_t status;

	if (i >= whole_extents(data, len))
		return false;
	p = data + LBA_STATUS_HEADER_BYTES + i * LBA_STATUS_EXTENT_BYTES;
	status = p[12] & STATUS_MASK;
	*ret = (struct lba_extent){
		.lba = get_be64(p),
		.blocks = get_be32(p + 8),
		.is_mapped = status != STATUS_DEALLOCATED && status != STATUS_ANCHORED,
	};
	return true;
}

/* Does @e go on from @lba, or contain it when it is the @i-th, the first? */
static bool continues(const struct lba_extent *e, size_t i, uint64_t lba)
{
	if (!e->blocks || e->blocks > UINT64_MAX - e->lba)
		return false;
	return i ? e->lba == lba : e->lba <= lba && lba - e->lba < e->blocks;
}

uint64_t provision_find(const uint8_t *data, size_t len, uint64_t lba, bool is_mapped,
			uint64_t *ret_end)
{
	struct lba_extent e;

	*ret_end = 0;
	for (size_t i = 0; provision_extent(data, len, i, &e); i++) {
		if (!continues(&e, i, lba))
			break;
		if (e.is_mapped == is_mapped) {
			*ret_end = e.lba + e.blocks;
			break;
		}
		lba = e.lba + e.blocks;
	}
	return lba;
}

uint64_t provision_count(const uint8_t *data, size_t len, uint64_t lba, uint64_t end,
			 uint64_t *ret_mapped)
{
	struct lba_extent e;

	*ret_mapped = 0;
	for (size_t i = 0; lba < end && provision_extent(data, len, i, &e); i++) {
		uint64_t to = e.lba + e.blocks;

		if (!continues(&e, i, lba))
			break;
		if (to > end)
			to = end;
		*ret_mapped += e.is_mapped ? to - lba : 0;
		lba = to;
	}
	return lba;
}

void provision_unmap(uint8_t *data, uint64_t lba, uint32_t blocks)
{
	memset(data, 0, PROVISION_UNMAP_BYTES);
	put_be16(data, PROVISION_UNMAP_BYTES - 2); /* what follows the field */
	put_be16(data + 2, 16);			   /* of descriptors */
	put_be64(data + 8, lba);
	put_be32(data + 16, blocks);
}
