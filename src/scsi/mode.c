/* SPDX-License-Identifier: BSD-2-Clause */
/* MODE SENSE data: the device-specific byte of the header and the caching page. The header is
 * believed even when the length in it denies the header's own bytes: write protection must not
 * be overlooked. SPC-4 7.5, SBC-3 6.5.5. */
#include "scsi/inquiry.h"

#include "base/wire.h"

#include <errno.h>

enum {
	HEADER_6 = 4,
	HEADER_10 = 8,
	PAGE_CACHING = 0x08,
	PAGE_CODE_MASK = 0x3f,
	SUBPAGE_FORMAT = 0x40,
	DEVICE_WRITE_PROTECTED = 0x80,
	DEVICE_DPO_FUA = 0x10,
	CACHING_WCE = 0x04,
	CACHING_RCD = 0x01,
};

/* The parts of either header. Sizes in bytes; @total counts the header. */
struct mode_layout {
	size_t header, total, descriptors;
	uint8_t device_specific;
};

/* Bytes of the page at @p including its header; more than @len: it is cut short. */
static size_t page_bytes(const uint8_t *p, size_t len)
{
	if (!(p[0] & SUBPAGE_FORMAT))
		return len < 2 ? 2 : 2 + (size_t)p[1];
	return len < 4 ? 4 : 4 + (size_t)get_be16(p + 2);
}

static bool is_caching_page(const uint8_t *p, size_t bytes)
{
	return (p[0] & (PAGE_CODE_MASK | SUBPAGE_FORMAT)) == PAGE_CACHING && bytes >= 3;
}

static void decode_pages(const uint8_t *p, size_t len, struct mode_caching *ret)
{
	while (len > 0) {
		size_t bytes = page_bytes(p, len);

		if (bytes > len)
			return;
		if (is_caching_page(p, bytes)) {
			ret->has_page = true;
			ret->write_cache = p[2] & CACHING_WCE;
			ret->read_cache_disabled = p[2] & CACHING_RCD;
			return;
		}
		p += bytes;
		len -= bytes;
	}
}

static int mode_decode(const uint8_t *data, size_t len, const struct mode_layout *layout,
		       struct mode_caching *ret)
{
	size_t at = layout->header + layout->descriptors;

	*ret = (struct mode_caching){
		.is_write_protected = layout->device_specific & DEVICE_WRITE_PROTECTED,
		.has_dpo_fua = layout->device_specific & DEVICE_DPO_FUA,
	};
	if (layout->total < len)
		len = layout->total;
	if (at < len)
		decode_pages(data + at, len - at, ret);
	return 0;
}

int mode_decode_6(const uint8_t *data, size_t len, struct mode_caching *ret)
{
	if (len < HEADER_6)
		return -EPROTO;
	return mode_decode(data, len,
			   &(struct mode_layout){ .header = HEADER_6,
						  .total = 1 + (size_t)data[0],
						  .descriptors = data[3],
						  .device_specific = data[2] },
			   ret);
}

int mode_decode_10(const uint8_t *data, size_t len, struct mode_caching *ret)
{
	if (len < HEADER_10)
		return -EPROTO;
	return mode_decode(data, len,
			   &(struct mode_layout){ .header = HEADER_10,
						  .total = 2 + (size_t)get_be16(data),
						  .descriptors = get_be16(data + 6),
						  .device_specific = data[3] },
			   ret);
}
