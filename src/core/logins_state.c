/* SPDX-License-Identifier: BSD-2-Clause */
/* logins.conf: a group for each persistent login. Options are written by options_state.h, which
 * seals the secrets for the place that they are kept in. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/logins_parts.h"
#include "core/options_state.h"
#include "core/statefile.h"
#include "core/target.h"

#define STATE_FILE "logins.conf"

/* The places of secrets: a secret does not open at another one. */
static char *context_of(const char *name, const char *part)
{
	return g_strdup_printf("logins/%s/%s", name, part);
}

/* ---- saving ---- */

static void save_options(config_setting_t *to, const struct saved_login *x, const char *part,
			 const struct login_options *o)
{
	g_autofree char *context = context_of(x->name, part);

	login_options_save(o, x->daemon, context,
			   config_setting_add(to, part, CONFIG_TYPE_GROUP));
}

static void save_login(config_setting_t *list, const struct saved_login *x)
{
	config_setting_t *to = config_setting_add(list, NULL, CONFIG_TYPE_GROUP), *portals;

	config_setting_set_string(config_setting_add(to, "target", CONFIG_TYPE_STRING),
				  x->target);
	portals = config_setting_add(to, "portals", CONFIG_TYPE_ARRAY);
	for (guint i = 0; i < x->portals->len; i++)
		config_setting_set_string_elem(portals, -1, x->portals->pdata[i]);
	save_options(to, x, "options", &x->options);
	save_options(to, x, "known", &x->known);
}

void logins_save(struct logins *l, void (*done)(void *arg, const GError *err), void *arg)
{
	config_setting_t *list;
	config_t cfg;

	config_init(&cfg);
	list = config_setting_add(config_root_setting(&cfg), "logins", CONFIG_TYPE_LIST);
	for (GList *k = l->all; k; k = k->next)
		if (!((struct saved_login *)k->data)->is_leaving)
			save_login(list, k->data);
	statefile_save(l->daemon, STATE_FILE, &cfg, done, arg);
	config_destroy(&cfg);
}

/* ---- loading ---- */

static gboolean load_portals(struct saved_login *x, const config_setting_t *from, GError **err)
{
	const config_setting_t *list = config_setting_get_member(from, "portals");
	int count = list ? config_setting_length(list) : 0;

	if ((list && !config_setting_is_array(list)) || count > LOGIN_PORTALS_MAX) {
		error_set(err, ISDSC_INVALID_PARAMETER, "portals are no list of at most %d",
			  LOGIN_PORTALS_MAX);
		return FALSE;
	}
	for (int i = 0; i < count; i++) {
		const char *text = config_setting_get_string_elem(list, i);
		g_autofree char *host = NULL;
		uint16_t port;
		int tpgt;

		if (!text || text_parse_portal(text, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) < 0) {
			error_set(err, ISDSC_INVALID_PARAMETER, "a portal is no ADDR:PORT");
			return FALSE;
		}
		g_ptr_array_add(x->portals, g_strdup(text));
	}
	return TRUE;
}

static gboolean load_options(struct login_options *o, struct daemon *d, const char *name,
			     const char *part, const config_setting_t *from, GError **err)
{
	const config_setting_t *group = config_setting_get_member(from, part);
	g_autofree char *context = context_of(name, part);

	if (group && config_setting_is_group(group))
		return login_options_load(o, d, context, group, err);
	error_set(err, ISDSC_INVALID_PARAMETER, "its %s are missing", part);
	return FALSE;
}

static const char *text_of(const config_setting_t *group, const char *key)
{
	const config_setting_t *s = group ? config_setting_get_member(group, key) : NULL;

	return s ? config_setting_get_string(s) : NULL;
}

/* Of an entry in the file, without its options, whose secrets open only by this name. */
static char *name_of(const char *target, const config_setting_t *from)
{
	const config_setting_t *options = config_setting_get_member(from, "options");
	const char *address = text_of(options, "portal");
	g_autofree char *host = NULL, *portal = NULL;
	uint16_t port;
	int tpgt;

	if (address && text_parse_portal(address, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) == 0)
		portal = text_format_portal(host, port);
	return saved_login_name(target, portal, text_of(options, "source"),
				text_of(options, "instance"));
}

/* NULL and @err. */
static struct saved_login *load_login(struct logins *l, const config_setting_t *from,
				      GError **err)
{
	const char *said = text_of(from, "target");
	g_autofree char *target = said ? text_iscsi_name(said, err) : NULL;
	g_autofree char *name = target ? name_of(target, from) : NULL;
	struct login_options options, known;
	struct saved_login *x;

	if (!target) {
		if (!said)
			error_set(err, ISDSC_INVALID_PARAMETER, "it has no target");
		return NULL;
	}
	if (!load_options(&options, l->daemon, name, "options", from, err))
		return NULL;
	if (!load_options(&known, l->daemon, name, "known", from, err)) {
		login_options_done(&options);
		return NULL;
	}
	x = saved_login_new(l->daemon, target, &options);
	login_options_done(&options);
	x->known = known;
	if (logins_find(l, x->name))
		error_set(err, ISDSC_INVALID_PARAMETER, "%s is there twice", x->name);
	else if (load_portals(x, from, err))
		return x;
	loop_timer_done(&x->timer);
	object_gone(&x->obj);
	return NULL;
}

static gboolean load_list(struct logins *l, const config_setting_t *list, GError **err)
{
	int count = list ? config_setting_length(list) : 0;

	if ((list && !config_setting_is_list(list)) || count > LOGINS_MAX) {
		error_set(err, ISDSC_INVALID_PARAMETER, "logins are no list of at most %d",
			  LOGINS_MAX);
		return FALSE;
	}
	for (int i = 0; i < count; i++) {
		const config_setting_t *from = config_setting_get_elem(list, (unsigned)i);
		struct saved_login *x = load_login(l, from, err);

		if (!x) {
			g_prefix_error(err, "login %d: ", i + 1);
			return FALSE;
		}
		logins_insert(l, x);
	}
	return TRUE;
}

void logins_load(struct logins *l)
{
	g_autoptr(GError) err = NULL;
	config_t cfg;

	config_init(&cfg);
	if (statefile_read(l->daemon, STATE_FILE, &cfg) == 0 &&
	    !load_list(l, config_lookup(&cfg, "logins"), &err)) {
		logins_drop_all(l);
		statefile_set_aside(l->daemon, STATE_FILE, err->message);
	}
	config_destroy(&cfg);
}
