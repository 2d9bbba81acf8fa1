/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a session or connection that was lost is looked for ("Portal Hopping" of the users'
 * guide): at its original portal first, then at the others that discovery gave for the target,
 * unless a person named the portal. Again and again the same list; dial.c puts those last that
 * failed lately. */
#include <string.h>

#include "base/text.h"
#include "core/hop.h"
#include "core/revive_parts.h"

static bool is_listed(const GArray *portals, const struct dial_portal *p)
{
	for (unsigned i = 0; i < portals->len; i++) {
		const struct dial_portal *other =
			&g_array_index(portals, struct dial_portal, i);

		if (other->port == p->port && !strcmp(other->host, p->host) &&
		    !g_strcmp0(other->source, p->source))
			return true;
	}
	return false;
}

static void add_portal(struct attempt *a, GArray *portals, struct wanted *w, const char *host,
		       uint16_t port)
{
	struct dial_portal p = { host, port, w->source };

	if (is_listed(portals, &p))
		return;
	g_array_append_val(portals, p);
	g_ptr_array_add(a->owners, w);
}

static bool is_used_by_other(const struct revive *r, const struct wanted *w, const char *portal)
{
	list_for_each(pos, &r->wanted) {
		const struct wanted *other = list_entry(pos, struct wanted, link);

		if (other != w && !strcmp(other->portal, portal) &&
		    !g_strcmp0(other->source, w->source))
			return true;
	}
	return false;
}

/* Not to a portal by which another session of the target goes (with several sessions the
 * portals are to be different ones), nor, for a connection, to that of another one: no second
 * way is won by that, and none is looked for any more. */
static bool may_hop_to(const struct attempt *a, const struct wanted *w, const struct hop *h)
{
	const struct nexus *n = a->revive->nexus;
	g_autofree char *portal = text_format_portal(h->host, h->port);

	if (a->wanted && is_used_by_other(a->revive, w, portal))
		return false;
	return !n->is_multipath || !hop_is_used(n->target, n, portal, w->source);
}

static void add_hops(struct attempt *a, GArray *portals, struct wanted *w)
{
	struct revive *r = a->revive;
	struct session *s = revive_session(r);
	bool is_bound =
		revive_session_is_up(r) || session_may_resume(s); /* to its portal group */
	g_autoptr(GArray) hops =
		hop_list(r->nexus->target, is_bound ? hop_group(s) : HOP_ANY_GROUP);

	for (unsigned i = 0; i < hops->len; i++) {
		const struct hop *h = &g_array_index(hops, struct hop, i);

		if (may_hop_to(a, w, h))
			add_portal(a, portals, w, h->host, h->port);
	}
}

/* One connection: its portal, then the others. The session: those of all connections first. */
GArray *revive_where_list(struct attempt *a)
{
	GArray *portals = g_array_new(FALSE, FALSE, sizeof(struct dial_portal));
	struct wanted *hopper = NULL;

	g_ptr_array_set_size(a->owners, 0);
	list_for_each(pos, &a->revive->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (a->wanted && a->wanted != w)
			continue;
		add_portal(a, portals, w, w->host, w->port);
		if (!w->is_named && !hopper)
			hopper = w;
	}
	if (hopper)
		add_hops(a, portals, hopper);
	return portals;
}

bool revive_where_has(struct attempt *a, const char *portal)
{
	g_autoptr(GArray) portals = revive_where_list(a);

	for (unsigned i = 0; i < portals->len; i++) {
		const struct dial_portal *p = &g_array_index(portals, struct dial_portal, i);
		g_autofree char *name = text_format_portal(p->host, p->port);

		if (!strcmp(name, portal))
			return true;
	}
	return false;
}
