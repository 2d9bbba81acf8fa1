/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a secret from a file that the administrator names (secret_file=PATH). */
#ifndef ISCSIFS_SECRET_FILE_H
#define ISCSIFS_SECRET_FILE_H

#include <glib.h>

#define SECRET_FILE_MAX 1024	    /* bytes, without the newline at the end */
#define SECRET_FILE_TIMEOUT_MS 1000 /* a file that takes longer is refused */

/* The content of @path, one newline at the end off; text_free_secret(). NULL and @err: no
 * absolute path, not a regular file, others than its owner (root or ourselves) may read or
 * write it (EACCES), empty, too long, a NUL in it, ETIMEDOUT. Messages name the path. */
char *secret_file_read(const char *path, GError **err);

#endif
