/* SPDX-License-Identifier: BSD-2-Clause */
/* Instances after a refresh: found.h says what becomes of them. Called by portal.c, isns.c and firmware.c
 * with what they were told; linear in the number of targets, of which there may be 16,000. */
#include "core/found.h"

#include "core/event.h"

static bool is_shown(const struct target *t)
{
	return t && !t->obj.is_gone && !target_is_hidden(t);
}

void found_begin(struct found *f, struct daemon *d, const char *mechanism, unsigned priority,
		 const char *who)
{
	*f = (struct found){ .daemon = d,
			     .mechanism = mechanism,
			     .who = who,
			     .priority = priority,
			     .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
							    NULL),
			     .appeared = g_ptr_array_new() };
}

struct instance *found_add(struct found *f, const char *name, const struct target_portal *p,
			   unsigned count, const struct login_options *o)
{
	bool was_shown = is_shown(target_find(f->daemon, name));
	struct target *t = target_get(f->daemon, name);

	target_set_instance(t, f->mechanism, f->priority, p, count, o);
	if (!g_hash_table_contains(f->names, name)) {
		char *copy = g_strdup(name);

		g_hash_table_add(f->names, copy);
		if (!was_shown && is_shown(t))
			g_ptr_array_add(f->appeared, copy);
	}
	return target_find_instance(t, f->mechanism);
}

static void tell(const struct found *f, unsigned id, const GPtrArray *names, const char *did)
{
	if (names->len > FOUND_EVENTS_MAX) {
		event_emit(f->daemon, id, "%s: %u targets %s, one of them %s", f->who, names->len,
			   did, (const char *)names->pdata[0]);
		return;
	}
	for (unsigned i = 0; i < names->len; i++)
		event_emit(f->daemon, id, "%s: %s, says %s", (const char *)names->pdata[i], did,
			   f->who);
}

/* Of a target that is shown; does it go, or hide? */
static bool drop(struct target *t, const char *mechanism)
{
	bool is_lost;

	object_ref(&t->obj);
	target_drop_instance(t, mechanism);
	is_lost = !is_shown(t);
	object_unref(&t->obj);
	return is_lost;
}

void found_end(struct found *f)
{
	g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);

	for (GList *l = f->daemon->targets, *next; l; l = next) {
		struct target *t = l->data;
		bool was_shown = is_shown(t);
		g_autofree char *name = NULL;

		next = l->next;
		if (!target_find_instance(t, f->mechanism) ||
		    g_hash_table_contains(f->names, t->name))
			continue;
		name = g_strdup(t->name);
		if (drop(t, f->mechanism) && was_shown)
			g_ptr_array_add(lost, g_steal_pointer(&name));
	}
	tell(f, EVENT_TARGET_VANISHED, lost, "gone");
	tell(f, EVENT_TARGET_FOUND, f->appeared, "found");
	g_ptr_array_unref(f->appeared);
	g_hash_table_unref(f->names);
}
