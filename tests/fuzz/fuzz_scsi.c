/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: the same bytes into every decoder of src/scsi. The bytes lie in a block of
 * their own, so the address sanitizer sees a read past them; what comes out is checked for what
 * the headers promise.
 *
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -Isrc \
 *		tests/fuzz/fuzz_scsi.c src/scsi/[a-z]*.c -o fuzz_scsi && ./fuzz_scsi CORPUS
 */
#include "scsi/alua.h"
#include "scsi/cdb.h"
#include "scsi/describe.h"
#include "scsi/inquiry.h"
#include "scsi/provision.h"
#include "scsi/reserve.h"
#include "scsi/sense.h"

#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

static bool is_printable_text(const char *s, size_t size)
{
	size_t len = strnlen(s, size);

	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return len < size;
}

static void fuzz_sense(const uint8_t *data, size_t len)
{
	struct sense_verdict v;
	struct sense s;
	char buf[64];

	sense_decode(data, len, &s);
	MUST(s.is_valid || !(s.is_deferred || s.has_information || s.key || s.asc));
	MUST(s.key <= 0xf);
	v = sense_judge(SCSI_CHECK_CONDITION, &s);
	MUST((v.class == SENSE_OK) == (v.errno_value == 0));
	MUST(v.class != SENSE_OK || (s.is_valid && !s.is_deferred));
	for (size_t size = 1; size <= sizeof(buf); size += 21)
		MUST(is_printable_text(sense_format(SCSI_CHECK_CONDITION, &s, buf, size),
				       size));
}

static void fuzz_inquiry(const uint8_t *data, size_t len)
{
	struct inquiry i;

	if (inquiry_decode(data, len, &i) < 0)
		return;
	MUST(is_printable_text(i.vendor, sizeof(i.vendor)));
	MUST(is_printable_text(i.product, sizeof(i.product)));
	MUST(is_printable_text(i.revision, sizeof(i.revision)));
	MUST(inquiry_type_name(i.type));
}

static void fuzz_pages(const uint8_t *data, size_t len)
{
	struct block_limits limits;
	char buf[64];

	inquiry_has_page(data, len, 0xb0);
	inquiry_block_limits(data, len, &limits);
	for (size_t size = 2; size <= sizeof(buf); size += 31) {
		if (inquiry_serial(data, len, buf, size) == 0)
			MUST(is_printable_text(buf, size));
		if (inquiry_wwid(data, len, buf, size) < 0)
			continue;
		MUST(is_printable_text(buf, size));
		MUST(*buf && !strpbrk(buf, "/ ") && strcmp(buf, ".") && strcmp(buf, ".."));
	}
}

static void check_capacity(const struct capacity *c)
{
	MUST(c->blocks > 0 && c->block_bytes > 0 && c->block_bytes <= 65536);
	MUST(c->blocks <= INT64_MAX / c->block_bytes);
}

static void fuzz_capacity(const uint8_t *data, size_t len)
{
	struct capacity c;

	if (capacity_decode_10(data, len, &c) == 0)
		check_capacity(&c);
	if (capacity_decode_16(data, len, &c) == 0)
		check_capacity(&c);
}

static void fuzz_luns(const uint8_t *data, size_t len)
{
	size_t count = luns_count(data, len);
	uint32_t needed, number, again;
	uint8_t lun[8];

	if (luns_needed(data, len, &needed) == 0)
		MUST(count <= (needed - 8) / 8 && 8 + count * 8 <= len);
	for (size_t i = 0; i < count; i++) {
		luns_get(data, i, lun);
		if (lun_decode(lun, &number) < 0)
			continue;
		lun_encode(number, lun);
		MUST(lun_decode(lun, &again) == 0 && again == number);
	}
}

static void fuzz_mode(const uint8_t *data, size_t len)
{
	struct mode_caching m;

	if (mode_decode_6(data, len, &m) == 0)
		MUST(m.has_page || !(m.write_cache || m.read_cache_disabled));
	if (mode_decode_10(data, len, &m) == 0)
		MUST(m.has_page || !(m.write_cache || m.read_cache_disabled));
}

static void fuzz_alua(const uint8_t *data, size_t len)
{
	struct alua_port port;
	struct alua_group g;
	uint32_t needed;
	size_t at = 0;
	char wwid[64];

	if (alua_port_decode(data, len, &port) == 0)
		MUST(port.has_port || port.port == 0);
	if (inquiry_wwid(data, len, wwid, sizeof(wwid)) == 0 && alua_is_global(wwid))
		MUST(strncmp(wwid, "t10.", 4) != 0 && strncmp(wwid, "naa.3", 5) != 0);
	while (alua_groups_next(data, len, &at, &g)) {
		MUST(g.descriptors >= data && g.ports * 4 <= (size_t)(data + len - g.descriptors));
		MUST(alua_groups_needed(data, len, &needed) == 0);
		MUST(alua_access_name(g.access));
	}
	alua_groups_have_port(data, len, 7);
}

static void fuzz_provision(const uint8_t *data, size_t len)
{
	struct provisioning p;
	uint64_t lba = 0, end, at;

	provision_decode(data, len, &p);
	for (unsigned i = 0; i < 8 && i < len; i++)
		lba = lba << 8 | data[i];
	for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
		at = provision_find(data, len, lba, is_mapped, &end);
		MUST(at >= lba && (!end || end > at));
	}
}

static void fuzz_reserve(const uint8_t *data, size_t len)
{
	struct reserve_registrant r;
	size_t count = reserve_keys_count(data, len), at = 0, before = 0;
	struct reserve_held held;
	uint32_t needed;

	for (size_t i = 0; i < count; i++)
		reserve_keys_get(data, i);
	if (reserve_list_header(data, len, NULL, &needed) == 0)
		MUST(8 + count * 8 <= len && 8 + count * 8 <= needed);
	if (reserve_held_decode(data, len, &held) == 0)
		MUST(reserve_type_name(held.type) && (held.is_held || !held.key));
	for (; reserve_status_next(data, len, &at, &r); before = at) {
		MUST(at > before && at <= len);
		MUST(strnlen(r.name, sizeof(r.name)) < sizeof(r.name));
		MUST(r.is_holder || !r.type);
	}
}

/* ---- a sink that holds describe.c to its word ---- */

static bool in_list, is_record_list, has_told;

static void on_put(struct describe_sink *s, const char *name, const struct describe_value *v)
{
	static volatile uint8_t sum;

	(void)s;
	has_told = true;
	MUST((name == NULL) == (in_list && !is_record_list));
	switch (v->kind) {
	case DESCRIBE_NUMBER:
	case DESCRIBE_HEX:
		break;
	case DESCRIBE_FLAG:
		MUST(v->number <= 1);
		break;
	case DESCRIBE_TEXT:
		MUST(is_printable_text(v->text, 512));
		break;
	case DESCRIBE_BYTES:
		for (size_t i = 0; i < v->len; i++)
			sum ^= v->bytes[i];
		break;
	}
}

static void on_begin(struct describe_sink *s, const char *name, bool has_records)
{
	(void)s;
	MUST(name && !in_list);
	in_list = has_told = true;
	is_record_list = has_records;
}

static void on_item(struct describe_sink *s)
{
	(void)s;
	MUST(in_list && is_record_list);
}

static void on_end(struct describe_sink *s)
{
	(void)s;
	MUST(in_list);
	in_list = false;
}

static void fuzz_describe(const uint8_t *data, size_t len)
{
	static int (*const all[])(const uint8_t *data, size_t len, struct describe_sink *s) = {
		describe_inquiry, describe_capacity_10, describe_capacity_16, describe_luns
	};
	struct describe_sink sink = { on_put, on_begin, on_item, on_end };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		has_told = false;
		MUST(all[i](data, len, &sink) == 0 || !has_told);
		MUST(!in_list);
	}
	if (len >= 2)
		describe_page(data[1], data, len, &sink);
	MUST(!in_list);
	describe_inquiry_bytes(true, data, len);
	describe_inquiry_bytes(false, data, len);
	if (len >= 8)
		MUST(lun_method_name(data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_sense(data, len);
	fuzz_inquiry(data, len);
	fuzz_pages(data, len);
	fuzz_capacity(data, len);
	fuzz_luns(data, len);
	fuzz_mode(data, len);
	fuzz_alua(data, len);
	fuzz_reserve(data, len);
	fuzz_provision(data, len);
	fuzz_describe(data, len);
	if (len >= 2)
		MUST(cdb_name(data));
	return 0;
}
