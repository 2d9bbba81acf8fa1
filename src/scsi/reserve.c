/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of reservations; see the header. Sections are those of SPC-4, whose tables number bytes
 * as here. */
#include "scsi/reserve.h"

#include "base/wire.h"
#include "scsi/cdb.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	CDB_BYTES = 16,
	LIST_HEADER = 8, /* PRGENERATION, ADDITIONAL LENGTH */
	KEY_BYTES = 8,
	HELD_BYTES = 16, /* 6.15.3: what follows the header */
	STATUS_HEADER = 24, /* 6.15.5: a descriptor before its TransportID */
	TYPE_MASK = 0x0f,
	APTPL = 0x01, /* byte 20 of the parameters, 6.16.3 */
	R_HOLDER = 0x01,
	ALL_TG_PT = 0x02,
	TRANSPORT_HEADER = 4,
	PROTOCOL_MASK = 0x0f,
	PROTOCOL_ISCSI = 0x05,
	FORMAT_WITH_ISID = 0x40,
	FORMAT_MASK = 0xc0,
	ISID_DIGITS = 12,
};

#define ISID_SEPARATOR ",i,0x"
#define TRANSPORT_TEXT_MAX (RESERVE_NAME_MAX + sizeof(ISID_SEPARATOR) - 1 + ISID_DIGITS)

/* ---- types ---- */

static const struct {
	uint8_t type;
	bool is_shared, is_all;
	const char *name;
} types[] = {
	{ RESERVE_WRITE_EXCLUSIVE, false, false, "write-exclusive" },
	{ RESERVE_EXCLUSIVE_ACCESS, false, false, "exclusive-access" },
	{ RESERVE_WRITE_EXCLUSIVE_REGISTRANTS, true, false,
	  "write-exclusive-registrants-only" },
	{ RESERVE_EXCLUSIVE_ACCESS_REGISTRANTS, true, false,
	  "exclusive-access-registrants-only" },
	{ RESERVE_WRITE_EXCLUSIVE_ALL, true, true, "write-exclusive-all-registrants" },
	{ RESERVE_EXCLUSIVE_ACCESS_ALL, true, true, "exclusive-access-all-registrants" },
};
#define TYPES (sizeof(types) / sizeof(types[0]))

const char *reserve_type_name(uint8_t type)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].name;
	return "unknown type";
}

int reserve_type_parse(const char *name, uint8_t *ret)
{
	for (size_t i = 0; i < TYPES; i++)
		if (!strcmp(types[i].name, name)) {
			*ret = types[i].type;
			return 0;
		}
	return -EINVAL;
}

bool reserve_type_is_shared(uint8_t type)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].is_shared;
	return false;
}

bool reserve_type_is_all(uint8_t type)
{
	for (size_t i = 0; i < TYPES; i++)
		if (types[i].type == type)
			return types[i].is_all;
	return false;
}

/* ---- commands ---- */

unsigned reserve_in_cdb(uint8_t *cdb, enum reserve_in action, uint16_t allocation)
{
	memset(cdb, 0, CDB_BYTES);
	cdb[0] = SCSI_PERSISTENT_RESERVE_IN;
	cdb[1] = (uint8_t)action;
	put_be16(cdb + 7, allocation);
	return 10;
}

unsigned reserve_out_cdb(uint8_t *cdb, enum reserve_out action, uint8_t type)
{
	assert(type <= TYPE_MASK);
	memset(cdb, 0, CDB_BYTES);
	cdb[0] = SCSI_PERSISTENT_RESERVE_OUT;
	cdb[1] = (uint8_t)action;
	cdb[2] = type; /* scope 0 */
	put_be32(cdb + 5, RESERVE_OUT_BYTES);
	return 10;
}

void reserve_out_encode(uint8_t data[RESERVE_OUT_BYTES], uint64_t key, uint64_t action_key,
			bool is_kept)
{
	memset(data, 0, RESERVE_OUT_BYTES);
	put_be64(data, key);
	put_be64(data + 8, action_key);
	data[20] = is_kept ? APTPL : 0;
}

/* The whole unit, for this I_T nexus; no LongID, no third party. */
unsigned reserve_legacy_cdb(uint8_t *cdb, bool is_release, bool is_10)
{
	static const uint8_t opcodes[2][2] = {
		{ SCSI_RESERVE_6, SCSI_RESERVE_10 },
		{ SCSI_RELEASE_6, SCSI_RELEASE_10 },
	};

	memset(cdb, 0, CDB_BYTES);
	cdb[0] = opcodes[is_release][is_10];
	return is_10 ? 10 : 6;
}

/* ---- PERSISTENT RESERVE IN ---- */

int reserve_list_header(const uint8_t *data, size_t len, uint32_t *ret_generation,
			uint32_t *ret_needed)
{
	uint32_t bytes;

	if (len < LIST_HEADER)
		return -EPROTO;
	bytes = get_be32(data + 4);
	if (bytes > UINT32_MAX - LIST_HEADER)
		return -EPROTO;
	if (ret_generation)
		*ret_generation = get_be32(data);
	if (ret_needed)
		*ret_needed = LIST_HEADER + bytes;
	return 0;
}

/* How much of @len both came and belongs to the list; 0: not even a header. */
static size_t list_bytes(const uint8_t *data, size_t len)
{
	uint32_t needed;

	if (reserve_list_header(data, len, NULL, &needed) < 0)
		return 0;
	return needed < len ? needed : len;
}

size_t reserve_keys_count(const uint8_t *data, size_t len)
{
	size_t bytes = list_bytes(data, len);

	return bytes ? (bytes - LIST_HEADER) / KEY_BYTES : 0;
}

uint64_t reserve_keys_get(const uint8_t *data, size_t i)
{
	return get_be64(data + LIST_HEADER + i * KEY_BYTES);
}

int reserve_held_decode(const uint8_t *data, size_t len, struct reserve_held *ret)
{
	size_t bytes = list_bytes(data, len);

	if (!bytes)
		return -EPROTO;
	*ret = (struct reserve_held){ .generation = get_be32(data) };
	if (bytes == LIST_HEADER && !get_be32(data + 4))
		return 0; /* nobody */
	if (bytes < LIST_HEADER + HELD_BYTES)
		return -EPROTO;
	ret->is_held = true;
	ret->key = get_be64(data + 8);
	ret->type = data[21] & TYPE_MASK;
	return 0;
}

/* ---- TransportID ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly twelve digits. */
static bool parse_isid(const char *text, uint8_t isid[6])
{
	if (strlen(text) != ISID_DIGITS)
		return false;
	for (size_t i = 0; i < ISID_DIGITS; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0)
			return false;
		isid[i / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* @id, of which @len bytes came. What is no iSCSI name leaves the name empty. */
static void decode_transport_id(const uint8_t *id, size_t len, struct reserve_registrant *ret)
{
	char text[TRANSPORT_TEXT_MAX + 1];
	size_t bytes;
	char *isid;

	if (len < TRANSPORT_HEADER || (id[0] & PROTOCOL_MASK) != PROTOCOL_ISCSI)
		return;
	bytes = get_be16(id + 2);
	if (bytes > len - TRANSPORT_HEADER)
		return;
	bytes = strnlen((const char *)id + TRANSPORT_HEADER, bytes);
	if (bytes > TRANSPORT_TEXT_MAX)
		return;
	memcpy(text, id + TRANSPORT_HEADER, bytes);
	text[bytes] = '\0';
	isid = strstr(text, ISID_SEPARATOR);
	if ((id[0] & FORMAT_MASK) == FORMAT_WITH_ISID && isid) {
		*isid = '\0';
		ret->has_isid = parse_isid(isid + strlen(ISID_SEPARATOR), ret->isid);
	}
	if (strlen(text) <= RESERVE_NAME_MAX)
		strcpy(ret->name, text);
}

bool reserve_status_next(const uint8_t *data, size_t len, size_t *at,
			 struct reserve_registrant *ret)
{
	size_t end = list_bytes(data, len);
	const uint8_t *d;
	uint32_t bytes;

	if (*at < LIST_HEADER)
		*at = LIST_HEADER;
	if (*at > end || end - *at < STATUS_HEADER)
		return false;
	d = data + *at;
	bytes = get_be32(d + 20);
	if (bytes > end - *at - STATUS_HEADER)
		return false;
	*at += STATUS_HEADER + bytes;
	*ret = (struct reserve_registrant){
		.key = get_be64(d),
		.is_holder = d[12] & R_HOLDER,
		.is_all_ports = d[12] & ALL_TG_PT,
		.port = get_be16(d + 18),
	};
	if (ret->is_holder)
		ret->type = d[13] & TYPE_MASK;
	decode_transport_id(d + STATUS_HEADER, bytes, ret);
	return true;
}
