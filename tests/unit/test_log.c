/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/log.c: what arrives at stderr. */
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

static char got[8192];
static int saved_stderr, out[2];

static void capture(enum log_level level)
{
	log_init(level, false);
	CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(out[1], STDERR_FILENO);
}

/* What was written to stderr since capture(). */
static const char *captured(void)
{
	ssize_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(out[1]);
	n = read(out[0], got, sizeof(got) - 1);
	close(out[0]);
	got[n > 0 ? n : 0] = '\0';
	return got;
}

static bool ends_with(const char *s, const char *tail)
{
	size_t len = strlen(s), tail_len = strlen(tail);

	return len >= tail_len && strcmp(s + len - tail_len, tail) == 0;
}

static void test_log_line_has_level_and_text(void)
{
	capture(LOG_LEVEL_INFO);
	log_warning("session %d iqn.x: %s", 3, "lost");
	CU_ASSERT(ends_with(captured(), " iscsifs: warning: session 3 iqn.x: lost\n"));
	CU_ASSERT(strncmp(got, "20", 2) == 0);
}

static void test_log_drops_what_is_below_the_level(void)
{
	capture(LOG_LEVEL_WARNING);
	log_info("no");
	log_debug("no");
	CU_ASSERT_STRING_EQUAL(captured(), "");
	CU_ASSERT_FALSE(log_is_enabled(LOG_LEVEL_INFO));
	CU_ASSERT(log_is_enabled(LOG_LEVEL_WARNING));
	log_set_level(LOG_LEVEL_DEBUG);
	CU_ASSERT(log_is_enabled(LOG_LEVEL_DEBUG));
}

static void test_log_escapes_what_could_steer_a_terminal_or_forge_a_line(void)
{
	capture(LOG_LEVEL_INFO);
	log_info("a\nb\x1b[2J\x7f\r%s", "\xff \xc2\x9b \xc3\xa4 \xc3");
	CU_ASSERT(
		ends_with(captured(),
			  "info: a\\x0ab\\x1b[2J\\x7f\\x0d\\xff \\xc2\\x9b \xc3\xa4 \\xc3\n"));
}

static void test_log_cuts_long_lines(void)
{
	char text[5000];

	memset(text, '\x01', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture(LOG_LEVEL_INFO);
	log_info("%s", text);
	CU_ASSERT(ends_with(captured(), "\\x01...\n"));
	CU_ASSERT(strlen(got) < 4200);
}

static void test_log_keeps_errno(void)
{
	capture(LOG_LEVEL_INFO);
	errno = ENOSPC;
	log_info("x");
	CU_ASSERT_EQUAL(errno, ENOSPC);
	captured();
}

/* What the journal gets: fields, a line each; and nobody waits for one that is full or gone. */
static void test_log_event_goes_to_the_journal(void)
{
	char folder[] = "/tmp/test_log.XXXXXX";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ssize_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
	CU_ASSERT_EQUAL_FATAL(
		bind(journal, (const struct sockaddr *)&address, sizeof(address)), 0);
	setenv("ISCSIFS_JOURNAL", address.sun_path, 1);
	log_init(LOG_LEVEL_WARNING, true);
	log_event(LOG_LEVEL_WARNING, 20, "connection-lost",
		  "session 3 iqn.2026-01.org.example:disk: lost\nPRIORITY=0");
	n = recv(journal, got, sizeof(got) - 1, 0);
	CU_ASSERT_FATAL(n > 0);
	got[n] = '\0';
	CU_ASSERT_STRING_EQUAL(
		got, "MESSAGE=session 3 iqn.2026-01.org.example:disk: lost\\x0aPRIORITY=0 "
		     "(event 20 connection-lost)\nPRIORITY=4\nSYSLOG_IDENTIFIER=iscsifs\n"
		     "ISCSI_EVENT_ID=20\nISCSI_EVENT_NAME=connection-lost\n"
		     "ISCSI_TARGET=iqn.2026-01.org.example:disk\n");
	log_event(LOG_LEVEL_INFO, 34, "reconnected", "not at this level");
	CU_ASSERT_EQUAL(recv(journal, got, sizeof(got), 0), -1);
	log_event(LOG_LEVEL_ERROR, 1016, "io-failed", "no target");
	n = recv(journal, got, sizeof(got) - 1, 0);
	got[n > 0 ? n : 0] = '\0';
	CU_ASSERT_PTR_NOT_NULL(strstr(got, "PRIORITY=3\n"));
	CU_ASSERT_PTR_NULL(strstr(got, "ISCSI_TARGET"));
	for (unsigned i = 0; i < 1000; i++) /* more than the socket takes, and nobody reads */
		log_event(LOG_LEVEL_ERROR, 1016, "io-failed", "one of many");
	close(journal);
	unlink(address.sun_path);
	rmdir(folder);
	log_event(LOG_LEVEL_WARNING, 20, "connection-lost", "the journal is gone");
	unsetenv("ISCSIFS_JOURNAL");
	log_init(LOG_LEVEL_INFO, false);
}

UNIT_MAIN("log", UNIT(test_log_line_has_level_and_text),
	  UNIT(test_log_drops_what_is_below_the_level),
	  UNIT(test_log_escapes_what_could_steer_a_terminal_or_forge_a_line),
	  UNIT(test_log_cuts_long_lines), UNIT(test_log_keeps_errno),
	  UNIT(test_log_event_goes_to_the_journal))
