/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of configuration options, for what is made of it besides the values: the sample
 * file, the man page (conf_print.c), the comparison of two configurations. */
#ifndef ISCSIFS_CONF_TABLE_H
#define ISCSIFS_CONF_TABLE_H

#include <stddef.h>

#include "core/command.h"
#include "core/conf.h"

/* From when on a value counts that has changed in the file, and was read again. */
enum conf_live {
	CONF_AT_ONCE,
	CONF_NEW_LOGINS, /* sessions that exist keep what they have */
	CONF_RESTART,	 /* of the daemon */
};

struct conf_option {
	struct command_key key; /* only the name: it is a login key, and the rest is there */
	size_t offset;		/* in struct conf; the type is that of the key: store[] of conf.c */
	const char *section;	/* of the sample and the page: begins here */
	const char *example;	/* of the sample, when there is no default */
	enum conf_live live;
	const char *why; /* one would change it: sentences for the man page */
	/* COMMAND_TEXT: what the type alone does not tell; may replace the value by another way to
	 * say it. FALSE and @err. NULL: any text will do. */
	gboolean (*check)(char **value, GError **err);
	bool takes_number; /* COMMAND_TEXT: without quotes, too */
};

/* Ended by a NULL name. */
extern const struct conf_option conf_options[];
/* NULL: there is none of that name. */
const struct conf_option *conf_option_find(const char *name);
/* Type, bounds and help. */
const struct command_key *conf_option_key(const struct conf_option *o);
/* The value in @c as the file would have it, appended. */
void conf_option_show(const struct conf_option *o, const struct conf *c, GString *out);
bool conf_option_equal(const struct conf_option *o, const struct conf *a, const struct conf *b);
void conf_option_copy(const struct conf_option *o, struct conf *to, const struct conf *from);
/* @value has been checked. */
void conf_option_set(const struct conf_option *o, struct conf *c, const char *value);

/* For rows: conf_check.c. Users and groups become their numbers. */
gboolean conf_check_name(char **value, GError **err);
gboolean conf_check_alias(char **value, GError **err);
gboolean conf_check_entity(char **value, GError **err);
gboolean conf_check_path(char **value, GError **err);
gboolean conf_check_auth(char **value, GError **err);
gboolean conf_check_instances(char **value, GError **err);
gboolean conf_check_user(char **value, GError **err);
gboolean conf_check_group(char **value, GError **err);
gboolean conf_check_umask(char **value, GError **err);

#endif
