/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the state directory, in libconfig's format. Read at start, in place; written as a
 * whole by the helper thread (temporary file, fsync, rename, fsync of the directory), so that
 * whoever reads sees the old one or the new one, after a crash, too. One that cannot be
 * understood is set aside as NAME.bad, with a log line, and the daemon goes on without it. */
#ifndef ISCSIFS_STATEFILE_H
#define ISCSIFS_STATEFILE_H

#include <libconfig.h>

struct daemon;

/* Read DIR/@name into @cfg (config_init() is the caller's). 0; -ENOENT: no such file; -EINVAL:
 * damaged, and set aside; another -errno: cannot be read (logged). Blocks. */
int statefile_read(struct daemon *d, const char *name, config_t *cfg);
/* Its content makes no sense: @why goes to the log. */
void statefile_set_aside(struct daemon *d, const char *name, const char *why);
/* Write @cfg (read now, not kept) in the background, after those asked for earlier. A failure
 * is logged and put on the failures of the daemon. Shutdown waits for it. */
void statefile_write(struct daemon *d, const char *name, const config_t *cfg);

#endif
