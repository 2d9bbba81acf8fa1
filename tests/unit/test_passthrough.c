/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the file `scsi`: what is a command and what is not, and the reply to one. CDBs are
 * typed from SPC-4 and SBC-3. That one line is one task is shown against a target that plays a
 * part (tests/conformance). */
#include "core/passthrough.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/target.h"
#include "unit.h"

static struct passthrough got;

/* On a copy of exactly its length, for the address sanitizer. */
static gboolean parse(const char *line, GError **err)
{
	char *copy = strdup(line);
	gboolean is_ok;

	memset(&got, 0xee, sizeof(got));
	is_ok = passthrough_parse(copy, &got, err);
	free(copy);
	return is_ok;
}

static void expect_command(const char *line, const char *cdb, unsigned cdb_bytes,
			   enum task_direction direction, uint32_t data_bytes)
{
	g_autoptr(GError) err = NULL;

	CU_ASSERT_TRUE_FATAL(parse(line, &err));
	CU_ASSERT_EQUAL(got.cdb_bytes, cdb_bytes);
	CU_ASSERT_EQUAL(memcmp(got.cdb, cdb, cdb_bytes), 0);
	CU_ASSERT_EQUAL(got.direction, direction);
	CU_ASSERT_EQUAL(got.data_bytes, data_bytes);
	CU_ASSERT_EQUAL(got.data != NULL, direction == TASK_WRITE);
}

/* It is refused, and the message has @why in it, but not the line. */
static void refuse(const char *line, const char *why)
{
	g_autoptr(GError) err = NULL;
	struct passthrough untouched;

	memset(&untouched, 0xee, sizeof(untouched));
	CU_ASSERT_FALSE_FATAL(parse(line, &err));
	CU_ASSERT_EQUAL(error_errno(err), EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, why));
	if (!strstr(err->message, why))
		printf("\n%s: %s\n", line, err->message);
	CU_ASSERT_EQUAL(memcmp(&got, &untouched, sizeof(got)), 0);
}

static void test_passthrough_reads_a_cdb_in_any_spelling(void)
{
	static const char *const lines[] = {
		"120000006000 in=96",
		"12 00 00 00 60 00 in=96",
		"  1200\t0000   6000\tin=0x60  ",
		"0x120000006000 in=96 # standard data",
		"0x12 0x00 0x00 0x00 0x60 0x00 in=96",
		"12000000 6000 0x in=96",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		expect_command(lines[i], "\x12\0\0\0\x60\0", 6, TASK_READ, 96);
		CU_ASSERT_EQUAL(got.timeout_ms, 0);
	}
	expect_command("00 00 00 00 00 00", "\0\0\0\0\0\0", 6, TASK_NO_DATA, 0);
	expect_command("AbCdEf000000000000000000", "\xab\xcd\xef\0\0\0\0\0\0\0\0\0", 12,
		       TASK_NO_DATA, 0);
	expect_command("000000000000 in=0", "\0\0\0\0\0\0", 6, TASK_NO_DATA, 0);
}

static void test_passthrough_reads_data_to_be_sent(void)
{
	expect_command("2a00 00000007 00 0001 00 out=00fF10", "\x2a\0\0\0\0\x07\0\0\x01\0", 10,
		       TASK_WRITE, 3);
	CU_ASSERT_EQUAL(memcmp(got.data, "\x00\xff\x10", 3), 0);
	g_free(got.data);
	expect_command("150000000400 timeout=1.5 out= 0x00 01 0x0203", "\x15\0\0\0\x04\0", 6,
		       TASK_WRITE, 4);
	CU_ASSERT_EQUAL(memcmp(got.data, "\0\1\2\3", 4), 0);
	CU_ASSERT_EQUAL(got.timeout_ms, 1500);
	g_free(got.data);
	expect_command("150000000400 out=0001 0203 timeout=86400", "\x15\0\0\0\x04\0", 6,
		       TASK_WRITE, 4);
	CU_ASSERT_EQUAL(got.timeout_ms, 86400 * 1000);
	g_free(got.data);
}

static void test_passthrough_knows_the_length_of_each_group(void)
{
	static const struct {
		uint8_t opcode, length; /* 0: it is reserved */
	} groups[] = {
		{ 0x00, 6 },  { 0x1f, 6 },  { 0x20, 10 }, { 0x3f, 10 },
		{ 0x40, 10 }, { 0x5f, 10 }, { 0x60, 0 },  { 0x7e, 0 },
		{ 0x80, 16 }, { 0x9f, 16 }, { 0xa0, 12 }, { 0xbf, 12 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(groups); i++)
		for (unsigned n = 1; n <= TASK_CDB_MAX; n++) {
			g_autoptr(GString) line = g_string_new(NULL);

			g_string_printf(line, "%02x", groups[i].opcode);
			for (unsigned k = 1; k < n; k++)
				g_string_append(line, "00");
			if (n != groups[i].length)
				refuse(line->str, "CDB");
			else
				CU_ASSERT_TRUE(parse(line->str, NULL));
		}
}

static void test_passthrough_takes_vendors_cdbs_of_usual_lengths(void)
{
	for (unsigned n = 1; n <= TASK_CDB_MAX; n++) {
		g_autofree char *zeros = g_strnfill(2 * (n - 1), '0');
		g_autofree char *low = g_strdup_printf("c0%s", zeros);
		g_autofree char *high = g_strdup_printf("ff%s", zeros);
		bool is_usual = n == 6 || n == 10 || n == 12 || n == 16;

		CU_ASSERT_EQUAL(parse(low, NULL), is_usual);
		CU_ASSERT_EQUAL(parse(high, NULL), is_usual);
	}
}

static void test_passthrough_compares_the_length_of_variable_cdbs(void)
{
	/* READ(32): 24 more bytes */
	expect_command(
		"7f 00 00 00 00 00 00 18 00 09 00 00 00000000 00000000 00000000 00000000 "
		"00000001"
		" in=512",
		"\x7f\0\0\0\0\0\0\x18\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 32,
		TASK_READ, 512);
	expect_command("7f00000000000004 00000000", "\x7f\0\0\0\0\0\0\x04\0\0\0\0", 12,
		       TASK_NO_DATA, 0);
	refuse("7f000000000000", "8 bytes");
	refuse("7f00000000000018 0009", "32 bytes in all, 10 were given");
	refuse("7f00000000000004 0009", "12 bytes in all, 10 were given");
	refuse("7f00000000000002 0009", "multiple of 4");
	refuse("7f000000000000ff 0009", "263 bytes in all");
	refuse("7f0000000000001c 00000000 00000000 00000000 00000000 00000000 00000000 "
	       "00000000",
	       "longer than 32");
}

static void test_passthrough_refuses_what_is_no_command(void)
{
	refuse("", "a CDB is wanted");
	refuse("   # only a comment", "a CDB is wanted");
	refuse("in=96", "a CDB is wanted");
	refuse("inquiry", "column 1");
	refuse("12 00 00 00 6 00", "column 13: two hexadecimal digits");
	refuse("1200000060zz", "hexadecimal digits");
	refuse("120000006000 in=96 00", "column 20");
	refuse("120000006000 in", "hexadecimal digits");
	refuse("120000006000 In=1", "unknown key");
	refuse("120000006000 =1", "unknown key");
	refuse("120000006000 inn=1", "unknown key");
	refuse("120000006000 in=1 in=1", "twice");
	refuse("120000006000 in=", "in=");
	refuse("120000006000 in=-1", "in=");
	refuse("120000006000 in=524289", "524288");
	refuse("120000006000 in=99999999999999999999", "524288");
	refuse("120000006000 in=1 out=00", "not both");
	refuse("120000006000 in=0 out=00", "not both");
	refuse("120000006000 out=", "out=");
	refuse("120000006000 out=0", "two hexadecimal digits");
	refuse("120000006000 out=00 out=00", "twice");
	refuse("120000006000 out=secret", "hexadecimal digits");
	refuse("120000006000 timeout=0", "timeout=");
	refuse("120000006000 timeout=", "timeout=");
	refuse("120000006000 timeout=86400.001", "timeout=");
	refuse("120000006000 timeout=1s", "timeout=");
}

static void test_passthrough_bounds_the_data(void)
{
	g_autofree char *zeros = g_strnfill(2 * PASSTHROUGH_DATA_MAX, '0');
	g_autofree char *most = g_strdup_printf("2a000000000000040000 out=%s", zeros);
	g_autofree char *over = g_strdup_printf("%s 00", most);
	g_autofree char *one = g_strdup_printf("2a000000000000040000 out=00%s", zeros);

	CU_ASSERT_TRUE(parse(most, NULL));
	CU_ASSERT_EQUAL(got.data_bytes, PASSTHROUGH_DATA_MAX);
	g_free(got.data);
	refuse(over, "more than 524288");
	refuse(one, "more than 524288");
	expect_command("2800000000000004 00 00 in=524288", "\x28\0\0\0\0\0\0\x04\0\0", 10,
		       TASK_READ, PASSTHROUGH_DATA_MAX);
}

static void test_passthrough_takes_no_line_that_is_cut(void)
{
	static const char line[] = "2a00 00000007 00 0001 00 out=00ff1000";

	for (size_t len = 0; len < 25; len++) {
		g_autofree char *cut = g_strndup(line, len);

		CU_ASSERT_EQUAL(parse(cut, NULL), len == 24);
	}
}

/* ---- the reply ---- */

static void expect(const struct task *t, const char *reply)
{
	g_autoptr(GString) out = g_string_new(NULL);

	passthrough_print(t, out);
	CU_ASSERT_STRING_EQUAL(out->str, reply);
	if (strcmp(out->str, reply))
		printf("\n%s\n", out->str);
}

static void test_passthrough_prints_good(void)
{
	uint8_t data[] = { 0x00, 0x80, 0x06, 0x02, 0xee };
	struct task t;

	task_init(&t, TASK_SCSI, NULL);
	expect(&t, "status=0x00 status_name=\"good\" text=\"good\" residual=0 bytes=0");
	t.direction = TASK_READ;
	t.data = data;
	t.data_bytes = sizeof(data);
	t.transferred = 4; /* the fifth byte did not come */
	t.has_underflow = true;
	t.residual = 1;
	expect(&t, "status=0x00 status_name=\"good\" text=\"good\" residual=1 bytes=4 "
		   "data=0x00800602");
	t.has_underflow = false;
	t.has_overflow = true;
	t.residual = 8;
	t.transferred = 0;
	expect(&t,
	       "status=0x00 status_name=\"good\" text=\"good\" residual=0 overflow=8 bytes=0 "
	       "data=0x");
}

static void test_passthrough_prints_sense_data(void)
{
	static const uint8_t fixed[18] = { 0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20 };
	struct task t;

	task_init(&t, TASK_SCSI, NULL);
	t.status = 0x02;
	memcpy(t.sense, fixed, sizeof(fixed));
	t.sense_bytes = sizeof(fixed);
	t.direction = TASK_WRITE;
	t.transferred = 512;
	expect(&t, "status=0x02 status_name=\"check condition\" "
		   "sense=0x700005000000000a00000000200000000000 key=0x05 "
		   "key_name=\"illegal request\" asc=0x20 ascq=0x00 "
		   "text=\"illegal request, invalid command operation code (05/20/00)\" "
		   "residual=0 bytes=512");
	t.sense_bytes = 1; /* no sense data that anybody knows */
	t.sense[0] = 0x7f;
	expect(&t, "status=0x02 status_name=\"check condition\" sense=0x7f "
		   "text=\"check condition without sense data\" residual=0 bytes=512");
	t.status = 0x18;
	t.sense_bytes = 0;
	expect(&t, "status=0x18 status_name=\"reservation conflict\" "
		   "text=\"reservation conflict\" residual=0 bytes=512");
	t.status = 0x77;
	expect(&t, "status=0x77 status_name=\"unknown status\" text=\"unknown status 0x77\" "
		   "residual=0 bytes=512");
}

/* ---- as lines of a file ---- */

static int done_errno;
static char *done_reply;

static void on_done(void *arg, const GError *err, const char *reply)
{
	(void)arg;
	done_errno = err ? error_errno(err) : 0;
	g_free(done_reply);
	done_reply = g_strdup(reply);
}

/* A unit whose session has no connection. */
static void run_lines(const char *text)
{
	struct session_config config = { .type = KEYS_NORMAL,
					 .initiator_name = (char *)"iqn.2026-11.test:host" };
	struct lun_facts f = { .number = 3, .inquiry.type = 0x0c };
	struct loop *loop = loop_new();
	struct conf conf;
	struct daemon *d;
	struct target *t;
	struct lun *l;

	log_set_level(LOG_LEVEL_ERROR);
	conf_default(&conf);
	d = daemon_new(loop, &conf, NULL, NULL);
	conf_done(&conf);
	t = target_get(d, "iqn.2026-11.test:disks");
	config.target_name = t->name;
	session_timeouts_default(&config.timeouts);
	lun_encode(f.number, f.wire);
	lun_found(nexus_new(t, session_new(loop, &config, 0, NULL, NULL), "127.0.0.1:3260"),
		  &f);
	l = target_find_lun(t, 3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(l);
	script_run(loop, &l->obj, passthrough_verbs, text, strlen(text), on_done, NULL);
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, 0);
	daemon_free(d);
	loop_run_once(loop, 0);
	loop_free(loop);
}

static void test_passthrough_file_tells_why_nothing_was_sent(void)
{
	run_lines("# nothing\n\n  \n");
	CU_ASSERT_EQUAL(done_errno, 0);
	CU_ASSERT_STRING_EQUAL(done_reply, "");
	run_lines("12 00\n");
	CU_ASSERT_EQUAL(done_errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, "6 bytes, 2 were given"));
	run_lines("000000000000\n000000000000\n");
	CU_ASSERT_EQUAL(done_errno, EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, "no session to send it by"));
	CU_ASSERT_PTR_EQUAL(strchr(done_reply, '\n') + 1, done_reply + strlen(done_reply));
	run_lines("2a000000000000000100 out=00112233\n");
	CU_ASSERT_EQUAL(done_errno, EIO);
	g_clear_pointer(&done_reply, g_free);
}

static void test_passthrough_file_tells_how_to_use_it(void)
{
	g_autoptr(GString) out = g_string_new(NULL);

	command_help(passthrough_verbs, out);
	CU_ASSERT_PTR_NOT_NULL(strstr(out->str, "in=BYTES"));
	CU_ASSERT_PTR_NULL(strstr(out->str, "every verb"));
	/* what it prints, written back, does nothing */
	run_lines(out->str);
	CU_ASSERT_EQUAL(done_errno, 0);
	g_clear_pointer(&done_reply, g_free);
}

UNIT_MAIN("passthrough", UNIT(test_passthrough_reads_a_cdb_in_any_spelling),
	  UNIT(test_passthrough_reads_data_to_be_sent),
	  UNIT(test_passthrough_knows_the_length_of_each_group),
	  UNIT(test_passthrough_takes_vendors_cdbs_of_usual_lengths),
	  UNIT(test_passthrough_compares_the_length_of_variable_cdbs),
	  UNIT(test_passthrough_refuses_what_is_no_command),
	  UNIT(test_passthrough_bounds_the_data),
	  UNIT(test_passthrough_takes_no_line_that_is_cut), UNIT(test_passthrough_prints_good),
	  UNIT(test_passthrough_prints_sense_data),
	  UNIT(test_passthrough_file_tells_why_nothing_was_sent),
	  UNIT(test_passthrough_file_tells_how_to_use_it))
