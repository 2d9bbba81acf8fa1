/* SPDX-License-Identifier: BSD-2-Clause */
/* Who we are: the initiator's name and alias (A1, A2). Set through the tree they are kept in
 * the state directory, where they win over the configuration file; a name that nobody set is
 * made of the host's. Sessions take a copy when they begin. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/isns_servers.h"
#include "core/operation.h"
#include "core/options_state.h"
#include "core/secret_store.h"
#include "core/statefile.h"
#include "iscsi/chap.h"

#define STATE_FILE "initiator.conf"
#define SECRET_PLACE "initiator/chap_secret"
#define PREFIX "iqn.2026-11.io.iscsifs:"
#define ALIAS_MAX 255 /* RFC 7143 6.1, iSCSI-local-name-value */

/* ---- the generated name ---- */

static char name_char(char c)
{
	c = g_ascii_tolower(c);
	return g_ascii_isalnum(c) || c == '.' || c == '-' ? c : '-';
}

char *initiator_default_name(const char *host)
{
	GString *name = g_string_new(PREFIX);

	for (const char *c = *host ? host : "localhost"; *c && name->len < ISCSI_NAME_MAX; c++)
		g_string_append_c(name, name_char(*c));
	return g_string_free(name, FALSE);
}

/* The host's name, with the domain if the kernel knows one. */
static char *host_name(void)
{
	char host[256] = "", domain[256] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	if (strchr(host, '.') || getdomainname(domain, sizeof(domain) - 1) < 0 || !domain[0] ||
	    !strcmp(domain, "(none)"))
		return g_strdup(host);
	return g_strdup_printf("%s.%s", host, domain);
}

static char *generated_name(void)
{
	g_autofree char *host = host_name();

	return initiator_default_name(host);
}

/* ---- the state file ---- */

static void add_string(config_setting_t *to, const char *key, const char *value)
{
	config_setting_set_string(config_setting_add(to, key, CONFIG_TYPE_STRING), value);
}

struct initiator_save {
	struct initiator *initiator;
	GList *waiting; /* of struct operation * */
};

static void on_saved(void *arg, const GError *err)
{
	struct initiator_save *s = arg;

	if (s->initiator->last_save == s)
		s->initiator->last_save = NULL;
	for (GList *l = s->waiting; l; l = l->next) {
		GError *why = err ? g_error_copy(err) : NULL;

		g_prefix_error(&why, "it is in force, but only until the daemon ends: ");
		operation_finish(l->data, why);
		operation_unref(l->data);
	}
	g_list_free(s->waiting);
	object_unref(&s->initiator->obj);
	g_free(s);
}

void initiator_wait_saved(struct initiator *i, struct operation *op)
{
	if (i->last_save)
		i->last_save->waiting =
			g_list_append(i->last_save->waiting, operation_ref(op));
	else
		operation_finish(op, NULL);
}

static void add_chap_secret(struct initiator *i, config_setting_t *to)
{
	g_autoptr(GError) err = NULL;
	g_autofree char *sealed = secret_save(i->daemon, SECRET_PLACE, i->chap_secret, &err);

	if (sealed)
		add_string(to, "chap_secret", sealed);
	else
		event_emit(i->daemon, EVENT_SECRET_FAILED, "%s: not saved: %s", SECRET_PLACE,
			   err->message);
}

static void save(struct initiator *i)
{
	struct initiator_save *s;
	config_t cfg;

	config_init(&cfg);
	if (i->is_name_kept)
		add_string(config_root_setting(&cfg), "name", i->is_name_fixed ? i->name : "*");
	if (i->is_alias_kept)
		add_string(config_root_setting(&cfg), "alias", i->alias ? i->alias : "");
	if (i->chap_secret && i->daemon->state_dir)
		add_chap_secret(i, config_root_setting(&cfg));
	s = g_new0(struct initiator_save, 1);
	s->initiator = i;
	object_ref(&i->obj);
	i->last_save = s;
	statefile_save(i->daemon, STATE_FILE, &cfg, on_saved, s);
	config_destroy(&cfg);
}

/* ---- setting ---- */

static void take_name(struct initiator *i, char *name, bool is_fixed)
{
	g_free(i->name);
	i->name = name;
	i->is_name_fixed = is_fixed;
}

static gboolean set_name(struct initiator *i, const char *text, GError **err)
{
	char *name = strcmp(text, "*") ? text_iscsi_name(text, err) : generated_name();

	if (!name)
		return FALSE;
	take_name(i, name, strcmp(text, "*") != 0);
	return TRUE;
}

static gboolean set_alias(struct initiator *i, const char *alias, GError **err)
{
	size_t len = strlen(alias);

	if (len > ALIAS_MAX || !g_utf8_validate(alias, -1, NULL)) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"an alias is at most %d bytes of UTF-8", ALIAS_MAX);
		return FALSE;
	}
	for (const char *c = alias; *c; c = g_utf8_next_char(c))
		if (g_unichar_iscntrl(g_utf8_get_char(c))) {
			error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
					"an alias has no control characters");
			return FALSE;
		}
	g_free(i->alias);
	i->alias = len ? g_strdup(alias) : NULL;
	return TRUE;
}

gboolean initiator_set_name(struct initiator *i, const char *name, GError **err)
{
	if (!set_name(i, name, err))
		return FALSE;
	event_emit(i->daemon, EVENT_INITIATOR_CHANGED, "initiator: the name is %s now", i->name);
	i->is_name_kept = true;
	save(i);
	isns_servers_initiator_changed(i->daemon->discovery);
	return TRUE;
}

gboolean initiator_set_alias(struct initiator *i, const char *alias, GError **err)
{
	if (!set_alias(i, alias, err))
		return FALSE;
	event_emit(i->daemon, EVENT_INITIATOR_CHANGED, "initiator: the alias is \"%s\" now",
		   i->alias ? i->alias : "");
	i->is_alias_kept = true;
	save(i);
	isns_servers_initiator_changed(i->daemon->discovery);
	return TRUE;
}

/* The file was checked by then. */
void initiator_take_conf(struct initiator *i)
{
	const struct conf *c = &i->daemon->conf;
	g_autofree char *old = g_strdup(i->name);

	if (!i->is_name_kept && set_name(i, c->initiator_name ? c->initiator_name : "*", NULL) &&
	    strcmp(old, i->name))
		log_info("initiator name: %s", i->name);
	if (!i->is_alias_kept)
		set_alias(i, c->initiator_alias ? c->initiator_alias : "", NULL);
	isns_servers_initiator_changed(i->daemon->discovery);
}

/* Can it be used, and kept? */
static gboolean check_chap_secret(struct initiator *i, const char *text, GError **err)
{
	const char *no_key = i->daemon->state_dir ? secret_store_error(i->daemon->secrets) : NULL;
	uint8_t *secret;
	size_t bytes;

	if (no_key) {
		error_set(err, ISDSC_CACHE_CORRUPTED,
			  "the secret cannot be stored: no key for secrets: %s", no_key);
		return FALSE;
	}
	if (!chap_secret_parse(text, &secret, &bytes, err)) {
		if (err && *err && (*err)->code == ISDSC_SHORT_CHAP_SECRET)
			event_emit(i->daemon, 35, "initiator/chap_secret: %s", (*err)->message);
		return FALSE;
	}
	text_wipe(secret, bytes);
	g_free(secret);
	return TRUE;
}

gboolean initiator_set_chap_secret(struct initiator *i, const char *secret, GError **err)
{
	bool is_none = !strcmp(secret, "*");

	if (!is_none && !check_chap_secret(i, secret, err))
		return FALSE;
	text_free_secret(i->chap_secret);
	i->chap_secret = is_none ? NULL : g_strdup(secret);
	save(i);
	return TRUE;
}

/* ---- at start ---- */

/* What was kept: *ret_text is NULL when there is nothing of that name. */
static gboolean get_setting(const config_t *cfg, const char *key, const char **ret_text,
			    GError **err)
{
	const config_setting_t *setting = config_lookup(cfg, key);

	*ret_text = setting ? config_setting_get_string(setting) : NULL;
	if (!setting || *ret_text)
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER, "%s is no text", key);
	return FALSE;
}

/* All of it, or nothing. */
static gboolean take(struct initiator *i, const config_t *cfg, GError **err)
{
	g_autofree char *name_before = g_strdup(i->name);
	bool was_fixed = i->is_name_fixed;
	const char *name, *alias, *sealed;

	if (!get_setting(cfg, "name", &name, err) || !get_setting(cfg, "alias", &alias, err) ||
	    !get_setting(cfg, "chap_secret", &sealed, err) ||
	    (name && !set_name(i, name, err)))
		return FALSE;
	if (alias && !set_alias(i, alias, err)) {
		take_name(i, g_steal_pointer(&name_before), was_fixed);
		return FALSE;
	}
	i->is_name_kept = name != NULL;
	i->is_alias_kept = alias != NULL;
	if (sealed)
		i->chap_secret = secret_load(i->daemon, SECRET_PLACE, sealed);
	return TRUE;
}

static void load(struct initiator *i)
{
	g_autoptr(GError) err = NULL;
	config_t cfg;

	config_init(&cfg);
	if (statefile_read(i->daemon, STATE_FILE, &cfg) == 0 && !take(i, &cfg, &err))
		statefile_set_aside(i->daemon, STATE_FILE, err->message);
	config_destroy(&cfg);
}

static void initiator_free(struct object *o)
{
	struct initiator *i = container_of(o, struct initiator, obj);

	g_free(i->name);
	g_free(i->alias);
	text_free_secret(i->chap_secret);
	object_done(o);
	g_free(i);
}

struct initiator *initiator_new(struct daemon *d, GError **err)
{
	const struct conf *conf = &d->conf;
	struct initiator *i = g_new0(struct initiator, 1);

	object_init(&i->obj, d->loop, OBJECT_INITIATOR, initiator_free);
	i->daemon = d;
	if (!set_name(i, conf->initiator_name ? conf->initiator_name : "*", err) ||
	    (conf->initiator_alias && !set_alias(i, conf->initiator_alias, err))) {
		object_gone(&i->obj);
		return NULL;
	}
	load(i);
	return i;
}
