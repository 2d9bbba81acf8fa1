/* SPDX-License-Identifier: BSD-2-Clause */
/* Asymmetric logical unit access, bytes only; what is made of it is in disk_watch.c. Byte
 * numbers are those of the tables in SPC-4. */
#include "scsi/alua.h"

#include "base/wire.h"
#include "scsi/inquiry.h"
#include "scsi/sense.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
	LIST_HEADER = 4,  /* 6.37, table 273: RETURN DATA LENGTH */
	GROUP_HEADER = 8, /* table 274 */
	PORT_BYTES = 4,	  /* table 277 */
	ASSOCIATION_TARGET_PORT = 1,
	DESIGNATOR_RELATIVE_PORT = 4, /* 7.8.6.7 */
	DESIGNATOR_PORT_GROUP = 5,    /* 7.8.6.8 */
	PORT_DESIGNATOR_BYTES = 4,
	PREFERRED = 0x80,
	ACCESS_MASK = 0x0f,
	COMPANY_DIGITS = 6,
};

const char *alua_access_name(enum alua_access a)
{
	switch (a) {
	case ALUA_OPTIMIZED:
		return "optimized";
	case ALUA_NON_OPTIMIZED:
		return "non-optimized";
	case ALUA_STANDBY:
		return "standby";
	case ALUA_UNAVAILABLE:
		return "unavailable";
	case ALUA_LBA_DEPENDENT:
		return "lba-dependent";
	case ALUA_OFFLINE:
		return "offline";
	case ALUA_TRANSITIONING:
		return "transitioning";
	}
	return "reserved";
}

/* SPC-4 5.16.2.6 ff. Some say "in transition" as an aborted command. */
bool alua_sense(const struct sense *s, enum alua_access *ret)
{
	if (!s->is_valid || s->is_deferred || s->asc != 0x04)
		return false;
	if (s->ascq == 0x0a &&
	    (s->key == SENSE_KEY_NOT_READY || s->key == SENSE_KEY_ABORTED_COMMAND))
		*ret = ALUA_TRANSITIONING;
	else if (s->key != SENSE_KEY_NOT_READY)
		return false;
	else if (s->ascq == 0x0b)
		*ret = ALUA_STANDBY;
	else if (s->ascq == 0x0c)
		*ret = ALUA_UNAVAILABLE;
	else if (s->ascq == 0x12)
		*ret = ALUA_OFFLINE;
	else
		return false;
	return true;
}

/* ---- which port ---- */

static bool is_of_port(const struct inquiry_designator *d, uint8_t type)
{
	return d->association == ASSOCIATION_TARGET_PORT && d->type == type &&
	       d->len == PORT_DESIGNATOR_BYTES;
}

int alua_port_decode(const uint8_t *page83, size_t len, struct alua_port *ret)
{
	struct inquiry_designator d;
	size_t at = 0;

	if (len < 4 || page83[1] != 0x83)
		return -EPROTO;
	*ret = (struct alua_port){ 0 };
	while (inquiry_next_designator(page83, len, &at, &d)) {
		if (is_of_port(&d, DESIGNATOR_RELATIVE_PORT) && !ret->has_port) {
			ret->has_port = true;
			ret->port = get_be16(d.id + 2);
		} else if (is_of_port(&d, DESIGNATOR_PORT_GROUP) && !ret->has_group) {
			ret->has_group = true;
			ret->group = get_be16(d.id + 2);
		}
	}
	return 0;
}

/* ---- names ---- */

/* Says something: not zeros only, not ones only. */
static bool has_content(const char *digits, size_t count)
{
	return strspn(digits, "0") < count && strspn(digits, "fF") < count;
}

/* The company that gave the number, and the number. */
static bool is_assigned(const char *digits, size_t company_at, size_t count)
{
	size_t rest = company_at + COMPANY_DIGITS;

	return has_content(digits + company_at, COMPANY_DIGITS) &&
	       has_content(digits + rest, count - rest);
}

/* 7.8.6.6: NAA 2, 5 and 6 begin with one digit of format; in 2, a vendor's 12 bits follow
 * before the company. */
static bool is_global_naa(const char *digits, size_t count)
{
	switch (digits[0]) {
	case '2':
		return count == 16 && is_assigned(digits, 4, count);
	case '5':
		return count == 16 && is_assigned(digits, 1, count);
	case '6':
		return count == 32 && is_assigned(digits, 1, count);
	default:
		return false;
	}
}

/* 7.8.6.5: of 8 or 12 bytes, the company comes first; of 16, eight bytes go before it. */
static bool is_global_eui(const char *digits, size_t count)
{
	if (count == 16 || count == 24)
		return is_assigned(digits, 0, count);
	return count == 32 && is_assigned(digits, 16, count);
}

/* "iqn.2001-04.com.example:x": the date and the domain make it unique (RFC 7143 4.2.7). */
static bool is_global_iqn(const char *name)
{
	return strlen(name) >= strlen("2001-04.a.bc") && name[4] == '-' && name[7] == '.';
}

bool alua_is_global(const char *wwid)
{
	const char *rest = wwid + 4;
	size_t digits;

	if (strlen(wwid) < 4)
		return false;
	if (!strncasecmp(wwid, "iqn.", 4))
		return is_global_iqn(rest);
	digits = strspn(rest, "0123456789abcdefABCDEF");
	if (rest[digits])
		return false;
	if (!strncasecmp(wwid, "naa.", 4))
		return digits && is_global_naa(rest, digits);
	return !strncasecmp(wwid, "eui.", 4) && is_global_eui(rest, digits);
}

/* ---- REPORT TARGET PORT GROUPS ---- */

int alua_groups_needed(const uint8_t *data, size_t len, uint32_t *ret_bytes)
{
	uint32_t bytes;

	if (len < LIST_HEADER)
		return -EPROTO;
	bytes = get_be32(data);
	if (bytes > UINT32_MAX - LIST_HEADER)
		return -EPROTO;
	*ret_bytes = LIST_HEADER + bytes;
	return 0;
}

bool alua_groups_next(const uint8_t *data, size_t len, size_t *at, struct alua_group *ret)
{
	const uint8_t *d;
	uint32_t needed;
	size_t room;

	if (alua_groups_needed(data, len, &needed) < 0)
		return false;
	if (needed < len)
		len = needed;
	if (*at < LIST_HEADER)
		*at = LIST_HEADER;
	if (*at > len || len - *at < GROUP_HEADER)
		return false;
	d = data + *at;
	*at += GROUP_HEADER;
	room = (len - *at) / PORT_BYTES;
	*ret = (struct alua_group){
		.group = get_be16(d + 2),
		.access = (enum alua_access)(d[0] & ACCESS_MASK),
		.is_preferred = d[0] & PREFERRED,
		.ports = d[7] < room ? d[7] : (unsigned)room,
		.descriptors = data + *at,
	};
	*at += (size_t)d[7] * PORT_BYTES;
	return true;
}

bool alua_groups_find(const uint8_t *data, size_t len, uint16_t group, struct alua_group *ret)
{
	size_t at = 0;

	while (alua_groups_next(data, len, &at, ret))
		if (ret->group == group)
			return true;
	return false;
}

bool alua_groups_have_port(const uint8_t *data, size_t len, uint16_t port)
{
	struct alua_group g;
	size_t at = 0;

	while (alua_groups_next(data, len, &at, &g))
		for (unsigned i = 0; i < g.ports; i++)
			if (get_be16(g.descriptors + (size_t)i * PORT_BYTES + 2) == port)
				return true;
	return false;
}

/* ---- SET TARGET PORT GROUPS ---- */

void alua_set_encode(uint8_t data[ALUA_SET_BYTES], uint16_t group, enum alua_access access)
{
	memset(data, 0, ALUA_SET_BYTES);
	data[4] = (uint8_t)(access & ACCESS_MASK); /* 6.46, table 304 */
	put_be16(data + 6, group);
}
