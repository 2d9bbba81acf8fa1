/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration: a libconfig file read at start. One table (conf.c) of all options with type,
 * bounds, default and reason (conf_table.h); an unknown option or a bad value is an error that
 * names file and line. Options that are login keys, too, take the same values there and here. */
#ifndef ISCSIFS_CONF_H
#define ISCSIFS_CONF_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "iscsi/keys.h"
#include "iscsi/session.h"

#ifndef SYSCONFDIR /* configure's, by the Makefile */
#define SYSCONFDIR "/etc"
#endif
#define CONF_DEFAULT_FILE SYSCONFDIR "/iscsifs.conf"
#define CONF_FILE_MAX (1024 * 1024) /* bytes */

/* What the page cache of this host keeps of a disk (fuse/fs.h). In the order of the choices. */
enum cache_mode { CACHE_NONE, CACHE_THROUGH, CACHE_BACK };
#define CACHE_MODES "none|through|back"
const char *cache_mode_name(enum cache_mode m);
/* False: no such mode. */
bool cache_mode_parse(const char *name, enum cache_mode *ret);

/* Where log lines go; AUTO: to stderr in the foreground, else to syslog. */
enum log_target { LOG_TARGET_AUTO, LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

struct conf {
	char *initiator_name; /* NULL: generated */
	char *initiator_alias;
	/* Of the tree (fuse/permissions.h); NULL: not set. Numbers, the mask octal. */
	char *uid, *gid, *umask, *operators, *disk_group;
	bool allow_other;
	char *state_dir, *pid_file; /* absolute; NULL: not set */
	char *initiator_instances; /* initiator_instance.h; NULL: none */
	char *login_auth, *login_user, *login_user_in;	    /* conf_secrets.h; NULL: not set ... */
	char *login_secret_file, *chap_secret_file; /* ... absolute */
	char *ibft_path;       /* absolute; NULL: see ibft.h */
	char *secret_key_file; /* absolute; NULL: see secret_store.h */
	enum log_level log_level;
	enum log_target log_target;
	struct session_timeouts timeouts;
	struct keys_wishes wishes;
	char *isns_entity; /* NULL: the initiator's name */
	unsigned isns_port, isns_period_s;
	unsigned max_sessions; /* of all targets together */
	int64_t volumes_timeout_ms; /* of bound volumes and persistent logins at start */
	int64_t shutdown_ms; /* how long an orderly end may take */
	unsigned io_depth;   /* pooled I/O requests */
	enum cache_mode cache; /* of all disks, unless a LUN says CACHE_NONE */
	unsigned busy_poll;  /* microseconds: loop_set_spin() while few requests are under way */
	bool lock_memory;
};
/* @c need not be initialised. */
void conf_default(struct conf *c);
/* Over what is in @c (conf_default() first). @path NULL: the default file, which may be
 * missing. FALSE with @err ("FILE:LINE: ..."); @c may then hold some of the file, and
 * conf_done() is due as ever. */
gboolean conf_read(struct conf *c, const char *path, GError **err);
/* The same from memory; @name is the FILE of messages. */
gboolean conf_read_text(struct conf *c, const char *name, const char *text, GError **err);
void conf_done(struct conf *c);
/* @to need not be initialised; conf_done() is due. */
void conf_copy(struct conf *to, const struct conf *from);
/* A commented sample with every option: config/iscsifs.conf is made of it. */
void conf_print(GString *out);
/* The part of man/iscsifs.conf.5 that tells of the options, as troff input. */
void conf_print_page(GString *out);

/* Numbers, or names that the user database knows: may block. FALSE and @err. */
gboolean conf_user_id(const char *text, uint32_t *ret_id, GError **err);
gboolean conf_group_id(const char *text, uint32_t *ret_id, GError **err);
/* Octal, 000 to 777. */
gboolean conf_umask(const char *text, mode_t *ret_umask, GError **err);

/* Set option @name to @value, which command_check() has accepted for its key. False: there is
 * no such option. For options.c, whose keys are options of the same name. */
bool conf_set(struct conf *c, const char *name, const char *value);
/* FirstBurstLength must not exceed MaxBurstLength (RFC 7143 13.14): one that was asked for
 * (@is_given) is refused, the default is cut. */
gboolean conf_check_bursts(struct conf *c, bool is_given, GError **err);

#endif
