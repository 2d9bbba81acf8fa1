/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line:
 *
 *	iscsifs [-f] [-d] [-c FILE] [-s STATE_DIR] [-p PIDFILE] [-o OPTS] [SOURCE] MOUNTPOINT
 *
 * What it tells goes before the configuration. SOURCE is what mount(8) passes for an fstab line of type fuse.iscsifs; it means nothing. Of
 * OPTS, those in the table of cmdline.c are ours, some that mount(8) may leave are dropped, and
 * the rest is libfuse's. */
#ifndef ISCSIFS_CMDLINE_H
#define ISCSIFS_CMDLINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/conf.h"
#include "fuse/permissions.h"

#define CMDLINE_USAGE                                                               \
	"usage: iscsifs [-f] [-d] [-c FILE] [-s STATE_DIR] [-p PIDFILE] [-o OPTS] " \
	"MOUNTPOINT\n"

struct cmdline {
	bool is_foreground, is_debug, wants_help, wants_version;
	bool wants_syslog;
	char *mountpoint; /* absolute, not resolved */
	char *conf_file;  /* absolute; NULL: the default one */
	char *state_dir;  /* absolute; NULL: not given */
	char *pid_file;	  /* absolute; NULL: none */
	struct permissions permissions;
	bool has_uid, has_gid, has_umask; /* were given */
	bool has_other;	   /* other users are let in: allow_other; */
	bool has_root; /* allow_root, which excludes it */
	bool has_cache; /* -o cache= was given: */
	enum cache_mode cache;
	GString *fuse_options; /* "a,b=c" */
};

/* FALSE and @err when it makes no sense. @c need not be initialised; cmdline_done() is due in
 * any case. */
gboolean cmdline_parse(struct cmdline *c, int argc, char **argv, GError **err);
/* What was not given comes from @conf, or is the default: paths, permissions, allow_other, where
 * log lines go. FALSE and @err when the two do not go together. */
gboolean cmdline_fill(struct cmdline *c, const struct conf *conf, GError **err);
void cmdline_done(struct cmdline *c);
void cmdline_help(FILE *to);

#endif
