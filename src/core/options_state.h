/* SPDX-License-Identifier: BSD-2-Clause */
/* Login options in state files: a group of strings, a key each, secrets sealed (secret_store.h).
 * What cannot be unsealed is kept as it is: it is saved again unchanged, and a login that needs it
 * fails with ISDSC_CACHE_CORRUPTED. So a key file that is lost for a while loses nothing. */
#ifndef ISCSIFS_OPTIONS_STATE_H
#define ISCSIFS_OPTIONS_STATE_H

#include <libconfig.h>

#include "core/options.h"

/* Can @o be saved: is there a key for its secrets? FALSE and @err (ISDSC_CACHE_CORRUPTED). Ask
 * before something is added that is to be kept. */
gboolean login_options_may_save(const struct login_options *o, struct daemon *d, GError **err);
/* Into @group. @context is the place of the secrets ("logins/IQN"), which opens them again. A
 * secret that cannot be sealed is left out, with an event. Without a state directory: nothing. */
void login_options_save(const struct login_options *o, struct daemon *d, const char *context,
			config_setting_t *group);
/* @o need not be initialised; written only on success. FALSE and @err: unknown key, bad value. */
gboolean login_options_load(struct login_options *o, struct daemon *d, const char *context,
			    const config_setting_t *group, GError **err);

/* A single secret at @place the same way: a string for a state file (g_free()), NULL and @err; and
 * back, as the value that may be used or is kept sealed: text_free_secret(). */
char *secret_save(struct daemon *d, const char *place, const char *secret, GError **err);
char *secret_load(struct daemon *d, const char *place, const char *kept);
/* A value that is kept sealed: of no use now. */
bool secret_is_sealed(const char *secret);

#endif
