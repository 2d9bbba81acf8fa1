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

static gboolean take(struct conf_secrets *s, const char *key, const char *value, GError **err)
{
	return !value || login_options_set(&s->defaults, key, value, err) || prefix(err, key);
}

static gboolean take_secret(struct conf_secrets *s, const char *path, GError **err)
{
	char *secret;
	gboolean is_ok;

	if (!path)
		return TRUE;
	secret = secret_file_read(path, err);
	is_ok = secret && login_options_set(&s->defaults, "secret", secret, err);
	text_free_secret(secret);
	return is_ok || prefix(err, "login_secret_file");
}

static gboolean take_chap_secret(struct conf_secrets *s, const char *path, GError **err)
{
	struct login_options look = { 0 };
	gboolean is_ok;

	if (!path)
		return TRUE;
	s->chap_secret = secret_file_read(path, err);
	is_ok = s->chap_secret && login_options_set(&look, "secret_in", s->chap_secret, err);
	login_options_done(&look);
	return is_ok || prefix(err, "chap_secret_file");
}

gboolean conf_secrets_read(struct conf_secrets *s, const struct conf *c, GError **err)
{
	return take(s, "auth", c->login_auth, err) && take(s, "user", c->login_user, err) &&
	       take(s, "user_in", c->login_user_in, err) &&
	       take_secret(s, c->login_secret_file, err) &&
	       take_chap_secret(s, c->chap_secret_file, err);
}

gboolean conf_secrets_check(const struct conf_secrets *s, struct daemon *d, GError **err)
{
	char *in_force = d->conf_chap_secret;
	struct session_config look;
	gboolean is_ok;

	d->conf_chap_secret = s->chap_secret;
	is_ok = login_options_config(&s->defaults, d, NULL, &look, err);
	d->conf_chap_secret = in_force;
	if (!is_ok) {
		g_prefix_error(err,
			       "options login_auth, login_user, login_user_in, login_secret_file: ");
		return FALSE;
	}
	session_config_done(&look);
	return TRUE;
}

void conf_secrets_wipe(struct conf_secrets *s)
{
	login_options_done(&s->defaults);
	text_free_secret(s->chap_secret);
	s->chap_secret = NULL;
}

gboolean conf_secrets_load(struct daemon *d, GError **err)
{
	struct conf_secrets s = { 0 };

	if (!conf_secrets_read(&s, &d->conf, err) || !conf_secrets_check(&s, d, err)) {
		conf_secrets_wipe(&s);
		return FALSE;
	}
	d->defaults = s.defaults;
	d->conf_chap_secret = s.chap_secret;
	return TRUE;
}

void conf_secrets_done(struct daemon *d)
{
	login_options_done(&d->defaults);
	text_free_secret(d->conf_chap_secret);
	d->conf_chap_secret = NULL;
}
