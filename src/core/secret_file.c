/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a secret file. The path comes from a person and may lead anywhere: into our own
 * mount, onto a file system on one of our own LUNs, to a dead file server. Opening such a file
 * from the loop would wait for an answer that only the loop can give. So a thread of its own
 * reads it and sends what it found through a socket pair; the loop waits for that, but never
 * longer than SECRET_FILE_TIMEOUT_MS. A thread that comes too late finds the socket closed and
 * goes.
 *
 * Invariants: the thread shares no memory with the loop but its struct reader, which is its own
 * from pthread_create() on; what held the secret is wiped on both sides. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define STACK_BYTES (128 * 1024) /* the default of 8 MiB would be locked by mlockall() */

enum outcome { READ_OK, READ_FAILED, READ_NOT_REGULAR, READ_TOO_OPEN, READ_FOREIGN };

/* What the thread sends: one message. */
struct found {
	enum outcome outcome;
	int errno_value;
	uint32_t bytes;
	char data[SECRET_FILE_MAX + 2]; /* a newline, and one more to see that it is too long */
};

struct reader {
	int socket;
	char *path;
};

/* --- in the thread --- */

static enum outcome check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return READ_FAILED;
	if (!S_ISREG(st.st_mode))
		return READ_NOT_REGULAR;
	if (st.st_mode & 077)
		return READ_TOO_OPEN;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return READ_FOREIGN;
	return READ_OK;
}

static enum outcome read_file(int fd, struct found *f)
{
	ssize_t n;

	do {
		n = read(fd, f->data + f->bytes, sizeof(f->data) - f->bytes);
		if (n > 0)
			f->bytes += (uint32_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? READ_FAILED : READ_OK;
}

static void look_up(const char *path, struct found *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO: at once */

	f->outcome = fd < 0 ? READ_FAILED : check_file(fd);
	if (f->outcome == READ_OK)
		f->outcome = read_file(fd, f);
	f->errno_value = errno;
	if (fd >= 0)
		close(fd);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct found f = { 0 };

	look_up(r->path, &f);
	/* Nobody there any more is no error of ours. */
	(void)!send(r->socket, &f, sizeof(f), MSG_NOSIGNAL);
	text_wipe(&f, sizeof(f));
	close(r->socket);
	g_free(r->path);
	g_free(r);
	return NULL;
}

/* --- in the loop thread --- */

/* 0 or a positive errno; takes @socket only on success. */
static int start_reader(const char *path, int socket)
{
	struct reader *r = g_new0(struct reader, 1);
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	r->socket = socket;
	r->path = g_strdup(path);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, reader_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error) {
		g_free(r->path);
		g_free(r);
	}
	return error;
}

/* 0 or a positive errno. */
static int wait_for(int socket, struct found *f)
{
	struct pollfd p = { .fd = socket, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, SECRET_FILE_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? errno : ETIMEDOUT;
	return recv(socket, f, sizeof(*f), 0) == sizeof(*f) ? 0 : EIO;
}

/* 0 or a positive errno. */
static int ask_reader(const char *path, struct found *f)
{
	int sockets[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return errno;
	error = start_reader(path, sockets[1]);
	if (error)
		close(sockets[1]);
	else
		error = wait_for(sockets[0], f);
	close(sockets[0]);
	return error;
}

static gboolean refuse(GError **err, int errno_value, const char *path, const char *why)
{
	g_autofree char *shown = text_escape(path, strlen(path), 256);

	error_set_errno(err, ISDSC_INVALID_PARAMETER, errno_value, "secret file %s: %s", shown,
			why);
	return FALSE;
}

static gboolean check_found(const char *path, struct found *f, GError **err)
{
	if (f->outcome == READ_FAILED)
		return refuse(err, f->errno_value, path, g_strerror(f->errno_value));
	if (f->outcome == READ_NOT_REGULAR)
		return refuse(err, EINVAL, path, "not a regular file");
	if (f->outcome == READ_TOO_OPEN)
		return refuse(err, EACCES, path,
			      "others than its owner have access to it (chmod 600)");
	if (f->outcome == READ_FOREIGN)
		return refuse(err, EACCES, path, "belongs to another user");
	if (f->bytes && f->data[f->bytes - 1] == '\n')
		f->bytes--;
	if (!f->bytes)
		return refuse(err, EINVAL, path, "empty");
	if (f->bytes > SECRET_FILE_MAX)
		return refuse(err, EINVAL, path, "too long");
	if (memchr(f->data, '\0', f->bytes))
		return refuse(err, EINVAL, path, "a NUL byte in it (write the secret in hex)");
	return TRUE;
}

char *secret_file_read(const char *path, GError **err)
{
	struct found f = { 0 };
	char *secret = NULL;
	int error;

	if (!g_path_is_absolute(path)) {
		refuse(err, EINVAL, path, "not an absolute path");
		return NULL;
	}
	error = ask_reader(path, &f);
	if (error)
		refuse(err, error, path, g_strerror(error));
	else if (check_found(path, &f, err))
		secret = g_strndup(f.data, f.bytes);
	text_wipe(&f, sizeof(f));
	return secret;
}
