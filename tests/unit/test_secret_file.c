/* SPDX-License-Identifier: BSD-2-Clause */
/* Secret files: what is read, what is refused, and that a path which never answers cannot hold
 * up the loop. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/text.h"
#include "core/secret_file.h"
#include "unit.h"

static char *dir, *path;

/* One reading. */
static struct loop *loop;
static bool is_done;
static char *got;
static GError *got_error;

static void on_done(void *arg, char *secret, const GError *err)
{
	CU_ASSERT_PTR_EQUAL(arg, &is_done);
	CU_ASSERT_FALSE(is_done);
	is_done = true;
	got = secret;
	got_error = err ? g_error_copy(err) : NULL;
}

static void read_secret(const char *at, int64_t limit_ms)
{
	loop = loop_new();
	is_done = false;
	got = NULL;
	got_error = NULL;
	if (!secret_file_start(loop, at, limit_ms, on_done, &is_done, &got_error))
		is_done = true;
	else
		CU_ASSERT_FALSE(is_done); /* not from inside */
	while (!is_done)
		loop_run_once(loop, 1000);
	CU_ASSERT_TRUE(!got != !got_error);
	loop_free(loop);
}

static void make_file(const char *content, size_t bytes, int mode)
{
	dir = g_dir_make_tmp("iscsifs-XXXXXX", NULL);
	path = g_build_filename(dir, "secret", NULL);
	CU_ASSERT_FATAL(g_file_set_contents(path, content, (gssize)bytes, NULL));
	CU_ASSERT_EQUAL_FATAL(chmod(path, (mode_t)mode), 0);
}

static void remove_file(void)
{
	g_remove(path);
	g_rmdir(dir);
	g_clear_pointer(&path, g_free);
	g_clear_pointer(&dir, g_free);
}

static void expect_secret(const char *content, const char *secret)
{
	make_file(content, strlen(content), 0600);
	read_secret(path, 10000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got);
	CU_ASSERT_STRING_EQUAL(got, secret);
	text_free_secret(got);
	remove_file();
}

static void expect_refusal_within(const char *at, int64_t limit_ms, int errno_value,
				  const char *part)
{
	read_secret(at, limit_ms);
	CU_ASSERT_PTR_NULL(got);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got_error);
	CU_ASSERT_EQUAL(error_errno(got_error), errno_value);
	CU_ASSERT_PTR_NOT_NULL(strstr(got_error->message, part));
	g_clear_error(&got_error);
}

static void expect_refusal(const char *at, int errno_value, const char *part)
{
	expect_refusal_within(at, 10000, errno_value, part);
}

static void test_secret_file_loses_one_newline(void)
{
	expect_secret("topsecret1234\n", "topsecret1234");
	expect_secret("topsecret1234", "topsecret1234");
	expect_secret("topsecret1234\n\n", "topsecret1234\n");
	expect_secret(" x ", " x ");
}

static void test_secret_file_may_have_1_kib(void)
{
	g_autofree char *longest = g_strnfill(1024, 'a');
	g_autofree char *with_newline = g_strconcat(longest, "\n", NULL);

	expect_secret(longest, longest);
	expect_secret(with_newline, longest);
	make_file(with_newline, 1025, 0600);
	CU_ASSERT_FATAL(g_file_set_contents(path, "", 0, NULL));
	remove_file();
	make_file(longest, 1024, 0600);
	CU_ASSERT_EQUAL(truncate(path, 1025), 0);
	expect_refusal(path, EINVAL, "too long");
	CU_ASSERT_EQUAL(truncate(path, 1000000), 0);
	expect_refusal(path, EINVAL, "too long");
	remove_file();
}

static void test_secret_file_open_to_others_is_refused(void)
{
	static const int modes[] = { 0640, 0604, 0620, 0602, 0610, 0644 };

	for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
		make_file("topsecret1234", 13, modes[i]);
		expect_refusal(path, EACCES, "chmod 600");
		remove_file();
	}
	make_file("topsecret1234", 13, 0400);
	read_secret(path, 10000);
	CU_ASSERT_PTR_NOT_NULL(got);
	text_free_secret(got);
	remove_file();
}

static void test_secret_file_of_another_user_is_refused(void)
{
	if (geteuid() != 0)
		return; /* only root can give a file away */
	make_file("topsecret1234", 13, 0600);
	CU_ASSERT_EQUAL(chown(path, 12345, 0), 0);
	expect_refusal(path, EACCES, "another user");
	remove_file();
}

static void test_secret_file_without_a_secret_is_refused(void)
{
	make_file("", 0, 0600);
	expect_refusal(path, EINVAL, "empty");
	remove_file();
	make_file("\n", 1, 0600);
	expect_refusal(path, EINVAL, "empty");
	remove_file();
	make_file("a\0b", 3, 0600);
	expect_refusal(path, EINVAL, "NUL byte");
	remove_file();
}

static void test_secret_file_that_is_none_is_refused(void)
{
	expect_refusal("/nonexistent/secret", ENOENT, "secret file /nonexistent/secret: ");
	expect_refusal("/tmp", EINVAL, "not a regular file");
	expect_refusal("/dev/zero", EINVAL, "not a regular file");
	expect_refusal("secret", EINVAL, "not an absolute path");
	expect_refusal("", EINVAL, "not an absolute path");
}

static void test_secret_file_fifo_does_not_block(void)
{
	make_file("x", 1, 0600);
	g_remove(path);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	expect_refusal(path, EINVAL, "not a regular file");
	remove_file();
}

static void never(void *arg, char *secret, const GError *err)
{
	(void)arg;
	(void)secret;
	(void)err;
	CU_FAIL("done() after a cancel");
}

static void test_secret_file_cancelled_is_silent(void)
{
	struct secret_file *s;

	make_file("topsecret1234", 13, 0600);
	loop = loop_new();
	s = secret_file_start(loop, path, 10000, never, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	secret_file_cancel(s);
	usleep(20000);
	loop_run_once(loop, 0);
	loop_free(loop);
	remove_file();
}

/* Threads that hang are counted, also when nobody waits for them any more. */
static void expect_no_more_than_the_maximum(const char *at)
{
	GError *err = NULL;
	unsigned count = 1; /* the one that timed out */
	struct secret_file *s;

	loop = loop_new();
	while ((s = secret_file_start(loop, at, 10000, never, NULL, &err))) {
		secret_file_cancel(s);
		count++;
	}
	CU_ASSERT_EQUAL(count, SECRET_FILE_READERS_MAX);
	CU_ASSERT_EQUAL(error_errno(err), EBUSY);
	g_error_free(err);
	loop_free(loop);
}

/* A FUSE mount whose server (this process) does not answer. */
static void test_secret_file_on_our_own_mount_is_given_up(void)
{
	g_autofree char *options = NULL, *at = NULL;
	int64_t began = g_get_monotonic_time(), took;
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	dir = g_dir_make_tmp("iscsifs-XXXXXX", NULL);
	at = g_build_filename(dir, "secret", NULL);
	options = g_strdup_printf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	if (fuse >= 0 && mount("test_secret_file", dir, "fuse", 0, options) == 0) {
		expect_refusal_within(at, 200, ETIMEDOUT, "timed out");
		took = g_get_monotonic_time() - began;
		CU_ASSERT_TRUE(took >= 200000);
		expect_no_more_than_the_maximum(at);
		umount2(dir, MNT_DETACH);
	} else {
		printf("(skipped: FUSE needs root) ");
	}
	if (fuse >= 0)
		close(fuse);
	usleep(50000); /* the threads find that the mount and we are gone */
	g_rmdir(dir);
	g_clear_pointer(&dir, g_free);
}

UNIT_MAIN("secret_file", UNIT(test_secret_file_loses_one_newline),
	  UNIT(test_secret_file_may_have_1_kib),
	  UNIT(test_secret_file_open_to_others_is_refused),
	  UNIT(test_secret_file_of_another_user_is_refused),
	  UNIT(test_secret_file_without_a_secret_is_refused),
	  UNIT(test_secret_file_that_is_none_is_refused),
	  UNIT(test_secret_file_fifo_does_not_block),
	  UNIT(test_secret_file_cancelled_is_silent),
	  UNIT(test_secret_file_on_our_own_mount_is_given_up))
