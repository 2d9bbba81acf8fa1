/* SPDX-License-Identifier: BSD-2-Clause */
/* One unit being looked at, step by step; see probe.h. Each step is a row of the table: the
 * command it sends, if it is needed, and what it makes of the answer. A step that fails does
 * not fail the probe. */
#include "core/probe.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define PAGE_LONG_BYTES 2048 /* VPD 83; SPC-3 and later have two bytes of length */
#define GROUPS_BYTES 4096
#define SPC_3 5
#define SPC 3
#define TYPE_DISK 0x00
#define TYPE_UNKNOWN 0x1f
#define QUALIFIER_NONE 3 /* no unit can be here */

/* ---- the steps of a unit ---- */

static bool has_page(const struct probe *p, uint8_t page)
{
	if (p->pages_bytes)
		return inquiry_has_page(p->pages, p->pages_bytes, page);
	/* Some that have them do not list them. */
	return p->facts.inquiry.version >= SPC && (page == 0x80 || page == 0x83);
}

static bool is_disk(const struct probe *p)
{
	return p->facts.inquiry.type == TYPE_DISK && !p->facts.inquiry.qualifier;
}

static unsigned build_inquiry(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	(void)p;
	*ret_bytes = PAGE_BYTES;
	return cdb_inquiry(cdb, false, 0, PAGE_BYTES);
}

static void take_inquiry(struct probe *p, const struct query_answer *a)
{
	if (query_is_no_unit(a)) {
		p->is_missing = true;
	} else if (a->result < 0 || inquiry_decode(a->data, a->bytes, &p->facts.inquiry) < 0) {
		p->is_silent = true;
		p->facts.inquiry.type = TYPE_UNKNOWN;
		p->facts.not_ready = a->result < 0 ? -a->result : EPROTO;
	} else if (p->facts.inquiry.qualifier == QUALIFIER_NONE) {
		p->is_missing = true;
	} else if (p->facts.inquiry.qualifier) {
		p->facts.not_ready = ENXIO; /* could be here, but is not connected */
	}
}

static unsigned build_pages(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	(void)p;
	*ret_bytes = PAGE_BYTES;
	return cdb_inquiry(cdb, true, 0x00, PAGE_BYTES);
}

static void take_pages(struct probe *p, const struct query_answer *a)
{
	if (a->result < 0)
		return;
	p->pages_bytes = MIN(a->bytes, PAGE_BYTES);
	memcpy(p->pages, a->data, p->pages_bytes);
}

/* "Illegal request" is an answer: there is no such page. Anything else leaves it open. */
static bool is_refused(const struct query_answer *a)
{
	return a->has_response && a->sense.is_valid &&
	       a->sense.key == SENSE_KEY_ILLEGAL_REQUEST;
}

static unsigned build_serial(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return has_page(p, 0x80) ? cdb_inquiry(cdb, true, 0x80, PAGE_BYTES) : 0;
}

static void take_serial(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		inquiry_serial(a->data, a->bytes, p->facts.serial, sizeof(p->facts.serial));
	else if (!is_refused(a))
		p->is_doubtful = true;
}

static unsigned build_wwid(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	uint16_t bytes = p->facts.inquiry.version >= SPC_3 ? PAGE_LONG_BYTES : PAGE_BYTES;

	*ret_bytes = bytes;
	return has_page(p, 0x83) ? cdb_inquiry(cdb, true, 0x83, bytes) : 0;
}

static void take_wwid(struct probe *p, const struct query_answer *a)
{
	if (!a->result) {
		inquiry_wwid(a->data, a->bytes, p->facts.wwid, sizeof(p->facts.wwid));
		alua_port_decode(a->data, a->bytes, &p->facts.port);
	} else if (!is_refused(a)) {
		p->is_doubtful = true;
	}
}

static unsigned build_limits(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return is_disk(p) && has_page(p, 0xb0) ? cdb_inquiry(cdb, true, 0xb0, PAGE_BYTES) : 0;
}

static void take_limits(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		inquiry_block_limits(a->data, a->bytes, &p->facts.limits);
}

static unsigned build_provisioning(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return is_disk(p) && has_page(p, 0xb2) ? cdb_inquiry(cdb, true, 0xb2, PAGE_BYTES) : 0;
}

static void take_provisioning(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		provision_decode(a->data, a->bytes, &p->facts.provisioning);
}

static unsigned build_groups(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	bool is_wanted = is_disk(p) && p->facts.inquiry.tpgs && p->facts.port.has_group;

	*ret_bytes = GROUPS_BYTES;
	return is_wanted ? cdb_report_target_port_groups(cdb, GROUPS_BYTES) : 0;
}

static void take_groups(struct probe *p, const struct query_answer *a)
{
	struct alua_group g;

	if (a->result || !alua_groups_find(a->data, a->bytes, p->facts.port.group, &g))
		return;
	p->facts.has_access = true;
	p->facts.access = g.access;
}

/* The static reservation key of the session. Once a path and session: a registration lasts as
 * long as the session's name, and the unit's memory. */
static unsigned build_register(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	const struct lun *l = target_find_lun(p->nexus->target, p->facts.number);
	const struct path *path = l ? disk_path_find(l->disk, p->nexus->session) : NULL;

	*ret_bytes = CDB_REGISTER_BYTES;
	if (!p->nexus->has_pr_key || !is_disk(p) || (path && path->is_verified))
		return 0;
	return cdb_register_and_ignore(cdb);
}

static void take_register(struct probe *p, const struct query_answer *a)
{
	p->facts.is_registered = !a->result;
	if (a->result)
		g_strlcpy(p->facts.register_error, a->text, sizeof(p->facts.register_error));
}

static unsigned build_ready(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 0;
	return is_disk(p) ? cdb_test_unit_ready(cdb) : 0;
}

static void take_ready(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		return;
	p->facts.not_ready = -a->result;
	/* One that has been busy all the time will not get ready for the next step. */
	p->is_not_ready =
		a->has_response && sense_judge(a->status, &a->sense).class == SENSE_RETRY_LATER;
}

static unsigned build_capacity_16(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 32;
	return is_disk(p) && !p->is_not_ready ? cdb_read_capacity_16(cdb, 32) : 0;
}

/* @decoded: what the decoder said. */
static void take_capacity(struct probe *p, const struct query_answer *a, int decoded)
{
	p->facts.has_capacity = !a->result && !decoded;
	if (!p->facts.has_capacity && !p->facts.not_ready)
		p->facts.not_ready = a->result ? -a->result : -decoded;
}

static void take_capacity_16(struct probe *p, const struct query_answer *a)
{
	int r = a->result ? 0 : capacity_decode_16(a->data, a->bytes, &p->facts.capacity);

	/* A failure counts when READ CAPACITY(10) fails, too. */
	if (!a->result && !r)
		take_capacity(p, a, r);
}

static unsigned build_capacity_10(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 8;
	return is_disk(p) && !p->is_not_ready && !p->facts.has_capacity
		       ? cdb_read_capacity_10(cdb)
		       : 0;
}

static void take_capacity_10(struct probe *p, const struct query_answer *a)
{
	take_capacity(p, a,
		      a->result ? 0
				: capacity_decode_10(a->data, a->bytes, &p->facts.capacity));
}

static bool wants_mode(const struct probe *p)
{
	return is_disk(p) && !p->is_not_ready && !p->facts.has_mode;
}

static unsigned build_mode_6(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_6(cdb, true, 0x08, PAGE_BYTES) : 0;
}

static void take_mode_6(struct probe *p, const struct query_answer *a)
{
	p->facts.has_mode = !a->result && !mode_decode_6(a->data, a->bytes, &p->facts.mode);
}

static unsigned build_mode_10(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_10(cdb, true, 0x08, PAGE_BYTES) : 0;
}

static void take_mode_10(struct probe *p, const struct query_answer *a)
{
	p->facts.has_mode = !a->result && !mode_decode_10(a->data, a->bytes, &p->facts.mode);
}

/* No caching page: the header alone tells of write protection. */
static unsigned build_mode_header(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_6(cdb, false, 0x3f, PAGE_BYTES) : 0;
}

static const struct step {
	const char *name;
	/* The command and the bytes of its answer; 0: not needed. */
	unsigned (*build)(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes);
	void (*take)(struct probe *p, const struct query_answer *a);
	bool is_change; /* its bytes are p->parameters, to be written */
} steps[] = {
	{ "INQUIRY", build_inquiry, take_inquiry, false },
	{ "INQUIRY page 0x00", build_pages, take_pages, false },
	{ "INQUIRY page 0x80", build_serial, take_serial, false },
	{ "INQUIRY page 0x83", build_wwid, take_wwid, false },
	{ "INQUIRY page 0xb0", build_limits, take_limits, false },
	{ "INQUIRY page 0xb2", build_provisioning, take_provisioning, false },
	{ "REPORT TARGET PORT GROUPS", build_groups, take_groups, false },
	{ "PERSISTENT RESERVE OUT", build_register, take_register, true },
	{ "TEST UNIT READY", build_ready, take_ready, false },
	{ "READ CAPACITY(16)", build_capacity_16, take_capacity_16, false },
	{ "READ CAPACITY(10)", build_capacity_10, take_capacity_10, false },
	{ "MODE SENSE(6)", build_mode_6, take_mode_6, false },
	{ "MODE SENSE(10)", build_mode_10, take_mode_10, false },
	{ "MODE SENSE(6) all pages", build_mode_header, take_mode_6, false },
};

/* ---- going through them ---- */

static void probe_next(struct probe *p);

/* The target told less than before: not even to be compared with its twin. */
static bool is_complete(const struct probe *p)
{
	return !p->is_missing && !p->is_silent && !p->is_doubtful;
}

static void on_compared(void *arg)
{
	struct probe *p = arg;

	p->merge = NULL;
	p->done(p, false);
}

static void probe_compare(struct probe *p)
{
	bool may_read = p->nexus->expose != EXPOSE_NONE;

	p->merge = may_read && is_complete(p) ? merge_start(p->nexus, &p->facts, on_compared, p)
					      : NULL;
	if (!p->merge)
		p->done(p, false);
}

static void on_answer(void *arg, const struct query_answer *a)
{
	struct probe *p = arg;
	const struct step *step = &steps[p->step];

	p->query = NULL;
	if (a->result == -ENOTCONN) {
		p->done(p, true);
		return;
	}
	p->seen |= a->seen;
	if (a->result < 0)
		log_debug("%s: lun %u: %s: %s", p->nexus->target->name, p->facts.number,
			  step->name, a->text);
	step->take(p, a);
	p->step++;
	probe_next(p);
}

static void send_step(struct probe *p, const uint8_t *cdb, unsigned cdb_bytes, uint32_t bytes)
{
	struct session *s = p->nexus->session;

	if (steps[p->step].is_change)
		p->query = query_write(s, p->facts.wire, cdb, cdb_bytes, p->parameters, bytes,
				       on_answer, p);
	else
		p->query = query_start(s, p->facts.wire, cdb, cdb_bytes, bytes, on_answer, p);
	query_by_scan(p->query);
}

/* With expose=none, nothing else is sent (C9). */
static bool may_send(const struct probe *p, const uint8_t *cdb)
{
	return p->nexus->expose != EXPOSE_NONE || cdb[0] == SCSI_INQUIRY ||
	       cdb[0] == SCSI_READ_CAPACITY_10 || cdb[0] == SCSI_SERVICE_ACTION_IN_16;
}

static void probe_next(struct probe *p)
{
	bool is_over = p->is_missing || p->is_silent;

	for (; p->step < G_N_ELEMENTS(steps) && !is_over; p->step++) {
		uint8_t cdb[TASK_CDB_MAX];
		uint32_t bytes;
		unsigned cdb_bytes = steps[p->step].build(p, cdb, &bytes);

		if (!cdb_bytes || !may_send(p, cdb))
			continue;
		send_step(p, cdb, cdb_bytes, bytes);
		return;
	}
	probe_compare(p);
}

void probe_start(struct probe *p, struct nexus *n, uint32_t number, const uint8_t wire[8],
		 void (*done)(struct probe *p, bool is_cut_off))
{
	memset(p, 0, sizeof(*p));
	p->nexus = n;
	p->done = done;
	p->facts.number = number;
	memcpy(p->facts.wire, wire, sizeof(p->facts.wire));
	put_be64(p->parameters + 8, n->pr_key); /* SPC-4 6.16.3 */
	probe_next(p);
}

void probe_stop(struct probe *p)
{
	query_cancel(p->query);
	merge_cancel(p->merge);
	p->query = NULL;
	p->merge = NULL;
	if (p->facts.twin)
		object_unref(&p->facts.twin->obj);
	p->facts.twin = NULL;
}
