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
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define MESSAGE_MAX 1024 /* bytes before escaping; longer ones are cut */

static atomic_int max_level = LOG_LEVEL_INFO;
static atomic_bool is_syslog;

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
static int journal_fd = -1; /* not connected: the journal may begin anew */
static struct sockaddr_un journal_address = { .sun_family = AF_UNIX };

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static void journal_open(void)
{
	const char *path = getenv("ISCSIFS_JOURNAL");

	if (!path)
		path = JOURNAL_SOCKET;
	if (journal_fd >= 0)
		close(journal_fd);
	journal_fd = -1;
	if (strlen(path) >= sizeof(journal_address.sun_path) || access(path, F_OK) < 0)
		return;
	g_strlcpy(journal_address.sun_path, path, sizeof(journal_address.sun_path));
	journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void log_init(enum log_level level, bool to_syslog)
{
	tzset();
	if (to_syslog)
		openlog("iscsifs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	if (to_syslog)
		journal_open();
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

/* The first node name in @text: where it is, and how long; 0: there is none. */
static int find_target(const char *text, const char **ret)
{
	static const char *const types[] = { "iqn.", "eui.", "naa." };
	size_t bytes;

	for (const char *at = text; *at; at += strcspn(at, " "), at += strspn(at, " "))
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			if (strncmp(at, types[i], strlen(types[i])) != 0)
				continue;
			bytes = strcspn(at, " /,;\"");
			while (bytes && at[bytes - 1] == ':')
				bytes--;
			*ret = at;
			return (int)bytes;
		}
	return 0;
}

/* The native protocol: lines FIELD=VALUE. False: it did not go. */
static bool write_journal(enum log_level level, unsigned id, const char *name, const char *text)
{
	char fields[MESSAGE_MAX * 5];
	struct iovec iov = { .iov_base = fields };
	struct msghdr msg = { .msg_name = &journal_address,
			      .msg_namelen = sizeof(journal_address),
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };
	const char *target = "";
	int target_bytes = find_target(text, &target), len;

	if (journal_fd < 0)
		return false;
	len = snprintf(fields, sizeof(fields),
		       "MESSAGE=%s (event %u %s)\nPRIORITY=%d\nSYSLOG_IDENTIFIER=iscsifs\n"
		       "ISCSI_EVENT_ID=%u\nISCSI_EVENT_NAME=%s\n%s%.*s%s",
		       text, id, name, levels[level].priority, id, name,
		       target_bytes ? "ISCSI_TARGET=" : "", target_bytes, target,
		       target_bytes ? "\n" : "");
	if (len < 0 || (size_t)len >= sizeof(fields))
		return false;
	iov.iov_len = (size_t)len;
	return sendmsg(journal_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == len;
}

void log_event(enum log_level level, unsigned id, const char *name, const char *text)
{
	char plain[MESSAGE_MAX * 4];
	int saved_errno = errno;

	if (!log_is_enabled(level))
		return;
	text_plain(text, strlen(text), plain, sizeof(plain));
	if (!is_syslog || !write_journal(level, id, name, plain))
		log_write(level, "%s (event %u %s)", text, id, name);
	errno = saved_errno;
}
