/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a secret from a file that the administrator names (secret_file=PATH). */
#ifndef ISCSIFS_SECRET_FILE_H
#define ISCSIFS_SECRET_FILE_H

#include <glib.h>
#include <stdint.h>

#define SECRET_FILE_MAX 1024	    /* bytes, without the newline at the end */
#define SECRET_FILE_TIMEOUT_MS 5000 /* a file that takes longer is refused */
/* At once; those on a file server that is dead count until it is back. */
#define SECRET_FILE_READERS_MAX 64

struct loop;
struct secret_file;

/* Read @path. @done runs later, once, unless cancelled: @secret, its content with one newline
 * at the end off, is the callee's (text_free_secret()). NULL and @err (borrowed): not a regular
 * file, others than its owner (root or ourselves) may read or write it (EACCES), empty, too
 * long, a NUL in it, ETIMEDOUT after @limit_ms. The handle is gone when @done runs.
 *
 * NULL and @err, refused at once: no absolute path, too many files being read (EBUSY). Messages
 * name the path. */
struct secret_file *secret_file_start(struct loop *l, const char *path, int64_t limit_ms,
				      void (*done)(void *arg, char *secret, const GError *err),
				      void *arg, GError **err);
/* The same at once, for the start of the daemon: blocks. NULL and @err; text_free_secret(). */
char *secret_file_read(const char *path, GError **err);
/* done() will not run; the handle is gone. */
void secret_file_cancel(struct secret_file *s);

#endif
