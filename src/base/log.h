/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines for people: one failure, one line, the object first and the cause last. To stderr
 * (with the time, when in the foreground) or syslog. Secrets never come here. Only the layer
 * that decides what happens next logs. Level and destination are process-wide. */
#ifndef ISCSIFS_LOG_H
#define ISCSIFS_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(enum log_level level, bool to_syslog);
void log_set_level(enum log_level level);
bool log_is_enabled(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* An event (core/event.h): @text, which has no secrets, and "(event ID NAME)" behind it. With
 * syslog as the destination and a journal on this host the journal gets it instead, with fields
 * of its own (ISCSI_EVENT_ID, ISCSI_EVENT_NAME, ISCSI_TARGET), in one datagram that never waits;
 * if that does not go, syslog. $ISCSIFS_JOURNAL is another path of the journal's socket. */
void log_event(enum log_level level, unsigned id, const char *name, const char *text);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                              \
	do {                                                        \
		if (log_is_enabled(LOG_LEVEL_DEBUG))                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);    \
	} while (0)

#endif
