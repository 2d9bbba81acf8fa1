/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of EXTENDED COPY; see the header. The numbers are those of the tables of SPC-4 6.4. */
#include "scsi/copy.h"

#include <assert.h>
#include <string.h>

#include "base/wire.h"
#include "scsi/cdb.h"

enum {
	HEADER_BYTES = 16,
	END_BYTES = 32,
	SEGMENT_BYTES = 28,
	LIST_ID_UNUSED = 0x18,	   /* LIST ID USAGE 11b: nobody will ask about it */
	END_IDENTIFICATION = 0xe4, /* 6.4.5.2 */
	CODE_SET_BINARY = 0x01,
	DESIGNATOR_NAA = 0x03,
	SEGMENT_BLOCK_TO_BLOCK = 0x02, /* 6.4.6.2 */
};

unsigned copy_cdb(uint8_t *cdb)
{
	memset(cdb, 0, 16);
	cdb[0] = SCSI_EXTENDED_COPY;
	put_be32(cdb + 10, COPY_BYTES);
	return 16;
}

static void encode_end(uint8_t *p, const struct copy_end *e)
{
	assert(e->naa_bytes <= COPY_NAA_MAX);
	p[0] = END_IDENTIFICATION;
	p[4] = CODE_SET_BINARY;
	p[5] = DESIGNATOR_NAA; /* association 0: the logical unit */
	p[7] = e->naa_bytes;
	memcpy(p + 8, e->naa, e->naa_bytes);
	put_be24(p + 29, e->block_bytes);
}

void copy_encode(uint8_t data[COPY_BYTES], const struct copy_end *from,
		 const struct copy_end *to, uint16_t blocks)
{
	uint8_t *segment = data + HEADER_BYTES + 2 * END_BYTES;

	memset(data, 0, COPY_BYTES);
	data[1] = LIST_ID_UNUSED;
	put_be16(data + 2, 2 * END_BYTES);
	put_be32(data + 8, SEGMENT_BYTES);
	encode_end(data + HEADER_BYTES, from);
	encode_end(data + HEADER_BYTES + END_BYTES, to);
	segment[0] = SEGMENT_BLOCK_TO_BLOCK;
	put_be16(segment + 2, SEGMENT_BYTES - 4);
	put_be16(segment + 4, 0); /* from the first of the two ... */
	put_be16(segment + 6, 1); /* ... to the second */
	put_be16(segment + 10, blocks);
	put_be64(segment + 12, from->lba);
	put_be64(segment + 20, to->lba);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint8_t copy_naa_of(const char *wwid, uint8_t naa[COPY_NAA_MAX])
{
	static const char prefix[] = "naa.";
	uint8_t bytes[COPY_NAA_MAX] = { 0 };
	size_t len;

	if (strncmp(wwid, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	wwid += sizeof(prefix) - 1;
	len = strlen(wwid);
	if (len != 16 && len != 32)
		return 0;
	for (size_t i = 0; i < len; i++) {
		int value = digit(wwid[i]);

		if (value < 0)
			return 0;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | value);
	}
	memcpy(naa, bytes, sizeof(bytes));
	return (uint8_t)(len / 2);
}
