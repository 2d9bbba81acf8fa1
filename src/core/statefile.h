/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the state directory, in libconfig's format, each with `version = 1`. Read at start, in
 * place; written as a whole by the helper thread (temporary file, fsync, rename, fsync of the
 * directory), so that whoever reads sees the old one or the new one, after a crash, too.
 *
 *   a file that is          is
 *   damaged                 set aside whole as NAME.bad (NAME.bad.1 ...; an older one stays), with
 *                           an event; the daemon goes on without it
 *   of a later version,     left alone: the daemon does not start, since what it saves next would
 *   or not readable now     take the place of what is in there
 */
#ifndef ISCSIFS_STATEFILE_H
#define ISCSIFS_STATEFILE_H

#include <glib.h>
#include <libconfig.h>

#define STATEFILE_VERSION 1
#define STATEFILE_MAX (64 * 1024 * 1024) /* bytes; a longer one is damaged */

struct daemon;

/* Read DIR/@name into @cfg (config_init() is the caller's). 0; -ENOENT: no such file; -EINVAL:
 * damaged, and set aside; another -errno: the daemon must not start (d->state_error says why).
 * Blocks. */
int statefile_read(struct daemon *d, const char *name, config_t *cfg);
/* The content that statefile_read() gave makes no sense: @why goes to the log. Nothing of it may
 * be used. */
void statefile_set_aside(struct daemon *d, const char *name, const char *why);
/* Write @cfg (read now, not kept, but for the version, which is added) in the background, after
 * those asked for earlier. @done (may be NULL) runs later, once: NULL, or why it is not saved
 * (ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA, borrowed). A failure is logged, besides, and put on
 * the failures of the daemon. Shutdown waits for it. Without a state directory nothing is written,
 * and that is no failure. */
void statefile_save(struct daemon *d, const char *name, config_t *cfg,
		    void (*done)(void *arg, const GError *err), void *arg);

#endif
