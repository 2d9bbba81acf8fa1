/* SPDX-License-Identifier: BSD-2-Clause */
/* Reservations, bytes only: PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16), RESERVE and
 * RELEASE of SPC-2. What is made of them is in core/reservation.h. Decoders take the bytes that
 * came and believe no length beyond them. */
#ifndef ISCSIFS_RESERVE_H
#define ISCSIFS_RESERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Service actions of PERSISTENT RESERVE IN ... */
enum reserve_in {
	RESERVE_READ_KEYS = 0x00,
	RESERVE_READ_RESERVATION = 0x01,
	RESERVE_READ_FULL_STATUS = 0x03,
};
/* ... and OUT. */
enum reserve_out {
	RESERVE_REGISTER = 0x00,
	RESERVE_RESERVE = 0x01,
	RESERVE_RELEASE = 0x02,
	RESERVE_CLEAR = 0x03,
	RESERVE_PREEMPT = 0x04,
	RESERVE_PREEMPT_AND_ABORT = 0x05,
	RESERVE_REGISTER_AND_IGNORE = 0x06,
};

/* TYPE, SPC-4 6.15.3. The scope is always the logical unit (0). */
enum reserve_type {
	RESERVE_WRITE_EXCLUSIVE = 0x1,
	RESERVE_EXCLUSIVE_ACCESS = 0x3,
	RESERVE_WRITE_EXCLUSIVE_REGISTRANTS = 0x5,
	RESERVE_EXCLUSIVE_ACCESS_REGISTRANTS = 0x6,
	RESERVE_WRITE_EXCLUSIVE_ALL = 0x7,
	RESERVE_EXCLUSIVE_ACCESS_ALL = 0x8,
};
/* "write-exclusive", "exclusive-access", with "-registrants-only" or "-all-registrants";
 * "unknown type". */
const char *reserve_type_name(uint8_t type);
/* 0, or -EINVAL: none of them. */
int reserve_type_parse(const char *name, uint8_t *ret);
/* May every registered initiator do what the holder may? */
bool reserve_type_is_shared(uint8_t type);
/* Is every registered initiator a holder? Then the holder has no key (it is told as 0). */
bool reserve_type_is_all(uint8_t type);

/* ---- commands: see cdb.h ---- */

#define RESERVE_OUT_BYTES 24
#define RESERVE_IN_BYTES_MAX 65535
unsigned reserve_in_cdb(uint8_t *cdb, enum reserve_in action, uint16_t allocation);
/* @type: 0 for those actions that have none. */
unsigned reserve_out_cdb(uint8_t *cdb, enum reserve_out action, uint8_t type);
/* Its parameters: @key is ours, as registered; @action_key the one to be registered or
 * preempted.
 * @is_kept: APTPL, registrations outlast a power loss of the target. */
void reserve_out_encode(uint8_t data[RESERVE_OUT_BYTES], uint64_t key, uint64_t action_key,
			bool is_kept);
/* RESERVE or RELEASE of SPC-2: (6), or (10) where that is not known. No parameters. */
unsigned reserve_legacy_cdb(uint8_t *cdb, bool is_release, bool is_10);

/* ---- what PERSISTENT RESERVE IN tells ---- */

/* READ KEYS and READ FULL STATUS: PRGENERATION, and what all of it needs, header included.
 * -EPROTO: not even a header. Outputs may be NULL. */
int reserve_list_header(const uint8_t *data, size_t len, uint32_t *ret_generation,
			uint32_t *ret_needed);
/* READ KEYS: how many came; and key @i of these. */
size_t reserve_keys_count(const uint8_t *data, size_t len);
uint64_t reserve_keys_get(const uint8_t *data, size_t i);

struct reserve_held {
	uint32_t generation;
	bool is_held;
	uint64_t key; /* of the holder */
	uint8_t type;
};
/* READ RESERVATION. 0 or -EPROTO. */
int reserve_held_decode(const uint8_t *data, size_t len, struct reserve_held *ret);

#define RESERVE_NAME_MAX 223 /* of an iSCSI name: RFC 7143 4.2.7.1 */

/* A descriptor of READ FULL STATUS. */
struct reserve_registrant {
	uint64_t key;
	bool is_holder;
	uint8_t type; /* of the reservation, if @is_holder */
	bool is_all_ports;
	uint16_t port; /* relative target port identifier, unless @is_all_ports */
	/* Who: the TransportID, SPC-4 7.6.4.6. Any bytes but NUL; "": it is no iSCSI name. */
	char name[RESERVE_NAME_MAX + 1];
	bool has_isid;
	uint8_t isid[6];
};
/* Goes through READ FULL STATUS: *at is 0 first. False: no more. One that is cut short is not
 * told. */
bool reserve_status_next(const uint8_t *data, size_t len, size_t *at,
			 struct reserve_registrant *ret);

#endif
