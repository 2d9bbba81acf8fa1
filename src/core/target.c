/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets and their instances: found by name, known by mechanisms, gone when nothing holds
 * them. Logging in and out is in target_login.c and logout.c, sessions in nexus.c, units in
 * lun.c. */
#include "core/target.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

/* ---- instances ---- */

static void clear_portal(void *data)
{
	struct target_portal *p = data;

	g_free(p->host);
}

static void instance_free(struct object *o)
{
	struct instance *i = container_of(o, struct instance, obj);

	g_array_unref(i->portals);
	login_options_done(&i->options);
	g_free(i->mechanism);
	g_free(i->alias);
	object_done(o);
	g_free(i);
}

static struct instance *instance_new(struct target *t, const char *mechanism, unsigned priority)
{
	struct instance *i = g_new0(struct instance, 1);

	object_init(&i->obj, t->obj.loop, OBJECT_INSTANCE, instance_free);
	i->target = t;
	i->mechanism = g_strdup(mechanism);
	i->priority = priority;
	i->portals = g_array_new(FALSE, FALSE, sizeof(struct target_portal));
	g_array_set_clear_func(i->portals, clear_portal);
	return i;
}

static void instance_set_portals(struct instance *i, const struct target_portal *p,
				 unsigned count)
{
	g_array_set_size(i->portals, 0);
	for (unsigned k = 0; k < count; k++) {
		struct target_portal copy = p[k];

		copy.host = g_strdup(copy.host);
		g_array_append_val(i->portals, copy);
	}
}

void instance_set_alias(struct instance *i, const char *alias)
{
	char *copy = g_strdup(alias);

	g_free(i->alias);
	i->alias = copy;
}

/* By priority, then by name, so that the order does not depend on who came first. */
static int compare_instances(const void *a, const void *b)
{
	const struct instance *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return strcmp(x->mechanism, y->mechanism);
}

struct instance *target_find_instance(struct target *t, const char *mechanism)
{
	for (GList *l = t->instances; l; l = l->next) {
		struct instance *i = l->data;

		if (!strcmp(i->mechanism, mechanism))
			return i;
	}
	return NULL;
}

void target_set_instance(struct target *t, const char *mechanism, unsigned priority,
			 const struct target_portal *p, unsigned count,
			 const struct login_options *o)
{
	struct instance *i = target_find_instance(t, mechanism);

	if (!i) {
		i = instance_new(t, mechanism, priority);
		t->instances = g_list_insert_sorted(t->instances, i, compare_instances);
	}
	instance_set_portals(i, p, count);
	login_options_done(&i->options);
	memset(&i->options, 0, sizeof(i->options));
	if (o)
		login_options_copy(&i->options, o);
}

void target_drop_instance(struct target *t, const char *mechanism)
{
	struct instance *i = target_find_instance(t, mechanism);

	if (!i)
		return;
	t->instances = g_list_remove(t->instances, i);
	object_gone(&i->obj);
	target_maybe_gone(t);
}

bool target_is_hidden(const struct target *t)
{
	bool has_hidden = false;

	if (t->nexuses || t->logging_in)
		return false;
	for (GList *l = t->instances; l; l = l->next) {
		const struct instance *i = l->data;

		has_hidden |= i->is_hidden;
		/* A saved login discovers nothing. */
		if (!i->is_hidden && i->priority != INSTANCE_PERSISTENT)
			return false;
	}
	return has_hidden;
}

unsigned target_count_shown(const struct daemon *d)
{
	unsigned n = 0;

	for (GList *l = d->targets; l; l = l->next)
		n += !target_is_hidden(l->data);
	return n;
}

/* ---- targets ---- */

static void target_free(struct object *o)
{
	struct target *t = container_of(o, struct target, obj);

	g_free(t->name);
	object_done(o);
	g_free(t);
}

static int compare_targets(const void *a, const void *b, void *arg)
{
	const struct target *x = a, *y = b;

	(void)arg;
	return strcmp(x->name, y->name);
}

/* A discovery may bring 16,000 at once: the sequence finds the place in O(log n), the list is
 * for who walks it. */
static void targets_add(struct daemon *d, struct target *t)
{
	GSequenceIter *next;

	t->place = g_sequence_insert_sorted(d->targets_sorted, t, compare_targets, NULL);
	next = g_sequence_iter_next(t->place);
	if (!g_sequence_iter_is_end(next)) {
		struct target *after = g_sequence_get(next);

		d->targets = g_list_insert_before(d->targets, after->link, t);
		t->link = after->link->prev;
	} else if (g_sequence_iter_is_begin(t->place)) {
		t->link = d->targets = g_list_append(NULL, t);
	} else {
		struct target *before = g_sequence_get(g_sequence_iter_prev(t->place));

		before->link = g_list_append(before->link, t); /* the last: nothing to walk */
		t->link = before->link->next;
	}
}

static void targets_remove(struct daemon *d, struct target *t)
{
	d->targets = g_list_delete_link(d->targets, t->link);
	t->link = NULL;
	g_sequence_remove(t->place);
}

static struct target *target_new(struct daemon *d, const char *name)
{
	struct target *t = g_new0(struct target, 1);

	object_init(&t->obj, d->loop, OBJECT_TARGET, target_free);
	t->daemon = d;
	t->name = g_strdup(name);
	targets_add(d, t);
	g_hash_table_insert(d->targets_by_name, t->name, t);
	return t;
}

struct target *target_find(struct daemon *d, const char *name)
{
	return g_hash_table_lookup(d->targets_by_name, name);
}

struct target *target_get(struct daemon *d, const char *name)
{
	struct target *t = target_find(d, name);

	return t ? t : target_new(d, name);
}

/* Units without a path are those of a session that is being replaced; without any session they
 * are nobody's. */
void target_maybe_gone(struct target *t)
{
	struct daemon *d = t->daemon;

	if (t->obj.is_gone || t->instances || t->nexuses || t->logging_in)
		return;
	while (t->luns)
		lun_gone(t->luns->data, ENODEV);
	targets_remove(d, t);
	g_hash_table_remove(d->targets_by_name, t->name);
	object_gone(&t->obj);
}

void target_drop(struct target *t)
{
	object_ref(&t->obj);
	while (t->nexuses)
		nexus_remove(t->nexuses->data);
	while (t->instances) {
		struct instance *i = t->instances->data;

		target_drop_instance(t, i->mechanism);
	}
	target_maybe_gone(t);
	object_unref(&t->obj);
}

static bool has_nexus(const struct target *t, bool (*is)(const struct nexus *n))
{
	for (GList *l = t->nexuses; l; l = l->next)
		if (is(l->data))
			return true;
	return false;
}

static bool is_scanned(const struct nexus *n)
{
	return n->session->state == SESSION_LOGGED_IN && n->is_scanned;
}

const char *target_state_name(const struct target *t)
{
	if (t->logging_in)
		return "logging-in";
	if (has_nexus(t, is_scanned))
		return "logged-in";
	return t->nexuses ? "failed" : "discovered";
}

const char *target_alias(const struct target *t)
{
	for (GList *l = t->nexuses; l; l = l->next) {
		const struct nexus *n = l->data;

		if (n->session->values.target_alias[0])
			return n->session->values.target_alias;
	}
	for (GList *l = t->instances; l; l = l->next) {
		const struct instance *i = l->data;

		if (i->alias)
			return i->alias;
	}
	return "";
}
