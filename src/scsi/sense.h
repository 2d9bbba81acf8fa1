/* SPDX-License-Identifier: BSD-2-Clause */
/* SCSI status and sense data: decoding (fixed and descriptor format, any length, any bytes),
 * text for people, and the one table that says what each means for an I/O: its errno and
 * whether we may send it again. SPC-4 4.5, SAM-5 5.3. */
#ifndef ISCSIFS_SENSE_H
#define ISCSIFS_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_CONDITION_MET = 0x04,
	SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18,
	SCSI_TASK_SET_FULL = 0x28,
	SCSI_ACA_ACTIVE = 0x30,
	SCSI_TASK_ABORTED = 0x40,
};

enum sense_key {
	SENSE_KEY_NO_SENSE = 0x0,
	SENSE_KEY_RECOVERED_ERROR = 0x1,
	SENSE_KEY_NOT_READY = 0x2,
	SENSE_KEY_MEDIUM_ERROR = 0x3,
	SENSE_KEY_HARDWARE_ERROR = 0x4,
	SENSE_KEY_ILLEGAL_REQUEST = 0x5,
	SENSE_KEY_UNIT_ATTENTION = 0x6,
	SENSE_KEY_DATA_PROTECT = 0x7,
	SENSE_KEY_BLANK_CHECK = 0x8,
	SENSE_KEY_VENDOR_SPECIFIC = 0x9,
	SENSE_KEY_COPY_ABORTED = 0xa,
	SENSE_KEY_ABORTED_COMMAND = 0xb,
	SENSE_KEY_OBSOLETE = 0xc,
	SENSE_KEY_VOLUME_OVERFLOW = 0xd,
	SENSE_KEY_MISCOMPARE = 0xe,
	SENSE_KEY_COMPLETED = 0xf,
};

struct sense {
	bool is_valid; /* a known response code and a key */
	bool is_deferred;
	uint8_t key, asc, ascq;
	bool has_information;
	uint64_t information; /* usually the LBA */
};

/* @data: sense data itself, without the SenseLength of the iSCSI data segment. Never fails:
 * is_valid tells; what did not come is 0. */
void sense_decode(const uint8_t *data, size_t len, struct sense *ret);

enum sense_class {
	/* GOOD, CONDITION MET, RECOVERED ERROR, COMPLETED */
	SENSE_OK,
	/* Issue anew: TASK ABORTED, unit attentions, transient transport conditions (0B/47/05,
	 * 0B/0C/0C, 0B/0C/0D ...), a CHECK CONDITION that does not say why. */
	SENSE_RETRY_NOW,
	/* Issue anew after a pause: BUSY, TASK SET FULL, becoming ready, ALUA transition */
	SENSE_RETRY_LATER,
	/* errno */
	SENSE_FAIL,
	/* Unit attentions that want more than a retry: look again at what changed, then issue
	 * anew. */
	SENSE_CAPACITY_CHANGED,
	SENSE_LUNS_CHANGED,
	SENSE_MODE_CHANGED,
	SENSE_RESET,
	SENSE_POWER_ON, /* surely: its caches are empty */
	SENSE_RESERVATION_CHANGED,
	SENSE_INQUIRY_CHANGED,
	SENSE_ALUA_CHANGED, /* also: a transition failed */
	/* Standby, unavailable, offline: try another path */
	SENSE_PATH,
};

struct sense_verdict {
	enum sense_class class;
	int errno_value; /* positive, 0 for SENSE_OK; for the others when retries run out */
};

/* @s may be NULL when the status brought no sense.
 *
 * A deferred error is of an *earlier* command; this one was not executed (SPC-4 4.5.6), so the
 * class is SENSE_RETRY_NOW whatever the key. Who promises that written data is safe (a
 * SYNCHRONIZE CACHE, fsync) must look at is_deferred and fail with errno_value instead. */
struct sense_verdict sense_judge(uint8_t status, const struct sense *s);

const char *scsi_status_name(uint8_t status); /* "task set full"; "unknown status" */
const char *sense_key_name(uint8_t key);      /* "medium error"; the low four bits count */
/* "unrecovered read error"; NULL when the pair is not in our table. */
const char *sense_text(uint8_t asc, uint8_t ascq);
/* "medium error, unrecovered read error (03/11/00) at LBA 4660": into @buf (@size > 0), always
 * terminated; returns @buf. */
char *sense_format(uint8_t status, const struct sense *s, char *buf, size_t size);

#endif
