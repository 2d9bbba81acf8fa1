/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets entered by hand: each is the instance "static" of its target, found or not by other
 * mechanisms besides. Users' guide: Manually Configured Targets, Target Flag Values.
 *
 *   hidden   the target is not in the tree, and cannot be logged in to, until another mechanism
 *            tells of it (target_is_hidden()); its options count from then on
 *   merge    what is given is added to the static target there is: portals are added, alias and
 *            options replaced one by one, authentication as a unit (B6)
 *
 * One of which no portal is given only lends its options to what others find. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/discovery.h"

/* ---- what was asked for ---- */

struct wanted {
	char *name;
	struct target_portal portal; /* host NULL: none was given */
	char *alias;		     /* NULL: none */
	bool is_hidden, has_hidden;
	bool is_merge, is_kept;
	struct login_options options;
};

static void wanted_done(struct wanted *w)
{
	g_free(w->name);
	g_free(w->portal.host);
	g_free(w->alias);
	login_options_done(&w->options);
}

static gboolean take_portal(struct wanted *w, const char *address, GError **err)
{
	if (!address && !w->is_hidden && !w->is_merge) {
		error_set(err, ISDSC_MISSING_PARAMETER,
			  "add-target %s: portal= is missing; only with hidden=yes or merge=yes it "
			  "need not be there",
			  w->name);
		return FALSE;
	}
	if (!address || text_parse_portal(address, ISCSI_DEFAULT_PORT, &w->portal.host,
					  &w->portal.port, &w->portal.tpgt) == 0)
		return TRUE;
	error_set(err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT][,TPGT]", address);
	return FALSE;
}

static gboolean wanted_take(struct wanted *w, struct discovery *d, const struct command *cmd,
			    GError **err)
{
	w->name = text_iscsi_name(cmd->args[0], err);
	if (!w->name)
		return FALSE;
	w->alias = g_strdup(command_key(cmd, "alias"));
	w->has_hidden = command_key(cmd, "hidden") != NULL;
	w->is_hidden = command_bool(cmd, "hidden", false);
	w->is_merge = command_bool(cmd, "merge", false);
	return take_portal(w, command_key(cmd, "portal"), err) &&
	       discovery_take_options(d, cmd, &w->options, &w->is_kept, err);
}

/* ---- a new one ---- */

static void drop_instance(struct object *obj)
{
	struct instance *i = container_of(obj, struct instance, obj);

	target_drop_instance(i->target, i->mechanism);
}

static void add_new(struct discovery *d, const struct wanted *w, struct operation *op)
{
	struct target *t = target_get(d->daemon, w->name);
	struct instance *i;

	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, &w->portal,
			    w->portal.host ? 1 : 0, &w->options);
	i = target_find_instance(t, INSTANCE_STATIC_NAME);
	instance_set_alias(i, w->alias);
	i->is_hidden = w->is_hidden;
	if (w->is_kept)
		discovery_keep(d, &i->obj, &i->is_kept, drop_instance, op);
	else
		operation_finish(op, NULL);
}

/* ---- merging ---- */

/* What it was: comes back when the change cannot be saved. */
struct before {
	struct instance *instance;
	struct before *next; /* of the merge that came after it, while both are being saved */
	GArray *portals;
	char *alias;
	bool is_hidden;
	struct login_options options;
	struct wanted wanted; /* what was merged */
	struct operation *op;
};

static const struct target_portal *portals_of(const GArray *a)
{
	return (const struct target_portal *)(void *)a->data;
}

static void clear_portal(void *p)
{
	g_free(((struct target_portal *)p)->host);
}

static GArray *copy_portals(const GArray *from)
{
	GArray *to = g_array_new(FALSE, FALSE, sizeof(struct target_portal));

	g_array_set_clear_func(to, clear_portal);
	for (unsigned k = 0; k < from->len; k++) {
		struct target_portal p = portals_of(from)[k];

		p.host = g_strdup(p.host);
		g_array_append_val(to, p);
	}
	return to;
}

static bool has_portal(const GArray *portals, const struct target_portal *p)
{
	for (unsigned k = 0; k < portals->len; k++)
		if (portals_of(portals)[k].port == p->port &&
		    !strcmp(portals_of(portals)[k].host, p->host))
			return true;
	return false;
}

static void set_instance(struct instance *i, const GArray *portals,
			 const struct login_options *options)
{
	target_set_instance(i->target, i->mechanism, i->priority, portals_of(portals),
			    portals->len, options);
}

static void merge(struct instance *i, const struct wanted *w)
{
	g_autoptr(GArray) portals = copy_portals(i->portals);
	struct login_options options;

	if (w->portal.host && !has_portal(portals, &w->portal)) {
		struct target_portal p = w->portal;

		p.host = g_strdup(p.host);
		g_array_append_val(portals, p);
	}
	login_options_copy(&options, &w->options);
	login_options_merge(&options, &i->options);
	set_instance(i, portals, &options);
	login_options_done(&options);
	if (w->alias)
		instance_set_alias(i, w->alias);
	if (w->has_hidden)
		i->is_hidden = w->is_hidden;
}

static void forget(struct before *b)
{
	if (b->portals)
		g_array_unref(b->portals);
	g_free(b->alias);
	login_options_done(&b->options);
}

static void remember(struct before *b)
{
	const struct instance *i = b->instance;

	forget(b);
	b->portals = copy_portals(i->portals);
	b->alias = g_strdup(i->alias);
	b->is_hidden = i->is_hidden;
	login_options_copy(&b->options, &i->options);
}

static void put_back(struct before *b)
{
	struct instance *i = b->instance;

	set_instance(i, b->portals, &b->options);
	instance_set_alias(i, b->alias);
	i->is_hidden = b->is_hidden;
}

/* Saves end in the order in which they began, so @b is the first of those of its instance. When it
 * failed, the next one's, which holds it, is made again from before it. */
static void on_merge_saved(struct operation *save, void *arg)
{
	struct before *b = arg;
	struct instance *i = b->instance;
	struct before **place = &i->merging;

	while (*place != b)
		place = &(*place)->next;
	*place = b->next;
	if (save->error && !i->obj.is_gone) {
		put_back(b);
		for (struct before *x = b->next; x; x = x->next) {
			remember(x);
			merge(i, &x->wanted);
		}
		/* A file that another change had written meanwhile may tell otherwise. */
		discovery_save(i->target->daemon->discovery, NULL);
	}
	operation_finish(b->op, save->error ? g_error_copy(save->error) : NULL);
	operation_unref(b->op);
	operation_unref(save);
	object_unref(&i->obj);
	forget(b);
	wanted_done(&b->wanted);
	g_free(b);
}

/* Takes @w. */
static void merge_and_save(struct discovery *d, struct instance *i, struct wanted *w,
			   struct operation *op)
{
	struct before *b = g_new0(struct before, 1), **last = &i->merging;
	struct operation *save = operation_new(d->obj.loop, on_merge_saved, b);

	object_ref(&i->obj);
	b->instance = i;
	b->op = operation_ref(op);
	b->wanted = *w;
	*w = (struct wanted){ 0 };
	while (*last)
		last = &(*last)->next;
	*last = b;
	remember(b);
	merge(i, &b->wanted);
	operation_step(op, NULL, NULL);
	discovery_save(d, save);
}

/* It was there before it was to be kept: entered with persist=no, or by a login. */
static void stay(struct object *obj)
{
	(void)obj;
}

/* ---- the verbs ---- */

static struct instance *find(struct discovery *d, const char *name)
{
	struct target *t = target_find(d->daemon, name);

	return t ? target_find_instance(t, INSTANCE_STATIC_NAME) : NULL;
}

static gboolean may_merge(const struct instance *i, const struct wanted *w, GError **err)
{
	if (!w->is_merge)
		error_set(err, ISDSC_TARGET_ALREADY_EXISTS,
			  "target %s was entered already; merge=yes adds to it", w->name);
	else if (i->portals->len >= SENDTARGETS_PORTALS_MAX)
		error_set(err, ISDSC_OUT_OF_RESOURCES, "target %s has %d portals already",
			  w->name, SENDTARGETS_PORTALS_MAX);
	else
		return TRUE;
	return FALSE;
}

void discovery_add_target(struct discovery *d, const struct command *cmd, struct operation *op)
{
	struct wanted w = { 0 };
	struct instance *i = NULL;
	GError *err = NULL;

	if (wanted_take(&w, d, cmd, &err))
		i = find(d, w.name);
	if (err || (i && !may_merge(i, &w, &err)))
		operation_finish(op, err);
	else if (!i)
		add_new(d, &w, op);
	else if (i->is_kept)
		merge_and_save(d, i, &w, op);
	else {
		merge(i, &w);
		if (w.is_kept)
			discovery_keep(d, &i->obj, &i->is_kept, stay, op);
		else
			operation_finish(op, NULL);
	}
	wanted_done(&w);
}

void discovery_remove_target(struct discovery *d, const struct command *cmd,
			     struct operation *op)
{
	GError *err = NULL;
	g_autofree char *name = text_iscsi_name(cmd->args[0], &err);
	struct instance *i = name ? find(d, name) : NULL;

	if (i) {
		discovery_forget_instance(i, op);
		return;
	}
	if (name)
		error_set_errno(&err, ISDSC_TARGET_NOT_FOUND, ENOENT,
				"no target %s was added by hand", name);
	operation_finish(op, err);
}

static void drop_target(struct object *obj)
{
	struct target *t = container_of(obj, struct instance, obj)->target;

	if (t->nexuses || t->logging_in) /* a login began meanwhile */
		drop_instance(obj);
	else
		target_drop(t);
}

void discovery_forget_instance(struct instance *i, struct operation *op)
{
	discovery_forget(i->target->daemon->discovery, &i->obj, &i->is_kept, drop_instance, op);
}

void discovery_forget_target(struct target *t, struct operation *op)
{
	struct instance *i = target_find_instance(t, INSTANCE_STATIC_NAME);

	if (i) {
		discovery_forget(t->daemon->discovery, &i->obj, &i->is_kept, drop_target, op);
		return;
	}
	target_drop(t);
	operation_finish(op, NULL);
}
