/* SPDX-License-Identifier: BSD-2-Clause */
/* One datagram a call; sdnotify.h is the manual. */
#include "fuse/sdnotify.h"

#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static struct sockaddr_un address;
static socklen_t address_bytes; /* 0: nobody to tell */

void sdnotify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t bytes = path ? strlen(path) : 0;

	address_bytes = 0;
	if (!bytes)
		return;
	if ((path[0] == '/' || path[0] == '@') && bytes > 1 && bytes < sizeof(address.sun_path)) {
		address.sun_family = AF_UNIX;
		memcpy(address.sun_path, path, bytes + 1);
		/* An abstract one: no NUL at its end, one at its begin. */
		if (path[0] == '@')
			address.sun_path[0] = '\0';
		address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
		if (path[0] == '/')
			address_bytes++;
	} else {
		log_warning("NOTIFY_SOCKET=%s: neither a path nor an abstract name", path);
	}
	unsetenv("NOTIFY_SOCKET");
}

static void tell(const char *text)
{
	int fd;

	if (!address_bytes)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		   address_bytes) < 0)
		log_debug("the service manager cannot be told: %m");
	close(fd);
}

void sdnotify_status(const char *fmt, ...)
{
	g_autofree char *status = NULL, *text = NULL;
	va_list args;

	va_start(args, fmt);
	status = g_strdup_vprintf(fmt, args);
	va_end(args);
	text = g_strdup_printf("STATUS=%s", g_strdelimit(status, "\n", ' '));
	tell(text);
}

void sdnotify_extend(int64_t ms)
{
	g_autofree char *text = g_strdup_printf("EXTEND_TIMEOUT_USEC=%" PRId64, ms * 1000);

	tell(text);
}

void sdnotify_ready(const char *status)
{
	g_autofree char *text =
		g_strdup_printf("READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);

	tell(text);
}

void sdnotify_reloading(void)
{
	g_autofree char *text =
		g_strdup_printf("RELOADING=1\nMONOTONIC_USEC=%" PRId64
				"\nSTATUS=reading the configuration",
				(int64_t)g_get_monotonic_time());

	tell(text);
}

void sdnotify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=logging out");
}
