/* SPDX-License-Identifier: BSD-2-Clause */
/* The firmware's table from directories as the kernel makes them, whole and damaged. What the files
 * hold is typed as drivers/firmware/iscsi_ibft.c prints it: newlines after names and numbers, IPv6
 * with all its digits. */
#include "core/ibft.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "core/firmware.h"
#include "unit.h"

static char *dir;

static const char *const whole[][2] = {
	{ "initiator/index", "0\n" },
	{ "initiator/flags", "3\n" },
	{ "initiator/initiator-name", "iqn.2026-11.test:host1\n" },
	{ "ethernet0/index", "0\n" },
	{ "ethernet0/flags", "3\n" },
	{ "ethernet0/mac", "52:54:00:12:34:56\n" },
	{ "ethernet0/ip-addr", "127.0.0.1\n" },
	{ "ethernet0/subnet-mask", "255.0.0.0" },
	{ "ethernet0/gateway", "0.0.0.0\n" },
	{ "ethernet0/vlan", "0\n" },
	{ "ethernet1/index", "1\n" },
	{ "ethernet1/flags", "1\n" },
	{ "ethernet1/ip-addr", "192.0.2.77\n" },
	{ "ethernet2/flags", "0\n" },
	{ "target0/index", "0\n" },
	{ "target0/flags", "3\n" },
	{ "target0/target-name", "iqn.2026-11.test:boot\n" },
	{ "target0/ip-addr", "127.0.0.1\n" },
	{ "target0/port", "3261\n" },
	{ "target0/lun", "01000000\n" },
	{ "target0/nic-assoc", "0\n" },
	{ "target0/chap-type", "2\n" },
	{ "target0/chap-name", "host1\n" },
	{ "target0/chap-secret", "twelve-bytes\n" },
	{ "target0/rev-chap-name", "boot\n" },
	{ "target0/rev-chap-name-secret", "other-twelve \n" },
	{ "target1/index", "1\n" },
	{ "target1/flags", "1\n" },
	{ "target1/target-name", "iqn.2026-11.test:six\n" },
	{ "target1/ip-addr", "2001:0db8:0000:0000:0000:0000:0000:0005\n" },
	{ "target1/port", "3260\n" },
	{ "target1/nic-assoc", "1\n" },
	{ "target1/chap-type", "0\n" },
	{ "target2/flags", "0\n" }, /* not valid */
	{ "target2/target-name", "iqn.2026-11.test:not\n" },
	{ "target2/ip-addr", "127.0.0.1\n" },
	{ "target3/flags", "1\n" }, /* left to DHCP */
	{ "target3/ip-addr", "0.0.0.0\n" },
	{ "acpi_header/signature", "iBFT\n" },
};

static void put_bytes(const char *file, const void *data, size_t len)
{
	g_autofree char *path = g_build_filename(dir, file, NULL);
	g_autofree char *parent = g_path_get_dirname(path);

	g_mkdir_with_parents(parent, 0700);
	CU_ASSERT_TRUE(g_file_set_contents(path, data, (gssize)len, NULL));
}

static void put(const char *file, const char *text)
{
	put_bytes(file, text, strlen(text));
}

static void drop(const char *file)
{
	g_autofree char *path = g_build_filename(dir, file, NULL);

	CU_ASSERT_EQUAL(g_remove(path), 0);
}

static void begin(void)
{
	dir = g_strdup("/tmp/iscsifs-ibft-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(g_mkdtemp(dir));
	for (size_t i = 0; i < G_N_ELEMENTS(whole); i++)
		put(whole[i][0], whole[i][1]);
}

static void remove_all(const char *path)
{
	GDir *d = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d))) {
		g_autofree char *below = g_build_filename(path, name, NULL);

		remove_all(below);
	}
	if (d)
		g_dir_close(d);
	g_remove(path);
}

static void end(void)
{
	remove_all(dir);
	g_clear_pointer(&dir, g_free);
}

static void test_ibft_reads_what_the_kernel_writes(void)
{
	g_autoptr(GError) err = NULL;
	const struct ibft_target *t;
	const struct ibft_nic *n;
	struct ibft *table;

	begin();
	table = ibft_read(dir, &err);
	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(table);
	CU_ASSERT_STRING_EQUAL(table->initiator_name, "iqn.2026-11.test:host1");
	CU_ASSERT_EQUAL_FATAL(table->targets->len, 2);
	t = table->targets->pdata[0];
	CU_ASSERT_STRING_EQUAL(t->name, "iqn.2026-11.test:boot");
	CU_ASSERT_STRING_EQUAL(t->address, "127.0.0.1");
	CU_ASSERT_EQUAL(t->port, 3261);
	CU_ASSERT_EQUAL(t->chap, IBFT_CHAP_MUTUAL);
	CU_ASSERT_STRING_EQUAL(t->user, "host1");
	CU_ASSERT_STRING_EQUAL(t->secret, "twelve-bytes");
	CU_ASSERT_STRING_EQUAL(t->user_in, "boot");
	CU_ASSERT_STRING_EQUAL(t->secret_in, "other-twelve ");
	n = ibft_find_nic(table, t->nic);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	CU_ASSERT_STRING_EQUAL(n->mac, "52:54:00:12:34:56");
	CU_ASSERT_STRING_EQUAL(n->address, "127.0.0.1");
	CU_ASSERT_STRING_EQUAL(n->mask, "255.0.0.0");
	CU_ASSERT_PTR_NULL(n->gateway);
	CU_ASSERT_TRUE(n->is_here);
	t = table->targets->pdata[1];
	CU_ASSERT_STRING_EQUAL(t->address, "2001:db8::5");
	CU_ASSERT_EQUAL(t->chap, IBFT_CHAP_NONE);
	CU_ASSERT_PTR_NULL(t->secret);
	n = ibft_find_nic(table, t->nic);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n);
	CU_ASSERT_FALSE(n->is_here);
	CU_ASSERT_PTR_NULL(ibft_find_nic(table, 2));
	ibft_free(table);
	end();
}

static void test_ibft_absent_is_no_error(void)
{
	g_autoptr(GError) err = NULL;

	CU_ASSERT_PTR_NULL(ibft_read("/nowhere/at/all", &err));
	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NULL(ibft_read("/dev/null", &err));
	CU_ASSERT_PTR_NULL(err);
}

/* @says: of the message, which never has a value in it. */
static void refuses(const char *says)
{
	g_autoptr(GError) err = NULL;
	struct ibft *table = ibft_read(dir, &err);

	CU_ASSERT_PTR_NULL(table);
	ibft_free(table);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	if (!strstr(err->message, says) || strstr(err->message, "twelve"))
		printf("\n%s: %s\n", says, err->message);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, says));
	CU_ASSERT_PTR_NULL(strstr(err->message, "twelve"));
}

static void test_ibft_damage_is_named(void)
{
	static const char *const bad[][2] = {
		{ "target0/port", "65536\n" },	   { "target0/port", "-1\n" },
		{ "target0/ip-addr", "localhost" }, { "target0/chap-type", "3\n" },
		{ "target0/nic-assoc", "eth0\n" },  { "target0/flags", "twelve" },
		{ "ethernet0/ip-addr", "1.2.3\n" }, { "initiator/flags", "x" },
	};
	g_autofree char *longest = g_strnfill(IBFT_VALUE_MAX + 1, 'a');

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		begin();
		put(bad[i][0], bad[i][1]);
		refuses(bad[i][0]);
		end();
	}
	begin();
	put("target0/chap-secret", longest);
	refuses("target0/chap-secret: too long");
	put_bytes("target0/chap-secret", "twelve\0bytes", 12);
	refuses("target0/chap-secret: has a zero byte");
	end();
}

static void test_ibft_follows_no_links(void)
{
	g_autofree char *outside = NULL, *block = NULL, *fifo = NULL, *target1 = NULL;

	begin();
	outside = g_build_filename(dir, "ethernet0", "mac", NULL);
	block = g_build_filename(dir, "target0", "chap-secret", NULL);
	drop("target0/chap-secret");
	CU_ASSERT_EQUAL(symlink(outside, block), 0);
	refuses("target0/chap-secret");
	drop("target0/chap-secret");
	fifo = g_build_filename(dir, "target0", "chap-secret", NULL);
	CU_ASSERT_EQUAL(mkfifo(fifo, 0600), 0);
	refuses("target0/chap-secret");
	drop("target0/chap-secret");
	put("target0/chap-secret", "twelve-bytes\n");
	target1 = g_build_filename(dir, "target9", NULL);
	CU_ASSERT_EQUAL(symlink("target0", target1), 0);
	refuses("target9");
	end();
}

static void test_ibft_is_bounded(void)
{
	begin();
	for (unsigned i = 10; i < 10 + IBFT_BLOCKS_MAX; i++) {
		g_autofree char *name = g_strdup_printf("target%u/target-name", i);
		g_autofree char *address = g_strdup_printf("target%u/ip-addr", i);

		put(name, "iqn.2026-11.test:many\n");
		put(address, "192.0.2.1\n");
	}
	refuses("more than 64");
	end();
}

static void test_firmware_states_are_the_table(void)
{
	static const unsigned may[FIRMWARE_STATES][FIRMWARE_STATES] = {
		[FIRMWARE_NEVER] = { [FIRMWARE_BUSY] = 1 },
		[FIRMWARE_BUSY] = { [FIRMWARE_NONE] = 1,
				    [FIRMWARE_OK] = 1,
				    [FIRMWARE_FAILED] = 1 },
		[FIRMWARE_NONE] = { [FIRMWARE_BUSY] = 1 },
		[FIRMWARE_OK] = { [FIRMWARE_BUSY] = 1 },
		[FIRMWARE_FAILED] = { [FIRMWARE_BUSY] = 1 },
	};

	for (unsigned from = 0; from < FIRMWARE_STATES; from++)
		for (unsigned to = 0; to < FIRMWARE_STATES; to++)
			CU_ASSERT_EQUAL(firmware_state_may(from, to), may[from][to]);
}

UNIT_MAIN("ibft", UNIT(test_ibft_reads_what_the_kernel_writes),
	  UNIT(test_ibft_absent_is_no_error), UNIT(test_ibft_damage_is_named),
	  UNIT(test_ibft_follows_no_links), UNIT(test_ibft_is_bounded),
	  UNIT(test_firmware_states_are_the_table))
