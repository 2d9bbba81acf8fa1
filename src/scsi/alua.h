/* SPDX-License-Identifier: BSD-2-Clause */
/* Asymmetric logical unit access: by which target port does a path reach the unit, and what may
 * be done by it now? REPORT and SET TARGET PORT GROUPS, the designators of VPD page 0x83 that
 * tell the port, and whether a name can be unique in the world at all. SPC-4 5.16, 6.37, 6.46,
 * 7.8.6. Decoders take the bytes that came and believe no length beyond them. */
#ifndef ISCSIFS_ALUA_H
#define ISCSIFS_ALUA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ASYMMETRIC ACCESS STATE, SPC-4 table 275. */
enum alua_access {
	ALUA_OPTIMIZED = 0x0,
	ALUA_NON_OPTIMIZED = 0x1,
	ALUA_STANDBY = 0x2,
	ALUA_UNAVAILABLE = 0x3,
	ALUA_LBA_DEPENDENT = 0x4, /* usable for some blocks, or all: as non-optimized */
	ALUA_OFFLINE = 0xe,
	ALUA_TRANSITIONING = 0xf,
};
const char *alua_access_name(enum alua_access a); /* "optimized" ...; "reserved" */

struct sense;
/* Does the sense data of a command tell the state of its path (02/04/0A to 0C, 12)? */
bool alua_sense(const struct sense *s, enum alua_access *ret);

/* TPGS of standard INQUIRY data, SPC-4 6.6.2: who may change states? */
enum alua_tpgs { ALUA_NONE = 0, ALUA_IMPLICIT = 1, ALUA_EXPLICIT = 2 /* 3: both */ };

/* The target port that a command came in by: designators 4 and 5 with association 1. */
struct alua_port {
	bool has_port, has_group;
	uint16_t port;	/* relative target port identifier */
	uint16_t group; /* target port group */
};
/* 0 or -EPROTO; what is not told is not set. Of several, the first counts. */
int alua_port_decode(const uint8_t *page83, size_t len, struct alua_port *ret);

/* Is @wwid, as inquiry_wwid() writes it, a name that nobody else may have? NAA 2, 5 and 6,
 * EUI-64 and the names of RFC 7143, with a manufacturer's number that is not 0, and more than
 * zeros or ones behind it. Not T10 vendor, not NAA 3. (It still may be a lie.) */
bool alua_is_global(const char *wwid);

/* REPORT TARGET PORT GROUPS data, as far as it came: */
struct alua_group {
	uint16_t group;
	enum alua_access access;
	bool is_preferred;
	unsigned ports;
	const uint8_t *descriptors; /* of @ports, four bytes each: into the data */
};
/* What the whole list needs, header included. -EPROTO: not even a header. */
int alua_groups_needed(const uint8_t *data, size_t len, uint32_t *ret_bytes);
/* Goes through the groups: *at is 0 first. False: no more. A group that is cut short has the
 * ports that came. */
bool alua_groups_next(const uint8_t *data, size_t len, size_t *at, struct alua_group *ret);
bool alua_groups_find(const uint8_t *data, size_t len, uint16_t group, struct alua_group *ret);
/* Does some group have this relative target port? */
bool alua_groups_have_port(const uint8_t *data, size_t len, uint16_t port);

#define ALUA_SET_BYTES 8
/* Parameters of SET TARGET PORT GROUPS for one group. */
void alua_set_encode(uint8_t data[ALUA_SET_BYTES], uint16_t group, enum alua_access access);

#endif
