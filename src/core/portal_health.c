/* SPDX-License-Identifier: BSD-2-Clause */
/* Portals that failed lately, in a table by name; see the header. Names come from targets, too
 * (SendTargets, redirects): the table is bounded, and what has aged is dropped when it is full.
 */
#include "core/portal_health.h"

#include <glib.h>

struct mark {
	unsigned failures;
	int64_t last_us;
};

struct portal_health {
	struct loop *loop;
	GHashTable *marks; /* canonical name -> struct mark */
	struct list watches;
};

struct portal_health *portal_health_new(struct loop *l)
{
	struct portal_health *h = g_new0(struct portal_health, 1);

	h->loop = l;
	h->marks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	list_init(&h->watches);
	return h;
}

void portal_health_free(struct portal_health *h)
{
	if (!h)
		return;
	g_hash_table_unref(h->marks);
	g_free(h);
}

static bool is_fresh(const struct portal_health *h, const struct mark *m)
{
	return loop_now_us(h->loop) - m->last_us < PORTAL_HEALTH_MS * INT64_C(1000);
}

static gboolean is_aged(void *name, void *mark, void *h)
{
	(void)name;
	return !is_fresh(h, mark);
}

void portal_health_failed(struct portal_health *h, const char *portal)
{
	struct mark *m = g_hash_table_lookup(h->marks, portal);

	if (!m && g_hash_table_size(h->marks) >= PORTAL_HEALTH_MAX)
		g_hash_table_foreach_remove(h->marks, is_aged, h);
	if (!m && g_hash_table_size(h->marks) >= PORTAL_HEALTH_MAX)
		return;
	if (!m) {
		m = g_new0(struct mark, 1);
		g_hash_table_insert(h->marks, g_strdup(portal), m);
	}
	m->failures++;
	m->last_us = loop_now_us(h->loop);
}

void portal_health_ok(struct portal_health *h, const char *portal)
{
	g_hash_table_remove(h->marks, portal);
	list_for_each(pos, &h->watches) {
		struct portal_watch *w = list_entry(pos, struct portal_watch, link);

		w->answered(w, portal);
	}
}

bool portal_health_is_dead(const struct portal_health *h, const char *portal)
{
	const struct mark *m = g_hash_table_lookup(h->marks, portal);

	return m && is_fresh(h, m);
}

unsigned portal_health_failures(const struct portal_health *h, const char *portal,
				int64_t *ret_last_us)
{
	const struct mark *m = g_hash_table_lookup(h->marks, portal);

	*ret_last_us = m ? m->last_us : 0;
	return m ? m->failures : 0;
}

void portal_watch_init(struct portal_watch *w,
		       void (*answered)(struct portal_watch *w, const char *portal))
{
	list_init(&w->link);
	w->answered = answered;
}

void portal_watch_start(struct portal_health *h, struct portal_watch *w)
{
	if (!list_is_linked(&w->link))
		list_push_tail(&h->watches, &w->link);
}

void portal_watch_stop(struct portal_watch *w)
{
	list_remove(&w->link);
}
