/* SPDX-License-Identifier: BSD-2-Clause */
/* fork, pipe, wait; background.h is the manual. What goes through the pipe is the reason of a
 * failure, or READY; nothing at all means that the child died. */
#include "fuse/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define READY "\006" /* ACK: begins no message */

static void __attribute__((noreturn)) wait_for_child(int fd, pid_t child)
{
	char said[4096];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(said) - 1) {
		n = read(fd, said + len, sizeof(said) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	said[len] = '\0';
	if (!strcmp(said, READY))
		_exit(0);
	if (len)
		fprintf(stderr, "iscsifs: %s\n", said);
	else
		fprintf(stderr,
			"iscsifs: process %d died before the tree was usable; see the log\n",
			(int)child);
	_exit(1);
}

gboolean background_start(struct background *b, GError **err)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno, "no pipe: %s",
				strerror(errno));
		return FALSE;
	}
	child = fork();
	if (child < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno, "no process: %s",
				strerror(errno));
		close(fds[0]);
		close(fds[1]);
		return FALSE;
	}
	if (child) {
		close(fds[1]);
		wait_for_child(fds[0], child);
	}
	close(fds[0]);
	b->fd = fds[1];
	setsid();
	if (chdir("/") < 0)
		g_assert_not_reached();
	return TRUE;
}

static void say(struct background *b, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	do
		n = write(b->fd, text, len);
	while (n < 0 && errno == EINTR);
	close(b->fd);
	b->fd = -1;
}

static void drop_standard_files(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
}

void background_ready(struct background *b)
{
	if (b->fd < 0)
		return;
	drop_standard_files();
	say(b, READY);
}

void background_failed(struct background *b, const char *reason)
{
	if (b->fd >= 0)
		say(b, reason);
}

gboolean background_write_pid(const char *path, GError **err)
{
	g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

	if (g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, err))
		return TRUE;
	g_prefix_error(err, "pid file: ");
	return FALSE;
}
