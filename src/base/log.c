/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines; log.h is the manual. A line is built on the stack and leaves in one call, whoever
 * logs, so that lines of the helper threads do not mix and nothing is allocated when memory is
 * short. Bytes that could steer a terminal or forge a line are shown as \xNN. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/log.h"

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define MESSAGE_MAX 1024 /* bytes before escaping; longer ones are cut */

static atomic_int max_level = LOG_LEVEL_INFO;
static atomic_bool is_syslog;

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

void log_init(enum log_level level, bool to_syslog)
{
	tzset();
	if (to_syslog)
		openlog("iscsifs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	is_syslog = to_syslog;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

bool log_is_enabled(enum log_level level)
{
	return (int)level <= max_level;
}

static void write_stderr(enum log_level level, const char *text)
{
	char line[MESSAGE_MAX * 4 + 100], when[40];
	struct timeval tv;
	struct tm tm;
	int len;

	gettimeofday(&tv, NULL);
	if (!localtime_r(&tv.tv_sec, &tm) || !strftime(when, sizeof(when), "%F %T", &tm))
		when[0] = '\0';
	len = snprintf(line, sizeof(line), "%s.%06ld iscsifs: %s: %s\n", when, (long)tv.tv_usec,
		       levels[level].name, text);
	/* Nobody to tell when stderr is gone. */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char raw[MESSAGE_MAX], text[MESSAGE_MAX * 4];
	int saved_errno = errno, n;
	va_list ap;

	if (!log_is_enabled(level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(raw)) {
		n = sizeof(raw) - 1;
		memcpy(raw + n - 3, "...", 3);
	}
	text_plain(raw, (size_t)n, text, sizeof(text));
	if (is_syslog)
		syslog(levels[level].priority, "%s", text);
	else
		write_stderr(level, text);
	errno = saved_errno;
}
