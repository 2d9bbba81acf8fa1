/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of discovery: the file discovery.conf of the state directory.
 *
 *   version = 1;
 *   portals = ( { address = "10.0.0.5:3260"; options = { ... }; }, ... );
 *   isns = ( { address = "10.0.0.6:3205"; options = { ... }; }, ... );
 *   targets = ( { name = "iqn..."; alias = "..."; hidden = true;
 *                 portals = [ "10.0.0.5:3260,1" ]; options = { ... }; }, ... );
 *
 * Written whole after each change; changes that come while it is being written share the next
 * one. Read as a whole, too: of a damaged file nothing stays. Secrets among the options are sealed
 * for their place, "portals/ADDR:PORT" or "targets/IQN". */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/discovery.h"
#include "core/event.h"
#include "core/isns.h"
#include "core/isns_servers.h"
#include "core/options_state.h"
#include "core/statefile.h"

#define STATE_FILE "discovery.conf"

/* ---- writing ---- */

static void put_string(config_setting_t *group, const char *key, const char *value)
{
	config_setting_set_string(config_setting_add(group, key, CONFIG_TYPE_STRING), value);
}

static void put_options(config_setting_t *group, struct daemon *d, const char *kind,
			const char *name, const struct login_options *o)
{
	g_autofree char *context = g_strdup_printf("%s/%s", kind, name);

	login_options_save(o, d, context,
			   config_setting_add(group, "options", CONFIG_TYPE_GROUP));
}

static void save_portals(struct discovery *d, config_setting_t *list)
{
	for (GList *l = d->portals; l; l = l->next) {
		const struct portal *p = l->data;
		config_setting_t *group;

		if (!p->is_kept)
			continue;
		group = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);
		put_string(group, "address", p->name);
		put_options(group, d->daemon, "portals", p->name, &p->options);
	}
}

static void put_addresses(config_setting_t *group, const struct instance *i)
{
	config_setting_t *array = config_setting_add(group, "portals", CONFIG_TYPE_ARRAY);

	for (unsigned k = 0; k < i->portals->len; k++) {
		const struct target_portal *p =
			&g_array_index(i->portals, struct target_portal, k);
		g_autofree char *address = text_format_portal(p->host, p->port);
		g_autofree char *tagged = g_strdup_printf("%s,%d", address, p->tpgt);

		config_setting_set_string_elem(array, -1, p->tpgt < 0 ? address : tagged);
	}
}

static void save_targets(struct discovery *d, config_setting_t *list)
{
	for (GList *l = d->daemon->targets; l; l = l->next) {
		struct target *t = l->data;
		const struct instance *i = target_find_instance(t, INSTANCE_STATIC_NAME);
		config_setting_t *group;

		if (!i || !i->is_kept)
			continue;
		group = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);
		put_string(group, "name", t->name);
		if (i->alias)
			put_string(group, "alias", i->alias);
		if (i->is_hidden)
			config_setting_set_bool(
				config_setting_add(group, "hidden", CONFIG_TYPE_BOOL), true);
		put_addresses(group, i);
		put_options(group, d->daemon, "targets", t->name, &i->options);
	}
}

static void save_isns(struct discovery *d, config_setting_t *list)
{
	for (GList *l = d->isns_servers; l; l = l->next) {
		const struct isns_server *s = l->data;
		config_setting_t *group;

		if (!s->is_kept)
			continue;
		group = config_setting_add(list, NULL, CONFIG_TYPE_GROUP);
		put_string(group, "address", s->name);
		put_options(group, d->daemon, "isns", s->name, &s->options);
	}
}

static gboolean load_portal(struct discovery *d, const config_setting_t *group, GError **err);
static gboolean load_isns(struct discovery *d, const config_setting_t *group, GError **err);
static gboolean load_target(struct discovery *d, const config_setting_t *group, GError **err);
static void unload_portals(struct discovery *d);
static void unload_isns(struct discovery *d);
static void unload_targets(struct discovery *d);

/* A list of groups each. load() makes one thing of a group; unload() takes away all that was made
 * so. */
static const struct {
	const char *name;
	void (*save)(struct discovery *d, config_setting_t *list);
	gboolean (*load)(struct discovery *d, const config_setting_t *group, GError **err);
	void (*unload)(struct discovery *d);
} lists[] = {
	{ "portals", save_portals, load_portal, unload_portals },
	{ "isns", save_isns, load_isns, unload_isns },
	{ "targets", save_targets, load_target, unload_targets },
};

static void save_begin(struct discovery *d);

static void on_saved(void *arg, const GError *err)
{
	struct discovery *d = arg;
	GList *saved = g_steal_pointer(&d->saving);

	d->is_saving = false;
	for (GList *l = saved; l; l = l->next) {
		operation_finish(l->data, err ? g_error_copy(err) : NULL);
		operation_unref(l->data);
	}
	g_list_free(saved);
	if (d->to_save && !d->is_saving) /* who was told may have begun it */
		save_begin(d);
	object_unref(&d->obj);
}

static void save_begin(struct discovery *d)
{
	config_t cfg;

	d->is_saving = true;
	d->saving = g_steal_pointer(&d->to_save);
	object_ref(&d->obj);
	config_init(&cfg);
	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
		lists[i].save(d, config_setting_add(config_root_setting(&cfg), lists[i].name,
						    CONFIG_TYPE_LIST));
	statefile_save(d->daemon, STATE_FILE, &cfg, on_saved, d);
	config_destroy(&cfg);
}

void discovery_save(struct discovery *d, struct operation *op)
{
	d->to_save = g_list_append(d->to_save, op ? operation_ref(op)
						  : operation_new(d->obj.loop, NULL, NULL));
	if (!d->is_saving)
		save_begin(d);
}

/* ---- reading ---- */

static gboolean refuse(GError **err, const char *what, const char *why)
{
	error_set(err, ISDSC_INVALID_PARAMETER, "%s: %s", what, why);
	return FALSE;
}

/* Only members of these names may be there. */
static gboolean check_members(const config_setting_t *group, const char *const *known,
			      GError **err)
{
	if (!config_setting_is_group(group))
		return refuse(err, "an entry", "not in braces");
	for (int i = 0; i < config_setting_length(group); i++) {
		const char *name =
			config_setting_name(config_setting_get_elem(group, (unsigned)i));

		if (!g_strv_contains(known, name))
			return refuse(err, name, "not known");
	}
	return TRUE;
}

/* NULL and @err when it is there and no text, or not there and needed. */
static const char *get_text(const config_setting_t *group, const char *key, GError **err)
{
	const config_setting_t *s = config_setting_get_member(group, key);
	const char *text = s ? config_setting_get_string(s) : NULL;

	if (!text)
		refuse(err, key, s ? "no text" : "missing");
	return text;
}

static gboolean get_options(struct discovery *d, const config_setting_t *group, const char *kind,
			    const char *name, struct login_options *ret,
			    GError **err)
{
	const config_setting_t *s = config_setting_get_member(group, "options");
	g_autofree char *context = g_strdup_printf("%s/%s", kind, name);

	memset(ret, 0, sizeof(*ret));
	if (!s)
		return TRUE;
	if (!config_setting_is_group(s))
		return refuse(err, "options", "not in braces");
	return login_options_load(ret, d->daemon, context, s, err);
}

static gboolean load_portal(struct discovery *d, const config_setting_t *group, GError **err)
{
	static const char *const known[] = { "address", "options", NULL };
	g_autofree char *host = NULL, *name = NULL;
	struct login_options options;
	const char *address;
	struct portal *p;
	uint16_t port;

	if (!check_members(group, known, err))
		return FALSE;
	address = get_text(group, "address", err);
	if (!address || !portal_parse(address, &host, &port, &name, err))
		return FALSE;
	if (discovery_find(d, name))
		return refuse(err, name, "there twice");
	if (!get_options(d, group, "portals", name, &options, err))
		return FALSE;
	p = portal_new(d, host, port, &options);
	p->is_kept = true;
	loop_timer_start(&p->retry, 0);
	return TRUE;
}

static void unload_portals(struct discovery *d)
{
	while (d->portals)
		portal_remove(d->portals->data);
}

static gboolean load_isns(struct discovery *d, const config_setting_t *group, GError **err)
{
	static const char *const known[] = { "address", "options", NULL };
	g_autofree char *host = NULL, *name = NULL;
	struct login_options options;
	const char *address;
	uint16_t port;

	if (!check_members(group, known, err))
		return FALSE;
	address = get_text(group, "address", err);
	if (!address || !isns_servers_parse(address, &host, &port, &name, err))
		return FALSE;
	if (isns_servers_find(d, name))
		return refuse(err, name, "there twice");
	if (!get_options(d, group, "isns", name, &options, err))
		return FALSE;
	isns_servers_load(d, host, port, &options)->is_kept = true;
	return TRUE;
}

static void unload_isns(struct discovery *d)
{
	while (d->isns_servers)
		isns_servers_take_away(d->isns_servers->data, NULL);
}

static void clear_portal(void *p)
{
	g_free(((struct target_portal *)p)->host);
}

static gboolean get_addresses(const config_setting_t *group, GArray *portals, GError **err)
{
	const config_setting_t *array = config_setting_get_member(group, "portals");
	int count = array ? config_setting_length(array) : 0;

	if (!array || !config_setting_is_array(array) || count > SENDTARGETS_PORTALS_MAX)
		return refuse(err, "portals", "no list of addresses");
	for (int i = 0; i < count; i++) {
		const char *text = config_setting_get_string_elem(array, i);
		struct target_portal p = { 0 };

		if (!text || text_parse_portal(text, ISCSI_DEFAULT_PORT, &p.host, &p.port,
					       &p.tpgt) < 0)
			return refuse(err, "portals", "no ADDR[:PORT][,TPGT]");
		g_array_append_val(portals, p);
	}
	return TRUE;
}

/* Not there: no. */
static gboolean get_bool(const config_setting_t *group, const char *key, bool *ret, GError **err)
{
	const config_setting_t *s = config_setting_get_member(group, key);

	if (s && config_setting_type(s) != CONFIG_TYPE_BOOL)
		return refuse(err, key, "neither true nor false");
	*ret = s && config_setting_get_bool(s);
	return TRUE;
}

static void make_static(struct discovery *d, const char *name, const char *alias, bool is_hidden,
			const GArray *portals, const struct login_options *options)
{
	struct target *t = target_get(d->daemon, name);
	struct instance *i;

	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC,
			    (const struct target_portal *)(void *)portals->data, portals->len,
			    options);
	i = target_find_instance(t, INSTANCE_STATIC_NAME);
	instance_set_alias(i, alias);
	i->is_hidden = is_hidden;
	i->is_kept = true;
}

static void unload_targets(struct discovery *d)
{
	for (GList *l = d->daemon->targets, *next; l; l = next) {
		const struct instance *i = target_find_instance(l->data, INSTANCE_STATIC_NAME);

		next = l->next;
		if (i && i->is_kept)
			target_drop_instance(l->data, INSTANCE_STATIC_NAME);
	}
}

static bool has_static(struct discovery *d, const char *name)
{
	struct target *t = target_find(d->daemon, name);

	return t && target_find_instance(t, INSTANCE_STATIC_NAME);
}

static gboolean load_target(struct discovery *d, const config_setting_t *group, GError **err)
{
	static const char *const known[] = { "name",    "alias",   "hidden",
					     "portals", "options", NULL };
	g_autoptr(GArray) portals = g_array_new(FALSE, FALSE, sizeof(struct target_portal));
	g_autofree char *name = NULL;
	const char *text, *alias = NULL;
	struct login_options options;
	bool is_hidden = false;

	g_array_set_clear_func(portals, clear_portal);
	if (!check_members(group, known, err))
		return FALSE;
	text = get_text(group, "name", err);
	name = text ? text_iscsi_name(text, err) : NULL;
	if (!name || !get_addresses(group, portals, err))
		return FALSE;
	if (has_static(d, name))
		return refuse(err, name, "there twice");
	if (config_setting_get_member(group, "alias")) {
		alias = get_text(group, "alias", err);
		if (!alias)
			return FALSE;
	}
	if (!get_bool(group, "hidden", &is_hidden, err) ||
	    !get_options(d, group, "targets", name, &options, err))
		return FALSE;
	make_static(d, name, alias, is_hidden, portals, &options);
	login_options_done(&options);
	return TRUE;
}

static gboolean load_list(struct discovery *d, const config_setting_t *list, size_t row,
			  GError **err)
{
	int count = config_setting_length(list);

	if (!config_setting_is_list(list))
		return refuse(err, lists[row].name, "no list");
	for (int i = 0; i < count; i++)
		if (!lists[row].load(d, config_setting_get_elem(list, (unsigned)i), err)) {
			g_prefix_error(err, "%s, entry %d: ", lists[row].name, i + 1);
			return FALSE;
		}
	return TRUE;
}

static gboolean load_all(struct discovery *d, const config_t *cfg, GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
		const config_setting_t *list = config_lookup(cfg, lists[i].name);

		if (list && !load_list(d, list, i, err))
			return FALSE;
	}
	return TRUE;
}

void discovery_load(struct discovery *d)
{
	g_autoptr(GError) err = NULL;
	config_t cfg;
	int r;

	config_init(&cfg);
	r = statefile_read(d->daemon, STATE_FILE, &cfg);
	if (r == 0 && !load_all(d, &cfg, &err)) {
		for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
			lists[i].unload(d);
		statefile_set_aside(d->daemon, STATE_FILE, err->message);
		r = -EINVAL;
	}
	if (r == -EINVAL)
		event_emit(d->daemon, EVENT_STATIC_FAILED,
			   "portals and targets entered by hand were not brought back: %s is "
			   "damaged", STATE_FILE);
	config_destroy(&cfg);
}
