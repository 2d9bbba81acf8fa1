/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of describe.h, and the few things that are no plain field. Byte numbers count from
 * the start of the data, header included, as in the standards. */
#include "scsi/describe.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"
#include "scsi/inquiry.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	INQUIRY_HEADER = 5, /* up to and with ADDITIONAL LENGTH, which counts what follows */
	PAGE_HEADER = 4,
	VERSION_DESCRIPTORS = 58, /* where they are in standard data */
	VERSION_DESCRIPTORS_END = 74,
	VERSION_FAMILY = 0xffe0, /* 32 codes for each standard: its revisions and issues */
	TEXT_MAX = 256,
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- values ---- */

static void put_number(struct describe_sink *s, const char *name, uint64_t number)
{
	s->put(s, name, &(struct describe_value){ .kind = DESCRIBE_NUMBER, .number = number });
}

static void put_hex(struct describe_sink *s, const char *name, uint64_t number)
{
	s->put(s, name, &(struct describe_value){ .kind = DESCRIBE_HEX, .number = number });
}

static void put_flag(struct describe_sink *s, const char *name, bool is_set)
{
	s->put(s, name, &(struct describe_value){ .kind = DESCRIBE_FLAG, .number = is_set });
}

static void put_text(struct describe_sink *s, const char *name, const char *text)
{
	s->put(s, name, &(struct describe_value){ .kind = DESCRIBE_TEXT, .text = text });
}

static void put_bytes(struct describe_sink *s, const char *name, const uint8_t *bytes,
		      size_t len)
{
	s->put(s, name,
	       &(struct describe_value){ .kind = DESCRIBE_BYTES, .bytes = bytes, .len = len });
}

/* ---- fields ---- */

/* Field of @width bits whose lowest one is bit @bit of its last byte; big-endian. Values that
 * have names (@words, NULL at the end) are told by name. */
struct field {
	const char *name;
	uint8_t byte, bit, width;
	enum describe_kind kind;
	const char *const *words;
};

/* clang-format off */
#define FLAG(name, byte, bit) { name, byte, bit, 1, DESCRIBE_FLAG, NULL }
#define BITS(name, byte, bit, width) { name, byte, bit, width, DESCRIBE_NUMBER, NULL }
#define NUMBER(name, byte, bytes) { name, byte, 0, 8 * (bytes), DESCRIBE_NUMBER, NULL }
#define WORD(name, byte, bit, width, words) { name, byte, bit, width, DESCRIBE_TEXT, words }
/* clang-format on */

static const char *find_word(const char *const *words, uint64_t value)
{
	for (uint64_t i = 0; words[i]; i++)
		if (i == value)
			return words[i];
	return "reserved";
}

/* False: not all of it came. */
static bool field_get(const struct field *f, const uint8_t *data, size_t len, uint64_t *ret)
{
	size_t bytes = ((size_t)f->bit + f->width + 7) / 8;
	uint64_t value = 0;

	if (f->byte + bytes > len)
		return false;
	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | data[f->byte + i];
	value >>= f->bit;
	*ret = f->width < 64 ? value & ((UINT64_C(1) << f->width) - 1) : value;
	return true;
}

static void put_field(const struct field *f, uint64_t value, struct describe_sink *s)
{
	if (f->words)
		put_text(s, f->name, find_word(f->words, value));
	else
		s->put(s, f->name,
		       &(struct describe_value){ .kind = f->kind, .number = value });
}

static void put_fields(const struct field *fields, size_t count, const uint8_t *data,
		       size_t len, struct describe_sink *s)
{
	uint64_t value;

	for (size_t i = 0; i < count; i++)
		if (field_get(&fields[i], data, len, &value))
			put_field(&fields[i], value, s);
}

/* ---- standard INQUIRY data, SPC-4 6.6.2 ---- */

static const char *const version_words[] = { "none",  "SCSI-1", "SCSI-2", "SPC", "SPC-2",
					     "SPC-3", "SPC-4",	"SPC-5",  NULL };
static const char *const tpgs_words[] = { "none", "implicit", "explicit", "both", NULL };

static const struct field standard_fields[] = {
	FLAG("removable", 1, 7),
	FLAG("lu_cong", 1, 6),
	WORD("version_name", 2, 0, 8, version_words),
	FLAG("normaca", 3, 5),
	FLAG("hisup", 3, 4),
	BITS("response_format", 3, 0, 4),
	FLAG("sccs", 5, 7),
	FLAG("acc", 5, 6),
	WORD("tpgs", 5, 4, 2, tpgs_words),
	FLAG("third_party_copy", 5, 3),
	FLAG("protect", 5, 0),
	FLAG("encserv", 6, 6),
	FLAG("multip", 6, 4),
	FLAG("cmdque", 7, 1),
};

/* The first code of each standard's 32 claims no version of it. SPC-4 6.6.2, table of version
 * descriptors: what disks and other units by iSCSI tell. */
/* clang-format off */
static const struct version_name {
	uint16_t family;
	const char *name;
} version_names[] = {
	{ 0x0020, "SAM" }, { 0x0040, "SAM-2" }, { 0x0060, "SAM-3" }, { 0x0080, "SAM-4" },
	{ 0x00a0, "SAM-5" }, { 0x00c0, "SAM-6" }, { 0x0120, "SPC" }, { 0x0140, "MMC" },
	{ 0x0180, "SBC" }, { 0x01a0, "SMC" }, { 0x01c0, "SES" }, { 0x01e0, "SCC-2" },
	{ 0x0200, "SSC" }, { 0x0220, "RBC" }, { 0x0240, "MMC-2" }, { 0x0260, "SPC-2" },
	{ 0x02a0, "MMC-3" }, { 0x02e0, "SMC-2" }, { 0x0300, "SPC-3" }, { 0x0320, "SBC-2" },
	{ 0x0340, "OSD" }, { 0x0360, "SSC-2" }, { 0x03a0, "MMC-4" }, { 0x03e0, "SES-2" },
	{ 0x0400, "SSC-3" }, { 0x0420, "MMC-5" }, { 0x0440, "OSD-2" }, { 0x0460, "SPC-4" },
	{ 0x0480, "SMC-3" }, { 0x04c0, "SBC-3" }, { 0x04e0, "MMC-6" }, { 0x0520, "SSC-4" },
	{ 0x0580, "SES-3" }, { 0x05a0, "SSC-5" }, { 0x05c0, "SPC-5" }, { 0x0600, "SBC-4" },
	{ 0x0620, "ZBC" }, { 0x0660, "ZBC-2" }, { 0x0680, "SES-4" }, { 0x08c0, "FCP" },
	{ 0x0900, "FCP-2" }, { 0x0940, "SRP" }, { 0x0960, "iSCSI" }, { 0x0a00, "FCP-3" },
	{ 0x0a40, "FCP-4" }, { 0x0be0, "SAS" }, { 0x0c00, "SAS-1.1" }, { 0x0c20, "SAS-2" },
	{ 0x0c40, "SAS-2.1" }, { 0x0c60, "SAS-3" }, { 0x0c80, "SAS-4" },
};
/* clang-format on */

static const char *version_name(uint16_t code)
{
	for (size_t i = 0; i < COUNT(version_names); i++)
		if (version_names[i].family == (code & VERSION_FAMILY))
			return version_names[i].name;
	return "unknown";
}

static void put_version(struct describe_sink *s, uint16_t code)
{
	put_hex(s, NULL, code);
}

static void put_version_name(struct describe_sink *s, uint16_t code)
{
	put_text(s, NULL, version_name(code));
}

/* Zero: that one is not used. */
static void put_versions(const uint8_t *data, size_t len, struct describe_sink *s,
			 const char *name, void (*put)(struct describe_sink *s, uint16_t code))
{
	size_t end = smaller(len, VERSION_DESCRIPTORS_END);

	if (len < VERSION_DESCRIPTORS + 2)
		return;
	s->begin(s, name, false);
	for (size_t at = VERSION_DESCRIPTORS; at + 2 <= end; at += 2)
		if (get_be16(data + at))
			put(s, get_be16(data + at));
	s->end(s);
}

int describe_inquiry(const uint8_t *data, size_t len, struct describe_sink *s)
{
	struct inquiry q;
	int r = inquiry_decode(data, len, &q);

	if (r < 0)
		return r;
	len = smaller(len, INQUIRY_HEADER + (size_t)data[4]);
	put_number(s, "qualifier", q.qualifier);
	put_text(s, "type", inquiry_type_name(q.type));
	put_number(s, "version", q.version);
	put_text(s, "vendor", q.vendor);
	put_text(s, "product", q.product);
	put_text(s, "revision", q.revision);
	put_fields(standard_fields, COUNT(standard_fields), data, len, s);
	put_versions(data, len, s, "versions", put_version);
	put_versions(data, len, s, "version_names", put_version_name);
	return 0;
}

/* ---- pages of vital product data: SPC-4 7.8, SBC-3 6.6 ---- */

/* SPC-4 7.8.7 */
static const struct field extended_fields[] = {
	BITS("activate_microcode", 4, 6, 2),
	BITS("spt", 4, 3, 3),
	FLAG("grd_chk", 4, 2),
	FLAG("app_chk", 4, 1),
	FLAG("ref_chk", 4, 0),
	FLAG("uask_sup", 5, 5),
	FLAG("group_sup", 5, 4),
	FLAG("prior_sup", 5, 3),
	FLAG("headsup", 5, 2),
	FLAG("ordsup", 5, 1),
	FLAG("simpsup", 5, 0),
	FLAG("wu_sup", 6, 3),
	FLAG("crd_sup", 6, 2),
	FLAG("nv_sup", 6, 1),
	FLAG("v_sup", 6, 0),
	FLAG("p_i_i_sup", 7, 4),
	FLAG("luiclr", 7, 0),
	FLAG("r_sup", 8, 4),
	FLAG("cbcs", 8, 0),
	BITS("multi_nexus_microcode", 9, 0, 4),
	NUMBER("self_test_minutes", 10, 2),
	FLAG("poa_sup", 12, 7),
	FLAG("hra_sup", 12, 6),
	FLAG("vsa_sup", 12, 5),
	NUMBER("max_sense_bytes", 13, 1),
};

/* SBC-3 6.6.3; from byte 44 on SBC-4 */
static const struct field limits_fields[] = {
	FLAG("wsnz", 4, 0),
	NUMBER("max_compare_and_write", 5, 1),
	NUMBER("optimal_granularity", 6, 2),
	NUMBER("max_transfer", 8, 4),
	NUMBER("optimal_transfer", 12, 4),
	NUMBER("max_prefetch", 16, 4),
	NUMBER("max_unmap", 20, 4),
	NUMBER("max_unmap_descriptors", 24, 4),
	NUMBER("unmap_granularity", 28, 4),
	FLAG("ugavalid", 32, 7),
	BITS("unmap_alignment", 32, 0, 31),
	NUMBER("max_write_same", 36, 8),
	NUMBER("max_atomic", 44, 4),
	NUMBER("atomic_alignment", 48, 4),
	NUMBER("atomic_granularity", 52, 4),
	NUMBER("max_atomic_with_boundary", 56, 4),
	NUMBER("max_atomic_boundary", 60, 4),
};

static const char *const form_words[] = {
	"not reported", "5.25 inch",	      "3.5 inch", "2.5 inch",
	"1.8 inch",	"less than 1.8 inch", NULL
};

/* SBC-3 6.6.2 */
static const struct field characteristics_fields[] = {
	NUMBER("rotation_rate", 4, 2),
	NUMBER("product_type", 6, 1),
	BITS("wabereq", 7, 6, 2),
	BITS("wacereq", 7, 4, 2),
	WORD("form_factor", 7, 0, 4, form_words),
	BITS("zoned", 8, 4, 2),
	FLAG("fuab", 8, 1),
	FLAG("vbuls", 8, 0),
};

static const char *const provisioning_words[] = { "full", "resource", "thin", NULL };

/* SBC-3 6.6.4 */
static const struct field provisioning_fields[] = {
	NUMBER("threshold_exponent", 4, 1),
	FLAG("lbpu", 5, 7),
	FLAG("lbpws", 5, 6),
	FLAG("lbpws10", 5, 5),
	FLAG("lbprz", 5, 2),
	FLAG("anc_sup", 5, 1),
	FLAG("dp", 5, 0),
	WORD("provisioning_type", 6, 0, 3, provisioning_words),
};

/* @page: all of it, header included, as far as both lengths allow. */
static void put_pages(const uint8_t *page, size_t len, struct describe_sink *s)
{
	s->begin(s, "pages", false);
	for (size_t i = PAGE_HEADER; i < len; i++)
		put_hex(s, NULL, page[i]);
	s->end(s);
}

static void put_serial(const uint8_t *page, size_t len, struct describe_sink *s)
{
	char text[TEXT_MAX];

	if (inquiry_serial(page, len, text, sizeof(text)) == 0)
		put_text(s, "serial", text);
}

/* From 0x401 on it is the rate, in rotations a minute. */
static void put_rotation(const uint8_t *page, size_t len, struct describe_sink *s)
{
	static const char *const words[] = { "not reported", "non-rotating" };
	uint16_t rate;

	if (len < 6)
		return;
	rate = get_be16(page + 4);
	put_text(s, "rotation",
		 rate < 2			 ? words[rate]
		 : rate > 0x400 && rate < 0xffff ? "rotating"
						 : "reserved");
}

/* ---- designators, SPC-4 7.8.6.1 ---- */

enum {
	CODE_SET_BINARY = 1,
	DESIGNATOR_RELATIVE_PORT = 4,
	DESIGNATOR_LUN_GROUP = 6, /* and 5: a number in the last two of four bytes */
};

static const char *const association_words[] = { "logical unit", "target port", "target device",
						 NULL };
static const char *const code_set_words[] = { "reserved", "binary", "ascii", "utf-8", NULL };
static const char *const designator_words[] = { "vendor specific",
						"t10",
						"eui64",
						"naa",
						"relative target port",
						"target port group",
						"logical unit group",
						"md5",
						"scsi name",
						"protocol specific port",
						"uuid",
						NULL };
static const char *const protocol_words[] = { "fcp",   "spi",  "ssa", "sbp", "srp",
					      "iscsi", "sas",  "adt", "ata", "uas",
					      "sop",   "pcie", NULL };

/* Printable ASCII but for NULs and blanks at its end, and short enough? Into @text then. */
static bool is_text(const struct inquiry_designator *d, char text[TEXT_MAX])
{
	size_t len = d->len;

	while (len && (d->id[len - 1] == '\0' || d->id[len - 1] == ' '))
		len--;
	if (!len || len >= TEXT_MAX || d->code_set == CODE_SET_BINARY)
		return false;
	for (size_t i = 0; i < len; i++)
		if (d->id[i] < 0x20 || d->id[i] > 0x7e)
			return false;
	memcpy(text, d->id, len);
	text[len] = '\0';
	return true;
}

static void put_designator(const struct inquiry_designator *d, struct describe_sink *s)
{
	char text[TEXT_MAX];

	s->item(s);
	put_text(s, "association", find_word(association_words, d->association));
	put_text(s, "code_set", find_word(code_set_words, d->code_set));
	put_text(s, "type", find_word(designator_words, d->type));
	if (d->has_protocol)
		put_text(s, "protocol", find_word(protocol_words, d->protocol));
	if (d->type >= DESIGNATOR_RELATIVE_PORT && d->type <= DESIGNATOR_LUN_GROUP &&
	    d->len == 4)
		put_number(s, "value", get_be16(d->id + 2));
	else if (is_text(d, text))
		put_text(s, "value", text);
	else
		put_bytes(s, "value", d->id, d->len);
}

static void put_designators(const uint8_t *page, size_t len, struct describe_sink *s)
{
	struct inquiry_designator d;
	char text[TEXT_MAX];
	size_t at = 0;

	if (inquiry_wwid(page, len, text, sizeof(text)) == 0)
		put_text(s, "wwid", text);
	s->begin(s, "designators", true);
	while (inquiry_next_designator(page, len, &at, &d))
		put_designator(&d, s);
	s->end(s);
}

/* ---- all pages ---- */

#define FIELDS(fields) fields, COUNT(fields)

/* Without @fields and @more: known by name only. */
static const struct page {
	uint8_t page;
	const char *name;
	const struct field *fields;
	size_t count;
	void (*more)(const uint8_t *page, size_t len, struct describe_sink *s);
} pages[] = {
	{ 0x00, "supported pages", NULL, 0, put_pages },
	{ 0x80, "unit serial number", NULL, 0, put_serial },
	{ 0x83, "device identification", NULL, 0, put_designators },
	{ 0x84, "software interface identification", NULL, 0, NULL },
	{ 0x85, "management network addresses", NULL, 0, NULL },
	{ 0x86, "extended INQUIRY data", FIELDS(extended_fields), NULL },
	{ 0x87, "mode page policy", NULL, 0, NULL },
	{ 0x88, "SCSI ports", NULL, 0, NULL },
	{ 0x89, "ATA information", NULL, 0, NULL },
	{ 0x8a, "power condition", NULL, 0, NULL },
	{ 0x8f, "third-party copy", NULL, 0, NULL },
	{ 0xb0, "block limits", FIELDS(limits_fields), NULL },
	{ 0xb1, "block device characteristics", FIELDS(characteristics_fields), put_rotation },
	{ 0xb2, "logical block provisioning", FIELDS(provisioning_fields), NULL },
	{ 0xb3, "referrals", NULL, 0, NULL },
};

static const struct page *find_page(uint8_t number)
{
	for (size_t i = 0; i < COUNT(pages); i++)
		if (pages[i].page == number)
			return &pages[i];
	return NULL;
}

const char *describe_page_name(uint8_t number)
{
	const struct page *p = find_page(number);

	return p ? p->name : NULL;
}

void describe_page(uint8_t number, const uint8_t *data, size_t len, struct describe_sink *s)
{
	const struct page *p = find_page(number);

	/* Page 0xb0 and those after it mean something else for other types: SBC is for disks.
	 */
	if (!p || len < PAGE_HEADER || data[1] != number)
		return;
	if (number >= 0xb0 && (data[0] & 0x1f) != 0x00 && (data[0] & 0x1f) != 0x14)
		return;
	len = smaller(len, PAGE_HEADER + (size_t)get_be16(data + 2));
	put_fields(p->fields, p->count, data, len, s);
	if (p->more)
		p->more(data, len, s);
}

uint32_t describe_inquiry_bytes(bool is_page, const uint8_t *data, size_t len)
{
	if (is_page)
		return len < PAGE_HEADER ? 0 : PAGE_HEADER + (uint32_t)get_be16(data + 2);
	return len < INQUIRY_HEADER ? 0 : INQUIRY_HEADER + (uint32_t)data[4];
}

/* ---- READ CAPACITY, SBC-3 5.15.2 and 5.16.2 ---- */

static const struct field capacity_fields[] = {
	NUMBER("last_lba", 0, 8), BITS("p_type", 12, 1, 3),
	FLAG("prot_en", 12, 0),	  BITS("p_i_exponent", 13, 4, 4),
	BITS("lbppbe", 13, 0, 4), BITS("lowest_aligned_lba", 14, 0, 14),
	FLAG("lbpme", 14, 7),	  FLAG("lbprz", 14, 6),
};

static void put_capacity(const struct capacity *c, struct describe_sink *s)
{
	put_number(s, "blocks", c->blocks);
	put_number(s, "block_size", c->block_bytes);
	put_number(s, "size", c->blocks * c->block_bytes);
	put_number(s, "physical_block_size", (uint64_t)c->block_bytes << c->physical_exponent);
	put_flag(s, "thin", c->is_thin);
}

int describe_capacity_16(const uint8_t *data, size_t len, struct describe_sink *s)
{
	struct capacity c;
	int r = capacity_decode_16(data, len, &c);

	if (r < 0)
		return r;
	put_capacity(&c, s);
	put_text(s, "command", "READ CAPACITY(16)");
	put_fields(capacity_fields, COUNT(capacity_fields), data, len, s);
	return 0;
}

int describe_capacity_10(const uint8_t *data, size_t len, struct describe_sink *s)
{
	struct capacity c;
	int r = capacity_decode_10(data, len, &c);

	if (r < 0)
		return r;
	put_capacity(&c, s);
	put_text(s, "command", "READ CAPACITY(10)");
	put_number(s, "last_lba", get_be32(data));
	return 0;
}

/* ---- REPORT LUNS, SPC-4 6.33 ---- */

static void put_lun(const uint8_t lun[8], struct describe_sink *s)
{
	uint32_t number;

	if (lun_decode(lun, &number) == 0)
		put_number(s, NULL, number);
	else
		put_bytes(s, NULL, lun, 8);
}

static void put_method(const uint8_t lun[8], struct describe_sink *s)
{
	put_text(s, NULL, lun_method_name(lun));
}

static void put_luns(const uint8_t *data, size_t len, struct describe_sink *s, const char *name,
		     void (*put)(const uint8_t lun[8], struct describe_sink *s))
{
	size_t count = luns_count(data, len);
	uint8_t lun[8];

	s->begin(s, name, false);
	for (size_t i = 0; i < count; i++) {
		luns_get(data, i, lun);
		put(lun, s);
	}
	s->end(s);
}

int describe_luns(const uint8_t *data, size_t len, struct describe_sink *s)
{
	uint32_t needed;
	int r = luns_needed(data, len, &needed);

	if (r < 0)
		return r;
	put_number(s, "count", (needed - 8) / 8);
	put_luns(data, len, s, "luns", put_lun);
	put_luns(data, len, s, "methods", put_method);
	return 0;
}
