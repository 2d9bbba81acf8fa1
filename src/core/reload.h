/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the configuration again, while the daemon runs: by SIGHUP and by `reload` in the top ctl.
 * A helper thread reads the file; then, in one turn of the loop, either all of it comes into
 * force, or nothing, when something is wrong with it (EVENT_CONF_REFUSED, with file and line).
 *
 * What changed counts as the table of options says (conf_table.h, enum conf_live): at once, for
 * new logins, or when the daemon is started anew; the event and the reply tell which. Name and
 * alias that somebody set through the tree stay, and so do times set in a session. */
#ifndef ISCSIFS_RELOAD_H
#define ISCSIFS_RELOAD_H

#include "core/conf.h"
#include "core/operation.h"

struct daemon;
struct reloader;

struct reload_config {
	const char *path;	 /* of the file; NULL: the default one, which may be missing */
	const struct conf *file; /* what it said at start, without the command line */
	/* Runs in the loop when d->conf has changed, for what others made of it. NULL: nobody. */
	void (*changed)(struct daemon *d, void *arg);
	/* A reload begins, or the last one under way has ended. NULL: nobody. */
	void (*busy)(bool is_busy, void *arg);
	void *arg;
};

/* daemon.h has the place for it. Copies @c. */
struct reloader *reloader_new(struct daemon *d, const struct reload_config *c);
/* After the worker has ended. NULL is fine. */
void reloader_free(struct reloader *r);

/* Finishes @op when it has been done, or refused. @op NULL: nobody waits, a failure is on the
 * daemon's list. d->reloader NULL: not supported. One after the other, in the order of the
 * calls; too many at once are refused (EBUSY). */
void reload_run(struct daemon *d, struct operation *op);

#endif
