/* SPDX-License-Identifier: BSD-2-Clause */
/* INQUIRY data and its pages, READ CAPACITY and REPORT LUNS in words: bytes typed from SPC-4
 * and SBC-3, and the same cut short at every length. */
#include "scsi/describe.h"
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was told: "name=value;", lists as "name[", values "value;", records "{", the end "];".
 */
static char told[16384];
static size_t used;
static bool in_list, is_record_list;

static void __attribute__((format(printf, 1, 2))) add(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(told + used, sizeof(told) - used, fmt, args);
	va_end(args);
	CU_ASSERT_FATAL(n >= 0 && (size_t)n < sizeof(told) - used);
	used += (size_t)n;
}

static void on_put(struct describe_sink *s, const char *name, const struct describe_value *v)
{
	(void)s;
	CU_ASSERT_EQUAL(name == NULL, in_list && !is_record_list);
	if (name)
		add("%s=", name);
	switch (v->kind) {
	case DESCRIBE_NUMBER:
		add("%" PRIu64, v->number);
		break;
	case DESCRIBE_HEX:
		add("0x%" PRIx64, v->number);
		break;
	case DESCRIBE_FLAG:
		CU_ASSERT_TRUE(v->number <= 1);
		add("%s", v->number ? "yes" : "no");
		break;
	case DESCRIBE_TEXT:
		add("%s", v->text);
		break;
	case DESCRIBE_BYTES:
		for (size_t i = 0; i < v->len; i++)
			add("%02x", v->bytes[i]);
	}
	add(";");
}

static void on_begin(struct describe_sink *s, const char *name, bool has_records)
{
	(void)s;
	CU_ASSERT_FALSE(in_list);
	in_list = true;
	is_record_list = has_records;
	add("%s[", name);
}

static void on_item(struct describe_sink *s)
{
	(void)s;
	CU_ASSERT_TRUE(in_list && is_record_list);
	add("{");
}

static void on_end(struct describe_sink *s)
{
	(void)s;
	CU_ASSERT_TRUE(in_list);
	in_list = false;
	add("];");
}

static struct describe_sink sink = { on_put, on_begin, on_item, on_end };

static void forget(void)
{
	used = 0;
	told[0] = '\0';
	in_list = false;
}

typedef int describe_fn(const uint8_t *data, size_t len, struct describe_sink *s);

/* On a copy of exactly @len bytes, so that the address sanitizer sees a step too far. */
static int tell(describe_fn *fn, const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	forget();
	r = fn(copy, len, &sink);
	free(copy);
	CU_ASSERT_FALSE(in_list);
	CU_ASSERT_TRUE(r == 0 || used == 0);
	return r;
}

static uint8_t page_number;

static int describe_the_page(const uint8_t *data, size_t len, struct describe_sink *s)
{
	describe_page(page_number, data, len, s);
	return 0;
}

#define TELL(fn, literal) tell(fn, literal, sizeof(literal) - 1)
#define PAGE(number, literal) (page_number = (number), TELL(describe_the_page, literal))

static bool has(const char *what)
{
	bool is_there = strstr(told, what) != NULL;

	if (!is_there)
		fprintf(stderr, "not told: %s in: %s\n", what, told);
	return is_there;
}

static const char *after_texts(const char *s)
{
	const char *fields = strstr(s, "removable=");

	return fields ? fields : s;
}

/* What is told of data that are cut short is what is told of the whole, up to some field (texts
 * and lists have less in them). */
static void cut_at_every_length(describe_fn *fn, const void *bytes, size_t len)
{
	char whole[sizeof(told)];
	size_t fields = 0, before = 0;

	tell(fn, bytes, len);
	strcpy(whole, told);
	for (size_t n = 0; n < len; n++) {
		tell(fn, bytes, n);
		fields = 0;
		for (const char *p = told; (p = strchr(p, ';')); p++)
			fields++;
		CU_ASSERT_TRUE(used <= strlen(whole) && fields >= before);
		if (fields && !strchr(told, '['))
			CU_ASSERT_TRUE(strstr(whole, after_texts(told)) != NULL);
		before = fields;
	}
}

/* ---- standard INQUIRY data -------------------------------------------------------------- */

#define STANDARD                           \
	"\x00\x80\x06\x32\x45\x39\x50\x02" \
	"ACME    "                         \
	"ROADRUNNER      "                 \
	"0042"                             \
	"\0\0\0\0\0\0\0\0\0\0"             \
	"\0\0\0\0\0\0\0\0\0\0"             \
	"\x00\x00"                         \
	"\x00\x80\x09\x61\x04\x60\x04\xc8" \
	"\xfe\xe0\x00\x00"

static void test_describe_standard_data(void)
{
	CU_ASSERT_EQUAL(TELL(describe_inquiry, STANDARD), 0);
	CU_ASSERT_STRING_EQUAL(
		told,
		"qualifier=0;type=disk;version=6;vendor=ACME;product=ROADRUNNER;revision=0042;"
		"removable=yes;lu_cong=no;version_name=SPC-4;normaca=yes;hisup=yes;"
		"response_format=2;sccs=no;acc=no;tpgs=both;third_party_copy=yes;protect=yes;"
		"encserv=yes;multip=yes;cmdque=yes;versions[0x80;0x961;0x460;0x4c8;0xfee0;];"
		"version_names[SAM-4;iSCSI;SPC-4;SBC-3;unknown;];");
}

static void test_describe_standard_data_of_36_bytes(void)
{
	CU_ASSERT_EQUAL(TELL(describe_inquiry,
			     "\x05\x00\x02\x02\x1f\x00\x00\x00VENDOR  PRODUCT         1.0 "),
			0);
	CU_ASSERT_TRUE(has("type=cdrom;"));
	CU_ASSERT_TRUE(has("version_name=SCSI-2;"));
	CU_ASSERT_TRUE(has("tpgs=none;"));
	CU_ASSERT_TRUE(has("cmdque=no;"));
	CU_ASSERT_PTR_NULL(strstr(told, "versions"));
}

static void test_describe_standard_data_cut(void)
{
	cut_at_every_length(describe_inquiry, STANDARD, sizeof(STANDARD) - 1);
	for (size_t len = 0; len < 5; len++)
		CU_ASSERT_EQUAL(tell(describe_inquiry, STANDARD, len), -EPROTO);
	/* The additional length says two: bytes 5 and 6 only. */
	TELL(describe_inquiry, "\x00\x00\x05\x02\x02\x01\x10\x02VENDOR  ");
	CU_ASSERT_TRUE(has("vendor=;"));
	CU_ASSERT_TRUE(has("multip=yes;"));
	CU_ASSERT_PTR_NULL(strstr(told, "cmdque"));
}

/* ---- pages of vital product data -------------------------------------------------------- */

static void test_describe_supported_pages(void)
{
	PAGE(0x00, "\x00\x00\x00\x04\x00\x80\x83\xb0");
	CU_ASSERT_STRING_EQUAL(told, "pages[0x0;0x80;0x83;0xb0;];");
	PAGE(0x00, "\x00\x00\x00\x00");
	CU_ASSERT_STRING_EQUAL(told, "pages[];");
	PAGE(0x00, "\x00\x00\xff\xff\x00\x80");
	CU_ASSERT_STRING_EQUAL(told, "pages[0x0;0x80;];");
}

static void test_describe_serial_number(void)
{
	PAGE(0x80, "\x00\x80\x00\x06 SN-1 ");
	CU_ASSERT_STRING_EQUAL(told, "serial=SN-1;");
}

static void test_describe_every_designator(void)
{
	PAGE(0x83, "\x00\x83\x00\x5f"
		   "\x01\x03\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07" /* NAA 5 of the unit */
		   "\x02\x01\x00\x0cVENDORxySER1"		      /* T10 */
		   "\x51\x94\x00\x04\x00\x00\x00\x02"		      /* port 2, iSCSI */
		   "\x51\x95\x00\x04\x00\x00\x01\x00"		      /* group 256 */
		   "\x01\x06\x00\x04\x00\x00\x00\x07"		      /* unit group 7 */
		   "\x53\x98\x00\x08iqn.x,t\x00"		      /* name of the port */
		   "\x03\xa8\x00\x04iqn\x00"			      /* of the device, PIV 1 */
		   "\x01\x02\x00\x08\x00\x25\x38\x00\x00\x00\x00\x01");
	CU_ASSERT_STRING_EQUAL(
		told,
		"wwid=naa.5001020304050607;designators["
		"{association=logical unit;code_set=binary;type=naa;value=5001020304050607;"
		"{association=logical unit;code_set=ascii;type=t10;value=VENDORxySER1;"
		"{association=target port;code_set=binary;type=relative target port;"
		"protocol=iscsi;value=2;"
		"{association=target port;code_set=binary;type=target port group;"
		"protocol=iscsi;value=256;"
		"{association=logical unit;code_set=binary;type=logical unit group;value=7;"
		"{association=target port;code_set=utf-8;type=scsi name;protocol=iscsi;"
		"value=iqn.x,t;"
		"{association=target device;code_set=utf-8;type=scsi name;protocol=fcp;"
		"value=iqn;"
		"{association=logical unit;code_set=binary;type=eui64;value=0025380000000001;"
		"];");
}

static void test_describe_odd_designators(void)
{
	/* reserved everything; no bytes; text that is none; one that is cut short */
	PAGE(0x83, "\x00\x83\x00\x1d"
		   "\x0f\x3f\x00\x01\xaa"
		   "\x02\x08\x00\x00"
		   "\x02\x08\x00\x03"
		   "a\nb"
		   "\x01\x04\x00\x03\x01\x02\x03"
		   "\x01\x03\x00\x08\x50");
	CU_ASSERT_STRING_EQUAL(
		told, "wwid=a_b;designators["
		      "{association=reserved;code_set=reserved;type=reserved;value=aa;"
		      "{association=logical unit;code_set=ascii;type=scsi name;value=;"
		      "{association=logical unit;code_set=ascii;type=scsi name;value=610a62;"
		      "{association=logical unit;code_set=binary;type=relative target port;"
		      "value=010203;];");
}

#define EXTENDED                           \
	"\x00\x86\x00\x3c\x7d\x3f\x0f\x11" \
	"\x11\x05\x01\x02\xe0\x60"         \
	"\0\0\0\0\0\0\0\0\0\0"

static void test_describe_extended_data(void)
{
	PAGE(0x86, EXTENDED);
	CU_ASSERT_STRING_EQUAL(
		told, "activate_microcode=1;spt=7;grd_chk=yes;app_chk=no;ref_chk=yes;"
		      "uask_sup=yes;group_sup=yes;prior_sup=yes;headsup=yes;ordsup=yes;"
		      "simpsup=yes;wu_sup=yes;crd_sup=yes;nv_sup=yes;v_sup=yes;p_i_i_sup=yes;"
		      "luiclr=yes;r_sup=yes;cbcs=yes;multi_nexus_microcode=5;"
		      "self_test_minutes=258;poa_sup=yes;hra_sup=yes;vsa_sup=yes;"
		      "max_sense_bytes=96;");
	PAGE(0x86, "\x00\x86\x00\x3c\x80\x00\x00\x00");
	CU_ASSERT_TRUE(has("activate_microcode=2;spt=0;grd_chk=no;"));
}

#define LIMITS                             \
	"\x00\xb0\x00\x3c\x01\x08\x00\x10" \
	"\x00\x01\x00\x00\x00\x00\x04\x00" \
	"\x00\x00\x02\x00\xff\xff\xff\xff" \
	"\x00\x00\x00\x40\x00\x00\x00\x08" \
	"\x80\x00\x00\x03\x00\x00\x00\x01" \
	"\x00\x00\x00\x00\x00\x00\x00\x05" \
	"\x00\x00\x00\x06\x00\x00\x00\x07" \
	"\x00\x00\x00\x08\x00\x00\x00\x09"

static void test_describe_block_limits(void)
{
	PAGE(0xb0, LIMITS);
	CU_ASSERT_STRING_EQUAL(
		told,
		"wsnz=yes;max_compare_and_write=8;optimal_granularity=16;max_transfer=65536;"
		"optimal_transfer=1024;max_prefetch=512;max_unmap=4294967295;"
		"max_unmap_descriptors=64;unmap_granularity=8;ugavalid=yes;unmap_alignment=3;"
		"max_write_same=4294967296;max_atomic=5;atomic_alignment=6;"
		"atomic_granularity=7;max_atomic_with_boundary=8;max_atomic_boundary=9;");
	/* of SBC-2: twelve bytes */
	PAGE(0xb0, "\x00\xb0\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03junk");
	CU_ASSERT_TRUE(has("optimal_transfer=3;"));
	CU_ASSERT_PTR_NULL(strstr(told, "max_prefetch"));
}

static void test_describe_block_device_characteristics(void)
{
	PAGE(0xb1, "\x00\xb1\x00\x3c\x1c\x20\x00\x63\x13");
	CU_ASSERT_STRING_EQUAL(told, "rotation_rate=7200;product_type=0;wabereq=1;wacereq=2;"
				     "form_factor=2.5 inch;zoned=1;fuab=yes;vbuls=yes;"
				     "rotation=rotating;");
	PAGE(0xb1, "\x00\xb1\x00\x3c\x00\x01\x05\x09\x00");
	CU_ASSERT_TRUE(has("rotation_rate=1;product_type=5;"));
	CU_ASSERT_TRUE(has("form_factor=reserved;"));
	CU_ASSERT_TRUE(has("rotation=non-rotating;"));
	PAGE(0xb1, "\x00\xb1\x00\x3c\x00\x00\x00\x00\x00");
	CU_ASSERT_TRUE(has("form_factor=not reported;"));
	CU_ASSERT_TRUE(has("rotation=not reported;"));
	PAGE(0xb1, "\x00\xb1\x00\x02\x04\x00");
	CU_ASSERT_STRING_EQUAL(told, "rotation_rate=1024;rotation=reserved;");
}

static void test_describe_logical_block_provisioning(void)
{
	PAGE(0xb2, "\x00\xb2\x00\x04\x14\xe7\x02\x00");
	CU_ASSERT_STRING_EQUAL(told, "threshold_exponent=20;lbpu=yes;lbpws=yes;lbpws10=yes;"
				     "lbprz=yes;anc_sup=yes;dp=yes;provisioning_type=thin;");
	PAGE(0xb2, "\x00\xb2\x00\x04\x00\x40\x01\x00");
	CU_ASSERT_STRING_EQUAL(told, "threshold_exponent=0;lbpu=no;lbpws=yes;lbpws10=no;"
				     "lbprz=no;anc_sup=no;dp=no;provisioning_type=resource;");
}

static void test_describe_pages_cut(void)
{
	static const struct {
		uint8_t number;
		const char *bytes;
		size_t len;
	} pages[] = {
		{ 0x00, "\x00\x00\x00\x04\x00\x80\x83\xb0", 8 },
		{ 0x83,
		  "\x00\x83\x00\x14\x01\x03\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07"
		  "\x51\x94\x00\x04\x00\x00\x00\x02",
		  24 },
		{ 0x86, EXTENDED, sizeof(EXTENDED) - 1 },
		{ 0xb0, LIMITS, sizeof(LIMITS) - 1 },
		{ 0xb2, "\x00\xb2\x00\x04\x14\xe7\x02\x00", 8 },
	};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		page_number = pages[i].number;
		cut_at_every_length(describe_the_page, pages[i].bytes, pages[i].len);
		CU_ASSERT_TRUE(used > 0);
	}
}

static void test_describe_page_that_is_not_known_or_another(void)
{
	PAGE(0xc0, "\x00\xc0\x00\x04\x14\xe7\x02\x00");
	CU_ASSERT_STRING_EQUAL(told, "");
	PAGE(0x80, "\x00\x83\x00\x04SN-1");
	CU_ASSERT_STRING_EQUAL(told, "");
	/* of a tape it is another page */
	PAGE(0xb0, "\x01\xb0\x00\x04\x01\x00\x00\x00");
	CU_ASSERT_STRING_EQUAL(told, "");
	CU_ASSERT_PTR_NULL(describe_page_name(0xc0));
	CU_ASSERT_STRING_EQUAL(describe_page_name(0x83), "device identification");
	for (unsigned n = 0; n < 256; n++) {
		page_number = (uint8_t)n;
		tell(describe_the_page, "\x00\x00\x00\x00", 4);
	}
}

static void test_describe_length_in_all(void)
{
	static const uint8_t page[] = { 0x00, 0x83, 0x12, 0x34 };
	static const uint8_t standard[] = { 0x00, 0x00, 0x05, 0x02, 0x5b };

	CU_ASSERT_EQUAL(describe_inquiry_bytes(true, page, 4), 0x1238);
	CU_ASSERT_EQUAL(describe_inquiry_bytes(true, page, 3), 0);
	CU_ASSERT_EQUAL(describe_inquiry_bytes(false, standard, 5), 96);
	CU_ASSERT_EQUAL(describe_inquiry_bytes(false, standard, 4), 0);
}

/* ---- READ CAPACITY ---------------------------------------------------------------------- */

#define CAPACITY_16                        \
	"\x00\x00\x00\x01\x00\x00\x00\xff" \
	"\x00\x00\x02\x00\x05\x23\xc0\x07" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static void test_describe_capacity_16(void)
{
	CU_ASSERT_EQUAL(TELL(describe_capacity_16, CAPACITY_16), 0);
	CU_ASSERT_STRING_EQUAL(
		told, "blocks=4294967552;block_size=512;size=2199023386624;"
		      "physical_block_size=4096;thin=yes;command=READ CAPACITY(16);"
		      "last_lba=4294967551;p_type=2;prot_en=yes;p_i_exponent=2;lbppbe=3;"
		      "lowest_aligned_lba=7;lbpme=yes;lbprz=yes;");
	cut_at_every_length(describe_capacity_16, CAPACITY_16, 12); /* below: -EPROTO */
	/* 12 bytes, as SBC-2 has them */
	CU_ASSERT_EQUAL(tell(describe_capacity_16, CAPACITY_16, 12), 0);
	CU_ASSERT_TRUE(has("last_lba=4294967551;"));
	CU_ASSERT_PTR_NULL(strstr(told, "p_type"));
	CU_ASSERT_EQUAL(tell(describe_capacity_16, CAPACITY_16, 11), -EPROTO);
}

static void test_describe_capacity_10(void)
{
	CU_ASSERT_EQUAL(TELL(describe_capacity_10, "\x00\x00\x07\xff\x00\x00\x10\x00"), 0);
	CU_ASSERT_STRING_EQUAL(told,
			       "blocks=2048;block_size=4096;size=8388608;"
			       "physical_block_size=4096;thin=no;command=READ CAPACITY(10);"
			       "last_lba=2047;");
	CU_ASSERT_EQUAL(tell(describe_capacity_10, "\x00\x00\x07\xff\x00\x00\x10", 7), -EPROTO);
	CU_ASSERT_EQUAL(TELL(describe_capacity_10, "\xff\xff\xff\xff\x00\x00\x02\x00"),
			-EOVERFLOW);
}

/* ---- REPORT LUNS ------------------------------------------------------------------------ */

static void test_describe_luns(void)
{
	static const uint8_t list[] = {
		0,    0,    0,	  56,	0, 0, 0, 0, /* seven of them */
		0x00, 0x00, 0,	  0,	0, 0, 0, 0, /* peripheral 0 */
		0x00, 0xff, 0,	  0,	0, 0, 0, 0, /* peripheral 255 */
		0x41, 0x2c, 0,	  0,	0, 0, 0, 0, /* flat 300 */
		0x80, 0x01, 0,	  0,	0, 0, 0, 0, /* logical unit addressing */
		0xc1, 0x01, 0,	  0,	0, 0, 0, 0, /* REPORT LUNS well known unit */
		0xd2, 0x00, 0x01, 0x00, 0, 0, 0, 0, /* extended flat */
		0x00, 0x00, 0x00, 0x01, 0, 0, 0, 0, /* a second level */
	};

	CU_ASSERT_EQUAL(tell(describe_luns, list, sizeof(list)), 0);
	CU_ASSERT_STRING_EQUAL(
		told,
		"count=7;luns[0;255;300;8001000000000000;c101000000000000;d200010000000000;"
		"0000000100000000;];methods[peripheral;peripheral;flat;logical unit;well "
		"known;extended flat;peripheral;];");
	for (size_t len = 0; len < sizeof(list); len++)
		CU_ASSERT_EQUAL(tell(describe_luns, list, len), len < 8 ? -EPROTO : 0);
	CU_ASSERT_EQUAL(TELL(describe_luns, "\xff\xff\xff\xff\x00\x00\x00\x00"), -EPROTO);
	CU_ASSERT_EQUAL(TELL(describe_luns, "\x00\x00\x00\x00\x00\x00\x00\x00"), 0);
	CU_ASSERT_STRING_EQUAL(told, "count=0;luns[];methods[];");
}

UNIT_MAIN("describe", UNIT(test_describe_standard_data),
	  UNIT(test_describe_standard_data_of_36_bytes), UNIT(test_describe_standard_data_cut),
	  UNIT(test_describe_supported_pages), UNIT(test_describe_serial_number),
	  UNIT(test_describe_every_designator), UNIT(test_describe_odd_designators),
	  UNIT(test_describe_extended_data), UNIT(test_describe_block_limits),
	  UNIT(test_describe_block_device_characteristics),
	  UNIT(test_describe_logical_block_provisioning), UNIT(test_describe_pages_cut),
	  UNIT(test_describe_page_that_is_not_known_or_another),
	  UNIT(test_describe_length_in_all), UNIT(test_describe_capacity_16),
	  UNIT(test_describe_capacity_10), UNIT(test_describe_luns))
