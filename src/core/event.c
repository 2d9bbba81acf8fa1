/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: see event.h. */
#include "core/event.h"

#include <stdarg.h>

#include "base/log.h"

void event_emit(struct daemon *d, unsigned id, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	(void)d;
	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	log_debug("event %u: %s", id, text);
}
