/* SPDX-License-Identifier: BSD-2-Clause */
/* Authentication by configuration: what logins and discoveries use that were given none, nor found
 * any with the portal or the target entered by hand. The options login_auth, login_user,
 * login_user_in and login_secret_file go together; chap_secret_file is our own secret for mutual CHAP, unless one was written to
 * initiator/chap_secret. Secrets are in files, never in the configuration itself. */
#ifndef ISCSIFS_CONF_SECRETS_H
#define ISCSIFS_CONF_SECRETS_H

#include <glib.h>

#include "core/options.h"

struct conf;
struct daemon;

struct conf_secrets {
	struct login_options defaults;
	char *chap_secret; /* NULL: none */
};

/* What the options name, into @s, which was empty. FALSE and @err: the option and the file are named.
 * Blocks; any thread. */
gboolean conf_secrets_read(struct conf_secrets *s, const struct conf *c, GError **err);
/* Does all of it go together? */
gboolean conf_secrets_check(const struct conf_secrets *s, struct daemon *d, GError **err);
void conf_secrets_wipe(struct conf_secrets *s);

/* Read the files that d->conf names into d->defaults and d->conf_chap_secret. FALSE and @err: the
 * option and the file are named. Blocks, so before the loop runs. */
gboolean conf_secrets_load(struct daemon *d, GError **err);
/* Wipes them. */
void conf_secrets_done(struct daemon *d);

#endif
