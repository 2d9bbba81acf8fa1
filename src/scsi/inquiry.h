/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoders for what a logical unit tells of itself: INQUIRY and its pages, READ CAPACITY,
 * REPORT LUNS, MODE SENSE (inquiry.c, capacity.c, luns.c, mode.c). Every one takes the bytes
 * that came and how many, believes no length inside them beyond that, and returns 0 or -EPROTO
 * (outputs untouched). */
#ifndef ISCSIFS_INQUIRY_H
#define ISCSIFS_INQUIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inquiry {
	uint8_t qualifier, type; /* peripheral; 0/0 is a disk that is there */
	bool is_removable;
	uint8_t version; /* SPC version byte */
	uint8_t tpgs;	 /* enum alua_tpgs (alua.h) */
	bool can_copy;	 /* 3PC: EXTENDED COPY and its kind */
	/* Blanks around them off, unprintable bytes as '?'; empty when they did not come. */
	char vendor[9], product[17], revision[5];
};
int inquiry_decode(const uint8_t *data, size_t len, struct inquiry *ret);
const char *inquiry_type_name(uint8_t type); /* "disk", "controller", ...; low five bits */

/* VPD 0x00: is @page supported? */
bool inquiry_has_page(const uint8_t *page00, size_t len, uint8_t page);
/* VPD 0x80: unit serial number, blanks off, cut to what fits @buf. @size >= 2. Empty when the
 * unit has none to tell (SPC-4: all blanks). */
int inquiry_serial(const uint8_t *data, size_t len, char *buf, size_t size);
/* VPD 0x83: the best designator of the logical unit (NAA > EUI-64 > SCSI name > T10 vendor >
 * locally assigned NAA, which is not unique in the world), written like Linux does:
 * "naa.6001...", "eui.0025...", "t10.VENDOR..." or the SCSI name; characters that cannot be in
 * a file name, and blanks, as '_'. Never "", "." or "..". A designator that does not fit @buf
 * is passed over, not cut. -ENOENT when none is left. */
int inquiry_wwid(const uint8_t *data, size_t len, char *buf, size_t size);

/* VPD 0x83, one designator after the other: SPC-4 7.8.6.1. *at is 0 first. False: no more, or one
 * that is cut short. @id points into the page. */
struct inquiry_designator {
	uint8_t code_set, association, type;
	bool has_protocol;
	uint8_t protocol; /* SPC-4 7.6.1, when @has_protocol: 5 is iSCSI */
	const uint8_t *id;
	size_t len;
};
bool inquiry_next_designator(const uint8_t *data, size_t len, size_t *at,
			     struct inquiry_designator *ret);

struct block_limits { /* VPD 0xB0; zero: not told */
	uint32_t max_transfer_blocks, optimal_transfer_blocks;
	uint16_t optimal_granularity_blocks;
	uint32_t max_unmap_blocks, max_unmap_descriptors, unmap_granularity, unmap_alignment;
	bool has_unmap_alignment;
	uint64_t max_write_same_blocks;
};
int inquiry_block_limits(const uint8_t *data, size_t len, struct block_limits *ret);

struct capacity {
	uint64_t blocks; /* number of blocks, not the last LBA */
	uint32_t block_bytes;
	uint8_t physical_exponent;
	bool is_thin, zeros_after_unmap;
};
/* -EOVERFLOW: the 10-byte form cannot tell (ask with 16). -ERANGE: block length 0, not a
 * multiple of 4, or over 65536; or a size that is no off_t (2^63 bytes and more). */
int capacity_decode_10(const uint8_t *data, size_t len, struct capacity *ret);
int capacity_decode_16(const uint8_t *data, size_t len, struct capacity *ret);

/* REPORT LUNS: the length that the list needs in all, header included (ask again with it when
 * larger than @len). What the target says: up to 4 GiB, so the caller has a limit. */
int luns_needed(const uint8_t *data, size_t len, uint32_t *ret_bytes);
size_t luns_count(const uint8_t *data, size_t len); /* entries that did come */
/* Entry @i, below luns_count(), as eight wire bytes. */
void luns_get(const uint8_t *data, size_t i, uint8_t lun[8]);
/* LUN <-> the number shown in lunN: single level peripheral (0-255) and flat (0-16383)
 * addressing; -ENOTSUP for others (then the number is not shown). Encoding uses peripheral
 * addressing below 256, as SAM-5 4.7.5 and real targets do. Commands to a LUN that was reported
 * use the eight bytes that came: a target may answer only to its own spelling. */
int lun_decode(const uint8_t lun[8], uint32_t *ret_number);
void lun_encode(uint32_t number, uint8_t lun[8]); /* @number <= LUN_NUMBER_MAX */
#define LUN_NUMBER_MAX 16383
/* "peripheral", "flat", "logical unit", "well known", ...: SAM-5 4.7.7. Any eight bytes. */
const char *lun_method_name(const uint8_t lun[8]);

struct mode_caching {
	bool is_write_protected, has_dpo_fua;
	bool has_page, write_cache, read_cache_disabled;
};
/* MODE SENSE(6) or (10) data holding the header and (if there) page 0x08. */
int mode_decode_6(const uint8_t *data, size_t len, struct mode_caching *ret);
int mode_decode_10(const uint8_t *data, size_t len, struct mode_caching *ret);

#endif
