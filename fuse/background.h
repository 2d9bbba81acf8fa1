/* SPDX-License-Identifier: BSD-2-Clause */
/* Going into the background: the parent waits on a pipe for the child's word and exits 0 only
 * when the tree is usable; otherwise it prints why not and exits 1. In the foreground there is
 * no parent, and the reason goes to stderr.
 *
 * Also the file with the process id. */
#ifndef ISCSIFS_BACKGROUND_H
#define ISCSIFS_BACKGROUND_H

#include <glib.h>

struct background {
	int fd; /* to the parent; -1: none, or told */
};

/* Fork. Returns in the child only, in a session of its own and in "/"; stderr is still the
 * caller's. Before any thread is made. FALSE and @err: no pipe, no process. */
gboolean background_start(struct background *b, GError **err);
/* The tree is usable: the parent exits 0; our standard files become /dev/null. */
void background_ready(struct background *b);
/* It will not be: "iscsifs: @reason" to the parent's stderr. Harmless after
 * background_ready(). */
void background_failed(struct background *b, const char *reason);

/* Atomically, mode 0644. */
gboolean background_write_pid(const char *path, GError **err);

#endif
