/* SPDX-License-Identifier: BSD-2-Clause */
/* Status and sense: bytes to struct sense, struct sense to a verdict and to words.
 *
 * The verdict comes from one table, read from the top: the first row that matches wins, so
 * single codes stand above the rule of their key, and every key ends with a row for all its
 * other codes. A code that no row names is thus judged by its key. Texts are in
 * sense_text.c. */
#include "scsi/sense.h"

#include "base/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	RESPONSE_FIXED_CURRENT = 0x70,
	RESPONSE_FIXED_DEFERRED = 0x71,
	RESPONSE_DESCRIPTOR_CURRENT = 0x72,
	RESPONSE_DESCRIPTOR_DEFERRED = 0x73,
	RESPONSE_MASK = 0x7f, /* then odd: deferred */
	VALID_BIT = 0x80,
	KEY_MASK = 0x0f,
	HEADER_BYTES = 8, /* up to and with ADDITIONAL SENSE LENGTH, in both formats */
	DESCRIPTOR_INFORMATION = 0x00,
	DESCRIPTOR_BLOCK_DEVICE = 0x0d,
};

/* ---- decoding ------------------------------------------------------------------------- */

/* What both the bytes that came and the length written in them allow to look at. Before byte
 * 7 there is no such length: old targets send a few bytes only. */
static size_t believable_length(const uint8_t *data, size_t len)
{
	size_t told;

	if (len < HEADER_BYTES)
		return len;
	told = HEADER_BYTES + (size_t)data[7];
	return told < len ? told : len;
}

/* SPC-4 4.5.3. Needs the three bytes up to the key. */
static void decode_fixed(const uint8_t *data, size_t len, struct sense *s)
{
	if (len < 3)
		return;
	s->is_valid = true;
	s->key = data[2] & KEY_MASK;
	if (len > 12)
		s->asc = data[12];
	if (len > 13)
		s->ascq = data[13];
	if ((data[0] & VALID_BIT) && len >= 7) {
		s->has_information = true;
		s->information = get_be32(data + 3);
	}
}

/* One sense data descriptor of @len bytes, header of two included. */
static void decode_descriptor(const uint8_t *d, size_t len, struct sense *s)
{
	size_t at;

	switch (d[0]) {
	case DESCRIPTOR_INFORMATION: /* SPC-4 4.5.2.2 */
		at = 4;
		break;
	case DESCRIPTOR_BLOCK_DEVICE: /* SBC-4 4.18.4 */
		at = 8;
		break;
	default:
		return;
	}
	if (len < at + 8 || !(d[2] & VALID_BIT))
		return;
	s->has_information = true;
	s->information = get_be64(d + at);
}

/* SPC-4 4.5.2. Needs the two bytes up to the key. */
static void decode_descriptors(const uint8_t *data, size_t len, struct sense *s)
{
	size_t at = HEADER_BYTES;

	if (len < 2)
		return;
	s->is_valid = true;
	s->key = data[1] & KEY_MASK;
	if (len > 2)
		s->asc = data[2];
	if (len > 3)
		s->ascq = data[3];
	while (at + 2 <= len) {
		size_t bytes = 2 + (size_t)data[at + 1];

		if (bytes > len - at)
			break;
		decode_descriptor(data + at, bytes, s);
		at += bytes;
	}
}

void sense_decode(const uint8_t *data, size_t len, struct sense *ret)
{
	uint8_t response;

	*ret = (struct sense){ 0 };
	if (len == 0)
		return;
	len = believable_length(data, len);
	response = data[0] & RESPONSE_MASK;
	if (response == RESPONSE_FIXED_CURRENT || response == RESPONSE_FIXED_DEFERRED)
		decode_fixed(data, len, ret);
	else if (response == RESPONSE_DESCRIPTOR_CURRENT ||
		 response == RESPONSE_DESCRIPTOR_DEFERRED)
		decode_descriptors(data, len, ret);
	ret->is_deferred = ret->is_valid && (response & 1);
}

/* ---- judging -------------------------------------------------------------------------- */

#define ANY (-1)

/* clang-format off */
static const struct sense_rule {
	uint8_t key;
	int16_t asc, ascq;
	enum sense_class class;
	int errno_value;
} rules[] = {
	/* The target does not say what was wrong, nor how much was transferred. */
	{ SENSE_KEY_NO_SENSE,	     ANY,  ANY,	 SENSE_RETRY_NOW,	    EIO },
	{ SENSE_KEY_RECOVERED_ERROR, ANY,  ANY,	 SENSE_OK,		    0 },

	{ SENSE_KEY_NOT_READY,	     0x04, 0x00, SENSE_RETRY_LATER,	    EBUSY },
	{ SENSE_KEY_NOT_READY,	     0x04, 0x01, SENSE_RETRY_LATER,	    EBUSY }, /* becoming ready */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x04, SENSE_RETRY_LATER,	    EBUSY }, /* formats */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x05, SENSE_RETRY_LATER,	    EBUSY }, /* rebuilds */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x06, SENSE_RETRY_LATER,	    EBUSY }, /* recalculates */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x07, SENSE_RETRY_LATER,	    EBUSY }, /* operation */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x08, SENSE_RETRY_LATER,	    EBUSY }, /* long write */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x09, SENSE_RETRY_LATER,	    EBUSY }, /* self-test */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x0a, SENSE_RETRY_LATER,	    EBUSY }, /* ALUA transition */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x0b, SENSE_PATH,		    EIO },   /* standby */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x0c, SENSE_PATH,		    EIO },   /* unavailable */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x0e, SENSE_RETRY_LATER,	    EBUSY }, /* security session */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x11, SENSE_RETRY_LATER,	    EBUSY }, /* waits to spin up */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x12, SENSE_PATH,		    EIO },   /* offline */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x13, SENSE_RETRY_LATER,	    EBUSY }, /* SA creation */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x14, SENSE_RETRY_LATER,	    EBUSY }, /* allocates space */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x1a, SENSE_RETRY_LATER,	    EBUSY }, /* START STOP UNIT */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x1b, SENSE_RETRY_LATER,	    EBUSY }, /* sanitizes */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x1c, SENSE_RETRY_LATER,	    EBUSY }, /* waits for power */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x1d, SENSE_RETRY_LATER,	    EBUSY }, /* configures */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x24, SENSE_RETRY_LATER,	    EBUSY }, /* depopulates */
	{ SENSE_KEY_NOT_READY,	     0x04, 0x25, SENSE_RETRY_LATER,	    EBUSY }, /* restores that */
	{ SENSE_KEY_NOT_READY,	     0x05, ANY,	 SENSE_RETRY_LATER,	    EIO },   /* no selection */
	{ SENSE_KEY_NOT_READY,	     0x08, ANY,	 SENSE_RETRY_LATER,	    EIO },   /* communication */
	{ SENSE_KEY_NOT_READY,	     0x3a, ANY,	 SENSE_FAIL,		    ENOMEDIUM },
	{ SENSE_KEY_NOT_READY,	     0x3e, 0x00, SENSE_RETRY_LATER,	    EBUSY }, /* unconfigured yet */
	/* The rest waits for a person: start, intervention, microcode, power cycle. */
	{ SENSE_KEY_NOT_READY,	     ANY,  ANY,	 SENSE_FAIL,		    EIO },

	{ SENSE_KEY_MEDIUM_ERROR,    ANY,  ANY,	 SENSE_FAIL,		    EIO },
	{ SENSE_KEY_HARDWARE_ERROR,  ANY,  ANY,	 SENSE_FAIL,		    EIO },

	{ SENSE_KEY_ILLEGAL_REQUEST, 0x20, ANY,	 SENSE_FAIL,		    EOPNOTSUPP },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x21, ANY,	 SENSE_FAIL,		    ENOSPC },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x22, ANY,	 SENSE_FAIL,		    EOPNOTSUPP },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x24, ANY,	 SENSE_FAIL,		    EINVAL },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x25, ANY,	 SENSE_FAIL,		    ENXIO },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x26, ANY,	 SENSE_FAIL,		    EINVAL },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x27, ANY,	 SENSE_FAIL,		    EROFS },
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x53, 0x02, SENSE_FAIL,		    EBUSY }, /* removal prevented */
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x55, ANY,	 SENSE_FAIL,		    ENOSPC }, /* registrations */
	{ SENSE_KEY_ILLEGAL_REQUEST, 0x68, ANY,	 SENSE_FAIL,		    ENXIO }, /* not configured */
	{ SENSE_KEY_ILLEGAL_REQUEST, ANY,  ANY,	 SENSE_FAIL,		    EINVAL },

	/* The medium may be another one: its size most of all. */
	{ SENSE_KEY_UNIT_ATTENTION,  0x28, ANY,	 SENSE_CAPACITY_CHANGED,    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x29, 0x01, SENSE_POWER_ON,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x29, 0x07, SENSE_RETRY_NOW,	    EIO }, /* nexus loss */
	{ SENSE_KEY_UNIT_ATTENTION,  0x29, ANY,	 SENSE_RESET,		    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x00, SENSE_MODE_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x01, SENSE_MODE_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x03, SENSE_RESERVATION_CHANGED, EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x04, SENSE_RESERVATION_CHANGED, EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x05, SENSE_RESERVATION_CHANGED, EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x06, SENSE_ALUA_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x07, SENSE_ALUA_CHANGED,	    EIO }, /* implicit: failed */
	{ SENSE_KEY_UNIT_ATTENTION,  0x2a, 0x09, SENSE_CAPACITY_CHANGED,    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x00, SENSE_INQUIRY_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x01, SENSE_INQUIRY_CHANGED,	    EIO }, /* microcode */
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x02, SENSE_INQUIRY_CHANGED,	    EIO }, /* definition */
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x03, SENSE_INQUIRY_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x05, SENSE_INQUIRY_CHANGED,	    EIO }, /* identifier */
	{ SENSE_KEY_UNIT_ATTENTION,  0x3f, 0x0e, SENSE_LUNS_CHANGED,	    EIO },
	{ SENSE_KEY_UNIT_ATTENTION,  ANY,  ANY,	 SENSE_RETRY_NOW,	    EIO },

	{ SENSE_KEY_DATA_PROTECT,    0x27, 0x07, SENSE_FAIL,		    ENOSPC }, /* thin pool full */
	{ SENSE_KEY_DATA_PROTECT,    0x27, ANY,	 SENSE_FAIL,		    EROFS },
	{ SENSE_KEY_DATA_PROTECT,    ANY,  ANY,	 SENSE_FAIL,		    EPERM },

	{ SENSE_KEY_BLANK_CHECK,     ANY,  ANY,	 SENSE_FAIL,		    EIO },
	{ SENSE_KEY_VENDOR_SPECIFIC, ANY,  ANY,	 SENSE_FAIL,		    EIO },
	{ SENSE_KEY_COPY_ABORTED,    ANY,  ANY,	 SENSE_FAIL,		    EIO },

	/* Protection information did not match: the same bytes would fail again. */
	{ SENSE_KEY_ABORTED_COMMAND, 0x10, ANY,	 SENSE_FAIL,		    EILSEQ },
	{ SENSE_KEY_ABORTED_COMMAND, 0x04, 0x0a, SENSE_RETRY_LATER,	    EBUSY }, /* some say it so */
	{ SENSE_KEY_ABORTED_COMMAND, 0x55, ANY,	 SENSE_RETRY_LATER,	    EBUSY }, /* out of resources */
	/* 47/xx, 4B/xx, 0C/0C, 0C/0D, 4E/00 and all else: the transfer was disturbed. */
	{ SENSE_KEY_ABORTED_COMMAND, ANY,  ANY,	 SENSE_RETRY_NOW,	    EIO },

	{ SENSE_KEY_OBSOLETE,	     ANY,  ANY,	 SENSE_FAIL,		    EIO },
	{ SENSE_KEY_VOLUME_OVERFLOW, ANY,  ANY,	 SENSE_FAIL,		    ENOSPC },
	{ SENSE_KEY_MISCOMPARE,	     ANY,  ANY,	 SENSE_FAIL,		    EILSEQ },
	{ SENSE_KEY_COMPLETED,	     ANY,  ANY,	 SENSE_OK,		    0 },
};

static const struct status_row {
	uint8_t status;
	const char *name;
	struct sense_verdict verdict;
} statuses[] = {
	{ SCSI_GOOD,		     "good",		     { SENSE_OK, 0 } },
	/* Without usable sense: not known what happened. With it, the rules above decide. */
	{ SCSI_CHECK_CONDITION,	     "check condition",	     { SENSE_RETRY_NOW, EIO } },
	{ SCSI_CONDITION_MET,	     "condition met",	     { SENSE_OK, 0 } },
	{ SCSI_BUSY,		     "busy",		     { SENSE_RETRY_LATER, EBUSY } },
	{ SCSI_RESERVATION_CONFLICT, "reservation conflict", { SENSE_FAIL, EBUSY } },
	{ SCSI_TASK_SET_FULL,	     "task set full",	     { SENSE_RETRY_LATER, EBUSY } },
	{ SCSI_ACA_ACTIVE,	     "ACA active",	     { SENSE_FAIL, EIO } },
	{ SCSI_TASK_ABORTED,	     "task aborted",	     { SENSE_RETRY_NOW, EIO } },
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct status_row *find_status(uint8_t status)
{
	for (size_t i = 0; i < COUNT(statuses); i++)
		if (statuses[i].status == status)
			return &statuses[i];
	return NULL;
}

static bool rule_matches(const struct sense_rule *r, const struct sense *s)
{
	return r->key == s->key && (r->asc == ANY || r->asc == s->asc) &&
	       (r->ascq == ANY || r->ascq == s->ascq);
}

static const struct sense_rule *find_rule(const struct sense *s)
{
	for (size_t i = 0; i < COUNT(rules); i++)
		if (rule_matches(&rules[i], s))
			return &rules[i];
	return NULL;
}

struct sense_verdict sense_judge(uint8_t status, const struct sense *s)
{
	const struct status_row *row = find_status(status);
	const struct sense_rule *rule;

	if (!row)
		return (struct sense_verdict){ SENSE_FAIL, EIO };
	if (status != SCSI_CHECK_CONDITION || !s || !s->is_valid)
		return row->verdict;
	rule = find_rule(s);
	if (!rule) /* a key over 15: not from sense_decode() */
		return (struct sense_verdict){ SENSE_FAIL, EIO };
	if (s->is_deferred)
		return (struct sense_verdict){ SENSE_RETRY_NOW,
					       rule->errno_value ? rule->errno_value : EIO };
	return (struct sense_verdict){ rule->class, rule->errno_value };
}

/* ---- words ---------------------------------------------------------------------------- */

/* has_lba: what the information field is, for the commands we send. (With a miscompare it is
 * the offset of the first byte that differs.) */
static const struct key_name {
	const char *name;
	bool has_lba;
} keys[] = {
	[SENSE_KEY_NO_SENSE] = { "no sense", false },
	[SENSE_KEY_RECOVERED_ERROR] = { "recovered error", true },
	[SENSE_KEY_NOT_READY] = { "not ready", false },
	[SENSE_KEY_MEDIUM_ERROR] = { "medium error", true },
	[SENSE_KEY_HARDWARE_ERROR] = { "hardware error", true },
	[SENSE_KEY_ILLEGAL_REQUEST] = { "illegal request", true },
	[SENSE_KEY_UNIT_ATTENTION] = { "unit attention", false },
	[SENSE_KEY_DATA_PROTECT] = { "data protect", true },
	[SENSE_KEY_BLANK_CHECK] = { "blank check", true },
	[SENSE_KEY_VENDOR_SPECIFIC] = { "vendor specific", false },
	[SENSE_KEY_COPY_ABORTED] = { "copy aborted", false },
	[SENSE_KEY_ABORTED_COMMAND] = { "aborted command", true },
	[SENSE_KEY_OBSOLETE] = { "obsolete sense key", false },
	[SENSE_KEY_VOLUME_OVERFLOW] = { "volume overflow", false },
	[SENSE_KEY_MISCOMPARE] = { "miscompare", false },
	[SENSE_KEY_COMPLETED] = { "completed", false },
};
_Static_assert(COUNT(keys) == KEY_MASK + 1, "every sense key has a name");

const char *scsi_status_name(uint8_t status)
{
	const struct status_row *row = find_status(status);

	return row ? row->name : "unknown status";
}

const char *sense_key_name(uint8_t key)
{
	return keys[key & KEY_MASK].name;
}

/* What to say of an additional sense code; NULL: the numbers are all there is. */
static const char *code_text(uint8_t asc, uint8_t ascq)
{
	const char *text = sense_text(asc, ascq);

	if (text)
		return text;
	return asc >= 0x80 || ascq >= 0x80 ? "vendor specific code" : NULL;
}

static char *format_status(uint8_t status, char *buf, size_t size)
{
	if (status == SCSI_CHECK_CONDITION)
		snprintf(buf, size, "check condition without sense data");
	else if (find_status(status))
		snprintf(buf, size, "%s", scsi_status_name(status));
	else
		snprintf(buf, size, "%s 0x%02x", scsi_status_name(status), status);
	return buf;
}

char *sense_format(uint8_t status, const struct sense *s, char *buf, size_t size)
{
	char information[48] = "";
	const char *text;

	assert(size > 0);
	if (status != SCSI_CHECK_CONDITION || !s || !s->is_valid)
		return format_status(status, buf, size);
	text = code_text(s->asc, s->ascq);
	if (s->has_information)
		snprintf(information, sizeof(information), "%s%llu",
			 keys[s->key & KEY_MASK].has_lba ? " at LBA " : ", information ",
			 (unsigned long long)s->information);
	snprintf(buf, size, "%s%s%s%s (%02X/%02X/%02X)%s", s->is_deferred ? "deferred " : "",
		 sense_key_name(s->key), text ? ", " : "", text ? text : "", s->key, s->asc,
		 s->ascq, information);
	return buf;
}
