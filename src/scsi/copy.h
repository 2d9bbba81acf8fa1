/* SPDX-License-Identifier: BSD-2-Clause */
/* EXTENDED COPY (SPC-4 6.4, the form with a list identifier of eight bits): blocks from one
 * logical unit to another, or to another place of the same, moved by the target. Each unit is
 * named by its NAA designator. */
#ifndef ISCSIFS_COPY_H
#define ISCSIFS_COPY_H

#include <stdint.h>

#define COPY_NAA_MAX 16
#define COPY_BLOCKS_MAX 65535 /* of one segment */
/* Header, two identification descriptors, one segment from block to block device. */
#define COPY_BYTES (16 + 2 * 32 + 28)

struct copy_end {
	uint8_t naa[COPY_NAA_MAX];
	uint8_t naa_bytes; /* 8 or 16 */
	uint32_t block_bytes;
	uint64_t lba;
};

unsigned copy_cdb(uint8_t *cdb);
/* Its parameters into @data. */
void copy_encode(uint8_t data[COPY_BYTES], const struct copy_end *from,
		 const struct copy_end *to, uint16_t blocks);
/* The designator of a name as inquiry_wwid() writes it ("naa.6001..."): its length, 8 or 16, or
 * 0: it is of another sort. */
uint8_t copy_naa_of(const char *wwid, uint8_t naa[COPY_NAA_MAX]);

#endif
