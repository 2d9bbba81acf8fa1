/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line:
 *
 *	iscsifs [-f] [-d] [-c FILE] [-s STATE_DIR] [-p PIDFILE] [-o OPTS] [SOURCE] MOUNTPOINT
 *
 * SOURCE is what mount(8) passes for an fstab line of type fuse.iscsifs; it means nothing. Of
 * OPTS, those in the table of cmdline.c are ours, some that mount(8) may leave are dropped, and
 * the rest is libfuse's. */
#ifndef ISCSIFS_CMDLINE_H
#define ISCSIFS_CMDLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/conf.h"

#define CMDLINE_USAGE                                                               \
	"usage: iscsifs [-f] [-d] [-c FILE] [-s STATE_DIR] [-p PIDFILE] [-o OPTS] " \
	"MOUNTPOINT\n"

struct cmdline {
	bool is_foreground, is_debug, wants_help, wants_version;
	char *mountpoint; /* absolute, not resolved */
	char *conf_file;  /* absolute; NULL: the default one */
	char *state_dir;  /* absolute */
	char *pid_file;	  /* absolute; NULL: none */
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool has_cache; /* -o cache= was given: */
	enum cache_mode cache;
	GString *fuse_options; /* "a,b=c" */
};

/* FALSE and @err when it makes no sense. @c need not be initialised; cmdline_done() is due in
 * any case. */
gboolean cmdline_parse(struct cmdline *c, int argc, char **argv, GError **err);
void cmdline_done(struct cmdline *c);
void cmdline_help(FILE *to);

#endif
