/* SPDX-License-Identifier: BSD-2-Clause */
/* Sense data typed from the tables of SPC-4 4.5, and the verdicts that the rest of the program
 * relies on. */
#include "scsi/sense.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Decodes a copy of exactly @len bytes, so that the address sanitizer sees a step too far. */
static struct sense decode(const char *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct sense s;

	if (len)
		memcpy(copy, bytes, len);
	memset(&s, 0xee, sizeof(s));
	sense_decode(copy, len, &s);
	free(copy);
	return s;
}

#define DECODE(literal) decode(literal, sizeof(literal) - 1)

static void check_codes(struct sense s, unsigned key, unsigned asc, unsigned ascq)
{
	CU_ASSERT_TRUE(s.is_valid);
	CU_ASSERT_EQUAL(s.key, key);
	CU_ASSERT_EQUAL(s.asc, asc);
	CU_ASSERT_EQUAL(s.ascq, ascq);
}

/* Medium error, unrecovered read error, at LBA 0x1234: what scsi_debug sends. */
#define FIXED "\xf0\x00\x03\x00\x00\x12\x34\x0a\x00\x00\x00\x00\x11\x00\x00\x00\x00\x00"
#define DESCRIPTORS \
	"\x72\x03\x11\x00\x00\x00\x00\x0c\x00\x0a\x80\x00\x00\x00\x00\x01\x00\x00\x12\x34"

static void test_sense_fixed(void)
{
	struct sense s = DECODE(FIXED);

	check_codes(s, 3, 0x11, 0);
	CU_ASSERT_FALSE(s.is_deferred);
	CU_ASSERT_TRUE(s.has_information);
	CU_ASSERT_EQUAL(s.information, 0x1234);
}

static void test_sense_fixed_without_valid_bit_has_no_information(void)
{
	struct sense s = DECODE("\x70\x00\x06\x00\x00\x12\x34\x0a\x00\x00\x00\x00\x29\x01");

	check_codes(s, 6, 0x29, 1);
	CU_ASSERT_FALSE(s.has_information);
	CU_ASSERT_EQUAL(s.information, 0);
}

static void test_sense_fixed_key_is_four_bits(void)
{
	/* filemark, end of medium, ILI and SDAT_OVFL set around the key */
	check_codes(DECODE("\x70\x00\xf5\x00\x00\x00\x00\x0a\x00\x00\x00\x00\x24\x00"), 5, 0x24,
		    0);
}

static void test_sense_deferred(void)
{
	struct sense fixed = DECODE("\x71\x00\x03\x00\x00\x00\x00\x0a\x00\x00\x00\x00\x0c\x00");
	struct sense descriptors = DECODE("\x73\x03\x0c\x02\x00\x00\x00\x00");

	check_codes(fixed, 3, 0x0c, 0);
	CU_ASSERT_TRUE(fixed.is_deferred);
	check_codes(descriptors, 3, 0x0c, 2);
	CU_ASSERT_TRUE(descriptors.is_deferred);
}

static void test_sense_descriptors(void)
{
	struct sense s = DECODE(DESCRIPTORS);

	check_codes(s, 3, 0x11, 0);
	CU_ASSERT_FALSE(s.is_deferred);
	CU_ASSERT_TRUE(s.has_information);
	CU_ASSERT_EQUAL(s.information, 0x100001234);
}

static void test_sense_information_behind_other_descriptors(void)
{
	/* sense key specific (02h), field replaceable unit (03h), then information */
	struct sense s = DECODE("\x72\x05\x24\x00\x00\x00\x00\x18"
				"\x02\x06\x00\x00\xc0\x00\x02\x00"
				"\x03\x02\x00\x01"
				"\x00\x0a\x80\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88");

	check_codes(s, 5, 0x24, 0);
	CU_ASSERT_TRUE(s.has_information);
	CU_ASSERT_EQUAL(s.information, 0xffeeddccbbaa9988);
}

static void test_sense_block_device_descriptor(void)
{
	struct sense s = DECODE("\x72\x03\x11\x00\x00\x00\x00\x20"
				"\x0d\x1e\x80\x00\x00\x00\x00\x00"
				"\x00\x00\x00\x01\x00\x00\x00\x02"
				"\x00\x00\x00\x00\x00\x00\x00\x00"
				"\x00\x00\x00\x00\x00\x00\x00\x00");

	CU_ASSERT_TRUE(s.has_information);
	CU_ASSERT_EQUAL(s.information, 0x100000002);
}

static void test_sense_unknown_response_codes_are_invalid(void)
{
	static const uint8_t known[] = { 0x70, 0x71, 0x72, 0x73, 0xf0, 0xf1, 0xf2, 0xf3 };

	for (unsigned code = 0; code < 256; code++) {
		char data[18] = { (char)code, 3, 3 };
		struct sense s = decode(data, sizeof(data));

		CU_ASSERT_EQUAL(s.is_valid, memchr(known, (int)code, sizeof(known)) != NULL);
		if (!s.is_valid)
			CU_ASSERT_FALSE(s.is_deferred || s.has_information || s.key || s.asc);
	}
}

static void test_sense_every_length_short(void)
{
	struct sense s;

	for (size_t len = 0; len < sizeof(FIXED); len++) {
		s = decode(FIXED, len);
		CU_ASSERT_EQUAL(s.is_valid, len >= 3);
		CU_ASSERT_EQUAL(s.key, len >= 3 ? 3 : 0);
		CU_ASSERT_EQUAL(s.has_information, len >= 7);
		CU_ASSERT_EQUAL(s.asc, len >= 13 ? 0x11 : 0);
	}
	for (size_t len = 0; len < sizeof(DESCRIPTORS); len++) {
		s = decode(DESCRIPTORS, len);
		CU_ASSERT_EQUAL(s.is_valid, len >= 2);
		CU_ASSERT_EQUAL(s.asc, len >= 3 ? 0x11 : 0);
		CU_ASSERT_EQUAL(s.has_information, len >= 20);
	}
}

static void test_sense_lengths_inside_that_lie(void)
{
	/* fixed: additional length 4 ends before the ASC, 255 is more than came */
	check_codes(DECODE("\x70\x00\x04\x00\x00\x00\x00\x04\x00\x00\x00\x00\x44\x44"), 4, 0,
		    0);
	check_codes(DECODE("\x70\x00\x04\x00\x00\x00\x00\x05\x00\x00\x00\x00\x44\x44"), 4, 0x44,
		    0);
	check_codes(DECODE("\x70\x00\x04\x00\x00\x00\x00\xff\x00\x00\x00\x00\x44\x00"), 4, 0x44,
		    0);
	/* descriptors: additional length 0 hides the one that is there; a descriptor of 255 */
	CU_ASSERT_FALSE(DECODE("\x72\x03\x11\x00\x00\x00\x00\x00\x00\x0a\x80\x00\x00\x00\x00"
			       "\x01\x00\x00\x12\x34")
				.has_information);
	CU_ASSERT_FALSE(DECODE("\x72\x03\x11\x00\x00\x00\x00\xff\x00\xff\x80\x00\x00\x00\x00"
			       "\x01\x00\x00\x12\x34")
				.has_information);
	/* an information descriptor too short for its eight bytes */
	CU_ASSERT_FALSE(DECODE("\x72\x03\x11\x00\x00\x00\x00\x08\x00\x06\x80\x00\x00\x00\x00"
			       "\x01")
				.has_information);
	/* empty descriptors to the end */
	CU_ASSERT_TRUE(DECODE("\x72\x03\x11\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00"
			      "\x00")
			       .is_valid);
}

static void test_sense_all_ones(void)
{
	char data[300];

	memset(data, 0xff, sizeof(data));
	for (size_t len = 0; len <= sizeof(data); len++)
		CU_ASSERT_FALSE(decode(data, len).is_valid);
	for (unsigned code = 0x70; code <= 0x73; code++) {
		data[0] = (char)code;
		for (size_t len = 3; len <= sizeof(data); len++)
			CU_ASSERT_EQUAL(decode(data, len).key, 0xf);
	}
}

/* ---- verdicts --------------------------------------------------------------------------- */

static struct sense_verdict judge(unsigned key, unsigned asc, unsigned ascq)
{
	struct sense s = { .is_valid = true,
			   .key = (uint8_t)key,
			   .asc = (uint8_t)asc,
			   .ascq = (uint8_t)ascq };

	return sense_judge(SCSI_CHECK_CONDITION, &s);
}

static const struct expectation {
	uint8_t key, asc, ascq;
	enum sense_class class;
	int errno_value;
} expectations[] = {
	{ 0x0, 0x00, 0x00, SENSE_RETRY_NOW, EIO },
	{ 0x1, 0x17, 0x01, SENSE_OK, 0 },
	{ 0x2, 0x04, 0x01, SENSE_RETRY_LATER, EBUSY },
	{ 0x2, 0x04, 0x02, SENSE_FAIL, EIO },
	{ 0x2, 0x04, 0x03, SENSE_FAIL, EIO },
	{ 0x2, 0x04, 0x04, SENSE_RETRY_LATER, EBUSY },
	{ 0x2, 0x04, 0x0a, SENSE_RETRY_LATER, EBUSY },
	{ 0x2, 0x04, 0x0b, SENSE_PATH, EIO },
	{ 0x2, 0x04, 0x0c, SENSE_PATH, EIO },
	{ 0x2, 0x3a, 0x00, SENSE_FAIL, ENOMEDIUM },
	{ 0x2, 0x3a, 0x02, SENSE_FAIL, ENOMEDIUM },
	{ 0x3, 0x11, 0x00, SENSE_FAIL, EIO },
	{ 0x3, 0x99, 0x99, SENSE_FAIL, EIO },
	{ 0x4, 0x44, 0x00, SENSE_FAIL, EIO },
	{ 0x5, 0x20, 0x00, SENSE_FAIL, EOPNOTSUPP },
	{ 0x5, 0x21, 0x00, SENSE_FAIL, ENOSPC },
	{ 0x5, 0x24, 0x00, SENSE_FAIL, EINVAL },
	{ 0x5, 0x25, 0x00, SENSE_FAIL, ENXIO },
	{ 0x5, 0x26, 0x02, SENSE_FAIL, EINVAL },
	{ 0x6, 0x28, 0x00, SENSE_CAPACITY_CHANGED, EIO },
	{ 0x6, 0x29, 0x00, SENSE_RESET, EIO },
	{ 0x6, 0x29, 0x01, SENSE_POWER_ON, EIO },
	{ 0x6, 0x29, 0x03, SENSE_RESET, EIO },
	{ 0x6, 0x29, 0x07, SENSE_RETRY_NOW, EIO },
	{ 0x6, 0x2a, 0x01, SENSE_MODE_CHANGED, EIO },
	{ 0x6, 0x2a, 0x02, SENSE_RETRY_NOW, EIO },
	{ 0x6, 0x2a, 0x03, SENSE_RESERVATION_CHANGED, EIO },
	{ 0x6, 0x2a, 0x05, SENSE_RESERVATION_CHANGED, EIO },
	{ 0x6, 0x2a, 0x06, SENSE_ALUA_CHANGED, EIO },
	{ 0x6, 0x2a, 0x07, SENSE_ALUA_CHANGED, EIO },
	{ 0x6, 0x2a, 0x09, SENSE_CAPACITY_CHANGED, EIO },
	{ 0x6, 0x2f, 0x00, SENSE_RETRY_NOW, EIO },
	{ 0x6, 0x3f, 0x03, SENSE_INQUIRY_CHANGED, EIO },
	{ 0x6, 0x3f, 0x0e, SENSE_LUNS_CHANGED, EIO },
	{ 0x6, 0x99, 0x99, SENSE_RETRY_NOW, EIO },
	{ 0x7, 0x27, 0x00, SENSE_FAIL, EROFS },
	{ 0x7, 0x27, 0x07, SENSE_FAIL, ENOSPC },
	{ 0x7, 0x20, 0x02, SENSE_FAIL, EPERM },
	{ 0xb, 0x47, 0x05, SENSE_RETRY_NOW, EIO }, /* conformance 16.4.1 */
	{ 0xb, 0x0c, 0x0c, SENSE_RETRY_NOW, EIO }, /* 16.4.3 */
	{ 0xb, 0x0c, 0x0d, SENSE_RETRY_NOW, EIO }, /* 16.4.4 */
	{ 0xb, 0x4b, 0x07, SENSE_RETRY_NOW, EIO },
	{ 0xb, 0x4e, 0x00, SENSE_RETRY_NOW, EIO },
	{ 0xb, 0x10, 0x01, SENSE_FAIL, EILSEQ },
	{ 0xb, 0x00, 0x00, SENSE_RETRY_NOW, EIO },
	{ 0xd, 0x00, 0x00, SENSE_FAIL, ENOSPC },
	{ 0xe, 0x1d, 0x00, SENSE_FAIL, EILSEQ },
	{ 0xf, 0x00, 0x00, SENSE_OK, 0 },
};

static void test_sense_judges_codes(void)
{
	for (size_t i = 0; i < COUNT(expectations); i++) {
		const struct expectation *e = &expectations[i];
		struct sense_verdict v = judge(e->key, e->asc, e->ascq);

		CU_ASSERT_EQUAL(v.class, e->class);
		CU_ASSERT_EQUAL(v.errno_value, e->errno_value);
	}
}

static void test_sense_every_code_has_a_verdict(void)
{
	for (unsigned key = 0; key < 16; key++)
		for (unsigned code = 0; code < 0x10000; code++) {
			struct sense_verdict v = judge(key, code >> 8, code & 0xff);

			CU_ASSERT_FATAL((v.class == SENSE_OK) == (v.errno_value == 0));
			/* nothing but these two keys may pass for success */
			CU_ASSERT_FATAL(v.class != SENSE_OK || key == 0x1 || key == 0xf);
		}
}

static void check_status(unsigned status, enum sense_class class, int errno_value)
{
	struct sense_verdict v = sense_judge((uint8_t)status, NULL);

	CU_ASSERT_EQUAL(v.class, class);
	CU_ASSERT_EQUAL(v.errno_value, errno_value);
}

static void test_sense_judges_statuses(void)
{
	check_status(0x00, SENSE_OK, 0);
	check_status(0x02, SENSE_RETRY_NOW, EIO);
	check_status(0x04, SENSE_OK, 0);
	check_status(0x08, SENSE_RETRY_LATER, EBUSY); /* conformance 16.4.5 */
	check_status(0x18, SENSE_FAIL, EBUSY);
	check_status(0x28, SENSE_RETRY_LATER, EBUSY);
	check_status(0x30, SENSE_FAIL, EIO);
	check_status(0x40, SENSE_RETRY_NOW, EIO);
	check_status(0x10, SENSE_FAIL, EIO); /* INTERMEDIATE: obsolete */
	check_status(0xff, SENSE_FAIL, EIO);
}

static void test_sense_only_check_condition_looks_at_sense(void)
{
	struct sense medium_error = { .is_valid = true, .key = 3, .asc = 0x11 };
	struct sense invalid = { .key = 3, .asc = 0x11 };

	CU_ASSERT_EQUAL(sense_judge(SCSI_GOOD, &medium_error).class, SENSE_OK);
	CU_ASSERT_EQUAL(sense_judge(SCSI_BUSY, &medium_error).class, SENSE_RETRY_LATER);
	CU_ASSERT_EQUAL(sense_judge(SCSI_CHECK_CONDITION, &medium_error).class, SENSE_FAIL);
	CU_ASSERT_EQUAL(sense_judge(SCSI_CHECK_CONDITION, &invalid).class, SENSE_RETRY_NOW);
}

static void test_sense_deferred_is_of_another_command(void)
{
	struct sense s = { .is_valid = true, .is_deferred = true, .key = 3, .asc = 0x0c };
	struct sense_verdict v = sense_judge(SCSI_CHECK_CONDITION, &s);

	CU_ASSERT_EQUAL(v.class, SENSE_RETRY_NOW);
	CU_ASSERT_EQUAL(v.errno_value, EIO);
	s.key = 1; /* recovered: this command was not executed all the same */
	v = sense_judge(SCSI_CHECK_CONDITION, &s);
	CU_ASSERT_EQUAL(v.class, SENSE_RETRY_NOW);
	CU_ASSERT_EQUAL(v.errno_value, EIO);
}

/* ---- words ------------------------------------------------------------------------------ */

static void check_text(unsigned status, const struct sense *s, const char *want)
{
	char buf[200];

	CU_ASSERT_PTR_EQUAL(sense_format((uint8_t)status, s, buf, sizeof(buf)), buf);
	CU_ASSERT_STRING_EQUAL(buf, want);
}

static void test_sense_text_of_statuses(void)
{
	check_text(0x00, NULL, "good");
	check_text(0x08, NULL, "busy");
	check_text(0x18, NULL, "reservation conflict");
	check_text(0x02, NULL, "check condition without sense data");
	check_text(0x55, NULL, "unknown status 0x55");
	CU_ASSERT_STRING_EQUAL(scsi_status_name(0x28), "task set full");
	CU_ASSERT_STRING_EQUAL(scsi_status_name(0x55), "unknown status");
}

static void test_sense_text_of_codes(void)
{
	struct sense s = DECODE(FIXED);

	check_text(0x02, &s, "medium error, unrecovered read error (03/11/00) at LBA 4660");
	s = DECODE("\x72\x0b\x47\x05");
	check_text(0x02, &s, "aborted command, protocol service CRC error (0B/47/05)");
	s = DECODE("\x73\x03\x0c\x02");
	check_text(0x02, &s,
		   "deferred medium error, write error - auto reallocation failed (03/0C/02)");
	s = DECODE("\xf0\x00\x0e\x00\x00\x00\x07\x0a\x00\x00\x00\x00\x1d\x00");
	check_text(0x02, &s,
		   "miscompare, miscompare during verify operation (0E/1D/00), information 7");
}

static void test_sense_text_of_unknown_codes(void)
{
	struct sense s = DECODE("\x72\x05\x7f\x7f");

	check_text(0x02, &s, "illegal request (05/7F/7F)");
	s = DECODE("\x72\x05\x80\x01");
	check_text(0x02, &s, "illegal request, vendor specific code (05/80/01)");
	s = DECODE("\x72\x04\x40\x85");
	check_text(0x02, &s, "hardware error, diagnostic failure on a component (04/40/85)");
	CU_ASSERT_PTR_NULL(sense_text(0x7f, 0x7f));
}

static void test_sense_text_fits_any_buffer(void)
{
	struct sense s = DECODE(FIXED);
	char whole[200], buf[200];

	sense_format(0x02, &s, whole, sizeof(whole));
	for (size_t size = 1; size <= strlen(whole) + 1; size++) {
		memset(buf, 'x', sizeof(buf));
		sense_format(0x02, &s, buf, size);
		CU_ASSERT_EQUAL(strlen(buf), size - 1);
		CU_ASSERT_EQUAL(strncmp(buf, whole, size - 1), 0);
		CU_ASSERT_EQUAL(buf[size], 'x');
	}
}

static void test_sense_text_of_every_code(void)
{
	char buf[200];

	for (unsigned code = 0; code < 0x10000; code++) {
		struct sense s = { .is_valid = true,
				   .is_deferred = true,
				   .key = (uint8_t)(code & 0xf),
				   .asc = (uint8_t)(code >> 8),
				   .ascq = (uint8_t)code,
				   .has_information = true,
				   .information = UINT64_MAX };

		sense_format(0x02, &s, buf, sizeof(buf));
		/* whole: 150 bytes are enough for a log line */
		CU_ASSERT_FATAL(strlen(buf) < 150 && strstr(buf, "18446744073709551615"));
	}
}

UNIT_MAIN("sense", UNIT(test_sense_fixed),
	  UNIT(test_sense_fixed_without_valid_bit_has_no_information),
	  UNIT(test_sense_fixed_key_is_four_bits), UNIT(test_sense_deferred),
	  UNIT(test_sense_descriptors), UNIT(test_sense_information_behind_other_descriptors),
	  UNIT(test_sense_block_device_descriptor),
	  UNIT(test_sense_unknown_response_codes_are_invalid),
	  UNIT(test_sense_every_length_short), UNIT(test_sense_lengths_inside_that_lie),
	  UNIT(test_sense_all_ones), UNIT(test_sense_judges_codes),
	  UNIT(test_sense_every_code_has_a_verdict), UNIT(test_sense_judges_statuses),
	  UNIT(test_sense_only_check_condition_looks_at_sense),
	  UNIT(test_sense_deferred_is_of_another_command), UNIT(test_sense_text_of_statuses),
	  UNIT(test_sense_text_of_codes), UNIT(test_sense_text_of_unknown_codes),
	  UNIT(test_sense_text_fits_any_buffer), UNIT(test_sense_text_of_every_code))
