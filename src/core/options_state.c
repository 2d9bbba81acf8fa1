/* SPDX-License-Identifier: BSD-2-Clause */
/* Login options to and from state files; the header is the manual. A secret that does not open is
 * among the options as MARK and the sealed word: no secret that a person gives can begin with
 * MARK, a control character. */
#include "core/options_state.h"

#include <string.h>

#include "base/text.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/secret_store.h"

#define MARK '\x01'

bool secret_is_sealed(const char *secret)
{
	return secret && secret[0] == MARK;
}

char *secret_save(struct daemon *d, const char *place, const char *secret, GError **err)
{
	if (secret_is_sealed(secret))
		return g_strdup(secret + 1);
	return secret_store_seal(d->secrets, place, secret, err);
}

char *secret_load(struct daemon *d, const char *place, const char *kept)
{
	g_autoptr(GError) err = NULL;
	char *secret = secret_store_unseal(d->secrets, place, kept, &err);

	if (secret)
		return secret;
	event_emit(d, EVENT_SECRET_FAILED, "%s: %s; it is kept as it is", place, err->message);
	return g_strdup_printf("%c%s", MARK, kept);
}

static char *place_of(const char *context, const struct command_key *k)
{
	return g_strdup_printf("%s/%s", context, k->name);
}

gboolean login_options_may_save(const struct login_options *o, struct daemon *d, GError **err)
{
	if (!d->state_dir || !secret_store_error(d->secrets))
		return TRUE;
	for (const struct command_key *k = login_keys; k->name; k++) {
		const char *value = login_option(o, k->name);

		if (!k->is_secret || !value || secret_is_sealed(value))
			continue;
		error_set(err, ISDSC_CACHE_CORRUPTED,
			  "%s= cannot be stored: no key for secrets: %s (with persist=no it is "
			  "not stored)",
			  k->name, secret_store_error(d->secrets));
		return FALSE;
	}
	return TRUE;
}

static void save_key(const struct command_key *k, const char *value, struct daemon *d,
		     const char *context, config_setting_t *group)
{
	g_autofree char *place = place_of(context, k), *sealed = NULL;
	g_autoptr(GError) err = NULL;

	if (k->is_secret) {
		sealed = secret_save(d, place, value, &err);
		value = sealed;
	}
	if (value)
		config_setting_set_string(config_setting_add(group, k->name, CONFIG_TYPE_STRING),
					  value);
	else
		event_emit(d, EVENT_SECRET_FAILED, "%s: not saved: %s", place, err->message);
}

void login_options_save(const struct login_options *o, struct daemon *d, const char *context,
			config_setting_t *group)
{
	if (!d->state_dir)
		return;
	for (const struct command_key *k = login_keys; k->name; k++)
		if (login_option(o, k->name))
			save_key(k, login_option(o, k->name), d, context, group);
}

static gboolean load_key(struct login_options *o, struct daemon *d, const char *context,
			 const config_setting_t *s, GError **err)
{
	const struct command_key *k = login_key(config_setting_name(s));
	const char *value = config_setting_get_string(s);
	g_autofree char *place = NULL;

	if (!k || !value) {
		error_set(err, ISDSC_INVALID_PARAMETER, "%s: %s", config_setting_name(s),
			  k ? "no text" : "no such login key");
		return FALSE;
	}
	if (!k->is_secret)
		return login_options_set(o, k->name, value, err);
	place = place_of(context, k);
	login_options_set_secret(o, k->name, secret_load(d, place, value));
	return TRUE;
}

gboolean login_options_load(struct login_options *o, struct daemon *d, const char *context,
			    const config_setting_t *group, GError **err)
{
	struct login_options taken = { 0 };
	int count = config_setting_length(group);

	for (int i = 0; i < count; i++)
		if (!load_key(&taken, d, context, config_setting_get_elem(group, (unsigned)i),
			      err)) {
			login_options_done(&taken);
			return FALSE;
		}
	*o = taken;
	return TRUE;
}
