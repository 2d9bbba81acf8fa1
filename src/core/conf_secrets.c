/* SPDX-License-Identifier: BSD-2-Clause */
/* Authentication by configuration; the header is the manual. */
#include "core/conf_secrets.h"

#include "base/error.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/options.h"
#include "core/secret_file.h"

static gboolean prefix(GError **err, const char *option)
{
	g_prefix_error(err, "option %s: ", option);
	return FALSE;
}

static gboolean take(struct daemon *d, const char *key, const char *value, GError **err)
{
	return !value || login_options_set(&d->defaults, key, value, err) || prefix(err, key);
}

static gboolean take_secret(struct daemon *d, GError **err)
{
	const char *path = d->conf.login_secret_file;
	char *secret;
	gboolean is_ok;

	if (!path)
		return TRUE;
	secret = secret_file_read(path, err);
	is_ok = secret && login_options_set(&d->defaults, "secret", secret, err);
	text_free_secret(secret);
	return is_ok || prefix(err, "login_secret_file");
}

static gboolean take_chap_secret(struct daemon *d, GError **err)
{
	const char *path = d->conf.chap_secret_file;
	struct login_options look = { 0 };
	gboolean is_ok;

	if (!path)
		return TRUE;
	d->conf_chap_secret = secret_file_read(path, err);
	is_ok = d->conf_chap_secret &&
		login_options_set(&look, "secret_in", d->conf_chap_secret, err);
	login_options_done(&look);
	return is_ok || prefix(err, "chap_secret_file");
}

/* Does all of it go together? */
static gboolean check(struct daemon *d, GError **err)
{
	struct session_config look;

	if (!login_options_config(&d->defaults, d, NULL, &look, err)) {
		g_prefix_error(err, "options login_auth, login_user, login_secret_file: ");
		return FALSE;
	}
	session_config_done(&look);
	return TRUE;
}

gboolean conf_secrets_load(struct daemon *d, GError **err)
{
	return take(d, "auth", d->conf.login_auth, err) && take(d, "user", d->conf.login_user, err) &&
	       take(d, "user_in", d->conf.login_user_in, err) && take_secret(d, err) &&
	       take_chap_secret(d, err) && check(d, err);
}

void conf_secrets_done(struct daemon *d)
{
	login_options_done(&d->defaults);
	text_free_secret(d->conf_chap_secret);
	d->conf_chap_secret = NULL;
}
